//! Where orders may send a channel: an allow-list of dialplan contexts.
//!
//! Invariant: a [`Place`] lies in a context that the installation opened; nothing else makes one.

use smol_str::SmolStr;

use super::{ActionError, word};

/// The contexts that orders may send a channel to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contexts(Vec<SmolStr>);

impl Contexts {
    /// Opens these contexts and no other.
    ///
    /// # Errors
    /// [`ActionError::NotAllowed`] when one is not a context's name.
    pub fn allow<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ActionError> {
        let named = |name: &'a str| {
            let allowed = "1 to 79 letters, digits, '-' or '_'";
            word("Context", name, 79, b"-_", allowed)?;
            Ok(SmolStr::new(name))
        };
        names.into_iter().map(named).collect::<Result<_, _>>().map(Self)
    }

    /// The place `exten` in `context`, if that context is open.
    ///
    /// # Errors
    /// [`ActionError::ContextClosed`], or [`ActionError::NotAllowed`] for an impossible extension.
    pub fn place(&self, context: &str, exten: &str) -> Result<Place, ActionError> {
        let Some(open) = self.0.iter().find(|open| *open == context) else {
            return Err(ActionError::ContextClosed { context: context.chars().take(80).collect() });
        };
        word("Exten", exten, 79, b"*#+-_", "1 to 79 letters, digits, '*', '#', '+', '-' or '_'")?;
        Ok(Place { context: open.clone(), exten: SmolStr::new(exten) })
    }
}

/// An extension in an open context; only [`Contexts::place`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) context: SmolStr,
    pub(super) exten: SmolStr,
}
