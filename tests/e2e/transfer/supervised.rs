//! A supervised call is moved only after its supervisors are detached.
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{CONTACT, Scene, talk};
use crate::ms;
use crate::support::pbx_lab::{Lab, Tone};

#[tokio::test]
async fn the_supervisor_is_detached_before_the_caller_is_moved() {
    let lab = Lab::start().await;
    for mode in ["blind", "consult"] {
        let mut scene = Scene::talking(&lab).await;
        lab.phone("2001").answers_after(ms(50)).await;
        lab.phone(CONTACT).answers_after(ms(300)).await;
        let wanted = json!({ "operator": "1001", "mode": "listen", "extension": "2001" });
        let (status, made) = scene.service.ask("2001", Method::POST, "/v1/supervisions", Some(wanted)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let log = &lab.pbx.events;
        log.wait("ChanSpy to run", |event| event.name() == "ChanSpyStart").await;
        talk().await;
        let mark = log.mark();
        let transfer = scene.transfer(mode, CONTACT).await;
        scene.wait_event("call.transfer.ringing").await;
        let trying = |event: &crate::support::pbx_lab::Event| event.has("UserEvent", "ToritsugiTransfer");
        let stopped = log.wait_after(mark, "the spy to end", |event| event.name() == "ChanSpyStop").await;
        let moved = log.wait_after(mark, "the dialplan to begin", trying).await;
        assert!(log.position(&stopped) < log.position(&moved), "{mode}: moved while somebody heard it");
        if mode == "consult" {
            scene.wait_event("call.transfer.consulting").await;
            scene.command(&transfer, "complete").await;
        }
        scene.wait_event("call.transfer.completed").await;
        talk().await;
        scene.call.hang_up().await;
        let contact = lab.phone(CONTACT).heard().await;
        assert!(contact.ever_hears(Tone::CALLER) && !contact.ever_hears(Tone::SUPERVISOR), "{mode}");
        scene.service.stop().await;
        lab.reset().await;
    }
}
