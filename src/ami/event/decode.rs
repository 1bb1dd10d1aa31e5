//! Decodes frames into [`Event`]s: one arm and one reader for each event.

use smol_str::SmolStr;

use super::{
    BridgeKind, Channel, ChannelState, DialStatus, Event, EventError, NAME_CHARS_MAX,
    USER_EVENT_FIELD_BYTES_MAX, USER_EVENT_FIELDS_MAX,
};
use crate::ami::frame::{Frame, unescape};
use crate::identity::{NUMBER_CHARS_MAX, display_name, printable};
use crate::ids::{BridgeId, ChannelId, QueueName, text_of_bytes};

/// Fewest digits of a part of a dial string that is a telephone number (110, 119).
const DIALLED_DIGITS_MIN: usize = 3;

/// Decodes the event `name`; `None` for an event that the daemon does not use.
pub(super) fn event_named(name: &[u8], frame: &Frame) -> Option<Result<Event, EventError>> {
    let read = |event: &'static str| Reader { frame, event };
    Some(match name {
        b"Newchannel" => read("Newchannel").channel("").map(Event::ChannelCreated),
        b"Newstate" => read("Newstate").channel("").map(Event::ChannelState),
        b"NewCallerid" => read("NewCallerid").caller_id(),
        b"Rename" => read("Rename").rename(),
        b"HangupRequest" => {
            let read = read("HangupRequest");
            let cause = read.number("Cause").unwrap_or(0);
            read.channel("").map(|channel| Event::HangupRequested { channel, cause })
        }
        b"SoftHangupRequest" => read("SoftHangupRequest").channel("").map(Event::SoftHangupRequested),
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

/// The headers of a channel snapshot under one prefix (`""`, `Dest`, `Spyee`, …), as constants: a look-up builds
/// no string.
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

/// Reads the fields of one event.
struct Reader<'f> {
    frame: &'f Frame,
    event: &'static str,
}

impl Reader<'_> {
    fn missing(&self, field: &'static str) -> EventError {
        EventError { event: self.event, field }
    }

    /// A value as clean text; `None` for an empty value, `<unknown>` and `<none>`.
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
        let text = self.frame.get(key).map(text_of_bytes).ok_or_else(|| self.missing(key))?;
        ChannelId::parse(&text).map_err(|_| self.missing(key))
    }

    fn bridge(&self, key: &'static str) -> Result<BridgeId, EventError> {
        let text = self.frame.get(key).map(text_of_bytes).ok_or_else(|| self.missing(key))?;
        BridgeId::parse(&text).map_err(|_| self.missing(key))
    }

    fn channel(&self, prefix: &'static str) -> Result<Channel, EventError> {
        let Some(keys) = CHANNEL_KEYS.iter().find(|k| k.prefix == prefix) else {
            return Err(self.missing("channel"));
        };
        let caller_name = self.frame.text(keys.caller_name).filter(|t| !t.is_empty() && t != "<unknown>");
        Ok(Channel {
            id: self.channel_id(keys.id)?,
            name: self.word(keys.name, NAME_CHARS_MAX).ok_or_else(|| self.missing(keys.name))?,
            state: ChannelState::from_code(self.frame.get(keys.state).unwrap_or_default()),
            linked: self.channel_id(keys.linked)?,
            context: self.word(keys.context, NAME_CHARS_MAX),
            exten: self.word(keys.exten, NAME_CHARS_MAX),
            caller_number: self.word(keys.caller_number, NUMBER_CHARS_MAX),
            caller_name: caller_name.and_then(|t| display_name(&unescape(&t))),
        })
    }

    fn caller_id(&self) -> Result<Event, EventError> {
        let presentation = self.word("CID-CallingPres", NAME_CHARS_MAX);
        Ok(Event::CallerIdChanged {
            channel: self.channel("")?,
            presentation: presentation.ok_or_else(|| self.missing("CID-CallingPres"))?,
        })
    }

    fn rename(&self) -> Result<Event, EventError> {
        let name = self.word("Newname", NAME_CHARS_MAX).ok_or_else(|| self.missing("Newname"))?;
        Ok(Event::ChannelRenamed { id: self.channel_id("Uniqueid")?, name })
    }

    fn hangup(&self) -> Result<Event, EventError> {
        Ok(Event::ChannelGone { channel: self.channel("")?, cause: self.number("Cause").unwrap_or(0) })
    }

    fn dial_begin(&self) -> Result<Event, EventError> {
        let by = self.frame.get("Channel").is_some().then(|| self.channel("")).transpose()?;
        let number = self.frame.text("DialString").and_then(|text| number_in(&text));
        Ok(Event::DialBegan { by, to: self.channel("Dest")?, number })
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
        let queue = self.frame.get("Queue").and_then(|q| QueueName::parse(&text_of_bytes(q)).ok());
        Ok(Event::QueueJoined {
            channel: self.channel("")?,
            queue: queue.ok_or_else(|| self.missing("Queue"))?,
            position: self.number("Position"),
        })
    }

    fn blind_transfer(&self) -> Result<Event, EventError> {
        Ok(Event::BlindTransferred {
            transferer: self.channel_id("TransfererUniqueid")?,
            transferee: self.channel_id("TransfereeUniqueid").ok(),
            success: self.frame.get("Result") == Some(b"Success".as_slice()),
            exten: self.word("Extension", NAME_CHARS_MAX),
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
        let name = self.word("UserEvent", NAME_CHARS_MAX).ok_or_else(|| self.missing("UserEvent"))?;
        // The channel snapshot precedes the header that names the event; the dialplan's fields follow it.
        let fields = self
            .frame
            .headers()
            .skip_while(|(key, _)| !key.eq_ignore_ascii_case(b"UserEvent"))
            .skip(1)
            .take(USER_EVENT_FIELDS_MAX)
            .filter_map(|(key, value)| {
                let key = printable(std::str::from_utf8(key).ok()?, NAME_CHARS_MAX)?;
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
            application: self.word("Application", NAME_CHARS_MAX).unwrap_or_default(),
            // It may hold a unique id (`ChanSpy(…)`), which must stay what it is.
            arguments: self
                .frame
                .get("ApplicationData")
                .and_then(|value| printable(&text_of_bytes(value), 255))
                .unwrap_or_default(),
        })
    }
}

/// The telephone number in a dial string: `09012345678@trunk`, `trunk/09012345678`, `trunk/sip:0901@192.0.2.1:5060`.
fn number_in(dial_string: &str) -> Option<SmolStr> {
    let is_number = |part: &&str| {
        part.len() <= NUMBER_CHARS_MAX
            && part.bytes().filter(u8::is_ascii_digit).count() >= DIALLED_DIGITS_MIN
            && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#'))
    };
    dial_string.split('@').next()?.split(['/', ':', ';']).find(is_number).map(SmolStr::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_string_holds_the_number() {
        for (text, number) in [
            ("09012345678@trunk", Some("09012345678")),
            ("trunk/09012345678", Some("09012345678")),
            ("trunk/sip:+819012345678@192.0.2.1:5060", Some("+819012345678")),
            ("g1/186*0312345678", Some("186*0312345678")),
            ("ntt-110/110", Some("110")),
            ("1001", Some("1001")),
            ("trunk/sip:reception@192.0.2.1:5060", None),
            ("trunk", None),
            ("", None),
        ] {
            assert_eq!(number_in(text).as_deref(), number, "{text}");
        }
    }
}
