//! Brings the sounds that people uploaded to the PBX: writes their files into `callflow.sounds_directory`.
//!
//! | the directory has | and the store | then |
//! |---|---|---|
//! | no file of a sound | has it | it is written, at once as a whole |
//! | a file of a sound | has it no more | it is deleted |
//! | any other file | | it stays |
//!
//! Invariant: a file has the content that its name is made of, or is not there. Every daemon with a directory writes there.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::contract::sound::{SOUND_FOLDER, Sound};
use crate::store::{Store, StoreError};

/// How often the version of the directory is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// After so many looks all files are compared again: somebody may have deleted one.
const LOOKS_PER_AUDIT: u32 = 240;
/// What follows a sound's name in that of its file.
const SUFFIX: &str = ".ulaw";
/// A file that is being written.
const PART_SUFFIX: &str = ".part";

/// The task.
pub(super) struct SoundFiles {
    pub(super) store: Store,
    pub(super) directory: PathBuf,
}

impl SoundFiles {
    /// Runs until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut done, mut looks, mut was_faulty) = (None, 0, false);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            looks = (looks + 1) % LOOKS_PER_AUDIT;
            let Ok(version) = self.store.accounts_version().await else { continue };
            if done == Some(version) && looks != 0 {
                continue;
            }
            match self.bring().await {
                Ok(()) => (done, was_faulty) = (Some(version), false),
                Err(error) => {
                    if !was_faulty {
                        tracing::error!(
                            directory = %self.directory.display(), error = %error,
                            "cannot bring sounds to the PBX: callers hear the shipped ones; trying again"
                        );
                    }
                    was_faulty = true;
                }
            }
        }
    }

    async fn bring(&self) -> Result<(), SoundFileError> {
        let sounds = self.store.sounds().await?;
        let directory = self.directory.clone();
        let wanted: BTreeSet<String> = sounds.iter().filter_map(file_of).collect();
        let there = tokio::task::spawn_blocking(move || tidy(&directory, &wanted)).await;
        // The task neither panics nor is cancelled.
        let there = there.unwrap_or_else(|_| Ok(BTreeSet::new()))?;
        for sound in &sounds {
            let Some(file) = file_of(sound).filter(|file| !there.contains(file)) else { continue };
            let Some((_, content)) = self.store.sound(sound.id).await? else { continue };
            let directory = self.directory.clone();
            let written = tokio::task::spawn_blocking(move || write(&directory, &file, &content)).await;
            written.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
enum SoundFileError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] io::Error),
}

/// The name of a sound's file.
fn file_of(sound: &Sound) -> Option<String> {
    let digits = sound.name.strip_prefix(SOUND_FOLDER)?.strip_prefix('/')?;
    is_of_a_sound(digits).then(|| format!("{digits}{SUFFIX}"))
}

fn is_of_a_sound(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Deletes the files of sounds that are none any more; returns those that are there.
fn tidy(directory: &Path, wanted: &BTreeSet<String>) -> io::Result<BTreeSet<String>> {
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_ours = name.strip_suffix(SUFFIX).is_some_and(is_of_a_sound);
        if is_ours && wanted.contains(&name) {
            there.insert(name);
        } else if is_ours {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(there)
}

/// Writes a file so that the PBX finds the whole or none.
fn write(directory: &Path, file: &str, content: &[u8]) -> io::Result<()> {
    let part = directory.join(format!("{file}{PART_SUFFIX}"));
    std::fs::write(&part, content)?;
    std::fs::File::open(&part)?.sync_all()?;
    std::fs::rename(part, directory.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_sounds_come_and_go_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write(path, "0a1f.ulaw", b"one").unwrap();
        write(path, "beef.ulaw", b"two").unwrap();
        std::fs::write(path.join("README.txt"), "x").unwrap();
        std::fs::write(path.join("Welcome.ulaw"), "x").unwrap();
        let wanted = BTreeSet::from(["0a1f.ulaw".to_owned(), "c0de.ulaw".to_owned()]);
        assert_eq!(tidy(path, &wanted).unwrap(), BTreeSet::from(["0a1f.ulaw".to_owned()]));
        let mut left: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|one| one.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["0a1f.ulaw", "README.txt", "Welcome.ulaw"]);
        assert_eq!(std::fs::read(path.join("0a1f.ulaw")).unwrap(), b"one");
        assert!(tidy(&path.join("none"), &wanted).is_err());
    }
}
