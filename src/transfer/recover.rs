//! Finds the transfers that were under way when the daemon started, from what the PBX itself still knows.
//!
//! Each transfer stores its context ([`TransferContext`], in `TORITSUGI_ABOUT`) on the channel that runs the dialplan. A
//! list of all channels shows which channels are in our contexts. For each of them that no followed transfer concerns, the
//! owner reads that variable ([`Output::ReadContext`]) and passes it to [`Transfers::adopt`].
//!
//! | the channel is in | and | the transfer is |
//! |---|---|---|
//! | `toritsugi-reach` | the called phone rings, or hears the prompt | ringing; else trying |
//! | | caller and called phone share a bridge | completed |
//! | | its channel is a Local one's second half | a consultation: ringing, or consulting when answered |
//! | `toritsugi-transfer` | `Queue` | in the queue that is its target, or returning |
//! | | anything else | returning to the operator |
//!
//! Invariant: unknown facts stay unknown. Targets that were tried before have the outcome `unknown`, times are those of the
//! recovery, and the transfer is marked `inferred`. A consultation that the PBX completed leaves nothing to find: the model
//! alone follows its call, as it does a call that is back with an operator.

use std::fmt::Write as _;

use jiff::Timestamp;
use smol_str::SmolStr;
use uuid::Uuid;

use super::actions::{BLIND_CONTEXT, CONSULT_CONTEXT};
use super::follow::{operator_with_caller, share_bridge};
use super::machine::{ActiveTransfer, NoticeKind, Output, SILENCE_TIMEOUT, Transfers};
use super::plan::{Plan, ShownNumber, TARGETS_MAX, Target};
use crate::ami::event::{Channel, ChannelState, Event};
use crate::call::Model;
use crate::contract::transfer::{Mode, Outcome, ReturnedTo, State, TargetView, TransferId};
use crate::ids::{ChannelId, Extension, QueueName, RecordId};

/// Most channels of one list that are stored as possible parts of transfers.
pub const ORPHAN_CANDIDATES_MAX: usize = 4_096;
/// The dialplan's subroutine that rings one target.
const REACH_CONTEXT: &str = "toritsugi-reach";
/// The dialplan's subroutine on the target's channel, before it gets the caller.
const ACCEPT_CONTEXT: &str = "toritsugi-accept";
/// The application that a list shows for a dialled channel.
const DIALLED: &str = "AppDial";
/// First word of a [`TransferContext`]; a line with another version is ignored.
const VERSION: &str = "1";

/// A channel of a list that may take part in a transfer.
#[derive(Debug, Clone)]
pub(super) struct ListedChannel {
    id: ChannelId,
    linked: ChannelId,
    context: SmolStr,
    application: SmolStr,
    /// The half of a Local channel that runs no dialplan.
    first_half: bool,
}

/// The context of a transfer, as stored on a channel: enough to continue it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferContext {
    pub(super) id: TransferId,
    pub(super) requested_at: Timestamp,
    pub(super) operator: Extension,
    /// The operator's channel when the transfer started.
    pub(super) leg: ChannelId,
    pub(super) mode: Mode,
    pub(super) plan: Plan,
}

impl TransferContext {
    /// The context of an active transfer.
    pub(super) fn from_active(live: &ActiveTransfer) -> Self {
        Self {
            id: live.view.id,
            requested_at: live.view.requested_at,
            operator: live.view.operator.clone(),
            leg: live.operator.clone(),
            mode: live.view.mode,
            plan: live.plan.clone(),
        }
    }

    /// Writes it as one line, without people's names and numbers except the digits that are dialled.
    pub(super) fn to_line(&self) -> String {
        let mode = if self.mode == Mode::Blind { "blind" } else { "consult" };
        let shown_number = match &self.plan.shown_number {
            ShownNumber::Caller(number) => format!("c{}", number.as_deref().unwrap_or_default()),
            ShownNumber::Number(number) => format!("n{number}"),
            ShownNumber::Withheld => "w".to_owned(),
        };
        let sound = self.plan.accept_sound.as_deref().unwrap_or("-");
        let queue = self.plan.return_queue.as_ref().map_or("-".into(), |queue| word_of(queue.as_str()));
        let at = self.requested_at.as_millisecond();
        let Self { id, operator, leg, .. } = self;
        let leg = word_of(leg.as_str());
        let mut line = format!("{VERSION} {id} {at} {operator} {leg} {mode} {shown_number} {queue} {sound}");
        for target in &self.plan.targets {
            let (kind, name) = match &target.view {
                TargetView::Contact { id, .. } => ('c', id.0.simple().to_string()),
                TargetView::Number { .. } => ('n', String::new()),
                TargetView::Operator { .. } => ('o', String::new()),
                TargetView::Queue { queue } => ('q', word_of(queue.as_str())),
            };
            let dial = target.dial.as_deref().unwrap_or_default();
            // Writing to a String does not fail.
            let _ = write!(line, " {kind}/{dial}/{}/{}/{name}", target.ring_s, u8::from(target.accept));
        }
        line
    }

    /// Reads such a line. Contacts have no names, and numbers are as dialled: see [`Self::targets_mut`].
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut next = || words.next().filter(|word| !word.is_empty());
        if next()? != VERSION {
            return None;
        }
        let id = TransferId::parse(next()?)?;
        let requested_at = Timestamp::from_millisecond(next()?.parse().ok()?).ok()?;
        let operator = Extension::parse(next()?).ok()?;
        let leg = ChannelId::parse(&text_of(next()?)?).ok()?;
        let mode = match next()? {
            "blind" => Mode::Blind,
            "consult" => Mode::Consult,
            _ => return None,
        };
        let shown_number = match next()?.split_at_checked(1)? {
            ("c", number) => ShownNumber::Caller(Some(number).filter(|n| !n.is_empty()).map(SmolStr::new)),
            ("n", number) => ShownNumber::Number(SmolStr::new(number)),
            ("w", "") => ShownNumber::Withheld,
            _ => return None,
        };
        let return_queue = Some(next()?).filter(|word| *word != "-").and_then(text_of);
        let return_queue = return_queue.and_then(|name| QueueName::parse(&name).ok());
        let accept_sound = Some(next()?).filter(|word| *word != "-").map(SmolStr::new);
        let targets: Vec<Target> = words.take(TARGETS_MAX).map(target).collect::<Option<_>>()?;
        if targets.is_empty() {
            return None;
        }
        let plan = Plan { targets, shown_number, accept_sound, return_queue };
        Some(Self { id, requested_at, operator, leg, mode, plan })
    }

    /// The targets whose names are to be filled in, with their dialled digits.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = (&mut TargetView, Option<&SmolStr>)> {
        self.plan.targets.iter_mut().map(|target| (&mut target.view, target.dial.as_ref()))
    }
}

/// A name of the PBX as one word of the line: `systemname`, and with it every unique id, and a queue's name may hold
/// spaces.
fn word_of(name: &str) -> String {
    let word = name.replace('%', "%25").replace(' ', "%20").replace('/', "%2F");
    if word == "-" { "%2D".into() } else { word }
}

/// The name in such a word; `None` for an unknown escape.
fn text_of(word: &str) -> Option<String> {
    let mut parts = word.split('%');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let escapes = [("25", '%'), ("20", ' '), ("2F", '/'), ("2D", '-')];
        let (rest, c) = escapes.iter().find_map(|(code, c)| Some((part.strip_prefix(code)?, *c)))?;
        text.push(c);
        text.push_str(rest);
    }
    Some(text)
}

/// `kind/dial/seconds/accept/name`
fn target(word: &str) -> Option<Target> {
    let mut parts = word.split('/');
    let mut next = || parts.next();
    let (kind, dial, ring_s, accept, name) = (next()?, next()?, next()?, next()?, next()?);
    let dial = Some(dial).filter(|dial| !dial.is_empty()).map(SmolStr::new);
    let view = match kind {
        "c" => TargetView::Contact { id: RecordId(Uuid::try_parse(name).ok()?), name: String::new() },
        "n" => TargetView::Number { number: dial.as_ref()?.to_string() },
        "o" => TargetView::Operator { extension: Extension::parse(dial.as_ref()?).ok()? },
        "q" => TargetView::Queue { queue: QueueName::parse(&text_of(name)?).ok()? },
        _ => return None,
    };
    Some(Target { view, dial, ring_s: ring_s.parse().ok()?, accept: accept == "1" })
}

impl Transfers {
    /// Whether the machine needs this event although no transfer is active.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.chan_spies.wants(event)
            || matches!(event, Event::ChannelListed { channel, application, .. }
            if is_dialler(channel.context.as_deref()) || is_called(channel.context.as_deref(), application))
    }

    /// A list of all channels begins.
    pub fn list_began(&mut self) {
        self.orphan_candidates.clear();
        self.chan_spies.clear();
    }

    pub(super) fn on_channel_listed(&mut self, channel: &Channel, application: &SmolStr) {
        let context = channel.context.as_deref();
        if self.orphan_candidates.len() < ORPHAN_CANDIDATES_MAX
            && (is_dialler(context) || is_called(context, application))
        {
            self.orphan_candidates.push(ListedChannel {
                id: channel.id.clone(),
                linked: channel.linked.clone(),
                context: channel.context.clone().unwrap_or_default(),
                application: application.clone(),
                first_half: channel.name.ends_with(";1"),
            });
        }
    }

    /// After a complete list: requests the context of each channel in our dialplan contexts without a known transfer.
    pub(super) fn request_orphan_contexts(&mut self, model: &Model) {
        let forgotten = |channel: &ChannelId| {
            let call = model.leg_view(channel).map(|leg| leg.call);
            call.is_some_and(|call| self.latest_of(call).is_none())
        };
        let lost: Vec<ChannelId> = self
            .orphan_candidates
            .iter()
            .filter(|listed| is_dialler(Some(&listed.context)) && !listed.first_half && forgotten(&listed.id))
            .map(|listed| listed.id.clone())
            .collect();
        for channel in lost {
            self.push_output(Output::ReadContext { channel });
        }
    }

    /// Continues a transfer that was found on `dialler`; `tried` is how many targets the dialplan has started to call.
    pub fn adopt(
        &mut self,
        now: Timestamp,
        model: &Model,
        dialler: &ChannelId,
        context: TransferContext,
        tried: usize,
    ) {
        let Some(listed) = self.orphan_candidates.iter().find(|listed| listed.id == *dialler).cloned() else {
            return;
        };
        let Some(call) = model.leg_view(dialler).map(|leg| leg.call) else { return };
        let Some(caller) = model.parties(call).and_then(|parties| parties.caller) else { return };
        let consult = *dialler != caller;
        let known = self.active.contains_key(&context.id) || self.latest_of(call).is_some();
        if known || (consult && context.mode == Mode::Blind) {
            return;
        }
        let id = context.id;
        let legs = (caller.clone(), context.leg);
        let tried = if consult { 1 } else { tried.min(context.plan.targets.len()) };
        let mut live = ActiveTransfer::new(
            (id, context.requested_at),
            (call, context.mode, context.operator),
            context.plan,
            legs,
        );
        live.view.inferred = true;
        live.view.state = State::Trying;
        live.consult = consult;
        live.dialler = Some(dialler.clone());
        live.operator_away = !share_bridge(model, &live.operator, &caller);
        let reaches = consult || listed.context == REACH_CONTEXT;
        if !reaches && live.plan.target_queue().is_none() && operator_with_caller(model, &live).is_some() {
            // The caller is back with an operator: nothing is left to follow.
            return;
        }
        let with = self.find_called(model, &live, &listed);
        for channel in [&caller, &live.operator, dialler].into_iter().chain(&with) {
            self.channels.insert(channel.clone(), id);
        }
        self.active.insert(id, live);
        self.record_earlier_attempts(now, id, if reaches { tried.saturating_sub(1) } else { tried });
        if reaches {
            self.resume_dialling(now, id, tried.saturating_sub(1), with, model);
        } else {
            self.resume_returning(now, id, with, listed.application == "Queue", model);
        }
    }

    /// Records the targets that were tried before: they did not take the caller, for an unknown reason.
    fn record_earlier_attempts(&mut self, now: Timestamp, id: TransferId, tried: usize) {
        for at in 0..tried {
            if let Some(live) = self.active.get_mut(&id).filter(|live| live.plan.target_queue().is_none()) {
                live.open_attempt(now, at);
                live.close_attempt(now, Outcome::Unknown);
                self.push_notice(now, id, NoticeKind::Failed);
            }
        }
    }

    /// Continues a transfer whose target is being called or was reached.
    fn resume_dialling(
        &mut self,
        now: Timestamp,
        id: TransferId,
        at: usize,
        with: Option<ChannelId>,
        model: &Model,
    ) {
        let Some(live) = self.active.get_mut(&id) else { return };
        live.open_attempt(now, at);
        live.target = with;
        let ring_s = live.plan.targets.get(at).map_or(0, |target| target.ring_s);
        let ring = std::time::Duration::from_secs(u64::from(ring_s));
        let state = live.target.as_ref().and_then(|leg| model.leg_view(leg)).map(|leg| leg.state);
        let reached = |leg: &ChannelId| share_bridge(model, leg, &live.caller);
        if live.target.as_ref().is_some_and(reached) {
            return self.on_completed(now, id);
        }
        if live.consult && live.is_target_answered(model) {
            return self.on_target_answered(now, id);
        }
        if matches!(state, Some(ChannelState::Ringing | ChannelState::Up)) {
            live.view.state = State::Ringing;
        }
        let alone = live.consult && model.leg_view(&live.operator).is_none();
        self.set_deadline(id, now, ring.saturating_add(SILENCE_TIMEOUT));
        self.push_notice(now, id, NoticeKind::Ringing);
        if alone {
            // The operator hung up in the meantime: continue as blind, with the queue behind the operator.
            self.continue_blind(now, id);
        }
    }

    /// Continues a transfer whose caller is on the way to the operator or to a queue.
    fn resume_returning(
        &mut self,
        now: Timestamp,
        id: TransferId,
        with: Option<ChannelId>,
        queue: bool,
        model: &Model,
    ) {
        let Some(live) = self.active.get_mut(&id) else { return };
        let operator = ReturnedTo::Operator(live.view.operator.clone());
        match live.plan.target_queue().cloned() {
            Some(_) => {
                live.open_attempt(now, 0);
                live.view.state = State::Ringing;
                self.set_deadline(id, now, SILENCE_TIMEOUT);
                self.push_notice(now, id, NoticeKind::Ringing);
                self.on_bridged(now, id, model);
            }
            None => {
                let name = live.plan.return_queue.as_ref().map(ToString::to_string).unwrap_or_default();
                self.on_returning(now, id, if queue { ReturnedTo::Queue(name) } else { operator });
                let Some(live) = self.active.get_mut(&id) else { return };
                live.return_leg = with;
            }
        }
    }

    /// The channel that the dialplan called for this transfer: the one in a bridge with the caller or the dialler, else the
    /// latest one in no bridge.
    fn find_called(
        &self,
        model: &Model,
        live: &ActiveTransfer,
        dialler: &ListedChannel,
    ) -> Option<ChannelId> {
        let called: Vec<&ChannelId> = self
            .orphan_candidates
            .iter()
            .filter(|listed| is_called(Some(&listed.context), &listed.application) && !listed.first_half)
            .filter(|listed| listed.linked == dialler.linked && listed.id != live.operator)
            .map(|listed| &listed.id)
            .collect();
        let met = |leg: &&&ChannelId| {
            share_bridge(model, leg, &live.caller)
                || live.dialler.as_ref().is_some_and(|d| share_bridge(model, leg, d))
        };
        let free = |leg: &&&ChannelId| model.leg_view(leg).is_some_and(|leg| leg.bridge.is_none());
        called.iter().find(met).or_else(|| called.iter().rfind(free)).map(|leg| (*leg).clone())
    }
}

fn is_dialler(context: Option<&str>) -> bool {
    matches!(context, Some(BLIND_CONTEXT | CONSULT_CONTEXT | REACH_CONTEXT))
}

fn is_called(context: Option<&str>, application: &str) -> bool {
    application == DIALLED || context == Some(ACCEPT_CONTEXT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CallId;

    #[test]
    fn a_line_is_read_back_and_short_enough_for_the_pbx() {
        let contact = |n: u128| Target {
            view: TargetView::Contact { id: RecordId(Uuid::from_u128(n)), name: String::new() },
            dial: Some("09011112222".into()),
            ring_s: 120,
            accept: true,
        };
        let call = CallId::parse("61d902fe-93b7-4c0a-8e1f-c6a45b7d2a90").unwrap();
        let at = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let context = TransferContext {
            id: TransferId::derive(call, at),
            requested_at: at,
            operator: Extension::parse("1001").unwrap(),
            leg: ChannelId::parse("1700000000.1234").unwrap(),
            mode: Mode::Blind,
            plan: Plan {
                targets: (0..TARGETS_MAX as u128).map(contact).collect(),
                shown_number: ShownNumber::Caller(Some("09012345678".into())),
                accept_sound: Some("custom/for-sakura".into()),
                return_queue: QueueName::parse("operators").ok(),
            },
        };
        let line = context.to_line();
        assert!(line.len() < 900, "{} bytes", line.len());
        assert_eq!(TransferContext::parse(&line), Some(context.clone()));
        let others = [
            Target {
                view: TargetView::Number { number: "09011112222".into() },
                dial: Some("09011112222".into()),
                ring_s: 25,
                accept: false,
            },
            Target {
                view: TargetView::Operator { extension: Extension::parse("1002").unwrap() },
                dial: Some("1002".into()),
                ring_s: 25,
                accept: false,
            },
            Target {
                view: TargetView::Queue { queue: QueueName::parse("operators").unwrap() },
                dial: None,
                ring_s: 25,
                accept: false,
            },
        ];
        let plan = Plan {
            targets: others.into(),
            shown_number: ShownNumber::Withheld,
            accept_sound: None,
            return_queue: None,
        };
        let context = TransferContext { mode: Mode::Consult, plan, ..context };
        assert_eq!(TransferContext::parse(&context.to_line()), Some(context.clone()));
        // `systemname` and queue names with spaces, Japanese and what the line itself uses.
        for name in ["受付 1", "本社/夜間", "50%20 off", "-"] {
            let mut opaque = context.clone();
            opaque.leg = ChannelId::parse(&format!("{name}-1700000000.1234")).unwrap();
            opaque.plan.return_queue = QueueName::parse(name).ok();
            opaque.plan.targets[2].view = TargetView::Queue { queue: QueueName::parse(name).unwrap() };
            assert_eq!(TransferContext::parse(&opaque.to_line()), Some(opaque));
        }
        for wrong in ["", "2 x", "1 x y", &line[..60], "1  "] {
            assert_eq!(TransferContext::parse(wrong), None, "{wrong}");
        }
    }
}
