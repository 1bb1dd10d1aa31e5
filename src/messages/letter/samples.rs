//! Messages with which a template is tried before it is stored.

use jiff::Timestamp;
use minijinja::Value;
use minijinja::value::Serde;
use uuid::Uuid;

use super::digest::{self, DigestValues};
use super::template::{TEMPLATE_BYTES_MAX, TemplateError, TemplateName, Templates};
use super::{LetterSettings, Values, short};
use crate::contract::delivery::MessageDelivery;
use crate::contract::message::{Message, MessageFields, MessageKind, MessageState, Privacy, Urgency};
use crate::contract::records::{EndpointCharset, Language};
use crate::ids::RecordId;
use crate::store::deliveries::LetterFacts;

/// Tries a template in a language with every sample, and returns what it writes for each.
///
/// # Errors
/// It is too long, or it fails for a sample, or it writes nothing for one.
pub fn check_template(
    settings: &LetterSettings,
    (name, language): (TemplateName, Language),
    source: &str,
) -> Result<Vec<String>, TemplateError> {
    let wrong = |problem: String| TemplateError { line: 0, problem };
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(wrong(format!("longer than {TEMPLATE_BYTES_MAX} bytes")));
    }
    let templates = Templates::default();
    let mut all = Vec::new();
    let samples = if name.is_of_digest() { samples_of_digests() } else { samples() };
    for (n, facts) in samples.into_iter().enumerate() {
        let facts = &LetterFacts { language, ..facts };
        // Mails with and without a link.
        let link = (n % 2 == 1).then_some("https://m.example.jp/a/x");
        let written = match &facts.digest {
            Some(digest) => {
                templates.render(name, source, &DigestValues::of(facts, digest, settings).value())
            }
            None if name.is_short() => short::tried(settings, &templates, (name, source), facts),
            None => {
                let values = Value::from(Serde(Values::of(facts, settings, link)));
                templates.render(name, source, &values)
            }
        }?;
        if written.trim().is_empty() {
            return Err(wrong("it writes nothing".into()));
        }
        all.push(written);
    }
    Ok(all)
}

/// Digests of the first sample.
pub(super) fn samples_of_digests() -> Vec<LetterFacts> {
    samples().into_iter().next().map(digest::samples).unwrap_or_default()
}

/// Names in kana and in kanji that ISO-2022-JP lacks, a long text, a withheld number, English, a notice, a correction, a fax, a test.
pub(super) fn samples() -> Vec<LetterFacts> {
    let text = |text: &str| MessageFields { text: text.to_owned(), ..MessageFields::default() };
    let mut kana = text("注文1234の納期を確認したい。\n17時までに折り返しをお願いします。");
    kana.from.name = Some("ヤマモト".into());
    kana.from.company = Some("見本商事株式会社".into());
    kana.urgency = Urgency::Urgent;
    let mut kanji = text("① 見積の件\n② 納期の件");
    kanji.from.name = Some("タカハシ".into());
    kanji.from.name_kanji = Some("髙橋".into());
    let mut english = text("Please call back about the order.");
    english.from.name = Some("John Smith".into());
    let notice = MessageFields { privacy: Privacy::Notice, ..text("内密の件") };
    let all = [
        (MessageKind::Message, 1, Some("+81355501001"), kana),
        (MessageKind::Message, 2, Some("+819012345678"), kanji),
        (MessageKind::Message, 1, Some("+81355501001"), text(&"納期を確認したい。".repeat(110))),
        (MessageKind::Message, 1, None, text("番号は言われませんでした。")),
        (MessageKind::Message, 1, Some("+442071838750"), english),
        (MessageKind::Message, 1, None, notice),
        (MessageKind::Fax, 1, Some("+81355501001"), text("FAX 2枚（03-5550-1001）")),
        (MessageKind::Voice, 1, Some("+819012345678"), text("音声メッセージ 0分42秒（090-1234-5678）")),
        (MessageKind::Test, 1, None, text("試験")),
    ];
    all.into_iter().map(|(kind, revision, caller, fields)| facts(kind, revision, caller, fields)).collect()
}

fn facts(kind: MessageKind, revision: u32, caller: Option<&str>, fields: MessageFields) -> LetterFacts {
    let at = Timestamp::from_second(1_796_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
    let id = RecordId(Uuid::nil());
    LetterFacts {
        message: Message {
            id,
            account: id,
            call: None,
            customer: None,
            number: Some("261130-0007".into()),
            kind,
            revision,
            fields,
            taken_by: None,
            taken_by_name: Some("佐藤".into()),
            caller: caller.map(Into::into),
            state: MessageState::Open,
            created_at: at,
            changed_at: at,
            acknowledged_at: None,
            acknowledged_by: None,
            withdrawn_at: None,
            version: 1,
            revision_version: 1,
            files: Vec::new(),
            delivery: MessageDelivery::default(),
        },
        account_name: "さくら商事".into(),
        contact_name: Some("佐々木".into()),
        customer_name: None,
        recipient_name: Some("佐々木".into()),
        document_bytes: (kind == MessageKind::Fax).then_some(40_000),
        ack_link: true,
        attachments: true,
        charset: EndpointCharset::Auto,
        html: true,
        is_bare: false,
        language: Language::Ja,
        templates: Vec::new(),
        digest: None,
    }
}
