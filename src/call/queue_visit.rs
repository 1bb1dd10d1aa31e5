//! A caller's waits in the queues of the PBX and the treatment before them, for the record of the call.
//!
//! | result | the caller |
//! |---|---|
//! | `Connected` | left the queue for a phone that took the call |
//! | `Abandoned` | hung up while waiting |
//! | `Left` | left the queue unserved and stayed: its time was over, nobody was there, or a key was pressed |
//!
//! Invariant: the visits of a call are in order and do not overlap; each visit of a call that has ended has an end, and a
//! result if it is known. A caller whom a list of channels found waiting has no visit, because the list does not name the queue.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::callflow::{HORIZON_LETTER, Letter};
use crate::contract::call::{CallQueue, CallTreatment, Outcome};
use crate::ids::QueueName;

/// Most visits that a call keeps: the first of them, because the waiting began there.
pub const QUEUE_VISITS_MAX: usize = 20;

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueResult {
    /// A phone took the call.
    Connected,
    /// The caller hung up while waiting.
    Abandoned,
    /// The caller left unserved.
    Left,
}

impl QueueResult {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Abandoned => "abandoned",
            Self::Left => "left",
        }
    }
}

/// One wait in one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueVisit {
    /// The queue.
    pub queue: QueueName,
    /// When the caller joined.
    pub from: Timestamp,
    /// At which place, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// When the caller left.
    pub until: Option<Timestamp>,
    /// How it ended; of a visit that ended with a phone that was picked up, until the call is over, how it will end if the
    /// two are connected.
    pub result: Option<QueueResult>,
}

/// The treatment that the dialplan chose for the call by a plan ([`crate::callflow`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treated {
    /// When it chose.
    pub at: Timestamp,
    /// The letter of the treatment, as the dialplan reports it.
    pub letter: char,
}

impl Treated {
    /// The treatment in the record, and whether the plan's schedule had ended; `None` for a letter that no plan has.
    #[must_use]
    pub fn treatment(&self) -> Option<(Letter, bool)> {
        if self.letter == HORIZON_LETTER {
            return Some((Letter::Open, true));
        }
        Letter::ALL.into_iter().find(|letter| letter.as_char() == self.letter).map(|letter| (letter, false))
    }

    /// The treatment in the public view.
    pub(super) fn of_view(&self) -> Option<CallTreatment> {
        let (letter, _) = self.treatment()?;
        Some(match letter {
            Letter::Open => CallTreatment::Open,
            Letter::Closed => CallTreatment::Closed,
            Letter::Holiday => CallTreatment::Holiday,
            Letter::Override => CallTreatment::Override,
        })
    }
}

/// The caller joined a queue.
pub(super) fn join(visits: &mut Vec<QueueVisit>, queue: QueueName, position: Option<u32>, now: Timestamp) {
    leave(visits, now, QueueResult::Left);
    if visits.len() < QUEUE_VISITS_MAX {
        visits.push(QueueVisit { queue, from: now, position, until: None, result: None });
    }
}

/// The queue in which the caller waits, for the public view.
pub(super) fn present(visits: &[QueueVisit]) -> Option<CallQueue> {
    let visit = visits.last().filter(|visit| visit.until.is_none())?;
    Some(CallQueue { name: visit.queue.clone(), since: visit.from, position: visit.position })
}

/// The caller left the queue, if the caller was in one.
pub(super) fn leave(visits: &mut [QueueVisit], now: Timestamp, result: QueueResult) {
    if let Some(visit) = visits.last_mut().filter(|visit| visit.until.is_none()) {
        (visit.until, visit.result) = (Some(now), Some(result));
    }
}

/// The visits of a call that ended at `now`. `answered_at`: when an operator was first connected.
pub(super) fn finish(
    mut visits: Vec<QueueVisit>,
    now: Timestamp,
    answered_at: Option<Timestamp>,
    outcome: Outcome,
) -> Vec<QueueVisit> {
    let unserved = match outcome {
        Outcome::Abandoned => Some(QueueResult::Abandoned),
        Outcome::Overflowed | Outcome::Blocked | Outcome::Closed | Outcome::Refused | Outcome::Fax => {
            Some(QueueResult::Left)
        }
        Outcome::Answered | Outcome::Elsewhere | Outcome::Unknown => None,
    };
    // The end of an open visit was not seen.
    if let Some(visit) = visits.last_mut().filter(|visit| visit.until.is_none()) {
        let connected = answered_at.filter(|at| *at >= visit.from);
        visit.until = Some(connected.unwrap_or(now));
        visit.result = connected.map(|_| QueueResult::Connected).or(unserved);
    }
    if unserved.is_some() {
        // A phone was picked up and never connected.
        let picked_up = visits.iter_mut().filter(|visit| visit.result == Some(QueueResult::Connected));
        picked_up.for_each(|visit| visit.result = unserved);
    }
    visits
}
