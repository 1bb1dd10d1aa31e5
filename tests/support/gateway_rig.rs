//! The gateway under test, over a store and a bus: four people of two teams, an administrator and a system, each with a
//! token.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;
use toritsugi::bus::{Bus, BusSettings};
use toritsugi::command::{CommandRequest, Commands};
use toritsugi::contract::call::{CallState, CallView, Direction};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::event_id::EventId;
use toritsugi::contract::words::{Word, WordKind};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::gateway::{AddressRange, App, Metrics, Settings, serve};
use toritsugi::ids::{Extension, RecordId};
use toritsugi::messages::MessageRelay;
use toritsugi::numbers::NumberPlan;
use toritsugi::people::role::Role;
use toritsugi::people::roster::People;
use toritsugi::store::Store;

use super::api_contract::{Received, difference};
use super::bus::settings as bus_settings;
use super::client::{Sse, Ws, http};
use super::clock::TestClock;
use super::ids::{call, extension, pbx};
use super::people::{TestUser, add_token, add_user};
use super::wait::TEST_TIMEOUT;

/// The password of every user who has one.
pub(crate) const PASSWORD: &str = "取次電話の合言葉です";

/// Settings that a test may change.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) replay_events: usize,
    pub(crate) subscriber_events: usize,
    pub(crate) subscribers: usize,
    pub(crate) connections: usize,
    pub(crate) body_bytes: usize,
    pub(crate) history_file_calls: usize,
    pub(crate) supervisors_switch: bool,
    pub(crate) heartbeat: Duration,
    pub(crate) plan: NumberPlan,
    pub(crate) secure_cookie: bool,
    pub(crate) trusted_proxies: Vec<AddressRange>,
    pub(crate) messages: toritsugi::messages::Settings,
    pub(crate) setup: Arc<toritsugi::gateway::Setup>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replay_events: 1000,
            subscriber_events: 1024,
            subscribers: 500,
            connections: 1000,
            body_bytes: 64 * 1024,
            history_file_calls: 1_000,
            supervisors_switch: false,
            heartbeat: Duration::from_secs(15),
            plan: NumberPlan::default(),
            secure_cookie: false,
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            messages: toritsugi::messages::Settings::default(),
            setup: Arc::default(),
        }
    }
}

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: Option<JoinHandle<std::io::Result<()>>>,
    /// The receiver of the commands that the core would get.
    pub(crate) commands: Option<mpsc::Receiver<CommandRequest>>,
    http: reqwest::Client,
    clock: TestClock,
    tokens: HashMap<&'static str, String>,
    users: HashMap<&'static str, RecordId>,
    _dir: Option<tempfile::TempDir>,
}

/// Everybody who has a token. One operator has a password, too.
const PEOPLE: &[TestUser<'_>] = &[
    TestUser::new("admin", Role::Admin, None, None),
    TestUser::new("crm", Role::System, None, None),
    TestUser {
        password: Some(PASSWORD), ..TestUser::new("1001", Role::Operator, Some("1001"), Some("A班"))
    },
    TestUser::new("1002", Role::Operator, Some("1002"), Some("B班")),
    TestUser::new("2001", Role::Supervisor, Some("2001"), Some("A班")),
    TestUser::new("2002", Role::Supervisor, Some("2002"), Some("B班")),
];

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        Self { _dir: Some(dir), ..Self::over(store, options).await }
    }

    /// Starts the gateway over this empty store.
    #[expect(clippy::too_many_lines, reason = "one line for each part of the daemon")]
    pub(crate) async fn over(store: Store, options: Options) -> Self {
        let test_clock = TestClock::new();
        let clock = test_clock.reader();
        let bus = Bus::new(BusSettings {
            replay_events_max: options.replay_events,
            subscriber_events_max: options.subscriber_events,
            subscribers_max: options.subscribers,
            ..bus_settings(pbx(), "t1")
        });
        let (mut users, mut tokens) = (HashMap::new(), HashMap::new());
        for TestUser { name, .. } in PEOPLE {
            let (user, token) = add(&store, name, clock.now()).await;
            users.insert(*name, user);
            tokens.insert(*name, token);
        }
        let (giving, commands) = Commands::channel();
        let message_relay = MessageRelay::default();
        let following = toritsugi::pbx_link::Following::default();
        following.set(true);
        let directory = DirectoryOptions { plan: options.plan, ..DirectoryOptions::default() };
        let words = options.messages.words.clone();
        let mut written = Vec::new();
        for mut list in words.current().lists() {
            if list.kind == WordKind::Disposition {
                list.words.push(Word::of(&"message:伝言".parse().unwrap()));
            }
            let write = store.write_words(list.kind, &list.words, 0, clock.now());
            written.extend(if list.words.is_empty() { None } else { Some(write.await.unwrap()) });
        }
        words.replace(written);
        let app = App {
            settings: Settings {
                allowed_origins: vec!["https://desk.example.jp".into()],
                secure_cookie: options.secure_cookie,
                trusted_proxies: options.trusted_proxies,
                session_ttl: Duration::from_secs(12 * 3600),
                connections_max: options.connections,
                body_bytes_max: options.body_bytes,
                history_file_calls_max: options.history_file_calls,
                supervisors_switch: options.supervisors_switch,
                brings_sounds: true,
                history_whole_for: None,
                report_font: None,
                drain_timeout: Duration::from_secs(5),
                heartbeat_interval: options.heartbeat,
                messages: options.messages,
            },
            bus,
            presence: toritsugi::people::Presence::default(),
            people: People::new(store.roster().await.unwrap()),
            directory: Directory::load(store.clone(), directory).await.unwrap(),
            store,
            commands: giving,
            message_relay,
            transfers: toritsugi::directory::transfer_targets::Settings::default(),
            queue_faults: toritsugi::operators::SharedQueueFaults::default(),
            following,
            plan_status: toritsugi::callflow::SharedPlanStatus::default(),
            words,
            metrics: Arc::new(Metrics::default()),
            setup: options.setup,
            clock,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let App { message_relay, bus, store, people, .. } = app.clone();
        tokio::spawn(message_relay.run(bus, store, people, shutdown.clone()));
        let served = Some(tokio::spawn(serve(listener, app.clone(), shutdown.clone())));
        let http = http();
        let commands = Some(commands);
        Self { address, app, shutdown, served, commands, http, clock: test_clock, tokens, users, _dir: None }
    }

    /// Moves the gateway's clocks forward.
    pub(crate) fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Sets the gateway's clock back, as an administrator does.
    pub(crate) fn set_back(&self, time: Duration) {
        self.clock.set_back(time);
    }

    pub(crate) fn token(&self, who: &str) -> &str {
        &self.tokens[who]
    }

    pub(crate) fn user(&self, who: &str) -> RecordId {
        self.users[who]
    }

    /// A request without any token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> Request {
        Request(self.http.request(method, format!("http://{}{path}", self.address)))
    }

    pub(crate) fn request(&self, who: &str, method: Method, path: &str) -> Request {
        self.bare(method, path).bearer_auth(self.token(who))
    }

    pub(crate) async fn get(&self, who: &str, path: &str) -> (StatusCode, Value) {
        answer(self.request(who, Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn send(
        &self,
        who: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        answer(self.request(who, method, path).json(body).send().await.unwrap()).await
    }

    /// Follows the events as `who`.
    pub(crate) async fn follow(&self, who: &str, after: Option<&str>) -> Sse {
        let mut request = self.request(who, Method::GET, "/v1/events");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        Sse::of(request.send().await.unwrap()).await
    }

    /// Opens a WebSocket with these headers.
    pub(crate) async fn web_socket(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Ws, tungstenite::Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Ws(socket))
    }

    pub(crate) async fn follow_ws(&self, who: &str, after: Option<&str>) -> Ws {
        let path = after.map_or("/v1/events/ws".into(), |id| format!("/v1/events/ws?after={id}"));
        self.web_socket(&path, &[("authorization", &format!("Bearer {}", self.token(who)))]).await.unwrap()
    }

    pub(crate) fn publish(&self, draft: NewEvent) -> EventId {
        self.app.bus.publish(draft)
    }

    /// Publishes that the `n`th call rings at `operators`; without operators, that it was offered.
    pub(crate) fn ring(&self, n: u32, operators: &[&str]) -> EventId {
        self.publish(ringing(n, operators, json!({"operators": operators}), self.app.clock.now()))
    }

    pub(crate) fn end(&self, n: u32) -> EventId {
        let change = StateDelta::CallGone(call(n));
        let audience = Audience::Operators(Vec::new());
        let at = self.app.clock.now();
        let call = Some(call(n));
        self.publish(NewEvent { kind: EventKind::CallEnded, at, call, audience, data: json!({}), change })
    }

    /// Publishes that the PBX link is up or down.
    pub(crate) fn link(&self, up: bool) -> EventId {
        let kind = if up { EventKind::PbxUp } else { EventKind::PbxDown };
        let at = self.app.clock.now();
        let (audience, change) = (Audience::All, StateDelta::Pbx { up, since: at });
        self.publish(NewEvent { kind, at, call: None, audience, data: json!({}), change })
    }

    /// Waits until this number of streams is open.
    pub(crate) async fn streams(&self, wanted: usize) {
        let reached = async {
            while self.app.bus.stats().subscribers != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, reached).await.expect("the number of streams");
    }
}

/// A request to the gateway under test, built as reqwest's own. [`Request::send`] is the one place where requests are sent,
/// and fails the test when the answer is not as the OpenAPI document says.
#[must_use]
#[derive(Debug)]
pub(crate) struct Request(RequestBuilder);

impl Request {
    pub(crate) fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name, value.as_ref()))
    }

    pub(crate) fn bearer_auth(self, token: impl Display) -> Self {
        Self(self.0.bearer_auth(token))
    }

    pub(crate) fn query(self, query: &(impl Serialize + ?Sized)) -> Self {
        Self(self.0.query(query))
    }

    pub(crate) fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        Self(self.0.json(body))
    }

    pub(crate) fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    /// Sends the request, and compares the answer with the OpenAPI document.
    pub(crate) async fn send(self) -> reqwest::Result<Response> {
        let (client, request) = self.0.build_split();
        let request = request?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await?;
        let status = response.status();
        let headers = response.headers().clone();
        let content_type =
            headers.get(header::CONTENT_TYPE).and_then(|text| text.to_str().ok()).unwrap_or_default();
        let compare = |body: Option<&[u8]>| {
            let received = Received { method: &method, path: &path, status, content_type, body };
            if let Some(difference) = difference(&received) {
                panic!(
                    "{difference}\nsee docs/contributing.md: the OpenAPI document is made from the handlers"
                );
            }
        };
        if content_type == "text/event-stream" {
            compare(None);
            return Ok(response);
        }
        let version = response.version();
        let body = response.bytes().await?;
        compare(Some(&body));
        let mut whole = axum::http::Response::new(body);
        (*whole.status_mut(), *whole.headers_mut(), *whole.version_mut()) = (status, headers, version);
        Ok(whole.into())
    }
}

/// Adds a user of [`PEOPLE`], or an operator with another name, to the store alone; returns the user and a token.
pub(crate) async fn add(store: &Store, name: &str, at: Timestamp) -> (RecordId, String) {
    let known = PEOPLE.iter().find(|user| user.name == name).copied();
    let user = known.unwrap_or(TestUser::new(name, Role::Operator, None, None));
    let id = add_user(store, &user, at).await;
    (id, add_token(store, id, None, at).await)
}

/// The event that shows the `n`th call ringing at these operators; without operators, the call was only offered.
pub(crate) fn ringing(n: u32, operators: &[&str], data: Value, at: Timestamp) -> NewEvent {
    let operators: Vec<Extension> = operators.iter().map(|digits| extension(digits)).collect();
    let (kind, state, audience) = if operators.is_empty() {
        (EventKind::CallOffered, CallState::Offered, Audience::Supervisors)
    } else {
        (EventKind::CallPresented, CallState::Presented, Audience::Operators(operators.clone()))
    };
    let view = CallView {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        state,
        offered_at: at,
        answered_at: None,
        ended_at: None,
        presented_to: operators,
        operator: None,
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    };
    NewEvent { kind, at, call: Some(call(n)), audience, data, change: StateDelta::Call(Arc::new(view)) }
}

/// Status and body of a response; `null` where the body is not JSON.
pub(crate) async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
