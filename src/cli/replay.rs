//! `toritsugi replay FILE.ami`: a recorded manager session through the call model, the same result each time.
//!
//! What to do with a call that was shown wrongly: record the session, replay it here, and send the recording
//! along. The configuration tells which endpoints are trunks and which extensions are operators'.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use toritsugi::bus::Draft;
use toritsugi::bus::event::wire_time;
use toritsugi::call::Plan;
use toritsugi::config::Config;
use toritsugi::ids::CallId;
use toritsugi::replay::{Counts, Replay as Replayed, replay};

use super::Global;
use super::output::{Output, Table, print, print_json, print_line};

/// The fields of an event that are worth a column.
const DETAILS: [&str; 5] = ["operator", "reason", "state", "outcome", "inferred"];

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The recording: the bytes as they came from the PBX.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// One event, as JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    frame: u64,
    at: String,
    kind: &'static str,
    call: Option<CallId>,
    data: &'a serde_json::Value,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    events: Vec<Told<'a>>,
    counts: Counts,
}

impl Replay {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let plan = plan(&global.config()?);
        let file = self.file.display();
        let bytes = std::fs::read(&self.file).with_context(|| format!("cannot read {file}"))?;
        let replayed = replay(&bytes, plan).with_context(|| format!("{file} is no manager session"))?;
        if self.output.json {
            print_json(&report(&replayed))?;
        } else {
            print(&table(&replayed))?;
            print_line(&summary(&replayed))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// As in the daemon, but nobody answers here what is asked of the PBX and the directory.
fn plan(config: &Config) -> Plan {
    Plan { ask_wait: Duration::ZERO, card_wait: Duration::ZERO, ..config.plan() }
}

fn report(replayed: &Replayed) -> Report<'_> {
    let events = replayed.told.iter().map(|(frame, draft)| Told {
        frame: *frame,
        at: wire_time(draft.at),
        kind: draft.kind.as_str(),
        call: draft.call,
        data: &draft.data,
    });
    Report { events: events.collect(), counts: replayed.counts }
}

fn table(replayed: &Replayed) -> String {
    let mut calls: Vec<CallId> = Vec::new();
    let mut table = Table::new(["FRAME", "CALL", "EVENT", "DETAIL"]);
    for (frame, draft) in &replayed.told {
        let call = draft.call.map(|id| number(&mut calls, id)).unwrap_or_default();
        table.row([&frame.to_string(), &call, draft.kind.as_str(), &detail(draft)]);
    }
    table.render()
}

/// Calls are numbered by their first event: an id of 36 characters tells a reader nothing here.
fn number(calls: &mut Vec<CallId>, id: CallId) -> String {
    let place = calls.iter().position(|known| *known == id).unwrap_or_else(|| {
        calls.push(id);
        calls.len() - 1
    });
    (place + 1).to_string()
}

fn detail(draft: &Draft) -> String {
    let words = DETAILS.iter().filter_map(|key| match &draft.data[*key] {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(format!("{key} {text}")),
        other => Some(format!("{key} {other}")),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn summary(replayed: &Replayed) -> String {
    let Counts { frames, used, incomplete, quarantined } = replayed.counts;
    format!(
        "{frames} frames, {used} of them used, {incomplete} incomplete, {quarantined} quarantined; {} calls still up \
         at the end",
        replayed.left.calls
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_call_is_told_line_by_line() {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/asterisk-22/answered-first-operator.ami");
        let config = Config::from_layers(None, []).unwrap();
        let replayed = replay(&std::fs::read(file).unwrap(), plan(&config)).unwrap();
        let table = table(&replayed);
        for words in ["call.offered", "call.presented  operator 1001", "call.ended      outcome answered"] {
            assert!(table.contains(words), "{words} is not in\n{table}");
        }
        assert!(summary(&replayed).ends_with("0 calls still up at the end"));
    }
}
