//! Erasure: what the store has about a deleted customer, removed behind the answer to the request.
//!
//! The request deletes the customer's record and notes the customer's numbers, in one short transaction. From then on no
//! reader shows them (`conditions.rs`), and steps of a few rows remove them where they are stored:
//!
//! | stage | removes |
//! |---|---|
//! | `calls` | number and customer in finished calls, their targets, the notes of their after-call work, the drafts about them; of calls to the customer the dialled number; the faxes that came in them. Each such call is noted in `erased_calls` |
//! | `segments` | the numbers as targets in other calls of the account |
//! | `messages` | number, customer and all that was written of messages, in every revision, and notes of answers and phone tasks about them; their routes end; drafts that name the customer |
//! | `faxes` | faxes of the account from the customer's numbers, with their documents |
//! | `live` | nothing: waits until no call that began before the request and names the customer is unrecorded |
//! | `late_calls`, `late_segments`, `late_messages`, `late_faxes` | the same as above, of the calls that were waited for |
//! | `notes` | notes, drafts, messages and faxes that were written for one of the calls meanwhile |
//! | `events`, `outbox` | the customer and the numbers in logged events, and in events that wait for a receiver of webhooks (`redact.rs`) |
//!
//! A deleted account goes in the same way: the request hides it and frees its code and numbers (`accounts/sql.rs`), and steps
//! remove its drafts, messages, faxes, customers, contacts and scripts. Its calls stay.
//!
//! A message that was cleared is noted in `erased_messages`: what was sent of it to whom can be said as long as its row is there
//! (`sent.rs`), since nobody but the recipients can delete that.
//!
//! Later writers find the call in `erased_calls`: another record of it, notes, drafts, messages and faxes bring nothing back. What began
//! after the request is another matter, also from the same number.
//!
//! Invariant: a stage and how far it has come are committed with the rows of the step. A process that is killed loses the
//! step under way; a row that is done is not found again. An erasure that waits is set aside, and the others go on. The audit
//! trail cannot be changed: no text that a person wrote about a caller is ever written there (`gateway/audit_trail.rs`), and the id
//! of a customer stays.
//!
//! Read next: `sql.rs` beside this file.

#[macro_use]
mod conditions;
mod redact;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::redact::{Place, Trace, without_notes};
use super::{Store, StoreError, to_ms};
use crate::contract::card::Card;
use crate::contract::delivery::DeliveryState;
use crate::contract::records::search::fold_number;
use crate::ids::RecordId;
use crate::journal::entry::CallCheckpoint;
use crate::numbers::{Number, NumberPlan};

/// How long after the request a call that began before it may still be without a checkpoint, in milliseconds.
pub const SETTLE_MS: i64 = 60_000;
/// How long an erasure is set aside that waits for a call, in milliseconds.
pub const SET_ASIDE_MS: i64 = 5_000;

/// What one step of erasures did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureStep {
    /// No erasure is due.
    Idle,
    /// The next erasure asks which calls are live: the step is to be tried again with [`LiveCalls::Known`].
    AsksForLiveCalls,
    /// This erasure was set aside: a call with the customer is not over, or it is not known whether one is.
    SetAside(RecordId),
    /// This many rows were cleared or looked at.
    Done(u64),
    /// Nothing of this customer is left.
    Finished(RecordId),
}

/// The calls that the store has no record of yet.
#[derive(Debug, Clone, Copy)]
pub enum LiveCalls<'a> {
    /// Nobody has looked.
    Unasked,
    /// They cannot be listed at the moment.
    Unknown,
    /// All of them, as of a moment ago.
    Known(&'a [LiveCall]),
}

/// What a call says about the person at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveCall {
    /// When it was offered, in milliseconds since 1970.
    pub offered_ms: i64,
    /// The account.
    pub account: Option<RecordId>,
    /// The caller's number, as a key.
    pub caller: Option<String>,
    /// The account's customers with that number.
    pub customers: Vec<RecordId>,
    /// What was dialled.
    pub dialled: Option<String>,
}

impl LiveCall {
    /// What a live call's card says.
    #[must_use]
    pub fn of(offered_at: Timestamp, card: Option<&Card>, plan: &NumberPlan) -> Self {
        let offered_ms = to_ms(offered_at);
        let Some(card) = card else { return Self { offered_ms, ..Self::default() } };
        let caller = card.caller.number.as_deref().and_then(|text| Number::read(text, plan));
        Self {
            offered_ms,
            account: card.account.id,
            caller: caller.map(|number| number.key().to_owned()),
            customers: card.customers.iter().map(|customer| customer.id).collect(),
            dialled: card.dialled.clone(),
        }
    }
}

/// Most copies in an answer.
pub const SENT_COPIES_MAX: u32 = 500;

/// What left the house about a customer: the service cannot take it back, and asks the recipients to delete it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SentCopies {
    /// The copies, the last one first; at most 500.
    pub items: Vec<SentCopy>,
    /// Whether there are more.
    pub has_more: bool,
    /// False while the customer is being removed: messages that only the customer's number names may be added.
    pub is_complete: bool,
}

/// A message about a customer that was sent, or may have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SentCopy {
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    pub message: RecordId,
    /// Its number (受付番号).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub taken_at: Timestamp,
    /// Whether it was sent with others in a digest.
    pub in_digest: bool,
    /// How it was sent, for instance `mail`.
    pub channel: String,
    /// The contact who received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_name: Option<String>,
    /// Where it was sent; empty after `retention.deliveries_days`.
    pub address: String,
    /// The state of its delivery; of one that is not `sent` or `delivered`, it is not certain that it arrived.
    pub state: DeliveryState,
    /// When that state began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
}

/// How far the erasures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErasureStatus {
    /// Customers of whom something may be left.
    pub left: u64,
    /// Accounts of which something may be left.
    pub accounts: u64,
    /// Those of them that wait for a call to end.
    pub waiting: u64,
    /// When the oldest of these erasures was asked for.
    pub oldest: Option<Timestamp>,
}

/// What one step of the removal of accounts did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalStep {
    /// No account is being removed.
    Idle,
    /// This many rows were removed.
    Done(u64),
    /// Nothing of this account is left.
    Finished(RecordId),
}

/// The status, as the task that erases last found it, for readers elsewhere (`/readyz`). Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ErasureProgress(Arc<Mutex<ErasureStatus>>);

impl ErasureProgress {
    /// Replaces the status.
    pub fn set(&self, status: ErasureStatus) {
        *self.0.lock() = status;
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> ErasureStatus {
        *self.0.lock()
    }
}

/// The forms in which a number is dialled, and stored beside its key.
pub(super) fn writings(key: &str, original: &str, plan: &NumberPlan) -> BTreeSet<String> {
    let mut found = BTreeSet::from([key.to_owned(), original.to_owned()]);
    found.extend(fold_number(original));
    if let Some(number) = Number::read(key, plan) {
        let shown = number.display().to_string();
        found.extend(fold_number(&shown));
        found.insert(shown);
    }
    if let Some(digits) = key.strip_prefix('+') {
        found.extend([digits.to_owned(), format!("010{digits}"), format!("00{digits}")]);
        if let Some(rest) = digits.strip_prefix("81") {
            // With and without showing one's own number.
            found.extend(["0", "1840", "1860"].map(|prefix| format!("{prefix}{rest}")));
        }
    }
    found.retain(|text| !text.is_empty());
    found
}

impl Store {
    /// Deletes a customer's record at once. The customer's numbers and texts in calls, messages, notes and logged events are
    /// shown by no reader from now on, and removed by [`Self::erase_step`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed; then nothing was changed.
    pub async fn forget_customer(
        &self,
        id: RecordId,
        plan: &NumberPlan,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        each!(self, db => db.forget_customer(id, plan, at).await)
    }

    /// What was sent about a customer to whom, also after the customer was deleted: as long as the messages are in the store.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sent_copies(&self, customer: RecordId) -> Result<SentCopies, StoreError> {
        each!(self, db => db.sent_copies(customer).await)
    }

    /// Removes what is left of a deleted customer, at most `rows` rows.
    ///
    /// # Errors
    /// The store failed; the step can be tried again.
    pub async fn erase_step(
        &self,
        rows: u32,
        live: LiveCalls<'_>,
        plan: &NumberPlan,
        now: Timestamp,
    ) -> Result<ErasureStep, StoreError> {
        each!(self, db => db.erase_step(rows, live, plan, now).await)
    }

    /// Removes what is left of a deleted account, at most `rows` drafts, messages, faxes, customers, contacts or versions
    /// of scripts.
    ///
    /// # Errors
    /// The store failed; the step can be tried again.
    pub async fn remove_step(&self, rows: u32) -> Result<RemovalStep, StoreError> {
        each!(self, db => db.remove_step(rows).await)
    }

    /// How far the erasures are.
    ///
    /// # Errors
    /// The store failed.
    pub async fn erasure_status(&self) -> Result<ErasureStatus, StoreError> {
        each!(self, db => db.erasure_status().await)
    }

    /// The calls of every PBX whose record is not in the store yet, as far as the store knows them. One that this version
    /// cannot read is left out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn checkpoints(&self) -> Result<Vec<CallCheckpoint>, StoreError> {
        each!(self, db => db.checkpoints().await)
    }

    /// How far the erasures were a moment ago.
    #[must_use]
    pub fn erasure_progress(&self) -> &ErasureProgress {
        each!(self, db => &db.erasures)
    }
}

/// What is known about one erasure.
#[derive(Debug, Clone)]
pub(super) struct Erasure {
    pub(super) customer: RecordId,
    pub(super) account: RecordId,
    pub(super) asked_ms: i64,
    pub(super) stage: String,
    pub(super) reached: Option<String>,
}

impl Erasure {
    /// Whether the call began before the request and is with the customer.
    pub(super) fn concerns(&self, call: &LiveCall, keys: &[String], writings: &[String]) -> bool {
        let is_in_account = call.account == Some(self.account);
        let is_caller = is_in_account && call.caller.as_ref().is_some_and(|caller| keys.contains(caller));
        let is_called = (is_in_account || call.account.is_none())
            && call.dialled.as_ref().is_some_and(|dialled| writings.contains(dialled));
        call.customers.contains(&self.customer)
            || call.offered_ms <= self.asked_ms && (is_caller || is_called)
    }
}
