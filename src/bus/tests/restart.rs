//! The same promise over restarts of the daemon: the log of a real database, crashes at any instant.

use std::path::Path;

use super::*;
use crate::store::Store;
use crate::store::log::LogLimits;

/// One run of the daemon, as far as the stream is concerned.
struct Life {
    bus: Bus,
    logbook: Arc<Logbook>,
    store: Store,
    stream: StreamToken,
}

impl Life {
    /// Goes on where the log in `path` ends; `left` is the state it ends with.
    async fn begin(path: &Path, n: usize, kept: usize, left: &Seen) -> Self {
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
        let calls = left.calls.values().map(|call| CallView::clone(call)).collect();
        let link = left.link.map(|up| PbxStatus { id: pbx(), up, since: Timestamp::UNIX_EPOCH });
        let past = Past { head: found.head, events: found.events, calls, pbx: link.into_iter().collect() };
        let logbook = Arc::new(Logbook::default());
        Self { bus: Bus::continued(settings, past, Some(Arc::clone(&logbook))), logbook, store, stream }
    }

    /// The writer writes what has gathered.
    async fn write(&self) {
        if self.bus.head_position() > 0
            && let Ok(Some(batch)) = tokio::time::timeout(Duration::from_millis(1), self.logbook.next()).await
        {
            // Twice: the answer to a commit may be lost.
            for _ in 0..2 {
                self.store.write_log(&pbx(), &self.stream, &batch).await.unwrap();
            }
        }
    }
}

/// What the daemon tells after a crash: how all is now, where what was told does not say so.
fn difference(told: &Seen, real: &Seen) -> Vec<Draft> {
    let gone = told.calls.keys().filter(|id| !real.calls.contains_key(id)).map(|id| Change::CallGone(*id));
    let other =
        real.calls.values().filter(|call| told.calls.get(&call.id) != Some(call)).cloned().map(Change::Call);
    let audience = |change: &Change| match change {
        Change::Call(view) if view.operators().next().is_some() => {
            Audience::Operators(view.operators().cloned().collect())
        }
        _ => Audience::Supervisors,
    };
    let at = Timestamp::UNIX_EPOCH;
    let left = told.operators.keys().filter(|id| !real.operators.contains_key(id));
    let work = real.operators.iter().filter(|(id, view)| told.operators.get(id) != Some(view));
    let link = real.link.filter(|_| told.link != real.link);
    gone.chain(other)
        .map(|change| draft(audience(&change), change))
        .chain(left.map(|id| announce::operator_removed(*id, at)))
        .chain(work.map(|(_, view)| announce::operator(StateView::clone(view), at)))
        .chain(link.map(|up| to_draft(&Step::Link(up))))
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
            let (mut real, mut logged) = (Seen::default(), Seen::default());
            let mut published = BTreeMap::new();
            // Every id that a desktop may have had last, what it then knew, and whether the log has it.
            let mut seen: Vec<(EventId, Vec<Seen>)> = Vec::new();
            let mut lost: Vec<EventId> = Vec::new();
            let last = runs.len() - 1;
            for (n, (steps, written)) in runs.iter().enumerate() {
                let life = Life::begin(&path, n, kept, &logged).await;
                let mut desktops: Vec<_> =
                    viewers().into_iter().map(|v| (life.bus.subscribe(v.clone(), None).unwrap(), v)).collect();
                let mut known_by: Vec<Seen> = desktops
                    .iter_mut()
                    .map(|(desktop, _)| match desktop.take_first() {
                        Some(First::Snapshot(snapshot)) => known(&snapshot),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let everything = Viewer::all_seeing(Role::Admin);
                let mut drafts = difference(&known(&life.bus.snapshot(&everything)), &real);
                drafts.extend(steps.iter().map(to_draft));
                let mut told = logged.clone();
                for (k, draft) in drafts.into_iter().enumerate() {
                    let change = draft.change.clone();
                    real.learn(&change, &everything);
                    told.learn(&change, &everything);
                    let id = life.bus.publish(draft);
                    published.insert(id.to_string(), change);
                    for ((desktop, viewer), knows) in desktops.iter_mut().zip(&mut known_by) {
                        for event in drain(desktop) {
                            learn(knows, viewer, &event, &published);
                        }
                    }
                    seen.push((id.clone(), known_by.clone()));
                    if n == last || k < *written {
                        life.write().await;
                        logged = told.clone();
                    } else {
                        lost.push(id);
                    }
                }
                if n < last {
                    // kill -9
                    life.store.close().await;
                    continue;
                }
                let Some((id, knew)) = seen.get(cut % seen.len().max(1)) else { continue };
                for (viewer, mut knows) in viewers().into_iter().zip(knew.iter().cloned()) {
                    let mut back = life.bus.subscribe(viewer.clone(), Some(id)).unwrap();
                    match back.take_first().unwrap() {
                        First::Resumed(after) => {
                            assert_eq!(&after, id);
                            assert!(!lost.contains(id), "what the crash took cannot be resumed after");
                        }
                        First::Snapshot(snapshot) => {
                            assert!(lost.contains(id) || kept < 1000, "{id} is logged and kept");
                            knows = known(&snapshot);
                        }
                    }
                    for event in drain(&mut back) {
                        learn(&mut knows, &viewer, &event, &published);
                    }
                    assert_eq!(knows, known(&life.bus.snapshot(&viewer)));
                    let mut sight = real.clone();
                    sight.calls.retain(|_, call| viewer.sees_call(call));
                    sight.operators.retain(|_, view| viewer.sees_state(view));
                    assert_eq!(knows, sight);
                }
                life.store.close().await;
            }
        });
    }
}

#[tokio::test]
async fn a_log_that_was_given_up_begins_anew_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let life = Life::begin(&path, 0, 100_000, &Seen::default()).await;
    let before = life.bus.publish(to_draft(&Step::Unrelated));
    life.write().await;
    for _ in 0..=log::LOG_EVENTS_QUEUED_MAX {
        life.bus.publish(to_draft(&Step::Unrelated));
    }
    assert_eq!(life.logbook.figures().given_up_total, 1);
    let kept = life.bus.publish(to_draft(&Step::Unrelated));
    life.write().await;
    life.store.close().await;
    let again = Life::begin(&path, 1, 100_000, &Seen::default()).await;
    let next = again.bus.publish(to_draft(&Step::Unrelated));
    let admin = || Viewer::all_seeing(Role::Admin);
    let mut lost = again.bus.subscribe(admin(), Some(&before)).unwrap();
    assert!(matches!(lost.take_first(), Some(First::Snapshot(_))));
    let mut back = again.bus.subscribe(admin(), Some(&kept)).unwrap();
    assert_eq!(back.take_first(), Some(First::Resumed(kept)));
    assert_eq!(drain(&mut back).iter().map(|e| e.id().clone()).collect::<Vec<_>>(), [next]);
    again.store.close().await;
}

#[tokio::test]
async fn a_daemon_that_was_displaced_writes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let first = Life::begin(&path, 0, 100, &Seen::default()).await;
    let second = Life::begin(&path, 1, 100, &Seen::default()).await;
    first.bus.publish(to_draft(&Step::Unrelated));
    let batch = first.logbook.next().await.unwrap();
    let refused = first.store.write_log(&pbx(), &first.stream, &batch).await.unwrap_err();
    assert!(matches!(refused, crate::store::StoreError::Displaced));
    second.bus.publish(to_draft(&Step::Unrelated));
    second.write().await;
    first.store.close().await;
    second.store.close().await;
}
