//! Measures transfers on a real Asterisk: from the command to the ringing target, and from the target's failure until the
//! operator's phone rings again.
//!
//! The table also shows the time that Asterisk itself needs: the lab sends the same actions on its own manager
//! connection, in the same run, on the same PBX. That time includes the look-ups by which the lab finds the caller's
//! channel, which the daemon knows. Needs what `make lab` needs.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its results and stops on failure"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use support::client::Sse;
use support::pbx_lab::{CallSpec, Event, Lab, PlacedCall};
use support::service::Service;

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

    let (mut bare, mut daemon, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        lab.phone(CONTACT).rings_for_ever().await;
        let (call, _) = talking(&lab, &mut events).await;
        let actions = lab.product_actions().await;
        let mark = lab.pbx.events.mark();
        let started = Instant::now();
        actions.transfer(&call, &format!("{CONTACT}/25/0"), "1001").await;
        let ringing = |event: &Event| event.name() == "DialState" && event.has("DialStatus", "RINGING");
        lab.pbx.events.wait_after(mark, "the contact to ring", ringing).await;
        bare.push(started.elapsed());
        end(&call, &mut events).await;

        let (call, id) = talking(&lab, &mut events).await;
        let started = Instant::now();
        transfer(&service, &id).await;
        wait_for(&mut events, "call.transfer.ringing").await;
        daemon.push(started.elapsed());
        end(&call, &mut events).await;

        lab.phone(CONTACT).is_busy().await;
        let (call, id) = talking(&lab, &mut events).await;
        transfer(&service, &id).await;
        let failed = at(&wait_for(&mut events, "call.transfer.failed").await);
        let presented = at(&wait_for(&mut events, "call.presented").await);
        returns.push(Duration::try_from(presented.duration_since(failed)).unwrap_or_default());
        end(&call, &mut events).await;
    }
    service.stop().await;
    println!("{ROUNDS} transfers each, one after the other             p50        p99");
    row("bare actions -> target rings (Asterisk alone)", &mut bare);
    row("command -> ringing at the desktop", &mut daemon);
    row("target failed -> operator's phone rings, published", &mut returns);
    println!(
        "beyond Asterisk's own, p99: {:?} (target: at most 150 ms); return, p99: {:?} (at most 500 ms)",
        percentile(&daemon, 99).saturating_sub(percentile(&bare, 99)),
        percentile(&returns, 99),
    );
}

async fn talking<'a>(lab: &'a Lab, events: &mut Sse) -> (PlacedCall<'a>, String) {
    let call = lab.place_call(CallSpec::new(CALLER, DIALLED)).await;
    let answered = wait_for(events, "call.answered").await;
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
    wait_for(events, "call.ended").await;
}

async fn wait_for(events: &mut Sse, kind: &str) -> Value {
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
