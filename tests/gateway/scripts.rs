//! Scripts over HTTP: saving, publishing and restoring with every mistake named, the form of a call, messages held against
//! their script, counted offers, and the command line.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use toritsugi::contract::card::CallerView;
use toritsugi::identity::Presentation;
use toritsugi::messages::Settings;
use toritsugi::store::AuditFilter;

use crate::messages::{MESSAGES, Service};
use crate::support::gateway_rig::{Options, Rig};
use crate::support::ids::call;

const SHOP: &str = include_str!("../samples/scripts/tea-shop.toml");

/// A script of the account A001 that can be saved.
fn small(name: &str, rest: &str) -> String {
    format!(
        "format = 1\nname = \"{name}\"\n{rest}\n[opening]\nopen = \"{{company}}の{{operator}}です。\"\nclosed = \"x\"\n"
    )
}

/// The sample of a shop, for the account A001 and its contact.
fn shop() -> String {
    SHOP.replace("\"T330\"", "\"A001\"").replace("dialled = [\"0120-444-555\"]", "")
}

async fn service(settings: Settings) -> Service {
    let service = Service::with(Options { messages: settings, ..Options::default() }).await;
    let contact = format!("/v1/contacts/{}", service.contact);
    let (status, _) = service.rig.send("admin", Method::PATCH, &contact, &json!({"code": "shop"})).await;
    assert_eq!(status, StatusCode::OK);
    service
}

impl Service {
    fn scripts(&self, rest: &str) -> String {
        format!("/v1/accounts/{}/scripts{rest}", self.account)
    }

    async fn put(&self, who: &str, script: &str, body: &Value) -> (StatusCode, Value) {
        self.rig.send(who, Method::PUT, &self.scripts(&format!("/{script}")), body).await
    }

    /// Saves and publishes the first version of a script.
    async fn published(&self, script: &str, body: &str) {
        let (status, made) = self.put("admin", script, &json!({"body": body, "publish": true})).await;
        assert_eq!(status, StatusCode::OK, "{made}");
    }

    async fn evaluate(&self, who: &str, mut request: Value) -> Value {
        if request.get("call").is_none() {
            request["account"] = json!(self.account);
        }
        let (status, form) = self.rig.send(who, Method::POST, "/v1/scripts/evaluate", &request).await;
        assert_eq!(status, StatusCode::OK, "{form}");
        form
    }

    /// The script on the card of a call, as `explain` shows it.
    async fn card_script(&self) -> Value {
        let (status, explained) = self.rig.get("1001", "/v1/explain?dialled=03-5550-1001").await;
        assert_eq!(status, StatusCode::OK, "{explained}");
        explained["card"]["script"].clone()
    }
}

#[tokio::test]
async fn a_text_that_cannot_work_is_refused_with_each_line() {
    let service = service(Settings::default()).await;
    let long = small(&"あ".repeat(10_000), "");
    for (body, line, reason) in [
        (small("x", "colour = 1"), 3, "unknown field"),
        (small("x\\u0007", ""), 2, "U+0007"),
        (long, 2, "longer than 60 characters"),
        (small("x", "account = \"B1\""), 3, "the script is for the account B1"),
        (
            format!("{}[[reason]]\ncode = \"a\"\nlabel = \"a\"\ncontact = \"nobody\"\n", small("x", "")),
            10,
            "no contact with the code \"nobody\"",
        ),
        (
            format!(
                "{}[[step]]\nid = \"a\"\nwhen = {}\n",
                small("x", ""),
                "{ not = ".repeat(9) + "{}" + &" }".repeat(9)
            ),
            9,
            "deep",
        ),
    ] {
        let (status, refused) = service.put("admin", "usual", &json!({"body": body})).await;
        assert_eq!(
            (status, &refused["type"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("script-invalid")),
            "{refused}"
        );
        let finding = &refused["findings"][0];
        assert_eq!((&finding["severity"], &finding["line"]), (&json!("error"), &json!(line)), "{refused}");
        assert!(finding["reason"].as_str().unwrap().contains(reason), "{refused}");
        let request = json!({"account": service.account, "body": body});
        let (status, checked) = service.rig.send("admin", Method::POST, "/v1/scripts/check", &request).await;
        assert_eq!((status, &checked["findings"]), (StatusCode::OK, &refused["findings"]));
    }
    assert_eq!(
        service.rig.get("1001", &service.scripts("")).await.1["items"],
        json!([]),
        "nothing was saved"
    );
    let (status, _) = service.put("admin", "Usual", &json!({"body": small("x", "")})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "that is no code");
}

#[tokio::test]
async fn versions_are_saved_published_restored_and_retired() {
    let service = service(Settings::default()).await;
    let dialled = json!({"dialled": ["03-5550-1001"]});
    service.rig.send("admin", Method::PATCH, &format!("/v1/accounts/{}", service.account), &dialled).await;
    assert_eq!(service.card_script().await, Value::Null);

    let (_, draft) = service.put("admin", "usual", &json!({"body": small("一", "")})).await;
    assert_eq!((&draft["script"]["version"], &draft["script"]["state"]), (&json!(1), &json!("draft")));
    assert_eq!(service.card_script().await, Value::Null, "a draft is not used");
    let publish = service.scripts("/usual/publish");
    let (status, live) =
        service.rig.send("admin", Method::POST, &publish, &json!({"version": 1, "newest": 1})).await;
    assert_eq!((status, &live["script"]["state"]), (StatusCode::OK, &json!("live")), "{live}");
    let script =
        json!({"id": "usual", "version": 1, "name": "一", "opening": "さくら商事の{operator}です。"});
    assert_eq!(service.card_script().await, script);

    // Somebody else has saved meanwhile.
    let second = json!({"body": small("二", ""), "version": 1, "publish": true});
    assert_eq!(service.put("admin", "usual", &second).await.0, StatusCode::OK);
    let (status, stale) = service.put("admin", "usual", &second).await;
    assert_eq!((status, &stale["type"]), (StatusCode::CONFLICT, &json!("script-changed")));
    assert_eq!((&stale["script"]["version"], &stale["script"]["name"]), (&json!(2), &json!("二")));
    assert_eq!(service.card_script().await["version"], 2);

    // A version for later leaves the present one alone; restoring an old one makes a copy of it.
    let later = json!({"body": small("三", "valid = { from = 2099-01-01 }"), "version": 2, "publish": true});
    assert_eq!(service.put("admin", "usual", &later).await.0, StatusCode::OK);
    assert_eq!(service.card_script().await["version"], 2);
    let (status, stale) =
        service.rig.send("admin", Method::POST, &publish, &json!({"version": 1, "newest": 2})).await;
    assert_eq!((status, &stale["type"]), (StatusCode::CONFLICT, &json!("script-changed")));
    let (_, restored) =
        service.rig.send("admin", Method::POST, &publish, &json!({"version": 1, "newest": 3})).await;
    assert_eq!((&restored["script"]["version"], &restored["script"]["restored"]), (&json!(4), &json!(1)));
    assert_eq!(
        (&service.card_script().await["version"], &service.card_script().await["name"]),
        (&json!(4), &json!("一"))
    );
    let (_, versions) = service.rig.get("1001", &service.scripts("/usual/versions")).await;
    let states: Vec<_> =
        versions["items"].as_array().unwrap().iter().map(|v| v["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["live", "retired", "retired", "retired"]);
    let (_, first) = service.rig.get("1001", &service.scripts("/usual?version=1")).await;
    assert_eq!(first["body"], small("一", ""));

    let usual = service.scripts("/usual");
    assert_eq!(
        service.rig.send("admin", Method::DELETE, &usual, &Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(service.card_script().await, Value::Null);
    let filter = AuditFilter { action: "script.".into(), ..AuditFilter::default() };
    let audit = service.rig.app.store.audit(&filter, None, 50).await.unwrap();
    let actions: Vec<_> = audit.items.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "script.retired",
            "script.published",
            "script.published",
            "script.published",
            "script.published",
            "script.saved"
        ]
    );
}

#[tokio::test]
async fn supervisors_change_scripts_where_the_installation_says_so() {
    let closed = service(Settings::default()).await;
    let body = json!({"body": small("x", "")});
    assert_eq!(closed.put("2001", "usual", &body).await.0, StatusCode::FORBIDDEN);
    let request = json!({"account": closed.account, "body": small("x", "")});
    let (status, _) = closed.rig.send("1001", Method::POST, "/v1/scripts/evaluate", &request).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a text of one's own is for authors");
    let open = service(Settings { supervisors_edit_scripts: true, ..Settings::default() }).await;
    assert_eq!(open.put("2001", "usual", &body).await.0, StatusCode::OK);
    for (service, who, may) in
        [(&closed, "2001", false), (&closed, "admin", true), (&open, "2001", true), (&open, "1001", false)]
    {
        let (_, options) = service.rig.get(who, &format!("{MESSAGES}/options")).await;
        assert_eq!(options["may_edit_scripts"], may, "{who}");
    }
    assert_eq!(
        open.put("1001", "usual", &json!({"body": small("x", ""), "version": 1})).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn the_form_follows_the_answers_of_a_call() {
    let service = service(Settings { common_surnames: vec!["サトウ".into()], ..Settings::default() }).await;
    let built_in = service.evaluate("1001", json!({})).await;
    assert_eq!((built_in.get("script"), &built_in["form"]["reasons"]), (None, &json!([])));
    assert!(built_in["form"]["opening"].as_str().unwrap().contains("さくら商事"), "{built_in}");

    service.published("usual", &shop()).await;
    let caller = CallerView { presentation: Presentation::Withheld, ..CallerView::default() };
    service.talks(1, "1001", caller);
    let form = service.evaluate("1001", json!({"call": call(1), "reason": "order"})).await;
    assert_eq!(form["script"], json!({"id": "usual", "version": 1}));
    let form = &form["form"];
    assert!(form["opening"].as_str().unwrap().ends_with("ご注文の1001です。"), "{form}");
    let steps = |form: &Value| -> Vec<String> {
        form["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(steps(form), ["person", "items", "note"], "the customer is known: no address");
    assert_eq!(form["defaults"], json!({"urgency": "low", "route": "orders", "privacy": "full"}));
    let bags = &form["steps"][1]["fields"][1];
    assert_eq!(
        (&bags["default"], &bags["required"], &bags["type"]),
        (&json!("1"), &json!("yes"), &json!("number"))
    );

    let values = json!({
        "kana": ["さとう"], "kanji": ["佐藤"], "phone": ["03-1111-2222"], "item": ["玉露"], "bags": ["3"], "pay": ["代引"],
    });
    let answered =
        service.evaluate("1001", json!({"call": call(1), "reason": "order", "values": values})).await;
    assert_eq!(answered["form"]["missing"], json!([]));
    assert_eq!(answered["form"]["offer"]["id"], "subscription");
    let request = json!({"call": call(1), "reason": "order", "values": values, "offers": ["subscription"]});
    assert_eq!(
        service.evaluate("1001", request).await["form"]["offer"]["say"],
        "玉露に合う急須もございます。"
    );

    // A form that was begun goes on with its version; a live form beside the editor takes the text.
    service
        .rig
        .send(
            "admin",
            Method::PUT,
            &service.scripts("/usual"),
            &json!({"body": small("次", ""), "version": 1, "publish": true}),
        )
        .await;
    let old =
        service.evaluate("1001", json!({"call": call(1), "script": {"id": "usual", "version": 1}})).await;
    assert_eq!(old["name"], "山の茶 ご注文");
    let live =
        service.evaluate("admin", json!({"body": small("案", ""), "at": "2026-11-30T02:00:00Z"})).await;
    assert_eq!((&live["name"], &live["form"]["opening"]), (&json!("案"), &json!("さくら商事のadminです。")));
    let broken = service.evaluate("admin", json!({"body": "format = 2"})).await;
    assert!(broken.get("form").is_none() && broken["findings"][0]["line"] == 1, "{broken}");
    let wrong = json!({"account": service.account, "script": {"id": "usual", "version": 9}});
    let (status, _) = service.rig.send("1001", Method::POST, "/v1/scripts/evaluate", &wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

fn order(service: &Service, answers: &Value) -> Value {
    json!({
        "account": service.account, "text": "玉露を三袋", "reason": "order", "script": {"id": "usual", "version": 1},
        "from": {"name": "さとう", "name_kanji": "佐藤", "number": "03-1111-2222"},
        "answers": answers, "offers": [{"id": "subscription", "result": "accepted"}],
    })
}

fn answers() -> Value {
    json!([
        {"id": "postal", "label": "x", "value": "1000001"},
        {"id": "address", "label": "x", "value": "東京都千代田区"},
        {"id": "item", "label": "x", "value": "玉露"},
        {"id": "bags", "label": "x", "value": "３"},
        {"id": "pay", "label": "x", "value": "代引", "sensitive": false},
    ])
}

#[tokio::test]
async fn a_message_is_held_against_its_script() {
    let service = service(Settings::default()).await;
    let sensitive = shop().replace(
        "choices = [\"代引\", \"後払い\"], required = true",
        "choices = [\"代引\", \"後払い\"], required = true, sensitive = true",
    );
    service.published("usual", &sensitive).await;
    let (status, refused) = service.take("1001", &order(&service, &json!([])), None).await;
    assert_eq!(
        (status, &refused["type"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("script-incomplete")),
        "{refused}"
    );
    let missing: Vec<_> =
        refused["missing"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(
        missing,
        ["postal", "address", "item", "bags", "pay"],
        "the customer is new; mail may be skipped"
    );
    let mut wrong = answers();
    wrong[2]["value"] = json!("紅茶");
    let (_, refused) = service.take("1001", &order(&service, &wrong), None).await;
    assert_eq!(refused["missing"][0]["problem"], "not_a_choice", "{refused}");

    let (status, message) = service.take("1001", &order(&service, &answers()), None).await;
    assert_eq!(status, StatusCode::CREATED, "{message}");
    let kept: Vec<_> = message["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (&a["label"], &a["value"]))
        .map(|(l, v)| format!("{l}{v}"))
        .collect();
    let expected = [
        "\"郵便番号\"\"100-0001\"",
        "\"お届け先\"\"東京都千代田区\"",
        "\"商品\"\"玉露\"",
        "\"袋数\"\"3\"",
        "\"お支払い\"\"•••\"",
    ];
    assert_eq!(kept, expected, "label, form and sensitivity are the script's");
    let path = format!("{MESSAGES}/{}", message["id"].as_str().unwrap());
    for (who, value) in [("2001", "代引"), ("admin", "代引"), ("1002", "•••"), ("crm", "•••")]
    {
        assert_eq!(service.rig.get(who, &path).await.1["answers"][4]["value"], value, "{who}");
    }
    // A change of the text alone needs no answers again, also when the script is gone.
    service.rig.send("admin", Method::DELETE, &service.scripts("/usual"), &Value::Null).await;
    let (status, _) =
        service.rig.send("1001", Method::PATCH, &path, &json!({"text": "玉露を三袋、急ぎ"})).await;
    assert_eq!(status, StatusCode::OK);
    // The subject that nobody wrote names the script's reason, and follows the action.
    assert_eq!(message["subject"], "ご注文");
    let (_, changed) = service.rig.send("1001", Method::PATCH, &path, &json!({"action": "call_back"})).await;
    assert_eq!(changed["subject"], "ご注文・折り返し希望", "{changed}");
    let (status, refused) = service.rig.send("2001", Method::PATCH, &path, &json!({"answers": []})).await;
    assert_eq!(
        (status, &refused["type"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("script-incomplete")),
        "{refused}"
    );
    fields_beside_the_script_are_refused(&service).await;
}

async fn fields_beside_the_script_are_refused(service: &Service) {
    for (field, value) in [
        ("script", json!({"id": "usual", "version": 7})),
        ("offers", json!([{"id": "none", "result": "later"}])),
        ("reason", json!("booking")),
    ] {
        let mut fields = order(service, &answers());
        fields[field] = value;
        let (status, refused) = service.take("1001", &fields, None).await;
        assert_eq!(
            (status, &refused["type"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid-body")),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn what_came_of_offers_is_counted_for_those_who_may_see_it() {
    let service = service(Settings::default()).await;
    service.published("usual", &shop()).await;
    for (who, result) in [("1001", "accepted"), ("1001", "declined"), ("1002", "later")] {
        let mut fields = order(&service, &answers());
        fields["offers"][0]["result"] = json!(result);
        assert_eq!(service.take(who, &fields, None).await.0, StatusCode::CREATED);
    }
    let counted = async |who: &str, query: &str| {
        let (status, counts) = service.rig.get(who, &format!("/v1/scripts/offers{query}")).await;
        assert_eq!(status, StatusCode::OK, "{counts}");
        counts["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| (c["by"].clone(), c["accepted"].clone(), c["declined"].clone(), c["later"].clone()))
            .collect::<Vec<_>>()
    };
    let of = |who: &str, yes: u32, no: u32, later: u32| {
        (json!(service.rig.user(who)), json!(yes), json!(no), json!(later))
    };
    assert_eq!(counted("2001", "").await, [of("1001", 1, 1, 0)], "the own team");
    assert_eq!(counted("2002", "").await, [of("1002", 0, 0, 1)]);
    assert_eq!(counted("admin", &format!("?account={}", service.account)).await.len(), 2);
    service.rig.advance(Duration::from_secs(60));
    let now = service.rig.app.clock.now();
    assert_eq!(counted("admin", &format!("?from={now}")).await, []);
}

/// Runs `toritsugi scripts` with these arguments as the administrator.
async fn command(rig: &Rig, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI_")) {
        command.env_remove(name);
    }
    command.arg("scripts").args(arguments).env("TORITSUGI_TOKEN", rig.token("admin")).kill_on_drop(true);
    command.env("TORITSUGI_URL", format!("http://{}", rig.address));
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn the_command_line_checks_imports_exports_and_rolls_back() {
    let service = service(Settings::default()).await;
    let rig = &service.rig;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, broken) = (file("good.toml", &shop()), file("broken.toml", &small("x", "colour = 1")));
    let other = file("other.toml", SHOP);

    let (code, _, said) = command(rig, &["check", &broken]).await;
    assert!(code == Some(1) && said.starts_with(&format!("{broken}:3:1: error: ")), "{said}");
    assert_eq!(command(rig, &["check", &other]).await.0, Some(0), "a text of its own");
    let (code, _, said) = command(rig, &["check", &other, "--account", "A001"]).await;
    assert!(code == Some(1) && said.contains("the script is for the account T330"), "{said}");

    assert_eq!(command(rig, &["import", &good, "--dry-run"]).await.0, Some(0));
    assert_eq!(command(rig, &["list", "A001"]).await.1.lines().count(), 1, "nothing was saved");
    let (code, said, error) = command(rig, &["import", &good, "--publish"]).await;
    assert_eq!((code, said.as_str()), (Some(0), "A001 usual: version 1, live\n"), "{error}");
    let (code, _, said) = command(rig, &["import", &broken, "--account", "A001"]).await;
    assert!(code == Some(1) && said.contains(":3:1: error"), "{said}");

    let exported = directory.path().join("exported.toml");
    command(rig, &["export", "A001", "--output", exported.to_str().unwrap()]).await;
    assert_eq!(read(&exported), shop());
    let next = file("next.toml", &small("次", ""));
    assert_eq!(
        command(rig, &["import", &next, "--account", "A001"]).await.1,
        "A001 usual: version 2, draft\n"
    );
    assert_eq!(command(rig, &["publish", "A001", "usual", "2"]).await.1, "A001 usual: version 2 is live\n");
    let (_, said, _) = command(rig, &["rollback", "A001", "usual", "1"]).await;
    assert_eq!(said, "A001 usual: version 3 is live, the text of version 1\n");
    let (_, said, _) = command(rig, &["show", "A001", "--versions"]).await;
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(command(rig, &["show", "A001"]).await.1.starts_with("# usual version 3, live\n"));
    assert_eq!(command(rig, &["retire", "A001", "usual"]).await.0, Some(0));
    let (_, said, _) = command(rig, &["list", "A001", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()[0]["state"], "retired");
    let (code, _, said) = command(rig, &["list", "B9"]).await;
    assert!(code == Some(1) && said.contains("no account is called \"B9\""), "{said}");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
