//! Callflows on the PBX: what holds decides, callers hear its guidance before an answer and without a charge, and no caller is
//! lost by what is missing, half written, or by a daemon that is dead.
//!
//! Where each property of a callflow is shown on the PBX, by sound where somebody hears something:
//!
//! | property | tests |
//! |---|---|
//! | hours, holidays, exceptions and overrides close with their guidance, unanswered | `what_holds_closes_the_account_…` |
//! | of two that disagree the stated one holds; `explain` says so | the same, `a_caller_whom_the_account_refuses_…` (`callers.rs`); each pair in `src/callflow/tests.rs` |
//! | another guidance from the next call on, the shipped one for a missing file | `an_uploaded_guidance_…` (`callers.rs`) |
//! | a dead daemon changes nothing, also at a change of treatment | `a_dead_daemon_changes_nothing_…`, `an_override_ends_by_itself_…`, `the_pbx_follows_the_clock_…` |
//! | a daemon that hangs delays a call by 300 ms at most | `a_daemon_that_hangs_…` (`offline.rs`) |
//! | overflow before and after the queue, lines | `a_caller_whom_nobody_takes_…`, `one_call_too_many_…` |
//! | the announcement to the operator, and who leaves during it | `the_operator_alone_hears_…`, `a_caller_who_leaves_…`, `the_operator_hears_who_calls_…` (`offline.rs`) |
//! | the place over music, and an answer in the middle of it | `who_waits_with_music_…` (`callers.rs`) |
//! | voice messages, requests to be called back | `voice.rs` |
//! | calls without a daemon are recorded and counted | `calls_of_a_time_without_a_daemon_…` (`offline.rs`) |
//! | whatever fails while plans are written, each call meets a whole one | `plan_faults.rs`, `a_dead_daemon_changes_nothing_…` |
//! | FreePBX's queues | `a_queue_of_freepbx_…` (`callers.rs`) |
//! | the schedule is the hours at every minute | `src/callflow/tests.rs` |
//! | whatever is ordered, plans alone are written, and known steps alone carried out | `plan_orders.rs` |
//!
//! How fast it is: `callflow_figures.rs`.
use std::time::Duration;

use jiff::{Timestamp, ToSpan, Zoned};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::existing_site::{FORWARDING, add, change_module, gets_through, restore};
use crate::support::pbx_lab::{AsteriskVersion, CallSpec, Event, Lab, Recording, Spoken, Tone};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually_within;
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

/// The line that account 1 forwards.
const SAKURA_FORWARDS: &str = "0335550101";
/// A number that many companies share.
const SHARED: &str = "0355501000";
/// The lab's sound of 500 Hz, as an account's own guidance.
const OWN_GUIDANCE: &str = "accept";
/// From which likeness on a recording is the sound.
const LIKE_MIN: f64 = 0.8;

pub(crate) async fn account(service: &Service, code: &str) -> String {
    let (_, list) = service.ask("admin", Method::GET, "/v1/accounts", None).await;
    let accounts = list["items"].as_array().unwrap();
    let account = accounts.iter().find(|account| account["code"] == code).unwrap();
    account["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn set_callflow(service: &Service, code: &str, fields: Value) {
    let path = format!("/v1/accounts/{}/callflow", account(service, code).await);
    let (status, answer) = service.ask("admin", Method::PUT, &path, Some(fields)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn set_override(service: &Service, body: Value) -> String {
    let (status, answer) = service.ask("admin", Method::POST, "/v1/overrides", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

async fn end_override(service: &Service, id: &str) {
    let (status, _) = service.ask("admin", Method::DELETE, &format!("/v1/overrides/{id}"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
}

/// Waits until the PBX has what was set.
pub(crate) async fn is_level(service: &Service) -> Value {
    service.until("admin", "/v1/callflow", |_, sync| sync["state"] == "level").await
}

/// Hours that are closed now, and for two days before and after, by the weekly spans.
pub(crate) fn closed_now() -> Value {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = Zoned::now().weekday().to_monday_zero_offset() as usize;
    json!({ "weekly": [{ "days": [DAYS[(day + 3) % 7]], "from": "09:00", "to": "10:00" }], "holidays": "as_weekday" })
}

pub(crate) fn open_now() -> Value {
    let all = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    json!({ "weekly": [{ "days": all, "from": "00:00", "to": "24:00" }] })
}

/// Yesterday, today and tomorrow, at the account.
fn days_around() -> [String; 3] {
    let today = Zoned::now().with_time_zone(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap()).date();
    [-1, 0, 1].map(|days| today.saturating_add(days.days()).to_string())
}

/// Calls, and returns the treatment that the PBX chose after it has ended the call, what the caller heard, and the cause.
async fn refused(lab: &Lab, number: &str) -> (String, Recording, u32) {
    let mark = lab.pbx.events.mark();
    let (status, cause, heard) = lab.call_until_ended(KNOWN_CALLER, number).await;
    assert_ne!(status, "ANSWER", "the call was answered, and charged");
    let chosen = |event: &Event| event.has("UserEvent", "ToritsugiCallflow");
    let chosen = lab.pbx.events.wait_after(mark, "the PBX to choose a treatment", chosen).await;
    (chosen.header("Treatment").unwrap_or("").to_owned(), heard, cause)
}

/// The newest call of the history.
async fn newest(service: &Service, calls: usize) -> Value {
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == calls);
    let page = service.until("admin", "/v1/history", is).await;
    page["items"][0].clone()
}

#[tokio::test]
async fn what_holds_closes_the_account_and_the_caller_hears_its_guidance_without_an_answer() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let shipped = Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/closed.ulaw");
    let busy = Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/busy.ulaw");
    let usual = json!({ "closed_guidance": OWN_GUIDANCE, "override_guidance": "toritsugi/busy" });
    set_callflow(&service, "A001", usual).await;
    let mut calls = 0;
    let mut expect = async |treatment: &str, sound: Option<&Spoken>| {
        is_level(&service).await;
        let (chosen, heard, cause) = refused(&lab, SAKURA).await;
        assert_eq!((chosen.as_str(), cause), (treatment, 21));
        match sound {
            Some(sound) => {
                let likeness = heard.likeness(sound);
                assert!(likeness >= LIKE_MIN, "{treatment}: {likeness}");
            }
            None => assert!(heard.ever_hears(Tone::PROMPT), "{treatment}: {:?}", heard.per_second()),
        }
        calls += 1;
        let call = newest(&service, calls).await;
        assert_eq!((&call["outcome"], &call["answered_at"]), (&json!("closed"), &Value::Null), "{call}");
        let word = match treatment {
            "c" => "closed",
            "h" => "holiday",
            _ => "override",
        };
        let path = format!("/v1/history/{}", call["id"].as_str().unwrap());
        let (_, call) = service.ask("admin", Method::GET, &path, None).await;
        let first = &call["segments"][0];
        assert_eq!((&first["kind"], &first["target"]), (&json!("treated"), &json!(word)), "{call}");
    };

    // The weekly hours.
    service.change_account("A001", json!({ "hours": closed_now() })).await;
    expect("c", None).await;
    // A holiday: here one of the installation's own.
    service.change_account("A001", json!({ "hours": open_now() })).await;
    for day in days_around() {
        let path = format!("/v1/holidays/{day}");
        let (status, _) = service.ask("admin", Method::PUT, &path, Some(json!({ "name": "社休日" }))).await;
        assert_eq!(status, StatusCode::OK);
    }
    expect("h", None).await;
    // A dated exception goes before the holiday.
    let [first, _, last] = days_around();
    let mut hours = open_now();
    hours["closed_on"] = json!([format!("{first}..{last}")]);
    service.change_account("A001", json!({ "hours": hours })).await;
    expect("c", None).await;
    // An override of the account goes before all of them.
    let id = account(&service, "A001").await;
    let own = set_override(&service, json!({ "account": id, "treatment": "closed" })).await;
    expect("x", Some(&busy)).await;
    end_override(&service, &own).await;
    // An override of the service, without a sound of its own at the PBX: the shipped one is played.
    set_callflow(&service, "A001", json!({ "override_guidance": "custom/missing" })).await;
    set_override(&service, json!({ "account": id, "treatment": "open" })).await;
    set_override(&service, json!({ "treatment": "closed" })).await;
    expect("x", Some(&shipped)).await;
    // The calls that write plans are calls of nobody.
    let (_, living) = service.ask("admin", Method::GET, "/v1/calls", None).await;
    assert_eq!(living["items"], json!([]), "{living}");
    service.stop().await;
}

#[tokio::test]
async fn an_open_account_rings_whichever_number_leads_to_it_and_others_are_as_before() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    set_callflow(&service, "A001", json!({})).await;
    // Account 2 is closed by its hours, and has no callflow: the PBX's own dialplan decides.
    service.change_account("A002", json!({ "hours": closed_now() })).await;
    is_level(&service).await;
    lab.phone("1001").rings_for_ever().await;
    for (spec, chooses) in [
        (CallSpec::new(KNOWN_CALLER, SAKURA), Some("dialled")),
        (CallSpec::new(KNOWN_CALLER, SHARED).diverted_by(SAKURA_FORWARDS), Some("forwarding")),
        (CallSpec::new(KNOWN_CALLER, SHARED).diverted_by("+81335550101"), Some("forwarding")),
        (CallSpec::new(KNOWN_CALLER, MINATO), None),
        (CallSpec::new(KNOWN_CALLER, SHARED), None),
    ] {
        let mark = lab.pbx.events.mark();
        let call = lab.place_call(spec.clone()).await;
        let joined = |event: &Event| event.name() == "QueueCallerJoin";
        lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
        let chosen = lab.pbx.events.all(|event| event.has("UserEvent", "ToritsugiCallflow"));
        let chosen = chosen.iter().find(|event| lab.pbx.events.position(event) >= mark);
        let by = chosen.and_then(|event| event.header("By")).map(str::to_owned);
        assert_eq!(by.as_deref(), chooses, "{spec:?}");
        call.hang_up().await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_caller_whom_nobody_takes_waits_in_both_queues_and_overflows() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    let fields = json!({ "wait_s": 2, "second_queue": "operators-linear", "second_wait_s": 2, "overflow_guidance": OWN_GUIDANCE });
    set_callflow(&service, "A001", fields).await;
    is_level(&service).await;
    let mut events = service.follow("2001", None).await;
    events.next().await.expect("a snapshot without the call");
    let (chosen, heard, cause) = refused(&lab, SAKURA).await;
    assert_eq!((chosen.as_str(), cause), ("o", 34));
    assert!(heard.ever_hears(Tone::PROMPT), "{:?}", heard.per_second());
    let call = newest(&service, 1).await;
    assert_eq!(call["outcome"], "overflowed");
    // The supervisors see where the caller waits, and what is played.
    for (kind, field, expected) in [
        ("call.queued", "/queue/name", "operators"),
        ("call.queued", "/queue/name", "operators-linear"),
        ("call.guidance", "/guidance", OWN_GUIDANCE),
    ] {
        let event = wait_for(&mut events, kind).await;
        let data = &event["data"];
        assert_eq!(
            (data.pointer(field), &data["treatment"]),
            (Some(&json!(expected)), &json!("open")),
            "{event}"
        );
    }
    let ended = wait_for(&mut events, "call.ended").await;
    assert_eq!(ended["data"].get("guidance"), None, "{ended}");
    let path = format!("/v1/history/{}", call["id"].as_str().unwrap());
    let (_, call) = service.ask("admin", Method::GET, &path, None).await;
    let segments = call["segments"].as_array().unwrap();
    let queued = segments.iter().filter(|segment| segment["kind"] == "queued");
    let queues: Vec<&Value> = queued.map(|segment| &segment["target"]).collect();
    assert_eq!(queues, [&json!("operators"), &json!("operators-linear")], "{call}");
    service.stop().await;
}

#[tokio::test]
async fn one_call_too_many_of_an_account_hears_busy_and_a_full_queue_overflows() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    lab.phone("1001").rings_for_ever().await;
    for (fields, cause, outcome) in [
        (json!({ "lines": 1 }), 17, "blocked"),
        (json!({ "full_at": 1, "overflow_guidance": OWN_GUIDANCE }), 34, "overflowed"),
    ] {
        set_callflow(&service, "A001", fields).await;
        is_level(&service).await;
        let mut events = service.follow("admin", None).await;
        let mark = lab.pbx.events.mark();
        let first = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        let joined = |event: &Event| event.name() == "QueueCallerJoin";
        lab.pbx.events.wait_after(mark, "the first caller to wait", joined).await;
        let second = lab.place_call(CallSpec::new("09087654321", SAKURA)).await;
        assert_eq!(second.ended().await, cause);
        let ended = wait_for(&mut events, "call.ended").await;
        assert_eq!(ended["data"]["outcome"], outcome, "{ended}");
        assert!(!first.is_over(), "the first caller waits on");
        first.hang_up().await;
        lab.reset().await;
        service.kill().await;
        service.again().await;
    }
    service.stop().await;
}

#[tokio::test]
async fn the_operator_alone_hears_which_company_a_call_is_for_before_it_is_connected() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    set_callflow(&service, "A001", json!({ "announcement": OWN_GUIDANCE })).await;
    is_level(&service).await;
    let mut own = service.follow("1001", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    // The operator's screen is told of it meanwhile.
    let announced = wait_for(&mut own, "call.announced").await;
    assert_eq!(announced["data"]["operator"], "1001", "{announced}");
    call.connected().await;
    // What is heard is read from the recordings: both have talked for a while.
    tokio::time::sleep(ms(1_500)).await;
    call.hang_up().await;
    let operator = lab.phone("1001").heard().await;
    let (announced, caller) = (operator.first_sound(Tone::PROMPT), operator.first_sound(Tone::CALLER));
    assert!(announced.is_some() && announced < caller, "{:?}", operator.per_second());
    let caller = call.heard().await;
    assert!(caller.ever_hears(Tone::OPERATOR), "{:?}", caller.per_second());
    assert!(!caller.ever_hears(Tone::PROMPT), "{:?}", caller.per_second());
    assert_eq!(newest(&service, 1).await["outcome"], "answered");
    service.stop().await;
}

#[tokio::test]
async fn a_caller_who_leaves_during_the_announcement_is_abandoned_and_one_whose_operator_leaves_goes_on() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    // The lab's sound of twenty seconds.
    set_callflow(&service, "A001", json!({ "announcement": "announcement" })).await;
    is_level(&service).await;
    let picked_up = |event: &Event| event.name() == "DialEnd" && event.has("DialStatus", "ANSWER");
    lab.phone("1001").answers_after(ms(200)).await;
    let mark = lab.pbx.events.mark();
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    lab.pbx.events.wait_after(mark, "the operator to pick up", picked_up).await;
    call.hang_up().await;
    let ended = newest(&service, 1).await;
    assert_eq!((&ended["outcome"], &ended["operators"]), (&json!("abandoned"), &json!([])), "{ended}");

    let mark = lab.pbx.events.mark();
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    lab.pbx.events.wait_after(mark, "the operator to pick up", picked_up).await;
    let rung = lab.phone("1002").times_rung();
    lab.phone("1001").is_busy().await;
    lab.phone("1001").hangs_up().await;
    lab.pbx.events.wait("the next operator's phone to ring", |_| lab.phone("1002").times_rung() > rung).await;
    assert!(!call.is_over(), "the caller is still there");
    call.hang_up().await;
    service.stop().await;
}

/// Keys of a plan whose schedule says `letter` now.
async fn plan_by_hand(lab: &Lab, times: &str, steps: &[(char, &str)]) {
    let minute = Timestamp::now().as_second() / 60;
    lab.write_plan_key(&format!("dialled/{SAKURA}"), "ab12").await;
    lab.write_plan_key("plan/ab12", &format!("5|77|{}", minute - 1_000)).await;
    lab.write_plan_key("times/77", times).await;
    for (letter, steps) in steps {
        lab.write_plan_key(&format!("do/ab12/5/{letter}"), steps).await;
    }
}

#[tokio::test]
async fn the_pbx_follows_the_clock_and_loses_no_caller_by_what_is_missing_or_unreadable() {
    let lab = Lab::start().await;
    lab.phone("1001").rings_for_ever().await;
    let closed = "say accept early toritsugi/closed|end closed";
    let open = "queue operators 30 0 r|end overflowed";
    let many = many_changes();
    // A plan of a thousand minutes ago: which change has come is a comparison of numbers.
    for (name, times, steps, ends) in [
        ("closed from the beginning", "c/50400:z", vec![('c', closed)], true),
        ("closed since a minute", "o/999:c/50400:z", vec![('o', open), ('c', closed)], true),
        ("open since this minute", "c/1000:o/50400:z", vec![('o', open), ('c', closed)], false),
        ("closes in an hour", "o/1060:c/50400:z", vec![('o', open), ('c', closed)], false),
        ("the last of many", many.as_str(), vec![('o', open), ('c', closed)], true),
        ("the horizon counts as open", "c/900:z", vec![('o', open), ('c', closed)], false),
        ("a letter without steps", "c/50400:z", vec![('o', open)], false),
        ("an empty schedule", "x", vec![('c', closed)], false),
        ("a schedule that is no schedule", "c/abc:/:::/o", vec![], false),
        (
            "a step that is not known",
            "c/50400:z",
            vec![('c', "sing la la|queue operators 30 0 r|end overflowed")],
            false,
        ),
        ("only steps that are not known", "c/50400:z", vec![('c', "sing la la|dance")], false),
        (
            "a queue that does not exist",
            "c/50400:z",
            vec![('c', "queue nowhere 30 0 r|end overflowed")],
            false,
        ),
        ("an outcome that does not exist", "c/50400:z", vec![('c', "end nowhere")], false),
        (
            "limits that cannot be read",
            "c/50400:z",
            vec![(
                'c',
                "lines ab12 x 1|end blocked|crowded operators x 1|end blocked|queue operators 30 0 r",
            )],
            false,
        ),
        ("the PBX's own dialplan", "c/50400:z", vec![('c', "pbx")], false),
        (
            "a missing sound, and a missing instead",
            "c/50400:z",
            vec![('c', "say nowhere early nowhere|end closed")],
            true,
        ),
    ] {
        lab.pbx.action(&[("Action", "DBDelTree"), ("Family", "toritsugi")]).await;
        plan_by_hand(&lab, times, &steps).await;
        let mark = lab.pbx.events.mark();
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        if ends {
            assert_eq!(call.ended().await, 21, "{name}");
            continue;
        }
        let joined = |event: &Event| event.name() == "QueueCallerJoin";
        lab.pbx.events.wait_after(mark, &format!("the caller to wait ({name})"), joined).await;
        call.hang_up().await;
    }
    // Without the schedule, without the plan.
    for gone in ["times", "plan"] {
        plan_by_hand(&lab, "c/50400:z", &[('c', closed)]).await;
        lab.pbx.action(&[("Action", "DBDelTree"), ("Family", &format!("toritsugi/{gone}"))]).await;
        let mark = lab.pbx.events.mark();
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        let joined = |event: &Event| event.name() == "QueueCallerJoin";
        lab.pbx.events.wait_after(mark, &format!("the caller to wait (no {gone})"), joined).await;
        call.hang_up().await;
    }
}

/// 140 changes; the last one before now closes.
fn many_changes() -> String {
    let changes = (1..=140).map(|n| format!("/{}:{}", n * 7, if n % 2 == 0 { 'c' } else { 'o' }));
    format!("c{}/50400:z", changes.collect::<String>())
}

#[tokio::test]
async fn a_dead_daemon_changes_nothing_and_a_daemon_killed_half_way_leaves_a_whole_plan() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": closed_now() })).await;
    set_callflow(&service, "A001", json!({ "closed_guidance": OWN_GUIDANCE })).await;
    is_level(&service).await;
    let before = lab.plan_keys().await;
    service.kill().await;
    let (chosen, heard, cause) = refused(&lab, SAKURA).await;
    assert_eq!((chosen.as_str(), cause), ("c", 21));
    assert!(heard.ever_hears(Tone::PROMPT), "{:?}", heard.per_second());

    // Killed when the first order reaches the PBX: what it wrote is not in force, or whole.
    service.again().await;
    let id = account(&service, "A001").await;
    is_level(&service).await;
    let mark = lab.pbx.events.mark();
    set_override(&service, json!({ "account": id, "treatment": "open" })).await;
    let writes = |event: &Event| {
        event.name() == "Newchannel"
            && event.header("Channel").is_some_and(|name| name.starts_with("Local/put@"))
    };
    lab.pbx.events.wait_after(mark, "an order to write", writes).await;
    service.kill().await;
    let of_account = |keys: &std::collections::BTreeMap<String, String>| {
        keys[&format!("plan/{}", id.replace('-', ""))].clone()
    };
    let half_way = lab.plan_keys().await;
    let plan = of_account(&half_way);
    let times = &half_way[&format!("times/{}", plan.split('|').nth(1).unwrap())];
    let steps = plan.split('|').next().unwrap();
    for letter in
        times.split('/').filter_map(|change| change.split(':').next_back()).filter(|letter| *letter != "z")
    {
        let key = format!("do/{}/{steps}/{letter}", id.replace('-', ""));
        assert!(half_way.contains_key(&key), "{key} of {plan}: {half_way:?}");
    }
    assert!(plan == of_account(&before) || times.starts_with('o') || times.contains(":o"), "{plan} {times}");

    // The next daemon finishes the work, and puts right what somebody deleted meanwhile.
    lab.pbx.action(&[("Action", "DBDelTree"), ("Family", "toritsugi/do")]).await;
    service.again().await;
    is_level(&service).await;
    let after = lab.plan_keys().await;
    assert_ne!(of_account(&after), of_account(&before));
    lab.phone("1001").rings_for_ever().await;
    let mark = lab.pbx.events.mark();
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let chosen = |event: &Event| event.has("UserEvent", "ToritsugiCallflow") && event.has("Treatment", "o");
    lab.pbx.events.wait_after(mark, "the PBX to choose open", chosen).await;
    lab.phone("1001").rings().await;
    call.hang_up().await;
    service.stop().await;
}

#[tokio::test]
async fn an_override_ends_by_itself_while_no_daemon_runs() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    lab.phone("1001").rings_for_ever().await;
    // Account 2 has no callflow: afterwards the PBX's own dialplan treats its calls again.
    let id = account(&service, "A002").await;
    let until = Timestamp::now() + jiff::SignedDuration::from_secs(20);
    set_override(&service, json!({ "account": id, "treatment": "closed", "until": until.to_string() })).await;
    is_level(&service).await;
    service.kill().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, MINATO)).await;
    assert_eq!(call.ended().await, 21);
    // It ends with the minute in which `until` is.
    eventually_within(Duration::from_secs(120), "the override to end", async || {
        let mark = lab.pbx.events.mark();
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, MINATO)).await;
        let decided =
            |event: &Event| event.name() == "QueueCallerJoin" || event.has("UserEvent", "ToritsugiOutcome");
        let decided = lab.pbx.events.wait_after(mark, "the call to be treated", decided).await;
        if decided.name() != "QueueCallerJoin" {
            call.ended().await;
            return Err("closed".to_owned());
        }
        call.hang_up().await;
        Ok(())
    })
    .await;
    let now = Timestamp::now();
    assert!(now >= until, "{now} {until}");
}

/// A module that a plan needs is missing: the PBX's own dialplan, or the rest of the steps, let the caller through.
#[tokio::test]
async fn no_caller_is_lost_where_a_module_that_a_plan_needs_is_missing() {
    let lab = Lab::start_own(AsteriskVersion::Current).await;
    let open = "lines ab12 4 1|end blocked|crowded operators 5 1|end overflowed|queue operators 30 0 r|end overflowed";
    let plan = async || {
        plan_by_hand(&lab, "c/900:o/50400:z", &[('o', open), ('c', "end closed")]).await;
        lab.write_plan_key(&format!("forwarding/{FORWARDING}"), "ab12").await;
    };
    for module in [
        "app_userevent",
        "app_playback",
        "func_callerid",
        "func_cut",
        "func_db",
        "func_dialplan",
        "func_groupcount",
        "func_logic",
        "func_math",
        "func_module",
        "func_strings",
    ] {
        plan().await;
        change_module(&lab, "unload", module).await;
        gets_through(&lab, SAKURA).await;
        change_module(&lab, "load", module).await;
        lab.reset().await;
    }
    plan().await;
    let mark = lab.pbx.events.mark();
    gets_through(&lab, SAKURA).await;
    let chosen = |event: &Event| event.has("UserEvent", "ToritsugiCallflow") && event.has("Treatment", "o");
    lab.pbx.events.wait_after(mark, "the plan to treat the call again", chosen).await;
}

/// The steps that docs/callflow.md puts in front of a site's own.
fn documented_steps() -> Vec<&'static str> {
    let page = include_str!("../../docs/callflow.md");
    let lines = page.lines().filter(|line| line.contains("DIALPLAN_EXISTS"));
    lines.filter_map(|line| Some(&line[line.find("GosubIf")?..])).collect()
}

#[tokio::test]
async fn an_existing_dialplan_with_the_documented_steps_is_treated_by_plans_and_goes_on_without_one() {
    let lab = Lab::start().await;
    let steps = documented_steps();
    assert_eq!(steps.len(), 2);
    let own = "Dial(PJSIP/1001&PJSIP/1002,30,t)";
    for (priority, step) in (1..).zip(steps.into_iter().chain([own])) {
        add(&lab, "site", SAKURA, priority, step).await;
    }
    add(&lab, "from-trunk", SAKURA, 1, &format!("Goto(site,{SAKURA},1)")).await;
    gets_through(&lab, SAKURA).await;
    lab.reset().await;
    plan_by_hand(&lab, "c/50400:z", &[('c', "say accept early toritsugi/closed|end closed")]).await;
    let (chosen, heard, cause) = refused(&lab, SAKURA).await;
    assert_eq!((chosen.as_str(), cause), ("c", 21));
    assert!(heard.ever_hears(Tone::PROMPT), "{:?}", heard.per_second());
    restore(&lab).await;
}
