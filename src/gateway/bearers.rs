//! The tokens that hold something open: their streams end when they do. And the tokens seen lately: desktops
//! go on while the store is gone.
//!
//! Invariant: a [`Hold`] is told in the instant its token or its user is revoked through this gateway. What
//! another process does to the store is found by asking the store again; see `stream.rs`. A remembered token
//! counts only while the store does not answer, or not soon, and never one that the store has seen revoked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ids::RecordId;
use crate::operator::TokenHash;
use crate::store::users::TokenRecord;
use crate::store::{Store, StoreError};

/// How long a request waits for the store before a remembered token counts: nobody who talks waits for a server that
/// is away.
const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// Tokens remembered for the time without the store.
const REMEMBERED_MAX: usize = 10_000;

/// Dead entries are swept when there are more than this, and more than half are dead.
const SWEEP_ENTRIES: usize = 64;

/// Keeps an open stream's token known; dropped with the stream.
#[derive(Debug, Clone)]
pub(crate) struct Hold(Arc<CancellationToken>);

impl Hold {
    /// Waits until the token or its user is revoked.
    pub(crate) async fn revoked(&self) {
        self.0.cancelled().await;
    }
}

#[derive(Debug)]
struct Entry {
    user: RecordId,
    hold: Weak<CancellationToken>,
}

/// All tokens that hold something open, and those seen lately.
#[derive(Debug, Default)]
pub(crate) struct Bearers {
    held: Mutex<HashMap<RecordId, Entry>>,
    remembered: Mutex<HashMap<[u8; 32], TokenRecord>>,
}

impl Bearers {
    fn held(&self) -> MutexGuard<'_, HashMap<RecordId, Entry>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<[u8; 32], TokenRecord>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token with this hash: as the store has it, or as it was last seen while the store does not answer.
    pub(crate) async fn find(
        &self,
        store: &Store,
        hash: &TokenHash,
    ) -> Result<Option<TokenRecord>, StoreError> {
        let asked = store.token(hash);
        tokio::pin!(asked);
        let found = match timeout(ANSWER_WAIT, &mut asked).await {
            Ok(found) => found,
            Err(_) => match self.recalled(hash) {
                Some(record) => return Ok(Some(record)),
                None => asked.await,
            },
        };
        match found {
            Ok(found) => {
                let mut remembered = self.remembered();
                match &found {
                    Some(record) if record.revoked_at.is_none() => {
                        if remembered.len() >= REMEMBERED_MAX {
                            remembered.clear();
                        }
                        remembered.insert(*hash.as_bytes(), record.clone());
                    }
                    _ => {
                        remembered.remove(hash.as_bytes());
                    }
                }
                Ok(found)
            }
            Err(error) => self.recalled(hash).map(Some).ok_or(error),
        }
    }

    fn recalled(&self, hash: &TokenHash) -> Option<TokenRecord> {
        self.remembered().get(hash.as_bytes()).cloned()
    }

    /// Notes that `token` of `user` opens something.
    pub(crate) fn hold(&self, token: RecordId, user: RecordId) -> Hold {
        let mut entries = self.held();
        if let Some(hold) = entries.get(&token).and_then(|entry| entry.hold.upgrade()) {
            return Hold(hold);
        }
        if entries.len() >= SWEEP_ENTRIES && entries.len() == entries.capacity() {
            entries.retain(|_, entry| entry.hold.strong_count() > 0);
        }
        let hold = Arc::new(CancellationToken::new());
        entries.insert(token, Entry { user, hold: Arc::downgrade(&hold) });
        Hold(hold)
    }

    /// A token was revoked.
    pub(crate) fn token_revoked(&self, token: RecordId) {
        self.remembered().retain(|_, record| record.id != token);
        self.end(|id, _| id == token);
    }

    /// A user was revoked, or all sessions of the user.
    pub(crate) fn user_revoked(&self, user: RecordId) {
        self.remembered().retain(|_, record| record.user != user);
        self.end(|_, entry| entry.user == user);
    }

    fn end(&self, concerns: impl Fn(RecordId, &Entry) -> bool) {
        let mut entries = self.held();
        entries.retain(|id, entry| {
            let ends = concerns(*id, entry);
            if ends && let Some(hold) = entry.hold.upgrade() {
                hold.cancel();
            }
            !ends
        });
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    #[test]
    fn what_a_token_holds_open_ends_with_it() {
        let bearers = Bearers::default();
        let (first, again, other) =
            (bearers.hold(id(1), id(9)), bearers.hold(id(1), id(9)), bearers.hold(id(2), id(9)));
        bearers.token_revoked(id(1));
        assert!(first.0.is_cancelled() && again.0.is_cancelled() && !other.0.is_cancelled());
        bearers.user_revoked(id(9));
        assert!(other.0.is_cancelled());
    }

    #[test]
    fn tokens_that_hold_nothing_are_forgotten() {
        let bearers = Bearers::default();
        for n in 0..100_000 {
            drop(bearers.hold(id(n), id(0)));
        }
        assert!(bearers.held().len() < 4 * SWEEP_ENTRIES);
    }
}
