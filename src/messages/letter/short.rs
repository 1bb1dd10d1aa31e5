//! A message as plain text, for chats, SMS and faxes: what a mail says, without its greeting. Accounts may have templates of their own
//! for these (`chat_text`, `sms_text`, `fax_text`).
//!
//! Invariant: as of a mail: of a message for the house alone neither who left it nor what it says.

use minijinja::Value;
use minijinja::value::Serde;

use super::template::{TemplateError, TemplateName, Templates};
use super::{Letter, LetterSettings, Values};
use crate::contract::message::{MessageKind, Urgency};
use crate::contract::records::Language;
use crate::store::deliveries::LetterFacts;

/// Longest line of an SMS, in characters: what one carries everywhere, without the link.
pub const SMS_CHARS_MAX: usize = 70;
/// The mark of a correction, in both languages.
const CORRECTION: (&str, &str) = ("【訂正】", "[Correction] ");

/// A message as a title and a text; lines end with `\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortLetter {
    /// What it is, and who called.
    pub title: String,
    /// What there is to say.
    pub text: String,
    /// The language of both.
    pub language: Language,
    /// Which template of the account failed, and why: the built-in one was used.
    pub failed: Vec<(TemplateName, TemplateError)>,
}

impl ShortLetter {
    /// The text by one of the templates for chats and faxes. It has no document: the PDF of a fax does not go there.
    #[must_use]
    pub fn write(settings: &LetterSettings, facts: &LetterFacts, name: TemplateName) -> Self {
        let templates = Templates::default();
        if facts.digest.is_some() {
            let Letter { subject, text, failed, .. } = Letter::write(settings, &templates, facts, None);
            let (title, text) = (subject.as_str().to_owned(), text.trim_end().to_owned());
            return Self { title, text, language: facts.language, failed };
        }
        let values = values(settings, facts);
        let (title, values) = (title(&values, facts.language), Value::from(Serde(values)));
        let mut failed = Vec::new();
        let text = templates.write((name, facts.language), &facts.templates, &values, &mut failed);
        Self { title, text: text.trim_end().to_owned(), language: facts.language, failed }
    }

    /// The text of an SMS: one line of at most [`SMS_CHARS_MAX`] characters, and the link below it; and which template failed.
    #[must_use]
    pub fn sms(
        settings: &LetterSettings,
        facts: &LetterFacts,
        link: Option<&str>,
    ) -> (String, Vec<(TemplateName, TemplateError)>) {
        let (name, mut failed) = (TemplateName::SmsText, Vec::new());
        let values = Value::from(Serde(values(settings, facts)));
        let written =
            Templates::default().write((name, facts.language), &facts.templates, &values, &mut failed);
        let line = sms_line(&written);
        (link.map_or_else(|| line.clone(), |link| format!("{line}\n{link}")), failed)
    }
}

/// What a template of SMS wrote, as one line of an SMS.
pub(super) fn sms_line(written: &str) -> String {
    written.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SMS_CHARS_MAX).collect()
}

/// What a template of short texts writes for a message.
///
/// # Errors
/// The template is wrong, or stopped by a limit.
pub(super) fn tried(
    settings: &LetterSettings,
    templates: &Templates,
    (name, source): (TemplateName, &str),
    facts: &LetterFacts,
) -> Result<String, TemplateError> {
    let written = templates.render(name, source, &Value::from(Serde(values(settings, facts))))?;
    Ok(if name == TemplateName::SmsText { sms_line(&written) } else { written })
}

fn values(settings: &LetterSettings, facts: &LetterFacts) -> Values {
    let mut facts = LetterFacts { document_bytes: None, ..facts.clone() };
    let files = std::mem::take(&mut facts.message.files);
    let values = Values::of(&facts, settings, None);
    Values {
        opening: values.opening.replace("試験メール", "試験の通知").replace("test mail", "test"),
        // The opening of a recording says that it cannot be attached.
        kept_files: if facts.message.kind == MessageKind::Voice { 0 } else { files.len() },
        ..values
    }
}

/// What a message is, in brackets.
pub(super) fn mark(
    kind: MessageKind,
    urgency: Urgency,
    is_correction: bool,
    language: Language,
) -> &'static str {
    match (kind, urgency) {
        (MessageKind::Test, _) => language.say("【テスト】", "[Test] "),
        (MessageKind::Fax, _) => language.say("【FAX】", "[Fax] "),
        (_, Urgency::Urgent) => language.say("【至急】", "[Urgent] "),
        _ if is_correction => language.say(CORRECTION.0, CORRECTION.1),
        _ => language.say("【伝言】", "[Message] "),
    }
}

fn title(values: &Values, language: Language) -> String {
    let mark = values.mark;
    let corrected = language.say(CORRECTION.0, CORRECTION.1);
    let correction = if values.m.is_correction && mark != corrected { corrected } else { "" };
    let who = match values.m.privacy {
        "notice" => language.say("伝言を一件お預かりしております", "There is a message for you").to_owned(),
        _ => {
            let what = values.m.what.as_ref().map(|what| format!(" {what}")).unwrap_or_default();
            format!("{}{what}", values.m.caller)
        }
    };
    format!("{correction}{mark}{who}{}{}", language.say("｜", " | "), values.account.name)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::samples::samples;
    use super::*;
    use crate::contract::message::{FollowUp, FollowUpBy, NewFile, Privacy};
    use crate::numbers::NumberPlan;

    #[test]
    fn files_do_not_go_to_a_chat_and_what_the_contact_is_to_do_does() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let settings = LetterSettings::of_samples(zone, NumberPlan::default());
        let mut facts = samples().remove(0);
        facts.message.fields.follow_up = Some(FollowUp {
            at: "2026-12-03T01:00:00Z".parse().unwrap(),
            text: "見積の確認".into(),
            by: FollowUpBy::Contact,
        });
        let text = ShortLetter::write(&settings, &facts, TemplateName::ChatText).text;
        assert!(text.contains("\n再連絡　12月3日(木) 10:00　見積の確認\n"), "{text}");
        // What the operators see to is nobody else's.
        facts.message.fields.follow_up.as_mut().unwrap().by = FollowUpBy::Operator;
        assert!(!ShortLetter::write(&settings, &facts, TemplateName::ChatText).text.contains("再連絡"));
        let file = NewFile::new("地図.pdf", b"%PDF-1.7".to_vec()).unwrap().file;
        facts.message.files = vec![file.clone(), file];
        let text = ShortLetter::write(&settings, &facts, TemplateName::ChatText).text;
        assert!(text.contains("\nファイルを2件お預かりしています。お電話でお尋ねください。\n"), "{text}");
        facts.message.kind = MessageKind::Voice;
        let text = ShortLetter::write(&settings, &facts, TemplateName::ChatText).text;
        assert!(text.contains("音声を添付できません") && !text.contains("2件"), "{text}");
    }

    #[test]
    fn a_message_is_a_title_and_a_text() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let settings = LetterSettings::of_samples(zone, NumberPlan::default());
        let all = samples();
        let letter = ShortLetter::write(&settings, &all[0], TemplateName::ChatText);
        assert_eq!(letter.title, "【至急】ヤマモト様｜さくら商事");
        assert_eq!(
            letter.text,
            "佐々木様\nお電話がございましたので、ご報告いたします。\n\n日時　　11月30日(月) 09:53\nお名前　ヤマモト様\n\
             会社名　見本商事株式会社\nお電話　03-5550-1001\n宛先　　佐々木様\n緊急度　至急\n\n\
             注文1234の納期を確認したい。\n17時までに折り返しをお願いします。\n\n受付　佐藤／受付番号 261130-0007\nさくら電話秘書"
        );
        assert_eq!(
            ShortLetter::sms(&settings, &all[0], Some("https://m.example.jp/a/x")).0,
            "【至急】さくら商事様宛 ヤマモト様 03-5550-1001\nhttps://m.example.jp/a/x"
        );
        for facts in &all {
            let letter = ShortLetter::write(&settings, facts, TemplateName::ChatText);
            let sms = ShortLetter::sms(&settings, facts, None).0;
            assert!(!letter.title.contains('\n') && sms.chars().count() <= 70, "{letter:?} {sms}");
            if facts.message.fields.privacy == Privacy::Notice {
                assert!(!letter.text.contains("内密") && !sms.contains("内密"));
            } else {
                assert!(letter.text.contains(facts.message.fields.text.as_str()));
            }
            match facts.message.kind {
                MessageKind::Test => assert!(letter.text.contains("試験の通知"), "{}", letter.text),
                MessageKind::Fax => assert!(!letter.text.contains("添付のPDF"), "{}", letter.text),
                _ => {}
            }
        }
    }

    #[test]
    fn an_account_writes_its_own_text_for_chats_sms_and_faxes() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let settings = LetterSettings::of_samples(zone, NumberPlan::default());
        let mut facts = samples().remove(0);
        let own = |name: TemplateName, body: &str| (name.as_str().to_owned(), body.to_owned());
        facts.templates = vec![
            own(TemplateName::ChatText, "{{ m.caller }}より\n{{ m.text | lines(1) }}\n"),
            own(
                TemplateName::SmsText,
                "{{ mark }}{{ m.caller }}\n{{ number }} {{ m.text }}{{ m.text }}{{ m.text }}",
            ),
            own(TemplateName::FaxText, "{{ nobody }}"),
        ];
        let chat = ShortLetter::write(&settings, &facts, TemplateName::ChatText);
        assert_eq!(
            (chat.text.as_str(), chat.failed.len()),
            ("ヤマモト様より\n注文1234の納期を確認したい。", 0)
        );
        let (sms, failed) = ShortLetter::sms(&settings, &facts, None);
        assert!(sms.starts_with("【至急】ヤマモト様 03-5550-1001 注文1234") && failed.is_empty(), "{sms}");
        assert_eq!((sms.chars().count(), sms.lines().count()), (SMS_CHARS_MAX, 1));
        // One that fails for a message is not used for it.
        let fax = ShortLetter::write(&settings, &facts, TemplateName::FaxText);
        assert!(fax.text.starts_with("佐々木様\n") && fax.failed[0].0 == TemplateName::FaxText, "{fax:?}");
    }
}
