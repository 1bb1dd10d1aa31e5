//! A receiver that fails, and a daemon that ends: each event arrives, under one id, with a valid signature.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::bus::BusSettings;
use crate::contract::event::{Audience, NewEvent, StateDelta};
use crate::contract::event_id::StreamToken;
use crate::ids::PbxId;
use crate::store::webhooks::DeliveryState;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A received request: id, timestamp, signature, body.
type ReceivedRequest = (String, i64, String, String);

/// Answers with the prepared statuses, then 200, and forwards each request to the test.
#[derive(Clone)]
struct TestReceiver {
    prepared: Arc<Mutex<VecDeque<u16>>>,
    arrived: mpsc::UnboundedSender<ReceivedRequest>,
}

async fn take(State(receiver): State<TestReceiver>, headers: HeaderMap, body: String) -> StatusCode {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let timestamp = text("webhook-timestamp").parse().unwrap();
    receiver.arrived.send((text("webhook-id"), timestamp, text("webhook-signature"), body)).unwrap();
    let status = receiver.prepared.lock().pop_front().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}

async fn receiver(prepared: &[u16]) -> (Url, mpsc::UnboundedReceiver<ReceivedRequest>) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let prepared = Arc::new(Mutex::new(prepared.iter().copied().collect()));
    let app = Router::new().route("/in", post(take)).with_state(TestReceiver { prepared, arrived });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, arrivals)
}

fn bus() -> Bus {
    Bus::new(BusSettings {
        pbx: PbxId::parse("pbx").unwrap(),
        stream: StreamToken::parse("s1").unwrap(),
        replay_events_max: 100,
        replay_age_max: Duration::from_secs(3_600),
        subscriber_events_max: 100,
        subscribers_max: 10,
    })
}

fn publish(bus: &Bus, kind: EventKind, name: &str) -> String {
    let (data, change) = (json!({ "name": name }), StateDelta::None);
    let event = NewEvent {
        kind,
        at: Timestamp::UNIX_EPOCH,
        call: None,
        audience: Audience::Supervisors,
        data,
        change,
    };
    bus.publish(event).to_string()
}

struct Running(TaskTracker, CancellationToken);

fn run(url: &Url, bus: &Bus, store: &Store) -> Running {
    run_trusting(url, bus, store, Vec::new())
}

fn run_trusting(url: &Url, bus: &Bus, store: &Store, authorities: Vec<CertificateDer<'static>>) -> Running {
    let receiver = Receiver {
        name: "crm".into(),
        url: url.clone(),
        secret: Secret::new("0123456789abcdef"),
        kinds: vec!["call.*".parse().unwrap()],
    };
    let settings = Settings { receivers: vec![receiver], allow_private: true, authorities };
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    start(settings, bus, store, &Metrics::default(), &tasks, &shutdown).unwrap();
    tasks.close();
    Running(tasks, shutdown)
}

impl Running {
    async fn stop(self) {
        self.1.cancel();
        tokio::time::timeout(TEST_TIMEOUT, self.0.wait()).await.expect("the tasks end");
    }
}

async fn next(arrivals: &mut mpsc::UnboundedReceiver<ReceivedRequest>) -> (String, Value) {
    let arrived = tokio::time::timeout(TEST_TIMEOUT, arrivals.recv()).await.expect("a webhook in time");
    let (id, timestamp, signature, body) = arrived.unwrap();
    assert_eq!(signature, sign(&Secret::new("0123456789abcdef"), &id, timestamp, body.as_bytes()));
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["id"], id.as_str(), "the id is the event's");
    (id, event)
}

/// Waits until the outbox holds so many deliveries.
async fn wait_for_outbox(store: &Store, wanted: usize) {
    let reached = async {
        while store.deliveries(None).await.unwrap().len() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, reached).await.expect("the outbox");
}

/// Waits until the outbox writer has read its cursor and subscribed: an event published before that is not delivered.
async fn wait_for_subscription(bus: &Bus) {
    let reached = async {
        while bus.stats().subscribers == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, reached).await.expect("a subscription");
}

#[tokio::test]
async fn an_event_is_posted_until_it_is_taken_over_restarts_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
    let bus = bus();
    let (url, mut arrivals) = receiver(&[500, 307]).await;
    let running = run(&url, &bus, &store);
    wait_for_subscription(&bus).await;
    publish(&bus, EventKind::PbxUp, "nobody asked for this");
    let first = publish(&bus, EventKind::CallEnded, "株式会社さくら商事");
    // Refused once, redirected once (which is not followed), then accepted: the same id each time.
    for _ in 0..3 {
        let (id, event) = next(&mut arrivals).await;
        assert_eq!((id.as_str(), &event["data"]["name"]), (first.as_str(), &json!("株式会社さくら商事")));
    }
    wait_for_outbox(&store, 0).await;
    running.stop().await;

    // An event that is published while the tasks are stopped is posted after they start again.
    let second = publish(&bus, EventKind::CallOffered, "b");
    let running = run(&url, &bus, &store);
    assert_eq!(next(&mut arrivals).await.0, second);
    wait_for_outbox(&store, 0).await;
    running.stop().await;
    assert!(arrivals.try_recv().is_err(), "nothing came twice");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_listed_with_the_reason_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
    let bus = bus();
    // Bound and closed: nothing listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let running = run(&format!("http://{nobody}/in").parse().unwrap(), &bus, &store);
    wait_for_subscription(&bus).await;
    let ids = ["a", "b"].map(|name| publish(&bus, EventKind::CallEnded, name));
    let tried = async {
        loop {
            let waiting = store.deliveries(Some(DeliveryState::Waiting)).await.unwrap();
            if waiting.len() == 2 && waiting.iter().any(|delivery| delivery.error.is_some()) {
                return waiting;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waiting = tokio::time::timeout(TEST_TIMEOUT, tried).await.expect("an attempt");
    assert!(waiting[0].error.as_ref().unwrap().contains("cannot be reached"), "{waiting:?}");
    assert_eq!(waiting[1].attempts, 0, "one attempt failed; the others wait");
    running.stop().await;

    // The receiver is back: an administrator retries at once what would wait otherwise.
    let (url, mut arrivals) = receiver(&[]).await;
    let running = run(&url, &bus, &store);
    for delivery in &waiting {
        // It may be delivered already.
        let _ = store.retry_delivery(delivery.id, Timestamp::now()).await;
    }
    let mut arrived = vec![next(&mut arrivals).await.0, next(&mut arrivals).await.0];
    arrived.sort_unstable();
    assert_eq!(arrived, ids);
    wait_for_outbox(&store, 0).await;
    running.stop().await;
}

/// The same receiver behind TLS, its certificate signed by a private authority.
async fn private_receiver() -> (Url, CertificateDer<'static>, mpsc::UnboundedReceiver<ReceivedRequest>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], PrivateKeyDer::Pkcs8(own_key.serialize_der().into()))
        .unwrap();
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let app =
        Router::new().route("/in", post(take)).with_state(TestReceiver { prepared: Arc::default(), arrived });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/in", listener.local_addr().unwrap()).parse().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate disconnects here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let served = hyper_util::service::TowerToHyperService::new(app);
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), served).await;
            });
        }
    });
    (url, authority.der().clone(), arrivals)
}

#[tokio::test]
async fn a_receiver_behind_tls_gets_what_is_signed_where_its_authority_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
    let bus = bus();
    let (url, authority, mut arrivals) = private_receiver().await;
    // The authority is not trusted: nothing is posted.
    let running = run(&url, &bus, &store);
    wait_for_subscription(&bus).await;
    let id = publish(&bus, EventKind::CallEnded, "株式会社さくら商事");
    let refused = async {
        loop {
            let waiting = store.deliveries(Some(DeliveryState::Waiting)).await.unwrap();
            if let Some(error) = waiting.first().and_then(|delivery| delivery.error.clone()) {
                return (waiting[0].id, error);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (delivery, error) = tokio::time::timeout(TEST_TIMEOUT, refused).await.expect("an attempt");
    assert!(error.contains("cannot be reached"), "{error}");
    running.stop().await;
    assert!(arrivals.try_recv().is_err(), "the event went to a receiver that is not trusted");

    let running = run_trusting(&url, &bus, &store, vec![authority]);
    // It may be delivered already.
    let _ = store.retry_delivery(delivery, Timestamp::now()).await;
    assert_eq!(next(&mut arrivals).await.0, id);
    wait_for_outbox(&store, 0).await;
    running.stop().await;
}

#[test]
fn kinds_are_those_of_the_contract() {
    let pattern: KindPattern = "call.*".parse().unwrap();
    assert!(pattern.matches(EventKind::CallEnded) && pattern.matches(EventKind::TransferFailed));
    assert!(!pattern.matches(EventKind::OperatorState));
    let pattern: KindPattern = "operator.state".parse().unwrap();
    assert!(pattern.matches(EventKind::OperatorState) && !pattern.matches(EventKind::CallEnded));
    assert!("calls.*".parse::<KindPattern>().is_err() && "".parse::<KindPattern>().is_err());
}
