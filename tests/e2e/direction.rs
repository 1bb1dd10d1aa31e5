//! Which calls come from outside, on a real PBX: a door phone is no caller, a phone is its person's whatever its endpoint
//! is called, and a call to the outside is in the history and nowhere else.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

/// The finished calls that `who` sees.
async fn history(service: &Service, who: &str, direction: &str) -> Vec<Value> {
    let path = format!("/v1/history?direction={direction}");
    let (status, page) = service.ask(who, Method::GET, &path, None).await;
    assert_eq!(status.as_u16(), 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_call_to_the_outside_is_in_its_operators_history_and_no_other() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone(KNOWN_CALLER).answers_after(ms(200)).await;
    lab.phone("09011112222").is_busy().await;
    lab.phone("1002").answers_after(ms(200)).await;

    // To a customer, to somebody who is busy, and to a colleague.
    let call = lab.phone("1001").dials(KNOWN_CALLER).await;
    call.answered().await;
    call.hang_up().await;
    let call = lab.phone("1001").dials("09011112222").await;
    call.ended().await;
    let call = lab.phone("1001").dials("1002").await;
    call.answered().await;
    call.hang_up().await;

    let two = async || match history(&service, "1001", "outbound").await {
        calls if calls.len() == 2 => Ok(calls),
        calls => Err(format!("{calls:?}")),
    };
    let calls = eventually("both outbound calls to be in the history", two).await;
    let facts: Vec<_> = calls
        .iter()
        .map(|call| {
            json!([call["direction"], call["dialled"], call["outcome"], call["operators"], call["caller"]])
        })
        .collect();
    assert_eq!(
        facts,
        [
            json!(["outbound", "+819011112222", "blocked", ["1001"], null]),
            json!(["outbound", "+819012345678", "answered", ["1001"], null]),
        ]
    );
    let path = format!("/v1/history/{}", calls[1]["id"].as_str().unwrap());
    let (_, call) = service.ask("1001", Method::GET, &path, None).await;
    let kinds: Vec<_> = call["segments"].as_array().unwrap().iter().map(|s| &s["kind"]).collect();
    assert_eq!(kinds, ["dialling", "talking"]);
    assert!(history(&service, "1002", "outbound").await.is_empty());
    assert!(history(&service, "admin", "inbound").await.is_empty());

    // Nothing of it was published, and the customer's next pop counts no earlier call.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let first = loop {
        let event = events.next().await.unwrap();
        if event["kind"].as_str().unwrap().starts_with("call.") {
            break event;
        }
    };
    assert_eq!(first["kind"], "call.offered");
    let pop = wait_for(&mut events, "call.presented").await;
    assert_eq!(pop["data"]["history"]["calls"], 0, "{pop}");
    call.hang_up().await;
    service.stop().await;
}

#[tokio::test]
async fn a_door_phone_with_a_name_is_no_caller() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let lists = service.metric("toritsugi_pbx_resyncs_total").await.unwrap();
    for _ in 0..2 {
        let call = lab.phone("reception").dials("1001").await;
        call.answered().await;
        call.hang_up().await;
    }
    // The first call that anybody is told of is the next one from outside.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let offered = loop {
        let event = events.next().await.unwrap();
        if event["kind"].as_str().unwrap().starts_with("call.") {
            break event;
        }
    };
    assert_eq!(offered["data"]["dialled"], SAKURA, "{offered}");
    assert_eq!(service.metric("toritsugi_pbx_unknown_endpoints_total").await, Ok(1));
    assert_eq!(service.metric("toritsugi_pbx_unreported_rings_total").await, Ok(2));
    // A ring that no call explains may be one that was missed: the PBX is listed again, outside the schedule.
    let again = service.metric("toritsugi_pbx_resyncs_total").await.unwrap();
    assert!(again > lists, "listed {lists} times before the rings, {again} times after");
    call.hang_up().await;
    service.stop().await;
}

#[tokio::test]
async fn a_phone_whose_endpoint_is_not_its_extension_gets_its_pops() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1005").answers_after(ms(500)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, "0355502205")).await;
    let pop = wait_for(&mut events, "call.presented").await;
    let answered = wait_for(&mut events, "call.answered").await;
    assert_eq!((&pop["data"]["operator"], &answered["data"]["operator"]), (&json!("1005"), &json!("1005")));
    call.hang_up().await;
    service.stop().await;
}
