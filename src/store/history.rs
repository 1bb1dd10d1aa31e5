//! Finished calls: written once when a call ends, read for the card of the next one.
//!
//! Invariant: a call is one row, however often it is recorded: the first record stays, except that what was
//! seen replaces what was inferred, and that more segments replace fewer: of two daemons on one PBX the one that leads
//! knows also of transfers and of what desktops showed, and either may write first. A record that was inferred never replaces
//! segments of one that was seen. A caller who withholds the number leaves no number here; the table itself
//! refuses one.
//!
//! Read next: `sqlite/history.rs` for the SQL.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::call::view::{CallView, Direction, Outcome};
use crate::directory::card::{CustomerView, HistoryView, MatchedBy};
use crate::directory::numbers::{Number, NumberPlan};
use crate::identity::Presentation;
use crate::ids::{CallId, ChannelId, Extension, PbxId, RecordId};

/// Most customers of one number that a card shows.
pub const CUSTOMERS_PER_CARD_MAX: usize = 20;
/// Most finished calls read at once.
pub const FINISHED_CALLS_PAGE_MAX: u32 = 200;

/// A call that is over, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FinishedCall {
    /// The call's own id.
    #[schema(value_type = uuid::Uuid)]
    pub id: CallId,
    /// The PBX that had it.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// Where it came from.
    pub direction: Direction,
    /// For whom it was.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// By which number the account was found.
    pub matched_by: MatchedBy,
    /// Who called, where exactly one customer had the number.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub customer: Option<RecordId>,
    /// The caller's number as a key; never that of a caller who withholds it.
    #[schema(value_type = Option<String>)]
    pub caller: Option<SmolStr>,
    /// Whether the number could be shown, or why not.
    pub presentation: Presentation,
    /// The service's number that rang.
    pub dialled: Option<String>,
    /// The account's number that forwarded it.
    pub diverted_by: Option<String>,
    /// When it reached the service.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub offered_at: Timestamp,
    /// When an operator first took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_optional_time")]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub ended_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Every operator who had it, in order.
    #[schema(value_type = Vec<String>)]
    pub operators: Vec<Extension>,
    /// The channels it was made of, to find it in the PBX's own records.
    #[schema(value_type = Vec<String>)]
    pub channels: Vec<ChannelId>,
    /// Concluded after a gap of the PBX link, not seen.
    pub inferred: bool,
    /// What happened inside it, in order.
    pub segments: Vec<Segment>,
}

/// A part of a finished call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Segment {
    /// What went on: `presented`, `talking`, `held`, `transfer`, ….
    pub kind: String,
    /// Whose phone it was.
    #[schema(value_type = Option<String>)]
    pub operator: Option<Extension>,
    /// Whom it went to, for a transfer.
    pub target: Option<String>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub from: Timestamp,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_optional_time")]
    pub until: Option<Timestamp>,
    /// How it came out.
    pub result: Option<String>,
}

impl FinishedCall {
    /// The record of a call that has ended, from how it looked last. Who had it, its channels and segments are
    /// known to the model alone; `view.operator` stands in `operators` unless the caller of this replaces it.
    #[must_use]
    pub fn of(view: &CallView, plan: &NumberPlan) -> Self {
        let card = view.card.as_deref();
        let number = card.and_then(|c| c.caller.number.as_deref()).and_then(|n| Number::read(n, plan));
        let customer = card.and_then(|c| match c.customers.as_slice() {
            [only] => Some(only.id),
            _ => None,
        });
        Self {
            id: view.id,
            pbx: view.pbx.clone(),
            direction: view.direction,
            account: card.and_then(|c| c.account.id),
            matched_by: card.map_or(MatchedBy::None, |c| c.account.matched_by),
            customer,
            caller: number.map(|n| SmolStr::new(n.key())),
            presentation: card.map_or(Presentation::Unavailable, |c| c.caller.presentation),
            dialled: card.and_then(|c| c.dialled.clone()),
            diverted_by: card.and_then(|c| c.diverted_by.clone()),
            offered_at: view.offered_at,
            answered_at: view.answered_at,
            ended_at: view.ended_at.unwrap_or(view.offered_at),
            outcome: view.outcome.unwrap_or(Outcome::Unknown),
            operators: view.operator.iter().cloned().collect(),
            channels: Vec::new(),
            inferred: view.inferred,
            segments: Vec::new(),
        }
    }
}

/// What the store knows about a number that calls an account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Acquaintance {
    /// The account's customers with this number, best first.
    pub customers: Vec<CustomerView>,
    /// What happened before.
    pub history: HistoryView,
}

/// Which finished calls.
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    /// Of this account.
    pub account: Option<RecordId>,
    /// From this number, as a key.
    pub caller: Option<String>,
    /// Of this customer.
    pub customer: Option<RecordId>,
    /// That this operator had.
    pub operator: Option<Extension>,
    /// That came out so.
    pub outcome: Option<Outcome>,
    /// That were offered then or later.
    pub from: Option<Timestamp>,
    /// That were offered before then.
    pub to: Option<Timestamp>,
    /// That are in somebody's sight; `None`: all.
    pub sight: Option<Sight>,
}

/// Whose finished calls somebody may read.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Those of these operators.
    pub operators: Vec<Extension>,
    /// And those that nobody had.
    pub unowned: bool,
}

impl Sight {
    /// Whether this call is one of them.
    #[must_use]
    pub fn has(&self, call: &FinishedCall) -> bool {
        let own = call.operators.iter().any(|operator| self.operators.contains(operator));
        own || self.unowned && call.operators.is_empty()
    }
}

/// A place in the history, newest first: what comes after this call. Its text is the cursor of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// When the call was offered, in milliseconds since 1970.
    pub offered_ms: i64,
    /// The call.
    pub call: CallId,
}

impl Before {
    /// What comes after `call`.
    #[must_use]
    pub fn of(call: &FinishedCall) -> Self {
        Self { offered_ms: super::to_ms(call.offered_at), call: call.id }
    }

    /// Reads a cursor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (offered_ms, call) = text.split_once('.')?;
        Some(Self { offered_ms: offered_ms.parse().ok()?, call: CallId::parse(call).ok()? })
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.offered_ms, self.call)
    }
}

impl Store {
    /// Finished calls without their segments, newest first; at most `limit`, and one page at a time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        filter: &HistoryFilter,
        before: Option<Before>,
        limit: u32,
    ) -> Result<Vec<FinishedCall>, StoreError> {
        each!(self, db => db.history(filter, before, limit).await)
    }

    /// Keeps a finished call. Recording the same call again changes nothing, unless the first record was
    /// inferred and this one was seen.
    ///
    /// # Errors
    /// The store failed or was busy for too long; nothing was kept.
    pub async fn record_call(&self, call: &FinishedCall) -> Result<(), StoreError> {
        each!(self, db => db.record_call(call).await)
    }

    /// A finished call with its segments.
    ///
    /// # Errors
    /// The store failed.
    pub async fn finished_call(&self, id: CallId) -> Result<Option<FinishedCall>, StoreError> {
        each!(self, db => db.finished_call(id).await)
    }

    /// The latest finished calls (of one account) that were offered before `before`, newest first, without
    /// their segments; at most [`FINISHED_CALLS_PAGE_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn finished_calls(
        &self,
        account: Option<RecordId>,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<FinishedCall>, StoreError> {
        each!(self, db => db.finished_calls(account, before, limit.min(FINISHED_CALLS_PAGE_MAX)).await)
    }

    /// The customers of `account` with the number `key`, best first (this is their first number, they called
    /// last, by reading), and what happened before between that number and the account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn acquaintance(&self, account: RecordId, key: &str) -> Result<Acquaintance, StoreError> {
        each!(self, db => db.acquaintance(account, key).await)
    }
}
