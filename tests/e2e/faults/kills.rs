//! The three large tests: the connection is cut, the PBX is killed, the daemon is killed; each many times, under load.
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use super::desktop::{Desktop, DesktopModel};
use super::load::Load;
use super::messages::MessageWriter;
use super::proxy::Proxy;
use super::verify::nothing_is_lost;
use super::{soak, start, states};
use crate::ms;
use crate::support::pbx_lab::{AsteriskVersion, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;

const CUTS: usize = 100;
const KILLS: usize = 50;
/// An external number.
const PASSED_ON_TO: &str = "09011112222";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_is_cut_mid_frame_a_hundred_times_under_load() {
    let begun = Instant::now();
    let lab = Lab::start().await;
    let proxy = Proxy::start(&lab).await;
    let settings = [("PBX__PORT", proxy.port()), ("PBX__RECONNECT_SECONDS_MAX", "1")];
    let settings: Vec<_> = settings.into_iter().chain(states::SETTINGS).collect();
    let mut service = Service::start_with(&lab, &settings).await;
    let desktops = Desktop::follow_many(&service, 3).await;
    states::log_in(&lab, &service).await;
    let load = Load::new(&lab, "20", 400, 2_500).await;
    let cuts = CUTS * soak();
    let cutting = async {
        desktops[0].wait("the first pop", |model| model.count("call.presented") > 0).await;
        for _ in 0..cuts {
            let up = desktops[0].count("pbx.up");
            proxy.cut().await;
            desktops[0].wait("the link is up again", |model| model.count("pbx.up") > up).await;
        }
        load.stop();
    };
    tokio::join!(load.run(ms(350), &service, &desktops[0]), cutting);
    load.all_ended().await;
    let figures = load.nothing_is_lost(&service, &desktops).await;
    assert_eq!(figures.talks, figures.answered);
    service.until("admin", "/v1/operators", |_, list| states::are_ready(list)).await;
    states::nobody_is_paused(&lab).await;
    assert!(desktops[0].count("pbx.gap") >= cuts);
    let are_recorded =
        |_, answer: &Value| answer["items"].as_array().is_some_and(|gaps| gaps.len() >= cuts.min(500));
    let gaps = service.until("2001", "/v1/pbx/gaps?limit=500", are_recorded).await;
    for gap in gaps["items"].as_array().unwrap() {
        assert!(gap["from"].as_str() <= gap["to"].as_str() && gap["restarted"] == false, "{gap}");
        assert_ne!(gap["cause"], "", "{gap}");
    }
    println!("{cuts} cuts, 3 desktops, {figures}: nothing lost, nothing twice, in {:?}", begun.elapsed());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asterisk_is_killed_and_restarted_during_calls() {
    let begun = Instant::now();
    let mut lab = Lab::start_own(AsteriskVersion::Current).await;
    let settings: Vec<_> =
        [("PBX__RECONNECT_SECONDS_MAX", "1")].into_iter().chain(states::SETTINGS).collect();
    let mut service = Service::start_with(&lab, &settings).await;
    let desktops = Desktop::follow_many(&service, 2).await;
    states::log_in(&lab, &service).await;
    let mut placed = Vec::new();
    let rounds = [("31", 3_600_000), ("32", 3_600_000)];
    for (round, (series, talks)) in (1..).zip(rounds) {
        let load = Load::new(&lab, series, 200, talks).await;
        let answered = desktops[0].count("call.answered");
        for _ in 0..10 {
            load.place().await;
        }
        // The actions session, which reads the identity of a caller, may come up a moment after the events session.
        load.all_answered(&desktops[0]).await;
        desktops[0].wait("ten talk", |model| model.count("call.answered") >= answered + 10).await;
        lab.kill_pbx().await;
        desktops[0].wait("the link is down", |model| model.count("pbx.down") >= round).await;
        load.hang_up_all().await;
        load.phones_hang_up().await;
        placed.extend(load.placed());
        drop(load);
        lab.revive_pbx().await;
        desktops[0].wait("the restart is published", |model| model.count("pbx.restarted") >= round).await;
    }
    let figures = nothing_is_lost(&lab, &service, &desktops, &placed).await;
    assert_eq!(figures.talks, figures.answered);
    service.until("admin", "/v1/operators", |_, list| states::are_ready(list)).await;
    states::nobody_is_paused(&lab).await;
    for desktop in &desktops {
        assert_eq!(desktop.count("call.ended"), placed.len());
    }
    // No daemon observed the ends of these calls.
    let (_, history) = service.ask("admin", Method::GET, "/v1/history?limit=500", None).await;
    for call in history["items"].as_array().unwrap() {
        assert_eq!((&call["outcome"], &call["inferred"]), (&json!("answered"), &json!(true)), "{call}");
    }
    let are_recorded = |_, gaps: &Value| {
        let restarted = |gap: &&Value| gap["restarted"] == true;
        let gaps = gaps["items"].as_array();
        gaps.is_some_and(|gaps| gaps.iter().filter(restarted).count() == rounds.len())
    };
    service.until("admin", "/v1/pbx/gaps", are_recorded).await;
    println!(
        "2 restarts of the PBX, 2 desktops, {figures}: nothing lost, nothing twice, in {:?}",
        begun.elapsed()
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_is_killed_fifty_times_during_calls_transfers_and_messages() {
    let begun = Instant::now();
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &states::SETTINGS).await;
    let mut daemon = start(&service);
    let desktops = Desktop::follow_many(&service, 3).await;
    states::log_in(&lab, &service).await;
    let load = Load::new(&lab, "40", 400, 5_000).await;
    // A transferred caller who comes back, or ends in a queue, reaches a person.
    for phone in ["1001", "1002", "1003", PASSED_ON_TO] {
        lab.phone(phone).talks_briefly(ms(500), ms(2_000)).await;
    }
    let kills = KILLS * soak();
    let (mut transfers, notes) = ([0, 0], MessageWriter::new());
    let account = account(&service).await;
    let killing = async {
        for n in 0..kills {
            // Kill the daemon sometimes during its start, sometimes a few events later.
            let more = [0, 1, 2, 3, 5, 8, 21][n * 5 % 7];
            let had = desktops[0].look(|model| model.events());
            desktops[0].wait("events go on", |model| model.events() >= had + more).await;
            if n % 5 == 4 {
                let consult = n % 10 == 9;
                transfer_one(&service, &desktops, consult).await;
                transfers[usize::from(consult)] += 1;
            }
            // Kill it both before and after the last published event is in its log.
            tokio::time::sleep(ms([0, 2, 8, 30][n % 4])).await;
            daemon.kill().await.unwrap();
            desktops[0].wait("the stream has ended", |model| !model.up).await;
            daemon = start(&service);
            desktops[0].wait("it is back", |model| model.up).await;
        }
        load.stop();
        notes.stop();
    };
    tokio::join!(
        load.run(ms(500), &service, &desktops[0]),
        notes.write(&service, &account, &desktops[0]),
        killing
    );
    load.all_ended().await;
    let figures = load.nothing_is_lost(&service, &desktops).await;
    assert!(figures.talks > figures.answered / 2, "{figures}");
    service.until("admin", "/v1/operators", |_, list| states::are_ready(list)).await;
    states::nobody_is_paused(&lab).await;
    let (messages, repeats) = notes.are_kept(&service, &desktops).await;
    let of_all = |of: fn(&DesktopModel) -> usize| desktops.iter().map(|d| d.look(of)).sum::<usize>();
    println!(
        "{kills} kills, {figures}, {} transfers, {} of them consulting, {messages} messages with {repeats} \
         requests repeated, 3 desktops: {} resumes, {} snapshots, {} events again; nothing lost, nothing twice, in {:?}",
        transfers[0] + transfers[1],
        transfers[1],
        of_all(|model| model.resumes),
        of_all(|model| model.snapshots),
        of_all(|model| model.redelivered),
        begun.elapsed()
    );
    drop(desktops);
    daemon.kill().await.unwrap();
}

/// Transfers a caller who talks to a phone that no other call rings at; with `consult`, until the operator talks with
/// the contact.
async fn transfer_one(service: &Service, desktops: &[Desktop], consult: bool) {
    let mode = if consult { "consult" } else { "blind" };
    let steps = |model: &DesktopModel| {
        ["consulting", "failed", "returned"]
            .map(|s| model.count(&format!("call.transfer.{s}")))
            .iter()
            .sum::<usize>()
    };
    // The caller may have hung up or been transferred since the lookup.
    eventually("somebody who talks is passed on", async || {
        let (_, calls) = service.ask("admin", Method::GET, "/v1/calls", None).await;
        let talks = |call: &&Value| call["state"] == "answered";
        let call = calls["items"].as_array().into_iter().flatten().find(talks).ok_or("nobody talks")?;
        let id = call["id"].as_str().unwrap();
        let newly_expected: Vec<&Desktop> =
            desktops.iter().filter(|desktop| desktop.expect_return(id)).collect();
        let before = desktops[0].look(steps);
        let (path, to) = (format!("/v1/calls/{id}/transfers"), json!({ "mode": mode, "to": PASSED_ON_TO }));
        let (status, answer) = service.ask("admin", Method::POST, &path, Some(to)).await;
        if !status.is_success() {
            newly_expected.iter().for_each(|desktop| desktop.cancel_expected_return(id));
            return Err(answer.to_string());
        }
        if consult {
            let goes_on = |model: &DesktopModel| steps(model) > before || !model.open.contains(id);
            desktops[0].wait("the operator consults", goes_on).await;
        }
        Ok(())
    })
    .await;
}

/// An account to take messages for.
async fn account(service: &Service) -> String {
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts?limit=1", None).await;
    accounts["items"][0]["id"].as_str().unwrap().to_owned()
}
