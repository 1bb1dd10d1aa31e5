//! Recorded sessions of real Asterisks, replayed through the call model: the published events of each, as a snapshot.
//!
//! `INSTA_UPDATE=always cargo test --test replay` rewrites the snapshots; read the difference before you keep it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "replay/drivers.rs"]
mod drivers;

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
        endpoints: toritsugi::contract::endpoint::EndpointNames::default(),
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

/// A recorded session with every frame changed by `change`, as a story.
fn changed(name: &str, mut change: impl FnMut(&str) -> String) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let recorded = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
    let frames: Vec<String> = recorded.split("\r\n\r\n").map(&mut change).collect();
    let dir = tempfile::tempdir().unwrap();
    let changed = dir.path().join("changed.ami");
    std::fs::write(&changed, frames.join("\r\n\r\n")).unwrap();
    story(&changed)
}

const ANSWERED: &str = "asterisk-22/answered-first-operator.ami";

/// chan_sip makes the channel of an inbound call Down and sets it to Ring a moment later; ISDN with overlap dialling
/// makes it Rsrvd, an analog line with early caller id Pre-ring.
#[test]
fn a_call_of_a_driver_that_rings_later_is_the_same_call() {
    let recorded = changed(ANSWERED, str::to_owned);
    assert!(recorded.contains("call.presented operator=\"1001\""), "{recorded}");
    for (code, word) in [("0", "Down"), ("1", "Rsrvd"), ("7", "Dialing Offhook"), ("8", "Pre-ring")] {
        let mut split = 0;
        let late = changed(ANSWERED, |frame| {
            let frame = frame.replace("PJSIP/", "SIP/");
            if !(frame.contains("Event: Newchannel") && frame.contains("Channel: SIP/trunk-")) {
                return frame;
            }
            split += 1;
            let ring = "ChannelState: 4\r\nChannelStateDesc: Ring\r\n";
            let before = format!("ChannelState: {code}\r\nChannelStateDesc: {word}\r\n");
            let rings = frame.replace("Event: Newchannel", "Event: Newstate");
            format!("{}\r\n\r\n{rings}", frame.replace(ring, &before))
        });
        assert_eq!((split, &late), (1, &recorded), "{word}");
    }
}

/// `systemname` stands in front of every unique id.
#[test]
fn a_system_name_with_spaces_or_japanese_changes_nothing() {
    let recorded = changed(ANSWERED, str::to_owned);
    for name in ["Honsha PBX", "本社", "\"a\" 'b' \\c"] {
        let named = changed(ANSWERED, |frame| {
            let lines = frame.split("\r\n").map(|line| match line.split_once(": ") {
                Some((key, id)) if key.ends_with("Uniqueid") || key.ends_with("Linkedid") => {
                    // A bridge's id is a UUID.
                    if id.contains('.') { format!("{key}: {name}-{id}") } else { line.to_owned() }
                }
                _ => line.to_owned(),
            });
            lines.collect::<Vec<_>>().join("\r\n")
        });
        assert_eq!(named, recorded, "{name}");
    }
}

/// A call to the outside gives a record and no event.
#[test]
fn a_recorded_outbound_call_has_a_record() {
    for version in ["asterisk-16", "asterisk-22"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/transcripts")
            .join(version)
            .join("outbound-call.ami");
        let replay = replay(&std::fs::read(file).unwrap(), rules()).unwrap();
        assert!(replay.published.is_empty() && replay.unknown_endpoints.is_empty());
        assert_eq!((replay.unreported_rings, replay.outbound.len()), (0, 1), "{version}");
        let call = &replay.outbound[0];
        assert_eq!(call.number.as_deref(), Some("09012345678"));
        assert_eq!(call.operators.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1001"]);
        assert_eq!(serde_json::to_value(call.view.outcome).unwrap(), "answered");
    }
}

#[test]
fn a_replay_is_the_same_each_time() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts/asterisk-22/two-operators-one-wins.ami");
    assert_eq!(story(&file), story(&file));
}
