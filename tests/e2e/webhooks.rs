//! Events and pops for other systems, from a real call: webhooks, which a receiver that fails at first gets later,
//! and the link of a pop.
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use toritsugi::secret::Secret;
use toritsugi::webhook::sign;

use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::TEST_TIMEOUT;
use crate::webhook_receiver::{SECRET, posting_to, receive};
use crate::{KNOWN_CALLER, SAKURA, ms};

/// Number of attempts that fail.
const BROKEN_FOR: u32 = 2;

#[derive(Clone)]
struct Receiver {
    attempts: Arc<AtomicU32>,
    taken: mpsc::UnboundedSender<Value>,
}

/// Fails at first; then accepts signed requests only.
async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    if receiver.attempts.fetch_add(1, Ordering::Relaxed) < BROKEN_FOR {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp").parse().unwrap_or(0));
    if text("webhook-signature") != sign(&Secret::new(SECRET), &id, timestamp, body.as_bytes()) {
        return StatusCode::UNAUTHORIZED;
    }
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["id"], id.as_str());
    let _ = receiver.taken.send(event);
    StatusCode::NO_CONTENT
}

#[tokio::test]
async fn a_call_reaches_another_system_and_its_pop_links_there() {
    let lab = Lab::start().await;
    let (taken, mut events_taken) = mpsc::unbounded_channel();
    let receiver = Receiver { attempts: Arc::default(), taken };
    let url = receive(post(take), receiver.clone()).await;
    let link = "https://crm.example.jp/s?tel={caller}&account={account}&customer={customer}&call={call}\
        &code={customer_code}&written={customer_number}&e164={caller_e164}";
    let kinds = ("WEBHOOKS__KINDS__crm", "call.presented, call.ended");
    let settings: Vec<_> = posting_to(&url).into_iter().chain([kinds, ("POP__LINK", link)]).collect();
    let mut service = Service::start_with(&lab, &settings).await;
    let mut desk = service.follow("1001", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let pop = wait_for(&mut desk, "call.presented").await;
    let (call_id, customer) =
        (pop["call"].as_str().unwrap(), pop["data"]["customers"][0]["id"].as_str().unwrap());
    let link = format!(
        "https://crm.example.jp/s?tel=09012345678&account=A001&customer={customer}&call={call_id}\
            &code=C0001&written=090-1234-5678&e164=%2B819012345678"
    );
    assert_eq!(pop["data"]["link"], link.as_str());
    wait_for(&mut desk, "call.answered").await;
    call.hang_up().await;
    let ended = wait_for(&mut desk, "call.ended").await;

    // The receiver gets the same events, although it failed when they happened.
    let mut seen = HashSet::new();
    while !(seen.contains(&pop["id"].to_string()) && seen.contains(&ended["id"].to_string())) {
        let event = timeout(TEST_TIMEOUT, events_taken.recv()).await.expect("a webhook in time").unwrap();
        assert!(["call.presented", "call.ended"].contains(&event["kind"].as_str().unwrap()), "{event}");
        if event["id"] == pop["id"] {
            assert_eq!(event, pop, "the same event as on the desktop");
        }
        seen.insert(event["id"].to_string());
    }
    assert!(receiver.attempts.load(Ordering::Relaxed) > BROKEN_FOR);
    let (status, _) = service.ask("1001", Method::GET, "/v1/webhooks/deliveries", None).await;
    assert_eq!(status.as_u16(), 403, "only administrators see what was not taken");
    let nothing_waits =
        |status: StatusCode, left: &Value| status == StatusCode::OK && left["items"] == json!([]);
    service.until("admin", "/v1/webhooks/deliveries", nothing_waits).await;
    service.stop().await;
}
