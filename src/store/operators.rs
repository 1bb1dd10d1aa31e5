//! Operators' states over restarts, their history, and finished after-call work.
//!
//! Invariant: writing the same twice changes nothing, so whoever writes may try again.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::{CallId, RecordId};
use crate::operator::{ActorKind, Finished, Saved, State, StateView};

/// Most changes read at once.
pub const STATE_CHANGES_MAX: u32 = 1_000;

/// A change of somebody's state: how she is, and what is kept over a restart (nothing: she has left the service).
#[derive(Debug, Clone)]
pub struct StateChange {
    /// When.
    pub at: Timestamp,
    /// How she is since then.
    pub view: StateView,
    /// What is kept.
    pub saved: Option<Saved>,
}

/// A change, as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperatorChange)]
pub struct PastState {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub at: Timestamp,
    /// What she was doing since then.
    pub state: State,
    /// Why not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where she sat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// With which call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// What made the change.
    pub actor: ActorKind,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub user: Option<RecordId>,
    /// Who, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// After-call work that is over.
#[derive(Debug, Clone)]
pub struct WrapUpRecord {
    /// Whose.
    pub user: RecordId,
    /// What.
    pub finished: Finished,
}

impl Store {
    /// Keeps a change.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn record_state(&self, change: &StateChange) -> Result<(), StoreError> {
        each!(self, db => db.record_state(change).await)
    }

    /// Keeps after-call work; a disposition that comes later completes it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn record_wrap_up(&self, record: &WrapUpRecord) -> Result<(), StoreError> {
        each!(self, db => db.record_wrap_up(record).await)
    }

    /// How everybody was left. What an older or newer version wrote and this one cannot read is left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn states(&self) -> Result<Vec<Saved>, StoreError> {
        each!(self, db => db.states().await)
    }

    /// Somebody's changes from `from` until before `until`, oldest first, and before them the one in force at
    /// `from`; at most [`STATE_CHANGES_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn state_changes(
        &self,
        user: RecordId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<PastState>, StoreError> {
        each!(self, db => db.state_changes(user, from, until).await)
    }

    /// The dispositions given after a call, in the order the after-call work ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn wrap_ups(&self, call: CallId) -> Result<Vec<WrapUpRecord>, StoreError> {
        each!(self, db => db.wrap_ups(call).await)
    }
}
