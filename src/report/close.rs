//! Closing a month: from then on its report is what was written, whatever happens to calls, formulas or the program.
//!
//! | state of a month | its report |
//! |---|---|
//! | open | counted at each request |
//! | closed | read from the store, with the SHA-256 that it was written with |
//!
//! Invariant: a month is closed only when it is over for [`SETTLED_DELAY`], so that calls from before its end are in the
//! history, and all its quarters of an hour are counted. Two daemons that close at once write one report.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::content::MonthlyReport;
use super::gather::{GatherError, Sources, gather};
use crate::billing::BillingMonth;
use crate::ids::RecordId;
use crate::store::StoreError;
use crate::store::reports::ClosedReport;

/// How long after its end a month can be closed: a call that began before it may last.
pub const SETTLED_DELAY: Duration = Duration::from_secs(3_600);

/// A report, and whether it is closed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadReport {
    /// The report.
    pub report: MonthlyReport,
    /// Of an open month: quarters of an hour that wait to be counted.
    pub pending: u64,
    /// Of a closed month: when it was closed, who closed it, and the SHA-256 of what was written.
    pub closed: Option<(Timestamp, String, String)>,
}

/// Why a month was not closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// It is not over long enough.
    #[error("{month} can be closed from {from} on, one hour after its end")]
    NotOver {
        /// The month.
        month: BillingMonth,
        /// When it can be closed.
        from: Timestamp,
    },
    /// Some of it is not counted.
    #[error("{pending} quarters of an hour of {month} are being counted; close it again in a minute")]
    Pending {
        /// The month.
        month: BillingMonth,
        /// How many.
        pending: u64,
    },
    /// There is no report.
    #[error(transparent)]
    Gather(#[from] GatherError),
}

impl From<StoreError> for CloseError {
    fn from(error: StoreError) -> Self {
        Self::Gather(GatherError::Store(error))
    }
}

/// The report of a month: what was closed, or what the history has.
///
/// # Errors
/// [`GatherError`]
pub async fn read(
    sources: Sources<'_>,
    account: RecordId,
    month: BillingMonth,
    now: Timestamp,
) -> Result<ReadReport, GatherError> {
    if let Some(closed) = sources.store.closed_report(account, &month.to_string()).await? {
        return read_closed(closed);
    }
    let (report, pending) = gather(sources, account, month, now).await?;
    Ok(ReadReport { report, pending, closed: None })
}

/// Closes a month, if it is not closed; returns its report, and whether this call closed it.
///
/// # Errors
/// [`CloseError`]
pub async fn close(
    sources: Sources<'_>,
    account: RecordId,
    month: BillingMonth,
    (now, by_name): (Timestamp, &str),
) -> Result<(ReadReport, bool), CloseError> {
    let open = read(sources, account, month, now).await?;
    if open.closed.is_some() {
        return Ok((open, false));
    }
    let settled_at = open.report.to.checked_add(SETTLED_DELAY).unwrap_or(open.report.to);
    if settled_at > now {
        return Err(CloseError::NotOver { month, from: settled_at });
    }
    if open.pending > 0 {
        return Err(CloseError::Pending { month, pending: open.pending });
    }
    let json = serde_json::to_string(&open.report).unwrap_or_default();
    let closed = ClosedReport {
        account,
        month: month.to_string(),
        sha256: sha256_of(&json),
        json,
        closed_at: now,
        by_name: by_name.to_owned(),
    };
    let is_new = sources.store.close_report(&closed).await?;
    // Where another daemon was faster, its report is the one.
    Ok((read(sources, account, month, now).await?, is_new))
}

fn read_closed(closed: ClosedReport) -> Result<ReadReport, GatherError> {
    let damaged = |source| GatherError::Damaged { month: closed.month.clone(), source };
    let report = serde_json::from_str(&closed.json).map_err(damaged)?;
    if sha256_of(&closed.json) != closed.sha256 {
        tracing::error!(
            account = %closed.account, month = closed.month,
            "a closed report is not what was written when it was closed; compare it with a backup"
        );
    }
    Ok(ReadReport { report, pending: 0, closed: Some((closed.closed_at, closed.by_name, closed.sha256)) })
}

fn sha256_of(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
