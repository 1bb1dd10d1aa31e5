//! Which store, and where: one SQLite file, or a database of a PostgreSQL server.
//!
//! Invariant: nothing prints a password. A URL that contains one is refused; the `Debug` and `Display` forms of an
//! address show its URL without the parameters.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::secret::Secret;

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// One file beside the daemon.
    File(PathBuf),
    /// A server that several daemons share.
    Postgres(PostgresAddress),
}

/// A database of a PostgreSQL server, with the user and the password to connect with.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    url: Box<str>,
    password: Option<Secret>,
}

/// Why a text is not the address of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresAddressError {
    /// It has another scheme, or is not a URL.
    #[error("must be postgres://user@host:port/database{0}")]
    NoUrl(String),
    /// It contains a password, which every log line with the URL would show.
    #[error(
        "the password does not belong in the URL: put it into a file of its own and name that in store.password_file"
    )]
    Password,
}

impl PostgresAddress {
    /// Reads `postgres://user@host:port/database?sslmode=…`.
    ///
    /// # Errors
    /// The text is not such a URL, or contains a password.
    pub fn parse(url: &str) -> Result<Self, PostgresAddressError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let Some(rest) = rest else { return Err(PostgresAddressError::NoUrl(String::new())) };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        if user.contains(':') || rest.contains("password=") {
            return Err(PostgresAddressError::Password);
        }
        PgConnectOptions::from_str(url).map_err(|e| PostgresAddressError::NoUrl(format!(" ({e})")))?;
        Ok(Self { url: url.into(), password: None })
    }

    /// The same address with this password.
    #[must_use]
    pub fn with_password(self, password: Option<Secret>) -> Self {
        Self { password, ..self }
    }

    /// The options to connect with, including the password. Never print them.
    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.url)?;
        Ok(match &self.password {
            Some(password) => options.password(password.expose()),
            None => options,
        })
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({self})")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_password_and_takes_none_in_its_url() {
        let address =
            PostgresAddress::parse("postgres://cti@db.example.jp:5432/toritsugi?sslmode=verify-full")
                .unwrap()
                .with_password(Some(Secret::new("hunter2")));
        assert_eq!(address.to_string(), "postgres://cti@db.example.jp:5432/toritsugi");
        assert!(!format!("{address:?} {:?}", Location::Postgres(address.clone())).contains("hunter2"));
        for url in ["postgres://cti:x@h/d", "postgres://cti@h/d?password=x"] {
            assert_eq!(PostgresAddress::parse(url), Err(PostgresAddressError::Password));
        }
        for url in ["", "mysql://h/d", "postgres://h:port/d"] {
            assert!(matches!(PostgresAddress::parse(url), Err(PostgresAddressError::NoUrl(_))), "{url}");
        }
    }
}
