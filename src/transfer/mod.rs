//! Transfer after answer (応答後転送): an operator passes the caller on, and the caller reaches a person or comes back.
//!
//! A pure state machine beside the call model: [`Transfers::command`] takes a request, [`Transfers::handle_event`] an event
//! of the PBX (after the model took it), [`Transfers::poll_output`] returns what the owner must do next,
//! [`Transfers::poll_timeout`] when [`Transfers::handle_timeout`] is due.
//!
//! | state | on | next state | notice |
//! |---|---|---|---|
//! | - | command, and the operator has the call | requested | `requested` |
//! | requested | nobody monitors the call any more, or [`DETACH_TIMEOUT`] is over | requested; the actions are sent to the PBX | |
//! | requested | dialplan: `trying` | trying | |
//! | requested | dialplan: `requeued`, and the target is a queue | ringing | `ringing` |
//! | requested | the PBX refused, or after [`START_TIMEOUT`] the operator still has the caller | over (`not_started`) | `failed` |
//! | trying | the target's phone rings | ringing | `ringing` |
//! | trying, ringing | blind: caller and target share a bridge; queue: an operator has the caller | completed | `completed` |
//! | trying, ringing | consult: the target answered | consulting | `consulting` |
//! | trying, ringing | blind: dialplan `failed`, and there is a next target | trying | `failed` |
//! | trying, ringing | blind: dialplan `failed`, the last target | returning | `failed` |
//! | trying, ringing, consulting | consult: dialplan `failed`, or the target hung up after it had answered | the same, until the PBX brings the operator back | `failed` |
//! | trying, ringing | consult: the operator hung up before the target answered | requested, continued as blind | |
//! | consulting | the PBX joined caller and target | completed | `completed` |
//! | consulting | the PBX joined caller and target after the target had left | returning | |
//! | completed | after a consultation the target is gone, and the caller is alone in the bridge | returning | |
//! | trying, ringing, consulting | consult: operator and caller share a bridge again, and the operator is not hanging up | over | `failed` if the attempt was open and not cancelled, `returned` |
//! | any but completed | dialplan: `returning`, `requeued` | returning | `returned` |
//! | returning | the caller is with an operator | over | |
//! | completed | caller or target is gone | over, with the seconds they talked | |
//! | any but completed | the caller is gone | over (`caller_gone`) | `failed` |
//! | any | no event before the deadline, or the link had a gap | what the model says about the caller, `inferred` | that state's |
//! | - | the daemon starts, and a channel holds the context of a transfer | what the channels show (`recover`), `inferred` | that state's |
//!
//! Blind: the targets are written on the caller's channel, and the caller is redirected into the dialplan context
//! `toritsugi-transfer`, which tries them, then the operator, then the queue. Consult: `Atxfer` on the operator's
//! channel into `toritsugi-consult`; completed by hanging up the operator's channel, cancelled by `CancelAtxfer`. In both
//! the PBX alone brings the caller to a person: the daemon may die at any moment.
//!
//! Why no Bridge action: a channel that was bridged by the manager and redirected afterwards resumes at a stale
//! location of the dialplan (asterisk#1144).
//!
//! Invariant: no clock, socket or log in here. One transfer is under way per call. An accepted action is no outcome:
//! outcomes come from events and the model; only a refusal of the first actions ends a transfer by itself. Everything is
//! bounded: [`FINISHED_MAX`] finished transfers are remembered.
//!
//! Reading order: `view` (the public form), `plan` (what is requested), `machine` (commands, outputs, time), `follow`
//! (events), `actions` (what is sent to the PBX), `recover` (after a restart of the daemon).

mod actions;
mod chan_spy_tracker;
#[cfg(test)]
mod fake_pbx;
mod follow;
mod machine;
mod plan;
#[cfg(test)]
mod proptests;
mod recover;
#[cfg(test)]
mod tests;

pub use actions::CONTEXTS;
pub use machine::{
    Command, DETACH_TIMEOUT, FINISHED_MAX, Notice, NoticeKind, Output, Reply, START_TIMEOUT, Step, Transfers,
};
pub use plan::{Plan, ShownNumber, TARGETS_MAX, Target};
pub use recover::{ORPHAN_CANDIDATES_MAX, TransferContext};
