//! Calls that come and end while no daemon runs are in the history afterwards: each once, with the account, the outcome and the
//! operator that a daemon would have recorded; and the dialplan asks no daemon that is dead or hangs.
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::callflow::{closed_now, is_level, open_now, set_callflow};
use crate::support::pbx_lab::{CallSpec, Event, Lab, Spoken, Tone};
use crate::support::service::Service;
use crate::support::wait::{eventually, eventually_within};
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

/// What is compared of a call.
type Seen = (Value, Value, Value, Vec<(Value, Value, Value)>);

async fn history(service: &Service, calls: usize) -> Vec<Value> {
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == calls);
    let page = service.until("admin", "/v1/history", is).await;
    let mut found = Vec::new();
    for call in page["items"].as_array().unwrap() {
        let path = format!("/v1/history/{}", call["id"].as_str().unwrap());
        found.push(service.ask("admin", Method::GET, &path, None).await.1);
    }
    found.reverse();
    found
}

/// Without what nobody knows of a call that no daemon saw: whose phones rang.
fn seen(call: &Value) -> Seen {
    let segments = call["segments"].as_array().unwrap();
    let known = segments.iter().filter(|one| one["kind"] != "presented");
    let known =
        known.map(|one| (one["kind"].clone(), one["target"].clone(), one["result"].clone())).collect();
    (call["account"].clone(), call["outcome"].clone(), call["operators"].clone(), known)
}

/// Answered, given up, overflowed, blocked and closed, one after the other.
async fn calls_of_all_outcomes(lab: &Lab) {
    lab.phone("1001").answers_after(ms(100)).await;
    let answered = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    answered.connected().await;
    tokio::time::sleep(ms(2_000)).await;
    answered.hang_up().await;

    lab.phone("1001").rings_for_ever().await;
    let mark = lab.pbx.events.mark();
    let given_up = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let joined = |event: &Event| event.name() == "QueueCallerJoin";
    lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
    given_up.hang_up().await;

    let mark = lab.pbx.events.mark();
    let overflows = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
    let blocked = lab.place_call(CallSpec::new("0311112222", SAKURA)).await;
    assert_eq!(blocked.ended().await, 17);
    assert_eq!(overflows.ended().await, 34);

    let closed = lab.place_call(CallSpec::new(KNOWN_CALLER, MINATO)).await;
    assert_eq!(closed.ended().await, 21);
    eventually("the PBX has no channel", async || {
        let left = lab.pbx.channels().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn calls_of_a_time_without_a_daemon_are_recorded_once_as_a_daemon_would_have() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    service.change_account("A002", json!({ "hours": closed_now() })).await;
    let open = json!({ "lines": 1, "wait_s": 3, "overflow_guidance": "accept" });
    set_callflow(&service, "A001", open).await;
    set_callflow(&service, "A002", json!({ "closed_guidance": "accept" })).await;
    is_level(&service).await;

    calls_of_all_outcomes(&lab).await;
    let twins = history(&service, 5).await;
    assert!(twins.iter().all(|call| call["source"] == "seen"), "{twins:?}");
    assert!(offline_keys(&lab).await.is_empty(), "a daemon follows the PBX");

    service.kill().await;
    // As six seconds later.
    lab.set_global("TORITSUGI_ALIVE", "0").await;
    calls_of_all_outcomes(&lab).await;
    assert_eq!(offline_keys(&lab).await.len(), 6, "five calls, and their count");
    service.again().await;
    let all = history(&service, 10).await;
    let offline = &all[5..];
    for (call, twin) in offline.iter().zip(&twins) {
        assert_eq!((&call["source"], &call["inferred"]), (&json!("offline"), &json!(true)), "{call}");
        assert_eq!(seen(call), seen(twin), "{call}\n{twin}");
        assert_eq!(
            (call["caller"].clone(), call["presentation"].clone()),
            (Value::Null, json!("unavailable"))
        );
    }
    let answered = &offline[0];
    assert_eq!(answered["operators"], json!(["1001"]));
    eventually("the PBX's log is empty", async || {
        let left = offline_keys(&lab).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    // A crash after the record and before the key is gone: the same call again.
    let id = &answered["channels"][0].as_str().unwrap();
    let began = answered["offered_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let entry = format!("1|{began}|{}|{encoded}||o|{SAKURA}||PJSIP/1001|||||||", began + 5_000);
    lab.write_plan_key("offline/1.1", &entry).await;
    service.kill().await;
    service.again().await;
    eventually_within(Duration::from_secs(30), "the entry is read", async || {
        let left = offline_keys(&lab).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(history(&service, 10).await[5], all[5]);
    service.stop().await;
}

async fn offline_keys(lab: &Lab) -> Vec<String> {
    lab.plan_keys().await.into_keys().filter(|key| key.starts_with("offline/")).collect()
}

/// Calls, and returns how long the dialplan took from the request for a hint to the wait in the queue.
async fn waits_in_queue(lab: &Lab) -> Duration {
    let mark = lab.pbx.events.mark();
    let begun = std::time::Instant::now();
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let joined = |event: &Event| event.name() == "QueueCallerJoin";
    lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
    let took = begun.elapsed();
    call.hang_up().await;
    took
}

#[tokio::test]
async fn the_operator_hears_who_calls_and_from_where_and_a_hanging_daemon_delays_nobody_for_long() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    set_callflow(&service, "A001", json!({ "announcement": "accept", "announce_caller": true })).await;
    is_level(&service).await;
    eventually("the PBX knows that a daemon follows it", async || {
        let alive = lab.pbx.action(&[("Action", "Getvar"), ("Variable", "TORITSUGI_ALIVE")]).await;
        let value = alive.head.header("Value").and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
        if jiff::Timestamp::now().as_second() - value <= 4 { Ok(()) } else { Err(format!("{value}")) }
    })
    .await;
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

    // A daemon that hangs: the dialplan asks, and goes on by itself. One that is dead is not asked.
    operator.rings_for_ever().await;
    lab.set_global("TORITSUGI_ALIVE", &jiff::Timestamp::now().as_second().to_string()).await;
    service.kill().await;
    let asked = lab.pbx.events.all(hint).len();
    println!("hanging: {:?}", waits_in_queue(&lab).await);
    assert_eq!(lab.pbx.events.all(hint).len(), asked + 1);
    lab.set_global("TORITSUGI_ALIVE", "0").await;
    println!("dead: {:?}", waits_in_queue(&lab).await);
    assert_eq!(lab.pbx.events.all(hint).len(), asked + 1, "nobody is asked");
    service.again().await;
    service.stop().await;
}
