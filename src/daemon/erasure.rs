//! Removes what the store has about deleted customers, behind the answers to the requests that deleted them.
//!
//! Invariant: a step takes as many rows as take about [`crate::store::retention::PURGE_STEP_TARGET`], so other writers wait
//! briefly. A restart goes on where the last run ended. While it is not known which calls are live, in any daemon of the
//! group, no erasure that asks for them goes on.
//!
//! Read next: `store/erasure/mod.rs`, which has the stages.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::stats::Stats;
use crate::bus::Bus;
use crate::bus::redis::{RedisAddress, load_all_checkpoints};
use crate::numbers::NumberPlan;
use crate::people::role::Role;
use crate::people::viewer::Viewer;
use crate::store::erasure::{ErasureStatus, ErasureStep, LiveCall, LiveCalls, RemovalStep};
use crate::store::retention::PurgePace;
use crate::store::{Store, StoreError};

/// How often the store is asked for erasures.
const INTERVAL: Duration = Duration::from_secs(2);
/// Delay between two steps.
const STEP_DELAY: Duration = Duration::from_millis(20);
/// How long a list of the live calls counts. A call that began since then is of no matter to an erasure that was asked for
/// before.
const LIVE_CALLS_TTL: Duration = Duration::from_secs(5);
/// How long the records that were queued may take into the store before an erasure waits for the next list.
const WRITTEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is looked whether they are there.
const WRITTEN_INTERVAL: Duration = Duration::from_millis(20);
/// How often a long erasure says how far it has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Erases what deleted customers leave.
pub(super) struct Eraser {
    pub(super) store: Store,
    pub(super) bus: Bus,
    pub(super) plan: NumberPlan,
    pub(super) stats: Stats,
    /// The Redis of the group and the prefix of its keys.
    pub(super) redis: Option<(RedisAddress, SmolStr)>,
}

impl Eraser {
    /// Erases until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                done = self.erase_all() => if let Err(error) = done {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot erase what deleted customers left; trying again"
                    );
                }
            }
        }
    }

    /// Takes every step that is due.
    async fn erase_all(&self) -> Result<(), StoreError> {
        self.store.expire_deletions(Timestamp::now()).await?;
        let status = self.report().await?;
        if status.accounts > 0 {
            self.remove_accounts().await?;
        }
        if status.left == 0 {
            return Ok(());
        }
        let (mut pace, mut rows, mut reported) = (PurgePace::default(), 0_u64, Instant::now());
        let mut live: Option<(Instant, Option<Vec<LiveCall>>)> = None;
        loop {
            if live.as_ref().is_some_and(|(at, _)| at.elapsed() > LIVE_CALLS_TTL) {
                live = None;
            }
            let known = match &live {
                None => LiveCalls::Unasked,
                Some((_, None)) => LiveCalls::Unknown,
                Some((_, Some(calls))) => LiveCalls::Known(calls),
            };
            let began = Instant::now();
            match self.store.erase_step(pace.rows(), known, &self.plan, Timestamp::now()).await? {
                ErasureStep::Idle => break,
                ErasureStep::AsksForLiveCalls => live = Some((Instant::now(), self.live_calls().await)),
                ErasureStep::SetAside(customer) => {
                    tracing::debug!(%customer, "an erasure waits until calls with the customer are over");
                }
                ErasureStep::Done(done) => {
                    pace.record(began.elapsed());
                    rows += done;
                    self.stats.rows_erased.inc_by(done);
                }
                ErasureStep::Finished(customer) => {
                    let left = self.report().await?.left;
                    tracing::info!(%customer, rows, left, "erased what a deleted customer left");
                    rows = 0;
                }
            }
            if reported.elapsed() >= REPORT_INTERVAL {
                reported = Instant::now();
                let left = self.report().await?.left;
                tracing::info!(rows, left, "erasing what deleted customers left");
            }
            tokio::time::sleep(STEP_DELAY).await;
        }
        self.report().await?;
        Ok(())
    }

    /// Removes what deleted accounts leave.
    async fn remove_accounts(&self) -> Result<(), StoreError> {
        let (mut pace, mut rows) = (PurgePace::default(), 0_u64);
        loop {
            let began = Instant::now();
            match self.store.remove_step(pace.rows()).await? {
                RemovalStep::Idle => break,
                RemovalStep::Done(done) => {
                    pace.record(began.elapsed());
                    rows += done;
                    self.stats.rows_erased.inc_by(done);
                }
                RemovalStep::Finished(account) => {
                    tracing::info!(%account, rows, "removed what a deleted account left");
                    rows = 0;
                }
            }
            tokio::time::sleep(STEP_DELAY).await;
        }
        self.report().await?;
        Ok(())
    }

    /// Publishes how far the erasures are.
    async fn report(&self) -> Result<ErasureStatus, StoreError> {
        let status = self.store.erasure_status().await?;
        self.store.erasure_progress().set(status);
        self.stats.erasures.set(i64::try_from(status.left + status.accounts).unwrap_or(i64::MAX));
        Ok(status)
    }

    /// Whether the store has every record that is queued now: a call that was over before its checkpoint was written is in
    /// neither list.
    async fn is_written(&self) -> bool {
        let Some(queued) = self.bus.journal_stats().map(|log| log.records_total) else { return true };
        let waiting = async {
            while self.bus.journal_stats().is_some_and(|log| log.records_written_total < queued) {
                tokio::time::sleep(WRITTEN_INTERVAL).await;
            }
        };
        tokio::time::timeout(WRITTEN_TIMEOUT, waiting).await.is_ok()
    }

    /// The calls of all daemons of the group whose record is not in the store yet; `None` when they cannot be listed.
    async fn live_calls(&self) -> Option<Vec<LiveCall>> {
        // First those that the gateways show: one that ends meanwhile has a checkpoint until its record is in the store.
        let shown = self.bus.snapshot(&Viewer::unrestricted(Role::System)).calls;
        let mut calls: Vec<LiveCall> = shown
            .iter()
            .map(|view| LiveCall::of(view.offered_at, view.card.as_deref(), &self.plan))
            .collect();
        if !self.is_written().await || !self.store.stalled().is_empty() {
            return None;
        }
        let mut checkpoints = match self.store.checkpoints().await {
            Ok(checkpoints) => checkpoints,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read the call checkpoints");
                return None;
            }
        };
        if let Some((address, prefix)) = &self.redis {
            match load_all_checkpoints(address, prefix).await {
                Ok(found) => checkpoints.extend(found),
                Err(error) => {
                    tracing::debug!(%error, "cannot read the call checkpoints from Redis: erasures wait");
                    return None;
                }
            }
        }
        let of = |snapshot: &crate::call::snapshot::CallSnapshot| {
            LiveCall::of(snapshot.offered_at(), snapshot.card(), &self.plan)
        };
        calls.extend(checkpoints.iter().map(|checkpoint| of(&checkpoint.snapshot)));
        Some(calls)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bus::BusSettings;
    use crate::contract::audit::AuditEntry;
    use crate::contract::call::{CallState, CallView, Direction};
    use crate::contract::card::{AccountView, CallerView, Card, HistoryView};
    use crate::contract::event::{Audience, EventKind, NewEvent, StateDelta};
    use crate::contract::event_id::StreamToken;
    use crate::contract::records::{AccountFields, CustomerFields};
    use crate::gateway::Metrics;
    use crate::ids::{CallId, ChannelId, PbxId, RecordId};
    use crate::journal::RestoredLog;
    use crate::journal::entry::JournalEntry;
    use crate::journal::queue::JournalQueue;

    fn pbx() -> PbxId {
        PbxId::parse("lab").unwrap()
    }

    fn settings() -> BusSettings {
        BusSettings {
            pbx: pbx(),
            stream: StreamToken::from_number(1),
            replay_events_max: 100,
            replay_age_max: Duration::from_secs(60),
            subscriber_events_max: 100,
            subscribers_max: 10,
        }
    }

    async fn eraser(store: Store) -> (Eraser, RecordId) {
        let plan = NumberPlan::default();
        let account =
            AccountFields { code: "A".into(), name: "さくら".into(), ..AccountFields::default() };
        let account =
            store.create_account(&account.checked(&plan).unwrap(), Timestamp::now()).await.unwrap().id;
        let stats = Stats::register(&Metrics::default());
        (Eraser { store, bus: Bus::new(settings()), plan, stats, redis: None }, account)
    }

    async fn customer(eraser: &Eraser, account: RecordId, number: &str) -> RecordId {
        let fields = serde_json::json!({ "account": account, "name": "田中", "numbers": [number] });
        let fields: CustomerFields = serde_json::from_value(fields).unwrap();
        let checked = fields.checked(&eraser.plan).unwrap();
        eraser.store.create_customer(&checked, Timestamp::now()).await.unwrap().id
    }

    /// Deletes the customer as it was done a while ago.
    async fn forget(eraser: &Eraser, customer: RecordId, offered_at: Timestamp) {
        eraser.store.forget_customer(customer, &eraser.plan, offered_at).await.unwrap();
    }

    fn publish(eraser: &Eraser, change: StateDelta, call: CallId, at: Timestamp) {
        eraser.bus.publish(NewEvent {
            kind: EventKind::CallOffered,
            at,
            call: Some(call),
            audience: Audience::All,
            data: serde_json::json!({}),
            change,
        });
    }

    fn record() -> JournalEntry {
        JournalEntry::Audit(Box::new(AuditEntry {
            at: Timestamp::UNIX_EPOCH,
            actor: None,
            actor_name: "佐藤".into(),
            action: "user.created".into(),
            subject: String::new(),
            subject_id: None,
            call: None,
            details: serde_json::json!({}),
        }))
    }

    #[tokio::test]
    async fn records_that_keep_coming_hold_up_no_erasure_and_a_writer_that_stands_still_does() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let (mut eraser, _) = eraser(store).await;
        let journal = Arc::new(JournalQueue::default());
        eraser.bus = Bus::restored(settings(), RestoredLog::default(), Some(Arc::clone(&journal)));
        eraser.bus.record(record());
        // Whenever a batch is taken, another record is queued.
        let writing = async {
            while journal.next_batch(Duration::ZERO).await.is_some() {
                eraser.bus.record(record());
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = writing => panic!("the queue is open"),
            live = eraser.live_calls() => assert_eq!(live, Some(vec![])),
        }
        assert!(eraser.bus.journal_stats().unwrap().unwritten_records > 0);
        tokio::time::pause();
        assert_eq!(eraser.live_calls().await, None);
    }

    #[tokio::test]
    async fn a_live_call_holds_up_the_erasure_of_its_caller_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let (eraser, account) = eraser(store).await;
        let caller = customer(&eraser, account, "090-1234-5678").await;
        let other = customer(&eraser, account, "090-1234-5679").await;
        let asked_at = Timestamp::now() - jiff::SignedDuration::from_mins(2);
        for customer in [caller, other] {
            forget(&eraser, customer, asked_at).await;
        }
        let call = CallId::derive(&pbx(), &ChannelId::parse("1.1").unwrap());
        let offered_at = asked_at - jiff::SignedDuration::from_mins(1);
        let card = Card {
            dialled: None,
            diverted_by: None,
            caller: CallerView { number: Some("090-1234-5678".into()), ..CallerView::default() },
            account: AccountView { id: Some(account), ..AccountView::default() },
            customers: Vec::new(),
            history: HistoryView::default(),
            link: None,
            script: None,
        };
        let view = CallView {
            id: call,
            pbx: pbx(),
            direction: Direction::Inbound,
            state: CallState::Answered,
            offered_at,
            answered_at: None,
            ended_at: None,
            presented_to: Vec::new(),
            operator: None,
            handled_by: Vec::new(),
            outcome: None,
            card: Some(Arc::new(card)),
            queue: None,
            treatment: None,
            guidance: None,
            inferred: false,
        };
        publish(&eraser, StateDelta::Call(Arc::new(view)), call, offered_at);
        eraser.erase_all().await.unwrap();
        let status = eraser.store.erasure_progress().status();
        assert_eq!((status.left, status.waiting), (1, 1));
        assert_eq!(status.oldest.map(Timestamp::as_second), Some(asked_at.as_second()));
        publish(&eraser, StateDelta::CallGone(call), call, offered_at);
        // It was set aside for a while.
        let live = eraser.live_calls().await.unwrap();
        let later = Timestamp::now() + jiff::SignedDuration::from_mins(1);
        while eraser.store.erase_step(100, LiveCalls::Known(&live), &eraser.plan, later).await.unwrap()
            != ErasureStep::Idle
        {}
        assert_eq!(eraser.report().await.unwrap().left, 0);
        assert_eq!(eraser.stats.erasures.get(), 0);
    }
}
