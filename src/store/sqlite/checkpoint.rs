//! Copies the write-ahead log into the database file beside the writers.
//!
//! By itself SQLite lets the commit that finds 1,000 pages in the log copy them, so one write in thirty takes 10 ms longer. Here
//! a task copies them on a connection of its own, for which no writer waits. Invariant: the log has at most about [`LOG_PAGES_MAX`]
//! pages, because a commit copies by itself from there on, as where writers never pause long enough for the task to reach
//! the log's end, from which alone SQLite begins the log again.
//!
//! | a write has ended, and the log has | the task |
//! |---|---|
//! | fewer pages than [`BACKLOG_PAGES`] that are not in the file | waits for the next write |
//! | more | copies them, as far as no reader needs the file's older pages |
//! | more than [`LOG_PAGES`] pages, any of them not in the file | copies to its end |

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Row, SqlitePool};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Pages that are copied together: each copy waits for the disk twice, and a page that was written several times is copied once.
const BACKLOG_PAGES: i64 = 1_000;
/// From this length on the log is copied to its end, so that the next write begins it again.
const LOG_PAGES: i64 = 4_000;
/// From this length on a commit copies by itself. In the form of a value of `PRAGMA wal_autocheckpoint`; 64 MiB.
pub(super) const LOG_PAGES_MAX: &str = "16384";
/// Writes within this time after another one are looked at together.
const PAUSE: Duration = Duration::from_millis(50);

/// Copies after each write of which `written` is notified, until the handle is dropped or the pool is closed.
pub(super) fn start(pool: SqlitePool, written: Arc<Notify>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut has_failed = false;
        loop {
            written.notified().await;
            tokio::time::sleep(PAUSE).await;
            match copy(&pool).await {
                Ok(()) => has_failed = false,
                Err(sqlx::Error::PoolClosed) => return,
                Err(error) if has_failed => tracing::debug!(%error, "the write-ahead log is not copied"),
                Err(error) => {
                    has_failed = true;
                    tracing::warn!(%error, "the write-ahead log is not copied into the database file; check the disk");
                }
            }
        }
    }))
}

async fn copy(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    // `NOOP` reads the two lengths from the log's shared memory.
    let row = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(pool).await?;
    let (pages, copied): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    let backlog = pages - copied;
    if backlog >= BACKLOG_PAGES || (pages >= LOG_PAGES && backlog > 0) {
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(pool).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::store::Store;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_log_is_copied_beside_the_writers() {
        const WRITTEN_BYTES: u64 = 8_000_000;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("toritsugi.db");
        let store = Store::open(&path).await.unwrap();
        let Store::Sqlite(db) = &store else { unreachable!("it was opened as a file") };
        let mut transaction = db.begin().await.unwrap();
        sqlx::raw_sql("CREATE TABLE large (bytes BLOB); INSERT INTO large VALUES (zeroblob(8000000))")
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let copied = async {
            while std::fs::metadata(&path).unwrap().len() < WRITTEN_BYTES {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), copied).await.unwrap();
    }
}
