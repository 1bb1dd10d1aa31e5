//! Changes by several desktops and by a supervisor.
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{SHORT, member_is, must_set, set, until_state};
use crate::support::pbx_lab::Lab;
use crate::support::service::{Service, wait_for};

#[tokio::test]
async fn two_desktops_of_one_person_show_the_same_state() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let mut one = service.follow("1001", None).await;
    let mut two = service.follow("1001", None).await;
    loop {
        let view = wait_for(&mut two, "operator.state").await;
        if view["data"]["desktops"] == 2 {
            break;
        }
    }
    must_set(&service, "1001", "佐藤", json!({ "state": "ready", "desktop": "left" })).await;
    let (_, session) = service.ask("1001", Method::GET, "/v1/session", None).await;
    for events in [&mut one, &mut two] {
        let view = until_state(events, "佐藤", "ready").await;
        assert_eq!((&view["by"]["desktop"], &view["by"]["session"]), (&json!("left"), &session["session"]));
        assert_eq!(view["desktops"], 2);
    }
    // A change based on the outdated state of the other desktop is refused with the current state.
    let id = session["user"].as_str().unwrap();
    let stale = json!({ "state": "logged_out", "version": 0 });
    let (status, problem) =
        service.ask("1001", Method::PUT, &format!("/v1/operators/{id}/state"), Some(stale)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("state-changed")));
    assert_eq!(problem["current"]["state"], "ready");
    drop(one);
    loop {
        let view = wait_for(&mut two, "operator.state").await;
        if view["data"]["desktops"] == 1 {
            break;
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_supervisor_sets_the_states_of_the_team_and_they_see_by_whom() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let mut events = service.follow("1001", None).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    must_set(&service, "2001", "佐藤", json!({ "state": "not_ready", "reason": "training" })).await;
    let view = until_state(&mut events, "佐藤", "not_ready").await;
    assert_eq!((&view["by"]["name"], &view["by"]["actor"]), (&json!("伊藤"), &json!("person")));
    member_is(&lab, "operators", "1001", Some(("training", "static"))).await;
    // Another team's supervisor and a colleague do not even see the operator.
    for who in ["2002", "1003"] {
        let (status, problem) = set(&service, who, "佐藤", json!({ "state": "ready" })).await;
        assert_eq!((status, &problem["type"]), (StatusCode::NOT_FOUND, &json!("unknown-operator")), "{who}");
    }
    let (status, _) = set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "昼寝" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, problem) =
        set(&service, "1002", "鈴木", json!({ "state": "ready", "extension": "1001" })).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("state-conflict")));
    let (_, options) = service.ask("1001", Method::GET, "/v1/operators/options", None).await;
    assert_eq!(
        options["not_ready_reasons"][0],
        json!({ "code": "break", "label": "休憩", "label_en": "Break" })
    );
    let seat = options["seats"].as_array().unwrap().iter().find(|s| s["extension"] == "1001").unwrap();
    assert_eq!(seat["taken"], true);
    service.stop().await;
}
