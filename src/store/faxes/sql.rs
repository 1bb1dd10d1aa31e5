//! The SQL of faxes.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};

use super::messages::insert_message;
use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::fax::{Fax, FaxMode, FaxState, NewFax};
use crate::contract::message::NewMessage;
use crate::ids::{PbxId, RecordId};
use crate::store::faxes::{FaxCursor, FaxFilter};
use crate::store::{StoreError, from_ms, to_ms};

/// The faxes that readers see.
macro_rules! faxes_where {
    ($conditions:literal) => {
        concat!(
            "SELECT f.* FROM faxes AS f WHERE ",
            account_is_kept!("f"),
            " AND NOT ",
            fax_is_being_erased!(),
            $conditions
        )
    };
}

impl Backend {
    pub(in crate::store) async fn create_fax(
        &self,
        new: &NewFax,
        message: Option<&NewMessage>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let NewFax { fax, file, document } = new;
        let mut transaction = self.begin().await?;
        let is_erased: bool =
            sqlx::query_scalar(call_is_erased!()).bind(fax.call).fetch_one(&mut *transaction).await?;
        if is_erased {
            return Ok(false);
        }
        // The account may have been deleted since it was looked up: the fax is kept without it.
        let inserted = sqlx::query(
            "INSERT INTO faxes (id, pbx, file, account_id, call_id, dialled, caller_key, station, state, mode, pages,
                bytes, received_ms)
             VALUES ($1, $2, $3, (SELECT a.id FROM accounts AS a WHERE a.id = $4
                AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = a.id)), $5, $6, $7, $8, $9, $10, $11, $12, $13)
             ON CONFLICT (pbx, file) DO NOTHING RETURNING account_id",
        )
        .bind(fax.id)
        .bind(fax.pbx.as_str())
        .bind(file)
        .bind(fax.account)
        .bind(fax.call)
        .bind(&fax.dialled)
        .bind(&fax.caller)
        .bind(&fax.station)
        .bind(fax.state.as_str())
        .bind(fax.mode.as_str())
        .bind(i64::from(fax.pages))
        .bind(i64::try_from(fax.bytes).unwrap_or(i64::MAX))
        .bind(to_ms(fax.received_at))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(inserted) = inserted else { return Ok(false) };
        if !document.is_empty() {
            sqlx::query("INSERT INTO fax_documents (fax_id, content) VALUES ($1, $2)")
                .bind(fax.id)
                .bind(document)
                .execute(&mut *transaction)
                .await?;
        }
        let account: Option<RecordId> = inserted.try_get("account_id")?;
        if let Some(message) = message.filter(|message| account == Some(message.account)) {
            insert_message(&mut transaction, message, &fax.pbx, at).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn faxes(
        &self,
        filter: &FaxFilter,
        after: Option<FaxCursor>,
        limit: u32,
    ) -> Result<Vec<Fax>, StoreError> {
        let mut query = QueryBuilder::<Db>::new(faxes_where!(""));
        if let Some(account) = filter.account {
            query.push(" AND f.account_id = ").push_bind(account);
        }
        if let Some(state) = filter.state {
            query.push(" AND f.state = ").push_bind(state.as_str());
        }
        if let Some(call) = filter.call {
            query.push(" AND f.call_id = ").push_bind(call);
        }
        if let Some(from) = filter.from {
            query.push(" AND f.received_ms >= ").push_bind(to_ms(from));
        }
        if let Some(to) = filter.to {
            query.push(" AND f.received_ms < ").push_bind(to_ms(to));
        }
        if let Some(FaxCursor { received_ms, id }) = after {
            query.push(" AND (f.received_ms, f.id) < (").push_bind(received_ms);
            query.push(", ").push_bind(id).push(")");
        }
        query.push(" ORDER BY f.received_ms DESC, f.id DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(fax_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn fax(&self, id: RecordId) -> Result<Option<Fax>, StoreError> {
        let row = sqlx::query(faxes_where!(" AND f.id = $1")).bind(id).fetch_optional(self.readers()).await?;
        Ok(row.as_ref().map(fax_of).transpose()?)
    }

    pub(in crate::store) async fn fax_document(&self, id: RecordId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar(concat!(
            "SELECT d.content FROM fax_documents AS d JOIN faxes AS f ON f.id = d.fax_id WHERE f.id = $1 AND ",
            account_is_kept!("f"),
            " AND NOT ",
            fax_is_being_erased!()
        ))
        .bind(id)
        .fetch_optional(self.readers())
        .await?)
    }

    pub(in crate::store) async fn delete_fax(&self, id: RecordId) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM faxes WHERE id = $1")
            .bind(id)
            .execute(&mut *self.write_once().await?)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "fax" });
        }
        Ok(())
    }

    pub(in crate::store) async fn unpublished_faxes(
        &self,
        pbx: &PbxId,
        limit: u32,
    ) -> Result<Vec<Fax>, StoreError> {
        let rows = sqlx::query(faxes_where!(
            " AND f.pbx = $1 AND f.published = 0 ORDER BY f.received_ms, f.id LIMIT $2"
        ))
        .bind(pbx.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(fax_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Notes that the event of a fax went out.
pub(super) async fn write_fax_publication(db: &mut DbConnection, id: RecordId) -> Result<(), StoreError> {
    sqlx::query("UPDATE faxes SET published = 1 WHERE id = $1").bind(id).execute(db).await?;
    Ok(())
}

fn fax_of(row: &DbRow) -> Result<Fax, sqlx::Error> {
    let word = |column: &str| row.try_get::<String, _>(column);
    let pbx = PbxId::parse(&word("pbx")?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Fax {
        id: row.try_get("id")?,
        pbx,
        account: row.try_get("account_id")?,
        call: row.try_get("call_id")?,
        dialled: row.try_get("dialled")?,
        caller: row.try_get("caller_key")?,
        station: row.try_get("station")?,
        // A word of a later version: the document is there, and how much of it arrived is not known here.
        state: FaxState::parse(&word("state")?).unwrap_or(FaxState::Unconfirmed),
        mode: FaxMode::parse(&word("mode")?).unwrap_or(FaxMode::Unknown),
        pages: u32::try_from(row.try_get::<i64, _>("pages")?).unwrap_or(0),
        bytes: u64::try_from(row.try_get::<i64, _>("bytes")?).unwrap_or(0),
        received_at: from_ms(row.try_get("received_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::message::{MessageFields, MessageKind};
    use crate::contract::records::{AccountFields, ContactFields, CustomerFields};
    use crate::ids::{CallId, ChannelId};
    use crate::journal::entry::JournalEntry;
    use crate::numbers::NumberPlan;
    use crate::store::Store;
    use crate::store::deliveries::DeliveryFilter;
    use crate::store::erasure::{ErasureStep, LiveCalls, SETTLE_MS};
    use crate::store::mail_servers::MAIL_SERVER;
    use crate::store::retention::PurgeTarget;

    async fn store() -> (impl Sized, Store, RecordId) {
        let (held, store) = super::super::empty_store().await;
        let fields = AccountFields { code: "A".into(), name: "さくら".into(), ..AccountFields::default() };
        let account =
            store.create_account(&fields.checked(&NumberPlan::default()).unwrap(), from_ms(0)).await;
        (held, store, account.unwrap().id)
    }

    fn pbx() -> PbxId {
        PbxId::parse("lab").unwrap()
    }

    fn fax(n: u32, account: Option<RecordId>) -> NewFax {
        let call = CallId::derive(&pbx(), &ChannelId::parse(&n.to_string()).unwrap());
        NewFax {
            fax: Fax {
                id: RecordId(Uuid::from_u128(u128::from(n))),
                pbx: pbx(),
                account,
                call: Some(call),
                dialled: Some("0355501091".into()),
                caller: Some("+81312345678".into()),
                station: Some("0312345678".into()),
                state: FaxState::Partial,
                mode: FaxMode::T38,
                pages: 3,
                bytes: 7,
                received_at: from_ms(i64::from(n)),
            },
            file: format!("{n}.{n}_0355501091.tif"),
            document: b"%PDF-1.".to_vec(),
        }
    }

    #[tokio::test]
    async fn a_fax_is_read_back_and_a_file_is_one_fax() {
        let (_held, store, account) = store().await;
        let new = fax(1, Some(account));
        assert!(store.create_fax(&new, None, from_ms(9)).await.unwrap());
        let again =
            NewFax { fax: Fax { id: RecordId(Uuid::from_u128(99)), ..new.fax.clone() }, ..new.clone() };
        assert!(!store.create_fax(&again, None, from_ms(9)).await.unwrap());
        assert_eq!(store.fax(new.fax.id).await.unwrap(), Some(new.fax.clone()));
        assert_eq!(store.fax_document(new.fax.id).await.unwrap(), Some(new.document.clone()));
        assert_eq!(store.fax(again.fax.id).await.unwrap(), None);
        // Another PBX may count in the same way.
        let mut other = again.clone();
        other.fax.pbx = PbxId::parse("osaka").unwrap();
        assert!(store.create_fax(&other, None, from_ms(9)).await.unwrap());
        store.delete_fax(new.fax.id).await.unwrap();
        assert_eq!(store.fax_document(new.fax.id).await.unwrap(), None);
        assert!(matches!(store.delete_fax(new.fax.id).await, Err(StoreError::Missing { .. })));
    }

    #[tokio::test]
    async fn a_fax_is_a_message_with_its_document_to_be_mailed() {
        let (_held, store, account) = store().await;
        let contact = serde_json::json!({ "account": account, "name": "佐々木", "email": "sasaki@example.jp", "on_call_order": 1 });
        let contact: ContactFields = serde_json::from_value(contact).unwrap();
        store.create_contact(&contact.checked(&NumberPlan::default()).unwrap(), from_ms(0)).await.unwrap();
        store.set_mail_server(MAIL_SERVER, true).await.unwrap();
        let new = fax(1, Some(account));
        let message = message_of(&new, account);
        assert!(store.create_fax(&new, Some(&message), from_ms(9)).await.unwrap());
        assert!(!store.create_fax(&new, Some(&message), from_ms(9)).await.unwrap());
        let stored = store.message(new.fax.id).await.unwrap().unwrap();
        assert_eq!((stored.kind, stored.taken_by, stored.taken_by_name), (MessageKind::Fax, None, None));
        assert_eq!(stored.number.as_deref(), Some("260401-0001"));
        let deliveries = store.message_deliveries(DeliveryFilter::default()).await.unwrap();
        assert_eq!(deliveries.len(), 1);
        let facts = store.letter_facts(deliveries[0].id).await.unwrap().unwrap();
        assert_eq!(facts.document_bytes, Some(new.fax.bytes));
        // The account is gone: the fax is kept, and nobody gets a message.
        let other = fax(2, Some(RecordId(Uuid::from_u128(404))));
        let message = message_of(&other, RecordId(Uuid::from_u128(404)));
        assert!(store.create_fax(&other, Some(&message), from_ms(9)).await.unwrap());
        assert_eq!(store.message(other.fax.id).await.unwrap(), None);
    }

    fn message_of(new: &NewFax, account: RecordId) -> NewMessage {
        let fields = MessageFields { text: "FAX 3枚".into(), ..MessageFields::default() };
        NewMessage {
            id: new.fax.id,
            account,
            call: new.fax.call,
            customer: None,
            kind: MessageKind::Fax,
            taken_by: None,
            taken_by_name: String::new(),
            caller: new.fax.caller.clone(),
            content: fields.checked(&NumberPlan::default()).unwrap(),
            day: "260401".into(),
            not_before: from_ms(9),
        }
    }

    #[tokio::test]
    async fn a_fax_without_a_document_or_an_account_is_kept() {
        let (_held, store, _) = store().await;
        let mut new = fax(1, Some(RecordId(Uuid::from_u128(404))));
        new.document.clear();
        assert!(store.create_fax(&new, None, from_ms(9)).await.unwrap());
        let stored = store.fax(new.fax.id).await.unwrap().unwrap();
        assert_eq!((stored.account, stored.call), (None, new.fax.call));
        assert_eq!(store.fax_document(new.fax.id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_list_has_pages_and_conditions() {
        let (_held, store, account) = store().await;
        for n in 1..=5 {
            let mut new = fax(n, (n != 3).then_some(account));
            new.fax.state = if n == 5 { FaxState::Complete } else { FaxState::Partial };
            store.create_fax(&new, None, from_ms(9)).await.unwrap();
        }
        let read = async |filter: FaxFilter, after, limit| {
            let page = store.faxes(&filter, after, limit).await.unwrap();
            page.into_iter().map(|fax| fax.id.0.as_u128()).collect::<Vec<_>>()
        };
        let all = FaxFilter::default();
        assert_eq!(read(all.clone(), None, 2).await, [5, 4]);
        let cursor = FaxCursor::of(&store.faxes(&all, None, 2).await.unwrap()[1]);
        assert_eq!(FaxCursor::parse(&cursor.to_string()), Some(cursor));
        assert_eq!(read(all.clone(), Some(cursor), 9).await, [3, 2, 1]);
        assert_eq!(read(FaxFilter { account: Some(account), ..all.clone() }, None, 9).await, [5, 4, 2, 1]);
        assert_eq!(read(FaxFilter { state: Some(FaxState::Complete), ..all.clone() }, None, 9).await, [5]);
        let call = fax(2, None).fax.call;
        assert_eq!(read(FaxFilter { call, ..all.clone() }, None, 9).await, [2]);
        let (from, to) = (Some(from_ms(2)), Some(from_ms(4)));
        assert_eq!(read(FaxFilter { from, to, ..all }, None, 9).await, [3, 2]);
    }

    #[tokio::test]
    async fn faxes_lose_their_senders_and_are_deleted_by_age() {
        let (_held, store, account) = store().await;
        for n in 1..=3 {
            store.create_fax(&fax(n, Some(account)), None, from_ms(9)).await.unwrap();
        }
        let before = from_ms(3);
        for (target, rows) in [(PurgeTarget::FaxSenders, 2), (PurgeTarget::FaxSenders, 0)] {
            assert_eq!(store.purge(target, before, 100).await.unwrap(), rows);
        }
        let senders = async |n: u32| {
            let stored = store.fax(fax(n, None).fax.id).await.unwrap().unwrap();
            (stored.caller, stored.station)
        };
        assert_eq!(senders(2).await, (None, None));
        let kept = fax(3, None).fax;
        assert_eq!(senders(3).await, (kept.caller, kept.station));
        assert_eq!(store.purge(PurgeTarget::Faxes, before, 100).await.unwrap(), 2);
        assert_eq!(store.fax_document(fax(2, None).fax.id).await.unwrap(), None);
        assert_eq!(
            store.faxes(&FaxFilter::default(), None, 9).await.unwrap(),
            [Fax { account: Some(account), ..fax(3, None).fax }]
        );
    }

    #[tokio::test]
    async fn a_forgotten_customer_takes_the_faxes_along() {
        let (_held, store, account) = store().await;
        let fields = serde_json::json!({ "account": account, "name": "田中", "numbers": ["03-1234-5678"] });
        let fields: CustomerFields = serde_json::from_value(fields).unwrap();
        let tanaka =
            store.create_customer(&fields.checked(&NumberPlan::default()).unwrap(), from_ms(0)).await;
        let other = AccountFields { code: "B".into(), name: "みなと".into(), ..AccountFields::default() };
        let other = store.create_account(&other.checked(&NumberPlan::default()).unwrap(), from_ms(0)).await;
        store.create_fax(&fax(1, Some(account)), None, from_ms(9)).await.unwrap();
        // The same number is somebody else for another account.
        store.create_fax(&fax(2, Some(other.unwrap().id)), None, from_ms(9)).await.unwrap();
        // The customer withheld the number, and the account's record of the call names them.
        let mut withheld = fax(3, Some(account));
        withheld.fax.caller = None;
        let call = withheld.fax.call.unwrap();
        sqlx::query(
            "INSERT INTO calls (id, pbx, direction, account_id, customer_id, presentation, offered_ms, ended_ms, outcome)
             VALUES ($1, 'lab', 'inbound', $2, $3, 'withheld', 3, 3, 'fax')",
        )
        .bind(call)
        .bind(account)
        .bind(tanaka.as_ref().unwrap().id)
        .execute(super::super::of(&store).writer())
        .await
        .unwrap();
        store.create_fax(&withheld, None, from_ms(9)).await.unwrap();
        // One more that comes after the request.
        store.create_fax(&fax(200_000, Some(account)), None, from_ms(9)).await.unwrap();
        let plan = NumberPlan::default();
        store.forget_customer(tanaka.unwrap().id, &plan, from_ms(9)).await.unwrap();
        let shown = async || {
            let left = store.faxes(&FaxFilter::default(), None, 9).await.unwrap();
            left.iter().map(|fax| fax.id.0.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(shown().await, [200_000, 2]);
        for n in [1, 3] {
            let id = fax(n, None).fax.id;
            assert_eq!((store.fax(id).await.unwrap(), store.fax_document(id).await.unwrap()), (None, None));
        }
        let count = async |table: &'static str| -> i64 {
            sqlx::query_scalar(table).fetch_one(super::super::of(&store).readers()).await.unwrap()
        };
        assert_eq!(count("SELECT count(*) FROM fax_documents").await, 4);
        let later = from_ms(9 + SETTLE_MS);
        while !matches!(
            store.erase_step(1, LiveCalls::Known(&[]), &plan, later).await.unwrap(),
            ErasureStep::Idle
        ) {}
        assert_eq!(count("SELECT count(*) FROM fax_documents").await, 2);
        assert_eq!(shown().await, [200_000, 2]);
        // A file that is found late brings nothing of an erased call back.
        assert!(!store.create_fax(&withheld, None, from_ms(9)).await.unwrap());
        assert_eq!(count("SELECT count(*) FROM faxes").await, 2);
    }

    #[tokio::test]
    async fn a_fax_is_unpublished_until_its_event_is_committed() {
        let (_held, store, account) = store().await;
        for n in 1..=2 {
            store.create_fax(&fax(n, Some(account)), None, from_ms(9)).await.unwrap();
        }
        let id = fax(1, None).fax.id;
        super::super::of(&store).write_entry(&pbx(), &JournalEntry::FaxPublished(id)).await.unwrap();
        let left = store.unpublished_faxes(&pbx(), 9).await.unwrap();
        assert_eq!(left.iter().map(|fax| fax.id.0.as_u128()).collect::<Vec<_>>(), [2]);
        assert_eq!(store.unpublished_faxes(&PbxId::parse("osaka").unwrap(), 9).await.unwrap(), []);
    }
}
