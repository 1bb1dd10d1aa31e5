//! `[public]`: the listener of the public pages, and the address under which they are reached.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer};
use url::Url;

use super::{Config, ConfigError, values};
use crate::gateway::{AddressRange, Links};

/// `[public]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicConfig {
    /// The address and port to listen on; `None`: there are no public pages.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
    url: String,
    /// The reverse proxies whose `X-Forwarded-For` names the client.
    #[serde(deserialize_with = "values::address_ranges")]
    pub trusted_proxies: Vec<AddressRange>,
}

impl Config {
    /// The links that mails have; `None`: there are no public pages.
    ///
    /// # Errors
    /// The address is missing or is none.
    pub fn links(&self) -> Result<Option<Links>, ConfigError> {
        let public = &self.public;
        if public.listen.is_none() {
            return Ok(None);
        }
        let error = |reason: &str| ConfigError::Key {
            origin: "public".into(),
            key: "public.url".into(),
            reason: reason.into(),
        };
        let url = Url::parse(&public.url)
            .map_err(|_| error("write the address under which contacts reach public.listen, for instance https://m.example.jp"))?;
        let is_local = url.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
            return Err(error("write an https address: the link in a mail opens a message"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(error("write the scheme, the host and perhaps a port and a path, nothing else"));
        }
        let base = public.url.trim_end_matches('/').to_owned();
        Ok(Some(Links { base, ttl: self.messages.ack_ttl }))
    }
}

/// An address and a port, or nothing.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| serde::de::Error::custom("write an address and a port, for instance 127.0.0.1:8471"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(settings: &[(&str, &str)]) -> Result<Option<Links>, String> {
        let set = |(key, value): &(&str, &str)| (format!("TORITSUGI__PUBLIC__{key}"), (*value).to_owned());
        let config =
            Config::from_layers(None, settings.iter().map(set)).map_err(|error| error.to_string())?;
        config.links().map_err(|error| error.to_string())
    }

    #[test]
    fn links_need_an_address_that_a_mail_may_have() {
        assert_eq!(links(&[]).unwrap(), None);
        let listen = ("LISTEN", "127.0.0.1:8471");
        let found = links(&[listen, ("URL", "https://m.example.jp/")]).unwrap().unwrap();
        assert_eq!((found.base.as_str(), found.ttl.as_secs()), ("https://m.example.jp", 14 * 86_400));
        for (settings, words) in [
            (vec![listen], "public.url: write the address under which"),
            (vec![listen, ("URL", "http://m.example.jp")], "public.url: write an https address"),
            (vec![listen, ("URL", "https://m.example.jp/?a=b")], "public.url: write the scheme"),
            (vec![("LISTEN", "8471")], "public.listen: "),
            (vec![("TRUSTED_PROXIES", "everybody")], "public.trusted_proxies: "),
        ] {
            let error = links(&settings).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
