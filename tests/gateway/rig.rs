//! A gateway under test: four people of two teams, an administrator and a system, each with a token.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;
use toritsugi::bus::{Audience, Bus, BusSettings, Change, Draft, EventId, EventKind, StreamToken};
use toritsugi::call::view::{CallState, CallView, Direction};
use toritsugi::command::{Commands, Given};
use toritsugi::directory::numbers::NumberPlan;
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::gateway::{App, Clock, Metrics, Settings, serve};
use toritsugi::ids::{CallId, ChannelId, Extension, PbxId, RecordId};
use toritsugi::message::Teller;
use toritsugi::operator::{PasswordHash, People, Role, Token};
use toritsugi::store::Store;
use toritsugi::store::users::{TokenDraft, TokenKind, UserDraft};

use crate::desk::{Sse, Ws};

/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The password of everybody who has one.
pub(crate) const PASSWORD: &str = "取次電話の合言葉です";
/// 2026-01-05 09:00 in Tokyo.
const MORNING_MS: i64 = 1_767_571_200_000;

/// What a test may want otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) replay_events: usize,
    pub(crate) subscriber_events: usize,
    pub(crate) subscribers: usize,
    pub(crate) connections: usize,
    pub(crate) body_bytes: usize,
    pub(crate) heartbeat: Duration,
    pub(crate) plan: NumberPlan,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replay_events: 1000,
            subscriber_events: 1024,
            subscribers: 500,
            connections: 1000,
            body_bytes: 64 * 1024,
            heartbeat: Duration::from_secs(15),
            plan: NumberPlan::default(),
        }
    }
}

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: Option<JoinHandle<std::io::Result<()>>>,
    /// What the core would get.
    pub(crate) commands: Option<mpsc::Receiver<Given>>,
    http: reqwest::Client,
    now_ms: Arc<AtomicI64>,
    tokens: HashMap<&'static str, String>,
    users: HashMap<&'static str, RecordId>,
    _dir: Option<tempfile::TempDir>,
}

/// Name, role, extension, team.
const PEOPLE: &[(&str, Role, Option<&str>, Option<&str>)] = &[
    ("admin", Role::Admin, None, None),
    ("crm", Role::System, None, None),
    ("1001", Role::Operator, Some("1001"), Some("A班")),
    ("1002", Role::Operator, Some("1002"), Some("B班")),
    ("2001", Role::Supervisor, Some("2001"), Some("A班")),
    ("2002", Role::Supervisor, Some("2002"), Some("B班")),
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

    /// Over this store, which is empty.
    pub(crate) async fn over(store: Store, options: Options) -> Self {
        let now_ms = Arc::new(AtomicI64::new(MORNING_MS));
        let clock = {
            let now_ms = Arc::clone(&now_ms);
            Clock::new(move || Timestamp::from_millisecond(now_ms.load(Ordering::Relaxed)).unwrap())
        };
        let bus = Bus::new(BusSettings {
            pbx: pbx(),
            stream: StreamToken::parse("t1").unwrap(),
            replay_events_max: options.replay_events,
            replay_age_max: Duration::from_secs(3600),
            subscriber_events_max: options.subscriber_events,
            subscribers_max: options.subscribers,
        });
        let (mut users, mut tokens) = (HashMap::new(), HashMap::new());
        for (name, ..) in PEOPLE {
            let (user, token) = add(&store, name, clock.now()).await;
            users.insert(*name, user);
            tokens.insert(*name, token);
        }
        let (giving, commands) = Commands::channel();
        let teller = Teller::default();
        let directory = DirectoryOptions { plan: options.plan, ..DirectoryOptions::default() };
        let app = App {
            settings: Settings {
                allowed_origins: vec!["https://desk.example.jp".into()],
                secure_cookie: false,
                session: Duration::from_secs(12 * 3600),
                connections_max: options.connections,
                body_bytes_max: options.body_bytes,
                drain: Duration::from_secs(5),
                heartbeat: options.heartbeat,
            },
            bus,
            presence: toritsugi::operator::Presence::default(),
            people: People::new(store.roster().await.unwrap()),
            directory: Directory::load(store.clone(), directory).await.unwrap(),
            store,
            commands: giving,
            teller,
            transfers: toritsugi::transfer::Settings::default(),
            metrics: Arc::new(Metrics::default()),
            clock,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let App { teller, bus, store, people, .. } = app.clone();
        tokio::spawn(teller.run(bus, store, people, shutdown.clone()));
        let served = Some(tokio::spawn(serve(listener, app.clone(), shutdown.clone())));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let commands = Some(commands);
        Self { address, app, shutdown, served, commands, http, now_ms, tokens, users, _dir: None }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now_ms.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn token(&self, who: &str) -> &str {
        &self.tokens[who]
    }

    pub(crate) fn user(&self, who: &str) -> RecordId {
        self.users[who]
    }

    /// A request without any token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) fn request(&self, who: &str, method: Method, path: &str) -> RequestBuilder {
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

    pub(crate) fn publish(&self, draft: Draft) -> EventId {
        self.app.bus.publish(draft)
    }

    /// The `n`th call rings at `operators` (at nobody: it was offered).
    pub(crate) fn ring(&self, n: u32, operators: &[&str]) -> EventId {
        self.publish(ringing(n, operators, json!({"operators": operators}), self.app.clock.now()))
    }

    pub(crate) fn end(&self, n: u32) -> EventId {
        let change = Change::CallGone(call(n));
        let audience = Audience::Operators(Vec::new());
        let at = self.app.clock.now();
        let call = Some(call(n));
        self.publish(Draft { kind: EventKind::CallEnded, at, call, audience, data: json!({}), change })
    }

    /// The link to the PBX is up from now on, or down.
    pub(crate) fn link(&self, up: bool) -> EventId {
        let kind = if up { EventKind::PbxUp } else { EventKind::PbxDown };
        let at = self.app.clock.now();
        let (audience, change) = (Audience::All, Change::Pbx { up, since: at });
        self.publish(Draft { kind, at, call: None, audience, data: json!({}), change })
    }

    /// Waits until as many streams are open.
    pub(crate) async fn streams(&self, wanted: usize) {
        let reached = async {
            while self.app.bus.figures().subscribers != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the number of streams");
    }
}

/// Makes a user of [`PEOPLE`], or a nameless operator, in the store alone; with a token.
pub(crate) async fn add(store: &Store, name: &str, at: Timestamp) -> (RecordId, String) {
    let known = PEOPLE.iter().find(|(known, ..)| *known == name);
    let (_, role, extension, team) = known.copied().unwrap_or((name, Role::Operator, None, None));
    let draft = UserDraft {
        name: name.to_owned(),
        kana: String::new(),
        role,
        extension: extension.map(|digits| Extension::parse(digits).unwrap()),
        team: team.map(str::to_owned),
        password: (name == "1001").then(|| PasswordHash::of(PASSWORD).unwrap()),
    };
    let user = store.add_user(&draft, at).await.unwrap();
    (user, add_token(store, user, None, at).await)
}

pub(crate) async fn add_token(
    store: &Store,
    user: RecordId,
    expires_at: Option<Timestamp>,
    at: Timestamp,
) -> String {
    let token = random_token();
    let draft =
        TokenDraft { user, hash: token.hash(), kind: TokenKind::Token, label: "test".into(), expires_at };
    store.add_token(&draft, at).await.unwrap();
    token.expose()
}

fn random_token() -> Token {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    Token::from_random(bytes)
}

pub(crate) fn pbx() -> PbxId {
    PbxId::parse("osaka-1").unwrap()
}

pub(crate) fn call(n: u32) -> CallId {
    CallId::derive(&pbx(), &ChannelId::parse(&format!("1700000000.{n}")).unwrap())
}

pub(crate) fn ringing(n: u32, operators: &[&str], data: Value, at: Timestamp) -> Draft {
    let operators: Vec<Extension> =
        operators.iter().map(|digits| Extension::parse(digits).unwrap()).collect();
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
        outcome: None,
        card: None,
        inferred: false,
    };
    Draft { kind, at, call: Some(call(n)), audience, data, change: Change::Call(Arc::new(view)) }
}

/// Status and body; `null` where there is no JSON.
pub(crate) async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
