//! Guidance by telephone: who has the PIN records what callers hear out of hours, and nobody else does.
use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::callers::{is_alive, sounds_directory};
use crate::callflow::{account, closed_now, is_level, set_callflow};
use crate::support::pbx_lab::{CallSpec, Event, Lab, PlacedCall, Tone};
use crate::support::service::Service;
use crate::support::wait::{eventually, eventually_within};
use crate::voice::{directory, has_spoken};
use crate::{KNOWN_CALLER, SAKURA};

/// The lab's number at which guidance is recorded.
const RECORDER: &str = "0355501095";
/// The line that account 1 forwards.
const SAKURA_FORWARDS: &str = "0335550101";
const PIN: &str = "481516";
const WRONG_PIN: &str = "481517";

/// Presses keys, once the PBX plays this and waits for them.
async fn presses(lab: &Lab, call: &PlacedCall<'_>, mark: usize, prompt: &str, keys: &str) -> usize {
    let asks = |event: &Event| {
        event.has("Application", "Read")
            && event.header("AppData").is_some_and(|data| data.contains(&format!("toritsugi/{prompt},")))
    };
    lab.pbx.events.wait_after(mark, prompt, asks).await;
    let mark = lab.pbx.events.mark();
    if !keys.is_empty() {
        call.send_dtmf(keys).await;
    }
    mark
}

/// Enters account and PIN, and speaks until the question what to do with it.
async fn speaks(lab: &Lab, call: &PlacedCall<'_>, mark: usize, directory: &Path) -> usize {
    let mark = presses(lab, call, mark, "guidance-entry", &format!("001#{PIN}")).await;
    let mark = presses(lab, call, mark, "guidance-speak", "#").await;
    lab.pbx.events.wait_after(mark, "the recording", |event| event.has("Application", "Record")).await;
    has_spoken(directory, call, 2).await;
    let mark = lab.pbx.events.mark();
    call.send_dtmf("#").await;
    mark
}

async fn set_pin(service: &Service, code: &str) {
    let path = format!("/v1/accounts/{}/guidance-pin", account(service, code).await);
    let (status, set) = service.ask("admin", Method::PUT, &path, Some(json!({ "pin": PIN }))).await;
    assert_eq!((status, &set["entry"]), (StatusCode::OK, &json!(&code[1..])), "{set}");
}

async fn own_guidance(service: &Service) -> Value {
    let path = format!("/v1/accounts/{}/callflow", account(service, "A001").await);
    service.ask("admin", Method::GET, &path, None).await.1["fields"]["closed_guidance"].clone()
}

async fn is_empty(directory: &Path) {
    eventually("no recording is left", async || {
        let left = fs::read_dir(directory).unwrap().count();
        if left == 0 { Ok(()) } else { Err(format!("{left} files")) }
    })
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one way through, step by step")]
async fn who_has_the_pin_records_what_the_next_caller_hears_and_the_sixth_wrong_one_of_an_hour_is_refused() {
    let lab = Lab::start().await;
    let (sounds, spool) = (sounds_directory(&lab), directory(&lab));
    let settings = [
        ("CALLFLOW__SOUNDS_DIRECTORY", sounds.to_str().unwrap()),
        ("VOICE__DIRECTORY", spool.to_str().unwrap()),
    ];
    let mut service = Service::start_with(&lab, &settings).await;
    service.change_account("A001", json!({ "hours": closed_now() })).await;
    for (code, fields) in [("A001", json!({})), ("A002", json!({ "closed_guidance": "custom/nowhere" }))] {
        set_callflow(&service, code, fields).await;
        set_pin(&service, code).await;
    }
    let sync = is_level(&service).await;
    let ends_at: jiff::Timestamp = sync["ends_at"].as_str().expect("plans end").parse().unwrap();
    let days = ends_at.duration_since(jiff::Timestamp::now()).as_hours() / 24;
    assert!((33..=35).contains(&days), "{sync}");
    is_alive(&lab).await;

    // From a phone of the PBX; who hangs up without keeping it changes nothing.
    let mark = lab.pbx.events.mark();
    let call = lab.phone("1001").dials("*72").await;
    let mark = speaks(&lab, &call, mark, &spool).await;
    presses(&lab, &call, mark, "guidance-choose", "").await;
    call.hang_up().await;
    is_empty(&spool).await;
    assert_eq!(own_guidance(&service).await, Value::Null);

    // From the number that forwards the company's calls.
    let mark = lab.pbx.events.mark();
    let call = lab.place_call(CallSpec::new(SAKURA_FORWARDS, RECORDER)).await;
    let mark = speaks(&lab, &call, mark, &spool).await;
    presses(&lab, &call, mark, "guidance-choose", "2").await;
    call.ended().await;
    assert!(call.heard().await.ever_hears(Tone::CALLER), "it is played before it is kept");
    is_empty(&spool).await;
    let kept = own_guidance(&service).await;
    let name = kept.as_str().expect("the callflow names it").to_owned();
    let file = sounds.join(format!("{}.ulaw", name.rsplit('/').next().unwrap()));
    eventually_within(Duration::from_secs(10), "the file is at the PBX", async || {
        if file.exists() { Ok(()) } else { Err(format!("{}", file.display())) }
    })
    .await;
    is_level(&service).await;
    let (_, _, heard) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    assert!(heard.ever_hears(Tone::CALLER), "{:?}", heard.per_second());
    let (_, all) = service.ask("admin", Method::GET, "/v1/sounds", None).await;
    assert_eq!((&all["items"][0]["origin"], &all["items"][0]["name"]), (&json!("phone"), &kept), "{all}");

    // One that an administrator must confirm: until then callers hear the one before.
    set_callflow(&service, "A001", json!({ "closed_guidance": kept, "recorded_guidance": "confirmed" }))
        .await;
    let mark = lab.pbx.events.mark();
    let call = lab.place_call(CallSpec::new(SAKURA_FORWARDS, RECORDER)).await;
    let mark = speaks(&lab, &call, mark, &spool).await;
    presses(&lab, &call, mark, "guidance-choose", "2").await;
    call.ended().await;
    is_empty(&spool).await;
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == 1);
    let waiting = service.until("admin", "/v1/guidance-drafts", is).await["items"][0].clone();
    assert_eq!((own_guidance(&service).await, &waiting["used_from"]), (kept, &json!("confirmed")));
    let path = format!("/v1/accounts/{}/guidance-draft/confirm", account(&service, "A001").await);
    let heard = json!({ "sound": waiting["sound"] });
    let (status, used) = service.ask("admin", Method::POST, &path, Some(heard)).await;
    assert_eq!(status, StatusCode::OK, "{used}");
    let kept = own_guidance(&service).await;
    assert_eq!(kept, waiting["name"]);

    // Not from the number of somebody else, though the PIN is right.
    let mark = lab.pbx.events.mark();
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, RECORDER)).await;
    let mark = presses(&lab, &call, mark, "guidance-entry", &format!("002#{PIN}")).await;
    presses(&lab, &call, mark, "guidance-wrong&toritsugi/guidance-entry", "").await;
    call.hang_up().await;

    // Five wrong ones; then the right one is refused, too.
    let mut tries = [WRONG_PIN, WRONG_PIN, WRONG_PIN, WRONG_PIN, WRONG_PIN, PIN].into_iter();
    for _ in 0..2 {
        let mut mark = lab.pbx.events.mark();
        let call = lab.place_call(CallSpec::new(SAKURA_FORWARDS, RECORDER)).await;
        for (prompt, pin) in [
            "guidance-entry",
            "guidance-wrong&toritsugi/guidance-entry",
            "guidance-wrong&toritsugi/guidance-entry",
        ]
        .into_iter()
        .zip(tries.by_ref())
        {
            mark = presses(&lab, &call, mark, prompt, &format!("001#{pin}")).await;
        }
        call.ended().await;
    }
    assert_eq!(own_guidance(&service).await, kept);
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == 8);
    let trail = service.until("admin", "/v1/audit?action=guidance.", is).await;
    let actions: Vec<_> =
        trail["items"].as_array().unwrap().iter().map(|one| one["action"].as_str()).collect();
    let [used, recorded] = ["guidance.used", "guidance.recorded"].map(Some);
    assert_eq!(actions[5..], [used, recorded, recorded], "{trail}");
    assert!(!trail.to_string().contains("48151"), "a PIN in the audit trail: {trail}");
    // The PBX says which sound has no file; it has what was recorded, and the shipped ones.
    let is = |_: StatusCode, ready: &Value| ready.to_string().contains("custom/nowhere");
    let ready = service.until("admin", "/v1/callflow/readiness", is).await;
    let items = ready["items"].as_array().unwrap().iter();
    assert_eq!(items.filter(|one| one["kind"] == "sound_missing").count(), 1, "{ready}");
    // A call to the recorder is none of a customer.
    let (_, past) = service.ask("admin", Method::GET, "/v1/history", None).await;
    let outcomes: Vec<_> = past["items"].as_array().unwrap().iter().map(|call| &call["outcome"]).collect();
    assert!(outcomes.iter().all(|outcome| **outcome == "closed"), "{past}");
    service.stop().await;
}
