//! A narrow window, beside another program, and a page that is enlarged: whose call it is, what to say and who calls are
//! whole, and what can be done is within reach.
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::{DESK, Person};
use crate::support::gateway_rig::{self, Rig, ringing};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::{KNOWN_CALLER, SAKURA};

/// A telephone's width, a window beside another program, and a desk of 1280×800 at 200 %.
const NARROW: [(u32, u32); 3] = [(360, 640), (420, 900), (640, 400)];

/// Checks the view at each narrow size: nothing lies outside at the side, axe finds nothing.
async fn looks_narrow(person: &Person, name: &str) {
    for (width, height) in NARROW {
        person.tab.size(width, height).await;
        let name = format!("narrow-{name}-{width}");
        person.is_pictured(&name).await;
        person.fits(&name).await;
        // What lies under the bars that stay in sight is reached by scrolling; how much of a button they cover is chance.
        person.tab.eval(&bars("static")).await;
        person.is_accessible(&name).await;
        person.tab.eval(&bars("")).await;
    }
}

/// Sets the position of the bars that stay in sight.
fn bars(position: &str) -> String {
    format!(
        "document.querySelectorAll('.controls, .whose').forEach((one) => (one.style.position = {position:?}))"
    )
}

/// Checks that each of these is on the screen as a whole and that nothing lies over it.
async fn are_whole(person: &Person, selectors: &[&str]) {
    let places = "SELECTORS.map((selector) => {
        const one = document.querySelector(selector);
        const box = one.getBoundingClientRect();
        const isInside = box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
        const isCut = one.scrollHeight > one.clientHeight + 8 && getComputedStyle(one).overflow !== 'visible';
        const above = document.elementFromPoint(box.left + box.width / 2, box.bottom - 4);
        const isFree = one.contains(above) || above?.contains(one);
        return isInside && !isCut && isFree ? '' : `${selector} ${JSON.stringify(box)} ${above?.outerHTML.slice(0, 80)}`;
    }).filter(Boolean)";
    for (width, height) in NARROW {
        person.tab.size(width, height).await;
        let found = person.tab.eval(&places.replace("SELECTORS", &json!(selectors).to_string())).await;
        assert_eq!(found, json!([]), "{width}×{height}");
    }
}

#[tokio::test]
async fn a_call_is_served_in_a_narrow_window() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    looks_narrow(&person, "logged-out").await;
    person.is_ready().await;

    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    are_whole(&person, &[".company h1", ".say", ".number", "[data-order=answer]"]).await;
    looks_narrow(&person, "ringing").await;
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    are_whole(&person, &[".company h1", ".say", ".number", "[data-order=hold]", "[data-order=hangup]"]).await;
    person.tab.until("the contacts", "document.querySelectorAll('#contacts li .who').length === 3").await;
    looks_narrow(&person, "talking").await;

    // While a message is written, whose it is stays in sight, and so do the orders.
    person.writes_a_message("来週の納期を確認してほしい").await;
    are_whole(&person, &[".whose", "form.message textarea", "[data-order=hold]"]).await;
    let below = "innerHeight - document.querySelector('.controls').getBoundingClientRect().bottom";
    assert!(person.tab.eval(below).await.as_f64().unwrap() < 2.0, "the orders are at the lower edge");
    looks_narrow(&person, "message").await;
    person.saves_the_message().await;

    call.hang_up().await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    looks_narrow(&person, "wrap-up").await;
    // What happened proposes the result.
    person.tab.until("the proposal", "document.querySelector('#wrap-up input[value=message]').checked").await;
    person.presses("#wrap-up .main").await;
    person.tab.until("the end of the work", "document.querySelector('.idle')").await;
    the_other_views(&person).await;

    let boss = Person::signs_in(&browser, &service, "2001").await;
    boss.tab.until("the team", "document.querySelector('[data-operator=\"1001\"]')").await;
    looks_narrow(&boss, "board").await;
    boss.all_is_well().await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

async fn the_other_views(person: &Person) {
    person.tab.key("2").await;
    person.presses(".accounts .list li button").await;
    person.tab.until("its contacts", "document.querySelector('.one ol .name')").await;
    looks_narrow(person, "accounts").await;
    person.tab.key("3").await;
    person.presses("tr[data-call] button").await;
    person.tab.until("the course", "document.querySelectorAll('tr.detail li').length > 1").await;
    looks_narrow(person, "past").await;
    person.tab.key("4").await;
    person.presses("[data-message] [data-row]").await;
    person.tab.until("the message", "document.querySelector('[data-message] .detail')").await;
    looks_narrow(person, "messages").await;
    person.tab.key("?").await;
    person.tab.until("the help", "document.querySelector('dialog[open]')").await;
    looks_narrow(person, "help").await;
    larger_text(person).await;
}

/// The page is drawn larger, and is whole in the window of a desk.
async fn larger_text(person: &Person) {
    person.tab.size(DESK.0, DESK.1).await;
    let width = "document.querySelector('dialog h2').getBoundingClientRect().height";
    let before = person.tab.eval(width).await.as_f64().unwrap();
    let choose = "{ const one = document.querySelector('select[data-size]'); one.value = 'largest'; \
                  one.dispatchEvent(new Event('change', { bubbles: true })); 0 }";
    person.tab.eval(choose).await;
    person.tab.until("the size", "document.documentElement.dataset.size === 'largest'").await;
    let after = person.tab.eval(width).await.as_f64().unwrap();
    assert!(after > before * 1.25, "{before} {after}");
    for name in ["larger-help", "larger-messages"] {
        person.is_pictured(name).await;
        person.fits(name).await;
        person.is_accessible(name).await;
        person.tab.key("Escape").await;
        person.tab.until("the end of the help", "!document.querySelector('dialog')").await;
    }
    // Kept in this browser.
    person.loads().await;
    person.is_connected().await;
    let size = person.tab.eval("document.documentElement.dataset.size").await;
    assert_eq!(size, Value::from("largest"));
}

/// For those who work in another program: whose call it is, what to say, who calls and the orders, above all windows.
#[tokio::test]
async fn the_call_is_in_a_small_window_above_all_others() {
    let mut rig = Rig::start().await;
    let mut commands = rig.commands.take().expect("the core's end");
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", gateway_rig::PASSWORD).await;
    person.is_connected().await;
    // Browsers open it for a person alone.
    person.tab.until("the button", "document.querySelector('[data-popwindow]')").await;
    person.tab.eval("document.querySelector('[data-popwindow]').focus()").await;
    person.tab.key("Enter").await;
    let window = "documentPictureInPicture.window";
    person.tab.until("the window", &format!("{window}?.document.querySelector('.small-pop .calm')")).await;
    rig.publish(ringing(1, &["1001"], crate::hostile::pop("株式会社さくら商事"), rig.app.clock.now()));
    let company = format!("{window}.document.querySelector('h1')?.textContent === '株式会社さくら商事'");
    person.tab.until("the company", &company).await;
    let text = person.tab.eval(&format!("{window}.document.body.innerText")).await;
    assert!(text.as_str().unwrap().contains("着信"), "{text}");
    let styled = format!("{window}.getComputedStyle({window}.document.querySelector('h1')).fontSize");
    person.tab.until("the style", &format!("{styled} === '22px'")).await;
    person.tab.eval(&format!("{window}.document.querySelector('[data-order=answer]').click()")).await;
    commands.recv().await.expect("the answer reaches the core");
    // The page closed it: what is in it goes with it.
    person.tab.eval(&format!("{window}.close()")).await;
    person.tab.until("the end of the window", &format!("!{window}")).await;
    person.all_is_well().await;
    browser.close().await;
}
