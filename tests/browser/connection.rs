//! The page stays correct when the situation changes elsewhere: another desktop answers, the daemon restarts. (A
//! frozen tab is in `orders.rs`.)
use serde_json::json;

use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::client::http;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::{KNOWN_CALLER, SAKURA};

/// Whether page and records are kept in the browser.
pub(crate) const KEPT: &str =
    "performance.getEntriesByName('kept').length && navigator.serviceWorker.controller";
/// Whether nothing that the page had loaded is left in the browser.
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
    // The time at which the other operator's page had no ringing pop any more; both times are on this machine's clock.
    let watch = "new MutationObserver(() => { const rings = Boolean(document.querySelector('.pop')); \
                 if (globalThis.rings && !rings) globalThis.changed = Date.now(); globalThis.rings = rings; }) \
                 .observe(document.body, { subtree: true, childList: true }); 0";
    loser.tab.eval(watch).await;
    let mut events = service.follow("1002", None).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    winner.pop_is("ringing").await;
    loser.pop_is("ringing").await;
    lab.phone("1001").answers().await;
    winner.pop_is("talking").await;
    loser.has_no_pop().await;
    let answered = wait_for(&mut events, "call.rescinded").await;
    let answered: jiff::Timestamp = answered["at"].as_str().unwrap().parse().unwrap();
    let gone = loser.tab.eval("changed").await.as_i64().unwrap();
    let late = gone - answered.as_millisecond();
    crate::figures::keep("loser", &format!("event of the PBX to the end of the loser's pop: {late} ms"));
    assert!(loser.reads(".notices").await.contains("ほかの人が応答しました"));
    assert_eq!(loser.commands().await, Vec::<String>::new());
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
    person.tab.until("that it is kept", KEPT).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    service.stop().await;
    person
        .tab
        .until("that it resumes", "document.querySelector('[data-phase=resuming], [data-phase=offline]')")
        .await;
    person.tab.until("that it is offline", "document.querySelector('[data-phase=offline]')").await;
    person.looks("offline").await;
    // Commands are refused with a message; loaded records can be read.
    person.tab.key("a").await;
    person.tab.until("the refusal", "document.querySelector('.notice.error')").await;
    assert!(person.reads(".notice.error").await.contains("操作できません"));
    person.tab.key("2").await;
    person.presses(".list button").await;
    assert!(person.reads(".accounts .one").await.contains("さくら商事でございます"));
    assert!(person.reads(".accounts .one ol").await.contains("佐々木健"));
    // After a reload, too, although the daemon does not run.
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
    // Signing out deletes the stored records at once.
    signs_out(&person).await;
    signs_out_while_the_daemon_is_away(&mut service, &person).await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

async fn signs_out(person: &Person) {
    person.presses("header .right .small").await;
    person.tab.until("the sign-in", "document.querySelector('form input[name=login]')").await;
    assert_eq!(person.tab.eval(FORGOTTEN).await, json!(true));
}

/// Nothing stays on the machine; the page shows that the sign-out is pending, and completes it when the daemon is back.
async fn signs_out_while_the_daemon_is_away(service: &mut Service, person: &Person) {
    let times = "performance.getEntriesByName('kept').length";
    let before = person.tab.eval(times).await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    person.tab.until("that it is kept again", &format!("{times} > {before}")).await;
    let cookies = person.tab.call("Network.getCookies", json!({})).await;
    let (name, value) = (cookies["cookies"][0]["name"].clone(), cookies["cookies"][0]["value"].clone());
    let cookie = format!("{}={}", name.as_str().unwrap(), value.as_str().unwrap());
    service.stop().await;
    person
        .tab
        .until("that the page is not connected", "document.querySelector('.link:not([data-phase=live])')")
        .await;
    signs_out(person).await;
    let says =
        |words: &str| format!("document.querySelector('form [role=status]')?.innerText.includes({words:?})");
    person.tab.until("what is still to be done", &says("サーバーにはまだ伝わっていません")).await;
    person.looks("signed-out-away").await;
    person.loads().await;
    person.tab.until("it after a reload, too", &says("サーバーにはまだ伝わっていません")).await;
    service.again().await;
    person.tab.until("that it is done", &says("サインアウトしました。")).await;
    let asked = http();
    let asked = asked.get(format!("http://{}/v1/session", service.address)).header("cookie", cookie);
    assert_eq!(asked.send().await.unwrap().status(), 401, "a kept cookie is not valid");
}
