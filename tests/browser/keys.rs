//! The tasks of an operator's day by keyboard alone, and how many keys each needs besides the text that is written.
//!
//! The most that a task may need is in the tests: a change that costs a key fails.
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::figures::keep;
use crate::person::Person;
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

/// Counts the keys that the page gets, modifiers apart; text that is inserted is no key.
const COUNT: &str = "{
    globalThis.keys = 0;
    addEventListener('keydown', (event) => { keys += event.isTrusted && !event.repeat ? 1 : 0; }, { capture: true });
    0
}";

struct Counted<'a> {
    person: &'a Person,
    report: Vec<String>,
}

impl Counted<'_> {
    async fn begins(&self) {
        // Keys that come faster than orders are text (`typing.ts`): each task begins after a pause of the hand.
        self.person.tab.eval("keys = 0").await;
    }

    async fn ends(&mut self, task: &str, most: u64) {
        let keys = self.person.tab.eval("keys").await.as_u64().unwrap();
        self.report.push(format!("{task}: {keys} keys (at most {most})"));
        assert!(keys <= most, "{task} takes {keys} keys, and at most {most} are allowed");
    }
}

#[tokio::test]
async fn the_tasks_of_a_day_by_keyboard_alone() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.tab.eval(COUNT).await;
    let mut counted = Counted { person: &person, report: Vec::new() };
    before_calls(&mut counted).await;
    let call = person.takes_call(&lab).await;
    what_is_written_in_the_call(&mut counted).await;
    passing_the_caller_on(&mut counted).await;
    call.hang_up().await;
    after_the_call(&mut counted).await;
    keep("key-counts", &counted.report.join("\n"));
    assert_eq!(person.tab.events("Runtime.exceptionThrown"), Vec::<Value>::new());
    browser.close().await;
    service.stop().await;
}

async fn before_calls(counted: &mut Counted<'_>) {
    let (person, tab) = (counted.person, &counted.person.tab);
    counted.begins().await;
    tab.until("the first button", "document.activeElement?.matches('[data-start]')").await;
    tab.key("Enter").await;
    person.shows_state("ready").await;
    counted.ends("start work", 1).await;

    counted.begins().await;
    tab.key("r").await;
    tab.until("the menu", "document.querySelector('.menu button')").await;
    tab.key("2").await;
    tab.until("a break", "document.querySelector('#own-state')?.dataset.tone !== 'good'").await;
    counted.ends("a break", 2).await;
    person.chooses_state(0).await;
    person.shows_state("ready").await;
}

async fn what_is_written_in_the_call(counted: &mut Counted<'_>) {
    let tab = &counted.person.tab;
    counted.begins().await;
    tab.key("m").await;
    tab.until("the text", "document.activeElement?.matches('form.message textarea')").await;
    tab.types("折り返しをお願いします").await;
    tab.chord("ctrl", "Enter").await;
    tab.until("that it is saved", "!document.querySelector('form.message')").await;
    counted.ends("a message for anybody", 2).await;

    counted.begins().await;
    tab.key("t").await;
    tab.until("the first contact", "document.activeElement?.closest('[data-contact=\"1\"]')").await;
    tab.key("2").await;
    tab.until("the second contact", "document.activeElement?.closest('[data-contact=\"2\"]')").await;
    tab.key("m").await;
    tab.until("the text", "document.activeElement?.matches('form.message textarea')").await;
    let chosen = "document.querySelector('form.message [role=combobox]').value";
    assert_ne!(tab.eval(chosen).await, json!(""), "it is for the second contact");
    counted.ends("to open a message for the second contact", 3).await;
    tab.key("Escape").await;
    tab.until("the form to close", "!document.querySelector('form.message')").await;

    counted.begins().await;
    tab.key("d").await;
    tab.until("the field", "document.activeElement?.matches('[data-notice-form] input')").await;
    tab.types("社長は終日外出").await;
    tab.key("Enter").await;
    tab.until("the notice", "document.querySelector('.daily .what')").await;
    counted.ends("a notice of today", 2).await;
}

async fn passing_the_caller_on(counted: &mut Counted<'_>) {
    let tab = &counted.person.tab;
    // Keys right after a field that is gone are no orders, until Esc.
    tab.key("Escape").await;
    counted.begins().await;
    tab.key("t").await;
    tab.until("the first contact", "document.activeElement?.closest('[data-contact=\"1\"]')").await;
    tab.key("3").await;
    tab.until("the third contact", "document.activeElement?.closest('[data-contact=\"3\"]')").await;
    tab.key("Enter").await;
    tab.until("the consultation", "document.querySelector('[data-order=cancel]')").await;
    counted.ends("to consult the third contact", 3).await;
    // Taken back from everywhere.
    tab.key("F4").await;
    tab.until("the caller again", "document.querySelector('[data-order=hangup]')").await;
}

async fn after_the_call(counted: &mut Counted<'_>) {
    let (person, tab) = (counted.person, &counted.person.tab);
    tab.until("the after-call work", "document.querySelector('#wrap-up input:checked')").await;
    counted.begins().await;
    tab.key("e").await;
    tab.until("more time", "document.querySelector('.notices, #wrap-up')").await;
    counted.ends("more time", 1).await;

    counted.begins().await;
    tab.key("w").await;
    tab.until("the results", "document.activeElement?.matches('#wrap-up input[type=radio]')").await;
    tab.key("3").await;
    tab.key("Enter").await;
    tab.until("the end of it", "!document.querySelector('#wrap-up')").await;
    counted.ends("a result", 3).await;
    person.shows_state("ready").await;

    counted.begins().await;
    tab.chord("ctrl", "k").await;
    tab.until("the palette", "document.activeElement?.matches('[data-palette] input')").await;
    tab.types("さくら").await;
    tab.until("the account", "document.querySelector('[data-palette] li[data-kind=\"nav.accounts\"]')").await;
    tab.key("Enter").await;
    tab.until("it open", "document.querySelector('.one h2')?.innerText.includes('さくら商事')").await;
    counted.ends("to look an account up", 3).await;
}
