//! The task that holds the lease and sends what the outbox holds.
//!
//! | what it finds | what it does |
//! |---|---|
//! | the lease is free, or ours | takes or renews it; once everything told is read, this daemon leads |
//! | another has it | stands by; a leader steps down |
//! | Redis does not answer within [`super::REDIS_ANSWER_MAX`] | the leader goes on alone, a standby shows what it sees; tries again every [`RECONNECT_PAUSE`] |
//! | it has not told what is since the start (not there, still loading) | after [`START_TICKS`] this daemon leads without a lease |
//! | Redis answers again | takes the lease anew, sends what was kept, joins the others |
//! | Redis has forgotten what was told (an empty database) | tells it how it stands, and what waits |
//! | it has forgotten some of it, or taken some of what was in doubt (`outbox.rs`) | begins a new generation, and everybody begins anew |
//!
//! The fencing token grows with every change of leader, and every script that writes names it: a leader that was
//! stopped for a while cannot write into its successor's stream.
//!
//! A standby that has just found Redis again leaves the lease to the one that led before for [`GRACE_TICKS`]:
//! that one has events that only its own desktops know.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use redis::RedisError;
use smol_str::SmolStr;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::client::{Connection, RedisAddress, in_time};
use super::hub::{Cursor, Hub};
use super::keepers::{self, CLAIM_TICKS};
use super::lives;
use super::outbox::{Head, Role};
use super::scripts::{APPEND, BEGIN, Keys, LEASE, RELEASE};
use super::wire;

/// How long a lease lasts unless it is renewed, in milliseconds.
pub const LEASE_MS: u64 = 1_500;
/// How often it is renewed, or tried for.
pub const LEASE_TICK: Duration = Duration::from_millis(400);
/// Pause between two attempts to reach Redis.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// So long a standby leaves the lease alone after it has found Redis again.
const GRACE_TICKS: u32 = 6;
/// So long a daemon without a link to its PBX leaves the lease to one that has it.
const UNFIT_TICKS: u32 = 8;
/// So long a start waits for Redis before this daemon leads without it.
const START_TICKS: u32 = 8;
/// So long an event may be in Redis without being read back.
const READ_BACK_TICKS: u32 = 5;
/// How often events that are too old are let go.
const TRIM_TICKS: u32 = 150;
/// Entries kept in the stream, about.
const STREAM_ENTRIES_MAX: usize = 50_000;

pub(super) struct Keeper {
    pub(super) hub: Arc<Hub>,
    pub(super) address: RedisAddress,
    pub(super) keys: Keys,
    pub(super) daemon: String,
    /// Whose people are wanted here.
    pub(super) teams: Vec<SmolStr>,
}

/// What changes from tick to tick.
#[derive(Default)]
struct Count {
    sessions: u32,
    /// Since Redis was found (again).
    ticks: u32,
    /// Ticks without Redis since the start.
    alone: u32,
    /// The event in front of the line, and for how many ticks it is.
    front: Option<(u64, u32)>,
}

/// What the lease's script says.
struct LeaseAnswer {
    fence: u64,
    head: Option<Head>,
    last: Cursor,
    at: Timestamp,
}

impl Keeper {
    /// Works until `shutdown`; then sends what is left and gives the lease back.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut count = Count::default();
        while !shutdown.is_cancelled() {
            match self.address.connect(false).await {
                Ok(connection) => {
                    count.sessions += 1;
                    count.ticks = 0;
                    if let Err(error) = self.session(connection, &mut count, &shutdown).await {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "the session with Redis is over"
                        );
                    }
                }
                Err(error) => {
                    if count.sessions == 0 && count.alone == 0 {
                        tracing::warn!(%error, redis = %self.address, "Redis cannot be reached");
                    }
                }
            }
            if shutdown.is_cancelled() {
                break;
            }
            self.hub.set_connected(false);
            count.alone += 1;
            if !self.hub.has_loaded() && count.alone >= START_TICKS && !self.hub.outbox().leads() {
                self.hub.lead_without_redis();
            }
            self.hub.go_alone();
            self.hub.show_own_sight();
            tokio::select! {
                () = sleep(RECONNECT_PAUSE) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn session(
        &self,
        mut redis: Connection,
        count: &mut Count,
        shutdown: &CancellationToken,
    ) -> Result<(), RedisError> {
        let mut ticks = interval(LEASE_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.flush(&mut redis).await?;
                    return self.release(&mut redis).await;
                }
                _ = ticks.tick() => {
                    self.hold_lease(&mut redis, count).await?;
                    self.hub.set_connected(true);
                    if count.ticks % TRIM_TICKS == 1 {
                        self.trim(&mut redis).await?;
                    }
                    self.watch_front(count);
                }
                () = self.hub.wake.notified() => {}
            }
            if !self.flush(&mut redis).await? {
                self.hold_lease(&mut redis, count).await?;
            }
        }
    }

    async fn hold_lease(&self, redis: &mut Connection, count: &mut Count) -> Result<(), RedisError> {
        count.ticks += 1;
        let leads = self.hub.outbox().leads();
        let fit = self.hub.is_fit() || count.ticks > UNFIT_TICKS;
        let patient = count.sessions == 1 || count.ticks > GRACE_TICKS;
        let answer = self.ask_lease(redis, leads || (fit && patient)).await?;
        match (leads, answer.fence) {
            (false, 0) => {}
            (false, _) => {
                if self.has_read(answer.last) {
                    self.claim(redis, count).await?;
                    let left = lives::left_in(redis, &self.keys, &self.hub.pbx).await?;
                    self.hub.lead(answer.fence, answer.head, left);
                    if answer.head.is_none() {
                        self.begin(redis, answer.head, answer.at).await?;
                    }
                }
            }
            (true, 0) => self.hub.step_down(),
            (true, fence) => {
                if count.ticks % CLAIM_TICKS == 1 {
                    self.claim(redis, count).await?;
                }
                self.keep_leading(redis, fence, &answer).await?;
            }
        }
        Ok(())
    }

    async fn claim(&self, redis: &mut Connection, count: &Count) -> Result<(), RedisError> {
        let (pbx, teams) = (&self.hub.pbx, &self.teams);
        let elsewhere = keepers::claim(redis, &self.keys, pbx, teams, count.ticks).await?;
        self.hub.kept_elsewhere(elsewhere);
        Ok(())
    }

    /// The lease is ours; whether it was all the time, the fencing token tells.
    async fn keep_leading(
        &self,
        redis: &mut Connection,
        fence: u64,
        answer: &LeaseAnswer,
    ) -> Result<(), RedisError> {
        let (before, generation) = {
            let outbox = self.hub.outbox();
            let Role::Leader { fence, .. } = outbox.role else { return Ok(()) };
            (fence, outbox.generation)
        };
        if before > 0 && fence > before + 1 {
            // Somebody led meanwhile.
            self.hub.step_down();
            return self.release_as(redis, fence).await;
        }
        self.hub.renew(fence);
        let whole = match answer.head {
            Some(head) if head.generation == generation => {
                let mut outbox = self.hub.outbox();
                !outbox.lost && outbox.redis_has(head.position)
            }
            _ => false,
        };
        if whole { Ok(()) } else { self.begin(redis, answer.head, answer.at).await }
    }

    /// Tells Redis the state as it is here, and from where on the events that wait continue it. Where some of a
    /// generation are lost to the others, another one begins, which makes them read that state.
    async fn begin(
        &self,
        redis: &mut Connection,
        head: Option<Head>,
        at: Timestamp,
    ) -> Result<(), RedisError> {
        let Some((fence, first, anew)) = self.hub.begin(head, at) else { return Ok(()) };
        let (pbx, own) = (&self.hub.pbx, self.hub.own_state());
        let mut begin = BEGIN.prepare_invoke();
        begin
            .key(self.keys.lease(pbx))
            .key(self.keys.heads())
            .key(self.keys.calls(pbx))
            .key(self.keys.links())
            .key(self.keys.operators())
            .key(self.keys.events())
            .key(self.keys.lives(pbx));
        begin.arg(fence).arg(&self.daemon).arg(pbx.as_str());
        begin.arg(format!("{}-{}", first.generation, first.position));
        begin.arg(own.link.as_ref().map(wire::json).unwrap_or_default());
        let lives = self.hub.outbox().lives.all();
        begin.arg(u8::from(anew)).arg(own.calls.len()).arg(lives.len());
        for view in own.calls {
            begin.arg(view.id.to_string()).arg(wire::json(&*view));
        }
        for (call, entry) in lives {
            begin.arg(call).arg(entry);
        }
        for view in own.operators {
            begin.arg(view.id.to_string()).arg(wire::json(&*view));
        }
        in_time(begin.invoke_async::<i64>(redis)).await?;
        tracing::info!(%pbx, generation = first.generation, "Redis knows the state of this PBX");
        Ok(())
    }

    /// Sends what waits. False: another leads, or Redis knows another generation.
    async fn flush(&self, redis: &mut Connection) -> Result<bool, RedisError> {
        loop {
            let (fence, generation, batch, lives) = {
                let mut outbox = self.hub.outbox();
                let Role::Leader { fence, .. } = outbox.role else { return Ok(true) };
                let batch = outbox.batch();
                // How calls stand is after the last event.
                let is_all = batch.len() == outbox.untaken();
                let lives = if is_all { outbox.lives.step() } else { lives::Step::default() };
                (fence, outbox.generation, batch, lives)
            };
            if batch.is_empty() && lives.entries.is_empty() {
                self.hub.rejoin_if_drained();
                return Ok(true);
            }
            let pbx = &self.hub.pbx;
            let mut append = APPEND.prepare_invoke();
            append.key(self.keys.lease(pbx)).key(self.keys.heads()).key(self.keys.calls(pbx));
            append.key(self.keys.events()).key(self.keys.links()).key(self.keys.operators());
            append.key(self.keys.lives(pbx));
            append.arg(fence).arg(&self.daemon).arg(pbx.as_str()).arg(generation).arg(STREAM_ENTRIES_MAX);
            append.arg(batch.len());
            for pending in &batch {
                let (letter, field, value) = wire::change_words(&pending.change, pbx);
                append.arg(pending.id.position()).arg(pending.id.to_string());
                append.arg(pending.after.as_ref().map(ToString::to_string).unwrap_or_default());
                append.arg(wire::json(&pending.audience)).arg(&pending.body.json);
                append.arg(letter).arg(field).arg(value);
            }
            for (call, entry) in &lives.entries {
                append.arg(call).arg(entry);
            }
            if in_time(append.invoke_async::<i64>(redis)).await? == 0 {
                return Ok(false);
            }
            let mut outbox = self.hub.outbox();
            if let Some(last) = batch.last() {
                outbox.taken_up_to(last.id.position());
            }
            outbox.lives.has(&lives);
        }
    }

    /// Events older than a resume may reach back are personal data that nobody needs.
    async fn trim(&self, redis: &mut Connection) -> Result<(), RedisError> {
        let age_max = self.hub.log().settings().replay_age_max.as_millis();
        let time = redis::cmd("TIME");
        let (seconds, _): (u64, u64) = in_time(time.query_async(redis)).await?;
        let oldest = u128::from(seconds * 1000).saturating_sub(age_max);
        let mut trim = redis::cmd("XTRIM");
        trim.arg(self.keys.events()).arg("MINID").arg("~").arg(format!("{oldest}-0"));
        in_time(trim.query_async::<i64>(redis)).await.map(drop)
    }

    /// An event that Redis has and nobody reads back is delivered all the same.
    fn watch_front(&self, count: &mut Count) {
        let front = self.hub.outbox().pending.front().map(|pending| pending.id.position());
        count.front = match (front, count.front) {
            (Some(now), Some((before, ticks))) if now == before => Some((now, ticks + 1)),
            (Some(now), _) => Some((now, 0)),
            (None, _) => None,
        };
        if count.front.is_some_and(|(_, ticks)| ticks >= READ_BACK_TICKS) {
            self.hub.go_alone();
        }
    }

    fn has_read(&self, last: Cursor) -> bool {
        self.hub.read_up_to().borrow().is_some_and(|read| read >= last)
    }

    async fn ask_lease(&self, redis: &mut Connection, may_take: bool) -> Result<LeaseAnswer, RedisError> {
        let pbx = &self.hub.pbx;
        let mut lease = LEASE.prepare_invoke();
        lease
            .key(self.keys.lease(pbx))
            .key(self.keys.fence(pbx))
            .key(self.keys.heads())
            .key(self.keys.events());
        lease.arg(&self.daemon).arg(LEASE_MS).arg(pbx.as_str()).arg(u8::from(may_take));
        let (fence, head, last, ms): (u64, Option<String>, String, i64) =
            in_time(lease.invoke_async(redis)).await?;
        let at = Timestamp::from_millisecond(ms).unwrap_or_default();
        self.hub.common_time.is(at);
        Ok(LeaseAnswer {
            fence,
            head: head.as_deref().and_then(Head::parse),
            last: Cursor::parse(&last).unwrap_or_default(),
            at,
        })
    }

    async fn release(&self, redis: &mut Connection) -> Result<(), RedisError> {
        let fence = match self.hub.outbox().role {
            Role::Leader { fence, .. } => fence,
            Role::Standby(_) => return Ok(()),
        };
        self.release_as(redis, fence).await
    }

    async fn release_as(&self, redis: &mut Connection, fence: u64) -> Result<(), RedisError> {
        let mut release = RELEASE.prepare_invoke();
        release.key(self.keys.lease(&self.hub.pbx)).arg(fence).arg(&self.daemon);
        in_time(release.invoke_async::<()>(redis)).await
    }
}
