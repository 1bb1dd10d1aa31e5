//! The gateways of SMS and faxes and the bots of LINE WORKS, in a TOML file that the configuration names. Of SMS: what a request to
//! each looks like.
//!
//! ```toml
//! [sms.main]
//! url = "https://sms.example.jp/v1/messages"
//! content_type = "application/json"
//! body = '{"to": "{{ number }}", "text": "{{ text }}", "reference": "{{ delivery }}"}'
//! secret_file = "sms.token"           # beside this file
//! secret_header = "Authorization"
//! secret_prefix = "Bearer "
//! ok_contains = '"accepted"'
//! per_minute = 60
//!
//! [fax.main]
//! to = "{number}@fax.example.jp"
//! from = "fax@report.example.jp"      # known to the gateway; its results come back there
//! body = "text"                       # or "pdf": the fax is attached
//! columns = 70
//! result_ok = ["FAX送信が成功"]
//! result_failed = ["FAX送信が失敗"]
//! result_busy = ["話中"]
//!
//! [line_works_bot.main]
//! bot_id = 2000001
//! client_id = "AbCdEfGhIj"
//! client_secret_file = "works.secret" # beside this file, like the key
//! service_account = "abcde.serviceaccount@example"
//! private_key_file = "works.key"
//! per_minute = 60
//! ```
//!
//! `{{ number }}` is the number with its country (`+8190…`), `{{ national }}` the same without (`090…`), `{{ text }}` the text,
//! `{{ delivery }}` the id with which the gateway's receipt may come back (`POST /v1/mail/bounces`). Each value is written as the media
//! type needs it, so a text cannot leave its place.
//!
//! Invariant: pure but for [`Gateways::read`]. What cannot work is refused when the file is read, with the key. A secret is in a header
//! and nowhere else.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::line_works_bot::{LineWorksBot, WrittenBot};
use crate::mail::{FaxBody, FaxGateway, MailAddress};
use crate::numbers::{Number, NumberPlan};
use crate::secret::Secret;

/// Most gateways.
const GATEWAYS_MAX: usize = 20;
/// Longest template of a body, in bytes.
const BODY_BYTES_MAX: usize = 8 * 1024;
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// The values of a template.
const VALUES: [&str; 4] = ["number", "national", "text", "delivery"];

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GatewaysError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is not what the file must be.
    #[error("{0}")]
    Format(String),
    /// A gateway cannot work.
    #[error("{kind}.{name}.{key}: {reason}")]
    Gateway {
        /// `sms`, `fax` or `line_works_bot`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The key.
        key: &'static str,
        /// What to write.
        reason: String,
    },
}

/// The gateways of a file.
#[derive(Debug, Clone, Default)]
pub struct Gateways {
    /// Those of SMS, by name.
    pub sms: BTreeMap<String, SmsGateway>,
    /// Those of faxes, by name.
    pub fax: BTreeMap<String, FaxGateway>,
    /// The bots of LINE WORKS, by name.
    pub line_works_bots: BTreeMap<String, LineWorksBot>,
}

/// A gateway of SMS.
#[derive(Debug, Clone)]
pub struct SmsGateway {
    pub(super) url: Url,
    content_type: &'static str,
    template: Vec<Part>,
    /// Header names and values, the secret one last.
    headers: Vec<(String, Secret)>,
    pub(super) ok_contains: Option<String>,
    pub(super) per_minute: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(&'static str),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    sms: BTreeMap<String, Written>,
    #[serde(default)]
    fax: BTreeMap<String, WrittenFax>,
    #[serde(default)]
    line_works_bot: BTreeMap<String, WrittenBot>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFax {
    to: String,
    from: String,
    #[serde(default)]
    body: FaxBody,
    #[serde(default = "seventy")]
    columns: usize,
    #[serde(default)]
    result_ok: Vec<String>,
    #[serde(default)]
    result_failed: Vec<String>,
    #[serde(default)]
    result_busy: Vec<String>,
}

fn seventy() -> usize {
    70
}

impl WrittenFax {
    fn gateway(self) -> Result<FaxGateway, (&'static str, String)> {
        let from = self.from.parse::<MailAddress>().map_err(|error| ("from", error.to_string()))?;
        let mut gateway = FaxGateway::new(&self.to, from, self.columns).map_err(|reason| ("to", reason))?;
        if [&self.result_ok, &self.result_failed, &self.result_busy]
            .into_iter()
            .flatten()
            .any(|word| word.trim().is_empty())
        {
            return Err(("result_ok", "an empty word is in every mail".into()));
        }
        (gateway.result_ok, gateway.result_failed) = (self.result_ok, self.result_failed);
        gateway.result_busy = self.result_busy;
        gateway.body = self.body;
        Ok(gateway)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    #[serde(default = "json")]
    content_type: String,
    body: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    secret_file: Option<std::path::PathBuf>,
    #[serde(default = "authorization")]
    secret_header: String,
    #[serde(default)]
    secret_prefix: String,
    #[serde(default)]
    ok_contains: Option<String>,
    #[serde(default = "sixty")]
    per_minute: u32,
}

fn json() -> String {
    JSON.into()
}

fn authorization() -> String {
    "Authorization".into()
}

fn sixty() -> u32 {
    60
}

/// What a message by SMS says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sms<'a> {
    /// The recipient's number, as a key.
    pub(super) number: &'a str,
    pub(super) text: &'a str,
    pub(super) delivery: &'a str,
}

impl Gateways {
    /// The gateways of a file. Relative paths of secrets start at its directory.
    ///
    /// # Errors
    /// The file or a secret cannot be read, or a gateway cannot work.
    pub fn read(file: &Path, allow_private: bool) -> Result<Self, GatewaysError> {
        let text = std::fs::read_to_string(file)?;
        let directory = file.parent().unwrap_or(Path::new("."));
        let secret = |path: &Path| std::fs::read_to_string(directory.join(path));
        Self::parse(&text, allow_private, secret)
    }

    fn parse(
        text: &str,
        allow_private: bool,
        secret: impl Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Self, GatewaysError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            GatewaysError::Format(format!("line {line}: {}", error.message()))
        })?;
        if file.sms.len() + file.fax.len() + file.line_works_bot.len() > GATEWAYS_MAX {
            return Err(GatewaysError::Format(format!("more than {GATEWAYS_MAX} gateways")));
        }
        Ok(Self {
            sms: each("sms", file.sms, |written| written.gateway(allow_private, &secret))?,
            fax: each("fax", file.fax, WrittenFax::gateway)?,
            line_works_bots: each("line_works_bot", file.line_works_bot, |written| written.bot(&secret))?,
        })
    }
}

/// What is made of each table of a kind, by name.
fn each<W, G>(
    kind: &'static str,
    tables: BTreeMap<String, W>,
    make: impl Fn(W) -> Result<G, (&'static str, String)>,
) -> Result<BTreeMap<String, G>, GatewaysError> {
    let made = tables.into_iter().map(|(name, written)| match make(written) {
        Ok(made) => Ok((name, made)),
        Err((key, reason)) => Err(GatewaysError::Gateway { kind, name, key, reason }),
    });
    made.collect()
}

/// The secret in the first line of a file.
pub(super) fn first_line(text: &Secret) -> Result<Secret, String> {
    let line = text.expose().lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err("its first line is empty".into()) } else { Ok(Secret::new(line)) }
}

impl Written {
    fn gateway(
        self,
        allow_private: bool,
        secret: impl Fn(&Path) -> std::io::Result<String>,
    ) -> Result<SmsGateway, (&'static str, String)> {
        let url = Url::parse(&self.url).map_err(|error| ("url", error.to_string()))?;
        let is_plain = url.scheme() == "http";
        if !is_plain && url.scheme() != "https" || url.host().is_none() {
            return Err(("url", "write https:// and a host".into()));
        }
        if is_plain && !allow_private {
            let reason =
                "plain http is for private addresses: use https, or set webhooks.allow_private_addresses";
            return Err(("url", reason.into()));
        }
        if !url.username().is_empty() || url.password().is_some() || self.url.contains("{{") {
            return Err(("url", "a secret or a value does not belong in a URL".into()));
        }
        let content_type = [JSON, FORM].into_iter().find(|known| *known == self.content_type);
        let content_type = content_type.ok_or_else(|| ("content_type", format!("write {JSON} or {FORM}")))?;
        if self.per_minute == 0 {
            return Err(("per_minute", "write at least 1".into()));
        }
        let template = parts(&self.body).map_err(|reason| ("body", reason))?;
        for value in ["text", "number or national"] {
            let is_there =
                template.iter().any(|part| matches!(part, Part::Value(name) if value.contains(name)));
            if !is_there {
                return Err(("body", format!("it has no {{{{ {value} }}}}")));
            }
        }
        let mut headers: Vec<(String, Secret)> =
            self.headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        if let Some(file) = &self.secret_file {
            let text = secret(file).map_err(|error| ("secret_file", format!("cannot be read: {error}")))?;
            let line = first_line(&Secret::new(text)).map_err(|reason| ("secret_file", reason))?;
            let value = format!("{}{}", self.secret_prefix, line.expose());
            headers.push((self.secret_header, Secret::new(value)));
        }
        for (name, value) in &headers {
            let is_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let is_value = value.expose().bytes().all(|byte| (0x20..0x7f).contains(&byte));
            if !is_name || !is_value {
                return Err((
                    "headers",
                    format!("the header {name:?} or its value has a character that none may have"),
                ));
            }
            let own = ["host", "content-type", "content-length", "connection", "transfer-encoding"];
            if own.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(("headers", format!("the daemon writes {name} itself")));
            }
        }
        let gateway = SmsGateway {
            url,
            content_type,
            template,
            headers,
            ok_contains: self.ok_contains,
            per_minute: self.per_minute,
        };
        let sample = Sms { number: "+819012345678", text: "\"}\\ &=\n", delivery: "0" };
        if gateway.content_type == JSON
            && serde_json::from_slice::<serde_json::Value>(&gateway.body(sample, &NumberPlan::default()))
                .is_err()
        {
            return Err(("body", "it is no JSON: put each value between quotation marks".into()));
        }
        Ok(gateway)
    }
}

impl SmsGateway {
    /// The body of a request.
    pub(super) fn body(&self, sms: Sms<'_>, plan: &NumberPlan) -> Vec<u8> {
        let is_form = self.content_type == FORM;
        let national: String = Number::read(sms.number, plan)
            .map(|number| number.display().chars().filter(|c| c.is_ascii_digit() || *c == '+').collect())
            .unwrap_or_else(|| sms.number.to_owned());
        let written = self.template.iter().map(|part| {
            let value: &str = match part {
                Part::Text(text) => return text.clone(),
                Part::Value("number") => sms.number,
                Part::Value("national") => &national,
                Part::Value("text") => sms.text,
                Part::Value(_) => sms.delivery,
            };
            if is_form {
                form_urlencoded::byte_serialize(value.as_bytes()).collect()
            } else {
                let quoted = serde_json::Value::from(value).to_string();
                quoted.trim_start_matches('"').strip_suffix('"').map(str::to_owned).unwrap_or_default()
            }
        });
        written.collect::<String>().into_bytes()
    }

    /// The media type of a request.
    pub(super) fn media_type(&self) -> &'static str {
        self.content_type
    }

    /// The headers of a request.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, String)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.expose().to_owned()))
    }
}

/// The texts and values of a template.
fn parts(template: &str) -> Result<Vec<Part>, String> {
    if template.len() > BODY_BYTES_MAX {
        return Err(format!("longer than {BODY_BYTES_MAX} bytes"));
    }
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("a {{ without its }}")?;
        let value = VALUES.iter().find(|value| **value == name.trim());
        let value = value.ok_or_else(|| format!("{:?} is none of {}", name.trim(), VALUES.join(", ")))?;
        parts.push(Part::Text(text.to_owned()));
        parts.push(Part::Value(value));
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Gateways, String> {
        let secret = |path: &Path| match path.to_str() {
            Some("token") => Ok("s3cret-token\nrest".to_owned()),
            Some("empty") => Ok("\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        Gateways::parse(text, false, secret).map_err(|error| error.to_string())
    }

    const MAIN: &str = "[sms.main]\nurl = \"https://sms.example.jp/send\"\nsecret_file = \"token\"\nsecret_prefix = \"Bearer \"\n\
        body = '{\"to\": \"{{ number }}\", \"text\": \"{{text}}\", \"ref\": \"{{ delivery }}\"}'\n";

    #[test]
    fn a_text_stays_in_its_place_whatever_it_says() {
        let text = "\"}, \"to\": \"+81900\\ &to=1\n<b>";
        let sms = Sms { number: "+819012345678", text, delivery: "d1" };
        let gateway = &read(MAIN).unwrap().sms["main"];
        let body: serde_json::Value =
            serde_json::from_slice(&gateway.body(sms, &NumberPlan::default())).unwrap();
        assert_eq!(body, serde_json::json!({"to": "+819012345678", "text": text, "ref": "d1"}));
        let headers: Vec<_> = gateway.headers().collect();
        assert_eq!(headers, [("Authorization", "Bearer s3cret-token".to_owned())]);
        assert!(!format!("{gateway:?}").contains("s3cret"), "{gateway:?}");
        let form = "[sms.main]\nurl = \"https://sms.example.jp/send\"\ncontent_type = \"application/x-www-form-urlencoded\"\n\
            body = \"to={{ national }}&text={{ text }}\"\n";
        let gateway = &read(form).unwrap().sms["main"];
        let body = gateway.body(sms, &NumberPlan::default());
        let pairs: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        assert_eq!(pairs, [("to".into(), "09012345678".into()), ("text".into(), text.into())]);
    }

    #[test]
    fn a_gateway_of_faxes_is_an_address() {
        let written = "[fax.main]\nto = \"{number}@fax.example.jp\"\nfrom = \"fax@example.jp\"\nresult_ok = [\"成功\"]\n";
        let gateway = &read(written).unwrap().fax["main"];
        assert_eq!(gateway.address("0312345678").unwrap().to_string(), "0312345678@fax.example.jp");
        assert_eq!(gateway.body, FaxBody::Text);
        let pdf = read(&written.replacen("[fax.main]", "[fax.main]\nbody = \"pdf\"", 1)).unwrap();
        assert_eq!(pdf.fax["main"].body, FaxBody::Pdf);
        for (from, to, words) in [
            ("{number}", "x", "fax.main.to: write {number} once"),
            ("fax@example.jp", "fax", "fax.main.from: write it as name@example.com"),
            ("成功", " ", "fax.main.result_ok: an empty word"),
            ("[fax.main]", "[fax.main]\nbody = \"html\"", "line 2: unknown variant `html`"),
            ("result_ok", "colour", "line 4: unknown field `colour`"),
        ] {
            let error = read(&written.replacen(from, to, 1)).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn a_gateway_that_cannot_work_is_refused_with_its_key() {
        for (from, to, words) in [
            ("https://", "http://", "sms.main.url: plain http"),
            ("https://", "https://u:p@", "sms.main.url: a secret"),
            ("/send", "/{{ number }}", "sms.main.url: a secret or a value"),
            ("\"token\"", "\"missing\"", "sms.main.secret_file: cannot be read"),
            ("\"token\"", "\"empty\"", "sms.main.secret_file: its first line is empty"),
            (
                "{{text}}",
                "{{ secret }}",
                "sms.main.body: \"secret\" is none of number, national, text, delivery",
            ),
            ("{{ delivery }}", "{{ delivery", "sms.main.body: a {{ without its }}"),
            ("{{text}}", "x", "sms.main.body: it has no {{ text }}"),
            ("{{ number }}", "x", "sms.main.body: it has no {{ number or national }}"),
            ("\"{{text}}\"", "{{text}}", "sms.main.body: it is no JSON"),
            ("Bearer ", "Bearer\\n", "sms.main.headers: the header"),
            (
                "secret_prefix",
                "secret_header = \"Host\"\nsecret_prefix",
                "sms.main.headers: the daemon writes Host itself",
            ),
            ("secret_prefix", "colour", "line 4: unknown field `colour`"),
            ("[sms.main]", "[sms.main]\nper_minute = 0", "sms.main.per_minute: write at least 1"),
            ("[sms.main]", "[sms.main]\ncontent_type = \"text/xml\"", "sms.main.content_type: write"),
        ] {
            let error = read(&MAIN.replacen(from, to, 1)).unwrap_err();
            assert!(error.starts_with(words), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
