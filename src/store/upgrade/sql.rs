//! The SQL of the steps that a migration leaves to the next start.

use sqlx::Row;

use super::dialect::{
    END_IMPORT, FILL_CALL_OPERATORS, FILL_CUSTOMER_TEXTS, FILL_MESSAGE_TEXTS, upgrade_step,
};
use super::{Backend, DbConnection};
use crate::ids::RecordId;
use crate::store::StoreError;
use crate::store::upgrade::{CHUNK_ROWS, Progress, Step};

impl Backend {
    /// Carries out the steps that are left.
    pub(in crate::store) async fn finish_upgrade(&self) -> Result<(), StoreError> {
        let mut progress = None::<(String, Progress)>;
        loop {
            let mut transaction = self.begin_upgrade().await?;
            let next = sqlx::query(
                "SELECT name, reached, (SELECT count(*) FROM upgrade_steps) AS steps,
                    EXISTS (SELECT 1 FROM calls) AS has_calls
                 FROM upgrade_steps ORDER BY position LIMIT 1",
            )
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(next) = next else {
                sqlx::query(END_IMPORT).execute(&mut *transaction).await?;
                return Ok(transaction.commit().await?);
            };
            let (name, reached): (String, Option<String>) = (next.try_get("name")?, next.try_get("reached")?);
            if progress.as_ref().is_none_or(|(step, _)| *step != name) {
                progress = Some((name.clone(), Progress::new(&name)));
                if next.try_get("has_calls")? {
                    let steps_left: i64 = next.try_get("steps")?;
                    tracing::info!(
                        step = name,
                        steps_left,
                        "upgrading the database; the daemon starts when this is done, and it may be stopped and started again"
                    );
                }
            }
            let is_first = progress.as_ref().is_some_and(|(_, progress)| progress.is_new());
            let chunk = match upgrade_step(&name) {
                Some(Step::Statements(statements)) => {
                    for sql in statements {
                        sqlx::query(*sql).execute(&mut *transaction).await?;
                    }
                    None
                }
                Some(Step::CallOperators) => fill_call_operators(&mut transaction, reached).await?,
                Some(Step::CustomerTexts) => {
                    fill_texts(&mut transaction, &CUSTOMER_TEXTS, reached, is_first).await?
                }
                Some(Step::MessageTexts) => {
                    fill_texts(&mut transaction, &MESSAGE_TEXTS, reached, is_first).await?
                }
                // A migration of this version wrote the name.
                None => None,
            };
            match &chunk {
                Some(chunk) => {
                    sqlx::query("UPDATE upgrade_steps SET reached = $2 WHERE name = $1")
                        .bind(&name)
                        .bind(&chunk.reached)
                        .execute(&mut *transaction)
                        .await?
                }
                None => {
                    sqlx::query("DELETE FROM upgrade_steps WHERE name = $1")
                        .bind(&name)
                        .execute(&mut *transaction)
                        .await?
                }
            };
            sqlx::query(END_IMPORT).execute(&mut *transaction).await?;
            transaction.commit().await?;
            match (chunk, &mut progress) {
                (Some(chunk), Some((_, progress))) => progress.add(chunk.rows, chunk.left),
                (None, Some((_, progress))) => progress.finish(),
                (_, None) => {}
            }
        }
    }
}

/// Some rows of a step.
struct Chunk {
    reached: String,
    rows: u64,
    /// About how many are left; `None`: as many fewer than before.
    left: Option<u64>,
}

/// The rows of the calls after the time `reached`; `None` when there are none.
async fn fill_call_operators(
    db: &mut DbConnection,
    reached: Option<String>,
) -> Result<Option<Chunk>, StoreError> {
    let after: i64 = reached.and_then(|text| text.parse().ok()).unwrap_or(i64::MIN);
    let row = sqlx::query(
        "SELECT count(*) AS calls, max(offered_ms) AS last_ms, (SELECT max(offered_ms) FROM calls) AS newest_ms
         FROM (SELECT offered_ms FROM calls WHERE offered_ms > $1 ORDER BY offered_ms LIMIT $2) AS next",
    )
    .bind(after)
    .bind(i64::from(CHUNK_ROWS))
    .fetch_one(&mut *db)
    .await?;
    let Some(last) = row.try_get::<Option<i64>, _>("last_ms")? else { return Ok(None) };
    let newest = row.try_get::<Option<i64>, _>("newest_ms")?.unwrap_or(last);
    let rows: i64 = row.try_get("calls")?;
    for sql in FILL_CALL_OPERATORS {
        sqlx::query(*sql).bind(after).bind(last).execute(&mut *db).await?;
    }
    // As if the calls to come were as dense as these.
    let first = if after == i64::MIN { last } else { after };
    let left = i128::from(newest - last) * i128::from(rows) / i128::from((last - first).max(1));
    let left = (after > i64::MIN).then(|| u64::try_from(left).unwrap_or(0));
    Ok(Some(Chunk { reached: last.to_string(), rows: u64::try_from(rows).unwrap_or(0), left }))
}

/// The records of a text index. $1 the id after which.
struct TextRecords {
    /// The next ids, up to $2 of them.
    next: &'static str,
    /// How many there are.
    count: &'static str,
    /// Writes the words of those up to the id $2.
    fill: &'static [&'static str],
}

const CUSTOMER_TEXTS: TextRecords = TextRecords {
    next: "SELECT id FROM customers WHERE id > $1 ORDER BY id LIMIT $2",
    count: "SELECT count(*) FROM customers WHERE id > $1",
    fill: FILL_CUSTOMER_TEXTS,
};

const MESSAGE_TEXTS: TextRecords = TextRecords {
    next: "SELECT id FROM messages WHERE id > $1 ORDER BY id LIMIT $2",
    count: "SELECT count(*) FROM messages WHERE id > $1",
    fill: FILL_MESSAGE_TEXTS,
};

/// The words of the records after the id `reached`; `None` when there are none.
async fn fill_texts(
    db: &mut DbConnection,
    of: &TextRecords,
    reached: Option<String>,
    is_first: bool,
) -> Result<Option<Chunk>, StoreError> {
    let after =
        reached.and_then(|text| text.parse().ok()).map(RecordId).unwrap_or(RecordId(uuid::Uuid::nil()));
    let ids: Vec<RecordId> =
        sqlx::query_scalar(of.next).bind(after).bind(i64::from(CHUNK_ROWS)).fetch_all(&mut *db).await?;
    let Some(last) = ids.last() else { return Ok(None) };
    for sql in of.fill {
        sqlx::query(*sql).bind(after).bind(*last).execute(&mut *db).await?;
    }
    let mut left = None;
    if is_first {
        let count: i64 = sqlx::query_scalar(of.count).bind(*last).fetch_one(&mut *db).await?;
        left = u64::try_from(count).ok();
    }
    Ok(Some(Chunk { reached: last.to_string(), rows: ids.len() as u64, left }))
}
