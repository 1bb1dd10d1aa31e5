//! What is saved is in the contact's mailbox, character by character, and in the mail's own words nothing of the caller's can
//! become a header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use encoding_rs::Encoding;
use reqwest::Method;
use serde_json::json;

use super::house::{House, SENDER, signed_in};
use crate::mail_lab::MailLab;

/// A mail as its reader sees it.
pub(crate) struct ReadMail {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    /// The HTML part, if there is one.
    pub(crate) html: Option<String>,
}

impl ReadMail {
    /// Reads a mail without any code of the product.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        assert!(bytes.iter().all(|byte| *byte < 0x80), "the mail is 7-bit");
        let mail = std::str::from_utf8(bytes).unwrap().replace("\r\n", "\n");
        let (mut headers, body) = part_of(&mail);
        let content_type = header_of(&headers, "Content-Type").unwrap().to_owned();
        let Some(rest) = content_type.strip_prefix("multipart/alternative; boundary=\"") else {
            return Self { text: content_of(&headers, body), headers, html: None };
        };
        let boundary = rest.strip_suffix('"').unwrap();
        let body = format!("\n{body}");
        let parts: Vec<&str> = body.split(&format!("\n--{boundary}")).collect();
        assert_eq!((parts.len(), parts[3].trim_end()), (4, "--"), "{mail}");
        let [text, html] = [1, 2].map(|n| {
            let (headers, body) = part_of(parts[n].strip_prefix('\n').unwrap());
            (header_of(&headers, "Content-Type").unwrap().to_owned(), content_of(&headers, body))
        });
        assert_eq!([text.0.as_str(), &html.0], ["text/plain; charset=UTF-8", "text/html; charset=UTF-8"]);
        // What a test asks of a header is that of the text.
        headers.retain(|(name, _)| name != "Content-Type");
        headers.push(("Content-Type".into(), text.0));
        Self { headers, text: text.1, html: Some(html.1) }
    }

    pub(crate) fn header(&self, wanted: &str) -> String {
        let found: Vec<_> = self.headers.iter().filter(|(name, _)| name == wanted).collect();
        assert_eq!(found.len(), 1, "{wanted}: {found:?}");
        decoded(&found[0].1)
    }

    /// The text between 内容 and 受付.
    fn content(&self) -> &str {
        self.text.split_once("\n内容\n").unwrap().1.split_once("\n\n受付　").unwrap().0
    }
}

/// The headers of a mail or of a part of one, and what follows them.
fn part_of(part: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = part.split_once("\n\n").unwrap();
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.lines() {
        let is_ours = !["Received", "Return-Path", "\t"].iter().any(|start| line.starts_with(start));
        let value = line.split_once(": ").map_or(line, |(_, value)| value);
        let can_fold = value.trim_start().contains(' ');
        assert!(line.len() <= 78 || !is_ours || !can_fold, "{line}");
        if let Some(rest) = line.strip_prefix([' ', '\t']) {
            let last = headers.last_mut().unwrap();
            last.1.push(' ');
            last.1.push_str(rest);
        } else {
            let (name, value) = line.split_once(": ").unwrap();
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    (headers, body)
}

fn header_of<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

/// The text of a part, decoded.
fn content_of(headers: &[(String, String)], body: &str) -> String {
    let charset = header_of(headers, "Content-Type").unwrap().split("charset=").nth(1).unwrap();
    let bytes = match header_of(headers, "Content-Transfer-Encoding").unwrap() {
        "base64" => BASE64.decode(body.replace('\n', "")).unwrap(),
        "7bit" => body.as_bytes().to_vec(),
        other => panic!("{other}"),
    };
    let (text, is_wrong) =
        Encoding::for_label(charset.as_bytes()).unwrap().decode_without_bom_handling(&bytes);
    assert!(!is_wrong, "{charset}");
    text.replace("\r\n", "\n")
}

/// A header value with its encoded words read one by one.
fn decoded(value: &str) -> String {
    let (mut text, mut was_encoded) = (String::new(), true);
    for word in value.split(' ') {
        let parts: Vec<_> = word.split('?').collect();
        if let ["=", charset, "B", encoded, "="] = parts[..] {
            let charset = Encoding::for_label(charset.as_bytes()).unwrap();
            let bytes = BASE64.decode(encoded).unwrap();
            let (decoded, is_wrong) = charset.decode_without_bom_handling(&bytes);
            assert!(!is_wrong, "{word}");
            text.push_str(&decoded);
            was_encoded = true;
        } else {
            if !was_encoded || !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
            was_encoded = false;
        }
    }
    text
}

/// Texts that mail programs and relays like to change.
const TEXTS: [&str; 20] = [
    "折り返しお電話をください。",
    "ヤマモト様より。注文1234の納期を確認したい。17時まで",
    "①②③ ㈱さくら №5 ℡",
    "髙橋様、﨑山様、德川様",
    "10〜12時、10～12時、A—B、A−B、‖",
    "¥1,000 ￥1,000",
    "ｶﾞｷﾞｸﾞ ﾔﾏﾓﾄ ｳﾞｧ",
    "𠮷野家の前",
    "了解です👍",
    "한국어 中文",
    ".\n..\n.行頭の点\n終わり",
    "From 行頭のFrom\n>From",
    "To: all@example.jp\nBcc: all@example.jp\n\n<script>alert(1)</script>",
    "=?UTF-8?B?44GC?= のような文字",
    "--=_t.0123456789\nContent-Type: text/html",
    "行末の空白   \n\n\n三行空き",
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "ﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅﾊﾝｶｸｶﾀｶﾅ",
    "絵文字も漢字も半角ｶﾅも①つの伝言に",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_saved_is_in_the_mailbox_character_by_character() {
    let lab = MailLab::start().await;
    let mut settings = signed_in(&lab, "STARTTLS_PORT", "starttls");
    settings.push(("ISO_2022_JP", "docomo.ne.jp".into()));
    let house = House::start(&settings).await;
    let sasaki = house.contact("佐々木", "sasaki@sakura.example.jp").await;
    let old_phone = house.contact("緑", "midori..dr@docomo.ne.jp").await;
    let mut stored = Vec::new();
    for text in TEXTS {
        for (contact, mailbox) in [(&sasaki, "sasaki"), (&old_phone, "docomo")] {
            let before = lab.count(mailbox);
            let id = house.save(contact, text).await;
            let sent = house.is_sent(&id).await;
            assert_eq!((&sent["state"], &sent["version"]), (&json!("sent"), &json!(2)), "{sent}");
            stored.push((mailbox, sent["text"].as_str().unwrap().to_owned()));
            crate::support::wait::eventually("Postfix has delivered it", async || {
                if lab.count(mailbox) > before { Ok(()) } else { Err(lab.log()) }
            })
            .await;
        }
    }
    for mailbox in ["sasaki", "docomo"] {
        let mails: Vec<_> = lab.mails(mailbox).iter().map(|bytes| ReadMail::read(bytes)).collect();
        for (_, text) in stored.iter().filter(|(of, _)| *of == mailbox) {
            let is_it = |mail: &&ReadMail| match mailbox {
                "sasaki" => mail.content() == text,
                _ => same(mail.content()) == same(text),
            };
            let found = mails.iter().filter(is_it).count();
            let contents: Vec<_> = mails.iter().map(ReadMail::content).collect();
            assert_eq!(found, 1, "{text:?} is once among {contents:#?}");
        }
        let first = mails.iter().find(|mail| mail.content() == TEXTS[0]).unwrap();
        let is_jis = first.header("Content-Type").contains("ISO-2022-JP");
        assert_eq!(is_jis, mailbox == "docomo");
        assert_eq!(first.header("Subject"), "【伝言】番号非通知｜さくら商事");
        assert_eq!(first.header("From"), format!("さくら電話秘書 <{SENDER}>"));
        let to = if is_jis { "\"midori..dr\"@docomo.ne.jp" } else { "sasaki@sakura.example.jp" };
        assert_eq!(first.header("To"), to);
        assert_eq!(first.header("Auto-Submitted"), "auto-generated");
        assert_eq!(first.html.is_some(), !is_jis, "old phones read text alone");
        if !is_jis {
            let markup = mails.iter().find(|mail| mail.content().contains("<script>"));
            let markup = markup.unwrap();
            let html = markup.html.as_ref().unwrap();
            assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script"), "{html}");
        }
        assert!(mails.iter().all(|mail| mail.headers.iter().all(|(name, _)| name != "Bcc")));
    }
    house.log_is_clean(&["sasaki@sakura.example.jp"]);
}

/// The text as ISO-2022-JP carries it; what it cannot carry comes as UTF-8, unchanged.
fn same(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    // A long line is folded there, and half-width katakana become full-width ones.
    text.nfkc()
        .filter(|c| !c.is_whitespace())
        .map(|c| if c == '〜' { '~' } else { c })
        .map(|c| match c {
            '—' => '―',
            '−' => '-',
            '‖' => '∥',
            c => c,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sent_message_is_published_and_can_be_sent_again() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "TLS_PORT", "tls")).await;
    let ito = house.contact("伊藤", "ito@sakura.example.jp").await;
    let mut events = house.events("2001").await;
    let id = house.save(&ito, "一通目").await;
    house.is_sent(&id).await;
    for kind in ["message.saved", "message.sent"] {
        let event = loop {
            let event = events.next().await.unwrap();
            if event["kind"] == kind {
                break event;
            }
        };
        assert_eq!(event["data"]["id"], json!(id), "{event}");
    }
    let first = house.deliveries(&id).await.remove(0);
    assert_eq!((&first["state"], &first["attempts"]), (&json!("sent"), &json!(1)), "{first}");
    let path = format!("/v1/deliveries/{}/retry", first["id"].as_str().unwrap());
    let again = house.ask("2001", Method::POST, &path, serde_json::Value::Null).await;
    assert_eq!((&again["again"], &again["state"]), (&json!(1), &json!("queued")), "{again}");
    crate::support::wait::eventually("both mails are there", async || {
        if lab.count("ito") == 2 { Ok(()) } else { Err(lab.log()) }
    })
    .await;
    let mails: Vec<_> = lab.mails("ito").iter().map(|bytes| ReadMail::read(bytes)).collect();
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(mails[0].header("References"), mails[1].header("References"), "one thread");
    let trail = house.ask("admin", Method::GET, "/v1/audit", serde_json::Value::Null).await;
    assert!(trail.to_string().contains("delivery.retried"), "{trail}");
    // The command line shows the same.
    let list = house
        .command()
        .args(["messages", "deliveries", "--message", &id])
        .arg("--url")
        .arg(house.url())
        .output()
        .await;
    let list = String::from_utf8(list.unwrap().stdout).unwrap();
    assert_eq!(list.matches("ito@sakura.example.jp  sent").count(), 2, "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_somebody_without_an_address_says_so() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let message = json!({"account": house.account, "text": "宛先なし"});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    let plan = "送信先がありません(呼出順に担当者がいません)";
    assert_eq!(saved["delivery"], json!({"state": "none", "reason": "no_contact", "plan": plan}));
    let fields = json!({"account": house.account, "name": "当番", "on_call_order": 1});
    let contact = house.ask("admin", Method::POST, "/v1/contacts", fields).await;
    let message = json!({"account": house.account, "contact": contact["id"], "text": "宛先なし"});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    assert_eq!(saved["delivery"]["reason"], "no_address", "{saved}");
    let bad = json!({"account": house.account, "name": "x", "email": "a..b@example.jp"});
    let (status, problem) = house.try_ask("admin", Method::POST, "/v1/contacts", &bad).await.unwrap();
    assert_eq!(status.as_u16(), 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("a dot may stand neither"), "{problem}");
}
