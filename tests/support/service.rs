//! The whole daemon in this process, beside the lab's PBX, with the sample companies and people.
//!
//! `Service::start(&lab)` serves on a port that the system chooses. [`Service::stop`] shuts it down in order;
//! [`Service::kill`] drops its tasks where they are, as a power cut would.
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;
use toritsugi::config::Config;
use toritsugi::daemon;
use toritsugi::directory::import::{ImportKind, ImportOptions, TextEncoding};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::people::role::Role;
use toritsugi::store::Store;

use super::client::{Sse, Ws, http};
use super::pbx_lab::Lab;
use super::people::{TestUser, add_token, add_user};
use super::wait::{TEST_TIMEOUT, eventually};

/// The users of the service.
const PEOPLE: &[TestUser<'_>] = &[
    TestUser::new("佐藤", Role::Operator, Some("1001"), Some("east")),
    TestUser::new("鈴木", Role::Operator, Some("1002"), Some("east")),
    TestUser::new("高橋", Role::Operator, Some("1003"), Some("west")),
    TestUser::new("伊藤", Role::Supervisor, Some("2001"), Some("east")),
    TestUser::new("渡辺", Role::Supervisor, Some("2002"), Some("west")),
    TestUser::new("admin", Role::Admin, None, None),
];

/// The daemon and the tokens of its users.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) config: Config,
    /// The configuration as environment variables of a process.
    pub(crate) environment: Vec<(String, String)>,
    /// Tokens by extension; the administrator's token under `admin`.
    tokens: Vec<(String, String)>,
    http: reqwest::Client,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Service {
    /// Starts a service with an empty history.
    pub(crate) async fn start(lab: &Lab) -> Self {
        Self::start_with(lab, &[]).await
    }

    /// Starts a service with further settings, each as an environment variable without its prefix.
    pub(crate) async fn start_with(lab: &Lab, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environment = environment(lab, &directory.path().join("toritsugi.db"), settings);
        let config = Config::from_layers(None, environment.iter().cloned()).unwrap();
        let tokens = furnish(&config).await;
        let (address, shutdown, running) = serve(config.clone(), "127.0.0.1:0".parse().unwrap()).await;
        let http = http();
        let service =
            Self { address, config, environment, tokens, http, shutdown, running, _directory: directory };
        service.is_ready().await;
        service
    }

    /// Prepares everything except the daemon, which the test starts as a process at [`Self::address`] with
    /// [`Self::environment`].
    pub(crate) async fn outside(lab: &Lab, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let listen = address.to_string();
        let settings: Vec<_> =
            settings.iter().copied().chain([("GATEWAY__LISTEN", listen.as_str())]).collect();
        let environment = environment(lab, &directory.path().join("toritsugi.db"), &settings);
        let config = Config::from_layers(None, environment.iter().cloned()).unwrap();
        let tokens = furnish(&config).await;
        let http = http();
        let (shutdown, running) = (CancellationToken::new(), tokio::spawn(async {}));
        Self { address, config, environment, tokens, http, shutdown, running, _directory: directory }
    }

    /// Drops the daemon with everything it had in memory; [`Self::again`] starts another on the same database.
    pub(crate) async fn kill(&mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }

    /// Starts a daemon again, on the same address and database.
    pub(crate) async fn again(&mut self) {
        let (_, shutdown, running) = serve(self.config.clone(), self.address).await;
        (self.shutdown, self.running) = (shutdown, running);
        self.is_ready().await;
    }

    /// Shuts the daemon down in order.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(TEST_TIMEOUT, &mut self.running).await.expect("the daemon ends").unwrap();
    }

    /// The token of the person at this extension, or of `admin`.
    pub(crate) fn token(&self, who: &str) -> &str {
        let (_, token) = self.tokens.iter().find(|(name, _)| name == who).expect("nobody of that name");
        token
    }

    /// A request as `who`.
    pub(crate) fn request(&self, who: &str, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address)).bearer_auth(self.token(who))
    }

    /// Sends a request as `who`; returns status and JSON (null without a body).
    pub(crate) async fn ask(
        &self,
        who: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.request(who, method, path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    /// Repeats a request until the answer is as wanted, for what no event reports.
    pub(crate) async fn until(
        &self,
        who: &str,
        path: &str,
        is: impl Fn(StatusCode, &Value) -> bool,
    ) -> Value {
        eventually(&format!("{path} is as wanted"), async || {
            let (status, answer) = self.ask(who, Method::GET, path, None).await;
            if is(status, &answer) { Ok(answer) } else { Err(format!("{status} {answer}")) }
        })
        .await
    }

    /// The value of a metric without labels; `Err` when the daemon does not answer or has no such metric.
    pub(crate) async fn metric(&self, name: &str) -> Result<u64, String> {
        let request = self.request("admin", Method::GET, "/metrics").send();
        let text = async { request.await?.text().await }.await.map_err(|error| error.to_string())?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| format!("no metric {name}"))
    }

    /// Changes the record of the account with this code.
    pub(crate) async fn change_account(&self, code: &str, patch: Value) {
        let (_, list) = self.ask("admin", Method::GET, "/v1/accounts", None).await;
        let accounts = list["items"].as_array().unwrap();
        let account =
            accounts.iter().find(|account| account["code"] == code).expect("there is such an account");
        let path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
        let (status, answer) = self.ask("admin", Method::PATCH, &path, Some(patch)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// Lets contacts of every account take a caller without pressing a key.
    pub(crate) async fn nobody_presses_a_key(&self) {
        for code in ["A001", "A002"] {
            self.change_account(code, serde_json::json!({ "accept_by_key": false })).await;
        }
    }

    /// Follows the events as `who`, resuming after the event `after` if it is set.
    pub(crate) async fn follow(&self, who: &str, after: Option<&str>) -> Sse {
        let mut request = self.request(who, Method::GET, "/v1/events");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let events = Sse::of(request.send().await.unwrap()).await;
        if who == "admin" && after.is_none() { events.in_order() } else { events }
    }

    /// Follows the events over a WebSocket.
    pub(crate) async fn follow_ws(&self, who: &str) -> Ws {
        let mut request = format!("ws://{}/v1/events/ws", self.address).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token(who)).parse().unwrap());
        Ws(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    /// Waits until the PBX link is up, by the snapshot or by `pbx.up`.
    async fn is_ready(&self) {
        let mut events = self.follow("admin", None).await;
        let first = events.next().await.expect("a first frame");
        let up = |pbx: &Value| pbx["up"] == Value::Bool(true);
        if up(&first["data"]["pbx"]) || first["data"]["pbx"].as_array().is_some_and(|all| all.iter().any(up))
        {
            return;
        }
        wait_for(&mut events, "pbx.up").await;
    }
}

/// The next event of this kind; other events are skipped.
pub(crate) async fn wait_for(events: &mut Sse, kind: &str) -> Value {
    loop {
        let event = events.next().await.unwrap_or_else(|| panic!("the stream ended before {kind}"));
        if event["kind"] == kind {
            return event;
        }
    }
}

async fn serve(config: Config, address: SocketAddr) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { daemon::run_on(listener, config, stop).await.unwrap() });
    (address, shutdown, running)
}

/// The configuration of a daemon beside the lab's PBX, as environment variables.
pub(crate) fn environment(
    lab: &Lab,
    database: &std::path::Path,
    settings: &[(&str, &str)],
) -> Vec<(String, String)> {
    let access = lab.manager_access();
    let set = |key: &str, value: &str| (format!("TORITSUGI__{key}"), value.to_owned());
    let environment = [
        set("PBX__NAME", "lab"),
        set("PBX__HOST", &access.host),
        set("PBX__PORT", &access.port.to_string()),
        set("PBX__EVENT_USER", &access.events.0),
        set("PBX__EVENT_SECRET", &access.events.1),
        set("PBX__ACTION_USER", &access.actions.0),
        set("PBX__ACTION_SECRET", &access.actions.1),
        set("PBX__TRUNKS", "trunk"),
        set("PBX__TRUNK_CONTEXTS", "from-trunk"),
        set("TRANSFER__RING_SECONDS", "5"),
        set("STORE__PATH", database.to_str().unwrap()),
        set("GATEWAY__SECURE_COOKIE", "false"),
    ];
    let given = settings.iter().map(|(key, value)| set(key, value));
    environment.into_iter().chain(given).collect()
}

/// Writes the sample records and the users to the store; returns the tokens.
pub(crate) async fn furnish(config: &Config) -> Vec<(String, String)> {
    let now = Timestamp::now();
    let store = Store::open_at(&config.store.location().unwrap()).await.unwrap();
    let directory = Directory::load(store.clone(), DirectoryOptions::default()).await.unwrap();
    for (kind, file) in [
        (ImportKind::Accounts, "accounts.csv"),
        (ImportKind::Customers, "customers.csv"),
        (ImportKind::Contacts, "contacts.csv"),
    ] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(file);
        let options = ImportOptions { kind, encoding: TextEncoding::Utf8, dry_run: false };
        directory.import(std::fs::File::open(path).unwrap(), options, now).await.unwrap();
    }
    let mut tokens = Vec::new();
    for person in PEOPLE {
        let user = add_user(&store, person, now).await;
        let token = add_token(&store, user, None, now).await;
        tokens.push((person.extension.unwrap_or(person.name).to_owned(), token));
    }
    store.close().await;
    tokens
}
