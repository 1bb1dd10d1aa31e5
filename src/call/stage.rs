//! A call: the legs that belong together, and what has been told about them.
//!
//! | stage | from | on | told |
//! |---|---|---|---|
//! | awaiting | a leg that comes in from a trunk | the dialplan's identity → identified; queue, dial, hang-up or `identity_wait` → asked | `Identify`; `AskChannel` |
//! | asked | awaiting | the PBX's answer, or `ask_wait` | `Identify` |
//! | identified | awaiting, asked | complete card, or `card_wait` | everything held back so far, in order |
//! | open | identified | - | each notice at once |
//! | ended | any | the caller's leg is gone | `Ended`, exactly once, after every pop was withdrawn |
//!
//! Invariant: only inbound calls tell anything; nothing is told after `Ended`; what a pop shows is never older
//! than the card that was known when it was told.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::leg::Plan;
use super::output::{Notice, NoticeKind};
use super::view::{CallState, CallView, Direction, Outcome};
use crate::ami::event::{Channel, DialStatus};
use crate::directory::card::Card;
use crate::identity::{Caller, Identity};
use crate::ids::{CallId, ChannelId, Extension};
use crate::sip;

/// Most channels that a call remembers to have had.
pub const CHANNELS_PER_CALL_MAX: usize = 64;

/// How much of a call may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The dialplan may still tell its identity; until then at the latest.
    Awaiting(Timestamp),
    /// The dialplan told nothing, so the PBX was asked about the channel; until then at the latest.
    Asked(Timestamp),
    /// The directory was asked; notices wait for its answer; until then at the latest.
    Identified(Timestamp),
    /// Everything is told at once.
    Open,
    /// `Ended` was told.
    Ended,
}

impl Stage {
    /// Until when the call waits, if it waits.
    pub(crate) fn until(self) -> Option<Timestamp> {
        match self {
            Self::Awaiting(until) | Self::Asked(until) | Self::Identified(until) => Some(until),
            Self::Open | Self::Ended => None,
        }
    }
}

/// A phone that rings with this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) operator: Extension,
    pub(crate) leg: ChannelId,
}

/// A caller id whose presentation is not known: Asterisk leaves a withheld number in it, so it goes nowhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unproven {
    pub(crate) exten: SmolStr,
    pub(crate) number: SmolStr,
    pub(crate) name: SmolStr,
}

impl Unproven {
    pub(crate) fn of(channel: &Channel) -> Self {
        let word = |word: &Option<SmolStr>| word.clone().unwrap_or_default();
        Self {
            exten: word(&channel.exten),
            number: word(&channel.caller_number),
            name: word(&channel.caller_name),
        }
    }

    /// The identity, once the presentation is known.
    pub(crate) fn proven(&self, presentation: &str) -> Identity {
        sip::from_channel(&self.exten, &self.number, &self.name, Some(presentation))
    }

    /// The identity without the caller.
    pub(crate) fn hidden(&self) -> Identity {
        Identity { caller: Caller::default(), ..sip::from_channel(&self.exten, "", "", None) }
    }

    /// The identity as the SIP headers complete it; they say themselves what may be shown.
    pub(crate) fn with_headers(&self, headers: &[(SmolStr, Vec<u8>)]) -> Identity {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        sip::from_headers(headers, &self.hidden())
    }
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
    /// All legs it ever had, for those who look it up in the PBX's own records.
    pub(crate) channels: Vec<ChannelId>,
    pub(crate) identity: Identity,
    /// The endpoint it came in on.
    pub(crate) trunk: SmolStr,
    /// What the caller's channel itself says, where nobody has said yet whether it may be shown.
    pub(crate) unproven: Unproven,
    /// The dialplan handed the identity over; what the channel itself says counts no more.
    pub(crate) told_identity: bool,
    pub(crate) card: Option<Arc<Card>>,
    /// How often the directory was asked, each time because more was told.
    pub(crate) questions: u32,
    /// Which of the questions `card` answers.
    pub(crate) card_answers: u32,
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
            channels: Vec::with_capacity(3),
            identity: Identity::default(),
            card: None,
            questions: 0,
            card_answers: 0,
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
            trunk: SmolStr::default(),
            unproven: Unproven::default(),
            overflowed: false,
            told: None,
            outcome: None,
            state: CallState::Offered,
            inferred: false,
            last_dials: Vec::new(),
            held_back: Vec::new(),
        }
    }

    /// A leg joins it.
    pub(crate) fn add_leg(&mut self, id: &ChannelId) {
        self.legs.push(id.clone());
        if self.channels.len() < CHANNELS_PER_CALL_MAX {
            self.channels.push(id.clone());
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

    /// The notices that may go out now, in order. Each bears the call as it is now, so that a pop that waited for
    /// its card shows the newest; but nobody loses sight of it before the notice that withdraws it from her.
    pub(crate) fn release(&mut self, plan: &Plan) -> Vec<Notice> {
        if !matches!(self.stage, Stage::Open | Stage::Ended) || self.held_back.is_empty() {
            return Vec::new();
        }
        let mut view = self.view(plan);
        let mut notices: Vec<Notice> = Vec::with_capacity(self.held_back.len());
        for (at, kind) in self.held_back.drain(..).rev() {
            let told = view.clone();
            if let NoticeKind::Rescinded { operator, .. } = &kind
                && !view.operators().any(|other| other == operator)
            {
                view.presented_to.push(operator.clone());
            }
            notices.push(Notice { at, kind, view: told });
        }
        notices.reverse();
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
