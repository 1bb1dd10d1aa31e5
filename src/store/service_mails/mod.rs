//! Mails of the service itself, which carry no message: monthly reports and alarms.
//!
//! They have the states of a delivery ([`crate::delivery`]) and go over the same servers: a report over that of its account. A daemon claims one, sends it and
//! settles it; a claim that was not settled ends with its lease, and the mail is sent again under the same `Message-ID`.
//!
//! Invariant: only the daemon whose claim a mail has settles it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::contract::delivery::DeliveryState;
use crate::delivery::{DeliveryInput, DeliveryProgress};
use crate::ids::RecordId;

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServiceMail {
    /// Its id.
    pub id: RecordId,
    /// The account and month of the report that goes with it; absent: it is about an alarm.
    pub report: Option<(RecordId, String)>,
    /// The recipient.
    pub address: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A mail that this daemon has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedServiceMail {
    /// The mail.
    pub mail: NewServiceMail,
    /// Its progress, with this attempt.
    pub progress: DeliveryProgress,
}

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReportMail)]
pub struct ServiceMailState {
    /// The recipient.
    pub address: String,
    /// Its state.
    pub state: DeliveryState,
    /// What the server said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Store {
    /// Claims the mail of a server that is longest due until `until`.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was claimed.
    pub async fn claim_service_mail(
        &self,
        server: &str,
        claim: RecordId,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Option<ClaimedServiceMail>, StoreError> {
        each!(self, db => db.claim_service_mail(server, claim, (now, until)).await)
    }

    /// Lets a claim hold until `until`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn renew_service_mail_claim(
        &self,
        claim: RecordId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        each!(self, db => db.renew_service_mail_claim(claim, until).await)
    }

    /// Ends all claims at `now`: the daemon that holds them has ended.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn end_service_mail_claims(&self, now: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.end_service_mail_claims(now).await)
    }

    /// Applies what happened to a claimed mail. `None`: the claim is over, and another daemon decides.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn settle_service_mail(
        &self,
        mail: RecordId,
        claim: RecordId,
        input: DeliveryInput,
        (now, seed): (Timestamp, u64),
    ) -> Result<Option<DeliveryState>, StoreError> {
        each!(self, db => db.settle_service_mail(mail, claim, input, (now, seed)).await)
    }

    /// The mails of a report, in the order in which they were made.
    ///
    /// # Errors
    /// The store failed.
    pub async fn report_mails(
        &self,
        account: RecordId,
        month: &str,
    ) -> Result<Vec<ServiceMailState>, StoreError> {
        each!(self, db => db.report_mails(account, month).await)
    }
}
