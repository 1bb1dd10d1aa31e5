//! One HTTP request to a receiver: to a checked address, with a time-out, without redirects.
//!
//! Invariant: the connection goes to exactly the address that [`is_private`] checked, whatever the host name resolves
//! to a moment later. Of the answer to a webhook only the status is read; of the answer of a chat's service at most
//! [`REPLY_BYTES_MAX`] bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use url::{Host, Url};

use crate::https;

/// Time-out of a request, from the name look-up to the status.
pub const POST_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer is read, in bytes.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
/// How long the body of an answer may take after its status.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`, or else `RateLimit-Reset`: both are seconds.
    pub retry_after: Option<String>,
    /// The body; empty if it was too long or did not come in time.
    pub body: Bytes,
}

/// Why an event was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// TLS cannot be set up, or an authority of `webhooks.ca_file` cannot be used.
    #[error("webhooks over https")]
    Tls(#[from] https::TlsError),
    /// The URL has no usable host or port.
    #[error("{0} has no usable host or port")]
    Url(String),
    /// The host name cannot be resolved.
    #[error("the host name {0} cannot be resolved")]
    Name(String, #[source] std::io::Error),
    /// The host name resolves to a private address, which is not allowed.
    #[error(
        "{0} resolves to a private or loopback address; allow_private_addresses in [webhooks] permits that"
    )]
    Private(String),
    /// Plain http to a public address.
    #[error("{0} is plain http to a public address; use https")]
    Plain(String),
    /// No connection, or no TLS session.
    #[error("{0} cannot be reached")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// The HTTP exchange failed.
    #[error("the connection failed during the HTTP exchange")]
    Exchange(#[from] hyper::Error),
    /// The request timed out.
    #[error("no answer within {POST_TIMEOUT:?}")]
    Timeout,
    /// The receiver answered with another status than 2xx.
    #[error("the receiver answered {0}")]
    Status(u16),
}

/// The HTTP client; clones share the TLS configuration.
#[derive(Debug, Clone)]
pub struct WebhookClient {
    tls: Arc<ClientConfig>,
    allow_private: bool,
}

impl WebhookClient {
    /// A client that trusts the system's certificate authorities and these.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(allow_private: bool, authorities: &[CertificateDer<'static>]) -> Result<Self, PostError> {
        let config = https::client(authorities)?;
        Ok(Self { tls: Arc::new(config), allow_private })
    }

    /// Posts `body`; `Ok` means that the receiver answered 2xx.
    ///
    /// # Errors
    /// The receiver did not accept the body, or it is unknown whether it did.
    pub async fn post(&self, url: &Url, headers: &[(&str, String)], body: Bytes) -> Result<(), PostError> {
        match tokio::time::timeout(POST_TIMEOUT, self.exchange(url, headers, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PostError::Timeout),
        }
    }

    /// Posts `body` of a media type, and returns the answer, whatever its status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn request(
        &self,
        url: &Url,
        headers: &[(&str, String)],
        media_type: &str,
        body: Bytes,
    ) -> Result<Reply, PostError> {
        let request = request(url, headers, media_type, body)?;
        match tokio::time::timeout(POST_TIMEOUT, self.connect_and_send(url, request)).await {
            Ok(reply) => reply,
            Err(_) => Err(PostError::Timeout),
        }
    }

    async fn exchange(&self, url: &Url, headers: &[(&str, String)], body: Bytes) -> Result<(), PostError> {
        let request = request(url, headers, "application/json", body)?;
        let status = self.connect_and_send(url, request).await?.status;
        if (200..300).contains(&status) { Ok(()) } else { Err(PostError::Status(status)) }
    }

    async fn connect_and_send(&self, url: &Url, request: Request<Full<Bytes>>) -> Result<Reply, PostError> {
        let address = self.address(url).await?;
        let stream = TcpStream::connect(address).await.map_err(|error| PostError::Connect(address, error))?;
        if url.scheme() == "https" {
            let name = url.host().map(|host| match host {
                Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
                Host::Ipv4(ip) => Some(ServerName::from(IpAddr::V4(ip))),
                Host::Ipv6(ip) => Some(ServerName::from(IpAddr::V6(ip))),
            });
            let name = name.flatten().ok_or_else(|| unusable(url))?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(name, stream).await;
            send(stream.map_err(|error| PostError::Connect(address, error))?, request).await
        } else {
            send(stream, request).await
        }
    }

    /// The first resolved address that is allowed.
    async fn address(&self, url: &Url) -> Result<SocketAddr, PostError> {
        let (host, port) = (url.host(), url.port_or_known_default());
        let (Some(host), Some(port)) = (host, port) else { return Err(unusable(url)) };
        let found: Vec<SocketAddr> = match host {
            Host::Ipv4(ip) => vec![(ip, port).into()],
            Host::Ipv6(ip) => vec![(ip, port).into()],
            Host::Domain(name) => {
                let found = tokio::net::lookup_host((name, port)).await;
                found.map_err(|error| PostError::Name(name.to_owned(), error))?.collect()
            }
        };
        let plain = url.scheme() != "https";
        let mut refused = unusable(url);
        for address in found {
            match (is_private(address.ip()), plain) {
                (true, _) if !self.allow_private => refused = PostError::Private(host.to_string()),
                (false, true) => refused = PostError::Plain(host.to_string()),
                _ => return Ok(address),
            }
        }
        Err(refused)
    }
}

fn unusable(url: &Url) -> PostError {
    PostError::Url(url.host_str().unwrap_or_default().to_owned())
}

fn request(
    url: &Url,
    headers: &[(&str, String)],
    media_type: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, PostError> {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::post(target)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, media_type)
        .header(header::USER_AGENT, concat!("toritsugi/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(body)).map_err(|_| unusable(url))
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, PostError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers());
        let retry_after = headers.get(header::RETRY_AFTER).or_else(|| headers.get("ratelimit-reset"));
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), REPLY_BYTES_MAX).collect();
        // What is too long, or does not come, is no reason: the status says what became of the request.
        let body = match tokio::time::timeout(REPLY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        Ok::<_, PostError>(Reply { status, retry_after, body })
    };
    tokio::pin!(connection, exchange);
    // Request and connection run in this task, and both end with it.
    tokio::select! {
        biased;
        reply = &mut exchange => reply,
        ended = &mut connection => {
            ended?;
            exchange.await
        }
    }
}

/// Whether an address is not a public one: loopback, private, link-local, shared, multicast, reserved, or one of these
/// embedded in an IPv6 address.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || a == 100 && (64..128).contains(&b)
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || embedded_ipv4(ip).is_some_and(is_private)
        }
    }
}

/// The IPv4 address embedded in a NAT64 (64:ff9b::/96) or 6to4 (2002::/16) address.
fn embedded_ipv4(ip: Ipv6Addr) -> Option<IpAddr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let ipv4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::from([a, b, c, d]))
    };
    match (a, b, c, d, e, f) {
        (0x64, 0xff9b, 0, 0, 0, 0) => ipv4(g, h),
        (0x2002, ..) => ipv4(b, c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_form() {
        for text in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["203.0.113.9", "8.8.8.8", "100.128.0.1", "2001:db8::1", "64:ff9b::808:808"] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn nothing_is_posted_to_where_it_may_not_go() {
        let client = WebhookClient::new(false, &[]).unwrap();
        for (url, words) in [
            ("https://127.0.0.1:1/", "private or loopback"),
            ("http://[::1]:1/", "private or loopback"),
            ("http://localhost:1/", "private or loopback"),
            ("http://203.0.113.9/", "plain http"),
        ] {
            let error = client.post(&url.parse().unwrap(), &[], Bytes::new()).await.unwrap_err();
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
        let open = WebhookClient::new(true, &[]).unwrap();
        let error = open.post(&"http://127.0.0.1:1/".parse().unwrap(), &[], Bytes::new()).await.unwrap_err();
        assert!(matches!(error, PostError::Connect(..)), "{error}");
    }
}
