//! Figures of calls on a real PBX: each outcome and each mark is made, and counted by hand.
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::callflow::{closed_now, is_level, open_now, set_callflow};
use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Event, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::voice::{directory, has_spoken};
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

/// A number whose queue holds one caller and rings at 1003.
const ONE_WAITS: &str = "0355501009";
/// A number at which a mobile rings, too (tests/pbx_lab/instance.sh).
const WITH_A_MOBILE: &str = "0355501017";
const MOBILE: &str = "09011112222";
const CONTACT: &str = "09033334444";
const HIDDEN: &str = "09087654301";
const COMES_BACK: &str = "0312345678";

const QUARTER_MS: i64 = 900_000;

/// What the calls of [`make_calls`] count as.
const BY_HAND: [(&str, u64); 17] = [
    ("offered", 11),
    ("answered", 3),
    ("abandoned", 3),
    ("closed", 1),
    ("overflowed", 1),
    ("blocked", 1),
    ("elsewhere", 1),
    ("unknown", 1),
    ("hops", 1),
    ("repeat", 1),
    ("recovered", 1),
    ("withheld", 1),
    ("withheld_open", 1),
    ("inferred", 1),
    ("parts", 3),
    ("transfers_tried", 1),
    ("transfers_reached", 1),
];

/// The end of the next call that ends.
async fn ended(events: &mut Sse) -> Value {
    wait_for(events, "call.ended").await
}

/// Calls of every outcome and mark. Eleven of them.
async fn make_calls(lab: &Lab, service: &mut Service) {
    let mut events = service.follow("admin", None).await;
    service.nobody_presses_a_key().await;
    for phone in ["1001", "1002", "1003", MOBILE] {
        lab.phone(phone).rings_for_ever().await;
    }

    // Answered by 1001, held, passed to a contact who takes the caller.
    lab.phone("1001").answers_after(ms(200)).await;
    lab.phone(CONTACT).answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let answered = wait_for(&mut events, "call.answered").await;
    lab.phone("1001").talks().await;
    lab.phone("1001").holds().await;
    wait_for(&mut events, "call.held").await;
    lab.phone("1001").resumes().await;
    wait_for(&mut events, "call.resumed").await;
    let path = format!("/v1/calls/{}/transfers", answered["call"].as_str().unwrap());
    let (status, answer) =
        service.ask("1001", Method::POST, &path, Some(json!({ "mode": "blind", "to": CONTACT }))).await;
    assert!(status.is_success(), "{answer}");
    wait_for(&mut events, "call.transfer.completed").await;
    call.hang_up().await;
    ended(&mut events).await;

    // Given up at once, and answered by 1002 when the caller comes back.
    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(COMES_BACK, SAKURA)).await;
    wait_for(&mut events, "call.presented").await;
    call.hang_up().await;
    ended(&mut events).await;
    lab.phone("1002").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(COMES_BACK, SAKURA)).await;
    wait_for(&mut events, "call.answered").await;
    call.answered().await;
    call.hang_up().await;
    ended(&mut events).await;
    lab.phone("1002").rings_for_ever().await;

    // Given up by somebody who withholds the number.
    let call = lab.place_call(CallSpec::new(HIDDEN, SAKURA).withheld()).await;
    wait_for(&mut events, "call.presented").await;
    call.hang_up().await;
    ended(&mut events).await;

    // Given up after more than five seconds.
    let call = lab.place_call(CallSpec::new("0311110007", SAKURA).gives_up_after(ms(7_000))).await;
    wait_for(&mut events, "call.presented").await;
    call.ends().await;
    ended(&mut events).await;

    leave_the_operators(lab, service, &mut events).await;
    // Over while no daemon followed the PBX.
    let call = lab.place_call(CallSpec::new("0311110006", SAKURA)).await;
    wait_for(&mut events, "call.offered").await;
    drop(events);
    service.stop().await;
    call.hang_up().await;
    call.ends().await;
    service.again().await;
}

/// Outside the hours; not answered in time; no place in the queue, and the caller who has it; on a mobile.
async fn leave_the_operators(lab: &Lab, service: &Service, events: &mut Sse) {
    lab.switch_night(true).await;
    lab.place_call(CallSpec::new("0311110001", SAKURA)).await.ended().await;
    ended(events).await;
    lab.switch_night(false).await;
    lab.set_global("QUEUE_WAIT_SECONDS", "2").await;
    lab.place_call(CallSpec::new("0311110002", SAKURA)).await.ended().await;
    ended(events).await;
    lab.set_global("QUEUE_WAIT_SECONDS", "60").await;
    let waiting = lab.place_call(CallSpec::new("0311110003", ONE_WAITS)).await;
    lab.phone("1003").rings().await;
    lab.place_call(CallSpec::new("0311110004", ONE_WAITS)).await.ended().await;
    ended(events).await;
    lab.phone("1003").answers().await;
    waiting.answered().await;
    wait_for(events, "call.answered").await;
    waiting.hang_up().await;
    ended(events).await;
    lab.phone("1003").rings_for_ever().await;
    lab.phone(MOBILE).answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new("0311110005", WITH_A_MOBILE)).await;
    let offered = wait_for(events, "call.offered").await;
    let path = format!("/v1/calls/{}", offered["call"].as_str().unwrap());
    eventually("the caller is with somebody else", async || {
        let (_, view) = service.ask("admin", Method::GET, &path, None).await;
        if view["state"] == "elsewhere" { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
    call.hang_up().await;
    ended(events).await;
}

/// From the quarter of an hour before `began` to the end of the present one.
pub(crate) fn span(began: Timestamp) -> String {
    let floor = |at: Timestamp| at.as_millisecond().div_euclid(QUARTER_MS) * QUARTER_MS;
    let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
    format!("from={}&to={}", time(floor(began)), time(floor(Timestamp::now()) + QUARTER_MS))
}

pub(crate) async fn counted(service: &Service, who: &str, question: &str, span: &str) -> Value {
    let path = format!("/v1/stats?{question}&{span}");
    service.until(who, &path, |status, stats| status.is_success() && stats["pending"] == 0).await
}

/// The ids of the calls behind a counter.
async fn behind(service: &Service, who: &str, counter: &str, rest: &str) -> BTreeSet<String> {
    let path = format!("/v1/stats/calls?limit=500&counter={counter}&{rest}");
    let (status, page) = service.ask(who, Method::GET, &path, None).await;
    assert!(status.is_success(), "{page}");
    assert!(page["next"].is_null(), "{page}");
    let items = page["items"].as_array().unwrap();
    items.iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect()
}

/// Every record, with its segments.
async fn records(service: &Service) -> Vec<Value> {
    let (_, page) = service.ask("admin", Method::GET, "/v1/history?limit=500", None).await;
    let mut records = Vec::new();
    for item in page["items"].as_array().unwrap() {
        let path = format!("/v1/history/{}", item["id"].as_str().unwrap());
        records.push(service.ask("admin", Method::GET, &path, None).await.1);
    }
    records
}

fn at(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

/// How long the caller of a record waited, from the record alone.
fn waited(record: &Value) -> i64 {
    let segments = record["segments"].as_array().unwrap();
    let first = |kind: &str| segments.iter().find(|one| one["kind"] == kind).map(|one| at(&one["from"]));
    let from = first("queued").or_else(|| first("presented")).unwrap_or_else(|| at(&record["offered_at"]));
    let until = if record["answered_at"].is_null() { &record["ended_at"] } else { &record["answered_at"] };
    at(until) - from
}

/// Each cell opens as many calls as it counts, and they are the calls of that outcome.
async fn cells_open_their_calls(service: &Service, stats: &Value, records: &[Value], span: &str) {
    let counters = &stats["total"]["counters"];
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for row in stats["rows"].as_array().unwrap() {
        let account = row["key"].as_str().unwrap_or("none");
        for (counter, _) in BY_HAND.iter().chain(&[("short", 0), ("queued", 0), ("answered_le_20", 0)]) {
            let count = row["counters"][counter].as_u64().unwrap_or(0);
            *rows.entry((*counter).to_owned()).or_default() += count;
            let found = behind(service, "admin", counter, &format!("account={account}&{span}")).await;
            assert_eq!(found.len() as u64, count, "{counter} of {account}: {stats:#}");
        }
    }
    for (counter, sum) in rows {
        assert_eq!(counters[&counter].as_u64().unwrap_or(0), sum, "{counter}");
    }
    for outcome in ["answered", "abandoned", "closed", "overflowed", "blocked", "elsewhere", "unknown"] {
        let ids: BTreeSet<String> = records
            .iter()
            .filter(|one| one["outcome"] == outcome)
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(behind(service, "admin", outcome, span).await, ids, "{outcome}");
    }
}

#[tokio::test]
async fn each_outcome_and_mark_is_counted_and_opens_its_calls() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let began = Timestamp::now();
    make_calls(&lab, &mut service).await;
    service
        .until("admin", "/v1/history?limit=500", |_, page| {
            page["items"].as_array().is_some_and(|items| items.len() == 11)
        })
        .await;
    let span = span(began);
    let stats = counted(&service, "admin", "by=account", &span).await;
    let records = records(&service).await;
    let counters = &stats["total"]["counters"];
    for (counter, count) in BY_HAND {
        assert_eq!(counters[counter], count, "{counter}: {stats:#}");
    }
    // What depends on how fast this machine is, from the records.
    let is = |record: &Value, outcome: &str| record["outcome"] == outcome;
    let short = records.iter().filter(|one| is(one, "abandoned") && waited(one) <= 5_000).count();
    assert!(short < 3, "{records:#?}");
    let in_time = records.iter().filter(|one| is(one, "answered") && waited(one) <= 20_000).count();
    let queued = |one: &&Value| one["segments"].as_array().unwrap().iter().any(|s| s["kind"] == "queued");
    let wait: i64 = records.iter().filter(|one| is(one, "answered")).map(waited).sum();
    for (counter, count) in [
        ("short", short),
        ("answered_le_20", in_time),
        ("queued", records.iter().filter(queued).count()),
        ("wait_answered_ms", usize::try_from(wait).unwrap()),
    ] {
        assert_eq!(counters[counter].as_u64().unwrap_or(0), count as u64, "{counter}: {stats:#}");
    }
    assert!(counters["hold_ms"].as_u64() > Some(0), "{stats:#}");
    assert_eq!(stats["total"]["figures"]["AR-open"], json!(3.0 / 10.0));
    assert_eq!(stats["total"]["figures"]["AR-all"], json!(3.0 / 11.0));

    // No daemon followed the PBX for a while.
    assert_eq!((&stats["complete"], &stats["total"]["complete"]), (&json!(false), &json!(false)));
    assert!(stats["missing"].as_array().is_some_and(|missing| !missing.is_empty()), "{stats}");

    cells_open_their_calls(&service, &stats, &records, &span).await;
    other_rows(&service, counters, &span).await;
    billed(&service, &stats, &records, began).await;
    command_line(&service, &span).await;
    service.stop().await;
}

/// The bill of each account counts what the figures say that was answered, and the transfer that was made.
async fn billed(service: &Service, stats: &Value, records: &[Value], began: Timestamp) {
    let plan = json!({
        "name": "標準", "base_yen": 1_000, "include": 1, "extra": [{ "from": 2, "yen": 100 }], "transfer": { "yen": 50 },
    });
    let month = began.to_zoned(TimeZone::get("Asia/Tokyo").unwrap()).strftime("%Y-%m").to_string();
    let mut transfers = 0;
    for row in stats["rows"].as_array().unwrap() {
        let Some(account) = row["key"].as_str() else { continue };
        let path = format!("/v1/accounts/{account}");
        let (status, written) =
            service.ask("admin", Method::PUT, &format!("{path}/billing-plan"), Some(plan.clone())).await;
        assert!(status.is_success(), "{written}");
        let (_, bill) = service.ask("admin", Method::GET, &format!("{path}/bills/{month}"), None).await;
        let answered = row["counters"]["answered"].as_u64().unwrap_or(0);
        assert_eq!(bill["counts"]["counted"].as_u64().unwrap_or(0), answered, "{bill:#}");
        let of_account = records.iter().filter(|one| one["account"] == account).count();
        assert_eq!(bill["calls"].as_array().unwrap().len(), of_account, "{bill:#}");
        let transferred =
            bill["lines"].as_array().unwrap().iter().find(|line| line["kind"] == "transfer").unwrap();
        transfers += transferred["count"].as_u64().unwrap();
        let extra = answered.saturating_sub(1);
        let yen = 1_000 + 100 * extra + transferred["yen"].as_u64().unwrap();
        assert_eq!(bill["yen"], yen, "{bill:#}");
        assert_eq!(bill["warnings"], json!(["incomplete", "not_over"]), "{bill:#}");
    }
    assert_eq!(transfers, 1);
}

/// The same calls by time and by queue; people see their work.
async fn other_rows(service: &Service, counters: &Value, span: &str) {
    for question in ["by=hour", "by=day", "by=month"] {
        let same = counted(service, "admin", question, span).await;
        assert_eq!(&same["total"]["counters"], counters, "{question}");
    }
    let queues = counted(service, "admin", "by=queue", span).await;
    for row in queues["rows"].as_array().unwrap() {
        let queue = row["key"].as_str().unwrap();
        let found = behind(service, "admin", "offered", &format!("queue={queue}&{span}")).await;
        assert_eq!(json!(found.len()), row["counters"]["offered"], "{queue}");
    }
    let operators = counted(service, "admin", "by=operator", span).await;
    let work: Vec<&Value> = operators["rows"].as_array().unwrap().iter().collect();
    assert_eq!(work.len(), 3, "{operators:#}");
    assert!(work.iter().all(|row| row["counters"]["answered"] == 1), "{operators:#}");
    assert_eq!(operators["total"]["counters"]["transfers_reached"], 1, "{operators:#}");
    let own = counted(service, "1001", "by=operator", span).await;
    assert_eq!(own["rows"].as_array().unwrap().len(), 1, "{own:#}");
    assert_eq!(own["total"]["counters"]["transfers_tried"], 1, "{own:#}");
    assert_eq!(behind(service, "1001", "answered", &format!("operator=1001&{span}")).await.len(), 1);
    assert_eq!(behind(service, "1001", "closed", span).await.len(), 0);
}

/// What the command prints, which succeeds.
async fn toritsugi(service: &Service, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command.args(arguments).envs(service.environment.iter().cloned());
    command.env("TORITSUGI__GATEWAY__LISTEN", service.address.to_string());
    command.env("TORITSUGI_TOKEN", service.token("admin")).kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output.stdout
}

/// The stored figures are those of the history.
async fn nothing_differs(service: &Service) {
    let checked = toritsugi(service, &["stats", "check", "--json"]).await;
    let checked: Value = serde_json::from_slice(&checked).unwrap();
    assert_eq!(checked["differing"], json!([]), "{checked}");
    assert!(checked["checked"].as_u64() > Some(0), "{checked}");
}

/// The command prints the same figures, and finds that they are those of the history.
async fn command_line(service: &Service, span: &str) {
    let (from, to) = span.strip_prefix("from=").unwrap().split_once("&to=").unwrap();
    let run = async |arguments: &[&str]| toritsugi(service, arguments).await;
    let asked = ["stats", "--by", "day", "--from", from, "--to", to];
    let text = String::from_utf8(run(&[&asked[..], &["--formula", "AR-all"]].concat()).await).unwrap();
    assert!(text.contains("27.3 %") && text.contains("answered / offered"), "{text}");
    assert!(text.contains("not complete"), "{text}");
    let file = run(&[&asked[..], &["--csv"]].concat()).await;
    let file = String::from_utf8(file).unwrap();
    assert!(
        file.starts_with('\u{feff}') && file.contains("応答率(全着信)（%） = answered / offered"),
        "{file}"
    );
    nothing_differs(service).await;
    let rebuilt: Value = serde_json::from_slice(&run(&["stats", "rebuild", "--json"]).await).unwrap();
    assert!(rebuilt["built"].as_u64().is_some(), "{rebuilt}");
}

/// What the calls of [`callers_leave_something`] count as, once the caller who asked for it was called back.
const LEFT_BY_HAND: [(&str, u64); 10] = [
    ("offered", 4),
    ("answered", 1),
    ("overflowed", 1),
    ("closed", 2),
    ("voice", 2),
    ("callbacks", 1),
    ("callbacks_reached", 1),
    ("cared", 1),
    ("offline", 1),
    ("inferred", 1),
];

/// An answered call; one that overflows and asks to be called back; a voice message for a closed company, and another one while no
/// daemon runs.
async fn callers_leave_something(lab: &Lab, service: &mut Service, recordings: &std::path::Path) {
    lab.phone("1001").answers_after(ms(100)).await;
    let answered = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    answered.connected().await;
    answered.hang_up().await;
    lab.phone("1001").rings_for_ever().await;

    let mark = lab.pbx.events.mark();
    let overflows = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let is_asked = |event: &Event| event.has("Application", "Read");
    lab.pbx.events.wait_after(mark, "the caller to be asked", is_asked).await;
    overflows.send_dtmf("11").await;
    overflows.ended().await;

    let speaks = lab.place_call(CallSpec::new("0311110001", MINATO)).await;
    has_spoken(recordings, &speaks, 3).await;
    speaks.hang_up().await;
    speaks.ends().await;
    let left = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == 2);
    service.until("admin", "/v1/messages", left).await;

    service.kill().await;
    // As six seconds later.
    lab.set_global("TORITSUGI_ALIVE", "0").await;
    let speaks = lab.place_call(CallSpec::new("0311110002", MINATO)).await;
    has_spoken(recordings, &speaks, 3).await;
    speaks.hang_up().await;
    speaks.ends().await;
    eventually("the PBX has no channel", async || {
        let left = lab.pbx.channels().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    service.again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_leave_and_what_the_pbx_alone_recorded_is_counted() {
    let lab = Lab::start().await;
    let recordings = directory(&lab);
    let mut service = Service::start_with(&lab, &[("VOICE__DIRECTORY", recordings.to_str().unwrap())]).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    service.change_account("A002", json!({ "hours": closed_now() })).await;
    let asks = json!({
        "lines": 2, "wait_s": 3, "overflow_guidance": "accept", "callback": "overflow", "callback_guidance": "accept",
    });
    set_callflow(&service, "A001", asks).await;
    let speaks =
        json!({ "voice_message": "closed", "voice_guidance": "accept", "closed_guidance": "accept" });
    set_callflow(&service, "A002", speaks).await;
    is_level(&service).await;
    let began = Timestamp::now();
    callers_leave_something(&lab, &mut service, &recordings).await;

    let span = span(began);
    let path = format!("/v1/stats?by=account&{span}");
    let all_there = |_: StatusCode, stats: &Value| {
        let counters = &stats["total"]["counters"];
        stats["pending"] == 0 && (&counters["voice"], &counters["callbacks"]) == (&json!(2), &json!(1))
    };
    let stats = service.until("admin", &path, all_there).await;
    let figures = &stats["total"]["figures"];
    assert_eq!((&figures["AR-open"], &figures["AR-care"]), (&json!(0.5), &json!(0.5)), "{stats:#}");
    let (_, tasks) = service.ask("1001", Method::GET, "/v1/tasks", None).await;
    let result = format!("/v1/tasks/{}/result", tasks["items"][0]["id"].as_str().unwrap());
    let (status, task) = service.ask("1001", Method::POST, &result, Some(json!({ "result": "told" }))).await;
    assert!(status.is_success(), "{task}");
    let is_reached = |_: StatusCode, stats: &Value| stats["total"]["counters"]["callbacks_reached"] == 1;
    let stats = service.until("admin", &path, is_reached).await;
    for (counter, count) in LEFT_BY_HAND {
        assert_eq!(stats["total"]["counters"][counter], count, "{counter}: {stats:#}");
        let found = behind(&service, "admin", counter, &span).await;
        assert_eq!(found.len() as u64, count, "{counter}: {stats:#}");
    }
    assert_eq!(stats["total"]["figures"]["AR-care"], json!(1.0), "{stats:#}");
    // The call of the time without a daemon is counted, and that time is said: others may have come and not been written down.
    assert_eq!(stats["complete"], json!(false), "{stats:#}");
    nothing_differs(&service).await;
    service.stop().await;
}
