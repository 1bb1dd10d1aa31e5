//! `toritsugi replay FILE.ami`: runs a recorded manager session through the call model and prints the events. The
//! result is the same each time.
//!
//! Use: if a call was shown wrongly, record the manager session, replay it here, and attach the recording to the
//! report. The configuration says which endpoints are trunks and which extensions belong to operators.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use smol_str::SmolStr;
use toritsugi::call::EndpointRules;
use toritsugi::config::Config;
use toritsugi::contract::event::NewEvent;
use toritsugi::contract::time::time as wire_time;
use toritsugi::ids::CallId;
use toritsugi::replay::{Counts, Replay as Replayed, replay};

use super::Global;
use super::output::{Output, Table, print, print_json, print_line};

/// The fields of an event that the table shows.
const DETAILS: [&str; 5] = ["operator", "reason", "state", "outcome", "inferred"];

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The recording: the bytes that the PBX sent.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// One event, as JSON.
#[derive(Debug, Serialize)]
struct ReplayedEvent<'a> {
    frame: u64,
    at: String,
    kind: &'static str,
    call: Option<CallId>,
    data: &'a serde_json::Value,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    events: Vec<ReplayedEvent<'a>>,
    /// Endpoints that are neither trunk nor phone, as far as the configuration says.
    unknown_endpoints: &'a [SmolStr],
    /// Operators' phones that rang for a call that is not among the events.
    unreported_rings: u64,
    counts: Counts,
}

impl Replay {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let rules = endpoint_rules(&global.config()?);
        let file = self.file.display();
        let bytes = std::fs::read(&self.file).with_context(|| format!("cannot read {file}"))?;
        let replayed = replay(&bytes, rules)
            .with_context(|| format!("{file} is not a recording of a manager session"))?;
        if self.output.json {
            print_json(&report(&replayed))?;
        } else {
            print(&table(&replayed))?;
            print_line(&summary(&replayed))?;
            for line in warnings(&replayed) {
                print_line(&line)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The rules of the daemon without timeouts, because no PBX and no directory answers here.
fn endpoint_rules(config: &Config) -> EndpointRules {
    EndpointRules {
        presentation_timeout: Duration::ZERO,
        card_timeout: Duration::ZERO,
        ..config.endpoint_rules()
    }
}

fn report(replayed: &Replayed) -> Report<'_> {
    let events = replayed.published.iter().map(|(frame, event)| ReplayedEvent {
        frame: *frame,
        at: wire_time(event.at),
        kind: event.kind.as_str(),
        call: event.call,
        data: &event.data,
    });
    Report {
        events: events.collect(),
        unknown_endpoints: &replayed.unknown_endpoints,
        unreported_rings: replayed.unreported_rings,
        counts: replayed.counts,
    }
}

fn table(replayed: &Replayed) -> String {
    let mut calls: Vec<CallId> = Vec::new();
    let mut table = Table::new(["FRAME", "CALL", "EVENT", "DETAIL"]);
    for (frame, event) in &replayed.published {
        let call = event.call.map(|id| call_number(&mut calls, id)).unwrap_or_default();
        table.row([&frame.to_string(), &call, event.kind.as_str(), &detail(event)]);
    }
    table.render()
}

/// The number of a call, by the order of first events; shorter than the id of 36 characters.
fn call_number(calls: &mut Vec<CallId>, id: CallId) -> String {
    let index = calls.iter().position(|known| *known == id).unwrap_or_else(|| {
        calls.push(id);
        calls.len() - 1
    });
    (index + 1).to_string()
}

fn detail(event: &NewEvent) -> String {
    let fields = DETAILS.iter().filter_map(|key| match &event.data[*key] {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(format!("{key} {text}")),
        other => Some(format!("{key} {other}")),
    });
    fields.collect::<Vec<_>>().join(", ")
}

fn summary(replayed: &Replayed) -> String {
    let Counts { frames, used, incomplete, quarantined } = replayed.counts;
    format!(
        "{frames} frames, {used} of them used, {incomplete} incomplete, {quarantined} quarantined; {} calls still up \
         at the end",
        replayed.remaining.calls
    )
}

/// What was not followed, and what to do about it.
fn warnings(replayed: &Replayed) -> Vec<String> {
    let unknown = replayed.unknown_endpoints.iter().map(|endpoint| {
        format!(
            "{endpoint} is no known endpoint, so its calls count as internal: name a trunk in pbx.trunks, a phone in \
             pbx.internal_endpoints or pbx.phone_endpoints"
        )
    });
    let rings = (replayed.unreported_rings > 0).then(|| {
        format!("{} times a phone rang for a call that is not among the events", replayed.unreported_rings)
    });
    unknown.chain(rings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_call_is_printed_line_by_line() {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/asterisk-22/answered-first-operator.ami");
        let config = Config::from_layers(None, []).unwrap();
        let replayed = replay(&std::fs::read(file).unwrap(), endpoint_rules(&config)).unwrap();
        let table = table(&replayed);
        for words in ["call.offered", "call.presented  operator 1001", "call.ended      outcome answered"] {
            assert!(table.contains(words), "{words} is not in\n{table}");
        }
        assert!(summary(&replayed).ends_with("0 calls still up at the end"));
    }
}
