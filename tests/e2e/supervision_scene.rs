//! A service with supervisors: the steps and checks that all supervision tests share.
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::store::{AuditEntry, AuditFilter, Store};

use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall, Recording, Tone, is_unbroken};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{SAKURA, ms};

/// The shortest sound that is checked.
pub(crate) const WINDOW: Duration = Duration::from_millis(100);
/// How long a change may take to be heard: jitter buffers, the delay of the event.
pub(crate) const SETTLE: Duration = Duration::from_millis(300);

/// One service, and the events that the administrator sees.
pub(crate) struct Scene<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) service: Service,
    pub(crate) events: Sse,
}

impl<'a> Scene<'a> {
    pub(crate) async fn open(lab: &'a Lab) -> Scene<'a> {
        Self::open_with(lab, &[]).await
    }

    /// Opens a scene with other settings.
    pub(crate) async fn open_with(lab: &'a Lab, settings: &[(&str, &str)]) -> Scene<'a> {
        let service = Service::start_with(lab, settings).await;
        let events = service.follow("admin", None).await;
        Scene { lab, service, events }
    }

    pub(crate) async fn saw(&mut self, kind: &str) -> Value {
        wait_for(&mut self.events, kind).await
    }

    /// Places a call that this operator answers; returns the call at the carrier and its id at the service.
    pub(crate) async fn talks(&mut self, operator: &str, from: &str) -> (PlacedCall<'a>, String) {
        for phone in ["1001", "1002", "1003"] {
            self.lab.phone(phone).rings_for_ever().await;
        }
        self.lab.phone(operator).answers_after(ms(100)).await;
        let call = self.lab.place_call(CallSpec::new(from, SAKURA)).await;
        let answered = self.saw("call.answered").await;
        assert_eq!(answered["data"]["operator"], operator);
        (call, answered["call"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn supervise(&self, who: &str, body: Value) -> (StatusCode, Value) {
        self.service.ask(who, Method::POST, "/v1/supervisions", Some(body)).await
    }

    /// Starts a supervision; returns once the supervisor hears the call.
    pub(crate) async fn hears(&mut self, who: &str, body: Value) -> Value {
        let (status, view) = self.supervise(who, body).await;
        assert_eq!(status, StatusCode::CREATED, "{view}");
        loop {
            let event = self.events.next().await.expect("the stream goes on");
            let kind = event["kind"].as_str().unwrap();
            assert_ne!(kind, "supervision.stopped", "{event}");
            if kind.starts_with("supervision.")
                && event["data"]["id"] == view["id"]
                && event["data"]["state"] == "live"
            {
                return event["data"].clone();
            }
        }
    }

    /// Switches the mode; returns the times of the request and of the confirming event.
    pub(crate) async fn switches(&mut self, who: &str, id: &Value, mode: &str) -> (SystemTime, SystemTime) {
        let asked = SystemTime::now();
        let path = format!("/v1/supervisions/{}", id.as_str().unwrap());
        let (status, view) = self.service.ask(who, Method::PATCH, &path, Some(json!({ "mode": mode }))).await;
        assert_eq!(status, StatusCode::OK, "{view}");
        loop {
            let data = self.becomes(id, "live").await;
            if data["mode"] == mode {
                break;
            }
        }
        (asked, SystemTime::now())
    }

    pub(crate) async fn stops(&mut self, who: &str, id: &Value) -> Value {
        let path = format!("/v1/supervisions/{}", id.as_str().unwrap());
        let (status, answer) = self.service.ask(who, Method::DELETE, &path, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
        self.saw("supervision.stopped").await
    }

    /// Waits until the supervision is in this state; earlier events are skipped.
    pub(crate) async fn becomes(&mut self, id: &Value, state: &str) -> Value {
        loop {
            let event = self.events.next().await.expect("the stream goes on");
            let kind = event["kind"].as_str().unwrap();
            if !kind.starts_with("supervision.") || event["data"]["id"] != *id {
                continue;
            }
            assert_ne!(kind, "supervision.stopped", "not {state}: {event}");
            if event["data"]["state"] == state {
                return event["data"].clone();
            }
        }
    }

    /// Starts a transfer; returns it.
    pub(crate) async fn transfer(&self, who: &str, call: &str, mode: &str, to: &str) -> Value {
        let path = format!("/v1/calls/{call}/transfers");
        let body = json!({ "mode": mode, "to": to });
        let (status, transfer) = self.service.ask(who, Method::POST, &path, Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{transfer}");
        transfer
    }

    /// Sends `complete` or `cancel`.
    pub(crate) async fn command(&self, who: &str, transfer: &Value, verb: &str) {
        let path = format!("/v1/transfers/{}/{verb}", transfer["id"].as_str().unwrap());
        let (status, answer) = self.service.ask(who, Method::POST, &path, None).await;
        assert!(status.is_success(), "{status} {answer}");
    }

    /// Changes account 1.
    pub(crate) async fn change_sakura(&self, change: Value) {
        let (_, accounts) = self.service.ask("admin", Method::GET, "/v1/accounts", None).await;
        let accounts = accounts["items"].as_array().unwrap().clone();
        let sakura = accounts.iter().find(|a| a["name"] == "株式会社さくら商事").unwrap();
        let path = format!("/v1/accounts/{}", sakura["id"].as_str().unwrap());
        let (status, answer) = self.service.ask("admin", Method::PATCH, &path, Some(change)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// Waits until the audit trail has an entry of `action`; returns the trail of supervision and help, oldest first.
    pub(crate) async fn audited(&self, action: &str) -> Vec<AuditEntry> {
        self.audited_times(action, 1).await
    }

    /// Waits until the audit trail has this number of entries of `action`: it is written after the answer to the request.
    pub(crate) async fn audited_times(&self, action: &str, times: usize) -> Vec<AuditEntry> {
        let store = Store::open(&self.service.config.store.path).await.unwrap();
        let entries = eventually(&format!("{action} is recorded {times} times"), async || {
            let mut entries = store.audit(&AuditFilter::default(), None, 500).await.unwrap().items;
            entries.retain(|entry| {
                ["supervision.", "help."].iter().any(|topic| entry.action.starts_with(topic))
            });
            entries.reverse();
            let noted = entries.iter().filter(|entry| entry.action == action).count();
            if noted >= times { Ok(entries) } else { Err(format!("{entries:?}")) }
        })
        .await;
        store.close().await;
        entries
    }
}

/// The tones of each tenth of a second between two instants.
pub(crate) fn between(recording: &Recording, from: SystemTime, to: SystemTime) -> Vec<BTreeSet<Tone>> {
    let windows = recording.windows(WINDOW);
    let at = |index: usize| recording.started + WINDOW * u32::try_from(index).unwrap();
    let inside = windows.into_iter().enumerate().filter(|(i, _)| at(*i) >= from && at(*i) + WINDOW <= to);
    inside.map(|(_, tones)| tones).collect()
}

#[track_caller]
pub(crate) fn always(recording: &Recording, tone: Tone, from: SystemTime, to: SystemTime) {
    // A recording's clock and the machine's may differ by a window or two at both ends.
    let heard = between(recording, from + SETTLE, to - SETTLE);
    assert!(heard.len() >= 5, "too little was recorded: {}", heard.len());
    let sounds = heard.iter().map(|tones| tones.contains(&tone));
    assert!(is_unbroken(sounds), "{tone:?} is missing in {heard:?}");
}

#[track_caller]
pub(crate) fn never(recording: &Recording, tone: Tone, from: SystemTime, to: SystemTime) {
    let heard = between(recording, from, to);
    assert!(heard.len() >= 5, "too little was recorded: {}", heard.len());
    assert!(heard.iter().all(|tones| !tones.contains(&tone)), "{tone:?} is in {heard:?}");
}

/// Lets sound be recorded: not a wait for an event.
pub(crate) async fn a_while() {
    tokio::time::sleep(ms(2_000)).await;
}
