//! The PBX dies in the middle of a call and comes back: no desktop keeps a call that no longer exists.
use reqwest::Method;
use serde_json::json;

use crate::support::pbx_lab::{AsteriskVersion, CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::{KNOWN_CALLER, SAKURA, ms};

#[tokio::test]
async fn a_pbx_that_dies_takes_its_calls_with_it_and_the_next_call_pops() {
    let mut lab = Lab::start_own(AsteriskVersion::Current).await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let answered = wait_for(&mut events, "call.answered").await;

    lab.kill_pbx().await;
    wait_for(&mut events, "pbx.down").await;
    // While the PBX is unreachable nothing is inferred: the call is shown in its last state.
    let (_, calls) = service.ask("admin", Method::GET, "/v1/calls", None).await;
    assert_eq!(calls["items"][0]["id"], answered["call"]);
    assert_eq!(service.request("admin", Method::GET, "/readyz").send().await.unwrap().status().as_u16(), 503);

    lab.revive_pbx().await;
    let mut seen = Vec::new();
    let ended = loop {
        let event = events.next().await.expect("an event");
        seen.push(event["kind"].as_str().unwrap().to_owned());
        if event["kind"] == "call.ended" {
            break event;
        }
    };
    assert_eq!(ended["call"], answered["call"]);
    assert_eq!((&ended["data"]["inferred"], &ended["data"]["outcome"]), (&json!(true), &json!("answered")));
    assert!(seen.iter().any(|k| k == "pbx.gap"), "no gap in {seen:?}");
    assert!(!seen.iter().any(|k| k == "pbx.up"), "up before the calls were true: {seen:?}");
    wait_for(&mut events, "pbx.restarted").await;
    wait_for(&mut events, "pbx.up").await;

    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let pop = wait_for(&mut events, "call.presented").await;
    assert_eq!(pop["data"]["customers"][0]["name"], "田中太郎");
    call.hang_up().await;
    wait_for(&mut events, "call.ended").await;
    service.stop().await;
}
