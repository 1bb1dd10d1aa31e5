//! Mails that came back: which delivery each is about, and what the store makes of it.
//!
//! | the returned mail | is about |
//! |---|---|
//! | was sent to a return address of ours with a right proof ([`ReturnPath`]) | that delivery |
//! | was sent to one with a wrong proof | nothing: it is listed as not matched |
//! | brings back the `Message-ID` of a mail of ours | that delivery |
//! | is the result of a gateway of faxes, with the number of a message | the last fax of that message |
//! | is an answer of a machine | the delivery whose return address it was sent to; it changes nothing |
//!
//! Invariant: nothing that comes back causes a mail, except that the message goes to the next of its endpoints.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::MessageRelay;
use crate::contract::bounce::{BounceKind, BounceOutcome};
use crate::ids::RecordId;
use crate::mail::{Action, FaxGateway, FaxOutcome, Proof, Report, ReturnPath, Returned};
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

/// Takes a returned mail: reads it, and applies each of its reports.
///
/// # Errors
/// The store cannot be written; a repetition continues where this ended.
pub async fn take_returned(
    (store, relay): (&Store, &MessageRelay),
    (return_path, fax): (Option<&ReturnPath>, &[FaxGateway]),
    mail: &[u8],
    source: &'static str,
    now: Timestamp,
) -> Result<Vec<TakenReport>, StoreError> {
    let returned = Returned::read(mail);
    let mut delivery = matched(&returned, return_path);
    let mut result = None;
    if returned.reports.is_empty()
        && let Some(found) = fax.iter().find_map(|gateway| gateway.result(&returned.words))
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
