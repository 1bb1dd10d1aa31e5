//! The link in a mail: a robot opens it, then a person confirms; and the route that goes on until then, over a refused address and a
//! killed daemon.

use std::net::TcpListener;
use std::str::FromStr as _;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::arrives::ReadMail;
use super::house::{House, signed_in};
use crate::mail_lab::{Answer, MailLab};
use crate::support::client::http;
use crate::support::wait::eventually;

/// A house with public pages.
pub(crate) async fn house_with_pages(lab: &MailLab) -> House {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut house = House::start(&signed_in(lab, "STARTTLS_PORT", "starttls")).await;
    house.kill().await;
    let set = |key: &str, value: String| (format!("TORITSUGI__PUBLIC__{key}"), value);
    house.environment.push(set("LISTEN", address.to_string()));
    house.environment.push(set("URL", format!("http://{address}")));
    house.revive().await;
    house
}

/// The link in the one mail of this mailbox.
async fn link(lab: &MailLab, mailbox: &str) -> String {
    eventually("the mail is there", async || if lab.count(mailbox) == 1 { Ok(()) } else { Err(lab.log()) })
        .await;
    link_in(&lab.mails(mailbox)[0])
}

/// The link in a mail.
pub(crate) fn link_in(mail: &[u8]) -> String {
    let mail = ReadMail::read(mail);
    let link = mail.text.lines().find(|line| line.starts_with("http://127.0.0.1:"));
    link.unwrap_or_else(|| panic!("no link in {}", mail.text)).to_owned()
}

/// The fields of the form with which the contact answers.
pub(crate) fn fields_of(page: &str, answer: &str) -> String {
    let nonce = page.split_once("name=\"nonce\" value=\"").unwrap().1.split_once('"').unwrap().0;
    let form = [("nonce", nonce), ("who", "contact"), ("answer", answer), ("note", "承知しました")];
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// Sends the form from a network; the page that follows.
pub(crate) async fn send_form(
    client: &reqwest::Client,
    link: &str,
    from: &str,
    form: &str,
) -> Result<String, String> {
    let request = client.post(link).header("content-type", "application/x-www-form-urlencoded");
    let answer = request.header("x-forwarded-for", from).body(form.to_owned()).send().await;
    answer.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_opens_the_link_and_the_person_confirms() {
    let lab = MailLab::start().await;
    let house = house_with_pages(&lab).await;
    let kato = house.contact("加藤", "kato@sakura.example.jp").await;
    let mut events = house.events("2001").await;
    let id = house.save(&kato, "注文1234の納期").await;
    house.is_sent(&id).await;
    let link = link(&lab, "kato").await;
    let client = http();
    for _ in 0..9 {
        let opened = client.get(&link).send().await.unwrap();
        assert_eq!(opened.status(), StatusCode::OK);
        client.head(&link).send().await.unwrap();
    }
    let message = house.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(message["state"], "sent", "opening confirms nothing: {message}");
    // The person's proxy is another network.
    let person = |request: reqwest::RequestBuilder| request.header("x-forwarded-for", "192.0.2.7").send();
    let page = person(client.get(&link)).await.unwrap().text().await.unwrap();
    assert!(page.contains("注文1234の納期") && page.contains("加藤"), "{page}");
    let form = fields_of(&page, "seen");
    let page = eventually("the form is old enough", async || {
        let page = send_form(&client, &link, "192.0.2.7", &form).await?;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        if page.contains("に確認しました") { Ok(page) } else { Err(page) }
    })
    .await;
    assert!(page.contains("加藤さんが"), "{page}");
    let message = house.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(message["state"], "acknowledged", "{message}");
    assert_eq!(message["acknowledged_by"], Value::Null);
    let answers = house.get(&format!("/v1/messages/{id}/answers")).await;
    assert_eq!(answers["items"][0]["note"], "承知しました", "{answers}");
    let timeline = house.get(&format!("/v1/messages/{id}/timeline")).await;
    let items = timeline["items"].as_array().unwrap();
    let kinds: Vec<_> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["saved", "delivery"], "{timeline}");
    assert_eq!(kinds[kinds.len() - 2..], ["answered", "acknowledged"], "{timeline}");
    let sent = items.iter().find(|item| item["delivery"] == "sent").unwrap();
    assert_eq!(sent["to"], "kato@sakura.example.jp", "{timeline}");
    let mut seen = Vec::new();
    while !(seen.contains(&"message.acknowledged".to_owned())
        && seen.contains(&"message.answered".to_owned()))
    {
        seen.push(events.next().await.unwrap()["kind"].as_str().unwrap().to_owned());
    }
    let token = link.rsplit('/').next().unwrap();
    assert!(!house.log().contains(token), "the link is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_goes_on_over_a_refused_address_and_a_killed_daemon() {
    let lab = MailLab::start().await;
    let mut house = house_with_pages(&lab).await;
    let gone = house.contact("不在", "gone@sakura.example.jp").await;
    lab.at_recipient("gone@sakura.example.jp", &[Answer::Say("550 5.1.1 no such person")]);
    house.contact("加藤", "kato@sakura.example.jp").await;
    let duty = json!({"account": house.account, "name": "当番", "code": "duty", "number": "090-1111-0001"});
    let duty = house.ask("admin", Method::POST, "/v1/contacts", duty).await;
    let order = json!({"on_call_order": 1});
    let path = format!("/v1/contacts/{}", duty["id"].as_str().unwrap());
    house.ask("admin", Method::PATCH, &path, order).await;
    let routes = "format = 1\n[[route]]\nname = \"usual\"\n[[route.step]]\nto = [\"named\"]\nwait_min = 1000\n\
        [[route.step]]\nto = [\"on-call\"]\nvia = [\"phone\"]\nwait_min = 1000\n[[route.step]]\nto = [\"supervisors\"]\n";
    let path = format!("/v1/routes/{}", house.account);
    house.ask("admin", Method::PUT, &path, json!({"body": routes, "version": 0})).await;
    let (status, problem) =
        house.try_ask("admin", Method::PUT, &path, &json!({"body": "format = 1\ncolour = 1"})).await.unwrap();
    assert_eq!((status.as_u16(), &problem["type"]), (422, &json!("routes-invalid")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("line 2, column 1"), "{problem}");
    let explained = json!({"account": house.account, "contact": gone});
    let explained = house.ask("1001", Method::POST, "/v1/routes/explain", explained).await;
    let text = "不在様へメール → 1000分で確認がなければ 当番様へ電話 → 2000分で確認がなければ スーパーバイザーへ通知";
    assert_eq!(explained["text"], text, "{explained}");

    let mut events = house.events("2001").await;
    let id = house.save(&gone, "至急のご連絡").await;
    let tasks = eventually("the operators have a task", async || {
        let tasks = house.ask("1001", Method::GET, "/v1/tasks", Value::Null).await;
        if tasks["items"].as_array().unwrap().len() == 1 { Ok(tasks) } else { Err(tasks.to_string()) }
    })
    .await;
    assert_eq!(tasks["items"][0]["number"], "090-1111-0001", "{tasks}");
    while events.next().await.unwrap()["kind"] != "message.escalated" {}
    let message = house.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(
        (&message["state"], &message["delivery"]["route"]["step"]),
        (&json!("open"), &json!(2)),
        "{message}"
    );
    house.kill().await;
    // The time of the step comes while no daemon runs.
    let database = house.directory.path().join("toritsugi.db");
    let options = SqliteConnectOptions::from_str(database.to_str().unwrap()).unwrap();
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    let moved = sqlx::query(
        "UPDATE dispatches SET due_ms = 1, body_json = json_set(body_json, '$.ends_at', '2026-01-01T00:00:00Z')",
    );
    assert_eq!(moved.execute(&mut connection).await.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
    house.revive().await;
    let message = house
        .message_until(&id, "the supervisors are alarmed", |m| m["delivery"]["route"]["step"] == 3)
        .await;
    assert_eq!(message["delivery"]["route"]["state"], "running", "{message}");
    let tasks = house.ask("1001", Method::GET, "/v1/tasks?state=failed", Value::Null).await;
    assert_eq!(tasks["items"].as_array().unwrap().len(), 1, "{tasks}");
    let noted = json!({"state": "acknowledged"});
    let over = house.ask("2001", Method::PATCH, &format!("/v1/messages/{id}"), noted).await;
    assert_eq!(over["delivery"]["route"]["state"], "answered", "{over}");
}
