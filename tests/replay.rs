//! Recorded sessions of real Asterisks, replayed through the call model: the published events of each, as a snapshot.
//!
//! `INSTA_UPDATE=always cargo test --test replay` rewrites the snapshots; read the difference before you keep it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use toritsugi::call::EndpointRules;
use toritsugi::contract::event::{EventKind, NewEvent};
use toritsugi::ids::PbxId;
use toritsugi::replay::replay;

fn rules() -> EndpointRules {
    EndpointRules {
        pbx: PbxId::parse("lab").unwrap(),
        trunks: vec!["trunk".into()],
        phones: vec!["1XXX".parse().unwrap(), "2XXX".parse().unwrap()],
        identity_timeout: Duration::from_millis(100),
        presentation_timeout: Duration::ZERO,
        card_timeout: Duration::ZERO,
    }
}

/// One line of a history: the call (numbered by appearance), the event kind, and the fields that matter most.
fn line(event: &NewEvent, call: usize) -> String {
    let data = &event.data;
    let mut line = format!("call {call}: {}", event.kind.as_str());
    // Each event of a call has the state; the line shows it only where the state is what changed.
    let news = if event.kind == EventKind::CallUpdated { "state" } else { "operator" };
    for key in [news, "reason", "outcome", "operators", "inferred"] {
        match &data[key] {
            serde_json::Value::Null => {}
            value => line.push_str(&format!(" {key}={value}")),
        }
    }
    line
}

fn story(file: &Path) -> String {
    let replay = replay(&std::fs::read(file).unwrap(), rules()).unwrap();
    let mut calls = Vec::new();
    let mut lines: Vec<String> = replay
        .lookups
        .iter()
        .map(|(_, identity)| {
            format!("asked: {:?} {:?} {:?}", identity.dialled, identity.diverted_by, identity.caller)
        })
        .collect();
    for (_, event) in &replay.published {
        let id = event.call.unwrap();
        let number = calls.iter().position(|c| *c == id).unwrap_or_else(|| {
            calls.push(id);
            calls.len() - 1
        });
        lines.push(line(event, number + 1));
    }
    // The snapshots keep the label under which they were recorded.
    lines.push(format!("left: {}", format!("{:?}", replay.remaining).replacen("ModelStats", "Census", 1)));
    lines.push(format!("quarantined {} incomplete {}", replay.counts.quarantined, replay.counts.incomplete));
    lines.join("\n")
}

#[test]
fn every_transcript_has_its_snapshot() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut stories = 0;
    for version in ["asterisk-16", "asterisk-22"] {
        let version = root.join(version);
        for file in std::fs::read_dir(&version).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|e| e == "ami") {
                let of = version.file_name().unwrap().to_string_lossy().into_owned();
                let name = format!("{of}__{}", file.file_stem().unwrap().to_string_lossy());
                insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
                    insta::assert_snapshot!(name, story(&file));
                });
                stories += 1;
            }
        }
    }
    assert!(stories >= 24, "only {stories} transcripts: tests/transcripts/ is not whole");
}

#[test]
fn a_replay_is_the_same_each_time() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts/asterisk-22/two-operators-one-wins.ami");
    assert_eq!(story(&file), story(&file));
}
