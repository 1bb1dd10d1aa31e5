//! Restore: reads the stored state of the previous run, so that a daemon continues where it ended, even after a crash.
//!
//! | the store has | the new run |
//! |---|---|
//! | recent events | desktops resume after the last event they received |
//! | checkpoints of live calls | the model and the timelines have these calls; the first channel list shows which of them still exist |
//! | a link state `up` | the core publishes the link as down since the last heartbeat or the last event, whichever is later, and then the gap |
//! | another roster fingerprint than the current one (who may see which calls has changed) | no client resumes from before: each receives a snapshot of what its user may see now |
//!
//! With Redis ([`join_cluster`]) the events and checkpoints come from Redis; the store has the records alone.
//!
//! Invariant: nothing is published here. The core publishes the first event of this run.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{heartbeat, journal_writer};
use crate::bus::{Bus, BusSettings, REPLAY_BYTES_MAX};
use crate::call::{EndpointRules, Model};
use crate::contract::event::{EventKind, LoggedEvent, PbxStatus};
use crate::contract::event_id::StreamToken;
use crate::contract::pbx::PbxLinkState;
use crate::ids::PbxId;
use crate::journal::entry::CallCheckpoint;
use crate::journal::queue::{JournalQueue, RestoredLog};
use crate::journal::timelines::CallTimelines;
use crate::people::roster::People;
use crate::store::log::LogLimits;
use crate::store::{Store, StoreError};

/// The core's initial state.
pub(super) struct RestoredState {
    pub(super) model: Model,
    pub(super) timelines: CallTimelines,
    pub(super) link: Option<PbxLinkState>,
}

/// The bus with the continued stream, and the tasks that store it for the next run.
pub(super) struct EventPipeline {
    pub(super) bus: Bus,
    pub(super) people: People,
    journal: Arc<JournalQueue>,
    pbx: PbxId,
    /// This run's stream token in the store; `None` with Redis, where the store has no events.
    stream: Option<StreamToken>,
}

/// Claims the journal for this run and reads it.
pub(super) async fn restore(
    store: &Store,
    plan: EndpointRules,
    settings: BusSettings,
    now: Timestamp,
) -> Result<(RestoredState, EventPipeline), StoreError> {
    let (pbx, stream) = (plan.pbx.clone(), settings.stream.clone());
    let roster = store.roster().await?;
    store.claim_log(&pbx, &stream).await?;
    let since = now.checked_sub(settings.replay_age_max).unwrap_or(Timestamp::MIN);
    let limits = LogLimits { events_max: settings.replay_events_max, bytes_max: REPLAY_BYTES_MAX, since };
    let mut found = store.read_log(&pbx, limits).await?;
    let last_event = followed_until(&found.events);
    let fingerprint = roster.fingerprint();
    match &found.visibility {
        Some((before, from)) if *before == fingerprint => found.events.retain(|event| event.position > *from),
        _ => {
            found.events.clear();
            store.save_visibility(&pbx, &fingerprint, found.head).await?;
        }
    }
    let mut link = store.pbx_link(&pbx).await?;
    if let Some(link) = link.as_mut().filter(|link| link.up) {
        // A daemon that published an event still followed the PBX.
        link.alive = last_event.map_or(link.alive, |at| at.max(link.alive));
    }
    let (mut model, mut timelines) = (Model::new(plan), CallTimelines::default());
    for call in found.checkpoints {
        timelines.restore(call.snapshot.id, call.segments);
        model.restore(call.snapshot);
    }
    // A client that connects before the core runs must not take the calls for current.
    let down_since = |link: &PbxLinkState| if link.up { link.alive } else { link.since };
    let statuses =
        link.iter().map(|link| PbxStatus { id: pbx.clone(), up: false, since: down_since(link) }).collect();
    let restored_log =
        RestoredLog { head: found.head, events: found.events, calls: model.calls().collect(), pbx: statuses };
    tracing::info!(
        events = restored_log.events.len(),
        calls = restored_log.calls.len(),
        "restored the journal of the last run"
    );
    let journal = Arc::new(JournalQueue::default());
    let bus = Bus::restored(settings, restored_log, Some(Arc::clone(&journal)));
    let pipeline = EventPipeline { bus, people: People::new(roster), journal, pbx, stream: Some(stream) };
    Ok((RestoredState { model, timelines, link }, pipeline))
}

/// The time of the last event, if the link was up then.
fn followed_until(events: &[LoggedEvent]) -> Option<Timestamp> {
    let of_link = |event: &&LoggedEvent| matches!(event.kind, EventKind::PbxUp | EventKind::PbxDown);
    let was_up = events.iter().rev().find(of_link)?.kind == EventKind::PbxUp;
    events.last().filter(|_| was_up).map(|event| event.at)
}

/// As [`restore`], for a daemon that shares its events over Redis. The bus reads the events from Redis itself;
/// `checkpoints` are the leader's call checkpoints there. The store, which the daemons share too, has the records alone.
/// Whether there is a gap is found when this daemon acquires the lead (`gap_detection.rs`).
pub(super) async fn join_cluster(
    store: &Store,
    plan: EndpointRules,
    checkpoints: Vec<CallCheckpoint>,
    shared: impl FnOnce(Arc<JournalQueue>) -> Bus,
) -> Result<(RestoredState, EventPipeline), StoreError> {
    let people = People::new(store.roster().await?);
    let pbx = plan.pbx.clone();
    let journal = Arc::new(JournalQueue::default());
    let bus = shared(Arc::clone(&journal));
    let link = store.pbx_link(&pbx).await?;
    tracing::info!(calls = checkpoints.len(), "read the call checkpoints of this PBX from Redis");
    let (mut model, mut timelines) = (Model::new(plan), CallTimelines::default());
    for call in checkpoints {
        timelines.restore(call.snapshot.id, call.segments);
        model.restore(call.snapshot);
    }
    let restored = RestoredState { model, timelines, link };
    Ok((restored, EventPipeline { bus, people, journal, pbx, stream: None }))
}

impl EventPipeline {
    /// Starts the core and the tasks that store its stream.
    pub(super) fn spawn(
        &self,
        core: impl Future<Output = ()> + Send + 'static,
        tasks: &TaskTracker,
        store: &Store,
        shutdown: &CancellationToken,
    ) {
        let closing = Arc::clone(&self.journal);
        tasks.spawn(async move {
            core.await;
            closing.close();
        });
        let Some(stream) = self.stream.clone() else {
            let (journal, bus) = (Arc::clone(&self.journal), self.bus.clone());
            tasks.spawn(journal_writer::run_records(journal, bus, store.clone(), self.pbx.clone()));
            return;
        };
        let (store, pbx, journal) = (store.clone(), self.pbx.clone(), Arc::clone(&self.journal));
        tasks.spawn(journal_writer::run(Arc::clone(&journal), store.clone(), pbx.clone(), stream));
        tasks.spawn(heartbeat::run(self.bus.clone(), store.clone(), pbx.clone(), shutdown.clone()));
        tasks.spawn(record_roster_changes(self.people.clone(), self.bus.clone(), store, pbx, journal));
    }
}

/// Stores, after each roster change, the position from which logged events match the current visibility rules; ends when
/// the journal queue closes.
async fn record_roster_changes(
    people: People,
    bus: Bus,
    store: Store,
    pbx: PbxId,
    journal: Arc<JournalQueue>,
) {
    let mut roster = people.watch();
    loop {
        tokio::select! {
            () = journal.closed() => return,
            changed = roster.changed() => if changed.is_err() { return },
        }
        let fingerprint = roster.borrow_and_update().fingerprint();
        if let Err(error) = store.save_visibility(&pbx, &fingerprint, bus.head_position()).await {
            // After a restart every client then receives a snapshot, which is always right.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot store the roster fingerprint; after a restart every client starts from a snapshot"
            );
        }
    }
}
