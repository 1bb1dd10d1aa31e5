//! `toritsugi listen` in a pseudo-terminal: what it shows and what its keys do.
use std::process::Stdio;

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::pbx_lab::{CallSpec, Lab, Tone};
use crate::support::service::{Service, wait_for};
use crate::support::wait::{TEST_TIMEOUT, eventually};
use crate::{KNOWN_CALLER, SAKURA, ms};

/// A command in a pseudo-terminal, made by script(1) of util-linux.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    output: ChildStdout,
    seen: Vec<u8>,
}

impl Terminal {
    fn run(service: &Service, who: &str, arguments: &str) -> Self {
        // Some shells stay in front of their last command, and Ctrl-C ends them with a code of their own.
        let command = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_toritsugi"));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
            .env("TORITSUGI_URL", format!("http://{}", service.address))
            .env("TORITSUGI_TOKEN", service.token(who))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("script is installed (Debian: bsdutils)");
        let keys = child.stdin.take().unwrap();
        let output = child.stdout.take().unwrap();
        Self { child, keys, output, seen: Vec::new() }
    }

    async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// The current status line: the text after the last erase, without the seconds.
    fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.seen);
        let line = text.rsplit("\r\u{1b}[2K").next().unwrap_or_default().to_owned();
        let words = line.split(' ').filter(|word| !is_duration(word));
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }

    /// Reads until the status line is this.
    async fn shows(&mut self, expected: &str) {
        let reading = async {
            while self.line() != expected {
                let mut bytes = [0; 4096];
                match self.output.read(&mut bytes).await {
                    Ok(read) if read > 0 => self.seen.extend_from_slice(&bytes[..read]),
                    _ => return false,
                }
            }
            true
        };
        if timeout(TEST_TIMEOUT, reading).await != Ok(true) {
            panic!("the screen shows {:?}, not {expected:?}", String::from_utf8_lossy(&self.seen));
        }
    }

    /// Waits until the command ends; returns the exit code and the whole output.
    async fn ends(mut self) -> (i32, String) {
        let rest = async {
            let mut rest = Vec::new();
            // A pseudo-terminal whose other end is closed may return an error.
            let _ = self.output.read_to_end(&mut rest).await;
            rest
        };
        let rest = timeout(TEST_TIMEOUT, rest).await.expect("the command ends");
        self.seen.extend_from_slice(&rest);
        let status = timeout(TEST_TIMEOUT, self.child.wait()).await.expect("the command ends").unwrap();
        (status.code().unwrap_or(-1), String::from_utf8_lossy(&self.seen).into_owned())
    }
}

fn is_duration(word: &str) -> bool {
    word.split_once(':')
        .is_some_and(|(m, s)| !m.is_empty() && (m.to_owned() + s).bytes().all(|b| b.is_ascii_digit()))
}

const KEYS: &str = "  l listen, w whisper, b barge, t take over, q quit";

#[tokio::test]
async fn a_supervisor_listens_whispers_and_stops_by_single_keys() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    wait_for(&mut events, "call.answered").await;
    lab.phone("2001").answers_after(ms(300)).await;

    let mut terminal = Terminal::run(&service, "2001", "listen 1001 --as 2001 --reason 研修");
    terminal.shows(&format!("listen 1001 株式会社さくら商事 田中太郎 {KEYS}")).await;
    terminal.press("w").await;
    terminal.shows(&format!("whisper 1001 株式会社さくら商事 田中太郎 {KEYS}")).await;
    // The supervisor whispers for a second, which the operator's recording must contain.
    tokio::time::sleep(ms(1_000)).await;
    terminal.press("b").await;
    terminal.shows(&format!("barge 1001 株式会社さくら商事 田中太郎 {KEYS}")).await;
    terminal.press("x").await;
    terminal.press("q").await;
    let (code, screen) = terminal.ends().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.ends_with("stopped\r\n"), "{screen:?}");
    lab.phone("2001").goes_idle().await;
    call.hang_up().await;
    assert!(lab.phone("1001").heard().await.ever_hears(Tone::SUPERVISOR));
    service.stop().await;
}

#[tokio::test]
async fn ctrl_c_frees_the_phone_and_a_phone_that_is_not_answered_is_an_error() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("2001").answers_after(ms(100)).await;
    let mut terminal = Terminal::run(&service, "2001", "whisper 1001 --as 2001 --follow");
    terminal.shows(&format!("whisper waiting for the next call of 1001 {KEYS}")).await;
    terminal.press("\u{3}").await;
    let (code, screen) = terminal.ends().await;
    assert_eq!(code, 0, "{screen}");
    lab.phone("2001").goes_idle().await;

    lab.phone("1001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    wait_for(&mut events, "call.answered").await;
    lab.phone("2001").is_busy().await;
    let (code, screen) = Terminal::run(&service, "2001", "listen 1001 --as 2001").ends().await;
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("phone 2001 is busy or refused the call"), "{screen}");
    let (code, screen) = Terminal::run(&service, "2002", "listen 1001 --as 2002").ends().await;
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("403 not-permitted"), "{screen}");

    // The list, as a table and as JSON; stop by id.
    lab.phone("2001").answers_after(ms(100)).await;
    let body = serde_json::json!({ "operator": "1001", "mode": "listen" });
    let (_, session) = service.ask("2001", Method::POST, "/v1/supervisions", Some(body)).await;
    wait_for(&mut events, "supervision.started").await;
    let (code, table) = Terminal::run(&service, "2001", "supervision list").ends().await;
    assert_eq!(code, 0);
    let id = session["id"].as_str().unwrap();
    assert!(table.contains(id) && table.contains("伊藤") && table.contains("株式会社さくら商事"), "{table}");
    let (_, json) = Terminal::run(&service, "2001", "supervision list --json").ends().await;
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&list[0]["id"], &list[0]["state"]), (&session["id"], &"live".into()));
    let (code, _) = Terminal::run(&service, "2001", &format!("supervision switch {id} whisper")).ends().await;
    assert_eq!(code, 0);
    let (code, _) = Terminal::run(&service, "2001", &format!("supervision stop {id}")).ends().await;
    assert_eq!(code, 0);
    wait_for(&mut events, "supervision.stopped").await;
    call.hang_up().await;
    service.stop().await;
}

#[tokio::test]
async fn a_caller_is_taken_over_by_one_command_and_the_trail_says_so() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let answered = wait_for(&mut events, "call.answered").await;
    lab.phone("2001").answers_after(ms(300)).await;
    let (code, screen) =
        Terminal::run(&service, "2001", "take-over 1001 --as 2001 --reason 交代").ends().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.ends_with("the caller is yours\r\n"), "{screen:?}");
    lab.phone("1001").goes_idle().await;
    // The released operator keeps listening.
    let id = answered["call"].as_str().unwrap();
    let mut terminal = Terminal::run(&service, "1001", &format!("listen --call {id} --as 1001"));
    terminal.shows(&format!("listen 2001 株式会社さくら商事 田中太郎 {KEYS}")).await;
    terminal.press("q").await;
    assert_eq!(terminal.ends().await.0, 0);
    let (code, _) = Terminal::run(&service, "2002", "barge 2001 --as 2002").ends().await;
    assert_eq!(code, 1);
    call.hang_up().await;
    assert!(call.heard().await.ever_hears(Tone::SUPERVISOR));
    wait_for(&mut events, "call.ended").await;

    // The audit trail is written after the answer to the request.
    let trail = eventually("the refusal is in the audit trail", async || {
        let (code, json) =
            Terminal::run(&service, "admin", &format!("audit --call {id} --json")).ends().await;
        assert_eq!(code, 0, "{json}");
        let trail: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        let has_refusal = trail.iter().any(|entry| entry["action"] == "supervision.refused");
        if has_refusal { Ok(trail) } else { Err(json) }
    })
    .await;
    let line =
        |entry: &serde_json::Value| format!("{} {}", entry["actor_name"], entry["action"]).replace('"', "");
    let expected = [
        "渡辺 supervision.refused",
        "佐藤 supervision.stopped",
        "佐藤 supervision.started",
        "佐藤 supervision.requested",
        "伊藤 supervision.stopped",
        "伊藤 supervision.requested",
    ];
    assert_eq!(trail.iter().map(line).collect::<Vec<_>>(), expected);
    assert_eq!(
        (&trail[4]["details"]["ending"], &trail[4]["details"]["reason"]),
        (&"took_over".into(), &"交代".into())
    );
    let (_, table) = Terminal::run(&service, "admin", "audit --person 伊藤").ends().await;
    assert!(table.contains("take_over, took_over") && table.contains("交代"), "{table}");
    let (code, screen) = Terminal::run(&service, "1001", "audit").ends().await;
    assert_eq!(code, 1);
    assert!(screen.contains("403 not-permitted"), "{screen}");
    service.stop().await;
}

#[tokio::test]
async fn an_operator_asks_for_help_from_the_command_line() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut supervisor = service.follow("2001", None).await;
    lab.phone("1001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let answered = wait_for(&mut supervisor, "call.answered").await;
    let id = answered["call"].as_str().unwrap();
    let (code, screen) = Terminal::run(&service, "1001", &format!("ask-help {id}")).ends().await;
    assert_eq!(code, 0, "{screen}");
    let help = wait_for(&mut supervisor, "help.requested").await;
    assert_eq!((&help["call"], &help["data"]["operator"]), (&answered["call"], &"1001".into()));
    let (code, screen) = Terminal::run(&service, "1001", &format!("ask-help {id} --withdraw")).ends().await;
    assert_eq!(code, 0, "{screen}");
    assert_eq!(wait_for(&mut supervisor, "help.withdrawn").await["call"], answered["call"]);
    let (code, screen) = Terminal::run(&service, "1002", &format!("ask-help {id}")).ends().await;
    assert_eq!(code, 1, "{screen}");
    call.hang_up().await;
    service.stop().await;
}
