//! The shared database is slow or unreachable: no record is lost and none is written twice.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::site::{Daemon, Site, Transcript, is};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::services::{Backends, Server};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_call_whose_record_waits_for_the_database_is_saved_once_after_it() {
    let lab = Lab::start().await;
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let site = Site::new(&lab, &backends).await;
    let daemon = site.start(&lab, "lab").await;
    let (mut desk, mut transcript) = (site.follow(&daemon, "1001", None).await, Transcript::default());
    lab.phone("1001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desk.read("lab", &mut transcript, is("call.answered")).await);
    // The database first blocks the call's record, then it is stopped.
    let database: PgConnectOptions = site.settings[0].1.parse().unwrap();
    let mut busy = database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE calls IN EXCLUSIVE MODE").execute(&mut busy).await.unwrap();
    call.hang_up().await;
    assert!(desk.read("lab", &mut transcript, is("call.ended")).await);
    let id = transcript.calls.keys().next().unwrap();
    let later = (StatusCode::SERVICE_UNAVAILABLE, json!("store-unavailable"));
    let (status, answer) = take(&site, &daemon, id).await;
    assert_eq!((status, answer["type"].clone()), later, "{answer}");
    backends.kill(Server::Postgres);
    let (status, answer) = take(&site, &daemon, id).await;
    assert_eq!((status, answer["type"].clone()), later, "{answer}");
    backends.revive(Server::Postgres);
    let saved = eventually("it is saved", async || {
        let (status, answer) = take(&site, &daemon, id).await;
        if status == StatusCode::CREATED {
            return Ok(answer);
        }
        // A client that is refused permanently discards the message.
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        Err(answer.to_string())
    })
    .await;
    assert_eq!((&saved["call"], &saved["caller"]), (&json!(id), &json!("+819012345678")));
    assert!(saved["account"].is_string(), "{saved}");
    assert_eq!(take(&site, &daemon, id).await.1["id"], saved["id"]);
    let listed = site.until_json(&daemon, "/v1/messages", |_| true).await;
    assert_eq!(listed["items"], json!([saved]));
}

/// Leader and standby both keep records that the database does not accept.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_while_the_database_is_away_takes_no_finished_call_with_it() {
    let lab = Lab::start().await;
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let site = Site::new(&lab, &backends).await;
    let (mut active, standby) = site.pair(&lab).await;
    let (mut desk, mut transcript) = (site.follow(&standby, "1001", None).await, Transcript::default());
    lab.phone("1001").answers_after(ms(100)).await;
    backends.kill(Server::Postgres);
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desk.read("lab", &mut transcript, is("call.answered")).await);
    call.hang_up().await;
    assert!(desk.read("lab", &mut transcript, is("call.ended")).await);
    let id = transcript.calls.keys().next().unwrap().clone();
    let waits = |_, text: &str| text.contains("toritsugi_unwritten_records 1\n");
    site.until(&standby, "/metrics", waits).await;
    active.child.kill().await.unwrap();
    backends.revive(Server::Postgres);

    let has_it = |history: &Value| history.to_string().contains(&id);
    let history = site.until_json(&standby, "/v1/history", has_it).await;
    let calls = history["items"].as_array().unwrap();
    assert_eq!(calls.len(), 1, "{history:#}");
    assert_eq!(
        (&calls[0]["operators"], &calls[0]["outcome"]),
        (&json!(["1001"]), &json!("answered")),
        "{history:#}"
    );
}

/// Sends the same message with the same idempotency key.
async fn take(site: &Site, daemon: &Daemon, call: &str) -> (StatusCode, Value) {
    let message = json!({ "call": call, "text": "納品の日を変えたい" });
    let request = site.request(daemon, "1001", Method::POST, "/v1/messages");
    let response = request.header("idempotency-key", "of-this-message").json(&message).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}
