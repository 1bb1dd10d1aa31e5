//! The machine against the fake PBX of `fake_pbx.rs`, one scenario each.

use super::fake_pbx::{CallerLocation, FakePbx, LeaveOrder, plan};
use super::machine::{Command, NoticeKind, Transfers};
use crate::ami::event::DialStatus;
use crate::contract::refusal::Refusal;
use crate::contract::transfer::{Mode, Outcome, ReturnedTo, State, TargetView};
use crate::ids::{Extension, QueueName};
use crate::people::role::Role;

fn kinds(pbx: &mut FakePbx) -> Vec<NoticeKind> {
    pbx.drive();
    pbx.notices.iter().map(|notice| notice.kind).collect()
}

#[test]
fn blind_to_a_contact_who_answers_and_talks() {
    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    pbx.target_rings();
    pbx.target_answers();
    assert_eq!(pbx.latest().state, State::Completed);
    pbx.pass(42);
    pbx.target_hangs_up();
    let over = pbx.latest();
    assert_eq!((over.state, over.outcome, over.talked_s), (State::Over, Some(Outcome::Answered), Some(42)));
    use NoticeKind::{Completed, Over, Requested, Ringing};
    assert_eq!(kinds(&mut pbx), [Requested, Ringing, Completed, Over]);
    assert!(pbx.machine.is_idle());
}

#[test]
fn what_the_target_did_is_distinguished() {
    let cases = [
        (DialStatus::Busy, "BUSY", 17, Outcome::Busy),
        (DialStatus::Busy, "BUSY", 21, Outcome::Refused),
        (DialStatus::NoAnswer, "NOANSWER", 21, Outcome::Refused),
        (DialStatus::NoAnswer, "NOANSWER", 0, Outcome::NoAnswer),
        (DialStatus::NoAnswer, "NOANSWER", 20, Outcome::Unreachable),
        (DialStatus::Unavailable, "CONGESTION", 42, Outcome::Unreachable),
        (DialStatus::Unavailable, "CHANUNAVAIL", 0, Outcome::Unreachable),
    ];
    for (status, reason, cause, outcome) in cases {
        let mut pbx = FakePbx::talking();
        pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
        pbx.target_rings();
        pbx.target_fails(status, reason, cause);
        pbx.drive();
        assert_eq!(pbx.location, CallerLocation::Returning);
        let view = pbx.latest();
        assert_eq!((view.state, view.outcome), (State::Returning, Some(outcome)), "{reason} {cause}");
        let operator = Extension::parse("1001").unwrap();
        assert_eq!(view.returned_to, Some(ReturnedTo::Operator(operator)));
        pbx.operator_answers();
        assert_eq!(pbx.latest().state, State::Over);
    }
}

#[test]
fn a_list_is_tried_in_order_until_one_accepts() {
    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Blind, plan(&["09011112222", "09033334444", "09055556666"])).unwrap();
    pbx.target_does_not_accept();
    pbx.target_fails(DialStatus::Busy, "BUSY", 17);
    pbx.target_answers();
    let view = pbx.latest();
    let outcomes: Vec<_> = view.attempts.iter().filter_map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::NotAccepted, Outcome::Busy, Outcome::Answered]);
    assert_eq!(view.state, State::Completed);
}

#[test]
fn a_consultation_completed_cancelled_and_declined() {
    let mut pbx = FakePbx::talking();
    let id = pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_rings();
    assert!(matches!(pbx.command(Command::Complete(id)), Err(Refusal::Conflict(_))));
    pbx.target_answers();
    assert_eq!(pbx.latest().state, State::Consulting);
    pbx.command(Command::Complete(id)).unwrap();
    assert_eq!((pbx.latest().state, pbx.location), (State::Completed, CallerLocation::WithTarget));

    let mut pbx = FakePbx::talking();
    let id = pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_answers();
    pbx.command(Command::Cancel(id)).unwrap();
    let view = pbx.latest();
    assert_eq!(
        (view.state, view.outcome, pbx.location),
        (State::Over, Some(Outcome::Cancelled), CallerLocation::WithOperator)
    );

    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_answers();
    pbx.target_hangs_up();
    let view = pbx.latest();
    assert_eq!((view.outcome, pbx.location), (Some(Outcome::Declined), CallerLocation::WithOperator));
    assert!(view.returned_to.is_some());
}

/// The operator who takes the caller back has the caller: a late completion must not hang up that call.
#[test]
fn a_consultation_is_cancelled_after_its_completion_was_refused() {
    let mut pbx = FakePbx::talking();
    let id = pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_answers();
    pbx.refuses = true;
    drop(pbx.command(Command::Complete(id)));
    assert_eq!(pbx.latest().state, State::Consulting);
    pbx.command(Command::Cancel(id)).unwrap();
    let view = pbx.latest();
    assert_eq!(
        (view.state, view.outcome, pbx.location),
        (State::Over, Some(Outcome::Cancelled), CallerLocation::WithOperator)
    );
    assert!(matches!(pbx.command(Command::Complete(id)), Err(Refusal::Conflict(_))));
}

#[test]
fn a_caller_whom_both_leave_in_the_same_instant_is_brought_back() {
    for order in LeaveOrder::ALL {
        let mut pbx = FakePbx::talking();
        pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
        pbx.target_answers();
        pbx.both_leave_at_once(order);
        pbx.pass(3);
        assert_eq!(
            (pbx.latest().state, pbx.location),
            (State::Returning, CallerLocation::Returning),
            "{order:?}"
        );
        pbx.operator_answers();
        let (view, outcome) = (pbx.latest(), order.outcome());
        assert_eq!(
            (view.state, view.outcome, pbx.location),
            (State::Over, Some(outcome), CallerLocation::WithOperator),
            "{order:?}"
        );
        assert!(view.returned_to.is_some() && view.completed_at.is_none(), "{order:?}");
    }
}

#[test]
fn an_operator_who_leaves_while_it_rings_has_transferred() {
    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_rings();
    pbx.operator_hangs_up();
    pbx.drive();
    assert_eq!(pbx.location, CallerLocation::Trying);
    pbx.target_answers();
    assert_eq!(pbx.latest().state, State::Completed);
}

/// The PBX holds back the end of the operator's channel until the target answers or its time is over.
#[test]
fn the_caller_of_an_operator_who_hangs_up_while_it_rings_does_not_wait_for_the_end_of_the_channel() {
    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_rings();
    let (_, operator) = pbx.model.parties(pbx.call).unwrap().operator.unwrap();
    pbx.start_hang_up(&operator);
    assert_eq!(pbx.location, CallerLocation::Trying);
    assert_eq!(pbx.model.parties(pbx.call).unwrap().operator, None);
}

#[test]
fn a_caller_who_leaves_a_ringing_consultation_frees_the_contact() {
    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_rings();
    pbx.caller_hangs_up();
    assert_eq!(pbx.latest().outcome, Some(Outcome::CallerGone));
    assert_eq!(pbx.model.stats().legs, 0, "the contact's phone is free");
}

#[test]
fn a_queue_is_a_target_too() {
    let mut pbx = FakePbx::talking();
    let mut to_queue = plan(&["x"]);
    let queue = QueueName::parse("operators").unwrap();
    to_queue.targets[0].view = TargetView::Queue { queue };
    to_queue.targets[0].dial = None;
    pbx.begin(Mode::Blind, to_queue).unwrap();
    assert_eq!((pbx.latest().state, pbx.location), (State::Ringing, CallerLocation::Queue));
    pbx.somebody_in_the_queue_answers();
    assert_eq!(pbx.latest().state, State::Completed);
}

#[test]
fn an_action_that_is_refused_leaves_the_caller_with_the_operator() {
    let mut pbx = FakePbx::talking();
    pbx.refuses = true;
    pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    let view = pbx.latest();
    assert_eq!((view.outcome, pbx.location), (Some(Outcome::NotStarted), CallerLocation::WithOperator));
    pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
}

#[test]
fn one_at_a_time_and_only_by_those_who_may() {
    let mut pbx = FakePbx::talking();
    let call = pbx.call;
    let begin = Command::Begin { call, mode: Mode::Blind, plan: plan(&["09011112222"]) };
    let stranger = FakePbx::actor(Role::Operator, Some("1002"));
    let machine: &mut Transfers = &mut pbx.machine;
    assert_eq!(machine.command(pbx.now, &pbx.model, &stranger, begin.clone()), Err(Refusal::UnknownCall));
    let other_program = FakePbx::actor(Role::System, None);
    let refused = machine.command(pbx.now, &pbx.model, &other_program, begin.clone());
    assert!(matches!(refused, Err(Refusal::NotPermitted(_))));
    let id = pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    let admin = FakePbx::actor(Role::Admin, None);
    let again = pbx.machine.command(pbx.now, &pbx.model, &admin, begin);
    assert!(matches!(again, Err(Refusal::Conflict(_))), "{again:?}");
    let hidden = pbx.machine.command(pbx.now, &pbx.model, &stranger, Command::Show(id));
    assert_eq!(hidden, Err(Refusal::UnknownTransfer));
}

#[test]
fn what_a_gap_swallowed_is_found_in_the_model() {
    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    pbx.target_rings();
    pbx.lose_link();
    pbx.target_answers();
    pbx.restore_link();
    let view = pbx.latest();
    assert_eq!((view.state, view.inferred), (State::Completed, true));
    pbx.lose_link();
    pbx.target_hangs_up();
    pbx.restore_link();
    assert_eq!(pbx.latest().state, State::Over);
}

#[test]
fn a_transfer_goes_on_under_another_daemon() {
    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Blind, plan(&["09011112222", "09033334444"])).unwrap();
    pbx.target_fails(DialStatus::Busy, "BUSY", 17);
    pbx.target_rings();
    let before = pbx.latest();
    pbx.restart_daemon();
    let found = pbx.latest();
    assert_eq!((found.id, found.state, found.inferred), (before.id, State::Ringing, true));
    assert_eq!((&found.targets, &found.operator), (&before.targets, &before.operator));
    let outcomes: Vec<_> = found.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Unknown), None]);
    pbx.target_answers();
    assert_eq!(pbx.latest().state, State::Completed);
    pbx.restart_daemon();
    assert_eq!(pbx.latest().state, State::Completed);
    pbx.target_hangs_up();
    assert_eq!(pbx.latest().state, State::Over);
    assert!(pbx.machine.is_idle());

    let mut pbx = FakePbx::talking();
    pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    pbx.target_fails(DialStatus::Busy, "BUSY", 17);
    pbx.restart_daemon();
    assert_eq!(pbx.latest().state, State::Returning);
    pbx.operator_answers();
    assert_eq!(pbx.latest().state, State::Over);
    pbx.restart_daemon();
    assert_eq!(pbx.machine.latest_of(pbx.call), None, "nothing is left to follow");
}

#[test]
fn a_consultation_goes_on_under_another_daemon() {
    let mut pbx = FakePbx::talking();
    let id = pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_rings();
    pbx.restart_daemon();
    assert_eq!((pbx.latest().id, pbx.latest().state), (id, State::Ringing));
    pbx.target_answers();
    pbx.restart_daemon();
    assert_eq!(pbx.latest().state, State::Consulting);
    pbx.command(Command::Complete(id)).unwrap();
    assert_eq!((pbx.latest().state, pbx.location), (State::Completed, CallerLocation::WithTarget));

    let mut pbx = FakePbx::talking();
    let id = pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    pbx.target_answers();
    pbx.restart_daemon();
    pbx.command(Command::Cancel(id)).unwrap();
    assert_eq!((pbx.latest().state, pbx.location), (State::Over, CallerLocation::WithOperator));
}

#[test]
fn nobody_monitors_a_call_that_is_moved() {
    let mut pbx = FakePbx::talking();
    pbx.set_spied(true);
    pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    assert_eq!((pbx.latest().state, pbx.location), (State::Requested, CallerLocation::WithOperator));
    pbx.set_spied(false);
    assert_eq!((pbx.latest().state, pbx.location), (State::Trying, CallerLocation::Trying));

    // A supervisor who cannot be detached does not keep the caller.
    let mut pbx = FakePbx::talking();
    pbx.set_spied(true);
    pbx.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    assert_eq!(pbx.location, CallerLocation::WithOperator);
    pbx.pass(super::DETACH_TIMEOUT.as_secs());
    assert_eq!(pbx.location, CallerLocation::Consulted);

    // The command is answered although the caller has gone in the meantime.
    let mut pbx = FakePbx::talking();
    pbx.set_spied(true);
    pbx.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    pbx.caller_hangs_up();
    assert_eq!(pbx.latest().outcome, Some(Outcome::CallerGone));
    assert!(pbx.machine.is_idle());
}
