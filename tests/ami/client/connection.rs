//! Connections: lost, refused, silent, over TLS, and closed.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use toritsugi::ami::action::Action;
use toritsugi::ami::client::{ClientEvent, SessionRole, connect};
use toritsugi::ami::session::{ActionOutcome, CloseReason, LoginRefusal};
use toritsugi::secret::Secret;

use super::{Rig, reload};
use crate::support::fake_pbx::{FakePbx, Reply};
use crate::support::wait::TEST_TIMEOUT;

#[tokio::test]
async fn a_lost_link_comes_back_as_a_new_epoch_with_its_lists() {
    let mut rig = Rig::up().await;
    for epoch in 2..6 {
        rig.peer.emit(&reload(1));
        rig.peer.cut("Event: Newchannel\r\nPrivilege: call,all\r\nChannel: PJSIP/tru");
        let seen = rig.until(|event| matches!(event, ClientEvent::ResyncEnded { .. })).await;
        let down = seen.iter().position(|event| {
            matches!(event, ClientEvent::Down { epoch: ended, reason: CloseReason::ClosedByPeer } if *ended == epoch - 1)
        });
        let up = seen
            .iter()
            .position(|event| matches!(event, ClientEvent::Up { epoch: new, .. } if *new == epoch));
        assert!(down.is_some() && down < up, "{seen:?}");
        let frames = seen.iter().filter(|event| matches!(event, ClientEvent::Pbx(_))).count();
        assert_eq!(frames, 1, "the whole event, not the half one: {seen:?}");
    }
}

#[tokio::test]
async fn a_refused_login_is_reported_and_retried() {
    let peer = FakePbx::start().await;
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
async fn a_closed_port_is_reported_and_retried() {
    let peer = FakePbx::start().await;
    let settings = peer.settings();
    drop(peer);
    let (_handle, mut events) = connect(settings, CancellationToken::new());
    let mut unreachable = 0;
    while unreachable < 4 {
        for event in events.next_frames().await.unwrap() {
            assert!(
                matches!(event, ClientEvent::Unreachable { reason: CloseReason::Io(_), .. }),
                "{event:?}"
            );
            unreachable += 1;
        }
    }
}

/// A relay to a fake PBX that closes connections before they log in: the first ones, and later those that log in as this
/// user.
async fn door(
    peer: &FakePbx,
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

/// Nothing may wait for a reconnect delay: it is longer than any test.
const NEVER: Duration = Duration::from_secs(7_200);

#[tokio::test]
async fn a_login_of_one_session_ends_the_wait_of_the_other_that_found_nobody() {
    let mut peer = FakePbx::start().await;
    let mut settings = peer.settings();
    (settings.port, _) = door(&peer, 1, None).await;
    (settings.schedule.first, settings.schedule.max) = (NEVER, NEVER);
    let (_handle, _events) = connect(settings, CancellationToken::new());
    let both = tokio::time::timeout(TEST_TIMEOUT, peer.wait_for(1, 1)).await;
    both.expect("the session that was refused reconnects");
}

#[tokio::test]
async fn a_pbx_that_lets_in_only_one_of_the_two_is_not_tried_in_a_circle() {
    let peer = FakePbx::start().await;
    let mut settings = peer.settings();
    let (port, came) = door(&peer, 0, Some("Username: toritsugi-actions")).await;
    settings.port = port;
    (settings.schedule.first, settings.schedule.max) = (NEVER, NEVER);
    let shutdown = CancellationToken::new();
    let (handle, events) = connect(settings, shutdown.clone());
    let mut rig = Rig { peer, handle, events, waiting: Vec::new().into_iter(), shutdown };
    rig.until(|event| matches!(event, ClientEvent::Up { .. })).await;
    // Long enough for several reconnects.
    for _ in 0..200 {
        assert!(rig.handle.ask(Action::core_settings()).await.is_accepted());
    }
    let came = came.load(Ordering::SeqCst);
    assert!(came <= 3, "once for events, twice at most for actions: {came}");
}

#[tokio::test]
async fn tls_works_with_the_pbxs_own_certificate_and_with_no_other() {
    let mut rig = Rig::on(FakePbx::start_tls().await).await;
    rig.until(|event| matches!(event, ClientEvent::ResyncEnded { complete: true })).await;
    rig.peer.wait_for(1, 1).await;
    let many: Vec<_> = (0..30).map(|_| ("TORITSUGI_A", "0123456789012345678901234567890123456789")).collect();
    let contexts = toritsugi::ami::action::AllowedContexts::allow(["a"]).unwrap();
    let order = Action::originate(&toritsugi::ami::action::Originate {
        channel: "PJSIP/2001",
        location: &contexts.location("a", "1").unwrap(),
        id: &toritsugi::ids::ChannelId::parse("t-1").unwrap(),
        other_id: None,
        caller_id: None,
        ring_ms: 1,
        variables: &many,
    });
    assert!(rig.handle.send(order.unwrap()).await.is_accepted());
    assert_eq!(rig.peer.next_action().await.headers.iter().filter(|(key, _)| key == "Variable").count(), 30);

    let other = FakePbx::start_tls().await;
    let mut settings = rig.peer.settings();
    settings.port = other.port();
    let (_handle, mut events) = connect(settings, CancellationToken::new());
    let batch = events.next_frames().await.unwrap();
    assert!(
        matches!(&batch[0], ClientEvent::Unreachable { reason: CloseReason::Io(why), .. } if why.contains("cert")),
        "{batch:?}"
    );
}

#[tokio::test]
async fn another_protocol_at_the_port_is_named() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let peer = FakePbx::start().await;
    let mut settings = peer.settings();
    settings.port = listener.local_addr().unwrap().port();
    let greet = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        }
    };
    let (_handle, mut events) = connect(settings, CancellationToken::new());
    let batch = tokio::select! {
        () = greet => unreachable!(),
        batch = events.next_frames() => batch.unwrap(),
    };
    assert!(
        matches!(&batch[0], ClientEvent::Unreachable { reason: CloseReason::Protocol(why), .. } if why.contains("SSH"))
    );
}

#[tokio::test]
async fn a_pbx_that_falls_silent_is_left() {
    let peer = FakePbx::start().await;
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
    assert_eq!(rig.peer.next_action().await.name, "Logoff");
    assert_eq!(rig.peer.next_action().await.name, "Logoff");
    rig.handle.closed().await;
    while let Some(batch) = rig.events.next_frames().await {
        assert!(batch.iter().all(|event| {
            matches!(
                event,
                ClientEvent::Down { .. } | ClientEvent::ActionsDown { .. } | ClientEvent::ActionsUp
            )
        }));
    }
    assert_eq!(rig.handle.send(Action::ping()).await, ActionOutcome::NeverSent);
}
