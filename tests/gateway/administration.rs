//! What administrators do without a shell: numbers, passwords, health, and changes that lose nothing.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::callflow::{PlanStatus, SeenAtPbx};
use toritsugi::contract::event::StateDelta;
use toritsugi::contract::history::FinishedCall;
use toritsugi::numbers::NumberPlan;

use crate::support::gateway_rig::{PASSWORD, Rig, answer, ringing};

/// A finished call to a number that belongs to nobody.
async fn unknown_call(rig: &Rig, n: u32, dialled: &str) {
    let at = rig.app.clock.now();
    let StateDelta::Call(view) = ringing(n, &["1001"], json!({}), at).change else { panic!("a call rings") };
    let mut call = FinishedCall::of(&view, &NumberPlan::default());
    (call.account, call.dialled, call.ended_at) = (None, Some(dialled.into()), at);
    rig.app.store.record_call(&call).await.unwrap();
}

#[tokio::test]
async fn numbers_are_in_one_list_and_those_that_belong_to_nobody_in_another() {
    let rig = Rig::start().await;
    for (code, dialled, forwarding) in [("A001", "0355501001", "0335550101"), ("A002", "0355501002", "")] {
        let numbers = |text: &str| if text.is_empty() { json!([]) } else { json!([text]) };
        let fields = json!({
            "code": code, "name": "株式会社さくら商事", "dialled": numbers(dialled), "forwarding": numbers(forwarding),
        });
        let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
    }
    let (_, page) = rig.get("admin", "/v1/numbers").await;
    let shown = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| {
                let text = |field: &str| item[field].as_str().unwrap_or("-").to_owned();
                format!("{} {} {}", text("account_code"), text("use"), text("last_call_at"))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&page), ["A001 dialled -", "A001 forwarding -", "A002 dialled -"]);
    let (_, first) = rig.get("admin", "/v1/numbers?limit=1").await;
    assert_eq!(shown(&first).len(), 2, "a page has all numbers of its accounts");
    let next = format!("/v1/numbers?limit=1&cursor={}", first["next"].as_str().unwrap());
    assert_eq!(shown(&rig.get("admin", &next).await.1), ["A002 dialled -"]);

    unknown_call(&rig, 5, "0355509999").await;
    let (_, unknown) = rig.get("admin", "/v1/numbers/unknown").await;
    assert_eq!(unknown["items"][0]["dialled"], "0355509999", "{unknown}");
    assert_eq!(unknown["items"][0]["calls"], 1);
    // What rang a month ago is no longer shown.
    rig.advance(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(rig.get("admin", "/v1/numbers/unknown").await.1, json!({"items": []}));
}

#[tokio::test]
async fn two_administrators_at_once_lose_nothing_and_the_audit_trail_has_before_and_after() {
    let rig = Rig::start().await;
    let fields = json!({"code": "A001", "name": "さくら商事"});
    let (_, account) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    let path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
    let seen = account["changed_at"].as_str().unwrap().to_owned();
    let patch = async |seen: &str, body: Value| {
        let request = rig.request("admin", Method::PATCH, &path).header("if-match", format!("\"{seen}\""));
        answer(request.json(&body).send().await.unwrap()).await
    };
    rig.advance(Duration::from_secs(1));
    let (status, first) = patch(&seen, json!({"notes": "社長は不在"})).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let (status, refused) = patch(&seen, json!({"notes": "休業"})).await;
    assert_eq!((status, &refused["type"]), (StatusCode::CONFLICT, &json!("record-changed")), "{refused}");
    assert_eq!(refused["record"], first, "the answer shows the record as it is");
    let undone = patch(first["changed_at"].as_str().unwrap(), json!({"notes": account["notes"]})).await;
    assert_eq!((undone.0, &undone.1["notes"]), (StatusCode::OK, &account["notes"]));
    let (status, wrong) = patch("yesterday", json!({"notes": "x"})).await;
    assert_eq!((status, &wrong["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-header")));

    let (_, trail) = rig.get("admin", "/v1/audit?action=account.changed").await;
    let changes: Vec<&Value> =
        trail["items"].as_array().unwrap().iter().map(|entry| &entry["details"]["changed"]).collect();
    assert_eq!(changes.len(), 2, "{trail}");
    assert_eq!(*changes[1], json!({"notes": {"before": "", "after": "社長は不在"}}));
    assert_eq!(*changes[0], json!({"notes": {"before": "社長は不在", "after": ""}}));
}

#[tokio::test]
async fn a_user_who_was_changed_meanwhile_is_shown_as_it_is() {
    let rig = Rig::start().await;
    let path = format!("/v1/users/{}", rig.user("1002"));
    let (_, user) = rig.get("admin", &path).await;
    rig.advance(Duration::from_secs(1));
    let (_, changed) = rig.send("admin", Method::PATCH, &path, &json!({"kana": "すずき"})).await;
    let request = rig
        .request("admin", Method::PATCH, &path)
        .header("if-match", format!("\"{}\"", user["changed_at"].as_str().unwrap()));
    let (status, refused) = answer(request.json(&json!({"kana": "サトウ"})).send().await.unwrap()).await;
    assert_eq!((status, &refused["record"]), (StatusCode::CONFLICT, &changed), "{refused}");
}

#[tokio::test]
async fn a_link_sets_a_password_once() {
    let rig = Rig::start().await;
    let link_of = async || {
        let path = format!("/v1/users/{}/password-link", rig.user("1002"));
        let (status, made) = rig.send("admin", Method::POST, &path, &Value::Null).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["token"].as_str().unwrap().to_owned()
    };
    let set = async |token: &str, password: &str| {
        let body = json!({"token": token, "password": password});
        answer(rig.bare(Method::POST, "/v1/session/password-link").json(&body).send().await.unwrap()).await
    };
    let (first, second) = (link_of().await, link_of().await);
    // The newest link works; a password that is too short leaves it as it is.
    for (token, password, status) in [
        (first.as_str(), "とても長い合言葉です", StatusCode::NOT_FOUND),
        ("nonsense", "とても長い合言葉です", StatusCode::NOT_FOUND),
        (second.as_str(), "短い", StatusCode::UNPROCESSABLE_ENTITY),
        (second.as_str(), "とても長い合言葉です", StatusCode::NO_CONTENT),
        (second.as_str(), "とても長い合言葉です", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(set(token, password).await.0, status, "{password}");
    }
    let sign_in = json!({"login": "1002", "password": "とても長い合言葉です"});
    let signed_in = rig.bare(Method::POST, "/v1/session").json(&sign_in).send().await.unwrap();
    assert_eq!(signed_in.status(), StatusCode::CREATED);
    let late = link_of().await;
    rig.advance(Duration::from_secs(24 * 3600));
    assert_eq!(set(&late, "とても長い合言葉です").await.0, StatusCode::NOT_FOUND);
    // Neither a link nor a password is in the audit trail.
    let (_, trail) = rig.get("admin", "/v1/audit?action=password.").await;
    assert_eq!(trail["items"].as_array().map(Vec::len), Some(3), "{trail}");
    assert!(!trail.to_string().contains("toritsugi_"), "{trail}");
}

#[tokio::test]
async fn a_person_changes_the_own_password_by_the_present_one() {
    let rig = Rig::start().await;
    let change = async |current: &str, password: &str| {
        let body = json!({"current": current, "password": password});
        rig.send("1001", Method::PUT, "/v1/session/password", &body).await
    };
    let (status, refused) = change("wrong", "とても長い合言葉です").await;
    assert_eq!((status, &refused["type"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid-body")));
    assert_eq!(change(PASSWORD, "短い").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(change(PASSWORD, "とても長い合言葉です").await.0, StatusCode::NO_CONTENT);
    for (password, status) in
        [(PASSWORD, StatusCode::UNAUTHORIZED), ("とても長い合言葉です", StatusCode::CREATED)]
    {
        let body = json!({"login": "1001", "password": password});
        let answered = rig.bare(Method::POST, "/v1/session").json(&body).send().await.unwrap();
        assert_eq!(answered.status(), status);
    }
}

#[tokio::test]
async fn health_says_what_is_missing_and_what_to_do() {
    let rig = Rig::start().await;
    let outcome = |health: &Value, what: &str| {
        let lines = health["items"].as_array().unwrap();
        let line = lines
            .iter()
            .find(|line| line["what"] == what)
            .unwrap_or_else(|| panic!("no line {what}: {health}"));
        line["outcome"].as_str().unwrap().to_owned()
    };
    let (status, health) = rig.get("admin", "/v1/health").await;
    assert_eq!(status, StatusCode::OK, "{health}");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    for (what, is) in [
        ("store", "ok"),
        ("pbx", "failed"),
        ("accounts", "note"),
        ("mail", "note"),
        ("users", "ok"),
        ("sounds", "ok"),
    ] {
        assert_eq!(outcome(&health, what), is, "{what}: {health}");
    }
    assert_eq!(health["outcome"], "failed");
    rig.link(true);
    let fields = json!({"code": "A001", "name": "x", "dialled": ["0355501001"]});
    rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    unknown_call(&rig, 5, "0355509999").await;
    rig.app.following.set(true);
    let (_, health) = rig.get("admin", "/v1/health").await;
    assert_eq!(outcome(&health, "heartbeat"), "note", "none was taken yet: {health}");
    rig.app.following.set_heartbeat(rig.app.clock.now());
    let seen = SeenAtPbx {
        sounds_missing: Arc::new(["toritsugi/closed".to_owned()].into()),
        ..SeenAtPbx::default()
    };
    rig.app.plan_status.set(PlanStatus { seen, ..PlanStatus::default() });
    let (_, health) = rig.get("admin", "/v1/health").await;
    assert_eq!(
        (outcome(&health, "heartbeat"), outcome(&health, "sounds")),
        ("ok".into(), "failed".into()),
        "{health}"
    );
    rig.advance(Duration::from_secs(7));
    let (_, health) = rig.get("admin", "/v1/health").await;
    assert_eq!(outcome(&health, "heartbeat"), "failed", "{health}");
    for (what, is) in [("pbx", "ok"), ("accounts", "ok"), ("numbers", "note")] {
        assert_eq!(outcome(&health, what), is, "{what}: {health}");
    }
    for line in health["items"].as_array().unwrap() {
        assert!(!line["detail"].as_str().unwrap().is_empty(), "{line}");
    }
}

#[tokio::test]
async fn what_was_deleted_comes_back_for_ten_minutes() {
    let rig = Rig::start().await;
    let make = async |path: &str, fields: Value| {
        let (status, made) = rig.send("admin", Method::POST, path, &fields).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let fields = json!({"code": "A001", "name": "さくら商事", "dialled": ["0355501001"]});
    let account = make("/v1/accounts", fields).await;
    let customer = make("/v1/customers", json!({"account": account, "code": "C1", "name": "田中"})).await;
    let contact = make("/v1/contacts", json!({"account": account, "name": "佐々木"})).await;
    let user =
        make("/v1/users", json!({"name": "新人", "role": "operator", "password": "とても長い合言葉です"}))
            .await;
    let records = [
        ("customer", format!("/v1/customers/{customer}"), customer),
        ("contact", format!("/v1/contacts/{contact}"), contact),
        ("account", format!("/v1/accounts/{account}"), account),
        ("user", format!("/v1/users/{user}"), user),
    ];
    let undo = async |id: &str| {
        rig.send("admin", Method::POST, &format!("/v1/deletions/{id}/undo"), &Value::Null).await
    };
    let mut before = Vec::new();
    for (_, path, _) in &records {
        before.push(rig.get("admin", path).await.1);
        rig.advance(Duration::from_secs(1));
        assert_eq!(rig.send("admin", Method::DELETE, path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    }
    let (_, listed) = rig.get("admin", "/v1/deletions").await;
    let kinds: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["user", "account", "contact", "customer"], "newest first: {listed}");
    // A customer of an account that is deleted cannot come back before it.
    assert_eq!(undo(&records[0].2).await.0, StatusCode::NOT_FOUND);
    for (at, (kind, path, id)) in records.iter().enumerate().rev() {
        let (status, undone) = undo(id).await;
        assert_eq!((status, undone["kind"].as_str()), (StatusCode::OK, Some(*kind)), "{undone}");
        let (_, mut back) = rig.get("admin", path).await;
        for record in [&mut back, &mut before[at]] {
            record.as_object_mut().unwrap().remove("changed_at");
        }
        assert_eq!(back, before[at], "{kind}");
        assert_eq!(undo(id).await.0, StatusCode::NOT_FOUND, "once");
    }
    let sign_in = json!({"login": "新人", "password": "とても長い合言葉です"});
    let signed_in = rig.bare(Method::POST, "/v1/session").json(&sign_in).send().await.unwrap();
    assert_eq!(signed_in.status(), StatusCode::CREATED);

    // The number went to another account; and after ten minutes it is too late.
    let (_, path, id) = &records[2];
    assert_eq!(rig.send("admin", Method::DELETE, path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    let other = json!({"code": "A002", "name": "みなと", "dialled": ["0355501001"]});
    let other = make("/v1/accounts", other).await;
    let (status, refused) = undo(id).await;
    assert_eq!((status, &refused["type"]), (StatusCode::CONFLICT, &json!("value-taken")), "{refused}");
    let path = format!("/v1/accounts/{other}");
    assert_eq!(rig.send("admin", Method::DELETE, &path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    rig.advance(Duration::from_secs(600));
    assert_eq!(undo(id).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.get("admin", "/v1/deletions").await.1, json!({"items": []}));
    let (_, trail) = rig.get("admin", "/v1/audit?action=account.restored").await;
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
}

#[tokio::test]
async fn reasons_of_messages_and_reasons_for_no_message_are_words_of_the_store() {
    let rig = Rig::start().await;
    let word = |code: &str, label: &str| json!({"code": code, "label": label});
    let write = async |kind: &str, words: Value| {
        let (_, lists) = rig.get("admin", "/v1/words").await;
        let lists = lists["items"].as_array().unwrap().iter();
        let version = lists.clone().find(|list| list["kind"] == kind).unwrap()["version"].clone();
        let body = json!({"version": version, "words": words});
        let (status, list) = rig.send("admin", Method::PUT, &format!("/v1/words/{kind}"), &body).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        list
    };
    write("message_reason", json!([word("order", "ご注文"), word("other", "その他")])).await;
    let mut sales = word("sales", "営業電話");
    sales["no_message"] = json!(true);
    write("disposition", json!([word("message", "伝言"), sales])).await;
    // Who does not know the mark leaves it as it is.
    let list = write("disposition", json!([word("sales", "営業"), word("message", "伝言")])).await;
    assert_eq!(list["words"][0]["no_message"], true, "{list}");
    let (_, options) = rig.get("1001", "/v1/messages/options").await;
    assert_eq!(options["reasons"], json!([word("order", "ご注文"), word("other", "その他")]), "{options}");
    assert_eq!(options["no_message_reasons"], json!(["sales"]));
}

#[tokio::test]
async fn the_cabinet_offices_table_is_tried_and_then_holds() {
    let rig = Rig::start().await;
    let send = async |path: &str, file: Vec<u8>| {
        answer(rig.request("admin", Method::POST, path).body(file).send().await.unwrap()).await
    };
    // As it is published: Shift_JIS.
    let (file, _, _) = encoding_rs::SHIFT_JIS
        .encode("国民の祝日・休日月日,国民の祝日・休日名称\r\n2031/1/1,元日\r\n2031/5/7,特別な休日\r\n");
    let (status, tried) = send("/v1/holidays/table?dry_run=true", file.to_vec()).await;
    let expected = json!({"dry_run": true, "days": 2, "first_year": 2031, "last_year": 2031});
    assert_eq!((status, &tried), (StatusCode::OK, &expected), "{tried}");
    let of_year = async || rig.get("admin", "/v1/holidays?year=2031").await.1["items"].clone();
    assert!(of_year().await.as_array().unwrap().len() > 10, "the law's days");
    let (status, done) = send("/v1/holidays/table", file.to_vec()).await;
    assert_eq!((status, &done["dry_run"]), (StatusCode::OK, &json!(false)), "{done}");
    let days = of_year().await;
    assert_eq!((days.as_array().unwrap().len(), &days[1]["name"]), (2, &json!("特別な休日")), "{days}");
    assert_eq!(days[1]["source"], "cabinet", "{days}");
    let (status, problem) = send("/v1/holidays/table", b"day,name\n2031/13/1,x\n".to_vec()).await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid-body")),
        "{problem}"
    );
    assert!(problem["detail"].as_str().unwrap().contains("line 2"), "{problem}");
    let (_, trail) = rig.get("admin", "/v1/audit?action=holiday.imported").await;
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
}
