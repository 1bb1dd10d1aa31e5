//! An event on its way through Redis, and back.
//!
//! Invariant: what another daemon reads is what the first one told: the body is carried as it was serialised. An
//! entry of a later version (an unknown kind, another shape) is left out, never a reason to stop.

use std::sync::Arc;

use jiff::Timestamp;
use redis::Value;
use serde::Deserialize;

use super::hub::Cursor;
use crate::bus::event::{Audience, Body, Change, EventKind};
use crate::bus::id::{EventId, StreamToken};
use crate::bus::memory::Arrival;
use crate::bus::state::PbxStatus;
use crate::ids::{CallId, PbxId, RecordId};

/// Positions of this PBX's events in this generation are in this stream. The same in every daemon.
pub(super) fn stream_of(pbx: &PbxId, generation: u64) -> StreamToken {
    // FNV-1a: short, and the same everywhere.
    let hash = pbx
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    StreamToken::from_words(&format!("{hash:08x}"), generation)
}

/// Whether an event with this id is one of this PBX.
pub(in crate::bus) fn is_of(id: &EventId, pbx: &PbxId) -> bool {
    let any = stream_of(pbx, 0);
    let beginning = any.as_str().strip_suffix('0').unwrap_or_default();
    id.stream.as_str().starts_with(beginning)
}

/// Whether this stream is the same, or the next generation of it, which its daemon began without a loss.
pub(super) fn goes_on(known: &StreamToken, stream: &StreamToken) -> bool {
    let generation = |token: &StreamToken| {
        let (beginning, number) = token.as_str().split_at_checked(8)?;
        Some((beginning.to_owned(), u64::from_str_radix(number, 16).ok()?))
    };
    let next = |(beginning, number): (String, u64)| (beginning, number.saturating_add(1));
    known == stream || generation(known).map(next) == generation(stream)
}

/// What an event changes, as the scripts know it: a letter, a field and a value.
pub(super) fn change_words(change: &Change, pbx: &PbxId) -> (&'static str, String, String) {
    match change {
        Change::None => ("n", String::new(), String::new()),
        Change::Call(view) => ("c", view.id.to_string(), json(&**view)),
        Change::CallGone(call) => ("g", call.to_string(), String::new()),
        Change::Operator(view) => ("o", view.id.to_string(), json(&**view)),
        Change::OperatorGone(user) => ("x", user.to_string(), String::new()),
        Change::Pbx { up, since } => {
            ("l", String::new(), json(&PbxStatus { id: pbx.clone(), up: *up, since: *since }))
        }
    }
}

/// JSON of one of our own types, which always serialise.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What an entry changes that is no event, but the end of all resuming from before.
const BREAK: &str = "anew";

#[derive(Deserialize)]
struct BodyHead<'a> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    at: Timestamp,
    call: Option<CallId>,
}

/// An entry of the stream as Redis gives it. It is read no further than somebody asks: most of a leader's entries are
/// its own, and those it still has.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place in the stream.
    pub(super) at: Cursor,
    /// Names and values in turn.
    fields: Vec<Value>,
}

impl Entry {
    fn of(entry: Value) -> Option<Self> {
        let Value::Array(parts) = entry else { return None };
        let [at, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
        Some(Self { at: Cursor::parse(text(&at)?)?, fields })
    }

    /// Whether it is an event of this PBX.
    pub(super) fn is_of(&self, pbx: &PbxId) -> bool {
        self.value("p").is_some_and(|value| text(value) == Some(pbx.as_str()))
    }

    /// Nobody goes on behind this from before it: something between was lost, or told under other ids.
    pub(super) fn is_break(&self) -> bool {
        self.value("k").and_then(text) == Some(BREAK)
    }

    /// The event's id.
    pub(super) fn id(&self) -> Option<EventId> {
        EventId::parse(text(self.value("i")?)?).ok()
    }

    /// The PBX whose event it is, and its id.
    pub(super) fn place(&self) -> Option<(PbxId, EventId)> {
        Some((PbxId::parse(text(self.value("p")?)?).ok()?, self.id()?))
    }

    /// All of it.
    pub(super) fn read(mut self) -> Option<Arrival> {
        let (pbx, id) = self.place()?;
        let mut take = |name: &str| self.take(name);
        let after = take("a").and_then(|text| EventId::parse(&text).ok());
        let audience: Audience = serde_json::from_str(&take("w")?).ok()?;
        let json = take("b")?;
        let head: BodyHead<'_> = serde_json::from_str(&json).ok()?;
        let (kind, at, call) = (EventKind::parse(&head.kind)?, head.at, head.call);
        let value = take("v")?;
        let change = match take("k")?.as_str() {
            "c" => Change::Call(Arc::new(serde_json::from_str(&value).ok()?)),
            "g" => Change::CallGone(CallId::parse(&take("f")?).ok()?),
            "x" => Change::OperatorGone(RecordId(take("f")?.parse().ok()?)),
            "o" => Change::Operator(Arc::new(serde_json::from_str(&value).ok()?)),
            "l" => {
                let link: PbxStatus = serde_json::from_str(&value).ok()?;
                Change::Pbx { up: link.up, since: link.since }
            }
            _ => Change::None,
        };
        let body = Arc::new(Body { kind, at, call, json });
        Some(Arrival { id, pbx, audience, change, body, after })
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

/// The entries that an answer to `XRANGE` holds.
pub(super) fn entries(list: Value) -> impl DoubleEndedIterator<Item = Entry> {
    let list = if let Value::Array(list) = list { list } else { Vec::new() };
    list.into_iter().filter_map(Entry::of)
}

/// The entries that an answer to `XREAD` of one stream holds; none when nothing came in time.
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
    use crate::bus::event::Draft;

    #[test]
    fn an_event_comes_out_of_redis_as_it_went_in() {
        let pbx = PbxId::parse("osaka-1").unwrap();
        let draft = Draft {
            kind: EventKind::PbxUp,
            at: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
            call: None,
            audience: Audience::All,
            data: serde_json::json!({"name": "田中\r\n"}),
            change: Change::Pbx { up: true, since: Timestamp::from_millisecond(5).unwrap() },
        };
        let body = Body::of(&draft, &pbx);
        let (k, f, v) = change_words(&draft.change, &pbx);
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
        assert!(entry.is_of(&pbx) && entry.at == Cursor::parse("1-0").unwrap());
        let read = entry.read().unwrap();
        assert_eq!((read.id, read.pbx, read.audience, read.after), (id, pbx, draft.audience, None));
        assert_eq!((read.body.json.as_str(), read.body.at), (body.json.as_str(), draft.at));
        assert!(matches!(read.change, Change::Pbx { up: true, .. }));
    }

    #[test]
    fn who_has_left_leaves_elsewhere_too() {
        let (pbx, user) = (PbxId::parse("osaka-1").unwrap(), RecordId(uuid::Uuid::from_u128(7)));
        let (k, f, v) = change_words(&Change::OperatorGone(user), &pbx);
        let body = r#"{"kind":"operator.removed","at":"2026-01-05T00:00:00.000Z","data":{}}"#;
        let id = EventId { stream: stream_of(&pbx, 7), position: 3 }.to_string();
        let audience = json(&Audience::Supervisors);
        let fields =
            [("p", "osaka-1"), ("i", &id), ("w", &audience), ("b", body), ("k", k), ("f", &f), ("v", &v)];
        let text = |text: &str| Value::BulkString(text.into());
        let fields = fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        let entry = Entry::of(Value::Array(vec![text("1-0"), Value::Array(fields)])).unwrap();
        let read = entry.read().unwrap();
        assert!(matches!(read.change, Change::OperatorGone(gone) if gone == user));
    }

    #[test]
    fn streams_of_pbxes_and_generations_differ() {
        let (a, b) = (PbxId::parse("osaka-1").unwrap(), PbxId::parse("osaka-2").unwrap());
        assert_ne!(stream_of(&a, 1), stream_of(&b, 1));
        assert_ne!(stream_of(&a, 1), stream_of(&a, 2));
        assert_eq!(stream_of(&a, 1), stream_of(&a, 1));
        for generation in [0, 16, u64::MAX] {
            let id = EventId { stream: stream_of(&a, generation), position: 1 };
            assert!(is_of(&id, &a) && !is_of(&id, &b));
        }
    }
}
