//! Figures of callflows, printed and not compared: `make callflow-figures`. In the suite they run with few calls and accounts, and
//! show that nothing is lost.
//!
//! | figure | to reach |
//! |---|---|
//! | added to a call's set-up, p99 | 15 ms without a hint, 60 ms with one, 320 ms while the daemon hangs |
//! | from a change to its force at the PBX, p95 | 1 s; 2 s for a guidance that is uploaded |
//! | 5,000 accounts | compiled in 1 s, at a PBX that had none in 60 s, the daily refresh in 10 s with 10 % of a core |
//! | memory | 4 KiB a callflow |
//! | 60 calls a second | none is lost |
//!
//! | variable | what | in the suite |
//! |---|---|---|
//! | `TORITSUGI_FLOW_CALLS` | calls of each kind, whose set-up is measured | 5 |
//! | `TORITSUGI_FLOW_CHANGES` | changes, until each is in force at the PBX | 3 |
//! | `TORITSUGI_FLOW_ACCOUNTS` | accounts that are compiled, and written to a PBX that has none | 100 |
//! | `TORITSUGI_FLOW_CROWD` | calls, 60 a second | 60 |
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Child;
use toritsugi::callflow::{BATCH_CHANGES_MAX, Source, World, base_of, compile};
use toritsugi::contract::callflow::CallflowFields;
use toritsugi::contract::holidays::HolidayCalendar;
use toritsugi::contract::hours::Hours;
use toritsugi::contract::records::{Account, AccountFields};
use toritsugi::ids::RecordId;
use toritsugi::numbers::NumberPlan;
use toritsugi::store::Store;
use toritsugi::store::callflows::StoredCallflow;
use uuid::Uuid;

use crate::callers::{is_alive, sounds_directory, upload, wav_of};
use crate::callflow::{account, is_level, open_now, set_callflow};
use crate::faults::{is_up, start};
use crate::offline::signal;
use crate::plan_faults::orders;
use crate::support::pbx_lab::{CallSpec, Event, Lab, Spoken};
use crate::support::service::Service;
use crate::support::wait::eventually_within;
use crate::{KNOWN_CALLER, SAKURA};

/// Calls that begin in a second.
const CROWD_PER_SECOND: u64 = 60;

fn count(name: &str, usual: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The middle, the 95th and the 99th of a hundred, and the last.
#[expect(clippy::print_stdout, reason = "figures")]
fn line(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!(
        "{what}: {} times, p50 {:?}, p95 {:?}, p99 {:?}, longest {:?}",
        times.len(),
        at(50),
        at(95),
        at(99),
        times[times.len() - 1]
    );
}

/// From the beginning of the callflow to the queue, by the PBX's own clock: what the callflow adds to a call's set-up.
async fn added(lab: &Lab, calls: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..calls {
        let mark = lab.pbx.events.mark();
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        let joined = |event: &Event| event.name() == "QueueCallerJoin";
        lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
        let channel = call.at_pbx().await.header("Channel").unwrap_or("").to_owned();
        let mut read = [0_u64; 2];
        for (place, name) in ["TORITSUGI_BEGAN", "TORITSUGI_JOINED"].into_iter().enumerate() {
            let action = [("Action", "Getvar"), ("Channel", channel.as_str()), ("Variable", name)];
            let answer = lab.pbx.action(&action).await;
            read[place] = answer.head.header("Value").and_then(|value| value.parse().ok()).unwrap_or(0);
        }
        assert!(read[0] > 0 && read[1] >= read[0], "{read:?}");
        times.push(Duration::from_millis(read[1] - read[0]));
        call.hang_up().await;
        call.ends().await;
    }
    times
}

#[tokio::test]
async fn what_a_callflow_adds_to_the_set_up_of_a_call() {
    let calls = count("TORITSUGI_FLOW_CALLS", 5);
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let mut daemon = start(&service);
    is_up(&service).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    lab.phone("1001").rings_for_ever().await;
    for hinted in [false, true] {
        set_callflow(&service, "A001", json!({ "announce_caller": hinted })).await;
        is_level(&service).await;
        is_alive(&lab).await;
        let times = added(&lab, calls).await;
        line(if hinted { "added with a hint" } else { "added without a hint" }, times);
    }
    // A daemon that hangs: its heartbeat is fresh, and it answers nothing.
    signal(&daemon, "-STOP").await;
    let mut times = Vec::new();
    for _ in 0..calls {
        lab.set_global("TORITSUGI_ALIVE", &Timestamp::now().as_second().to_string()).await;
        times.extend(added(&lab, 1).await);
    }
    line("added while the daemon hangs", times);
    lab.set_global("TORITSUGI_ALIVE", "0").await;
    line("added once its heartbeat is old", added(&lab, calls).await);
    daemon.kill().await.unwrap();
}

/// The plan of this account at the PBX.
async fn plan_of(lab: &Lab, account: &str) -> String {
    lab.plan_keys().await.remove(&format!("plan/{account}")).unwrap_or_default()
}

#[tokio::test]
async fn how_long_a_change_takes_until_it_is_in_force_at_the_pbx() {
    let changes = count("TORITSUGI_FLOW_CHANGES", 3);
    let lab = Lab::start().await;
    let directory = sounds_directory(&lab);
    let settings = [("CALLFLOW__SOUNDS_DIRECTORY", directory.to_str().unwrap())];
    let mut service = Service::start_with(&lab, &settings).await;
    service.change_account("A001", json!({ "hours": crate::callflow::closed_now() })).await;
    set_callflow(&service, "A001", json!({})).await;
    is_level(&service).await;
    let id = account(&service, "A001").await.replace('-', "");
    let is_in_force = async |begun: Instant, before: &str| {
        while plan_of(&lab, &id).await == before {
            assert!(begun.elapsed() < Duration::from_secs(60), "the change is not at the PBX");
        }
    };
    let mut times = Vec::new();
    for n in 0..changes {
        let before = plan_of(&lab, &id).await;
        let begun = Instant::now();
        set_callflow(&service, "A001", json!({ "wait_s": 31 + n % 60 })).await;
        is_in_force(begun, &before).await;
        times.push(begun.elapsed());
    }
    line("from the request to its force at the PBX", times);

    // Another guidance: with the file at the PBX, which the next caller hears.
    let (tones, mut times) = (wav_of("busy"), Vec::new());
    for n in 0..changes {
        let before = plan_of(&lab, &id).await;
        let begun = Instant::now();
        // Each is another sound, by its last samples.
        let cut = tones.len() - 2 * (n + 1);
        let (status, sound) = upload(&service, &format!("title=g{n}"), cut_wav(&tones, cut)).await;
        assert_eq!(status, StatusCode::CREATED, "{sound}");
        let name = sound["name"].as_str().unwrap();
        set_callflow(&service, "A001", json!({ "closed_guidance": name })).await;
        is_in_force(begun, &before).await;
        let file = directory.join(format!("{}.ulaw", name.rsplit('/').next().unwrap()));
        eventually_within(Duration::from_secs(60), "the file is at the PBX", async || {
            if file.exists() { Ok(()) } else { Err(format!("{}", file.display())) }
        })
        .await;
        times.push(begun.elapsed());
    }
    line("from a guidance's upload to its force at the PBX", times);
    let (_, _, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    let own = Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/busy.ulaw");
    assert!(heard.likeness(&own) >= 0.8, "{}", heard.likeness(&own));
    set_callflow(&service, "A001", json!({})).await;
    service.stop().await;
}

/// The first bytes of a WAV file of one channel, as a file.
fn cut_wav(wav: &[u8], bytes: usize) -> Vec<u8> {
    let mut cut = wav[..bytes].to_vec();
    let (whole, data) = (u32::try_from(bytes - 8).unwrap(), u32::try_from(bytes - 44).unwrap());
    cut[4..8].copy_from_slice(&whole.to_le_bytes());
    cut[40..44].copy_from_slice(&data.to_le_bytes());
    cut
}

/// An account with hours, and its callflow.
fn source(n: usize) -> Source {
    let hours = [
        "月-金 09:00-18:00; 土 09:00-12:00; 祝 休",
        "毎日 08:00-20:00",
        "月-金 09:00-12:00 13:00-17:30; 臨 2026-12-29 10:00-15:00",
    ];
    let fields = AccountFields {
        code: format!("F{n:05}"),
        name: format!("会社{n}"),
        hours: Hours::read(hours[n % hours.len()]).unwrap(),
        dialled: vec![format!("03{:08}", 10_000_000 + n)],
        forwarding: vec![format!("06{:08}", 10_000_000 + n)],
        ..AccountFields::default()
    };
    let (id, at) = (RecordId(Uuid::from_u128(n as u128 + 1)), Timestamp::UNIX_EPOCH);
    let account = Account { id, fields, created_at: at, changed_at: at };
    let callflow = CallflowFields { lines: 4, full_at: 5, ..CallflowFields::default() };
    Source { account: Arc::new(account), callflow: Some(callflow) }
}

#[tokio::test]
async fn how_long_it_takes_to_compile_and_to_write_every_account_from_nothing() {
    let accounts = count("TORITSUGI_FLOW_ACCOUNTS", 100);
    let sources: Vec<Source> = (0..accounts).map(source).collect();
    let (zone, plan, calendar) =
        (TimeZone::get("Asia/Tokyo").unwrap(), NumberPlan::default(), HolidayCalendar::default());
    let now = Timestamp::now();
    let ruled = BTreeSet::new();
    let on_call = HashMap::new();
    let world = World {
        sources: &sources,
        overrides: &[],
        calendar: &calendar,
        zone: &zone,
        plan: &plan,
        base: base_of(now, &zone),
        takes_voice: false,
        ruled: &ruled,
        on_call: &on_call,
    };
    let begun = Instant::now();
    let entries = compile(&world);
    println!("{accounts} accounts are {} keys, compiled in {:?}", entries.len(), begun.elapsed());

    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let store = Store::open_at(&service.config.store.location().unwrap()).await.unwrap();
    let mut ids = Vec::new();
    for source in &sources {
        let fields = source.account.fields.clone().checked(&plan).unwrap();
        ids.push(store.create_account(&fields, now).await.unwrap().id);
    }
    let mut daemon = start(&service);
    is_up(&service).await;
    is_level(&service).await;
    let memory = resident_kib(&daemon);
    daemon.kill().await.unwrap();
    for (source, account) in sources.iter().zip(ids) {
        let fields = source.callflow.clone().unwrap();
        let (own, by_name) = (fields.as_object(), "figures".to_owned());
        let callflow = StoredCallflow { account, fields, template: None, own, by_name, changed_at: now };
        assert!(store.set_callflow(&callflow, None).await.unwrap());
    }
    store.close().await;

    let begun = Instant::now();
    let mut daemon = start(&service);
    is_up(&service).await;
    all_are_level(&service, accounts).await;
    println!("{accounts} accounts are at a PBX that had none {:?} after the daemon's start", begun.elapsed());
    let keys = lab.plan_keys().await;
    assert_eq!(keys.keys().filter(|key| key.starts_with("plan/")).count(), accounts);
    let more = resident_kib(&daemon).saturating_sub(memory);
    println!("{accounts} callflows take {more} KiB of memory, {:.1} KiB each", more as f64 / accounts as f64);
    daemon.kill().await.unwrap();
    daily_refresh(&lab, &service, &keys, accounts).await;
}

/// Waits until the PBX has the plan of each account.
async fn all_are_level(service: &Service, accounts: usize) {
    eventually_within(Duration::from_secs(300), "the PBX has every key", async || {
        let (_, sync) = service.ask("admin", Method::GET, "/v1/callflow", None).await;
        let is_level = sync["state"] == "level" && sync["wanted"].as_u64() > Some(accounts as u64);
        if is_level { Ok(()) } else { Err(sync.to_string()) }
    })
    .await;
}

/// What the daemon does at three in the morning: each plan has another beginning, and each schedule is another one.
#[expect(clippy::print_stdout, reason = "figures")]
async fn daily_refresh(lab: &Lab, service: &Service, keys: &BTreeMap<String, String>, accounts: usize) {
    lab.pbx.action(&[("Action", "DBDelTree"), ("Family", "toritsugi/times")]).await;
    for (key, value) in keys.iter().filter(|(key, _)| key.starts_with("plan/")) {
        let mut fields: Vec<String> = value.split('|').map(str::to_owned).collect();
        fields[2] = (fields[2].parse::<i64>().unwrap() - 24 * 60).to_string();
        lab.write_plan_key(key, &fields.join("|")).await;
    }
    let schedules = keys.keys().filter(|key| key.starts_with("times/")).count();
    let expected = schedules.div_ceil(BATCH_CHANGES_MAX) + accounts.div_ceil(BATCH_CHANGES_MAX);
    let mark = lab.pbx.events.mark();
    let mut daemon = start(service);
    orders(lab, mark, 1).await;
    let (begun, used) = (Instant::now(), processor_time(&daemon));
    orders(lab, mark, expected).await;
    let (took, used) = (begun.elapsed(), processor_time(&daemon) - used);
    println!(
        "the daily refresh of {accounts} accounts writes for {took:?}, with {:.0} % of a core of the daemon",
        100.0 * used.as_secs_f64() / took.as_secs_f64().max(0.001)
    );
    is_up(service).await;
    all_are_level(service, accounts).await;
    daemon.kill().await.unwrap();
}

/// The memory that the process has.
fn resident_kib(daemon: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The processor's time that the process has used.
fn processor_time(daemon: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id().unwrap())).unwrap();
    // Behind the name, which may hold spaces: user and system time are fields 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

#[tokio::test]
async fn a_crowd_of_sixty_calls_a_second_is_treated_and_none_is_lost() {
    let crowd = count("TORITSUGI_FLOW_CROWD", 60);
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": crate::callflow::closed_now() })).await;
    set_callflow(&service, "A001", json!({ "announce_caller": true, "closed_guidance": "none" })).await;
    is_level(&service).await;
    is_alive(&lab).await;
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / CROWD_PER_SECOND));
    let begun = Instant::now();
    for n in 0..crowd {
        ticks.tick().await;
        lab.place_call(CallSpec::new(&format!("0901{n:07}"), SAKURA)).await;
    }
    println!("{crowd} calls placed in {:?}", begun.elapsed());
    let path = format!("/v1/history?outcome=closed&account={}&limit=1", account(&service, "A001").await);
    let mut ended = 0;
    eventually_within(Duration::from_secs(120), "every call has ended", async || {
        let all = lab.pbx.events.all(|event| event.has("UserEvent", "ToritsugiOutcome"));
        ended = all.len();
        if ended >= crowd { Ok(()) } else { Err(format!("{ended}")) }
    })
    .await;
    let store = Store::open(&service.config.store.path).await;
    let recorded = async || {
        let filter = toritsugi::store::history::HistoryFilter::default();
        let (mut cursor, mut found) = (None, 0);
        let store = store.as_ref().unwrap();
        loop {
            let page = store.history(&filter, cursor, 200).await.unwrap();
            found += page.len();
            cursor = page.last().map(toritsugi::store::history::HistoryCursor::of);
            if page.len() < 200 {
                return found;
            }
        }
    };
    eventually_within(Duration::from_secs(60), "every call is recorded", async || {
        let found = recorded().await;
        if found == crowd { Ok(()) } else { Err(format!("{found}")) }
    })
    .await;
    let (_, page): (_, Value) = service.ask("admin", Method::GET, &path, None).await;
    assert!(page["items"].as_array().is_some_and(|items| items.len() == 1), "{page}");
    println!("{crowd} calls: each has its outcome and one record");
    service.stop().await;
}
