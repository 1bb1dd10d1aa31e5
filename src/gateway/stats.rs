//! Figures (統計): counters and formulas by account, operator, team, queue, hour, day or month ([`crate::stats`]).
//!
//! | reader | sees |
//! |---|---|
//! | operator | the own work |
//! | supervisor | the work of the people of the team; the totals of all accounts, queues and times |
//! | administrator, system | all |
//!
//! With `operator` or `team`, and by operator or team, a row adds up people's **work**: their parts, talk, hold, wrap-up and
//! transfers, and the calls that they had. Otherwise it adds up **calls**. A formula whose counters a row does not have is no
//! figure. For up to 35 days, the times of people's states are added from their own history, so that there is a figure of
//! occupancy and utilisation, unless one account is asked for.
//!
//! Invariant: a figure is never without its formula, and never complete where a PBX was not followed: `missing` says when.
//!
//! Read next: `stats_calls.rs` (the calls behind a figure), `stats_file.rs` (the same as a file).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::customers::account_id;
use super::extract::{QueryParams, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{StatsBy, StatsQuery};
use super::state::AppState;
use crate::contract::operator::State as OperatorState;
use crate::ids::{Extension, RecordId};
use crate::people::role::{Permission, Role};
use crate::stats::{
    BIN_MS, Counters, FORMULAS, Formula, RULES_VERSION, Unit, WITHIN_DEFAULT_S, WITHIN_S, start_of_bin,
};
use crate::store::stats::{StatsOf, StatsRow};

/// Longest time of which figures are read, in days.
const DAYS_MAX: i64 = 400;
/// Longest time by account where no account is named: each account has a row for each quarter of an hour with a call.
const DAYS_BY_ACCOUNT_MAX: i64 = 100;
/// Longest time by hour.
const DAYS_BY_HOUR_MAX: i64 = 35;
/// Longest time for which the states of people are read.
const DAYS_OF_STATES_MAX: i64 = 35;
const DAY_MS: i64 = 86_400_000;

/// Figures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct StatsView {
    /// What each row is about.
    pub(super) by: StatsBy,
    /// The beginning of the time.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub(super) from: Timestamp,
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub(super) to: Timestamp,
    /// The time zone of hours, days and months.
    time_zone: String,
    /// The limit T of the formulas, in seconds.
    within_s: u32,
    /// The version of the rules by which calls are counted.
    rules: i64,
    /// Whether every PBX was followed all the time.
    pub(super) complete: bool,
    /// When one was not: what happened then is in no counter.
    missing: Vec<Missing>,
    /// Quarters of an hour that are being counted; a second later they are.
    pending: u64,
    /// The formulas of the figures, in the order in which they are shown.
    pub(super) formulas: Vec<FormulaView>,
    /// The rows: times in their order, others by name.
    pub(super) rows: Vec<StatsRowView>,
    /// The sum of the rows. By operator or team, a call that two people had is in it twice.
    pub(super) total: StatsRowView,
}

/// A time in which a PBX was not followed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Missing {
    /// Its beginning.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    from: Timestamp,
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    until: Timestamp,
}

/// A formula.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Formula)]
pub(crate) struct FormulaView {
    /// Its id, for instance `AR-open`.
    pub(super) id: &'static str,
    /// Its version. What it computes never changes under the same version.
    version: u32,
    /// Its name in Japanese.
    pub(super) name_ja: &'static str,
    /// Its name in English.
    pub(super) name_en: &'static str,
    /// The arithmetic, in the names of the counters.
    pub(super) formula: String,
    /// What its figures are.
    pub(super) unit: Unit,
    /// What a reader must know before using it, in Japanese.
    #[serde(skip_serializing_if = "Option::is_none")]
    note_ja: Option<&'static str>,
    /// The same in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    note_en: Option<&'static str>,
}

impl Missing {
    /// This time, in milliseconds since 1970.
    pub(super) fn of((from, until): &(i64, i64)) -> Self {
        Self { from: time(*from), until: time(*until) }
    }
}

/// The figures of one account, operator, team, queue or time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsRow)]
pub(crate) struct StatsRowView {
    /// The id of the account, operator or team, the name of the queue, or the beginning of the time; absent where the records
    /// do not tell, and in the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// The name of the account, operator or team; absent if it is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// The beginning of the row's time.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub(super) from: Timestamp,
    /// Its end. With `from`, the row's key and a counter, `/v1/stats/calls` lists the calls behind it.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub(super) to: Timestamp,
    /// Whether every PBX was followed in the row's time.
    pub(super) complete: bool,
    /// The counters. One that is zero is left out.
    pub(super) counters: Counters,
    /// The figures by the id of their formula; `null` where the denominator is zero.
    pub(super) figures: BTreeMap<&'static str, Option<f64>>,
}

/// Whose work is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum People {
    /// Calls, not work.
    NotAsked,
    /// Everybody's, also of people who are not known.
    Everybody,
    /// That of these.
    These(BTreeSet<RecordId>),
}

/// By what a row is grouped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Time(i64),
    Id(Option<RecordId>),
    Queue(String),
}

/// Reads figures.
#[utoipa::path(get, path = "/v1/stats", tag = "stats", params(StatsQuery), responses(
    (status = 200, description = "The figures, each with its formula", body = StatsView),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such operator or team, or you may not see its work", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<StatsQuery>,
) -> Result<Json<StatsView>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    Ok(Json(figures(&state, &caller, &query).await?))
}

/// The figures that a question asks for.
pub(super) async fn figures(
    state: &AppState,
    caller: &Caller,
    query: &StatsQuery,
) -> Result<StatsView, Problem> {
    let account = account_id(query.account.as_deref())?;
    let zone = state.app.directory.time_zone();
    let (from, to) = time_of(query, account, zone)?;
    let (formulas, within_s) = formulas_of(query)?;
    let (people, of) = source_of(state, caller, query, account)?;
    let roster = state.app.people.current();
    let team_of = |person: Option<RecordId>| person.and_then(|id| roster.person(id)?.team);
    let is_asked = |row: &StatsRow| match &people {
        People::NotAsked | People::Everybody => true,
        People::These(people) => row.person.is_some_and(|person| people.contains(&person)),
    };
    let group = |row: &StatsRow| {
        is_asked(row).then(|| match query.by {
            StatsBy::Account => Key::Id(row.account),
            StatsBy::Operator => Key::Id(row.person),
            StatsBy::Team => Key::Id(team_of(row.person)),
            StatsBy::Queue => Key::Queue(row.queue.clone().unwrap_or_default()),
            StatsBy::Hour | StatsBy::Day | StatsBy::Month => {
                Key::Time(start_of(query.by, row.bin_ms, zone).max(from))
            }
        })
    };
    // The state first: a bin that is rebuilt between the two is then still said to be pending.
    let found = state.app.store.stats_state(from, to, state.app.clock.now()).await?;
    let mut groups = state.app.store.stats(of, from, to, group).await?;
    for period in periods(query.by, from, to, zone) {
        groups.entry(Key::Time(period)).or_default();
    }
    if account.is_none() && people != People::NotAsked && to - from <= DAYS_OF_STATES_MAX * DAY_MS {
        add_states(state, &people, query.by, (from, to), &mut groups).await?;
    }
    let mut total = Counters::default();
    groups.values().for_each(|counters| total.add(counters));
    let view = Figures {
        state,
        by: query.by,
        from,
        to,
        zone,
        missing: &found.missing,
        formulas: &formulas,
        within_s,
    };
    let mut rows: Vec<StatsRowView> =
        groups.into_iter().map(|(key, counters)| view.row(Some(key), counters)).collect();
    if !matches!(query.by, StatsBy::Hour | StatsBy::Day | StatsBy::Month) {
        // What has no name comes last.
        rows.sort_by(|a, b| (a.name.is_none(), &a.name, &a.key).cmp(&(b.name.is_none(), &b.name, &b.key)));
    }
    let total = view.row(None, total);
    Ok(StatsView {
        by: query.by,
        from: time(from),
        to: time(to),
        time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        within_s,
        rules: RULES_VERSION,
        complete: found.missing.is_empty(),
        missing: found.missing.iter().map(Missing::of).collect(),
        pending: found.pending,
        formulas: formulas.iter().map(|formula| formula_view(formula, within_s)).collect(),
        rows,
        total,
    })
}

/// Adds how long people were in which state, from their own history.
async fn add_states(
    state: &AppState,
    people: &People,
    by: StatsBy,
    (from, to): (i64, i64),
    groups: &mut BTreeMap<Key, Counters>,
) -> Result<(), Problem> {
    let roster = state.app.people.current();
    let until = to.min(state.app.clock.now().as_millisecond());
    let of_these: Vec<RecordId> = match people {
        People::NotAsked => return Ok(()),
        People::Everybody => roster.everybody().map(|person| person.id).collect(),
        People::These(these) => these.iter().copied().collect(),
    };
    let zone = state.app.directory.time_zone();
    let periods = periods(by, from, to, zone);
    for person in of_these {
        let team = roster.person(person).and_then(|person| person.team);
        for (of, begins, ends) in state.app.store.state_spans(person, (from, until)).await? {
            let mut at = begins;
            while at < ends {
                let (key, next) = match by {
                    StatsBy::Operator => (Key::Id(Some(person)), ends),
                    StatsBy::Team => (Key::Id(team), ends),
                    // No row of people's work is about an account or a queue.
                    StatsBy::Account | StatsBy::Queue => break,
                    StatsBy::Hour | StatsBy::Day | StatsBy::Month => {
                        let n = periods.partition_point(|period| *period <= at);
                        let begin = n.checked_sub(1).map_or(from, |n| periods[n]);
                        (Key::Time(begin), periods.get(n).map_or(ends, |next| ends.min(*next)))
                    }
                };
                let ms = u64::try_from(next - at).unwrap_or(0);
                if ms > 0 && of != OperatorState::LoggedOut {
                    groups.entry(key).or_default().add_state(of, ms);
                }
                at = next.max(at + 1);
            }
        }
    }
    Ok(())
}

/// Whose work is asked for, and from which counters the answer comes.
fn source_of(
    state: &AppState,
    caller: &Caller,
    query: &StatsQuery,
    account: Option<RecordId>,
) -> Result<(People, StatsOf), Problem> {
    let mut people = people_of(state, caller, query.operator.as_deref(), query.team.as_deref())?;
    if matches!(query.by, StatsBy::Operator | StatsBy::Team) && people == People::NotAsked {
        people = visible_work(caller);
    }
    if query.by == StatsBy::Queue && (people != People::NotAsked || account.is_some()) {
        return Err(Kind::InvalidQuery.with(
            "by=queue: counts calls of all accounts, for supervisors; leave out account, operator and team",
        ));
    }
    let of = match (&people, query.by, account) {
        (People::NotAsked, StatsBy::Queue, _) => StatsOf::Queues,
        (People::NotAsked, _, Some(_)) | (People::NotAsked, StatsBy::Account, None) => {
            StatsOf::Accounts(account)
        }
        (People::NotAsked, ..) => StatsOf::Total,
        (People::These(these), _, None) if these.len() == 1 => {
            these.first().map_or(StatsOf::Operators(None), |only| StatsOf::Person(*only))
        }
        (People::Everybody | People::These(_), ..) => StatsOf::Operators(account),
    };
    Ok((people, of))
}

/// What the rows of an answer have in common.
struct Figures<'a> {
    state: &'a AppState,
    by: StatsBy,
    from: i64,
    to: i64,
    zone: &'a TimeZone,
    missing: &'a [(i64, i64)],
    formulas: &'a [&'static Formula],
    within_s: u32,
}

impl Figures<'_> {
    fn row(&self, key: Option<Key>, counters: Counters) -> StatsRowView {
        let (from, to) = match &key {
            Some(Key::Time(from)) => (*from, end_of(self.by, *from, self.zone).min(self.to)),
            _ => (self.from, self.to),
        };
        let (key, name) = match key {
            None | Some(Key::Id(None)) => (None, None),
            Some(Key::Id(Some(id))) => (Some(id.to_string()), self.name_of(id)),
            Some(Key::Queue(queue)) => (Some(queue.clone()), Some(queue)),
            Some(Key::Time(from)) => (Some(crate::contract::time::time(time(from))), None),
        };
        let figure = |formula: &&'static Formula| {
            let figure = formula.figure(&counters, self.within_s);
            (figure.id, figure.value)
        };
        StatsRowView {
            key,
            name,
            from: time(from),
            to: time(to),
            complete: !self.missing.iter().any(|(begins, ends)| *begins < to && *ends > from),
            figures: self.formulas.iter().map(figure).collect(),
            counters,
        }
    }

    fn name_of(&self, id: RecordId) -> Option<String> {
        let people = self.state.app.people.current();
        match self.by {
            StatsBy::Account => {
                self.state.app.directory.account(id).map(|account| account.fields.name.clone())
            }
            StatsBy::Operator => people.person(id).map(|person| person.name.clone()),
            StatsBy::Team => people.team(id).map(|team| team.name.clone()),
            StatsBy::Queue | StatsBy::Hour | StatsBy::Day | StatsBy::Month => None,
        }
    }
}

pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

fn formula_view(formula: &Formula, within_s: u32) -> FormulaView {
    FormulaView {
        id: formula.id,
        version: formula.version,
        name_ja: formula.ja,
        name_en: formula.en,
        formula: formula.text(within_s),
        unit: formula.unit,
        note_ja: formula.note.map(|note| note.0),
        note_en: formula.note.map(|note| note.1),
    }
}

/// The time that is asked for, in milliseconds since 1970.
fn time_of(query: &StatsQuery, account: Option<RecordId>, zone: &TimeZone) -> Result<(i64, i64), Problem> {
    let (begins, ends) = (query.from.at(zone), query.to.at(zone));
    let (from, to) = (begins.as_millisecond(), ends.as_millisecond());
    for (name, ms, at) in [("from", from, begins), ("to", to, ends)] {
        if ms != start_of_bin(ms) || at != time(ms) {
            return Err(Kind::InvalidQuery.with(format!(
                "{name}: must be a day, or a full quarter of an hour, for instance 2026-04-01T00:00:00+09:00"
            )));
        }
    }
    let days_max = match query.by {
        StatsBy::Hour => DAYS_BY_HOUR_MAX,
        StatsBy::Account if account.is_none() => DAYS_BY_ACCOUNT_MAX,
        _ => DAYS_MAX,
    };
    if from >= to {
        return Err(Kind::InvalidQuery.with("to: must be later than from"));
    }
    if to.saturating_sub(from) > days_max * DAY_MS {
        return Err(
            Kind::InvalidQuery.with(format!("to: at most {days_max} days after from, for these rows"))
        );
    }
    Ok((from, to))
}

fn formulas_of(query: &StatsQuery) -> Result<(Vec<&'static Formula>, u32), Problem> {
    let within_s = query.within.unwrap_or(WITHIN_DEFAULT_S);
    if !WITHIN_S.contains(&within_s) {
        return Err(Kind::InvalidQuery.with("within: must be 5, 10, 15, 20, 30, 60 or 120"));
    }
    let Some(asked) = &query.formula else { return Ok((FORMULAS.iter().collect(), within_s)) };
    let formula = |id: &str| {
        let ids = || FORMULAS.iter().map(|formula| formula.id).collect::<Vec<_>>().join(", ");
        Formula::with_id(id.trim())
            .ok_or_else(|| Kind::InvalidQuery.with(format!("formula: one or several of {}", ids())))
    };
    Ok((asked.split(',').map(formula).collect::<Result<_, _>>()?, within_s))
}

/// Whose work the request asks for, as far as the caller may see it.
pub(super) fn people_of(
    state: &AppState,
    caller: &Caller,
    operator: Option<&str>,
    team: Option<&str>,
) -> Result<People, Problem> {
    let roster = state.app.people.current();
    let mut people = match operator {
        Some(text) => {
            let named = record_id(text).or_else(|| {
                Extension::parse(text).ok().and_then(|extension| Some(roster.at(&extension)?.id))
            });
            let seen = named.filter(|id| caller.viewer.sees_person(*id));
            let id = seen.ok_or_else(|| Kind::UnknownRecord.with("there is no such operator"))?;
            People::These(BTreeSet::from([id]))
        }
        None if caller.viewer.role() == Role::Operator => visible_work(caller),
        None => People::NotAsked,
    };
    if let Some(text) = team {
        let id = record_id(text).ok_or_else(|| Kind::InvalidQuery.with("team: must be the id of a team"))?;
        let of_team = roster.everybody().filter(|person| person.team == Some(id)).map(|person| person.id);
        let of_team: BTreeSet<RecordId> = of_team.filter(|id| caller.viewer.sees_person(*id)).collect();
        if of_team.is_empty() {
            return Err(Kind::UnknownRecord.with("there is no such team"));
        }
        people = match people {
            People::These(these) => People::These(these.intersection(&of_team).copied().collect()),
            People::NotAsked | People::Everybody => People::These(of_team),
        };
    }
    Ok(people)
}

/// All work that the caller may see.
fn visible_work(caller: &Caller) -> People {
    if caller.viewer.is_unrestricted() {
        People::Everybody
    } else {
        People::These(caller.viewer.visible_people().collect())
    }
}

fn zoned(ms: i64, zone: &TimeZone) -> Zoned {
    time(ms).to_zoned(zone.clone())
}

/// The beginning of the hour, day or month of this time.
fn start_of(by: StatsBy, ms: i64, zone: &TimeZone) -> i64 {
    let at = zoned(ms, zone);
    let start = match by {
        StatsBy::Month => at.first_of_month().and_then(|first| first.start_of_day()),
        StatsBy::Day => at.start_of_day(),
        _ => {
            let into = i64::from(at.minute()) * 60_000 + i64::from(at.second()) * 1_000;
            return ms - into - ms.rem_euclid(1_000);
        }
    };
    start.map_or(ms, |start| start.timestamp().as_millisecond())
}

/// The end of the hour, day or month of this time.
fn end_of(by: StatsBy, ms: i64, zone: &TimeZone) -> i64 {
    let step = match by {
        StatsBy::Month => Span::new().months(1),
        StatsBy::Day => Span::new().days(1),
        _ => return start_of(by, ms, zone) + 3_600_000,
    };
    let start = zoned(start_of(by, ms, zone), zone);
    let next = start.checked_add(step).map(|next| next.timestamp().as_millisecond());
    // A zone whose day begins later than midnight.
    next.map_or(ms + BIN_MS, |next| start_of(by, next, zone).max(start_of_bin(ms) + BIN_MS))
}

/// The beginnings of all rows of a time, also of those without a call.
fn periods(by: StatsBy, from: i64, to: i64, zone: &TimeZone) -> Vec<i64> {
    let mut periods = Vec::new();
    if matches!(by, StatsBy::Hour | StatsBy::Day | StatsBy::Month) {
        let mut at = from;
        while at < to {
            periods.push(at);
            at = end_of(by, at, zone);
        }
    }
    periods
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn days_and_months_begin_at_midnight_of_the_zone() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let at = ms("2026-03-31T23:59:59.999+09:00");
        assert_eq!(start_of(StatsBy::Day, at, &tokyo), ms("2026-03-31T00:00:00+09:00"));
        assert_eq!(start_of(StatsBy::Month, at, &tokyo), ms("2026-03-01T00:00:00+09:00"));
        assert_eq!(end_of(StatsBy::Month, at, &tokyo), ms("2026-04-01T00:00:00+09:00"));
        assert_eq!(start_of(StatsBy::Hour, at, &tokyo), ms("2026-03-31T23:00:00+09:00"));
        let february =
            periods(StatsBy::Day, ms("2028-02-01T00:00:00+09:00"), ms("2028-03-01T00:00:00+09:00"), &tokyo);
        assert_eq!(february.len(), 29);
    }

    /// A day of 23 and one of 25 hours, and a zone whose hours begin at a half of ours.
    #[test]
    fn zones_with_summer_time_and_halves_of_hours_have_all_their_hours() {
        let new_york = TimeZone::get("America/New_York").unwrap();
        for (day, next, hours) in [("2026-03-08", "2026-03-09", 23), ("2026-11-01", "2026-11-02", 25)] {
            let bounds = |day: &str| {
                let date: jiff::civil::Date = day.parse().unwrap();
                date.to_zoned(new_york.clone()).unwrap().timestamp().as_millisecond()
            };
            let (from, to) = (bounds(day), bounds(next));
            assert_eq!(periods(StatsBy::Hour, from, to, &new_york).len(), hours, "{day}");
            assert_eq!(periods(StatsBy::Day, from, to, &new_york), [from], "{day}");
        }
        let kathmandu = TimeZone::get("Asia/Kathmandu").unwrap();
        let from = ms("2026-04-01T00:00:00+05:45");
        assert_eq!(start_of(StatsBy::Hour, from + 1_800_000, &kathmandu), from);
        assert_eq!(start_of_bin(from), from);
    }
}
