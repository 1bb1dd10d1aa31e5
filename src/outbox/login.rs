//! Who signs in at a mail server, and with what.
//!
//! | what is configured | the sign-in |
//! |---|---|
//! | a password | PLAIN or LOGIN over SMTP, LOGIN over IMAP |
//! | a file or a command with an OAuth 2.0 access token | XOAUTH2; the token is read for each sign-in, since it ends after about an hour |
//!
//! Invariants: a secret is in no log and no error. A command runs without a shell, gets nothing on its standard input, and is
//! ended after [`COMMAND_TIMEOUT`].

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use smol_str::SmolStr;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::smtp::chain;
use crate::secret::Secret;

/// How long a command may take to print a token.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
/// The server waits for another answer.
const CHALLENGED: u16 = 334;
/// Largest token.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// Who signs in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub user: SmolStr,
    /// What proves it.
    pub credential: Credential,
}

/// What proves a user.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A password.
    Password(Secret),
    /// An access token of OAuth 2.0.
    Token(TokenSource),
}

/// Where the present access token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The first line of a file, which another program renews.
    File(PathBuf),
    /// The first line that a command prints: the program and its arguments.
    Command(Vec<SmolStr>),
}

impl TokenSource {
    /// The present token.
    ///
    /// # Errors
    /// The reason, which names the file or the program and nothing that it holds or prints.
    pub async fn token(&self) -> Result<Secret, String> {
        let (text, origin) = match self {
            Self::File(file) => {
                let read = async {
                    let mut text = String::new();
                    let opened = tokio::fs::File::open(file).await?;
                    opened.take(TOKEN_BYTES_MAX).read_to_string(&mut text).await?;
                    Ok::<_, std::io::Error>(text)
                };
                let text =
                    read.await.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
                (text, file.display().to_string())
            }
            Self::Command(words) => (printed(words).await?, words.join(" ")),
        };
        let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
        let is_token = |line: &&str| line.bytes().all(|byte| byte.is_ascii_graphic());
        line.filter(is_token)
            .map(Secret::new)
            .ok_or_else(|| format!("{origin} gives no token: its first line must be one"))
    }
}

/// What a command prints.
async fn printed(words: &[SmolStr]) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("no command is set".into()) };
    let running = async {
        let mut command = Command::new(program.as_str());
        command.args(arguments.iter().map(SmolStr::as_str)).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
        let mut text = String::new();
        if let Some(output) = child.stdout.take() {
            let read = output.take(TOKEN_BYTES_MAX).read_to_string(&mut text).await;
            read.map_err(|_| format!("{program} does not print a token"))?;
        }
        let status = child.wait().await.map_err(|error| format!("{program}: {error}"))?;
        if status.success() { Ok(text) } else { Err(format!("{program} failed: {status}")) }
    };
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, running).await;
    ended.unwrap_or_else(|_| Err(format!("{program} does not end")))
}

/// Signs in over SMTP.
///
/// # Errors
/// The reason: the server's words, or why there is no token.
pub(super) async fn sign_in(connection: &mut AsyncSmtpConnection, login: &Login) -> Result<(), String> {
    let source = match &login.credential {
        Credential::Password(password) => {
            let credentials = Credentials::new(login.user.to_string(), password.expose().to_owned());
            let signed_in = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            return signed_in.map(drop).map_err(|error| chain(&error));
        }
        Credential::Token(source) => source,
    };
    if !connection.server_info().supports_auth_mechanism(Mechanism::Xoauth2) {
        return Err("the server does not offer XOAUTH2: set a password instead of a token".into());
    }
    let token = source.token().await?;
    let mut answer = connection.command(format!("AUTH XOAUTH2 {}\r\n", xoauth2(&login.user, &token))).await;
    if answer.as_ref().is_ok_and(|answer| u16::from(answer.code()) == CHALLENGED) {
        // It says why in a challenge, and refuses after an empty answer.
        answer = connection.command("\r\n").await;
    }
    match answer {
        Ok(answer) if u16::from(answer.code()) == CHALLENGED => Err("the server refuses the token".into()),
        answered => answered.map(drop).map_err(|error| chain(&error)),
    }
}

/// The first answer of XOAUTH2.
pub(super) fn xoauth2(user: &str, token: &Secret) -> String {
    STANDARD.encode(format!("user={user}\u{1}auth=Bearer {}\u{1}\u{1}", token.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> TokenSource {
        TokenSource::Command(words.iter().map(SmolStr::new).collect())
    }

    #[tokio::test]
    async fn a_token_is_the_first_line_of_a_file_or_of_what_a_command_prints() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "ya29.abc\nmore\n").unwrap();
        let source = TokenSource::File(file.clone());
        assert_eq!(source.token().await, Ok(Secret::new("ya29.abc")));
        std::fs::write(&file, "ya29.next\n").unwrap();
        assert_eq!(source.token().await, Ok(Secret::new("ya29.next")), "it is read for each sign-in");
        let printing = command(&["printf", "%s\\n%s\\n", "ya29.command", "hunter2"]);
        assert_eq!(printing.token().await, Ok(Secret::new("ya29.command")));
        for (source, words) in [
            (TokenSource::File(directory.path().join("none")), "cannot be read"),
            (command(&["/nowhere/token"]), "cannot be run"),
            (command(&["false"]), "false failed"),
            (command(&["true"]), "gives no token"),
            (command(&["printf", "two words"]), "gives no token"),
        ] {
            let error = source.token().await.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let login = Login { user: "u".into(), credential: Credential::Password(Secret::new("hunter2")) };
        assert!(!format!("{login:?}").contains("hunter2"));
        let first = STANDARD.decode(xoauth2("a@example.jp", &Secret::new("t"))).unwrap();
        assert_eq!(first, b"user=a@example.jp\x01auth=Bearer t\x01\x01");
    }
}
