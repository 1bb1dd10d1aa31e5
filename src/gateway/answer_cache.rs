//! The table of answers to requests with an `Idempotency-Key`. `idempotency.rs` uses it.
//!
//! | full | dropped |
//! |---|---|
//! | [`ANSWERS_PER_PERSON_MAX`] entries of the same person | that person's oldest answer |
//! | [`ANSWERS_MAX`] entries | the oldest answer of the person with most entries |
//! | the same, and all of these requests still run | nothing; the new request is refused |
//!
//! Invariants: at most [`ANSWERS_MAX`] answers of at most [`ANSWER_BYTES_MAX`] are kept, none longer than
//! [`ANSWER_TTL`]. Nobody displaces the answers of somebody who has fewer, and no request that still runs is forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::ids::RecordId;

/// Answers and running requests of all people.
const ANSWERS_MAX: usize = 4096;
/// Answers and running requests of one person.
const ANSWERS_PER_PERSON_MAX: usize = 256;
/// Largest body of a kept answer, in bytes; a larger answer is sent but not kept.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an answer is kept.
const ANSWER_TTL: Duration = Duration::from_secs(60 * 60);

/// What makes two requests the same request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RequestKey {
    pub(crate) user: RecordId,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: String,
}

#[derive(Debug)]
struct Entry {
    key: RequestKey,
    body_hash: [u8; 32],
    /// When the request arrived, by a clock that is never set.
    at: Duration,
    /// `None` while the request runs.
    answer: Option<Answer>,
}

/// A kept answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) location: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

/// The kept answers, and the requests that still run.
#[derive(Debug, Default)]
pub(crate) struct AnswerCache(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// The entries of each person, in the order of arrival; nobody has an empty list.
    entries: HashMap<RecordId, VecDeque<Entry>>,
    len: usize,
}

/// What the table knows of a request.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Nothing. It is entered as running.
    New,
    /// The same request still runs.
    InProgress,
    /// The same request was answered.
    Answered(Answer),
    /// The key was used with another body.
    OtherBody,
    /// Nothing, and there is no place for it: too many requests with a key still run.
    Full,
}

impl AnswerCache {
    /// Looks a request up, and enters it if it is new.
    pub(crate) fn begin(&self, key: &RequestKey, body_hash: [u8; 32], now: Duration) -> Lookup {
        self.table().begin(key, body_hash, now)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}

impl Table {
    fn begin(&mut self, key: &RequestKey, body_hash: [u8; 32], now: Duration) -> Lookup {
        self.drop_old(now);
        if let Some(entry) = self.find(key) {
            return match &entry.answer {
                _ if entry.body_hash != body_hash => Lookup::OtherBody,
                None => Lookup::InProgress,
                Some(answer) => Lookup::Answered(answer.clone()),
            };
        }
        if !self.make_room(key.user) {
            return Lookup::Full;
        }
        let entry = Entry { key: key.clone(), body_hash, at: now, answer: None };
        self.entries.entry(key.user).or_default().push_back(entry);
        self.len += 1;
        Lookup::New
    }

    fn find(&mut self, key: &RequestKey) -> Option<&mut Entry> {
        self.entries.get_mut(&key.user)?.iter_mut().find(|entry| entry.key == *key)
    }

    fn remove(&mut self, key: &RequestKey) {
        self.retain(key.user, |entry| entry.key != *key);
    }

    fn drop_old(&mut self, now: Duration) {
        // The oldest entry of each person stands first.
        let is_old = |entry: &Entry| now.saturating_sub(entry.at) >= ANSWER_TTL;
        let with_old = self.entries.iter().filter(|(_, of_user)| of_user.front().is_some_and(is_old));
        for user in with_old.map(|(user, _)| *user).collect::<Vec<_>>() {
            self.retain(user, |entry| !is_old(entry) || entry.answer.is_none());
        }
    }

    fn retain(&mut self, user: RecordId, is_kept: impl FnMut(&Entry) -> bool) {
        let Some(of_user) = self.entries.get_mut(&user) else { return };
        let before = of_user.len();
        of_user.retain(is_kept);
        self.len -= before - of_user.len();
        if of_user.is_empty() {
            self.entries.remove(&user);
        }
    }

    /// Whether there is a place for another request of `user`, after an answer was dropped if necessary.
    fn make_room(&mut self, user: RecordId) -> bool {
        let of_user = self.entries.get(&user).map_or(0, VecDeque::len);
        let from = if of_user >= ANSWERS_PER_PERSON_MAX {
            user
        } else if self.len >= ANSWERS_MAX {
            let most = self.entries.iter().max_by_key(|(_, of_user)| of_user.len());
            most.map_or(user, |(most, _)| *most)
        } else {
            return true;
        };
        let Some(entries) = self.entries.get_mut(&from) else { return false };
        let Some(oldest) = entries.iter().position(|entry| entry.answer.is_some()) else { return false };
        entries.remove(oldest);
        self.len -= 1;
        if entries.is_empty() {
            self.entries.remove(&from);
        }
        true
    }
}

/// Guard of a running request. Dropped without an answer, it removes the request from the table.
#[derive(Debug)]
pub(crate) struct RunningRequest {
    cache: Arc<AnswerCache>,
    key: RequestKey,
    is_answered: bool,
}

impl RunningRequest {
    /// A guard for `key`, which [`AnswerCache::begin`] has just entered.
    pub(crate) fn new(cache: Arc<AnswerCache>, key: RequestKey) -> Self {
        Self { cache, key, is_answered: false }
    }

    /// Keeps `answer` for repeats of the request.
    pub(crate) fn keep(mut self, answer: Answer) {
        self.is_answered = true;
        if let Some(entry) = self.cache.table().find(&self.key) {
            entry.answer = Some(answer);
        }
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        if !self.is_answered {
            self.cache.table().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn request(user: u128, key: usize) -> RequestKey {
        let user = RecordId(Uuid::from_u128(user));
        RequestKey { user, method: Method::POST, path: "/v1/calls".into(), key: key.to_string() }
    }

    fn answer() -> Answer {
        Answer { status: StatusCode::CREATED, content_type: None, location: None, body: Bytes::new() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Begins and answers a request.
    fn carry_out(cache: &Arc<AnswerCache>, key: RequestKey, now: Duration) {
        assert!(matches!(cache.begin(&key, [0; 32], now), Lookup::New), "{key:?}");
        RunningRequest::new(Arc::clone(cache), key).keep(answer());
    }

    #[test]
    fn the_table_is_bounded_in_number_and_time() {
        let cache = Arc::<AnswerCache>::default();
        for user in 0..100 {
            for n in 0..2 * ANSWERS_PER_PERSON_MAX {
                carry_out(&cache, request(user, n), at(0));
            }
        }
        let len = |cache: &AnswerCache| {
            let table = cache.table();
            assert_eq!(table.len, table.entries.values().map(VecDeque::len).sum::<usize>());
            table.len
        };
        assert_eq!(len(&cache), ANSWERS_MAX);
        let last = request(99, 2 * ANSWERS_PER_PERSON_MAX - 1);
        assert!(matches!(cache.begin(&last, [0; 32], at(1)), Lookup::Answered(_)));
        assert!(matches!(cache.begin(&last, [1; 32], at(1)), Lookup::OtherBody));
        assert!(matches!(cache.begin(&last, [1; 32], at(3600)), Lookup::New));
        assert!(matches!(cache.begin(&last, [1; 32], at(7200)), Lookup::InProgress), "it still runs");
        assert_eq!(len(&cache), 1);
    }

    #[test]
    fn nobody_displaces_the_answers_of_others() {
        let cache = Arc::<AnswerCache>::default();
        carry_out(&cache, request(1, 0), at(0));
        // Fifty people, each with more requests than one person has places for.
        for n in 0..2 * ANSWERS_PER_PERSON_MAX {
            for user in 2..52 {
                carry_out(&cache, request(user, n), at(1));
            }
        }
        assert!(matches!(cache.begin(&request(1, 0), [0; 32], at(2)), Lookup::Answered(_)));
    }

    #[test]
    fn a_running_request_is_not_forgotten() {
        let cache = Arc::<AnswerCache>::default();
        let running: Vec<_> = (0..ANSWERS_PER_PERSON_MAX)
            .map(|n| {
                assert!(matches!(cache.begin(&request(1, n), [0; 32], at(0)), Lookup::New));
                RunningRequest::new(Arc::clone(&cache), request(1, n))
            })
            .collect();
        assert!(matches!(cache.begin(&request(1, 9999), [0; 32], at(0)), Lookup::Full));
        assert!(matches!(cache.begin(&request(1, 0), [0; 32], at(0)), Lookup::InProgress));
        assert!(matches!(cache.begin(&request(2, 0), [0; 32], at(0)), Lookup::New));
        drop(running);
        assert!(matches!(cache.begin(&request(1, 9999), [0; 32], at(0)), Lookup::New));
    }
}
