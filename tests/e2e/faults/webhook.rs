//! A webhook whose receiver accepted an event, and a daemon that is killed before it recorded the delivery: the event
//! comes again, and no event is left out.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::sync::Notify;
use toritsugi::webhook::POST_TIMEOUT;

use super::desktop::Desktop;
use super::{all_is_logged, start};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::{TEST_TIMEOUT, eventually_within};
use crate::webhook_receiver::{posting_to, receive};
use crate::{KNOWN_CALLER, ms};

/// How long a delivery stays claimed by a daemon that died during it.
const CLAIM: Duration = Duration::from_secs(2 * POST_TIMEOUT.as_secs());

/// A receiver that accepts every event, except that it never answers the kind that it holds.
#[derive(Clone, Default)]
struct Receiver {
    /// The received bodies of each event id.
    posted: Arc<Mutex<HashMap<String, Vec<String>>>>,
    hold: Arc<Mutex<Option<&'static str>>>,
    held: Arc<Notify>,
}

impl Receiver {
    fn posted(&self) -> HashMap<String, Vec<String>> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, kind: Option<&'static str>) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = kind;
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let event: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["id"], id.as_str());
    let hold = *receiver.hold.lock().unwrap_or_else(PoisonError::into_inner);
    receiver.posted.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().push(body);
    if hold.is_some_and(|kind| event["kind"] == kind) {
        receiver.held.notify_one();
        std::future::pending::<()>().await;
    }
    StatusCode::NO_CONTENT
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_taken_before_the_daemon_could_note_it_comes_again_and_none_is_left_out() {
    let lab = Lab::start().await;
    let receiver = Receiver::default();
    let url = receive(post(take), receiver.clone()).await;
    let service = Service::outside(&lab, &posting_to(&url)).await;
    let mut daemon = start(&service);
    let desktop = Desktop::follow(&service, "admin").await;
    lab.phone("1101").answers_after(ms(100)).await;

    // The receiver has the event, and the daemon dies before the answer. Nothing else happens during the call.
    receiver.hold(Some("call.answered"));
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, "0355502101")).await;
    tokio::time::timeout(TEST_TIMEOUT, receiver.held.notified()).await.expect("it is posted");
    desktop.wait("they talk", |model| model.count("call.answered") > 0).await;
    all_is_logged(&service).await;
    daemon.kill().await.unwrap();
    receiver.hold(None);
    desktop.wait("the stream has ended", |model| !model.up).await;
    daemon = start(&service);
    desktop.wait("it is back", |model| model.up).await;
    call.hang_up().await;
    desktop.wait("the call is over", |model| model.open.is_empty()).await;

    let published = desktop.look(|model| model.ids());
    let posted =
        eventually_within(CLAIM + TEST_TIMEOUT, "every event is posted, and one of them twice", async || {
            let posted = receiver.posted();
            let twice = posted.values().any(|bodies| bodies.len() > 1);
            let left_out: Vec<_> = published.iter().filter(|id| !posted.contains_key(*id)).collect();
            if twice && left_out.is_empty() {
                Ok(posted)
            } else {
                Err(format!("not {left_out:?}; twice: {twice}"))
            }
        })
        .await;
    let is_of_a_call = |bodies: &[String]| bodies[0].contains("\"kind\":\"call.");
    for (id, bodies) in posted.iter().filter(|(_, bodies)| is_of_a_call(bodies)) {
        assert!(published.contains(id), "posted, but received by no desktop: {bodies:#?}");
    }
    for bodies in posted.values() {
        assert!(bodies.iter().all(|body| *body == bodies[0]), "one id, two events: {bodies:#?}");
    }
    let again: Vec<_> = posted.values().filter(|bodies| bodies.len() > 1).collect();
    assert!(again.iter().any(|bodies| bodies[0].contains("\"call.answered\"")), "{again:#?}");
    println!(
        "{} events published, all posted, {} of them again under the same id",
        published.len(),
        again.len()
    );
    daemon.kill().await.unwrap();
}
