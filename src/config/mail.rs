//! `[mail]`: the mail servers, and their conversion to the settings of the outbox.
//!
//! Invariant: a configuration that cannot send a mail is refused as a whole, with the key and what to write. A password goes
//! only over an encrypted connection, or to an address of this machine or its network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use smol_str::SmolStr;

use super::mail_login::LoginKeys;
use super::mail_server::{ServerConfig, ServerKeys};
use super::{Config, ConfigError, files, values};
use crate::https;
use crate::mail::{Line, MailAddress};
use crate::messages::letter::LetterSettings;
use crate::numbers::NumberPlan;
use crate::operators::SharedWords;
use crate::outbox::{Mailbox, Settings, TlsMode};
use crate::secret::Secret;

/// `[mail]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// The server; `None`: no mail is sent.
    #[serde(deserialize_with = "values::optional_word")]
    pub host: Option<SmolStr>,
    /// Its port.
    #[serde(deserialize_with = "values::port")]
    pub(super) port: u16,
    /// How the connection is encrypted.
    tls: TlsMode,
    #[serde(deserialize_with = "values::optional_path")]
    ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::optional_word")]
    server_name: Option<SmolStr>,
    #[serde(deserialize_with = "values::optional_word")]
    user: Option<SmolStr>,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) password_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) password: Option<Secret>,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) token_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::words")]
    token_command: Vec<SmolStr>,
    from: String,
    from_name: String,
    reply_to: String,
    reply_address: String,
    bounce_address: String,
    #[serde(deserialize_with = "values::optional_word")]
    pub(super) hello_name: Option<SmolStr>,
    #[serde(deserialize_with = "values::count::<_, 1, 20>")]
    connections: usize,
    #[serde(deserialize_with = "values::count::<_, 1, 100_000>")]
    per_minute: usize,
    iso_2022_jp: Vec<SmolStr>,
    domains: BTreeMap<SmolStr, u32>,
    pub(super) backup: ServerConfig,
    pub(super) hosts: BTreeMap<SmolStr, ServerConfig>,
    pub(super) imap: ImapConfig,
}

/// `[mail.imap]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImapConfig {
    #[serde(deserialize_with = "values::optional_word")]
    host: Option<SmolStr>,
    #[serde(deserialize_with = "values::port")]
    port: u16,
    tls: TlsMode,
    #[serde(deserialize_with = "values::optional_word")]
    user: Option<SmolStr>,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) password_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) password: Option<Secret>,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) token_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::words")]
    token_command: Vec<SmolStr>,
    folder: SmolStr,
    #[serde(rename = "poll_seconds", deserialize_with = "values::seconds::<_, 1, 3600>")]
    poll_interval: Duration,
}

/// Longest part of the addresses with tokens before the `@`: a token of 45 characters follows it.
const TAGGED_NAME_BYTES_MAX: usize = 19;

impl Config {
    /// The mail server and how to send over it, with the password; `None`: no server is configured.
    ///
    /// # Errors
    /// A key lacks its value or contradicts another one.
    pub fn mail_settings(&self) -> Result<Option<Settings>, ConfigError> {
        let mail = &self.mail;
        let Some(host) = mail.host.clone() else {
            return match mail.hosts.keys().next() {
                Some(name) => {
                    Err(error("host", &format!("write the main server, besides mail.hosts.{name}")))
                }
                None => Ok(None),
            };
        };
        let from = address("from", &mail.from)?;
        let from =
            from.ok_or_else(|| error("from", "write the sender's address, for instance report@example.jp"))?;
        let server = ServerKeys {
            section: "",
            host,
            port: mail.port,
            tls: mail.tls,
            ca_file: mail.ca_file.as_deref(),
            server_name: mail.server_name.as_ref(),
            user: mail.user.as_ref(),
            password: mail.password.as_ref(),
            password_file: mail.password_file.as_deref(),
            token_file: mail.token_file.as_ref(),
            token_command: &mail.token_command,
            hello_name: mail.hello_name.as_ref(),
        };
        let server = server.server()?;
        if let Some(domain) = mail.domains.iter().find_map(|(domain, limit)| (*limit == 0).then_some(domain))
        {
            return Err(error(&format!("domains.{domain}"), "write at least 1"));
        }
        let per_minute = u32::try_from(mail.per_minute).unwrap_or(u32::MAX);
        let bounce_address = tagged_address("bounce_address", &mail.bounce_address)?;
        let reply_address = tagged_address("reply_address", &mail.reply_address)?;
        if reply_address.is_some() && reply_address == bounce_address {
            return Err(error("reply_address", "write another address than bounce_address"));
        }
        Ok(Some(Settings {
            mailbox: self.mailbox(server.authorities.as_deref())?,
            backup: self.backup()?,
            hosts: self.mail_hosts(bounce_address.as_ref())?,
            server,
            letter: LetterSettings {
                from,
                from_name: Line::new(&mail.from_name),
                reply_to: address("reply_to", &mail.reply_to)?,
                reply_path: None,
                iso_2022_jp: mail.iso_2022_jp.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
                time_zone: self.directory.time_zone.clone(),
                plan: NumberPlan::of_country(&self.directory.country).unwrap_or_default(),
                words: SharedWords::default(),
            },
            bounce_address,
            return_path: None,
            reply_address,
            links: self.links()?,
            report_font: self.reports.font.clone(),
            fax: self.gateways()?.fax,
            connections: mail.connections,
            per_minute,
            domains: mail
                .domains
                .iter()
                .map(|(name, limit)| (name.to_ascii_lowercase().into(), *limit))
                .collect(),
        }))
    }

    /// The mailbox of returned mails, which trusts whom the mail server's connection trusts.
    fn mailbox(&self, authorities: Option<&[u8]>) -> Result<Option<Mailbox>, ConfigError> {
        let imap = &self.mail.imap;
        let Some(host) = imap.host.clone() else { return Ok(None) };
        if imap.tls == TlsMode::Starttls {
            return Err(error("imap.tls", "write \"tls\", or \"none\" for a loopback or private address"));
        }
        let keys = LoginKeys {
            section: "mail.imap",
            user: imap.user.as_ref(),
            password: imap.password.as_ref(),
            password_file: imap.password_file.as_deref(),
            token_file: imap.token_file.as_ref(),
            token_command: &imap.token_command,
        };
        let login = keys.login()?.ok_or_else(|| error("imap.user", "write the user of the mailbox"))?;
        let trusted = authorities.map(https::authorities_of).transpose();
        let trusted = trusted.map_err(|problem| error("ca_file", &problem.to_string()))?.unwrap_or_default();
        let trust = https::client(&trusted).map_err(|problem| error("ca_file", &problem.to_string()))?;
        Ok(Some(Mailbox {
            host,
            port: imap.port,
            tls: imap.tls,
            trust: Arc::new(trust),
            login,
            folder: imap.folder.clone(),
            poll_interval: imap.poll_interval,
        }))
    }
}

impl MailConfig {
    /// The name of the service.
    #[must_use]
    pub fn from_name(&self) -> &str {
        &self.from_name
    }

    /// The names of the servers that accounts may have.
    #[must_use]
    pub fn host_names(&self) -> Vec<SmolStr> {
        self.hosts.keys().cloned().collect()
    }

    /// The file of the authorities that the mail server's certificate is checked with.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }
}

pub(super) fn address(key: &str, text: &str) -> Result<Option<MailAddress>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|problem: crate::mail::MailAddressError| error(key, &problem.to_string()))
}

/// An address to whose name a token is added.
fn tagged_address(key: &str, text: &str) -> Result<Option<MailAddress>, ConfigError> {
    let address = address(key, text)?;
    if address.as_ref().is_some_and(|address| address.local().len() > TAGGED_NAME_BYTES_MAX) {
        let reason = format!("write at most {TAGGED_NAME_BYTES_MAX} characters before the @");
        return Err(error(key, &reason));
    }
    Ok(address)
}

/// The certificates of a file.
pub(super) fn authorities(key: &str, file: Option<&Path>) -> Result<Option<Vec<u8>>, ConfigError> {
    let read = |file| files::read(file, files::PEM_BYTES_MAX).map_err(|e| error(key, &e.to_string()));
    file.map(read).transpose()
}

pub(super) fn error(key: &str, reason: &str) -> ConfigError {
    ConfigError::Key { origin: "mail".into(), key: format!("mail.{key}"), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Credential, Login, TokenSource};

    fn from(settings: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let set = |(key, value): &(&str, &str)| (format!("TORITSUGI__MAIL__{key}"), (*value).to_owned());
        let config =
            Config::from_layers(None, settings.iter().map(set)).map_err(|error| error.to_string())?;
        config.mail_settings().map_err(|error| error.to_string())
    }

    const HOST: (&str, &str) = ("HOST", "smtp.example.jp");
    const FROM: (&str, &str) = ("FROM", "report@example.jp");

    #[test]
    fn a_server_has_a_sender_and_perhaps_a_login() {
        assert!(from(&[]).unwrap().is_none());
        let settings = from(&[HOST, FROM, ("USER", "u"), ("PASSWORD", "hunter2"), ("DOMAINS__docomo", "20")]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.server.tls, TlsMode::Starttls);
        assert_eq!(settings.domains.get("docomo"), Some(&20));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_backup_is_another_server_and_a_token_takes_the_place_of_a_password() {
        let backup = ("BACKUP__HOST", "backup.example.jp");
        let token = [("USER", "u"), ("TOKEN_COMMAND", "/usr/local/bin/token,smtp")];
        let settings = from(&[&[HOST, FROM, backup], &token[..]].concat()).unwrap().unwrap();
        let Some(Login { credential: Credential::Token(source), .. }) = &settings.server.login else {
            panic!("{:?}", settings.server.login)
        };
        let words = ["/usr/local/bin/token", "smtp"].map(SmolStr::new).to_vec();
        assert_eq!(*source, TokenSource::Command(words));
        let found = settings.backup.unwrap();
        assert_eq!(
            (found.server.host.as_str(), found.server.port, found.per_minute),
            ("backup.example.jp", 587, 60)
        );
        for (settings, words) in [
            (vec![HOST, FROM, ("BACKUP__HOST", HOST.1)], "mail.backup.host: write another server"),
            (vec![HOST, FROM, backup, ("BACKUP__USER", "u")], "mail.backup.password_file: name the file"),
            (vec![HOST, FROM, token[1]], "mail.user: a token is set"),
            (vec![HOST, FROM, token[0], token[1], ("PASSWORD", "p")], "mail.token_file: keep one of"),
            (
                vec![HOST, FROM, ("REPLY_ADDRESS", "b@example.jp"), ("BOUNCE_ADDRESS", "b@example.jp")],
                "mail.reply_address: write another",
            ),
        ] {
            let error = from(&settings).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn accounts_may_have_servers_of_their_own() {
        let clinic = [
            ("HOSTS__clinic__HOST", "smtp.clinic.example.jp"),
            ("HOSTS__clinic__FROM", "desk@clinic.example.jp"),
            ("HOSTS__CLINIC__PORT", "465"),
            ("HOSTS__clinic__TLS", "tls"),
            ("HOSTS__clinic__USER", "u"),
            ("HOSTS__clinic__PASSWORD", "hunter2"),
        ];
        let main = [HOST, FROM, ("FROM_NAME", "さくら電話秘書"), ("BOUNCE_ADDRESS", "bounce@example.jp")];
        let with = |more: &[(&'static str, &'static str)]| from(&[&main[..], &clinic[..], more].concat());
        let settings =
            with(&[("HOSTS__clinic__BOUNCE_ADDRESS", "bounce@clinic.example.jp")]).unwrap().unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let host = &settings.hosts["clinic"];
        assert_eq!((host.server.host.as_str(), host.server.port), ("smtp.clinic.example.jp", 465));
        assert_eq!(
            (host.server.tls, host.per_minute),
            (TlsMode::Tls, 60),
            "as [mail.backup] where it says nothing"
        );
        let of_host = settings.of_host(host);
        assert_eq!(of_host.letter.from.to_string(), "desk@clinic.example.jp");
        assert_eq!(of_host.letter.from_name, settings.letter.from_name);
        assert_eq!(of_host.envelope_sender().to_string(), "bounce@clinic.example.jp");
        assert!(of_host.hosts.is_empty() && of_host.backup.is_none());
        let settings = with(&[]).unwrap().unwrap();
        let of_host = settings.of_host(&settings.hosts["clinic"]);
        assert_eq!(of_host.envelope_sender().to_string(), "bounce@example.jp");
        for (more, words) in [
            (
                ("HOSTS__clinic__BOUNCE_ADDRESS", "back@clinic.example.jp"),
                "mail.hosts.clinic.bounce_address: write the same",
            ),
            (("HOSTS__other__PORT", "25"), "mail.hosts.other.host: write the server's"),
            (("HOSTS__other__HOST", "h"), "mail.hosts.other.from: write the sender's"),
            (("HOSTS__main__HOST", "h"), "mail.hosts.main: this name is taken"),
            (("HOSTS__sms__HOST", "h"), "mail.hosts.sms: this name is taken"),
            (("HOSTS__clinic__PORT", "0"), "mail.hosts.clinic.port: "),
            (("HOSTS__clinic__POTR", "1"), "mail.hosts.clinic.potr: unknown key; [mail.hosts.clinic] has "),
            (("HOSTS__clinic__CA_FILE", "/dev/null"), "mail.hosts.clinic.ca_file: "),
        ] {
            let error = with(&[more]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(from(&clinic).unwrap_err().contains("mail.host: write the main server"));
    }

    #[test]
    fn an_error_names_the_key_and_what_to_write() {
        for (settings, words) in [
            (vec![HOST], "mail.from: write the sender's address"),
            (vec![HOST, ("FROM", "report")], "mail.from: write it as name@example.com"),
            (vec![HOST, FROM, ("REPLY_TO", "a..b@example.jp")], "mail.reply_to: a dot may stand"),
            (vec![HOST, FROM, ("USER", "u")], "mail.password_file: name the file"),
            (vec![HOST, FROM, ("PASSWORD", "p")], "mail.user: a password is set"),
            (
                vec![HOST, FROM, ("BOUNCE_ADDRESS", "a-very-long-name-of-bounces@example.jp")],
                "mail.bounce_address: write at",
            ),
            (vec![HOST, FROM, ("IMAP__HOST", "i")], "mail.imap.user: write the user"),
            (
                vec![HOST, FROM, ("IMAP__HOST", "i"), ("IMAP__USER", "u")],
                "mail.imap.password_file: name the file",
            ),
            (vec![HOST, FROM, ("IMAP__HOST", "i"), ("IMAP__TLS", "starttls")], "mail.imap.tls: write"),
            (vec![HOST, FROM, ("TLS", "ssl")], "mail.tls: "),
            (vec![HOST, FROM, ("PORT", "0")], "mail.port: "),
            (vec![HOST, FROM, ("CA_FILE", "/nowhere/ca.pem")], "mail.ca_file: "),
            (vec![HOST, FROM, ("CA_FILE", "/dev/null")], "mail.ca_file: "),
            (vec![HOST, FROM, ("DOMAINS__docomo", "0")], "mail.domains.docomo: write at least 1"),
        ] {
            let error = from(&settings).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
