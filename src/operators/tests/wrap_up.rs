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
