//! Times as a person reads them in a letter.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::contract::records::Language;

/// The weekdays, from Monday.
const WEEKDAYS: [&str; 7] = ["月", "火", "水", "木", "金", "土", "日"];

fn when(at: Timestamp, zone: &TimeZone) -> String {
    let at: Zoned = at.to_zoned(zone.clone());
    let weekday = WEEKDAYS[usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0)];
    format!("{}月{}日({weekday}) {:02}:{:02}", at.month(), at.day(), at.hour(), at.minute())
}

pub(super) fn when_in(at: Timestamp, zone: &TimeZone, language: Language) -> String {
    match language {
        Language::Ja => when(at, zone),
        Language::En => at.to_zoned(zone.clone()).strftime("%a %-d %b %H:%M").to_string(),
    }
}
