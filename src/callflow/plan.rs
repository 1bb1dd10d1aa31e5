//! The plan: all accounts to the keys that the PBX must have.
//!
//! Invariant: a pure function of the records and of the base. A key or value that the dialplan would not write unchanged is
//! left out with what depends on it: its calls are then treated by the PBX's own dialplan, and no caller is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use sha2::{Digest, Sha256};

use super::on_call::Variants;
use super::schedule::{HORIZON_DAYS, minute_of, variant_text};
use super::{Entries, Key, Letter, OnCall, Rules, Schedule, Step, Value, Variant, steps_of};
use crate::contract::callflow::{CallflowFields, Override};
use crate::contract::holidays::HolidayCalendar;
use crate::contract::hours::Hours;
use crate::contract::records::Account;
use crate::ids::RecordId;
use crate::numbers::{Number, NumberPlan};

/// The plan of numbers without one of their own.
const DEFAULT_PLAN: &str = "default";
/// When a day's schedules begin, in the installation's time zone.
const DAY_BEGINS: Time = Time::constant(3, 0, 0, 0);
/// Hexadecimal digits of a digest.
const DIGEST_CHARS: usize = 16;

/// An account and its callflow.
#[derive(Debug, Clone)]
pub struct Source {
    /// The account.
    pub account: Arc<Account>,
    /// Its callflow, if it has one.
    pub callflow: Option<CallflowFields>,
}

/// What is compiled.
#[derive(Debug, Clone)]
pub struct World<'a> {
    /// Every account with a callflow, an override or rules about callers; others are ignored.
    pub sources: &'a [Source],
    /// The overrides that have not ended.
    pub overrides: &'a [Override],
    /// National holidays and the installation's days off.
    pub calendar: &'a HolidayCalendar,
    /// The installation's time zone.
    pub zone: &'a TimeZone,
    /// The number plan.
    pub plan: &'a NumberPlan,
    /// From when on, in minutes since 1970; see [`base_of`].
    pub base: i64,
    /// Recordings of callers reach their accounts.
    pub takes_voice: bool,
    /// The accounts that have rules about callers.
    pub ruled: &'a BTreeSet<RecordId>,
    /// The contacts of the accounts whose callflows reach who is on call.
    pub on_call: &'a HashMap<RecordId, OnCall>,
}

/// The base of the schedules that are compiled at `now`: the last three o'clock in the morning. It changes once a day, so
/// that a compilation changes no key without a reason.
#[must_use]
pub fn base_of(now: Timestamp, zone: &TimeZone) -> i64 {
    let local = now.to_zoned(zone.clone()).datetime();
    let today = local.time() >= DAY_BEGINS;
    let day = if today { local.date() } else { local.date().saturating_sub(1.days()) };
    let at = zone.to_ambiguous_timestamp(day.to_datetime(DAY_BEGINS)).compatible();
    minute_of(at.unwrap_or(now).min(now))
}

/// The keys of all plans.
#[must_use]
pub fn compile(world: &World<'_>) -> Entries {
    let of_service: Vec<Override> =
        world.overrides.iter().filter(|one| one.account.is_none()).cloned().collect();
    let mut compiled =
        Compiled { world, of_service: &of_service, entries: Entries::new(), schedules: HashMap::new() };
    let mut taken = Numbers::default();
    for source in world.sources {
        let id = source.account.id;
        let own: Vec<Override> =
            world.overrides.iter().filter(|one| one.account == Some(id)).cloned().collect();
        if source.callflow.is_none() && own.is_empty() && !world.ruled.contains(&id) {
            continue;
        }
        let name = id.0.simple().to_string();
        if compiled.plan(&name, id, source, &own) {
            taken.add(source, &name, world.plan);
        }
    }
    if !of_service.is_empty() {
        compiled.default_plan();
    }
    let Compiled { mut entries, .. } = compiled;
    taken.write(&mut entries);
    entries
}

struct Compiled<'a> {
    world: &'a World<'a>,
    of_service: &'a [Override],
    entries: Entries,
    /// The schedules of accounts that differ in nothing that a schedule depends on.
    schedules: HashMap<String, Schedule>,
}

impl Compiled<'_> {
    /// Writes the plan of an account; false if it cannot be written.
    fn plan(&mut self, name: &str, id: RecordId, source: &Source, own: &[Override]) -> bool {
        let fields = source.callflow.as_ref();
        // Without a callflow, the hours stay what a pop shows.
        let hours = fields.and(source.account.fields.hours.as_ref());
        let schedule = self.schedule(hours, own);
        let variants = reached(id, fields, self.world);
        let schedule = with_variants(&schedule, fields, &variants, self.world.base);
        let hint = match fields {
            Some(fields) if fields.announce_caller => "|h",
            _ if self.world.ruled.contains(&id) => "|r",
            _ => "",
        };
        let takes_voice = self.world.takes_voice;
        let steps: Vec<_> =
            variants.lists.iter().map(|list| steps_of(id, fields, takes_voice, list)).collect();
        self.write(name, &schedule, &steps, hint)
    }

    fn default_plan(&mut self) {
        let schedule = self.schedule(None, &[]);
        let nobody = RecordId(uuid::Uuid::nil());
        self.write(DEFAULT_PLAN, &schedule, &[steps_of(nobody, None, false, &[])], "");
    }

    fn schedule(&mut self, hours: Option<&Hours>, own: &[Override]) -> Schedule {
        let World { zone, calendar, base, .. } = *self.world;
        let rules = Rules { hours, zone, calendar, of_service: self.of_service, of_account: own };
        if !own.is_empty() {
            return rules.schedule(base);
        }
        let same = serde_json::to_string(&hours).unwrap_or_default();
        self.schedules.entry(same).or_insert_with(|| rules.schedule(base)).clone()
    }

    /// `steps`: those with each list of people on call.
    fn write(
        &mut self,
        name: &str,
        schedule: &Schedule,
        steps: &[BTreeMap<Letter, Vec<Step>>],
        hint: &str,
    ) -> bool {
        let text = |(letter, list): Variant| {
            let steps = steps.get(usize::from(list)).and_then(|steps| steps.get(&letter));
            let steps = steps.map(Vec::as_slice).unwrap_or_default();
            steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")
        };
        // At the horizon, the account counts as open.
        let variants: BTreeSet<Variant> =
            schedule.variants().into_iter().chain([(Letter::Open, 0)]).collect();
        let treatments: Vec<(Variant, String)> =
            variants.into_iter().map(|variant| (variant, text(variant))).collect();
        let times = schedule.text();
        let of_steps = digest(treatments.iter().flat_map(|(_, text)| [text.as_str(), "\n"]));
        let of_times = digest([times.as_str()]);
        let plan = format!("{of_steps}|{of_times}|{}{hint}", self.world.base);
        let mut wanted = vec![(format!("times/{of_times}"), times), (format!("plan/{name}"), plan)];
        for (variant, text) in treatments {
            wanted.push((format!("do/{name}/{of_steps}/{}", variant_text(variant)), text));
        }
        let written: Option<Vec<(Key, Value)>> =
            wanted.iter().map(|(key, value)| Some((Key::new(key)?, Value::new(value)?))).collect();
        let Some(written) = written else { return false };
        self.entries.extend(written);
        true
    }
}

/// The lists of people on call that the callflow of an account reaches; one, and empty, where it reaches none.
pub(super) fn reached(id: RecordId, fields: Option<&CallflowFields>, world: &World<'_>) -> Variants {
    let on_call = fields.filter(|fields| fields.reaches_on_call()).and_then(|_| world.on_call.get(&id));
    let nobody = || Variants { lists: vec![Vec::new()], changes: Vec::new() };
    on_call.map_or_else(nobody, |on_call| on_call.variants(world.base, world.base + HORIZON_DAYS * 24 * 60))
}

/// The schedule with these lists of people on call.
pub(super) fn with_variants(
    schedule: &Schedule,
    fields: Option<&CallflowFields>,
    variants: &Variants,
    base: i64,
) -> Schedule {
    let Some(fields) = fields.filter(|_| !variants.changes.is_empty()) else { return schedule.clone() };
    let lists: Vec<(i64, u8)> = variants.changes.iter().map(|(at, list)| (at - base, *list)).collect();
    schedule.with_lists(&lists, |letter| reaches(letter, fields))
}

/// Whether a treatment has the step `reach`.
pub(super) fn reaches(letter: Letter, fields: &CallflowFields) -> bool {
    if letter == Letter::Open { fields.reach.in_overflow() } else { fields.reach.in_closed() }
}

/// The numbers of an account as keys: `dialled/0355501001`.
pub(super) fn numbers_of(source: &Source, numbers: &NumberPlan) -> BTreeSet<String> {
    let fields = &source.account.fields;
    let keys = |tree: &'static str, list: &[String]| -> Vec<String> {
        let read = list.iter().filter_map(|text| Number::read(text, numbers));
        read.map(|number| format!("{tree}/{}", number.dial_string(numbers))).collect()
    };
    let (forwarding, dialled) = (keys("forwarding", &fields.forwarding), keys("dialled", &fields.dialled));
    forwarding.into_iter().chain(dialled).collect()
}

/// Whether the plan of an account can be written.
pub(super) fn is_written(source: &Source, world: &World<'_>) -> bool {
    let one = World { sources: std::slice::from_ref(source), overrides: &[], ..world.clone() };
    source.callflow.is_none() || !compile(&one).is_empty()
}

/// Which plan each number has. A number of two accounts has none.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<Key, Option<String>>);

impl Numbers {
    fn add(&mut self, source: &Source, plan: &str, numbers: &NumberPlan) {
        for number in numbers_of(source, numbers) {
            let Some(key) = Key::new(&number) else { continue };
            let entry = self.0.entry(key).or_insert_with(|| Some(plan.to_owned()));
            if entry.as_deref() != Some(plan) {
                *entry = None;
            }
        }
    }

    fn write(self, entries: &mut Entries) {
        let plans = self.0.into_iter().filter_map(|(key, plan)| Some((key, Value::new(&plan?)?)));
        entries.extend(plans);
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    let bytes = hasher.finalize();
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .take(DIGEST_CHARS)
        .collect()
}
