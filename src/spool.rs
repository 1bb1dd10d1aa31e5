//! A directory into which the PBX writes files for the daemon: faxes, spoken messages.
//!
//! Invariants: only plain files that lie in the directory itself are read, deleted or moved: a symbolic link, a device or a
//! directory with the name of such a file is left alone. A file that grows while it is read, or is larger than
//! [`FILE_BYTES_MAX`], is not read to its end. The calls block: see [`blocking`].

use std::fs::File;
use std::io::{self, Read as _};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use smol_str::SmolStr;
use tokio::task::spawn_blocking;

/// Largest file, in bytes: 200 pages of a fax of 160 KB, half an hour of speech.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Most files that are seen at once.
pub const FILES_MAX: usize = 1_000;
/// Where files go that cannot be read.
const UNREADABLE: &str = "unreadable";

/// The name of a file that the dialplan makes. A name has no path and no hidden file in it, whatever the PBX reports.
pub trait SpoolName: Sized {
    /// Reads a name; `None` if the dialplan makes none like it.
    fn read(text: &str) -> Option<Self>;

    /// The name.
    fn text(&self) -> &str;
}

/// Makes a call that blocks on a thread for such work.
///
/// # Errors
/// That of the call, or the call panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// What the dialplan keeps of a channel's id in a name: `FILTER(0-9A-Za-z.\-,…)`.
#[must_use]
pub fn channel_part(id: &str) -> SmolStr {
    id.chars().filter(|c| u8::try_from(*c).is_ok_and(is_kept)).collect()
}

/// Whether `text` is what [`channel_part`] leaves of an id, and can begin the name of a file.
#[must_use]
pub fn is_channel_part(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(['.', '-']) && text.bytes().all(is_kept)
}

fn is_kept(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

/// The directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool<N> {
    directory: PathBuf,
    names: PhantomData<fn() -> N>,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolFile<N> {
    /// Its name.
    pub name: N,
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

impl<N: SpoolName> Spool<N> {
    /// The spool in this directory.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, names: PhantomData }
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

    /// The plain files with such a name, at most [`FILES_MAX`] of them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn files(&self) -> io::Result<Vec<SpoolFile<N>>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(N::read) else { continue };
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
    pub fn read(&self, name: &N) -> io::Result<Content> {
        let directory = self.open()?;
        // NONBLOCK: opening a pipe waits for nobody.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&directory, name.text(), flags, Mode::empty()) {
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
    pub fn remove(&self, name: &N) -> io::Result<()> {
        let directory = self.open()?;
        match unlinkat(&directory, name.text(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a file to `unreadable/` beside it. One that is gone is no error.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_aside(&self, name: &N) -> io::Result<()> {
        let directory = self.open()?;
        match mkdirat(&directory, UNREADABLE, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match renameat(&directory, name.text(), &directory, format!("{UNREADABLE}/{}", name.text())) {
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

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Name(String);

    impl SpoolName for Name {
        fn read(text: &str) -> Option<Self> {
            text.ends_with(".tif").then(|| Self(text.to_owned()))
        }

        fn text(&self) -> &str {
            &self.0
        }
    }

    fn name(text: &str) -> Name {
        Name(text.to_owned())
    }

    fn spool() -> (tempfile::TempDir, Spool<Name>) {
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
