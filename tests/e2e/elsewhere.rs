//! Callers who reach somebody by other ways than a queue: follow-me, a phone that forwards (302), the reception, a menu.
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

/// Numbers that the lab's own configuration adds (tests/pbx_lab/instance.sh).
const FOLLOWED: &str = "0355501023";
const AT_1001: &str = "0355501024";
const RECEPTION: &str = "0355501025";
const MENU: &str = "0355501026";
/// The phone of the reception, which is no operator's.
const RECEPTIONIST: &str = "100";
const MOBILE: &str = "09011112222";

/// Waits until the caller of the call of this event is with somebody who is not an operator.
async fn is_elsewhere(service: &Service, event: &Value) {
    let path = format!("/v1/calls/{}", event["call"].as_str().unwrap());
    eventually("the caller is with somebody else", async || {
        let (_, view) = service.ask("admin", Method::GET, &path, None).await;
        let is_so =
            view["state"] == "elsewhere" && view["operator"].is_null() && view["presented_to"] == json!([]);
        if is_so { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
}

/// The event of this kind and operator; skips others.
async fn of_operator(events: &mut Sse, kind: &str, operator: &str) -> Value {
    loop {
        let event = wait_for(events, kind).await;
        if event["data"]["operator"] == operator {
            return event;
        }
    }
}

/// The end of the call and the segments of its record: kind and operator.
async fn ended(service: &Service, events: &mut Sse) -> (Value, Vec<String>) {
    let ended = wait_for(events, "call.ended").await;
    let path = format!("/v1/history/{}", ended["call"].as_str().unwrap());
    let record = eventually("the call is in the history", async || {
        let (status, record) = service.ask("admin", Method::GET, &path, None).await;
        if status.is_success() { Ok(record) } else { Err(record.to_string()) }
    })
    .await;
    let outcome = (&record["outcome"], &record["operators"]);
    assert_eq!(outcome, (&ended["data"]["outcome"], &ended["data"]["operators"]), "{record}");
    let text = |segment: &Value| match segment["operator"].as_str() {
        Some(operator) => format!("{} {operator}", segment["kind"].as_str().unwrap()),
        None => segment["kind"].as_str().unwrap().to_owned(),
    };
    (ended, record["segments"].as_array().unwrap().iter().map(text).collect())
}

fn end_of(ended: &Value) -> (&str, &Value) {
    (ended["data"]["outcome"].as_str().unwrap(), &ended["data"]["operators"])
}

#[tokio::test]
async fn a_phone_that_forwards_to_a_mobile_gives_the_caller_away() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").forwards_to(MOBILE).await;
    lab.phone(MOBILE).answers_after(ms(1_500)).await;
    for number in [AT_1001, SAKURA] {
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, number)).await;
        of_operator(&mut events, "call.presented", "1001").await;
        let rescinded = of_operator(&mut events, "call.rescinded", "1001").await;
        // The mobile only rings.
        assert_eq!(rescinded["data"]["reason"], "withdrawn", "{rescinded}");
        call.answered().await;
        is_elsewhere(&service, &rescinded).await;
        call.hang_up().await;
        let (end, segments) = ended(&service, &mut events).await;
        assert_eq!(end_of(&end), ("elsewhere", &json!([])), "{number}");
        assert!(segments.contains(&"elsewhere".to_owned()), "{segments:?}");
        assert!(!segments.iter().any(|kind| kind.starts_with("talking")), "{segments:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_phone_that_forwards_to_a_colleague_pops_there() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").forwards_to("1002").await;
    lab.phone("1002").answers_after(ms(500)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, AT_1001)).await;
    let first = of_operator(&mut events, "call.presented", "1001").await;
    let pop = of_operator(&mut events, "call.presented", "1002").await;
    assert_eq!(pop["call"], first["call"]);
    let answered = wait_for(&mut events, "call.answered").await;
    assert_eq!((&answered["call"], &answered["data"]["operator"]), (&first["call"], &json!("1002")));
    call.answered().await;
    call.hang_up().await;
    let (end, _) = ended(&service, &mut events).await;
    assert_eq!(end_of(&end), ("answered", &json!(["1002"])));
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_follows_the_operator_is_the_operators_only_at_the_operators_phone() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").rings_for_ever().await;
    lab.phone(MOBILE).answers_after(ms(500)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, FOLLOWED)).await;
    of_operator(&mut events, "call.presented", "1001").await;
    let rescinded = of_operator(&mut events, "call.rescinded", "1001").await;
    lab.phone(MOBILE).talks().await;
    is_elsewhere(&service, &rescinded).await;
    call.hang_up().await;
    let (end, segments) = ended(&service, &mut events).await;
    assert_eq!(end_of(&end), ("elsewhere", &json!([])), "{segments:?}");
    lab.phone("1001").goes_idle().await;

    lab.phone("1001").answers_after(ms(500)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, FOLLOWED)).await;
    let answered = wait_for(&mut events, "call.answered").await;
    assert_eq!(answered["data"]["operator"], "1001", "{answered}");
    call.hang_up().await;
    let (end, _) = ended(&service, &mut events).await;
    assert_eq!(end_of(&end), ("answered", &json!(["1001"])));
    service.stop().await;
}

#[tokio::test]
async fn a_caller_whom_the_reception_passes_on_to_an_operator_is_answered_there() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone(RECEPTIONIST).answers_after(ms(300)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, RECEPTION)).await;
    let offered = wait_for(&mut events, "call.offered").await;
    lab.phone(RECEPTIONIST).talks().await;
    is_elsewhere(&service, &offered).await;
    lab.phone("1001").answers_after(ms(500)).await;
    lab.phone(RECEPTIONIST).transfers_to("1001").await;
    let pop = of_operator(&mut events, "call.presented", "1001").await;
    assert_eq!(pop["call"], offered["call"]);
    let answered = wait_for(&mut events, "call.answered").await;
    assert_eq!((&answered["call"], &answered["data"]["operator"]), (&offered["call"], &json!("1001")));
    call.hang_up().await;
    let (end, segments) = ended(&service, &mut events).await;
    assert_eq!(end_of(&end), ("answered", &json!(["1001"])));
    let at = |wanted: &str| segments.iter().position(|segment| segment == wanted);
    assert!(at("elsewhere").is_some() && at("elsewhere") < at("talking 1001"), "{segments:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_caller_in_a_menu_waits_until_somebody_takes_the_call() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    for phone in ["1001", RECEPTIONIST] {
        lab.phone(phone).answers_after(ms(500)).await;
    }
    // An operator.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, MENU)).await;
    wait_for(&mut events, "call.offered").await;
    call.send_dtmf("1").await;
    of_operator(&mut events, "call.presented", "1001").await;
    wait_for(&mut events, "call.answered").await;
    call.hang_up().await;
    let (end, _) = ended(&service, &mut events).await;
    assert_eq!(end_of(&end), ("answered", &json!(["1001"])));

    // The reception.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, MENU)).await;
    let offered = wait_for(&mut events, "call.offered").await;
    call.send_dtmf("2").await;
    is_elsewhere(&service, &offered).await;
    call.hang_up().await;
    let (end, _) = ended(&service, &mut events).await;
    assert_eq!(end_of(&end), ("elsewhere", &json!([])));

    // Nobody: the caller hangs up in the menu.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, MENU)).await;
    call.answered().await;
    let offered = wait_for(&mut events, "call.offered").await;
    assert_eq!(offered["data"]["state"], "offered", "{offered}");
    call.hang_up().await;
    let (end, _) = ended(&service, &mut events).await;
    assert_eq!(end_of(&end), ("abandoned", &json!([])));
    service.stop().await;
}
