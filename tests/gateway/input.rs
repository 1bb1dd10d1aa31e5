//! Invalid requests and hostile text.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::command::Answer;
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::refusal::Refusal;

use crate::support::gateway_rig::{Options, Rig, answer};
use crate::support::ids::call;

/// Hostile text for names.
const HOSTILE: &[&str] = &[
    "</script><script>alert(1)</script>",
    "x\r\nid: t1-99\r\ndata: {}\r\n\r\n",
    "\u{202E}逆\u{2066}さ\u{200B}ま",
    "\u{0}\u{7}\u{1b}[2J",
    "'; DROP TABLE users; --",
    "\u{2028}\u{2029}\u{FEFF}",
    "{\"kind\":\"stream.snapshot\"}",
    "../../../etc/passwd%00",
];

/// An invalid request: method, path, content type and body; expected status and problem type.
type Wrong = (Method, String, Option<(&'static str, String)>, u16, &'static str);

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_wrong_request_gets_a_clear_problem() {
    let rig = Rig::with(Options { body_bytes: 2000, ..Options::default() }).await;
    let user = format!("/v1/users/{}", rig.user("1001"));
    let unknown = uuid::Uuid::from_u128(7);
    let json_body = |text: &str| Some(("application/json", text.to_owned()));
    let table: Vec<Wrong> = vec![
        (Method::GET, "/nowhere".into(), None, 404, "unknown-path"),
        (Method::GET, "/v1/nothing".into(), None, 404, "unknown-path"),
        (Method::GET, "/v1/calls/".into(), None, 404, "unknown-path"),
        (Method::PUT, "/v1/calls".into(), None, 405, "wrong-method"),
        (Method::DELETE, "/healthz".into(), None, 405, "wrong-method"),
        (Method::GET, "/v1/calls?x=1".into(), None, 400, "invalid-query"),
        (Method::GET, format!("/v1/calls/{unknown}?x=1"), None, 400, "invalid-query"),
        (Method::GET, "/v1/events?afer=t1-1".into(), None, 400, "invalid-query"),
        (Method::GET, "/v1/users?limit=0".into(), None, 400, "invalid-query"),
        (Method::GET, "/v1/users?limit=many".into(), None, 400, "invalid-query"),
        (Method::GET, "/v1/users?cursor=%00".into(), None, 400, "invalid-query"),
        (Method::GET, "/v1/customers?account=x".into(), None, 400, "invalid-query"),
        (Method::GET, "/v1/customers?number=none".into(), None, 400, "invalid-query"),
        (Method::GET, "/v1/explain?at=yesterday".into(), None, 400, "invalid-query"),
        (Method::GET, "/v1/calls/1".into(), None, 404, "unknown-call"),
        (Method::GET, "/v1/calls/%00%ff".into(), None, 404, "unknown-call"),
        (Method::GET, format!("/v1/calls/{unknown}"), None, 404, "unknown-call"),
        (Method::GET, format!("/v1/users/{unknown}"), None, 404, "unknown-record"),
        (Method::GET, format!("/v1/accounts/{unknown}"), None, 404, "unknown-record"),
        (Method::DELETE, format!("{user}/tokens/{unknown}"), None, 404, "unknown-record"),
        (Method::PATCH, format!("/v1/customers/{unknown}"), json_body("{}"), 404, "unknown-record"),
        (Method::POST, "/v1/users".into(), None, 415, "unsupported-media-type"),
        (Method::POST, "/v1/users".into(), Some(("text/plain", "{}".into())), 415, "unsupported-media-type"),
        (Method::POST, "/v1/users".into(), json_body("{\"name\":"), 400, "malformed-json"),
        (Method::POST, "/v1/users".into(), json_body("\u{0}"), 400, "malformed-json"),
        (Method::POST, "/v1/users".into(), json_body("[]"), 422, "invalid-body"),
        (Method::POST, "/v1/users".into(), json_body("{}"), 422, "invalid-body"),
        (Method::POST, "/v1/users".into(), json_body(r#"{"name":"x","role":"root"}"#), 422, "invalid-body"),
        (Method::POST, "/v1/users".into(), json_body(r#"{"name":"","role":"admin"}"#), 422, "invalid-body"),
        (
            Method::POST,
            "/v1/users".into(),
            json_body(r#"{"name":"x","role":"admin","x":1}"#),
            422,
            "invalid-body",
        ),
        (
            Method::POST,
            "/v1/users".into(),
            json_body(r#"{"name":"x","role":"admin","password":"short"}"#),
            422,
            "invalid-body",
        ),
        (
            Method::POST,
            "/v1/users".into(),
            json_body(r#"{"name":"x","role":"operator","extension":"10a"}"#),
            422,
            "invalid-body",
        ),
        (
            Method::POST,
            "/v1/users".into(),
            json_body(r#"{"name":"x","role":"operator","extension":"1002"}"#),
            409,
            "value-taken",
        ),
        (
            Method::POST,
            "/v1/contacts".into(),
            json_body(&format!(r#"{{"account":"{unknown}","name":"x"}}"#)),
            422,
            "invalid-body",
        ),
        (Method::POST, "/v1/users".into(), json_body(&"x".repeat(3000)), 413, "body-too-large"),
    ];
    for (method, path, body, status, kind) in table {
        let mut request = rig.request("admin", method.clone(), &path);
        if let Some((content_type, body)) = body.clone() {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.unwrap();
        let case = format!("{method} {path} {body:?}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{case}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        if status == 405 {
            assert!(response.headers().contains_key("allow"), "{case}");
        }
        let (got, problem) = answer(response).await;
        assert_eq!((got.as_u16(), &problem["type"]), (status, &json!(kind)), "{case}: {problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string());
    }
}

#[tokio::test]
async fn hostile_text_is_refused_or_stays_text() {
    let rig = Rig::start().await;
    let (_, account) =
        rig.send("admin", Method::POST, "/v1/accounts", &json!({"code": "A1", "name": "a"})).await;
    for text in HOSTILE {
        for (path, fields) in [
            ("/v1/users", json!({"name": text, "kana": text, "team": text, "role": "operator"})),
            (
                "/v1/accounts",
                json!({"code": text, "name": text, "kana": text, "answer_phrase": text, "notes": text}),
            ),
            (
                "/v1/customers",
                json!({"account": account["id"], "name": text, "notes": text, "flags": [text]}),
            ),
            ("/v1/contacts", json!({"account": account["id"], "name": text, "role": text})),
        ] {
            let (status, body) = rig.send("admin", Method::POST, path, &fields).await;
            assert!([201, 409, 422].contains(&status.as_u16()), "{path} {text:?}: {status} {body}");
            let kept = body["name"].as_str().unwrap_or_default();
            assert!(
                !kept.chars().any(|c| c.is_control() || ('\u{202A}'..='\u{202E}').contains(&c)),
                "{kept:?}"
            );
        }
        // In every header and query that the gateway reads.
        let query = [("q", *text), ("number", *text), ("account", *text), ("cursor", *text)];
        for pair in query {
            let request = rig.request("admin", Method::GET, "/v1/customers").query(&[pair]);
            let (status, _) = answer(request.send().await.unwrap()).await;
            assert!([200, 400].contains(&status.as_u16()), "{pair:?} {status}");
        }
    }
}

#[tokio::test]
async fn hostile_text_in_an_event_breaks_no_frame() {
    let rig = Rig::start().await;
    let (mut sse, mut ws) = (rig.follow("admin", None).await, rig.follow_ws("admin", None).await);
    assert!(sse.next().await.is_some() && ws.next().await.is_ok());
    let long = "あ".repeat(10_000);
    for text in HOSTILE.iter().copied().chain([long.as_str()]) {
        let data = json!({"caller": {"display": text}, text: [text]});
        let id = rig.publish(NewEvent {
            kind: EventKind::CallUpdated,
            at: rig.app.clock.now(),
            call: Some(call(1)),
            audience: Audience::All,
            data: data.clone(),
            change: StateDelta::None,
        });
        for event in [sse.next().await.unwrap(), ws.next().await.unwrap()] {
            assert_eq!((&event["id"], &event["data"]), (&json!(id.to_string()), &data));
        }
    }
}

#[tokio::test]
async fn a_repeated_command_gets_the_first_answer() {
    let rig = Rig::start().await;
    let order = |who: &str, key: &str, body: &Value| {
        rig.request(who, Method::POST, "/v1/users").header("idempotency-key", key).json(body).send()
    };
    let new = json!({"name": "鈴木", "role": "operator"});
    let (status, first) = answer(order("admin", "k1", &new).await.unwrap()).await;
    assert_eq!(status, StatusCode::CREATED);
    let again = order("admin", "k1", &new).await.unwrap();
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.headers()["location"], format!("/v1/users/{}", first["id"].as_str().unwrap()).as_str());
    assert_eq!(answer(again).await, (StatusCode::CREATED, first));
    let (status, problem) =
        answer(order("admin", "k1", &json!({"name": "x", "role": "admin"})).await.unwrap()).await;
    assert_eq!((status.as_u16(), &problem["type"]), (422, &json!("idempotency-key-reused")));
    // A refusal is an answer, too; another key is another request; the same key of another user is another key.
    let (status, _) = answer(order("admin", "k2", &new).await.unwrap()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer(order("1001", "k1", &new).await.unwrap()).await.0, StatusCode::FORBIDDEN);
    let (status, problem) = answer(order("admin", "", &new).await.unwrap()).await;
    assert_eq!((status.as_u16(), &problem["type"]), (400, &json!("invalid-header")));
}

#[tokio::test]
async fn a_command_is_carried_out_once_though_its_client_goes_away() {
    let mut rig = Rig::start().await;
    let mut core = rig.commands.take().unwrap();
    rig.ring(1, &["1001"]);
    let path = format!("/v1/calls/{}/hangup", call(1));
    let order = || rig.request("1001", Method::POST, &path).header("idempotency-key", "h").send();
    let first = tokio::spawn(order());
    let given = core.recv().await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let (status, problem) = answer(order().await.unwrap()).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("request-in-progress")));
    // The outcome is unknown: a repetition must not carry it out again.
    given.reply.send(Err(Refusal::OutcomeUnknown)).unwrap();
    let again = loop {
        let again = order().await.unwrap();
        if again.status() != StatusCode::CONFLICT {
            break again;
        }
    };
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(answer(again).await.0, StatusCode::GATEWAY_TIMEOUT);
    assert!(core.try_recv().is_err());

    // A command that was not carried out may be carried out when it is repeated.
    let order = || rig.request("1001", Method::POST, &path).header("idempotency-key", "i").send();
    for reply in [Err(Refusal::PbxUnreachable), Ok(Answer::Accepted)] {
        let asked = tokio::spawn(order());
        core.recv().await.unwrap().reply.send(reply).unwrap();
        asked.await.unwrap().unwrap();
    }
    assert_eq!(answer(order().await.unwrap()).await.0, StatusCode::ACCEPTED);
    assert!(core.try_recv().is_err());
}

#[tokio::test]
async fn a_token_is_shown_once_even_if_it_is_ordered_twice() {
    let rig = Rig::start().await;
    let path = format!("/v1/users/{}/tokens", rig.user("1001"));
    let order = || {
        rig.request("admin", Method::POST, &path)
            .header("idempotency-key", "t")
            .json(&json!({"label": "desk"}))
            .send()
    };
    let (status, first) = answer(order().await.unwrap()).await;
    assert_eq!(status, StatusCode::CREATED);
    let second = answer(order().await.unwrap()).await.1;
    assert_ne!(first["token"], second["token"]);
    let token = first["token"].as_str().unwrap();
    assert_eq!(
        answer(rig.bare(Method::GET, "/v1/session").bearer_auth(token).send().await.unwrap()).await.0,
        200
    );
    let (_, list) = rig.get("admin", &path).await;
    assert!(!list.to_string().contains(token));
}
