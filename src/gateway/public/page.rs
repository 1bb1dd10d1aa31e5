//! The HTML of the public pages, in Japanese and English: complete without a script, at most 15 KiB, readable on a phone of 320 pixels
//! and in a text browser.
//!
//! Invariant: every text of a message or a request passes through [`escape`].

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::PublicApp;
use crate::contract::answer::{ANSWER_NAME_CHARS_MAX, ANSWER_NOTE_CHARS_MAX, AnswerKind};
use crate::contract::message::Privacy;
use crate::numbers::Number;
use crate::store::answers::LinkedMessage;

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Ja,
    En,
}

impl Language {
    /// The one that was asked for; else English for a browser that prefers it, else Japanese.
    pub(super) fn of(asked: Option<&str>, headers: &HeaderMap) -> Self {
        let preferred = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        match asked {
            Some("en") => Self::En,
            Some(_) => Self::Ja,
            None if preferred
                .is_some_and(|text| text.trim_start().to_ascii_lowercase().starts_with("en")) =>
            {
                Self::En
            }
            None => Self::Ja,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }

    fn say(self, ja: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }
}

/// What was wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// No name.
    Who,
    /// Too soon, too late, or not from this page.
    Again,
    /// The note is too long.
    LongNote,
    /// Other digits than those of the contact's number.
    Digits,
    /// The message was corrected meanwhile.
    Changed,
    /// There are too many answers.
    TooMany,
}

/// What a page shows.
pub(super) struct Shown<'a> {
    pub(super) linked: &'a LinkedMessage,
    pub(super) app: &'a PublicApp,
    pub(super) language: Language,
    /// Whether who reads it knows the last digits of the contact's number.
    pub(super) is_revealed: bool,
    pub(super) notice: Option<Notice>,
    pub(super) nonce: &'a str,
}

/// The page of a message.
pub(super) fn message(shown: &Shown<'_>) -> Response {
    let language = shown.language;
    let mut body = String::new();
    let title = language.say("伝言のご確認", "Message");
    let _ = write!(body, "<h1>{title}</h1>");
    if let Some(notice) = shown.notice {
        let _ = write!(body, "<p class=\"notice\" role=\"alert\">{}</p>", notice_text(notice, language));
    }
    push_answers(&mut body, shown);
    push_message(&mut body, shown);
    push_form(&mut body, shown);
    let (code, name) = match language {
        Language::Ja => ("en", "English"),
        Language::En => ("ja", "日本語"),
    };
    let _ = write!(
        body,
        "<footer>{}　<a href=\"?lang={code}\" lang=\"{code}\">{}</a></footer>",
        escape(&shown.app.service_name),
        name,
    );
    document(StatusCode::OK, language, title, &body)
}

fn notice_text(notice: Notice, language: Language) -> &'static str {
    match notice {
        Notice::Who => language.say(
            "どなたが確認されたか、お選びください。ほかの方の場合は、お名前をご記入ください。",
            "Please choose who confirms. If it is another person, write the name.",
        ),
        Notice::Again => language
            .say("お手数ですが、もう一度ボタンを押してください。", "Please press the button once more."),
        Notice::LongNote => language
            .say("ひとことは200文字以内でご記入ください。", "Please write a note of at most 200 characters."),
        Notice::Digits => language.say(
            "下4桁が違います。お手数ですが、もう一度ご記入いただくか、お電話でお尋ねください。",
            "These are other digits. Please write them again, or ask us by telephone.",
        ),
        Notice::Changed => language.say(
            "伝言が訂正されました。新しい内容をご確認ください。",
            "The message was corrected. Please read it again.",
        ),
        Notice::TooMany => {
            language.say("これ以上はご回答いただけません。", "No more answers are possible for this message.")
        }
    }
}

fn push_answers(body: &mut String, shown: &Shown<'_>) {
    let language = shown.language;
    for answer in &shown.linked.answers {
        let what = match answer.kind {
            AnswerKind::Seen => language.say("確認しました", "confirmed it"),
            AnswerKind::Done => language.say("折り返しました", "has called back"),
            AnswerKind::CallMe => language.say("電話をお待ちです", "asks to be called"),
            AnswerKind::NotMine => language.say("「私宛ではありません」", "says: not for me"),
            AnswerKind::Note => language.say("連絡しました", "wrote to us"),
        };
        let (name, at) = (escape(&answer.by_name), when(answer.at, shown));
        let _ = match language {
            Language::Ja => {
                write!(body, "<p class=\"notice\" role=\"status\">{name}さんが {at} に{what}</p>")
            }
            Language::En => write!(body, "<p class=\"notice\" role=\"status\">{name} {what} ({at})</p>"),
        };
    }
}

fn push_message(body: &mut String, shown: &Shown<'_>) {
    let (language, facts) = (shown.language, &shown.linked.facts);
    let (message, fields) = (&facts.message, &facts.message.fields);
    body.push_str("<dl>");
    let mut row = |label: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(body, "<dt>{label}</dt><dd>{}</dd>", escape(value));
        }
    };
    row(language.say("会社", "Company"), &facts.account_name);
    row(language.say("受付", "Taken"), &when(message.created_at, shown));
    row(language.say("受付番号", "Number"), message.number.as_deref().unwrap_or_default());
    let is_notice = fields.privacy == Privacy::Notice && !shown.is_revealed;
    if !is_notice {
        let from = &fields.from;
        let name = [&from.name, &from.name_kanji, &facts.customer_name].into_iter().flatten().next();
        row(language.say("お名前", "From"), name.map(String::as_str).unwrap_or_default());
        row(language.say("会社名", "Company of caller"), from.company.as_deref().unwrap_or_default());
        let number = from.number.as_deref().or(message.caller.as_deref());
        let number = number.map(|text| {
            Number::read(text, &shown.app.plan).map_or_else(|| text.to_owned(), |number| number.display())
        });
        row(language.say("お電話", "Telephone"), number.as_deref().unwrap_or_default());
        row(language.say("ご希望", "Wish"), fields.action.label().unwrap_or_default());
    }
    body.push_str("</dl>");
    if is_notice {
        let text = match shown.linked.digits {
            Some(_) => language.say(
                "伝言を一件お預かりしております。内容をご覧になるには、ご自身のお電話番号の下4桁もご記入ください。お電話でもお尋ねいただけます。",
                "We hold a message for you. To read it, also write the last four digits of your telephone number, or ask us by telephone.",
            ),
            None => language.say(
                "伝言を一件お預かりしております。内容はお電話でお尋ねください。",
                "We hold a message for you. Please ask for it by telephone.",
            ),
        };
        let _ = write!(body, "<p class=\"text\">{text}</p>");
    } else {
        let _ = write!(body, "<p class=\"text\">{}</p>", escape(&fields.text));
    }
}

fn push_form(body: &mut String, shown: &Shown<'_>) {
    let language = shown.language;
    let _ = write!(
        body,
        "<form method=\"post\" accept-charset=\"utf-8\"><input type=\"hidden\" name=\"nonce\" value=\"{}\">\
         <fieldset><legend>{}</legend>",
        escape(shown.nonce),
        language.say("どなたが確認しましたか", "Who confirms?"),
    );
    if let Some(name) = &shown.linked.facts.recipient_name {
        let _ = write!(
            body,
            "<label><input type=\"radio\" name=\"who\" value=\"contact\"> {}{}</label>",
            escape(name),
            language.say("さん", ""),
        );
    }
    let _ = write!(
        body,
        "<label><input type=\"radio\" name=\"who\" value=\"other\"> {}</label>\
         <label>{} <input type=\"text\" name=\"name\" maxlength=\"{ANSWER_NAME_CHARS_MAX}\" autocomplete=\"name\"></label></fieldset>\
         <label>{} <input type=\"text\" name=\"note\" maxlength=\"{ANSWER_NOTE_CHARS_MAX}\" autocomplete=\"off\"></label>",
        language.say("ほかの方", "Another person"),
        language.say("ほかの方のお名前", "Name of the other person"),
        language.say("ひとこと(なくても結構です)", "A note, if you like"),
    );
    if shown.linked.facts.message.fields.privacy == Privacy::Notice && shown.linked.digits.is_some() {
        let label = language.say(
            "お電話番号の下4桁(内容をご覧になる場合)",
            "The last four digits of your number, to read it",
        );
        let _ = write!(
            body,
            "<label>{label} <input type=\"text\" name=\"digits\" inputmode=\"numeric\" maxlength=\"4\" autocomplete=\"off\"></label>"
        );
    }
    let buttons = [
        (AnswerKind::Seen, language.say("確認しました", "I have read it")),
        (AnswerKind::Done, language.say("折り返しました", "I have called back")),
        (AnswerKind::CallMe, language.say("電話をください", "Please call me")),
        (AnswerKind::NotMine, language.say("私宛ではありません", "It is not for me")),
    ];
    for (index, (kind, label)) in buttons.into_iter().enumerate() {
        let class = if index == 0 { " class=\"first\"" } else { "" };
        let value = kind.as_str();
        let _ = write!(body, "<button{class} name=\"answer\" value=\"{value}\">{label}</button>");
    }
    body.push_str("</form>");
}

/// The one page for links that are unknown, over, or whose message is gone.
pub(super) fn gone(language: Language) -> Response {
    let title = language.say("ページが見つかりません", "There is no such page");
    let text = language.say(
        "このリンクは期限が切れたか、正しくありません。お手数ですが、お電話でお問い合わせください。",
        "This link has ended or is not right. Please ask us by telephone.",
    );
    document(StatusCode::NOT_FOUND, language, title, &format!("<h1>{title}</h1><p>{text}</p>"))
}

/// Too many requests.
pub(super) fn busy(language: Language, wait: Duration) -> Response {
    let title = language.say("少しお待ちください", "Please wait a little");
    let text = language.say(
        "短い時間に何度も開かれました。一分ほど待ってから、もう一度お試しください。",
        "The page was opened too often. Please try again in a minute.",
    );
    let mut response =
        document(StatusCode::TOO_MANY_REQUESTS, language, title, &format!("<h1>{title}</h1><p>{text}</p>"));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}

/// The store does not answer.
pub(super) fn unavailable(language: Language) -> Response {
    let title = language.say("ただいまご利用になれません", "Not available at the moment");
    let text = language
        .say("お手数ですが、少し待ってからもう一度お試しください。", "Please try again in a little while.");
    document(StatusCode::SERVICE_UNAVAILABLE, language, title, &format!("<h1>{title}</h1><p>{text}</p>"))
}

fn document(status: StatusCode, language: Language, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/public.css\"></head><body><main>{body}</main></body></html>\n",
        language.code(),
    );
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

fn when(at: Timestamp, shown: &Shown<'_>) -> String {
    at.to_zoned(shown.app.time_zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// `text` as text of HTML, in an attribute as well.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A direction change would reorder what is around it.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_of_a_caller_is_text() {
        assert_eq!(
            escape("<script>\"a'&\u{202e}b</script>"),
            "&lt;script&gt;&quot;a&#39;&amp;b&lt;/script&gt;"
        );
    }

    #[test]
    fn a_browser_gets_its_language() {
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(text));
            headers
        };
        for (asked, headers, expected) in [
            (None, HeaderMap::new(), Language::Ja),
            (None, with("en-US,en;q=0.9,ja;q=0.8"), Language::En),
            (None, with("ja,en;q=0.8"), Language::Ja),
            (Some("en"), with("ja"), Language::En),
            (Some("ja"), with("en"), Language::Ja),
        ] {
            assert_eq!(Language::of(asked, &headers), expected);
        }
    }
}
