//! Who may transfer to where, which number the contact sees, and many transfers at once.
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{CONTACT, Scene, talk};
use crate::support::pbx_lab::{CallSpec, Lab, Tone};
use crate::support::service::Service;
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

#[tokio::test]
async fn only_one_transfer_at_a_time_by_those_who_may_to_numbers_that_are_allowed() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    for (who, status) in [("1002", StatusCode::NOT_FOUND), ("2002", StatusCode::NOT_FOUND)] {
        assert_eq!(scene.ask_transfer(who, "blind", CONTACT).await.0, status, "{who}");
    }
    for to in [
        "0990123456",
        "0570123456",
        "+12125550100",
        "110",
        "1999999",
        "queue:none",
        "operator:3001",
        "contact:00000000-0000-7000-8000-000000000000",
        "sip:x",
        "",
    ] {
        let (status, problem) = scene.ask_transfer("1001", "blind", to).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{to}: {problem}");
    }
    assert_eq!(scene.ask_transfer("1001", "consult", "on-call").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (one, two) = tokio::join!(
        scene.ask_transfer("1001", "blind", CONTACT),
        scene.ask_transfer("2001", "blind", CONTACT)
    );
    let mut statuses = [one.0, two.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::CONFLICT]);
    scene.wait_event("call.transfer.ringing").await;
    lab.phone(CONTACT).rings().await;
    assert_eq!(lab.phone(CONTACT).times_rung(), 1);
    let transfer = if one.0 == StatusCode::CREATED { one.1 } else { two.1 };
    assert_eq!(scene.command(&transfer, "cancel").await.0, StatusCode::ACCEPTED);
    let back = scene.wait_event("call.transfer.returned").await;
    assert_eq!(back["outcome"], "cancelled", "{back}");
    scene.wait_event("call.answered").await;
    lab.phone(CONTACT).goes_idle().await;
    scene.call.hang_up().await;
}

#[tokio::test]
async fn a_colleague_takes_the_caller_and_a_withheld_number_stays_withheld() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking_with(&lab, CallSpec::new(KNOWN_CALLER, SAKURA).withheld()).await;
    lab.phone("1002").answers_after(ms(300)).await;
    scene.transfer("blind", "operator:1002").await;
    scene.wait_event("call.transfer.completed").await;
    lab.phone("1002").talks().await;
    // The colleague has the caller now, and transfers the caller.
    let path = format!("/v1/calls/{}/transfers", scene.id);
    let wanted = json!({ "to": CONTACT });
    let (status, transfer) = scene.service.ask("1002", Method::POST, &path, Some(wanted)).await;
    assert_eq!(status, StatusCode::CREATED, "{transfer}");
    let leg = lab.phone(CONTACT).rings().await;
    assert_ne!(leg.header("CallerIDNum"), Some(KNOWN_CALLER), "{leg:?}");
    scene.call.hang_up().await;
}

#[tokio::test]
async fn the_contact_is_shown_the_number_that_the_account_wants() {
    let lab = Lab::start().await;
    for (dialled, shown) in [(SAKURA, KNOWN_CALLER), (MINATO, MINATO)] {
        for mode in ["blind", "consult"] {
            let mut scene = Scene::talking_with(&lab, CallSpec::new(KNOWN_CALLER, dialled)).await;
            scene.transfer(mode, CONTACT).await;
            let leg = lab.phone(CONTACT).rings().await;
            let seen = leg.header("CallerIDNum").map(|number| number.replace("+81", "0"));
            assert_eq!(seen.as_deref(), Some(shown), "{dialled} {mode}");
            scene.call.hang_up().await;
            scene.service.stop().await;
            lab.reset().await;
        }
    }
}

const AT_ONCE: usize = 30;

#[tokio::test]
async fn thirty_transfers_at_once_all_reach_their_contacts() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("TRANSFER__RING_SECONDS", "120")]).await;
    service.nobody_presses_a_key().await;
    let mut events = service.follow("admin", None).await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).answers_after(ms(50)).await;
    }
    let contact = |n: usize| format!("0902222{n:04}");
    let mut calls = Vec::new();
    for n in 0..AT_ONCE {
        calls.push(lab.place_call(CallSpec::new(&format!("0901000{n:04}"), SAKURA)).await);
    }
    let (mut passed_on, mut ringing) = (0, 0);
    while ringing < AT_ONCE {
        let event = events.next().await.expect("an event");
        match event["kind"].as_str() {
            Some("call.answered") => {
                let path = format!("/v1/calls/{}/transfers", event["call"].as_str().unwrap());
                let wanted = json!({ "to": contact(passed_on) });
                let (status, answer) = service.ask("admin", Method::POST, &path, Some(wanted)).await;
                assert_eq!(status, StatusCode::CREATED, "{answer}");
                passed_on += 1;
            }
            Some("call.transfer.ringing") => ringing += 1,
            Some("call.transfer.failed") => panic!("{event}"),
            _ => {}
        }
    }
    for n in 0..AT_ONCE {
        lab.phone(&contact(n)).answers().await;
    }
    let mut completed = 0;
    while completed < AT_ONCE {
        let event = events.next().await.expect("an event");
        completed += usize::from(event["kind"] == "call.transfer.completed");
    }
    talk().await;
    for call in &calls {
        call.hang_up().await;
    }
    for n in 0..AT_ONCE {
        let contact = lab.phone(&contact(n));
        assert_eq!(contact.times_rung(), 1);
        assert!(contact.heard().await.ever_hears(Tone::CALLER), "contact {n} heard nobody");
    }
    service.stop().await;
}
