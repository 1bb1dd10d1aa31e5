//! The event stream of the daemon (Server-Sent Events), for commands that follow it.
//!
//! [`SseParser`] splits bytes into events and is pure. [`EventStream`] connects, and reconnects with the id of the last
//! event that it returned.
//!
//! | failure | what happens |
//! |---|---|
//! | the first connection fails or is refused | an error at once |
//! | the connection ends | reconnect, with delays of 0.5 s that double; after [`ATTEMPTS_MAX`] failed attempts an error |
//! | an event exceeds [`EVENT_BYTES_MAX`] | an error |
//!
//! Invariants: no event is returned twice. The events do not depend on how the bytes are split.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::bail;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::client::Client;

/// Largest accepted event, in bytes. A snapshot of a large service is well below.
const EVENT_BYTES_MAX: usize = 64 << 20;
/// Delay before the second attempt to reconnect; it doubles with every failure.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// Most attempts to reconnect in a row; the delays between them add up to 15.5 s.
const ATTEMPTS_MAX: u32 = 6;

/// One event: its id if it has one, its kind, its JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    /// The id to resume after.
    pub(crate) id: Option<String>,
    /// The field `event`, for instance `call.presented`.
    pub(crate) kind: String,
    /// The field `data`.
    pub(crate) data: String,
}

/// Splits a stream of bytes into events (WHATWG HTML, "Server-sent events").
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    after_cr: bool,
    event: SseEvent,
    has_data: bool,
    ready: VecDeque<SseEvent>,
}

impl SseParser {
    /// Adds bytes; false if the event exceeds [`EVENT_BYTES_MAX`].
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => {}
                b'\r' | b'\n' => self.end_line(),
                other => self.line.push(other),
            }
            self.after_cr = byte == b'\r';
            if self.line.len() + self.event.data.len() > EVENT_BYTES_MAX {
                return false;
            }
        }
        true
    }

    /// Removes and returns the next complete event.
    pub(crate) fn pop(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                self.ready.push_back(event);
            }
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments (an empty field name), `retry`, and fields of later versions.
            _ => {}
        }
    }
}

/// The event stream, resumed after lost connections.
pub(crate) struct EventStream {
    client: Client,
    path: &'static str,
    last_id: Option<String>,
    body: Option<BoxStream<'static, reqwest::Result<bytes::Bytes>>>,
    parser: SseParser,
}

impl EventStream {
    /// Connects.
    ///
    /// # Errors
    /// No daemon answers, or the daemon refuses the token. Nothing is retried here.
    pub(crate) async fn connect(client: Client, path: &'static str) -> anyhow::Result<Self> {
        let body = client.stream(path, None).await?.bytes_stream().boxed();
        Ok(Self { client, path, last_id: None, body: Some(body), parser: SseParser::default() })
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The connection ended and all attempts to reconnect failed, or an event was too large.
    pub(crate) async fn next(&mut self) -> anyhow::Result<SseEvent> {
        loop {
            if let Some(event) = self.parser.pop() {
                if event.id.is_some() {
                    self.last_id.clone_from(&event.id);
                }
                return Ok(event);
            }
            let Some(body) = &mut self.body else {
                self.reconnect().await?;
                continue;
            };
            match body.next().await {
                Some(Ok(bytes)) if self.parser.push(&bytes) => {}
                Some(Ok(_)) => bail!("the daemon sent an event of over {EVENT_BYTES_MAX} bytes"),
                Some(Err(_)) | None => self.body = None,
            }
        }
    }

    async fn reconnect(&mut self) -> anyhow::Result<()> {
        // The daemon sends an incomplete event again.
        self.parser = SseParser::default();
        let mut delay = RETRY_DELAY;
        for attempt in 1.. {
            match self.client.stream(self.path, self.last_id.as_deref()).await {
                Ok(response) => {
                    self.body = Some(response.bytes_stream().boxed());
                    break;
                }
                Err(error) if attempt >= ATTEMPTS_MAX => return Err(error),
                Err(_) => tokio::time::sleep(delay).await,
            }
            delay *= 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "\u{FEFF}: hello\n\nid: 7\nevent: call.presented\ndata: {\"name\":\ndata: \"さくら\"}\n\n: 15 s\n\n\
        event: nothing\n\nid:8\r\ndata:x\r\n\r\nretry: 5\rdata\r\rdata: torn";

    fn events(chunks: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = SseParser::default();
        for chunk in chunks {
            assert!(parser.push(chunk));
        }
        std::iter::from_fn(|| parser.pop()).collect()
    }

    #[test]
    fn events_are_split_as_the_standard_says() {
        let got = events(&[STREAM.as_bytes()]);
        let event = |id: Option<&str>, kind: &str, data: &str| SseEvent {
            id: id.map(Into::into),
            kind: kind.into(),
            data: data.into(),
        };
        let expected = [
            event(Some("7"), "call.presented", "{\"name\":\n\"さくら\"}"),
            event(Some("8"), "", "x"),
            event(None, "", ""),
        ];
        assert_eq!(got, expected);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &STREAM.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(events(&chunks), events(&[STREAM.as_bytes()]));
        }
    }
}
