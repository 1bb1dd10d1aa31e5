//! Guidance by telephone: checks who may record it, and makes a recording the account's guidance out of hours, or lets it wait.
//!
//! | the dialplan (`toritsugi-guidance`) reports | then |
//! |---|---|
//! | what was entered for the account, and the PIN | the answer: the account, or nothing |
//! | that the caller keeps what was recorded | it becomes a sound, which the account's callflow names or which waits ([`crate::contract::guidance_draft`]); the file is deleted |
//! | that the call is over | a file that was not kept is deleted |
//!
//! Permitted are callers from a phone of the PBX, or from a number of the account: one that forwards its calls, or that of a
//! contact. They have [`TRIES_MAX`](super::tries::TRIES_MAX) wrong tries an hour.
//!
//! Invariants: only a channel on which the PIN was right keeps anything, and only for that account. A caller who is answered
//! that the recording is kept finds it in the callflow or among those that wait: nothing is taken from files that lie around. Neither PIN nor number of a
//! caller is in the store, in the audit trail or in a log.
//!
//! Read next: `tries.rs`, [`crate::callflow::guidance`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use uuid::Uuid;

use super::name::GuidanceFileName;
use super::tries::Tries;
use crate::bus::Bus;
use crate::callflow::guidance::{Guidance, GuidanceError};
use crate::contract::audit::AuditEntry;
use crate::contract::event::EventKind;
use crate::contract::guidance_draft::{GuidanceDraft, RecordedGuidance};
use crate::contract::guidance_pin::GuidancePin;
use crate::contract::records::Account;
use crate::contract::sound::{SOUND_TITLE_CHARS_MAX, Sound, SoundKind, SoundOrigin};
use crate::directory::Directory;
use crate::ids::{CallId, ChannelId, Extension, RecordId};
use crate::journal::entry::JournalEntry;
use crate::people::password::PasswordHash;
use crate::publish;
use crate::spool::{Content, Spool};
use crate::store::guidance_drafts::NamedOutcome;
use crate::store::sounds::{SOUNDS_MAX, SoundOutcome};
use crate::store::{Store, StoreError};

/// How long a right PIN holds for its call.
const SESSION_TTL: Duration = Duration::from_secs(1_800);
/// Most calls with a right PIN at a time.
const SESSIONS_MAX: usize = 200;
/// A file that nobody kept is deleted when it is older than this; its call is over.
const FILE_AGE_MAX: Duration = Duration::from_secs(3_600);
/// Recordings of an account that are kept beside those that callflows name: a caller may still hear the one before.
const SPARE_SOUNDS_MAX: usize = 1;

/// From where somebody calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GuidanceCaller {
    /// A phone of the PBX.
    Phone(Extension),
    /// The number that the caller shows.
    Number(String),
}

/// Why a recording is not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The PIN was not entered on this channel, or too long ago.
    #[error("no PIN was entered in this call")]
    NotPermitted,
    /// The file is not there, or is no recording.
    #[error("the recording is not in voice.directory")]
    NoFile,
    /// It cannot be guidance.
    #[error(transparent)]
    Guidance(#[from] GuidanceError),
    /// The account has no callflow any more, or somebody else writes it again and again.
    #[error("the account's callflow cannot be changed")]
    Callflow,
    /// There are too many sounds.
    #[error("there are {SOUNDS_MAX} sounds; delete some")]
    TooMany,
    /// The file cannot be read.
    #[error("voice.directory cannot be used")]
    Directory(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of callers.
#[derive(Debug, Default)]
struct Callers {
    of_account: Tries<RecordId>,
    of_caller: Tries<GuidanceCaller>,
    /// The calls with a right PIN: for which account, and since when.
    sessions: HashMap<ChannelId, (RecordId, Instant)>,
}

/// The recorder.
#[derive(Debug)]
pub struct GuidanceRecorder {
    spool: Arc<Spool<GuidanceFileName>>,
    bus: Bus,
    store: Store,
    directory: Directory,
    began: Instant,
    callers: Mutex<Callers>,
}

impl GuidanceRecorder {
    /// Takes recordings from this directory, which is that of voice messages.
    #[must_use]
    pub fn new(spool: std::path::PathBuf, bus: Bus, store: Store, directory: Directory) -> Self {
        Self {
            spool: Arc::new(Spool::new(spool)),
            bus,
            store,
            directory,
            began: Instant::now(),
            callers: Mutex::default(),
        }
    }

    /// Whether the caller on this channel may record guidance, and for which account. `None` says neither why not nor whether
    /// there is such an account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn check(
        &self,
        (channel, call): (&ChannelId, Option<CallId>),
        caller: Option<GuidanceCaller>,
        (entry, pin): (&str, Option<GuidancePin>),
    ) -> Result<Option<RecordId>, StoreError> {
        self.sweep().await;
        let (Some(caller), Some(pin)) = (caller, pin) else { return Ok(None) };
        if !self.callers.lock().of_caller.count(caller.clone(), self.began.elapsed()) {
            return Ok(None);
        }
        let stored = self.store.guidance_pin_entered(entry).await?;
        let account = stored.as_ref().and_then(|stored| self.directory.account(stored.view.account));
        let is_own = match &account {
            Some(account) => self.is_own(account, &caller).await?,
            None => false,
        };
        let (Some(stored), Some(account), true) = (stored, account, is_own) else {
            // It takes as long as a wrong PIN.
            blocking(move || PasswordHash::verify_nobody(pin.expose())).await;
            return Ok(None);
        };
        if !self.callers.lock().of_account.count(account.id, self.began.elapsed()) {
            return Ok(None);
        }
        let is_right = blocking(move || stored.hash.verify(pin.expose())).await.unwrap_or(false);
        let has_callflow = self.store.callflow(account.id).await?.is_some();
        if !is_right {
            self.audit("guidance.refused", &account, call, json!({}));
        }
        if !is_right || !has_callflow {
            return Ok(None);
        }
        let mut callers = self.callers.lock();
        callers.of_account.take_back(&account.id);
        callers.of_caller.take_back(&caller);
        callers.sessions.retain(|_, (_, since)| since.elapsed() < SESSION_TTL);
        if callers.sessions.len() >= SESSIONS_MAX {
            return Ok(None);
        }
        callers.sessions.insert(channel.clone(), (account.id, Instant::now()));
        Ok(Some(account.id))
    }

    /// Makes what was recorded on this channel the guidance of its account out of hours, at once or later.
    ///
    /// # Errors
    /// Says why it is not.
    pub async fn keep(&self, channel: &ChannelId, call: Option<CallId>) -> Result<(), KeepError> {
        let session = self.callers.lock().sessions.get(channel).copied();
        let account = session.filter(|(_, since)| since.elapsed() < SESSION_TTL).map(|(account, _)| account);
        let account = account.and_then(|id| self.directory.account(id)).ok_or(KeepError::NotPermitted)?;
        let name = GuidanceFileName::of(channel, account.id);
        let guidance = self.read(&name).await?;
        let sound = self.sound(&account, &guidance, Timestamp::now());
        let sound = match self.store.create_sound(&sound, &guidance.ulaw).await? {
            SoundOutcome::Kept => sound,
            SoundOutcome::There(other) => other,
            SoundOutcome::TooMany => return Err(KeepError::TooMany),
        };
        self.use_or_wait(&account, &sound, call).await?;
        self.remove(name).await;
        if let Err(error) = self.delete_old(account.id).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "older recordings of guidance are not deleted"
            );
        }
        Ok(())
    }

    /// Callers hear the sound from now on, or it waits, as the account's callflow says.
    async fn use_or_wait(
        &self,
        account: &Account,
        sound: &Sound,
        call: Option<CallId>,
    ) -> Result<(), KeepError> {
        let now = Timestamp::now();
        let callflow = self.store.callflow(account.id).await?.ok_or(KeepError::Callflow)?;
        let draft = GuidanceDraft {
            account: account.id,
            account_name: format!("{} {}", account.fields.code, account.fields.name),
            sound: sound.id,
            name: sound.name.clone(),
            ms: sound.ms,
            used_from: callflow.fields.recorded_guidance,
            recorded_at: now,
        };
        let mut details = json!({ "name": sound.name, "ms": sound.ms, "used_from": draft.used_from });
        if draft.used_from == RecordedGuidance::Now {
            let of_account = (account.id, sound.name.as_str());
            let named = self.store.name_closed_guidance(of_account, &account.fields.name, now).await?;
            let NamedOutcome::Named(before) = named else { return Err(KeepError::Callflow) };
            details["before"] = json!(before);
            // What waited is older than what is heard now.
            if let Some(earlier) = self.store.guidance_draft(account.id).await? {
                self.store.end_guidance_draft(account.id, earlier.sound).await?;
            }
        } else {
            self.store.set_guidance_draft((account.id, sound.id), draft.used_from, now).await?;
        }
        self.audit("guidance.recorded", account, call, details);
        self.bus.publish(publish::guidance(EventKind::GuidanceRecorded, &draft, now));
        Ok(())
    }

    /// The call is over: what was not kept is deleted.
    pub async fn over(&self, channel: &ChannelId) {
        let session = self.callers.lock().sessions.remove(channel);
        if let Some((account, _)) = session {
            self.remove(GuidanceFileName::of(channel, account)).await;
        }
    }

    /// Whether the account's people call from there.
    async fn is_own(&self, account: &Account, caller: &GuidanceCaller) -> Result<bool, StoreError> {
        let GuidanceCaller::Number(number) = caller else { return Ok(true) };
        let key = |text: &str| self.directory.number(text).map(|number| number.key().to_owned());
        let Some(caller) = key(number) else { return Ok(false) };
        let is_caller = |text: &String| key(text).as_ref() == Some(&caller);
        if account.fields.forwarding.iter().any(is_caller) {
            return Ok(true);
        }
        let contacts = self.store.contacts_in_order(account.id).await?;
        Ok(contacts.iter().filter_map(|contact| contact.fields.number.as_ref()).any(is_caller))
    }

    async fn read(&self, name: &GuidanceFileName) -> Result<Guidance, KeepError> {
        let (spool, name) = (Arc::clone(&self.spool), name.clone());
        let read = move || -> Result<Guidance, KeepError> {
            match spool.read(&name)? {
                Content::Bytes(bytes) => Ok(Guidance::of_wav(&bytes, SoundKind::Guidance)?),
                Content::TooLarge | Content::Missing | Content::NoFile => Err(KeepError::NoFile),
            }
        };
        blocking(read).await.unwrap_or(Err(KeepError::NoFile))
    }

    fn sound(&self, account: &Account, guidance: &Guidance, now: Timestamp) -> Sound {
        let at = now.to_zoned(self.directory.time_zone().clone()).strftime("%Y-%m-%d %H:%M").to_string();
        let title: String =
            format!("電話で録音 {at} {}", account.fields.name).chars().take(SOUND_TITLE_CHARS_MAX).collect();
        Sound {
            id: RecordId(Uuid::now_v7()),
            account: Some(account.id),
            kind: SoundKind::Guidance,
            origin: SoundOrigin::Phone,
            title: title.trim_end().to_owned(),
            words: String::new(),
            name: guidance.name(),
            ms: guidance.ms(),
            by_name: account.fields.name.clone(),
            created_at: now,
        }
    }

    /// Deletes recordings of the account that no callflow names any more and that do not wait, but for the newest of them.
    async fn delete_old(&self, account: RecordId) -> Result<(), StoreError> {
        let mut spare = 0;
        for sound in self.store.sounds().await? {
            let is_recorded = sound.account == Some(account) && sound.origin == SoundOrigin::Phone;
            if !is_recorded || !self.directory.callflows_naming(&sound.name).await?.is_empty() {
                continue;
            }
            spare += 1;
            if spare > SPARE_SOUNDS_MAX {
                self.store.delete_sound(sound.id).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, name: GuidanceFileName) {
        let spool = Arc::clone(&self.spool);
        let removed = blocking(move || spool.remove(&name)).await;
        if let Some(Err(error)) = removed {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a recording of guidance cannot be deleted; give the daemon's user write permission to voice.directory"
            );
        }
    }

    /// Deletes the files of calls that ended while no daemon ran.
    async fn sweep(&self) {
        let spool = Arc::clone(&self.spool);
        let sweep = move || -> std::io::Result<()> {
            let is_old = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > FILE_AGE_MAX);
            for file in spool.files()?.into_iter().filter(|file| is_old(file.modified)) {
                spool.remove(&file.name)?;
            }
            Ok(())
        };
        if let Some(Err(error)) = blocking(sweep).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "voice.directory cannot be read");
        }
    }

    fn audit(&self, action: &str, account: &Account, call: Option<CallId>, details: Value) {
        let entry = AuditEntry {
            at: Timestamp::now(),
            actor: None,
            actor_name: String::new(),
            action: action.into(),
            subject: account.fields.code.clone(),
            subject_id: Some(account.id),
            call,
            details,
        };
        self.bus.record(JournalEntry::Audit(Box::new(entry)));
    }
}

/// Runs work that blocks on a thread for it; `None` if it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}
