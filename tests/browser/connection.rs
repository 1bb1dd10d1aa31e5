//! What a page shows stays true: several desks, a daemon that goes and comes (a tab that sleeps: `orders.rs`).
use serde_json::json;

use crate::KNOWN_CALLER;
use crate::SAKURA;
use crate::chromium::Chromium;
use crate::lab::{CallSpec, Lab};
use crate::person::Person;
use crate::service::Service;

/// Waits until page and records are kept in the browser.
const KEPT: &str = "(async () => {
    while (!navigator.serviceWorker.controller || !(await caches.match('/'))) {
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
})()";
/// Whether nothing of what the page had loaded is left in the browser.
const FORGOTTEN: &str = "new Promise((resolve) => {
    const opening = indexedDB.open('toritsugi', 1);
    opening.onsuccess = () => {
        const asked = opening.result.transaction('kept').objectStore('kept').getAll();
        asked.onsuccess = () => resolve(asked.result.length === 0);
    };
})";

#[tokio::test]
async fn of_two_desks_the_loser_s_pop_goes_away() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let winner = Person::signs_in(&browser, &service, "1001").await;
    let loser = Person::signs_in(&browser, &service, "1002").await;
    // When each saw the end of its ringing, by the one clock of this machine.
    for person in [&winner, &loser] {
        person
            .tab
            .eval(
                "new MutationObserver(() => { const now = document.querySelector('.pop')?.dataset.phase ?? 'none'; \
                 if (globalThis.phase === 'ringing' && now !== 'ringing') globalThis.changed = Date.now(); \
                 globalThis.phase = now; }).observe(document.body, { subtree: true, childList: true, attributes: true }); 0",
            )
            .await;
    }
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    winner.pop_is("ringing").await;
    loser.pop_is("ringing").await;
    lab.phone("1001").answers().await;
    winner.pop_is("talking").await;
    loser.has_no_pop().await;
    let at = |value: serde_json::Value| value.as_f64().unwrap();
    let late = at(loser.tab.eval("changed").await) - at(winner.tab.eval("changed").await);
    println!("the loser's pop went away {late} ms after the winner's was answered");
    assert!(loser.reads(".notices").await.contains("ほかの人が応答しました"));
    assert_eq!(loser.orders().await, Vec::<String>::new());
    call.hang_up().await;
    browser.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_daemon_that_was_restarted_finds_its_desks_again() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.tab.key("2").await;
    person.tab.until("the accounts", "document.querySelectorAll('.list li').length === 3").await;
    person.tab.eval(KEPT).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    service.stop().await;
    person
        .tab
        .until("that it resumes", "document.querySelector('[data-phase=resuming], [data-phase=offline]')")
        .await;
    person.tab.until("that it is offline", "document.querySelector('[data-phase=offline]')").await;
    person.looks("offline").await;
    // Commands are refused clearly; what was loaded can be read.
    person.tab.key("a").await;
    person.tab.until("the refusal", "document.querySelector('.notice.error')").await;
    assert!(person.reads(".notice.error").await.contains("操作できません"));
    person.tab.key("2").await;
    person.presses(".list button").await;
    assert!(person.reads(".accounts .one").await.contains("さくら商事でございます"));
    assert!(person.reads(".accounts .one ol").await.contains("佐々木健"));
    // After a reload, too, though nobody is there to load it from.
    person.loads().await;
    person
        .tab
        .until("that it is not connected", "document.querySelector('.link:not([data-phase=live])')")
        .await;
    person.tab.key("2").await;
    person.tab.until("the accounts", "document.querySelectorAll('.list li').length === 3").await;
    person.presses(".list button").await;
    assert!(person.reads(".accounts .one").await.contains("さくら商事でございます"));
    assert!(person.reads(".accounts .one ol").await.contains("佐々木健"));
    person.looks("offline-reloaded").await;
    call.hang_up().await;
    service.again().await;
    person.is_connected().await;
    person.tab.key("1").await;
    person
        .tab
        .until("that nothing rings", "document.querySelector('.idle') && !document.querySelector('.pop')")
        .await;
    let next = lab.place_call(CallSpec::new("0312345678", SAKURA)).await;
    person.pop_is("ringing").await;
    assert_eq!(person.tab.eval("document.querySelectorAll('.pop').length").await, json!(1));
    next.hang_up().await;
    person.has_no_pop().await;
    // What was kept goes with her.
    person.presses("header .right .small").await;
    person.tab.until("the sign-in", "document.querySelector('form input[name=login]')").await;
    assert_eq!(person.tab.eval(FORGOTTEN).await, json!(true));
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
