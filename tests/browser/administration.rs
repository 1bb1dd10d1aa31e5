//! The administration by keyboard alone: accounts, numbers, holidays, users, health, audit; a change that somebody else made
//! first, and one that is undone. Operators and supervisors have none of it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

/// Most presses of Tab on the way to an element: the page has fewer stops.
const STOPS_MAX: usize = 300;

/// Goes to an element with Tab.
pub(crate) async fn goes_to(person: &Person, selector: &str) {
    let there = format!("document.querySelector('{selector}:not(:disabled)')");
    person.tab.until(selector, &there).await;
    for _ in 0..STOPS_MAX {
        if person.tab.eval(&format!("document.activeElement === {there}")).await == json!(true) {
            return;
        }
        person.tab.key("Tab").await;
    }
    panic!("Tab does not reach {selector}");
}

/// Goes to an element, and presses Enter.
pub(crate) async fn enters(person: &Person, selector: &str) {
    goes_to(person, selector).await;
    person.tab.key("Enter").await;
}

/// Replaces what a field has by what is typed.
pub(crate) async fn types_into(person: &Person, selector: &str, text: &str) {
    goes_to(person, selector).await;
    person.tab.chord("ctrl", "a").await;
    person.tab.types(text).await;
}

pub(crate) async fn says(person: &Person, words: &str) {
    let said = format!("document.querySelector('[data-said]')?.innerText.includes('{words}')");
    person.tab.until(words, &said).await;
}

/// Goes to the areas with Tab, and among them with the arrow.
pub(crate) async fn opens(person: &Person, area: &str) {
    goes_to(person, "[role=tab][aria-selected=true]").await;
    let is_open = format!("document.activeElement.id === 'admin-tab-{area}'");
    for _ in 0..STOPS_MAX {
        if person.tab.eval(&is_open).await == json!(true) {
            return;
        }
        person.tab.key("ArrowRight").await;
    }
    panic!("the arrow does not reach {area}");
}

/// Adds a person with a password, who signs in.
pub(crate) async fn comes(browser: &Chromium, service: &Service, name: &str, role: &str) -> Person {
    let user = json!({"name": name, "role": role, "password": PASSWORD});
    let (status, answer) = service.ask("admin", Method::POST, "/v1/users", Some(user)).await;
    assert!(status.is_success(), "{answer}");
    Person::signs_in_too(browser, service, name).await
}

#[tokio::test]
async fn an_administrator_needs_no_shell() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    let admin = comes(&browser, &service, "kanri", "admin").await;
    admin.tab.key("6").await;
    admin.tab.until("the administration", "document.querySelector('#admin-tab-accounts')").await;
    let account = accounts(&admin, &service).await;
    a_number_moves(&admin, &service, &account).await;
    deleted_and_back(&admin, &service, &account).await;
    numbers(&admin, &account).await;
    holidays(&admin).await;
    users(&browser, &admin, &service).await;
    health_and_audit(&admin).await;
    admin.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// A new account, a change that is undone, and one that somebody else made first. Returns its id.
async fn accounts(admin: &Person, service: &Service) -> String {
    enters(admin, "[data-new]").await;
    enters(admin, "[data-save]").await;
    admin
        .tab
        .until(
            "what is required",
            "document.querySelector('[data-form] [role=alert]').innerText.includes('コード')",
        )
        .await;
    types_into(admin, "#field-code", "K001").await;
    types_into(admin, "#field-name", "株式会社管理商事").await;
    types_into(admin, "#field-dialled", "03-5550-7001").await;
    enters(admin, "[data-save]").await;
    says(admin, "株式会社管理商事").await;
    let (_, made) = service.ask("admin", Method::GET, "/v1/accounts?limit=500", None).await;
    let made = made["items"].as_array().unwrap().iter().find(|one| one["code"] == "K001").unwrap().clone();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["dialled"], json!(["03-5550-7001"]), "{made}");

    types_into(admin, "#field-notes", "本日は社長が不在").await;
    enters(admin, "[data-save]").await;
    // The creation could be undone as well; the change stands before it.
    admin.tab.until("both", "document.querySelectorAll('[data-undo]').length === 2").await;
    enters(admin, "[data-undo]").await;
    says(admin, "元に戻しました").await;
    let path = format!("/v1/accounts/{id}");
    assert_eq!(service.ask("admin", Method::GET, &path, None).await.1["notes"], "");
    admin.looks("admin-accounts").await;

    // Somebody else changes another field: the daemon refuses, and both are shown.
    let (status, _) =
        service.ask("admin", Method::PATCH, &path, Some(json!({"kana": "かんりしょうじ"}))).await;
    assert!(status.is_success());
    types_into(admin, "#field-answer_phrase", "管理商事でございます").await;
    enters(admin, "[data-save]").await;
    admin
        .tab
        .until("both", "document.querySelector('[data-both]')?.innerText.includes('かんりしょうじ')")
        .await;
    admin.looks("admin-both").await;
    enters(admin, "[data-over]").await;
    says(admin, "保存しました").await;
    let (_, kept) = service.ask("admin", Method::GET, &path, None).await;
    assert_eq!(kept["answer_phrase"], "管理商事でございます", "{kept}");
    assert_eq!(kept["kana"], "かんりしょうじ", "what somebody else changed stays");
    id
}

/// A number that another account has comes with it, where the administrator says so.
async fn a_number_moves(admin: &Person, service: &Service, account: &str) {
    let path = format!("/v1/accounts/{account}");
    let two = json!({"dialled": ["03-5550-7001", "03-5550-7002"]});
    assert!(service.ask("admin", Method::PATCH, &path, Some(two)).await.0.is_success());
    enters(admin, "[data-new]").await;
    types_into(admin, "#field-code", "K003").await;
    types_into(admin, "#field-name", "株式会社新店").await;
    types_into(admin, "#field-dialled", "0355507002").await;
    enters(admin, "[data-save]").await;
    enters(admin, "[data-move]").await;
    says(admin, "株式会社新店").await;
    let (_, was) = service.ask("admin", Method::GET, &path, None).await;
    assert_eq!(was["dialled"], json!(["03-5550-7001"]), "{was}");
}

/// An account is deleted by its code, and brought back.
async fn deleted_and_back(admin: &Person, service: &Service, account: &str) {
    let path = format!("/v1/accounts/{account}");
    enters(admin, &format!("[data-row=\"{account}\"]")).await;
    admin.tab.until("the account", "document.querySelector('#field-code')?.value === 'K001'").await;
    enters(admin, "[data-leave]").await;
    types_into(admin, "[data-confirm]", "K001").await;
    enters(admin, "[data-sure]").await;
    says(admin, "削除しました").await;
    assert_eq!(service.ask("admin", Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
    admin.looks("admin-deleted").await;
    enters(admin, "[data-undo]").await;
    says(admin, "元に戻しました").await;
    let (_, back) = service.ask("admin", Method::GET, &path, None).await;
    assert_eq!(back["dialled"], json!(["03-5550-7001"]), "{back}");
}

async fn numbers(admin: &Person, account: &str) {
    opens(admin, "numbers").await;
    let row = format!("document.querySelector('[data-row^=\"{account} dialled\"]')");
    types_into(admin, "[data-table-find]", "5550-7001").await;
    admin.tab.until("the number", &row).await;
    admin.looks("admin-numbers").await;
    enters(admin, "[data-table-find]").await;
    admin.tab.until("its account", "document.querySelector('#field-code')?.value === 'K001'").await;
}

async fn holidays(admin: &Person) {
    opens(admin, "holidays").await;
    admin.tab.until("the year", "document.querySelector('[data-day]')").await;
    let fills = "const day = document.querySelector('[name=day]'); const year = new Date().getFullYear(); \
                 day.value = `${year}-12-28`; day.dispatchEvent(new Event('input', { bubbles: true })); 0";
    admin.tab.eval(&format!("{{ {fills} }}")).await;
    types_into(admin, "[name=name]", "創立記念日").await;
    enters(admin, "[data-add]").await;
    says(admin, "創立記念日").await;
    admin.looks("admin-holidays").await;
    // The Cabinet Office's table: what it has is said first.
    let chooses = "const list = new DataTransfer(); \
                   list.items.add(new File(['a,b\\n2031/1/1,元日\\n'], 'syukujitsu.csv', { type: 'text/csv' })); \
                   const field = document.querySelector('[name=table]'); field.files = list.files; \
                   field.dispatchEvent(new Event('change', { bubbles: true })); 0";
    admin.tab.eval(&format!("{{ {chooses} }}")).await;
    enters(admin, "[data-table]").await;
    admin.tab.until("what the table has", "document.querySelector('[data-tried=\"1\"]')").await;
    enters(admin, "[data-table]").await;
    says(admin, "2031年").await;
    enters(admin, "[data-remove]").await;
    enters(admin, "[data-sure]").await;
    says(admin, "削除しました").await;
}

/// A new operator, the link by which the operator sets a password, and a token that is revoked.
async fn users(browser: &Chromium, admin: &Person, service: &Service) {
    opens(admin, "users").await;
    enters(admin, "[data-new]").await;
    types_into(admin, "#field-name", "新人").await;
    enters(admin, "[data-save]").await;
    says(admin, "新人").await;
    enters(admin, "[data-link]").await;
    admin.tab.until("the link", "document.querySelector('[data-made-link]')").await;
    let link = admin.tab.eval("document.querySelector('[data-made-link]').value").await;
    types_into(admin, "[name=label]", "CRM").await;
    enters(admin, "[data-make-token]").await;
    admin
        .tab
        .until("the token", "document.querySelector('[data-made-token]')?.value.startsWith('toritsugi_')")
        .await;
    admin.looks("admin-users").await;
    enters(admin, "[data-token=CRM] [data-revoke-token]").await;
    admin.tab.until("no token", "!document.querySelector('[data-token=CRM]')").await;

    let person = Person::comes(browser, link.as_str().unwrap()).await;
    types_into(&person, "[name=new]", PASSWORD).await;
    types_into(&person, "[name=again]", PASSWORD).await;
    person.tab.key("Enter").await;
    person.tab.until("that it is set", "document.querySelector('[data-password-link] [role=status]')").await;
    let address = person.tab.eval("location.href").await.to_string();
    assert!(!address.contains("toritsugi_"), "the link is in the address no more: {address}");
    person.is_accessible("password-link").await;
    let body = json!({"login": "新人", "password": PASSWORD});
    let (status, answer) = service.ask("admin", Method::POST, "/v1/session", Some(body)).await;
    assert!(status.is_success(), "{answer}");
}

async fn health_and_audit(admin: &Person) {
    opens(admin, "health").await;
    admin
        .tab
        .until("the link to the PBX", "document.querySelector('[data-line=pbx][data-outcome=ok]')")
        .await;
    admin.looks("admin-health").await;
    opens(admin, "audit").await;
    types_into(admin, "[name=action]", "account.").await;
    admin.tab.key("Enter").await;
    let only = "[...document.querySelectorAll('[data-entry]')].length >= 4 \
                && [...document.querySelectorAll('[data-entry]')].every((one) => one.dataset.entry.startsWith('account.'))";
    admin.tab.until("accounts alone", only).await;
    let before = "document.querySelector('[data-entry=\"account.changed\"]').innerText.includes('before')";
    assert_eq!(admin.tab.eval(before).await, json!(true));
    admin.looks("admin-audit").await;
    opens(admin, "start").await;
    admin.tab.until("a tick", "document.querySelector('[data-step=account][data-done=true]')").await;
    admin.tab.until("the PBX", "document.querySelector('[data-step=pbx][data-done=true]')").await;
    admin.looks("admin-start").await;
}

#[tokio::test]
async fn nobody_else_has_the_administration() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    for (name, role) in [("uketsuke", "operator"), ("kanshi", "supervisor")] {
        let person = comes(&browser, &service, name, role).await;
        let buttons =
            person.tab.eval("[...document.querySelectorAll('nav button')].map((one) => one.innerText)").await;
        assert!(!buttons.to_string().contains("管理"), "{role}: {buttons}");
        person.tab.key("6").await;
        person.tab.eval("location.hash = '#/admin'").await;
        assert_eq!(person.tab.eval("document.querySelector('[role=tablist]')").await, json!(null), "{role}");
    }
    browser.close().await;
    service.stop().await;
}
