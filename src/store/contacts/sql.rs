//! The SQL of contacts.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::account_notices::record_change;
use super::{Backend, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::contract::records::search::contact_search_text;
use crate::contract::records::{
    CheckedContact, Contact, ContactFields, Language, Presence, PresenceState, StoredNumber,
};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;
use crate::store::account_notices::ChangedBy;
use crate::store::contacts::CONTACTS_PER_ACCOUNT_MAX;
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

/// Most accounts whose contacts one statement reads.
const ACCOUNTS_PER_STATEMENT: usize = 500;

/// A query of contacts. Those of an account that is being removed are not read.
macro_rules! contacts_where {
    ($($rest:expr),+) => {
        concat!("SELECT c.* FROM contacts AS c WHERE ", account_is_kept!("c"), " ", $($rest),+)
    };
}

impl Backend {
    pub(in crate::store) async fn contacts(
        &self,
        account: Option<RecordId>,
        after: Option<RecordId>,
        limit: i64,
    ) -> Result<Vec<Contact>, StoreError> {
        // Two statements, because each has its own index.
        let rows = sqlx::query(if account.is_some() {
            contacts_where!("AND c.account_id = $1 AND ($2 IS NULL OR c.id > $2) ORDER BY c.id LIMIT $3")
        } else {
            contacts_where!("AND $1 IS NULL AND ($2 IS NULL OR c.id > $2) ORDER BY c.id LIMIT $3")
        })
        .bind(account)
        .bind(after)
        .bind(limit)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(contact_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn contacts_in_order(
        &self,
        account: RecordId,
    ) -> Result<Vec<Contact>, StoreError> {
        let rows = sqlx::query(contacts_where!(
            "AND c.account_id = $1 ORDER BY c.on_call_order NULLS LAST, c.kana, c.name, c.id LIMIT $2"
        ))
        .bind(account)
        .bind(i64::from(CONTACTS_PER_ACCOUNT_MAX))
        .fetch_all(self.card_readers())
        .await?;
        Ok(rows.iter().map(contact_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn contacts_on_call(
        &self,
        accounts: &[RecordId],
    ) -> Result<Vec<Contact>, StoreError> {
        let mut found = Vec::new();
        for some in accounts.chunks(ACCOUNTS_PER_STATEMENT) {
            let mut query = QueryBuilder::new(contacts_where!(
                "AND (c.on_call_order IS NOT NULL OR c.on_call_shifts_json <> '[]') AND c.account_id IN ("
            ));
            let mut listed = query.separated(", ");
            for account in some {
                listed.push_bind(*account);
            }
            query.push(") ORDER BY c.account_id, c.on_call_order NULLS LAST, c.kana, c.name, c.id");
            let rows = query.build().fetch_all(self.readers()).await?;
            found.extend(rows.iter().map(contact_of).collect::<Result<Vec<_>, sqlx::Error>>()?);
        }
        Ok(found)
    }

    pub(in crate::store) async fn contact(&self, id: RecordId) -> Result<Option<Contact>, StoreError> {
        let row =
            sqlx::query(contacts_where!("AND c.id = $1")).bind(id).fetch_optional(self.readers()).await?;
        Ok(row.as_ref().map(contact_of).transpose()?)
    }

    pub(in crate::store) async fn find_contacts(
        &self,
        text: &str,
        limit: i64,
    ) -> Result<Vec<Contact>, StoreError> {
        let sql = contacts_where!(
            "AND c.id IN ",
            searched_ids!("contacts", "contact", "w.account_id"),
            " ORDER BY c.id LIMIT $5"
        );
        let rows = self.rows_of_text(sql, text, limit).await?;
        Ok(rows.iter().map(contact_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn fold_contacts(
        &self,
        plan: &NumberPlan,
        limit: i64,
    ) -> Result<u64, StoreError> {
        const UPDATE: &str =
            "UPDATE contacts SET search = $2 WHERE id = $1 AND search IS NULL AND changed_ms = $3";
        let rows = sqlx::query(contacts_where!("AND c.search IS NULL ORDER BY c.id LIMIT $1"))
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        let text_of = |row: &DbRow| {
            let contact = contact_of(row)?;
            let text = contact_search_text(&contact.fields, plan);
            Ok((contact.id, contact.changed_at, text))
        };
        let texts = rows.iter().map(text_of).collect::<Result<_, sqlx::Error>>()?;
        self.write_search_texts(UPDATE, texts).await
    }

    pub(in crate::store) async fn create_contact(
        &self,
        contact: &CheckedContact,
        at: Timestamp,
    ) -> Result<Contact, StoreError> {
        let mut transaction = self.begin().await?;
        let id = insert(&mut transaction, contact, at).await?;
        transaction.commit().await?;
        let fields = contact.fields.clone();
        Ok(Contact { id, fields, presence: None, created_at: at, changed_at: at })
    }

    pub(in crate::store) async fn update_contact(
        &self,
        id: RecordId,
        contact: &CheckedContact,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Contact, StoreError> {
        let mut transaction = self.begin().await?;
        claim(&mut transaction, id, seen).await?;
        let changed = update(&mut transaction, id, contact, at).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    pub(in crate::store) async fn set_presence(
        &self,
        id: RecordId,
        (state, until): (PresenceState, Timestamp),
        by: ChangedBy<'_>,
    ) -> Result<Contact, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "UPDATE contacts SET presence = $2, presence_until_ms = $3, presence_by = $4, presence_at_ms = $5
             WHERE id = $1 AND NOT EXISTS (
                SELECT 1 FROM account_removals AS r WHERE r.account_id = contacts.account_id)
             RETURNING *",
        )
        .bind(id)
        .bind(state.as_str())
        .bind(to_ms(until))
        .bind(by.name)
        .bind(to_ms(by.at))
        .fetch_optional(&mut *transaction)
        .await?;
        let contact = row.as_ref().map(contact_of).transpose()?;
        let contact = contact.ok_or(StoreError::Missing { what: "contact" })?;
        let about = (Some(contact.fields.account), id);
        record_change(&mut transaction, EventKind::ContactPresence, about, by).await?;
        transaction.commit().await?;
        Ok(contact)
    }

    pub(in crate::store) async fn delete_contact(&self, id: RecordId) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM contacts WHERE id = $1")
            .bind(id)
            .execute(&mut *self.write_once().await?)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::Missing { what: "contact" }) } else { Ok(()) }
    }
}

/// Keeps other transactions from the record until the end of this one, if it was not changed since `seen`.
async fn claim(db: &mut DbConnection, id: RecordId, seen: Option<Timestamp>) -> Result<(), StoreError> {
    let Some(seen) = seen else { return Ok(()) };
    let found = sqlx::query("UPDATE contacts SET changed_ms = changed_ms WHERE id = $1 AND changed_ms = $2")
        .bind(id)
        .bind(to_ms(seen))
        .execute(db)
        .await?;
    if found.rows_affected() == 0 { Err(StoreError::Changed { what: "contact" }) } else { Ok(()) }
}

/// An account's contact with this code.
pub(super) async fn by_code(
    db: &mut DbConnection,
    account: RecordId,
    code: &str,
) -> Result<Option<Contact>, StoreError> {
    let row = sqlx::query("SELECT * FROM contacts WHERE account_id = $1 AND code = $2")
        .bind(account)
        .bind(code)
        .fetch_optional(db)
        .await?;
    Ok(row.as_ref().map(contact_of).transpose()?)
}

/// A contact's number.
pub(super) async fn number(db: &mut DbConnection, id: RecordId) -> Result<Option<StoredNumber>, StoreError> {
    let row = sqlx::query("SELECT number_key, number FROM contacts WHERE id = $1 AND number_key IS NOT NULL")
        .bind(id)
        .fetch_optional(db)
        .await?;
    let number =
        |row: DbRow| Ok(StoredNumber { key: row.try_get("number_key")?, original: row.try_get("number")? });
    Ok(row.map(number).transpose().map_err(|error: sqlx::Error| error)?)
}

/// Binds the fields of a contact as $1 to $23, for the INSERT and the UPDATE.
macro_rules! values_of {
    ($statement:expr, $id:expr, $contact:expr, $at:expr) => {
        $statement
            .bind($id)
            .bind($contact.fields.account)
            .bind(&$contact.fields.code)
            .bind(&$contact.fields.name)
            .bind(&$contact.fields.kana)
            .bind(&$contact.fields.role)
            .bind($contact.number.as_ref().map(|number| number.key.as_str()))
            .bind(&$contact.fields.number)
            .bind(&$contact.fields.email)
            .bind($contact.fields.on_call_order.map(i64::from))
            .bind($contact.fields.accept_by_key)
            .bind($contact.fields.ring_s.map(i64::from))
            .bind(to_ms($at))
            .bind($contact.fields.absent_from.map(to_ms))
            .bind($contact.fields.absent_until.map(to_ms))
            .bind($contact.fields.deputy)
            .bind(list_json(&$contact.fields.days_off))
            .bind($contact.fields.no_transfer)
            .bind($contact.fields.do_not_tell)
            .bind(list_json(&$contact.fields.on_call_shifts))
            .bind(&$contact.search)
            .bind($contact.fields.language.map(Language::as_str))
            .bind(list_json(&$contact.fields.endpoint_order))
    };
}

/// Adds a contact.
pub(super) async fn insert(
    db: &mut DbConnection,
    contact: &CheckedContact,
    at: Timestamp,
) -> Result<RecordId, StoreError> {
    let id = RecordId(Uuid::now_v7());
    insert_as(db, id, contact, at).await?;
    Ok(id)
}

/// Adds a contact with this id.
pub(super) async fn insert_as(
    db: &mut DbConnection,
    id: RecordId,
    contact: &CheckedContact,
    at: Timestamp,
) -> Result<(), StoreError> {
    let fields = &contact.fields;
    values_of!(sqlx::query(
        "INSERT INTO contacts (id, account_id, code, name, kana, role, number_key, number, email, on_call_order,
            accept_by_key, ring_s, created_ms, changed_ms, absent_from_ms, absent_until_ms, deputy_id, days_off_json,
            no_transfer, do_not_tell, on_call_shifts_json, search, language, endpoint_order_json)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15, $16, $17, $18, $19, $20,
            $21, $22, $23)",
    ), id, contact, at)
    .execute(db)
    .await
    .map_err(|error| refusal(error, "the contact code", fields.code.as_deref()))?;
    Ok(())
}

/// Replaces a contact's fields.
pub(super) async fn update(
    db: &mut DbConnection,
    id: RecordId,
    contact: &CheckedContact,
    at: Timestamp,
) -> Result<Contact, StoreError> {
    let fields = &contact.fields;
    let row = values_of!(sqlx::query(
        "UPDATE contacts SET account_id = $2, code = $3, name = $4, kana = $5, role = $6, number_key = $7,
            number = $8, email = $9, on_call_order = $10, accept_by_key = $11, ring_s = $12,
            changed_ms = $13, absent_from_ms = $14, absent_until_ms = $15, deputy_id = $16, days_off_json = $17,
            no_transfer = $18, do_not_tell = $19, on_call_shifts_json = $20, search = $21,
            language = $22, endpoint_order_json = $23
         WHERE id = $1 RETURNING *",
    ), id, contact, at)
    .fetch_optional(db)
    .await
    .map_err(|error| refusal(error, "the contact code", fields.code.as_deref()))?;
    let changed = row.as_ref().map(contact_of).transpose()?;
    changed.ok_or(StoreError::Missing { what: "contact" })
}

/// A column that holds a JSON array.
fn list_json<T: Serialize>(items: &[T]) -> String {
    serde_json::to_string(items).unwrap_or_else(|_| "[]".to_owned())
}

/// The presence, where the row has one that this program knows.
fn presence_of(row: &DbRow) -> Result<Option<Presence>, sqlx::Error> {
    let state: Option<String> = row.try_get("presence")?;
    let Some(state) = state.as_deref().and_then(PresenceState::parse) else { return Ok(None) };
    Ok(Some(Presence {
        state,
        until: from_ms(row.try_get("presence_until_ms")?),
        by_name: row.try_get("presence_by")?,
        at: from_ms(row.try_get("presence_at_ms")?),
    }))
}

pub(super) fn contact_of(row: &DbRow) -> Result<Contact, sqlx::Error> {
    Ok(Contact {
        id: row.try_get("id")?,
        fields: ContactFields {
            account: row.try_get("account_id")?,
            code: row.try_get("code")?,
            name: row.try_get("name")?,
            kana: row.try_get("kana")?,
            role: row.try_get("role")?,
            number: row.try_get("number")?,
            email: row.try_get("email")?,
            on_call_order: row
                .try_get::<Option<i64>, _>("on_call_order")?
                .and_then(|order| order.try_into().ok()),
            accept_by_key: row.try_get("accept_by_key")?,
            ring_s: row.try_get::<Option<i64>, _>("ring_s")?.and_then(|seconds| seconds.try_into().ok()),
            absent_from: row.try_get::<Option<i64>, _>("absent_from_ms")?.map(from_ms),
            absent_until: row.try_get::<Option<i64>, _>("absent_until_ms")?.map(from_ms),
            deputy: row.try_get("deputy_id")?,
            on_call_shifts: serde_json::from_str(row.try_get("on_call_shifts_json")?).unwrap_or_default(),
            days_off: serde_json::from_str(row.try_get("days_off_json")?).unwrap_or_default(),
            no_transfer: row.try_get("no_transfer")?,
            do_not_tell: row.try_get("do_not_tell")?,
            language: row.try_get::<Option<&str>, _>("language")?.and_then(Language::parse),
            endpoint_order: serde_json::from_str(row.try_get("endpoint_order_json")?).unwrap_or_default(),
        },
        presence: presence_of(row)?,
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}
