//! Operator states on a real PBX: the queue rings every ready operator and no other, also after a restart of the
//! daemon or of the PBX.
mod desktops;
mod members;
mod restart;
mod wrap_up;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::client::Sse;
use crate::support::pbx_lab::Lab;
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;

/// A number that belongs to no account: its wrap-up has the length of the installation.
const SHARED: &str = "0355501000";
/// A contact.
const CONTACT: &str = "09011112222";

/// Short wrap-up, so that tests see it expire.
const SHORT: &[(&str, &str)] = &[("OPERATORS__WRAP_UP_SECONDS", "4"), ("OPERATORS__AUDIT_SECONDS", "2")];
/// Long wrap-up, which only its disposition ends.
const LONG: &[(&str, &str)] = &[("OPERATORS__WRAP_UP_SECONDS", "600"), ("OPERATORS__AUDIT_SECONDS", "2")];

/// The state of the person `name`, as `who` sees it.
async fn operator(service: &Service, who: &str, name: &str) -> Value {
    let (status, list) = service.ask(who, Method::GET, "/v1/operators", None).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let items = list["items"].as_array().unwrap();
    items.iter().find(|o| o["name"] == name).unwrap_or_else(|| panic!("{who} does not see {name}")).clone()
}

/// Sets a state as `who`, for `name`, based on its current version.
async fn set(service: &Service, who: &str, name: &str, mut wanted: Value) -> (StatusCode, Value) {
    let present = operator(service, "admin", name).await;
    wanted["version"] = present["version"].clone();
    let path = format!("/v1/operators/{}/state", present["id"].as_str().unwrap());
    service.ask(who, Method::PUT, &path, Some(wanted)).await
}

async fn must_set(service: &Service, who: &str, name: &str, wanted: Value) -> Value {
    let (status, view) = set(service, who, name, wanted).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    view
}

async fn finish(service: &Service, who: &str, view: &Value) -> (StatusCode, Value) {
    let path = format!("/v1/operators/{}/wrap-up/finish", view["id"].as_str().unwrap());
    let body = json!({ "call": view["wrap_up"]["call"], "disposition": "message", "notes": "折り返し希望" });
    service.ask(who, Method::POST, &path, Some(body)).await
}

/// The next `operator.state` of this person in this state.
async fn until_state(events: &mut Sse, name: &str, state: &str) -> Value {
    loop {
        let event = wait_for(events, "operator.state").await;
        if event["data"]["name"] == name && event["data"]["state"] == state {
            return event["data"].clone();
        }
    }
}

/// A queue member as the PBX lists it: its pause reason (`-`: not paused) and its membership.
async fn member(lab: &Lab, queue: &str, phone: &str) -> Option<(String, String)> {
    let status = lab.pbx.action(&[("Action", "QueueStatus"), ("Queue", queue)]).await;
    let device = format!("PJSIP/{phone}");
    let is_it = |e: &&crate::support::pbx_lab::Event| e.name() == "QueueMember" && e.has("Location", &device);
    let found = status.items.iter().find(is_it)?;
    let reason = if found.has("Paused", "1") { found.header("PausedReason").unwrap_or("") } else { "-" };
    Some((reason.to_owned(), found.header("Membership").unwrap_or("").to_owned()))
}

/// Waits until the PBX lists the member like this.
async fn member_is(lab: &Lab, queue: &str, phone: &str, wanted: Option<(&str, &str)>) {
    let wanted = wanted.map(|(reason, membership)| (reason.to_owned(), membership.to_owned()));
    eventually(&format!("{phone} in {queue} is {wanted:?}"), async || {
        let present = member(lab, queue, phone).await;
        if present == wanted { Ok(()) } else { Err(format!("{present:?}")) }
    })
    .await;
}
