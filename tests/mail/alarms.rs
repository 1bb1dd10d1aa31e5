//! Alarms of a daemon: raised once and cleared once, as events, as mails and in the list, also over a kill.

use mail_parser::MessageParser;
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, plain};
use crate::mail_lab::MailLab;
use crate::support::client::Sse;
use crate::support::wait::{TEST_TIMEOUT, eventually_within};

/// Nobody is ready in this house, which has no PBX.
fn rule(below: u32) -> Value {
    json!({
        "name": "受付可がいません", "metric": "ready", "below": below, "for_s": 0, "clear_for_s": 0,
        "to": ["sv@sakura.example.jp"],
    })
}

async fn event(events: &mut Sse, kind: &str) -> Value {
    loop {
        let event = events.next().await.unwrap();
        if event["kind"] == kind {
            return event["data"].clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_is_raised_once_and_cleared_once_and_mailed() {
    let lab = MailLab::start().await;
    let mut house = House::start(&plain(&lab.port("PLAIN_PORT"))).await;
    let mut events = house.events("2001").await;
    let made = house.ask("admin", Method::POST, "/v1/alarm-rules", rule(1)).await;
    let path = format!("/v1/alarm-rules/{}", made["id"].as_str().unwrap());
    let raised = event(&mut events, "alarm.raised").await;
    assert_eq!(
        (&raised["rule"], &raised["name"], &raised["metric"], &raised["value"], &raised["below"]),
        (&made["id"], &json!("受付可がいません"), &json!("ready"), &json!(0.0), &json!(1.0))
    );
    let live = house.get("/v1/stats/live").await;
    assert_eq!(live["alarms"], json!([{ "name": "受付可がいません", "raised_at": raised["raised_at"] }]));
    assert_eq!(house.ask("1001", Method::GET, "/v1/stats/live", Value::Null).await["alarms"], json!([]));
    // A daemon that died finds it raised, and does not raise it again.
    house.kill().await;
    house.revive().await;
    let mut events = house.events("2001").await;
    house.ask("admin", Method::PUT, &path, rule(0)).await;
    let cleared = event(&mut events, "alarm.cleared").await;
    assert_eq!((&cleared["id"], &cleared["raised_at"]), (&raised["id"], &raised["raised_at"]));
    assert!(cleared["cleared_at"].is_string(), "{cleared}");
    let listed = house.get("/v1/alarms").await;
    let listed = listed["items"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["cleared_at"]), (1, &cleared["cleared_at"]));
    assert_eq!(house.get("/v1/stats/live").await["alarms"], json!([]));
    let subjects = || {
        let subject =
            |bytes: &Vec<u8>| MessageParser::default().parse(bytes).unwrap().subject().unwrap().to_owned();
        let mut subjects: Vec<String> = lab.mails("sv").iter().map(subject).collect();
        subjects.sort_unstable();
        subjects
    };
    eventually_within(TEST_TIMEOUT, "both mails are there", async || {
        let subjects = subjects();
        let both = ["【警報発生】受付可がいません", "【警報解除】受付可がいません"];
        if subjects == both { Ok(()) } else { Err(format!("{subjects:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_reaches_nobody_is_an_alarm_that_mails_the_service() {
    let lab = MailLab::start().await;
    let house = House::start(&plain(&lab.port("PLAIN_PORT"))).await;
    let mut events = house.events("2001").await;
    let rule = json!({
        "name": "届かない伝言", "metric": "undelivered", "above": 0, "for_s": 0, "clear_for_s": 0,
        "to": ["sv@sakura.example.jp"],
    });
    house.ask("admin", Method::POST, "/v1/alarm-rules", rule).await;
    // The account has nobody to whom it could go.
    let message = json!({"account": house.account, "text": "納期の確認"});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    assert_eq!(saved["delivery"]["reason"], "no_contact", "{saved}");
    let raised = event(&mut events, "alarm.raised").await;
    assert_eq!((&raised["metric"], &raised["value"]), (&json!("undelivered"), &json!(1.0)), "{raised}");
    let path = format!("/v1/messages/{}", saved["id"].as_str().unwrap());
    house.ask("1001", Method::PATCH, &path, json!({"state": "acknowledged"})).await;
    event(&mut events, "alarm.cleared").await;
    eventually_within(TEST_TIMEOUT, "both mails are there", async || {
        let count = lab.count("sv");
        if count == 2 { Ok(()) } else { Err(format!("{count} mails: {}", lab.log())) }
    })
    .await;
}
