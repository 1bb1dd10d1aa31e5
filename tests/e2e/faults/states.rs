//! The states of the operators, held against the far end's record: each talks once for each call that their phone
//! answered, in that order, and each talk is followed by its after-call work.
use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::all_is_logged;
use super::verify::Kept;
use crate::far_end_cdr::FarCall;
use crate::support::pbx_lab::{Event, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;

/// Queue of the operators at the phones of the load (tests/pbx_lab/instance.sh). It rings phones in use, so only a pause
/// keeps callers from an operator who talks.
const QUEUE: &str = "lab-crowd";
/// The phones of the load.
const PHONES: std::ops::RangeInclusive<u32> = 1101..=1120;
/// Settings of a daemon whose operators sit at these phones.
pub(crate) const SETTINGS: [(&str, &str); 2] =
    [("OPERATORS__QUEUES", QUEUE), ("OPERATORS__WRAP_UP_SECONDS", "1")];
/// The states of an operator who has a call or its work.
const OF_CALLS: [&str; 4] = ["reserved", "talking", "on_hold", "wrap_up"];

/// Makes an operator for each phone of the load, who is ready.
pub(crate) async fn log_in(lab: &Lab, service: &Service) {
    let tell = async |method: Method, path: &str, body: Value| {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = service.ask("admin", method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    };
    log_in_by(lab, &tell).await;
    // A state that is not in the store yet ends with a daemon that is killed.
    all_is_logged(service).await;
}

/// As [`log_in`]; `tell` sends a request as the administrator.
pub(crate) async fn log_in_by(lab: &Lab, tell: &impl AsyncFn(Method, &str, Value) -> Value) {
    for phone in PHONES {
        let person = json!({
            "name": format!("席{phone}"), "role": "operator", "extension": phone.to_string(), "team": "crowd",
        });
        tell(Method::POST, "/v1/users", person).await;
    }
    let people = eventually("the new operators are known", async || {
        let list = tell(Method::GET, "/v1/operators", Value::Null).await;
        let people: Vec<Value> =
            list["items"].as_array().unwrap().iter().filter(|o| is_ours(o)).cloned().collect();
        if people.len() == PHONES.count() { Ok(people) } else { Err(list.to_string()) }
    })
    .await;
    for person in people {
        let path = format!("/v1/operators/{}/state", person["id"].as_str().unwrap());
        tell(Method::PUT, &path, json!({ "state": "ready", "version": person["version"] })).await;
    }
    nobody_is_paused(lab).await;
}

fn is_ours(operator: &Value) -> bool {
    operator["name"].as_str().is_some_and(|name| name.starts_with('席'))
}

/// Whether this list has the operators of all these phones, each of them ready.
pub(crate) fn are_ready(list: &Value) -> bool {
    let operators = list["items"].as_array().into_iter().flatten().filter(|operator| is_ours(operator));
    operators.filter(|operator| operator["state"] == "ready").count() == PHONES.count()
}

/// Waits until each phone of the load is in the queue, and none is paused.
pub(crate) async fn nobody_is_paused(lab: &Lab) {
    eventually("every operator is a member and not paused", async || {
        let status = lab.pbx.action(&[("Action", "QueueStatus"), ("Queue", QUEUE)]).await;
        let members = || status.items.iter().filter(|event| event.name() == "QueueMember");
        let is_paused = |member: &&Event| member.has("Paused", "1");
        let paused: Vec<_> = members().filter(is_paused).map(|member| member.header("Location")).collect();
        if members().count() == PHONES.count() && paused.is_empty() {
            Ok(())
        } else {
            Err(format!("of {} members these are paused: {paused:?}", members().count()))
        }
    })
    .await;
}

/// Checks the states of all operators who are logged in; returns how many talks they had to have. A call that was
/// transferred may have come back to its operator, or not.
pub(super) async fn are_true(
    ask: &impl AsyncFn(&str) -> Value,
    record: &BTreeMap<String, FarCall>,
    history: &BTreeMap<String, Kept>,
    is_passed_on: &impl Fn(&str) -> bool,
) -> usize {
    let operators = eventually("no operator is in a call", async || {
        let list = ask("/v1/operators").await;
        let operators: Vec<Value> = list["items"].as_array().unwrap().clone();
        let busy: Vec<&Value> =
            operators.iter().filter(|o| OF_CALLS.iter().any(|state| o["state"] == *state)).collect();
        if busy.is_empty() { Ok(operators) } else { Err(format!("{busy:?}")) }
    })
    .await;
    let mut talks = 0;
    for operator in operators.iter().filter(|operator| operator["state"] != "logged_out") {
        let phone = operator["extension"].as_str().expect("whoever is logged in has a phone");
        let states = ask(&format!("/v1/operators/{}/history", operator["id"].as_str().unwrap())).await;
        assert_eq!(states["cut"], false, "too many changes for one page");
        let states = states["items"].as_array().unwrap();
        let mut took: Vec<(usize, &str)> = Vec::new();
        let mut may_have: Vec<&str> = Vec::new();
        for (caller, far) in record.iter().filter(|(_, far)| far.took.contains(phone)) {
            let id = history[caller].id.as_str();
            if is_passed_on(id) { may_have.push(id) } else { took.push((far.line, id)) }
        }
        took.sort_unstable();
        let took: Vec<&str> = took.into_iter().map(|(_, id)| id).collect();
        let ours = |id: &str| history.values().any(|kept| kept.id == id);
        let talked = states.iter().enumerate().filter(|(_, change)| change["state"] == "talking");
        let talked: Vec<(usize, &str)> = talked
            .map(|(n, change)| (n, change["call"].as_str().unwrap()))
            .filter(|(_, id)| ours(id))
            .collect();
        let kept: Vec<&str> = talked.iter().map(|(_, id)| *id).filter(|id| !may_have.contains(id)).collect();
        assert_eq!(kept, took, "at {phone}, the states and the far end's record: {states:#?}");
        for (n, id) in talked.iter().filter(|(_, id)| took.contains(id)) {
            let next = &states[n + 1];
            assert_eq!(
                (&next["state"], &next["call"]),
                (&json!("wrap_up"), &json!(id)),
                "at {phone}, after a talk: {states:#?}"
            );
        }
        talks += took.len();
    }
    talks
}
