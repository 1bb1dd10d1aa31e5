//! Beside a PBX that has the manager users alone and overwrites the presentation: a withheld number is in no event, answer,
//! record, log or file; and what SIP headers say is known without the dialplan.
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::SAKURA;
use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab, RawCall};
use crate::support::service::{Service, wait_for};

/// Who withholds the number.
const HIDDEN: &str = "09087654301";
/// The part of it that every written form has.
const HIDDEN_PART: &str = "87654301";
/// Who shows it.
const SHOWN: &str = "0312345678";
/// FreePBX's route: saves the presentation, then writes "allowed".
const LIKE_FREEPBX: &str = "0355501011";
/// Writes "allowed" without saving what it was, then a name with the number in it.
const WITHOUT_SAVING: &str = "0355501012";
/// Writes "allowed" as its first step and dials at once.
const AT_ONCE: &str = "0355501013";

#[tokio::test]
async fn a_withheld_number_is_nowhere_whatever_the_route_does() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[("LOG__LEVEL", "trace")]).await;
    let (mut daemon, log) = start(&service);
    let mut events = follow(&service).await;
    let mut seen = String::new();
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    for route in [LIKE_FREEPBX, WITHOUT_SAVING, AT_ONCE, SAKURA] {
        for name in ["TANAKA TARO", "", HIDDEN] {
            let asserted = format!("\"{name}\" <sip:{HIDDEN}@carrier.example>");
            let asserted = if name.is_empty() { format!("<sip:{HIDDEN}@carrier.example>") } else { asserted };
            let spec = CallSpec::new(HIDDEN, route).withheld().header("P-Asserted-Identity", &asserted);
            let call = lab.place_call(spec).await;
            let pop = until(&mut events, "call.presented", &mut seen).await;
            assert_eq!(pop["data"]["caller"]["presentation"], "withheld", "{route} {name}: {pop}");
            assert_eq!(pop["data"]["customers"], json!([]), "{route} {name}");
            call.hang_up().await;
            until(&mut events, "call.ended", &mut seen).await;
        }
    }
    // The same routes show the number of a caller who does not withhold it.
    for route in [LIKE_FREEPBX, AT_ONCE] {
        let call = lab.place_call(CallSpec::new(SHOWN, route).display_name("SUZUKI")).await;
        let pop = until(&mut events, "call.presented", &mut seen).await;
        assert_eq!(pop["data"]["caller"]["number"], "03-1234-5678", "{route}");
        call.hang_up().await;
        until(&mut events, "call.ended", &mut seen).await;
    }

    let all =
        |_: reqwest::StatusCode, answer: &Value| answer["items"].as_array().is_some_and(|i| i.len() == 14);
    let history = service.until("admin", "/v1/history?limit=100", all).await;
    seen.push_str(&history.to_string());
    for path in ["/v1/calls", "/v1/accounts", "/v1/audit", "/v1/operators", "/metrics"] {
        seen.push_str(
            &service.request("admin", Method::GET, path).send().await.unwrap().text().await.unwrap(),
        );
    }
    drop(events);
    let database = PathBuf::from(&service.config.store.path);
    let mut files = vec![log.to_path_buf()];
    // While the daemon runs, the newest pages are in the write-ahead log.
    files.extend(std::fs::read_dir(database.parent().unwrap()).unwrap().map(|file| file.unwrap().path()));
    assert!(files.iter().any(|file| file.extension().is_some_and(|ending| ending == "db")), "{files:?}");
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        assert!(!contains(&bytes, HIDDEN_PART), "{} has the withheld number", file.display());
    }
    assert!(contains(&std::fs::read(&log).unwrap(), "call"), "the log is not empty");
    assert!(contains(&all_bytes(&files), "12345678"), "the files have the number that is shown");
    assert!(
        seen.contains("1234-5678") && !seen.contains(HIDDEN_PART) && !seen.contains("8765-4301"),
        "{seen}"
    );
    assert!(!seen.contains("TANAKA"), "a name would tell as much: {seen}");
    daemon.kill().await.unwrap();
}

#[tokio::test]
async fn the_company_is_found_by_the_number_that_forwarded_in_to() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    for phone in ["1001", "1002"] {
        lab.phone(phone).rings_for_ever().await;
    }
    // Through the product's dialplan, and without it: then the daemon reads the headers from the channel.
    for (pilot, to, company, matched_by) in [
        ("0355501000", "0335550101", "株式会社さくら商事", "diversion"),
        ("0355501002", "0335550101", "株式会社さくら商事", "diversion"),
        ("0355501002", "0355501001", "株式会社さくら商事", "dialled"),
        (AT_ONCE, "+81335550101", "株式会社さくら商事", "diversion"),
        (AT_ONCE, "0355501002", "みなと法律事務所", "dialled"),
    ] {
        let call = RawCall::invite_to(&lab, pilot, to, b"<sip:0312345678@b.example>", b"").await;
        let pop = wait_for(&mut events, "call.presented").await;
        let account = &pop["data"]["account"];
        assert_eq!(
            (&account["name"], &account["matched_by"]),
            (&json!(company), &json!(matched_by)),
            "{pilot} {to}"
        );
        call.cancel().await;
        wait_for(&mut events, "call.ended").await;
    }
    // A Diversion is read from the channel, too.
    let header = b"Diversion: <sip:0335550102@a.example>\r\n";
    let call = RawCall::invite_to(&lab, AT_ONCE, AT_ONCE, b"<sip:0312345678@b.example>", header).await;
    let pop = wait_for(&mut events, "call.presented").await;
    assert_eq!(pop["data"]["account"]["name"], "みなと法律事務所");
    call.cancel().await;
    service.stop().await;
}

/// The daemon as a process; its log goes to a file.
fn start(service: &Service) -> (Child, tempfile::TempPath) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command.arg("serve").envs(service.environment.iter().cloned());
    let output = || Stdio::from(log.reopen().unwrap());
    command.stdout(output()).stderr(output());
    (command.kill_on_drop(true).spawn().unwrap(), log.into_temp_path())
}

/// Follows the events as soon as the daemon answers and its link to the PBX is up.
async fn follow(service: &Service) -> Sse {
    crate::support::wait::eventually("the daemon is ready", async || {
        let answer = service.request("admin", Method::GET, "/readyz").send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    service.follow("admin", None).await
}

/// The next event of this kind; the text of every event until then is added to `seen`.
async fn until(events: &mut Sse, kind: &str, seen: &mut String) -> Value {
    loop {
        let event = events.next().await.unwrap_or_else(|| panic!("the stream ended before {kind}"));
        seen.push_str(&event.to_string());
        if event["kind"] == kind {
            return event;
        }
    }
}

fn all_bytes(files: &[impl AsRef<Path>]) -> Vec<u8> {
    files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
