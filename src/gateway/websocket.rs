//! `GET /v1/events/ws`: the same events over WebSocket, one JSON text per message.
//!
//! | close code | why |
//! |---|---|
//! | 1001 | the daemon is going down; come back with `?after=` |
//! | 1008, reason `token-expired` or `token-revoked` | sign in again |
//! | 1013, reason `too-slow` | come back with `?after=` |
//! | 1009 | the client sent something larger than [`MESSAGE_BYTES_MAX`] |
//!
//! The client has nothing to say here but pongs; what else it sends is ignored. Invariant: a client that
//! answers no ping for two heartbeats is gone.

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
use super::connection::Link;
use super::extract::Asked;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::After;
use super::routes::Gate;
use super::stream::{Frame, Goodbye, Stream, after};
use crate::operator::Permission;

/// Largest message a client may send, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Pings in a row that may stay unanswered.
const PINGS_UNANSWERED_MAX: u32 = 2;

/// Follows the events over WebSocket.
///
/// A browser's request must come from the daemon's own origin or an allowed one.
#[utoipa::path(get, path = "/v1/events/ws", tag = "events", params(After), responses(
    (status = 101, description = "Events, one JSON text per message, each as in the schema Event"),
    (status = 400, description = "invalid-header (no upgrade), invalid-query", body = ProblemBody),
    (status = 403, description = "foreign-origin", body = ProblemBody),
    (status = 503, description = "overloaded, shutting-down", body = ProblemBody),
))]
pub(crate) async fn upgrade(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    link: Option<Extension<Link>>,
    headers: HeaderMap,
    Asked(asked): Asked<After>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let socket = socket.map_err(|rejection| Kind::InvalidHeader.with(rejection.body_text()))?;
    let after = after(&headers, asked)?;
    let stream = Stream::open(&gate, caller, after.as_ref())?;
    let socket =
        socket.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).write_buffer_size(0);
    Ok(socket.on_upgrade(move |socket| talk(socket, stream, link.map(|Extension(link)| link))))
}

async fn talk(socket: WebSocket, mut stream: Stream, link: Option<Link>) {
    let (mut to_client, mut from_client) = socket.split();
    let mut unanswered = 0;
    loop {
        let message = tokio::select! {
            frame = stream.next() => match frame {
                None => return,
                Some(Frame::First(_, json)) => {
                    if let Some(link) = &link {
                        link.cut_by(stream.cut_off());
                    }
                    text(json)
                }
                Some(Frame::Event(event)) => text(event.json()),
                Some(Frame::Heartbeat) if unanswered >= PINGS_UNANSWERED_MAX => return,
                Some(Frame::Heartbeat) => {
                    unanswered += 1;
                    Message::Ping(Bytes::new())
                }
                Some(Frame::End(why)) => {
                    // The stream is over; whether the client hears why is its own affair.
                    let _ = to_client.send(Message::Close(Some(farewell(why)))).await;
                    return;
                }
            },
            message = from_client.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
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

fn text(json: Bytes) -> Message {
    // It came out of a JSON serialiser, so it is UTF-8.
    Utf8Bytes::try_from(json).map_or_else(|_| Message::Text("{}".into()), Message::Text)
}

fn farewell(why: Goodbye) -> CloseFrame {
    let code = match why {
        Goodbye::TokenExpired | Goodbye::TokenRevoked => close_code::POLICY,
        Goodbye::TooSlow => close_code::AGAIN,
        Goodbye::ShuttingDown => close_code::AWAY,
    };
    CloseFrame { code, reason: why.as_str().into() }
}
