//! Monthly reports as mails: closed and sent on their day, once, also when the daemon is killed at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail_parser::{MessageParser, MimeHeaders as _};
use reqwest::Method;
use serde_json::{Value, json};
use toritsugi::ids::RecordId;
use toritsugi::store::Store;
use toritsugi::store::reports::{ReportPlan, StoredReportPlan};
use uuid::Uuid;

use super::house::{House, plain};
use crate::mail_lab::MailLab;
use crate::support::wait::{TEST_TIMEOUT, eventually_within};

/// A zone in which the month before has been over for more than an hour.
fn zone() -> &'static str {
    let at = Timestamp::now().to_zoned(TimeZone::get("Asia/Tokyo").unwrap());
    if at.day() == 1 && at.hour() < 2 { "America/New_York" } else { "Asia/Tokyo" }
}

fn last_month() -> String {
    let today = Timestamp::now().to_zoned(TimeZone::get(zone()).unwrap()).date();
    today.first_of_month().yesterday().unwrap().strftime("%Y-%m").to_string()
}

async fn house(lab: &MailLab) -> House {
    let mut house = House::start(&plain(&lab.port("PLAIN_PORT"))).await;
    house.environment.push(("TORITSUGI__DIRECTORY__TIME_ZONE".into(), zone().into()));
    house
}

/// Writes plans that were there before this month, while no daemon runs.
async fn write_plans(house: &House, plans: &[(RecordId, Vec<String>)]) {
    let store = Store::open(&house.directory.path().join("toritsugi.db")).await.unwrap();
    for (account, to) in plans {
        let plan = StoredReportPlan {
            account: *account,
            plan: ReportPlan { mail_day: Some(1), to: to.clone() },
            sent_month: "2020-01".into(),
            by_name: "admin".into(),
            changed_at: Timestamp::now(),
        };
        store.set_report_plan(&plan).await.unwrap();
    }
    store.close().await;
}

async fn report(house: &House, account: RecordId) -> Value {
    house.get(&format!("/v1/accounts/{account}/reports/{}", last_month())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_arrives_on_its_day_with_its_pdf() {
    let lab = MailLab::start().await;
    let mut house = house(&lab).await;
    let account = RecordId(Uuid::try_parse(&house.account).unwrap());
    house.kill().await;
    write_plans(
        &house,
        &[(account, vec!["keiri@sakura.example.jp".into(), "shacho@sakura.example.jp".into()])],
    )
    .await;
    house.revive().await;
    let closed = eventually_within(TEST_TIMEOUT, "both mails are sent", async || {
        let report = report(&house, account).await;
        let mails = report["mails"].as_array().unwrap();
        let are_sent = mails.len() == 2 && mails.iter().all(|mail| mail["state"] == "sent");
        if are_sent { Ok(report) } else { Err(report["mails"].to_string()) }
    })
    .await;
    assert_eq!(closed["closed_by"], "toritsugi");
    let bytes = eventually_within(TEST_TIMEOUT, "Postfix has delivered it", async || {
        lab.mails("keiri").pop().ok_or_else(|| "nothing is there".to_owned())
    })
    .await;
    let mail = MessageParser::default().parse(&bytes).unwrap();
    let month = closed["month"].as_str().unwrap().to_owned();
    let (year, number) = month.split_once('-').unwrap();
    let words = format!("{year}年{}月", number.trim_start_matches('0'));
    assert_eq!(mail.subject().unwrap(), format!("【月次報告書】{words} さくら商事"));
    let text = mail.body_text(0).unwrap();
    assert!(text.contains("さくら商事 御中") && text.contains("入電 0件"), "{text}");
    let file = mail.attachment(0).unwrap();
    assert_eq!(file.attachment_name(), Some(format!("月次報告書_{month}.pdf").as_str()));
    // It is the file that the API has, to the byte.
    let url = format!("{}/v1/accounts/{account}/reports/{month}/pdf", house.url());
    let http = crate::support::client::http();
    let pdf = http.get(&url).bearer_auth(house.token("2001")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(file.contents(), &pdf[..]);
    assert_eq!(lab.count("shacho"), 1);
    // Another start sends nothing again.
    house.kill().await;
    house.revive().await;
    let again = house
        .ask("admin", Method::POST, &format!("/v1/accounts/{account}/reports/{month}/close"), json!({}))
        .await;
    assert_eq!(again, closed);
    assert_eq!((lab.count("keiri"), lab.count("shacho")), (1, 1));
    house.log_is_clean(&["keiri@sakura.example.jp"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_each_report_is_closed_and_mailed_once() {
    const ACCOUNTS: usize = 12;
    let lab = MailLab::start().await;
    let mut house = house(&lab).await;
    let mut plans = Vec::new();
    for n in 0..ACCOUNTS {
        let fields = json!({"code": format!("R{n}"), "name": format!("株式会社第{n}")});
        let made = house.ask("admin", Method::POST, "/v1/accounts", fields).await;
        let account = RecordId(Uuid::try_parse(made["id"].as_str().unwrap()).unwrap());
        plans.push((account, vec![format!("report{n}@sakura.example.jp")]));
    }
    house.kill().await;
    write_plans(&house, &plans).await;
    for _ in 0..5 {
        house.revive().await;
        // Anywhere between the first close and the note about the last mail.
        let mut random = [0; 1];
        getrandom::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_millis(u64::from(random[0]) * 4)).await;
        house.kill().await;
    }
    house.revive().await;
    let mut closed = BTreeMap::new();
    for (account, _) in &plans {
        let report = eventually_within(TEST_TIMEOUT * 4, "the report is sent", async || {
            let report = report(&house, *account).await;
            let mails = report["mails"].as_array().unwrap();
            // One mail, however often the daemon was killed: its row is made in one transaction with the note about it.
            if mails.len() == 1 && mails[0]["state"] == "sent" {
                Ok(report)
            } else {
                Err(report["mails"].to_string())
            }
        })
        .await;
        closed.insert(*account, report["sha256"].clone());
    }
    for n in 0..ACCOUNTS {
        let mailbox = format!("report{n}");
        eventually_within(TEST_TIMEOUT, "Postfix has delivered it", async || {
            if lab.count(&mailbox) > 0 { Ok(()) } else { Err(mailbox.clone()) }
        })
        .await;
        // A mail that was cut off between the server's answer and the note about it comes twice, with one Message-ID.
        let ids: BTreeSet<String> = lab
            .mails(&mailbox)
            .iter()
            .map(|bytes| MessageParser::default().parse(bytes).unwrap().message_id().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 1, "{mailbox}");
    }
    house.kill().await;
    house.revive().await;
    for (account, sha256) in &closed {
        assert_eq!(&report(&house, *account).await["sha256"], sha256);
    }
}
