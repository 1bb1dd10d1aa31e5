//! Recorded sessions of real Asterisks through the model: the story of each, as a snapshot.
//!
//! `INSTA_UPDATE=always cargo test --test replay` writes the stories anew; read the difference before you keep it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use toritsugi::bus::{Draft, EventKind};
use toritsugi::call::Plan;
use toritsugi::ids::PbxId;
use toritsugi::replay::replay;

fn plan() -> Plan {
    Plan {
        pbx: PbxId::parse("lab").unwrap(),
        trunks: vec!["trunk".into()],
        phones: vec!["1XXX".parse().unwrap(), "2XXX".parse().unwrap()],
        identity_wait: Duration::from_millis(100),
        ask_wait: Duration::ZERO,
        card_wait: Duration::ZERO,
    }
}

/// One line of a story: the call (numbered by appearance), what happened, and the fields that tell most.
fn line(draft: &Draft, call: usize) -> String {
    let data = &draft.data;
    let mut line = format!("call {call}: {}", draft.kind.as_str());
    // The state is in each event of a call; the story tells it where it is the news.
    let news = if draft.kind == EventKind::CallUpdated { "state" } else { "operator" };
    for key in [news, "reason", "outcome", "operators", "inferred"] {
        match &data[key] {
            serde_json::Value::Null => {}
            value => line.push_str(&format!(" {key}={value}")),
        }
    }
    line
}

fn story(file: &Path) -> String {
    let replay = replay(&std::fs::read(file).unwrap(), plan()).unwrap();
    let mut calls = Vec::new();
    let mut lines: Vec<String> = replay
        .asked
        .iter()
        .map(|(_, identity)| {
            format!("asked: {:?} {:?} {:?}", identity.dialled, identity.diverted_by, identity.caller)
        })
        .collect();
    for (_, draft) in &replay.told {
        let id = draft.call.unwrap();
        let number = calls.iter().position(|c| *c == id).unwrap_or_else(|| {
            calls.push(id);
            calls.len() - 1
        });
        lines.push(line(draft, number + 1));
    }
    lines.push(format!("left: {:?}", replay.left));
    lines.push(format!("quarantined {} incomplete {}", replay.counts.quarantined, replay.counts.incomplete));
    lines.join("\n")
}

#[test]
fn every_transcript_tells_its_story() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut stories = 0;
    for version in ["asterisk-16", "asterisk-22"] {
        let version = root.join(version);
        for file in std::fs::read_dir(&version).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|e| e == "ami") {
                let of = version.file_name().unwrap().to_string_lossy().into_owned();
                let name = format!("{of}__{}", file.file_stem().unwrap().to_string_lossy());
                insta::with_settings!({ snapshot_path => "stories", prepend_module_to_snapshot => false }, {
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
