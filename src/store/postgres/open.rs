//! Opening the database. Each way in which the server or the database can be unusable has its own error text.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, Row};

use super::Postgres;
use crate::store::error::{READ_TIMEOUT, is_transient_code};
use crate::store::location::PostgresAddress;
use crate::store::stalled::StalledWriters;
use crate::store::{SchemaStatus, StoreError};

/// Most connections of one daemon that write for requests and tasks; the event log has one of its own.
const WRITERS_MAX: u32 = 3;
/// Most connections that read for requests.
const READERS_MAX: u32 = 4;
/// Most connections that read the cards of pops.
const CARD_READERS_MAX: u32 = 2;
/// How long a request waits for a free connection, or for a server that is unavailable.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first connection may take: a machine that is down does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement that writes may take, in milliseconds.
const STATEMENT_TIMEOUT_MS: &str = "15000";
/// When an unused connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/postgres/migrations");

impl Postgres {
    pub(in crate::store) async fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        #[cfg(test)]
        crate::store::plan_tests::record_statements();
        let options = address.options().map_err(|error| describe(address, error))?;
        // Not through the pool, which tries until its timeout and drops the reason.
        let first = tokio::time::timeout(CONNECT_TIMEOUT, options.clone().connect()).await;
        let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        drop(first.map_err(|error| describe(address, error))?);
        let options = options.application_name("toritsugi");
        let read_timeout = READ_TIMEOUT.as_millis().to_string();
        let pools = async |connections, timeout: &str| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(IDLE_TIMEOUT)
                .connect_with(options.clone().options([("statement_timeout", timeout)]))
                .await
                .map_err(|error| describe(address, error))
        };
        let pool = pools(WRITERS_MAX, STATEMENT_TIMEOUT_MS).await?;
        let log_writer = pools(1, STATEMENT_TIMEOUT_MS).await?;
        let readers = pools(READERS_MAX, &read_timeout).await?;
        let card_readers = pools(CARD_READERS_MAX, &read_timeout).await?;
        // Takes a lock, because several daemons may start at once.
        MIGRATIONS.run(&pool).await.map_err(|error| describe_migration(address, error))?;
        let address = address.clone();
        let store =
            Self { address, pool, log_writer, readers, card_readers, stalled: StalledWriters::default() };
        store.finish_upgrade().await?;
        Ok(store)
    }
}

/// The schema status of the database at `address`.
pub(in crate::store) async fn inspect(address: &PostgresAddress) -> Result<SchemaStatus, StoreError> {
    let options = address.options().map_err(|error| describe(address, error))?;
    let mut connection = options.connect().await.map_err(|error| describe(address, error))?;
    let failed = |error| describe(address, error);
    let has_migrations: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if !has_migrations {
        return Ok(SchemaStatus::Absent);
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let (schema, known) =
        (row.try_get("version").map_err(failed)?, MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0));
    match known - schema {
        0 => Ok(SchemaStatus::Current { schema }),
        ..0 => Err(newer(address, schema)),
        _ => Ok(SchemaStatus::Older { schema, known }),
    }
}

fn newer(address: &PostgresAddress, schema: i64) -> StoreError {
    StoreError::Server {
        server: address.to_string(),
        reason: format!("a newer version of this program created its tables (schema {schema})"),
        advice: "use that version, or restore a backup from before",
        unavailable: false,
    }
}

/// The server's answer as an error for the administrator.
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
    let unavailable = match code.as_deref() {
        Some(code) => is_transient_code(code),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut),
    };
    StoreError::Server { server: address.to_string(), reason, advice, unavailable }
}

fn describe_migration(address: &PostgresAddress, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => describe(address, error),
        MigrateError::VersionMissing(version) => newer(address, version),
        other => StoreError::Server {
            server: address.to_string(),
            reason: other.to_string(),
            advice: "restore a backup, or use another database",
            unavailable: false,
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
    async fn several_may_open_a_new_database_at_once_and_inspect_changes_nothing() {
        let address = at(&postgres().empty_database().await);
        assert_eq!(inspect(&address).await.unwrap(), SchemaStatus::Absent);
        let opening: Vec<_> = (0..4)
            .map(|_| {
                let location = Location::Postgres(address.clone());
                tokio::spawn(async move { Store::open_at(&location).await })
            })
            .collect();
        for store in opening {
            store.await.unwrap().unwrap().ping().await.unwrap();
        }
        assert!(matches!(inspect(&address).await.unwrap(), SchemaStatus::Current { .. }));
    }

    #[tokio::test]
    async fn an_unusable_database_is_named_with_what_to_do() {
        let existing = postgres().empty_database().await;
        let (server, _) = existing.rsplit_once('/').unwrap();
        let nobody = existing.replacen("toritsugi@", "nobody@", 1);
        let cases = [
            (format!("{server}/none"), "createdb", false),
            ("postgres://toritsugi@127.0.0.1:1/x".to_owned(), "start it", true),
            (nobody, "check the user", false),
        ];
        for (url, words, unavailable) in cases {
            let error = Postgres::open(&at(&url)).await.unwrap_err();
            assert_eq!(error.is_unavailable(), unavailable, "{error}");
            let error = error.to_string();
            assert!(error.contains(words) && error.contains(&url), "{error}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn endless_questions_are_ended_and_neither_pops_nor_writers_wait_for_them() {
        let address = at(&postgres().empty_database().await);
        let store = Store::open_at(&Location::Postgres(address)).await.unwrap();
        let Store::Postgres(db) = &store else { unreachable!("it was opened on a server") };
        let asked: Vec<_> = (0..READERS_MAX)
            .map(|_| {
                let readers = db.readers.clone();
                tokio::spawn(async move { sqlx::query("SELECT pg_sleep(3600)").execute(&readers).await })
            })
            .collect();
        store.caller_history(crate::ids::RecordId(uuid::Uuid::nil()), "+8190").await.unwrap();
        store.probe_write().await.unwrap();
        assert!(!asked.iter().any(tokio::task::JoinHandle::is_finished));
        for task in asked {
            let error = StoreError::from(task.await.unwrap().unwrap_err());
            assert!(matches!(error, StoreError::TooSlow), "{error}");
        }
        store.ping().await.unwrap();
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
