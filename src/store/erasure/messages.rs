//! The SQL of erasures: messages, what was made of them, faxes and drafts.

use sqlx::QueryBuilder;

use super::super::DbConnection;
use super::{keys, of_customer, with_one_of};
use crate::ids::RecordId;
use crate::store::StoreError;
use crate::store::erasure::Erasure;

pub(super) async fn clear_messages(
    db: &mut DbConnection,
    erasure: &Erasure,
    rows: i64,
) -> Result<u64, StoreError> {
    let mut messages: Vec<(RecordId,)> =
        of_customer(db, "SELECT id FROM messages WHERE customer_id = $1 LIMIT $2", erasure, rows).await?;
    if messages.is_empty() {
        let mut query = QueryBuilder::new("SELECT id FROM messages WHERE account_id = ");
        query.push_bind(erasure.account).push(" AND created_ms <= ").push_bind(erasure.asked_ms);
        query.push(" AND (customer_id IS NULL OR customer_id = ").push_bind(erasure.customer);
        query.push(") AND caller_key IN (");
        messages = with_one_of(query, &keys(db, erasure).await?, rows, db).await?;
    }
    if messages.is_empty() {
        // The caller may have said one of the numbers.
        let mut query = QueryBuilder::new(concat!(
            "SELECT m.id FROM messages AS m",
            indexed_by!("messages_by_sender"),
            "WHERE m.account_id = "
        ));
        query.push_bind(erasure.account).push(" AND m.created_ms <= ").push_bind(erasure.asked_ms);
        query.push(" AND (m.customer_id IS NULL OR m.customer_id = ").push_bind(erasure.customer);
        query.push(") AND m.from_key IN (");
        messages = with_one_of(query, &keys(db, erasure).await?, rows, db).await?;
    }
    for (message,) in &messages {
        clear_message(db, erasure.customer, *message).await?;
    }
    if messages.is_empty() {
        return clear_drafts(db, erasure, rows).await;
    }
    Ok(messages.len() as u64)
}

/// What a person wrote of the message, in every revision, and from whom it is. Account, number, times, people, state and the
/// words of the reason, the action, the urgency and the mark stay, and whose it was, for what was sent of it.
pub(super) async fn clear_message(
    db: &mut DbConnection,
    customer: RecordId,
    message: RecordId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO erased_messages (message_id, customer_id) VALUES ($1, $2) ON CONFLICT (message_id) DO NOTHING",
    )
    .bind(message)
    .bind(customer)
    .execute(&mut *db)
    .await?;
    for (sql, content) in [
        (
            "UPDATE messages SET caller_key = NULL, customer_id = NULL, from_key = NULL, text = '', search = '',
                content_json = $2, files_json = '[]', delivery_next_ms = NULL, route_next_ms = NULL,
                route_state = CASE WHEN route_state = 'running' THEN 'cancelled' ELSE route_state END, delivery_state = CASE
                    WHEN delivery_state IN ('held', 'queued') THEN 'none' ELSE delivery_state END WHERE id = $1",
            "{}",
        ),
        (
            "UPDATE message_revisions SET content_json = $2, why = NULL WHERE message_id = $1",
            r#"{"text":""}"#,
        ),
    ] {
        sqlx::query(sql).bind(message).bind(content).execute(&mut *db).await?;
    }
    // After the message, as everything that changes a delivery does. What was not sent would say what is forgotten; the rest
    // has no text of the customer's.
    sqlx::query(
        "UPDATE deliveries SET rendered = NULL,
            state = CASE WHEN state IN ('held', 'queued') THEN 'cancelled' ELSE state END WHERE message_id = $1",
    )
    .bind(message)
    .execute(&mut *db)
    .await?;
    for sql in [
        "UPDATE dispatches SET state = 'cancelled', due_ms = NULL WHERE message_id = $1 AND state = 'running'",
        // What operators noted about a call, and what a person of the account answered, may repeat what the caller said.
        "UPDATE tasks SET note = NULL, text = NULL, version = version + 1,
            state = CASE WHEN state IN ('open', 'claimed') THEN 'cancelled' ELSE state END WHERE message_id = $1",
        "UPDATE message_answers SET note = NULL WHERE message_id = $1",
        // What the caller said.
        "DELETE FROM message_files WHERE message_id = $1",
        // A digest that was not sent yet is written again without the text.
        "UPDATE deliveries SET rendered = NULL WHERE message_id IN (
            SELECT digest_id FROM digest_items WHERE message_id = $1)",
        "DELETE FROM message_notices WHERE message_id = $1",
        // The caller's voice.
        "DELETE FROM voice_messages WHERE message_id = $1",
    ] {
        sqlx::query(sql).bind(message).execute(&mut *db).await?;
    }
    Ok(())
}

/// The faxes from the customer's numbers, with their documents.
pub(super) async fn clear_faxes(
    db: &mut DbConnection,
    erasure: &Erasure,
    rows: i64,
) -> Result<u64, StoreError> {
    let mut query = QueryBuilder::new("SELECT id FROM faxes WHERE account_id = ");
    query.push_bind(erasure.account).push(" AND received_ms <= ").push_bind(erasure.asked_ms);
    query.push(" AND caller_key IN (");
    let faxes: Vec<(RecordId,)> = with_one_of(query, &keys(db, erasure).await?, rows, db).await?;
    for (fax,) in &faxes {
        sqlx::query("DELETE FROM faxes WHERE id = $1").bind(*fax).execute(&mut *db).await?;
    }
    Ok(faxes.len() as u64)
}

/// The drafts that name the customer. The table is small: a few rows of each person, for a week.
async fn clear_drafts(db: &mut DbConnection, erasure: &Erasure, rows: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM drafts WHERE (user_id, call_id) IN (
            SELECT user_id, call_id FROM drafts WHERE customer_id = $1 LIMIT $2)",
    )
    .bind(erasure.customer)
    .bind(rows)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
