//! Routes in the account's view: an administrator reads who gets a message, tries a document that is wrong, and saves one.

use reqwest::Method;
use serde_json::json;

use crate::chromium::Chromium;
use crate::person::{PASSWORD, Person};
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

const WRONG: &str = "format = 1\\n[[route]]\\nname = \\'a\\'\\ncolour = 1";
const RIGHT: &str = "format = 1\\n[[route]]\\nname = \\'phone\\'\\n[[route.step]]\\nto = [\\'on-call\\']\\nvia = [\\'phone\\']";

const DIGEST: &str = "format = 1\\n[[digest]]\\nname = \\'evening\\'\\nat = [\\'18:00\\']\\nto = [\\'account\\']\\n[[route]]\\nname = \\'phone\\'\\n[[route.step]]\\nto = [\\'on-call\\']\\nvia = [\\'phone\\']";

/// Writes the document as a person does.
async fn writes(person: &Person, text: &str) {
    let write = "const area = document.querySelector('[data-routes] textarea'); area.value = TEXT; \
                 area.dispatchEvent(new Event('input', { bubbles: true })); 0";
    person.tab.eval(&format!("{{ {} }}", write.replace("TEXT", &format!("'{text}'")))).await;
}

#[tokio::test]
async fn an_administrator_tries_a_route_and_saves_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let account = json!({"code": "R", "name": "当番商事"});
    let (status, account) = service.ask("admin", Method::POST, "/v1/accounts", Some(account)).await;
    assert!(status.is_success(), "{account}");
    let contact =
        json!({"account": account["id"], "name": "佐々木", "number": "090-1111-0001", "on_call_order": 1});
    let (status, answer) = service.ask("admin", Method::POST, "/v1/contacts", Some(contact)).await;
    assert!(status.is_success(), "{answer}");
    let user = json!({"name": "kanri", "role": "admin", "password": PASSWORD});
    let (status, answer) = service.ask("admin", Method::POST, "/v1/users", Some(user)).await;
    assert!(status.is_success(), "{answer}");
    let browser = Chromium::start().await;
    let admin = Person::signs_in_too(&browser, &service, "kanri").await;
    admin.presses("nav button:nth-child(3)").await;
    let find =
        "[...document.querySelectorAll('.list li button')].find((one) => one.innerText.includes('当番商事'))";
    admin.tab.until("the account", find).await;
    admin.tab.eval(&format!("{find}.click()")).await;
    let reads = |words: &str| {
        format!("document.querySelector('[data-routes] [data-plan]')?.innerText.includes('{words}')")
    };
    admin.tab.until("that nobody gets a message", &reads("送信先がありません")).await;
    admin.tab.until("the holes", "document.querySelector('[data-finding]')").await;
    writes(&admin, WRONG).await;
    admin.presses("[data-try]").await;
    let fault = "document.querySelector('[data-routes] [role=alert]')?.innerText.includes('line 4')";
    admin.tab.until("the line that is wrong", fault).await;
    admin.looks("routes").await;
    writes(&admin, RIGHT).await;
    admin.presses("[data-save]").await;
    admin.tab.until("the plan of the new route", &reads("佐々木様へ電話")).await;
    admin.tab.until("no hole", "!document.querySelector('[data-finding]')").await;
    // The week has an hour for each plan; an endpoint and a digest are added where they belong.
    let whole = "document.querySelectorAll('[data-week] td').length === 168 && !document.querySelector('[data-week] [data-hole]')";
    admin.tab.until("the week without a hole", whole).await;
    let fills = "const field = document.querySelector('[data-endpoints] [name=address]'); \
                 field.value = 'desk@sakura.example.jp'; \
                 field.dispatchEvent(new Event('input', { bubbles: true })); 0";
    admin.tab.eval(&format!("{{ {fills} }}")).await;
    // Each kind asks for what it needs: a chat for whom it calls, a fax for its gateway.
    let kinds = "const kind = document.querySelector('[data-endpoints] [name=kind]'); const asks = (name) => { kind.value = name; \
                 kind.dispatchEvent(new Event('change', { bubbles: true })); }; asks('slack'); 0";
    admin.tab.eval(&format!("{{ {kinds} }}")).await;
    admin.tab.until("whom it calls", "document.querySelector('[data-endpoints] [name=mention]')").await;
    admin.tab.eval(&format!("{{ {} }}", kinds.replace("asks('slack')", "asks('fax')"))).await;
    admin.tab.until("its gateway", "document.querySelector('[data-endpoints] [name=profile]')").await;
    admin.tab.eval(&format!("{{ {} }}", kinds.replace("asks('slack')", "asks('mail')"))).await;
    admin.tab.until("a mail again", "!document.querySelector('[data-endpoints] [name=profile]')").await;
    admin.presses("[data-endpoints] [data-add]").await;
    admin
        .tab
        .until("the endpoint", "document.querySelector('[data-endpoint=\"desk@sakura.example.jp\"]')")
        .await;
    writes(&admin, DIGEST).await;
    admin.presses("[data-save]").await;
    admin.tab.until("the digest", "document.querySelector('[data-digest=evening]')").await;
    admin.presses("[data-digest=evening] [data-run]").await;
    admin.tab.until("its run", "document.querySelector('[data-digest-run]')").await;
    admin.looks("digests").await;
    // The text of a mail, line by line beside the width of a telephone.
    let lines = "[...document.querySelectorAll('[data-preview] [data-columns]')].some((one) => one.innerText.includes('お名前'))";
    admin.tab.until("the preview of a mail", lines).await;
    a_template_is_tried_and_has_versions(&admin).await;
    admin.presses("[data-endpoint] [data-remove]").await;
    admin.presses("[data-endpoint] [data-sure]").await;
    admin.tab.until("no endpoint", "!document.querySelector('[data-endpoint]')").await;
    admin.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

async fn a_template_is_tried_and_has_versions(admin: &Person) {
    // It is tried while it is written: what it writes, and what a system without UTF-8 does not have.
    let writes = "const text = document.querySelector('[data-templates] textarea'); text.value = '{{ opening }}\\n髙島① {{ account.name }}'; \
                  text.dispatchEvent(new Event('input', { bubbles: true })); 0";
    admin.tab.eval(&format!("{{ {writes} }}")).await;
    let replaced = "document.querySelector('[data-templates] [data-replaced]')?.innerText.includes('髙→高')";
    admin.tab.until("the characters that some lack", replaced).await;
    let tried = "[...document.querySelectorAll('[data-preview] [data-columns]')].some((one) => one.innerText.includes('髙島①'))";
    admin.tab.until("what it would write", tried).await;
    assert_eq!(admin.tab.eval("!!document.querySelector('[data-template-version]')").await, false);
    admin.presses("[data-save-template]").await;
    admin
        .tab
        .until("its first version", "document.querySelector('[data-template-version=\"1\"] [data-restore]')")
        .await;
    admin.presses("[data-templates] [data-reset]").await;
    let two = "document.querySelector('[data-template-version=\"2\"]') && !document.querySelector('[data-template-version=\"2\"] [data-restore]')";
    admin.tab.until("the built-in one again", two).await;
    admin.presses("[data-template-version=\"1\"] [data-restore]").await;
    admin.tab.until("the first version again", tried).await;
    admin.looks("template").await;
}
