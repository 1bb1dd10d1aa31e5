//! `GET /v1/events/ws`: the same events over WebSocket, one JSON text per message.
//!
//! | close code | why |
//! |---|---|
//! | 1001, reason `shutting-down` | the daemon shuts down; reconnect with `?after=` |
//! | 1009, reason `message-too-large` | send no message of more than [`MESSAGE_BYTES_MAX`] bytes |
//! | 1008, reason `token-expired` or `token-revoked` | sign in again |
//! | 1013, reason `too-slow` | reconnect with `?after=` |
//!
//! Each heartbeat is a ping. Messages of the client other than pongs are ignored.
//!
//! Invariant: a client that leaves [`PINGS_UNANSWERED_MAX`] pings unanswered is disconnected at the next heartbeat.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use super::auth::Caller;
use super::connection::ClientConnection;
use super::extract::QueryParams;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::ResumeQuery;
use super::state::AppState;
use super::stream::{EventStream, StreamEnd, StreamFrame, resume_point};
use crate::people::role::Permission;

/// Largest message a client may send, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Reason of the close frame for a larger message.
const TOO_LARGE: &str = "message-too-large";
/// Pings in a row that may stay unanswered.
const PINGS_UNANSWERED_MAX: u32 = 2;

/// Follows the events over WebSocket.
///
/// A browser's request must come from the gateway's own origin or an allowed one.
#[utoipa::path(get, path = "/v1/events/ws", tag = "events", params(ResumeQuery), responses(
    (status = 101, description = "Events, one JSON text per message, each as in the schema Event"),
    (status = 400, description = "invalid-header (no upgrade), invalid-query", body = ProblemBody),
    (status = 403, description = "foreign-origin", body = ProblemBody),
    (status = 503, description = "overloaded, shutting-down", body = ProblemBody),
))]
pub(crate) async fn upgrade(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    connection: Option<Extension<ClientConnection>>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<ResumeQuery>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let socket = socket.map_err(|rejection| Kind::InvalidHeader.with(rejection.body_text()))?;
    let after = resume_point(&headers, query)?;
    let stream = EventStream::open(&state, caller, after.as_ref())?;
    let socket =
        socket.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).write_buffer_size(0);
    Ok(socket
        .on_upgrade(move |socket| run(socket, stream, connection.map(|Extension(connection)| connection))))
}

async fn run(socket: WebSocket, mut stream: EventStream, connection: Option<ClientConnection>) {
    let (mut to_client, mut from_client) = socket.split();
    let mut unanswered = 0;
    loop {
        let message = tokio::select! {
            frame = stream.next() => match frame {
                None => return,
                Some(StreamFrame::Opening(_, json)) => {
                    if let Some(connection) = &connection {
                        connection.abort_on(stream.cut_off());
                    }
                    text(json)
                }
                Some(StreamFrame::Event(event)) => text(event.json()),
                Some(StreamFrame::Heartbeat) if unanswered >= PINGS_UNANSWERED_MAX => return,
                Some(StreamFrame::Heartbeat) => {
                    unanswered += 1;
                    Message::Ping(Bytes::new())
                }
                Some(StreamFrame::End(reason)) => {
                    // The client may have gone.
                    let _ = to_client.send(Message::Close(Some(close_frame(reason)))).await;
                    return;
                }
            },
            message = from_client.next() => match message {
                Some(Ok(Message::Close(_))) | None => return,
                Some(Err(error)) => {
                    if is_too_large(&error) {
                        let close = CloseFrame { code: close_code::SIZE, reason: TOO_LARGE.into() };
                        let _ = to_client.send(Message::Close(Some(close))).await;
                    }
                    return;
                }
                Some(Ok(Message::Pong(_))) => {
                    unanswered = 0;
                    continue;
                }
                Some(Ok(_)) => continue,
            },
        };
        if to_client.send(message).await.is_err() {
            return;
        }
    }
}

/// Whether the client sent a larger message than the limit given to the protocol's library.
fn is_too_large(error: &axum::Error) -> bool {
    // The library's own error type is not part of axum's interface.
    error.to_string().contains("Space limit exceeded")
}

fn text(json: Bytes) -> Message {
    // The JSON serialiser writes UTF-8.
    Utf8Bytes::try_from(json).map_or_else(|_| Message::Text("{}".into()), Message::Text)
}

fn close_frame(reason: StreamEnd) -> CloseFrame {
    let code = match reason {
        StreamEnd::TokenExpired | StreamEnd::TokenRevoked => close_code::POLICY,
        StreamEnd::TooSlow => close_code::AGAIN,
        StreamEnd::ShuttingDown => close_code::AWAY,
    };
    CloseFrame { code, reason: reason.as_str().into() }
}
