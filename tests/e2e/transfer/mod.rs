//! Transfer after answer on a real PBX. Each test checks the events, who heard whom, and the segments of the history.
mod blind;
mod caller_leaves;
mod command;
mod consultation;
mod daemon_dies;
mod prompt;
mod rules;
mod supervised;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::ids::CallId;
use toritsugi::store::Store;

use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

const CONTACT: &str = "09011112222";
/// First and second of the on-call list of account 1; both press 1.
const FIRST_ON_CALL: &str = "09055500011";
const SECOND_ON_CALL: &str = "09055500012";

/// A caller who talks with operator 1001, and the events of the operator's desktop.
struct Scene<'a> {
    service: Service,
    events: Sse,
    call: PlacedCall<'a>,
    id: String,
    kinds: Vec<String>,
}

impl<'a> Scene<'a> {
    async fn talking(lab: &'a Lab) -> Self {
        Self::talking_with(lab, CallSpec::new(KNOWN_CALLER, SAKURA)).await
    }

    /// Contacts of the account take a caller without pressing a key.
    async fn talking_with(lab: &'a Lab, spec: CallSpec) -> Self {
        let service = Service::start(lab).await;
        service.nobody_presses_a_key().await;
        Self::begin(lab, service, spec).await
    }

    /// Contacts press 1 first, as is the default.
    async fn with_keys(lab: &'a Lab) -> Self {
        let service = Service::start(lab).await;
        Self::begin(lab, service, CallSpec::new(KNOWN_CALLER, SAKURA)).await
    }

    async fn begin(lab: &'a Lab, service: Service, spec: CallSpec) -> Self {
        let mut events = service.follow("1001", None).await;
        lab.phone("1001").answers_after(ms(200)).await;
        let call = lab.place_call(spec).await;
        let id = loop {
            let event = events.next().await.expect("an event");
            if event["kind"] == "call.answered" {
                break event["call"].as_str().unwrap().to_owned();
            }
        };
        lab.phone("1001").talks().await;
        talk().await;
        Self { service, events, call, id, kinds: Vec::new() }
    }

    async fn transfer(&self, mode: &str, to: &str) -> Value {
        let (status, transfer) = self.ask_transfer("1001", mode, to).await;
        assert_eq!(status, StatusCode::CREATED, "{transfer}");
        transfer
    }

    async fn ask_transfer(&self, who: &str, mode: &str, to: &str) -> (StatusCode, Value) {
        let path = format!("/v1/calls/{}/transfers", self.id);
        self.service.ask(who, Method::POST, &path, Some(json!({ "mode": mode, "to": to }))).await
    }

    async fn command(&self, transfer: &Value, verb: &str) -> (StatusCode, Value) {
        let path = format!("/v1/transfers/{}/{verb}", transfer["id"].as_str().unwrap());
        self.service.ask("1001", Method::POST, &path, None).await
    }

    async fn show(&self, transfer: &Value) -> Value {
        let path = format!("/v1/transfers/{}", transfer["id"].as_str().unwrap());
        let (status, view) = self.service.ask("1001", Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::OK, "{view}");
        view
    }

    /// The next event of this kind of this call.
    async fn wait_event(&mut self, kind: &str) -> Value {
        loop {
            let event = self.events.next().await.expect("an event");
            if event["call"] != self.id.as_str() {
                continue;
            }
            let this = event["kind"].as_str().unwrap().to_owned();
            self.kinds.push(this.clone());
            if this == kind {
                return event["data"].clone();
            }
            assert!(this != "call.ended", "the call ended before {kind}: {:?}", self.kinds);
        }
    }

    /// Waits until the transfer is over, and either the call is over or an operator has the caller; returns whether one has.
    async fn is_over_or_with_an_operator(&self, transfer: &Value) -> bool {
        eventually("the transfer is over and an operator has the caller or the call is over", async || {
            let (over, (status, call)) = (self.show(transfer).await, self.shown().await);
            if over["state"] == "over" && status == StatusCode::NOT_FOUND {
                return Ok(false);
            }
            if over["state"] == "over" && call["state"] == "answered" && call["operator"].is_string() {
                return Ok(true);
            }
            Err(format!("{over} {call}"))
        })
        .await
    }

    /// The call, as the daemon shows it now.
    async fn shown(&self) -> (StatusCode, Value) {
        self.service.ask("admin", Method::GET, &format!("/v1/calls/{}", self.id), None).await
    }

    /// Whether the daemon has the call as live.
    async fn is_open(&self) -> bool {
        self.shown().await.0 != StatusCode::NOT_FOUND
    }

    /// Waits until the daemon has published the end of the call.
    async fn ended(&mut self) {
        if !self.kinds.iter().any(|kind| kind == "call.ended") {
            self.wait_event("call.ended").await;
        }
    }

    /// Waits until the call is recorded; returns its segments as `kind result`.
    async fn history(&mut self) -> Vec<String> {
        self.ended().await;
        self.service.stop().await;
        let store = Store::open(&self.service.config.store.path).await.unwrap();
        let record = store.finished_call(CallId::parse(&self.id).unwrap()).await.unwrap();
        store.close().await;
        let record = record.expect("the call is recorded");
        let line = |s: &toritsugi::contract::history::Segment| {
            assert!(s.until.is_some(), "{s:?} was left open");
            format!("{} {}", s.kind, s.result.as_deref().unwrap_or("-"))
        };
        // The waits in queues are another test's.
        record.segments.iter().filter(|s| s.kind != "queued").map(line).collect()
    }
}

/// Lets the parties talk, for the recordings: not a wait for an event.
async fn talk() {
    tokio::time::sleep(ms(2_200)).await;
}
