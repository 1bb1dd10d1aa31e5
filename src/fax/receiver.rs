//! The task that takes faxes out of the PBX's directory.
//!
//! | input | what the task does |
//! |---|---|
//! | a report of the PBX, through the [`FaxDoor`] | takes the file at once |
//! | a list of all channels, through the door | takes the files that no channel of the list writes, if they are [`LEFT_BEHIND_AGE`] old |
//! | [`POLL_INTERVAL`] passes | looks for the files of reports again, and publishes what an earlier run did not |
//! | this daemon is a standby | remembers the newest reports, and takes nothing |
//! | the directory or the store fails | everything again after [`RETRY_INTERVAL`]; the files wait where they are |
//!
//! Invariant: a published fax is in the store. In one run, each fax is published once; after a crash between publication and
//! its commit it is published again, under another event id and with the same `data.id`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use smol_str::SmolStr;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::name::FaxFileName;
use super::page;
use super::pdf;
use super::report::{FaxReport, FoundPages, state_of};
use super::tiff;
use crate::bus::Bus;
use crate::contract::fax::{Fax, FaxMode, FaxState, NewFax};
use crate::contract::message::{MessageFields, MessageKind, NewMessage, message_day};
use crate::directory::Directory;
use crate::gateway::Metrics;
use crate::identity::{DialledSource, Identity};
use crate::ids::{ChannelId, RecordId};
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
/// Largest document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most faxes published in one round.
const PUBLISHED_BATCH_MAX: u32 = 100;

/// Where faxes come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaxSettings {
    /// The PBX's directory; `None`: the daemon leaves faxes alone.
    pub directory: Option<PathBuf>,
}

/// What the task counts; clones share it.
#[derive(Debug, Clone, Default)]
pub struct FaxStats {
    received: Counter,
    pages: Counter,
    partial: Counter,
    unreadable: Counter,
    empty: Counter,
    missing: Counter,
    failures: Counter,
    waiting: Gauge,
}

impl FaxStats {
    /// Registers the counters.
    pub fn register(&self, metrics: &Metrics) {
        let counters = [
            ("faxes_received", "Faxes that were recorded", &self.received),
            ("fax_pages_received", "Pages of the faxes that were recorded", &self.pages),
            (
                "faxes_partial",
                "Faxes of which only some pages arrived, or whose report was lost",
                &self.partial,
            ),
            ("faxes_unreadable", "Files of the PBX that are no fax", &self.unreadable),
            ("fax_calls_empty", "Calls to a fax number in which no page arrived", &self.empty),
            (
                "fax_files_missing",
                "Faxes that the PBX reported and whose file is not in fax.directory",
                &self.missing,
            ),
            (
                "fax_failures",
                "Times that faxes could not be taken: the directory or the store failed",
                &self.failures,
            ),
        ];
        metrics.register(|registry| {
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
            registry.register("fax_files_waiting", "Files in fax.directory", self.waiting.clone());
        });
    }
}

/// What the core hands over.
#[derive(Debug)]
enum FaxInput {
    Reported(Box<FaxReport>),
    Listed { at: Timestamp, channels: HashSet<SmolStr> },
}

/// The core's side of the task. Handing over waits for nothing.
#[derive(Debug, Clone, Default)]
pub struct FaxDoor(Option<mpsc::Sender<FaxInput>>);

impl FaxDoor {
    /// Whether faxes are received.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The PBX reported a fax.
    pub fn report(&self, report: FaxReport) {
        self.hand_over(FaxInput::Reported(Box::new(report)));
    }

    /// At `at` the PBX had these channels and no other.
    pub fn channels_listed<'a>(&self, at: Timestamp, channels: impl Iterator<Item = &'a ChannelId>) {
        if self.is_open() {
            self.hand_over(FaxInput::Listed {
                at,
                channels: channels.map(|id| spool::channel_part(id.as_str())).collect(),
            });
        }
    }

    fn hand_over(&self, input: FaxInput) {
        let Some(sender) = &self.0 else { return };
        if sender.try_send(input).is_err() {
            tracing::warn!("the fax receiver is behind; it will find the file in the directory");
        }
    }
}

/// What the task works with.
#[derive(Debug, Clone)]
pub struct FaxHouse {
    /// Where faxes are published.
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
pub struct FaxReceiver {
    spool: Arc<Spool<FaxFileName>>,
    inputs: mpsc::Receiver<FaxInput>,
    reports: HashMap<FaxFileName, (FaxReport, Instant)>,
    /// The last list of channels.
    listed: Option<(SystemTime, HashSet<SmolStr>)>,
    /// Published in this run, and not noted in the store yet.
    published: HashSet<RecordId>,
    stats: FaxStats,
}

/// Why a round did not take every file that it could.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(
        "fax.directory cannot be used; give the daemon's user write permission to it, and correct the path if it is wrong"
    )]
    Directory(#[from] io::Error),
    #[error("a fax cannot be recorded; its file waits")]
    Store(#[from] StoreError),
}

/// What a file became.
#[derive(Debug)]
enum Made {
    /// Nothing that can be taken.
    NoFile(Content),
    File {
        found: FoundPages,
        document: Vec<u8>,
        fault: Option<String>,
    },
}

impl FaxReceiver {
    /// The task and its door; `None` if no directory is configured.
    #[must_use]
    pub fn new(settings: FaxSettings, stats: FaxStats) -> (FaxDoor, Option<Self>) {
        let Some(directory) = settings.directory else { return (FaxDoor::default(), None) };
        let (sender, inputs) = mpsc::channel(INPUTS_QUEUED_MAX);
        let receiver = Self {
            spool: Arc::new(Spool::new(directory)),
            inputs,
            reports: HashMap::new(),
            listed: None,
            published: HashSet::new(),
            stats,
        };
        (FaxDoor(Some(sender)), Some(receiver))
    }

    /// Takes faxes until `shutdown`.
    pub async fn run(mut self, house: FaxHouse, shutdown: CancellationToken) {
        loop {
            let delay = match self.round(&house).await {
                Ok(()) => POLL_INTERVAL,
                Err(error) => {
                    self.stats.failures.inc();
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        directory = %self.spool.directory().display(),
                        "faxes wait; trying again in {} s", RETRY_INTERVAL.as_secs()
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

    fn accept(&mut self, input: FaxInput) {
        match input {
            FaxInput::Listed { at, channels } => self.listed = Some((SystemTime::from(at), channels)),
            FaxInput::Reported(report) => {
                let now = Instant::now();
                self.reports.retain(|_, (_, since)| now.duration_since(*since) < REPORT_TTL);
                if self.reports.len() < REPORTS_MAX {
                    self.reports.insert(report.file.clone(), (*report, now));
                }
            }
        }
    }

    /// Takes every file that can be taken now.
    async fn round(&mut self, house: &FaxHouse) -> Result<(), RoundError> {
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
    fn is_left_behind(&self, name: &FaxFileName, modified: SystemTime) -> bool {
        let Some((at, channels)) = &self.listed else { return false };
        let age = at.duration_since(modified).unwrap_or_default();
        age >= LEFT_BEHIND_AGE && !channels.contains(name.channel())
    }

    /// A report without a page has no file. One with pages whose file does not come is an error of the installation.
    fn drop_reports_without_file(&mut self, files: &[SpoolFile<FaxFileName>]) {
        let (stats, directory) = (&self.stats, self.spool.directory());
        self.reports.retain(|name, (report, since)| {
            if files.iter().any(|file| file.name == *name) {
                return true;
            }
            if report.pages == 0 {
                stats.empty.inc();
                return false;
            }
            let is_awaited = since.elapsed() < FILE_TIMEOUT;
            if !is_awaited {
                stats.missing.inc();
                tracing::error!(
                    file = %name, pages = report.pages, directory = %directory.display(),
                    "the PBX reported a fax that is not in fax.directory; it must be the directory into which the PBX writes"
                );
            }
            is_awaited
        });
    }

    async fn take(
        &mut self,
        name: &FaxFileName,
        modified: SystemTime,
        report: Option<FaxReport>,
        house: &FaxHouse,
    ) -> Result<(), RoundError> {
        let at = Timestamp::try_from(modified).unwrap_or_default();
        let (spool, file) = (Arc::clone(&self.spool), name.clone());
        let (found, document) = match blocking(move || make(&spool, &file, at)).await? {
            Made::NoFile(Content::NoFile) => {
                tracing::error!(file = %name, "a fax is no plain file, and is left alone");
                return Ok(());
            }
            Made::NoFile(_) => return Ok(()),
            Made::File { found, document, fault } => {
                if let Some(fault) = fault {
                    tracing::warn!(file = %name, pages = found.pages, fault, "the file of a fax is not whole");
                }
                (found, document)
            }
        };
        let Some(state) = state_of(report.as_ref(), found) else {
            self.stats.empty.inc();
            return Ok(self.finish(name, false).await?);
        };
        let new = NewFax {
            fax: record(name, report, state, (found.pages, document.len()), at, house),
            file: name.to_string(),
            document,
        };
        let now = Timestamp::now();
        let message = message_of(&new.fax, now, &house.directory);
        if house.store.create_fax(&new, message.as_ref(), now).await? {
            self.count(&new.fax);
            house.relay.wake();
        }
        Ok(self.finish(name, state == FaxState::Unreadable).await?)
    }

    fn count(&self, fax: &Fax) {
        self.stats.received.inc();
        self.stats.pages.inc_by(u64::from(fax.pages));
        match fax.state {
            FaxState::Complete => {}
            FaxState::Partial | FaxState::Unconfirmed => {
                self.stats.partial.inc();
            }
            FaxState::Unreadable => {
                self.stats.unreadable.inc();
            }
        }
        tracing::info!(fax = %fax.id, state = fax.state.as_str(), pages = fax.pages, "recorded a fax");
    }

    /// Takes the file away, after its record is committed.
    async fn finish(&self, name: &FaxFileName, is_unreadable: bool) -> io::Result<()> {
        let (spool, name) = (Arc::clone(&self.spool), name.clone());
        blocking(move || if is_unreadable { spool.set_aside(&name) } else { spool.remove(&name) }).await
    }

    async fn publish(&mut self, bus: &Bus, store: &Store) -> Result<(), RoundError> {
        let faxes = store.unpublished_faxes(bus.own_pbx(), PUBLISHED_BATCH_MAX).await?;
        self.published.retain(|id| faxes.iter().any(|fax| fax.id == *id));
        for fax in faxes {
            if self.published.insert(fax.id) {
                bus.publish_all(vec![publish::fax_received(&fax)], vec![JournalEntry::FaxPublished(fax.id)]);
            }
        }
        Ok(())
    }
}

/// The record of a fax.
fn record(
    name: &FaxFileName,
    report: Option<FaxReport>,
    state: FaxState,
    (pages, bytes): (u32, usize),
    at: Timestamp,
    FaxHouse { bus, directory, .. }: &FaxHouse,
) -> Fax {
    let (mode, station, call) = match report {
        Some(report) => (report.mode, report.station, report.call),
        None => (FaxMode::Unknown, None, None),
    };
    let dialled = call.as_ref().and_then(|call| call.dialled.clone());
    let dialled = dialled.or_else(|| name.dialled().map(str::to_owned));
    let account = call.as_ref().and_then(|call| call.account);
    let account = account.or_else(|| account_of(dialled.as_deref()?, directory));
    let key = |text: String| directory.number(&text).map_or(text, |number| number.key().to_owned());
    Fax {
        id: RecordId(Uuid::now_v7()),
        pbx: bus.own_pbx().clone(),
        account,
        call: call.as_ref().map(|call| call.id),
        dialled: dialled.map(key),
        caller: call.filter(|call| !call.is_withheld).and_then(|call| call.caller).map(key),
        station: station.map(String::from),
        state,
        mode,
        pages,
        bytes: bytes as u64,
        received_at: at,
    }
}

/// The message that brings a fax to its account; `None`: there is no account, or nothing to bring.
fn message_of(fax: &Fax, now: Timestamp, directory: &Directory) -> Option<NewMessage> {
    let account = fax.account.filter(|_| fax.pages > 0)?;
    let number = fax.caller.as_deref().and_then(|key| directory.number(key));
    let from = number.as_ref().map_or_else(|| "番号通知なし".to_owned(), |number| number.display());
    let pages = fax.pages;
    let text = match fax.state {
        FaxState::Complete => format!("FAX {pages}枚（{from}）"),
        FaxState::Partial => format!(
            "FAX {pages}枚（{from}）\n途中で切れたか、乱れた箇所があります。届いたところまでをお送りします。"
        ),
        FaxState::Unconfirmed => {
            format!("FAX {pages}枚（{from}）\n最後まで届いたかどうかを確認できませんでした。")
        }
        FaxState::Unreadable => return None,
    };
    let content = MessageFields { text, ..MessageFields::default() }.checked(directory.plan());
    Some(NewMessage {
        id: fax.id,
        account,
        call: fax.call,
        customer: None,
        kind: MessageKind::Fax,
        taken_by: None,
        taken_by_name: String::new(),
        caller: fax.caller.clone(),
        // The text is short and has no control character.
        content: content.ok()?,
        day: message_day(now, directory.time_zone()),
        not_before: now,
    })
}

/// The account that has this number.
fn account_of(dialled: &str, directory: &Directory) -> Option<RecordId> {
    let dialled = vec![(DialledSource::Extension, SmolStr::new(dialled))];
    directory.identify(&Identity { dialled, ..Identity::default() }, None).account.map(|account| account.id)
}

/// Reads a file and makes its document.
fn make(spool: &Spool<FaxFileName>, name: &FaxFileName, at: Timestamp) -> io::Result<Made> {
    let foreign = |fault: String| Made::File {
        found: FoundPages { is_foreign: true, ..FoundPages::default() },
        document: Vec::new(),
        fault: Some(fault),
    };
    let bytes = match spool.read(name)? {
        Content::Bytes(bytes) => bytes,
        Content::TooLarge => return Ok(foreign("it is too large".to_owned())),
        other => return Ok(Made::NoFile(other)),
    };
    // The decoders are other people's code, and the file is other people's data: a panic costs this file its document.
    let made = std::panic::catch_unwind(|| document_of(&bytes, at));
    let Ok((found, document, fault)) = made else {
        return Ok(foreign("it cannot be decoded".to_owned()));
    };
    if document.len() > DOCUMENT_BYTES_MAX {
        return Ok(foreign("its document is too large".to_owned()));
    }
    Ok(Made::File { found, document, fault })
}

/// The document of a file, with the pages that can be read; empty if there is none.
#[must_use]
pub fn document_of(bytes: &[u8], at: Timestamp) -> (FoundPages, Vec<u8>, Option<String>) {
    let file = tiff::read(bytes);
    let pages: Vec<page::Page> = file.pages.iter().map(|entry| page::decode(bytes, entry)).collect();
    let found = FoundPages {
        pages: u32::try_from(pages.len()).unwrap_or(u32::MAX),
        is_damaged: file.fault.is_some() || pages.iter().any(|page| page.is_damaged),
        // An empty file is one in which no page began.
        is_foreign: file.fault.is_some() && !bytes.is_empty(),
    };
    let document = if pages.is_empty() { Vec::new() } else { pdf::document(&pages, at) };
    (found, document, file.fault.map(|fault| fault.to_string()))
}
