//! Actions that read the state of the PBX. [`ResponseKind::List`](super::ResponseKind::List) marks those that the PBX answers with a list.

use super::{Action, ActionError, check_word};
use crate::callflow::{FAMILY, Key};
use crate::ids::{BridgeId, QueueName};

/// A value of the PBX that `toritsugi check` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PbxValue<'a> {
    /// The global variable with the endpoint by which transfers leave.
    OutsideTrunk,
    /// The feature code of an attended transfer.
    AttendedTransferCode,
    /// The context of this PJSIP endpoint; empty where there is no such endpoint.
    EndpointContext(&'a str),
    /// Whether this module is loaded: `1` or `0`.
    HasModule(&'a str),
    /// The time of the PBX, in seconds since 1970.
    Clock,
}

impl Action {
    /// When the PBX started, and how many calls it has.
    #[must_use]
    pub fn core_status() -> Self {
        Self::bare("CoreStatus")
    }

    /// Version and limits of the PBX.
    #[must_use]
    pub fn core_settings() -> Self {
        Self::bare("CoreSettings")
    }

    /// The actions that this user may use; `check` compares them with those that the daemon needs.
    #[must_use]
    pub fn list_commands() -> Self {
        Self::bare("ListCommands")
    }

    /// Lists every channel.
    #[must_use]
    pub fn core_show_channels() -> Self {
        Self::list("CoreShowChannels")
    }

    /// Lists every bridge.
    #[must_use]
    pub fn bridge_list() -> Self {
        Self::list("BridgeList")
    }

    /// Lists the channels of one bridge.
    #[must_use]
    pub fn bridge_info(bridge: &BridgeId) -> Self {
        Self::list("BridgeInfo").fixed("BridgeUniqueid", bridge.as_str())
    }

    /// Lists queues, their members and their waiting callers.
    #[must_use]
    pub fn queue_status() -> Self {
        Self::list("QueueStatus")
    }

    /// Lists one queue, its members and its waiting callers.
    ///
    /// # Errors
    /// [`ActionError`] when the name does not fit a line.
    pub fn queue_callers(queue: &QueueName) -> Result<Self, ActionError> {
        Self::list("QueueStatus").with("Queue", queue.as_str())
    }

    /// Lists keys of the PBX's database below the family `toritsugi`: `key` and what is below it, or all.
    ///
    /// # Errors
    /// [`ActionError`] when `key` has other characters than [`crate::callflow::Key`].
    pub fn read_plan(key: Option<&Key>) -> Result<Self, ActionError> {
        let action = Self::list("DBGetTree").fixed("Family", FAMILY);
        match key {
            Some(key) => action.with("Key", key.as_str()),
            None => Ok(action),
        }
    }

    /// Lists the state of every device.
    #[must_use]
    pub fn device_state_list() -> Self {
        Self::list("DeviceStateList")
    }

    /// Reads a value of the PBX that belongs to no channel; the response carries it in `Value`, empty where there is none.
    ///
    /// # Errors
    /// [`ActionError`] when a name in `what` has other characters than those of an endpoint or module.
    pub fn read_pbx(what: PbxValue<'_>) -> Result<Self, ActionError> {
        let variable = match what {
            PbxValue::OutsideTrunk => "TORITSUGI_TRUNK".to_owned(),
            PbxValue::Clock => "EPOCH".to_owned(),
            PbxValue::AttendedTransferCode => "FEATUREMAP(atxfer)".to_owned(),
            PbxValue::EndpointContext(endpoint) => {
                let allowed = "1 to 79 letters, digits, '-', '_' or '.'";
                check_word("Variable", endpoint, 79, b"-_.", allowed)?;
                format!("PJSIP_ENDPOINT({endpoint},context)")
            }
            PbxValue::HasModule(module) => {
                check_word("Variable", module, 79, b"_.", "1 to 79 letters, digits, '_' or '.'")?;
                format!("IFMODULE({module})")
            }
        };
        Self::bare("Getvar").with("Variable", &variable)
    }

    /// Lists one context of the dialplan; the PBX refuses a context that does not exist.
    ///
    /// # Errors
    /// [`ActionError`] when `context` is not a valid context name.
    pub fn show_dialplan(context: &str) -> Result<Self, ActionError> {
        check_word("Context", context, 79, b"-_", "1 to 79 letters, digits, '-' or '_'")?;
        Ok(Self::list("ShowDialPlan").fixed("Context", context))
    }
}
