//! Who was connected with the caller: announcements, keys to press, other people, mailboxes, and hang-ups in between.
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

/// Numbers that the lab's own configuration adds (tests/pbx_lab/instance.sh).
const WITH_A_MOBILE: &str = "0355501017";
const PRESS_1: &str = "0355501018";
const MAILBOX: &str = "0355501019";
const ANNOUNCED: &str = "0355501020";
const QUEUE_GIVES_UP: &str = "0355501021";
const RING_GROUP: &str = "0355501022";
/// Rings at 1003 alone.
const AT_1003: &str = "0355501009";
/// Dialled by the phones.
const PICK_UP_AT_1003: &str = "*81003";
const MENU: &str = "190";
const PARK: &str = "700";
const SLOT: &str = "701";
const MOBILE: &str = "09011112222";

/// The kinds of the call events up to the end of the call, and the event of its end.
async fn until_ended(events: &mut Sse) -> (Vec<String>, Value) {
    let mut kinds = Vec::new();
    loop {
        let event = events.next().await.expect("an event");
        let kind = event["kind"].as_str().unwrap().to_owned();
        if kind.starts_with("call.") {
            kinds.push(kind.clone());
        }
        if kind == "call.ended" {
            return (kinds, event);
        }
    }
}

async fn record_of(service: &Service, ended: &Value) -> Value {
    let path = format!("/v1/history/{}", ended["call"].as_str().unwrap());
    eventually("the call is in the history", async || {
        let (status, record) = service.ask("admin", Method::GET, &path, None).await;
        if status.is_success() { Ok(record) } else { Err(record.to_string()) }
    })
    .await
}

fn kinds_of(record: &Value) -> Vec<(String, Value)> {
    let segments = record["segments"].as_array().unwrap();
    segments.iter().map(|s| (s["kind"].as_str().unwrap().to_owned(), s["result"].clone())).collect()
}

#[tokio::test]
async fn a_caller_who_hangs_up_during_the_announcement_to_the_operator_was_not_answered() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, ANNOUNCED)).await;
    wait_for(&mut events, "call.presented").await;
    lab.phone("1001").answers().await;
    call.hang_up().await;
    let (kinds, ended) = until_ended(&mut events).await;
    assert!(!kinds.contains(&"call.answered".to_owned()), "{kinds:?}");
    assert_eq!((&ended["data"]["outcome"], &ended["data"]["operators"]), (&json!("abandoned"), &json!([])));
    let record = record_of(&service, &ended).await;
    assert_eq!((&record["answered_at"], &record["operators"]), (&Value::Null, &json!([])), "{record}");
    let segments = kinds_of(&record);
    assert!(segments.contains(&("announced".to_owned(), json!("caller_gone"))), "{segments:?}");
    assert!(!segments.iter().any(|(kind, _)| kind == "talking"), "{segments:?}");
    service.stop().await;
}

#[tokio::test]
async fn an_operator_has_answered_once_the_announcement_is_over() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, ANNOUNCED)).await;
    let answered = wait_for(&mut events, "call.answered").await;
    let picked_up_at = answered["data"]["picked_up_at"].as_str().unwrap().to_owned();
    assert!(picked_up_at.as_str() < answered["data"]["answered_at"].as_str().unwrap(), "{answered}");
    call.answered().await;
    call.hang_up().await;
    let (_, ended) = until_ended(&mut events).await;
    assert_eq!(ended["data"]["outcome"], "answered");
    let segments = kinds_of(&record_of(&service, &ended).await);
    assert!(segments.contains(&("announced".to_owned(), json!("connected"))), "{segments:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_phone_whose_key_nobody_presses_has_not_answered() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").is_a_mailbox_after(ms(200)).await;
    lab.place_call(CallSpec::new(KNOWN_CALLER, PRESS_1)).await;
    let (kinds, ended) = until_ended(&mut events).await;
    assert!(!kinds.contains(&"call.answered".to_owned()), "{kinds:?}");
    assert_eq!((&ended["data"]["outcome"], &ended["data"]["operators"]), (&json!("overflowed"), &json!([])));
    service.stop().await;
}

#[tokio::test]
async fn a_caller_with_a_mobile_does_not_wait_and_has_not_given_up() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone(MOBILE).answers_after(ms(500)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, WITH_A_MOBILE)).await;
    let offered = wait_for(&mut events, "call.offered").await;
    let path = format!("/v1/calls/{}", offered["call"].as_str().unwrap());
    eventually("the caller is with somebody else", async || {
        let (_, view) = service.ask("admin", Method::GET, &path, None).await;
        if view["state"] == "elsewhere" { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
    call.hang_up().await;
    let (kinds, ended) = until_ended(&mut events).await;
    assert!(!kinds.contains(&"call.answered".to_owned()), "{kinds:?}");
    assert_eq!(ended["data"]["outcome"], "elsewhere");
    let segments = kinds_of(&record_of(&service, &ended).await);
    assert!(segments.contains(&("presented".to_owned(), json!("answered_elsewhere"))), "{segments:?}");
    assert!(segments.iter().any(|(kind, _)| kind == "elsewhere"), "{segments:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_caller_whom_the_pbx_answers_itself_after_no_answer_does_not_wait() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, MAILBOX)).await;
    let rescinded = wait_for(&mut events, "call.rescinded").await;
    assert_eq!(rescinded["data"]["reason"], "no_answer");
    let path = format!("/v1/calls/{}", rescinded["call"].as_str().unwrap());
    eventually("the caller is with the PBX", async || {
        let (_, view) = service.ask("admin", Method::GET, &path, None).await;
        if view["state"] == "elsewhere" { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
    call.hang_up().await;
    let (_, ended) = until_ended(&mut events).await;
    assert_eq!(ended["data"]["outcome"], "overflowed");
    service.stop().await;
}

/// The operator consults a colleague without the daemon and hangs up while the colleague's phone rings.
#[tokio::test]
async fn an_operator_who_hangs_up_in_a_consultation_is_free_before_the_colleague_answers() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    wait_for(&mut events, "call.answered").await;
    lab.phone("1001").talks().await;
    lab.phone("1002").goes_idle().await;
    lab.phone("1002").rings_for_ever().await;
    lab.product_actions().await.consult("1001", "1002").await;
    let presented = loop {
        let event = wait_for(&mut events, "call.presented").await;
        if event["data"]["operator"] == "1002" && event["data"]["had_by"] == "1001" {
            break event;
        }
    };
    lab.phone("1001").hangs_up().await;
    let updated = loop {
        let event = wait_for(&mut events, "call.updated").await;
        if event["call"] == presented["call"] && event["data"]["operator"].is_null() {
            break event;
        }
    };
    assert_eq!(
        (&updated["data"]["state"], &updated["data"]["presented_to"]),
        (&json!("presented"), &json!(["1002"]))
    );
    lab.phone("1002").answers().await;
    let answered = wait_for(&mut events, "call.answered").await;
    assert_eq!(answered["data"]["operator"], "1002");
    call.hang_up().await;
    let (_, ended) = until_ended(&mut events).await;
    assert_eq!(ended["data"]["operators"], json!(["1001", "1002"]));
    service.stop().await;
}

/// The operator consults a colleague with the phone's keys and hangs up while the colleague's phone rings. The colleague
/// does not answer, and the PBX calls the operator back with the caller: with a pop, and in talk once answered.
#[tokio::test]
async fn an_operator_who_is_called_back_after_a_consultation_in_vain_has_the_pop() {
    let lab = Lab::start().await;
    // Also how long the operator's phone rings.
    lab.change_features("atxfernoanswertimeout = 25", "atxfernoanswertimeout = 8").await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    wait_for(&mut events, "call.answered").await;
    lab.phone("1001").talks().await;
    lab.phone("1002").goes_idle().await;
    lab.phone("1002").rings_for_ever().await;
    lab.phone("1001").presses("*21002").await;
    let consulted = presented_to(&mut events, "1002").await;
    lab.phone("1001").rings_for_ever().await;
    lab.phone("1001").hangs_up().await;
    let back = presented_to(&mut events, "1001").await;
    assert_eq!(back["call"], consulted["call"]);
    assert_eq!(back["data"]["account"]["name"], "株式会社さくら商事", "{back}");
    lab.phone("1001").answers().await;
    let answered = wait_for(&mut events, "call.answered").await;
    assert_eq!((&answered["call"], &answered["data"]["operator"]), (&back["call"], &json!("1001")));
    let path = format!("/v1/calls/{}", back["call"].as_str().unwrap());
    let (_, view) = service.ask("1001", Method::GET, &path, None).await;
    assert_eq!((&view["state"], &view["operator"]), (&json!("answered"), &json!("1001")), "{view}");
    call.hang_up().await;
    let (_, ended) = until_ended(&mut events).await;
    let end = (&ended["call"], &ended["data"]["outcome"], &ended["data"]["operators"]);
    assert_eq!(end, (&back["call"], &json!("answered"), &json!(["1001", "1001"])));
    let segments = kinds_of(&record_of(&service, &ended).await);
    assert_eq!(segments.iter().filter(|(kind, _)| kind == "talking").count(), 2, "{segments:?}");
    service.stop().await;
}

/// The next pop at this phone.
async fn presented_to(events: &mut Sse, operator: &str) -> Value {
    loop {
        let event = wait_for(events, "call.presented").await;
        if event["data"]["operator"] == operator {
            return event;
        }
    }
}

#[tokio::test]
async fn a_queue_that_gives_up_is_no_caller_who_does() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").rings_for_ever().await;
    lab.place_call(CallSpec::new(KNOWN_CALLER, QUEUE_GIVES_UP)).await;
    wait_for(&mut events, "call.presented").await;
    let (_, ended) = until_ended(&mut events).await;
    assert_eq!(ended["data"]["outcome"], "overflowed");
    service.stop().await;
}

#[tokio::test]
async fn a_ring_group_that_gives_up_tells_what_its_phones_did() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    let (one, two) = (lab.phone("1001"), lab.phone("1002"));
    one.refuses().await;
    two.is_busy().await;
    lab.place_call(CallSpec::new(KNOWN_CALLER, RING_GROUP)).await;
    let (_, refused) = until_ended(&mut events).await;
    assert_eq!(refused["data"]["outcome"], "blocked");
    one.goes_idle().await;
    one.rings_for_ever().await;
    lab.place_call(CallSpec::new(KNOWN_CALLER, RING_GROUP)).await;
    let (_, unanswered) = until_ended(&mut events).await;
    assert_eq!(unanswered["data"]["outcome"], "overflowed", "one was busy, the other did not answer");
    one.goes_idle().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, RING_GROUP)).await;
    wait_for(&mut events, "call.presented").await;
    call.hang_up().await;
    let (_, given_up) = until_ended(&mut events).await;
    assert_eq!(given_up["data"]["outcome"], "abandoned");
    service.stop().await;
}

#[tokio::test]
async fn who_picks_up_a_call_that_rings_elsewhere_has_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1003").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, AT_1003)).await;
    let presented = wait_for(&mut events, "call.presented").await;
    assert_eq!(presented["data"]["operator"], "1003");
    lab.phone("1003").rings().await;
    lab.phone("1002").dials(PICK_UP_AT_1003).await;
    // The PBX may silence 1003 before or after it connects 1002.
    let (mut answered, mut rescinded) = (Value::Null, Value::Null);
    while answered.is_null() || rescinded.is_null() {
        let event = events.next().await.expect("an event");
        match event["kind"].as_str() {
            Some("call.answered") => answered = event,
            Some("call.rescinded") => rescinded = event,
            _ => {}
        }
    }
    let why = (&rescinded["data"]["operator"], &rescinded["data"]["reason"]);
    assert_eq!(why, (&json!("1003"), &json!("answered_elsewhere")));
    assert_eq!((&answered["call"], &answered["data"]["operator"]), (&presented["call"], &json!("1002")));
    call.hang_up().await;
    let (_, ended) = until_ended(&mut events).await;
    let end = (&ended["data"]["outcome"], &ended["data"]["operators"]);
    assert_eq!(end, (&json!("answered"), &json!(["1002"])));
    service.stop().await;
}

/// A call that 1001 has answered; returns the event.
async fn answered_by_1001(lab: &Lab, events: &mut Sse) -> Value {
    let answered = wait_for(events, "call.answered").await;
    assert_eq!(answered["data"]["operator"], "1001");
    lab.phone("1001").talks().await;
    answered
}

/// The next event that shows the call with no operator.
async fn left_the_operator(events: &mut Sse) -> Value {
    let updated = wait_for(events, "call.updated").await;
    assert_eq!(updated["data"]["operator"], Value::Null, "{updated}");
    updated
}

#[tokio::test]
async fn after_a_blind_transfer_by_the_phone_the_call_is_transferred() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    answered_by_1001(&lab, &mut events).await;
    lab.phone("1001").transfers_to(MENU).await;
    let updated = left_the_operator(&mut events).await;
    assert_eq!(updated["data"]["state"], "transferred");
    call.hang_up().await;
    let (kinds, ended) = until_ended(&mut events).await;
    assert_eq!(kinds, ["call.ended"], "the call stays transferred");
    let end = (&ended["data"]["outcome"], &ended["data"]["operators"]);
    assert_eq!(end, (&json!("answered"), &json!(["1001"])));
    service.stop().await;
}

#[tokio::test]
async fn a_parked_caller_is_parked_until_somebody_takes_the_caller() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let first = answered_by_1001(&lab, &mut events).await;
    lab.phone("1001").transfers_to(PARK).await;
    let path = format!("/v1/calls/{}", first["call"].as_str().unwrap());
    eventually("the caller is parked", async || {
        let (_, view) = service.ask("admin", Method::GET, &path, None).await;
        let is_parked = view["state"] == "parked" && view["operator"].is_null();
        if is_parked { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
    lab.phone("1002").dials(SLOT).await;
    let answered = wait_for(&mut events, "call.answered").await;
    assert_eq!((&answered["call"], &answered["data"]["operator"]), (&first["call"], &json!("1002")));
    call.hang_up().await;
    let (_, ended) = until_ended(&mut events).await;
    assert_eq!(ended["data"]["operators"], json!(["1001", "1002"]));
    let segments = kinds_of(&record_of(&service, &ended).await);
    let kinds: Vec<&str> = segments.iter().map(|(kind, _)| kind.as_str()).collect();
    assert!(kinds.ends_with(&["parked", "presented", "talking"]), "{kinds:?}");
    service.stop().await;
}

/// A daemon whose store was lost finds the caller of a call whose talk is over.
#[tokio::test]
async fn a_call_that_is_found_after_its_talk_ends_as_unknown() {
    let lab = Lab::start().await;
    let mut first = Service::start(&lab).await;
    let mut events = first.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let channel = call.at_pbx().await.header("Channel").unwrap().to_owned();
    answered_by_1001(&lab, &mut events).await;
    lab.phone("1001").transfers_to(MENU).await;
    left_the_operator(&mut events).await;
    first.stop().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    eventually("the call is found", async || {
        let (_, calls) = service.ask("admin", Method::GET, "/v1/calls", None).await;
        let is_found = calls["items"].as_array().is_some_and(|items| items.len() == 1);
        if is_found { Ok(()) } else { Err(calls.to_string()) }
    })
    .await;
    lab.pbx.must(&[("Action", "Hangup"), ("Channel", &channel)]).await;
    let (_, ended) = until_ended(&mut events).await;
    let end = (&ended["data"]["outcome"], &ended["data"]["operators"]);
    assert_eq!(end, (&json!("unknown"), &json!([])));
    service.stop().await;
}
