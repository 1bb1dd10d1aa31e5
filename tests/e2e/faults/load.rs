//! Call load: calls one after the other, as long as a phone is free.
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::desktop::{Desktop, DesktopModel};
use super::verify::{self, Figures};
use crate::far_end_cdr::Placed;
use crate::ms;
use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall};
use crate::support::service::Service;
use crate::support::wait::poll;

/// Phones that ring alone: 0355502101 rings at 1101, and so on.
const PHONES: usize = 20;

/// How long after its stop a load may take for what has begun: the last calls to end, the last messages to be saved.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// A stop signal for work that goes on until then.
#[derive(Debug)]
pub(super) struct StopSignal(watch::Sender<bool>);

impl StopSignal {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn stop(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn go_on(&self) {
        self.0.send_replace(false);
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    async fn stopped(&self) {
        let _ = self.0.subscribe().wait_for(|over| *over).await;
    }

    /// Returns [`DRAIN_TIMEOUT`] after the stop. Before the stop there is no limit, because daemons are killed and
    /// restarted meanwhile.
    pub(super) async fn drain_timeout(&self) {
        self.stopped().await;
        sleep(DRAIN_TIMEOUT).await;
    }
}

/// Calls one after the other, each to the next phone, until stopped.
///
/// A caller hangs up only after the answer of the call is known to be in a daemon's log. Why not by the clock: a call that
/// starts and ends while no daemon follows the PBX is in no history, and must not be; how long no daemon follows it
/// depends on the machine.
pub(crate) struct Load<'a> {
    lab: &'a Lab,
    calls: RefCell<Vec<Rc<PlacedCall<'a>>>>,
    /// When each was placed.
    placed: RefCell<Vec<Instant>>,
    /// Number of placed calls, and whether no more will follow.
    count: watch::Sender<(usize, bool)>,
    stop_signal: StopSignal,
    series: &'static str,
    talks: Duration,
}

/// How long the phones of a load talk if the caller does not hang up.
const PHONES_TALK: Duration = Duration::from_secs(3_600);

impl<'a> Load<'a> {
    /// Every phone answers after `rings`; callers hang up `talks` after the call was placed, or later. `series` is part of
    /// the callers' numbers and distinguishes them from those of other loads.
    pub(crate) async fn new(lab: &'a Lab, series: &'static str, rings: u64, talks: u64) -> Load<'a> {
        for n in 1..=PHONES {
            lab.phone(&format!("{}", 1100 + n)).talks_briefly(ms(rings), PHONES_TALK).await;
        }
        Load {
            lab,
            calls: RefCell::default(),
            placed: RefCell::default(),
            count: watch::Sender::new((0, false)),
            stop_signal: StopSignal::new(),
            series,
            talks: ms(talks),
        }
    }

    /// Places a call every `pace`, as long as a phone is free; callers hang up once `desktop` model that their answer is
    /// logged. Ends with the last call.
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
                () = self.stop_signal.stopped() => break,
                () = may_place => self.place().await,
            }
        }
        self.count.send_modify(|(_, is_all)| *is_all = true);
    }

    /// Hangs up the calls in the order in which they were placed.
    async fn hang_up_known(&self, service: &Service, desktop: &Desktop) {
        let mut over = 0;
        while let Some(call) = self.nth(over).await {
            let may_end = self.placed.borrow()[over] + self.talks;
            let is_known = async {
                sleep_until(may_end).await;
                desktop.reaches(|model| model.has_answer_of(call.from())).await;
                poll(async || {
                    desktop.confirm_logged(service).await;
                    desktop.look(|model| model.has_logged_answer_of(call.from())).then_some(())
                })
                .await;
            };
            tokio::select! {
                () = call.ends() => {}
                () = is_known => call.hang_up().await,
                () = self.stop_signal.drain_timeout() => panic!(
                    "no desktop is sure that {} was answered: {}",
                    call.from(),
                    desktop.look(|model| model.of_caller(call.from()))
                ),
            }
            over += 1;
        }
    }

    /// The nth call, once it is placed; `None` if the load stops before.
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
        self.stop_signal.stop();
    }

    /// Waits until every caller hears an answer, and `desktop` shows who they are. No dialplan sends the identity of these
    /// calls: of one that ends before the PBX has answered for its channel, nobody may know the caller.
    pub(crate) async fn all_answered(&self, desktop: &Desktop) {
        let calls = self.calls();
        for call in &calls {
            call.answered().await;
        }
        let are_known = |model: &DesktopModel| model.callers_of(self.series) == calls.len();
        desktop.wait("the callers of all calls are known", are_known).await;
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

    /// The answered phones hang up: nothing else ends their legs when the PBX is dead.
    pub(crate) async fn phones_hang_up(&self) {
        for n in 0..self.calls().len() {
            self.lab.phone(&format!("{}", 1101 + n % PHONES)).hangs_up().await;
        }
    }

    /// The placed calls, for the lookup in the far end's records.
    pub(crate) fn placed(&self) -> Vec<Placed> {
        self.calls().iter().map(|call| Placed::from(&**call)).collect()
    }

    /// [`verify::nothing_is_lost`] for the calls of this load.
    pub(crate) async fn nothing_is_lost(&self, service: &Service, desktops: &[Desktop]) -> Figures {
        verify::nothing_is_lost(self.lab, service, desktops, &self.placed()).await
    }
}
