//! Times in the store: whole milliseconds since 1970 UTC.

use jiff::Timestamp;

/// The column's value.
pub(crate) fn to_ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// The time of a column's value; a value outside the calendar (nothing of ours wrote it) becomes 1970.
pub(crate) fn from_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}
