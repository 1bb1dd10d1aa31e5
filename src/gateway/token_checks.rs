//! Asks the store whether the tokens of open streams are still valid: for all streams that ask within [`GATHER_DELAY`] at once,
//! because thousands of desktops ask at each heartbeat, and a statement for each wakes a connection's thread several times.
//!
//! Invariant: each stream that asks gets one answer, unless the gateway shuts down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::ids::RecordId;
use crate::store::Store;
use crate::store::users::TokenRecord;

/// How long the first stream that asks waits for others.
const GATHER_DELAY: Duration = Duration::from_millis(500);
/// Most tokens of one statement.
const TOKENS_PER_STATEMENT_MAX: usize = 500;

/// The store did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotChecked;

/// A token as the store has it, or `None` where the store has no such token.
type Checked = Result<Option<TokenRecord>, NotChecked>;

/// The streams that wait for an answer.
#[derive(Debug, Default)]
pub(crate) struct TokenChecks {
    waiting: Mutex<Waiting>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    by_token: HashMap<RecordId, Vec<oneshot::Sender<Checked>>>,
    /// Nobody is answered any more.
    is_closed: bool,
}

impl TokenChecks {
    /// The token as the store has it now.
    pub(crate) async fn check(&self, token: RecordId) -> Checked {
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.is_closed {
                return Err(NotChecked);
            }
            waiting.by_token.entry(token).or_default().push(reply);
        }
        self.ready.notify_one();
        answer.await.unwrap_or(Err(NotChecked))
    }
}

/// Answers until `shutdown`.
pub(super) async fn run(checks: Arc<TokenChecks>, store: Store, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = checks.ready.notified() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(GATHER_DELAY) => {}
        }
        let mut waiting = std::mem::take(&mut checks.waiting.lock().by_token);
        let tokens: Vec<RecordId> = waiting.keys().copied().collect();
        for tokens in tokens.chunks(TOKENS_PER_STATEMENT_MAX) {
            let found = store.tokens_by_id(tokens).await;
            let found = found.map(|found| found.into_iter().map(|record| (record.id, record)));
            let found: Result<HashMap<_, _>, _> = found.map(Iterator::collect).map_err(|_| NotChecked);
            for token in tokens {
                let answer = found.as_ref().map(|found| found.get(token).cloned()).map_err(|error| *error);
                for reply in waiting.remove(token).unwrap_or_default() {
                    // A stream that ended meanwhile waits for no answer.
                    let _ = reply.send(answer.clone());
                }
            }
        }
    }
    *checks.waiting.lock() = Waiting { by_token: HashMap::new(), is_closed: true };
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::people::role::Role;
    use crate::people::token::Token;
    use crate::store::users::{TokenDraft, TokenKind, UserDraft};

    #[tokio::test]
    async fn each_stream_gets_the_answer_about_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let now = Timestamp::now();
        let draft = UserDraft {
            name: "佐藤".into(),
            kana: String::new(),
            role: Role::Operator,
            extension: None,
            team: None,
            password: None,
        };
        let user = store.add_user(&draft, now).await.unwrap();
        let add = async |n| {
            let hash = Token::from_random([n; 32]).hash();
            let kind = TokenKind::Token;
            let draft = TokenDraft { user, hash, kind, label: String::new(), expires_at: None };
            store.add_token(&draft, now).await.unwrap()
        };
        let (kept, revoked, missing) = (add(1).await, add(2).await, RecordId(uuid::Uuid::nil()));
        store.revoke_token(revoked, now).await.unwrap();
        let (checks, shutdown) = (Arc::new(TokenChecks::default()), CancellationToken::new());
        let running = tokio::spawn(run(Arc::clone(&checks), store.clone(), shutdown.clone()));
        let ask = async |token| checks.check(token).await;
        let answers = tokio::join!(ask(kept), ask(revoked), ask(missing), ask(kept));
        let is_valid =
            |answer: &Checked| answer.as_ref().unwrap().as_ref().map(|record| record.is_valid(now));
        let answers = [&answers.0, &answers.1, &answers.2, &answers.3].map(is_valid);
        assert_eq!(answers, [Some(true), Some(false), None, Some(true)]);
        store.close().await;
        assert_eq!(ask(kept).await.map(drop), Err(NotChecked));
        // Whoever asks while the gateway shuts down is not kept waiting.
        let asking = ask(kept);
        shutdown.cancel();
        assert_eq!(asking.await.map(drop), Err(NotChecked));
        running.await.unwrap();
    }
}
