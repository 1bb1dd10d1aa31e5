//! Blind transfers: to a contact, along an on-call list, and back.
use serde_json::json;

use super::{CONTACT, FIRST_ON_CALL, SECOND_ON_CALL, Scene, talk};
use crate::ms;
use crate::support::pbx_lab::{Lab, Tone};

#[tokio::test]
async fn a_blind_transfer_reaches_the_contact() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).talks_briefly(ms(1_200), ms(3_000)).await;
    let transfer = scene.transfer("blind", CONTACT).await;
    assert_eq!(transfer["mode"], "blind");
    assert_eq!(scene.wait_event("call.transfer.requested").await["operator"], "1001");
    scene.wait_event("call.transfer.ringing").await;
    let done = scene.wait_event("call.transfer.completed").await;
    assert_eq!(done["outcome"], "answered");
    assert_eq!(done["targets"], json!([{ "kind": "number", "number": "090-1111-2222" }]));
    assert_eq!(scene.call.ended().await, 16);
    scene.ended().await;
    let over = scene.show(&transfer).await;
    assert_eq!((&over["state"], &over["outcome"]), (&json!("over"), &json!("answered")));
    assert!((2..=4).contains(&over["talked_s"].as_u64().unwrap()), "{over}");
    let (caller, contact) = (scene.call.heard().await, lab.phone(CONTACT).heard().await);
    assert!(caller.ever_hears(Tone::OPERATOR) && caller.ever_hears(Tone::MUSIC), "{:?}", caller.per_second());
    assert!(caller.ever_hears(Tone::CONTACT), "{:?}", caller.per_second());
    assert!(contact.hears_throughout(Tone::CALLER, 1..2), "{:?}", contact.per_second());
    assert!(!contact.ever_hears(Tone::OPERATOR), "{:?}", contact.per_second());
    let history = scene.history().await;
    assert!(history.contains(&"transfer answered".to_owned()), "{history:?}");
    assert!(history.contains(&"transferred -".to_owned()), "{history:?}");
}

#[tokio::test]
async fn a_caller_whom_nobody_takes_comes_back_with_the_reason() {
    let lab = Lab::start().await;
    for (behaviour, outcome) in
        [("busy", "busy"), ("refusing", "refused"), ("unreachable", "unreachable"), ("silent", "no_answer")]
    {
        let mut scene = Scene::talking(&lab).await;
        let contact = lab.phone(CONTACT);
        match behaviour {
            "busy" => contact.is_busy().await,
            "refusing" => contact.refuses().await,
            "unreachable" => contact.is_unreachable().await,
            _ => contact.rings_for_ever().await,
        }
        scene.transfer("blind", CONTACT).await;
        assert_eq!(scene.wait_event("call.transfer.failed").await["outcome"], outcome, "{behaviour}");
        let back = scene.wait_event("call.transfer.returned").await;
        assert_eq!(back["returned_to"], json!({ "operator": "1001" }), "{behaviour}");
        let pop = scene.wait_event("call.presented").await;
        assert_eq!(pop["transfer"]["outcome"], outcome, "{behaviour}: {pop}");
        assert_eq!(pop["account"]["name"], "株式会社さくら商事", "{behaviour}");
        scene.wait_event("call.answered").await;
        lab.phone("1001").talks().await;
        talk().await;
        scene.call.hang_up().await;
        let operator = lab.phone("1001").heard().await;
        assert!(operator.ever_hears(Tone::CALLER), "{behaviour}: {:?}", operator.per_second());
        scene.wait_event("call.ended").await;
        let history = scene.history().await;
        assert!(history.contains(&format!("transfer {outcome}")), "{history:?}");
        assert!(history.contains(&format!("returned {outcome}")), "{history:?}");
        lab.reset().await;
    }
}

#[tokio::test]
async fn the_second_on_call_takes_the_caller_after_a_mailbox() {
    let lab = Lab::start().await;
    let mut scene = Scene::with_keys(&lab).await;
    lab.phone(FIRST_ON_CALL).is_a_mailbox_after(ms(200)).await;
    lab.phone(SECOND_ON_CALL).presses_after(ms(200), "1").await;
    let transfer = scene.transfer("blind", "on-call").await;
    assert_eq!(transfer["targets"].as_array().unwrap().len(), 2);
    let first = scene.wait_event("call.transfer.failed").await;
    assert_eq!(first["attempts"][0]["outcome"], "not_accepted", "{first}");
    assert_eq!(first["attempts"][0]["target"]["name"], "佐々木健");
    assert_eq!(first["state"], "trying");
    let done = scene.wait_event("call.transfer.completed").await;
    assert_eq!(done["attempts"][1]["target"]["name"], "井上美咲", "{done}");
    talk().await;
    lab.phone(SECOND_ON_CALL).hangs_up().await;
    scene.call.ended().await;
    let (mailbox, second) = (lab.phone(FIRST_ON_CALL).heard().await, lab.phone(SECOND_ON_CALL).heard().await);
    assert!(
        mailbox.ever_hears(Tone::PROMPT) && !mailbox.ever_hears(Tone::CALLER),
        "{:?}",
        mailbox.per_second()
    );
    assert!(second.ever_hears(Tone::CALLER), "{:?}", second.per_second());
    let caller = scene.call.heard().await;
    assert!(!caller.ever_hears(Tone::PROMPT), "{:?}", caller.per_second());
}

#[tokio::test]
async fn an_operator_who_is_gone_leaves_the_caller_to_the_queue() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    let mut supervisor = scene.service.follow("admin", None).await;
    lab.phone(CONTACT).is_busy().await;
    lab.phone("1001").is_busy().await;
    lab.phone("1003").answers_after(ms(300)).await;
    scene.transfer("blind", CONTACT).await;
    assert_eq!(
        scene.wait_event("call.transfer.returned").await["returned_to"],
        json!({ "operator": "1001" })
    );
    let queued = scene.wait_event("call.transfer.returned").await;
    assert_eq!(queued["returned_to"], json!({ "queue": "operators" }));
    let pop = loop {
        let event = supervisor.next().await.expect("an event");
        if event["kind"] == "call.presented" && event["data"]["operator"] == "1003" {
            if event["data"]["transfer"].is_null() {
                continue;
            }
            break event["data"].clone();
        }
    };
    assert_eq!(pop["transfer"]["returned_to"], json!({ "queue": "operators" }), "{pop}");
    assert_eq!(pop["transfer"]["outcome"], "busy");
    lab.phone("1003").talks().await;
    talk().await;
    scene.call.hang_up().await;
    assert!(lab.phone("1003").heard().await.ever_hears(Tone::CALLER));
}
