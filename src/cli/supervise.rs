//! `toritsugi listen|whisper|barge OPERATOR --as EXTENSION` and `toritsugi supervision …`.
//!
//! A client of the HTTP interface alone. While a session runs, one line says what is heard; keys switch the mode
//! (see [`Key`]); Ctrl-C, `q` and the end of the terminal end the session and free the phone.
//!
//! Invariant: however the command ends, the terminal is as it was, and unless the daemon is gone the session is
//! over. Read next: `terminal.rs` (single keys), `client.rs`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, ClientArgs};
use super::events::Follow;
use super::output::{Output, Table, cut, plain, print, print_json, print_line};
use super::terminal::Keys;

const SUPERVISIONS: &str = "/v1/supervisions";
const EVENTS: &str = "/v1/events";
/// How long the end of a session is awaited after it was asked for.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What a supervisor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Hear both.
    Listen,
    /// Hear both, be heard by the operator.
    Whisper,
    /// Hear both, be heard by both.
    Barge,
    /// Take the caller from the operator.
    TakeOver,
}

#[derive(Debug, Args)]
pub(super) struct Supervise {
    /// The operator's extension, or with --call the id of a call.
    #[arg(value_name = "OPERATOR")]
    target: String,
    /// The phone to call: your extension.
    #[arg(long = "as", value_name = "EXTENSION")]
    phone: String,
    /// Go on with the operator's next calls, and wait for them.
    #[arg(long, conflicts_with = "call")]
    follow: bool,
    /// OPERATOR is a call's id: hear whoever has it.
    #[arg(long)]
    call: bool,
    /// Why; kept in the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Supervision {
    #[command(subcommand)]
    command: SupervisionCommand,
}

#[derive(Debug, Subcommand)]
enum SupervisionCommand {
    /// List the supervisions you may know of.
    List {
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        output: Output,
    },
    /// End one and free the phone.
    Stop {
        /// Its id, from `supervision list`.
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Switch the mode of one.
    Switch {
        /// Its id, from `supervision list`.
        id: String,
        /// The mode from now on.
        mode: Mode,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// A supervision as far as it is printed.
#[derive(Debug, Clone, Deserialize)]
struct View {
    id: String,
    mode: String,
    state: String,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    supervisor_name: String,
    extension: String,
    account: Option<String>,
    caller: Option<String>,
    started_at: Timestamp,
    heard_at: Option<Timestamp>,
    ending: Option<String>,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<View>,
}

#[derive(Debug, Deserialize)]
struct Event {
    kind: String,
    #[serde(default)]
    data: Value,
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Switch(Mode),
    Quit,
}

impl Key {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'l' | b'L' => Self::Switch(Mode::Listen),
            b'w' | b'W' => Self::Switch(Mode::Whisper),
            b'b' | b'B' => Self::Switch(Mode::Barge),
            b't' | b'T' => Self::Switch(Mode::TakeOver),
            b'q' | b'Q' | 3 | 4 => Self::Quit,
            _ => return None,
        })
    }
}

impl Supervise {
    pub(super) async fn run(self, mode: Mode) -> anyhow::Result<ExitCode> {
        let client = self.client.client()?;
        // All of these before the order, so that nothing that follows it is missed: no event, no Ctrl-C.
        let mut controls = Controls { keys: Keys::open(), signals: Signals::listen()? };
        let follow = async {
            let mut follow = Follow::start(client.clone(), EVENTS).await?;
            follow.next().await?;
            anyhow::Ok(follow)
        };
        // Until the order is given there is nothing to undo.
        let mut follow = tokio::select! {
            follow = follow => follow?,
            () = controls.signals.next() => return Ok(ExitCode::SUCCESS),
        };
        let target = if self.call { "call" } else { "operator" };
        let mut body = json!({ target: self.target, "mode": mode, "extension": self.phone });
        if self.follow {
            body["follow"] = json!(true);
        }
        if let Some(reason) = &self.reason {
            body["reason"] = json!(reason);
        }
        let value: Value = client.post(SUPERVISIONS, &body).await?;
        let mut watch = Watch::new(client, &value, self.output)?;
        watch.changed(&value)?;
        watch.run(&mut follow, &mut controls).await
    }
}

/// What the supervisor at the terminal can do.
struct Controls {
    keys: Keys,
    signals: Signals,
}

/// A session on the screen.
struct Watch {
    client: Client,
    view: View,
    output: Output,
    line_is_open: bool,
    stopping: bool,
}

impl Watch {
    fn new(client: Client, value: &Value, output: Output) -> anyhow::Result<Self> {
        let view = serde_json::from_value(value.clone())?;
        Ok(Self { client, view, output, line_is_open: false, stopping: false })
    }

    async fn run(&mut self, follow: &mut Follow, controls: &mut Controls) -> anyhow::Result<ExitCode> {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut stop_by: Option<tokio::time::Instant> = None;
        loop {
            let asked = tokio::select! {
                event = follow.next() => {
                    if let Some(code) = self.event(&event?.data).await? {
                        return Ok(code);
                    }
                    None
                }
                key = controls.keys.next() => key.map_or(Some(Key::Quit), Key::of),
                () = controls.signals.next() => Some(Key::Quit),
                _ = second.tick() => {
                    self.show()?;
                    None
                }
                () = until(stop_by) => return self.give_up(),
            };
            match asked {
                Some(Key::Switch(mode)) if !self.stopping => self.switch(mode).await?,
                Some(Key::Quit) if !self.stopping => {
                    self.stopping = true;
                    stop_by = Some(tokio::time::Instant::now() + STOP_WAIT);
                    if let Some(code) = self.stop().await? {
                        return Ok(code);
                    }
                }
                _ => {}
            }
        }
    }

    /// What an event means for this session; the exit code when it is over.
    async fn event(&mut self, data: &str) -> anyhow::Result<Option<ExitCode>> {
        let event: Event = serde_json::from_str(data)?;
        if event.kind == "stream.snapshot" {
            return self.after_gap().await;
        }
        if !event.kind.starts_with("supervision.") || event.data["id"] != self.view.id.as_str() {
            return Ok(None);
        }
        self.view = serde_json::from_value(event.data.clone())?;
        if event.kind == "supervision.stopped" {
            return self.over(&event.data).map(Some);
        }
        self.changed(&event.data)?;
        Ok(None)
    }

    /// Events are missing: the list tells whether it goes on.
    async fn after_gap(&mut self) -> anyhow::Result<Option<ExitCode>> {
        let list: Value = self.client.get(SUPERVISIONS, &[]).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        match items.into_iter().find(|item| item["id"] == self.view.id.as_str()) {
            Some(item) => {
                self.view = serde_json::from_value(item)?;
                self.show()?;
                Ok(None)
            }
            None if self.stopping => Ok(Some(ExitCode::SUCCESS)),
            None => {
                self.close_line()?;
                bail!("the supervision ended while the daemon could not be reached")
            }
        }
    }

    /// Asks for the end; the exit code when there is nothing left to end.
    async fn stop(&mut self) -> anyhow::Result<Option<ExitCode>> {
        let Err(error) = self.client.delete(&self.path()).await else { return Ok(None) };
        // It may have ended by itself just now; its last event is then on the way, or was lost.
        let list: List = self.client.get(SUPERVISIONS, &[]).await?;
        if list.items.iter().any(|item| item.id == self.view.id) {
            return Err(error);
        }
        self.close_line()?;
        Ok(Some(ExitCode::SUCCESS))
    }

    async fn switch(&mut self, mode: Mode) -> anyhow::Result<()> {
        let done = self.client.patch::<_, Value>(&self.path(), &json!({ "mode": mode })).await;
        if let Err(error) = done {
            self.close_line()?;
            super::output::complain(&format!("toritsugi: {error:#}"));
        }
        self.show()?;
        Ok(())
    }

    fn over(&mut self, value: &Value) -> anyhow::Result<ExitCode> {
        if self.output.json {
            print_line(&value.to_string())?;
        }
        self.close_line()?;
        let phone = plain(&self.view.extension);
        match self.view.ending.as_deref().unwrap_or_default() {
            "no_answer" => bail!("phone {phone} was not answered; is it free, and is that your extension?"),
            "busy" => bail!("phone {phone} is busy or refused the call"),
            "unreachable" => bail!("phone {phone} cannot be reached; is it registered at the PBX?"),
            "failed" => bail!("the PBX did not do it; `toritsugi check` says what is missing there"),
            "lost" => {
                bail!("the PBX was restarted or could not be reached; phone {phone} hears nobody any more")
            }
            ending => {
                if !self.output.json {
                    print_line(words_of_ending(ending))?;
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn give_up(&mut self) -> anyhow::Result<ExitCode> {
        self.close_line()?;
        bail!(
            "the PBX did not say that phone {} is free; look with `toritsugi supervision list`",
            self.view.extension
        )
    }

    fn changed(&mut self, value: &Value) -> anyhow::Result<()> {
        if self.output.json {
            print_line(&value.to_string())?;
        }
        self.show()
    }

    /// The live line; where nobody can see it move, a line for each change instead.
    fn show(&mut self) -> anyhow::Result<()> {
        if self.output.json || !super::terminal::is_screen() {
            return Ok(());
        }
        // A line that wraps could not be wiped.
        let columns = super::terminal::columns().saturating_sub(1).max(1);
        print(&format!("\r\x1b[2K{}", cut(&line(&self.view, Timestamp::now()), columns)))?;
        self.line_is_open = true;
        Ok(())
    }

    fn close_line(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.line_is_open) {
            print_line("")?;
        }
        Ok(())
    }

    fn path(&self) -> String {
        format!("{SUPERVISIONS}/{}", self.view.id)
    }
}

fn words_of_ending(ending: &str) -> &'static str {
    match ending {
        "stopped" => "stopped",
        "hung_up" => "you hung up",
        "call_ended" => "the call is over",
        "took_over" => "the caller is yours",
        _ => "over",
    }
}

/// `listen 1001 株式会社さくら商事 田中太郎 0:12   [l]isten …`
fn line(view: &View, now: Timestamp) -> String {
    let what = match view.state.as_str() {
        "calling" => format!("calling phone {}", view.extension),
        "waiting" => format!("waiting for the next call of {}", view.operator),
        "paused" => format!("the call of {} is being transferred", view.operator),
        _ => {
            let parts = [Some(view.operator.as_str()), view.account.as_deref(), view.caller.as_deref()];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
    };
    let since = view.heard_at.unwrap_or(view.started_at);
    let seconds = now.duration_since(since).as_secs().max(0);
    plain(&format!(
        "{} {what} {}:{:02}   l listen, w whisper, b barge, t take over, q quit",
        view.mode,
        seconds / 60,
        seconds % 60
    ))
}

impl Supervision {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            SupervisionCommand::List { client, output } => {
                let list: Value = client.client()?.get(SUPERVISIONS, &[]).await?;
                if output.json {
                    print_json(&list["items"])?;
                } else {
                    print_table(serde_json::from_value(list)?)?;
                }
            }
            SupervisionCommand::Stop { id, client } => {
                client.client()?.delete(&format!("{SUPERVISIONS}/{}", segment(&id)?)).await?;
            }
            SupervisionCommand::Switch { id, mode, client } => {
                let path = format!("{SUPERVISIONS}/{}", segment(&id)?);
                client.client()?.patch::<_, Value>(&path, &json!({ "mode": mode })).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An id that can stand in a path.
fn segment(id: &str) -> anyhow::Result<&str> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        bail!("{id} is no id of a supervision; `toritsugi supervision list` shows them");
    }
    Ok(id)
}

fn print_table(list: List) -> anyhow::Result<()> {
    let mut table =
        Table::new(["ID", "SUPERVISOR", "PHONE", "MODE", "STATE", "OPERATOR", "ACCOUNT", "CALLER"]);
    for view in &list.items {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
        let (account, caller) = (or_nothing(&view.account), or_nothing(&view.caller));
        table.row([
            &view.id,
            &view.supervisor_name,
            &view.extension,
            &view.mode,
            &view.state,
            &view.operator,
            &account,
            &caller,
        ]);
    }
    print(&table.render())?;
    Ok(())
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Ctrl-C, the end of the terminal, and a polite kill.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_heard_and_acts_on_no_terminal() {
        let value = json!({
            "id": "x", "mode": "whisper", "state": "live", "operator": "1001", "extension": "2001",
            "account": "株式会社さくら商事", "caller": "田中\u{1b}[2J太郎",
            "started_at": "2026-01-05T00:00:00Z", "heard_at": "2026-01-05T00:00:03Z"
        });
        let view: View = serde_json::from_value(value).unwrap();
        let now = "2026-01-05T00:01:15Z".parse().unwrap();
        let expected = "whisper 1001 株式会社さくら商事 田中?[2J太郎 1:12   \
                        l listen, w whisper, b barge, t take over, q quit";
        assert_eq!(line(&view, now), expected);
    }

    #[test]
    fn an_id_stays_inside_its_path() {
        assert!(segment("0199-ab").is_ok());
        for id in ["", "../calls", "a b", "x?y"] {
            assert!(segment(id).is_err(), "{id}");
        }
    }
}
