//! Digests in a mailbox: the messages since the last one, "nothing came", and each once, however often the daemon dies.

use std::str::FromStr as _;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::arrives::ReadMail;
use super::house::{House, signed_in};
use crate::mail_lab::MailLab;
use crate::support::wait::eventually;

const ROUTES: &str = r#"
format = 1
[[digest]]
name = "evening"
at = ["00:00"]
to = ["account"]
calls = true
[[route]]
name = "low"
when = { urgency = "low" }
digest = "evening"
[[route]]
name = "usual"
[[route.step]]
to = ["named"]
until = "sent"
"#;

async fn house(lab: &MailLab) -> House {
    let house = House::start(&signed_in(lab, "STARTTLS_PORT", "starttls")).await;
    let desk = json!({"account": house.account, "name": "受付", "email": "desk@sakura.example.jp", "on_call_order": 1});
    house.ask("admin", Method::POST, "/v1/contacts", desk).await;
    let path = format!("/v1/routes/{}", house.account);
    house.ask("admin", Method::PUT, &path, json!({"body": ROUTES})).await;
    house
}

async fn save(house: &House, text: &str) -> String {
    let message =
        json!({"account": house.account, "text": text, "urgency": "low", "from": {"name": "ヤマモト"}});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    assert_eq!(saved["delivery"]["state"], "held", "{saved}");
    saved["id"].as_str().unwrap().to_owned()
}

/// The texts and subjects of the digests in the mailbox, once there are so many.
async fn digests(lab: &MailLab, count: usize) -> Vec<(String, String)> {
    eventually("the digests are there", async || {
        if lab.count("desk") >= count {
            Ok(())
        } else {
            Err(format!("{} mails: {}", lab.count("desk"), lab.log()))
        }
    })
    .await;
    let read = |bytes: &Vec<u8>| {
        let mail = ReadMail::read(bytes);
        (mail.header("Subject"), mail.text)
    };
    lab.mails("desk").iter().map(read).collect()
}

/// Lets the time of the digest come.
async fn comes(house: &House, at: Timestamp) {
    let database = house.directory.path().join("toritsugi.db");
    let options = SqliteConnectOptions::from_str(database.to_str().unwrap()).unwrap();
    let mut connection: SqliteConnection =
        options.busy_timeout(Duration::from_secs(10)).connect().await.unwrap();
    sqlx::query("UPDATE digest_timers SET due_ms = $1")
        .bind(at.as_millisecond())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_since_the_last_digest_is_in_one_mail_and_nothing_is_said_when_nothing_came() {
    let lab = MailLab::start().await;
    let house = house(&lab).await;
    let first = save(&house, "納期を確認したい。\n<b>至急ではない</b>").await;
    let second = save(&house, "カタログを送ってほしい。").await;
    let run = format!("/v1/accounts/{}/digests/evening/run", house.account);
    let made = house.ask("admin", Method::POST, &run, Value::Null).await;
    let (subject, text) = digests(&lab, 1).await.remove(0);
    assert!(subject.starts_with("【まとめ報告】") && subject.contains("伝言2件｜さくら商事"), "{subject}");
    assert!(text.contains("伝言　　2件") && text.contains("入電　　0件"), "{text}");
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} is not in {text}"));
    assert!(at("納期を確認したい。 <b>至急ではない</b>") < at("カタログを送ってほしい。"), "{text}");
    // The lab's house has no PBX: the digest cannot say that nobody called.
    assert!(text.contains("ヤマモト様"), "{text}");
    for id in [&first, &second] {
        let message = house.is_sent(id).await;
        assert_eq!(message["state"], "sent", "{message}");
    }
    let digest = house.is_sent(made["message"].as_str().unwrap()).await;
    assert_eq!((digest["kind"].as_str(), digest["taken_by"].as_str()), (Some("digest"), None));
    // Nothing came since.
    house.ask("admin", Method::POST, &run, Value::Null).await;
    let (subject, text) = digests(&lab, 2).await.remove(1);
    assert!(subject.contains("なし"), "{subject}");
    assert!(text.contains("伝言　　0件") && !text.contains("納期"), "{text}");
    let listed = house.get(&format!("/v1/accounts/{}/digests", house.account)).await;
    assert_eq!(listed["items"][0]["name"], "evening");
    let items: Vec<_> = listed["runs"].as_array().unwrap().iter().map(|run| run["items"].clone()).collect();
    assert_eq!(items, [0, 2], "the newest first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_digest_comes_once_however_often_the_daemon_dies() {
    let lab = MailLab::start().await;
    let mut house = house(&lab).await;
    let mut saved = Vec::new();
    for round in 0..5 {
        saved.push(save(&house, &format!("{round}番目の伝言")).await);
        comes(&house, Timestamp::now() + jiff::SignedDuration::from_millis(5)).await;
        // At any moment between the claim of the time and the note about the mail.
        let mut random = [0; 1];
        getrandom::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_millis(u64::from(random[0]) * 8)).await;
        house.kill().await;
        house.revive().await;
        for id in &saved {
            house.is_sent(id).await;
        }
    }
    let mails = digests(&lab, 1).await;
    for round in 0..5 {
        let words = format!("{round}番目の伝言");
        let mut with: Vec<&str> =
            mails.iter().filter(|(_, text)| text.contains(&words)).map(|(_, text)| text.as_str()).collect();
        // A mail may come twice, with the same content.
        with.dedup();
        assert_eq!(with.len(), 1, "{words} is in {with:?}");
    }
}
