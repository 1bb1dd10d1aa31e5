//! The configuration as types: every value in a [`Config`] was read and checked.
//!
//! [`Config::load`] merges three layers (`default.toml`, which is compiled in and explains every key; one file; the
//! environment) and deserialises the result into [`Config`]. Later layers override earlier ones.
//!
//! Invariants: every key exists in `default.toml`, so the documentation covers all keys. A wrong key or value is
//! reported in one line that names its origin, the key and the reason.
//!
//! A [`Config`] holds no secret from a file. [`PbxConfig::credentials`], [`StoreConfig::location`],
//! [`BusConfig::redis_address`], [`Config::mail_settings`], [`Config::chat_settings`] and [`Config::webhook_settings`] read the secret files when they are called, so a
//! command that only reads the store needs no PBX secret.
//!
//! Why not the crate `config`: it converts keys to lower case, converts between types by itself, and does not keep the
//! layer that a wrong value came from. The administrator needs that layer to correct the value.
//!
//! Read next: `layers.rs` (the merge), `sections.rs` (the sections), `link.rs` (conversion to the settings of other
//! modules), `default.toml`.

mod chat;
pub(crate) mod files;
mod layers;
mod mail;
mod mail_login;
mod mail_server;
mod public;
mod retention;
mod sections;
mod values;
mod webhooks;

pub use chat::ChatConfig;
pub use layers::{CONFIG_ENV, DEFAULT_FILE, DEFAULT_TOML};
pub use mail::MailConfig;
pub use retention::{DeletedCustomers, RetentionConfig};
pub use sections::{
    BusConfig, CallflowConfig, Config, Credentials, DirectoryConfig, FaxConfig, GatewayConfig, LogConfig,
    LogFormat, Login, OperatorsConfig, PbxConfig, PopConfig, ReportsConfig, StoreConfig, SupervisionConfig,
    TlsConfig, TransferConfig, VoiceConfig, WebhooksConfig,
};

/// An error in the configuration. Its text is always one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The named file cannot be read.
    #[error("{file}: cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// The error of the operating system.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{file}: line {line}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// The error of the parser.
        reason: String,
    },
    /// A key is unknown, or its value does not fit.
    #[error("{origin}: {key}: {reason}")]
    Key {
        /// The file, or the environment variable.
        origin: String,
        /// The key with its section, for instance `pbx.port`.
        key: String,
        /// What is wrong with the key or value.
        reason: String,
    },
}
