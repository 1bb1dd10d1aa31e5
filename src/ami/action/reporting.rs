//! Actions that read the state of the PBX. [`ResponseKind::List`](super::ResponseKind::List) marks those that the PBX answers with a list.

use super::{Action, ActionError, check_word};
use crate::ids::BridgeId;

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

    /// Lists the state of every device.
    #[must_use]
    pub fn device_state_list() -> Self {
        Self::list("DeviceStateList")
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
