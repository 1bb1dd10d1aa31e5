//! What a standby takes over: webhooks, transfers, supervisions, messages, operator states.
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use super::site::{Daemon, Site, Transcript, environment_of, is, shown, shows};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::services::shared;
use crate::support::wait::eventually;
use crate::webhook_receiver::{posting_to, receive};
use crate::{KNOWN_CALLER, SAKURA, ms};

/// First of the on-call list of account 1.
const CONTACT: &str = "09055500011";

/// How often each event was posted, by its id.
type Posted = Arc<Mutex<HashMap<String, usize>>>;

async fn take(State(posted): State<Posted>, headers: HeaderMap) {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    *posted.lock().unwrap().entry(id).or_default() += 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_posted_once_whichever_daemon_leads() {
    let lab = Lab::start().await;
    let mut site = Site::new(&lab, shared()).await;
    let posted = Posted::default();
    let url = receive(post(take), Arc::clone(&posted)).await;
    for (key, value) in posting_to(&url).into_iter().chain([("WEBHOOKS__KINDS__crm", "call.*")]) {
        site.set(key, value);
    }
    let (mut active, standby) = site.pair(&lab).await;
    let mut desktop = site.follow(&active, "admin", None).await;
    let mut transcript = Transcript::default();
    lab.phone("1001").answers_after(ms(100)).await;
    for _ in 0..3 {
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        assert!(desktop.read("lab", &mut transcript, is("call.answered")).await);
        call.hang_up().await;
        assert!(desktop.read("lab", &mut transcript, is("call.ended")).await);
    }
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desktop.read("lab", &mut transcript, is("call.answered")).await);
    active.child.kill().await.unwrap();
    while desktop.read("lab", &mut transcript, |_, _| false).await {}
    call.hang_up().await;
    site.leads(&standby).await;
    let mut desktop = site.follow(&standby, "admin", Some(&desktop.last)).await;
    assert!(desktop.read("lab", &mut transcript, |transcript, _| transcript.ended() == 4).await);

    // The receiver gets every event about a call that a desktop received, and nothing else.
    let calls: HashSet<String> = transcript.call_events.iter().cloned().collect();
    let posted = eventually("every event is posted", async || {
        let posted = posted.lock().unwrap().clone();
        let missing: Vec<_> = calls.iter().filter(|id| !posted.contains_key(*id)).collect();
        if missing.is_empty() { Ok(posted) } else { Err(format!("not {missing:?}")) }
    })
    .await;
    assert_eq!(posted.keys().cloned().collect::<HashSet<_>>(), calls);
    // The delivery that was under way when the daemon died may be repeated, with the same id.
    let again = posted.values().map(|times| times - 1).sum::<usize>();
    println!("{} events, two daemons, one killed: each posted, {again} posted again", calls.len());
    assert!(again <= 1, "{posted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_up_a_ringing_transfer_and_a_supervision() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let (mut active, standby) = site.pair(&lab).await;
    let (mut desktop, mut transcript) = (site.follow(&active, "admin", None).await, Transcript::default());

    // A supervisor listens to operator 1001; operator 1003 transfers a caller to a contact who has not answered yet.
    lab.phone("1001").answers_after(ms(100)).await;
    let heard = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desktop.read("lab", &mut transcript, is("call.answered")).await);
    let heard_call = transcript.calls.keys().next().unwrap().clone();
    lab.phone("2001").answers_after(ms(100)).await;
    let listen = json!({ "call": heard_call, "mode": "listen" });
    let supervision = site.json(&active, "2001", Method::POST, "/v1/supervisions", &listen).await;
    assert!(desktop.read("lab", &mut transcript, is("supervision.started")).await);
    lab.phone("1001").rings_for_ever().await;
    lab.phone("1003").answers_after(ms(100)).await;
    lab.phone(CONTACT).rings_for_ever().await;
    let passed = lab.place_call(CallSpec::new("0312345678", SAKURA)).await;
    assert!(desktop.read("lab", &mut transcript, is("call.answered")).await);
    let passed_call = transcript.calls.keys().find(|call| **call != heard_call).unwrap().clone();
    let path = format!("/v1/calls/{passed_call}/transfers");
    let blind = json!({ "mode": "blind", "to": CONTACT });
    let transfer = site.json(&active, "1003", Method::POST, &path, &blind).await;
    assert!(desktop.read("lab", &mut transcript, is("call.transfer.ringing")).await);

    active.child.kill().await.unwrap();
    site.leads(&standby).await;
    let found = |list: &Value, id: &Value, state: &str| {
        let is_it = |item: &Value| item["id"] == *id && item["state"] == state;
        list["items"].as_array().is_some_and(|items| items.iter().any(is_it))
    };
    let state = supervision_state(&site, &standby, &supervision["id"]).await;
    assert_eq!(state["mode"], "listen", "{state}");
    // The contact still rings, or the ring time is over and the PBX calls the operator back: both are right.
    site.until_json(&standby, &path, |list| {
        found(list, &transfer["id"], "ringing") || found(list, &transfer["id"], "returning")
    })
    .await;
    // Both can be ended through the standby.
    let path = format!("/v1/supervisions/{}", supervision["id"].as_str().unwrap());
    let stopped = site.request(&standby, "2001", Method::DELETE, &path).send().await.unwrap();
    assert!(stopped.status().is_success(), "{}", stopped.text().await.unwrap());
    lab.phone("2001").goes_idle().await;
    for call in [heard, passed] {
        call.hang_up().await;
    }
    site.lists_nothing(&standby, "/v1/calls").await;
    site.lists_nothing(&standby, "/v1/supervisions").await;
    // The supervision is one segment, started by the old leader and ended by the new one.
    let path = format!("/v1/history/{heard_call}");
    // The call's record and the end of the supervision are written independently.
    let is_it = |record: &Value| {
        record["supervisions"].as_array().is_some_and(|heard| {
            heard.len() == 1 && heard[0]["mode"] == "listen" && heard[0]["ending"] == "stopped"
        })
    };
    site.until_json(&standby, &path, is_it).await;
}

/// Waits until the daemon model the supervision and its operator; returns its state.
async fn supervision_state(site: &Site, daemon: &Daemon, id: &Value) -> Value {
    let of =
        |list: &Value| list["items"].as_array().into_iter().flatten().find(|item| item["id"] == *id).cloned();
    of(&site.until_json(daemon, "/v1/supervisions", |list| of(list).is_some()).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gateway_lists_every_supervision_and_says_who_did_not_answer() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let osaka = site.start(&lab, "osaka").await;
    let tokyo = site.start(&lab, "tokyo").await;
    let (mut desktop, mut transcript) = (site.follow(&osaka, "admin", None).await, Transcript::default());
    lab.phone("1001").answers_after(ms(100)).await;
    let _call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desktop.read("tokyo", &mut transcript, is("call.answered")).await);
    let call = transcript.calls.keys().next().unwrap();
    lab.phone("2001").answers_after(ms(100)).await;
    let listen = json!({ "call": call, "mode": "listen" });
    let begun = site.json(&osaka, "2001", Method::POST, "/v1/supervisions", &listen).await;
    let listed = supervision_state(&site, &osaka, &begun["id"]).await;
    assert_eq!(listed["call"], call.as_str());
    let everybody = site.json(&osaka, "2001", Method::GET, "/v1/supervisions", &Value::Null).await;
    assert_eq!(everybody.get("unanswered"), None, "{everybody}");
    // An operator cannot see the supervision through another gateway either.
    let expected = site.json(&osaka, "1003", Method::GET, "/v1/supervisions", &Value::Null).await;
    assert_eq!(expected["items"], json!([]), "{expected}");
    drop(tokyo);
    site.until_json(&osaka, "/v1/supervisions", |list| list["unanswered"] == json!(["tokyo"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_saved_through_a_standby_is_published_by_the_leader() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let (active, standby) = site.pair(&lab).await;
    let (mut desktop, mut transcript) = (site.follow(&standby, "admin", None).await, Transcript::default());
    let accounts = site.json(&active, "admin", Method::GET, "/v1/accounts?limit=1", &Value::Null).await;
    let body = json!({ "account": accounts["items"][0]["id"], "text": "折り返し" });
    let key = "9b7ad1d8-0c8e-4d0f-8a43-5c9d6f0e7a21";
    let post = |daemon| {
        let request = site.request(daemon, "1001", Method::POST, "/v1/messages");
        request.header("idempotency-key", key).json(&body).send()
    };
    let taken = post(&standby).await.unwrap();
    assert_eq!(taken.status(), StatusCode::CREATED);
    let taken: Value = taken.json().await.unwrap();
    // The same request at another gateway is the same message.
    let again = post(&active).await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.unwrap(), taken);
    let is_it = |_: &Transcript, event: &Value| event["kind"] == "message.saved" && event["data"] == taken;
    assert!(desktop.read("lab", &mut transcript, is_it).await);
    let listed = site.json(&standby, "1002", Method::GET, "/v1/messages", &Value::Null).await;
    assert_eq!(listed["items"], json!([taken]));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls_is_trusted_by_its_certificate_alone() {
    let lab = Lab::start().await;
    let shown = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (shown.cert.pem(), shown.signing_key.serialize_pem());
    let mut site = Site::new(&lab, shared()).await;
    let (url, file) = tokio::task::spawn_blocking(move || shared().start_tls(&cert, &key)).await.unwrap();
    site.set("BUS__REDIS", &url);
    // No certificate is trusted: `toritsugi check` reports that.
    let mut check = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    let settings = environment_of(&lab, &site.settings);
    let checked = check.arg("check").envs(settings).env("SSL_CERT_FILE", "/dev/null").output().await.unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    let bus = said.lines().find(|line| line.contains(&url)).unwrap_or_default();
    assert!(!checked.status.success() && bus.contains("bus.redis"), "{said}");
    // With the certificate, events pass through Redis.
    site.variables.push(("SSL_CERT_FILE".into(), file.display().to_string()));
    let osaka = site.start(&lab, "osaka").await;
    let _tokyo = site.start(&lab, "tokyo").await;
    let (mut desktop, mut transcript) = (site.follow(&osaka, "admin", None).await, Transcript::default());
    lab.phone("1001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desktop.read("tokyo", &mut transcript, is("call.answered")).await);
    call.hang_up().await;
    assert!(desktop.read("tokyo", &mut transcript, is("call.ended")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_state_has_one_owner_and_every_gateway_shows_and_changes_it() {
    let lab = Lab::start().await;
    let mut east = Site::new(&lab, shared()).await;
    let mut west = east.clone();
    east.set("OPERATORS__TEAMS", "east");
    west.set("OPERATORS__TEAMS", "west");
    let osaka = east.start(&lab, "osaka").await;
    let tokyo = west.start(&lab, "tokyo").await;
    let site = &east;
    shows(site, &osaka, "1003", &json!({ "state": "logged_out", "version": 0, "pbx": "tokyo" })).await;
    // The operator logs in through Osaka's gateway; Tokyo owns the state.
    let operator = shown(site, &osaka, "1003").await;
    let path = format!("/v1/operators/{}/state", operator["id"].as_str().unwrap());
    let ready = json!({ "state": "ready", "version": operator["version"] });
    let set = site.json(&osaka, "1003", Method::PUT, &path, &ready).await;
    assert_eq!((&set["state"], &set["pbx"]), (&json!("ready"), &json!("tokyo")), "{set}");
    for daemon in [&osaka, &tokyo] {
        shows(site, daemon, "1003", &set).await;
    }
    // The previous version is out of date at every gateway.
    for daemon in [&osaka, &tokyo] {
        let stale = site.request(daemon, "1003", Method::PUT, &path).json(&ready).send().await.unwrap();
        assert_eq!(stale.status(), StatusCode::CONFLICT);
        let stale: Value = stale.json().await.unwrap();
        assert_eq!(
            (&stale["type"], &stale["current"]["version"]),
            (&json!("state-changed"), &set["version"])
        );
    }
    drop(tokyo);
    let away = json!({ "state": "logged_out", "version": set["version"] });
    let lost = site.request(&osaka, "1003", Method::PUT, &path).json(&away).send().await.unwrap();
    assert_eq!(lost.status(), StatusCode::SERVICE_UNAVAILABLE, "{}", lost.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_operators_over_as_the_active_daemon_left_them() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let (mut active, standby) = site.pair(&lab).await;
    shows(&site, &standby, "1001", &json!({ "state": "logged_out", "version": 0, "pbx": "lab" })).await;
    // Through the gateway of the standby, which does not own the state.
    let id = shown(&site, &standby, "1001").await["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/operators/{id}/state");
    let away = json!({ "state": "not_ready", "reason": "break", "version": 0 });
    let set = site.json(&standby, "1001", Method::PUT, &path, &away).await;
    for daemon in [&active, &standby] {
        shows(&site, daemon, "1001", &set).await;
    }
    // The change is recorded, too, after the answer.
    let changes = |_: StatusCode, text: &str| text.contains("\"not_ready\"");
    site.until(&active, &format!("/v1/operators/{id}/history"), changes).await;
    active.child.kill().await.unwrap();
    site.leads(&standby).await;
    shows(&site, &standby, "1001", &set).await;
    let ready = json!({ "state": "ready", "version": set["version"] });
    // Refused until the new leader has read the state from the database.
    eventually("the operator is ready", async || {
        let set = site.request(&standby, "1001", Method::PUT, &path).json(&ready).send().await.unwrap();
        if set.status() == StatusCode::OK { Ok(()) } else { Err(set.text().await.unwrap()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_keeps_the_talking_operator_and_the_work_after_a_call_that_nobody_led() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    let (mut active, mut standby) = site.pair(&lab).await;
    // The standby started before the operator logged in.
    let id = shown(&site, &active, "1001").await["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/operators/{id}/state");
    let ready = json!({ "state": "ready", "version": 0 });
    site.json(&active, "1001", Method::PUT, &path, &ready).await;
    for ends_unseen in [false, true] {
        is_like(&lab, &site, &active, "ready", "-").await;
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        is_like(&lab, &site, &active, "reserved", "-").await;
        if !ends_unseen {
            lab.phone("1001").answers().await;
            is_like(&lab, &site, &active, "talking", "talking").await;
        }
        active.child.kill().await.unwrap();
        if ends_unseen {
            // No daemon leads: the operator takes the call, and the caller hangs up.
            lab.phone("1001").answers().await;
            call.connected().await;
            call.hang_up().await;
            lab.phone("1001").goes_idle().await;
        }
        site.leads(&standby).await;
        if !ends_unseen {
            is_like(&lab, &site, &standby, "talking", "talking").await;
            call.hang_up().await;
        }
        is_like(&lab, &site, &standby, "wrap_up", "wrap_up").await;
        let present = shown(&site, &standby, "1001").await;
        let work = &present["wrap_up"];
        assert_eq!((&work["account_name"], &work["planned_s"]), (&json!("株式会社さくら商事"), &json!(30)));
        let finish = json!({ "call": work["call"], "disposition": "message" });
        let path = format!("/v1/operators/{id}/wrap-up/finish");
        site.json(&standby, "1001", Method::POST, &path, &finish).await;
        is_like(&lab, &site, &standby, "ready", "-").await;
        active = std::mem::replace(&mut standby, site.start(&lab, "lab").await);
    }
}

/// Waits until the daemon shows 1001 in this state, and the PBX this pause (`-`: none).
async fn is_like(lab: &Lab, site: &Site, daemon: &Daemon, state: &str, pause: &str) {
    eventually(&format!("1001 is {state}, paused {pause}"), async || {
        let present = shown(site, daemon, "1001").await;
        let status = lab.pbx.action(&[("Action", "QueueStatus"), ("Queue", "operators")]).await;
        let is_it = |e: &&crate::support::pbx_lab::Event| {
            e.name() == "QueueMember" && e.has("Location", "PJSIP/1001")
        };
        let member = status.items.iter().find(is_it).ok_or("no such member")?;
        let paused =
            if member.has("Paused", "1") { member.header("PausedReason").unwrap_or("") } else { "-" };
        let seen = format!("{present}, paused {paused}");
        if present["state"] == state && paused == pause { Ok(()) } else { Err(seen) }
    })
    .await;
}
