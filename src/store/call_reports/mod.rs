//! Calls that ended without a message, and are reported to their account all the same (1コール報告).
//!
//! Invariant: a call is found until it has a message, however often and by however many daemons it is looked for: the message's id follows from the call, so
//! that several daemons make one.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::records::ReportCalls;
use crate::ids::{CallId, RecordId};

/// Most calls in one answer.
pub const CALL_REPORTS_MAX: u32 = 50;

/// Which calls are to be reported.
#[derive(Debug, Clone, Copy)]
pub struct CallReportQuery<'a> {
    /// The dispositions that are a reason for no message.
    pub no_message_reasons: &'a [smol_str::SmolStr],
    /// Calls whose after-call work ended at this time or later.
    pub from: Timestamp,
    /// It ended with a disposition before this time,
    pub until: Timestamp,
    /// or without one before this time.
    pub until_undisposed: Timestamp,
}

/// A call that is to be reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// The call.
    pub call: CallId,
    /// The account.
    pub account: RecordId,
    /// What the account wants reported.
    pub reporting: ReportCalls,
    /// The customer.
    pub customer: Option<RecordId>,
    /// The caller's number in normalised form.
    pub caller: Option<String>,
    /// The operator.
    pub by: RecordId,
    /// The name of the operator.
    pub by_name: String,
    /// How the operator finished the call.
    pub disposition: Option<String>,
}

impl Store {
    /// Calls of accounts that want them reported, without a message; those whose after-call work ended first come first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn call_reports(&self, query: CallReportQuery<'_>) -> Result<Vec<CallReport>, StoreError> {
        each!(self, db => db.call_reports(query).await)
    }
}
