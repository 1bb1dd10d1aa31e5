//! Transfers from the command line, to queues, and by an operator who has other calls.
use std::process::Output;

use serde_json::json;
use tokio::process::Command;

use super::{CONTACT, Scene, talk};
use crate::support::pbx_lab::{CallSpec, Lab, Tone};
use crate::{SAKURA, ms};

impl Scene<'_> {
    /// Runs `toritsugi …` as the operator.
    async fn types(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
        command
            .args(arguments)
            .env("TORITSUGI_URL", format!("http://{}", self.service.address))
            .env("TORITSUGI_TOKEN", self.service.token("1001"))
            .kill_on_drop(true);
        tokio::time::timeout(crate::support::wait::TEST_TIMEOUT, command.output())
            .await
            .expect("the command ends")
            .unwrap()
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let output = self.types(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

#[tokio::test]
async fn an_operator_transfers_from_the_command_line() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(200)).await;
    let call = scene.id.clone();
    let early = scene.types(&["transfer", &call, "--complete"]).await;
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    let said = scene.done(&["transfer", &call, "--to", CONTACT, "--mode", "consult"]).await;
    assert!(said.contains(" is requested"), "{said}");
    scene.wait_event("call.transfer.consulting").await;
    scene.done(&["transfer", &call, "--cancel"]).await;
    assert_eq!(scene.wait_event("call.transfer.returned").await["outcome"], "cancelled");
    lab.phone(CONTACT).goes_idle().await;
    let said = scene.done(&["transfer", &call, "--to", CONTACT, "--mode", "consult", "--json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["mode"], "consult");
    scene.wait_event("call.transfer.consulting").await;
    let twice = scene.types(&["transfer", &call, "--to", "1002"]).await;
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("already being transferred"), "{twice:?}");
    scene.done(&["transfer", &call, "--complete"]).await;
    scene.wait_event("call.transfer.completed").await;
    talk().await;
    scene.call.hang_up().await;
    assert!(lab.phone(CONTACT).heard().await.ever_hears(Tone::CALLER));
}

#[tokio::test]
async fn an_operator_hangs_up_from_the_command_line() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    let call = scene.id.clone();
    scene.done(&["hangup", &call]).await;
    lab.phone("1001").goes_idle().await;
    scene.call.ended().await;
    scene.ended().await;
    assert_eq!(scene.types(&["hangup", &call]).await.status.code(), Some(1));
}

#[tokio::test]
async fn a_queue_takes_the_caller() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone("1001").rings_for_ever().await;
    let (status, refused) = scene.ask_transfer("1001", "blind", "queue:operators-linear").await;
    assert_eq!(status, reqwest::StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    let transfer = scene.transfer("blind", "queue:operators").await;
    assert_eq!(transfer["targets"], json!([{ "kind": "queue", "queue": "operators" }]));
    scene.wait_event("call.transfer.ringing").await;
    lab.phone("1003").answers().await;
    let done = scene.wait_event("call.transfer.completed").await;
    assert_eq!(done["outcome"], "answered", "{done}");
    talk().await;
    scene.call.hang_up().await;
    assert!(lab.phone("1003").heard().await.ever_hears(Tone::CALLER));
    scene.ended().await;
    assert_eq!(scene.show(&transfer).await["state"], "over");
}

#[tokio::test]
async fn an_operator_on_another_call_does_not_get_the_caller_in_between() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).rings_for_ever().await;
    scene.transfer("blind", CONTACT).await;
    scene.wait_event("call.transfer.ringing").await;
    // The operator is free and takes the next caller, who plays another tone.
    lab.phone("1001").goes_idle().await;
    lab.phone("1001").answers_after(ms(50)).await;
    lab.will_say("09087654321", Tone::SPARE_1).await;
    let second = lab.place_call(CallSpec::new("09087654321", SAKURA)).await;
    lab.phone("1001").talks().await;
    let back = scene.wait_event("call.transfer.returned").await;
    assert_eq!(back["returned_to"], json!({ "queue": "operators" }), "{back}");
    lab.phone("1003").answers().await;
    talk().await;
    scene.call.hang_up().await;
    second.hang_up().await;
    let (first, other) = (lab.phone("1001").heard().await, lab.phone("1003").heard().await);
    assert!(first.ever_hears(Tone::SPARE_1) && !first.ever_hears(Tone::CALLER), "{:?}", first.per_second());
    assert!(other.ever_hears(Tone::CALLER) && !other.ever_hears(Tone::SPARE_1), "{:?}", other.per_second());
}

#[tokio::test]
async fn the_same_key_transfers_once() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    let path = format!("/v1/calls/{}/transfers", scene.id);
    let ask = || {
        let request = scene.service.request("1001", reqwest::Method::POST, &path);
        request.header("idempotency-key", "passes-sakura-on").json(&json!({ "to": CONTACT })).send()
    };
    let first: serde_json::Value = ask().await.unwrap().json().await.unwrap();
    let again = ask().await.unwrap();
    assert_eq!(again.status(), reqwest::StatusCode::CREATED);
    assert_eq!(again.json::<serde_json::Value>().await.unwrap(), first);
    scene.wait_event("call.transfer.ringing").await;
    lab.phone(CONTACT).rings().await;
    assert_eq!(lab.phone(CONTACT).times_rung(), 1);
    scene.call.hang_up().await;
}
