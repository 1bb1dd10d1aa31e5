//! The acknowledgement page against a real store: robots, people, forged and repeated forms.

use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::json;
use tower_service::Service as _;
use uuid::Uuid;

use super::*;
use crate::contract::message::{Message, MessageFields, MessageKind, MessageState, NewMessage};
use crate::contract::records::{AccountFields, ContactFields};
use crate::delivery::DeliveryInput;
use crate::ids::{PbxId, RecordId};
use crate::store::answers::NewLink;
use crate::store::deliveries::DeliveryFilter;
use crate::store::mail_servers::MAIL_SERVER;
use crate::store::tasks::TaskFilter;

const TOKEN: &str = "abcdefghijklmnopqrstuv";

struct Rig {
    _directory: tempfile::TempDir,
    store: Store,
    router: Router,
    now_ms: Arc<AtomicI64>,
    message: RecordId,
}

fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

async fn rig(fields: serde_json::Value) -> Rig {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store.db")).await.unwrap();
    let plan = NumberPlan::default();
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let account =
        AccountFields { code: "A".into(), name: "さくら<商事>".into(), ..AccountFields::default() };
    let account = store.create_account(&account.checked(&plan).unwrap(), at).await.unwrap().id;
    store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    let contact = ContactFields {
        email: Some("sasaki@sakura.example.jp".into()),
        number: Some("090-1111-0001".into()),
        on_call_order: Some(1),
        ..ContactFields::named(account, "佐々木")
    };
    store.create_contact(&contact.checked(&plan).unwrap(), at).await.unwrap();
    let fields: MessageFields = serde_json::from_value(fields).unwrap();
    let new = NewMessage {
        id: id(1),
        account,
        call: None,
        customer: None,
        kind: MessageKind::Message,
        taken_by: Some(id(1001)),
        taken_by_name: "花".into(),
        caller: None,
        content: fields.checked(&plan).unwrap(),
        day: "231115".into(),
        not_before: at,
    };
    store.create_message(&new, &PbxId::parse("lab").unwrap(), at).await.unwrap();
    let claimed = store.claim_message_deliveries(MAIL_SERVER, id(9), (at, at), 1).await.unwrap();
    let expires_at = at + jiff::SignedDuration::from_hours(24);
    let link = NewLink { hash: link_hash(TOKEN), delivery: claimed[0].id, expires_at };
    store.keep_links(&[link]).await.unwrap();
    store.settle_delivery(claimed[0].id, id(9), DeliveryInput::Accepted, (at, 0)).await.unwrap();
    let now_ms = Arc::new(AtomicI64::new(at.as_millisecond() + 60_000));
    let (clock, elapsed) = (Arc::clone(&now_ms), Arc::clone(&now_ms));
    let router = router(PublicApp {
        store: store.clone(),
        relay: MessageRelay::default(),
        key: [7; 32],
        trusted_proxies: vec!["0.0.0.0".parse().unwrap()],
        time_zone: TimeZone::get("Asia/Tokyo").unwrap(),
        plan,
        service_name: "さくら電話秘書".into(),
        clock: Clock::with_elapsed(
            move || Timestamp::from_millisecond(clock.load(Ordering::SeqCst)).unwrap(),
            move || Duration::from_millis(u64::try_from(elapsed.load(Ordering::SeqCst)).unwrap()),
        ),
    });
    Rig { _directory: directory, store, router, now_ms, message: id(1) }
}

impl Rig {
    fn pass(&self, seconds: i64) {
        self.now_ms.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: String,
        from: &str,
    ) -> (StatusCode, HeaderMap, String) {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-forwarded-for", from)
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn get(&self, from: &str) -> (StatusCode, HeaderMap, String) {
        self.send("GET", &format!("/a/{TOKEN}"), String::new(), from).await
    }

    /// Opens the page, waits, and presses a button.
    async fn press(
        &self,
        answer: &str,
        who: &str,
        name: &str,
        after: i64,
        from: &str,
    ) -> (StatusCode, String) {
        let (status, _, page) = self.get(from).await;
        assert_eq!(status, StatusCode::OK);
        let nonce =
            page.split_once("name=\"nonce\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        self.pass(after);
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("nonce", nonce.as_str()),
                ("who", who),
                ("name", name),
                ("answer", answer),
                ("note", ""),
            ])
            .finish();
        let (status, _, page) = self.send("POST", &format!("/a/{TOKEN}"), body, from).await;
        (status, page)
    }

    /// Opens the page, waits, and confirms with these digits.
    async fn reveal(&self, digits: &str) -> String {
        let (_, _, page) = self.get("192.0.2.2").await;
        let nonce =
            page.split_once("name=\"nonce\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        self.pass(60);
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("nonce", nonce.as_str()),
                ("who", "contact"),
                ("answer", "seen"),
                ("digits", digits),
            ])
            .finish();
        self.send("POST", &format!("/a/{TOKEN}"), body, "192.0.2.2").await.2
    }

    async fn message(&self) -> Message {
        self.store.message(self.message).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_thousand_openings_by_robots_confirm_nothing_and_the_person_still_can() {
    let rig = rig(json!({"text": "納期を<b>確認</b>したい"})).await;
    let (mut shown, mut refused) = (0, 0);
    for n in 0..1_000 {
        let method = if n % 3 == 0 { "HEAD" } else { "GET" };
        let (status, ..) = rig.send(method, &format!("/a/{TOKEN}"), String::new(), "192.0.2.1").await;
        match status {
            StatusCode::OK => shown += 1,
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((shown, refused), (20, 980));
    assert_eq!(rig.message().await.state, MessageState::Sent);
    // The robot presses the buttons at once, without choosing a name, and with no form at all.
    let (_, page) = rig.press("seen", "contact", "", 0, "192.0.2.3").await;
    assert!(page.contains("もう一度ボタン"), "{page}");
    let (_, page) = rig.press("seen", "", "", 5, "192.0.2.3").await;
    assert!(page.contains("お選びください"), "{page}");
    let (_, _, page) =
        rig.send("POST", &format!("/a/{TOKEN}"), "who=contact&answer=seen".into(), "192.0.2.3").await;
    assert!(page.contains("もう一度ボタン"), "{page}");
    assert_eq!(rig.message().await.state, MessageState::Sent);
    assert_eq!(rig.store.message_answers(rig.message).await.unwrap(), []);
    let (status, page) = rig.press("seen", "contact", "", 3, "192.0.2.2").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("佐々木さんが 2023-11-15"), "{page}");
    let message = rig.message().await;
    assert_eq!((message.state, message.acknowledged_by), (MessageState::Acknowledged, None));
    let notices = rig.store.message_notices(&PbxId::parse("lab").unwrap()).await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!(
        (notices[0].kind.as_str(), &notices[0].data["by_name"]),
        ("message.answered", &json!("佐々木"))
    );
}

#[tokio::test]
async fn an_answer_right_after_the_handing_is_a_machines() {
    let rig = rig(json!({"text": "納期"})).await;
    rig.pass(-60);
    let (_, page) = rig.press("seen", "contact", "", 2, "192.0.2.2").await;
    assert!(page.contains("もう一度ボタン"), "{page}");
    let answers = rig.store.message_answers(rig.message).await.unwrap();
    assert_eq!((answers[0].kind, answers[0].after_s), (AnswerKind::Note, Some(2)));
    assert_eq!(rig.message().await.state, MessageState::Sent);
    let opened = rig.store.opened_links(rig.message).await.unwrap();
    assert_eq!(opened.len(), 1, "{opened:?}");
    rig.press("seen", "contact", "", 3, "192.0.2.2").await;
    assert_eq!(rig.message().await.state, MessageState::Acknowledged);
    let answers = rig.store.message_answers(rig.message).await.unwrap();
    assert_eq!((answers[1].kind, answers[1].after_s), (AnswerKind::Seen, Some(5)));
}

#[tokio::test]
async fn a_page_is_small_has_no_script_and_shows_text_as_text() {
    let rig = rig(json!({"text": "<script>alert(1)</script>\n行", "answers": [
        {"id": "a", "label": "症状", "value": "頭痛", "sensitive": true}]}))
    .await;
    let (status, headers, page) = rig.get("192.0.2.2").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.len() < 15 * 1024, "{}", page.len());
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("さくら&lt;商事&gt;"),
        "{page}"
    );
    assert!(!page.contains("<script") && !page.contains("頭痛") && !page.contains("http"), "{page}");
    assert!(!page.contains(" checked"), "no choice is made before the person makes it");
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-robots-tag", "noindex, nofollow"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(!headers.contains_key("set-cookie"));
    let (_, _, english) = rig.send("GET", &format!("/a/{TOKEN}?lang=en"), String::new(), "192.0.2.2").await;
    assert!(english.contains("Who confirms?") && english.contains("lang=\"en\""), "{english}");
    let (status, headers, _) = rig.send("GET", "/public.css", String::new(), "192.0.2.2").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &HeaderValue::from_static("text/css; charset=utf-8"))
    );
    for path in ["/", "/v1/messages", "/healthz", "/metrics", "/a/", "/a/unknown", "/a/%00", "/a/a%2fb"] {
        let (status, _, page) = rig.send("GET", path, String::new(), "192.0.2.4").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.contains("ページが見つかりません"), "{path}: {page}");
    }
}

#[tokio::test]
async fn what_privacy_keeps_in_the_house_is_not_on_the_page() {
    let fields = json!({"text": "秘密の内容", "privacy": "notice", "from": {"name": "ヤマモト", "number": "090-1111-2222", "number_is": "told"}});
    let rig = rig(fields).await;
    let (_, _, page) = rig.get("192.0.2.2").await;
    for secret in ["秘密", "ヤマモト", "1111-2222"] {
        assert!(!page.contains(secret), "{page}");
    }
    let page = rig.reveal("1234").await;
    assert!(page.contains("下4桁が違います") && !page.contains("秘密"), "{page}");
    assert_eq!(rig.message().await.state, MessageState::Sent);
    let page = rig.reveal("０００1").await;
    assert!(page.contains("秘密の内容") && page.contains("ヤマモト"), "{page}");
    assert_eq!(rig.message().await.state, MessageState::Acknowledged);
    let (_, _, page) = rig.get("192.0.2.2").await;
    assert!(!page.contains("秘密"), "only this once: {page}");
    // Five wrong ones, and nobody guesses further.
    for _ in 0..4 {
        rig.reveal("9999").await;
    }
    let page = rig.reveal("0001").await;
    assert!(!page.contains("秘密") && !page.contains("name=\"digits\""), "{page}");
}

#[tokio::test]
async fn not_mine_does_not_confirm_and_call_me_makes_a_task() {
    let rig = rig(json!({"text": "納期"})).await;
    rig.press("not_mine", "other", "田中", 3, "192.0.2.2").await;
    assert_eq!(rig.message().await.state, MessageState::Sent);
    let (_, page) = rig.press("call_me", "other", "", 3, "192.0.2.2").await;
    assert!(page.contains("お名前をご記入ください"), "{page}");
    rig.press("call_me", "contact", "", 3, "192.0.2.2").await;
    rig.press("call_me", "contact", "", 3, "192.0.2.2").await;
    let answers = rig.store.message_answers(rig.message).await.unwrap();
    let said: Vec<_> = answers.iter().map(|answer| (answer.kind, answer.by_name.as_str())).collect();
    assert_eq!(said, [(AnswerKind::NotMine, "田中"), (AnswerKind::CallMe, "佐々木")]);
    assert_eq!(rig.message().await.state, MessageState::Acknowledged);
    let tasks = rig.store.tasks(TaskFilter::default()).await.unwrap();
    assert_eq!((tasks.len(), tasks[0].number.as_str()), (1, "090-1111-0001"));
}

#[tokio::test]
async fn a_link_ends_with_its_time_and_with_its_message() {
    let rig = rig(json!({"text": "納期"})).await;
    rig.pass(24 * 3600);
    assert_eq!(rig.get("192.0.2.2").await.0, StatusCode::NOT_FOUND);
    rig.pass(-24 * 3600);
    assert_eq!(rig.get("192.0.2.5").await.0, StatusCode::OK);
    rig.store.delete_message(rig.message).await.unwrap();
    assert_eq!(rig.get("192.0.2.6").await.0, StatusCode::NOT_FOUND);
    let left = rig.store.message_deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!(left.len(), 0);
}
