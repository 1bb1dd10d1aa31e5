//! Call load: calls one after the other, as long as a phone is free.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::desktop::Desktop;
use super::proof::{self, Figures};
use crate::far_record::Placed;
use crate::lab::{CallSpec, Lab, PATIENCE, PlacedCall};
use crate::ms;
use crate::service::Service;

/// Phones that ring alone: 0355502101 rings at 1101, and so on.
const PHONES: usize = 20;
/// How often what no event tells is looked at.
const POLL: Duration = Duration::from_millis(50);
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
    over: Cell<bool>,
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
            over: Cell::new(false),
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
        let mut every = tokio::time::interval(pace);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.over.get() {
            every.tick().await;
            let before = self.calls().iter().rev().nth(PHONES - 1).cloned();
            if before.is_none_or(|before| before.is_over()) {
                self.place().await;
            }
        }
    }

    async fn hang_up_known(&self, service: &Service, desktop: &Desktop) {
        let (mut over, mut since) = (0, Instant::now());
        while !self.over.get() || over < self.calls().len() {
            sleep(POLL).await;
            // As long as daemons come and go, it takes as long as it takes.
            if !self.over.get() {
                since = Instant::now();
            }
            // The first that is not over; those behind it wait their turn.
            let Some(call) = self.calls().get(over).cloned() else { continue };
            let placed = self.placed.borrow()[over];
            desktop.makes_sure(service).await;
            let is_sure = desktop.look(|knows| knows.is_sure_of_answered(call.from()));
            if call.is_over() || placed.elapsed() >= self.talks && is_sure {
                call.hang_up().await;
                (over, since) = (over + 1, Instant::now());
            }
            assert!(
                since.elapsed() < PATIENCE,
                "no desktop is sure that {} was answered: {}",
                call.from(),
                desktop.look(|knows| knows.of_caller(call.from()))
            );
        }
    }

    pub(crate) async fn place(&self) {
        let n = self.calls.borrow().len();
        let from = format!("090{}{n:06}", self.series);
        let call = self.lab.place_call(CallSpec::new(&from, &format!("03555021{:02}", n % PHONES + 1))).await;
        self.calls.borrow_mut().push(Rc::new(call));
        self.placed.borrow_mut().push(Instant::now());
    }

    fn calls(&self) -> Vec<Rc<PlacedCall<'a>>> {
        self.calls.borrow().clone()
    }

    pub(crate) fn stop(&self) {
        self.over.set(true);
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
