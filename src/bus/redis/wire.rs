//! An event as an entry of the shared stream: writing it and reading it.
//!
//! | field | holds |
//! |---|---|
//! | `p` | the PBX |
//! | `i` | the event's id: stream token and position |
//! | `a` | the last global event before it, if it was delivered while its leader was detached |
//! | `w` | the audience, as JSON |
//! | `b` | the body, as the leader serialised it |
//! | `k` | what it changes in the state: `c` call, `g` call gone, `l` link, `o` operator, `x` operator removed, `n` nothing; or [`STREAM_RESET`], in an entry with `p` and `k` only |
//! | `f`, `v` | id of what changes, and its new state as JSON |
//!
//! The names and values of these fields must not change: the daemons of a group are upgraded one at a time.
//!
//! Invariants: every gateway delivers the body byte for byte as the leader serialised it. An entry that cannot be parsed
//! (a later version wrote it) is skipped.

use std::sync::Arc;

use jiff::Timestamp;
use redis::Value;
use serde::Deserialize;

use super::position::Cursor;
use crate::bus::event_log::RemoteEvent;
use crate::contract::event::{Audience, Body, EventKind, PbxStatus, StateDelta};
use crate::contract::event_id::{EventId, StreamToken};
use crate::ids::{CallId, PbxId, RecordId};

/// Stream token of a PBX's generation; the same in every daemon.
pub(super) fn stream_of(pbx: &PbxId, generation: u64) -> StreamToken {
    // FNV-1a: short and stable.
    let hash = pbx
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    StreamToken::from_prefix(&format!("{hash:08x}"), generation)
}

/// Whether the event with this id is an event of this PBX.
pub(in crate::bus) fn is_event_of(id: &EventId, pbx: &PbxId) -> bool {
    let any = stream_of(pbx, 0);
    let prefix = any.as_str().strip_suffix('0').unwrap_or_default();
    id.stream.as_str().starts_with(prefix)
}

/// Whether `stream` is the `known` one or its next generation, which a leader begins without losing events.
pub(super) fn is_continuation(known: &StreamToken, stream: &StreamToken) -> bool {
    let generation = |token: &StreamToken| {
        let (prefix, number) = token.as_str().split_at_checked(8)?;
        Some((prefix.to_owned(), u64::from_str_radix(number, 16).ok()?))
    };
    let next = |(prefix, number): (String, u64)| (prefix, number.saturating_add(1));
    known == stream || generation(known).map(next) == generation(stream)
}

/// The fields `k`, `f` and `v` of an event.
pub(super) fn delta_fields(change: &StateDelta, pbx: &PbxId) -> (&'static str, String, String) {
    match change {
        StateDelta::None => ("n", String::new(), String::new()),
        StateDelta::Call(view) => ("c", view.id.to_string(), json(&**view)),
        StateDelta::CallGone(call) => ("g", call.to_string(), String::new()),
        StateDelta::Operator(view) => ("o", view.id.to_string(), json(&**view)),
        StateDelta::OperatorGone(user) => ("x", user.to_string(), String::new()),
        StateDelta::Pbx { up, since } => {
            ("l", String::new(), json(&PbxStatus { id: pbx.clone(), up: *up, since: *since }))
        }
    }
}

/// JSON of one of our own types; serialising them cannot fail.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// `k` of a stream reset: no client can resume across this entry. A wire value (also in `scripts.rs`), which must not
/// change: the daemons of a group are upgraded one at a time.
const STREAM_RESET: &str = "anew";

#[derive(Deserialize)]
struct BodyHead<'a> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    at: Timestamp,
    call: Option<CallId>,
}

/// An entry of the stream as Redis returns it. Fields are parsed on demand: most entries that a leader reads are its own
/// events, which it still has.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its id in the stream.
    pub(super) cursor: Cursor,
    /// Names and values, alternating.
    fields: Vec<Value>,
}

impl Entry {
    fn parse(entry: Value) -> Option<Self> {
        let Value::Array(parts) = entry else { return None };
        let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
        Some(Self { cursor: Cursor::parse(text(&id)?)?, fields })
    }

    /// Whether this is an entry of this PBX.
    pub(super) fn belongs_to(&self, pbx: &PbxId) -> bool {
        self.value("p").is_some_and(|value| text(value) == Some(pbx.as_str()))
    }

    /// Whether this is a stream reset: events before it were lost, or were published under other ids.
    pub(super) fn is_reset(&self) -> bool {
        self.value("k").and_then(text) == Some(STREAM_RESET)
    }

    /// The id of the event.
    pub(super) fn id(&self) -> Option<EventId> {
        EventId::parse(text(self.value("i")?)?).ok()
    }

    /// PBX and id of the event.
    pub(super) fn origin(&self) -> Option<(PbxId, EventId)> {
        Some((PbxId::parse(text(self.value("p")?)?).ok()?, self.id()?))
    }

    /// Parses the whole event.
    pub(super) fn decode(mut self) -> Option<RemoteEvent> {
        let (pbx, id) = self.origin()?;
        let mut take = |name: &str| self.take(name);
        let after = take("a").and_then(|text| EventId::parse(&text).ok());
        let audience: Audience = serde_json::from_str(&take("w")?).ok()?;
        let json = take("b")?;
        let head: BodyHead<'_> = serde_json::from_str(&json).ok()?;
        let (kind, at, call) = (EventKind::parse(&head.kind)?, head.at, head.call);
        let value = take("v")?;
        let change = match take("k")?.as_str() {
            "c" => StateDelta::Call(Arc::new(serde_json::from_str(&value).ok()?)),
            "g" => StateDelta::CallGone(CallId::parse(&take("f")?).ok()?),
            "x" => StateDelta::OperatorGone(RecordId(take("f")?.parse().ok()?)),
            "o" => StateDelta::Operator(Arc::new(serde_json::from_str(&value).ok()?)),
            "l" => {
                let link: PbxStatus = serde_json::from_str(&value).ok()?;
                StateDelta::Pbx { up: link.up, since: link.since }
            }
            _ => StateDelta::None,
        };
        let body = Arc::new(Body { kind, at, call, json });
        Some(RemoteEvent { id, pbx, audience, change, body, after })
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.fields.chunks_exact(2).find(|pair| text(&pair[0]) == Some(name)).map(|pair| &pair[1])
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let mut pairs = self.fields.chunks_exact_mut(2);
        let pair = pairs.find(|pair| text(&pair[0]) == Some(name))?;
        match std::mem::take(&mut pair[1]) {
            Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The entries of an answer to `XRANGE`.
pub(super) fn entries(list: Value) -> impl DoubleEndedIterator<Item = Entry> {
    let list = if let Value::Array(list) = list { list } else { Vec::new() };
    list.into_iter().filter_map(Entry::parse)
}

/// The entries of an answer to `XREAD` of one stream; none when the read timed out.
pub(super) fn entries_read(answer: Value) -> impl DoubleEndedIterator<Item = Entry> {
    let stream = match answer {
        Value::Array(mut streams) => match streams.pop() {
            Some(Value::Array(mut name_and_entries)) => name_and_entries.pop(),
            _ => None,
        },
        Value::Map(mut streams) => streams.pop().map(|(_, entries)| entries),
        _ => None,
    };
    entries(stream.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::event::NewEvent;

    #[test]
    fn an_event_survives_the_round_trip_unchanged() {
        let pbx = PbxId::parse("osaka-1").unwrap();
        let draft = NewEvent {
            kind: EventKind::PbxUp,
            at: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
            call: None,
            audience: Audience::All,
            data: serde_json::json!({"name": "田中\r\n"}),
            change: StateDelta::Pbx { up: true, since: Timestamp::from_millisecond(5).unwrap() },
        };
        let body = Body::of(&draft, &pbx);
        let (k, f, v) = delta_fields(&draft.change, &pbx);
        let id = EventId { stream: stream_of(&pbx, 7), position: 3 };
        let fields = [
            ("p", pbx.to_string()),
            ("i", id.to_string()),
            ("a", String::new()),
            ("w", json(&draft.audience)),
            ("b", body.json.clone()),
            ("k", k.to_owned()),
            ("f", f),
            ("v", v),
        ];
        let text = |text: &str| Value::BulkString(text.into());
        let fields = fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        let stream = Value::Array(vec![Value::Array(vec![text("1-0"), Value::Array(fields)])]);
        let answer = Value::Array(vec![Value::Array(vec![text("events"), stream])]);
        let entry = entries_read(answer).next().unwrap();
        assert!(entry.belongs_to(&pbx) && entry.cursor == Cursor::parse("1-0").unwrap());
        let read = entry.decode().unwrap();
        assert_eq!((read.id, read.pbx, read.audience, read.after), (id, pbx, draft.audience, None));
        assert_eq!((read.body.json.as_str(), read.body.at), (body.json.as_str(), draft.at));
        assert!(matches!(read.change, StateDelta::Pbx { up: true, .. }));
    }

    #[test]
    fn an_operator_who_was_removed_is_removed_at_other_gateways() {
        let (pbx, user) = (PbxId::parse("osaka-1").unwrap(), RecordId(uuid::Uuid::from_u128(7)));
        let (k, f, v) = delta_fields(&StateDelta::OperatorGone(user), &pbx);
        let body = r#"{"kind":"operator.removed","at":"2026-01-05T00:00:00.000Z","data":{}}"#;
        let id = EventId { stream: stream_of(&pbx, 7), position: 3 }.to_string();
        let audience = json(&Audience::Supervisors);
        let fields =
            [("p", "osaka-1"), ("i", &id), ("w", &audience), ("b", body), ("k", k), ("f", &f), ("v", &v)];
        let text = |text: &str| Value::BulkString(text.into());
        let fields = fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        let entry = Entry::parse(Value::Array(vec![text("1-0"), Value::Array(fields)])).unwrap();
        let read = entry.decode().unwrap();
        assert!(matches!(read.change, StateDelta::OperatorGone(gone) if gone == user));
    }

    #[test]
    fn streams_of_pbxes_and_generations_differ() {
        let (a, b) = (PbxId::parse("osaka-1").unwrap(), PbxId::parse("osaka-2").unwrap());
        assert_ne!(stream_of(&a, 1), stream_of(&b, 1));
        assert_ne!(stream_of(&a, 1), stream_of(&a, 2));
        assert_eq!(stream_of(&a, 1), stream_of(&a, 1));
        for generation in [0, 16, u64::MAX] {
            let id = EventId { stream: stream_of(&a, generation), position: 1 };
            assert!(is_event_of(&id, &a) && !is_event_of(&id, &b));
        }
    }
}
