//! Keeps the plans of callflows at the PBX: compiles them when a record changed, and runs the machine that writes them.
//!
//! | what changes | seen |
//! |---|---|
//! | a callflow, an override, an account, a holiday, by any process | by the version of the directory, each [`POLL_INTERVAL`] |
//! | the day | at three o'clock in the morning |
//! | another user's writing at the PBX | by reading all keys, each [`AUDIT_INTERVAL`](crate::callflow::AUDIT_INTERVAL) |
//!
//! Invariants: only the daemon that leads and follows the PBX writes. While the store cannot be read, the PBX keeps the plans
//! that it has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::ami::action::Action;
use crate::ami::client::{Handle, ListError};
use crate::ami::frame::Frame;
use crate::bus::Bus;
use crate::callflow::{
    Entries, FAMILY, Input, Key, KeyChange, Output, PlanStatus, PlanSync, Scope, SharedPlanStatus, Value,
};
use crate::directory::Directory;
use crate::pbx_link::Following;
use crate::store::StoreError;

/// How often the version of the directory, the lead and the link are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How some versions of Asterisk answer for a list without an item.
const NOT_FOUND: &str = "not found";

/// The task.
pub(super) struct PlanWriter {
    pub(super) directory: Directory,
    pub(super) bus: Bus,
    pub(super) following: Following,
    pub(super) pbx: Handle,
    pub(super) status: SharedPlanStatus,
}

/// What the wanted keys were compiled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Compiled {
    version: i64,
    base: i64,
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
        loop {
            let is_writer = self.bus.is_leader() && self.following.is_up();
            sync.handle(Instant::now(), if is_writer { Input::LinkUp } else { Input::LinkDown });
            if is_writer {
                match self.compile(&mut compiled).await {
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
            let status = PlanStatus { version, ..sync.status() };
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
    async fn compile(&self, compiled: &mut Option<Compiled>) -> Result<Option<Entries>, StoreError> {
        let now = Timestamp::now();
        let version = self.directory.store().accounts_version().await?;
        let next = Compiled { version, base: self.directory.plan_base(now) };
        if *compiled == Some(next) {
            return Ok(None);
        }
        self.directory.refresh().await?;
        let records = self.directory.plan_records(now).await?;
        let directory = self.directory.clone();
        // Thousands of accounts take part of a second.
        let entries = tokio::task::spawn_blocking(move || directory.compile_plans(&records, next.base)).await;
        *compiled = Some(next);
        // The task neither panics nor is cancelled.
        Ok(entries.ok())
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
fn entry_of(frame: &Frame) -> Option<(Key, Value)> {
    let key = frame.text("Key")?;
    let key = key.strip_prefix('/')?.strip_prefix(FAMILY)?.strip_prefix('/')?;
    Some((Key::new(key)?, Value::found(&frame.text("Val")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
