//! What each role sees and may do.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::gateway_rig::Rig;
use crate::support::ids::call;

/// The calls `who` is shown, as their numbers.
async fn seen(rig: &Rig, who: &str) -> Vec<u32> {
    let (status, body) = rig.get(who, "/v1/calls").await;
    assert_eq!(status, StatusCode::OK);
    let ids: Vec<&str> = body["items"].as_array().unwrap().iter().filter_map(|c| c["id"].as_str()).collect();
    (0..10).filter(|n| ids.contains(&call(*n).to_string().as_str())).collect()
}

#[tokio::test]
async fn each_sees_what_is_theirs() {
    let rig = Rig::start().await;
    rig.ring(1, &["1001"]);
    rig.ring(2, &["1002"]);
    rig.ring(3, &[]);
    rig.ring(4, &["1001", "1002"]);
    for (who, calls) in [
        ("1001", vec![1, 4]),
        ("1002", vec![2, 4]),
        ("2001", vec![1, 3, 4]),
        ("2002", vec![2, 3, 4]),
        ("admin", vec![1, 2, 3, 4]),
        ("crm", vec![1, 2, 3, 4]),
    ] {
        assert_eq!(seen(&rig, who).await, calls, "{who}");
        for n in 1..=4 {
            let (status, body) = rig.get(who, &format!("/v1/calls/{}", call(n))).await;
            if calls.contains(&n) {
                assert_eq!((status, &body["id"]), (StatusCode::OK, &json!(call(n).to_string())), "{who} {n}");
            } else {
                assert_eq!(
                    (status, &body["type"]),
                    (StatusCode::NOT_FOUND, &json!("unknown-call")),
                    "{who} {n}"
                );
            }
        }
    }
}

#[tokio::test]
async fn each_receives_what_is_theirs_and_nobody_is_left_with_a_ghost() {
    let rig = Rig::start().await;
    let who = ["1001", "1002", "2001", "2002", "admin"];
    let mut streams = Vec::new();
    for name in who {
        let mut stream = rig.follow(name, None).await;
        assert_eq!(stream.next().await.unwrap()["kind"], "stream.snapshot");
        streams.push(stream);
    }
    rig.ring(1, &[]); // offered: supervisors
    rig.ring(1, &["1001"]); // team B's supervisor loses sight of it, and must hear so
    rig.ring(1, &["1002"]);
    rig.end(1);
    let last = rig.link(false);
    let expected = [
        (0, vec!["t1-2", "t1-3"]),
        (1, vec!["t1-3", "t1-4"]),
        (2, vec!["t1-1", "t1-2", "t1-3"]),
        (3, vec!["t1-1", "t1-2", "t1-3", "t1-4"]),
        (4, vec!["t1-1", "t1-2", "t1-3", "t1-4"]),
    ];
    for (index, mut wanted) in expected {
        let end = last.to_string();
        wanted.push(&end);
        for id in wanted {
            assert_eq!(streams[index].next().await.unwrap()["id"], id, "{}", who[index]);
        }
    }
}

#[tokio::test]
async fn operators_are_listed_as_far_as_they_are_visible() {
    let rig = Rig::start().await;
    rig.ring(1, &["1001"]);
    let extensions = |body: &Value| -> Vec<String> {
        body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["extension"].as_str().unwrap().to_owned())
            .collect()
    };
    for (who, wanted) in [
        ("1001", vec!["1001"]),
        ("2001", vec!["1001", "2001"]),
        ("2002", vec!["1002", "2002"]),
        ("admin", vec!["1001", "1002", "2001", "2002"]),
    ] {
        let (_, body) = rig.get(who, "/v1/operators").await;
        assert_eq!(extensions(&body), wanted, "{who}");
        if wanted.contains(&"1001") {
            let calls = json!([{"id": call(1).to_string(), "state": "presented"}]);
            assert_eq!((&body["items"][0]["calls"], &body["items"][0]["team"]), (&calls, &json!("A班")));
        }
    }
}

#[tokio::test]
async fn only_administrators_change_people_and_accounts() {
    let rig = Rig::start().await;
    let user = format!("/v1/users/{}", rig.user("1002"));
    let requests: [(Method, &str, Value); 9] = [
        (Method::GET, "/v1/users", Value::Null),
        (Method::POST, "/v1/users", json!({"name": "x", "role": "admin"})),
        (Method::PATCH, &user, json!({"role": "admin"})),
        (Method::DELETE, &user, Value::Null),
        (Method::POST, &format!("{user}/tokens"), json!({})),
        (Method::POST, "/v1/accounts", json!({"code": "A1", "name": "x"})),
        (Method::DELETE, &format!("/v1/accounts/{}", uuid::Uuid::nil()), Value::Null),
        (Method::POST, "/v1/contacts", json!({"account": uuid::Uuid::nil(), "name": "x"})),
        (Method::DELETE, &format!("/v1/customers/{}", uuid::Uuid::nil()), Value::Null),
    ];
    for (method, path, body) in requests {
        for who in ["1001", "2001", "crm"] {
            let (status, problem) = rig.send(who, method.clone(), path, &body).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{who} {method} {path}");
            assert_eq!(problem["type"], "not-permitted");
        }
        let (status, _) = rig.send("admin", method.clone(), path, &body).await;
        assert_ne!(status, StatusCode::FORBIDDEN, "admin {method} {path}");
    }
}

#[tokio::test]
async fn a_pop_is_acknowledged_by_those_who_see_the_call() {
    let rig = Rig::start().await;
    let event = rig.ring(1, &["1001"]);
    rig.advance(std::time::Duration::from_millis(40));
    let path = format!("/v1/calls/{}/ack", call(1));
    let body = json!({"event": event.to_string()});
    assert_eq!(rig.send("1001", Method::POST, &path, &body).await.0, StatusCode::NO_CONTENT);
    let bare = rig.request("1001", Method::POST, &path).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::NO_CONTENT);
    let (status, problem) = rig.send("1002", Method::POST, &path, &body).await;
    assert_eq!((status, &problem["type"]), (StatusCode::NOT_FOUND, &json!("unknown-call")));
    let other = rig.ring(2, &["1001"]);
    for (event, wanted) in [(other.to_string(), 422), ("nonsense".into(), 422), ("t0-1".into(), 204)] {
        let (status, _) = rig.send("1001", Method::POST, &path, &json!({"event": event})).await;
        assert_eq!(status.as_u16(), wanted, "{event}");
    }
    let metrics = rig.bare(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("toritsugi_pops_acknowledged_total 3"), "{metrics}");
    assert!(metrics.contains("toritsugi_pop_acknowledgement_seconds_bucket{le=\"0.05\"} 1"), "{metrics}");
}
