//! The bytes of mails: made at the first attempt and kept until the mail is taken, so that all attempts send the same.
//!
//! | the mail | its bytes |
//! |---|---|
//! | was never tried | are made with its files, and kept before anything is sent |
//! | was refused for its size, and has files or an HTML part | are made once more without these, say so, and replace the others |
//! | is of a message whose customer was deleted | are not made |
//! | is a fax whose gateway wants a PDF, and there is no font for one | are not made: the delivery is refused, and the message goes to the next endpoint |

use super::worker::{Shared, log_store_error};
use crate::contract::message::MessageFile;
use crate::delivery::DeliveryInput;
use crate::ids::RecordId;
use crate::mail::{FaxBody, FaxGateway, MailAddress};
use crate::messages::letter::{self, ShortLetter, TemplateError, TemplateName};
use crate::report::{ReportFont, TextDocument};
use crate::store::StoreError;
use crate::store::answers::NewLink;
use crate::store::deliveries::{ClaimedDelivery, LetterFacts};

impl Shared {
    /// The bytes of a mail, and the link under which it is confirmed.
    fn write(
        &self,
        delivery: &ClaimedDelivery,
        to: &MailAddress,
        facts: &LetterFacts,
        documents: &[(MessageFile, Vec<u8>)],
    ) -> (Vec<u8>, Option<NewLink>) {
        // A digest is not confirmed: its messages are.
        let is_confirmed = facts.ack_link && facts.digest.is_none();
        let links_of = self.settings.links.as_ref().filter(|_| is_confirmed);
        let link = links_of.and_then(|links| links.make(delivery.id));
        let address = link.as_ref().map(|(address, _)| address.as_str());
        let of_all = (&self.settings.letter, &self.templates);
        let (bytes, failed) = letter::render(of_all, delivery, to, facts, (documents, address));
        self.note_failed(delivery.account, &failed);
        (bytes, link.map(|(_, kept)| kept))
    }

    /// Templates of an account failed for a message, and the built-in ones were used.
    fn note_failed(&self, account: RecordId, failed: &[(TemplateName, TemplateError)]) {
        for (name, error) in failed {
            self.stats.failed_templates.inc();
            error.log(account, *name);
        }
    }

    /// The pages of a fax, for a gateway that wants a PDF.
    async fn fax_document(
        &self,
        gateway: &FaxGateway,
        delivery: &ClaimedDelivery,
        (facts, letter): (&LetterFacts, &ShortLetter),
    ) -> Result<Option<Vec<u8>>, String> {
        if gateway.body != FaxBody::Pdf {
            return Ok(None);
        }
        let page = TextDocument {
            name: facts.account_name.clone(),
            title: letter.title.clone(),
            text: letter.text.clone(),
            foot: facts.message.number.clone().unwrap_or_default(),
        };
        let (named, at) = (self.settings.report_font.clone(), delivery.created_at);
        let made = tokio::task::spawn_blocking(move || {
            let font = ReportFont::load(named.as_deref()).map_err(|error| error.to_string())?;
            page.pdf(&font, at).map_err(|error| error.to_string())
        });
        made.await.map_err(|error| error.to_string())?.map(Some)
    }

    /// The bytes of a mail that was too large, without its files and its HTML part; a later attempt sends these too. `None`: it has
    /// neither, or the store fails, and the refusal stands.
    pub(super) async fn without_files(
        &self,
        claim: RecordId,
        delivery: &ClaimedDelivery,
        to: &MailAddress,
    ) -> Option<Vec<u8>> {
        match self.write_without_files(claim, delivery, to).await {
            Ok(Some(bytes)) => {
                tracing::warn!(delivery = %delivery.id, to = %to.masked(), "a mail was too large; it goes without its files");
                Some(bytes)
            }
            Ok(None) => None,
            Err(error) => {
                log_store_error(&error);
                None
            }
        }
    }

    async fn write_without_files(
        &self,
        claim: RecordId,
        delivery: &ClaimedDelivery,
        to: &MailAddress,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let facts = self.store.letter_facts(delivery.id).await?;
        let Some(facts) = facts.and_then(letter::without_files) else { return Ok(None) };
        let (bytes, link) = self.write(delivery, to, &facts, &[]);
        // Before the bytes: a mail never has a link that the store does not know.
        self.store.keep_links(link.as_slice()).await?;
        self.store.keep_rendered(claim, &[(delivery.id, bytes.clone())]).await?;
        Ok(Some(bytes))
    }
}

/// Makes the bytes of deliveries that were never tried, and keeps them.
pub(super) async fn render(
    shared: &Shared,
    claim: RecordId,
    claimed: Vec<ClaimedDelivery>,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    let (mut ready, mut new, mut links) = (Vec::with_capacity(claimed.len()), Vec::new(), Vec::new());
    for mut delivery in claimed {
        if delivery.rendered.is_none()
            && delivery.suspended.is_none()
            && let Ok((to, gateway)) = shared.recipient(&delivery)
        {
            // Deleted meanwhile: the delivery is gone with its message.
            let Some(facts) = shared.store.letter_facts(delivery.id).await? else { continue };
            if facts.message.fields.text.is_empty() {
                let error = "its text was removed with the customer's record".to_owned();
                shared.settle(delivery.id, claim, DeliveryInput::Refused { error, status: None }).await;
                continue;
            }
            if let Some(gateway) = gateway {
                let short = ShortLetter::write(&shared.settings.letter, &facts, TemplateName::FaxText);
                shared.note_failed(delivery.account, &short.failed);
                let document = match shared.fax_document(gateway, &delivery, (&facts, &short)).await {
                    Ok(document) => document,
                    Err(error) => {
                        tracing::error!(delivery = %delivery.id, error, "a fax cannot be written as a PDF; its message goes to the next endpoint");
                        let error = format!("the fax cannot be written as a PDF: {error}");
                        shared
                            .settle(delivery.id, claim, DeliveryInput::Refused { error, status: None })
                            .await;
                        continue;
                    }
                };
                let written = (&facts, &short, document.as_deref());
                let bytes = letter::render_fax(&shared.settings.letter, gateway, &delivery, &to, written);
                new.push((delivery.id, bytes.clone()));
                delivery.rendered = Some(bytes);
                ready.push(delivery);
                continue;
            }
            let mut documents = Vec::new();
            if letter::has_document(&facts) {
                let document = shared.store.fax_document(facts.message.id).await?;
                documents.extend(document.map(|content| letter::fax_file(&facts, content)));
            }
            if letter::has_files(&facts) {
                documents.extend(shared.store.message_files(facts.message.id).await?);
            }
            let (bytes, link) = shared.write(&delivery, &to, &facts, &documents);
            links.extend(link);
            new.push((delivery.id, bytes.clone()));
            delivery.rendered = Some(bytes);
        }
        ready.push(delivery);
    }
    if !links.is_empty() {
        // Before the bytes: a mail never has a link that the store does not know.
        shared.store.keep_links(&links).await?;
    }
    if !new.is_empty() {
        shared.store.keep_rendered(claim, &new).await?;
    }
    Ok(ready)
}
