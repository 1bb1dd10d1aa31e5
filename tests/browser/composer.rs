//! The composer: stories of an operator by keyboard alone, with the keys counted that are no text; a draft that is at the
//! daemon a second after the last key and back after a reload, and after the crash of browser and daemon; a message that is
//! taken back; a call without a message; and a connection that is lost before anybody opened it.

use std::cell::Cell;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::chromium::Chromium;
use crate::person::{Person, SAVED};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA};

/// A caller without a record.
const UNKNOWN_CALLER: &str = "0312345678";
/// Most keys besides text for a message of a known caller, of an unknown one, and for none.
const KNOWN_KEYS_MAX: u32 = 8;
const UNKNOWN_KEYS_MAX: u32 = 16;
const NONE_KEYS_MAX: u32 = 2;

const TEXT: &str = "form.message textarea";

/// The keys of one story.
struct Keys<'a> {
    person: &'a Person,
    pressed: Cell<u32>,
}

impl<'a> Keys<'a> {
    fn of(person: &'a Person) -> Self {
        Self { person, pressed: Cell::new(0) }
    }

    async fn key(&self, key: &str) {
        self.pressed.set(self.pressed.get() + 1);
        self.person.tab.key(key).await;
    }

    /// A chord is one key.
    async fn chord(&self, modifiers: &str, key: &str) {
        self.pressed.set(self.pressed.get() + 1);
        self.person.tab.chord(modifiers, key).await;
    }

    /// Text is not counted.
    async fn types(&self, text: &str) {
        self.person.tab.types(text).await;
    }

    async fn has_caret_in(&self, selector: &str) {
        let is = format!("document.activeElement?.matches({selector:?})");
        self.person.tab.until(&format!("the caret in {selector}"), &is).await;
    }

    async fn has_saved(&self) {
        self.person.tab.until("that it is saved", SAVED).await;
    }
}

/// The newest message.
async fn newest(service: &Service) -> Value {
    let (_, page) = service.ask("admin", Method::GET, "/v1/messages?limit=1", None).await;
    page["items"][0].clone()
}

#[tokio::test]
async fn a_message_takes_few_keys_and_comes_back_when_it_is_withdrawn() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("MESSAGES__UNDO_SECONDS", "60")]).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;

    let call = person.takes_call(&lab).await;
    a_known_caller_wants_to_be_called_back(&lab, &person, &service).await;
    the_message_is_taken_back(&person, &service).await;
    the_draft_is_at_the_daemon_and_back_after_a_reload(&person, &service).await;
    call.hang_up().await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    the_work_is_finished_with_the_message(&person, &service).await;

    let call = lab.place_call(CallSpec::new(UNKNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    an_unknown_caller_complains(&person, &service).await;
    call.hang_up().await;

    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// Reason, whom it is for, text, save.
async fn a_known_caller_wants_to_be_called_back(lab: &Lab, person: &Person, service: &Service) {
    let keys = Keys::of(person);
    let reasons = "document.querySelectorAll('form.message [role=radiogroup] input').length === 6";
    keys.key("m").await;
    keys.has_caret_in(TEXT).await;
    person.tab.until("the reasons", reasons).await;
    keys.chord("alt", "1").await;
    keys.chord("alt", "a").await;
    keys.has_caret_in("form.message [role=combobox]").await;
    keys.types("ささ").await;
    person
        .tab
        .until("the contact", "document.querySelectorAll('form.message [role=option]').length === 1")
        .await;
    keys.key("Enter").await;
    keys.has_caret_in(TEXT).await;
    keys.types("注文1234の納期を確認したい").await;
    the_caller_is_held_from_inside_the_text(lab, person).await;
    assert!(person.reads("form.message .identity").await.contains("田中太郎"));
    keys.chord("ctrl", "Enter").await;
    keys.has_saved().await;
    assert!(keys.pressed.get() <= KNOWN_KEYS_MAX, "{} keys", keys.pressed.get());
    let message = newest(service).await;
    assert_eq!(
        (&message["text"], &message["reason"]),
        (&json!("注文1234の納期を確認したい"), &json!("inquiry"))
    );
    assert_eq!(message["from"]["name"], "タナカタロウ");
    assert_eq!(message["from"]["name_kanji"], "田中太郎");
    let contact = message["contact"].as_str().unwrap();
    let (_, contact) = service.ask("admin", Method::GET, &format!("/v1/contacts/{contact}"), None).await;
    assert_eq!(contact["name"], "佐々木健");
    println!("keys of a message of a known caller: {}", keys.pressed.get());
}

/// The keys of the call and those of the form do not meet: Alt+A and Alt+H are the form's, F4 is the call's, and Alt+F4 is
/// nobody's. The phone of this desk puts callers on hold by its own key alone.
async fn the_caller_is_held_from_inside_the_text(lab: &Lab, person: &Person) {
    let caret = format!("document.activeElement?.matches({TEXT:?})");
    sends(person, "F4", &["hold"]).await;
    // What this phone has refused is offered no more; the key asks again.
    let by_hand = "document.querySelector('[data-by-hand]') && !document.querySelector('[data-order=hold]')";
    person.tab.until("that its own keys are named", by_hand).await;
    lab.phone("1001").holds().await;
    person.pop_is("held").await;
    person.tab.until("the caret where it was", &caret).await;
    person.tab.chord("alt", "h").await;
    let hold = "document.activeElement?.matches('form.message [data-key=h]')";
    person.tab.until("the time until which it is held", hold).await;
    person.tab.eval(&format!("document.querySelector({TEXT:?}).focus()")).await;
    person.tab.chord("alt", "F4").await;
    person.pop_is("held").await;
    sends(person, "F4", &["hold", "resume"]).await;
    lab.phone("1001").resumes().await;
    person.pop_is("talking").await;
    person.tab.until("the caret where it was", &caret).await;
    // With an input method on, a key with Alt may have no name but its place.
    for pressed in ["true", "false"] {
        let alt = json!({ "type": "rawKeyDown", "key": "Process", "code": "KeyU", "windowsVirtualKeyCode": 229,
            "modifiers": 1 });
        person.tab.call("Input.dispatchKeyEvent", alt).await;
        let urgent = format!("document.querySelector('[data-chip=urgent][aria-pressed={pressed}]')");
        person.tab.until("the urgency", &urgent).await;
    }
}

/// This key sends this command for the call, and no command was sent before it.
async fn sends(person: &Person, key: &str, all: &[&str]) {
    person.tab.key(key).await;
    eventually("the command", async || {
        let sent = person.tab.events("Network.requestWillBeSent");
        let command = |one: &Value| {
            let url = one["request"]["url"].as_str()?;
            // That the pop is shown is no command.
            let is_command =
                one["request"]["method"] == "POST" && url.contains("/v1/calls/") && !url.ends_with("/ack");
            is_command.then(|| url.rsplit('/').next().unwrap_or_default().to_owned())
        };
        let commands: Vec<String> = sent.iter().filter_map(command).collect();
        if commands == all { Ok(()) } else { Err(format!("{commands:?}")) }
    })
    .await;
}

/// By Z, and what was written is in the form again.
async fn the_message_is_taken_back(person: &Person, service: &Service) {
    let withdrawn = newest(service).await;
    person.tab.key("z").await;
    let back = format!("document.querySelector({TEXT:?})?.value.includes('納期を確認')");
    person.tab.until("the form with the text", &back).await;
    let path = format!("/v1/messages/{}", withdrawn["id"].as_str().unwrap());
    let (_, message) = service.ask("admin", Method::GET, &path, None).await;
    assert!(message["withdrawn_at"].is_string(), "{message}");
    assert_eq!(newest(service).await, Value::Null, "it is in no list");
    assert!(person.reads("form.message .chip:has(:checked)").await.contains("お問い合わせ"));
}

/// Alt+F: what, by when, by whom.
async fn something_is_to_be_done_later(person: &Person) {
    person.tab.chord("alt", "f").await;
    let what = "document.activeElement?.matches('form.message [data-key=f]')";
    person.tab.until("what is to be done later", what).await;
    person.tab.types("見積書を送る").await;
    // How a time is typed depends on the browser's language.
    let choose = "{ const set = (name, value) => { \
            const field = document.querySelector(`form.message [data-follow-up-${name}]`); field.value = value; \
            for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, { bubbles: true })); }; \
        set('at', new Date(Date.now() + 7 * 86400000).toISOString().slice(0, 16)); set('by', 'contact'); 0 }";
    person.tab.eval(choose).await;
}

async fn the_draft_is_at_the_daemon_and_back_after_a_reload(person: &Person, service: &Service) {
    something_is_to_be_done_later(person).await;
    person.tab.eval(&format!("document.querySelector({TEXT:?}).focus()")).await;
    person.tab.types("。17時まで").await;
    let draft = async || {
        let (status, list) = service.ask("1001", Method::GET, "/v1/drafts", None).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let text = list["items"][0]["body"]["text"].as_str().unwrap_or_default().to_owned();
        if text.ends_with("17時まで") { Ok(()) } else { Err(list.to_string()) }
    };
    eventually("the draft at the daemon", draft).await;
    // Another browser of the same person: nothing but the daemon knows the draft.
    person.tab.eval("localStorage.clear(), sessionStorage.clear(), 0").await;
    person.loads().await;
    person.is_connected().await;
    let at_the_end = format!(
        "document.activeElement?.matches({TEXT:?}) && document.activeElement.value.endsWith('17時まで') && \
         document.activeElement.selectionStart === document.activeElement.value.length"
    );
    person.tab.until("the form as it was, with the caret at the end", &at_the_end).await;
    the_window_is_closed_on_the_last_key(person, service).await;
    let (_, another) = service.ask("2001", Method::GET, "/v1/drafts", None).await;
    assert_eq!(another["items"], json!([]), "of nobody else");
    person.looks("composer-known").await;
}

/// Nothing is kept in this browser, and the page goes before its second is over.
async fn the_window_is_closed_on_the_last_key(person: &Person, service: &Service) {
    let keeps = |keep: bool| {
        format!(
            "{{ const all = JSON.parse(localStorage.getItem('toritsugi.prefs') ?? '{{}}'); \
             localStorage.setItem('toritsugi.prefs', JSON.stringify({{ ...all, keep: {keep} }})); 0 }}"
        )
    };
    person.tab.eval(&keeps(false)).await;
    person.loads().await;
    person.is_connected().await;
    person.tab.until("the form", &format!("document.activeElement?.matches({TEXT:?})")).await;
    person.tab.types("。至急").await;
    person.tab.call("Page.navigate", json!({ "url": "about:blank" })).await;
    eventually("the last letters at the daemon", async || {
        let (_, list) = service.ask("1001", Method::GET, "/v1/drafts", None).await;
        let text = list["items"][0]["body"]["text"].as_str().unwrap_or_default().to_owned();
        if text.ends_with("。至急") { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
    person.loads().await;
    person.is_connected().await;
    person.tab.eval(&keeps(true)).await;
    let back = format!("document.querySelector({TEXT:?})?.value.endsWith('。至急')");
    person.tab.until("the last letters", &back).await;
}

/// Ctrl+Shift+Enter saves and ends the after-call work.
async fn the_work_is_finished_with_the_message(person: &Person, service: &Service) {
    let keys = Keys::of(person);
    person.tab.until("the form", &format!("document.querySelector({TEXT:?})")).await;
    person.tab.eval(&format!("document.querySelector({TEXT:?}).focus()")).await;
    keys.chord("ctrl+shift", "Enter").await;
    person.tab.until("the end of the work", "!document.querySelector('#wrap-up')").await;
    let message = newest(service).await;
    assert_eq!(message["text"], "注文1234の納期を確認したい。17時まで。至急");
    let follow_up = &message["follow_up"];
    assert_eq!([&follow_up["text"], &follow_up["by"]], ["見積書を送る", "contact"], "{message}");
    person.shows_state("ready").await;
    eventually("no draft, and the disposition in the history", async || {
        let (_, drafts) = service.ask("1001", Method::GET, "/v1/drafts", None).await;
        let (_, page) = service.ask("1001", Method::GET, "/v1/history?limit=1", None).await;
        let disposition = page["items"][0]["wrap_ups"][0]["disposition"].clone();
        if drafts["items"] == json!([]) && disposition == "message" {
            Ok(())
        } else {
            Err(format!("{drafts} {page}"))
        }
    })
    .await;
}

/// A common surname: the form asks for department and gender. The number is told.
async fn an_unknown_caller_complains(person: &Person, service: &Service) {
    let keys = Keys::of(person);
    keys.key("m").await;
    keys.has_caret_in(TEXT).await;
    keys.chord("alt", "2").await;
    keys.chord("alt", "n").await;
    keys.has_caret_in("form.message [data-key=n]").await;
    keys.types("やまもと").await;
    person
        .tab
        .until("the question for the gender", "document.querySelector('form.message option[value=f]')")
        .await;
    keys.key("Enter").await;
    keys.types("港商事").await;
    keys.key("Enter").await;
    keys.types("090-9999-8888").await;
    keys.key("Enter").await;
    keys.types("経理部").await;
    keys.key("Enter").await;
    keys.has_caret_in("form.message [data-gender]").await;
    keys.key("f").await;
    keys.key("Enter").await;
    keys.has_caret_in(TEXT).await;
    keys.types("請求書の金額が違う").await;
    keys.chord("alt", "c").await;
    person.tab.until("the mark", "document.querySelector('[data-chip=complaint][aria-pressed=true]')").await;
    person.looks("composer-unknown").await;
    person.tab.eval(&format!("document.querySelector({TEXT:?}).focus()")).await;
    keys.chord("ctrl", "Enter").await;
    keys.has_saved().await;
    assert!(keys.pressed.get() <= UNKNOWN_KEYS_MAX, "{} keys", keys.pressed.get());
    let message = newest(service).await;
    let from = json!({"name": "ヤマモト", "company": "港商事", "department": "経理部", "gender": "f",
        "number": "090-9999-8888", "number_is": "told"});
    assert_eq!(message["from"], from);
    assert_eq!([&message["mark"], &message["urgency"], &message["reason"]], ["complaint", "urgent", "order"]);
    person.tab.key("4").await;
    person.tab.until("the list", "document.querySelectorAll('[data-message]').length === 2").await;
    person.tab.eval("document.querySelector('[data-search]').focus()").await;
    person.tab.types("ﾔﾏﾓﾄ 請求").await;
    person.tab.key("Enter").await;
    person.tab.until("the found one", "document.querySelectorAll('[data-message]').length === 1").await;
    person.looks("messages-found").await;
    println!("keys of a message of an unknown caller with a common surname: {}", keys.pressed.get());
}

#[tokio::test]
async fn a_call_without_a_message_needs_a_reason_and_two_keys() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("MESSAGES__REQUIRED", "true")]).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    call.hang_up().await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    // A disposition that is no reason is refused, and the page says what to do.
    person.presses("#wrap-up input[value=message]").await;
    person.presses("#wrap-up .main").await;
    let why = "document.querySelector('.notices').innerText.includes('伝言がありません')";
    person.tab.until("why not", why).await;
    let keys = Keys::of(&person);
    keys.chord("alt", "0").await;
    person.tab.until("the reasons", "document.activeElement?.closest('.none')").await;
    person.looks("no-message").await;
    person.tab.eval("document.querySelector('.none button').focus()").await;
    keys.key("1").await;
    person.tab.until("the end of the work", "!document.querySelector('#wrap-up')").await;
    assert!(keys.pressed.get() <= NONE_KEYS_MAX, "{} keys", keys.pressed.get());
    eventually("the reason in the history", async || {
        let (_, page) = service.ask("1001", Method::GET, "/v1/history?limit=1", None).await;
        let disposition = page["items"][0]["wrap_ups"][0]["disposition"].clone();
        if disposition == "informed" { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// The daemon as a process of its own; killed when the value is dropped.
async fn process(service: &Service) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command.arg("serve").envs(service.environment.iter().cloned()).env("TORITSUGI__LOG__LEVEL", "error");
    let daemon = command.kill_on_drop(true).spawn().unwrap();
    eventually("the daemon", async || match service.request("admin", Method::GET, "/readyz").send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    daemon
}

/// What was typed a second ago is lost by nobody's crash: another browser has it, of a daemon that was started again.
#[tokio::test]
async fn a_draft_survives_the_crash_of_the_browser_and_of_the_daemon() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let mut daemon = process(&service).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    let call = person.takes_call(&lab).await;
    let keys = Keys::of(&person);
    keys.key("m").await;
    keys.has_caret_in(TEXT).await;
    keys.chord("alt", "2").await;
    keys.chord("alt", "c").await;
    keys.types("請求書の金額が違う").await;
    let kept = async || {
        let (_, list) = service.ask("1001", Method::GET, "/v1/drafts", None).await;
        let body = &list["items"][0]["body"];
        if body["text"] == "請求書の金額が違う" && body["mark"] == "complaint" {
            Ok(())
        } else {
            Err(list.to_string())
        }
    };
    eventually("the draft at the daemon", kept).await;
    daemon.kill().await.unwrap();
    browser.crashes().await;
    let mut daemon = process(&service).await;
    eventually("the draft of before", kept).await;

    let browser = Chromium::start().await;
    let person = Person::signs_in_too(&browser, &service, "1001").await;
    let back = format!(
        "document.activeElement?.matches({TEXT:?}) && document.activeElement.value === '請求書の金額が違う' && \
         document.querySelector('[data-chip=complaint][aria-pressed=true]') && \
         document.querySelector('form.message .chip:has(:checked)')?.innerText.includes('ご注文')"
    );
    person.tab.until("the form as it was", &back).await;
    person.tab.chord("ctrl", "Enter").await;
    eventually("the message", async || {
        let message = newest(&service).await;
        if message["mark"] == "complaint" && message["urgency"] == "urgent" {
            Ok(())
        } else {
            Err(message.to_string())
        }
    })
    .await;
    call.hang_up().await;
    person.all_is_well().await;
    browser.close().await;
    daemon.kill().await.unwrap();
}

/// Its code comes beside the page: nobody opened it while there was a connection, and it is there, after a reload, too.
#[tokio::test]
async fn the_composer_is_there_when_the_connection_is_lost() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    let call = person.takes_call(&lab).await;
    person.tab.until("that the page is kept", crate::connection::KEPT).await;
    service.stop().await;
    let away = "document.querySelector('.link:not([data-phase=live])')";
    person.tab.until("that it is gone", away).await;
    let keys = Keys::of(&person);
    keys.key("m").await;
    keys.has_caret_in(TEXT).await;
    keys.types("納期を確認").await;
    person.loads().await;
    person.tab.until("that it is gone", away).await;
    person.tab.key("4").await;
    person.presses("[data-draft] .do button").await;
    keys.has_caret_in("[data-draft] textarea").await;
    keys.types("してほしい").await;
    service.again().await;
    person.is_connected().await;
    person.presses("[data-draft] .main").await;
    eventually("the message", async || {
        let message = newest(&service).await;
        if message["text"] == "納期を確認してほしい" { Ok(()) } else { Err(message.to_string()) }
    })
    .await;
    call.hang_up().await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// The contact has a system that reads nothing but ISO-2022-JP.
#[tokio::test]
async fn who_gets_the_message_and_what_that_system_lacks_stands_under_the_form() {
    let lab = Lab::start().await;
    let settings = [
        ("MAIL__HOST", "127.0.0.1"),
        ("MAIL__PORT", "9"),
        ("MAIL__TLS", "none"),
        ("MAIL__FROM", "denwa@example.jp"),
    ];
    let mut service = Service::start_with(&lab, &settings).await;
    let (_, contacts) = service.ask("admin", Method::GET, "/v1/contacts?limit=50", None).await;
    let all = contacts["items"].as_array().unwrap();
    let contact = all.iter().find(|contact| contact["name"] == "佐々木健").unwrap();
    let endpoint = json!({"account": contact["account"], "contact": contact["id"], "address": "fax@sakura.example.jp",
        "priority": 0, "charset": "iso-2022-jp"});
    let (status, answer) = service.ask("admin", Method::POST, "/v1/endpoints", Some(endpoint)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    let call = person.takes_call(&lab).await;
    let keys = Keys::of(&person);
    keys.key("m").await;
    keys.has_caret_in(TEXT).await;
    keys.chord("alt", "a").await;
    keys.has_caret_in("form.message [role=combobox]").await;
    keys.types("ささ").await;
    person
        .tab
        .until("the contact", "document.querySelectorAll('form.message [role=option]').length === 1")
        .await;
    keys.key("Enter").await;
    keys.has_caret_in(TEXT).await;
    keys.types("髙橋様の件").await;
    let reads = |place: &str, words: &str| {
        format!("document.querySelector('form.message [{place}]')?.innerText.includes('{words}')")
    };
    person.tab.until("who gets it", &reads("data-draft-plan", "佐々木健様へメール")).await;
    person.tab.until("what is replaced", &reads("data-replaced", "髙→高")).await;
    files_are_chosen_and_one_is_taken_back(&person).await;
    person.looks("draft-plan").await;
    person.presses("form.message .main").await;
    keys.has_saved().await;
    let message = newest(&service).await;
    let names: Vec<_> =
        message["files"].as_array().unwrap().iter().map(|file| file["name"].clone()).collect();
    assert_eq!(names, [json!("地図.pdf")], "{message}");
    call.hang_up().await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// What the daemon does not take is said, and stays away from the message.
async fn files_are_chosen_and_one_is_taken_back(person: &Person) {
    let choose = "const chosen = new DataTransfer(); \
                  for (const [name, text] of FILES) chosen.items.add(new File([text], name)); \
                  const picker = document.querySelector('[data-picker]'); picker.files = chosen.files; \
                  picker.dispatchEvent(new Event('change', { bubbles: true })); 0";
    let choose = |files: &str| format!("{{ {} }}", choose.replace("FILES", files));
    let attached =
        "[...document.querySelectorAll('[data-attached]')].map((one) => one.dataset.attached).join()";
    person.tab.eval(&choose("[['地図.pdf', '%PDF-1.7'], ['品番.csv', '品番']]")).await;
    person.tab.until("both files", &format!("{attached} === '地図.pdf,品番.csv'")).await;
    person.tab.eval(&choose("[['a.exe', '%PDF-1.7']]")).await;
    person
        .tab
        .until("why it is not taken", "document.body.innerText.includes('a.exe は添付できません')")
        .await;
    person.presses("[data-attached='品番.csv'] button").await;
    person.tab.until("one file", &format!("{attached} === '地図.pdf'")).await;
}
