//! A desktop as a test plays it: the event stream over SSE and over WebSocket.
//!
//! Invariant: it knows the public contract only and uses no type of the daemon.

use bytes::BytesMut;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::codec::{BytesCodec, FramedRead};

use crate::support::event_order::EventOrder;
use crate::support::wait::TEST_TIMEOUT;

/// An HTTP client without a proxy. The library demands that TLS is set up, although no test uses it.
pub(crate) fn http() -> reqwest::Client {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Number of recent events that the text of a time-out names.
const NAMED_EVENTS_MAX: usize = 30;

/// The events of one desktop over Server-Sent Events.
pub(crate) struct Sse {
    /// The bytes of the response, until the connection ends or fails.
    body: BoxStream<'static, Option<bytes::Bytes>>,
    text: Vec<u8>,
    /// The received comments, without heartbeats.
    pub(crate) comments: Vec<String>,
    /// The kinds of the received events, for the text of a time-out.
    seen: Vec<String>,
    /// Checks the order of the events.
    order: Option<EventOrder>,
}

impl Sse {
    pub(crate) async fn of(response: Response) -> Self {
        if response.status() != StatusCode::OK {
            panic!("{} {}", response.status(), response.text().await.unwrap());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self::reading(response.bytes_stream())
    }

    /// The events on a connection over which they were requested with HTTP/1.0; `None` when it closes before the response
    /// head is complete.
    pub(crate) async fn over(mut stream: TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
        Some(Self::reading(FramedRead::new(stream, BytesCodec::new()).map_ok(BytesMut::freeze)))
    }

    fn reading<E: 'static>(body: impl Stream<Item = Result<bytes::Bytes, E>> + Send + 'static) -> Self {
        Self {
            body: body.map(Result::ok).boxed(),
            text: Vec::new(),
            comments: Vec::new(),
            seen: Vec::new(),
            order: None,
        }
    }

    /// Holds every event from here on against the ordering rules. For a viewer who may see everything, from the start.
    pub(crate) fn in_order(mut self) -> Self {
        self.order = Some(EventOrder::default());
        self
    }

    /// The next event; `None` at the end of the stream. Heartbeats do not lengthen the wait.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let next = timeout(TEST_TIMEOUT, self.next_at_any_time()).await;
        next.unwrap_or_else(|_| {
            let last = &self.seen[self.seen.len().saturating_sub(NAMED_EVENTS_MAX)..];
            panic!("no event in {TEST_TIMEOUT:?} after {}, the last of which are {last:?}", self.seen.len())
        })
    }

    /// The next event, without a time-out. Checks that `id:` is the id in the JSON.
    pub(crate) async fn next_at_any_time(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                if let Some(event) = self.read(&String::from_utf8(block).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            match self.body.next().await {
                Some(Some(bytes)) => self.text.extend_from_slice(&bytes),
                Some(None) | None => return None,
            }
        }
    }

    fn read(&mut self, block: &str) -> Option<Value> {
        let (mut id, mut data) = (None, None);
        for line in block.lines() {
            match line.split_once(':') {
                Some(("", comment)) if !comment.is_empty() => self.comments.push(comment.trim().to_owned()),
                Some(("id", value)) => id = Some(value.trim().to_owned()),
                Some(("data", value)) => data = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let event: Value = serde_json::from_str(&data?).unwrap();
        assert_eq!(event["id"].as_str(), id.as_deref());
        self.seen.push(event["kind"].as_str().unwrap_or_default().to_owned());
        if let Some(order) = &mut self.order {
            order.check(&event);
        }
        Some(event)
    }
}

/// The events of one desktop over WebSocket.
#[derive(Debug)]
pub(crate) struct Ws(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ws {
    /// The next event, or the close code and reason. Heartbeats do not lengthen the wait.
    pub(crate) async fn next(&mut self) -> Result<Value, (u16, String)> {
        timeout(TEST_TIMEOUT, self.next_at_any_time()).await.expect("a message in time")
    }

    /// Like [`Self::next`], without a time-out.
    pub(crate) async fn next_at_any_time(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err((frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err((0, error.to_string())),
                None => return Err((0, String::new())),
            }
        }
    }
}
