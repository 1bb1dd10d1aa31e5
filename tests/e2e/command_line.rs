//! `toritsugi check` and the commands that name a call, against a real PBX.
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

/// Runs the command with the settings of this service, and with `settings` over them.
pub(crate) async fn toritsugi(service: &Service, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(service, settings, arguments).output().await.unwrap()
}

fn command(service: &Service, settings: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(service.environment.iter().cloned());
    // The commands find the daemon where the configuration puts it.
    command.env("TORITSUGI__GATEWAY__LISTEN", service.address.to_string());
    command.env("TORITSUGI_TOKEN", service.token("admin")).kill_on_drop(true);
    for (key, value) in settings {
        command.env(format!("TORITSUGI__{key}"), value);
    }
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The lines of a report that begin with this outcome and test.
fn lines<'a>(report: &'a str, outcome: &str, what: &str) -> Vec<&'a str> {
    report.lines().filter(|line| line.starts_with(outcome) && line[8..].starts_with(what)).collect()
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_a_pbx_that_is_set_up() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let output = toritsugi(&service, &[], &["check"]).await;
    let report = said(&output);
    assert!(output.status.success(), "{report}");
    for (what, words) in [
        ("trunks", "calls from trunk enter from-trunk"),
        ("queues", "operators"),
        ("transfers", "atxfer is mapped to *2"),
        // Without a setting, the default says which header names the dialled number.
        ("dialled number", "of calls on trunk: P-Called-Party-ID, else To"),
    ] {
        let found = lines(&report, "ok", what);
        assert!(found.iter().any(|line| line.contains(words)), "no line {what} {words}: {report}");
    }
    // The lab has numbers of existing PBXs, which pass it by.
    let passed_by = lines(&report, "note", "identity");
    assert!(passed_by.len() == 1 && passed_by[0].contains("0355501011"), "{report}");
    assert!(!passed_by[0].contains("_0X"), "{report}");
    service.stop().await;
}

#[tokio::test]
async fn check_finds_what_loses_calls_and_transfers() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("redis.secret");
    std::fs::write(&secret, "hush\n").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&secret, open).unwrap();
    console(&lab, "dialplan add extension 5501,1,Gosub(toritsugi-identity,s,1) into shipped").await;
    console(&lab, "dialplan add extension 5501,2,Goto(from-nowhere,5501,1) into shipped").await;
    console(&lab, "dialplan add extension 5502,1,Queue(operators) into past-it").await;
    lab.set_global("TORITSUGI_TRUNK", "as-shipped").await;
    lab.change_features("atxfer = *2", "").await;
    let settings = [
        ("PBX__TRUNKS", "no-such-trunk"),
        ("PBX__TRUNK_CONTEXTS", "shipped,past-it"),
        ("OPERATORS__QUEUES", "operators,no-such-queue"),
        ("TRANSFER__QUEUES", "nor-this"),
        ("BUS__REDIS_PASSWORD_FILE", secret.to_str().unwrap()),
        ("DIRECTORY__DIALLED_HEADERS__no-such-trunk", "to"),
        ("DIRECTORY__DIALLED_HEADERS__mistyped", "request_uri"),
    ];
    let output = toritsugi(&service, &settings, &["check"]).await;
    let report = said(&output);
    lab.set_global("TORITSUGI_TRUNK", "").await;
    for context in ["shipped", "past-it"] {
        console(&lab, &format!("dialplan remove context {context}")).await;
    }
    assert!(!output.status.success(), "{report}");
    for (outcome, what, words) in [
        ("FAILED", "dialplan", "calls for 5501 in shipped go to from-nowhere, which does not exist"),
        ("note", "identity", "calls for 5502 in past-it do not pass toritsugi-identity"),
        ("FAILED", "trunks", "pbx.trunks names no-such-trunk"),
        ("FAILED", "queues", "operators.queues names no-such-queue"),
        ("FAILED", "queues", "transfer.queues names nor-this"),
        ("FAILED", "transfers", "TORITSUGI_TRUNK is as-shipped"),
        ("FAILED", "transfers", "map atxfer in [featuremap] of features.conf"),
        ("note", "transfers", "Queue(operators) of past-it"),
        (
            "WARNING",
            "private files",
            "redis.secret (bus.redis_password_file) is open to other users (mode 0644)",
        ),
        ("ok", "dialled number", "of calls on no-such-trunk: To"),
        ("note", "dialled number", "directory.dialled_headers names mistyped"),
    ] {
        let found = lines(&report, outcome, what);
        assert!(found.iter().any(|line| line.contains(words)), "no {outcome} {what} {words}: {report}");
    }
    service.stop().await;
}

#[tokio::test]
async fn check_follows_one_real_call_from_the_trunk_to_the_pop() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut check = command(&service, &[], &["check", "--call", "--call-seconds", "60"]);
    let check = check.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // Which call comes after its start cannot be seen from here: call again until it has seen one.
    let reading = tokio::spawn(check.wait_with_output());
    while !reading.is_finished() {
        let mut events = service.follow("admin", None).await;
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        // The PBX says that it rings a moment after the phone does, and not at all of a call that is over by then.
        wait_for(&mut events, "call.presented").await;
        call.hang_up().await;
        call.ended().await;
    }
    let output = reading.await.unwrap().unwrap();
    let report = said(&output);
    assert!(output.status.success(), "{report}");
    for (what, words) in [
        ("call", SAKURA),
        ("identity", "SIP headers"),
        ("account", "株式会社さくら商事"),
        ("pop", "rang at 100"),
    ] {
        let found = lines(&report, "ok", what);
        assert!(found.iter().any(|line| line.contains(words)), "no line {what} {words}: {report}");
    }
    assert!(!report.contains(&KNOWN_CALLER[1..]), "{report}");
    service.stop().await;
}

#[tokio::test]
async fn a_call_is_named_as_the_table_prints_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let _call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let answered = wait_for(&mut events, "call.answered").await;
    let table = said(&toritsugi(&service, &[], &["calls"]).await);
    let printed = table.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(answered["call"].as_str().unwrap().starts_with(&printed), "{table}");
    let wrong = toritsugi(&service, &[], &["hangup", "ffffffff"]).await;
    assert!(!wrong.status.success() && said(&wrong).contains("toritsugi calls"), "{}", said(&wrong));
    let hung_up = toritsugi(&service, &[], &["hangup", &printed]).await;
    assert!(hung_up.status.success(), "{}", said(&hung_up));
    wait_for(&mut events, "call.ended").await;
    let recorded = eventually("the call is recorded", async || {
        let output = toritsugi(&service, &[], &["history", &printed, "--json"]).await;
        if output.status.success() { Ok(output) } else { Err(said(&output)) }
    })
    .await;
    let recorded: Value = serde_json::from_slice(&recorded.stdout).unwrap();
    assert_eq!(recorded["id"], answered["call"]);
    the_history_is_searched_and_saved(&service, answered["call"].as_str().unwrap()).await;
    service.stop().await;
}

/// By the customer's name and by the number in another writing; and the same as a file.
async fn the_history_is_searched_and_saved(service: &Service, call: &str) {
    let output = async |arguments: &[&str]| {
        let output = toritsugi(service, &[], &[&["history"], arguments].concat()).await;
        assert!(output.status.success(), "{arguments:?} {}", said(&output));
        output.stdout
    };
    for (text, is_found) in [("タナカ", true), ("０９０-1234-5678", true), ("03-9999-9999", false)] {
        let table = String::from_utf8(output(&["--find", text]).await).unwrap();
        assert_eq!(table.contains(call), is_found, "{text}: {table}");
        let outbound = String::from_utf8(output(&["--find", text, "--direction", "outbound"]).await).unwrap();
        assert!(!outbound.contains(call), "{text}: {outbound}");
    }
    let file = String::from_utf8(output(&["--csv", "--find", "タナカ"]).await).unwrap();
    assert!(file.starts_with("\u{feff}\"日時\"") && file.contains(call), "{file}");
    let file = output(&["--csv", "--encoding", "cp932", "--language", "en"]).await;
    let (text, _, is_bad) = encoding_rs::SHIFT_JIS.decode(&file);
    assert!(!is_bad && text.starts_with("\"Time\"") && text.contains("田中太郎"), "{text}");
    let wrong = toritsugi(service, &[], &["history", "--csv", "--json"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
}

/// Runs a command of the PBX's console.
async fn console(lab: &Lab, command: &str) {
    lab.pbx.must(&[("Action", "Command"), ("Command", command)]).await;
}
