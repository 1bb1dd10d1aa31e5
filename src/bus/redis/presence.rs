//! The task that tells the other daemons whose desktops follow the events here, and hears of theirs.
//!
//! | what happens | what the counts here become |
//! |---|---|
//! | a desktop comes or goes at another gateway | known within [`SAY_EVERY`] |
//! | another daemon ends | its desktops are gone at once |
//! | another daemon is killed, or cut off from Redis | its desktops are gone after [`SAID_MS`] |
//! | Redis does not answer | the last ones stand for [`SAID_MS`], then those at this gateway alone |
//!
//! Invariant: nobody waits for it, and what Redis holds goes by itself: an entry for each daemon that lives, as long as
//! people have desktops there.
//!
//! Read next: `operator/presence.rs`, which adds up.

use std::collections::HashMap;
use std::time::Duration;

use redis::RedisError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::client::{Connection, RedisAddress, in_time};
use super::scripts::{DESKTOPS, Keys};
use crate::ids::RecordId;
use crate::operator::Presence;

/// How often the counts are told and heard, at least.
pub const SAY_EVERY: Duration = Duration::from_secs(1);
/// How long what a daemon said holds, in milliseconds.
pub const SAID_MS: u64 = 5_000;
/// Pause before a change is told: many desktops come at the same time.
const SAY_PAUSE: Duration = Duration::from_millis(100);
/// Pause between two attempts to reach Redis.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// Most daemons whose desktops are counted.
const DAEMONS_MAX: usize = 256;

pub(super) struct Herald {
    pub(super) presence: Presence,
    pub(super) address: RedisAddress,
    pub(super) keys: Keys,
    pub(super) daemon: String,
}

impl Herald {
    /// Works until `shutdown`; then says that nobody is here any more.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut heard = Instant::now();
        while !shutdown.is_cancelled() {
            if let Err(error) = self.session(&mut heard, &shutdown).await {
                tracing::debug!(%error, "the desktops at other gateways cannot be heard of");
            }
            if heard.elapsed() >= Duration::from_millis(SAID_MS) {
                self.presence.set_elsewhere(HashMap::new());
            }
            tokio::select! {
                () = sleep(RECONNECT_PAUSE) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn session(&self, heard: &mut Instant, shutdown: &CancellationToken) -> Result<(), RedisError> {
        let mut redis = self.address.connect(false).await?;
        let mut every = interval(SAY_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return self.say(&mut redis, String::new()).await.map(drop),
                _ = every.tick() => {}
                () = self.presence.here_changed() => sleep(SAY_PAUSE).await,
            }
            let here = serde_json::to_string(&self.presence.here()).unwrap_or_default();
            let elsewhere = self.say(&mut redis, here).await?;
            *heard = Instant::now();
            self.presence.set_elsewhere(elsewhere);
        }
    }

    async fn say(&self, redis: &mut Connection, here: String) -> Result<HashMap<RecordId, u32>, RedisError> {
        let mut say = DESKTOPS.prepare_invoke();
        say.key(self.keys.desktops()).arg(&self.daemon).arg(SAID_MS).arg(here);
        let others: Vec<String> = in_time(say.invoke_async(redis)).await?;
        let mut sum: HashMap<RecordId, u32> = HashMap::new();
        for said in others.iter().take(DAEMONS_MAX) {
            // What a daemon of another version says otherwise is not counted.
            let there: Vec<(RecordId, u32)> = serde_json::from_str(said).unwrap_or_default();
            for (user, desktops) in there {
                let count = sum.entry(user).or_default();
                *count = count.saturating_add(desktops);
            }
        }
        Ok(sum)
    }
}
