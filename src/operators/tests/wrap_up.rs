//! After-call work: interruption, extension, disposition.

use super::*;
use crate::contract::operator::{ActorKind, ChangedBy, State};

#[test]
fn work_that_another_call_interrupts_is_resumed() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.call_changed(2, &view(1, &[], Some("1001"), false));
    w.call_ended(10, 1);
    w.call_changed(20, &view(2, &[], Some("1001"), false));
    w.pass_time(100);
    assert_eq!(w.state(1), State::Talking);
    w.call_ended(100, 2);
    assert_eq!(w.view(1).call, Some(call(2)));
    w.finish(110, 1, 2).unwrap();
    let work = w.view(1).wrap_up.unwrap();
    assert_eq!((work.call, work.until), (call(1), at(130)), "20 s were left");
}

#[test]
fn an_extension_needs_a_reason_and_a_required_disposition_has_no_time_limit() {
    let mut w = Rig::new(true);
    w.set(1, 1, State::Ready).unwrap();
    w.call_changed(2, &view(1, &[], Some("1001"), false));
    w.call_ended(10, 1);
    let by = ChangedBy::of_kind(ActorKind::Person);
    let mut extend =
        |seconds, why| w.registry.extend_wrap_up(at(11), Rig::user(1), call(1), seconds, why, by.clone());
    assert!(extend(60, " ").is_err());
    assert!(extend(0, "長い").is_err());
    assert_eq!(extend(60, "議事録").unwrap().wrap_up.unwrap().until, at(100));
    w.drain();
    w.pass_time(1_000);
    assert_eq!(w.state(1), State::WrapUp, "the work waits for its disposition");
    let by = ChangedBy::of_kind(ActorKind::Person);
    assert!(w.registry.finish_wrap_up(at(1_001), Rig::user(1), call(1), "nonsense", None, by).is_err());
    w.finish(1_001, 1, 1).unwrap();
    assert_eq!(w.state(1), State::Ready);
    assert_eq!(w.completed[0].1.work.extensions[0].reason, "議事録");
}

/// Several pieces of work whose time ends while nobody gives a disposition; each still accepts one, and notes.
#[test]
fn every_missed_disposition_can_be_given_later_and_notes_before_it() {
    let mut w = Rig::new(false);
    w.set(1, 1, State::Ready).unwrap();
    for n in 1..=10 {
        let now = i64::from(n) * 100;
        w.call_changed(now, &view(n, &[], Some("1001"), false));
        w.call_ended(now + 10, n);
        w.pass_time(now + 90);
    }
    let calls = |w: &Rig| w.view(1).undisposed_work.iter().map(|work| work.call).collect::<Vec<_>>();
    assert_eq!(calls(&w), (3..=10).map(call).collect::<Vec<_>>(), "the last eight");
    assert_eq!(w.view(1).undisposed, Some(call(10)));
    let version = w.view(1).version;
    w.completed.clear();
    let note = |w: &mut Rig, n, notes: &str| {
        let answer = w.registry.note_wrap_up(Rig::user(1), call(n), notes);
        w.drain();
        answer
    };
    note(&mut w, 5, "納期は12月3日\r\n折り返し希望").unwrap();
    assert_eq!((calls(&w).len(), w.view(1).version), (8, version), "the disposition is still open");
    let completed = &w.completed[0].1;
    assert_eq!(completed.notes.as_deref(), Some("納期は12月3日\n折り返し希望"), "with its lines");
    assert_eq!(
        (completed.work.call, completed.ended_at, completed.disposition.is_none()),
        (call(5), at(540), true)
    );
    for (n, notes) in [(2, "忘れられた"), (11, "なかった"), (6, " \n\u{200b}")] {
        assert!(note(&mut w, n, notes).is_err(), "{n}");
    }
    assert!(
        matches!(note(&mut w, 6, &"あ".repeat(NOTES_CHARS_MAX + 1)), Err(Refusal::Invalid(_))),
        "never cut"
    );
    for n in [10, 3, 5] {
        w.finish(2_000, 1, n).unwrap();
    }
    assert_eq!(calls(&w), [4, 6, 7, 8, 9].map(call));
    assert_eq!(w.view(1).undisposed, Some(call(9)), "the last of those that are left");
    assert_eq!(calls(&w.restarted(2_001, false)), [4, 6, 7, 8, 9].map(call), "over a restart");
    // What an earlier version wrote, and what it reads.
    let saved = serde_json::to_value(w.registry.operator(Rig::user(1)).unwrap().snapshot()).unwrap();
    assert_eq!(saved["lapsed"]["call"], serde_json::json!(call(9)));
    let mut old = saved.clone();
    old.as_object_mut().unwrap().remove("lapsed_before");
    let read: OperatorSnapshot = serde_json::from_value(old).unwrap();
    assert_eq!((read.expired.map(|work| work.call), read.expired_before.len()), (Some(call(9)), 0));
}
