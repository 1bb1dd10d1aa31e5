//! Why a command is refused.
//!
//! Invariant: each text says what is wrong and, where it can be known, what to do; the gateway adds the problem type.

use crate::contract::operator::StateView;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such live call, or the actor may not see it.
    #[error("there is no such call")]
    UnknownCall,
    /// There is no such supervision, or the actor may not see it.
    #[error("there is no such supervision")]
    UnknownSupervision,
    /// There is no such transfer, it is no longer kept, or the actor may not see it.
    #[error("there is no such transfer")]
    UnknownTransfer,
    /// There is no such operator, or the actor may not see the operator.
    #[error("there is no such operator")]
    UnknownOperator,
    /// The command names a version of the operator's state that is not the present one.
    #[error("the state has changed meanwhile; it is now version {}", .0.version)]
    Stale(Box<StateView>),
    /// The command does not fit the operator's present state.
    #[error("{0}")]
    StateConflict(&'static str),
    /// The actor may see the target but not do this.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// The command does not fit the present state of the call.
    #[error("{0}")]
    Conflict(&'static str),
    /// The command is invalid in any state.
    #[error("{0}")]
    Invalid(String),
    /// The PBX refused the action.
    #[error("the PBX refused: {0}")]
    PbxRefused(String),
    /// The action did not reach the PBX; the command may be repeated.
    #[error("the PBX cannot be reached now; nothing was done")]
    PbxUnreachable,
    /// The action was sent and no reply came; only events show whether it was carried out.
    #[error("the PBX did not answer in time; the outcome is unknown")]
    OutcomeUnknown,
    /// The PBX passed the request on to the phone, and the phone did not follow it.
    #[error(
        "the phone did not {0} the call: desk phones of Yealink, Poly and Snom understand the request (set them to \
         allow it), most others do not; do it at the phone"
    )]
    PhoneIgnores(&'static str),
    /// The daemon is overloaded or shutting down.
    #[error("the daemon cannot accept commands now; try again later")]
    Unavailable,
}
