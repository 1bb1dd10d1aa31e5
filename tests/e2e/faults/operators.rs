//! The daemon is stopped and killed during calls of an operator: state, queue pause and after-call work stay true.
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{is_up, soak, start};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

/// Calls while the operator talks.
const NEXT_CALLER: &str = "0312345678";
/// Name of the account that is called.
const ACCOUNT: &str = "株式会社さくら商事";

/// When the daemon ends, and whether the call goes on until it is back.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Ringing,
    /// This many milliseconds after the answer was published.
    Answered(u64),
    /// The same; the caller hangs up while no daemon runs.
    EndsUnseen(u64),
    /// During the work after the call.
    WrapUp,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_state_pause_and_work_are_true_over_restarts_and_kills() {
    let lab = Lab::start().await;
    let settings = [("OPERATORS__WRAP_UP_SECONDS", "600"), ("PBX__RECONNECT_SECONDS_MAX", "1")];
    let service = Service::outside(&lab, &settings).await;
    let mut daemon = start(&service);
    is_up(&service).await;
    service.change_account("A001", json!({ "wrap_up_s": 900 })).await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    for (name, wanted) in [("鈴木", "not_ready"), ("高橋", "not_ready"), ("佐藤", "ready")] {
        set(&service, name, wanted).await;
    }
    let moments = [
        Moment::Answered(0),
        Moment::EndsUnseen(50),
        Moment::Ringing,
        Moment::WrapUp,
        Moment::Answered(30),
        Moment::EndsUnseen(300),
    ];
    let mut rounds = 0;
    for n in 0..moments.len() * 2 * soak() {
        let (moment, kills) = (moments[n % moments.len()], n % 2 == n / moments.len() % 2);
        is_like(&lab, &service, "ready", "-").await;
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        is_like(&lab, &service, "reserved", "-").await;
        if let Moment::Ringing = moment {
            daemon = end_and_start(daemon, &service, kills, async {}).await;
            is_like(&lab, &service, "reserved", "-").await;
        }
        lab.phone("1001").answers().await;
        is_like(&lab, &service, "talking", "talking").await;
        match moment {
            Moment::Answered(after) => {
                tokio::time::sleep(ms(after)).await;
                daemon = end_and_start(daemon, &service, kills, async {}).await;
                is_like(&lab, &service, "talking", "talking").await;
                call.hang_up().await;
            }
            Moment::EndsUnseen(after) => {
                tokio::time::sleep(ms(after)).await;
                daemon = end_and_start(daemon, &service, kills, call.hang_up()).await;
            }
            Moment::Ringing | Moment::WrapUp => call.hang_up().await,
        }
        is_like(&lab, &service, "wrap_up", "wrap_up").await;
        if let Moment::WrapUp = moment {
            daemon = end_and_start(daemon, &service, kills, async {}).await;
            is_like(&lab, &service, "wrap_up", "wrap_up").await;
        }
        let present = operator(&service, "佐藤").await;
        let work = &present["wrap_up"];
        assert_eq!((&work["account_name"], &work["planned_s"]), (&json!(ACCOUNT), &json!(900)), "{moment:?}");
        let path = format!("/v1/operators/{}/wrap-up/finish", present["id"].as_str().unwrap());
        let body = json!({ "call": work["call"], "disposition": "message" });
        let (status, answer) = service.ask("1001", Method::POST, &path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        rounds += 1;
        // The history has one talk and one piece of work for each call, in this order, and nothing bogus between.
        let id = present["id"].as_str().unwrap();
        history_is_true(&service, id, rounds).await;
        for name in ["鈴木", "高橋"] {
            assert_eq!(operator(&service, name).await["reason"], "break", "{moment:?}");
        }
    }
    println!("{rounds} ends of the daemon during calls: state, pause and work were true");
    daemon.kill().await.unwrap();
}

/// The number whose queue rings phones in use (tests/pbx_lab/instance.sh), and that queue.
const RINGS_IN_USE: (&str, &str) = ("0355501027", "lab-rings-in-use");

/// Nothing but the pause keeps the next caller from an operator who talks or works after a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_rings_phones_in_use_rings_nobody_who_talks_over_restarts_and_kills() {
    let lab = Lab::start().await;
    let (number, queue) = RINGS_IN_USE;
    let phone = lab.phone("1001");
    // Without a daemon the phone rings a second time during its call.
    let first = lab.place_call(CallSpec::new(KNOWN_CALLER, number)).await;
    phone.answers().await;
    let second = lab.place_call(CallSpec::new(NEXT_CALLER, number)).await;
    eventually("the phone in use rings", async || match phone.times_rung() {
        n if n >= 2 => Ok(()),
        n => Err(format!("it has rung {n} times")),
    })
    .await;
    first.hang_up().await;
    second.hang_up().await;
    phone.goes_idle().await;

    let settings = [
        ("OPERATORS__QUEUES", queue),
        ("OPERATORS__WRAP_UP_SECONDS", "600"),
        ("PBX__RECONNECT_SECONDS_MAX", "1"),
    ];
    let service = Service::outside(&lab, &settings).await;
    let mut daemon = start(&service);
    is_up(&service).await;
    set(&service, "佐藤", "ready").await;
    for kills in [false, true].repeat(soak()) {
        is_like_in(queue, &lab, &service, "ready", "-").await;
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, number)).await;
        is_like_in(queue, &lab, &service, "reserved", "-").await;
        phone.answers().await;
        is_like_in(queue, &lab, &service, "talking", "talking").await;
        let rung = phone.times_rung();
        let mut next = None;
        let meanwhile = async { next = Some(lab.place_call(CallSpec::new(NEXT_CALLER, number)).await) };
        daemon = end_and_start(daemon, &service, kills, meanwhile).await;
        is_like_in(queue, &lab, &service, "talking", "talking").await;
        service.until("admin", "/v1/calls", |_, calls| waits_alone(calls)).await;
        call.hang_up().await;
        is_like_in(queue, &lab, &service, "wrap_up", "wrap_up").await;
        daemon = end_and_start(daemon, &service, kills, async {}).await;
        is_like_in(queue, &lab, &service, "wrap_up", "wrap_up").await;
        assert_eq!(phone.times_rung(), rung, "the next caller rang at an operator who talked or worked");
        // The caller who waited rings once the work is over.
        let present = operator(&service, "佐藤").await;
        let path = format!("/v1/operators/{}/wrap-up/finish", present["id"].as_str().unwrap());
        let body = json!({ "call": present["wrap_up"]["call"], "disposition": "message" });
        let (status, answer) = service.ask("1001", Method::POST, &path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        is_like_in(queue, &lab, &service, "reserved", "-").await;
        next.expect("the call was placed").hang_up().await;
        phone.goes_idle().await;
    }
    daemon.kill().await.unwrap();
}

/// Of two calls, one is talked and one is nobody's.
fn waits_alone(calls: &Value) -> bool {
    let calls = calls["items"].as_array().into_iter().flatten();
    let (talked, others): (Vec<_>, Vec<_>) = calls.partition(|call| call["state"] == "answered");
    talked.len() == 1
        && others.iter().all(|call| call["state"] == "offered" && call["presented_to"] == json!([]))
        && others.len() == 1
}

/// Ends the daemon, in order or by a kill, and starts it again after `meanwhile`.
async fn end_and_start(
    mut daemon: Child,
    service: &Service,
    kills: bool,
    meanwhile: impl Future<Output = ()>,
) -> Child {
    if kills {
        daemon.kill().await.unwrap();
    } else {
        let pid = daemon.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        daemon.wait().await.unwrap();
    }
    meanwhile.await;
    let daemon = start(service);
    is_up(service).await;
    daemon
}

async fn operator(service: &Service, name: &str) -> Value {
    let (_, list) = service.ask("admin", Method::GET, "/v1/operators", None).await;
    list["items"].as_array().unwrap().iter().find(|o| o["name"] == name).unwrap().clone()
}

async fn set(service: &Service, name: &str, state: &str) {
    let present = operator(service, name).await;
    let path = format!("/v1/operators/{}/state", present["id"].as_str().unwrap());
    let mut wanted = json!({ "state": state, "version": present["version"] });
    if state == "not_ready" {
        wanted["reason"] = "break".into();
    }
    let (status, answer) = service.ask("admin", Method::PUT, &path, Some(wanted)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

/// Waits until the state and the PBX's pause of 佐藤 are these (`-`: not paused).
async fn is_like(lab: &Lab, service: &Service, state: &str, pause: &str) {
    is_like_in("operators", lab, service, state, pause).await;
}

async fn is_like_in(queue: &str, lab: &Lab, service: &Service, state: &str, pause: &str) {
    eventually(&format!("佐藤 is {state}, paused {pause}"), async || {
        let present = operator(service, "佐藤").await;
        let status = lab.pbx.action(&[("Action", "QueueStatus"), ("Queue", queue)]).await;
        let is_it = |e: &&crate::support::pbx_lab::Event| {
            e.name() == "QueueMember" && e.has("Location", "PJSIP/1001")
        };
        let member = status.items.iter().find(is_it).ok_or("no such member")?;
        let paused =
            if member.has("Paused", "1") { member.header("PausedReason").unwrap_or("") } else { "-" };
        let seen = format!("{present}, paused {paused}");
        if present["state"] == state && paused == pause { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Waits until the operator's history has the end of this many calls; each has one talk, and then its work.
async fn history_is_true(service: &Service, id: &str, rounds: usize) {
    let items = eventually(&format!("{rounds} calls are in the history"), async || {
        let (_, history) =
            service.ask("admin", Method::GET, &format!("/v1/operators/{id}/history"), None).await;
        let mut items = history["items"].as_array().cloned().unwrap_or_default();
        let at = |item: &Value| item["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
        items.sort_by_key(at);
        let is_over = items.iter().filter(|item| item["state"] == "wrap_up").count() >= rounds
            && items.last().is_some_and(|item| item["state"] == "ready");
        if is_over { Ok(items) } else { Err(history.to_string()) }
    })
    .await;
    let of_calls: Vec<(&str, &str)> = items
        .iter()
        .filter(|item| ["talking", "wrap_up"].iter().any(|state| item["state"] == *state))
        .map(|item| (item["state"].as_str().unwrap(), item["call"].as_str().unwrap()))
        .collect();
    assert_eq!(of_calls.len(), rounds * 2, "{items:?}");
    for pair in of_calls.chunks(2) {
        let [(talking, talked), (wrap_up, worked)] = pair else { panic!("{of_calls:?}") };
        assert_eq!((*talking, *wrap_up, talked), ("talking", "wrap_up", worked), "{of_calls:?}");
    }
}
