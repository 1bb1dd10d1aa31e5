//! The query parameters of each path. A list has pages: `?limit=` and `?cursor=`; the answer has `items` and, unless
//! it is the last page, `next` (the cursor of the following page).
//!
//! Invariant: a client that follows `next` gets every record once, in the order of the list, whatever is added
//! meanwhile.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::csv::{CsvEncoding, FileLanguage};
use super::extract::record_id;
use super::problem::{Kind, Problem};
use crate::contract::call::{Direction, Outcome};
use crate::contract::delivery::MessageDeliveryState;
use crate::contract::fax::FaxState;
use crate::contract::message::{Mark, MessageKind, MessageState, Urgency};
use crate::ids::{CallId, RecordId};
use crate::store::PAGE_RECORDS_MAX;

/// Records per page when the request has no `limit`.
const PAGE_RECORDS_DEFAULT: u32 = 50;

/// One page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Records per page, 1 to 500; 50 by default.
    limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
}

/// The page that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// The page begins after this record.
    pub(crate) after: Option<RecordId>,
    /// The largest number of records.
    pub(crate) limit: u32,
}

impl PageQuery {
    pub(crate) fn read(&self) -> Result<PageRequest, Problem> {
        page_request(self.limit, self.cursor.as_deref())
    }
}

/// Reads `limit` and `cursor`, for queries that have further keys.
pub(crate) fn page_request(limit: Option<u32>, cursor: Option<&str>) -> Result<PageRequest, Problem> {
    let limit = page_limit(limit)?;
    let after = cursor
        .map(|text| {
            record_id(text)
                .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the previous page"))
        })
        .transpose()?;
    Ok(PageRequest { after, limit })
}

/// Checks `limit`, and applies the default.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE_RECORDS_DEFAULT);
    if (1..=PAGE_RECORDS_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Kind::InvalidQuery.with(format!("limit must be between 1 and {PAGE_RECORDS_MAX}")))
    }
}

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionQuery {
    /// The version; the newest if absent.
    pub(crate) version: Option<u32>,
}

/// Which offers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OffersQuery {
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// In messages taken at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// In messages taken before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
}

/// What is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// A name in kanji, kana (of any width) or romaji, a part of a telephone number in any writing, or words of a message.
    pub(crate) q: String,
    /// Records of each kind, 1 to 20; 5 by default.
    pub(crate) limit: Option<u32>,
}

/// Filter of customers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CustomerQuery {
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// With this telephone number, in any notation.
    pub(crate) number: Option<String>,
    /// Whose name, reading, company, department, code or number contains this text; kana, width, case and the writing of
    /// numbers do not matter.
    pub(crate) q: Option<String>,
    /// Records per page, 1 to 500; 50 by default.
    pub(crate) limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    pub(crate) cursor: Option<String>,
}

/// Filter of contacts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ContactQuery {
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// Records per page, 1 to 500; 50 by default.
    pub(crate) limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    pub(crate) cursor: Option<String>,
}

/// Filter of messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageQuery {
    /// For the account with this id.
    pub(crate) account: Option<String>,
    /// In this state.
    pub(crate) state: Option<MessageState>,
    /// Whose delivery is in this state.
    pub(crate) delivery: Option<MessageDeliveryState>,
    /// `true`: sent, and their route was over before anybody confirmed.
    #[serde(default)]
    pub(crate) unanswered: bool,
    /// Taken in this call.
    #[param(value_type = Option<uuid::Uuid>)]
    pub(crate) call: Option<CallId>,
    /// Of callers with this telephone number, or who gave it, in any notation.
    pub(crate) caller: Option<String>,
    /// Of this kind.
    pub(crate) kind: Option<MessageKind>,
    /// Of this urgency.
    pub(crate) urgency: Option<Urgency>,
    /// With this mark.
    pub(crate) mark: Option<Mark>,
    /// For the contact with this id.
    pub(crate) contact: Option<String>,
    /// Taken by the person with this id.
    pub(crate) taken_by: Option<String>,
    /// With this number (受付番号).
    pub(crate) number: Option<String>,
    /// `true`: held until a time that is not over; `false`: not held.
    pub(crate) held: Option<bool>,
    /// Taken at this time or later; with `q` and without `from`, in the last 90 days.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// Taken before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// In which each word of this text occurs: in the number (受付番号), a name, the company, the subject, the text or a
    /// telephone number; kana, width, case and the writing of numbers do not matter.
    pub(crate) q: Option<String>,
    /// Records per page, 1 to 500; 50 by default.
    pub(crate) limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    pub(crate) cursor: Option<String>,
}

/// Filter of faxes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FaxQuery {
    /// For the account with this id.
    pub(crate) account: Option<String>,
    /// In this state.
    pub(crate) state: Option<FaxState>,
    /// That came in this call.
    #[param(value_type = Option<uuid::Uuid>)]
    pub(crate) call: Option<CallId>,
    /// That arrived at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// That arrived before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// Records per page, 1 to 500; 50 by default.
    pub(crate) limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    pub(crate) cursor: Option<String>,
}

/// Filter of the audit trail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// That concern this person, as actor or as the person affected: an extension, a name or a user's id.
    pub(crate) person: Option<String>,
    /// About this record: its id, or how entries name it: of an account its code.
    pub(crate) about: Option<String>,
    /// About this call.
    #[param(value_type = Option<uuid::Uuid>)]
    pub(crate) call: Option<CallId>,
    /// At this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// Before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// Whose action begins with this text, for instance `supervision.` or `supervision.refused`.
    pub(crate) action: Option<String>,
    /// Records per page, 1 to 500; 50 by default.
    pub(crate) limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    pub(crate) cursor: Option<i64>,
}

/// Filter of finished calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// With this person or number on the other side (who called; of outbound calls, who was called): a telephone number in
    /// any notation, or a part of a customer's name, reading, company, department, code or number, as in `q` of
    /// `/v1/customers`. A caller who withholds the number is not found.
    pub(crate) q: Option<String>,
    /// From this telephone number, in any notation; requires `account`.
    pub(crate) caller: Option<String>,
    /// Of the customer with this id.
    pub(crate) customer: Option<String>,
    /// That the operator at this extension had.
    pub(crate) operator: Option<String>,
    /// In this direction; `inbound` by default.
    pub(crate) direction: Option<Direction>,
    /// With this outcome.
    pub(crate) outcome: Option<Outcome>,
    /// That were offered at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// That were offered before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// Records per page, 1 to 500; 50 by default.
    pub(crate) limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    pub(crate) cursor: Option<String>,
}

/// Filter and form of a file of finished calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryFileQuery {
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// With this person or number on the other side, as in `/v1/history`.
    pub(crate) q: Option<String>,
    /// From this telephone number, in any notation; requires `account`.
    pub(crate) caller: Option<String>,
    /// Of the customer with this id.
    pub(crate) customer: Option<String>,
    /// That the operator at this extension had.
    pub(crate) operator: Option<String>,
    /// In this direction; `inbound` by default.
    pub(crate) direction: Option<Direction>,
    /// With this outcome.
    pub(crate) outcome: Option<Outcome>,
    /// That were offered at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// That were offered before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// The encoding of the file; `utf-8` by default.
    pub(crate) encoding: Option<CsvEncoding>,
    /// The language of headings and words; `ja` by default.
    pub(crate) language: Option<FileLanguage>,
}

impl HistoryFileQuery {
    /// The same filter, as a list takes it.
    pub(crate) fn into_filter(self) -> HistoryQuery {
        let Self { account, q, caller, customer, operator, direction, outcome, from, to, .. } = self;
        HistoryQuery {
            account,
            q,
            caller,
            customer,
            operator,
            direction,
            outcome,
            from,
            to,
            limit: None,
            cursor: None,
        }
    }
}

/// What the rows of figures are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatsBy {
    /// Accounts.
    Account,
    /// Operators: each person's own work.
    Operator,
    /// Teams: the work of their people.
    Team,
    /// Queues: calls by the first queue in which they waited.
    Queue,
    /// Hours of the time.
    Hour,
    /// Days.
    Day,
    /// Months.
    Month,
}

/// A time, or the beginning of a day in the time zone of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayOrTime {
    /// A day.
    Day(Date),
    /// A time.
    At(Timestamp),
}

impl DayOrTime {
    /// The time. A day that the zone does not have begins with the next one.
    pub(crate) fn at(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Day(day) => {
                day.to_zoned(zone.clone()).map_or(Timestamp::UNIX_EPOCH, |midnight| midnight.timestamp())
            }
        }
    }
}

impl<'de> Deserialize<'de> for DayOrTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // A time has more than a day, and would be taken for one.
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let day = (text.len() == 10).then(|| text.parse().ok()).flatten();
        day.map(Self::Day).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "`{}`: write a day (2026-04-01) or a time (2026-04-01T09:00:00+09:00; + is %2B in a URL)",
                text.escape_debug()
            ))
        })
    }
}

/// Which figures.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsQuery {
    /// What each row is about.
    pub(crate) by: StatsBy,
    /// Of calls that were offered at this time or later: a full quarter of an hour; or a day (`2026-04-01`), which begins
    /// at midnight in the time zone of the installation.
    #[param(value_type = String)]
    pub(crate) from: DayOrTime,
    /// Of calls that were offered before this time or day.
    #[param(value_type = String)]
    pub(crate) to: DayOrTime,
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// Of this operator's work: the id of a user, or an extension.
    pub(crate) operator: Option<String>,
    /// Of the work of this team's people: its id.
    pub(crate) team: Option<String>,
    /// Only these formulas: ids with commas between them; all by default.
    pub(crate) formula: Option<String>,
    /// The limit T of the formulas that have one, in seconds: 5, 10, 15, 20, 30, 60 or 120; 20 by default.
    pub(crate) within: Option<u32>,
}

/// Which figures, and the form of their file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsFileQuery {
    /// What each row is about.
    pub(crate) by: StatsBy,
    /// Of calls that were offered at this time or later: a full quarter of an hour; or a day (`2026-04-01`), which begins
    /// at midnight in the time zone of the installation.
    #[param(value_type = String)]
    pub(crate) from: DayOrTime,
    /// Of calls that were offered before this time or day.
    #[param(value_type = String)]
    pub(crate) to: DayOrTime,
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// Of this operator's work: the id of a user, or an extension.
    pub(crate) operator: Option<String>,
    /// Of the work of this team's people: its id.
    pub(crate) team: Option<String>,
    /// Only these formulas: ids with commas between them; all by default.
    pub(crate) formula: Option<String>,
    /// The limit T of the formulas that have one, in seconds: 5, 10, 15, 20, 30, 60 or 120; 20 by default.
    pub(crate) within: Option<u32>,
    /// The encoding of the file; `utf-8` by default.
    pub(crate) encoding: Option<CsvEncoding>,
    /// The language of headings; `ja` by default.
    pub(crate) language: Option<FileLanguage>,
}

impl StatsFileQuery {
    /// The same question, as a page asks it.
    pub(crate) fn into_question(self) -> StatsQuery {
        let Self { by, from, to, account, operator, team, formula, within, .. } = self;
        StatsQuery { by, from, to, account, operator, team, formula, within }
    }
}

/// The form of a file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileFormQuery {
    /// The encoding of the file; `utf-8` by default.
    pub(crate) encoding: Option<CsvEncoding>,
    /// The language of headings and words; `ja` by default.
    pub(crate) language: Option<FileLanguage>,
}

/// The calls behind one figure.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsCallsQuery {
    /// The counter to which the calls add, for instance `answered` or `repeat`.
    pub(crate) counter: String,
    /// That were offered at this time or day, or later.
    #[param(value_type = String)]
    pub(crate) from: DayOrTime,
    /// That were offered before this time or day.
    #[param(value_type = String)]
    pub(crate) to: DayOrTime,
    /// Of the account with this id; `none`: whose account is not known.
    pub(crate) account: Option<String>,
    /// Of this operator's work: the id of a user, or an extension.
    pub(crate) operator: Option<String>,
    /// Of the work of this team's people: its id.
    pub(crate) team: Option<String>,
    /// Whose first queue this was.
    pub(crate) queue: Option<String>,
    /// Records per page, 1 to 500; 50 by default. A page may have fewer, or none, and be followed by another one.
    pub(crate) limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    pub(crate) cursor: Option<String>,
}

/// Whose waits.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsWaitsQuery {
    /// Calls that were offered at this time or day, or later.
    #[param(value_type = String)]
    pub(crate) from: DayOrTime,
    /// Calls that were offered before this time or day.
    #[param(value_type = String)]
    pub(crate) to: DayOrTime,
    /// Of the account with this id.
    pub(crate) account: Option<String>,
    /// Whose first queue this was.
    pub(crate) queue: Option<String>,
    /// The limit T of the service level, in seconds: any from 1 to 3600; 20 by default.
    pub(crate) within: Option<u32>,
}

/// Filter of gaps.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GapQuery {
    /// That ended at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// That began at this time or earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// Records per page, 1 to 500; 50 by default.
    pub(crate) limit: Option<u32>,
}

/// A hypothetical call.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// The dialled number, as the dialplan's extension has it.
    pub(crate) dialled: Option<String>,
    /// The number in P-Called-Party-ID.
    pub(crate) called_party: Option<String>,
    /// The number in the Request-URI.
    pub(crate) request_uri: Option<String>,
    /// The number in To.
    pub(crate) to: Option<String>,
    /// The caller's number; withheld if absent.
    pub(crate) from: Option<String>,
    /// The number that forwards the call.
    pub(crate) diverted_by: Option<String>,
    /// The endpoint of the trunk.
    pub(crate) trunk: Option<String>,
    /// The time of the call; now if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
}

/// Where a client resumes the event stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResumeQuery {
    /// The id of the last event received; the header `Last-Event-ID` takes precedence.
    pub(crate) after: Option<String>,
}
