//! `toritsugi calls`: lists the present calls, or prints every event from now on.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::{ClientArgs, Ids};
use super::events::EventStream;
use super::output::{Output, Table, plain, print, print_json, print_line};

/// Characters of a call's id that a line shows: enough to distinguish the calls of a day.
const ID_CHARS_SHOWN: usize = 8;
/// The ids that `toritsugi calls` prints.
pub(super) const PRESENT_CALLS: Ids =
    Ids { what: "present call", paths: &["/v1/calls"], command: "toritsugi calls" };

#[derive(Debug, Args)]
pub(super) struct Calls {
    /// Print one line for each event until Ctrl-C.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// The printed fields of the answer of `/v1/calls`.
#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    id: String,
    state: String,
    offered_at: Timestamp,
    #[serde(default)]
    presented_to: Vec<String>,
    operator: Option<String>,
    card: Option<Card>,
}

/// The printed fields of a card, or of an event's data that contains one.
#[derive(Debug, Default, Deserialize)]
struct Card {
    #[serde(default)]
    caller: Option<Caller>,
    #[serde(default)]
    account: Option<Account>,
}

#[derive(Debug, Deserialize)]
struct Caller {
    number: Option<String>,
    #[serde(default)]
    presentation: String,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Account {
    #[serde(default)]
    name: String,
}

/// The fields that every event has.
#[derive(Debug, Deserialize)]
struct Event {
    kind: String,
    at: Timestamp,
    call: Option<String>,
    #[serde(default)]
    data: Value,
}

impl Calls {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        if self.follow {
            let mut events = EventStream::connect(client, "/v1/events").await?;
            loop {
                let event = tokio::select! {
                    event = events.next() => event?,
                    _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
                };
                if self.output.json {
                    print_line(&event.data)?;
                } else {
                    print_line(&event_line(&serde_json::from_str(&event.data)?, &TimeZone::system()))?;
                }
            }
        }
        if self.output.json {
            print_json(&client.get::<Value>("/v1/calls", &[]).await?)?;
        } else {
            let list: List = client.get("/v1/calls", &[]).await?;
            print(&table(&list.items, Timestamp::now()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(calls: &[Call], now: Timestamp) -> String {
    let mut table = Table::new(["CALL", "STATE", "FOR", "OPERATOR", "ACCOUNT", "CALLER"]);
    for call in calls {
        let card = call.card.as_ref();
        let operators = match &call.operator {
            Some(operator) => operator.clone(),
            None if call.presented_to.is_empty() => "-".into(),
            None => call.presented_to.join(" "),
        };
        table.row([
            &short_id(&call.id),
            &call.state,
            &age(call.offered_at, now),
            &operators,
            &card.map_or("-".into(), Card::account),
            &card.map_or("-".into(), Card::caller),
        ]);
    }
    table.render()
}

/// Formats one event as one line.
fn event_line(event: &Event, zone: &TimeZone) -> String {
    let time = event.at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string();
    let call = event.call.as_deref().map_or("-".into(), short_id);
    let mut text = format!("{time}  {:<23} {call:<ID_CHARS_SHOWN$}", event.kind);
    if event.kind == "stream.snapshot" {
        let calls = event.data["calls"].as_array().map_or(0, Vec::len);
        text.push_str(&format!("  calls now: {calls}"));
    }
    for key in ["operator", "state", "outcome", "reason"] {
        if let Some(value) = event.data[key].as_str() {
            text.push_str(&format!("  {key} {value}"));
        }
    }
    let card = Card::deserialize(&event.data).unwrap_or_default();
    if card.account.is_some() {
        text.push_str(&format!("  {}  {}", card.account(), card.caller()));
    }
    plain(text.trim_end())
}

impl Card {
    fn account(&self) -> String {
        match &self.account {
            Some(account) if !account.name.is_empty() => account.name.clone(),
            _ => "-".into(),
        }
    }

    fn caller(&self) -> String {
        let Some(caller) = &self.caller else { return "-".into() };
        let number = caller.number.as_deref().unwrap_or(&caller.presentation);
        match &caller.name {
            Some(name) => format!("{name} {number}"),
            None => number.to_owned(),
        }
    }
}

fn short_id(id: &str) -> String {
    id.chars().take(ID_CHARS_SHOWN).collect()
}

/// The time since `since`, as minutes and seconds.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_a_table() {
        let list: List = serde_json::from_str(
            r#"{"id":"a-1","items":[
                {"id":"0a1b2c3d-0000","state":"presented","offered_at":"2026-01-05T00:00:00.000Z",
                 "presented_to":["1001","1002"],
                 "card":{"caller":{"number":"090-1111-2222","presentation":"allowed","name":"田中"},
                         "account":{"name":"さくら商事"}}},
                {"id":"1a1b2c3d-0000","state":"answered","offered_at":"2026-01-05T00:01:00.000Z",
                 "presented_to":[],"operator":"1001",
                 "card":{"caller":{"presentation":"withheld"},"account":{"name":"\u001b[2J"}}},
                {"id":"2a1b2c3d-0000","state":"offered","offered_at":"2026-01-05T00:01:30Z"}]}"#,
        )
        .unwrap();
        let now = "2026-01-05T00:01:31Z".parse().unwrap();
        let expected = "\
CALL      STATE      FOR   OPERATOR   ACCOUNT     CALLER
0a1b2c3d  presented  1:31  1001 1002  さくら商事  田中 090-1111-2222
1a1b2c3d  answered   0:31  1001       ?[2J        withheld
2a1b2c3d  offered    0:01  -          -           -
";
        assert_eq!(table(&list.items, now), expected);
    }

    #[test]
    fn an_event_is_a_line() {
        let lines = [
            r#"{"id":"a-1","kind":"stream.snapshot","at":"2026-01-05T00:00:00.000Z","data":{"pbx":[],"calls":[1,2]}}"#,
            r#"{"id":"a-2","kind":"call.presented","at":"2026-01-05T00:00:01.000Z","pbx":"x","call":"0a1b2c3d-00",
               "data":{"operator":"1001","caller":{"number":"090","presentation":"allowed"},"account":{"name":"A\u202eB"}}}"#,
            r#"{"id":"a-3","kind":"call.ended","at":"2026-01-05T00:00:02.000Z","call":"0a1b2c3d-00","data":{"outcome":"answered"}}"#,
            r#"{"id":"a-4","kind":"pbx.down","at":"2026-01-05T00:00:03.000Z","pbx":"x","data":{}}"#,
        ]
        .map(|text| event_line(&serde_json::from_str(text).unwrap(), &TimeZone::UTC));
        assert_eq!(
            lines,
            [
                "00:00:00  stream.snapshot         -         calls now: 2",
                "00:00:01  call.presented          0a1b2c3d  operator 1001  A?B  090",
                "00:00:02  call.ended              0a1b2c3d  outcome answered",
                "00:00:03  pbx.down                -",
            ]
        );
    }
}
