//! A setting of the installation, as administrators read it.
//!
//! Invariant: a secret is never here, only whether there is one. Files and the environment stay the source: nothing here is
//! changed through the API.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SettingSource {
    /// The default that is built in.
    Default,
    /// The configuration file.
    File,
    /// A variable of the daemon's environment.
    Environment,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Setting {
    /// The key with its section, as in `pbx.port`.
    pub key: String,
    /// The value; absent for a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What holds where nobody sets it; absent for keys that the installation chooses, and for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Where the value comes from.
    pub source: SettingSource,
    /// The file, or the variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Of a secret: whether it is set. Absent for every other setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_set: Option<bool>,
}
