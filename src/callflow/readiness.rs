//! Readiness: what in the records would treat calls in another way than somebody expects, in the next 35 days.
//!
//! | finding | why it matters |
//! |---|---|
//! | `no_number` | the account has a callflow and no number: no call finds it |
//! | `number_twice` | two accounts have the number: the PBX's own dialplan decides |
//! | `no_callflow` | the account has hours, others have callflows, and no callflow treats its calls by them |
//! | `queue_unknown` | the PBX has no queue of that name: its own dialplan decides |
//! | `queue_empty` | the account is open, and its queue has had no member for half an hour: nobody is called |
//! | `on_call_empty` | at a time in which people on call are to be reached, nobody is on call |
//! | `sound_missing` | a sound that was uploaded is there no more, or the PBX has no file of it: callers hear the shipped one, operators nothing |
//! | `announcement_long` | the announcement, with what follows it, takes more than two seconds |
//! | `voice_not_received` | callers are not offered to leave a message, since nothing takes it |
//! | `voice_undelivered` | a message that is left now reaches nobody of the account |
//! | `not_written` | the plan cannot be written to the PBX |
//! | `never_open` | the account is closed for all of the 35 days |
//! | `horizon_short` | the schedule has so many changes that it ends within two weeks |
//! | `override_without_end` | an override has no end and was set more than a day ago: it may have been forgotten |
//! | `plan_ends` | a plan at the PBX ends within seven days: no daemon has written it for weeks |
//! | `holidays_computed` | a year of the 35 days, or from March on the next year, has no table of the Cabinet Office: its holidays are computed by the law |
//! | `guidance_waiting` | guidance that somebody of the account recorded by telephone waits for an administrator: callers hear the one before |
//!
//! Invariant: pure; found by the compilation itself, so what is not found here is what the PBX gets.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::plan::{is_written, numbers_of, reached, reaches, with_variants};
use super::schedule::{HORIZON_DAYS, minute_of, timestamp};
use super::step::SHIPPED_SOUNDS;
use super::{Letter, PLANS_LEFT_DAYS_MIN, Rules, Schedule, SeenAtPbx, Variant, World};
use crate::contract::callflow::{CallflowFields, OfferedWhen, Override};
use crate::contract::guidance_draft::{GuidanceDraft, RecordedGuidance};
use crate::contract::holidays::HolidaySource;
use crate::contract::records::Account;
use crate::ids::RecordId;

/// An override without an end is reported when it is older than this.
const OVERRIDE_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// A queue without a member is reported when it has had none for this long.
const QUEUE_EMPTY_MIN: SignedDuration = SignedDuration::from_mins(30);
/// From which month on the table of the next year's holidays is missed.
const TABLE_MONTH: i8 = 3;
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
    /// The account is open, and its queue has no member.
    QueueEmpty,
    /// At a time in which people on call are to be reached, nobody is on call.
    OnCallEmpty,
    /// A sound that was uploaded is there no more, or the PBX has no file of a sound.
    SoundMissing,
    /// The announcement takes more than two seconds.
    AnnouncementLong,
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
    /// The plans at the PBX end within seven days.
    PlanEnds,
    /// A year's holidays are computed.
    HolidaysComputed,
    /// Guidance that somebody of the account recorded waits to be confirmed.
    GuidanceWaiting,
}

/// Everything that is found at `now`, by kind. `seen`: what is known of the PBX.
#[must_use]
pub fn findings(world: &World<'_>, seen: &SeenAtPbx, now: Timestamp) -> Vec<Finding> {
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
            of_callflow(callflow, (world, seen), &mut report);
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
        if let Some(callflow) = &source.callflow {
            of_time(source, callflow, &schedule, (world, seen), now, &mut report);
        }
        if schedule.horizon() < HORIZON_MIN {
            let until = timestamp(world.base + schedule.horizon());
            let detail = format!("its hours change so often that its schedule ends at {until:.0}");
            report(FindingKind::HorizonShort, detail);
        }
    }
    found.extend(world.overrides.iter().filter_map(|one| forgotten(one, world, now)));
    found.extend(plan_ends(seen, now));
    found.extend(shipped_sounds_missing(seen));
    found.extend(computed_years(world, now));
    found.sort_by_key(|finding| finding.kind);
    found
}

/// What a callflow names.
fn of_callflow(
    callflow: &CallflowFields,
    (world, seen): (&World<'_>, &SeenAtPbx),
    report: &mut impl FnMut(FindingKind, String),
) {
    let named = [Some(&callflow.queue), callflow.second_queue.as_ref()].into_iter().flatten();
    let is_known =
        |name: &String| seen.queues.as_ref().is_none_or(|all| all.iter().any(|one| one.as_str() == name));
    for queue in named.filter(|name| !is_known(name)) {
        let detail = format!("the PBX has no queue {queue}: its own dialplan treats these calls");
        report(FindingKind::QueueUnknown, detail);
    }
    for (field, name) in callflow.sounds().filter(|(_, name)| seen.sounds_missing.contains(*name)) {
        let detail =
            format!("{field} names {name}, and the PBX has no file of it: upload it, or name another sound");
        report(FindingKind::SoundMissing, detail);
    }
    if callflow.voice_message != OfferedWhen::Off && !world.takes_voice {
        let detail =
            "callers are not offered to leave a message: set voice.directory, and keep 1 GiB free there";
        report(FindingKind::VoiceNotReceived, detail.to_owned());
    }
}

/// What is wrong at a time of the schedule.
fn of_time(
    source: &super::Source,
    callflow: &CallflowFields,
    schedule: &Schedule,
    (world, seen): (&World<'_>, &SeenAtPbx),
    now: Timestamp,
    report: &mut impl FnMut(FindingKind, String),
) {
    let empty = seen.empty_since.iter().find(|(queue, _)| queue.as_str() == callflow.queue);
    let has_been_open = |since: Timestamp| {
        let at = |at: Timestamp| schedule.at(minute_of(at) - world.base);
        now.duration_since(since) >= QUEUE_EMPTY_MIN
            && [now.saturating_sub(QUEUE_EMPTY_MIN).unwrap_or(now), now]
                .iter()
                .all(|moment| at(*moment) == Some(Letter::Open))
    };
    if let Some((queue, since)) = empty.filter(|(_, since)| has_been_open(**since)) {
        let detail =
            format!("it is open, and its queue {queue} has had no member since {since:.0}: nobody is called");
        report(FindingKind::QueueEmpty, detail);
    }
    if !callflow.reaches_on_call() {
        return;
    }
    let variants = reached(source.account.id, Some(callflow), world);
    let schedule = with_variants(schedule, Some(callflow), &variants, world.base);
    let changes = schedule.changes();
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([schedule.horizon()]);
    let is_empty = |((_, (letter, list)), end): &(&(i64, Variant), i64)| {
        let nobody = variants.lists.get(usize::from(*list)).is_none_or(Vec::is_empty);
        *end > minute_of(now) - world.base && reaches(*letter, callflow) && nobody
    };
    if let Some(((at, _), _)) = changes.iter().zip(ends).find(is_empty) {
        let from = timestamp(world.base + at).max(now);
        let instead = if callflow.reach_numbers.is_empty() {
            "callers hear the guidance"
        } else {
            "only reach_numbers are called"
        };
        let detail = format!(
            "nobody is on call from {from:.0} on, and {instead}: put contacts with a number into the on-call list"
        );
        report(FindingKind::OnCallEmpty, detail);
    }
}

fn plan_ends(seen: &SeenAtPbx, now: Timestamp) -> Option<Finding> {
    let at = seen.plans_end_at?;
    let is_soon = at.duration_since(now) < SignedDuration::from_hours(24 * PLANS_LEFT_DAYS_MIN);
    is_soon.then(|| Finding {
        kind: FindingKind::PlanEnds,
        account: None,
        account_name: String::new(),
        detail: format!("a plan at the PBX ends at {at:.0}; from then on the account counts as open: see toritsugi callflow sync"),
    })
}

fn shipped_sounds_missing(seen: &SeenAtPbx) -> Option<Finding> {
    let missing: Vec<&str> =
        SHIPPED_SOUNDS.into_iter().filter(|name| seen.sounds_missing.contains(*name)).collect();
    (!missing.is_empty()).then(|| Finding {
        kind: FindingKind::SoundMissing,
        account: None,
        account_name: String::new(),
        detail: format!(
            "the PBX has no file of {}: copy asterisk-conf/sounds/toritsugi into its directory of sounds",
            missing.join(", ")
        ),
    })
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

fn computed_years(world: &World<'_>, now: Timestamp) -> Vec<Finding> {
    let year = |minute: i64| timestamp(minute).to_zoned(world.zone.clone()).year();
    // The Cabinet Office publishes the next year's in February.
    let today = now.to_zoned(world.zone.clone());
    let next = if today.month() >= TABLE_MONTH { today.year() + 1 } else { today.year() };
    let years = year(world.base)..=year(world.base + HORIZON_DAYS * 24 * 60).max(next);
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
    /// A recording that waits for an administrator; none of one that waits for a time.
    #[must_use]
    pub fn waiting(draft: &GuidanceDraft) -> Option<Self> {
        let at = draft.recorded_at;
        (draft.used_from == RecordedGuidance::Confirmed).then(|| Self {
            kind: FindingKind::GuidanceWaiting,
            account: Some(draft.account),
            account_name: draft.account_name.clone(),
            detail: format!(
                "guidance recorded by telephone at {at:.0} waits: hear it, then confirm or discard it (toritsugi callflow confirm)"
            ),
        })
    }

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
