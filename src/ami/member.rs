//! Typed events about queue members and devices. The daemon compares operator states with them.
//!
//! They are separate from [`super::event`] because they concern no call: the call model never sees them. Field names
//! follow Asterisk 16 to 23 (`apps/app_queue.c`: the list names a member by `Name` and `Location`, the events by
//! `MemberName` and `Interface`; `main/devicestate.c`).
//!
//! Invariant: a frame that lacks a required field decodes to `None`; no frame is an error.

use smol_str::SmolStr;

use super::frame::Frame;
use crate::identity::printable;
use crate::ids::{QueueName, text_of_bytes};

/// Longest device name or reason kept, in characters.
const TEXT_CHARS_MAX: usize = 100;

/// A queue member in the PBX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// The queue.
    pub queue: QueueName,
    /// The device that the queue calls, for instance `PJSIP/1001`.
    pub interface: SmolStr,
    /// Added at run time, and therefore removable; a static member stands in the PBX's configuration.
    pub dynamic: bool,
    /// Whether the queue skips it.
    pub paused: bool,
    /// The reason of the pause, if it was given one.
    pub reason: Option<SmolStr>,
}

/// Whether a device can be called, by its device state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceReachability {
    /// It can be called.
    Reachable,
    /// It is not registered, or does not answer.
    Unreachable,
    /// The PBX does not know it.
    Unknown,
}

/// An event about a queue member or a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberEvent {
    /// The member exists, in this state.
    Member(MemberState),
    /// The member was removed from the queue.
    Removed {
        /// The queue.
        queue: QueueName,
        /// The device of the removed member.
        interface: SmolStr,
    },
    /// The PBX has this queue; in a list only.
    Queue {
        /// The queue.
        queue: QueueName,
        /// How it distributes calls.
        strategy: Option<SmolStr>,
    },
    /// The state of a device.
    Device {
        /// The device, for instance `PJSIP/1001`.
        device: SmolStr,
        /// Whether it can be called.
        reachability: DeviceReachability,
    },
}

impl MemberEvent {
    /// Decodes a frame, from a list or live; `None` for any other frame.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        match frame.event_name()? {
            // Asterisk before 12 sends QueueMemberPaused.
            b"QueueMember" | b"QueueMemberAdded" | b"QueueMemberStatus" | b"QueueMemberPause"
            | b"QueueMemberPaused" => member(frame),
            b"QueueMemberRemoved" => {
                Some(Self::Removed { queue: queue(frame)?, interface: interface(frame)? })
            }
            b"QueueParams" => Some(Self::Queue { queue: queue(frame)?, strategy: text(frame, "Strategy") }),
            b"DeviceStateChange" => {
                let device = text(frame, "Device")?;
                Some(Self::Device { device, reachability: reachability(frame.get("State")?) })
            }
            _ => None,
        }
    }
}

fn member(frame: &Frame) -> Option<MemberEvent> {
    let reason = text(frame, "PausedReason").or_else(|| text(frame, "Reason"));
    Some(MemberEvent::Member(MemberState {
        queue: queue(frame)?,
        interface: interface(frame)?,
        dynamic: frame.get("Membership") == Some(b"dynamic".as_slice()),
        paused: frame.get("Paused") == Some(b"1".as_slice()),
        reason,
    }))
}

fn queue(frame: &Frame) -> Option<QueueName> {
    QueueName::parse(&text_of_bytes(frame.get("Queue")?)).ok()
}

fn interface(frame: &Frame) -> Option<SmolStr> {
    text(frame, "Interface").or_else(|| text(frame, "Location"))
}

fn text(frame: &Frame, key: &str) -> Option<SmolStr> {
    printable(&frame.text(key)?, TEXT_CHARS_MAX)
}

fn reachability(state: &[u8]) -> DeviceReachability {
    match state {
        b"UNAVAILABLE" | b"INVALID" => DeviceReachability::Unreachable,
        b"UNKNOWN" => DeviceReachability::Unknown,
        _ => DeviceReachability::Reachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Option<MemberEvent> {
        MemberEvent::decode(&Frame::parse(text.replace('\n', "\r\n").into_bytes()).unwrap())
    }

    #[test]
    fn a_member_is_the_same_in_a_list_and_in_an_event() {
        let listed = "Event: QueueMember\nQueue: operators\nName: 佐藤\nLocation: PJSIP/1001\nStateInterface: PJSIP/1001\n\
            Membership: static\nPenalty: 0\nPaused: 1\nPausedReason: lunch\nWrapuptime: 0\n\n";
        let live = "Event: QueueMemberPause\nPrivilege: agent,all\nQueue: operators\nMemberName: 佐藤\nInterface: PJSIP/1001\n\
            StateInterface: PJSIP/1001\nMembership: static\nPaused: 1\nPausedReason: lunch\nReason: lunch\n\n";
        assert_eq!(decode(listed), decode(live));
        let Some(MemberEvent::Member(member)) = decode(live) else { panic!("it is a member") };
        assert_eq!((member.paused, member.dynamic, member.reason.as_deref()), (true, false, Some("lunch")));
    }

    #[test]
    fn devices_are_there_or_not() {
        let device = |state: &str| {
            decode(&format!("Event: DeviceStateChange\nDevice: PJSIP/1001\nState: {state}\n\n"))
        };
        for (state, expected) in [
            ("NOT_INUSE", DeviceReachability::Reachable),
            ("BUSY", DeviceReachability::Reachable),
            ("UNAVAILABLE", DeviceReachability::Unreachable),
        ] {
            assert_eq!(
                device(state),
                Some(MemberEvent::Device { device: "PJSIP/1001".into(), reachability: expected })
            );
        }
    }

    #[test]
    fn other_frames_are_nothing() {
        assert_eq!(decode("Event: QueueParams\n\n"), None);
        assert_eq!(decode("Event: QueueMemberStatus\nQueue: operators\n\n"), None);
    }
}
