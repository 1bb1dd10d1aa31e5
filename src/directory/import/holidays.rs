//! The Cabinet Office's table of national holidays (`syukujitsu.csv`): a line of headings, then a day and its name in each
//! line.
//!
//! Invariant: a file with one invalid row changes nothing. Each year in the file replaces that year's table.

use std::collections::BTreeMap;
use std::io::Read;

use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use super::table::{Record, Table, TableError, TextEncoding};
use super::{Errors, ImportError, RowError};
use crate::contract::holidays::HOLIDAY_NAME_MAX;
use crate::directory::Directory;
use crate::identity::printable;

/// Most days of one file: the table of 200 years has fewer.
const DAYS_MAX: usize = 10_000;

/// What an import of holidays did, or would do with `dry_run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HolidayReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Days read.
    pub days: usize,
    /// The first year whose table is replaced.
    pub first_year: i16,
    /// The last one.
    pub last_year: i16,
}

impl Directory {
    /// Imports a table of national holidays.
    ///
    /// # Errors
    /// See [`ImportError`]; nothing was changed then.
    pub async fn import_holidays(
        &self,
        source: impl Read + Send + 'static,
        encoding: TextEncoding,
        dry_run: bool,
    ) -> Result<HolidayReport, ImportError> {
        let reading = tokio::task::spawn_blocking(move || read(Table::open(source, encoding)?));
        let days = reading.await.map_err(|stopped| TableError::Read(std::io::Error::other(stopped)))??;
        let (first, last) = (days.first_key_value(), days.last_key_value());
        let (Some((first, _)), Some((last, _))) = (first, last) else { return Err(TableError::Empty.into()) };
        let report =
            HolidayReport { dry_run, days: days.len(), first_year: first.year(), last_year: last.year() };
        if !dry_run {
            self.store().replace_holiday_tables(&days.into_iter().collect::<Vec<_>>()).await?;
            self.refresh().await?;
        }
        Ok(report)
    }
}

fn read(mut table: Table) -> Result<BTreeMap<Date, String>, ImportError> {
    let mut days = BTreeMap::new();
    let mut errors = Errors::default();
    while let Some(record) = table.next_record()? {
        match day_of(&record) {
            Ok((day, _)) if days.contains_key(&day) => {
                errors.add(RowError { line: record.line(), problem: format!("{day} is in the file twice") });
            }
            Ok((day, name)) => {
                days.insert(day, name);
            }
            Err(problem) => errors.add(RowError { line: record.line(), problem }),
        }
        if days.len() > DAYS_MAX {
            return Err(TableError::TooLong { rows: DAYS_MAX as u64 }.into());
        }
    }
    errors.into_result()?;
    Ok(days)
}

fn day_of(record: &Record) -> Result<(Date, String), String> {
    let (Some(day), Some(name), 2) = (record.cell(0)?, record.cell(1)?, record.width()) else {
        return Err("a day and its name are expected".to_owned());
    };
    let parts: Vec<i16> = day.split(['/', '-']).filter_map(|part| part.trim().parse().ok()).collect();
    let date = match parts.as_slice() {
        [year, month, day] => {
            let (month, day) = (i8::try_from(*month), i8::try_from(*day));
            month.ok().zip(day.ok()).and_then(|(month, day)| Date::new(*year, month, day).ok())
        }
        _ => None,
    };
    let date = date.filter(|date| (1900..2200).contains(&date.year()));
    let date = date.ok_or_else(|| format!("{day:?} is not a day such as 2026/1/1"))?;
    let name: String = printable(&name, usize::MAX).unwrap_or_default().into();
    if name.is_empty() || name.chars().count() > HOLIDAY_NAME_MAX {
        return Err(format!("the name must have 1 to {HOLIDAY_NAME_MAX} characters"));
    }
    Ok((date, name))
}
