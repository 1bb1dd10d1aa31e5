//! Shared servers that are unreachable. At start-up a daemon waits for the database but not for Redis; without Redis, a
//! standby publishes what it observes itself.
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::time::timeout;

use super::site::{Daemon, Site, Transcript, is};
use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::services::{Backends, Server, shared};
use crate::support::wait::TEST_TIMEOUT;
use crate::{KNOWN_CALLER, SAKURA};

/// Waits until a log line contains these words.
async fn says(daemon: &mut Daemon, words: &str) -> BufReader<ChildStderr> {
    let mut log = BufReader::new(daemon.child.stderr.take().unwrap());
    let mut line = String::new();
    let found = async {
        while log.read_line(&mut line).await.unwrap() > 0 && !line.contains(words) {
            line.clear();
        }
    };
    timeout(TEST_TIMEOUT, found).await.unwrap_or_else(|_| panic!("the log never said: {words}"));
    assert!(line.contains(words), "it ended before it said: {words}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_starts_before_its_servers_is_there_once_they_are() {
    let lab = Lab::start().await;
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let site = Site::new(&lab, &backends).await;
    backends.stop(Server::Postgres);
    backends.stop(Server::Redis);

    // SIGTERM ends the wait and is no failure.
    let mut stopped = site.launch(&lab, "osaka", Stdio::piped());
    let _log = says(&mut stopped, "waiting for the store").await;
    let pid = stopped.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = timeout(TEST_TIMEOUT, stopped.child.wait()).await.expect("it ends at once").unwrap();
    assert!(ended.success(), "{ended}");

    // The database starts: the daemon serves its own PBX without Redis.
    let mut osaka = site.launch(&lab, "osaka", Stdio::piped());
    let mut log = says(&mut osaka, "waiting for the store").await;
    // The rest of the log is discarded, so that the pipe does not fill up.
    let reading = tokio::spawn(async move { tokio::io::copy(&mut log, &mut tokio::io::sink()).await });
    backends.revive(Server::Postgres);
    let alone = |status, text: &str| {
        status == StatusCode::SERVICE_UNAVAILABLE
            && ["\"pbx\":true", "\"store\":true", "\"bus\":false"].iter().all(|part| text.contains(part))
    };
    site.until(&osaka, "/readyz", alone).await;
    let (mut desktop, mut transcript) = (site.follow(&osaka, "admin", None).await, Transcript::default());
    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desktop.read("osaka", &mut transcript, is("call.presented")).await);

    // Redis starts: what was published meanwhile is visible at a daemon that starts now.
    backends.revive(Server::Redis);
    site.until(&osaka, "/readyz", |status, _| status == StatusCode::OK).await;
    let tokyo = site.start(&lab, "tokyo").await;
    let presented = |calls: &Value| {
        let rings = |call: &Value| call["pbx"] == "osaka" && call["state"] == "presented";
        calls["items"].as_array().is_some_and(|calls| calls.iter().any(rings))
    };
    site.until_json(&tokyo, "/v1/calls", presented).await;
    call.hang_up().await;
    for daemon in [&osaka, &tokyo] {
        site.lists_nothing(daemon, "/v1/calls").await;
    }
    drop(osaka);
    reading.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_ends_the_start_with_what_to_do() {
    let lab = Lab::start().await;
    let mut site = Site::new(&lab, shared()).await;
    let url = site.settings[0].1.clone();
    let (server, _) = url.rsplit_once('/').unwrap();
    for (url, words) in [
        (format!("{server}/none"), "createdb"),
        (url.replacen("toritsugi@", "nobody@", 1), "check the user in store.url"),
    ] {
        site.settings[0].1 = url;
        let mut daemon = site.launch(&lab, "osaka", Stdio::piped());
        let ended = timeout(TEST_TIMEOUT, daemon.child.wait()).await.expect("it does not wait").unwrap();
        let mut log = String::new();
        daemon.child.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
        assert!(!ended.success() && log.contains(words), "{ended}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_at_the_standby_gets_its_pops_while_redis_is_away() {
    let lab = Lab::start().await;
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let site = Site::new(&lab, &backends).await;
    let (active, standby) = site.pair(&lab).await;
    let (mut desk, mut transcript) = (site.follow(&standby, "1001", None).await, Transcript::default());
    lab.phone("1001").rings_for_ever().await;
    backends.stop(Server::Redis);
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert!(desk.read("lab", &mut transcript, is("call.presented")).await);
    site.until(&standby, "/readyz", |status, text| {
        status == StatusCode::SERVICE_UNAVAILABLE && text.contains("\"bus\":false")
    })
    .await;

    // These events were local to the standby: when Redis is back, every desktop starts from a snapshot.
    backends.revive(Server::Redis);
    while desk.read("lab", &mut transcript, |_, _| false).await {}
    let request =
        site.request(&standby, "1001", Method::GET, "/v1/events").header("last-event-id", &desk.last);
    let first = Sse::of(request.send().await.unwrap()).await.next().await.unwrap();
    assert_eq!(first["kind"], "stream.snapshot", "{first}");
    call.hang_up().await;
    for daemon in [&active, &standby] {
        site.until(daemon, "/readyz", |status, _| status == StatusCode::OK).await;
        site.lists_nothing(daemon, "/v1/calls").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_does_not_follow_the_pbx_is_not_ready() {
    let lab = Lab::start().await;
    let mut site = Site::new(&lab, shared()).await;
    let active = site.start(&lab, "lab").await;
    site.leads(&active).await;
    // Port 1 refuses connections, as a firewall between the standby and the PBX does.
    site.variables.push(("TORITSUGI__PBX__PORT".into(), "1".into()));
    let standby = site.launch(&lab, "lab", Stdio::null());
    let not_ready =
        site.until(&standby, "/readyz", |status, _| status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(not_ready.contains("\"pbx\":false") && not_ready.contains("\"store\":true"), "{not_ready}");
    site.until(&active, "/readyz", |status, _| status == StatusCode::OK).await;
}
