//! Actions about the session itself: login, logoff, ping, event filter.

use super::{Action, ActionError, check_word};
use crate::secret::Secret;

/// Which events a session receives. Asterisk reads an unknown word here as none, hence a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventMask {
    /// All that the user may read.
    All,
    /// None.
    Off,
}

impl Action {
    /// Requests the challenge of an MD5 login.
    #[must_use]
    pub fn challenge() -> Self {
        Self::bare("Challenge").fixed("AuthType", "MD5")
    }

    /// Logs in with the answer to a challenge, in lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`ActionError`] when the user's name cannot be sent.
    pub fn login_md5(username: &str, key: &str, events: EventMask) -> Result<Self, ActionError> {
        let login =
            Self::bare("Login").fixed("AuthType", "MD5").with("Username", username)?.with("Key", key)?;
        Ok(login.events(events))
    }

    /// Logs in with the secret itself.
    ///
    /// # Errors
    /// [`ActionError`] when the name or the secret cannot be sent.
    pub fn login_plain(username: &str, secret: &Secret, events: EventMask) -> Result<Self, ActionError> {
        let login = Self::bare("Login").with("Username", username)?.with("Secret", secret.expose())?;
        Ok(login.events(events))
    }

    /// Ends the session.
    #[must_use]
    pub fn logoff() -> Self {
        Self::bare("Logoff")
    }

    /// Checks that the PBX still answers.
    #[must_use]
    pub fn ping() -> Self {
        Self::bare("Ping")
    }

    /// Excludes the named event from this session (Asterisk 18.26, 20.11, 22.1 and later).
    ///
    /// # Errors
    /// [`ActionError`] when `event` is not an event name.
    pub fn filter_out(event: &str) -> Result<Self, ActionError> {
        check_word("MatchCriteria", event, 60, b"", "an event's name")?;
        let criteria = format!("action(exclude),name({event})");
        Ok(Self::bare("Filter")
            .fixed("Operation", "Add")
            .fixed("MatchCriteria", &criteria)
            .fixed("Filter", ""))
    }

    fn events(self, events: EventMask) -> Self {
        match events {
            EventMask::All => self,
            EventMask::Off => self.fixed("Events", "off"),
        }
    }
}
