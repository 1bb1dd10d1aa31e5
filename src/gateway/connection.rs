//! A client's connection, with limits on the memory it uses and on the time a write waits.
//!
//! | what | limit |
//! |---|---|
//! | unsent bytes in the kernel | [`SEND_BUFFER_BYTES`] |
//! | a write waits here, and the client reads nothing | [`WRITE_STALL_TIMEOUT`], then the connection is closed |
//! | bytes wait in the kernel, and the client's machine acknowledges or takes none | [`UNACKNOWLEDGED_TIMEOUT`], then the kernel closes the connection |
//! | the event stream on this connection was cut off (its queue was full) | a waiting write fails at once |
//!
//! The first two closings are counted in `clients_stalled`, the last in `subscribers_cut_off`.
//!
//! Invariant: a write never waits past its limit. Otherwise a desktop that stopped reading would occupy a connection
//! and its handler for ever.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::admission::Place;
use crate::ids::RecordId;

/// Unsent bytes that the kernel buffers for one client; further events wait in the bounded queue of the stream.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// How long a write waits for a client that reads nothing.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the client's machine may leave bytes unacknowledged or its receive window closed: it was switched off,
/// its cable was pulled, or its desktop stopped reading while there are few events.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);

/// A handle to the connection of a request, for handlers.
#[derive(Debug, Clone)]
pub(crate) struct ClientConnection {
    /// The address of the client, or of the proxy in front of the gateway.
    pub(crate) peer: SocketAddr,
    /// The place among `connections_max`; kept through an upgrade to WebSocket.
    place: Arc<Place>,
    abort: Arc<Mutex<Option<CancellationToken>>>,
}

impl ClientConnection {
    pub(crate) fn new(peer: SocketAddr, place: Arc<Place>) -> Self {
        Self { peer, place, abort: Arc::default() }
    }

    pub(crate) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    /// A request of `person` on this connection carried a valid token.
    pub(crate) fn prove(&self, person: RecordId) {
        self.place.prove(person);
    }

    /// Makes a waiting write fail as soon as `token` is cancelled. Replaces an earlier token.
    pub(crate) fn abort_on(&self, token: CancellationToken) {
        *self.abort.lock() = Some(token);
    }

    fn abort_token(&self) -> Option<CancellationToken> {
        self.abort.lock().clone()
    }
}

/// Sets the socket options for short messages and bounded memory. A client is served even when an option cannot be
/// set.
pub(crate) fn configure_socket(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let results = [
        socket.set_tcp_nodelay(true),
        socket.set_send_buffer_size(SEND_BUFFER_BYTES),
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT)),
        socket.set_keepalive(true),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "cannot set a socket option");
    }
}

/// A TCP stream whose writes time out.
#[derive(Debug)]
pub(crate) struct GuardedStream {
    stream: TcpStream,
    connection: ClientConnection,
    stall: Option<Stall>,
    /// Counts connections that were closed because the client stopped reading.
    stalled: Counter,
    /// The token that shutdown waits for; kept through an upgrade to WebSocket.
    _tracked: TaskTrackerToken,
}

/// A waiting write.
#[derive(Debug)]
struct Stall {
    deadline: Pin<Box<Sleep>>,
    has_timed_out: bool,
    abort: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl GuardedStream {
    pub(crate) fn new(
        stream: TcpStream,
        connection: ClientConnection,
        stalled: Counter,
        tracked: TaskTrackerToken,
    ) -> Self {
        Self { stream, connection, stall: None, stalled, _tracked: tracked }
    }

    /// Counts a result by which the kernel closed the connection.
    fn count<T>(&self, result: &Poll<io::Result<T>>) {
        if matches!(result, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut) {
            self.stalled.inc();
        }
    }

    /// Turns a write that waits into an error at its deadline, or when the event stream is cut off.
    fn guard<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.count(&result);
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let connection = &self.connection;
        let stall = self.stall.get_or_insert_with(|| Stall {
            deadline: Box::pin(sleep(WRITE_STALL_TIMEOUT)),
            has_timed_out: false,
            abort: connection.abort_token().map(|token| Box::pin(token.cancelled_owned())),
        });
        if let Some(abort) = &mut stall.abort
            && abort.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client reads events too slowly",
            )));
        }
        if !stall.has_timed_out {
            ready!(stall.deadline.as_mut().poll(context));
            self.stalled.inc();
            // A later poll fails at once.
            stall.has_timed_out = true;
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.count(&result);
        result
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.guard(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.guard(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;
    use tokio_util::task::TaskTracker;

    use super::super::admission::{Admission, Admitted};
    use super::*;

    /// A guarded connection, its handle, and the client's end, which nobody reads.
    async fn unread() -> (GuardedStream, ClientConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        configure_socket(&stream);
        let Some(Admitted::Free(place)) = Admission::new(1).admit(peer.ip()) else {
            panic!("a place is free")
        };
        let connection = ClientConnection::new(peer, place);
        let guarded =
            GuardedStream::new(stream, connection.clone(), Counter::default(), TaskTracker::new().token());
        (guarded, connection, client)
    }

    /// Writes until a write fails.
    async fn write_until_error(mut stream: GuardedStream) -> io::ErrorKind {
        let bytes = [0; 64 * 1024];
        loop {
            if let Err(error) = stream.write_all(&bytes).await {
                return error.kind();
            }
        }
    }

    // Paused, the clock advances as soon as every task waits.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_is_disconnected() {
        let (stream, _connection, _client) = unread().await;
        let started = Instant::now();
        let stalled = stream.stalled.clone();
        assert_eq!(write_until_error(stream).await, io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= WRITE_STALL_TIMEOUT);
        assert_eq!(stalled.get(), 1);
    }

    #[tokio::test]
    async fn a_client_that_is_cut_off_is_disconnected_at_once() {
        let (stream, connection, _client) = unread().await;
        let abort = CancellationToken::new();
        connection.abort_on(abort.clone());
        let writing = tokio::spawn(write_until_error(stream));
        tokio::task::yield_now().await;
        abort.cancel();
        assert_eq!(writing.await.unwrap(), io::ErrorKind::ConnectionAborted);
    }
}
