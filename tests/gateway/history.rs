//! Finished calls: whose calls a user may read, and which more while their caller is on the phone.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::{AccountView, CallerView, Card, CustomerView, HistoryView, MatchedBy};
use toritsugi::contract::event::{Audience, StateDelta};
use toritsugi::contract::history::FinishedCall;
use toritsugi::contract::operator::WrapUp;
use toritsugi::contract::supervision::{Mode, SupervisionId, SupervisionSegment};
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::journal::{JournalEntry, SegmentChange, WrapUpRecord};
use toritsugi::operators::CompletedWrapUp;
use toritsugi::store::erasure::{ErasureStep, LiveCalls, SETTLE_MS};
use uuid::Uuid;

use crate::support::gateway_rig::{Rig, answer, ringing};
use crate::support::ids::{call, pbx};

const KEY: &str = "+819012345678";

fn account(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

/// A finished call of this number to this account that another operator had.
fn finished(rig: &Rig, n: u32, of: u128, key: &str) -> FinishedCall {
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
    let message = |text: &str, n: u32| json!({ "account": of, "call": call(n), "text": text });
    let (status, taken) = rig.send("1002", Method::POST, "/v1/messages", &message("秘密の伝言", 1)).await;
    assert_eq!((status, &taken["caller"]), (StatusCode::CREATED, &json!(KEY)), "{taken}");
    let message_path = format!("/v1/messages/{}", taken["id"].as_str().unwrap());
    let answers = async || {
        let mut all = String::new();
        for path in [
            "/v1/history".to_owned(),
            format!("/v1/history?customer={customer}"),
            format!("/v1/history?account={of}&caller=09012345678"),
            format!("/v1/history/{}", call(1)),
            "/v1/messages".to_owned(),
            message_path.clone(),
            format!("/v1/customers?account={of}"),
        ] {
            all += &rig.get("admin", &path).await.1.to_string();
        }
        all
    };
    let secrets = ["秘密の伝言", "綾小路", KEY, &customer.to_string()];
    let before = answers().await;
    assert!(secrets.iter().all(|secret| before.contains(secret)), "{before}");
    let now = rig.app.clock.now();
    rig.app.store.forget_customer(customer, rig.app.directory.plan(), now).await.unwrap();
    let at_once = answers().await;
    assert!(secrets.iter().all(|secret| !at_once.contains(secret)), "{at_once}");
    let status = rig.app.store.erasure_status().await.unwrap();
    rig.app.store.erasure_progress().set(status);
    let (_, ready) = answer(rig.bare(Method::GET, "/readyz").send().await.unwrap()).await;
    assert_eq!(
        (&ready["erasures"]["left"], &ready["erasures"]["waiting"]),
        (&json!(1), &json!(0)),
        "{ready}"
    );
    // An operator still has the text on the screen, and changes it.
    let change = json!({ "text": "秘密の伝言" });
    let (status, problem) = rig.send("1002", Method::PATCH, &message_path, &change).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("message-not-open")), "{problem}");
    erase(&rig).await;
    let (status, problem) = rig.send("1002", Method::PATCH, &message_path, &change).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("message-not-open")), "{problem}");
    let (status, problem) = rig.send("1002", Method::POST, "/v1/messages", &message("秘密の伝言", 2)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("leave the call out"), "{problem}");
    let acknowledge = json!({ "state": "acknowledged" });
    let (status, message) = rig.send("1002", Method::PATCH, &message_path, &acknowledge).await;
    assert_eq!((status, &message["text"]), (StatusCode::OK, &json!("")), "{message}");
    let after = answers().await;
    assert!(secrets.iter().all(|secret| !after.contains(secret)), "{after}");
}
