//! The bus's promise, for any sequence of events, any viewer and any cut point.

mod restart;

use crate::contract::event::{Audience, EventKind, StateDelta};
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::contract::call::{CallState, CallView, Direction};
use crate::contract::event::PbxStatus;
use crate::contract::operator::StateView;
use crate::ids::{ChannelId, Extension};
use crate::people::role::Role;
use crate::publish;

pub(super) fn pbx() -> PbxId {
    PbxId::parse("osaka-1").unwrap()
}

fn bus(replay_events_max: usize, subscriber_events_max: usize) -> Bus {
    Bus::new(BusSettings {
        pbx: pbx(),
        stream: StreamToken::parse("s1").unwrap(),
        replay_events_max,
        replay_age_max: Duration::from_secs(3600),
        subscriber_events_max,
        subscribers_max: 64,
    })
}

fn extension(number: u8) -> Extension {
    Extension::parse(&format!("{}", 1000 + u32::from(number))).unwrap()
}

fn view(call: u8, presented_to: &[u8], operator: Option<u8>) -> Arc<CallView> {
    let first = ChannelId::parse(&format!("1700000000.{call}")).unwrap();
    Arc::new(CallView {
        id: CallId::derive(&pbx(), &first),
        pbx: pbx(),
        direction: Direction::Inbound,
        state: CallState::Offered,
        offered_at: Timestamp::UNIX_EPOCH,
        answered_at: None,
        ended_at: None,
        presented_to: presented_to.iter().copied().map(extension).collect(),
        operator: operator.map(extension),
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    })
}

fn new_event(audience: Audience, change: StateDelta) -> NewEvent {
    let call = match &change {
        StateDelta::Call(view) => Some(view.id),
        StateDelta::CallGone(call) => Some(*call),
        StateDelta::None | StateDelta::Operator(_) | StateDelta::OperatorGone(_) | StateDelta::Pbx { .. } => {
            None
        }
    };
    NewEvent {
        kind: EventKind::CallUpdated,
        at: Timestamp::UNIX_EPOCH,
        call,
        audience,
        data: serde_json::json!({}),
        change,
    }
}

fn person(number: u8) -> RecordId {
    RecordId(uuid::Uuid::from_u128(number.into()))
}

/// The operator whose phone is [`extension`] with the same number.
fn operator(number: u8, version: u64) -> StateView {
    let unknown = StateView::unknown(person(number), "佐藤".into(), Some(extension(number)));
    StateView { version, pbx: Some(pbx()), ..unknown }
}

/// One event of a few calls, of an operator, or of the link.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The call rings at these operators and is with that one. The audience is these operators.
    Moves(u8, Vec<u8>, Option<u8>),
    /// The call has left this operator, and is with nobody who works here.
    Left(u8, u8),
    Ends(u8),
    /// The operator has a new state.
    Works(u8, u64),
    /// The operator left the service.
    Leaves(u8),
    Link(bool),
    /// Changes nothing that a snapshot shows: a transfer, a supervision, a message.
    Unrelated,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let operator = 1..5u8;
    let step = prop_oneof![
        6 => (0..4u8, prop::collection::vec(operator.clone(), 0..3), prop::option::of(operator.clone()))
            .prop_map(|(call, rings, has)| Step::Moves(call, rings, has)),
        3 => (0..4u8, operator.clone()).prop_map(|(call, had)| Step::Left(call, had)),
        2 => (0..4u8).prop_map(Step::Ends),
        3 => (operator, 0..100u64).prop_map(|(operator, version)| Step::Works(operator, version)),
        // An operator outside every test viewer's view: a person who left is not subscribed either.
        1 => (2..4u8).prop_map(Step::Leaves),
        1 => any::<bool>().prop_map(Step::Link),
        1 => Just(Step::Unrelated),
    ];
    prop::collection::vec(step, 0..60)
}

fn to_event(step: &Step) -> NewEvent {
    match step {
        Step::Moves(call, rings, has) => {
            let view = view(*call, rings, *has);
            let operators: Vec<Extension> = view.operators().cloned().collect();
            let audience =
                if operators.is_empty() { Audience::Supervisors } else { Audience::Operators(operators) };
            new_event(audience, StateDelta::Call(view))
        }
        Step::Left(call, had) => {
            let left = CallView::clone(&view(*call, &[], None));
            let view = CallView { state: CallState::Transferred, handled_by: vec![person(*had)], ..left };
            new_event(Audience::SupervisorsOfPeople(view.left().to_vec()), StateDelta::Call(Arc::new(view)))
        }
        // The audience is empty: a viewer that saw the call must receive the event nevertheless.
        Step::Ends(call) => {
            new_event(Audience::Operators(Vec::new()), StateDelta::CallGone(view(*call, &[], None).id))
        }
        Step::Works(number, version) => {
            publish::operator_state(operator(*number, *version), None, Timestamp::UNIX_EPOCH)
        }
        Step::Leaves(number) => publish::operator_removed(operator(*number, 0).id, Timestamp::UNIX_EPOCH),
        Step::Link(up) => new_event(Audience::All, StateDelta::Pbx { up: *up, since: Timestamp::UNIX_EPOCH }),
        Step::Unrelated => new_event(Audience::All, StateDelta::None),
    }
}

pub(super) fn viewers() -> Vec<Viewer> {
    vec![
        Viewer::new(Role::Operator, Some(extension(1)), []),
        Viewer::new(Role::Operator, Some(extension(4)), []),
        Viewer::new(Role::Operator, None, []),
        Viewer::new(Role::Supervisor, Some(extension(4)), [extension(1), extension(2)]),
        Viewer::new(Role::Supervisor, None, []),
        // People: an operator, the supervisor of two, and one whose people are at no phone now.
        Viewer::new(Role::Operator, Some(extension(1)), []).for_user(person(1)),
        Viewer::new(Role::Supervisor, Some(extension(4)), [extension(1), extension(2)])
            .for_user(person(4))
            .with_members([person(1), person(2), person(4)]),
        Viewer::new(Role::Supervisor, None, []).for_user(person(9)).with_members([person(3), person(9)]),
        Viewer::unrestricted(Role::Admin),
        Viewer::unrestricted(Role::System),
    ]
}

/// A client's copy of the state that a snapshot shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ClientState {
    calls: BTreeMap<CallId, Arc<CallView>>,
    operators: BTreeMap<RecordId, Arc<StateView>>,
    link: Option<bool>,
}

impl ClientState {
    /// Applies a change, if the viewer may see its subject; otherwise removes the subject.
    fn apply(&mut self, change: &StateDelta, viewer: &Viewer) {
        match change {
            StateDelta::Call(view) if viewer.sees_call(view) => {
                self.calls.insert(view.id, Arc::clone(view));
            }
            StateDelta::Call(view) => drop(self.calls.remove(&view.id)),
            StateDelta::CallGone(call) => drop(self.calls.remove(call)),
            StateDelta::Operator(view) if viewer.sees_state(view) => {
                self.operators.insert(view.id, Arc::clone(view));
            }
            StateDelta::Operator(view) => drop(self.operators.remove(&view.id)),
            StateDelta::OperatorGone(user) => drop(self.operators.remove(user)),
            StateDelta::Pbx { up, .. } => self.link = Some(*up),
            StateDelta::None => {}
        }
    }
}

/// Applies a received event to a client's state. The client knows what its viewer may see.
pub(super) fn apply_event(
    state: &mut ClientState,
    viewer: &Viewer,
    event: &Event,
    published: &BTreeMap<String, StateDelta>,
) {
    state.apply(&published[&event.id().to_string()], viewer);
}

pub(super) fn drain(subscription: &mut Subscription) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match std::pin::pin!(subscription.next()).poll(&mut context) {
            std::task::Poll::Ready(Ok(event)) => events.push(event),
            _ => return events,
        }
    }
}

pub(super) fn client_state(snapshot: &Snapshot) -> ClientState {
    ClientState {
        calls: snapshot.calls.iter().map(|call| (call.id, Arc::clone(call))).collect(),
        operators: snapshot.operators.iter().map(|view| (view.id, Arc::clone(view))).collect(),
        link: snapshot.pbx.iter().find(|link| link.id == pbx()).map(|link| link.up),
    }
}

pub(super) fn publish_step(bus: &Bus, published: &mut BTreeMap<String, StateDelta>, step: &Step) -> EventId {
    let event = to_event(step);
    let change = event.change.clone();
    let id = bus.publish(event);
    published.insert(id.to_string(), change);
    id
}

proptest! {
    #[test]
    fn snapshot_and_rest_equal_the_whole(steps in steps(), cut in 0..60usize, resume in 0..60usize) {
        let bus = bus(1000, 1000);
        let (mut published, mut ids) = (BTreeMap::new(), vec![bus.head()]);
        let cut = cut.min(steps.len());
        let mut whole: Vec<_> = viewers().into_iter().map(|v| bus.subscribe(v, None).unwrap()).collect();
        for step in &steps[..cut] {
            ids.push(publish_step(&bus, &mut published, step));
        }
        let mut rest: Vec<_> = viewers().into_iter().map(|v| bus.subscribe(v, None).unwrap()).collect();
        for step in &steps[cut..] {
            ids.push(publish_step(&bus, &mut published, step));
        }
        let resume = resume.min(steps.len());
        for (viewer, (whole, rest)) in viewers().iter().zip(whole.iter_mut().zip(&mut rest)) {
            let mut from_whole = ClientState::default();
            let events = drain(whole);
            for pair in events.windows(2) {
                prop_assert!(pair[1].id().is_after(pair[0].id()));
            }
            for event in &events {
                apply_event(&mut from_whole, viewer, event, &published);
            }
            let Some(StreamStart::Snapshot(snapshot)) = rest.take_start() else { panic!("no snapshot") };
            prop_assert_eq!(&snapshot.id, &ids[cut]);
            let mut from_rest = client_state(&snapshot);
            for event in drain(rest) {
                apply_event(&mut from_rest, viewer, &event, &published);
            }
            prop_assert_eq!(&from_whole, &from_rest);
            prop_assert_eq!(&from_whole, &client_state(&bus.snapshot(viewer)));

            // A client that resumes after any event gets exactly the missing events.
            let mut resumed = bus.subscribe(viewer.clone(), Some(&ids[resume])).unwrap();
            prop_assert_eq!(resumed.take_start(), Some(StreamStart::Resumed(ids[resume].clone())));
            let missed: Vec<_> = events.iter().filter(|e| e.id().is_after(&ids[resume])).map(|e| e.id()).collect();
            let replayed = drain(&mut resumed);
            prop_assert_eq!(missed, replayed.iter().map(|e| e.id()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_short_log_answers_with_a_snapshot_never_with_a_gap(
        steps in steps(), kept in 1..20usize, back in 0..60usize,
    ) {
        let bus = bus(kept, 1000);
        let (mut published, mut ids) = (BTreeMap::new(), vec![bus.head()]);
        for step in &steps {
            ids.push(publish_step(&bus, &mut published, step));
        }
        let back = back.min(steps.len());
        let after = &ids[ids.len() - 1 - back];
        let viewer = Viewer::unrestricted(Role::Admin);
        let mut subscription = bus.subscribe(viewer.clone(), Some(after)).unwrap();
        match subscription.take_start().unwrap() {
            StreamStart::Resumed(id) => {
                prop_assert!(back <= kept);
                prop_assert_eq!(&id, after);
                prop_assert_eq!(drain(&mut subscription).len(), back);
            }
            StreamStart::Snapshot(snapshot) => {
                prop_assert!(back > kept);
                prop_assert_eq!(client_state(&snapshot), client_state(&bus.snapshot(&viewer)));
                prop_assert!(drain(&mut subscription).is_empty());
            }
        }
    }
}

#[test]
fn another_stream_and_the_future_are_answered_with_a_snapshot() {
    let bus = bus(10, 10);
    bus.publish(to_event(&Step::Unrelated));
    for text in ["s2-1", "s1-2"] {
        let after = EventId::parse(text).unwrap();
        let mut subscription = bus.subscribe(Viewer::unrestricted(Role::Admin), Some(&after)).unwrap();
        assert!(matches!(subscription.take_start(), Some(StreamStart::Snapshot(_))), "{text}");
    }
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_and_nobody_else_notices() {
    let bus = bus(1000, 4);
    let admin = || Viewer::unrestricted(Role::Admin);
    let mut slow = bus.subscribe(admin(), None).unwrap();
    let mut quick = bus.subscribe(admin(), None).unwrap();
    let cut_off = slow.cut_off();
    let mut last = None;
    for _ in 0..10 {
        let id = bus.publish(to_event(&Step::Unrelated));
        assert_eq!(quick.next().await.unwrap().id(), &id);
    }
    assert!(cut_off.is_cancelled());
    while let Ok(event) = slow.next().await {
        last = Some(event.id().clone());
    }
    assert_eq!(slow.next().await.unwrap_err(), SubscriptionEnded::TooSlow);
    let last = last.unwrap();
    assert_eq!(last, EventId::parse("s1-4").unwrap(), "its queue is still delivered completely");
    assert_eq!(bus.stats().cut_off_total, 1);

    // It resumes and has missed nothing.
    drop(slow);
    let mut again = bus.subscribe(admin(), Some(&last)).unwrap();
    assert_eq!(again.take_start(), Some(StreamStart::Resumed(last)));
    assert_eq!(drain(&mut again).len(), 6);
}

#[tokio::test]
async fn a_long_replay_comes_in_steps_and_without_a_gap() {
    let bus = bus(5000, 8);
    let start = bus.head();
    let first: Vec<EventId> = (0..2000).map(|_| bus.publish(to_event(&Step::Unrelated))).collect();
    let mut reader = bus.subscribe(Viewer::unrestricted(Role::System), Some(&start)).unwrap();
    for id in &first[..500] {
        assert_eq!(reader.next().await.unwrap().id(), id);
    }
    let later: Vec<EventId> = (0..2000).map(|_| bus.publish(to_event(&Step::Unrelated))).collect();
    for id in first[500..].iter().chain(&later) {
        assert_eq!(reader.next().await.unwrap().id(), id);
    }
    let live = bus.publish(to_event(&Step::Unrelated));
    assert_eq!(reader.next().await.unwrap().id(), &live);
}

#[test]
fn a_past_event_is_found_while_it_is_kept() {
    let bus = bus(10, 10);
    let ids: Vec<EventId> = (0..15).map(|_| bus.publish(to_event(&Step::Unrelated))).collect();
    let admin = Viewer::unrestricted(Role::Admin);
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(bus.event(&admin, id).map(|event| event.id().clone()), (n >= 5).then(|| id.clone()));
    }
    for text in ["s1-0", "s1-16", "s2-15"] {
        assert!(bus.event(&admin, &EventId::parse(text).unwrap()).is_none());
    }
}

#[test]
fn a_slot_is_free_again_when_its_subscription_is_dropped() {
    let bus = bus(10, 4);
    let all: Vec<_> = (0..64)
        .map(|_| bus.subscribe(Viewer::new(Role::Operator, Some(extension(1)), []), None).unwrap())
        .collect();
    let refused = bus.subscribe(Viewer::unrestricted(Role::Admin), None).unwrap_err();
    assert_eq!(refused, SubscribeError::Full(64));
    drop(all);
    assert_eq!(bus.stats().subscribers, 0);
    assert!(bus.subscribe(Viewer::unrestricted(Role::Admin), None).is_ok());
}

#[tokio::test]
async fn closing_ends_every_subscription_after_what_waits_for_it() {
    let bus = bus(10, 4);
    let mut reader = bus.subscribe(Viewer::unrestricted(Role::Admin), None).unwrap();
    let id = bus.publish(to_event(&Step::Unrelated));
    bus.close();
    assert_eq!(reader.next().await.unwrap().id(), &id);
    assert_eq!(reader.next().await.unwrap_err(), SubscriptionEnded::Closed);
    let refused = bus.subscribe(Viewer::unrestricted(Role::Admin), None).unwrap_err();
    assert_eq!(refused, SubscribeError::Closed);
}
