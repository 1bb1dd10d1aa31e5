//! Mails that come back: Postfix takes a mail and returns it, and the daemon reads it in Dovecot's mailbox. The message goes to the next
//! endpoint, and the address gets nothing more until a person says so.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::arrives::ReadMail;
use super::house::{House, SENDER, signed_in};
use crate::mail_lab::{Answer, LOGIN, MailLab};
use crate::support::wait::eventually;

const BOUNCE_ADDRESS: &str = "bounce@toritsugi.example.jp";
pub(crate) const LATER: &str = "later@sakura.example.jp";
pub(crate) const SECOND: &str = "second@sakura.example.jp";

pub(crate) fn settings(lab: &MailLab, reads_mailbox: bool) -> Vec<(&'static str, String)> {
    let mut settings = signed_in(lab, "STARTTLS_PORT", "starttls");
    settings.push(("BOUNCE_ADDRESS", BOUNCE_ADDRESS.into()));
    if reads_mailbox {
        settings.extend([
            ("IMAP__HOST", "localhost".into()),
            ("IMAP__PORT", lab.port("IMAPS_PORT")),
            ("IMAP__USER", "bounce".into()),
            ("IMAP__PASSWORD", LOGIN.1.into()),
            ("IMAP__POLL_SECONDS", "1".into()),
        ]);
    }
    settings
}

pub(crate) async fn endpoint(house: &House, contact: &str, address: &str) -> Value {
    let fields = json!({"account": house.account, "contact": contact, "address": address, "label": "予備"});
    house.ask("admin", Method::POST, "/v1/endpoints", fields).await
}

/// What the command line prints.
async fn cli(house: &House, arguments: &[&str], input: Option<&[u8]>) -> String {
    use tokio::io::AsyncWriteExt as _;
    let mut command = house.command();
    command.args(arguments).arg("--url").arg(house.url()).env("TORITSUGI_TOKEN", house.token("admin"));
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.unwrap_or_default()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_goes_to_the_next_endpoint_and_suspends_the_address() {
    let lab = MailLab::start().await;
    let house = House::start(&settings(&lab, true)).await;
    let contact = house.contact("退職", LATER).await;
    let spare = endpoint(&house, &contact, SECOND).await;
    let id = house.save(&contact, "届かない").await;
    let arrived = async |count: usize| {
        eventually("the message is at the next endpoint", async || {
            if lab.count("second") == count { Ok(()) } else { Err(format!("{}{}", lab.log(), house.log())) }
        })
        .await;
    };
    arrived(1).await;
    let mut deliveries = house.deliveries(&id).await;
    deliveries.reverse();
    assert_eq!(deliveries.len(), 2, "{deliveries:?}");
    let first = &deliveries[0];
    assert_eq!((&first["state"], &first["status"]), (&json!("bounced"), &json!("5.1.1")), "{first}");
    assert_eq!((&deliveries[1]["address"], &deliveries[1]["endpoint"]), (&json!(SECOND), &spare["id"]));
    let sent = house.is_sent(&id).await;
    assert_eq!(sent["state"], "sent", "{sent}");
    // The next message does not try the address.
    let second = house.save(&contact, "もう一通").await;
    house.is_sent(&second).await;
    arrived(2).await;
    assert_eq!(house.deliveries(&second).await.len(), 1);
    let mail = ReadMail::read(&lab.mails("second")[0]);
    assert_eq!(mail.header("From"), format!("さくら電話秘書 <{SENDER}>"), "readers see the service");
    assert!(mail.header("Return-Path").starts_with("<bounce+"), "{:?}", mail.header("Return-Path"));
    // Supervisors see why, and let mails go there again.
    let listed = cli(&house, &["mail", "suspended"], None).await;
    assert!(listed.contains(LATER) && listed.contains("5.1.1"), "{listed}");
    let came = house.get("/v1/mail/bounces").await["items"][0].clone();
    let seen = (&came["kind"], &came["class"], &came["source"], &came["message"]);
    assert_eq!(seen, (&json!("failed"), &json!("gone"), &json!("imap"), &json!(id)), "{came}");
    let checked = house.command().arg("check").output().await.unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(
        checked.contains("nothing is sent to 1 of them") && checked.contains("localhost has 0 of them"),
        "{checked}"
    );
    cli(&house, &["mail", "resume", LATER], None).await;
    assert_eq!(house.get("/v1/mail/suspended").await["items"], json!([]));
    house.log_is_clean(&[LATER, SECOND]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_returned_mail_is_passed_on_by_the_command_line_and_counts_once() {
    let lab = MailLab::start().await;
    let house = House::start(&settings(&lab, false)).await;
    let contact = house.contact("退職", LATER).await;
    let id = house.save(&contact, "届かない").await;
    house.is_sent(&id).await;
    eventually(
        "Postfix has returned it",
        async || if lab.count("bounce") == 1 { Ok(()) } else { Err(lab.log()) },
    )
    .await;
    let mail = lab.mails("bounce").remove(0);
    assert!(cli(&house, &["mail", "bounce"], Some(&mail)).await.contains("failed  applied"));
    let failed = house.message_until(&id, "the message failed", |message| message["state"] == "failed").await;
    assert!(failed["delivery"]["last_error"].as_str().unwrap().contains("user unknown"), "{failed}");
    assert!(cli(&house, &["mail", "bounce"], Some(&mail)).await.contains("failed  duplicate"));
    // One whose proof is wrong is about nothing, and is listed.
    let forged = String::from_utf8(mail).unwrap().replace("bounce+0", "bounce+1");
    assert!(cli(&house, &["mail", "bounce"], Some(forged.as_bytes())).await.contains("failed  unmatched"));
    let unmatched = house.get("/v1/mail/bounces?unmatched=true").await;
    assert_eq!(unmatched["items"].as_array().unwrap().len(), 1, "{unmatched}");
    // A machine's answer is noted and changes nothing.
    let answer = b"To: bounce@toritsugi.example.jp\r\nAuto-Submitted: auto-replied\r\n\r\n\xe4\xbc\x91\xe6\x9a\x87\r\n";
    assert!(cli(&house, &["mail", "bounce"], Some(answer)).await.contains("auto_reply  unmatched"));
    // With nobody else to send to, the next message says so at once.
    let message = json!({"account": house.account, "contact": contact, "text": "もう一通"});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    assert_eq!(saved["delivery"]["reason"], "address_suspended", "{saved}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_mail_reaches_an_endpoint_whatever_its_hours_say() {
    let lab = MailLab::start().await;
    let house = House::start(&settings(&lab, false)).await;
    let contact = house.contact("受付", "sasaki@sakura.example.jp").await;
    let in_three_days =
        jiff::Timestamp::now().checked_add(std::time::Duration::from_secs(3 * 86_400)).unwrap();
    let weekday = in_three_days.to_zoned(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap()).weekday();
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = days[usize::try_from(weekday.to_monday_zero_offset()).unwrap()];
    let mut fields = json!({"account": house.account, "contact": contact, "address": "a..b@docomo.ne.jp",
        "charset": "iso-2022-jp", "priority": 0, "hours": {"weekly": [{"days": [day], "from": "00:00", "to": "24:00"}]}});
    let made = house.ask("admin", Method::POST, "/v1/endpoints", fields.clone()).await;
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    let queued = house.ask("admin", Method::POST, &format!("{path}/test"), Value::Null).await;
    assert_eq!((&queued["endpoint"], &queued["state"]), (&made["id"], &json!("queued")));
    eventually(
        "the test is in the mailbox",
        async || if lab.count("docomo") == 1 { Ok(()) } else { Err(lab.log()) },
    )
    .await;
    let mail = ReadMail::read(&lab.mails("docomo")[0]);
    assert!(mail.header("Subject").starts_with("【テスト】"), "{}", mail.header("Subject"));
    assert_eq!(mail.header("Content-Type"), "text/plain; charset=ISO-2022-JP");
    // A message waits for the hours; what the endpoint cannot carry is replaced there, and the mail says so.
    let waiting = house.save(&contact, "㈱さくらの髙橋様").await;
    let delivery = house.deliveries(&waiting).await.remove(0);
    assert_eq!((&delivery["endpoint"], &delivery["state"]), (&made["id"], &json!("queued")), "{delivery}");
    assert!(delivery["next_at"].as_str() > delivery["created_at"].as_str(), "{delivery}");
    house.ask("admin", Method::PATCH, &path, json!({"hours": null})).await;
    house
        .ask(
            "2001",
            Method::POST,
            &format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap()),
            Value::Null,
        )
        .await;
    house.is_sent(&waiting).await;
    eventually("it is there", async || if lab.count("docomo") == 2 { Ok(()) } else { Err(lab.log()) }).await;
    let texts: Vec<String> = lab.mails("docomo").iter().map(|mail| ReadMail::read(mail).text).collect();
    let text = texts.iter().find(|text| text.contains("さくらの")).unwrap();
    assert!(
        text.contains("(株)さくらの高橋様") && text.contains("※表示できない文字を置き換えました：(株)、高"),
        "{text}"
    );
    // One who may not, and one that is wrong.
    let (status, _) =
        house.try_ask("2001", Method::POST, &format!("{path}/test"), &Value::Null).await.unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN);
    fields["address"] = json!("03-5550-1001");
    let (status, problem) = house.try_ask("admin", Method::POST, "/v1/endpoints", &fields).await.unwrap();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
}

/// The mail server itself says that the address is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_address_is_left_for_the_next_endpoint_at_once() {
    let lab = MailLab::start().await;
    let house = House::start(&settings(&lab, false)).await;
    let contact = house.contact("退職", "gone@sakura.example.jp").await;
    endpoint(&house, &contact, SECOND).await;
    lab.at_recipient("gone@sakura.example.jp", &[Answer::Say("550 5.1.1 no such person")]);
    let id = house.save(&contact, "届かない").await;
    let sent = house.is_sent(&id).await;
    assert_eq!(sent["state"], "sent", "{sent}");
    let states: Vec<Value> =
        house.deliveries(&id).await.iter().map(|delivery| delivery["state"].clone()).collect();
    assert_eq!(states, [json!("sent"), json!("bounced")]);
    let listed = house.ask("2001", Method::GET, "/v1/mail/suspended", Value::Null).await;
    assert_eq!(listed["items"][0]["address"], "gone@sakura.example.jp", "{listed}");
    assert_eq!(house.get("/v1/mail/bounces").await["items"][0]["source"], "smtp");
}
