//! The mail of a message: its subject, its text and its HTML part, in Japanese.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | what a mail says: the values that templates write |
//! | `template.rs` | the templates, and the engine with its limits |
//! | `digest.rs` | what the mail of a digest says |
//! | `files.rs` | what goes with a mail: a fax, the message's files, a call-back for the calendar |
//! | `short.rs` | the same as plain text, for chats and SMS |
//! | `subject.j2`, `text.j2`, `html.j2`, `digest_subject.j2`, `digest_text.j2`, `chat_text.j2`, `sms_text.j2`, and the same with `.en` | the built-in templates, in Japanese and in English |
//! | `samples.rs` | messages with which a template is tried before it is stored |
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
//! Invariant: the values hold what the message's record holds and nothing of the PBX: a withheld number is not there. Of a message
//! for the house alone, they hold neither who left it nor what it says, whatever a template asks for.

mod digest;
mod files;
mod samples;
mod short;
mod template;
mod times;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use crate::contract::message::{
    CallBack, FollowUpBy, Gender, MessageFields, MessageFile, MessageKind, Privacy, Urgency,
};
use crate::contract::records::{EndpointCharset, Language};
use crate::contract::words::WordKind;
use crate::mail::{
    Attachment, Charset, FaxGateway, Line, Mail, MailAddress, MessageId, ReturnPath, in_columns, substituted,
    substitution_note,
};
use crate::numbers::{Number, NumberPlan};
use crate::operators::SharedWords;
use crate::store::deliveries::{ClaimedDelivery, LetterFacts};

use self::digest::DigestValues;
use self::files::call_back_event;
use self::times::when_in;
pub use files::{fax_file, has_document, has_files, without_files};
pub use samples::check_template;
pub use short::{SMS_CHARS_MAX, ShortLetter};
pub use template::{FUEL, OUTPUT_BYTES_MAX, TEMPLATE_BYTES_MAX, TemplateError, TemplateName, Templates};

/// Longest subject, in characters: longer ones are cut off by mail programs.
const SUBJECT_CHARS_MAX: usize = 60;

/// What all mails of an installation have.
#[derive(Debug, Clone)]
pub struct LetterSettings {
    /// The sender's address.
    pub from: MailAddress,
    /// The sender's name, which also ends the text.
    pub from_name: Line,
    /// Where answers go; the sender if absent.
    pub reply_to: Option<MailAddress>,
    /// The addresses of answers, one for each mail, instead of `reply_to`.
    pub reply_path: Option<ReturnPath>,
    /// Domains whose mails are in ISO-2022-JP.
    pub iso_2022_jp: Vec<smol_str::SmolStr>,
    /// The time zone of the times in a mail.
    pub time_zone: TimeZone,
    /// How telephone numbers are written.
    pub plan: NumberPlan,
    /// The labels of why callers called, and of the results of after-call work, which digests count.
    pub words: SharedWords,
}

impl LetterSettings {
    /// The settings with which templates are tried: another sender does not make a template fail.
    #[must_use]
    pub fn of_samples(time_zone: TimeZone, plan: NumberPlan) -> Self {
        Self {
            from: MailAddress::example(),
            from_name: Line::new("さくら電話秘書"),
            reply_to: None,
            reply_path: None,
            iso_2022_jp: Vec::new(),
            time_zone,
            plan,
            words: SharedWords::default(),
        }
    }
}

/// The subject, the text and the HTML part of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The subject.
    pub subject: Line,
    /// The text; lines end with `\n`.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// Which templates of the account failed, and why: the built-in ones were used.
    pub failed: Vec<(TemplateName, TemplateError)>,
}

/// The bytes of the mail that a delivery sends to `to`, the same each time, with its `documents` (of a fax, or the message's files), and the `link` under
/// which the recipient confirms the message; and which templates of the account failed.
#[must_use]
pub fn render(
    (settings, templates): (&LetterSettings, &Templates),
    delivery: &ClaimedDelivery,
    to: &MailAddress,
    facts: &LetterFacts,
    (documents, link): (&[(MessageFile, Vec<u8>)], Option<&str>),
) -> (Vec<u8>, Vec<(TemplateName, TemplateError)>) {
    let letter = Letter::write(settings, templates, facts, link);
    let is_named = settings.iso_2022_jp.iter().any(|domain| domain == to.domain());
    let charset = match facts.charset {
        EndpointCharset::Iso2022Jp => Charset::Iso2022Jp,
        EndpointCharset::Auto if is_named => Charset::Iso2022Jp,
        EndpointCharset::Auto | EndpointCharset::Utf8 => Charset::Utf8,
    };
    let (mut subject, mut text, mut from_name) =
        (letter.subject.clone(), letter.text.clone(), settings.from_name.clone());
    if facts.charset == EndpointCharset::Iso2022Jp {
        (subject, text, from_name) = carried(&subject, &text, &from_name);
    }
    text.push_str(files::bare_note(facts));
    let table = digest::table(facts, settings);
    let mut files: Vec<Attachment<'_>> = table
        .iter()
        .map(|(name, bytes)| Attachment { name, media_type: "text/csv; charset=utf-8", bytes })
        .collect();
    let number = facts.message.number.as_deref().map(Line::new);
    let (event, event_name) = (call_back_event(settings, facts, charset), Line::new("callback.ics"));
    files.extend(event.iter().map(|event| Attachment {
        name: &event_name,
        media_type: "text/calendar; method=PUBLISH; charset=utf-8",
        bytes: event.as_bytes(),
    }));
    let names: Vec<Line> = documents.iter().map(|(file, _)| Line::new(&file.name)).collect();
    files.extend(documents.iter().zip(&names).map(|((file, bytes), name)| Attachment {
        name,
        media_type: file.file_type.media_type(),
        bytes,
    }));
    // Nobody answers a digest: its messages are answered.
    let reply_path = settings.reply_path.as_ref().filter(|_| facts.digest.is_none());
    let reply_to = reply_path.map(|path| path.of(delivery.id.0));
    let bytes = Mail {
        delivery: delivery.id.0,
        id: MessageId::new('d', delivery.id.0, &settings.from),
        thread: MessageId::new('m', delivery.message.0, &settings.from),
        from: (&from_name, &settings.from),
        reply_to: reply_to.as_ref().or(settings.reply_to.as_ref()),
        to,
        subject: &subject,
        date: delivery.created_at.to_zoned(settings.time_zone.clone()),
        number: number.as_ref(),
        text: &text,
        html: (facts.html && facts.digest.is_none()).then_some(letter.html.as_str()),
        charset,
        language: facts.language.as_str(),
        attachments: &files,
    }
    .to_bytes();
    (bytes, letter.failed)
}

/// The bytes of the mail that a gateway turns into a fax, the same each time: the subject is the message's number, which comes back
/// in the result. With a `document`, that is the fax, and the mail has no text.
#[must_use]
pub fn render_fax(
    settings: &LetterSettings,
    gateway: &FaxGateway,
    delivery: &ClaimedDelivery,
    to: &MailAddress,
    (facts, letter, document): (&LetterFacts, &ShortLetter, Option<&[u8]>),
) -> Vec<u8> {
    let text = format!("{}\n{}\n\n{}\n", facts.account_name, letter.title, letter.text);
    let (_, text, from_name) = carried(&Line::new(""), &text, &settings.from_name);
    let text = if document.is_some() { "\n".to_owned() } else { in_columns(&text, gateway.columns) };
    let number = facts.message.number.as_deref().unwrap_or_default();
    let (number, name) = (Line::new(number), Line::new(&format!("{number}.pdf")));
    let media_type = "application/pdf";
    let document = document.map(|bytes| Attachment { name: &name, media_type, bytes });
    Mail {
        delivery: delivery.id.0,
        id: MessageId::new('d', delivery.id.0, &settings.from),
        thread: MessageId::new('m', delivery.message.0, &settings.from),
        from: (&from_name, &gateway.from),
        reply_to: None,
        to,
        subject: &number,
        date: delivery.created_at.to_zoned(settings.time_zone.clone()),
        number: Some(&number),
        text: &text,
        html: None,
        charset: Charset::Iso2022Jp,
        language: facts.language.as_str(),
        attachments: document.as_slice(),
    }
    .to_bytes()
}

/// A mail for a system that reads nothing but ISO-2022-JP: what that does not have is replaced, and the mail says so.
fn carried(subject: &Line, text: &str, from_name: &Line) -> (Line, String, Line) {
    let (subject, mut replaced) = substituted(subject.as_str());
    let (mut text, of_text) = substituted(text);
    let (from_name, _) = substituted(from_name.as_str());
    for one in of_text {
        if !replaced.contains(&one) {
            replaced.push(one);
        }
    }
    if let Some(note) = substitution_note(&replaced) {
        text.push_str(&note);
        text.push('\n');
    }
    (Line::cut(&subject, SUBJECT_CHARS_MAX), text, Line::new(&from_name))
}

impl Letter {
    /// The mail of a message, by the account's templates where they work, else by the built-in ones.
    #[must_use]
    pub fn write(
        settings: &LetterSettings,
        templates: &Templates,
        facts: &LetterFacts,
        link: Option<&str>,
    ) -> Self {
        let values = match &facts.digest {
            Some(digest) => DigestValues::of(facts, digest, settings).value(),
            None => Value::from(Serde(Values::of(facts, settings, link))),
        };
        let mut failed = Vec::new();
        let mut render = |name: TemplateName| {
            templates.write((name, facts.language), &facts.templates, &values, &mut failed)
        };
        let (subject, text, html) = if facts.digest.is_some() {
            (render(TemplateName::DigestSubject), render(TemplateName::DigestText), String::new())
        } else {
            (render(TemplateName::Subject), render(TemplateName::Text), render(TemplateName::Html))
        };
        let subject = Line::cut(subject.trim().lines().next().unwrap_or_default(), SUBJECT_CHARS_MAX);
        Self { subject, text, html, failed }
    }
}

/// The values that templates write.
#[derive(Debug, Serialize)]
struct Values {
    account: Named,
    /// The recipient with 様.
    to: String,
    opening: String,
    /// What it is, in brackets, for a title.
    mark: &'static str,
    m: MessageValues,
    /// What there is to say, one thing a row.
    rows: Vec<Row>,
    answers: Vec<AnswerValues>,
    /// Who took the message, and its number.
    received: Option<String>,
    /// Where the recipient confirms the message, if the installation has public pages.
    link: Option<String>,
    /// Whether an answer by mail is read.
    replies: bool,
    /// The caller's number, where `m.caller` is not that.
    number: Option<String>,
    /// How many files the house has that do not go with it.
    kept_files: usize,
    service: Named,
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
}

#[derive(Debug, Serialize)]
struct MessageValues {
    kind: &'static str,
    urgency: &'static str,
    privacy: &'static str,
    revision: u32,
    is_correction: bool,
    number: Option<String>,
    at: String,
    /// Who called: the name with 様, else the number.
    caller: String,
    /// What they want: the subject, else the action.
    what: Option<String>,
    text: String,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    /// The name, as wide as three characters.
    label: String,
    value: String,
    /// The number to dial.
    tel: Option<String>,
    /// Whether it is the number of the caller.
    #[serde(skip)]
    is_number: bool,
}

#[derive(Debug, Serialize)]
struct AnswerValues {
    label: String,
    value: String,
}

impl Values {
    fn of(facts: &LetterFacts, settings: &LetterSettings, link: Option<&str>) -> Self {
        let (message, fields) = (&facts.message, &facts.message.fields);
        let (is_notice, is_corrected) = (fields.privacy == Privacy::Notice, message.revision > 1);
        let language = facts.language;
        let numbered = message.number.as_ref().map(|number| numbered(number, language));
        let received: Vec<String> = message.taken_by_name.clone().into_iter().chain(numbered).collect();
        let shown = |text: String| if is_notice { String::new() } else { text };
        let who = match (name(facts), number_of(facts)) {
            (Some(name), _) => polite_in(name, language),
            (None, Some(number)) => display(number, &settings.plan),
            (None, None) => language.say("番号非通知", "Number withheld").to_owned(),
        };
        let what = what(fields, settings, language);
        let rows = if is_notice { Vec::new() } else { rows(facts, settings) };
        let number = rows.iter().find(|row| row.is_number).map(|row| row.value.clone());
        let answers = fields.answers.iter().filter(|answer| !answer.sensitive && !is_notice);
        Self {
            account: Named { name: facts.account_name.clone() },
            to: recipient(facts),
            opening: opening(facts, is_notice, is_corrected).to_owned(),
            mark: short::mark(message.kind, fields.urgency, is_corrected, language),
            m: MessageValues {
                kind: message.kind.as_str(),
                urgency: fields.urgency.as_str(),
                privacy: if is_notice { "notice" } else { "full" },
                revision: message.revision,
                is_correction: is_corrected,
                number: message.number.clone(),
                at: when_in(message.created_at, &settings.time_zone, language),
                caller: shown(who.clone()),
                what: what.filter(|_| !is_notice),
                text: shown(fields.text.clone()),
            },
            number: number.filter(|one| *one != who),
            kept_files: 0,
            rows,
            answers: answers
                .map(|answer| AnswerValues { label: answer.label.clone(), value: answer.value.clone() })
                .collect(),
            received: (!received.is_empty()).then(|| received.join(language.say("／", ", "))),
            link: link.map(str::to_owned),
            replies: settings.reply_path.is_some(),
            service: Named { name: settings.from_name.as_str().to_owned() },
        }
    }
}

/// What a mail begins with.
fn opening(facts: &LetterFacts, is_notice: bool, is_corrected: bool) -> &'static str {
    let (ja, en) = match (facts.message.kind, is_notice, is_corrected) {
        (MessageKind::Test, ..) => (
            "これは送付先の確認のための試験メールです。ご対応は要りません。",
            "This is a test mail, which shows that this address works. You need not do anything.",
        ),
        (MessageKind::Fax, false, false) if has_document(facts) => (
            "FAXを受信いたしましたので、添付のPDFでお届けいたします。",
            "A fax came for you; it is attached as a PDF.",
        ),
        (MessageKind::Fax, false, false) => (
            "FAXを受信いたしました。PDFを添付できませんので、お電話でお尋ねください。",
            "A fax came for you. It cannot be attached: please ask us by telephone.",
        ),
        (MessageKind::Voice, false, false) if has_files(facts) => (
            "音声メッセージをお預かりいたしましたので、添付の音声でお届けいたします。",
            "A caller left a spoken message for you; the recording is attached.",
        ),
        (MessageKind::Voice, false, false) => (
            "音声メッセージをお預かりいたしました。音声を添付できませんので、お電話でお尋ねください。",
            "A caller left a spoken message for you. It cannot be attached: please ask us by telephone.",
        ),
        (MessageKind::Callback, false, false) => {
            ("折り返しのお電話のご依頼がございました。", "A caller asks you to call back.")
        }
        (MessageKind::Report, false, false) => {
            ("お電話がございましたので、ご報告いたします。", "There was a call for you.")
        }
        (_, false, false) => {
            ("お電話がございましたので、ご報告いたします。", "There was a call for you, with a message.")
        }
        (_, false, true) => (
            "先にお送りした伝言を訂正いたします。お手数ですが、先のものは破棄してください。",
            "This corrects a message that we sent before. Please discard the earlier one.",
        ),
        (_, true, false) => (
            "伝言を一件お預かりしております。内容はお電話でお尋ねください。",
            "There is a message for you. Please ask us for it by telephone.",
        ),
        (_, true, true) => (
            "先にお知らせした伝言に訂正がございます。内容はお電話でお尋ねください。",
            "A message of which we told you has been corrected. Please ask us for it by telephone.",
        ),
    };
    facts.language.say(ja, en)
}

/// Whom a mail addresses.
fn recipient(facts: &LetterFacts) -> String {
    let of_account = || facts.language.say("ご担当者様", "To whom it may concern").to_owned();
    facts.recipient_name.as_deref().map_or_else(of_account, |name| polite_in(name, facts.language))
}

fn numbered(number: &str, language: Language) -> String {
    format!("{} {number}", language.say("受付番号", "No."))
}

/// What the caller wants: the subject, else the action. In English not the subject that was made of Japanese words.
fn what(fields: &MessageFields, settings: &LetterSettings, language: Language) -> Option<String> {
    let (label, written) = subject_parts(fields, settings);
    match language {
        Language::Ja => fields.subject.as_deref().or_else(|| fields.action.label()).map(str::to_owned),
        Language::En => {
            written.or(label.as_deref()).or_else(|| fields.action.label_in_english()).map(str::to_owned)
        }
    }
}

/// Who left the message, and what they want.
fn rows(facts: &LetterFacts, settings: &LetterSettings) -> Vec<Row> {
    let (message, fields) = (&facts.message, &facts.message.fields);
    if message.kind == MessageKind::Test {
        let at = when_in(message.created_at, &settings.time_zone, facts.language);
        return vec![row(facts.language.say("日時", "Received"), at)];
    }
    let language = facts.language;
    let say = |ja: &'static str, en: &'static str| language.say(ja, en);
    let at = |at| when_in(at, &settings.time_zone, language);
    let mut rows = vec![row(say("日時", "Received"), at(message.created_at))];
    // A machine took it, and it does not say from whom and to whom.
    let is_by_machine = matches!(message.kind, MessageKind::Fax | MessageKind::Voice | MessageKind::Callback);
    if !is_by_machine {
        rows.push(row(say("お名前", "Name"), sender(facts)));
    }
    let company: Vec<&str> =
        [&fields.from.company, &fields.from.department].into_iter().flatten().map(String::as_str).collect();
    if !company.is_empty() {
        rows.push(row(say("会社名", "Company"), company.join(say("　", ", "))));
    }
    rows.push(match number_of(facts) {
        Some(number) => {
            let shown = display(number, &settings.plan);
            Row {
                tel: dialled(number, &settings.plan),
                is_number: true,
                ..row(say("お電話", "Telephone"), shown)
            }
        }
        None => row(say("お電話", "Telephone"), say("通知なし", "not shown").into()),
    });
    let asked_for = facts.contact_name.as_deref().or(fields.for_text.as_deref());
    if !is_by_machine || asked_for.is_some() {
        let nobody = || say("ご指名なし", "nobody in particular").to_owned();
        rows.push(row(say("宛先", "For"), asked_for.map_or_else(nobody, |name| polite_in(name, language))));
    }
    rows.extend(reason(fields, settings).map(|reason| row(say("ご用件", "Subject"), reason)));
    let call_back = fields.call_back.clone().unwrap_or_default();
    let time = hours(&call_back, language, at);
    let action = match language {
        Language::Ja => fields.action.label(),
        Language::En => fields.action.label_in_english(),
    };
    if let Some(action) = action {
        let time =
            time.map(|time| format!("{}{time}{}", say("（", " ("), say("）", ")"))).unwrap_or_default();
        rows.push(row(say("ご希望", "Wish"), format!("{action}{time}")));
    } else if let Some(time) = time {
        rows.push(row(say("折返し", "Call back"), time));
    }
    let tel = call_back.number.as_deref().and_then(|number| dialled(number, &settings.plan));
    let number = call_back.number.map(|number| display(&number, &settings.plan));
    let to: Vec<String> = number.into_iter().chain(call_back.text).collect();
    if !to.is_empty() {
        rows.push(Row { tel, ..row(say("折返先", "Call back to"), to.join(say("　", ", "))) });
    }
    rows.extend(fields.follow_up.as_ref().filter(|one| one.by == FollowUpBy::Contact).map(|one| {
        row(say("再連絡", "Follow-up"), format!("{}{}{}", at(one.at), say("　", ": "), one.text))
    }));
    match fields.urgency {
        Urgency::Urgent => rows.push(row(say("緊急度", "Urgency"), say("至急", "urgent").into())),
        Urgency::Normal => {}
        Urgency::Low => rows.push(row(say("緊急度", "Urgency"), say("低", "low").into())),
    }
    rows
}

fn row(name: &'static str, value: String) -> Row {
    let width = 3_usize.saturating_sub(name.chars().count());
    Row { name, label: format!("{name}{}", "　".repeat(width)), value, tel: None, is_number: false }
}

/// The name by which the caller is known, in kana if the caller said it.
fn name(facts: &LetterFacts) -> Option<&str> {
    let from = &facts.message.fields.from;
    [&from.name, &from.name_kanji, &facts.customer_name].into_iter().flatten().map(String::as_str).next()
}

/// The number that the caller gave, else the one that the call showed.
fn number_of(facts: &LetterFacts) -> Option<&str> {
    facts.message.fields.from.number.as_deref().or(facts.message.caller.as_deref())
}

/// The name with what is known besides: in kana and in kanji, and the gender.
fn sender(facts: &LetterFacts) -> String {
    let from = &facts.message.fields.from;
    let Some(name) = name(facts) else {
        return facts.language.say("本文をご覧ください", "see the message").to_owned();
    };
    let kanji = from.name_kanji.as_deref().filter(|kanji| *kanji != name);
    let gender = from.gender.map(|gender| match gender {
        Gender::M => facts.language.say("男性", "male"),
        Gender::F => facts.language.say("女性", "female"),
    });
    let besides: Vec<&str> = kanji.into_iter().chain(gender).collect();
    let polite = polite_in(name, facts.language);
    match facts.language {
        _ if besides.is_empty() => polite,
        Language::Ja => format!("{polite}（{}）", besides.join("・")),
        Language::En => format!("{polite} ({})", besides.join(", ")),
    }
}

/// What the call was about: the label of its reason, and what the operator wrote as the subject.
fn reason(fields: &MessageFields, settings: &LetterSettings) -> Option<String> {
    let (label, written) = subject_parts(fields, settings);
    let parts: Vec<&str> = label.as_deref().into_iter().chain(written).collect();
    (!parts.is_empty()).then(|| parts.join("　"))
}

/// The label of the reason, and the subject if a person wrote it.
fn subject_parts<'a>(
    fields: &'a MessageFields,
    settings: &LetterSettings,
) -> (Option<String>, Option<&'a str>) {
    let words = settings.words.current();
    let label = fields.reason.as_deref().and_then(|code| words.label(WordKind::MessageReason, code));
    let made: Vec<&str> = label.into_iter().chain(fields.action.label()).collect();
    let written = fields.subject.as_deref().filter(|subject| *subject != made.join("・"));
    (label.map(str::to_owned), written)
}

/// When to call back.
fn hours(call_back: &CallBack, language: Language, at: impl Fn(Timestamp) -> String) -> Option<String> {
    match (call_back.from, call_back.until) {
        (None, None) => None,
        (Some(from), None) if language == Language::En => Some(format!("from {}", at(from))),
        (None, Some(until)) if language == Language::En => Some(format!("until {}", at(until))),
        (Some(from), Some(until)) if language == Language::En => {
            Some(format!("{} to {}", at(from), at(until)))
        }
        (Some(from), None) => Some(format!("{}から", at(from))),
        (None, Some(until)) => Some(format!("{}まで", at(until))),
        (Some(from), Some(until)) => Some(format!("{}から{}まで", at(from), at(until))),
    }
}

/// The name with 様, once.
fn polite(name: &str) -> String {
    if name.ends_with('様') || name.ends_with("御中") { name.to_owned() } else { format!("{name}様") }
}

fn polite_in(name: &str, language: Language) -> String {
    match language {
        Language::Ja => polite(name),
        Language::En => name.to_owned(),
    }
}

/// The number as a telephone dials it.
fn dialled(number: &str, plan: &NumberPlan) -> Option<String> {
    Number::read(number, plan)?;
    let digits: String = number.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    (!digits.is_empty()).then_some(digits)
}

fn display(number: &str, plan: &NumberPlan) -> String {
    Number::read(number, plan).map_or_else(|| number.to_owned(), |number| number.display())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use uuid::Uuid;

    use super::files::DOCUMENT_BYTES_MAX;
    use super::*;
    use crate::contract::delivery::MessageDelivery;
    use crate::contract::message::{Message, MessageState};
    use crate::contract::records::EndpointKind;
    use crate::contract::words::{Word, WordList};
    use crate::ids::RecordId;

    fn words_of_samples() -> SharedWords {
        let words = SharedWords::default();
        let reason = Word::of(&"nouki:納期".parse().unwrap());
        words.replace(vec![WordList { kind: WordKind::MessageReason, version: 1, words: vec![reason] }]);
        words
    }

    fn settings() -> LetterSettings {
        LetterSettings {
            from: "report@example.jp".parse().unwrap(),
            from_name: Line::new("さくら電話秘書"),
            reply_to: None,
            reply_path: None,
            iso_2022_jp: vec!["docomo.ne.jp".into()],
            time_zone: TimeZone::get("Asia/Tokyo").unwrap(),
            plan: NumberPlan::default(),
            words: words_of_samples(),
        }
    }

    fn written(facts: &LetterFacts) -> Letter {
        let letter = Letter::write(&settings(), &Templates::default(), facts, None);
        assert_eq!(letter.failed, []);
        letter
    }

    fn text(facts: &LetterFacts, _: &LetterSettings) -> String {
        written(facts).text
    }

    fn subject(facts: &LetterFacts, _: &NumberPlan) -> Line {
        written(facts).subject
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
                files: Vec::new(),
                delivery: MessageDelivery::default(),
            },
            account_name: "さくら商事".into(),
            contact_name: Some("佐々木".into()),
            customer_name: None,
            recipient_name: Some("佐々木様".into()),
            document_bytes: None,
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

    fn claimed() -> ClaimedDelivery {
        ClaimedDelivery {
            id: RecordId(Uuid::from_u128(9)),
            message: RecordId(Uuid::from_u128(1)),
            account: RecordId(Uuid::from_u128(2)),
            channel: EndpointKind::Mail,
            profile: None,
            address: String::new(),
            attempts: 1,
            maybe_sent: false,
            created_at: Timestamp::from_second(1_796_000_000).unwrap(),
            rendered: None,
            suspended: None,
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
        let document = b"%PDF-1.4";
        facts.document_bytes = Some(document.len() as u64);
        assert_eq!(
            text(&facts, &settings()),
            "さくら商事\n佐々木様\n\nFAXを受信いたしましたので、添付のPDFでお届けいたします。\n\n日時　　11月30日(月) 09:53\n\
             お電話　03-1234-5678\n\n内容\nFAX 2枚（03-1234-5678）\n\n受付　受付番号 261130-0007\nさくら電話秘書\n"
        );
        let subject = subject(&facts, &NumberPlan::default());
        assert_eq!(subject.as_str(), "【FAX】03-1234-5678｜さくら商事");
        let to = "sasaki@example.jp".parse().unwrap();
        let of_all = (&settings(), &Templates::default());
        let (mail, _) =
            render(of_all, &claimed(), &to, &facts, (&[fax_file(&facts, document.to_vec())][..], None));
        let mail = String::from_utf8(mail).unwrap();
        assert!(mail.contains("Content-Type: application/pdf; name=\"FAX-261130-0007.pdf\""), "{mail}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(document);
        assert!(has_document(&facts) && mail.contains(&encoded), "{mail}");
        // One that no server takes stays in the house, and the mail says so; of a message for the house alone nothing goes.
        for (bytes, privacy) in
            [(Some(DOCUMENT_BYTES_MAX + 1), Privacy::Full), (None, Privacy::Full), (Some(8), Privacy::Notice)]
        {
            (facts.document_bytes, facts.message.fields.privacy) = (bytes, privacy);
            assert!(!has_document(&facts) && text(&facts, &settings()).contains("お電話でお尋ねください"));
        }
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
            let (mail, failed) = render(
                (&settings(), &Templates::default()),
                &delivery,
                &to,
                &facts,
                (&[][..], Some("https://m.example.jp/a/x")),
            );
            assert_eq!(failed, []);
            let mail = String::from_utf8(mail).unwrap();
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
                ][..if address.ends_with("docomo.ne.jp") { 13 } else { 12 }]
            );
            let is_jis = address.ends_with("docomo.ne.jp");
            assert_eq!(head.contains("charset=ISO-2022-JP"), is_jis, "{head}");
            if !is_jis {
                let part = body.split("\r\n\r\n").nth(1).unwrap().split("\r\n--").next().unwrap();
                let joined: Vec<u8> = part.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
                let text = base64::engine::general_purpose::STANDARD.decode(joined).unwrap();
                assert!(String::from_utf8(text).unwrap().contains("お電話がございました"));
            }
        }
    }

    #[test]
    fn every_sample_is_written_by_every_built_in_template() {
        for facts in samples::samples() {
            let letter = written(&facts);
            for text in [letter.subject.as_str(), &letter.text, &letter.html] {
                assert!(!text.trim().is_empty() && !text.contains("{{") && !text.contains("none"), "{text}");
            }
            assert!(letter.html.len() <= 20 * 1024 && letter.html.contains("さくら商事"), "{}", letter.html);
            let is_notice = facts.message.fields.privacy == Privacy::Notice;
            assert!(!letter.html.contains("内密"));
            assert_eq!(letter.text.contains("\n内容\n"), !is_notice);
        }
        for name in TemplateName::ALL {
            for language in Language::ALL {
                check_template(&settings(), (name, language), name.built_in(language)).unwrap();
            }
        }
    }

    #[test]
    fn a_mail_that_was_too_large_goes_without_its_files_and_says_so() {
        let mut facts = facts(Some("+81355501001"));
        assert!(without_files(facts.clone()).is_none(), "it has none");
        let document = b"%PDF-1.4".to_vec();
        facts.message.kind = MessageKind::Fax;
        facts.document_bytes = Some(document.len() as u64);
        let bare = without_files(facts.clone()).unwrap();
        let to: MailAddress = "desk@sakura.example.jp".parse().unwrap();
        let of_all = (&settings(), &Templates::default());
        let (mail, _) = render(of_all, &claimed(), &to, &bare, (&[], None));
        let mail = String::from_utf8(mail).unwrap();
        assert!(!mail.contains("multipart") && !mail.contains("application/pdf"), "{mail}");
        let read = mail_parser::MessageParser::default().parse(mail.as_bytes()).unwrap();
        let text = read.body_text(0).unwrap();
        assert!(
            text.contains("PDFを添付できません") && text.contains("※先方のメールサーバーの容量制限"),
            "{text}"
        );
        // A call-back for the calendar is a file, too; without it there is nothing to leave out.
        facts.document_bytes = None;
        let at = facts.message.created_at;
        facts.message.fields.call_back =
            Some(CallBack { number: None, from: None, until: Some(at), text: None });
        let bare = without_files(facts).unwrap();
        assert!(call_back_event(&settings(), &bare, Charset::Utf8).is_none());
    }

    #[test]
    fn an_english_account_reads_english() {
        let mut facts = facts(Some("+81355501001"));
        facts.language = Language::En;
        facts.recipient_name = Some("John Smith".into());
        facts.account_name = "Acme".into();
        facts.contact_name = None;
        facts.message.number = Some("261130-0007".into());
        facts.message.fields = fields(serde_json::json!({
            "text": "Order 1234", "from": {"name": "Mary Jones", "gender": "f", "company": "Sample Ltd"},
            "action": "call_back", "subject": "折り返し希望", "urgency": "urgent",
            "call_back": {"until": "2026-11-30T17:00:00+09:00"},
        }));
        let letter = written(&facts);
        assert_eq!(letter.subject.as_str(), "[Urgent] Mary Jones: please call back | Acme");
        assert_eq!(
            letter.text,
            "Acme\nJohn Smith\n\nThere was a call for you, with a message.\n\n\
             Received: Mon 30 Nov 09:53\nName: Mary Jones (female)\nCompany: Sample Ltd\nTelephone: 03-5550-1001\n\
             For: nobody in particular\nWish: please call back (until Mon 30 Nov 17:00)\nUrgency: urgent\n\n\
             Message\nOrder 1234\n\n佐藤, No. 261130-0007\nさくら電話秘書\n"
        );
        assert!(
            letter.html.contains("<html lang=\"en\">") && letter.html.contains(">Telephone<"),
            "{}",
            letter.html
        );
        let short = ShortLetter::write(&settings(), &facts, TemplateName::ChatText);
        assert_eq!(short.title, "[Urgent] Mary Jones please call back | Acme");
        assert!(short.text.contains("\nTelephone: 03-5550-1001\n"), "{}", short.text);
        let (sms, _) = ShortLetter::sms(&settings(), &facts, None);
        assert_eq!(sms, "[Urgent] For Acme: Mary Jones please call back 03-5550-1001");
        let digest = LetterFacts { language: Language::En, ..samples::samples_of_digests()[0].clone() };
        let letter = written(&digest);
        assert_eq!(letter.subject.as_str(), "[Digest] until Mon 30 Nov 17:53: 3 messages | さくら商事");
        for words in
            ["Calls: 3 (2 answered, 1 abandoned)\n", "   [Urgent] For 佐々木 ", "\n   No. 261130-0007\n"]
        {
            assert!(letter.text.contains(words), "{}", letter.text);
        }
        let (mail, _) = render(
            (&settings(), &Templates::default()),
            &claimed(),
            &"a@example.jp".parse().unwrap(),
            &facts,
            (&[][..], None),
        );
        let mail = String::from_utf8(mail).unwrap();
        assert!(mail.contains("\r\nContent-Language: en\r\n"), "{mail}");
        // The call-back is an event for the calendar, of which a message for the house alone says nothing more.
        let event = |facts: &LetterFacts, charset| call_back_event(&settings(), facts, charset);
        let text = event(&facts, Charset::Utf8).unwrap();
        assert!(text.contains("\r\nSUMMARY:Call back Mary Jones 03-5550-1001\r\n"), "{text}");
        assert!(text.contains("DTSTART:20261130T073000Z\r\nDTEND:20261130T080000Z"), "{text}");
        assert!(mail.contains("Content-Type: text/calendar; method=PUBLISH; charset=utf-8"), "{mail}");
        assert_eq!(event(&facts, Charset::Iso2022Jp), None);
        facts.message.fields.privacy = Privacy::Notice;
        assert!(event(&facts, Charset::Utf8).unwrap().contains("\r\nSUMMARY:Please call back\r\n"));
    }

    #[test]
    fn what_a_caller_says_is_no_markup() {
        let mut facts = facts(Some("+81355501001"));
        facts.message.fields.text = "<script>alert(1)</script>\n<b>太字</b>".into();
        facts.message.fields.from.name = Some("<img src=x onerror=alert(1)>".into());
        facts.account_name = "\"><a href=x>".into();
        let html = written(&facts).html;
        for markup in ["<script", "<b>", "<img", "<a href=x"] {
            assert!(!html.contains(markup), "{html}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;"), "{html}");
        assert!(html.contains("<a href=\"tel:+81355501001\">03-5550-1001</a>"), "{html}");
    }

    #[test]
    fn a_template_of_the_account_is_used_where_it_works() {
        let mut facts = facts(None);
        facts.templates = vec![
            ("subject".into(), "{{ account.name }}への伝言".into()),
            ("text".into(), "{{ nobody }}".into()),
        ];
        let letter = Letter::write(&settings(), &Templates::default(), &facts, None);
        assert_eq!(letter.subject.as_str(), "さくら商事への伝言");
        assert!(letter.text.starts_with("さくら商事\n佐々木様\n"), "the built-in one: {}", letter.text);
        assert_eq!(letter.failed.len(), 1);
        assert!(letter.failed[0].1.to_string().starts_with("line 1: undefined value"), "{:?}", letter.failed);
        let refused =
            check_template(&settings(), (TemplateName::Text, Language::Ja), "{{ m.text }}\n{{ m.secret }}");
        assert!(refused.unwrap_err().to_string().starts_with("line 2: undefined value"));
        // A message for the house alone has no text, so a template of nothing else writes nothing.
        let empty =
            check_template(&settings(), (TemplateName::Text, Language::Ja), "{{ m.text }}").unwrap_err();
        assert_eq!(empty.problem, "it writes nothing");
        assert!(
            check_template(&settings(), (TemplateName::Text, Language::Ja), "{{ opening }}\n{{ m.text }}")
                .is_ok()
        );
    }

    #[test]
    fn a_system_that_reads_iso_2022_jp_alone_gets_it_and_is_told_what_was_replaced() {
        let mut facts = facts(None);
        facts.message.fields.from.name_kanji = Some("髙橋".into());
        facts.message.fields.text = "㈱さくら 👍".into();
        facts.charset = EndpointCharset::Iso2022Jp;
        let delivery = claimed();
        let to: MailAddress = "fax@example.jp".parse().unwrap();
        let (mail, _) = render(
            (&settings(), &Templates::default()),
            &delivery,
            &to,
            &facts,
            (&[][..], Some("https://m.example.jp/a/x")),
        );
        let (mail, _, is_wrong) = encoding_rs::ISO_2022_JP.decode(&mail);
        assert!(!is_wrong && mail.contains("charset=ISO-2022-JP"), "{mail}");
        assert!(mail.contains("高橋様") && mail.contains("(株)さくら 〓"), "{mail}");
        assert!(mail.contains("※表示できない文字を置き換えました：高、(株)、〓(U+1F44D)"), "{mail}");
    }
}
