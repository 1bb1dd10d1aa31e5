//! The SQL of callbacks.

use sqlx::{QueryBuilder, Row};

use super::account_notices::record_change;
use super::{Backend, Db, DbRow};
use crate::contract::callback::{CallbackMark, CallbackState};
use crate::contract::event::EventKind;
use crate::ids::{CallId, RecordId};
use crate::store::account_notices::ChangedBy;
use crate::store::callbacks::{CallbackChange, CallbackOutcome};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn callback_marks(
        &self,
        calls: &[CallId],
    ) -> Result<Vec<CallbackMark>, StoreError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Db>::new("SELECT * FROM callbacks WHERE call_id IN (");
        let mut listed = query.separated(", ");
        for call in calls {
            listed.push_bind(*call);
        }
        query.push(")");
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(mark_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn answered_later(&self, calls: &[CallId]) -> Result<Vec<CallId>, StoreError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Db>::new(
            "SELECT c.id FROM calls AS c WHERE (
                SELECT 1 FROM calls AS later WHERE later.account_id = c.account_id
                    AND later.caller_key = c.caller_key AND later.offered_ms > c.offered_ms
                    AND later.outcome = 'answered' LIMIT 1) IS NOT NULL AND c.id IN (",
        );
        let mut listed = query.separated(", ");
        for call in calls {
            listed.push_bind(*call);
        }
        query.push(")");
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(|row| row.try_get("id")).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn mark_callback(
        &self,
        change: CallbackChange,
        by: ChangedBy<'_>,
    ) -> Result<CallbackOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        // One statement, so that of two people who take it at the same time one is refused.
        let written = sqlx::query(
            "INSERT INTO callbacks (call_id, state, by_id, by_name, at_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (call_id) DO UPDATE SET state = excluded.state, by_id = excluded.by_id,
                by_name = excluded.by_name, at_ms = excluded.at_ms
             WHERE callbacks.state <> 'taken' OR callbacks.by_id = excluded.by_id OR $6
             RETURNING *",
        )
        .bind(change.call)
        .bind(change.state.as_str())
        .bind(change.user)
        .bind(by.name)
        .bind(to_ms(by.at))
        .bind(change.is_supervisor)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(row) = written {
            let mark = mark_of(&row)?;
            let about = (change.account, RecordId(change.call.uuid()));
            record_change(&mut transaction, EventKind::CallbackChanged, about, by).await?;
            transaction.commit().await?;
            return Ok(CallbackOutcome::Written(mark));
        }
        drop(transaction);
        let known = self.callback_marks(&[change.call]).await?.pop();
        known.map(CallbackOutcome::TakenBy).ok_or(StoreError::Missing { what: "callback" })
    }
}

fn mark_of(row: &DbRow) -> Result<CallbackMark, sqlx::Error> {
    Ok(CallbackMark {
        call: row.try_get("call_id")?,
        state: CallbackState::parse(row.try_get("state")?).unwrap_or_default(),
        by: row.try_get("by_id")?,
        by_name: row.try_get("by_name")?,
        at: from_ms(row.try_get("at_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{ChannelId, PbxId};
    use crate::store::Store;

    const SAKURA: RecordId = RecordId(Uuid::from_u128(1));
    const MINATO: RecordId = RecordId(Uuid::from_u128(2));
    const SATO: RecordId = RecordId(Uuid::from_u128(3));
    const SUZUKI: RecordId = RecordId(Uuid::from_u128(4));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn call(n: u32) -> CallId {
        CallId::derive(&PbxId::parse("lab").unwrap(), &ChannelId::parse(&n.to_string()).unwrap())
    }

    async fn ended(store: &Store, n: u32, account: RecordId, outcome: &str) {
        sqlx::query(
            "INSERT INTO calls (id, pbx, direction, account_id, caller_key, presentation, offered_ms, ended_ms, outcome)
             VALUES ($1, 'lab', 'inbound', $2, '+8190', 'allowed', $3, $3, $4)",
        )
        .bind(call(n))
        .bind(account)
        .bind(i64::from(n))
        .bind(outcome)
        .execute(super::super::of(store).writer())
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_caller_who_was_answered_later_by_the_same_account_needs_no_call() {
        let (_held, store) = super::super::empty_store().await;
        for (account, code) in [(SAKURA, "A"), (MINATO, "B")] {
            sqlx::query(
                "INSERT INTO accounts (id, code, name, created_ms, changed_ms) VALUES ($1, $2, $2, 0, 0)",
            )
            .bind(account)
            .bind(code)
            .execute(super::super::of(&store).writer())
            .await
            .unwrap();
        }
        for (n, account, outcome) in [
            (1, SAKURA, "abandoned"),
            (2, MINATO, "abandoned"),
            (3, SAKURA, "answered"),
            (4, SAKURA, "abandoned"),
            (5, MINATO, "abandoned"),
        ] {
            ended(&store, n, account, outcome).await;
        }
        let asked: Vec<CallId> = [1, 2, 4, 5].map(call).into();
        assert_eq!(store.answered_later(&asked).await.unwrap(), [call(1)]);
        assert_eq!(store.answered_later(&[]).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_callback_that_somebody_took_is_theirs_until_a_supervisor_says_otherwise() {
        let (_held, store) = super::super::empty_store().await;
        let pbx = PbxId::parse("lab").unwrap();
        let say = async |user, name, state, is_supervisor| {
            let change = CallbackChange { call: call(1), account: None, state, user, is_supervisor };
            store.mark_callback(change, ChangedBy { name, pbx: &pbx, at: at(1) }).await.unwrap()
        };
        let mark = |by, by_name: &str, state| CallbackMark {
            call: call(1),
            state,
            by,
            by_name: by_name.into(),
            at: at(1),
        };
        assert_eq!(store.callback_marks(&[call(1)]).await.unwrap(), []);
        let taken = mark(SATO, "佐藤", CallbackState::Taken);
        assert_eq!(
            say(SATO, "佐藤", CallbackState::Taken, false).await,
            CallbackOutcome::Written(taken.clone())
        );
        assert_eq!(
            say(SUZUKI, "鈴木", CallbackState::Taken, false).await,
            CallbackOutcome::TakenBy(taken.clone())
        );
        assert_eq!(say(SUZUKI, "鈴木", CallbackState::Done, false).await, CallbackOutcome::TakenBy(taken));
        let by_supervisor = mark(SUZUKI, "鈴木", CallbackState::Taken);
        assert_eq!(
            say(SUZUKI, "鈴木", CallbackState::Taken, true).await,
            CallbackOutcome::Written(by_supervisor)
        );
        let done = mark(SUZUKI, "鈴木", CallbackState::Done);
        assert_eq!(
            say(SUZUKI, "鈴木", CallbackState::Done, false).await,
            CallbackOutcome::Written(done.clone())
        );
        assert_eq!(store.callback_marks(&[call(1), call(2)]).await.unwrap(), [done]);
        let again = mark(SATO, "佐藤", CallbackState::Open);
        assert_eq!(say(SATO, "佐藤", CallbackState::Open, false).await, CallbackOutcome::Written(again));
        let changes = store.record_changes(&pbx).await.unwrap();
        assert_eq!(changes.len(), 4);
        assert!(changes.iter().all(|change| change.subject.0 == call(1).uuid() && change.account.is_none()));
    }
}
