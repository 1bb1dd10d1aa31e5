//! The table in [`super`], row by row.

use proptest::prelude::*;

use super::*;

const SEED: u64 = 0x0123_4567_89ab_cdef;

/// A session, its clock, and the PBX's side of the connection.
struct Rig {
    session: Session,
    now: Instant,
}

impl Rig {
    fn new(auth: Auth) -> Self {
        let now = Instant::now();
        let settings = SessionSettings {
            username: "toritsugi".into(),
            secret: Secret::new("secret"),
            auth,
            events: EventMask::All,
            ping: PING_INTERVAL,
            seed: SEED,
        };
        Self { session: Session::new(settings, now), now }
    }

    fn up() -> Self {
        let mut rig = Self::new(Auth::Plain);
        rig.receive("Asterisk Call Manager/11.0.0\r\n");
        rig.sent();
        rig.respond(1, "Success", "Message: Authentication accepted\r\n");
        assert!(
            matches!(rig.events()[..], [SessionEvent::LoggedIn(version)] if version.asterisk_major() == Some(22))
        );
        rig
    }

    fn receive(&mut self, text: &str) {
        self.session.handle_bytes(self.now, &mut BytesMut::from(text));
    }

    fn respond(&mut self, number: u64, response: &str, more: &str) {
        let id = ActionId::new(SEED, number);
        self.receive(&format!("Response: {response}\r\nActionID: {}\r\n{more}\r\n", id.as_str()));
    }

    fn item(&mut self, number: u64, event: &str, more: &str) {
        let id = ActionId::new(SEED, number);
        self.receive(&format!("Event: {event}\r\nActionID: {}\r\n{more}\r\n", id.as_str()));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    fn send(&mut self, action: &Action) -> ActionToken {
        self.session.send(self.now, action, Duration::from_secs(5)).unwrap()
    }

    fn sent(&mut self) -> String {
        let mut text = String::new();
        while let Some(bytes) = self.session.poll_transmit() {
            text.push_str(&String::from_utf8(bytes).unwrap());
        }
        text
    }

    fn events(&mut self) -> Vec<SessionEvent> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }
}

#[test]
fn md5_login_proves_the_secret_without_sending_it() {
    let mut rig = Rig::new(Auth::Md5);
    assert_eq!(rig.sent(), "");
    rig.receive("Asterisk Call Manager/11.0.0\r\n");
    assert!(rig.sent().starts_with("Action: Challenge\r\n"));
    rig.respond(1, "Success", "Challenge: 840415273\r\n");
    let login = rig.sent();
    assert!(
        login.contains("AuthType: MD5\r\nUsername: toritsugi\r\nKey: 81c3ab5534a432bec402f6d988ee45b4\r\n")
    );
    assert!(!login.contains("secret") && !rig.session.is_up());
    rig.respond(2, "Success", "");
    assert!(rig.session.is_up());
}

#[test]
fn a_refused_login_says_why_and_ends() {
    for (message, refusal) in [
        ("Authentication failed", LoginRefusal::BadCredentials),
        ("Permission denied", LoginRefusal::NotPermitted),
        ("Login Already In Use", LoginRefusal::InUse),
        ("Asterisk is shutting down", LoginRefusal::Other("Asterisk is shutting down".into())),
    ] {
        let mut rig = Rig::new(Auth::Plain);
        rig.receive("Asterisk Call Manager/5.0.5\r\n");
        rig.respond(1, "Error", &format!("Message: {message}\r\n"));
        let events = rig.events();
        let [SessionEvent::LoginRefused(reported), SessionEvent::Closed(CloseReason::LoginRefused)] =
            &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(*reported, refusal);
        assert_eq!(rig.session.poll_timeout(), None);
    }
}

#[test]
fn a_refusal_without_an_action_id_counts_before_the_login() {
    let mut rig = Rig::new(Auth::Plain);
    rig.receive("Asterisk Call Manager/5.0.5\r\nResponse: Error\r\nMessage: Authentication failed\r\n\r\n");
    assert!(matches!(rig.events()[0], SessionEvent::LoginRefused(LoginRefusal::BadCredentials)));
}

#[test]
fn a_login_has_a_deadline() {
    for greeting in ["", "Asterisk Call", "Asterisk Call Manager/11.0.0\r\n"] {
        let mut rig = Rig::new(Auth::Md5);
        rig.receive(greeting);
        rig.pass(LOGIN_TIMEOUT);
        assert!(matches!(rig.events()[..], [SessionEvent::Closed(CloseReason::LoginTimeout)]));
    }
}

#[test]
fn another_protocol_ends_the_session() {
    let mut rig = Rig::new(Auth::Md5);
    rig.receive("SSH-2.0-OpenSSH_9.2\r\n");
    assert!(
        matches!(&rig.events()[..], [SessionEvent::Closed(CloseReason::Protocol(why))] if why.contains("SSH"))
    );
}

#[test]
fn answers_find_their_actions() {
    let mut rig = Rig::up();
    let first = rig.send(&Action::core_status());
    let second = rig.send(&Action::hangup("pbx-1.1", None).unwrap());
    assert_eq!(rig.sent().matches("ActionID: ").count(), 2);
    rig.respond(3, "Error", "Message: No such channel\r\n");
    rig.respond(2, "Success", "CoreStartupTime: 10:00:00\r\n");
    let events = rig.events();
    let [SessionEvent::Answered(a, refused), SessionEvent::Answered(b, accepted)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((*a, *b), (second, first));
    assert!(!refused.is_accepted() && accepted.is_accepted());
    assert_eq!(refused.message().as_deref(), Some("No such channel"));
}

#[test]
fn a_response_to_nobody_is_set_aside_and_a_late_one_is_not() {
    let mut rig = Rig::up();
    let token = rig.send(&Action::core_status());
    rig.sent();
    rig.receive("Response: Success\r\nActionID: 1\r\n\r\nResponse: Success\r\n\r\n");
    rig.respond(99, "Success", "");
    let events = rig.events();
    assert_eq!(events.len(), 3);
    for event in events {
        let SessionEvent::Quarantined(set_aside) = event else { panic!("{event:?}") };
        assert_eq!(set_aside.reason, QuarantineReason::ForeignResponse);
    }
    rig.pass(Duration::from_secs(5));
    let events = rig.events();
    assert!(matches!(&events[..], [SessionEvent::Answered(t, ActionOutcome::OutcomeUnknown)] if *t == token));
    rig.respond(2, "Success", "");
    assert!(rig.events().is_empty());
}

/// Neither a success nor an error of somebody else's action ends the login.
#[test]
fn a_response_to_nobody_does_not_end_a_login() {
    for auth in [Auth::Md5, Auth::Plain] {
        let mut rig = Rig::new(auth);
        rig.receive("Asterisk Call Manager/8.0.0\r\n");
        rig.sent();
        rig.receive("Response: Success\r\nActionID: 1\r\n\r\nResponse: Error\r\nActionID: 1\r\n\r\n");
        rig.respond(99, "Success", "Challenge: 1\r\n");
        rig.receive("Response: Success\r\nMessage: Authentication accepted\r\n\r\n");
        let events = rig.events();
        assert_eq!(events.len(), 4, "{events:?}");
        assert!(events.iter().all(|event| matches!(event, SessionEvent::Quarantined(_))), "{events:?}");
        rig.receive("Response: Error\r\nMessage: Authentication failed\r\n\r\n");
        assert!(matches!(&rig.events()[..], [SessionEvent::LoginRefused(_), SessionEvent::Closed(_)]));
    }
}

#[test]
fn a_list_stays_in_its_place_in_the_stream() {
    let mut rig = Rig::up();
    let token = rig.send(&Action::queue_status());
    rig.receive("Event: Reload\r\nPrivilege: system,all\r\n\r\n");
    rig.respond(2, "Success", "EventList: start\r\n");
    let id = ActionId::new(SEED, 2);
    rig.receive(&format!(
        "Event: QueueParams\r\nQueue: sales\r\nMax: 0\r\nActionID: {}\r\n\r\n",
        id.as_str()
    ));
    rig.receive("Event: Reload\r\nPrivilege: system,all\r\nActionID: 0123456789abcdef.2\r\n\r\n");
    rig.item(2, "QueueStatusComplete", "EventList: Complete\r\nListItems: 1\r\n");
    rig.item(2, "QueueMember", "");
    let events = rig.events();
    let [
        SessionEvent::Frame(_),
        SessionEvent::ListBegin(begun),
        SessionEvent::ListItem(_, item),
        SessionEvent::Frame(_),
        SessionEvent::ListEnd(ended, ListEnd::Complete),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((*begun, *ended), (token, token));
    assert_eq!(item.get("Queue"), Some(&b"sales"[..]));
}

#[test]
fn a_refused_list_is_answered() {
    let mut rig = Rig::up();
    rig.send(&Action::core_show_channels());
    rig.respond(2, "Error", "Message: Permission denied\r\n");
    assert!(matches!(&rig.events()[..], [SessionEvent::Answered(_, outcome)] if !outcome.is_accepted()));
}

#[test]
fn a_suspect_frame_makes_the_open_list_incomplete() {
    let mut rig = Rig::up();
    rig.send(&Action::bridge_list());
    rig.respond(2, "Success", "EventList: start\r\n");
    rig.receive("no colon here\r\n\r\nEvent: Reload\r\nPrivilege: system,all\r\n\r\n");
    rig.item(2, "BridgeListComplete", "EventList: Complete\r\nListItems: 1\r\n");
    let events = rig.events();
    assert!(matches!(
        &events[..],
        [
            SessionEvent::ListBegin(_),
            SessionEvent::Quarantined(_),
            SessionEvent::Quarantined(_),
            SessionEvent::ListEnd(_, ListEnd::ItemsLost),
        ]
    ));
}

#[test]
fn lists_end_when_broken_off_or_late() {
    let mut rig = Rig::up();
    rig.send(&Action::bridge_list());
    rig.send(&Action::core_show_channels());
    rig.respond(2, "Success", "EventList: start\r\n");
    rig.respond(3, "Success", "EventList: start\r\n");
    rig.item(2, "BridgeListComplete", "EventList: cancelled\r\n");
    rig.pass(Duration::from_secs(5));
    let events = rig.events();
    assert!(matches!(events[2], SessionEvent::ListEnd(_, ListEnd::Cancelled)));
    assert!(matches!(events[3], SessionEvent::ListEnd(_, ListEnd::TimedOut)));
}

#[test]
fn when_the_connection_ends_each_action_gets_its_outcome() {
    let mut rig = Rig::up();
    let sent = rig.send(&Action::core_status());
    rig.sent();
    let unsent = rig.send(&Action::core_settings());
    rig.session.close(CloseReason::ClosedByPeer);
    let events = rig.events();
    let [SessionEvent::Answered(a, outcome_a), SessionEvent::Answered(b, outcome_b), SessionEvent::Closed(_)] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((*a, outcome_a), (sent, &ActionOutcome::OutcomeUnknown));
    assert_eq!((*b, outcome_b), (unsent, &ActionOutcome::NeverSent));
    assert_eq!(rig.session.send(rig.now, &Action::ping(), PING_INTERVAL), Err(SendError::NotUp));
    assert_eq!(rig.sent(), "");
}

#[test]
fn an_action_that_was_not_sent_in_time_never_is() {
    let mut rig = Rig::up();
    rig.send(&Action::core_status());
    rig.pass(Duration::from_secs(5));
    assert!(matches!(&rig.events()[..], [SessionEvent::Answered(_, ActionOutcome::NeverSent)]));
    assert_eq!(rig.sent(), "");
}

#[test]
fn pings_keep_a_quiet_connection_and_end_a_dead_one() {
    let mut rig = Rig::up();
    assert_eq!(rig.session.poll_timeout(), Some(rig.now + PING_INTERVAL));
    rig.pass(PING_INTERVAL);
    assert!(rig.sent().starts_with("Action: Ping\r\n"));
    rig.respond(2, "Success", "Ping: Pong\r\n");
    rig.pass(PING_INTERVAL);
    assert!(rig.sent().starts_with("Action: Ping\r\n"));
    rig.pass(PING_INTERVAL / 2);
    rig.receive("Event: Reload\r\nPrivilege: system,all\r\n\r\n");
    rig.pass(PING_INTERVAL / 2);
    assert!(rig.session.is_up(), "an event arrived while the ping was unanswered");
    rig.pass(PING_INTERVAL / 2);
    assert!(matches!(rig.events().last(), Some(SessionEvent::Closed(CloseReason::Silent))));
}

#[test]
fn actions_that_wait_are_limited() {
    let mut rig = Rig::up();
    for _ in 0..PENDING_ACTIONS_MAX {
        rig.send(&Action::core_status());
    }
    let refused = rig.session.send(rig.now, &Action::core_status(), PING_INTERVAL);
    assert_eq!(refused, Err(SendError::TooMany));
}

proptest! {
    /// For any input of a peer at any time, every action ends exactly once and the session does not panic.
    #[test]
    fn every_action_ends_once(steps in prop::collection::vec((0..8_u8, 1..12_u64, 0..4_u8), 0..80)) {
        let mut rig = Rig::up();
        let mut open = std::collections::BTreeSet::new();
        let mut ended = Vec::new();
        for (step, number, word) in steps {
            match step {
                0 | 1 => {
                    let action = if step == 0 { Action::core_status() } else { Action::bridge_list() };
                    if let Ok(token) = rig.session.send(rig.now, &action, Duration::from_secs(number)) {
                        open.insert(token);
                    }
                }
                2 => drop(rig.sent()),
                3 => rig.respond(number, "Success", ["", "EventList: start\r\n", "X\r\n", "Ping: Pong\r\n"][usize::from(word)]),
                4 => rig.item(number, "Item", ["", "EventList: Complete\r\n", "EventList: cancelled\r\n", "\r\n"][usize::from(word)]),
                5 => rig.pass(Duration::from_secs(number)),
                6 => rig.receive("Event: Reload\r\nPrivilege: system,all\r\n\r\n"),
                _ => if word == 0 && number == 1 { rig.session.close(CloseReason::ClosedByPeer) },
            }
            for event in rig.events() {
                if let SessionEvent::Answered(token, _) | SessionEvent::ListEnd(token, _) = event {
                    ended.push(token);
                }
            }
        }
        rig.session.close(CloseReason::Shutdown);
        for event in rig.events() {
            if let SessionEvent::Answered(token, _) | SessionEvent::ListEnd(token, _) = event {
                ended.push(token);
            }
        }
        ended.sort_unstable();
        prop_assert_eq!(ended, open.into_iter().collect::<Vec<_>>());
    }
}
