//! Daemons that share Redis and PostgreSQL, and desktops at their gateways: the steps of all tests of several daemons.
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use toritsugi::config::Config;

use crate::faults::desktop::Desktop as Witness;
use crate::faults::seat::{Over, Seat};
use crate::support::client::{Sse, http};
use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall};
use crate::support::service::{environment, furnish};
use crate::support::services::Backends;
use crate::support::wait::eventually;

/// Phones that ring alone: 0355502101 rings at 1101, and so on.
pub(super) const PHONES: usize = 20;
/// A site: the database and the Redis that its daemons share.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) settings: Vec<(String, String)>,
    /// Further environment variables of the daemons, verbatim.
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
        Self { settings, variables: Vec::new(), tokens, http: http() }
    }

    /// Starts a daemon for the PBX of this name; returns once it answers.
    pub(super) async fn start(&self, lab: &Lab, pbx: &str) -> Daemon {
        let daemon = self.launch(lab, pbx, Stdio::inherit());
        self.until(&daemon, "/readyz", |status, _| status == StatusCode::OK).await;
        daemon
    }

    /// Starts a daemon without waiting for it; `log` receives its log.
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

    /// Waits until this daemon leads.
    pub(super) async fn leads(&self, daemon: &Daemon) {
        self.until(daemon, "/metrics", |_, text| text.contains("toritsugi_leads 1")).await;
    }

    /// Waits until this list is empty.
    pub(super) async fn lists_nothing(&self, daemon: &Daemon, path: &str) {
        self.until_json(daemon, path, |list| list["items"] == json!([])).await;
    }

    /// Repeats a request until the answer is as wanted, for what no event reports.
    pub(super) async fn until(
        &self,
        daemon: &Daemon,
        path: &str,
        is: impl Fn(StatusCode, &str) -> bool,
    ) -> String {
        eventually(&format!("{path} answers as wanted"), async || {
            let response = self.request(daemon, "admin", Method::GET, path).send().await;
            let response = response.map_err(|error| error.to_string())?;
            let status = response.status();
            let text = response.text().await.map_err(|error| error.to_string())?;
            if is(status, &text) { Ok(text) } else { Err(format!("{status} {text}")) }
        })
        .await
    }

    /// Like [`Self::until`], for an answer in JSON.
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

    /// A desktop of the fault-injection suite, which reconnects to the next of these gateways.
    pub(super) async fn witness(&self, gateways: Vec<SocketAddr>) -> Witness {
        let (_, token) = self.tokens.iter().find(|(name, _)| name == "admin").expect("nobody of that name");
        let seats = gateways.into_iter().map(|gateway| Seat::at(gateway, token, Over::Sse));
        let witness = Witness::at_seats(seats.collect());
        witness.wait("a link is up", |model| model.up).await;
        witness
    }

    /// The opening frame of a new stream.
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

/// A desktop that remembers the id of the last event.
pub(super) struct Desktop {
    pub(super) stream: Sse,
    pub(super) last: String,
}

/// The events of each call, in order; a duplicate id fails the test.
#[derive(Default)]
pub(super) struct Transcript {
    ids: HashSet<String>,
    pub(super) calls: BTreeMap<String, Vec<String>>,
    /// The ids of events about calls and their transfers.
    pub(super) call_events: Vec<String>,
}

impl Transcript {
    fn note(&mut self, event: &Value) {
        let id = event["id"].as_str().unwrap().to_owned();
        assert!(self.ids.insert(id.clone()), "received twice: {event}");
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

    /// Checks that every call was offered, presented and ended exactly once; each rang at one phone.
    pub(super) fn assert_complete(&self) {
        assert!(!self.calls.is_empty(), "no event was received");
        for (call, kinds) in &self.calls {
            for kind in ["call.offered", "call.presented", "call.ended"] {
                assert_eq!(kinds.iter().filter(|k| *k == kind).count(), 1, "{call}: {kinds:?}");
            }
            assert_eq!(kinds.last().map(String::as_str), Some("call.ended"), "{call}: {kinds:?}");
        }
    }
}

impl Desktop {
    /// Reads until the events of this PBX are `enough`; false at the end of the stream.
    pub(super) async fn read(
        &mut self,
        pbx: &str,
        transcript: &mut Transcript,
        enough: impl Fn(&Transcript, &Value) -> bool,
    ) -> bool {
        while let Some(event) = self.stream.next().await {
            self.last = event["id"].as_str().unwrap().to_owned();
            if event["pbx"] == pbx {
                transcript.note(&event);
                if enough(transcript, &event) {
                    return true;
                }
            }
        }
        false
    }
}

/// Places the nth call of a test, to a number that rings at one phone, so that the far end's records name both. Callers'
/// numbers begin with 090 and `series`, because all tests share the far end's records.
pub(super) async fn place<'a>(lab: &'a Lab, series: &str, n: usize) -> PlacedCall<'a> {
    let (from, to) = (format!("090{series}{n:06}"), format!("03555021{:02}", (n - 1) % PHONES + 1));
    lab.place_call(CallSpec::new(&from, &to)).await
}

/// Matches an event of this kind.
pub(super) fn is(kind: &'static str) -> impl Fn(&Transcript, &Value) -> bool {
    move |_, event| event["kind"] == kind
}

/// An operator as a gateway shows them.
pub(super) async fn shown(site: &Site, daemon: &Daemon, extension: &str) -> Value {
    let list = site.json(daemon, "admin", Method::GET, "/v1/operators", &Value::Null).await;
    of(&list, extension).clone()
}

/// Waits until a gateway shows the operator in this state and version.
pub(super) async fn shows(site: &Site, daemon: &Daemon, extension: &str, like: &Value) {
    let is_like = |list: &Value| {
        let person = of(list, extension);
        ["state", "reason", "version", "pbx"].iter().all(|key| person[*key] == like[*key])
    };
    site.until_json(daemon, "/v1/operators", is_like).await;
}

pub(super) fn of<'a>(operators: &'a Value, extension: &str) -> &'a Value {
    let mut people = operators["items"].as_array().unwrap().iter();
    people.find(|person| person["extension"] == extension).expect("an operator of this extension")
}
