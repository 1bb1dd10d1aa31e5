//! Scripts at work: the composer asks what the script of the account asks, says what it says, and does not save before it has what
//! it must have; answers come back after a reload; offers are counted; and an account's script is written beside its form.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::SAKURA;
use crate::chromium::Chromium;
use crate::person::{Person, SAVED};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;

/// A caller without a record.
const UNKNOWN_CALLER: &str = "0312345678";
/// The field that the script asks the text in.
const TEXT: &str = "form.message [data-question=what] textarea";

const SCRIPT: &str = r#"
format = 1
account = "A001"
name = "さくら商事 代表"
message_required = true
privacy = "notice"

[opening]
open = "{greeting}。さくら商事、{operator}でございます。"
[greeting]
say = "お世話になっております"
[closing]
say = "{operator}が承りました。"
by_action = { call_back = "{contact}より折り返しご連絡いたします。{operator}が承りました。" }

[[reason]]
code = "order"
label = "ご注文"
key = "1"
action = "none"
[[reason]]
code = "symptom"
label = "体調のご相談"
key = "3"
action = "call_back"
contact = "sasaki"

[[step]]
id = "danger"
for = ["symptom"]
say = "息苦しさや胸の痛みはございますか。"
ask = [{ id = "danger", label = "危険な症状", type = "choices", choices = ["息苦しい", "胸の痛み", "なし"], required = true, sensitive = true }]
[[step]]
id = "ambulance"
for = ["symptom"]
when = { "f.danger" = ["息苦しい", "胸の痛み"] }
level = "danger"
say = "すぐに119番へおかけください。"
hint = "診断や助言はしない。"
set = { urgency = "urgent" }
[[step]]
id = "who"
say = "お名前とお電話番号をお願いいたします。"
ask = [
  { id = "name", label = "お名前", type = "kana", required = true, to = "from.name" },
  { id = "tel", label = "お電話番号", type = "phone", required = true, to = "from.number" },
  { id = "card", label = "会員番号", type = "number", required = "soft" },
]
[[step]]
id = "items"
for = ["order"]
ask = [{ id = "count", label = "個数", type = "number", min = 1, max = 99, default = 1, required = true }]
[[step]]
id = "what"
ask = [{ id = "what", label = "ご用件", type = "lines", max = 300, required = true, to = "text" }]

[[offer]]
id = "plan"
kind = "upsell"
for = ["order"]
when = { "f.count" = { over = 1 } }
say = "定期コースは一割引きでございます。"
"#;

/// Account 1, and the path of its script.
async fn sakura(service: &Service) -> (String, String) {
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts?limit=9", None).await;
    let all = accounts["items"].as_array().unwrap();
    let account = all.iter().find(|account| account["code"] == "A001").unwrap();
    let account = account["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/accounts/{account}/scripts/usual");
    (account, path)
}

/// Account 1 has the script, which names one of its contacts; gives the contact's id.
async fn has_script(service: &Service) -> Value {
    let (account, script) = sakura(service).await;
    let (_, contacts) =
        service.ask("admin", Method::GET, &format!("/v1/contacts?account={account}"), None).await;
    let all = contacts["items"].as_array().unwrap();
    let contact = all.iter().find(|contact| contact["name"] == "佐々木健").unwrap()["id"].clone();
    let path = format!("/v1/contacts/{}", contact.as_str().unwrap());
    let (status, answer) = service.ask("admin", Method::PATCH, &path, Some(json!({"code": "sasaki"}))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let wanted = json!({"body": SCRIPT, "publish": true});
    let (status, answer) = service.ask("admin", Method::PUT, &script, Some(wanted)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    contact
}

async fn newest(service: &Service, who: &str) -> Value {
    let (_, page) = service.ask(who, Method::GET, "/v1/messages?limit=1", None).await;
    page["items"][0].clone()
}

async fn has_caret_in(person: &Person, selector: &str) {
    let is = format!("document.activeElement?.matches({selector:?})");
    person.tab.until(&format!("the caret in {selector}"), &is).await;
}

async fn is_told(person: &Person, words: &str) {
    let is = format!("document.querySelector('.notices')?.innerText.includes({words:?})");
    person.tab.until(words, &is).await;
}

#[tokio::test]
async fn the_composer_asks_what_the_script_asks() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let contact = has_script(&service).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;

    let call = lab.place_call(CallSpec::new(UNKNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    let opening = person.reads(".pop .say").await;
    assert!(opening.contains("お世話になっております。さくら商事、佐藤"), "{opening}");
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    the_questions_of_the_reason_are_asked(&person).await;
    what_must_be_asked_is_asked_for(&person).await;
    the_answers_are_back_after_a_reload(&person).await;
    it_is_saved_after_the_second_question(&person, &service, &contact).await;
    an_offer_is_made_and_counted(&person, &service).await;
    call.hang_up().await;

    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

async fn the_questions_of_the_reason_are_asked(person: &Person) {
    person.tab.key("m").await;
    has_caret_in(person, TEXT).await;
    assert_eq!(person.reads("form.message .closing bdi").await, "佐藤が承りました。");
    person.tab.chord("alt", "3").await;
    person.tab.until("the question", "document.querySelector('[data-question=danger]')").await;
    let closing =
        "document.querySelector('form.message .closing')?.innerText.includes('佐々木健より折り返し')";
    person.tab.until("the closing line of the action", closing).await;
    has_caret_in(person, TEXT).await;
    person.tab.types("昨夜から苦しい").await;
}

/// What is missing is named, and the caret goes there; a condition shows the next step.
async fn what_must_be_asked_is_asked_for(person: &Person) {
    person.tab.chord("ctrl", "Enter").await;
    is_told(person, "危険な症状、お名前、お電話番号").await;
    has_caret_in(person, "[data-question=danger] input").await;
    person.tab.key("1").await;
    let danger =
        "document.querySelector('[data-step=ambulance][data-level=danger]')?.innerText.includes('119番')";
    person.tab.until("what to say to somebody in danger", danger).await;
    person.tab.until("its urgency", "document.querySelector('[data-chip=urgent][aria-pressed=true]')").await;
    person.tab.key("Enter").await;
    has_caret_in(person, "[data-question=name] input").await;
    person.tab.types("やまもと").await;
    person.tab.key("Enter").await;
    has_caret_in(person, "[data-question=tel] input").await;
    person.tab.types("090-9999-8888").await;
    person.tab.key("Enter").await;
    has_caret_in(person, "[data-question=card] input").await;
    person.looks("script-form").await;
}

async fn the_answers_are_back_after_a_reload(person: &Person) {
    person.loads().await;
    person.is_connected().await;
    let back = "document.querySelector('[data-question=danger] input:checked') && \
                document.querySelector('[data-question=name] input')?.value === 'やまもと' && \
                document.querySelector('[data-question=what] textarea')?.value === '昨夜から苦しい'";
    person.tab.until("the answers", back).await;
}

/// What need not be answered is asked once more.
async fn it_is_saved_after_the_second_question(person: &Person, service: &Service, contact: &Value) {
    has_caret_in(person, TEXT).await;
    person.tab.chord("ctrl", "Enter").await;
    is_told(person, "もう一度お伺いください：会員番号").await;
    has_caret_in(person, "[data-question=card] input").await;
    person.tab.chord("ctrl", "Enter").await;
    person.tab.until("that it is saved", SAVED).await;
    let message = newest(service, "2001").await;
    assert_eq!(message["script"], json!({"id": "usual", "version": 1}));
    let answer = json!({"id": "danger", "label": "危険な症状", "value": "息苦しい", "sensitive": true});
    assert_eq!(message["answers"], json!([answer]));
    assert_eq!(message["from"], json!({"name": "ヤマモト", "number": "090-9999-8888", "number_is": "told"}));
    assert_eq!((&message["contact"], &message["text"]), (contact, &json!("昨夜から苦しい")));
    let decided = [&message["reason"], &message["urgency"], &message["action"], &message["privacy"]];
    assert_eq!(decided, ["symptom", "urgent", "call_back", "notice"]);
    let hidden = newest(service, "1002").await;
    assert_eq!(hidden["answers"][0]["value"], "•••", "another operator does not read it");
}

async fn an_offer_is_made_and_counted(person: &Person, service: &Service) {
    person.tab.key("m").await;
    has_caret_in(person, TEXT).await;
    person.tab.types("定期を希望").await;
    person.tab.chord("alt", "1").await;
    person
        .tab
        .until("the number", "document.querySelector('[data-question=count] input')?.value === '1'")
        .await;
    for (question, text) in [("name", "サトウ"), ("tel", "0312345678"), ("card", "12")] {
        person.tab.eval(&format!("document.querySelector('[data-question={question}] input').focus()")).await;
        person.tab.types(text).await;
    }
    let whole =
        "{ const one = document.querySelector('[data-question=count] input'); one.focus(); one.select(); 0 }";
    person.tab.eval(whole).await;
    person.tab.types("2").await;
    person.tab.until("the offer", "document.querySelector('[data-offer=plan]')").await;
    person.looks("script-offer").await;
    person.presses("[data-offer=plan] [data-result=accepted]").await;
    person.tab.until("that it is made once", "!document.querySelector('[data-offer]')").await;
    person.tab.chord("ctrl", "Enter").await;
    person.tab.until("that it is saved", SAVED).await;
    let message = newest(service, "2001").await;
    assert_eq!(message["offers"], json!([{"id": "plan", "result": "accepted"}]));
    let answers: Vec<&Value> =
        message["answers"].as_array().unwrap().iter().map(|answer| &answer["value"]).collect();
    assert_eq!(answers, ["12", "2"]);
    eventually("the count", async || {
        let (_, counts) = service.ask("admin", Method::GET, "/v1/scripts/offers", None).await;
        let count = &counts["items"][0];
        if count["offer"] == "plan" && count["accepted"] == 1 { Ok(()) } else { Err(counts.to_string()) }
    })
    .await;
}

/// Replaces the text of the editor.
async fn writes(person: &Person, body: &str) {
    let write = "{ const one = document.querySelector('textarea[data-script]'); one.value = BODY; \
                 one.dispatchEvent(new Event('input', { bubbles: true })); 0 }";
    person.tab.eval(&write.replace("BODY", &serde_json::to_string(body).unwrap())).await;
}

#[tokio::test]
async fn a_script_is_written_beside_its_form() {
    let lab = Lab::start().await;
    let settings = [("MESSAGES__SUPERVISORS_EDIT_SCRIPTS", "true")];
    let mut service = Service::start_with(&lab, &settings).await;
    has_script(&service).await;
    let browser = Chromium::start().await;
    let operator = Person::signs_in(&browser, &service, "1001").await;
    opens_the_account(&operator, "2").await;
    assert_eq!(operator.tab.eval("Boolean(document.querySelector('[data-scripts]'))").await, json!(false));
    let person = Person::signs_in(&browser, &service, "2001").await;
    opens_the_account(&person, "3").await;
    person.presses("[data-scripts]").await;
    let read = "document.querySelector('textarea[data-script]')?.value.includes('さくら商事 代表')";
    person.tab.until("the text", read).await;
    mistakes_are_shown_with_their_place(&person).await;
    the_form_beside_it_is_answered(&person).await;
    another_version_is_saved_meanwhile(&person, &service).await;
    it_is_published_restored_and_retired(&person, &service).await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// By the key of the view.
async fn opens_the_account(person: &Person, view: &str) {
    person.tab.key(view).await;
    let row = "[...document.querySelectorAll('.accounts .list button')].find((one) => one.innerText.includes('さくら商事'))";
    person.tab.until("the account", row).await;
    person.tab.eval(&format!("{row}.click()")).await;
    person.tab.until("its record", "document.querySelector('.accounts .one h2')").await;
}

/// The first mistake has its line, and the caret goes there; nothing can be published, and the form stays.
async fn mistakes_are_shown_with_their_place(person: &Person) {
    person.tab.until("the form", "document.querySelector('[data-preview] .chip')").await;
    writes(person, &SCRIPT.replace("label = \"体調のご相談\"", "lable = \"体調のご相談\"")).await;
    let line = SCRIPT.lines().position(|line| line.contains("体調のご相談")).unwrap() + 1;
    let mistake = format!(
        "[...document.querySelectorAll('[data-finding=error] button')].find((one) =>          one.innerText.includes('lable') && one.innerText.includes('{line}行'))"
    );
    person.tab.until("the mistake", &mistake).await;
    person.tab.eval(&format!("{mistake}.click()")).await;
    let at = "document.activeElement?.matches('textarea[data-script]') && \
              document.activeElement.value.slice(document.activeElement.selectionStart).startsWith('lable')";
    person.tab.until("the caret at the mistake", at).await;
    assert_eq!(person.tab.eval("document.querySelector('[data-publish]').disabled").await, json!(true));
    person.tab.until("the form of before", "document.querySelector('[data-preview] .chip')").await;
}

/// At another time, for another reason, with answers.
async fn the_form_beside_it_is_answered(person: &Person) {
    let body = SCRIPT
        .replace("say = \"お世話になっております\"", "by_time = [{ time = \"05:00-10:30\", say = \"おはようございます\" }]\nsay = \"お世話になっております\"")
        .replace("すぐに119番", "ただちに119番");
    writes(person, &body).await;
    person.tab.until("no mistake", "!document.querySelector('[data-finding=error]')").await;
    // Nine o'clock in Japan, as a field of this browser has it.
    let morning = "{ const at = Date.UTC(2026, 11, 1); const zone = new Date(at).getTimezoneOffset() * 60_000; \
                   const one = document.querySelector('[data-at]'); \
                   one.value = new Date(at - zone).toISOString().slice(0, 16); \
                   one.dispatchEvent(new Event('input', { bubbles: true })); 0 }";
    person.tab.eval(morning).await;
    let opening = "document.querySelector('[data-preview] .say')?.innerText.includes('おはようございます')";
    person.tab.until("the greeting of the morning", opening).await;
    person.presses("[data-preview] input[value=symptom]").await;
    person.presses("[data-preview] [data-question=danger] input").await;
    let danger =
        "document.querySelector('[data-preview] [data-step=ambulance]')?.innerText.includes('ただちに119番')";
    person.tab.until("the step of the text that is written", danger).await;
    person.looks("script-editor").await;
}

async fn another_version_is_saved_meanwhile(person: &Person, service: &Service) {
    let (_, path) = sakura(service).await;
    let other = json!({"body": SCRIPT, "version": 1});
    let (status, answer) = service.ask("admin", Method::PUT, &path, Some(other)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    person.presses("[data-save]").await;
    is_told(person, "ほかの人が先に").await;
    let kept = "document.querySelector('textarea[data-script]').value.includes('ただちに119番')";
    assert_eq!(person.tab.eval(kept).await, json!(true), "what was written stays");
    person.presses("[data-save]").await;
    person
        .tab
        .until("the third version", "document.querySelector('[data-version=\"3\"][data-state=draft]')")
        .await;
}

async fn it_is_published_restored_and_retired(person: &Person, service: &Service) {
    let (_, path) = sakura(service).await;
    let states = async || {
        let (_, versions) = service.ask("admin", Method::GET, &format!("{path}/versions"), None).await;
        let all = versions["items"].as_array().unwrap();
        all.iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    person.presses("[data-restore]").await;
    person
        .tab
        .until("that it is live", "document.querySelector('[data-version=\"3\"][data-state=live]')")
        .await;
    assert_eq!(states().await, ["live", "retired", "retired"]);
    person.presses("[data-version=\"1\"] button").await;
    person
        .tab
        .until("the first version", "document.querySelector('[data-version=\"1\"] [aria-pressed=true]')")
        .await;
    person.presses("[data-restore]").await;
    person.tab.until("a copy of it", "document.querySelector('[data-version=\"4\"][data-state=live]')").await;
    let (_, newest) = service.ask("admin", Method::GET, &path, None).await;
    assert_eq!((&newest["body"], &newest["restored"]), (&json!(SCRIPT), &json!(1)));
    person.presses("[data-retire]").await;
    person.presses("[data-retire]").await;
    person.tab.until("that none is live", "!document.querySelector('[data-state=live]')").await;
    assert_eq!(states().await, ["retired", "retired", "retired", "retired"]);
}

#[tokio::test]
async fn without_a_connection_the_questions_stay_and_a_draft_has_the_usual_fields() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    has_script(&service).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    let call = person.takes_call(&lab).await;
    person.tab.until("the questions of the script", &format!("document.querySelector({TEXT:?})")).await;
    assert!(person.reads("form.message .identity").await.contains("田中太郎"));
    assert_eq!(
        person.tab.eval("Boolean(document.querySelector('[data-question=name]'))").await,
        json!(false)
    );
    person.tab.until("that the page is kept", crate::connection::KEPT).await;
    service.stop().await;
    let gone = "document.querySelector('.link:not([data-phase=live])')";
    person.tab.until("that it is gone", gone).await;
    person.tab.key("m").await;
    has_caret_in(&person, TEXT).await;
    person.tab.types("納期を確認").await;
    // After a reload nobody can be asked for the script: the usual fields have what was written.
    person.loads().await;
    person.tab.until("that it is gone", gone).await;
    person.tab.key("4").await;
    person.presses("[data-draft] .do button").await;
    has_caret_in(&person, "[data-draft] textarea:not([data-text])").await;
    person.tab.types("してほしい").await;
    service.again().await;
    person.is_connected().await;
    // What was written stands in the script's field.
    let text = "document.querySelector('[data-draft] [data-question=what] textarea')?.value === '納期を確認してほしい'";
    person.tab.until("the questions of the script", text).await;
    call.hang_up().await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
