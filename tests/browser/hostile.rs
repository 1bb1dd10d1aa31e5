//! Text from callers and records is shown as text: it adds no markup, runs no script and moves nothing on the page.
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::gateway_rig::{PASSWORD, Rig};

const MARKUP: &str =
    "<img src=x onerror=\"globalThis.broken=1\"><script>globalThis.broken=1</script></bdi><h1>偽</h1>";
const TURNED: &str = "\u{202e}お電話ありがとう\u{202c}\u{2066}שלום مرحبا\u{202e}";
const EMOJI: &str = "👩‍👩‍👧‍👦🏳️‍🌈 𠮷野家 髙﨑 e\u{301}\u{301}\u{301}\u{301}";

/// A pop in which every free text is this text.
pub(crate) fn pop(text: &str) -> Value {
    let customer = |n: u32| {
        json!({
            "id": format!("00000000-0000-7000-8000-{n:012}"), "name": text, "kana": text, "company": text,
            "department": text, "notes": text, "flags": [text],
        })
    };
    json!({
        "operator": "1001",
        "dialled": text,
        "diverted_by": text,
        "caller": { "number": text, "display": text, "presentation": "allowed", "name": text, "area": text },
        "account": {
            "id": "00000000-0000-7000-8000-000000000001", "name": text, "kana": text, "answer_phrase": text,
            "notes": text, "matched_by": "dialled",
        },
        "script": { "id": "usual", "version": 1, "name": text, "opening": text },
        "customers": [customer(1), customer(2), customer(3)],
        "history": { "calls": 3, "last_call": "2026-01-04T00:00:00.000Z", "last_message": text, "open_messages": 1 },
    })
}

#[tokio::test]
async fn hostile_text_changes_nothing_but_text() {
    let rig = Rig::start().await;
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    let long = "長".repeat(9_000) + &"W".repeat(1_000);
    let elements = "document.querySelectorAll('#page *').length";
    let mut calm: Option<Value> = None;
    for (n, (name, text)) in [
        ("calm", "株式会社さくら商事"),
        ("markup", MARKUP),
        ("turned", TURNED),
        ("emoji", EMOJI),
        ("long", &long),
    ]
    .into_iter()
    .enumerate()
    {
        let n = u32::try_from(n).unwrap() + 1;
        rig.publish(crate::support::gateway_rig::ringing(n, &["1001"], pop(text), rig.app.clock.now()));
        let expected = json!(text);
        let shown = format!("document.querySelector('.company h1')?.textContent === {expected}");
        person.tab.until(name, &shown).await;
        if let Some(calm) = &calm {
            let as_many = format!("{elements} === {calm}");
            person.tab.until(&format!("{name}: as many elements as calm text has"), &as_many).await;
        }
        assert_eq!(person.tab.eval("typeof globalThis.broken").await, json!("undefined"), "{name}");
        person.fits(name).await;
        // The button for the next step is where it was, and on the screen.
        let place = person
            .tab
            .eval("JSON.stringify(document.querySelector('[data-order=answer]').getBoundingClientRect())");
        let place: Value = serde_json::from_str(place.await.as_str().unwrap()).unwrap();
        assert!(place["bottom"].as_f64().unwrap() <= 800.0, "{name}: {place}");
        person.looks(&format!("hostile-{name}")).await;
        // The page is complete only now.
        if calm.is_none() {
            calm = Some(person.tab.eval(elements).await);
        }
        rig.end(n);
        person.has_no_pop().await;
    }
    person.all_is_well().await;
    browser.close().await;
}
