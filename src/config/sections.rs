//! The sections of the configuration, one type each, in the order of `default.toml`, which explains the keys.
//!
//! Invariant: the fields are typed and checked: durations are [`Duration`]s, an optional value that is not set is
//! `None`, names are printable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use smol_str::SmolStr;

use super::chat::ChatConfig;
use super::mail::MailConfig;
use super::public::PublicConfig;
use super::retention::RetentionConfig;
use super::{ConfigError, files, values};
use crate::bus::redis::RedisAddress;
use crate::contract::choice::Choice;
use crate::contract::endpoint::PhonePattern;
use crate::contract::extension_pattern::ExtensionPattern;
use crate::contract::supervision::{AfterTransfer, Notify};
use crate::contract::url_template::UrlTemplate;
use crate::directory::DialledHeader;
use crate::gateway::AddressRange;
use crate::ids::{Extension, PbxId, QueueName};
use crate::messages::RequiredMessages;
use crate::secret::Secret;
use crate::store::{Location, PostgresAddress};

/// Most bytes that are read of a secret file.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The PBX.
    pub pbx: PbxConfig,
    /// The database.
    pub store: StoreConfig,
    /// The HTTP interface.
    pub gateway: GatewayConfig,
    /// The event bus.
    pub bus: BusConfig,
    /// The screen pop.
    pub pop: PopConfig,
    /// Supervision of calls.
    pub supervision: SupervisionConfig,
    /// Telephone numbers and accounts.
    pub directory: DirectoryConfig,
    /// Transfers after answer.
    pub transfer: TransferConfig,
    /// Agent states and after-call work.
    pub operators: OperatorsConfig,
    /// Messages.
    pub messages: MessagesConfig,
    /// Reception of faxes.
    pub fax: FaxConfig,
    /// Voice messages.
    pub voice: VoiceConfig,
    /// What happens to calls before an operator.
    pub callflow: CallflowConfig,
    /// Monthly reports.
    pub reports: ReportsConfig,
    /// Retention of records.
    pub retention: RetentionConfig,
    /// The mail server.
    pub mail: MailConfig,
    /// Chats and SMS.
    pub chat: ChatConfig,
    /// The public pages.
    pub public: PublicConfig,
    /// Receivers of webhooks.
    pub webhooks: WebhooksConfig,
    /// The daemon's log.
    pub log: LogConfig,
    /// The configuration file, if one was read; for messages.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Every setting with where it comes from, for administrators to read.
    #[serde(skip)]
    pub settings: Vec<crate::contract::setting::Setting>,
}

/// `[pbx]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PbxConfig {
    /// The PBX's name in this installation.
    pub name: PbxId,
    /// AMI host.
    #[serde(deserialize_with = "values::word")]
    pub host: SmolStr,
    /// AMI port.
    #[serde(deserialize_with = "values::port")]
    pub port: u16,
    /// The manager user that reads events and lists.
    #[serde(deserialize_with = "values::word")]
    pub event_user: SmolStr,
    /// The manager user that sends actions.
    #[serde(deserialize_with = "values::word")]
    pub action_user: SmolStr,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) event_secret_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) action_secret_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) event_secret: Option<Secret>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) action_secret: Option<Secret>,
    /// The endpoints of the trunks.
    #[serde(deserialize_with = "values::words")]
    pub trunks: Vec<SmolStr>,
    /// The dialplan contexts that calls from the telephone network enter.
    #[serde(deserialize_with = "values::words")]
    pub trunk_contexts: Vec<SmolStr>,
    /// How the endpoints of operators' and supervisors' phones are named.
    pub phone_endpoints: Vec<PhonePattern>,
    /// Endpoints of such phones whose names follow no pattern, and their extensions.
    pub endpoint_extensions: BTreeMap<SmolStr, Extension>,
    /// Endpoints of other phones of the house.
    #[serde(deserialize_with = "values::words")]
    pub internal_endpoints: Vec<SmolStr>,
    /// The operators' extensions.
    pub operator_extensions: Vec<ExtensionPattern>,
    /// The supervisors' extensions.
    pub supervisor_extensions: Vec<ExtensionPattern>,
    /// Interval between two pings, and the timeout of each.
    #[serde(rename = "ping_seconds", deserialize_with = "values::seconds::<_, 1, 60>")]
    pub ping_interval: Duration,
    /// Longest delay between two attempts to connect.
    #[serde(rename = "reconnect_seconds_max", deserialize_with = "values::seconds::<_, 1, 300>")]
    pub reconnect_delay_limit: Duration,
    /// Delay after a refused login.
    #[serde(rename = "refused_login_seconds", deserialize_with = "values::seconds::<_, 5, 3600>")]
    pub refused_login_delay: Duration,
    /// Interval between two comparisons of the call model with the PBX; `None`: never.
    #[serde(rename = "audit_seconds", deserialize_with = "values::seconds_or_never::<_, 86_400>")]
    pub reconcile_interval: Option<Duration>,
    /// TLS to the AMI.
    pub tls: TlsConfig,
}

/// `[pbx.tls]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether the daemon uses TLS.
    pub enabled: bool,
    /// The file with the trusted certificate.
    #[serde(deserialize_with = "values::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate must contain; `None`: the host's.
    #[serde(deserialize_with = "values::optional_word")]
    pub server_name: Option<SmolStr>,
}

/// One manager user.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's name.
    pub user: SmolStr,
    /// The user's secret.
    pub secret: Secret,
}

/// Both manager users.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user that reads events and lists.
    pub events: Login,
    /// The user that sends actions.
    pub actions: Login,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The SQLite database; not used if `url` is set.
    #[serde(deserialize_with = "values::path")]
    pub path: PathBuf,
    /// The address of a PostgreSQL database.
    #[serde(deserialize_with = "values::optional_postgres")]
    url: Option<PostgresAddress>,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) password_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) password: Option<Secret>,
}

/// `[gateway]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// The address and port to listen on; port 0 lets the system choose the port.
    pub listen: SocketAddr,
    /// Origins, besides the daemon's own, whose pages may use the session cookie.
    #[serde(deserialize_with = "values::origins")]
    pub allowed_origins: Vec<SmolStr>,
    /// Whether the session cookie has the attribute Secure.
    pub secure_cookie: bool,
    /// The reverse proxies whose `X-Forwarded-For` names the client.
    #[serde(deserialize_with = "values::address_ranges")]
    pub trusted_proxies: Vec<AddressRange>,
    /// How long a session lasts after its last use.
    #[serde(rename = "session_hours", deserialize_with = "values::hours::<_, 1, 720>")]
    pub session_ttl: Duration,
    /// Most event subscribers at the same time.
    #[serde(deserialize_with = "values::count::<_, 1, 100_000>")]
    pub subscribers_max: usize,
    /// Largest request body.
    #[serde(rename = "body_kib_max", deserialize_with = "values::kib::<_, 1, 16_384>")]
    pub body_bytes_max: usize,
    /// How long open requests may take to finish after the daemon was stopped.
    #[serde(rename = "drain_seconds", deserialize_with = "values::seconds::<_, 0, 60>")]
    pub drain_timeout: Duration,
}

/// `[bus]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// How many past events are kept for clients that resume.
    #[serde(deserialize_with = "values::count::<_, 100, 1_000_000>")]
    pub replay_events: usize,
    /// How long a past event is kept.
    #[serde(rename = "replay_hours", deserialize_with = "values::hours::<_, 1, 720>")]
    pub replay_ttl: Duration,
    /// Most events that wait for one subscriber.
    #[serde(deserialize_with = "values::count::<_, 16, 65_536>")]
    pub subscriber_events_max: usize,
    redis: Vec<String>,
    #[serde(deserialize_with = "values::optional_word")]
    redis_sentinel_service: Option<SmolStr>,
    redis_cluster: bool,
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) redis_password_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) redis_password: Option<Secret>,
    /// Whether requests of daemons that do not sign them yet are carried out.
    pub accept_unsigned_requests: bool,
    /// The prefix of every key in Redis.
    #[serde(deserialize_with = "values::word")]
    pub redis_prefix: SmolStr,
}

/// `[pop]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopConfig {
    /// How long a pop waits for the store.
    #[serde(rename = "store_wait_ms", deserialize_with = "values::millis::<_, 0, 2000>")]
    pub store_timeout: Duration,
    /// The URL into another system, for accounts that have none of their own.
    #[serde(rename = "link", deserialize_with = "values::optional_url_template")]
    pub url_template: Option<UrlTemplate>,
    /// After this time a pop that no desktop acknowledged is sent again; `None`: never.
    #[serde(rename = "repeat_seconds", deserialize_with = "values::seconds_or_never::<_, 60>")]
    pub repeat_delay: Option<Duration>,
    /// After this time such a pop is reported to the supervisors; `None`: never.
    #[serde(rename = "report_seconds", deserialize_with = "values::seconds_or_never::<_, 300>")]
    pub report_delay: Option<Duration>,
}

/// `[supervision]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisionConfig {
    /// How the operator is notified that a supervisor listens.
    pub notify: Notify,
    /// How long a supervisor's phone rings.
    #[serde(rename = "ring_seconds", deserialize_with = "values::seconds::<_, 5, 120>")]
    pub ring_timeout: Duration,
    /// Whether the PBX asks that phone to answer automatically.
    pub auto_answer: bool,
    /// Whom a supervisor hears after a transfer.
    pub after_transfer: AfterTransfer,
}

/// `[directory]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The country of national numbers.
    #[serde(deserialize_with = "values::country")]
    pub country: SmolStr,
    /// The time zone of the accounts' hours.
    #[serde(deserialize_with = "values::time_zone")]
    pub time_zone: TimeZone,
    /// The code of the account for a trunk's unmatched calls, by the trunk's endpoint.
    pub default_accounts: BTreeMap<SmolStr, SmolStr>,
    /// The header with the dialled number of a trunk's calls, by the trunk's endpoint.
    pub dialled_headers: BTreeMap<SmolStr, DialledHeader>,
}

/// `[transfer]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferConfig {
    /// How long a target rings.
    #[serde(rename = "ring_seconds", deserialize_with = "values::seconds::<_, 5, 120>")]
    pub ring_timeout: Duration,
    /// The service's own number.
    #[serde(deserialize_with = "values::optional_word")]
    pub service_number: Option<SmolStr>,
    /// Queues that accept transfers. The first also takes callers who cannot return to their operator.
    pub queues: Vec<QueueName>,
}

/// `[operators]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorsConfig {
    /// The teams whose operators this daemon owns; empty: all operators.
    pub teams: Vec<SmolStr>,
    /// Queues of which an operator becomes a member by logging in.
    pub queues: Vec<QueueName>,
    /// The reasons for the state not ready.
    pub not_ready_reasons: Vec<Choice>,
    /// The dispositions of a call.
    pub dispositions: Vec<Choice>,
    /// Length of the after-call work for accounts that set none.
    #[serde(rename = "wrap_up_seconds", deserialize_with = "values::seconds::<_, 0, 3600>")]
    pub wrap_up: Duration,
    /// The longest time that one extension of the after-call work adds.
    #[serde(rename = "wrap_up_extend_seconds_max", deserialize_with = "values::seconds::<_, 1, 3600>")]
    pub wrap_up_extension_limit: Duration,
    /// Whether the after-call work lasts until the operator sets a disposition.
    pub disposition_required: bool,
    /// Interval between two comparisons of the queue members with the operators' states.
    #[serde(rename = "audit_seconds", deserialize_with = "values::seconds::<_, 1, 3600>")]
    pub reconcile_interval: Duration,
}

/// `[messages]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessagesConfig {
    /// Which calls need a message, a completed transfer or a reason for none.
    #[serde(deserialize_with = "values::required_messages")]
    pub required: RequiredMessages,
    /// The dispositions that are a reason for no message.
    #[serde(deserialize_with = "values::words")]
    pub no_message_reasons: Vec<SmolStr>,
    /// Why callers call.
    pub reasons: Vec<Choice>,
    /// Surnames for which the form asks for gender and department.
    pub common_surnames: Vec<SmolStr>,
    /// How long a message can be withdrawn.
    #[serde(rename = "undo_seconds", deserialize_with = "values::seconds::<_, 0, 60>")]
    pub undo: Duration,
    /// How long the link in a mail can be used.
    #[serde(rename = "ack_days", deserialize_with = "values::days::<_, 1, 90>")]
    pub ack_ttl: Duration,
    /// Whether supervisors may export messages.
    pub supervisors_export: bool,
    /// Whether supervisors may change scripts.
    pub supervisors_edit_scripts: bool,
}

/// `[fax]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaxConfig {
    /// The directory into which the PBX writes faxes; `None`: none are received.
    #[serde(deserialize_with = "values::optional_path")]
    pub directory: Option<PathBuf>,
}

/// `[callflow]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallflowConfig {
    /// Whether supervisors may set and end overrides.
    pub supervisors_switch: bool,
    /// The directory of the sounds that people upload, which the PBX has as `toritsugi-own` in its directory of sounds; `None`: none
    /// can be uploaded.
    #[serde(deserialize_with = "values::optional_path")]
    pub sounds_directory: Option<PathBuf>,
}

/// `[voice]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfig {
    /// The directory into which the PBX writes what callers speak; `None`: callers leave no voice messages.
    #[serde(deserialize_with = "values::optional_path")]
    pub directory: Option<PathBuf>,
}

/// `[reports]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportsConfig {
    /// The font; `None`: the first that the system has.
    #[serde(deserialize_with = "values::optional_path")]
    pub font: Option<PathBuf>,
}

/// `[webhooks]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Whether receivers may have private and loopback addresses.
    pub allow_private_addresses: bool,
    /// Certificate authorities that are trusted in addition to the system's.
    #[serde(deserialize_with = "values::optional_path")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The URL of each receiver, by the receiver's name.
    pub(super) urls: BTreeMap<SmolStr, String>,
    /// The file with each receiver's secret.
    pub(super) secret_files: BTreeMap<SmolStr, PathBuf>,
    /// The event kinds of each receiver; a receiver without an entry gets all.
    pub(super) kinds: BTreeMap<SmolStr, Vec<String>>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) secrets: BTreeMap<SmolStr, Secret>,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// What to log, in the notation of `tracing_subscriber::EnvFilter`.
    #[serde(deserialize_with = "values::log_filter")]
    pub level: String,
    /// The format of a line.
    pub format: LogFormat,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl BusConfig {
    /// The addresses of Redis, as they are configured.
    #[must_use]
    pub fn redis_urls(&self) -> &[String] {
        &self.redis
    }

    /// Whether a password of Redis is configured.
    #[must_use]
    pub fn has_redis_password(&self) -> bool {
        self.redis_password.is_some() || self.redis_password_file.is_some()
    }

    /// The address of the Redis that the daemons share, with its password if one is set; `None`: no Redis is
    /// configured.
    ///
    /// # Errors
    /// The addresses are invalid or contradict each other, or the password file cannot be read.
    pub fn redis_address(&self) -> Result<Option<RedisAddress>, ConfigError> {
        let address =
            RedisAddress::parse(&self.redis, self.redis_sentinel_service.as_deref(), self.redis_cluster);
        let error = |reason: String| ConfigError::Key {
            origin: "the configuration".into(),
            key: "bus.redis".into(),
            reason,
        };
        let Some(address) = address.map_err(|e| error(e.to_string()))? else { return Ok(None) };
        let password = match (&self.redis_password, &self.redis_password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => Some(read_secret(file, "bus.redis_password_file")?),
            (None, None) => None,
        };
        Ok(Some(address.with_password(password)))
    }
}

impl StoreConfig {
    /// The location of the database, with its password if one is set.
    ///
    /// # Errors
    /// Names the key whose file cannot be read; never its content.
    pub fn location(&self) -> Result<Location, ConfigError> {
        let Some(address) = &self.url else { return Ok(Location::File(self.path.clone())) };
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => Some(read_secret(file, "store.password_file")?),
            (None, None) => None,
        };
        Ok(Location::Postgres(address.clone().with_password(password)))
    }
}

impl PbxConfig {
    /// Reads the secrets of both manager users.
    ///
    /// # Errors
    /// Names the key whose secret is missing or whose file cannot be read; never its content.
    pub fn credentials(&self) -> Result<Credentials, ConfigError> {
        let login = |user: &SmolStr, key, from_environment: &Option<Secret>, file: &Option<PathBuf>| {
            let secret = match (from_environment, file) {
                (Some(secret), _) => secret.clone(),
                (None, Some(file)) => read_secret(file, &format!("pbx.{key}_secret_file"))?,
                (None, None) => return Err(no_secret(key)),
            };
            Ok(Login { user: user.clone(), secret })
        };
        Ok(Credentials {
            events: login(&self.event_user, "event", &self.event_secret, &self.event_secret_file)?,
            actions: login(&self.action_user, "action", &self.action_secret, &self.action_secret_file)?,
        })
    }

    /// Whether this extension is that of an operator or supervisor.
    #[must_use]
    pub fn is_operator(&self, extension: &str) -> bool {
        self.operator_extensions.iter().chain(&self.supervisor_extensions).any(|p| p.matches(extension))
    }
}

fn no_secret(key: &str) -> ConfigError {
    ConfigError::Key {
        origin: "no secret".into(),
        key: format!("pbx.{key}_secret_file"),
        reason: format!("name the file that holds it, or set TORITSUGI__PBX__{}_SECRET", key.to_uppercase()),
    }
}

/// Reads the first line of `file`; `key` is named in errors.
pub(super) fn read_secret(file: &Path, key: &str) -> Result<Secret, ConfigError> {
    let error =
        |reason: String| ConfigError::Key { origin: file.display().to_string(), key: key.into(), reason };
    let bytes = files::read(file, SECRET_FILE_BYTES_MAX);
    let text = bytes
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| std::io::ErrorKind::InvalidData.into()))
        .map_err(|e| error(format!("cannot be read: {e}")))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(error("its first line is empty; it must hold the secret".into())),
    }
}
