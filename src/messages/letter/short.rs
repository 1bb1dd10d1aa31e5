//! A message as plain text, for chats and SMS: what a mail says, without its greeting.
//!
//! Invariant: as of a mail: of a message for the house alone neither who left it nor what it says.

use super::{Letter, LetterSettings, Templates, Values};
use crate::contract::message::MessageKind;
use crate::contract::records::Language;
use crate::store::deliveries::LetterFacts;

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
}

impl ShortLetter {
    /// The text for a chat. It has no document: the PDF of a fax does not go there.
    #[must_use]
    pub fn write(settings: &LetterSettings, facts: &LetterFacts) -> Self {
        if facts.digest.is_some() {
            let Letter { subject, text, .. } = Letter::write(settings, &Templates::default(), facts, None);
            let (title, text) = (subject.as_str().to_owned(), text.trim_end().to_owned());
            return Self { title, text, language: facts.language };
        }
        let values = values(settings, facts);
        let language = facts.language;
        let opening = values.opening.replace("試験メール", "試験の通知").replace("test mail", "test");
        let between = language.say("　", ": ");
        let mut text = format!("{}\n{opening}\n", values.to);
        if values.m.privacy == "notice" {
            text.push_str(&format!("\n{}{between}{}\n", language.say("日時", "Received"), values.m.at));
        } else {
            text.push('\n');
            for row in &values.rows {
                let label = language.say(&row.label, row.name);
                text.push_str(&format!("{label}{between}{}\n", row.value));
            }
            text.push_str(&format!("\n{}\n", values.m.text));
            if !values.answers.is_empty() {
                text.push('\n');
            }
            for answer in &values.answers {
                text.push_str(&format!("{}{between}{}\n", answer.label, answer.value));
            }
            if !facts.message.files.is_empty() && facts.message.kind != MessageKind::Voice {
                let count = facts.message.files.len();
                let files = match language {
                    Language::Ja => {
                        format!("\nファイルを{count}件お預かりしています。お電話でお尋ねください。\n")
                    }
                    Language::En => format!("\nFiles: {count}. Please ask us for them by telephone.\n"),
                };
                text.push_str(&files);
            }
        }
        text.push('\n');
        if let Some(received) = &values.received {
            text.push_str(&format!("{}{received}\n", language.say("受付　", "")));
        }
        text.push_str(&values.service.name);
        Self { title: title(&values, language), text: text.trim_end().to_owned(), language }
    }

    /// The text of an SMS: one line of at most `chars_max` characters, and the link below it.
    #[must_use]
    pub fn sms(
        settings: &LetterSettings,
        facts: &LetterFacts,
        link: Option<&str>,
        chars_max: usize,
    ) -> String {
        let values = values(settings, facts);
        let language = facts.language;
        let mark = mark(&values, language);
        let account = &values.account.name;
        let number = values.rows.iter().find(|row| row.is_number).map(|row| row.value.as_str());
        let number = number.filter(|number| *number != values.m.caller).unwrap_or_default();
        let line = match values.m.privacy {
            "notice" => match language {
                Language::Ja => format!("{mark}{account}様宛 伝言を一件お預かりしております"),
                Language::En => format!("{mark}There is a message for {account}"),
            },
            _ => {
                let what = values.m.what.as_deref().unwrap_or_default();
                let words = [values.m.caller.as_str(), what, number];
                let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
                match language {
                    Language::Ja => format!("{mark}{account}様宛 {}", words.join(" ")),
                    Language::En => format!("{mark}For {account}: {}", words.join(" ")),
                }
            }
        };
        let line: String =
            line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars_max).collect();
        match link {
            Some(link) => format!("{line}\n{link}"),
            None => line,
        }
    }
}

fn values(settings: &LetterSettings, facts: &LetterFacts) -> Values {
    let mut facts = LetterFacts { document_bytes: None, ..facts.clone() };
    facts.message.files.clear();
    Values::of(&facts, settings, None)
}

fn mark(values: &Values, language: Language) -> &'static str {
    match (values.m.kind, values.m.urgency) {
        ("test", _) => language.say("【テスト】", "[Test] "),
        ("fax", _) => language.say("【FAX】", "[Fax] "),
        (_, "urgent") => language.say("【至急】", "[Urgent] "),
        _ if values.m.is_correction => language.say(CORRECTION.0, CORRECTION.1),
        _ => language.say("【伝言】", "[Message] "),
    }
}

fn title(values: &Values, language: Language) -> String {
    let mark = mark(values, language);
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
        let text = ShortLetter::write(&settings, &facts).text;
        assert!(text.contains("\n再連絡　12月3日(木) 10:00　見積の確認\n"), "{text}");
        // What the operators see to is nobody else's.
        facts.message.fields.follow_up.as_mut().unwrap().by = FollowUpBy::Operator;
        assert!(!ShortLetter::write(&settings, &facts).text.contains("再連絡"));
        let file = NewFile::new("地図.pdf", b"%PDF-1.7".to_vec()).unwrap().file;
        facts.message.files = vec![file.clone(), file];
        let text = ShortLetter::write(&settings, &facts).text;
        assert!(text.contains("\nファイルを2件お預かりしています。お電話でお尋ねください。\n"), "{text}");
        facts.message.kind = MessageKind::Voice;
        let text = ShortLetter::write(&settings, &facts).text;
        assert!(text.contains("音声を添付できません") && !text.contains("2件"), "{text}");
    }

    #[test]
    fn a_message_is_a_title_and_a_text() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let settings = LetterSettings::of_samples(zone, NumberPlan::default());
        let all = samples();
        let letter = ShortLetter::write(&settings, &all[0]);
        assert_eq!(letter.title, "【至急】ヤマモト様｜さくら商事");
        assert_eq!(
            letter.text,
            "佐々木様\nお電話がございましたので、ご報告いたします。\n\n日時　　11月30日(月) 09:53\nお名前　ヤマモト様\n\
             会社名　見本商事株式会社\nお電話　03-5550-1001\n宛先　　佐々木様\n緊急度　至急\n\n\
             注文1234の納期を確認したい。\n17時までに折り返しをお願いします。\n\n受付　佐藤／受付番号 261130-0007\nさくら電話秘書"
        );
        assert_eq!(
            ShortLetter::sms(&settings, &all[0], Some("https://m.example.jp/a/x"), 70),
            "【至急】さくら商事様宛 ヤマモト様 03-5550-1001\nhttps://m.example.jp/a/x"
        );
        for facts in &all {
            let letter = ShortLetter::write(&settings, facts);
            let sms = ShortLetter::sms(&settings, facts, None, 70);
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
}
