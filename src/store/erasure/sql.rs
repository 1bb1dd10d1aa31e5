//! The SQL of erasures.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};

use super::{Backend, Db, DbConnection, DbRow};
use crate::ids::{CallId, RecordId};
use crate::journal::entry::CallCheckpoint;
use crate::numbers::NumberPlan;
use crate::store::erasure::{
    Erasure, ErasureStatus, ErasureStep, LiveCalls, Place, SET_ASIDE_MS, SETTLE_MS, Trace, writings,
};
use crate::store::{StoreError, from_ms, to_ms};

mod messages;
mod sent;

use messages::{clear_faxes, clear_message, clear_messages};

impl Backend {
    pub(in crate::store) async fn forget_customer(
        &self,
        id: RecordId,
        plan: &NumberPlan,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let noted = sqlx::query(
            "INSERT INTO erasures (customer_id, account_id, asked_ms, due_ms, stage)
             SELECT id, account_id, $2, $2, 'calls' FROM customers WHERE id = $1 ON CONFLICT (customer_id) DO NOTHING",
        )
        .bind(id)
        .bind(to_ms(at))
        .execute(&mut *transaction)
        .await?;
        if noted.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "customer" });
        }
        let numbers =
            sqlx::query("SELECT account_id, key, original FROM customer_numbers WHERE customer_id = $1")
                .bind(id)
                .fetch_all(&mut *transaction)
                .await?;
        for row in &numbers {
            let (key, original): (String, String) = (row.try_get("key")?, row.try_get("original")?);
            sqlx::query(
                "INSERT INTO erasure_numbers (account_id, key, customer_id, asked_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (account_id, key, customer_id) DO NOTHING",
            )
            .bind(row.try_get::<RecordId, _>("account_id")?)
            .bind(&key)
            .bind(id)
            .bind(to_ms(at))
            .execute(&mut *transaction)
            .await?;
            sqlx::query("DELETE FROM caller_rules WHERE account_id = $1 AND key = $2")
                .bind(row.try_get::<RecordId, _>("account_id")?)
                .bind(&key)
                .execute(&mut *transaction)
                .await?;
            for writing in writings(&key, &original, plan) {
                sqlx::query(
                    "INSERT INTO erasure_writings (writing, customer_id, account_id, asked_ms) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (writing, customer_id) DO NOTHING",
                )
                .bind(writing)
                .bind(id)
                .bind(row.try_get::<RecordId, _>("account_id")?)
                .bind(to_ms(at))
                .execute(&mut *transaction)
                .await?;
            }
        }
        sqlx::query("DELETE FROM customers WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn erase_step(
        &self,
        rows: u32,
        live: LiveCalls<'_>,
        plan: &NumberPlan,
        now: Timestamp,
    ) -> Result<ErasureStep, StoreError> {
        // Exclusive, so that of several daemons one at a time takes the next step.
        let mut transaction = self.begin_exclusive().await?;
        let row = sqlx::query(
            "SELECT customer_id, account_id, asked_ms, stage, reached FROM erasures WHERE due_ms <= $1
             ORDER BY due_ms, customer_id LIMIT 1",
        )
        .bind(to_ms(now))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(ErasureStep::Idle) };
        let erasure = Erasure {
            customer: row.try_get("customer_id")?,
            account: row.try_get("account_id")?,
            asked_ms: row.try_get("asked_ms")?,
            stage: row.try_get("stage")?,
            reached: row.try_get("reached")?,
        };
        let step = if erasure.stage == "live" {
            wait_for_calls(&mut transaction, &erasure, live, now).await?
        } else {
            clear(&mut transaction, &erasure, plan, i64::from(rows)).await?
        };
        transaction.commit().await?;
        Ok(step)
    }

    pub(in crate::store) async fn erasure_status(&self) -> Result<ErasureStatus, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) AS left_over, count(CASE WHEN stage = 'live' THEN 1 END) AS waiting,
                min(asked_ms) AS oldest_ms, (SELECT count(*) FROM account_removals AS r
                    WHERE NOT EXISTS (SELECT 1 FROM deletions AS d WHERE d.id = r.account_id)) AS accounts FROM erasures",
        )
        .fetch_one(self.readers())
        .await?;
        let count =
            |column: &str| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
        Ok(ErasureStatus {
            left: count("left_over")?,
            waiting: count("waiting")?,
            accounts: count("accounts")?,
            oldest: row.try_get::<Option<i64>, _>("oldest_ms")?.map(from_ms),
        })
    }

    pub(in crate::store) async fn checkpoints(&self) -> Result<Vec<CallCheckpoint>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT checkpoint_json FROM call_checkpoints")
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().filter_map(|json| serde_json::from_str(json).ok()).collect())
    }
}

/// One step of any stage that does not wait.
async fn clear(
    db: &mut DbConnection,
    erasure: &Erasure,
    plan: &NumberPlan,
    rows: i64,
) -> Result<ErasureStep, StoreError> {
    let (done, next) = match erasure.stage.as_str() {
        "segments" => (clear_segments(db, erasure, rows).await?, "messages"),
        "messages" => (clear_messages(db, erasure, rows).await?, "faxes"),
        "faxes" => (clear_faxes(db, erasure, rows).await?, "live"),
        "late_calls" => (clear_calls(db, erasure, rows).await?, "late_segments"),
        "late_segments" => (clear_segments(db, erasure, rows).await?, "late_messages"),
        "late_messages" => (clear_messages(db, erasure, rows).await?, "late_faxes"),
        "late_faxes" => (clear_faxes(db, erasure, rows).await?, "notes"),
        "notes" => (clear_notes(db, erasure, rows).await?, "events"),
        "events" => (redact_events(db, erasure, plan, rows).await?, "outbox"),
        "outbox" => {
            let done = redact_outbox(db, erasure, plan, rows).await?;
            if done > 0 {
                return Ok(ErasureStep::Done(done));
            }
            sqlx::query("DELETE FROM erasures WHERE customer_id = $1")
                .bind(erasure.customer)
                .execute(db)
                .await?;
            return Ok(ErasureStep::Finished(erasure.customer));
        }
        _ => (clear_calls(db, erasure, rows).await?, "segments"),
    };
    if done == 0 {
        enter(db, erasure, next, None).await?;
    }
    Ok(ErasureStep::Done(done))
}

/// Notes that the erasure has come to `stage`, and there to `reached`.
async fn enter(
    db: &mut DbConnection,
    erasure: &Erasure,
    stage: &str,
    reached: Option<String>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE erasures SET stage = $2, reached = $3 WHERE customer_id = $1")
        .bind(erasure.customer)
        .bind(stage)
        .bind(reached)
        .execute(db)
        .await?;
    Ok(())
}

/// The rows of a statement about the customer alone. $1 the customer, $2 the limit.
async fn of_customer<T>(
    db: &mut DbConnection,
    sql: &'static str,
    erasure: &Erasure,
    rows: i64,
) -> Result<Vec<T>, StoreError>
where
    T: Send + Unpin + for<'r> sqlx::FromRow<'r, DbRow>,
{
    Ok(sqlx::query_as(sql).bind(erasure.customer).bind(rows).fetch_all(db).await?)
}

/// The rows of a statement that ends with a list of texts: for these the database uses its index whatever it guesses.
async fn with_one_of<T>(
    mut query: QueryBuilder<Db>,
    texts: &[String],
    rows: i64,
    db: &mut DbConnection,
) -> Result<Vec<T>, StoreError>
where
    T: Send + Unpin + for<'r> sqlx::FromRow<'r, DbRow>,
{
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let mut listed = query.separated(", ");
    for text in texts {
        listed.push_bind(text.clone());
    }
    query.push(") LIMIT ").push_bind(rows);
    Ok(query.build_query_as().fetch_all(db).await?)
}

/// Calls of the customer, from the customer's numbers, or to them.
async fn calls_to_clear(
    db: &mut DbConnection,
    erasure: &Erasure,
    rows: i64,
) -> Result<Vec<CallId>, StoreError> {
    let mut calls: Vec<(CallId,)> =
        of_customer(db, "SELECT id FROM calls WHERE customer_id = $1 LIMIT $2", erasure, rows).await?;
    if calls.is_empty() {
        let mut query = QueryBuilder::new("SELECT id FROM calls WHERE account_id = ");
        query.push_bind(erasure.account).push(" AND offered_ms <= ").push_bind(erasure.asked_ms);
        query.push(" AND (customer_id IS NULL OR customer_id = ").push_bind(erasure.customer);
        query.push(") AND caller_key IN (");
        calls = with_one_of(query, &keys(db, erasure).await?, rows, db).await?;
    }
    if calls.is_empty() {
        let mut query = QueryBuilder::new(concat!(
            "SELECT id FROM calls",
            indexed_by!("calls_by_called_number"),
            "WHERE direction = 'outbound' AND offered_ms + 0 <= "
        ));
        // Written so that PostgreSQL, too, can search by what was dialled alone: an account has many calls, and none is the
        // account of most.
        query.push_bind(erasure.asked_ms);
        query.push(" AND coalesce(account_id, ").push_bind(erasure.account);
        query.push(") = ").push_bind(erasure.account).push(" AND dialled IN (");
        calls = with_one_of(query, &all_writings(db, erasure).await?, rows, db).await?;
    }
    Ok(calls.into_iter().map(|(id,)| id).collect())
}

async fn clear_calls(db: &mut DbConnection, erasure: &Erasure, rows: i64) -> Result<u64, StoreError> {
    let calls = calls_to_clear(db, erasure, rows).await?;
    for call in &calls {
        sqlx::query(
            "UPDATE calls SET caller_key = NULL, customer_id = NULL,
                dialled = CASE WHEN direction = 'outbound' THEN NULL ELSE dialled END WHERE id = $1",
        )
        .bind(*call)
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "INSERT INTO erased_calls (call_id, customer_id) VALUES ($1, $2) ON CONFLICT (call_id) DO NOTHING",
        )
        .bind(*call)
        .bind(erasure.customer)
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "UPDATE call_segments SET target = NULL WHERE call_id = $1 AND target IN (
                SELECT writing FROM erasure_writings WHERE customer_id = $2)",
        )
        .bind(*call)
        .bind(erasure.customer)
        .execute(&mut *db)
        .await?;
        clear_notes_of(db, *call).await?;
    }
    Ok(calls.len() as u64)
}

/// The notes of the call's after-call work, the drafts about it, and the faxes that came in it.
async fn clear_notes_of(db: &mut DbConnection, call: CallId) -> Result<(), StoreError> {
    for sql in [
        "UPDATE wrap_ups SET notes = NULL WHERE call_id = $1 AND notes IS NOT NULL",
        "DELETE FROM drafts WHERE call_id = $1",
        "DELETE FROM faxes WHERE call_id = $1",
    ] {
        sqlx::query(sql).bind(call).execute(&mut *db).await?;
    }
    Ok(())
}

/// Segments of other calls of the account whose target the customer was.
async fn clear_segments(db: &mut DbConnection, erasure: &Erasure, rows: i64) -> Result<u64, StoreError> {
    let mut query = QueryBuilder::new(
        "SELECT s.call_id, s.ordinal FROM call_segments AS s CROSS JOIN calls AS c
         WHERE c.id = s.call_id AND c.offered_ms <= ",
    );
    query.push_bind(erasure.asked_ms);
    query.push(" AND (c.account_id IS NULL OR c.account_id = ").push_bind(erasure.account);
    query.push(") AND s.target IN (");
    let found: Vec<(CallId, i64)> = with_one_of(query, &all_writings(db, erasure).await?, rows, db).await?;
    for (call, ordinal) in &found {
        sqlx::query("UPDATE call_segments SET target = NULL WHERE call_id = $1 AND ordinal = $2")
            .bind(*call)
            .bind(*ordinal)
            .execute(&mut *db)
            .await?;
    }
    Ok(found.len() as u64)
}

/// A call with the customer that is not over is recorded with the number when it ends.
async fn wait_for_calls(
    db: &mut DbConnection,
    erasure: &Erasure,
    live: LiveCalls<'_>,
    now: Timestamp,
) -> Result<ErasureStep, StoreError> {
    let is_settled = to_ms(now) >= erasure.asked_ms + SETTLE_MS;
    let may_go_on = match live {
        LiveCalls::Unasked if is_settled => return Ok(ErasureStep::AsksForLiveCalls),
        LiveCalls::Known(calls) if is_settled => {
            let (keys, writings) = (keys(db, erasure).await?, all_writings(db, erasure).await?);
            !calls.iter().any(|call| erasure.concerns(call, &keys, &writings))
        }
        _ => false,
    };
    if may_go_on {
        enter(db, erasure, "late_calls", None).await?;
        return Ok(ErasureStep::Done(0));
    }
    sqlx::query("UPDATE erasures SET due_ms = $2 WHERE customer_id = $1")
        .bind(erasure.customer)
        .bind(to_ms(now) + SET_ASIDE_MS)
        .execute(db)
        .await?;
    Ok(ErasureStep::SetAside(erasure.customer))
}

/// The keys of the customer's numbers.
async fn keys(db: &mut DbConnection, erasure: &Erasure) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT key FROM erasure_numbers WHERE customer_id = $1")
        .bind(erasure.customer)
        .fetch_all(db)
        .await?)
}

/// The forms in which the customer's numbers are written.
async fn all_writings(db: &mut DbConnection, erasure: &Erasure) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT writing FROM erasure_writings WHERE customer_id = $1")
        .bind(erasure.customer)
        .fetch_all(db)
        .await?)
}

/// What was written for the erased calls since they were cleared. The calls are looked at once, in order.
async fn clear_notes(db: &mut DbConnection, erasure: &Erasure, rows: i64) -> Result<u64, StoreError> {
    let after = erasure.reached.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
    let calls: Vec<CallId> = sqlx::query_scalar(
        "SELECT call_id FROM erased_calls WHERE customer_id = $1 AND call_id > $2 ORDER BY call_id LIMIT $3",
    )
    .bind(erasure.customer)
    .bind(RecordId(after))
    .bind(rows)
    .fetch_all(&mut *db)
    .await?;
    for call in &calls {
        clear_notes_of(db, *call).await?;
        let messages: Vec<RecordId> = sqlx::query_scalar(
            "SELECT id FROM messages WHERE call_id = $1 AND text <> '' AND (customer_id IS NULL OR customer_id = $2)",
        )
        .bind(*call)
        .bind(erasure.customer)
        .fetch_all(&mut *db)
        .await?;
        for message in messages {
            clear_message(db, erasure.customer, message).await?;
        }
    }
    if let Some(last) = calls.last() {
        enter(db, erasure, "notes", Some(last.uuid().to_string())).await?;
    }
    Ok(calls.len() as u64)
}

/// The log is bounded by `[bus] replay_hours`; its rows are looked at once, in order.
async fn redact_events(
    db: &mut DbConnection,
    erasure: &Erasure,
    plan: &NumberPlan,
    rows: i64,
) -> Result<u64, StoreError> {
    let (pbx, position) =
        erasure.reached.as_deref().and_then(|text| text.rsplit_once('/')).unwrap_or(("", "-1"));
    let found = sqlx::query(
        "SELECT pbx, position, body_json FROM events WHERE (pbx, position) > ($1, $2) ORDER BY pbx, position LIMIT $3",
    )
    .bind(pbx)
    .bind(position.parse::<i64>().unwrap_or(-1))
    .bind(rows)
    .fetch_all(&mut *db)
    .await?;
    for (row, body) in redacted(db, erasure, plan, &found).await? {
        sqlx::query("UPDATE events SET body_json = $3 WHERE pbx = $1 AND position = $2")
            .bind(row.try_get::<&str, _>("pbx")?)
            .bind(row.try_get::<i64, _>("position")?)
            .bind(body)
            .execute(&mut *db)
            .await?;
    }
    if let Some(last) = found.last() {
        let reached = format!("{}/{}", last.try_get::<&str, _>("pbx")?, last.try_get::<i64, _>("position")?);
        enter(db, erasure, "events", Some(reached)).await?;
    }
    Ok(found.len() as u64)
}

/// The outbox is bounded by `[webhooks]`; its rows are looked at once, in order.
async fn redact_outbox(
    db: &mut DbConnection,
    erasure: &Erasure,
    plan: &NumberPlan,
    rows: i64,
) -> Result<u64, StoreError> {
    let after = erasure.reached.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
    let found = sqlx::query("SELECT id, body_json FROM webhook_outbox WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(RecordId(after))
        .bind(rows)
        .fetch_all(&mut *db)
        .await?;
    for (row, body) in redacted(db, erasure, plan, &found).await? {
        sqlx::query("UPDATE webhook_outbox SET body_json = $2 WHERE id = $1")
            .bind(row.try_get::<RecordId, _>("id")?)
            .bind(body)
            .execute(&mut *db)
            .await?;
    }
    if let Some(last) = found.last() {
        enter(db, erasure, "outbox", Some(last.try_get::<RecordId, _>("id")?.to_string())).await?;
    }
    Ok(found.len() as u64)
}

/// Those rows with an event that names the customer, and the event without the customer.
async fn redacted<'a>(
    db: &mut DbConnection,
    erasure: &Erasure,
    plan: &NumberPlan,
    rows: &'a [DbRow],
) -> Result<Vec<(&'a DbRow, String)>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys = keys(db, erasure).await?;
    let trace = Trace {
        customer: erasure.customer.to_string(),
        account: erasure.account.to_string(),
        keys,
        plan: *plan,
    };
    let bodies: Vec<&str> =
        rows.iter().map(|row| row.try_get("body_json")).collect::<Result<_, sqlx::Error>>()?;
    let calls: Vec<Option<CallId>> = bodies.iter().map(|body| call_of(body)).collect();
    let places = places(db, erasure, &calls).await?;
    let mut found = Vec::new();
    for ((row, body), call) in rows.iter().zip(bodies).zip(calls) {
        let place = call.and_then(|call| places.get(&call).copied()).unwrap_or(Place::Elsewhere);
        if let Some(body) = trace.redact(body, place) {
            found.push((row, body));
        }
    }
    Ok(found)
}

/// The call of an event.
fn call_of(json: &str) -> Option<CallId> {
    #[derive(serde::Deserialize)]
    struct Fields {
        call: Option<String>,
    }
    let fields: Fields = serde_json::from_str(json).ok()?;
    CallId::parse(&fields.call?).ok()
}

/// What is known of these calls.
async fn places(
    db: &mut DbConnection,
    erasure: &Erasure,
    calls: &[Option<CallId>],
) -> Result<HashMap<CallId, Place>, StoreError> {
    let mut query = QueryBuilder::<Db>::new(
        "SELECT c.id, c.account_id, done.customer_id FROM calls AS c
         LEFT JOIN erased_calls AS done ON done.call_id = c.id WHERE c.id IN (",
    );
    for call in calls.iter().flatten() {
        query.push_bind(*call).push(", ");
    }
    query.push("NULL)");
    let rows = query.build().fetch_all(db).await?;
    let place = |row: &DbRow| {
        let is_customers = row.try_get::<Option<RecordId>, _>("customer_id")? == Some(erasure.customer);
        let is_accounts = row.try_get::<Option<RecordId>, _>("account_id")? == Some(erasure.account);
        let place = match (is_customers, is_accounts) {
            (true, _) => Place::OfCustomer,
            (false, true) => Place::OfAccount,
            (false, false) => Place::Elsewhere,
        };
        Ok((row.try_get("id")?, place))
    };
    Ok(rows.iter().map(place).collect::<Result<_, sqlx::Error>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::call::Direction;
    use crate::contract::history::{FinishedCall, Segment};
    use crate::contract::message::{
        CheckedMessage, ContentChange, MessageFields, MessageKind, MessageUpdate, NewMessage,
    };
    use crate::contract::operator::WrapUp;
    use crate::ids::PbxId;
    use crate::journal::entry::{JournalEntry, WrapUpRecord};
    use crate::operators::CompletedWrapUp;
    use crate::store::Store;
    use crate::store::drafts::NewDraft;
    use crate::store::erasure::{LiveCall, RemovalStep};
    use crate::store::history::{HistoryFilter, PartyFilter};
    use crate::store::messages::{ChangeOutcome, MessageFilter, WithdrawOutcome};

    const SAKURA: RecordId = RecordId(uuid::Uuid::from_u128(1));
    const UME: RecordId = RecordId(uuid::Uuid::from_u128(2));
    const TANAKA: RecordId = RecordId(uuid::Uuid::from_u128(7));
    const SUZUKI: RecordId = RecordId(uuid::Uuid::from_u128(8));
    const OPERATOR: RecordId = RecordId(uuid::Uuid::from_u128(1_001));
    const KEY: &str = "+819012345678";
    /// When the customer was deleted.
    const ASKED_MS: i64 = 1_000;
    /// What must be nowhere afterwards: the number in its writings, the name, and what was noted down.
    const SECRETS: [&str; 7] =
        [KEY, "090-1234-5678", "09012345678", "０９０", "綾小路", "伝言の秘密", "後処理の秘密"];
    /// What others left with the same number, or in the same places, and must stay.
    const OTHERS: [&str; 3] = ["鈴木様の伝言", "梅の伝言", "梅の後処理"];

    fn at(ms: i64) -> Timestamp {
        from_ms(ms)
    }

    fn call(n: u32) -> CallId {
        CallId::parse(&uuid::Uuid::from_u128(u128::from(n) + 1_000).to_string()).unwrap()
    }

    async fn count(store: &Store, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(super::super::of(store).readers()).await.unwrap()
    }

    struct Row {
        direction: &'static str,
        account: Option<RecordId>,
        customer: Option<RecordId>,
        caller: Option<&'static str>,
        dialled: &'static str,
        notes: &'static str,
        message: Option<&'static str>,
    }

    /// The `n`th call: most are the customer's.
    fn row(n: u32) -> Row {
        let of_customer = Row {
            direction: "inbound",
            account: Some(SAKURA),
            customer: None,
            caller: Some(KEY),
            dialled: "0355501000",
            notes: "後処理の秘密",
            message: (n < 20).then_some("伝言の秘密"),
        };
        match n % 10 {
            9 => Row {
                direction: "outbound",
                account: None,
                caller: None,
                dialled: "09012345678",
                ..of_customer
            },
            // Another person with the same number, by the same account.
            8 => Row {
                customer: Some(SUZUKI),
                notes: "梅の後処理",
                message: Some("鈴木様の伝言"),
                ..of_customer
            },
            // The same number in another account: another customer.
            7 => Row {
                account: Some(UME), notes: "梅の後処理", message: Some("梅の伝言"), ..of_customer
            },
            0 | 3 => Row { customer: Some(TANAKA), ..of_customer },
            _ => of_customer,
        }
    }

    async fn add_call(store: &Store, n: u32, row: &Row, offered_ms: i64) {
        let writer = super::super::of(store).writer();
        sqlx::query(
            "INSERT INTO calls (id, pbx, direction, account_id, customer_id, caller_key, presentation, dialled,
                offered_ms, ended_ms, outcome)
             VALUES ($1, 'lab', $2, $3, $4, $5, 'allowed', $6, $7, $7, 'answered')",
        )
        .bind(call(n))
        .bind(row.direction)
        .bind(row.account)
        .bind(row.customer)
        .bind(row.caller)
        .bind(row.dialled)
        .bind(offered_ms)
        .execute(writer)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO wrap_ups (call_id, user_id, since_ms, ended_ms, planned_s, notes) VALUES ($1, $2, 0, 1, 30, $3)",
        )
        .bind(call(n))
        .bind(OPERATOR)
        .bind(row.notes)
        .execute(writer)
        .await
        .unwrap();
        let Some(text) = row.message else { return };
        sqlx::query(
            "INSERT INTO messages (id, account_id, call_id, customer_id, caller_key, text, state, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, 'open', $7)",
        )
        .bind(RecordId(call(n).uuid()))
        .bind(row.account.unwrap_or(SAKURA))
        .bind(call(n))
        .bind(row.customer)
        .bind(row.caller)
        .bind(text)
        .bind(offered_ms)
        .execute(writer)
        .await
        .unwrap();
    }

    /// A customer with calls, messages, notes, events and a webhook that waits, among others' records.
    async fn filled() -> (impl Sized, Store) {
        let (held, store) = super::super::empty_store().await;
        let writer = super::super::of(&store).writer();
        for (id, code) in [(SAKURA, "A"), (UME, "B")] {
            sqlx::query(
                "INSERT INTO accounts (id, code, name, created_ms, changed_ms) VALUES ($1, $2, $2, 0, 0)",
            )
            .bind(id)
            .bind(code)
            .execute(writer)
            .await
            .unwrap();
        }
        for (id, account, name, number) in
            [(TANAKA, SAKURA, "綾小路", "０９０－１２３４－５６７８"), (SUZUKI, UME, "鈴木", "abc")]
        {
            sqlx::query(
                "INSERT INTO customers (id, account_id, name, notes, created_ms, changed_ms, search)
                 VALUES ($1, $2, $3, $4, 0, 0, $3)",
            )
            .bind(id)
            .bind(account)
            .bind(name)
            .bind(if id == TANAKA { "伝言の秘密" } else { "" })
            .execute(writer)
            .await
            .unwrap();
            sqlx::query("INSERT INTO customer_numbers (account_id, key, customer_id, original) VALUES ($1, $2, $3, $4)")
                .bind(account)
                .bind(if id == TANAKA { KEY } else { "+81355509999" })
                .bind(id)
                .bind(number)
                .execute(writer)
                .await
                .unwrap();
        }
        for n in 0..300_u32 {
            add_call(&store, n, &row(n), i64::from(n)).await;
        }
        for (n, target) in [(7, "090-1234-5678"), (1, "09012345678"), (2, "佐藤")] {
            add_segment(&store, call(n), target).await;
        }
        fill_events(&store).await;
        (held, store)
    }

    async fn add_segment(store: &Store, call: CallId, target: &str) {
        sqlx::query("INSERT INTO call_segments (call_id, ordinal, kind, target, from_ms) VALUES ($1, 0, 'transfer', $2, 0)")
            .bind(call)
            .bind(target)
            .execute(super::super::of(store).writer())
            .await
            .unwrap();
    }

    /// Events of a call of the customer and of another one, and a webhook that waits.
    async fn fill_events(store: &Store) {
        let writer = super::super::of(store).writer();
        let presented = |call: CallId, customer: RecordId, name: &str| {
            format!(
                r#"{{"id":"a-1","kind":"call.presented","call":"{call}","data":{{"caller":{{"number":"090-1234-5678",
                "presentation":"allowed"}},"customers":[{{"id":"{customer}","name":"{name}"}}],
                "history":{{"calls":1,"last_message":"伝言の秘密","open_messages":0}}}}}}"#
            )
        };
        let other = format!(
            r#"{{"id":"a-2","kind":"message.saved","call":"{}","data":{{"customer":"{SUZUKI}","caller":"{KEY}","account":"{UME}","text":"梅の伝言"}}}}"#,
            call(7)
        );
        let body = presented(call(1), TANAKA, "綾小路");
        for position in 0..30_i64 {
            sqlx::query(
                "INSERT INTO events (pbx, position, stream, number, at_ms, kind, audience_json, body_json)
                 VALUES ('lab', $1, 'a', $1, 0, 'call.offered', '{}', $2)",
            )
            .bind(position)
            .bind(if position == 29 { &other } else { &body })
            .execute(writer)
            .await
            .unwrap();
        }
        sqlx::query(
            "INSERT INTO webhook_outbox (id, receiver, event, kind, body_json, created_ms, next_ms)
             VALUES ($1, 'crm', 'a-1', 'call.offered', $2, 0, 0)",
        )
        .bind(SAKURA)
        .bind(&body)
        .execute(writer)
        .await
        .unwrap();
    }

    async fn forget(store: &Store) {
        store.forget_customer(TANAKA, &NumberPlan::default(), at(ASKED_MS)).await.unwrap();
    }

    async fn step(store: &Store, live: LiveCalls<'_>, now_ms: i64) -> ErasureStep {
        store.erase_step(7, live, &NumberPlan::default(), at(now_ms)).await.unwrap()
    }

    /// Takes every step with these live calls, long after the request; returns how many were taken.
    async fn finish(store: &Store, live: &[LiveCall]) -> u32 {
        let mut steps = 0;
        loop {
            match step(store, LiveCalls::Known(live), ASKED_MS + SETTLE_MS).await {
                ErasureStep::Idle | ErasureStep::SetAside(_) => return steps,
                ErasureStep::AsksForLiveCalls => panic!("they are known"),
                ErasureStep::Done(_) | ErasureStep::Finished(_) => steps += 1,
            }
        }
    }

    fn is_in(text: &[u8], secret: &str) -> bool {
        text.windows(secret.len()).any(|part| part == secret.as_bytes())
    }

    #[tokio::test]
    async fn a_deleted_customer_is_shown_by_no_reader_from_then_on() {
        let (_held, store) = filled().await;
        forget(&store).await;
        let known = store.caller_history(SAKURA, KEY).await.unwrap();
        assert_eq!((known.customers.len(), known.history.calls, known.history.last_message), (0, 0, None));
        let calls = store.history(&HistoryFilter::default(), None, 500).await.unwrap();
        assert_eq!(calls.len(), 270);
        let shown: Vec<_> = calls.iter().filter(|call| call.caller.is_some()).collect();
        assert!(
            shown.len() == 60 && shown.iter().all(|c| c.customer == Some(SUZUKI) || c.account == Some(UME))
        );
        let outbound = HistoryFilter { direction: Some(Direction::Outbound), ..HistoryFilter::default() };
        let called = store.history(&outbound, None, 500).await.unwrap();
        assert!(called.len() == 30 && called.iter().all(|call| call.dialled.is_none()));
        let ids: Vec<CallId> = calls.iter().chain(&called).map(|call| call.id).collect();
        let notes = store.wrap_ups(&ids).await.unwrap();
        let notes: Vec<_> = notes.iter().filter_map(|work| work.finished.notes.as_deref()).collect();
        assert!(notes.len() == 60 && notes.iter().all(|notes| *notes == "梅の後処理"));
        let targets =
            async |n| store.finished_call(call(n)).await.unwrap().unwrap().segments.remove(0).target;
        assert_eq!((targets(1).await, targets(2).await.as_deref()), (None, Some("佐藤")));
        assert_eq!(targets(7).await.as_deref(), Some("090-1234-5678"), "another account's contact");
        let messages = store.messages(&MessageFilter::default(), None, 100).await.unwrap();
        let texts: Vec<_> =
            messages.iter().map(|m| m.fields.text.as_str()).filter(|text| !text.is_empty()).collect();
        assert!(messages.len() == 76 && texts.len() == 60 && texts.iter().all(|text| OTHERS.contains(text)));
        assert_eq!(store.message(RecordId(call(0).uuid())).await.unwrap().unwrap().fields.text, "");
        assert!(matches!(
            store.forget_customer(TANAKA, &NumberPlan::default(), at(1_001)).await,
            Err(StoreError::Missing { what: "customer" })
        ));
    }

    #[tokio::test]
    async fn a_page_about_the_number_is_full_of_what_may_be_shown() {
        let (_held, store) = filled().await;
        for n in 300..320 {
            // The number calls again, after the request.
            add_call(&store, n, &Row { message: Some("梅の伝言"), ..row(1) }, ASKED_MS + i64::from(n)).await;
        }
        forget(&store).await;
        let of =
            HistoryFilter { caller: Some(KEY.into()), account: Some(SAKURA), ..HistoryFilter::default() };
        let calls = store.history(&of, None, 30).await.unwrap();
        assert_eq!((calls.len(), calls[19].id, calls[20].customer), (30, call(300), Some(SUZUKI)));
        let of = HistoryFilter { customer: Some(TANAKA), ..HistoryFilter::default() };
        assert_eq!(store.history(&of, None, 10).await.unwrap(), []);
        let of =
            MessageFilter { caller: Some(KEY.into()), account: Some(SAKURA), ..MessageFilter::default() };
        let messages = store.messages(&of, None, 45).await.unwrap();
        assert!(messages.len() == 45 && messages.iter().all(|message| !message.is_erased()));
        assert_eq!(store.caller_history(SAKURA, KEY).await.unwrap().history.calls, 20);
    }

    #[tokio::test]
    async fn erasures_go_on_after_a_stop_and_leave_nothing_but_what_is_others() {
        let (_held, store) = filled().await;
        let before = super::super::compacted(&store).await;
        for text in SECRETS.iter().chain(&OTHERS) {
            assert!(is_in(&before, text), "{text} is found where it is");
        }
        forget(&store).await;
        for _ in 0..5 {
            assert_eq!(step(&store, LiveCalls::Unasked, ASKED_MS).await, ErasureStep::Done(7));
        }
        // Nothing is kept in memory: another handle goes on.
        assert!(finish(&store, &[]).await > 40);
        assert_eq!(store.erasure_status().await.unwrap(), ErasureStatus::default());
        assert_eq!(count(&store, "SELECT count(*) FROM calls WHERE outcome = 'answered'").await, 300);
        // What others with the same number left, and the page of messages of the other account.
        for (sql, left) in [
            ("SELECT count(*) FROM calls WHERE caller_key IS NOT NULL", 60),
            ("SELECT count(*) FROM wrap_ups WHERE notes IS NOT NULL", 60),
            ("SELECT count(*) FROM messages WHERE text <> ''", 60),
            ("SELECT count(*) FROM call_segments WHERE target IS NOT NULL", 2),
            ("SELECT count(*) FROM erasure_writings", 0),
            ("SELECT count(*) FROM erasure_numbers", 0),
        ] {
            assert_eq!(count(&store, sql).await, left, "{sql}");
        }
        for sql in [
            "DELETE FROM messages WHERE text <> ''",
            "UPDATE calls SET caller_key = NULL",
            "DELETE FROM call_segments WHERE target <> '佐藤'",
            "DELETE FROM events WHERE position = 29",
        ] {
            sqlx::query(sql).execute(super::super::of(&store).writer()).await.unwrap();
        }
        let after = super::super::compacted(&store).await;
        for secret in SECRETS {
            assert!(!is_in(&after, secret), "{secret}");
        }
    }

    #[tokio::test]
    async fn a_call_that_is_not_over_is_waited_for_and_holds_up_no_other_erasure() {
        let (_held, store) = filled().await;
        forget(&store).await;
        while step(&store, LiveCalls::Unasked, ASKED_MS).await != ErasureStep::SetAside(TANAKA) {}
        assert_eq!(step(&store, LiveCalls::Unasked, ASKED_MS).await, ErasureStep::Idle, "it settles first");
        let settled = ASKED_MS + SETTLE_MS;
        assert_eq!(step(&store, LiveCalls::Unasked, settled).await, ErasureStep::AsksForLiveCalls);
        assert_eq!(step(&store, LiveCalls::Unknown, settled).await, ErasureStep::SetAside(TANAKA));
        let later = settled + SET_ASIDE_MS;
        let live = LiveCall {
            offered_ms: 5,
            account: Some(SAKURA),
            caller: Some(KEY.into()),
            ..LiveCall::default()
        };
        assert_eq!(
            step(&store, LiveCalls::Known(std::slice::from_ref(&live)), later).await,
            ErasureStep::SetAside(TANAKA)
        );
        // The one behind it goes on meanwhile.
        store.forget_customer(SUZUKI, &NumberPlan::default(), at(ASKED_MS + 1)).await.unwrap();
        assert_eq!(store.erasure_status().await.unwrap().left, 2);
        loop {
            match step(&store, LiveCalls::Known(std::slice::from_ref(&live)), later + 1).await {
                ErasureStep::Finished(customer) => break assert_eq!(customer, SUZUKI),
                other => assert!(matches!(other, ErasureStep::Done(_)), "{other:?}"),
            }
        }
        // The call ends, and its record is written with the number.
        add_call(&store, 400, &Row { message: None, ..row(0) }, 5).await;
        let others =
            [LiveCall { offered_ms: ASKED_MS + 1, ..live.clone() }, LiveCall { account: Some(UME), ..live }];
        for now in [later, later + 2 * SET_ASIDE_MS] {
            while !matches!(
                step(&store, LiveCalls::Known(&others), now).await,
                ErasureStep::Idle | ErasureStep::SetAside(_)
            ) {}
        }
        assert_eq!(store.erasure_status().await.unwrap().left, 0);
        assert!(store.finished_call(call(400)).await.unwrap().unwrap().caller.is_none());
        assert_eq!(count(&store, "SELECT count(*) FROM wrap_ups WHERE notes = '後処理の秘密'").await, 0);
    }

    #[tokio::test]
    async fn what_is_written_later_for_an_erased_call_brings_nothing_back() {
        let (_held, store) = filled().await;
        let inferred: FinishedCall = store.finished_call(call(1)).await.unwrap().unwrap();
        sqlx::query("UPDATE calls SET inferred = $1 WHERE offered_ms = 1")
            .bind(true)
            .execute(super::super::of(&store).writer())
            .await
            .unwrap();
        forget(&store).await;
        finish(&store, &[]).await;
        let pbx = PbxId::parse("lab").unwrap();
        // The observed record of the call, with a segment more.
        let segment = Segment { target: Some("090-1234-5678".into()), ..inferred.segments[0].clone() };
        let observed = FinishedCall { inferred: false, segments: vec![segment; 2], ..inferred };
        assert_eq!(observed.caller.as_deref(), Some(KEY));
        store.record_call(&observed).await.unwrap();
        let stored = store.finished_call(call(1)).await.unwrap().unwrap();
        assert_eq!((stored.caller, stored.inferred, stored.segments.len()), (None, false, 2));
        assert!(stored.segments.iter().all(|segment| segment.target.is_none()));
        let work = WrapUp {
            call: call(1),
            account: None,
            account_name: String::new(),
            since: at(9),
            until: at(10),
            planned_s: 30,
            extensions: Vec::new(),
            set_aside_ms: None,
        };
        let finished = CompletedWrapUp {
            work,
            ended_at: at(10),
            disposition: Some("message".into()),
            notes: Some("後処理の秘密".into()),
        };
        let record = WrapUpRecord { user: OPERATOR, finished };
        store.write_entry(&pbx, &JournalEntry::WrapUp(Box::new(record))).await.unwrap();
        let wrap_ups = store.wrap_ups(&[call(1)]).await.unwrap();
        assert_eq!((wrap_ups.len(), wrap_ups.iter().all(|work| work.finished.notes.is_none())), (2, true));
        let changed = store
            .change_message(
                RecordId(call(1).uuid()),
                &MessageUpdate {
                    content: Some(ContentChange {
                        content: content(&serde_json::json!({ "text": "伝言の秘密" })),
                        version: 1,
                        by: Some(OPERATOR),
                        by_name: "花".into(),
                        correction: Some("伝言の秘密".into()),
                        not_before: at(2_000),
                    }),
                    acknowledged_by: None,
                },
                at(2_000),
            )
            .await;
        assert!(matches!(changed.unwrap(), ChangeOutcome::NotOpen(message) if message.is_erased()));
        let undone = store.withdraw_message(RecordId(call(1).uuid()), at(0), at(2_000)).await.unwrap();
        assert!(matches!(undone, WithdrawOutcome::TooLate(message) if message.is_erased()));
        let new = of_withheld(99, Some(call(1)), &serde_json::json!({ "text": "伝言の秘密" }));
        assert!(matches!(store.create_message(&new, &pbx, at(2_000)).await, Err(StoreError::Erased)));
        let written = store.write_draft(&draft(call(1), None), at(2_000)).await;
        assert!(matches!(written, Err(StoreError::Erased)));
    }

    fn content(fields: &serde_json::Value) -> CheckedMessage {
        let fields: MessageFields = serde_json::from_value(fields.clone()).unwrap();
        fields.checked(&NumberPlan::default()).unwrap()
    }

    /// A message from a caller who withheld the number.
    fn of_withheld(id: u128, call: Option<CallId>, fields: &serde_json::Value) -> NewMessage {
        NewMessage {
            id: RecordId(uuid::Uuid::from_u128(id)),
            account: SAKURA,
            call,
            customer: None,
            kind: MessageKind::Message,
            taken_by: Some(OPERATOR),
            taken_by_name: "花".into(),
            caller: None,
            content: content(fields),
            day: "260401".into(),
            not_before: at(0),
        }
    }

    fn draft(call: CallId, customer: Option<RecordId>) -> NewDraft {
        let body = [("text".to_owned(), "伝言の秘密".into())].into_iter().collect();
        NewDraft { user: OPERATOR, call, account: Some(SAKURA), customer, body, version: 0 }
    }

    /// What a person can write of a message, with the number that the caller said.
    fn whole_record() -> serde_json::Value {
        serde_json::json!({
            "text": "伝言の秘密", "subject": "伝言の秘密", "for_text": "伝言の秘密",
            "from": { "name": "アヤノコウジ", "name_kanji": "綾小路", "company": "伝言の秘密",
                "department": "伝言の秘密", "number": "090-1234-5678", "number_is": "told" },
            "call_back": { "number": "090-1234-5678", "text": "伝言の秘密" }, "reason": "inquiry", "urgency": "urgent",
            "follow_up": { "at": "2026-05-01T00:00:00Z", "text": "伝言の秘密", "by": "contact" },
            "answers": [{ "id": "a", "label": "伝言の秘密", "value": "伝言の秘密" }],
            "offers": [{ "id": "b", "result": "later" }],
        })
    }

    #[tokio::test]
    async fn the_whole_record_of_a_message_is_hidden_at_once_and_cleared_in_every_revision() {
        let (_held, store) = filled().await;
        let pbx = PbxId::parse("lab").unwrap();
        let new = of_withheld(99, None, &whole_record());
        store.create_message(&new, &pbx, at(500)).await.unwrap();
        let acknowledged = MessageUpdate { content: None, acknowledged_by: Some(OPERATOR) };
        store.change_message(new.id, &acknowledged, at(501)).await.unwrap();
        let mut again = whole_record();
        again["text"] = "伝言の秘密ふたつ".into();
        let correction = |version| MessageUpdate {
            content: Some(ContentChange {
                content: content(&again),
                version,
                by: Some(OPERATOR),
                by_name: "花".into(),
                correction: Some("伝言の秘密".into()),
                not_before: at(502),
            }),
            acknowledged_by: None,
        };
        store.change_message(new.id, &correction(2), at(502)).await.unwrap();
        // Drafts about a call of the customer, about another one, and one that names the customer.
        for draft in [draft(call(1), None), draft(call(7), None), draft(call(500), Some(TANAKA))] {
            store.write_draft(&draft, at(503)).await.unwrap();
        }
        let found = async |filter: MessageFilter| {
            let listed = store.messages(&filter, None, 100).await.unwrap();
            assert_eq!(store.count_messages(&filter).await.unwrap(), listed.len() as u64);
            listed.iter().filter(|message| message.id == new.id).count()
        };
        let text = MessageFilter { text: Some("ふたつ".into()), ..MessageFilter::default() };
        let said = MessageFilter { caller: Some(KEY.into()), ..MessageFilter::default() };
        assert_eq!((found(text.clone()).await, found(said.clone()).await), (1, 1));
        forget(&store).await;
        let check = async || {
            assert_eq!((found(text.clone()).await, found(said.clone()).await), (0, 0));
            assert_eq!(found(MessageFilter::default()).await, 1);
            let left = store.message(new.id).await.unwrap().unwrap();
            let kept = serde_json::json!({ "text": "", "reason": "inquiry", "urgency": "urgent" });
            assert_eq!(left.fields, serde_json::from_value::<MessageFields>(kept).unwrap());
            let revisions = store.message_revisions(new.id).await.unwrap();
            assert_eq!(revisions.len(), 2);
            for revision in revisions {
                assert_eq!((revision.content, revision.why), (MessageFields::default(), None));
            }
            let drafts = store.drafts(OPERATOR).await.unwrap();
            assert_eq!(drafts.iter().map(|draft| draft.call).collect::<Vec<_>>(), [call(7)]);
            assert!(store.draft(OPERATOR, call(1)).await.unwrap().is_none());
            let changed = store.change_message(new.id, &correction(left.version), at(2_000)).await.unwrap();
            assert!(matches!(changed, ChangeOutcome::NotOpen(message) if message.is_erased()));
        };
        check().await;
        let of_erased = of_withheld(98, Some(call(2)), &serde_json::json!({ "text": "伝言の秘密" }));
        let refused = store.create_message(&of_erased, &pbx, at(2_000)).await;
        assert!(matches!(refused, Err(StoreError::Erased)));
        for draft in [draft(call(2), None), draft(call(501), Some(TANAKA))] {
            assert!(matches!(store.write_draft(&draft, at(2_000)).await, Err(StoreError::Erased)));
        }
        finish(&store, &[]).await;
        check().await;
        for (sql, left) in [
            ("SELECT count(*) FROM messages WHERE search <> '' OR from_key IS NOT NULL", 0),
            ("SELECT count(*) FROM messages WHERE content_json <> '{}'", 0),
            ("SELECT count(*) FROM message_revisions WHERE content_json LIKE '%秘密%' OR why IS NOT NULL", 0),
            ("SELECT count(*) FROM drafts", 1),
        ] {
            assert_eq!(count(&store, sql).await, left, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_search_by_the_other_side_finds_no_call_that_is_being_erased() {
        let (_held, store) = filled().await;
        let of = |direction| HistoryFilter {
            party: Some(PartyFilter { number: Some(KEY.into()), customers: vec![TANAKA, SUZUKI] }),
            direction: Some(direction),
            ..HistoryFilter::default()
        };
        sqlx::query("UPDATE calls SET dialled = $1 WHERE direction = 'outbound'")
            .bind(KEY)
            .execute(super::super::of(&store).writer())
            .await
            .unwrap();
        let found = async |direction| store.history(&of(direction), None, 500).await.unwrap().len();
        assert_eq!((found(Direction::Inbound).await, found(Direction::Outbound).await), (270, 30));
        forget(&store).await;
        assert_eq!((found(Direction::Inbound).await, found(Direction::Outbound).await), (60, 0));
        let page = store.history(&of(Direction::Inbound), None, 50).await.unwrap();
        assert!(page.len() == 50 && page.iter().all(|call| call.caller.is_some()), "a page is full");
        finish(&store, &[]).await;
        assert_eq!((found(Direction::Inbound).await, found(Direction::Outbound).await), (60, 0));
    }

    #[tokio::test]
    async fn a_deleted_account_is_gone_at_once_and_removed_in_steps() {
        use crate::contract::records::{AccountFields, CustomerFields};
        use crate::store::CustomerFilter;
        let (_held, store) = filled().await;
        let plan = NumberPlan::default();
        // Drafts: of the account, about a call of the account, and of the other one.
        let about_call = NewDraft { account: None, ..draft(call(1), None) };
        let of_other = NewDraft { account: Some(UME), ..draft(call(7), None) };
        for draft in [draft(call(500), None), about_call, of_other] {
            store.write_draft(&draft, at(1_999)).await.unwrap();
        }
        store.delete_account(SAKURA, at(2_000)).await.unwrap();
        let drafts = store.drafts(OPERATOR).await.unwrap();
        assert_eq!(drafts.iter().map(|draft| draft.call).collect::<Vec<_>>(), [call(7)]);
        let again = store.delete_account(SAKURA, at(2_001)).await;
        assert!(matches!(again, Err(StoreError::Missing { what: "account" })));
        assert_eq!(store.erasure_status().await.unwrap().accounts, 1);
        let accounts = store.accounts(None, 10).await.unwrap().items;
        assert_eq!(accounts.iter().map(|account| account.id).collect::<Vec<_>>(), [UME]);
        assert!(store.account(SAKURA).await.unwrap().is_none());
        let customers = store.customers(&CustomerFilter::default(), None, 10).await.unwrap().items;
        assert_eq!(customers.iter().map(|customer| customer.id).collect::<Vec<_>>(), [SUZUKI]);
        let named = CustomerFilter { text: Some("綾小路".into()), ..CustomerFilter::default() };
        assert!(store.customers(&named, None, 10).await.unwrap().items.is_empty());
        assert!(store.customer(TANAKA).await.unwrap().is_none());
        assert_eq!(store.customer_names(&[TANAKA, SUZUKI]).await.unwrap().len(), 1);
        let messages = store.messages(&MessageFilter::default(), None, 100).await.unwrap();
        assert!(messages.len() == 30 && messages.iter().all(|message| message.account == UME));
        // Nothing is added to it, and its code is free.
        let fields: CustomerFields =
            serde_json::from_value(serde_json::json!({ "account": SAKURA, "name": "佐藤" })).unwrap();
        let added = store.create_customer(&fields.checked(&plan).unwrap(), at(2_002)).await;
        assert!(matches!(added, Err(StoreError::Missing { what: "account" })), "{added:?}");
        let fields = AccountFields { code: "A".into(), name: "新".into(), ..AccountFields::default() };
        store.create_account(&fields.checked(&plan).unwrap(), at(2_003)).await.unwrap();
        let mut steps = 0;
        loop {
            match store.remove_step(7).await.unwrap() {
                RemovalStep::Idle => break,
                RemovalStep::Done(rows) => assert!(rows <= 7),
                RemovalStep::Finished(account) => assert_eq!(account, SAKURA),
            }
            steps += 1;
        }
        assert_eq!(steps, 10, "2 drafts, 46 messages, a customer, and the account");
        for (sql, left) in [
            ("SELECT count(*) FROM messages", 30),
            ("SELECT count(*) FROM drafts", 1),
            ("SELECT count(*) FROM customers", 1),
            ("SELECT count(*) FROM accounts", 2),
            ("SELECT count(*) FROM account_removals", 0),
            ("SELECT count(*) FROM calls", 300),
        ] {
            assert_eq!(count(&store, sql).await, left, "{sql}");
        }
    }
}
