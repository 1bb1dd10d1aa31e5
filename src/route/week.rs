//! The simulator over a week: who would get a message in each hour, for the table in which an administrator looks for holes.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::condition::MessageFacts;
use super::document::Document;
use super::plan::plan;
use super::text::sentence;
use super::world::World;
use crate::contract::message::Urgency;

/// Hours of a week.
const HOURS: u64 = 7 * 24;

/// Who would get messages in a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Week {
    /// The plans, each once.
    pub plans: Vec<WeekPlan>,
    /// The hours, one after the other.
    pub hours: Vec<WeekHour>,
}

/// Who gets a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeekPlan {
    /// In one Japanese sentence.
    pub text: String,
    /// Whether somebody of the account gets it.
    pub is_reached: bool,
}

/// An hour: the positions of its plans in [`Week::plans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WeekHour {
    /// When it begins.
    pub at: Timestamp,
    /// Of a normal message that names nobody.
    pub normal: usize,
    /// Of an urgent one.
    pub urgent: usize,
}

/// The week that begins with the day of `now` in the account's time zone. A plan may change within an hour: it is that of the hour's
/// beginning.
#[must_use]
pub fn week(documents: &[&Document], world: &World, now: Timestamp) -> Week {
    let zone = world.zone();
    let begin = midnight(now, &zone);
    let mut week = Week { plans: Vec::new(), hours: Vec::new() };
    for hour in 0..HOURS {
        let Ok(at) = begin.checked_add(Duration::from_secs(hour * 3_600)) else { break };
        let mut of = |urgency| {
            let facts = MessageFacts { urgency, ..MessageFacts::default() };
            let plan = plan(documents, &facts, world, at);
            let plan = WeekPlan { text: sentence(&plan, &zone), is_reached: plan.reaches_somebody() };
            week.plans.iter().position(|known| *known == plan).unwrap_or_else(|| {
                week.plans.push(plan);
                week.plans.len() - 1
            })
        };
        let (normal, urgent) = (of(Urgency::Normal), of(Urgency::Urgent));
        week.hours.push(WeekHour { at, normal, urgent });
    }
    week
}

fn midnight(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let date = now.to_zoned(zone.clone()).date();
    date.to_zoned(zone.clone()).map_or(now, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::{person, world};
    use super::*;

    #[test]
    fn a_week_has_each_hour_with_its_plan_and_its_holes() {
        let text = "format = 1\n[[route]]\nname = \"night\"\nwhen = { hours = \"closed\", urgency = \"urgent\" }\n\
            [[route.step]]\nto = [\"supervisors\"]\n[[route]]\nname = \"usual\"\n[[route.step]]\nto = [\"on-call\"]";
        let document = Document::read(text).unwrap();
        let world = world(vec![person(1)]);
        let week = week(&[&document], &world, "2026-11-30T15:00:00+09:00".parse().unwrap());
        assert_eq!(week.hours.len(), 168);
        assert_eq!(week.hours[0].at, "2026-11-30T00:00:00+09:00".parse().unwrap());
        let holes = |urgent: bool| -> Vec<usize> {
            let of = |hour: &WeekHour| if urgent { hour.urgent } else { hour.normal };
            let is_hole = |(_, hour): &(usize, &WeekHour)| !week.plans[of(hour)].is_reached;
            week.hours.iter().enumerate().filter(is_hole).map(|(index, _)| index).collect()
        };
        assert_eq!(holes(false), [0; 0]);
        // Monday from 9 to 18; the first of December is a day off.
        let open: Vec<usize> = (0..168)
            .filter(|hour| {
                let (day, hour) = (hour / 24, hour % 24);
                ![1, 5, 6].contains(&day) && (9..18).contains(&hour)
            })
            .collect();
        assert_eq!(holes(true), (0..168).filter(|hour| !open.contains(hour)).collect::<Vec<_>>());
        assert_eq!(week.plans.len(), 2, "{:?}", week.plans);
        assert_eq!(week.plans[0].text, "担当1様へメール");
    }
}
