//! The administration by keyboard alone, further: contacts and their shifts, customers who become one, words, files, teams, a
//! suspended account, a template; and what the installation is: queues, webhooks, retention, settings.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::administration::{comes, enters, goes_to, opens, says, types_into};
use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;
use crate::support::wait::eventually;

/// A port of this machine at which nobody listens.
const RECEIVER: [(&str, &str); 3] = [
    ("WEBHOOKS__URLS__crm", "http://127.0.0.1:9/hook"),
    ("WEBHOOKS__SECRETS__crm", "0123456789abcdef0123456789abcdef"),
    ("WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true"),
];

async fn make(service: &Service, path: &str, fields: Value) -> String {
    let (status, made) = service.ask("admin", Method::POST, path, Some(fields)).await;
    assert!(status.is_success(), "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn show(service: &Service, path: &str) -> Value {
    service.ask("admin", Method::GET, path, None).await.1
}

/// Chooses an option of a list by its value, as the arrows do.
async fn picks(person: &Person, selector: &str, value: &str) {
    goes_to(person, selector).await;
    for _ in 0..40 {
        if person.tab.eval("document.activeElement.value").await == json!(value) {
            return;
        }
        person.tab.key("ArrowDown").await;
    }
    panic!("{selector} has no {value}");
}

async fn an_administrator(browser: &Chromium, service: &Service) -> Person {
    let admin = comes(browser, service, "kanri", "admin").await;
    admin.tab.key("6").await;
    admin.tab.until("the administration", "document.querySelector('#admin-tab-accounts')").await;
    admin
}

#[tokio::test]
async fn people_of_accounts_are_administered_by_keyboard() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let account = make(&service, "/v1/accounts", json!({"code": "K001", "name": "株式会社管理商事"})).await;
    let browser = Chromium::start().await;
    let admin = an_administrator(&browser, &service).await;
    contacts(&admin, &service, &account).await;
    customers(&admin, &service, &account).await;
    a_suspended_account_and_a_copy(&admin, &service, &account).await;
    admin.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// A contact with a shift, another place in the on-call order, a creation that is undone.
async fn contacts(admin: &Person, service: &Service, account: &str) {
    for (n, name) in [(1, "山田"), (2, "鈴木")] {
        make(service, "/v1/contacts", json!({"account": account, "name": name, "on_call_order": n})).await;
    }
    opens(admin, "contacts").await;
    picks(admin, "[data-of-account]", account).await;
    admin.tab.until("both", "document.querySelectorAll('[data-row]').length === 2").await;
    enters(admin, "[data-new]").await;
    types_into(admin, "#field-name", "佐々木健").await;
    types_into(admin, "#field-number", "090-1111-2222").await;
    enters(admin, "[data-add-shift]").await;
    enters(admin, "[data-save]").await;
    says(admin, "佐々木健").await;
    let list = format!("/v1/contacts?account={account}");
    let kept = show(service, &list).await;
    assert_eq!(kept["items"][2]["on_call_shifts"].as_array().map(Vec::len), Some(1), "{kept}");
    admin.looks("admin-contacts").await;
    enters(admin, "[data-undo]").await;
    says(admin, "元に戻しました").await;
    assert_eq!(show(service, &list).await["items"].as_array().map(Vec::len), Some(2));

    let suzuki = "[...document.querySelectorAll('[data-row]')].find((one) => one.innerText.includes('鈴木'))";
    admin.tab.eval(&format!("{suzuki}.focus()")).await;
    admin.tab.key("Enter").await;
    enters(admin, "[data-up]").await;
    eventually("the other order", async || {
        let kept = show(service, &list).await;
        let places = (kept["items"][0]["on_call_order"].clone(), kept["items"][1]["on_call_order"].clone());
        if places == (json!(2), json!(1)) { Ok(()) } else { Err(kept.to_string()) }
    })
    .await;
}

/// Found by a number, changed, with its history; merged with the same person.
async fn customers(admin: &Person, service: &Service, account: &str) {
    let customer = |name: &str, number: &str| json!({"account": account, "name": name, "numbers": [number], "flags": ["vip"]});
    let kept = make(service, "/v1/customers", customer("髙橋花子", "090-5555-0001")).await;
    make(service, "/v1/customers", customer("高橋様", "090-5555-0002")).await;
    opens(admin, "customers").await;
    // Enter waits for the answer to what was typed.
    types_into(admin, "[data-table-find]", "5555-0001").await;
    admin.tab.key("Enter").await;
    admin.tab.until("the one", &format!("document.querySelectorAll('[data-row]').length === 1 && document.querySelector('.current [data-row=\"{kept}\"]')")).await;
    types_into(admin, "#field-kana", "たかはしはなこ").await;
    enters(admin, "[data-save]").await;
    says(admin, "髙橋花子").await;
    enters(admin, "[data-show-changes]").await;
    admin
        .tab
        .until("the change", "document.querySelector('[data-changes]')?.innerText.includes('たかはしはなこ')")
        .await;
    types_into(admin, "[name=other]", "高橋様").await;
    admin.tab.key("Enter").await;
    goes_to(admin, "[name=twin]").await;
    admin.tab.key(" ").await;
    goes_to(admin, "[data-merge]").await;
    admin.looks("admin-customers").await;
    goes_to(admin, "[data-merge]").await;
    admin.tab.key("Enter").await;
    says(admin, "まとめました").await;
    let whole = show(service, &format!("/v1/customers/{kept}")).await;
    assert_eq!(whole["numbers"].as_array().map(Vec::len), Some(2), "{whole}");
    // It was another person after all.
    enters(admin, "[data-undo]").await;
    says(admin, "元に戻しました").await;
    let back = show(service, &format!("/v1/customers/{kept}")).await;
    assert_eq!(back["numbers"].as_array().map(Vec::len), Some(1), "{back}");
    // Deleted, and the page says what was sent.
    enters(admin, "[data-leave]").await;
    enters(admin, "[data-sure]").await;
    let sent = "document.querySelector('[data-gone]')?.innerText.includes('送った伝言はありません')";
    admin.tab.until("what was sent", sent).await;
}

async fn a_suspended_account_and_a_copy(admin: &Person, service: &Service, account: &str) {
    let callflow = format!("/v1/accounts/{account}/callflow");
    service.ask("admin", Method::PUT, &callflow, Some(json!({"wait_s": 33}))).await;
    opens(admin, "accounts").await;
    types_into(admin, "[data-table-find]", "K001").await;
    admin.tab.key("Enter").await;
    admin.tab.until("the account", "document.querySelector('#field-code')?.value === 'K001'").await;
    enters(admin, "[data-suspend]").await;
    types_into(admin, "[name=reason]", "未入金").await;
    admin.tab.key("Enter").await;
    admin
        .tab
        .until(
            "that it is suspended",
            "document.querySelector('[data-suspended]')?.innerText.includes('未入金')",
        )
        .await;
    let overrides = show(service, "/v1/overrides").await;
    assert_eq!(overrides["items"][0]["account"], account, "{overrides}");
    admin.looks("admin-suspended").await;
    enters(admin, "[data-resume]").await;
    admin.tab.until("that it goes on", "!document.querySelector('[data-suspended]')").await;

    enters(admin, "[data-copy]").await;
    admin.tab.until("the parts", "document.querySelector('[data-parts]')").await;
    types_into(admin, "#field-code", "K002").await;
    types_into(admin, "#field-name", "株式会社ひな形").await;
    enters(admin, "[data-save]").await;
    says(admin, "写しました").await;
    let accounts = show(service, "/v1/accounts?limit=500").await;
    let copy =
        accounts["items"].as_array().unwrap().iter().find(|one| one["code"] == "K002").unwrap().clone();
    let copied = show(service, &format!("/v1/accounts/{}/callflow", copy["id"].as_str().unwrap())).await;
    assert_eq!(copied["fields"]["wait_s"], 33, "{copied}");
}

#[tokio::test]
async fn words_files_and_the_installation_are_administered_by_keyboard() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &RECEIVER).await;
    let account = make(&service, "/v1/accounts", json!({"code": "K001", "name": "株式会社管理商事"})).await;
    let browser = Chromium::start().await;
    let admin = an_administrator(&browser, &service).await;
    words(&admin, &service).await;
    files(&admin, &service, &account).await;
    teams(&admin, &service).await;
    what_the_installation_is(&admin, &service, &account).await;
    admin.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// A flag with a colour; a disposition that is retired, so that operators cannot choose it.
async fn words(admin: &Person, service: &Service) {
    opens(admin, "words").await;
    admin.tab.until("the dispositions", "document.querySelectorAll('[data-word]').length > 2").await;
    let first = admin.tab.eval("document.querySelector('[data-word]').dataset.word").await;
    goes_to(admin, "[data-word] [data-retired]").await;
    admin.tab.key(" ").await;
    enters(admin, ".words [data-save]").await;
    says(admin, "言葉を保存しました").await;
    let options = service.ask("1001", Method::GET, "/v1/operators/options", None).await.1;
    assert!(!options["dispositions"].to_string().contains(&first.to_string()), "{options}");
    enters(admin, "[data-undo]").await;
    says(admin, "元に戻しました").await;
    let options = service.ask("1001", Method::GET, "/v1/operators/options", None).await.1;
    assert!(options["dispositions"].to_string().contains(&first.to_string()), "{options}");

    goes_to(admin, "[data-word] [data-no-message]").await;
    admin.tab.key(" ").await;
    enters(admin, ".words [data-save]").await;
    says(admin, "言葉を保存しました").await;
    let options = service.ask("1001", Method::GET, "/v1/messages/options", None).await.1;
    assert!(options["no_message_reasons"].to_string().contains(&first.to_string()), "{options}");

    picks(admin, "[data-words]", "flag").await;
    enters(admin, "[data-add-word]").await;
    types_into(admin, "tr[data-word]:last-of-type [data-code]", "regular").await;
    types_into(admin, "tr[data-word]:last-of-type [data-label]", "お得意様").await;
    picks(admin, "tr[data-word]:last-of-type select", "good").await;
    enters(admin, ".words [data-save]").await;
    says(admin, "お客様の区分").await;
    admin.looks("admin-words").await;
    let lists = show(service, "/v1/words").await;
    let flags =
        lists["items"].as_array().unwrap().iter().find(|list| list["kind"] == "flag").unwrap().clone();
    assert_eq!(
        (&flags["words"][2]["label"], &flags["words"][2]["tone"]),
        (&json!("お得意様"), &json!("good"))
    );
}

/// A file is given to the page as a person drops it there.
async fn gives_file(admin: &Person, text: &str) {
    let given = format!(
        "{{ const field = document.querySelector('[data-file]'); const list = new DataTransfer();
           list.items.add(new File([{}], 'a.csv', {{ type: 'text/csv' }}));
           field.files = list.files; field.dispatchEvent(new Event('change', {{ bubbles: true }})); 0 }}",
        json!(text)
    );
    admin.tab.eval(&given).await;
}

async fn files(admin: &Person, service: &Service, account: &str) {
    opens(admin, "data").await;
    admin.tab.until("the form", "document.querySelector('[data-file]')").await;
    gives_file(admin, "account,code,name,numbers\nK001,C1,田中,090-1111-2222\nK001,C2,,\nX,C3,鈴木,番号\n")
        .await;
    enters(admin, "[data-try]").await;
    let failed = "document.querySelector('[data-job=failed] [data-errors]')?.innerText";
    admin.tab.until("the bad lines", &format!("{failed}?.includes('名称：入力してください')")).await;
    admin.looks("admin-import").await;
    let of_account = format!("/v1/customers?account={account}");
    assert_eq!(show(service, &of_account).await["items"], json!([]), "nothing was changed");
    let mut file = String::from("account,code,name,numbers\n");
    for n in 0..3_000 {
        writeln!(file, "K001,C{n},田中{n},0901111{n:04}").unwrap();
    }
    gives_file(admin, &file).await;
    enters(admin, "[data-try]").await;
    admin
        .tab
        .until("that it can be imported", "document.querySelector('[data-job=done][data-dry=true]')")
        .await;
    enters(admin, "[data-import]").await;
    admin.tab.until("that it is imported", "document.querySelector('[data-job=done][data-dry=false]')").await;
    says(admin, "3000").await;
    let found = show(service, &format!("/v1/customers?account={account}&q=09011112999")).await;
    assert_eq!(found["items"][0]["name"], "田中2999", "{found}");
    gives_file(admin, "account,code,name\nK001,C0,田中0\nK001,C1,鈴木\nK001,D1,佐藤\n").await;
    enters(admin, "[data-try]").await;
    let counts = "[...document.querySelectorAll('[data-outcome] td')].map((cell) => cell.innerText).join() === '1,1,1,0'";
    admin.tab.until("new, changed, unchanged and refused", counts).await;
    enters(admin, "[data-export]").await;
    eventually("the export", async || {
        let trail = show(service, "/v1/audit?action=records.exported").await;
        if trail["items"].as_array().is_some_and(|items| !items.is_empty()) {
            Ok(())
        } else {
            Err(trail.to_string())
        }
    })
    .await;
}

async fn teams(admin: &Person, service: &Service) {
    opens(admin, "users").await;
    enters(admin, "[data-rename]").await;
    types_into(admin, "[name=team]", "夜の班").await;
    admin.tab.key("Enter").await;
    says(admin, "夜の班").await;
    admin.tab.until("the new name", "document.querySelector('[data-team=\"夜の班\"]')").await;
    let teams = show(service, "/v1/teams").await;
    assert!(teams.to_string().contains("夜の班"), "{teams}");
}

async fn what_the_installation_is(admin: &Person, service: &Service, account: &str) {
    let callflow = format!("/v1/accounts/{account}/callflow");
    let (status, put) =
        service.ask("admin", Method::PUT, &callflow, Some(json!({"queue": "operators"}))).await;
    assert!(status.is_success(), "{put}");
    opens(admin, "queues").await;
    let used = "document.querySelector('[data-queue=operators] [data-accounts]')?.innerText.includes('社')";
    admin.tab.until("the queues with who uses them", used).await;
    admin.looks("admin-queues").await;
    opens(admin, "webhooks").await;
    enters(admin, "[data-receiver=crm] [data-test]").await;
    says(admin, "crm").await;
    admin
        .tab
        .until(
            "the test event",
            "[...document.querySelectorAll('[data-delivery]')].some((row) => row.innerText.includes('webhook.test'))",
        )
        .await;
    admin.looks("admin-webhooks").await;
    opens(admin, "retention").await;
    admin.tab.until("what goes today", "document.querySelector('[data-what=calls]')").await;
    admin.looks("admin-retention").await;
    opens(admin, "settings").await;
    types_into(admin, "[data-table-find]", "webhooks.secrets").await;
    admin.tab.until("the secret", "document.querySelector('[data-row=\"webhooks.secrets.crm\"]')").await;
    let shown = admin.tab.eval("document.querySelector('.adm-page').innerText").await.to_string();
    assert!(shown.contains("設定済み") && !shown.contains("0123456789abcdef"), "{shown}");
    admin.looks("admin-settings").await;
}

/// Accounts of a large house.
const MANY: usize = 5_000;

#[tokio::test]
async fn five_thousand_accounts_scroll_and_are_found() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut file = String::from("code,name,dialled\n");
    for n in 0..MANY {
        writeln!(file, "M{n:04},株式会社{n:04}商会,035556{n:04}").unwrap();
    }
    let request = service.request("admin", Method::POST, "/v1/imports?kind=accounts").body(file);
    let job: Value = request.send().await.unwrap().json().await.unwrap();
    let path = format!("/v1/imports/{}", job["id"].as_str().unwrap());
    eventually("the accounts", async || {
        let job = show(&service, &path).await;
        if job["state"] == "done" { Ok(()) } else { Err(job.to_string()) }
    })
    .await;
    let browser = Chromium::start().await;
    let admin = an_administrator(&browser, &service).await;
    admin
        .tab
        .until(
            "all of them",
            &format!(
                "Number(/\\d+/.exec(document.querySelector('[data-found]')?.innerText ?? '')?.[0]) >= {MANY}"
            ),
        )
        .await;
    // From the first to the last row in a hundred steps: the document never has more rows than some screens.
    let scroll = "(async () => { const view = document.querySelector('.adm-list .view'); const rows = []; const frames = [];
        for (let step = 0; step <= 100; step += 1) {
            const began = performance.now();
            view.scrollTop = (view.scrollHeight - view.clientHeight) * step / 100;
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            rows.push(view.querySelectorAll('[data-row]').length); frames.push(performance.now() - began);
        }
        frames.sort((a, b) => a - b);
        return { rows: Math.max(...rows), frame: frames[95], last: view.innerText.includes('M4999') }; })()";
    let scrolled = admin.tab.eval(scroll).await;
    assert!(scrolled["last"] == true && scrolled["rows"].as_u64().unwrap() < 120, "{scrolled}");
    // Each key of a search.
    let search = "(async () => { const field = document.querySelector('[data-table-find]'); const times = [];
        for (const text of ['4', '49', '499', '株式会社4', '03-5556-4999']) {
            const began = performance.now();
            field.value = text; field.dispatchEvent(new Event('input', { bubbles: true }));
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            times.push(performance.now() - began);
        }
        return { ms: Math.max(...times), found: document.querySelectorAll('[data-row]').length }; })()";
    let searched = admin.tab.eval(search).await;
    assert_eq!(searched["found"], 1, "{searched}");
    println!(
        "{MANY} accounts: a step of scrolling takes {} ms (p95), the slowest search {} ms",
        scrolled["frame"], searched["ms"]
    );
    browser.close().await;
    service.stop().await;
}
