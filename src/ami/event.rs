//! Typed events: the manager events that the daemon uses, with Asterisk's own terms.
//!
//! [`PbxEvent::decode`] is the one place where a frame becomes an event. [`Event::decode`] turns a frame into a value of one closed enum. It returns `Ok(None)` for an event that the daemon
//! does not use, and [`EventError`] when a required field is missing or malformed. The daemon counts such an event and
//! goes on. The call model takes these values unchanged: `call::apply_event` is the one place where "channel" becomes
//! "leg".
//!
//! Invariant: no field that a caller controls makes decoding fail. Names and numbers are cleaned and cut here, ids are
//! parsed here. Field names follow Asterisk 16 to 23 (`main/manager_channels.c`, `main/manager_bridges.c`,
//! `apps/app_queue.c`, `apps/app_chanspy.c`, `res/res_pjsip/…`).
//!
//! To add an event: a variant here, an arm and a reader in `decode`, its snapshot in [`super::quarantine`], an arm in
//! `call::apply_event`.
//!
//! Read next: `decode`, which reads the fields of each event.

mod decode;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::frame::Frame;
use super::member::MemberEvent;
use crate::ids::{BridgeId, ChannelId, QueueName};

/// Longest context, extension or application name kept, in characters (Asterisk's `AST_MAX_CONTEXT` is 80).
pub const NAME_CHARS_MAX: usize = 80;
/// Most fields taken from one UserEvent.
pub const USER_EVENT_FIELDS_MAX: usize = 32;
/// Longest field taken from a UserEvent, in bytes; the rest is cut.
pub const USER_EVENT_FIELD_BYTES_MAX: usize = 4096;

/// An event of the PBX, live or from a list, as the client hands it to its consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most events are of the large kind; a box would be an allocation each"
)]
pub enum PbxEvent {
    /// An event about channels, bridges, queues' callers or the dialplan.
    Call(Event),
    /// An event about queue members and devices.
    Member(MemberEvent),
    /// An event that lacks a required field, or has a malformed one.
    Incomplete(EventError),
    /// An event that the daemon does not use.
    Unused,
}

impl PbxEvent {
    /// Decodes a frame.
    #[must_use]
    pub fn decode(frame: &Frame) -> Self {
        match Event::decode(frame) {
            Ok(Some(event)) => Self::Call(event),
            Ok(None) => MemberEvent::decode(frame).map_or(Self::Unused, Self::Member),
            Err(error) => Self::Incomplete(error),
        }
    }
}

/// The state of a channel (`main/channel_state.c`); `Other` covers the states that the daemon does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// 0: exists, nothing has happened (an outgoing channel before it rings).
    Down,
    /// 4: an incoming channel: the PBX has to make its own side ring.
    Ring,
    /// 5: the far end rings.
    Ringing,
    /// 6: answered.
    Up,
    /// Any other.
    Other,
}

impl ChannelState {
    fn from_code(code: &[u8]) -> Self {
        match code {
            b"0" => Self::Down,
            b"4" => Self::Ring,
            b"5" => Self::Ringing,
            b"6" => Self::Up,
            _ => Self::Other,
        }
    }
}

/// A channel, from the snapshot in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its unique id.
    pub id: ChannelId,
    /// Its name, for instance `PJSIP/1001-0000002a`.
    pub name: SmolStr,
    /// Its state.
    pub state: ChannelState,
    /// The unique id of the first channel of the set it belongs to.
    pub linked: ChannelId,
    /// The dialplan context it is in.
    pub context: Option<SmolStr>,
    /// The dialplan extension it is in.
    pub exten: Option<SmolStr>,
    /// CallerIDNum. It may be a withheld number: see [`Event::CallerIdChanged`].
    pub caller_number: Option<SmolStr>,
    /// CallerIDName, likewise.
    pub caller_name: Option<SmolStr>,
}

/// How a dial attempt ended (`DialStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialStatus {
    /// The far end answered.
    Answer,
    /// Busy or refused.
    Busy,
    /// No answer in time, or a refusal that Asterisk does not distinguish from that.
    NoAnswer,
    /// Withdrawn: another phone answered, or the caller hung up.
    Cancel,
    /// No line, or the far end cannot be reached.
    Unavailable,
    /// Any other.
    Other,
}

impl DialStatus {
    fn from_text(text: &[u8]) -> Self {
        match text {
            b"ANSWER" => Self::Answer,
            b"BUSY" => Self::Busy,
            b"NOANSWER" => Self::NoAnswer,
            b"CANCEL" | b"ABORT" => Self::Cancel,
            b"CHANUNAVAIL" | b"CONGESTION" => Self::Unavailable,
            _ => Self::Other,
        }
    }
}

/// What a bridge does with its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeKind {
    /// Its members hear each other.
    Mixing,
    /// Its members wait without hearing each other (parking, waiting rooms).
    Holding,
}

/// One manager event that the daemon uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Newchannel.
    ChannelCreated(Channel),
    /// Newstate.
    ChannelState(Channel),
    /// NewCallerid: carries whether the number may be shown (`CID-CallingPres`).
    CallerIdChanged {
        /// The channel, with the new number and name.
        channel: Channel,
        /// The presentation in Asterisk's words, for instance `3 (Presentation Prohibited, …)`.
        presentation: SmolStr,
    },
    /// Rename (Asterisk 16 only).
    ChannelRenamed {
        /// The channel.
        id: ChannelId,
        /// Its new name.
        name: SmolStr,
    },
    /// HangupRequest: the far end hung up. Precedes the Hangup, sometimes by half a minute.
    HangupRequested {
        /// The channel.
        channel: Channel,
        /// Q.850 cause code; 0 when the event has none.
        cause: u16,
    },
    /// SoftHangupRequest: the PBX itself ends the channel. It also follows a HangupRequest. Its `Cause` is one of
    /// Asterisk's soft hang-up flags (`include/asterisk/channel.h`), no Q.850 cause, and is left out.
    SoftHangupRequested(Channel),
    /// Hangup, with the Q.850 cause.
    ChannelGone {
        /// The channel's last snapshot.
        channel: Channel,
        /// Q.850 cause code.
        cause: u16,
    },
    /// DialBegin.
    DialBegan {
        /// The dialling channel; absent for an originated channel.
        by: Option<Channel>,
        /// The dialled channel.
        to: Channel,
        /// The telephone number in the dial string, if there is one.
        number: Option<SmolStr>,
    },
    /// DialState RINGING, PROGRESS or PROCEEDING.
    DialRinging {
        /// The dialled channel.
        to: Channel,
    },
    /// DialEnd.
    DialEnded {
        /// The dialled channel.
        to: Channel,
        /// How it ended.
        status: DialStatus,
    },
    /// LocalBridge: the two halves of a Local channel.
    LocalPaired {
        /// The half `;1`.
        one: Channel,
        /// The half `;2`.
        two: Channel,
    },
    /// BridgeEnter.
    BridgeEntered {
        /// The bridge.
        bridge: BridgeId,
        /// What it does with its members.
        kind: BridgeKind,
        /// The channel that entered.
        channel: Channel,
        /// The channel that it replaced.
        swapped: Option<ChannelId>,
    },
    /// BridgeLeave.
    BridgeLeft {
        /// The bridge.
        bridge: BridgeId,
        /// The channel that left.
        channel: Channel,
    },
    /// BridgeMerge: all members of one moved to the other.
    BridgeMerged {
        /// The bridge that lost its members.
        from: BridgeId,
        /// The bridge that has them.
        to: BridgeId,
    },
    /// BridgeDestroy.
    BridgeGone(BridgeId),
    /// Hold: this channel's phone put the other side on hold.
    Held(Channel),
    /// Unhold.
    Unheld(Channel),
    /// QueueCallerJoin.
    QueueJoined {
        /// The caller.
        channel: Channel,
        /// The queue.
        queue: QueueName,
        /// At which place, from 1.
        position: Option<u32>,
    },
    /// QueueCallerLeave: served, timed out or gone.
    QueueLeft(Channel),
    /// QueueCallerAbandon: the caller hung up while waiting, or left the queue without an answer in any other way (time,
    /// a key, no members): `apps/app_queue.c` raises it for each.
    QueueAbandoned(Channel),
    /// BlindTransfer (by feature code, phone or action).
    BlindTransferred {
        /// The channel of the party that transferred the call.
        transferer: ChannelId,
        /// The channel that was transferred.
        transferee: Option<ChannelId>,
        /// Whether it succeeded.
        success: bool,
        /// The extension it was sent to.
        exten: Option<SmolStr>,
    },
    /// AttendedTransfer.
    AttendedTransferred {
        /// The transferer's channel to the transferee.
        transferer: ChannelId,
        /// The transferer's channel to the target.
        second: ChannelId,
        /// Whether it succeeded.
        success: bool,
    },
    /// ChanSpyStart.
    SpyStarted {
        /// The listening channel.
        spyer: Channel,
        /// The channel it hears.
        spyee: Channel,
    },
    /// ChanSpyStop.
    SpyStopped {
        /// The listening channel.
        spyer: Channel,
        /// The channel it heard; some versions leave it out.
        spyee: Option<Channel>,
    },
    /// UserEvent: a message from the dialplan.
    User {
        /// The event's own name, for instance `ToritsugiIdentity`.
        name: SmolStr,
        /// The channel whose dialplan sent it.
        channel: Channel,
        /// The dialplan's own fields in order; callers control their values.
        fields: Vec<(SmolStr, Vec<u8>)>,
    },
    /// OriginateResponse, matched by the ActionID of the Originate.
    Originated {
        /// The ActionID of the Originate.
        action_id: SmolStr,
        /// Whether the channel was answered.
        success: bool,
        /// The channel, if one was created.
        channel: Option<ChannelId>,
        /// `Reason`: 0 no such extension, 1 no answer, 4 answered, 5 busy, 8 congestion.
        reason: u16,
    },
    /// One line of CoreShowChannels.
    ChannelListed {
        /// The channel.
        channel: Channel,
        /// Its bridge.
        bridge: Option<BridgeId>,
        /// The dialplan application it runs, for instance `Queue`.
        application: SmolStr,
        /// That application's arguments.
        arguments: SmolStr,
    },
    /// FullyBooted: the PBX has finished starting.
    FullyBooted {
        /// Seconds since the PBX started, if the event has them.
        uptime_s: Option<u64>,
    },
    /// Shutdown: the PBX is going down.
    ShuttingDown,
}

/// A field of an event of the dialplan ([`Event::User`]); the PBX may change the case of its name.
pub fn user_field<'a>(fields: &'a [(SmolStr, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    let (_, value) = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value)
}

/// The same, if it is text.
pub fn user_text<'a>(fields: &'a [(SmolStr, Vec<u8>)], name: &str) -> Option<&'a str> {
    std::str::from_utf8(user_field(fields, name)?).ok()
}

/// An event that the daemon uses, with a required field missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} has no usable {field}")]
pub struct EventError {
    /// The event's name.
    pub event: &'static str,
    /// The field that is missing or malformed.
    pub field: &'static str,
}

impl Event {
    /// Decodes a frame. `Ok(None)`: not an event, or not one that the daemon uses.
    pub fn decode(frame: &Frame) -> Result<Option<Self>, EventError> {
        let Some(name) = frame.event_name() else { return Ok(None) };
        decode::event_named(name, frame).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::parse(text.replace("\n", "\r\n").into_bytes()).unwrap()
    }

    const SNAPSHOT: &str = "Channel: PJSIP/trunk-00000001\nChannelState: 4\nChannelStateDesc: Ring\n\
        CallerIDNum: 0312345678\nCallerIDName: O\\'Brien\nConnectedLineNum: <unknown>\n\
        ConnectedLineName: <unknown>\nLanguage: ja\nAccountCode: \nContext: from-trunk\nExten: 0355501001\n\
        Priority: 1\nUniqueid: 1.1\nLinkedid: 1.1\n";

    #[test]
    fn a_channel_snapshot_is_read() {
        let event = Event::decode(&frame(&format!("Event: Newchannel\n{SNAPSHOT}\n"))).unwrap();
        let Some(Event::ChannelCreated(channel)) = event else { panic!("{event:?}") };
        assert_eq!(channel.id.as_str(), "1.1");
        assert_eq!(channel.state, ChannelState::Ring);
        assert_eq!(channel.caller_name.as_deref(), Some("O'Brien"));
        assert_eq!(channel.exten.as_deref(), Some("0355501001"));
    }

    #[test]
    fn a_user_event_keeps_its_fields_in_order() {
        let text =
            format!("Event: UserEvent\n{SNAPSHOT}UserEvent: ToritsugiIdentity\nFrom: a\nPAI1: b: c\n\n");
        let event = Event::decode(&frame(&text)).unwrap();
        let Some(Event::User { name, fields, .. }) = event else { panic!("{event:?}") };
        assert_eq!(name, "ToritsugiIdentity");
        assert_eq!(fields, [("From".into(), b"a".to_vec()), ("PAI1".into(), b"b: c".to_vec())]);
    }

    #[test]
    fn an_event_without_its_ids_is_an_error_that_names_them() {
        let error = Event::decode(&frame("Event: Hangup\nChannel: PJSIP/1001-1\n\n")).unwrap_err();
        assert_eq!(error.to_string(), "event Hangup has no usable Uniqueid");
    }

    #[test]
    fn other_events_are_ignored() {
        assert_eq!(Event::decode(&frame("Event: RTCPSent\nSSRC: 1\n\n")), Ok(None));
        assert_eq!(Event::decode(&frame("Response: Success\nMessage: ok\n\n")), Ok(None));
    }
}
