//! The audit trail over HTTP: who reads which part of it, in which order, and that it cannot be changed.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::store::AuditEntry;

use crate::support::gateway_rig::Rig;
use crate::support::ids::call;

const PATH: &str = "/v1/audit";

/// Entries one minute apart, as `who action subject`; the first is of call 1.
async fn fill(rig: &Rig, entries: &[(&str, &str, &str)]) {
    for (n, (who, action, subject)) in (0_i64..).zip(entries) {
        let entry = AuditEntry {
            at: Timestamp::from_second(1_700_000_000 + 60 * n).unwrap(),
            actor: Some(rig.user(who)),
            actor_name: (*who).to_owned(),
            action: (*action).to_owned(),
            subject: (*subject).to_owned(),
            subject_id: None,
            call: (n == 0).then(|| call(1)),
            details: json!({ "mode": "listen" }),
        };
        rig.app.store.record_audit(&entry).await.unwrap();
    }
}

/// `who subject` of each entry.
async fn seen(rig: &Rig, who: &str, query: &str) -> Vec<String> {
    let (status, page) = rig.get(who, &format!("{PATH}{query}")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let entries = page["items"].as_array().unwrap();
    entries.iter().map(|e| format!("{} {}", e["actor_name"], e["subject"]).replace('"', "")).collect()
}

#[tokio::test]
async fn each_reads_what_concerns_them() {
    let rig = Rig::start().await;
    fill(
        &rig,
        &[
            ("2001", "supervision.started", "1001"),
            ("2002", "supervision.refused", "1001"),
            ("2002", "supervision.started", "1002"),
            ("admin", "user.revoked", "1001"),
        ],
    )
    .await;
    assert_eq!(seen(&rig, "admin", "").await, ["admin 1001", "2002 1002", "2002 1001", "2001 1001"]);
    // A supervisor reads the supervision of the own team and the own attempts, whomever they concern; nothing else.
    assert_eq!(seen(&rig, "2001", "").await, ["2002 1001", "2001 1001"]);
    assert_eq!(seen(&rig, "2002", "").await, ["2002 1002", "2002 1001"]);
    for who in ["1001", "crm"] {
        let (status, problem) = rig.get(who, PATH).await;
        assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("not-permitted")), "{who}");
    }
}

#[tokio::test]
async fn it_is_filtered_and_read_by_page() {
    let rig = Rig::start().await;
    fill(
        &rig,
        &[
            ("2001", "supervision.started", "1001"),
            ("2001", "supervision.stopped", "1001"),
            ("2002", "supervision.started", "1002"),
        ],
    )
    .await;
    let id = rig.user("2001").to_string();
    for (query, expected) in [
        (format!("?call={}", call(1)), vec!["2001 1001"]),
        ("?person=2001".into(), vec!["2001 1001", "2001 1001"]),
        (format!("?person={id}&action=supervision.stopped"), vec!["2001 1001"]),
        ("?person=1002".into(), vec!["2002 1002"]),
        ("?person=nobody".into(), vec![]),
        ("?from=2023-11-14T22:14:20Z&to=2023-11-14T22:15:20Z".into(), vec!["2001 1001"]),
    ] {
        assert_eq!(seen(&rig, "admin", &query).await, expected, "{query}");
    }
    let (_, first) = rig.get("admin", &format!("{PATH}?limit=2")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(first["items"][0]["at"], "2023-11-14T22:15:20.000Z");
    let (_, last) = rig.get("admin", &format!("{PATH}?limit=2&cursor={}", first["next"])).await;
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (1, &Value::Null));
    for query in ["?limit=0", "?limit=501", "?cursor=x", "?from=yesterday", "?call=1", "?persn=2001"] {
        let (status, problem) = rig.get("admin", &format!("{PATH}{query}")).await;
        assert_eq!((status, &problem["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-query")), "{query}");
    }
}

#[tokio::test]
async fn nobody_changes_it() {
    let rig = Rig::start().await;
    fill(&rig, &[("2001", "supervision.started", "1001")]).await;
    for path in [PATH.to_owned(), format!("{PATH}/1")] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let (status, _) = rig.send("admin", method.clone(), &path, &json!({})).await;
            let refused = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND];
            assert!(refused.contains(&status), "{method} {path}: {status}");
        }
    }
    assert_eq!(seen(&rig, "admin", "").await, ["2001 1001"]);
}

/// `who action subject` of each entry of the administration, oldest first.
async fn trail(rig: &Rig) -> Vec<String> {
    let (status, page) = rig.get("admin", "/v1/audit?limit=500").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let entries = page["items"].as_array().unwrap().iter().rev();
    let text = |entry: &Value| format!("{} {} {}", entry["actor_name"], entry["action"], entry["subject"]);
    entries.map(|entry| text(entry).replace('"', "").trim().to_owned()).collect()
}

#[tokio::test]
async fn every_administration_is_recorded_with_its_author_and_what_changed() {
    let rig = Rig::start().await;
    let done = async |who: &str, method: Method, path: &str, body: Value| {
        let (status, answer) = rig.send(who, method.clone(), path, &body).await;
        assert!(status.is_success(), "{method} {path} {status} {answer}");
        answer
    };
    let new = json!({ "name": "evil", "role": "admin", "password": "0123456789" });
    let user = done("admin", Method::POST, "/v1/users", new).await;
    let path = format!("/v1/users/{}", user["id"].as_str().unwrap());
    let token = done("admin", Method::POST, &format!("{path}/tokens"), json!({ "label": "x" })).await;
    let token_path = format!("{path}/tokens/{}", token["id"].as_str().unwrap());
    let change = json!({ "role": "supervisor", "extension": "2009", "password": "9876543210" });
    done("admin", Method::PATCH, &path, change).await;
    done("admin", Method::DELETE, &token_path, Value::Null).await;
    done("admin", Method::DELETE, &path, Value::Null).await;
    let account = done("admin", Method::POST, "/v1/accounts", json!({ "code": "A1", "name": "甲" })).await;
    let other = done("admin", Method::POST, "/v1/accounts", json!({ "code": "A2", "name": "乙" })).await;
    let account_path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
    done("admin", Method::PATCH, &account_path, json!({ "kana": "こう" })).await;
    let contact = json!({ "account": account["id"], "name": "担当", "number": "080-3333-4444" });
    let contact = done("admin", Method::POST, "/v1/contacts", contact).await;
    let contact_path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
    done("admin", Method::PATCH, &contact_path, json!({ "on_call_order": 1 })).await;
    done("admin", Method::DELETE, &contact_path, Value::Null).await;
    let customer = json!({ "account": account["id"], "name": "田中太郎", "numbers": ["090-1111-2222"] });
    let customer = done("1001", Method::POST, "/v1/customers", customer).await;
    let customer_path = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
    done("1001", Method::PATCH, &customer_path, json!({ "notes": "090-1111-2222" })).await;
    done("admin", Method::PATCH, &customer_path, json!({ "account": other["id"] })).await;
    done("admin", Method::DELETE, &customer_path, Value::Null).await;
    done("admin", Method::DELETE, &account_path, Value::Null).await;
    assert_eq!(
        trail(&rig).await,
        [
            "admin user.created evil",
            "admin token.created evil",
            "admin user.changed evil",
            "admin token.revoked evil",
            "admin user.revoked evil",
            "admin account.created A1",
            "admin account.created A2",
            "admin account.changed A1",
            "admin contact.created",
            "admin contact.changed",
            "admin contact.deleted",
            "1001 customer.created",
            "1001 customer.changed",
            "admin customer.changed",
            "admin customer.deleted",
            "admin account.deleted A1",
        ]
    );
    let (_, page) = rig.get("admin", "/v1/audit?action=user.changed").await;
    let details = &page["items"][0]["details"];
    assert_eq!(details["role"], json!({ "before": "admin", "after": "supervisor" }));
    assert_eq!(details["extension"], json!({ "before": null, "after": "2009" }));
    assert_eq!(details["password"], "set");
    let (_, page) = rig.get("admin", "/v1/audit?action=customer.changed").await;
    let details = &page["items"][0]["details"];
    assert_eq!((&details["account_before"], &details["account"]), (&account["id"], &other["id"]));
    // Entries are never deleted: they hold no secret and nothing of a customer.
    let (_, page) = rig.get("admin", "/v1/audit?limit=500").await;
    let text = page.to_string();
    for secret in ["argon2", "0123456789", "9876543210", "toritsugi_", "田中", "1111", "3333"] {
        assert!(!text.contains(secret), "{secret}");
    }
    // Other roles read none of it; a supervisor, only what that person did.
    assert_eq!(rig.get("2001", "/v1/audit").await.1["items"], json!([]));
}

#[tokio::test]
async fn what_was_refused_or_failed_is_not_recorded_as_done() {
    let rig = Rig::start().await;
    for (who, method, path, body) in [
        ("1001", Method::POST, "/v1/users".to_owned(), json!({ "name": "x", "role": "admin" })),
        ("2001", Method::DELETE, format!("/v1/users/{}", rig.user("1001")), Value::Null),
        ("admin", Method::POST, "/v1/users".to_owned(), json!({ "name": "1001", "role": "operator" })),
        ("admin", Method::PATCH, format!("/v1/users/{}", uuid::Uuid::nil()), json!({ "role": "admin" })),
        ("admin", Method::DELETE, format!("/v1/accounts/{}", uuid::Uuid::nil()), Value::Null),
    ] {
        let (status, answer) = rig.send(who, method, &path, &body).await;
        assert!(status.is_client_error(), "{path} {answer}");
    }
    assert_eq!(trail(&rig).await, Vec::<String>::new());
}

#[tokio::test]
async fn sign_ins_and_their_refusals_are_recorded_without_what_was_typed() {
    let rig = Rig::start().await;
    let sign_in = async |login: &str, password: &str| {
        let body = json!({ "login": login, "password": password });
        rig.bare(Method::POST, "/v1/session").json(&body).send().await.unwrap()
    };
    let opened = sign_in("1001", crate::support::gateway_rig::PASSWORD).await;
    assert_eq!(opened.status(), StatusCode::CREATED);
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(sign_in("1001", "a wrong password").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in("my own secret", "a wrong password").await.status(), StatusCode::UNAUTHORIZED);
    let origin = format!("http://{}", rig.address);
    let closed = rig.bare(Method::DELETE, "/v1/session").header("cookie", cookie).header("origin", origin);
    assert_eq!(closed.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(
        trail(&rig).await,
        ["1001 session.opened 1001", "session.refused 1001", "session.refused", "1001 session.closed 1001"]
    );
    let (_, page) = rig.get("admin", "/v1/audit").await;
    assert!(!page.to_string().contains("secret") && !page.to_string().contains("wrong password"), "{page}");
    let reason = &page["items"][1]["details"]["reason"];
    assert_eq!(
        (reason, &page["items"][1]["details"]["address"]),
        (&json!("wrong-credentials"), &json!("127.0.0.1"))
    );
}

#[tokio::test]
async fn neither_strangers_nor_operators_bury_what_administrators_do() {
    let mut rig = Rig::start().await;
    let account = json!({ "code": "A1", "name": "甲" });
    let (_, account) = rig.send("admin", Method::POST, "/v1/accounts", &account).await;
    let (_, customer) = rig
        .send("1001", Method::POST, "/v1/customers", &json!({ "account": account["id"], "name": "乙" }))
        .await;
    let path = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
    for n in 0..100 {
        let (status, _) = rig.send("1001", Method::PATCH, &path, &json!({ "notes": n.to_string() })).await;
        assert_eq!(status, StatusCode::OK);
        let body = json!({ "login": format!("nobody {n}"), "password": "x".repeat(10) });
        rig.bare(Method::POST, "/v1/session")
            .header("x-forwarded-for", "192.0.2.1")
            .json(&body)
            .send()
            .await
            .unwrap();
    }
    let (_, page) = rig.get("admin", "/v1/audit?limit=500").await;
    assert!(page["items"].as_array().unwrap().len() < 50, "{}", page["items"].as_array().unwrap().len());
    // An administrator's own entries are all there.
    for n in 0..30 {
        rig.send("admin", Method::PATCH, &path, &json!({ "notes": n.to_string() })).await;
    }
    let (_, page) = rig.get("admin", "/v1/audit?limit=500&action=customer.changed&person=admin").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 30);
    // At the end, all are accounted for.
    rig.shutdown.cancel();
    rig.served.take().unwrap().await.unwrap().unwrap();
    let everything = toritsugi::store::audit::AuditFilter::default();
    let entries = rig.app.store.audit(&everything, None, 500).await.unwrap().items;
    let count = |action: &str, actor: &str| -> u64 {
        let of = entries.iter().filter(|entry| entry.action == action && entry.actor_name == actor);
        of.map(|entry| entry.details["repeated"].as_u64().unwrap_or(1)).sum()
    };
    assert_eq!((count("customer.changed", "1001"), count("session.refused", "")), (100, 100));
}

#[tokio::test]
async fn the_only_administrator_stays_one() {
    let rig = Rig::start().await;
    let path = format!("/v1/users/{}", rig.user("admin"));
    for (method, body) in [
        (Method::DELETE, Value::Null),
        (Method::PATCH, json!({ "role": "operator" })),
        (Method::PATCH, json!({ "role": "supervisor", "name": "x" })),
    ] {
        let (status, problem) = rig.send("admin", method, &path, &body).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::CONFLICT, &json!("last-administrator")),
            "{body}"
        );
    }
    let (status, _) =
        rig.send("admin", Method::PATCH, &path, &json!({ "role": "admin", "kana": "かん" })).await;
    assert_eq!(status, StatusCode::OK, "what keeps the role is no loss");
    let (status, second) =
        rig.send("admin", Method::POST, "/v1/users", &json!({ "name": "another", "role": "admin" })).await;
    assert_eq!(status, StatusCode::CREATED, "{second}");
    assert_eq!(rig.send("admin", Method::DELETE, &path, &Value::Null).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn only_administrators_move_a_customer_to_another_company() {
    let rig = Rig::start().await;
    let mut accounts = Vec::new();
    for code in ["A1", "A2"] {
        let fields = json!({ "code": code, "name": code });
        accounts.push(rig.send("admin", Method::POST, "/v1/accounts", &fields).await.1["id"].clone());
    }
    let fields = json!({ "account": accounts[0], "name": "田中", "notes": "甲のお客様" });
    let (_, customer) = rig.send("1001", Method::POST, "/v1/customers", &fields).await;
    let path = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
    for who in ["1001", "1002", "2001", "crm"] {
        for account in [accounts[1].clone(), json!(accounts[1].as_str().unwrap().to_uppercase())] {
            let patch = json!({ "account": account, "name": "佐藤" });
            let (status, problem) = rig.send(who, Method::PATCH, &path, &patch).await;
            assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("not-permitted")), "{who}");
        }
    }
    assert_eq!(rig.get("1001", &path).await.1, customer);
    // A client that sends the whole record changes the rest.
    let patch = json!({ "account": accounts[0], "name": "佐藤" });
    assert_eq!(rig.send("1001", Method::PATCH, &path, &patch).await.0, StatusCode::OK);
    let (status, moved) = rig.send("admin", Method::PATCH, &path, &json!({ "account": accounts[1] })).await;
    assert_eq!((status, &moved["account"]), (StatusCode::OK, &accounts[1]));
}
