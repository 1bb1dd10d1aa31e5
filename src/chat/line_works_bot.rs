//! The bots of LINE WORKS: what signs for a bot, and the token with which its messages are posted.
//!
//! ```text
//!  delivery ──▶ token ──none, nearly over, or refused──▶ JWT (RS256) ──▶ auth.worksmobile.com/oauth2/v2.0/token
//!                 └──▶ www.worksapis.com/v1.0/bots/{bot}/channels/{channel}/messages
//! ```
//!
//! Invariants: the key, the client secret and a token are in memory and in requests, and nowhere else: not in a log, an error or `Debug`.
//! Deliveries that need a token at the same time ask for one, and share its refusal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use url::{Url, form_urlencoded};

use super::sms::first_line;
use super::verdict::{Answer, Verdict, described, verdict};
use crate::contract::records::EndpointKind;
use crate::secret::Secret;
use crate::webhook::WebhookClient;

/// How long the signed statement holds with which a token is asked for: LINE WORKS takes at most an hour.
const JWT_TTL: Duration = Duration::from_secs(1_800);
/// How long before its end a token is no longer used.
const TOKEN_MARGIN: Duration = Duration::from_secs(300);
/// What a bot with a paid plan may post a minute.
const PER_MINUTE_MAX: u32 = 240;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const FORM: &str = "application/x-www-form-urlencoded";

/// A bot of LINE WORKS.
#[derive(Debug, Clone)]
pub struct LineWorksBot {
    pub(super) id: u64,
    client_id: String,
    client_secret: Secret,
    service_account: String,
    key: Arc<KeyPair>,
    pub(super) per_minute: u32,
}

/// A bot as the file of the gateways has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBot {
    bot_id: u64,
    client_id: String,
    client_secret_file: PathBuf,
    service_account: String,
    private_key_file: PathBuf,
    #[serde(default = "sixty")]
    per_minute: u32,
}

fn sixty() -> u32 {
    60
}

impl WrittenBot {
    pub(super) fn bot(
        self,
        secret: impl Fn(&Path) -> std::io::Result<String>,
    ) -> Result<LineWorksBot, (&'static str, String)> {
        for (key, text) in [("client_id", &self.client_id), ("service_account", &self.service_account)] {
            if text.is_empty() || text.contains(char::is_whitespace) {
                return Err((key, "write it as the Developer Console shows it".into()));
            }
        }
        if !(1..=PER_MINUTE_MAX).contains(&self.per_minute) {
            return Err(("per_minute", format!("write from 1 to {PER_MINUTE_MAX}")));
        }
        let read = |key, file: &Path| {
            secret(file).map(Secret::new).map_err(|error| (key, format!("cannot be read: {error}")))
        };
        let client_secret = first_line(&read("client_secret_file", &self.client_secret_file)?)
            .map_err(|reason| ("client_secret_file", reason))?;
        let key = read("private_key_file", &self.private_key_file)?;
        Ok(LineWorksBot {
            id: self.bot_id,
            client_id: self.client_id,
            client_secret,
            service_account: self.service_account,
            key: Arc::new(rsa_key(&key).map_err(|reason| ("private_key_file", reason))?),
            per_minute: self.per_minute,
        })
    }
}

/// The key in a PEM file.
fn rsa_key(pem: &Secret) -> Result<KeyPair, String> {
    let wrong = "it must be the private key that the Developer Console gives, -----BEGIN PRIVATE KEY-----";
    let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| wrong.to_owned())?;
    let key = match &der {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(wrong.to_owned()),
    };
    key.map_err(|error| format!("{wrong}: {error}"))
}

impl LineWorksBot {
    /// The signed statement that the service account asks through this client; absent without randomness.
    fn jwt(&self, at: Timestamp) -> Option<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let (from, to) = (at.as_second(), (at + JWT_TTL).as_second());
        let claims = json!({"iss": self.client_id, "sub": self.service_account, "iat": from, "exp": to});
        let signed = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Asks for a token.
    pub(super) async fn ask(
        &self,
        client: &WebhookClient,
        url: Result<Url, String>,
    ) -> Result<Token, Verdict> {
        let asked = Instant::now();
        let deferred = |error: String| Verdict::Deferred { error: format!("no token: {error}") };
        let url = url.map_err(deferred)?;
        let jwt = self
            .jwt(Timestamp::now())
            .ok_or_else(|| deferred("this machine gives no random bytes".into()))?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &jwt)
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.expose())
            .append_pair("scope", "bot")
            .finish();
        let reply = client.request(&url, &[], FORM, form.into()).await;
        let reply = reply.map_err(|error| deferred(described(&error)))?;
        let answer =
            Answer { status: reply.status, retry_after: reply.retry_after.as_deref(), body: &reply.body };
        let (value, ttl) = token_of(answer, &format!("{jwt}/{}", self.client_secret.expose()))?;
        Ok(Token { value, until: asked + ttl.saturating_sub(TOKEN_MARGIN) })
    }
}

/// The token in an answer, and how long it holds. Whatever the service refuses here, it refuses for all messages of the bot.
fn token_of(answer: Answer<'_>, secret: &str) -> Result<(Secret, Duration), Verdict> {
    let no_token = |error: String| format!("no token: {error}");
    match verdict(EndpointKind::LineWorksBot, answer, None, Some(secret)) {
        Verdict::Accepted => {}
        Verdict::Refused { error, .. } | Verdict::BadToken { error } => {
            return Err(Verdict::BadToken { error: no_token(error) });
        }
        Verdict::Limited { wait, error } => return Err(Verdict::Limited { wait, error: no_token(error) }),
        Verdict::Deferred { error } | Verdict::Unknown { error } => {
            return Err(Verdict::Deferred { error: no_token(error) });
        }
    }
    let value: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    let token = value["access_token"]
        .as_str()
        .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    // LINE WORKS writes the seconds as a text.
    let seconds = &value["expires_in"];
    let seconds = seconds.as_u64().or_else(|| seconds.as_str().and_then(|text| text.parse().ok()));
    let found = token.zip(seconds).map(|(token, seconds)| (Secret::new(token), Duration::from_secs(seconds)));
    let lacks = || no_token(format!("{} answered without one", EndpointKind::LineWorksBot.label()));
    found.ok_or_else(|| Verdict::Deferred { error: lacks() })
}

/// A token, and until when it is used.
#[derive(Debug)]
pub(super) struct Token {
    value: Secret,
    until: Instant,
}

/// What is known of a bot's token.
#[derive(Debug, Default)]
struct Slot {
    token: Option<Token>,
    failed: Option<(Instant, Verdict)>,
}

/// The tokens of all bots, by the name of the bot.
#[derive(Debug)]
pub(super) struct Tokens(BTreeMap<String, Mutex<Slot>>);

impl Tokens {
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        Self(names.into_iter().map(|name| (name.clone(), Mutex::default())).collect())
    }

    /// A token that holds and is not `refused`. `ask` is polled only if there is none.
    pub(super) async fn get(
        &self,
        name: &str,
        refused: Option<&Secret>,
        ask: impl Future<Output = Result<Token, Verdict>>,
    ) -> Result<Secret, Verdict> {
        let began = Instant::now();
        let slot = self.0.get(name);
        let slot = slot.ok_or_else(|| Verdict::Deferred { error: format!("no bot has the name {name}") })?;
        let mut slot = slot.lock().await;
        let is_good = |token: &&Token| token.until > Instant::now() && Some(&token.value) != refused;
        if let Some(token) = slot.token.as_ref().filter(is_good) {
            return Ok(token.value.clone());
        }
        if let Some((_, verdict)) = slot.failed.as_ref().filter(|(at, _)| *at > began) {
            return Err(verdict.clone());
        }
        let asked = ask.await;
        let value = asked.as_ref().map(|token| token.value.clone()).map_err(Verdict::clone);
        *slot = match asked {
            Ok(token) => Slot { token: Some(token), failed: None },
            Err(verdict) => Slot { token: None, failed: Some((Instant::now(), verdict)) },
        };
        value
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    const KEY: &str = include_str!("../../tests/samples/line_works_bot.pem");
    const WRITTEN: &str = "bot_id = 2000001\nclient_id = \"cl1ent\"\nclient_secret_file = \"secret\"\n\
        service_account = \"a1.serviceaccount@example\"\nprivate_key_file = \"key\"\n";

    fn read(text: &str) -> Result<LineWorksBot, String> {
        let written: WrittenBot = toml::from_str(text).map_err(|error| error.to_string())?;
        let secret = |path: &Path| match path.to_str() {
            Some("secret") => Ok("s3cret-of-client\n".to_owned()),
            Some("key") => Ok(KEY.to_owned()),
            Some("empty") => Ok("\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        written.bot(secret).map_err(|(key, reason)| format!("{key}: {reason}"))
    }

    #[test]
    fn a_statement_is_signed_with_the_key_and_holds_for_half_an_hour() {
        let bot = read(WRITTEN).unwrap();
        let jwt = bot.jwt("2026-11-30T03:00:00Z".parse().unwrap()).unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bot.key.public().as_ref());
        public.verify(signed.as_bytes(), &signature).unwrap();
        public.verify(format!("{signed}x").as_bytes(), &signature).unwrap_err();
        let parts: Vec<Value> = signed
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        let claims = json!({"iss": "cl1ent", "sub": "a1.serviceaccount@example", "iat": 1_796_007_600, "exp": 1_796_009_400});
        assert_eq!(parts, [json!({"alg": "RS256", "typ": "JWT"}), claims]);
        let shown = format!("{bot:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_bot_that_cannot_work_is_refused_with_its_key() {
        for (from, to, words) in [
            ("\"cl1ent\"", "\"\"", "client_id: write it as"),
            ("\"a1.", "\"a 1.", "service_account: write it as"),
            ("\"secret\"", "\"empty\"", "client_secret_file: its first line is empty"),
            ("\"secret\"", "\"nowhere\"", "client_secret_file: cannot be read"),
            ("\"key\"", "\"secret\"", "private_key_file: it must be the private key"),
            ("\"key\"", "\"nowhere\"", "private_key_file: cannot be read"),
            ("bot_id", "per_minute = 241\nbot_id", "per_minute: write from 1 to 240"),
        ] {
            let error = read(&WRITTEN.replacen(from, to, 1)).unwrap_err();
            assert!(error.starts_with(words) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn an_answer_gives_a_token_or_says_why_there_is_none() {
        let of = |status, body: &str| {
            token_of(
                Answer { status, retry_after: Some("7"), body: body.as_bytes() },
                "eyJhbGciOi.e30.c2ln/s3cret-of-client",
            )
        };
        for seconds in ["\"86400\"", "86400"] {
            let body = format!(
                "{{\"access_token\": \"kr1==\", \"token_type\": \"Bearer\", \"expires_in\": {seconds}}}"
            );
            assert_eq!(of(200, &body).unwrap(), (Secret::new("kr1=="), Duration::from_secs(86_400)));
        }
        let lacks = || Verdict::Deferred { error: "no token: LINE WORKS Bot answered without one".into() };
        for body in ["", "[]", "{\"access_token\": \"a b\", \"expires_in\": 1}", "{\"access_token\": \"a\"}"]
        {
            assert_eq!(of(200, body).unwrap_err(), lacks());
        }
        let answered = |status: u16| format!("no token: LINE WORKS Bot answered {status}");
        for status in [400, 401, 403] {
            let repeats = of(status, "{\"error\": \"unknown client_secret s3cret-of-client\"}").unwrap_err();
            assert_eq!(repeats, Verdict::BadToken { error: answered(status) }, "the secret is not repeated");
        }
        let limited = Verdict::Limited { wait: Duration::from_secs(7), error: answered(429) };
        assert_eq!(of(429, "").unwrap_err(), limited);
        assert_eq!(of(503, "").unwrap_err(), Verdict::Deferred { error: answered(503) });
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_for_once_until_it_is_over_or_refused() {
        let name = "main".to_owned();
        let tokens = Tokens::of([&name]);
        let asked = Cell::new(0);
        let ask = async || {
            asked.set(asked.get() + 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let until = Instant::now() + Duration::from_secs(60);
            Ok(Token { value: Secret::new(format!("t{}", asked.get())), until })
        };
        let (first, second) = tokio::join!(tokens.get("main", None, ask()), tokens.get("main", None, ask()));
        assert_eq!((first.unwrap(), second.unwrap(), asked.get()), (Secret::new("t1"), Secret::new("t1"), 1));
        let old = Secret::new("t1");
        let both = tokio::join!(tokens.get("main", Some(&old), ask()), tokens.get("main", Some(&old), ask()));
        assert_eq!(
            (both.0.unwrap(), both.1.unwrap(), asked.get()),
            (Secret::new("t2"), Secret::new("t2"), 2)
        );
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(tokens.get("main", None, ask()).await.unwrap(), Secret::new("t3"));
        tokio::time::advance(Duration::from_secs(61)).await;
        let fails = async || {
            asked.set(asked.get() + 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err(Verdict::Deferred { error: "down".into() })
        };
        let both = tokio::join!(tokens.get("main", None, fails()), tokens.get("main", None, fails()));
        assert_eq!((both.0.unwrap_err(), asked.get()), (both.1.unwrap_err(), 4), "the failure is shared");
        assert_eq!(tokens.get("main", None, ask()).await.unwrap(), Secret::new("t5"));
    }
}
