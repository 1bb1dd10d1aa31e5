//! `toritsugi listen|whisper|barge|take-over OPERATOR --as EXTENSION` and `toritsugi supervision list|stop|switch`.
//!
//! It is a client of the HTTP interface only. While a supervision session runs, one line shows its state.
//!
//! | event | what happens |
//! |---|---|
//! | a key of [`KeyAction`] | the mode is switched, or the session is stopped |
//! | Ctrl-C, SIGTERM, or the terminal is closed | the session is stopped, and the phone is released |
//! | the PBX does not end the session within [`STOP_TIMEOUT`] after that | the command fails |
//! | the connection to the daemon was lost, and events are missing | the list of supervisions decides whether the session goes on |
//! | the session ends | exit code 0, or 1 with the reason if the phone could not be reached or the PBX failed |
//!
//! Invariant: however the command ends, the terminal's settings are restored, and the session is over, unless the
//! daemon cannot be reached or the PBX does not end it in time. Read next: `terminal.rs` (single keys), `client.rs`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Global;
use super::calls::PRESENT_CALLS;
use super::client::{Client, ClientArgs, Ids};
use super::events::EventStream;
use super::output::{Output, Table, cut, plain, print, print_json, print_line};
use super::terminal::Keys;

const SUPERVISIONS: &str = "/v1/supervisions";
/// The ids that `toritsugi supervision list` prints.
const PRESENT_SUPERVISIONS: Ids =
    Ids { what: "present supervision", paths: &[SUPERVISIONS], command: "toritsugi supervision list" };
const EVENTS: &str = "/v1/events";
/// How long the command waits for the end of a session after it requested it.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The mode of a supervision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Listen to the operator and the caller.
    Listen,
    /// Listen to both and speak to the operator only.
    Whisper,
    /// Listen to both and speak to both.
    Barge,
    /// Take the caller over from the operator.
    TakeOver,
}

#[derive(Debug, Args)]
pub(super) struct Supervise {
    /// The operator's extension, or, with --call, the id of a call or its beginning.
    #[arg(value_name = "OPERATOR")]
    target: String,
    /// Your extension: the phone that the PBX calls.
    #[arg(long = "as", value_name = "EXTENSION")]
    phone: String,
    /// Continue with the operator's next calls, and wait for them.
    #[arg(long, conflicts_with = "call")]
    follow: bool,
    /// OPERATOR is the id of a call: listen to the operator who has this call.
    #[arg(long)]
    call: bool,
    /// The reason, recorded in the audit trail.
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
    /// List the supervisions that your token may see.
    List {
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Stop a supervision and release the phone.
    Stop {
        /// The id of the supervision, or its beginning, as `toritsugi supervision list` prints it.
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Switch the mode of a supervision.
    Switch {
        /// The id of the supervision, or its beginning, as `toritsugi supervision list` prints it.
        id: String,
        /// The new mode.
        mode: Mode,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// The printed fields of a supervision.
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

/// The action of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyAction {
    Switch(Mode),
    Quit,
}

impl KeyAction {
    fn from_byte(byte: u8) -> Option<Self> {
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
    pub(super) async fn run(self, global: &Global, mode: Mode) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let target = if self.call {
            client.whole_id(&self.target, PRESENT_CALLS).await?.to_string()
        } else {
            self.target.clone()
        };
        // These start before the request, so that no event and no Ctrl-C after the request is missed.
        let mut controls = Controls { keys: Keys::open(), signals: Signals::register()? };
        let subscribe = async {
            let mut events = EventStream::connect(client.clone(), EVENTS).await?;
            events.next().await?;
            anyhow::Ok(events)
        };
        // Before the request there is nothing to stop.
        let mut events = tokio::select! {
            events = subscribe => events?,
            () = controls.signals.next() => return Ok(ExitCode::SUCCESS),
        };
        let key = if self.call { "call" } else { "operator" };
        let mut body = json!({ key: target, "mode": mode, "extension": self.phone });
        if self.follow {
            body["follow"] = json!(true);
        }
        if let Some(reason) = &self.reason {
            body["reason"] = json!(reason);
        }
        let value: Value = client.post(SUPERVISIONS, &body).await?;
        let mut session = SessionView::new(client, &value, self.output)?;
        session.show_change(&value)?;
        session.run(&mut events, &mut controls).await
    }
}

/// The input of the supervisor at the terminal.
struct Controls {
    keys: Keys,
    signals: Signals,
}

/// A supervision session, shown in one line of the terminal.
struct SessionView {
    client: Client,
    view: View,
    output: Output,
    line_is_open: bool,
    stopping: bool,
}

impl SessionView {
    fn new(client: Client, value: &Value, output: Output) -> anyhow::Result<Self> {
        let view = serde_json::from_value(value.clone())?;
        Ok(Self { client, view, output, line_is_open: false, stopping: false })
    }

    async fn run(&mut self, events: &mut EventStream, controls: &mut Controls) -> anyhow::Result<ExitCode> {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut stop_deadline: Option<tokio::time::Instant> = None;
        loop {
            let action = tokio::select! {
                event = events.next() => {
                    if let Some(code) = self.on_event(&event?.data).await? {
                        return Ok(code);
                    }
                    None
                }
                key = controls.keys.next() => key.map_or(Some(KeyAction::Quit), KeyAction::from_byte),
                () = controls.signals.next() => Some(KeyAction::Quit),
                _ = second.tick() => {
                    self.show()?;
                    None
                }
                () = until(stop_deadline) => return self.stop_timed_out(),
            };
            match action {
                Some(KeyAction::Switch(mode)) if !self.stopping => self.switch(mode).await?,
                Some(KeyAction::Quit) if !self.stopping => {
                    self.stopping = true;
                    stop_deadline = Some(tokio::time::Instant::now() + STOP_TIMEOUT);
                    if let Some(code) = self.stop().await? {
                        return Ok(code);
                    }
                }
                _ => {}
            }
        }
    }

    /// Handles an event; returns the exit code if the session is over.
    async fn on_event(&mut self, data: &str) -> anyhow::Result<Option<ExitCode>> {
        let event: Event = serde_json::from_str(data)?;
        if event.kind == "stream.snapshot" {
            return self.on_snapshot().await;
        }
        if !event.kind.starts_with("supervision.") || event.data["id"] != self.view.id.as_str() {
            return Ok(None);
        }
        self.view = serde_json::from_value(event.data.clone())?;
        if event.kind == "supervision.stopped" {
            return self.on_stopped(&event.data).map(Some);
        }
        self.show_change(&event.data)?;
        Ok(None)
    }

    /// Events may be missing: the list of supervisions decides whether the session goes on.
    async fn on_snapshot(&mut self) -> anyhow::Result<Option<ExitCode>> {
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
                bail!(
                    "the supervision ended while the connection to the daemon was lost; `toritsugi audit` shows why"
                )
            }
        }
    }

    /// Requests the end of the session; returns the exit code if the session is already over.
    async fn stop(&mut self) -> anyhow::Result<Option<ExitCode>> {
        let Err(error) = self.client.delete(&self.path()).await else { return Ok(None) };
        // The session may have ended at the same time. Its last event is then still to come, or was lost.
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
            super::output::print_error(&format!("toritsugi: {error:#}"));
        }
        self.show()?;
        Ok(())
    }

    fn on_stopped(&mut self, value: &Value) -> anyhow::Result<ExitCode> {
        if self.output.json {
            print_line(&value.to_string())?;
        }
        self.close_line()?;
        let phone = plain(&self.view.extension);
        match self.view.ending.as_deref().unwrap_or_default() {
            "no_answer" => bail!("phone {phone} was not answered; is it your extension?"),
            "busy" => bail!("phone {phone} is busy or refused the call"),
            "unreachable" => bail!("phone {phone} cannot be reached; is it registered at the PBX?"),
            "failed" => bail!("the PBX could not do it; `toritsugi check` shows what is missing there"),
            "lost" => {
                bail!(
                    "the PBX was restarted or could not be reached; phone {phone} is no longer connected to the call"
                )
            }
            ending => {
                if !self.output.json {
                    print_line(ending_text(ending))?;
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn stop_timed_out(&mut self) -> anyhow::Result<ExitCode> {
        self.close_line()?;
        bail!(
            "the PBX did not confirm that phone {} is released; check with `toritsugi supervision list`",
            self.view.extension
        )
    }

    fn show_change(&mut self, value: &Value) -> anyhow::Result<()> {
        if self.output.json {
            print_line(&value.to_string())?;
        }
        self.show()
    }

    /// Rewrites the line on the terminal; prints nothing if the output is JSON or no terminal.
    fn show(&mut self) -> anyhow::Result<()> {
        if self.output.json || !super::terminal::is_terminal() {
            return Ok(());
        }
        // A line that wraps could not be erased.
        let columns = super::terminal::columns().saturating_sub(1).max(1);
        print(&format!("\r\x1b[2K{}", cut(&status_line(&self.view, Timestamp::now()), columns)))?;
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

fn ending_text(ending: &str) -> &'static str {
    match ending {
        "stopped" => "stopped",
        "hung_up" => "you hung up",
        "call_ended" => "the call is over",
        "took_over" => "the caller is yours",
        _ => "over",
    }
}

/// Formats the state, for instance `listen 1001 株式会社さくら商事 田中太郎 0:12   l listen, …`.
fn status_line(view: &View, now: Timestamp) -> String {
    let subject = match view.state.as_str() {
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
        "{} {subject} {}:{:02}   l listen, w whisper, b barge, t take over, q quit",
        view.mode,
        seconds / 60,
        seconds % 60
    ))
}

impl Supervision {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            SupervisionCommand::List { client, output } => {
                let list: Value = client.client(global)?.get(SUPERVISIONS, &[]).await?;
                if output.json {
                    print_json(&list["items"])?;
                } else {
                    print_table(serde_json::from_value(list)?)?;
                }
            }
            SupervisionCommand::Stop { id, client } => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, PRESENT_SUPERVISIONS).await?;
                client.delete(&format!("{SUPERVISIONS}/{id}")).await?;
            }
            SupervisionCommand::Switch { id, mode, client } => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, PRESENT_SUPERVISIONS).await?;
                let path = format!("{SUPERVISIONS}/{id}");
                client.patch::<_, Value>(&path, &json!({ "mode": mode })).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_table(list: List) -> anyhow::Result<()> {
    let mut table =
        Table::new(["ID", "SUPERVISOR", "PHONE", "MODE", "STATE", "OPERATOR", "ACCOUNT", "CALLER"]);
    for view in &list.items {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let (account, caller) = (or_empty(&view.account), or_empty(&view.caller));
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

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// SIGINT (Ctrl-C), SIGHUP (the terminal was closed) and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn register() -> anyhow::Result<Self> {
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
    fn the_line_shows_the_call_and_cannot_control_the_terminal() {
        let value = json!({
            "id": "x", "mode": "whisper", "state": "live", "operator": "1001", "extension": "2001",
            "account": "株式会社さくら商事", "caller": "田中\u{1b}[2J太郎",
            "started_at": "2026-01-05T00:00:00Z", "heard_at": "2026-01-05T00:00:03Z"
        });
        let view: View = serde_json::from_value(value).unwrap();
        let now = "2026-01-05T00:01:15Z".parse().unwrap();
        let expected = "whisper 1001 株式会社さくら商事 田中?[2J太郎 1:12   \
                        l listen, w whisper, b barge, t take over, q quit";
        assert_eq!(status_line(&view, now), expected);
    }
}
