//! Several daemons that share Redis and PostgreSQL. Each daemon is a process of its own, so that a test can `kill -9`
//! it.
//!
//! Two PBX names on the lab's one PBX stand for two PBXes: each daemon derives its own calls from the same channels.
//! Read next: `cluster/site.rs` for the steps that all these tests use.
mod checkpoints;
mod database;
mod desktops;
mod escalation;
mod gaps;
mod site;
mod startup;
mod takeover;
mod team_ownership;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::far_end_cdr::Placed;
use crate::faults::states;
use crate::faults::verify::nothing_of_a_pbx_is_lost;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::services::{Backends, Server, shared};
use crate::{KNOWN_CALLER, SAKURA, ms};
use site::{Daemon, PHONES, Site, Transcript, is, place};

/// How long the servers are stopped.
const OUTAGE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_over_when_the_active_daemon_is_killed_under_calls() {
    let lab = Lab::start().await;
    let mut site = Site::new(&lab, shared()).await;
    for (key, value) in states::SETTINGS {
        site.set(key, value);
    }
    let (mut active, standby) = site.pair(&lab).await;
    let mut desktop = site.follow(&active, "admin", None).await;
    let mut transcript = Transcript::default();
    log_in_operators(&lab, &site, &active, &standby).await;

    let (here, there) = (active.address, standby.address);
    let witnesses = [site.witness(vec![here, there]).await, site.witness(vec![there, here]).await];

    // When the leader is killed, some callers talk and some hear ringing; until the standby leads, the former hang up and new
    // calls arrive.
    let (talking, ringing, meanwhile) = (1..=5, 6..=10, 11..=15);
    let all = talking.clone().chain(ringing.clone()).chain(meanwhile.clone()).count();
    for phone in talking.clone().chain(meanwhile.clone()) {
        lab.phone(&format!("{}", 1100 + phone)).answers_after(ms(100)).await;
    }
    for phone in ringing.clone() {
        lab.phone(&format!("{}", 1100 + phone)).rings_for_ever().await;
    }
    let (mut talk, mut calls) = (Vec::new(), Vec::new());
    for n in talking {
        let call = place(&lab, "51", n).await;
        assert!(desktop.read("lab", &mut transcript, is("call.answered")).await);
        call.answered().await;
        talk.push(call);
    }
    for n in ringing {
        calls.push(place(&lab, "51", n).await);
        assert!(desktop.read("lab", &mut transcript, is("call.presented")).await);
    }

    active.child.kill().await.unwrap();
    let killed = Instant::now();
    for call in &talk {
        call.hang_up().await;
    }
    for n in meanwhile {
        let call = place(&lab, "51", n).await;
        call.answered().await;
        calls.push(call);
    }
    while desktop.read("lab", &mut transcript, |_, _| false).await {}

    site.leads(&standby).await;
    let took = killed.elapsed();
    let mut desktop = site.follow(&standby, "admin", Some(&desktop.last)).await;
    let is_known = |transcript: &Transcript, _: &Value| {
        transcript.ended() >= talk.len() && transcript.calls.len() == all
    };
    assert!(desktop.read("lab", &mut transcript, is_known).await);
    for witness in &witnesses {
        witness.wait("it model who calls", |model| model.callers_of("51") == all).await;
    }
    for call in &calls {
        call.hang_up().await;
    }
    assert!(desktop.read("lab", &mut transcript, |transcript, _| transcript.ended() == all).await);
    transcript.assert_complete();
    let placed: Vec<_> = talk.iter().chain(&calls).map(Placed::from).collect();
    let ask = async |path: &str| site.json(&standby, "admin", Method::GET, path, &Value::Null).await;
    let newest = async || site.newest(&standby).await;
    let figures = nothing_of_a_pbx_is_lost(&lab, "lab", (ask, newest), &witnesses, &placed).await;
    assert_eq!(figures.talks, figures.answered);
    site.until_json(&standby, "/v1/operators", states::are_ready).await;
    states::nobody_is_paused(&lab).await;
    println!(
        "the standby leads {} ms after the active daemon was killed with -9; {figures}: nothing lost, nothing twice",
        took.as_millis()
    );
}

/// Makes an operator for each phone; returns once both daemons show them ready, and the store has it.
async fn log_in_operators(lab: &Lab, site: &Site, active: &Daemon, standby: &Daemon) {
    let tell =
        async |method: Method, path: &str, body: Value| site.json(active, "admin", method, path, &body).await;
    states::log_in_by(lab, &tell).await;
    site.until_json(standby, "/v1/operators", states::are_ready).await;
    let is_logged = |_: StatusCode, text: &str| {
        ["events", "records"].iter().all(|what| text.contains(&format!("toritsugi_unwritten_{what} 0\n")))
    };
    site.until(active, "/metrics", is_logged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_gateway_shows_every_pbx_and_commands_go_to_the_daemon_that_has_the_call() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let osaka = site.start(&lab, "osaka").await;
    let tokyo = site.start(&lab, "tokyo").await;
    let (mut at_osaka, mut transcript) = (site.follow(&osaka, "1001", None).await, Transcript::default());
    lab.phone("1001").answers_after(ms(100)).await;
    let _call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    // A desktop at Osaka sees Tokyo's call, with its pop.
    assert!(at_osaka.read("tokyo", &mut transcript, is("call.answered")).await);
    let (tokyos, kinds) = transcript.calls.iter().next().unwrap();
    let first = kinds.iter().map(String::as_str).find(|kind| *kind != "call.queued");
    assert_eq!(first, Some("call.presented"), "{kinds:?}");

    // Another operator may not act on it; Tokyo decides that.
    let path = format!("/v1/calls/{tokyos}/hangup");
    let refused = site.request(&osaka, "1003", Method::POST, &path).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::NOT_FOUND, "not visible: {}", refused.text().await.unwrap());
    let key = "f1d3ff84-4329-4732-8a2b-5a1d1f6c1b11";
    let order = || site.request(&osaka, "1001", Method::POST, &path).header("idempotency-key", key).send();
    let done = order().await.unwrap();
    assert_eq!(done.status(), StatusCode::ACCEPTED, "{}", done.text().await.unwrap());
    assert!(at_osaka.read("tokyo", &mut transcript, is("call.ended")).await);
    assert_eq!(order().await.unwrap().status(), StatusCode::ACCEPTED, "the first answer again");

    // Without a daemon for its PBX, a command is not delivered, and the gateway says so.
    let _second = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let mut fresh = Transcript::default();
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
    let (mut here, mut there) = (Transcript::default(), Transcript::default());
    let witnesses = [site.witness(vec![osaka.address]).await, site.witness(vec![tokyo.address]).await];
    for phone in 1..=PHONES {
        lab.phone(&format!("{}", 1100 + phone)).answers_after(ms(100)).await;
    }

    backends.stop(Server::Redis);
    backends.stop(Server::Postgres);
    let begun = Instant::now();
    let mut placed = Vec::new();
    while begun.elapsed() < OUTAGE {
        let call = place(&lab, "52", placed.len() + 1).await;
        placed.push(Placed::from(&call));
        // The desktops at Osaka continue.
        assert!(at_osaka.read("osaka", &mut here, is("call.answered")).await);
        // The caller hears the answer later; a caller who hangs up before was not answered, by the far end's records.
        call.answered().await;
        // Each daemon reads the identity from its PBX, which is possible only during the call.
        for witness in &witnesses {
            witness.wait("it model who calls", |model| model.callers_of("52") >= placed.len()).await;
        }
        call.hang_up().await;
        assert!(at_osaka.read("osaka", &mut here, is("call.ended")).await);
    }
    let ready = site.until(&osaka, "/readyz", |status, _| status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(ready.contains("\"store\":false") && ready.contains("\"bus\":false"), "{ready}");
    let metrics =
        site.until(&osaka, "/metrics", |_, text| text.contains("toritsugi_redis_connected 0")).await;
    let spooled = metrics.lines().find_map(|line| line.strip_prefix("toritsugi_events_spooled ")).unwrap();
    let all = placed.len();
    assert!(spooled.parse::<usize>().unwrap() >= all * 4, "{spooled}");
    println!("{all} calls while both were away for {OUTAGE:?}; {spooled} events spooled by one daemon");

    backends.revive(Server::Redis);
    backends.revive(Server::Postgres);
    for daemon in [&osaka, &tokyo] {
        site.until(daemon, "/readyz", |status, _| status == StatusCode::OK).await;
        site.until(daemon, "/metrics", |_, text| text.contains("toritsugi_events_spooled 0")).await;
    }
    // Every event of Osaka reaches a desktop at Tokyo, once and in order.
    // A desktop that reads nothing for this time is disconnected, and resumes where it was.
    while !at_tokyo.read("osaka", &mut there, |transcript, _| transcript.ended() == all).await {
        at_tokyo = site.follow(&tokyo, "admin", Some(&at_tokyo.last)).await;
    }
    here.assert_complete();
    there.assert_complete();
    assert_eq!(there.calls.len(), all);
    assert_eq!(here.calls, there.calls);

    // At each gateway, for each PBX, and in the records.
    for (pbx, daemon) in [("osaka", &tokyo), ("tokyo", &osaka)] {
        let ask = async |path: &str| site.json(daemon, "admin", Method::GET, path, &Value::Null).await;
        let newest = async || site.newest(daemon).await;
        let figures = nothing_of_a_pbx_is_lost(&lab, pbx, (ask, newest), &witnesses, &placed).await;
        println!("{pbx}: {figures}: nothing lost, nothing twice");
    }
}
