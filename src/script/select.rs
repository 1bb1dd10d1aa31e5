//! Which script a call has.
//!
//! Of each script of the account, the newest version counts that is valid on the account's local day. A script that names
//! numbers is for calls to one of them, and goes before those that name none; of several, the one published last. Without
//! any, a call has the built-in script.
//!
//! Invariant: `explain`, the pop, the form, messages and `check` all use [`select`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use smol_str::SmolStr;

use super::model::Validity;
use crate::contract::holidays::HolidayCalendar;
use crate::contract::hours::Hours;

/// How many days ahead [`gaps`] looks.
const GAP_DAYS: usize = 14;
/// Most gaps that are named.
const GAPS_MAX: usize = 20;

/// What decides whether a live version is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The script.
    pub id: SmolStr,
    /// Its version.
    pub version: u32,
    /// The keys of the numbers for which it is used; empty: all.
    pub numbers: Vec<SmolStr>,
    /// The days on which it is used.
    pub valid: Validity,
    /// When it was published.
    pub published_at: Timestamp,
    /// Whether it has an opening of its own for the time in which the account is closed.
    pub has_closed_opening: bool,
}

/// The script of a call on `day` to one of `numbers` (keys of the dialled number and of the number that forwarded it).
#[must_use]
pub fn select<'a>(
    heads: impl IntoIterator<Item = &'a Head>,
    numbers: &[&str],
    day: Date,
) -> Option<&'a Head> {
    let mut newest: BTreeMap<&str, &Head> = BTreeMap::new();
    for head in heads.into_iter().filter(|head| head.valid.includes(day)) {
        let known = newest.entry(head.id.as_str()).or_insert(head);
        if known.version < head.version {
            *known = head;
        }
    }
    let named = |head: &Head| head.numbers.iter().any(|number| numbers.contains(&number.as_str()));
    newest
        .into_values()
        .filter(|head| head.numbers.is_empty() || named(head))
        .max_by_key(|head| (!head.numbers.is_empty(), head.published_at, &head.id))
}

/// A time at which a call has no script of its account, or says what it says when the account is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// When it begins, as `Saturday 2026-12-05 20:00`, in the account's time zone.
    pub from: String,
    /// The number, as a key; absent: all.
    pub number: Option<SmolStr>,
    /// The script and its version that has no opening for a closed account; absent: there is no script.
    pub unopened: Option<(SmolStr, u32)>,
}

/// The gaps of an account in the 14 days from `at`: of each kind and number the first. An account without scripts has none.
#[must_use]
pub fn gaps(
    heads: &[Head],
    numbers: &[SmolStr],
    hours: Option<&Hours>,
    (at, zone, calendar): (Timestamp, &TimeZone, &HolidayCalendar),
) -> Vec<Gap> {
    if heads.is_empty() {
        return Vec::new();
    }
    let zone_of = hours.map_or_else(|| zone.clone(), |hours| hours.zone(zone));
    let mut gaps: Vec<Gap> = Vec::new();
    let each: Vec<Option<&SmolStr>> =
        if numbers.is_empty() { vec![None] } else { numbers.iter().map(Some).collect() };
    let times = boundaries(hours);
    let mut day = at.to_zoned(zone_of.clone()).date();
    for _ in 0..GAP_DAYS {
        for time in &times {
            let local = day.to_datetime(*time);
            let Ok(moment) = local.to_zoned(zone_of.clone()) else { continue };
            let is_open = hours.is_none_or(|hours| hours.is_open(moment.timestamp(), zone, calendar));
            for number in &each {
                let keys: Vec<&str> = number.iter().map(|number| number.as_str()).collect();
                let unopened = match select(heads, &keys, day) {
                    Some(head) if is_open || head.has_closed_opening => continue,
                    Some(head) => Some((head.id.clone(), head.version)),
                    None => None,
                };
                let number = number.cloned();
                if gaps.len() < GAPS_MAX
                    && !gaps.iter().any(|gap| gap.number == number && gap.unopened == unopened)
                {
                    gaps.push(Gap {
                        from: local.strftime("%A %Y-%m-%d %H:%M").to_string(),
                        number,
                        unopened,
                    });
                }
            }
        }
        let Ok(next) = day.tomorrow() else { break };
        day = next;
    }
    gaps
}

/// The times of a day at which something may change.
fn boundaries(hours: Option<&Hours>) -> Vec<Time> {
    let mut times = vec![Time::midnight()];
    times.extend(hours.into_iter().flat_map(Hours::times));
    times.sort();
    times.dedup();
    times
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn head(
        id: &str,
        version: u32,
        numbers: &[&str],
        valid: (Option<&str>, Option<&str>),
        published: i64,
    ) -> Head {
        Head {
            id: id.into(),
            version,
            numbers: numbers.iter().map(SmolStr::new).collect(),
            valid: Validity { from: valid.0.map(day), until: valid.1.map(day) },
            published_at: Timestamp::from_second(published).unwrap(),
            has_closed_opening: true,
        }
    }

    const ALWAYS: (Option<&str>, Option<&str>) = (None, None);

    #[test]
    fn the_newest_version_that_is_valid_counts() {
        let heads = [
            head("usual", 1, &[], ALWAYS, 1),
            head("usual", 3, &[], (Some("2026-12-01"), None), 3),
            head("usual", 2, &[], (Some("2026-11-20"), Some("2026-11-25")), 2),
        ];
        let on = |text: &str| select(&heads, &[], day(text)).map(|head| head.version);
        assert_eq!(on("2026-11-19"), Some(1));
        assert_eq!(on("2026-11-25"), Some(2));
        assert_eq!(on("2026-11-26"), Some(1), "what is over leaves the one before it");
        assert_eq!(on("2026-12-01"), Some(3));
        assert_eq!(select(&[], &[], day("2026-12-01")), None);
    }

    #[test]
    fn a_script_of_a_number_goes_before_one_for_all() {
        let heads = [
            head("orders", 1, &["+81120111222"], ALWAYS, 1),
            head("usual", 1, &[], ALWAYS, 2),
            head("older", 9, &[], ALWAYS, 1),
        ];
        let of = |numbers: &[&str]| select(&heads, numbers, day("2026-12-01")).map(|head| head.id.as_str());
        assert_eq!(of(&["+81355501001", "+81120111222"]), Some("orders"));
        assert_eq!(of(&["+81355501001"]), Some("usual"), "the one published last");
        assert_eq!(of(&[]), Some("usual"));
        assert_eq!(select(&heads[..1], &["+81355501001"], day("2026-12-01")), None, "a number of its own");
    }

    #[test]
    fn gaps_name_the_first_time_of_each_kind() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let at = "2026-11-30T03:00:00Z".parse().unwrap();
        let hours = Hours::read("月-金 09:00-20:00; 土 09:00-12:00").unwrap();
        let number = SmolStr::new("+81355501001");
        let ends = head("usual", 1, &[], (None, Some("2026-12-04")), 1);
        let found = gaps(
            std::slice::from_ref(&ends),
            std::slice::from_ref(&number),
            hours.as_ref(),
            (at, &zone, &HolidayCalendar::default()),
        );
        let expected = Gap { from: "Saturday 2026-12-05 00:00".into(), number: Some(number), unopened: None };
        assert_eq!(found, [expected]);

        let unopened = Head { has_closed_opening: false, ..head("usual", 2, &[], ALWAYS, 1) };
        let found = gaps(
            std::slice::from_ref(&unopened),
            &[],
            hours.as_ref(),
            (at, &zone, &HolidayCalendar::default()),
        );
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].from.as_str(), &found[0].unopened),
            ("Monday 2026-11-30 00:00", &Some(("usual".into(), 2)))
        );
        assert_eq!(
            gaps(std::slice::from_ref(&unopened), &[], None, (at, &zone, &HolidayCalendar::default())),
            [],
            "it never closes"
        );
        assert_eq!(
            gaps(&[], &[], hours.as_ref(), (at, &zone, &HolidayCalendar::default())),
            [],
            "it has no scripts"
        );
    }

    proptest! {
        /// What is selected is valid and for the call, whatever the order of the versions.
        #[test]
        fn the_order_of_the_versions_does_not_matter(
            versions in proptest::collection::vec((0..3u8, 1..5u32, 0..3u8, 0..20i8, 0..20i8, 0..4i64), 0..12),
            number in 0..3u8, offset in 0..25i8,
        ) {
            let start = day("2026-12-01");
            let on = |days: i8| start.checked_add(jiff::Span::new().days(days)).unwrap();
            let mut heads: Vec<Head> = Vec::new();
            for (id, version, of, from, length, published) in versions {
                let id = SmolStr::new(["a", "b", "c"][usize::from(id)]);
                if heads.iter().any(|head| head.id == id && head.version == version) {
                    continue;
                }
                let numbers = if of == 0 { Vec::new() } else { vec![SmolStr::new(of.to_string())] };
                let valid = Validity { from: Some(on(from)), until: Some(on(from.saturating_add(length))) };
                let published_at = Timestamp::from_second(published).unwrap();
                heads.push(Head { id, version, numbers, valid, published_at, has_closed_opening: true });
            }
            let called = number.to_string();
            let chosen = select(&heads, &[&called], on(offset)).cloned();
            if let Some(head) = &chosen {
                prop_assert!(head.valid.includes(on(offset)));
                prop_assert!(head.numbers.is_empty() || head.numbers.contains(&SmolStr::new(&called)));
            }
            heads.reverse();
            prop_assert_eq!(select(&heads, &[&called], on(offset)).cloned(), chosen);
        }
    }
}
