//! Policies of supervision: the installation's, some of which an account overrides.

use crate::contract::supervision::{AfterTransfer, Notify};

/// The settings of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a supervisor's phone rings.
    pub ring: std::time::Duration,
    /// Whether that phone is asked to answer automatically.
    pub auto_answer: bool,
    /// How operators are notified where the account sets nothing.
    pub notify: Notify,
    /// Whom a supervisor hears after a transfer.
    pub after_transfer: AfterTransfer,
}
