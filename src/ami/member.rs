//! News of queues' members and of devices: what the operators' states are compared with.
//!
//! Apart from [`super::event`], because these say nothing of calls: the call model never sees them. Field names
//! follow Asterisk 16 to 23 (`apps/app_queue.c`: the list names a member by `Name` and `Location`, the events by
//! `MemberName` and `Interface`; `main/devicestate.c`).
//!
//! Invariant: as for events: a frame that lacks what is needed is nothing, never an error that ends anything.

use smol_str::SmolStr;

use super::frame::Frame;
use crate::identity::printable;
use crate::ids::QueueName;

/// Longest device name or reason kept, in characters.
const TEXT_CHARS_MAX: usize = 100;

/// A member of a queue, as the PBX has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// The queue.
    pub queue: QueueName,
    /// The device it calls, for instance `PJSIP/1001`.
    pub interface: SmolStr,
    /// Added while running, and so removable; otherwise it stands in the PBX's configuration.
    pub dynamic: bool,
    /// Whether it is passed over.
    pub paused: bool,
    /// Why, if the PBX was told.
    pub reason: Option<SmolStr>,
}

/// Whether a device can be called, as far as its state tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    Reachable,
    /// It is not registered, or does not answer.
    Unreachable,
    /// The PBX does not know it.
    Unknown,
}

/// Something about a queue's member or a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The member is there, and is like this.
    Member(MemberState),
    /// It is a member no longer.
    Removed {
        /// Of which queue.
        queue: QueueName,
        /// Which.
        interface: SmolStr,
    },
    /// A device's state.
    Device {
        /// Which, for instance `PJSIP/1001`.
        device: SmolStr,
        /// What it means for who wants to call it.
        reach: Reach,
    },
}

impl News {
    /// Reads a frame, out of a list or live; `None`: it is none of these.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        match frame.event_name()? {
            // QueueMemberPaused is what Asterisk before 12 said.
            b"QueueMember" | b"QueueMemberAdded" | b"QueueMemberStatus" | b"QueueMemberPause"
            | b"QueueMemberPaused" => member(frame),
            b"QueueMemberRemoved" => {
                Some(Self::Removed { queue: queue(frame)?, interface: interface(frame)? })
            }
            b"DeviceStateChange" => {
                let device = text(frame, "Device")?;
                Some(Self::Device { device, reach: reach(frame.get("State")?) })
            }
            _ => None,
        }
    }
}

fn member(frame: &Frame) -> Option<News> {
    let reason = text(frame, "PausedReason").or_else(|| text(frame, "Reason"));
    Some(News::Member(MemberState {
        queue: queue(frame)?,
        interface: interface(frame)?,
        dynamic: frame.get("Membership") == Some(b"dynamic".as_slice()),
        paused: frame.get("Paused") == Some(b"1".as_slice()),
        reason,
    }))
}

fn queue(frame: &Frame) -> Option<QueueName> {
    QueueName::parse(&frame.text("Queue")?).ok()
}

fn interface(frame: &Frame) -> Option<SmolStr> {
    text(frame, "Interface").or_else(|| text(frame, "Location"))
}

fn text(frame: &Frame, key: &str) -> Option<SmolStr> {
    printable(&frame.text(key)?, TEXT_CHARS_MAX)
}

fn reach(state: &[u8]) -> Reach {
    match state {
        b"UNAVAILABLE" | b"INVALID" => Reach::Unreachable,
        b"UNKNOWN" => Reach::Unknown,
        _ => Reach::Reachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Option<News> {
        News::decode(&Frame::parse(text.replace('\n', "\r\n").into_bytes()).unwrap())
    }

    #[test]
    fn a_member_is_the_same_in_a_list_and_in_an_event() {
        let listed = "Event: QueueMember\nQueue: operators\nName: 佐藤\nLocation: PJSIP/1001\nStateInterface: PJSIP/1001\n\
            Membership: static\nPenalty: 0\nPaused: 1\nPausedReason: lunch\nWrapuptime: 0\n\n";
        let told = "Event: QueueMemberPause\nPrivilege: agent,all\nQueue: operators\nMemberName: 佐藤\nInterface: PJSIP/1001\n\
            StateInterface: PJSIP/1001\nMembership: static\nPaused: 1\nPausedReason: lunch\nReason: lunch\n\n";
        assert_eq!(decode(listed), decode(told));
        let Some(News::Member(member)) = decode(told) else { panic!("it is a member") };
        assert_eq!((member.paused, member.dynamic, member.reason.as_deref()), (true, false, Some("lunch")));
    }

    #[test]
    fn devices_are_there_or_not() {
        let device = |state: &str| {
            decode(&format!("Event: DeviceStateChange\nDevice: PJSIP/1001\nState: {state}\n\n"))
        };
        for (state, wanted) in
            [("NOT_INUSE", Reach::Reachable), ("BUSY", Reach::Reachable), ("UNAVAILABLE", Reach::Unreachable)]
        {
            assert_eq!(device(state), Some(News::Device { device: "PJSIP/1001".into(), reach: wanted }));
        }
    }

    #[test]
    fn other_frames_are_nothing() {
        assert_eq!(decode("Event: QueueParams\nQueue: operators\n\n"), None);
        assert_eq!(decode("Event: QueueMemberStatus\nQueue: operators\n\n"), None);
    }
}
