//! One search over everything: what it finds, by which writing, and that it opens nothing.

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::history::finished;
use crate::support::gateway_rig::Rig;

const KEY: &str = "+819011112222";

async fn search(rig: &Rig, who: &str, text: &str) -> Value {
    let url = Url::parse_with_params("http://x/v1/search", [("q", text)]).unwrap();
    let (status, found) = rig.get(who, &format!("{}?{}", url.path(), url.query().unwrap())).await;
    assert_eq!((status, &found["incomplete"]), (StatusCode::OK, &json!([])), "{text}: {found}");
    found
}

/// How many accounts, contacts, customers, messages and calls were found.
fn counts(found: &Value) -> [usize; 5] {
    ["accounts", "contacts", "customers", "messages", "calls"]
        .map(|part| found[part].as_array().map_or(0, Vec::len))
}

#[tokio::test]
async fn everything_is_found_by_one_text_and_nobody_sees_more_by_it() {
    let rig = Rig::start().await;
    let made = async |path: &str, fields: Value| {
        let (status, record) = rig.send("admin", Method::POST, path, &fields).await;
        assert_eq!(status, StatusCode::CREATED, "{record}");
        record["id"].as_str().unwrap().to_owned()
    };
    let fields =
        json!({ "code": "A001", "name": "山田歯科医院", "kana": "ヤマダシカ", "dialled": ["03-5550-1003"] });
    let account = made("/v1/accounts", fields).await;
    let fields =
        json!({ "account": account, "name": "山田花子", "kana": "ヤマダハナコ", "number": "090-5550-0011" });
    made("/v1/contacts", fields).await;
    let fields = json!({ "account": account, "name": "山田一郎", "kana": "ヤマダイチロウ", "numbers": ["090-1111-2222"] });
    made("/v1/customers", fields).await;
    made("/v1/messages", json!({ "account": account, "text": "ヤマダ様へ折り返し" })).await;
    // Operator 1002 had a call of the customer.
    rig.app.store.record_call(&finished(&rig, 1, 1, KEY)).await.unwrap();
    for text in ["やまだ", "ﾔﾏﾀﾞ", "yamada", "ＹＡＭＡＤＡ"] {
        let found = search(&rig, "1002", text).await;
        assert_eq!(counts(&found)[..4], [1, 1, 1, 1], "{text}: {found}");
    }
    assert_eq!(counts(&search(&rig, "1001", "5550-1003").await), [1, 0, 0, 0, 0]);
    // The operator who had the call, that operator's supervisor, and nobody else of the two teams.
    for (who, calls) in [("1002", 1), ("2002", 1), ("1001", 0), ("2001", 0), ("admin", 1), ("crm", 1)] {
        let found = search(&rig, who, "090-1111-2222").await;
        assert_eq!(counts(&found), [0, 0, 1, 0, calls], "{who}: {found}");
    }
    for query in ["q=", "q=%20", "limit=5", "q=a&limit=0", "q=a&limit=21", "q=a&x=1"] {
        let (status, problem) = rig.get("1001", &format!("/v1/search?{query}")).await;
        assert_eq!((status, &problem["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-query")), "{query}");
    }
}
