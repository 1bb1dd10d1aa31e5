//! The comparison of answers with the OpenAPI document, which every other test here makes by the way: it finds what differs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api_contract::{Received, difference};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// The difference of this answer to `GET path`.
fn of_get(path: &str, status: u16, content_type: &str, body: &Value) -> Option<String> {
    let (body, status) = (body.to_string(), StatusCode::from_u16(status).unwrap());
    let body = Some(if content_type.is_empty() { "" } else { &body }.as_bytes());
    difference(&Received { method: &Method::GET, path, status, content_type, body })
}

#[test]
fn an_answer_that_is_not_documented_is_found() {
    let call = json!({
        "id": "018f0000-0000-7000-8000-000000000001", "pbx": "a", "direction": "inbound", "state": "answered",
        "offered_at": "2026-01-05T00:00:00.000Z", "presented_to": ["1001"], "operator": null,
    });
    let path = "/v1/calls/018f0000-0000-7000-8000-000000000001";
    assert_eq!(of_get(path, 200, JSON, &call), None);
    let problem = json!({"type": "unknown-call", "title": "x", "status": 404});
    assert_eq!(of_get(path, 404, PROBLEM, &problem), None);
    for (field, value, wanted) in [
        ("id", json!("1"), "/id is no"),
        ("pbx", Value::Null, "/pbx is no"),
        ("state", json!("x"), "/state is none of"),
        ("offered_at", json!("2026-01-05T00:00:00Z"), "/offered_at is no"),
        ("offered_at", json!("2026-13-05T00:00:00.000Z"), "/offered_at is no"),
        ("presented_to", json!([1]), "/presented_to/0 is no"),
        ("outcome", json!("x"), "/outcome fits none"),
        ("secret", json!(1), "/secret is not documented"),
    ] {
        let mut other = call.clone();
        other[field] = value;
        let found = of_get(path, 200, JSON, &other).expect(field);
        assert!(found.contains(wanted), "{found}");
    }
    let mut without = call.clone();
    without.as_object_mut().unwrap().remove("state");
    for (status, content_type, body, wanted) in [
        (200, JSON, &without, "has no state"),
        (206, JSON, &call, "the status is not documented"),
        (200, "text/plain", &call, "the media type"),
        (200, "", &call, "the media type"),
        (404, JSON, &problem, "the media type"),
        (503, PROBLEM, &problem, "the problem says"),
    ] {
        let found = of_get(path, status, content_type, body).expect(wanted);
        assert!(found.contains(wanted), "{found}");
    }
    let of_list = json!({"items": [], "next": "x", "more": 1});
    assert!(of_get("/v1/accounts", 200, JSON, &of_list).unwrap().contains("/more is not documented"));
    assert_eq!(of_get("/nowhere", 404, PROBLEM, &problem), None);
    assert!(of_get("/nowhere", 404, PROBLEM, &json!({"type": "x"})).is_some());
}
