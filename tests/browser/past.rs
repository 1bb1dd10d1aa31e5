//! The past calls: a search by name and number, calls to the outside, and files for a spreadsheet.
use std::path::Path;

use encoding_rs::SHIFT_JIS;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall};
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::gateway_rig::{PASSWORD, Rig};
use crate::support::ids::{call, pbx};
use crate::support::wait::eventually;

/// Makes a record as the administrator.
async fn made(rig: &Rig, path: &str, fields: Value) -> RecordId {
    let (status, made) = rig.send("admin", Method::POST, path, &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    RecordId(made["id"].as_str().unwrap().parse().unwrap())
}

/// Two customers and one stranger called, one caller withheld the number, and 1001 called one of the customers back.
async fn a_day_before(rig: &Rig) {
    let account = made(rig, "/v1/accounts", json!({"code": "A001", "name": "株式会社さくら商事"})).await;
    let customer = async |name: &str, kana: &str, number: &str| {
        let fields = json!({"account": account, "name": name, "kana": kana, "numbers": [number]});
        made(rig, "/v1/customers", fields).await
    };
    let tanaka = customer("田中太郎", "たなかたろう", "090-1234-5678").await;
    let takahashi = customer("髙橋花子", "たかはしはなこ", "06-6345-0101").await;
    let inbound = |n, caller: Option<&str>, customer| FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(account),
        matched_by: MatchedBy::Dialled,
        customer,
        caller: caller.map(Into::into),
        presentation: if caller.is_some() { Presentation::Allowed } else { Presentation::Withheld },
        dialled: Some("0355501001".into()),
        diverted_by: None,
        offered_at: rig.app.clock.now(),
        answered_at: Some(rig.app.clock.now()),
        ended_at: rig.app.clock.now(),
        outcome: Outcome::Answered,
        operators: vec![Extension::parse("1001").unwrap()],
        handled_by: Some(vec![rig.user("1001")]),
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    };
    let outbound = FinishedCall {
        direction: Direction::Outbound,
        account: None,
        matched_by: MatchedBy::None,
        presentation: Presentation::Unavailable,
        dialled: Some("+819012345678".into()),
        outcome: Outcome::Abandoned,
        answered_at: None,
        ..inbound(5, None, None)
    };
    let records = [
        inbound(1, Some("+819012345678"), Some(tanaka)),
        inbound(2, Some("+81663450101"), Some(takahashi)),
        inbound(3, Some("+81312345678"), None),
        inbound(4, None, None),
        outbound,
    ];
    for record in &records {
        rig.app.store.record_call(record).await.unwrap();
    }
}

/// Waits until the table shows exactly these calls.
async fn shows(person: &Person, what: &str, numbers: &[&str]) {
    let column = "[...document.querySelectorAll('tr[data-call]')].map((row) => \
                  row.querySelector('[data-party]').innerText.split('\\n')[0]).sort()";
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let is = format!("JSON.stringify({column}) === {:?}", json!(sorted).to_string());
    person.tab.until(what, &is).await;
}

async fn searches(person: &Person, text: &str) {
    person
        .tab
        .eval("{ const one = document.querySelector('main [data-find]'); one.focus(); one.select(); 0 }")
        .await;
    person.tab.types(text).await;
}

async fn chooses(person: &Person, selector: &str, value: &str) {
    let choose = "{ const one = document.querySelector(SELECTOR); one.value = VALUE; \
                  one.dispatchEvent(new Event('change', { bubbles: true })); 0 }";
    let choose = choose.replace("SELECTOR", &format!("{selector:?}")).replace("VALUE", &format!("{value:?}"));
    person.tab.eval(&choose).await;
}

/// The only file in this directory, once it is whole.
async fn file_in(directory: &Path) -> (String, Vec<u8>) {
    eventually("a file", async || {
        let names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        match names.as_slice() {
            [name] if name.ends_with(".csv") => {
                Ok((name.clone(), std::fs::read(directory.join(name)).unwrap()))
            }
            others => Err(format!("{others:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn past_calls_are_searched_turned_round_and_saved() {
    let rig = Rig::start().await;
    a_day_before(&rig).await;
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    person.tab.key("3").await;
    let all = ["090-1234-5678", "06-6345-0101", "03-1234-5678", "非通知"];
    shows(&person, "all calls", &all).await;
    person.looks("past-whole").await;

    // By keyboard: the key of the search finds the search of this view.
    person.tab.key("/").await;
    person.tab.until("the caret in the search", "document.activeElement?.matches('.page [data-find]')").await;
    person.tab.types("たかはし").await;
    shows(&person, "the customer by the reading, which is in no record of a call", &["06-6345-0101"]).await;
    person.looks("past-search").await;
    for (text, numbers) in [
        ("高橋", &["06-6345-0101"][..]),
        ("０９０－１２３４", &["090-1234-5678"]),
        ("+81 3-1234-5678", &["03-1234-5678"]),
        ("山田", &[]),
        (" ", &all),
    ] {
        searches(&person, text).await;
        shows(&person, text, numbers).await;
    }
    searches(&person, "田中").await;
    shows(&person, "the customer", &["090-1234-5678"]).await;
    let mine = save(&person, "utf-8").await;
    assert!(mine.starts_with('\u{feff}') && mine.contains("田中太郎") && !mine.contains("髙橋"), "{mine}");

    chooses(&person, "[data-direction]", "outbound").await;
    shows(&person, "whom the operator called", &["090-1234-5678"]).await;
    let table = person.reads("table.whole").await;
    assert!(table.contains("応答なし・取りやめ") && table.contains("発信先"), "{table}");
    person.looks("past-outbound").await;
    let mine = save(&person, "cp932").await;
    assert!(mine.contains("発信") && mine.contains("090-1234-5678"), "{mine}");
    person.all_is_well().await;
    browser.close().await;
}

/// Saves the shown calls with this encoding; returns the text of the file.
async fn save(person: &Person, encoding: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    person.tab.call("Page.setDownloadBehavior", json!({ "behavior": "allow", "downloadPath": path })).await;
    chooses(person, ".write select", encoding).await;
    person.presses(".write button").await;
    let (name, bytes) = file_in(directory.path()).await;
    assert_eq!(name, "通話の履歴.csv");
    if encoding == "utf-8" {
        return String::from_utf8(bytes).unwrap();
    }
    let (text, _, is_bad) = SHIFT_JIS.decode(&bytes);
    assert!(!is_bad);
    text.into_owned()
}
