//! Keeps the plans of callflows at the PBX: compiles them when a record changed, and runs the machine that writes them.
//!
//! | what changes | seen |
//! |---|---|
//! | a callflow, an override, an account, a holiday, by any process | by the version of the directory, each [`POLL_INTERVAL`] |
//! | the day | at three o'clock in the morning |
//! | the free space for recordings | each [`SPACE_INTERVAL`] |
//! | the PBX's queues and sounds, its clock | each [`AUDIT_INTERVAL`]; sounds also [`PROBE_DELAY`] after others are named, and each [`PROBE_INTERVAL`] while one is missing |
//! | another user's writing at the PBX | by reading all keys, each [`AUDIT_INTERVAL`] |
//!
//! Invariants: only the daemon that leads and follows the PBX writes. While the store cannot be read, the PBX keeps the plans
//! that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::ami::action::{Action, PbxValue};
use crate::ami::client::{Handle, ListError};
use crate::ami::event::PbxEvent;
use crate::ami::frame::Frame;
use crate::ami::member::MemberEvent;
use crate::ami::session::ActionOutcome;
use crate::bus::Bus;
use crate::callflow::{
    AUDIT_INTERVAL, CLOCK_OFF_MAX_S, Entries, FAMILY, Input, Key, KeyChange, Output, PlanState, PlanStatus,
    PlanSync, Scope, SeenAtPbx, SharedPlanStatus, SoundProbe, Value,
};
use crate::contract::callflow::Override;
use crate::contract::event::{EventKind, NewEvent};
use crate::directory::Directory;
use crate::ids::{QueueName, RecordId};
use crate::pbx_link::Following;
use crate::publish;
use crate::store::StoreError;

/// How often the version of the directory, the lead and the link are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How often the free space for recordings is looked at.
const SPACE_INTERVAL: Duration = Duration::from_secs(30);
/// How long after callflows name other sounds the PBX is asked for them: their files come within two seconds.
const PROBE_DELAY: Duration = Duration::from_secs(5);
/// How often the PBX is asked for sounds while one is missing.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// With less free space, callers leave no recordings.
const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;

/// How some versions of Asterisk answer for a list without an item.
pub(super) const NOT_FOUND: &str = "not found";

/// The task.
pub(super) struct PlanWriter {
    pub(super) directory: Directory,
    pub(super) bus: Bus,
    pub(super) following: Following,
    pub(super) pbx: Handle,
    pub(super) status: SharedPlanStatus,
    pub(super) sounds: SoundProbe,
    /// Where the PBX writes what callers speak.
    pub(super) voice_directory: Option<PathBuf>,
}

/// What was seen of the PBX, and when it is asked for sounds.
#[derive(Debug, Default)]
struct Seen {
    at_pbx: SeenAtPbx,
    clock_ahead_s: Option<i64>,
    /// The sounds that callflows name.
    sounds: BTreeSet<String>,
    probe_due: Option<Instant>,
}

/// What the wanted keys were compiled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Compiled {
    version: i64,
    base: i64,
    takes_voice: bool,
}

impl PlanWriter {
    /// Runs until `shutdown`. It may be stopped anywhere: what is written in part is not in force.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let (mut sync, mut compiled, mut logged) = (PlanSync::default(), None, None);
        let (mut space_due, mut news) = (Instant::now(), News::default());
        let (mut look_due, mut seen) = (Instant::now(), Seen::default());
        loop {
            if space_due <= Instant::now() {
                self.look_for_space().await;
                space_due = Instant::now() + SPACE_INTERVAL;
            }
            let is_writer = self.bus.is_leader() && self.following.is_up();
            sync.handle(Instant::now(), if is_writer { Input::LinkUp } else { Input::LinkDown });
            if is_writer {
                match self.compile(&mut compiled, &mut news, &mut seen).await {
                    Ok(None) => {}
                    Ok(Some(wanted)) => sync.handle(Instant::now(), Input::Wanted(Arc::new(wanted))),
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::debug!(error, "cannot read the callflows; the PBX keeps its plans");
                    }
                }
            }
            // Without records there is no plan: what the PBX has stays.
            if compiled.is_some() || !is_writer {
                sync.handle_timeout(Instant::now());
                while let Some(output) = sync.poll_output() {
                    let input = self.carry_out(output).await;
                    sync.handle(Instant::now(), input);
                }
            }
            let version = compiled.map_or(0, |compiled: Compiled| compiled.version);
            if is_writer && look_due <= Instant::now() {
                self.look(&mut seen).await;
                look_due = Instant::now() + AUDIT_INTERVAL;
            } else if !is_writer {
                look_due = Instant::now();
            }
            if is_writer {
                self.probe(&mut seen).await;
            }
            let mut status = PlanStatus { version, clock_ahead_s: seen.clock_ahead_s, ..sync.status() };
            seen.at_pbx.plans_end_at = status.ends_at;
            seen.at_pbx.sounds_missing = self.sounds.missing();
            status.seen = seen.at_pbx.clone();
            if is_writer {
                self.publish(news.over(Timestamp::now()));
                self.publish(news.of_status(&status, Timestamp::now()));
            } else {
                // What another leader publishes is not published again.
                news = News::default();
            }
            if logged.as_ref() != Some(&status.problem) {
                log(&status);
                logged = Some(status.problem.clone());
            }
            self.status.set(status);
            let due = sync.poll_timeout().map(|due| due.saturating_duration_since(Instant::now()));
            tokio::time::sleep(due.map_or(POLL_INTERVAL, |due| due.min(POLL_INTERVAL))).await;
        }
    }

    /// The wanted keys, if they may differ from those of `compiled`.
    async fn compile(
        &self,
        compiled: &mut Option<Compiled>,
        news: &mut News,
        seen: &mut Seen,
    ) -> Result<Option<Entries>, StoreError> {
        let now = Timestamp::now();
        let version = self.directory.store().accounts_version().await?;
        let takes_voice = self.directory.takes_voice();
        let next = Compiled { version, base: self.directory.plan_base(now), takes_voice };
        if *compiled == Some(next) {
            return Ok(None);
        }
        self.directory.refresh().await?;
        let records = self.directory.plan_records(now).await?;
        self.publish(news.of_overrides(records.overrides(), now));
        let sounds = records.sounds();
        if seen.sounds != sounds {
            seen.sounds = sounds;
            seen.probe_due = Some(Instant::now() + PROBE_DELAY);
        }
        let directory = self.directory.clone();
        // Thousands of accounts take part of a second.
        let entries = tokio::task::spawn_blocking(move || directory.compile_plans(&records, next.base)).await;
        *compiled = Some(next);
        // The task neither panics nor is cancelled.
        Ok(entries.ok())
    }

    /// Looks at what of the PBX decides beside its plans. What it does not tell now is as it was.
    async fn look(&self, seen: &mut Seen) {
        self.look_at_queues(&mut seen.at_pbx).await;
        seen.probe_due.get_or_insert_with(|| Instant::now() + PROBE_DELAY);
        let Ok(action) = Action::read_pbx(PbxValue::Clock) else { return };
        let ActionOutcome::Response(answer) = self.pbx.send(action).await else { return };
        let theirs = answer.text("Value").and_then(|value| value.trim().parse::<i64>().ok());
        let Some(theirs) = theirs else { return };
        let ahead = theirs - Timestamp::now().as_second();
        if ahead.abs() > CLOCK_OFF_MAX_S && seen.clock_ahead_s.is_none_or(|before| before != ahead) {
            tracing::error!(
                ahead_s = ahead,
                "the PBX's clock is not the daemon's: accounts open and close at wrong times; keep both right with NTP"
            );
        }
        seen.clock_ahead_s = Some(ahead);
    }

    /// The PBX's queues, and which have no member; what it does not list now is as it was.
    async fn look_at_queues(&self, seen: &mut SeenAtPbx) {
        let Ok(events) = self.pbx.list(Action::queue_status()).await else { return };
        let (mut queues, mut with_members) = (BTreeSet::new(), BTreeSet::new());
        for event in events {
            match event {
                PbxEvent::Member(MemberEvent::Queue { queue, .. }) => {
                    queues.insert(queue);
                }
                PbxEvent::Member(MemberEvent::Member(member)) => {
                    with_members.insert(member.queue);
                }
                _ => {}
            }
        }
        let now = Timestamp::now();
        let since = |queue: &QueueName| seen.empty_since.get(queue).copied().unwrap_or(now);
        let empty = queues.difference(&with_members).map(|queue| (queue.clone(), since(queue))).collect();
        seen.empty_since = Arc::new(empty);
        seen.queues = Some(Arc::new(queues));
    }

    /// Asks the PBX which of the sounds it has no file of, when that is due. It answers by an event.
    async fn probe(&self, seen: &mut Seen) {
        if seen.probe_due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        let interval = if self.sounds.missing().is_empty() { AUDIT_INTERVAL } else { PROBE_INTERVAL };
        seen.probe_due = Some(Instant::now() + interval);
        for (order, sounds) in self.sounds.begin(&seen.sounds) {
            if let Ok(action) = Action::probe_sounds(&order, &sounds) {
                self.pbx.send(action).await;
            }
        }
    }

    fn publish(&self, events: Vec<NewEvent>) {
        if !events.is_empty() {
            self.bus.publish_all(events, Vec::new());
        }
    }

    /// Callers leave no recordings while the disk that takes them is nearly full.
    async fn look_for_space(&self) {
        let takes_voice = match self.voice_directory.clone() {
            None => false,
            Some(directory) => {
                // A directory of another machine may not answer at once.
                let free = tokio::task::spawn_blocking(move || free_bytes(&directory)).await;
                free.is_ok_and(|free| free.is_some_and(|free| free >= FREE_BYTES_MIN))
            }
        };
        if takes_voice != self.directory.takes_voice() {
            self.directory.set_takes_voice(takes_voice);
            if let Some(directory) = self.voice_directory.as_ref().filter(|_| !takes_voice) {
                tracing::error!(
                    directory = %directory.display(),
                    "callers are not offered to leave voice messages: voice.directory cannot be read, or has less than 1 GiB of free disk space"
                );
            }
        }
    }

    async fn carry_out(&self, output: Output) -> Input {
        match output {
            Output::Read(scope) => Input::Read(self.read(scope).await),
            Output::Write(orders) => {
                let sent = join_all(orders.iter().map(|order| self.write(order))).await;
                Input::Written(sent.into_iter().collect())
            }
        }
    }

    async fn write(&self, order: &[KeyChange]) -> Result<(), String> {
        let action = Action::write_plan(order).map_err(|error| error.to_string())?;
        let outcome = self.pbx.send(action).await;
        if outcome.is_accepted() {
            return Ok(());
        }
        Err(outcome.message().map_or_else(
            || "the PBX did not answer".to_owned(),
            |message| format!("the PBX refused to write the plan: {message}; the actions user needs originate in write of manager.conf"),
        ))
    }

    async fn read(&self, scope: Scope) -> Result<Entries, String> {
        let keys: Vec<Option<Key>> = match scope {
            Scope::All => vec![None],
            Scope::Keys(keys) => keys.into_iter().map(Some).collect(),
        };
        let mut entries = Entries::new();
        for key in keys {
            let action = Action::read_plan(key.as_ref()).map_err(|error| error.to_string())?;
            match self.pbx.list_frames(action).await {
                Ok(frames) => entries.extend(frames.iter().filter_map(entry_of)),
                Err(ListError::Refused(message)) if message.contains(NOT_FOUND) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(entries)
    }
}

/// What was published about overrides, and about the PBX's plans. The first of each is what was there before.
#[derive(Debug, Default)]
struct News {
    overrides: Option<BTreeMap<RecordId, Override>>,
    /// Whether the PBX had everything, when that was last known.
    is_level: Option<bool>,
}

impl News {
    fn of_overrides(&mut self, present: &[Override], now: Timestamp) -> Vec<NewEvent> {
        let present: BTreeMap<RecordId, Override> =
            present.iter().filter(|one| !is_over(one, now)).map(|one| (one.id, one.clone())).collect();
        let Some(known) = self.overrides.replace(present.clone()) else { return Vec::new() };
        let set = present.iter().filter(|(id, _)| !known.contains_key(id));
        let set = set.map(|(_, one)| publish::override_changed(EventKind::OverrideSet, one, now));
        let ended = known.iter().filter(|(id, _)| !present.contains_key(id));
        let ended = ended.map(|(_, one)| publish::override_changed(EventKind::OverrideEnded, one, now));
        set.chain(ended).collect()
    }

    /// The overrides whose time is over.
    fn over(&mut self, now: Timestamp) -> Vec<NewEvent> {
        let Some(known) = &mut self.overrides else { return Vec::new() };
        let over: Vec<Override> = known.values().filter(|one| is_over(one, now)).cloned().collect();
        known.retain(|_, one| !is_over(one, now));
        over.iter().map(|one| publish::override_changed(EventKind::OverrideEnded, one, now)).collect()
    }

    fn of_status(&mut self, status: &PlanStatus, now: Timestamp) -> Vec<NewEvent> {
        let is_level = match status.state {
            PlanState::Level => true,
            PlanState::Behind if status.wanted > 0 => false,
            _ => return Vec::new(),
        };
        let before = self.is_level.replace(is_level);
        let kind = match before {
            Some(before) if before == is_level => return Vec::new(),
            // Nobody asks for what was never missing.
            None if is_level => return Vec::new(),
            _ if is_level => EventKind::CallflowLevel,
            _ => EventKind::CallflowBehind,
        };
        let data = serde_json::to_value(status).unwrap_or_default();
        vec![publish::callflow(kind, data, None, now)]
    }
}

fn is_over(one: &Override, now: Timestamp) -> bool {
    one.until.is_some_and(|until| until <= now)
}

/// The free space of the disk that this directory is on; `None` if it cannot be read.
fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn log(status: &PlanStatus) {
    match &status.problem {
        // Without a plan to write, an older PBX that cannot list its database lacks nothing.
        Some(problem) if status.wanted > 0 => {
            tracing::warn!(problem, "the PBX treats calls by older plans; trying again");
        }
        _ => tracing::debug!(state = ?status.state, wanted = status.wanted, "plans of callflows"),
    }
}

/// The key and value of an item of the list; `None` for a key that this daemon did not write.
pub(super) fn entry_of(frame: &Frame) -> Option<(Key, Value)> {
    let key = frame.text("Key")?;
    let key = key.strip_prefix('/')?.strip_prefix(FAMILY)?.strip_prefix('/')?;
    Some((Key::new(key)?, Value::found(&frame.text("Val")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_and_the_plans_are_news_when_they_change() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let one = |n: u128, until: Option<i64>| Override {
            id: RecordId(uuid::Uuid::from_u128(n)),
            account: None,
            treatment: crate::contract::callflow::OverrideTreatment::Closed,
            from: at(0),
            until: until.map(at),
            reason: String::new(),
            by_name: "花".into(),
        };
        let kinds = |events: Vec<NewEvent>| events.iter().map(|event| event.kind).collect::<Vec<_>>();
        let mut news = News::default();
        assert_eq!(kinds(news.over(at(1))), []);
        assert_eq!(kinds(news.of_overrides(&[one(1, Some(50))], at(1))), [], "it was there before");
        let both = [one(1, Some(50)), one(2, None)];
        assert_eq!(kinds(news.of_overrides(&both, at(2))), [EventKind::OverrideSet]);
        assert_eq!(kinds(news.over(at(49))), []);
        assert_eq!(kinds(news.over(at(50))), [EventKind::OverrideEnded]);
        assert_eq!(kinds(news.of_overrides(&both, at(51))), [], "its end was published");
        assert_eq!(kinds(news.of_overrides(&[], at(52))), [EventKind::OverrideEnded]);

        let status = |state, wanted| PlanStatus { state, wanted, ..PlanStatus::default() };
        for (state, wanted, expected) in [
            (PlanState::Level, 3, vec![]),
            (PlanState::Writing, 3, vec![]),
            (PlanState::Behind, 3, vec![EventKind::CallflowBehind]),
            (PlanState::Behind, 3, vec![]),
            (PlanState::Unread, 3, vec![]),
            (PlanState::Level, 3, vec![EventKind::CallflowLevel]),
            (PlanState::Behind, 0, vec![]),
        ] {
            assert_eq!(kinds(news.of_status(&status(state, wanted), at(60))), expected, "{state:?}");
        }
        assert_eq!(
            kinds(News::default().of_status(&status(PlanState::Behind, 1), at(1))),
            [EventKind::CallflowBehind]
        );
    }

    #[test]
    fn an_item_of_the_list_is_a_key_below_the_family() {
        let item = |key: &str| {
            Frame::parse(format!("Event: DBGetTreeResponse\r\nKey: {key}\r\nVal: a|b\r\nActionID: 1\r\n\r\n"))
                .unwrap()
        };
        let found = entry_of(&item("/toritsugi/plan/default"));
        assert_eq!(found, Some((Key::new("plan/default").unwrap(), Value::found("a|b"))));
        for other in ["/toritsugiplan/x", "/other/plan/x", "toritsugi/plan/x", "/toritsugi/PLAN/x"] {
            assert_eq!(entry_of(&item(other)), None, "{other}");
        }
    }
}
