//! Commands: what people ask of calls, who may, and what they are answered.
//!
//! A command comes from the gateway with its [`Actor`], who is proven there; whether this actor may do this to
//! that call is decided in the core, next to the call, by the part that carries it out. The core works commands
//! off one after the other; an answer says what is known then, and events tell the rest.
//!
//! Invariant: every command gets exactly one answer, [`Refusal::Unavailable`] when the daemon is going down or
//! has more than [`COMMANDS_QUEUED_MAX`] of them waiting. An order to the PBX is proven by an event, never by
//! the PBX's reply.
//!
//! Read next: [`crate::control`] (answer, hold, resume, hang up).

use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot};

use crate::call::view::CallView;
use crate::control::Verb;
use crate::ids::{CallId, Extension, RecordId};
use crate::operator::{self, Role, StateView, Viewer};
use crate::supervision::{Mode, SupervisionId, SupervisionView, Wanted};
use crate::transfer::{self, TransferView};

/// Most commands that wait for the core.
pub const COMMANDS_QUEUED_MAX: usize = 256;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The user.
    pub user: RecordId,
    /// The user's name, for records.
    pub name: SmolStr,
    /// What the user may see, and so touch.
    pub viewer: Viewer,
}

impl Actor {
    /// Whether this is the operator who has the call or at whom it rings, her supervisor, or an administrator.
    #[must_use]
    pub fn may_act_for(&self, operator: &Extension) -> bool {
        self.viewer.role() != Role::System && self.viewer.sees_operator(operator)
    }

    /// Whether the call is in sight; of another call nothing is told, not even that it is there.
    #[must_use]
    pub fn sees(&self, call: &CallView) -> bool {
        self.viewer.sees_call(call)
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Command {
    /// Do this with a call at the operator's own phone.
    Control {
        /// The call.
        call: CallId,
        /// What to do.
        verb: Verb,
    },
    /// Supervise an operator or a call; at a phone that supervises already, switch the mode.
    Supervise(Wanted),
    /// Another mode for a supervision.
    SwitchSupervision {
        /// Which.
        id: SupervisionId,
        /// How.
        mode: Mode,
    },
    /// End a supervision.
    StopSupervision {
        /// Which.
        id: SupervisionId,
    },
    /// The supervisions that the actor may know of.
    ListSupervisions,
    /// Ask the supervisors for help with a call.
    AskHelp {
        /// The call.
        call: CallId,
    },
    /// A desktop of the actor's has shown the pop of a call.
    Acknowledge {
        /// The call.
        call: CallId,
    },
    /// Pass a caller on, or ask how that stands.
    Transfer(transfer::Command),
    /// An operator's state or after-call work.
    Operator(operator::Command),
}

/// What is answered when it was done, or is being done.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The PBX has taken the order; events tell what comes of it.
    Accepted,
    /// The supervision as it is now.
    Supervision(Box<SupervisionView>),
    /// Supervisions, oldest first.
    Supervisions(Vec<SupervisionView>),
    /// These transfers stand so.
    Transfers(Vec<TransferView>),
    /// The operator is now so.
    Operator(Box<StateView>),
    /// What there is to choose from.
    OperatorOptions(Box<operator::Options>),
}

/// Why it is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such live call, or it is out of sight.
    #[error("there is no such call")]
    UnknownCall,
    /// There is no such supervision, or it is out of sight.
    #[error("there is no such supervision")]
    UnknownSupervision,
    /// There is no such transfer, it is forgotten, or it is out of sight.
    #[error("there is no such transfer")]
    UnknownTransfer,
    /// There is no such operator, or she is out of sight.
    #[error("there is no such operator")]
    UnknownOperator,
    /// The operator's state is no longer the one that was seen.
    #[error("the state has changed meanwhile; it is now version {}", .0.version)]
    Stale(Box<StateView>),
    /// It does not fit what the operator is doing now.
    #[error("{0}")]
    StateConflict(&'static str),
    /// The actor may see it and may not do it.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// It does not fit what is going on with the call now.
    #[error("{0}")]
    Conflict(&'static str),
    /// What was asked for cannot be asked for.
    #[error("{0}")]
    Invalid(String),
    /// The PBX said no.
    #[error("the PBX refused: {0}")]
    PbxRefused(String),
    /// The order did not reach the PBX; it may be given again.
    #[error("the PBX cannot be reached now; nothing was done")]
    PbxUnreachable,
    /// The order was sent and no answer came; only events can tell.
    #[error("the PBX did not answer in time; it may have been done")]
    FateUnknown,
    /// The PBX passed the request on, and the phone did not follow it.
    #[error(
        "the phone did not {0} the call: desk phones of Yealink, Poly and Snom understand the request (set them to \
         allow it), most others do not; do it at the phone"
    )]
    PhoneIgnores(&'static str),
    /// The daemon has too much to do or is going down.
    #[error("the daemon cannot take orders now")]
    Unavailable,
}

/// A command on its way to the core.
#[derive(Debug)]
pub struct Given {
    /// Who asks.
    pub actor: Actor,
    /// What.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Where commands are given; clones give to the same core.
#[derive(Debug, Clone)]
pub struct Commands(mpsc::Sender<Given>);

impl Commands {
    /// The giving and the taking end.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Given>) {
        let (sender, receiver) = mpsc::channel(COMMANDS_QUEUED_MAX);
        (Self(sender), receiver)
    }

    /// Gives a command whose answer nobody waits for.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it was not taken.
    pub fn tell(&self, actor: Actor, command: Command) -> Result<(), Refusal> {
        let (reply, _) = oneshot::channel();
        self.0.try_send(Given { actor, command, reply }).map_err(|_| Refusal::Unavailable)
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// [`Refusal`]: it is not done, and why.
    pub async fn give(&self, actor: Actor, command: Command) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        let given = Given { actor, command, reply };
        self.0.try_send(given).map_err(|_| Refusal::Unavailable)?;
        answer.await.unwrap_or(Err(Refusal::Unavailable))
    }
}
