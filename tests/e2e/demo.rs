//! The demo: real calls and their pops, until Ctrl-C. Nothing stays behind.
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::client::http;
use crate::support::pbx_lab::Lab;
use crate::support::wait::{TEST_TIMEOUT, eventually};

/// Printed of each call that rings at the operator.
const POP: &str = "┌ 内線";

/// The demo with this program at this port, in an empty directory for what it writes.
fn demo(directory: &Path, port: &str) -> Command {
    // A shell cannot trap a signal that it inherits as ignored, as the background commands of scripts do.
    let mut demo = Command::new("env");
    demo.args(["--default-signal=INT", "tests/demo.sh"]);
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI_")) {
        // What a run of the whole suite marks its processes with stays.
        if name != "TORITSUGI_TEST_RUN" {
            demo.env_remove(name);
        }
    }
    demo.current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PORT", port)
        .env("DEMO_PROGRAM", env!("CARGO_BIN_EXE_toritsugi"))
        .env("TMPDIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    demo
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[tokio::test]
async fn the_demo_goes_on_after_a_pop_until_it_is_interrupted() {
    // The demo has a PBX of its own; the turn keeps the calls of other tests from this machine meanwhile.
    let _turn = Lab::start().await;
    let directory = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut demo = demo(directory.path(), &port).spawn().unwrap();
    // Its messages are not to fill the pipe.
    let mut said = BufReader::new(demo.stderr.take().unwrap()).lines();
    let said = tokio::spawn(async move {
        let mut all = String::new();
        while let Ok(Some(line)) = said.next_line().await {
            all += &format!("{line}\n");
        }
        all
    });
    let mut shown = BufReader::new(demo.stdout.take().unwrap()).lines();
    let two_pops = async {
        let mut pops = 0;
        while pops < 2 {
            let line = shown.next_line().await.unwrap().expect("the demo goes on");
            pops += usize::from(line.starts_with(POP));
        }
    };
    timeout(TEST_TIMEOUT * 2, two_pops).await.expect("the demo shows two calls");
    // One call more, at once, and a port without a demo is named.
    let mut call = Command::new("tests/demo.sh");
    call.arg("--call").current_dir(env!("CARGO_MANIFEST_DIR")).env("TMPDIR", directory.path());
    assert!(call.env("PORT", &port).status().await.unwrap().success());
    let refused = call.env("PORT", "1").output().await.unwrap();
    let reason = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && reason.contains("make demo"), "{reason}");
    let pid = demo.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let status = timeout(TEST_TIMEOUT, demo.wait()).await.expect("the demo ends").unwrap();
    drop(shown);
    let said = said.await.unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(is_empty(directory.path()), "the demo left files behind: {said}");
}

/// Asks the demo's daemon with this token.
async fn ask(port: &str, token: &str, method: Method, path: &str) -> (StatusCode, Value) {
    let url = format!("http://127.0.0.1:{port}{path}");
    let answer = http().request(method, url).bearer_auth(token).send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or_default())
}

/// Waits until the demo's operator has a call in this state; returns its id.
async fn call_is(port: &str, token: &str, state: &str) -> String {
    eventually(&format!("a call is {state}"), async || {
        let (_, page) = ask(port, token, Method::GET, "/v1/calls").await;
        let calls = page["items"].as_array().cloned().unwrap_or_default();
        let found = calls.iter().find(|call| call["state"] == state);
        found.map(|call| call["id"].as_str().unwrap().to_owned()).ok_or_else(|| page.to_string())
    })
    .await
}

#[tokio::test]
async fn the_operators_phone_obeys_the_page() {
    let _turn = Lab::start().await;
    let directory = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut demo = demo(directory.path(), &port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let token = eventually("the demo has a token", async || {
        let mut runs = std::fs::read_dir(directory.path()).unwrap().filter_map(Result::ok);
        let token = runs.find_map(|run| std::fs::read_to_string(run.path().join("token")).ok());
        token.filter(|token| token.ends_with('\n')).ok_or_else(|| "no file".to_owned())
    })
    .await;
    let token = token.trim();
    eventually("the daemon answers", async || {
        let url = format!("http://127.0.0.1:{port}/readyz");
        let status = http().get(url).send().await.map_err(|error| error.to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let give = async |call: &str, verb: &str| {
        let path = format!("/v1/calls/{call}/{verb}");
        let (status, answer) = ask(&port, token, Method::POST, &path).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{verb}: {answer}");
    };
    // Twice: whatever is done, the next call comes.
    for _ in 0..2 {
        let call = call_is(&port, token, "presented").await;
        give(&call, "answer").await;
        assert_eq!(call_is(&port, token, "answered").await, call);
        give(&call, "hold").await;
        assert_eq!(call_is(&port, token, "held").await, call);
        give(&call, "resume").await;
        assert_eq!(call_is(&port, token, "answered").await, call);
        give(&call, "hangup").await;
        eventually("the call is over", async || {
            let (_, page) = ask(&port, token, Method::GET, "/v1/calls").await;
            let is_there =
                page["items"].as_array().is_some_and(|calls| calls.iter().any(|one| one["id"] == call));
            if is_there { Err(page.to_string()) } else { Ok(()) }
        })
        .await;
    }
    let pid = demo.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let status = timeout(TEST_TIMEOUT, demo.wait()).await.expect("the demo ends").unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(is_empty(directory.path()), "the demo left files behind");
}
