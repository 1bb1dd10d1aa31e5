//! Bills: what counts at the edges of a month, closing, and what later bills correct.

use encoding_rs::SHIFT_JIS;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall, Segment};
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};

use crate::support::gateway_rig::Rig;
use crate::support::ids::{call, pbx};

/// A rig with an account that has this plan.
async fn with_plan(plan: &Value) -> (Rig, RecordId) {
    let rig = Rig::start().await;
    let of = account(&rig, "S-1", "さくら歯科").await;
    write_plan(&rig, of, plan).await;
    (rig, of)
}

async fn account(rig: &Rig, code: &str, name: &str) -> RecordId {
    let fields = json!({ "code": code, "name": name });
    let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    RecordId(made["id"].as_str().unwrap().parse().unwrap())
}

async fn write_plan(rig: &Rig, of: RecordId, plan: &Value) {
    let path = format!("/v1/accounts/{of}/billing-plan");
    let (status, written) = rig.send("admin", Method::PUT, &path, plan).await;
    assert_eq!(status, StatusCode::OK, "{written}");
    assert_eq!(rig.get("crm", &path).await.1, written);
}

/// An answered call of half a minute.
fn answered(n: u32, of: RecordId, offered: &str) -> FinishedCall {
    let offered_at: Timestamp = offered.parse().unwrap();
    let plus = |ms: i64| Timestamp::from_millisecond(offered_at.as_millisecond() + ms).unwrap();
    let operator = Extension::parse("1001").unwrap();
    FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(of),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some(format!("+8190000000{n:02}").into()),
        presentation: Presentation::Allowed,
        dialled: None,
        diverted_by: None,
        offered_at,
        answered_at: Some(plus(4_000)),
        ended_at: plus(34_000),
        outcome: Outcome::Answered,
        operators: vec![operator.clone()],
        handled_by: None,
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: vec![Segment {
            kind: "talking".into(),
            operator: Some(operator),
            target: None,
            from: plus(4_000),
            until: Some(plus(34_000)),
            result: None,
        }],
    }
}

async fn record(rig: &Rig, calls: &[FinishedCall]) {
    for one in calls {
        rig.app.store.record_call(one).await.unwrap();
    }
}

async fn bill(rig: &Rig, of: RecordId, month: &str) -> Value {
    let (status, bill) = rig.get("admin", &format!("/v1/accounts/{of}/bills/{month}")).await;
    assert_eq!(status, StatusCode::OK, "{bill}");
    bill
}

async fn close(rig: &Rig, of: RecordId, month: &str) -> (StatusCode, Value) {
    let path = format!("/v1/accounts/{of}/bills/{month}/close");
    rig.send("admin", Method::POST, &path, &json!({})).await
}

/// The calls of a bill with why they count or not.
fn verdicts(bill: &Value) -> Vec<(String, &str)> {
    let calls = bill["calls"].as_array().map_or(&[][..], Vec::as_slice);
    calls.iter().map(|one| (one["call"].as_str().unwrap().to_owned(), one["why"].as_str().unwrap())).collect()
}

fn plan() -> Value {
    json!({ "name": "標準", "base_yen": 3000, "include": 1, "extra": [{ "from": 2, "yen": 190 }] })
}

#[tokio::test]
async fn a_call_belongs_to_the_month_in_which_it_was_offered() {
    let (rig, of) = with_plan(&plan()).await;
    let other = account(&rig, "S-2", "ほか").await;
    let lost = FinishedCall { outcome: Outcome::Abandoned, ..answered(5, of, "2025-10-15T12:00:00+09:00") };
    let calls = [
        answered(1, of, "2025-09-30T23:59:59.999+09:00"),
        answered(2, of, "2025-10-01T00:00:00+09:00"),
        // It lasts past midnight.
        answered(3, of, "2025-10-31T23:59:59.999+09:00"),
        answered(4, of, "2025-11-01T00:00:00+09:00"),
        answered(6, other, "2025-10-15T12:00:00+09:00"),
        lost,
    ];
    record(&rig, &calls).await;
    let october = bill(&rig, of, "2025-10").await;
    let id = |n: u32| call(n).to_string();
    assert_eq!(verdicts(&october), [(id(2), "counted"), (id(5), "not_answered"), (id(3), "counted")]);
    assert_eq!((&october["yen"], &october["from"]), (&json!(3_190), &json!("2025-09-30T15:00:00.000Z")));
    assert_eq!(october["counts"], json!({ "counted": 2, "not_answered": 1 }));
    assert_eq!(october["warnings"], json!([]));
    assert_eq!(verdicts(&bill(&rig, of, "2025-09").await), [(id(1), "counted")]);
    assert_eq!(verdicts(&bill(&rig, of, "2025-11").await), [(id(4), "counted")]);
    // The list has the sums of accounts with a plan, and no calls.
    let (_, list) = rig.get("crm", "/v1/bills/2025-10").await;
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["yen"], &items[0]["calls"]), (1, &json!(3_190), &Value::Null));
    for (path, status) in [
        (format!("/v1/accounts/{other}/bills/2025-10"), StatusCode::NOT_FOUND),
        (format!("/v1/accounts/{of}/bills/2025-13"), StatusCode::NOT_FOUND),
        ("/v1/bills/october".to_owned(), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(rig.get("admin", &path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_closed_bill_never_changes_and_the_next_one_corrects_it_once() {
    let (rig, of) = with_plan(&plan()).await;
    let cut = FinishedCall {
        inferred: true,
        outcome: Outcome::Unknown,
        ..answered(2, of, "2025-10-02T12:00:00+09:00")
    };
    record(&rig, &[answered(1, of, "2025-10-01T12:00:00+09:00"), cut]).await;
    let (status, closed) = close(&rig, of, "2025-10").await;
    assert_eq!(
        (status, &closed["yen"], &closed["closed_by"]),
        (StatusCode::OK, &json!(3_000), &json!("admin"))
    );
    // What was inferred is observed, and one more call arrives late.
    let late = answered(3, of, "2025-10-31T23:59:00+09:00");
    record(&rig, &[answered(2, of, "2025-10-02T12:00:00+09:00"), late]).await;
    write_plan(&rig, of, &json!({ "name": "新", "base_yen": 1, "include": 9 })).await;
    assert_eq!(bill(&rig, of, "2025-10").await, closed);
    assert_eq!(close(&rig, of, "2025-10").await.1, closed);
    let november = bill(&rig, of, "2025-11").await;
    let id = |n: u32| call(n).to_string();
    let correction = json!([{ "month": "2025-10", "yen": 380, "calls": [
        { "call": id(2), "offered_at": "2025-10-02T03:00:00.000Z", "before": "not_answered", "now": "counted" },
        { "call": id(3), "offered_at": "2025-10-31T14:59:00.000Z", "now": "counted" },
    ] }]);
    assert_eq!(november["corrections"], correction);
    assert_eq!(november["yen"], 1 + 380);
    assert_eq!(close(&rig, of, "2025-11").await.0, StatusCode::OK);
    let december = bill(&rig, of, "2025-12").await;
    assert_eq!((&december["corrections"], &december["yen"]), (&json!([]), &json!(1)));
}

#[tokio::test]
async fn months_that_are_closed_out_of_order_correct_once() {
    let (rig, of) = with_plan(&plan()).await;
    record(
        &rig,
        &[answered(1, of, "2025-09-01T12:00:00+09:00"), answered(2, of, "2025-10-15T12:00:00+09:00")],
    )
    .await;
    close(&rig, of, "2025-09").await;
    record(&rig, &[answered(3, of, "2025-09-30T12:00:00+09:00")]).await;
    let november = close(&rig, of, "2025-11").await.1;
    assert_eq!(november["corrections"][0]["yen"], 190, "{november}");
    let october = close(&rig, of, "2025-10").await.1;
    assert_eq!((&october["corrections"], &october["yen"]), (&json!([]), &json!(3_000)));
    assert_eq!(bill(&rig, of, "2025-12").await["corrections"], json!([]));
}

#[tokio::test]
async fn a_month_is_closed_once_when_it_is_over() {
    let (rig, of) = with_plan(&plan()).await;
    let now = rig.app.clock.now().to_zoned(rig.app.directory.time_zone().clone());
    let month = now.strftime("%Y-%m").to_string();
    let open = bill(&rig, of, &month).await;
    assert_eq!(open["warnings"], json!(["not_over"]));
    let (status, problem) = close(&rig, of, &month).await;
    assert_eq!(
        (status, &problem["title"]),
        (StatusCode::CONFLICT, &json!("The bill of this month cannot be closed"))
    );
    let (a, b, c) =
        tokio::join!(close(&rig, of, "2025-10"), close(&rig, of, "2025-10"), close(&rig, of, "2025-10"));
    assert_eq!((a.0, &a.1), (StatusCode::OK, &b.1));
    assert_eq!(b.1, c.1);
    let (_, entries) = rig.get("admin", "/v1/audit?action=bill.closed").await;
    assert_eq!(entries["items"].as_array().unwrap().len(), 1, "{entries}");
}

#[tokio::test]
async fn a_new_closing_day_bills_no_day_twice_and_leaves_none_out() {
    let (rig, of) = with_plan(&plan()).await;
    record(
        &rig,
        &[
            answered(1, of, "2025-10-25T12:00:00+09:00"),
            answered(2, of, "2025-11-20T23:59:59+09:00"),
            answered(3, of, "2025-11-21T00:00:00+09:00"),
        ],
    )
    .await;
    assert_eq!(verdicts(&close(&rig, of, "2025-10").await.1).len(), 1);
    let mut by_twentieth = plan();
    by_twentieth["closing_day"] = json!(20);
    write_plan(&rig, of, &by_twentieth).await;
    let november = close(&rig, of, "2025-11").await.1;
    assert_eq!(
        (&november["from"], &november["to"]),
        (&json!("2025-10-31T15:00:00.000Z"), &json!("2025-11-20T15:00:00.000Z"))
    );
    assert_eq!(verdicts(&november), [(call(2).to_string(), "counted")]);
    let december = bill(&rig, of, "2025-12").await;
    assert_eq!(verdicts(&december), [(call(3).to_string(), "counted")]);
}

#[tokio::test]
async fn a_plan_that_makes_no_sense_is_refused_with_what_to_write() {
    let (rig, of) = with_plan(&plan()).await;
    let path = format!("/v1/accounts/{of}/billing-plan");
    for (plan, word) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "x", "extra": [{ "from": 2, "yen": 1 }] }), "extra[0].from: must be 1"),
        (json!({ "name": "x", "closing_day": 31 }), "closing_day"),
        (json!({ "name": "x", "basis": "calls" }), "offered_open"),
        (json!({ "name": "x", "yen": 1 }), "yen"),
    ] {
        let (status, problem) = rig.send("admin", Method::PUT, &path, &plan).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{plan}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{plan}: {problem}");
    }
    assert_eq!(rig.get("admin", &path).await.1["name"], "標準");
    for _ in 0..2 {
        let response = rig.request("admin", Method::DELETE, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(rig.get("admin", &path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_lines_of_all_bills_are_a_file_for_accounting() {
    let (rig, of) = with_plan(&plan()).await;
    let other = account(&rig, "S-2", "=HYPERLINK(1)").await;
    write_plan(&rig, other, &json!({ "name": "定額", "base_yen": 9000 })).await;
    record(
        &rig,
        &[
            answered(1, of, "2025-10-01T12:00:00+09:00"),
            answered(2, of, "2025-10-02T12:00:00+09:00"),
            answered(3, other, "2025-10-02T12:00:00+09:00"),
        ],
    )
    .await;
    close(&rig, other, "2025-10").await;
    let file = async |query: &str| {
        let path = format!("/v1/bills/2025-10/lines.csv{query}");
        let response = rig.request("crm", Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap().to_vec()
    };
    let text = String::from_utf8(file("").await).unwrap();
    assert!(text.starts_with("\u{feff}\"請求月\""), "{text}");
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    let yen = |code: &str| -> i64 {
        rows.iter().filter(|row| row[1] == code).map(|row| row[7].parse::<i64>().unwrap()).sum()
    };
    assert_eq!((yen("S-1"), yen("S-2")), (3_190, 9_000), "{text}");
    assert!(
        rows.iter().filter(|row| row[1] == "S-2").all(|row| row[2] == "'=HYPERLINK(1)" && row[9] == "はい")
    );
    let cp932 = file("?encoding=cp932&language=en").await;
    let (text, _, is_broken) = SHIFT_JIS.decode(&cp932);
    assert!(!is_broken && text.starts_with("\"Month\"") && text.contains("標準"), "{text}");
}
