//! When tokens were last used, written to the store in batches, behind the requests.
//!
//! A commit waits for the disk, and after a restart every desktop reconnects at once. Uses therefore gather while
//! a commit runs, and the next commit writes them all.
//!
//! | the store | what happens |
//! |---|---|
//! | takes the batch | the next batch is what was recorded meanwhile |
//! | fails | the batch is tried again after a delay ([`crate::backoff`]), with what was recorded meanwhile; requests go on |
//! | fails on shutdown | the batch is lost: those tokens keep their earlier last use |
//!
//! Invariant: recording never waits, and a use counts in this gateway from the moment it is recorded
//! ([`TokenUseRecorder::apply_to`]) until the store has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::ids::RecordId;
use crate::store::Store;
use crate::store::users::{TokenRecord, TokenUse};

/// Most tokens whose uses wait to be written; uses of further tokens are not recorded.
const PENDING_USES_MAX: usize = 10_000;

/// The uses that the store does not have yet.
#[derive(Debug, Default)]
pub(crate) struct TokenUseRecorder {
    pending: Mutex<PendingUses>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct PendingUses {
    waiting: BTreeMap<RecordId, TokenUse>,
    writing: BTreeMap<RecordId, TokenUse>,
}

impl TokenUseRecorder {
    /// Records a use.
    pub(crate) fn record(&self, token_use: TokenUse) {
        let mut pending = self.pending();
        if pending.waiting.len() < PENDING_USES_MAX || pending.waiting.contains_key(&token_use.token) {
            pending.waiting.insert(token_use.token, token_use);
        }
        drop(pending);
        self.ready.notify_one();
    }

    /// The record with the last use that was recorded here, if the store does not have that use yet.
    pub(crate) fn apply_to(&self, record: TokenRecord) -> TokenRecord {
        let pending = self.pending();
        let Some(last) = pending.waiting.get(&record.id).or_else(|| pending.writing.get(&record.id)) else {
            return record;
        };
        TokenRecord {
            last_used_at: Some(last.at),
            expires_at: last.expires_at.or(record.expires_at),
            ..record
        }
    }

    /// Takes the next batch to write.
    fn start_batch(&self) -> Vec<TokenUse> {
        let mut pending = self.pending();
        pending.writing = std::mem::take(&mut pending.waiting);
        pending.writing.values().copied().collect()
    }

    /// Ends the batch. If it was not written, its uses wait again, except where a later use waits.
    fn finish_batch(&self, written: bool) {
        let mut pending = self.pending();
        let writing = std::mem::take(&mut pending.writing);
        if !written {
            for (token, token_use) in writing {
                pending.waiting.entry(token).or_insert(token_use);
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, PendingUses> {
        self.pending.lock()
    }
}

/// Writes uses to the store until `shutdown`, then the last batch, unless the store fails at that time.
pub(super) async fn run(uses: Arc<TokenUseRecorder>, store: Store, shutdown: CancellationToken) {
    let mut backoff = Backoff::of_store();
    loop {
        tokio::select! {
            () = uses.ready.notified() => {}
            () = shutdown.cancelled() => {
                write(&uses, &store).await;
                return;
            }
        }
        while !write(&uses, &store).await {
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = shutdown.cancelled() => return,
            }
        }
        backoff.reset();
    }
}

/// Writes one batch; whether the store took it.
async fn write(uses: &TokenUseRecorder, store: &Store) -> bool {
    let batch = uses.start_batch();
    if batch.is_empty() {
        return true;
    }
    let written = store.record_token_uses(&batch).await;
    uses.finish_batch(written.is_ok());
    if let Err(error) = &written {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            tokens = batch.len(),
            "cannot write the last uses of tokens to the store"
        );
    }
    written.is_ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::people::token::TokenHash;
    use crate::store::users::TokenKind;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn used(second: i64) -> TokenUse {
        TokenUse { token: RecordId(Uuid::from_u128(1)), at: at(second), expires_at: Some(at(second + 60)) }
    }

    fn record() -> TokenRecord {
        TokenRecord {
            id: RecordId(Uuid::from_u128(1)),
            user: RecordId(Uuid::from_u128(2)),
            hash: TokenHash::from_bytes([0; 32]),
            kind: TokenKind::Session,
            label: String::new(),
            created_at: at(0),
            expires_at: Some(at(10)),
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_use_counts_before_while_and_although_it_is_not_written() {
        let uses = TokenUseRecorder::default();
        let expiry = |uses: &TokenUseRecorder| uses.apply_to(record()).expires_at;
        assert_eq!(expiry(&uses), Some(at(10)));
        uses.record(used(5));
        assert_eq!(expiry(&uses), Some(at(65)));
        assert_eq!(uses.start_batch(), [used(5)]);
        assert_eq!(expiry(&uses), Some(at(65)));
        uses.finish_batch(false);
        assert_eq!(uses.apply_to(record()).last_used_at, Some(at(5)));
        uses.start_batch();
        uses.record(used(6));
        uses.finish_batch(false);
        assert_eq!(uses.start_batch(), [used(6)], "the later use is the one to write");
        uses.finish_batch(true);
        assert_eq!(expiry(&uses), Some(at(10)), "from here on the record of the store has it");
    }
}
