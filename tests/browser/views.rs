//! Rare views: several calls at once, several matching customers, an unreachable PBX.
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::gateway_rig::{PASSWORD, Rig, ringing};

/// The data of a pop with this number of matching customers.
fn pop(company: &str, number: &str, candidates: u32) -> Value {
    let customer = |n: u32| {
        let (name, kana) =
            [("田中　太郎", "たなか　たろう"), ("田中　花子", "たなか　はなこ")][n as usize % 2];
        json!({
            "id": format!("00000000-0000-7000-8000-{n:012}"), "name": name, "kana": kana,
            "company": "株式会社ミナミ", "department": "購買部", "notes": "折り返しは午後に", "flags": ["重要"],
        })
    };
    json!({
        "operator": "1001", "dialled": "0355501001", "diverted_by": "0663450103",
        "caller": { "number": number, "presentation": "allowed", "area": "大阪" },
        "account": {
            "id": "00000000-0000-7000-8000-000000000001", "name": company, "kana": "かいしゃ",
            "answer_phrase": "お電話ありがとうございます。", "notes": "", "matched_by": "diversion",
        },
        "customers": (0..candidates).map(customer).collect::<Vec<_>>(),
        "history": { "calls": 0, "open_messages": 0 },
    })
}

#[tokio::test]
async fn what_a_day_shows_seldom() {
    let rig = Rig::start().await;
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;

    // The longest waiting call is in front, the others below it.
    let companies = ["株式会社さくら商事", "みなと法律事務所", "ひかり歯科医院"];
    for (n, company) in (1..).zip(companies) {
        let data = pop(company, &format!("06-6345-010{n}"), 2);
        rig.publish(ringing(n, &["1001"], data, rig.app.clock.now()));
        rig.advance(std::time::Duration::from_secs(5));
    }
    person.tab.until("all three", "document.querySelectorAll('.others li').length === 2").await;
    assert_eq!(person.company().await, companies[0]);
    assert!(person.reads(".customer .head").await.contains("2件"), "{}", person.reads(".customer").await);
    person.looks("several-calls").await;
    person.presses(".customer .choice label:nth-of-type(2) input").await;
    person
        .tab
        .until(
            "the chosen customer",
            "document.querySelector('.customer .one .name')?.innerText.includes('花子')",
        )
        .await;
    person.looks("candidate-chosen").await;

    // A call with a script is answered with its opening, in the operator's own name.
    let mut scripted = pop("株式会社あさひ", "06-6345-0109", 0);
    scripted["script"] = json!({"id": "usual", "version": 2, "name": "通常", "opening": "おはようございます。<b>あさひ</b>、{operator}です。"});
    rig.end(1);
    rig.end(2);
    rig.end(3);
    rig.publish(ringing(4, &["1001"], scripted, rig.app.clock.now()));
    person
        .tab
        .until("the opening", "document.querySelector('.pop .say')?.innerText === 'おはようございます。<b>あさひ</b>、1001です。'")
        .await;
    person.looks("script-opening").await;

    // Commands are disabled without the PBX; the known state stays.
    rig.link(false);
    person
        .tab
        .until("that it is said", "document.querySelector('.strip.bad')?.innerText.includes('PBX')")
        .await;
    person.tab.key("a").await;
    person
        .tab
        .until("the refusal", "document.querySelector('.notice.error')?.innerText.includes('電話機で操作')")
        .await;
    assert_eq!(person.company().await, "株式会社あさひ");
    person.looks("pbx-down").await;
    person.all_is_well().await;
    browser.close().await;
}

#[tokio::test]
async fn a_company_that_is_closed_is_named_as_closed() {
    let rig = Rig::start().await;
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    let mut data = pop("みなと法律事務所", "06-6345-0101", 1);
    data["account"]["hours"] =
        json!({ "open": false, "until": "2031-11-25T00:00:00.000Z", "holiday": "勤労感謝の日" });
    rig.publish(ringing(1, &["1001"], data, rig.app.clock.now()));
    person.tab.until("the pop", "document.querySelector('.company .opening') !== null").await;
    let opening = person.reads(".company .opening").await;
    assert!(opening.contains("営業時間外") && opening.contains("勤労感謝の日"), "{opening}");
    assert!(opening.contains("次の営業 2031/11/25"), "{opening}");
    person.looks("closed-hours").await;
    person.all_is_well().await;
    browser.close().await;
}
