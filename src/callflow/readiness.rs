//! Readiness: what in the records would treat calls in another way than somebody expects, in the next 35 days.
//!
//! | finding | why it matters |
//! |---|---|
//! | `no_number` | the account has a callflow and no number: no call finds it |
//! | `number_twice` | two accounts have the number: the PBX's own dialplan decides |
//! | `no_callflow` | the account has hours, others have callflows, and no callflow treats its calls by them |
//! | `queue_unknown` | the PBX has no queue of that name: its own dialplan decides |
//! | `sound_missing` | a sound that was uploaded is there no more: callers hear the shipped one, operators nothing |
//! | `voice_not_received` | callers are not offered to leave a message, since nothing takes it |
//! | `voice_undelivered` | a message that is left now reaches nobody of the account |
//! | `not_written` | the plan cannot be written to the PBX |
//! | `never_open` | the account is closed for all of the 35 days |
//! | `horizon_short` | the schedule has so many changes that it ends within two weeks |
//! | `override_without_end` | an override has no end and was set more than a day ago: it may have been forgotten |
//! | `holidays_computed` | a year of the 35 days has no table of the Cabinet Office: its holidays are computed by the law |
//!
//! Invariant: pure; found by the compilation itself, so what is not found here is what the PBX gets.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::plan::{is_written, numbers_of};
use super::schedule::{HORIZON_DAYS, timestamp};
use super::{Letter, Rules, World};
use crate::contract::callflow::{OfferedWhen, Override};
use crate::contract::holidays::HolidaySource;
use crate::contract::records::Account;
use crate::ids::{QueueName, RecordId};

/// An override without an end is reported when it is older than this.
const OVERRIDE_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// A schedule that ends earlier is reported, in minutes.
const HORIZON_MIN: i64 = 14 * 24 * 60;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CallflowFinding)]
pub struct Finding {
    /// In one word.
    pub kind: FindingKind,
    /// The account; absent: the whole service.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<RecordId>,
    /// Its code and name; empty for the whole service.
    pub account_name: String,
    /// What it is about, and what to do.
    pub detail: String,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CallflowFindingKind)]
pub enum FindingKind {
    /// The account has no number.
    NoNumber,
    /// Another account has the number, too.
    NumberTwice,
    /// The account has hours, and no callflow that treats its calls by them.
    NoCallflow,
    /// The PBX has no queue of that name.
    QueueUnknown,
    /// A sound that was uploaded is there no more.
    SoundMissing,
    /// Nothing takes the voice messages that callers would leave.
    VoiceNotReceived,
    /// A voice message reaches nobody of the account.
    VoiceUndelivered,
    /// The plan cannot be written.
    NotWritten,
    /// The account is closed for 35 days.
    NeverOpen,
    /// The schedule ends within two weeks.
    HorizonShort,
    /// An override has no end.
    OverrideWithoutEnd,
    /// A year's holidays are computed.
    HolidaysComputed,
}

/// Everything that is found at `now`, by kind. `queues`: those of the PBX, where they are known.
#[must_use]
pub fn findings(world: &World<'_>, queues: Option<&BTreeSet<QueueName>>, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut accounts_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in world.sources {
        for number in numbers_of(source, world.plan) {
            accounts_of.entry(number).or_default().push(named(source));
        }
    }
    let of_service: Vec<Override> =
        world.overrides.iter().filter(|one| one.account.is_none()).cloned().collect();
    for source in world.sources {
        let (id, name) = (source.account.id, named(source));
        let mut report = |kind, detail: String| {
            found.push(Finding { kind, account: Some(id), account_name: name.clone(), detail });
        };
        let numbers = numbers_of(source, world.plan);
        if numbers.is_empty() {
            report(
                FindingKind::NoNumber,
                "write its dialled or forwarding numbers into its record".to_owned(),
            );
        }
        for number in numbers {
            let others = accounts_of.get(&number).into_iter().flatten().filter(|other| **other != name);
            for other in others {
                let digits = number.rsplit('/').next().unwrap_or_default();
                report(FindingKind::NumberTwice, format!("{digits} is also a number of {other}"));
            }
        }
        if let Some(callflow) = &source.callflow {
            let named = [Some(&callflow.queue), callflow.second_queue.as_ref()].into_iter().flatten();
            let is_known =
                |name: &String| queues.is_none_or(|all| all.iter().any(|one| one.as_str() == name));
            for queue in named.filter(|name| !is_known(name)) {
                let detail = format!("the PBX has no queue {queue}: its own dialplan treats these calls");
                report(FindingKind::QueueUnknown, detail);
            }
            if callflow.voice_message != OfferedWhen::Off && !world.takes_voice {
                let detail = "callers are not offered to leave a message: set voice.directory, and keep 1 GiB free there";
                report(FindingKind::VoiceNotReceived, detail.to_owned());
            }
        }
        if !is_written(source, world) {
            let detail = "its callflow is longer than the PBX takes; shorten the names of queues and sounds";
            report(FindingKind::NotWritten, detail.to_owned());
        }
        let of_account: Vec<Override> =
            world.overrides.iter().filter(|one| one.account == Some(id)).cloned().collect();
        let hours = source.callflow.as_ref().and(source.account.fields.hours.as_ref());
        let (zone, calendar) = (world.zone, world.calendar);
        let rules = Rules { hours, zone, calendar, of_service: &of_service, of_account: &of_account };
        let schedule = rules.schedule(world.base);
        if !schedule.letters().contains(&Letter::Open) {
            let detail = format!("its hours and overrides leave it closed for {HORIZON_DAYS} days");
            report(FindingKind::NeverOpen, detail);
        }
        if schedule.horizon() < HORIZON_MIN {
            let until = timestamp(world.base + schedule.horizon());
            let detail = format!("its hours change so often that its schedule ends at {until:.0}");
            report(FindingKind::HorizonShort, detail);
        }
    }
    found.extend(world.overrides.iter().filter_map(|one| forgotten(one, world, now)));
    found.extend(computed_years(world));
    found.sort_by_key(|finding| finding.kind);
    found
}

fn forgotten(one: &Override, world: &World<'_>, now: Timestamp) -> Option<Finding> {
    let is_old = now.duration_since(one.from) > OVERRIDE_AGE_MAX;
    if one.until.is_some() || !is_old {
        return None;
    }
    let of = |source: &&super::Source| Some(source.account.id) == one.account;
    let account_name = world.sources.iter().find(of).map(named).unwrap_or_default();
    let (treatment, from, by) = (one.treatment.as_str(), one.from, &one.by_name);
    let detail = format!("{treatment} since {from:.0}, set by {by}: end it, or set one with an end");
    Some(Finding { kind: FindingKind::OverrideWithoutEnd, account: one.account, account_name, detail })
}

fn computed_years(world: &World<'_>) -> Vec<Finding> {
    let year = |minute: i64| timestamp(minute).to_zoned(world.zone.clone()).year();
    let years = year(world.base)..=year(world.base + HORIZON_DAYS * 24 * 60);
    let is_computed = |year: &i16| {
        let days = world.calendar.year(*year);
        days.iter().any(|day| day.source == HolidaySource::Law)
    };
    let finding = |year| Finding {
        kind: FindingKind::HolidaysComputed,
        account: None,
        account_name: String::new(),
        detail: format!(
            "the holidays of {year} are computed by the law; import the table of the Cabinet Office"
        ),
    };
    years.filter(is_computed).map(finding).collect()
}

impl Finding {
    /// What is found of an account.
    #[must_use]
    pub fn of_account(kind: FindingKind, account: &Account, detail: String) -> Self {
        Self { kind, account: Some(account.id), account_name: name_of(account), detail }
    }
}

fn named(source: &super::Source) -> String {
    name_of(&source.account)
}

fn name_of(account: &Account) -> String {
    format!("{} {}", account.fields.code, account.fields.name)
}
