//! What can go wrong in the store, worded for the person who must act, and which constraint refused a row.

use std::path::PathBuf;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

/// Why the store refused or failed a request.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file can't be opened or created.
    #[error("cannot open the database {}: {reason}; {advice}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The file is a database, but not one this program can use.
    #[error("the database {} cannot be used: {reason}; {advice}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The PostgreSQL server can't be reached, or its database can't be used.
    #[error("cannot use the database {server}: {reason}; {advice}")]
    Server {
        /// The server and the database.
        server: String,
        /// The server's reason, or that of the connection.
        reason: String,
        /// What to do.
        advice: &'static str,
        /// The server is down, starting or has no free connection: the same configuration may work later.
        unavailable: bool,
    },
    /// Another record has this value.
    #[error("{what} is taken already: {value}")]
    Taken {
        /// Which value must be unique, for instance `the dialled number`.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// Nobody could administer the installation any more.
    #[error("this is the only administrator; make another user an administrator first")]
    LastAdministrator,
    /// The record does not exist.
    #[error("there is no such {what}")]
    Missing {
        /// Which kind of record.
        what: &'static str,
    },
    /// Another daemon has claimed the event log of this PBX.
    #[error("another daemon writes to this database; stop one of the two")]
    Displaced,
    /// Another process holds the database.
    #[error("the database is busy: another process has been writing for too long; try again")]
    Busy,
    /// The store doesn't answer, or its answer cannot be decoded.
    #[error("the store failed")]
    Failed(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether a store that could not be opened may be available later: its server is down or still starting.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Server { unavailable: true, .. }) || self.is_transient()
    }

    /// Whether the same request may succeed later: the store is busy or unreachable, and the request itself was not
    /// refused.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Failed(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            Self::Failed(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| is_transient_code(&code))
            }
            _ => false,
        }
    }
}

/// PostgreSQL's error classes that pass without a change of the request: connection lost (08), transaction rolled back
/// (40), insufficient resources (53), operator intervention (57), system error (58).
pub(super) fn is_transient_code(code: &str) -> bool {
    code.len() == 5 && matches!(&code[..2], "08" | "40" | "53" | "57" | "58")
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_BUSY and SQLITE_LOCKED, with their extended forms.
        let busy = error
            .as_database_error()
            .and_then(|e| e.try_downcast_ref::<SqliteError>())
            .and_then(|e| e.code())
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 5 | 6));
        if busy { Self::Busy } else { Self::Failed(error) }
    }
}

/// A constraint that refused a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Constraint {
    /// The table has this value, which must be unique.
    Unique,
    /// The record that the row refers to does not exist.
    ForeignKey,
}

/// The constraint behind `error`.
pub(super) fn violated_constraint(error: &sqlx::Error) -> Option<Constraint> {
    let error = error.as_database_error()?;
    if error.is_unique_violation() {
        Some(Constraint::Unique)
    } else if error.is_foreign_key_violation() {
        Some(Constraint::ForeignKey)
    } else {
        None
    }
}

/// The error of a refused record of an account; `what` names the record's code.
pub(super) fn refusal(error: sqlx::Error, what: &'static str, code: Option<&str>) -> StoreError {
    match violated_constraint(&error) {
        Some(Constraint::Unique) => StoreError::Taken { what, value: code.unwrap_or_default().to_owned() },
        Some(Constraint::ForeignKey) => StoreError::Missing { what: "account" },
        None => error.into(),
    }
}
