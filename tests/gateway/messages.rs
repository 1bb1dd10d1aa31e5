//! Messages over HTTP: saved once, during a call or without one; edited, acknowledged, published.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{CallState, CallView, Direction, Outcome};
use toritsugi::contract::card::{AccountView, CallerView, Card, CustomerView, MatchedBy};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::history::FinishedCall;
use toritsugi::contract::operator::{ChangedBy, StateView, WrapUp};
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::numbers::NumberPlan;

use crate::support::client::Sse;
use crate::support::gateway_rig::{Options, Rig, answer};
use crate::support::ids::{call, pbx};

pub(crate) const MESSAGES: &str = "/v1/messages";

/// An account, one of its customers and one of its contacts.
pub(crate) struct Service {
    pub(crate) rig: Rig,
    pub(crate) account: String,
    pub(crate) customer: String,
    pub(crate) contact: String,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let rig = Rig::with(options).await;
        let made = async |path: &str, fields: Value| {
            let (status, made) = rig.send("admin", Method::POST, path, &fields).await;
            assert_eq!(status, StatusCode::CREATED, "{made}");
            made["id"].as_str().unwrap().to_owned()
        };
        let account = made("/v1/accounts", json!({"code": "A001", "name": "さくら商事"})).await;
        let customer = made("/v1/customers", json!({"account": account, "name": "田中"})).await;
        let contact = made("/v1/contacts", json!({"account": account, "name": "佐藤"})).await;
        Self { rig, account, customer, contact }
    }

    fn id(text: &str) -> RecordId {
        serde_json::from_value(json!(text)).unwrap()
    }

    /// The `n`th call is with `operator`.
    pub(crate) fn talks(&self, n: u32, operator: &str, caller: CallerView) -> CallView {
        let customer = CustomerView {
            id: Self::id(&self.customer),
            name: "田中".into(),
            kana: String::new(),
            company: None,
            department: None,
            notes: None,
            flags: Vec::new(),
            code: None,
            number: None,
        };
        let card = Card {
            dialled: None,
            diverted_by: None,
            caller,
            account: AccountView {
                id: Some(Self::id(&self.account)),
                matched_by: MatchedBy::Dialled,
                ..AccountView::default()
            },
            customers: vec![customer],
            history: Default::default(),
            link: None,
            script: None,
        };
        let (at, operator) = (self.rig.app.clock.now(), Extension::parse(operator).unwrap());
        let view = CallView {
            id: call(n),
            pbx: pbx(),
            direction: Direction::Inbound,
            state: CallState::Answered,
            offered_at: at,
            answered_at: Some(at),
            ended_at: None,
            presented_to: Vec::new(),
            operator: Some(operator.clone()),
            handled_by: Vec::new(),
            outcome: None,
            card: Some(Arc::new(card)),
            queue: None,
            treatment: None,
            guidance: None,
            inferred: false,
        };
        self.rig.publish(NewEvent {
            kind: EventKind::CallAnswered,
            at,
            call: Some(view.id),
            audience: Audience::Operators(vec![operator]),
            data: json!({}),
            change: StateDelta::Call(Arc::new(view.clone())),
        });
        view
    }

    pub(crate) async fn take(&self, who: &str, body: &Value, key: Option<&str>) -> (StatusCode, Value) {
        let mut request = self.rig.request(who, Method::POST, MESSAGES).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        answer(request.send().await.unwrap()).await
    }

    async fn count(&self) -> usize {
        let (_, page) = self.rig.get("admin", "/v1/messages?limit=500").await;
        page["items"].as_array().unwrap().len()
    }
}

pub(crate) fn shown(number: &str) -> CallerView {
    CallerView { number: Some(number.into()), presentation: Presentation::Allowed, ..CallerView::default() }
}

pub(crate) async fn next_of(events: &mut Sse, kind: &str) -> Value {
    loop {
        let event = events.next().await.unwrap();
        if event["kind"] == kind {
            return event;
        }
    }
}

#[tokio::test]
async fn a_message_of_a_call_knows_for_whom_and_from_whom_it_is() {
    let service = Service::start().await;
    let rig = &service.rig;
    let mut own = rig.follow("1001", None).await;
    let mut supervisor = rig.follow("2001", None).await;
    service.talks(1, "1001", shown("090-1234-5678"));
    let body = json!({"call": call(1).to_string(), "contact": service.contact, "text": " 折り返し\r\n希望 "});
    let (status, message) = service.take("1001", &body, None).await;
    assert_eq!(status, StatusCode::CREATED, "{message}");
    assert_eq!(
        [
            &message["account"],
            &message["customer"],
            &message["contact"],
            &message["caller"],
            &message["text"]
        ],
        [&service.account, &service.customer, &service.contact, "+819012345678", "折り返し\n希望"]
    );
    assert_eq!(message["taken_by"], json!(rig.user("1001")));
    assert_eq!((&message["taken_by_name"], &message["state"]), (&json!("1001"), &json!("open")));
    for events in [&mut own, &mut supervisor] {
        let event = next_of(events, "message.saved").await;
        assert_eq!((&event["data"], &event["call"]), (&message, &json!(call(1))));
    }
    // Every operator may take the account's next call, and so may acknowledge.
    let path = format!("{MESSAGES}/{}", message["id"].as_str().unwrap());
    assert_eq!(rig.get("1002", &path).await, (StatusCode::OK, message.clone()));
    let (status, over) = rig.send("1002", Method::PATCH, &path, &json!({"state": "acknowledged"})).await;
    assert_eq!((status, &over["state"]), (StatusCode::OK, &json!("acknowledged")), "{over}");
    assert_eq!(over["acknowledged_by"], json!(rig.user("1002")));
    assert_eq!(next_of(&mut own, "message.acknowledged").await["data"], over);
    // A repetition changes nothing.
    let again = rig.send("1001", Method::PATCH, &path, &json!({"state": "acknowledged"})).await;
    assert_eq!(again, (StatusCode::OK, over));
    let (status, problem) = rig.send("1001", Method::PATCH, &path, &json!({"text": "x"})).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("message-not-open")));
}

#[tokio::test]
async fn a_withheld_number_is_in_no_message() {
    let service = Service::start().await;
    let mut events = service.rig.follow("admin", None).await;
    let caller = CallerView { presentation: Presentation::Withheld, ..CallerView::default() };
    service.talks(1, "1001", caller);
    let body = json!({"call": call(1).to_string(), "text": "また電話する"});
    let (status, message) = service.take("1001", &body, None).await;
    assert_eq!((status, message.get("caller")), (StatusCode::CREATED, None), "{message}");
    assert_eq!(next_of(&mut events, "message.saved").await["data"].get("caller"), None);
    // The client cannot set the number of a withheld caller either.
    let (status, _) = service.take("1001", &json!({"text": "x", "caller": "09011112222"}), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_message_may_come_after_the_call_is_over_or_goes_on_elsewhere() {
    let service = Service::start().await;
    let rig = &service.rig;
    let mut view = service.talks(1, "1001", shown("09012345678"));
    let body = json!({"call": call(1).to_string(), "text": "後から"});
    // The call continues at another operator's phone while the first operator is in wrap-up.
    service.talks(1, "1002", shown("09012345678"));
    let (status, problem) = service.take("1001", &body, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "the operator does not see it: {problem}");
    let work = |n| WrapUp {
        call: call(n),
        account: None,
        account_name: "さくら".into(),
        since: rig.app.clock.now(),
        until: rig.app.clock.now(),
        planned_s: 30,
        extensions: Vec::new(),
        set_aside_ms: None,
    };
    // It is the last call whose disposition is open, or one before it.
    for (undisposed, undisposed_work) in [(1, vec![work(1)]), (2, vec![work(1), work(2)])] {
        let mut state = StateView::unknown(rig.user("1001"), "1001".into(), Extension::parse("1001").ok());
        (state.undisposed, state.undisposed_work) = (Some(call(undisposed)), undisposed_work);
        state.by = ChangedBy::default();
        rig.publish(NewEvent {
            kind: EventKind::OperatorState,
            at: rig.app.clock.now(),
            call: None,
            audience: Audience::Operators(vec![Extension::parse("1001").unwrap()]),
            data: json!({}),
            change: StateDelta::Operator(Arc::new(state)),
        });
        let (status, message) = service.take("1001", &body, None).await;
        assert_eq!((status, &message["caller"]), (StatusCode::CREATED, &json!("+819012345678")), "{message}");
    }
    // The call is over; its record is written a moment later.
    rig.end(1);
    let taking = service.take("1002", &body, None);
    let recording = async {
        tokio::task::yield_now().await;
        (view.ended_at, view.outcome) = (Some(rig.app.clock.now()), Some(Outcome::Answered));
        view.operator = Extension::parse("1002").ok();
        rig.app.store.record_call(&FinishedCall::of(&view, &NumberPlan::default())).await.unwrap();
    };
    let ((status, message), ()) = tokio::join!(taking, recording);
    assert_eq!((status, &message["customer"]), (StatusCode::CREATED, &json!(service.customer)), "{message}");
    let (_, page) = rig.get("2001", &format!("{MESSAGES}?call={}", call(1))).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_repeated_request_makes_one_message_over_a_restart_too() {
    let service = Service::start().await;
    let body = json!({"account": service.account, "text": "一度だけ"});
    let (status, first) = service.take("1001", &body, Some("k1")).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    assert_eq!(
        service.take("1001", &body, Some("k1")).await,
        (StatusCode::CREATED, first.clone()),
        "the kept answer"
    );
    // The gateway forgets its answers after an hour, as after a crash.
    service.rig.advance(std::time::Duration::from_secs(3_601));
    assert_eq!(service.take("1001", &body, Some("k1")).await, (StatusCode::OK, first.clone()));
    service.rig.advance(std::time::Duration::from_secs(3_601));
    let other = json!({"account": service.account, "text": "別の伝言"});
    let (status, problem) = service.take("1001", &other, Some("k1")).await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency-key-reused"))
    );
    // The same key of another user is another key.
    let (status, second) = service.take("1002", &body, Some("k1")).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(service.count().await, 2);
}

#[tokio::test]
async fn only_those_concerned_change_a_text_and_only_an_administrator_deletes() {
    let service = Service::start().await;
    let rig = &service.rig;
    let body = json!({"account": service.account, "text": "一"});
    let (_, message) = service.take("1001", &body, None).await;
    let path = format!("{MESSAGES}/{}", message["id"].as_str().unwrap());
    for (who, wanted) in [
        ("1001", StatusCode::OK),
        ("2001", StatusCode::OK),
        ("admin", StatusCode::OK),
        ("1002", StatusCode::FORBIDDEN),
        ("2002", StatusCode::FORBIDDEN),
        ("crm", StatusCode::FORBIDDEN),
    ] {
        let text = format!("{who} の訂正");
        let (status, changed) = rig.send(who, Method::PATCH, &path, &json!({"text": text})).await;
        assert_eq!(status, wanted, "{who}: {changed}");
        if status == StatusCode::OK {
            assert_eq!(changed["text"], text);
        }
    }
    for (who, wanted) in [
        ("1001", StatusCode::FORBIDDEN),
        ("2001", StatusCode::FORBIDDEN),
        ("crm", StatusCode::FORBIDDEN),
        ("admin", StatusCode::NO_CONTENT),
        ("admin", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(rig.send(who, Method::DELETE, &path, &Value::Null).await.0, wanted, "{who}");
    }
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.bare(Method::GET, MESSAGES).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_narrowed() {
    let service = Service::start().await;
    let rig = &service.rig;
    service.talks(1, "1001", shown("09012345678"));
    for n in 0..5 {
        let of_call = if n == 3 { json!(call(1).to_string()) } else { Value::Null };
        let body = json!({"account": service.account, "call": of_call, "text": format!("伝言{n}")});
        assert_eq!(service.take("1001", &body, None).await.0, StatusCode::CREATED);
        rig.advance(std::time::Duration::from_millis(1));
    }
    let (mut texts, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = rig.get("1002", &format!("{MESSAGES}?limit=2{cursor}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        texts
            .extend(page["items"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(texts, ["伝言4", "伝言3", "伝言2", "伝言1", "伝言0"]);
    for (query, wanted) in [
        ("caller=090-1234-5678".to_owned(), 1),
        ("caller=%2B819012345678".into(), 1),
        (format!("call={}&state=open", call(1)), 1),
        (format!("account={}&state=open", service.account), 5),
        ("state=acknowledged".into(), 0),
        (format!("account={}", service.customer), 0),
    ] {
        let (status, page) = rig.get("1001", &format!("{MESSAGES}?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {page}");
        assert_eq!(page["items"].as_array().unwrap().len(), wanted, "{query}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_makes_no_message() {
    let service = Service::start().await;
    let rig = &service.rig;
    let nobody = "00000000-0000-4000-8000-000000000000";
    let (_, other) =
        rig.send("admin", Method::POST, "/v1/accounts", &json!({"code": "B", "name": "別"})).await;
    let account = &service.account;
    for body in [
        json!({}),
        json!({"text": "宛先なし"}),
        json!({"account": account}),
        json!({"account": account, "text": ""}),
        json!({"account": account, "text": " \u{200b}\r\n"}),
        json!({"account": account, "text": "あ".repeat(4_001)}),
        json!({"account": account, "text": 7}),
        json!({"account": nobody, "text": "x"}),
        json!({"account": "A001", "text": "x"}),
        json!({"account": account, "customer": nobody, "text": "x"}),
        json!({"account": other["id"], "customer": service.customer, "text": "x"}),
        json!({"account": other["id"], "contact": service.contact, "text": "x"}),
        json!({"account": account, "call": nobody, "text": "x"}),
        json!({"account": account, "text": "x", "taken_by": nobody}),
        json!({"account": account, "text": "x", "state": "acknowledged"}),
        json!([]),
    ] {
        let (status, problem) = service.take("1001", &body, None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {problem}");
        assert_eq!(problem["type"], "invalid-body", "{body}: {problem}");
    }
    for query in ["state=gone", "caller=abc", "account=A001", "call=1", "limit=0", "cursor=x", "taker=1"] {
        let (status, problem) = rig.get("1001", &format!("{MESSAGES}?{query}")).await;
        assert_eq!((status, &problem["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-query")), "{query}");
    }
    let (_, message) = service.take("1001", &json!({"account": account, "text": "一"}), None).await;
    let path = format!("{MESSAGES}/{}", message["id"].as_str().unwrap());
    for patch in [
        json!({}),
        json!({"text": ""}),
        json!({"state": "open"}),
        json!({"state": "sent"}),
        json!({"account": account}),
        json!({"text": "x", "taken_by": nobody}),
    ] {
        let (status, problem) = rig.send("1001", Method::PATCH, &path, &patch).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{patch}: {problem}");
    }
    for path in [format!("{MESSAGES}/{nobody}"), format!("{MESSAGES}/x")] {
        assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
        let patched = rig.send("1001", Method::PATCH, &path, &json!({"text": "x"})).await;
        assert_eq!(patched.0, StatusCode::NOT_FOUND, "{}", patched.1);
        let patched = rig.send("1001", Method::PATCH, &path, &json!({"state": "acknowledged"})).await;
        assert_eq!(patched.0, StatusCode::NOT_FOUND, "{}", patched.1);
    }
    assert_eq!(rig.get("1001", &path).await, (StatusCode::OK, message));
    assert_eq!(service.count().await, 1);
}
