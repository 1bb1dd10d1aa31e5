//! The bus's own promise, over Redis: for any events, any cut and any eyes, snapshot and rest are the whole, at a gateway
//! that is not the one where the events are told; and whoever goes on at another one gets what is missing.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use tokio::task::unconstrained;

use super::*;
use crate::bus::tests::{Step, drain, known, learn, pbx, publish, steps, viewers};

/// Each begins with daemons and keys of its own.
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
        // What has arrived is read to its end in one go.
        runtime.block_on(unconstrained(is_whole(steps, cut, resume)))
    });
    held.unwrap_or_else(|error| panic!("{error}"));
}

async fn is_whole(steps: Vec<Step>, cut: usize, resume: usize) -> Result<(), TestCaseError> {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, pbx().as_str()).await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let (mut told, mut ids) = (BTreeMap::new(), Vec::new());
    let tell = |steps: &[Step], told: &mut BTreeMap<String, Change>, ids: &mut Vec<crate::bus::EventId>| {
        ids.extend(steps.iter().map(|step| publish(&osaka.bus, told, step)));
    };
    let follow = || viewers().into_iter().map(|viewer| tokyo.bus.subscribe(viewer, None).unwrap());
    // Tokyo's own link is the last event of either; what follows is of the steps alone.
    for node in [&osaka, &tokyo] {
        let both = |n: &Node| n.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx.len() == 2;
        node.until("both links", both).await;
    }
    ids.push(tokyo.bus.head());
    let (cut, resume) = (cut.min(steps.len()), resume.min(steps.len()));
    let mut whole: Vec<Subscription> = follow().collect();
    tell(&steps[..cut], &mut told, &mut ids);
    tokyo.until("the first part", |node| node.bus.head() == ids[cut]).await;
    let mut rest: Vec<Subscription> = follow().collect();
    tell(&steps[cut..], &mut told, &mut ids);
    for node in [&osaka, &tokyo] {
        node.until("all of it", |node| node.bus.head() == ids[steps.len()]).await;
    }

    for (viewer, (whole, rest)) in viewers().iter().zip(whole.iter_mut().zip(&mut rest)) {
        let mut from_whole = begun(whole);
        let events = drain(whole);
        events.iter().for_each(|event| learn(&mut from_whole, viewer, event, &told));
        let mut from_rest = begun(rest);
        drain(rest).iter().for_each(|event| learn(&mut from_rest, viewer, event, &told));
        prop_assert_eq!(&from_whole, &from_rest);
        for node in [&osaka, &tokyo] {
            prop_assert_eq!(&from_whole, &known(&node.bus.snapshot(viewer)));
        }

        let mut moved = osaka.bus.subscribe(viewer.clone(), Some(&ids[resume])).unwrap();
        prop_assert_eq!(moved.take_first(), Some(First::Resumed(ids[resume].clone())));
        let later = |id: &crate::bus::EventId| ids[resume + 1..].contains(id);
        let missed: Vec<_> = events.iter().map(|event| event.id()).filter(|id| later(id)).collect();
        let replayed = drain(&mut moved);
        prop_assert_eq!(missed, replayed.iter().map(|event| event.id()).collect::<Vec<_>>());
    }
    osaka.stop().await;
    tokyo.stop().await;
    Ok(())
}

/// What is known from the first frame.
fn begun(subscription: &mut Subscription) -> crate::bus::tests::Seen {
    match subscription.take_first() {
        Some(First::Snapshot(snapshot)) => known(&snapshot),
        other => panic!("no snapshot: {other:?}"),
    }
}
