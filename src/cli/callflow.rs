//! `toritsugi callflow`: how calls of accounts are treated before an operator, overrides, and whether the PBX has them.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::Global;
use super::caller_rules::{Allow, Prefer, Refuse, Rules};
use super::callflow_pin::Pin;
use super::callflow_recordings::{Confirm, Discard, Recordings};
use super::callflow_sync::SyncArgs;
use super::callflow_templates::{DeleteTemplate, SaveTemplate, Templates};
use super::client::{Client, ClientArgs, Ids};
use super::named;
use super::output::{Output, Table, plain, print, print_json, print_line};
use super::when;

#[derive(Debug, Args)]
pub(super) struct Callflow {
    #[command(subcommand)]
    command: CallflowCommand,
}

#[derive(Debug, Subcommand)]
enum CallflowCommand {
    /// Show how an account's calls are treated now, what decides it, and how that changes in the next 7 days.
    Show(Show),
    /// Write the callflow of an account; what is not given stays as it is, or is the default.
    Set(Box<Set>),
    /// Remove the callflow of an account: the PBX's own dialplan treats its calls.
    Remove(One),
    /// Close an account, or the whole service, for a time, whatever the hours are.
    Close(Switch),
    /// Open an account, or the whole service, for a time, whatever the hours are.
    Open(Switch),
    /// List the overrides that have not ended.
    Overrides(List),
    /// End an override: the hours hold again.
    End(End),
    /// List the callers whom accounts refuse, or who are answered first.
    Rules(Rules),
    /// Refuse a caller for an account: the call is not answered.
    Refuse(Refuse),
    /// Answer a caller of an account before others.
    Prefer(Prefer),
    /// Delete a rule about a caller.
    Allow(Allow),
    /// List the settings that callflows of accounts share.
    Templates(Templates),
    /// Make the settings of an account's callflow a template, or change one by them.
    SaveTemplate(SaveTemplate),
    /// Delete a template that no callflow follows.
    DeleteTemplate(DeleteTemplate),
    /// Set the PIN with which somebody of an account records its guidance by telephone; it is read from the terminal, or from
    /// standard input.
    Pin(Pin),
    /// List guidance that accounts recorded by telephone and that callers do not hear yet.
    Recordings(Recordings),
    /// Confirm guidance that an account recorded by telephone: callers hear it from the next call on.
    Confirm(Confirm),
    /// Discard guidance that an account recorded by telephone: callers hear what they heard before.
    Discard(Discard),
    /// List what would treat calls in another way than somebody expects, in the next 35 days; the exit code is 1 where
    /// something is found for an account.
    Check(List),
    /// Say whether the PBX has everything that was set; the exit code is 1 where it has not.
    Sync(SyncArgs),
}

#[derive(Debug, Args)]
struct Show {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The time: tomorrow, 14:30, 2026-11-29, +2h, or RFC 3339 [default: now].
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    at: Option<Timestamp>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Set {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The queue in which callers wait.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// How long they wait there, in seconds.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
    /// What they hear meanwhile: ringing, or music (then the call is charged from the beginning).
    #[arg(long, value_name = "SOUND", value_parser = ["ring", "music"])]
    while_waiting: Option<String>,
    /// Their priority in the queue, 0 to 9.
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// The calls that the account may have at a time; 0: any number.
    #[arg(long, value_name = "N")]
    lines: Option<u32>,
    /// With so many waiting callers, a further one does not wait; 0: each waits.
    #[arg(long, value_name = "N")]
    full_at: Option<u32>,
    /// The queue in which callers wait afterwards; empty: none.
    #[arg(long, value_name = "QUEUE")]
    second_queue: Option<String>,
    /// How long they wait there, in seconds.
    #[arg(long, value_name = "SECONDS")]
    second_wait: Option<u32>,
    /// What the operator hears before the caller is connected: a sound of the PBX of at most two seconds; empty: nothing.
    #[arg(long, value_name = "SOUND")]
    announcement: Option<String>,
    /// Whether the operator also hears that the caller is known, and from which region the call comes.
    #[arg(long, value_name = "BOOL")]
    announce_caller: Option<bool>,
    /// Whether callers who wait with music also hear at which place they are.
    #[arg(long, value_name = "BOOL")]
    announce_place: Option<bool>,
    /// How guidance is played: early (uncharged), or answer.
    #[arg(long, value_name = "MODE", value_parser = ["early", "answer"])]
    guidance: Option<String>,
    /// What callers hear out of hours: a sound of the PBX; empty: the shipped one.
    #[arg(long, value_name = "SOUND")]
    closed_guidance: Option<String>,
    /// From when on they hear what somebody of the account records by telephone.
    #[arg(long, value_name = "WHEN", value_parser = ["now", "next_closing", "confirmed"])]
    recorded_guidance: Option<String>,
    /// What callers hear on holidays; empty: as out of hours.
    #[arg(long, value_name = "SOUND")]
    holiday_guidance: Option<String>,
    /// What callers hear while an override closes the account; empty: as out of hours.
    #[arg(long, value_name = "SOUND")]
    override_guidance: Option<String>,
    /// What callers hear whom nobody answered; empty: the shipped one.
    #[arg(long, value_name = "SOUND")]
    overflow_guidance: Option<String>,
    /// Where callers may ask to be called back.
    #[arg(long, value_name = "WHEN", value_parser = ["off", "closed", "overflow", "both"])]
    callback: Option<String>,
    /// How that is offered; empty: the shipped sound.
    #[arg(long, value_name = "SOUND")]
    callback_guidance: Option<String>,
    /// Where callers may leave a voice message.
    #[arg(long, value_name = "WHEN", value_parser = ["off", "closed", "overflow", "both"])]
    voice_message: Option<String>,
    /// What callers hear before the tone; empty: the shipped one.
    #[arg(long, value_name = "SOUND")]
    voice_guidance: Option<String>,
    /// Longest voice message, in seconds: 10 to 180.
    #[arg(long, value_name = "SECONDS")]
    voice_max: Option<u32>,
    /// Where somebody of the account is called before the guidance.
    #[arg(long, value_name = "WHEN", value_parser = ["off", "closed", "overflow", "both"])]
    reach: Option<String>,
    /// Whether the account's contacts who are on call are called first, in their order.
    #[arg(long, value_name = "BOOL")]
    reach_on_call: Option<bool>,
    /// Whom, one after the other: numbers of this country, or extensions.
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    reach_numbers: Option<Vec<String>>,
    /// How long each of them rings, in seconds: 5 to 120.
    #[arg(long, value_name = "SECONDS")]
    reach_s: Option<u32>,
    /// Whether they must press 1 to take the call.
    #[arg(long, value_name = "BOOL")]
    reach_accept: Option<bool>,
    /// Whether callers who withhold their number are refused, after guidance.
    #[arg(long, value_name = "BOOL")]
    refuse_withheld: Option<bool>,
    /// What they hear; empty: the shipped one.
    #[arg(long, value_name = "SOUND")]
    withheld_guidance: Option<String>,
    /// The template that the callflow follows, by its code; what is as in the template stays so. Empty: none.
    #[arg(long, value_name = "CODE")]
    template: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct One {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Switch {
    /// The account: its code, its name or the beginning of its id.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    account: Option<String>,
    /// The whole service.
    #[arg(long)]
    all: bool,
    /// Until when: 18:00, tomorrow, 2026-12-01, RFC 3339, or from now on: 90m, 2h, 1d [default: until somebody ends it].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct End {
    /// The override: its id, or the beginning of it.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Callflow {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            CallflowCommand::Show(command) => command.run(global).await,
            CallflowCommand::Set(command) => command.run(global).await,
            CallflowCommand::Remove(command) => command.run(global).await,
            CallflowCommand::Close(command) => command.run(global, "closed").await,
            CallflowCommand::Open(command) => command.run(global, "open").await,
            CallflowCommand::Overrides(command) => command.overrides(global).await,
            CallflowCommand::Check(command) => command.check(global).await,
            CallflowCommand::Rules(command) => command.run(global).await,
            CallflowCommand::Refuse(command) => command.run(global).await,
            CallflowCommand::Prefer(command) => command.run(global).await,
            CallflowCommand::Allow(command) => command.run(global).await,
            CallflowCommand::Templates(command) => command.run(global).await,
            CallflowCommand::SaveTemplate(command) => command.run(global).await,
            CallflowCommand::DeleteTemplate(command) => command.run(global).await,
            CallflowCommand::Pin(command) => command.run(global).await,
            CallflowCommand::Recordings(command) => command.run(global).await,
            CallflowCommand::Confirm(command) => command.run(global).await,
            CallflowCommand::Discard(command) => command.run(global).await,
            CallflowCommand::End(command) => command.run(global).await,
            CallflowCommand::Sync(command) => command.run(global).await,
        }
    }
}

impl Show {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let path = format!("/v1/accounts/{}/callflow", named::account(&client, &self.account).await?);
        let callflow: Value = client.get(&path, &[]).await?;
        let from = self.at.map(|at| at.to_string());
        let query: Vec<(&str, &str)> = from.iter().map(|from| ("from", from.as_str())).collect();
        let preview: Value = client.get(&format!("{path}/preview"), &query).await?;
        if self.output.json {
            print_json(&json!({ "callflow": callflow, "changes": preview["items"] }))?;
        } else {
            print(&shown(
                &callflow,
                preview["items"].as_array().map_or(&[] as &[Value], Vec::as_slice),
                self.at.is_none(),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The treatment now, its steps as sentences, and the changes.
fn shown(callflow: &Value, changes: &[Value], is_now: bool) -> String {
    let mut text = String::new();
    if is_now {
        let now = &callflow["now"];
        let until = now["until"].as_str().map_or_else(String::new, |until| format!(", until {until}"));
        text.push_str(&format!("Now: {} ({}){until}\n", word(&now["treatment"]), because(&now["because"])));
        for step in now["steps"].as_array().into_iter().flatten() {
            text.push_str(&format!("  {}\n", plain(&sentence(step))));
        }
        text.push('\n');
    }
    let mut table = Table::new(["FROM", "TREATMENT", "BECAUSE OF"]);
    for change in changes {
        let at = change["at"].as_str().unwrap_or_default();
        table.row([at, word(&change["treatment"]), because(&change["because"])]);
    }
    text + &table.render()
}

/// A treatment in words.
pub(super) fn word(treatment: &Value) -> &str {
    match treatment.as_str().unwrap_or_default() {
        "holiday" => "closed (holiday)",
        "override" => "closed (override)",
        word => word,
    }
}

/// What decides, in words.
pub(super) fn because(because: &Value) -> &str {
    match because.as_str().unwrap_or_default() {
        "service_override" => "an override of the whole service",
        "account_override" => "an override of the account",
        "exception" => "a dated exception",
        "holiday" => "a holiday",
        "weekly" => "the weekly hours",
        "caller_rule" => "a rule about this caller",
        "always_open" => "no hours are set",
        other => other,
    }
}

/// A step of the PBX as a sentence.
pub(super) fn sentence(step: &Value) -> String {
    let text = |key: &str| step[key].as_str().unwrap_or_default();
    match text("step") {
        "say" if text("mode") == "answer" => format!("answer, and play {}", text("sound")),
        "say" => format!("play {} before the answer", text("sound")),
        "lines" => format!("if the account has more than {} calls:", step["most"]),
        "crowded" => format!("if {} callers wait in {}:", step["waiting"], text("queue")),
        "queue" => {
            let hears = match (text("hears"), &step["places"]) {
                ("music", Value::Bool(true)) => "music and the place",
                ("music", _) => "music",
                _ => "ringing",
            };
            let (queue, wait_s, priority) = (text("queue"), &step["wait_s"], &step["priority"]);
            let announced = step["announcement"].as_str().map_or_else(String::new, |sound| {
                format!("; the operator hears {sound} before the caller is connected")
            });
            format!("wait in {queue} for {wait_s} s with {hears}, priority {priority}{announced}")
        }
        "report" => format!("count the call as {} from now on", text("outcome")),
        "callback" => format!("answer, play {}, and offer to be called back by pressing 1", text("sound")),
        "voice" => {
            let (sound, most_s, silence_s) = (text("sound"), &step["most_s"], &step["silence_s"]);
            format!(
                "answer, play {sound}, and record a voice message of at most {most_s} s, until # or {silence_s} s of silence"
            )
        }
        "reach" => {
            let items = |key: &str| step[key].as_array().into_iter().flatten();
            let contacts = items("contacts").filter_map(|contact| contact["name"].as_str());
            let numbers: Vec<&str> = contacts.chain(items("numbers").filter_map(Value::as_str)).collect();
            let accept = if step["accept"] == true { ", who must press 1" } else { "" };
            format!("call {} for {} s each{accept}", numbers.join(", then "), step["each_s"])
        }
        "caller" => "for a caller who withholds the number:".to_owned(),
        "end" => format!("end the call: {}", text("outcome")),
        "pbx" => "leave the call to the PBX's own dialplan".to_owned(),
        _ => step.to_string(),
    }
}

impl Set {
    #[expect(clippy::too_many_lines, reason = "one line for each option")]
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let path = format!("/v1/accounts/{}/callflow", named::account(&client, &self.account).await?);
        let present: Value = match client.get(&path, &[]).await {
            Err(error) if format!("{error:#}").contains("unknown-record") => Value::Null,
            present => present?,
        };
        let mut fields: Map<String, Value> = present["fields"].as_object().cloned().unwrap_or_default();
        for (key, count) in [
            ("wait_s", self.wait),
            ("priority", self.priority),
            ("lines", self.lines),
            ("full_at", self.full_at),
            ("second_wait_s", self.second_wait),
            ("voice_max_s", self.voice_max),
            ("reach_s", self.reach_s),
        ] {
            if let Some(count) = count {
                fields.insert(key.to_owned(), json!(count));
            }
        }
        for (key, text) in [
            ("queue", self.queue),
            ("while_waiting", self.while_waiting),
            ("second_queue", self.second_queue),
            ("guidance", self.guidance),
            ("announcement", self.announcement),
            ("closed_guidance", self.closed_guidance),
            ("recorded_guidance", self.recorded_guidance),
            ("holiday_guidance", self.holiday_guidance),
            ("override_guidance", self.override_guidance),
            ("overflow_guidance", self.overflow_guidance),
            ("callback", self.callback),
            ("callback_guidance", self.callback_guidance),
            ("voice_message", self.voice_message),
            ("voice_guidance", self.voice_guidance),
            ("reach", self.reach),
            ("withheld_guidance", self.withheld_guidance),
        ] {
            match text {
                Some(text) if text.is_empty() => drop(fields.remove(key)),
                Some(text) => drop(fields.insert(key.to_owned(), json!(text))),
                None => {}
            }
        }
        for (key, is_on) in [
            ("announce_caller", self.announce_caller),
            ("announce_place", self.announce_place),
            ("reach_on_call", self.reach_on_call),
            ("reach_accept", self.reach_accept),
            ("refuse_withheld", self.refuse_withheld),
        ] {
            if let Some(is_on) = is_on {
                fields.insert(key.to_owned(), json!(is_on));
            }
        }
        if let Some(numbers) = self.reach_numbers {
            fields.insert("reach_numbers".to_owned(), json!(numbers));
        }
        // A callflow that begins to follow a template has nothing of its own but what is given here.
        let followed = present["template"].as_str().unwrap_or_default();
        let template = self.template.unwrap_or_else(|| followed.to_owned());
        if template != followed && !template.is_empty() {
            let before = present["fields"].as_object().cloned().unwrap_or_default();
            fields.retain(|key, value| before.get(key) != Some(value));
        }
        if !template.is_empty() {
            fields.insert("template".to_owned(), json!(template));
        }
        let written: Value = client.put(&path, &fields).await?;
        print_json(&written)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl One {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        client.delete(&format!("/v1/accounts/{account}/callflow")).await?;
        print_line("the account has no callflow; the PBX's own dialplan treats its calls")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Switch {
    async fn run(self, global: &Global, treatment: &str) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let mut body = json!({ "treatment": treatment, "reason": self.reason });
        if let Some(account) = &self.account {
            body["account"] = json!(named::account(&client, account).await?);
        }
        if let Some(until) = &self.until {
            body["until"] = json!(end("--until", until, Timestamp::now())?);
        }
        let set: Value = client.post("/v1/overrides", &body).await?;
        let until = set["until"].as_str().map_or_else(
            || "until it is ended with toritsugi callflow end".to_owned(),
            |until| format!("until {until}"),
        );
        print_line(&format!("{treatment} {until}: {}", set["id"].as_str().unwrap_or_default()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The time that `text` names: itself, or a duration from `now` on. `option` is where it was written.
pub(super) fn end(option: &str, text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()).filter(|days| *days <= 366);
    let lasts = days.map(|days| SignedDuration::from_hours(24 * days)).or_else(|| text.parse().ok());
    let Some(lasts) = lasts.filter(|lasts| lasts.is_positive()) else {
        if let Ok(at) = when::time_from(text, now)
            && at > now
        {
            return Ok(at);
        }
        bail!(
            "{option} {text}: a time to come such as 18:00, tomorrow or 2026-12-01T09:00:00+09:00, or a duration such as 90m, 2h or 1d"
        )
    };
    now.checked_add(lasts).with_context(|| format!("{option} is too far away"))
}

impl List {
    async fn check(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let found: Value = client.get("/v1/callflow/readiness", &[]).await?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        let is_about_an_account = items.iter().any(|one| one["account"].is_string());
        if self.output.json {
            print_json(&found)?;
        } else if items.is_empty() {
            print_line("nothing was found: calls are treated as the records say")?;
        } else {
            let mut table = Table::new(["FINDING", "ACCOUNT", "DETAIL"]);
            for one in &items {
                let text = |key: &str| one[key].as_str().unwrap_or_default();
                let account = if one["account"].is_string() { text("account_name") } else { "(all)" };
                table.row([text("kind"), account, text("detail")]);
            }
            print(&table.render())?;
        }
        Ok(if is_about_an_account { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn overrides(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let found: Value = client.get("/v1/overrides", &[]).await?;
        if self.output.json {
            print_json(&found)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(["ID", "ACCOUNT", "TREATMENT", "FROM", "UNTIL", "BY", "REASON"]);
        let items = found["items"].as_array().cloned().unwrap_or_default();
        let mut names = Vec::with_capacity(items.len());
        for one in &items {
            names.push(name_of(&client, &one["account"]).await?);
        }
        for (one, name) in items.iter().zip(&names) {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let until = one["until"].as_str().unwrap_or("it is ended");
            table.row([
                text("id"),
                name,
                text("treatment"),
                text("from"),
                until,
                text("by_name"),
                text("reason"),
            ]);
        }
        if items.is_empty() {
            print_line("no override is set: the hours of each account hold")?;
        } else {
            print(&table.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn name_of(client: &Client, account: &Value) -> anyhow::Result<String> {
    let Some(id) = account.as_str() else { return Ok("(all)".to_owned()) };
    let account: Value = client.get(&format!("/v1/accounts/{id}"), &[]).await?;
    Ok(account["name"].as_str().unwrap_or(id).to_owned())
}

impl End {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let ids =
            Ids { what: "override", paths: &["/v1/overrides"], command: "toritsugi callflow overrides" };
        let id = client.whole_id(&self.id, ids).await?;
        client.delete(&format!("/v1/overrides/{id}")).await?;
        print_line("ended; the hours hold again")?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_duration() {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-12-01T09:00:00+09:00", Some("2026-12-01T00:00:00Z")),
            ("90m", Some("2026-11-30T01:30:00Z")),
            ("2h", Some("2026-11-30T02:00:00Z")),
            ("1d", Some("2026-12-01T00:00:00Z")),
            ("-2h", None),
            ("0h", None),
            ("2026-11-29T00:00:00Z", Some("2026-11-29T00:00:00Z")),
            ("some day", None),
        ] {
            let found = end("--until", text, now).ok().map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_treatment_is_shown_with_its_steps_and_what_decides_it() {
        let callflow = json!({ "now": { "treatment": "holiday", "because": "holiday", "until": "2026-11-24T00:00:00.000Z", "steps": [
            { "step": "say", "sound": "toritsugi/closed", "mode": "early", "instead": "toritsugi/closed" },
            { "step": "end", "outcome": "closed" },
        ] } });
        let changes = [json!({ "at": "2026-11-24T00:00:00.000Z", "treatment": "open", "because": "weekly" })];
        let text = shown(&callflow, &changes, true);
        assert!(text.starts_with("Now: closed (holiday) (a holiday), until 2026-11-24T00:00:00.000Z\n  play toritsugi/closed before the answer\n  end the call: closed\n"), "{text}");
        assert!(text.contains("2026-11-24T00:00:00.000Z  open       the weekly hours"), "{text}");
    }
}
