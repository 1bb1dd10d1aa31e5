//! The list of messages: an operator finds, opens, changes, corrects, holds and takes back what they took; a supervisor sees what
//! must be seen to first, and saves the list as a file.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;
use crate::support::wait::eventually;

/// The text of the composer.
const TEXT: &str = "form.message textarea";
/// The last digits of the listed messages' numbers, in the order of the list.
const NUMBERS: &str = "[...document.querySelectorAll('[data-message] .when .soft')].map((one) => one.innerText.slice(-4)).join()";

/// Messages of 1001, and one of 1002, as the numbers 1 to 6.
async fn six_messages(service: &Service) {
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts?limit=9", None).await;
    let account = |code: &str| {
        let all = accounts["items"].as_array().unwrap();
        all.iter().find(|account| account["code"] == code).unwrap()["id"].clone()
    };
    let (sakura, other) = (account("A001"), account("A002"));
    let take = async |who: &str, mut fields: Value| {
        if fields.get("account").is_none() {
            fields["account"] = sakura.clone();
        }
        let (status, message) = service.ask(who, Method::POST, "/v1/messages", Some(fields)).await;
        assert_eq!(status, StatusCode::CREATED, "{message}");
        message
    };
    let number =
        json!({"name": "ヤマモト", "company": "港商事", "number": "090-9999-8888", "number_is": "told"});
    take("1001", json!({"text": "納期の確認", "from": number, "reason": "inquiry"})).await;
    take("1001", json!({"text": "請求書の金額が違う", "mark": "complaint", "urgency": "urgent"})).await;
    take("1002", json!({"text": "見積の依頼", "account": other})).await;
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    take("1001", json!({"text": "明朝に送る", "hold_until": tomorrow.to_string()})).await;
    take("1001", json!({"text": "営業のお電話をお断りしました", "kind": "report", "urgency": "low"})).await;
    take("2001", json!({"text": "送信の試験", "kind": "test"})).await;
}

async fn lists(person: &Person, what: &str, numbers: &str) {
    person.tab.until(what, &format!("{NUMBERS} === {numbers:?}")).await;
}

async fn chooses(person: &Person, selector: &str, index: u32) {
    let choose = "{ const one = document.querySelector(SELECTOR); one.selectedIndex = INDEX; \
                  one.dispatchEvent(new Event('change', { bubbles: true })); 0 }";
    let choose = choose.replace("SELECTOR", &format!("{selector:?}")).replace("INDEX", &index.to_string());
    person.tab.eval(&choose).await;
}

#[tokio::test]
async fn an_operator_finds_opens_changes_and_corrects_messages() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("MESSAGES__UNDO_SECONDS", "60")]).await;
    six_messages(&service).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.tab.key("4").await;
    lists(&person, "what nobody has had", "0006,0005,0004,0003,0002,0001").await;
    they_are_narrowed(&person).await;
    one_is_opened_and_changed_by_keyboard(&person).await;
    it_is_corrected_after_the_report(&person, &service).await;
    one_is_held_and_released(&person).await;
    one_is_taken_back(&person, &service).await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// By tab, account, taker, and words; the filter is cleared at once.
async fn they_are_narrowed(person: &Person) {
    for (tab, numbers) in
        [("held", "0004"), ("complaint", "0002"), ("report", "0005"), ("test", "0006"), ("failed", "")]
    {
        person.presses(&format!("[data-tab={tab}]")).await;
        lists(person, tab, numbers).await;
    }
    person.presses("[data-tab=all]").await;
    lists(person, "all", "0006,0005,0004,0003,0002,0001").await;
    chooses(person, "[data-taker]", 1).await;
    lists(person, "those that 1001 took", "0005,0004,0002,0001").await;
    person.presses("[data-clear]").await;
    person.tab.key("f").await;
    person.tab.until("the caret in the search", "document.activeElement?.matches('[data-search]')").await;
    person.tab.types("ﾔﾏﾓﾄ 納期").await;
    person.tab.key("Enter").await;
    lists(person, "the found one", "0001").await;
    person.presses("[data-clear]").await;
    lists(person, "all again", "0006,0005,0004,0003,0002,0001").await;
    person.looks("messages-all").await;
}

/// J goes down the rows, Enter opens one, U changes it.
async fn one_is_opened_and_changed_by_keyboard(person: &Person) {
    // From the search to its button.
    person.tab.eval("document.querySelector('[data-search]').focus()").await;
    person.tab.key("Tab").await;
    for number in ["0006", "0005", "0004", "0003", "0002", "0001"] {
        person.tab.key("j").await;
        let at = format!(
            "document.activeElement?.matches('[data-row]') && \
             document.activeElement.closest('[data-message]').innerText.includes({number:?})"
        );
        person.tab.until(number, &at).await;
    }
    person.tab.key("Enter").await;
    let told = "document.querySelector('[data-detail] [data-step=saved]')?.innerText.includes('佐藤')";
    person.tab.until("who took it", told).await;
    let detail = person.reads("[data-detail]").await;
    for words in ["お問い合わせ", "ヤマモト", "港商事", "090-9999-8888", "納期の確認"] {
        assert!(detail.contains(words), "{words}: {detail}");
    }
    person.looks("message-open").await;
    person.tab.key("u").await;
    person.tab.until("the form", &format!("document.activeElement?.matches({TEXT:?})")).await;
    person.tab.types("。17時まで").await;
    person.looks("message-change").await;
    person.tab.eval(&format!("document.querySelector({TEXT:?}).focus()")).await;
    person.tab.chord("ctrl", "Enter").await;
    let changed = "document.querySelector('[data-detail] [data-step=changed]') && \
                   document.querySelector('[data-detail] dl')?.innerText.includes('納期の確認。17時まで')";
    person.tab.until("the change", changed).await;
}

/// A message that the account has had gets another revision, with a reason, and says what differs.
async fn it_is_corrected_after_the_report(person: &Person, service: &Service) {
    person.presses("[data-message]:has([data-detail]) [data-acknowledge]").await;
    person.tab.until("the report", "document.querySelector('[data-detail] [data-step=acknowledged]')").await;
    person.presses("[data-revise]").await;
    person.tab.until("the form", &format!("document.activeElement?.matches({TEXT:?})")).await;
    person.tab.eval(&format!("document.querySelector({TEXT:?}).select()")).await;
    person.tab.types("納期の確認。18時まで").await;
    person.tab.chord("ctrl", "Enter").await;
    let why = "document.querySelector('.notices')?.innerText.includes('訂正の理由')";
    person.tab.until("that a reason is needed", why).await;
    person.tab.eval("document.querySelector('form.message [data-why]').focus()").await;
    person.tab.types("時刻の誤り").await;
    person.tab.chord("ctrl", "Enter").await;
    let corrected = "document.querySelector('[data-detail] ins')?.innerText.includes('18時まで') && \
                     document.querySelector('[data-detail] del')?.innerText.includes('17時まで') && \
                     document.querySelector('[data-step=corrected]')?.innerText.includes('時刻の誤り')";
    person.tab.until("the correction", corrected).await;
    person.looks("message-corrected-detail").await;
    person.presses("[data-revision='1']").await;
    let first = "!document.querySelector('[data-detail] ins') && \
                 document.querySelector('[data-detail] dl').innerText.includes('17時まで')";
    person.tab.until("the first revision", first).await;
    let (_, page) = service.ask("admin", Method::GET, "/v1/messages?q=18時まで", None).await;
    let corrected = &page["items"][0];
    assert_eq!((&corrected["revision"], &corrected["state"]), (&json!(2), &json!("open")));
    // What the form does not show is as it was.
    assert_eq!((&corrected["from"]["name"], &corrected["reason"]), (&json!("ヤマモト"), &json!("inquiry")));
    assert_eq!(corrected["from"]["number_is"], "told");
}

async fn one_is_held_and_released(person: &Person) {
    let row = "[data-message]:nth-child(5)";
    person.presses(&format!("{row} [data-row]")).await;
    let until = "{ const one = document.querySelector('[data-until]'); const later = new Date(Date.now() + 86400e3); \
                 later.setMinutes(later.getMinutes() - later.getTimezoneOffset()); \
                 one.value = later.toISOString().slice(0, 16); \
                 one.dispatchEvent(new Event('input', { bubbles: true })); 0 }";
    person.tab.until("the field", "document.querySelector('[data-until]')").await;
    person.tab.eval(until).await;
    person.presses("[data-hold]:not(:disabled)").await;
    person.presses("[data-release]").await;
    person.tab.until("that it is released", "document.querySelector('[data-hold]')").await;
}

/// What it said is a draft again.
async fn one_is_taken_back(person: &Person, service: &Service) {
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts?limit=1", None).await;
    let fields = json!({"account": accounts["items"][0]["id"], "text": "書き誤り"});
    service.ask("1001", Method::POST, "/v1/messages", Some(fields)).await;
    lists(person, "the new one", "0007,0006,0005,0004,0003,0002,0001").await;
    person.presses("[data-message] [data-row]").await;
    person.presses("[data-undo]").await;
    person.tab.until("that it is gone", "document.querySelectorAll('[data-message]').length === 6").await;
    let draft = "document.querySelector('[data-draft]')?.innerText.includes('書き誤り')";
    person.tab.until("the draft", draft).await;
}

#[tokio::test]
async fn a_supervisor_sees_what_must_be_seen_to_first_and_saves_the_list() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("MESSAGES__SUPERVISORS_EXPORT", "true")]).await;
    six_messages(&service).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "2001").await;
    person.tab.key("5").await;
    // The complaint, then what waits the longest; what is held and what is a test come last.
    lists(&person, "in the order of attention", "0002,0001,0003,0005,0004,0006").await;
    assert_eq!(person.reads("[data-tab][aria-pressed=true]").await, "要対応");
    person.looks("messages-attention").await;
    // A complaint that comes now stands first among those after it.
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts?limit=1", None).await;
    let fields = json!({"account": accounts["items"][0]["id"], "text": "また違う", "mark": "complaint"});
    service.ask("1001", Method::POST, "/v1/messages", Some(fields)).await;
    lists(&person, "the new complaint", "0002,0007,0001,0003,0005,0004,0006").await;
    person.presses("[data-message] [data-acknowledge]").await;
    lists(&person, "what is left", "0007,0001,0003,0005,0004,0006").await;
    for width in [420, 640] {
        person.tab.size(width, 900).await;
        person.presses("[data-message] [data-row]").await;
        person.tab.until("the detail", "document.querySelector('[data-detail] [data-step]')").await;
        person.is_pictured(&format!("messages-attention-ja-light-{width}")).await;
        person.presses("[data-message] [data-row]").await;
    }
    person.tab.size(crate::person::DESK.0, crate::person::DESK.1).await;
    it_is_saved_as_a_file(&person).await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

async fn it_is_saved_as_a_file(person: &Person) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    person.tab.call("Page.setDownloadBehavior", json!({ "behavior": "allow", "downloadPath": path })).await;
    person.presses("[data-tab=complaint]").await;
    lists(person, "the complaints", "0007,0002").await;
    person.presses("[data-export]").await;
    let text = eventually("the file", async || one_file(directory.path())).await;
    let lines: Vec<_> = text.split("\r\n").filter(|line| !line.is_empty()).collect();
    assert!(lines[0].starts_with("\u{feff}受付番号,") && lines[0].contains("契約先コード"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
    assert!(text.contains("報告済み") && text.contains("未報告"), "{text}");
}

/// The only file in this directory, once it is whole.
fn one_file(directory: &Path) -> Result<String, String> {
    let names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    match names.as_slice() {
        [path] if path.extension().is_some_and(|kind| kind == "csv") => {
            Ok(String::from_utf8(std::fs::read(path).unwrap()).unwrap())
        }
        others => Err(format!("{others:?}")),
    }
}

/// The mail server is away: what waits says why, and a supervisor sends it again; what can go nowhere stands first.
#[tokio::test]
async fn a_supervisor_sees_how_far_a_delivery_is_and_sends_it_again() {
    let lab = Lab::start().await;
    let settings = [
        ("MAIL__HOST", "127.0.0.1"),
        ("MAIL__PORT", "9"),
        ("MAIL__TLS", "none"),
        ("MAIL__FROM", "denwa@example.jp"),
    ];
    let mut service = Service::start_with(&lab, &settings).await;
    let (_, contacts) = service.ask("admin", Method::GET, "/v1/contacts?limit=50", None).await;
    let contact = |name: &str| {
        let all = contacts["items"].as_array().unwrap();
        all.iter().find(|contact| contact["name"] == name).unwrap().clone()
    };
    let takes = async |name: &str, email: Value| {
        let contact = contact(name);
        let path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
        service.ask("admin", Method::PATCH, &path, Some(json!({ "email": email }))).await;
        let fields = json!({"account": contact["account"], "contact": contact["id"], "text": name, "urgency": "urgent"});
        let (status, message) = service.ask("1001", Method::POST, "/v1/messages", Some(fields)).await;
        assert_eq!(status, StatusCode::CREATED, "{message}");
        message["id"].as_str().unwrap().to_owned()
    };
    let waits = takes("佐々木健", json!("sasaki@sakura.example.jp")).await;
    takes("井上美咲", Value::Null).await;
    let path = format!("/v1/deliveries?message={waits}");
    service.until("2001", &path, |_, answer| answer["items"][0]["error"].is_string()).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "2001").await;
    person.tab.key("5").await;
    lists(&person, "the one that goes nowhere first", "0002,0001").await;
    let counted = |count: &str| format!("document.querySelector('[data-see-to]')?.innerText === '{count}'");
    person.tab.until("the count beside the view's name", &counted("1")).await;
    // Another one: the supervisor is alarmed, whatever they look at.
    person.tab.key("1").await;
    takes("井上美咲", Value::Null).await;
    let alarmed = "document.body.innerText.includes('0003 の宛先がありません')";
    person.tab.until("what the supervisor must see to", alarmed).await;
    person.tab.until("that it is counted", &counted("2")).await;
    person.tab.key("5").await;
    lists(&person, "with the other one", "0002,0003,0001").await;
    assert_eq!(person.tab.eval("document.querySelector('[data-message]').dataset.why").await, "unrouted");
    person.presses("[data-message] [data-row]").await;
    let nowhere =
        "document.querySelector('[data-delivery=none]')?.innerText.includes('メールアドレスがありません')";
    person.tab.until("why it goes nowhere", nowhere).await;
    person.presses("[data-message]:nth-child(3) [data-row]").await;
    let queued = "document.querySelector('[data-delivery=queued] [data-sending=queued]')?.innerText.includes('佐々木健')";
    person.tab.until("the recipient", queued).await;
    person.looks("message-delivery").await;
    let again = "Network.requestWillBeSent";
    let before = person.tab.events(again).len();
    person.presses("[data-sending] button").await;
    eventually("that it is sent again", async || {
        let asked = person.tab.events(again).split_off(before);
        let is_retry =
            |one: &Value| one["request"]["url"].as_str().is_some_and(|url| url.ends_with("/retry"));
        if asked.iter().any(is_retry) { Ok(()) } else { Err(format!("{}", asked.len())) }
    })
    .await;
    person.tab.until("the recipient again", queued).await;
    // To another address, for this message alone.
    person.tab.eval("document.querySelector('[data-message]:nth-child(3) [data-row]').focus()").await;
    person.tab.key("o").await;
    person.tab.until("the field", "document.activeElement?.matches('[data-elsewhere]')").await;
    person.tab.types("hosaka@sakura.example.jp").await;
    person.tab.key("Enter").await;
    let elsewhere =
        "[...document.querySelectorAll('[data-sending]')].some((one) => one.innerText.includes('hosaka@'))";
    person.tab.until("the other recipient", elsewhere).await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
