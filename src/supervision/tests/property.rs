//! Random sequences of inputs keep the invariants of a session.

use crate::contract::supervision::{AfterTransfer, Mode, SupervisionId, Target};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    SetOperator(u8, Option<&'static str>),
    End(u8),
    Answer,
    Spy,
    Unspy,
    EndChannel,
    Switch(Mode),
    Stop,
    Pause,
    Resume,
    Refused,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let operator = prop_oneof![Just(None), Just(Some("1001")), Just(Some("1002"))];
    let mode = prop_oneof![Just(Mode::Listen), Just(Mode::Whisper), Just(Mode::Barge), Just(Mode::TakeOver)];
    prop_oneof![
        (0..3_u8, operator).prop_map(|(number, operator)| Step::SetOperator(number, operator)),
        (0..3_u8).prop_map(Step::End),
        Just(Step::Answer),
        Just(Step::Spy),
        Just(Step::Unspy),
        Just(Step::EndChannel),
        mode.prop_map(Step::Switch),
        Just(Step::Stop),
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Refused),
        (0..40_i64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// For every order of inputs: the caller's channel is never spied on, nobody speaks to an external party, and after the
    /// end of the call and some time the session has ended with exactly one notice.
    #[test]
    fn a_session_always_ends_and_hears_no_caller(
        follow: bool,
        policy in prop_oneof![
            Just(AfterTransfer::Operator), Just(AfterTransfer::Caller), Just(AfterTransfer::End)
        ],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut rig = Rig::with(policy);
        rig.calls.set(1, Some("1001"));
        let leg = rig.start(1, Target::Operator { operator: ext("1001"), follow }, Mode::Listen);
        let id = SupervisionId(Uuid::from_u128(1));
        for step in steps {
            match step {
                Step::SetOperator(number, operator) => rig.set_operator(number, operator),
                Step::End(number) => {
                    rig.calls.0.remove(&call(number));
                    rig.input(Input::CallsChanged);
                }
                Step::Answer => rig.answer_phone(&leg),
                Step::Spy => {
                    if let Some(target) = rig.machine.get(id).and_then(|session| session.monitor_target.clone()) {
                        rig.start_spy(&leg, &target);
                    }
                }
                Step::Unspy => rig.stop_spy(&leg),
                Step::EndChannel => rig.end_channel(&leg, 16),
                Step::Switch(mode) => rig.input(Input::Switch(id, mode)),
                Step::Stop => rig.input(Input::Stop(id)),
                Step::Pause => rig.input(Input::Pause { call: call(1), leaves: follow }),
                Step::Resume => rig.input(Input::Resume(call(1))),
                Step::Refused => rig.input(Input::ActionRefused(id)),
                Step::Wait(seconds) => rig.pass(SignedDuration::from_secs(seconds)),
            }
            for session in rig.machine.iter() {
                if let Some(target) = &session.monitor_target {
                    prop_assert!(target.operator == ext("1001") || policy == AfterTransfer::Caller && !follow);
                    prop_assert!(!target.channel.as_str().starts_with("caller"));
                    prop_assert!(!target.external || session.mode == Mode::Listen);
                }
            }
        }
        rig.calls.0.clear();
        rig.input(Input::CallsChanged);
        rig.input(Input::Stop(id));
        rig.pass(SignedDuration::from_mins(20));
        rig.pass(SignedDuration::from_mins(20));
        prop_assert_eq!(rig.machine.len(), 0);
        let stopped = rig.notices.iter().filter(|(notice, _)| matches!(notice, Notice::Stopped(_))).count();
        prop_assert_eq!(stopped, 1);
    }
}
