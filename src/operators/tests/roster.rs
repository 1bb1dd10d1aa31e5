//! Restart of the daemon and removal of an operator.

use super::*;
use crate::contract::operator::State;
use crate::people::Roster;

#[test]
fn a_restart_during_a_call_loses_neither_state_nor_work() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.set(1, 2, State::Ready).unwrap();
    w.call_changed(2, &view(1, &[], Some("1001"), false));
    w.call_changed(2, &view(2, &[], Some("1002"), false));
    let stored = [1, 2].map(|n| w.registry.operator(Rig::user(n)).unwrap().snapshot().clone());
    let stored: Vec<OperatorSnapshot> = stored
        .iter()
        .map(|snapshot| serde_json::from_str(&serde_json::to_string(snapshot).unwrap()).unwrap())
        .collect();
    let mut w = Rig {
        registry: OperatorRegistry::new(settings(false)),
        members: Default::default(),
        completed: vec![],
        published: vec![],
        removed: vec![],
    };
    w.registry.restore(at(50), stored);
    let roster = roster();
    w.registry.update_roster(at(50), &roster, |user| roster.person(user).and_then(|p| p.extension.clone()));
    w.drain();
    // The PBX reports its calls one by one; one call ended during the restart.
    w.call_changed(51, &view(2, &[], Some("1002"), false));
    assert_eq!((w.state(1), w.state(2)), (State::Talking, State::Talking));
    w.registry.on_calls_listed(at(52), |_| false);
    w.drain();
    assert_eq!((w.state(1), w.state(2)), (State::WrapUp, State::Talking));
    assert_eq!(w.view(1).wrap_up.unwrap().until, at(82));
}

#[test]
fn a_removed_operator_is_published_as_logged_out_and_then_removed() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.published.clear();
    let rest = Roster::new(roster().everybody().filter(|p| p.id != Rig::user(1)).map(|p| (**p).clone()), []);
    w.registry.update_roster(at(2), &rest, |user| rest.person(user).and_then(|p| p.extension.clone()));
    w.drain();
    let published: Vec<_> = w.published.iter().map(|view| (view.id, view.state)).collect();
    assert_eq!((published, w.removed), (vec![(Rig::user(1), State::LoggedOut)], vec![Rig::user(1)]));
}

#[test]
fn the_stored_form_of_an_operator_keeps_its_field_names() {
    let stored = serde_json::json!({
        "user": Rig::user(1), "seat": "1001", "last_seat": null, "rest": "ready", "pending": null,
        "activity": { "holds": call(1) }, "work": [], "lapsed": null, "awaits": call(2), "version": 4,
        "since": "1970-01-01T00:00:05Z", "by": { "actor": "daemon" },
    });
    let snapshot: OperatorSnapshot = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!((snapshot.activity, snapshot.awaiting_return), (Activity::OnHold(call(1)), Some(call(2))));
    assert_eq!(serde_json::to_value(&snapshot).unwrap(), stored);
}
