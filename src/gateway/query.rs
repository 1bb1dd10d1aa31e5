//! The queries that URLs may bear. Lists come in pages: `?limit=` and `?cursor=`, answered with `items` and,
//! where there is more, `next`.
//!
//! Invariant: following `next` yields every record once, in the order they were made, whatever is added
//! meanwhile. The answer is a [`Page`](crate::store::Page).

use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::record;
use super::problem::{Kind, Problem};
use crate::call::view::Outcome;
use crate::ids::{CallId, RecordId};
use crate::message::MessageState;
use crate::store::PAGE_RECORDS_MAX;

/// Records of a page when the client does not say.
const PAGE_RECORDS: u32 = 50;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many, 1 to 500; 50 when not given.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// After this record.
    pub(crate) after: Option<RecordId>,
    /// At most so many.
    pub(crate) limit: u32,
}

impl PageQuery {
    pub(crate) fn read(&self) -> Result<Wanted, Problem> {
        wanted(self.limit, self.cursor.as_deref())
    }
}

/// Reads the two keys of a page, for queries that have more.
pub(crate) fn wanted(limit: Option<u32>, cursor: Option<&str>) -> Result<Wanted, Problem> {
    let limit = page_limit(limit)?;
    let after = cursor
        .map(|text| {
            record(text)
                .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the page before"))
        })
        .transpose()?;
    Ok(Wanted { after, limit })
}

/// How many records a page has.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE_RECORDS);
    if (1..=PAGE_RECORDS_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Kind::InvalidQuery.with(format!("limit must be 1 to {PAGE_RECORDS_MAX}")))
    }
}

/// Which customers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CustomerQuery {
    /// Of this account.
    pub(crate) account: Option<String>,
    /// With this number, however it is written.
    pub(crate) number: Option<String>,
    /// With this text in name, reading or company.
    pub(crate) q: Option<String>,
    /// How many, 1 to 500; 50 when not given.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// Which contacts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ContactQuery {
    /// Of this account.
    pub(crate) account: Option<String>,
    /// How many, 1 to 500; 50 when not given.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageQuery {
    /// For this account.
    pub(crate) account: Option<String>,
    /// That have come so far.
    pub(crate) state: Option<MessageState>,
    /// Taken in this call.
    #[param(value_type = Option<uuid::Uuid>)]
    pub(crate) call: Option<CallId>,
    /// Of callers with this number, however it is written.
    pub(crate) caller: Option<String>,
    /// How many, 1 to 500; 50 when not given.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// Which entries of the audit trail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// That concern this person: what they did, and what was done to them. An extension, a name or a user's id.
    pub(crate) person: Option<String>,
    /// Of this call.
    #[param(value_type = Option<uuid::Uuid>)]
    pub(crate) call: Option<CallId>,
    /// At this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// Before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// Whose action begins so, for instance `supervision.` or `supervision.refused`.
    pub(crate) action: Option<String>,
    /// How many, 1 to 500; 50 when not given.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before.
    pub(crate) cursor: Option<i64>,
}

/// Which finished calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// Of this account.
    pub(crate) account: Option<String>,
    /// From this number, however it is written; together with `account`.
    pub(crate) caller: Option<String>,
    /// Of this customer.
    pub(crate) customer: Option<String>,
    /// That this operator had.
    pub(crate) operator: Option<String>,
    /// That came out so.
    pub(crate) outcome: Option<Outcome>,
    /// That were offered at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// That were offered before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// How many, 1 to 500; 50 when not given.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// Which gaps.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GapQuery {
    /// That were not over at this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// That had begun at this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// How many, 1 to 500; 50 when not given.
    pub(crate) limit: Option<u32>,
}

/// A call that might come.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// The number dialled.
    pub(crate) dialled: Option<String>,
    /// The caller's number; withheld when not given.
    pub(crate) from: Option<String>,
    /// The number that forwards the call.
    pub(crate) diverted_by: Option<String>,
    /// The trunk's endpoint.
    pub(crate) trunk: Option<String>,
    /// When it comes; now when not given.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
}

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// The id of the last event received; the header `Last-Event-ID` counts more.
    pub(crate) after: Option<String>,
}
