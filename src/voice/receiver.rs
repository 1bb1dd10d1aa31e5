//! The task that takes recordings out of the PBX's directory.
//!
//! | input | what the task does |
//! |---|---|
//! | a report of the PBX, or of what it wrote down while no daemon ran, through the [`VoiceDoor`] | takes the file at once |
//! | a list of all channels, through the door | takes the files that no channel of the list writes, if they are [`LEFT_BEHIND_AGE`] old |
//! | [`POLL_INTERVAL`] passes | looks for the files of reports again, and publishes what an earlier run did not |
//! | this daemon is a standby | remembers the newest reports, and takes nothing |
//! | the directory or the store fails | everything again after [`RETRY_INTERVAL`]; the files wait where they are |
//!
//! Invariant: a published voice message is in the store. In one run, each is published once; after a crash between publication
//! and its commit it is published again, under another event id and with the same `data.id`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use smol_str::SmolStr;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::name::VoiceFileName;
use crate::bus::Bus;
use crate::callflow::wav::Recording;
use crate::contract::message::{MessageFields, MessageKind, NewFile, NewMessage, message_day};
use crate::contract::voice::{NewVoiceMessage, VoiceMessage};
use crate::directory::Directory;
use crate::gateway::Metrics;
use crate::ids::{CallId, ChannelId, RecordId};
use crate::journal::entry::JournalEntry;
use crate::messages::MessageRelay;
use crate::publish;
use crate::spool::{self, Content, Spool, SpoolFile, blocking};
use crate::store::{Store, StoreError};

/// How often the task looks for files that it knows of, when nothing wakes it.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Delay after the directory or the store failed.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// How long a file must not have changed, when no channel writes it, to count as left behind.
pub const LEFT_BEHIND_AGE: Duration = Duration::from_secs(60);
/// How long the file of a report may take to appear in a directory of another machine.
const FILE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a standby remembers a report.
const REPORT_TTL: Duration = Duration::from_secs(3600);
/// Most reports that are remembered; the file of a forgotten one is found as left behind.
const REPORTS_MAX: usize = 500;
/// Most inputs that wait for the task.
const INPUTS_QUEUED_MAX: usize = 256;
/// Most recordings published in one round.
const PUBLISHED_BATCH_MAX: u32 = 100;

/// Where recordings come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VoiceSettings {
    /// The PBX's directory; `None`: callers leave no recordings.
    pub directory: Option<PathBuf>,
}

/// The call in which a recording was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceCall {
    /// The call.
    pub id: CallId,
    /// The caller's number in normalised form; absent if the caller withholds it, or if nobody knows.
    pub caller: Option<String>,
    /// The caller withholds the number.
    pub is_withheld: bool,
}

/// What the PBX says about a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceReport {
    /// The file.
    pub file: VoiceFileName,
    /// The call; absent when the daemon does not know the channel.
    pub call: Option<VoiceCall>,
}

/// What the task counts; clones share it.
#[derive(Debug, Clone, Default)]
pub struct VoiceStats {
    received: Counter,
    empty: Counter,
    unreadable: Counter,
    missing: Counter,
    failures: Counter,
    waiting: Gauge,
}

impl VoiceStats {
    /// Registers the counters.
    pub fn register(&self, metrics: &Metrics) {
        let counters = [
            ("voice_messages_received", "Recordings of callers that became messages", &self.received),
            ("voice_messages_empty", "Recordings in which nobody spoke", &self.empty),
            ("voice_files_unreadable", "Files of the PBX that are no recording", &self.unreadable),
            (
                "voice_files_missing",
                "Recordings that the PBX reported and whose file is not in voice.directory",
                &self.missing,
            ),
            (
                "voice_failures",
                "Times that recordings could not be taken: the directory or the store failed",
                &self.failures,
            ),
        ];
        metrics.register(|registry| {
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
            registry.register("voice_files_waiting", "Files in voice.directory", self.waiting.clone());
        });
    }
}

/// What is handed over.
#[derive(Debug)]
enum VoiceInput {
    Reported(VoiceReport),
    Listed { at: Timestamp, channels: HashSet<SmolStr> },
}

/// The other side of the task, and of who takes over what callers asked for. Handing over waits for nothing.
#[derive(Debug, Clone, Default)]
pub struct VoiceDoor {
    inputs: Option<mpsc::Sender<VoiceInput>>,
    callbacks: Arc<Notify>,
}

impl VoiceDoor {
    /// Whether recordings are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.inputs.is_some()
    }

    /// A caller asked to be called back: what the PBX keeps is read.
    pub fn callback_asked(&self) {
        self.callbacks.notify_one();
    }

    /// Waits until a caller asks to be called back.
    pub async fn next_callback(&self) {
        self.callbacks.notified().await;
    }

    /// The PBX reported a recording.
    pub fn report(&self, report: VoiceReport) {
        self.hand_over(VoiceInput::Reported(report));
    }

    /// At `at` the PBX had these channels and no other.
    pub fn channels_listed<'a>(&self, at: Timestamp, channels: impl Iterator<Item = &'a ChannelId>) {
        if self.is_open() {
            self.hand_over(VoiceInput::Listed {
                at,
                channels: channels.map(|id| spool::channel_part(id.as_str())).collect(),
            });
        }
    }

    fn hand_over(&self, input: VoiceInput) {
        let Some(sender) = &self.inputs else { return };
        if sender.try_send(input).is_err() {
            tracing::warn!(
                "the receiver of voice messages is behind; it will find the file in the directory"
            );
        }
    }
}

/// What the task works with.
#[derive(Debug, Clone)]
pub struct VoiceHouse {
    /// Where voice messages are published.
    pub bus: Bus,
    /// Where they are kept.
    pub store: Store,
    /// Whose they are.
    pub directory: Directory,
    /// Publishes and mails the messages that they are.
    pub relay: MessageRelay,
}

/// The task.
#[derive(Debug)]
pub struct VoiceReceiver {
    spool: Arc<Spool<VoiceFileName>>,
    inputs: mpsc::Receiver<VoiceInput>,
    reports: HashMap<VoiceFileName, (VoiceReport, Instant)>,
    /// The last list of channels.
    listed: Option<(SystemTime, HashSet<SmolStr>)>,
    /// Published in this run, and not noted in the store yet.
    published: HashSet<RecordId>,
    stats: VoiceStats,
}

/// Why a round did not take every file that it could.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(
        "voice.directory cannot be used; give the daemon's user write permission to it, and correct the path if it is wrong"
    )]
    Directory(#[from] io::Error),
    #[error("a voice message cannot be recorded; its file waits")]
    Store(#[from] StoreError),
}

impl VoiceReceiver {
    /// The task and its door; `None` if no directory is configured.
    #[must_use]
    pub fn new(settings: VoiceSettings, stats: VoiceStats) -> (VoiceDoor, Option<Self>) {
        let Some(directory) = settings.directory else { return (VoiceDoor::default(), None) };
        let (sender, inputs) = mpsc::channel(INPUTS_QUEUED_MAX);
        let receiver = Self {
            spool: Arc::new(Spool::new(directory)),
            inputs,
            reports: HashMap::new(),
            listed: None,
            published: HashSet::new(),
            stats,
        };
        (VoiceDoor { inputs: Some(sender), ..VoiceDoor::default() }, Some(receiver))
    }

    /// Takes recordings until `shutdown`.
    pub async fn run(mut self, house: VoiceHouse, shutdown: CancellationToken) {
        loop {
            let delay = match self.round(&house).await {
                Ok(()) => POLL_INTERVAL,
                Err(error) => {
                    self.stats.failures.inc();
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        directory = %self.spool.directory().display(),
                        "voice messages wait; trying again in {} s", RETRY_INTERVAL.as_secs()
                    );
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(input) = self.inputs.recv() => self.accept(input),
                () = sleep(delay) => {}
            }
            while let Ok(input) = self.inputs.try_recv() {
                self.accept(input);
            }
        }
    }

    fn accept(&mut self, input: VoiceInput) {
        match input {
            VoiceInput::Listed { at, channels } => self.listed = Some((SystemTime::from(at), channels)),
            VoiceInput::Reported(report) => {
                let now = Instant::now();
                self.reports.retain(|_, (_, since)| now.duration_since(*since) < REPORT_TTL);
                if self.reports.len() < REPORTS_MAX {
                    self.reports.insert(report.file.clone(), (report, now));
                }
            }
        }
    }

    /// Takes every file that can be taken now.
    async fn round(&mut self, house: &VoiceHouse) -> Result<(), RoundError> {
        if !house.bus.is_leader() {
            // The leader publishes what this daemon did not.
            self.published.clear();
            return Ok(());
        }
        let spool = Arc::clone(&self.spool);
        let files = blocking(move || spool.files()).await?;
        self.stats.waiting.set(i64::try_from(files.len()).unwrap_or(i64::MAX));
        self.drop_reports_without_file(&files);
        let mut failed = None;
        for SpoolFile { name, modified } in files {
            let report = self.reports.get(&name).map(|(report, _)| report.clone());
            if report.is_some() || self.is_left_behind(&name, modified) {
                match self.take(&name, modified, report, house).await {
                    Ok(()) => {
                        self.reports.remove(&name);
                    }
                    // The next one would fail as well.
                    Err(RoundError::Store(error)) if error.is_transient() => return Err(error.into()),
                    // One file must not keep the others back.
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        self.publish(&house.bus, &house.store).await?;
        failed.map_or(Ok(()), Err)
    }

    /// Whether no channel writes this file any more.
    fn is_left_behind(&self, name: &VoiceFileName, modified: SystemTime) -> bool {
        let Some((at, channels)) = &self.listed else { return false };
        let age = at.duration_since(modified).unwrap_or_default();
        age >= LEFT_BEHIND_AGE && !channels.contains(name.channel())
    }

    fn drop_reports_without_file(&mut self, files: &[SpoolFile<VoiceFileName>]) {
        let (stats, directory) = (&self.stats, self.spool.directory());
        self.reports.retain(|name, (_, since)| {
            let is_awaited = files.iter().any(|file| file.name == *name) || since.elapsed() < FILE_TIMEOUT;
            if !is_awaited {
                stats.missing.inc();
                tracing::error!(
                    file = %name, directory = %directory.display(),
                    "the PBX reported a recording that is not in voice.directory; it must be the directory into which the PBX writes"
                );
            }
            is_awaited
        });
    }

    async fn take(
        &mut self,
        name: &VoiceFileName,
        modified: SystemTime,
        report: Option<VoiceReport>,
        house: &VoiceHouse,
    ) -> Result<(), RoundError> {
        let (spool, file) = (Arc::clone(&self.spool), name.clone());
        let recording = match blocking(move || spool.read(&file)).await? {
            Content::NoFile => {
                tracing::error!(file = %name, "a recording is no plain file, and is left alone");
                return Ok(());
            }
            Content::Missing => return Ok(()),
            Content::TooLarge => None,
            Content::Bytes(bytes) => Recording::read(&bytes).ok(),
        };
        let at = Timestamp::try_from(modified).unwrap_or_default();
        let sound =
            recording.and_then(|one| file_of(&one, at, house.directory.time_zone()).map(|file| (one, file)));
        let Some((recording, sound)) = sound else {
            self.stats.unreadable.inc();
            tracing::error!(file = %name, "a file in voice.directory is no recording; it is moved to unreadable/");
            return Ok(self.finish(name, true).await?);
        };
        if recording.is_empty() {
            self.stats.empty.inc();
            return Ok(self.finish(name, false).await?);
        }
        let new = record(name, report.as_ref(), (&recording, sound), at, house);
        let now = Timestamp::now();
        let call = report.and_then(|report| report.call);
        let Some(message) = message_of(&new.voice, call, now, &house.directory) else {
            return Ok(self.finish(name, true).await?);
        };
        if house.store.create_voice_message(&new, &message, now).await? {
            self.stats.received.inc();
            tracing::info!(message = %message.id, ms = new.voice.ms, "recorded a voice message");
            house.relay.wake();
        } else {
            // Read again after a crash; its account was deleted; its caller was erased.
            tracing::debug!(file = %name, "a recording is a message already, or has no account");
        }
        Ok(self.finish(name, false).await?)
    }

    /// Takes the file away, after its record is committed.
    async fn finish(&self, name: &VoiceFileName, is_unreadable: bool) -> io::Result<()> {
        let (spool, name) = (Arc::clone(&self.spool), name.clone());
        blocking(move || if is_unreadable { spool.set_aside(&name) } else { spool.remove(&name) }).await
    }

    async fn publish(&mut self, bus: &Bus, store: &Store) -> Result<(), RoundError> {
        let voices = store.unpublished_voice_messages(bus.own_pbx(), PUBLISHED_BATCH_MAX).await?;
        self.published.retain(|id| voices.iter().any(|voice| voice.id == *id));
        for voice in voices {
            if self.published.insert(voice.id) {
                let entry = JournalEntry::VoicePublished(voice.id);
                bus.publish_all(vec![publish::voice_message_received(&voice)], vec![entry]);
            }
        }
        Ok(())
    }
}

/// The record of a recording.
fn record(
    name: &VoiceFileName,
    report: Option<&VoiceReport>,
    (recording, sound): (&Recording, NewFile),
    at: Timestamp,
    VoiceHouse { bus, .. }: &VoiceHouse,
) -> NewVoiceMessage {
    NewVoiceMessage {
        voice: VoiceMessage {
            id: RecordId(Uuid::now_v7()),
            pbx: bus.own_pbx().clone(),
            account: name.account(),
            call: report.and_then(|report| report.call.as_ref()).map(|call| call.id),
            ms: u64::try_from(recording.duration().as_millis()).unwrap_or(u64::MAX),
            bytes: sound.file.bytes,
            recorded_at: at,
        },
        file: name.to_string(),
        recording: sound,
    }
}

/// The recording as a file, named for the time at which it was left; `None` if it is too large. A callflow records three minutes at
/// most, which is half of what a file may have.
fn file_of(recording: &Recording, at: Timestamp, zone: &TimeZone) -> Option<NewFile> {
    let name = at.to_zoned(zone.clone()).strftime("voice-%Y%m%d-%H%M.wav").to_string();
    NewFile::new(&name, recording.to_bytes()).ok()
}

/// The message that brings a recording to its account.
fn message_of(
    voice: &VoiceMessage,
    call: Option<VoiceCall>,
    now: Timestamp,
    directory: &Directory,
) -> Option<NewMessage> {
    let (is_withheld, caller) = call.map_or((false, None), |call| (call.is_withheld, call.caller));
    let caller = caller.filter(|_| !is_withheld);
    let number = caller.as_deref().and_then(|key| directory.number(key));
    let from = match &number {
        Some(number) => number.display(),
        None if is_withheld => "番号通知なし".to_owned(),
        None => "番号は記録されていません".to_owned(),
    };
    let content =
        MessageFields { text: text_of(voice, &from, now, directory.time_zone()), ..MessageFields::default() };
    Some(NewMessage {
        id: voice.id,
        account: voice.account,
        call: voice.call,
        customer: None,
        kind: MessageKind::Voice,
        taken_by: None,
        taken_by_name: String::new(),
        caller: number.map(|number| number.key().to_owned()),
        // The text is short and has no control character.
        content: content.checked(directory.plan()).ok()?,
        day: message_day(now, directory.time_zone()),
        not_before: now,
    })
}

fn text_of(voice: &VoiceMessage, from: &str, now: Timestamp, zone: &TimeZone) -> String {
    let seconds = voice.ms.div_ceil(1_000);
    let mut text = format!("音声メッセージ {}分{:02}秒（{from}）", seconds / 60, seconds % 60);
    // Found later than it was left.
    if now.duration_since(voice.recorded_at).as_secs() >= 60 {
        let at = voice.recorded_at.to_zoned(zone.clone());
        text.push_str(&at.strftime("\n録音日時 %-m月%-d日 %H:%M").to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PbxId;

    #[test]
    fn the_text_says_how_long_it_is_from_whom_and_when_it_was_left_if_that_is_past() {
        let at: Timestamp = "2026-11-30T03:04:00Z".parse().unwrap();
        let voice = VoiceMessage {
            id: RecordId(Uuid::nil()),
            pbx: PbxId::parse("lab").unwrap(),
            account: RecordId(Uuid::nil()),
            call: None,
            ms: 61_200,
            bytes: 0,
            recorded_at: at,
        };
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(text_of(&voice, "090-1111-2222", at, &zone), "音声メッセージ 1分02秒（090-1111-2222）");
        let later = at.checked_add(jiff::SignedDuration::from_hours(8)).unwrap();
        let text = text_of(&voice, "番号通知なし", later, &zone);
        assert_eq!(text, "音声メッセージ 1分02秒（番号通知なし）\n録音日時 11月30日 12:04");
    }
}
