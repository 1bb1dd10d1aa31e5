//! How fast the outbox is. The figures are printed, not asserted: they depend on the machine.

mod routes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::chat::{SECRET, StandIn};
use super::house::{House, plain, signed_in};
use crate::calls::Template;
use crate::mail_lab::MailLab;
use crate::support::fake_pbx::{FakePbx, SECRET as SECRET_OF_PBX};
use crate::support::wait::{TEST_TIMEOUT, eventually, eventually_within};

/// Mails that are queued at once; `make mail-figures` sets 10000.
const QUEUED: &str = "TORITSUGI_MAIL_QUEUED";
/// Calls a second that pop meanwhile (50); with 0 the memory is that of the mails alone.
const CALLS: &str = "TORITSUGI_MAIL_CALLS";
/// How long a phone takes to ring.
const RING_DELAY: Duration = Duration::from_millis(10);
/// The numbers of the calls that are played before the mails are sent are below this one.
const CALLS_BEFORE: u64 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_saved_to_taken() {
    const MESSAGES: usize = 60;
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let contact = house.contact("計測", "timed@sakura.example.jp").await;
    for n in 0..MESSAGES {
        house.save(&contact, &format!("{n}")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    printed_times("saved to taken by the mail server, over TLS", &all_sent(&house, MESSAGES).await);
}

/// Ten chats, each of which takes one message a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_saved_to_a_chat() {
    const MESSAGES: usize = 60;
    const CHATS: usize = 10;
    let service = StandIn::start().await;
    let house = service.house().await;
    let mut contacts = Vec::new();
    for n in 0..CHATS {
        let contact = house.person(&format!("担当{n}")).await;
        let address = service.url(&format!("/services/T{n}/B{n}/{SECRET}{n}"));
        house.endpoint(&contact, json!({"kind": "slack", "address": address})).await;
        contacts.push(contact);
    }
    for n in 0..MESSAGES {
        house.save(&contacts[n % CHATS], &format!("{n}")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    printed_times("saved to taken by a chat", &all_sent(&house, MESSAGES).await);
}

/// The deliveries of messages that were saved ten a second, once all are sent.
async fn all_sent(house: &House, messages: usize) -> Vec<Value> {
    let sent = async || {
        let found = house.get("/v1/deliveries?state=sent").await;
        let items = found["items"].as_array().unwrap().clone();
        if items.len() == messages { Ok(items) } else { Err(format!("{} of {messages}", items.len())) }
    };
    eventually("all are sent", sent).await
}

#[expect(clippy::print_stdout, reason = "figures")]
fn printed_times(what: &str, deliveries: &[Value]) {
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut took: Vec<i64> = deliveries
        .iter()
        .map(|item| time(&item["changed_at"]).as_millisecond() - time(&item["created_at"]).as_millisecond())
        .collect();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    println!(
        "{what}, {} messages at 10/s: p50 {} ms, p95 {} ms, max {} ms",
        took.len(),
        at(50),
        at(95),
        at(100)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_is_drained_while_calls_pop() {
    let queued: usize = std::env::var(QUEUED).map_or(200, |text| text.parse().expect("a number of mails"));
    let calls: u32 = std::env::var(CALLS).map_or(50, |text| text.parse().expect("calls a second"));
    let lab = MailLab::start().await;
    let mut pbx = FakePbx::start().await;
    let mut settings = plain(&lab.port("PLAIN_PORT"));
    settings.extend([("CONNECTIONS", "4".into()), ("PER_MINUTE", "100000".into())]);
    let of_pbx = [
        ("PBX__PORT", pbx.port().to_string()),
        ("PBX__EVENT_SECRET", SECRET_OF_PBX.to_owned()),
        ("PBX__ACTION_SECRET", SECRET_OF_PBX.to_owned()),
        ("PBX__TRUNKS", "trunk".to_owned()),
    ];
    let others: Vec<_> = of_pbx.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut house = House::start_with(&settings, &others).await;
    let contact = house.contact("計測", "drained@sakura.example.jp").await;
    // Nothing is sent while the outbox is filled.
    lab.stop();
    let text = "納期を確認したい。".repeat(100);
    let saving = futures_util::future::join_all((0..8).map(|lane| {
        let (house, contact, text) = (&house, &contact, &text);
        async move {
            for n in (lane..queued).step_by(8) {
                house.save(contact, &format!("{n} {text}")).await;
            }
        }
    }));
    saving.await;
    pbx.wait_for_logins(1).await;
    house.kill().await;
    house.revive().await;
    pbx.wait_for_logins(2).await;
    eventually("the daemon follows the PBX", async || {
        let ready = house.try_ask("admin", Method::GET, "/readyz", &Value::Null).await;
        let (status, body) = ready.map_err(|error| error.to_string())?;
        if status == StatusCode::OK { Ok(()) } else { Err(body.to_string()) }
    })
    .await;
    let mut pops = pops_of(&house).await;
    let quiet = {
        let is_over = AtomicBool::new(false);
        let playing = play(&pbx, &mut pops, &is_over, (calls, 0));
        let waiting = async {
            // A short run shows that it works.
            tokio::time::sleep(Duration::from_secs(if queued > 1_000 { 10 } else { 1 })).await;
            is_over.store(true, Ordering::Relaxed);
        };
        tokio::join!(playing, waiting).0
    };
    let before = memory_kib(house.pid());
    lab.revive();
    // The daemon has found the server away, and would wait before it tries again.
    house.ask("2001", Method::POST, "/v1/mail/servers/main/resume", Value::Null).await;
    let begun = Instant::now();
    let (mut most, is_over) = (before, AtomicBool::new(false));
    let drained = async || {
        most = most.max(memory_kib(house.pid()));
        let waiting = house.get("/v1/messages?state=open&limit=1").await;
        if waiting["items"] == json!([]) { Ok(()) } else { Err(waiting.to_string()) }
    };
    let draining = async {
        eventually_within(Duration::from_secs(1_200), "the outbox is empty", drained).await;
        is_over.store(true, Ordering::Relaxed);
        begun.elapsed()
    };
    let (took, meanwhile) = tokio::join!(draining, play(&pbx, &mut pops, &is_over, (calls, CALLS_BEFORE)));
    println!(
        "{queued} mails of {} bytes of text over 4 connections: {:.0}/s, {} KiB more memory",
        text.len(),
        f64::from(u32::try_from(queued).unwrap()) / took.as_secs_f64(),
        most - before
    );
    printed_pops(calls, "no mails are sent", quiet);
    printed_pops(calls, "the mails are sent", meanwhile);
}

/// When an operator's desktop gets each pop.
async fn pops_of(house: &House) -> mpsc::UnboundedReceiver<Instant> {
    let mut events = house.events("1001").await;
    events.next().await.expect("a first frame");
    let (seen, pops) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let at = Instant::now();
            if event["kind"] == "call.presented" && seen.send(at).is_err() {
                return;
            }
        }
    });
    pops
}

/// What was measured while calls were played.
#[derive(Default)]
struct Played {
    /// How long each ringing took to be a pop.
    pops: Vec<Duration>,
    /// How late each wait ended before the ringing: what the machine itself adds, without the daemon.
    late: Vec<Duration>,
}

/// Plays so many calls a second until `is_over`, numbered from `first` on.
async fn play(
    pbx: &FakePbx,
    pops: &mut mpsc::UnboundedReceiver<Instant>,
    is_over: &AtomicBool,
    (calls, first): (u32, u64),
) -> Played {
    let Some(each) = Duration::from_secs(1).checked_div(calls) else { return Played::default() };
    let parts = Template::recorded("answered-first-operator").around_ringing();
    let stamped = |part: &Template, n| {
        let mut bytes = BytesMut::new();
        part.stamp(n, &mut bytes);
        bytes.to_vec()
    };
    let mut every = tokio::time::interval(each);
    let mut played = Played::default();
    for n in first.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        every.tick().await;
        let [before, ringing, after] = [&parts[0], &parts[1], &parts[2]].map(|part| stamped(part, n));
        pbx.emit_bytes(before);
        let due = Instant::now() + RING_DELAY;
        tokio::time::sleep_until(due.into()).await;
        let started = Instant::now();
        played.late.push(started - due);
        pbx.emit_bytes(ringing);
        let pop = tokio::time::timeout(TEST_TIMEOUT, pops.recv()).await;
        played.pops.push(pop.expect("the call pops").expect("the desktop follows") - started);
        pbx.emit_bytes(after);
    }
    played
}

#[expect(clippy::print_stdout, reason = "figures")]
fn printed_pops(calls: u32, what: &str, played: Played) {
    if played.pops.is_empty() {
        return;
    }
    println!(
        "pops at {calls} calls/s while {what}, {} pops: {}",
        played.pops.len(),
        percentiles(played.pops)
    );
    println!(
        "  a wait of {RING_DELAY:?} without the daemon ended late meanwhile: {}",
        percentiles(played.late)
    );
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1].as_secs_f64() * 1_000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(50), at(99), at(100))
}

/// The resident memory of a process, in KiB.
fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
