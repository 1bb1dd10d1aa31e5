//! `Idempotency-Key`: a repeated order gets the answer of the first one.
//!
//! | the same user, method, path and key | answer |
//! |---|---|
//! | never seen | the order is carried out, its answer kept |
//! | being carried out | 409 `request-in-progress` |
//! | answered, same body | the kept answer, with `Idempotency-Replayed: true` |
//! | answered, another body | 422 `idempotency-key-reused` |
//! | answered with 500 or 503: nothing was done | forgotten, so that a repeat tries again |
//!
//! Invariant: an order with a key is carried out to its end even when its client goes away meanwhile, so that
//! the repeat learns what became of it and does not do it twice. At most [`ANSWERS_MAX`] answers of at most [`ANSWER_BYTES_MAX`] are kept, none longer than
//! [`KEPT_FOR`]. Answers that hold a secret shown once are not kept: see [`Secretive`].

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::problem::{Kind, Problem};
use super::routes::Gate;
use crate::ids::RecordId;

/// Answers kept at the same time; the oldest give way.
const ANSWERS_MAX: usize = 4096;
/// Largest answer kept, in bytes; a larger one is given but not kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an answer is kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(60);
/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 128;

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Marks an answer that must not be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secretive;

impl IntoResponseParts for Secretive {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Which order it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Order {
    user: RecordId,
    method: Method,
    path: String,
    key: String,
}

#[derive(Debug, Clone)]
struct Kept {
    body_hash: [u8; 32],
    at: Timestamp,
    /// `None` while it is carried out.
    answer: Option<Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    location: Option<HeaderValue>,
    body: Bytes,
}

/// The answers that are kept.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    kept: HashMap<Order, Kept>,
    /// In the order they came; may name orders that are gone.
    oldest: VecDeque<(Order, Timestamp)>,
}

enum Seen {
    New,
    InProgress,
    Answered(Answer),
    OtherBody,
}

impl Answers {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn begin(&mut self, order: &Order, body_hash: [u8; 32], now: Timestamp) -> Seen {
        self.forget_old(now);
        if let Some(kept) = self.kept.get(order) {
            return match &kept.answer {
                _ if kept.body_hash != body_hash => Seen::OtherBody,
                None => Seen::InProgress,
                Some(answer) => Seen::Answered(answer.clone()),
            };
        }
        self.kept.insert(order.clone(), Kept { body_hash, at: now, answer: None });
        self.oldest.push_back((order.clone(), now));
        Seen::New
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some((order, at)) = self.oldest.front() {
            let old = now.duration_since(*at) >= KEPT_FOR || self.oldest.len() >= ANSWERS_MAX;
            if !old {
                return;
            }
            // The entry may be a later one of the same order; that one has its own place in the queue.
            if self.kept.get(order).is_some_and(|kept| kept.at == *at) {
                self.kept.remove(order);
            }
            self.oldest.pop_front();
        }
    }
}

/// An order that is being carried out; forgotten unless its answer is kept.
struct UnderWay {
    gate: Arc<Gate>,
    order: Order,
    answered: bool,
}

impl UnderWay {
    fn answered(mut self, answer: Answer) {
        self.answered = true;
        if let Some(kept) = self.gate.answers.table().kept.get_mut(&self.order) {
            kept.answer = Some(answer);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.answered {
            self.gate.answers.table().kept.remove(&self.order);
        }
    }
}

/// Answers a repeated order as the first one was answered.
pub(crate) async fn once(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let unsafe_method = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !unsafe_method || !request.headers().contains_key(&KEY) {
        return next.run(request).await;
    }
    match carry_out(gate, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn carry_out(gate: Arc<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    let user =
        request.extensions().get::<Caller>().map(|caller| caller.person.id).ok_or(Kind::NotSignedIn)?;
    let (parts, body) = request.into_parts();
    let key = parts.headers.get(&KEY).and_then(|value| value.to_str().ok());
    let key = key.filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len())).ok_or_else(|| {
        Kind::InvalidHeader.with(format!("Idempotency-Key: 1 to {KEY_CHARS_MAX} printable ASCII characters"))
    })?;
    let order =
        Order { user, method: parts.method.clone(), path: parts.uri.path().to_owned(), key: key.to_owned() };
    let body = to_bytes(body, gate.app.settings.body_bytes_max).await.map_err(|_| Kind::BodyTooLarge)?;
    let seen = gate.answers.table().begin(&order, Sha256::digest(&body).into(), gate.app.clock.now());
    match seen {
        Seen::New => {}
        Seen::InProgress => return Err(Kind::RequestInProgress.into()),
        Seen::OtherBody => return Err(Kind::IdempotencyKeyReused.into()),
        Seen::Answered(answer) => return Ok(replay(answer)),
    }
    let under_way = UnderWay { gate, order, answered: false };
    let request = Request::from_parts(parts, Body::from(body));
    let carried_out = tokio::spawn(async move { keep(under_way, next.run(request).await).await });
    carried_out.await.map_err(|error| {
        tracing::error!(%error, "carrying out an order failed");
        Kind::Internal
    })?
}

/// Gives the answer back, and keeps it if a repeat should get it.
async fn keep(under_way: UnderWay, response: Response) -> Result<Response, Problem> {
    let nothing_done =
        matches!(response.status(), StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE);
    if nothing_done || response.extensions().get::<Secretive>().is_some() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Kind::Internal)?;
    if body.len() <= ANSWER_BYTES_MAX {
        under_way.answered(Answer {
            status: parts.status,
            content_type: parts.headers.get(header::CONTENT_TYPE).cloned(),
            location: parts.headers.get(header::LOCATION).cloned(),
            body: body.clone(),
        });
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in [(header::CONTENT_TYPE, answer.content_type), (header::LOCATION, answer.location)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn order(key: usize) -> Order {
        let user = RecordId(Uuid::nil());
        Order { user, method: Method::POST, path: "/v1/calls".into(), key: key.to_string() }
    }

    #[test]
    fn the_table_is_bounded_in_number_and_time() {
        let mut table = Table::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for n in 0..3 * ANSWERS_MAX {
            assert!(matches!(table.begin(&order(n), [0; 32], at(0)), Seen::New));
        }
        assert!(table.kept.len() <= ANSWERS_MAX && table.oldest.len() <= ANSWERS_MAX);
        let last = order(3 * ANSWERS_MAX - 1);
        assert!(matches!(table.begin(&last, [0; 32], at(1)), Seen::InProgress));
        assert!(matches!(table.begin(&last, [1; 32], at(1)), Seen::OtherBody));
        assert!(matches!(table.begin(&last, [1; 32], at(3600)), Seen::New));
        assert_eq!((table.kept.len(), table.oldest.len()), (1, 1));
    }
}
