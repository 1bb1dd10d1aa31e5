//! The same promise over restarts of the daemon: a log in a real database, and crashes at any point.

use crate::contract::event::{Audience, StateDelta};
use std::path::Path;

use super::*;
use crate::store::Store;
use crate::store::log::LogLimits;

/// One run of the daemon: its bus, its journal queue and its store.
struct Run {
    bus: Bus,
    journal: Arc<JournalQueue>,
    store: Store,
    stream: StreamToken,
}

impl Run {
    /// Continues after the log in `path`; `logged` is the state at its end.
    async fn start(path: &Path, n: usize, kept: usize, logged: &ClientState) -> Self {
        let store = Store::open(path).await.unwrap();
        let stream = StreamToken::parse(&format!("run{n}")).unwrap();
        store.claim_log(&pbx(), &stream).await.unwrap();
        let limits = LogLimits { events_max: kept, bytes_max: usize::MAX, since: Timestamp::MIN };
        let found = store.read_log(&pbx(), limits).await.unwrap();
        let settings = BusSettings {
            pbx: pbx(),
            stream: stream.clone(),
            replay_events_max: kept,
            replay_age_max: Duration::from_secs(3600),
            subscriber_events_max: 1000,
            subscribers_max: 64,
        };
        let calls = logged.calls.values().map(|call| CallView::clone(call)).collect();
        let link = logged.link.map(|up| PbxStatus { id: pbx(), up, since: Timestamp::UNIX_EPOCH });
        let restored =
            RestoredLog { head: found.head, events: found.events, calls, pbx: link.into_iter().collect() };
        let journal = Arc::new(JournalQueue::default());
        Self { bus: Bus::restored(settings, restored, Some(Arc::clone(&journal))), journal, store, stream }
    }

    /// Writes the queued batch, as the writer task does.
    async fn write(&self) {
        if self.bus.head_position() > 0
            && let Ok(Some(batch)) =
                tokio::time::timeout(Duration::from_millis(1), self.journal.next_batch(Duration::ZERO)).await
        {
            // Twice, because the answer to a commit may be lost.
            for _ in 0..2 {
                self.store.write_log(&pbx(), &self.stream, &batch).await.unwrap();
            }
        }
    }
}

/// What the daemon publishes after a crash: the difference between the published and the actual state.
fn difference(published: &ClientState, real: &ClientState) -> Vec<NewEvent> {
    let gone =
        published.calls.keys().filter(|id| !real.calls.contains_key(id)).map(|id| StateDelta::CallGone(*id));
    let other = real
        .calls
        .values()
        .filter(|call| published.calls.get(&call.id) != Some(call))
        .cloned()
        .map(StateDelta::Call);
    let audience = |change: &StateDelta| match change {
        StateDelta::Call(view) if view.operators().next().is_some() => {
            Audience::Operators(view.operators().cloned().collect())
        }
        StateDelta::Call(view) if !view.left().is_empty() => {
            Audience::SupervisorsOfPeople(view.left().to_vec())
        }
        _ => Audience::Supervisors,
    };
    let at = Timestamp::UNIX_EPOCH;
    let left = published.operators.keys().filter(|id| !real.operators.contains_key(id));
    let work = real.operators.iter().filter(|(id, view)| published.operators.get(id) != Some(view));
    let link = real.link.filter(|_| published.link != real.link);
    gone.chain(other)
        .map(|change| new_event(audience(&change), change))
        .chain(left.map(|id| publish::operator_removed(*id, at)))
        .chain(work.map(|(_, view)| publish::operator_state(StateView::clone(view), None, at)))
        .chain(link.map(|up| to_event(&Step::Link(up))))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn snapshot_and_rest_equal_the_whole_over_crashes(
        runs in prop::collection::vec((steps(), 0..60usize), 2..4),
        cut in 0..240usize,
        kept in prop_oneof![Just(1000usize), 1..40usize],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log.db");
            let (mut real, mut logged) = (ClientState::default(), ClientState::default());
            let mut published = BTreeMap::new();
            // Every id that can be a client's last one, with the states of all clients at that point.
            let mut received: Vec<(EventId, Vec<ClientState>)> = Vec::new();
            let mut lost: Vec<EventId> = Vec::new();
            let last = runs.len() - 1;
            for (n, (steps, written)) in runs.iter().enumerate() {
                let run = Run::start(&path, n, kept, &logged).await;
                let mut desktops: Vec<_> =
                    viewers().into_iter().map(|v| (run.bus.subscribe(v.clone(), None).unwrap(), v)).collect();
                let mut states: Vec<ClientState> = desktops
                    .iter_mut()
                    .map(|(desktop, _)| match desktop.take_start() {
                        Some(StreamStart::Snapshot(snapshot)) => client_state(&snapshot),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let everything = Viewer::unrestricted(Role::Admin);
                let mut events = difference(&client_state(&run.bus.snapshot(&everything)), &real);
                events.extend(steps.iter().map(to_event));
                let mut after = logged.clone();
                for (k, event) in events.into_iter().enumerate() {
                    let change = event.change.clone();
                    real.apply(&change, &everything);
                    after.apply(&change, &everything);
                    let id = run.bus.publish(event);
                    published.insert(id.to_string(), change);
                    for ((desktop, viewer), state) in desktops.iter_mut().zip(&mut states) {
                        for event in drain(desktop) {
                            apply_event(state, viewer, &event, &published);
                        }
                    }
                    received.push((id.clone(), states.clone()));
                    if n == last || k < *written {
                        run.write().await;
                        logged = after.clone();
                    } else {
                        lost.push(id);
                    }
                }
                if n < last {
                    // kill -9
                    run.store.close().await;
                    continue;
                }
                let Some((id, states)) = received.get(cut % received.len().max(1)) else { continue };
                for (viewer, mut state) in viewers().into_iter().zip(states.iter().cloned()) {
                    let mut back = run.bus.subscribe(viewer.clone(), Some(id)).unwrap();
                    match back.take_start().unwrap() {
                        StreamStart::Resumed(after) => {
                            assert_eq!(&after, id);
                            assert!(!lost.contains(id), "resumed after an event that the crash lost");
                        }
                        StreamStart::Snapshot(snapshot) => {
                            assert!(lost.contains(id) || kept < 1000, "{id} is logged and kept");
                            state = client_state(&snapshot);
                        }
                    }
                    for event in drain(&mut back) {
                        apply_event(&mut state, &viewer, &event, &published);
                    }
                    assert_eq!(state, client_state(&run.bus.snapshot(&viewer)));
                    let mut visible = real.clone();
                    visible.calls.retain(|_, call| viewer.sees_call(call));
                    visible.operators.retain(|_, view| viewer.sees_state(view));
                    assert_eq!(state, visible);
                }
                run.store.close().await;
            }
        });
    }
}

#[tokio::test]
async fn a_discarded_log_starts_again_and_counts_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let run = Run::start(&path, 0, 100_000, &ClientState::default()).await;
    let before = run.bus.publish(to_event(&Step::Unrelated));
    run.write().await;
    for _ in 0..=crate::journal::queue::LOG_EVENTS_QUEUED_MAX {
        run.bus.publish(to_event(&Step::Unrelated));
    }
    assert_eq!(run.journal.stats().discarded_total, 1);
    let kept = run.bus.publish(to_event(&Step::Unrelated));
    run.write().await;
    run.store.close().await;
    let again = Run::start(&path, 1, 100_000, &ClientState::default()).await;
    let next = again.bus.publish(to_event(&Step::Unrelated));
    let admin = || Viewer::unrestricted(Role::Admin);
    let mut lost = again.bus.subscribe(admin(), Some(&before)).unwrap();
    assert!(matches!(lost.take_start(), Some(StreamStart::Snapshot(_))));
    let mut back = again.bus.subscribe(admin(), Some(&kept)).unwrap();
    assert_eq!(back.take_start(), Some(StreamStart::Resumed(kept)));
    assert_eq!(drain(&mut back).iter().map(|e| e.id().clone()).collect::<Vec<_>>(), [next]);
    again.store.close().await;
}

#[tokio::test]
async fn a_daemon_that_was_displaced_writes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let first = Run::start(&path, 0, 100, &ClientState::default()).await;
    let second = Run::start(&path, 1, 100, &ClientState::default()).await;
    first.bus.publish(to_event(&Step::Unrelated));
    let batch = first.journal.next_batch(Duration::ZERO).await.unwrap();
    let refused = first.store.write_log(&pbx(), &first.stream, &batch).await.unwrap_err();
    assert!(matches!(refused, crate::store::StoreError::Displaced));
    second.bus.publish(to_event(&Step::Unrelated));
    second.write().await;
    first.store.close().await;
    second.store.close().await;
}
