//! Outbox → one receiver.
//!
//! Invariant: one request at a time to each receiver; one that cannot be reached is left alone for as long as its
//! oldest event has to wait, so that a dead receiver costs one attempt now and then, not one for each event. Where
//! several daemons post to it, each event is claimed by one of them before it is posted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    ATTEMPTS_MAX, FAILED_MAX, Figures, POST_TIMEOUT, PostError, Poster, RETRY_PAUSE, RETRY_PAUSE_MAX,
    Receiver, sign,
};
use crate::store::webhooks::Waiting;
use crate::store::{Store, StoreError};

/// Events taken from the outbox at once.
const TAKEN_AT_ONCE: u32 = 32;
/// How often the outbox is looked at without a word from whoever fills it: an administrator may have sent again.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long an event is left to whoever posts it: beyond that, whoever did is gone.
const CLAIM: Duration = Duration::from_secs(2 * POST_TIMEOUT.as_secs());

/// The task of one receiver.
pub(super) struct Deliver {
    pub(super) receiver: Receiver,
    pub(super) store: Store,
    pub(super) poster: Poster,
    pub(super) filled: Arc<Notify>,
    pub(super) figures: Figures,
}

impl Deliver {
    /// Goes on until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        loop {
            // Before the look, so that what is filled during it is not slept over.
            let filled = self.filled.notified();
            let more = match self.round().await {
                Ok(more) => more,
                Err(error) => {
                    let receiver = &self.receiver.name;
                    tracing::warn!(%receiver, error = &error as &dyn std::error::Error, "the webhooks' outbox failed");
                    false
                }
            };
            let pause = if more { Duration::ZERO } else { LOOK_EVERY };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = filled => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Posts what is due; whether there may be more at once.
    async fn round(&self) -> Result<bool, StoreError> {
        let due = self.store.due_webhooks(&self.receiver.name, Timestamp::now(), TAKEN_AT_ONCE).await?;
        let more = due.len() == TAKEN_AT_ONCE as usize;
        for waiting in due {
            // Other daemons have the same receivers and see the same outbox.
            if !self.store.claim_webhook(waiting.id, Timestamp::now(), later(CLAIM)).await? {
                continue;
            }
            match self.post(&waiting).await {
                Ok(()) => {
                    self.figures.delivered.inc();
                    self.store.webhook_delivered(waiting.id).await?;
                }
                Err(error) => {
                    let reached = matches!(error, PostError::Status(_));
                    self.failed(&waiting, &error).await?;
                    if !reached {
                        // The others are due no earlier than the one that found nobody there.
                        let until = later(self.pause_after(waiting.attempts));
                        self.store.postpone_webhooks(&self.receiver.name, until).await?;
                        return Ok(false);
                    }
                }
            }
        }
        Ok(more)
    }

    async fn post(&self, waiting: &Waiting) -> Result<(), PostError> {
        let timestamp_s = Timestamp::now().as_second();
        let body = Bytes::from(waiting.body.clone());
        let signature = sign(&self.receiver.secret, &waiting.event, timestamp_s, &body);
        let headers = [
            ("webhook-id", waiting.event.clone()),
            ("webhook-timestamp", timestamp_s.to_string()),
            ("webhook-signature", signature),
        ];
        self.poster.post(&self.receiver.url, &headers, body).await
    }

    async fn failed(&self, waiting: &Waiting, error: &PostError) -> Result<(), StoreError> {
        self.figures.refused.inc();
        let attempts = waiting.attempts + 1;
        let receiver = &self.receiver.name;
        let why = chain(error);
        tracing::warn!(%receiver, event = %waiting.event, attempts, why, "a webhook was not taken");
        let next = (attempts < ATTEMPTS_MAX).then(|| later(self.pause_after(waiting.attempts)));
        self.store.webhook_failed(waiting.id, &why, next, FAILED_MAX).await
    }

    fn pause_after(&self, attempts: u32) -> Duration {
        RETRY_PAUSE.saturating_mul(1 << attempts.min(20)).min(RETRY_PAUSE_MAX)
    }
}

/// The error with its causes, on one line.
fn chain(error: &PostError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn later(pause: Duration) -> Timestamp {
    let now = Timestamp::now();
    now.checked_add(pause).unwrap_or(now)
}
