//! Monthly reports (`report`): plans by which they are mailed, closed ones, and the sums that only reports need.
//!
//! Invariant: a closed report is written once and never changed: who closes it again gets the one that is there. It stays when
//! its account is deleted. The mails of a month are made in one transaction with the note that they were
//! ([`Store::make_report_mails`]), so that no crash makes them twice or leaves them out.
//!
//! Read next: `sql.rs` beside this file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::service_mails::NewServiceMail;
use super::{Store, StoreError};
use crate::ids::RecordId;

/// Most plans that are read at once because their mails are due.
pub const DUE_PLANS_MAX: u32 = 50;

/// When and to whom the report of an account is mailed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReportPlan)]
pub struct ReportPlan {
    /// The day of the month, 1 to 28, on which the report of the month before is closed and mailed; absent: on none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_day: Option<u8>,
    /// The addresses.
    #[serde(default)]
    pub to: Vec<String>,
}

/// A plan with who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReportPlan {
    /// The account.
    pub account: RecordId,
    /// The plan.
    pub plan: ReportPlan,
    /// The last month whose mails were made, for instance `2026-10`.
    pub sent_month: String,
    /// Who wrote it.
    pub by_name: String,
    /// When.
    pub changed_at: Timestamp,
}

/// A report that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedReport {
    /// The account.
    pub account: RecordId,
    /// The month, for instance `2026-11`.
    pub month: String,
    /// The report as it was written.
    pub json: String,
    /// The SHA-256 of `json`, in hexadecimal digits.
    pub sha256: String,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// Who closed it.
    pub by_name: String,
}

/// Calls of one number with one outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberCount {
    /// The number that the caller dialled: that which forwarded the call, else the service's own.
    pub number: Option<String>,
    /// The outcome, as the history writes it.
    pub outcome: String,
    /// How many.
    pub calls: u64,
}

impl Store {
    /// The plan of an account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn report_plan(&self, account: RecordId) -> Result<Option<StoredReportPlan>, StoreError> {
        each!(self, db => db.report_plan(account).await)
    }

    /// Writes the plan of an account; `sent_month` is kept where it is later than the one in `plan`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn set_report_plan(&self, plan: &StoredReportPlan) -> Result<(), StoreError> {
        each!(self, db => db.set_report_plan(plan).await)
    }

    /// Removes the plan of an account; true if it had one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_report_plan(&self, account: RecordId) -> Result<bool, StoreError> {
        each!(self, db => db.remove_report_plan(account).await)
    }

    /// Up to [`DUE_PLANS_MAX`] plans of accounts after `after` whose day of the month is `day` or earlier, and whose mails of
    /// `month` were not made; by the account's id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn due_report_plans(
        &self,
        month: &str,
        day: u8,
        after: Option<RecordId>,
    ) -> Result<Vec<StoredReportPlan>, StoreError> {
        each!(self, db => db.due_report_plans(month, day, after).await)
    }

    /// Makes the mails of a month, if no daemon has made them; true if this one did.
    ///
    /// # Errors
    /// The store failed; then no mail was made.
    pub async fn make_report_mails(
        &self,
        account: RecordId,
        month: &str,
        mails: &[NewServiceMail],
    ) -> Result<bool, StoreError> {
        each!(self, db => db.make_report_mails(account, month, mails).await)
    }

    /// Closes a report; false if that month of the account is closed already, and nothing changed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn close_report(&self, closed: &ClosedReport) -> Result<bool, StoreError> {
        each!(self, db => db.close_report(closed).await)
    }

    /// The closed report of an account for a month.
    ///
    /// # Errors
    /// The store failed.
    pub async fn closed_report(
        &self,
        account: RecordId,
        month: &str,
    ) -> Result<Option<ClosedReport>, StoreError> {
        each!(self, db => db.closed_report(account, month).await)
    }

    /// How many inbound calls of an account came to which number, by outcome.
    ///
    /// # Errors
    /// The store failed.
    pub async fn calls_by_number(
        &self,
        account: RecordId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<NumberCount>, StoreError> {
        each!(self, db => db.calls_by_number(account, from, to).await)
    }

    /// How many after-call works of an account's inbound calls have which disposition; `None`: none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dispositions_of(
        &self,
        account: RecordId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Option<String>, u64)>, StoreError> {
        each!(self, db => db.dispositions_of(account, from, to).await)
    }
}
