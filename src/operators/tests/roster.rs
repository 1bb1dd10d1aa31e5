//! Restart of the daemon and removal of an operator.

use std::sync::Arc;

use super::*;
use crate::contract::card::Card;
use crate::contract::operator::State;
use crate::people::Roster;

/// A view of call `n` for an account.
fn of_account(n: u8, ringing_at: &[&str], operator: Option<&str>) -> CallView {
    let card: Card = serde_json::from_value(serde_json::json!({
        "caller": { "presentation": "allowed" },
        "account": { "name": "さくら商事", "kana": "", "answer_phrase": "", "notes": "", "matched_by": "dialled" },
        "customers": [],
        "history": { "calls": 0, "open_messages": 0 },
    }))
    .unwrap();
    CallView { card: Some(Arc::new(card)), ..view(n, ringing_at, operator, false) }
}

/// Operators 1 and 2 are ready; 1 talks in a call of an account.
fn talking() -> Rig {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.set(1, 2, State::Ready).unwrap();
    w.call_changed(2, &of_account(1, &["1001"], None));
    w.call_changed(3, &of_account(1, &[], Some("1001")));
    w
}

#[test]
fn a_restart_during_a_call_changes_nobodys_state() {
    let before = talking();
    let mut w = before.restarted(50, false);
    assert_eq!(w.state(1), State::Talking, "before the calls are listed");
    w.relist(51);
    assert_eq!((w.view(1), w.view(2)), (before.view(1), before.view(2)));
    assert_eq!((w.paused("1001").as_deref(), w.paused("1002")), (Some("talking"), None));
    // The work after it follows the real end.
    w.call_ended(60, 1);
    let work = w.view(1).wrap_up.unwrap();
    assert_eq!((work.since, work.account_name.as_str()), (at(60), "さくら商事"));
    w.pass_time(90);
    assert_eq!((w.state(1), w.paused("1001")), (State::Ready, None));
}

#[test]
fn a_call_that_ended_during_a_restart_is_followed_by_its_own_work() {
    // The call model reports the end when the list is complete, or does not know the call at all.
    for reported in [true, false] {
        let mut w = talking().restarted(50, false);
        if reported {
            w.call_ended(51, 1);
        }
        w.calls.clear();
        w.relist(51);
        let work = w.view(1).wrap_up.unwrap();
        assert_eq!((w.state(1), work.account_name.as_str()), (State::WrapUp, "さくら商事"), "{reported}");
        assert_eq!((work.since, work.until), (at(51), at(81)));
        assert_eq!(w.state(2), State::Ready);
    }
    // The state alone was saved: the account is in it.
    let saved = talking().snapshots();
    let mut w = Rig::new(false);
    w.registry.adopt_snapshots(at(51), saved, Vec::new());
    w.drain();
    assert_eq!(w.view(1).wrap_up.unwrap().account_name, "さくら商事");
}

#[test]
fn a_call_whose_operator_was_saved_as_ringing_is_continued_too() {
    let mut before = talking();
    let saved = before.snapshots();
    // The daemon dies before it saves that the operator holds the caller, and then that the call ended.
    before.call_changed(4, &view(1, &[], Some("1001"), true));
    let mut w = before.restarted(50, false);
    w.registry.restore(at(50), saved);
    w.relist(51);
    assert_eq!(w.state(1), State::OnHold);
}

#[test]
fn a_call_that_no_saved_state_knows_is_followed_by_work_all_the_same() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    let saved = w.snapshots();
    // A standby sees a whole call while no daemon leads.
    w.call_changed(2, &of_account(1, &["1001"], None));
    w.call_changed(3, &of_account(1, &[], Some("1001")));
    w.call_ended(9, 1);
    w.registry.adopt_snapshots(at(11), saved, w.listed());
    w.drain();
    let [talk] = &w.missed[..] else { panic!("{:?}", w.missed) };
    assert_eq!((talk.state, talk.call, talk.since), (State::Talking, Some(call(1)), at(3)));
    let work = w.view(1).wrap_up.unwrap();
    assert_eq!((w.state(1), work.since, work.until), (State::WrapUp, at(9), at(39)));
    assert_eq!((work.account_name.as_str(), w.paused("1001").as_deref()), ("さくら商事", Some("wrap_up")));
    // A leader that saw the end has saved it, and work that is finished does not come back.
    w.finish(20, 1, 1).unwrap();
    let saved = w.snapshots();
    w.registry.adopt_snapshots(at(22), saved, w.listed());
    w.drain();
    assert_eq!((w.state(1), w.paused("1001"), w.missed.len()), (State::Ready, None, 1));
}

#[test]
fn a_talk_that_ended_before_the_saved_states_were_read_is_recorded_between_the_others() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.call_changed(2, &of_account(1, &[], Some("1001")));
    // The previous leader saved this talk and died; the standby sees its end, a whole talk, and the begin of a third.
    let saved = w.snapshots();
    w.call_ended(5, 1);
    w.call_changed(6, &of_account(2, &[], Some("1001")));
    w.call_ended(8, 2);
    w.call_changed(9, &of_account(3, &[], Some("1001")));
    w.registry.adopt_snapshots(at(11), saved, w.listed());
    w.drain();
    let missed: Vec<_> = w.missed.iter().map(|view| (view.call, view.since)).collect();
    assert_eq!(missed, [(Some(call(2)), at(6))]);
    assert_eq!((w.state(1), w.view(1).call), (State::Talking, Some(call(3))));
    // The work after both is set aside, the newer first.
    w.call_ended(20, 3);
    for (now, n) in [(21, 3), (22, 2), (23, 1)] {
        assert_eq!(w.view(1).wrap_up.unwrap().call, call(n));
        w.finish(now, 1, n).unwrap();
    }
    assert_eq!(w.state(1), State::Ready);
}

#[test]
fn a_call_that_is_found_before_its_pop_counts_only_for_whom_it_is_known() {
    // The journal lost the call; the list finds it before its notices go out.
    let mut w = talking().restarted(50, false);
    w.registry.on_call_ended(at(50), call(1));
    let listed = vec![(of_account(1, &[], Some("1001")), None), (of_account(2, &["1002"], None), None)];
    w.registry.on_calls_listed(at(51), listed, |_| true);
    w.drain();
    assert_eq!((w.state(1), w.state(2)), (State::Talking, State::Ready));
}

#[test]
fn a_caller_who_may_return_is_awaited_over_a_restart() {
    let mut w = talking();
    w.transfer(4, 1, "1001", true);
    w.call_changed(4, &of_account(1, &[], None));
    w.finish(5, 1, 1).unwrap();
    assert_eq!(w.state(1), State::Reserved);
    let mut w = w.restarted(50, false);
    w.relist(51);
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::Reserved, Some("reserved")));
    w.registry.check_awaited_returns(at(52), |_| false);
    w.drain();
    assert_eq!((w.state(1), w.paused("1001")), (State::Ready, None));
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
