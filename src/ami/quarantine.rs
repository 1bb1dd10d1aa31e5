//! Frames that no code in Asterisk writes: set aside, counted, and followed by a resync.
//!
//! A caller controls the text of some values, and Asterisk prints some of them without escaping. A frame can
//! therefore arrive torn, and the text after it may be forged by the caller. Nothing marks where the stream is
//! genuine again, but the daemon can list the PBX's state again.
//!
//! Invariant: a frame that breaks a rule and the frame after it never reach the call model. The rules follow the
//! text that Asterisk 16 to 23 print (main/manager.c, main/manager_channels.c):
//!
//! | rule | why it holds for real frames |
//! |---|---|
//! | the first header is `Event` or `Response` | every frame starts with one of them |
//! | every line has a colon | every line is printed from `Key: %s` |
//! | an event's second header is `Privilege` | `manager_event` prints it; `FullyBooted`, list items and list ends (`ActionID`, `EventList`) and the queue list (`Queue`) are printed elsewhere |
//! | `…ChannelState` stands within the fourteen lines of a channel snapshot, complete and in order | one `printf` writes them all |
//! | events about a channel carry that snapshot | see [`snapshot_of`] |
//! | `…Priority`, `…Uniqueid`, `…Linkedid` in a row end such a snapshot, also in what follows `UserEvent` and in events that the daemon does not know | nothing else prints them in a row; alone they are the rest of a snapshot that was torn |
//! | `Event`, `Privilege`, `ActionID`, `Channel`, `Uniqueid`, `Linkedid` occur once | what follows `UserEvent` is the dialplan's own text and exempt; look-ups take the first value |
//!
//! Asterisk 22 escapes the line breaks in the names and numbers of a snapshot (`\\r\\n`, seen on a real one), so that there
//! nothing can be torn at these. The rules look at one frame at a time and cannot find every forgery on an older Asterisk:
//! a dialplan that sets names from outside must pass them through `FILTER()`.
//!
//! Read next: [`super::session`], which marks a list incomplete when one of its items may be here.

use std::fmt;

use super::frame::{Frame, FrameKind, FrameLines, USUAL_LINES};

/// A frame that was set aside.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// The frame: for logs, never for the model.
    pub frame: Frame,
    /// The rule it broke.
    pub reason: QuarantineReason,
}

/// The rule that a frame broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuarantineReason {
    /// The first header is neither `Event` nor `Response`.
    NotOpened,
    /// A line has no colon.
    LineWithoutColon,
    /// An event's second header is not one that Asterisk prints there.
    SecondHeader,
    /// A channel snapshot is incomplete or out of order.
    SnapshotTorn,
    /// An event about a channel has no channel snapshot.
    SnapshotMissing,
    /// A header that occurs only once in real frames is repeated.
    Repeated,
    /// A response to an action that this connection did not send; found by [`super::session`].
    ForeignResponse,
    /// Nothing is wrong with this frame but the one before it.
    FollowsSuspect,
}

impl QuarantineReason {
    /// A stable label, for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotOpened => "not-opened",
            Self::LineWithoutColon => "line-without-colon",
            Self::SecondHeader => "second-header",
            Self::SnapshotTorn => "snapshot-torn",
            Self::SnapshotMissing => "snapshot-missing",
            Self::Repeated => "repeated",
            Self::ForeignResponse => "foreign-response",
            Self::FollowsSuspect => "follows-suspect",
        }
    }
}

impl fmt::Display for QuarantineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The check of one connection's frames; remembers whether the last frame was suspect.
#[derive(Debug, Default)]
pub struct Quarantine {
    last_was_suspect: bool,
}

impl Quarantine {
    /// The reason to set `frame` aside, or `None`. `unkeyed`: one of its lines has no colon.
    pub fn check(&mut self, frame: &Frame, unkeyed: bool) -> Option<QuarantineReason> {
        let broken = if unkeyed { Some(QuarantineReason::LineWithoutColon) } else { broken_rule(frame) };
        let follows = std::mem::replace(&mut self.last_was_suspect, broken.is_some());
        broken.or(follows.then_some(QuarantineReason::FollowsSuspect))
    }
}

/// The prefix of the snapshot that an event always carries.
fn snapshot_of(event: &[u8]) -> Option<&'static [u8]> {
    Some(match event {
        b"Newchannel" | b"Newstate" | b"Newexten" | b"NewCallerid" | b"NewConnectedLine" | b"Hangup" => b"",
        b"HangupRequest" | b"SoftHangupRequest" | b"BridgeEnter" | b"BridgeLeave" | b"Hold" | b"Unhold" => {
            b""
        }
        b"DTMFBegin" | b"DTMFEnd" | b"MusicOnHoldStart" | b"MusicOnHoldStop" | b"NewAccountCode" => b"",
        b"QueueCallerJoin" | b"QueueCallerLeave" | b"QueueCallerAbandon" => b"",
        b"CoreShowChannel" | b"BridgeInfoChannel" => b"",
        b"DialBegin" | b"DialState" | b"DialEnd" => b"Dest",
        b"ChanSpyStart" | b"ChanSpyStop" => b"Spyer",
        b"LocalBridge" | b"LocalOptimizationBegin" | b"LocalOptimizationEnd" => b"LocalOne",
        b"BlindTransfer" => b"Transferer",
        b"AttendedTransfer" => b"OrigTransferer",
        _ => return None,
    })
}

fn broken_rule(frame: &Frame) -> Option<QuarantineReason> {
    let lines = frame.lines();
    if frame.is_usual() {
        return broken_event_rule(lines, USUAL_LINES, SeenHeaders(SeenHeaders::ALL_USUAL), true);
    }
    match lines.kind() {
        FrameKind::Other => Some(QuarantineReason::NotOpened),
        FrameKind::Response => None,
        FrameKind::Event => broken_event_rule(lines, 0, SeenHeaders::default(), false),
    }
}

/// Checks the lines from `index` on; `headers` and `plain_seen` sum up the lines before.
fn broken_event_rule(
    lines: FrameLines<'_>,
    mut index: usize,
    mut headers: SeenHeaders,
    mut plain_seen: bool,
) -> Option<QuarantineReason> {
    let event = lines.value(0);
    if index == 0 && !has_second_header(lines, event) {
        return Some(QuarantineReason::SecondHeader);
    }
    let expected = snapshot_of(event);
    let (mut prefixed_seen, mut of_dialplan) = (false, false);
    while let Some(&len) = lines.key_lens().get(index) {
        // Length and first letter first: they rule out most lines.
        if SeenHeaders::may_contain(len, lines.first_byte(index)) {
            let key = lines.key(index);
            if key == b"UserEvent" {
                of_dialplan = true;
            } else if key == b"Linkedid" && is_snapshot_tail(lines, index) {
                return Some(QuarantineReason::SnapshotTorn);
            } else if !of_dialplan && headers.insert_key(key) {
                return Some(QuarantineReason::Repeated);
            }
        } else if len > 8 && lines.key_ends_with(index, b"Linkedid") {
            if is_snapshot_tail(lines, index) {
                return Some(QuarantineReason::SnapshotTorn);
            }
        } else if !of_dialplan && len >= 12 && lines.key_ends_with(index, b"ChannelState") {
            let prefix = &lines.key(index)[..usize::from(len) - b"ChannelState".len()];
            if !is_in_snapshot(lines, index, prefix) {
                return Some(QuarantineReason::SnapshotTorn);
            }
            // Empty slices apart: comparing them is a call, and a slow one where the CPU has AVX-512.
            if prefix.is_empty() {
                headers.insert(SeenHeaders::UNIQUEID | SeenHeaders::LINKEDID);
                plain_seen = true;
            } else {
                prefixed_seen |= expected == Some(prefix);
            }
            index += SNAPSHOT_KEYS_AFTER_STATE;
        }
        index += 1;
    }
    let seen = match expected {
        None => true,
        Some(b"") => plain_seen,
        Some(_) => prefixed_seen,
    };
    (!seen).then_some(QuarantineReason::SnapshotMissing)
}

/// Whether the second line is one that Asterisk prints there.
fn has_second_header(lines: FrameLines<'_>, event: &[u8]) -> bool {
    lines.len() > 1
        && match lines.key(1) {
            b"Privilege" | b"ActionID" | b"EventList" => true,
            b"Key" => event == b"DBGetTreeResponse",
            b"Queue" => matches!(event, b"QueueParams" | b"QueueMember" | b"QueueEntry" | b"QueueSummary"),
            _ => event == b"FullyBooted",
        }
}

/// How many lines of a channel snapshot follow its `ChannelState`.
const SNAPSHOT_KEYS_AFTER_STATE: usize = 12;
/// The lengths of the keys of a snapshot, in order.
const SNAPSHOT_KEY_LENS: [u8; 14] = [7, 12, 16, 11, 12, 16, 17, 8, 11, 7, 5, 8, 8, 8];

/// Whether the `ChannelState` at `index` has the other lines of a channel snapshot around it. All of them carry the
/// same prefix (`Dest`, `Spyer`, `LocalOne`, …).
fn is_in_snapshot(lines: FrameLines<'_>, index: usize, prefix: &[u8]) -> bool {
    let Some(first) = index.checked_sub(1) else { return false };
    let Some(lens) = lines.key_lens().get(first..first + SNAPSHOT_KEY_LENS.len()) else { return false };
    let longer = prefix.len() as u8;
    if !lens.iter().zip(SNAPSHOT_KEY_LENS).all(|(len, plain)| *len == plain.wrapping_add(longer)) {
        return false;
    }
    let named = lines.key_ends_with(first, b"Channel")
        && lines.key_ends_with(first + 2, b"ChannelStateDesc")
        && lines.key_ends_with(first + 3, b"CallerIDNum")
        && lines.key_ends_with(first + 4, b"CallerIDName")
        && lines.key_ends_with(first + 5, b"ConnectedLineNum")
        && lines.key_ends_with(first + 6, b"ConnectedLineName")
        && lines.key_ends_with(first + 7, b"Language")
        && lines.key_ends_with(first + 8, b"AccountCode")
        && lines.key_ends_with(first + 9, b"Context")
        && lines.key_ends_with(first + 10, b"Exten")
        && lines.key_ends_with(first + 11, b"Priority")
        && lines.key_ends_with(first + 12, b"Uniqueid")
        && lines.key_ends_with(first + 13, b"Linkedid");
    named
        && match prefix {
            b"" => true,
            // By far the most frequent, and a comparison of fixed length.
            b"Dest" => (first..first + lens.len()).all(|line| lines.key(line).starts_with(b"Dest")),
            _ => (first..first + lens.len()).all(|line| lines.key(line).starts_with(prefix)),
        }
}

/// Whether the `Linkedid` at `index`, which is in no complete snapshot, follows the `Priority` and the `Uniqueid` of one.
fn is_snapshot_tail(lines: FrameLines<'_>, index: usize) -> bool {
    let Some(first) = index.checked_sub(2) else { return false };
    let prefix = |index: usize, name: &[u8]| lines.key(index).strip_suffix(name);
    let of_linkedid = prefix(index, b"Linkedid");
    prefix(first, b"Priority") == of_linkedid && prefix(first + 1, b"Uniqueid") == of_linkedid
}

/// The headers seen so far, of those that occur only once.
#[derive(Default)]
struct SeenHeaders(u8);

impl SeenHeaders {
    const EVENT: u8 = 1;
    const PRIVILEGE: u8 = 1 << 1;
    const ACTION_ID: u8 = 1 << 2;
    const CHANNEL: u8 = 1 << 3;
    const UNIQUEID: u8 = 1 << 4;
    const LINKEDID: u8 = 1 << 5;
    /// Those within the usual lines.
    const ALL_USUAL: u8 = Self::EVENT | Self::PRIVILEGE | Self::CHANNEL | Self::UNIQUEID | Self::LINKEDID;

    /// For each first letter the lengths, as bits, of such headers that begin so; `UserEvent` among them.
    const LENGTHS: [u16; 256] = {
        let mut lengths = [0; 256];
        lengths[b'E' as usize] = 1 << 5;
        lengths[b'C' as usize] = 1 << 7;
        lengths[b'A' as usize] = 1 << 8;
        lengths[b'L' as usize] = 1 << 8;
        lengths[b'P' as usize] = 1 << 9;
        lengths[b'U' as usize] = 1 << 8 | 1 << 9;
        lengths
    };

    /// Whether a key of this length and first letter may be one of these headers.
    #[inline(always)]
    fn may_contain(len: u8, first: u8) -> bool {
        len < 16 && Self::LENGTHS[usize::from(first)] >> len & 1 != 0
    }

    /// Records a key; returns whether it is a repeated header.
    fn insert_key(&mut self, key: &[u8]) -> bool {
        self.insert(match key {
            b"Event" => Self::EVENT,
            b"Privilege" => Self::PRIVILEGE,
            b"ActionID" => Self::ACTION_ID,
            b"Channel" => Self::CHANNEL,
            b"Uniqueid" => Self::UNIQUEID,
            b"Linkedid" => Self::LINKEDID,
            _ => return false,
        })
    }

    /// Records these headers; returns whether one of them was seen before.
    fn insert(&mut self, bits: u8) -> bool {
        let repeated = self.0 & bits != 0;
        self.0 |= bits;
        repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT_TEXT: &str = "Channel: PJSIP/trunk-0001\r\nChannelState: 4\r\nChannelStateDesc: Ring\r\n\
        CallerIDNum: 0312345678\r\nCallerIDName: <unknown>\r\nConnectedLineNum: <unknown>\r\n\
        ConnectedLineName: <unknown>\r\nLanguage: ja\r\nAccountCode: \r\nContext: from-trunk\r\n\
        Exten: 0501111\r\nPriority: 1\r\nUniqueid: pbx-1.1\r\nLinkedid: pbx-1.1\r\n";

    fn prefixed(prefix: &str) -> String {
        SNAPSHOT_TEXT.split_inclusive("\r\n").map(|line| format!("{prefix}{line}")).collect()
    }

    fn check(text: &str) -> Option<QuarantineReason> {
        let frame = Frame::parse(text.to_owned()).unwrap();
        let unkeyed = text.lines().any(|line| !line.is_empty() && !line.contains(':'));
        Quarantine::default().check(&frame, unkeyed)
    }

    #[test]
    fn what_asterisk_prints_passes() {
        let dest = prefixed("Dest");
        for real in [
            format!("Event: Newchannel\r\nPrivilege: call,all\r\n{SNAPSHOT_TEXT}"),
            format!("Event: Newchannel\r\nPrivilege: call,all\r\nTimestamp: 1.2\r\nSystemName: a\r\n{SNAPSHOT_TEXT}"),
            format!("Event: DialBegin\r\nPrivilege: call,all\r\n{SNAPSHOT_TEXT}{dest}DialString: 1001\r\n"),
            format!("Event: DialBegin\r\nPrivilege: call,all\r\n{dest}DialString: 1001\r\n"),
            format!("Event: CoreShowChannel\r\nActionID: a.1\r\n{SNAPSHOT_TEXT}BridgeId: \r\n"),
            format!("Event: UserEvent\r\nPrivilege: user,all\r\n{SNAPSHOT_TEXT}UserEvent: x\r\nChannel: y\r\n"),
            format!("Event: Hangup\r\nPrivilege: call,all\r\n{SNAPSHOT_TEXT}ChanVariable: a=1\r\nChanVariable: b=\r\n"),
            "Event: VarSet\r\nPrivilege: dialplan,all\r\nChannel: none\r\nUniqueid: none\r\nValue: 1\r\n".into(),
            "Event: FullyBooted\r\nUptime: 3\r\nStatus: Fully Booted\r\n".into(),
            "Event: QueueMember\r\nQueue: q\r\nName: a\r\nActionID: a.1\r\n".into(),
            "Event: CoreShowChannelsComplete\r\nEventList: Complete\r\nListItems: 0\r\n".into(),
            "Event: OriginateResponse\r\nPrivilege: call,all\r\nActionID: 1\r\nResponse: Failure\r\nChannel: \
             PJSIP/1\r\nUniqueid: <null>\r\n"
                .into(),
            "Response: Success\r\nActionID: 1\r\nQueue: x\r\n".into(),
            // What the dialplan writes is its own affair.
            format!(
                "Event: UserEvent\r\nPrivilege: user,all\r\n{SNAPSHOT_TEXT}UserEvent: x\r\nUniqueid: \
                 pbx-1.1\r\nLinkedid: pbx-1.1\r\nChannelState: 6\r\nPriority: 1\r\n"
            ),
        ] {
            assert_eq!(check(&real), None, "{real}");
        }
    }

    /// The ends of a snapshot from each of its lines on that a caller may have a say in, in frames that a forger could begin.
    fn rests() -> impl Iterator<Item = String> {
        let user = format!("Event: UserEvent\r\nPrivilege: user,all\r\n{SNAPSHOT_TEXT}UserEvent: x\r\n");
        let heads = [
            "Event: UserEvent\r\nPrivilege: user,all\r\nUserEvent: x\r\nText: y\r\n".to_owned(),
            user,
            "Event: Unheard\r\nPrivilege: call,all\r\n".to_owned(),
            format!("Event: DialState\r\nPrivilege: call,all\r\n{}", prefixed("Dest")),
        ];
        let tears = ["ConnectedLineNum", "Language", "Context", "Priority"];
        heads.into_iter().flat_map(move |head| {
            ["", "Transferee"].into_iter().flat_map(move |prefix| {
                let head = head.clone();
                tears.into_iter().map(move |line| {
                    let rest = SNAPSHOT_TEXT.split_once(line).unwrap().1;
                    let rest: String = format!("{line}{rest}")
                        .split_inclusive("\r\n")
                        .map(|l| format!("{prefix}{l}"))
                        .collect();
                    format!("{head}{rest}")
                })
            })
        })
    }

    #[test]
    fn what_asterisk_cannot_have_printed_is_set_aside() {
        use QuarantineReason::{
            LineWithoutColon, NotOpened, Repeated, SecondHeader, SnapshotMissing, SnapshotTorn,
        };
        let torn = SNAPSHOT_TEXT.split_once("Uniqueid").unwrap().0;
        let swapped = SNAPSHOT_TEXT.replace("Uniqueid", "X").replace("Linkedid", "Uniqueid");
        for (reason, forged) in [
            (NotOpened, "Linkedid: pbx-1.1\r\n".to_owned()),
            (LineWithoutColon, "Event: Newchannel\r\nPrivilege: call,all\r\nnothing\r\n".into()),
            (SecondHeader, format!("Event: Hangup\r\n{SNAPSHOT_TEXT}")),
            (SecondHeader, "Event: Hangup\r\n".into()),
            (SecondHeader, "Event: Hangup\r\nQueue: a\r\n".into()),
            (SnapshotTorn, format!("Event: Newstate\r\nPrivilege: call,all\r\n{torn}")),
            (SnapshotTorn, format!("Event: Newstate\r\nPrivilege: call,all\r\n{swapped}")),
            (SnapshotTorn, "Event: Anything\r\nPrivilege: call,all\r\nChannelState: 4\r\n".into()),
            (SnapshotMissing, "Event: Newchannel\r\nPrivilege: call,all\r\nChannel: PJSIP/x\r\n".into()),
            (SnapshotMissing, format!("Event: DialEnd\r\nPrivilege: call,all\r\n{SNAPSHOT_TEXT}")),
            (
                Repeated,
                format!("Event: Hangup\r\nPrivilege: call,all\r\n{SNAPSHOT_TEXT}Uniqueid: pbx-1.2\r\n"),
            ),
            (Repeated, format!("Event: Hangup\r\nPrivilege: call,all\r\n{SNAPSHOT_TEXT}{SNAPSHOT_TEXT}")),
            (Repeated, "Event: Other\r\nPrivilege: call,all\r\nEvent: Hangup\r\n".into()),
        ]
        .into_iter()
        // The rest of a torn snapshot, wherever it was torn and wherever it ends up.
        .chain(rests().map(|torn| (SnapshotTorn, torn)))
        {
            assert_eq!(check(&forged), Some(reason), "{forged}");
        }
    }

    #[test]
    fn the_frame_after_a_suspect_one_is_set_aside_too() {
        let good = Frame::parse("Event: Reload\r\nPrivilege: system,all\r\n").unwrap();
        let tail = Frame::parse("Linkedid: 1\r\n").unwrap();
        let mut quarantine = Quarantine::default();
        assert_eq!(quarantine.check(&tail, false), Some(QuarantineReason::NotOpened));
        assert_eq!(quarantine.check(&good, false), Some(QuarantineReason::FollowsSuspect));
        assert_eq!(quarantine.check(&good, false), None);
    }
}
