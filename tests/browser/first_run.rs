//! From an installation without accounts to its first call by the page alone: the steps, each with its tick.

use reqwest::Method;
use serde_json::{Value, json};

use crate::administration::{comes, enters, opens, says, types_into};
use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;

/// The number that is called, which no account has at first.
const DIALLED: &str = "0355501001";

/// Leaves what a new installation has: an administrator.
async fn empties(service: &Service) {
    let list = async |path: &str| -> Vec<Value> {
        let (_, page) = service.ask("admin", Method::GET, path, None).await;
        page["items"].as_array().unwrap().clone()
    };
    let mut paths = Vec::new();
    for account in list("/v1/accounts?limit=500").await {
        paths.push(format!("/v1/accounts/{}", account["id"].as_str().unwrap()));
    }
    for user in list("/v1/users?limit=500").await {
        if user["role"] != "admin" && user["revoked_at"].is_null() {
            paths.push(format!("/v1/users/{}", user["id"].as_str().unwrap()));
        }
    }
    for path in paths {
        let (status, answer) = service.ask("admin", Method::DELETE, &path, None).await;
        assert!(status.is_success(), "{path} {answer}");
    }
}

async fn has_tick(admin: &Person, step: &str) {
    let tick = format!("document.querySelector('[data-step={step}][data-done=true]')");
    admin.tab.until(&format!("the tick of {step}"), &tick).await;
}

#[tokio::test]
async fn a_new_installation_takes_its_first_call_by_the_page_alone() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    empties(&service).await;
    let browser = Chromium::start().await;
    let admin = comes(&browser, &service, "kanri", "admin").await;
    let began = std::time::Instant::now();
    admin.tab.key("6").await;
    has_tick(&admin, "pbx").await;
    let open = "document.querySelectorAll('[data-step][data-done=false]').length";
    assert_eq!(admin.tab.eval(open).await, json!(5), "the steps open by themselves");

    // The trunk rings: the number belongs to nobody, and the step has its tick.
    let call = lab.place_call(CallSpec::new("0312345678", DIALLED)).await;
    has_tick(&admin, "trunk").await;
    call.hang_up().await;
    call.ended().await;

    opens(&admin, "accounts").await;
    enters(&admin, "[data-new]").await;
    types_into(&admin, "#field-code", "K001").await;
    types_into(&admin, "#field-name", "株式会社はじめ商事").await;
    types_into(&admin, "#field-dialled", "03-5550-1001").await;
    enters(&admin, "[data-save]").await;
    says(&admin, "はじめ商事").await;
    opens(&admin, "users").await;
    enters(&admin, "[data-new]").await;
    types_into(&admin, "#field-name", "新人").await;
    types_into(&admin, "#field-extension", "1001").await;
    enters(&admin, "[data-save]").await;
    says(&admin, "新人").await;
    enters(&admin, "[data-link]").await;
    admin.tab.until("the link", "document.querySelector('[data-made-link]')").await;
    let link = admin.tab.eval("document.querySelector('[data-made-link]').value").await;
    let operator = Person::comes(&browser, link.as_str().unwrap()).await;
    types_into(&operator, "[name=new]", PASSWORD).await;
    types_into(&operator, "[name=again]", PASSWORD).await;
    operator.tab.key("Enter").await;
    operator
        .tab
        .until("that it is set", "document.querySelector('[data-password-link] [role=status]')")
        .await;
    enters(&operator, "[data-leave]").await;
    operator.enters("新人", PASSWORD).await;
    operator.is_ready().await;

    opens(&admin, "start").await;
    for step in ["account", "user"] {
        has_tick(&admin, step).await;
    }
    let call = lab.place_call(CallSpec::new("0312345678", DIALLED)).await;
    operator.pop_is("ringing").await;
    assert!(operator.reads(".pop").await.contains("はじめ商事"));
    has_tick(&admin, "call").await;
    lab.phone("1001").answers().await;
    operator.pop_is("talking").await;
    println!("from the sign-in to the first answered call: {} s", began.elapsed().as_secs());
    admin.is_pictured("first-run").await;
    call.hang_up().await;
    browser.close().await;
    service.stop().await;
}
