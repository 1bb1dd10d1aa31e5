//! Reaching the server: every way in which it can be unusable gets its own sentence.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, Row};

use super::Postgres;
use crate::store::error::is_away_code;
use crate::store::location::PostgresAddress;
use crate::store::{Condition, StoreError};

/// Connections of one daemon.
const CONNECTIONS_MAX: u32 = 8;
/// How long a request waits for a free connection, or for a server that is away.
pub(super) const ACQUIRE_WAIT: Duration = Duration::from_secs(5);
/// How long the first connection may take: a machine that is down does not answer at all.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a statement may take, in milliseconds.
const STATEMENT_MS_MAX: &str = "15000";
/// A connection that is not used for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(600);

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/postgres/migrations");

impl Postgres {
    pub(in crate::store) async fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        let options = address.options().map_err(|error| describe(address, error))?;
        // The pool would try until its time is over and forget why: the first connection is made by hand.
        let first = tokio::time::timeout(CONNECT_WAIT, options.clone().connect()).await;
        let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        drop(first.map_err(|error| describe(address, error))?);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_WAIT)
            .idle_timeout(IDLE_MAX)
            .connect_with(
                options.application_name("toritsugi").options([("statement_timeout", STATEMENT_MS_MAX)]),
            )
            .await
            .map_err(|error| describe(address, error))?;
        // Takes a lock of its own: several daemons may start at once.
        MIGRATIONS.run(&pool).await.map_err(|error| describe_migration(address, error))?;
        Ok(Self { address: address.clone(), pool })
    }
}

/// What the database at `address` holds.
pub(in crate::store) async fn inspect(address: &PostgresAddress) -> Result<Condition, StoreError> {
    let options = address.options().map_err(|error| describe(address, error))?;
    let mut connection = options.connect().await.map_err(|error| describe(address, error))?;
    let failed = |error| describe(address, error);
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if !is_there {
        return Ok(Condition::Absent);
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let (schema, known) =
        (row.try_get("version").map_err(failed)?, MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0));
    match known - schema {
        0 => Ok(Condition::Current { schema }),
        ..0 => Err(newer(address, schema)),
        _ => Ok(Condition::Older { schema, known }),
    }
}

fn newer(address: &PostgresAddress, schema: i64) -> StoreError {
    StoreError::Server {
        server: address.to_string(),
        reason: format!("a newer version of this program made its tables (schema {schema})"),
        advice: "use that version, or restore a backup from before",
        away: false,
    }
}

/// What the server's answer means for whoever runs the daemon.
fn describe(address: &PostgresAddress, error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned());
    let advice = match (&error, code.as_deref()) {
        (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut, _) => {
            "start it, or repair the host and port in store.url"
        }
        (sqlx::Error::Tls(_), _) => "check its certificate, or sslmode in store.url",
        (_, Some("28P01" | "28000")) => "check the user in store.url and the password in store.password_file",
        (_, Some("3D000")) => "create it: createdb, owned by the user in store.url",
        (_, Some("42501")) => "let the user in store.url create tables: make it the database's owner",
        (_, Some("53300")) => "raise its max_connections",
        _ => "see the server's log",
    };
    let reason = match error.as_database_error() {
        Some(answer) => answer.message().to_owned(),
        None => error.to_string(),
    };
    let away = match code.as_deref() {
        Some(code) => is_away_code(code),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut),
    };
    StoreError::Server { server: address.to_string(), reason, advice, away }
}

fn describe_migration(address: &PostgresAddress, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => describe(address, error),
        MigrateError::VersionMissing(version) => newer(address, version),
        other => StoreError::Server {
            server: address.to_string(),
            reason: other.to_string(),
            advice: "restore a backup, or use another database",
            away: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::postgres;
    use crate::store::{Location, Store};

    fn at(url: &str) -> PostgresAddress {
        PostgresAddress::parse(url).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn several_may_open_a_new_database_at_once_and_a_look_changes_nothing() {
        let address = at(&postgres().empty_database().await);
        assert_eq!(inspect(&address).await.unwrap(), Condition::Absent);
        let opening: Vec<_> = (0..4)
            .map(|_| {
                let location = Location::Postgres(address.clone());
                tokio::spawn(async move { Store::open_at(&location).await })
            })
            .collect();
        for store in opening {
            store.await.unwrap().unwrap().ping().await.unwrap();
        }
        assert!(matches!(inspect(&address).await.unwrap(), Condition::Current { .. }));
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named_with_what_to_do() {
        let there = postgres().empty_database().await;
        let (server, _) = there.rsplit_once('/').unwrap();
        let nobody = there.replacen("toritsugi@", "nobody@", 1);
        let cases = [
            (format!("{server}/none"), "createdb", false),
            ("postgres://toritsugi@127.0.0.1:1/x".to_owned(), "start it", true),
            (nobody, "check the user", false),
        ];
        for (url, words, away) in cases {
            let error = Postgres::open(&at(&url)).await.unwrap_err();
            assert_eq!(error.is_away(), away, "{error}");
            let error = error.to_string();
            assert!(error.contains(words) && error.contains(&url), "{error}");
        }
    }

    #[tokio::test]
    async fn newer_schemas_are_refused_and_audit_rows_stay() {
        let address = at(&postgres().empty_database().await);
        let db = Postgres::open(&address).await.unwrap();
        sqlx::query("INSERT INTO audit (at_ms, actor, action) VALUES (1, 'x', 'listen')")
            .execute(&db.pool)
            .await
            .unwrap();
        for sql in ["UPDATE audit SET actor = 'y'", "DELETE FROM audit", "TRUNCATE audit"] {
            assert!(sqlx::query(sql).execute(&db.pool).await.is_err(), "{sql}");
        }
        sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), true, '', 1)")
            .execute(&db.pool)
            .await
            .unwrap();
        assert!(Postgres::open(&address).await.unwrap_err().to_string().contains("newer version"));
        assert!(inspect(&address).await.unwrap_err().to_string().contains("newer version"));
    }
}
