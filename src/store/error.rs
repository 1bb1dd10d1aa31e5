//! What can go wrong in the store, in words for the person who must act.

use std::path::PathBuf;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file can't be opened or created.
    #[error("cannot open the database {}: {reason}; {advice}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The file is a database, but not one this program can use.
    #[error("the database {} cannot be used: {reason}; {advice}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The PostgreSQL server can't be reached, or its database can't be used.
    #[error("cannot use the database {server}: {reason}; {advice}")]
    Server {
        /// The server and the database.
        server: String,
        /// What it said.
        reason: String,
        /// What to do about it.
        advice: &'static str,
        /// It may be there later without anybody acting on the configuration: it is away, starting, or full.
        away: bool,
    },
    /// Another record has this value already.
    #[error("{what} is taken already: {value}")]
    Taken {
        /// Which value must be unique, for instance `the dialled number`.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// There is no such record.
    #[error("there is no such {what}")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
    /// Another daemon writes the log of events now.
    #[error("another daemon writes to this database; end one of them")]
    Displaced,
    /// Another process holds the database.
    #[error("the database is busy: another process has been writing for too long; try again")]
    Busy,
    /// The store doesn't answer, or answers nonsense.
    #[error("the store failed")]
    Failed(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether a store that could not be opened may be there later: its server is away or still starting.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Server { away: true, .. }) || self.is_passing()
    }

    /// Whether the same request may succeed later without anybody acting on what was asked: the store is busy, or
    /// away and somebody brings it back.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Failed(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            Self::Failed(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| is_away_code(&code))
            }
            _ => false,
        }
    }
}

/// PostgreSQL's classes of what goes by: connections lost, resources, locks, the server stopping or starting.
pub(super) fn is_away_code(code: &str) -> bool {
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
