//! Nobody's typing is lost, and no key that was typed into a field becomes a command: through pops, ends of calls, the end
//! of the after-call work, reloads and sign-outs, with a keyboard and with an input method (IME).
use reqwest::Method;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::gateway_rig::{self, Rig, ringing};
use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA};

/// Each letter is a command outside a field; what an operator writes has all of them.
const COMMANDS: &str = "ahtcxsenmwr 12345";
/// After-call work that ends by its time while the test waits.
const SHORT: &[(&str, &str)] = &[("OPERATORS__WRAP_UP_SECONDS", "6")];

/// The requests of the page that change something, without those that confirm a pop.
pub(crate) fn commands_sent(person: &Person) -> Vec<String> {
    let requests = person.tab.events("Network.requestWillBeSent");
    let text = |request: &Value| {
        let (method, url) = (request["request"]["method"].as_str()?, request["request"]["url"].as_str()?);
        // What is typed goes to the daemon as a draft.
        let is_draft = url.contains("/v1/drafts/");
        // The form of the script, and who would get the message, are asked for; nothing is changed by it.
        let is_form = url.ends_with("/scripts/evaluate") || url.ends_with("/routes/explain");
        (method != "GET" && !is_draft && !is_form && !url.ends_with("/ack") && !url.ends_with("/session"))
            .then(|| format!("{method} {}", url.split("/v1/").last().unwrap_or_default()))
    };
    requests.iter().filter_map(text).collect()
}

/// Presses and releases each key, as a person does who types.
async fn types_keys(person: &Person, text: &str) {
    for key in text.chars() {
        person.tab.key(&key.to_string()).await;
    }
}

/// Composes and commits text as an input method does: keys are reported as 229, the text as a composition.
async fn composes(person: &Person, kana: &str, text: &str) {
    begins_to_compose(person, kana).await;
    commits(person, text).await;
}

async fn begins_to_compose(person: &Person, kana: &str) {
    let process =
        json!({ "type": "rawKeyDown", "key": "Process", "code": "KeyA", "windowsVirtualKeyCode": 229 });
    person.tab.call("Input.dispatchKeyEvent", process).await;
    let end = kana.encode_utf16().count();
    let composition = json!({ "text": kana, "selectionStart": end, "selectionEnd": end });
    person.tab.call("Input.imeSetComposition", composition).await;
}

async fn commits(person: &Person, text: &str) {
    // The Enter that commits belongs to the input method.
    let enter =
        json!({ "type": "rawKeyDown", "key": "Process", "code": "Enter", "windowsVirtualKeyCode": 229 });
    person.tab.call("Input.dispatchKeyEvent", enter).await;
    person.tab.types(text).await;
}

/// Checks the view without moving the caret, as [`Person::looks`] would.
async fn looks_well(person: &Person, name: &str) {
    person.is_pictured(&format!("{name}-ja-light-1280")).await;
    person.fits(name).await;
    person.is_accessible(name).await;
}

/// The value of the field with the caret, and which field it is.
async fn has_caret_in(person: &Person, selector: &str, value: &str) {
    let is = format!(
        "document.activeElement?.matches({selector:?}) && document.activeElement.value === {value:?}"
    );
    person.tab.until(&format!("the caret in {selector} after {value:?}"), &is).await;
}

async fn band_says(person: &Person, words: &str) {
    let says = format!("document.querySelector('.band')?.innerText.includes({words:?})");
    person.tab.until(&format!("the band with {words}"), &says).await;
}

#[tokio::test]
async fn no_key_that_is_typed_becomes_a_command_in_any_transition_and_nothing_is_lost() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let browser = Chromium::start().await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    let before = commands_sent(&person).len();

    let call = while_a_call_rings_and_is_answered(&lab, &person, before).await;
    let message = while_the_caller_hangs_up(&person, call, before).await;
    while_the_after_call_work_ends(&lab, &service, &person, before).await;
    the_draft_is_still_there(&service, &person, &message).await;
    what_was_recorded_is_in_the_history(&person).await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// A search among the accounts, while a call rings and is answered.
async fn while_a_call_rings_and_is_answered<'a>(
    lab: &'a Lab,
    person: &Person,
    before: usize,
) -> PlacedCall<'a> {
    person.tab.key("/").await;
    has_caret_in(person, "[data-find]", "").await;
    types_keys(person, "ahr").await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    band_says(person, "株式会社さくら商事").await;
    band_says(person, "さくら商事でございます").await;
    band_says(person, "090-1234-5678").await;
    types_keys(person, COMMANDS).await;
    looks_well(person, "band-ringing").await;
    composes(person, "さくら", "桜").await;
    has_caret_in(person, "[data-find]", &format!("ahr{COMMANDS}桜")).await;
    lab.phone("1001").answers().await;
    band_says(person, "通話中").await;
    types_keys(person, "a").await;
    has_caret_in(person, "[data-find]", &format!("ahr{COMMANDS}桜a")).await;
    assert_eq!(commands_sent(person).split_off(before), Vec::<String>::new());
    // The Escape of the input method cancels its composition; the person's own goes to the call.
    begins_to_compose(person, "か").await;
    let cancel =
        json!({ "type": "rawKeyDown", "key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 229 });
    person.tab.call("Input.dispatchKeyEvent", cancel).await;
    person.tab.until("the view as it is", "document.querySelector('.accounts')").await;
    commits(person, "か").await;
    person.tab.key("Escape").await;
    person.pop_is("talking").await;
    call
}

/// A message, while the caller hangs up in the middle of a composition. Returns what was written.
async fn while_the_caller_hangs_up(person: &Person, call: PlacedCall<'_>, before: usize) -> String {
    person.tab.key("m").await;
    has_caret_in(person, "form.message textarea", "").await;
    types_keys(person, COMMANDS).await;
    begins_to_compose(person, "のうき").await;
    call.hang_up().await;
    // The after-call work comes below; the field, its caret and what is being composed stay.
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    assert_eq!(person.tab.eval("document.activeElement.matches('form.message textarea')").await, json!(true));
    looks_well(person, "after-call-while-writing").await;
    commits(person, "納期").await;
    types_keys(person, "er").await;
    let message = person.tab.eval("document.activeElement.value").await;
    let message = message.as_str().unwrap().to_owned();
    assert!(message.starts_with(COMMANDS) && message.ends_with("er"), "{message}");
    assert!(message.contains("納期"), "{message}");
    let sent = commands_sent(person).split_off(before);
    assert!(sent.iter().all(|one| one.ends_with("wrap-up/extend")), "{sent:?}");
    message
}

/// After-call work, while its time ends and the next call rings.
async fn while_the_after_call_work_ends(lab: &Lab, service: &Service, person: &Person, before: usize) {
    person.tab.key("Escape").await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up textarea')").await;
    person.tab.eval("document.querySelector('#wrap-up textarea').focus()").await;
    types_keys(person, COMMANDS).await;
    person.tab.eval("document.querySelector('#wrap-up input[value=message]').click()").await;
    person.tab.eval("document.querySelector('#wrap-up textarea').focus()").await;
    let over = "document.querySelector('#wrap-up .warn')?.innerText.includes('メモは保存しました')";
    person.tab.until("the end of the time", over).await;
    has_caret_in(person, "#wrap-up textarea", COMMANDS).await;
    looks_well(person, "wrap-up-late").await;
    let next = lab.place_call(CallSpec::new("0312345678", SAKURA)).await;
    band_says(person, "03-1234-5678").await;
    types_keys(person, "aE").await;
    composes(person, "あ", "亜").await;
    has_caret_in(person, "#wrap-up textarea", &format!("{COMMANDS}aE亜")).await;
    let sent = commands_sent(person).split_off(before);
    let expected = |one: &String| one.ends_with("wrap-up/extend") || one.ends_with("wrap-up/notes");
    assert!(sent.iter().all(expected), "{sent:?}");
    // The work stays until the call is answered or the work is finished, though the caret left its fields.
    person.tab.eval("document.activeElement.blur()").await;
    band_says(person, "03-1234-5678").await;
    // The result is recorded while the call rings, and then the call is in front.
    person.presses("#wrap-up .main").await;
    person.pop_is("ringing").await;
    let path = "/v1/history?limit=5";
    eventually("the result and all notes in the history", async || {
        let (_, page) = service.ask("1001", Method::GET, path, None).await;
        let one = &page["items"][0]["wrap_ups"][0];
        let wanted = (json!("message"), json!(format!("{COMMANDS}aE亜")));
        if (one["disposition"].clone(), one["notes"].clone()) == wanted {
            Ok(())
        } else {
            Err(page.to_string())
        }
    })
    .await;
    next.hang_up().await;
    person.has_no_pop().await;
}

/// The message was never saved: it is a draft, over a reload and the end of the sign-in, and for its writer alone.
async fn the_draft_is_still_there(service: &Service, person: &Person, message: &str) {
    let listed = format!("document.querySelector('[data-draft]')?.innerText.includes({message:?})");
    person.tab.key("4").await;
    person.tab.until("the draft", &listed).await;
    person.looks("drafts").await;
    person.loads().await;
    person.is_connected().await;
    person.tab.key("4").await;
    person.tab.until("the draft after a reload", &listed).await;
    // Signing out asks first.
    person.presses("header .right .small").await;
    let why = "document.querySelector('.notices').innerText.includes('書きかけの内容があります')";
    person.tab.until("why not", why).await;
    // The session ends at the daemon.
    let cookies = person.tab.call("Network.getCookies", json!({})).await;
    person.tab.call("Network.clearBrowserCookies", json!({})).await;
    assert_eq!(cookies["cookies"].as_array().unwrap().len(), 1);
    person.loads().await;
    crate::person::give_password(service, "1002").await;
    person.enters("1002", PASSWORD).await;
    person.is_connected().await;
    person.tab.key("4").await;
    person.tab.until("the messages", "document.querySelector('.page h1')").await;
    assert_eq!(
        person.tab.eval("document.querySelector('[data-draft]')").await,
        Value::Null,
        "another person's"
    );
    person.presses("header .right .small").await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    person.tab.key("4").await;
    person.tab.until("the draft after signing in again", &listed).await;
    // It can be written on and saved, though its call is over.
    person.presses("[data-draft] .do button").await;
    person.tab.until("the form", "document.activeElement?.matches('[data-draft] textarea')").await;
    person.presses("[data-draft] .main").await;
    let saved = format!("document.querySelector('[data-message]')?.innerText.includes({message:?})");
    person.tab.until("the message", &saved).await;
    person.tab.until("no draft", "!document.querySelector('[data-draft]')").await;
}

/// With operator, result and notes; a row opens to everything that was written, and the filter chooses.
async fn what_was_recorded_is_in_the_history(person: &Person) {
    person.tab.key("3").await;
    person.tab.until("the notes", "document.querySelector('table.whole')?.innerText.includes('aE亜')").await;
    let row = "[...document.querySelectorAll('tr[data-call]')].find((one) => one.innerText.includes('亜'))";
    let text = person.tab.eval(&format!("{row}.innerText")).await;
    for part in ["佐藤", "伝言", "090-1234-5678", "田中太郎"] {
        assert!(text.as_str().unwrap().contains(part), "{part}: {text}");
    }
    person.tab.eval(&format!("{row}.querySelector('button').click()")).await;
    person.tab.until("the message", "document.querySelector('tr.detail')?.innerText.includes('納期')").await;
    person.tab.until("the course", "document.querySelectorAll('tr.detail li').length > 1").await;
    person.looks("history-detail").await;
    let choose = "{ const one = [...document.querySelectorAll('.filter select')].at(-1); one.value = OUTCOME; \
                  one.dispatchEvent(new Event('change', { bubbles: true })); 0 }";
    person.tab.eval(&choose.replace("OUTCOME", "'abandoned'")).await;
    let none = "!document.querySelector('tr[data-call]') && \
                document.querySelector('main').innerText.includes('条件に合う通話はありません')";
    person.tab.until("that no call of this operator was abandoned", none).await;
    person.tab.eval(&choose.replace("OUTCOME", "'answered'")).await;
    person.tab.until("the answered call", row).await;
}

/// A person for whom a call rings. There is no core: a command is refused at once.
async fn rings_without_a_core() -> (Rig, Chromium, Person) {
    let mut rig = Rig::start().await;
    drop(rig.commands.take());
    let browser = Chromium::start().await;
    let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", gateway_rig::PASSWORD).await;
    person.is_connected().await;
    rig.publish(ringing(1, &["1001"], crate::hostile::pop("株式会社さくら商事"), rig.app.clock.now()));
    person.pop_is("ringing").await;
    (rig, browser, person)
}

/// A field that the page takes away all the same: the keys that follow are no commands.
#[tokio::test]
async fn keys_after_a_field_was_taken_away_are_no_commands() {
    let (_rig, browser, person) = rings_without_a_core().await;
    person.tab.key("/").await;
    has_caret_in(&person, "[data-find]", "").await;
    types_keys(&person, "ab").await;
    let before = commands_sent(&person).len();
    person.tab.eval("document.querySelector('[data-find]').remove()").await;
    types_keys(&person, "aAhrsE").await;
    person.tab.key("Enter").await;
    assert_eq!(commands_sent(&person).split_off(before), Vec::<String>::new());
    assert_eq!(person.tab.eval("document.querySelector('.menu')").await, Value::Null, "nothing was opened");
    // A person who left the field gives commands at once; a key that is held down gives one.
    person.tab.key("Escape").await;
    person.tab.key("1").await;
    person.pop_is("ringing").await;
    for auto in [false, true, true] {
        let down = json!({ "type": "keyDown", "key": "a", "text": "a", "autoRepeat": auto });
        person.tab.call("Input.dispatchKeyEvent", down).await;
    }
    let refused = "document.querySelector('.notice.error')";
    person.tab.until("the daemon's word about the command", refused).await;
    let answers = commands_sent(&person).into_iter().filter(|one| one.ends_with("/answer")).count();
    assert_eq!(answers, 1);
    browser.close().await;
}

/// A function key gives an order from inside a field, while an input method is on, too; the field keeps its text and its
/// caret. Keys with Alt are no orders, and what is being composed is the input method's. Esc closes what the page said last.
#[tokio::test]
async fn a_function_key_gives_an_order_from_inside_a_field() {
    let (_rig, browser, person) = rings_without_a_core().await;
    // Those who hear the page are told who calls.
    let said =
        "document.querySelector('#said[role=alert]').textContent.startsWith('着信、株式会社さくら商事、')";
    person.tab.until("that it is said", said).await;
    person.tab.key("/").await;
    has_caret_in(&person, "[data-find]", "").await;
    types_keys(&person, "ab").await;
    let answers = || commands_sent(&person).into_iter().filter(|one| one.ends_with("/answer")).count();
    person.tab.key("F2").await;
    let refused = "document.querySelector('.notice.error')";
    person.tab.until("the daemon's word about the command", refused).await;
    assert_eq!(answers(), 1);
    has_caret_in(&person, "[data-find]", "ab").await;
    person.tab.key("Escape").await;
    person.tab.until("that nothing is said any more", "!document.querySelector('.notice')").await;
    // The browser itself empties a search field at Escape.
    has_caret_in(&person, "[data-find]", "").await;
    types_keys(&person, "ab").await;
    // What is not allowed now does nothing, nor do keys that mean something else or nothing.
    for key in ["F4", "F6", "F7", "F8", "F9", "F10"] {
        person.tab.key(key).await;
    }
    for (modifiers, key) in [("shift", "F2"), ("ctrl", "F2"), ("shift", "F4"), ("alt", "F2")] {
        person.tab.chord(modifiers, key).await;
    }
    for key in ["a", "h", "t", "s", "e"] {
        person.tab.chord("alt", key).await;
    }
    // While something is composed the key is the input method's.
    begins_to_compose(&person, "か").await;
    let taken = json!({ "type": "rawKeyDown", "key": "Process", "code": "F2", "windowsVirtualKeyCode": 229 });
    person.tab.call("Input.dispatchKeyEvent", taken).await;
    person.tab.key("F2").await;
    commits(&person, "か").await;
    has_caret_in(&person, "[data-find]", "abか").await;
    person.tab.key("F2").await;
    person.tab.until("the daemon's word about the command", refused).await;
    assert_eq!(answers(), 2);
    assert_eq!(commands_sent(&person).iter().filter(|one| one.contains("calls/")).count(), 2);
    has_caret_in(&person, "[data-find]", "abか").await;
    browser.close().await;
}

/// A refused message can be corrected, and what was corrected is one message.
#[tokio::test]
async fn a_refused_message_is_corrected_and_survives_a_reload() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    let call = person.takes_call(&lab).await;
    // The daemon is away while the message is written, and refuses it later.
    person.tab.key("m").await;
    has_caret_in(&person, "form.message textarea", "").await;
    person.tab.types("納期を確認してほしい").await;
    person.tab.until("that the page is kept", crate::connection::KEPT).await;
    service.stop().await;
    person.tab.until("that it is gone", "document.querySelector('.link:not([data-phase=live])')").await;
    person.presses("form.message .main").await;
    let waits = "document.querySelector('#unsaved')?.innerText.includes('1件')";
    person.tab.until("that it waits", waits).await;
    // The page asks before it is left; what waits is there again afterwards all the same.
    let leaves = async {
        person.tab.wait_event("Page.javascriptDialogOpening").await;
        person.tab.call("Page.handleJavaScriptDialog", json!({ "accept": true })).await;
    };
    tokio::join!(person.loads(), leaves);
    person.tab.until("that it waits after a reload", waits).await;
    person.tab.holds_requests("*/v1/messages", "Request").await;
    service.again().await;
    let paused = person.tab.wait_event("Fetch.requestPaused").await;
    let refusal = json!({
        "requestId": paused["requestId"], "responseCode": 422, "body": "eyJ0eXBlIjoiaW52YWxpZC1ib2R5In0=",
    });
    person.tab.call("Fetch.fulfillRequest", refusal).await;
    person.tab.call("Fetch.disable", json!({})).await;
    person.tab.key("4").await;
    person.presses("[data-unsaved=refused] .correct").await;
    has_caret_in(&person, "[data-draft] textarea", "納期を確認してほしい").await;
    person.tab.types("（至急）").await;
    person.looks("message-corrected").await;
    person.loads().await;
    person.is_connected().await;
    person.tab.key("4").await;
    person.presses("[data-draft] .do button").await;
    has_caret_in(&person, "[data-draft] textarea", "納期を確認してほしい（至急）").await;
    person.presses("[data-draft] .main").await;
    person
        .tab
        .until("the message", "document.querySelector('[data-message]')?.innerText.includes('至急')")
        .await;
    let (_, page) = service.ask("admin", Method::GET, "/v1/messages", None).await;
    let texts: Vec<&Value> = page["items"].as_array().unwrap().iter().map(|one| &one["text"]).collect();
    assert_eq!(texts, ["納期を確認してほしい（至急）"]);
    call.hang_up().await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
