//! Who is on call at each minute, and what was seen of the PBX.

use super::*;
use crate::contract::records::{Contact, ContactFields, OnCallShift};

/// A contact with a place in the on-call list, or shifts in minutes since the base.
pub(super) fn contact(
    n: u128,
    number: &str,
    order: Option<u32>,
    shifts: &[(i64, i64)],
    base: i64,
) -> Contact {
    let moment = |minute: i64| Timestamp::from_second((base + minute) * 60).unwrap();
    let mut fields = ContactFields::named(RecordId(Uuid::from_u128(SAKURA)), "当番");
    (fields.number, fields.on_call_order) = (Some(number.into()), order);
    fields.on_call_shifts = shifts
        .iter()
        .map(|(from, until)| OnCallShift { from: moment(*from), until: moment(*until) })
        .collect();
    let at = Timestamp::UNIX_EPOCH;
    Contact { id: RecordId(Uuid::from_u128(n)), fields, presence: None, created_at: at, changed_at: at }
}

#[test]
fn who_is_on_call_at_each_minute_is_in_the_plan_and_a_time_without_anybody_is_found() {
    let (zone, plan, calendar) = (tokyo(), NumberPlan::default(), HolidayCalendar::default());
    let now = at("2026-11-20T10:00:00+09:00");
    let base = base_of(now, &zone);
    let fields = CallflowFields {
        reach: OfferedWhen::Closed,
        reach_on_call: true,
        reach_numbers: vec!["1003".into()],
        reach_s: 20,
        ..CallflowFields::default()
    };
    let own = account(SAKURA, "月-金 09:00-18:00", &["0355501001"], &[]);
    let contacts = |listed: Option<u32>| {
        let day = 24 * 60;
        let mut slow = contact(2, "09033334444", None, &[(16 * 60, day)], base);
        slow.fields.ring_s = Some(40);
        let all = vec![contact(1, "09011112222", listed, &[], base), slow];
        std::collections::HashMap::from([(own.id, OnCall::of(&own, all, &plan))])
    };
    let sources = [Source { account: Arc::clone(&own), callflow: Some(fields) }];
    let listed = contacts(Some(1));
    let world = World {
        sources: &sources,
        overrides: &[],
        calendar: &calendar,
        zone: &zone,
        plan: &plan,
        base,
        takes_voice: true,
        ruled: &UNRULED,
        on_call: &listed,
    };
    let entries = compile(&world);
    let reached = |moment: &str| {
        let (letter, steps) = walk(&entries, "", "0355501001", at(moment)).unwrap();
        (letter, steps[0].clone())
    };
    let list = "reach 09011112222/20/1-1003/20/1".to_owned();
    // The base is at three o'clock: the shift begins at 19:00.
    assert_eq!(reached("2026-11-20T18:59:59+09:00"), ('c', list.clone()));
    assert_eq!(reached("2026-11-20T19:00:00+09:00"), ('c', "reach 09033334444/40/1-1003/20/1".to_owned()));
    assert_eq!(reached("2026-11-21T02:59:00+09:00").1, "reach 09033334444/40/1-1003/20/1");
    assert_eq!(reached("2026-11-21T03:00:00+09:00"), ('c', list));
    // Open, it reaches nobody: one set of steps.
    assert_eq!(reached(&now.to_string()), ('o', "queue operators 90 0 r".to_owned()));
    assert_eq!(entries.keys().filter(|key| key.tree() == "do").count(), 4, "{}", texts(&entries).join("\n"));
    assert_eq!(findings(&world, &SeenAtPbx::default(), now).len(), 2, "the tables of holidays");
    // Without the list, nobody is on call outside the shift.
    let unlisted = contacts(None);
    let found = findings(&World { on_call: &unlisted, ..world }, &SeenAtPbx::default(), now);
    let found: Vec<_> = found.iter().filter(|one| one.kind == FindingKind::OnCallEmpty).collect();
    assert!(found.len() == 1 && found[0].detail.contains("2026-11-20T09:00:00Z"), "{found:?}");
}

#[test]
fn what_was_seen_of_the_pbx_is_compared() {
    let now = at("2026-11-20T10:00:00+09:00");
    let (zone, plan) = (tokyo(), NumberPlan::default());
    let holidays = ["2026-11-23", "2027-01-01"].map(|day| Holiday {
        day: day.parse().unwrap(),
        name: "休日".into(),
        source: HolidaySource::Cabinet,
    });
    let calendar = HolidayCalendar::of(holidays);
    let fields = CallflowFields { closed_guidance: Some("custom/gone".into()), ..CallflowFields::default() };
    let sources = [
        Source {
            account: account(SAKURA, "月-金 09:00-18:00", &["0355501001"], &[]),
            callflow: Some(fields.clone()),
        },
        // Closed now: that nobody is in the queue is meant.
        Source { account: account(MINATO, "休 2026-11-20", &["0355501002"], &[]), callflow: Some(fields) },
    ];
    let world = World {
        sources: &sources,
        overrides: &[],
        calendar: &calendar,
        zone: &zone,
        plan: &plan,
        base: base_of(now, &zone),
        takes_voice: true,
        ruled: &UNRULED,
        on_call: &NOBODY,
    };
    let hours = |hours: i64| now.saturating_add(SignedDuration::from_hours(hours)).unwrap();
    let queue = crate::ids::QueueName::parse("operators").unwrap();
    let seen = |since: Timestamp, missing: &[&str], ends: i64| SeenAtPbx {
        queues: Some(Arc::new([queue.clone()].into())),
        empty_since: Arc::new([(queue.clone(), since)].into()),
        sounds_missing: Arc::new(missing.iter().map(|name| (*name).to_owned()).collect()),
        plans_end_at: Some(hours(ends)),
    };
    let kinds = |seen: &SeenAtPbx| {
        let found = findings(&world, seen, now);
        found.into_iter().map(|one| (one.kind, one.account.map(|id| id.0.as_u128()))).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&seen(hours(0), &["custom/other"], 24 * 8)), []);
    assert_eq!(
        kinds(&seen(hours(-1), &["custom/gone", "toritsugi/closed"], 24 * 6)),
        [
            (FindingKind::QueueEmpty, Some(SAKURA)),
            (FindingKind::SoundMissing, Some(SAKURA)),
            (FindingKind::SoundMissing, Some(MINATO)),
            (FindingKind::SoundMissing, None),
            (FindingKind::PlanEnds, None),
        ]
    );
}
