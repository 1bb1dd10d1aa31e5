//! What operators and supervisors tell each other: notices of accounts, where contacts are, who calls a caller back, how many
//! wait; the rules of contacts, which transfers respect; and recorded pronunciations.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use toritsugi::command::{Answer, Command, CommandRequest};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall};
use toritsugi::contract::transfer::{Mode, State, TargetView, TransferId, TransferView};
use toritsugi::identity::Presentation;
use toritsugi::transfer;

use crate::messages::{Service, next_of, shown};
use crate::support::gateway_rig::Rig;
use crate::support::ids::{call, extension, pbx};

const NOTICES: &str = "/v1/notices";

async fn account(rig: &Rig) -> String {
    let fields =
        json!({ "code": "A001", "name": "さくら商事", "dialled": ["0355501001"], "notes": "社長は伝言のみ" });
    let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_notice_of_an_operator_is_on_the_next_pop_and_on_every_desktop() {
    let rig = Rig::start().await;
    let account = account(&rig).await;
    let mut others = rig.follow("1002", None).await;
    let explain = "/v1/explain?dialled=0355501001";
    assert_eq!(rig.get("1001", explain).await.1["card"]["account"].get("notices"), None);

    let body = json!({ "account": account, "text": " 社長は終日外出\u{202e}（18時まで） " });
    let (status, made) = rig.send("1001", Method::POST, NOTICES, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!((&made["text"], &made["by_name"]), (&json!("社長は終日外出（18時まで）"), &json!("1001")));
    let until: Timestamp = made["until"].as_str().unwrap().parse().unwrap();
    let until = until.to_zoned(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap());
    assert_eq!((until.hour(), until.minute()), (0, 0), "without a time it ends with the day");
    let card = |why: &Value| why["card"]["account"]["notices"].clone();
    assert_eq!(card(&rig.get("1001", explain).await.1), json!([made]));
    let event = next_of(&mut others, "notice.changed").await;
    assert_eq!(event["data"], json!({ "account": account, "notices": [made] }));
    assert_eq!(rig.get("1002", &format!("{NOTICES}?account={account}")).await.1, json!({ "items": [made] }));

    // Another operator corrects it, and ends it. The standing notes stay what they are.
    let path = format!("{NOTICES}/{}", made["id"].as_str().unwrap());
    let (status, changed) =
        rig.send("1002", Method::PATCH, &path, &json!({ "text": "社長は15時に戻り" })).await;
    assert_eq!((status, &changed["by_name"]), (StatusCode::OK, &json!("1002")), "{changed}");
    assert_eq!(changed["until"], made["until"]);
    assert_eq!(next_of(&mut others, "notice.changed").await["data"]["notices"], json!([changed]));
    assert_eq!(rig.send("1001", Method::DELETE, &path, &json!(null)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(next_of(&mut others, "notice.changed").await["data"]["notices"], json!([]));
    let (_, why) = rig.get("1001", explain).await;
    assert_eq!((card(&why), &why["card"]["account"]["notes"]), (Value::Null, &json!("社長は伝言のみ")));
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.send("1001", Method::DELETE, &path, &json!(null)).await.0, StatusCode::NOT_FOUND);

    let (_, trail) = rig.get("admin", "/v1/audit?action=notice.created").await;
    assert_eq!((&trail["items"][0]["subject_id"], trail.to_string().contains("社長")), (&made["id"], false));
}

#[tokio::test]
async fn a_notice_that_is_over_is_on_no_pop_and_what_is_no_notice_is_refused() {
    let rig = Rig::start().await;
    let account = account(&rig).await;
    let now = rig.app.clock.now();
    let soon = now.saturating_add(std::time::Duration::from_secs(600)).unwrap();
    let body = json!({ "account": account, "text": "会議中", "until": soon.to_string() });
    assert_eq!(rig.send("2001", Method::POST, NOTICES, &body).await.0, StatusCode::CREATED);
    assert_eq!(rig.get("1001", NOTICES).await.1["items"].as_array().unwrap().len(), 1);
    rig.advance(std::time::Duration::from_secs(601));
    assert_eq!(rig.get("1001", NOTICES).await.1, json!({ "items": [] }));
    let (_, why) = rig.get("1001", "/v1/explain?dialled=0355501001").await;
    assert_eq!(why["card"]["account"].get("notices"), None);

    let nobody = uuid::Uuid::nil();
    for (body, detail) in [
        (json!({ "account": account, "text": " " }), "text: must not be empty"),
        (json!({ "account": account, "text": "あ".repeat(301) }), "text: longer than 300 characters"),
        (
            json!({ "account": account, "text": "x", "until": now.to_string() }),
            "until: write a time after from, in the future",
        ),
        (json!({ "account": nobody, "text": "x" }), "account: there is no such account"),
    ] {
        let (status, problem) = rig.send("1001", Method::POST, NOTICES, &body).await;
        assert_eq!(
            (status, &problem["detail"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(detail)),
            "{body}"
        );
    }
    for n in 0..21 {
        let body = json!({ "account": account, "text": format!("{n}") });
        let (status, problem) = rig.send("1001", Method::POST, NOTICES, &body).await;
        assert_eq!(status.is_success(), n < 20, "{n} {problem}");
        assert!(n < 20 || problem["type"] == json!("value-taken"), "{problem}");
    }
}

#[tokio::test]
async fn where_a_contact_is_says_who_wrote_it_and_stays_through_a_change_of_the_record() {
    let rig = Rig::start().await;
    let account = account(&rig).await;
    let fields = json!({ "account": account, "name": "佐々木", "do_not_tell": true });
    let (_, contact) = rig.send("admin", Method::POST, "/v1/contacts", &fields).await;
    assert_eq!((&contact["do_not_tell"], contact.get("presence")), (&json!(true), None));
    let id = contact["id"].as_str().unwrap();
    let mut others = rig.follow("1002", None).await;
    let path = format!("/v1/contacts/{id}/presence");
    let until = rig.app.clock.now().saturating_add(std::time::Duration::from_secs(7_200)).unwrap();
    let until = json!(format!("{until:.3}"));
    let (status, out) =
        rig.send("1001", Method::PUT, &path, &json!({ "state": "out", "until": until })).await;
    assert_eq!(status, StatusCode::OK, "{out}");
    let presence = &out["presence"];
    assert_eq!(
        (&presence["state"], &presence["by_name"], &presence["until"]),
        (&json!("out"), &json!("1001"), &until)
    );
    let event = next_of(&mut others, "contact.presence").await;
    assert_eq!(event["data"], json!({ "account": account, "contact": id, "presence": presence }));
    let (_, renamed) =
        rig.send("admin", Method::PATCH, &format!("/v1/contacts/{id}"), &json!({ "role": "部長" })).await;
    assert_eq!((&renamed["presence"], &renamed["role"]), (presence, &json!("部長")));
    for bad in [json!({ "state": "gone" }), json!({ "state": "out", "until": "2000-01-01T00:00:00Z" })] {
        assert_eq!(
            rig.send("1001", Method::PUT, &path, &bad).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{bad}"
        );
    }
    let nobody = format!("/v1/contacts/{}/presence", uuid::Uuid::nil());
    let missing = rig.send("1001", Method::PUT, &nobody, &json!({ "state": "in" })).await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND);
}

/// Begins every transfer that it is asked for, and passes its plan on.
async fn begin_transfers(
    mut commands: mpsc::Receiver<CommandRequest>,
    plans: mpsc::Sender<transfer::Plan>,
    at: Timestamp,
) {
    while let Some(CommandRequest { command, reply, .. }) = commands.recv().await {
        let Command::Transfer(transfer::Command::Begin { call, mode, plan }) = command else { continue };
        let view = TransferView {
            id: TransferId::derive(call, at),
            call,
            mode,
            state: State::Trying,
            operator: extension("1001"),
            targets: vec![TargetView::Number { number: "03-1234-5678".into() }],
            attempts: Vec::new(),
            requested_at: at,
            completed_at: None,
            ended_at: None,
            outcome: None,
            talked_s: None,
            returned_to: None,
            inferred: false,
        };
        let _ = reply.send(Ok(Answer::Transfers(vec![view])));
        let _ = plans.send(plan).await;
    }
}

#[tokio::test]
async fn a_caller_goes_to_a_contact_who_takes_no_calls_only_where_a_supervisor_says_so() {
    let mut service = Service::start().await;
    let (plans, mut begun) = mpsc::channel(8);
    let commands = service.rig.commands.take().unwrap();
    tokio::spawn(begin_transfers(commands, plans, service.rig.app.clock.now()));
    let rig = &service.rig;
    let rule = json!({ "number": "03-1111-2222", "no_transfer": true });
    let contact = format!("/v1/contacts/{}", service.contact);
    assert_eq!(rig.send("admin", Method::PATCH, &contact, &rule).await.0, StatusCode::OK);
    service.talks(1, "1001", shown("090-1234-5678"));
    let path = format!("/v1/calls/{}/transfers", call(1));
    let named = format!("contact:{}", service.contact);
    for to in [named.as_str(), "0311112222"] {
        for who in ["1001", "2001", "admin"] {
            let (status, problem) = rig.send(who, Method::POST, &path, &json!({ "to": to })).await;
            assert_eq!(
                (status, &problem["type"]),
                (StatusCode::CONFLICT, &json!("contact-takes-no-calls")),
                "{to}"
            );
            assert!(problem["detail"].as_str().unwrap().contains("佐藤"), "{problem}");
        }
    }
    let over = json!({ "to": named, "mode": "consult", "override_rules": true });
    let (status, problem) = rig.send("1001", Method::POST, &path, &over).await;
    assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("not-permitted")));
    assert!(begun.try_recv().is_err(), "no caller was transferred");
    let (status, transfer) = rig.send("2001", Method::POST, &path, &over).await;
    assert_eq!((status, &transfer["mode"]), (StatusCode::CREATED, &json!(Mode::Consult)), "{transfer}");
    assert_eq!(begun.recv().await.unwrap().targets[0].dial.as_deref(), Some("0311112222"));
    let (_, trail) = rig.get("admin", "/v1/audit?action=transfer.rule_overridden").await;
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
    assert_eq!(trail["items"][0]["details"]["contact"], json!(service.contact), "{trail}");
}

/// The call `n` of this caller to the account, which ended so.
async fn ended(rig: &Rig, n: u32, account: &str, outcome: Outcome, offered_at: Timestamp) {
    let call = FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(serde_json::from_value(json!(account)).unwrap()),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some("+819012345678".into()),
        presentation: Presentation::Allowed,
        dialled: None,
        diverted_by: None,
        offered_at,
        answered_at: (outcome == Outcome::Answered).then_some(offered_at),
        ended_at: offered_at.saturating_add(std::time::Duration::from_secs(20)).unwrap(),
        outcome,
        operators: Vec::new(),
        handled_by: Some(Vec::new()),
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    };
    rig.app.store.record_call(&call).await.unwrap();
}

#[tokio::test]
async fn a_caller_who_hung_up_is_called_back_by_one_person_and_is_off_the_list_when_answered() {
    let rig = Rig::start().await;
    let account = account(&rig).await;
    let now = rig.app.clock.now();
    let ago = |minutes: i64| now.checked_sub(jiff::SignedDuration::from_mins(minutes)).unwrap();
    ended(&rig, 1, &account, Outcome::Abandoned, ago(30)).await;
    ended(&rig, 2, &account, Outcome::Abandoned, ago(10)).await;
    ended(&rig, 3, &account, Outcome::Abandoned, ago(25 * 60)).await;
    let list = async |who: &str| rig.get(who, "/v1/callbacks").await.1["items"].as_array().unwrap().clone();
    let mut board = rig.follow("2001", None).await;
    let open = list("2001").await;
    assert_eq!(open.len(), 1, "one caller, once: {open:?}");
    assert_eq!(
        (&open[0]["call"], &open[0]["times"], &open[0]["waited_ms"]),
        (&json!(call(2)), &json!(2), &json!(20_000))
    );
    assert_eq!((&open[0]["state"], &open[0]["account_name"]), (&json!("open"), &json!("さくら商事")));
    assert_eq!(list("1001").await, Vec::<Value>::new(), "nobody's call is for supervisors");

    let path = format!("/v1/callbacks/{}", call(2));
    let (status, _) = rig.send("2001", Method::PUT, &path, &json!({ "state": "taken" })).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let event = next_of(&mut board, "callback.changed").await;
    assert_eq!((&event["data"]["state"], &event["data"]["by_name"]), (&json!("taken"), &json!("2001")));
    assert_eq!(list("2002").await[0]["by_name"], json!("2001"));
    // Operators neither see nor change it.
    let (status, _) = rig.send("1001", Method::PUT, &path, &json!({ "state": "done" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = rig.send("2001", Method::PUT, &path, &json!({ "state": "called" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        rig.send("2002", Method::PUT, &path, &json!({ "state": "done" })).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(list("2001").await[0]["state"], json!("done"));
    ended(&rig, 4, &account, Outcome::Answered, ago(1)).await;
    assert_eq!(list("2001").await, Vec::<Value>::new(), "the caller called again and was answered");
}

#[tokio::test]
async fn a_recorded_pronunciation_is_named_on_the_next_pop_and_is_sound() {
    let rig = Rig::start().await;
    let account = account(&rig).await;
    let path = format!("/v1/accounts/{account}/pronunciation");
    let explain = "/v1/explain?dialled=0355501001";
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    let (status, written) =
        rig.send("admin", Method::PUT, &path, &json!({ "content": "T2dnUzEyMw==" })).await;
    assert_eq!((status, written), (StatusCode::OK, json!({ "kind": "audio/ogg", "bytes": 7 })));
    let (_, why) = rig.get("1001", explain).await;
    let named = why["card"]["account"]["pronunciation"].as_str().unwrap().to_owned();
    assert!(named.starts_with(&format!("{path}?v=")), "{named}");
    let played = rig.request("1001", Method::GET, &named).send().await.unwrap();
    assert_eq!(played.headers()["content-type"], "audio/ogg");
    assert_eq!(played.headers()["x-content-type-options"], "nosniff");
    assert_eq!(played.bytes().await.unwrap().as_ref(), b"OggS123");
    for bad in ["", "!", "PGh0bWw+", "T2dn"] {
        let (status, _) = rig.send("admin", Method::PUT, &path, &json!({ "content": bad })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    let nobody = format!("/v1/accounts/{}/pronunciation", uuid::Uuid::nil());
    let (status, _) = rig.send("admin", Method::PUT, &nobody, &json!({ "content": "T2dnUw==" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(rig.send("admin", Method::DELETE, &path, &json!(null)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get("1001", explain).await.1["card"]["account"].get("pronunciation"), None);
}

#[tokio::test]
async fn everybody_at_a_desk_sees_how_many_wait_and_nobody_sees_who() {
    let rig = Rig::start().await;
    assert_eq!(rig.get("1002", "/v1/queue").await.1, json!({ "waiting": 0 }));
    rig.ring(1, &["1001"]);
    let (_, queue) = rig.get("1002", "/v1/queue").await;
    assert_eq!(queue["waiting"], json!(1));
    let keys: Vec<_> = queue.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["since", "waiting"]);
}
