//! How fast the outbox is. The figures are printed, not asserted: they depend on the machine.

mod routes;

use std::time::{Duration, Instant};

use serde_json::json;

use super::chat::{SECRET, StandIn};
use super::house::{House, plain, signed_in};
use crate::mail_lab::MailLab;
use crate::support::wait::{eventually, eventually_within};

/// Mails that are queued at once; `make mail-figures` sets 10000.
const QUEUED: &str = "TORITSUGI_MAIL_QUEUED";

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
async fn all_sent(house: &House, messages: usize) -> Vec<serde_json::Value> {
    let sent = async || {
        let found = house.get("/v1/deliveries?state=sent").await;
        let items = found["items"].as_array().unwrap().clone();
        if items.len() == messages { Ok(items) } else { Err(format!("{} of {messages}", items.len())) }
    };
    eventually("all are sent", sent).await
}

#[expect(clippy::print_stdout, reason = "figures")]
fn printed_times(what: &str, deliveries: &[serde_json::Value]) {
    let time = |value: &serde_json::Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
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
async fn a_full_outbox_is_drained() {
    let queued: usize = std::env::var(QUEUED).map_or(200, |text| text.parse().expect("a number of mails"));
    let lab = MailLab::start().await;
    let mut settings = plain(&lab.port("PLAIN_PORT"));
    settings.extend([("CONNECTIONS", "4".into()), ("PER_MINUTE", "100000".into())]);
    let mut house = House::start(&settings).await;
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
    house.kill().await;
    house.revive().await;
    let before = memory_kib(house.pid());
    lab.revive();
    let begun = Instant::now();
    let mut most = before;
    let drained = async || {
        most = most.max(memory_kib(house.pid()));
        let waiting = house.get("/v1/messages?state=open&limit=1").await;
        if waiting["items"] == json!([]) { Ok(()) } else { Err(waiting.to_string()) }
    };
    eventually_within(Duration::from_secs(1_200), "the outbox is empty", drained).await;
    let took = begun.elapsed();
    println!(
        "{queued} mails of {} bytes of text over 4 connections: {:.0}/s, {} KiB more memory",
        text.len(),
        f64::from(u32::try_from(queued).unwrap()) / took.as_secs_f64(),
        most - before
    );
}

/// The resident memory of a process, in KiB.
fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
