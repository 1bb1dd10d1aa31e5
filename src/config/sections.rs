//! The sections of the configuration, one type each, in the order of `default.toml`, which explains the keys.
//!
//! Invariant: no field needs another look at its raw text; durations are durations, files are `None` when not
//! set, names are printable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{Choice, ConfigError, ExtensionPattern, values};
use crate::bus::redis::RedisAddress;
use crate::directory::link::LinkTemplate;
use crate::ids::{PbxId, QueueName};
use crate::secret::Secret;
use crate::store::{Location, PostgresAddress};
use crate::supervision::{AfterTransfer, Notify};

/// Largest secret file that is read, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The PBX.
    pub pbx: PbxConfig,
    /// Where records are kept.
    pub store: StoreConfig,
    /// The HTTP interface.
    pub gateway: GatewayConfig,
    /// The event stream.
    pub bus: BusConfig,
    /// The pop.
    pub pop: PopConfig,
    /// Listening in.
    pub supervision: SupervisionConfig,
    /// Numbers and accounts.
    pub directory: DirectoryConfig,
    /// Transfers after answer.
    pub transfer: TransferConfig,
    /// Operator states and after-call work.
    pub operators: OperatorsConfig,
    /// How long records are kept.
    pub retention: RetentionConfig,
    /// Events for other systems.
    pub webhooks: WebhooksConfig,
    /// The log.
    pub log: LogConfig,
    /// The file that was read besides `default.toml`, if any; for messages.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// `[pbx]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PbxConfig {
    /// The installation's name for the PBX.
    pub name: PbxId,
    /// AMI host.
    #[serde(deserialize_with = "values::word")]
    pub host: SmolStr,
    /// AMI port.
    #[serde(deserialize_with = "values::port")]
    pub port: u16,
    /// The account that reads.
    #[serde(deserialize_with = "values::word")]
    pub event_user: SmolStr,
    /// The account that gives orders.
    #[serde(deserialize_with = "values::word")]
    pub action_user: SmolStr,
    #[serde(deserialize_with = "values::optional_path")]
    event_secret_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::optional_path")]
    action_secret_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) event_secret: Option<Secret>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) action_secret: Option<Secret>,
    /// Endpoints of the trunks.
    #[serde(deserialize_with = "values::words")]
    pub trunks: Vec<SmolStr>,
    /// Contexts that calls from outside enter.
    #[serde(deserialize_with = "values::words")]
    pub trunk_contexts: Vec<SmolStr>,
    /// Operators' extensions.
    pub operator_extensions: Vec<ExtensionPattern>,
    /// Supervisors' extensions.
    pub supervisor_extensions: Vec<ExtensionPattern>,
    /// Pause between two pings, and the deadline of each.
    #[serde(rename = "ping_seconds", deserialize_with = "values::seconds::<_, 1, 60>")]
    pub ping: Duration,
    /// Longest pause between two attempts to connect.
    #[serde(rename = "reconnect_seconds_max", deserialize_with = "values::seconds::<_, 1, 300>")]
    pub reconnect_max: Duration,
    /// Pause after a refused login.
    #[serde(rename = "refused_login_seconds", deserialize_with = "values::seconds::<_, 5, 3600>")]
    pub refused_login: Duration,
    /// How often the model is compared with the PBX; `None`: never.
    #[serde(rename = "audit_seconds", deserialize_with = "values::seconds_or_never::<_, 86_400>")]
    pub audit: Option<Duration>,
    /// TLS to the AMI.
    pub tls: TlsConfig,
}

/// `[pbx.tls]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether to use it.
    pub enabled: bool,
    /// The certificate trusted.
    #[serde(deserialize_with = "values::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// The name the certificate must bear; `None`: the host's.
    #[serde(deserialize_with = "values::optional_word")]
    pub server_name: Option<SmolStr>,
}

/// One manager account.
#[derive(Debug, Clone)]
pub struct Login {
    /// The account's name.
    pub user: SmolStr,
    /// Its secret.
    pub secret: Secret,
}

/// Both manager accounts.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Reads events and lists.
    pub events: Login,
    /// Gives orders.
    pub actions: Login,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The SQLite database, used unless there is an address.
    #[serde(deserialize_with = "values::path")]
    pub path: PathBuf,
    /// The address of a PostgreSQL database.
    #[serde(deserialize_with = "values::postgres")]
    url: Option<PostgresAddress>,
    #[serde(deserialize_with = "values::optional_path")]
    password_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) password: Option<Secret>,
}

/// `[gateway]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Origins besides its own whose pages may use the cookie.
    #[serde(deserialize_with = "values::origins")]
    pub allowed_origins: Vec<SmolStr>,
    /// Whether the cookie is marked Secure.
    pub secure_cookie: bool,
    /// After so long without use a sign-in ends.
    #[serde(rename = "session_hours", deserialize_with = "values::hours::<_, 1, 720>")]
    pub session: Duration,
    /// Event subscribers at the same time.
    #[serde(deserialize_with = "values::count::<_, 1, 100_000>")]
    pub subscribers_max: usize,
    /// Largest body of a request.
    #[serde(rename = "body_kib_max", deserialize_with = "values::kib::<_, 1, 16_384>")]
    pub body_bytes_max: usize,
    /// What open requests get on a stop.
    #[serde(rename = "drain_seconds", deserialize_with = "values::seconds::<_, 0, 60>")]
    pub drain: Duration,
}

/// `[bus]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// Past events kept for a resume.
    #[serde(deserialize_with = "values::count::<_, 100, 1_000_000>")]
    pub replay_events: usize,
    /// How long they are kept.
    #[serde(rename = "replay_hours", deserialize_with = "values::hours::<_, 1, 720>")]
    pub replay_age: Duration,
    /// Events that may wait for one subscriber.
    #[serde(deserialize_with = "values::count::<_, 16, 65_536>")]
    pub subscriber_events_max: usize,
    redis: Vec<String>,
    #[serde(deserialize_with = "values::optional_word")]
    redis_sentinel_service: Option<SmolStr>,
    redis_cluster: bool,
    #[serde(deserialize_with = "values::optional_path")]
    redis_password_file: Option<PathBuf>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) redis_password: Option<Secret>,
    /// What every key in Redis begins with.
    #[serde(deserialize_with = "values::word")]
    pub redis_prefix: SmolStr,
}

/// `[pop]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopConfig {
    /// How long a pop waits for the store.
    #[serde(rename = "store_wait_ms", deserialize_with = "values::millis::<_, 0, 2000>")]
    pub store_wait: Duration,
    /// A link into another system, for accounts that have none of their own.
    #[serde(deserialize_with = "values::optional_link")]
    pub link: Option<LinkTemplate>,
    /// When a pop that no desktop confirms is sent again; `None`: never.
    #[serde(rename = "repeat_seconds", deserialize_with = "values::seconds_or_never::<_, 60>")]
    pub repeat: Option<Duration>,
    /// When it is reported to the supervisors; `None`: never.
    #[serde(rename = "report_seconds", deserialize_with = "values::seconds_or_never::<_, 300>")]
    pub report: Option<Duration>,
}

/// `[supervision]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisionConfig {
    /// How the operator learns that somebody hears her.
    pub notify: Notify,
    /// How long a supervisor's phone rings.
    #[serde(rename = "ring_seconds", deserialize_with = "values::seconds::<_, 5, 120>")]
    pub ring: Duration,
    /// Whether that phone is asked to answer by itself.
    pub auto_answer: bool,
    /// Whom a supervisor hears after a transfer.
    pub after_transfer: AfterTransfer,
}

/// `[directory]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// Whose national numbers are meant.
    #[serde(deserialize_with = "values::country")]
    pub country: SmolStr,
    /// Where the accounts' hours are told.
    #[serde(deserialize_with = "values::time_zone")]
    pub time_zone: TimeZone,
    /// A trunk's endpoint, and the code of the account its unmatched calls are for.
    pub default_accounts: BTreeMap<SmolStr, SmolStr>,
}

/// `[transfer]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferConfig {
    /// How long a target rings.
    #[serde(rename = "ring_seconds", deserialize_with = "values::seconds::<_, 5, 120>")]
    pub ring: Duration,
    /// The service's own number.
    #[serde(deserialize_with = "values::optional_word")]
    pub service_number: Option<SmolStr>,
    /// Queues that take transfers; the first also callers who cannot return to their operator.
    pub queues: Vec<QueueName>,
}

/// `[operators]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorsConfig {
    /// The teams whose people's states this daemon keeps; where empty, everybody's.
    pub teams: Vec<SmolStr>,
    /// Queues that whoever logs in becomes a member of.
    pub queues: Vec<QueueName>,
    /// Why somebody may be not ready.
    pub not_ready_reasons: Vec<Choice>,
    /// What may have come of a call.
    pub dispositions: Vec<Choice>,
    /// Length of after-call work where the account says nothing.
    #[serde(rename = "wrap_up_seconds", deserialize_with = "values::seconds::<_, 0, 3600>")]
    pub wrap_up: Duration,
    /// Most that one extension adds.
    #[serde(rename = "wrap_up_extend_seconds_max", deserialize_with = "values::seconds::<_, 1, 3600>")]
    pub wrap_up_extend_max: Duration,
    /// Whether after-call work goes on until a disposition is given.
    pub disposition_required: bool,
    /// How often the queues' members are compared with the operators' states.
    #[serde(rename = "audit_seconds", deserialize_with = "values::seconds::<_, 1, 3600>")]
    pub audit: Duration,
}

/// `[retention]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// After so long callers' numbers and names go from finished calls; `None`: never.
    #[serde(rename = "anonymise_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub anonymise: Option<Duration>,
    /// After so long finished calls go; `None`: never.
    #[serde(rename = "history_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub history: Option<Duration>,
    /// After so long messages that are not open go; `None`: never.
    #[serde(rename = "messages_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub messages: Option<Duration>,
    /// After so long the gaps of PBX links go; `None`: never.
    #[serde(rename = "gaps_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub gaps: Option<Duration>,
    /// After so long operators' states and after-call work go; `None`: never.
    #[serde(rename = "operators_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub operators: Option<Duration>,
    /// What becomes of the history of a customer whose record is deleted.
    pub deleted_customers: DeletedCustomers,
}

/// What becomes of the history of a customer whose record is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletedCustomers {
    /// It stays as it is.
    Keep,
    /// Numbers and texts go, calls and their times stay.
    Anonymise,
}

/// `[webhooks]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Whether private and loopback addresses may be posted to.
    pub allow_private_addresses: bool,
    /// Authorities trusted besides those of the machine.
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) ca_file: Option<PathBuf>,
    /// Where, by the receiver's name.
    pub(super) urls: BTreeMap<SmolStr, String>,
    /// The file with each receiver's secret.
    pub(super) secret_files: BTreeMap<SmolStr, PathBuf>,
    /// Which events each gets; all, where nothing is said.
    pub(super) kinds: BTreeMap<SmolStr, Vec<String>>,
    /// From the environment only.
    #[serde(skip)]
    pub(super) secrets: BTreeMap<SmolStr, Secret>,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// What to log, in the notation of `tracing_subscriber::EnvFilter`, which takes it.
    #[serde(deserialize_with = "values::log_filter")]
    pub level: String,
    /// In which form.
    pub format: LogFormat,
}

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// People.
    Text,
    /// Machines: one JSON object per line.
    Json,
}

impl BusConfig {
    /// The Redis that daemons share, with its password where it wants one; `None`: this daemon is alone.
    ///
    /// # Errors
    /// The addresses do not fit or go together, or the password's file cannot be read.
    pub fn redis(&self) -> Result<Option<RedisAddress>, ConfigError> {
        let address =
            RedisAddress::parse(&self.redis, self.redis_sentinel_service.as_deref(), self.redis_cluster);
        let wrong = |reason: String| ConfigError::Key {
            origin: "the configuration".into(),
            key: "bus.redis".into(),
            reason,
        };
        let Some(address) = address.map_err(|error| wrong(error.to_string()))? else { return Ok(None) };
        let password = match (&self.redis_password, &self.redis_password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => Some(read_secret(file, "bus.redis_password_file")?),
            (None, None) => None,
        };
        Ok(Some(address.with_password(password)))
    }
}

impl StoreConfig {
    /// Where records are kept, with the password where a server wants one.
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
    /// Reads the secrets of both manager accounts.
    ///
    /// # Errors
    /// Names the key whose secret is missing or whose file cannot be read; never its content.
    pub fn credentials(&self) -> Result<Credentials, ConfigError> {
        let login = |user: &SmolStr, key, given: &Option<Secret>, file: &Option<PathBuf>| {
            let secret = match (given, file) {
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

    /// Whether operators or supervisors answer at this extension.
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

/// The first line of `file`.
pub(super) fn read_secret(file: &Path, key: &str) -> Result<Secret, ConfigError> {
    use std::io::Read;
    let error =
        |reason: String| ConfigError::Key { origin: file.display().to_string(), key: key.into(), reason };
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|f| f.take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|e| error(format!("cannot be read: {e}")))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(error("its first line is empty; it must hold the secret".into())),
    }
}
