//! Mails that came back: which delivery each is about, and what the store makes of it.
//!
//! | the returned mail | is about |
//! |---|---|
//! | was sent to a return address of ours with a right proof ([`ReturnPath`]) | that delivery |
//! | was sent to one with a wrong proof | nothing: it is listed as not matched |
//! | brings back the `Message-ID` of a mail of ours | that delivery |
//! | is the result of a gateway of faxes, with the number of a message | the last fax of that message |
//! | is an answer of a person, to a reply address of ours with a right proof | that delivery: it becomes an answer to the message ([`MailAnswer`]) |
//! | is an answer of a machine | the delivery whose return address it was sent to; it changes nothing |
//!
//! Invariants: nothing that comes back causes a mail, except that the message goes to the next of its endpoints. A machine confirms
//! nothing.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::MessageRelay;
use crate::contract::answer::{ANSWER_NAME_CHARS_MAX, ANSWER_NOTE_CHARS_MAX, AnswerKind};
use crate::contract::bounce::{BounceKind, BounceOutcome};
use crate::identity::printable;
use crate::ids::RecordId;
use crate::mail::{Action, FaxGateway, FaxOutcome, MailAnswer, Proof, Report, ReturnPath, Returned};
use crate::store::answers::{AnswerOutcome, NewReply};
use crate::store::deliveries::NewBounce;
use crate::store::{Store, StoreError};

/// What became of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenReport {
    /// What it says.
    pub kind: BounceKind,
    /// What became of it.
    pub outcome: BounceOutcome,
    /// The delivery that it is about.
    pub delivery: Option<RecordId>,
}

/// What says which delivery a mail is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReturnAddresses<'a> {
    /// The addresses of mails that come back.
    pub return_path: Option<&'a ReturnPath>,
    /// Those of people's answers.
    pub reply_path: Option<&'a ReturnPath>,
    /// The gateways of faxes.
    pub fax: &'a [FaxGateway],
}

/// Takes a returned mail: reads it, and applies each of its reports.
///
/// # Errors
/// The store cannot be written; a repetition continues where this ended.
pub async fn take_returned(
    (store, relay): (&Store, &MessageRelay),
    of_ours: ReturnAddresses<'_>,
    mail: &[u8],
    source: &'static str,
    now: Timestamp,
) -> Result<Vec<TakenReport>, StoreError> {
    let returned = Returned::read(mail);
    if let Some(delivery) = answered(&returned, of_ours.reply_path) {
        return Ok(vec![take_answer((store, relay), &returned, delivery, now).await?]);
    }
    let mut delivery = matched(&returned, of_ours.return_path);
    let mut result = None;
    if returned.reports.is_empty()
        && let Some(found) = of_ours.fax.iter().find_map(|gateway| gateway.result(&returned.words))
        && let Some(of_number) = store.fax_delivery(&found.number).await?
    {
        delivery = Some(of_number);
        result = Some(match found.outcome {
            FaxOutcome::Sent => BounceKind::Delivered,
            FaxOutcome::Busy => BounceKind::Busy,
            FaxOutcome::Failed => BounceKind::Failed,
        });
    }
    let fingerprint: [u8; 32] = Sha256::digest(mail).into();
    let new = |kind, report: Option<&Report>| NewBounce {
        delivery,
        kind,
        status: report.and_then(|report| report.status.clone()),
        recipient: report.and_then(|report| report.recipient.clone()),
        text: report.map_or_else(|| returned.first_line.clone(), |report| report.text.clone()),
        source,
        fingerprint,
    };
    let mut bounces: Vec<NewBounce> = returned
        .reports
        .iter()
        .map(|report| {
            let kind = match report.action {
                Action::Failed => BounceKind::Failed,
                Action::Delayed => BounceKind::Delayed,
                Action::Delivered => BounceKind::Delivered,
            };
            new(kind, Some(report))
        })
        .collect();
    if bounces.is_empty() {
        let of_mail = if returned.is_auto_reply { BounceKind::AutoReply } else { BounceKind::Unknown };
        bounces.push(new(result.unwrap_or(of_mail), None));
    }
    let mut taken = Vec::with_capacity(bounces.len());
    for bounce in &bounces {
        taken.push(take_bounce((store, relay), bounce, now).await?);
    }
    Ok(taken)
}

/// Applies one report.
///
/// # Errors
/// The store cannot be written.
pub async fn take_bounce(
    (store, relay): (&Store, &MessageRelay),
    bounce: &NewBounce,
    now: Timestamp,
) -> Result<TakenReport, StoreError> {
    let outcome = store.apply_bounce(bounce, now).await?;
    if outcome == BounceOutcome::Applied {
        relay.wake();
    }
    let (kind, delivery) = (bounce.kind, bounce.delivery);
    tracing::info!(kind = kind.as_str(), source = bounce.source, ?outcome, "a mail came back");
    Ok(TakenReport { kind, outcome, delivery: delivery.filter(|_| outcome != BounceOutcome::Unmatched) })
}

/// The delivery that a person answers.
fn answered(returned: &Returned, reply_path: Option<&ReturnPath>) -> Option<RecordId> {
    let path = reply_path.filter(|_| !returned.is_automatic && returned.reports.is_empty())?;
    returned.addresses.iter().find_map(|address| match path.read(address) {
        Proof::Of(delivery) => Some(RecordId(delivery)),
        Proof::Forged | Proof::None => None,
    })
}

/// Makes an answer to a message of a person's mail.
async fn take_answer(
    (store, relay): (&Store, &MessageRelay),
    returned: &Returned,
    delivery: RecordId,
    now: Timestamp,
) -> Result<TakenReport, StoreError> {
    let read = MailAnswer::read(&returned.text);
    let (name, address) = &returned.author;
    let by_name = name.as_ref().or(address.as_ref()).and_then(|name| cut(name, ANSWER_NAME_CHARS_MAX));
    let mut note = read.as_ref().map_or_else(|| "（本文なし）".to_owned(), |read| read.text.clone());
    if returned.files > 0 {
        note = format!("（添付{}件は受け取っていません）{note}", returned.files);
    }
    let reply = NewReply {
        kind: if read.is_some_and(|read| read.confirms) { AnswerKind::Seen } else { AnswerKind::Note },
        by_name: by_name.unwrap_or_else(|| "返信".to_owned()),
        address: address.clone(),
        note: cut(&note, ANSWER_NOTE_CHARS_MAX),
    };
    let outcome = match store.answer_by_reply(delivery, &reply, now).await? {
        AnswerOutcome::Taken | AnswerOutcome::Early => {
            relay.wake();
            BounceOutcome::Applied
        }
        AnswerOutcome::Repeated => BounceOutcome::Duplicate,
        AnswerOutcome::Changed | AnswerOutcome::TooMany | AnswerOutcome::Gone => BounceOutcome::Unmatched,
    };
    tracing::info!(%delivery, kind = reply.kind.as_str(), ?outcome, "a person answered a mail");
    Ok(TakenReport { kind: BounceKind::Answer, outcome, delivery: Some(delivery) })
}

/// A text on one line, of at most `chars` characters.
fn cut(text: &str, chars: usize) -> Option<String> {
    let whole = printable(text, usize::MAX)?;
    if whole.chars().count() <= chars {
        return Some(whole.to_string());
    }
    Some(whole.chars().take(chars - 1).chain(['…']).collect())
}

fn matched(returned: &Returned, return_path: Option<&ReturnPath>) -> Option<RecordId> {
    let mut is_forged = false;
    for address in &returned.addresses {
        match return_path.map_or(Proof::None, |path| path.read(address)) {
            Proof::Of(delivery) => return Some(RecordId(delivery)),
            Proof::Forged => is_forged = true,
            Proof::None => {}
        }
    }
    let of_ours: Option<Uuid> = returned.deliveries.first().copied();
    of_ours.filter(|_| !is_forged).map(RecordId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_proof_matches_nothing() {
        let path = ReturnPath::new("bounce@report.example.jp".parse().unwrap(), &[7; 32]);
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let right = path.of(ours).to_string();
        let mut wrong = path.of(other).to_string();
        wrong = wrong.replace("bounce+0", "bounce+1");
        let of = |addresses: &[&String], deliveries: &[Uuid]| {
            let addresses = addresses.iter().map(|text| (*text).clone()).collect();
            let returned = Returned { addresses, deliveries: deliveries.to_vec(), ..Returned::default() };
            matched(&returned, Some(&path)).map(|id| id.0)
        };
        assert_eq!(of(&[&right], &[]), Some(ours));
        assert_eq!(of(&[&wrong], &[other]), None);
        assert_eq!(of(&[&"bounce@report.example.jp".to_owned()], &[other]), Some(other));
        assert_eq!(of(&[], &[]), None);
        let returned = Returned { deliveries: vec![other], ..Returned::default() };
        assert_eq!(matched(&returned, None), Some(RecordId(other)));
    }
}
