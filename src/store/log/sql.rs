//! The SQL of the event log and of the checkpoints.

use sqlx::Row;

use super::audit::write_audit;
use super::faxes::write_fax_publication;
use super::history::write_call;
use super::messages::write_publication;
use super::operators::{write_state, write_wrap_up};
use super::pbx_links::{write_gap, write_link};
use super::supervision_log::write_segment_change;
use super::{Backend, DbConnection, DbRow};
use crate::contract::event::{Event, EventKind, LoggedEvent};
use crate::contract::event_id::{EventId, StreamToken};
use crate::contract::history::FinishedCall;
use crate::ids::PbxId;
use crate::journal::entry::{CallCheckpoint, JournalEntry};
use crate::journal::queue::Batch;
use crate::store::log::{LogLimits, StoredLog};
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
        .execute(&mut *self.write_log_once().await?)
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn save_visibility(
        &self,
        pbx: &PbxId,
        fingerprint: &str,
        position: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE event_logs SET visibility_fingerprint = $2, visibility_position = $3 WHERE pbx = $1",
        )
        .bind(pbx.as_str())
        .bind(fingerprint)
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .execute(&mut *self.write_log_once().await?)
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn read_log(
        &self,
        pbx: &PbxId,
        limits: LogLimits,
    ) -> Result<StoredLog, StoreError> {
        let mut transaction = self.begin_restoring().await?;
        let rows = sqlx::query("SELECT * FROM events WHERE pbx = $1 ORDER BY position DESC LIMIT $2")
            .bind(pbx.as_str())
            .bind(i64::try_from(limits.events_max).unwrap_or(i64::MAX))
            .fetch_all(&mut *transaction)
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
        let rows = sqlx::query("SELECT checkpoint_json FROM call_checkpoints WHERE pbx = $1 ORDER BY id")
            .bind(pbx.as_str())
            .fetch_all(&mut *transaction)
            .await?;
        let mut checkpoints = Vec::with_capacity(rows.len());
        for row in &rows {
            match serde_json::from_str::<CallCheckpoint>(row.try_get("checkpoint_json")?) {
                Ok(checkpoint) => checkpoints.push(checkpoint),
                Err(error) => tracing::warn!(%error, "ignoring a call checkpoint that cannot be read"),
            }
        }
        let row = sqlx::query(
            "SELECT visibility_fingerprint, visibility_position,
                (SELECT max(position) FROM events WHERE pbx = $1) AS head
             FROM event_logs WHERE pbx = $1",
        )
        .bind(pbx.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let mut log = StoredLog { events, checkpoints, ..StoredLog::default() };
        if let Some(row) = row {
            let position = |value: i64| u64::try_from(value).unwrap_or(0);
            log.head = position(row.try_get::<Option<i64>, _>("head")?.unwrap_or(0));
            let from = position(row.try_get("visibility_position")?);
            let fingerprint: Option<String> = row.try_get("visibility_fingerprint")?;
            log.visibility = fingerprint.map(|fingerprint| (fingerprint, from));
        }
        Ok(log)
    }

    pub(in crate::store) async fn write_log(
        &self,
        pbx: &PbxId,
        stream: &StreamToken,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_log().await?;
        // Updates its own row, so that a daemon that claims the log waits for this transaction, and the next one of this
        // daemon finds the other stream.
        let owned = sqlx::query("UPDATE event_logs SET stream = $2 WHERE pbx = $1 AND stream = $2")
            .bind(pbx.as_str())
            .bind(stream.as_str())
            .execute(&mut *transaction)
            .await?;
        if owned.rows_affected() == 0 {
            return Err(StoreError::Displaced);
        }
        if batch.truncated {
            sqlx::query("DELETE FROM events WHERE pbx = $1")
                .bind(pbx.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        for (position, event) in (batch.first_position..).zip(&batch.events) {
            insert_event(&mut transaction, pbx, position, event).await?;
        }
        if !batch.events.is_empty() {
            sqlx::query("DELETE FROM events WHERE pbx = $1 AND position < $2")
                .bind(pbx.as_str())
                .bind(i64::try_from(batch.oldest_position).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await?;
        }
        for entry in &batch.entries {
            write_entry(&mut transaction, pbx, entry).await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn write_entry(
        &self,
        pbx: &PbxId,
        entry: &JournalEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_log().await?;
        write_entry(&mut transaction, pbx, entry).await?;
        Ok(transaction.commit().await?)
    }
}

/// Writes an entry: one function per kind, each beside the other statements of its topic.
async fn write_entry(db: &mut DbConnection, pbx: &PbxId, entry: &JournalEntry) -> Result<(), StoreError> {
    match entry {
        JournalEntry::Checkpoint(checkpoint) => write_checkpoint(db, pbx, checkpoint).await,
        JournalEntry::Finished(call) => finish_call(db, call).await,
        JournalEntry::MessagePublished(publication) => write_publication(db, *publication).await,
        JournalEntry::FaxPublished(id) => write_fax_publication(db, *id).await,
        JournalEntry::Gap(gap) => write_gap(db, gap).await,
        JournalEntry::PbxLink(link) => write_link(db, pbx, link).await,
        JournalEntry::SegmentChange(change) => write_segment_change(db, change).await,
        JournalEntry::Audit(entry) => write_audit(db, entry).await,
        JournalEntry::OperatorState(change) => write_state(db, change).await,
        JournalEntry::WrapUp(record) => write_wrap_up(db, record).await,
    }
}

async fn write_checkpoint(
    db: &mut DbConnection,
    pbx: &PbxId,
    checkpoint: &CallCheckpoint,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO call_checkpoints (id, pbx, checkpoint_json) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET checkpoint_json = excluded.checkpoint_json",
    )
    .bind(checkpoint.snapshot.id)
    .bind(pbx.as_str())
    .bind(json(checkpoint)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes the record of a call and deletes its checkpoint.
async fn finish_call(db: &mut DbConnection, call: &FinishedCall) -> Result<(), StoreError> {
    write_call(db, call).await?;
    sqlx::query("DELETE FROM call_checkpoints WHERE id = $1").bind(call.id).execute(db).await?;
    Ok(())
}

async fn insert_event(
    db: &mut DbConnection,
    pbx: &PbxId,
    position: u64,
    event: &Event,
) -> Result<(), StoreError> {
    let (stream, number) = event.id().parts();
    let body = event.json();
    // The row exists when the answer to the commit of an earlier try was lost.
    sqlx::query(
        "INSERT INTO events (pbx, position, stream, number, at_ms, kind, call_id, audience_json,
            visibility_loss_json, body_json)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (pbx, position) DO UPDATE SET stream = excluded.stream, number = excluded.number,
            at_ms = excluded.at_ms, kind = excluded.kind, call_id = excluded.call_id,
            audience_json = excluded.audience_json, visibility_loss_json = excluded.visibility_loss_json,
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
    .bind(event.visibility_loss().map(json).transpose()?)
    .bind(String::from_utf8_lossy(&body))
    .execute(db)
    .await?;
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(sqlx::Error::Encode(error.into())))
}

/// The event of a row; `None` when this version cannot read it.
fn event_of(row: &DbRow) -> Option<LoggedEvent> {
    let text = |column: &str| row.try_get::<String, _>(column).ok();
    let visibility_loss = match row.try_get::<Option<String>, _>("visibility_loss_json").ok()? {
        Some(json) => Some(serde_json::from_str(&json).ok()?),
        None => None,
    };
    let number = u64::try_from(row.try_get::<i64, _>("number").ok()?).ok()?;
    Some(LoggedEvent {
        position: u64::try_from(row.try_get::<i64, _>("position").ok()?).ok()?,
        id: EventId::new(StreamToken::parse(&text("stream")?).ok()?, number),
        kind: EventKind::parse(&text("kind")?)?,
        at: from_ms(row.try_get("at_ms").ok()?),
        call: row.try_get("call_id").ok()?,
        audience: serde_json::from_str(&text("audience_json")?).ok()?,
        visibility_loss,
        json: text("body_json")?,
    })
}
