//! Opening the file. Each way in which it can be unusable has its own error text.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqliteConnection, SqlitePool};
use tokio::sync::{Notify, Semaphore};

use super::file::FileId;
use super::{Sqlite, checkpoint};
use crate::store::StoreError;
use crate::store::erasure::ErasureProgress;
use crate::store::error::{READ_TIMEOUT, had_storage_error};
use crate::store::retention::PurgeProgress;
use crate::store::stalled::StalledWriters;

/// Marks the file as a database of this program ("TRTG").
pub(super) const APPLICATION_ID: i32 = 0x5452_5447;
/// Most connections that read.
const READERS_MAX: u32 = 4;
/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two tries to open a busy file.
const BUSY_RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// Most connections that read the cards of pops.
const CARD_READERS_MAX: u32 = 2;
/// Instructions of SQLite's virtual machine between two looks at the clock: less than a millisecond.
const INSTRUCTIONS_PER_LOOK: i32 = 5_000;
/// How long a request waits for a free connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Part of the file that a connection maps into memory, in bytes: nothing. A disk that fails to read a mapped page ends
/// the process, while a failed read is an error.
const MAPPED_BYTES_MAX: &str = "0";
/// Page cache of a connection that writes, in KiB (SQLite takes KiB as a negative number).
const CACHE_KIB: &str = "-16384";
/// That of the connection that writes for requests and tasks. A year's figures by account have 5,000 places that are written in turn.
const WRITER_CACHE_KIB: &str = "-65536";
/// That of a connection that reads. There are more of them, and what they miss is in the system's cache.
const READER_CACHE_KIB: &str = "-8192";
/// The write-ahead log is cut to this size after a large transaction, in bytes.
const WAL_BYTES_MAX: &str = "67108864";

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("src/store/sqlite/migrations");

const ADVICE_RESTORE: &str = "restore it from a backup, or move it away to start empty";

impl Sqlite {
    pub(in crate::store) async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, READ_TIMEOUT).await
    }

    /// As [`Self::open`]. A question that a connection answers for longer than `read_timeout` is asked too generally, and
    /// ends with [`StoreError::TooSlow`].
    async fn open_with(path: &Path, read_timeout: Duration) -> Result<Self, StoreError> {
        #[cfg(test)]
        crate::store::plan_tests::record_statements();
        create_private_file(path)?;
        super::file::make_private(path);
        let options = options_of_writers(path);
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|_, meta| std::future::ready(Ok(!had_storage_error(meta.age))).boxed())
            .after_release(|connection, _| {
                async {
                    if connection.is_in_transaction() {
                        // A transaction was dropped: its rollback is carried out before the connection answers.
                        connection.ping().await?;
                    }
                    Ok(!connection.is_in_transaction())
                }
                .boxed()
            })
            .idle_timeout(None)
            .max_lifetime(None);
        let largest = options.clone().pragma("cache_size", WRITER_CACHE_KIB);
        let writer = connect(path, pool.clone().max_connections(1), largest).await?;
        prepare(path, &writer).await?;
        let log_writer = connect(path, pool.clone().max_connections(1), options.clone()).await?;
        let checkpoints = connect(path, pool.clone().max_connections(1), options.clone()).await?;
        let options = options.pragma("query_only", "ON").pragma("cache_size", READER_CACHE_KIB);
        let pool = pool
            .min_connections(1)
            .after_connect(move |connection, _| limit_time(connection, read_timeout).boxed())
            // Its rollback, if there is one, is carried out before it answers.
            .after_release(move |connection, _| {
                async move {
                    limit_time(connection, read_timeout).await?;
                    Ok(!connection.is_in_transaction())
                }
                .boxed()
            });
        let readers = connect(path, pool.clone().max_connections(READERS_MAX), options.clone()).await?;
        let card_readers = connect(path, pool.max_connections(CARD_READERS_MAX), options).await?;
        let file = FileId::of(path).map_err(|source| StoreError::Open {
            path: path.to_owned(),
            reason: source.to_string(),
            advice: "let the daemon's user read and write it and its directory",
        })?;
        let written = Arc::<Notify>::default();
        let store = Self {
            path: path.to_owned(),
            file,
            writer,
            log_writer,
            turn: Arc::new(Semaphore::new(1)),
            _copies: Arc::new(checkpoint::start(checkpoints.clone(), Arc::clone(&written))),
            written,
            checkpoints,
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

fn options_of_writers(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("mmap_size", MAPPED_BYTES_MAX)
        .pragma("cache_size", CACHE_KIB)
        .pragma("journal_size_limit", WAL_BYTES_MAX)
        .pragma("wal_autocheckpoint", checkpoint::LOG_PAGES_MAX)
}

/// Gives the next user of the connection the time `limit`, from the first look at the clock.
async fn limit_time(connection: &mut SqliteConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let mut since = None::<Instant>;
    let go_on = move || since.get_or_insert_with(Instant::now).elapsed() < limit;
    connection.lock_handle().await?.set_progress_handler(INSTRUCTIONS_PER_LOOK, go_on);
    Ok(())
}

/// Creates the file, readable by its owner alone because it holds personal data; SQLite would let everybody read it.
/// SQLite gives the files beside it the same mode. The file is not opened here: closing it would release the locks that
/// this process has on it.
pub(super) fn create_private_file(path: &Path) -> Result<(), StoreError> {
    let made = mknodat(CWD, path, FileType::RegularFile, Mode::RUSR | Mode::WUSR, 0).map_err(io::Error::from);
    let (reason, advice) = match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            ("it is a directory".to_owned(), "name a file, not a directory")
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => "create its directory, or set another path",
                io::ErrorKind::PermissionDenied => {
                    "let the daemon's user read and write it and its directory"
                }
                io::ErrorKind::ReadOnlyFilesystem => "move it to a file system that can be written",
                _ => "set another path, or repair the file system",
            };
            (error.to_string(), advice)
        }
        _ => return Ok(()),
    };
    Err(StoreError::Open { path: path.to_owned(), reason, advice })
}

/// Opens the connections of a pool. While another process switches a new file to WAL mode, SQLite answers "busy" at
/// once; this function tries again for as long as a statement waits for a lock.
async fn connect(
    path: &Path,
    pool: SqlitePoolOptions,
    options: SqliteConnectOptions,
) -> Result<SqlitePool, StoreError> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match pool.clone().connect_with(options.clone()).await.map_err(|error| describe(path, error)) {
            Err(StoreError::Busy) if Instant::now() < deadline => {
                tokio::time::sleep(BUSY_RETRY_INTERVAL).await
            }
            connected => return connected,
        }
    }
}

/// Marks the file and applies the missing migrations, in one transaction that has the write lock from its beginning:
/// another process that opens the same file waits and finds everything done.
async fn prepare(path: &Path, writer: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction =
        writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| describe(path, error))?;
    mark(path, &mut transaction).await?;
    let migrated = MIGRATIONS.run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|error| describe_migration(path, error))?;
    transaction.commit().await.map_err(|error| describe(path, error))
}

/// Marks an empty database as one of this program; refuses that of another program.
async fn mark(path: &Path, writer: &mut SqliteConnection) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM sqlite_schema) AS objects, application_id FROM pragma_application_id",
    )
    .fetch_one(&mut *writer)
    .await
    .map_err(|error| describe(path, error))?;
    let (objects, id): (i64, i32) = (row.get("objects"), row.get("application_id"));
    if id == APPLICATION_ID {
        return Ok(());
    }
    if objects > 0 {
        return Err(StoreError::Unusable {
            path: path.to_owned(),
            reason: "it belongs to another program".to_owned(),
            advice: "set another path",
        });
    }
    // The text consists of constants; PRAGMA takes no bound value.
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}")))
        .execute(writer)
        .await
        .map_err(|error| describe(path, error))?;
    Ok(())
}

/// SQLite's primary result code as an error for the administrator.
pub(super) fn describe(path: &Path, error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|e| e.code()).and_then(|c| c.parse::<u32>().ok());
    let unusable = |reason: &str, advice| StoreError::Unusable {
        path: path.to_owned(),
        reason: reason.to_owned(),
        advice,
    };
    match code.map(|c| c & 0xff) {
        Some(26) => unusable("it is not a database", ADVICE_RESTORE),
        Some(11) => unusable("it is damaged", ADVICE_RESTORE),
        Some(8) => unusable("it is read-only", "let the daemon's user write the file and its directory"),
        Some(13) => unusable("the disk is full", "make room on its file system"),
        Some(10) => unusable("the disk failed to read or write it", "check the disk"),
        Some(3 | 14) => StoreError::Open {
            path: path.to_owned(),
            reason: error.to_string(),
            advice: "let the daemon's user read and write it and its directory",
        },
        _ => StoreError::from(error),
    }
}

fn describe_migration(path: &Path, error: MigrateError) -> StoreError {
    let unusable = |reason: String, advice| StoreError::Unusable { path: path.to_owned(), reason, advice };
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => describe(path, error),
        MigrateError::VersionMissing(version) => unusable(
            format!("a newer version of this program created it (schema {version})"),
            "use that version, or restore a backup from before",
        ),
        other => unusable(other.to_string(), ADVICE_RESTORE),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_new_file_is_private_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("toritsugi.db");
        for _ in 0..2 {
            let store = Store::open(&path).await.unwrap();
            store.ping().await.unwrap();
            store.close().await;
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn several_may_open_a_new_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..5 {
            let path = dir.path().join(format!("{round}.db"));
            let opening: Vec<_> = (0..6)
                .map(|_| {
                    let path = path.clone();
                    tokio::spawn(async move { Store::open(&path).await })
                })
                .collect();
            for store in opening {
                store.await.unwrap().unwrap().ping().await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn an_unusable_file_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text.db");
        fs::write(&text, "this is no database, however long you look at it. ".repeat(100)).unwrap();
        let foreign = dir.path().join("foreign.db");
        let other =
            SqlitePool::connect_with(SqliteConnectOptions::new().filename(&foreign).create_if_missing(true));
        let other = other.await.unwrap();
        sqlx::query("CREATE TABLE theirs (a)").execute(&other).await.unwrap();
        other.close().await;
        let cases = [
            (dir.path().join("none/x.db"), "create its directory"),
            (dir.path().to_owned(), "name a file"),
            (text, "it is not a database; restore it"),
            (foreign, "it belongs to another program"),
        ];
        for (path, words) in cases {
            let error = Store::open(&path).await.unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn damage_and_newer_schemas_have_different_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("toritsugi.db");
        let store = Store::open(&path).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', '2030-01-01', 1, x'00', 1)")
            .execute(db.writer())
            .await
            .unwrap();
        store.close().await;
        let error = Store::open(&path).await.unwrap_err().to_string();
        assert!(error.contains("newer version"), "{error}");

        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..].fill(0x5a);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = Store::open(&path).await.unwrap_err().to_string();
        assert!(error.contains("it is damaged"), "{error}");
    }

    /// A write that is larger than what is left of the disk.
    async fn write_much(store: &Store) -> Result<(), StoreError> {
        let Store::Sqlite(db) = store else { unreachable!("it was opened as a file") };
        let mut transaction = db.begin().await?;
        sqlx::query("INSERT INTO audit (at_ms, actor, action) VALUES (1, $1, 'listen')")
            .bind("x".repeat(4 << 20))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    #[tokio::test]
    async fn after_a_full_disk_the_store_is_written_again_without_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        // SQLite answers as on a full disk, and rolls the transaction back by itself. The limit is the connection's, so
        // that the disk has room again with the next one.
        sqlx::query("PRAGMA max_page_count = 1").execute(db.writer()).await.unwrap();
        let error = write_much(&store).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("disk is full; make room"), "{error}");
        write_much(&store).await.unwrap();
        store.probe_write().await.unwrap();
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(db.readers()).await.unwrap();
        assert_eq!(rows, 1);
    }

    #[tokio::test]
    async fn a_connection_whose_transaction_ended_by_itself_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        for pool in [db.writer(), db.readers(), db.card_readers()] {
            let mut transaction = pool.begin().await.unwrap();
            // As SQLite does after an error of the disk, behind the pool's back.
            sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
            drop(transaction);
            pool.begin_with("BEGIN").await.unwrap().rollback().await.unwrap();
        }
    }

    /// Counts to $1.
    const COUNT: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT count(*) FROM n";

    #[tokio::test]
    async fn an_endless_question_is_ended_and_the_next_one_has_its_own_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("toritsugi.db");
        let db = Sqlite::open_with(&path, Duration::from_millis(500)).await.unwrap();
        let mut connection = db.readers().acquire().await.unwrap();
        let count = async |connection: &mut SqliteConnection, to: i64| {
            sqlx::query_scalar::<_, i64>(COUNT).bind(to).fetch_one(connection).await.map_err(StoreError::from)
        };
        let error = count(&mut connection, i64::MAX).await.unwrap_err();
        assert!(matches!(error, StoreError::TooSlow), "{error}");
        assert!(count(&mut connection, 10_000).await.is_err(), "the time of this user is over");
        connection.return_to_pool().await;
        let mut others = db.readers().acquire().await.unwrap();
        assert_eq!(count(&mut others, 10_000).await.unwrap(), 10_000);
    }

    #[tokio::test]
    async fn questions_that_take_every_connection_hold_up_neither_pops_nor_writers() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        let mut asked = Vec::new();
        for _ in 0..READERS_MAX {
            asked.push(db.readers().begin().await.unwrap());
        }
        assert!(db.readers().try_acquire().is_none());
        store.caller_history(crate::ids::RecordId(uuid::Uuid::nil()), "+8190").await.unwrap();
        store.probe_write().await.unwrap();
        store.save_visibility(&crate::ids::PbxId::parse("lab").unwrap(), "x", 1).await.unwrap();
        drop(asked);
        store.ping().await.unwrap();
    }

    #[tokio::test]
    async fn the_event_log_is_read_at_the_start_however_long_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        // Each question that is long enough for a look at the clock is ended.
        let db = Sqlite::open_with(&dir.path().join("toritsugi.db"), Duration::ZERO).await.unwrap();
        sqlx::query(
            "INSERT INTO events (pbx, position, stream, number, at_ms, kind, audience_json, body_json)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             SELECT 'lab', i, 'a1', i, i, 'call.offered', '\"everyone\"', '{}' FROM n",
        )
        .execute(db.writer())
        .await
        .unwrap();
        let events = sqlx::query("SELECT * FROM events").fetch_all(db.readers()).await;
        assert!(matches!(StoreError::from(events.unwrap_err()), StoreError::TooSlow));
        let limits = crate::store::log::LogLimits {
            events_max: 10_000,
            bytes_max: usize::MAX,
            since: jiff::Timestamp::UNIX_EPOCH,
        };
        let pbx = crate::ids::PbxId::parse("lab").unwrap();
        let stream = crate::contract::event_id::StreamToken::parse("a1").unwrap();
        db.claim_log(&pbx, &stream).await.unwrap();
        assert_eq!(db.read_log(&pbx, limits).await.unwrap().head, 3_000);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_write_waits_for_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        let turn = Arc::clone(&db.turn).acquire_owned().await.unwrap();
        let purging = tokio::spawn({
            let store = store.clone();
            let target = crate::store::retention::PurgeTarget::Calls;
            async move { store.purge(target, jiff::Timestamp::UNIX_EPOCH, 10).await }
        });
        // Time enough for a statement that does not wait for the turn.
        for _ in 0..20 {
            sqlx::query("DELETE FROM calls WHERE FALSE").execute(&db.log_writer).await.unwrap();
        }
        assert!(!purging.is_finished());
        drop(turn);
        assert_eq!(purging.await.unwrap().unwrap(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_event_log_is_written_while_many_wait_for_the_other_writer() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        // Somebody has the requests' connection, without a turn.
        let held = db.writer().acquire().await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.probe_write().await }
        });
        let pbx = crate::ids::PbxId::parse("lab").unwrap();
        let stream = crate::contract::event_id::StreamToken::parse("a1").unwrap();
        let mut log = db.begin_log().await.unwrap();
        sqlx::query("INSERT INTO event_logs (pbx, stream) VALUES ('lab', 'a1')")
            .execute(&mut *log)
            .await
            .unwrap();
        log.commit().await.unwrap();
        store.write_log(&pbx, &stream, &crate::journal::queue::Batch::default()).await.unwrap();
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn audit_rows_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        sqlx::query("INSERT INTO audit (at_ms, actor, action) VALUES (1, 'x', 'listen')")
            .execute(db.writer())
            .await
            .unwrap();
        for sql in ["UPDATE audit SET actor = 'y'", "DELETE FROM audit"] {
            assert!(sqlx::query(sql).execute(db.writer()).await.is_err(), "{sql}");
        }
    }
}
