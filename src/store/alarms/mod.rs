//! Alarms: the rules by which they are raised, and those that were ([`crate::stats::AlarmRule`]).
//!
//! | what the daemon was doing when it died | what happens |
//! |---|---|
//! | raising or clearing an alarm | the alarm and its mails are there or not, in one transaction |
//! | publishing that | the next leader of the PBX publishes it, perhaps a second time under another event id |
//!
//! Invariant: a rule has at most one alarm that is not cleared, also with several daemons.

use jiff::Timestamp;

use super::service_mails::NewServiceMail;
use super::{Store, StoreError};
use crate::ids::{PbxId, RecordId};
use crate::stats::AlarmRule;

/// Most rules of an installation.
pub const ALARM_RULES_MAX: u32 = 200;
/// Most alarms that are read at once.
pub const ALARMS_MAX: u32 = 500;

/// A rule with who wrote it, and its alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAlarmRule {
    /// Its id.
    pub id: RecordId,
    /// The rule.
    pub rule: AlarmRule,
    /// Who wrote it.
    pub by_name: String,
    /// When.
    pub changed_at: Timestamp,
    /// The alarm that is raised.
    pub alarm: Option<RaisedAlarm>,
}

/// An alarm that is raised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RaisedAlarm {
    /// The value with which it was raised.
    pub value: f64,
    /// When.
    pub raised_at: Timestamp,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAlarm {
    /// Its id.
    pub id: RecordId,
    /// The id of its rule.
    pub rule_id: RecordId,
    /// Its rule as it is now.
    pub rule: AlarmRule,
    /// The value with which it was raised.
    pub value: f64,
    /// When.
    pub raised_at: Timestamp,
    /// When it was cleared; `None`: it is raised.
    pub cleared_at: Option<Timestamp>,
    /// How much of it was published: 0 nothing, 1 that it was raised, 2 that it was cleared.
    pub published: u8,
}

impl Store {
    /// All rules with their alarms, in the order in which they were made; at most [`ALARM_RULES_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn alarm_rules(&self) -> Result<Vec<StoredAlarmRule>, StoreError> {
        each!(self, db => db.alarm_rules().await)
    }

    /// Makes a rule; false if there are [`ALARM_RULES_MAX`] already.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when its account does not exist; or the store failed.
    pub async fn create_alarm_rule(&self, rule: &StoredAlarmRule) -> Result<bool, StoreError> {
        each!(self, db => db.create_alarm_rule(rule).await)
    }

    /// Writes a rule again; false if there is none with its id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when its account does not exist; or the store failed.
    pub async fn set_alarm_rule(&self, rule: &StoredAlarmRule) -> Result<bool, StoreError> {
        each!(self, db => db.set_alarm_rule(rule).await)
    }

    /// Removes a rule with its alarms; true if there was one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_alarm_rule(&self, id: RecordId) -> Result<bool, StoreError> {
        each!(self, db => db.remove_alarm_rule(id).await)
    }

    /// Raises an alarm with its mails; false if another daemon was faster, or the rule is gone.
    ///
    /// # Errors
    /// The store failed; then nothing was raised.
    pub async fn raise_alarm(
        &self,
        rule: RecordId,
        (pbx, value, now): (&PbxId, f64, Timestamp),
        mails: &[NewServiceMail],
    ) -> Result<bool, StoreError> {
        each!(self, db => db.raise_alarm(rule, (pbx, value, now), mails).await)
    }

    /// Clears the alarm of a rule with its mails; false if another daemon was faster.
    ///
    /// # Errors
    /// The store failed; then nothing was cleared.
    pub async fn clear_alarm(
        &self,
        rule: RecordId,
        now: Timestamp,
        mails: &[NewServiceMail],
    ) -> Result<bool, StoreError> {
        each!(self, db => db.clear_alarm(rule, now, mails).await)
    }

    /// The alarms of this PBX's leader of which something is to be published, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unpublished_alarms(&self, pbx: &PbxId) -> Result<Vec<StoredAlarm>, StoreError> {
        each!(self, db => db.unpublished_alarms(pbx).await)
    }

    /// Notes how much of an alarm was published.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_alarm_published(&self, id: RecordId, published: u8) -> Result<(), StoreError> {
        each!(self, db => db.set_alarm_published(id, published).await)
    }

    /// The alarms that were raised before this time, the newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn alarms(&self, before: Timestamp, limit: u32) -> Result<Vec<StoredAlarm>, StoreError> {
        each!(self, db => db.alarms(before, limit.min(ALARMS_MAX)).await)
    }
}
