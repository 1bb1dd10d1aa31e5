//! Conversion of the configuration into the settings types of the other rooms, none of which knows the configuration.
//!
//! Invariant: an error about a file that the configuration names (a secret, a certificate) names the key as well.

use std::path::Path;
use std::time::Duration;

use smol_str::SmolStr;

use super::purge;
use crate::ami::client;
use crate::ami::reconnect::Schedule;
use crate::ami::tls::Tls;
use crate::call::EndpointRules;
use crate::config::{Config, ConfigError, DeletedCustomers, DirectoryConfig, Login, PbxConfig, files};
use crate::contract::endpoint::EndpointNames;
use crate::contract::records::ChannelRules;
use crate::directory::{DirectoryOptions, transfer_targets};
use crate::fax::FaxSettings;
use crate::gateway;
use crate::gateway::{CONNECTIONS_BESIDE_STREAMS, HEARTBEAT_INTERVAL, HISTORY_FILE_CALLS_MAX};
use crate::messages;
use crate::numbers::NumberPlan;
use crate::operators;
use crate::operators::SharedWords;
use crate::store::Location;
use crate::text::kana::kana;
use crate::voice::VoiceSettings;
use crate::webhook;

/// How long a call waits for the SIP identity from the dialplan. After that the model uses the numbers of the channel.
const IDENTITY_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a call then waits for the PBX's answer whether the caller's number may be shown.
const PRESENTATION_TIMEOUT: Duration = Duration::from_millis(100);

impl PbxConfig {
    /// The address, logins, TLS and timers of the AMI client; `seeds` is the source of randomness.
    ///
    /// # Errors
    /// A secret or the certificate cannot be read or used.
    pub fn connection_settings(&self, seeds: fn() -> u64) -> Result<client::Settings, ConfigError> {
        let credentials = self.credentials()?;
        let mut settings = client::Settings::new(
            &self.host,
            self.port,
            login(credentials.events),
            login(credentials.actions),
            seeds,
        );
        settings.tls = self.tls()?;
        settings.ping = self.ping_interval;
        settings.schedule = Schedule {
            max: self.reconnect_delay_limit,
            refused: self.refused_login_delay,
            ..Schedule::default()
        };
        Ok(settings)
    }

    fn tls(&self) -> Result<Option<Tls>, ConfigError> {
        if !self.tls.enabled {
            return Ok(None);
        }
        let error = |reason: String| ConfigError::Key {
            origin: "TLS to the PBX".into(),
            key: "pbx.tls.ca_file".into(),
            reason,
        };
        let Some(file) = &self.tls.ca_file else {
            return Err(error(
                "name the file with the certificate of the PBX, or with that of the authority that signed it"
                    .into(),
            ));
        };
        let pem = files::read(file, files::PEM_BYTES_MAX)
            .map_err(|e| error(format!("{} cannot be read: {e}", file.display())))?;
        let name = self.tls.server_name.as_ref().unwrap_or(&self.host);
        Tls::new(&pem, name).map(Some).map_err(|e| error(format!("{}: {e}", file.display())))
    }
}

impl Config {
    /// Which endpoints are trunks and which are phones of operators, and the timeouts of the call model.
    #[must_use]
    pub fn endpoint_rules(&self) -> EndpointRules {
        let pbx = &self.pbx;
        EndpointRules {
            pbx: pbx.name.clone(),
            trunks: pbx.trunks.clone(),
            endpoints: EndpointNames {
                trunk_contexts: pbx.trunk_contexts.clone(),
                phones: pbx.phone_endpoints.clone(),
                extensions: pbx.endpoint_extensions.clone(),
                internal: pbx.internal_endpoints.clone(),
            },
            phones: pbx.operator_extensions.iter().chain(&pbx.supervisor_extensions).cloned().collect(),
            identity_timeout: IDENTITY_TIMEOUT,
            presentation_timeout: PRESENTATION_TIMEOUT,
            card_timeout: self.pop.store_timeout,
        }
    }

    /// The settings of transfers.
    #[must_use]
    pub fn transfer_settings(&self) -> transfer_targets::Settings {
        let (pbx, transfer) = (&self.pbx, &self.transfer);
        transfer_targets::Settings {
            ring_s: u32::try_from(transfer.ring_timeout.as_secs()).unwrap_or(u32::MAX),
            service_number: transfer.service_number.clone().unwrap_or_default(),
            queues: transfer.queues.clone(),
            operators: pbx.operator_extensions.iter().chain(&pbx.supervisor_extensions).cloned().collect(),
        }
    }

    /// The settings of the operators' states.
    #[must_use]
    pub fn operator_settings(&self) -> operators::Settings {
        let (pbx, config) = (&self.pbx, &self.operators);
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        operators::Settings {
            not_ready_reasons: config.not_ready_reasons.clone(),
            dispositions: config.dispositions.clone(),
            wrap_up_s: seconds(config.wrap_up),
            wrap_up_extend_s_max: seconds(config.wrap_up_extension_limit),
            disposition_required: config.disposition_required,
            phones: pbx.operator_extensions.iter().chain(&pbx.supervisor_extensions).cloned().collect(),
            teams: config.teams.clone(),
        }
    }
}

impl From<&DirectoryConfig> for DirectoryOptions {
    fn from(config: &DirectoryConfig) -> Self {
        Self {
            plan: NumberPlan::of_country(&config.country).unwrap_or_default(),
            time_zone: config.time_zone.clone(),
            default_accounts: config.default_accounts.clone(),
            dialled_headers: config.dialled_headers.clone(),
            forget_deleted: false,
            mail_hosts: Vec::new(),
        }
    }
}

impl Config {
    /// How the directory finds accounts and customers, and what records may name.
    #[must_use]
    pub fn directory_options(&self) -> DirectoryOptions {
        DirectoryOptions {
            forget_deleted: self.retention.deleted_customers == DeletedCustomers::Anonymise,
            mail_hosts: self.mail.host_names(),
            ..DirectoryOptions::from(&self.directory)
        }
    }

    /// Where faxes come from.
    #[must_use]
    pub fn fax_settings(&self) -> FaxSettings {
        FaxSettings { directory: self.fax.directory.clone() }
    }

    /// Where voice messages come from.
    #[must_use]
    pub fn voice_settings(&self) -> VoiceSettings {
        VoiceSettings { directory: self.voice.directory.clone() }
    }

    /// The settings of messages.
    #[must_use]
    pub fn message_settings(&self) -> messages::Settings {
        let config = &self.messages;
        messages::Settings {
            required: config.required,
            words: SharedWords::default(),
            common_surnames: config.common_surnames.iter().map(|name| kana(name).into()).collect(),
            undo: config.undo,
            supervisors_export: config.supervisors_export,
            supervisors_edit_scripts: config.supervisors_edit_scripts,
            time_zone: self.directory.time_zone.clone(),
            channels: ChannelRules::default(),
            fax: Vec::new(),
            return_path: None,
            reply_path: None,
        }
    }

    /// How the installation is set up, as administrators read it.
    ///
    /// # Errors
    /// A receiver of webhooks lacks its secret, or one of its values is invalid.
    pub fn setup(&self) -> Result<gateway::Setup, ConfigError> {
        let receiver = |receiver: webhook::Receiver| gateway::ReceiverSetup {
            host: receiver.url.host_str().unwrap_or_default().to_owned(),
            kinds: receiver.kinds.iter().map(ToString::to_string).collect(),
            name: receiver.name,
        };
        let spools = [("fax", &self.fax.directory), ("voice", &self.voice.directory)];
        let spools: Vec<_> =
            spools.into_iter().filter_map(|(name, path)| Some((name, path.clone()?))).collect();
        let of_store = match self.store.location() {
            Ok(Location::File(file)) => file.parent().map(Path::to_path_buf),
            _ => None,
        };
        let certificates = [
            ("pbx.tls.ca_file", self.pbx.tls.ca_file.clone().filter(|_| self.pbx.tls.enabled)),
            ("webhooks.ca_file", self.webhooks.ca_file.clone()),
            ("mail.ca_file", self.mail.ca_file().map(Path::to_path_buf)),
        ];
        Ok(gateway::Setup {
            settings: self.settings.clone(),
            receivers: self.webhook_settings()?.receivers.into_iter().map(receiver).collect(),
            retention: purge::plan(&self.retention),
            watched: gateway::Watched {
                disks: of_store.into_iter().chain(spools.iter().map(|(_, path)| path.clone())).collect(),
                spools,
                certificates: certificates.into_iter().filter_map(|(key, file)| Some((key, file?))).collect(),
            },
        })
    }

    /// The limits and times of the gateway.
    #[must_use]
    pub fn gateway_settings(&self) -> gateway::Settings {
        let config = &self.gateway;
        gateway::Settings {
            allowed_origins: config.allowed_origins.clone(),
            secure_cookie: config.secure_cookie,
            trusted_proxies: config.trusted_proxies.clone(),
            session_ttl: config.session_ttl,
            connections_max: config.subscribers_max + CONNECTIONS_BESIDE_STREAMS,
            body_bytes_max: config.body_bytes_max,
            history_file_calls_max: HISTORY_FILE_CALLS_MAX,
            supervisors_switch: self.callflow.supervisors_switch,
            brings_sounds: self.callflow.sounds_directory.is_some(),
            history_whole_for: self.retention.history_whole_for(),
            report_font: self.reports.font.clone(),
            drain_timeout: config.drain_timeout,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            messages: self.message_settings(),
        }
    }
}

fn login(login: Login) -> client::Login {
    client::Login { username: SmolStr::to_string(&login.user), secret: login.secret }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_tls_settings_names_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let error_with = |ca: &str| {
            let set = |key: &str, value: &str| (format!("TORITSUGI__PBX__{key}"), value.to_owned());
            let environment = [
                set("EVENT_SECRET", "a"),
                set("ACTION_SECRET", "b"),
                set("TLS__ENABLED", "true"),
                set("TLS__CA_FILE", ca),
            ];
            Config::from_layers(None, environment)
                .unwrap()
                .pbx
                .connection_settings(|| 1)
                .unwrap_err()
                .to_string()
        };
        assert!(
            error_with("").starts_with("TLS to the PBX: pbx.tls.ca_file: name the file with the certificate")
        );
        assert!(error_with(&file.to_string_lossy()).contains("ca.pem cannot be read: "));
        std::fs::write(&file, "nothing").unwrap();
        assert!(error_with(&file.to_string_lossy()).contains("ca.pem: the CA file holds no PEM certificate"));
    }
}
