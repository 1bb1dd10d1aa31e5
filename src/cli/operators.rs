//! `toritsugi operators` lists the operators with their states and calls. `toritsugi operator` sets an operator's state
//! or finishes an operator's after-call work.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::client::{Client, ClientArgs};
use super::events::EventStream;
use super::output::{Output, Table, plain, print, print_json, print_line};

/// The resource of the operators.
const PATH: &str = "/v1/operators";

#[derive(Debug, Args)]
pub(super) struct Operators {
    /// Print one line for each change until Ctrl-C.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Operator {
    #[command(subcommand)]
    command: OperatorCommand,
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    /// Set an operator's state. While the operator has a call, the state is pending until the call ends.
    Set(Set),
    /// Finish an operator's after-call work with a disposition.
    Finish(Finish),
}

#[derive(Debug, Args)]
struct Set {
    /// The operator's extension or name.
    #[arg(value_name = "OPERATOR")]
    operator: String,
    /// The new state: ready, not_ready or logged_out.
    #[arg(value_name = "STATE", value_parser = ["ready", "not_ready", "logged_out"])]
    state: String,
    /// The reason for not_ready: a code of the configuration, for instance break.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// The extension of the phone at which the operator works, if it is not the operator's own.
    #[arg(long, value_name = "EXTENSION")]
    at: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Finish {
    /// The operator's extension or name.
    #[arg(value_name = "OPERATOR")]
    operator: String,
    /// The disposition of the call: a code of the configuration, for instance message.
    #[arg(value_name = "DISPOSITION")]
    disposition: String,
    /// Notes on the call.
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// The printed fields of the answer of `/v1/operators`.
#[derive(Debug, Deserialize)]
struct List {
    items: Vec<OperatorView>,
}

/// An operator, in the list or in an event.
#[derive(Debug, Deserialize)]
struct OperatorView {
    extension: Option<String>,
    name: String,
    #[serde(default)]
    role: String,
    team: Option<String>,
    #[serde(default)]
    state: String,
    reason: Option<String>,
    pending: Option<Pending>,
    since: Option<Timestamp>,
    #[serde(default)]
    by: ChangedBy,
    #[serde(default)]
    desktops: u32,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Pending {
    state: String,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ChangedBy {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Call {
    id: String,
    state: String,
}

/// The printed fields of an event.
#[derive(Debug, Deserialize)]
struct Event {
    kind: String,
    at: Timestamp,
    #[serde(default)]
    data: Value,
}

impl Operators {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        if self.follow {
            return follow(client, self.output.json).await;
        }
        if self.output.json {
            print_json(&client.get::<Value>(PATH, &[]).await?)?;
        } else {
            let list: List = client.get(PATH, &[]).await?;
            print(&table(&list.items, Timestamp::now()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Operator {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            OperatorCommand::Set(set) => set.run(global).await,
            OperatorCommand::Finish(finish) => finish.run(global).await,
        }
    }
}

impl Set {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let present = find_operator(&client, &self.operator).await?;
        let mut request = json!({ "state": self.state, "version": present["version"] });
        for (key, value) in [("reason", self.reason), ("extension", self.at)] {
            if let Some(value) = value {
                request[key] = value.into();
            }
        }
        let view: Value = client.put(&format!("{PATH}/{}/state", string(&present["id"])), &request).await?;
        print_operator(&view, self.output.json)
    }
}

impl Finish {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let present = find_operator(&client, &self.operator).await?;
        let call =
            [&present["wrap_up"]["call"], &present["undisposed"]].into_iter().find(|call| call.is_string());
        let Some(call) = call else {
            anyhow::bail!(
                "{} has no after-call work, and no call without a disposition",
                plain(&self.operator)
            )
        };
        let mut request = json!({ "call": call, "disposition": self.disposition });
        if let Some(notes) = self.notes {
            request["notes"] = notes.into();
        }
        let view: Value =
            client.post(&format!("{PATH}/{}/wrap-up/finish", string(&present["id"])), &request).await?;
        if !self.output.json && view["wrap_up"]["call"].is_string() {
            let account = plain(string(&view["wrap_up"]["account_name"]));
            let next = if account.is_empty() {
                "an earlier call".to_owned()
            } else {
                format!("a call for {account}")
            };
            print_line(&format!("finished; the after-call work of {next} goes on"))?;
        }
        print_operator(&view, self.output.json)
    }
}

/// The operator with this extension or name, among those that the token may see.
async fn find_operator(client: &Client, name: &str) -> anyhow::Result<Value> {
    let list: Value = client.get(PATH, &[]).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let by_extension = items.iter().find(|person| person["extension"] == name);
    let found = by_extension.or_else(|| items.iter().find(|person| person["name"] == name)).cloned();
    found.ok_or_else(|| {
        anyhow::anyhow!(
            "there is no operator {} that you may see; `toritsugi operators` lists them",
            plain(name)
        )
    })
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn print_operator(view: &Value, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        print_json(view)?;
    } else {
        print_line(&operator_line(&serde_json::from_value(view.clone())?))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn follow(client: Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut events = EventStream::connect(client, "/v1/events").await?;
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        };
        let parsed: Event = serde_json::from_str(&event.data)?;
        let people = match parsed.kind.as_str() {
            "operator.state" => vec![parsed.data],
            "stream.snapshot" => parsed.data["operators"].as_array().cloned().unwrap_or_default(),
            _ => continue,
        };
        if as_json {
            print_line(&event.data)?;
            continue;
        }
        let time = parsed.at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string();
        for person in people {
            print_line(&format!("{time}  {}", operator_line(&serde_json::from_value(person)?)))?;
        }
    }
}

/// Formats an operator as one line.
fn operator_line(person: &OperatorView) -> String {
    let mut text =
        format!("{:<5} {}  {}", person.extension.as_deref().unwrap_or("-"), person.name, state_text(person));
    if let Some(name) = &person.by.name {
        text.push_str(&format!("  by {name}"));
    }
    plain(&text)
}

/// Formats the state, for instance `not_ready (break) → logged_out`.
fn state_text(person: &OperatorView) -> String {
    let with_reason = |state: &str, reason: Option<&str>| match reason {
        Some(reason) => format!("{state} ({reason})"),
        None => state.to_owned(),
    };
    let state = with_reason(&person.state, person.reason.as_deref());
    match &person.pending {
        Some(pending) => format!("{state} → {}", with_reason(&pending.state, pending.reason.as_deref())),
        None => state,
    }
}

fn table(people: &[OperatorView], now: Timestamp) -> String {
    let mut table =
        Table::new(["EXTENSION", "NAME", "ROLE", "TEAM", "STATE", "FOR", "PHONE", "DESKTOPS", "CALLS"]);
    for person in people {
        let call = |call: &Call| format!("{} {}", call.id.chars().take(8).collect::<String>(), call.state);
        let calls: Vec<String> = person.calls.iter().map(call).collect();
        let calls = if calls.is_empty() { "-".into() } else { calls.join(", ") };
        let since =
            person.since.filter(|since| *since > Timestamp::UNIX_EPOCH && person.state != "logged_out");
        table.row([
            person.extension.as_deref().unwrap_or("-"),
            &person.name,
            &person.role,
            person.team.as_deref().unwrap_or("-"),
            &state_text(person),
            &since.map_or("-".into(), |since| age(since, now)),
            &person.phone,
            &person.desktops.to_string(),
            &calls,
        ]);
    }
    table.render()
}

/// The time since `since`, as `m:ss`, or as `h:mm:ss` from one hour.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_a_table() {
        let list: List = serde_json::from_str(
            r#"{"items":[
                {"extension":"1001","name":"佐藤","kana":"","role":"operator","team":"A班","state":"talking",
                 "pending":{"state":"not_ready","reason":"break"},"since":"2026-01-05T00:00:00.000Z",
                 "desktops":1,"phone":"registered","by":{"actor":"call"},
                 "calls":[{"id":"0a1b2c3d-0000","state":"answered"}]},
                {"extension":null,"name":"鈴木","kana":"","role":"supervisor","state":"logged_out",
                 "since":"1970-01-01T00:00:00.000Z","desktops":0,"phone":"unknown","calls":[]}]}"#,
        )
        .unwrap();
        let now = "2026-01-05T00:01:05Z".parse().unwrap();
        let expected = "\
EXTENSION  NAME  ROLE        TEAM  STATE                        FOR   PHONE       DESKTOPS  CALLS
1001       佐藤  operator    A班   talking → not_ready (break)  1:05  registered  1         0a1b2c3d answered
-          鈴木  supervisor  -     logged_out                   -     unknown     0         -
";
        assert_eq!(table(&list.items, now), expected);
    }
}
