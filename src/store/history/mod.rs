//! Finished calls: written when a call ends, read for the screen pop of the caller's next call.
//!
//! Invariant: a call is one row, however often it is recorded, by one daemon or by the two of one PBX.
//!
//! | stored record | new record | the row | the segments |
//! |---|---|---|---|
//! | observed | observed | stays | the longer list |
//! | observed | inferred | stays | stay |
//! | inferred | observed | is replaced | the longer list; of equal length the new one |
//! | inferred | inferred | stays | the longer list |
//! | inferred | of the PBX (`offline`) | how it ended is replaced, who called is kept | the stored ones, if there are any |
//! | of the PBX | inferred, of the PBX | stays | the longer list |
//! | of the PBX | observed | is replaced | the longer list |
//!
//! Why the longer list: only the leader knows transfers and what desktops showed, and either daemon may write first.
//! The number of a caller who withholds it is never stored; a constraint of the table refuses it.
//!
//! Read next: `sql.rs` beside this file.

use crate::contract::history::FinishedCall;
use std::fmt;

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::call::{Direction, Outcome};
use crate::contract::card::{CustomerView, HistoryView};
use crate::ids::{CallId, Extension, RecordId};

/// Most customers of one number that a card shows.
pub const CUSTOMERS_PER_CARD_MAX: usize = 20;

/// Up to how many the earlier calls of a number are counted.
pub const CALLS_COUNTED_MAX: u64 = 5_000;

/// Most customers of a [`PartyFilter`].
pub const PARTY_CUSTOMERS_MAX: u32 = 500;

/// What the store has about a number that calls an account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallerHistory {
    /// The account's customers with this number, best first.
    pub customers: Vec<CustomerView>,
    /// Earlier calls and messages.
    pub history: HistoryView,
}

/// Which finished calls; an absent condition lets all through, but the direction.
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    /// In this direction; inbound where it is absent.
    pub direction: Option<Direction>,
    /// Of this account.
    pub account: Option<RecordId>,
    /// From this number, as a key.
    pub caller: Option<String>,
    /// Of this customer.
    pub customer: Option<RecordId>,
    /// With this person or number on the other side.
    pub party: Option<PartyFilter>,
    /// That this operator had.
    pub operator: Option<Extension>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Offered at this time or later.
    pub from: Option<Timestamp>,
    /// Offered before this time.
    pub to: Option<Timestamp>,
    /// That a reader may see; absent for a reader who may see all.
    pub visibility: Option<VisibilityFilter>,
}

/// The other side of a call: who called, or whom an operator called. A call that matches one of the conditions is let
/// through; without any condition there is none.
///
/// A caller who withholds the number matches nothing, because neither number nor customer is in the record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartyFilter {
    /// With this number, as a key.
    pub number: Option<String>,
    /// One of these customers, at most [`PARTY_CUSTOMERS_MAX`]: the record names the customer, or the number is one of the
    /// customer's (from outside: and the call was for the customer's account).
    pub customers: Vec<RecordId>,
}

/// The finished calls that a reader with restricted visibility may read.
#[derive(Debug, Clone, Default)]
pub struct VisibilityFilter {
    /// The calls that these people had, at whatever phone.
    pub people: Vec<RecordId>,
    /// These people's own extensions, for records that do not name the people.
    pub extensions: Vec<Extension>,
    /// Also the calls that no operator had.
    pub unowned: bool,
}

impl VisibilityFilter {
    /// Whether the filter lets this call through.
    #[must_use]
    pub fn allows(&self, call: &FinishedCall) -> bool {
        let own = match &call.handled_by {
            Some(people) => people.iter().any(|person| self.people.contains(person)),
            None => call.operators.iter().any(|operator| self.extensions.contains(operator)),
        };
        own || self.unowned && call.operators.is_empty()
    }
}

/// A position in the history, newest first: the next page begins after this call. Its text is the page's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryCursor {
    /// When the call was offered, in milliseconds since 1970.
    pub offered_ms: i64,
    /// The call.
    pub call: CallId,
}

impl HistoryCursor {
    /// The position of `call`.
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

impl fmt::Display for HistoryCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.offered_ms, self.call)
    }
}

impl Store {
    /// Finished calls of one direction after a cursor, newest first, without their segments; at most `limit`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        filter: &HistoryFilter,
        before: Option<HistoryCursor>,
        limit: u32,
    ) -> Result<Vec<FinishedCall>, StoreError> {
        each!(self, db => db.history(filter, before, limit).await)
    }

    /// Writes a finished call. The module header says what happens when the call is recorded already.
    ///
    /// # Errors
    /// The store failed or was busy for too long; nothing was written.
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

    /// The names of these customers, to show them beside their calls; a customer who was deleted is left out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn customer_names(&self, ids: &[RecordId]) -> Result<Vec<(RecordId, String)>, StoreError> {
        each!(self, db => db.customer_names(ids).await)
    }

    /// The customers of `account` with the number `key`, and the earlier calls and messages of that number to the
    /// account. Order of the customers: those whose first number it is, the latest caller first, by reading.
    ///
    /// # Errors
    /// The store failed.
    pub async fn caller_history(&self, account: RecordId, key: &str) -> Result<CallerHistory, StoreError> {
        each!(self, db => db.caller_history(account, key).await)
    }
}
