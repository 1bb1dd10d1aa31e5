//! Acknowledgement of screen pops: a desktop acknowledges each pop that it has shown. A pop that is not acknowledged is
//! sent again, and then reported to the supervisors: an operator's phone rings and the desktop shows nothing.
//!
//! | phase | event | next phase | outcome |
//! |---|---|---|---|
//! | waiting | acknowledged | removed | [`PopOutcome::Shown`] |
//! | waiting | `repeat` elapsed; a desktop of the operator is connected and has acknowledged a pop before | repeated | [`PopOutcome::Repeat`] |
//! | waiting | `repeat` elapsed, otherwise | repeated | - |
//! | repeated | acknowledged | removed | [`PopOutcome::Shown`] |
//! | repeated | `report` elapsed, no desktop of the operator is connected | reported | [`PopOutcome::Unacknowledged`], no desktop |
//! | repeated | `report` elapsed, a connected desktop acknowledged pops before | reported | [`PopOutcome::Unacknowledged`], not confirmed |
//! | repeated | `report` elapsed, a connected desktop never acknowledged a pop | removed | - |
//! | reported | acknowledged late | removed | [`PopOutcome::Shown`] |
//! | any | withdrawn, or the call ends | removed | - |
//!
//! Without `repeat` a pop begins in the phase repeated. Without either timeout it waits until it is acknowledged,
//! withdrawn, or the call ends.
//!
//! Why a pop is repeated only for operators who acknowledged one before: a client that never acknowledges (a CRM,
//! `curl`) would show it twice and could not be distinguished from a desktop that hangs. So acknowledgement is on by
//! default and harms no such client: the repeated event goes to the operator's own desktops only and names the event
//! that it repeats; the report is an event kind of its own, which older clients skip.
//!
//! An answered pop stays open, because the desktop must show it during the call too.
//!
//! Invariant: pure. A pop is reported at most once. There are no more open pops than phones that ring or have a call.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::contract::event_id::EventId;
use crate::ids::{CallId, Extension};

/// Most operators that are remembered as acknowledging pops.
const ACKNOWLEDGING_OPERATORS_MAX: usize = 10_000;

/// Timeouts of the acknowledgement, counted from the pop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckTimeouts {
    /// Until the pop is sent again; `None`: never.
    pub repeat: Option<Duration>,
    /// Until the pop is reported to the supervisors; `None`: never.
    pub report: Option<Duration>,
}

/// Why a pop was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnackedReason {
    /// No desktop of the operator is connected.
    NoDesktop,
    /// A connected desktop did not acknowledge the pop.
    NotConfirmed,
}

/// What happened to a pop; the caller acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PopOutcome {
    /// The pop must be sent again.
    Repeat {
        /// The call.
        call: CallId,
        /// The operator whose phone rings.
        operator: Extension,
        /// The event to repeat.
        event: Option<EventId>,
    },
    /// A desktop has shown the pop.
    Shown {
        /// The call.
        call: CallId,
        /// The operator whose desktop showed it.
        operator: Extension,
        /// When the pop was published.
        since: Timestamp,
    },
    /// No desktop acknowledged the pop in time.
    Unacknowledged {
        /// The call.
        call: CallId,
        /// The operator whose phone rings.
        operator: Extension,
        /// When the pop was published.
        since: Timestamp,
        /// Why it was not acknowledged.
        reason: UnackedReason,
    },
}

type Key = (CallId, Extension);

#[derive(Debug)]
struct Pop {
    since: Timestamp,
    event: Option<EventId>,
    due: Option<Timestamp>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Repeated,
    Reported,
}

/// The open pops.
#[derive(Debug)]
pub struct ScreenPopTracker {
    timeouts: AckTimeouts,
    open_pops: HashMap<Key, Pop>,
    timers: BTreeSet<(Timestamp, CallId, Extension)>,
    /// Operators whose desktops acknowledged a pop before.
    acknowledging: HashSet<Extension>,
}

impl ScreenPopTracker {
    /// A tracker without open pops.
    #[must_use]
    pub fn new(timeouts: AckTimeouts) -> Self {
        Self { timeouts, open_pops: HashMap::new(), timers: BTreeSet::new(), acknowledging: HashSet::new() }
    }

    /// Tracks a pop that was published as `event`.
    pub fn open(&mut self, now: Timestamp, call: CallId, operator: Extension, event: Option<EventId>) {
        self.withdraw(call, &operator);
        let first = self.timeouts.repeat.or(self.timeouts.report);
        let due = first.and_then(|timeout| now.checked_add(timeout).ok());
        let phase = if self.timeouts.repeat.is_some() { Phase::Waiting } else { Phase::Repeated };
        if let Some(due) = due {
            self.timers.insert((due, call, operator.clone()));
        }
        self.open_pops.insert((call, operator), Pop { since: now, event, due, phase });
    }

    /// Removes the pop of an operator whose phone no longer rings with the call and who did not answer it.
    pub fn withdraw(&mut self, call: CallId, operator: &Extension) {
        self.close(&(call, operator.clone()));
    }

    /// Removes all pops of a call that ended.
    pub fn end_call(&mut self, call: CallId) {
        let keys: Vec<Key> = self.open_pops.keys().filter(|(of, _)| *of == call).cloned().collect();
        for key in &keys {
            self.close(key);
        }
    }

    /// Takes a desktop's acknowledgement that it has shown the pop; `None` if the pop is not open.
    pub fn acknowledge(&mut self, call: CallId, operator: &Extension) -> Option<PopOutcome> {
        let pop = self.close(&(call, operator.clone()))?;
        if self.acknowledging.len() < ACKNOWLEDGING_OPERATORS_MAX {
            self.acknowledging.insert(operator.clone());
        }
        Some(PopOutcome::Shown { call, operator: operator.clone(), since: pop.since })
    }

    /// The latest time at which [`Self::handle_timeout`] must be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// Handles the timeouts up to `now`. `desktops` gives the number of connected desktops of an operator.
    pub fn handle_timeout(
        &mut self,
        now: Timestamp,
        desktops: impl Fn(&Extension) -> u32,
    ) -> Vec<PopOutcome> {
        let mut outcomes = Vec::new();
        while self.timers.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, call, operator)) = self.timers.pop_first() else { break };
            let is_connected = desktops(&operator) > 0;
            let acknowledges = self.acknowledging.contains(&operator);
            let key = (call, operator.clone());
            let Some(pop) = self.open_pops.get_mut(&key) else { continue };
            if pop.phase == Phase::Waiting {
                pop.phase = Phase::Repeated;
                pop.due = self.timeouts.report.and_then(|timeout| pop.since.checked_add(timeout).ok());
                if let Some(at) = pop.due {
                    self.timers.insert((at, call, operator.clone()));
                }
                if is_connected && acknowledges {
                    outcomes.push(PopOutcome::Repeat { call, operator, event: pop.event.clone() });
                }
                continue;
            }
            pop.due = None;
            if is_connected && !acknowledges {
                self.open_pops.remove(&key);
                continue;
            }
            pop.phase = Phase::Reported;
            let reason = if is_connected { UnackedReason::NotConfirmed } else { UnackedReason::NoDesktop };
            outcomes.push(PopOutcome::Unacknowledged { call, operator, since: pop.since, reason });
        }
        outcomes
    }

    fn close(&mut self, key: &Key) -> Option<Pop> {
        let pop = self.open_pops.remove(key)?;
        if let Some(due) = pop.due {
            self.timers.remove(&(due, key.0, key.1.clone()));
        }
        Some(pop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ChannelId, PbxId};

    fn call(n: u32) -> CallId {
        CallId::derive(&PbxId::parse("lab").unwrap(), &ChannelId::parse(&format!("1.{n}")).unwrap())
    }

    fn sato() -> Extension {
        Extension::parse("1001").unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pops() -> ScreenPopTracker {
        let seconds = |s| Some(Duration::from_secs(s));
        ScreenPopTracker::new(AckTimeouts { repeat: seconds(2), report: seconds(8) })
    }

    fn unacknowledged(n: u32, reason: UnackedReason) -> PopOutcome {
        PopOutcome::Unacknowledged { call: call(n), operator: sato(), since: at(0), reason }
    }

    #[test]
    fn a_desktop_that_acknowledges_gets_the_pop_again_and_then_reported() {
        let mut pops = pops();
        pops.open(at(0), call(1), sato(), None);
        assert!(matches!(pops.acknowledge(call(1), &sato()), Some(PopOutcome::Shown { .. })));
        assert_eq!(pops.poll_timeout(), None);

        pops.open(at(0), call(2), sato(), None);
        let repeat = PopOutcome::Repeat { call: call(2), operator: sato(), event: None };
        assert_eq!(pops.handle_timeout(at(2), |_| 1), [repeat]);
        assert_eq!(pops.handle_timeout(at(8), |_| 1), [unacknowledged(2, UnackedReason::NotConfirmed)]);
        assert_eq!(pops.poll_timeout(), None);
        assert!(pops.acknowledge(call(2), &sato()).is_some(), "late is better than never");
        assert!(pops.acknowledge(call(2), &sato()).is_none(), "once");
    }

    #[test]
    fn nobody_at_the_desk_is_reported_and_a_client_that_never_acknowledges_is_left_alone() {
        let mut pops = pops();
        pops.open(at(0), call(1), sato(), None);
        assert!(pops.handle_timeout(at(2), |_| 0).is_empty());
        assert_eq!(pops.handle_timeout(at(9), |_| 0), [unacknowledged(1, UnackedReason::NoDesktop)]);

        pops.open(at(0), call(2), sato(), None);
        assert!(pops.handle_timeout(at(30), |_| 1).is_empty());
        assert_eq!((pops.poll_timeout(), pops.open_pops.len()), (None, 1), "the first one is still open");
    }

    #[test]
    fn a_pop_that_is_withdrawn_is_nobodys_fault() {
        let mut pops = pops();
        pops.open(at(0), call(1), sato(), None);
        pops.open(at(0), call(2), sato(), None);
        pops.withdraw(call(1), &sato());
        pops.end_call(call(2));
        assert!(pops.handle_timeout(at(60), |_| 0).is_empty());
        assert!(pops.open_pops.is_empty() && pops.timers.is_empty());
    }
}
