//! When tokens were last used, noted behind the requests.
//!
//! A commit waits for the disk, and after a restart every desktop comes back at once: uses gather while a commit is
//! under way, and the next one takes them all.
//!
//! | the store | what happens |
//! |---|---|
//! | takes them | the next are those that came meanwhile |
//! | does not | tried again after [`RETRY_PAUSE`], with what came meanwhile; nobody's work ends |
//!
//! Invariant: noting never waits, and a use counts here from the moment it is noted ([`Uses::applied`]), whether or
//! not it is written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::routes::Gate;
use crate::ids::RecordId;
use crate::store::users::{TokenRecord, TokenUse};

/// Most tokens whose uses wait to be written; of others the last use stays as it was.
const USES_WAITING_MAX: usize = 10_000;
/// Pause before the store is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// The uses that the store does not know yet.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    noted: Mutex<Noted>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    waiting: BTreeMap<RecordId, TokenUse>,
    writing: BTreeMap<RecordId, TokenUse>,
}

impl Uses {
    /// Notes a use.
    pub(crate) fn note(&self, used: TokenUse) {
        let mut noted = self.noted();
        if noted.waiting.len() < USES_WAITING_MAX || noted.waiting.contains_key(&used.token) {
            noted.waiting.insert(used.token, used);
        }
        drop(noted);
        self.ready.notify_one();
    }

    /// The record as it is with what was noted.
    pub(crate) fn applied(&self, record: TokenRecord) -> TokenRecord {
        let noted = self.noted();
        let Some(used) = noted.waiting.get(&record.id).or_else(|| noted.writing.get(&record.id)) else {
            return record;
        };
        TokenRecord {
            last_used_at: Some(used.at),
            expires_at: used.expires_at.or(record.expires_at),
            ..record
        }
    }

    /// What is to be written now.
    fn begin(&self) -> Vec<TokenUse> {
        let mut noted = self.noted();
        noted.writing = std::mem::take(&mut noted.waiting);
        noted.writing.values().copied().collect()
    }

    /// What was to be written is, or is to be written again.
    fn end(&self, written: bool) {
        let mut noted = self.noted();
        let writing = std::mem::take(&mut noted.writing);
        if !written {
            for (token, used) in writing {
                noted.waiting.entry(token).or_insert(used);
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes uses until `shutdown`, and then what is left.
pub(super) async fn keep(gate: Arc<Gate>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = gate.uses.ready.notified() => {}
            () = shutdown.cancelled() => {
                write(&gate).await;
                return;
            }
        }
        while !write(&gate).await {
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Writes what has gathered; whether the store took it.
async fn write(gate: &Gate) -> bool {
    let uses = gate.uses.begin();
    if uses.is_empty() {
        return true;
    }
    let written = gate.app.store.tokens_used(&uses).await;
    gate.uses.end(written.is_ok());
    if let Err(error) = &written {
        tracing::warn!(error = error as &dyn std::error::Error, "cannot note the use of tokens");
    }
    written.is_ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::operator::TokenHash;
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
        let uses = Uses::default();
        let ends = |uses: &Uses| uses.applied(record()).expires_at;
        assert_eq!(ends(&uses), Some(at(10)));
        uses.note(used(5));
        assert_eq!(ends(&uses), Some(at(65)));
        assert_eq!(uses.begin(), [used(5)]);
        assert_eq!(ends(&uses), Some(at(65)));
        uses.end(false);
        assert_eq!(uses.applied(record()).last_used_at, Some(at(5)));
        uses.begin();
        uses.note(used(6));
        uses.end(false);
        assert_eq!(uses.begin(), [used(6)], "the later use is the one to write");
        uses.end(true);
        assert_eq!(ends(&uses), Some(at(10)), "from here on the store says so itself");
    }
}
