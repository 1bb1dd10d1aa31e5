//! Where an action may send a channel: an allow-list of dialplan contexts.
//!
//! Invariant: a [`DialplanLocation`] lies in a context that the configuration allows; only
//! [`AllowedContexts::location`] makes one.

use smol_str::SmolStr;

use super::{ActionError, check_word};

/// The contexts that actions may send a channel to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedContexts(Vec<SmolStr>);

impl AllowedContexts {
    /// Allows these contexts and no other.
    ///
    /// # Errors
    /// [`ActionError::NotAllowed`] when one is not a valid context name.
    pub fn allow<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ActionError> {
        let named = |name: &'a str| {
            let allowed = "1 to 79 letters, digits, '-' or '_'";
            check_word("Context", name, 79, b"-_", allowed)?;
            Ok(SmolStr::new(name))
        };
        names.into_iter().map(named).collect::<Result<_, _>>().map(Self)
    }

    /// The location `exten` in `context`, if that context is allowed.
    ///
    /// # Errors
    /// [`ActionError::ContextNotAllowed`], or [`ActionError::NotAllowed`] for an invalid extension.
    pub fn location(&self, context: &str, exten: &str) -> Result<DialplanLocation, ActionError> {
        let Some(allowed) = self.0.iter().find(|allowed| *allowed == context) else {
            return Err(ActionError::ContextNotAllowed { context: context.chars().take(80).collect() });
        };
        check_word("Exten", exten, 79, b"*#+-_", "1 to 79 letters, digits, '*', '#', '+', '-' or '_'")?;
        Ok(DialplanLocation { context: allowed.clone(), exten: SmolStr::new(exten) })
    }
}

/// An extension in an allowed context; only [`AllowedContexts::location`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialplanLocation {
    pub(super) context: SmolStr,
    pub(super) exten: SmolStr,
}
