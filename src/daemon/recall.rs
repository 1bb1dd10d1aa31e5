//! Recall: how a daemon goes on where the one before it ended, however that ended.
//!
//! | what is found | what comes of it |
//! |---|---|
//! | recent events | desktops resume after the last one they had |
//! | live calls | the model and the journal have them again; the first list of channels says what became of them |
//! | the link was up | it is told as down since somebody last followed it (the last pulse, or the last event), and the gap will be told and kept |
//! | people who see other calls than when the events were told | nobody resumes from before: a snapshot says what they may see now |
//!
//! Invariant: nothing is published here; the first event of this run is told by the core.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::journal::Journal;
use super::{logbook, pulse};
use crate::bus::log::LoggedEvent;
use crate::bus::{Bus, BusSettings, EventKind, Logbook, Past, PbxStatus, REPLAY_BYTES_MAX, StreamToken};
use crate::call::{Model, Plan};
use crate::ids::PbxId;
use crate::operator::People;
use crate::store::log::{LiveCall, LogLimits};
use crate::store::{LinkMemory, Store, StoreError};

/// What the core knows before anything has happened.
pub(super) struct Recalled {
    pub(super) model: Model,
    pub(super) journal: Journal,
    pub(super) link: Option<LinkMemory>,
}

/// The stream that goes on, and what keeps it for the next daemon.
pub(super) struct GoingOn {
    pub(super) bus: Bus,
    pub(super) people: People,
    logbook: Arc<Logbook>,
    pbx: PbxId,
    /// What this run is called in the store; `None` where the events are kept elsewhere.
    stream: Option<StreamToken>,
}

/// Takes the log over and reads it.
pub(super) async fn recall(
    store: &Store,
    plan: Plan,
    settings: BusSettings,
    now: Timestamp,
) -> Result<(Recalled, GoingOn), StoreError> {
    let (pbx, stream) = (plan.pbx.clone(), settings.stream.clone());
    let roster = store.roster().await?;
    store.claim_log(&pbx, &stream).await?;
    let since = now.checked_sub(settings.replay_age_max).unwrap_or(Timestamp::MIN);
    let limits = LogLimits { events_max: settings.replay_events_max, bytes_max: REPLAY_BYTES_MAX, since };
    let mut found = store.read_log(&pbx, limits).await?;
    let lived = followed_until(&found.events);
    let sight = roster.fingerprint();
    match &found.sight {
        Some((before, from)) if *before == sight => found.events.retain(|event| event.position > *from),
        _ => {
            found.events.clear();
            store.keep_sight(&pbx, &sight, found.head).await?;
        }
    }
    let mut link = store.link(&pbx).await?;
    if let Some(link) = link.as_mut().filter(|link| link.up) {
        // Whoever told an event still followed the PBX.
        link.alive = lived.map_or(link.alive, |lived| lived.max(link.alive));
    }
    let (mut model, mut journal) = (Model::new(plan), Journal::default());
    for call in found.live {
        journal.restore(call.memory.id, call.story);
        model.remember(call.memory);
    }
    // Whoever asks before the core has begun must not hear that the calls are true.
    let gone_since = |link: &LinkMemory| if link.up { link.alive } else { link.since };
    let links =
        link.iter().map(|link| PbxStatus { id: pbx.clone(), up: false, since: gone_since(link) }).collect();
    let past = Past { head: found.head, events: found.events, calls: model.calls().collect(), pbx: links };
    tracing::info!(events = past.events.len(), calls = past.calls.len(), "the log of the last run was read");
    let logbook = Arc::new(Logbook::default());
    let bus = Bus::continued(settings, past, Some(Arc::clone(&logbook)));
    let going_on = GoingOn { bus, people: People::new(roster), logbook, pbx, stream: Some(stream) };
    Ok((Recalled { model, journal, link }, going_on))
}

/// When the last event was told of a link that was up.
fn followed_until(events: &[LoggedEvent]) -> Option<Timestamp> {
    let of_link = |event: &&LoggedEvent| matches!(event.kind, EventKind::PbxUp | EventKind::PbxDown);
    let was_up = events.iter().rev().find(of_link)?.kind == EventKind::PbxUp;
    events.last().filter(|_| was_up).map(|event| event.at)
}

/// As [`recall`], for a daemon that shares its events: their past is in Redis, which the bus reads itself, and so are the
/// live calls, as whoever leads `left` them; the store, which several daemons share too, has the records alone. Whether
/// there is a gap is known when this daemon takes the lead (`unseen.rs`).
pub(super) async fn join(
    store: &Store,
    plan: Plan,
    left: Vec<LiveCall>,
    shared: impl FnOnce(Arc<Logbook>) -> Bus,
) -> Result<(Recalled, GoingOn), StoreError> {
    let people = People::new(store.roster().await?);
    let pbx = plan.pbx.clone();
    let logbook = Arc::new(Logbook::default());
    let bus = shared(Arc::clone(&logbook));
    let link = store.link(&pbx).await?;
    tracing::info!(calls = left.len(), "the calls of the daemons of this PBX were read");
    let (mut model, mut journal) = (Model::new(plan), Journal::default());
    for call in left {
        journal.restore(call.memory.id, call.story);
        model.remember(call.memory);
    }
    let recalled = Recalled { model, journal, link };
    Ok((recalled, GoingOn { bus, people, logbook, pbx, stream: None }))
}

impl GoingOn {
    /// Starts the core, and what keeps the stream that it tells.
    pub(super) fn spawn(
        &self,
        core: impl Future<Output = ()> + Send + 'static,
        tasks: &TaskTracker,
        store: &Store,
        shutdown: &CancellationToken,
    ) {
        let closing = Arc::clone(&self.logbook);
        tasks.spawn(async move {
            core.await;
            closing.close();
        });
        let Some(stream) = self.stream.clone() else {
            let (logbook, bus) = (Arc::clone(&self.logbook), self.bus.clone());
            tasks.spawn(logbook::keep_records(logbook, bus, store.clone(), self.pbx.clone()));
            return;
        };
        let (store, pbx, logbook) = (store.clone(), self.pbx.clone(), Arc::clone(&self.logbook));
        tasks.spawn(logbook::keep(Arc::clone(&logbook), store.clone(), pbx.clone(), stream));
        tasks.spawn(pulse::beat(self.bus.clone(), store.clone(), pbx.clone(), shutdown.clone()));
        tasks.spawn(keep_sight(self.people.clone(), self.bus.clone(), store, pbx, logbook));
    }
}

/// Keeps in mind from where on the log was told to the eyes of now; ends with the log.
async fn keep_sight(people: People, bus: Bus, store: Store, pbx: PbxId, logbook: Arc<Logbook>) {
    let mut roster = people.watch();
    loop {
        tokio::select! {
            () = logbook.closed() => return,
            changed = roster.changed() => if changed.is_err() { return },
        }
        let sight = roster.borrow_and_update().fingerprint();
        if let Err(error) = store.keep_sight(&pbx, &sight, bus.head_position()).await {
            // Over a restart everybody then begins with a snapshot, which is never wrong.
            tracing::warn!(error = &error as &dyn std::error::Error, "who may see what could not be noted");
        }
    }
}
