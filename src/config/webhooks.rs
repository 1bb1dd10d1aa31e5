//! Builds the webhook receivers from three tables of `[webhooks]`: URLs, secrets and event kinds by receiver.
//!
//! Invariant: every receiver has a URL, a secret and known event kinds. An error names the key that is wrong.

use std::path::Path;

use smol_str::SmolStr;
use tokio_rustls::rustls::pki_types::CertificateDer;
use url::Url;

use super::sections::read_secret;
use super::{Config, ConfigError, files};
use crate::https;
use crate::secret::Secret;
use crate::webhook::{KindPattern, Receiver, Settings};

/// Shortest secret, in bytes. RFC 2104 recommends 32 for HMAC-SHA256, which is more than most people choose.
const SECRET_BYTES_MIN: usize = 16;

impl Config {
    /// The receivers of webhooks, with their secrets.
    ///
    /// # Errors
    /// A receiver lacks its secret, or one of its values is invalid.
    pub fn webhook_settings(&self) -> Result<Settings, ConfigError> {
        let webhooks = &self.webhooks;
        for (table, names) in [
            ("secret_files", webhooks.secret_files.keys().collect::<Vec<_>>()),
            ("kinds", webhooks.kinds.keys().collect()),
            ("secrets", webhooks.secrets.keys().collect()),
        ] {
            if let Some(name) = names.into_iter().find(|name| !webhooks.urls.contains_key(*name)) {
                return Err(receiver_error(
                    table,
                    name,
                    "no receiver of this name under [webhooks.urls]: add its URL there, or remove this key"
                        .into(),
                ));
            }
        }
        let receivers = webhooks.urls.iter().map(|(name, url)| self.receiver(name, url));
        let receivers = receivers.collect::<Result<_, _>>()?;
        let authorities = webhooks.ca_file.as_deref().map(read_authorities).transpose()?.unwrap_or_default();
        Ok(Settings { receivers, allow_private: webhooks.allow_private_addresses, authorities })
    }

    fn receiver(&self, name: &SmolStr, url: &str) -> Result<Receiver, ConfigError> {
        let webhooks = &self.webhooks;
        let parsed: Url = url.parse().map_err(|error| receiver_error("urls", name, format!("{error}")))?;
        let plain = parsed.scheme() == "http";
        if !plain && parsed.scheme() != "https" || parsed.host().is_none() {
            return Err(receiver_error("urls", name, "write https:// and a host".into()));
        }
        if plain && !webhooks.allow_private_addresses {
            let reason = "plain http is for private addresses: use https, or set allow_private_addresses";
            return Err(receiver_error("urls", name, reason.into()));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(receiver_error(
                "urls",
                name,
                "a secret does not belong in a URL: remove the user and the password".into(),
            ));
        }
        let kinds = webhooks.kinds.get(name).map(Vec::as_slice).unwrap_or_default();
        let parse = |text: &String| text.parse::<KindPattern>();
        let kinds = kinds.iter().map(parse).collect::<Result<_, _>>();
        let kinds = kinds.map_err(|error| receiver_error("kinds", name, error.to_string()))?;
        Ok(Receiver { name: name.clone(), url: parsed, secret: self.webhook_secret(name)?, kinds })
    }

    fn webhook_secret(&self, name: &SmolStr) -> Result<Secret, ConfigError> {
        let key = format!("webhooks.secret_files.{name}");
        let secret = match (self.webhooks.secrets.get(name), self.webhooks.secret_files.get(name)) {
            (Some(secret), _) => secret.clone(),
            (None, Some(file)) => read_secret(file, &key)?,
            (None, None) => {
                let reason =
                    format!("name the file that holds it, or set TORITSUGI__WEBHOOKS__SECRETS__{name}");
                return Err(ConfigError::Key { origin: "no secret".into(), key, reason });
            }
        };
        if secret.expose().len() < SECRET_BYTES_MIN {
            return Err(receiver_error(
                "secret_files",
                name,
                format!("the secret must have at least {SECRET_BYTES_MIN} bytes"),
            ));
        }
        Ok(secret)
    }
}

fn read_authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let error = |reason: String| ConfigError::Key {
        origin: file.display().to_string(),
        key: "webhooks.ca_file".into(),
        reason,
    };
    let pem = files::read(file, files::PEM_BYTES_MAX).map_err(|e| error(format!("cannot be read: {e}")))?;
    https::authorities_of(&pem).map_err(|e| error(e.to_string()))
}

fn receiver_error(table: &str, name: &str, reason: String) -> ConfigError {
    ConfigError::Key { origin: "webhooks".into(), key: format!("webhooks.{table}.{name}"), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(settings: &[(&str, &str)]) -> Result<Settings, String> {
        let set = |(key, value): &(&str, &str)| (format!("TORITSUGI__WEBHOOKS__{key}"), (*value).to_owned());
        let config =
            Config::from_layers(None, settings.iter().map(set)).map_err(|error| error.to_string())?;
        config.webhook_settings().map_err(|error| error.to_string())
    }

    const SECRET: (&str, &str) = ("SECRETS__crm", "0123456789abcdef");

    #[test]
    fn a_receiver_has_a_url_a_secret_and_kinds() {
        let settings = from(&[
            ("URLS__crm", "https://crm.example.jp/in"),
            SECRET,
            ("KINDS__crm", "call.*, operator.state"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.receivers[0].kinds.len(), 2);
        assert!(!format!("{settings:?}").contains("0123456789abcdef"));
        assert!(from(&[]).unwrap().receivers.is_empty());
    }

    #[test]
    fn an_error_names_the_key_and_the_reason() {
        for (settings, words) in [
            (vec![("URLS__crm", "https://crm.example.jp/")], "webhooks.secret_files.crm: name the file"),
            (vec![("URLS__crm", "http://10.0.0.1/"), SECRET], "plain http is for private addresses"),
            (vec![("URLS__crm", "ftp://crm.example.jp/"), SECRET], "write https://"),
            (vec![("URLS__crm", "crm"), SECRET], "webhooks.urls.crm: "),
            (vec![("URLS__crm", "https://u:p@crm.example.jp/"), SECRET], "does not belong in a URL"),
            (
                vec![("URLS__crm", "https://crm.example.jp/"), SECRET, ("KINDS__crm", "calls")],
                "is no kind of event",
            ),
            (vec![("URLS__crm", "https://crm.example.jp/"), ("SECRETS__crm", "short")], "at least 16 bytes"),
            (vec![("CA_FILE", "/nowhere/ca.pem")], "webhooks.ca_file: "),
            (vec![("CA_FILE", "/dev/null")], "holds no PEM certificate"),
            (vec![SECRET], "no receiver of this name under [webhooks.urls]"),
        ] {
            let error = from(&settings).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
