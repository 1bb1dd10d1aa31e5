//! The SQL of messages; `filter.rs` has the conditions of a page, and the search by words.

mod attention;
mod filter;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};

use self::filter::push_filter;
use super::deliveries::{
    enqueue_deliveries, hold_message, message_delivery_of, withdraw_deliveries, write_summary,
};
use super::dispatches::apply;
use super::stat_marks::mark_bin_of_message;
use super::{Backend, Db, DbConnection, DbRow, tasks};
use crate::contract::message::{
    Action, CheckedMessage, ContentChange, Mark, Message, MessageFields, MessageFile, MessageKind,
    MessageRevision, MessageState, MessageUpdate, NewMessage, Privacy, Urgency, message_number,
};
use crate::ids::{PbxId, RecordId};
use crate::journal::entry::MessagePublication;
use crate::route::{Answer, DispatchInput};
use crate::store::error::refusal;
use crate::store::messages::{ChangeOutcome, MessageCursor, MessageFilter, WithdrawOutcome};
use crate::store::{StoreError, from_ms, to_ms};

/// A person has confirmed.
const CONFIRMED: DispatchInput = DispatchInput::Answered(Answer::Confirmed);
/// A query of messages. Of a customer who is being erased nothing is read.
macro_rules! messages_where {
    ($rest:literal) => {
        messages_where!("", $rest)
    };
    ($index:expr, $rest:literal) => {
        concat!(
            "SELECT m.*, ",
            message_is_being_erased!(),
            " AS is_erased FROM messages AS m",
            $index,
            " WHERE ",
            account_is_kept!("m"),
            $rest
        )
    };
}

impl Backend {
    pub(in crate::store) async fn messages(
        &self,
        filter: &MessageFilter,
        after: Option<MessageCursor>,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let matching = self.matching_messages(filter).await?;
        if matching.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        // Few are held: in the order of the time, all messages would be looked at for them.
        let mut query = QueryBuilder::<Db>::new(match filter.held {
            Some((true, _)) => messages_where!(indexed_by!("messages_held"), " AND m.deleted_ms IS NULL"),
            _ => messages_where!(" AND m.deleted_ms IS NULL"),
        });
        push_filter(&mut query, filter);
        if let Some(matching) = matching {
            query.push(" AND m.id IN (");
            let mut ids = query.separated(", ");
            for id in matching {
                ids.push_bind(id);
            }
            query.push(")");
        }
        if let Some(MessageCursor { created_ms, id }) = after {
            query
                .push(" AND (m.created_ms, m.id) < (")
                .push_bind(created_ms)
                .push(", ")
                .push_bind(id)
                .push(")");
        }
        query.push(" ORDER BY m.created_ms DESC, m.id DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(message_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn count_messages(&self, filter: &MessageFilter) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Db>::new(concat!(
            "SELECT count(*) FROM messages AS m WHERE ",
            account_is_kept!("m"),
            " AND m.deleted_ms IS NULL"
        ));
        push_filter(&mut query, filter);
        let rows: i64 = query.build().fetch_one(self.readers()).await?.try_get(0)?;
        Ok(count(rows))
    }

    pub(in crate::store) async fn message(&self, id: RecordId) -> Result<Option<Message>, StoreError> {
        let row =
            sqlx::query(messages_where!(" AND m.id = $1")).bind(id).fetch_optional(self.readers()).await?;
        Ok(row.as_ref().map(message_of).transpose()?)
    }

    pub(in crate::store) async fn create_message(
        &self,
        message: &NewMessage,
        pbx: &PbxId,
        at: Timestamp,
    ) -> Result<(Message, bool), StoreError> {
        let mut transaction = self.begin().await?;
        let is_erased: bool =
            sqlx::query_scalar(call_is_erased!()).bind(message.call).fetch_one(&mut *transaction).await?;
        if is_erased {
            return Err(StoreError::Erased);
        }
        let created = insert_message(&mut transaction, message, pbx, at).await?;
        transaction.commit().await?;
        Ok(created)
    }

    pub(in crate::store) async fn change_message(
        &self,
        id: RecordId,
        change: &MessageUpdate,
        at: Timestamp,
    ) -> Result<ChangeOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let is_out = hold_message(&mut transaction, id).await?;
        let before = read_message(&mut transaction, id).await?;
        let content = change.content.as_ref().filter(|content| content.content.fields != before.fields);
        if content.is_some() && before.is_erased() {
            return Ok(ChangeOutcome::NotOpen(before));
        }
        if content.is_some_and(|content| content.version != before.version) {
            return Ok(ChangeOutcome::Stale(before));
        }
        let is_acknowledged = before.state == MessageState::Acknowledged;
        let acknowledges = change.acknowledged_by.is_some() && !is_acknowledged;
        let corrects = content.is_some_and(|content| content.correction.is_some());
        let is_final = before.state != MessageState::Open || is_out;
        if before.withdrawn_at.is_some() || content.is_some() && !corrects && is_final {
            return Ok(ChangeOutcome::NotOpen(before));
        }
        if content.is_none() && !acknowledges {
            return Ok(ChangeOutcome::Applied(before));
        }
        // A content that nobody has received is replaced; another one is followed by the next revision.
        let is_revised = corrects && is_final;
        sqlx::query(
            "UPDATE messages SET changed_ms = $2, version = version + 1,
                revision = revision + CASE WHEN $3 THEN 1 ELSE 0 END,
                revision_version = CASE WHEN $3 THEN version + 1 ELSE revision_version END,
                state = CASE WHEN $4 THEN 'acknowledged' WHEN $3 THEN 'open' ELSE state END,
                acknowledged_by = CASE WHEN $4 THEN $5 WHEN $3 THEN NULL ELSE acknowledged_by END,
                acknowledged_ms = CASE WHEN $4 THEN $2 WHEN $3 THEN NULL ELSE acknowledged_ms END
             WHERE id = $1",
        )
        .bind(id)
        .bind(to_ms(at))
        .bind(is_revised)
        .bind(acknowledges)
        .bind(change.acknowledged_by)
        .execute(&mut *transaction)
        .await?;
        if acknowledges {
            apply(&mut transaction, id, CONFIRMED, at).await?;
            withdraw_deliveries(&mut transaction, id, at).await?;
        }
        if is_revised {
            keep_first_revision(&mut transaction, &before).await?;
        }
        let stored = match content {
            Some(content) => write_content(&mut transaction, id, content, at).await?,
            None => read_message(&mut transaction, id).await?,
        };
        transaction.commit().await?;
        Ok(ChangeOutcome::Applied(stored))
    }

    pub(in crate::store) async fn withdraw_message(
        &self,
        id: RecordId,
        since: Timestamp,
        at: Timestamp,
    ) -> Result<WithdrawOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let is_out = hold_message(&mut transaction, id).await?;
        let withdrawn = sqlx::query(concat!(
            "UPDATE messages AS m SET deleted_ms = $2, changed_ms = $2, version = version + 1
             WHERE m.id = $1 AND m.deleted_ms IS NULL AND m.state = 'open' AND m.revision = 1 AND m.created_ms >= $3
                AND NOT $4 AND m.text <> '' AND NOT ",
            message_is_being_erased!()
        ))
        .bind(id)
        .bind(to_ms(at))
        .bind(to_ms(since))
        .bind(is_out)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        mark_bin_of_message(&mut transaction, id).await?;
        if withdrawn > 0 {
            apply(&mut transaction, id, DispatchInput::Undone, at).await?;
            withdraw_deliveries(&mut transaction, id, at).await?;
        }
        let message = read_message(&mut transaction, id).await?;
        transaction.commit().await?;
        let is_withdrawn = withdrawn > 0 || message.withdrawn_at.is_some();
        Ok(if is_withdrawn { WithdrawOutcome::Withdrawn(message) } else { WithdrawOutcome::TooLate(message) })
    }

    pub(in crate::store) async fn message_revisions(
        &self,
        id: RecordId,
    ) -> Result<Vec<MessageRevision>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT r.revision, r.content_json, r.by_id, r.by_name, r.why, r.at_ms, ",
            message_is_being_erased!(),
            " AS is_erased FROM message_revisions AS r CROSS JOIN messages AS m
             WHERE r.message_id = $1 AND m.id = $1 AND ",
            account_is_kept!("m"),
            " ORDER BY r.revision"
        ))
        .bind(id)
        .fetch_all(self.readers())
        .await?;
        let revision = |row: &DbRow| {
            let is_shown = !row.try_get::<bool, _>("is_erased")?;
            Ok(MessageRevision {
                revision: small(row.try_get("revision")?),
                content: if is_shown {
                    json(row.try_get("content_json")?)?
                } else {
                    MessageFields::default()
                },
                by: row.try_get("by_id")?,
                by_name: row.try_get("by_name")?,
                why: row.try_get::<Option<String>, _>("why")?.filter(|_| is_shown),
                at: from_ms(row.try_get("at_ms")?),
            })
        };
        Ok(rows.iter().map(revision).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn delete_message(&self, id: RecordId) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        mark_bin_of_message(&mut transaction, id).await?;
        let done =
            sqlx::query("DELETE FROM messages WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "message" });
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn unpublished_messages(
        &self,
        pbx: &PbxId,
        limit: u32,
    ) -> Result<Vec<(Message, u64)>, StoreError> {
        let rows = sqlx::query(messages_where!(
            " AND m.pbx = $1 AND m.published_version < m.version ORDER BY m.changed_ms, m.id LIMIT $2"
        ))
        .bind(pbx.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let both = |row: &DbRow| Ok((message_of(row)?, count(row.try_get("published_version")?)));
        Ok(rows.iter().map(both).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Raises a message's published version; an older one has no effect.
pub(super) async fn write_publication(
    db: &mut DbConnection,
    publication: MessagePublication,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE messages SET published_version = $2 WHERE id = $1 AND published_version < $2")
        .bind(publication.id)
        .bind(i64::try_from(publication.version).unwrap_or(i64::MAX))
        .execute(db)
        .await?;
    Ok(())
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Adds the conditions of `filter`.
/// Adds a message with its number, its first content and its deliveries, in the caller's transaction; an id that exists stays as
/// it is. The bool is true when the message is new.
pub(super) async fn insert_message(
    db: &mut DbConnection,
    message: &NewMessage,
    pbx: &PbxId,
    at: Timestamp,
) -> Result<(Message, bool), StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO messages (id, account_id, call_id, customer_id, kind, taken_by, taken_by_name,
            caller_key, text, created_ms, changed_ms, pbx)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $9, $10) ON CONFLICT (id) DO NOTHING",
    )
    .bind(message.id)
    .bind(message.account)
    .bind(message.call)
    .bind(message.customer)
    .bind(message.kind.as_str())
    .bind(message.taken_by)
    .bind(Some(&message.taken_by_name).filter(|name| !name.is_empty()))
    .bind(&message.caller)
    .bind(to_ms(at))
    .bind(pbx.as_str())
    .execute(&mut *db)
    .await
    .map_err(|error| refusal(error, "the message", None))?
    .rows_affected();
    let stored = if inserted == 0 {
        read_message(db, message.id).await?
    } else {
        let count: i64 = sqlx::query_scalar(
            "INSERT INTO message_days (day, last) VALUES ($1, 1)
             ON CONFLICT (day) DO UPDATE SET last = message_days.last + 1 RETURNING last",
        )
        .bind(&message.day)
        .fetch_one(&mut *db)
        .await?;
        sqlx::query("UPDATE messages SET number = $2 WHERE id = $1")
            .bind(message.id)
            .bind(message_number(&message.day, count))
            .execute(&mut *db)
            .await?;
        let written = ContentChange {
            content: message.content.clone(),
            version: 0,
            by: message.taken_by,
            by_name: message.taken_by_name.clone(),
            correction: None,
            not_before: message.not_before,
        };
        mark_bin_of_message(db, message.id).await?;
        write_content(db, message.id, &written, at).await?
    };
    Ok((stored, inserted > 0))
}

/// Writes a content: into the message, and as its live revision; the one place where a message gets one. The message's row
/// has its version and revision already. What leaves the house about it is written with it. Returns the message as it is then.
async fn write_content(
    transaction: &mut DbConnection,
    id: RecordId,
    written: &ContentChange,
    at: Timestamp,
) -> Result<Message, StoreError> {
    let CheckedMessage { fields, from_key, search } = &written.content;
    let fields = &within_account(&mut *transaction, id, fields.clone()).await?;
    let document = serde_json::to_value(fields).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let mut rest = document.clone();
    for column in ["contact", "text", "reason", "action", "urgency", "mark", "hold_until"] {
        if let Some(members) = rest.as_object_mut() {
            members.remove(column);
        }
    }
    let revision: i64 = sqlx::query_scalar(
        "UPDATE messages SET contact_id = $2, text = $3, reason = $4, action = $5, urgency = $6, mark = $7,
            hold_until_ms = $8, content_json = $9, from_key = $10,
            search = CASE WHEN number IS NULL THEN '' ELSE $11 || replace(number, '-', 'ー') || $11 ||
                replace(number, '-', '') END || $11 || $12
         WHERE id = $1 RETURNING revision",
    )
    .bind(id)
    .bind(fields.contact)
    .bind(&fields.text)
    .bind(&fields.reason)
    .bind(fields.action.as_str())
    .bind(fields.urgency.as_str())
    .bind(fields.mark.map(Mark::as_str))
    .bind(fields.hold_until.map(to_ms))
    .bind(rest.to_string())
    .bind(from_key)
    .bind("\n")
    .bind(search)
    .fetch_one(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO message_revisions (message_id, revision, content_json, by_id, by_name, why, at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (message_id, revision) DO UPDATE SET content_json = excluded.content_json,
            by_id = excluded.by_id, by_name = excluded.by_name, at_ms = excluded.at_ms,
            why = coalesce(excluded.why, message_revisions.why)",
    )
    .bind(id)
    .bind(revision)
    .bind(document.to_string())
    .bind(written.by)
    .bind(&written.by_name)
    .bind(&written.correction)
    .bind(to_ms(at))
    .execute(&mut *transaction)
    .await?;
    super::scripts::write_offers(&mut *transaction, id, written, at).await?;
    let message = read_message(&mut *transaction, id).await?;
    enqueue_deliveries(&mut *transaction, &message, (at, written.not_before)).await?;
    tasks::write_follow_up(&mut *transaction, &message, at).await?;
    read_message(transaction, id).await
}

/// The fields of a message as its account lets them leave the house.
async fn within_account(
    db: &mut DbConnection,
    id: RecordId,
    mut fields: MessageFields,
) -> Result<MessageFields, sqlx::Error> {
    let privacy: String = sqlx::query_scalar(
        "SELECT a.privacy FROM messages AS m JOIN accounts AS a ON a.id = m.account_id WHERE m.id = $1",
    )
    .bind(id)
    .fetch_one(db)
    .await?;
    if privacy == Privacy::Notice.as_str() {
        fields.privacy = Privacy::Notice;
    }
    Ok(fields)
}

/// The content of a message of an earlier version becomes a row when it is corrected.
async fn keep_first_revision(transaction: &mut DbConnection, before: &Message) -> Result<(), StoreError> {
    let document =
        serde_json::to_string(&before.fields).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT INTO message_revisions (message_id, revision, content_json, by_id, by_name, at_ms)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (message_id, revision) DO NOTHING",
    )
    .bind(before.id)
    .bind(i64::from(before.revision))
    .bind(document)
    .bind(before.taken_by)
    .bind(before.taken_by_name.as_deref().unwrap_or_default())
    .bind(to_ms(before.created_at))
    .execute(transaction)
    .await?;
    Ok(())
}

/// Holds a message: no other transaction changes it until this one ends.
pub(super) async fn hold(db: &mut DbConnection, id: RecordId) -> Result<(), StoreError> {
    sqlx::query("UPDATE messages SET delivery_state = delivery_state WHERE id = $1")
        .bind(id)
        .execute(db)
        .await?;
    Ok(())
}

/// The account has a message, whose row the caller holds; `by` says so. Returns whether it had not before.
pub(super) async fn acknowledge(
    db: &mut DbConnection,
    id: RecordId,
    by: Option<RecordId>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let changed = sqlx::query(
        "UPDATE messages SET changed_ms = $2, version = version + 1, state = 'acknowledged', acknowledged_by = $3,
            acknowledged_ms = $2 WHERE id = $1 AND state <> 'acknowledged' AND deleted_ms IS NULL",
    )
    .bind(id)
    .bind(to_ms(at))
    .bind(by)
    .execute(&mut *db)
    .await?
    .rows_affected();
    apply(&mut *db, id, CONFIRMED, at).await?;
    withdraw_deliveries(&mut *db, id, at).await?;
    write_summary(db, id, at).await?;
    Ok(changed > 0)
}

pub(super) async fn read_message(connection: &mut DbConnection, id: RecordId) -> Result<Message, StoreError> {
    let row = sqlx::query(messages_where!(" AND m.id = $1")).bind(id).fetch_optional(connection).await?;
    Ok(message_of(&row.ok_or(StoreError::Missing { what: "message" })?)?)
}

/// The fields; what is about the caller only if it `is_shown`.
fn fields_of(row: &DbRow, is_shown: bool) -> Result<MessageFields, sqlx::Error> {
    let rest = if is_shown {
        let mut document: serde_json::Map<String, serde_json::Value> = json(row.try_get("content_json")?)?;
        document.insert("text".into(), row.try_get::<String, _>("text")?.into());
        MessageFields::read(serde_json::Value::Object(document))
            .map_err(|error| sqlx::Error::Decode(error.into()))?
    } else {
        MessageFields::default()
    };
    Ok(MessageFields {
        contact: row.try_get("contact_id")?,
        reason: row.try_get("reason")?,
        action: Action::parse(row.try_get("action")?).unwrap_or_default(),
        urgency: Urgency::parse(row.try_get("urgency")?).unwrap_or_default(),
        mark: row.try_get::<Option<&str>, _>("mark")?.and_then(Mark::parse),
        hold_until: row.try_get::<Option<i64>, _>("hold_until_ms")?.map(from_ms),
        ..rest
    })
}

pub(super) fn message_of(row: &DbRow) -> Result<Message, sqlx::Error> {
    let is_shown = !row.try_get::<bool, _>("is_erased")?;
    Ok(Message {
        id: row.try_get("id")?,
        files: json(row.try_get("files_json")?)
            .map(|files: Vec<MessageFile>| if is_shown { files } else { Vec::new() })?,
        account: row.try_get("account_id")?,
        call: row.try_get("call_id")?,
        customer: row.try_get::<Option<RecordId>, _>("customer_id")?.filter(|_| is_shown),
        number: row.try_get("number")?,
        kind: MessageKind::parse(row.try_get("kind")?).unwrap_or_default(),
        revision: small(row.try_get("revision")?),
        fields: fields_of(row, is_shown)?,
        taken_by: row.try_get("taken_by")?,
        taken_by_name: row.try_get("taken_by_name")?,
        caller: row.try_get::<Option<String>, _>("caller_key")?.filter(|_| is_shown),
        state: MessageState::parse(row.try_get("state")?).unwrap_or(MessageState::Open),
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
        acknowledged_at: row.try_get::<Option<i64>, _>("acknowledged_ms")?.map(from_ms),
        acknowledged_by: row.try_get("acknowledged_by")?,
        withdrawn_at: row.try_get::<Option<i64>, _>("deleted_ms")?.map(from_ms),
        version: count(row.try_get("version")?),
        revision_version: count(row.try_get("revision_version")?),
        delivery: message_delivery_of(row)?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::delivery::MessageDeliveryState;
    use crate::contract::records::AccountFields;
    use crate::contract::records::search::fold;
    use crate::ids::{CallId, ChannelId};
    use crate::journal::entry::JournalEntry;
    use crate::numbers::NumberPlan;
    use crate::store::Store;
    use crate::store::messages::{ATTENTION_PERIOD, MessageCounts};

    const HANA: RecordId = RecordId(Uuid::from_u128(1001));

    async fn store() -> (impl Sized, Store, RecordId) {
        let (held, store) = super::super::empty_store().await;
        let fields = AccountFields { code: "A".into(), name: "さくら".into(), ..AccountFields::default() };
        let account = store.create_account(&fields.checked(&NumberPlan::default()).unwrap(), at(0)).await;
        (held, store, account.unwrap().id)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn pbx() -> PbxId {
        PbxId::parse("lab").unwrap()
    }

    fn call(n: u128) -> CallId {
        CallId::derive(&pbx(), &ChannelId::parse(&n.to_string()).unwrap())
    }

    fn checked(fields: serde_json::Value) -> CheckedMessage {
        serde_json::from_value::<MessageFields>(fields).unwrap().checked(&NumberPlan::default()).unwrap()
    }

    fn content(text: &str) -> CheckedMessage {
        checked(serde_json::json!({ "text": text }))
    }

    /// `content`, made from `version`.
    fn change(content: CheckedMessage, version: u64) -> MessageUpdate {
        let (by, by_name, correction) = (Some(HANA), "花".into(), None);
        MessageUpdate {
            content: Some(ContentChange { content, version, by, by_name, correction, not_before: at(0) }),
            acknowledged_by: None,
        }
    }

    fn correction(content: CheckedMessage, version: u64) -> MessageUpdate {
        let mut update = change(content, version);
        update.content.as_mut().unwrap().correction = Some("番号の誤り".into());
        update
    }

    fn acknowledgement() -> MessageUpdate {
        MessageUpdate { content: None, acknowledged_by: Some(HANA) }
    }

    fn message(n: u128, account: RecordId) -> NewMessage {
        NewMessage {
            id: RecordId(Uuid::from_u128(n)),
            account,
            call: Some(call(n)),
            customer: None,
            kind: MessageKind::Message,
            taken_by: Some(HANA),
            taken_by_name: "花".into(),
            caller: Some(format!("+8190{n}")),
            content: content(&format!("折り返し {n}")),
            day: "260401".into(),
            not_before: at(0),
        }
    }

    async fn create(store: &Store, n: u128, account: RecordId) -> (Message, bool) {
        store.create_message(&message(n, account), &pbx(), at(i64::try_from(n).unwrap())).await.unwrap()
    }

    #[tokio::test]
    async fn an_id_is_one_message_however_often_it_is_created() {
        let (_held, store, account) = store().await;
        let (first, made) = create(&store, 1, account).await;
        assert!(made);
        assert_eq!((first.state, first.version, first.created_at), (MessageState::Open, 1, at(1)));
        let again = NewMessage { content: content("another"), ..message(1, account) };
        let (second, made) = store.create_message(&again, &pbx(), at(9)).await.unwrap();
        assert_eq!((&second, made), (&first, false));
        assert_eq!(store.message(first.id).await.unwrap(), Some(first));
        let nowhere = message(2, RecordId(Uuid::from_u128(99)));
        let refused = store.create_message(&nowhere, &pbx(), at(2)).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "account" })), "{refused:?}");
    }

    #[tokio::test]
    async fn the_same_message_at_the_same_time_is_one() {
        let (_held, store, account) = store().await;
        let same = || create(&store, 1, account);
        let (a, b, c) = tokio::join!(same(), same(), same());
        assert_eq!([a.1, b.1, c.1].iter().filter(|made| **made).count(), 1);
        assert_eq!(store.messages(&MessageFilter::default(), None, 9).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn pages_are_newest_first_and_filters_narrow_them() {
        let (_held, store, account) = store().await;
        for n in 1..=7 {
            create(&store, n, account).await;
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.messages(&MessageFilter::default(), after, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = MessageCursor::parse(&MessageCursor::of(last).to_string());
            assert_eq!(after, Some(MessageCursor::of(last)));
            seen.extend(page.iter().map(|m| m.id.0.as_u128()));
        }
        assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
        let ids = async |filter: MessageFilter| {
            let page = store.messages(&filter, None, 9).await.unwrap();
            page.iter().map(|m| m.id.0.as_u128()).collect::<Vec<_>>()
        };
        store.change_message(RecordId(Uuid::from_u128(3)), &acknowledgement(), at(50)).await.unwrap();
        assert_eq!(ids(MessageFilter { call: Some(call(5)), ..MessageFilter::default() }).await, [5]);
        assert_eq!(
            ids(MessageFilter { caller: Some("+81902".into()), ..MessageFilter::default() }).await,
            [2]
        );
        let acknowledged = MessageFilter {
            account: Some(account),
            state: Some(MessageState::Acknowledged),
            ..MessageFilter::default()
        };
        assert_eq!(ids(acknowledged).await, [3]);
        let nobody = MessageFilter { account: Some(HANA), ..MessageFilter::default() };
        assert!(ids(nobody).await.is_empty());
        assert_eq!(MessageCursor::parse("x.y"), None);
    }

    #[tokio::test]
    async fn a_text_is_final_once_the_account_has_had_it() {
        let (_held, store, account) = store().await;
        let (first, _) = create(&store, 1, account).await;
        let with_text = |text: &str, version| change(content(text), version);
        let ChangeOutcome::Applied(changed) =
            store.change_message(first.id, &with_text("b", 1), at(2)).await.unwrap()
        else {
            panic!("it is open");
        };
        assert_eq!((changed.fields.text.as_str(), changed.version, changed.changed_at), ("b", 2, at(2)));
        assert_eq!((changed.revision, &changed.number), (1, &first.number));
        // The same text again is no change, whatever version it was made from.
        let same = store.change_message(first.id, &with_text("b", 1), at(3)).await.unwrap();
        assert_eq!(same, ChangeOutcome::Applied(changed.clone()));
        let stale = store.change_message(first.id, &with_text("z", 1), at(3)).await.unwrap();
        assert_eq!(stale, ChangeOutcome::Stale(changed));
        let both = |text| MessageUpdate { acknowledged_by: Some(HANA), ..with_text(text, 2) };
        let ChangeOutcome::Applied(over) = store.change_message(first.id, &both("c"), at(4)).await.unwrap()
        else {
            panic!("it is open");
        };
        assert_eq!(
            (over.fields.text.as_str(), over.state, over.acknowledged_at, over.acknowledged_by, over.version),
            ("c", MessageState::Acknowledged, Some(at(4)), Some(HANA), 3)
        );
        for again in [acknowledgement(), both("c")] {
            let outcome = store.change_message(first.id, &again, at(5)).await.unwrap();
            assert_eq!(outcome, ChangeOutcome::Applied(over.clone()));
        }
        assert_eq!(
            store.change_message(first.id, &with_text("d", 3), at(6)).await.unwrap(),
            ChangeOutcome::NotOpen(over)
        );
        store.delete_message(first.id).await.unwrap();
        for gone in [
            store.change_message(first.id, &with_text("d", 3), at(6)).await.map(drop),
            store.delete_message(first.id).await,
        ] {
            assert!(matches!(gone, Err(StoreError::Missing { what: "message" })), "{gone:?}");
        }
    }

    #[tokio::test]
    async fn every_field_comes_back_and_a_correction_keeps_what_was_before() {
        let (_held, store, account) = store().await;
        let all = checked(serde_json::json!({
            "contact": Uuid::from_u128(8), "text": "納期\n確認", "reason": "inquiry", "subject": "お問い合わせ・折り返し希望",
            "from": {"name": "ヤマモト", "name_kanji": "山本", "company": "ミホン", "department": "購買", "gender": "f",
                "number": "090-1111-2222", "number_is": "told", "confirmed": true},
            "for_text": "佐々木", "action": "call_back",
            "call_back": {"number": "03-1111-2222", "from": "2026-04-01T00:00:00Z", "until": "2026-04-02T00:00:00Z", "text": "夕方"},
            "urgency": "urgent", "mark": "complaint", "hold_until": "2026-04-03T00:00:00.123Z",
            "follow_up": {"at": "2026-05-01T00:00:00Z", "text": "確認", "by": "operator"},
            "transfer": {"id": Uuid::from_u128(3), "outcome": "busy"}, "script": {"id": "default", "version": 2},
            "answers": [{"id": "a", "label": "症状", "value": "頭痛", "sensitive": true}],
            "offers": [{"id": "b", "result": "later"}], "privacy": "notice",
        }));
        let new = NewMessage { content: all.clone(), ..message(1, account) };
        let (first, _) = store.create_message(&new, &pbx(), at(1)).await.unwrap();
        assert_eq!((&first.fields, &first.number), (&all.fields, &Some("260401-0001".into())));
        // Nobody has it: a correction is a change.
        let ChangeOutcome::Applied(open) =
            store.change_message(first.id, &correction(content("一"), 1), at(2)).await.unwrap()
        else {
            panic!("it is open");
        };
        assert_eq!((open.revision, open.version, open.fields.from.is_empty()), (1, 2, true));
        store.change_message(first.id, &acknowledgement(), at(3)).await.unwrap();
        let ChangeOutcome::Applied(corrected) =
            store.change_message(first.id, &correction(content("二"), 3), at(4)).await.unwrap()
        else {
            panic!("a correction is possible in every state");
        };
        assert_eq!(
            (corrected.revision, corrected.version, corrected.revision_version, corrected.state),
            (2, 4, 4, MessageState::Open)
        );
        assert_eq!((corrected.acknowledged_at, corrected.acknowledged_by), (None, None));
        let revisions = store.message_revisions(first.id).await.unwrap();
        let shown: Vec<_> =
            revisions.iter().map(|r| (r.revision, r.content.text.as_str(), r.why.as_deref())).collect();
        assert_eq!(shown, [(1, "一", Some("番号の誤り")), (2, "二", Some("番号の誤り"))]);
        store.delete_message(first.id).await.unwrap();
        assert!(store.message_revisions(first.id).await.unwrap().is_empty());
    }

    /// Two daemons on one database take messages at the same time.
    #[tokio::test]
    async fn each_message_of_a_day_has_a_number_of_its_own() {
        let (_held, store, account) = store().await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 1..=40 {
            let (store, new) = (store.clone(), message(n, account));
            tasks.spawn(
                async move { store.create_message(&new, &pbx(), at(1)).await.unwrap().0.number.unwrap() },
            );
        }
        let mut numbers = tasks.join_all().await;
        numbers.sort_unstable();
        let wanted: Vec<_> = (1..=40).map(|n| format!("260401-{n:04}")).collect();
        assert_eq!(numbers, wanted, "and none is left out");
        // A repetition takes no number, and another day begins with 1.
        create(&store, 1, account).await;
        let next = store.create_message(&message(41, account), &pbx(), at(1)).await.unwrap().0;
        assert_eq!(next.number.as_deref(), Some("260401-0041"));
        let tomorrow = NewMessage { day: "260402".into(), ..message(42, account) };
        let tomorrow = store.create_message(&tomorrow, &pbx(), at(1)).await.unwrap().0;
        assert_eq!(tomorrow.number.as_deref(), Some("260402-0001"));
    }

    #[tokio::test]
    async fn a_search_finds_every_part_of_a_text_and_nothing_else() {
        let (_held, store, account) = store().await;
        let texts = [
            "折り返しください（4711）",
            "髙橋様より請求書の件",
            "ﾀｶﾊｼ 03-1234-5678",
            "Re: \"AND\" * OR (x)",
            "高",
            "同じ同じ同じ",
        ];
        for (n, text) in (1..).zip(texts) {
            let new = NewMessage { content: content(text), ..message(n, account) };
            store.create_message(&new, &pbx(), at(10)).await.unwrap();
        }
        // As an earlier version wrote it.
        let plain = sqlx::query("UPDATE messages SET search = NULL WHERE id = $1");
        plain.bind(RecordId(Uuid::from_u128(2))).execute(super::super::of(&store).writer()).await.unwrap();
        let found = async |word: &str, account: Option<RecordId>| {
            let filter = MessageFilter { text: Some(word.into()), account, ..MessageFilter::default() };
            let page = store.messages(&filter, None, 99).await.unwrap();
            assert_eq!(store.count_messages(&filter).await.unwrap(), page.len() as u64, "{word}");
            page.into_iter().map(|message| message.id.0.as_u128()).collect::<Vec<_>>()
        };
        for (n, text) in (1_u128..).zip(texts) {
            let chars: Vec<char> = text.chars().collect();
            for size in 1..=chars.len().min(5) {
                for part in chars.windows(size) {
                    let part: String = part.iter().collect();
                    if part.split_whitespace().next().is_some_and(|word| !fold(word).is_empty()) {
                        assert!(found(&part, None).await.contains(&n), "{part} of {text}");
                        assert!(found(&part, Some(account)).await.contains(&n), "{part} of {text}");
                    }
                }
            }
        }
        assert_eq!(found("タカハシ", None).await, [3]);
        // A number is a number in a text of its own; within another text it is found as it is written.
        assert_eq!(found("1234-56", None).await, [3]);
        // The text of an earlier version is compared as it is written.
        assert_eq!((found("髙橋", None).await, found("高橋", None).await), (vec![2], vec![]));
        for nothing in ["折り返す", "4712", "髙橋様へ", "\"", "*x*"] {
            let is_there = texts.iter().any(|text| text.contains(nothing));
            assert_eq!(found(nothing, None).await.is_empty(), !is_there, "{nothing}");
        }
        assert_eq!(found("高", Some(RecordId(Uuid::from_u128(5)))).await, Vec::<u128>::new());
        // What was corrected is not found any more, and what was deleted neither.
        let corrected = change(content("納期の件"), 1);
        store.change_message(RecordId(Uuid::from_u128(1)), &corrected, at(11)).await.unwrap();
        assert_eq!((found("折り返し", None).await, found("納期", None).await), (vec![], vec![1]));
        store.delete_message(RecordId(Uuid::from_u128(6))).await.unwrap();
        assert_eq!(found("同じ", None).await, Vec::<u128>::new());
    }

    #[tokio::test]
    async fn a_message_is_withdrawn_only_while_nobody_can_have_it() {
        let (_held, store, account) = store().await;
        for n in 1..=3 {
            create(&store, n, account).await;
        }
        let id = |n| RecordId(Uuid::from_u128(n));
        let withdraw = async |n, since| store.withdraw_message(id(n), at(since), at(20)).await.unwrap();
        let WithdrawOutcome::Withdrawn(gone) = withdraw(1, 1).await else { panic!("it is open") };
        assert_eq!((gone.withdrawn_at, gone.version), (Some(at(20)), 2));
        assert_eq!(withdraw(1, 9).await, WithdrawOutcome::Withdrawn(gone.clone()), "it is withdrawn already");
        assert!(matches!(withdraw(2, 3).await, WithdrawOutcome::TooLate(_)));
        store.change_message(id(3), &acknowledgement(), at(5)).await.unwrap();
        assert!(matches!(withdraw(3, 1).await, WithdrawOutcome::TooLate(_)));
        for change in [acknowledgement(), correction(content("x"), 2)] {
            let outcome = store.change_message(id(1), &change, at(21)).await.unwrap();
            assert_eq!(outcome, ChangeOutcome::NotOpen(gone.clone()));
        }
        let listed = store.messages(&MessageFilter::default(), None, 9).await.unwrap();
        assert_eq!(listed.iter().map(|m| m.id).collect::<Vec<_>>(), [id(3), id(2)]);
        assert_eq!(store.count_messages(&MessageFilter::default()).await.unwrap(), 2);
        let known = store.caller_history(account, "+81901").await.unwrap().history;
        assert_eq!((known.last_message, known.open_messages), (None, 0));
    }

    #[tokio::test]
    async fn a_search_needs_every_word() {
        let (_held, store, account) = store().await;
        let yamamoto = checked(serde_json::json!({
            "text": "納期の確認", "from": {"name": "ﾔﾏﾓﾄ", "company": "㈱ミホン", "number": "090-1111-2222"},
            "mark": "complaint", "urgency": "urgent", "hold_until": "1970-01-01T00:01:40Z",
        }));
        store
            .create_message(&NewMessage { content: yamamoto, ..message(1, account) }, &pbx(), at(1))
            .await
            .unwrap();
        create(&store, 2, account).await;
        // A row of an earlier version.
        sqlx::query("UPDATE messages SET search = NULL WHERE id = $1")
            .bind(RecordId(Uuid::from_u128(2)))
            .execute(super::super::of(&store).writer())
            .await
            .unwrap();
        let found = async |filter: MessageFilter| {
            let page = store.messages(&filter, None, 9).await.unwrap();
            assert_eq!(store.count_messages(&filter).await.unwrap(), page.len() as u64);
            page.iter().map(|m| m.id.0.as_u128()).collect::<Vec<_>>()
        };
        for (text, wanted) in [
            ("やまもと", vec![1]),
            ("山本", vec![]),
            ("株式会社ミホン　納期", vec![1]),
            ("ヤマモト 返品", vec![]),
            ("09011112222", vec![1]),
            ("260401-0001", vec![1]),
            ("折り返し 2", vec![2]),
            ("%", vec![]),
            ("", vec![2, 1]),
        ] {
            let filter = MessageFilter { text: Some(text.into()), ..MessageFilter::default() };
            assert_eq!(found(filter).await, wanted, "{text}");
        }
        let none = MessageFilter::default;
        for (filter, wanted) in [
            (MessageFilter { mark: Some(Mark::Complaint), ..none() }, vec![1]),
            (MessageFilter { urgency: Some(Urgency::Normal), ..none() }, vec![2]),
            (MessageFilter { kind: Some(MessageKind::Test), ..none() }, vec![]),
            (MessageFilter { number: Some("260401-0002".into()), ..none() }, vec![2]),
            (MessageFilter { held: Some((true, at(99))), ..none() }, vec![1]),
            (MessageFilter { held: Some((false, at(99))), ..none() }, vec![2]),
            (MessageFilter { held: Some((true, at(100))), ..none() }, vec![]),
            (MessageFilter { caller: Some("+819011112222".into()), ..none() }, vec![1]),
            (MessageFilter { taken_by: Some(HANA), from: Some(at(2)), ..none() }, vec![2]),
            (MessageFilter { to: Some(at(2)), ..none() }, vec![1]),
            (MessageFilter { contact: Some(HANA), ..none() }, vec![]),
        ] {
            assert_eq!(found(filter.clone()).await, wanted, "{filter:?}");
        }
    }

    #[tokio::test]
    async fn what_a_person_must_see_to_is_counted_and_found() {
        let (_held, store, account) = store().await;
        for n in 1..=6 {
            create(&store, n, account).await;
        }
        let set = async |n: u128, columns: &'static str| {
            let id = RecordId(Uuid::from_u128(n));
            let sql = sqlx::AssertSqlSafe(format!("UPDATE messages SET {columns} WHERE id = $1"));
            sqlx::query(sql).bind(id).execute(super::super::of(&store).writer()).await.unwrap();
        };
        set(1, "state = 'failed', delivery_state = 'failed'").await;
        set(2, "delivery_state = 'none', delivery_reason = 'no_address'").await;
        set(3, "delivery_state = 'none', delivery_reason = 'no_mail_server'").await;
        set(4, "state = 'sent', delivery_state = 'sent', route_state = 'unanswered', mark = 'complaint'")
            .await;
        set(5, "state = 'failed', delivery_state = 'failed', kind = 'test'").await;
        set(6, "delivery_state = 'none', delivery_reason = 'no_address', hold_until_ms = 90000").await;
        let counts = async |now| store.messages_to_see_to(at(now)).await.unwrap();
        let one = MessageCounts { failed: 1, unrouted: 1, unanswered: 1, complaints: 1 };
        assert_eq!(counts(50).await, one, "the held one is not counted");
        assert_eq!(counts(90).await, MessageCounts { unrouted: 2, ..one }, "its time has come");
        let late = ATTENTION_PERIOD.as_secs() + 50;
        assert_eq!(counts(late).await, MessageCounts::default(), "nobody is alarmed for ever");
        let found = async |filter: MessageFilter| {
            let page = store.messages(&filter, None, 9).await.unwrap();
            page.iter().map(|m| m.id.0.as_u128()).collect::<Vec<_>>()
        };
        let failed =
            MessageFilter { delivery: Some(MessageDeliveryState::Failed), ..MessageFilter::default() };
        assert_eq!(found(failed).await, [5, 1]);
        let unanswered = MessageFilter { is_unanswered: true, ..MessageFilter::default() };
        assert_eq!(found(unanswered).await, [4]);
    }

    #[tokio::test]
    async fn each_version_waits_until_it_was_published() {
        let (_held, store, account) = store().await;
        for n in 1..=2 {
            create(&store, n, account).await;
        }
        let unpublished = async || {
            let messages = store.unpublished_messages(&pbx(), 9).await.unwrap();
            messages
                .iter()
                .map(|(m, published)| (m.id.0.as_u128(), m.version, *published))
                .collect::<Vec<_>>()
        };
        let published = async |version| {
            let id = RecordId(Uuid::from_u128(1));
            store
                .write_entry(&pbx(), &JournalEntry::MessagePublished(MessagePublication { id, version }))
                .await
                .unwrap();
        };
        assert_eq!(unpublished().await, [(1, 1, 0), (2, 1, 0)]);
        assert!(store.unpublished_messages(&PbxId::parse("other").unwrap(), 9).await.unwrap().is_empty());
        published(1).await;
        let change = acknowledgement();
        store.change_message(RecordId(Uuid::from_u128(1)), &change, at(9)).await.unwrap();
        // An older version has no effect.
        published(0).await;
        assert_eq!(unpublished().await, [(2, 1, 0), (1, 2, 1)]);
    }

    #[tokio::test]
    async fn the_card_shows_the_last_one_and_counts_the_open_ones() {
        let (_held, store, account) = store().await;
        for n in 1..=2 {
            let same = NewMessage { caller: Some("+81901".into()), ..message(n, account) };
            store.create_message(&same, &pbx(), at(i64::try_from(n).unwrap())).await.unwrap();
        }
        let change = acknowledgement();
        store.change_message(RecordId(Uuid::from_u128(1)), &change, at(9)).await.unwrap();
        let known = store.caller_history(account, "+81901").await.unwrap().history;
        assert_eq!((known.last_message.as_deref(), known.open_messages), (Some("折り返し 2"), 1));
    }
}
