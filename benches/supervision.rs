//! Measures supervision on a real PBX: from the command to the first sound, and from the command to the next mode.
//!
//! `cargo bench --bench supervision`. The daemon runs in this process; the PBX and the phones are the lab's. A switch is
//! timed from the request to the event that confirms it, beside the bare action on the same PBX from the same machine
//! (Redirect to ChanSpyStart): the difference is the cost of the daemon. Sound is timed in the recording of the
//! supervisor's phone; the part from the answer of that phone to ChanSpyStart is timed by the PBX's events.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its results and stops on failure"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant, SystemTime};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use support::client::Sse;
use support::pbx_lab::{CallSpec, Event, Lab, Tone};
use support::service::{Service, wait_for};

const SWITCHES: usize = 200;
const STARTS: usize = 10;
/// How long the supervisor's phone takes to answer by itself.
const ANSWER_DELAY: Duration = Duration::from_millis(200);

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at =
        |hundredth: usize| times[(times.len() * hundredth / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("{what:<52} p50 {:>7.1} ms  p99 {:>7.1} ms  ({} times)", at(50), at(99), times.len());
}

async fn wait_for_state(events: &mut Sse, state: &str) -> Value {
    loop {
        let event = events.next().await.unwrap();
        let is_supervision = event["kind"].as_str().unwrap().starts_with("supervision.");
        if is_supervision && event["data"]["state"] == state {
            return event;
        }
    }
}

/// Waits for such an event of the PBX; returns when it arrived.
async fn event_time(lab: &Lab, mark: usize, what: &str, matches: impl Fn(&Event) -> bool) -> Instant {
    lab.pbx.events.wait_after(mark, what, matches).await;
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
    lab.phone("2001").answers_after(ANSWER_DELAY).await;

    let body = json!({ "operator": "1001", "mode": "listen" });
    let (mut to_sound, mut after_answer) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let mark = lab.pbx.events.mark();
        let requested = SystemTime::now();
        let ((status, view), answered, spying) = tokio::join!(
            service.ask("2001", Method::POST, "/v1/supervisions", Some(body.clone())),
            event_time(&lab, mark, "the supervisor's phone to be answered", |event| {
                let is_phone = event.header("Channel").is_some_and(|name| name.starts_with("PJSIP/2001-"));
                event.name() == "Newstate" && is_phone && event.has("ChannelStateDesc", "Up")
            }),
            event_time(&lab, mark, "ChanSpy to run", |event| event.name() == "ChanSpyStart"),
        );
        assert_eq!(status, StatusCode::CREATED, "{view}");
        after_answer.push(spying.duration_since(answered));
        wait_for_state(&mut events, "live").await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let path = format!("/v1/supervisions/{}", view["id"].as_str().unwrap());
        service.ask("2001", Method::DELETE, &path, None).await;
        wait_for(&mut events, "supervision.stopped").await;
        lab.phone("2001").goes_idle().await;
        let heard = lab.phone("2001").heard().await;
        let first = heard.first_sound(Tone::OPERATOR).unwrap();
        to_sound
            .push((heard.started + first).duration_since(requested).unwrap().saturating_sub(ANSWER_DELAY));
    }
    row("command to first sound, less the phone's own delay", to_sound);
    row("  of this, at the PBX from the answer to ChanSpyStart", after_answer);

    let (_, view) = service.ask("2001", Method::POST, "/v1/supervisions", Some(body)).await;
    wait_for_state(&mut events, "live").await;
    let path = format!("/v1/supervisions/{}", view["id"].as_str().unwrap());
    let mut switches = Vec::new();
    for mode in ["whisper", "listen"].into_iter().cycle().take(SWITCHES) {
        let requested = Instant::now();
        let (status, view) = service.ask("2001", Method::PATCH, &path, Some(json!({ "mode": mode }))).await;
        assert_eq!(status, StatusCode::OK, "{view}");
        wait_for_state(&mut events, "live").await;
        switches.push(requested.elapsed());
    }
    row("switch of the mode: request to confirming event", switches);
    let actions = lab.product_actions().await;
    let mut bare = Vec::new();
    for mode in ["whisper", "listen"].into_iter().cycle().take(SWITCHES) {
        let requested = Instant::now();
        actions.switch_supervision("2001", mode).await;
        bare.push(requested.elapsed());
    }
    row("the bare action: Redirect to ChanSpyStart", bare);
    call.hang_up().await;
    service.stop().await;
}
