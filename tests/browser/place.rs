//! The page as a place of work: what is told on the phone is written down for everybody, contacts have rules and whereabouts,
//! everything is found by Ctrl+K, callers who hung up are called back, and nothing is offered that is never allowed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::typing::commands_sent;
use crate::{KNOWN_CALLER, SAKURA, ms};

const TEXT: &str = "社長は15時まで外出。急ぎは営業部へ";

async fn shows_notice(person: &Person, text: &str) {
    let shown =
        format!("[...document.querySelectorAll('.daily .what')].some((one) => one.innerText === {text:?})");
    person.tab.until(text, &shown).await;
}

async fn has_no_notice(person: &Person) {
    person.tab.until("that it is over", "!document.querySelector('.daily .what')").await;
}

#[tokio::test]
async fn what_a_caller_tells_for_today_is_written_in_two_keys_and_is_on_every_desk() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let hana = Person::signs_in(&browser, &service, "1001").await;
    // No phone of hers rings, so that her view stays.
    let boss = Person::signs_in(&browser, &service, "2001").await;
    hana.is_ready().await;
    boss.tab.until("the board", "document.querySelector('[data-operator=\"1001\"]')").await;
    boss.tab.key("3").await;
    boss.presses(".accounts .list li button").await;
    boss.tab.until("the account", "document.querySelector('.accounts .daily')").await;

    let call = hana.takes_call(&lab).await;
    hana.tab.key("d").await;
    hana.tab.until("the field", "document.activeElement?.matches('[data-notice-form] input')").await;
    hana.tab.types("社長は15時").await;
    // What was typed is there again, also after a reload.
    hana.loads().await;
    hana.pop_is("talking").await;
    hana.is_connected().await;
    hana.tab.until("the desk's tools", "document.querySelector('[data-write-notice]:not([disabled])')").await;
    hana.tab.key("d").await;
    hana.tab.until("what was typed", "document.activeElement?.value === '社長は15時'").await;
    hana.tab.types("まで外出。急ぎは営業部へ").await;
    hana.looks("notice-form").await;
    hana.tab.eval("document.querySelector('[data-notice-form] input').focus()").await;
    hana.tab.key("Enter").await;
    shows_notice(&hana, TEXT).await;
    shows_notice(&boss, TEXT).await;
    assert!(boss.reads(".daily .when").await.contains("佐藤"), "{}", boss.reads(".daily .when").await);
    hana.looks("notice-pop").await;
    boss.looks("notice-account").await;

    // A supervisor corrects it, and ends it.
    boss.presses(".daily .when button").await;
    boss.tab.until("the text to change", &format!("document.activeElement?.value === {TEXT:?}")).await;
    boss.tab.types("（確認済み）").await;
    boss.tab.key("Enter").await;
    let changed = format!("{TEXT}（確認済み）");
    shows_notice(&hana, &changed).await;
    call.hang_up().await;
    // Keys right after a field that is gone are no orders, until Esc.
    boss.tab.key("Escape").await;
    boss.tab.key("1").await;
    boss.tab.until("it between calls", "document.querySelector('[data-today] .what')").await;
    boss.looks("notice-idle").await;
    boss.tab.key("3").await;
    boss.presses(".daily .when button:last-child").await;
    has_no_notice(&boss).await;
    boss.tab.key("1").await;
    boss.tab.until("no notice between calls", "!document.querySelector('[data-today]')").await;
    for person in [&hana, &boss] {
        person.all_is_well().await;
    }
    browser.close().await;
    service.stop().await;
}

/// The contacts of account 1, in their order.
async fn contacts(service: &Service) -> Vec<Value> {
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts", None).await;
    let account = accounts["items"].as_array().unwrap().iter().find(|one| one["code"] == "A001").unwrap();
    let path = format!("/v1/contacts?account={}", account["id"].as_str().unwrap());
    let (_, page) = service.ask("admin", Method::GET, &path, None).await;
    let mut contacts = page["items"].as_array().unwrap().clone();
    contacts.sort_by_key(|one| one["on_call_order"].as_u64().unwrap_or(u64::MAX));
    contacts
}

async fn change(service: &Service, contact: &Value, patch: Value) {
    let path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
    let (status, answer) = service.ask("admin", Method::PATCH, &path, Some(patch)).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_contact_who_takes_no_calls_gets_none_and_says_where_they_are() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let all = contacts(&service).await;
    let (first, second) = (&all[0], &all[1]);
    change(&service, second, json!({ "no_transfer": true, "do_not_tell": true })).await;
    lab.phone("1001").rings_for_ever().await;
    let hana = Person::signs_in(&browser, &service, "1001").await;
    let boss = Person::signs_in(&browser, &service, "2001").await;
    hana.is_ready().await;
    let before = commands_sent(&hana).len();
    let call = hana.takes_call(&lab).await;
    hana.tab.until("the rule", "document.querySelector('[data-contact=\"2\"] .tag')").await;
    let number = second["number"].as_str().unwrap();
    let shown = hana.reads("#contacts").await;
    assert!(!shown.contains(&number[number.len() - 4..]), "{number} in {shown}");
    assert_eq!(
        hana.tab.eval("document.querySelector('[data-contact=\"2\"] .ways') === null").await,
        json!(true)
    );

    // The digit says why nothing happens, and the typed number is refused by the daemon.
    hana.tab.key("t").await;
    hana.tab.until("the first contact", "document.activeElement?.closest('[data-contact=\"1\"]')").await;
    hana.tab.key("2").await;
    hana.tab
        .until("the reason", "document.querySelector('.notices')?.innerText.includes('取り次げません')")
        .await;
    hana.tab.key("Escape").await;
    hana.tab.eval("document.querySelector('#contacts form input').focus()").await;
    hana.tab.types(number).await;
    hana.presses("#contacts form button[value=blind]").await;
    hana.tab
        .until(
            "the refusal",
            "document.querySelector('.notices')?.innerText.includes('伝言をお受けください')",
        )
        .await;
    let sent = commands_sent(&hana).split_off(before);
    assert_eq!(sent.len(), 1, "only the typed number was sent: {sent:?}");
    hana.pop_is("talking").await;

    // Where the first is: two keys from their row.
    hana.tab.eval("document.querySelector('[data-contact=\"1\"] button').focus()").await;
    hana.tab.key("p").await;
    hana.tab.until("the places", "document.activeElement?.closest('[role=toolbar]')").await;
    hana.looks("presence-menu").await;
    hana.tab.eval("document.querySelector('[data-contact=\"1\"] [role=toolbar] button').focus()").await;
    hana.tab.key("2").await;
    hana.tab.until("out", "document.querySelector('[data-contact=\"1\"] [data-where=out]')").await;
    assert!(hana.reads("[data-contact=\"1\"] .where").await.contains("外出"));
    hana.looks("contact-rules").await;
    let path = format!("/v1/contacts/{}", first["id"].as_str().unwrap());
    let (_, known) = service.ask("admin", Method::GET, &path, None).await;
    assert_eq!(
        (&known["presence"]["state"], &known["presence"]["by_name"]),
        (&json!("out"), &json!("佐藤")),
        "{known}"
    );

    // Everybody with the account open sees it at once.
    boss.tab.until("the board", "document.querySelector('[data-operator=\"1001\"]')").await;
    boss.tab.key("3").await;
    boss.presses(".accounts .list li button").await;
    boss.tab
        .until("out, for the supervisor", "document.querySelector('.accounts .one [data-where=out]')")
        .await;
    call.hang_up().await;
    hana.all_is_well().await;
    boss.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// By microphone or from a file; operators hear it beside the name.
#[tokio::test]
async fn an_administrator_records_how_a_name_is_said_and_operators_play_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let user = json!({"name": "kanri", "role": "admin", "password": PASSWORD});
    let (status, answer) = service.ask("admin", Method::POST, "/v1/users", Some(user)).await;
    assert!(status.is_success(), "{answer}");
    let admin = Person::signs_in_too(&browser, &service, "kanri").await;
    admin.tab.permits(&admin.origin, "audioCapture").await;
    admin.tab.key("3").await;
    admin.presses(".accounts .list li button").await;
    admin.tab.until("nothing recorded", "document.querySelector('[data-pronunciation-editor] .soft')").await;
    assert_eq!(admin.tab.eval("document.querySelector('[data-pronunciation]')").await, Value::Null);
    admin.presses("[data-record]").await;
    admin.tab.until("the recording", "document.querySelector('[data-record][aria-pressed=true]')").await;
    admin.looks("pronunciation-recording").await;
    admin.presses("[data-record]").await;
    admin
        .tab
        .until(
            "what was recorded",
            "document.querySelector('[data-pronunciation-editor] [data-pronunciation]')",
        )
        .await;
    plays(&admin, "[data-pronunciation-editor]").await;
    // Anything but sound is refused with what to do.
    gives_a_file(&admin, "[1, 2, 3]").await;
    admin.tab.until("why not", "document.querySelector('.notices')?.innerText.includes('MP3')").await;
    gives_a_file(&admin, "new Array(300000).fill(79)").await;
    admin.tab.until("how much", "document.querySelector('.notices')?.innerText.includes('256 KiB')").await;

    let hana = Person::signs_in(&browser, &service, "1001").await;
    hana.is_ready().await;
    let call = hana.takes_call(&lab).await;
    hana.tab.until("the button", "document.querySelector('.company [data-pronunciation]')").await;
    plays(&hana, ".company").await;
    hana.looks("pronunciation").await;
    admin.presses("[data-erase]").await;
    admin.tab.until("nothing recorded", "document.querySelector('[data-pronunciation-editor] .soft')").await;
    call.hang_up().await;
    for person in [&hana, &admin] {
        person.all_is_well().await;
    }
    browser.close().await;
    service.stop().await;
}

/// The recording is heard: its time goes on.
async fn plays(person: &Person, within: &str) {
    person.presses(&format!("{within} [data-pronunciation]")).await;
    let heard = format!("document.querySelector('{within} audio').played.length === 1");
    person.tab.until("the sound", &heard).await;
}

/// Chooses a file with these bytes.
async fn gives_a_file(person: &Person, bytes: &str) {
    let choose = format!(
        "{{ const files = new DataTransfer(); files.items.add(new File([new Uint8Array({bytes})], 'name.mp3', {{ type: 'audio/mpeg' }})); \
         const field = document.querySelector('[data-pronunciation-editor] input[type=file]'); field.files = files.files; \
         field.dispatchEvent(new Event('change', {{ bubbles: true }})); 0 }}"
    );
    person.tab.eval(&choose).await;
}

async fn finds(person: &Person, text: &str, kind: &str, title: &str) {
    person.tab.chord("ctrl", "k").await;
    person.tab.until("the palette", "document.activeElement?.matches('[data-palette] input')").await;
    person.tab.types(text).await;
    let found = format!(
        "[...document.querySelectorAll('[data-palette] li')].some((one) => one.dataset.kind === {kind:?} && \
         one.querySelector('.title').innerText.includes({title:?}))"
    );
    person.tab.until(&format!("{title} by {text}"), &found).await;
}

#[tokio::test]
async fn everything_is_found_from_everywhere_in_any_writing() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    let call = person.takes_call(&lab).await;
    person.writes_a_message("納期を確かめて折り返し").await;
    // From inside the field: its text stays.
    finds(&person, "sakura", "nav.accounts", "株式会社さくら商事").await;
    person.tab.key("Escape").await;
    person
        .tab
        .until(
            "the message again",
            "document.querySelector('form.message textarea')?.value === '納期を確かめて折り返し'",
        )
        .await;
    person.saves_the_message().await;
    call.hang_up().await;
    person
        .tab
        .until("the end of the call", "document.querySelector('.pop[data-phase=over], #wrap-up')")
        .await;
    // To what waits, where the caret kept the call in front.
    person.tab.key("Escape").await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    for (text, kind, title) in [
        ("ｻｸﾗ", "nav.accounts", "株式会社さくら商事"),
        ("5550-1001", "nav.accounts", "株式会社さくら商事"),
        ("sasaki", "accounts.contacts", "佐々木"),
        ("たなか", "customer.title", "田中"),
        ("tanaka", "customer.title", "田中"),
        ("09012345678", "customer.title", "田中"),
        ("納期", "nav.messages", "納期を確かめて"),
    ] {
        finds(&person, text, kind, title).await;
        person.tab.key("Escape").await;
        person.tab.until("it to close", "!document.querySelector('[data-palette]')").await;
    }
    finds(&person, "たなか", "nav.past", "090-1234-5678").await;
    person.is_pictured("palette").await;
    person.is_accessible("palette").await;
    person.tab.eval("document.querySelector('[data-palette] input').focus()").await;
    person.tab.key("Escape").await;
    finds(&person, "sakura", "nav.accounts", "株式会社さくら商事").await;
    person.tab.key("Enter").await;
    person
        .tab
        .until("the account", "document.querySelector('.one h2')?.innerText.includes('さくら商事')")
        .await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_caller_who_hung_up_is_on_the_board_until_somebody_called_back() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let hana = Person::signs_in(&browser, &service, "1001").await;
    let boss = Person::signs_in(&browser, &service, "2001").await;
    hana.is_ready().await;
    boss.tab.until("the board", "document.querySelector('[data-operator=\"1001\"]')").await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    hana.pop_is("ringing").await;
    hana.tab.until("the queue", "document.querySelector('[data-queue=\"1\"]')").await;
    call.hang_up().await;
    hana.has_no_pop().await;
    boss.tab.until("the caller", "document.querySelector('[data-callback=open]')").await;
    assert!(boss.reads("[data-callback]").await.contains("090-1234-5678"));
    boss.looks("callbacks").await;
    boss.presses("[data-callback=open] .do button").await;
    boss.tab.until("that it is taken", "document.querySelector('[data-callback=taken]')").await;
    boss.presses("[data-callback=taken] .do button").await;
    boss.tab.until("that it is done", "!document.querySelector('[data-callback]')").await;
    hana.tab.until("nobody waits", "document.querySelector('[data-queue=\"0\"]')").await;

    // Calls of an account that is never monitored offer no monitoring.
    service.change_account("A001", json!({ "never_monitor": true })).await;
    boss.loads().await;
    boss.is_connected().await;
    lab.phone("1001").answers_after(ms(50)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    hana.pop_is("talking").await;
    let row = "document.querySelector('[data-operator=\"1001\"]')";
    boss.tab.until("why not", &format!("{row}?.innerText.includes('モニタリング禁止')")).await;
    assert_eq!(boss.tab.eval(&format!("{row}.querySelector('.modes') === null")).await, json!(true));
    boss.looks("never-monitored").await;
    call.hang_up().await;
    boss.all_is_well().await;
    hana.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
