//! Callflows in the account's view: an administrator writes one, closes the company for a time, and supervisors see that on their
//! board.

use reqwest::Method;
use serde_json::json;

use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

/// Writes a field as a person does.
async fn writes(person: &Person, name: &str, text: &str) {
    let write = format!(
        "const field = document.querySelector('[data-callflow] [name={name}]'); field.value = '{text}'; \
         field.dispatchEvent(new Event('input', {{ bubbles: true }})); \
         field.dispatchEvent(new Event('change', {{ bubbles: true }})); 0"
    );
    person.tab.eval(&format!("{{ {write} }}")).await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one way through, step by step")]
async fn an_administrator_writes_a_callflow_and_closes_the_company_for_a_time() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let account = json!({"code": "C", "name": "受付商事", "dialled": ["0355509999"]});
    let (status, account) = service.ask("admin", Method::POST, "/v1/accounts", Some(account)).await;
    assert!(status.is_success(), "{account}");
    for (name, role) in [("kanri", "admin"), ("kantoku", "supervisor")] {
        let user = json!({"name": name, "role": role, "password": PASSWORD});
        let (status, answer) = service.ask("admin", Method::POST, "/v1/users", Some(user)).await;
        assert!(status.is_success(), "{answer}");
    }
    let browser = Chromium::start().await;
    let admin = Person::signs_in_too(&browser, &service, "kanri").await;
    admin.presses("nav button:nth-child(3)").await;
    let find =
        "[...document.querySelectorAll('.list li button')].find((one) => one.innerText.includes('受付商事'))";
    admin.tab.until("the account", find).await;
    admin.tab.eval(&format!("{find}.click()")).await;
    admin.tab.until("that there is none", "document.querySelector('[data-callflow] [data-none]')").await;

    writes(&admin, "wait_s", "45").await;
    writes(&admin, "lines", "2").await;
    admin.presses("[data-save-callflow]").await;
    admin.tab.until("that it is open", "document.querySelector('[data-now=open]')").await;
    let waits = "document.querySelector('[data-step=queue]')?.innerText.includes('45')";
    admin.tab.until("how long callers wait", waits).await;
    admin
        .tab
        .until("that the PBX has it", "document.querySelector('[data-sync=level], [data-sync=writing]')")
        .await;
    // The settings become a template; what that changes is said first.
    writes(&admin, "template_code", "standard").await;
    admin.presses("[data-share]").await;
    let said = "document.querySelector('[data-effect]')?.innerText.includes('0社')";
    admin.tab.until("what the template changes", said).await;
    admin.presses("[data-share]").await;
    let offered =
        "[...document.querySelectorAll('[name=template] option')].some((one) => one.value === 'standard')";
    admin.tab.until("the template", offered).await;
    // A caller is refused, with a reason.
    writes(&admin, "rule_number", "090-1234-5678").await;
    writes(&admin, "rule_note", "迷惑電話").await;
    admin.presses("[data-set-rule]").await;
    let refused = "document.querySelector('[data-rule=refuse]')?.innerText.includes('+819012345678')";
    admin.tab.until("the rule", refused).await;
    admin.looks("callflow").await;
    admin.presses("[data-allow]").await;
    admin.tab.until("no rule", "!document.querySelector('[data-rule]')").await;
    // The PIN with which the company records its guidance by telephone.
    writes(&admin, "guidance_pin", "111111").await;
    writes(&admin, "guidance_entry", "7").await;
    admin.presses("[data-set-pin]").await;
    let refused = "document.querySelector('[data-guidance-pin] [role=alert]')?.innerText.includes('pin')";
    admin.tab.until("that it is guessed", refused).await;
    writes(&admin, "guidance_pin", "481516").await;
    admin.presses("[data-set-pin]").await;
    admin.tab.until("the PIN", "document.querySelector('[data-pin-set=\"7\"]')").await;
    admin.presses("[data-clear-pin]").await;
    admin.tab.until("no PIN", "!document.querySelector('[data-pin-set]')").await;
    // A field that the PBX would read in another way.
    writes(&admin, "closed_guidance", "a b").await;
    admin.presses("[data-save-callflow]").await;
    let refused =
        "document.querySelector('[data-callflow] [role=alert]')?.innerText.includes('closed_guidance')";
    admin.tab.until("what is wrong", refused).await;
    // Somebody else writes meanwhile.
    let path = format!("/v1/accounts/{}/callflow", account["id"].as_str().unwrap());
    let (status, other) = service.ask("admin", Method::PUT, &path, Some(json!({ "wait_s": 50 }))).await;
    assert!(status.is_success(), "{other}");
    writes(&admin, "closed_guidance", "").await;
    admin.presses("[data-save-callflow]").await;
    let changed = "document.querySelector('[data-callflow] [role=alert]')?.innerText.includes('ほかの人')";
    admin.tab.until("that somebody else wrote it", changed).await;

    let board = Person::signs_in_too(&browser, &service, "kantoku").await;
    writes(&admin, "reason", "停電").await;
    admin.presses("[data-callflow] [data-close]").await;
    admin.tab.until("that it is closed", "document.querySelector('[data-now=override]')").await;
    board.presses("nav button:nth-child(2)").await;
    let strip = "document.querySelector('[data-override=closed]')?.innerText.includes('停電')";
    board.tab.until("the override on the board", strip).await;
    board.looks("overrides").await;
    admin.presses("[data-callflow] [data-override] [data-end]").await;
    admin.tab.until("that it is open again", "document.querySelector('[data-now=open]')").await;
    board.tab.until("no override", "!document.querySelector('[data-override]')").await;
    admin.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
