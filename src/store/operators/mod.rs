//! Agent states for the next start, their history, and finished after-call work.
//!
//! Invariant: writing the same record twice has no effect, so a writer may try again.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::contract::operator::{ActorKind, State};
use crate::ids::{CallId, RecordId};
use crate::journal::entry::WrapUpRecord;
use crate::operators::OperatorSnapshot;

/// Most state changes read at once.
pub const STATE_CHANGES_MAX: u32 = 1_000;

/// A state change in an operator's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperatorChange)]
pub struct StateHistoryEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// The state from then on.
    pub state: State,
    /// The reason for not being ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The operator's phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// The call that the state belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// What made the change.
    pub actor: ActorKind,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub user: Option<RecordId>,
    /// The name of the person who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Store {
    /// The last stored state of each operator. A state that this version cannot read is left out, with a warning.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn states(&self) -> Result<Vec<OperatorSnapshot>, StoreError> {
        each!(self, db => db.states().await)
    }

    /// An operator's state changes from `from` until before `until`, oldest first, and before them the one that was in
    /// force at `from`; at most [`STATE_CHANGES_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn state_changes(
        &self,
        user: RecordId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<StateHistoryEntry>, StoreError> {
        each!(self, db => db.state_changes(user, from, until).await)
    }

    /// How long a person was in which state from `from` until before `until`, in milliseconds since 1970: the states one after
    /// another, each with its beginning and its end. The last one holds on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn state_spans(
        &self,
        user: RecordId,
        (from, until): (i64, i64),
    ) -> Result<Vec<(State, i64, i64)>, StoreError> {
        let changes = each!(self, db => db.states_from(user, (from, until)).await)?;
        let ends = changes.iter().skip(1).map(|(_, at)| *at).chain(std::iter::once(until));
        let spans = changes.iter().zip(ends).map(|((state, at), end)| (*state, (*at).max(from), end));
        Ok(spans.filter(|(_, begins, ends)| begins < ends).collect())
    }

    /// The finished after-call work of these calls, with its dispositions, in the order of its end.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn wrap_ups(&self, calls: &[CallId]) -> Result<Vec<WrapUpRecord>, StoreError> {
        each!(self, db => db.wrap_ups(calls).await)
    }
}
