//! The mail of a message: its subject and its text, in Japanese.
//!
//! The first twenty characters of the subject say how urgent it is, who called and for what, since a telephone shows no more.
//! What the daemon does not know (the caller's name, a withheld number) is said in words, so that nobody waits for it.
//!
//! | the message | its mail |
//! |---|---|
//! | is corrected | begins with 訂正 and belongs to the thread of the first one |
//! | is for the house alone (`privacy`) | says that there is a message, not who left it and what it says |
//! | has sensitive answers | does not have them |
//!
//! Invariant: the text holds what the message's record holds and nothing of the PBX: a withheld number is not there.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::Settings;
use crate::contract::message::{CallBack, Gender, MessageFields, MessageKind, Privacy, Urgency};
use crate::mail::{Attachment, Charset, Line, Mail, MailAddress, MessageId};
use crate::numbers::{Number, NumberPlan};
use crate::store::deliveries::{ClaimedDelivery, LetterFacts};

/// Largest document that goes with a mail: with its base64 form below the 10 MB that many servers take.
const DOCUMENT_BYTES_MAX: usize = 7 * 1024 * 1024;
/// Longest subject, in characters: longer ones are cut off by mail programs.
const SUBJECT_CHARS_MAX: usize = 60;
/// The weekdays, from Monday.
const WEEKDAYS: [&str; 7] = ["月", "火", "水", "木", "金", "土", "日"];

/// The bytes of the mail that a delivery sends to `to`, the same each time.
pub(super) fn render(
    settings: &Settings,
    delivery: &ClaimedDelivery,
    to: &MailAddress,
    facts: &LetterFacts,
) -> Vec<u8> {
    let charset = if settings.iso_2022_jp.iter().any(|domain| domain == to.domain()) {
        Charset::Iso2022Jp
    } else {
        Charset::Utf8
    };
    let number = facts.message.number.as_deref().map(Line::new);
    let name = Line::new(&format!("FAX-{}.pdf", facts.message.number.as_deref().unwrap_or_default()));
    let document = facts.document.as_deref().filter(|document| document.len() <= DOCUMENT_BYTES_MAX);
    let file = |bytes| Attachment { name: &name, media_type: "application/pdf", bytes };
    let files: Vec<Attachment<'_>> = document.map(file).into_iter().collect();
    Mail {
        delivery: delivery.id.0,
        id: MessageId::new('d', delivery.id.0, &settings.from),
        thread: MessageId::new('m', delivery.message.0, &settings.from),
        from: (&settings.from_name, &settings.from),
        reply_to: settings.reply_to.as_ref(),
        to,
        subject: &subject(facts, &settings.plan),
        date: delivery.created_at.to_zoned(settings.time_zone.clone()),
        number: number.as_ref(),
        text: &text(facts, settings),
        charset,
        attachments: &files,
    }
    .to_bytes()
}

fn subject(facts: &LetterFacts, plan: &NumberPlan) -> Line {
    let (message, fields) = (&facts.message, &facts.message.fields);
    let correction = if message.revision > 1 { "【訂正】" } else { "" };
    let mark = match (message.kind, fields.urgency) {
        (MessageKind::Test, _) => "【テスト】",
        (MessageKind::Fax, _) => "【FAX】",
        (_, Urgency::Urgent) => "【至急】",
        _ if message.revision > 1 => "",
        _ => "【伝言】",
    };
    let about = match fields.privacy {
        Privacy::Notice => "伝言を一件お預かりしております".to_owned(),
        Privacy::Full => {
            let who = match (name(facts), number(facts)) {
                (Some(name), _) => polite(name),
                (None, Some(number)) => display(number, plan),
                (None, None) => "番号非通知".to_owned(),
            };
            let what = fields.subject.as_deref().or_else(|| fields.action.label());
            what.map_or_else(|| who.clone(), |what| format!("{who} {what}"))
        }
    };
    Line::cut(&format!("{correction}{mark}{about}｜{}", facts.account_name), SUBJECT_CHARS_MAX)
}

fn text(facts: &LetterFacts, settings: &Settings) -> String {
    let message = &facts.message;
    let recipient = facts.recipient_name.as_deref().map_or_else(|| "ご担当者様".to_owned(), polite);
    let (is_notice, is_corrected) = (message.fields.privacy == Privacy::Notice, message.revision > 1);
    let opening = match (is_notice, is_corrected) {
        (false, false) if message.kind == MessageKind::Fax => match &facts.document {
            Some(document) if document.len() <= DOCUMENT_BYTES_MAX => {
                "FAXを受信いたしましたので、添付のPDFでお届けいたします。"
            }
            _ => "FAXを受信いたしました。お届けできる大きさを超えておりますので、お電話でお尋ねください。",
        },
        (false, false) => "お電話がございましたので、ご報告いたします。",
        (false, true) => "先にお送りした伝言を訂正いたします。お手数ですが、先のものは破棄してください。",
        (true, false) => "伝言を一件お預かりしております。内容はお電話でお尋ねください。",
        (true, true) => "先にお知らせした伝言に訂正がございます。内容はお電話でお尋ねください。",
    };
    let mut text = format!("{}\n{recipient}\n\n{opening}\n\n", facts.account_name);
    if is_notice {
        push(&mut text, "日時　　", &when(message.created_at, &settings.time_zone));
        text.push('\n');
    } else {
        push_content(&mut text, facts, settings);
    }
    let taker = message.taken_by_name.clone();
    let number = message.number.as_ref().map(|number| format!("受付番号 {number}"));
    let received: Vec<String> = taker.into_iter().chain(number).collect();
    if !received.is_empty() {
        push(&mut text, "受付　", &received.join("／"));
    }
    text.push_str(settings.from_name.as_str());
    text.push('\n');
    text
}

/// Who left the message, and what it says.
fn push_content(text: &mut String, facts: &LetterFacts, settings: &Settings) {
    let (message, fields) = (&facts.message, &facts.message.fields);
    let at = |at| when(at, &settings.time_zone);
    push(text, "日時　　", &at(message.created_at));
    // A machine sent it, and it does not say to whom.
    let is_fax = message.kind == MessageKind::Fax;
    if !is_fax {
        push(text, "お名前　", &sender(facts));
    }
    let company: Vec<&str> =
        [&fields.from.company, &fields.from.department].into_iter().flatten().map(String::as_str).collect();
    if !company.is_empty() {
        push(text, "会社名　", &company.join("　"));
    }
    let number = number(facts).map_or_else(|| "通知なし".to_owned(), |text| display(text, &settings.plan));
    push(text, "お電話　", &number);
    let asked_for = facts.contact_name.as_deref().or(fields.for_text.as_deref());
    if !is_fax || asked_for.is_some() {
        push(text, "宛先　　", &asked_for.map_or_else(|| "ご指名なし".to_owned(), polite));
    }
    if let Some(reason) = reason(fields, settings) {
        push(text, "ご用件　", &reason);
    }
    let call_back = fields.call_back.clone().unwrap_or_default();
    let time = hours(&call_back, at);
    if let Some(action) = fields.action.label() {
        let time = time.map(|time| format!("（{time}）")).unwrap_or_default();
        push(text, "ご希望　", &format!("{action}{time}"));
    } else if let Some(time) = time {
        push(text, "折返し　", &time);
    }
    let number = call_back.number.map(|number| display(&number, &settings.plan));
    let to: Vec<String> = number.into_iter().chain(call_back.text).collect();
    if !to.is_empty() {
        push(text, "折返先　", &to.join("　"));
    }
    match fields.urgency {
        Urgency::Urgent => push(text, "緊急度　", "至急"),
        Urgency::Normal => {}
        Urgency::Low => push(text, "緊急度　", "低"),
    }
    text.push_str(&format!("\n内容\n{}\n\n", fields.text));
    let mut answers = fields.answers.iter().filter(|answer| !answer.sensitive).peekable();
    if answers.peek().is_some() {
        answers.for_each(|answer| push(text, &format!("{}　", answer.label), &answer.value));
        text.push('\n');
    }
}

fn push(text: &mut String, label: &str, value: &str) {
    text.push_str(label);
    text.push_str(value);
    text.push('\n');
}

/// The name by which the caller is known, in kana if the caller said it.
fn name(facts: &LetterFacts) -> Option<&str> {
    let from = &facts.message.fields.from;
    [&from.name, &from.name_kanji, &facts.customer_name].into_iter().flatten().map(String::as_str).next()
}

/// The number that the caller gave, else the one that the call showed.
fn number(facts: &LetterFacts) -> Option<&str> {
    facts.message.fields.from.number.as_deref().or(facts.message.caller.as_deref())
}

/// The name with what is known besides: in kana and in kanji, and the gender.
fn sender(facts: &LetterFacts) -> String {
    let from = &facts.message.fields.from;
    let Some(name) = name(facts) else { return "本文をご覧ください".to_owned() };
    let kanji = from.name_kanji.as_deref().filter(|kanji| *kanji != name);
    let gender = from.gender.map(|gender| match gender {
        Gender::M => "男性",
        Gender::F => "女性",
    });
    let besides: Vec<&str> = kanji.into_iter().chain(gender).collect();
    if besides.is_empty() { polite(name) } else { format!("{}（{}）", polite(name), besides.join("・")) }
}

/// What the call was about: the label of its reason, and what the operator wrote as the subject.
fn reason(fields: &MessageFields, settings: &Settings) -> Option<String> {
    let label = |code: &str| settings.reasons.iter().find(|reason| reason.code == code);
    let label = fields.reason.as_deref().and_then(label).map(|reason| reason.label.as_str());
    let made: Vec<&str> = label.into_iter().chain(fields.action.label()).collect();
    let written = fields.subject.as_deref().filter(|subject| *subject != made.join("・"));
    let parts: Vec<&str> = label.into_iter().chain(written).collect();
    (!parts.is_empty()).then(|| parts.join("　"))
}

/// When to call back.
fn hours(call_back: &CallBack, at: impl Fn(Timestamp) -> String) -> Option<String> {
    match (call_back.from, call_back.until) {
        (None, None) => None,
        (Some(from), None) => Some(format!("{}から", at(from))),
        (None, Some(until)) => Some(format!("{}まで", at(until))),
        (Some(from), Some(until)) => Some(format!("{}から{}まで", at(from), at(until))),
    }
}

/// The name with 様, once.
fn polite(name: &str) -> String {
    if name.ends_with('様') || name.ends_with("御中") { name.to_owned() } else { format!("{name}様") }
}

fn display(number: &str, plan: &NumberPlan) -> String {
    Number::read(number, plan).map_or_else(|| number.to_owned(), |number| number.display())
}

fn when(at: Timestamp, zone: &TimeZone) -> String {
    let at: Zoned = at.to_zoned(zone.clone());
    let weekday = WEEKDAYS[usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0)];
    format!("{}月{}日({weekday}) {:02}:{:02}", at.month(), at.day(), at.hour(), at.minute())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use uuid::Uuid;

    use super::super::{Server, TlsMode};
    use super::*;
    use crate::contract::delivery::MessageDelivery;
    use crate::contract::message::{Message, MessageState};
    use crate::ids::RecordId;

    fn settings() -> Settings {
        Settings {
            server: Server {
                host: "localhost".into(),
                port: 25,
                tls: TlsMode::None,
                tls_name: "localhost".into(),
                authorities: None,
                login: None,
                hello_name: None,
            },
            from: "report@example.jp".parse().unwrap(),
            from_name: Line::new("さくら電話秘書"),
            reply_to: None,
            connections: 1,
            per_minute: 60,
            domains: BTreeMap::new(),
            iso_2022_jp: vec!["docomo.ne.jp".into()],
            time_zone: TimeZone::get("Asia/Tokyo").unwrap(),
            plan: NumberPlan::default(),
            reasons: vec!["nouki:納期".parse().unwrap()],
        }
    }

    fn fields(value: serde_json::Value) -> MessageFields {
        serde_json::from_value(value).unwrap()
    }

    fn facts(caller: Option<&str>) -> LetterFacts {
        let id = |n| RecordId(Uuid::from_u128(n));
        let at = Timestamp::from_second(1_796_000_000).unwrap();
        LetterFacts {
            message: Message {
                id: id(1),
                account: id(2),
                call: None,
                customer: None,
                number: None,
                kind: MessageKind::Message,
                revision: 1,
                fields: fields(serde_json::json!({"text": "注文1234の納期を\r\nBcc: all@example.jp"})),
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
                delivery: MessageDelivery::default(),
            },
            account_name: "さくら商事".into(),
            contact_name: Some("佐々木".into()),
            customer_name: None,
            recipient_name: Some("佐々木様".into()),
            document: None,
        }
    }

    fn claimed() -> ClaimedDelivery {
        ClaimedDelivery {
            id: RecordId(Uuid::from_u128(9)),
            message: RecordId(Uuid::from_u128(1)),
            account: RecordId(Uuid::from_u128(2)),
            address: String::new(),
            attempts: 1,
            created_at: Timestamp::from_second(1_796_000_000).unwrap(),
            rendered: None,
        }
    }

    #[test]
    fn a_letter_says_who_called_whom_when_and_why() {
        let text = text(&facts(Some("+81355501001")), &settings());
        assert_eq!(
            text,
            "さくら商事\n佐々木様\n\nお電話がございましたので、ご報告いたします。\n\n日時　　11月30日(月) 09:53\n\
             お名前　本文をご覧ください\nお電話　03-5550-1001\n宛先　　佐々木様\n\n内容\n注文1234の納期を\r\nBcc: all@example.jp\n\n\
             受付　佐藤\nさくら電話秘書\n"
        );
        let subject = subject(&facts(Some("+81355501001")), &NumberPlan::default());
        assert_eq!(subject.as_str(), "【伝言】03-5550-1001｜さくら商事");
    }

    #[test]
    fn a_fax_goes_with_its_document() {
        let mut facts = facts(Some("+81312345678"));
        facts.message.kind = MessageKind::Fax;
        facts.message.number = Some("261130-0007".into());
        facts.message.taken_by_name = None;
        facts.message.fields = fields(serde_json::json!({"text": "FAX 2枚（03-1234-5678）"}));
        facts.contact_name = None;
        facts.document = Some(b"%PDF-1.4".to_vec());
        assert_eq!(
            text(&facts, &settings()),
            "さくら商事\n佐々木様\n\nFAXを受信いたしましたので、添付のPDFでお届けいたします。\n\n日時　　11月30日(月) 09:53\n\
             お電話　03-1234-5678\n\n内容\nFAX 2枚（03-1234-5678）\n\n受付　受付番号 261130-0007\nさくら電話秘書\n"
        );
        let subject = subject(&facts, &NumberPlan::default());
        assert_eq!(subject.as_str(), "【FAX】03-1234-5678｜さくら商事");
        let mail = |facts: &LetterFacts| {
            let delivery = claimed();
            let to = "sasaki@example.jp".parse().unwrap();
            String::from_utf8(render(&settings(), &delivery, &to, facts)).unwrap()
        };
        let written = mail(&facts);
        assert!(written.contains("Content-Type: application/pdf; name=\"FAX-261130-0007.pdf\""), "{written}");
        let document = base64::engine::general_purpose::STANDARD.encode(b"%PDF-1.4");
        assert!(written.contains(&document), "{written}");
        // One that no server takes stays in the house, and the mail says so.
        facts.document = Some(vec![0; DOCUMENT_BYTES_MAX + 1]);
        assert!(!mail(&facts).contains("application/pdf"));
        assert!(text(&facts, &settings()).contains("お電話でお尋ねください"));
    }

    #[test]
    fn a_letter_has_what_the_operator_wrote_but_no_sensitive_answer() {
        let mut facts = facts(None);
        facts.message.number = Some("261130-0007".into());
        facts.message.revision = 2;
        facts.contact_name = None;
        facts.message.fields = fields(serde_json::json!({
            "text": "17時まで", "reason": "nouki", "subject": "納期・折り返し希望", "urgency": "urgent",
            "for_text": "購買 田中", "action": "call_back",
            "from": {"name": "ヤマモト", "name_kanji": "山本", "company": "ミホン", "department": "購買部",
                "gender": "f", "number": "0355501001", "number_is": "told"},
            "call_back": {"number": "0355501002", "until": "2026-11-30T08:00:00Z", "text": "夕方"},
            "answers": [{"id": "a", "label": "症状", "value": "頭痛", "sensitive": true},
                {"id": "b", "label": "注文番号", "value": "1234"}],
        }));
        let written = text(&facts, &settings());
        assert_eq!(
            written,
            "さくら商事\n佐々木様\n\n先にお送りした伝言を訂正いたします。お手数ですが、先のものは破棄してください。\n\n\
             日時　　11月30日(月) 09:53\nお名前　ヤマモト様（山本・女性）\n会社名　ミホン　購買部\nお電話　03-5550-1001\n\
             宛先　　購買 田中様\nご用件　納期\nご希望　折り返し希望（11月30日(月) 17:00まで）\n\
             折返先　03-5550-1002　夕方\n緊急度　至急\n\n内容\n17時まで\n\n注文番号　1234\n\n\
             受付　佐藤／受付番号 261130-0007\nさくら電話秘書\n"
        );
        let line = subject(&facts, &NumberPlan::default());
        assert_eq!(line.as_str(), "【訂正】【至急】ヤマモト様 納期・折り返し希望｜さくら商事");
        // A subject of the operator's own is there as well.
        facts.message.fields.subject = Some("注文1234".into());
        assert!(text(&facts, &settings()).contains("ご用件　納期　注文1234\n"));
        // Of a message for the house alone, that there is one.
        facts.message.fields.privacy = Privacy::Notice;
        (facts.message.revision, facts.message.fields.urgency) = (1, Urgency::Normal);
        let (line, written) = (subject(&facts, &NumberPlan::default()), text(&facts, &settings()));
        assert_eq!(line.as_str(), "【伝言】伝言を一件お預かりしております｜さくら商事");
        assert_eq!(
            written,
            "さくら商事\n佐々木様\n\n伝言を一件お預かりしております。内容はお電話でお尋ねください。\n\n\
             日時　　11月30日(月) 09:53\n\n受付　佐藤／受付番号 261130-0007\nさくら電話秘書\n"
        );
    }

    #[test]
    fn a_withheld_number_is_said_in_words() {
        let text = text(&facts(None), &settings());
        assert!(text.contains("お電話　通知なし"), "{text}");
        let subject = subject(&facts(None), &NumberPlan::default());
        assert_eq!(subject.as_str(), "【伝言】番号非通知｜さくら商事");
    }

    #[test]
    fn a_message_writes_no_header() {
        let delivery = claimed();
        let mut facts = facts(None);
        facts.account_name = "さくら\r\nBcc: all@example.jp\r\n\r\n<script>".into();
        facts.customer_name = Some("a\nSubject: x".into());
        for address in ["a@example.jp", "a@docomo.ne.jp"] {
            let to: MailAddress = address.parse().unwrap();
            let mail = String::from_utf8(render(&settings(), &delivery, &to, &facts)).unwrap();
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = head
                .split("\r\n")
                .filter(|line| !line.starts_with(' '))
                .filter_map(|line| line.split_once(':'))
                .map(|(name, _)| name)
                .collect();
            assert_eq!(
                names,
                [
                    "From",
                    "To",
                    "Subject",
                    "Date",
                    "Message-ID",
                    "In-Reply-To",
                    "References",
                    "Auto-Submitted",
                    "X-Auto-Response-Suppress",
                    "Content-Language",
                    "MIME-Version",
                    "Content-Type",
                    "Content-Transfer-Encoding"
                ]
            );
            let is_jis = address.ends_with("docomo.ne.jp");
            assert_eq!(head.contains("charset=ISO-2022-JP"), is_jis, "{head}");
            if !is_jis {
                let joined: Vec<u8> = body.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
                let text = base64::engine::general_purpose::STANDARD.decode(joined).unwrap();
                assert!(String::from_utf8(text).unwrap().contains("お電話がございました"));
            }
        }
    }
}
