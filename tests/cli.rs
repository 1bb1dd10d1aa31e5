//! The command from outside: exit codes, one line per error, nothing secret in any of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// A run of the program that sees no configuration but what the test gives it.
fn toritsugi(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn assert_fails(output: &Output, code: i32, begins: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with(begins), "{said:?} does not begin with {begins:?}");
    assert_eq!(said.lines().count(), 1, "{said:?}");
}

#[test]
fn a_wrong_configuration_is_one_line_and_exit_code_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.toml");
    let name = file.to_str().unwrap();
    let cases = [
        ("[pbx]\nprot = 5038\n", "pbx.prot: unknown key; [pbx] has "),
        (
            "[pbx]\nport = 0\n",
            "pbx.port: invalid value: integer `0`, expected a whole number from 1 to 65535",
        ),
        ("[pbx]\nevent_secret = 'hunter2'\n", "pbx.event_secret: a secret does not belong in this file"),
        ("[gateway\n", "line 1: "),
    ];
    for (text, reason) in cases {
        std::fs::write(&file, text).unwrap();
        for output in [
            toritsugi(&["--config", name, "check"], &[]),
            toritsugi(&["check"], &[("TORITSUGI_CONFIG", name)]),
        ] {
            assert_fails(&output, 64, &format!("toritsugi: {name}: {reason}"));
            assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
        }
    }
    let absent = directory.path().join("absent.toml");
    let output = toritsugi(&["check", "--config", absent.to_str().unwrap()], &[]);
    assert_fails(&output, 64, &format!("toritsugi: {}: cannot be read: ", absent.display()));
}

#[test]
fn a_daemon_without_secrets_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let environment = [
        ("TORITSUGI__STORE__PATH", database.to_str().unwrap()),
        ("TORITSUGI__GATEWAY__LISTEN", "127.0.0.1:0"),
    ];
    let output = toritsugi(&["serve"], &environment);
    assert_fails(&output, 64, "toritsugi: no secret: pbx.event_secret_file: name the file that holds it");
}

#[test]
fn a_taken_port_is_said_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = toritsugi(&["serve"], &[("TORITSUGI__GATEWAY__LISTEN", &address)]);
    assert_fails(
        &output,
        1,
        &format!("toritsugi: cannot listen on {address}: is another daemon running there?"),
    );
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [&["nope"][..], &["replay"], &["check", "--nope"], &["import", "planets", "x.csv"]] {
        assert_eq!(toritsugi(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn check_reports_in_lines_or_in_json_and_fails_without_a_pbx() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    // Port 1 of loopback: nothing listens there.
    let environment = [
        ("TORITSUGI__PBX__PORT", "1"),
        ("TORITSUGI__PBX__EVENT_SECRET", "hunter2"),
        ("TORITSUGI__PBX__ACTION_SECRET", "hunter2"),
        ("TORITSUGI__STORE__PATH", database.to_str().unwrap()),
    ];
    let output = toritsugi(&["check"], &environment);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in
        ["ok      configuration ", "ok      store ", "FAILED  login, events ", "FAILED  login, actions "]
    {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line} is not in\n{text}");
    }
    assert!(!database.exists(), "a check changes nothing");

    let output = toritsugi(&["check", "--json"], &environment);
    assert_eq!(output.status.code(), Some(1));
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(findings.iter().any(|f| f["what"] == "login, events" && f["outcome"] == "failed"));
    let all = format!("{text}{}", String::from_utf8_lossy(&output.stdout));
    assert!(!all.contains("hunter2"));
}

#[test]
fn a_transcript_is_replayed_alike_each_time() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts/asterisk-22/answered-first-operator.ami");
    let run = || toritsugi(&["replay", "--json", file.to_str().unwrap()], &[]);
    let first = run();
    assert!(first.status.success());
    assert_eq!(first.stdout, run().stdout);
    let report: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(report["events"][0]["kind"], "call.offered");

    let output = toritsugi(&["replay", "/nonexistent.ami"], &[]);
    assert_fails(&output, 1, "toritsugi: cannot read /nonexistent.ami: ");
}

#[test]
fn commands_that_need_a_daemon_say_so() {
    let url = ("TORITSUGI_URL", "http://127.0.0.1:1");
    assert_fails(&toritsugi(&["demo"], &[url]), 1, "toritsugi: no token: put one into a file");
    let output = toritsugi(&["demo"], &[url, ("TORITSUGI_TOKEN", "hunter2")]);
    assert_fails(
        &output,
        1,
        "toritsugi: no daemon answers at http://127.0.0.1:1/: is `toritsugi serve` running there?",
    );
    let output = toritsugi(&["health"], &[("TORITSUGI__GATEWAY__LISTEN", "127.0.0.1:1")]);
    assert_fails(&output, 1, "toritsugi: no daemon answers at 127.0.0.1:1");
}
