//! The HTTP client of the commands that send requests to a running daemon.
//!
//! It uses a token and the address of the daemon: that of `--url`, else `gateway.listen` of the configuration. A daemon
//! behind a proxy is reached over https; its certificate is checked. Every failure becomes an error of one line that says
//! what to do.
//!
//! Invariant: the token comes from a file or the environment, never from the command line, which every user of the
//! machine can read. It is sent to the given address only: redirects are not followed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::CertificateDer;
use toritsugi::https;
use toritsugi::secret::Secret;

use super::Global;
use super::output::plain;

/// The environment variable with the token; used if no token file is named.
const TOKEN_ENV: &str = "TORITSUGI_TOKEN";
/// Timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a complete answer. An event stream has none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Characters of an answer that are shown if it is not a problem document.
const EXCERPT_CHARS_MAX: usize = 200;
/// Most ids that an error names.
const IDS_SHOWN_MAX: usize = 5;

/// The address of the daemon and the token.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// The address of the daemon [default: gateway.listen of the configuration].
    #[arg(long, env = "TORITSUGI_URL", value_name = "URL")]
    url: Option<Url>,
    /// The file whose first line is your token; without a file, the variable TORITSUGI_TOKEN holds the token.
    #[arg(long, env = "TORITSUGI_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file (PEM) with certificate authorities to trust besides the system's, for https with a private certificate.
    #[arg(long, env = "TORITSUGI_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl ClientArgs {
    /// Reads the token and builds a client; opens no connection.
    pub(crate) fn client(&self, global: &Global) -> anyhow::Result<Client> {
        let token = match &self.token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read the token file {}", file.display()))?;
                text.lines().next().unwrap_or_default().trim().to_owned()
            }
            None => std::env::var(TOKEN_ENV).unwrap_or_default(),
        };
        if token.is_empty() {
            bail!("no token: put one into a file and name the file with --token-file, or set {TOKEN_ENV}");
        }
        let url = match &self.url {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{}", global.daemon_address()?))?,
        };
        Client::new(url, Secret::new(token), self.ca_file.as_deref())
    }
}

/// A client with the permissions of one token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

/// Where the ids stand that people see: for [`Client::whole_id`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    /// One of the records, for messages.
    pub(crate) what: &'static str,
    /// The lists that have them.
    pub(crate) paths: &'static [&'static str],
    /// The command that prints them.
    pub(crate) command: &'static str,
}

/// The ids in a list.
#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Id>,
}

#[derive(Debug, Deserialize)]
struct Id {
    id: uuid::Uuid,
}

/// The printed fields of a problem document (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

impl Client {
    /// `ca_file` names authorities that are trusted besides the system's.
    fn new(base: Url, token: Secret, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            bail!("{base} is not a usable address: write http:// or https:// and the daemon's host and port");
        }
        let authorities = ca_file.map(read_authorities).transpose()?.unwrap_or_default();
        let http = builder(&authorities)?
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("toritsugi/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot build an HTTP client")?;
        Ok(Self { http, base, token })
    }

    /// Sends `GET path` with `query`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let request = self.request(Method::GET, path)?.query(query).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// Opens the file at `path`; it may be long, so only its beginning has a time limit.
    pub(crate) async fn download(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Response> {
        let answer = self.send(self.request(Method::GET, path)?.query(query));
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
        answer.with_context(|| format!("the daemon at {} did not answer in time", self.base))?
    }

    /// The whole id of a record of which `text` is the beginning: an id as a table prints it.
    pub(crate) async fn whole_id(&self, text: &str, ids: Ids) -> anyhow::Result<uuid::Uuid> {
        let Ids { what, paths, command } = ids;
        if let Ok(id) = uuid::Uuid::parse_str(text) {
            return Ok(id);
        }
        let begins = text.to_ascii_lowercase();
        if begins.is_empty() || !begins.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            bail!("{text:?} is not the id of a {what}; `{command}` prints the ids");
        }
        let mut found = BTreeSet::new();
        for path in paths {
            let list: List = self.get(path, &[]).await?;
            let ids = list.items.into_iter().map(|item| item.id);
            found.extend(ids.filter(|id| id.to_string().starts_with(&begins)));
        }
        match Vec::from_iter(found).as_slice() {
            [id] => Ok(*id),
            [] => bail!("no {what} has an id that begins with {text}; `{command}` prints the ids"),
            several => {
                let shown: Vec<String> =
                    several.iter().take(IDS_SHOWN_MAX).map(uuid::Uuid::to_string).collect();
                bail!(
                    "{} ids begin with {text}: write more of one, for instance of {}",
                    several.len(),
                    shown.join(", ")
                )
            }
        }
    }

    /// Sends `POST path` with `body` as JSON.
    pub(crate) async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::POST, path)?.json(body).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// Sends `POST path` with a mail.
    pub(crate) async fn post_mail<T: DeserializeOwned>(
        &self,
        path: &str,
        mail: Vec<u8>,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::POST, path)?.header("content-type", "message/rfc822");
        self.json(self.send(request.body(mail).timeout(ANSWER_TIMEOUT)).await?).await
    }

    /// Sends `POST path` with a file of this media type.
    pub(crate) async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        media_type: &str,
        file: Vec<u8>,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::POST, path)?.query(query).header("content-type", media_type);
        self.json(self.send(request.body(file).timeout(ANSWER_TIMEOUT)).await?).await
    }

    /// Sends `PUT path` with `body` as JSON.
    pub(crate) async fn put<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::PUT, path)?.json(body).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// Sends `PATCH path` with `body` as JSON.
    pub(crate) async fn patch<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::PATCH, path)?.json(body).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// Sends `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.request(Method::DELETE, path)?.timeout(ANSWER_TIMEOUT)).await?;
        Ok(())
    }

    /// Sends `POST path` without a body and ignores the body of the answer.
    pub(crate) async fn post_empty(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.request(Method::POST, path)?.timeout(ANSWER_TIMEOUT)).await.map(drop)
    }

    /// Opens the event stream at `path`; with `after` it resumes after the event of this id.
    pub(crate) async fn stream(&self, path: &str, after: Option<&str>) -> anyhow::Result<Response> {
        let mut request = self.request(Method::GET, path)?.header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let url = self.base.join(path).with_context(|| format!("{path} is not a path"))?;
        Ok(self.http.request(method, url).bearer_auth(self.token.expose()))
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(e) if e.is_connect() => match refused_certificate(&e) {
                Some(reason) => bail!(
                    "the certificate of {} is not trusted ({reason}): name its authority with --ca-file",
                    self.base
                ),
                None => bail!("no daemon answers at {}: is `toritsugi serve` running there?", self.base),
            },
            Err(e) if e.is_timeout() => {
                bail!("the daemon at {} did not answer in time; try again, or look at its log", self.base)
            }
            Err(e) => {
                return Err(e.without_url())
                    .context(format!("the connection to the daemon at {} failed", self.base));
            }
        };
        if response.status().is_success() { Ok(response) } else { Err(response_error(response).await) }
    }

    async fn json<T: DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        let body =
            response.bytes().await.context("the connection ended in the middle of the daemon's answer")?;
        serde_json::from_slice(&body)
            .with_context(|| format!("the answer from {} is not that of a daemon of this version", self.base))
    }
}

/// A client without a proxy that checks certificates.
pub(super) fn builder(authorities: &[CertificateDer<'static>]) -> anyhow::Result<reqwest::ClientBuilder> {
    Ok(reqwest::Client::builder().no_proxy().tls_backend_preconfigured(https::client(authorities)?))
}

fn read_authorities(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read --ca-file {}", file.display()))?;
    https::authorities_of(&pem).with_context(|| format!("--ca-file {}", file.display()))
}

/// Why the certificate of the other side was refused, if it was. An error of the connection holds the error of TLS as its
/// content, and may be the content of another one.
fn refused_certificate(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
        return Some(reason.to_string());
    }
    let content = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let content = content.and_then(|content| refused_certificate(content));
    content.or_else(|| refused_certificate(error.source()?))
}

/// The error of an answer that is no success.
async fn response_error(response: Response) -> anyhow::Error {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    anyhow::Error::msg(error_text(status, &body))
}

fn error_text(status: StatusCode, body: &[u8]) -> String {
    let code = status.as_u16();
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if !problem.title.is_empty() => {
            let mut text = problem.title;
            if !problem.detail.is_empty() {
                text = format!("{text}: {}", problem.detail);
            }
            let kind = problem.kind.rsplit('/').next().unwrap_or_default();
            plain(&format!("{text} ({code} {kind})")).replace(" )", ")")
        }
        _ => {
            let body = String::from_utf8_lossy(body);
            let excerpt: String = body.trim().chars().take(EXCERPT_CHARS_MAX).collect();
            plain(&format!("the daemon answered {code} {excerpt}")).trim_end().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line() {
        let body = r#"{"type":"/problems/unknown-call","title":"No such call","status":404,"detail":"it ended\nago"}"#;
        assert_eq!(
            error_text(StatusCode::NOT_FOUND, body.as_bytes()),
            "No such call: it ended?ago (404 unknown-call)"
        );
        assert_eq!(error_text(StatusCode::BAD_GATEWAY, b"<html>\x1b"), "the daemon answered 502 <html>?");
        assert_eq!(error_text(StatusCode::BAD_GATEWAY, b""), "the daemon answered 502");
    }

    #[test]
    fn an_address_is_one_of_http_or_https() {
        let client = |url: &str| Client::new(url.parse().unwrap(), Secret::new("t"), None);
        for url in ["file:///etc/passwd", "ftp://desk.example.jp", "wss://desk.example.jp"] {
            let error = client(url).unwrap_err();
            assert!(error.to_string().contains("write http:// or https://"), "{error}");
        }
        for url in ["https://desk.example.jp", "http://127.0.0.1:8470"] {
            assert!(client(url).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn an_address_where_nothing_listens_is_a_clear_error() {
        // Port 1 of loopback: nothing listens there.
        let client = Client::new("http://127.0.0.1:1".parse().unwrap(), Secret::new("s3cret"), None).unwrap();
        let error = client.get::<serde_json::Value>("/v1/calls", &[]).await.unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "no daemon answers at http://127.0.0.1:1/: is `toritsugi serve` running there?"
        );
    }
}
