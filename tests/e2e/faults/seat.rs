//! A desktop's place in the fault-injection suite: its user, its transport and how fast it reads.
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::client::{Sse, Ws, http};
use crate::support::service::Service;

/// Receive buffer of a desktop with a narrow window.
const NARROW_BYTES: u32 = 16 * 1024;
/// More events than any test publishes.
const EVENTS_MAX: usize = 1 << 40;

/// The transport of the events.
#[derive(Clone, Copy)]
pub(crate) enum Over {
    Sse,
    Ws,
    /// Server-Sent Events through a small receive window: unread events soon fill the daemon's buffers.
    NarrowSse,
}

/// Where a desktop connects, as whom, and over which transport.
pub(crate) struct Seat {
    pub(crate) http: reqwest::Client,
    address: SocketAddr,
    pub(crate) token: String,
    over: Over,
    gate: Gate,
}

/// Limits what a desktop reads: one permit allows one event.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

/// An open event stream.
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub(crate) enum Events {
    Sse(Sse),
    Ws(Box<Ws>),
}

impl Seat {
    /// A seat that reads without limit.
    pub(crate) fn new(service: &Service, token: &str, over: Over) -> Self {
        Self::at(service.address, token, over)
    }

    /// The same at this gateway.
    pub(crate) fn at(address: SocketAddr, token: &str, over: Over) -> Self {
        let http = http();
        let gate = Gate(Arc::new(Semaphore::new(EVENTS_MAX)));
        Self { http, address, token: token.to_owned(), over, gate }
    }

    /// The gate that limits its reading.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// The base address for requests.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens the stream after this event; `None` when the daemon does not answer.
    pub(crate) async fn open(&self, after: Option<&str>) -> Option<Events> {
        match self.over {
            Over::Sse => self.open_sse(after).await.map(Events::Sse),
            Over::Ws => self.open_ws(after).await.map(Box::new).map(Events::Ws),
            Over::NarrowSse => self.open_narrow(after).await.map(Events::Sse),
        }
    }

    /// The next event, once it may be read; `None` at the end of the stream.
    pub(crate) async fn next(&self, events: &mut Events) -> Option<Value> {
        self.gate.one().await;
        match events {
            Events::Sse(events) => events.next_at_any_time().await,
            Events::Ws(events) => events.next_at_any_time().await.ok(),
        }
    }

    async fn open_sse(&self, after: Option<&str>) -> Option<Sse> {
        let mut request = self.http.get(format!("{}/v1/events", self.base())).bearer_auth(&self.token);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.ok().filter(|response| response.status().is_success())?;
        Some(Sse::of(response).await)
    }

    async fn open_ws(&self, after: Option<&str>) -> Option<Ws> {
        let after = after.map(|id| format!("?after={id}")).unwrap_or_default();
        let url = format!("ws://{}/v1/events/ws{after}", self.address);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        Some(Ws(tokio_tungstenite::connect_async(request).await.ok()?.0))
    }

    async fn open_narrow(&self, after: Option<&str>) -> Option<Sse> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(NARROW_BYTES).unwrap();
        let mut stream: TcpStream = socket.connect(self.address).await.ok()?;
        let after = after.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        // HTTP/1.0, so that the body is not chunked.
        let head = format!(
            "GET /v1/events HTTP/1.0\r\nhost: {}\r\nauthorization: Bearer {}\r\n{after}\r\n",
            self.address, self.token
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        self.gate.is_open().await;
        Sse::over(stream).await
    }
}

impl Gate {
    /// Stops reading.
    pub(crate) fn shut(&self) {
        self.0.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Allows one event to be read.
    pub(crate) fn lets_one_through(&self) {
        self.0.add_permits(1);
    }

    /// Allows reading without limit.
    pub(crate) fn open(&self) {
        self.0.add_permits(EVENTS_MAX);
    }

    async fn one(&self) {
        self.0.acquire().await.expect("a gate is never closed for good").forget();
    }

    async fn is_open(&self) {
        drop(self.0.acquire().await.expect("a gate is never closed for good"));
    }
}
