//! Accepting connections, and coming to an end.
//!
//! | connection | what happens |
//! |---|---|
//! | within [`super::Settings::connections_max`] | served until it closes |
//! | one more | gets a 503 at once, so that its client knows, and is closed |
//! | headers not complete within [`HEADER_READ_MAX`] | closed |
//! | shutdown | streams end, open requests get [`super::Settings::drain`], then everything is closed |
//!
//! Why not `axum::serve`: it has neither header time-outs nor a limit on connections, and a connection that
//! stopped reading would hold its task for ever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::connection::{Guarded, Link, prepare};
use super::routes::{Gate, router};
use super::{App, elsewhere, people, uses};

/// How long a client may take over the headers of a request, and between two requests.
const HEADER_READ_MAX: Duration = Duration::from_secs(20);
/// Bytes of headers, and of our read buffer.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Connections that wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const UNACCEPTED_MAX: u32 = 4_096;
/// Pause after the system could not give us a connection (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the refusal of a connection may take.
const REFUSAL_MAX: Duration = Duration::from_secs(1);

const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    connection: close\r\nretry-after: 5\r\ncontent-length: 83\r\n\r\n\
    {\"type\":\"overloaded\",\"title\":\"Too much is going on at the same time\",\"status\":503}\n";

/// Listens at `address`, with room for everybody who comes back at once after a restart: whom the system has no room
/// for tries again only a second later.
///
/// # Errors
/// The address cannot be used.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the run before that still end are in nobody's way.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(UNACCEPTED_MAX)
}

/// Serves `app` on `listener` until `shutdown` is cancelled, then drains.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(listener: TcpListener, app: App, shutdown: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "the gateway listens");
    let tasks = TaskTracker::new();
    let places = Arc::new(Semaphore::new(app.settings.connections_max));
    let drain = app.settings.drain;
    let metrics = Arc::clone(&app.metrics);
    metrics.follow(&app.bus);
    tasks.spawn(people::keep_current(app.clone(), shutdown.clone()));
    let gate = Arc::new(Gate::new(app, shutdown.clone()));
    let router = router(Arc::clone(&gate));
    tasks.spawn(uses::keep(Arc::clone(&gate), shutdown.clone()));
    tasks.spawn(elsewhere::serve(gate, router.clone(), tasks.clone(), shutdown.clone()));
    let end = End { begins: shutdown.clone(), is_over: CancellationToken::new() };
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        prepare(&stream);
        match Arc::clone(&places).try_acquire_owned() {
            Ok(permit) => {
                let link = Link::new(peer);
                let guarded = Guarded::new(stream, link.clone(), metrics.stalled(), permit, tasks.token());
                tasks.spawn(connection(guarded, link, router.clone(), end.clone()));
            }
            Err(_) => {
                metrics.connection_refused();
                tasks.spawn(refuse(stream, peer));
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "requests were still open when the time to finish them was over");
        end.is_over.cancel();
    }
    Ok(())
}

/// The two moments of an end: nothing new from the first on, nothing at all from the second on.
#[derive(Debug, Clone)]
struct End {
    begins: CancellationToken,
    is_over: CancellationToken,
}

async fn connection(stream: Guarded, link: Link, router: Router, end: End) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(link.clone());
        let mut router = router.clone();
        async move { router.call(request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end.begins.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = end.is_over.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn refuse(mut stream: TcpStream, peer: SocketAddr) {
    tracing::warn!(%peer, "as many connections as allowed are open; refused one more");
    let said = async {
        stream.write_all(REFUSAL.as_bytes()).await?;
        stream.shutdown().await
    };
    // Whether the client hears it is its own affair.
    let _ = tokio::time::timeout(REFUSAL_MAX, said).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_well_formed() {
        let (head, body) = REFUSAL.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{} bytes", body.len());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["type"], "overloaded");
    }

    /// As after a restart, before the daemon takes the first of them.
    #[tokio::test]
    async fn desktops_that_connect_all_at_once_are_all_let_in() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let desktops = allowed.trim().parse::<usize>().unwrap().min(300);
        let address = listener.local_addr().unwrap();
        let connect = (0..desktops).map(|_| TcpStream::connect(address));
        let connected =
            tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(connect));
        let connected = connected.await.expect("nobody is left outside");
        assert!(connected.iter().all(Result::is_ok));
    }
}
