//! A message that the daemon has not confirmed: the page shows it, repeats the request, saves it once, and never
//! discards it without asking.

use reqwest::Method;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::{Person, SAVED};
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

#[tokio::test]
async fn a_message_that_could_not_be_saved_waits_and_is_saved_once() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    let call = person.takes_call(&lab).await;

    the_answer_is_lost_and_a_repeat_refused(&person).await;
    assert_eq!(texts(&service).await, ["納品の日を変えたい"], "saved once, over all tries");

    // The daemon stops while the operator writes.
    person.tab.key("1").await;
    writes(&person, "明日また電話する").await;
    service.stop().await;
    person.tab.until("that it is gone", "document.querySelector('.link:not([data-phase=live])')").await;
    person.presses("form.message .main").await;
    person.tab.until("that it waits", &waits(1)).await;
    person.tab.until("the empty form", SAVED).await;
    person.looks("unsaved-desk").await;
    // The page asks before it discards the message.
    person.presses("header .right .small").await;
    person.tab.until("why", "document.querySelector('.notices').innerText.includes('破棄してから')").await;
    person.presses("#unsaved button").await;
    person.tab.until("the list", "document.querySelector('[data-unsaved=waiting]')").await;
    person.looks("unsaved-list").await;
    service.again().await;
    person.is_connected().await;
    person.tab.until("that it is saved", "!document.querySelector('#unsaved')").await;
    assert_eq!(texts(&service).await, ["明日また電話する", "納品の日を変えたい"]);
    person.tab.until("both in the list", "document.querySelectorAll('[data-message]').length === 2").await;
    call.hang_up().await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// The daemon saves the message but its answer is lost; the repetition is refused once, and repeated again.
async fn the_answer_is_lost_and_a_repeat_refused(person: &Person) {
    person.tab.holds_requests("*/v1/messages", "Response").await;
    writes(person, "納品の日を変えたい").await;
    person.presses("form.message .main").await;
    let paused = person.tab.wait_event("Fetch.requestPaused").await;
    assert_eq!(paused["responseStatusCode"], 201);
    let key = paused["request"]["headers"]["Idempotency-Key"].clone();
    let lost = json!({ "requestId": paused["requestId"], "errorReason": "ConnectionReset" });
    person.tab.call("Fetch.failRequest", lost).await;
    person.tab.until("that it waits", &waits(1)).await;

    let paused = person.tab.wait_event_after(1, "Fetch.requestPaused").await;
    assert_eq!(
        (&paused["responseStatusCode"], &paused["request"]["headers"]["Idempotency-Key"]),
        (&json!(201), &key)
    );
    let refusal = json!({
        "requestId": paused["requestId"], "responseCode": 422, "body": "eyJ0eXBlIjoiaW52YWxpZC1ib2R5In0=",
    });
    person.tab.call("Fetch.fulfillRequest", refusal).await;
    person.tab.key("4").await;
    person.tab.until("the refusal", "document.querySelector('[data-unsaved=refused]')").await;
    person.looks("unsaved-refused").await;
    assert!(person.reads("[data-unsaved]").await.contains("納品の日を変えたい"));
    person.tab.call("Fetch.disable", json!({})).await;
    person.presses("[data-unsaved] .do button").await;
    person.tab.until("that it is saved", "!document.querySelector('[data-unsaved], #unsaved')").await;
}

async fn writes(person: &Person, text: &str) {
    person.tab.key("m").await;
    person.tab.until("the form", "document.activeElement?.closest('form.message')").await;
    person.tab.types(text).await;
    let typed = format!("document.querySelector('form.message textarea').value === {text:?}");
    person.tab.until("the typed text", &typed).await;
}

/// The text of the bar for this number of unsaved messages.
fn waits(count: usize) -> String {
    format!("document.querySelector('#unsaved')?.innerText.includes('{count}件')")
}

/// All messages that the daemon has, the newest first.
async fn texts(service: &Service) -> Vec<String> {
    let (status, page) = service.ask("admin", Method::GET, "/v1/messages", None).await;
    assert!(status.is_success(), "{page}");
    let text = |message: &Value| message["text"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(text).collect()
}
