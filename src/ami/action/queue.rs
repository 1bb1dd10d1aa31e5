//! Actions on queue members.

use super::{Action, ActionError};
use crate::ids::QueueName;

impl Action {
    /// Pauses or unpauses a member, in one queue or in all.
    ///
    /// # Errors
    /// [`ActionError`] when a value cannot be sent.
    pub fn queue_pause(
        interface: &str,
        queue: Option<&QueueName>,
        paused: bool,
        reason: Option<&str>,
    ) -> Result<Self, ActionError> {
        let mut action = Self::bare("QueuePause").interface(interface)?;
        action = action.fixed("Paused", if paused { "true" } else { "false" });
        if let Some(queue) = queue {
            action = action.fixed("Queue", queue.as_str());
        }
        match reason {
            Some(reason) => action.with("Reason", reason),
            None => Ok(action),
        }
    }

    /// Adds a member to a queue.
    ///
    /// # Errors
    /// [`ActionError`] when a value cannot be sent.
    pub fn queue_add(
        queue: &QueueName,
        interface: &str,
        member_name: &str,
        penalty: u32,
        paused: bool,
    ) -> Result<Self, ActionError> {
        Ok(Self::bare("QueueAdd")
            .fixed("Queue", queue.as_str())
            .interface(interface)?
            .with("MemberName", member_name)?
            .fixed("Penalty", &penalty.to_string())
            .fixed("Paused", if paused { "true" } else { "false" }))
    }

    /// Removes a member from a queue.
    ///
    /// # Errors
    /// [`ActionError`] when a value cannot be sent.
    pub fn queue_remove(queue: &QueueName, interface: &str) -> Result<Self, ActionError> {
        Self::bare("QueueRemove").fixed("Queue", queue.as_str()).interface(interface)
    }

    fn interface(self, interface: &str) -> Result<Self, ActionError> {
        if interface.is_empty() {
            return Err(ActionError::NotAllowed {
                key: "Interface",
                allowed: "a device, for instance PJSIP/1001",
            });
        }
        self.with("Interface", interface)
    }
}
