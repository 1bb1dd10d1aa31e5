//! A call: the legs that belong together, the facts derived from them, and the notices that wait.
//!
//! | stage | from | left on | output |
//! |---|---|---|---|
//! | awaiting identity | a leg that comes in from a trunk (`ReadChannel` goes out) | the identity from the dialplan, or the hang-up → awaiting card; queue, dial or `identity_timeout` → awaiting presentation | `Identify`; `ReadHeaders` |
//! | awaiting presentation | awaiting identity | both answers of the PBX, a later identity, the hang-up, or `presentation_timeout` → awaiting card | `Identify` |
//! | awaiting card | awaiting identity, awaiting presentation | complete card, or `card_timeout` → open | all pending notices, in order |
//! | open | awaiting card | the `Ended` notice goes out → ended | each notice at once |
//! | ended | open | - | nothing |
//!
//! A caller who hangs up before the call is open does not shorten the wait for the card: the withdrawals and `Ended` are
//! pending with the other notices.
//!
//! Invariant: only inbound calls send notices; `Ended` is sent exactly once, after every pop was withdrawn, and is the
//! last; the card of a pop is never older than the card that was known when the pop was sent.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::leg::{EndpointRules, PHONE_DIGITS_MAX};
use super::outbound::OutboundFacts;
use super::output::{Notice, NoticeKind};
use super::queue_visit::{self, QueueVisit, Treated};
use crate::ami::event::{Channel, DialStatus};
use crate::contract::call::{CallQueue, CallState, CallView, Direction, Outcome};
use crate::contract::card::Card;
use crate::identity::{Caller, DialledSource, Identity, Presentation};
use crate::ids::{CallId, ChannelId, Extension, RecordId};
use crate::sip;

/// Most extensions of a caller's channel that are kept as numbers that may have been dialled.
const EXTENSIONS_MAX: usize = 4;
/// Most channels that a call lists for its history.
pub const CHANNELS_PER_CALL_MAX: usize = 64;

/// How far a call is from sending its notices at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The dialplan may still send the identity, until then.
    AwaitingIdentity(Timestamp),
    /// The dialplan sent none; the PBX may still answer for the channel, until then.
    AwaitingPresentation(Timestamp),
    /// Notices wait for the directory's answer, until then.
    AwaitingCard(Timestamp),
    /// Notices go out at once.
    Open,
    /// `Ended` went out.
    Ended,
}

impl Stage {
    /// When the wait of this stage is over, if it has one.
    pub(crate) fn deadline(self) -> Option<Timestamp> {
        match self {
            Self::AwaitingIdentity(at) | Self::AwaitingPresentation(at) | Self::AwaitingCard(at) => Some(at),
            Self::Open | Self::Ended => None,
        }
    }
}

/// An operator, on one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorLeg {
    pub(crate) operator: Extension,
    pub(crate) leg: ChannelId,
}

/// SIP headers by name, as the dialplan sends them or the PBX answers.
pub(crate) type Headers = Vec<(SmolStr, Vec<u8>)>;

/// The caller id of a channel. Asterisk leaves a withheld number in it, so it is shown only after the PBX has answered for
/// it. Whatever the PBX's route writes into the presentation later, the strictest word counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnverifiedCallerId {
    /// The extensions that the channel entered, newest first.
    extens: Vec<SmolStr>,
    number: SmolStr,
    name: SmolStr,
    /// The strictest word about the number so far.
    presentation: Option<Presentation>,
    /// The PBX has answered for the number.
    pub(crate) presentation_read: bool,
    /// The headers that were read from the channel; `None` until the PBX has answered.
    pub(crate) headers: Option<Headers>,
}

impl UnverifiedCallerId {
    pub(crate) fn from_channel(channel: &Channel) -> Self {
        let mut caller_id = Self { extens: channel.exten.iter().cloned().collect(), ..Self::default() };
        caller_id.set_caller(channel);
        caller_id
    }

    /// The channel has another caller id now.
    pub(crate) fn set_caller(&mut self, channel: &Channel) {
        self.number = channel.caller_number.clone().unwrap_or_default();
        self.name = channel.caller_name.clone().unwrap_or_default();
    }

    /// The dialplan sent the channel to another extension. It may be a number that the dialplan read from a header; one as
    /// short as a phone's is a step of the route.
    pub(crate) fn add_extension(&mut self, channel: &Channel) {
        let Some(exten) = channel.exten.as_ref().filter(|exten| exten.len() > PHONE_DIGITS_MAX) else {
            return;
        };
        if self.extens.len() < EXTENSIONS_MAX && !self.extens.contains(exten) {
            self.extens.insert(0, exten.clone());
        }
    }

    /// Takes a word about the number; it counts unless a stricter one is known.
    pub(crate) fn add_presentation(&mut self, text: &str) {
        let new = sip::presentation_of(text);
        self.presentation = Some(self.presentation.map_or(new, |known| known.stricter(new)));
    }

    /// Takes a word that may only hide the number.
    pub(crate) fn restrict(&mut self, text: &str) {
        if sip::presentation_of(text) != Presentation::Allowed {
            self.add_presentation(text);
        }
    }

    /// The identity from the channel, and from its headers if they were read. It has a caller only after the PBX has said
    /// that the number may be shown.
    pub(crate) fn identity(&self) -> Identity {
        let channel = self.numbers(match self.presentation {
            Some(Presentation::Allowed) if !self.is_read() => Caller::default(),
            Some(known) => sip::caller_of_channel(&self.number, &self.name, known),
            None => Caller::default(),
        });
        match &self.headers {
            Some(headers) => sip::from_channel_and_headers(borrowed(headers), &channel),
            None => channel,
        }
    }

    /// Whether the PBX has answered everything that could hide the number.
    pub(crate) fn is_read(&self) -> bool {
        self.presentation_read && self.headers.is_some()
    }

    /// The identity from the headers that the dialplan sent, which contain the caller's privacy themselves. What hides the
    /// number on the channel counts as well.
    pub(crate) fn with_headers(&self, headers: &[(SmolStr, Vec<u8>)]) -> Identity {
        let caller = self.hidden().map_or_else(Caller::default, |why| Caller::new(None, None, why));
        sip::from_headers(borrowed(headers), &self.numbers(caller))
    }

    /// Why the number is hidden, if the channel says so.
    pub(crate) fn hidden(&self) -> Option<Presentation> {
        self.presentation.filter(|presentation| presentation.hides_number())
    }

    fn numbers(&self, caller: Caller) -> Identity {
        let dialled = self.extens.iter().flat_map(|exten| sip::from_channel(exten, "", "", None).dialled);
        Identity {
            dialled: dialled.collect::<Vec<(DialledSource, SmolStr)>>(),
            caller,
            ..Identity::default()
        }
    }
}

fn borrowed(headers: &[(SmolStr, Vec<u8>)]) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
}

/// What a derivation must know of a leg that is gone.
#[derive(Debug, Clone)]
pub(crate) struct RemovedLeg {
    pub(crate) id: ChannelId,
    /// How its dial ended; without a DialEnd event, as the cause of the hang-up implies.
    pub(crate) status: DialStatus,
    /// Another channel took its place or its call: a pick-up of a ringing call.
    pub(crate) taken_elsewhere: bool,
    pub(crate) consulted: bool,
    pub(crate) picked_up_at: Option<Timestamp>,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) direction: Direction,
    pub(crate) stage: Stage,
    /// All living legs, oldest first.
    pub(crate) legs: Vec<ChannelId>,
    /// Linked ids by which the call is found, besides its living legs.
    pub(crate) linked: Vec<ChannelId>,
    /// The leg that came in (inbound calls); it stays the caller's leg over every transfer.
    pub(crate) caller: Option<ChannelId>,
    /// All legs that the call ever had, to find it in the PBX's own records.
    pub(crate) channels: Vec<ChannelId>,
    pub(crate) identity: Identity,
    /// The endpoint on which the call came in.
    pub(crate) trunk: SmolStr,
    /// The technology of the caller's channel, for instance `PJSIP`.
    pub(crate) technology: SmolStr,
    /// The caller id of the caller's channel.
    pub(crate) unverified: UnverifiedCallerId,
    /// The identity is the dialplan's; the channel's caller id no longer counts.
    pub(crate) identity_from_dialplan: bool,
    pub(crate) card: Option<Arc<Card>>,
    /// How many directory lookups were requested, one for each new identity.
    pub(crate) questions: u32,
    /// The lookup that `card` answers.
    pub(crate) card_question: u32,
    pub(crate) offered_at: Timestamp,
    pub(crate) answered_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) presented: Vec<OperatorLeg>,
    /// The operator who has the caller.
    pub(crate) operator: Option<OperatorLeg>,
    /// Every operator who had the caller, in order.
    pub(crate) operators: Vec<Extension>,
    /// The people who had the caller, in order, as the owner of the model knows them.
    pub(crate) handled_by: Vec<RecordId>,
    /// The legs on which they had the caller. Such a leg gets the caller again only through a bridge.
    pub(crate) operators_legs: Vec<ChannelId>,
    pub(crate) held: bool,
    pub(crate) queued: bool,
    /// The caller's waits in queues, in order.
    pub(crate) queue_visits: Vec<QueueVisit>,
    /// How a plan of the PBX treats the call.
    pub(crate) treated: Option<Treated>,
    /// The sound of that plan that the caller hears.
    pub(crate) guidance: Option<String>,
    /// When it is next reported that a phone was picked up whose operator still hears an announcement.
    pub(crate) announced_from: Option<Timestamp>,
    /// A phone was dialled for the caller, or the caller waited in a queue.
    pub(crate) tried: bool,
    /// A phone that was dialled for the caller refused, or was busy.
    pub(crate) refused: bool,
    /// A phone that was dialled for the caller did neither refuse nor get the caller.
    pub(crate) unanswered: bool,
    /// The far end of the caller's leg hung up.
    pub(crate) caller_hung_up: bool,
    /// The caller hung up unserved: in a queue, while a phone rang, or before one was tried.
    pub(crate) abandoned: bool,
    /// The call left a queue unanswered while the caller was still there.
    pub(crate) overflowed: bool,
    /// Somebody who is not an operator was connected with the caller.
    pub(crate) elsewhere: bool,
    /// A list found the caller's leg answered: what happened before is not known.
    pub(crate) found_up: bool,
    /// The dialplan receives a fax in it.
    pub(crate) fax: bool,
    /// The operator passed the caller on, and no operator has got the caller since.
    pub(crate) passed_on: bool,
    /// The caller's leg is answered, by a person or by the PBX.
    pub(crate) caller_up: bool,
    /// The PBX itself has the caller: a mailbox, an announcement.
    pub(crate) with_pbx: bool,
    /// Nobody attends to the caller; until then the dialplan may still be between two steps.
    pub(crate) unattended_until: Option<Timestamp>,
    /// The outcome that the dialplan reported.
    pub(crate) dialplan_outcome: Option<Outcome>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) state: CallState,
    /// At least one fact was inferred after a gap.
    pub(crate) inferred: bool,
    /// The legs that were removed since the last derivation.
    pub(crate) removed_legs: Vec<RemovedLeg>,
    /// What is known of a call that goes out.
    pub(crate) outbound: OutboundFacts,
    pending_notices: Vec<(Timestamp, NoticeKind)>,
}

impl Call {
    pub(crate) fn new(id: CallId, direction: Direction, now: Timestamp, rules: &EndpointRules) -> Self {
        Self {
            id,
            direction,
            stage: Stage::AwaitingIdentity(deadline_after(now, rules.identity_timeout)),
            legs: Vec::with_capacity(3),
            linked: Vec::with_capacity(1),
            caller: None,
            channels: Vec::with_capacity(3),
            identity: Identity::default(),
            card: None,
            questions: 0,
            card_question: 0,
            offered_at: now,
            answered_at: None,
            ended_at: None,
            presented: Vec::new(),
            operator: None,
            operators: Vec::new(),
            handled_by: Vec::new(),
            operators_legs: Vec::new(),
            held: false,
            queued: false,
            queue_visits: Vec::new(),
            treated: None,
            guidance: None,
            announced_from: None,
            tried: false,
            refused: false,
            unanswered: false,
            caller_hung_up: false,
            abandoned: false,
            elsewhere: false,
            found_up: false,
            fax: false,
            passed_on: false,
            caller_up: false,
            with_pbx: false,
            unattended_until: None,
            identity_from_dialplan: false,
            trunk: SmolStr::default(),
            technology: SmolStr::default(),
            unverified: UnverifiedCallerId::default(),
            overflowed: false,
            dialplan_outcome: None,
            outcome: None,
            state: CallState::Offered,
            inferred: false,
            removed_legs: Vec::new(),
            outbound: OutboundFacts::default(),
            pending_notices: Vec::new(),
        }
    }

    /// Adds a leg.
    pub(crate) fn add_leg(&mut self, id: &ChannelId) {
        self.legs.push(id.clone());
        if self.channels.len() < CHANNELS_PER_CALL_MAX {
            self.channels.push(id.clone());
        }
    }

    /// Makes the call one that nobody made from outside; it has sent no notice yet.
    pub(crate) fn forget_caller(&mut self) {
        self.direction = Direction::Outbound;
        (self.caller, self.operator) = (None, None);
        (self.answered_at, self.held, self.queued) = (None, false, false);
        (self.tried, self.refused, self.unanswered) = (false, false, false);
        (self.caller_hung_up, self.abandoned, self.elsewhere) = (false, false, false);
        (self.found_up, self.caller_up, self.with_pbx, self.unattended_until) = (false, false, false, None);
        self.fax = false;
        (self.identity, self.unverified) = (Identity::default(), UnverifiedCallerId::default());
        self.presented.clear();
        self.operators.clear();
        self.operators_legs.clear();
        self.queue_visits.clear();
        (self.treated, self.guidance) = (None, None);
        self.pending_notices.clear();
    }

    /// Whether the call sends notices: inbound calls do, until their end.
    pub(crate) fn is_reportable(&self) -> bool {
        self.direction == Direction::Inbound && self.ended_at.is_none()
    }

    /// Whether the call sends notices and this is its caller's channel.
    pub(crate) fn is_of_caller(&self, channel: &Channel) -> bool {
        self.is_reportable() && self.caller.as_ref() == Some(&channel.id)
    }

    /// Whether the call can be removed: no legs, and no notices to come.
    pub(crate) fn is_done(&self) -> bool {
        self.legs.is_empty() && (self.stage == Stage::Ended || self.direction != Direction::Inbound)
    }

    /// Queues a notice; it goes out with the next [`Self::take_notices`].
    pub(crate) fn push_notice(&mut self, at: Timestamp, kind: NoticeKind) {
        self.pending_notices.push((at, kind));
    }

    /// As [`Self::push_notice`], in front of the others.
    pub(crate) fn push_notice_first(&mut self, at: Timestamp, kind: NoticeKind) {
        self.pending_notices.insert(0, (at, kind));
    }

    /// Takes the notices that may go out now, in order. Each holds the call's present view, so that a pop that waited
    /// shows the newest card; but an operator stays in `presented_to` until the notice that ends the ringing there, and
    /// has the caller in the notice that says so, also where the call is over by now; so it is with the queue in which the
    /// caller waits, and what the caller hears. A notice goes to those whom the call concerns at that moment, so it names
    /// no phone that rings later.
    pub(crate) fn take_notices(&mut self, rules: &EndpointRules) -> Vec<Notice> {
        if !matches!(self.stage, Stage::Open | Stage::Ended) || self.pending_notices.is_empty() {
            return Vec::new();
        }
        let mut view = self.view(rules);
        let rang = |(_, kind): &(Timestamp, NoticeKind)| match kind {
            NoticeKind::Presented { operator } => Some(operator.clone()),
            _ => None,
        };
        let rang: Vec<Extension> = self.pending_notices.iter().filter_map(rang).collect();
        let mut notices: Vec<Notice> = Vec::with_capacity(self.pending_notices.len());
        for (at, kind) in self.pending_notices.drain(..).rev() {
            let mut notice_view = view.clone();
            let connects = kind.connects().filter(|(operator, _)| view.operator.as_ref() != Some(operator));
            if let Some((operator, state)) = connects {
                notice_view.presented_to.retain(|other| other != operator);
                (notice_view.operator, notice_view.state) = (Some(operator.clone()), state);
            }
            match &kind {
                NoticeKind::Queued { queue, position } => {
                    let (name, position) = (queue.clone(), *position);
                    notice_view.queue = Some(CallQueue { name, since: at, position });
                    show_unattended(&mut notice_view);
                }
                NoticeKind::Guidance { sound } => {
                    notice_view.guidance = Some(sound.clone());
                    show_unattended(&mut notice_view);
                }
                // The notices before this one are about a call that did not ring there yet.
                NoticeKind::Presented { operator } => {
                    view.presented_to.retain(|other| other != operator);
                    if view.presented_to.is_empty() && view.state == CallState::Presented {
                        view.state = CallState::Offered;
                    }
                }
                _ => {}
            }
            let rang_at = match &kind {
                NoticeKind::Rescinded { operator, .. } => Some(operator),
                // Who takes a call that rings elsewhere was not rung.
                NoticeKind::Answered { operator, .. } => {
                    Some(operator).filter(|operator| rang.contains(operator))
                }
                _ => None,
            };
            if let Some(operator) = rang_at.filter(|o| !view.operators().any(|other| other == *o)) {
                view.presented_to.push(operator.clone());
            }
            notices.push(Notice { at, kind, view: notice_view });
        }
        notices.reverse();
        if self.ended_at.is_some() {
            self.stage = Stage::Ended;
        }
        notices
    }

    /// The public form of the call.
    pub(crate) fn view(&self, rules: &EndpointRules) -> CallView {
        CallView {
            id: self.id,
            pbx: rules.pbx.clone(),
            direction: self.direction,
            state: self.state,
            offered_at: self.offered_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            presented_to: self.presented.iter().map(|p| p.operator.clone()).collect(),
            operator: self.operator.as_ref().map(|o| o.operator.clone()),
            handled_by: self.handled_by.clone(),
            outcome: self.outcome,
            queue: queue_visit::present(&self.queue_visits).filter(|_| self.queued),
            treatment: self.treated.as_ref().and_then(Treated::of_view),
            guidance: self.guidance.clone(),
            card: self.card.clone(),
            inferred: self.inferred,
        }
    }
}

/// Who waits, or hears guidance, is with no operator at that moment.
fn show_unattended(view: &mut CallView) {
    if view.operator.take().is_some() {
        view.state = CallState::Offered;
    }
}

/// `now` plus a wait; never earlier than `now`.
pub(crate) fn deadline_after(now: Timestamp, wait: std::time::Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
