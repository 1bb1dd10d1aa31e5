//! What must be committed with an event, and the queue in front of the store.
//!
//! Invariant: the bus appends an event and its entries in one step; the writer commits them in one transaction, in order.
//! An entry of a kind that must not be lost is never dropped: the queue's limits apply to the others.
//!
//! Read next: [`entry`] (the kinds), [`queue`] (limits and policy), [`timelines`] (what happens inside each living call); `daemon/journal_writer.rs` writes them.

pub mod entry;
pub mod queue;
pub mod timelines;

pub use entry::{CallCheckpoint, JournalEntry, MessagePublication, SegmentChange, StateChange, WrapUpRecord};
pub use queue::{Batch, JournalQueue, JournalStats, RestoredLog};
