//! The daemon dies in the middle of a transfer: the PBX alone brings the caller to a person, and the next daemon
//! adopts the transfer.
use serde_json::json;

use super::{CONTACT, FIRST_ON_CALL, Scene, talk};
use crate::ms;
use crate::support::pbx_lab::{Event, Lab, Tone};
use crate::support::wait::eventually;

#[tokio::test]
async fn without_the_daemon_the_pbx_alone_brings_the_caller_to_a_person() {
    let lab = Lab::start().await;
    for (mode, state) in
        [("blind", "ringing"), ("blind", "returning"), ("consult", "ringing"), ("consult", "consulting")]
    {
        let mut scene = Scene::talking(&lab).await;
        let contact = lab.phone(CONTACT);
        match state {
            "consulting" => contact.answers_after(ms(200)).await,
            "ringing" => contact.rings_for_ever().await,
            _ => {
                contact.is_busy().await;
                lab.phone("1001").rings_for_ever().await;
            }
        }
        scene.transfer(mode, CONTACT).await;
        match state {
            "consulting" => drop(scene.wait_event("call.transfer.consulting").await),
            "ringing" => drop(scene.wait_event("call.transfer.ringing").await),
            _ => drop(scene.wait_event("call.transfer.returned").await),
        }
        scene.service.kill().await;
        match (mode, state) {
            // The contact does not answer within the ring time: the operator is called back.
            ("blind", _) => {
                lab.phone("1001").answers().await;
                talk().await;
                scene.call.hang_up().await;
                assert!(lab.phone("1001").heard().await.ever_hears(Tone::CALLER), "{mode} {state}");
            }
            // The operator, still on the line, gets the caller back when the contact is released.
            (_, "ringing") => {
                let mark = lab.pbx.events.mark();
                contact.hangs_up().await;
                let together = |e: &Event| e.name() == "BridgeEnter" && e.has("BridgeNumChannels", "2");
                lab.pbx.events.wait_after(mark, "the caller to be with the operator", together).await;
                talk().await;
                scene.call.hang_up().await;
                let last = scene.call.heard().await.per_second().into_iter().rev().nth(1).unwrap();
                assert!(last.contains(&Tone::OPERATOR), "{mode} {state}: {last:?}");
            }
            // The operator hangs up, which connects the two.
            _ => {
                lab.phone("1001").hangs_up().await;
                talk().await;
                scene.call.hang_up().await;
                assert!(contact.heard().await.ever_hears(Tone::CALLER), "{mode} {state}");
            }
        }
        lab.reset().await;
    }
}

/// Mode and state of the transfer when the daemon dies, and the state that the next daemon shows.
const STATES: [(&str, &str, &str); 8] = [
    ("blind", "ringing", "ringing"),
    ("blind", "accepting", "ringing"),
    ("blind", "talking", "completed"),
    ("blind", "returning", "returning"),
    ("blind", "queued", "returning"),
    ("consult", "ringing", "ringing"),
    ("consult", "consulting", "consulting"),
    ("queue", "waiting", "ringing"),
];

#[tokio::test]
async fn another_daemon_goes_on_with_the_transfer() {
    let lab = Lab::start().await;
    for (mode, state, found) in STATES {
        let mut scene = Scene::with_keys(&lab).await;
        let contact = lab.phone(FIRST_ON_CALL);
        match state {
            "accepting" => contact.is_a_mailbox_after(ms(100)).await,
            "talking" => contact.presses_after(ms(100), "1").await,
            "returning" | "queued" => contact.is_busy().await,
            "consulting" => contact.answers_after(ms(100)).await,
            _ => contact.rings_for_ever().await,
        }
        match state {
            "queued" => lab.phone("1001").is_busy().await,
            _ => lab.phone("1001").rings_for_ever().await,
        }
        let to = if mode == "queue" { "queue:operators" } else { FIRST_ON_CALL };
        let transfer = scene.transfer(if mode == "consult" { "consult" } else { "blind" }, to).await;
        match state {
            "accepting" => drop(contact.talks().await),
            "talking" => drop(scene.wait_event("call.transfer.completed").await),
            "returning" => drop(scene.wait_event("call.transfer.returned").await),
            "queued" => {
                scene.wait_event("call.transfer.returned").await;
                scene.wait_event("call.transfer.returned").await;
            }
            "consulting" => drop(scene.wait_event("call.transfer.consulting").await),
            _ => drop(scene.wait_event("call.transfer.ringing").await),
        }
        scene.service.kill().await;
        scene.service.again().await;
        scene.events = scene.service.follow("admin", None).await;
        let view = scene.known(found).await;
        let label = format!("{mode} {state}: {view}");
        assert_eq!((&view["id"], &view["inferred"]), (&transfer["id"], &json!(true)), "{label}");
        assert_eq!((&view["operator"], &view["targets"]), (&json!("1001"), &transfer["targets"]), "{label}");
        scene.ends_well(&lab, mode, state).await;
        let history = scene.history().await;
        if !matches!(state, "returning" | "queued") {
            let answered = history.contains(&"transfer answered".to_owned());
            assert!(answered || state == "accepting", "{mode} {state}: {history:?}");
        }
        lab.reset().await;
    }
}

impl Scene<'_> {
    /// Waits until the restarted daemon shows the call's transfer in this state.
    async fn known(&self, state: &str) -> serde_json::Value {
        let path = format!("/v1/calls/{}/transfers", self.id);
        eventually(&format!("the transfer is {state}"), async || {
            let (_, list) = self.service.ask("admin", reqwest::Method::GET, &path, None).await;
            let view = list["items"][0].clone();
            if view["state"] == state { Ok(view) } else { Err(list.to_string()) }
        })
        .await
    }

    /// Brings the caller to a person from there, and checks the events.
    async fn ends_well(&mut self, lab: &Lab, mode: &str, state: &str) {
        let contact = lab.phone(FIRST_ON_CALL);
        let with = match (mode, state) {
            (_, "talking") => contact,
            ("queue", _) => {
                lab.phone("1003").answers().await;
                self.wait_event("call.transfer.completed").await;
                lab.phone("1003")
            }
            (_, "queued") => {
                lab.phone("1003").answers().await;
                lab.phone("1003")
            }
            (_, "returning") => {
                lab.phone("1001").answers().await;
                lab.phone("1001")
            }
            // The mailbox presses no key, and the caller comes back.
            (_, "accepting") => {
                assert_eq!(self.wait_event("call.transfer.failed").await["outcome"], "not_accepted");
                self.wait_event("call.transfer.returned").await;
                lab.phone("1001").answers().await;
                lab.phone("1001")
            }
            ("consult", _) => {
                if state == "ringing" {
                    contact.answers().await;
                    self.wait_event("call.transfer.consulting").await;
                }
                let transfer = self.known("consulting").await;
                self.command(&transfer, "complete").await;
                self.wait_event("call.transfer.completed").await;
                contact
            }
            _ => {
                contact.answers().await;
                contact.presses("1").await;
                self.wait_event("call.transfer.completed").await;
                contact
            }
        };
        talk().await;
        self.call.hang_up().await;
        let heard = with.heard().await;
        assert!(heard.ever_hears(Tone::CALLER), "{mode} {state}: {:?}", heard.per_second());
    }
}
