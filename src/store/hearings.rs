//! What supervisors heard: who listened to, whispered into, broke into or took over which call, from when to when.
//!
//! A session of a supervisor becomes a row for each stretch in which it hears one operator's part of one call in one
//! mode; its rows follow each other without touching what was written. The audit trail tells what was asked for and
//! refused; this tells what was heard, as a part of the call's history.
//!
//! | step | does |
//! |---|---|
//! | [`Step::Began`] | closes what the session heard until then, and begins a row; the same again changes nothing |
//! | [`Step::Ended`] | closes what the session heard |
//! | [`Step::Only`] | closes what every other session of that PBX has open: its end was not seen |
//!
//! Invariant: at most one row of a session is open; a step that was taken already, or that comes after a later one,
//! changes nothing. So a step may be written again, and whoever takes over may say what is as if it were new.
//!
//! Read next: `sql/hearings.rs` for the SQL, `daemon/hearings.rs` for when steps are taken.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::bus::Audience;
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::supervision::{Ending, Mode, SupervisionId};

/// A time in which a supervisor heard a call, or the instant in which she took it over.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Hearing {
    /// The supervision.
    #[schema(value_type = uuid::Uuid)]
    pub supervision: SupervisionId,
    /// The PBX that has the call.
    #[serde(skip)]
    pub pbx: PbxId,
    /// Which call.
    #[serde(skip)]
    pub call: CallId,
    /// The operator who was heard, or from whom the call was taken.
    #[schema(value_type = String)]
    pub operator: Extension,
    /// Who supervised.
    #[schema(value_type = uuid::Uuid)]
    pub supervisor: RecordId,
    /// Her name then.
    pub supervisor_name: String,
    /// Her phone.
    #[schema(value_type = String)]
    pub extension: Extension,
    /// What she did.
    pub mode: Mode,
    /// Why, in her words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub from: Timestamp,
    /// Until when; absent while it goes on.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::wire::as_optional_time")]
    pub until: Option<Timestamp>,
    /// Why the supervision was over with it; absent when it went on: another mode, another call, a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// To whom it was told, and who may therefore read of it.
    #[serde(skip)]
    pub audience: Audience,
}

/// What is to be noted.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// From [`Hearing::from`] on she hears this.
    Began(Box<Hearing>),
    /// She hears nobody any more.
    Ended {
        /// Which supervision.
        supervision: SupervisionId,
        /// Since when.
        at: Timestamp,
        /// Why, if it is over.
        ending: Option<Ending>,
    },
    /// Of the supervisions of this PBX only these hear somebody.
    Only {
        /// The PBX.
        pbx: PbxId,
        /// Which.
        supervisions: Vec<SupervisionId>,
        /// When that was so.
        at: Timestamp,
    },
}

impl Store {
    /// Notes a step.
    ///
    /// # Errors
    /// The store failed or was busy for too long; nothing was noted.
    pub async fn note_hearing(&self, step: &Step) -> Result<(), StoreError> {
        each!(self, db => db.note_hearing(step).await)
    }

    /// What was heard of a call, in order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn hearings(&self, call: CallId) -> Result<Vec<Hearing>, StoreError> {
        each!(self, db => db.hearings(call).await)
    }
}
