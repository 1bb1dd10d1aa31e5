//! Commands from people, and the AMI actions that carry them out.
//!
//! | step | evidence | the command is answered |
//! |---|---|---|
//! | requested | the machine that the command concerns permits it and builds the action | on refusal |
//! | accepted or refused | the PBX's response | with the response; after an acceptance, answer, hold and resume wait for the phone |
//! | confirmed | the call model shows that the phone did it ([`Confirmation`]) | accepted; `phone-did-not-follow` when [`CONFIRMATION_TIMEOUT`] has passed |
//!
//! Invariants: the loop does not wait for the PBX. Each command is answered exactly once. Only the leader sends actions.

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::core::{Core, TaskResult};
use crate::ami::action::Action;
use crate::ami::session::ActionOutcome;
use crate::call_control::{self, CONFIRMATION_TIMEOUT, Confirmation, Verb};
use crate::command::{Answer, Command, CommandRequest};
use crate::contract::refusal::Refusal;
use crate::contract::supervision::{SupervisionId, SupervisionView};
use crate::contract::transfer::TransferId;
use crate::transfer::Step;

/// Asterisk's message to an AMI user without the permission for an action.
const PERMISSION_DENIED: &str = "Permission denied";
/// Maximum number of requests that wait for a phone; beyond it the PBX's response is the answer.
const CONFIRMATIONS_MAX: usize = 1_024;

/// A request that waits until a phone has done what it was asked.
pub(super) struct PendingConfirmation {
    confirmation: Confirmation,
    until: Timestamp,
    reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// The origin of an AMI action, to which its outcome goes.
pub(super) enum ActionOrigin {
    /// A person's call control, with the confirmation to wait for.
    Person(oneshot::Sender<Result<Answer, Refusal>>, Confirmation),
    /// A supervision session.
    Supervision {
        /// The session.
        session: SupervisionId,
        /// The request that waits for this action, if any.
        reply: Option<oneshot::Sender<Result<Answer, Refusal>>>,
        /// The session when the action was sent; the answer if it has ended since.
        view: Option<Box<SupervisionView>>,
    },
    /// A step of a transfer.
    Transfer(TransferId, Step),
}

impl Core {
    pub(super) fn on_command(&mut self, request: CommandRequest) {
        let CommandRequest { actor, command, reply } = request;
        match command {
            Command::Control { call, verb } => {
                match call_control::action_for(&self.model, &actor, call, verb) {
                    Ok((action, confirmation)) => {
                        self.send_action(ActionOrigin::Person(reply, confirmation), action);
                    }
                    Err(refusal) => answer(reply, Err(refusal)),
                }
            }
            Command::Supervise(wanted) => self.start_supervision(&actor, wanted, reply),
            Command::SwitchSupervision { id, mode } => self.switch_supervision(&actor, id, mode, reply),
            Command::StopSupervision { id } => self.stop_supervision(&actor, id, reply),
            Command::ListSupervisions => {
                answer(reply, Ok(Answer::Supervisions(self.list_supervisions(&actor))));
            }
            Command::AskHelp { call } => {
                let done = self.ask_help(&actor, call);
                answer(reply, done);
            }
            Command::WithdrawHelp { call } => {
                let done = self.withdraw_help(&actor, call);
                answer(reply, done);
            }
            Command::ListQueues => answer(reply, Ok(Answer::Queues(self.queue_members.queues()))),
            Command::Operator(command) => self.on_operator_command(&actor, command, reply),
            Command::Acknowledge { call } => {
                self.acknowledge(&actor, call);
                answer(reply, Ok(Answer::Accepted));
            }
            Command::Transfer(command) => self.on_transfer_command(&actor, command, reply),
        }
    }

    /// Sends an action; its outcome comes back as [`TaskResult::Action`].
    pub(super) fn send_action(&self, origin: ActionOrigin, action: Action) {
        self.send_actions(origin, vec![action]);
    }

    /// The actions if this daemon leads, else none: a standby follows the PBX and sends it nothing.
    pub(super) fn actions_if_leader(&self, actions: Vec<Action>) -> Vec<Action> {
        if self.deps.bus.is_leader() { actions } else { Vec::new() }
    }

    /// Sends actions one after the other until one is not accepted; the outcome of the last one sent comes back.
    pub(super) fn send_actions(&self, origin: ActionOrigin, actions: Vec<Action>) {
        let actions = self.actions_if_leader(actions);
        let (pbx, results) = (self.deps.pbx.clone(), self.results.clone());
        self.deps.tasks.spawn(async move {
            let mut outcome = ActionOutcome::NeverSent;
            for action in actions {
                outcome = pbx.send(action).await;
                if !outcome.is_accepted() {
                    break;
                }
            }
            // The receiver is gone only when the daemon ends.
            let _ = results.send(TaskResult::Action(origin, outcome)).await;
        });
    }

    pub(super) fn on_action_result(&mut self, origin: ActionOrigin, outcome: ActionOutcome) {
        match origin {
            ActionOrigin::Person(reply, confirmation) => match outcome_to_answer(&outcome) {
                Ok(_)
                    if confirmation.verb != Verb::Hangup
                        && self.pending_confirmations.len() < CONFIRMATIONS_MAX =>
                {
                    let until = self.clock.now().checked_add(CONFIRMATION_TIMEOUT).unwrap_or(Timestamp::MAX);
                    self.pending_confirmations.push(PendingConfirmation { confirmation, until, reply });
                    self.check_confirmations();
                }
                done => answer(reply, done),
            },
            ActionOrigin::Supervision { session, reply, view } => {
                self.on_supervision_action_result(session, reply, view, &outcome);
            }
            ActionOrigin::Transfer(id, step) => {
                self.on_transfer_action_result(id, step, outcome_to_answer(&outcome).map(drop));
            }
        }
    }
}

impl Core {
    /// Answers the requests whose phones have done it, and those whose time is over.
    pub(super) fn check_confirmations(&mut self) {
        let now = self.clock.now();
        for waiting in std::mem::take(&mut self.pending_confirmations) {
            match waiting.confirmation.check(&self.model) {
                Some(done) => answer(waiting.reply, done.map(|()| Answer::Accepted)),
                None if waiting.until <= now => {
                    answer(waiting.reply, Err(Refusal::PhoneIgnores(waiting.confirmation.verb.as_str())));
                }
                None => self.pending_confirmations.push(waiting),
            }
        }
    }

    pub(super) fn confirmation_due(&self) -> Option<Timestamp> {
        self.pending_confirmations.iter().map(|waiting| waiting.until).min()
    }
}

/// The answer that an action's outcome means for the person who asked.
pub(super) fn outcome_to_answer(outcome: &ActionOutcome) -> Result<Answer, Refusal> {
    match outcome {
        ActionOutcome::NeverSent => Err(Refusal::PbxUnreachable),
        ActionOutcome::OutcomeUnknown => Err(Refusal::OutcomeUnknown),
        ActionOutcome::Response(_) if outcome.is_accepted() => Ok(Answer::Accepted),
        ActionOutcome::Response(_) => {
            let mut message = outcome.message().unwrap_or_default();
            if message == PERMISSION_DENIED {
                message = format!(
                    "{message}: add the missing classes to `write` of the actions user in manager.conf"
                );
            }
            Err(Refusal::PbxRefused(message))
        }
    }
}

/// Answers a request; its sender may be gone, which changes nothing about the action.
pub(super) fn answer(reply: oneshot::Sender<Result<Answer, Refusal>>, answer: Result<Answer, Refusal>) {
    let _ = reply.send(answer);
}
