//! What can go wrong in the store, worded for the person who must act, and which constraint refused a row.
//!
//! | error | the record | a writer that has it |
//! |---|---|---|
//! | a constraint, a value or the statement is wrong | is refused | leaves it out, once the store has proved that it takes others |
//! | the disk is full, fails or is read-only; the file is locked, damaged or gone; the server is away, read-only or out of space | is all right | keeps it and tries again |
//!
//! Invariant: after an error of the disk or the file, no SQLite connection that was open at that moment is used again
//! ([`had_storage_error`]): SQLite rolls a transaction back by itself then, and a file that was opened while it was
//! read-only stays read-only for that connection.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

/// How long a question of a request may take.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Another daemon uses the same file.
    #[error(
        "another daemon{} uses the database {}; stop it, or set another store.path for this one",
        process.map_or_else(String::new, |process| format!(" (process {process})")),
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The other daemon's process, where it is known.
        process: Option<u32>,
    },
    /// The call's caller was erased: nothing about the caller is written any more.
    #[error("the data of the call's caller was deleted")]
    Erased,
    /// The disk, or the file on it, cannot be used at the moment.
    #[error("the store cannot be used: {reason}; {advice}")]
    Storage {
        /// What is wrong.
        reason: &'static str,
        /// What to do.
        advice: &'static str,
        /// SQLite's or the system's error.
        source: sqlx::Error,
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
    /// The record was changed since it was read.
    #[error("the {what} was changed meanwhile")]
    Changed {
        /// Which kind of record.
        what: &'static str,
    },
    /// Another daemon has claimed the event log of this PBX.
    #[error("another daemon writes to this database; stop one of the two")]
    Displaced,
    /// Another process holds the database.
    #[error("the database is busy: another process has been writing for too long; try again")]
    Busy,
    /// A question took longer than [`READ_TIMEOUT`], and was ended.
    #[error(
        "the question took longer than {} s and was ended; ask for less, for instance of one account or of a shorter time",
        READ_TIMEOUT.as_secs()
    )]
    TooSlow,
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

    /// Whether the same request may succeed later: the store is busy, out of space or unreachable, and the request
    /// itself was not refused.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy | Self::TooSlow | Self::Storage { .. } => true,
            Self::Failed(error) => is_transient(error),
            _ => false,
        }
    }

    /// Whether the store was closed: nothing will be written any more.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Failed(sqlx::Error::PoolClosed))
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    use sqlx::Error::{
        BeginFailed, Database, InvalidSavePointStatement, Io, PoolTimedOut, Protocol, Tls, WorkerCrashed,
    };
    match error {
        PoolTimedOut | Io(_) | Tls(_) | Protocol(_) | WorkerCrashed => true,
        // The connection is in a transaction that nobody ended; the pool drops it.
        InvalidSavePointStatement | BeginFailed => true,
        Database(error) if error.try_downcast_ref::<SqliteError>().is_none() => {
            error.code().is_some_and(|code| !is_refusal_code(&code))
        }
        _ => false,
    }
}

/// PostgreSQL's error classes that pass without a change of the request or the configuration: connection lost (08),
/// transaction rolled back (40), insufficient resources (53), operator intervention (57), system error (58).
pub(super) fn is_transient_code(code: &str) -> bool {
    code.len() == 5 && matches!(&code[..2], "08" | "40" | "53" | "57" | "58")
}

/// PostgreSQL's error classes that refuse the request itself: not supported (0A), cardinality (21), data (22),
/// constraint (23), statement (42), check of a view (44). Anything else is the server's state: for instance a server
/// that became a read-only standby (25006), or a privilege that was taken away (42501).
fn is_refusal_code(code: &str) -> bool {
    code != "42501" && matches!(code.get(..2), Some("0A" | "21" | "22" | "23" | "42" | "44"))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some((reason, advice)) = sqlite_code(&error).and_then(storage_fault) else {
            // SQLITE_BUSY and SQLITE_LOCKED, with their extended forms; SQLITE_INTERRUPT.
            return match sqlite_code(&error) {
                Some(5 | 6) => Self::Busy,
                Some(9) => Self::TooSlow,
                None if is_canceled(&error) => Self::TooSlow,
                _ => Self::Failed(error),
            };
        };
        *LAST_STORAGE_ERROR.lock() = Some(Instant::now());
        Self::Storage { reason, advice, source: error }
    }
}

/// Whether PostgreSQL ended a statement that took too long.
fn is_canceled(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57014")
}

/// SQLite's primary result code.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.try_downcast_ref::<SqliteError>()?.code()?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

/// What a SQLite result code says about the disk or the file, and what to do; `None` for a code that speaks of the
/// statement or its values, or of another process's lock.
fn storage_fault(code: u32) -> Option<(&'static str, &'static str)> {
    Some(match code {
        7 => ("there is no memory left", "give the machine more memory, or stop what takes it"),
        8 => (
            "the database is read-only",
            "let the daemon's user write the file and its directory, on a file system that can be written",
        ),
        10 => ("the disk failed to read or write it", "check the disk"),
        11 | 26 => ("the database is damaged", "stop the daemon and restore the database from a backup"),
        13 => ("the disk is full", "make room on its file system"),
        3 | 14 | 23 => {
            ("the database cannot be opened", "let the daemon's user read and write it and its directory")
        }
        15 | 22 => ("the file system cannot lock or hold the file", "move the database to a local disk"),
        _ => return None,
    })
}

/// The last error of the storage that any SQLite connection of this process met.
static LAST_STORAGE_ERROR: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether a storage error happened in the lifetime of a connection that is `age` old.
pub(super) fn had_storage_error(age: Duration) -> bool {
    let last = *LAST_STORAGE_ERROR.lock();
    last.is_some_and(|last| last.elapsed() <= age)
}

/// A constraint that refused a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Constraint {
    /// The table has this value, which must be unique.
    Unique,
    /// The record that the row refers to does not exist.
    ForeignKey,
}

/// A trigger refused the row: its account is being removed.
const SQLITE_CONSTRAINT_TRIGGER: &str = "1811";

/// The constraint behind `error`.
pub(super) fn violated_constraint(error: &sqlx::Error) -> Option<Constraint> {
    let error = error.as_database_error()?;
    if error.is_unique_violation() {
        Some(Constraint::Unique)
    } else if error.is_foreign_key_violation() || error.code().as_deref() == Some(SQLITE_CONSTRAINT_TRIGGER) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_refuses_the_record_itself_is_not_tried_again() {
        for code in ["25006", "25P02", "53100", "57P03", "58030", "08006", "55P03", "42501", "3D000", "XX000"]
        {
            assert!(!is_refusal_code(code), "{code}");
        }
        for code in ["23505", "22001", "42P01", "0A000"] {
            assert!(is_refusal_code(code), "{code}");
        }
        for code in [7, 8, 10, 11, 13, 14, 26] {
            assert!(storage_fault(code).is_some(), "{code}");
        }
        // Constraint, too big, mismatch, range, and a wrong statement.
        for code in [1, 18, 19, 20, 25] {
            assert!(storage_fault(code).is_none(), "{code}");
        }
    }
}
