//! The tasks of an operator's day by keyboard alone, and how many keys each needs besides the text that is written.
//!
//! The most that a task may need is in the tests: a change that costs a key fails.
use serde_json::Value;

use crate::chromium::Chromium;
use crate::figures::keep;
use crate::person::{LEFT, Person, SAVED};
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
    tab.until("that it is saved", SAVED).await;
    counted.ends("a message for anybody", 2).await;

    counted.begins().await;
    tab.chord("alt+shift", "2").await;
    tab.until("the text", "document.activeElement?.matches('form.message textarea')").await;
    let chosen = "document.querySelector('form.message [role=combobox]').value === '井上美咲'";
    tab.until("that it is for the second contact", chosen).await;
    tab.types("納期の件").await;
    tab.chord("ctrl", "Enter").await;
    tab.until("that it is saved", SAVED).await;
    counted.ends("a message for the second contact", 2).await;

    // From the list of the contacts, too.
    tab.key("t").await;
    tab.until("the first contact", "document.activeElement?.closest('[data-contact=\"1\"]')").await;
    tab.key("3").await;
    tab.key("m").await;
    tab.until(
        "the third contact",
        "document.querySelector('form.message [role=combobox]').value === '桜井誠'",
    )
    .await;
    tab.key("Escape").await;
    tab.until("the caret to leave", LEFT).await;

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
    tab.until("the results", "document.activeElement?.matches('#wrap-up input[type=radio]')").await;
    tab.key("3").await;
    tab.key("Enter").await;
    tab.until("the end of it", "!document.querySelector('#wrap-up')").await;
    counted.ends("a result", 2).await;
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

/// Who wants that has the caret in the message as soon as the call is answered: nothing is pressed to begin.
#[tokio::test]
async fn a_message_is_begun_without_a_key_by_those_who_want_that() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    person.tab.key("?").await;
    person.presses("[data-write]").await;
    person.tab.key("Escape").await;
    person.tab.until("the end of the help", "!document.querySelector('dialog')").await;
    person.tab.eval(COUNT).await;
    let mut counted = Counted { person: &person, report: Vec::new() };
    let call = person.takes_call(&lab).await;
    counted.begins().await;
    person.tab.until("the text", "document.activeElement?.matches('form.message textarea')").await;
    person.tab.types("折り返しをお願いします").await;
    person.tab.chord("ctrl", "Enter").await;
    person.tab.until("that it is saved", SAVED).await;
    counted.ends("a message for anybody, with the caret there from the answer on", 1).await;
    keep("key-counts-begun", &counted.report.join("\n"));
    call.hang_up().await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
