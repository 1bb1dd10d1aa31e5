//! Property test of the bus's invariant over Redis: for any events, cut point and viewer, a snapshot and the later events
//! equal all events, at a gateway that did not publish them; and a client that resumes at another gateway misses nothing.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use tokio::task::unconstrained;

use super::*;
use crate::bus::tests::{Step, apply_event, client_state, drain, pbx, publish_step, steps, viewers};

/// Each case has daemons and keys of its own.
const CASES: u32 = 48;

#[test]
fn snapshot_and_rest_equal_the_whole_at_every_gateway() {
    let runtime = Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    });
    let any = (steps(), 0..60_usize, 0..60_usize);
    let held = runner.run(&any, |(steps, cut, resume)| {
        // Reads everything that has arrived without yielding.
        runtime.block_on(unconstrained(is_whole(steps, cut, resume)))
    });
    held.unwrap_or_else(|error| panic!("{error}"));
}

async fn is_whole(steps: Vec<Step>, cut: usize, resume: usize) -> Result<(), TestCaseError> {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, pbx().as_str()).await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let (mut published, mut ids) = (BTreeMap::new(), Vec::new());
    let publish_steps = |steps: &[Step],
                         published: &mut BTreeMap<String, StateDelta>,
                         ids: &mut Vec<crate::contract::event_id::EventId>| {
        ids.extend(steps.iter().map(|step| publish_step(&osaka.bus, published, step)));
    };
    let follow = || viewers().into_iter().map(|viewer| tokyo.bus.subscribe(viewer, None).unwrap());
    // Tokyo's link is the last event before those of the steps.
    for node in [&osaka, &tokyo] {
        let both = |n: &Node| n.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.len() == 2;
        node.until("both links", both).await;
    }
    ids.push(tokyo.bus.head());
    let (cut, resume) = (cut.min(steps.len()), resume.min(steps.len()));
    let mut whole: Vec<Subscription> = follow().collect();
    publish_steps(&steps[..cut], &mut published, &mut ids);
    tokyo.until("the first part", |node| node.bus.head() == ids[cut]).await;
    let mut rest: Vec<Subscription> = follow().collect();
    publish_steps(&steps[cut..], &mut published, &mut ids);
    for node in [&osaka, &tokyo] {
        node.until("all of it", |node| node.bus.head() == ids[steps.len()]).await;
    }

    for (viewer, (whole, rest)) in viewers().iter().zip(whole.iter_mut().zip(&mut rest)) {
        let mut from_whole = begun(whole);
        let events = drain(whole);
        events.iter().for_each(|event| apply_event(&mut from_whole, viewer, event, &published));
        let mut from_rest = begun(rest);
        drain(rest).iter().for_each(|event| apply_event(&mut from_rest, viewer, event, &published));
        prop_assert_eq!(&from_whole, &from_rest);
        for node in [&osaka, &tokyo] {
            prop_assert_eq!(&from_whole, &client_state(&node.bus.snapshot(viewer)));
        }

        let mut moved = osaka.bus.subscribe(viewer.clone(), Some(&ids[resume])).unwrap();
        prop_assert_eq!(moved.take_start(), Some(StreamStart::Resumed(ids[resume].clone())));
        let later = |id: &crate::contract::event_id::EventId| ids[resume + 1..].contains(id);
        let missed: Vec<_> = events.iter().map(|event| event.id()).filter(|id| later(id)).collect();
        let replayed = drain(&mut moved);
        prop_assert_eq!(missed, replayed.iter().map(|event| event.id()).collect::<Vec<_>>());
    }
    osaka.stop().await;
    tokyo.stop().await;
    Ok(())
}

/// The state after the snapshot.
fn begun(subscription: &mut Subscription) -> crate::bus::tests::ClientState {
    match subscription.take_start() {
        Some(StreamStart::Snapshot(snapshot)) => client_state(&snapshot),
        other => panic!("no snapshot: {other:?}"),
    }
}
