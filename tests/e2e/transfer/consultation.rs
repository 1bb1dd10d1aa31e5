//! Consultations: completed, cancelled, failed.
use reqwest::StatusCode;
use serde_json::json;

use super::{CONTACT, Scene, talk};
use crate::ms;
use crate::support::pbx_lab::{Lab, Tone};

#[tokio::test]
async fn a_consultation_is_completed() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(800)).await;
    let transfer = scene.transfer("consult", CONTACT).await;
    let (status, early) = scene.command(&transfer, "complete").await;
    assert_eq!((status, &early["type"]), (StatusCode::CONFLICT, &json!("call-conflict")), "{early}");
    scene.wait_event("call.transfer.ringing").await;
    scene.wait_event("call.transfer.consulting").await;
    talk().await;
    let (status, _) = scene.command(&transfer, "complete").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    scene.wait_event("call.transfer.completed").await;
    lab.phone("1001").goes_idle().await;
    talk().await;
    scene.call.hang_up().await;
    lab.phone(CONTACT).goes_idle().await;
    let (caller, contact) = (scene.call.heard().await, lab.phone(CONTACT).heard().await);
    assert!(caller.ever_hears(Tone::MUSIC) && caller.ever_hears(Tone::CONTACT), "{:?}", caller.per_second());
    assert!(
        contact.ever_hears(Tone::OPERATOR) && contact.ever_hears(Tone::CALLER),
        "{:?}",
        contact.per_second()
    );
    for second in contact.per_second() {
        assert!(!(second.contains(&Tone::MUSIC)), "the contact hears no music");
    }
    let history = scene.history().await;
    assert!(history.contains(&"transfer answered".to_owned()), "{history:?}");
}

#[tokio::test]
async fn a_consultation_is_cancelled() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(300)).await;
    let transfer = scene.transfer("consult", CONTACT).await;
    scene.wait_event("call.transfer.consulting").await;
    talk().await;
    assert_eq!(scene.command(&transfer, "cancel").await.0, StatusCode::ACCEPTED);
    let back = scene.wait_event("call.transfer.returned").await;
    assert_eq!(
        (&back["outcome"], &back["returned_to"]),
        (&json!("cancelled"), &json!({ "operator": "1001" }))
    );
    lab.phone(CONTACT).goes_idle().await;
    talk().await;
    scene.call.hang_up().await;
    let (caller, contact) = (scene.call.heard().await, lab.phone(CONTACT).heard().await);
    assert!(!caller.ever_hears(Tone::CONTACT) && !contact.ever_hears(Tone::CALLER));
    let last = caller.per_second().into_iter().rev().nth(1).unwrap();
    assert!(last.contains(&Tone::OPERATOR), "{:?}", caller.per_second());
}

#[tokio::test]
async fn a_consultation_that_fails_gives_the_caller_back() {
    let lab = Lab::start().await;
    for (behaviour, outcome) in [("busy", "busy"), ("refusing", "refused"), ("leaving", "declined")] {
        let mut scene = Scene::talking(&lab).await;
        match behaviour {
            "busy" => lab.phone(CONTACT).is_busy().await,
            "refusing" => lab.phone(CONTACT).refuses().await,
            _ => lab.phone(CONTACT).talks_briefly(ms(200), ms(1_000)).await,
        }
        scene.transfer("consult", CONTACT).await;
        assert_eq!(scene.wait_event("call.transfer.failed").await["outcome"], outcome, "{behaviour}");
        let back = scene.wait_event("call.transfer.returned").await;
        assert_eq!(back["returned_to"], json!({ "operator": "1001" }), "{behaviour}");
        talk().await;
        scene.call.hang_up().await;
        let caller = scene.call.heard().await;
        let last = caller.per_second().into_iter().rev().nth(1).unwrap();
        assert!(last.contains(&Tone::OPERATOR), "{behaviour}: {:?}", caller.per_second());
        scene.service.stop().await;
        lab.reset().await;
    }
}

#[tokio::test]
async fn an_operator_who_hangs_up_before_the_contact_answers_has_transferred() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(2_500)).await;
    scene.transfer("consult", CONTACT).await;
    scene.wait_event("call.transfer.ringing").await;
    lab.phone("1001").hangs_up().await;
    scene.wait_event("call.transfer.completed").await;
    lab.phone(CONTACT).talks().await;
    talk().await;
    scene.call.hang_up().await;
    assert!(lab.phone(CONTACT).heard().await.ever_hears(Tone::CALLER));
}
