//! Measurements of the page, printed and written to `target/pictures/figures-*.txt`. They are not asserted, because
//! machines differ. A frame counts when the page could draw it (`requestAnimationFrame`); the browser has no GPU.
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use toritsugi::contract::call::{CallState, CallView, Direction};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::ids::Extension;

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::gateway_rig::{PASSWORD, Rig};
use crate::support::ids::{call, pbx};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::{KNOWN_CALLER, SAKURA};

const POPS: usize = 40;
const BOARD_CALLS: u32 = 500;
const BOARD_OPERATORS: u32 = 250;
const BOARD_CHANGES: u32 = 500;
/// Interval between two changes of the board: fifty a second.
const BOARD_PACE: Duration = Duration::from_millis(20);

pub(crate) fn keep(name: &str, text: &str) {
    println!("{text}");
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../pictures");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(format!("figures-{name}.txt")), format!("{text}\n")).unwrap();
}

pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1]
}

#[tokio::test]
async fn from_the_ringing_to_the_painted_pop() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    let mut events = service.follow("1001", None).await;
    let mut published_at = HashMap::new();
    for _ in 0..POPS {
        let ringing = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        let pop = wait_for(&mut events, "call.presented").await;
        let at: jiff::Timestamp = pop["at"].as_str().unwrap().parse().unwrap();
        published_at.insert(pop["id"].as_str().unwrap().to_owned(), at.as_millisecond());
        let painted = format!(
            "performance.getEntriesByName('pop-painted').some((one) => one.detail.event === {})",
            pop["id"]
        );
        person.tab.until("the painted pop", &painted).await;
        ringing.hang_up().await;
        wait_for(&mut events, "call.rescinded").await;
        person.has_no_pop().await;
    }
    let marks = person.tab.eval("performance.getEntriesByName('pop-painted').map((one) => one.detail)").await;
    let mut took: Vec<f64> = marks
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|mark| {
            let at = published_at.get(mark["event"].as_str()?)?;
            Some(f64::from(i32::try_from(mark["at"].as_i64()? - at).ok()?))
        })
        .collect();
    took.sort_by(f64::total_cmp);
    assert_eq!(took.len(), POPS, "each pop was painted, and said so once");
    keep(
        "pop",
        &format!(
            "event of the PBX to painted pop, {POPS} calls: p50 {:.0} ms, p95 {:.0} ms, most {:.0} ms",
            quantile(&took, 0.5),
            quantile(&took, 0.95),
            quantile(&took, 1.0)
        ),
    );
    browser.close().await;
    service.stop().await;
}

#[tokio::test]
async fn the_first_load() {
    let rig = Rig::start().await;
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    let bytes: f64 = person
        .tab
        .events("Network.loadingFinished")
        .iter()
        .filter_map(|one| one["encodedDataLength"].as_f64())
        .sum();
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    // Again, signed in and without a cache: the time until the page is connected.
    person.tab.call("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await;
    let watch = "new MutationObserver(() => { if (!globalThis.live && document.querySelector('[data-phase=live]')) \
                 globalThis.live = performance.now(); }).observe(document, { subtree: true, childList: true, attributes: true })";
    person.tab.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": watch })).await;
    person.loads().await;
    person.tab.until("the moment", "globalThis.live").await;
    let live = person.tab.eval("globalThis.live").await.as_f64().unwrap();
    let interactive = "performance.getEntriesByType('navigation')[0].domInteractive";
    let interactive = person.tab.eval(interactive).await.as_f64().unwrap();
    keep(
        "load",
        &format!(
            "first load: {:.1} KB over the wire; document ready after {interactive:.0} ms, signed in, connected and drawn after {live:.0} ms",
            bytes / 1024.0
        ),
    );
    assert!(bytes < 90.0 * 1024.0, "{bytes} bytes");
    browser.close().await;
}

fn view(n: u32, state: CallState, rig: &Rig) -> CallView {
    let operator = (state == CallState::Answered)
        .then(|| Extension::parse(&(3000 + n % BOARD_OPERATORS).to_string()).unwrap());
    let at = rig.app.clock.now();
    let answered_at = operator.is_some().then_some(at);
    CallView {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        state,
        offered_at: at,
        answered_at,
        ended_at: None,
        presented_to: Vec::new(),
        operator,
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    }
}

fn publish(rig: &Rig, kind: EventKind, view: CallView) {
    let operator = view.operator.clone();
    let audience = operator.clone().map_or(Audience::Supervisors, |one| Audience::Operators(vec![one]));
    let data = json!({
        "operator": operator, "state": view.state, "dialled": "0355501001",
        "caller": { "number": "090-1234-5678", "presentation": "allowed" },
        "account": { "id": "00000000-0000-7000-8000-000000000001", "name": "株式会社さくら商事", "kana": "さくらしょうじ",
            "answer_phrase": "", "notes": "", "matched_by": "dialled" },
        "customers": [], "history": { "calls": 0, "open_messages": 0 },
    });
    let change = if kind == EventKind::CallEnded {
        StateDelta::CallGone(view.id)
    } else {
        StateDelta::Call(Arc::new(view.clone()))
    };
    rig.publish(NewEvent { kind, at: rig.app.clock.now(), call: Some(view.id), audience, data, change });
}

#[tokio::test]
async fn a_board_of_500_calls() {
    let rig = Rig::start().await;
    for n in 0..BOARD_OPERATORS {
        let body = json!({ "name": format!("担当 {n}"), "kana": "たんとう", "role": "operator", "extension": (3000 + n).to_string(), "team": "A班" });
        let (status, answer) = rig.send("admin", Method::POST, "/v1/users", &body).await;
        assert_eq!(status, 201, "{answer}");
    }
    let boss = rig.user("2001");
    let path = format!("/v1/users/{boss}");
    assert_eq!(rig.send("admin", Method::PATCH, &path, &json!({ "password": PASSWORD })).await.0, 200);
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("2001", PASSWORD).await;
    person.is_connected().await;
    for n in 0..BOARD_CALLS {
        let answered = n < BOARD_OPERATORS;
        publish(&rig, EventKind::CallOffered, view(n, CallState::Offered, &rig));
        if answered {
            publish(&rig, EventKind::CallAnswered, view(n, CallState::Answered, &rig));
        }
    }
    board_is_smooth(&rig, &person).await;
    browser.close().await;
}

async fn board_is_smooth(rig: &Rig, person: &Person) {
    let waiting = BOARD_CALLS - BOARD_OPERATORS;
    let counts =
        |id: &str, count: u32| format!("document.querySelector('#{id} span').innerText === '{count}'");
    person.tab.until("every waiting call", &counts("waiting", waiting)).await;
    // The rig's own operator is in the supervisor's team, too.
    person.tab.until("every operator", &counts("team", BOARD_OPERATORS + 1)).await;
    // The last operator is on the board after scrolling.
    let last = format!("document.querySelector('[data-operator=\"{}\"]')", 3000 + BOARD_OPERATORS - 1);
    assert_eq!(person.tab.eval(&last).await, Value::Null);
    person.tab.eval("document.querySelector('.team .rows').scrollTo(0, 1e6)").await;
    person.tab.until("the last operator", &last).await;
    person.tab.eval("document.querySelector('.team .rows').scrollTo(0, 0)").await;
    // Measure the board at work, not the jump to its end and back.
    person.tab.until("the first operator", "document.querySelector('[data-operator=\"3000\"]')").await;
    let painted = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))";
    person.tab.eval(painted).await;
    let watch = "globalThis.frames = []; globalThis.long = []; let last = performance.now(); \
                 const look = (now) => { frames.push(now - last); last = now; requestAnimationFrame(look); }; requestAnimationFrame(look); \
                 new PerformanceObserver((list) => long.push(...list.getEntries().map((one) => one.duration))) \
                 .observe({ type: 'longtask' }); 0";
    person.tab.eval(&format!("{{ {watch} }}")).await;
    // Calls come, are answered and go, fifty changes a second.
    let mut pace = tokio::time::interval(BOARD_PACE);
    for n in 0..BOARD_CHANGES {
        pace.tick().await;
        let known = n % BOARD_OPERATORS;
        match n % 2 {
            0 => publish(
                rig,
                EventKind::CallHeld,
                CallView { state: CallState::Held, ..view(known, CallState::Answered, rig) },
            ),
            _ => {
                publish(rig, EventKind::CallEnded, view(BOARD_OPERATORS + known, CallState::Offered, rig));
                publish(rig, EventKind::CallOffered, view(BOARD_CALLS + n, CallState::Offered, rig));
            }
        }
    }
    let frames: Vec<f64> = serde_json::from_value(person.tab.eval("frames").await).unwrap();
    let long: Vec<f64> = serde_json::from_value(person.tab.eval("long").await).unwrap();
    let mut sorted = frames.clone();
    sorted.sort_by(f64::total_cmp);
    let mut text = format!("board of {BOARD_CALLS} calls, 50 changes a second: {} frames", frames.len());
    let _ = write!(
        text,
        ", p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; {} tasks over 50 ms{}",
        quantile(&sorted, 0.5),
        quantile(&sorted, 0.99),
        quantile(&sorted, 1.0),
        long.len(),
        long.iter()
            .copied()
            .reduce(f64::max)
            .map_or(String::new(), |most| format!(" (longest {most:.0} ms)"))
    );
    keep("board", &text);
    let picture = person.tab.picture().await;
    std::fs::write(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../pictures/board-500.png"), picture)
        .unwrap();
}
