//! Finished calls: whose calls a user may read, and which more while their caller is on the phone.

use std::sync::Arc;

use encoding_rs::SHIFT_JIS;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::{AccountView, CallerView, Card, CustomerView, HistoryView, MatchedBy};
use toritsugi::contract::event::{Audience, StateDelta};
use toritsugi::contract::history::{CallSource, FinishedCall};
use toritsugi::contract::operator::WrapUp;
use toritsugi::contract::supervision::{Mode, SupervisionId, SupervisionSegment};
use toritsugi::directory::import::{ImportKind, ImportOptions, TextEncoding};
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::journal::{JournalEntry, SegmentChange, WrapUpRecord};
use toritsugi::operators::CompletedWrapUp;
use toritsugi::store::erasure::{ErasureStep, LiveCalls, SETTLE_MS};
use uuid::Uuid;

use crate::support::gateway_rig::{Options, Rig, answer, ringing};
use crate::support::ids::{call, pbx};

const KEY: &str = "+819012345678";

fn account(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

/// A finished call of this number to this account that another operator had.
pub(crate) fn finished(rig: &Rig, n: u32, of: u128, key: &str) -> FinishedCall {
    let at = rig.app.clock.now();
    FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(account(of)),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some(key.into()),
        presentation: Presentation::Allowed,
        dialled: None,
        diverted_by: None,
        offered_at: at,
        answered_at: Some(at),
        ended_at: at,
        outcome: Outcome::Answered,
        operators: vec![Extension::parse("1002").unwrap()],
        handled_by: Some(vec![rig.user("1002")]),
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    }
}

fn shown(id: RecordId) -> CustomerView {
    CustomerView {
        code: None,
        number: None,
        id,
        name: "田中".into(),
        kana: String::new(),
        company: None,
        department: None,
        notes: None,
        flags: Vec::new(),
    }
}

/// Publishes that the call `n` of [`KEY`] to account 1 rings at 1001.
fn rings(rig: &Rig, n: u32) {
    rings_as(rig, n, None);
}

/// The same; the pop shows this customer.
fn rings_as(rig: &Rig, n: u32, customer: Option<RecordId>) {
    let mut draft = ringing(n, &["1001"], json!({}), rig.app.clock.now());
    let StateDelta::Call(view) = &mut draft.change else { panic!("a call rings") };
    let caller = CallerView { number: Some("090-1234-5678".into()), ..CallerView::default() };
    let of =
        AccountView {
            id: Some(account(1)), name: "株式会社さくら商事".into(), ..AccountView::default()
        };
    let card = Card {
        dialled: None,
        diverted_by: None,
        caller,
        account: of,
        customers: customer.into_iter().map(shown).collect(),
        history: HistoryView::default(),
        link: None,
        script: None,
    };
    Arc::make_mut(view).card = Some(Arc::new(card));
    rig.publish(draft);
}

#[tokio::test]
async fn earlier_calls_are_read_by_the_operator_who_has_the_caller_on_the_phone() {
    let rig = Rig::start().await;
    for (n, of, key) in [(1, 1, KEY), (2, 1, KEY), (3, 1, "+81312345678"), (4, 2, KEY)] {
        rig.app.store.record_call(&finished(&rig, n, of, key)).await.unwrap();
    }
    let path = |of: u128, caller: &str| format!("/v1/history?account={}&caller={caller}", account(of));
    let count = async |who: &str, path: String| -> usize {
        let (status, page) = rig.get(who, &path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["items"].as_array().unwrap().len()
    };
    let of_account_1 = || path(1, "090-1234-5678");
    assert_eq!(count("1001", of_account_1()).await, 0, "they were a colleague's");
    assert_eq!(count("1002", of_account_1()).await, 2);
    rings(&rig, 9);
    assert_eq!(count("1001", of_account_1()).await, 2, "the caller is on the phone");
    assert_eq!(count("1001", path(1, "%2B819012345678")).await, 2, "however it is written");
    for other in
        [path(2, "09012345678"), path(1, "0312345678"), format!("/v1/history?account={}", account(1))]
    {
        assert_eq!(count("1001", other.clone()).await, 0, "{other}");
    }
    rig.end(9);
    assert_eq!(count("1001", of_account_1()).await, 0);
}

#[tokio::test]
async fn a_seat_gives_nobody_the_history_of_those_who_sat_there() {
    let rig = Rig::start().await;
    let at_1002 = finished(&rig, 1, 1, KEY);
    let old = FinishedCall { handled_by: None, ..finished(&rig, 2, 1, KEY) };
    for record in [&at_1002, &old] {
        rig.app.store.record_call(record).await.unwrap();
    }
    let count = async |who: &str| -> usize {
        let (status, page) = rig.get(who, "/v1/history").await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let listed = page["items"].as_array().unwrap().len();
        let mut read = 0;
        for n in 1..=2 {
            read += usize::from(rig.get(who, &format!("/v1/history/{}", call(n))).await.0 == StatusCode::OK);
        }
        assert_eq!(listed, read, "{who}");
        listed
    };
    let everybody =
        async || [count("1001").await, count("1002").await, count("2001").await, count("2002").await];
    assert_eq!(everybody().await, [0, 2, 0, 2]);
    // 1001 moves to the phone 1002, and its owner to another one.
    let seat = |who: &str, extension: &str| {
        let seat = Some(Extension::parse(extension).unwrap());
        rig.app.people.set_seat(rig.user(who), seat, || rig.app.bus.head());
    };
    seat("1002", "1009");
    seat("1001", "1002");
    assert_eq!(everybody().await, [0, 2, 0, 2]);
}

#[tokio::test]
async fn a_record_that_the_reader_may_edit_opens_no_history() {
    let rig = Rig::start().await;
    let customer = RecordId(Uuid::from_u128(77));
    let record = FinishedCall { customer: Some(customer), ..finished(&rig, 1, 1, "+81312345678") };
    rig.app.store.record_call(&record).await.unwrap();
    // 1001 has put the own number into the customer's record, and calls: the pop shows the customer.
    rings_as(&rig, 9, Some(customer));
    for query in [
        format!("account={}&customer={customer}", account(1)),
        format!("account={}&customer={customer}&caller=0312345678", account(1)),
        format!("customer={customer}"),
    ] {
        let (status, page) = rig.get("1001", &format!("/v1/history?{query}")).await;
        assert_eq!((status, &page["items"]), (StatusCode::OK, &json!([])), "{query}");
    }
}

#[tokio::test]
async fn a_number_alone_says_nothing() {
    let rig = Rig::start().await;
    for query in ["caller=09012345678", "account=x", "customer=x", "account=%7B%7D&caller=1"] {
        let (status, problem) = rig.get("admin", &format!("/v1/history?{query}")).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::BAD_REQUEST, &Value::from("invalid-query")),
            "{query}"
        );
    }
}

#[tokio::test]
async fn supervisions_are_read_by_those_who_could_see_them() {
    let rig = Rig::start().await;
    let operator = Extension::parse("1001").unwrap();
    let record = FinishedCall {
        operators: vec![operator.clone(), Extension::parse("1002").unwrap()],
        handled_by: Some(vec![rig.user("1001"), rig.user("1002")]),
        ..finished(&rig, 1, 1, KEY)
    };
    rig.app.store.record_call(&record).await.unwrap();
    // Silently, by the supervisor of team A; openly, by that of team B.
    for (n, supervisor, phone, open) in [(1, "2001", "2001", false), (2, "2002", "2002", true)] {
        let audience = if open { Audience::Operators } else { Audience::SupervisorsOf };
        let segment = SupervisionSegment {
            supervision: SupervisionId(Uuid::from_u128(n)),
            pbx: pbx(),
            call: call(1),
            operator: operator.clone(),
            supervisor: rig.user(supervisor),
            supervisor_name: supervisor.into(),
            extension: Extension::parse(phone).unwrap(),
            mode: Mode::Listen,
            reason: None,
            from: rig.app.clock.now(),
            until: None,
            ending: None,
            audience: audience(vec![operator.clone()]),
        };
        let started = JournalEntry::SegmentChange(SegmentChange::Started(Box::new(segment)));
        rig.app.store.write_entry(&pbx(), &started).await.unwrap();
    }
    let path = format!("/v1/history/{}", call(1));
    for (who, names) in [
        ("1001", vec!["2002"]),
        ("1002", vec![]),
        ("2001", vec!["2001", "2002"]),
        ("2002", vec!["2002"]),
        ("admin", vec!["2001", "2002"]),
        ("crm", vec!["2001", "2002"]),
    ] {
        let (status, body) = rig.get(who, &path).await;
        assert_eq!(status, StatusCode::OK, "{who}: {body}");
        let heard = body["supervisions"].as_array().unwrap();
        let found: Vec<&str> = heard.iter().map(|h| h["supervisor_name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{who}");
        assert!(heard.iter().all(|h| h["mode"] == "listen" && h.get("audience").is_none()), "{body}");
    }
    let (_, page) = rig.get("admin", "/v1/history").await;
    assert!(page["items"][0].get("supervisions").is_none(), "{page}");
}

#[tokio::test]
async fn what_operators_recorded_is_read_with_the_call_by_those_who_read_the_call() {
    let rig = Rig::start().await;
    let operators = vec![Extension::parse("1001").unwrap(), Extension::parse("1002").unwrap()];
    let (account, at) = (account(1), rig.app.clock.now());
    for n in [1, 2] {
        let handled_by = Some(vec![rig.user("1001"), rig.user("1002")]);
        let record = FinishedCall { operators: operators.clone(), handled_by, ..finished(&rig, n, 1, KEY) };
        rig.app.store.record_call(&record).await.unwrap();
    }
    for (who, disposition, notes) in
        [("1001", None, Some("納期は12月3日\n折り返し希望")), ("1002", Some("message"), None)]
    {
        let work = WrapUp {
            call: call(1),
            account: Some(account),
            account_name: "さくら".into(),
            since: at,
            until: at,
            planned_s: 30,
            extensions: Vec::new(),
            set_aside_ms: None,
        };
        let finished = CompletedWrapUp {
            work,
            ended_at: at,
            disposition: disposition.map(Into::into),
            notes: notes.map(Into::into),
        };
        let record = WrapUpRecord { user: rig.user(who), finished };
        rig.app.store.write_entry(&pbx(), &JournalEntry::WrapUp(Box::new(record))).await.unwrap();
    }
    for who in ["1001", "1002", "2001", "2002", "admin", "crm"] {
        let (status, one) = rig.get(who, &format!("/v1/history/{}", call(1))).await;
        assert_eq!(status, StatusCode::OK, "{who}: {one}");
        let (_, page) = rig.get(who, "/v1/history").await;
        let (with, without) = (&page["items"][1], &page["items"][0]);
        let (with, without) = if with["id"] == one["id"] { (with, without) } else { (without, with) };
        assert_eq!(with["wrap_ups"], one["wrap_ups"], "{who}");
        assert_eq!(without["wrap_ups"], json!([]), "{who}");
        let recorded = one["wrap_ups"].as_array().unwrap();
        let by = |name: &str| recorded.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(by("1001")["notes"], "納期は12月3日\n折り返し希望", "{who}");
        assert!(by("1001").get("disposition").is_none(), "{one}");
        assert_eq!(by("1002")["disposition"], "message", "{who}");
    }
}

/// The path with this query, in the encoding of a URL.
fn with(path: &str, query: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params(&format!("http://daemon{path}"), query).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

/// An account with a customer, and these calls: 1 and 2 of the customer, had by 1002 and by 1001; 3 of an unknown caller;
/// 4 of a caller who withholds the number; 5 and 6 to the outside, 5 to the customer. All but 1 are calls of 1001.
async fn with_calls(rig: &Rig) -> RecordId {
    let made = async |path: &str, fields: Value| {
        let (status, made) = rig.send("admin", Method::POST, path, &fields).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        RecordId(made["id"].as_str().unwrap().parse().unwrap())
    };
    let account = made("/v1/accounts", json!({"code": "A001", "name": "さくら商事"})).await;
    let fields = json!({
        "account": account, "name": "髙橋太郎", "kana": "たかはしたろう", "company": "㈱ミナト", "numbers": ["090-1234-5678"],
    });
    let customer = made("/v1/customers", fields).await;
    let own = |n, call: FinishedCall| FinishedCall {
        id: crate::support::ids::call(n),
        account: Some(account),
        operators: vec![Extension::parse("1001").unwrap()],
        handled_by: Some(vec![rig.user("1001")]),
        ..call
    };
    let out = |n, dialled: &str| FinishedCall {
        direction: Direction::Outbound,
        account: None,
        caller: None,
        presentation: Presentation::Unavailable,
        dialled: Some(dialled.into()),
        outcome: Outcome::Blocked,
        answered_at: None,
        ..own(n, finished(rig, n, 1, KEY))
    };
    let of_customer = FinishedCall { customer: Some(customer), ..finished(rig, 1, 1, KEY) };
    let records = [
        FinishedCall { account: Some(account), ..of_customer.clone() },
        own(2, of_customer.clone()),
        own(3, FinishedCall { customer: None, caller: Some("+81312345678".into()), ..of_customer.clone() }),
        own(
            4,
            FinishedCall {
                customer: None,
                caller: None,
                presentation: Presentation::Withheld,
                outcome: Outcome::Abandoned,
                answered_at: None,
                ..of_customer
            },
        ),
        out(5, KEY),
        out(6, "+442079460123"),
    ];
    for record in &records {
        rig.app.store.record_call(record).await.unwrap();
    }
    account
}

/// The numbers of the calls that this question lists.
async fn found(rig: &Rig, who: &str, query: &[(&str, &str)]) -> Vec<u32> {
    let (status, page) = rig.get(who, &with("/v1/history", query)).await;
    assert_eq!(status, StatusCode::OK, "{query:?} {page}");
    let number = |item: &Value| (1..=9).find(|n| item["id"] == json!(call(*n))).unwrap();
    let mut found: Vec<u32> = page["items"].as_array().unwrap().iter().map(number).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_search_finds_a_person_or_a_number_among_the_calls_that_the_reader_may_see() {
    let rig = Rig::start().await;
    let account = with_calls(&rig).await.to_string();
    let names = ["高橋", "髙橋太", "ﾀｶﾊｼ", "タカハシ　タロウ", "ミナト", "株式会社みなと"];
    let numbers =
        ["090-1234-5678", "０９０１２３４５６７８", "+81 90 1234 5678", "tel:09012345678", "(090)1234.5678"];
    let parts = ["5678", "090-1234", "1234-56"];
    for q in names.iter().chain(&numbers).chain(&parts) {
        assert_eq!(found(&rig, "admin", &[("q", q)]).await, [1, 2], "{q}");
        assert_eq!(found(&rig, "1001", &[("q", q)]).await, [2], "{q}");
        assert_eq!(found(&rig, "1002", &[("q", q)]).await, [1], "{q}");
        assert_eq!(found(&rig, "2001", &[("q", q)]).await, [2], "{q}");
        let outbound = [("q", *q), ("direction", "outbound")];
        assert_eq!(found(&rig, "1001", &outbound).await, [5], "{q}");
        assert_eq!(found(&rig, "1002", &outbound).await, [0; 0], "{q}");
    }
    // An unescaped plus is a space.
    let (_, page) = rig.get("1001", "/v1/history?q=+819012345678").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(found(&rig, "1001", &[("q", "03-1234-5678")]).await, [3]);
    assert_eq!(found(&rig, "1001", &[("q", "+44 20 7946 0123"), ("direction", "outbound")]).await, [6]);
    for nobody in ["山田", "090-1234-5679", "・", "9999", "非通知", "withheld"] {
        assert_eq!(found(&rig, "admin", &[("q", nobody)]).await, [0; 0], "{nobody}");
    }
    assert_eq!(found(&rig, "1001", &[("q", "  ")]).await, [2, 3, 4], "no question");
    assert_eq!(found(&rig, "1001", &[("q", "高橋"), ("account", &account)]).await, [2]);
    let other = Uuid::from_u128(9).to_string();
    assert_eq!(found(&rig, "1001", &[("q", "高橋"), ("account", &other)]).await, [0; 0]);
    assert_eq!(found(&rig, "1001", &[("q", "高橋"), ("outcome", "abandoned")]).await, [0; 0]);
}

#[tokio::test]
async fn a_name_of_too_many_is_refused_and_found_in_one_account() {
    let rig = Rig::start().await;
    let account = with_calls(&rig).await.to_string();
    let (status, other) =
        rig.send("admin", Method::POST, "/v1/accounts", &json!({"code": "B", "name": "x"})).await;
    assert_eq!(status, StatusCode::CREATED, "{other}");
    let of_other: Vec<String> = (0..500).map(|n| format!("B,{n},高橋{n}\n")).collect();
    let file = format!("account,code,name\n{}", of_other.concat());
    let options = ImportOptions { kind: ImportKind::Customers, encoding: TextEncoding::Utf8, dry_run: false };
    rig.app.directory.import(std::io::Cursor::new(file), options, rig.app.clock.now()).await.unwrap();
    let (status, problem) = rig.get("1001", &with("/v1/history", &[("q", "高橋")])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["type"], "too-many-matches");
    assert!(problem["detail"].as_str().unwrap().contains("ask for one account"), "{problem}");
    assert_eq!(found(&rig, "1001", &[("q", "高橋"), ("account", &account)]).await, [2]);
    assert_eq!(found(&rig, "1001", &[("q", "高橋太郎")]).await, [2]);
}

/// The rows of a CSV file that this person takes, and its bytes.
async fn file(rig: &Rig, who: &str, query: &[(&str, &str)]) -> (String, Vec<u8>) {
    let response = rig.request(who, Method::GET, &with("/v1/history.csv", query)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{query:?}");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-disposition"), "attachment; filename=\"calls.csv\"");
    (header("content-type"), response.bytes().await.unwrap().to_vec())
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn a_file_has_the_calls_that_the_reader_may_see_in_the_words_of_the_page() {
    let rig = Rig::start().await;
    with_calls(&rig).await;
    let at = rig.app.clock.now();
    let work = WrapUp {
        call: call(2),
        account: None,
        account_name: "さくら商事".into(),
        since: at,
        until: at,
        planned_s: 30,
        extensions: Vec::new(),
        set_aside_ms: None,
    };
    let finished = CompletedWrapUp {
        work,
        ended_at: at,
        disposition: Some("message".into()),
        notes: Some("=HYPERLINK(\"http://x\")\n納期は\"3日\"〜".into()),
    };
    let record = WrapUpRecord { user: rig.user("1001"), finished };
    rig.app.store.write_entry(&pbx(), &JournalEntry::WrapUp(Box::new(record))).await.unwrap();

    let (kind, bytes) = file(&rig, "1001", &[]).await;
    assert_eq!(kind, "text/csv; charset=utf-8; header=present");
    let text = String::from_utf8(bytes).unwrap();
    let all = rows(text.strip_prefix('\u{feff}').unwrap());
    assert_eq!(all[0][..5], ["日時", "着信・発信", "契約先コード", "契約先", "相手の番号"]);
    let row = |n: u32| {
        let row = all.iter().find(|row| row[14] == call(n).to_string());
        row.map(|row| row[1..14].iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(all.len(), 4, "{text}");
    assert_eq!(row(1), None, "a colleague's");
    let notes = "'=HYPERLINK(\"http://x\")\n納期は\"3日\"〜";
    assert_eq!(
        row(2).unwrap(),
        [
            "着信",
            "A001",
            "さくら商事",
            "090-1234-5678",
            "髙橋太郎",
            "",
            "1001",
            "0",
            "0",
            "応答",
            "伝言",
            notes,
            ""
        ]
    );
    assert_eq!(row(4).unwrap()[3], "非通知");
    assert_eq!(row(4).unwrap()[9], "放棄呼");

    let query = [("direction", "outbound"), ("encoding", "cp932"), ("q", "高橋")];
    let (kind, bytes) = file(&rig, "1001", &query).await;
    assert_eq!(kind, "text/csv; charset=shift_jis; header=present");
    let (text, _, is_bad) = SHIFT_JIS.decode(&bytes);
    assert!(!is_bad);
    let all = rows(&text);
    assert_eq!(all.len(), 2, "{text}");
    assert_eq!(all[1][1..5], ["発信", "", "", "090-1234-5678"]);
    assert_eq!(all[1][10], "話中・つながらず");
    let english = file(&rig, "1001", &[("language", "en"), ("direction", "outbound")]).await.1;
    let text = String::from_utf8(english).unwrap();
    assert!(text.contains("\"Time\",\"Direction\"") && text.contains("'+44 20 7946 0123"), "{text}");

    // Who took a file is recorded, and not for whom it looked.
    let (_, trail) = rig.get("admin", "/v1/audit?action=history.exported").await;
    let items = trail["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{trail}");
    assert!(items.iter().all(|one| one["actor_name"] == "1001"), "{trail}");
    assert!(!trail.to_string().contains("高橋"), "{trail}");
}

#[tokio::test]
async fn a_file_with_too_many_calls_is_refused_whole() {
    let rig = Rig::with(Options { history_file_calls: 2, ..Options::default() }).await;
    with_calls(&rig).await;
    let (status, problem) = rig.get("1001", "/v1/history.csv").await;
    assert_eq!((status, &problem["type"]), (StatusCode::BAD_REQUEST, &json!("too-many-matches")));
    assert!(problem["detail"].as_str().unwrap().contains("up to 2 calls"), "{problem}");
    let (_, bytes) = file(&rig, "1001", &[("direction", "outbound")]).await;
    assert_eq!(rows(&String::from_utf8(bytes).unwrap()).len(), 3);
    for query in ["encoding=utf-16", "language=fr", "limit=5", "cursor=x", "caller=1"] {
        let (status, problem) = rig.get("1001", &format!("/v1/history.csv?{query}")).await;
        assert_eq!((status, &problem["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-query")), "{query}");
    }
}

/// As many steps as are due, long after the request.
async fn erase(rig: &Rig) {
    let now = rig.app.clock.now() + jiff::SignedDuration::from_millis(2 * SETTLE_MS);
    loop {
        let step = rig.app.store.erase_step(100, LiveCalls::Known(&[]), rig.app.directory.plan(), now).await;
        if step.unwrap() == ErasureStep::Idle {
            return;
        }
    }
}

/// A message about a call, with what an operator may write down of the caller.
fn message(account: RecordId, n: u32) -> Value {
    let from = json!({ "name": "アヤノコウジ", "number": "090-1234-5678", "number_is": "told" });
    json!({ "account": account, "call": call(n), "text": "秘密の伝言", "subject": "秘密の件", "from": from })
}

fn draft_path() -> String {
    format!("/v1/drafts/{}", call(1))
}

fn draft() -> Value {
    json!({ "body": { "text": "秘密の下書き" } })
}

/// What the readers answer that may show the customer.
async fn answers(rig: &Rig, account: RecordId, customer: RecordId, message: &str) -> String {
    let mut all = String::new();
    for path in [
        "/v1/history".to_owned(),
        format!("/v1/history?customer={customer}"),
        format!("/v1/history?account={account}&caller=09012345678"),
        with("/v1/history", &[("q", "090-1234-5678")]),
        format!("/v1/history/{}", call(1)),
        "/v1/messages".to_owned(),
        with("/v1/messages", &[("q", "秘密")]),
        message.to_owned(),
        format!("{message}/revisions"),
        format!("/v1/customers?account={account}"),
    ] {
        let (status, answer) = rig.get("admin", &path).await;
        assert_eq!(status, StatusCode::OK, "{path} {answer}");
        all += &answer.to_string();
    }
    all += &rig.get("1002", "/v1/drafts").await.1.to_string();
    all + &rig.get("1002", &draft_path()).await.1.to_string()
}

/// How many calls a search by the customer's number finds, and a file of them has.
async fn calls_of_number(rig: &Rig) -> usize {
    let query = [("q", "090-1234-5678")];
    let (_, bytes) = file(rig, "admin", &query).await;
    let (_, page) = rig.get("admin", &with("/v1/history", &query)).await;
    let listed = page["items"].as_array().unwrap().len();
    let lines = rows(&String::from_utf8(bytes).unwrap()).len();
    assert_eq!(lines, listed + 1, "the heading and a row for each");
    listed
}

/// An operator still has the texts on the screen, and sends them again.
async fn nothing_is_written(rig: &Rig, account: RecordId, path: &str) {
    let correction = json!({ "text": "秘密の伝言", "why": "秘密の件", "version": 1 });
    for (method, path, body) in [
        (Method::PATCH, path.to_owned(), json!({ "text": "秘密の伝言" })),
        (Method::POST, format!("{path}/corrections"), correction),
        (Method::POST, format!("{path}/undo"), json!({})),
    ] {
        let (status, problem) = rig.send("1002", method, &path, &body).await;
        let found = (status, &problem["type"]);
        assert_eq!(found, (StatusCode::CONFLICT, &json!("message-not-open")), "{path} {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("data of its caller"), "{problem}");
    }
    let (status, problem) = rig.send("1002", Method::POST, "/v1/messages", &message(account, 2)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("leave the call out"), "{problem}");
    let (status, problem) = rig.send("1002", Method::PUT, &draft_path(), &draft()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
}

#[tokio::test]
async fn a_customer_who_is_being_erased_is_in_no_answer_and_nothing_comes_back_later() {
    let rig = Rig::start().await;
    let fields = json!({ "code": "A", "name": "さくら" });
    let (_, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    let of: RecordId = serde_json::from_value(made["id"].clone()).unwrap();
    let fields = json!({ "account": of, "name": "綾小路", "numbers": ["０９０－１２３４－５６７８"] });
    let (status, customer) = rig.send("admin", Method::POST, "/v1/customers", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{customer}");
    let customer: RecordId = serde_json::from_value(customer["id"].clone()).unwrap();
    for n in [1, 2] {
        let record =
            FinishedCall { customer: Some(customer), account: Some(of), ..finished(&rig, n, 1, KEY) };
        rig.app.store.record_call(&record).await.unwrap();
    }
    let (status, taken) = rig.send("1002", Method::POST, "/v1/messages", &message(of, 1)).await;
    assert_eq!((status, &taken["caller"]), (StatusCode::CREATED, &json!(KEY)), "{taken}");
    let path = format!("/v1/messages/{}", taken["id"].as_str().unwrap());
    let (status, written) = rig.send("1002", Method::PUT, &draft_path(), &draft()).await;
    assert_eq!(status, StatusCode::OK, "{written}");
    let id = customer.to_string();
    let secrets =
        ["秘密の伝言", "秘密の件", "秘密の下書き", "アヤノコウジ", "090-1234-5678", "綾小路", KEY, &id];
    let before = answers(&rig, of, customer, &path).await;
    assert!(secrets.iter().all(|secret| before.contains(secret)), "{before}");
    assert_eq!(calls_of_number(&rig).await, 2);
    let now = rig.app.clock.now();
    rig.app.store.forget_customer(customer, rig.app.directory.plan(), now).await.unwrap();
    let at_once = answers(&rig, of, customer, &path).await;
    assert!(secrets.iter().all(|secret| !at_once.contains(secret)), "{at_once}");
    assert_eq!(calls_of_number(&rig).await, 0);
    let status = rig.app.store.erasure_status().await.unwrap();
    rig.app.store.erasure_progress().set(status);
    let (_, ready) = answer(rig.bare(Method::GET, "/readyz").send().await.unwrap()).await;
    let erasures = (&ready["erasures"]["left"], &ready["erasures"]["waiting"]);
    assert_eq!(erasures, (&json!(1), &json!(0)), "{ready}");
    assert_eq!(ready["purge"], json!(null));
    rig.app.store.purge_progress().add(7, now);
    let (_, ready) = answer(rig.bare(Method::GET, "/readyz").send().await.unwrap()).await;
    assert_eq!(ready["purge"]["rows"], json!(7), "{ready}");
    rig.app.store.purge_progress().finish();
    nothing_is_written(&rig, of, &path).await;
    erase(&rig).await;
    nothing_is_written(&rig, of, &path).await;
    let acknowledge = json!({ "state": "acknowledged" });
    let (status, message) = rig.send("1002", Method::PATCH, &path, &acknowledge).await;
    assert_eq!((status, &message["text"]), (StatusCode::OK, &json!("")), "{message}");
    let after = answers(&rig, of, customer, &path).await;
    assert!(secrets.iter().all(|secret| !after.contains(secret)), "{after}");
    assert_eq!(calls_of_number(&rig).await, 0);
}
