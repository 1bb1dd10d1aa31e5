//! Accounts, customers, contacts and users over HTTP.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::gateway_rig::Rig;

#[tokio::test]
async fn an_account_its_contact_and_its_customer_are_made_read_changed_and_explained() {
    let rig = Rig::start().await;
    let fields = json!({
        "code": "A001", "name": "株式会社さくら商事", "kana": "さくらしょうじ",
        "answer_phrase": "お電話ありがとうございます、さくら商事でございます", "forwarding": ["03-1234-5678"],
    });
    let (status, account) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{account}");
    let id = account["id"].as_str().unwrap();

    // Operators make customers while they talk, and change them.
    let fields = json!({"account": id, "name": "田中太郎", "numbers": ["090-1111-2222"]});
    let (status, customer) = rig.send("1001", Method::POST, "/v1/customers", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{customer}");
    let path = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
    let (status, changed) = rig.send("1001", Method::PATCH, &path, &json!({"company": "田中工務店"})).await;
    assert_eq!(
        (status, &changed["company"], &changed["name"]),
        (StatusCode::OK, &json!("田中工務店"), &json!("田中太郎"))
    );
    assert_eq!(rig.get("1002", &path).await, (StatusCode::OK, changed.clone()));
    for query in [
        format!("account={id}"),
        "number=09011112222".into(),
        "number=%2B819011112222".into(),
        "q=田中".into(),
    ] {
        let (_, page) = rig.get("1001", &format!("/v1/customers?{query}")).await;
        assert_eq!(page, json!({"items": [changed]}), "{query}");
    }
    let fields = json!({"account": id, "name": "佐藤部長", "number": "080-3333-4444", "on_call_order": 1});
    let (status, _) = rig.send("admin", Method::POST, "/v1/contacts", &fields).await;
    assert_eq!(status, StatusCode::CREATED);

    // The next call knows them.
    let query = "/v1/explain?dialled=0355501001&diverted_by=+81312345678&from=09011112222";
    let (status, why) = rig.get("1001", query).await;
    assert_eq!(status, StatusCode::OK, "{why}");
    assert_eq!(why["card"]["account"]["name"], "株式会社さくら商事");
    assert_eq!(why["card"]["account"]["matched_by"], "diversion");
    assert_eq!(why["card"]["customers"][0]["name"], "田中太郎");
    assert_eq!(why["contacts"][0]["name"], "佐藤部長");

    let path = format!("/v1/accounts/{id}");
    assert_eq!(rig.send("admin", Method::DELETE, &path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    let (_, why) = rig.get("1001", query).await;
    assert_eq!(why["card"]["account"]["matched_by"], "none");
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let rig = Rig::start().await;
    for n in 0..7 {
        let fields = json!({"code": format!("A{n}"), "name": format!("会社{n}")});
        assert_eq!(rig.send("admin", Method::POST, "/v1/accounts", &fields).await.0, StatusCode::CREATED);
    }
    let (mut codes, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (_, page) = rig.get("1001", &format!("/v1/accounts?limit=3{cursor}")).await;
        codes
            .extend(page["items"].as_array().unwrap().iter().map(|a| a["code"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((codes, pages), ((0..7).map(|n| format!("A{n}")).collect(), 3));
}

#[tokio::test]
async fn people_are_made_changed_and_revoked() {
    let rig = Rig::start().await;
    let new = json!({"name": "高橋", "role": "operator", "extension": "1005", "team": "C班"});
    let (status, user) = rig.send("admin", Method::POST, "/v1/users", &new).await;
    assert_eq!(status, StatusCode::CREATED, "{user}");
    assert_eq!(
        (&user["extension"], &user["team"], &user["has_password"]),
        (&json!("1005"), &json!("C班"), &json!(false))
    );
    let path = format!("/v1/users/{}", user["id"].as_str().unwrap());
    let change = json!({"extension": null, "role": "supervisor", "password": "0123456789"});
    let (status, user) = rig.send("admin", Method::PATCH, &path, &change).await;
    assert_eq!(status, StatusCode::OK, "{user}");
    assert_eq!(
        (&user["extension"], &user["role"], &user["has_password"]),
        (&json!(null), &json!("supervisor"), &json!(true))
    );
    assert_eq!(rig.send("admin", Method::DELETE, &path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    let (_, user) = rig.get("admin", &path).await;
    assert!(user["revoked_at"].is_string());
    let (_, page) = rig.get("admin", "/v1/users?limit=500").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 7);
    assert!(!page.to_string().contains("argon2"));
}

#[tokio::test]
async fn a_day_off_of_the_installation_closes_the_accounts_that_close_on_holidays() {
    let rig = Rig::start().await;
    let spans = json!([{ "days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "18:00" }]);
    let fields = json!({
        "code": "A001", "name": "みなと法律事務所", "dialled": ["03-5550-1001"], "hours": { "weekly": spans },
    });
    let (status, account) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{account}");
    let explained = "/v1/explain?dialled=0355501001&at=2031-12-29T01:00:00Z";
    let hours = async || rig.get("1001", explained).await.1["card"]["account"]["hours"].clone();
    assert_eq!(hours().await, json!({ "open": true, "until": "2031-12-29T09:00:00.000Z" }));

    let path = "/v1/holidays/2031-12-29";
    let (status, day) = rig.send("admin", Method::PUT, path, &json!({ "name": " 年末休業 " })).await;
    assert_eq!(status, StatusCode::OK, "{day}");
    assert_eq!(day, json!({ "day": "2031-12-29", "name": "年末休業", "source": "site" }));
    let closed = json!({ "open": false, "until": "2031-12-30T00:00:00.000Z", "holiday": "年末休業" });
    assert_eq!(hours().await, closed);
    let (_, year) = rig.get("1001", "/v1/holidays?year=2031").await;
    let days = year["items"].as_array().unwrap();
    assert_eq!(days.last().unwrap(), &day);
    assert_eq!(days[0], json!({ "day": "2031-01-01", "name": "元日", "source": "law" }));

    assert_eq!(rig.send("admin", Method::DELETE, path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(hours().await["open"], true);
    assert_eq!(rig.send("admin", Method::DELETE, path, &Value::Null).await.0, StatusCode::NOT_FOUND);
    for (path, body, expected) in [
        ("/v1/holidays/2031-02-30", json!({ "name": "x" }), StatusCode::NOT_FOUND),
        (path, json!({ "name": " " }), StatusCode::UNPROCESSABLE_ENTITY),
        (path, json!({ "name": "x".repeat(61) }), StatusCode::UNPROCESSABLE_ENTITY),
        (path, json!({ "name": "x", "source": "law" }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(rig.send("admin", Method::PUT, path, &body).await.0, expected, "{path} {body}");
    }
    assert_eq!(rig.get("1001", "/v1/holidays?year=3000").await.0, StatusCode::BAD_REQUEST);

    let wrong = json!({ "hours": { "weekly": spans, "closed_on": ["2031-12-30..2031-12-01"] } });
    let path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
    let (status, problem) = rig.send("admin", Method::PATCH, &path, &wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("2031-12-30..2031-12-01"), "{problem}");
}
