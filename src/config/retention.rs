//! `[retention]`: how long records stay, and how long the history is whole for figures that count over it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::values;
use crate::stats::REPEAT_WINDOW;

/// `[retention]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Age at which finished calls lose the caller's number and record; `None`: never.
    #[serde(rename = "anonymise_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub anonymise: Option<Duration>,
    /// Age at which finished calls are deleted; `None`: never.
    #[serde(rename = "history_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub history: Option<Duration>,
    /// Age at which messages that are not open are deleted; `None`: never.
    #[serde(rename = "messages_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub messages: Option<Duration>,
    /// Age at which faxes are deleted; `None`: never.
    #[serde(rename = "faxes_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub faxes: Option<Duration>,
    /// Age at which messages lose their files; `None`: never.
    #[serde(rename = "attachments_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub attachments: Option<Duration>,
    /// Age at which deliveries lose their address and what the server said; `None`: never.
    #[serde(rename = "deliveries_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub deliveries: Option<Duration>,
    /// Age at which gaps of PBX links are deleted; `None`: never.
    #[serde(rename = "gaps_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub gaps: Option<Duration>,
    /// Age at which the history of operators' states and after-call work is deleted; `None`: never.
    #[serde(rename = "operators_days", deserialize_with = "values::days_or_never::<_, 36_500>")]
    pub operators: Option<Duration>,
    /// What happens to the history of a customer whose record is deleted.
    pub deleted_customers: DeletedCustomers,
}

impl RetentionConfig {
    /// From when on the history is whole at `now`; `None`: from its beginning. What is counted over its calls was counted
    /// while they were there.
    #[must_use]
    pub fn history_whole_from(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_sub(self.history_whole_for()?).ok()
    }

    /// How long the history stays whole; `None`: for ever.
    #[must_use]
    pub fn history_whole_for(&self) -> Option<Duration> {
        let ages = [self.anonymise, self.history, self.messages, self.gaps, self.operators];
        // A call's marks come from the calls around it.
        ages.into_iter().flatten().min().map(|shortest| shortest.saturating_sub(REPEAT_WINDOW))
    }
}

/// What happens to the history of a customer whose record is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletedCustomers {
    /// The history stays unchanged.
    Keep,
    /// The customer's numbers and texts are removed; the calls and their times stay.
    Anonymise,
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn the_history_is_whole_for_as_long_as_nothing_of_it_is_deleted() {
        let now = Timestamp::from_second(1_775_000_000).unwrap();
        let days = |keys: &[(&str, &str)]| {
            let layers =
                keys.iter().map(|(key, days)| (format!("TORITSUGI__RETENTION__{key}"), (*days).to_owned()));
            let retention = Config::from_layers(None, layers).unwrap().retention;
            retention.history_whole_from(now).map(|from| now.duration_since(from))
        };
        assert_eq!(days(&[]), None);
        let month = jiff::SignedDuration::from_hours(30 * 24) - jiff::SignedDuration::from_mins(30);
        assert_eq!(days(&[("ANONYMISE_DAYS", "30"), ("HISTORY_DAYS", "90")]), Some(month));
        assert_eq!(days(&[("OPERATORS_DAYS", "30"), ("GAPS_DAYS", "90")]), Some(month));
    }
}
