//! What supervisors heard while daemons were killed: each mode is recorded once, with its end.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::desktop::Desktop;
use super::{all_is_logged, soak, start};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, ms};

const KILLS: usize = 9;
/// Rings at 1101 alone.
const FOR_1101: &str = "0355502101";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_supervisor_heard_while_daemons_were_killed_is_recorded_once() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[("SUPERVISION__NOTIFY", "silent")]).await;
    let mut daemon = start(&service);
    let desktop = Desktop::follow(&service, "admin").await;
    lab.phone("1101").answers_after(ms(100)).await;
    lab.phone("2001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, FOR_1101)).await;
    desktop.wait("they talk", |model| model.count("call.answered") > 0).await;
    let id = desktop.look(|model| model.open.iter().next().cloned()).unwrap();
    let body = json!({ "call": id, "mode": "listen", "extension": "2001", "reason": "研修" });
    let begun = begins(&service, "admin", body).await;
    let path = format!("/v1/supervisions/{}", begun["id"].as_str().unwrap());
    is_live(&service, "listen").await;
    // As after each mode below: the last milliseconds of the log may be lost.
    all_is_logged(&service).await;

    let mut modes = vec!["listen"];
    let kills = KILLS * soak();
    for n in 0..kills {
        let mode = ["whisper", "barge", "listen"][n % 3];
        modes.push(mode);
        // The actions session may come up a moment after the events session.
        eventually("the mode is ordered", async || {
            let wanted = json!({ "mode": mode });
            let (status, answer) = service.ask("admin", Method::PATCH, &path, Some(wanted)).await;
            if status.is_success() { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
        match n % 3 {
            // Kill during the mode change, right after its event, and once it is in the database.
            0 => {}
            1 => is_live(&service, mode).await,
            _ => {
                is_live(&service, mode).await;
                all_is_logged(&service).await;
            }
        }
        daemon.kill().await.unwrap();
        desktop.wait("the stream has ended", |model| !model.up).await;
        daemon = start(&service);
        desktop.wait("it is back", |model| model.up).await;
        // The action may have been lost with the daemon.
        eventually("the mode is as it was wanted", async || {
            let (state, now) = state(&service).await?;
            if state == "live" && now != mode {
                let again = json!({ "mode": mode });
                service.ask("admin", Method::PATCH, &path, Some(again)).await;
            }
            if state == "live" && now == mode { Ok(()) } else { Err(format!("{state} {now}")) }
        })
        .await;
        // The PBX reports only the current mode; the previous one is only in the log, whose last milliseconds may be lost.
        all_is_logged(&service).await;
    }
    // The supervisor hangs up while no daemon runs.
    daemon.kill().await.unwrap();
    desktop.wait("the stream has ended", |model| !model.up).await;
    lab.phone("2001").hangs_up().await;
    lab.phone("2001").goes_idle().await;
    daemon = start(&service);
    desktop.wait("it is back", |model| model.up).await;
    call.hang_up().await;
    desktop.wait("the call is over", |model| model.open.is_empty()).await;

    let record = record(&service, &id).await;
    let entries = each_mode_once(&record, &modes);
    println!("{kills} kills while a supervisor changed the mode: {} entries, each once", entries);
    daemon.kill().await.unwrap();
}

#[tokio::test]
async fn what_a_supervisor_heard_is_in_the_history_for_those_who_could_see_it() {
    for (notify, operator_reads) in [("silent", 0), ("desktop", 2)] {
        let lab = Lab::start().await;
        let mut service = Service::start_with(&lab, &[("SUPERVISION__NOTIFY", notify)]).await;
        let desktop = Desktop::follow(&service, "admin").await;
        // A number that rings at every operator.
        for phone in ["1002", "1003"] {
            lab.phone(phone).rings_for_ever().await;
        }
        for phone in ["1001", "2001"] {
            lab.phone(phone).answers_after(ms(100)).await;
        }
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, crate::SAKURA)).await;
        desktop.wait("they talk", |model| model.count("call.answered") > 0).await;
        let id = desktop.look(|model| model.open.iter().next().cloned()).unwrap();
        let body = json!({ "operator": "1001", "mode": "listen" });
        let begun = begins(&service, "2001", body).await;
        is_live(&service, "listen").await;
        let path = format!("/v1/supervisions/{}", begun["id"].as_str().unwrap());
        let (status, answer) =
            service.ask("2001", Method::PATCH, &path, Some(json!({ "mode": "take_over" }))).await;
        assert!(status.is_success(), "{answer}");
        desktop.wait("the supervisor has the call", |model| model.count("supervision.stopped") > 0).await;
        call.hang_up().await;
        desktop.wait("the call is over", |model| model.open.is_empty()).await;
        let record = record(&service, &id).await;
        let line =
            |h: &Value| format!("{} {} {}", h["mode"], h["supervisor_name"], h["ending"]).replace('"', "");
        let heard: Vec<String> = record["supervisions"].as_array().unwrap().iter().map(line).collect();
        assert_eq!(heard, ["listen 伊藤 null", "take_over 伊藤 took_over"], "{record:#}");
        for (who, wanted) in [("2001", 2), ("1001", operator_reads)] {
            let (status, seen) = service.ask(who, Method::GET, &format!("/v1/history/{id}"), None).await;
            assert_eq!(status, StatusCode::OK, "{seen}");
            assert_eq!(seen["supervisions"].as_array().unwrap().len(), wanted, "{notify}, {who}: {seen:#}");
        }
        println!(
            "supervision.notify = {notify}: {} entries, {operator_reads} of them shown to the operator",
            heard.len()
        );
        service.stop().await;
    }
}

/// Checks that the record has each mode once, in order, and that no person ended the last one.
fn each_mode_once(record: &Value, modes: &[&str]) -> usize {
    let heard = record["supervisions"].as_array().unwrap();
    let found: Vec<&str> = heard.iter().map(|h| h["mode"].as_str().unwrap()).collect();
    assert_eq!(found, *modes, "{record:#}");
    for (one, next) in heard.iter().zip(heard.iter().skip(1)) {
        assert_eq!((&one["until"], one.get("ending")), (&next["from"], None), "{record:#}");
    }
    let last = heard.last().unwrap();
    assert_eq!(last["ending"], "lost", "nobody saw the end: {record:#}");
    for h in heard {
        assert!(h["from"].as_str() < h["until"].as_str(), "{h}");
        assert_eq!(
            (&h["operator"], &h["extension"], &h["reason"]),
            (&json!("1101"), &json!("2001"), &json!("研修"))
        );
    }
    heard.len()
}

/// Starts a supervision, as soon as the actions session is up: that may be a moment after the events session.
async fn begins(service: &Service, who: &str, body: Value) -> Value {
    eventually("a supervision begins", async || {
        let (status, answer) = service.ask(who, Method::POST, "/v1/supervisions", Some(body.clone())).await;
        if status == StatusCode::CREATED { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await
}

/// State and mode of the only supervision.
async fn state(service: &Service) -> Result<(String, String), String> {
    let (_, list) = service.ask("admin", Method::GET, "/v1/supervisions", None).await;
    let word = |key: &str| list["items"][0][key].as_str().map(str::to_owned);
    word("state").zip(word("mode")).ok_or_else(|| list.to_string())
}

async fn is_live(service: &Service, mode: &str) {
    let is_it = |_, list: &Value| list["items"][0]["state"] == "live" && list["items"][0]["mode"] == mode;
    service.until("admin", "/v1/supervisions", is_it).await;
}

/// The call's record, once it is written, which is a moment after the event.
async fn record(service: &Service, id: &str) -> Value {
    let path = format!("/v1/history/{id}");
    service.until("admin", &path, |status, _| status.is_success()).await
}
