//! The time of a bill: a calendar month, or the month that ends with a closing day.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A month, for instance `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BillingMonth {
    first: Date,
}

/// The text is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month is written 2026-11")]
pub struct MonthError;

impl BillingMonth {
    /// The month of this day.
    #[must_use]
    pub fn of(day: Date) -> Self {
        Self { first: day.first_of_month() }
    }

    /// The month before this one, as far as the calendar goes.
    #[must_use]
    pub fn before(self) -> Self {
        Self { first: self.first.yesterday().map_or(self.first, Date::first_of_month) }
    }

    /// From the beginning of the first day to the end of the last. `closing_day`: the last day, if it is not the last of
    /// the calendar month; then the bill begins the day after it in the month before.
    #[must_use]
    pub fn time(self, closing_day: Option<u8>, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let end = |month: Self| {
            let last = match closing_day.and_then(|day| i8::try_from(day).ok()) {
                Some(day) => month.first.with().day(day).build().unwrap_or(month.first.last_of_month()),
                None => month.first.last_of_month(),
            };
            let next = last.tomorrow().unwrap_or(last);
            next.to_zoned(zone.clone()).map_or(Timestamp::UNIX_EPOCH, |at| at.timestamp())
        };
        (end(self.before()), end(self))
    }
}

impl FromStr for BillingMonth {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let is_written_so = text.len() == 7 && text.as_bytes().get(4) == Some(&b'-');
        let first: Date =
            is_written_so.then(|| format!("{text}-01").parse().ok()).flatten().ok_or(MonthError)?;
        // The year 1970 begins what a time can be; the month before must exist.
        if first.year() < 1971 { Err(MonthError) } else { Ok(Self { first }) }
    }
}

impl fmt::Display for BillingMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}
