//! Call load: calls one after the other, as long as a phone is free.
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::desktop::Desktop;
use super::proof::{self, Figures};
use crate::far_record::Placed;
use crate::lab::{CallSpec, Lab, PATIENCE, PlacedCall, ask_at_any_time};
use crate::ms;
use crate::service::Service;

/// Phones that ring alone: 0355502101 rings at 1101, and so on.
const PHONES: usize = 20;

/// Something that goes on until it is told to stop.
#[derive(Debug)]
pub(super) struct Course(watch::Sender<bool>);

impl Course {
    pub(super) fn begun() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn stop(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    async fn stopped(&self) {
        let _ = self.0.subscribe().wait_for(|over| *over).await;
    }

    /// Ends [`PATIENCE`] after the stop: as long as daemons come and go, it takes as long as it takes.
    pub(super) async fn patience(&self) {
        self.stopped().await;
        sleep(PATIENCE).await;
    }
}

/// Calls one after the other, each to the next phone, until told to stop.
///
/// A caller hangs up only after it is sure that a daemon has noted that she was answered. Why not by the clock: a call that
/// comes and ends while nobody follows the PBX is in no history, and must not be; how long nobody does is the
/// machine's affair.
pub(crate) struct Load<'a> {
    lab: &'a Lab,
    calls: RefCell<Vec<Rc<PlacedCall<'a>>>>,
    /// When each was placed.
    placed: RefCell<Vec<Instant>>,
    /// How many were, and whether that is all.
    count: watch::Sender<(usize, bool)>,
    course: Course,
    series: &'static str,
    talks: Duration,
}

/// How long the phones of a load talk unless they are hung up.
const PHONES_TALK: Duration = Duration::from_secs(3_600);

impl<'a> Load<'a> {
    /// Every phone answers after `rings`; callers hang up `talks` after they were placed, or later. `series` tells this
    /// load's callers from others.
    pub(crate) async fn new(lab: &'a Lab, series: &'static str, rings: u64, talks: u64) -> Load<'a> {
        for n in 1..=PHONES {
            lab.phone(&format!("{}", 1100 + n)).talks_briefly(ms(rings), PHONES_TALK).await;
        }
        Load {
            lab,
            calls: RefCell::default(),
            placed: RefCell::default(),
            count: watch::Sender::new((0, false)),
            course: Course::begun(),
            series,
            talks: ms(talks),
        }
    }

    /// Places a call every `pace`, as long as a phone is free, and has callers hang up once `desktop` knows enough of
    /// them. Ends with the last call.
    pub(crate) async fn run(&self, pace: Duration, service: &Service, desktop: &Desktop) {
        tokio::join!(self.place_all(pace), self.hang_up_known(service, desktop));
    }

    async fn place_all(&self, pace: Duration) {
        let mut every = interval(pace);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let before = self.calls().iter().rev().nth(PHONES - 1).cloned();
            let may_place = async {
                every.tick().await;
                if let Some(before) = before {
                    before.ends().await;
                }
            };
            tokio::select! {
                () = self.course.stopped() => break,
                () = may_place => self.place().await,
            }
        }
        self.count.send_modify(|(_, is_all)| *is_all = true);
    }

    /// The first first; those behind it wait their turn.
    async fn hang_up_known(&self, service: &Service, desktop: &Desktop) {
        let mut over = 0;
        while let Some(call) = self.nth(over).await {
            let may_end = self.placed.borrow()[over] + self.talks;
            let is_known = async {
                sleep_until(may_end).await;
                desktop.learns(|knows| knows.is_told_of_answered(call.from())).await;
                ask_at_any_time(async || {
                    desktop.makes_sure(service).await;
                    desktop.look(|knows| knows.is_sure_of_answered(call.from())).then_some(())
                })
                .await;
            };
            tokio::select! {
                () = call.ends() => {}
                () = is_known => call.hang_up().await,
                () = self.course.patience() => panic!(
                    "no desktop is sure that {} was answered: {}",
                    call.from(),
                    desktop.look(|knows| knows.of_caller(call.from()))
                ),
            }
            over += 1;
        }
    }

    /// The nth call, once it is placed; none where that will not be.
    async fn nth(&self, n: usize) -> Option<Rc<PlacedCall<'a>>> {
        let mut count = self.count.subscribe();
        let _ = count.wait_for(|(count, is_all)| *count > n || *is_all).await;
        self.calls().get(n).cloned()
    }

    pub(crate) async fn place(&self) {
        let n = self.calls.borrow().len();
        let from = format!("090{}{n:06}", self.series);
        let call = self.lab.place_call(CallSpec::new(&from, &format!("03555021{:02}", n % PHONES + 1))).await;
        self.calls.borrow_mut().push(Rc::new(call));
        self.placed.borrow_mut().push(Instant::now());
        self.count.send_modify(|(count, _)| *count += 1);
    }

    fn calls(&self) -> Vec<Rc<PlacedCall<'a>>> {
        self.calls.borrow().clone()
    }

    pub(crate) fn stop(&self) {
        self.course.stop();
    }

    /// Waits until every caller hears an answer.
    pub(crate) async fn all_answered(&self) {
        for call in self.calls() {
            call.answered().await;
        }
    }

    /// Waits until every call is over at the far end.
    pub(crate) async fn all_ended(&self) {
        for call in self.calls() {
            call.ended().await;
        }
    }

    /// All callers hang up.
    pub(crate) async fn hang_up_all(&self) {
        for call in self.calls() {
            call.hang_up().await;
        }
    }

    /// Those who took the calls hang up: nothing else ends their legs when the PBX is gone.
    pub(crate) async fn phones_hang_up(&self) {
        for n in 0..self.calls().len() {
            self.lab.phone(&format!("{}", 1101 + n % PHONES)).hangs_up().await;
        }
    }

    /// What was placed, to be looked up in the far end's record.
    pub(crate) fn placed(&self) -> Vec<Placed> {
        self.calls().iter().map(|call| Placed::from(&**call)).collect()
    }

    /// As [`proof::nothing_is_lost`], of this load's calls.
    pub(crate) async fn nothing_is_lost(&self, service: &Service, desktops: &[Desktop]) -> Figures {
        proof::nothing_is_lost(self.lab, service, desktops, &self.placed()).await
    }
}
