//! `toritsugi history`: lists finished calls, the newest first, or prints one call with its segments and supervisions.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::{ClientArgs, Ids};
use super::named;
use super::output::{Output, Table, plain, print, print_bytes, print_json};
use super::when;

/// The newest finished calls, among which the beginning of an id is looked for.
const RECORDED_CALLS: Ids = Ids {
    what: "call among the newest 500 finished ones of each direction",
    paths: &["/v1/history?limit=500", "/v1/history?direction=outbound&limit=500"],
    command: "toritsugi history",
};

#[derive(Debug, Args)]
pub(super) struct History {
    /// The id of one call, or its beginning, to print it with everything that happened in it.
    #[arg(value_name = "CALL", conflicts_with_all = ["find", "account", "operator", "direction", "outcome", "from", "to", "limit", "csv"])]
    call: Option<String>,
    /// Only calls with this person or number on the other side: a telephone number in any writing, or a part of a customer's
    /// name, reading, company, code or number.
    #[arg(long, value_name = "TEXT")]
    find: Option<String>,
    /// Only calls for this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only calls that the operator at this extension had.
    #[arg(long, value_name = "EXTENSION")]
    operator: Option<String>,
    /// The calls in this direction: inbound, or outbound for those that operators made.
    #[arg(long, value_name = "DIRECTION", default_value = "inbound", value_parser = ["inbound", "outbound"])]
    direction: String,
    /// Only calls with this outcome: answered, abandoned, overflowed, closed, blocked, elsewhere, fax or
    /// unknown.
    #[arg(long)]
    outcome: Option<String>,
    /// Only calls that arrived at or after this time: today, -2h, 2026-11-29, 14:30, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    from: Option<Timestamp>,
    /// Only calls that arrived before this time.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    to: Option<Timestamp>,
    /// How many calls, the newest first, 1 to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Print all calls that match, without a limit, as a CSV file for a spreadsheet.
    #[arg(long, conflicts_with_all = ["limit", "json"])]
    csv: bool,
    /// The encoding of the CSV file.
    #[arg(long, value_name = "ENCODING", requires = "csv", default_value = "utf-8", value_parser = ["utf-8", "cp932"])]
    encoding: String,
    /// The language of the headings and words in the CSV file.
    #[arg(long, value_name = "LANGUAGE", requires = "csv", default_value = "ja", value_parser = ["ja", "en"])]
    language: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// The printed fields of the answer of `/v1/history`.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    id: String,
    offered_at: Timestamp,
    answered_at: Option<Timestamp>,
    ended_at: Timestamp,
    outcome: String,
    #[serde(default)]
    operators: Vec<String>,
    account_name: Option<String>,
    #[serde(default)]
    direction: Option<String>,
    dialled: Option<String>,
    caller: Option<String>,
    presentation: String,
    #[serde(default)]
    inferred: bool,
    #[serde(default)]
    wrap_ups: Vec<WrapUp>,
    #[serde(default)]
    segments: Vec<Segment>,
    #[serde(default)]
    supervisions: Vec<SupervisionSegment>,
}

/// What an operator recorded about the call.
#[derive(Debug, Deserialize)]
struct WrapUp {
    name: Option<String>,
    disposition: Option<String>,
    notes: Option<String>,
    ended_at: Timestamp,
}

/// A message that was taken in the call.
#[derive(Debug, Deserialize)]
struct Message {
    created_at: Timestamp,
    state: String,
    taken_by_name: Option<String>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Messages {
    items: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Segment {
    kind: String,
    operator: Option<String>,
    target: Option<String>,
    from: Timestamp,
    until: Option<Timestamp>,
    result: Option<String>,
}

/// A period in which a supervisor listened.
#[derive(Debug, Deserialize)]
struct SupervisionSegment {
    mode: String,
    operator: String,
    supervisor_name: String,
    extension: String,
    from: Timestamp,
    until: Option<Timestamp>,
    ending: Option<String>,
}

impl History {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        if let Some(id) = self.call {
            let id = client.whole_id(&id, RECORDED_CALLS).await?;
            let path = format!("/v1/history/{id}");
            if self.output.json {
                print_json(&client.get::<Value>(&path, &[]).await?)?;
            } else {
                let call: Call = client.get(&path, &[]).await?;
                let zone = TimeZone::system();
                // A token may see calls and no messages.
                let messages = client.get("/v1/messages", &[("call", &id.to_string())]).await;
                let messages = messages.map_or_else(|_| Vec::new(), |page: Messages| page.items);
                let parts = [
                    table(std::slice::from_ref(&call), &zone),
                    timeline(&call, &zone),
                    recorded(&call, &messages, &zone),
                ];
                print(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n"))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let (from, to) = (self.from.map(|t| t.to_string()), self.to.map(|t| t.to_string()));
        let account = named::account_filter(&client, self.account.as_deref()).await?;
        let filters = [
            ("account", account.first().map(|(_, id)| id.as_str())),
            ("operator", self.operator.as_deref()),
            ("direction", Some(self.direction.as_str())),
            ("outcome", self.outcome.as_deref()),
            ("from", from.as_deref()),
            ("to", to.as_deref()),
            ("q", self.find.as_deref()),
        ];
        let mut query: Vec<(&str, &str)> =
            filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        if self.csv {
            query.extend([("encoding", self.encoding.as_str()), ("language", self.language.as_str())]);
            let file = client.download("/v1/history.csv", &query).await?.bytes().await;
            print_bytes(&file.context("the connection ended in the middle of the file; try again")?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let limit = self.limit.to_string();
        query.push(("limit", &limit));
        if self.output.json {
            print_json(&client.get::<Value>("/v1/history", &query).await?)?;
        } else {
            let page: Page = client.get("/v1/history", &query).await?;
            print(&table(&page.items, &TimeZone::system()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(calls: &[Call], zone: &TimeZone) -> String {
    let time_heading = format!("TIME ({})", zone_name(zone));
    let mut table = Table::new([
        time_heading.as_str(),
        "OUTCOME",
        "WAITED",
        "TALKED",
        "OPERATORS",
        "RESULT",
        "ACCOUNT",
        "CALLER",
        "CALL",
    ]);
    for call in calls {
        let time = call.offered_at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let outcome =
            if call.inferred { format!("{} (inferred)", call.outcome) } else { call.outcome.clone() };
        let waited = seconds(call.offered_at, call.answered_at.unwrap_or(call.ended_at));
        let talked = call.answered_at.map_or("-".into(), |from| seconds(from, call.ended_at));
        // An operator to whom the caller came back is named once.
        let mut operators = call.operators.clone();
        operators.dedup();
        let operators = if operators.is_empty() { "-".into() } else { operators.join(" ") };
        let caller = match call.direction.as_deref() {
            Some("outbound") => format!("to {}", call.dialled.as_deref().unwrap_or("-")),
            _ => call.caller.clone().unwrap_or_else(|| match call.presentation.as_str() {
                "allowed" => "-".into(),
                other => other.to_owned(),
            }),
        };
        let account = call.account_name.as_deref().unwrap_or("-");
        let results: Vec<&str> = call.wrap_ups.iter().filter_map(|one| one.disposition.as_deref()).collect();
        let results = if results.is_empty() { "-".into() } else { results.join(" ") };
        table.row([&time, &outcome, &waited, &talked, &operators, &results, account, &caller, &call.id]);
    }
    table.render()
}

/// The name of the time zone in which times are printed, or its present offset.
fn zone_name(zone: &TimeZone) -> String {
    let offset = || Timestamp::now().to_zoned(zone.clone()).strftime("%:z").to_string();
    zone.iana_name().map_or_else(offset, ToOwned::to_owned)
}

/// What people wrote about a call, each text in full: results and notes of after-call work, and messages.
fn recorded(call: &Call, messages: &[Message], zone: &TimeZone) -> String {
    let time = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string();
    let mut lines = Vec::new();
    let mut add = |at: Timestamp, what: &str, state: &str, name: Option<&str>, text: &str| {
        lines.push(format!("{}  {what}: {}  {}", time(at), plain(state), plain(name.unwrap_or("-"))));
        lines.extend(text.lines().map(|line| format!("    {}", plain(line))));
    };
    for one in &call.wrap_ups {
        let (result, notes) = (one.disposition.as_deref(), one.notes.as_deref());
        add(one.ended_at, "result", result.unwrap_or("-"), one.name.as_deref(), notes.unwrap_or_default());
    }
    for one in messages {
        add(one.created_at, "message", &one.state, one.taken_by_name.as_deref(), &one.text);
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The table of a call's segments and supervisions, by their start.
fn timeline(call: &Call, zone: &TimeZone) -> String {
    let time = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string();
    let until = |at: Option<Timestamp>| at.map_or("-".into(), time);
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let mut rows: Vec<(Timestamp, [String; 6])> = Vec::new();
    for s in &call.segments {
        let cells = [
            time(s.from),
            until(s.until),
            s.kind.clone(),
            or_dash(&s.operator),
            or_dash(&s.target),
            or_dash(&s.result),
        ];
        rows.push((s.from, cells));
    }
    for h in &call.supervisions {
        let supervisor = format!("{} ({})", h.supervisor_name, h.extension);
        let cells = [
            time(h.from),
            until(h.until),
            h.mode.clone(),
            h.operator.clone(),
            supervisor,
            or_dash(&h.ending),
        ];
        rows.push((h.from, cells));
    }
    rows.sort_by_key(|(from, _)| *from);
    let mut table = Table::new(["FROM", "UNTIL", "WHAT", "OPERATOR", "WITH", "RESULT"]);
    for (_, cells) in &rows {
        table.row(cells.each_ref().map(String::as_str));
    }
    table.render()
}

fn seconds(from: Timestamp, to: Timestamp) -> String {
    format!("{} s", to.duration_since(from).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_outcome_and_the_durations() {
        let calls = serde_json::json!([{
            "id": "c-1", "offered_at": "2026-04-01T00:00:00.000Z", "answered_at": "2026-04-01T00:00:07.900Z",
            "ended_at": "2026-04-01T00:01:00.000Z", "outcome": "answered", "operators": ["1001", "1001", "1002"],
            "wrap_ups": [{ "disposition": "message", "ended_at": "2026-04-01T00:02:00Z" }],
            "account_name": "さくら商事", "caller": "+819012345678", "presentation": "allowed", "inferred": true,
        }, {
            "id": "c-2", "offered_at": "2026-04-01T00:00:00.000Z", "answered_at": null, "ended_at": "2026-04-01T00:00:05.000Z",
            "outcome": "abandoned", "operators": [], "caller": null, "presentation": "withheld", "inferred": false,
        }]);
        let calls: Vec<Call> = serde_json::from_value(calls).unwrap();
        let text = table(&calls, &TimeZone::UTC);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("TIME (UTC)           OUTCOME"), "{text}");
        assert_eq!(
            lines[1],
            "2026-04-01 00:00:00  answered (inferred)  7 s     52 s    1001 1002  message  さくら商事  +819012345678  c-1"
        );
        assert!(lines[2].contains("  withheld ") && lines[2].ends_with("  c-2"), "{text}");
    }

    #[test]
    fn one_call_is_printed_with_what_people_wrote_about_it() {
        let call = serde_json::json!({
            "id": "c-1", "offered_at": "2026-04-01T00:00:00Z", "answered_at": null,
            "ended_at": "2026-04-01T00:01:00Z", "outcome": "answered", "presentation": "allowed",
            "wrap_ups": [
                { "name": "佐藤", "disposition": "message", "notes": "納期は12月3日\n折り返し\u{1b}[2J希望",
                  "ended_at": "2026-04-01T00:01:20Z" },
                { "ended_at": "2026-04-01T00:01:30Z" },
            ],
        });
        let call: Call = serde_json::from_value(call).unwrap();
        let message = serde_json::json!([{ "created_at": "2026-04-01T00:00:50Z", "state": "open",
            "taken_by_name": "佐藤", "text": "明日また電話する" }]);
        let messages: Vec<Message> = serde_json::from_value(message).unwrap();
        let expected = "00:01:20  result: message  佐藤\n    納期は12月3日\n    折り返し?[2J希望\n\
                        00:01:30  result: -  -\n00:00:50  message: open  佐藤\n    明日また電話する\n";
        assert_eq!(recorded(&call, &messages, &TimeZone::UTC), expected);
    }

    #[test]
    fn one_call_is_printed_in_order_with_its_supervisions() {
        let call = serde_json::json!({
            "id": "c-1", "offered_at": "2026-04-01T00:00:00Z", "answered_at": "2026-04-01T00:00:07Z",
            "ended_at": "2026-04-01T00:01:00Z", "outcome": "answered", "presentation": "allowed",
            "segments": [
                { "kind": "presented", "operator": "1001", "target": null, "from": "2026-04-01T00:00:01Z",
                  "until": "2026-04-01T00:00:07Z", "result": "answered" },
                { "kind": "talking", "operator": "1001", "target": null, "from": "2026-04-01T00:00:07Z",
                  "until": "2026-04-01T00:01:00Z", "result": null },
                { "kind": "held", "operator": "1001", "target": null, "from": "2026-04-01T00:00:40Z",
                  "until": "2026-04-01T00:00:50Z", "result": null },
            ],
            "supervisions": [{
                "supervision": "s", "supervisor": "u", "supervisor_name": "佐藤", "extension": "2001",
                "operator": "1001", "mode": "whisper", "from": "2026-04-01T00:00:20Z",
                "until": "2026-04-01T00:00:30Z", "ending": "hung_up",
            }],
        });
        let call: Call = serde_json::from_value(call).unwrap();
        let text = timeline(&call, &TimeZone::UTC);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "FROM      UNTIL     WHAT       OPERATOR  WITH         RESULT",
                "00:00:01  00:00:07  presented  1001      -            answered",
                "00:00:07  00:01:00  talking    1001      -            -",
                "00:00:20  00:00:30  whisper    1001      佐藤 (2001)  hung_up",
                "00:00:40  00:00:50  held       1001      -            -",
            ]
        );
    }
}
