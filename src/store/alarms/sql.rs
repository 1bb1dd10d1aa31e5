//! The SQL of alarms.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::service_mails::insert_mail;
use super::{Backend, DbRow};
use crate::ids::{PbxId, RecordId};
use crate::stats::AlarmRule;
use crate::store::alarms::{ALARM_RULES_MAX, ALARMS_MAX, RaisedAlarm, StoredAlarm, StoredAlarmRule};
use crate::store::error::refusal;
use crate::store::service_mails::NewServiceMail;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn alarm_rules(&self) -> Result<Vec<StoredAlarmRule>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.*, a.value, a.raised_ms FROM alarm_rules AS r
             LEFT JOIN alarms AS a ON a.rule_id = r.id AND a.cleared_ms IS NULL ORDER BY r.id LIMIT $1",
        )
        .bind(i64::from(ALARM_RULES_MAX))
        .fetch_all(self.readers())
        .await?;
        let stored = |row: &DbRow| {
            let (value, raised_ms): (Option<f64>, Option<i64>) =
                (row.try_get("value")?, row.try_get("raised_ms")?);
            let alarm = value
                .zip(raised_ms)
                .map(|(value, raised_ms)| RaisedAlarm { value, raised_at: from_ms(raised_ms) });
            Ok(StoredAlarmRule {
                id: row.try_get("id")?,
                rule: rule_of(row)?,
                by_name: row.try_get("by_name")?,
                changed_at: from_ms(row.try_get("changed_ms")?),
                alarm,
            })
        };
        Ok(rows.iter().map(stored).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn create_alarm_rule(
        &self,
        rule: &StoredAlarmRule,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO alarm_rules (id, account_id, rule_json, by_name, changed_ms)
             SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM alarm_rules) < $6",
        )
        .bind(rule.id)
        .bind(rule.rule.account)
        .bind(serde_json::to_string(&rule.rule).unwrap_or_default())
        .bind(&rule.by_name)
        .bind(to_ms(rule.changed_at))
        .bind(i64::from(ALARM_RULES_MAX))
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the rule", None))?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn set_alarm_rule(&self, rule: &StoredAlarmRule) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE alarm_rules SET account_id = $2, rule_json = $3, by_name = $4, changed_ms = $5 WHERE id = $1",
        )
        .bind(rule.id)
        .bind(rule.rule.account)
        .bind(serde_json::to_string(&rule.rule).unwrap_or_default())
        .bind(&rule.by_name)
        .bind(to_ms(rule.changed_at))
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the rule", None))?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn remove_alarm_rule(&self, id: RecordId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM alarm_rules WHERE id = $1")
            .bind(id)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn raise_alarm(
        &self,
        rule: RecordId,
        (pbx, value, now): (&PbxId, f64, Timestamp),
        mails: &[NewServiceMail],
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let raised = sqlx::query(
            "INSERT INTO alarms (id, rule_id, pbx, value, raised_ms)
             SELECT $1, r.id, $3, $4, $5 FROM alarm_rules AS r WHERE r.id = $2
             ON CONFLICT (rule_id) WHERE cleared_ms IS NULL DO NOTHING",
        )
        .bind(RecordId(Uuid::now_v7()))
        .bind(rule)
        .bind(pbx.as_str())
        .bind(value)
        .bind(to_ms(now))
        .execute(&mut *transaction)
        .await?;
        if raised.rows_affected() == 0 {
            return Ok(false);
        }
        for mail in mails {
            insert_mail(&mut transaction, mail).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn clear_alarm(
        &self,
        rule: RecordId,
        now: Timestamp,
        mails: &[NewServiceMail],
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let cleared =
            sqlx::query("UPDATE alarms SET cleared_ms = $2 WHERE rule_id = $1 AND cleared_ms IS NULL")
                .bind(rule)
                .bind(to_ms(now))
                .execute(&mut *transaction)
                .await?;
        if cleared.rows_affected() == 0 {
            return Ok(false);
        }
        for mail in mails {
            insert_mail(&mut transaction, mail).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn unpublished_alarms(
        &self,
        pbx: &PbxId,
    ) -> Result<Vec<StoredAlarm>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.*, r.rule_json FROM alarms AS a JOIN alarm_rules AS r ON r.id = a.rule_id
             WHERE a.pbx = $1 AND a.published < 2 AND (a.published = 0 OR a.cleared_ms IS NOT NULL)
             ORDER BY a.raised_ms LIMIT $2",
        )
        .bind(pbx.as_str())
        .bind(i64::from(ALARMS_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(alarm_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn set_alarm_published(
        &self,
        id: RecordId,
        published: u8,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE alarms SET published = $2 WHERE id = $1")
            .bind(id)
            .bind(i64::from(published))
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn alarms(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredAlarm>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.*, r.rule_json FROM alarms AS a JOIN alarm_rules AS r ON r.id = a.rule_id
             WHERE a.raised_ms < $1 ORDER BY a.raised_ms DESC, a.id DESC LIMIT $2",
        )
        .bind(to_ms(before))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(alarm_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

fn rule_of(row: &DbRow) -> Result<AlarmRule, sqlx::Error> {
    let rule: String = row.try_get("rule_json")?;
    serde_json::from_str(&rule).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn alarm_of(row: &DbRow) -> Result<StoredAlarm, sqlx::Error> {
    Ok(StoredAlarm {
        id: row.try_get("id")?,
        rule_id: row.try_get("rule_id")?,
        rule: rule_of(row)?,
        value: row.try_get("value")?,
        raised_at: from_ms(row.try_get("raised_ms")?),
        cleared_at: row.try_get::<Option<i64>, _>("cleared_ms")?.map(from_ms),
        published: u8::try_from(row.try_get::<i64, _>("published")?).unwrap_or(2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::AlarmMetric;
    use crate::store::Store;

    const AT: i64 = 1_760_000_400_000;

    fn stored(name: &str, account: Option<RecordId>) -> StoredAlarmRule {
        let rule = AlarmRule {
            name: name.into(),
            metric: AlarmMetric::Waiting,
            formula: None,
            account,
            above: Some(2.5),
            below: None,
            calls_min: 10,
            for_s: 0,
            clear_for_s: 0,
            to: Vec::new(),
        };
        StoredAlarmRule {
            id: RecordId(Uuid::now_v7()),
            rule,
            by_name: "花".into(),
            changed_at: from_ms(AT),
            alarm: None,
        }
    }

    #[tokio::test]
    async fn an_alarm_is_raised_and_cleared_once_and_published_in_order() {
        let (_held, store): (_, Store) = super::super::empty_store().await;
        let pbx = PbxId::parse("tokyo").unwrap();
        let mut rule = stored("待ち呼", None);
        assert!(store.create_alarm_rule(&rule).await.unwrap());
        rule.rule.above = Some(3.0);
        assert!(store.set_alarm_rule(&rule).await.unwrap());
        assert_eq!(store.alarm_rules().await.unwrap(), [rule.clone()]);
        assert!(!store.clear_alarm(rule.id, from_ms(AT), &[]).await.unwrap());
        let raise = (&pbx, 4.0, from_ms(AT));
        let (a, b) =
            tokio::join!(store.raise_alarm(rule.id, raise, &[]), store.raise_alarm(rule.id, raise, &[]));
        assert!(a.unwrap() ^ b.unwrap(), "one of two daemons");
        let raised = RaisedAlarm { value: 4.0, raised_at: from_ms(AT) };
        assert_eq!(store.alarm_rules().await.unwrap()[0].alarm, Some(raised));
        let unpublished = async || store.unpublished_alarms(&pbx).await.unwrap();
        let alarm = unpublished().await.pop().unwrap();
        assert_eq!((alarm.published, alarm.cleared_at, alarm.value), (0, None, 4.0));
        assert_eq!(store.unpublished_alarms(&PbxId::parse("osaka").unwrap()).await.unwrap(), []);
        store.set_alarm_published(alarm.id, 1).await.unwrap();
        assert_eq!(unpublished().await, []);
        assert!(store.clear_alarm(rule.id, from_ms(AT + 60_000), &[]).await.unwrap());
        assert!(!store.clear_alarm(rule.id, from_ms(AT + 60_000), &[]).await.unwrap());
        assert_eq!(unpublished().await[0].cleared_at, Some(from_ms(AT + 60_000)));
        store.set_alarm_published(alarm.id, 2).await.unwrap();
        assert_eq!(unpublished().await, []);
        assert_eq!(store.alarms(from_ms(AT), 10).await.unwrap(), []);
        assert_eq!(store.alarms(from_ms(AT + 1), 10).await.unwrap().len(), 1);
        let nobodys = stored("x", Some(RecordId(Uuid::from_u128(7))));
        let refused = store.create_alarm_rule(&nobodys).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "account" })), "{refused:?}");
        assert!(store.remove_alarm_rule(rule.id).await.unwrap());
        assert!(!store.set_alarm_rule(&rule).await.unwrap());
        assert!(!store.raise_alarm(rule.id, raise, &[]).await.unwrap(), "its rule is gone");
        assert_eq!(store.alarms(from_ms(AT + 1), 10).await.unwrap(), []);
    }
}
