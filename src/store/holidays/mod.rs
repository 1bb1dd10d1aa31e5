//! Holidays that are not computed: the Cabinet Office's table, and the installation's own days off.
//!
//! Invariant: a year's table is whole. An import replaces the years that it has, in one transaction.

use jiff::civil::Date;

use super::{Store, StoreError};
use crate::contract::holidays::Holiday;

/// Most days off of the installation.
pub const SITE_DAYS_MAX: u32 = 1000;

/// The result of adding a day off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteDayOutcome {
    /// It is there, under this name.
    Written,
    /// Refused: there are [`SITE_DAYS_MAX`] already.
    TooMany,
}

impl Store {
    /// All stored holidays.
    ///
    /// # Errors
    /// The store failed.
    pub async fn holidays(&self) -> Result<Vec<Holiday>, StoreError> {
        each!(self, db => db.holidays().await)
    }

    /// Replaces the tables of the years in which `days` are; other years keep theirs.
    ///
    /// # Errors
    /// The store failed; nothing was changed.
    pub async fn replace_holiday_tables(&self, days: &[(Date, String)]) -> Result<(), StoreError> {
        each!(self, db => db.replace_holiday_tables(days).await)
    }

    /// Adds a day off of the installation, or renames it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn write_site_day(&self, day: Date, name: &str) -> Result<SiteDayOutcome, StoreError> {
        each!(self, db => db.write_site_day(day, name).await)
    }

    /// Removes a day off of the installation; false if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_site_day(&self, day: Date) -> Result<bool, StoreError> {
        each!(self, db => db.delete_site_day(day).await)
    }
}
