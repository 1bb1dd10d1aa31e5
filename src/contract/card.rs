//! The card: what a pop shows about a call besides the call's own state, in the form in which `call.presented` carries it.
//!
//! Invariant: a card is complete in itself and holds no number that the caller withholds. [`Directory`](crate::directory::Directory) makes it,
//! the call model carries it unread, and the gateway serialises it unchanged.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::hours::HoursState;
use crate::contract::notice::AccountNotice;
use crate::identity::Presentation;
use crate::ids::RecordId;

/// What the operator sees of a call, besides the call's own state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Card {
    /// The service's number that rang, as dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialled: Option<String>,
    /// The account's own number that forwarded the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diverted_by: Option<String>,
    /// The caller.
    pub caller: CallerView,
    /// The account that the call is for; `matched_by: none` and no id when no account has these numbers.
    pub account: AccountView,
    /// The account's records of this caller, best first; empty when unknown or withheld.
    pub customers: Vec<CustomerView>,
    /// Earlier calls and messages of this caller to this account.
    pub history: HistoryView,
    /// The URL (`http` or `https`) at which another system shows this call or caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The script of the call; absent: the account has none for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptView>,
}

/// The script of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CardScript)]
pub struct ScriptView {
    /// The code of the script within the account.
    pub id: String,
    /// The version that is live.
    pub version: u32,
    /// What it is called.
    pub name: String,
    /// What the operator says first, at the time of the call. `{operator}` in it stands for the name of the person who reads
    /// it.
    pub opening: String,
}

/// The caller, as far as the caller is known and may be shown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct CallerView {
    /// The number in its usual form, for instance `090-1234-5678`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The name the network sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Whether the number may be shown, or why not.
    pub presentation: Presentation,
    /// The best customer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The area a fixed-line number belongs to, for instance `大阪`; or `携帯電話`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
}

/// The kind of number by which the account was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// The forwarding number in a Diversion header.
    Diversion,
    /// The forwarding number in a History-Info entry.
    HistoryInfo,
    /// The number that was dialled.
    Dialled,
    /// The trunk's default account.
    Trunk,
    /// No account has any of these numbers.
    #[default]
    None,
}

/// The account that the call is for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// Absent when no account matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub id: Option<RecordId>,
    /// The company's name.
    pub name: String,
    /// Its reading.
    pub kana: String,
    /// The greeting that the operator says first.
    pub answer_phrase: String,
    /// What was agreed with this company, without an end.
    pub notes: String,
    /// What holds at the time of the call, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<AccountNotice>,
    /// The path of a recording of the name; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pronunciation: Option<String>,
    /// Whether the company is open; absent for a company without hours, which is always open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursState>,
    /// The kind of number by which the account was found.
    pub matched_by: MatchedBy,
}

/// A customer of the account who has the caller's number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerView {
    /// The record's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The person's or company's name.
    pub name: String,
    /// Its reading.
    pub kana: String,
    /// The company the person works for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// The department.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// What operators should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Marks such as `vip` or `claim`.
    pub flags: Vec<String>,
    /// The account's own code of the customer, as it was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The caller's number as the customer's record writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// Earlier calls and messages of this caller to this account.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct HistoryView {
    /// Finished calls from this number to this account, counted up to 5,000: that many means at least as many.
    pub calls: u64,
    /// When the last one began.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_call: Option<jiff::Timestamp>,
    /// The text of the last message taken for this caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<String>,
    /// Messages of this caller that are not acknowledged yet.
    pub open_messages: u64,
}
