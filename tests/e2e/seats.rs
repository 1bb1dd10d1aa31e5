//! Whose phone, whose call, whose history: every role of both teams tries what is not theirs, through the gateway, beside
//! a real PBX. Team east: operators 1001 and 1002, supervisor 2001. Team west: operator 1003, supervisor 2002.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::supervision_scene::Scene;
use crate::support::client::Sse;
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, ms};

/// A phone of the patterns that is nobody's own.
const FREE: &str = "1009";
const CONTACT: &str = "09011112222";
const EVERYBODY: [&str; 6] = ["1001", "1002", "1003", "2001", "2002", "admin"];

/// The person's record, as the administrator sees it.
async fn person(service: &Service, name: &str) -> Value {
    let (_, list) = service.ask("admin", Method::GET, "/v1/operators", None).await;
    let items = list["items"].as_array().unwrap();
    items.iter().find(|person| person["name"] == name).expect("there is such a person").clone()
}

/// Sets a state as `who`, for `name`, based on the current version.
async fn set(service: &Service, who: &str, name: &str, mut wanted: Value) -> (StatusCode, Value) {
    let present = person(service, name).await;
    wanted["version"] = present["version"].clone();
    let path = format!("/v1/operators/{}/state", present["id"].as_str().unwrap());
    service.ask(who, Method::PUT, &path, Some(wanted)).await
}

async fn sits(service: &Service, who: &str, name: &str, phone: &str) -> StatusCode {
    set(service, who, name, json!({ "state": "ready", "extension": phone })).await.0
}

/// Who of everybody finds the item under this path.
async fn finders(service: &Service, path: &str, is: impl Fn(&Value) -> bool) -> Vec<&'static str> {
    let mut finders = Vec::new();
    for who in EVERYBODY {
        let (status, list) = service.ask(who, Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{who} {list}");
        if list["items"].as_array().unwrap().iter().any(&is) {
            finders.push(who);
        }
    }
    finders
}

async fn sees_call(service: &Service, id: &str) -> Vec<&'static str> {
    finders(service, "/v1/calls", |call| call["id"] == id).await
}

/// Waits until the call is recorded; then, who reads it: in the list, and by its id.
async fn readers(service: &Service, id: &str) -> Vec<&'static str> {
    service.until("admin", &format!("/v1/history/{id}"), |status, _| status == StatusCode::OK).await;
    let readers = finders(service, "/v1/history", |call| call["id"] == id).await;
    for who in EVERYBODY {
        let (status, _) = service.ask(who, Method::GET, &format!("/v1/history/{id}"), None).await;
        assert_eq!(status == StatusCode::OK, readers.contains(&who), "{who}");
    }
    readers
}

/// Everything that can be done to a call, as somebody who may not.
async fn cannot_touch(service: &Service, who: &str, id: &str) {
    let of_call = |verb: &str| format!("/v1/calls/{id}/{verb}");
    let transfer = json!({ "mode": "blind", "to": "operator:1002" });
    for (method, path, body) in [
        (Method::GET, format!("/v1/calls/{id}"), None),
        (Method::POST, of_call("answer"), None),
        (Method::POST, of_call("hold"), None),
        (Method::POST, of_call("hangup"), None),
        (Method::POST, of_call("help"), None),
        (Method::POST, of_call("transfers"), Some(transfer)),
    ] {
        let (status, problem) = service.ask(who, method.clone(), &path, body).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::NOT_FOUND, &json!("unknown-call")),
            "{who} {method} {path}"
        );
    }
    for mode in ["listen", "whisper", "barge", "take_over"] {
        for body in [
            json!({ "operator": "1001", "mode": mode }),
            json!({ "operator": "1001", "mode": mode, "follow": true, "extension": FREE }),
            json!({ "call": id, "mode": mode }),
        ] {
            let asked = format!("{who} {body}");
            let (status, _) = service.ask(who, Method::POST, "/v1/supervisions", Some(body)).await;
            assert!(
                [StatusCode::FORBIDDEN, StatusCode::UNPROCESSABLE_ENTITY].contains(&status),
                "{status} {asked}"
            );
        }
    }
}

#[tokio::test]
async fn nobody_takes_anothers_phone_and_with_it_the_calls() {
    use StatusCode as S;
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let mut west = scene.service.follow("1003", None).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    // 佐藤 has never logged in: a static member of the queue, as the README allows.
    for (who, name, phone, expected) in [
        ("1002", "鈴木", "1001", S::FORBIDDEN),
        ("1003", "高橋", "1001", S::FORBIDDEN),
        ("2002", "高橋", "1001", S::FORBIDDEN),
        ("2002", "渡辺", "1001", S::FORBIDDEN),
        // Who may lend the phone does not give the call away with it.
        ("2001", "鈴木", "1001", S::CONFLICT),
        ("2001", "伊藤", "1001", S::CONFLICT),
        ("admin", "高橋", "1001", S::CONFLICT),
        // Nobody's phone but this team's supervisor's, or the other's.
        ("1002", "鈴木", "2001", S::FORBIDDEN),
        ("1003", "高橋", "2001", S::FORBIDDEN),
        ("1003", "高橋", "2002", S::FORBIDDEN),
        ("2002", "高橋", "2001", S::FORBIDDEN),
        // Another team's people are nobody's to seat.
        ("2002", "佐藤", FREE, S::NOT_FOUND),
        ("2002", "鈴木", FREE, S::NOT_FOUND),
        ("1002", "佐藤", "1001", S::NOT_FOUND),
    ] {
        assert_eq!(sits(&scene.service, who, name, phone).await, expected, "{who} seats {name} at {phone}");
        assert_eq!(sees_call(&scene.service, &id).await, ["1001", "2001", "admin"], "{who} {name} {phone}");
    }
    for who in ["1002", "1003", "2002"] {
        cannot_touch(&scene.service, who, &id).await;
    }
    // It is still 佐藤's, who logs in at the own phone in the middle of the call.
    let (status, view) = set(&scene.service, "1001", "佐藤", json!({ "state": "ready" })).await;
    assert_eq!((status, &view["state"], &view["call"]), (S::OK, &json!("talking"), &json!(id)));
    call.hang_up().await;
    scene.saw("call.ended").await;
    assert_eq!(readers(&scene.service, &id).await, ["1001", "2001", "admin"]);
    // Of the call, the other team saw that it rang at 1003 and no longer does; nothing of what came after.
    assert_eq!(sits(&scene.service, "1003", "高橋", "1003").await, S::OK);
    let mut kinds = Vec::new();
    loop {
        let event = west.next().await.expect("the stream goes on");
        if event["kind"] == "operator.state" && event["data"]["state"] == "ready" {
            break;
        }
        kinds.push(event["kind"].as_str().unwrap().to_owned());
    }
    let after = kinds.iter().skip_while(|kind| *kind != "call.rescinded").skip(1);
    let after: Vec<_> = after.filter(|kind| kind.starts_with("call.")).collect();
    assert!(after.is_empty(), "{kinds:?}");
    scene.service.stop().await;
}

#[tokio::test]
async fn whoever_sits_at_a_phone_later_inherits_no_call_of_those_before() {
    use StatusCode as S;
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    call.hang_up().await;
    scene.saw("call.ended").await;
    let theirs = ["1001", "2001", "admin"];
    assert_eq!(readers(&scene.service, &id).await, theirs);
    // 佐藤 is at lunch, logged out, and the phone is free.
    for who in [("1002", "鈴木"), ("1003", "高橋"), ("2002", "高橋"), ("2002", "渡辺")] {
        assert_eq!(sits(&scene.service, who.0, who.1, "1001").await, S::FORBIDDEN, "{who:?}");
    }
    // Their supervisor lends it to a colleague, who gets its calls, and no history with it.
    assert_eq!(sits(&scene.service, "2001", "鈴木", "1001").await, S::OK);
    assert_eq!(readers(&scene.service, &id).await, theirs);
    let (second, lent) = scene.talks("1001", KNOWN_CALLER).await;
    assert_eq!(sees_call(&scene.service, &lent).await, ["1002", "2001", "admin"]);
    cannot_touch(&scene.service, "1001", &lent).await;
    assert_eq!(sits(&scene.service, "1001", "佐藤", "1001").await, S::CONFLICT);
    second.hang_up().await;
    scene.saw("call.ended").await;
    assert_eq!(readers(&scene.service, &lent).await, ["1002", "2001", "admin"]);
    // The owner's supervisor ends it, and the owner is back at the own phone; each keeps the own calls.
    let logged_out = json!({ "state": "logged_out" });
    assert_eq!(set(&scene.service, "2001", "鈴木", logged_out).await.0, S::OK);
    eventually("鈴木 has left the phone", async || {
        let now = person(&scene.service, "鈴木").await;
        if now["state"] == "wrap_up" {
            let path = format!("/v1/operators/{}/wrap-up/finish", now["id"].as_str().unwrap());
            let work = json!({ "call": lent, "disposition": "message" });
            scene.service.ask("2001", Method::POST, &path, Some(work)).await;
        }
        if now["state"] == "logged_out" { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    assert_eq!(sits(&scene.service, "1001", "佐藤", "1001").await, S::OK);
    assert_eq!(sits(&scene.service, "2001", "鈴木", "1001").await, S::CONFLICT, "it is taken");
    assert_eq!(readers(&scene.service, &id).await, theirs);
    assert_eq!(readers(&scene.service, &lent).await, ["1002", "2001", "admin"]);
    // What was done for others is in the audit trail: of both, for their supervisor; of nobody, for the other team's.
    let trail = |who: &'static str| {
        let service = &scene.service;
        async move {
            let path = "/v1/audit?action=operator.";
            let (status, page) = service.ask(who, Method::GET, path, None).await;
            assert_eq!(status, S::OK, "{page}");
            page["items"].as_array().unwrap().clone()
        }
    };
    eventually("the lent phone is in the audit trail", async || {
        let entries = trail("2001").await;
        let lent = |entry: &&Value| {
            entry["action"] == "operator.state_set" && entry["details"]["extension"] == "1001"
        };
        match entries.iter().find(lent) {
            Some(entry) if entry["actor_name"] == "伊藤" => Ok(()),
            _ => Err(format!("{entries:?}")),
        }
    })
    .await;
    let refused = trail("2002").await;
    assert!(
        refused.iter().all(|entry| entry["actor_name"] == "渡辺" || entry["actor_name"] == "高橋"),
        "{refused:?}"
    );
    assert!(refused.iter().any(|entry| entry["action"] == "operator.refused"), "{refused:?}");
    scene.service.stop().await;
}

#[tokio::test]
async fn an_operator_without_a_phone_belongs_to_their_team_alone() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let new = json!({ "name": "遠藤", "role": "operator", "team": "east" });
    let (status, user) = service.ask("admin", Method::POST, "/v1/users", Some(new)).await;
    assert_eq!(status, StatusCode::CREATED, "{user}");
    let id = user["id"].as_str().unwrap().to_owned();
    service.until("admin", "/v1/operators", |_, list| list.to_string().contains(&id)).await;
    let mut streams: Vec<(&str, Sse)> = Vec::new();
    for who in ["2001", "2002", "1002"] {
        streams.push((who, service.follow(who, None).await));
    }
    assert_eq!(finders(&service, "/v1/operators", |o| o["name"] == "遠藤").await, ["2001", "admin"]);
    let history = format!("/v1/operators/{id}/history");
    for (who, expected) in
        [("2001", StatusCode::OK), ("2002", StatusCode::NOT_FOUND), ("1002", StatusCode::NOT_FOUND)]
    {
        assert_eq!(service.ask(who, Method::GET, &history, None).await.0, expected, "{who}");
    }
    assert_eq!(sits(&service, "2002", "遠藤", FREE).await, StatusCode::NOT_FOUND);
    assert_eq!(sits(&service, "2001", "遠藤", FREE).await, StatusCode::OK);
    assert_eq!(set(&service, "2001", "遠藤", json!({ "state": "logged_out" })).await.0, StatusCode::OK);
    // The last word is everybody's: a stream that has it has all before it.
    assert_eq!(sits(&service, "2001", "伊藤", "2001").await, StatusCode::OK);
    assert_eq!(sits(&service, "2002", "渡辺", "2002").await, StatusCode::OK);
    assert_eq!(sits(&service, "1002", "鈴木", "1002").await, StatusCode::OK);
    for (who, stream) in &mut streams {
        let mut states = Vec::new();
        // A stream whose visibility changes starts again with a snapshot.
        loop {
            let event = stream.next().await.expect("the stream goes on");
            let views = match event["kind"].as_str().unwrap() {
                "operator.state" => vec![event["data"].clone()],
                "stream.snapshot" => event["data"]["operators"].as_array().unwrap().clone(),
                _ => Vec::new(),
            };
            let of = |name: &str| views.iter().find(|view| view["name"] == name);
            states.extend(of("遠藤").map(|view| view["state"].as_str().unwrap().to_owned()));
            let own = views.iter().find(|view| view["extension"] == **who);
            if own.is_some_and(|view| view["state"] == "ready") {
                break;
            }
        }
        let last = states.last().map(String::as_str);
        assert_eq!(last, (*who == "2001").then_some("logged_out"), "{who} {states:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_left_its_operator_stays_with_the_team() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    scene.service.nobody_presses_a_key().await;
    let mut west = scene.service.follow("2002", None).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone(CONTACT).answers_after(ms(300)).await;
    scene.transfer("1001", &id, "blind", CONTACT).await;
    scene.saw("call.transfer.completed").await;
    // The caller talks with the contact, and no operator has the call.
    let with_team = ["2001", "admin"];
    eventually("the call has left 1001", async || {
        let seen = sees_call(&scene.service, &id).await;
        if seen == with_team { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    cannot_touch(&scene.service, "2002", &id).await;
    call.hang_up().await;
    scene.saw("call.ended").await;
    assert_eq!(readers(&scene.service, &id).await, ["1001", "2001", "admin"]);
    assert_eq!(sits(&scene.service, "2002", "渡辺", "2002").await, StatusCode::OK);
    let mut kinds = Vec::new();
    loop {
        let event = west.next().await.expect("the stream goes on");
        if event["kind"] == "operator.state"
            && event["data"]["name"] == "渡辺"
            && event["data"]["state"] == "ready"
        {
            break;
        }
        if event["call"] == id.as_str() {
            kinds.push(event["kind"].as_str().unwrap().to_owned());
        }
    }
    // It rang at the own operator too; when 1001 took it, it was gone for good.
    let answered = kinds.iter().rposition(|kind| kind == "call.answered" || kind == "call.rescinded");
    assert_eq!(answered, kinds.len().checked_sub(1), "{kinds:?}");
    scene.service.stop().await;
}

#[tokio::test]
async fn a_supervision_rings_no_phone_of_another_team() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    for (who, operator, phone, expected) in [
        ("2002", "1003", "1001", StatusCode::FORBIDDEN),
        ("2002", "1003", "1002", StatusCode::FORBIDDEN),
        ("2002", "1003", "2001", StatusCode::FORBIDDEN),
        ("2001", "1001", "1003", StatusCode::FORBIDDEN),
        ("2001", "1001", "2002", StatusCode::FORBIDDEN),
        ("2001", "1001", "1002", StatusCode::CREATED),
        ("2002", "1003", "2002", StatusCode::CREATED),
        ("admin", "1003", "2001", StatusCode::CREATED),
    ] {
        let body = json!({ "operator": operator, "mode": "listen", "follow": true, "extension": phone });
        let (status, answer) = service.ask(who, Method::POST, "/v1/supervisions", Some(body)).await;
        assert_eq!(status, expected, "{who} {operator} {phone}: {answer}");
    }
    service.stop().await;
}

/// The entries about supervisions that were refused to this person.
async fn refusals(service: &Service, name: &str) -> Vec<Value> {
    let path = format!("/v1/audit?action=supervision.refused&person={name}&limit=200");
    let (_, page) = service.ask("admin", Method::GET, &path, None).await;
    let entries = page["items"].as_array().unwrap().clone();
    entries.into_iter().filter(|entry| entry["actor_name"] == name).collect()
}

#[tokio::test]
async fn refusals_do_not_bury_the_audit_trail() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let refused = async |who: &str, operator: u32| {
        let body = json!({ "operator": operator.to_string(), "mode": "listen" });
        let (status, answer) = service.ask(who, Method::POST, "/v1/supervisions", Some(body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    };
    refused("2002", 1001).await;
    for n in 0..200 {
        refused("1002", 1000 + n).await;
    }
    refused("1003", 1001).await;
    // Others' entries are there, and this person's are few.
    eventually("the last refusal is in the trail", async || {
        let found = refusals(&service, "高橋").await;
        if found.len() == 1 { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert!(refusals(&service, "鈴木").await.len() <= 25);
    service.stop().await;
    service.again().await;
    // All of them are accounted for.
    let found = refusals(&service, "鈴木").await;
    let repeated: u64 = found.iter().map(|entry| entry["details"]["repeated"].as_u64().unwrap_or(1)).sum();
    assert_eq!(repeated, 200, "{found:?}");
    service.stop().await;
}
