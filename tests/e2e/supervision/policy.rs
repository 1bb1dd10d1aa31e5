//! Who may supervise whom, and who is notified.
use reqwest::{Method, StatusCode};
use serde_json::json;
use toritsugi::store::AuditEntry;

use crate::supervision_scene::{Scene, a_while};
use crate::support::pbx_lab::{Lab, Tone};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, ms};

#[tokio::test]
async fn a_supervisor_of_another_team_is_refused_and_that_is_recorded() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    for (who, body) in [
        ("2002", json!({ "operator": "1001", "mode": "listen", "reason": "ちょっと" })),
        ("2002", json!({ "call": id, "mode": "barge" })),
        ("1002", json!({ "operator": "1001", "mode": "listen" })),
        ("1001", json!({ "operator": "1001", "mode": "listen", "extension": "2001" })),
    ] {
        let (status, problem) = scene.supervise(who, body).await;
        assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("not-permitted")), "{problem}");
    }
    for phone in ["2001", "2002"] {
        assert_eq!(lab.phone(phone).times_rung(), 0);
    }
    let refused = eventually("all four refusals are in the audit trail", async || {
        let refused: Vec<_> = refused_of(&scene.audited("supervision.refused").await);
        if refused.len() == 4 { Ok(refused) } else { Err(format!("{refused:?}")) }
    })
    .await;
    let names: Vec<_> =
        refused.iter().map(|entry| (entry.actor_name.as_str(), entry.subject.as_str())).collect();
    assert_eq!(names, [("渡辺", "1001"), ("渡辺", "1001"), ("鈴木", "1001"), ("佐藤", "1001")]);
    assert_eq!(refused[0].details["reason"], "ちょっと");
    assert_eq!(refused[0].call.map(|call| call.to_string()), Some(id));
    // Nobody but the supervisor may end or even see the session.
    lab.phone("2001").answers_after(ms(100)).await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    let path = format!("/v1/supervisions/{}", session["id"].as_str().unwrap());
    for who in ["2002", "1001"] {
        let (status, _) = scene.service.ask(who, Method::DELETE, &path, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{who}");
        let (status, list) = scene.service.ask(who, Method::GET, "/v1/supervisions", None).await;
        assert_eq!((status, &list["items"]), (StatusCode::OK, &json!([])), "{who}");
    }
    for who in ["2001", "admin"] {
        let (_, list) = scene.service.ask(who, Method::GET, "/v1/supervisions", None).await;
        assert_eq!(list["items"][0]["id"], session["id"], "{who}");
    }
    scene.stops("2001", &session["id"]).await;
    call.hang_up().await;
    scene.service.stop().await;
}

fn refused_of(trail: &[AuditEntry]) -> Vec<AuditEntry> {
    trail.iter().filter(|entry| entry.action == "supervision.refused").cloned().collect()
}

#[tokio::test]
async fn an_account_that_is_never_monitored_is_not() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    scene.change_sakura(json!({ "never_monitor": true })).await;
    // A supervisor who follows the operator keeps waiting during such a call.
    lab.phone("2001").answers_after(ms(100)).await;
    let body = json!({ "operator": "1001", "mode": "listen", "follow": true });
    let (_, session) = scene.supervise("2001", body).await;
    scene.saw("supervision.started").await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    let (status, problem) =
        scene.supervise("admin", json!({ "call": id, "mode": "listen", "extension": "2002" })).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("never monitored"), "{problem}");
    a_while().await;
    call.hang_up().await;
    scene.stops("2001", &session["id"]).await;
    let supervisor = lab.phone("2001").heard().await;
    for tone in [Tone::CALLER, Tone::OPERATOR] {
        assert!(!supervisor.ever_hears(tone), "{:?}", supervisor.per_second());
    }
    scene.service.stop().await;
}

#[tokio::test]
async fn the_operator_is_notified_as_the_policy_says() {
    let lab = Lab::start().await;
    // The setting of the account overrides the one of the installation.
    for (notify, of_account, hears_tone, sees_event) in [
        ("tone", None, true, false),
        ("desktop", None, false, true),
        ("silent", None, false, false),
        ("silent", Some("tone"), true, false),
        ("tone", Some("desktop"), false, true),
        ("desktop", Some("silent"), false, false),
    ] {
        lab.reset().await;
        let mut scene = Scene::open_with(&lab, &[("SUPERVISION__NOTIFY", notify)]).await;
        if let Some(of_account) = of_account {
            scene.change_sakura(json!({ "supervision_notify": of_account })).await;
        }
        let mut operator = scene.service.follow("1001", None).await;
        let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
        lab.phone("2001").answers_after(ms(100)).await;
        let session = scene.hears("2001", json!({ "operator": "1001", "mode": "listen" })).await;
        a_while().await;
        scene.switches("2001", &session["id"], "listen").await;
        scene.stops("2001", &session["id"]).await;
        call.hang_up().await;
        let mut seen = Vec::new();
        loop {
            let event = operator.next().await.unwrap();
            let kind = event["kind"].as_str().unwrap().to_owned();
            if kind == "call.ended" {
                break;
            }
            seen.extend(kind.starts_with("supervision.").then_some(kind));
        }
        assert_eq!(!seen.is_empty(), sees_event, "{notify}: {seen:?}");
        let caller = call.heard().await;
        assert!(!caller.ever_hears(Tone::PROMPT), "{notify}: {:?}", caller.per_second());
        let operator = lab.phone("1001").heard().await;
        assert_eq!(operator.ever_hears(Tone::PROMPT), hears_tone, "{notify}: {:?}", operator.per_second());
        scene.service.stop().await;
    }
}
