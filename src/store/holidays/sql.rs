//! The SQL of holidays.

use std::collections::BTreeSet;

use jiff::civil::Date;
use sqlx::Row;

use super::{Backend, DbConnection, DbRow};
use crate::contract::holidays::{Holiday, HolidayCalendar, HolidaySource};
use crate::store::StoreError;
use crate::store::holidays::{SITE_DAYS_MAX, SiteDayOutcome};

impl Backend {
    pub(in crate::store) async fn holidays(&self) -> Result<Vec<Holiday>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM holidays ORDER BY source, day").fetch_all(self.readers()).await?;
        Ok(rows.iter().map(holiday_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn replace_holiday_tables(
        &self,
        days: &[(Date, String)],
    ) -> Result<(), StoreError> {
        let years: BTreeSet<i16> = days.iter().map(|(day, _)| day.year()).collect();
        let mut transaction = self.begin().await?;
        for year in years {
            sqlx::query("DELETE FROM holidays WHERE source = 'cabinet' AND day >= $1 AND day < $2")
                .bind(format!("{year:04}-01-01"))
                .bind(format!("{:04}-01-01", year + 1))
                .execute(&mut *transaction)
                .await?;
        }
        for (day, name) in days {
            sqlx::query("INSERT INTO holidays (source, day, name) VALUES ('cabinet', $1, $2)")
                .bind(day.to_string())
                .bind(name)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn write_site_day(
        &self,
        day: Date,
        name: &str,
    ) -> Result<SiteDayOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let renamed = sqlx::query("UPDATE holidays SET name = $2 WHERE source = 'site' AND day = $1")
            .bind(day.to_string())
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        if renamed.rows_affected() == 0 {
            let known: i64 = sqlx::query_scalar("SELECT count(*) FROM holidays WHERE source = 'site'")
                .fetch_one(&mut *transaction)
                .await?;
            if known >= i64::from(SITE_DAYS_MAX) {
                return Ok(SiteDayOutcome::TooMany);
            }
            // Another daemon may add the same day at the same time.
            sqlx::query(
                "INSERT INTO holidays (source, day, name) VALUES ('site', $1, $2)
                 ON CONFLICT (source, day) DO UPDATE SET name = excluded.name",
            )
            .bind(day.to_string())
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(SiteDayOutcome::Written)
    }

    pub(in crate::store) async fn delete_site_day(&self, day: Date) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let deleted = sqlx::query("DELETE FROM holidays WHERE source = 'site' AND day = $1")
            .bind(day.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }
}

/// The holidays that a transaction sees.
pub(super) async fn calendar(db: &mut DbConnection) -> Result<HolidayCalendar, StoreError> {
    let rows = sqlx::query("SELECT * FROM holidays ORDER BY source, day").fetch_all(db).await?;
    let days = rows.iter().map(holiday_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(HolidayCalendar::of(days))
}

fn holiday_of(row: &DbRow) -> Result<Holiday, sqlx::Error> {
    let decode = |error: jiff::Error| sqlx::Error::Decode(error.into());
    let source = match row.try_get("source")? {
        "cabinet" => HolidaySource::Cabinet,
        _ => HolidaySource::Site,
    };
    let day: &str = row.try_get("day")?;
    Ok(Holiday { day: day.parse().map_err(decode)?, name: row.try_get("name")?, source })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[tokio::test]
    async fn a_table_replaces_its_years_and_days_off_stay() {
        let (_held, store) = super::super::empty_store().await;
        let before = store.accounts_version().await.unwrap();
        let named = |day, name: &str| (day, name.to_owned());
        store
            .replace_holiday_tables(&[
                named(date(2026, 1, 1), "元日"),
                named(date(2026, 2, 11), "建国記念の日"),
                named(date(2027, 1, 1), "元日"),
            ])
            .await
            .unwrap();
        let written = store.write_site_day(date(2026, 12, 29), "社休日").await.unwrap();
        assert_eq!(written, SiteDayOutcome::Written);
        store.write_site_day(date(2026, 12, 29), "年末休業").await.unwrap();
        store.replace_holiday_tables(&[named(date(2026, 1, 1), "元日")]).await.unwrap();
        let days: Vec<_> =
            store.holidays().await.unwrap().into_iter().map(|h| format!("{} {}", h.day, h.name)).collect();
        assert_eq!(days, ["2026-01-01 元日", "2027-01-01 元日", "2026-12-29 年末休業"]);
        assert!(store.accounts_version().await.unwrap() > before, "every daemon reads them again");
        assert!(store.delete_site_day(date(2026, 12, 29)).await.unwrap());
        assert!(!store.delete_site_day(date(2026, 12, 29)).await.unwrap());
        assert_eq!(store.holidays().await.unwrap().len(), 2);
    }
}
