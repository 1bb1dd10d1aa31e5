//! What accounts choose for their messages: reports of calls without a message, English, nothing but a notice outside the house; and
//! recordings, phone tasks by hand, a test of everything that an account has.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall};
use toritsugi::contract::message::{MessageFields, MessageKind, NewFile, NewMessage};
use toritsugi::contract::operator::WrapUp;
use toritsugi::identity::Presentation;
use toritsugi::ids::{CallId, ChannelId, Extension, PbxId, RecordId};
use toritsugi::journal::entry::{JournalEntry, WrapUpRecord};
use toritsugi::numbers::NumberPlan;
use toritsugi::operators::CompletedWrapUp;
use toritsugi::store::Store;
use uuid::Uuid;

use super::arrives::ReadMail;
use super::house::{House, plain};
use crate::mail_lab::MailLab;
use crate::support::client::http;
use crate::support::wait::eventually;

impl House {
    /// The store of the daemon that runs.
    async fn store(&self) -> Store {
        Store::open(&self.directory.path().join("toritsugi.db")).await.unwrap()
    }

    fn account_id(&self) -> RecordId {
        RecordId(Uuid::try_parse(&self.account).unwrap())
    }

    async fn chooses(&self, fields: Value) {
        let path = format!("/v1/accounts/{}", self.account);
        self.ask("admin", Method::PATCH, &path, fields).await;
    }
}

/// The mails of a mailbox, once there are so many.
async fn mails(lab: &MailLab, mailbox: &str, count: usize) -> Vec<Vec<u8>> {
    eventually("the mails are there", async || match lab.mails(mailbox) {
        mails if mails.len() < count => Err(lab.log()),
        mails => Ok(mails),
    })
    .await
}

/// A call that ended a minute ago, and the after-call work that an operator finished so.
async fn finished(house: &House, store: &Store, n: u32, caller: Option<&str>, disposition: &str) -> CallId {
    let pbx = PbxId::parse("pbx").unwrap();
    let ago = |seconds: i64| Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap();
    let id = CallId::derive(&pbx, &ChannelId::parse(&format!("{n}.1")).unwrap());
    let user = house.ask("admin", Method::GET, "/v1/users", Value::Null).await["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["extension"] == "1001")
        .map(|user| RecordId(Uuid::try_parse(user["id"].as_str().unwrap()).unwrap()));
    let call = FinishedCall {
        id,
        pbx: pbx.clone(),
        direction: Direction::Inbound,
        account: Some(house.account_id()),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: caller.map(Into::into),
        presentation: if caller.is_some() { Presentation::Allowed } else { Presentation::Withheld },
        dialled: None,
        diverted_by: None,
        offered_at: ago(90),
        answered_at: Some(ago(85)),
        ended_at: ago(60),
        outcome: Outcome::Answered,
        operators: vec![Extension::parse("1001").unwrap()],
        handled_by: None,
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    };
    let work = WrapUp {
        call: id,
        account: Some(house.account_id()),
        account_name: "さくら商事".into(),
        since: ago(60),
        until: ago(30),
        planned_s: 30,
        extensions: Vec::new(),
        set_aside_ms: None,
    };
    let completed =
        CompletedWrapUp { work, ended_at: ago(40), disposition: Some(disposition.into()), notes: None };
    store.record_call(&call).await.unwrap();
    let record = WrapUpRecord { user: user.unwrap(), finished: completed };
    store.write_entry(&pbx, &JournalEntry::WrapUp(Box::new(record))).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_message_is_reported_once_where_the_account_wants_it() {
    let lab = MailLab::start().await;
    let house = House::start(&plain(&lab.port("PLAIN_PORT"))).await;
    let desk = json!({"account": house.account, "address": "desk@sakura.example.jp"});
    house.ask("admin", Method::POST, "/v1/endpoints", desk).await;
    let store = house.store().await;
    // Nobody wants this one.
    let before = finished(&house, &store, 1, Some("+81355501001"), "other").await;
    house.chooses(json!({"report_calls": "no_message"})).await;
    let sales = finished(&house, &store, 2, Some("+81355501001"), "sales").await;
    let silent = finished(&house, &store, 3, None, "silent").await;
    let texts = eventually("both are reported", async || {
        let found = house.get("/v1/messages?kind=report").await;
        let items = found["items"].as_array().unwrap().clone();
        if items.len() == 2 { Ok(items) } else { Err(found.to_string()) }
    })
    .await;
    let of = |call: CallId| texts.iter().find(|one| one["call"] == json!(call)).cloned();
    assert!(of(before).is_none(), "{texts:?}");
    let report = of(sales).unwrap();
    assert_eq!(report["text"], "営業のお電話のため、お断りしました。");
    assert_eq!((&report["urgency"], &report["from"]["number"]), (&json!("low"), &json!("03-5550-1001")));
    assert_eq!((&report["caller"], &report["taken_by_name"]), (&json!("+81355501001"), &json!("1001")));
    let report = of(silent).unwrap();
    assert_eq!((&report["text"], &report["caller"]), (&json!("無言のお電話でした。"), &Value::Null));
    let mails = mails(&lab, "desk", 2).await;
    let texts: Vec<String> = mails.iter().map(|mail| ReadMail::read(mail).text).collect();
    assert!(
        texts.iter().any(|text| text.contains("お断りしました。") && text.contains("03-5550-1001")),
        "{texts:?}"
    );
    assert!(
        texts.iter().any(|text| text.contains("無言のお電話でした。") && text.contains("通知なし")),
        "{texts:?}"
    );
    // With "all" also the first one, and none of them twice.
    house.chooses(json!({"report_calls": "all"})).await;
    eventually("the first one too", async || {
        let found = house.get("/v1/messages?kind=report").await;
        let count = found["items"].as_array().unwrap().len();
        if count == 3 { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_reads_its_language_and_no_more_than_it_lets_out() {
    let lab = MailLab::start().await;
    let house = House::start(&plain(&lab.port("PLAIN_PORT"))).await;
    house.chooses(json!({"language": "en"})).await;
    let sasaki = house.contact("John Smith", "sasaki@sakura.example.jp").await;
    let id = house.save(&sasaki, "Please call back about order 1234.").await;
    house.is_sent(&id).await;
    let mail = ReadMail::read(&mails(&lab, "sasaki", 1).await[0]);
    assert_eq!(mail.header("Content-Language"), "en");
    assert!(mail.header("Subject").starts_with("[Message] "), "{}", mail.header("Subject"));
    for line in
        ["John Smith\n", "\nTelephone: not shown\n", "\nMessage\nPlease call back about order 1234.\n"]
    {
        assert!(mail.text.contains(line), "{}", mail.text);
    }
    assert!(mail.html.unwrap().contains("<html lang=\"en\">"));
    // An endpoint of another language.
    let ito = house.person_at("ito@sakura.example.jp", "ja").await;
    house.is_sent(&house.save(&ito, "納期の件").await).await;
    let mail = ReadMail::read(&mails(&lab, "ito", 1).await[0]);
    assert!(mail.text.contains("\n内容\n納期の件\n"), "{}", mail.text);
    assert_eq!(mail.header("Content-Language"), "ja");
    // What may not leave the house does not, whatever the operator says.
    house.chooses(json!({"language": "ja", "privacy": "notice"})).await;
    let kato = house.contact("加藤", "kato@sakura.example.jp").await;
    let message = json!({"account": house.account, "contact": kato, "text": "内密の件", "privacy": "full"});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    assert_eq!((&saved["privacy"], &saved["text"]), (&json!("notice"), &json!("内密の件")));
    let mail = ReadMail::read(&mails(&lab, "kato", 1).await[0]);
    assert!(!mail.text.contains("内密") && mail.text.contains("伝言を一件お預かり"), "{}", mail.text);
    let path = format!("/v1/messages/{}/corrections", saved["id"].as_str().unwrap());
    let version = house.is_sent(saved["id"].as_str().unwrap()).await["version"].clone();
    let rewritten = json!({"privacy": "full", "text": "内密の件の訂正", "version": version, "why": "誤り"});
    let corrected = house.ask("1001", Method::POST, &path, rewritten).await;
    assert_eq!(corrected["privacy"], "notice");
}

impl House {
    /// A contact without an address of its own, and its endpoint.
    async fn person_at(&self, address: &str, language: &str) -> String {
        let fields = json!({"account": self.account, "name": "伊藤"});
        let contact = self.ask("admin", Method::POST, "/v1/contacts", fields).await["id"].clone();
        let endpoint =
            json!({"account": self.account, "contact": contact, "address": address, "language": language});
        self.ask("admin", Method::POST, "/v1/endpoints", endpoint).await;
        contact.as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoken_message_arrives_with_its_recording() {
    let lab = MailLab::start().await;
    let house = House::start(&plain(&lab.port("PLAIN_PORT"))).await;
    let contact = house.contact("佐々木", "sasaki@sakura.example.jp").await;
    let recording = [&b"RIFF\x24\0\0\0WAVEfmt "[..], &[7; 4_000]].concat();
    let file = NewFile::new("伝言.wav", recording.clone()).unwrap();
    let contact_id = RecordId(Uuid::try_parse(&contact).unwrap());
    let fields = MessageFields {
        contact: Some(contact_id),
        text: "録音のご伝言（12秒）".into(),
        ..MessageFields::default()
    };
    let now = Timestamp::now();
    let message = NewMessage {
        id: RecordId(Uuid::now_v7()),
        account: house.account_id(),
        call: None,
        customer: None,
        kind: MessageKind::Voice,
        taken_by: None,
        taken_by_name: String::new(),
        caller: Some("+81355501001".into()),
        content: fields.checked(&NumberPlan::default()).unwrap(),
        day: "261130".into(),
        not_before: now,
    };
    let store = house.store().await;
    store.create_message_with_files(&message, &[file], &PbxId::parse("pbx").unwrap(), now).await.unwrap();
    let id = message.id.to_string();
    let sent = house.is_sent(&id).await;
    assert_eq!((&sent["kind"], sent.get("taken_by")), (&json!("voice"), None));
    assert_eq!(sent["files"], json!([{"name": "伝言.wav", "type": "wav", "bytes": recording.len()}]));
    let mail = String::from_utf8(mails(&lab, "sasaki", 1).await.remove(0)).unwrap().replace("\r\n", "\n");
    let (_, part) = mail.split_once("Content-Type: audio/wav").unwrap();
    let (_, body) = part.split_once("\n\n").unwrap();
    let encoded: String = body.split("\n--").next().unwrap().lines().collect();
    assert_eq!(BASE64.decode(encoded).unwrap(), recording);
    let request = http().get(format!("{}/v1/messages/{id}/files/0", house.url()));
    let answer = request.bearer_auth(house.token("1001")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "audio/wav");
    assert_eq!(answer.bytes().await.unwrap(), recording);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_makes_a_call_of_a_message_by_hand() {
    let house = House::start(&[]).await;
    let fields = json!({"account": house.account, "name": "佐々木", "number": "090-5550-1001"});
    let contact = house.ask("admin", Method::POST, "/v1/contacts", fields).await["id"].clone();
    let message = json!({"account": house.account, "contact": contact, "text": "納期の件"});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    let new = |extra: Value| {
        let mut whole = json!({"message": saved["id"]});
        whole.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        whole
    };
    let task = house.ask("2001", Method::POST, "/v1/tasks", new(json!({}))).await;
    assert_eq!((&task["name"], &task["number"]), (&json!("佐々木"), &json!("090-5550-1001")));
    let again = house.ask("2001", Method::POST, "/v1/tasks", new(json!({}))).await;
    assert_eq!(again["id"], task["id"], "one task for each number");
    let other = house.ask("2001", Method::POST, "/v1/tasks", new(json!({"number": "0355501001"}))).await;
    assert_eq!((&other["number"], other["id"] != task["id"]), (&json!("03-5550-1001"), true));
    for (body, status, words) in [
        (json!({"message": Uuid::nil()}), 422, "message: there is no such message"),
        (new(json!({"number": "x"})), 422, "number: this is no telephone number"),
        (new(json!({"contact": Uuid::nil()})), 422, "contact: the account has no such contact"),
    ] {
        let (found, problem) = house.try_ask("2001", Method::POST, "/v1/tasks", &body).await.unwrap();
        assert_eq!((found.as_u16(), &problem["detail"]), (status, &json!(words)), "{problem}");
    }
    let path = format!("/v1/tasks/{}/result", task["id"].as_str().unwrap());
    house.ask("1001", Method::POST, &path, json!({"result": "told"})).await;
    let (status, problem) = house.try_ask("2001", Method::POST, "/v1/tasks", &new(json!({}))).await.unwrap();
    assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("message-not-open")), "{problem}");
    // Nobody has a number.
    let message = json!({"account": house.account, "text": "納期の件"});
    let saved = house.ask("1001", Method::POST, "/v1/messages", message).await;
    let (status, problem) =
        house.try_ask("2001", Method::POST, "/v1/tasks", &json!({"message": saved["id"]})).await.unwrap();
    assert_eq!(
        (status.as_u16(), &problem["detail"]),
        (422, &json!("number: the contact has none; give one"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_an_account_has_is_tested_with_one_command() {
    let lab = MailLab::start().await;
    let house = House::start(&plain(&lab.port("PLAIN_PORT"))).await;
    house.contact("佐々木", "sasaki@sakura.example.jp").await;
    let desk = json!({"account": house.account, "address": "desk@sakura.example.jp", "label": "受付"});
    house.ask("admin", Method::POST, "/v1/endpoints", desk).await;
    let run = async |wait: &str, extra: &[&str]| {
        let mut command = house.command();
        command.env("TORITSUGI_TOKEN", house.token("admin")).stdin(Stdio::null());
        command.args(["routes", "test", "A", "--wait", wait]).args(extra);
        let done = command.output().await.unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, table, error) = run("60", &["--sent"]).await;
    assert_eq!(code, Some(0), "{table} {error}");
    assert!(
        table.contains("desk@sakura.example.jp") && table.contains("sasaki@sakura.example.jp"),
        "{table}"
    );
    for mailbox in ["desk", "sasaki"] {
        let mail = ReadMail::read(&mails(&lab, mailbox, 1).await[0]);
        assert!(mail.header("Subject").starts_with("【テスト】"), "{}", mail.header("Subject"));
    }
    // Nobody presses: it says so, and fails.
    let (code, table, error) = run("1", &[]).await;
    assert_eq!(code, Some(1), "{table} {error}");
    let (code, table, error) = run("1", &["--json"]).await;
    assert_eq!(code, Some(1), "{error}");
    let rows: Value = serde_json::from_str(&table).unwrap();
    assert!(rows["items"].as_array().unwrap().iter().all(|row| row["confirmed"] == false), "{rows}");
}
