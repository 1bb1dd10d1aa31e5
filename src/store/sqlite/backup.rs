//! Backup of the file while a daemon uses it, and its restoration while none does.
//!
//! | step | backup | restore |
//! |---|---|---|
//! | 1 | copies one state of the database into `FILE.part` (`VACUUM INTO`): writers go on, and what was deleted is not in it | checks the backup as below |
//! | 2 | checks the copy: every page and index, every reference, the version | copies it beside the database, and gives the present database a second name |
//! | 3 | gives it its name | lets it take the database's place |
//!
//! Invariant: under the name of a backup there is a whole database that was checked, or nothing. A restoration that is
//! interrupted leaves the database that was there before, and nothing is ever deleted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::inspect::inspect;
use super::open::{create_private_file, describe};
use crate::store::{Backup, SchemaStatus, StoreError};

/// Added to the name of a copy that is not whole yet.
const PART: &str = ".part";
/// The files that belong to a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

const ADVICE_ANOTHER: &str = "use another backup";

/// Copies the database at `path` into the new file `to`.
pub(in crate::store) async fn backup(path: &Path, to: &Path) -> Result<Backup, StoreError> {
    if inspect(path).await? == SchemaStatus::Absent {
        return Err(unusable(path, "there is no database", "set store.path to the daemon's database"));
    }
    if to.exists() {
        return Err(failed(to, "it exists already", "name a new file"));
    }
    let part = with_suffix(to, PART);
    remove_if_there(&part)?;
    create_private_file(&part)?;
    let mut db = connect(path).await?;
    let name = part.to_str().ok_or_else(|| failed(to, "its name is not UTF-8", "name another file"))?;
    let copied = sqlx::query("VACUUM INTO $1").bind(name).execute(&mut db).await;
    let copied = copied.map(|_| ()).map_err(|error| describe(&part, error));
    let closed = db.close().await.map_err(|error| describe(path, error));
    let backup = match copied.and(closed) {
        Ok(()) => verify(&part).await,
        Err(error) => Err(error),
    };
    let named = backup.and_then(|backup| {
        let sync = || {
            File::open(&part)?
                .sync_all()
                .and_then(|()| fs::rename(&part, to))
                .and_then(|()| sync_directory(to))
        };
        sync().map_err(|error| io_failed(to, &error))?;
        Ok(backup)
    });
    if named.is_err() {
        remove_if_there(&part)?;
    }
    named
}

/// Lets the backup `from` take the place of the database at `path`, which no daemon uses. Returns the name under which the
/// database that was there is kept, beside its other files.
pub(in crate::store) async fn restore(
    from: &Path,
    path: &Path,
    suffix: &str,
) -> Result<(Backup, Option<PathBuf>), StoreError> {
    if BESIDE.iter().any(|beside| with_suffix(from, beside).exists()) {
        let reason = "it has a write-ahead log beside it: it is no backup of `toritsugi backup`";
        return Err(unusable(from, reason, "make the backup with `toritsugi backup`"));
    }
    if inspect(from).await? == SchemaStatus::Absent {
        return Err(unusable(from, "there is no database in it", ADVICE_ANOTHER));
    }
    let backup = verify(from).await?;
    let part = with_suffix(path, PART);
    remove_if_there(&part)?;
    create_private_file(&part)?;
    let place = || {
        io::copy(&mut File::open(from)?, &mut File::options().write(true).open(&part)?)?;
        File::open(&part)?.sync_all()?;
        let aside = path.exists().then(|| with_suffix(path, suffix));
        if let Some(aside) = &aside {
            // The database keeps its name until the other one takes it.
            if fs::hard_link(path, aside).is_err() {
                fs::copy(path, aside)?;
            }
            for beside in BESIDE {
                let present = with_suffix(path, beside);
                if present.exists() {
                    fs::rename(&present, with_suffix(aside, beside))?;
                }
            }
        }
        fs::rename(&part, path)?;
        sync_directory(path)?;
        Ok(aside)
    };
    let aside = place().map_err(|error: io::Error| io_failed(path, &error))?;
    Ok((backup, aside))
}

async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    options.connect().await.map_err(|error| describe(path, error))
}

/// Reads the whole file: pages, indexes and references must fit.
async fn verify(path: &Path) -> Result<Backup, StoreError> {
    let (SchemaStatus::Current { schema } | SchemaStatus::Older { schema, .. }) = inspect(path).await? else {
        return Err(unusable(path, "there is no database in it", ADVICE_ANOTHER));
    };
    let mut db = connect(path).await?;
    let failed = |error| describe(path, error);
    let found: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_all(&mut db).await.map_err(failed)?;
    if found != ["ok"] {
        let reason = format!("it is damaged: {}", found.join("; "));
        return Err(unusable(path, &reason, ADVICE_ANOTHER));
    }
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut db).await.map_err(failed)?;
    if dangling.is_some() {
        return Err(unusable(path, "rows refer to others that are missing", ADVICE_ANOTHER));
    }
    let calls: i64 =
        sqlx::query_scalar("SELECT count(*) FROM calls").fetch_one(&mut db).await.map_err(failed)?;
    db.close().await.map_err(failed)?;
    let bytes = fs::metadata(path).map_err(|error| io_failed(path, &error))?.len();
    Ok(Backup { bytes, schema, calls: u64::try_from(calls).unwrap_or(0) })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_failed(path, &error)),
        _ => Ok(()),
    }
}

/// Makes the names in the directory of `path` survive a power failure.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn unusable(path: &Path, reason: &str, advice: &'static str) -> StoreError {
    StoreError::Unusable { path: path.to_owned(), reason: reason.to_owned(), advice }
}

fn failed(path: &Path, reason: &str, advice: &'static str) -> StoreError {
    StoreError::Open { path: path.to_owned(), reason: reason.to_owned(), advice }
}

fn io_failed(path: &Path, error: &io::Error) -> StoreError {
    failed(path, &error.to_string(), "check its directory, its disk and whose it is")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;
    use crate::store::{Location, Store};

    /// Writes an account and its number, in one transaction, until `stop` is cancelled; returns how many.
    async fn write(store: Store, stop: tokio_util::sync::CancellationToken) -> u32 {
        let mut n = 0;
        while !stop.is_cancelled() {
            let fields = AccountFields {
                code: format!("A{n}"),
                name: "さくら".repeat(20),
                dialled: vec![format!("03{n:08}")],
                ..AccountFields::default()
            };
            store
                .create_account(&fields.checked(&NumberPlan::default()).unwrap(), jiff::Timestamp::UNIX_EPOCH)
                .await
                .unwrap();
            n += 1;
        }
        n
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_backup_under_writes_is_one_state_and_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (path, to) = (dir.path().join("t.db"), dir.path().join("b.db"));
        let store = Store::open(&path).await.unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let writing = tokio::spawn(write(store.clone(), stop.clone()));
        while store.accounts(None, 10).await.unwrap().items.len() < 10 {}
        for n in 0..5 {
            let to = dir.path().join(format!("b{n}.db"));
            Store::backup(&path, &to).await.unwrap();
            let copy = Store::open(&to).await.unwrap();
            let accounts = copy.all_accounts().await.unwrap().0;
            // A prefix of what was written, each record whole.
            assert!(accounts.len() >= 10);
            for (n, account) in accounts.iter().enumerate() {
                assert_eq!((account.fields.code.clone(), account.fields.dialled.len()), (format!("A{n}"), 1));
            }
            copy.close().await;
        }
        stop.cancel();
        let written = writing.await.unwrap();
        Store::backup(&path, &to).await.unwrap();
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!with_suffix(&to, PART).exists() && !with_suffix(&to, "-wal").exists());
        let again = Store::backup(&path, &to).await.unwrap_err();
        assert!(again.to_string().contains("it exists already; name a new file"), "{again}");
        let later = AccountFields { code: "later".into(), name: "後".into(), ..AccountFields::default() };
        let later = later.checked(&NumberPlan::default()).unwrap();
        store.create_account(&later, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
        // A daemon has the file.
        let lock = Store::lock(&Location::File(path.clone())).unwrap();
        let refused = Store::restore(&to, &path, ".before").await.unwrap_err();
        assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
        drop((lock, store));
        let (backup, aside) = Store::restore(&to, &path, ".before").await.unwrap();
        assert_eq!((backup.calls, aside.clone()), (0, Some(dir.path().join("t.db.before"))));
        let restored = Store::open(&path).await.unwrap();
        assert_eq!(restored.all_accounts().await.unwrap().0.len(), written as usize);
        restored.close().await;
        let before = Store::open(&aside.unwrap()).await.unwrap();
        assert_eq!(
            before.all_accounts().await.unwrap().0.len(),
            written as usize + 1,
            "with its write-ahead log"
        );
    }

    #[tokio::test]
    async fn what_is_no_whole_database_is_neither_a_backup_nor_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (path, to) = (dir.path().join("t.db"), dir.path().join("b.db"));
        let absent = Store::backup(&path, &to).await.unwrap_err();
        assert!(absent.to_string().contains("there is no database"), "{absent}");
        let store = Store::open(&path).await.unwrap();
        write_until(&store, 50).await;
        store.close().await;
        Store::backup(&path, &to).await.unwrap();
        let whole = fs::read(&to).unwrap();
        let mut damaged = whole.clone();
        for byte in &mut damaged[whole.len() / 2..whole.len() / 2 + 8_192] {
            *byte ^= 0xff;
        }
        for (bytes, words) in [
            (damaged, "damaged"),
            (whole[..whole.len() / 2].to_vec(), "damaged"),
            (Vec::new(), "no database"),
        ] {
            let bad = dir.path().join("bad.db");
            fs::write(&bad, bytes).unwrap();
            let refused = Store::restore(&bad, &path, ".before").await.unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
        }
        let full = dir.path().join("none").join("b.db");
        assert!(Store::backup(&path, &full).await.is_err());
        assert_eq!(Store::open(&path).await.unwrap().all_accounts().await.unwrap().0.len(), 50, "untouched");
    }

    async fn write_until(store: &Store, count: u32) {
        for n in 0..count {
            let fields = AccountFields {
                code: format!("A{n}"),
                name: "さくら".repeat(20),
                ..AccountFields::default()
            };
            store
                .create_account(&fields.checked(&NumberPlan::default()).unwrap(), jiff::Timestamp::UNIX_EPOCH)
                .await
                .unwrap();
        }
    }
}
