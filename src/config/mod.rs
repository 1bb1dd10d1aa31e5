//! The configuration, as types: what is in here has been read, checked and can be used as it is.
//!
//! [`Config::load`] lays three layers over each other (`default.toml`, which is compiled in and explains every
//! key; one file; the environment) and turns them into [`Config`]. Invariant: every key exists in
//! `default.toml`, so the documentation cannot fall behind the program; a wrong key or value is one line that
//! names its origin, key and reason. Secrets are not part of it: [`PbxConfig::credentials`] reads them when
//! somebody logs in, so that a command which only reads the store needs none.
//!
//! Why not the crate `config`: it lower-cases keys, converts between types on its own, and forgets which layer
//! a wrong value came from, which is exactly what the person who has to repair it needs to know.
//!
//! Read next: `layers.rs` (the order of the layers), `sections.rs` (the sections), `link.rs` (what the parts
//! get of it), `default.toml`.

mod choice;
mod extension;
mod layers;
mod link;
mod sections;
mod values;
mod webhooks;

pub use choice::{Choice, ChoiceError};
pub use extension::{ExtensionPattern, ExtensionPatternError};
pub use layers::{CONFIG_ENV, DEFAULT_FILE, DEFAULT_TOML};
pub use sections::{
    BusConfig, Config, Credentials, DeletedCustomers, DirectoryConfig, GatewayConfig, LogConfig, LogFormat,
    Login, OperatorsConfig, PbxConfig, PopConfig, RetentionConfig, StoreConfig, SupervisionConfig, TlsConfig,
    TransferConfig, WebhooksConfig,
};

/// Why the configuration cannot be used. Its text is always one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file was named but cannot be read.
    #[error("{file}: cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{file}: line {line}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key is unknown, or its value does not fit.
    #[error("{origin}: {key}: {reason}")]
    Key {
        /// The file, or the environment variable.
        origin: String,
        /// The key with its section, for instance `pbx.port`.
        key: String,
        /// What is wrong.
        reason: String,
    },
}
