//! Keeps the people in memory as the store has them: after a change through this gateway at once, after one
//! by another process (the command line) within [`REFRESH_EVERY`].

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::store::StoreError;

/// How often the store is asked.
const REFRESH_EVERY: Duration = Duration::from_secs(10);

impl App {
    /// Reads everybody anew.
    pub(super) async fn refresh_people(&self) -> Result<(), StoreError> {
        let roster = self.store.roster().await?;
        self.people.replace(roster, || self.bus.head());
        Ok(())
    }
}

/// Goes on until `shutdown`. Without the store everybody stays as they were.
pub(super) async fn keep_current(app: App, shutdown: CancellationToken) {
    let mut every = tokio::time::interval(REFRESH_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        if let Err(error) = app.refresh_people().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read the people; they stay as they were"
            );
        }
    }
}
