//! Answer, hold and resume from the desktop: the request that the desk phone receives, and the problem that the user
//! gets when the phone does not carry it out.
use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::process::Command;

use crate::support::pbx_lab::{CallSpec, Lab, RAW_PHONE, RAW_PHONE_DIALLED, RawPhone};
use crate::support::service::{Service, wait_for};
use crate::support::wait::TEST_TIMEOUT;
use crate::{KNOWN_CALLER, SAKURA, ms};

async fn command(service: &Service, call: &str, verb: &str) -> (StatusCode, Value) {
    service.ask("admin", Method::POST, &format!("/v1/calls/{call}/{verb}"), None).await
}

/// `toritsugi VERB CALL`, as the administrator types it.
async fn typed(service: &Service, verb: &str, call: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command
        .args([verb, call])
        .env("TORITSUGI_URL", format!("http://{}", service.address))
        .env("TORITSUGI_TOKEN", service.token("admin"))
        .kill_on_drop(true);
    tokio::time::timeout(TEST_TIMEOUT, command.output()).await.expect("the command ends").unwrap()
}

#[tokio::test]
async fn a_desk_phone_that_understands_is_asked_and_answers() {
    let lab = Lab::start().await;
    lab.permit_notify(true).await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    let mut phone = RawPhone::plug_in(&lab).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, RAW_PHONE_DIALLED)).await;
    phone.rings().await;
    let pop = wait_for(&mut events, "call.presented").await;
    assert_eq!(pop["data"]["operator"], RAW_PHONE);
    let id = pop["call"].as_str().unwrap();
    let asked = async {
        let event = phone.is_asked("200 OK").await;
        phone.picks_up().await;
        event
    };
    let ((status, answer), event) = tokio::join!(command(&service, id, "answer"), asked);
    assert_eq!((status, event.as_str()), (StatusCode::ACCEPTED, "talk"), "{answer}");
    wait_for(&mut events, "call.answered").await;
    // From the command line, too.
    let asked = async {
        let event = phone.is_asked("200 OK").await;
        phone.holds().await;
        event
    };
    let (output, event) = tokio::join!(typed(&service, "hold", id), asked);
    assert_eq!((output.status.code(), event.as_str()), (Some(0), "hold"), "{output:?}");
    wait_for(&mut events, "call.held").await;
    let asked = async {
        let event = phone.is_asked("200 OK").await;
        phone.resumes().await;
        event
    };
    let (output, event) = tokio::join!(typed(&service, "resume", id), asked);
    assert_eq!((output.status.code(), event.as_str()), (Some(0), "talk"), "{output:?}");
    wait_for(&mut events, "call.resumed").await;
    // The phone accepts the request but does not carry it out.
    let (output, _) = tokio::join!(typed(&service, "hold", id), phone.is_asked("200 OK"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("did not hold the call"), "{said}");
    call.hang_up().await;
    service.stop().await;
    lab.permit_notify(false).await;
}

#[tokio::test]
async fn a_phone_that_refuses_is_said_clearly() {
    let lab = Lab::start().await;
    lab.permit_notify(true).await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    let mut phone = RawPhone::plug_in(&lab).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, RAW_PHONE_DIALLED)).await;
    phone.rings().await;
    let pop = wait_for(&mut events, "call.presented").await;
    let id = pop["call"].as_str().unwrap().to_owned();
    let ((status, answer), _) =
        tokio::join!(command(&service, &id, "answer"), phone.is_asked("489 Bad Event"));
    assert_eq!(
        (status, &answer["type"]),
        (StatusCode::GATEWAY_TIMEOUT, &Value::from("phone-did-not-follow"))
    );
    assert!(answer["detail"].as_str().unwrap().contains("did not answer the call"), "{answer}");
    call.hang_up().await;
    wait_for(&mut events, "call.ended").await;

    // A softphone, which ignores the request.
    lab.phone("1001").answers_after(ms(50)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let id = wait_for(&mut events, "call.answered").await["call"].as_str().unwrap().to_owned();
    let (status, answer) = command(&service, &id, "hold").await;
    assert_eq!(
        (status, &answer["type"]),
        (StatusCode::GATEWAY_TIMEOUT, &Value::from("phone-did-not-follow"))
    );
    // What the user does at the phone itself is still observed.
    lab.phone("1001").holds().await;
    wait_for(&mut events, "call.held").await;
    let (status, answer) = command(&service, &id, "hold").await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    call.hang_up().await;
    service.stop().await;
    lab.permit_notify(false).await;
}

#[tokio::test]
async fn without_the_permission_the_answer_names_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(50)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let id = wait_for(&mut events, "call.answered").await["call"].as_str().unwrap().to_owned();
    let (status, answer) = command(&service, &id, "hold").await;
    assert_eq!((status, &answer["type"]), (StatusCode::BAD_GATEWAY, &Value::from("pbx-refused")), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("manager.conf"), "{answer}");
    call.hang_up().await;
    service.stop().await;
}
