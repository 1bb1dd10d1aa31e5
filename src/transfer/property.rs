//! Whatever happens in whatever order: the caller ends with a person, in a queue or hung up, and never alone in
//! silence; and no transfer stays under way for ever, which would keep the next one from beginning.

use proptest::prelude::*;

use super::machine::Command;
use super::view::{Mode, State};
use super::world::{Place, World, plan};
use crate::ami::event::DialStatus;

#[derive(Debug, Clone, Copy)]
enum Act {
    Begin(Mode),
    Complete,
    Cancel,
    TargetRings,
    TargetAnswers,
    TargetBusy,
    TargetSilent,
    TargetDoesNotAccept,
    TargetHangsUp,
    OperatorHangsUp,
    OperatorAnswers,
    OperatorDoesNotAnswer,
    OperatorIsGone,
    SomebodyInTheQueueAnswers,
    CallerHangsUp,
    LinkBreaks,
    LinkIsBack,
    DaemonRestarts,
    PbxRefuses,
    Pass(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    use Act::*;
    let act = prop_oneof![
        4 => prop_oneof![Just(Begin(Mode::Blind)), Just(Begin(Mode::Consult))],
        2 => Just(Complete),
        2 => Just(Cancel),
        4 => Just(TargetRings),
        3 => Just(TargetAnswers),
        3 => prop_oneof![Just(TargetBusy), Just(TargetSilent), Just(TargetDoesNotAccept), Just(TargetHangsUp)],
        2 => Just(OperatorHangsUp),
        2 => prop_oneof![Just(OperatorAnswers), Just(OperatorDoesNotAnswer), Just(OperatorIsGone)],
        2 => Just(SomebodyInTheQueueAnswers),
        1 => Just(CallerHangsUp),
        1 => Just(LinkBreaks),
        2 => Just(LinkIsBack),
        1 => Just(DaemonRestarts),
        1 => Just(PbxRefuses),
        2 => any::<u8>().prop_map(Pass),
    ];
    proptest::collection::vec(act, 1..25)
}

fn play(world: &mut World, act: Act) {
    let latest = world.machine.latest_of(world.call).map(|view| view.id);
    match act {
        Act::Begin(mode) => {
            let numbers: &[&str] =
                if mode == Mode::Blind { &["09011112222", "09033334444"] } else { &["09011112222"] };
            drop(world.begin(mode, plan(numbers)));
        }
        Act::Complete => drop(latest.map(|id| world.command(Command::Complete(id)))),
        Act::Cancel => drop(latest.map(|id| world.command(Command::Cancel(id)))),
        Act::TargetRings => world.target_rings(),
        Act::TargetAnswers => world.target_answers(),
        Act::TargetBusy => world.target_fails(DialStatus::Busy, "BUSY", 17),
        Act::TargetSilent => world.target_fails(DialStatus::NoAnswer, "NOANSWER", 0),
        Act::TargetDoesNotAccept => world.target_does_not_accept(),
        Act::TargetHangsUp => world.target_hangs_up(),
        Act::OperatorHangsUp => world.operator_hangs_up(),
        Act::OperatorAnswers => world.operator_answers(),
        Act::OperatorDoesNotAnswer => world.operator_does_not_answer(),
        Act::OperatorIsGone => world.operator_gone = true,
        Act::SomebodyInTheQueueAnswers => world.somebody_in_the_queue_answers(),
        Act::CallerHangsUp => world.caller_hangs_up(),
        Act::LinkBreaks => world.goes_deaf(),
        Act::LinkIsBack => world.hears_again(),
        Act::DaemonRestarts => world.daemon_restarts(),
        Act::PbxRefuses => world.refuses = true,
        Act::Pass(seconds) => world.pass(u64::from(seconds)),
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_caller_ends_with_a_person_in_a_queue_or_hung_up(acts in acts()) {
        let mut world = World::talking();
        for act in acts {
            play(&mut world, act);
        }
        world.refuses = false;
        world.hears_again();
        // Nobody does anything any more: phones ring out, and the dialplan goes on alone.
        for _ in 0..8 {
            world.target_fails(DialStatus::NoAnswer, "NOANSWER", 0);
            world.settle();
            world.operator_does_not_answer();
            world.settle();
            world.pass(120);
        }
        let view = world.machine.latest_of(world.call).cloned();
        match world.place {
            Place::WithOperator | Place::WithTarget | Place::Gone | Place::Queue => {}
            // Operator and contact speak; one of them ends it, and the PBX gives the caller to the other.
            Place::Consulted => {
                world.operator_hangs_up();
                world.settle();
                prop_assert!(matches!(world.place, Place::WithTarget | Place::Trying), "{:?}", world.place);
            }
            alone => prop_assert!(false, "the caller is left {:?}: {:?}", alone, view),
        }
        world.somebody_in_the_queue_answers();
        world.settle();
        if world.place == Place::WithOperator || world.place == Place::Gone {
            world.pass(120);
            let view = world.machine.latest_of(world.call);
            prop_assert!(view.is_none_or(|view| view.state == State::Over), "still under way: {:?}", view);
            prop_assert!(world.machine.is_idle());
            prop_assert_eq!(world.machine.poll_timeout(), None);
        }
    }
}
