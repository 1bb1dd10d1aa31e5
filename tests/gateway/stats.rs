//! Figures: who sees which, what their cells open, and their files.

use std::collections::BTreeSet;

use encoding_rs::SHIFT_JIS;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall, Segment};
use toritsugi::contract::message::{MessageFields, MessageKind, MessageUpdate, NewMessage};
use toritsugi::contract::operator::{State, StateView};
use toritsugi::contract::pbx::Gap;
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::journal::JournalEntry;
use toritsugi::journal::entry::StateChange;
use toritsugi::numbers::NumberPlan;
use uuid::Uuid;

use crate::support::gateway_rig::Rig;
use crate::support::ids::{call, pbx};

/// 2026-04-01 is a Wednesday in Tokyo, where a day begins at 15:00 UTC.
const DAY: &str = "from=2026-04-01T00:00:00%2B09:00&to=2026-04-02T00:00:00%2B09:00";
const WEEK: &str = "from=2026-03-31T00:00:00%2B09:00&to=2026-04-07T00:00:00%2B09:00";

fn account(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn plus(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond() + ms).unwrap()
}

/// A call to account `of` that was offered at this time and waited 4 s in a queue; `by`: who answered and talked for 30 s.
fn finished(rig: &Rig, n: u32, of: u128, offered: &str, by: Option<&str>, outcome: Outcome) -> FinishedCall {
    let offered = at(offered);
    let answered = by.map(|_| plus(offered, 4_000));
    let operator = by.map(|by| Extension::parse(by).unwrap());
    let mut segments = vec![Segment {
        kind: "queued".into(),
        operator: None,
        target: Some("operators".into()),
        from: offered,
        until: Some(plus(offered, 4_000)),
        result: None,
    }];
    segments.extend(answered.map(|from| Segment {
        kind: "talking".into(),
        operator: operator.clone(),
        target: None,
        from,
        until: Some(plus(from, 30_000)),
        result: None,
    }));
    FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(account(of)),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some(format!("+8190000000{n:02}").into()),
        presentation: Presentation::Allowed,
        dialled: None,
        diverted_by: None,
        offered_at: offered,
        answered_at: answered,
        ended_at: answered.map_or(plus(offered, 4_000), |from| plus(from, 30_000)),
        outcome,
        operators: operator.into_iter().collect(),
        handled_by: Some(by.map(|by| rig.user(by)).into_iter().collect()),
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments,
    }
}

/// Seven calls: 1001 had two and 1002 one, of accounts 1 and 2.
async fn with_calls() -> Rig {
    let rig = Rig::start().await;
    let answered = Outcome::Answered;
    for one in [
        finished(&rig, 1, 1, "2026-04-01T00:00:00+09:00", Some("1001"), answered),
        finished(&rig, 2, 1, "2026-04-01T10:00:00+09:00", Some("1002"), answered),
        finished(&rig, 3, 2, "2026-04-01T10:20:00+09:00", Some("1001"), answered),
        finished(&rig, 4, 2, "2026-04-01T12:00:00+09:00", None, Outcome::Abandoned),
        finished(&rig, 5, 2, "2026-04-01T23:59:59.999+09:00", None, Outcome::Closed),
        finished(&rig, 6, 1, "2026-03-31T23:59:59.999+09:00", None, Outcome::Overflowed),
        finished(&rig, 7, 1, "2026-04-02T00:00:00+09:00", None, Outcome::Blocked),
    ] {
        rig.app.store.record_call(&one).await.unwrap();
    }
    build(&rig).await;
    rig
}

async fn build(rig: &Rig) {
    while rig.app.store.build_stats(None).await.unwrap() > 0 {}
}

async fn stats(rig: &Rig, who: &str, question: &str) -> Value {
    let (status, answer) = rig.get(who, &format!("/v1/stats?{question}")).await;
    assert_eq!(status, StatusCode::OK, "{who} {question}: {answer}");
    answer
}

fn offered(answer: &Value) -> u64 {
    answer["total"]["counters"]["offered"].as_u64().unwrap_or(0)
}

/// Key and one counter of each row.
fn rows<'a>(answer: &'a Value, counter: &str) -> Vec<(Option<&'a str>, u64)> {
    let row = |row: &'a Value| (row["key"].as_str(), row["counters"][counter].as_u64().unwrap_or(0));
    answer["rows"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test]
async fn a_call_belongs_to_its_day_in_the_zone_of_the_installation() {
    let rig = with_calls().await;
    assert_eq!(offered(&stats(&rig, "admin", &format!("by=day&{DAY}")).await), 5);
    let week = stats(&rig, "admin", &format!("by=day&{WEEK}")).await;
    let days: Vec<u64> = rows(&week, "offered").into_iter().map(|(_, count)| count).collect();
    assert_eq!(days, [1, 5, 1, 0, 0, 0, 0]);
    assert_eq!((&week["time_zone"], &week["complete"]), (&json!("Asia/Tokyo"), &json!(true)));
    assert_eq!(week["rows"][1]["from"], "2026-03-31T15:00:00.000Z");
    // A day without a call has no rate, and its row is there.
    assert_eq!(week["rows"][3]["figures"]["AR-open"], Value::Null);
    // A day is one of the installation's, wherever the reader is.
    let in_days = stats(&rig, "admin", "by=day&from=2026-03-31&to=2026-04-07").await;
    assert_eq!(in_days, week);
    let months = stats(&rig, "admin", &format!("by=month&{WEEK}")).await;
    assert_eq!(rows(&months, "offered").into_iter().map(|(_, n)| n).collect::<Vec<_>>(), [1, 6]);
    let hours = stats(&rig, "admin", &format!("by=hour&{DAY}")).await;
    assert_eq!(hours["rows"].as_array().unwrap().len(), 24);
    assert_eq!(hours["rows"][10]["counters"]["answered"], 2);
}

#[tokio::test]
async fn operators_see_their_own_work_and_supervisors_that_of_their_team() {
    let rig = with_calls().await;
    let by_operator = format!("by=operator&{WEEK}");
    let id = |who: &str| rig.user(who).to_string();
    for (who, seen) in [
        ("1001", vec![("1001", 2)]),
        ("1002", vec![("1002", 1)]),
        ("2001", vec![("1001", 2)]),
        ("2002", vec![("1002", 1)]),
        ("crm", vec![("1001", 2), ("1002", 1)]),
        ("admin", vec![("1001", 2), ("1002", 1)]),
    ] {
        let answer = stats(&rig, who, &by_operator).await;
        let expected: Vec<(String, u64)> = seen.iter().map(|(name, parts)| (id(name), *parts)).collect();
        let found: Vec<(String, u64)> =
            rows(&answer, "parts").into_iter().map(|(key, parts)| (key.unwrap().to_owned(), parts)).collect();
        assert_eq!(found, expected, "{who}");
    }
    // The totals of all accounts are the supervisors'; an operator's accounts are those of the own work.
    for (who, answered) in [("1001", 2), ("2001", 3), ("admin", 3)] {
        let answer = stats(&rig, who, &format!("by=account&{WEEK}")).await;
        assert_eq!(rows(&answer, "answered").iter().map(|(_, n)| n).sum::<u64>(), answered, "{who}");
    }
    assert_eq!(offered(&stats(&rig, "1001", &format!("by=day&{WEEK}")).await), 0);
    assert_eq!(offered(&stats(&rig, "2001", &format!("by=day&{WEEK}")).await), 7);
    // Somebody else's work does not exist.
    for (who, other) in [("1001", "1002"), ("2001", "1002"), ("1002", "1001"), ("2002", "1001")] {
        for path in [
            format!("/v1/stats?by=day&operator={other}&{WEEK}"),
            format!("/v1/stats.csv?by=day&operator={}&{WEEK}", id(other)),
            format!("/v1/stats/calls?counter=answered&operator={other}&{WEEK}"),
        ] {
            assert_eq!(rig.get(who, &path).await.0, StatusCode::NOT_FOUND, "{who} {path}");
        }
    }
    let teams = stats(&rig, "admin", &format!("by=team&{WEEK}")).await;
    let of_team: Vec<(&str, u64)> = teams["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["counters"]["parts"].as_u64().unwrap()))
        .collect();
    assert_eq!(of_team, [("A班", 2), ("B班", 1)]);
    let team = teams["rows"][0]["key"].as_str().unwrap();
    let of_a = stats(&rig, "2001", &format!("by=operator&team={team}&{WEEK}")).await;
    assert_eq!(rows(&of_a, "parts").len(), 1);
    assert_eq!(
        rig.get("2002", &format!("/v1/stats?by=operator&team={team}&{WEEK}")).await.0,
        StatusCode::NOT_FOUND
    );
}

/// The ids behind a cell, page by page.
async fn behind(rig: &Rig, who: &str, rest: &str) -> BTreeSet<String> {
    let (mut found, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let (status, page) = rig.get(who, &format!("/v1/stats/calls?limit=1&{rest}{cursor}")).await;
        assert_eq!(status, StatusCode::OK, "{rest}: {page}");
        for item in page["items"].as_array().unwrap() {
            assert!(found.insert(item["id"].as_str().unwrap().to_owned()), "{rest}: {page}");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn every_cell_opens_as_many_calls_as_it_counts() {
    let rig = with_calls().await;
    let counters = [
        "offered",
        "answered",
        "abandoned",
        "overflowed",
        "closed",
        "blocked",
        "short",
        "queued",
        "answered_le_5",
        "abandoned_le_10",
        "parts",
    ];
    for (question, key) in
        [("by=account", "account="), ("by=queue", "queue="), ("by=operator", "operator="), ("by=day", "")]
    {
        let answer = stats(&rig, "admin", &format!("{question}&{WEEK}")).await;
        for row in answer["rows"].as_array().unwrap() {
            let (from, to) = (row["from"].as_str().unwrap(), row["to"].as_str().unwrap());
            let key = if key.is_empty() {
                String::new()
            } else {
                format!("{key}{}&", row["key"].as_str().unwrap())
            };
            for counter in counters {
                let count = row["counters"][counter].as_u64().unwrap_or(0);
                let found =
                    behind(&rig, "admin", &format!("counter={counter}&{key}from={from}&to={to}")).await;
                assert_eq!(found.len() as u64, count, "{question} {counter} {row}");
            }
        }
    }
    // A supervisor opens the calls of the own team and of nobody.
    let of_2001 = behind(&rig, "2001", &format!("counter=answered&{WEEK}")).await;
    assert_eq!(of_2001, BTreeSet::from([call(1), call(3)].map(|id| id.to_string())));
    assert_eq!(behind(&rig, "1002", &format!("counter=answered&{WEEK}")).await.len(), 1);
    assert_eq!(behind(&rig, "1002", &format!("counter=abandoned&{WEEK}")).await.len(), 0);
}

/// What the caller of a call left.
fn left(n: u32, of: RecordId, kind: MessageKind, taken_at: Timestamp) -> NewMessage {
    let fields = MessageFields { text: "折り返し希望".into(), ..MessageFields::default() };
    NewMessage {
        id: RecordId(Uuid::from_u128(u128::from(n))),
        account: of,
        call: Some(call(n)),
        customer: None,
        kind,
        taken_by: None,
        taken_by_name: String::new(),
        caller: None,
        content: fields.checked(&NumberPlan::default()).unwrap(),
        day: "260401".into(),
        not_before: taken_at,
    }
}

/// Overflowed calls of now: one asks to be called back, one leaves a voice message, one leaves nothing; and a closed one with a
/// voice message, and one that the PBX wrote down.
async fn with_what_callers_left(rig: &Rig) -> RecordId {
    let fields = json!({ "code": "S", "name": "さくら" });
    let (_, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    let of = RecordId(Uuid::try_parse(made["id"].as_str().unwrap()).unwrap());
    let now = rig.app.clock.now();
    let store = &rig.app.store;
    store.create_message(&left(42, of, MessageKind::Voice, now), &pbx(), now).await.unwrap();
    store.create_message(&left(44, of, MessageKind::Voice, now), &pbx(), now).await.unwrap();
    for (n, outcome, source) in [
        (41, Outcome::Overflowed, CallSource::Seen),
        (42, Outcome::Overflowed, CallSource::Seen),
        (43, Outcome::Overflowed, CallSource::Seen),
        (44, Outcome::Closed, CallSource::Seen),
        (45, Outcome::Answered, CallSource::Offline),
    ] {
        let is_offline = source == CallSource::Offline;
        let by = is_offline.then_some("1001");
        let one = finished(rig, n, 1, &now.to_string(), by, outcome);
        store
            .record_call(&FinishedCall { account: Some(of), source, inferred: is_offline, ..one })
            .await
            .unwrap();
    }
    let message = left(41, of, MessageKind::Callback, now);
    assert!(store.create_callback(&message, "+81311112222", &pbx(), (now, now)).await.unwrap());
    build(rig).await;
    of
}

#[tokio::test]
async fn what_callers_leave_behind_is_counted_and_cared_for_when_it_is_done() {
    let rig = Rig::start().await;
    let of = with_what_callers_left(&rig).await;
    let now = rig.app.clock.now();
    let question = {
        let from = start_of_quarter(now);
        format!("by=account&account={of}&from={from}&to={}", plus(from, 900_000))
    };
    let counters = ["voice", "callbacks", "callbacks_reached", "cared", "offline", "inferred"];
    let counted = async || {
        let answer = stats(&rig, "admin", &question).await;
        let total = &answer["total"];
        let counts = counters.map(|counter| total["counters"][counter].as_u64().unwrap_or(0));
        (counts, total["figures"]["AR-open"].as_f64().unwrap(), total["figures"]["AR-care"].as_f64().unwrap())
    };
    // One of four in the account's hours was answered.
    assert_eq!(counted().await, ([2, 1, 0, 0, 1, 1], 0.25, 0.25));

    // An operator reaches the caller: the quarter of an hour of the call is counted again.
    let (_, tasks) = rig.get("1001", "/v1/tasks").await;
    let path = format!("/v1/tasks/{}/result", tasks["items"][0]["id"].as_str().unwrap());
    let (status, task) = rig.send("1001", Method::POST, &path, &json!({ "result": "told" })).await;
    assert_eq!(status, StatusCode::OK, "{task}");
    assert_eq!(stats(&rig, "admin", &question).await["pending"], 1);
    build(&rig).await;
    assert_eq!(counted().await, ([2, 1, 1, 1, 1, 1], 0.25, 0.5));

    // The company has both recordings. That of the closed call is in neither part of the formula.
    let has_it = MessageUpdate { content: None, acknowledged_by: Some(rig.user("1001")) };
    for n in [42, 44] {
        rig.app.store.change_message(RecordId(Uuid::from_u128(n)), &has_it, now).await.unwrap();
    }
    build(&rig).await;
    assert_eq!(counted().await, ([2, 1, 1, 2, 1, 1], 0.25, 0.75));
    let (counts, ..) = counted().await;
    let rest = question.split_once('&').unwrap().1;
    for (counter, count) in counters.into_iter().zip(counts) {
        let found = behind(&rig, "admin", &format!("counter={counter}&{rest}")).await;
        assert_eq!(found.len() as u64, count, "{counter}");
    }
    let voice = behind(&rig, "admin", &format!("counter=voice&{rest}")).await;
    assert_eq!(voice, BTreeSet::from([call(42), call(44)].map(|id| id.to_string())));

    let text = String::from_utf8(file(&rig, &format!("{question}&formula=AR-care")).await).unwrap();
    for heading in [
        "音声メール",
        "折返し依頼",
        "折返し済み",
        "PBXのみの記録",
        "= (answered + cared) / (offered - closed - refused - short)",
    ] {
        assert!(text.lines().next().unwrap().contains(heading), "{heading}: {text}");
    }

    // What is deleted was not done.
    rig.app.store.delete_message(RecordId(Uuid::from_u128(42))).await.unwrap();
    build(&rig).await;
    assert_eq!(counted().await, ([2, 1, 1, 1, 1, 1], 0.25, 0.5));
    let always = (Timestamp::from_second(0).unwrap(), plus(now, 86_400_000));
    let check = rig.app.store.check_stats(always.0, always.1, None).await.unwrap();
    assert_eq!((check.checked, check.differing.len()), (1, 0));
}

/// When the quarter of an hour of this time began.
fn start_of_quarter(at: Timestamp) -> Timestamp {
    plus(at, -at.as_millisecond().rem_euclid(900_000))
}

#[tokio::test]
async fn a_figure_has_its_formula_and_says_what_is_missing() {
    let rig = with_calls().await;
    let answer = stats(&rig, "admin", &format!("by=account&formula=ar-open,SL-ignore&within=5&{DAY}")).await;
    let formulas: Vec<(&str, &str)> = answer["formulas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["formula"].as_str().unwrap()))
        .collect();
    let expected = [
        ("AR-open", "answered / (offered - closed - refused)"),
        ("SL-ignore", "answered_le_5 / (offered - closed - refused - abandoned_le_5)"),
    ];
    assert_eq!(formulas, expected);
    assert_eq!(answer["total"]["figures"], json!({ "AR-open": 0.75, "SL-ignore": 1.0 }));
    let gap = Gap {
        pbx: pbx(),
        from: at("2026-04-01T03:00:00Z"),
        to: at("2026-04-01T03:05:00Z"),
        cause: "link".into(),
        restarted: false,
    };
    rig.app.store.write_entry(&pbx(), &JournalEntry::Gap(Box::new(gap))).await.unwrap();
    let waiting = stats(&rig, "admin", &format!("by=day&{WEEK}")).await;
    assert_eq!(waiting["pending"], 1);
    build(&rig).await;
    let answer = stats(&rig, "admin", &format!("by=day&{WEEK}")).await;
    assert_eq!((&answer["pending"], &answer["complete"]), (&json!(0), &json!(false)));
    let missing = json!([{ "from": "2026-04-01T03:00:00.000Z", "until": "2026-04-01T03:05:00.000Z" }]);
    assert_eq!(answer["missing"], missing);
    let complete: Vec<bool> =
        answer["rows"].as_array().unwrap().iter().map(|row| row["complete"].as_bool().unwrap()).collect();
    assert_eq!(complete, [true, false, true, true, true, true, true]);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_with_what_to_write() {
    let rig = Rig::start().await;
    for (question, word) in [
        (DAY.to_owned(), "by"),
        (format!("by=year&{DAY}"), "month"),
        (format!("by=day&formula=AR&{DAY}"), "AR-open"),
        (format!("by=day&within=7&{DAY}"), "within"),
        (format!("by=queue&operator=1001&{DAY}"), "queue"),
        ("by=day&from=2026-04-01T00:07:00Z&to=2026-04-02T00:00:00Z".to_owned(), "quarter"),
        ("by=day&from=yesterday&to=2026-04-02".to_owned(), "write a day"),
        ("by=day&from=2026-04-02T00:00:00Z&to=2026-04-01T00:00:00Z".to_owned(), "later"),
        ("by=hour&from=2026-04-01T00:00:00Z&to=2026-08-01T00:00:00Z".to_owned(), "35 days"),
        ("by=account&from=2026-01-01T00:00:00Z&to=2026-08-01T00:00:00Z".to_owned(), "100 days"),
        (format!("by=day&team=A&{DAY}"), "team"),
        (format!("by=day&account=x&{DAY}"), "account"),
    ] {
        let (status, problem) = rig.get("admin", &format!("/v1/stats?{question}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{question}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{question}: {problem}");
    }
    for counter in ["messages", "answered_le_7", ""] {
        let (status, problem) = rig.get("admin", &format!("/v1/stats/calls?counter={counter}&{DAY}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("offered, answered"), "{problem}");
    }
}

#[tokio::test]
async fn the_figures_of_now_are_those_of_the_day() {
    let rig = with_calls().await;
    let now = rig.app.clock.now();
    let mut one = finished(&rig, 8, 1, "2026-04-01T10:00:00+09:00", Some("1001"), Outcome::Answered);
    (one.offered_at, one.answered_at, one.ended_at) = (now, Some(now), now);
    rig.app.store.record_call(&one).await.unwrap();
    build(&rig).await;
    rig.ring(20, &["1001"]);
    rig.ring(21, &["1002"]);
    rig.advance(std::time::Duration::from_secs(7));
    for (who, waiting, counter) in [("admin", 2, "offered"), ("2001", 1, "offered"), ("1001", 1, "parts")] {
        let (status, live) = rig.get(who, "/v1/stats/live").await;
        assert_eq!(status, StatusCode::OK, "{live}");
        assert_eq!(
            (&live["waiting"], &live["longest_wait_ms"]),
            (&json!(waiting), &json!(7_000)),
            "{who}: {live}"
        );
        let today = &live["today"];
        assert_eq!(today["total"]["counters"][counter], 1, "{who}: {live}");
        let (from, to) = (today["from"].as_str().unwrap(), today["to"].as_str().unwrap());
        assert_eq!(*today, stats(&rig, who, &format!("by=day&from={from}&to={to}")).await, "{who}");
    }
}

async fn file(rig: &Rig, question: &str) -> Vec<u8> {
    let response =
        rig.request("admin", Method::GET, &format!("/v1/stats.csv?{question}")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{question}");
    response.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_file_has_every_counter_and_the_arithmetic_in_its_headings() {
    let rig = with_calls().await;
    let account = json!({ "code": "S", "name": "=HYPERLINK(1)" });
    let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &account).await;
    assert!(status.is_success(), "{made}");
    let of = RecordId(Uuid::try_parse(made["id"].as_str().unwrap()).unwrap());
    let mut one = finished(&rig, 8, 1, "2026-04-01T10:00:00+09:00", Some("1001"), Outcome::Answered);
    one.account = Some(of);
    rig.app.store.record_call(&one).await.unwrap();
    build(&rig).await;
    let utf8 = file(&rig, &format!("by=account&formula=AR-open,ASA&{DAY}")).await;
    assert!(utf8.starts_with(b"\xef\xbb\xbf"));
    let text = String::from_utf8(utf8).unwrap();
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let heads: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(&heads[..4], ["契約先", "欠測あり", "入電", "応答"]);
    assert_eq!(heads[heads.len() - 2], "応答率(受付時間内)（%） = answered / (offered - closed - refused)");
    assert_eq!(heads[heads.len() - 1], "平均応答時間（秒） = wait_answered_ms / answered");
    let rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    assert_eq!(rows.len(), 4, "{text}");
    let of_formula = rows.iter().find(|row| row[0] == "'=HYPERLINK(1)").expect("a guarded name");
    assert_eq!((&of_formula[2], &of_formula[of_formula.len() - 2]), (&"1".to_owned(), &"100.0".to_owned()));
    let total = rows.last().unwrap();
    assert_eq!((&total[0], &total[2], &total[3]), (&"合計".to_owned(), &"6".to_owned(), &"4".to_owned()));
    assert_eq!(&total[total.len() - 2..], ["80.0", "4.0"]);
    let cp932 = file(&rig, &format!("by=day&encoding=cp932&language=ja&{DAY}")).await;
    let (text, _, is_broken) = SHIFT_JIS.decode(&cp932);
    assert!(!is_broken && text.starts_with("\"日\",\"欠測あり\",\"入電\"") && !text.contains('〓'), "{text}");
    let english = String::from_utf8(file(&rig, &format!("by=day&language=en&{DAY}")).await).unwrap();
    assert!(english.contains("\"talk (s)\"") && english.contains("\"2026-04-01\""), "{english}");
}

/// An operator's state from this time on.
async fn state_from(rig: &Rig, who: &str, version: u64, from: &str, state: State) {
    let view = StateView { version, state, ..StateView::unknown(rig.user(who), who.into(), None) };
    let change = StateChange { at: at(from), view, saved: None };
    rig.app.store.write_entry(&pbx(), &JournalEntry::OperatorState(Box::new(change))).await.unwrap();
}

#[tokio::test]
async fn occupancy_is_that_of_the_states_and_is_split_at_the_hour() {
    let rig = with_calls().await;
    // Ready from 23:00 the day before; 20 min with a caller, 10 min of ringing, a break of an hour, then gone.
    for (version, from, state) in [
        (1, "2026-03-31T23:00:00+09:00", State::Ready),
        (2, "2026-04-01T00:30:00+09:00", State::Reserved),
        (3, "2026-04-01T00:40:00+09:00", State::Talking),
        (4, "2026-04-01T00:50:00+09:00", State::WrapUp),
        (5, "2026-04-01T01:00:00+09:00", State::NotReady),
        (6, "2026-04-01T02:00:00+09:00", State::LoggedOut),
    ] {
        state_from(&rig, "1001", version, from, state).await;
    }
    // What lies in the future is nobody's work yet.
    let until = at("2026-04-02T00:00:00+09:00").duration_since(rig.app.clock.now());
    rig.advance(until.try_into().unwrap());
    let minutes = |row: &Value, counter: &str| row["counters"][counter].as_u64().unwrap_or(0) / 60_000;
    let of_person = stats(&rig, "1001", &format!("by=operator&{DAY}")).await;
    let row = &of_person["rows"][0];
    let times = ["busy_ms", "ready_ms", "reserved_ms", "not_ready_ms"].map(|counter| minutes(row, counter));
    assert_eq!(times, [20, 30, 10, 60], "{row}");
    assert_eq!((&row["figures"]["OCC"], &row["figures"]["UTL"]), (&json!(20.0 / 60.0), &json!(0.5)));
    let by_hour = stats(&rig, "2001", &format!("by=hour&operator=1001&{DAY}")).await;
    let ready: Vec<u64> =
        by_hour["rows"].as_array().unwrap().iter().map(|row| minutes(row, "ready_ms")).collect();
    assert_eq!((ready[0], ready[1..].iter().sum::<u64>()), (30, 0), "{ready:?}");
    assert_eq!(minutes(&by_hour["rows"][1], "not_ready_ms"), 60);
    let before = stats(&rig, "admin", &format!("by=day&operator=1001&{WEEK}")).await;
    assert_eq!((minutes(&before["rows"][0], "ready_ms"), minutes(&before["rows"][1], "ready_ms")), (60, 30));
    // The team's sum has them, another team's does not, and calls of accounts have none.
    let teams = stats(&rig, "admin", &format!("by=team&{DAY}")).await;
    let busy: Vec<u64> =
        teams["rows"].as_array().unwrap().iter().map(|row| minutes(row, "busy_ms")).collect();
    assert_eq!(busy.iter().sum::<u64>(), 20, "{teams}");
    let accounts = stats(&rig, "admin", &format!("by=account&{DAY}")).await;
    assert!(!accounts.to_string().contains("ready_ms\":"), "{accounts}");
    assert_eq!(accounts["total"]["figures"]["OCC"], Value::Null);
    // A time of a state opens no calls.
    let (status, problem) = rig.get("admin", &format!("/v1/stats/calls?counter=ready_ms&{DAY}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
}

#[tokio::test]
async fn percentiles_come_from_the_calls() {
    let rig = with_calls().await;
    // A fax is offered to nobody.
    let fax = finished(&rig, 8, 1, "2026-04-01T11:00:00+09:00", None, Outcome::Fax);
    rig.app.store.record_call(&fax).await.unwrap();
    build(&rig).await;
    let (status, waits) = rig.get("2001", &format!("/v1/stats/waits?{DAY}")).await;
    assert_eq!(status, StatusCode::OK, "{waits}");
    assert_eq!(waits["answered"], json!({ "calls": 3, "p50_ms": 4_000, "p90_ms": 4_000, "max_ms": 4_000 }));
    assert_eq!((&waits["abandoned"]["calls"], &waits["abandoned"]["p50_ms"]), (&json!(1), &json!(4_000)));
    // Of four open calls one was abandoned within 20 s: as SL-ignore has it.
    let figures = stats(&rig, "admin", &format!("by=day&formula=SL-ignore&{DAY}")).await;
    assert_eq!(waits["service_level"], figures["total"]["figures"]["SL-ignore"]);
    let (_, three) = rig.get("2001", &format!("/v1/stats/waits?within=3&{DAY}")).await;
    assert_eq!((&three["answered_within"], &three["service_level"]), (&json!(0), &json!(0.0)), "{three}");
    let (_, none) = rig.get("2001", &format!("/v1/stats/waits?queue=no&{DAY}")).await;
    assert_eq!((&none["answered"]["p90_ms"], &none["service_level"]), (&Value::Null, &Value::Null));
    assert_eq!(rig.get("2001", &format!("/v1/stats/waits?within=0&{DAY}")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(rig.get("1001", &format!("/v1/stats/waits?{DAY}")).await.0, StatusCode::FORBIDDEN);
}
