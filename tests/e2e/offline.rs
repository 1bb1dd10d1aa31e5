//! Calls that come and end while no daemon runs are in the history afterwards: each once, with the account, the outcome and the
//! operator that a daemon would have recorded, and they are counted as those; and no call waits for a daemon that hangs.
//!
//! `TORITSUGI_SOAK=N` (`make callflow-soak`) makes N times as many calls.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::callers::is_alive;
use crate::callflow::{closed_now, is_level, open_now, set_callflow};
use crate::faults::{is_up, soak, start};
use crate::stats::{counted, span};
use crate::support::pbx_lab::{CallSpec, Event, Lab, PlacedCall, Spoken, Tone};
use crate::support::service::Service;
use crate::support::wait::{eventually, eventually_within};
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

/// An account of these tests: its calls overflow.
const OVERFLOWS: &str = "0355501041";
/// It has one line.
const ONE_LINE: &str = "0355501042";
/// It is closed, and a person of it is reached.
const REACHED: &str = "0355501043";
const MOBILE: &str = "09055500011";
/// Calls of each kind in a round.
const OF_EACH: usize = 3;
/// Calls of a round: of seven kinds, and one that occupies a line.
const OF_ROUND: usize = 7 * OF_EACH + 1;
/// The counters to which a call adds the same whether or not a daemon sees it.
const COUNTERS: [&str; 12] = [
    "offered",
    "answered",
    "elsewhere",
    "closed",
    "blocked",
    "refused",
    "overflowed",
    "abandoned",
    "unknown",
    "queued",
    "hops",
    "parts",
];

/// What is compared of a call.
type Seen = (String, String, Vec<String>, Vec<[String; 3]>);

/// Every record, with its segments, once there are so many.
async fn history(service: &Service, calls: usize) -> Vec<Value> {
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == calls);
    let page = service.until("admin", "/v1/history?limit=500", is).await;
    let mut found = Vec::new();
    for call in page["items"].as_array().unwrap() {
        let path = format!("/v1/history/{}", call["id"].as_str().unwrap());
        found.push(service.ask("admin", Method::GET, &path, None).await.1);
    }
    found
}

/// Without what nobody knows of a call that no daemon saw: whose phones rang, whose screens showed it, and who else was reached.
fn seen(call: &Value) -> Seen {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let segments = call["segments"].as_array().unwrap();
    let unknown = [json!("presented"), json!("unacknowledged"), json!("elsewhere")];
    let known = segments.iter().filter(|one| !unknown.contains(&one["kind"]));
    let known = known.map(|one| [text(&one["kind"]), text(&one["target"]), text(&one["result"])]).collect();
    let operators = call["operators"].as_array().unwrap().iter().map(text).collect();
    (text(&call["account"]), text(&call["outcome"]), operators, known)
}

/// What is compared of all these calls, in the same order for the same calls.
fn all_seen<'a>(calls: impl Iterator<Item = &'a Value>) -> Vec<Seen> {
    let mut all: Vec<Seen> = calls.map(seen).collect();
    all.sort();
    all
}

/// The counters by account, since `began`.
async fn counters(service: &Service, began: Timestamp) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
    let stats = counted(service, "admin", "by=account", &span(began)).await;
    let rows = stats["rows"].as_array().unwrap().iter();
    let of = |row: &Value| COUNTERS.map(|name| (name, row["counters"][name].as_u64().unwrap_or(0)));
    rows.map(|row| (row["key"].as_str().unwrap_or("none").to_owned(), of(row).into())).collect()
}

/// Callers with numbers of their own, all at once.
async fn callers<'a>(lab: &'a Lab, numbers: &str, to: &str, calls: usize) -> Vec<PlacedCall<'a>> {
    let mut placed = Vec::new();
    for n in 0..calls {
        placed.push(lab.place_call(CallSpec::new(&format!("03{numbers}{n:04}"), to)).await);
    }
    placed
}

async fn all_end(calls: &[PlacedCall<'_>], cause: u32) {
    for call in calls {
        assert_eq!(call.ended().await, cause, "{} to {}", call.from(), call.to());
    }
}

async fn wait_in_queue(lab: &Lab, mark: usize, calls: &[PlacedCall<'_>]) {
    for call in calls {
        let joined =
            |event: &Event| event.name() == "QueueCallerJoin" && event.has("CallerIDNum", call.from());
        lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
    }
}

/// Calls of all outcomes, those that do not get into each other's way at the same time.
async fn calls_of_all_outcomes(lab: &Lab, operator: &str) {
    let mark = lab.pbx.events.mark();
    lab.phone(operator).talks_briefly(ms(100), ms(1_000)).await;
    lab.phone(MOBILE).talks_briefly(ms(100), ms(1_000)).await;
    let answered = callers(lab, "1111", SAKURA, OF_EACH).await;
    let closed = callers(lab, "1112", MINATO, OF_EACH).await;
    let reached = callers(lab, "1113", REACHED, OF_EACH).await;
    let mut refused = Vec::new();
    for n in 0..OF_EACH {
        let spec = CallSpec::new(&format!("031114{n:04}"), SAKURA).withheld();
        refused.push(lab.place_call(spec).await);
    }
    all_end(&closed, 21).await;
    all_end(&refused, 21).await;
    all_end(&answered, 16).await;
    all_end(&reached, 16).await;

    lab.phone(operator).rings_for_ever().await;
    let given_up = callers(lab, "1115", SAKURA, OF_EACH).await;
    let overflowed = callers(lab, "1116", OVERFLOWS, OF_EACH).await;
    let on_the_line = callers(lab, "1117", ONE_LINE, 1).await;
    wait_in_queue(lab, mark, &on_the_line).await;
    all_end(&callers(lab, "1118", ONE_LINE, OF_EACH).await, 17).await;
    wait_in_queue(lab, mark, &given_up).await;
    for call in given_up.iter().chain(&on_the_line) {
        call.hang_up().await;
    }
    all_end(&overflowed, 34).await;
    eventually("the PBX has no channel", async || {
        let left = lab.pbx.channels().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// The accounts of these calls, level at the PBX.
async fn furnish(service: &Service) {
    service.change_account("A001", json!({ "hours": open_now() })).await;
    service.change_account("A002", json!({ "hours": closed_now() })).await;
    for (code, number) in [("B021", OVERFLOWS), ("B022", ONE_LINE), ("B023", REACHED)] {
        let fields = json!({ "code": code, "name": code, "dialled": [number] });
        let (status, answer) = service.ask("admin", Method::POST, "/v1/accounts", Some(fields)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    service.change_account("B023", json!({ "hours": closed_now() })).await;
    for (code, fields) in [
        ("A001", json!({ "refuse_withheld": true, "withheld_guidance": "accept" })),
        ("A002", json!({ "closed_guidance": "accept" })),
        ("B021", json!({ "wait_s": 2, "overflow_guidance": "accept" })),
        ("B022", json!({ "lines": 1 })),
        ("B023", json!({ "reach": "closed", "reach_numbers": [MOBILE], "reach_accept": false })),
    ] {
        set_callflow(service, code, fields).await;
    }
    is_level(service).await;
}

#[tokio::test]
async fn calls_of_a_time_without_a_daemon_are_recorded_once_as_a_daemon_would_have() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    furnish(&service).await;
    let (began, rounds) = (Timestamp::now(), soak());
    let round = async || {
        for n in 0..rounds {
            calls_of_all_outcomes(&lab, ["1002", "1003"][n % 2]).await;
        }
    };
    let calls = rounds * OF_ROUND;

    round().await;
    let twins = history(&service, calls).await;
    assert!(twins.iter().all(|call| call["source"] == "seen"), "{twins:?}");
    let counted_of_twins = counters(&service, began).await;
    assert!(offline_keys(&lab).await.is_empty(), "a daemon follows the PBX");

    service.kill().await;
    // As six seconds later.
    lab.set_global("TORITSUGI_ALIVE", "0").await;
    round().await;
    assert_eq!(offline_keys(&lab).await.len(), calls + 1, "the calls, and their count");
    service.again().await;
    let all = history(&service, 2 * calls).await;
    let offline: Vec<&Value> = all.iter().filter(|call| call["source"] == "offline").collect();
    for call in &offline {
        let caller = (&call["inferred"], &call["caller"], &call["presentation"]);
        assert_eq!(caller, (&json!(true), &Value::Null, &json!("unavailable")), "{call}");
    }
    assert_eq!(all_seen(offline.iter().copied()), all_seen(twins.iter()));
    let mut counted_twice = counted_of_twins;
    counted_twice.values_mut().flat_map(BTreeMap::values_mut).for_each(|count| *count *= 2);
    assert_eq!(counters(&service, began).await, counted_twice);
    is_read(&lab).await;

    // A crash after the record and before the key is gone: the same call again.
    let answered = offline.iter().find(|call| call["outcome"] == "answered").unwrap();
    let id = &answered["channels"][0].as_str().unwrap();
    let began = answered["offered_at"].as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond();
    let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let entry = format!("1|{began}|{}|{encoded}||o|{SAKURA}||PJSIP/1001|||||||", began + 5_000);
    lab.write_plan_key("offline/1.1", &entry).await;
    service.kill().await;
    service.again().await;
    is_read(&lab).await;
    let again = history(&service, 2 * calls).await;
    assert_eq!(again.iter().find(|call| call["id"] == answered["id"]), Some(*answered));
    service.stop().await;
}

/// Waits until the daemon has recorded what the PBX wrote down.
async fn is_read(lab: &Lab) {
    eventually_within(Duration::from_secs(30), "the PBX's log is empty", async || {
        let left = offline_keys(lab).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

async fn offline_keys(lab: &Lab) -> Vec<String> {
    lab.plan_keys().await.into_keys().filter(|key| key.starts_with("offline/")).collect()
}

#[tokio::test]
async fn the_operator_hears_who_calls_and_from_where() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    set_callflow(&service, "A001", json!({ "announcement": "accept", "announce_caller": true })).await;
    is_level(&service).await;
    is_alive(&lab).await;
    let operator = lab.phone("1001");
    operator.answers_after(ms(100)).await;
    let hint = |event: &Event| event.has("UserEvent", "ToritsugiHint");
    let mark = lab.pbx.events.mark();
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    lab.pbx.events.wait_after(mark, "the dialplan to ask", hint).await;
    call.connected().await;
    tokio::time::sleep(ms(1_500)).await;
    call.hang_up().await;
    let heard = operator.heard().await;
    assert!(heard.ever_hears(Tone::PROMPT), "the company: {:?}", heard.per_second());
    // The customer has the flag vip.
    for sound in ["vip", "area/mobile"] {
        let spoken = Spoken::from_ulaw(&format!("asterisk-conf/sounds/toritsugi/{sound}.ulaw"));
        let likeness = heard.likeness(&spoken);
        assert!(likeness > 0.8, "{sound}: {likeness}");
    }
    let of_caller = call.heard().await;
    assert!(
        !of_caller.ever_hears(Tone::PROMPT),
        "the caller hears nothing of it: {:?}",
        of_caller.per_second()
    );

    // A withheld number: nothing is said of where it is.
    let withheld = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA).withheld()).await;
    withheld.connected().await;
    tokio::time::sleep(ms(1_000)).await;
    withheld.hang_up().await;
    let heard = operator.heard().await;
    let area = Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/area/mobile.ulaw");
    assert!(heard.ever_hears(Tone::PROMPT) && heard.likeness(&area) < 0.7, "{}", heard.likeness(&area));
    service.stop().await;
}

/// The process stands still: its connections are open, and nothing answers.
pub(crate) async fn signal(daemon: &Child, signal: &str) {
    let pid = daemon.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
}

#[tokio::test]
async fn a_daemon_that_hangs_keeps_no_caller_from_getting_through() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let mut daemon = start(&service);
    is_up(&service).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    service.change_account("A002", json!({ "hours": closed_now() })).await;
    set_callflow(&service, "A001", json!({ "announcement": "accept", "announce_caller": true })).await;
    set_callflow(&service, "A002", json!({ "closed_guidance": "accept" })).await;
    is_level(&service).await;
    is_alive(&lab).await;
    signal(&daemon, "-STOP").await;

    let asked = |event: &Event| event.has("UserEvent", "ToritsugiHint");
    let mut calls = 0;
    // As long as the last heartbeat is fresh, each call asks for a hint, in vain; later none does.
    for is_fresh in [true, false] {
        let alive = if is_fresh { Timestamp::now().as_second() } else { 0 };
        lab.set_global("TORITSUGI_ALIVE", &alive.to_string()).await;
        let (mark, asked_before) = (lab.pbx.events.mark(), lab.pbx.events.all(asked).len());
        lab.phone("1001").rings_for_ever().await;
        let open = callers(&lab, "1121", SAKURA, OF_EACH).await;
        let closed = callers(&lab, "1122", MINATO, OF_EACH).await;
        wait_in_queue(&lab, mark, &open).await;
        all_end(&closed, 21).await;
        assert_eq!(lab.pbx.events.all(asked).len() - asked_before, if is_fresh { OF_EACH } else { 0 });
        for call in &open {
            call.hang_up().await;
        }
        // A further one talks with the operator, who hears the company first.
        lab.phone("1001").answers_after(ms(100)).await;
        let talks = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        talks.connected().await;
        tokio::time::sleep(ms(1_500)).await;
        talks.hang_up().await;
        let operator = lab.phone("1001").heard().await;
        assert!(operator.ever_hears(Tone::PROMPT) && operator.ever_hears(Tone::CALLER), "{is_fresh}");
        assert!(talks.heard().await.ever_hears(Tone::OPERATOR), "{is_fresh}");
        calls += 2 * OF_EACH + 1;
    }
    // It goes on: each call is one record, with what became of it.
    signal(&daemon, "-CONT").await;
    let all = history(&service, calls).await;
    for (outcome, expected) in [("answered", 2), ("abandoned", 2 * OF_EACH), ("closed", 2 * OF_EACH)] {
        let found = all.iter().filter(|call| call["outcome"] == outcome).count();
        assert_eq!(found, expected, "{outcome}: {all:?}");
    }
    daemon.kill().await.unwrap();
}
