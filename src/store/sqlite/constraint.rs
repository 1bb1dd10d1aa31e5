//! Which promise of the tables a statement would have broken.

/// A constraint that refused a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Constraint {
    /// A value that must be unique is there already.
    Unique,
    /// A record that is pointed to is not there.
    ForeignKey,
}

/// The constraint behind `error`, by SQLite's extended result codes.
pub(super) fn broken(error: &sqlx::Error) -> Option<Constraint> {
    let code = error.as_database_error()?.code()?;
    match code.as_ref() {
        "1555" | "2067" => Some(Constraint::Unique),
        "787" => Some(Constraint::ForeignKey),
        _ => None,
    }
}
