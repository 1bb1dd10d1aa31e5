//! The SQL of the event log.

use sqlx::Row;

use super::hearings::note_step;
use super::history::insert_call;
use super::links::{insert_gap, put_link};
use super::messages::note_told;
use super::{Backend, DbConnection, DbRow};
use crate::bus::log::{Batch, LoggedEvent};
use crate::bus::{Event, EventId, EventKind, StreamToken};
use crate::ids::PbxId;
use crate::store::log::{FoundLog, LiveCall, LogLimits};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn claim_log(
        &self,
        pbx: &PbxId,
        stream: &StreamToken,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO event_logs (pbx, stream) VALUES ($1, $2)
             ON CONFLICT (pbx) DO UPDATE SET stream = excluded.stream",
        )
        .bind(pbx.as_str())
        .bind(stream.as_str())
        .execute(self.writer())
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn keep_sight(
        &self,
        pbx: &PbxId,
        sight: &str,
        position: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE event_logs SET sight = $2, sight_position = $3 WHERE pbx = $1")
            .bind(pbx.as_str())
            .bind(sight)
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .execute(self.writer())
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn read_log(
        &self,
        pbx: &PbxId,
        limits: LogLimits,
    ) -> Result<FoundLog, StoreError> {
        let rows = sqlx::query("SELECT * FROM events WHERE pbx = $1 ORDER BY position DESC LIMIT $2")
            .bind(pbx.as_str())
            .bind(i64::try_from(limits.events_max).unwrap_or(i64::MAX))
            .fetch_all(self.readers())
            .await?;
        let mut events: Vec<LoggedEvent> = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in &rows {
            let Some(event) = event_of(row) else { break };
            bytes += event.json.len();
            let follows = events.last().is_none_or(|later| later.position == event.position + 1);
            if !follows || bytes > limits.bytes_max || event.at < limits.since {
                break;
            }
            events.push(event);
        }
        events.reverse();
        let rows = sqlx::query("SELECT call_json FROM live_calls WHERE pbx = $1 ORDER BY id")
            .bind(pbx.as_str())
            .fetch_all(self.readers())
            .await?;
        let mut live = Vec::with_capacity(rows.len());
        for row in &rows {
            match serde_json::from_str::<LiveCall>(row.try_get("call_json")?) {
                Ok(call) => live.push(call),
                Err(error) => tracing::warn!(%error, "a call of the last run cannot be read back"),
            }
        }
        let row = sqlx::query(
            "SELECT sight, sight_position, (SELECT max(position) FROM events WHERE pbx = $1) AS head
             FROM event_logs WHERE pbx = $1",
        )
        .bind(pbx.as_str())
        .fetch_optional(self.readers())
        .await?;
        let mut found = FoundLog { events, live, ..FoundLog::default() };
        if let Some(row) = row {
            let position = |value: i64| u64::try_from(value).unwrap_or(0);
            found.head = position(row.try_get::<Option<i64>, _>("head")?.unwrap_or(0));
            let from = position(row.try_get("sight_position")?);
            found.sight = row.try_get::<Option<String>, _>("sight")?.map(|sight| (sight, from));
        }
        Ok(found)
    }

    pub(in crate::store) async fn write_log(
        &self,
        pbx: &PbxId,
        stream: &StreamToken,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        // Its own row, so that a daemon that takes over waits for this transaction, and this one sees it.
        let owned = sqlx::query("UPDATE event_logs SET stream = $2 WHERE pbx = $1 AND stream = $2")
            .bind(pbx.as_str())
            .bind(stream.as_str())
            .execute(&mut *transaction)
            .await?;
        if owned.rows_affected() == 0 {
            return Err(StoreError::Displaced);
        }
        if batch.hole {
            sqlx::query("DELETE FROM events WHERE pbx = $1")
                .bind(pbx.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        for (position, event) in (batch.first..).zip(&batch.events) {
            insert_event(&mut transaction, pbx, position, event).await?;
        }
        if !batch.events.is_empty() {
            sqlx::query("DELETE FROM events WHERE pbx = $1 AND position < $2")
                .bind(pbx.as_str())
                .bind(i64::try_from(batch.oldest).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await?;
        }
        for call in &batch.live {
            sqlx::query(
                "INSERT INTO live_calls (id, pbx, call_json) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET call_json = excluded.call_json",
            )
            .bind(call.memory.id)
            .bind(pbx.as_str())
            .bind(json(call)?)
            .execute(&mut *transaction)
            .await?;
        }
        for call in &batch.finished {
            insert_call(&mut transaction, call).await?;
            sqlx::query("DELETE FROM live_calls WHERE id = $1")
                .bind(call.id)
                .execute(&mut *transaction)
                .await?;
        }
        for gap in &batch.gaps {
            insert_gap(&mut transaction, gap).await?;
        }
        if let Some(link) = &batch.link {
            put_link(&mut transaction, pbx, link).await?;
        }
        for step in &batch.hearings {
            note_step(&mut transaction, step).await?;
        }
        for told in &batch.told {
            note_told(&mut transaction, *told).await?;
        }
        Ok(transaction.commit().await?)
    }
}

async fn insert_event(
    db: &mut DbConnection,
    pbx: &PbxId,
    position: u64,
    event: &Event,
) -> Result<(), StoreError> {
    let (stream, number) = event.id().parts();
    let body = event.json();
    // It is there already when the answer to a commit was lost.
    sqlx::query(
        "INSERT INTO events (pbx, position, stream, number, at_ms, kind, call_id, audience_json, departure_json,
            body_json)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (pbx, position) DO UPDATE SET stream = excluded.stream, number = excluded.number,
            at_ms = excluded.at_ms, kind = excluded.kind, call_id = excluded.call_id,
            audience_json = excluded.audience_json, departure_json = excluded.departure_json,
            body_json = excluded.body_json",
    )
    .bind(pbx.as_str())
    .bind(i64::try_from(position).unwrap_or(i64::MAX))
    .bind(stream.as_str())
    .bind(i64::try_from(number).unwrap_or(i64::MAX))
    .bind(to_ms(event.at()))
    .bind(event.kind().as_str())
    .bind(event.call())
    .bind(json(event.audience())?)
    .bind(event.departure().map(json).transpose()?)
    .bind(String::from_utf8_lossy(&body))
    .execute(db)
    .await?;
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(sqlx::Error::Encode(error.into())))
}

/// The event of a row; none when this version does not know what it says.
fn event_of(row: &DbRow) -> Option<LoggedEvent> {
    let text = |column: &str| row.try_get::<String, _>(column).ok();
    let departure = match row.try_get::<Option<String>, _>("departure_json").ok()? {
        Some(json) => Some(serde_json::from_str(&json).ok()?),
        None => None,
    };
    let number = u64::try_from(row.try_get::<i64, _>("number").ok()?).ok()?;
    Some(LoggedEvent {
        position: u64::try_from(row.try_get::<i64, _>("position").ok()?).ok()?,
        id: EventId::of(StreamToken::parse(&text("stream")?).ok()?, number),
        kind: EventKind::parse(&text("kind")?)?,
        at: from_ms(row.try_get("at_ms").ok()?),
        call: row.try_get("call_id").ok()?,
        audience: serde_json::from_str(&text("audience_json")?).ok()?,
        departure,
        json: text("body_json")?,
    })
}
