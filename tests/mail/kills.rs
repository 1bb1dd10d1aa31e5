//! The daemon is killed at any moment while messages are saved and sent: none is lost, and a mail that comes twice has one
//! `Message-ID`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::arrives::ReadMail;
use super::house::{House, plain, signed_in};
use crate::mail_lab::MailLab;
use crate::support::wait::{TEST_TIMEOUT, eventually_within};

/// Kills in a run; `make mail-kills` sets 200.
const KILLS: &str = "TORITSUGI_MAIL_KILLS";
/// Messages saved between two kills.
const MESSAGES_PER_KILL: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_no_message_is_lost() {
    let kills: usize = std::env::var(KILLS).map_or(8, |text| text.parse().expect("a number of kills"));
    let lab = MailLab::start().await;
    // Half of the run over TLS, where an attempt has more phases.
    let mut house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let contact = house.contact("何度でも", "again@sakura.example.jp").await;
    let begun = Instant::now();
    let mut saved: BTreeSet<String> = BTreeSet::new();
    for kill in 0..kills {
        if kill == kills / 2 {
            let port = plain(&lab.port("PLAIN_PORT"));
            for (key, value) in port {
                let key = format!("TORITSUGI__MAIL__{key}");
                house.environment.retain(|(name, _)| *name != key);
                house.environment.push((key, value));
            }
            house
                .environment
                .retain(|(name, _)| !name.ends_with("MAIL__USER") && !name.ends_with("MAIL__PASSWORD"));
        }
        for n in 0..MESSAGES_PER_KILL {
            let text = format!("{kill}-{n}");
            let message = json!({"account": house.account, "contact": contact, "text": text});
            let made = house.ask("1001", Method::POST, "/v1/messages", message).await;
            assert_eq!(made["delivery"]["state"], "queued");
            saved.insert(text);
        }
        // Anywhere between the claim of the first and the note about the last.
        let mut random = [0; 1];
        getrandom::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_millis(u64::from(random[0]) * 2 / 3)).await;
        house.kill().await;
        house.revive().await;
    }
    let all_sent = async || {
        let waiting = house.get("/v1/messages?state=open&limit=500").await;
        let count = waiting["items"].as_array().unwrap().len();
        if count == 0 { Ok(()) } else { Err(format!("{count} wait, for instance {}", waiting["items"][0])) }
    };
    eventually_within(TEST_TIMEOUT * 4, "all are sent", all_sent).await;
    let delivered = || -> BTreeSet<String> {
        let text = |bytes: &Vec<u8>| ReadMail::read(bytes).text;
        let of = |text: String| text.split_once("内容\n").unwrap().1.lines().next().unwrap().to_owned();
        lab.mails("again").iter().map(text).map(of).collect()
    };
    crate::support::wait::eventually("Postfix has delivered them", async || {
        let missing = saved.len() - delivered().len();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} are missing")) }
    })
    .await;
    assert_eq!(delivered(), saved);
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for mail in lab.mails("again") {
        *ids.entry(ReadMail::read(&mail).header("Message-ID")).or_default() += 1;
    }
    assert_eq!(ids.len(), saved.len(), "each message has one Message-ID, however often it was sent");
    let duplicates: usize = ids.values().map(|count| count - 1).sum();
    let failed = house.get("/v1/messages?state=failed").await;
    assert_eq!(failed["items"], Value::Array(Vec::new()));
    println!("{kills} kills, {} messages, {duplicates} duplicates, in {:?}", saved.len(), begun.elapsed());
}
