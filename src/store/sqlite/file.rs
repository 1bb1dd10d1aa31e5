//! The database as a file: who uses it, who may read it, and whether it is still the one that was opened.
//!
//! | question | answer |
//! |---|---|
//! | does another daemon use it? | a lock on a file of its own beside it, held as long as the daemon lives ([`lock`]) |
//! | may others read it? | others' rights are taken away, of its -wal and -shm files too ([`make_private`]) |
//! | was it moved away or replaced? | then nothing is written: SQLite would go on writing to a file that nobody finds again ([`FileId`]) |
//!
//! Invariant: nothing here opens the database itself. Closing it would release the locks that SQLite has on it for this
//! process.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// What is added to the database's name for the file that a daemon locks.
const LOCK_SUFFIX: &str = ".daemon";
/// Longest process id that is read from it, in bytes.
const PROCESS_BYTES_MAX: u64 = 16;
/// The rights that a database must not give: those of the group and of others.
const FOREIGN_RIGHTS: u32 = 0o077;

/// The lock of the one daemon of a database file. The system releases it when the process ends, however it ends; the
/// file stays.
#[derive(Debug)]
pub(in crate::store) struct Lock {
    _file: File,
}

/// Locks the database at `path`, which may not exist yet, for this daemon; `None` where the file system has no locks.
///
/// # Errors
/// Another daemon has the lock, or the file of the lock cannot be written.
pub(in crate::store) fn lock(path: &Path) -> Result<Option<Lock>, StoreError> {
    let beside = lock_path(path);
    let failed = |error: io::Error| StoreError::Open {
        path: beside.clone(),
        reason: error.to_string(),
        advice: "let the daemon's user create files in its directory, or set another store.path",
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.take(PROCESS_BYTES_MAX).read_to_string(&mut text);
            return Err(StoreError::InUse { path: path.to_owned(), process: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(
                path = %beside.display(), %error,
                "the file system has no locks: nothing keeps a second daemon from this database"
            );
            return Ok(None);
        }
    }
    // Only for the message of the daemon that is refused; a full disk must not keep this one from starting.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Some(Lock { _file: file }))
}

/// The same file for every path that leads to the database.
fn lock_path(path: &Path) -> PathBuf {
    let real = fs::canonicalize(path).unwrap_or_else(|_| {
        let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match (fs::canonicalize(directory), path.file_name()) {
            (Ok(directory), Some(name)) => directory.join(name),
            _ => path.to_owned(),
        }
    });
    let mut name = real.into_os_string();
    name.push(LOCK_SUFFIX);
    PathBuf::from(name)
}

/// Takes the rights of group and others away from an existing database, for instance one that was restored from a backup:
/// it holds personal data. A warning says what was changed, or that the file belongs to somebody else.
pub(super) fn make_private(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        let Ok(found) = fs::metadata(&file) else { continue };
        let mode = found.permissions().mode();
        if mode & FOREIGN_RIGHTS == 0 || !found.is_file() {
            continue;
        }
        let private = Permissions::from_mode(mode & !FOREIGN_RIGHTS & 0o7777);
        let (path, mode) = (file.display(), format!("{:04o}", mode & 0o7777));
        match fs::set_permissions(&file, private) {
            Ok(()) => tracing::warn!(
                %path, mode, "others could read the database; its rights are now its owner's alone"
            ),
            Err(error) => tracing::warn!(
                %path, mode, %error,
                "others may read the database; make the daemon's user its owner and run chmod 600 on it"
            ),
        }
    }
}

/// Whether others than the owner may read or write the file; `None` when there is none.
pub(in crate::store) fn foreign_rights(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & FOREIGN_RIGHTS != 0).then_some(mode & 0o7777)
}

/// A file, by what the file system calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }

    /// # Errors
    /// There is no file at `path` any more, or another one.
    pub(super) fn is_still_at(self, path: &Path) -> Result<(), StoreError> {
        let (reason, advice, error) = match Self::of(path) {
            Ok(found) if found == self => return Ok(()),
            Ok(_) => (
                "another file has taken the database's place",
                "move the first one back, or restart the daemon to use the new one",
                io::ErrorKind::InvalidInput.into(),
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ("the database file is gone", "move it back", error)
            }
            Err(error) => ("the database file cannot be reached", "check its directory and its disk", error),
        };
        Err(StoreError::Storage { reason, advice, source: sqlx::Error::Io(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Location, Store};

    #[test]
    fn a_second_daemon_is_refused_by_whichever_path_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let first = Store::lock(&Location::File(path.clone())).unwrap();
        fs::write(&path, "").unwrap();
        let link = dir.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            let error = Store::lock(&Location::File(path.clone())).unwrap_err().to_string();
            let process = format!("another daemon (process {}) uses the database", std::process::id());
            assert!(error.starts_with(&process) && error.contains("store.path"), "{error}");
        }
        drop(first);
        Store::lock(&Location::File(link)).unwrap();
    }

    #[tokio::test]
    async fn a_database_that_others_could_read_is_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        Store::open(&path).await.unwrap().close().await;
        let files = ["t.db", "t.db-wal", "t.db-shm"].map(|name| dir.path().join(name));
        for file in &files {
            OpenOptions::new().append(true).create(true).open(file).unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        let store = Store::open(&path).await.unwrap();
        for file in &files {
            assert_eq!(foreign_rights(file), None, "{}", file.display());
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_not_written_until_it_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("t.db"), dir.path().join("away.db"));
        let store = Store::open(&path).await.unwrap();
        store.probe_write().await.unwrap();
        fs::rename(&path, &away).unwrap();
        let error = store.probe_write().await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("is gone"), "{error}");
        fs::write(&path, "").unwrap();
        let error = store.probe_write().await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("another file"), "{error}");
        fs::rename(&away, &path).unwrap();
        store.probe_write().await.unwrap();
    }
}
