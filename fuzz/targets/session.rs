//! Fuzzes one session against a PBX that sends any bytes in pieces of any size, while time passes: nothing panics, the
//! session sends whole actions only, each action ends exactly once, and a closed session stays closed.

#![no_main]

use std::time::{Duration, Instant};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use toritsugi::ami::action::{Action, EventMask};
use toritsugi::ami::session::{Auth, CloseReason, Session, SessionEvent, SessionSettings};
use toritsugi::secret::Secret;

fuzz_target!(|data: &[u8]| {
    let [piece, auth, stream @ ..] = data else { return };
    let mut now = Instant::now();
    let settings = SessionSettings {
        username: "toritsugi-events".into(),
        secret: Secret::new("correct horse"),
        auth: if auth % 2 == 0 { Auth::Md5 } else { Auth::Plain },
        events: EventMask::All,
        ping: Duration::from_secs(10),
        seed: 7,
    };
    let mut session = Session::new(settings, now);
    let mut peer = Peer::default();
    let mut buffer = BytesMut::from(&b"Asterisk Call Manager/11.0.0\r\n"[..]);
    for _ in 0..3 {
        session.handle_bytes(now, &mut buffer);
        peer.drain(&mut session);
        buffer.extend_from_slice(&peer.reply(b"Response: Success\r\nActionID: @@\r\nChallenge: 42\r\n\r\n"));
    }
    for (n, piece) in stream.chunks(usize::from(*piece).max(1)).enumerate() {
        if n % 7 == 0 && session.send(now, &Action::core_show_channels(), Duration::from_secs(5)).is_ok() {
            peer.sent += 1;
        }
        if n % 5 == 0 && session.send(now, &Action::core_status(), Duration::from_secs(5)).is_ok() {
            peer.sent += 1;
        }
        peer.drain(&mut session);
        buffer.extend_from_slice(&peer.reply(piece));
        session.handle_bytes(now, &mut buffer);
        peer.drain(&mut session);
        now += Duration::from_millis(700);
        session.handle_timeout(now);
        peer.drain(&mut session);
        assert!(peer.ended <= peer.sent, "an action ended twice");
    }
    session.close(CloseReason::Shutdown);
    peer.drain(&mut session);
    assert_eq!(peer.ended, peer.sent, "an action did not end");
    assert!(session.is_closed());
});

/// The PBX's side of the connection, and the numbers of actions sent and ended.
#[derive(Default)]
struct Peer {
    last_id: Vec<u8>,
    sent: usize,
    ended: usize,
}

impl Peer {
    /// Takes the bytes and events of the session; checks that the bytes are whole actions.
    fn drain(&mut self, session: &mut Session) {
        while let Some(bytes) = session.poll_transmit() {
            assert!(bytes.ends_with(b"\r\n\r\n"));
            let text = String::from_utf8(bytes).expect("an action is text");
            let id = text.lines().find_map(|line| line.strip_prefix("ActionID: "));
            self.last_id = id.expect("each action has an id").as_bytes().to_vec();
        }
        while let Some(event) = session.poll_event() {
            match event {
                SessionEvent::Answered(..) | SessionEvent::ListEnd(..) => self.ended += 1,
                _ => {}
            }
        }
    }

    /// `bytes` with each `@@` replaced by the id of the last action.
    fn reply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.windows(2).position(|pair| pair == b"@@") {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(&self.last_id);
            rest = &rest[at + 2..];
        }
        out.extend_from_slice(rest);
        out
    }
}
