//! Which promise of the tables a statement would have broken.

use super::StoreError;

/// A constraint that refused a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Constraint {
    /// A value that must be unique is there already.
    Unique,
    /// A record that is pointed to is not there.
    ForeignKey,
}

/// The constraint behind `error`.
pub(super) fn broken(error: &sqlx::Error) -> Option<Constraint> {
    let error = error.as_database_error()?;
    if error.is_unique_violation() {
        Some(Constraint::Unique)
    } else if error.is_foreign_key_violation() {
        Some(Constraint::ForeignKey)
    } else {
        None
    }
}

/// What a refused record of an account means to the person who sent it; `what` names its code.
pub(super) fn refused(error: sqlx::Error, what: &'static str, code: Option<&str>) -> StoreError {
    match broken(&error) {
        Some(Constraint::Unique) => StoreError::Taken { what, value: code.unwrap_or_default().to_owned() },
        Some(Constraint::ForeignKey) => StoreError::Missing { what: "account" },
        None => error.into(),
    }
}
