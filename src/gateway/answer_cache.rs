//! The table of answers to requests with an `Idempotency-Key`. `idempotency.rs` uses it.
//!
//! Invariant: at most [`ANSWERS_MAX`] answers of at most [`ANSWER_BYTES_MAX`] are kept, none longer than
//! [`ANSWER_TTL`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderValue, Method, StatusCode};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::ids::RecordId;

/// Answers kept at the same time; the oldest are dropped first.
const ANSWERS_MAX: usize = 4096;
/// Largest body of a kept answer, in bytes; a larger answer is sent but not kept.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an answer is kept.
const ANSWER_TTL: SignedDuration = SignedDuration::from_mins(60);

/// What makes two requests the same request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RequestKey {
    pub(crate) user: RecordId,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: String,
}

#[derive(Debug, Clone)]
struct Entry {
    body_hash: [u8; 32],
    at: Timestamp,
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
    entries: HashMap<RequestKey, Entry>,
    /// In the order of arrival; may name entries that are gone.
    arrivals: VecDeque<(RequestKey, Timestamp)>,
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
}

impl AnswerCache {
    /// Looks a request up, and enters it if it is new.
    pub(crate) fn begin(&self, key: &RequestKey, body_hash: [u8; 32], now: Timestamp) -> Lookup {
        self.table().begin(key, body_hash, now)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn begin(&mut self, key: &RequestKey, body_hash: [u8; 32], now: Timestamp) -> Lookup {
        self.drop_old(now);
        if let Some(entry) = self.entries.get(key) {
            return match &entry.answer {
                _ if entry.body_hash != body_hash => Lookup::OtherBody,
                None => Lookup::InProgress,
                Some(answer) => Lookup::Answered(answer.clone()),
            };
        }
        self.entries.insert(key.clone(), Entry { body_hash, at: now, answer: None });
        self.arrivals.push_back((key.clone(), now));
        Lookup::New
    }

    fn drop_old(&mut self, now: Timestamp) {
        while let Some((key, at)) = self.arrivals.front() {
            let is_old = now.duration_since(*at) >= ANSWER_TTL || self.arrivals.len() >= ANSWERS_MAX;
            if !is_old {
                return;
            }
            // A later request with the same key has its own place in `arrivals`.
            if self.entries.get(key).is_some_and(|entry| entry.at == *at) {
                self.entries.remove(key);
            }
            self.arrivals.pop_front();
        }
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
        if let Some(entry) = self.cache.table().entries.get_mut(&self.key) {
            entry.answer = Some(answer);
        }
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        if !self.is_answered {
            self.cache.table().entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn request(key: usize) -> RequestKey {
        let user = RecordId(Uuid::nil());
        RequestKey { user, method: Method::POST, path: "/v1/calls".into(), key: key.to_string() }
    }

    #[test]
    fn the_table_is_bounded_in_number_and_time() {
        let mut table = Table::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for n in 0..3 * ANSWERS_MAX {
            assert!(matches!(table.begin(&request(n), [0; 32], at(0)), Lookup::New));
        }
        assert!(table.entries.len() <= ANSWERS_MAX && table.arrivals.len() <= ANSWERS_MAX);
        let last = request(3 * ANSWERS_MAX - 1);
        assert!(matches!(table.begin(&last, [0; 32], at(1)), Lookup::InProgress));
        assert!(matches!(table.begin(&last, [1; 32], at(1)), Lookup::OtherBody));
        assert!(matches!(table.begin(&last, [1; 32], at(3600)), Lookup::New));
        assert_eq!((table.entries.len(), table.arrivals.len()), (1, 1));
    }
}
