//! The public methods of the machine: commands in, actions and notices out, deadlines.
//!
//! Read next: `follow.rs`, which handles the PBX's events.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::actions;
use super::chan_spy_tracker::ChanSpyTracker;
use super::plan::Plan;
use super::recover::{ListedChannel, TransferContext};
use crate::ami::action::{Action, ActionError};
use crate::call::Model;
use crate::contract::call::CallState;
use crate::contract::refusal::Refusal;
use crate::contract::transfer::{Mode, Outcome, State, TransferId, TransferView};
use crate::ids::{CallId, ChannelId, Extension};
use crate::people::actor::Actor;

/// How long the PBX may take to start a transfer.
pub const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a transfer waits for supervisors to be detached from the call, before it is moved regardless.
pub const DETACH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long no event may come, on top of a target's ring time, before the model decides where the caller is.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);
/// Most finished transfers that can still be read.
pub const FINISHED_MAX: usize = 1_024;

/// A request for a transfer.
#[derive(Debug, Clone)]
pub enum Command {
    /// Pass this caller on.
    Begin {
        /// The call.
        call: CallId,
        /// Blind or with a consultation.
        mode: Mode,
        /// The targets.
        plan: Plan,
    },
    /// Complete a consultation: join caller and target.
    Complete(TransferId),
    /// Take the caller back.
    Cancel(TransferId),
    /// Read one transfer.
    Show(TransferId),
    /// Read all stored transfers of a call, oldest first.
    List(CallId),
}

/// The immediate answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The transfers as they are now.
    Transfers(Vec<TransferView>),
    /// [`Transfers::on_actions_answered`] returns the answer for this step.
    Pending(TransferId, Step),
}

/// The purpose of a transfer's actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// To start the transfer.
    Begin,
    /// To join caller and target.
    Complete,
    /// To take the caller back.
    Cancel,
    /// Started by the machine itself: no command waits for the answer.
    Cleanup,
}

/// What the owner of the machine must do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Something happened to a transfer: publish it.
    Notice(Box<Notice>),
    /// Read the [`TransferContext`] from this channel, and call [`Transfers::adopt`].
    ReadContext {
        /// The channel that runs the dialplan of the transfer.
        channel: ChannelId,
    },
    /// Send these actions one after the other, until one is not accepted; then call
    /// [`Transfers::on_actions_answered`].
    Actions {
        /// The transfer.
        transfer: TransferId,
        /// What they are for.
        step: Step,
        /// At least one.
        actions: Vec<Action>,
    },
}

/// Something happened to a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: NoticeKind,
    /// The transfer after it.
    pub view: TransferView,
}

/// What can happen to a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// An operator requested it.
    Requested,
    /// The target rings.
    Ringing,
    /// Operator and target talk.
    Consulting,
    /// Caller and target talk.
    Completed,
    /// A target did not take the caller, or the transfer failed as a whole.
    Failed,
    /// The caller is on the way back, or back.
    Returned,
    /// The transfer is over. Not published as an event; the call's history closes its segment.
    Over,
}

/// A transfer that is not over.
#[derive(Debug, Clone)]
pub(super) struct ActiveTransfer {
    pub(super) view: TransferView,
    pub(super) plan: Plan,
    pub(super) caller: ChannelId,
    pub(super) operator: ChannelId,
    /// The operator's channel is in a consultation; false once the dialplan has the caller.
    pub(super) consult: bool,
    /// The channel that dials the target.
    pub(super) dialler: Option<ChannelId>,
    pub(super) target: Option<ChannelId>,
    /// The channel of the operator to whom the caller returns.
    pub(super) return_leg: Option<ChannelId>,
    /// The Q.850 cause of the target's channel; 0: not known.
    pub(super) target_cause: u16,
    pub(super) not_accepted: bool,
    /// The operator's channel has left the caller's bridge.
    pub(super) operator_away: bool,
    /// The operator's channel is hanging up.
    pub(super) operator_leaving: bool,
    /// The operator's channel is being hung up to join caller and target, and the PBX has not refused it.
    pub(super) completing: bool,
    pub(super) cancelling: bool,
    pub(super) deadline: Option<Timestamp>,
    /// The actions that start the transfer, while a supervisor still monitors the call.
    pub(super) pending_actions: Option<Vec<Action>>,
}

/// All transfers of one PBX.
#[derive(Debug, Default)]
pub struct Transfers {
    pub(super) active: BTreeMap<TransferId, ActiveTransfer>,
    /// The transfer that a channel's events concern.
    pub(super) channels: HashMap<ChannelId, TransferId>,
    finished: VecDeque<TransferView>,
    timers: BTreeSet<(Timestamp, TransferId)>,
    outputs: VecDeque<Output>,
    /// Events are being missed: the model may be outdated, and an action could separate the wrong people.
    events_lost: bool,
    /// Channels of the last list that may take part in transfers that this machine does not follow.
    pub(super) orphan_candidates: Vec<ListedChannel>,
    pub(super) chan_spies: ChanSpyTracker,
}

impl Transfers {
    /// Whether no transfer is active, so that the machine needs no events; but see [`Self::wants`].
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// Takes a command.
    ///
    /// # Errors
    /// [`Refusal`]: why the command is not carried out.
    pub fn command(
        &mut self,
        now: Timestamp,
        model: &Model,
        actor: &Actor,
        command: Command,
    ) -> Result<Reply, Refusal> {
        let sends_actions = !matches!(command, Command::Show(_) | Command::List(_));
        if sends_actions && self.events_lost {
            return Err(Refusal::PbxUnreachable);
        }
        match command {
            Command::Begin { call, mode, plan } => self.begin(now, model, actor, (call, mode, plan)),
            Command::Complete(id) => self.complete(actor, id),
            Command::Cancel(id) => self.cancel(actor, id),
            Command::Show(id) => {
                let view = self.find(id).filter(|view| may_see(actor, view));
                view.map(|view| Reply::Transfers(vec![view.clone()])).ok_or(Refusal::UnknownTransfer)
            }
            Command::List(call) => {
                let seen = |view: &&TransferView| view.call == call && may_see(actor, view);
                let mut views: Vec<_> = self.all().filter(seen).cloned().collect();
                views.sort_by_key(|view| view.requested_at);
                Ok(Reply::Transfers(views))
            }
        }
    }

    fn begin(
        &mut self,
        now: Timestamp,
        model: &Model,
        actor: &Actor,
        (call, mode, plan): (CallId, Mode, Plan),
    ) -> Result<Reply, Refusal> {
        let view = model.call(call).filter(|view| actor.sees(view)).ok_or(Refusal::UnknownCall)?;
        let under_way = |live: &ActiveTransfer| live.view.call == call && live.view.is_under_way();
        if self.active.values().any(under_way) {
            return Err(Refusal::Conflict("this call is already being transferred"));
        }
        let parties = model.parties(call).ok_or(Refusal::UnknownCall)?;
        let (operator, leg) = parties.operator.ok_or(Refusal::Conflict("no operator has this call"))?;
        let caller = parties.caller.ok_or(Refusal::UnknownCall)?;
        if !actor.may_act_for(&operator) {
            return Err(Refusal::NotPermitted(
                "only the operator on this call, their supervisor or an administrator may",
            ));
        }
        validate(&plan, mode, &operator, view.state)?;
        // An operator who got the caller from an earlier transfer passes the caller on: that transfer is over.
        let before: Vec<_> = self.active.values().filter(|live| live.view.call == call).collect();
        for id in before.iter().map(|live| live.view.id).collect::<Vec<_>>() {
            self.finish(now, id);
        }
        let id = TransferId::derive(call, now);
        let mut live = ActiveTransfer::new((id, now), (call, mode, operator), plan, (caller, leg));
        let context = TransferContext::from_active(&live);
        let actions = match mode {
            Mode::Blind => {
                actions::blind_actions(&context, &context.plan, &live.caller, Some(&context.operator))
            }
            Mode::Consult => actions::consult_actions(&context),
        };
        let actions = actions.map_err(|error: ActionError| Refusal::Invalid(error.to_string()))?;
        self.channels.insert(live.caller.clone(), id);
        self.channels.insert(live.operator.clone(), id);
        let is_monitored = self.chan_spies.is_any_spied([&live.caller, &live.operator]);
        live.pending_actions = Some(actions);
        self.active.insert(id, live);
        self.push_notice(now, id, NoticeKind::Requested);
        if is_monitored {
            // The owner detaches the supervisors on that notice; a SpyStopped event shows when they are.
            self.set_deadline(id, now, DETACH_TIMEOUT);
        } else {
            self.dispatch_pending(now, id);
        }
        Ok(Reply::Pending(id, Step::Begin))
    }

    /// Sends the pending actions that start the transfer.
    pub(super) fn dispatch_pending(&mut self, now: Timestamp, id: TransferId) {
        if let Some(actions) = self.active.get_mut(&id).and_then(|live| live.pending_actions.take()) {
            self.push_output(Output::Actions { transfer: id, step: Step::Begin, actions });
            self.set_deadline(id, now, START_TIMEOUT);
        }
    }

    fn complete(&mut self, actor: &Actor, id: TransferId) -> Result<Reply, Refusal> {
        let live = self.active_for(actor, id)?;
        match live.view.state {
            State::Consulting => {}
            _ if !live.consult => return Err(Refusal::Conflict("only a consultation can be completed")),
            State::Completed | State::Over => return Err(Refusal::Conflict("the transfer is over")),
            _ => return Err(Refusal::Conflict("the target has not answered yet")),
        }
        let hang_up = Action::hangup(live.operator.as_str(), None);
        let actions = vec![hang_up.map_err(|error| Refusal::Invalid(error.to_string()))?];
        if let Some(live) = self.active.get_mut(&id) {
            live.completing = true;
        }
        self.push_output(Output::Actions { transfer: id, step: Step::Complete, actions });
        Ok(Reply::Pending(id, Step::Complete))
    }

    fn cancel(&mut self, actor: &Actor, id: TransferId) -> Result<Reply, Refusal> {
        let live = self.active_for(actor, id)?;
        let actions = match live.view.state {
            State::Completed | State::Over => {
                return Err(Refusal::Conflict("the caller is already with the target"));
            }
            State::Returning => return Err(Refusal::Conflict("the caller is already on the way back")),
            State::Requested => return Err(Refusal::Conflict("the PBX has not started the transfer yet")),
            _ if live.consult => Action::cancel_atxfer(live.operator.as_str()).map(|action| vec![action]),
            _ => {
                let nobody = Plan { targets: Vec::new(), ..live.plan.clone() };
                actions::blind_actions(
                    &TransferContext::from_active(live),
                    &nobody,
                    &live.caller,
                    Some(&live.view.operator),
                )
            }
        };
        let actions = actions.map_err(|error| Refusal::Invalid(error.to_string()))?;
        if let Some(live) = self.active.get_mut(&id) {
            live.cancelling = true;
        }
        self.push_output(Output::Actions { transfer: id, step: Step::Cancel, actions });
        Ok(Reply::Pending(id, Step::Cancel))
    }

    /// Takes the result of a step's actions; returns the answer for the command that waits for it.
    ///
    /// # Errors
    /// The refusal in `accepted`.
    pub fn on_actions_answered(
        &mut self,
        now: Timestamp,
        id: TransferId,
        step: Step,
        accepted: Result<(), Refusal>,
    ) -> Result<TransferView, Refusal> {
        match (&accepted, step, self.active.get_mut(&id)) {
            // The PBX may have carried it out: events show it, or the model does at the deadline.
            (Ok(()) | Err(Refusal::OutcomeUnknown), ..) | (_, _, None) => {}
            (Err(_), Step::Begin, Some(live)) if live.view.state == State::Requested => {
                self.fail(now, id, Outcome::NotStarted);
                self.finish(now, id);
            }
            (Err(_), Step::Cancel, Some(live)) => live.cancelling = false,
            (Err(_), Step::Complete, Some(live)) => live.completing = false,
            (Err(_), ..) => {}
        }
        accepted?;
        self.find(id).cloned().ok_or(Refusal::UnknownTransfer)
    }

    /// Takes the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// For each transfer whose deadline has passed: sends its pending actions, or resolves its state from the model.
    pub fn handle_timeout(&mut self, now: Timestamp, model: &Model) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            let Some(live) = self.active.get_mut(&id) else { continue };
            live.deadline = None;
            if live.pending_actions.is_some() {
                self.dispatch_pending(now, id);
            } else {
                self.resolve_from_model(now, id, model);
            }
        }
    }

    /// The link to the PBX is lost: commands are refused until [`Self::reconcile`].
    pub fn link_lost(&mut self) {
        self.events_lost = true;
    }

    /// A list of all channels was read after a gap: resolves every active transfer from the model, and looks for orphans.
    pub fn reconcile(&mut self, now: Timestamp, model: &Model) {
        self.events_lost = false;
        for id in self.active.keys().copied().collect::<Vec<_>>() {
            self.resolve_from_model(now, id, model);
        }
        self.request_orphan_contexts(model);
    }

    /// The latest stored transfer of this call; a pop shows from whom the caller comes.
    #[must_use]
    pub fn latest_of(&self, call: CallId) -> Option<&TransferView> {
        self.all().filter(|view| view.call == call).max_by_key(|view| view.requested_at)
    }

    fn all(&self) -> impl Iterator<Item = &TransferView> {
        self.finished.iter().chain(self.active.values().map(|live| &live.view))
    }

    fn find(&self, id: TransferId) -> Option<&TransferView> {
        self.active
            .get(&id)
            .map(|live| &live.view)
            .or_else(|| self.finished.iter().find(|view| view.id == id))
    }

    fn active_for(&self, actor: &Actor, id: TransferId) -> Result<&ActiveTransfer, Refusal> {
        let view = self.find(id).filter(|view| may_see(actor, view)).ok_or(Refusal::UnknownTransfer)?;
        if !actor.may_act_for(&view.operator) {
            return Err(Refusal::NotPermitted(
                "only the operator who transferred, their supervisor or an administrator may",
            ));
        }
        self.active.get(&id).ok_or(Refusal::Conflict("the transfer is over"))
    }

    pub(super) fn push_output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn push_notice(&mut self, at: Timestamp, id: TransferId, kind: NoticeKind) {
        if let Some(live) = self.active.get(&id) {
            let notice = Notice { at, kind, view: live.view.clone() };
            self.outputs.push_back(Output::Notice(Box::new(notice)));
        }
    }

    /// Sets when the model resolves the state, unless an event comes before.
    pub(super) fn set_deadline(&mut self, id: TransferId, now: Timestamp, wait: Duration) {
        self.clear_deadline(id);
        let Some(live) = self.active.get_mut(&id) else { return };
        let at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        live.deadline = Some(at);
        self.timers.insert((at, id));
    }

    pub(super) fn clear_deadline(&mut self, id: TransferId) {
        if let Some(at) = self.active.get_mut(&id).and_then(|live| live.deadline.take()) {
            self.timers.remove(&(at, id));
        }
    }

    /// Ends a transfer and keeps its view.
    pub(super) fn finish(&mut self, now: Timestamp, id: TransferId) {
        // Actions that were never sent go out now: the PBX's answer to them answers the waiting command.
        self.dispatch_pending(now, id);
        self.clear_deadline(id);
        let Some(live) = self.active.get_mut(&id) else { return };
        let view = &mut live.view;
        view.state = State::Over;
        view.ended_at = Some(now);
        if let Some(since) = view.completed_at {
            let talked = now.duration_since(since).as_secs();
            view.talked_s = Some(u64::try_from(talked).unwrap_or(0));
        }
        self.push_notice(now, id, NoticeKind::Over);
        let Some(live) = self.active.remove(&id) else { return };
        self.channels.retain(|_, of| *of != id);
        if self.finished.len() >= FINISHED_MAX {
            self.finished.pop_front();
        }
        self.finished.push_back(live.view);
    }
}

impl ActiveTransfer {
    pub(super) fn new(
        (id, now): (TransferId, Timestamp),
        (call, mode, operator): (CallId, Mode, Extension),
        plan: Plan,
        (caller, leg): (ChannelId, ChannelId),
    ) -> Self {
        let view = TransferView {
            id,
            call,
            mode,
            state: State::Requested,
            operator,
            targets: plan.targets.iter().map(|target| target.view.clone()).collect(),
            attempts: Vec::new(),
            requested_at: now,
            completed_at: None,
            ended_at: None,
            outcome: None,
            talked_s: None,
            returned_to: None,
            inferred: false,
        };
        Self {
            view,
            plan,
            caller,
            operator: leg,
            consult: mode == Mode::Consult,
            dialler: None,
            target: None,
            return_leg: None,
            target_cause: 0,
            not_accepted: false,
            operator_away: false,
            operator_leaving: false,
            completing: false,
            cancelling: false,
            deadline: None,
            pending_actions: None,
        }
    }
}

/// Whether the actor may see this operator's transfers.
fn may_see(actor: &Actor, view: &TransferView) -> bool {
    actor.viewer.sees_operator(&view.operator)
}

fn validate(plan: &Plan, mode: Mode, operator: &Extension, state: CallState) -> Result<(), Refusal> {
    use crate::contract::transfer::TargetView;
    let invalid = |reason: &str| Err(Refusal::Invalid(reason.to_owned()));
    let is_same =
        |target: &TargetView| matches!(target, TargetView::Operator { extension } if extension == operator);
    if plan.targets.is_empty() || plan.targets.len() > super::TARGETS_MAX {
        return invalid(&format!("a transfer needs 1 to {} targets", super::TARGETS_MAX));
    }
    if plan.targets.iter().any(|target| is_same(&target.view)) {
        return invalid("that operator already has the caller");
    }
    if mode == Mode::Consult {
        if plan.targets.len() != 1 || plan.target_queue().is_some() {
            return invalid("a consultation needs exactly one contact, number or operator");
        }
        if state == CallState::Held {
            return Err(Refusal::Conflict("take the caller back from hold first"));
        }
    }
    Ok(())
}
