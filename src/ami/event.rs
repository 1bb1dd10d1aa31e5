//! Typed events: what the daemon needs of Asterisk's manager events, in Asterisk's own words.
//!
//! [`Event::decode`] turns a frame into a value of one closed enum, or says that it is nothing we use (`Ok(None)`:
//! counted and ignored) or that a field it cannot do without is missing ([`EventError`]: counted, never fatal).
//! The call model takes these values as they are; its intake is the one place where "channel" becomes "leg".
//!
//! Invariant: decoding never fails on what a caller can put into a field; names and numbers are cleaned and cut
//! here, ids are parsed here. Field names follow Asterisk 16 to 23 (`main/manager_channels.c`,
//! `main/manager_bridges.c`, `apps/app_queue.c`, `apps/app_chanspy.c`, `res/res_pjsip/…`).

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::frame::{Frame, unescape};
use crate::identity::{DISPLAY_CHARS_MAX, NUMBER_CHARS_MAX, printable};
use crate::ids::{BridgeId, ChannelId, QueueName};

/// Longest context, extension or application name kept, in characters (Asterisk's `AST_MAX_CONTEXT` is 80).
pub const WORD_CHARS_MAX: usize = 80;
/// Most fields taken from one UserEvent.
pub const USER_EVENT_FIELDS_MAX: usize = 32;
/// Longest field taken from a UserEvent, in bytes; the rest is cut.
pub const USER_EVENT_FIELD_BYTES_MAX: usize = 4096;

/// A state of a channel (`main/channel_state.c`); those that mean nothing to us are `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// 0: exists, nothing has happened (an outgoing channel before it rings).
    Down,
    /// 4: an incoming channel: it is *our* side that should ring.
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

/// A channel as an event's snapshot shows it.
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
    /// CallerIDNum. It may be one that must not be shown: see [`Event::CallerIdChanged`].
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
    /// Nobody answered in time, or the far end refused in a way Asterisk does not tell apart.
    NoAnswer,
    /// Withdrawn: somebody else answered, or the caller hung up.
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

/// A member of a bridge that stands between two parties, or a holding bridge (parking, waiting rooms).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeKind {
    /// Its members hear each other.
    Mixing,
    /// Its members wait beside each other.
    Holding,
}

/// One manager event that the daemon uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Newchannel.
    ChannelCreated(Channel),
    /// Newstate.
    ChannelState(Channel),
    /// NewCallerid: says whether the number may be shown (`CID-CallingPres`).
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
    /// HangupRequest, SoftHangupRequest: precedes a Hangup that may be held back for seconds.
    HangupRequested {
        /// The channel.
        channel: Channel,
        /// Q.850 cause code; 0 when not told.
        cause: u16,
    },
    /// Hangup, with the Q.850 cause.
    ChannelGone {
        /// The channel's last snapshot.
        channel: Channel,
        /// Q.850 cause code.
        cause: u16,
    },
    /// DialBegin.
    DialBegan {
        /// Who dials; absent for an originated channel.
        by: Option<Channel>,
        /// What is dialled.
        to: Channel,
    },
    /// DialState RINGING, PROGRESS or PROCEEDING.
    DialRinging {
        /// What is dialled.
        to: Channel,
    },
    /// DialEnd.
    DialEnded {
        /// What was dialled.
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
        /// Who entered.
        channel: Channel,
        /// Whose place it took.
        swapped: Option<ChannelId>,
    },
    /// BridgeLeave.
    BridgeLeft {
        /// The bridge.
        bridge: BridgeId,
        /// Who left.
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
    },
    /// QueueCallerLeave: served, timed out or gone.
    QueueLeft(Channel),
    /// QueueCallerAbandon: the caller hung up while waiting.
    QueueAbandoned(Channel),
    /// BlindTransfer (by feature code, phone or action).
    BlindTransferred {
        /// The leg that gave the caller away.
        transferer: ChannelId,
        /// The leg that was sent on.
        transferee: Option<ChannelId>,
        /// Whether it succeeded.
        success: bool,
        /// The extension it was sent to.
        exten: Option<SmolStr>,
    },
    /// AttendedTransfer.
    AttendedTransferred {
        /// The transferer's leg to the transferee.
        transferer: ChannelId,
        /// The transferer's leg to the target.
        second: ChannelId,
        /// Whether it succeeded.
        success: bool,
    },
    /// ChanSpyStart.
    SpyStarted {
        /// Who listens.
        spyer: Channel,
        /// Whose channel is heard.
        spyee: Channel,
    },
    /// ChanSpyStop.
    SpyStopped {
        /// Who listened.
        spyer: Channel,
        /// Whose channel was heard; some versions leave it out.
        spyee: Option<Channel>,
    },
    /// UserEvent: what the dialplan tells us.
    User {
        /// The event's own name, for instance `ToritsugiIdentity`.
        name: SmolStr,
        /// The channel whose dialplan sent it.
        channel: Channel,
        /// The dialplan's own fields in order; the values are as hostile as the callers.
        fields: Vec<(SmolStr, Vec<u8>)>,
    },
    /// OriginateResponse, matched by the ActionID of the Originate.
    Originated {
        /// The ActionID that asked for it.
        action_id: SmolStr,
        /// Whether the channel was answered.
        success: bool,
        /// The channel, where there was one.
        channel: Option<ChannelId>,
        /// `Reason`: 0 no such extension, 1 no answer, 4 answered, 5 busy, 8 congestion.
        reason: u16,
    },
    /// One line of CoreShowChannels.
    ChannelListed {
        /// The channel.
        channel: Channel,
        /// The bridge it is in.
        bridge: Option<BridgeId>,
        /// The dialplan application it runs, for instance `Queue`.
        application: SmolStr,
        /// That application's arguments.
        arguments: SmolStr,
    },
    /// FullyBooted: the PBX has finished starting.
    FullyBooted {
        /// Seconds since the PBX was started, where told.
        uptime_s: Option<u64>,
    },
    /// Shutdown: the PBX is going down.
    ShuttingDown,
}

/// A frame that says it is an event we use but lacks what we need of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} has no usable {field}")]
pub struct EventError {
    /// The event's name.
    pub event: &'static str,
    /// The field that is missing or malformed.
    pub field: &'static str,
}

impl Event {
    /// Reads a frame. `Ok(None)`: not an event, or none that we use.
    pub fn decode(frame: &Frame) -> Result<Option<Self>, EventError> {
        let Some(name) = frame.event_name() else { return Ok(None) };
        decode_named(name, frame).transpose()
    }
}

/// One arm for each event; the channel fields' prefix is the second word of the reader.
fn decode_named(name: &[u8], frame: &Frame) -> Option<Result<Event, EventError>> {
    let read = |event: &'static str| Reader { frame, event };
    Some(match name {
        b"Newchannel" => read("Newchannel").channel("").map(Event::ChannelCreated),
        b"Newstate" => read("Newstate").channel("").map(Event::ChannelState),
        b"NewCallerid" => read("NewCallerid").caller_id(),
        b"Rename" => read("Rename").rename(),
        b"HangupRequest" | b"SoftHangupRequest" => {
            let read = read("HangupRequest");
            let cause = read.number("Cause").unwrap_or(0);
            read.channel("").map(|channel| Event::HangupRequested { channel, cause })
        }
        b"Hangup" => read("Hangup").hangup(),
        b"DialBegin" => read("DialBegin").dial_begin(),
        b"DialState" => return read("DialState").dial_state(),
        b"DialEnd" => read("DialEnd").dial_end(),
        b"LocalBridge" => read("LocalBridge").local_bridge(),
        b"BridgeEnter" => read("BridgeEnter").bridge_enter(),
        b"BridgeLeave" => read("BridgeLeave").bridge_leave(),
        b"BridgeMerge" => read("BridgeMerge").bridge_merge(),
        b"BridgeDestroy" => read("BridgeDestroy").bridge("BridgeUniqueid").map(Event::BridgeGone),
        b"Hold" => read("Hold").channel("").map(Event::Held),
        b"Unhold" => read("Unhold").channel("").map(Event::Unheld),
        b"QueueCallerJoin" => read("QueueCallerJoin").queue_join(),
        b"QueueCallerLeave" => read("QueueCallerLeave").channel("").map(Event::QueueLeft),
        b"QueueCallerAbandon" => read("QueueCallerAbandon").channel("").map(Event::QueueAbandoned),
        b"BlindTransfer" => read("BlindTransfer").blind_transfer(),
        b"AttendedTransfer" => read("AttendedTransfer").attended_transfer(),
        b"ChanSpyStart" => read("ChanSpyStart").spy_start(),
        b"ChanSpyStop" => read("ChanSpyStop").spy_stop(),
        b"UserEvent" => read("UserEvent").user_event(),
        b"OriginateResponse" => read("OriginateResponse").originate_response(),
        b"CoreShowChannel" => read("CoreShowChannel").channel_listed(),
        b"FullyBooted" => Ok(Event::FullyBooted { uptime_s: read("FullyBooted").number("Uptime") }),
        b"Shutdown" => Ok(Event::ShuttingDown),
        _ => return None,
    })
}

/// The headers of a channel snapshot under one prefix (`""`, `Dest`, `Spyee`, …), spelt out so that a look-up
/// builds no string.
struct ChannelKeys {
    prefix: &'static str,
    name: &'static str,
    state: &'static str,
    caller_number: &'static str,
    caller_name: &'static str,
    context: &'static str,
    exten: &'static str,
    id: &'static str,
    linked: &'static str,
}

macro_rules! channel_keys {
    ($($prefix:literal)*) => {
        &[$(ChannelKeys {
            prefix: $prefix,
            name: concat!($prefix, "Channel"),
            state: concat!($prefix, "ChannelState"),
            caller_number: concat!($prefix, "CallerIDNum"),
            caller_name: concat!($prefix, "CallerIDName"),
            context: concat!($prefix, "Context"),
            exten: concat!($prefix, "Exten"),
            id: concat!($prefix, "Uniqueid"),
            linked: concat!($prefix, "Linkedid"),
        },)*]
    };
}

const CHANNEL_KEYS: &[ChannelKeys] = channel_keys!("" "Dest" "LocalOne" "LocalTwo" "Spyer" "Spyee");

struct Reader<'f> {
    frame: &'f Frame,
    event: &'static str,
}

impl Reader<'_> {
    fn missing(&self, field: &'static str) -> EventError {
        EventError { event: self.event, field }
    }

    /// A value as clean text; empty, `<unknown>` and `<none>` are none.
    fn word(&self, key: &str, chars_max: usize) -> Option<SmolStr> {
        let text = self.frame.text(key)?;
        if text.is_empty() || text == "<unknown>" || text == "<none>" {
            return None;
        }
        printable(&text, chars_max)
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        std::str::from_utf8(self.frame.get(key)?).ok()?.trim().parse().ok()
    }

    fn channel_id(&self, key: &'static str) -> Result<ChannelId, EventError> {
        let text = self.frame.text(key).ok_or_else(|| self.missing(key))?;
        ChannelId::parse(&text).map_err(|_| self.missing(key))
    }

    fn bridge(&self, key: &'static str) -> Result<BridgeId, EventError> {
        let text = self.frame.text(key).ok_or_else(|| self.missing(key))?;
        BridgeId::parse(&text).map_err(|_| self.missing(key))
    }

    fn channel(&self, prefix: &'static str) -> Result<Channel, EventError> {
        let Some(keys) = CHANNEL_KEYS.iter().find(|k| k.prefix == prefix) else {
            return Err(self.missing("channel"));
        };
        let caller_name = self.frame.text(keys.caller_name).filter(|t| !t.is_empty() && t != "<unknown>");
        Ok(Channel {
            id: self.channel_id(keys.id)?,
            name: self.word(keys.name, WORD_CHARS_MAX).ok_or_else(|| self.missing(keys.name))?,
            state: ChannelState::from_code(self.frame.get(keys.state).unwrap_or_default()),
            linked: self.channel_id(keys.linked)?,
            context: self.word(keys.context, WORD_CHARS_MAX),
            exten: self.word(keys.exten, WORD_CHARS_MAX),
            caller_number: self.word(keys.caller_number, NUMBER_CHARS_MAX),
            caller_name: caller_name.and_then(|t| printable(&unescape(&t), DISPLAY_CHARS_MAX)),
        })
    }

    fn caller_id(&self) -> Result<Event, EventError> {
        let presentation = self.word("CID-CallingPres", WORD_CHARS_MAX);
        Ok(Event::CallerIdChanged {
            channel: self.channel("")?,
            presentation: presentation.ok_or_else(|| self.missing("CID-CallingPres"))?,
        })
    }

    fn rename(&self) -> Result<Event, EventError> {
        let name = self.word("Newname", WORD_CHARS_MAX).ok_or_else(|| self.missing("Newname"))?;
        Ok(Event::ChannelRenamed { id: self.channel_id("Uniqueid")?, name })
    }

    fn hangup(&self) -> Result<Event, EventError> {
        Ok(Event::ChannelGone { channel: self.channel("")?, cause: self.number("Cause").unwrap_or(0) })
    }

    fn dial_begin(&self) -> Result<Event, EventError> {
        let by = self.frame.get("Channel").is_some().then(|| self.channel("")).transpose()?;
        Ok(Event::DialBegan { by, to: self.channel("Dest")? })
    }

    fn dial_state(&self) -> Option<Result<Event, EventError>> {
        match self.frame.get("DialStatus") {
            Some(b"RINGING" | b"PROGRESS" | b"PROCEEDING") => {
                Some(self.channel("Dest").map(|to| Event::DialRinging { to }))
            }
            _ => None,
        }
    }

    fn dial_end(&self) -> Result<Event, EventError> {
        let status = DialStatus::from_text(self.frame.get("DialStatus").unwrap_or_default());
        Ok(Event::DialEnded { to: self.channel("Dest")?, status })
    }

    fn local_bridge(&self) -> Result<Event, EventError> {
        Ok(Event::LocalPaired { one: self.channel("LocalOne")?, two: self.channel("LocalTwo")? })
    }

    fn bridge_enter(&self) -> Result<Event, EventError> {
        let holding = self.frame.get("BridgeTechnology") == Some(b"holding_bridge".as_slice());
        let swapped = self.frame.get("SwapUniqueid").is_some_and(|v| !v.is_empty());
        Ok(Event::BridgeEntered {
            bridge: self.bridge("BridgeUniqueid")?,
            kind: if holding { BridgeKind::Holding } else { BridgeKind::Mixing },
            channel: self.channel("")?,
            swapped: swapped.then(|| self.channel_id("SwapUniqueid")).transpose()?,
        })
    }

    fn bridge_leave(&self) -> Result<Event, EventError> {
        Ok(Event::BridgeLeft { bridge: self.bridge("BridgeUniqueid")?, channel: self.channel("")? })
    }

    fn bridge_merge(&self) -> Result<Event, EventError> {
        Ok(Event::BridgeMerged {
            from: self.bridge("FromBridgeUniqueid")?,
            to: self.bridge("ToBridgeUniqueid")?,
        })
    }

    fn queue_join(&self) -> Result<Event, EventError> {
        let queue = self.frame.text("Queue").and_then(|q| QueueName::parse(&q).ok());
        Ok(Event::QueueJoined {
            channel: self.channel("")?,
            queue: queue.ok_or_else(|| self.missing("Queue"))?,
        })
    }

    fn blind_transfer(&self) -> Result<Event, EventError> {
        Ok(Event::BlindTransferred {
            transferer: self.channel_id("TransfererUniqueid")?,
            transferee: self.channel_id("TransfereeUniqueid").ok(),
            success: self.frame.get("Result") == Some(b"Success".as_slice()),
            exten: self.word("Extension", WORD_CHARS_MAX),
        })
    }

    fn attended_transfer(&self) -> Result<Event, EventError> {
        Ok(Event::AttendedTransferred {
            transferer: self.channel_id("OrigTransfererUniqueid")?,
            second: self.channel_id("SecondTransfererUniqueid")?,
            success: self.frame.get("Result") == Some(b"Success".as_slice()),
        })
    }

    fn spy_start(&self) -> Result<Event, EventError> {
        Ok(Event::SpyStarted { spyer: self.channel("Spyer")?, spyee: self.channel("Spyee")? })
    }

    fn spy_stop(&self) -> Result<Event, EventError> {
        Ok(Event::SpyStopped { spyer: self.channel("Spyer")?, spyee: self.channel("Spyee").ok() })
    }

    fn user_event(&self) -> Result<Event, EventError> {
        let name = self.word("UserEvent", WORD_CHARS_MAX).ok_or_else(|| self.missing("UserEvent"))?;
        // The dialplan's fields follow the header that names the event; before it stands the channel snapshot.
        let fields = self
            .frame
            .headers()
            .skip_while(|(key, _)| !key.eq_ignore_ascii_case(b"UserEvent"))
            .skip(1)
            .take(USER_EVENT_FIELDS_MAX)
            .filter_map(|(key, value)| {
                let key = printable(std::str::from_utf8(key).ok()?, WORD_CHARS_MAX)?;
                Some((key, value[..value.len().min(USER_EVENT_FIELD_BYTES_MAX)].to_vec()))
            })
            .collect();
        Ok(Event::User { name, channel: self.channel("")?, fields })
    }

    fn originate_response(&self) -> Result<Event, EventError> {
        let action_id = self.word("ActionID", 100).ok_or_else(|| self.missing("ActionID"))?;
        Ok(Event::Originated {
            action_id,
            success: self.frame.get("Response") == Some(b"Success".as_slice()),
            channel: self.channel_id("Uniqueid").ok(),
            reason: self.number("Reason").unwrap_or(0),
        })
    }

    fn channel_listed(&self) -> Result<Event, EventError> {
        let bridge = self.frame.get("BridgeId").is_some_and(|v| !v.is_empty());
        Ok(Event::ChannelListed {
            channel: self.channel("")?,
            bridge: bridge.then(|| self.bridge("BridgeId")).transpose()?,
            application: self.word("Application", WORD_CHARS_MAX).unwrap_or_default(),
            arguments: self.word("ApplicationData", 255).unwrap_or_default(),
        })
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
    fn other_events_are_nothing_to_us() {
        assert_eq!(Event::decode(&frame("Event: RTCPSent\nSSRC: 1\n\n")), Ok(None));
        assert_eq!(Event::decode(&frame("Response: Success\nMessage: ok\n\n")), Ok(None));
    }
}
