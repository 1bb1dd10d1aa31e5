//! The part of IMAP (RFC 3501, RFC 6851) that a mailbox of returned mails needs: sign in, list, fetch, move, sign out.
//!
//! | limit | |
//! |---|---|
//! | a command and its answer | [`COMMAND_TIMEOUT`] |
//! | a line | [`LINE_BYTES_MAX`] |
//! | a mail | its first [`RETURNED_BYTES_MAX`] bytes |
//!
//! Invariant: a password goes over TLS, or to a loopback or private address. Text of ours stands in a command quoted, so none ends it.
//!
//! Why no library: those at hand bring a second clock library or are previews.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::TlsMode;
use super::login::{Credential, Login, xoauth2};
use crate::mail::RETURNED_BYTES_MAX;
use crate::webhook::is_private;

/// How long a command and its answer may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest line of an answer: a list of uids.
const LINE_BYTES_MAX: u64 = 256 * 1024;
/// Most lines of an answer.
const LINES_MAX: usize = 10_000;

/// A mailbox of returned mails.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// The host name or address of its server.
    pub host: SmolStr,
    /// The port.
    pub port: u16,
    /// How the connection is encrypted; `Starttls` is not for IMAP.
    pub tls: TlsMode,
    /// Whom the connection trusts.
    pub trust: Arc<ClientConfig>,
    /// Who signs in.
    pub login: Login,
    /// The folder.
    pub folder: SmolStr,
    /// How often it is read.
    pub poll_interval: Duration,
}

/// Why the mailbox cannot be read, for the administrator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ImapError(String);

impl From<io::Error> for ImapError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Signs in, opens the folder, and counts its mails; changes nothing.
///
/// # Errors
/// The reason, with the phase.
pub async fn probe_mailbox(mailbox: &Mailbox) -> Result<usize, ImapError> {
    let mut connection = ImapConnection::open(mailbox).await?;
    let count = connection.uids(LINES_MAX).await?.len();
    connection.close().await;
    Ok(count)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A signed-in connection with its folder open.
pub(super) struct ImapConnection {
    stream: BufReader<Pin<Box<dyn Stream>>>,
    next_tag: u32,
    can_move: bool,
}

/// One part of an answer: its text, and what stood in it as a literal.
#[derive(Debug, Default)]
struct Untagged {
    text: String,
    literal: Option<Vec<u8>>,
}

impl ImapConnection {
    /// Connects, signs in and opens the folder.
    pub(super) async fn open(mailbox: &Mailbox) -> Result<Self, ImapError> {
        let connecting = timeout(COMMAND_TIMEOUT, connect(mailbox));
        let stream = connecting.await.map_err(|_| ImapError("connection: no answer in time".into()))??;
        let mut connection = Self { stream: BufReader::new(stream), next_tag: 1, can_move: false };
        let greeting = timeout(COMMAND_TIMEOUT, connection.read_part()).await;
        let greeting = greeting.map_err(|_| ImapError("greeting: no answer in time".into()))??;
        if !greeting.text.starts_with("* OK") {
            return Err(ImapError(format!("greeting: {}", greeting.text)));
        }
        let signed_in = timeout(COMMAND_TIMEOUT, connection.sign_in(&mailbox.login)).await;
        let signed_in = signed_in.unwrap_or_else(|_| Err(ImapError("no answer in time".into())));
        signed_in.map_err(|error| ImapError(format!("sign-in: {error}")))?;
        let capabilities = connection.command("capabilities", "CAPABILITY").await?;
        connection.can_move = capabilities
            .iter()
            .any(|part| part.text.split(' ').any(|word| word.eq_ignore_ascii_case("MOVE")));
        connection.command("folder", &format!("SELECT {}", quoted(&mailbox.folder))).await?;
        Ok(connection)
    }

    async fn sign_in(&mut self, login: &Login) -> Result<(), ImapError> {
        let source = match &login.credential {
            Credential::Password(password) => {
                let (user, password) = (quoted(&login.user), quoted(password.expose()));
                return self.exchange(&format!("LOGIN {user} {password}")).await.map(drop);
            }
            Credential::Token(source) => source,
        };
        let token = source.token().await.map_err(ImapError)?;
        let tag = format!("t{}", self.next_tag);
        self.next_tag += 1;
        self.write(&format!("{tag} AUTHENTICATE XOAUTH2")).await?;
        // The first time the server waits for the token; if it asks again, it says why it refuses that.
        let mut answers = [xoauth2(&login.user, &token), String::new()].into_iter();
        for _ in 0..LINES_MAX {
            let part = self.read_part().await?;
            if let Some(result) = part.text.strip_prefix(&format!("{tag} ")) {
                return if result.starts_with("OK") { Ok(()) } else { Err(ImapError(result.to_owned())) };
            }
            if part.text.starts_with('+') {
                let answer =
                    answers.next().ok_or_else(|| ImapError("the server refuses the token".into()))?;
                self.write(&answer).await?;
            }
        }
        Err(ImapError("the server writes without end".into()))
    }

    async fn write(&mut self, line: &str) -> Result<(), ImapError> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    /// The uids of the mails in the folder, the oldest first; at most `mails_max`.
    pub(super) async fn uids(&mut self, mails_max: usize) -> Result<Vec<u32>, ImapError> {
        let answer = self.command("search", "UID SEARCH UNDELETED").await?;
        let lists = answer.iter().filter_map(|part| part.text.strip_prefix("* SEARCH"));
        let mut uids: Vec<u32> =
            lists.flat_map(str::split_whitespace).filter_map(|uid| uid.parse().ok()).collect();
        uids.sort_unstable();
        uids.truncate(mails_max);
        Ok(uids)
    }

    /// The first bytes of a mail; `None` if it is gone.
    pub(super) async fn fetch(&mut self, uid: u32) -> Result<Option<Vec<u8>>, ImapError> {
        let answer =
            self.command("fetch", &format!("UID FETCH {uid} (BODY.PEEK[]<0.{RETURNED_BYTES_MAX}>)")).await?;
        Ok(answer.into_iter().find_map(|part| part.literal))
    }

    /// Moves a mail into another folder, which is made if there is none.
    pub(super) async fn move_to(&mut self, uid: u32, folder: &str) -> Result<(), ImapError> {
        let folder = quoted(folder);
        let command = if self.can_move { "MOVE" } else { "COPY" };
        let moving = format!("UID {command} {uid} {folder}");
        if self.command("move", &moving).await.is_err() {
            // The folder may be there; then the second attempt says what is wrong.
            let _ = self.command("folder", &format!("CREATE {folder}")).await;
            self.command("move", &moving).await?;
        }
        if !self.can_move {
            self.command("move", &format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await?;
            self.command("move", "EXPUNGE").await?;
        }
        Ok(())
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.command("sign-out", "LOGOUT")).await;
    }

    async fn command(&mut self, phase: &str, command: &str) -> Result<Vec<Untagged>, ImapError> {
        let answered = timeout(COMMAND_TIMEOUT, self.exchange(command)).await;
        answered
            .map_err(|_| ImapError(format!("{phase}: no answer in time")))?
            .map_err(|error| ImapError(format!("{phase}: {error}")))
    }

    async fn exchange(&mut self, command: &str) -> Result<Vec<Untagged>, ImapError> {
        let tag = format!("t{}", self.next_tag);
        self.next_tag += 1;
        self.write(&format!("{tag} {command}")).await?;
        let mut parts = Vec::new();
        while parts.len() < LINES_MAX {
            let part = self.read_part().await?;
            if let Some(result) = part.text.strip_prefix(&format!("{tag} ")) {
                return if result.starts_with("OK") { Ok(parts) } else { Err(ImapError(result.to_owned())) };
            }
            if part.text.starts_with("* BYE") && command != "LOGOUT" {
                return Err(ImapError(part.text));
            }
            parts.push(part);
        }
        Err(ImapError("the server writes without end".into()))
    }

    /// One line, with the literal that it announces and what follows that.
    async fn read_part(&mut self) -> Result<Untagged, ImapError> {
        let mut part = Untagged::default();
        for _ in 0..LINES_MAX {
            let line = self.read_line().await?;
            let length = line
                .strip_suffix('}')
                .and_then(|line| line.rsplit_once('{'))
                .and_then(|(_, length)| length.trim_end_matches('+').parse::<usize>().ok());
            part.text.push_str(&line);
            let Some(length) = length else { return Ok(part) };
            if length > RETURNED_BYTES_MAX {
                return Err(ImapError(format!("a mail of {length} bytes was not asked for")));
            }
            let mut literal = vec![0; length];
            self.stream.read_exact(&mut literal).await?;
            // The first one is the mail.
            part.literal.get_or_insert(literal);
        }
        Err(ImapError("the server writes without end".into()))
    }

    async fn read_line(&mut self) -> Result<String, ImapError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).await?;
        match line.strip_suffix(b"\n") {
            Some(whole) => {
                Ok(String::from_utf8_lossy(whole.strip_suffix(b"\r").unwrap_or(whole)).into_owned())
            }
            None if line.is_empty() => Err(ImapError("the server closed the connection".into())),
            None => Err(ImapError("a line is too long, or the connection ended in it".into())),
        }
    }
}

/// A string of IMAP. Control characters cannot stand in one.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

async fn connect(mailbox: &Mailbox) -> Result<Pin<Box<dyn Stream>>, ImapError> {
    let refused = |error: &dyn std::fmt::Display| ImapError(format!("connection: {error}"));
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((mailbox.host.as_str(), mailbox.port))
        .await
        .map_err(|error| refused(&error))?
        .collect();
    let mut last = refused(&"the host name has no address");
    for address in addresses {
        if mailbox.tls == TlsMode::None && !is_private(address.ip()) {
            last = refused(
                &"mail.imap.tls is \"none\", which is for loopback and private addresses: set \"tls\"",
            );
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                if mailbox.tls == TlsMode::None {
                    return Ok(Box::pin(stream));
                }
                let name = ServerName::try_from(mailbox.host.to_string())
                    .map_err(|_| refused(&"mail.imap.host is no name that a certificate can have"))?;
                let connector = TlsConnector::from(Arc::clone(&mailbox.trust));
                let stream = connector.connect(name, stream).await;
                return Ok(Box::pin(stream.map_err(|error| ImapError(format!("TLS: {error}")))?));
            }
            Err(error) => last = refused(&error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncBufReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::secret::Secret;

    /// A server that greets, and answers each command with the next of these texts; `TAG` stands for the command's tag.
    async fn server(answers: Vec<&'static str>) -> Mailbox {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            writer.write_all(b"* OK ready\r\n").await.unwrap();
            for answer in answers {
                let Ok(Some(line)) = lines.next_line().await else { return };
                let tag = line.split(' ').next().unwrap();
                writer.write_all(answer.replace("TAG", tag).as_bytes()).await.unwrap();
            }
        });
        Mailbox {
            host: "127.0.0.1".into(),
            port,
            tls: TlsMode::None,
            trust: Arc::new(crate::https::client(&[]).unwrap()),
            login: Login { user: "bounce".into(), credential: Credential::Password(Secret::new("a\"b")) },
            folder: "INBOX".into(),
            poll_interval: Duration::from_secs(30),
        }
    }

    const SIGNED_IN: [&str; 3] =
        ["TAG OK\r\n", "* CAPABILITY IMAP4rev1 MOVE\r\nTAG OK\r\n", "* 2 EXISTS\r\nTAG OK [READ-WRITE]\r\n"];

    #[tokio::test]
    async fn a_mail_is_listed_fetched_and_moved() {
        let mut answers = SIGNED_IN.to_vec();
        answers.extend([
            "* SEARCH 9 4\r\nTAG OK\r\n",
            "* 1 FETCH (UID 4 BODY[]<0> {9}\r\na\r\n{3}\r\nb)\r\nTAG OK\r\n",
            "TAG NO [TRYCREATE] no such folder\r\n",
            "TAG OK\r\n",
            "TAG OK\r\n",
            "TAG OK\r\n",
        ]);
        let mut connection = ImapConnection::open(&server(answers).await).await.unwrap();
        assert_eq!(connection.uids(10).await.unwrap(), [4, 9]);
        assert_eq!(connection.fetch(4).await.unwrap().unwrap(), b"a\r\n{3}\r\nb");
        connection.move_to(4, "Done").await.unwrap();
        assert_eq!(connection.fetch(9).await.unwrap(), None, "it is gone");
    }

    #[tokio::test]
    async fn a_server_that_refuses_or_writes_without_end_is_left() {
        for (answers, words) in [
            (vec!["TAG NO wrong password\r\n"], "sign-in: NO wrong password"),
            (vec!["* BYE overloaded\r\n"], "sign-in: * BYE overloaded"),
            ([&SIGNED_IN[..2], &["TAG NO no such folder\r\n"]].concat(), "folder: NO no such folder"),
            (vec!["* 1 FETCH (BODY[] {99999999}\r\n"], "99999999 bytes"),
            (vec!["TAG"], "a line is too long"),
        ] {
            let error = ImapConnection::open(&server(answers).await).await.err().unwrap();
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(quoted("a\"b\\c\r\nt2 DELETE"), "\"a\\\"b\\\\ct2 DELETE\"");
    }
}
