//! Transfers that were under way when the daemon started: found again, from what the PBX itself still knows.
//!
//! Each transfer writes what it is about on the channel that the dialplan works on ([`About`], in
//! `TORITSUGI_ABOUT`). A list of all channels shows which channels are in our contexts; of each one that no living
//! transfer concerns, the owner asks these words ([`Output::Ask`]) and hands them to [`Transfers::take_up`].
//!
//! | the channel is in | and | the transfer is |
//! |---|---|---|
//! | `toritsugi-reach` | the called phone rings, or hears the prompt | ringing |
//! | | caller and called phone share a bridge | completed |
//! | | its channel is a Local one's second half | a consultation: ringing, or consulting when answered |
//! | `toritsugi-transfer` | `Queue` | in the queue that is its target, or returning |
//! | | anything else | returning to the operator |
//!
//! Invariant: what cannot be known is not made up: targets that were tried before have the outcome `unknown`, times are
//! those of the finding, and the transfer is marked `inferred`. A consultation that was completed by the PBX leaves
//! nothing to find; its call is followed by the model alone, as is a call that is back with an operator.

use std::fmt::Write as _;

use jiff::Timestamp;
use smol_str::SmolStr;
use uuid::Uuid;

use super::follow::{has_operator, together};
use super::machine::{Live, NoticeKind, Output, STEP_SLACK, Transfers};
use super::order::{BLIND_CONTEXT, CONSULT_CONTEXT};
use super::plan::{Plan, Show, TARGETS_MAX, Target};
use super::view::{Mode, Outcome, ReturnedTo, State, TargetView, TransferId};
use crate::ami::event::{Channel, ChannelState, Event};
use crate::call::Model;
use crate::ids::{ChannelId, Extension, QueueName, RecordId};

/// Most channels of one list that are remembered as taking part in transfers.
pub const SWEEP_MAX: usize = 4_096;
/// The dialplan's subroutine that rings one target.
const REACH_CONTEXT: &str = "toritsugi-reach";
/// Runs on the target's channel before it gets the caller.
const ACCEPT_CONTEXT: &str = "toritsugi-accept";
/// What a channel that was dialled is said to run.
const DIALLED: &str = "AppDial";
/// First word of [`About`]; another one is another version's, and is left alone.
const VERSION: &str = "1";

/// A channel of a list that may take part in a transfer.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    id: ChannelId,
    linked: ChannelId,
    context: SmolStr,
    application: SmolStr,
    /// The half of a Local channel that runs no dialplan.
    first_half: bool,
}

/// What a transfer is about, as it stands on a channel: enough to go on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub(super) id: TransferId,
    pub(super) requested_at: Timestamp,
    pub(super) operator: Extension,
    /// Her channel, when it began.
    pub(super) leg: ChannelId,
    pub(super) mode: Mode,
    pub(super) plan: Plan,
}

impl About {
    /// Of a transfer that lives.
    pub(super) fn of(live: &Live) -> Self {
        Self {
            id: live.view.id,
            requested_at: live.view.requested_at,
            operator: live.view.operator.clone(),
            leg: live.operator.clone(),
            mode: live.view.mode,
            plan: live.plan.clone(),
        }
    }

    /// One line; names and numbers of people stay out of it, but for the digits that are dialled.
    pub(super) fn to_line(&self) -> String {
        let mode = if self.mode == Mode::Blind { "blind" } else { "consult" };
        let show = match &self.plan.show {
            Show::Caller(number) => format!("c{}", number.as_deref().unwrap_or_default()),
            Show::Number(number) => format!("n{number}"),
            Show::Withheld => "w".to_owned(),
        };
        let sound = self.plan.accept_sound.as_deref().unwrap_or("-");
        let queue = self.plan.return_queue.as_ref().map_or("-", |queue| queue.as_str());
        let at = self.requested_at.as_millisecond();
        let Self { id, operator, leg, .. } = self;
        let mut line = format!("{VERSION} {id} {at} {operator} {leg} {mode} {show} {queue} {sound}");
        for target in &self.plan.targets {
            let (kind, name) = match &target.view {
                TargetView::Contact { id, .. } => ('c', id.0.simple().to_string()),
                TargetView::Number { .. } => ('n', String::new()),
                TargetView::Operator { .. } => ('o', String::new()),
                TargetView::Queue { queue } => ('q', queue.to_string()),
            };
            let dial = target.dial.as_deref().unwrap_or_default();
            // Writing to a String does not fail.
            let _ = write!(line, " {kind}/{dial}/{}/{}/{name}", target.ring_s, u8::from(target.accept));
        }
        line
    }

    /// Reads such a line. Contacts are without their names, numbers as they are dialled: see [`Self::targets_mut`].
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
        let leg = ChannelId::parse(next()?).ok()?;
        let mode = match next()? {
            "blind" => Mode::Blind,
            "consult" => Mode::Consult,
            _ => return None,
        };
        let show = match next()?.split_at_checked(1)? {
            ("c", number) => Show::Caller(Some(number).filter(|n| !n.is_empty()).map(SmolStr::new)),
            ("n", number) => Show::Number(SmolStr::new(number)),
            ("w", "") => Show::Withheld,
            _ => return None,
        };
        let return_queue = Some(next()?).filter(|word| *word != "-").and_then(|w| QueueName::parse(w).ok());
        let accept_sound = Some(next()?).filter(|word| *word != "-").map(SmolStr::new);
        let targets: Vec<Target> = words.take(TARGETS_MAX).map(target).collect::<Option<_>>()?;
        if targets.is_empty() {
            return None;
        }
        let plan = Plan { targets, show, accept_sound, return_queue };
        Some(Self { id, requested_at, operator, leg, mode, plan })
    }

    /// Who is to be named, with the digits that are dialled for them.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = (&mut TargetView, Option<&SmolStr>)> {
        self.plan.targets.iter_mut().map(|target| (&mut target.view, target.dial.as_ref()))
    }
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
        "q" => TargetView::Queue { queue: QueueName::parse(name).ok()? },
        _ => return None,
    };
    Some(Target { view, dial, ring_s: ring_s.parse().ok()?, accept: accept == "1" })
}

impl Transfers {
    /// Whether an event must be shown to the machine although no transfer is under way.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.spies.wants(event)
            || matches!(event, Event::ChannelListed { channel, application, .. }
            if is_dialler(channel.context.as_deref()) || is_called(channel.context.as_deref(), application))
    }

    /// A list of all channels begins.
    pub fn list_began(&mut self) {
        self.sweep.clear();
        self.spies.forget();
    }

    pub(super) fn listed(&mut self, channel: &Channel, application: &SmolStr) {
        let context = channel.context.as_deref();
        if self.sweep.len() < SWEEP_MAX && (is_dialler(context) || is_called(context, application)) {
            self.sweep.push(Seen {
                id: channel.id.clone(),
                linked: channel.linked.clone(),
                context: channel.context.clone().unwrap_or_default(),
                application: application.clone(),
                first_half: channel.name.ends_with(";1"),
            });
        }
    }

    /// After a complete list: whose channels are in our contexts, and nobody follows them?
    pub(super) fn ask_for_lost(&mut self, model: &Model) {
        let forgotten = |channel: &ChannelId| {
            let call = model.leg_view(channel).map(|leg| leg.call);
            call.is_some_and(|call| self.latest_of(call).is_none())
        };
        let lost: Vec<ChannelId> = self
            .sweep
            .iter()
            .filter(|seen| is_dialler(Some(&seen.context)) && !seen.first_half && forgotten(&seen.id))
            .map(|seen| seen.id.clone())
            .collect();
        for channel in lost {
            self.output(Output::Ask { channel });
        }
    }

    /// Goes on with a transfer that was found on `dialler`; `tried`: how many targets the dialplan has begun with.
    pub fn take_up(
        &mut self,
        now: Timestamp,
        model: &Model,
        dialler: &ChannelId,
        about: About,
        tried: usize,
    ) {
        let Some(seen) = self.sweep.iter().find(|seen| seen.id == *dialler).cloned() else { return };
        let Some(call) = model.leg_view(dialler).map(|leg| leg.call) else { return };
        let Some(caller) = model.parties(call).and_then(|parties| parties.caller) else { return };
        let consult = *dialler != caller;
        let known = self.live.contains_key(&about.id) || self.latest_of(call).is_some();
        if known || (consult && about.mode == Mode::Blind) {
            return;
        }
        let id = about.id;
        let legs = (caller.clone(), about.leg);
        let tried = if consult { 1 } else { tried.min(about.plan.targets.len()) };
        let mut live =
            Live::new((id, about.requested_at), (call, about.mode, about.operator), about.plan, legs);
        live.view.inferred = true;
        live.view.state = State::Trying;
        live.consult = consult;
        live.dialler = Some(dialler.clone());
        live.away = !together(model, &live.operator, &caller);
        let reaches = consult || seen.context == REACH_CONTEXT;
        if !reaches && live.plan.queue().is_none() && has_operator(model, &live).is_some() {
            // She is back with an operator: nothing is left to be followed.
            return;
        }
        let with = self.called(model, &live, &seen);
        for channel in [&caller, &live.operator, dialler].into_iter().chain(&with) {
            self.channels.insert(channel.clone(), id);
        }
        self.live.insert(id, live);
        self.write_off(now, id, if reaches { tried.saturating_sub(1) } else { tried });
        if reaches {
            self.goes_on(now, id, tried.saturating_sub(1), with, model);
        } else {
            self.is_on_the_way(now, id, with, seen.application == "Queue", model);
        }
    }

    /// Targets of before: that they did not take the caller is known, and not why.
    fn write_off(&mut self, now: Timestamp, id: TransferId, tried: usize) {
        for at in 0..tried {
            if let Some(live) = self.live.get_mut(&id).filter(|live| live.plan.queue().is_none()) {
                live.open_attempt(now, at);
                live.close_attempt(now, Outcome::Unknown);
                self.tell(now, id, NoticeKind::Failed);
            }
        }
    }

    /// A target is being called, or was reached.
    fn goes_on(&mut self, now: Timestamp, id: TransferId, at: usize, with: Option<ChannelId>, model: &Model) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.open_attempt(now, at);
        live.target = with;
        let ring_s = live.plan.targets.get(at).map_or(0, |target| target.ring_s);
        let ring = std::time::Duration::from_secs(u64::from(ring_s));
        let state = live.target.as_ref().and_then(|leg| model.leg_view(leg)).map(|leg| leg.state);
        let reached = |leg: &ChannelId| together(model, leg, &live.caller);
        if live.target.as_ref().is_some_and(reached) {
            return self.completed(now, id);
        }
        if live.consult && live.target_speaks(model) {
            return self.consulting(now, id);
        }
        if matches!(state, Some(ChannelState::Ringing | ChannelState::Up)) {
            live.view.state = State::Ringing;
        }
        let alone = live.consult && model.leg_view(&live.operator).is_none();
        self.wait(id, now, ring.saturating_add(STEP_SLACK));
        self.tell(now, id, NoticeKind::Ringing);
        if alone {
            // She hung up meanwhile: in the dialplan the caller has the queue behind her, too.
            self.go_on_blind(now, id);
        }
    }

    /// The dialplan brings the caller to the operator or into a queue.
    fn is_on_the_way(
        &mut self,
        now: Timestamp,
        id: TransferId,
        with: Option<ChannelId>,
        queue: bool,
        model: &Model,
    ) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let operator = ReturnedTo::Operator(live.view.operator.clone());
        match live.plan.queue().cloned() {
            Some(_) => {
                live.open_attempt(now, 0);
                live.view.state = State::Ringing;
                self.wait(id, now, STEP_SLACK);
                self.tell(now, id, NoticeKind::Ringing);
                self.met(now, id, model);
            }
            None => {
                let name = live.plan.return_queue.as_ref().map(ToString::to_string).unwrap_or_default();
                self.returns(now, id, if queue { ReturnedTo::Queue(name) } else { operator });
                let Some(live) = self.live.get_mut(&id) else { return };
                live.back = with;
            }
        }
    }

    /// The phone that the dialplan called for this transfer: with whom it put the caller, or whom it still calls.
    fn called(&self, model: &Model, live: &Live, dialler: &Seen) -> Option<ChannelId> {
        let called: Vec<&ChannelId> = self
            .sweep
            .iter()
            .filter(|seen| is_called(Some(&seen.context), &seen.application) && !seen.first_half)
            .filter(|seen| seen.linked == dialler.linked && seen.id != live.operator)
            .map(|seen| &seen.id)
            .collect();
        let met = |leg: &&&ChannelId| {
            together(model, leg, &live.caller)
                || live.dialler.as_ref().is_some_and(|d| together(model, leg, d))
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
        let about = About {
            id: TransferId::derive(call, at),
            requested_at: at,
            operator: Extension::parse("1001").unwrap(),
            leg: ChannelId::parse("1700000000.1234").unwrap(),
            mode: Mode::Blind,
            plan: Plan {
                targets: (0..TARGETS_MAX as u128).map(contact).collect(),
                show: Show::Caller(Some("09012345678".into())),
                accept_sound: Some("custom/for-sakura".into()),
                return_queue: QueueName::parse("operators").ok(),
            },
        };
        let line = about.to_line();
        assert!(line.len() < 900, "{} bytes", line.len());
        assert_eq!(About::parse(&line), Some(about.clone()));
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
        let plan =
            Plan { targets: others.into(), show: Show::Withheld, accept_sound: None, return_queue: None };
        let about = About { mode: Mode::Consult, plan, ..about };
        assert_eq!(About::parse(&about.to_line()), Some(about));
        for wrong in ["", "2 x", "1 x y", &line[..60], "1  "] {
            assert_eq!(About::parse(wrong), None, "{wrong}");
        }
    }
}
