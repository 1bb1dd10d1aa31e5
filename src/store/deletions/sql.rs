//! The SQL of deletions that can be undone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::{Backend, DbConnection, DbRow, accounts, contacts, customers, message_endpoints, users};
use crate::contract::records::{
    AccountFields, CheckedMessageEndpoint, ContactFields, CustomerFields, MessageEndpointFields, RecordError,
};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;
use crate::secret::Secret;
use crate::store::deletions::{DELETIONS_SHOWN_MAX, DeletedBy, DeletedKind, Deletion, UNDO_TTL};
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

/// A record that was deleted.
struct Gone {
    name: String,
    code: Option<String>,
    /// What an undo needs, as JSON.
    content: String,
}

/// A contact as it was.
#[derive(Serialize, Deserialize)]
struct ContactContent {
    fields: ContactFields,
    created_ms: i64,
    presence: Option<PresenceContent>,
    endpoints: Vec<EndpointContent>,
}

/// The columns of a contact's presence.
#[derive(Serialize, Deserialize)]
struct PresenceContent {
    state: String,
    until_ms: i64,
    by: String,
    at_ms: i64,
}

/// An endpoint of a contact. Its secret is in the store in any case.
#[derive(Serialize, Deserialize)]
struct EndpointContent {
    id: RecordId,
    fields: MessageEndpointFields,
    secret: Option<String>,
    created_ms: i64,
}

/// A customer as it was.
#[derive(Serialize, Deserialize)]
struct CustomerContent {
    fields: CustomerFields,
    created_ms: i64,
    changes: Vec<ChangeContent>,
}

/// Two customers before a merge.
#[derive(Serialize, Deserialize)]
struct MergeContent {
    gone: CustomerContent,
    kept: RecordId,
    fields: CustomerFields,
    /// The version of the customer who stays, right after the merge.
    changed_ms: i64,
}

/// A row of the customer's changes.
#[derive(Serialize, Deserialize)]
struct ChangeContent {
    id: RecordId,
    action: String,
    by_name: String,
    at_ms: i64,
    fields_json: String,
}

impl Backend {
    pub(in crate::store) async fn delete_undoably(
        &self,
        kind: DeletedKind,
        id: RecordId,
        by: DeletedBy<'_>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let db = &mut *transaction;
        let gone = match kind {
            DeletedKind::Account => {
                let account = accounts::read(db, id).await?;
                let fields = account.ok_or(StoreError::Missing { what: "account" })?.fields;
                accounts::hide(db, id, by.at).await?;
                Gone { content: json_of(&fields)?, name: fields.name, code: Some(fields.code) }
            }
            DeletedKind::Contact => {
                let gone = contact_gone(db, id).await?;
                sqlx::query("DELETE FROM contacts WHERE id = $1").bind(id).execute(&mut *db).await?;
                gone
            }
            DeletedKind::Customer => {
                let gone = customer_gone(db, id).await?;
                sqlx::query("DELETE FROM customers WHERE id = $1").bind(id).execute(&mut *db).await?;
                gone
            }
            DeletedKind::User => {
                let name: Option<String> = sqlx::query_scalar("SELECT name FROM users WHERE id = $1")
                    .bind(id)
                    .fetch_optional(&mut *db)
                    .await?;
                let name = name.ok_or(StoreError::Missing { what: "user" })?;
                Gone { name, code: None, content: "{}".to_owned() }
            }
            // A merge is no deletion that is asked for here.
            DeletedKind::Merge => return Err(StoreError::Missing { what: "customer" }),
        };
        note(db, (kind, id), &gone, by).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn deletions(&self, now: Timestamp) -> Result<Vec<Deletion>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, kind, name, code, by_name, at_ms FROM deletions WHERE at_ms > $1 ORDER BY at_ms DESC, id LIMIT $2",
        )
        .bind(oldest_ms(now))
        .bind(i64::from(DELETIONS_SHOWN_MAX))
        .fetch_all(self.readers())
        .await?;
        let found = rows.iter().map(deletion_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    pub(in crate::store) async fn undo_deletion(
        &self,
        id: RecordId,
        plan: &NumberPlan,
        now: Timestamp,
    ) -> Result<Option<Deletion>, StoreError> {
        let mut transaction = self.begin().await?;
        let db = &mut *transaction;
        let row = sqlx::query(
            "DELETE FROM deletions WHERE id = $1 AND at_ms > $2 RETURNING id, kind, name, code, by_name, at_ms, content_json",
        )
        .bind(id)
        .bind(oldest_ms(now))
        .fetch_optional(&mut *db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let Some(deletion) = deletion_of(&row)? else { return Ok(None) };
        let content: String = row.try_get("content_json")?;
        match deletion.kind {
            DeletedKind::Account => {
                let fields: AccountFields = content_of(&content)?;
                let account = fields.checked(plan).map_err(invalid)?;
                sqlx::query("DELETE FROM account_removals WHERE account_id = $1")
                    .bind(id)
                    .execute(&mut *db)
                    .await?;
                accounts::update(db, id, &account, now).await?;
            }
            DeletedKind::Contact => restore_contact(db, id, content_of(&content)?, plan, now).await?,
            DeletedKind::Customer => restore_customer(db, id, content_of(&content)?, plan, now).await?,
            DeletedKind::User => users::restore(db, id, deletion.at).await?,
            DeletedKind::Merge => separate(db, id, content_of(&content)?, plan, now).await?,
        }
        transaction.commit().await?;
        Ok(Some(deletion))
    }

    /// Moves back some of the calls and messages that a merge took from a customer; returns how many were left.
    pub(in crate::store) async fn move_back(&self, customer: RecordId, rows: i64) -> Result<u64, StoreError> {
        let mut left = 0;
        for (part, statement) in [
            (
                "call",
                "UPDATE calls SET customer_id = $1 WHERE id IN (SELECT r.id FROM merged_rows AS r
                    WHERE r.customer_id = $1 AND r.part = $2 ORDER BY r.id LIMIT $3) AND customer_id = (
                    SELECT r.kept_id FROM merged_rows AS r WHERE r.customer_id = $1 LIMIT 1)",
            ),
            (
                "message",
                "UPDATE messages SET customer_id = $1 WHERE id IN (SELECT r.id FROM merged_rows AS r
                    WHERE r.customer_id = $1 AND r.part = $2 ORDER BY r.id LIMIT $3) AND customer_id = (
                    SELECT r.kept_id FROM merged_rows AS r WHERE r.customer_id = $1 LIMIT 1)",
            ),
        ] {
            let mut transaction = self.begin().await?;
            sqlx::query(statement).bind(customer).bind(part).bind(rows).execute(&mut *transaction).await?;
            let done = sqlx::query(
                "DELETE FROM merged_rows WHERE id IN (SELECT r.id FROM merged_rows AS r
                    WHERE r.customer_id = $1 AND r.part = $2 ORDER BY r.id LIMIT $3)",
            )
            .bind(customer)
            .bind(part)
            .bind(rows)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            left += done.rows_affected();
        }
        Ok(left)
    }

    /// A customer whose merge can be undone no longer, or was undone, and of whom moved rows are noted; and whether the customer
    /// is back.
    pub(in crate::store) async fn merge_over(&self) -> Result<Option<(RecordId, bool)>, StoreError> {
        let customer: Option<RecordId> = sqlx::query_scalar(
            "SELECT r.customer_id FROM merged_rows AS r
             WHERE NOT EXISTS (SELECT 1 FROM deletions AS d WHERE d.id = r.customer_id) LIMIT 1",
        )
        .fetch_optional(self.readers())
        .await?;
        let Some(customer) = customer else { return Ok(None) };
        let is_back: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM customers WHERE id = $1)")
            .bind(customer)
            .fetch_one(self.readers())
            .await?;
        Ok(Some((customer, is_back)))
    }

    /// Forgets which rows a merge moved; returns how many were left.
    pub(in crate::store) async fn forget_moved(
        &self,
        customer: RecordId,
        rows: i64,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM merged_rows WHERE id IN (SELECT r.id FROM merged_rows AS r WHERE r.customer_id = $1 LIMIT $2)",
        )
        .bind(customer)
        .bind(rows)
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(done.rows_affected())
    }

    pub(in crate::store) async fn expire_deletions(&self, now: Timestamp) -> Result<(), StoreError> {
        let is_due: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM deletions WHERE at_ms <= $1)")
            .bind(oldest_ms(now))
            .fetch_one(self.readers())
            .await?;
        if is_due {
            sqlx::query("DELETE FROM deletions WHERE at_ms <= $1")
                .bind(oldest_ms(now))
                .execute(&mut *self.write_once().await?)
                .await?;
        }
        Ok(())
    }
}

/// A deletion of this time can no longer be undone.
fn oldest_ms(now: Timestamp) -> i64 {
    now.checked_sub(UNDO_TTL).map_or(i64::MIN, to_ms)
}

async fn note(
    db: &mut DbConnection,
    (kind, id): (DeletedKind, RecordId),
    gone: &Gone,
    by: DeletedBy<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO deletions (id, kind, name, code, by_name, at_ms, content_json) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, code = excluded.code, by_name = excluded.by_name, at_ms = excluded.at_ms,
            content_json = excluded.content_json",
    )
    .bind(id)
    .bind(kind.as_str())
    .bind(&gone.name)
    .bind(&gone.code)
    .bind(by.name)
    .bind(to_ms(by.at))
    .bind(&gone.content)
    .execute(db)
    .await?;
    Ok(())
}

async fn contact_gone(db: &mut DbConnection, id: RecordId) -> Result<Gone, StoreError> {
    let row = sqlx::query("SELECT * FROM contacts WHERE id = $1").bind(id).fetch_optional(&mut *db).await?;
    let row = row.ok_or(StoreError::Missing { what: "contact" })?;
    let contact = contacts::contact_of(&row)?;
    let presence = match contact.presence {
        Some(_) => Some(PresenceContent {
            state: row.try_get("presence")?,
            until_ms: row.try_get("presence_until_ms")?,
            by: row.try_get("presence_by")?,
            at_ms: row.try_get("presence_at_ms")?,
        }),
        None => None,
    };
    let endpoints = message_endpoints::of_contact(db, id).await?;
    let endpoints = endpoints.into_iter().map(|(endpoint, secret)| EndpointContent {
        id: endpoint.id,
        created_ms: to_ms(endpoint.created_at),
        fields: endpoint.fields,
        secret,
    });
    let (name, code) = (contact.fields.name.clone(), contact.fields.code.clone());
    let content = ContactContent {
        created_ms: to_ms(contact.created_at),
        fields: contact.fields,
        presence,
        endpoints: endpoints.collect(),
    };
    Ok(Gone { name, code, content: json_of(&content)? })
}

async fn restore_contact(
    db: &mut DbConnection,
    id: RecordId,
    content: ContactContent,
    plan: &NumberPlan,
    now: Timestamp,
) -> Result<(), StoreError> {
    let contact = content.fields.checked(plan).map_err(invalid)?;
    contacts::insert_as(db, id, &contact, now).await?;
    let presence = content.presence;
    sqlx::query(
        "UPDATE contacts SET created_ms = $2, presence = $3, presence_until_ms = $4, presence_by = $5, presence_at_ms = $6
         WHERE id = $1",
    )
    .bind(id)
    .bind(content.created_ms)
    .bind(presence.as_ref().map(|presence| presence.state.as_str()))
    .bind(presence.as_ref().map(|presence| presence.until_ms))
    .bind(presence.as_ref().map(|presence| presence.by.as_str()))
    .bind(presence.as_ref().map(|presence| presence.at_ms))
    .execute(&mut *db)
    .await?;
    for EndpointContent { id, fields, secret, created_ms } in content.endpoints {
        let endpoint = CheckedMessageEndpoint { fields, secret: secret.map(Secret::new) };
        message_endpoints::insert(db, id, &endpoint, from_ms(created_ms)).await?;
    }
    Ok(())
}

async fn customer_gone(db: &mut DbConnection, id: RecordId) -> Result<Gone, StoreError> {
    let customer = customers::read(db, id).await?;
    let customer = customer.ok_or(StoreError::Missing { what: "customer" })?;
    let rows = sqlx::query("SELECT * FROM customer_changes WHERE customer_id = $1 ORDER BY id")
        .bind(id)
        .fetch_all(&mut *db)
        .await?;
    let change = |row: &DbRow| {
        Ok(ChangeContent {
            id: row.try_get("id")?,
            action: row.try_get("action")?,
            by_name: row.try_get("by_name")?,
            at_ms: row.try_get("at_ms")?,
            fields_json: row.try_get("fields_json")?,
        })
    };
    let changes = rows.iter().map(change).collect::<Result<Vec<_>, sqlx::Error>>()?;
    let (name, code) = (customer.fields.name.clone(), customer.fields.code.clone());
    let content =
        CustomerContent { created_ms: to_ms(customer.created_at), fields: customer.fields, changes };
    Ok(Gone { name, code, content: json_of(&content)? })
}

/// Notes the customer who goes in a merge, and the one who stays as it was before.
pub(super) async fn note_merge(
    db: &mut DbConnection,
    gone: RecordId,
    kept: RecordId,
    by: DeletedBy<'_>,
) -> Result<(), StoreError> {
    let missing = || StoreError::Missing { what: "customer" };
    let fields = customers::read(db, kept).await?.ok_or_else(missing)?.fields;
    let Gone { name, code, content } = customer_gone(db, gone).await?;
    let content = MergeContent { gone: content_of(&content)?, kept, fields, changed_ms: to_ms(by.at) };
    let row = Gone { name, code, content: json_of(&content)? };
    note(db, (DeletedKind::Merge, gone), &row, by).await
}

/// Makes two customers of one again.
async fn separate(
    db: &mut DbConnection,
    id: RecordId,
    content: MergeContent,
    plan: &NumberPlan,
    now: Timestamp,
) -> Result<(), StoreError> {
    let MergeContent { gone, kept, fields, changed_ms } = content;
    if customers::read(db, kept).await?.is_none() {
        return Err(StoreError::Missing { what: "customer" });
    }
    customers::claim(db, kept, Some(from_ms(changed_ms))).await?;
    // First, because a code is one customer's.
    customers::replace(db, kept, &fields.checked(plan).map_err(invalid)?, now).await?;
    sqlx::query("DELETE FROM customer_changes WHERE customer_id = $1 AND action = 'merged' AND at_ms = $2")
        .bind(kept)
        .bind(changed_ms)
        .execute(&mut *db)
        .await?;
    restore_customer(db, id, gone, plan, now).await
}

async fn restore_customer(
    db: &mut DbConnection,
    id: RecordId,
    content: CustomerContent,
    plan: &NumberPlan,
    now: Timestamp,
) -> Result<(), StoreError> {
    let customer = content.fields.checked(plan).map_err(invalid)?;
    customers::insert(db, id, &customer, now).await?;
    sqlx::query("UPDATE customers SET created_ms = $2 WHERE id = $1")
        .bind(id)
        .bind(content.created_ms)
        .execute(&mut *db)
        .await?;
    for change in content.changes {
        sqlx::query(
            "INSERT INTO customer_changes (id, customer_id, action, by_name, at_ms, fields_json)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(change.id)
        .bind(id)
        .bind(change.action)
        .bind(change.by_name)
        .bind(change.at_ms)
        .bind(change.fields_json)
        .execute(&mut *db)
        .await
        .map_err(|error| refusal(error, "the change of a customer", None))?;
    }
    Ok(())
}

/// A kind of a newer program is left alone.
fn deletion_of(row: &DbRow) -> Result<Option<Deletion>, sqlx::Error> {
    let at = from_ms(row.try_get("at_ms")?);
    let kind: String = row.try_get("kind")?;
    let (id, by_name) = (row.try_get("id")?, row.try_get("by_name")?);
    let (name, code) = (row.try_get("name")?, row.try_get("code")?);
    let until = at.checked_add(UNDO_TTL).unwrap_or(at);
    Ok(DeletedKind::parse(&kind).map(|kind| Deletion { id, kind, name, code, by_name, at, until }))
}

fn json_of<T: Serialize>(content: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(content).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn content_of<T: for<'de> Deserialize<'de>>(content: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(content).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The record was valid when it was deleted.
fn invalid(error: RecordError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
