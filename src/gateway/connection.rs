//! A client's connection: no waiting without end, no memory without end.
//!
//! | what | limit |
//! |---|---|
//! | unsent bytes in the kernel | [`SEND_BUFFER_BYTES`] |
//! | bytes waiting here, none taken by the client | [`WRITE_STALL_MAX`], then the connection ends |
//! | bytes waiting in the kernel, none acknowledged or taken by the client's machine | [`UNACKNOWLEDGED_MAX`], then the system ends the connection |
//!
//! Either end is counted, as is that of a stream whose queue was full: a desktop that nobody can reach any more is seen.
//!
//! Invariant: a write never waits past its limit, and not a moment once the stream it belongs to was cut off.
//! Otherwise a desktop that stopped reading would keep its place, and its handler, for ever.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Unsent bytes the kernel keeps for one client; what does not fit waits in our own bounded queue.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// How long a client may take nothing while bytes wait for it.
pub(crate) const WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// How long the client's machine may leave bytes unacknowledged, or its window shut: it was switched off, its cable
/// pulled, or its desktop reads no more while little happens.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// What a handler knows of the connection its request came over.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The client's address (the proxy's, where one stands in front).
    pub(crate) peer: SocketAddr,
    cut: Arc<Mutex<Option<CancellationToken>>>,
}

impl Link {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self { peer, cut: Arc::default() }
    }

    /// Ends the connection when `token` is cancelled, even while a write waits. Replaces an earlier one.
    pub(crate) fn cut_by(&self, token: CancellationToken) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }

    fn cut(&self) -> Option<CancellationToken> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sets the socket up for short messages and bounded memory. What the system refuses is not worth refusing a
/// client for.
pub(crate) fn prepare(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let results = [
        socket.set_tcp_nodelay(true),
        socket.set_send_buffer_size(SEND_BUFFER_BYTES),
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)),
        socket.set_keepalive(true),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a socket option was refused");
    }
}

/// A stream whose writes give up.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: TcpStream,
    link: Link,
    stall: Option<Stall>,
    /// Counts those that are given up because the client took nothing.
    stalled: Counter,
    /// Its place among the connections, and in the wait for their end; also after an upgrade to WebSocket.
    _place: (OwnedSemaphorePermit, TaskTrackerToken),
}

/// A write that waits.
#[derive(Debug)]
struct Stall {
    deadline: Pin<Box<Sleep>>,
    is_over: bool,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Guarded {
    pub(crate) fn new(
        stream: TcpStream,
        link: Link,
        stalled: Counter,
        permit: OwnedSemaphorePermit,
        tracked: TaskTrackerToken,
    ) -> Self {
        Self { stream, link, stall: None, stalled, _place: (permit, tracked) }
    }

    /// `result` is what the system said: it may have given up.
    fn count<T>(&self, result: &Poll<io::Result<T>>) {
        if matches!(result, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut) {
            self.stalled.inc();
        }
    }

    /// `result` is what a write came to. Waiting is given up at the deadline or when the stream is cut off.
    fn guard<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.count(&result);
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let link = &self.link;
        let stall = self.stall.get_or_insert_with(|| Stall {
            deadline: Box::pin(sleep(WRITE_STALL_MAX)),
            is_over: false,
            cut: link.cut().map(|token| Box::pin(token.cancelled_owned())),
        });
        if let Some(cut) = &mut stall.cut
            && cut.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "read too slowly")));
        }
        if !stall.is_over {
            ready!(stall.deadline.as_mut().poll(context));
            self.stalled.inc();
            // Should it be polled again, it fails again at once.
            stall.is_over = true;
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl AsyncRead for Guarded {
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

impl AsyncWrite for Guarded {
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
    use tokio::sync::Semaphore;
    use tokio::time::Instant;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// A guarded connection, and the client's end of it, which nobody reads.
    async fn unread() -> (Guarded, Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        prepare(&stream);
        let link = Link::new(peer);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let guarded =
            Guarded::new(stream, link.clone(), Counter::default(), permit, TaskTracker::new().token());
        (guarded, link, client)
    }

    /// Writes until the connection gives up.
    async fn write_on(mut connection: Guarded) -> io::ErrorKind {
        let bytes = [0; 64 * 1024];
        loop {
            if let Err(error) = connection.write_all(&bytes).await {
                return error.kind();
            }
        }
    }

    // The clock jumps on as soon as nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (connection, _link, _client) = unread().await;
        let begun = Instant::now();
        let stalled = connection.stalled.clone();
        assert_eq!(write_on(connection).await, io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= WRITE_STALL_MAX);
        assert_eq!(stalled.get(), 1);
    }

    #[tokio::test]
    async fn a_client_that_is_cut_off_is_given_up_at_once() {
        let (connection, link, _client) = unread().await;
        let cut = CancellationToken::new();
        link.cut_by(cut.clone());
        let writing = tokio::spawn(write_on(connection));
        tokio::task::yield_now().await;
        cut.cancel();
        assert_eq!(writing.await.unwrap(), io::ErrorKind::ConnectionAborted);
    }
}
