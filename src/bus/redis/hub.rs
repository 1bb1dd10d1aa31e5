//! The meeting point of what this daemon tells, what Redis brings, and who listens here.
//!
//! Invariant: [`Hub::publish_all`] takes one short lock and never waits; desktops see events in the common order, but
//! for those of our own PBX while Redis is away, which say so ([`Event::after`]) and are put into their place later.
//!
//! [`Event::after`]: crate::bus::event::Event

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::common_time::CommonTime;
use super::keepers::Elsewhere;
use super::outbox::{Head, Outbox, Pending, Role};
use super::shadow::{Inherited, Takeover};
use super::wire::{self, Entry};
use crate::announce;
use crate::bus::event::{Body, Change, Draft};
use crate::bus::id::EventId;
use crate::bus::log::{LogFigures, Logbook};
use crate::bus::memory::{Arrival, Log, OfPbx, Start};
use crate::bus::state::PbxStatus;
use crate::call::view::CallView;
use crate::ids::{CallId, PbxId};
use crate::operator::StateView;
use crate::store::log::{Keep, LiveCall};

/// Place of an entry in the stream, as Redis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Cursor {
    ms: u64,
    sequence: u64,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, sequence) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

/// What a daemon finds in Redis when it comes.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) cursor: Cursor,
    pub(super) heads: Vec<(PbxId, Head)>,
    pub(super) links: Vec<PbxStatus>,
    pub(super) calls: Vec<CallView>,
    pub(super) operators: Vec<StateView>,
    /// Oldest first.
    pub(super) recent: Vec<Arrival>,
}

#[derive(Debug)]
pub(in crate::bus) struct Hub {
    pub(super) pbx: PbxId,
    log: Arc<Log>,
    /// Where records of finished calls go, to the store.
    logbook: Option<Arc<Logbook>>,
    outbox: Mutex<Outbox>,
    /// Each PBX's last event that was read, to notice that one is missing.
    last: Mutex<HashMap<PbxId, EventId>>,
    /// Something waits to be sent.
    pub(super) wake: Notify,
    /// This daemon leads from now on.
    took_over: Notify,
    /// Whose people other PBXes' daemons keep, of those wanted here.
    elsewhere: Mutex<Elsewhere>,
    /// That has changed, or another daemon says something of a person who is kept here.
    keepers: Notify,
    /// The state must be read anew.
    reload: AtomicBool,
    /// It was read, once at least.
    loaded: AtomicBool,
    /// How far the stream was read; `None` until the first load.
    read: watch::Sender<Option<Cursor>>,
    /// Whether Redis answers.
    connected: AtomicBool,
    /// Whether our own link to the PBX is up.
    link_up: AtomicBool,
    last_link: Mutex<Option<Draft>>,
    /// What this process is called.
    pub(super) daemon: u64,
    /// Whether this standby shows its own sight.
    pub(super) sees_alone: AtomicBool,
    /// What time it is for all daemons.
    pub(in crate::bus) common_time: CommonTime,
}

/// What the metrics and `/readyz` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonFigures {
    /// Whether Redis answers.
    pub connected: bool,
    /// Whether this daemon leads for its PBX.
    pub leads: bool,
    /// Events that wait for Redis.
    pub spooled: usize,
    /// Events that the spool could not hold.
    pub lost_total: u64,
}

impl Hub {
    pub(super) fn new(
        pbx: PbxId,
        log: Arc<Log>,
        logbook: Option<Arc<Logbook>>,
        generation: u64,
        daemon: u64,
    ) -> Self {
        let beginning = EventId { stream: wire::stream_of(&pbx, generation), position: 0 };
        log.load(Start { beginning, calls: vec![], links: vec![], operators: vec![], recent: vec![] });
        Self {
            pbx,
            log,
            logbook,
            outbox: Mutex::new(Outbox::new(generation)),
            last: Mutex::default(),
            wake: Notify::new(),
            took_over: Notify::new(),
            elsewhere: Mutex::default(),
            keepers: Notify::new(),
            reload: AtomicBool::new(true),
            loaded: AtomicBool::new(false),
            read: watch::channel(None).0,
            connected: AtomicBool::new(false),
            link_up: AtomicBool::new(false),
            last_link: Mutex::default(),
            daemon,
            sees_alone: AtomicBool::new(false),
            common_time: CommonTime::default(),
        }
    }

    /// A panic inside the lock cannot leave half an event: go on with what is there.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This daemon remembers these calls from before it began.
    pub(super) fn knows(&self, calls: Vec<CallId>) {
        if let Role::Standby(shadow) = &mut self.outbox().role {
            shadow.knows(calls);
        }
    }

    pub(in crate::bus) fn written(&self) -> Option<LogFigures> {
        self.logbook.as_ref().map(|logbook| logbook.figures())
    }

    pub(super) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Tells `drafts`, and has recorded which calls ended and what supervisors heard. How live calls stand goes to Redis
    /// with the events (`lives.rs`).
    pub(in crate::bus) fn publish_all(&self, drafts: Vec<Draft>, keeps: Vec<Keep>) -> Vec<EventId> {
        let mut outbox = self.outbox();
        let ids = drafts.into_iter().map(|draft| self.publish_in(&mut outbox, draft)).collect();
        let leads = outbox.leads();
        let mut records = Vec::new();
        for keep in keeps {
            match keep {
                Keep::Live(live) if leads => outbox.lives.goes_on(*live),
                Keep::Live(_) => {}
                Keep::Finished(record) => {
                    if leads {
                        outbox.lives.is_over(&record);
                    }
                    records.push(Keep::Finished(record));
                }
                // Whoever leads knows; both on one PBX would note it twice, and what a standby missed is no gap.
                Keep::Hearing(_) | Keep::Gap(_) | Keep::Link(_) => {
                    if leads {
                        records.push(keep);
                    }
                }
                // What another daemon has to tell instead must not count as told.
                Keep::Told(told) => match outbox.pending.back_mut() {
                    Some(last) => last.told.push(told),
                    None if leads => records.push(keep),
                    None => {}
                },
            }
        }
        drop(outbox);
        if leads {
            self.wake.notify_one();
        }
        self.record(records);
        ids
    }

    fn record(&self, records: Vec<Keep>) {
        if let Some(logbook) = self.logbook.as_ref().filter(|_| !records.is_empty()) {
            logbook.add(0, &[], 0, records);
        }
    }

    /// Tells `draft`, or notes it where another daemon tells.
    fn publish_in(&self, outbox: &mut Outbox, draft: Draft) -> EventId {
        if let Change::Pbx { up, .. } = draft.change {
            self.link_up.store(up, Ordering::Relaxed);
            *self.last_link.lock().unwrap_or_else(PoisonError::into_inner) = Some(draft.clone());
        }
        let alone = outbox.own_sight.is_some();
        match &mut outbox.role {
            Role::Standby(shadow) => {
                let shown = alone.then(|| draft.clone());
                if matches!(draft.change, Change::Pbx { up: false, .. }) {
                    shadow.forget();
                } else {
                    shadow.note(draft);
                }
                if let Some(draft) = shown {
                    self.show_if_alone(outbox, draft);
                }
            }
            Role::Leader { inherited, .. } => {
                if inherited.wants(&draft) {
                    return self.push(outbox, draft);
                }
            }
        }
        self.log.head()
    }

    fn push(&self, outbox: &mut Outbox, draft: Draft) -> EventId {
        let body = Arc::new(Body::of(&draft, &self.pbx));
        let alone = outbox.alone;
        let pending = outbox.push(draft, body, &self.pbx);
        if alone {
            self.deliver_ahead(pending);
        }
        pending.id.clone()
    }

    /// Desktops get it although its place in the common order is not known.
    fn deliver_ahead(&self, pending: &mut Pending) {
        pending.after = self.log.last_common();
        pending.delivered = true;
        self.log.append(pending.arrival(&self.pbx), false);
    }

    /// The PBX has listed its channels; `live` are its calls. Gives those that were told before and are over.
    pub(in crate::bus) fn settled(&self, live: &[CallView], at: Timestamp) -> Vec<Arc<CallView>> {
        let mut outbox = self.outbox();
        let Role::Leader { inherited, .. } = &mut outbox.role else {
            self.settle_own_sight(&mut outbox, live, at);
            return Vec::new();
        };
        let (over, silent) = inherited.settle(live);
        for (view, operator) in silent {
            self.push(&mut outbox, announce::rescinded_unseen(&view, operator, at));
        }
        for view in &over {
            self.push(&mut outbox, announce::ended_unseen(view, at));
        }
        drop(outbox);
        self.wake.notify_one();
        over
    }

    /// Redis does not answer: what waits is delivered now, and what comes, at once.
    pub(super) fn go_alone(&self) {
        let mut outbox = self.outbox();
        if !outbox.leads() || outbox.alone {
            return;
        }
        outbox.alone = true;
        outbox.put_in_doubt(&self.pbx);
        for pending in outbox.pending.iter_mut().filter(|pending| !pending.delivered) {
            self.deliver_ahead(pending);
        }
        tracing::warn!("Redis does not answer; this daemon serves its own PBX alone and keeps its events");
    }

    /// Whether Redis ever told what is.
    pub(super) fn has_loaded(&self) -> bool {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Redis was never there, or never told what is: this daemon leads without a lease until it is.
    pub(super) fn lead_without_redis(&self) {
        self.lead(0, None, Vec::new());
        self.go_alone();
    }

    /// This daemon leads from now on, after `head`, or in a new generation; `left` is how calls stood.
    pub(super) fn lead(&self, fence: u64, head: Option<Head>, left: Vec<LiveCall>) {
        let OfPbx { calls: published, link, .. } = self.log.of_pbx(&self.pbx);
        let mut outbox = self.outbox();
        if outbox.own_sight.as_ref().is_some_and(|own| own.shown > 0) {
            // What is shown here is not what was told: that is read first.
            return;
        }
        self.end_own_sight(&mut outbox);
        let role = Role::Leader { fence, inherited: Inherited::default() };
        let Role::Standby(shadow) = std::mem::replace(&mut outbox.role, role) else { return };
        if let Some(head) = head {
            outbox.continue_after(head);
        }
        let Takeover { missing, unknown, inherited } = shadow.take_over(published);
        let (told, calls) = (missing.len(), unknown.len() + inherited.calls.len());
        let mut inherited = inherited;
        // The list that follows says what became of them.
        inherited.calls.extend(unknown.into_iter().map(|view| (view.id, view)));
        outbox.role = Role::Leader { fence, inherited };
        outbox.lives.begin(left);
        for draft in missing {
            self.push(&mut outbox, draft);
        }
        if let Some(draft) = self.link_unlike(link.as_ref()) {
            self.push(&mut outbox, draft);
        }
        drop(outbox);
        tracing::info!(pbx = %self.pbx, fence, told, calls, "this daemon leads for its PBX");
        self.took_over.notify_one();
        self.wake.notify_one();
    }

    /// What this daemon said of its link last, where `shown` says otherwise.
    pub(super) fn link_unlike(&self, shown: Option<&PbxStatus>) -> Option<Draft> {
        let own = self.last_link.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let up = matches!(own.change, Change::Pbx { up: true, .. });
        shown.is_none_or(|shown| shown.up != up).then_some(own)
    }

    /// The PBX is to be asked for its channels.
    pub(super) fn look_again(&self) {
        self.took_over.notify_one();
    }

    /// The state is to be read anew.
    pub(super) fn read_anew(&self) {
        self.reload.store(true, Ordering::Relaxed);
    }

    /// What is shown here is not what the stream says.
    pub(super) fn read_nothing(&self) {
        self.read.send_replace(None);
    }

    pub(in crate::bus) async fn taken_over(&self) {
        self.took_over.notified().await;
    }

    /// What other PBXes' daemons keep of the people wanted here.
    pub(super) fn kept_elsewhere(&self, now: Elsewhere) {
        let mut elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if *elsewhere == now {
            return;
        }
        let whose =
            |team: &str| if team.is_empty() { "everybody".to_owned() } else { format!("team {team}") };
        for (team, pbx) in now.iter().filter(|(team, pbx)| elsewhere.get(*team) != Some(pbx)) {
            tracing::error!(
                team = whose(team), %pbx,
                "the daemon of another PBX keeps these people's states, and this one does not: name each team in \
                 operators.teams of one PBX alone"
            );
        }
        for team in elsewhere.keys().filter(|team| !now.contains_key(*team)) {
            tracing::warn!(team = whose(team), "this daemon keeps these people's states from now on");
        }
        *elsewhere = now;
        self.keepers.notify_one();
    }

    pub(in crate::bus) fn elsewhere(&self) -> Elsewhere {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::bus) async fn keepers_changed(&self) {
        self.keepers.notified().await;
    }

    /// Another daemon leads.
    pub(super) fn step_down(&self) {
        let left = self.outbox().step_down();
        tracing::warn!(pbx = %self.pbx, left, "another daemon leads for this PBX; this one stands by");
        self.reload.store(true, Ordering::Relaxed);
    }

    /// The lease is ours again, or at last.
    pub(super) fn renew(&self, new_fence: u64) {
        if let Role::Leader { fence, .. } = &mut self.outbox().role {
            *fence = new_fence;
        }
    }

    /// Whether this daemon may try for the lease at once.
    pub(super) fn is_fit(&self) -> bool {
        self.link_up.load(Ordering::Relaxed)
    }

    pub(super) fn wants_reload(&self) -> bool {
        self.reload.load(Ordering::Relaxed)
    }

    pub(super) fn set_connected(&self, connected: bool) {
        if self.connected.swap(connected, Ordering::Relaxed) != connected {
            if connected {
                tracing::info!("Redis answers");
            } else {
                tracing::warn!("Redis does not answer");
            }
        }
    }

    pub(super) fn read_up_to(&self) -> watch::Receiver<Option<Cursor>> {
        self.read.subscribe()
    }

    pub(super) fn note_read(&self, cursor: Cursor) {
        if !self.sees_alone.load(Ordering::Relaxed) {
            self.read.send_replace(Some(cursor));
        }
    }

    pub(in crate::bus) fn figures(&self) -> CommonFigures {
        let outbox = self.outbox();
        CommonFigures {
            connected: self.connected.load(Ordering::Relaxed),
            leads: outbox.leads(),
            spooled: if outbox.alone { outbox.untaken() } else { 0 },
            lost_total: outbox.lost_total,
        }
    }

    /// Takes over the state as Redis has it; desktops come back to it.
    pub(super) fn load(&self, found: Found) {
        let mut outbox = self.outbox();
        self.reload.store(false, Ordering::Relaxed);
        self.loaded.store(true, Ordering::Relaxed);
        self.end_own_sight(&mut outbox);
        let own = wire::stream_of(&self.pbx, outbox.generation);
        let beginning = found.recent.first().map_or(EventId { stream: own, position: 0 }, |first| EventId {
            position: 0,
            ..first.id.clone()
        });
        let cursor = found.cursor;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = found
            .heads
            .into_iter()
            .map(|(pbx, Head { generation, position })| {
                let stream = wire::stream_of(&pbx, generation);
                (pbx, EventId { stream, position })
            })
            .collect();
        let recent = found.recent;
        if let Role::Standby(shadow) = &mut outbox.role {
            let own = |arrival: &&Arrival| arrival.pbx == self.pbx;
            let past = recent.iter().filter(own).map(|arrival| (arrival.body.kind, &arrival.change));
            shadow.read_anew(past, found.calls.iter().map(|call| call.id));
        }
        let known: HashSet<EventId> = recent.iter().map(|arrival| arrival.id.clone()).collect();
        let calls = found.calls.into_iter().map(Arc::new).collect();
        let operators = found.operators.into_iter().map(Arc::new).collect();
        self.log.load(Start { beginning, calls, links: found.links, operators, recent });
        // What desktops here had and Redis has not, yet.
        for pending in outbox.pending.iter().filter(|p| p.delivered && !known.contains(&p.id)) {
            self.log.append(pending.arrival(&self.pbx), false);
        }
        let mut told = Vec::new();
        while let Some(front) = outbox.pending.front().filter(|front| known.contains(&front.id)) {
            let id = front.id.clone();
            told.extend(outbox.read_back(&id).into_iter().flat_map(|own| own.told));
        }
        drop(outbox);
        self.record(told.into_iter().map(Keep::Told).collect());
        self.note_read(cursor);
    }

    /// An event in the common order.
    pub(super) fn arrived(&self, entry: Entry) {
        let Some(entry) = self.overhear(entry) else { return };
        if entry.is_break() {
            self.read_anew();
            return;
        }
        let at = entry.at;
        let mut outbox = entry.is_of(&self.pbx).then(|| self.outbox());
        if let Some(outbox) = &mut outbox
            && let Some(own) = entry.id().and_then(|id| outbox.read_back(&id))
        {
            if own.delivered {
                self.log.settle(&own.id);
            } else {
                self.log.append(own.arrival(&self.pbx), true);
            }
            self.record(own.told.into_iter().map(Keep::Told).collect());
            return;
        }
        let Some((pbx, id)) = entry.place() else { return };
        let leads = outbox.as_ref().is_some_and(|outbox| outbox.leads());
        let left = |outbox: &Outbox| id.stream != wire::stream_of(&self.pbx, outbox.generation);
        if leads && outbox.as_ref().is_some_and(|outbox| left(outbox)) && !self.log.has(&id) {
            // It was told here under another id; whoever had it so begins anew.
            return;
        }
        if !leads && self.misses_some_before(pbx, &id) {
            self.read_anew();
            return;
        }
        let Some(arrival) = entry.read() else {
            tracing::debug!(%at, "an event of another version was left out");
            return;
        };
        if let Some(outbox) = &mut outbox
            && let Role::Standby(shadow) = &mut outbox.role
        {
            shadow.told(arrival.body.kind, &arrival.change);
        }
        drop(outbox);
        if self.log.has(&arrival.id) {
            return;
        }
        self.notice_contradiction(&arrival);
        self.log.append(arrival, true);
    }

    /// Whether events between the PBX's last one that was read and this one are not there: the stream was cut shorter
    /// than this daemon was behind, Redis lost them, or the PBX's daemon began anew.
    fn misses_some_before(&self, pbx: PbxId, id: &EventId) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = last.get_mut(&pbx) else {
            last.insert(pbx, id.clone());
            return false;
        };
        let next = if before.stream == id.stream { before.position.saturating_add(1) } else { 1 };
        if id.position > next || !wire::goes_on(&before.stream, &id.stream) {
            return true;
        }
        if id.position == next {
            *before = id.clone();
        }
        false
    }

    /// Another PBX's daemon tells of a person who is kept here: it did not hear of the claim. Ours is told again.
    fn notice_contradiction(&self, arrival: &Arrival) {
        let Change::Operator(view) = &arrival.change else { return };
        let ours = |shown: Arc<StateView>| shown.pbx.as_ref() == Some(&self.pbx);
        if arrival.pbx != self.pbx && self.log.operator(view.id).is_some_and(ours) {
            self.keepers.notify_one();
        }
    }

    /// Whether the leader's spool was emptied: from now on the common order is waited for again.
    pub(super) fn rejoin_if_drained(&self) {
        let mut outbox = self.outbox();
        // All of it was read back: what is delivered at once is never in doubt.
        if outbox.alone && outbox.pending.is_empty() {
            outbox.alone = false;
            tracing::info!("all events that were kept are in Redis");
        }
    }

    /// From where on the line continues what Redis has, when `head` is all it has, and whether everybody begins anew;
    /// `None` where another leads.
    pub(super) fn begin(&self, head: Option<Head>, at: Timestamp) -> Option<(u64, Head, bool)> {
        let mut outbox = self.outbox();
        let Role::Leader { fence, .. } = outbox.role else { return None };
        outbox.lost |= head.is_some_and(|head| outbox.is_at_odds(head));
        let anew = outbox.lost || head.is_some_and(|head| !outbox.continues(head));
        if outbox.lost || head.is_some_and(|head| head.generation == outbox.generation) {
            for pending in outbox.pending.iter_mut().filter(|pending| !pending.delivered) {
                self.deliver_ahead(pending);
            }
            let told = outbox.begin_generation(u64::try_from(at.as_millisecond()).unwrap_or(0));
            self.record(told.into_iter().map(Keep::Told).collect());
        }
        Some((fence, outbox.put_all_in_line(), anew))
    }

    /// What was told here of our PBX.
    pub(super) fn own_state(&self) -> OfPbx {
        self.log.of_pbx(&self.pbx)
    }
}
