//! The main promise: a known customer calls the diverted number of a company, and the complete pop, in Japanese, is
//! on the operators' desktops before anyone answers.
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::{KNOWN_CALLER, SAKURA};

/// The fields of a pop that differ from run to run.
fn timeless(mut pop: Value) -> Value {
    for key in ["id", "at", "call"] {
        pop[key] = json!(format!("<{key}>"));
    }
    pop["data"]["offered_at"] = json!("<offered_at>");
    pop["data"]["queue"]["since"] = json!("<since>");
    pop["data"]["account"]["id"] = json!("<account>");
    for customer in pop["data"]["customers"].as_array_mut().unwrap() {
        customer["id"] = json!("<customer>");
    }
    pop
}

#[tokio::test]
async fn the_whole_pop_is_there_before_the_answer() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut sse = service.follow("1001", None).await;
    let mut ws = service.follow_ws("1001").await;
    assert_eq!(sse.next().await.unwrap()["kind"], "stream.snapshot");
    assert_eq!(ws.next().await.unwrap()["kind"], "stream.snapshot");
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }

    // 株式会社さくら商事 forwards its own line to a number that many companies share.
    let spec = CallSpec::new(KNOWN_CALLER, "0355501000").diverted_by("0335550101").display_name("田中太郎");
    let call = lab.place_call(spec).await;
    let pop = wait_for(&mut sse, "call.presented").await;
    let same = loop {
        let event = ws.next().await.unwrap();
        if event["kind"] == "call.presented" {
            break event;
        }
    };
    assert!(!call.is_answered(), "the pop came after the answer");
    assert_eq!(pop, same, "SSE and WebSocket publish the same");

    // Whether the company is open depends on the hour at which the test runs.
    let mut content = timeless(pop.clone());
    let hours = content["data"]["account"].as_object_mut().unwrap().remove("hours").unwrap();
    assert!(hours["open"].is_boolean() && hours["until"].is_string(), "{hours}");
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("the_whole_pop", content);
    });
    // The snapshot of a desktop that connects now has the same content.
    let id = pop["call"].as_str().unwrap();
    let (status, view) = service.ask("1001", Method::GET, &format!("/v1/calls/{id}"), None).await;
    assert_eq!((status.as_u16(), &view["state"]), (200, &json!("presented")));
    assert_eq!(view["card"]["account"]["name"], "株式会社さくら商事");

    lab.phone("1001").answers().await;
    let answered = wait_for(&mut sse, "call.answered").await;
    assert_eq!((&answered["call"], &answered["data"]["operator"]), (&pop["call"], &json!("1001")));
    call.hang_up().await;
    let ended = wait_for(&mut sse, "call.ended").await;
    assert_eq!(ended["data"]["outcome"], "answered");
    service.stop().await;
}

#[tokio::test]
async fn the_same_number_is_somebody_else_for_another_company() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    let mut names = Vec::new();
    for diverted_by in ["0335550101", "0335550102"] {
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, "0355501000").diverted_by(diverted_by)).await;
        let pop = wait_for(&mut events, "call.presented").await;
        names.push(pop["data"]["customers"][0]["name"].as_str().unwrap().to_owned());
        call.hang_up().await;
        wait_for(&mut events, "call.ended").await;
    }
    assert_eq!(names, ["田中太郎", "株式会社田中工務店"]);
    service.stop().await;
}

/// From the script that an administrator publishes to the message that is held against it, on one call.
#[tokio::test]
async fn a_call_has_the_script_of_its_account() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("1001", None).await;
    let (_, accounts) = service.ask("1001", Method::GET, "/v1/accounts", None).await;
    let is_sakura = |account: &&Value| account["name"] == "株式会社さくら商事";
    let account =
        accounts["items"].as_array().unwrap().iter().find(is_sakura).unwrap()["id"].as_str().unwrap();
    let body = "format = 1\nname = \"通常\"\n[opening]\nopen = \"{company}の{operator}です。\"\n\
        [[opening.special]]\nwhen = { customer = \"known\" }\nsay = \"いつもお世話になっております。{operator}です。\"\n\
        [[step]]\nid = \"order\"\nask = [{ id = \"order\", label = \"注文番号\", type = \"number\", required = true }]\n";
    let path = format!("/v1/accounts/{account}/scripts/usual");
    let request = json!({"body": body, "publish": true});
    assert_eq!(service.ask("admin", Method::PUT, &path, Some(request)).await.0, 200);

    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let pop = wait_for(&mut events, "call.presented").await;
    let opening = "いつもお世話になっております。{operator}です。";
    let script = json!({"id": "usual", "version": 1, "name": "通常", "opening": opening});
    assert_eq!(pop["data"]["script"], script);
    lab.phone("1001").answers().await;
    wait_for(&mut events, "call.answered").await;

    let request = json!({"call": pop["call"], "values": {"order": ["いち"]}});
    let (status, form) = service.ask("1001", Method::POST, "/v1/scripts/evaluate", Some(request)).await;
    assert_eq!((status.as_u16(), &form["script"]["version"]), (200, &json!(1)), "{form}");
    assert!(
        form["form"]["opening"].as_str().unwrap().starts_with("いつもお世話になっております。"),
        "{form}"
    );
    assert_eq!(form["form"]["missing"][0]["problem"], "not_a_number");
    let mut message = json!({
        "call": pop["call"], "text": "納期の確認", "script": {"id": "usual", "version": 1}, "answers": [],
    });
    let (status, refused) = service.ask("1001", Method::POST, "/v1/messages", Some(message.clone())).await;
    assert_eq!((status.as_u16(), &refused["type"]), (422, &json!("script-incomplete")), "{refused}");
    message["answers"] = json!([{"id": "order", "label": "x", "value": "１２３"}]);
    let (status, saved) = service.ask("1001", Method::POST, "/v1/messages", Some(message)).await;
    assert_eq!((status.as_u16(), &saved["answers"][0]["value"]), (201, &json!("123")), "{saved}");
    call.hang_up().await;
    wait_for(&mut events, "call.ended").await;
    service.stop().await;
}

#[tokio::test]
async fn a_withheld_number_is_in_no_event() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA).withheld()).await;
    let mut all = String::new();
    let mut pops = 0;
    loop {
        let event = events.next().await.unwrap();
        all.push_str(&event.to_string());
        if event["kind"] == "call.presented" {
            pops += 1;
            assert_eq!(event["data"]["caller"]["presentation"], "withheld");
            assert_eq!(event["data"]["customers"], json!([]));
            call.hang_up().await;
        }
        if event["kind"] == "call.ended" {
            break;
        }
    }
    assert!(pops > 0);
    assert!(!all.contains("12345678"), "{all}");
    service.stop().await;
}

#[tokio::test]
async fn who_lost_loses_the_pop_and_sees_nothing_of_the_call_after() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut loser = service.follow("1002", None).await;
    lab.phone("1002").rings_for_ever().await;
    lab.phone("1003").rings_for_ever().await;
    lab.phone("1001").answers_after(crate::ms(1_000)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    wait_for(&mut loser, "call.presented").await;
    let lost = loser.next().await.unwrap();
    assert_eq!(
        (lost["kind"].as_str(), lost["data"]["reason"].as_str()),
        (Some("call.rescinded"), Some("answered_elsewhere"))
    );
    let (status, _) = service
        .ask("1002", Method::GET, &format!("/v1/calls/{}", lost["call"].as_str().unwrap()), None)
        .await;
    assert_eq!(status.as_u16(), 404);
    call.hang_up().await;
    service.stop().await;
}

#[tokio::test]
async fn a_daemon_that_starts_amid_a_call_knows_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("1001", None).await;
    lab.phone("1001").answers_after(crate::ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, "0355501000").diverted_by("0335550101")).await;
    let before = wait_for(&mut events, "call.answered").await;
    service.kill().await;
    service.again().await;
    let mut events = service.follow("admin", None).await;
    let snapshot = events.next().await.unwrap();
    let known = |calls: &Value| calls.as_array().is_some_and(|all| !all.is_empty());
    let state = if known(&snapshot["data"]["calls"]) {
        snapshot["data"]["calls"][0].clone()
    } else {
        wait_for(&mut events, "call.answered").await;
        let id = before["call"].as_str().unwrap();
        service.ask("admin", Method::GET, &format!("/v1/calls/{id}"), None).await.1
    };
    // The same call by the same id, and, since the dialplan kept the headers, for the same company.
    assert_eq!(state["id"], before["call"]);
    assert_eq!(state["operator"], "1001");
    assert_eq!(state["card"]["account"]["name"], "株式会社さくら商事");
    assert_eq!(state["card"]["caller"]["number"], "090-1234-5678");
    call.hang_up().await;
    let ended = wait_for(&mut events, "call.ended").await;
    assert_eq!(ended["data"]["outcome"], "answered");
    service.stop().await;
}
