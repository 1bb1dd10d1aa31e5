//! The client's promises, each against a PBX that does what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use toritsugi::ami::action::Action;
use toritsugi::ami::client::{
    AMI_BACKLOG_BYTES_MAX, ClientEvent, Events, Handle, ListError, ListKind, ListResult, SessionRole, connect,
};
use toritsugi::ami::session::{ActionOutcome, CloseReason, ListEnd, LoginRefusal};
use toritsugi::secret::Secret;

use crate::peer::{Peer, Reply};

/// A client of a peer, its stream read one event at a time.
struct Rig {
    peer: Peer,
    handle: Handle,
    events: Events,
    waiting: std::vec::IntoIter<ClientEvent>,
    shutdown: CancellationToken,
}

impl Rig {
    async fn on(peer: Peer) -> Self {
        let shutdown = CancellationToken::new();
        let (handle, events) = connect(peer.settings(), shutdown.clone());
        Self { peer, handle, events, waiting: Vec::new().into_iter(), shutdown }
    }

    /// Connected, both sessions logged in, the first lists taken.
    async fn up() -> Self {
        let mut rig = Self::on(Peer::start().await).await;
        rig.peer.wait_for(1, 1).await;
        let before = rig.until(|event| matches!(event, ClientEvent::ListsTaken { complete: true })).await;
        if !before.iter().any(|event| matches!(event, ClientEvent::ActionsUp)) {
            rig.until(|event| matches!(event, ClientEvent::ActionsUp)).await;
        }
        rig
    }

    async fn next(&mut self) -> ClientEvent {
        loop {
            if let Some(event) = self.waiting.next() {
                return event;
            }
            self.waiting = self.events.next_batch().await.unwrap().into_iter();
        }
    }

    /// Everything up to and including the first event that `is` accepts.
    async fn until(&mut self, is: impl Fn(&ClientEvent) -> bool) -> Vec<ClientEvent> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().await;
            let done = is(&event);
            seen.push(event);
            if done {
                return seen;
            }
        }
    }
}

fn reload(number: usize) -> String {
    format!("Event: Reload\nPrivilege: system,all\nNumber: {number}")
}

#[tokio::test]
async fn a_login_brings_epoch_start_lists_and_live_events_in_order() {
    let peer = Peer::start().await;
    peer.set_started("2026-03-01", "08:15:00");
    peer.set_list(
        "QueueStatus",
        &[("QueueParams", "Queue: sales\n"), ("QueueMember", "Queue: sales\nName: 1001\n")],
    );
    peer.set_reply("DeviceStateList", Reply::Error("Permission denied".into()));
    let mut rig = Rig::on(peer).await;
    let seen = rig.until(|event| matches!(event, ClientEvent::ListsTaken { .. })).await;
    let seen: Vec<_> = seen.iter().filter(|event| !matches!(event, ClientEvent::ActionsUp)).collect();
    let [ClientEvent::Up { epoch: 1, version }, ClientEvent::Started { at: Some(at) }, rest @ ..] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!((version.asterisk_major(), at.as_str()), (Some(22), "2026-03-01 08:15:00"));
    let [
        ClientEvent::ListBegin(ListKind::Channels),
        ClientEvent::ListEnd(ListKind::Channels, ListResult::Complete),
        ClientEvent::ListBegin(ListKind::Bridges),
        ClientEvent::ListEnd(ListKind::Bridges, ListResult::Complete),
        ClientEvent::ListBegin(ListKind::Queues),
        ClientEvent::ListItem(ListKind::Queues, _),
        ClientEvent::ListItem(ListKind::Queues, member),
        ClientEvent::ListEnd(ListKind::Queues, ListResult::Complete),
        ClientEvent::ListEnd(ListKind::Devices, ListResult::Refused(why)),
        ClientEvent::ListsTaken { complete: true },
    ] = rest
    else {
        panic!("{rest:?}");
    };
    assert_eq!((member.get("Name"), why.as_str()), (Some(&b"1001"[..]), "Permission denied"));
    rig.peer.emit(&reload(7));
    let seen = rig.until(|event| matches!(event, ClientEvent::Frame(_))).await;
    assert!(matches!(seen.last(), Some(ClientEvent::Frame(frame)) if frame.get("Number") == Some(b"7")));
}

#[tokio::test]
async fn orders_go_out_and_come_back() {
    let mut rig = Rig::up().await;
    let accepted = rig.handle.send(Action::hangup("pbx-1.1", Some(16)).unwrap()).await;
    assert!(accepted.is_accepted());
    let asked = rig.peer.next_order().await;
    assert_eq!(
        (asked.name.as_str(), asked.get("Channel"), asked.get("Cause")),
        ("Hangup", Some("pbx-1.1"), Some("16"))
    );
    rig.peer.set_reply("Hangup", Reply::Error("No such channel".into()));
    let refused = rig.handle.send(Action::hangup("pbx-1.1", None).unwrap()).await;
    assert_eq!((refused.is_accepted(), refused.message().as_deref()), (false, Some("No such channel")));
    let longest = Action::setvar("pbx-1.1", "TORITSUGI_A", &"x".repeat(1_015)).unwrap();
    assert!(rig.handle.send(longest).await.is_accepted());
}

#[tokio::test]
async fn an_order_whose_link_ends_has_an_unknown_fate_and_the_next_is_never_sent() {
    let mut rig = Rig::up().await;
    rig.peer.set_reply("Hangup", Reply::HangUp);
    let order = || Action::hangup("pbx-1.1", None).unwrap();
    rig.peer.refuse_logins(Some("Asterisk is shutting down"));
    assert_eq!(rig.handle.send(order()).await, ActionOutcome::SentFateUnknown);
    rig.until(|event| matches!(event, ClientEvent::LoginRefused { session: SessionRole::Actions, .. })).await;
    assert_eq!(rig.handle.send(order()).await, ActionOutcome::NeverSent);
    rig.peer.refuse_logins(None);
    rig.until(|event| matches!(event, ClientEvent::ActionsUp)).await;
    rig.peer.set_reply("Hangup", Reply::Success(String::new()));
    assert!(rig.handle.send(order()).await.is_accepted());
}

#[tokio::test]
async fn lists_can_be_taken_aside() {
    let rig = Rig::up().await;
    rig.peer.set_list("ShowDialPlan", &[("ListDialplan", "Context: a\nExtension: 1\n")]);
    let frames = rig.handle.list(Action::show_dialplan("a").unwrap()).await.unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].get("Extension"), Some(&b"1"[..]));
    rig.peer.set_reply("ShowDialPlan", Reply::Error("Did not find context a".into()));
    let refused = rig.handle.list(Action::show_dialplan("a").unwrap()).await;
    assert_eq!(refused, Err(ListError::Refused("Did not find context a".into())));
    rig.peer.set_reply("ShowDialPlan", Reply::HangUp);
    let lost = rig.handle.list(Action::show_dialplan("a").unwrap()).await;
    assert!(matches!(lost, Err(ListError::Incomplete(_))), "{lost:?}");
}

#[tokio::test]
async fn a_lost_link_comes_back_as_a_new_epoch_with_its_lists() {
    let mut rig = Rig::up().await;
    for epoch in 2..6 {
        rig.peer.emit(&reload(1));
        rig.peer.cut("Event: Newchannel\r\nPrivilege: call,all\r\nChannel: PJSIP/tru");
        let seen = rig.until(|event| matches!(event, ClientEvent::ListsTaken { .. })).await;
        let down = seen.iter().position(|event| {
            matches!(event, ClientEvent::Down { epoch: ended, reason: CloseReason::ClosedByPeer } if *ended == epoch - 1)
        });
        let up = seen
            .iter()
            .position(|event| matches!(event, ClientEvent::Up { epoch: new, .. } if *new == epoch));
        assert!(down.is_some() && down < up, "{seen:?}");
        let frames = seen.iter().filter(|event| matches!(event, ClientEvent::Frame(_))).count();
        assert_eq!(frames, 1, "the whole event, not the half one: {seen:?}");
    }
}

#[tokio::test]
async fn a_refused_login_is_told_and_tried_again() {
    let peer = Peer::start().await;
    let mut settings = peer.settings();
    settings.events.secret = Secret::new("wrong");
    let shutdown = CancellationToken::new();
    let (handle, events) = connect(settings, shutdown.clone());
    let mut rig = Rig { peer, handle, events, waiting: Vec::new().into_iter(), shutdown };
    for _ in 0..3 {
        let seen = rig.until(|event| matches!(event, ClientEvent::LoginRefused { .. })).await;
        let Some(ClientEvent::LoginRefused { session, refusal, .. }) = seen.last() else { unreachable!() };
        assert_eq!((*session, refusal), (SessionRole::Events, &LoginRefusal::BadCredentials));
    }
}

#[tokio::test]
async fn nobody_at_the_port_is_told_and_tried_again() {
    let peer = Peer::start().await;
    let settings = peer.settings();
    drop(peer);
    let (_handle, mut events) = connect(settings, CancellationToken::new());
    let mut unreachable = 0;
    while unreachable < 4 {
        for event in events.next_batch().await.unwrap() {
            assert!(
                matches!(event, ClientEvent::Unreachable { reason: CloseReason::Io(_), .. }),
                "{event:?}"
            );
            unreachable += 1;
        }
    }
}

/// A way to a peer that closes connections before they can log in: the first ones, and later those that want to log in
/// as this user.
async fn door(
    peer: &Peer,
    closed_to_first: usize,
    closed_to: Option<&'static str>,
) -> (u16, Arc<AtomicUsize>) {
    let door = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (port, behind) = (door.local_addr().unwrap().port(), peer.port());
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    tokio::spawn(async move {
        loop {
            let (mut inside, _) = door.accept().await.unwrap();
            if counted.fetch_add(1, Ordering::SeqCst) < closed_to_first {
                continue;
            }
            let mut outside = tokio::net::TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = inside.split();
                let (mut from_peer, mut to_peer) = outside.split();
                let up = async {
                    let mut chunk = [0; 4_096];
                    while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
                        let said = String::from_utf8_lossy(&chunk[..read]).into_owned();
                        if closed_to.is_some_and(|user| said.contains(user)) {
                            return;
                        }
                        to_peer.write_all(&chunk[..read]).await.unwrap();
                    }
                };
                tokio::select! {
                    () = up => {}
                    _ = tokio::io::copy(&mut from_peer, &mut to_client) => {}
                }
            });
        }
    });
    (port, came)
}

/// Whoever waits for a pause to be over waits longer than any test.
const NEVER: Duration = Duration::from_secs(7_200);

#[tokio::test]
async fn a_login_of_one_session_ends_the_wait_of_the_other_that_found_nobody() {
    let mut peer = Peer::start().await;
    let mut settings = peer.settings();
    (settings.port, _) = door(&peer, 1, None).await;
    (settings.schedule.first, settings.schedule.max) = (NEVER, NEVER);
    let (_handle, _events) = connect(settings, CancellationToken::new());
    let both = tokio::time::timeout(Duration::from_secs(60), peer.wait_for(1, 1)).await;
    both.expect("the session that found nobody tries again");
}

#[tokio::test]
async fn a_pbx_that_lets_in_only_one_of_the_two_is_not_tried_in_a_circle() {
    let peer = Peer::start().await;
    let mut settings = peer.settings();
    let (port, came) = door(&peer, 0, Some("Username: toritsugi-actions")).await;
    settings.port = port;
    (settings.schedule.first, settings.schedule.max) = (NEVER, NEVER);
    let shutdown = CancellationToken::new();
    let (handle, events) = connect(settings, shutdown.clone());
    let mut rig = Rig { peer, handle, events, waiting: Vec::new().into_iter(), shutdown };
    rig.until(|event| matches!(event, ClientEvent::Up { .. })).await;
    // Time enough to come again and again.
    for _ in 0..200 {
        assert!(rig.handle.ask(Action::core_settings()).await.is_accepted());
    }
    let came = came.load(Ordering::SeqCst);
    assert!(came <= 3, "once for events, twice at most for orders: {came}");
}

#[tokio::test]
async fn a_torn_frame_is_told_with_the_one_after_it_and_spoils_nothing_else() {
    let mut rig = Rig::up().await;
    rig.peer.emit_bytes("Event: Newstate\r\nPrivilege: call,all\r\nChannel: a\r\n\r\n");
    rig.peer.emit("Event: Hangup\nPrivilege: call,all\nChannel: b");
    rig.peer.emit(&reload(1));
    rig.peer.emit(&reload(2));
    let seen = rig.until(|event| matches!(event, ClientEvent::Frame(_))).await;
    assert_eq!(seen.iter().filter(|event| matches!(event, ClientEvent::Quarantined(_))).count(), 3);
    assert!(matches!(seen.last(), Some(ClientEvent::Frame(frame)) if frame.get("Number") == Some(b"2")));
    rig.handle.resync();
    let seen = rig.until(|event| matches!(event, ClientEvent::ListsTaken { .. })).await;
    assert!(matches!(seen.last(), Some(ClientEvent::ListsTaken { complete: true })));
}

#[tokio::test]
async fn resyncs_asked_for_together_are_one_more() {
    let mut rig = Rig::up().await;
    for _ in 0..10 {
        rig.handle.resync();
    }
    rig.until(|event| matches!(event, ClientEvent::ListsTaken { .. })).await;
    rig.until(|event| matches!(event, ClientEvent::ListsTaken { .. })).await;
    // All ten were asked for before the first list could come back: the link took them in one go.
    rig.peer.emit(&reload(1));
    let seen = rig.until(|event| matches!(event, ClientEvent::Frame(_))).await;
    assert!(!seen.iter().any(|event| matches!(event, ClientEvent::ListBegin(_))), "{seen:?}");
}

#[tokio::test]
async fn a_slow_consumer_loses_events_and_is_told_while_the_pbx_is_read_on() {
    let mut rig = Rig::up().await;
    let padding = "x".repeat(4_000);
    let total = 3 * AMI_BACKLOG_BYTES_MAX / padding.len();
    let stream: String = (0..total)
        .map(|n| {
            format!("Event: Reload\r\nPrivilege: system,all\r\nNumber: {n}\r\nPadding: {padding}\r\n\r\n")
        })
        .collect();
    rig.peer.emit_bytes(stream);
    // The answer to this comes behind all those events: once it is here, they have all been read.
    assert!(rig.handle.ask(Action::core_settings()).await.is_accepted());
    rig.peer.emit(&reload(total));
    let mut numbers = Vec::new();
    let mut dropped = 0;
    loop {
        match rig.next().await {
            ClientEvent::Frame(frame) => {
                numbers.push(frame.text("Number").unwrap().parse::<usize>().unwrap())
            }
            ClientEvent::Overrun { dropped: here } => {
                dropped += here;
                if numbers.last() != Some(&total) {
                    continue;
                }
            }
            other => panic!("{other:?}"),
        }
        if numbers.last() == Some(&total) {
            break;
        }
    }
    assert!(dropped > 0 && numbers.is_sorted());
    assert_eq!(u64::try_from(numbers.len()).unwrap() + dropped, u64::try_from(total + 1).unwrap());
}

#[tokio::test]
async fn a_list_that_breaks_off_is_incomplete() {
    let mut rig = Rig::up().await;
    rig.peer.set_reply("BridgeList", Reply::HangUp);
    rig.handle.resync();
    let seen = rig.until(|event| matches!(event, ClientEvent::ListsTaken { .. })).await;
    let lost = ListResult::Incomplete(ListEnd::LinkLost);
    assert!(
        seen.iter()
            .any(|event| matches!(event, ClientEvent::ListEnd(ListKind::Bridges, end) if *end == lost))
    );
    assert!(matches!(seen.last(), Some(ClientEvent::ListsTaken { complete: false })));
    rig.peer.set_reply("BridgeList", Reply::Error("no".into()));
    rig.until(|event| matches!(event, ClientEvent::Up { epoch: 2, .. })).await;
}

#[tokio::test]
async fn tls_works_with_the_pbxs_own_certificate_and_with_no_other() {
    let mut rig = Rig::on(Peer::start_tls().await).await;
    rig.until(|event| matches!(event, ClientEvent::ListsTaken { complete: true })).await;
    rig.peer.wait_for(1, 1).await;
    let many: Vec<_> = (0..30).map(|_| ("TORITSUGI_A", "0123456789012345678901234567890123456789")).collect();
    let contexts = toritsugi::ami::action::Contexts::allow(["a"]).unwrap();
    let order = Action::originate(&toritsugi::ami::action::Originate {
        channel: "PJSIP/2001",
        place: &contexts.place("a", "1").unwrap(),
        id: &toritsugi::ids::ChannelId::parse("t-1").unwrap(),
        other_id: None,
        caller_id: None,
        ring_ms: 1,
        variables: &many,
    });
    assert!(rig.handle.send(order.unwrap()).await.is_accepted());
    assert_eq!(rig.peer.next_order().await.headers.iter().filter(|(key, _)| key == "Variable").count(), 30);

    let other = Peer::start_tls().await;
    let mut settings = rig.peer.settings();
    settings.port = other.port();
    let (_handle, mut events) = connect(settings, CancellationToken::new());
    let told = events.next_batch().await.unwrap();
    assert!(
        matches!(&told[0], ClientEvent::Unreachable { reason: CloseReason::Io(why), .. } if why.contains("cert")),
        "{told:?}"
    );
}

#[tokio::test]
async fn another_protocol_at_the_port_is_named() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let peer = Peer::start().await;
    let mut settings = peer.settings();
    settings.port = listener.local_addr().unwrap().port();
    let greet = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        }
    };
    let (_handle, mut events) = connect(settings, CancellationToken::new());
    let told = tokio::select! {
        () = greet => unreachable!(),
        told = events.next_batch() => told.unwrap(),
    };
    assert!(
        matches!(&told[0], ClientEvent::Unreachable { reason: CloseReason::Protocol(why), .. } if why.contains("SSH"))
    );
}

#[tokio::test]
async fn a_pbx_that_falls_silent_is_left() {
    let peer = Peer::start().await;
    peer.set_reply("Ping", Reply::Silence);
    let mut settings = peer.settings();
    settings.ping = Duration::from_millis(20);
    let shutdown = CancellationToken::new();
    let (handle, events) = connect(settings, shutdown.clone());
    let mut rig = Rig { peer, handle, events, waiting: Vec::new().into_iter(), shutdown };
    let seen = rig.until(|event| matches!(event, ClientEvent::Down { .. })).await;
    assert!(matches!(seen.last(), Some(ClientEvent::Down { reason: CloseReason::Silent, .. })));
}

#[tokio::test]
async fn shutdown_says_goodbye_and_ends_the_stream() {
    let mut rig = Rig::up().await;
    rig.shutdown.cancel();
    assert_eq!(rig.peer.next_order().await.name, "Logoff");
    assert_eq!(rig.peer.next_order().await.name, "Logoff");
    rig.handle.closed().await;
    while let Some(batch) = rig.events.next_batch().await {
        assert!(batch.iter().all(|event| {
            matches!(
                event,
                ClientEvent::Down { .. } | ClientEvent::ActionsDown { .. } | ClientEvent::ActionsUp
            )
        }));
    }
    assert_eq!(rig.handle.send(Action::ping()).await, ActionOutcome::NeverSent);
}
