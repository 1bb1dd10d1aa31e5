//! The mail of a digest: what came since the last one, in one text. It has no HTML part; the messages may be attached as a table.
//!
//! Invariant: of a message for the house alone it has the number and the time, and nothing of who left it and what it says; of one whose
//! customer was deleted, that it was removed. Where calls could not be counted, it says when, and never that there were none.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use super::{LetterSettings, Named, display, numbered, polite_in, recipient, when_in};
use crate::contract::message::{Mark, Message, MessageFields, MessageKind, MessageState, Privacy, Urgency};
use crate::contract::records::Language;
use crate::contract::words::WordKind;
use crate::mail::Line;
use crate::messages::csv::{self, Encoding, RowContext};
use crate::store::deliveries::LetterFacts;
use crate::store::digests::{DigestFacts, DigestItem, DispositionCount};

/// Most characters of a message's text in the mail; the attached table has all of it. With these, the longest digest is within
/// what a template may write.
const TEXT_CHARS_MAX: usize = 120;
/// Most characters of what a caller wants.
const WHAT_CHARS_MAX: usize = 60;

/// The values that the templates of digests write.
#[derive(Debug, Serialize)]
pub(super) struct DigestValues {
    account: Named,
    /// The recipient with 様.
    to: String,
    /// The name of the digest.
    name: String,
    opening: String,
    from: String,
    until: String,
    /// The calls of the time, if the digest counts them.
    calls: Option<Calls>,
    /// How calls ended by their after-call work, the most frequent first.
    dispositions: Vec<Ended>,
    /// The same in one line: `営業 2件、見積 1件`.
    results: String,
    /// Times at which calls could not be counted.
    gaps: Vec<String>,
    /// The time of an earlier digest that was not sent.
    missed: Option<String>,
    /// How many messages it has.
    count: usize,
    items: Vec<Item>,
    /// The rest follows in another mail.
    has_more: bool,
    /// Its number.
    received: Option<String>,
    service: Named,
}

#[derive(Debug, Serialize)]
struct Calls {
    offered: u64,
    answered: u64,
    abandoned: u64,
}

/// How many calls ended in one way.
#[derive(Debug, Serialize)]
struct Ended {
    label: String,
    calls: u64,
}

#[derive(Debug, Serialize)]
struct Item {
    number: String,
    at: String,
    /// Who called: the name with 様, else the number.
    caller: String,
    /// The number, where there is one and `caller` is a name.
    tel: String,
    /// For whom it is.
    asked_for: String,
    /// What they want.
    what: String,
    text: String,
    /// How far it is, in words.
    state: &'static str,
    urgency: &'static str,
    is_correction: bool,
    mark: &'static str,
}

impl DigestValues {
    pub(super) fn of(facts: &LetterFacts, digest: &DigestFacts, settings: &LetterSettings) -> Self {
        let (run, zone, language) = (&digest.run, &settings.time_zone, facts.language);
        let report = &run.report;
        let time = |ms| Timestamp::from_millisecond(ms).unwrap_or(run.to);
        let calls = report.calls.map(|calls| Calls {
            offered: calls.offered,
            answered: calls.answered,
            abandoned: calls.abandoned,
        });
        let dispositions: Vec<Ended> =
            report.dispositions.iter().map(|one| Ended::of(one, settings, language)).collect();
        let result = |one: &Ended| match language {
            Language::Ja => format!("{} {}件", one.label, one.calls),
            Language::En => format!("{} {}", one.label, one.calls),
        };
        let results: Vec<String> = dispositions.iter().map(result).collect();
        Self {
            account: Named { name: facts.account_name.clone() },
            to: recipient(facts),
            dispositions,
            results: results.join(language.say("、", ", ")),
            name: run.name.clone(),
            opening: opening(digest, language).to_owned(),
            from: when_in(run.from, zone, language),
            until: when_in(run.to, zone, language),
            calls,
            gaps: report.gaps.iter().map(|(from, to)| span(time(*from), time(*to), zone)).collect(),
            missed: report.missed_ms.map(|ms| when_in(time(ms), zone, language)),
            count: digest.items.len(),
            items: digest.items.iter().map(|item| Item::of(item, settings, language)).collect(),
            has_more: report.has_more,
            received: facts.message.number.as_ref().map(|number| numbered(number, language)),
            service: Named { name: settings.from_name.as_str().to_owned() },
        }
    }

    pub(super) fn value(self) -> Value {
        Value::from(Serde(self))
    }
}

fn opening(digest: &DigestFacts, language: Language) -> &'static str {
    let report = &digest.run.report;
    match (digest.items.is_empty(), report.calls, report.gaps.is_empty()) {
        (false, ..) => {
            language.say("お預かりした伝言をまとめてご報告いたします。", "These messages came for you.")
        }
        (true, Some(calls), true) if calls.offered == 0 => {
            language.say("この間の受電はありませんでした。", "There were no calls.")
        }
        (true, Some(calls), false) if calls.offered == 0 => language.say(
            "記録できた受電はありませんでした。下記の時間は集計できていません。",
            "No call was recorded. The times below are not counted.",
        ),
        (true, ..) => language.say("お預かりした伝言はありませんでした。", "There were no messages."),
    }
}

/// A gap: to the second, as it may be short.
fn span(from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let clock = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%m/%d %H:%M:%S").to_string();
    format!("{}〜{}", clock(from), clock(to))
}

impl Ended {
    fn of(one: &DispositionCount, settings: &LetterSettings, language: Language) -> Self {
        let known = settings.words.current().list(WordKind::Disposition).words;
        let label = match known.iter().find(|known| known.code == one.code.as_str()) {
            Some(known) => {
                language.say(known.label.as_str(), known.label_en.as_ref().unwrap_or(&known.label))
            }
            // A list had it when the call ended.
            None => one.code.as_str(),
        };
        Self { label: label.to_owned(), calls: one.calls }
    }
}

impl Item {
    fn of(item: &DigestItem, settings: &LetterSettings, language: Language) -> Self {
        let (message, fields) = (&item.message, &item.message.fields);
        let (is_erased, is_notice) = (message.is_erased(), fields.privacy == Privacy::Notice);
        let is_shown = !is_erased && !is_notice;
        let from = &fields.from;
        let name = [&from.name, &from.name_kanji, &from.company].into_iter().flatten().next();
        let number = from.number.as_deref().or(message.caller.as_deref());
        let number = number.map(|number| display(number, &settings.plan));
        let (caller, tel) = match (name, number) {
            (Some(name), number) => (polite_in(name, language), number.unwrap_or_default()),
            (None, Some(number)) => (number, String::new()),
            (None, None) => (language.say("お名前なし", "no name").to_owned(), String::new()),
        };
        let shown = |text: String| if is_shown { text } else { String::new() };
        let asked_for = item.contact_name.as_deref().or(fields.for_text.as_deref());
        let asked_for = asked_for.map(|name| polite_in(name, language));
        let what = super::what(fields, settings, language).unwrap_or_default();
        let text = match (is_erased, is_notice) {
            (true, _) => language.say("（削除されました）", "(deleted)").to_owned(),
            (false, true) => language
                .say(
                    "伝言を一件お預かりしております。内容はお電話でお尋ねください。",
                    "There is a message for you. Please ask us for it by telephone.",
                )
                .to_owned(),
            (false, false) => cut(&fields.text, TEXT_CHARS_MAX),
        };
        Self {
            number: message.number.clone().unwrap_or_default(),
            at: when_in(message.created_at, &settings.time_zone, language),
            caller: shown(caller),
            tel: shown(tel),
            asked_for: asked_for.unwrap_or_default(),
            what: shown(cut(&what, WHAT_CHARS_MAX)),
            text,
            state: state(message, language),
            urgency: fields.urgency.as_str(),
            is_correction: message.revision > 1,
            mark: fields.mark.map_or("", Mark::as_str),
        }
    }
}

fn state(message: &Message, language: Language) -> &'static str {
    match message.state {
        MessageState::Acknowledged => language.say("確認済み", "confirmed"),
        MessageState::Sent => language.say("送信済み", "sent"),
        MessageState::Failed => language.say("送信できず", "not delivered"),
        MessageState::Open => "",
    }
}

/// The text in one line.
fn cut(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    line.chars().take(chars_max - 1).chain(['…']).collect()
}

/// The messages as a table in UTF-8, if the digest has one.
pub(super) fn table(facts: &LetterFacts, settings: &LetterSettings) -> Option<(Line, Vec<u8>)> {
    let digest = facts.digest.as_ref().filter(|digest| digest.run.report.csv && !digest.items.is_empty())?;
    let words = settings.words.current();
    let mut bytes = csv::prologue(Encoding::Utf8);
    for item in &digest.items {
        let message = outside(&item.message);
        let reason = message.fields.reason.as_deref();
        let label = reason.and_then(|code| words.label(WordKind::MessageReason, code));
        let context = RowContext {
            account: ("", &facts.account_name),
            contact: item.contact_name.as_deref().unwrap_or_default(),
            reason: label.or(reason).unwrap_or_default(),
            zone: &settings.time_zone,
            plan: &settings.plan,
        };
        bytes.extend(csv::row(&csv::cells(&message, context), Encoding::Utf8).0);
    }
    let day = digest.run.to.to_zoned(settings.time_zone.clone()).strftime("%Y%m%d-%H%M").to_string();
    Some((Line::new(&format!("messages-{day}.csv")), bytes))
}

/// The message without what is for the house alone.
fn outside(message: &Message) -> Message {
    let fields = &message.fields;
    if fields.privacy != Privacy::Notice {
        return message.clone();
    }
    let fields =
        MessageFields { contact: fields.contact, urgency: fields.urgency, ..MessageFields::default() };
    Message { fields, caller: None, customer: None, ..message.clone() }
}

/// Digests with which a template is tried before it is stored: one with messages, one without anything, one with gaps.
pub(super) fn samples(mut facts: LetterFacts) -> Vec<LetterFacts> {
    use crate::store::digests::{CallCounts, DigestReport, DigestRun};

    let message = facts.message.clone();
    facts.message.kind = MessageKind::Digest;
    let of = |items: Vec<DigestItem>, report: DigestReport| {
        let run = DigestRun {
            message: message.id,
            account: message.account,
            name: "夕方".into(),
            from: message.created_at,
            to: message
                .created_at
                .checked_add(jiff::SignedDuration::from_hours(8))
                .unwrap_or(message.created_at),
            at: message.created_at,
            items: u32::try_from(items.len()).unwrap_or(0),
            state: MessageState::Open,
            report,
        };
        LetterFacts { digest: Some(DigestFacts { run, items }), html: false, ..facts.clone() }
    };
    let item = |fields: MessageFields| DigestItem {
        message: Message { fields, ..message.clone() },
        contact_name: Some("佐々木".into()),
    };
    let notice = MessageFields { privacy: Privacy::Notice, ..message.fields.clone() };
    let urgent = MessageFields { urgency: Urgency::Urgent, ..message.fields.clone() };
    let ms = message.created_at.as_millisecond();
    let counted = CallCounts { offered: 3, answered: 2, abandoned: 1 };
    vec![
        of(
            vec![item(message.fields.clone()), item(notice), item(urgent)],
            DigestReport {
                calls: Some(counted),
                dispositions: vec![DispositionCount { code: "sales".into(), calls: 1 }],
                has_more: true,
                csv: true,
                ..DigestReport::default()
            },
        ),
        of(Vec::new(), DigestReport { calls: Some(CallCounts::default()), ..DigestReport::default() }),
        of(
            Vec::new(),
            DigestReport {
                calls: Some(CallCounts::default()),
                gaps: vec![(ms, ms + 61_000)],
                missed_ms: Some(ms),
                ..DigestReport::default()
            },
        ),
        of(Vec::new(), DigestReport::default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::samples::samples_of_digests;
    use super::super::{Letter, LetterSettings, Templates};
    use super::*;
    use crate::contract::words::{Word, WordList};
    use crate::mail::MailAddress;
    use crate::numbers::NumberPlan;

    fn settings() -> LetterSettings {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let settings = LetterSettings::of_samples(zone, NumberPlan::default());
        let word = Word::of(&"sales:営業のお電話|Sales call".parse().unwrap());
        settings.words.replace(vec![WordList { kind: WordKind::Disposition, version: 1, words: vec![word] }]);
        settings
    }

    fn letter(n: usize) -> Letter {
        let letter = Letter::write(&settings(), &Templates::default(), &samples_of_digests()[n], None);
        assert_eq!(letter.failed, []);
        letter
    }

    #[test]
    fn a_digest_has_its_messages_and_nothing_of_those_for_the_house_alone() {
        let letter = letter(0);
        assert_eq!(letter.subject.as_str(), "【まとめ報告】11月30日(月) 17:53まで 伝言3件｜さくら商事");
        let item = "ヤマモト様　03-5550-1001\n　【至急】佐々木様宛　\n　注文1234の納期を確認したい。 17時までに折り返しをお願いします。\n　受付番号 261130-0007\n";
        assert_eq!(
            letter.text,
            format!(
                "さくら商事\n佐々木様\n\nお預かりした伝言をまとめてご報告いたします。\n\n\
                 期間　　11月30日(月) 09:53から11月30日(月) 17:53まで\n入電　　3件（応答 2件、放棄 1件）\n結果　　営業のお電話 1件\n伝言　　3件\n\n\
                 1. 11月30日(月) 09:53　{item}\n\
                 2. 11月30日(月) 09:53\n　【至急】佐々木様宛　\n　伝言を一件お預かりしております。内容はお電話でお尋ねください。\n　受付番号 261130-0007\n\n\
                 3. 11月30日(月) 09:53　{item}\n\
                 続きは別のメールでお送りいたします。\n\n受付番号 261130-0007\nさくら電話秘書\n"
            )
        );
    }

    #[test]
    fn results_of_calls_have_their_labels_in_the_language_of_the_digest() {
        let mut facts = samples_of_digests().remove(0);
        facts.language = Language::En;
        let gone = DispositionCount { code: "gone".into(), calls: 2 };
        facts.digest.as_mut().unwrap().run.report.dispositions.insert(0, gone);
        let letter = Letter::write(&settings(), &Templates::default(), &facts, None);
        let said = letter.text.lines().find(|line| line.starts_with("Results")).unwrap();
        assert_eq!((letter.failed, said), (vec![], "Results: gone 2, Sales call 1"));
    }

    #[test]
    fn nothing_came_is_said_only_where_it_is_known() {
        let opening = |n: usize| letter(n).text.lines().nth(3).unwrap().to_owned();
        assert_eq!(opening(1), "この間の受電はありませんでした。");
        assert_eq!(opening(2), "記録できた受電はありませんでした。下記の時間は集計できていません。");
        assert_eq!(opening(3), "お預かりした伝言はありませんでした。");
        let text = letter(2).text;
        assert!(text.contains("※11/30 09:53:20〜11/30 09:54:21は集計できていません"), "{text}");
        assert!(text.contains("※11月30日(月) 09:53のまとめ報告はお送りできませんでした。"), "{text}");
        let subjects: Vec<String> = (1..4).map(|n| letter(n).subject.as_str().to_owned()).collect();
        let ends = |subject: &str| subject.rsplit(' ').next().unwrap().to_owned();
        assert_eq!(
            subjects.iter().map(|subject| ends(subject)).collect::<Vec<_>>(),
            ["受電なし｜さくら商事", "伝言なし｜さくら商事", "伝言なし｜さくら商事"]
        );
    }

    #[test]
    fn the_attached_table_has_the_messages_but_not_what_is_for_the_house_alone() {
        let facts = &samples_of_digests()[0];
        let (name, bytes) = table(facts, &settings()).unwrap();
        assert_eq!(name.as_str(), "messages-20261130-1753.csv");
        let text = String::from_utf8(bytes).unwrap();
        let rows: Vec<&str> = text.trim_start_matches('\u{feff}').split("\r\n261130").collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert!(rows[1].contains("ヤマモト") && rows[3].contains("注文1234"), "{text}");
        assert!(
            rows[2].contains("さくら商事") && !rows[2].contains("ヤマモト") && !rows[2].contains("5550"),
            "{text}"
        );
        assert_eq!(table(&samples_of_digests()[1], &settings()), None, "there is nothing to list");
        let to: MailAddress = "desk@sakura.example.jp".parse().unwrap();
        let delivery = crate::store::deliveries::ClaimedDelivery {
            id: facts.message.id,
            message: facts.message.id,
            account: facts.message.account,
            channel: crate::contract::records::EndpointKind::Mail,
            profile: None,
            address: to.to_string(),
            attempts: 1,
            maybe_sent: false,
            created_at: facts.message.created_at,
            rendered: None,
            suspended: None,
        };
        let (mail, _) = super::super::render(
            (&settings(), &Templates::default()),
            &delivery,
            &to,
            facts,
            (&[][..], None),
        );
        let mail = String::from_utf8(mail).unwrap();
        assert!(
            mail.contains("filename=\"messages-20261130-1753.csv\"") && !mail.contains("text/html"),
            "{mail}"
        );
    }

    #[test]
    fn a_digest_with_the_longest_messages_is_whole() {
        let mut facts = samples_of_digests().remove(0);
        let digest = facts.digest.as_mut().unwrap();
        let mut item = digest.items.remove(0);
        item.message.fields.text = "髙".repeat(4_000);
        item.message.fields.from.name = Some("ア".repeat(60));
        item.message.fields.subject = Some("件".repeat(120));
        item.contact_name = Some("担".repeat(60));
        digest.items = vec![item; crate::store::digests::ITEMS_MAX as usize];
        let letter = Letter::write(&settings(), &Templates::default(), &facts, None);
        assert_eq!((letter.failed, letter.text.matches("受付番号").count()), (vec![], 51));
    }
}
