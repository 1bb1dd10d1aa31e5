//! What the parts of the daemon need of the configuration, in their own types.
//!
//! Invariant: a message about a file that the configuration names (a secret, a certificate) names the key, too.

use std::time::Duration;

use smol_str::SmolStr;

use super::{Config, ConfigError, Login, PbxConfig};
use crate::ami::client;
use crate::ami::reconnect::Schedule;
use crate::ami::tls::Tls;
use crate::call::Plan;
use crate::operator;
use crate::transfer;

/// How long a call waits for the dialplan to hand over its SIP identity before the channel's own numbers do.
const IDENTITY_WAIT: Duration = Duration::from_millis(100);
/// How long it then waits for the PBX to say whether the caller's number may be shown.
const ASK_WAIT: Duration = Duration::from_millis(100);

impl PbxConfig {
    /// Where and how to log in to the PBX; `seeds` is the caller's source of randomness.
    ///
    /// # Errors
    /// A secret or the certificate cannot be read or used.
    pub fn link(&self, seeds: fn() -> u64) -> Result<client::Settings, ConfigError> {
        let both = self.credentials()?;
        let mut settings =
            client::Settings::new(&self.host, self.port, login(both.events), login(both.actions), seeds);
        settings.tls = self.tls()?;
        settings.ping = self.ping;
        settings.schedule =
            Schedule { max: self.reconnect_max, refused: self.refused_login, ..Schedule::default() };
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
                "name the certificate that the PBX shows, or of the authority that signed it".into(),
            ));
        };
        let pem =
            std::fs::read(file).map_err(|e| error(format!("{} cannot be read: {e}", file.display())))?;
        let name = self.tls.server_name.as_ref().unwrap_or(&self.host);
        Tls::new(&pem, name).map(Some).map_err(|e| error(format!("{}: {e}", file.display())))
    }
}

impl Config {
    /// What the call model must know of the installation.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let pbx = &self.pbx;
        Plan {
            pbx: pbx.name.clone(),
            trunks: pbx.trunks.clone(),
            phones: pbx.operator_extensions.iter().chain(&pbx.supervisor_extensions).cloned().collect(),
            identity_wait: IDENTITY_WAIT,
            ask_wait: ASK_WAIT,
            card_wait: self.pop.store_wait,
        }
    }

    /// How transfers behave.
    #[must_use]
    pub fn transfers(&self) -> transfer::Settings {
        let (pbx, transfer) = (&self.pbx, &self.transfer);
        transfer::Settings {
            ring_s: u32::try_from(transfer.ring.as_secs()).unwrap_or(u32::MAX),
            service_number: transfer.service_number.clone().unwrap_or_default(),
            queues: transfer.queues.clone(),
            operators: pbx.operator_extensions.iter().chain(&pbx.supervisor_extensions).cloned().collect(),
        }
    }
}

impl Config {
    /// How operators' states behave.
    #[must_use]
    pub fn floor(&self) -> operator::Settings {
        let (pbx, operators) = (&self.pbx, &self.operators);
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        operator::Settings {
            not_ready_reasons: operators.not_ready_reasons.clone(),
            dispositions: operators.dispositions.clone(),
            wrap_up_s: seconds(operators.wrap_up),
            wrap_up_extend_s_max: seconds(operators.wrap_up_extend_max),
            disposition_required: operators.disposition_required,
            phones: pbx.operator_extensions.iter().chain(&pbx.supervisor_extensions).cloned().collect(),
            teams: operators.teams.clone(),
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
    fn what_tls_lacks_is_said_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let with = |ca: &str| {
            let set = |key: &str, value: &str| (format!("TORITSUGI__PBX__{key}"), value.to_owned());
            let environment = [
                set("EVENT_SECRET", "a"),
                set("ACTION_SECRET", "b"),
                set("TLS__ENABLED", "true"),
                set("TLS__CA_FILE", ca),
            ];
            Config::from_layers(None, environment).unwrap().pbx.link(|| 1).unwrap_err().to_string()
        };
        assert!(with("").starts_with("TLS to the PBX: pbx.tls.ca_file: name the certificate"));
        assert!(with(&file.to_string_lossy()).contains("ca.pem cannot be read: "));
        std::fs::write(&file, "nothing").unwrap();
        assert!(with(&file.to_string_lossy()).contains("ca.pem: the CA file holds no PEM certificate"));
    }
}
