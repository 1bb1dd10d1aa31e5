//! A fax that the PBX received: its record, without the document.
//!
//! Invariant: a record names no number of a caller who withholds it, neither as caller nor as the station that the sender's
//! machine names.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::words;
use crate::ids::{CallId, PbxId, RecordId};

words! {
    /// How much of a fax arrived.
    FaxState {
        /// All of it: the two machines agreed that every page arrived.
        Complete = "complete",
        /// The call broke off, or a page is damaged: the document has the pages that arrived.
        Partial = "partial",
        /// The PBX's report was lost; the document has the pages that are in the PBX's file.
        Unconfirmed = "unconfirmed",
        /// The PBX's file cannot be read. There is no document; the file is kept.
        Unreadable = "unreadable",
    }
}

words! {
    /// How a fax was carried.
    FaxMode {
        /// T.38.
        T38 = "t38",
        /// As sound.
        Audio = "audio",
        /// The PBX did not say.
        Unknown = "unknown",
    }
}

/// A fax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fax {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The PBX that received it.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// The account it is for; absent when no account has the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// The call in which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// The number that was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialled: Option<String>,
    /// The caller's number in normalised form; absent if the caller withholds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The number that the sender's machine names, which nobody checks; absent if the caller withholds the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// How much of it arrived.
    pub state: FaxState,
    /// How it was carried.
    pub mode: FaxMode,
    /// Pages of the document.
    pub pages: u32,
    /// Size of the document, in bytes; 0: there is none.
    pub bytes: u64,
    /// When it arrived.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub received_at: Timestamp,
}

/// A fax before it is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFax {
    /// The record; `bytes` is that of the document.
    pub fax: Fax,
    /// The name of the PBX's file: with the name of the PBX it is one fax, however often the file is read.
    pub file: String,
    /// The document (PDF); empty: there is none.
    pub document: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_their_text() {
        for state in FaxState::ALL {
            assert_eq!(FaxState::parse(state.as_str()), Some(*state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for mode in FaxMode::ALL {
            assert_eq!(FaxMode::parse(mode.as_str()), Some(*mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        assert_eq!(FaxState::parse("COMPLETE"), None);
    }
}
