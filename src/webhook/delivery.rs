//! Posts events from the outbox to one receiver.
//!
//! Invariant: one request at a time to each receiver. When a receiver cannot be reached, all its deliveries wait as
//! long as the one that failed, so an unreachable receiver costs one attempt per delay and not one for each event. When
//! several daemons post to a receiver, one of them claims each event before it posts it.
//!
//! If a daemon dies between a post and the update of the outbox, the claim expires after [`CLAIM_TTL`], and the event
//! is posted again under the same `webhook-id`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    ATTEMPTS_MAX, FAILED_DELIVERIES_MAX, POST_TIMEOUT, PostError, RETRY_DELAY, RETRY_DELAY_LONGEST, Receiver,
    Stats, WebhookClient, sign,
};
use crate::backoff::doubled;
use crate::store::webhooks::DueDelivery;
use crate::store::{Store, StoreError};

/// Most deliveries read from the outbox at once.
const BATCH_MAX: u32 = 32;
/// How often the worker reads the outbox when the outbox writer does not wake it: an administrator may have retried a
/// failed delivery, or another daemon may have written.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How long a delivery is claimed by the daemon that posts it. If the claim expires, that daemon is gone, and another
/// one posts the event.
const CLAIM_TTL: Duration = Duration::from_secs(2 * POST_TIMEOUT.as_secs());

/// The task that posts to one receiver.
pub(super) struct DeliveryWorker {
    pub(super) receiver: Receiver,
    pub(super) store: Store,
    pub(super) client: WebhookClient,
    /// The outbox writer has written.
    pub(super) written: Arc<Notify>,
    pub(super) stats: Stats,
}

impl DeliveryWorker {
    /// Posts until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        loop {
            // Created before the outbox is read, so that a write during the read still wakes the worker.
            let written = self.written.notified();
            let is_more_due = match self.post_due().await {
                Ok(is_more_due) => is_more_due,
                Err(error) => {
                    let receiver = &self.receiver.name;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%receiver, error, "cannot read or update the webhook outbox; trying again");
                    false
                }
            };
            let delay = if is_more_due { Duration::ZERO } else { POLL_INTERVAL };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = written => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// Posts the due deliveries; returns whether there may be more that are due now.
    async fn post_due(&self) -> Result<bool, StoreError> {
        let due = self.store.due_deliveries(&self.receiver.name, Timestamp::now(), BATCH_MAX).await?;
        let is_more_due = due.len() == BATCH_MAX as usize;
        for delivery in due {
            // Other daemons read the same outbox for the same receivers.
            if !self.store.claim_delivery(delivery.id, Timestamp::now(), later(CLAIM_TTL)).await? {
                continue;
            }
            match self.post(&delivery).await {
                Ok(()) => {
                    self.stats.delivered.inc();
                    self.store.complete_delivery(delivery.id).await?;
                }
                Err(error) => {
                    let has_answered = matches!(error, PostError::Status(_));
                    self.record_failure(&delivery, &error).await?;
                    if !has_answered {
                        // The receiver is unreachable: its other deliveries wait as long as this one.
                        let until = later(self.retry_delay(delivery.attempts));
                        self.store.postpone_deliveries(&self.receiver.name, until).await?;
                        return Ok(false);
                    }
                }
            }
        }
        Ok(is_more_due)
    }

    async fn post(&self, delivery: &DueDelivery) -> Result<(), PostError> {
        let timestamp_s = Timestamp::now().as_second();
        let body = Bytes::from(delivery.body.clone());
        let signature = sign(&self.receiver.secret, &delivery.event, timestamp_s, &body);
        let headers = [
            ("webhook-id", delivery.event.clone()),
            ("webhook-timestamp", timestamp_s.to_string()),
            ("webhook-signature", signature),
        ];
        self.client.post(&self.receiver.url, &headers, body).await
    }

    async fn record_failure(&self, delivery: &DueDelivery, error: &PostError) -> Result<(), StoreError> {
        self.stats.refused.inc();
        let attempts = delivery.attempts + 1;
        let receiver = &self.receiver.name;
        let why = chain(error);
        tracing::warn!(%receiver, event = %delivery.event, attempts, why, "webhook delivery failed");
        let next = (attempts < ATTEMPTS_MAX).then(|| later(self.retry_delay(delivery.attempts)));
        self.store.fail_delivery(delivery.id, &why, next, FAILED_DELIVERIES_MAX).await
    }

    fn retry_delay(&self, attempts: u32) -> Duration {
        doubled(RETRY_DELAY, RETRY_DELAY_LONGEST, attempts)
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

fn later(delay: Duration) -> Timestamp {
    let now = Timestamp::now();
    now.checked_add(delay).unwrap_or(now)
}
