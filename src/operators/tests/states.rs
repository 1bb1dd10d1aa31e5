//! States: calls, transfers, pending and versioned requests, seats.

use super::*;
use crate::contract::operator::{ActorKind, State};

#[test]
fn a_call_and_its_after_call_work() {
    let mut w = Rig::new(false);
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::LoggedOut, Some("untouched")));
    w.set(1, 1, State::Ready).unwrap();
    assert_eq!((w.state(1), w.paused("1001")), (State::Ready, None));
    w.call_changed(2, &view(7, &["1001"], None, false));
    assert_eq!((w.state(1), w.paused("1001"), w.view(1).call), (State::Reserved, None, Some(call(7))));
    w.call_changed(3, &view(7, &[], Some("1001"), false));
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::Talking, Some("talking")));
    w.call_changed(4, &view(7, &[], Some("1001"), true));
    assert_eq!(w.state(1), State::OnHold);
    w.call_ended(10, 7);
    let view = w.view(1);
    assert_eq!((view.state, view.call, view.since), (State::WrapUp, Some(call(7)), at(10)));
    assert_eq!((view.wrap_up.unwrap().until, w.paused("1001").as_deref()), (at(40), Some("wrap_up")));
    w.pass_time(39);
    assert_eq!(w.state(1), State::WrapUp);
    assert_eq!(w.registry.poll_timeout(), Some(at(40)));
    w.pass_time(40);
    assert_eq!((w.state(1), w.paused("1001"), w.view(1).undisposed), (State::Ready, None, Some(call(7))));
    assert_eq!(w.view(1).by.actor, ActorKind::Clock);
    // The disposition is still accepted.
    w.finish(50, 1, 7).unwrap();
    assert_eq!(w.view(1).undisposed, None);
    assert_eq!(w.completed.len(), 2);
    assert_eq!(w.completed[1].1.disposition.as_deref(), Some("message"));
    assert!(w.finish(51, 1, 7).is_err());
}

#[test]
fn a_state_requested_during_a_call_is_pending() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.call_changed(2, &view(1, &["1001"], None, false));
    let pending = w.set(3, 1, State::NotReady).unwrap();
    assert_eq!((pending.state, pending.pending.unwrap().state), (State::Reserved, State::NotReady));
    assert_eq!(w.paused("1001").as_deref(), Some("break"), "the queues offer no further call");
    w.call_changed(4, &view(1, &[], Some("1001"), false));
    w.call_ended(5, 1);
    assert_eq!(w.state(1), State::WrapUp, "a requested state does not skip the after-call work");
    w.finish(6, 1, 1).unwrap();
    let view = w.view(1);
    assert_eq!((view.state, view.reason.as_deref(), view.pending), (State::NotReady, Some("break"), None));
    w.set(7, 1, State::LoggedOut).unwrap();
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::LoggedOut, Some("out")));
}

#[test]
fn a_version_that_is_not_the_present_one_is_refused_with_it() {
    let mut w = Rig::new(false);
    let old = w.view(1).version;
    w.set(1, 1, State::Ready).unwrap();
    let request = StateRequest { state: State::LoggedOut, reason: None, extension: None, version: old };
    let Err(Refusal::Stale(current)) = w.set_with(2, 1, request) else { panic!("not refused") };
    assert_eq!((current.state, current.version), (State::Ready, old + 1));
    assert_eq!(w.state(1), State::Ready);
}

#[test]
fn any_operator_can_log_in_at_any_free_phone() {
    let mut w = Rig::new(false);
    let at_phone = |w: &Rig, n: u128, phone: &str| StateRequest {
        state: State::Ready,
        reason: None,
        extension: Some(extension(phone)),
        version: w.view(n).version,
    };
    assert!(matches!(w.set(1, 3, State::Ready), Err(Refusal::Invalid(_))), "no own extension");
    let request = at_phone(&w, 3, "1001");
    w.set_with(1, 3, request).unwrap();
    assert!(matches!(w.set(2, 1, State::Ready), Err(Refusal::StateConflict(_))), "the seat is taken");
    let request = at_phone(&w, 1, "2001");
    w.set_with(3, 1, request).unwrap();
    let request = at_phone(&w, 3, "3001");
    assert!(matches!(w.set_with(4, 3, request), Err(Refusal::Invalid(_))));
    // The operator moves to a free phone; the previous seat becomes free.
    let request = at_phone(&w, 3, "1003");
    w.set_with(5, 3, request).unwrap();
    assert_eq!((w.paused("1001").as_deref(), w.paused("1003"), w.paused("2001")), (Some("out"), None, None));
    w.call_changed(6, &view(1, &["1003"], None, false));
    assert_eq!((w.state(3), w.state(1)), (State::Reserved, State::Ready));
}

#[test]
fn after_a_transfer_no_other_call_is_offered_before_its_result() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.call_changed(2, &view(1, &[], Some("1001"), false));
    w.transfer(3, 1, "1001", true);
    w.call_changed(3, &view(1, &[], None, false));
    assert_eq!(w.state(1), State::WrapUp);
    w.finish(4, 1, 1).unwrap();
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::Reserved, Some("reserved")));
    // The caller returns, is answered, and gets new after-call work.
    w.call_changed(5, &view(1, &["1001"], None, false));
    w.transfer(6, 1, "1001", false);
    w.call_changed(6, &view(1, &[], Some("1001"), false));
    assert_eq!(w.state(1), State::Talking);
    w.call_ended(9, 1);
    assert_eq!((w.state(1), w.view(1).wrap_up.unwrap().until), (State::WrapUp, at(39)));
    w.pass_time(39);
    assert_eq!(w.state(1), State::Ready);
}
