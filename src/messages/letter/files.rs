//! What goes with the mail of a message, unless its endpoint wants no files: the document of a fax, the message's files, and a
//! call-back for the calendar.

use super::{LetterSettings, display, name, number_of, polite_in};
use crate::contract::message::{FileType, MessageFile, MessageKind, Privacy};
use crate::mail::{CallBackEvent, Charset, MessageId};
use crate::store::deliveries::LetterFacts;

/// Largest document that goes with a mail: with its base64 form below the 10 MB that many servers take.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 7 * 1024 * 1024;

/// The call-back that the caller asked for, for the recipient's calendar. Old telephones, which read ISO-2022-JP, have none.
pub(super) fn call_back_event(
    settings: &LetterSettings,
    facts: &LetterFacts,
    charset: Charset,
) -> Option<String> {
    let (message, fields) = (&facts.message, &facts.message.fields);
    let call_back = fields
        .call_back
        .as_ref()
        .filter(|_| charset == Charset::Utf8 && !facts.is_bare && facts.attachments)?;
    let language = facts.language;
    let summary = if fields.privacy == Privacy::Notice {
        language.say("折り返しのお願い", "Please call back").to_owned()
    } else {
        let name = name(facts).map(|name| polite_in(name, language));
        let number = call_back.number.as_deref().or_else(|| number_of(facts));
        let number = number.map(|number| display(number, &settings.plan));
        let words = std::iter::once(language.say("折り返し", "Call back").to_owned());
        words.chain(name).chain(number).collect::<Vec<_>>().join(" ")
    };
    let uid = MessageId::new('m', message.id.0, &settings.from).to_string();
    CallBackEvent {
        uid: uid.trim_matches(['<', '>']),
        sequence: message.revision.saturating_sub(1),
        stamp: message.changed_at,
        from: call_back.from,
        until: call_back.until,
        summary: &summary,
    }
    .to_text()
}

/// Whether the message has a document that goes with its mail.
#[must_use]
pub fn has_document(facts: &LetterFacts) -> bool {
    facts.message.kind == MessageKind::Fax
        && facts.message.fields.privacy != Privacy::Notice
        && facts.document_bytes.is_some_and(|bytes| (1..=DOCUMENT_BYTES_MAX).contains(&bytes))
}

/// The document of a fax as a file of its message.
#[must_use]
pub fn fax_file(facts: &LetterFacts, content: Vec<u8>) -> (MessageFile, Vec<u8>) {
    let name = format!("FAX-{}.pdf", facts.message.number.as_deref().unwrap_or_default());
    (MessageFile { name, file_type: FileType::Pdf, bytes: content.len() as u64 }, content)
}

/// The same message for a mail without files and without an HTML part, for a system to which the whole one was too large. `None`: it has
/// no files.
#[must_use]
pub fn without_files(mut facts: LetterFacts) -> Option<LetterFacts> {
    let has_table =
        facts.digest.as_ref().is_some_and(|digest| digest.run.report.csv && !digest.items.is_empty());
    let has_event =
        facts.message.fields.call_back.as_ref().is_some_and(|back| back.from.or(back.until).is_some());
    if !(has_document(&facts) || has_files(&facts) || has_table || has_event) {
        return None;
    }
    facts.document_bytes = None;
    facts.message.files.clear();
    facts.html = false;
    if let Some(digest) = &mut facts.digest {
        digest.run.report.csv = false;
    }
    facts.is_bare = true;
    Some(facts)
}

/// What a mail without its files says of that; nothing in others.
pub(super) fn bare_note(facts: &LetterFacts) -> &'static str {
    match facts.is_bare {
        true => facts.language.say(
            "\n※先方のメールサーバーの容量制限により、添付ファイルを外してお送りしました。\n",
            "\n* The files were left out, because your mail server did not take a mail of that size.\n",
        ),
        false => "",
    }
}

/// Whether the message has files that go with its mail.
#[must_use]
pub fn has_files(facts: &LetterFacts) -> bool {
    let bytes: u64 = facts.message.files.iter().map(|file| file.bytes).sum();
    facts.message.fields.privacy != Privacy::Notice && (1..=DOCUMENT_BYTES_MAX).contains(&bytes)
}
