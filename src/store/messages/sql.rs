//! The SQL of messages.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};

use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::message::{Message, MessageState, MessageUpdate, NewMessage};
use crate::ids::{PbxId, RecordId};
use crate::journal::entry::MessagePublication;
use crate::store::error::refusal;
use crate::store::messages::{ChangeOutcome, MessageCursor, MessageFilter};
use crate::store::{StoreError, from_ms, to_ms};

/// A query of messages. Of a customer who is being erased nothing is read.
macro_rules! messages_where {
    ($rest:literal) => {
        concat!(
            "SELECT m.*, ",
            message_is_being_erased!(),
            " AS is_erased FROM messages AS m WHERE ",
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
        let mut query = QueryBuilder::<Db>::new(messages_where!(""));
        if let Some(account) = filter.account {
            query.push(" AND m.account_id = ").push_bind(account);
        }
        if let Some(state) = filter.state {
            query.push(" AND m.state = ").push_bind(state.as_str());
        }
        if let Some(call) = filter.call {
            query.push(" AND m.call_id = ").push_bind(call);
        }
        if let Some(caller) = &filter.caller {
            query.push(" AND m.caller_key = ").push_bind(caller.clone());
            // That a message is in the list would say whose it is.
            query.push(concat!(" AND NOT ", message_is_being_erased!()));
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
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM erased_calls WHERE call_id = $1)")
                .bind(message.call)
                .fetch_one(&mut *transaction)
                .await?;
        if is_erased {
            return Err(StoreError::Erased);
        }
        let inserted = sqlx::query(
            "INSERT INTO messages (id, account_id, call_id, customer_id, contact_id, taken_by, taken_by_name,
                caller_key, text, created_ms, changed_ms, pbx)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11) ON CONFLICT (id) DO NOTHING",
        )
        .bind(message.id)
        .bind(message.account)
        .bind(message.call)
        .bind(message.customer)
        .bind(message.contact)
        .bind(message.taken_by)
        .bind(&message.taken_by_name)
        .bind(&message.caller)
        .bind(&message.text)
        .bind(to_ms(at))
        .bind(pbx.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the message", None))?
        .rows_affected();
        let row = sqlx::query(messages_where!(" AND m.id = $1"))
            .bind(message.id)
            .fetch_one(&mut *transaction)
            .await?;
        let stored = message_of(&row)?;
        transaction.commit().await?;
        Ok((stored, inserted > 0))
    }

    pub(in crate::store) async fn change_message(
        &self,
        id: RecordId,
        change: &MessageUpdate,
        at: Timestamp,
    ) -> Result<ChangeOutcome, StoreError> {
        // The text of a message of an erased customer stays empty.
        let changed = sqlx::query(concat!(
            "UPDATE messages AS m SET text = coalesce($2, text),
                state = CASE WHEN $3 THEN 'acknowledged' ELSE state END,
                acknowledged_by = CASE WHEN $3 THEN $4 ELSE acknowledged_by END,
                acknowledged_ms = CASE WHEN $3 THEN $5 ELSE acknowledged_ms END,
                changed_ms = $5, version = version + 1
             WHERE id = $1 AND state <> 'acknowledged' AND ($3 OR text <> $2)
                AND (state = 'open' OR $2 IS NULL OR text = $2)
                AND ($2 IS NULL OR text <> '' AND NOT ",
            message_is_being_erased!(),
            ")"
        ))
        .bind(id)
        .bind(&change.text)
        .bind(change.acknowledged_by.is_some())
        .bind(change.acknowledged_by)
        .bind(to_ms(at))
        .execute(&mut *self.write_once().await?)
        .await?;
        let message = self.message(id).await?.ok_or(StoreError::Missing { what: "message" })?;
        if changed.rows_affected() > 0 {
            return Ok(ChangeOutcome::Applied(message));
        }
        let is_so = change.text.as_ref().is_none_or(|text| *text == message.text);
        Ok(if is_so { ChangeOutcome::Applied(message) } else { ChangeOutcome::NotOpen(message) })
    }

    pub(in crate::store) async fn delete_message(&self, id: RecordId) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM messages WHERE id = $1")
            .bind(id)
            .execute(&mut *self.write_once().await?)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::Missing { what: "message" }) } else { Ok(()) }
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

fn message_of(row: &DbRow) -> Result<Message, sqlx::Error> {
    let is_shown = !row.try_get::<bool, _>("is_erased")?;
    Ok(Message {
        id: row.try_get("id")?,
        account: row.try_get("account_id")?,
        call: row.try_get("call_id")?,
        customer: row.try_get::<Option<RecordId>, _>("customer_id")?.filter(|_| is_shown),
        contact: row.try_get("contact_id")?,
        taken_by: row.try_get("taken_by")?,
        taken_by_name: row.try_get("taken_by_name")?,
        caller: row.try_get::<Option<String>, _>("caller_key")?.filter(|_| is_shown),
        text: if is_shown { row.try_get("text")? } else { String::new() },
        state: MessageState::parse(row.try_get("state")?).unwrap_or(MessageState::Open),
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
        acknowledged_at: row.try_get::<Option<i64>, _>("acknowledged_ms")?.map(from_ms),
        acknowledged_by: row.try_get("acknowledged_by")?,
        version: count(row.try_get("version")?),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::records::AccountFields;
    use crate::ids::{CallId, ChannelId};
    use crate::journal::entry::JournalEntry;
    use crate::numbers::NumberPlan;
    use crate::store::Store;

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

    fn message(n: u128, account: RecordId) -> NewMessage {
        NewMessage {
            id: RecordId(Uuid::from_u128(n)),
            account,
            call: Some(call(n)),
            customer: None,
            contact: None,
            taken_by: HANA,
            taken_by_name: "花".into(),
            caller: Some(format!("+8190{n}")),
            text: format!("折り返し {n}"),
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
        let again = NewMessage { text: "another".into(), ..message(1, account) };
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
        let acknowledge = MessageUpdate { text: None, acknowledged_by: Some(HANA) };
        store.change_message(RecordId(Uuid::from_u128(3)), &acknowledge, at(50)).await.unwrap();
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
        let with_text = |text: &str| MessageUpdate { text: Some(text.into()), acknowledged_by: None };
        let ChangeOutcome::Applied(changed) =
            store.change_message(first.id, &with_text("b"), at(2)).await.unwrap()
        else {
            panic!("it is open");
        };
        assert_eq!((changed.text.as_str(), changed.version, changed.changed_at), ("b", 2, at(2)));
        // The same text again is no change.
        let same = store.change_message(first.id, &with_text("b"), at(3)).await.unwrap();
        assert_eq!(same, ChangeOutcome::Applied(changed.clone()));
        let both = MessageUpdate { text: Some("c".into()), acknowledged_by: Some(HANA) };
        let ChangeOutcome::Applied(over) = store.change_message(first.id, &both, at(4)).await.unwrap() else {
            panic!("it is open");
        };
        assert_eq!(
            (over.text.as_str(), over.state, over.acknowledged_at, over.acknowledged_by, over.version),
            ("c", MessageState::Acknowledged, Some(at(4)), Some(HANA), 3)
        );
        let again = MessageUpdate { text: None, acknowledged_by: Some(HANA) };
        assert_eq!(
            store.change_message(first.id, &again, at(5)).await.unwrap(),
            ChangeOutcome::Applied(over.clone())
        );
        assert_eq!(
            store.change_message(first.id, &both, at(5)).await.unwrap(),
            ChangeOutcome::Applied(over.clone())
        );
        assert_eq!(
            store.change_message(first.id, &with_text("d"), at(6)).await.unwrap(),
            ChangeOutcome::NotOpen(over)
        );
        store.delete_message(first.id).await.unwrap();
        for gone in [
            store.change_message(first.id, &with_text("d"), at(6)).await.map(drop),
            store.delete_message(first.id).await,
        ] {
            assert!(matches!(gone, Err(StoreError::Missing { what: "message" })), "{gone:?}");
        }
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
        let change = MessageUpdate { text: None, acknowledged_by: Some(HANA) };
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
        let change = MessageUpdate { text: None, acknowledged_by: Some(HANA) };
        store.change_message(RecordId(Uuid::from_u128(1)), &change, at(9)).await.unwrap();
        let known = store.caller_history(account, "+81901").await.unwrap().history;
        assert_eq!((known.last_message.as_deref(), known.open_messages), (Some("折り返し 2"), 1));
    }
}
