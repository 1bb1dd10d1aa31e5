//! Monthly reports: the same numbers as the figures, closing, files, and when they are mailed.

use encoding_rs::SHIFT_JIS;
use jiff::Timestamp;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall};
use toritsugi::contract::pbx::Gap;
use toritsugi::identity::Presentation;
use toritsugi::ids::RecordId;
use toritsugi::journal::JournalEntry;

use crate::support::gateway_rig::Rig;
use crate::support::ids::{call, pbx};

const MONTH: &str = "2025-11";

async fn account(rig: &Rig, code: &str) -> RecordId {
    let fields = json!({ "code": code, "name": "さくら歯科", "dialled": ["03-1234-5678"] });
    let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    RecordId(made["id"].as_str().unwrap().parse().unwrap())
}

fn finished(n: u32, of: RecordId, offered: &str, outcome: Outcome) -> FinishedCall {
    let offered_at: Timestamp = offered.parse().unwrap();
    let plus = |ms: i64| Timestamp::from_millisecond(offered_at.as_millisecond() + ms).unwrap();
    FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(of),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some(format!("+8190000000{n:02}").into()),
        presentation: Presentation::Allowed,
        dialled: Some(if n == 3 { "+81399999999" } else { "+81312345678" }.into()),
        diverted_by: None,
        offered_at,
        answered_at: (outcome == Outcome::Answered).then(|| plus(4_000)),
        ended_at: plus(34_000),
        outcome,
        operators: Vec::new(),
        handled_by: None,
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    }
}

async fn record(rig: &Rig, calls: &[FinishedCall]) {
    for one in calls {
        rig.app.store.record_call(one).await.unwrap();
    }
}

async fn build(rig: &Rig) {
    while rig.app.store.build_stats(None).await.unwrap() > 0 {}
}

/// Four calls in November 2025 and one on each side of it.
async fn with_calls() -> (Rig, RecordId) {
    let rig = Rig::start().await;
    let of = account(&rig, "S-1").await;
    record(
        &rig,
        &[
            finished(1, of, "2025-10-31T23:59:59.999+09:00", Outcome::Answered),
            finished(2, of, "2025-11-01T00:00:00+09:00", Outcome::Answered),
            finished(3, of, "2025-11-03T10:20:00+09:00", Outcome::Abandoned),
            finished(4, of, "2025-11-03T10:40:00+09:00", Outcome::Answered),
            finished(5, of, "2025-11-30T23:59:59.999+09:00", Outcome::Closed),
            finished(6, of, "2025-12-01T00:00:00+09:00", Outcome::Answered),
        ],
    )
    .await;
    build(&rig).await;
    (rig, of)
}

fn path(of: RecordId, rest: &str) -> String {
    format!("/v1/accounts/{of}/reports/{MONTH}{rest}")
}

async fn report(rig: &Rig, of: RecordId) -> Value {
    let (status, report) = rig.get("admin", &path(of, "")).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    report
}

async fn close(rig: &Rig, of: RecordId) -> (StatusCode, Value) {
    rig.send("admin", Method::POST, &path(of, "/close"), &json!({})).await
}

async fn file(rig: &Rig, path: &str) -> (String, Vec<u8>) {
    let response = rig.request("2001", Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    (kind, response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_report_has_the_numbers_of_the_figures_of_its_month() {
    let (rig, of) = with_calls().await;
    let report = report(&rig, of).await;
    let question = format!("/v1/stats?by=day&account={of}&from=2025-11-01&to=2025-12-01");
    let (_, stats) = rig.get("admin", &question).await;
    assert_eq!(report["total"], stats["total"]["counters"], "{report}");
    assert_eq!((&report["total"]["offered"], &report["total"]["answered"]), (&json!(4), &json!(2)));
    let days = report["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    for (day, row) in days.iter().zip(stats["rows"].as_array().unwrap()) {
        assert_eq!(day["counters"], row["counters"], "{day}");
    }
    for figure in report["figures"].as_array().unwrap() {
        let id = figure["id"].as_str().unwrap();
        assert_eq!(figure["value"], stats["total"]["figures"][id], "{id}");
    }
    // 2025-11-03 is a Monday.
    assert_eq!(
        (&report["hours"][0][10], &report["hours"][5][0], &report["hours"][6][23]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(
        report["numbers"],
        json!([
            { "number": "03-1234-5678", "offered": 3, "answered": 2, "closed": 1 },
            { "offered": 1, "answered": 0, "closed": 0 },
        ])
    );
    assert_eq!(
        (&report["is_over"], &report["closed_at"], &report["mails"]),
        (&json!(true), &Value::Null, &json!([]))
    );
    // No caller and no operator is in it.
    let text = report.to_string();
    assert!(!text.contains("8190000000") && !text.contains("1001"), "{text}");
    for (path, status) in [
        (format!("/v1/accounts/{of}/reports/november"), StatusCode::NOT_FOUND),
        (format!("/v1/accounts/{}/reports/{MONTH}", uuid::Uuid::nil()), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(rig.get("admin", &path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_closed_month_never_changes() {
    let (rig, of) = with_calls().await;
    let (status, closed) = close(&rig, of).await;
    assert_eq!((status, &closed["closed_by"]), (StatusCode::OK, &json!("admin")), "{closed}");
    assert_eq!(closed["sha256"].as_str().unwrap().len(), 64);
    let pdf = file(&rig, &path(of, "/pdf")).await;
    // A late record, another name and another contract.
    record(&rig, &[finished(7, of, "2025-11-15T12:00:00+09:00", Outcome::Answered)]).await;
    build(&rig).await;
    let renamed = json!({ "name": "さくら歯科医院" });
    assert_eq!(
        rig.send("admin", Method::PATCH, &format!("/v1/accounts/{of}"), &renamed).await.0,
        StatusCode::OK
    );
    let agreed = json!({ "formula": "AR-open", "goal": 0.9 });
    let contract = format!("/v1/accounts/{of}/contract");
    assert_eq!(rig.send("admin", Method::PUT, &contract, &agreed).await.0, StatusCode::OK);
    assert_eq!(report(&rig, of).await, closed);
    assert_eq!(close(&rig, of).await.1, closed);
    assert_eq!(file(&rig, &path(of, "/pdf")).await, pdf, "the same file");
    // The figures follow the history.
    let question = format!("/v1/stats?by=month&account={of}&from=2025-11-01&to=2025-12-01");
    assert_eq!(rig.get("admin", &question).await.1["total"]["counters"]["offered"], json!(5));
    // It stays when its account is gone.
    assert_eq!(
        rig.send("admin", Method::DELETE, &format!("/v1/accounts/{of}"), &json!({})).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(report(&rig, of).await, closed);
    let (_, entries) = rig.get("admin", "/v1/audit?action=report.closed").await;
    assert_eq!(entries["items"].as_array().unwrap().len(), 1, "{entries}");
}

#[tokio::test]
async fn a_month_is_closed_once_when_it_is_over_and_counted() {
    let (rig, of) = with_calls().await;
    let now = rig.app.clock.now().to_zoned(rig.app.directory.time_zone().clone());
    let this = format!("/v1/accounts/{of}/reports/{}", now.strftime("%Y-%m"));
    assert_eq!(rig.get("admin", &this).await.1["is_over"], json!(false));
    let (status, problem) = rig.send("admin", Method::POST, &format!("{this}/close"), &json!({})).await;
    assert_eq!(
        (status, &problem["title"]),
        (StatusCode::CONFLICT, &json!("The report of this month cannot be closed yet"))
    );
    record(&rig, &[finished(8, of, "2025-11-15T12:00:00+09:00", Outcome::Answered)]).await;
    let (status, problem) = close(&rig, of).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("being counted"), "{problem}");
    build(&rig).await;
    let (a, b, c) = tokio::join!(close(&rig, of), close(&rig, of), close(&rig, of));
    assert_eq!((a.0, &a.1, &a.1["total"]["offered"]), (StatusCode::OK, &b.1, &json!(5)));
    assert_eq!(b.1, c.1);
    let (_, entries) = rig.get("admin", "/v1/audit?action=report.closed").await;
    assert_eq!(entries["items"].as_array().unwrap().len(), 1, "{entries}");
}

#[tokio::test]
async fn a_gap_and_a_goal_are_said() {
    let (rig, of) = with_calls().await;
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let gap = Gap {
        pbx: pbx(),
        from: at("2025-11-10T01:00:00Z"),
        to: at("2025-11-10T02:00:00Z"),
        cause: "link".into(),
        restarted: false,
    };
    rig.app.store.write_entry(&pbx(), &JournalEntry::Gap(Box::new(gap))).await.unwrap();
    build(&rig).await;
    let agreed = json!({ "formula": "AR-open", "goal": 0.9 });
    let contract = format!("/v1/accounts/{of}/contract");
    assert_eq!(rig.send("admin", Method::PUT, &contract, &agreed).await.0, StatusCode::OK);
    let report = report(&rig, of).await;
    assert_eq!(
        report["missing"],
        json!([{ "from": "2025-11-10T01:00:00.000Z", "until": "2025-11-10T02:00:00.000Z" }])
    );
    let incomplete: Vec<&Value> =
        report["days"].as_array().unwrap().iter().filter(|day| day["is_complete"] == false).collect();
    assert_eq!((incomplete.len(), &incomplete[0]["day"]), (1, &json!("2025-11-10")));
    let period = &report["contract"]["periods"][0];
    assert_eq!((&period["verdict"], &period["figure"]), (&json!("missed"), &json!(2.0 / 3.0)), "{report}");
}

#[tokio::test]
async fn a_report_is_a_pdf_and_a_file_for_spreadsheets() {
    let (rig, of) = with_calls().await;
    let (kind, pdf) = file(&rig, &path(of, "/pdf")).await;
    assert_eq!(kind, "application/pdf");
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() < 120 * 1024, "{} bytes", pdf.len());
    let (kind, csv) = file(&rig, &path(of, "/csv")).await;
    assert!(kind.starts_with("text/csv; charset=utf-8"), "{kind}");
    let text = String::from_utf8(csv).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[0].starts_with("\u{feff}\"日\",\"欠測あり\",\"入電\",\"応答\""), "{}", rows[0]);
    assert!(rows[3].starts_with("\"2025-11-03\",\"\",\"2\",\"1\""), "{}", rows[3]);
    assert!(rows[31].starts_with("\"合計\",\"\",\"4\",\"2\""), "{}", rows[31]);
    assert_eq!(rows.len(), 32);
    let (_, cp932) = file(&rig, &path(of, "/csv?encoding=cp932&language=en")).await;
    let (text, _, is_broken) = SHIFT_JIS.decode(&cp932);
    assert!(!is_broken && text.starts_with("\"Day\",\"Incomplete\",\"offered\""), "{text}");
    let (_, entries) = rig.get("admin", "/v1/audit?action=report.exported").await;
    assert_eq!(entries["items"].as_array().unwrap().len(), 3, "{entries}");
}

#[tokio::test]
async fn a_plan_says_when_and_to_whom_and_never_sends_the_past() {
    let rig = Rig::start().await;
    let of = account(&rig, "S-1").await;
    let plan = format!("/v1/accounts/{of}/report-plan");
    assert_eq!(rig.get("admin", &plan).await.0, StatusCode::NOT_FOUND);
    for (body, words) in [
        (json!({ "mail_day": 0, "to": ["a@example.jp"] }), "mail_day: 1 to 28"),
        (json!({ "mail_day": 29, "to": ["a@example.jp"] }), "mail_day: 1 to 28"),
        (json!({ "mail_day": 5 }), "to: write at least one address"),
        (json!({ "mail_day": 5, "to": ["a"] }), "to[0]: "),
        (json!({ "mail_day": 5, "to": ["a@example.jp\r\nBcc: b@example.jp"] }), "to[0]: "),
        (
            json!({ "mail_day": 5, "to": ["a@example.jp", "a@example.jp"] }),
            "to[1]: this address stands there twice",
        ),
        (json!({ "to": vec!["a@example.jp"; 11] }), "to: at most 10"),
    ] {
        let (status, problem) = rig.send("admin", Method::PUT, &plan, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let today = rig.app.clock.now().to_zoned(rig.app.directory.time_zone().clone()).date();
    let month = |back: i32| {
        today.first_of_month().saturating_sub(jiff::Span::new().months(back)).strftime("%Y-%m").to_string()
    };
    for (day, sent) in [(28, month(2)), (1, month(1)), (28, month(1))] {
        let body = json!({ "mail_day": day, "to": ["keiri@example.jp"] });
        let (status, written) = rig.send("admin", Method::PUT, &plan, &body).await;
        assert_eq!((status, &written["sent_month"]), (StatusCode::OK, &json!(sent)), "{day}: {written}");
        assert_eq!(rig.get("2001", &plan).await.1, written);
    }
    assert_eq!(rig.send("admin", Method::DELETE, &plan, &json!({})).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get("admin", &plan).await.0, StatusCode::NOT_FOUND);
    let (_, entries) = rig.get("admin", "/v1/audit?action=report_plan.changed").await;
    assert!(!entries.to_string().contains("keiri@"), "{entries}");
}
