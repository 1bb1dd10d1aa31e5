//! The SQL of caller rules.

use jiff::Timestamp;
use sqlx::Row;

use super::{Backend, DbRow};
use crate::contract::caller_rule::{CallerRule, CallerRuleKind};
use crate::ids::RecordId;
use crate::store::caller_rules::{CallerRuleOutcome, RULES_IN_MEMORY_MAX, RULES_PER_ACCOUNT_MAX};
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn caller_rules(
        &self,
        account: Option<RecordId>,
        at: Timestamp,
    ) -> Result<Vec<CallerRule>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT r.* FROM caller_rules AS r WHERE ($1 IS NULL OR r.account_id = $1)
                AND (r.until_ms IS NULL OR r.until_ms > $2) AND ",
            account_is_kept!("r"),
            " ORDER BY r.account_id, r.key LIMIT $3"
        ))
        .bind(account)
        .bind(to_ms(at))
        .bind(i64::from(RULES_IN_MEMORY_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(rule_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn set_caller_rule(
        &self,
        rule: &CallerRule,
        now: Timestamp,
    ) -> Result<CallerRuleOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM caller_rules WHERE until_ms <= $1")
            .bind(to_ms(now))
            .execute(&mut *transaction)
            .await?;
        let others: i64 =
            sqlx::query_scalar("SELECT count(*) FROM caller_rules WHERE account_id = $1 AND key <> $2")
                .bind(rule.account)
                .bind(&rule.number)
                .fetch_one(&mut *transaction)
                .await?;
        if others >= i64::from(RULES_PER_ACCOUNT_MAX) {
            return Ok(CallerRuleOutcome::TooMany);
        }
        let row = sqlx::query(
            "INSERT INTO caller_rules (id, account_id, key, rule, priority, note, until_ms, by_name)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (account_id, key) DO UPDATE SET rule = excluded.rule, priority = excluded.priority,
                note = excluded.note, until_ms = excluded.until_ms, by_name = excluded.by_name
             RETURNING *",
        )
        .bind(rule.id)
        .bind(rule.account)
        .bind(&rule.number)
        .bind(rule.rule.as_str())
        .bind(i64::from(rule.priority))
        .bind(&rule.note)
        .bind(rule.until.map(to_ms))
        .bind(&rule.by_name)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the caller rule", None))?;
        let set = rule_of(&row)?;
        transaction.commit().await?;
        Ok(CallerRuleOutcome::Set(set))
    }

    pub(in crate::store) async fn delete_caller_rule(
        &self,
        id: RecordId,
    ) -> Result<Option<CallerRule>, StoreError> {
        let row = sqlx::query("DELETE FROM caller_rules WHERE id = $1 RETURNING *")
            .bind(id)
            .fetch_optional(&mut *self.write_once().await?)
            .await?;
        Ok(row.as_ref().map(rule_of).transpose()?)
    }
}

fn rule_of(row: &DbRow) -> Result<CallerRule, sqlx::Error> {
    let rule = CallerRuleKind::parse(row.try_get("rule")?).unwrap_or(CallerRuleKind::Prefer);
    Ok(CallerRule {
        id: row.try_get("id")?,
        account: row.try_get("account_id")?,
        number: row.try_get("key")?,
        rule,
        priority: u32::try_from(row.try_get::<i64, _>("priority")?).unwrap_or(0),
        note: row.try_get("note")?,
        until: row.try_get::<Option<i64>, _>("until_ms")?.map(from_ms),
        by_name: row.try_get("by_name")?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;
    use crate::store::Store;

    async fn account(store: &Store, code: &str) -> RecordId {
        let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        store.create_account(&fields, from_ms(1_760_000_400_000)).await.unwrap().id
    }

    fn rule(n: u128, account: RecordId, number: &str, until: Option<i64>) -> CallerRule {
        CallerRule {
            id: RecordId(Uuid::from_u128(n)),
            account,
            number: number.into(),
            rule: CallerRuleKind::Refuse,
            priority: 0,
            note: "迷惑電話".into(),
            until: until.map(from_ms),
            by_name: "花".into(),
        }
    }

    #[tokio::test]
    async fn a_number_has_one_rule_of_an_account_which_ends_and_goes_with_it() {
        let (_held, store) = super::super::empty_store().await;
        let (a, b) = (account(&store, "A").await, account(&store, "B").await);
        let at = |ms: i64| from_ms(1_760_000_400_000 + ms);
        let until = 1_760_000_400_000 + 100;
        let before = store.accounts_version().await.unwrap();
        let first = rule(1, a, "+81312345678", None);
        assert_eq!(
            store.set_caller_rule(&first, at(0)).await.unwrap(),
            CallerRuleOutcome::Set(first.clone())
        );
        let second =
            CallerRule { rule: CallerRuleKind::Prefer, priority: 3, ..rule(2, a, "+81312345678", None) };
        let kept = CallerRule { id: first.id, ..second.clone() };
        assert_eq!(
            store.set_caller_rule(&second, at(0)).await.unwrap(),
            CallerRuleOutcome::Set(kept.clone())
        );
        let ends = rule(3, b, "+81399999999", Some(until));
        store.set_caller_rule(&ends, at(0)).await.unwrap();
        assert!(store.accounts_version().await.unwrap() >= before + 3, "the daemon compiles again");
        assert_eq!(store.caller_rules(Some(a), at(0)).await.unwrap(), std::slice::from_ref(&kept));
        let mut all = store.caller_rules(None, at(99)).await.unwrap();
        all.sort_unstable_by_key(|one| one.id);
        assert_eq!(all, [kept.clone(), ends.clone()]);
        assert_eq!(store.caller_rules(None, at(100)).await.unwrap(), std::slice::from_ref(&kept));
        let nobody = rule(4, RecordId(Uuid::from_u128(9)), "+81300000000", None);
        let refused = store.set_caller_rule(&nobody, at(0)).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "account" })), "{refused:?}");
        // The one that is over is removed with the next that is set.
        store.set_caller_rule(&rule(5, b, "+81300000000", None), at(100)).await.unwrap();
        assert_eq!(store.delete_caller_rule(ends.id).await.unwrap(), None);
        assert_eq!(store.delete_caller_rule(kept.id).await.unwrap(), Some(kept));
        store.delete_account(b, at(101)).await.unwrap();
        assert_eq!(store.caller_rules(None, at(0)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn an_account_has_so_many_rules_and_no_more() {
        let (_held, store) = super::super::empty_store().await;
        let a = account(&store, "A").await;
        for n in 0..RULES_PER_ACCOUNT_MAX {
            let one = rule(u128::from(n), a, &format!("+8131{n:07}"), None);
            store.set_caller_rule(&one, from_ms(0)).await.unwrap();
        }
        let more = rule(100_000, a, "+81600000000", None);
        assert_eq!(store.set_caller_rule(&more, from_ms(0)).await.unwrap(), CallerRuleOutcome::TooMany);
        let again = rule(100_001, a, "+81310000000", None);
        assert!(matches!(
            store.set_caller_rule(&again, from_ms(0)).await.unwrap(),
            CallerRuleOutcome::Set(_)
        ));
    }
}
