//! A recording that a caller left (音声メール): what is known of it besides the message that it is.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::contract::message::NewFile;
use crate::ids::{CallId, PbxId, RecordId};

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VoiceMessage {
    /// The message that it is.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The PBX that recorded it.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// The account it is for.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The call in which it was left; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// How long it is, in milliseconds.
    pub ms: u64,
    /// Size of the recording (WAV), in bytes.
    pub bytes: u64,
    /// When its end was recorded.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub recorded_at: Timestamp,
}

/// A recording before it is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVoiceMessage {
    /// What is known of it; `id` is that of its message.
    pub voice: VoiceMessage,
    /// The name of the PBX's file: with the name of the PBX it is one recording, however often the file is read.
    pub file: String,
    /// The recording (WAV), as the file of its message.
    pub recording: NewFile,
}
