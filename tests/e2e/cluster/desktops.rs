//! The number of an operator's desktops is counted over all gateways, by the daemon that owns the operator's state.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::site::{Daemon, Desktop, Site, Transcript, is, of};
use crate::KNOWN_CALLER;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::services::shared;

/// A number that rings at 1001 alone.
const FOR_SATO: &str = "0355501002";

/// Waits until every gateway shows this number of desktops for the operator.
async fn follow(site: &Site, daemons: &[&Daemon], extension: &str, desktops: u64) {
    for daemon in daemons {
        let as_many = |list: &Value| of(list, extension)["desktops"] == desktops;
        site.until_json(daemon, "/v1/operators", as_many).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn desktops_count_at_every_gateway_until_its_daemon_is_killed() {
    let lab = Lab::start().await;
    let mut east = Site::new(&lab, shared()).await;
    for (key, value) in [("POP__REPEAT_SECONDS", "1"), ("POP__REPORT_SECONDS", "2")] {
        east.set(key, value);
    }
    let mut west = east.clone();
    east.set("OPERATORS__TEAMS", "east");
    west.set("OPERATORS__TEAMS", "west");
    let osaka = east.start(&lab, "osaka").await;
    let mut tokyo = west.start(&lab, "tokyo").await;
    let site = &east;
    let mut supervisor = site.follow(&osaka, "2001", None).await;
    lab.phone("1001").rings_for_ever().await;

    // Osaka owns the operator's state; the operator's desktop is at Tokyo's gateway.
    follow(site, &[&osaka, &tokyo], "1001", 0).await;
    let mut desk = site.follow(&tokyo, "1001", None).await;
    follow(site, &[&osaka, &tokyo], "1001", 1).await;
    let second = site.follow(&osaka, "1001", None).await;
    follow(site, &[&osaka, &tokyo], "1001", 2).await;
    drop(second);
    follow(site, &[&osaka, &tokyo], "1001", 1).await;

    // The desktop acknowledges one pop of Osaka's PBX, and does not acknowledge the next.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, FOR_SATO)).await;
    let mut transcript = Transcript::default();
    assert!(desk.read("osaka", &mut transcript, is("call.presented")).await);
    let path = format!("/v1/calls/{}/ack", transcript.calls.keys().next().unwrap());
    let body = json!({ "event": desk.last });
    let confirmed = site.request(&tokyo, "1001", Method::POST, &path).json(&body).send().await.unwrap();
    assert_eq!(confirmed.status(), StatusCode::NO_CONTENT, "{}", confirmed.text().await.unwrap());
    call.hang_up().await;
    assert!(desk.read("osaka", &mut transcript, is("call.rescinded")).await);
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, FOR_SATO)).await;
    assert_eq!(
        unconfirmed(&mut supervisor).await,
        "not_confirmed",
        "the operator has a desktop, at the other gateway"
    );
    call.hang_up().await;

    // After kill -9, Tokyo's gateway has no desktops.
    tokyo.child.kill().await.unwrap();
    let killed = Instant::now();
    follow(site, &[&osaka], "1001", 0).await;
    println!("the desktops of a killed gateway count no more after {} ms", killed.elapsed().as_millis());
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, FOR_SATO)).await;
    assert_eq!(unconfirmed(&mut supervisor).await, "no_desktop");
    call.hang_up().await;
}

/// The reason in the event about Osaka's next unacknowledged pop.
async fn unconfirmed(supervisor: &mut Desktop) -> String {
    while let Some(event) = supervisor.stream.next().await {
        if event["kind"] == "pop.unacknowledged"
            && event["pbx"] == "osaka"
            && event["data"]["operator"] == "1001"
        {
            return event["data"]["reason"].as_str().unwrap().to_owned();
        }
    }
    panic!("the supervisor's stream ended");
}
