//! `GET /v1/events`: the events as Server-Sent Events.
//!
//! | line | meaning |
//! |---|---|
//! | `id:` and `data:` | an event in JSON; its kind is in the JSON. There is no `event:` line, so one listener gets every kind, later additions included |
//! | `retry:` | with the opening event: [`RETRY_MS`] |
//! | `:` | heartbeat |
//! | `: end REASON` | the last line of a stream: why it ends |

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
use super::connection::ClientConnection;
use super::extract::QueryParams;
use super::problem::{Problem, ProblemBody};
use super::query::ResumeQuery;
use super::state::AppState;
use super::stream::{EventStream, StreamFrame, resume_point};
use crate::people::role::Permission;

/// How long a browser waits before it reconnects, in milliseconds.
const RETRY_MS: u32 = 1000;

/// Follows the events as Server-Sent Events.
///
/// The first event is `stream.snapshot` (the complete state) or `stream.resumed` (the missed events
/// follow). A client that reads too slowly is disconnected and resumes with `Last-Event-ID`.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(
    ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event received"),
    ResumeQuery,
), responses(
    (status = 200, description = "Events, each as in the schema Event", content_type = "text/event-stream", body = String),
    (status = 400, description = "invalid-query, invalid-header", body = ProblemBody),
    (status = 503, description = "overloaded, shutting-down", body = ProblemBody),
))]
pub(crate) async fn follow(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    connection: Option<Extension<ClientConnection>>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<ResumeQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let after = resume_point(&headers, query)?;
    let stream = EventStream::open(&state, caller, after.as_ref())?;
    let body = Body::from_stream(unfold((stream, connection), |(mut stream, connection)| async move {
        let frame = stream.next().await?;
        if let (StreamFrame::Opening(..), Some(Extension(connection))) = (&frame, &connection) {
            connection.abort_on(stream.cut_off());
        }
        Some((Ok::<_, Infallible>(bytes(&frame)), (stream, connection)))
    }));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that buffers would delay pops.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

fn bytes(frame: &StreamFrame) -> Bytes {
    match frame {
        StreamFrame::Opening(id, json) => {
            let head = format!("retry: {RETRY_MS}\nid: {id}\ndata: ");
            [head.as_bytes(), json, b"\n\n"].concat().into()
        }
        StreamFrame::Event(event) => event.sse(),
        StreamFrame::Heartbeat => Bytes::from_static(b":\n\n"),
        StreamFrame::End(reason) => format!(": end {}\n\n", reason.as_str()).into(),
    }
}
