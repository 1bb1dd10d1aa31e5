//! `[chat]`: the token of Chatwork, the bots of LINE WORKS, the gateways of SMS, and their conversion to the settings of [`crate::chat`].
//!
//! Invariant: a gateway that cannot work is refused as a whole, with the key and what to write.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::sections::read_secret;
use super::{Config, ConfigError, values};
use crate::chat::{Gateways, Settings};
use crate::contract::records::{ChannelRules, EndpointKind};
use crate::mail::Line;
use crate::messages::letter::LetterSettings;
use crate::numbers::NumberPlan;
use crate::secret::Secret;

/// `[chat]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatConfig {
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) chatwork_token_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) chatwork_token: Option<Secret>,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) gateways_file: Option<PathBuf>,
    hosts: BTreeMap<String, String>,
}

impl Config {
    /// Which endpoints of messages there may be.
    ///
    /// # Errors
    /// A key of `[chat]`, or the file of the gateways, is wrong.
    pub fn channel_rules(&self) -> Result<ChannelRules, ConfigError> {
        let mut hosts = BTreeMap::new();
        for (name, added) in &self.chat.hosts {
            let has_host = |kind: &EndpointKind| {
                kind.has_secret() || matches!(kind, EndpointKind::Chatwork | EndpointKind::LineWorksBot)
            };
            let kind = EndpointKind::parse(name).filter(has_host);
            let kind = kind.ok_or_else(|| {
                error(
                    &format!("hosts.{name}"),
                    "the services are slack, teams, chatwork, line_works, line_works_bot and google_chat",
                )
            })?;
            let added: Vec<String> = added.split_whitespace().map(str::to_ascii_lowercase).collect();
            if let Some(wrong) = added.iter().find(|host| host.contains(['/', '@', '?', '#'])) {
                let reason =
                    format!("{wrong:?} is no host: write host or host:port, with spaces between several");
                return Err(error(&format!("hosts.{name}"), &reason));
            }
            hosts.insert(kind, added);
        }
        let gateways = self.gateways()?;
        Ok(ChannelRules {
            hosts,
            has_chatwork: self.chat.chatwork_token.is_some() || self.chat.chatwork_token_file.is_some(),
            line_works_bots: gateways.line_works_bots.into_keys().collect(),
            sms: gateways.sms.into_keys().collect(),
            fax: gateways.fax.into_keys().collect(),
            plan: NumberPlan::of_country(&self.directory.country).unwrap_or_default(),
        })
    }

    /// How messages go to chats and by SMS, with the secrets.
    ///
    /// # Errors
    /// A key of `[chat]` or `[webhooks]`, or the file of the gateways, is wrong, or a secret cannot be read.
    pub fn chat_settings(&self) -> Result<Settings, ConfigError> {
        let webhooks = self.webhook_settings()?;
        let chatwork = match (&self.chat.chatwork_token, &self.chat.chatwork_token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(read_secret(file, "chat.chatwork_token_file")?),
            (None, None) => None,
        };
        if chatwork.as_ref().is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(error("chatwork_token_file", "the token has a character that no token has"));
        }
        let rules = self.channel_rules()?;
        let mut letter = LetterSettings::of_samples(self.directory.time_zone.clone(), rules.plan);
        letter.from_name = Line::new(self.mail.from_name());
        let gateways = self.gateways()?;
        Ok(Settings {
            rules,
            chatwork,
            line_works_bots: gateways.line_works_bots,
            sms: gateways.sms,
            allow_private: webhooks.allow_private,
            authorities: webhooks.authorities,
            letter,
            links: self.links()?,
        })
    }

    pub(super) fn gateways(&self) -> Result<Gateways, ConfigError> {
        let Some(file) = &self.chat.gateways_file else { return Ok(Gateways::default()) };
        Gateways::read(file, self.webhooks.allow_private_addresses).map_err(|wrong| ConfigError::Key {
            origin: file.display().to_string(),
            key: "chat.gateways_file".into(),
            reason: wrong.to_string(),
        })
    }
}

fn error(key: &str, reason: &str) -> ConfigError {
    ConfigError::Key { origin: "chat".into(), key: format!("chat.{key}"), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(settings: &[(&str, &str)]) -> Result<ChannelRules, String> {
        let set = |(key, value): &(&str, &str)| (format!("TORITSUGI__CHAT__{key}"), (*value).to_owned());
        let config =
            Config::from_layers(None, settings.iter().map(set)).map_err(|error| error.to_string())?;
        config.chat_settings().map_err(|error| error.to_string()).map(|settings| settings.rules)
    }

    #[test]
    fn a_service_has_what_the_configuration_gives_it() {
        let none = rules(&[]).unwrap();
        assert!(none.hosts.is_empty() && none.sms.is_empty() && !none.has_chatwork);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateways.toml");
        let path = file.to_str().unwrap();
        let gateway = "[sms.main]\nurl = \"https://sms.example.jp\"\nsecret_file = \"token\"\n\
            body = '{\"to\": \"{{ number }}\", \"text\": \"{{ text }}\"}'";
        std::fs::write(&file, gateway).unwrap();
        let error = rules(&[("GATEWAYS_FILE", path)]).unwrap_err();
        assert!(error.contains("chat.gateways_file: sms.main.secret_file: cannot be read"), "{error}");
        std::fs::write(directory.path().join("token"), "s3cret").unwrap();
        let key = include_str!("../../tests/samples/line_works_bot.pem");
        std::fs::write(directory.path().join("key"), key).unwrap();
        let bot = "\n[line_works_bot.desk]\nbot_id = 1\nclient_id = \"c\"\nclient_secret_file = \"token\"\n\
            service_account = \"s\"\nprivate_key_file = \"key\"";
        std::fs::write(&file, format!("{gateway}{bot}")).unwrap();
        let all = [
            ("CHATWORK_TOKEN", "0123456789abcdef"),
            ("HOSTS__slack", "hooks.slack-gov.com localhost:8443"),
            ("GATEWAYS_FILE", path),
        ];
        let found = rules(&all).unwrap();
        assert_eq!(found.hosts[&EndpointKind::Slack], ["hooks.slack-gov.com", "localhost:8443"]);
        assert!(found.has_chatwork && found.sms == ["main"] && found.line_works_bots == ["desk"]);
        for (setting, words) in [
            (("HOSTS__mail", "x"), "chat.hosts.mail: the services are"),
            (("HOSTS__slack", "https://x/"), "chat.hosts.slack: \"https://x/\" is no host"),
            (("CHATWORK_TOKEN", "a b"), "chat.chatwork_token_file: the token has"),
            (("CHATWORK_TOKEN_FILE", "/nowhere"), "chat.chatwork_token_file: cannot be read"),
            (("GATEWAYS_FILE", "/nowhere"), "chat.gateways_file: cannot be read"),
        ] {
            let error = rules(&[setting]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
