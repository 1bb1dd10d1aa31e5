//! A call: the legs that belong together, and what has been told about them.
//!
//! | stage | from | on | told |
//! |---|---|---|---|
//! | awaiting | a leg that comes in from a trunk | identity, queue, dial, hang-up or `identity_wait` | `Identify` |
//! | identified | awaiting | complete card, or `card_wait` | everything held back so far, in order |
//! | open | identified | - | each notice at once |
//! | ended | any | the caller's leg is gone | `Ended`, exactly once, after every pop was withdrawn |
//!
//! Invariant: only inbound calls tell anything; nothing is told after `Ended`; what a pop shows is never older
//! than the card that was known when it was told.

use std::sync::Arc;

use jiff::Timestamp;

use super::leg::Plan;
use super::output::{Notice, NoticeKind};
use super::view::{CallState, CallView, Direction, Outcome};
use crate::ami::event::DialStatus;
use crate::directory::card::Card;
use crate::identity::Identity;
use crate::ids::{CallId, ChannelId, Extension};

/// How much of a call may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The dialplan may still tell its identity; until then at the latest.
    Awaiting(Timestamp),
    /// The directory was asked; notices wait for its answer; until then at the latest.
    Identified(Timestamp),
    /// Everything is told at once.
    Open,
    /// `Ended` was told.
    Ended,
}

/// A phone that rings with this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) operator: Extension,
    pub(crate) leg: ChannelId,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) direction: Direction,
    pub(crate) stage: Stage,
    /// All living legs, oldest first.
    pub(crate) legs: Vec<ChannelId>,
    /// The ids this call is found under besides its living legs.
    pub(crate) linked: Vec<ChannelId>,
    /// The leg that came in (inbound calls); it stays the caller's over every transfer.
    pub(crate) caller: Option<ChannelId>,
    pub(crate) identity: Identity,
    /// The dialplan handed the identity over; what the channel itself says counts no more.
    pub(crate) told_identity: bool,
    pub(crate) card: Option<Arc<Card>>,
    pub(crate) offered_at: Timestamp,
    pub(crate) answered_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) presented: Vec<Presented>,
    /// Who has the caller, on which leg.
    pub(crate) operator: Option<Presented>,
    /// Everyone who had the caller.
    pub(crate) operators: Vec<Extension>,
    /// The legs on which they had it: a leg that gave the caller away does not get it back by itself.
    pub(crate) operators_legs: Vec<ChannelId>,
    pub(crate) held: bool,
    pub(crate) queued: bool,
    /// The queue said that the caller gave up.
    pub(crate) abandoned: bool,
    /// It left a queue unanswered while the caller was still there.
    pub(crate) overflowed: bool,
    /// The outcome that the dialplan told.
    pub(crate) told: Option<Outcome>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) state: CallState,
    /// A conclusion from a gap is among its facts.
    pub(crate) inferred: bool,
    /// How the dials of legs that are already gone ended, until the next settling.
    pub(crate) last_dials: Vec<(ChannelId, DialStatus)>,
    held_back: Vec<(Timestamp, NoticeKind)>,
}

impl Call {
    pub(crate) fn new(id: CallId, direction: Direction, now: Timestamp, plan: &Plan) -> Self {
        Self {
            id,
            direction,
            stage: Stage::Awaiting(after(now, plan.identity_wait)),
            legs: Vec::with_capacity(3),
            linked: Vec::with_capacity(1),
            caller: None,
            identity: Identity::default(),
            card: None,
            offered_at: now,
            answered_at: None,
            ended_at: None,
            presented: Vec::new(),
            operator: None,
            operators: Vec::new(),
            operators_legs: Vec::new(),
            held: false,
            queued: false,
            abandoned: false,
            told_identity: false,
            overflowed: false,
            told: None,
            outcome: None,
            state: CallState::Offered,
            inferred: false,
            last_dials: Vec::new(),
            held_back: Vec::new(),
        }
    }

    /// Only inbound calls are told about, and nothing after their end.
    pub(crate) fn speaks(&self) -> bool {
        self.direction == Direction::Inbound && self.ended_at.is_none()
    }

    /// Nothing more can come of it: it may be forgotten.
    pub(crate) fn is_done(&self) -> bool {
        self.legs.is_empty() && (self.stage == Stage::Ended || self.direction != Direction::Inbound)
    }

    /// Notes that something happened; it is told at once, or with the card.
    pub(crate) fn tell(&mut self, at: Timestamp, kind: NoticeKind) {
        self.held_back.push((at, kind));
    }

    /// As [`Self::tell`], before anything else that waits.
    pub(crate) fn tell_first(&mut self, at: Timestamp, kind: NoticeKind) {
        self.held_back.insert(0, (at, kind));
    }

    /// The notices that may go out now, in order. Each bears the call as it is now: a pop that waited for its
    /// card shows the newest.
    pub(crate) fn release(&mut self, plan: &Plan) -> Vec<Notice> {
        if !matches!(self.stage, Stage::Open | Stage::Ended) || self.held_back.is_empty() {
            return Vec::new();
        }
        let view = self.view(plan);
        let notice = |(at, kind)| Notice { at, kind, view: view.clone() };
        let notices = self.held_back.drain(..).map(notice).collect();
        if self.ended_at.is_some() {
            self.stage = Stage::Ended;
        }
        notices
    }

    /// The call as others see it.
    pub(crate) fn view(&self, plan: &Plan) -> CallView {
        CallView {
            id: self.id,
            pbx: plan.pbx.clone(),
            direction: self.direction,
            state: self.state,
            offered_at: self.offered_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            presented_to: self.presented.iter().map(|p| p.operator.clone()).collect(),
            operator: self.operator.as_ref().map(|o| o.operator.clone()),
            outcome: self.outcome,
            card: self.card.clone(),
            inferred: self.inferred,
        }
    }
}

/// `now` plus a wait; never earlier than `now`.
pub(crate) fn after(now: Timestamp, wait: std::time::Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
