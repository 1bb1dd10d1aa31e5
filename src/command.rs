//! Commands that people give through the gateway, and the answers of the core.
//!
//! The gateway authenticates the person and sends the command with its [`Actor`]. The core takes commands one at a
//! time. The part that carries a command out decides whether this actor may do this to that call or operator:
//!
//! | command | who decides |
//! |---|---|
//! | [`Command::Control`] | [`crate::call_control`] |
//! | [`Command::Transfer`] | [`crate::transfer`] |
//! | [`Command::Operator`] | [`operator::Command::is_allowed`], then [`operator::OperatorRegistry`] |
//! | `Supervise`, `SwitchSupervision`, `StopSupervision`, `AskHelp`, `WithdrawHelp` | [`crate::supervision`] |
//!
//! An answer contains what is known at that moment; later developments are published as events.
//!
//! Invariant: every command gets exactly one answer. It is [`Refusal::Unavailable`] when the daemon is shutting down
//! or [`COMMANDS_QUEUED_MAX`] commands are already waiting. An event confirms an action of the PBX; the PBX's reply
//! alone never does.
//!
//! Read next: [`crate::call_control`] (answer, hold, resume, hang up).

use crate::contract::refusal::Refusal;
use crate::people::Actor;
use tokio::sync::{mpsc, oneshot};

use crate::call_control::Verb;
use crate::contract::operator::{PbxQueue, StateView};
use crate::contract::supervision::{Mode, SupervisionId, SupervisionView};
use crate::contract::transfer::TransferView;
use crate::ids::CallId;
use crate::operators as operator;
use crate::supervision::SupervisionRequest;
use crate::transfer;

/// Most commands that wait for the core.
pub const COMMANDS_QUEUED_MAX: usize = 256;

/// What the actor asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Control a call at the operator's own phone.
    Control {
        /// The call.
        call: CallId,
        /// The action.
        verb: Verb,
    },
    /// Supervise an operator or a call; at a phone that already supervises this operator, switch the mode.
    Supervise(SupervisionRequest),
    /// Switch the mode of a supervision.
    SwitchSupervision {
        /// The supervision.
        id: SupervisionId,
        /// The new mode.
        mode: Mode,
    },
    /// Stop a supervision.
    StopSupervision {
        /// The supervision.
        id: SupervisionId,
    },
    /// List the supervisions that are visible to the actor.
    ListSupervisions,
    /// Ask the supervisors for help with a call.
    AskHelp {
        /// The call.
        call: CallId,
    },
    /// Withdraw a request for help with a call.
    WithdrawHelp {
        /// The call.
        call: CallId,
    },
    /// Acknowledge the screen pop of a call: one of the actor's desktops has shown it.
    Acknowledge {
        /// The call.
        call: CallId,
    },
    /// List the queues of the PBX; for administrators, as the gateway decides.
    ListQueues,
    /// Start, change or look up a transfer.
    Transfer(transfer::Command),
    /// Change or look up an operator's state or after-call work.
    Operator(operator::Command),
}

/// The answer to a command that was carried out or is under way.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The PBX accepted the action; events report its result.
    Accepted,
    /// The supervision in its present state.
    Supervision(Box<SupervisionView>),
    /// Supervisions, oldest first.
    Supervisions(Vec<SupervisionView>),
    /// Transfers in their present state.
    Transfers(Vec<TransferView>),
    /// The operator's state after the command.
    Operator(Box<StateView>),
    /// The queues of the PBX; absent before the PBX has listed them.
    Queues(Option<Vec<PbxQueue>>),
    /// The choices for an operator's state.
    OperatorOptions(Box<operator::Options>),
}

/// A command on its way to the core.
#[derive(Debug)]
pub struct CommandRequest {
    /// Who gives the command.
    pub actor: Actor,
    /// The command.
    pub command: Command,
    /// Receives the answer.
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Sends commands to the core; all clones send to the same core.
#[derive(Debug, Clone)]
pub struct Commands(mpsc::Sender<CommandRequest>);

impl Commands {
    /// The sender for the gateway and the receiver for the core.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<CommandRequest>) {
        let (sender, receiver) = mpsc::channel(COMMANDS_QUEUED_MAX);
        (Self(sender), receiver)
    }

    /// Sends a command without waiting for its answer.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: the queue is full or the core is gone.
    pub fn send(&self, actor: Actor, command: Command) -> Result<(), Refusal> {
        let (reply, _) = oneshot::channel();
        self.0.try_send(CommandRequest { actor, command, reply }).map_err(|_| Refusal::Unavailable)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// [`Refusal`]: why the command was not carried out.
    pub async fn request(&self, actor: Actor, command: Command) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        let request = CommandRequest { actor, command, reply };
        self.0.try_send(request).map_err(|_| Refusal::Unavailable)?;
        answer.await.unwrap_or(Err(Refusal::Unavailable))
    }
}
