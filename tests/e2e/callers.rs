//! Callers whom an account refuses or prefers, people of the account who are reached, sounds that were uploaded, and FreePBX's
//! queues: what a plan does beside hours and queues.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::callflow::{account, closed_now, is_level, open_now, set_callflow};
use crate::existing_site::{add, restore};
use crate::support::pbx_lab::{CallSpec, Event, Lab, Spoken, Tone};
use crate::support::service::Service;
use crate::support::wait::eventually_within;
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

/// Another caller.
const OTHER: &str = "0399990001";
/// A mobile of somebody of the account.
const MOBILE: &str = "09055500011";
const SECOND_MOBILE: &str = "09055500012";

async fn rule(service: &Service, code: &str, fields: Value) -> String {
    let mut body = fields;
    body["account"] = json!(account(service, code).await);
    let (status, rule) = service.ask("admin", Method::POST, "/v1/caller-rules", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{rule}");
    is_level(service).await;
    rule["id"].as_str().unwrap().to_owned()
}

/// Waits until the PBX knows that a daemon follows it.
pub(crate) async fn is_alive(lab: &Lab) {
    eventually_within(Duration::from_secs(30), "the PBX knows that a daemon follows it", async || {
        let alive = lab.pbx.action(&[("Action", "Getvar"), ("Variable", "TORITSUGI_ALIVE")]).await;
        let value = alive.head.header("Value").and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
        if jiff::Timestamp::now().as_second() - value <= 4 { Ok(()) } else { Err(format!("{value}")) }
    })
    .await;
}

async fn newest(service: &Service, calls: usize) -> Value {
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == calls);
    service.until("admin", "/v1/history", is).await["items"][0].clone()
}

async fn explained(service: &Service, from: &str, dialled: &str) -> Value {
    let at = jiff::Timestamp::now();
    let path = format!("/v1/explain?dialled={dialled}&from={from}&at={at}");
    service.ask("admin", Method::GET, &path, None).await.1["callflow"].clone()
}

fn joined(event: &Event) -> bool {
    event.name() == "QueueCallerJoin"
}

#[tokio::test]
async fn a_caller_whom_the_account_refuses_is_hung_up_on_unanswered_and_the_history_says_so() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": closed_now() })).await;
    set_callflow(&service, "A001", json!({ "closed_guidance": "accept" })).await;
    is_alive(&lab).await;
    let id =
        rule(&service, "A001", json!({ "number": KNOWN_CALLER, "rule": "refuse", "note": "迷惑" })).await;
    // Another account without a callflow: the PBX's own dialplan takes its calls, but for this caller's.
    rule(&service, "A002", json!({ "number": KNOWN_CALLER, "rule": "refuse", "note": "迷惑" })).await;
    lab.phone("1001").rings_for_ever().await;

    for (calls, number) in [(1, SAKURA), (2, MINATO)] {
        let then = explained(&service, KNOWN_CALLER, number).await;
        assert_eq!(
            (&then["because"], &then["steps"][0]["outcome"]),
            (&json!("caller_rule"), &json!("refused"))
        );
        // The account is closed, and the rule goes before: no guidance.
        let (status, cause) = lab.call_until_rejected(KNOWN_CALLER, number).await;
        assert_ne!(status, "ANSWER", "the call was answered, and charged");
        assert_eq!(cause, 21);
        let call = newest(&service, calls).await;
        assert_eq!((&call["outcome"], &call["answered_at"]), (&json!("refused"), &Value::Null), "{call}");
    }
    // Others are treated by the hours; who withholds the number is nobody whom the account knows.
    let (_, _, heard) = lab.call_until_ended(OTHER, SAKURA).await;
    assert!(heard.ever_hears(Tone::PROMPT), "{:?}", heard.per_second());
    let withheld = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA).withheld()).await;
    withheld.ended().await;
    assert_eq!(newest(&service, 4).await["outcome"], "closed");
    let mark = lab.pbx.events.mark();
    let other = lab.place_call(CallSpec::new(OTHER, MINATO)).await;
    lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
    other.hang_up().await;

    // An override of the whole service goes before the rule.
    let (_, set) =
        service.ask("admin", Method::POST, "/v1/overrides", Some(json!({ "treatment": "open" }))).await;
    is_level(&service).await;
    assert_eq!(explained(&service, KNOWN_CALLER, SAKURA).await["because"], "service_override");
    let mark = lab.pbx.events.mark();
    let let_in = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
    let_in.hang_up().await;
    let path = format!("/v1/overrides/{}", set["id"].as_str().unwrap());
    service.ask("admin", Method::DELETE, &path, None).await;

    // Without the rule, the hours.
    let (status, _) = service.ask("admin", Method::DELETE, &format!("/v1/caller-rules/{id}"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    is_level(&service).await;
    let (_, _, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    assert!(heard.ever_hears(Tone::PROMPT), "{:?}", heard.per_second());
    service.stop().await;
}

#[tokio::test]
async fn a_caller_whom_the_account_prefers_waits_in_front_of_others() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    set_callflow(&service, "A001", json!({})).await;
    is_alive(&lab).await;
    rule(&service, "A001", json!({ "number": KNOWN_CALLER, "rule": "prefer", "priority": 3 })).await;
    lab.phone("1001").rings_for_ever().await;
    let mark = lab.pbx.events.mark();
    let first = lab.place_call(CallSpec::new(OTHER, SAKURA)).await;
    lab.pbx.events.wait_after(mark, "the first caller to wait", joined).await;
    let mark = lab.pbx.events.mark();
    let preferred = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let waits = lab.pbx.events.wait_after(mark, "the second caller to wait", joined).await;
    assert_eq!(waits.header("Position"), Some("1"), "{waits:?}");
    preferred.hang_up().await;
    first.hang_up().await;
    service.stop().await;
}

#[tokio::test]
async fn who_withholds_the_number_hears_to_show_it_where_the_account_refuses_those() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    set_callflow(&service, "A001", json!({ "refuse_withheld": true })).await;
    is_level(&service).await;
    lab.phone("1001").rings_for_ever().await;
    let shipped = Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/withheld.ulaw");
    let (_, cause, heard) = lab.withheld_until_ended(SAKURA).await;
    assert_eq!(cause, 21);
    let likeness = heard.likeness(&shipped);
    assert!(likeness >= 0.8, "{likeness}");
    let call = newest(&service, 1).await;
    assert_eq!((&call["outcome"], &call["answered_at"]), (&json!("refused"), &Value::Null), "{call}");
    let mark = lab.pbx.events.mark();
    let shown = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    lab.pbx.events.wait_after(mark, "the caller to wait", joined).await;
    shown.hang_up().await;
    service.stop().await;
}

#[tokio::test]
async fn people_of_the_account_are_called_in_turn_before_the_guidance() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": closed_now() })).await;
    // The contact who is on call comes before the numbers, and nobody reads the contact's number.
    let id = account(&service, "A001").await;
    let shift = json!([{ "from": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z" }]);
    let contact = json!({
        "account": id, "name": "夜間当番", "number": MOBILE, "on_call_shifts": shift, "do_not_tell": true,
    });
    let (status, contact) = service.ask("admin", Method::POST, "/v1/contacts", Some(contact)).await;
    assert_eq!(status, StatusCode::CREATED, "{contact}");
    let fields = json!({
        "reach": "closed", "reach_on_call": true, "reach_numbers": [SECOND_MOBILE], "reach_s": 5,
        "closed_guidance": "accept",
    });
    set_callflow(&service, "A001", fields).await;
    is_level(&service).await;
    let path = format!("/v1/accounts/{id}/callflow");
    let (_, view) = service.ask("1001", Method::GET, &path, None).await;
    assert_eq!(view["now"]["steps"][0]["contacts"][0]["name"], "夜間当番", "{view}");
    assert!(!view.to_string().contains(&MOBILE[3..]), "{view}");
    // The first is a mailbox, which presses nothing; the second presses 1, and the two talk.
    lab.phone(MOBILE).is_a_mailbox_after(ms(100)).await;
    lab.phone(SECOND_MOBILE).presses_after(ms(500), "1").await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.connected().await;
    lab.phone(SECOND_MOBILE).talks().await;
    // They talk for a while, which the recording shows.
    tokio::time::sleep(ms(1_500)).await;
    lab.phone(SECOND_MOBILE).hangs_up().await;
    call.ended().await;
    let heard = call.heard().await;
    assert!(!heard.ever_hears(Tone::PROMPT), "no guidance: {:?}", heard.per_second());
    let recorded = newest(&service, 1).await;
    assert_eq!(
        (&recorded["outcome"], &recorded["operators"]),
        (&json!("elsewhere"), &json!([])),
        "{recorded}"
    );
    let path = format!("/v1/history/{}", recorded["id"].as_str().unwrap());
    let (_, whole) = service.ask("admin", Method::GET, &path, None).await;
    assert!(!whole.to_string().contains(&MOBILE[3..]), "the contact's number: {whole}");

    // Nobody takes it: the guidance, unanswered.
    lab.phone(MOBILE).refuses().await;
    lab.phone(SECOND_MOBILE).is_busy().await;
    let (status, cause, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    assert_ne!(status, "ANSWER");
    assert_eq!(cause, 21);
    assert!(heard.ever_hears(Tone::PROMPT), "{:?}", heard.per_second());
    assert_eq!(newest(&service, 2).await["outcome"], "closed");
    service.stop().await;
}

/// The folder of uploaded sounds among those of the PBX, as this machine sees it.
pub(crate) fn sounds_directory(lab: &Lab) -> PathBuf {
    let directory = Path::new(&lab.fact("LAB_INSTANCE")).join("pbx/sounds/toritsugi-own");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// A WAV file of the sound of this shipped file.
pub(crate) fn wav_of(name: &str) -> Vec<u8> {
    let ulaw = fs::read(format!("asterisk-conf/sounds/toritsugi/{name}.ulaw")).unwrap();
    toritsugi::callflow::guidance::Guidance { ulaw }.to_wav()
}

pub(crate) async fn upload(service: &Service, query: &str, file: Vec<u8>) -> (StatusCode, Value) {
    let request = service.request("admin", Method::POST, &format!("/v1/sounds?{query}"));
    let answer = request.header("content-type", "audio/wav").body(file).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn an_uploaded_guidance_replaces_the_shipped_one_and_a_missing_file_is_replaced_by_it() {
    let lab = Lab::start().await;
    let directory = sounds_directory(&lab);
    let settings = [("CALLFLOW__SOUNDS_DIRECTORY", directory.to_str().unwrap())];
    let mut service = Service::start_with(&lab, &settings).await;
    service.change_account("A001", json!({ "hours": closed_now() })).await;
    set_callflow(&service, "A001", json!({})).await;
    is_level(&service).await;
    let (shipped, own) = (
        Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/closed.ulaw"),
        Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/busy.ulaw"),
    );
    let (_, _, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    assert!(heard.likeness(&shipped) >= 0.8, "{}", heard.likeness(&shipped));

    let (status, sound) = upload(&service, "title=%E8%87%A8%E6%99%82", wav_of("busy")).await;
    assert_eq!(status, StatusCode::CREATED, "{sound}");
    let name = sound["name"].as_str().unwrap();
    let saved = std::time::Instant::now();
    set_callflow(&service, "A001", json!({ "closed_guidance": name })).await;
    is_level(&service).await;
    println!("at the PBX after {:?}", saved.elapsed());
    let file = directory.join(format!("{}.ulaw", name.rsplit('/').next().unwrap()));
    eventually_within(Duration::from_secs(10), "the file is at the PBX", async || {
        if file.exists() { Ok(()) } else { Err(format!("{}", file.display())) }
    })
    .await;
    let (_, _, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    let (of_own, of_shipped) = (heard.likeness(&own), heard.likeness(&shipped));
    assert!(of_own >= 0.8 && of_shipped < of_own, "{of_own} {of_shipped}");

    // A sound that a callflow names stays; without its file, callers hear the shipped one.
    let path = format!("/v1/sounds/{}", sound["id"].as_str().unwrap());
    let (status, problem) = service.ask("admin", Method::DELETE, &path, None).await;
    assert_eq!(
        (status, problem["type"].as_str().unwrap().ends_with("sound-in-use")),
        (StatusCode::CONFLICT, true)
    );
    service.kill().await;
    fs::remove_file(&file).unwrap();
    let (_, _, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    assert!(heard.likeness(&shipped) >= 0.8, "{}", heard.likeness(&shipped));
    // The next daemon brings it again, and takes it away when nobody names it any more.
    service.again().await;
    eventually_within(Duration::from_secs(10), "the file is there again", async || {
        if file.exists() { Ok(()) } else { Err(format!("{}", file.display())) }
    })
    .await;
    set_callflow(&service, "A001", json!({})).await;
    assert_eq!(service.ask("admin", Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    eventually_within(Duration::from_secs(10), "the file is taken away", async || {
        if file.exists() { Err(format!("{}", file.display())) } else { Ok(()) }
    })
    .await;
    service.stop().await;
}

/// What FreePBX's module of queues makes of queue `operators`, in its own order: it answers with its own music, takes the
/// virtual queue's variables once, and goes to their destination.
async fn freepbx_queue(lab: &Lab) {
    let steps = [
        "Set(QAANNOUNCE=${IF($[${LEN(${VQ_AANNOUNCE})}>1]?${VQ_AANNOUNCE})})",
        "Set(VQ_AANNOUNCE=)",
        "Set(QMAXWAIT=${IF($[${LEN(${VQ_MAXWAIT})}>0]?${VQ_MAXWAIT}:90)})",
        "Set(VQ_MAXWAIT=)",
        "Queue(operators,tCr,,${QAANNOUNCE},${QMAXWAIT})",
        "Set(_QUEUE_PRIO=0)",
        "Set(QDEST=${VQ_DEST})",
        "Set(VQ_DEST=)",
        "GotoIf($[${LEN(${QDEST})}>0]?${CUT(QDEST,^,1)},${CUT(QDEST,^,2)},${CUT(QDEST,^,3)})",
        "Hangup()",
    ];
    for (priority, step) in (1..).zip(steps) {
        add(lab, "ext-queues", "operators", priority, step).await;
    }
}

#[tokio::test]
async fn a_queue_of_freepbx_is_entered_by_its_own_extension_and_comes_back_to_the_plan() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    let fields = json!({
        "wait_s": 2, "second_queue": "operators-linear", "second_wait_s": 2, "overflow_guidance": "accept",
        "announcement": "accept",
    });
    set_callflow(&service, "A001", fields).await;
    is_level(&service).await;
    freepbx_queue(&lab).await;
    lab.set_global("TORITSUGI_FREEPBX", "1").await;

    // The operator hears the company first.
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.connected().await;
    tokio::time::sleep(ms(1_500)).await;
    call.hang_up().await;
    let operator = lab.phone("1001").heard().await;
    let (announced, caller) = (operator.first_sound(Tone::PROMPT), operator.first_sound(Tone::CALLER));
    assert!(announced.is_some() && announced < caller, "{:?}", operator.per_second());
    assert_eq!(newest(&service, 1).await["outcome"], "answered");

    // Nobody takes it: both queues, then the guidance, and the outcome.
    lab.phone("1001").rings_for_ever().await;
    let (status, cause, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    assert_ne!(status, "ANSWER");
    assert_eq!(cause, 34);
    assert!(heard.ever_hears(Tone::PROMPT), "{:?}", heard.per_second());
    let call = newest(&service, 2).await;
    assert_eq!(call["outcome"], "overflowed", "{call}");
    let path = format!("/v1/history/{}", call["id"].as_str().unwrap());
    let (_, call) = service.ask("admin", Method::GET, &path, None).await;
    let queued = call["segments"].as_array().unwrap().iter().filter(|one| one["kind"] == "queued");
    let queues: Vec<&Value> = queued.map(|segment| &segment["target"]).collect();
    assert_eq!(queues, [&json!("operators"), &json!("operators-linear")], "{call}");
    lab.set_global("TORITSUGI_FREEPBX", "").await;
    restore(&lab).await;
    service.stop().await;
}

/// Puts the lab's long sound in the place of the one that tells the first in the queue, or the shipped one back.
fn tell_the_first_at_length(lab: &Lab, is_long: bool) {
    let sounds = Path::new(&lab.fact("LAB_INSTANCE")).join("pbx/sounds");
    let shipped = Path::new("asterisk-conf/sounds/toritsugi/place/1.ulaw").to_owned();
    let sound = if is_long { sounds.join("announcement.ulaw") } else { shipped };
    fs::copy(sound, sounds.join("toritsugi/place/1.ulaw")).unwrap();
}

#[tokio::test]
async fn who_waits_with_music_hears_the_place_and_an_operator_answers_in_the_middle_of_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": open_now() })).await;
    set_callflow(&service, "A001", json!({ "while_waiting": "music", "announce_place": true })).await;
    is_level(&service).await;
    tell_the_first_at_length(&lab, true);
    lab.phone("1001").rings_for_ever().await;
    let mark = lab.pbx.events.mark();
    let first = lab.place_call(CallSpec::new(OTHER, SAKURA)).await;
    first.answered().await;
    let second = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    second.answered().await;
    let whispers = |event: &Event, name: &str, to: &str| {
        event.name() == name && event.header("SpyeeChannel").is_some_and(|channel| channel == to)
    };
    let at_pbx = first.at_pbx().await.header("Channel").unwrap_or("").to_owned();
    let first_is_told = |event: &Event| whispers(event, "ChanSpyStart", &at_pbx);
    lab.pbx.events.wait_after(mark, "the first caller to be told", first_is_told).await;
    let told = second.at_pbx().await.header("Channel").unwrap_or("").to_owned();
    let second_is_told = |event: &Event| whispers(event, "ChanSpyStop", &told);
    lab.pbx.events.wait_after(mark, "the second caller to be told", second_is_told).await;

    // The operator answers in the middle of what the first hears, which is ten seconds long.
    lab.phone("1001").answers().await;
    first.connected().await;
    let is_over = |event: &Event| whispers(event, "ChanSpyStop", &at_pbx);
    assert!(lab.pbx.events.all(is_over).is_empty(), "in the middle of it");
    tokio::time::sleep(ms(2_500)).await;
    first.hang_up().await;
    second.hang_up().await;
    tell_the_first_at_length(&lab, false);

    let (heard, operator) = (first.heard().await, lab.phone("1001").heard().await);
    let at = |tone| heard.first_sound(tone).expect("the caller hears it");
    let begins = [Tone::MUSIC, Tone::PROMPT, Tone::OPERATOR].map(at);
    assert!(begins.is_sorted(), "{begins:?}: {:?}", heard.per_second());
    assert!(heard.ends_with(Tone::OPERATOR), "{:?}", heard.per_second());
    assert!(operator.hears_throughout(Tone::CALLER, 1..2), "{:?}", operator.per_second());
    for tone in [Tone::PROMPT, Tone::MUSIC] {
        assert!(
            !operator.ever_hears(tone),
            "the operator hears only the caller: {:?}",
            operator.per_second()
        );
    }
    // The second one heard the second place, over the music.
    let (place, heard) =
        (Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/place/2.ulaw"), second.heard().await);
    assert!(heard.likeness(&place) >= 0.6 && heard.ever_hears(Tone::MUSIC), "{}", heard.likeness(&place));
    service.stop().await;
}
