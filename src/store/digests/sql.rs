//! The SQL of digests.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use super::deliveries::{enqueue_deliveries, write_summary};
use super::dispatches::{apply, notice, present_state};
use super::messages::{hold, message_of, read_message};
use super::routes::account_routes;
use super::{Backend, DbConnection, DbRow};
use crate::contract::delivery::DispatchState;
use crate::contract::event::EventKind;
use crate::contract::message::{MessageKind, MessageState, message_day, message_number};
use crate::contract::time::time as wire_time;
use crate::ids::{PbxId, RecordId};
use crate::route::{Digest, DispatchInput, IfEmpty, LATE_MAX, World};
use crate::store::digests::{
    CallCounts, DISPOSITIONS_MAX, DUE_MAX, DigestFacts, DigestItem, DigestReport, DigestRun, DigestTimer,
    DispositionCount, DueDigests, GAPS_MAX, ITEMS_MAX, RUNS_MAX, RunOutcome, RunWhen,
};
use crate::store::{StoreError, from_ms, to_ms};

/// How far back a run looks for messages that are older than its time: they waited for their own time, or for this digest.
const LOOKBACK_MS: i64 = 31 * 86_400_000;
/// A message may be committed so much later than its time says.
const LATE_COMMIT_MS: i64 = 600_000;

impl Backend {
    pub(in crate::store) async fn due_digests(&self, now: Timestamp) -> Result<DueDigests, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT * FROM digest_timers AS t WHERE ",
            account_is_kept!("t"),
            " ORDER BY t.due_ms LIMIT $1"
        ))
        .bind(i64::from(DUE_MAX) + 1)
        .fetch_all(self.readers())
        .await?;
        let timers = rows.iter().map(timer_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let next_at = timers.iter().map(|timer| timer.next_at).find(|at| *at > now);
        let due = timers.into_iter().filter(|timer| timer.next_at <= now).take(DUE_MAX as usize).collect();
        Ok(DueDigests { due, next_at })
    }

    pub(in crate::store) async fn digest_timers(
        &self,
        account: RecordId,
    ) -> Result<Vec<DigestTimer>, StoreError> {
        let rows = sqlx::query("SELECT * FROM digest_timers WHERE account_id = $1 ORDER BY name")
            .bind(account)
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(timer_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn digest_runs(
        &self,
        account: RecordId,
    ) -> Result<Vec<DigestRun>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.*, m.state FROM digests AS r JOIN messages AS m ON m.id = r.message_id
             WHERE r.account_id = $1 ORDER BY r.at_ms DESC, r.message_id DESC LIMIT $2",
        )
        .bind(account)
        .bind(i64::from(RUNS_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(run_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn run_digest(
        &self,
        account: RecordId,
        name: &str,
        when: RunWhen,
        (pbx, now): (&PbxId, Timestamp),
    ) -> Result<RunOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        // Holds the digest: another daemon that comes to the row waits, and finds it no longer due.
        let row = sqlx::query(
            "UPDATE digest_timers SET due_ms = due_ms WHERE account_id = $1 AND name = $2 RETURNING *",
        )
        .bind(account)
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(timer) = row.as_ref().map(timer_of).transpose()? else { return Ok(RunOutcome::Unknown) };
        if when == RunWhen::Due && timer.next_at > now {
            return Ok(RunOutcome::NotDue);
        }
        let routes = account_routes(&mut transaction, account).await?;
        let Some(digest) = routes.own.as_ref().and_then(|own| own.digest(name)) else {
            // A document that a later version of the program wrote.
            return Ok(RunOutcome::Unknown);
        };
        let next = if when == RunWhen::Due {
            digest.next_after(timer.next_at, &routes.world.zone()).unwrap_or(Timestamp::MAX)
        } else {
            timer.next_at
        };
        let late_at = timer.next_at.checked_add(LATE_MAX).unwrap_or(Timestamp::MAX);
        let outcome = if when == RunWhen::Due && now > late_at {
            let missed = DigestTimer { next_at: next, missed_at: Some(timer.next_at), ..timer };
            write_timer(&mut transaction, &missed).await?;
            RunOutcome::Missed
        } else {
            // At once: with what was saved in this millisecond.
            let soon = now.checked_add(Duration::from_millis(1)).unwrap_or(now);
            let to = if when == RunWhen::Due { timer.next_at } else { soon };
            let run = Run { digest, world: &routes.world, timer: &timer, to, pbx, now };
            let (outcome, has_more) = run.make(&mut transaction).await?;
            // The rest follows at once, as the same time's.
            if !has_more {
                let done =
                    DigestTimer { next_at: next, since: to.max(timer.since), missed_at: None, ..timer };
                write_timer(&mut transaction, &done).await?;
            }
            outcome
        };
        transaction.commit().await?;
        Ok(outcome)
    }
}

/// A run that is made.
struct Run<'a> {
    digest: &'a Digest,
    world: &'a World,
    timer: &'a DigestTimer,
    to: Timestamp,
    pbx: &'a PbxId,
    now: Timestamp,
}

impl Run<'_> {
    /// Makes the message, its items and its deliveries; also whether there are more messages.
    async fn make(&self, db: &mut DbConnection) -> Result<(RunOutcome, bool), StoreError> {
        let mut items = self.items(&mut *db).await?;
        let has_more = items.len() > ITEMS_MAX as usize;
        items.truncate(ITEMS_MAX as usize);
        let (calls, dispositions, gaps) = match self.digest.calls {
            true => (
                Some(self.calls(&mut *db).await?),
                self.dispositions(&mut *db).await?,
                self.gaps(&mut *db).await?,
            ),
            false => (None, Vec::new(), Vec::new()),
        };
        let is_empty = items.is_empty() && calls.unwrap_or_default().offered == 0 && gaps.is_empty();
        if is_empty && self.digest.if_empty == IfEmpty::Skip && self.timer.missed_at.is_none() {
            return Ok((RunOutcome::Empty, false));
        }
        let report = DigestReport {
            calls,
            dispositions,
            gaps,
            missed_ms: self.timer.missed_at.map(to_ms),
            has_more,
            csv: self.digest.csv,
        };
        let id = RecordId(Uuid::now_v7());
        self.insert_message(&mut *db, id, items.len()).await?;
        self.insert_run(&mut *db, id, &report, &items).await?;
        let message = read_message(&mut *db, id).await?;
        enqueue_deliveries(&mut *db, &message, (self.now, self.now)).await?;
        settle_items(db, id, self.now).await?;
        Ok((RunOutcome::Made(id), has_more))
    }

    /// The messages to report and whether each waits for this digest; one more than a run has.
    async fn items(&self, db: &mut DbConnection) -> Result<Vec<(RecordId, i64, bool)>, StoreError> {
        let since = to_ms(self.timer.since);
        let rows = sqlx::query(
            "SELECT m.id, m.revision, coalesce(d.digest = $4, FALSE) AS is_waiting
             FROM messages AS m LEFT JOIN dispatches AS d ON d.message_id = m.id AND d.revision = m.revision
                AND d.state IN ('running', 'unreached')
             WHERE m.account_id = $1 AND m.created_ms >= $2 AND m.created_ms < $3 AND m.deleted_ms IS NULL
                AND m.kind IN ('message', 'report', 'fax', 'voice', 'callback') AND coalesce(m.hold_until_ms, 0) <= $3
                AND (coalesce(d.digest = $4, FALSE) OR ((m.created_ms >= $5 OR coalesce(m.hold_until_ms, 0) >= $6)
                    AND ($7 = 'all' OR ($7 = 'low' AND m.urgency = 'low')
                        OR ($7 = 'unacknowledged' AND m.state <> 'acknowledged'))))
                AND NOT EXISTS (SELECT 1 FROM digest_items AS i
                    WHERE i.message_id = m.id AND i.revision = m.revision AND i.name = $4)
             ORDER BY m.created_ms, m.id LIMIT $8",
        )
        .bind(self.timer.account)
        .bind(since - LOOKBACK_MS)
        .bind(to_ms(self.to))
        .bind(&self.digest.name)
        .bind(since - LATE_COMMIT_MS)
        .bind(since)
        .bind(self.digest.include.as_str())
        .bind(i64::from(ITEMS_MAX) + 1)
        .fetch_all(db)
        .await?;
        let item = |row: &DbRow| {
            Ok((row.try_get("id")?, row.try_get("revision")?, row.try_get::<bool, _>("is_waiting")?))
        };
        Ok(rows.iter().map(item).collect::<Result<_, sqlx::Error>>()?)
    }

    async fn calls(&self, db: &mut DbConnection) -> Result<CallCounts, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT outcome, count(*) FROM calls WHERE account_id = $1 AND offered_ms >= $2 AND offered_ms < $3
                AND direction = 'inbound' GROUP BY outcome",
        )
        .bind(self.timer.account)
        .bind(to_ms(self.timer.since))
        .bind(to_ms(self.to))
        .fetch_all(db)
        .await?;
        let mut counts = CallCounts::default();
        for (outcome, count) in rows {
            let count = u64::try_from(count).unwrap_or(0);
            counts.offered += count;
            match outcome.as_str() {
                "answered" => counts.answered += count,
                "abandoned" => counts.abandoned += count,
                _ => {}
            }
        }
        Ok(counts)
    }

    /// What came of the calls, by the after-call work.
    async fn dispositions(&self, db: &mut DbConnection) -> Result<Vec<DispositionCount>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT w.disposition, count(DISTINCT c.id) AS calls FROM calls AS c CROSS JOIN wrap_ups AS w
             WHERE c.account_id = $1 AND c.offered_ms >= $2 AND c.offered_ms < $3 AND c.direction = 'inbound'
                AND w.call_id = c.id AND w.disposition IS NOT NULL
             GROUP BY w.disposition ORDER BY calls DESC, w.disposition LIMIT $4",
        )
        .bind(self.timer.account)
        .bind(to_ms(self.timer.since))
        .bind(to_ms(self.to))
        .bind(i64::from(DISPOSITIONS_MAX))
        .fetch_all(db)
        .await?;
        let count = |(code, calls)| DispositionCount { code, calls: u64::try_from(calls).unwrap_or(0) };
        Ok(rows.into_iter().map(count).collect())
    }

    /// When no daemon followed a PBX. One that is not over yet ends with the run.
    async fn gaps(&self, db: &mut DbConnection) -> Result<Vec<(i64, i64)>, StoreError> {
        let (from, to) = (to_ms(self.timer.since), to_ms(self.to));
        let mut gaps: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT from_ms, to_ms FROM pbx_gaps WHERE to_ms > $1 AND from_ms < $2 ORDER BY from_ms LIMIT $3",
        )
        .bind(from)
        .bind(to)
        .bind(i64::from(GAPS_MAX))
        .fetch_all(&mut *db)
        .await?;
        let down: Vec<i64> = sqlx::query_scalar(
            "SELECT since_ms FROM pbx_links WHERE NOT up AND since_ms < $1 ORDER BY since_ms LIMIT $2",
        )
        .bind(to)
        .bind(i64::from(GAPS_MAX))
        .fetch_all(db)
        .await?;
        gaps.extend(down.into_iter().map(|since| (since, to)));
        Ok(gaps.into_iter().map(|(begins, ends)| (begins.max(from), ends.min(to))).collect())
    }

    async fn insert_message(
        &self,
        db: &mut DbConnection,
        id: RecordId,
        items: usize,
    ) -> Result<(), StoreError> {
        let day = message_day(self.now, &self.world.installation_zone);
        let count: i64 = sqlx::query_scalar(
            "INSERT INTO message_days (day, last) VALUES ($1, 1)
             ON CONFLICT (day) DO UPDATE SET last = message_days.last + 1 RETURNING last",
        )
        .bind(&day)
        .fetch_one(&mut *db)
        .await?;
        let until = self.to.to_zoned(self.world.zone()).strftime("%m/%d %H:%M").to_string();
        let text = format!("まとめ報告「{}」 {until}まで {items}件", self.digest.name);
        sqlx::query(
            "INSERT INTO messages (id, account_id, kind, text, created_ms, changed_ms, pbx, number)
             VALUES ($1, $2, $3, $4, $5, $5, $6, $7)",
        )
        .bind(id)
        .bind(self.timer.account)
        .bind(MessageKind::Digest.as_str())
        .bind(&text)
        .bind(to_ms(self.now))
        .bind(self.pbx.as_str())
        .bind(message_number(&day, count))
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "INSERT INTO message_revisions (message_id, revision, content_json, by_name, at_ms)
             VALUES ($1, 1, $2, $3, $4)",
        )
        .bind(id)
        .bind(json!({ "text": text }).to_string())
        .bind("")
        .bind(to_ms(self.now))
        .execute(db)
        .await?;
        Ok(())
    }

    async fn insert_run(
        &self,
        db: &mut DbConnection,
        id: RecordId,
        report: &DigestReport,
        items: &[(RecordId, i64, bool)],
    ) -> Result<(), StoreError> {
        let report = serde_json::to_string(report).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(
            "INSERT INTO digests (message_id, account_id, name, from_ms, to_ms, at_ms, items, report_json)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(self.timer.account)
        .bind(&self.digest.name)
        .bind(to_ms(self.timer.since))
        .bind(to_ms(self.to))
        .bind(to_ms(self.now))
        .bind(i64::try_from(items.len()).unwrap_or(i64::MAX))
        .bind(report)
        .execute(&mut *db)
        .await?;
        for (message, revision, is_waiting) in items {
            sqlx::query(
                "INSERT INTO digest_items (digest_id, message_id, revision, name, is_waiting) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(id)
            .bind(message)
            .bind(revision)
            .bind(&self.digest.name)
            .bind(is_waiting)
            .execute(&mut *db)
            .await?;
        }
        Ok(())
    }
}

/// The route of a digest whose message is `message`.
pub(super) async fn digest_name(
    db: &mut DbConnection,
    message: RecordId,
) -> Result<Option<String>, StoreError> {
    let name = sqlx::query_scalar("SELECT name FROM digests WHERE message_id = $1");
    Ok(name.bind(message).fetch_optional(db).await?)
}

/// Once a digest was sent, or cannot be: the messages that waited for it are sent, or failed.
pub(super) async fn settle_items(
    db: &mut DbConnection,
    digest: RecordId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let taken = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE message_id = $1 AND state IN ('sent', 'delivered'))",
    );
    let is_sent: bool = taken.bind(digest).fetch_one(&mut *db).await?;
    let route = present_state(&mut *db, digest).await?;
    if !is_sent && route.is_none_or(|present| present.state != DispatchState::Unreached) {
        // It waits, or goes to another address.
        return Ok(());
    }
    if is_sent {
        note_sent(&mut *db, digest, now).await?;
    }
    let items: Vec<RecordId> = sqlx::query_scalar(
        "SELECT message_id FROM digest_items WHERE digest_id = $1 AND is_waiting ORDER BY message_id",
    )
    .bind(digest)
    .fetch_all(&mut *db)
    .await?;
    for item in items {
        hold(&mut *db, item).await?;
        apply(&mut *db, item, DispatchInput::Digest { is_sent }, now).await?;
        write_summary(&mut *db, item, now).await?;
    }
    Ok(())
}

/// Adds the event that a digest was sent: with its first recipient, before the message shows that it was sent.
async fn note_sent(db: &mut DbConnection, digest: RecordId, now: Timestamp) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT r.*, m.state, m.number FROM digests AS r JOIN messages AS m ON m.id = r.message_id
         WHERE r.message_id = $1 AND m.sent_ms IS NULL AND m.state <> 'acknowledged'",
    )
    .bind(digest)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let (run, number) = (run_of(&row)?, row.try_get::<Option<String>, _>("number")?);
    let data = json!({
        "message": run.message, "number": number, "account": run.account, "name": run.name,
        "from": wire_time(run.from), "to": wire_time(run.to), "items": run.items,
    });
    notice(db, digest, EventKind::DigestSent, &data, now).await
}

/// Enters the times of the digests in the document that an account has now. One that goes on keeps what it has reported.
pub(super) async fn write_timers(
    db: &mut DbConnection,
    account: RecordId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let routes = account_routes(&mut *db, account).await?;
    let digests = routes.own.map(|own| own.digests).unwrap_or_default();
    let known: Vec<String> = sqlx::query_scalar("SELECT name FROM digest_timers WHERE account_id = $1")
        .bind(account)
        .fetch_all(&mut *db)
        .await?;
    for name in known.iter().filter(|name| digests.iter().all(|digest| digest.name != **name)) {
        sqlx::query("DELETE FROM digest_timers WHERE account_id = $1 AND name = $2")
            .bind(account)
            .bind(name)
            .execute(&mut *db)
            .await?;
    }
    for digest in &digests {
        let Some(next) = digest.next_after(now, &routes.world.zone()) else { continue };
        sqlx::query(
            "INSERT INTO digest_timers (account_id, name, due_ms, since_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account_id, name) DO UPDATE SET due_ms = excluded.due_ms",
        )
        .bind(account)
        .bind(&digest.name)
        .bind(to_ms(next))
        .bind(to_ms(now))
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// What the mail of a digest says.
pub(super) async fn digest_facts(
    db: &mut DbConnection,
    message: RecordId,
) -> Result<Option<DigestFacts>, StoreError> {
    let run = sqlx::query(
        "SELECT r.*, m.state FROM digests AS r JOIN messages AS m ON m.id = r.message_id WHERE r.message_id = $1",
    )
    .bind(message)
    .fetch_optional(&mut *db)
    .await?;
    let Some(run) = run.as_ref().map(run_of).transpose()? else { return Ok(None) };
    let rows = sqlx::query(concat!(
        "SELECT m.*, c.name AS contact_name, ",
        message_is_being_erased!(),
        " AS is_erased FROM digest_items AS i JOIN messages AS m ON m.id = i.message_id
         LEFT JOIN contacts AS c ON c.id = m.contact_id
         WHERE i.digest_id = $1 AND m.deleted_ms IS NULL ORDER BY m.created_ms, m.id"
    ))
    .bind(message)
    .fetch_all(db)
    .await?;
    let item = |row: &DbRow| {
        Ok(DigestItem { message: message_of(row)?, contact_name: row.try_get("contact_name")? })
    };
    let items = rows.iter().map(item).collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Some(DigestFacts { run, items }))
}

async fn write_timer(db: &mut DbConnection, timer: &DigestTimer) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE digest_timers SET due_ms = $3, since_ms = $4, missed_ms = $5 WHERE account_id = $1 AND name = $2",
    )
    .bind(timer.account)
    .bind(&timer.name)
    .bind(to_ms(timer.next_at))
    .bind(to_ms(timer.since))
    .bind(timer.missed_at.map(to_ms))
    .execute(db)
    .await?;
    Ok(())
}

fn timer_of(row: &DbRow) -> Result<DigestTimer, sqlx::Error> {
    Ok(DigestTimer {
        account: row.try_get("account_id")?,
        name: row.try_get("name")?,
        next_at: from_ms(row.try_get("due_ms")?),
        since: from_ms(row.try_get("since_ms")?),
        missed_at: row.try_get::<Option<i64>, _>("missed_ms")?.map(from_ms),
    })
}

fn run_of(row: &DbRow) -> Result<DigestRun, sqlx::Error> {
    let report: String = row.try_get("report_json")?;
    Ok(DigestRun {
        message: row.try_get("message_id")?,
        account: row.try_get("account_id")?,
        name: row.try_get("name")?,
        from: from_ms(row.try_get("from_ms")?),
        to: from_ms(row.try_get("to_ms")?),
        at: from_ms(row.try_get("at_ms")?),
        items: u32::try_from(row.try_get::<i64, _>("items")?).unwrap_or(u32::MAX),
        state: MessageState::parse(row.try_get("state")?).unwrap_or(MessageState::Open),
        report: serde_json::from_str(&report).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
