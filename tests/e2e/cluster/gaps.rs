//! Periods in which no daemon followed a PBX: published and stored when all daemons of the PBX died, and not when a
//! standby was following.
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use toritsugi::ids::PbxId;
use toritsugi::store::{Location, PostgresAddress, Store};

use super::checkpoints::{
    Watch, has_every_segment_once, has_seen_a_pop, is_shown_and_answered, lines, nobody_presses_a_key,
};
use super::site::{Daemon, Site};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::services::shared;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

/// First of the on-call list of account 1.
const CONTACT: &str = "09055500011";

/// Waits until the leader has written a heartbeat later than `then`.
async fn looks_after(site: &Site, then: Timestamp) {
    let location = Location::Postgres(PostgresAddress::parse(&site.settings[0].1).unwrap());
    let store = Store::open_at(&location).await.unwrap();
    let pbx = PbxId::parse("lab").unwrap();
    eventually("the leader writes a heartbeat", async || {
        let link = store.pbx_link(&pbx).await.unwrap();
        if link.as_ref().is_some_and(|link| link.up && link.alive > then) {
            Ok(())
        } else {
            Err(format!("{link:?}"))
        }
    })
    .await;
    store.close().await;
}

async fn gaps(site: &Site, daemon: &Daemon) -> Vec<Value> {
    let answer = site.json(daemon, "admin", Method::GET, "/v1/pbx/gaps", &Value::Null).await;
    answer["items"].as_array().unwrap().clone()
}

fn time(of: &Value, key: &str) -> Timestamp {
    of[key].as_str().unwrap().parse().unwrap()
}

fn is_gap(event: &Value) -> bool {
    event["kind"] == "pbx.gap"
}

/// Checks that the history has both calls with an inferred end, as a single daemon would record them, and that the events
/// agree.
async fn ended_as_inferred(site: &Site, daemon: &Daemon, watch: &Watch, talking: &str, ringing: &str) {
    let pops = |event: &Value| event["kind"] == "call.presented" && event["call"] == talking;
    let rang = watch.count(|event| pops(event) && event["data"]["repeats"].is_null());
    let passed_on = has_every_segment_once(site, daemon, talking, rang).await;
    let how = |record: &Value| (record["outcome"].clone(), record["inferred"].clone());
    assert_eq!(how(&passed_on), (json!("answered"), json!(true)), "{passed_on:#}");
    let path = format!("/v1/history/{ringing}");
    let text = site.until(daemon, &path, |status, _| status == StatusCode::OK).await;
    let rang: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(how(&rang), (json!("unknown"), json!(true)), "{rang:#}");
    assert!(lines(&rang).iter().any(|line| line.starts_with("presented ")), "{rang:#}");
    for event in watch.events.borrow().iter().filter(|event| event["kind"] == "call.ended") {
        let record = if event["call"] == talking { &passed_on } else { &rang };
        assert_eq!(
            (&event["data"]["outcome"], &event["data"]["inferred"]),
            (&record["outcome"], &json!(true))
        );
    }
    let mut typed = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    let (_, token) = site.tokens.iter().find(|(name, _)| name == "admin").unwrap();
    let url = format!("http://{}", daemon.address);
    typed.args(["history", talking]).env("TORITSUGI_URL", url).env("TORITSUGI_TOKEN", token);
    let typed = String::from_utf8(typed.output().await.unwrap().stdout).unwrap();
    assert!(typed.contains("answered (inferred)") && typed.contains("shown"), "{typed}");
}

/// Kills the leader; the standby, which was following, must report no gap.
async fn a_takeover_is_no_gap(
    lab: &Lab,
    site: &Site,
    mut active: Daemon,
    watch: &mut Watch,
    kept: Vec<Value>,
) {
    let standby = site.start(lab, "lab").await;
    lab.phone("1001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new("0906620003", SAKURA)).await;
    watch.hears("call.answered", None).await;
    // The standby has observed the call itself, and the leader is still following.
    has_seen_a_pop(site, &standby).await;
    looks_after(site, Timestamp::now()).await;
    active.child.kill().await.unwrap();
    let killed = Timestamp::now();
    site.leads(&standby).await;
    watch.goes_on(site, &standby).await;
    // The new leader decides about a gap before it writes its first heartbeat.
    looks_after(site, killed).await;
    call.hang_up().await;
    let ended = watch.hears("call.ended", None).await;
    assert_eq!(ended["data"]["inferred"], Value::Null, "{ended}");
    assert_eq!((watch.count(is_gap), gaps(site, &standby).await), (1, kept), "a takeover is no gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_in_which_all_daemons_of_a_pbx_were_dead_is_published_and_stored_once() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let mut active = site.start(&lab, "lab").await;
    site.leads(&active).await;
    nobody_presses_a_key(&site, &active).await;
    let mut standby = site.start(&lab, "lab").await;
    let mut watch = Watch::begin(&site, &active).await;

    // When both daemons are killed, one caller was transferred and one call rings; both callers hang up, and a third call
    // starts and ends unobserved.
    lab.phone("1001").answers_after(ms(100)).await;
    lab.phone(CONTACT).answers_after(ms(100)).await;
    let passed_on = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let talking = is_shown_and_answered(&site, &active, &mut watch).await;
    let path = format!("/v1/calls/{talking}/transfers");
    site.json(&active, "1001", Method::POST, &path, &json!({ "mode": "blind", "to": CONTACT })).await;
    watch.hears("call.transfer.completed", Some(&talking)).await;
    lab.phone("1001").goes_idle().await;
    lab.phone("1001").rings_for_ever().await;
    let rings = lab.place_call(CallSpec::new("0906620001", SAKURA)).await;
    let ringing = watch.hears("call.presented", None).await["call"].as_str().unwrap().to_owned();
    active.child.kill().await.unwrap();
    standby.child.kill().await.unwrap();
    let killed = Timestamp::now();
    for call in [passed_on, rings] {
        call.hang_up().await;
        call.ended().await;
    }
    let unseen = lab.place_call(CallSpec::new("0906620002", SAKURA)).await;
    unseen.hang_up().await;
    unseen.ended().await;
    let back = Timestamp::now();

    let active = site.start(&lab, "lab").await;
    site.leads(&active).await;
    watch.goes_on(&site, &active).await;
    let both_ended = |events: &[Value]| {
        events.iter().filter(|event| event["kind"] == "call.ended").count() == 2 && events.iter().any(is_gap)
    };
    assert!(watch.until(both_ended).await);
    let published = watch.events.borrow().iter().find(|event| is_gap(event)).unwrap().clone();
    let (from, to) = (time(&published["data"], "from"), time(&published["data"], "to"));
    assert!(from <= killed && back <= to, "{killed} to {back} is not inside {published}");
    assert_eq!(
        (&published["data"]["cause"], &published["data"]["restarted"]),
        (&json!("the daemon was not running"), &json!(false))
    );
    // The gap is stored as it was published, and the calls are recorded as a single daemon would record them.
    site.until(&active, "/v1/pbx/gaps", |_, text| text.contains("the daemon was not running")).await;
    let kept = gaps(&site, &active).await;
    assert_eq!(kept.len(), 1, "{kept:#?}");
    assert_eq!((time(&kept[0], "from"), time(&kept[0], "to")), (from, to));
    ended_as_inferred(&site, &active, &watch, &talking, &ringing).await;
    a_takeover_is_no_gap(&lab, &site, active, &mut watch, kept).await;
    println!("both dead from {from} to {to}: one gap, published and stored; a takeover: none");
}
