//! The service's own mails: monthly reports and alarms. They go over a connection that has no delivery of a message to send.
//!
//! Invariant: every attempt of a mail sends the same text and the same report; a report is read as it was closed. A mail whose
//! report cannot be written as a PDF waits: a company gets no report without its report.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::smtp::Envelope;
use super::worker::{Connection, Failure, Shared, log_store_error, random};
use crate::delivery::{DeliveryInput, LEASE_TTL, ServerPause};
use crate::ids::RecordId;
use crate::mail::{Attachment, Charset, Line, Mail, MailAddress, MessageId};
use crate::report::{ReportFont, pdf_of};
use crate::store::StoreError;
use crate::store::service_mails::ClaimedServiceMail;

/// What waits for the report of a mail: its bytes and the name of its file, or why there is none.
type Report = Result<Option<(Vec<u8>, String)>, String>;

impl Connection {
    /// Sends the mail that is longest due; false if none is.
    pub(super) async fn send_service_mail(
        &mut self,
        pause: Option<&ServerPause>,
        shutdown: &CancellationToken,
    ) -> Result<bool, StoreError> {
        let shared = std::sync::Arc::clone(&self.shared);
        let Ok(_) = shared.limits.take(1, shared.elapsed()) else { return Ok(false) };
        let now = Timestamp::now();
        let (claim, lease) = (RecordId(Uuid::now_v7()), now.checked_add(LEASE_TTL).unwrap_or(now));
        let claimed = shared.store.claim_service_mail(&shared.serves, claim, (now, lease)).await;
        if !matches!(claimed, Ok(Some(_))) {
            shared.limits.give_back(1);
        }
        let Some(claimed) = claimed? else { return Ok(false) };
        let id = claimed.mail.id;
        if pause.is_some() && !shared.store.take_mail_probe(&shared.name, now, lease).await? {
            shared.limits.give_back(1);
            settle(&shared, id, claim, DeliveryInput::Postponed { until: now, error: None }).await;
            return Ok(false);
        }
        let input = self.input_of(claim, &claimed, pause, shutdown).await;
        settle(&shared, id, claim, input).await;
        Ok(true)
    }

    /// Sends a claimed mail; what came of it.
    async fn input_of(
        &mut self,
        claim: RecordId,
        claimed: &ClaimedServiceMail,
        pause: Option<&ServerPause>,
        shutdown: &CancellationToken,
    ) -> DeliveryInput {
        let shared = std::sync::Arc::clone(&self.shared);
        let Ok(to) = claimed.mail.address.parse::<MailAddress>() else {
            let error = format!("{} is no mail address", claimed.mail.address);
            return DeliveryInput::Refused { error, status: None };
        };
        if let Err(wait) = shared.limits.take_of_domain(to.domain(), shared.elapsed()) {
            let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
            return DeliveryInput::Postponed { until, error: None };
        }
        let report = match report_of(&shared, claimed).await {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(mail = %claimed.mail.id, error, "a report cannot be mailed yet");
                return DeliveryInput::Deferred { error, status: None };
            }
        };
        let bytes = bytes_of(&shared, claimed, &to, report.as_ref());
        let envelope = Envelope {
            from: match &shared.settings.return_path {
                Some(path) => path.of(claimed.mail.id.0),
                None => shared.settings.letter.from.clone(),
            },
            id: shared.settings.return_path.is_some().then(|| claimed.mail.id.0.simple().to_string()),
            to,
        };
        let sent = self.send_one(claim, &envelope, &bytes, &mut Vec::new(), shutdown).await;
        let input = match sent {
            Ok(_) => DeliveryInput::Accepted,
            Err(Failure::OfDelivery(input)) => {
                let (mail, to) = (claimed.mail.id, envelope.to.masked());
                tracing::warn!(%mail, to, status = input.status(), "the mail server did not take a mail of the service");
                input
            }
            Err(Failure::OfServer(refusal)) => {
                let error = Some(refusal.to_string());
                self.pause(claim, &[], pause, refusal).await;
                return DeliveryInput::Postponed { until: Timestamp::now(), error };
            }
            Err(Failure::Stopped) => {
                return DeliveryInput::Postponed { until: Timestamp::now(), error: None };
            }
        };
        if pause.is_some() {
            if let Err(error) = shared.store.pause_mail_server(&shared.name, None).await {
                log_store_error(&error);
            }
            tracing::info!("the mail server takes mails again");
            shared.waker.wake();
        }
        input
    }
}

/// The report that goes with a mail.
async fn report_of(shared: &Shared, claimed: &ClaimedServiceMail) -> Report {
    let Some((account, month)) = &claimed.mail.report else { return Ok(None) };
    let closed = shared.store.closed_report(*account, month).await.map_err(|error| error.to_string())?;
    let closed = closed.ok_or_else(|| format!("the report of {month} is not closed"))?;
    let report = serde_json::from_str(&closed.json)
        .map_err(|error| format!("the closed report of {month} cannot be read: {error}"))?;
    let (named, at) = (shared.settings.report_font.clone(), closed.closed_at);
    let made = tokio::task::spawn_blocking(move || {
        let font = ReportFont::load(named.as_deref()).map_err(|error| error.to_string())?;
        pdf_of(&report, &font, at).map_err(|error| error.to_string())
    });
    let bytes = made.await.map_err(|error| error.to_string())??;
    Ok(Some((bytes, format!("月次報告書_{month}.pdf"))))
}

/// The bytes of a mail, the same each time.
fn bytes_of(
    shared: &Shared,
    ClaimedServiceMail { mail, .. }: &ClaimedServiceMail,
    to: &MailAddress,
    report: Option<&(Vec<u8>, String)>,
) -> Vec<u8> {
    let letter = &shared.settings.letter;
    let subject = Line::new(&mail.subject);
    let name = Line::new(report.map_or("", |(_, name)| name.as_str()));
    let file = report.map(|(bytes, _)| Attachment { name: &name, media_type: "application/pdf", bytes });
    let id = MessageId::new('r', mail.id.0, &letter.from);
    Mail {
        delivery: mail.id.0,
        id: id.clone(),
        thread: id,
        from: (&letter.from_name, &letter.from),
        reply_to: letter.reply_to.as_ref(),
        to,
        subject: &subject,
        date: mail.created_at.to_zoned(letter.time_zone.clone()),
        number: None,
        text: &mail.body,
        html: None,
        charset: Charset::Utf8,
        language: "ja",
        attachments: file.as_slice(),
    }
    .to_bytes()
}

/// Applies an outcome, trying again while the store is away, as long as the claim may still hold.
async fn settle(shared: &Shared, mail: RecordId, claim: RecordId, input: DeliveryInput) {
    let deadline = tokio::time::Instant::now() + LEASE_TTL;
    let mut backoff = crate::backoff::Backoff::of_store();
    loop {
        let at = (Timestamp::now(), random());
        match shared.store.settle_service_mail(mail, claim, input.clone(), at).await {
            Ok(Some(state)) => {
                if !matches!(input, DeliveryInput::Postponed { .. }) {
                    shared.stats.settled(state);
                }
                return;
            }
            Ok(None) => {
                tracing::warn!(%mail, "another daemon has taken over a mail; its recipient may get it twice");
                return;
            }
            Err(error) => {
                log_store_error(&error);
                if tokio::time::Instant::now() >= deadline || error.is_closed() {
                    return;
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}
