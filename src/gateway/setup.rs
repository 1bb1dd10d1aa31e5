//! How the installation is set up. It comes from the daemon, which knows the configuration; `settings.rs` serves it.

use std::time::Duration;

use smol_str::SmolStr;

use super::watched::Watched;
use crate::contract::setting::Setting;
use crate::store::retention::PurgeTarget;

/// How the installation is set up.
#[derive(Debug, Default)]
pub struct Setup {
    /// Every setting of the configuration.
    pub settings: Vec<Setting>,
    /// The receivers of webhooks.
    pub receivers: Vec<ReceiverSetup>,
    /// What is deleted or cleared, and at which age; absent: never.
    pub retention: Vec<(PurgeTarget, Option<Duration>)>,
    /// Directories and certificates that the list of health looks at.
    pub watched: Watched,
}

/// A receiver of webhooks, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverSetup {
    /// Its name.
    pub name: SmolStr,
    /// The host of its URL.
    pub host: String,
    /// The event kinds that it receives; empty: all.
    pub kinds: Vec<String>,
}
