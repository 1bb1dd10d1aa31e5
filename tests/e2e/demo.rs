//! `make demo`: real calls and their pops, until the first pop or until Ctrl-C. Nothing stays behind.
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::pbx_lab::Lab;
use crate::support::wait::TEST_TIMEOUT;

/// Printed of each call that rings at the operator, for a company of `tests/samples`.
const POP: &str = "株式会社さくら商事";

/// The demo with this program, in an empty directory for what it writes.
fn demo(command: &str, arguments: &[&str], directory: &Path) -> Command {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut demo = Command::new(command);
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI_")) {
        // What a run of the whole suite marks its processes with stays.
        if name != "TORITSUGI_TEST_RUN" {
            demo.env_remove(name);
        }
    }
    demo.args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PORT", port.to_string())
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
async fn make_demo_with_once_shows_a_pop_and_ends() {
    // The demo has a PBX of its own; the turn keeps the calls of other tests from this machine meanwhile.
    let _turn = Lab::start().await;
    let directory = tempfile::tempdir().unwrap();
    let output = demo("make", &["demo", "ONCE=1"], directory.path()).output().await.unwrap();
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}\n{said}");
    assert!(shown.contains(POP), "{shown}\n{said}");
    assert!(said.contains("the pop arrived before the call was answered"), "{said}");
    assert!(is_empty(directory.path()), "the demo left files behind");
}

#[tokio::test]
async fn the_demo_goes_on_after_a_pop_until_it_is_interrupted() {
    let _turn = Lab::start().await;
    let directory = tempfile::tempdir().unwrap();
    let mut demo = demo("tests/demo.sh", &[], directory.path()).spawn().unwrap();
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
    let mut pops = 0;
    while pops < 2 {
        let line = timeout(TEST_TIMEOUT * 2, shown.next_line()).await.expect("the demo shows calls").unwrap();
        let line = line.expect("the demo goes on");
        pops += usize::from(line.contains("契約企業"));
    }
    let pid = demo.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let status = timeout(TEST_TIMEOUT, demo.wait()).await.expect("the demo ends").unwrap();
    drop(shown);
    let said = said.await.unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(is_empty(directory.path()), "the demo left files behind: {said}");
}
