//! `Idempotency-Key`: a repeated request gets the answer of the first one.
//!
//! | the same user, method, path and key | answer |
//! |---|---|
//! | never seen | the request is carried out, its answer kept |
//! | still being carried out | 409 `request-in-progress` |
//! | never seen, and too many others of the user are still being carried out | 503 `overloaded` |
//! | answered, same body | the kept answer, with `Idempotency-Replayed: true` |
//! | answered or still being carried out, another body | 422 `idempotency-key-reused` |
//! | answered with 500 or 503: nothing was done | nothing is kept; a repeat is carried out |
//! | answered with [`NoReplay`], or with a body that is too large | nothing is kept; a repeat is carried out |
//!
//! Requests with GET, HEAD or OPTIONS ignore the key. The table is in memory: a restart of the daemon forgets it.
//! The table's limits are in `answer_cache.rs`.
//!
//! Invariant: a request with a key is carried out to its end even when its client disconnects meanwhile, so that
//! a repeat gets its result instead of doing it twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use sha2::{Digest, Sha256};

use super::answer_cache::{ANSWER_BYTES_MAX, Answer, Lookup, RequestKey, RunningRequest};
use super::auth::Caller;
use super::problem::{Kind, Problem};
use super::state::AppState;

/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 128;

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Marks an answer that is not kept, since it holds a secret that is shown only once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoReplay;

impl IntoResponseParts for NoReplay {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Answers a repeated request as the first one was answered.
pub(crate) async fn idempotent(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let unsafe_method = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !unsafe_method || !request.headers().contains_key(&KEY) {
        return next.run(request).await;
    }
    match carry_out(&state, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn carry_out(state: &AppState, request: Request, next: Next) -> Result<Response, Problem> {
    let user =
        request.extensions().get::<Caller>().map(|caller| caller.person.id).ok_or(Kind::NotSignedIn)?;
    let (parts, body) = request.into_parts();
    let key = parts.headers.get(&KEY).and_then(|value| value.to_str().ok());
    let key = key.filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len())).ok_or_else(|| {
        Kind::InvalidHeader
            .with(format!("Idempotency-Key must be 1 to {KEY_CHARS_MAX} printable ASCII characters"))
    })?;
    let request_key = RequestKey {
        user,
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        key: key.to_owned(),
    };
    let body = to_bytes(body, state.app.settings.body_bytes_max).await.map_err(|_| Kind::BodyTooLarge)?;
    let found = state.answers.begin(&request_key, Sha256::digest(&body).into(), state.app.clock.elapsed());
    match found {
        Lookup::New => {}
        Lookup::InProgress => return Err(Kind::RequestInProgress.into()),
        Lookup::Full => {
            return Err(Kind::Overloaded
                .with("too many of your requests with an Idempotency-Key are still being carried out")
                .retry_after(Duration::from_secs(1)));
        }
        Lookup::OtherBody => return Err(Kind::IdempotencyKeyReused.into()),
        Lookup::Answered(answer) => return Ok(replay(answer)),
    }
    let running = RunningRequest::new(Arc::clone(&state.answers), request_key);
    let request = Request::from_parts(parts, Body::from(body));
    // In a task of its own, so that it goes on when the client disconnects.
    let carried_out = tokio::spawn(async move { keep_answer(running, next.run(request).await).await });
    carried_out.await.map_err(|error| {
        tracing::error!(%error, "the task of a request with an idempotency key failed");
        Kind::Internal
    })?
}

/// Returns the answer, and keeps it unless a repeat must be carried out.
async fn keep_answer(running: RunningRequest, response: Response) -> Result<Response, Problem> {
    let nothing_done =
        matches!(response.status(), StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE);
    if nothing_done || response.extensions().get::<NoReplay>().is_some() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Kind::Internal)?;
    if body.len() <= ANSWER_BYTES_MAX {
        running.keep(Answer {
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
