//! The directory into which the PBX writes faxes.
//!
//! Invariants: only plain files that lie in the directory itself are read, deleted or moved: a symbolic link, a device or a
//! directory with the name of a fax is left alone. A file that grows while it is read, or is larger than
//! [`FILE_BYTES_MAX`], is not read to its end. The calls block; the receiver makes them on a thread for such work.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::name::FaxFileName;

/// Largest file, in bytes: 200 pages of 160 KB.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Most files that are seen at once.
pub const FILES_MAX: usize = 1_000;
/// Where files go that cannot be read.
const UNREADABLE: &str = "unreadable";

/// The directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    directory: PathBuf,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolFile {
    /// Its name.
    pub name: FaxFileName,
    /// When the PBX last wrote it.
    pub modified: SystemTime,
}

/// What a file's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Bytes(Vec<u8>),
    /// It is larger than [`FILE_BYTES_MAX`].
    TooLarge,
    /// There is no such file.
    Missing,
    /// It is no plain file.
    NoFile,
}

impl Spool {
    /// The spool in this directory.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.directory, flags, Mode::empty())?)
    }

    /// The plain files with the name of a fax, at most [`FILES_MAX`] of them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn files(&self) -> io::Result<Vec<SpoolFile>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| FaxFileName::parse(name).ok()) else { continue };
            // The entry's own metadata: a link is not followed. A file that is gone meanwhile is none.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                files.push(SpoolFile { name, modified: metadata.modified()? });
            }
            if files.len() == FILES_MAX {
                break;
            }
        }
        Ok(files)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The directory or the file cannot be read.
    pub fn read(&self, name: &FaxFileName) -> io::Result<Content> {
        let directory = self.open()?;
        // NONBLOCK: opening a pipe waits for nobody.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&directory, name.as_str(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Content::Missing),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Content::NoFile),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(Content::NoFile);
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(if bytes.len() as u64 > FILE_BYTES_MAX { Content::TooLarge } else { Content::Bytes(bytes) })
    }

    /// Deletes a file. One that is gone is no error.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn remove(&self, name: &FaxFileName) -> io::Result<()> {
        let directory = self.open()?;
        match unlinkat(&directory, name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a file to `unreadable/` beside it. One that is gone is no error.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_aside(&self, name: &FaxFileName) -> io::Result<()> {
        let directory = self.open()?;
        match mkdirat(&directory, UNREADABLE, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match renameat(&directory, name.as_str(), &directory, format!("{UNREADABLE}/{name}")) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the daemon can list the directory and take files out of it; the reason if not.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self) -> io::Result<()> {
        let directory = self.open()?;
        self.files()?;
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::accessat(&directory, ".", access, AtFlags::empty())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn name(text: &str) -> FaxFileName {
        FaxFileName::parse(text).unwrap()
    }

    fn spool() -> (tempfile::TempDir, Spool) {
        let held = tempfile::tempdir().unwrap();
        let spool = Spool::new(held.path().join("spool"));
        std::fs::create_dir(spool.directory()).unwrap();
        (held, spool)
    }

    #[test]
    fn a_file_is_seen_read_and_taken_away() {
        let (_held, spool) = spool();
        spool.check().unwrap();
        let one = name("1.2_03.tif");
        std::fs::write(spool.directory().join("1.2_03.tif"), b"fax").unwrap();
        std::fs::write(spool.directory().join("notes.txt"), b"").unwrap();
        let seen = spool.files().unwrap();
        assert_eq!(seen.iter().map(|file| &file.name).collect::<Vec<_>>(), [&one]);
        assert_eq!(spool.read(&one).unwrap(), Content::Bytes(b"fax".to_vec()));
        spool.remove(&one).unwrap();
        spool.remove(&one).unwrap();
        assert_eq!(spool.read(&one).unwrap(), Content::Missing);
        let two = name("1.3_03.tif");
        std::fs::write(spool.directory().join("1.3_03.tif"), b"?").unwrap();
        spool.set_aside(&two).unwrap();
        spool.set_aside(&two).unwrap();
        assert_eq!(spool.files().unwrap(), []);
        assert_eq!(std::fs::read(spool.directory().join("unreadable/1.3_03.tif")).unwrap(), b"?");
    }

    #[test]
    fn what_is_no_plain_file_is_left_alone() {
        let (held, spool) = spool();
        let secret = held.path().join("secret");
        std::fs::write(&secret, b"secret").unwrap();
        symlink(&secret, spool.directory().join("1.2_03.tif")).unwrap();
        std::fs::create_dir(spool.directory().join("1.3_03.tif")).unwrap();
        let pipe = spool.directory().join("1.4_03.tif");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        );
        made.unwrap();
        assert_eq!(spool.files().unwrap(), []);
        for text in ["1.2_03.tif", "1.3_03.tif", "1.4_03.tif"] {
            assert_eq!(spool.read(&name(text)).unwrap(), Content::NoFile, "{text}");
        }
        assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let (_held, spool) = spool();
        let file = File::create(spool.directory().join("1.2_03.tif")).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(spool.read(&name("1.2_03.tif")).unwrap(), Content::TooLarge);
        file.set_len(FILE_BYTES_MAX).unwrap();
        let Content::Bytes(bytes) = spool.read(&name("1.2_03.tif")).unwrap() else {
            panic!("it has the size")
        };
        assert_eq!(bytes.len() as u64, FILE_BYTES_MAX);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let (_held, spool) = spool();
        std::fs::remove_dir(spool.directory()).unwrap();
        assert!(spool.check().is_err() && spool.files().is_err());
        assert!(spool.read(&name("1.2_03.tif")).is_err());
    }
}
