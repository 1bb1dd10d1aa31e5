//! The link to a PBX as the store keeps it, and the gaps in it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::ids::PbxId;

/// A time in which no daemon was connected to a PBX.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Gap {
    /// Which PBX.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// The last time at which a daemon received its events.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// When the link was up again.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub to: Timestamp,
    /// Why.
    pub cause: String,
    /// The PBX itself restarted in between: every call it had is over.
    pub restarted: bool,
}

/// The state of the link to a PBX, as the previous daemon left it.
#[derive(Debug, Clone, PartialEq)]
pub struct PbxLinkState {
    /// Whether it was up.
    pub up: bool,
    /// Since when it was up or down.
    pub since: Timestamp,
    /// The last time at which a daemon was connected and read its events.
    pub alive: Timestamp,
    /// Why it was down.
    pub cause: Option<String>,
    /// When the PBX started, as the PBX reports it.
    pub started: Option<String>,
}
