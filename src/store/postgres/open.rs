//! Opening the database. Each way in which the server or the database can be unusable has its own error text.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool, Row};

use super::Postgres;
use crate::store::erasure::ErasureProgress;
use crate::store::error::{READ_TIMEOUT, is_transient_code};
use crate::store::location::PostgresAddress;
use crate::store::retention::PurgeProgress;
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
/// How long a statement that writes may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);
/// When an unused connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/postgres/migrations");

impl Postgres {
    pub(in crate::store) async fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        Self::open_with(address, READ_TIMEOUT).await
    }

    /// As [`Self::open`]. A question that takes longer than `read_timeout` is asked too generally, and ends with
    /// [`StoreError::TooSlow`].
    async fn open_with(address: &PostgresAddress, read_timeout: Duration) -> Result<Self, StoreError> {
        #[cfg(test)]
        crate::store::plan_tests::record_statements();
        migrate(address).await?;
        let writing = options(address, STATEMENT_TIMEOUT)?;
        let pool = connect(address, WRITERS_MAX, writing.clone()).await?;
        let log_writer = connect(address, 1, writing).await?;
        let reading = options(address, read_timeout)?;
        let readers = connect(address, READERS_MAX, reading.clone().options(PLANNED_EACH_TIME)).await?;
        let card_readers = connect(address, CARD_READERS_MAX, reading).await?;
        let address = address.clone();
        let store = Self {
            address,
            pool,
            log_writer,
            readers,
            card_readers,
            stalled: StalledWriters::default(),
            erasures: ErasureProgress::default(),
            purging: PurgeProgress::default(),
        };
        store.finish_upgrade().await?;
        Ok(store)
    }
}

/// Each page is planned for its own values: the plan for any value takes every caller for one with a single call, and sorts all that
/// the caller with the most calls has.
const PLANNED_EACH_TIME: [(&str, &str); 1] = [("plan_cache_mode", "force_custom_plan")];

fn options(address: &PostgresAddress, statement_timeout: Duration) -> Result<PgConnectOptions, StoreError> {
    let options = address.options().map_err(|error| describe(address, error))?;
    let timeout = statement_timeout.as_millis().to_string();
    let options = options.application_name("toritsugi").options([("statement_timeout", timeout)]);
    // To compile a statement takes longer than any of ours runs: 10 to 70 ms for a page of 0.2 ms whose cost was guessed high.
    Ok(options.options([("jit", "off")]))
}

/// Applies the missing migrations. Takes a lock, because several daemons may start at once, and waits for it as long as the
/// migrations of another daemon take.
async fn migrate(address: &PostgresAddress) -> Result<(), StoreError> {
    // Not through a pool, which tries until its timeout and drops the reason. PostgreSQL takes 0 for no limit.
    let first = options(address, Duration::ZERO)?;
    let first = tokio::time::timeout(CONNECT_TIMEOUT, first.connect()).await;
    let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let mut first = first.map_err(|error| describe(address, error))?;
    let migrated = MIGRATIONS.run_direct(None, &mut first, false).await;
    migrated.map_err(|error| describe_migration(address, error))?;
    first.close().await.map_err(|error| describe(address, error))
}

/// A pool of at most `connections`.
async fn connect(
    address: &PostgresAddress,
    connections: u32,
    options: PgConnectOptions,
) -> Result<PgPool, StoreError> {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|error| describe(address, error))
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
    async fn no_connection_has_its_statements_compiled() {
        let db = Postgres::open(&at(&postgres().empty_database().await)).await.unwrap();
        for pool in [&db.pool, &db.log_writer, &db.readers, &db.card_readers] {
            let jit: String = sqlx::query_scalar("SHOW jit").fetch_one(pool).await.unwrap();
            assert_eq!(jit, "off");
        }
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

    #[tokio::test]
    async fn an_endless_question_is_ended() {
        let address = at(&postgres().empty_database().await);
        let db = Postgres::open_with(&address, Duration::from_millis(100)).await.unwrap();
        let asked = sqlx::query("SELECT pg_sleep(3600)").execute(&db.readers).await;
        let error = StoreError::from(asked.unwrap_err());
        assert!(matches!(error, StoreError::TooSlow), "{error}");
    }

    #[tokio::test]
    async fn questions_that_take_every_connection_hold_up_neither_pops_nor_writers() {
        let address = at(&postgres().empty_database().await);
        let store = Store::open_at(&Location::Postgres(address)).await.unwrap();
        let Store::Postgres(db) = &store else { unreachable!("it was opened on a server") };
        let mut asked = Vec::new();
        for _ in 0..READERS_MAX {
            asked.push(db.readers.begin().await.unwrap());
        }
        assert!(db.readers.try_acquire().is_none());
        store.caller_history(crate::ids::RecordId(uuid::Uuid::nil()), "+8190").await.unwrap();
        store.probe_write().await.unwrap();
        store.save_visibility(&crate::ids::PbxId::parse("lab").unwrap(), "x", 1).await.unwrap();
        drop(asked);
        store.ping().await.unwrap();
    }

    #[tokio::test]
    async fn a_daemon_waits_for_the_upgrade_of_another_however_long_it_takes() {
        const WAITING: &str =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
            (SELECT oid FROM pg_database WHERE datname = current_database())";
        let address = at(&postgres().empty_database().await);
        let upgrading = Postgres::open(&address).await.unwrap();
        let short =
            connect(&address, 2, options(&address, Duration::from_millis(100)).unwrap()).await.unwrap();
        let waiting = Postgres { pool: short.clone(), ..upgrading.clone() };
        let step = upgrading.begin_upgrade().await.unwrap();
        let waiting = tokio::spawn(async move { waiting.finish_upgrade().await });
        while sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&upgrading.readers).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        // A statement that began later has come to its timeout.
        let later = sqlx::query("SELECT pg_sleep(3600)").execute(&short).await;
        assert!(matches!(StoreError::from(later.unwrap_err()), StoreError::TooSlow));
        assert!(!waiting.is_finished());
        // Nor does the upgrade keep others from people and tokens.
        upgrading.begin_exclusive().await.unwrap().rollback().await.unwrap();
        step.commit().await.unwrap();
        waiting.await.unwrap().unwrap();
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
