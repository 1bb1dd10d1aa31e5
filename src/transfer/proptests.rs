//! Property: in any order of events the caller ends with a person, in a queue or hung up, and never alone in silence; and
//! every transfer ends, since one that stays under way would block the next.

use proptest::prelude::*;

use super::fake_pbx::{CallerLocation, FakePbx, plan};
use super::machine::Command;
use crate::ami::event::DialStatus;
use crate::contract::transfer::{Mode, State};

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
    LinkLost,
    LinkRestored,
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
        1 => Just(LinkLost),
        2 => Just(LinkRestored),
        1 => Just(DaemonRestarts),
        1 => Just(PbxRefuses),
        2 => any::<u8>().prop_map(Pass),
    ];
    proptest::collection::vec(act, 1..25)
}

fn play(pbx: &mut FakePbx, act: Act) {
    let latest = pbx.machine.latest_of(pbx.call).map(|view| view.id);
    match act {
        Act::Begin(mode) => {
            let numbers: &[&str] =
                if mode == Mode::Blind { &["09011112222", "09033334444"] } else { &["09011112222"] };
            drop(pbx.begin(mode, plan(numbers)));
        }
        Act::Complete => drop(latest.map(|id| pbx.command(Command::Complete(id)))),
        Act::Cancel => drop(latest.map(|id| pbx.command(Command::Cancel(id)))),
        Act::TargetRings => pbx.target_rings(),
        Act::TargetAnswers => pbx.target_answers(),
        Act::TargetBusy => pbx.target_fails(DialStatus::Busy, "BUSY", 17),
        Act::TargetSilent => pbx.target_fails(DialStatus::NoAnswer, "NOANSWER", 0),
        Act::TargetDoesNotAccept => pbx.target_does_not_accept(),
        Act::TargetHangsUp => pbx.target_hangs_up(),
        Act::OperatorHangsUp => pbx.operator_hangs_up(),
        Act::OperatorAnswers => pbx.operator_answers(),
        Act::OperatorDoesNotAnswer => pbx.operator_does_not_answer(),
        Act::OperatorIsGone => pbx.operator_gone = true,
        Act::SomebodyInTheQueueAnswers => pbx.somebody_in_the_queue_answers(),
        Act::CallerHangsUp => pbx.caller_hangs_up(),
        Act::LinkLost => pbx.lose_link(),
        Act::LinkRestored => pbx.restore_link(),
        Act::DaemonRestarts => pbx.restart_daemon(),
        Act::PbxRefuses => pbx.refuses = true,
        Act::Pass(seconds) => pbx.pass(u64::from(seconds)),
    }
    pbx.drive();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_caller_ends_with_a_person_in_a_queue_or_hung_up(acts in acts()) {
        let mut pbx = FakePbx::talking();
        for act in acts {
            play(&mut pbx, act);
        }
        pbx.refuses = false;
        pbx.restore_link();
        // Nobody acts any more: phones ring out, and the dialplan continues alone.
        for _ in 0..8 {
            pbx.target_fails(DialStatus::NoAnswer, "NOANSWER", 0);
            pbx.drive();
            pbx.operator_does_not_answer();
            pbx.drive();
            pbx.pass(120);
        }
        let view = pbx.machine.latest_of(pbx.call).cloned();
        match pbx.location {
            CallerLocation::WithOperator | CallerLocation::WithTarget | CallerLocation::Gone | CallerLocation::Queue => {}
            // Operator and contact talk; one hangs up, and the PBX gives the caller to the other.
            CallerLocation::Consulted => {
                pbx.operator_hangs_up();
                pbx.drive();
                prop_assert!(matches!(pbx.location, CallerLocation::WithTarget | CallerLocation::Trying), "{:?}", pbx.location);
            }
            alone => prop_assert!(false, "the caller is left {:?}: {:?}", alone, view),
        }
        pbx.somebody_in_the_queue_answers();
        pbx.drive();
        if pbx.location == CallerLocation::WithOperator || pbx.location == CallerLocation::Gone {
            pbx.pass(120);
            let view = pbx.machine.latest_of(pbx.call);
            prop_assert!(view.is_none_or(|view| view.state == State::Over), "still under way: {:?}", view);
            prop_assert!(pbx.machine.is_idle());
            prop_assert_eq!(pbx.machine.poll_timeout(), None);
        }
    }
}
