//! Phone tasks: an operator takes one, reads what to tell and whom to call, and says that it was told; the other operator's list
//! follows, and the supervisor reads what happened.

use reqwest::Method;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

const TASKS: &str = "[data-tasks] [data-task]";

/// An account whose messages are told by phone, and a message for its contact; the message's id.
async fn message_to_tell(service: &Service) -> String {
    let made = async |path: &str, body: Value| {
        let (status, made) = service.ask("admin", Method::POST, path, Some(body)).await;
        assert!(status.is_success(), "{made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let account = made("/v1/accounts", json!({"code": "T", "name": "当番商事"})).await;
    let contact =
        json!({"account": account, "name": "佐々木", "number": "090-1111-0001", "on_call_order": 1});
    made("/v1/contacts", contact).await;
    let routes =
        "format = 1\n[[route]]\nname = \"phone\"\n[[route.step]]\nto = [\"on-call\"]\nvia = [\"phone\"]\n";
    let path = format!("/v1/routes/{account}");
    let (status, answer) = service.ask("admin", Method::PUT, &path, Some(json!({"body": routes}))).await;
    assert!(status.is_success(), "{answer}");
    let message = json!({"account": account, "text": "ポンプ室の水漏れ", "urgency": "urgent"});
    let (status, saved) = service.ask("1001", Method::POST, "/v1/messages", Some(message)).await;
    assert!(status.is_success(), "{saved}");
    saved["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operator_takes_a_call_to_make_and_says_that_it_was_told() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("MESSAGES__UNDO_SECONDS", "0")]).await;
    let browser = Chromium::start().await;
    let hana = Person::signs_in(&browser, &service, "1001").await;
    let ken = Person::signs_in(&browser, &service, "1002").await;
    let message = message_to_tell(&service).await;
    for person in [&hana, &ken] {
        person.tab.until("the call to make", &format!("document.querySelector('{TASKS} button')")).await;
    }
    hana.looks("task-open").await;
    hana.presses(&format!("{TASKS} button")).await;
    let shows = "document.querySelector('[data-task].mine .text')?.innerText.includes('ポンプ室の水漏れ')";
    hana.tab.until("what to tell", shows).await;
    assert_eq!(hana.reads("[data-task].mine .number").await, "090-1111-0001");
    hana.looks("task-mine").await;
    let none = "!document.querySelector('[data-tasks]')";
    ken.tab.until("that another person is at it", none).await;
    hana.presses("[data-task].mine .do button").await;
    hana.tab.until("that it is done", none).await;
    let path = format!("/v1/messages/{message}");
    let told = service.until("2001", &path, |_, message| message["state"] == "acknowledged").await;
    assert_eq!(told["delivery"]["route"]["state"], "answered", "{told}");
    let sada = Person::signs_in(&browser, &service, "2001").await;
    sada.presses("nav button:last-child").await;
    sada.presses("[data-tab=all]").await;
    sada.presses("[data-message] [data-row]").await;
    let told = "document.querySelector('[data-detail] ol')?.innerText";
    let told =
        format!("{told}?.includes('佐々木') && {told}.includes('伝えた') && {told}.includes('報告済み')");
    sada.tab.until("what happened", &told).await;
    sada.looks("timeline").await;
    hana.all_is_well().await;
    ken.all_is_well().await;
    browser.close().await;
    service.stop().await;
}
