//! The mail of a message: its subject and its text, in Japanese.
//!
//! The first twenty characters of the subject say who called and for which company, since a telephone shows no more. What
//! the daemon does not know (the caller's name, a withheld number) is said in words, so that nobody waits for it.
//!
//! Invariant: the text holds what the message's record holds and nothing of the PBX: a withheld number is not there.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::Settings;
use crate::mail::{Attachment, Charset, Line, Mail, MailAddress, MessageId};
use crate::numbers::{Number, NumberPlan};
use crate::store::deliveries::{ClaimedDelivery, LetterFacts};

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
    let no_files: [Attachment<'_>; 0] = [];
    Mail {
        delivery: delivery.id.0,
        id: MessageId::new('d', delivery.id.0, &settings.from),
        thread: MessageId::new('m', delivery.message.0, &settings.from),
        from: (&settings.from_name, &settings.from),
        reply_to: settings.reply_to.as_ref(),
        to,
        subject: &subject(facts, &settings.plan),
        date: delivery.created_at.to_zoned(settings.time_zone.clone()),
        number: None,
        text: &text(facts, settings),
        charset,
        attachments: &no_files,
    }
    .to_bytes()
}

fn subject(facts: &LetterFacts, plan: &NumberPlan) -> Line {
    let who = match (&facts.customer_name, &facts.message.caller) {
        (Some(name), _) => polite(name),
        (None, Some(number)) => display(number, plan),
        (None, None) => "番号非通知".to_owned(),
    };
    Line::cut(&format!("【伝言】{who}｜{}", facts.account_name), SUBJECT_CHARS_MAX)
}

fn text(facts: &LetterFacts, settings: &Settings) -> String {
    let message = &facts.message;
    let recipient = facts.recipient_name.as_deref().map_or_else(|| "ご担当者様".to_owned(), polite);
    let from = facts.customer_name.as_deref().map_or_else(|| "本文をご覧ください".to_owned(), polite);
    let number = match &message.caller {
        Some(number) => display(number, &settings.plan),
        None => "通知なし".to_owned(),
    };
    let asked_for = facts.contact_name.as_deref().map_or_else(|| "ご指名なし".to_owned(), polite);
    let at = when(message.created_at, &settings.time_zone);
    let mut text = format!(
        "{account}\n{recipient}\n\nお電話がございましたので、ご報告いたします。\n\n\
         日時　　{at}\nお名前　{from}\nお電話　{number}\n宛先　　{asked_for}\n\n内容\n{content}\n\n",
        account = facts.account_name,
        content = message.text,
    );
    if let Some(taker) = &message.taken_by_name {
        text.push_str(&format!("受付　{taker}\n"));
    }
    text.push_str(settings.from_name.as_str());
    text.push('\n');
    text
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
        }
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
                contact: None,
                taken_by: None,
                taken_by_name: Some("佐藤".into()),
                caller: caller.map(Into::into),
                text: "注文1234の納期を\r\nBcc: all@example.jp".into(),
                state: MessageState::Open,
                created_at: at,
                changed_at: at,
                acknowledged_at: None,
                acknowledged_by: None,
                version: 1,
                delivery: MessageDelivery::default(),
            },
            account_name: "さくら商事".into(),
            contact_name: Some("佐々木".into()),
            customer_name: None,
            recipient_name: Some("佐々木様".into()),
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
    fn a_withheld_number_is_said_in_words() {
        let text = text(&facts(None), &settings());
        assert!(text.contains("お電話　通知なし"), "{text}");
        let subject = subject(&facts(None), &NumberPlan::default());
        assert_eq!(subject.as_str(), "【伝言】番号非通知｜さくら商事");
    }

    #[test]
    fn a_message_writes_no_header() {
        let delivery = ClaimedDelivery {
            id: RecordId(Uuid::from_u128(9)),
            message: RecordId(Uuid::from_u128(1)),
            account: RecordId(Uuid::from_u128(2)),
            address: String::new(),
            attempts: 1,
            created_at: Timestamp::from_second(1_796_000_000).unwrap(),
            rendered: None,
        };
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
