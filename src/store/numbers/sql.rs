//! The SQL of numbers that rang.

use jiff::Timestamp;
use sqlx::Row;

use super::Backend;
use crate::ids::RecordId;
use crate::store::numbers::{UNKNOWN_NUMBERS_MAX, UnknownNumber};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn last_calls(
        &self,
        after: Option<RecordId>,
        limit: i64,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.id, (SELECT max(c.offered_ms) FROM calls AS c
                WHERE c.account_id = a.id AND c.direction = 'inbound') AS last_ms
             FROM accounts AS a WHERE $1 IS NULL OR a.id > $1 ORDER BY a.id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(self.readers())
        .await?;
        let mut found = Vec::new();
        for row in &rows {
            if let Some(last) = row.try_get::<Option<i64>, _>("last_ms")? {
                found.push((row.try_get("id")?, from_ms(last)));
            }
        }
        Ok(found)
    }

    pub(in crate::store) async fn unknown_numbers(
        &self,
        since: Timestamp,
    ) -> Result<Vec<UnknownNumber>, StoreError> {
        let rows = sqlx::query(
            "SELECT dialled, diverted_by, count(*) AS calls, max(offered_ms) AS last_ms FROM calls
             WHERE account_id IS NULL AND direction = 'inbound' AND offered_ms >= $1
             GROUP BY dialled, diverted_by ORDER BY last_ms DESC LIMIT $2",
        )
        .bind(to_ms(since))
        .bind(i64::from(UNKNOWN_NUMBERS_MAX))
        .fetch_all(self.readers())
        .await?;
        let number = |row: &super::DbRow| {
            Ok(UnknownNumber {
                dialled: row.try_get("dialled")?,
                diverted_by: row.try_get("diverted_by")?,
                calls: row.try_get::<i64, _>("calls")?.unsigned_abs(),
                last: from_ms(row.try_get("last_ms")?),
            })
        };
        Ok(rows.iter().map(number).collect::<Result<_, sqlx::Error>>()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::call::{Direction, Outcome};
    use crate::contract::card::MatchedBy;
    use crate::contract::history::{CallSource, FinishedCall};
    use crate::contract::records::AccountFields;
    use crate::identity::Presentation;
    use crate::ids::{CallId, ChannelId, PbxId};
    use crate::numbers::NumberPlan;

    fn call(n: i64, account: Option<RecordId>, dialled: &str, diverted_by: Option<&str>) -> FinishedCall {
        let pbx = PbxId::parse("osaka-1").unwrap();
        let channel = ChannelId::parse(&format!("17{n}.1")).unwrap();
        FinishedCall {
            id: CallId::derive(&pbx, &channel),
            pbx,
            direction: Direction::Inbound,
            account,
            matched_by: MatchedBy::None,
            customer: None,
            caller: None,
            presentation: Presentation::Withheld,
            dialled: Some(dialled.into()),
            diverted_by: diverted_by.map(Into::into),
            offered_at: from_ms(n),
            answered_at: None,
            ended_at: from_ms(n + 20),
            outcome: Outcome::Abandoned,
            operators: Vec::new(),
            handled_by: Some(Vec::new()),
            channels: vec![channel],
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments: Vec::new(),
        }
    }

    #[tokio::test]
    async fn numbers_that_rang_and_belong_to_nobody_are_counted_the_latest_first() {
        let (_dir, store) = super::super::empty_store().await;
        let account = |code: &str, number: &str| {
            let fields = json!({ "code": code, "name": "見本", "dialled": [number] });
            let fields: AccountFields = serde_json::from_value(fields).unwrap();
            fields.checked(&NumberPlan::default()).unwrap()
        };
        let first = store.create_account(&account("A001", "0355501001"), from_ms(1)).await.unwrap();
        let second = store.create_account(&account("A002", "0355501002"), from_ms(1)).await.unwrap();
        for finished in [
            call(1_000, Some(first.id), "0355501001", None),
            call(2_000, Some(first.id), "0355501001", None),
            call(3_000, None, "0355501009", None),
            call(5_000, None, "0355501009", None),
            call(4_000, None, "0355501009", Some("0312345678")),
            call(500, None, "0355501008", None),
        ] {
            store.record_call(&finished).await.unwrap();
        }
        assert_eq!(store.last_calls(None, 10).await.unwrap(), [(first.id, from_ms(2_000))]);
        assert_eq!(store.last_calls(Some(first.id), 10).await.unwrap(), []);
        assert!(first.id < second.id);
        let unknown = store.unknown_numbers(from_ms(1_000)).await.unwrap();
        let number = |diverted_by: Option<&str>, calls, last| UnknownNumber {
            dialled: Some("0355501009".into()),
            diverted_by: diverted_by.map(Into::into),
            calls,
            last: from_ms(last),
        };
        assert_eq!(unknown, [number(None, 2, 5_000), number(Some("0312345678"), 1, 4_000)]);
    }
}
