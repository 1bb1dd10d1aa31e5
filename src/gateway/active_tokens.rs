//! The tokens of open event streams, and the tokens that were valid lately.
//!
//! | table | what for |
//! |---|---|
//! | `guards` | a stream ends when its token or its user is revoked |
//! | `cache` | desktops keep working while the store does not answer |
//!
//! Invariants: a [`RevocationGuard`] is cancelled at once when its token or user is revoked through this gateway.
//! A revocation by another process is noticed when the store is asked again; see `stream.rs`. A cached token counts
//! only while the store fails or takes longer than [`STORE_ANSWER_TIMEOUT`], and never after the store has reported
//! it revoked or missing.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ids::RecordId;
use crate::people::token::TokenHash;
use crate::store::users::{TokenKind, TokenRecord};
use crate::store::{Store, StoreError};

/// How long a request waits for the store before a cached token counts, so that an operator in a call does not wait
/// for a store that is down.
const STORE_ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Tokens in the cache; it is emptied when it is full.
const CACHED_TOKENS_MAX: usize = 10_000;

/// Fewest entries at which the entries of closed streams are removed; above, they are removed when the table is full.
const SWEEP_ENTRIES_MIN: usize = 64;

/// Registers the token of an open stream; the stream owns it.
#[derive(Debug, Clone)]
pub(crate) struct RevocationGuard(Arc<CancellationToken>);

impl RevocationGuard {
    /// Waits until the token or its user is revoked.
    pub(crate) async fn revoked(&self) {
        self.0.cancelled().await;
    }
}

#[derive(Debug)]
struct Entry {
    user: RecordId,
    guard: Weak<CancellationToken>,
}

/// The two tables.
#[derive(Debug, Default)]
pub(crate) struct ActiveTokens {
    guards: Mutex<HashMap<RecordId, Entry>>,
    cache: Mutex<HashMap<[u8; 32], TokenRecord>>,
}

impl ActiveTokens {
    fn guards(&self) -> MutexGuard<'_, HashMap<RecordId, Entry>> {
        self.guards.lock()
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<[u8; 32], TokenRecord>> {
        self.cache.lock()
    }

    /// The token with this hash as the store has it, or from the cache while the store does not answer.
    pub(crate) async fn find(
        &self,
        store: &Store,
        hash: &TokenHash,
    ) -> Result<Option<TokenRecord>, StoreError> {
        let lookup = store.token(hash);
        tokio::pin!(lookup);
        let found = match timeout(STORE_ANSWER_TIMEOUT, &mut lookup).await {
            Ok(found) => found,
            Err(_) => match self.cached(hash) {
                Some(record) => return Ok(Some(record)),
                None => lookup.await,
            },
        };
        match found {
            Ok(found) => {
                let mut cache = self.cache();
                match &found {
                    Some(record) if record.revoked_at.is_none() => {
                        if cache.len() >= CACHED_TOKENS_MAX {
                            cache.clear();
                        }
                        cache.insert(*hash.as_bytes(), record.clone());
                    }
                    _ => {
                        cache.remove(hash.as_bytes());
                    }
                }
                Ok(found)
            }
            Err(error) => self.cached(hash).map(Some).ok_or(error),
        }
    }

    fn cached(&self, hash: &TokenHash) -> Option<TokenRecord> {
        self.cache().get(hash.as_bytes()).cloned()
    }

    /// Registers a stream opened with `token` of `user`.
    pub(crate) fn guard(&self, token: RecordId, user: RecordId) -> RevocationGuard {
        let mut entries = self.guards();
        if let Some(guard) = entries.get(&token).and_then(|entry| entry.guard.upgrade()) {
            return RevocationGuard(guard);
        }
        if entries.len() >= SWEEP_ENTRIES_MIN && entries.len() == entries.capacity() {
            entries.retain(|_, entry| entry.guard.strong_count() > 0);
        }
        let guard = Arc::new(CancellationToken::new());
        entries.insert(token, Entry { user, guard: Arc::downgrade(&guard) });
        RevocationGuard(guard)
    }

    /// Ends the streams of a token that was revoked, and removes the token from the cache.
    pub(crate) fn revoke_token(&self, token: RecordId) {
        self.cache().retain(|_, record| record.id != token);
        self.cancel_guards(|id, _| id == token);
    }

    /// Ends the streams of those of these tokens that are sessions, which have been revoked.
    pub(crate) fn revoke_sessions(&self, tokens: &[TokenRecord]) {
        for session in tokens.iter().filter(|token| token.kind == TokenKind::Session) {
            self.revoke_token(session.id);
        }
    }

    /// Ends all streams of a user who was revoked, and removes the user's tokens from the cache.
    pub(crate) fn revoke_user(&self, user: RecordId) {
        self.cache().retain(|_, record| record.user != user);
        self.cancel_guards(|_, entry| entry.user == user);
    }

    fn cancel_guards(&self, matches: impl Fn(RecordId, &Entry) -> bool) {
        let mut entries = self.guards();
        entries.retain(|id, entry| {
            let ends = matches(*id, entry);
            if ends && let Some(guard) = entry.guard.upgrade() {
                guard.cancel();
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
    fn the_streams_of_a_token_end_with_it() {
        let tokens = ActiveTokens::default();
        let (first, again, other) =
            (tokens.guard(id(1), id(9)), tokens.guard(id(1), id(9)), tokens.guard(id(2), id(9)));
        tokens.revoke_token(id(1));
        assert!(first.0.is_cancelled() && again.0.is_cancelled() && !other.0.is_cancelled());
        tokens.revoke_user(id(9));
        assert!(other.0.is_cancelled());
    }

    #[test]
    fn tokens_without_a_stream_are_removed() {
        let tokens = ActiveTokens::default();
        for n in 0..100_000 {
            drop(tokens.guard(id(n), id(0)));
        }
        assert!(tokens.guards().len() < 4 * SWEEP_ENTRIES_MIN);
    }
}
