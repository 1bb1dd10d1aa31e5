//! What each service gets of a message.
//!
//! | service | the message is | so that nothing in it is markup |
//! |---|---|---|
//! | Slack | blocks | `&`, `<`, `>` are entities: no link and no mention; `*` and `_` may still set a word in bold or italics |
//! | Teams | an adaptive card | Markdown is escaped with backslashes |
//! | Chatwork | an info box | `[` and `]` become full-width |
//! | LINE WORKS | title, text, button | has none |
//! | LINE WORKS Bot | a text with a button, or a longer text with the link | `<` and `>` become full-width: no mention |
//! | Google Chat | a card | `&`, `<`, `>` are entities in the card; in the line above it `<` and `>` become full-width |
//!
//! Invariant: pure. A text is at most [`TEXT_CHARS_MAX`] characters, and within the service's own limit; what is cut off is announced.
//! No word of the message is in a URL.

use serde_json::{Value, json};
use url::form_urlencoded;

use crate::contract::records::EndpointKind;
use crate::messages::letter::ShortLetter;

/// Longest text.
pub(super) const TEXT_CHARS_MAX: usize = 3_000;
/// Longest text of a block of Slack, in characters after escaping.
const SLACK_BLOCK_CHARS_MAX: usize = 3_000;
/// Longest header of Slack.
const SLACK_HEADER_CHARS_MAX: usize = 150;
/// Longest card of Teams: it takes 28 KB after an expansion of its own.
const TEAMS_BYTES_MAX: usize = 16 * 1024;
/// Longest text above a button of a bot of LINE WORKS, in UTF-16 units.
const BOT_BUTTON_UNITS_MAX: usize = 1_000;
/// Longest text of a bot of LINE WORKS, in UTF-16 units.
const BOT_TEXT_UNITS_MAX: usize = 2_000;
/// Longest title elsewhere.
const TITLE_CHARS_MAX: usize = 100;

/// What goes to a chat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note<'a> {
    pub(super) letter: &'a ShortLetter,
    /// Where the recipient confirms the message.
    pub(super) link: Option<&'a str>,
    /// Who is called.
    pub(super) mention: Option<&'a str>,
    /// Whether it may be there already.
    pub(super) may_repeat: bool,
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

impl Note<'_> {
    /// The words of the button.
    fn button(&self) -> &'static str {
        self.letter.language.say("確認・ご連絡はこちら", "Confirm or answer")
    }
}

/// The media type of the bodies of a kind.
pub(super) fn media_type(kind: EndpointKind) -> &'static str {
    if kind == EndpointKind::Chatwork { FORM } else { JSON }
}

/// The body for a chat; `None` for what is no chat.
pub(super) fn body(kind: EndpointKind, note: Note<'_>) -> Option<Vec<u8>> {
    let letter = &repeated(note.letter, note.may_repeat);
    let note = Note { letter, ..note };
    let value = match kind {
        EndpointKind::Slack => slack(note),
        EndpointKind::Teams => teams(note),
        EndpointKind::LineWorks => line_works(note),
        EndpointKind::LineWorksBot => line_works_bot(note),
        EndpointKind::GoogleChat => google_chat(note),
        EndpointKind::Chatwork => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("body", &chatwork(note)).append_pair("self_unread", "0");
            return Some(form.finish().into_bytes());
        }
        EndpointKind::Mail | EndpointKind::Sms | EndpointKind::Fax => return None,
    };
    Some(value.to_string().into_bytes())
}

fn slack(note: Note<'_>) -> Value {
    let Note { letter, link, mention, .. } = note;
    let mention = mention.map(|who| match who {
        "channel" | "here" => format!("<!{who}>\n"),
        group if group.starts_with('S') => format!("<!subteam^{group}>\n"),
        member => format!("<@{member}>\n"),
    });
    let mention = mention.unwrap_or_default();
    let room = SLACK_BLOCK_CHARS_MAX - mention.chars().count();
    let text = format!("{mention}{}", written(&letter.text, room, link.is_some(), entity));
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": cut(&letter.title, SLACK_HEADER_CHARS_MAX)}}),
        json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}}),
    ];
    if let Some(link) = link {
        let button =
            json!({"type": "button", "text": {"type": "plain_text", "text": note.button()}, "url": link});
        blocks.push(json!({"type": "actions", "elements": [button]}));
    }
    // Of the message itself, a notification on a locked screen shows the title alone.
    let title: String =
        letter.title.chars().map(|c| entity(c).map_or_else(|| c.to_string(), str::to_owned)).collect();
    json!({"text": title, "unfurl_links": false, "blocks": blocks})
}

fn teams(note: Note<'_>) -> Value {
    let Note { letter, link, .. } = note;
    let mut chars = TEXT_CHARS_MAX;
    loop {
        let text = within(&letter.text, chars, link.is_some());
        let mut content = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
            "body": [
                {"type": "TextBlock", "text": markdown(&cut(&letter.title, TITLE_CHARS_MAX)), "weight": "Bolder",
                    "size": "Medium", "wrap": true},
                {"type": "TextBlock", "text": markdown(&text), "wrap": true},
            ],
        });
        if let Some(link) = link {
            content["actions"] = json!([{"type": "Action.OpenUrl", "title": note.button(), "url": link}]);
        }
        let card = json!({"type": "message", "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": content,
        }]});
        if card.to_string().len() <= TEAMS_BYTES_MAX || chars < 100 {
            return card;
        }
        chars = chars * 3 / 4;
    }
}

fn chatwork(note: Note<'_>) -> String {
    let Note { letter, link, mention, .. } = note;
    let mention = mention.map(|who| match who {
        "all" => "[toall]\n".to_owned(),
        member => format!("[To:{member}]\n"),
    });
    let text = written(&letter.text, TEXT_CHARS_MAX, link.is_some(), bracket);
    let title = written(&letter.title, TITLE_CHARS_MAX, false, bracket);
    let link = link.map(|link| format!("\n\n{}\n{link}", note.button())).unwrap_or_default();
    format!("{}[info][title]{title}[/title]{text}{link}[/info]", mention.unwrap_or_default())
}

fn line_works(note: Note<'_>) -> Value {
    let Note { letter, link, .. } = note;
    let text = within(&letter.text, TEXT_CHARS_MAX, link.is_some());
    let mut value = json!({"title": cut(&letter.title, TITLE_CHARS_MAX), "body": {"text": text}});
    if let Some(link) = link {
        value["button"] = json!({"label": note.button(), "url": link});
    }
    value
}

/// A button fits below a short text only; below a longer one stands the link itself.
fn line_works_bot(note: Note<'_>) -> Value {
    let Note { letter, link, .. } = note;
    let text = format!("{}\n{}", cut(&letter.title, TITLE_CHARS_MAX), letter.text);
    let text = written(&text, usize::MAX, false, full_width);
    let content = match link {
        Some(link) if units(&text) <= BOT_BUTTON_UNITS_MAX => {
            let button = json!({"type": "uri", "label": note.button(), "uri": link});
            json!({"type": "button_template", "contentText": text, "actions": [button]})
        }
        _ => {
            let link = link.map(|link| format!("\n\n{}\n{link}", note.button())).unwrap_or_default();
            // A character of two units takes the room of two.
            let wide = units(&text) - text.chars().count();
            let room = BOT_TEXT_UNITS_MAX.saturating_sub(units(&link) + wide);
            json!({"type": "text", "text": format!("{}{link}", within(&text, room, !link.is_empty()))})
        }
    };
    json!({"content": content})
}

fn google_chat(note: Note<'_>) -> Value {
    let Note { letter, link, .. } = note;
    let text = written(&letter.text, TEXT_CHARS_MAX, link.is_some(), entity).replace('\n', "<br>");
    let mut widgets = vec![json!({"textParagraph": {"text": text}})];
    if let Some(link) = link {
        let button = json!({"text": note.button(), "onClick": {"openLink": {"url": link}}});
        widgets.push(json!({"buttonList": {"buttons": [button]}}));
    }
    let title = cut(&letter.title, TITLE_CHARS_MAX);
    let card = json!({"header": {"title": title}, "sections": [{"widgets": widgets}]});
    // Here `<users/all>` would call everybody.
    let line = written(&title, usize::MAX, false, full_width);
    json!({"text": line, "cardsV2": [{"cardId": "message", "card": card}]})
}

/// A message that may be there already says so before its text, where no cut reaches.
fn repeated(letter: &ShortLetter, may_repeat: bool) -> ShortLetter {
    let repeated = letter.language.say("（再送の可能性があります）", "(This may be a repetition.)");
    let text = if may_repeat { format!("{repeated}\n{}", letter.text) } else { letter.text.clone() };
    ShortLetter { text, ..letter.clone() }
}

/// What stands for a character in Slack and in a card of Google Chat.
fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

/// What stands for a character in Chatwork.
fn bracket(c: char) -> Option<&'static str> {
    match c {
        '[' => Some("［"),
        ']' => Some("］"),
        _ => None,
    }
}

/// What stands for a character in a bot's text of LINE WORKS, and in the line above a card of Google Chat.
fn full_width(c: char) -> Option<&'static str> {
    match c {
        '<' => Some("＜"),
        '>' => Some("＞"),
        _ => None,
    }
}

/// The length of a text in UTF-16 units.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A text as Markdown that shows it. Lines stay lines.
fn markdown(text: &str) -> String {
    let line = |line: &str| {
        let mut written = String::with_capacity(line.len());
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        for (at, c) in line.chars().enumerate() {
            let is_list =
                at == 0 && matches!(c, '-' | '+') || at > 0 && at == digits && matches!(c, '.' | ')');
            if is_list
                || matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '(' | '#' | '!' | '<' | '>' | '~' | '|')
            {
                written.push('\\');
            }
            written.push(c);
        }
        written
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n\n")
}

/// A text with what `of` puts for some characters, at most `max` of them.
fn written(text: &str, max: usize, has_link: bool, of: fn(char) -> Option<&'static str>) -> String {
    let length = |c: char| of(c).map_or(1, |put| put.chars().count());
    let total: usize = text.chars().map(length).sum();
    let end = if total > max { rest(has_link) } else { "" };
    let mut room = max.saturating_sub(end.chars().count());
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match room.checked_sub(length(c)) {
            Some(left) => room = left,
            None => break,
        }
        match of(c) {
            Some(put) => written.push_str(put),
            None => written.push(c),
        }
    }
    written.push_str(end);
    written
}

fn within(text: &str, max: usize, has_link: bool) -> String {
    written(text, max, has_link, |_| None)
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// What ends a text that was cut.
fn rest(has_link: bool) -> &'static str {
    if has_link { "…続きはリンク先" } else { "…（以下略）" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(title: &str, text: &str) -> ShortLetter {
        ShortLetter {
            title: title.to_owned(),
            text: text.to_owned(),
            language: crate::contract::records::Language::Ja,
            failed: Vec::new(),
        }
    }

    fn json_of(kind: EndpointKind, note: Note<'_>) -> Value {
        serde_json::from_slice(&body(kind, note).unwrap()).unwrap()
    }

    const HOSTILE: &str = "<!channel> <https://evil.example|請求書> & [To:1][/info] *太字* `code`\n- 項目\n1. 項目\n[x](https://evil.example) <users/all>";
    const LINK: &str = "https://m.example.jp/a/x";

    #[test]
    fn nothing_that_a_caller_said_is_markup() {
        let letter = letter("【伝言】<!here> [toall] *x*｜さくら商事", HOSTILE);
        let note = Note { letter: &letter, link: Some(LINK), mention: None, may_repeat: false };
        let slack = json_of(EndpointKind::Slack, note);
        let text = slack["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(
            text.starts_with("&lt;!channel&gt; &lt;https://evil.example|請求書&gt; &amp; [To:1]"),
            "{text}"
        );
        assert_eq!(slack["text"], "【伝言】&lt;!here&gt; [toall] *x*｜さくら商事");
        assert_eq!(slack["blocks"][0]["text"]["type"], "plain_text");
        assert_eq!(
            (&slack["blocks"][2]["elements"][0]["url"], &slack["unfurl_links"]),
            (&json!(LINK), &json!(false))
        );
        let teams = json_of(EndpointKind::Teams, note);
        let content = &teams["attachments"][0]["content"];
        assert_eq!(
            content["body"][1]["text"],
            "\\<\\!channel\\> \\<https://evil.example\\|請求書\\> & \\[To:1\\]\\[/info\\] \\*太字\\* \\`code\\`\n\n\\- 項目\n\n1\\. 項目\n\n\\[x\\]\\(https://evil.example) \\<users/all\\>"
        );
        assert_eq!(content["actions"][0]["url"], LINK);
        let form = String::from_utf8(body(EndpointKind::Chatwork, note).unwrap()).unwrap();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        assert_eq!(pairs[1], ("self_unread".into(), "0".into()));
        let text = &pairs[0].1;
        assert!(
            text.starts_with("[info][title]【伝言】<!here> ［toall］ *x*｜さくら商事[/title]<!channel>"),
            "{text}"
        );
        assert_eq!(text.matches(['[', ']']).count(), 8, "those of the box alone: {text}");
        assert!(text.ends_with(&format!("確認・ご連絡はこちら\n{LINK}[/info]")), "{text}");
        let chat = json_of(EndpointKind::GoogleChat, note);
        let text = chat["cardsV2"][0]["card"]["sections"][0]["widgets"][0]["textParagraph"]["text"]
            .as_str()
            .unwrap();
        assert!(!text.replace("<br>", "").contains(['<', '>']), "{text}");
        assert_eq!(chat["text"], "【伝言】＜!here＞ [toall] *x*｜さくら商事");
        let works = json_of(EndpointKind::LineWorks, note);
        assert_eq!((&works["body"]["text"], &works["button"]["url"]), (&json!(HOSTILE), &json!(LINK)));
        let bot = json_of(EndpointKind::LineWorksBot, note);
        let text = bot["content"]["contentText"].as_str().unwrap();
        assert!(
            text.starts_with("【伝言】＜!here＞ [toall] *x*｜さくら商事\n＜!channel＞ ＜https://"),
            "{text}"
        );
        assert!(!text.contains(['<', '>']), "{text}");
        let button = json!([{"type": "uri", "label": "確認・ご連絡はこちら", "uri": LINK}]);
        assert_eq!(
            (&bot["content"]["type"], &bot["content"]["actions"]),
            (&json!("button_template"), &button)
        );
        assert!(body(EndpointKind::Mail, note).is_none() && body(EndpointKind::Sms, note).is_none());
    }

    #[test]
    fn somebody_is_called_by_the_endpoint_alone() {
        let letter = letter("t", "x");
        let note = |mention| Note { letter: &letter, link: None, mention: Some(mention), may_repeat: false };
        let slack =
            |mention| json_of(EndpointKind::Slack, note(mention))["blocks"][1]["text"]["text"].clone();
        assert_eq!(
            [slack("here"), slack("U01"), slack("S01")],
            ["<!here>\nx", "<@U01>\nx", "<!subteam^S01>\nx"]
        );
        assert!(chatwork(note("all")).starts_with("[toall]\n[info]"));
        assert!(chatwork(note("12")).starts_with("[To:12]\n[info]"));
        assert_eq!(
            json_of(EndpointKind::Slack, note("here"))["blocks"].as_array().unwrap().len(),
            2,
            "no button"
        );
    }

    proptest! {
        /// Every text is within the limits of each service, and a text that fits is there whole.
        #[test]
        fn a_text_is_within_the_limits(text in "(\\PC|\n|[<&\\[*]){0,200}", times in 1_usize..60) {
            let text = text.repeat(times);
            let letter = letter(&text.replace('\n', " "), &text);
            let note = Note { letter: &letter, link: Some(LINK), mention: Some("U01"), may_repeat: false };
            let slack = json_of(EndpointKind::Slack, note);
            prop_assert!(slack["blocks"][1]["text"]["text"].as_str().unwrap().chars().count() <= SLACK_BLOCK_CHARS_MAX);
            prop_assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= SLACK_HEADER_CHARS_MAX);
            prop_assert!(body(EndpointKind::Teams, note).unwrap().len() <= TEAMS_BYTES_MAX);
            let bot = json_of(EndpointKind::LineWorksBot, note);
            let all = units(&format!("{}\n{text}", cut(&letter.title, TITLE_CHARS_MAX)));
            if all <= BOT_BUTTON_UNITS_MAX {
                prop_assert_eq!(&bot["content"]["type"], "button_template");
            } else {
                let shown = bot["content"]["text"].as_str().unwrap();
                prop_assert!(units(shown) <= BOT_TEXT_UNITS_MAX && shown.ends_with(LINK), "{shown}");
                let is_whole = !shown.contains("…続きはリンク先\n\n");
                prop_assert_eq!(is_whole, all + units(shown.rsplit_once("\n\n").unwrap().1) + 2 <= BOT_TEXT_UNITS_MAX);
            }
            let works = json_of(EndpointKind::LineWorks, note);
            let shown = works["body"]["text"].as_str().unwrap();
            if text.chars().count() <= TEXT_CHARS_MAX {
                prop_assert_eq!(shown, text);
            } else {
                prop_assert!(shown.chars().count() <= TEXT_CHARS_MAX && shown.ends_with("…続きはリンク先"));
            }
        }
    }
}
