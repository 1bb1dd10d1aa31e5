//! The SQL of the event log and of the checkpoints.

use sqlx::Row;

use super::audit::write_audit;
use super::faxes::write_fax_publication;
use super::history::{as_written, write_call};
use super::messages::write_publication;
use super::operators::{write_state, write_wrap_up};
use super::pbx_links::{write_gap, write_link};
use super::script::Script;
use super::supervision_log::write_segment_change;
use super::voices::write_voice_publication;
use super::{Backend, DbConnection, DbRow};
use crate::contract::event::{Event, EventKind, LoggedEvent};
use crate::contract::event_id::{EventId, StreamToken};
use crate::contract::history::{CallSource, FinishedCall};
use crate::ids::PbxId;
use crate::journal::entry::{CallCheckpoint, JournalEntry};
use crate::journal::queue::Batch;
use crate::store::erasure::without_notes;
use crate::store::log::{LogLimits, StoredLog};
use crate::store::{StoreError, from_ms, to_ms};

/// Most events of one statement.
const EVENTS_PER_INSERT_MAX: usize = 32;
/// After how many events those that are too old for a resume are deleted.
const EVENTS_PER_DELETE: u64 = 32;

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
        let mut script = Script::default();
        if batch.truncated {
            script.statement("DELETE FROM events WHERE pbx = $1").bind(pbx.as_str().to_owned());
        }
        insert_events(&mut script, pbx, batch)?;
        // Now and then: most batches have nothing to delete.
        let reached = |position: u64| position / EVENTS_PER_DELETE;
        let (first, after) = (batch.first_position, batch.first_position + batch.events.len() as u64);
        if !batch.events.is_empty() && reached(first) != reached(after) {
            script
                .statement("DELETE FROM events WHERE pbx = $1 AND position < $2")
                .bind(pbx.as_str().to_owned())
                .bind(i64::try_from(batch.oldest_position).unwrap_or(i64::MAX));
        }
        if batch.entries.iter().all(is_scripted) {
            for entry in &batch.entries {
                push_entry(&mut script, pbx, entry)?;
            }
            return self.commit_script(script, pbx, stream).await;
        }
        let mut transaction = self.begin_log().await?;
        own_log(&mut transaction, pbx, stream).await?;
        script.run(&mut transaction).await?;
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

/// Refuses to write a log that another daemon has claimed. Updates the log's own row, so that a daemon that claims it waits
/// for this transaction, and the next one of this daemon finds the other stream.
pub(super) async fn own_log(
    db: &mut DbConnection,
    pbx: &PbxId,
    stream: &StreamToken,
) -> Result<(), StoreError> {
    let owned = sqlx::query("UPDATE event_logs SET stream = $2 WHERE pbx = $1 AND stream = $2")
        .bind(pbx.as_str())
        .bind(stream.as_str())
        .execute(db)
        .await?;
    if owned.rows_affected() == 0 { Err(StoreError::Displaced) } else { Ok(()) }
}

/// Whether an entry is written by statements alone, which read nothing back.
fn is_scripted(entry: &JournalEntry) -> bool {
    match entry {
        JournalEntry::Checkpoint(_) | JournalEntry::OperatorState(_) | JournalEntry::WrapUp(_) => true,
        JournalEntry::Finished(call) => call.source == CallSource::Seen,
        _ => false,
    }
}

/// Writes an entry: one function per kind, each beside the other statements of its topic.
async fn write_entry(db: &mut DbConnection, pbx: &PbxId, entry: &JournalEntry) -> Result<(), StoreError> {
    match entry {
        JournalEntry::Finished(call) => {
            let mut script = Script::default();
            push_finished(&mut script, &*as_written(db, call).await?);
            Ok(script.run(db).await?)
        }
        JournalEntry::Checkpoint(_) | JournalEntry::OperatorState(_) | JournalEntry::WrapUp(_) => {
            let mut script = Script::default();
            push_entry(&mut script, pbx, entry)?;
            Ok(script.run(db).await?)
        }
        JournalEntry::MessagePublished(publication) => write_publication(db, *publication).await,
        JournalEntry::FaxPublished(id) => write_fax_publication(db, *id).await,
        JournalEntry::VoicePublished(id) => write_voice_publication(db, *id).await,
        JournalEntry::Gap(gap) => write_gap(db, gap).await,
        JournalEntry::PbxLink(link) => write_link(db, pbx, link).await,
        JournalEntry::SegmentChange(change) => write_segment_change(db, change).await,
        JournalEntry::Audit(entry) => write_audit(db, entry).await,
    }
}

/// The statements of the entries that every call brings ([`is_scripted`]).
fn push_entry(script: &mut Script, pbx: &PbxId, entry: &JournalEntry) -> Result<(), StoreError> {
    match entry {
        JournalEntry::Checkpoint(checkpoint) => push_checkpoint(script, pbx, checkpoint)?,
        JournalEntry::Finished(call) => push_finished(script, call),
        JournalEntry::OperatorState(change) => write_state(script, change),
        JournalEntry::WrapUp(record) => write_wrap_up(script, record),
        JournalEntry::MessagePublished(_)
        | JournalEntry::FaxPublished(_)
        | JournalEntry::VoicePublished(_)
        | JournalEntry::Gap(_)
        | JournalEntry::PbxLink(_)
        | JournalEntry::SegmentChange(_)
        | JournalEntry::Audit(_) => {}
    }
    Ok(())
}

fn push_finished(script: &mut Script, call: &FinishedCall) {
    write_call(script, call);
    // The call is in one of the two.
    script.statement("DELETE FROM call_checkpoints WHERE id = $1").bind(call.id);
}

fn push_checkpoint(script: &mut Script, pbx: &PbxId, checkpoint: &CallCheckpoint) -> Result<(), StoreError> {
    script
        .statement(
            "INSERT INTO call_checkpoints (id, pbx, checkpoint_json) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET checkpoint_json = excluded.checkpoint_json",
        )
        .bind(checkpoint.snapshot.id)
        .bind(pbx.as_str().to_owned())
        .bind(json(checkpoint)?);
    Ok(())
}

/// Writes the events of a batch, up to [`EVENTS_PER_INSERT_MAX`] with one statement.
fn insert_events(script: &mut Script, pbx: &PbxId, batch: &Batch) -> Result<(), StoreError> {
    let mut positions = batch.first_position..;
    for events in batch.events.chunks(EVENTS_PER_INSERT_MAX) {
        script.statement(
            "INSERT INTO events (pbx, position, stream, number, at_ms, kind, call_id, audience_json,
                visibility_loss_json, body_json) VALUES ",
        );
        for (n, (event, position)) in events.iter().zip(positions.by_ref()).enumerate() {
            script.push(if n > 0 { ", (" } else { "(" });
            push_event(script, pbx, event, position)?;
            script.push(")");
        }
        // A row exists when the answer to the commit of an earlier try was lost.
        script.push(
            " ON CONFLICT (pbx, position) DO UPDATE SET stream = excluded.stream, number = excluded.number,
                at_ms = excluded.at_ms, kind = excluded.kind, call_id = excluded.call_id,
                audience_json = excluded.audience_json, visibility_loss_json = excluded.visibility_loss_json,
                body_json = excluded.body_json",
        );
    }
    Ok(())
}

fn push_event(script: &mut Script, pbx: &PbxId, event: &Event, position: u64) -> Result<(), StoreError> {
    let (stream, number) = event.id().parts();
    script.push_bind(pbx.as_str().to_owned()).push(", ");
    script.push_bind(i64::try_from(position).unwrap_or(i64::MAX)).push(", ");
    script.push_bind(stream.as_str().to_owned()).push(", ");
    script.push_bind(i64::try_from(number).unwrap_or(i64::MAX)).push(", ");
    script.push_bind(to_ms(event.at())).push(", ");
    script.push_bind(event.kind().as_str()).push(", ");
    script.push_bind(event.call()).push(", ");
    script.push_bind(json(event.audience())?).push(", ");
    script.push_bind(event.visibility_loss().map(json).transpose()?).push(", ");
    let body = String::from_utf8_lossy(&event.json()).into_owned();
    // Notes on a call whose caller was erased are not kept, as in `wrap_ups`.
    let without =
        (event.kind() == EventKind::CallDisposed).then(|| without_notes(&body)).flatten().zip(event.call());
    match without {
        Some((without, call)) => {
            script.push("CASE WHEN EXISTS (SELECT 1 FROM erased_calls WHERE call_id = ").push_bind(call);
            script.push(") THEN ").push_bind(without).push(" ELSE ").push_bind(body).push(" END");
        }
        None => {
            script.push_bind(body);
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::event::Audience;

    fn event(position: u64) -> Arc<Event> {
        Arc::new(Event::from_log(LoggedEvent {
            position,
            id: EventId::new(StreamToken::parse("a1").unwrap(), position),
            kind: EventKind::CallOffered,
            at: from_ms(i64::try_from(position).unwrap()),
            call: None,
            audience: Audience::All,
            visibility_loss: None,
            json: format!(r#"{{"id":"a1-{position}","kind":"call.offered"}}"#),
        }))
    }

    #[tokio::test]
    async fn batches_of_any_length_are_read_back_whole_and_old_events_go() {
        const KEPT: u64 = 20;
        let (_held, store) = super::super::empty_store().await;
        let (pbx, stream) = (PbxId::parse("lab").unwrap(), StreamToken::parse("a1").unwrap());
        store.claim_log(&pbx, &stream).await.unwrap();
        let limits = LogLimits { events_max: 1_000, bytes_max: usize::MAX, since: from_ms(0) };
        let mut next = 1;
        for length in [1, 2, 3, 7, 31, 32, 33, 64, 71] {
            let events: Vec<_> = (next..next + length).map(event).collect();
            let oldest_position = (next + length).saturating_sub(KEPT);
            let batch = Batch { first_position: next, events, oldest_position, ..Batch::default() };
            // The answer to the first commit was lost.
            for _ in 0..2 {
                store.write_log(&pbx, &stream, &batch).await.unwrap();
            }
            next += length;
            let log = store.read_log(&pbx, limits).await.unwrap();
            assert_eq!(log.head, next - 1);
            let kept = log.events.len() as u64;
            assert!(kept >= KEPT.min(next - 1) && kept < KEPT + length + EVENTS_PER_DELETE, "{kept}");
            for (logged, position) in log.events.iter().zip(next - kept..) {
                assert_eq!(
                    (logged.position, logged.json.as_bytes()),
                    (position, &event(position).json()[..])
                );
            }
        }
    }
}
