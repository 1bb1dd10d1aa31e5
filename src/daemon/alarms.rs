//! Looks at the values of alarm rules, raises and clears alarms, and publishes what was raised and cleared
//! ([`crate::stats::AlarmRule`]).
//!
//! | value | read |
//! |---|---|
//! | who waits, who is ready | each [`INTERVAL`], from the same snapshot as the wallboard |
//! | figures of today, the room of a contract | each [`FIGURES_INTERVAL`], from the same counters as `/v1/stats` |
//! | messages that did not reach their accounts | each [`FIGURES_INTERVAL`], from the store, if a rule looks at them |
//!
//! Invariant: only the leader of a PBX looks, and publishes what it raised. An alarm is in the store before it is published, so
//! that a daemon that dies in between loses no event.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{Bus, LiveFigures, Snapshot};
use crate::contract::event::{EventKind, wire_time};
use crate::contract::operator::State;
use crate::directory::Directory;
use crate::ids::RecordId;
use crate::messages::MessageRelay;
use crate::people::role::Role;
use crate::people::viewer::Viewer;
use crate::publish;
use crate::stats::{
    AlarmChange, AlarmClock, AlarmInput, AlarmMetric, AlarmRule, BIN_MS, Contract, Counters, Period,
    start_of_bin,
};
use crate::store::alarms::{StoredAlarm, StoredAlarmRule};
use crate::store::service_mails::NewServiceMail;
use crate::store::stats::StatsOf;
use crate::store::{Store, StoreError};

/// How often values are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often figures are read from the store.
const FIGURES_INTERVAL: Duration = Duration::from_secs(5);

/// What watches.
pub(super) struct AlarmWatch {
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) directory: Directory,
    pub(super) relay: MessageRelay,
}

/// What is read from the store for one account, or for all.
#[derive(Debug, Default)]
struct Figures {
    today: Counters,
    lately: Counters,
    contract: Option<(Contract, Counters)>,
    undelivered: Option<u64>,
}

/// What is remembered between two looks.
#[derive(Debug, Default)]
struct Memory {
    clocks: HashMap<RecordId, AlarmClock>,
    figures: HashMap<Option<RecordId>, Figures>,
    read: Option<Instant>,
}

impl AlarmWatch {
    /// Watches until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut memory, mut is_failing) = (Memory::default(), false);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if !self.bus.is_leader() {
                memory = Memory::default();
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                done = self.look(&mut memory, Timestamp::now()) => match done {
                    Ok(()) => is_failing = false,
                    // One line for each failure of the store.
                    Err(error) if !is_failing => {
                        is_failing = true;
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "alarms are not watched; they are again when the store answers");
                    }
                    Err(_) => {}
                }
            }
        }
    }

    async fn look(&self, memory: &mut Memory, now: Timestamp) -> Result<(), StoreError> {
        let rules = self.store.alarm_rules().await?;
        memory.clocks.retain(|id, _| rules.iter().any(|rule| rule.id == *id));
        if !rules.is_empty() {
            if memory.read.is_none_or(|read| read.elapsed() >= FIGURES_INTERVAL) {
                memory.figures = self.read_figures(&rules, now).await?;
                memory.read = Some(Instant::now());
            }
            let snapshot = self.bus.snapshot(&Viewer::unrestricted(Role::System));
            for rule in &rules {
                let clock = memory.clocks.entry(rule.id).or_default();
                self.judge(rule, clock, &memory.figures, &snapshot, now).await?;
            }
        }
        self.publish().await
    }

    /// Looks at one rule.
    async fn judge(
        &self,
        StoredAlarmRule { id, rule, alarm, .. }: &StoredAlarmRule,
        clock: &mut AlarmClock,
        figures: &HashMap<Option<RecordId>, Figures>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // A rule that is newer than the figures waits for them.
        let Some(figures) = figures.get(&rule.account) else { return Ok(()) };
        let live = live_figures_of(snapshot, rule.account);
        let now_ms = now.as_millisecond();
        let value = rule.value(AlarmInput {
            waiting: live.waiting,
            longest_wait_ms: live.oldest.map(|from| (now_ms - from.as_millisecond()).max(0)),
            ready: live.operators.get(State::Ready.as_str()).copied().unwrap_or(0),
            today: &figures.today,
            lately: &figures.lately,
            contract: figures.contract.as_ref().map(|(contract, counters)| (contract, counters)),
            undelivered: figures.undelivered,
        });
        let mails = |words: &str| self.mails(rule, words, value, now);
        match clock.step(rule, alarm.is_some(), rule.is_beyond(value), now_ms) {
            Some(AlarmChange::Raised) => {
                let pbx = self.bus.own_pbx();
                let raised = (pbx, value.unwrap_or_default(), now);
                if self.store.raise_alarm(*id, raised, &mails("発生")).await? {
                    tracing::warn!(rule = %id, name = rule.name, value, "an alarm is raised");
                    self.relay.outbox().wake();
                }
            }
            Some(AlarmChange::Cleared) if self.store.clear_alarm(*id, now, &mails("解除")).await? => {
                tracing::info!(rule = %id, name = rule.name, value, "an alarm is cleared");
                self.relay.outbox().wake();
            }
            Some(AlarmChange::Cleared) | None => {}
        }
        Ok(())
    }

    fn mails(
        &self,
        rule: &AlarmRule,
        words: &str,
        value: Option<f64>,
        now: Timestamp,
    ) -> Vec<NewServiceMail> {
        let at = now.to_zoned(self.directory.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S");
        let account = rule.account.and_then(|id| self.directory.account(id));
        let of = account.map_or_else(String::new, |account| format!("契約先: {}\n", account.fields.name));
        let number =
            |value: f64| format!("{:.3}", value).trim_end_matches('0').trim_end_matches('.').to_owned();
        let value = value.map_or_else(|| "–".to_owned(), number);
        let threshold = match (rule.above, rule.below) {
            (Some(above), _) => format!("{} より大きい", number(above)),
            (None, below) => format!("{} より小さい", number(below.unwrap_or_default())),
        };
        let body =
            format!("警報の{words}: {}\n{of}値: {value}\nしきい値: {threshold}\n日時: {at}\n", rule.name);
        let mail = |address: &String| NewServiceMail {
            id: RecordId(Uuid::now_v7()),
            report: None,
            address: address.clone(),
            subject: format!("【警報{words}】{}", rule.name),
            body: body.clone(),
            created_at: now,
        };
        rule.to.iter().map(mail).collect()
    }

    /// Reads what the rules look at, once for each account.
    async fn read_figures(
        &self,
        rules: &[StoredAlarmRule],
        now: Timestamp,
    ) -> Result<HashMap<Option<RecordId>, Figures>, StoreError> {
        let mut figures = HashMap::new();
        for StoredAlarmRule { rule, .. } in rules {
            if let Entry::Vacant(place) = figures.entry(rule.account) {
                place.insert(self.figures_of(rule.account, now).await?);
            }
        }
        if rules.iter().any(|StoredAlarmRule { rule, .. }| rule.metric == AlarmMetric::Undelivered)
            && let Some(of_all) = figures.get_mut(&None)
        {
            let counts = self.store.messages_to_see_to(now).await?;
            of_all.undelivered = Some(counts.failed + counts.unrouted + counts.unanswered);
        }
        Ok(figures)
    }

    async fn figures_of(&self, account: Option<RecordId>, now: Timestamp) -> Result<Figures, StoreError> {
        let at = now.to_zoned(self.directory.time_zone().clone());
        let midnight = at.start_of_day().unwrap_or_else(|_| at.clone());
        let ms = |at: &jiff::Zoned| at.timestamp().as_millisecond();
        let (from, lately_from) = (ms(&midnight), start_of_bin(now.as_millisecond()) - BIN_MS);
        let until = start_of_bin(now.as_millisecond()) + BIN_MS;
        let of = account.map_or(StatsOf::Total, |account| StatsOf::Accounts(Some(account)));
        let mut figures = Figures::default();
        let bins = self.store.stats(of, from.min(lately_from), until, |row| Some(row.bin_ms)).await?;
        for (bin_ms, counters) in &bins {
            if *bin_ms >= from {
                figures.today.add(counters);
            }
            if *bin_ms >= lately_from {
                figures.lately.add(counters);
            }
        }
        let Some(account) = account else { return Ok(figures) };
        let Some(stored) = self.store.contract(account).await? else { return Ok(figures) };
        let counters = match stored.contract.period {
            Period::Day => figures.today.clone(),
            Period::Month => {
                let first = midnight.checked_sub(Span::new().days(i64::from(midnight.day()) - 1));
                let first = first.and_then(|first| first.start_of_day()).unwrap_or(midnight);
                let sum = self.store.stats(of, ms(&first), until, |_| Some(())).await?;
                sum.get(&()).cloned().unwrap_or_default()
            }
        };
        figures.contract = Some((stored.contract, counters));
        Ok(figures)
    }

    /// Publishes what was raised and cleared.
    async fn publish(&self) -> Result<(), StoreError> {
        for alarm in self.store.unpublished_alarms(self.bus.own_pbx()).await? {
            let name = alarm.rule.account.and_then(|id| self.directory.account(id));
            let name = name.map(|account| account.fields.name.clone());
            let StoredAlarm { id, raised_at, cleared_at, published, .. } = &alarm;
            let mut events = Vec::with_capacity(2);
            if *published == 0 {
                let data = data_of(&alarm, name.as_deref(), None);
                events.push(publish::alarm(EventKind::AlarmRaised, data, *raised_at));
            }
            if let Some(at) = cleared_at {
                let data = data_of(&alarm, name.as_deref(), Some(*at));
                events.push(publish::alarm(EventKind::AlarmCleared, data, *at));
            }
            self.bus.publish_all(events, Vec::new());
            self.store.set_alarm_published(*id, if cleared_at.is_some() { 2 } else { 1 }).await?;
        }
        Ok(())
    }
}

/// What an event about an alarm says.
fn data_of(alarm: &StoredAlarm, account_name: Option<&str>, cleared_at: Option<Timestamp>) -> Value {
    let mut data = json!({
        "id": alarm.id, "rule": alarm.rule_id, "name": alarm.rule.name, "metric": alarm.rule.metric, "value": alarm.value,
        "raised_at": wire_time(alarm.raised_at),
    });
    let rule = &alarm.rule;
    for (key, value) in [
        ("formula", rule.formula.as_ref().map(|id| json!(id))),
        ("above", rule.above.map(|above| json!(above))),
        ("below", rule.below.map(|below| json!(below))),
        ("account", rule.account.map(|account| json!(account))),
        ("account_name", account_name.map(|name| json!(name))),
        ("cleared_at", cleared_at.map(|at| json!(wire_time(at)))),
    ] {
        if let Some(value) = value {
            data[key] = value;
        }
    }
    data
}

/// The figures of the moment of one account's calls, or of all.
fn live_figures_of(snapshot: &Snapshot, account: Option<RecordId>) -> LiveFigures {
    match account {
        None => snapshot.live_figures(),
        Some(account) => snapshot.live_figures_of(account),
    }
}
