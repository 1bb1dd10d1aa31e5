//! The task that holds the lease and sends the outbox.
//!
//! | the task finds | it |
//! |---|---|
//! | the lease is free, or this daemon holds it | acquires or renews it; a standby leads once it has read the whole stream and is in no fallback |
//! | another daemon holds the lease | stands by; a leader steps down |
//! | Redis does not answer within [`super::REDIS_TIMEOUT`] | detaches the leader, or puts a standby into fallback; retries every [`RECONNECT_DELAY`] |
//! | Redis answers, but the oldest queued event was not read back for [`READ_BACK_TICKS`] (2 s) | detaches the leader; the event is in doubt as if Redis had failed |
//! | Redis has not delivered the initial state since start-up (unreachable, or still loading) | leads without a lease after [`START_ATTEMPTS_MAX`] failed sessions |
//! | Redis answers again | the leader acquires the lease, sends the spool, and attaches |
//! | Redis has no event of this PBX (an empty database) | uploads the state of this PBX, then sends the queue |
//! | Redis has lost some events, or has some of those in doubt (`outbox.rs`) | begins a new generation, uploads the state, and appends a stream reset |
//!
//! The fencing token grows with every change of leader, and every script that writes names it: a leader that was
//! suspended cannot write into its successor's stream. Fencing protects Redis, not the PBX: a leader that cannot reach
//! Redis still sends actions of its own gateway's clients to the PBX, also while a standby that can reach Redis leads.
//!
//! A standby that has reconnected leaves the lease to the previous leader for [`RECONNECT_GRACE_TICKS`]: that daemon may
//! have spooled events that only its own clients have. A daemon that connects for the first time does not wait. A daemon
//! without a link to its PBX leaves the lease to another one for [`LINK_DOWN_GRACE_TICKS`] after connecting, and competes
//! for it after that; a leader that loses its link keeps the lease.
//!
//! Order within a tick: claim the teams, read the predecessor's checkpoints, lead, upload the state if Redis has none,
//! then send the queue. On shutdown: send the queue, then release the lease.

use std::sync::Arc;

use jiff::Timestamp;
use redis::RedisError;
use smol_str::SmolStr;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::client::{Connection, RedisAddress, with_timeout};
use super::hub::Hub;
use super::outbox::Leadership;
use super::position::{Cursor, Head};
use super::scripts::{APPEND, Keys, LEASE, RELEASE, REPLACE_STATE};
use super::timing::{
    CLAIM_RENEWAL_TICKS, LEASE_INTERVAL, LEASE_TTL, LINK_DOWN_GRACE_TICKS, READ_BACK_TICKS, RECONNECT_DELAY,
    RECONNECT_GRACE_TICKS, START_ATTEMPTS_MAX, TRIM_TICKS, millis,
};
use super::{checkpoints, team_ownership, wire};

/// Most entries of the stream, approximately.
const STREAM_ENTRIES_MAX: usize = 50_000;

pub(super) struct LeaderTask {
    pub(super) hub: Arc<Hub>,
    pub(super) address: RedisAddress,
    pub(super) keys: Keys,
    pub(super) daemon: String,
    /// Teams whose operators this PBX is to own; none: all.
    pub(super) teams: Vec<SmolStr>,
}

/// Counters of the task.
#[derive(Default)]
struct Counters {
    /// Sessions with Redis since the start.
    sessions: u32,
    /// Lease ticks of this session.
    ticks: u32,
    /// Failed or ended sessions since the start.
    failures: u32,
    /// Position of the oldest queued event, and for how many ticks it has been the oldest.
    oldest: Option<(u64, u32)>,
}

/// Answer of the lease script.
struct LeaseAnswer {
    /// Our fencing token; 0: this daemon does not hold the lease.
    fence: u64,
    head: Option<Head>,
    /// The last entry of the stream.
    last: Cursor,
    /// Redis' time.
    at: Timestamp,
}

impl LeaderTask {
    /// Works until `shutdown`; then sends the queue and releases the lease.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut counters = Counters::default();
        while !shutdown.is_cancelled() {
            match self.address.connect(false).await {
                Ok(connection) => {
                    counters.sessions += 1;
                    counters.ticks = 0;
                    if let Err(error) = self.session(connection, &mut counters, &shutdown).await {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "the session with Redis failed; reconnecting"
                        );
                    }
                }
                Err(error) => {
                    if counters.sessions == 0 && counters.failures == 0 {
                        tracing::warn!(%error, redis = %self.address, "Redis cannot be reached");
                    }
                }
            }
            if shutdown.is_cancelled() {
                break;
            }
            self.hub.set_connected(false);
            counters.failures += 1;
            let never_loaded = !self.hub.has_loaded() && counters.failures >= START_ATTEMPTS_MAX;
            if never_loaded && !self.hub.outbox().is_leader() {
                self.hub.lead_without_redis();
            }
            self.hub.detach();
            self.hub.enter_fallback();
            tokio::select! {
                () = sleep(RECONNECT_DELAY) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn session(
        &self,
        mut redis: Connection,
        counters: &mut Counters,
        shutdown: &CancellationToken,
    ) -> Result<(), RedisError> {
        let mut ticks = interval(LEASE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.flush(&mut redis).await?;
                    return self.release(&mut redis).await;
                }
                _ = ticks.tick() => {
                    self.hold_lease(&mut redis, counters).await?;
                    self.hub.set_connected(true);
                    if counters.ticks % TRIM_TICKS == 1 {
                        self.trim(&mut redis).await?;
                    }
                    self.watch_oldest(counters);
                }
                () = self.hub.wake.notified() => {}
            }
            if !self.flush(&mut redis).await? {
                self.hold_lease(&mut redis, counters).await?;
            }
        }
    }

    async fn hold_lease(&self, redis: &mut Connection, counters: &mut Counters) -> Result<(), RedisError> {
        counters.ticks += 1;
        let leads = self.hub.outbox().is_leader();
        let link_ok = self.hub.is_link_up() || counters.ticks > LINK_DOWN_GRACE_TICKS;
        let grace_over = counters.sessions == 1 || counters.ticks > RECONNECT_GRACE_TICKS;
        let answer = self.ask_lease(redis, leads || (link_ok && grace_over)).await?;
        match (leads, answer.fence) {
            (false, 0) => {}
            (false, _) => {
                if self.hub.cursor().is_some_and(|cursor| cursor >= answer.last) {
                    self.claim_teams(redis, counters).await?;
                    let left = checkpoints::load(redis, &self.keys, &self.hub.pbx).await?;
                    self.hub.start_leading(answer.fence, answer.head, left);
                    if answer.head.is_none() {
                        self.upload_state(redis, answer.head, answer.at).await?;
                    }
                }
            }
            (true, 0) => self.hub.step_down(),
            (true, fence) => {
                if counters.ticks % CLAIM_RENEWAL_TICKS == 1 {
                    self.claim_teams(redis, counters).await?;
                }
                self.keep_leading(redis, fence, &answer).await?;
            }
        }
        Ok(())
    }

    async fn claim_teams(&self, redis: &mut Connection, counters: &Counters) -> Result<(), RedisError> {
        let (pbx, teams) = (&self.hub.pbx, &self.teams);
        let foreign = team_ownership::claim(redis, &self.keys, pbx, teams, counters.ticks).await?;
        self.hub.set_foreign_teams(foreign);
        Ok(())
    }

    /// This daemon leads and holds the lease. The fencing token shows whether another daemon led in between.
    async fn keep_leading(
        &self,
        redis: &mut Connection,
        fence: u64,
        answer: &LeaseAnswer,
    ) -> Result<(), RedisError> {
        let (before, generation) = {
            let outbox = self.hub.outbox();
            let Leadership::Leader { fence, .. } = outbox.leadership else { return Ok(()) };
            (fence, outbox.generation)
        };
        if before > 0 && fence > before + 1 {
            self.hub.step_down();
            return self.release_as(redis, fence).await;
        }
        self.hub.set_fence(fence);
        let is_complete = match answer.head {
            Some(head) if head.generation == generation => {
                let mut outbox = self.hub.outbox();
                !outbox.lost && outbox.sync_with(head.position)
            }
            _ => false,
        };
        if is_complete { Ok(()) } else { self.upload_state(redis, answer.head, answer.at).await }
    }

    /// Replaces Redis' state of this PBX, and sets the head that the queue continues. Where other daemons have lost
    /// events of a generation, a stream reset makes them read this state.
    async fn upload_state(
        &self,
        redis: &mut Connection,
        head: Option<Head>,
        at: Timestamp,
    ) -> Result<(), RedisError> {
        let Some(upload) = self.hub.start_upload(head, at) else { return Ok(()) };
        let (pbx, own) = (&self.hub.pbx, self.hub.own_state());
        let mut replace = REPLACE_STATE.prepare_invoke();
        replace
            .key(self.keys.lease(pbx))
            .key(self.keys.heads())
            .key(self.keys.calls(pbx))
            .key(self.keys.links())
            .key(self.keys.operators())
            .key(self.keys.events())
            .key(self.keys.checkpoints(pbx));
        replace.arg(upload.fence).arg(&self.daemon).arg(pbx.as_str()).arg(upload.head.to_string());
        replace.arg(own.link.as_ref().map(wire::json).unwrap_or_default());
        let checkpoints = self.hub.outbox().checkpoints.all();
        replace.arg(u8::from(upload.reset)).arg(own.calls.len()).arg(checkpoints.len());
        for view in own.calls {
            replace.arg(view.id.to_string()).arg(wire::json(&*view));
        }
        for (call, entry) in checkpoints {
            replace.arg(call).arg(entry);
        }
        for view in own.operators {
            replace.arg(view.id.to_string()).arg(wire::json(&*view));
        }
        with_timeout(replace.invoke_async::<i64>(redis)).await?;
        tracing::info!(
            %pbx, generation = upload.head.generation, reset = upload.reset,
            "uploaded the state of this PBX to Redis"
        );
        Ok(())
    }

    /// Sends the queue. False: another daemon leads, or Redis has another generation.
    async fn flush(&self, redis: &mut Connection) -> Result<bool, RedisError> {
        loop {
            let (fence, generation, events, checkpoints) = {
                let mut outbox = self.hub.outbox();
                let Leadership::Leader { fence, .. } = outbox.leadership else { return Ok(true) };
                let events = outbox.start_batch();
                // A checkpoint must not be newer than the last event, so it goes with the end of the queue.
                let is_all = events.len() == outbox.unaccepted();
                let checkpoints = if is_all {
                    outbox.checkpoints.next_batch()
                } else {
                    checkpoints::CheckpointBatch::default()
                };
                (fence, outbox.generation, events, checkpoints)
            };
            if events.is_empty() && checkpoints.entries.is_empty() {
                self.hub.attach_if_drained();
                return Ok(true);
            }
            let pbx = &self.hub.pbx;
            let mut append = APPEND.prepare_invoke();
            append.key(self.keys.lease(pbx)).key(self.keys.heads()).key(self.keys.calls(pbx));
            append.key(self.keys.events()).key(self.keys.links()).key(self.keys.operators());
            append.key(self.keys.checkpoints(pbx));
            append.arg(fence).arg(&self.daemon).arg(pbx.as_str()).arg(generation).arg(STREAM_ENTRIES_MAX);
            append.arg(events.len());
            for pending in &events {
                let (letter, field, value) = wire::delta_fields(&pending.change, pbx);
                append.arg(pending.id.position()).arg(pending.id.to_string());
                append.arg(pending.after.as_ref().map(ToString::to_string).unwrap_or_default());
                append.arg(wire::json(&pending.audience)).arg(&pending.body.json);
                append.arg(letter).arg(field).arg(value);
            }
            for (call, entry) in &checkpoints.entries {
                append.arg(call).arg(entry);
            }
            if with_timeout(append.invoke_async::<i64>(redis)).await? == 0 {
                return Ok(false);
            }
            let mut outbox = self.hub.outbox();
            if let Some(last) = events.last() {
                outbox.mark_accepted(last.id.position());
            }
            outbox.checkpoints.ack(&checkpoints);
        }
    }

    /// Removes events that are too old to resume from: they are personal data that nobody needs any more.
    async fn trim(&self, redis: &mut Connection) -> Result<(), RedisError> {
        let age_max = self.hub.log().settings().replay_age_max.as_millis();
        let time = redis::cmd("TIME");
        let (seconds, _): (u64, u64) = with_timeout(time.query_async(redis)).await?;
        let oldest = u128::from(seconds * 1000).saturating_sub(age_max);
        let mut trim = redis::cmd("XTRIM");
        trim.arg(self.keys.events()).arg("MINID").arg("~").arg(format!("{oldest}-0"));
        with_timeout(trim.query_async::<i64>(redis)).await.map(drop)
    }

    /// Detaches the leader when its oldest event is not read back, so that local subscribers get it all the same.
    fn watch_oldest(&self, counters: &mut Counters) {
        let oldest = self.hub.outbox().pending.front().map(|pending| pending.id.position());
        counters.oldest = match (oldest, counters.oldest) {
            (Some(now), Some((before, ticks))) if now == before => Some((now, ticks + 1)),
            (Some(now), _) => Some((now, 0)),
            (None, _) => None,
        };
        if counters.oldest.is_some_and(|(_, ticks)| ticks >= READ_BACK_TICKS) {
            self.hub.detach();
        }
    }

    async fn ask_lease(&self, redis: &mut Connection, may_take: bool) -> Result<LeaseAnswer, RedisError> {
        let pbx = &self.hub.pbx;
        let mut lease = LEASE.prepare_invoke();
        lease
            .key(self.keys.lease(pbx))
            .key(self.keys.fence(pbx))
            .key(self.keys.heads())
            .key(self.keys.events());
        lease.arg(&self.daemon).arg(millis(LEASE_TTL)).arg(pbx.as_str()).arg(u8::from(may_take));
        let (fence, head, last, ms): (u64, Option<String>, String, i64) =
            with_timeout(lease.invoke_async(redis)).await?;
        let at = Timestamp::from_millisecond(ms).unwrap_or_default();
        self.hub.cluster_clock.set(at);
        Ok(LeaseAnswer {
            fence,
            head: head.as_deref().and_then(Head::parse),
            last: Cursor::parse(&last).unwrap_or_default(),
            at,
        })
    }

    async fn release(&self, redis: &mut Connection) -> Result<(), RedisError> {
        let fence = match self.hub.outbox().leadership {
            Leadership::Leader { fence, .. } => fence,
            Leadership::Standby(_) => return Ok(()),
        };
        self.release_as(redis, fence).await
    }

    async fn release_as(&self, redis: &mut Connection, fence: u64) -> Result<(), RedisError> {
        let mut release = RELEASE.prepare_invoke();
        release.key(self.keys.lease(&self.hub.pbx)).arg(fence).arg(&self.daemon);
        with_timeout(release.invoke_async::<()>(redis)).await
    }
}
