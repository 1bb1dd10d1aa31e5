//! The transport of one connection: TCP or TLS, and a writer that respects the limits of Asterisk's reader.
//!
//! Invariant: reading never waits for writing. A separate task writes, behind a queue of [`WRITES_QUEUED_MAX`] actions.
//! When the PBX stops reading and that queue is full, the connection closes.
//!
//! Over TLS, Asterisk (main/iostream.c under manager.c's line buffer of 1,024 bytes) loses a record that is longer
//! than that buffer or arrives in two segments. Therefore each record holds whole lines, and the writer writes it at
//! once and flushes it.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::{CONNECT_TIMEOUT, Settings};

/// Most actions that wait to be written.
pub(super) const WRITES_QUEUED_MAX: usize = 64;
/// Most bytes in one TLS record, unless a single line is longer.
const TLS_RECORD_BYTES_MAX: usize = 1_000;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The queue of the writing task.
pub(super) struct Writer {
    queue: mpsc::Sender<Vec<u8>>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

/// A connected socket on which nothing was sent yet.
pub(super) struct Transport {
    pub(super) reader: ReadHalf<Box<dyn Stream>>,
    pub(super) writer: Writer,
}

impl Transport {
    pub(super) async fn connect(settings: &Settings) -> io::Result<Self> {
        let connecting = async {
            let tcp = TcpStream::connect((settings.host.as_str(), settings.port)).await?;
            tcp.set_nodelay(true)?;
            let Some(tls) = &settings.tls else {
                return Ok(Self::over(Box::new(tcp), usize::MAX));
            };
            let connector = TlsConnector::from(std::sync::Arc::clone(&tls.config));
            let stream = connector.connect(tls.server_name.clone(), tcp).await?;
            Ok(Self::over(Box::new(stream), TLS_RECORD_BYTES_MAX))
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the connection timed out")),
        }
    }

    fn over(stream: Box<dyn Stream>, record_bytes_max: usize) -> Self {
        let (reader, half) = tokio::io::split(stream);
        let (queue, actions) = mpsc::channel(WRITES_QUEUED_MAX);
        let task = tokio::spawn(write(half, actions, record_bytes_max));
        Self { reader, writer: Writer { queue, task } }
    }
}

impl Writer {
    /// Queues a whole action; false when the queue is full or the writing task has ended.
    pub(super) fn write(&self, action: Vec<u8>) -> bool {
        self.queue.try_send(action).is_ok()
    }

    /// Writes what is queued, for at most `timeout`.
    pub(super) async fn finish(self, timeout: std::time::Duration) {
        drop(self.queue);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(timeout, self.task).await.is_err() {
            abort.abort();
        }
    }

    /// Discards what is queued.
    pub(super) fn abandon(self) {
        self.task.abort();
    }
}

async fn write(
    mut half: WriteHalf<Box<dyn Stream>>,
    mut actions: mpsc::Receiver<Vec<u8>>,
    record_bytes_max: usize,
) -> io::Result<()> {
    while let Some(action) = actions.recv().await {
        for record in records(&action, record_bytes_max) {
            half.write_all(record).await?;
            half.flush().await?;
        }
    }
    half.shutdown().await
}

/// Cuts `action` after line ends into pieces of at most `bytes_max`; a longer line is a piece of its own.
fn records(action: &[u8], bytes_max: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = action;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let limit = rest.len().min(bytes_max);
        let after = |newline: usize| newline + 1;
        let end = match rest.len() <= bytes_max {
            true => rest.len(),
            false => memchr::memrchr(b'\n', &rest[..limit])
                .or_else(|| memchr::memchr(b'\n', rest))
                .map_or(rest.len(), after),
        };
        let (record, later) = rest.split_at(end);
        rest = later;
        Some(record)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_are_whole_lines_and_lose_nothing(lengths in prop::collection::vec(0..1_022_usize, 1..20)) {
            let action: Vec<u8> = lengths.iter().flat_map(|length| format!("{}\r\n", "x".repeat(*length)).into_bytes()).collect();
            let pieces: Vec<_> = records(&action, TLS_RECORD_BYTES_MAX).collect();
            prop_assert_eq!(pieces.concat(), action.clone());
            for piece in pieces {
                let one_line = piece.iter().filter(|b| **b == b'\n').count() == 1;
                prop_assert!(piece.ends_with(b"\r\n") && (piece.len() <= TLS_RECORD_BYTES_MAX || one_line));
            }
            prop_assert_eq!(records(&action, usize::MAX).count(), 1);
        }
    }
}
