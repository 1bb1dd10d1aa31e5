//! Accepts connections, runs the gateway's background tasks, and shuts down.
//!
//! | connection | what happens |
//! |---|---|
//! | within [`super::Settings::connections_max`] | served until it closes, or until it must make room (`admission.rs`) |
//! | beyond that limit, and all others have shown a token | answered with 503, then closed |
//! | headers not complete within [`HEADER_READ_TIMEOUT`] | closed |
//! | HTTP/1.1 without exactly one valid `Host` | 400 |
//! | a line that ends with LF alone | the line is accepted, wherever it stands (RFC 9112, section 2.2); a bare CR is not: 400 |
//! | a head of more than [`HEADER_BYTES_MAX`] | 431 |
//! | shutdown | no new connections; event streams end; open requests get [`super::Settings::drain_timeout`], then every connection is closed |
//!
//! Why not `axum::serve`: it has neither header time-outs nor a limit on connections, and a client that stops reading
//! would occupy a task for ever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Uri, Version, header, uri};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::admission::{Admission, Admitted};
use super::connection::{ClientConnection, GuardedStream, configure_socket};
use super::metrics::Metrics;
use super::problem::{Kind, Problem};
use super::public::PublicApp;
use super::routes::router;
use super::state::{App, AppState, run_people_refresh};
use super::{audit_trail, forwarding, public, token_checks, token_uses};

/// How long the headers of a request may take, and the pause before the next request on a connection.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest head of a request, and size of the read buffer, in bytes.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Number of headers in a request.
const HEADERS_MAX: usize = 64;
/// Connections that may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG_MAX: u32 = 4_096;
/// Delay after a failed accept, for instance when file descriptors have run out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long the answer to a refused connection may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    connection: close\r\nretry-after: 5\r\ncontent-length: 108\r\n\r\n\
    {\"type\":\"overloaded\",\"title\":\"Too many requests at the same time; try again in a few seconds\",\"status\":503}\n";

/// Listens at `address`. The backlog is large because every desktop reconnects at once after a restart, and a
/// connection that does not fit into the backlog is retried only after a second.
///
/// # Errors
/// The address cannot be used.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Closing connections of the previous process do not block the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_MAX)
}

/// Serves `app` on `listener` until `shutdown` is cancelled, then drains.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(listener: TcpListener, app: App, shutdown: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "the gateway is listening");
    let tasks = TaskTracker::new();
    let admission = Admission::new(app.settings.connections_max);
    let drain_timeout = app.settings.drain_timeout;
    let metrics = Arc::clone(&app.metrics);
    metrics.register_bus(&app.bus);
    tasks.spawn(run_people_refresh(app.clone(), shutdown.clone()));
    let state = Arc::new(AppState::new(app, shutdown.clone()));
    let router = router(Arc::clone(&state));
    tasks.spawn(token_uses::run(Arc::clone(&state.token_uses), state.app.store.clone(), shutdown.clone()));
    tasks.spawn(token_checks::run(
        Arc::clone(&state.token_checks),
        state.app.store.clone(),
        shutdown.clone(),
    ));
    tasks.spawn(audit_trail::run(Arc::clone(&state)));
    tasks.spawn(forwarding::serve(state, router.clone(), tasks.clone(), shutdown.clone()));
    accept(Accepting { listener, router, admission, metrics, drain_timeout }, tasks, shutdown).await;
    Ok(())
}

/// Serves the public pages on `listener` until `shutdown` is cancelled.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve_public(
    listener: TcpListener,
    app: PublicApp,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "the public pages are listening");
    let accepting = Accepting {
        listener,
        router: public::router(app),
        admission: Admission::new(public::CONNECTIONS_MAX),
        metrics,
        drain_timeout: public::DRAIN_TIMEOUT,
    };
    accept(accepting, TaskTracker::new(), shutdown).await;
    Ok(())
}

/// What accepts connections.
struct Accepting {
    listener: TcpListener,
    router: Router,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
    drain_timeout: Duration,
}

/// Accepts and serves connections until `shutdown`, then drains.
async fn accept(accepting: Accepting, tasks: TaskTracker, shutdown: CancellationToken) {
    let Accepting { listener, router, admission, metrics, drain_timeout } = accepting;
    let stop = Shutdown { drain: shutdown.clone(), close: CancellationToken::new() };
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        configure_socket(&stream);
        let place = match admission.admit(peer.ip()) {
            Some(Admitted::Free(place)) => place,
            Some(Admitted::InsteadOfAnother(place)) => {
                metrics.count_displaced_connection();
                if let Some(connections) = admission.to_log() {
                    tracing::warn!(
                        connections,
                        "closed connections without a token to admit new ones: the limit on open connections is reached"
                    );
                }
                place
            }
            None => {
                metrics.count_refused_connection();
                if let Some(connections) = admission.to_log() {
                    tracing::warn!(
                        %peer,
                        connections,
                        "refused connections: the limit on open connections is reached; raise gateway.subscribers_max"
                    );
                }
                tasks.spawn(refuse(stream));
                continue;
            }
        };
        let connection = ClientConnection::new(peer, place);
        let guarded =
            GuardedStream::new(stream, connection.clone(), metrics.stalled_clients(), tasks.token());
        tasks.spawn(serve_connection(guarded, connection, router.clone(), stop.clone()));
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(drain_timeout, tasks.wait()).await.is_err() {
        tracing::warn!(
            open = tasks.len(),
            "closing connections whose requests did not finish within gateway.drain"
        );
        stop.close.cancel();
    }
}

/// The two phases of a shutdown.
#[derive(Debug, Clone)]
struct Shutdown {
    /// Cancelled first: connections finish the request under way and take no further one.
    drain: CancellationToken,
    /// Cancelled after the drain time-out: connections are closed.
    close: CancellationToken,
}

async fn serve_connection(stream: GuardedStream, handle: ClientConnection, router: Router, stop: Shutdown) {
    let place = handle.place();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let running = handle.place().run();
        request.extensions_mut().insert(handle.clone());
        let mut router = router.clone();
        async move {
            let answer = match head_problem(&request) {
                Some(problem) => Ok(problem.into_response()),
                None => router.call(request).await,
            };
            drop(running);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = place.close().cancelled() => return,
        () = stop.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = stop.close.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// What is wrong with the head of a request. The parser accepts more than HTTP allows (RFC 9112, section 3.2), and its
/// buffer may hold more than one head.
fn head_problem<B>(request: &hyper::Request<B>) -> Option<Problem> {
    let (headers, uri) = (request.headers(), request.uri());
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if target + bytes.sum::<usize>() > HEADER_BYTES_MAX {
        return Some(Kind::HeadTooLarge.into());
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    let is_missing = hosts == 0 && request.version() >= Version::HTTP_11;
    if is_missing || hosts > 1 || hosts == 1 && !is_host_valid(headers, uri) {
        return Some(
            Kind::InvalidHeader.with("a request needs exactly one header Host, with a host and a port"),
        );
    }
    None
}

/// Whether `Host` is a host with or without a port. It may be empty only where the target names no host (RFC 9112).
fn is_host_valid(headers: &HeaderMap, uri: &Uri) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let is_authority = |host: &str| {
        host.parse::<uri::Authority>().is_ok_and(|authority| {
            let port = host.strip_prefix(authority.host()).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
            port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    host.is_some_and(|host| is_authority(host) || host.is_empty() && uri.host().is_none())
}

async fn refuse(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(REFUSAL.as_bytes()).await?;
        stream.shutdown().await
    };
    // The client may have gone.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, answer).await;
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

    #[test]
    fn a_head_has_one_host_and_a_limit() {
        let problem = |version: Version, hosts: &[&str], padding: usize| {
            let mut request = hyper::Request::builder().version(version).uri("/v1/calls");
            for host in hosts {
                request = request.header("host", *host);
            }
            request = request.header("x-padding", "x".repeat(padding));
            head_problem(&request.body(()).unwrap())
        };
        for host in ["desk.example.jp", "desk.example.jp:8443", "192.0.2.1:8470", "[::1]:8470", ""] {
            assert_eq!(problem(Version::HTTP_11, &[host], 0), None, "{host}");
        }
        for hosts in [&[][..], &["a", "b"], &["a", "a"], &["a b"], &["user@a"], &["a/b"], &["a:x"]] {
            assert!(problem(Version::HTTP_11, hosts, 0).is_some(), "{hosts:?}");
        }
        assert_eq!(problem(Version::HTTP_10, &[], 0), None);
        assert!(problem(Version::HTTP_10, &["a", "b"], 0).is_some());
        assert_eq!(problem(Version::HTTP_11, &["a"], HEADER_BYTES_MAX - 100), None);
        assert_eq!(problem(Version::HTTP_11, &["a"], HEADER_BYTES_MAX), Some(Kind::HeadTooLarge.into()));
    }

    /// As after a restart, before the daemon accepts the first connection.
    #[tokio::test]
    async fn desktops_that_all_connect_at_once_are_all_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let backlog_max = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let desktops = backlog_max.trim().parse::<usize>().unwrap().min(300);
        let address = listener.local_addr().unwrap();
        let connect = (0..desktops).map(|_| TcpStream::connect(address));
        let connected =
            tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(connect));
        let connected = connected.await.expect("every connection fits into the backlog");
        assert!(connected.iter().all(Result::is_ok));
    }
}
