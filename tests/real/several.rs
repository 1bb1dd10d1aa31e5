//! Several daemons over Redis and PostgreSQL: as processes of their own, so that one can be killed with -9.
//!
//! Two names on the lab's one PBX stand for two PBXes: each daemon derives calls of its own from the same channels.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
mod database;
mod desktops;
mod keepers;
mod starts;
mod takeover;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use toritsugi::config::Config;
use toritsugi::ids::CallId;
use toritsugi::store::Store;

use crate::backends::{Backends, Server, shared};
use crate::desk::Sse;
use crate::lab::{CallSpec, Lab, PATIENCE};
use crate::service::{environment, furnish};
use crate::{KNOWN_CALLER, SAKURA, ms};

/// So long the servers are away.
const OUTAGE: Duration = Duration::from_secs(30);

/// A site: the records and the Redis that its daemons share.
#[derive(Clone)]
struct Site {
    settings: Vec<(String, String)>,
    /// What daemons get besides, as it is.
    variables: Vec<(String, String)>,
    tokens: Vec<(String, String)>,
    http: reqwest::Client,
}

fn environment_of(lab: &Lab, settings: &[(String, String)]) -> Vec<(String, String)> {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    environment(lab, std::path::Path::new("/nonexistent"), &settings)
}

/// A daemon in a process of its own.
struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Site {
    async fn new(lab: &Lab, backends: &Backends) -> Self {
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
    async fn start(&self, lab: &Lab, pbx: &str) -> Daemon {
        let daemon = self.launch(lab, pbx, Stdio::inherit());
        self.until(&daemon, "/readyz", |status, _| status == StatusCode::OK).await;
        daemon
    }

    /// The same without waiting for anything; its log goes there.
    fn launch(&self, lab: &Lab, pbx: &str, log: Stdio) -> Daemon {
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

    /// Asks until the answer is right.
    async fn until(&self, daemon: &Daemon, path: &str, is: impl Fn(StatusCode, &str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < deadline {
            if let Ok(response) = self.request(daemon, "admin", Method::GET, path).send().await {
                let status = response.status();
                last = response.text().await.unwrap_or_default();
                if is(status, &last) {
                    return last;
                }
            }
            sleep(ms(20)).await;
        }
        panic!("{path} never answered as wanted; last: {last}");
    }

    fn request(&self, daemon: &Daemon, who: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
        let (_, token) = self.tokens.iter().find(|(name, _)| name == who).expect("nobody of that name");
        self.http.request(method, format!("http://{}{path}", daemon.address)).bearer_auth(token)
    }

    async fn follow(&self, daemon: &Daemon, who: &str, after: Option<&str>) -> Desktop {
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
struct Desktop {
    stream: Sse,
    last: String,
}

/// What was told of each call, in order; an id told twice fails the test.
#[derive(Default)]
struct Told {
    ids: HashSet<String>,
    calls: BTreeMap<String, Vec<String>>,
    /// The ids of events about calls and their transfers.
    call_events: Vec<String>,
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

    fn ended(&self) -> usize {
        self.calls.values().filter(|kinds| kinds.iter().any(|kind| kind == "call.ended")).count()
    }

    /// Every call was offered, popped and ended, once each.
    fn is_complete(&self) {
        for (call, kinds) in &self.calls {
            for kind in ["call.offered", "call.ended"] {
                assert_eq!(kinds.iter().filter(|k| *k == kind).count(), 1, "{call}: {kinds:?}");
            }
            assert!(kinds.iter().any(|kind| kind == "call.presented"), "{call}: {kinds:?}");
            assert_eq!(kinds.last().map(String::as_str), Some("call.ended"), "{call}: {kinds:?}");
        }
    }
}

impl Desktop {
    /// Reads until `enough`, of the PBX's calls; false at the end of the stream.
    async fn read(&mut self, pbx: &str, told: &mut Told, enough: impl Fn(&Told, &Value) -> bool) -> bool {
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

fn is(kind: &'static str) -> impl Fn(&Told, &Value) -> bool {
    move |_, event| event["kind"] == kind
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_over_when_the_active_daemon_is_killed_under_calls() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let mut active = site.start(&lab, "lab").await;
    let standby = site.start(&lab, "lab").await;
    site.until(&active, "/metrics", |_, text| text.contains("toritsugi_leads 1")).await;
    let mut desktop = site.follow(&active, "admin", None).await;
    let mut told = Told::default();

    // One call is answered and one rings when the active daemon is killed; one ends and one comes while nobody tells.
    lab.phone("1001").answers_after(ms(100)).await;
    let talking = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desktop.read("lab", &mut told, is("call.answered")).await);
    lab.phone("1001").rings_for_ever().await;
    let ringing = lab.place_call(CallSpec::new("0312345678", SAKURA)).await;
    assert!(desktop.read("lab", &mut told, is("call.presented")).await);

    active.child.kill().await.unwrap();
    let killed = Instant::now();
    talking.hang_up().await;
    let meanwhile = lab.place_call(CallSpec::new("0612345678", SAKURA)).await;
    while desktop.read("lab", &mut told, |_, _| false).await {}

    site.until(&standby, "/metrics", |_, text| text.contains("toritsugi_leads 1")).await;
    let took = killed.elapsed();
    println!("the standby leads {} ms after the active daemon was killed with -9", took.as_millis());
    let mut desktop = site.follow(&standby, "admin", Some(&desktop.last)).await;
    assert!(desktop.read("lab", &mut told, |told, _| told.ended() == 1 && told.calls.len() == 3).await);
    ringing.hang_up().await;
    meanwhile.hang_up().await;
    assert!(desktop.read("lab", &mut told, |told, _| told.ended() == 3).await);
    told.is_complete();
    // Nothing is left ringing.
    let calls = site.until(&standby, "/v1/calls", |status, _| status == StatusCode::OK).await;
    assert_eq!(serde_json::from_str::<Value>(&calls).unwrap()["items"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_gateway_shows_every_pbx_and_orders_go_to_the_daemon_that_has_the_call() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let osaka = site.start(&lab, "osaka").await;
    let tokyo = site.start(&lab, "tokyo").await;
    let (mut at_osaka, mut told) = (site.follow(&osaka, "1001", None).await, Told::default());
    lab.phone("1001").answers_after(ms(100)).await;
    let _call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    // A desktop at Osaka sees Tokyo's call, with its pop.
    assert!(at_osaka.read("tokyo", &mut told, is("call.answered")).await);
    let (tokyos, kinds) = told.calls.iter().next().unwrap();
    assert_eq!(kinds.first().map(String::as_str), Some("call.presented"), "{kinds:?}");

    // Another operator may not touch it, and that is decided at Tokyo.
    let path = format!("/v1/calls/{tokyos}/hangup");
    let refused = site.request(&osaka, "1003", Method::POST, &path).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::NOT_FOUND, "out of sight: {}", refused.text().await.unwrap());
    let key = "f1d3ff84-4329-4732-8a2b-5a1d1f6c1b11";
    let order = || site.request(&osaka, "1001", Method::POST, &path).header("idempotency-key", key).send();
    let done = order().await.unwrap();
    assert_eq!(done.status(), StatusCode::ACCEPTED, "{}", done.text().await.unwrap());
    assert!(at_osaka.read("tokyo", &mut told, is("call.ended")).await);
    assert_eq!(order().await.unwrap().status(), StatusCode::ACCEPTED, "the first answer again");

    // Without a daemon for it, an order is not delivered, and that is known.
    let _second = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let mut fresh = Told::default();
    assert!(at_osaka.read("tokyo", &mut fresh, is("call.answered")).await);
    let second = fresh.calls.keys().next().unwrap().clone();
    drop(tokyo);
    let lost = site
        .request(&osaka, "1001", Method::POST, &format!("/v1/calls/{second}/hangup"))
        .send()
        .await
        .unwrap();
    assert_eq!(lost.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(lost.text().await.unwrap().contains("nothing was done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_and_postgresql_away_for_30_seconds_cost_no_pop_no_record_and_nothing_twice() {
    let lab = Lab::start().await;
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let site = Site::new(&lab, &backends).await;
    let osaka = site.start(&lab, "osaka").await;
    let tokyo = site.start(&lab, "tokyo").await;
    let mut at_osaka = site.follow(&osaka, "admin", None).await;
    let mut at_tokyo = site.follow(&tokyo, "admin", None).await;
    let (mut here, mut there) = (Told::default(), Told::default());
    lab.phone("1001").answers_after(ms(100)).await;

    backends.stop(Server::Redis);
    backends.stop(Server::Postgres);
    let begun = Instant::now();
    let mut placed = 0;
    while begun.elapsed() < OUTAGE {
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        placed += 1;
        // Osaka's own desktops go on.
        assert!(at_osaka.read("osaka", &mut here, is("call.answered")).await);
        call.hang_up().await;
        assert!(at_osaka.read("osaka", &mut here, is("call.ended")).await);
    }
    let ready = site.until(&osaka, "/readyz", |status, _| status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(ready.contains("\"store\":false") && ready.contains("\"bus\":false"), "{ready}");
    let metrics =
        site.until(&osaka, "/metrics", |_, text| text.contains("toritsugi_redis_connected 0")).await;
    let spooled = metrics.lines().find_map(|line| line.strip_prefix("toritsugi_events_spooled ")).unwrap();
    assert!(spooled.parse::<u64>().unwrap() >= placed * 4, "{spooled}");
    println!("{placed} calls while both were away for {OUTAGE:?}; {spooled} events kept by one daemon");

    backends.revive(Server::Redis);
    backends.revive(Server::Postgres);
    for daemon in [&osaka, &tokyo] {
        site.until(daemon, "/readyz", |status, _| status == StatusCode::OK).await;
        site.until(daemon, "/metrics", |_, text| text.contains("toritsugi_events_spooled 0")).await;
    }
    // Everything of Osaka reaches a desktop at Tokyo, once and in order.
    let all = usize::try_from(placed).unwrap();
    // A desktop that was not reading for so long is cut off, and goes on where it was.
    while !at_tokyo.read("osaka", &mut there, |told, _| told.ended() == all).await {
        at_tokyo = site.follow(&tokyo, "admin", Some(&at_tokyo.last)).await;
    }
    here.is_complete();
    there.is_complete();
    assert_eq!(there.calls.len(), all);
    let counted = |told: &Told| -> Vec<String> { told.calls.keys().cloned().collect() };
    assert_eq!(counted(&here), counted(&there));

    // And every call is in the records, where it can be but once.
    let url = &site.settings[0].1;
    let location =
        toritsugi::store::Location::Postgres(toritsugi::store::PostgresAddress::parse(url).unwrap());
    let store = Store::open_at(&location).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    for call in here.calls.keys() {
        let id = CallId::parse(call).unwrap();
        while store.finished_call(id).await.unwrap().is_none() {
            assert!(Instant::now() < deadline, "{call} is not recorded");
            sleep(ms(50)).await;
        }
    }
    store.close().await;
}
