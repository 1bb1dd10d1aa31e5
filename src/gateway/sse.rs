//! `GET /v1/events`: the events as Server-Sent Events.
//!
//! No field `event:` is sent, so one listener gets every kind, also those that are added later; the kind is in
//! the JSON. Comment lines are signs of life, and the last one of a stream says why it ends.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;

use super::auth::Caller;
use super::connection::Link;
use super::extract::Asked;
use super::problem::{Problem, ProblemBody};
use super::query::After;
use super::routes::Gate;
use super::stream::{Frame, Stream, after};
use crate::operator::Permission;

/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 1000;

/// Follows the events as Server-Sent Events.
///
/// The first event is `stream.snapshot` (the complete state) or `stream.resumed` (what was missed follows).
/// A client that reads too slowly is cut off and resumes with `Last-Event-ID`.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(
    ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event received"),
    After,
), responses(
    (status = 200, description = "Events, each as in the schema Event", content_type = "text/event-stream", body = String),
    (status = 400, description = "invalid-query, invalid-header", body = ProblemBody),
    (status = 503, description = "overloaded, shutting-down", body = ProblemBody),
))]
pub(crate) async fn follow(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    link: Option<Extension<Link>>,
    headers: HeaderMap,
    Asked(asked): Asked<After>,
) -> Result<Response, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let after = after(&headers, asked)?;
    let stream = Stream::open(&gate, caller, after.as_ref())?;
    let body = Body::from_stream(unfold((stream, link), |(mut stream, link)| async move {
        let frame = stream.next().await?;
        if let (Frame::First(..), Some(Extension(link))) = (&frame, &link) {
            link.cut_by(stream.cut_off());
        }
        Some((Ok::<_, Infallible>(bytes(&frame)), (stream, link)))
    }));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that buffers would hold pops back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

fn bytes(frame: &Frame) -> Bytes {
    match frame {
        Frame::First(id, json) => {
            let head = format!("retry: {RETRY_MS}\nid: {id}\ndata: ");
            [head.as_bytes(), json, b"\n\n"].concat().into()
        }
        Frame::Event(event) => event.sse(),
        Frame::Heartbeat => Bytes::from_static(b":\n\n"),
        Frame::End(why) => format!(": end {}\n\n", why.as_str()).into(),
    }
}
