//! The whole record of a message over HTTP: its fields and their limits, its number, corrections, withdrawal, drafts, search
//! and export, and the message that a call needs.

use std::time::Duration;

use encoding_rs::SHIFT_JIS;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use toritsugi::command::{Answer, Command, CommandRequest};
use toritsugi::contract::call::Outcome;
use toritsugi::contract::card::CallerView;
use toritsugi::contract::history::{FinishedCall, Segment};
use toritsugi::contract::operator::StateView;
use toritsugi::contract::words::{Word, WordKind, WordList};
use toritsugi::identity::Presentation;
use toritsugi::messages::{RequiredMessages, Settings};
use toritsugi::numbers::NumberPlan;
use toritsugi::operators::SharedWords;
use toritsugi::store::AuditFilter;

use crate::messages::{MESSAGES, Service, next_of, shown};
use crate::support::gateway_rig::{Options, answer};
use crate::support::ids::call;

fn settings() -> Settings {
    let word = |text: &str| Word::of(&text.parse().unwrap());
    let sales = Word { no_message: Some(true), ..word("sales:営業") };
    let list = |kind, word| WordList { kind, version: 0, words: vec![word] };
    let words = SharedWords::default();
    words.replace(vec![
        list(WordKind::Disposition, sales),
        list(WordKind::MessageReason, word("inquiry:お問い合わせ")),
    ]);
    let required = RequiredMessages::Answered;
    Settings { required, words, common_surnames: vec!["サトウ".into()], ..Settings::default() }
}

async fn service() -> Service {
    Service::with(Options { messages: settings(), ..Options::default() }).await
}

impl Service {
    /// Takes a message of the account as 1001, with these fields.
    async fn taken(&self, mut fields: Value) -> Value {
        fields["account"] = json!(self.account);
        let (status, message) = self.take("1001", &fields, None).await;
        assert_eq!(status, StatusCode::CREATED, "{message}");
        message
    }

    async fn post(&self, who: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        self.rig.send(who, Method::POST, path, body).await
    }

    async fn audited(&self, action: &str) -> Vec<Value> {
        let filter = AuditFilter { action: action.into(), ..AuditFilter::default() };
        let page = self.rig.app.store.audit(&filter, None, 50).await.unwrap();
        page.items.into_iter().map(|entry| entry.details).collect()
    }
}

fn path_of(message: &Value) -> String {
    format!("{MESSAGES}/{}", message["id"].as_str().unwrap())
}

fn everything(contact: &str) -> Value {
    json!({
        "contact": contact, "text": "納期の確認", "reason": "inquiry",
        "from": {"name": "ﾔﾏﾓﾄ", "name_kanji": "山本", "company": "ミホン", "department": "購買", "gender": "f",
            "number": "090-1111-2222", "number_is": "told", "confirmed": true},
        "for_text": "佐々木", "action": "call_back",
        "call_back": {"number": "03-1111-2222", "until": "2030-04-02T00:00:00.000Z", "text": "夕方"},
        "urgency": "urgent", "mark": "complaint",
        "answers": [{"id": "symptom", "label": "症状", "value": "頭痛", "sensitive": true}],
        "offers": [{"id": "plan-b", "result": "later"}], "privacy": "notice",
    })
}

#[tokio::test]
async fn a_message_has_a_number_and_every_field_comes_back() {
    let service = service().await;
    let rig = &service.rig;
    let mut events = rig.follow("crm", None).await;
    let message = service.taken(everything(&service.contact)).await;
    let number = message["number"].as_str().unwrap();
    assert!(number.len() == 11 && number.ends_with("-0001"), "{number}");
    let mut wanted = everything(&service.contact);
    wanted["from"]["name"] = json!("ヤマモト");
    // The answer is sensitive, and there is no call any more on which the operator works.
    wanted["answers"][0]["value"] = json!("•••");
    wanted["subject"] = json!("お問い合わせ・折り返し希望");
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&message[field], value, "{field}");
    }
    assert_eq!((&message["kind"], &message["revision"]), (&json!("message"), &json!(1)));
    assert_eq!(next_of(&mut events, "message.saved").await["data"]["answers"][0]["value"], "•••");
    for (who, value) in [("2001", "頭痛"), ("admin", "頭痛"), ("1002", "•••"), ("crm", "•••")]
    {
        let (_, read) = rig.get(who, &path_of(&message)).await;
        assert_eq!(read["answers"][0]["value"], value, "{who}");
        let (_, page) = rig.get(who, MESSAGES).await;
        assert_eq!(page["items"][0]["answers"][0]["value"], value, "{who}");
    }
    // An operator who needs it sees it, and the audit trail says who did; a program does not.
    let reveal = format!("{}/reveal", path_of(&message));
    for who in ["1002", "2001"] {
        let (status, whole) = rig.send(who, Method::POST, &reveal, &Value::Null).await;
        assert_eq!((status, &whole["answers"][0]["value"]), (StatusCode::OK, &json!("頭痛")), "{whole}");
    }
    assert_eq!(rig.send("crm", Method::POST, &reveal, &Value::Null).await.0, StatusCode::FORBIDDEN);
    let (_, trail) = rig.get("admin", "/v1/audit").await;
    let revealed: Vec<_> = trail["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "message.revealed")
        .collect();
    assert_eq!(revealed.len(), 1, "{trail}");
    assert!(!trail.to_string().contains("頭痛"), "{trail}");
    // A subject that nobody wrote follows; one that somebody wrote stays.
    let (_, changed) =
        rig.send("1001", Method::PATCH, &path_of(&message), &json!({"action": "told_only"})).await;
    assert_eq!(changed["subject"], "お問い合わせ・伝言のみ");
    let patch = json!({"subject": "至急の件", "from": {"company": null}, "mark": null});
    let (_, changed) = rig.send("1001", Method::PATCH, &path_of(&message), &patch).await;
    let (_, changed) = match changed["subject"] == "至急の件" {
        true => rig.send("1001", Method::PATCH, &path_of(&message), &json!({"action": "none"})).await,
        false => panic!("{changed}"),
    };
    assert_eq!((&changed["subject"], changed.get("mark")), (&json!("至急の件"), None));
    assert_eq!((changed["from"].get("company"), &changed["from"]["name"]), (None, &json!("ヤマモト")));
    assert_eq!(
        (&changed["version"], &changed["revision"], &changed["number"]),
        (&json!(4), &json!(1), &json!(number))
    );
    // The operator who has the call reads the answer.
    service.talks(1, "1001", shown("09012345678"));
    let mut of_call = everything(&service.contact);
    of_call["call"] = json!(call(1));
    let second = service.taken(of_call).await;
    assert!(second["number"].as_str().unwrap().ends_with("-0002"));
    let (_, options) = rig.get("1001", &format!("{MESSAGES}/options")).await;
    assert_eq!(
        options,
        json!({"reasons": [{"code": "inquiry", "label": "お問い合わせ"}], "common_surnames": ["サトウ"], "required": true,
            "no_message_reasons": ["sales"], "undo_s": 5, "may_export": false, "may_edit_scripts": false})
    );
}

#[tokio::test]
async fn a_number_is_the_calls_only_where_the_call_shows_it() {
    let service = service().await;
    service.talks(1, "1001", shown("09012345678"));
    service.talks(2, "1001", CallerView { presentation: Presentation::Withheld, ..CallerView::default() });
    let body = |n, from: Value| json!({"call": call(n), "text": "x", "from": from});
    let (_, message) =
        service.take("1001", &body(1, json!({"number_is": "call", "number": "1"})), None).await;
    assert_eq!(message["from"], json!({"number": "090-1234-5678", "number_is": "call"}));
    let (status, problem) = service.take("1001", &body(2, json!({"number_is": "call"})), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("from.number_is: "), "{problem}");
    let told = json!({"number_is": "told", "number": "090-9999-8888"});
    let (status, message) = service.take("1001", &body(2, told.clone()), None).await;
    assert_eq!((status, &message["from"], message.get("caller")), (StatusCode::CREATED, &told, None));
    let (_, page) = service.rig.get("1002", &format!("{MESSAGES}?caller=09099998888")).await;
    assert_eq!(page["items"][0]["id"], message["id"]);
}

#[tokio::test]
async fn a_field_that_cannot_be_kept_is_refused_with_its_name() {
    let service = service().await;
    let message = service.taken(json!({"text": "x"})).await;
    let (path, long) = (path_of(&message), "あ".repeat(121));
    for (patch, field) in [
        (json!({"subject": long}), "subject: "),
        (json!({"from": {"name": long}}), "from.name: "),
        (json!({"from": {"company": long}}), "from.company: "),
        (json!({"reason": "用件"}), "reason: "),
        (json!({"hold_until": "2001-01-01T00:00:00Z"}), "hold_until: "),
        (
            json!({"follow_up": {"at": "2001-01-01T00:00:00Z", "text": "x", "by": "operator"}}),
            "follow_up.at: ",
        ),
        (json!({"urgency": "soon"}), "patch: "),
        (json!({"kind": "test"}), "patch: "),
        (json!({"number": "261129-0001"}), "patch: "),
        (json!({"contact": service.customer}), "contact: "),
        (json!({"from": {"number_is": "call"}}), "from.number_is: "),
    ] {
        let (status, problem) = service.rig.send("1001", Method::PATCH, &path, &patch).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid-body")),
            "{patch}"
        );
        assert!(problem["detail"].as_str().unwrap().starts_with(field), "{patch}: {problem}");
        if field != "patch: " {
            let mut body = patch.clone();
            (body["account"], body["text"]) = (json!(service.account), json!("x"));
            let (status, problem) = service.take("1001", &body, None).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
            assert!(problem["detail"].as_str().unwrap().starts_with(field), "{body}: {problem}");
        }
    }
    assert_eq!(service.rig.get("1001", &path).await, (StatusCode::OK, message));
}

#[tokio::test]
async fn a_received_message_is_corrected_and_keeps_what_it_was() {
    let service = service().await;
    let rig = &service.rig;
    let mut events = rig.follow("1001", None).await;
    let message = service.taken(json!({"text": "電話番号は1111"})).await;
    next_of(&mut events, "message.saved").await;
    let (path, corrections) = (path_of(&message), format!("{}/corrections", path_of(&message)));
    // Two people change it from the same version: the second sees the first one's result.
    let patch = |text: &str| json!({"text": text, "version": 1});
    let (status, first) = rig.send("1001", Method::PATCH, &path, &patch("電話番号は2222")).await;
    assert_eq!(status, StatusCode::OK);
    let (status, problem) = rig.send("2001", Method::PATCH, &path, &patch("電話番号は3333")).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("message-changed")));
    assert_eq!(problem["message"], first);
    rig.send("1002", Method::PATCH, &path, &json!({"state": "acknowledged"})).await;
    let (status, problem) = rig.send("1001", Method::PATCH, &path, &json!({"text": "4444"})).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("message-not-open")));
    assert_eq!(problem["message"]["text"], "電話番号は2222");
    let body = json!({"text": "電話番号は4444", "why": "番号の誤り", "version": 3});
    for (bad, status) in [
        (json!({"text": "x", "version": 3}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"text": "x", "version": 3, "why": " "}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"version": 3, "why": "x"}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"text": "x", "version": 2, "why": "x"}), StatusCode::CONFLICT),
    ] {
        assert_eq!(service.post("1001", &corrections, &bad).await.0, status, "{bad}");
    }
    let (status, corrected) = service.post("1001", &corrections, &body).await;
    assert_eq!(status, StatusCode::OK, "{corrected}");
    let shown = |field: &str| corrected[field].clone();
    assert_eq!(
        [shown("text"), shown("state"), shown("revision"), shown("version"), shown("number")],
        [json!("電話番号は4444"), json!("open"), json!(2), json!(4), message["number"].clone()]
    );
    assert_eq!(next_of(&mut events, "message.corrected").await["data"], corrected);
    let (_, revisions) = rig.get("1002", &format!("{path}/revisions")).await;
    let texts: Vec<_> =
        revisions["items"].as_array().unwrap().iter().map(|r| &r["content"]["text"]).collect();
    assert_eq!(texts, ["電話番号は2222", "電話番号は4444"]);
    assert_eq!(
        (&revisions["items"][1]["why"], &revisions["items"][1]["by_name"]),
        (&json!("番号の誤り"), &json!("1001"))
    );
    let audited = &service.audited("message.corrected").await[0];
    assert_eq!((&audited["revision"], &audited["fields"]), (&json!(2), &json!(["text"])));
    assert!(!audited.to_string().contains("番号の誤り"), "the reason goes with the revision: {audited}");
}

#[tokio::test]
async fn a_message_is_withdrawn_within_seconds_and_not_later() {
    let service = service().await;
    let rig = &service.rig;
    let mut events = rig.follow("1001", None).await;
    let (first, second) =
        (service.taken(json!({"text": "一"})).await, service.taken(json!({"text": "二"})).await);
    rig.advance(Duration::from_secs(5));
    let undo = format!("{}/undo", path_of(&first));
    let (status, withdrawn) = service.post("1001", &undo, &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{withdrawn}");
    assert!(withdrawn["withdrawn_at"].is_string());
    let event = next_of(&mut events, "message.withdrawn").await;
    assert_eq!(event["data"]["id"], first["id"]);
    rig.advance(Duration::from_millis(1));
    assert_eq!(
        service.post("1001", &undo, &Value::Null).await,
        (StatusCode::OK, withdrawn.clone()),
        "a repetition"
    );
    let (status, problem) = service.post("1001", &format!("{}/undo", path_of(&second)), &Value::Null).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("already-sent")));
    assert_eq!(problem["message"], second);
    let (_, page) = rig.get("1001", MESSAGES).await;
    assert_eq!(page["items"], json!([second]));
    assert_eq!(rig.get("1001", &path_of(&first)).await, (StatusCode::OK, withdrawn));
    for patch in [json!({"text": "x"}), json!({"state": "acknowledged"})] {
        let (status, problem) = rig.send("1001", Method::PATCH, &path_of(&first), &patch).await;
        assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("message-not-open")));
    }
    assert_eq!(service.audited("message.withdrawn").await.len(), 1);
}

#[tokio::test]
async fn a_draft_stays_over_a_reload_and_is_not_overwritten_unseen() {
    let service = service().await;
    let rig = &service.rig;
    let path = format!("/v1/drafts/{}", call(1));
    let put = async |who: &str, body: Value| rig.send(who, Method::PUT, &path, &body).await;
    let (status, first) =
        put("1001", json!({"account": service.account, "body": {"text": "書きかけ"}})).await;
    assert_eq!((status, &first["version"]), (StatusCode::OK, &json!(1)), "{first}");
    assert_eq!(rig.get("1001", &path).await, (StatusCode::OK, first.clone()));
    for who in ["1002", "2001", "admin", "crm"] {
        assert_eq!(rig.get(who, &path).await.0, StatusCode::NOT_FOUND, "{who} has none");
    }
    let of_1001 = format!("{path}?user={}", rig.user("1001"));
    for (who, status) in [
        ("1001", StatusCode::OK),
        ("2001", StatusCode::OK),
        ("admin", StatusCode::OK),
        ("1002", StatusCode::FORBIDDEN),
        ("2002", StatusCode::FORBIDDEN),
        ("crm", StatusCode::FORBIDDEN),
    ] {
        let (answered, read) = rig.get(who, &of_1001).await;
        assert_eq!((answered, status == StatusCode::OK), (status, read == first), "{who}: {read}");
    }
    let (_, list) = rig.get("2001", &format!("/v1/drafts?user={}", rig.user("1001"))).await;
    assert_eq!(list["items"], json!([first]));
    let (status, second) = put("1001", json!({"version": 1, "body": {"text": "書きかけの続き"}})).await;
    assert_eq!((status, &second["version"]), (StatusCode::OK, &json!(2)));
    let (status, problem) = put("1001", json!({"version": 1, "body": {"text": "ほかの机"}})).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("draft-changed")));
    assert_eq!(problem["draft"], second);
    for bad in
        [json!({}), json!({"body": "x"}), json!({"body": {}, "x": 1}), json!({"version": -1, "body": {}})]
    {
        assert_eq!(put("1001", bad.clone()).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    let (_, list) = rig.get("1001", "/v1/drafts").await;
    assert_eq!(list["items"], json!([second]));
    assert_eq!(rig.send("1001", Method::DELETE, &path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.send("1001", Method::DELETE, &path, &Value::Null).await.0, StatusCode::NOT_FOUND);
    let (status, problem) = put("1001", json!({"version": 2, "body": {"text": "あとから"}})).await;
    assert_eq!((status, problem.get("draft")), (StatusCode::CONFLICT, None), "{problem}");
}

#[tokio::test]
async fn a_held_message_is_released_and_its_timeline_names_who_did_what() {
    let service = service().await;
    let rig = &service.rig;
    let message = service.taken(json!({"text": "一"})).await;
    let at = |step: &str| format!("{}/{step}", path_of(&message));
    let until = rig.app.clock.now().as_millisecond() + 86_400_000;
    let until = Timestamp::from_millisecond(until).unwrap();
    let hold = json!({ "until": until.to_string() });
    for (who, status) in [("1002", StatusCode::FORBIDDEN), ("2001", StatusCode::OK)] {
        let (answered, held) = service.post(who, &at("hold"), &hold).await;
        assert_eq!(answered, status, "{who}: {held}");
    }
    for past in [json!({"until": "2001-01-01T00:00:00Z"}), json!({"until": null}), json!({})] {
        let (status, problem) = service.post("1001", &at("hold"), &past).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{past}: {problem}");
    }
    let held = rig.get("1001", &path_of(&message)).await.1["hold_until"].clone();
    assert_eq!(held.as_str().unwrap().parse::<Timestamp>().unwrap(), until);
    rig.advance(Duration::from_secs(1));
    let (status, released) = service.post("1001", &at("release"), &Value::Null).await;
    assert_eq!((status, released.get("hold_until")), (StatusCode::OK, None), "{released}");
    let steps = async || {
        let (_, timeline) = rig.get("crm", &at("timeline")).await;
        let step = |one: &Value| (one["kind"].as_str().unwrap().to_owned(), one["by_name"].clone());
        timeline["items"].as_array().unwrap().iter().map(step).collect::<Vec<_>>()
    };
    let name = async |who: &str| {
        let (_, users) = rig.get("admin", "/v1/users").await;
        let users = users["items"].as_array().unwrap().clone();
        users.into_iter().find(|user| user["extension"] == who).unwrap()["name"].clone()
    };
    let (hana, boss) = (name("1001").await, name("2001").await);
    let step = |what: &str, who: &Value| (what.to_owned(), who.clone());
    let before = vec![step("saved", &hana), step("changed", &hana)];
    assert_eq!(steps().await, before);
    assert_eq!(service.post("1001", &at("hold"), &hold).await.0, StatusCode::OK, "held again");
    rig.advance(Duration::from_secs(1));
    rig.send("2001", Method::PATCH, &path_of(&message), &json!({"state": "acknowledged"})).await;
    let acknowledged = [before.clone(), vec![step("acknowledged", &boss)]].concat();
    assert_eq!(steps().await, acknowledged);
    let later = Timestamp::from_millisecond(until.as_millisecond() + 1_000).unwrap();
    let longer = json!({ "until": later.to_string() });
    for gone in ["hold", "release"] {
        let (status, problem) = service.post("1001", &at(gone), &longer).await;
        assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("message-not-open")), "{gone}");
    }
    rig.advance(Duration::from_secs(1));
    let version = rig.get("1001", &path_of(&message)).await.1["version"].clone();
    let correction = json!({"text": "二", "why": "書き誤り", "version": version});
    let (status, corrected) = service.post("2001", &at("corrections"), &correction).await;
    assert_eq!(status, StatusCode::OK, "{corrected}");
    let (_, timeline) = rig.get("1001", &at("timeline")).await;
    let last = timeline["items"].as_array().unwrap().last().unwrap();
    let expected = ["corrected", "書き誤り"].map(Value::from);
    assert_eq!([&last["kind"], &last["text"]], expected.each_ref());
    assert_eq!((&last["revision"], &last["by_name"]), (&json!(2), &boss));
}

#[tokio::test]
async fn a_report_and_a_test_are_messages_of_their_kind() {
    let service = service().await;
    let take = async |who: &str, kind: &str| {
        let body = json!({"account": service.account, "text": "x", "kind": kind});
        let (status, message) = service.take(who, &body, None).await;
        (status, message["kind"].as_str().unwrap_or_default().to_owned())
    };
    let taken = |kind: &str| (StatusCode::CREATED, kind.to_owned());
    assert_eq!(take("1001", "report").await, taken("report"));
    for who in ["2001", "admin"] {
        assert_eq!(take(who, "test").await, taken("test"), "{who}");
    }
    for who in ["1001", "crm"] {
        assert_eq!(take(who, "test").await.0, StatusCode::FORBIDDEN, "{who}");
    }
    for kind in ["fax", "voice", "x"] {
        assert_eq!(take("admin", kind).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{kind}");
    }
    let (_, page) = service.rig.get("1001", &format!("{MESSAGES}?kind=report")).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_draft_has_a_limit() {
    let options = Options { body_bytes: 1 << 20, ..Options::default() };
    let service = Service::with(options).await;
    let path = format!("/v1/drafts/{}", call(1));
    for (bytes, status) in [(65_000, StatusCode::OK), (65_536, StatusCode::UNPROCESSABLE_ENTITY)] {
        let body = json!({"body": {"text": "x".repeat(bytes)}});
        assert_eq!(service.rig.send("1001", Method::PUT, &path, &body).await.0, status, "{bytes}");
    }
}

#[tokio::test]
async fn a_search_finds_by_number_name_and_text() {
    let service = service().await;
    let rig = &service.rig;
    let first = service.taken(everything(&service.contact)).await;
    rig.advance(Duration::from_secs(91 * 86_400));
    let second = service.taken(json!({"text": "やまもと様へ返品"})).await;
    let from = first["created_at"].as_str().unwrap();
    let user = rig.user("1001");
    for (query, wanted) in [
        (format!("q=ヤマモト&from={from}"), vec![&second, &first]),
        ("q=やまもと".into(), vec![&second]),
        (format!("q=みほん 納期&from={from}"), vec![&first]),
        (format!("q={}&from={from}", first["number"].as_str().unwrap()), vec![&first]),
        (format!("number={}", first["number"].as_str().unwrap()), vec![&first]),
        ("q=%E3%81%AA%E3%81%97".into(), vec![]),
        ("mark=complaint".into(), vec![&first]),
        ("urgency=urgent&kind=message".into(), vec![&first]),
        (format!("contact={}", service.contact), vec![&first]),
        (format!("taken_by={user}&to={}", second["created_at"].as_str().unwrap()), vec![&first]),
    ] {
        let (status, page) = rig.get("1002", &format!("{MESSAGES}?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {page}");
        let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
        assert_eq!(ids, wanted.iter().map(|m| &m["id"]).collect::<Vec<_>>(), "{query}");
    }
    for query in ["mark=x", "urgency=x", "kind=x", "contact=x", "taken_by=x", "from=x"] {
        assert_eq!(
            rig.get("1002", &format!("{MESSAGES}?{query}")).await.0,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_export_is_a_file_for_spreadsheets_and_is_audited() {
    let mut options = Options { messages: settings(), ..Options::default() };
    options.messages.supervisors_export = true;
    let service = Service::with(options).await;
    let rig = &service.rig;
    // More than a page, and what a spreadsheet would take for a formula.
    for n in 0..501 {
        service.taken(json!({"text": format!("=1+{n}")})).await;
        rig.advance(Duration::from_millis(1));
    }
    service
        .taken(json!({"text": "\"𠮷野\"\n髙橋", "from": {"number": "09011112222"}, "mark": "thanks"}))
        .await;
    let export = async |who: &str, query: &str| {
        let response =
            rig.request(who, Method::GET, &format!("/v1/export/messages.csv{query}")).send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (response.status(), kind, response.bytes().await.unwrap())
    };
    let (status, kind, bytes) = export("admin", "").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/csv; charset=utf-8; header=present"));
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.starts_with("\u{feff}受付番号,受付日時,"), "{}", &text[..60]);
    assert_eq!(text.matches("\"'=1+").count(), 501);
    let header = text.lines().next().unwrap();
    assert!(header.contains(",契約先コード,契約先名,") && header.contains(",報告日時,"), "{header}");
    assert!(text.contains(",未報告,") && !text.contains("未確認"), "the words of the glossary");
    assert!(text.contains("さくら商事") && text.contains("090-1111-2222") && text.contains("サンキュー"));
    assert!(text.contains("\"\"\"𠮷野\"\"\r\n髙橋\""));
    let (status, kind, bytes) = export("2001", "?encoding=shift_jis&mark=thanks").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/csv; charset=shift_jis; header=present"));
    let text = SHIFT_JIS.decode(&bytes).0;
    assert!(text.starts_with("受付番号,") && text.contains("\"\"\"〓野\"\"\r\n髙橋\""), "{text}");
    for (who, status) in [("1001", StatusCode::FORBIDDEN), ("crm", StatusCode::FORBIDDEN)] {
        assert_eq!(export(who, "").await.0, status, "{who}");
    }
    assert_eq!(export("admin", "?encoding=utf-16").await.0, StatusCode::BAD_REQUEST);
    let audited = service.audited("messages.exported").await;
    let rows: Vec<_> = audited.iter().map(|details| (&details["rows"], &details["filter"]["mark"])).collect();
    assert_eq!(rows, [(&json!(1), &json!("thanks")), (&json!(502), &Value::Null)]);
    assert_eq!(export("admin", "?q=090-1111-2222").await.0, StatusCode::OK);
    let filter = &service.audited("messages.exported").await[0]["filter"];
    assert_eq!(filter["by_text"], true);
    assert!(!filter.to_string().contains("1111"), "the trail names no caller: {filter}");
}

/// The command line against this gateway, as this person: what it prints and says.
async fn command(service: &Service, who: &str, arguments: &[&str]) -> (bool, Vec<u8>, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command.arg("messages").args(arguments).arg("--url").arg(format!("http://{}", service.rig.address));
    command.env("TORITSUGI_TOKEN", service.rig.token(who)).env("TORITSUGI_CONFIG", "");
    let done = command.output().await.unwrap();
    (done.status.success(), done.stdout, String::from_utf8(done.stderr).unwrap())
}

#[tokio::test]
async fn the_command_line_lists_shows_and_exports_messages() {
    let service = service().await;
    let message = service.taken(everything(&service.contact)).await;
    let number = message["number"].as_str().unwrap();
    service.taken(json!({"text": "𠮷野様より"})).await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (is_done, listed, error) = command(&service, "1001", &["list", "--mark", "complaint"]).await;
    assert!(is_done, "{error}");
    let listed = text(&listed);
    assert!(
        listed.contains(number) && listed.contains("urgent complaint") && listed.lines().count() == 2,
        "{listed}"
    );
    let (_, shown, error) = command(&service, "1001", &["show", number]).await;
    assert!(text(&shown).contains("ヤマモト / ミホン  090-1111-2222"), "{} {error}", text(&shown));
    let (is_done, _, error) = command(&service, "1001", &["show", "990101-0001"]).await;
    assert!(!is_done && error.contains("no message has the number 990101-0001"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.csv");
    let arguments = ["export", "--encoding", "shift_jis", "-o", file.to_str().unwrap()];
    let (is_done, _, error) = command(&service, "admin", &arguments).await;
    assert!(
        is_done
            && error.trim_end().ends_with("1 characters that Shift_JIS does not have were replaced by 〓"),
        "{error}"
    );
    let written = std::fs::read(&file).unwrap();
    let written = SHIFT_JIS.decode(&written).0;
    assert!(written.starts_with("受付番号,") && written.contains("〓野様より"), "{written}");
    let (is_done, utf8, _) = command(&service, "admin", &["export"]).await;
    assert!(is_done && text(&utf8).starts_with("\u{feff}受付番号,"));
    let (is_done, _, error) = command(&service, "1001", &["export"]).await;
    assert!(!is_done && error.contains("403 not-permitted"), "{error}");
}

/// The core accepts every end of after-call work, and knows of no transfers.
async fn accepts(mut commands: mpsc::Receiver<CommandRequest>, view: StateView) {
    while let Some(CommandRequest { command, reply, .. }) = commands.recv().await {
        let answer = match command {
            Command::Transfer(_) => Answer::Transfers(Vec::new()),
            _ => Answer::Operator(Box::new(view.clone())),
        };
        let _ = reply.send(Ok(answer));
    }
}

#[tokio::test]
async fn a_call_is_not_finished_without_a_message_a_transfer_or_a_reason_for_none() {
    let mut service = service().await;
    let user = service.rig.user("1001");
    let view = StateView::unknown(user, "1001".into(), None);
    tokio::spawn(accepts(service.rig.commands.take().unwrap(), view));
    let path = format!("/v1/operators/{user}/wrap-up/finish");
    let finish = async |n, disposition: &str| {
        let body = json!({"call": call(n), "disposition": disposition});
        let (status, answer) = service.rig.send("1001", Method::POST, &path, &body).await;
        (status, answer["type"].as_str().unwrap_or_default().to_owned())
    };
    let (owed, finished) =
        ((StatusCode::CONFLICT, "message-owed".to_owned()), (StatusCode::OK, String::new()));
    assert_eq!(finish(1, "message").await, owed);
    assert_eq!(finish(1, "sales").await, finished, "a reason for none");
    service.talks(1, "1001", shown("09012345678"));
    let message = service.taken(json!({"call": call(1), "text": "x"})).await;
    assert_eq!(finish(1, "message").await, finished, "a message");
    service.post("1001", &format!("{}/undo", path_of(&message)), &Value::Null).await;
    assert_eq!(finish(1, "message").await, owed, "a withdrawn message is none");
    let mut ended = service.talks(2, "1001", shown("09012345678"));
    (ended.ended_at, ended.outcome) = (Some(service.rig.app.clock.now()), Some(Outcome::Answered));
    let mut record = FinishedCall::of(&ended, &NumberPlan::default());
    let segment = |kind: &str| Segment {
        kind: kind.into(),
        operator: None,
        target: Some("佐藤".into()),
        from: record.offered_at,
        until: None,
        result: None,
    };
    let parts = [segment("transfer"), segment("transferred")];
    record.segments = parts[..1].to_vec();
    service.rig.app.store.record_call(&record).await.unwrap();
    assert_eq!(finish(2, "transferred").await, owed, "the transfer failed");
    record.id = call(3);
    record.segments = parts.to_vec();
    service.rig.app.store.record_call(&record).await.unwrap();
    assert_eq!(finish(3, "transferred").await, finished);
}

#[tokio::test]
async fn a_script_says_which_calls_need_a_message() {
    let messages = Settings { required: RequiredMessages::Script, ..settings() };
    let mut service = Service::with(Options { messages, ..Options::default() }).await;
    let user = service.rig.user("1001");
    let view = StateView::unknown(user, "1001".into(), None);
    tokio::spawn(accepts(service.rig.commands.take().unwrap(), view));
    service.talks(1, "1001", shown("09012345678"));
    let path = format!("/v1/operators/{user}/wrap-up/finish");
    let finish = async |service: &Service, n| {
        let body = json!({"call": call(n), "disposition": "message"});
        service.rig.send("1001", Method::POST, &path, &body).await.0
    };
    assert_eq!(finish(&service, 1).await, StatusCode::OK, "the account has no script");
    let scripts = format!("/v1/accounts/{}/scripts/usual", service.account);
    for (version, required, status) in [(0, true, StatusCode::CONFLICT), (1, false, StatusCode::OK)] {
        let body = format!(
            "format = 1\nname = \"一\"\nmessage_required = {required}\n[opening]\nopen = \"x\"\nclosed = \"x\"\n"
        );
        let script = json!({"body": body, "version": version, "publish": true});
        let (saved, made) = service.rig.send("admin", Method::PUT, &scripts, &script).await;
        assert_eq!(saved, StatusCode::OK, "{made}");
        service.rig.app.directory.refresh().await.unwrap();
        assert_eq!(finish(&service, 1).await, status);
    }
    assert_eq!(finish(&service, 9).await, StatusCode::OK, "nothing is known of that call");
    let (_, options) = service.rig.send("1001", Method::GET, "/v1/messages/options", &Value::Null).await;
    assert_eq!(options["required"], false, "{options}");
}

#[tokio::test]
async fn uploaded_files_go_with_their_message_and_what_is_no_file_of_ours_is_refused() {
    let service = service().await;
    let rig = &service.rig;
    let upload = async |who: &str, name: &str, content: Vec<u8>| {
        let request = rig.request(who, Method::POST, "/v1/files").query(&[("name", name)]);
        answer(request.header("content-type", "application/octet-stream").body(content).send().await.unwrap())
            .await
    };
    let large = [b"%PDF-".to_vec(), vec![b'x'; 5 * 1024 * 1024]].concat();
    for (name, content, status, words) in [
        ("a.pdf", b"MZ\x90\0".to_vec(), 422, "is none of"),
        ("a.exe", b"%PDF-1.7".to_vec(), 422, "name it .pdf"),
        ("../a.pdf", b"%PDF-1.7".to_vec(), 422, "without a path"),
        ("a.txt", b"\0".to_vec(), 422, "is none of"),
        ("a.pdf", large, 413, ""),
    ] {
        let (refused, problem) = upload("1001", name, content).await;
        assert_eq!(refused.as_u16(), status, "{name}: {problem}");
        assert!(problem["detail"].as_str().unwrap_or_default().contains(words), "{name}: {problem}");
    }
    let mut ids = Vec::new();
    for (name, content) in [("地図.pdf", b"%PDF-1.7 map".to_vec()), ("品番.csv", "品番,数\r\n".into())]
    {
        let (status, file) = upload("1001", name, content).await;
        assert_eq!((status, &file["name"]), (StatusCode::CREATED, &json!(name)), "{file}");
        ids.push(file["id"].clone());
    }
    let message = json!({"account": service.account, "text": "x", "files": ids});
    let (status, problem) = rig.send("1002", Method::POST, MESSAGES, &message).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "somebody else's: {problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("files: you have no such file"), "{problem}");
    let (status, saved) = rig.send("1001", Method::POST, MESSAGES, &message).await;
    assert_eq!(status, StatusCode::CREATED, "{saved}");
    let types: Vec<_> = saved["files"].as_array().unwrap().iter().map(|file| file["type"].clone()).collect();
    assert_eq!(types, [json!("pdf"), json!("csv")]);
    let path = format!("{}/files/1", path_of(&saved));
    let file = rig.request("2001", Method::GET, &path).send().await.unwrap();
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(file.text().await.unwrap(), "品番,数\r\n");
    // Each goes with one message.
    assert_eq!(rig.send("1001", Method::POST, MESSAGES, &message).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let too_many = json!({"account": service.account, "text": "x", "files": vec![ids[0].clone(); 6]});
    let (_, problem) = rig.send("1001", Method::POST, MESSAGES, &too_many).await;
    assert_eq!(problem["detail"], "files: at most 5");
    // Together they must fit into a mail.
    let mut heavy = Vec::new();
    for _ in 0..2 {
        let content = [b"%PDF-".to_vec(), vec![b'x'; 4 * 1024 * 1024]].concat();
        heavy.push(upload("1001", "a.pdf", content).await.1["id"].clone());
    }
    let both = json!({"account": service.account, "text": "x", "files": heavy});
    let (_, problem) = rig.send("1001", Method::POST, MESSAGES, &both).await;
    assert!(problem["detail"].as_str().unwrap().starts_with("files: together at most 7 MiB"), "{problem}");
    let waiting = format!("/v1/files/{}", heavy[0].as_str().unwrap());
    assert_eq!(rig.send("1002", Method::DELETE, &waiting, &Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.send("1001", Method::DELETE, &waiting, &Value::Null).await.0, StatusCode::NO_CONTENT);
}
