//! The outbox: deliveries of messages.
//!
//! A delivery is made in the transaction that writes its message's content (`enqueue.rs`), so that a message that was saved, or
//! corrected, is sent, also over a crash. A daemon claims due deliveries, renews its claim while it sends, and settles each one.
//! What follows from an outcome is in [`crate::delivery`].
//!
//! | what the daemon was doing when it died | what happens |
//! |---|---|
//! | nothing yet | the delivery is due; any daemon takes it |
//! | sending | the claim ends after [`crate::delivery::LEASE_TTL`], or when the only daemon of a file starts again; the delivery is due again, with the same bytes and `Message-ID` |
//! | noting the answer | the same: the recipient may get the mail twice, with one `Message-ID` |
//!
//! Invariants: each change of a delivery is a compare-and-set on its state and claim, in one transaction with what the message
//! shows of it ([`crate::delivery::summary()`]). Only the daemon whose claim a delivery has settles it. A delivery carries one
//! revision of its message; once there is another one, it is sent no more and decides nothing about the message.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::bounce::{Bounce, BounceKind, BounceOutcome, SuspendedAddress};
use crate::contract::delivery::{Delivery, DeliveryState};
use crate::contract::message::Message;
use crate::contract::records::{EndpointCharset, EndpointKind, Language};
use crate::delivery::DeliveryInput;
use crate::ids::RecordId;
use crate::secret::Secret;
use crate::store::digests::DigestFacts;

/// Most deliveries that one claim takes.
pub const CLAIM_MAX: u32 = 32;
/// Most deliveries that one sweep changes.
pub const SWEEP_MAX: u32 = 100;
/// Most deliveries in one answer.
pub const LIST_MAX: u32 = 500;
/// How the error of a delivery begins that was not tried, since its address is suspended.
pub const SUSPENDED_PREFIX: &str = "the address is suspended: ";
/// Most mails that came back in one answer.
pub const BOUNCES_MAX: u32 = 500;
/// Most suspended addresses in one answer.
pub const SUSPENDED_MAX: u32 = 1_000;
/// Longest error kept, in characters.
pub const ERROR_CHARS_MAX: usize = 500;

/// A delivery that this daemon has claimed.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Its id.
    pub id: RecordId,
    /// Its message.
    pub message: RecordId,
    /// The message's account.
    pub account: RecordId,
    /// How.
    pub channel: EndpointKind,
    /// Of a fax: the gateway.
    pub profile: Option<String>,
    /// Where it goes.
    pub address: String,
    /// Attempts, this one included.
    pub attempts: u32,
    /// Whether an earlier attempt may have been taken.
    pub maybe_sent: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The bytes of the first attempt.
    pub rendered: Option<Vec<u8>>,
    /// Why nothing is sent to its address any more.
    pub suspended: Option<String>,
}

/// A mail that came back.
#[derive(Debug, Clone)]
pub struct NewBounce {
    /// The delivery that it is about, if that could be matched.
    pub delivery: Option<RecordId>,
    /// What it says.
    pub kind: BounceKind,
    /// The status code in it.
    pub status: Option<String>,
    /// The recipient, as the mail system writes it.
    pub recipient: Option<String>,
    /// The words of the mail system.
    pub text: String,
    /// How it came: `smtp`, `http` or `imap`.
    pub source: &'static str,
    /// What makes it known again if it is about no delivery.
    pub fingerprint: [u8; 32],
}

/// A change of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedDelivery {
    /// The delivery.
    pub delivery: RecordId,
    /// When.
    pub at: Timestamp,
    /// Its state from then on.
    pub state: DeliveryState,
    /// The words of the mail server.
    pub detail: Option<String>,
}

/// Where a delivery goes that is no mail, and how.
#[derive(Debug, Clone)]
pub struct DeliveryTarget {
    /// The address, if it is a secret; absent, too, if its endpoint was deleted or has another address now.
    pub secret: Option<Secret>,
    /// The gateway.
    pub profile: Option<String>,
    /// Who is called.
    pub mention: Option<String>,
}

/// What a mail about a message says.
#[derive(Debug, Clone)]
pub struct LetterFacts {
    /// The message.
    pub message: Message,
    /// The account's name.
    pub account_name: String,
    /// The name of the contact whom the caller asked for.
    pub contact_name: Option<String>,
    /// The name of the customer who called.
    pub customer_name: Option<String>,
    /// The name of the contact who receives the mail.
    pub recipient_name: Option<String>,
    /// How large the document of the fax is that the message is about, if the endpoint wants files.
    pub document_bytes: Option<u64>,
    /// Whether the endpoint wants a link.
    pub ack_link: bool,
    /// Whether the endpoint wants files. If not, the message has none here.
    pub attachments: bool,
    /// The character set that the endpoint wants.
    pub charset: EndpointCharset,
    /// Whether the endpoint wants an HTML part.
    pub html: bool,
    /// Whether it goes without its files, because the whole mail was too large.
    pub is_bare: bool,
    /// The language of the endpoint, else of the contact who receives it, else of the account.
    pub language: Language,
    /// The account's own templates: their names and sources.
    pub templates: Vec<(String, String)>,
    /// What it reports, if it is a digest.
    pub digest: Option<DigestFacts>,
}

/// Which deliveries; an absent condition lets all through.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryFilter<'a> {
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Of this message.
    pub message: Option<RecordId>,
    /// Of this account.
    pub account: Option<RecordId>,
    /// Over this server.
    pub server: Option<&'a str>,
}

/// Where a person has a message sent.
#[derive(Debug, Clone, Copy)]
pub enum SendTo<'a> {
    /// To this endpoint of the message's account, whatever its hours say.
    Endpoint(RecordId),
    /// To this address, for this message alone.
    Address(&'a str),
}

impl Store {
    /// Claims up to `limit` due deliveries of a server until `until`: urgent ones first, then the longest due. No account gets
    /// more than half of them while another one waits.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was claimed.
    pub async fn claim_message_deliveries(
        &self,
        server: &str,
        claim: RecordId,
        (now, until): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        each!(self, db => db.claim_message_deliveries(server, claim, (now, until), limit.min(CLAIM_MAX)).await)
    }

    /// The same for urgent deliveries alone, which a server's backup sends.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was claimed.
    pub async fn claim_urgent_deliveries(
        &self,
        server: &str,
        claim: RecordId,
        (now, until): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        each!(self, db => db.claim_urgent_deliveries(server, claim, (now, until), limit.min(CLAIM_MAX)).await)
    }

    /// Lets a claim hold until `until`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn renew_delivery_claim(&self, claim: RecordId, until: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.renew_delivery_claim(claim, until).await)
    }

    /// Ends all claims at `now`: the daemon that holds them has ended.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn end_delivery_claims(&self, now: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.end_delivery_claims(now).await)
    }

    /// What the mail of a delivery says; `None` if the message was deleted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn letter_facts(&self, delivery: RecordId) -> Result<Option<LetterFacts>, StoreError> {
        each!(self, db => db.letter_facts(delivery).await)
    }

    /// Where a delivery goes that is no mail; `None` if its message was deleted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn delivery_target(&self, delivery: RecordId) -> Result<Option<DeliveryTarget>, StoreError> {
        each!(self, db => db.delivery_target(delivery).await)
    }

    /// Keeps the bytes of claimed deliveries for later attempts.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn keep_rendered(
        &self,
        claim: RecordId,
        rendered: &[(RecordId, Vec<u8>)],
    ) -> Result<(), StoreError> {
        each!(self, db => db.keep_rendered(claim, rendered).await)
    }

    /// Applies what happened to a claimed delivery. `None`: the claim is over, and another daemon decides.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn settle_delivery(
        &self,
        delivery: RecordId,
        claim: RecordId,
        input: DeliveryInput,
        (now, seed): (Timestamp, u64),
    ) -> Result<Option<DeliveryState>, StoreError> {
        each!(self, db => db.settle_delivery(delivery, claim, input, (now, seed)).await)
    }

    /// Ends the claims of daemons that are gone, and gives up deliveries whose time is over. Returns how many of each.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn sweep_deliveries(&self, now: Timestamp) -> Result<(u32, u32), StoreError> {
        each!(self, db => db.sweep_deliveries(now).await)
    }

    /// Deliveries, newest first; at most [`LIST_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn message_deliveries(&self, filter: DeliveryFilter<'_>) -> Result<Vec<Delivery>, StoreError> {
        each!(self, db => db.message_deliveries(filter).await)
    }

    /// A delivery.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn message_delivery(&self, id: RecordId) -> Result<Option<Delivery>, StoreError> {
        each!(self, db => db.message_delivery(id).await)
    }

    /// What became of the deliveries of a message, in the order in which it happened; at most [`LIST_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn delivery_log(&self, message: RecordId) -> Result<Vec<LoggedDelivery>, StoreError> {
        each!(self, db => db.delivery_log(message).await)
    }

    /// Applies what a mail that came back says: changes the delivery, suspends the address, and lets the message go to the next
    /// one.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn apply_bounce(
        &self,
        bounce: &NewBounce,
        now: Timestamp,
    ) -> Result<BounceOutcome, StoreError> {
        each!(self, db => db.apply_bounce(bounce, now).await)
    }

    /// The last fax of the message with this number that a gateway has taken.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn fax_delivery(&self, number: &str) -> Result<Option<RecordId>, StoreError> {
        each!(self, db => db.fax_delivery(number).await)
    }

    /// Mails that came back and refusals of the mail server, newest first; at most [`BOUNCES_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn bounces(&self, unmatched: bool) -> Result<Vec<Bounce>, StoreError> {
        each!(self, db => db.bounces(unmatched).await)
    }

    /// The addresses to which nothing is sent, the latest first; at most [`SUSPENDED_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn suspended_addresses(&self) -> Result<Vec<SuspendedAddress>, StoreError> {
        each!(self, db => db.suspended_addresses().await)
    }

    /// Lets mails go to an address again; false if it was not suspended.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn resume_address(&self, address: &str) -> Result<bool, StoreError> {
        each!(self, db => db.resume_address(address).await)
    }

    /// Makes a delivery of a message to an endpoint or an address alone: a test, or a person's wish. The suspension of the address
    /// ends. None if there is no mail server or the account has no such endpoint.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such message, or it was withdrawn; or the store cannot be written.
    pub async fn send_to(
        &self,
        message: RecordId,
        to: SendTo<'_>,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        each!(self, db => db.send_to(message, to, now).await)
    }

    /// Cancels a delivery that waits; its message goes on as if the recipient could not be reached. None if it does not wait (any
    /// more).
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn cancel_delivery(
        &self,
        delivery: RecordId,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        each!(self, db => db.cancel_delivery(delivery, now).await)
    }

    /// Sends a message again to the recipient of a delivery, now. Returns the delivery that is queued: this one, or a new one
    /// if this one was taken before. A suspension of its address ends: a person knows better.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such delivery or its address was purged; or the store cannot be written.
    pub async fn send_again(&self, delivery: RecordId, now: Timestamp) -> Result<Delivery, StoreError> {
        each!(self, db => db.send_again(delivery, now).await)
    }
}
