//! The machine against the small PBX of `world.rs`, one story each.

use super::machine::{Command, NoticeKind, Transfers};
use super::view::{Mode, Outcome, ReturnedTo, State, TargetView};
use super::world::{Leave, Place, World, plan};
use crate::ami::event::DialStatus;
use crate::command::Refusal;
use crate::ids::{Extension, QueueName};
use crate::operator::Role;

fn kinds(world: &mut World) -> Vec<NoticeKind> {
    world.settle();
    world.told.iter().map(|notice| notice.kind).collect()
}

#[test]
fn blind_to_a_contact_who_answers_and_talks() {
    let mut world = World::talking();
    world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    world.target_rings();
    world.target_answers();
    assert_eq!(world.latest().state, State::Completed);
    world.pass(42);
    world.target_hangs_up();
    let over = world.latest();
    assert_eq!((over.state, over.outcome, over.talked_s), (State::Over, Some(Outcome::Answered), Some(42)));
    use NoticeKind::{Completed, Over, Requested, Ringing};
    assert_eq!(kinds(&mut world), [Requested, Ringing, Completed, Over]);
    assert!(world.machine.is_idle());
}

#[test]
fn what_the_target_did_is_told_apart() {
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
        let mut world = World::talking();
        world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
        world.target_rings();
        world.target_fails(status, reason, cause);
        world.settle();
        assert_eq!(world.place, Place::Returning);
        let view = world.latest();
        assert_eq!((view.state, view.outcome), (State::Returning, Some(outcome)), "{reason} {cause}");
        let operator = Extension::parse("1001").unwrap();
        assert_eq!(view.returned_to, Some(ReturnedTo::Operator(operator)));
        world.operator_answers();
        assert_eq!(world.latest().state, State::Over);
    }
}

#[test]
fn a_list_is_tried_in_order_until_one_accepts() {
    let mut world = World::talking();
    world.begin(Mode::Blind, plan(&["09011112222", "09033334444", "09055556666"])).unwrap();
    world.target_does_not_accept();
    world.target_fails(DialStatus::Busy, "BUSY", 17);
    world.target_answers();
    let view = world.latest();
    let outcomes: Vec<_> = view.attempts.iter().filter_map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::NotAccepted, Outcome::Busy, Outcome::Answered]);
    assert_eq!(view.state, State::Completed);
}

#[test]
fn a_consultation_completed_cancelled_and_declined() {
    let mut world = World::talking();
    let id = world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    world.target_rings();
    assert!(matches!(world.command(Command::Complete(id)), Err(Refusal::Conflict(_))));
    world.target_answers();
    assert_eq!(world.latest().state, State::Consulting);
    world.command(Command::Complete(id)).unwrap();
    assert_eq!((world.latest().state, world.place), (State::Completed, Place::WithTarget));

    let mut world = World::talking();
    let id = world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    world.target_answers();
    world.command(Command::Cancel(id)).unwrap();
    let view = world.latest();
    assert_eq!(
        (view.state, view.outcome, world.place),
        (State::Over, Some(Outcome::Cancelled), Place::WithOperator)
    );

    let mut world = World::talking();
    world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    world.target_answers();
    world.target_hangs_up();
    let view = world.latest();
    assert_eq!((view.outcome, world.place), (Some(Outcome::Declined), Place::WithOperator));
    assert!(view.returned_to.is_some());
}

#[test]
fn a_caller_whom_both_leave_in_the_same_instant_is_brought_back() {
    for order in Leave::ALL {
        let mut world = World::talking();
        world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
        world.target_answers();
        world.both_leave_at_once(order);
        world.pass(3);
        assert_eq!((world.latest().state, world.place), (State::Returning, Place::Returning), "{order:?}");
        world.operator_answers();
        let (view, outcome) = (world.latest(), order.outcome());
        assert_eq!(
            (view.state, view.outcome, world.place),
            (State::Over, Some(outcome), Place::WithOperator),
            "{order:?}"
        );
        assert!(view.returned_to.is_some() && view.completed_at.is_none(), "{order:?}");
    }
}

#[test]
fn an_operator_who_leaves_while_it_rings_has_transferred() {
    let mut world = World::talking();
    world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    world.target_rings();
    world.operator_hangs_up();
    world.settle();
    assert_eq!(world.place, Place::Trying);
    world.target_answers();
    assert_eq!(world.latest().state, State::Completed);
}

#[test]
fn a_caller_who_leaves_a_ringing_consultation_frees_the_contact() {
    let mut world = World::talking();
    world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    world.target_rings();
    world.caller_hangs_up();
    assert_eq!(world.latest().outcome, Some(Outcome::CallerGone));
    assert_eq!(world.model.census().legs, 0, "the contact's phone is free");
}

#[test]
fn a_queue_is_a_target_too() {
    let mut world = World::talking();
    let mut to_queue = plan(&["x"]);
    let queue = QueueName::parse("operators").unwrap();
    to_queue.targets[0].view = TargetView::Queue { queue };
    to_queue.targets[0].dial = None;
    world.begin(Mode::Blind, to_queue).unwrap();
    assert_eq!((world.latest().state, world.place), (State::Ringing, Place::Queue));
    world.somebody_in_the_queue_answers();
    assert_eq!(world.latest().state, State::Completed);
}

#[test]
fn an_order_that_is_refused_leaves_the_caller_where_she_is() {
    let mut world = World::talking();
    world.refuses = true;
    world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    let view = world.latest();
    assert_eq!((view.outcome, world.place), (Some(Outcome::NotStarted), Place::WithOperator));
    world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
}

#[test]
fn one_at_a_time_and_only_by_those_who_may() {
    let mut world = World::talking();
    let call = world.call;
    let begin = Command::Begin { call, mode: Mode::Blind, plan: plan(&["09011112222"]) };
    let stranger = World::actor(Role::Operator, Some("1002"));
    let machine: &mut Transfers = &mut world.machine;
    assert_eq!(machine.command(world.now, &world.model, &stranger, begin.clone()), Err(Refusal::UnknownCall));
    let other_program = World::actor(Role::System, None);
    let refused = machine.command(world.now, &world.model, &other_program, begin.clone());
    assert!(matches!(refused, Err(Refusal::NotPermitted(_))));
    let id = world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    let admin = World::actor(Role::Admin, None);
    let again = world.machine.command(world.now, &world.model, &admin, begin);
    assert!(matches!(again, Err(Refusal::Conflict(_))), "{again:?}");
    let hidden = world.machine.command(world.now, &world.model, &stranger, Command::Show(id));
    assert_eq!(hidden, Err(Refusal::UnknownTransfer));
}

#[test]
fn what_a_gap_swallowed_is_found_in_the_model() {
    let mut world = World::talking();
    world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    world.target_rings();
    world.goes_deaf();
    world.target_answers();
    world.hears_again();
    let view = world.latest();
    assert_eq!((view.state, view.inferred), (State::Completed, true));
    world.goes_deaf();
    world.target_hangs_up();
    world.hears_again();
    assert_eq!(world.latest().state, State::Over);
}

#[test]
fn a_transfer_goes_on_under_another_daemon() {
    let mut world = World::talking();
    world.begin(Mode::Blind, plan(&["09011112222", "09033334444"])).unwrap();
    world.target_fails(DialStatus::Busy, "BUSY", 17);
    world.target_rings();
    let before = world.latest();
    world.daemon_restarts();
    let found = world.latest();
    assert_eq!((found.id, found.state, found.inferred), (before.id, State::Ringing, true));
    assert_eq!((&found.targets, &found.operator), (&before.targets, &before.operator));
    let outcomes: Vec<_> = found.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Unknown), None]);
    world.target_answers();
    assert_eq!(world.latest().state, State::Completed);
    world.daemon_restarts();
    assert_eq!(world.latest().state, State::Completed);
    world.target_hangs_up();
    assert_eq!(world.latest().state, State::Over);
    assert!(world.machine.is_idle());

    let mut world = World::talking();
    world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    world.target_fails(DialStatus::Busy, "BUSY", 17);
    world.daemon_restarts();
    assert_eq!(world.latest().state, State::Returning);
    world.operator_answers();
    assert_eq!(world.latest().state, State::Over);
    world.daemon_restarts();
    assert_eq!(world.machine.latest_of(world.call), None, "nothing is left to follow");
}

#[test]
fn a_consultation_goes_on_under_another_daemon() {
    let mut world = World::talking();
    let id = world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    world.target_rings();
    world.daemon_restarts();
    assert_eq!((world.latest().id, world.latest().state), (id, State::Ringing));
    world.target_answers();
    world.daemon_restarts();
    assert_eq!(world.latest().state, State::Consulting);
    world.command(Command::Complete(id)).unwrap();
    assert_eq!((world.latest().state, world.place), (State::Completed, Place::WithTarget));

    let mut world = World::talking();
    let id = world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    world.target_answers();
    world.daemon_restarts();
    world.command(Command::Cancel(id)).unwrap();
    assert_eq!((world.latest().state, world.place), (State::Over, Place::WithOperator));
}

#[test]
fn nobody_hears_a_call_that_is_moved() {
    let mut world = World::talking();
    world.spied(true);
    world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    assert_eq!((world.latest().state, world.place), (State::Requested, Place::WithOperator));
    world.spied(false);
    assert_eq!((world.latest().state, world.place), (State::Trying, Place::Trying));

    // A supervisor who cannot be detached does not keep the caller.
    let mut world = World::talking();
    world.spied(true);
    world.begin(Mode::Consult, plan(&["09011112222"])).unwrap();
    assert_eq!(world.place, Place::WithOperator);
    world.pass(super::DETACH_WAIT.as_secs());
    assert_eq!(world.place, Place::Consulted);

    // Whoever asked is answered although the caller has gone meanwhile.
    let mut world = World::talking();
    world.spied(true);
    world.begin(Mode::Blind, plan(&["09011112222"])).unwrap();
    world.caller_hangs_up();
    assert_eq!(world.latest().outcome, Some(Outcome::CallerGone));
    assert!(world.machine.is_idle());
}
