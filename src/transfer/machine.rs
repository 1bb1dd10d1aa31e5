//! The doors of the machine: commands in, orders and notices out, time.
//!
//! Read next: `follow.rs`, which takes the PBX's events.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::order;
use super::plan::Plan;
use super::recover::{About, Seen};
use super::spies::Spies;
use super::view::{Mode, Outcome, State, TransferId, TransferView};
use crate::ami::action::{Action, ActionError};
use crate::call::Model;
use crate::call::view::CallState;
use crate::command::{Actor, Refusal};
use crate::ids::{CallId, ChannelId, Extension};

/// How long the PBX may take to begin.
pub const START_WAIT: Duration = Duration::from_secs(5);
/// How long supervisors may take to be detached from a call before it is moved all the same.
pub const DETACH_WAIT: Duration = Duration::from_secs(1);
/// How long nothing may be heard beyond the time that a target rings, before the model is asked where the caller is.
pub(super) const STEP_SLACK: Duration = Duration::from_secs(45);
/// Most finished transfers that can still be looked up.
pub const PAST_MAX: usize = 1_024;

/// What is wanted.
#[derive(Debug, Clone)]
pub enum Command {
    /// Pass this caller on.
    Begin {
        /// The call.
        call: CallId,
        /// How.
        mode: Mode,
        /// To whom.
        plan: Plan,
    },
    /// A consultation: put caller and target together.
    Complete(TransferId),
    /// Take the caller back.
    Cancel(TransferId),
    /// How it stands.
    Show(TransferId),
    /// All transfers of a call that are remembered, oldest first.
    List(CallId),
}

/// What is said at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// That is how it stands.
    Known(Vec<TransferView>),
    /// The answer is what [`Transfers::order_answered`] says of this step.
    Pending(TransferId, Step),
}

/// Which order of a transfer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// To begin.
    Begin,
    /// To put caller and target together.
    Complete,
    /// To take the caller back.
    Cancel,
    /// Of the machine's own: nobody waits for the answer.
    Tidy,
}

/// What the owner of the machine must do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Something happened that others should know.
    Notice(Box<Notice>),
    /// Read what this channel says of the transfer it is in ([`About`]), and call [`Transfers::take_up`].
    Ask {
        /// The channel whose dialplan works on it.
        channel: ChannelId,
    },
    /// Send these orders one after the other, until one is not accepted; then [`Transfers::order_answered`].
    Orders {
        /// Of which transfer.
        transfer: TransferId,
        /// Which.
        step: Step,
        /// At least one.
        actions: Vec<Action>,
    },
}

/// Something happened to a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: NoticeKind,
    /// The transfer after it.
    pub view: TransferView,
}

/// What can happen to a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// It was asked for.
    Requested,
    /// The target rings.
    Ringing,
    /// Operator and target speak.
    Consulting,
    /// Caller and target speak.
    Completed,
    /// A target did not take the caller, or the whole came to nothing.
    Failed,
    /// The caller is on the way back, or back.
    Returned,
    /// Nothing more comes of it; not an event of its own, the history closes with it.
    Over,
}

/// A transfer of which more may come.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) view: TransferView,
    pub(super) plan: Plan,
    pub(super) caller: ChannelId,
    pub(super) operator: ChannelId,
    /// The operator's channel is in the consultation; false once the dialplan has the caller.
    pub(super) consult: bool,
    /// The channel whose dialplan calls the target.
    pub(super) dialler: Option<ChannelId>,
    pub(super) target: Option<ChannelId>,
    /// The channel of the operator to whom the caller returns.
    pub(super) back: Option<ChannelId>,
    /// Why the target's channel ended, as a Q.850 cause; 0: not known.
    pub(super) cause: u16,
    pub(super) not_accepted: bool,
    /// The operator's channel has left the caller's bridge.
    pub(super) away: bool,
    /// The operator's channel is hanging up.
    pub(super) leaving: bool,
    pub(super) cancelling: bool,
    pub(super) deadline: Option<Timestamp>,
    /// The orders to begin with, while somebody still hears the call.
    pub(super) held: Option<Vec<Action>>,
}

/// All transfers of one PBX.
#[derive(Debug, Default)]
pub struct Transfers {
    pub(super) live: BTreeMap<TransferId, Live>,
    /// Which transfer a channel's events concern.
    pub(super) channels: HashMap<ChannelId, TransferId>,
    past: VecDeque<TransferView>,
    timers: BTreeSet<(Timestamp, TransferId)>,
    outputs: VecDeque<Output>,
    /// Events are being missed: what is known of a call may be outdated, and an order could part the wrong people.
    deaf: bool,
    /// Of the last list: the channels that may take part in transfers nobody follows.
    pub(super) sweep: Vec<Seen>,
    pub(super) spies: Spies,
}

impl Transfers {
    /// Whether events need not be shown to the machine now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.live.is_empty()
    }

    /// Takes a command.
    ///
    /// # Errors
    /// [`Refusal`]: it is not done, and why.
    pub fn command(
        &mut self,
        now: Timestamp,
        model: &Model,
        actor: &Actor,
        command: Command,
    ) -> Result<Reply, Refusal> {
        let orders = !matches!(command, Command::Show(_) | Command::List(_));
        if orders && self.deaf {
            return Err(Refusal::PbxUnreachable);
        }
        match command {
            Command::Begin { call, mode, plan } => self.begin(now, model, actor, (call, mode, plan)),
            Command::Complete(id) => self.complete(actor, id),
            Command::Cancel(id) => self.cancel(actor, id),
            Command::Show(id) => {
                let view = self.find(id).filter(|view| may_know(actor, view));
                view.map(|view| Reply::Known(vec![view.clone()])).ok_or(Refusal::UnknownTransfer)
            }
            Command::List(call) => {
                let seen = |view: &&TransferView| view.call == call && may_know(actor, view);
                let mut views: Vec<_> = self.all().filter(seen).cloned().collect();
                views.sort_by_key(|view| view.requested_at);
                Ok(Reply::Known(views))
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
        let under_way = |live: &Live| live.view.call == call && live.view.is_under_way();
        if self.live.values().any(under_way) {
            return Err(Refusal::Conflict("this call is being transferred already"));
        }
        let parties = model.parties(call).ok_or(Refusal::UnknownCall)?;
        let (operator, leg) = parties.operator.ok_or(Refusal::Conflict("nobody has this call"))?;
        let caller = parties.caller.ok_or(Refusal::UnknownCall)?;
        if !actor.may_act_for(&operator) {
            return Err(Refusal::NotPermitted(
                "only the operator on this call, her supervisor or an administrator may",
            ));
        }
        check(&plan, mode, &operator, view.state)?;
        // Whoever has the caller from a transfer of before passes her on: that one is over.
        let before: Vec<_> = self.live.values().filter(|live| live.view.call == call).collect();
        for id in before.iter().map(|live| live.view.id).collect::<Vec<_>>() {
            self.end(now, id);
        }
        let id = TransferId::derive(call, now);
        let mut live = Live::new((id, now), (call, mode, operator), plan, (caller, leg));
        let about = About::of(&live);
        let actions = match mode {
            Mode::Blind => order::blind(&about, &about.plan, &live.caller, Some(&about.operator)),
            Mode::Consult => order::consult(&about),
        };
        let actions = actions.map_err(|error: ActionError| Refusal::Invalid(error.to_string()))?;
        self.channels.insert(live.caller.clone(), id);
        self.channels.insert(live.operator.clone(), id);
        let heard = self.spies.on([&live.caller, &live.operator]);
        live.held = Some(actions);
        self.live.insert(id, live);
        self.tell(now, id, NoticeKind::Requested);
        if heard {
            // Whoever takes that notice detaches the supervisors; an event says when they are.
            self.wait(id, now, DETACH_WAIT);
        } else {
            self.let_go(now, id);
        }
        Ok(Reply::Pending(id, Step::Begin))
    }

    /// The PBX is told to begin.
    pub(super) fn let_go(&mut self, now: Timestamp, id: TransferId) {
        if let Some(actions) = self.live.get_mut(&id).and_then(|live| live.held.take()) {
            self.output(Output::Orders { transfer: id, step: Step::Begin, actions });
            self.wait(id, now, START_WAIT);
        }
    }

    fn complete(&mut self, actor: &Actor, id: TransferId) -> Result<Reply, Refusal> {
        let live = self.live_for(actor, id)?;
        match live.view.state {
            State::Consulting => {}
            _ if !live.consult => return Err(Refusal::Conflict("only a consultation is completed")),
            State::Completed | State::Over => return Err(Refusal::Conflict("it is over")),
            _ => return Err(Refusal::Conflict("the target has not answered yet")),
        }
        let hang_up = Action::hangup(live.operator.as_str(), None);
        let actions = vec![hang_up.map_err(|error| Refusal::Invalid(error.to_string()))?];
        if let Some(live) = self.live.get_mut(&id) {
            live.leaving = true;
        }
        self.output(Output::Orders { transfer: id, step: Step::Complete, actions });
        Ok(Reply::Pending(id, Step::Complete))
    }

    fn cancel(&mut self, actor: &Actor, id: TransferId) -> Result<Reply, Refusal> {
        let live = self.live_for(actor, id)?;
        let actions = match live.view.state {
            State::Completed | State::Over => return Err(Refusal::Conflict("the caller is with the target")),
            State::Returning => return Err(Refusal::Conflict("the caller is on the way back already")),
            State::Requested => return Err(Refusal::Conflict("it has not begun yet")),
            _ if live.consult => Action::cancel_atxfer(live.operator.as_str()).map(|action| vec![action]),
            _ => {
                let nobody = Plan { targets: Vec::new(), ..live.plan.clone() };
                order::blind(&About::of(live), &nobody, &live.caller, Some(&live.view.operator))
            }
        };
        let actions = actions.map_err(|error| Refusal::Invalid(error.to_string()))?;
        if let Some(live) = self.live.get_mut(&id) {
            live.cancelling = true;
        }
        self.output(Output::Orders { transfer: id, step: Step::Cancel, actions });
        Ok(Reply::Pending(id, Step::Cancel))
    }

    /// What became of the orders of a step; answers whoever asked for it.
    ///
    /// # Errors
    /// The refusal that was given.
    pub fn order_answered(
        &mut self,
        now: Timestamp,
        id: TransferId,
        step: Step,
        accepted: Result<(), Refusal>,
    ) -> Result<TransferView, Refusal> {
        match (&accepted, step, self.live.get_mut(&id)) {
            // It may have been done: events tell, or the deadline asks the model.
            (Ok(()) | Err(Refusal::FateUnknown), ..) | (_, _, None) => {}
            (Err(_), Step::Begin, Some(live)) if live.view.state == State::Requested => {
                self.fail(now, id, Outcome::NotStarted);
                self.end(now, id);
            }
            (Err(_), Step::Cancel, Some(live)) => live.cancelling = false,
            (Err(_), ..) => {}
        }
        accepted?;
        self.find(id).cloned().ok_or(Refusal::UnknownTransfer)
    }

    /// The next thing that the owner must do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// For each transfer that has heard nothing for too long, the model says where the caller is.
    pub fn handle_timeout(&mut self, now: Timestamp, model: &Model) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            let Some(live) = self.live.get_mut(&id) else { continue };
            live.deadline = None;
            if live.held.is_some() {
                self.let_go(now, id);
            } else {
                self.conclude(now, id, model);
            }
        }
    }

    /// The link to the PBX is lost: until [`Self::reconcile`] no order is given.
    pub fn link_lost(&mut self) {
        self.deaf = true;
    }

    /// A list of all channels was taken after a gap: events may be missing.
    pub fn reconcile(&mut self, now: Timestamp, model: &Model) {
        self.deaf = false;
        for id in self.live.keys().copied().collect::<Vec<_>>() {
            self.conclude(now, id, model);
        }
        self.ask_for_lost(model);
    }

    /// The latest transfer of this call, while it is remembered: what a pop says of where the caller comes from.
    #[must_use]
    pub fn latest_of(&self, call: CallId) -> Option<&TransferView> {
        self.all().filter(|view| view.call == call).max_by_key(|view| view.requested_at)
    }

    fn all(&self) -> impl Iterator<Item = &TransferView> {
        self.past.iter().chain(self.live.values().map(|live| &live.view))
    }

    fn find(&self, id: TransferId) -> Option<&TransferView> {
        self.live.get(&id).map(|live| &live.view).or_else(|| self.past.iter().find(|view| view.id == id))
    }

    fn live_for(&self, actor: &Actor, id: TransferId) -> Result<&Live, Refusal> {
        let view = self.find(id).filter(|view| may_know(actor, view)).ok_or(Refusal::UnknownTransfer)?;
        if !actor.may_act_for(&view.operator) {
            return Err(Refusal::NotPermitted(
                "only who transferred, her supervisor or an administrator may",
            ));
        }
        self.live.get(&id).ok_or(Refusal::Conflict("it is over"))
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn tell(&mut self, at: Timestamp, id: TransferId, kind: NoticeKind) {
        if let Some(live) = self.live.get(&id) {
            let notice = Notice { at, kind, view: live.view.clone() };
            self.outputs.push_back(Output::Notice(Box::new(notice)));
        }
    }

    /// Expects the next sign within `wait`.
    pub(super) fn wait(&mut self, id: TransferId, now: Timestamp, wait: Duration) {
        self.stop_waiting(id);
        let Some(live) = self.live.get_mut(&id) else { return };
        let at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        live.deadline = Some(at);
        self.timers.insert((at, id));
    }

    pub(super) fn stop_waiting(&mut self, id: TransferId) {
        if let Some(at) = self.live.get_mut(&id).and_then(|live| live.deadline.take()) {
            self.timers.remove(&(at, id));
        }
    }

    /// Nothing more comes of it.
    pub(super) fn end(&mut self, now: Timestamp, id: TransferId) {
        // Who asked for it is answered by what the PBX says.
        self.let_go(now, id);
        self.stop_waiting(id);
        let Some(live) = self.live.get_mut(&id) else { return };
        let view = &mut live.view;
        view.state = State::Over;
        view.ended_at = Some(now);
        if let Some(since) = view.completed_at {
            let talked = now.duration_since(since).as_secs();
            view.talked_s = Some(u64::try_from(talked).unwrap_or(0));
        }
        self.tell(now, id, NoticeKind::Over);
        let Some(live) = self.live.remove(&id) else { return };
        self.channels.retain(|_, of| *of != id);
        if self.past.len() >= PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(live.view);
    }
}

impl Live {
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
            back: None,
            cause: 0,
            not_accepted: false,
            away: false,
            leaving: false,
            cancelling: false,
            deadline: None,
            held: None,
        }
    }
}

/// Those who may see what this operator does, and other systems.
fn may_know(actor: &Actor, view: &TransferView) -> bool {
    actor.viewer.sees_operator(&view.operator)
}

fn check(plan: &Plan, mode: Mode, operator: &Extension, state: CallState) -> Result<(), Refusal> {
    use super::view::TargetView;
    let invalid = |reason: &str| Err(Refusal::Invalid(reason.to_owned()));
    let herself =
        |target: &TargetView| matches!(target, TargetView::Operator { extension } if extension == operator);
    if plan.targets.is_empty() || plan.targets.len() > super::TARGETS_MAX {
        return invalid("there is nobody to transfer to");
    }
    if plan.targets.iter().any(|target| herself(&target.view)) {
        return invalid("that operator has the caller already");
    }
    if mode == Mode::Consult {
        if plan.targets.len() != 1 || plan.queue().is_some() {
            return invalid("a consultation is with one contact, number or operator");
        }
        if state == CallState::Held {
            return Err(Refusal::Conflict("take the caller back from hold first"));
        }
    }
    Ok(())
}
