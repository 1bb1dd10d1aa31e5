//! How fast routes and the confirmation page are. Printed, not asserted.

use std::collections::HashSet;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use toritsugi::ids::RecordId;
use toritsugi::route::{Absence, Document, Mailbox, MessageFacts, Person, World, plan};

use crate::acknowledged::{fields_of, house_with_pages, link_in, send_form};
use crate::house::House;
use crate::mail_lab::MailLab;
use crate::returned::{LATER, SECOND, endpoint, settings};
use crate::support::client::http;
use crate::support::wait::eventually;

/// Times a robot opens a link.
const OPENED: usize = 1_000;
/// Messages that people confirm.
const CONFIRMED: usize = 40;
/// Messages whose timers come due.
const TIMED: usize = 40;

/// The times of which `percent` of a hundred are not longer.
fn at(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100) - 1].as_secs_f64() * 1_000.0
}

#[expect(clippy::print_stdout, reason = "figures")]
fn printed(what: &str, mut times: Vec<Duration>) {
    let (p50, p95, max) = (at(&mut times, 50), at(&mut times, 95), at(&mut times, 100));
    println!("{what}, {} times: p50 {p50:.1} ms, p95 {p95:.1} ms, max {max:.1} ms", times.len());
}

async fn save_routes(house: &House, body: &str) {
    let path = format!("/v1/routes/{}", house.account);
    house.ask("admin", Method::PUT, &path, json!({"body": body})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_confirmation_page_and_the_event_of_a_confirmation() {
    let lab = MailLab::start().await;
    let house = house_with_pages(&lab).await;
    let client = http();
    let (mut links, mut known) = (Vec::new(), HashSet::new());
    for n in 0..CONFIRMED {
        let contact = house.contact("計測", &format!("timed+{n}@sakura.example.jp")).await;
        let id = house.save(&contact, &format!("{n}")).await;
        house.is_sent(&id).await;
        let link = eventually("the mail is there", async || {
            let found =
                lab.mails("timed").iter().map(|mail| link_in(mail)).find(|link| !known.contains(link));
            found.ok_or_else(|| lab.log())
        })
        .await;
        known.insert(link.clone());
        links.push((id, link));
    }
    let (id, robots) = &links[0];
    let mut opened = Vec::new();
    let mut size = 0;
    for n in 0..OPENED {
        let begun = Instant::now();
        let from = format!("198.51.{}.{}", n / 200, n % 200);
        let answer = client.get(robots).header("x-forwarded-for", from).send().await.unwrap();
        let page = answer.bytes().await.unwrap();
        opened.push(begun.elapsed());
        size = size.max(page.len());
    }
    assert_eq!(house.get(&format!("/v1/messages/{id}")).await["state"], "sent", "robots confirm nothing");
    printed(&format!("the confirmation page, {size} bytes, opened by robots"), opened);

    let mut events = house.events("2001").await;
    let mut took = Vec::new();
    let mut forms = Vec::new();
    for (n, (_, link)) in links.iter().enumerate() {
        let from = format!("192.0.2.{n}");
        let answer = client.get(link).header("x-forwarded-for", &from).send().await.unwrap();
        forms.push((from, fields_of(&answer.text().await.unwrap(), "seen")));
    }
    // No person reads the page faster, and a form that comes earlier is a robot's.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for ((_, link), (from, form)) in links.iter().zip(&forms) {
        let begun = Instant::now();
        let page = send_form(&client, link, from, form).await.unwrap();
        assert!(page.contains("に確認しました"), "{page}");
        while events.next().await.unwrap()["kind"] != "message.answered" {}
        took.push(begun.elapsed());
    }
    printed("from the press to the event at a desktop", took);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_bounces_and_timers() {
    let lab = MailLab::start().await;
    let mut house = house_with_pages(&lab).await;
    let first = house.contact("一番", "mori@sakura.example.jp").await;
    for n in 0..20 {
        house.contact("担当", &format!("ito+{n}@sakura.example.jp")).await;
    }
    let mut routes = "format = 1\n".to_owned();
    for n in 1..20 {
        routes.push_str(&format!(
            "[[route]]\nname = \"{n}\"\nwhen = {{ reason = \"r{n}\", day = \"sun\", time = \"0{}:00-0{}:30\" }}\n[[route.step]]\n\
             to = [\"named\"]\n",
            n % 10,
            n % 10
        ));
    }
    routes.push_str("[[route]]\nname = \"usual\"\n[[route.step]]\nto = [\"named\"]\nwait_min = 1000\n[[route.step]]\nto = [\"supervisors\"]\n");
    save_routes(&house, &routes).await;
    let mut plans = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let asked = json!({"account": house.account, "contact": first});
        house.ask("1001", Method::POST, "/v1/routes/explain", asked).await;
        plans.push(begun.elapsed());
    }
    printed("a plan of 20 routes, over HTTP", plans);
    printed("the plan alone", planned(&routes));

    let mut next = Vec::new();
    for n in 0..20 {
        let contact = house.contact("宛先", &format!("gone+{n}@sakura.example.jp")).await;
        let endpoint = json!({"account": house.account, "contact": contact, "address": format!("second+{n}@sakura.example.jp")});
        house.ask("admin", Method::POST, "/v1/endpoints", endpoint).await;
        let id = house.save(&contact, "戻る").await;
        house.is_sent(&id).await;
        let delivery = house.deliveries(&id).await.remove(0);
        let message_id =
            format!("<d.{}@toritsugi.example.jp>", delivery["id"].as_str().unwrap().replace('-', ""));
        let begun = Instant::now();
        let report =
            json!({"message_id": message_id, "kind": "failed", "status": "5.1.1", "text": "user unknown"});
        house.ask("admin", Method::POST, "/v1/mail/bounces", report).await;
        house.is_sent(&id).await;
        next.push(begun.elapsed());
        assert_eq!(house.deliveries(&id).await.len(), 2);
    }
    printed("from a returned mail to the next address's mail, taken by its server", next);

    let messages = timed(&house, &first).await;
    let due = Timestamp::now() + jiff::SignedDuration::from_secs(3);
    move_timers(&house, due).await;
    printed("how late a timer was", step_begun(&house, &messages, due).await);
    let messages = timed(&house, &first).await;
    house.kill().await;
    move_timers(&house, Timestamp::now()).await;
    house.revive().await;
    printed("how late it was from the restart on", step_begun(&house, &messages, Timestamp::now()).await);
}

/// From a mail that came back in the mailbox, which the daemon reads each second, to the next address's mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_returned_mail_in_the_mailbox_to_the_next_step() {
    const RETURNED: usize = 10;
    let lab = MailLab::start().await;
    let house = House::start(&settings(&lab, true)).await;
    let mut took = Vec::new();
    for n in 0..RETURNED {
        let contact = house.contact("宛先", &LATER.replace('@', &format!("+{n}@"))).await;
        endpoint(&house, &contact, &SECOND.replace('@', &format!("+{n}@"))).await;
        let id = house.save(&contact, "戻る").await;
        let mut arrived = None;
        let next = eventually("the next address's mail is taken", async || {
            if arrived.is_none() && lab.count("bounce") > 0 {
                arrived = Some(Instant::now());
            }
            let deliveries = house.deliveries(&id).await;
            let is_sent = deliveries.len() == 2 && deliveries[0]["state"] == "sent";
            if is_sent { Ok(Instant::now()) } else { Err(lab.log()) }
        })
        .await;
        // One that the daemon moved away between two looks took less than these.
        took.push(arrived.map_or(Duration::ZERO, |arrived| next - arrived));
    }
    printed(
        "from a returned mail in the mailbox, read each second, to the next address's mail, taken by its server",
        took,
    );
}

/// How long the plan of the last route takes, for an account with twenty contacts.
fn planned(routes: &str) -> Vec<Duration> {
    let document = Document::read(routes).unwrap();
    let person = |n: u128| Person {
        id: RecordId(uuid::Uuid::from_u128(n)),
        code: Some(format!("c{n}")),
        name: "担当".into(),
        is_on_call: true,
        shifts: Vec::new(),
        mails: vec![Mailbox { address: format!("c{n}@example.jp"), ..Mailbox::default() }],
        phone: None,
        absence: Absence::default(),
        deputy: None,
    };
    let world = World {
        people: (1..=20).map(person).collect(),
        has_mail_server: true,
        ..World::empty(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap())
    };
    let facts = MessageFacts { contact: Some(RecordId(uuid::Uuid::from_u128(7))), ..MessageFacts::default() };
    let timed = |_| {
        let begun = Instant::now();
        assert_eq!(plan(&[&document], &facts, &world, Timestamp::now()).route, "usual");
        begun.elapsed()
    };
    (0..200).map(timed).collect()
}

/// Messages whose first step waits.
async fn timed(house: &House, contact: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for _ in 0..TIMED {
        messages.push(house.save(contact, "至急").await);
    }
    for id in &messages {
        house.is_sent(id).await;
    }
    messages
}

/// Lets the timers of the first steps come due at a time.
async fn move_timers(house: &House, due: Timestamp) {
    let database = house.directory.path().join("toritsugi.db");
    let options = SqliteConnectOptions::from_str(database.to_str().unwrap()).unwrap();
    let mut connection: SqliteConnection =
        options.busy_timeout(Duration::from_secs(10)).connect().await.unwrap();
    sqlx::query(
        "UPDATE dispatches SET due_ms = $1, body_json = json_set(body_json, '$.ends_at', $2)
         WHERE state = 'running' AND json_extract(body_json, '$.step') = 0",
    )
    .bind(due.as_millisecond())
    .bind(due.to_string())
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

/// When the second step of each message began, after `due`.
async fn step_begun(house: &House, messages: &[String], due: Timestamp) -> Vec<Duration> {
    let mut events = Vec::new();
    let database = house.directory.path().join("toritsugi.db");
    let options = SqliteConnectOptions::from_str(database.to_str().unwrap()).unwrap();
    for id in messages {
        house.message_until(id, "the second step", |m| m["delivery"]["route"]["step"] == 2).await;
        let mut connection: SqliteConnection = options.clone().connect().await.unwrap();
        let id = uuid::Uuid::parse_str(id).unwrap();
        let begun: i64 = sqlx::query_scalar("SELECT changed_ms FROM dispatches WHERE message_id = $1")
            .bind(id)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let late = begun - due.as_millisecond();
        events.push(Duration::from_millis(u64::try_from(late.max(0)).unwrap()));
        connection.close().await.unwrap();
    }
    events
}
