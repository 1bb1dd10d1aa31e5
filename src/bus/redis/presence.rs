//! The task that publishes how many desktops of each operator follow the events at this gateway, and reads the counts of
//! the other gateways.
//!
//! | event | the counts here |
//! |---|---|
//! | a desktop connects or disconnects at another gateway | include it within [`PRESENCE_INTERVAL`] |
//! | another daemon shuts down | lose its desktops at once |
//! | another daemon dies, or loses Redis | lose its desktops after [`PRESENCE_TTL`] |
//! | this daemon loses Redis | keep the last counts for [`PRESENCE_TTL`], then have only this gateway's |
//!
//! Invariant: nothing waits for this task. Redis holds one report for each daemon that lives, and the whole key expires
//! when no daemon reports any more.
//!
//! Read next: `operator/presence.rs`, which adds the counts up.

use std::collections::HashMap;

use redis::RedisError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::client::{Connection, RedisAddress, with_timeout};
use super::scripts::{EXCHANGE_PRESENCE, Keys};
use super::timing::{PRESENCE_DELAY, PRESENCE_INTERVAL, PRESENCE_TTL, RECONNECT_DELAY, millis};
use crate::ids::RecordId;
use crate::people::presence::Presence;

/// Most daemons whose reports are counted.
const DAEMONS_MAX: usize = 256;

pub(super) struct PresencePublisher {
    pub(super) presence: Presence,
    pub(super) address: RedisAddress,
    pub(super) keys: Keys,
    pub(super) daemon: String,
}

impl PresencePublisher {
    /// Works until `shutdown`; then deletes the report of this daemon.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut exchanged_at = Instant::now();
        while !shutdown.is_cancelled() {
            if let Err(error) = self.session(&mut exchanged_at, &shutdown).await {
                tracing::debug!(%error, "exchanging presence counts with other gateways failed; reconnecting");
            }
            if exchanged_at.elapsed() >= PRESENCE_TTL {
                self.presence.set_remote(HashMap::new());
            }
            tokio::select! {
                () = sleep(RECONNECT_DELAY) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn session(
        &self,
        exchanged_at: &mut Instant,
        shutdown: &CancellationToken,
    ) -> Result<(), RedisError> {
        let mut redis = self.address.connect(false).await?;
        let mut ticks = interval(PRESENCE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return self.exchange(&mut redis, String::new()).await.map(drop),
                _ = ticks.tick() => {}
                () = self.presence.local_changed() => sleep(PRESENCE_DELAY).await,
            }
            let here = serde_json::to_string(&self.presence.local()).unwrap_or_default();
            let elsewhere = self.exchange(&mut redis, here).await?;
            *exchanged_at = Instant::now();
            self.presence.set_remote(elsewhere);
        }
    }

    /// Publishes `here` (empty: deletes the report); returns the sum of the other reports, by operator.
    async fn exchange(
        &self,
        redis: &mut Connection,
        here: String,
    ) -> Result<HashMap<RecordId, u32>, RedisError> {
        let mut exchange = EXCHANGE_PRESENCE.prepare_invoke();
        exchange.key(self.keys.desktops()).arg(&self.daemon).arg(millis(PRESENCE_TTL)).arg(here);
        let others: Vec<String> = with_timeout(exchange.invoke_async(redis)).await?;
        let mut sum: HashMap<RecordId, u32> = HashMap::new();
        for report in others.iter().take(DAEMONS_MAX) {
            // A report that cannot be parsed (another version wrote it) counts nothing.
            let counts: Vec<(RecordId, u32)> = serde_json::from_str(report).unwrap_or_default();
            for (user, desktops) in counts {
                let count = sum.entry(user).or_default();
                *count = count.saturating_add(desktops);
            }
        }
        Ok(sum)
    }
}
