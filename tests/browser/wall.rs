//! The wallboard: the figures of the report of the same minute, a sign beside each colour, and what it says when the PBX is
//! gone.
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall, Segment};
use toritsugi::contract::message::{MessageFields, MessageKind, NewMessage};
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::numbers::NumberPlan;

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::gateway_rig::{PASSWORD, Rig, ringing};
use crate::support::ids::{call, pbx};

/// A call of now; it waited 4 s in a queue.
fn finished(rig: &Rig, n: u32, account: RecordId, outcome: Outcome) -> FinishedCall {
    let offered_at = rig.app.clock.now();
    let later = Timestamp::from_millisecond(offered_at.as_millisecond() + 4_000).unwrap();
    let is_answered = outcome == Outcome::Answered;
    let operator = is_answered.then(|| Extension::parse("1001").unwrap());
    // 1001 talked for 30 s.
    let lasted = if is_answered { 34_000 } else { 4_000 };
    let ended_at = Timestamp::from_millisecond(offered_at.as_millisecond() + lasted).unwrap();
    let talking = operator.clone().map(|operator| Segment {
        kind: "talking".into(),
        operator: Some(operator),
        target: None,
        from: later,
        until: Some(ended_at),
        result: None,
    });
    FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(account),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: None,
        presentation: Presentation::Withheld,
        dialled: None,
        diverted_by: None,
        offered_at,
        answered_at: is_answered.then_some(later),
        ended_at,
        outcome,
        operators: operator.into_iter().collect(),
        handled_by: Some(is_answered.then(|| rig.user("1001")).into_iter().collect()),
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: std::iter::once(Segment {
            kind: "queued".into(),
            operator: None,
            target: Some("operators".into()),
            from: offered_at,
            until: Some(later),
            result: None,
        })
        .chain(talking)
        .collect(),
    }
}

/// Waits until a tile has this text and this level.
async fn tile_is(person: &Person, id: &str, text: &str, level: &str) {
    let is = format!(
        "(() => {{ const one = document.querySelector('[data-tile={id}]'); return one?.dataset.level === {level:?} \
         && one.querySelector('dd').innerText === {text:?} }})()"
    );
    person.tab.until(&format!("{id}: {text}, {level}"), &is).await;
}

/// Makes what `fields` say, as administrator.
async fn made(rig: &Rig, path: &str, fields: Value) -> RecordId {
    let (status, made) = rig.send("admin", Method::POST, path, &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    RecordId(made["id"].as_str().unwrap().parse().unwrap())
}

/// The caller of the fourth call, which overflowed, leaves a number.
async fn asks_to_be_called_back(rig: &Rig, account: RecordId) {
    let now = rig.app.clock.now();
    let fields = MessageFields { text: "折り返し希望".into(), ..MessageFields::default() };
    let message = NewMessage {
        id: RecordId(uuid::Uuid::from_u128(4)),
        account,
        call: Some(call(4)),
        customer: None,
        kind: MessageKind::Callback,
        taken_by: None,
        taken_by_name: String::new(),
        caller: None,
        content: fields.checked(&NumberPlan::default()).unwrap(),
        day: "260401".into(),
        not_before: now,
    };
    assert!(rig.app.store.create_callback(&message, "+81311112222", &pbx(), (now, now)).await.unwrap());
}

/// What each person of the team has done today.
async fn the_day_of_the_team_is_shown(person: &Person) {
    person.tab.eval("document.querySelector('details.day').open = true; 0").await;
    let work = "document.querySelector('[data-day=team] tbody tr')?.innerText.replace(/\\s+/g, ' ').includes(' 3 1:30 0:00')";
    person.tab.until("the work of 1001", work).await;
    person.is_pictured("day-of-a-team").await;
    person.is_accessible("day-of-a-team").await;
    person.tab.eval("document.querySelector('details.day').open = false; 0").await;
}

#[tokio::test]
async fn the_wallboard_is_the_report_of_the_same_minute() {
    let rig = Rig::start().await;
    let fields = json!({ "code": "A001", "name": "株式会社さくら商事" });
    let account = made(&rig, "/v1/accounts", fields).await;
    let outcomes = [Outcome::Answered, Outcome::Answered, Outcome::Answered, Outcome::Overflowed];
    for (n, outcome) in (1..).zip(outcomes) {
        rig.app.store.record_call(&finished(&rig, n, account, outcome)).await.unwrap();
    }
    asks_to_be_called_back(&rig, account).await;
    while rig.app.store.build_stats(None).await.unwrap() > 0 {}
    let path = format!("/v1/users/{}", rig.user("2001"));
    let (status, _) = rig.send("admin", Method::PATCH, &path, &json!({ "password": PASSWORD })).await;
    assert_eq!(status, StatusCode::OK);
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("2001", PASSWORD).await;
    person.is_connected().await;
    person.tab.until("the board", "document.querySelector('.waiting .title button')").await;
    the_day_of_the_team_is_shown(&person).await;
    person.presses(".waiting .title button").await;

    let (_, live) = rig.get("2001", "/v1/stats/live").await;
    let total = &live["today"]["total"];
    assert_eq!((&total["counters"]["offered"], &total["figures"]["AR-open"]), (&json!(4), &json!(0.75)));
    tile_is(&person, "offered", "4", "plain").await;
    tile_is(&person, "answered", "3", "plain").await;
    tile_is(&person, "lost", "1", "plain").await;
    tile_is(&person, "left", "1", "plain").await;
    tile_is(&person, "rate", "▲!75.0 %", "bad").await;
    tile_is(&person, "level", "▲!75.0 %", "bad").await;
    tile_is(&person, "asa", "0:04", "plain").await;
    tile_is(&person, "waiting", "0", "plain").await;
    for (rows, name) in [("queues", "operators"), ("worst", "株式会社さくら商事")] {
        let row = format!(
            "document.querySelector('[data-rows={rows}] tbody tr')?.innerText.replace(/\\s+/g, ' ') === '{name} 4 1 75.0 %'"
        );
        person.tab.until(rows, &row).await;
    }
    // Nobody is ready.
    let data = json!({
        "operator": "1001", "dialled": "0355501001",
        "caller": { "number": "06-6345-0101", "presentation": "allowed", "area": "大阪" },
        "account": { "id": account, "name": "株式会社さくら商事", "kana": "", "answer_phrase": "", "notes": "", "matched_by": "dialled" },
        "customers": [], "history": { "calls": 0, "open_messages": 0 },
    });
    rig.publish(ringing(20, &["1001"], data, rig.app.clock.now()));
    tile_is(&person, "waiting", "▲1", "watch").await;
    // An alarm is raised.
    let rule = json!({ "name": "待ち呼が多い", "metric": "waiting", "above": 0 });
    let id = made(&rig, "/v1/alarm-rules", rule).await;
    assert!(rig.app.store.raise_alarm(id, (&pbx(), 1.0, rig.app.clock.now()), &[]).await.unwrap());
    let alarm = "document.querySelector('[data-alarms] li')?.innerText.startsWith('▲!待ち呼が多い（')";
    person.tab.until("the alarm", alarm).await;
    for dark in [false, true] {
        person.tab.dark(dark).await;
        let name = format!("wall-{}", if dark { "dark" } else { "light" });
        person.is_pictured(&name).await;
        person.fits(&name).await;
        person.is_accessible(&name).await;
    }
    rig.link(false);
    person
        .tab
        .until("that it is incomplete", "document.querySelector('.wall .strip')?.innerText.includes('欠測')")
        .await;

    // The address opens it, Escape closes it.
    person.tab.key("Escape").await;
    person
        .tab
        .until("the board again", "document.querySelector('.frame') && location.hash === '#/board'")
        .await;
    person.tab.eval("location.hash = '#/wall'; 0").await;
    person.tab.until("the wallboard again", "document.querySelector('.wall')").await;
    person.all_is_well().await;
    browser.close().await;
}

#[tokio::test]
async fn an_operator_has_no_wallboard_and_the_own_day() {
    let rig = Rig::start().await;
    let account = RecordId(uuid::Uuid::from_u128(1));
    rig.app.store.record_call(&finished(&rig, 1, account, Outcome::Answered)).await.unwrap();
    while rig.app.store.build_stats(None).await.unwrap() > 0 {}
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    let own = "document.querySelector('[data-day=own] tbody tr')?.innerText.replace(/\\s+/g, ' ').startsWith('1 0:30 0:00')";
    person.tab.until("the own day", own).await;
    person.tab.eval("location.hash = '#/wall'; 0").await;
    person.tab.key("2").await;
    person.tab.until("another view", "document.querySelector('nav button:nth-child(2)[aria-current]')").await;
    assert_eq!(person.tab.eval("document.querySelector('.wall')").await, json!(null));
    person.all_is_well().await;
    browser.close().await;
}
