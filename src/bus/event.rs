//! Events: what happened, in the words of the public contract, and who may know.
//!
//! Invariant: an event never changes after it was published; its `data` is complete in itself, and a number
//! whose caller withholds it is in none of them (a [`Draft`] is made from notices and cards, which have none).
//! Read next: [`super`] for order, replay and delivery.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::EventId;
use super::log::LoggedEvent;
use super::state::Departure;
use crate::call::view::CallView;
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::operator::{StateView, Viewer};

pub use crate::wire::time as wire_time;

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Every kind of event of the contract (v1). Kinds are only ever added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// All kinds, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind as it is on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The kind of this text, if it is one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

event_kinds! {
    /// A call reached the service.
    CallOffered = "call.offered",
    /// The pop: a call rings at one operator.
    CallPresented = "call.presented",
    /// The call no longer rings at that operator.
    CallRescinded = "call.rescinded",
    /// An operator has taken it.
    CallAnswered = "call.answered",
    /// The operator has put the caller on hold.
    CallHeld = "call.held",
    /// The hold is over.
    CallResumed = "call.resumed",
    /// Something that a pop shows became known or changed.
    CallUpdated = "call.updated",
    /// Nobody said that an operator's pop was shown.
    PopUnacknowledged = "pop.unacknowledged",
    /// A transfer was asked for.
    TransferRequested = "call.transfer.requested",
    /// The transfer's target rings.
    TransferRinging = "call.transfer.ringing",
    /// The operator speaks with the target.
    TransferConsulting = "call.transfer.consulting",
    /// The caller is with the target.
    TransferCompleted = "call.transfer.completed",
    /// The target did not take it.
    TransferFailed = "call.transfer.failed",
    /// The caller is back.
    TransferReturned = "call.transfer.returned",
    /// The call is over.
    CallEnded = "call.ended",
    /// An operator's state changed.
    OperatorState = "operator.state",
    /// Somebody has left the service.
    OperatorRemoved = "operator.removed",
    /// A supervisor began to listen, whisper or barge.
    SupervisionStarted = "supervision.started",
    /// The mode of a supervision changed.
    SupervisionSwitched = "supervision.switched",
    /// A supervision ended.
    SupervisionStopped = "supervision.stopped",
    /// An operator asks for help.
    HelpRequested = "help.requested",
    /// A message was written down.
    MessageSaved = "message.saved",
    /// A message was delivered.
    MessageSent = "message.sent",
    /// A message could not be delivered.
    MessageFailed = "message.failed",
    /// The account has read a message.
    MessageAcknowledged = "message.acknowledged",
    /// The link to the PBX is up, and the calls are as the PBX lists them.
    PbxUp = "pbx.up",
    /// The link to the PBX is down.
    PbxDown = "pbx.down",
    /// The PBX itself was restarted: every call it had is over.
    PbxRestarted = "pbx.restarted",
    /// Events of the PBX were missed between two instants.
    PbxGap = "pbx.gap",
}

/// Who may know of an event, apart from administrators and systems, who may know of every one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everybody who is signed in.
    All,
    /// These operators, and the supervisors of their teams.
    Operators(Vec<Extension>),
    /// The supervisors of these operators' teams, but not the operators.
    SupervisorsOf(Vec<Extension>),
    /// Every supervisor, no operator: calls that are nobody's yet.
    Supervisors,
    /// The desktops of this operator, and nobody else.
    Desktop(Extension),
}

/// What an event changes in the state that a snapshot shows.
#[derive(Debug, Clone)]
pub enum Change {
    /// Nothing.
    None,
    /// The call is now like this.
    Call(Arc<CallView>),
    /// The call is over and leaves the snapshot.
    CallGone(CallId),
    /// An operator is now like this.
    Operator(Arc<StateView>),
    /// Somebody has left the service and leaves the snapshot.
    OperatorGone(RecordId),
    /// The link to the PBX is up or down, since when.
    Pbx {
        /// Whether it is up.
        up: bool,
        /// Since when.
        since: Timestamp,
    },
}

/// An event before it has its place in the order.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What happened.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// Which call it is about.
    pub call: Option<CallId>,
    /// Who may know.
    pub audience: Audience,
    /// The event's own fields (a JSON object).
    pub data: Value,
    /// What it changes in the snapshot.
    pub change: Change,
}

/// A published event. Its wire form is made once and shared by everybody who reads it.
#[derive(Debug)]
pub struct Event {
    id: EventId,
    kind: EventKind,
    at: Timestamp,
    call: Option<CallId>,
    audience: Audience,
    departure: Option<Departure>,
    /// `id: …\ndata: {…}\n\n`, a whole Server-Sent Event.
    frame: Bytes,
    /// Where the JSON begins in `frame`; it ends before the last two bytes.
    json_at: usize,
    /// For an event that was delivered while its place in the common order was not known: the last event of that
    /// order which had been delivered with it. Who goes on from here goes on from there.
    after: Option<EventId>,
}

/// Everything of an event but its place: what is done before the order's lock is taken.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) kind: EventKind,
    pub(super) at: Timestamp,
    pub(super) call: Option<CallId>,
    /// The JSON without the id.
    pub(super) json: String,
}

#[derive(Serialize)]
struct BodyFields<'a> {
    kind: &'static str,
    at: String,
    pbx: &'a PbxId,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallId>,
    data: &'a Value,
}

impl Body {
    /// Serialises `draft`.
    pub(super) fn of(draft: &Draft, pbx: &PbxId) -> Self {
        let at = wire_time(draft.at);
        let fields = BodyFields { kind: draft.kind.as_str(), at, pbx, call: draft.call, data: &draft.data };
        #[expect(clippy::expect_used, reason = "string keys and JSON values always serialise")]
        let json = serde_json::to_string(&fields).expect("an event is plain JSON");
        Self { kind: draft.kind, at: draft.at, call: draft.call, json }
    }
}

impl Event {
    pub(super) fn new(id: EventId, audience: Audience, departure: Option<Departure>, body: &Body) -> Self {
        let fields = body.json.strip_prefix('{').unwrap_or(&body.json);
        let mut frame = String::with_capacity(fields.len() + 128);
        // Writing to a String cannot fail.
        let _ = write!(frame, "id: {id}\ndata: ");
        let json_at = frame.len();
        let _ = write!(frame, "{{\"id\":\"{id}\",{fields}\n\n");
        let (kind, at, call) = (body.kind, body.at, body.call);
        Self { id, kind, at, call, audience, departure, frame: Bytes::from(frame), json_at, after: None }
    }

    /// The same, delivered when no more of the common order than up to `after` had been.
    pub(super) fn ahead_of_order(self, after: Option<EventId>) -> Self {
        Self { after, ..self }
    }

    pub(super) fn after(&self) -> Option<&EventId> {
        self.after.as_ref()
    }

    /// An event that was published before, as the log kept it; `json` is what [`Self::json`] gave.
    #[must_use]
    pub fn logged(logged: LoggedEvent) -> Self {
        let LoggedEvent { id, kind, at, call, audience, departure, json, .. } = logged;
        let mut frame = String::with_capacity(json.len() + 64);
        // Writing to a String cannot fail.
        let _ = write!(frame, "id: {id}\ndata: ");
        let json_at = frame.len();
        let _ = write!(frame, "{json}\n\n");
        Self { id, kind, at, call, audience, departure, frame: Bytes::from(frame), json_at, after: None }
    }

    /// Its place in the order.
    #[must_use]
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Which call it is about.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        self.call
    }

    /// The event as JSON, without a line break.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.frame.slice(self.json_at..self.frame.len() - 2)
    }

    /// The event as a whole Server-Sent Event.
    #[must_use]
    pub fn sse(&self) -> Bytes {
        self.frame.clone()
    }

    /// Whether `viewer` may know of it: the audience says so, or it takes a call out of the viewer's sight.
    #[must_use]
    pub fn is_for(&self, viewer: &Viewer) -> bool {
        viewer.may_see(&self.audience) || self.departure.as_ref().is_some_and(|d| d.concerns(viewer))
    }

    /// Who may know.
    #[must_use]
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Whom it takes a call out of sight of.
    #[must_use]
    pub fn departure(&self) -> Option<&Departure> {
        self.departure.as_ref()
    }

    pub(super) fn bytes(&self) -> usize {
        self.frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::id::StreamToken;

    #[test]
    fn an_event_is_one_line_of_json_whatever_its_text() {
        let draft = Draft {
            kind: EventKind::CallPresented,
            at: Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap(),
            call: None,
            audience: Audience::All,
            data: serde_json::json!({"name": "田中\r\n\nid: 9\u{2028}\u{0}</script>\"\\"}),
            change: Change::None,
        };
        let pbx = PbxId::parse("osaka-1").unwrap();
        let id = EventId::parse("a1-7").unwrap();
        let stream: StreamToken = id.stream.clone();
        let event = Event::new(id, Audience::All, None, &Body::of(&draft, &pbx));
        assert_eq!(event.id().stream, stream);
        let json: Value = serde_json::from_slice(&event.json()).unwrap();
        assert_eq!(json["id"], "a1-7");
        assert_eq!(json["at"], "2023-11-14T22:13:20.123Z");
        assert_eq!(json["data"], draft.data);
        let frame = event.sse();
        let lines: Vec<&[u8]> = frame.split(|b| *b == b'\n' || *b == b'\r').collect();
        assert_eq!(lines.len(), 4, "two lines and the empty one that ends the event");
        assert_eq!((lines[0], lines[2], lines[3]), (&b"id: a1-7"[..], &b""[..], &b""[..]));
    }
}
