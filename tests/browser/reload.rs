//! A reload forgets nothing: the after-call work that is open, the caller it is about, the calls whose result was never
//! recorded, and the latest calls.
use reqwest::Method;
use serde_json::json;

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, MINATO, SAKURA};

/// Codes of the two accounts.
const SAKURA_CODE: &str = "A001";
const MINATO_CODE: &str = "A002";
/// Callers whose calls end without a result.
const MISSED: [&str; 2] = ["0312345678", "0663450101"];

#[tokio::test]
async fn a_reload_in_the_middle_of_after_call_work_forgets_neither_the_work_nor_the_calls() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    // The work for one account ends by its time while the test looks on; that for the other does not.
    service.change_account(MINATO_CODE, json!({ "wrap_up_s": 1 })).await;
    service.change_account(SAKURA_CODE, json!({ "wrap_up_s": 3_600 })).await;
    for phone in ["1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    for (n, caller) in (1..).zip(MISSED) {
        has_a_call(&lab, &person, caller, MINATO).await;
        undisposed(&service, n).await;
    }
    has_a_call(&lab, &person, KNOWN_CALLER, SAKURA).await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up textarea')").await;
    person.tab.eval("document.querySelector('#wrap-up textarea').focus()").await;
    person.tab.types("折り返しは16時以降").await;

    person.loads().await;
    person.is_connected().await;
    let notes = "document.querySelector('#wrap-up textarea')?.value === '折り返しは16時以降'";
    person.tab.until("the notes after the reload", notes).await;
    let caller = "['090-1234-5678', '田中太郎', 'さくら商事'].every((one) => \
                  document.querySelector('.pop').innerText.includes(one))";
    person.tab.until("whose call it was", caller).await;
    person.looks("wrap-up-reloaded").await;
    person.presses("#wrap-up input[value=message]").await;
    person.presses("#wrap-up .main").await;
    both_are_listed(&person).await;
    person.looks("missed-results").await;

    // Once more, and then as another tab, which knows what the daemon knows.
    person.loads().await;
    person.is_connected().await;
    both_are_listed(&person).await;
    person.tab.eval("sessionStorage.clear()").await;
    person.loads().await;
    person.is_connected().await;
    both_are_listed(&person).await;

    // The older of the two is recorded late; the other one stays.
    person.presses(".missed li:last-child button").await;
    person
        .tab
        .until("whose call it was", "document.querySelector('.pop')?.innerText.includes('03-1234-5678')")
        .await;
    person.presses("#wrap-up input[value=message]").await;
    person.presses("#wrap-up .main").await;
    undisposed(&service, 1).await;
    person.tab.until("the other one", "document.querySelectorAll('.missed li').length === 1").await;
    person.loads().await;
    person.is_connected().await;
    person
        .tab
        .until("the other one after a reload", "document.querySelectorAll('.missed li').length === 1")
        .await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// A call that 1001 answers and whose caller hangs up.
async fn has_a_call(lab: &Lab, person: &Person, caller: &str, dialled: &str) {
    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(caller, dialled)).await;
    person.pop_is("ringing").await;
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    call.hang_up().await;
    person.has_no_pop().await;
}

/// Waits until the daemon knows of this many calls of 1001 without a result.
async fn undisposed(service: &Service, count: usize) {
    eventually("the calls without a result", async || {
        let (_, page) = service.ask("1001", Method::GET, "/v1/operators", None).await;
        let own = page["items"].as_array().unwrap().iter().find(|one| one["extension"] == "1001").unwrap();
        let found = own["undisposed_work"].as_array().map_or(0, Vec::len);
        if found == count && own["state"] == "ready" { Ok(()) } else { Err(own.to_string()) }
    })
    .await;
}

/// The idle desk lists both calls without a result, the newest first, and all three calls, with who called.
async fn both_are_listed(person: &Person) {
    let missed = "[...document.querySelectorAll('.missed li')].map((one) => one.innerText)";
    let both = format!(
        "{missed}.length === 2 && {missed}[0].includes('06-6345-0101') && {missed}[1].includes('03-1234-5678')"
    );
    person.tab.until("the calls without a result", &both).await;
    let calls =
        "[...document.querySelectorAll('.idle tr[data-call] td:nth-child(3)')].map((one) => one.innerText)";
    let shown = ["090-1234-5678", "06-6345-0101", "03-1234-5678"];
    let listed = format!(
        "JSON.stringify(({calls}).map((one) => one.split('\\n')[0])) === {:?}",
        json!(shown).to_string()
    );
    person.tab.until("the latest calls", &listed).await;
    let result = "document.querySelector('.idle tr[data-call]').innerText.includes('折り返しは16時以降')";
    person.tab.until("what was recorded", result).await;
}
