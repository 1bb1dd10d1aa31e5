//! Each view, account, call and message has an address: a reload stays there, a link leads there, the browser's way back
//! leads to what was open.
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

async fn address_is(person: &Person, start: &str) -> String {
    person.tab.until(start, &format!("location.hash.startsWith({start:?})")).await;
    person.tab.eval("location.hash").await.as_str().unwrap().to_owned()
}

/// Goes to a view by its key, and waits for its address: what is opened before the view was painted has no address of its own
/// on the way back.
async fn goes_to_view(person: &Person, key: &str, hash: &str) {
    person.tab.key(key).await;
    person.tab.until(hash, &format!("location.hash === {hash:?}")).await;
}

async fn goes_to(person: &Person, hash: &str) {
    person.tab.call("Page.navigate", json!({ "url": format!("{}/{hash}", person.origin) })).await;
}

async fn goes_back(person: &Person, hash: &str) {
    person.tab.eval("history.back()").await;
    person.tab.until(hash, &format!("location.hash === {hash:?}")).await;
}

async fn reloads(person: &Person) {
    person.tab.eval("globalThis.before = true").await;
    person.tab.call("Page.reload", json!({})).await;
    person.tab.until("the new page", "!globalThis.before && document.querySelector('.frame')").await;
    person.is_connected().await;
}

const CALL: &str = "document.querySelector('tr[data-call] + .detail')";
const MESSAGE: &str = "document.querySelector('[data-message] .detail')";
const ACCOUNT: &str = "document.querySelector('.one h2')";

#[tokio::test]
async fn what_is_open_has_an_address() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    address_is(&person, "#/desk").await;
    let call = person.takes_call(&lab).await;
    person.writes_a_message("折り返しをお願いします").await;
    person.saves_the_message().await;
    call.hang_up().await;
    person.has_no_pop().await;
    person.tab.until("the results", "document.activeElement?.matches('#wrap-up input')").await;
    // The results of the after-call work have the focus; Esc gives the digits back to the views.
    person.tab.key("Escape").await;

    goes_to_view(&person, "2", "#/accounts").await;
    person.presses(".accounts .list li button").await;
    person.tab.until("the account", ACCOUNT).await;
    let account = address_is(&person, "#/accounts/").await;
    goes_to_view(&person, "3", "#/past").await;
    person.presses("tr[data-call] button").await;
    person.tab.until("the call", CALL).await;
    let call = address_is(&person, "#/past/").await;
    goes_to_view(&person, "4", "#/messages").await;
    person.presses("[data-message] [data-row]").await;
    person.tab.until("the message", MESSAGE).await;
    let message = address_is(&person, "#/messages/").await;

    reloads(&person).await;
    person.tab.until("the message after a reload", MESSAGE).await;
    goes_back(&person, "#/messages").await;
    goes_back(&person, &call).await;
    person.tab.until("the call again", CALL).await;

    // A link is followed in an open page, and by somebody who signs in first.
    goes_to(&person, &account).await;
    person.tab.until("the account by its link", ACCOUNT).await;
    goes_to(&person, "#/past/00000000-0000-7000-8000-000000000000").await;
    person.tab.until("a call that is none", "location.hash === '#/past'").await;
    let guest = Person::comes(&browser, &format!("http://{}", service.address)).await;
    crate::person::give_password(&service, "1002").await;
    goes_to(&guest, &message).await;
    guest.enters("1002", PASSWORD).await;
    guest.is_connected().await;
    guest.tab.until("the message by its link", MESSAGE).await;
    // The next person begins at the desk.
    guest.presses("header .right .small").await;
    guest.enters("1001", PASSWORD).await;
    guest.is_connected().await;
    address_is(&guest, "#/desk").await;
    // An account that is open is asked for once, and once more where it is opened again.
    let id = account.strip_prefix("#/accounts/").unwrap();
    let requests = person.tab.events("Network.requestWillBeSent");
    let is_account = |one: &&Value| {
        one["request"]["url"].as_str().is_some_and(|url| url.ends_with(&format!("/v1/accounts/{id}")))
    };
    assert_eq!(requests.iter().filter(is_account).count(), 2);
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
