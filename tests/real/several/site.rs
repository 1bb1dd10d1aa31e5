//! Daemons that share Redis and PostgreSQL, and desktops at their gateways: the steps of all tests of several daemons.
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use toritsugi::config::Config;

use crate::backends::Backends;
use crate::desk::Sse;
use crate::faults::desktop::Desktop as Witness;
use crate::faults::seat::{Over, Seat};
use crate::lab::{CallSpec, Lab, PlacedCall, ask_until};
use crate::service::{environment, furnish};

/// Phones that ring alone: 0355502101 rings at 1101, and so on.
pub(super) const PHONES: usize = 20;
/// A site: the records and the Redis that its daemons share.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) settings: Vec<(String, String)>,
    /// What daemons get besides, as it is.
    pub(super) variables: Vec<(String, String)>,
    pub(super) tokens: Vec<(String, String)>,
    http: reqwest::Client,
}

pub(super) fn environment_of(lab: &Lab, settings: &[(String, String)]) -> Vec<(String, String)> {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    environment(lab, std::path::Path::new("/nonexistent"), &settings)
}

/// A daemon in a process of its own.
pub(super) struct Daemon {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
}

impl Site {
    pub(super) async fn new(lab: &Lab, backends: &Backends) -> Self {
        let settings: Vec<(String, String)> = [
            ("STORE__URL", backends.empty_database().await),
            ("BUS__REDIS", backends.redis_url()),
            ("BUS__REDIS_PREFIX", backends.empty_prefix()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let config = Config::from_layers(None, environment_of(lab, &settings)).unwrap();
        let tokens = furnish(&config).await;
        Self {
            settings,
            variables: Vec::new(),
            tokens,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Starts a daemon for the PBX of this name; returns once it answers.
    pub(super) async fn start(&self, lab: &Lab, pbx: &str) -> Daemon {
        let daemon = self.launch(lab, pbx, Stdio::inherit());
        self.until(&daemon, "/readyz", |status, _| status == StatusCode::OK).await;
        daemon
    }

    /// The same without waiting for anything; its log goes there.
    pub(super) fn launch(&self, lab: &Lab, pbx: &str, log: Stdio) -> Daemon {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut settings = self.settings.clone();
        settings.push(("PBX__NAME".into(), pbx.into()));
        settings.push(("GATEWAY__LISTEN".into(), format!("127.0.0.1:{port}")));
        let environment = environment_of(lab, &settings);
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_toritsugi"), "serve"])
            .envs(environment)
            .envs(self.variables.iter().cloned())
            .env("TORITSUGI__LOG__LEVEL", "warn")
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Daemon { child, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// Starts two daemons on the lab's PBX; the first leads.
    pub(super) async fn pair(&self, lab: &Lab) -> (Daemon, Daemon) {
        let active = self.start(lab, "lab").await;
        let standby = self.start(lab, "lab").await;
        self.leads(&active).await;
        (active, standby)
    }

    /// Waits until it leads.
    pub(super) async fn leads(&self, daemon: &Daemon) {
        self.until(daemon, "/metrics", |_, text| text.contains("toritsugi_leads 1")).await;
    }

    /// Waits until this list is empty.
    pub(super) async fn lists_nothing(&self, daemon: &Daemon, path: &str) {
        self.until_json(daemon, path, |list| list["items"] == json!([])).await;
    }

    /// Asks, for what no event tells, until the answer is right.
    pub(super) async fn until(
        &self,
        daemon: &Daemon,
        path: &str,
        is: impl Fn(StatusCode, &str) -> bool,
    ) -> String {
        ask_until(&format!("{path} answers as wanted"), async || {
            let response = self.request(daemon, "admin", Method::GET, path).send().await;
            let response = response.map_err(|error| error.to_string())?;
            let status = response.status();
            let text = response.text().await.map_err(|error| error.to_string())?;
            if is(status, &text) { Ok(text) } else { Err(format!("{status} {text}")) }
        })
        .await
    }

    /// The same of an answer in JSON.
    pub(super) async fn until_json(&self, daemon: &Daemon, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let is = |status: StatusCode, text: &str| status == StatusCode::OK && is(&read(text));
        read(&self.until(daemon, path, is).await)
    }

    pub(super) fn request(
        &self,
        daemon: &Daemon,
        who: &str,
        method: Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let (_, token) = self.tokens.iter().find(|(name, _)| name == who).expect("nobody of that name");
        self.http.request(method, format!("http://{}{path}", daemon.address)).bearer_auth(token)
    }

    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    pub(super) async fn json(
        &self,
        daemon: &Daemon,
        who: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Value {
        let request = self.request(daemon, who, method, path);
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A desktop of the fault battery's, which goes on at the next of these gateways.
    pub(super) async fn witness(&self, gateways: Vec<SocketAddr>) -> Witness {
        let (_, token) = self.tokens.iter().find(|(name, _)| name == "admin").expect("nobody of that name");
        let seats = gateways.into_iter().map(|gateway| Seat::at(gateway, token, Over::Sse));
        let witness = Witness::sit_in_turn(seats.collect());
        witness.wait("a link is up", |knows| knows.up).await;
        witness
    }

    /// The first frame of a stream that begins now.
    pub(super) async fn newest(&self, daemon: &Daemon) -> Value {
        let request = self.request(daemon, "admin", Method::GET, "/v1/events");
        Sse::of(request.send().await.unwrap()).await.next().await.expect("a first frame")
    }

    pub(super) async fn follow(&self, daemon: &Daemon, who: &str, after: Option<&str>) -> Desktop {
        let mut request = self.request(daemon, who, Method::GET, "/v1/events");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let mut stream = Sse::of(request.send().await.unwrap()).await;
        let first = stream.next().await.expect("a first frame");
        assert!(after.is_none() || first["kind"] == "stream.resumed", "{first}");
        Desktop { stream, last: first["id"].as_str().unwrap().to_owned() }
    }
}

/// A desktop that keeps what it was told.
pub(super) struct Desktop {
    pub(super) stream: Sse,
    pub(super) last: String,
}

/// What was told of each call, in order; an id told twice fails the test.
#[derive(Default)]
pub(super) struct Told {
    ids: HashSet<String>,
    pub(super) calls: BTreeMap<String, Vec<String>>,
    /// The ids of events about calls and their transfers.
    pub(super) call_events: Vec<String>,
}

impl Told {
    fn note(&mut self, event: &Value) {
        let id = event["id"].as_str().unwrap().to_owned();
        assert!(self.ids.insert(id.clone()), "told twice: {event}");
        if event["kind"].as_str().is_some_and(|kind| kind.starts_with("call.")) {
            self.call_events.push(id);
        }
        if let Some(call) = event["call"].as_str() {
            self.calls.entry(call.to_owned()).or_default().push(event["kind"].as_str().unwrap().to_owned());
        }
    }

    pub(super) fn ended(&self) -> usize {
        self.calls.values().filter(|kinds| kinds.iter().any(|kind| kind == "call.ended")).count()
    }

    /// Every call was offered, popped and ended, once each; each rang at one phone.
    pub(super) fn is_complete(&self) {
        assert!(!self.calls.is_empty(), "nothing was told");
        for (call, kinds) in &self.calls {
            for kind in ["call.offered", "call.presented", "call.ended"] {
                assert_eq!(kinds.iter().filter(|k| *k == kind).count(), 1, "{call}: {kinds:?}");
            }
            assert_eq!(kinds.last().map(String::as_str), Some("call.ended"), "{call}: {kinds:?}");
        }
    }
}

impl Desktop {
    /// Reads until `enough`, of the PBX's calls; false at the end of the stream.
    pub(super) async fn read(
        &mut self,
        pbx: &str,
        told: &mut Told,
        enough: impl Fn(&Told, &Value) -> bool,
    ) -> bool {
        while let Some(event) = self.stream.next().await {
            self.last = event["id"].as_str().unwrap().to_owned();
            if event["pbx"] == pbx {
                told.note(&event);
                if enough(told, &event) {
                    return true;
                }
            }
        }
        false
    }
}

/// The nth caller of a test, at the phone that rings alone for it, so that the far end's record names both. Callers'
/// numbers begin with 090 and `series`: the far end's record is one for all tests.
pub(super) async fn place<'a>(lab: &'a Lab, series: &str, n: usize) -> PlacedCall<'a> {
    let (from, to) = (format!("090{series}{n:06}"), format!("03555021{:02}", (n - 1) % PHONES + 1));
    lab.place_call(CallSpec::new(&from, &to)).await
}

/// What kind of event is waited for.
pub(super) fn is(kind: &'static str) -> impl Fn(&Told, &Value) -> bool {
    move |_, event| event["kind"] == kind
}

/// An operator as a gateway shows her.
pub(super) async fn shown(site: &Site, daemon: &Daemon, extension: &str) -> Value {
    let list = site.json(daemon, "admin", Method::GET, "/v1/operators", &Value::Null).await;
    of(&list, extension).clone()
}

/// Waits until a gateway shows her in this state of this version.
pub(super) async fn shows(site: &Site, daemon: &Daemon, extension: &str, like: &Value) {
    let is_like = |list: &Value| {
        let person = of(list, extension);
        ["state", "reason", "version", "pbx"].iter().all(|key| person[*key] == like[*key])
    };
    site.until_json(daemon, "/v1/operators", is_like).await;
}

pub(super) fn of<'a>(operators: &'a Value, extension: &str) -> &'a Value {
    let mut people = operators["items"].as_array().unwrap().iter();
    people.find(|person| person["extension"] == extension).expect("she works here")
}
