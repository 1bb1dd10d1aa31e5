//! Calls of channel drivers that no test machine has (chan_sip, analog and ISDN lines, IAX2), as manager sessions written
//! here. Each story is told for every line and every phone in the tables, because drivers differ in the states in which they
//! create a channel, and in nothing else that may matter.

use serde_json::Value;
use toritsugi::contract::event::EventKind;
use toritsugi::replay::{Replay, replay};

use super::rules;

/// Lines to the carrier: the channel's name, and the states (number, word) that it has before it is Ring.
const LINES: [(&str, &[(u8, &str)]); 7] = [
    ("PJSIP/trunk-00000001", &[]),
    ("SIP/trunk-00000001", &[(0, "Down")]),
    ("IAX2/trunk-4711", &[]),
    // Early caller id on an analog line.
    ("DAHDI/9-1", &[(8, "Pre-ring")]),
    // Overlap dialling on an ISDN line; the other party's number is part of the name.
    ("DAHDI/i1/0312345678-2", &[(1, "Rsrvd")]),
    ("DAHDI/i1/0312345678-3", &[(0, "Down"), (7, "Dialing Offhook")]),
    ("OOH323/trunk-5", &[(0, "Down")]),
];
/// Operators' phones: two of 1001 and 1002 by the same driver.
const PHONES: [(&str, &str); 4] = [
    ("PJSIP/1001-00000002", "PJSIP/1002-00000003"),
    ("SIP/1001-00000002", "SIP/1002-00000003"),
    ("IAX2/1001-4712", "IAX2/1002-4713"),
    // Endpoints that are not called like the extension.
    ("SIP/agent1001-00000002", "PJSIP/1002-web-00000003"),
];
const NUMBER: &str = "0355501001";

/// One channel; its unique id is `1.n`.
#[derive(Clone, Copy)]
struct Channel<'a> {
    name: &'a str,
    n: u32,
    linked: u32,
    /// CallerIDName, in whatever bytes.
    caller_name: &'a [u8],
}

const UP: (u8, &str) = (6, "Up");
const RING: (u8, &str) = (4, "Ring");
const RINGING: (u8, &str) = (5, "Ringing");
const DOWN: (u8, &str) = (0, "Down");

/// A manager session that is being written.
#[derive(Default)]
struct Session(Vec<u8>);

impl Session {
    fn frame(&mut self, event: &str, parts: &[&[u8]], rest: &str) -> &mut Self {
        self.0.extend_from_slice(format!("Event: {event}\r\nPrivilege: call,all\r\n").as_bytes());
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self.0.extend_from_slice(rest.as_bytes());
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn of(&mut self, event: &str, channel: Channel<'_>, state: (u8, &str), rest: &str) -> &mut Self {
        self.frame(event, &[&snapshot("", channel, state)], rest)
    }

    /// A call comes in on a line.
    fn comes_in(&mut self, caller: Channel<'_>, before: &[(u8, &str)]) -> &mut Self {
        let mut states = before.iter().copied().chain([RING]);
        let first = states.next().unwrap_or(RING);
        self.of("Newchannel", caller, first, "");
        for state in states {
            self.of("Newstate", caller, state, "");
        }
        self
    }

    /// The caller's channel dials a phone, which rings.
    fn rings(&mut self, by: Channel<'_>, to: Channel<'_>) -> &mut Self {
        self.of("Newchannel", to, DOWN, "");
        let dial = [snapshot("", by, RING), snapshot("Dest", to, DOWN)];
        self.frame("DialBegin", &[&dial[0], &dial[1]], "DialString: x\r\n").of("Newstate", to, RINGING, "")
    }

    fn dial_ends(&mut self, by: Channel<'_>, to: Channel<'_>, status: &str) -> &mut Self {
        let state = if status == "ANSWER" { UP } else { RINGING };
        let dial = [snapshot("", by, RING), snapshot("Dest", to, state)];
        self.frame("DialEnd", &[&dial[0], &dial[1]], &format!("DialStatus: {status}\r\n"))
    }

    fn picks_up(&mut self, by: Channel<'_>, to: Channel<'_>) -> &mut Self {
        self.of("Newstate", to, UP, "").dial_ends(by, to, "ANSWER")
    }

    fn enters(&mut self, channel: Channel<'_>) -> &mut Self {
        self.frame("BridgeEnter", &[BRIDGE.as_bytes(), &snapshot("", channel, UP)], "")
    }

    fn leaves(&mut self, channel: Channel<'_>) -> &mut Self {
        self.frame("BridgeLeave", &[BRIDGE.as_bytes(), &snapshot("", channel, UP)], "")
    }

    /// The far end of the channel hangs up, and the channel ends.
    fn hangs_up(&mut self, channel: Channel<'_>) -> &mut Self {
        self.of("HangupRequest", channel, UP, "Cause: 16\r\n").ends(channel, 16)
    }

    /// The PBX ends the channel.
    fn is_ended(&mut self, channel: Channel<'_>, cause: u8) -> &mut Self {
        self.of("SoftHangupRequest", channel, UP, "Cause: 16\r\n").ends(channel, cause)
    }

    fn ends(&mut self, channel: Channel<'_>, cause: u8) -> &mut Self {
        self.of("Hangup", channel, UP, &format!("Cause: {cause}\r\nCause-txt: x\r\n"))
    }

    fn replay(&self) -> Replay {
        let mut rules = rules();
        rules.trunks.extend(["DAHDI/9".into(), "DAHDI/i1".into()]);
        let replay = replay(&self.0, rules).unwrap();
        let counts = replay.counts;
        assert_eq!((counts.quarantined, counts.incomplete), (0, 0), "the session is written wrong");
        replay
    }

    /// What was published, in short words.
    fn told(&self) -> Vec<String> {
        self.replay().published.iter().map(|(_, event)| told(event.kind, &event.data)).collect()
    }
}

fn told(kind: EventKind, data: &Value) -> String {
    let text = |key: &str| data[key].as_str().unwrap_or_default();
    match kind {
        EventKind::CallOffered => "offered".to_owned(),
        EventKind::CallPresented => format!("presented {}", text("operator")),
        EventKind::CallRescinded => format!("rescinded {} {}", text("operator"), text("reason")),
        EventKind::CallAnswered => format!("answered {}", text("operator")),
        EventKind::CallUpdated => format!("is {}", text("state")),
        EventKind::CallEnded => format!("ended {}", text("outcome")),
        other => other.as_str().to_owned(),
    }
}

const BRIDGE: &str = "BridgeUniqueid: b-1\r\nBridgeType: basic\r\nBridgeTechnology: simple_bridge\r\n\
    BridgeCreator: <unknown>\r\nBridgeName: <unknown>\r\nBridgeNumChannels: 1\r\nBridgeVideoSourceMode: none\r\n";

/// The headers that describe a channel, each name with `prefix`.
fn snapshot(prefix: &str, channel: Channel<'_>, (state, word): (u8, &str)) -> Vec<u8> {
    let Channel { name, n, linked, caller_name } = channel;
    let mut text = Vec::new();
    let mut add = |key: &str, value: &[u8]| {
        text.extend_from_slice(format!("{prefix}{key}: ").as_bytes());
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    };
    add("Channel", name.as_bytes());
    add("ChannelState", state.to_string().as_bytes());
    add("ChannelStateDesc", word.as_bytes());
    add("CallerIDNum", b"09012345678");
    add("CallerIDName", caller_name);
    add("ConnectedLineNum", b"<unknown>");
    add("ConnectedLineName", b"<unknown>");
    add("Language", b"ja");
    add("AccountCode", b"");
    add("Context", b"from-pstn");
    add("Exten", NUMBER.as_bytes());
    add("Priority", b"1");
    add("Uniqueid", format!("1.{n}").as_bytes());
    add("Linkedid", format!("1.{linked}").as_bytes());
    text
}

fn channel(name: &str, n: u32) -> Channel<'_> {
    Channel { name, n, linked: 1, caller_name: b"<unknown>" }
}

/// Plays `story` for every line and pair of phones, and compares what was published.
fn each(expected: &[&str], story: impl Fn(&mut Session, Channel<'_>, Channel<'_>, Channel<'_>)) {
    for (line, before) in LINES {
        for (one, two) in PHONES {
            let (caller, sato, suzuki) = (channel(line, 1), channel(one, 2), channel(two, 3));
            let mut session = Session::default();
            story(session.comes_in(caller, before), caller, sato, suzuki);
            assert_eq!(session.told(), expected, "on {line}, at {one} and {two}");
            let replay = session.replay();
            assert_eq!((replay.unreported_rings, replay.outbound.len()), (0, 0), "on {line}, at {one}");
            assert_eq!((replay.remaining.legs, replay.remaining.calls), (0, 0), "on {line}, at {one}");
        }
    }
}

#[test]
fn a_call_pops_is_answered_and_ends() {
    each(&["offered", "presented 1001", "answered 1001", "ended answered"], |session, caller, sato, _| {
        session.rings(caller, sato).picks_up(caller, sato).enters(caller).enters(sato);
        session.hangs_up(caller).is_ended(sato, 16);
    });
}

#[test]
fn the_pbx_gives_up_where_nobody_takes_the_call() {
    let overflowed = [
        "offered",
        "presented 1001",
        "presented 1002",
        "rescinded 1001 no_answer",
        "rescinded 1002 no_answer",
        "ended overflowed",
    ];
    each(&overflowed, |session, caller, sato, suzuki| {
        session.rings(caller, sato).rings(caller, suzuki);
        for phone in [sato, suzuki] {
            session.dial_ends(caller, phone, "NOANSWER").ends(phone, 19);
        }
        session.is_ended(caller, 19);
    });
    let blocked = [
        "offered",
        "presented 1001",
        "presented 1002",
        "rescinded 1001 busy",
        "rescinded 1002 busy",
        "ended blocked",
    ];
    each(&blocked, |session, caller, sato, suzuki| {
        session.rings(caller, sato).rings(caller, suzuki);
        for (phone, cause) in [(sato, 17), (suzuki, 21)] {
            session.dial_ends(caller, phone, "BUSY").ends(phone, cause);
        }
        session.is_ended(caller, 19);
    });
    each(
        &["offered", "presented 1001", "rescinded 1001 busy", "ended blocked"],
        |session, caller, sato, _| {
            session.rings(caller, sato).dial_ends(caller, sato, "BUSY").ends(sato, 17).is_ended(caller, 17);
        },
    );
    // Only a caller who hangs up abandons.
    let abandoned = ["offered", "presented 1001", "rescinded 1001 caller_gone", "ended abandoned"];
    each(&abandoned, |session, caller, sato, _| {
        session.rings(caller, sato).of("HangupRequest", caller, RING, "Cause: 16\r\n");
        session.dial_ends(caller, sato, "CANCEL").ends(sato, 0).ends(caller, 16);
    });
}

/// A queue reports its own end as abandoned, too.
#[test]
fn a_queue_that_times_out_is_no_caller_who_gives_up() {
    let expected =
        ["offered", "call.queued", "presented 1001", "rescinded 1001 no_answer", "ended overflowed"];
    each(&expected, |session, caller, sato, _| {
        session.of("QueueCallerJoin", caller, RING, "Queue: 受付 1\r\nPosition: 1\r\nCount: 1\r\n");
        session.rings(caller, sato).dial_ends(caller, sato, "NOANSWER").ends(sato, 0);
        let abandons = "Queue: 受付 1\r\nPosition: 1\r\nOriginalPosition: 1\r\nHoldTime: 30\r\n";
        session.of("QueueCallerAbandon", caller, RING, abandons);
        session.of("QueueCallerLeave", caller, RING, "Queue: 受付 1\r\nPosition: 1\r\nCount: 0\r\n");
        session.is_ended(caller, 16);
    });
}

/// The called phone must press a key, and a mailbox answered.
#[test]
fn a_key_that_nobody_presses_is_no_answer() {
    let expected = ["offered", "presented 1001", "rescinded 1001 no_answer", "ended overflowed"];
    each(&expected, |session, caller, sato, _| {
        session.rings(caller, sato).of("Newstate", sato, UP, "").dial_ends(caller, sato, "GOTO");
        session.is_ended(sato, 16).is_ended(caller, 16);
    });
}

#[test]
fn a_caller_whom_a_phone_passed_on_is_with_nobody_and_was_answered() {
    let expected = ["offered", "presented 1001", "answered 1001", "is transferred", "ended answered"];
    each(&expected, |session, caller, sato, _| {
        session.rings(caller, sato).picks_up(caller, sato).enters(caller).enters(sato);
        let parties = [snapshot("Transferer", sato, UP), snapshot("Transferee", caller, UP)];
        let rest = format!("{BRIDGE}IsExternal: Yes\r\nContext: from-internal\r\nExtension: 1009\r\n");
        session.frame("BlindTransfer", &[b"Result: Success\r\n", &parties[0], &parties[1]], &rest);
        session.leaves(sato).leaves(caller).ends(sato, 16);
        // The target cannot be reached.
        session.is_ended(caller, 20);
    });
}

/// One person's phone and browser ring together: one pop, which no device's end takes away while the other rings.
#[test]
fn two_devices_of_one_operator_make_one_pop() {
    for (line, before) in LINES {
        for (desk, browser) in
            [("SIP/1001-00000002", "PJSIP/1001-web-00000003"), ("IAX2/1001-5", "SIP/991001-6")]
        {
            let (caller, desk, browser) = (channel(line, 1), channel(desk, 2), channel(browser, 3));
            let mut session = Session::default();
            session.comes_in(caller, before).rings(caller, desk).rings(caller, browser);
            session.dial_ends(caller, desk, "BUSY").ends(desk, 17);
            session.picks_up(caller, browser).enters(caller).enters(browser);
            session.hangs_up(caller).is_ended(browser, 16);
            let expected = ["offered", "presented 1001", "answered 1001", "ended answered"];
            assert_eq!(session.told(), expected, "on {line}");
        }
    }
}

/// Asterisk 16 and chan_sip pass a name's bytes as the network sent them.
#[test]
fn a_name_in_another_code_page_is_no_name() {
    // 株式会社 in Shift_JIS and in EUC-JP.
    for name in [b"\x8a\x94\x8e\xae\x89\xef\x8e\xd0", b"\xb3\xf4\xbc\xb0\xb2\xf1\xbc\xd2"] {
        let caller = Channel { caller_name: name, ..channel("SIP/trunk-00000001", 1) };
        let mut session = Session::default();
        // The route shows the number, as an existing PBX does.
        session.comes_in(caller, &[DOWN]).of(
            "NewCallerid",
            caller,
            RING,
            "CID-CallingPres: 0 (Presentation Allowed, Not Screened)\r\n",
        );
        session.rings(caller, channel("SIP/1001-00000002", 2)).hangs_up(caller);
        let replay = session.replay();
        let (_, identity) = &replay.lookups[0];
        assert_eq!(identity.caller.number(), Some("09012345678"), "{identity:?}");
        assert_eq!(identity.caller.display(), None, "{identity:?}");
    }
}

/// Calls that nobody made from outside stay silent, on every driver.
#[test]
fn calls_to_the_outside_are_recorded_and_silent() {
    for (line, before) in LINES {
        for (one, _) in PHONES {
            // A program calls the line, then the operator.
            let (line_up, sato) = (channel(line, 1), channel(one, 2));
            let mut session = Session::default();
            session.of("Newchannel", line_up, DOWN, "");
            session.frame("DialBegin", &[&snapshot("Dest", line_up, DOWN)], "DialString: 09011112222\r\n");
            for state in before.iter().copied().chain([RINGING, UP]) {
                session.of("Newstate", line_up, state, "");
            }
            session.rings(line_up, sato).picks_up(line_up, sato).enters(line_up).enters(sato);
            session.hangs_up(line_up).is_ended(sato, 16);
            let replay = session.replay();
            assert!(replay.published.is_empty() && replay.unreported_rings == 0, "{line}, {one}: {replay:?}");
            assert_eq!(replay.outbound.len(), 1, "{line}, {one}");

            // The operator calls out.
            let (sato, line_up) = (channel(one, 1), channel(line, 2));
            let mut session = Session::default();
            session.of("Newchannel", sato, DOWN, "").of("Newstate", sato, RING, "");
            session.rings(sato, line_up).picks_up(sato, line_up).enters(sato).enters(line_up);
            session.hangs_up(sato).is_ended(line_up, 16);
            let replay = session.replay();
            assert!(replay.published.is_empty() && replay.unreported_rings == 0, "{line}, {one}: {replay:?}");
            assert_eq!(replay.outbound.len(), 1, "{line}, {one}");
        }
    }
}
