//! Transfer after answer (応答後転送): an operator passes the caller on, and the caller reaches a person or comes back.
//!
//! A pure state machine beside the call model: [`Transfers::command`] is what somebody wants,
//! [`Transfers::handle_event`] what the PBX told (after the model took it), [`Transfers::poll_output`] what must be
//! done now, [`Transfers::poll_timeout`] when to call [`Transfers::handle_timeout`].
//!
//! | state | on | to | told |
//! |---|---|---|---|
//! | - | command, and the call is the operator's | requested | `requested` |
//! | requested | nobody hears the call any more, or [`DETACH_WAIT`] is over | requested, and the PBX is told | |
//! | requested | dialplan: `trying` | trying | |
//! | requested | the PBX refused, or nothing began in [`START_WAIT`] | over (`not_started`) | `failed` |
//! | trying | the target's phone rings | ringing | `ringing` |
//! | trying, ringing | blind: caller and target share a bridge | completed | `completed` |
//! | trying, ringing | consult: the target answered | consulting | `consulting` |
//! | trying, ringing | dialplan: `failed`, and there is a next target | trying | `failed` |
//! | trying, ringing | dialplan: `failed`, the last target | returning | `failed` |
//! | ringing | consult: the operator hung up before the target answered | requested, as blind | |
//! | consulting | the PBX joined caller and target | completed | `completed` |
//! | consulting | the PBX joined caller and target, who had just left | returning | |
//! | completed | after a consultation the target is gone, and the PBX leaves the caller by herself | returning | |
//! | consulting, ringing | operator and caller share a bridge again, and she is not hanging up | over | `failed` if the target left, `returned` |
//! | returning | dialplan: `returning`, `requeued` | returning | `returned` |
//! | returning | the caller is with an operator | over | |
//! | completed | caller or target is gone | over, with the seconds they talked | |
//! | any but completed | the caller is gone | over (`caller_gone`) | `failed` |
//! | any | nothing came for too long, or the link had a gap | what the model says of the caller | `inferred` |
//! | - | the daemon starts, and a channel says of itself that it is being transferred | where it is (`recover`) | `inferred` |
//!
//! Blind: the targets are written on the caller's channel, and the caller is redirected into the dialplan context
//! `toritsugi-transfer`, which tries them, then the operator, then the queue. Consult: `Atxfer` on the operator's
//! channel into `toritsugi-consult`; completed by hanging up her channel, ended by `CancelAtxfer`. In both the PBX
//! alone brings the caller to a person: the daemon may die at any moment.
//!
//! Why no Bridge action: a channel that was bridged by the manager and redirected afterwards resumes at a stale
//! place of the dialplan (asterisk#1144).
//!
//! Invariant: no clock, socket or log in here. One transfer under way per call. An outcome comes from events alone,
//! never from the reply to an order. Everything here is bounded: [`PAST_MAX`] finished transfers are remembered.
//!
//! Reading order: `view` (from outside), `plan` (what is asked), `machine` (the doors), `follow` (events), `order`
//! (what is sent to the PBX), `recover` (after a restart of the daemon), `lookup` (targets out of the directory; the only part that waits for the store).

mod follow;
mod lookup;
mod machine;
mod order;
mod plan;
#[cfg(test)]
mod property;
mod recover;
mod spies;
#[cfg(test)]
mod tests;
pub mod view;
#[cfg(test)]
mod world;

pub use lookup::{LookupError, Settings};
pub use machine::{
    Command, DETACH_WAIT, Notice, NoticeKind, Output, PAST_MAX, Reply, START_WAIT, Step, Transfers,
};
pub use order::CONTEXTS;
pub use plan::{Plan, Show, TARGETS_MAX, Target};
pub use recover::{About, SWEEP_MAX};
pub use view::{Mode, TransferId, TransferView};
