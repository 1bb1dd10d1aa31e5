//! The caller or the contact hangs up: in every state of a transfer, and at the worst moment.
use serde_json::json;

use super::{CONTACT, FIRST_ON_CALL, Scene, talk};
use crate::ms;
use crate::support::pbx_lab::{Lab, Tone};

#[tokio::test]
async fn a_caller_who_hangs_up_frees_the_contact_at_once() {
    let lab = Lab::start().await;
    for (mode, state) in
        [("blind", "ringing"), ("blind", "accepting"), ("consult", "ringing"), ("blind", "returning")]
    {
        let mut scene = Scene::with_keys(&lab).await;
        let contact = lab.phone(FIRST_ON_CALL);
        match state {
            "ringing" => contact.rings_for_ever().await,
            "accepting" => contact.is_a_mailbox_after(ms(200)).await,
            _ => contact.is_busy().await,
        }
        lab.phone("1001").rings_for_ever().await;
        let to = if state == "accepting" { "on-call" } else { FIRST_ON_CALL };
        let transfer = scene.transfer(mode, to).await;
        match state {
            "ringing" => drop(scene.wait_event("call.transfer.ringing").await),
            "accepting" => drop(contact.talks().await),
            _ => drop(scene.wait_event("call.presented").await),
        }
        scene.call.hang_up().await;
        contact.goes_idle().await;
        scene.wait_event("call.ended").await;
        lab.phone("1001").goes_idle().await;
        let over = scene.show(&transfer).await;
        assert_eq!(over["state"], "over", "{mode} {state}: {over}");
        assert_eq!(over["outcome"], "caller_gone", "{mode} {state}: {over}");
        let history = scene.history().await;
        assert!(history.iter().any(|s| s == "transfer caller_gone"), "{mode} {state}: {history:?}");
        lab.reset().await;
    }
}

#[tokio::test]
async fn a_caller_who_leaves_a_consultation_ends_it() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(200)).await;
    let transfer = scene.transfer("consult", CONTACT).await;
    scene.wait_event("call.transfer.consulting").await;
    talk().await;
    scene.call.hang_up().await;
    assert_eq!(scene.wait_event("call.transfer.failed").await["outcome"], "caller_gone");
    // The remaining parties talk with each other or are free: nobody waits in silence.
    let operator = lab.phone("1001");
    if !operator.is_idle() {
        talk().await;
        operator.hangs_up().await;
    }
    lab.phone(CONTACT).goes_idle().await;
    operator.goes_idle().await;
    scene.ended().await;
    assert_eq!(scene.show(&transfer).await["outcome"], "caller_gone");
    let contact = lab.phone(CONTACT).heard().await;
    assert!(
        !contact.ever_hears(Tone::CALLER) && !contact.ever_hears(Tone::MUSIC),
        "{:?}",
        contact.per_second()
    );
    let history = scene.history().await;
    assert!(history.iter().any(|s| s == "transfer caller_gone"), "{history:?}");
}

#[tokio::test]
async fn a_caller_who_hangs_up_afterwards_frees_the_contact() {
    let lab = Lab::start().await;
    for mode in ["blind", "consult"] {
        let mut scene = Scene::talking(&lab).await;
        lab.phone(CONTACT).answers_after(ms(200)).await;
        let transfer = scene.transfer(mode, CONTACT).await;
        if mode == "consult" {
            scene.wait_event("call.transfer.consulting").await;
            scene.command(&transfer, "complete").await;
        }
        scene.wait_event("call.transfer.completed").await;
        talk().await;
        scene.call.hang_up().await;
        lab.phone(CONTACT).goes_idle().await;
        scene.ended().await;
        let over = scene.show(&transfer).await;
        assert_eq!(
            (&over["state"], &over["outcome"]),
            (&json!("over"), &json!("answered")),
            "{mode}: {over}"
        );
        assert!(over["talked_s"].as_u64().unwrap() >= 1, "{mode}: {over}");
        let history = scene.history().await;
        assert!(history.contains(&"transfer answered".to_owned()), "{mode}: {history:?}");
        lab.reset().await;
    }
}

#[tokio::test]
async fn a_contact_who_hangs_up_after_a_second_was_reached() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).talks_briefly(ms(200), ms(1_000)).await;
    let transfer = scene.transfer("blind", CONTACT).await;
    scene.wait_event("call.transfer.completed").await;
    assert_eq!(scene.call.ended().await, 16);
    scene.ended().await;
    let over = scene.show(&transfer).await;
    assert_eq!((&over["state"], &over["outcome"]), (&json!("over"), &json!("answered")), "{over}");
    assert!(over["talked_s"].as_u64().unwrap() <= 2, "{over}");
    assert!(lab.phone(CONTACT).heard().await.ever_hears(Tone::CALLER));
}

#[tokio::test]
async fn a_contact_who_leaves_at_the_instant_of_completion_leaves_nobody_alone() {
    let lab = Lab::start().await;
    for round in 0..4 {
        let mut scene = Scene::talking(&lab).await;
        lab.phone(CONTACT).answers_after(ms(200)).await;
        let transfer = scene.transfer("consult", CONTACT).await;
        scene.wait_event("call.transfer.consulting").await;
        let contact = lab.phone(CONTACT);
        let complete = async {
            if round % 2 == 1 {
                tokio::task::yield_now().await;
            }
            scene.command(&transfer, "complete").await.0
        };
        let (status, ()) = tokio::join!(complete, contact.hangs_up());
        // Whichever came first, the call is over or an operator has the caller again.
        if scene.is_over_or_with_an_operator(&transfer).await {
            talk().await;
        }
        // A transfer that was completed in that instant is over a moment later.
        let with_operator = scene.is_open().await;
        scene.call.hang_up().await;
        scene.ended().await;
        let heard = scene.call.heard().await;
        assert!(
            !with_operator || heard.ends_with(Tone::OPERATOR),
            "round {round}, {status}: {:?}",
            heard.per_second()
        );
        scene.service.stop().await;
        lab.reset().await;
    }
}
