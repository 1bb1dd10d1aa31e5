//! Times in the public contract.
//!
//! Invariant: every time that leaves the daemon is RFC 3339 in UTC with exactly three digits of milliseconds, so clients
//! may compare times as text.

use jiff::Timestamp;
use serde::Serializer;

/// Formats a time.
#[must_use]
pub fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// For `#[serde(serialize_with)]`: a time.
///
/// # Errors
/// The serializer fails.
pub fn as_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// For `#[serde(serialize_with)]`: a time, or `null`.
///
/// # Errors
/// The serializer fails.
pub fn as_optional_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => as_time(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_always() {
        for (nanosecond, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_500_000_000, "1970-01-01T00:00:01.500Z"),
            (1_700_000_000_123_999_999, "2023-11-14T22:13:20.123Z"),
        ] {
            let at = Timestamp::from_nanosecond(nanosecond).unwrap();
            assert_eq!(time(at), text);
            assert_eq!(as_time(&at, serde_json::value::Serializer).unwrap(), text);
            assert_eq!(as_optional_time(&Some(at), serde_json::value::Serializer).unwrap(), text);
        }
        assert!(as_optional_time(&None, serde_json::value::Serializer).unwrap().is_null());
    }
}
