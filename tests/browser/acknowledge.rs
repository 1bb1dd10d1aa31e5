//! The confirmation page on a telephone: a contact confirms a message in three taps.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use toritsugi::contract::message::{MessageFields, MessageKind, MessageState, NewMessage};
use toritsugi::contract::records::{AccountFields, ContactFields};
use toritsugi::gateway::{Clock, Metrics, PublicApp, link_hash, serve_public};
use toritsugi::ids::{PbxId, RecordId};
use toritsugi::messages::MessageRelay;
use toritsugi::numbers::NumberPlan;
use toritsugi::store::Store;
use toritsugi::store::answers::NewLink;
use toritsugi::store::mail_servers::MAIL_SERVER;
use uuid::Uuid;

use crate::chromium::{Chromium, Tab};

const TOKEN: &str = "abcdefghijklmnopqrstuv";

fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

/// A store with one message that was mailed with the link of [`TOKEN`].
async fn store(directory: &Path) -> Store {
    let (plan, at) = (NumberPlan::default(), Timestamp::now());
    let store = Store::open(&directory.join("store.db")).await.unwrap();
    let account =
        AccountFields { code: "A".into(), name: "さくら商事".into(), ..AccountFields::default() };
    let account = store.create_account(&account.checked(&plan).unwrap(), at).await.unwrap().id;
    store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    let contact = ContactFields {
        email: Some("sasaki@sakura.example.jp".into()),
        on_call_order: Some(1),
        ..ContactFields::named(account, "佐々木")
    };
    store.create_contact(&contact.checked(&plan).unwrap(), at).await.unwrap();
    let fields: MessageFields = serde_json::from_value(json!({
        "text": "注文1234の納期を確認したいとのことです。\n17時までに折り返しをお願いします。", "action": "call_back",
        "from": {"name": "ヤマモト", "company": "ミホン", "number": "090-1111-2222", "number_is": "told"},
    }))
    .unwrap();
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
        day: "261129".into(),
        not_before: at,
    };
    store.create_message(&new, &PbxId::parse("lab").unwrap(), at).await.unwrap();
    let claimed = store.claim_message_deliveries(MAIL_SERVER, id(9), (at, at), 1).await.unwrap();
    let expires_at = at + SignedDuration::from_hours(1);
    let link = NewLink { hash: link_hash(TOKEN), delivery: claimed[0].id, expires_at };
    store.keep_links(&[link]).await.unwrap();
    store
}

async fn tap(tab: &Tab, element: &str) {
    tab.eval(&format!("document.querySelector('{element}').click()")).await;
}

async fn keep(tab: &Tab, name: &str) {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    std::fs::write(pictures.join(name), tab.picture().await).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_confirms_a_message_in_three_taps_on_a_telephone() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a/{TOKEN}", listener.local_addr().unwrap());
    let later = Arc::new(AtomicI64::new(0));
    let shift = Arc::clone(&later);
    let app = PublicApp {
        store: store.clone(),
        relay: MessageRelay::default(),
        key: [7; 32],
        trusted_proxies: Vec::new(),
        time_zone: TimeZone::get("Asia/Tokyo").unwrap(),
        plan: NumberPlan::default(),
        service_name: "さくら電話秘書".into(),
        clock: Clock::new(move || {
            Timestamp::now() + SignedDuration::from_millis(shift.load(Ordering::SeqCst))
        }),
    };
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve_public(listener, app, Arc::new(Metrics::default()), stop.clone()));
    let browser = Chromium::start().await;
    let tab = browser.tab(360, 640).await;
    tab.call("Page.navigate", json!({ "url": url })).await;
    tab.until("the message", "document.querySelector('.text')?.innerText.includes('注文1234')").await;
    for width in [320, 360] {
        tab.size(width, 640).await;
        let fits = "document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(tab.eval(fits).await, json!(true), "{width} pixels");
    }
    assert_eq!(tab.eval("document.scripts.length + document.cookie.length").await, json!(0));
    assert_eq!(tab.eval("document.querySelectorAll('input:checked').length").await, json!(0));
    keep(&tab, "acknowledge.png").await;
    tab.dark(true).await;
    keep(&tab, "acknowledge-dark.png").await;
    tab.dark(false).await;
    // A robot presses at once; a person reads first.
    tap(&tab, "input[value=contact]").await;
    tap(&tab, "button[value=seen]").await;
    tab.until("that it was too soon", "document.querySelector('[role=alert]')").await;
    assert_eq!(store.message(id(1)).await.unwrap().unwrap().state, MessageState::Open);
    later.fetch_add(3_000, Ordering::SeqCst);
    tap(&tab, "input[value=contact]").await;
    tap(&tab, "button[value=seen]").await;
    tab.until(
        "the confirmation",
        "document.querySelector('[role=status]')?.innerText.includes('佐々木さんが')",
    )
    .await;
    keep(&tab, "acknowledged.png").await;
    let message = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!(message.state, MessageState::Acknowledged);
    browser.close().await;
    stop.cancel();
    served.await.unwrap().unwrap();
}
