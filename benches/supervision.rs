//! Supervision on the real PBX: from the command to the first sound, and from the command to the next mode.
//!
//! `cargo bench --bench supervision`. The daemon is in this process, the PBX and the telephones are the lab's. A
//! switch is timed from the request to the event that proves it, beside the bare order to the same PBX from the
//! same machine (Redirect to ChanSpyStart): what is above that is the daemon's. Sound is timed in the recording of
//! the supervisor's telephone; the part of it from her answer on, as the PBX tells of both.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its figures and stops on failure"
)]

#[path = "../tests/desk/mod.rs"]
mod desk;
#[path = "../tests/lab/mod.rs"]
mod lab;
#[path = "../tests/real/service.rs"]
#[allow(dead_code, reason = "it serves the tests first")]
mod service;

use std::time::{Duration, Instant, SystemTime};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use desk::Sse;
use lab::{CallSpec, Event, Lab, Tone};
use service::{Service, wait_for};

const SWITCHES: usize = 200;
const STARTS: usize = 10;
/// What the supervisor's telephone takes to answer by itself.
const ANSWERS_AFTER: Duration = Duration::from_millis(200);

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at =
        |hundredth: usize| times[(times.len() * hundredth / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("{what:<52} p50 {:>7.1} ms  p99 {:>7.1} ms  ({} times)", at(50), at(99), times.len());
}

async fn state(events: &mut Sse, wanted: &str) -> Value {
    loop {
        let event = events.next().await.unwrap();
        let ours = event["kind"].as_str().unwrap().starts_with("supervision.");
        if ours && event["data"]["state"] == wanted {
            return event;
        }
    }
}

/// When the PBX told such an event.
async fn told(lab: &Lab, mark: usize, what: &str, is_it: impl Fn(&Event) -> bool) -> Instant {
    lab.pbx.events.wait_after(mark, what, is_it).await;
    Instant::now()
}

#[tokio::main]
async fn main() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(Duration::from_millis(50)).await;
    let call = lab.place_call(CallSpec::new("09012345678", "0355501001")).await;
    wait_for(&mut events, "call.answered").await;
    lab.phone("2001").answers_after(ANSWERS_AFTER).await;

    let body = json!({ "operator": "1001", "mode": "listen" });
    let (mut to_sound, mut after_answer) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let mark = lab.pbx.events.mark();
        let asked = SystemTime::now();
        let ((status, view), answered, spying) = tokio::join!(
            service.ask("2001", Method::POST, "/v1/supervisions", Some(body.clone())),
            told(&lab, mark, "the supervisor's telephone to be answered", |event| {
                let hers = event.header("Channel").is_some_and(|name| name.starts_with("PJSIP/2001-"));
                event.name() == "Newstate" && hers && event.has("ChannelStateDesc", "Up")
            }),
            told(&lab, mark, "ChanSpy to run", |event| event.name() == "ChanSpyStart"),
        );
        assert_eq!(status, StatusCode::CREATED, "{view}");
        after_answer.push(spying.duration_since(answered));
        state(&mut events, "live").await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let path = format!("/v1/supervisions/{}", view["id"].as_str().unwrap());
        service.ask("2001", Method::DELETE, &path, None).await;
        wait_for(&mut events, "supervision.stopped").await;
        lab.phone("2001").goes_idle().await;
        let heard = lab.phone("2001").heard().await;
        let first = heard.first_sound(Tone::OPERATOR).unwrap();
        to_sound.push((heard.started + first).duration_since(asked).unwrap().saturating_sub(ANSWERS_AFTER));
    }
    row("command to first sound, less the telephone's own", to_sound);
    row("  of this, at the PBX from her answer to ChanSpyStart", after_answer);

    let (_, view) = service.ask("2001", Method::POST, "/v1/supervisions", Some(body)).await;
    state(&mut events, "live").await;
    let path = format!("/v1/supervisions/{}", view["id"].as_str().unwrap());
    let mut switches = Vec::new();
    for mode in ["whisper", "listen"].into_iter().cycle().take(SWITCHES) {
        let asked = Instant::now();
        let (status, view) = service.ask("2001", Method::PATCH, &path, Some(json!({ "mode": mode }))).await;
        assert_eq!(status, StatusCode::OK, "{view}");
        state(&mut events, "live").await;
        switches.push(asked.elapsed());
    }
    row("switch of the mode: request to proven event", switches);
    let orders = lab.orders().await;
    let mut bare = Vec::new();
    for mode in ["whisper", "listen"].into_iter().cycle().take(SWITCHES) {
        let asked = Instant::now();
        orders.switch_supervision("2001", mode).await;
        bare.push(asked.elapsed());
    }
    row("the bare order: Redirect to ChanSpyStart", bare);
    call.hang_up().await;
    service.stop().await;
}
