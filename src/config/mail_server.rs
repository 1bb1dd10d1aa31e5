//! A mail server, as `[mail]`, `[mail.backup]` and each `[mail.hosts.NAME]` describe one.
//!
//! Invariant: a name in `[mail.hosts]` is none that deliveries have already: not that of the main server, its backup, a chat or SMS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use smol_str::SmolStr;

use super::mail::{address, authorities, error};
use super::mail_login::LoginKeys;
use super::{Config, ConfigError, values};
use crate::mail::{Line, MailAddress};
use crate::outbox::{Backup, Host, Server, TlsMode};
use crate::secret::Secret;
use crate::store::mail_servers::{BACKUP_SERVER, servers};

/// Longest name of a server, in characters.
const NAME_CHARS_MAX: usize = 32;

/// `[mail.backup]`, and each table of `[mail.hosts]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerConfig {
    #[serde(deserialize_with = "values::optional_word")]
    host: Option<SmolStr>,
    #[serde(deserialize_with = "values::port")]
    port: u16,
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
    #[serde(deserialize_with = "values::count::<_, 1, 100_000>")]
    per_minute: usize,
    /// Of `[mail.hosts.NAME]` alone, as the three below: the sender of the mails that go over it.
    #[serde(default)]
    from: String,
    #[serde(default)]
    from_name: String,
    #[serde(default)]
    reply_to: String,
    #[serde(default)]
    bounce_address: String,
}

/// What a section says about its server.
pub(super) struct ServerKeys<'a> {
    /// As `[…]` names it, without `mail.`; empty for `[mail]`.
    pub(super) section: &'a str,
    pub(super) host: SmolStr,
    pub(super) port: u16,
    pub(super) tls: TlsMode,
    pub(super) ca_file: Option<&'a Path>,
    pub(super) server_name: Option<&'a SmolStr>,
    pub(super) user: Option<&'a SmolStr>,
    pub(super) password: Option<&'a Secret>,
    pub(super) password_file: Option<&'a Path>,
    pub(super) token_file: Option<&'a PathBuf>,
    pub(super) token_command: &'a [SmolStr],
    pub(super) hello_name: Option<&'a SmolStr>,
}

impl ServerKeys<'_> {
    /// The server, with what signs in.
    ///
    /// # Errors
    /// A key lacks its value or contradicts another one.
    pub(super) fn server(self) -> Result<Server, ConfigError> {
        let prefix = if self.section.is_empty() { String::new() } else { format!("{}.", self.section) };
        let section =
            if self.section.is_empty() { "mail".to_owned() } else { format!("mail.{}", self.section) };
        let login = LoginKeys {
            section: &section,
            user: self.user,
            password: self.password,
            password_file: self.password_file,
            token_file: self.token_file,
            token_command: self.token_command,
        };
        let ca_file = format!("{prefix}ca_file");
        let server = Server {
            tls_name: self.server_name.unwrap_or(&self.host).clone(),
            host: self.host,
            port: self.port,
            tls: self.tls,
            authorities: authorities(&ca_file, self.ca_file)?,
            login: login.login()?,
            hello_name: self.hello_name.cloned(),
        };
        server.check().map_err(|reason| error(&ca_file, &reason))?;
        Ok(server)
    }
}

impl ServerConfig {
    fn server(&self, section: &str, hello_name: Option<&SmolStr>) -> Result<Option<Server>, ConfigError> {
        let Some(host) = self.host.clone() else { return Ok(None) };
        let keys = ServerKeys {
            section,
            host,
            port: self.port,
            tls: self.tls,
            ca_file: self.ca_file.as_deref(),
            server_name: self.server_name.as_ref(),
            user: self.user.as_ref(),
            password: self.password.as_ref(),
            password_file: self.password_file.as_deref(),
            token_file: self.token_file.as_ref(),
            token_command: &self.token_command,
            hello_name,
        };
        keys.server().map(Some)
    }

    fn per_minute(&self) -> u32 {
        u32::try_from(self.per_minute).unwrap_or(u32::MAX)
    }
}

impl Config {
    /// The server that urgent mails go over while another one refuses all mails.
    pub(super) fn backup(&self) -> Result<Option<Backup>, ConfigError> {
        let backup = &self.mail.backup;
        if backup.host.is_some() && (&backup.host, backup.port) == (&self.mail.host, self.mail.port) {
            return Err(error("backup.host", "write another server than mail.host"));
        }
        let server = backup.server(BACKUP_SERVER, self.mail.hello_name.as_ref())?;
        Ok(server.map(|server| Backup { server, per_minute: backup.per_minute() }))
    }

    /// The servers that accounts may have of their own, by name. Mails come back to `bounces`, unless a server has its own address.
    pub(super) fn mail_hosts(
        &self,
        bounces: Option<&MailAddress>,
    ) -> Result<BTreeMap<SmolStr, Host>, ConfigError> {
        let host = |(name, config): (&SmolStr, &ServerConfig)| {
            check_name(name)?;
            Ok((name.clone(), self.mail_host(name, config, bounces)?))
        };
        self.mail.hosts.iter().map(host).collect()
    }

    fn mail_host(
        &self,
        name: &str,
        config: &ServerConfig,
        bounces: Option<&MailAddress>,
    ) -> Result<Host, ConfigError> {
        let key = |key: &str| format!("hosts.{name}.{key}");
        let server = config.server(&format!("hosts.{name}"), self.mail.hello_name.as_ref())?;
        let server = server.ok_or_else(|| error(&key("host"), "write the server's host name"))?;
        let from = address(&key("from"), &config.from)?;
        let from = from.ok_or_else(|| {
            error(&key("from"), "write the sender's address, for instance desk@clinic.example.jp")
        })?;
        let bounce_address = address(&key("bounce_address"), &config.bounce_address)?;
        if let Some(address) = &bounce_address
            && bounces.is_none_or(|bounces| bounces.local() != address.local())
        {
            let reason = "write the same part before the @ as in mail.bounce_address: one mailbox gets what comes back";
            return Err(error(&key("bounce_address"), reason));
        }
        let from_name = if config.from_name.is_empty() { self.mail.from_name() } else { &config.from_name };
        Ok(Host {
            server,
            per_minute: config.per_minute(),
            from,
            from_name: Line::new(from_name),
            reply_to: address(&key("reply_to"), &config.reply_to)?,
            bounce_address,
        })
    }
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(is_plain) {
        let reason = format!("a name has 1 to {NAME_CHARS_MAX} small letters, digits, - and _");
        return Err(error(&format!("hosts.{name}"), &reason));
    }
    if name == BACKUP_SERVER || servers().contains(&name) {
        return Err(error(&format!("hosts.{name}"), "this name is taken; choose another one"));
    }
    Ok(())
}
