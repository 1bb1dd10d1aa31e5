//! What servers say, and what the daemon makes of it. Postfix speaks; the lab's policy decides what it says.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::arrives::ReadMail;
use super::house::{House, plain, signed_in};
use crate::mail_lab::{Answer, CuttingProxy, MailLab};
use crate::support::wait::eventually;

async fn arrives(lab: &MailLab, mailbox: &str, count: usize) {
    eventually("the mails are in the mailbox", async || {
        let found = lab.count(mailbox);
        if found == count { Ok(()) } else { Err(format!("{found} of {count}: {}", lab.log())) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_recipient_fails_the_message_until_somebody_sends_it_again() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let gone = house.contact("退職", "gone@sakura.example.jp").await;
    let mut events = house.events("2001").await;
    for (answer, status) in [("552 5.2.2 mailbox full", json!("5.2.2")), ("554 5.7.1 policy", json!("5.7.1"))]
    {
        lab.at_recipient("gone@sakura.example.jp", &[Answer::Say(answer)]);
        let id = house.save(&gone, answer).await;
        let failed = house.message_until(&id, "the message failed", |m| m["state"] == "failed").await;
        let said = failed["delivery"]["last_error"].as_str().unwrap();
        let words = answer.splitn(3, ' ').nth(2).unwrap();
        assert!(said.starts_with(&answer[..9]) && said.ends_with(words), "{failed}");
        let delivery = house.deliveries(&id).await.remove(0);
        assert_eq!((&delivery["state"], &delivery["status"]), (&json!("bounced"), &status), "{delivery}");
        assert_eq!(delivery["attempts"], 1);
    }
    // What is refused by a rule is about the sender: supervisors are told.
    let policy = loop {
        let event = events.next().await.unwrap();
        if event["kind"] == "bounce.policy" {
            break event["data"].clone();
        }
    };
    let said = (&policy["kind"], &policy["status"], &policy["source"]);
    assert_eq!(said, (&json!("failed"), &json!("5.7.1"), &json!("smtp")), "{policy}");
    // After the last byte, too.
    lab.at_last_byte("gone@sakura.example.jp", &[Answer::Say("554 5.6.0 not like this")]);
    let id = house.save(&gone, "末尾").await;
    house.message_until(&id, "the message failed", |m| m["state"] == "failed").await;
    assert_eq!(lab.count("gone"), 0);
    let delivery = house.deliveries(&id).await.remove(0);
    let path = format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap());
    house.ask("2001", Method::POST, &path, Value::Null).await;
    house.is_sent(&id).await;
    arrives(&lab, "gone", 1).await;
    assert_eq!(house.deliveries(&id).await.len(), 1);
    house.log_is_clean(&["gone@sakura.example.jp"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_too_large_goes_without_its_files() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let contact = house.contact("小箱", "gone@sakura.example.jp").await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let message = json!({
        "account": house.account, "contact": contact, "text": "納期の確認", "call_back": {"until": until.to_string()},
    });
    let large = Answer::Say("552 5.3.4 message size exceeds the limit");
    lab.at_last_byte("gone@sakura.example.jp", std::slice::from_ref(&large));
    let saved = house.ask("1001", Method::POST, "/v1/messages", message.clone()).await;
    let id = saved["id"].as_str().unwrap();
    house.is_sent(id).await;
    arrives(&lab, "gone", 1).await;
    let mail = ReadMail::read(&lab.mails("gone")[0]);
    assert!(mail.html.is_none() && mail.text.contains("納期の確認"), "{}", mail.text);
    assert!(mail.text.contains("※先方のメールサーバーの容量制限により"), "{}", mail.text);
    let delivery = house.deliveries(id).await.remove(0);
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("sent"), &json!(1)), "{delivery}");
    // A system that does not take this one either does not get it.
    lab.at_last_byte("gone@sakura.example.jp", &[large.clone(), large]);
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    let id = saved["id"].as_str().unwrap();
    house.message_until(id, "the message failed", |m| m["state"] == "failed").await;
    assert_eq!(house.deliveries(id).await[0]["status"], "5.3.4");
    assert_eq!(lab.count("gone"), 1);
    house.log_is_clean(&["gone@sakura.example.jp"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greylisting_server_gets_the_mail_again() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let busy = house.contact("混雑", "busy@sakura.example.jp").await;
    let grey = Answer::Say("450 4.2.0 greylisted, try again later");
    lab.at_recipient("busy@sakura.example.jp", std::slice::from_ref(&grey));
    let id = house.save(&busy, "あとで").await;
    let deferred = house.message_until(&id, "deferred", |m| !m["delivery"]["last_error"].is_null()).await;
    assert_eq!((&deferred["state"], &deferred["delivery"]["state"]), (&json!("open"), &json!("queued")));
    assert!(deferred["delivery"]["last_error"].as_str().unwrap().contains("4.2.0"), "{deferred}");
    house.is_sent(&id).await;
    let delivery = house.deliveries(&id).await.remove(0);
    assert_eq!((&delivery["attempts"], &delivery["maybe_sent"]), (&json!(2), &json!(false)), "{delivery}");
    arrives(&lab, "busy", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_whose_answer_is_lost_comes_twice_with_one_message_id() {
    let lab = MailLab::start().await;
    let proxy = CuttingProxy::start(&lab.port("PLAIN_PORT"), 1).await;
    let house = House::start(&plain(&proxy.port.to_string())).await;
    let cut = house.contact("切断", "cut@sakura.example.jp").await;
    let id = house.save(&cut, "途中で切れる").await;
    house.is_sent(&id).await;
    arrives(&lab, "cut", 2).await;
    assert_eq!(proxy.left(), 0);
    let mails: Vec<_> = lab.mails("cut").iter().map(|bytes| ReadMail::read(bytes)).collect();
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(mails[0].text, mails[1].text);
    let delivery = house.deliveries(&id).await.remove(0);
    assert_eq!((&delivery["maybe_sent"], &delivery["attempts"]), (&json!(true), &json!(2)), "{delivery}");
}

/// The server takes long to answer the last byte: the mail arrives once, and others do not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_makes_no_duplicate_and_holds_up_nobody() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let slow = house.contact("遅い", "slow@sakura.example.jp").await;
    let quick = house.contact("早い", "quick@sakura.example.jp").await;
    lab.at_last_byte("slow@sakura.example.jp", &[Answer::TakeAfter(Duration::from_secs(12))]);
    let late = house.save(&slow, "遅い").await;
    house.message_until(&late, "it is being sent", |m| m["delivery"]["state"] == "queued").await;
    for n in 0..5 {
        let id = house.save(&quick, &format!("早い {n}")).await;
        house.is_sent(&id).await;
        let waiting = house.get(&format!("/v1/messages/{late}")).await;
        assert_eq!(waiting["delivery"]["state"], "queued", "the slow one is still under way");
    }
    house.is_sent(&late).await;
    arrives(&lab, "slow", 1).await;
    assert_eq!(house.deliveries(&late).await[0]["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_messages_wait_and_no_attempt_is_counted() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let away = house.contact("不在", "away@sakura.example.jp").await;
    lab.stop();
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(house.save(&away, &format!("停止中 {n}")).await);
    }
    let waiting =
        house.message_until(&ids[0], "the server is away", |m| !m["delivery"]["last_error"].is_null()).await;
    assert!(waiting["delivery"]["last_error"].as_str().unwrap().starts_with("connection:"), "{waiting}");
    lab.revive();
    for id in &ids {
        house.is_sent(id).await;
        let delivery = house.deliveries(id).await.remove(0);
        assert_eq!(delivery["attempts"], 1, "{delivery}");
    }
    arrives(&lab, "away", 12).await;
}
