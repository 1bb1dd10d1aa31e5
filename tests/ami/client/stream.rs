//! Events, lists and actions of a client that is connected.
use toritsugi::ami::action::Action;
use toritsugi::ami::client::{
    AMI_BACKLOG_BYTES_MAX, ClientEvent, ListError, ListKind, ListResult, SessionRole,
};
use toritsugi::ami::session::{ActionOutcome, ListEnd};

use super::{Rig, reload};
use crate::support::fake_pbx::{FakePbx, Reply};

#[tokio::test]
async fn a_login_brings_epoch_start_lists_and_live_events_in_order() {
    let peer = FakePbx::start().await;
    peer.set_started("2026-03-01", "08:15:00");
    peer.set_list(
        "QueueStatus",
        &[("QueueParams", "Queue: sales\n"), ("QueueMember", "Queue: sales\nName: 1001\n")],
    );
    peer.set_reply("DeviceStateList", Reply::Error("Permission denied".into()));
    let mut rig = Rig::on(peer).await;
    let seen = rig.until(|event| matches!(event, ClientEvent::ResyncEnded { .. })).await;
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
        ClientEvent::ResyncEnded { complete: true },
    ] = rest
    else {
        panic!("{rest:?}");
    };
    assert_eq!((member.get("Name"), why.as_str()), (Some(&b"1001"[..]), "Permission denied"));
    rig.peer.emit(&reload(7));
    let seen = rig.until(|event| matches!(event, ClientEvent::Pbx(_))).await;
    assert!(matches!(seen.last(), Some(ClientEvent::Pbx(frame)) if frame.get("Number") == Some(b"7")));
}

#[tokio::test]
async fn actions_are_sent_and_answered() {
    let mut rig = Rig::up().await;
    let accepted = rig.handle.send(Action::hangup("pbx-1.1", Some(16)).unwrap()).await;
    assert!(accepted.is_accepted());
    let asked = rig.peer.next_action().await;
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
async fn an_action_whose_connection_ends_has_an_unknown_outcome_and_the_next_is_never_sent() {
    let mut rig = Rig::up().await;
    rig.peer.set_reply("Hangup", Reply::HangUp);
    let order = || Action::hangup("pbx-1.1", None).unwrap();
    rig.peer.refuse_logins(Some("Asterisk is shutting down"));
    assert_eq!(rig.handle.send(order()).await, ActionOutcome::OutcomeUnknown);
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
    let frames = rig.handle.list_frames(Action::show_dialplan("a").unwrap()).await.unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].get("Extension"), Some(&b"1"[..]));
    rig.peer.set_reply("ShowDialPlan", Reply::Error("Did not find context a".into()));
    let refused = rig.handle.list_frames(Action::show_dialplan("a").unwrap()).await;
    assert_eq!(refused, Err(ListError::Refused("Did not find context a".into())));
    rig.peer.set_reply("ShowDialPlan", Reply::HangUp);
    let lost = rig.handle.list_frames(Action::show_dialplan("a").unwrap()).await;
    assert!(matches!(lost, Err(ListError::Incomplete(_))), "{lost:?}");
}

#[tokio::test]
async fn a_torn_frame_is_reported_with_the_one_after_it_and_spoils_nothing_else() {
    let mut rig = Rig::up().await;
    rig.peer.emit_bytes("Event: Newstate\r\nPrivilege: call,all\r\nChannel: a\r\n\r\n");
    rig.peer.emit("Event: Hangup\nPrivilege: call,all\nChannel: b");
    rig.peer.emit(&reload(1));
    rig.peer.emit(&reload(2));
    let seen = rig.until(|event| matches!(event, ClientEvent::Pbx(_))).await;
    assert_eq!(seen.iter().filter(|event| matches!(event, ClientEvent::Quarantined(_))).count(), 3);
    assert!(matches!(seen.last(), Some(ClientEvent::Pbx(frame)) if frame.get("Number") == Some(b"2")));
    rig.handle.resync();
    let seen = rig.until(|event| matches!(event, ClientEvent::ResyncEnded { .. })).await;
    assert!(matches!(seen.last(), Some(ClientEvent::ResyncEnded { complete: true })));
}

#[tokio::test]
async fn resyncs_asked_for_together_are_one_more() {
    let mut rig = Rig::up().await;
    for _ in 0..10 {
        rig.handle.resync();
    }
    rig.until(|event| matches!(event, ClientEvent::ResyncEnded { .. })).await;
    rig.until(|event| matches!(event, ClientEvent::ResyncEnded { .. })).await;
    // All ten were requested before the first list could arrive: the client answered them with one resynchronisation.
    rig.peer.emit(&reload(1));
    let seen = rig.until(|event| matches!(event, ClientEvent::Pbx(_))).await;
    assert!(!seen.iter().any(|event| matches!(event, ClientEvent::ListBegin(_))), "{seen:?}");
}

#[tokio::test]
async fn a_slow_consumer_loses_events_with_notice_while_the_pbx_is_read_on() {
    let mut rig = Rig::up().await;
    let padding = "x".repeat(4_000);
    let total = 3 * AMI_BACKLOG_BYTES_MAX / padding.len();
    let stream: String = (0..total)
        .map(|n| {
            format!("Event: Reload\r\nPrivilege: system,all\r\nNumber: {n}\r\nPadding: {padding}\r\n\r\n")
        })
        .collect();
    rig.peer.emit_bytes(stream);
    // The response to this follows all those events: once it is here, they have all been read.
    assert!(rig.handle.ask(Action::core_settings()).await.is_accepted());
    rig.peer.emit(&reload(total));
    let mut numbers = Vec::new();
    let mut dropped = 0;
    loop {
        match rig.next().await {
            ClientEvent::Pbx(frame) => numbers.push(frame.text("Number").unwrap().parse::<usize>().unwrap()),
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
    let seen = rig.until(|event| matches!(event, ClientEvent::ResyncEnded { .. })).await;
    let lost = ListResult::Incomplete(ListEnd::ConnectionLost);
    assert!(
        seen.iter()
            .any(|event| matches!(event, ClientEvent::ListEnd(ListKind::Bridges, end) if *end == lost))
    );
    assert!(matches!(seen.last(), Some(ClientEvent::ResyncEnded { complete: false })));
    rig.peer.set_reply("BridgeList", Reply::Error("no".into()));
    rig.until(|event| matches!(event, ClientEvent::Up { epoch: 2, .. })).await;
}
