//! One SMTP connection: its phases, how long each may take, and what a failure in each means.
//!
//! | phase | time-out | a refusal or a broken connection means |
//! |---|---|---|
//! | connect | 10 s | the server refuses everybody |
//! | greeting, EHLO, TLS, sign-in, MAIL | 60 s each | the server refuses everybody |
//! | RCPT | 60 s | 5xx: the recipient is refused; else: not now |
//! | DATA | 120 s | 5xx: the recipient is refused; else: not now |
//! | the mail and the answer to its last byte | 180 s and 600 s (RFC 5321, 4.5.3.2) | 5xx: the recipient is refused; 4xx: not now; no answer: it may have been taken |
//! | 421 in any phase | | the server refuses everybody |
//!
//! Invariants: nothing of a mail leaves before the connection is encrypted as configured, and a password goes over an encrypted
//! connection or to a private address. A server that writes without end is cut off at [`UNASKED_BYTES_MAX`].
//!
//! Why 600 s for the last answer: a server that takes long to store a mail has it all the same, and a shorter wait makes a
//! duplicate.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, MailParameter, RcptParameter};
use lettre::transport::smtp::response::Response;
use serde::Deserialize;
use smol_str::SmolStr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::login::{Login, sign_in};
use crate::delivery::DeliveryInput;
use crate::mail::{MailAddress, status_in};
use crate::webhook::is_private;

/// Most bytes that a server may write without being asked for more: a chain of certificates, but no endless list, which
/// lettre would read again from its start with each line.
const UNASKED_BYTES_MAX: usize = 32 * 1024;

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// After STARTTLS; a server that does not offer it gets no mail.
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all: loopback and private addresses only.
    None,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its host name or address.
    pub host: SmolStr,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// The name in its certificate.
    pub tls_name: SmolStr,
    /// Certificates (PEM) trusted in addition to the system's.
    pub authorities: Option<Vec<u8>>,
    /// Who signs in; nobody if absent.
    pub login: Option<Login>,
    /// How the daemon calls itself; the machine's name if absent.
    pub hello_name: Option<SmolStr>,
}

/// How long each phase may take.
#[derive(Debug, Clone, Copy)]
pub struct PhaseTimeouts {
    /// The TCP connection.
    pub connect: Duration,
    /// Greeting and EHLO, TLS, the sign-in, MAIL and RCPT, each.
    pub command: Duration,
    /// The go-ahead for the mail.
    pub data: Duration,
    /// The mail, and the answer to its last byte.
    pub message: Duration,
}

impl Default for PhaseTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            command: Duration::from_secs(60),
            data: Duration::from_secs(120),
            message: Duration::from_secs(180 + 600),
        }
    }
}

/// The server refuses everybody, for the reason in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct ServerRefusal(pub(super) String);

/// What became of a mail that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SendFailure {
    /// The recipient is refused, or not now, or it is unknown.
    OfDelivery(DeliveryInput),
    /// The server refuses everybody; the mail was not sent.
    OfServer(ServerRefusal),
    /// A connection that was open before has ended; the mail was not sent.
    Stale,
}

/// What a test of the server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// Whether somebody signed in.
    pub is_signed_in: bool,
}

impl Server {
    /// Whether the certificates can be read.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), String> {
        self.tls_parameters().map(drop)
    }

    fn tls_parameters(&self) -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(self.tls_name.to_string());
        if let Some(pem) = &self.authorities {
            if !pem.windows(b"-----BEGIN CERTIFICATE".len()).any(|at| at == b"-----BEGIN CERTIFICATE") {
                return Err("it holds no PEM certificate".into());
            }
            let certificate = Certificate::from_pem(pem).map_err(|error| chain(&error))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build_rustls().map_err(|error| chain(&error))
    }

    fn client_id(&self) -> ClientId {
        self.hello_name.as_ref().map_or_else(ClientId::default, |name| ClientId::Domain(name.to_string()))
    }
}

/// Connects, signs in, and asks whether the server takes mails from `from`; sends nothing.
///
/// # Errors
/// The reason, with the phase.
pub async fn probe(server: &Server, from: &MailAddress) -> Result<ProbeReport, String> {
    begun(server, from).await?.close().await;
    Ok(ProbeReport { is_encrypted: server.tls != TlsMode::None, is_signed_in: server.login.is_some() })
}

/// As [`probe`], and asks whether the server takes a mail to `to`: its words if it does not.
///
/// # Errors
/// The reason, with the phase.
pub async fn probe_recipient(
    server: &Server,
    from: &MailAddress,
    to: &MailAddress,
) -> Result<Option<String>, String> {
    let mut connection = begun(server, from).await?;
    let recipient = Rcpt::new(envelope(to), Vec::new());
    let refusal = match timeout(connection.timeouts.command, connection.inner.command(recipient)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) if error.status().is_some() => Some(chain(&error)),
        Ok(Err(error)) => return Err(format!("RCPT: {}", chain(&error))),
        Err(_) => return Err("it does not answer RCPT".into()),
    };
    connection.close().await;
    Ok(refusal)
}

/// A connection over which the server has taken the sender of a mail.
async fn begun(server: &Server, from: &MailAddress) -> Result<SmtpConnection, String> {
    let mut connection =
        SmtpConnection::open(server, PhaseTimeouts::default()).await.map_err(|error| error.to_string())?;
    let mail = Mail::new(Some(envelope(from)), Vec::new());
    match timeout(connection.timeouts.command, connection.inner.command(mail)).await {
        Ok(Ok(_)) => Ok(connection),
        Ok(Err(error)) => Err(format!("it does not take mails from {from}: {}", chain(&error))),
        Err(_) => Err("it does not answer MAIL".into()),
    }
}

/// From where a mail goes, and where to.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    /// Who gets what comes back.
    pub(super) from: MailAddress,
    /// What a report says about which mail it is (RFC 3461), where the server offers reports.
    pub(super) id: Option<String>,
    /// The recipient.
    pub(super) to: MailAddress,
}

/// A connection that may send.
pub(super) struct SmtpConnection {
    inner: AsyncSmtpConnection,
    timeouts: PhaseTimeouts,
    /// Mails that were tried over it.
    pub(super) used: u32,
    /// Whether each command has had its answer: a late one would be taken for that of the next command.
    is_in_step: bool,
    /// How the daemon calls itself.
    hello: ClientId,
    /// Whether the server offers reports (DSN); unknown until it was asked.
    offers_reports: Option<bool>,
}

impl SmtpConnection {
    /// Connects, encrypts and signs in.
    pub(super) async fn open(server: &Server, timeouts: PhaseTimeouts) -> Result<Self, ServerRefusal> {
        let refused = |phase: &str, error: String| ServerRefusal(format!("{phase}: {error}"));
        let hello = server.client_id();
        let tls = match server.tls {
            TlsMode::None => None,
            TlsMode::Starttls | TlsMode::Tls => {
                Some(server.tls_parameters().map_err(|error| refused("TLS", error))?)
            }
        };
        let mut inner = match (server.tls, tls.clone()) {
            (TlsMode::Tls, Some(tls)) => {
                let address = (server.host.as_str(), server.port);
                let connecting = AsyncSmtpConnection::connect_tokio1(
                    address,
                    Some(timeouts.connect),
                    &hello,
                    Some(tls),
                    None,
                );
                within(timeouts.command, "connection, TLS and greeting", connecting).await?
            }
            (mode, _) => {
                let connecting = timeout(timeouts.connect, connect(server, mode == TlsMode::None));
                let stream = connecting
                    .await
                    .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
                    .map_err(|error| refused("connection", error.to_string()))?;
                let stream = Box::new(LimitedStream { stream, unasked: 0 });
                let greeting = AsyncSmtpConnection::connect_with_transport(stream, &hello);
                within(timeouts.command, "greeting and EHLO", greeting).await?
            }
        };
        if let (TlsMode::Starttls, Some(tls)) = (server.tls, tls) {
            if !inner.can_starttls() {
                let reason =
                    "the server does not offer STARTTLS, so nothing is sent: correct mail.tls or mail.port";
                return Err(refused("TLS", reason.into()));
            }
            within(timeouts.command, "TLS", inner.starttls(tls, &hello)).await?;
        }
        if let Some(login) = &server.login {
            let signed_in = timeout(timeouts.command, sign_in(&mut inner, login)).await;
            let signed_in = signed_in.unwrap_or_else(|_| Err("no answer in time".into()));
            signed_in.map_err(|error| refused("sign-in", error))?;
        }
        Ok(Self { inner, timeouts, used: 0, is_in_step: true, hello, offers_reports: None })
    }

    /// Sends one mail to one recipient; returns what the server said.
    pub(super) async fn send(&mut self, to_whom: &Envelope, mail: &[u8]) -> Result<String, SendFailure> {
        let is_first = self.used == 0;
        self.used += 1;
        if !is_first {
            // A server may have closed an idle connection, which is nobody's failure.
            match timeout(self.timeouts.command, self.inner.command(Rset)).await {
                Ok(Ok(_)) => {}
                _ => return Err(SendFailure::Stale),
            }
        }
        let (command, data) = (self.timeouts.command, self.timeouts.data);
        let (mut of_mail, mut of_recipient) = (Vec::new(), Vec::new());
        if let Some(id) = to_whom.id.clone()
            && self.offers_reports().await
        {
            of_mail.push(MailParameter::Other { keyword: "ENVID".into(), value: Some(id) });
            let value = Some("FAILURE,DELAY".into());
            of_recipient.push(RcptParameter::Other { keyword: "NOTIFY".into(), value });
        }
        let sender = Mail::new(Some(envelope(&to_whom.from)), of_mail);
        let of_server = |refusal| SendFailure::OfServer(refusal);
        within(command, "MAIL", self.inner.command(sender)).await.map_err(of_server)?;
        let recipient = Rcpt::new(envelope(&to_whom.to), of_recipient);
        let answered = timeout(command, self.inner.command(recipient)).await;
        self.before_the_mail("RCPT", answered)?;
        let answered = timeout(data, self.inner.command(Data)).await;
        self.before_the_mail("DATA", answered)?;
        match timeout(self.timeouts.message, self.inner.message(mail)).await {
            Ok(Ok(response)) => Ok(words(&response)),
            Ok(Err(error)) if error.status().is_some() => Err(refusal(&error)),
            Ok(Err(error)) => {
                self.is_in_step = false;
                Err(unknown(&chain(&error)))
            }
            Err(_) => {
                self.is_in_step = false;
                Err(unknown("no answer to the mail in time"))
            }
        }
    }

    /// Whether the server offers reports. lettre does not keep that line of the answer to EHLO, so it is asked again, once.
    async fn offers_reports(&mut self) -> bool {
        if let Some(known) = self.offers_reports {
            return known;
        }
        let asked = timeout(self.timeouts.command, self.inner.command(Ehlo::new(self.hello.clone()))).await;
        let offers = match asked {
            Ok(Ok(answer)) => answer
                .message()
                .any(|line| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("DSN"))),
            Ok(Err(_)) => false,
            Err(_) => {
                self.is_in_step = false;
                false
            }
        };
        *self.offers_reports.insert(offers)
    }

    /// Whether the connection can be used for another mail.
    pub(super) fn is_usable(&self) -> bool {
        self.is_in_step && !self.inner.has_broken()
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.inner.quit()).await;
    }

    fn before_the_mail(
        &mut self,
        phase: &str,
        answered: Result<Result<Response, lettre::transport::smtp::Error>, tokio::time::error::Elapsed>,
    ) -> Result<(), SendFailure> {
        let deferred = |error: String| {
            SendFailure::OfDelivery(DeliveryInput::Deferred {
                error: format!("{phase}: {error}"),
                status: None,
            })
        };
        match answered {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(refusal(&error)),
            unanswered => {
                self.is_in_step = false;
                let error = unanswered.map(|answer| answer.err().map(|error| chain(&error)));
                Err(deferred(error.ok().flatten().unwrap_or_else(|| "no answer in time".into())))
            }
        }
    }
}

/// The outcome of a phase in which any failure is the server's.
async fn within<T>(
    limit: Duration,
    phase: &str,
    attempt: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, ServerRefusal> {
    match timeout(limit, attempt).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(ServerRefusal(format!("{phase}: {}", chain(&error)))),
        Err(_) => Err(ServerRefusal(format!("{phase}: no answer in time"))),
    }
}

/// What a 4xx or 5xx answer about this mail means.
fn refusal(error: &lettre::transport::smtp::Error) -> SendFailure {
    let text = chain(error);
    let code = error.status().map_or(0, u16::from);
    if code == 421 {
        return SendFailure::OfServer(ServerRefusal(text));
    }
    let status = status_in(&text);
    SendFailure::OfDelivery(if error.is_permanent() {
        DeliveryInput::Refused { error: text, status }
    } else {
        DeliveryInput::Deferred { error: text, status }
    })
}

fn unknown(error: &str) -> SendFailure {
    SendFailure::OfDelivery(DeliveryInput::Unknown { error: format!("after the mail was sent: {error}") })
}

/// The code and the words of an answer.
fn words(response: &Response) -> String {
    format!("{} {}", response.code(), response.message().collect::<Vec<_>>().join(" "))
}

/// The answer of the server, or the error with its causes, on one line.
pub(super) fn chain(error: &lettre::transport::smtp::Error) -> String {
    let mut text = match error.status() {
        Some(code) => code.to_string(),
        None => String::new(),
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        if !text.is_empty() {
            text.push_str(if error.status().is_some() { " " } else { ": " });
        }
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

fn envelope(address: &MailAddress) -> Address {
    Address::new_dangerous(address.wire_local(), address.domain())
}

/// Connects to the first address that may be used.
async fn connect(server: &Server, must_be_private: bool) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in tokio::net::lookup_host((server.host.as_str(), server.port)).await? {
        if must_be_private && !is_private(address.ip()) {
            error = io::Error::new(
                io::ErrorKind::PermissionDenied,
                "mail.tls is \"none\", which is for loopback and private addresses: set \"starttls\" or \"tls\"",
            );
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(cause) => error = cause,
        }
    }
    Err(error)
}

/// A connection on which the server may write only so much before the daemon writes again.
#[derive(Debug)]
struct LimitedStream {
    stream: TcpStream,
    unasked: usize,
}

impl AsyncTokioStream for LimitedStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unasked > UNASKED_BYTES_MAX {
            let error = io::Error::new(io::ErrorKind::InvalidData, "the server writes without end");
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.unasked += buffer.filled().len() - before;
        polled
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unasked = 0;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each line of the client with the next of these texts, the first one at once; after the last it
    /// is silent. `DATA` needs one text for the go-ahead and one for the end of the mail.
    async fn server(answers: Vec<String>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            let mut is_mail = false;
            for answer in answers {
                if writer.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                is_mail |= answer.starts_with("354");
                while let Ok(Some(line)) = lines.next_line().await {
                    if !is_mail || line == "." {
                        break;
                    }
                }
            }
            let _ = lines.next_line().await;
        });
        Server {
            host: "127.0.0.1".into(),
            port,
            tls: TlsMode::None,
            tls_name: "localhost".into(),
            authorities: None,
            login: None,
            hello_name: Some("test.example.jp".into()),
        }
    }

    /// What becomes of a mail to a server that says this.
    async fn outcome(answers: &[&str]) -> Result<String, SendFailure> {
        let server = server(answers.iter().map(|answer| (*answer).to_owned()).collect()).await;
        let short = Duration::from_millis(300);
        let timeouts =
            PhaseTimeouts { command: short, data: short, message: short, ..PhaseTimeouts::default() };
        let mut connection = SmtpConnection::open(&server, timeouts).await.map_err(SendFailure::OfServer)?;
        let (from, to) = ("report@example.jp".parse().unwrap(), "a..b@docomo.ne.jp".parse().unwrap());
        connection.send(&Envelope { from, id: None, to }, b"Subject: x\r\n\r\n.\r\n").await
    }

    const HELLO: [&str; 2] = ["220 hello\r\n", "250 hello\r\n"];

    async fn after_hello(answers: &[&str]) -> Result<String, SendFailure> {
        outcome(&[&HELLO, answers].concat()).await
    }

    #[tokio::test]
    async fn each_phase_decides_whose_failure_it_is() {
        assert_eq!(
            after_hello(&["250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 2.0.0 queued\r\n"]).await,
            Ok("250 2.0.0 queued".into())
        );
        let refused = |error: &str, status: Option<&str>| {
            let (error, status) = (error.to_owned(), status.map(str::to_owned));
            Err(SendFailure::OfDelivery(DeliveryInput::Refused { error, status }))
        };
        let deferred = |error: &str, status: Option<&str>| {
            let (error, status) = (error.to_owned(), status.map(str::to_owned));
            Err(SendFailure::OfDelivery(DeliveryInput::Deferred { error, status }))
        };
        let of_server = |error: &str| Err(SendFailure::OfServer(ServerRefusal(error.to_owned())));
        for (answers, expected) in [
            (&["550 5.7.1 not you\r\n"][..], of_server("MAIL: 550 5.7.1 not you")),
            (&["451 4.3.0 busy\r\n"], of_server("MAIL: 451 4.3.0 busy")),
            (&["250 ok\r\n", "550 5.1.1 who\r\n"], refused("550 5.1.1 who", Some("5.1.1"))),
            (&["250 ok\r\n", "450 grey\r\n"], deferred("450 grey", None)),
            (&["250 ok\r\n", "421 4.3.2 bye\r\n"], of_server("421 4.3.2 bye")),
            (&["250 ok\r\n", "250 ok\r\n", "554 5.5.1 no\r\n"], refused("554 5.5.1 no", Some("5.5.1"))),
            (
                &["250 ok\r\n", "250 ok\r\n", "354 go\r\n", "552 5.3.4 too big\r\n"],
                refused("552 5.3.4 too big", Some("5.3.4")),
            ),
            (
                &["250 ok\r\n", "250 ok\r\n", "354 go\r\n", "452 4.3.1 full\r\n"],
                deferred("452 4.3.1 full", Some("4.3.1")),
            ),
            (&["250 ok\r\n"], deferred("RCPT: no answer in time", None)),
            (&["250 ok\r\n", "250 ok\r\n"], deferred("DATA: no answer in time", None)),
            (&[], of_server("MAIL: no answer in time")),
        ] {
            assert_eq!(after_hello(answers).await, expected, "{answers:?}");
        }
        let silent = after_hello(&["250 ok\r\n", "250 ok\r\n", "354 go\r\n"]).await;
        assert!(matches!(silent, Err(SendFailure::OfDelivery(DeliveryInput::Unknown { .. }))), "{silent:?}");
    }

    #[tokio::test]
    async fn a_server_that_lies_or_never_stops_is_left() {
        let endless = "2".repeat(2 * UNASKED_BYTES_MAX);
        let long = format!("220 {}\r\n", "x".repeat(5_000));
        let many = "250-x\r\n".repeat(200_000);
        for (answers, words) in [
            (vec![endless.as_str()], "greeting and EHLO"),
            (vec![long.as_str()], "greeting and EHLO"),
            (vec!["220 hello\r\n", many.as_str()], "greeting and EHLO"),
            (vec!["HTTP/1.1 400 Bad Request\r\n\r\n"], "greeting and EHLO"),
            (vec![""], "no answer in time"),
            (vec!["554 5.7.1 go away\r\n"], "554 5.7.1 go away"),
        ] {
            let left = outcome(&answers).await;
            let Err(SendFailure::OfServer(refusal)) = left else { panic!("{left:?}") };
            assert!(refusal.0.contains(words), "{refusal}");
        }
    }

    #[tokio::test]
    async fn without_encryption_only_private_addresses_are_used() {
        let server = Server { host: "203.0.113.1".into(), ..server(Vec::new()).await };
        let refused = SmtpConnection::open(&server, PhaseTimeouts::default()).await.err().unwrap();
        assert!(refused.0.contains("mail.tls is \"none\""), "{refused}");
    }
}
