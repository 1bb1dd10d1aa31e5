//! Transfers on a real Asterisk: from the command to the ringing target, and from the target's failure to the
//! operator's phone ringing again.
//!
//! What Asterisk needs itself stands beside it: the same orders given by hand on a manager connection of the lab's own,
//! in the same run, on the same PBX (with the look-ups by which the lab finds the caller's channel, which the daemon
//! knows). Needs what `make lab` needs.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its figures and stops on failure"
)]

#[path = "../tests/desk/mod.rs"]
mod desk;
#[path = "../tests/lab/mod.rs"]
mod lab;
#[allow(dead_code, reason = "the bench uses a part of it")]
#[path = "../tests/real/service.rs"]
mod service;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use desk::Sse;
use lab::{CallSpec, Lab, PlacedCall};
use service::Service;

const ROUNDS: usize = 40;
const CALLER: &str = "09012345678";
const DIALLED: &str = "0355501001";
const CONTACT: &str = "09011112222";

#[tokio::main]
async fn main() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(Duration::from_millis(20)).await;

    let (mut by_hand, mut ours, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        lab.phone(CONTACT).rings_for_ever().await;
        let (call, _) = talking(&lab, &mut events).await;
        let orders = lab.orders().await;
        let mark = lab.pbx.events.mark();
        let begun = Instant::now();
        orders.transfer(&call, &format!("{CONTACT}/25/0"), "1001").await;
        let ringing = |event: &lab::Event| event.name() == "DialState" && event.has("DialStatus", "RINGING");
        lab.pbx.events.wait_after(mark, "the contact to ring", ringing).await;
        by_hand.push(begun.elapsed());
        end(&call, &mut events).await;

        let (call, id) = talking(&lab, &mut events).await;
        let begun = Instant::now();
        transfer(&service, &id).await;
        told(&mut events, "call.transfer.ringing").await;
        ours.push(begun.elapsed());
        end(&call, &mut events).await;

        lab.phone(CONTACT).is_busy().await;
        let (call, id) = talking(&lab, &mut events).await;
        transfer(&service, &id).await;
        let failed = at(&told(&mut events, "call.transfer.failed").await);
        let presented = at(&told(&mut events, "call.presented").await);
        back.push(Duration::try_from(presented.duration_since(failed)).unwrap_or_default());
        end(&call, &mut events).await;
    }
    service.stop().await;
    println!("{ROUNDS} transfers each, one after the other             p50        p99");
    row("orders by hand -> target rings (Asterisk alone)", &mut by_hand);
    row("command -> ringing at the desktop", &mut ours);
    row("target failed -> operator's phone rings, told", &mut back);
    println!(
        "beyond Asterisk's own, p99: {:?} (wanted: at most 150 ms); return, p99: {:?} (at most 500 ms)",
        percentile(&ours, 99).saturating_sub(percentile(&by_hand, 99)),
        percentile(&back, 99),
    );
}

async fn talking<'a>(lab: &'a Lab, events: &mut Sse) -> (PlacedCall<'a>, String) {
    let call = lab.place_call(CallSpec::new(CALLER, DIALLED)).await;
    let answered = told(events, "call.answered").await;
    let id = answered["call"].as_str().unwrap().to_owned();
    lab.phone("1001").talks().await;
    (call, id)
}

async fn transfer(service: &Service, call: &str) {
    let path = format!("/v1/calls/{call}/transfers");
    let (status, answer) = service.ask("1001", Method::POST, &path, Some(json!({ "to": CONTACT }))).await;
    assert!(status.is_success(), "{answer}");
}

async fn end(call: &PlacedCall<'_>, events: &mut Sse) {
    call.hang_up().await;
    told(events, "call.ended").await;
}

async fn told(events: &mut Sse, kind: &str) -> Value {
    loop {
        let event = events.next().await.expect("an event");
        if event["kind"] == kind {
            return event;
        }
    }
}

fn at(event: &Value) -> Timestamp {
    event["at"].as_str().unwrap().parse().unwrap()
}

fn row(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    println!("{name:<52} {:>8.1?} {:>10.1?}", percentile(times, 50), percentile(times, 99));
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
