//! What only the leader model of a call survives the leader: an acknowledged pop and the result of a transfer are in
//! the history exactly once, whichever daemon writes it.
use std::cell::RefCell;
use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::site::{Daemon, Desktop, Site, Transcript};
use crate::far_end_cdr::{Placed, far_end_cdr};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::services::shared;
use crate::{SAKURA, ms};

/// First of the on-call list of account 1.
const CONTACT: &str = "09055500011";

/// The moment at which the leader is killed with -9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// While the contact's phone rings; the contact answers before another daemon leads.
    InTheTransfer,
    /// While the caller talks with the contact.
    AfterTheTransfer,
    /// While the caller talks with the contact; the caller hangs up before another daemon leads.
    BeforeTheHangUp,
}

/// A desktop that resumes at another daemon, and the events it received.
pub(super) struct Watch {
    pub(super) desktop: Desktop,
    pub(super) events: RefCell<Vec<Value>>,
}

impl Watch {
    pub(super) async fn begin(site: &Site, daemon: &Daemon) -> Self {
        Self { desktop: site.follow(daemon, "admin", None).await, events: RefCell::default() }
    }

    pub(super) fn count(&self, is: impl Fn(&Value) -> bool) -> usize {
        self.events.borrow().iter().filter(|event| is(event)).count()
    }

    /// Reads until the received events are enough; false at the end of the stream.
    pub(super) async fn until(&mut self, enough: impl Fn(&[Value]) -> bool) -> bool {
        let events = &self.events;
        if enough(&events.borrow()) {
            return true;
        }
        let note = |_: &Transcript, event: &Value| {
            events.borrow_mut().push(event.clone());
            enough(&events.borrow())
        };
        // A duplicate id fails the test there.
        let mut transcript = Transcript::default();
        self.desktop.read("lab", &mut transcript, note).await
    }

    /// The next event of this kind about this caller's call, or any call.
    pub(super) async fn hears(&mut self, kind: &'static str, call: Option<&str>) -> Value {
        let from = self.events.borrow().len();
        let is = |event: &&Value| event["kind"] == kind && call.is_none_or(|call| event["call"] == call);
        assert!(self.until(|events| events[from..].iter().any(|event| is(&event))).await, "no {kind}");
        self.events.borrow()[from..].iter().find(is).unwrap().clone()
    }

    /// Resumes at another daemon, which must not repeat an event.
    pub(super) async fn goes_on(&mut self, site: &Site, daemon: &Daemon) {
        while self.until(|_| false).await {}
        self.desktop = site.follow(daemon, "admin", Some(&self.desktop.last)).await;
    }
}

/// Contacts of account 1 take a caller without pressing a key. Only daemons that start later use this setting.
pub(super) async fn nobody_presses_a_key(site: &Site, daemon: &Daemon) {
    let list = site.json(daemon, "admin", Method::GET, "/v1/accounts", &Value::Null).await;
    let account = list["items"].as_array().unwrap().iter().find(|account| account["code"] == "A001").unwrap();
    let path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
    site.json(daemon, "admin", Method::PATCH, &path, &json!({ "accept_by_key": false })).await;
}

/// Waits until a standby has observed a pop itself.
pub(super) async fn has_seen_a_pop(site: &Site, standby: &Daemon) {
    let pops = |line: &str| line.strip_prefix("toritsugi_pops_total ").is_some_and(|pops| pops != "0");
    site.until(standby, "/metrics", |_, text| text.lines().any(pops)).await;
}

/// Waits until operator 1001 has answered and acknowledges the pop; returns the call.
pub(super) async fn is_shown_and_answered(site: &Site, leader: &Daemon, watch: &mut Watch) -> String {
    let answered = watch.hears("call.answered", None).await;
    let call = answered["call"].as_str().unwrap().to_owned();
    let path = format!("/v1/calls/{call}/ack");
    let shown = site.request(leader, "1001", Method::POST, &path).send().await.unwrap();
    assert!(shown.status().is_success(), "{}", shown.text().await.unwrap());
    call
}

/// Waits until the history of a call has this number of segments, besides the waits in queues, and all are closed; returns
/// it.
pub(super) async fn history(site: &Site, daemon: &Daemon, call: &str, segments: usize) -> Value {
    let is_whole = |text: &str| {
        let record: Value = serde_json::from_str(text).unwrap_or_default();
        let mut found = record["segments"].as_array().cloned().unwrap_or_default();
        found.retain(|segment| segment["kind"] != "queued");
        found.len() == segments && found.iter().all(|segment| segment["until"].is_string())
    };
    let text = site.until(daemon, &format!("/v1/history/{call}"), |_, text| is_whole(text)).await;
    serde_json::from_str(&text).unwrap()
}

/// Kind, operator, and result of each segment.
pub(super) fn lines(record: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |s: &Value| format!("{} {} {}", word(&s["kind"]), word(&s["operator"]), word(&s["result"]));
    record["segments"].as_array().unwrap().iter().filter(|s| s["kind"] != "queued").map(line).collect()
}

/// The segments of operator 1001 in a call that the operator transferred.
const SEGMENTS: [&str; 5] = [
    "presented 1001 answered",
    "shown 1001 -",
    "talking 1001 -",
    "transfer 1001 answered",
    "transferred - -",
];

/// Checks that the record of a call that rang at `rang` operators has each segment of [`SEGMENTS`] once.
pub(super) async fn has_every_segment_once(site: &Site, daemon: &Daemon, call: &str, rang: usize) -> Value {
    let record = history(site, daemon, call, rang + SEGMENTS.len() - 1).await;
    let mut found = lines(&record);
    found.retain(|line| !line.starts_with("presented ") || line.starts_with("presented 1001"));
    found.sort();
    assert_eq!(found, SEGMENTS, "{record:#}");
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_killed_leader_knew_of_a_call_is_in_its_history_once() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let mut active = site.start(&lab, "lab").await;
    site.leads(&active).await;
    nobody_presses_a_key(&site, &active).await;
    lab.phone("1001").answers_after(ms(100)).await;
    for (n, killed) in
        [Killed::InTheTransfer, Killed::AfterTheTransfer, Killed::BeforeTheHangUp].into_iter().enumerate()
    {
        let standby = site.start(&lab, "lab").await;
        let mut watch = Watch::begin(&site, &active).await;
        lab.phone(CONTACT).rings_for_ever().await;
        let placed = lab.place_call(CallSpec::new(&format!("0906610000{n}"), SAKURA)).await;
        let call = is_shown_and_answered(&site, &active, &mut watch).await;
        has_seen_a_pop(&site, &standby).await;
        let path = format!("/v1/calls/{call}/transfers");
        let blind = json!({ "mode": "blind", "to": CONTACT });
        site.json(&active, "1001", Method::POST, &path, &blind).await;
        watch.hears("call.transfer.ringing", Some(&call)).await;
        if killed != Killed::InTheTransfer {
            lab.phone(CONTACT).answers().await;
            watch.hears("call.transfer.completed", Some(&call)).await;
        }
        active.child.kill().await.unwrap();
        match killed {
            Killed::InTheTransfer => lab.phone(CONTACT).answers().await,
            Killed::AfterTheTransfer => {}
            Killed::BeforeTheHangUp => placed.hang_up().await,
        }
        site.leads(&standby).await;
        watch.goes_on(&site, &standby).await;
        if killed != Killed::BeforeTheHangUp {
            let completed = |events: &[Value]| events.iter().any(|e| e["kind"] == "call.transfer.completed");
            assert!(watch.until(completed).await);
            placed.hang_up().await;
        }
        let ended = |events: &[Value]| events.iter().any(|e| e["kind"] == "call.ended" && e["call"] == call);
        assert!(watch.until(ended).await);

        // The record has each operator at whom it rang, and the segments of 1001; the far end's records agree.
        let pops = |event: &Value| event["kind"] == "call.presented" && event["data"]["repeats"].is_null();
        let rang: BTreeSet<String> = (watch.events.borrow().iter().filter(|event| pops(event)))
            .map(|event| event["data"]["operator"].as_str().unwrap().to_owned())
            .collect();
        let record = has_every_segment_once(&site, &standby, &call, rang.len()).await;
        let far = far_end_cdr(&lab, &[Placed::from(&placed)]).await;
        let far = far.values().next().unwrap();
        assert_eq!((far.answered, &far.rang), (record["outcome"] == "answered", &rang), "{record:#}");
        let took: BTreeSet<String> = serde_json::from_value(record["operators"].clone()).unwrap();
        assert_eq!(far.took, took, "{record:#}");
        println!("killed {killed:?}: {} segments, once each, in the successor's history", SEGMENTS.len());
        drop(placed);
        lab.phone("1001").goes_idle().await;
        active = standby;
    }
}
