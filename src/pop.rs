//! Proof that pops are seen: a desktop that has shown a pop says so; one that does not is given it again, and then
//! the supervisors hear that an operator's phone rings before a dark screen.
//!
//! | state | what happens | then | what is done |
//! |---|---|---|---|
//! | waiting | acknowledged | forgotten | [`Due::Shown`] |
//! | waiting | `repeat` is over, a desktop of hers follows the events and has acknowledged before | repeated | [`Due::Repeat`] |
//! | waiting | `repeat` is over, otherwise | repeated | - |
//! | repeated | acknowledged | forgotten | [`Due::Shown`] |
//! | repeated | `report` is over, none of hers follows | reported | [`Due::Unacknowledged`], no desktop |
//! | repeated | `report` is over, one follows that acknowledges | reported | [`Due::Unacknowledged`], not confirmed |
//! | repeated | `report` is over, one follows that never acknowledged anything | forgotten | - |
//! | reported | acknowledged late | forgotten | [`Due::Shown`] |
//! | any | withdrawn, or the call ends | forgotten | - |
//!
//! Why only those who acknowledged before are given a pop again: a client that never does (a CRM, `curl`) would
//! show it twice, and nobody could tell it from a desktop that hangs. So this is on by default and harms nobody:
//! the repetition goes to the operator's own desktops alone, names the event it repeats, and the report is a kind
//! of event that older clients pass over.
//!
//! Invariant: pure; a pop is reported at most once; there are no more of them than phones that ring.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::bus::EventId;
use crate::ids::{CallId, Extension};

/// Most operators that are remembered to have acknowledged something.
const CONFIRMING_MAX: usize = 10_000;

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Until a pop is sent again; `None`: never.
    pub repeat: Option<Duration>,
    /// Until the supervisors hear of it, from the pop on; `None`: never.
    pub report: Option<Duration>,
}

/// Why nobody confirmed a pop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unconfirmed {
    /// No desktop of this operator follows the events.
    NoDesktop,
    /// One does, and did not say that it has shown the pop.
    NotConfirmed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Send this pop again.
    Repeat {
        /// Of which call.
        call: CallId,
        /// At whom it rings.
        operator: Extension,
        /// The event that is repeated.
        event: Option<EventId>,
    },
    /// A pop was shown.
    Shown {
        /// Of which call.
        call: CallId,
        /// By whose desktop.
        operator: Extension,
        /// When it was told.
        since: Timestamp,
    },
    /// Nobody said that it was shown.
    Unacknowledged {
        /// Of which call.
        call: CallId,
        /// At whom it rings.
        operator: Extension,
        /// When it was told.
        since: Timestamp,
        /// Why.
        reason: Unconfirmed,
    },
}

type Key = (CallId, Extension);

#[derive(Debug)]
struct Pop {
    since: Timestamp,
    event: Option<EventId>,
    due: Option<Timestamp>,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Waiting,
    Repeated,
    Reported,
}

/// All pops that are open.
#[derive(Debug)]
pub struct Pops {
    waits: Waits,
    open: HashMap<Key, Pop>,
    timers: BTreeSet<(Timestamp, CallId, Extension)>,
    /// Operators whose desktops have acknowledged something.
    confirming: HashSet<Extension>,
}

impl Pops {
    /// None yet.
    #[must_use]
    pub fn new(waits: Waits) -> Self {
        Self { waits, open: HashMap::new(), timers: BTreeSet::new(), confirming: HashSet::new() }
    }

    /// A pop was told.
    pub fn presented(&mut self, now: Timestamp, call: CallId, operator: Extension, event: Option<EventId>) {
        self.withdrawn(call, &operator);
        let first = self.waits.repeat.or(self.waits.report);
        let due = first.and_then(|wait| now.checked_add(wait).ok());
        let step = if self.waits.repeat.is_some() { Step::Waiting } else { Step::Repeated };
        if let Some(due) = due {
            self.timers.insert((due, call, operator.clone()));
        }
        self.open.insert((call, operator), Pop { since: now, event, due, step });
    }

    /// It rings there no longer, and she has not got the call.
    pub fn withdrawn(&mut self, call: CallId, operator: &Extension) {
        self.close(&(call, operator.clone()));
    }

    /// The call is over.
    pub fn ended(&mut self, call: CallId) {
        let concerned: Vec<Key> = self.open.keys().filter(|(of, _)| *of == call).cloned().collect();
        for key in &concerned {
            self.close(key);
        }
    }

    /// A desktop of this operator says that it has shown the pop.
    pub fn acknowledged(&mut self, call: CallId, operator: &Extension) -> Option<Due> {
        let pop = self.close(&(call, operator.clone()))?;
        if self.confirming.len() < CONFIRMING_MAX {
            self.confirming.insert(operator.clone());
        }
        Some(Due::Shown { call, operator: operator.clone(), since: pop.since })
    }

    /// When [`Self::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// What is due at `now`; `desktops` tells how many desktops of an operator follow the events.
    pub fn handle_timeout(&mut self, now: Timestamp, desktops: impl Fn(&Extension) -> u32) -> Vec<Due> {
        let mut due = Vec::new();
        while self.timers.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, call, operator)) = self.timers.pop_first() else { break };
            let follows = desktops(&operator) > 0;
            let confirms = self.confirming.contains(&operator);
            let key = (call, operator.clone());
            let Some(pop) = self.open.get_mut(&key) else { continue };
            if pop.step == Step::Waiting {
                pop.step = Step::Repeated;
                pop.due = self.waits.report.and_then(|wait| pop.since.checked_add(wait).ok());
                if let Some(at) = pop.due {
                    self.timers.insert((at, call, operator.clone()));
                }
                if follows && confirms {
                    due.push(Due::Repeat { call, operator, event: pop.event.clone() });
                }
                continue;
            }
            pop.due = None;
            if follows && !confirms {
                self.open.remove(&key);
                continue;
            }
            pop.step = Step::Reported;
            let reason = if follows { Unconfirmed::NotConfirmed } else { Unconfirmed::NoDesktop };
            due.push(Due::Unacknowledged { call, operator, since: pop.since, reason });
        }
        due
    }

    fn close(&mut self, key: &Key) -> Option<Pop> {
        let pop = self.open.remove(key)?;
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

    fn pops() -> Pops {
        let seconds = |s| Some(Duration::from_secs(s));
        Pops::new(Waits { repeat: seconds(2), report: seconds(8) })
    }

    fn unacknowledged(n: u32, reason: Unconfirmed) -> Due {
        Due::Unacknowledged { call: call(n), operator: sato(), since: at(0), reason }
    }

    #[test]
    fn a_desktop_that_confirms_is_asked_again_and_then_reported() {
        let mut pops = pops();
        pops.presented(at(0), call(1), sato(), None);
        assert!(matches!(pops.acknowledged(call(1), &sato()), Some(Due::Shown { .. })));
        assert_eq!(pops.poll_timeout(), None);

        pops.presented(at(0), call(2), sato(), None);
        let repeat = Due::Repeat { call: call(2), operator: sato(), event: None };
        assert_eq!(pops.handle_timeout(at(2), |_| 1), [repeat]);
        assert_eq!(pops.handle_timeout(at(8), |_| 1), [unacknowledged(2, Unconfirmed::NotConfirmed)]);
        assert_eq!(pops.poll_timeout(), None);
        assert!(pops.acknowledged(call(2), &sato()).is_some(), "late is better than never");
        assert!(pops.acknowledged(call(2), &sato()).is_none(), "once");
    }

    #[test]
    fn nobody_at_the_desk_is_reported_and_a_client_that_never_confirms_is_left_alone() {
        let mut pops = pops();
        pops.presented(at(0), call(1), sato(), None);
        assert!(pops.handle_timeout(at(2), |_| 0).is_empty());
        assert_eq!(pops.handle_timeout(at(9), |_| 0), [unacknowledged(1, Unconfirmed::NoDesktop)]);

        pops.presented(at(0), call(2), sato(), None);
        assert!(pops.handle_timeout(at(30), |_| 1).is_empty());
        assert_eq!((pops.poll_timeout(), pops.open.len()), (None, 1), "the first one is still open");
    }

    #[test]
    fn a_pop_that_is_withdrawn_is_nobodys_fault() {
        let mut pops = pops();
        pops.presented(at(0), call(1), sato(), None);
        pops.presented(at(0), call(2), sato(), None);
        pops.withdrawn(call(1), &sato());
        pops.ended(call(2));
        assert!(pops.handle_timeout(at(60), |_| 0).is_empty());
        assert!(pops.open.is_empty() && pops.timers.is_empty());
    }
}
