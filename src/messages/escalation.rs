//! Escalation: applies the timers of messages' routes when they are due, makes digests at their times, and ends claims of phone tasks
//! whose time is over.
//!
//! | what happens | the task |
//! |---|---|
//! | a timer is due | applies it, and wakes the outbox and the relay, which send and publish what follows |
//! | the time of a digest comes | makes its run ([`crate::store::digests`]) |
//! | several daemons use the store | each looks; the transaction of one of them applies the timer ([`crate::store::dispatches`]) |
//! | the daemon was down | applies each overdue timer once: one step for each message, not all that it missed |
//! | one message cannot be read | logs it and goes on with the others |
//! | the store is away | tries again after [`POLL_INTERVAL`] |
//!
//! Invariant: a timer is applied at most [`POLL_INTERVAL`] after its time while a daemon runs and the store answers.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::MessageRelay;
use crate::ids::PbxId;
use crate::store::digests::{DigestTimer, RunOutcome, RunWhen};
use crate::store::{Store, StoreError};

/// How often the store is looked at; a timer that is due before that is not waited for any longer.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often claims of phone tasks are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);

/// Applies timers until `shutdown`.
pub async fn run(store: Store, relay: MessageRelay, pbx: PbxId, shutdown: CancellationToken) {
    let mut swept: Option<tokio::time::Instant> = None;
    loop {
        let wait = match round(&store, &relay, &pbx).await {
            Ok(wait) => wait,
            Err(error) => {
                log(&error);
                POLL_INTERVAL
            }
        };
        if swept.is_none_or(|at| at.elapsed() >= SWEEP_INTERVAL) {
            swept = Some(tokio::time::Instant::now());
            match store.sweep_tasks(Timestamp::now()).await {
                Ok(0) => {}
                Ok(_) => relay.publish_soon(),
                Err(error) => log(&error),
            }
            match store.unanswered_messages().await {
                Ok(counts) => relay.stats().unanswered(&counts),
                Err(error) => log(&error),
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Applies what is due; returns how long to wait.
async fn round(store: &Store, relay: &MessageRelay, pbx: &PbxId) -> Result<Duration, StoreError> {
    let due = store.due_dispatches(Timestamp::now()).await?;
    let mut applied = false;
    for message in due.messages {
        match store.tick_dispatch(message, Timestamp::now()).await {
            Ok(was_due) => applied |= was_due,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%message, error, "cannot apply a timer of a message's route; trying again");
            }
        }
    }
    let digests = store.due_digests(Timestamp::now()).await?;
    for DigestTimer { account, name, next_at, .. } in digests.due {
        match store.run_digest(account, &name, RunWhen::Due, (pbx, Timestamp::now())).await {
            Ok(RunOutcome::Missed) => {
                tracing::error!(%account, name, at = %next_at, "the time of a digest was missed; the next one reports its messages");
            }
            Ok(outcome) => applied |= matches!(outcome, RunOutcome::Made(_)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%account, name, error, "cannot make a digest; trying again");
            }
        }
    }
    if applied {
        relay.wake();
    }
    let until_next = due.next_at.into_iter().chain(digests.next_at).min();
    let until_next =
        until_next.map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
    Ok(until_next.map_or(POLL_INTERVAL, |until| until.clamp(Duration::from_millis(10), POLL_INTERVAL)))
}

fn log(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the routes of messages wait for the store; trying again");
}
