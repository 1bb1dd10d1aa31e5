//! The SQL of deletion.

use jiff::Timestamp;

use super::Backend;
use crate::store::retention::PurgeTarget;
use crate::store::{StoreError, to_ms};

impl Backend {
    pub(in crate::store) async fn purge(
        &self,
        target: PurgeTarget,
        before: Timestamp,
        rows: u32,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query(statement(target))
            .bind(to_ms(before))
            .bind(i64::from(rows))
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected())
    }

    pub(in crate::store) async fn count_due(
        &self,
        target: PurgeTarget,
        before: Timestamp,
        rows: u32,
    ) -> Result<u64, StoreError> {
        let sql = ["SELECT count(*) AS due FROM (", due_rows(target), ") AS due_rows"].concat();
        let due: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(to_ms(before))
            .bind(i64::from(rows))
            .fetch_one(self.readers())
            .await?;
        Ok(due.unsigned_abs())
    }
}

/// The query of the rows that [`statement`] deletes or clears, which stands in the brackets behind its first `IN`: what is
/// counted is what goes.
fn due_rows(target: PurgeTarget) -> &'static str {
    let rows = statement(target).split_once(" IN (").map_or("", |(_, rows)| rows);
    rows.strip_suffix(')').unwrap_or(rows)
}

/// What clears the callers of calls: $1 and $2 as below. The index holds only the calls that are left to do.
const CALLERS: &str = concat!(
    "UPDATE calls SET caller_key = NULL, customer_id = NULL WHERE id IN (
                    SELECT id FROM calls",
    indexed_by!("calls_identified"),
    "WHERE offered_ms < $1 AND (caller_key IS NOT NULL OR customer_id IS NOT NULL)
                    ORDER BY offered_ms LIMIT $2)"
);

/// Files of messages: $1 and $2 as below. The lists go after them, so that a crash leaves no file without one.
const ATTACHMENTS: &str = "DELETE FROM message_files WHERE message_id IN (SELECT m.id FROM messages AS m
    WHERE m.created_ms < $1 AND m.files_json <> '[]'
        AND EXISTS (SELECT 1 FROM message_files AS f WHERE f.message_id = m.id) ORDER BY m.created_ms LIMIT $2)";
const ATTACHMENT_LISTS: &str = "UPDATE messages SET files_json = '[]' WHERE id IN (SELECT id FROM messages
    WHERE created_ms < $1 AND files_json <> '[]' ORDER BY created_ms LIMIT $2)";
/// From where answers came.
const ANSWER_ORIGINS: &str =
    "UPDATE message_answers SET client_address = NULL, agent_hash = NULL WHERE id IN (
    SELECT id FROM message_answers WHERE at_ms < $1 AND client_address IS NOT NULL ORDER BY at_ms LIMIT $2)";
/// Files that no message took.
const PENDING_FILES: &str =
    "DELETE FROM pending_files WHERE id IN (SELECT id FROM pending_files WHERE at_ms < $1 LIMIT $2)";
/// What clears the numbers of faxes: $1 and $2 as below.
const FAX_SENDERS: &str = concat!(
    "UPDATE faxes SET caller_key = NULL, station = NULL WHERE id IN (SELECT id FROM faxes",
    indexed_by!("faxes_identified"),
    "WHERE received_ms < $1 AND (caller_key IS NOT NULL OR station IS NOT NULL) ORDER BY received_ms LIMIT $2)"
);

/// What deletes messages that nobody must confirm: $1 and $2 as below.
const MESSAGES: &str = "DELETE FROM messages WHERE id IN (
                SELECT id FROM messages
                WHERE created_ms < $1 AND (state <> 'open' OR deleted_ms IS NOT NULL) LIMIT $2)";

/// What deletes the rows of a target that are older than $1, at most $2 of them.
#[expect(clippy::too_many_lines, reason = "a table")]
fn statement(target: PurgeTarget) -> &'static str {
    match target {
        PurgeTarget::Callers => CALLERS,
        PurgeTarget::Calls => {
            "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE offered_ms < $1 ORDER BY offered_ms LIMIT $2)"
        }
        PurgeTarget::SupervisionLog => {
            "DELETE FROM supervision_log WHERE (supervision_id, from_ms) IN (
                SELECT supervision_id, from_ms FROM supervision_log WHERE from_ms < $1 LIMIT $2)"
        }
        PurgeTarget::Notes => {
            "UPDATE wrap_ups SET notes = NULL WHERE (call_id, user_id, since_ms) IN (
                SELECT call_id, user_id, since_ms FROM wrap_ups WHERE ended_ms < $1 AND notes IS NOT NULL LIMIT $2)"
        }
        PurgeTarget::States => {
            "DELETE FROM operator_history WHERE position IN (
                SELECT position FROM operator_history WHERE at_ms < $1 LIMIT $2)"
        }
        PurgeTarget::WrapUps => {
            "DELETE FROM wrap_ups WHERE (call_id, user_id, since_ms) IN (
                SELECT call_id, user_id, since_ms FROM wrap_ups WHERE ended_ms < $1 LIMIT $2)"
        }
        PurgeTarget::Messages => MESSAGES,
        PurgeTarget::FaxSenders => FAX_SENDERS,
        PurgeTarget::Faxes => {
            "DELETE FROM faxes WHERE id IN (SELECT id FROM faxes WHERE received_ms < $1 ORDER BY received_ms LIMIT $2)"
        }
        PurgeTarget::Drafts => {
            "DELETE FROM drafts WHERE (user_id, call_id) IN (
                SELECT user_id, call_id FROM drafts WHERE changed_ms < $1 LIMIT $2)"
        }
        PurgeTarget::Attachments => ATTACHMENTS,
        PurgeTarget::AttachmentLists => ATTACHMENT_LISTS,
        PurgeTarget::PendingFiles => PENDING_FILES,
        PurgeTarget::AnswerOrigins => ANSWER_ORIGINS,
        PurgeTarget::Notices => {
            "DELETE FROM account_notices WHERE id IN (SELECT id FROM account_notices
                WHERE until_ms < $1 ORDER BY until_ms, id LIMIT $2)"
        }
        PurgeTarget::Callbacks => {
            "DELETE FROM callbacks WHERE call_id IN (SELECT call_id FROM callbacks WHERE at_ms < $1 LIMIT $2)"
        }
        PurgeTarget::Deliveries => {
            "UPDATE deliveries SET address = '', error = NULL WHERE id IN (
                SELECT id FROM deliveries WHERE created_ms < $1 AND address <> ''
                    AND state IN ('sent', 'delivered', 'bounced', 'failed', 'cancelled') LIMIT $2)"
        }
        PurgeTarget::Bounces => {
            "DELETE FROM bounces WHERE id IN (SELECT id FROM bounces WHERE at_ms < $1 LIMIT $2)"
        }
        PurgeTarget::ServiceMails => {
            "DELETE FROM service_mails WHERE id IN (SELECT id FROM service_mails
                WHERE created_ms < $1 AND state NOT IN ('queued', 'sending') LIMIT $2)"
        }
        PurgeTarget::DeliveryLog => {
            "DELETE FROM delivery_log WHERE position IN (
                SELECT position FROM delivery_log WHERE at_ms < $1 LIMIT $2)"
        }
        PurgeTarget::Dispatches => {
            "DELETE FROM dispatches WHERE (message_id, revision) IN (
                SELECT message_id, revision FROM dispatches WHERE changed_ms < $1 AND state <> 'running' LIMIT $2)"
        }
        PurgeTarget::Tasks => {
            "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks
                WHERE created_ms < $1 AND state IN ('done', 'failed', 'cancelled') ORDER BY created_ms LIMIT $2)"
        }
        PurgeTarget::Links => {
            "DELETE FROM ack_links WHERE hash IN (SELECT hash FROM ack_links WHERE expires_ms < $1 LIMIT $2)"
        }
        PurgeTarget::Gaps => {
            "DELETE FROM pbx_gaps WHERE position IN (SELECT position FROM pbx_gaps WHERE to_ms < $1 LIMIT $2)"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RecordId;
    use crate::store::{Store, from_ms};

    const SAKURA: RecordId = RecordId(uuid::Uuid::from_u128(1));
    const TANAKA: RecordId = RecordId(uuid::Uuid::from_u128(7));

    async fn store() -> (impl Sized, Store) {
        let (held, store) = super::super::empty_store().await;
        let writer = super::super::of(&store).writer();
        for sql in [
            "INSERT INTO accounts (id, code, name, created_ms, changed_ms) VALUES ($1, 'A', 'さくら', 0, 0)",
            "INSERT INTO customers (id, account_id, name, created_ms, changed_ms) VALUES ($2, $1, '田中', 0, 0)",
            "INSERT INTO customer_numbers (account_id, key, customer_id, original) VALUES ($1, '+8190', $2, '090')",
        ] {
            let query = sqlx::query(sql).bind(SAKURA);
            let query = if sql.contains("$2") { query.bind(TANAKA) } else { query };
            query.execute(writer).await.unwrap();
        }
        let mut transaction = super::super::of(&store).begin().await.unwrap();
        for n in 0..1_200_u32 {
            sqlx::query(
                "INSERT INTO calls (id, pbx, direction, account_id, caller_key, presentation, offered_ms, ended_ms, outcome)
                 VALUES ($1, 'lab', 'inbound', $2, '+8190', 'allowed', $3, $3, 'answered')",
            )
            .bind(RecordId(uuid::Uuid::from_u128(u128::from(n))))
            .bind(SAKURA)
            .bind(i64::from(n))
            .execute(&mut *transaction)
            .await
            .unwrap();
        }
        for (n, state) in [(5_u32, "open"), (6, "sent")] {
            sqlx::query(
                "INSERT INTO messages (id, account_id, caller_key, text, state, created_ms)
                 VALUES ($1, $2, '+8190', 'call me', $3, $4)",
            )
            .bind(RecordId(uuid::Uuid::from_u128(u128::from(n))))
            .bind(SAKURA)
            .bind(state)
            .bind(i64::from(n))
            .execute(&mut *transaction)
            .await
            .unwrap();
        }
        transaction.commit().await.unwrap();
        (held, store)
    }

    async fn count(store: &Store, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(super::super::of(store).readers()).await.unwrap()
    }

    async fn purge_all(store: &Store, target: PurgeTarget, before: i64) -> u64 {
        let due = store.count_due(target, from_ms(before)).await.unwrap();
        let mut total = 0;
        loop {
            match store.purge(target, from_ms(before), 500).await.unwrap() {
                0 => {
                    assert_eq!(total, due, "{target:?}: what was counted is what went");
                    return total;
                }
                rows => total += rows,
            }
        }
    }

    #[tokio::test]
    async fn what_is_due_goes_and_what_is_not_stays() {
        let (_dir, store) = store().await;
        assert_eq!(purge_all(&store, PurgeTarget::Callers, 1_000).await, 1_000);
        assert_eq!(count(&store, "SELECT count(*) FROM calls WHERE caller_key IS NOT NULL").await, 200);
        assert_eq!(purge_all(&store, PurgeTarget::Calls, 700).await, 700);
        assert_eq!(count(&store, "SELECT count(*) FROM calls").await, 500);
        assert_eq!(purge_all(&store, PurgeTarget::Messages, 1_000).await, 1, "an open message stays");
    }

    #[test]
    fn a_step_takes_as_many_rows_as_the_machine_does_in_its_time() {
        use std::time::Duration;

        use crate::store::retention::{PURGE_ROWS_MAX, PURGE_ROWS_MIN, PURGE_STEP_TARGET, PurgePace};
        let mut pace = PurgePace::default();
        for _ in 0..20 {
            pace.record(PURGE_STEP_TARGET);
        }
        assert_eq!(pace.rows(), PURGE_ROWS_MAX);
        pace.record(PURGE_STEP_TARGET + Duration::from_millis(1));
        assert_eq!(pace.rows(), PURGE_ROWS_MAX / 2);
        for _ in 0..20 {
            pace.record(Duration::from_secs(2));
        }
        assert_eq!(pace.rows(), PURGE_ROWS_MIN);
    }

    #[tokio::test]
    async fn an_old_draft_and_a_failed_or_withdrawn_message_go() {
        let (_dir, store) = store().await;
        let writer = super::super::of(&store).writer();
        for sql in [
            "UPDATE messages SET state = 'failed' WHERE state = 'sent'",
            "UPDATE messages SET deleted_ms = 7 WHERE state = 'open'",
        ] {
            sqlx::query(sql).execute(writer).await.unwrap();
        }
        draft(&store, SAKURA, 5).await;
        draft(&store, TANAKA, 1_000).await;
        assert_eq!(purge_all(&store, PurgeTarget::Messages, 1_000).await, 2);
        assert_eq!(purge_all(&store, PurgeTarget::Drafts, 1_000).await, 1);
        assert_eq!(count(&store, "SELECT count(*) FROM drafts").await, 1);
    }

    #[tokio::test]
    async fn files_of_messages_go_and_the_messages_stay() {
        let (_dir, store) = store().await;
        let writer = super::super::of(&store).writer();
        for (message, positions) in [(5_u32, 2_i64), (6, 1)] {
            let id = RecordId(uuid::Uuid::from_u128(u128::from(message)));
            for position in 0..positions {
                sqlx::query(
                    "INSERT INTO message_files (message_id, position, file_json, content) VALUES ($1, $2, '{}', $3)",
                )
                .bind(id)
                .bind(position)
                .bind(b"x".as_slice())
                .execute(writer)
                .await
                .unwrap();
            }
            sqlx::query("UPDATE messages SET files_json = '[{}]' WHERE id = $1")
                .bind(id)
                .execute(writer)
                .await
                .unwrap();
        }
        assert_eq!(store.purge(PurgeTarget::Attachments, from_ms(6), 500).await.unwrap(), 2);
        assert_eq!(store.purge(PurgeTarget::Attachments, from_ms(6), 500).await.unwrap(), 0);
        assert_eq!(purge_all(&store, PurgeTarget::AttachmentLists, 6).await, 1);
        assert_eq!(count(&store, "SELECT count(*) FROM message_files").await, 1);
        assert_eq!(count(&store, "SELECT count(*) FROM messages WHERE files_json = '[]'").await, 1);
        assert_eq!(count(&store, "SELECT count(*) FROM messages").await, 2);
    }

    #[tokio::test]
    async fn notices_go_after_their_end_and_what_was_said_about_callers_goes_with_its_time() {
        let (_dir, store) = store().await;
        let writer = super::super::of(&store).writer();
        for (n, until) in [(1_u128, 500_i64), (2, 2_000)] {
            sqlx::query(
                "INSERT INTO account_notices (id, account_id, text, from_ms, until_ms, by_name, created_ms, changed_ms)
                 VALUES ($1, $2, 'x', 0, $3, '佐藤', 0, 0)",
            )
            .bind(RecordId(uuid::Uuid::from_u128(n)))
            .bind(SAKURA)
            .bind(until)
            .execute(writer)
            .await
            .unwrap();
            sqlx::query("INSERT INTO callbacks (call_id, state, by_id, by_name, at_ms) VALUES ($1, 'done', $2, '佐藤', $3)")
                .bind(RecordId(uuid::Uuid::from_u128(n)))
                .bind(TANAKA)
                .bind(until)
                .execute(writer)
                .await
                .unwrap();
        }
        for target in [PurgeTarget::Notices, PurgeTarget::Callbacks] {
            assert_eq!(purge_all(&store, target, 1_000).await, 1, "{target:?}");
        }
        assert_eq!(count(&store, "SELECT count(*) FROM account_notices").await, 1);
        assert_eq!(count(&store, "SELECT count(*) FROM callbacks").await, 1);
    }

    /// A draft about the first call.
    async fn draft(store: &Store, user: RecordId, changed: i64) {
        sqlx::query(
            "INSERT INTO drafts (user_id, call_id, body_json, version, changed_ms) VALUES ($1, $2, '{}', 1, $3)",
        )
        .bind(user)
        .bind(RecordId(uuid::Uuid::from_u128(0)))
        .bind(changed)
        .execute(super::super::of(store).writer())
        .await
        .unwrap();
    }
}
