//! Messages by fax: a mail to a gateway, which turns it into a fax, and the result that comes back as a mail. The gateway is a mailbox
//! of the lab; no real one can be had in a test.

use mail_parser::{MessageParser, MimeHeaders as _};
use reqwest::Method;
use serde_json::{Value, json};

use super::arrives::ReadMail;
use super::house::{House, plain};
use crate::mail_lab::MailLab;
use crate::support::client::http;
use crate::support::wait::eventually;

const GATEWAYS: &str = "[fax.main]\nto = \"{number}@sakura.example.jp\"\nfrom = \"fax@toritsugi.example.jp\"\ncolumns = 40\n\
    result_ok = [\"FAX送信が成功\"]\nresult_failed = [\"FAX送信が失敗\"]\nresult_busy = [\"話中\"]\n\
    [fax.pages]\nto = \"{number}@sakura.example.jp\"\nfrom = \"fax@toritsugi.example.jp\"\nbody = \"pdf\"\n";

/// What a viewer shows of a PDF, without blanks.
fn text_of(pdf: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("fax.pdf");
    std::fs::write(&file, pdf).unwrap();
    let done = std::process::Command::new("pdftotext").arg(&file).arg("-").output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().chars().filter(|c| !c.is_whitespace()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_a_fax_and_its_result_is_noted() {
    let lab = MailLab::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateways.toml");
    std::fs::write(&file, GATEWAYS).unwrap();
    let others = [("CHAT__GATEWAYS_FILE".to_owned(), file.to_str().unwrap().to_owned())];
    let house = House::start_with(&plain(&lab.port("PLAIN_PORT")), &others).await;
    let fields = json!({"account": house.account, "name": "本社"});
    let contact = house.ask("admin", Method::POST, "/v1/contacts", fields).await["id"].clone();
    for (number, priority) in [("03-5550-1000", 0), ("03-5550-1001", 1)] {
        let endpoint = json!({"account": house.account, "contact": contact, "kind": "fax", "profile": "main",
            "address": number, "priority": priority});
        house.ask("admin", Method::POST, "/v1/endpoints", endpoint).await;
    }
    let text = "髙橋様より、納期を確認したい。①至急、折り返しのお電話をお願いいたします。";
    let id = house.save(contact.as_str().unwrap(), text).await;
    let message = house.is_sent(&id).await;
    let mail = async |mailbox: &str| {
        let mails = eventually("the gateway has it", async || match lab.mails(mailbox) {
            mails if mails.is_empty() => Err(lab.log()),
            mails => Ok(mails),
        });
        ReadMail::read(&mails.await[0])
    };
    let first = mail("0355501000").await;
    let number = message["number"].as_str().unwrap();
    assert_eq!(first.header("Subject"), number);
    assert_eq!(first.header("From"), "さくら電話秘書 <fax@toritsugi.example.jp>");
    assert_eq!(first.header("Return-Path"), "<fax@toritsugi.example.jp>");
    assert!(first.header("Content-Type").contains("ISO-2022-JP") && first.html.is_none());
    assert!(first.text.contains("高橋様より、納期を確認したい。"), "{}", first.text);
    assert!(first.text.contains("※表示できない文字を置き換えました"), "{}", first.text);
    assert!(first.text.lines().all(|line| line.chars().count() <= 40), "{}", first.text);
    let result = |words: &str| {
        format!(
            "To: fax@toritsugi.example.jp\r\nSubject: Re: {number}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{words}\r\n"
        )
    };
    let report = async |words: &str| {
        let request = http().post(format!("{}/v1/mail/bounces", house.url()));
        let request = request.bearer_auth(house.token("admin")).header("Content-Type", "message/rfc822");
        let answer = request.body(result(words)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["items"][0]["outcome"].clone()
    };
    assert_eq!(report("ご利用ありがとうございます").await, "unmatched");
    // The line was busy: it is sent to the same number again, ten minutes later or when a person wants it.
    assert_eq!(report("FAX送信が失敗しました(話中)").await, "applied");
    let deliveries = house.deliveries(&id).await;
    let at = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!((&deliveries[0]["state"], &deliveries[1]["state"]), (&json!("queued"), &json!("bounced")));
    assert_eq!(deliveries[0]["address"], deliveries[1]["address"]);
    let wait = at(&deliveries[0]["next_at"]).duration_since(at(&deliveries[0]["created_at"]));
    assert_eq!(wait.as_secs(), 600);
    let again = format!("/v1/deliveries/{}/retry", deliveries[0]["id"].as_str().unwrap());
    house.ask("2001", Method::POST, &again, Value::Null).await;
    eventually("it is sent again", async || {
        let deliveries = house.deliveries(&id).await;
        if deliveries[0]["state"] == "sent" { Ok(()) } else { Err(format!("{deliveries:?}")) }
    })
    .await;
    // The gateway could not send it: the message goes to the next number, and that one arrives.
    assert_eq!(report("FAX送信が失敗しました").await, "applied");
    mail("0355501001").await;
    eventually("the next is sent", async || {
        let states: Vec<Value> = house.deliveries(&id).await.iter().map(|one| one["state"].clone()).collect();
        if states == ["sent", "bounced", "bounced"] { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    assert_eq!(report("FAX送信が成功しました").await, "applied");
    let deliveries = house.deliveries(&id).await;
    assert_eq!((&deliveries[0]["state"], &deliveries[0]["channel"]), (&json!("delivered"), &json!("fax")));
    a_gateway_faxes_what_is_attached(&house, &lab, text).await;
}

/// Another gateway, whose mail has the message as a PDF; both senders are tried without a fax.
async fn a_gateway_faxes_what_is_attached(house: &House, lab: &MailLab, text: &str) {
    let fields = json!({"account": house.account, "name": "支社"});
    let branch = house.ask("admin", Method::POST, "/v1/contacts", fields).await["id"].clone();
    let endpoint = json!({"account": house.account, "contact": branch, "kind": "fax", "profile": "pages",
        "address": "03-5550-1002"});
    house.ask("admin", Method::POST, "/v1/endpoints", endpoint).await;
    let id = house.save(branch.as_str().unwrap(), text).await;
    let number = house.is_sent(&id).await["number"].as_str().unwrap().to_owned();
    let bytes =
        eventually("the gateway has it", async || lab.mails("0355501002").pop().ok_or_else(|| lab.log()))
            .await;
    let mail = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!((mail.subject(), mail.body_text(0).unwrap().trim()), (Some(number.as_str()), ""));
    let file = mail.attachment(0).unwrap();
    assert_eq!(file.attachment_name(), Some(format!("{number}.pdf").as_str()));
    let shown = text_of(file.contents());
    assert!(shown.contains(text) && shown.contains(&number) && shown.starts_with("さくら商事"), "{shown}");
    let checked = house.command().args(["mail", "check"]).output().await.unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    for name in ["main", "pages"] {
        let line = format!("{name}: the mail server takes mails from fax@toritsugi.example.jp");
        assert!(checked.contains(&line), "{checked}");
    }
}
