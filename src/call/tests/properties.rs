//! Properties over random events: the invariant holds, each call sends a valid sequence of notices, and the model is
//! deterministic.

use proptest::prelude::*;

use super::*;

fn any_channel() -> impl Strategy<Value = Channel> {
    let names = [
        "PJSIP/trunk-00000001",
        "PJSIP/1001-00000002",
        "PJSIP/1002-00000003",
        "PJSIP/trunk-00000004",
        "Local/1001@q-00000001;1",
        "Local/1001@q-00000001;2",
        "PJSIP/1003-00000007",
    ];
    let states = [ChannelState::Down, ChannelState::Ring, ChannelState::Ringing, ChannelState::Up];
    (0..names.len(), 0..states.len(), 0u32..7).prop_map(move |(name, state, linked)| {
        Ch { name: names[name], n: u32::try_from(name).unwrap() + 1, linked: linked + 1 }
            .channel(states[state])
    })
}

fn any_input() -> impl Strategy<Value = Input> {
    let status = prop_oneof![
        Just(DialStatus::Answer),
        Just(DialStatus::Busy),
        Just(DialStatus::NoAnswer),
        Just(DialStatus::Cancel),
    ];
    let c = any_channel;
    let event = prop_oneof![
        3 => c().prop_map(Event::ChannelCreated),
        3 => c().prop_map(Event::ChannelState),
        2 => (c(), 0u16..45).prop_map(|(channel, cause)| Event::ChannelGone { channel, cause }),
        1 => (c(), 0u16..45).prop_map(|(channel, cause)| Event::HangupRequested { channel, cause }),
        3 => (proptest::option::of(c()), c()).prop_map(|(by, to)| Event::DialBegan { by, to, number: None }),
        1 => c().prop_map(|to| Event::DialRinging { to }),
        2 => (c(), status).prop_map(|(to, status)| Event::DialEnded { to, status }),
        1 => (c(), c()).prop_map(|(one, two)| Event::LocalPaired { one, two }),
        3 => (0u32..3, c(), any::<bool>()).prop_map(|(n, channel, mixing)| Event::BridgeEntered {
            bridge: bridge(n),
            kind: if mixing { BridgeKind::Mixing } else { BridgeKind::Holding },
            channel,
            swapped: None,
        }),
        2 => (0u32..3, c()).prop_map(|(n, channel)| Event::BridgeLeft { bridge: bridge(n), channel }),
        1 => (0u32..3, 0u32..3).prop_map(|(a, b)| Event::BridgeMerged { from: bridge(a), to: bridge(b) }),
        1 => (0u32..3).prop_map(|n| Event::BridgeGone(bridge(n))),
        1 => c().prop_map(Event::Held),
        1 => c().prop_map(|channel| Event::QueueJoined { channel, queue: QueueName::parse("q").unwrap(), position: None }),
        1 => c().prop_map(Event::QueueLeft),
        1 => c().prop_map(|channel| Event::ChannelListed {
            channel, bridge: None, application: "Queue".into(), arguments: "".into()
        }),
    ];
    prop_oneof![
        20 => event.prop_map(Input::Pbx),
        1 => any::<bool>().prop_map(|restarted| Input::LinkUp { restarted }),
        1 => Just(Input::LinkDown),
        1 => Just(Input::ListBegan),
        1 => Just(Input::ListEnded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In any order of events the invariant holds and the notices of each call are a valid sequence.
    #[test]
    fn any_order_of_events_keeps_the_invariant(
        inputs in proptest::collection::vec((any_input(), 0u64..400), 1..60),
        prompt in any::<bool>(),
        restart in 0usize..120,
    ) {
        let mut rig = Rig::new();
        if !prompt {
            rig.answer_with = None;
        }
        for (n, (input, wait)) in inputs.into_iter().enumerate() {
            if n == restart {
                rig.restarts();
            }
            rig.input(input);
            if wait < 120 {
                rig.passes(wait);
            }
        }
        rig.input(Input::LinkUp { restarted: true });
        rig.passes(30_000);
        prop_assert_eq!(rig.model.stats(), ModelStats { calls: 0, legs: 0, bridges: 0, timers: 0 });
        let calls: std::collections::BTreeSet<_> = rig.views.iter().map(|v| v.id).collect();
        for call in calls {
            let texts: Vec<&String> =
                rig.views.iter().zip(&rig.notices).filter(|(v, _)| v.id == call).map(|(_, text)| text).collect();
            prop_assert_eq!(texts[0].as_str(), "offered");
            prop_assert_eq!(texts.iter().filter(|text| text.starts_with("ended")).count(), 1, "{:?}", texts);
            prop_assert!(texts[texts.len() - 1].starts_with("ended"), "{:?}", texts);
            for operator in ["1001", "1002", "1003"] {
                let mut open = false;
                for text in &texts {
                    if **text == format!("presented {operator}") {
                        prop_assert!(!open, "presented twice: {:?}", texts);
                        open = true;
                    } else if **text == format!("answered {operator}")
                        || text.starts_with(&format!("rescinded {operator} "))
                    {
                        prop_assert!(open, "never presented: {:?}", texts);
                        open = false;
                    }
                }
                prop_assert!(!open, "left open: {:?}", texts);
            }
        }
    }

    /// The same inputs give the same outputs.
    #[test]
    fn the_model_is_deterministic(inputs in proptest::collection::vec(any_input(), 1..40)) {
        let run = |inputs: &[Input]| {
            let mut rig = Rig::new();
            for input in inputs {
                rig.input(input.clone());
            }
            rig.notices
        };
        prop_assert_eq!(run(&inputs), run(&inputs));
    }
}
