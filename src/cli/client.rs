//! The HTTP client of the commands that talk to a running daemon.
//!
//! It knows an address and a token and nothing else; whatever goes wrong becomes one line that says what to do
//! about it. Invariant: the token comes from a file or the environment, never from the command line, where
//! every user of the machine could read it, and it is sent to the address given only (no redirects).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toritsugi::secret::Secret;

use super::output::plain;

/// Holds the token when no file does.
const TOKEN_ENV: &str = "TORITSUGI_TOKEN";
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a whole answer; a stream of events has no such limit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an answer that is no problem document is shown, in characters.
const EXCERPT_CHARS_MAX: usize = 200;

/// Where the daemon is and who asks.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// The daemon's address.
    #[arg(long, env = "TORITSUGI_URL", value_name = "URL", default_value = "http://127.0.0.1:8470")]
    url: Url,
    /// The file whose first line is your token; without it, the variable TORITSUGI_TOKEN holds the token.
    #[arg(long, env = "TORITSUGI_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl ClientArgs {
    /// Reads the token and makes a client; connects to nothing yet.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let token = match &self.token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read the token file {}", file.display()))?;
                text.lines().next().unwrap_or_default().trim().to_owned()
            }
            None => std::env::var(TOKEN_ENV).unwrap_or_default(),
        };
        if token.is_empty() {
            bail!("no token: put one into a file and name it with --token-file, or set {TOKEN_ENV}");
        }
        Client::new(self.url.clone(), Secret::new(token))
    }
}

/// A client with one person's rights.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

/// An error document of RFC 9457, as far as it is shown.
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
    fn new(base: Url, token: Secret) -> anyhow::Result<Self> {
        if base.scheme() != "http" || !base.has_host() {
            bail!(
                "{base} is not an address this command can use: write http:// and the daemon's host and port"
            );
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("toritsugi/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { http, base, token })
    }

    /// `GET path`, with `query`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let request = self.request(Method::GET, path)?.query(query).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// `POST path`, with `body` as JSON.
    pub(crate) async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::POST, path)?.json(body).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// `PUT path`, with `body` as JSON.
    pub(crate) async fn put<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::PUT, path)?.json(body).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// `PATCH path`, with `body` as JSON.
    pub(crate) async fn patch<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let request = self.request(Method::PATCH, path)?.json(body).timeout(ANSWER_TIMEOUT);
        self.json(self.send(request).await?).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.request(Method::DELETE, path)?.timeout(ANSWER_TIMEOUT)).await?;
        Ok(())
    }

    /// `POST path` without a body, for an order that is answered without one.
    pub(crate) async fn order(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.request(Method::POST, path)?.timeout(ANSWER_TIMEOUT)).await.map(drop)
    }

    /// `GET path` as a stream of events, after the event `after` if there was one.
    pub(crate) async fn stream(&self, path: &str, after: Option<&str>) -> anyhow::Result<Response> {
        let mut request = self.request(Method::GET, path)?.header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let url = self.base.join(path).with_context(|| format!("{path} is no path"))?;
        Ok(self.http.request(method, url).bearer_auth(self.token.expose()))
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(e) if e.is_connect() => {
                bail!("no daemon answers at {}: is `toritsugi serve` running there?", self.base)
            }
            Err(e) if e.is_timeout() => bail!("the daemon at {} did not answer in time", self.base),
            Err(e) => return Err(e.without_url()).context(format!("the daemon at {}", self.base)),
        };
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    async fn json<T: DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        let body = response.bytes().await.context("the daemon's answer broke off")?;
        serde_json::from_slice(&body)
            .with_context(|| format!("what answers at {} does not speak this version's language", self.base))
    }
}

/// What the daemon said when it did not do it.
async fn refusal(response: Response) -> anyhow::Error {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    anyhow::Error::msg(describe(status, &body))
}

fn describe(status: StatusCode, body: &[u8]) -> String {
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
            describe(StatusCode::NOT_FOUND, body.as_bytes()),
            "No such call: it ended?ago (404 unknown-call)"
        );
        assert_eq!(describe(StatusCode::BAD_GATEWAY, b"<html>\x1b"), "the daemon answered 502 <html>?");
        assert_eq!(describe(StatusCode::BAD_GATEWAY, b""), "the daemon answered 502");
    }

    #[test]
    fn only_plain_http_is_taken() {
        for url in ["https://desk.example.jp", "file:///etc/passwd"] {
            let error = Client::new(url.parse().unwrap(), Secret::new("t")).unwrap_err();
            assert!(error.to_string().contains("write http://"), "{error}");
        }
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_said_in_words() {
        // Port 1 of loopback: nothing listens there.
        let client = Client::new("http://127.0.0.1:1".parse().unwrap(), Secret::new("s3cret")).unwrap();
        let error = client.get::<serde_json::Value>("/v1/calls", &[]).await.unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "no daemon answers at http://127.0.0.1:1/: is `toritsugi serve` running there?"
        );
    }
}
