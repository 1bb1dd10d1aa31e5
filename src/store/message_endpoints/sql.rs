//! The SQL of endpoints of messages.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{Backend, DbConnection, DbRow};
use crate::contract::delivery::Suspension;
use crate::contract::records::{
    CheckedMessageEndpoint, ENDPOINTS_PER_ACCOUNT_MAX, EndpointCharset, EndpointKind, Language,
    MessageEndpoint, MessageEndpointFields, OutsideHours,
};
use crate::ids::RecordId;
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

/// Binds the fields of an endpoint as $1 to $19, for the INSERT and the UPDATE.
macro_rules! values_of {
    ($statement:expr, $id:expr, $endpoint:expr, $at:expr) => {{
        let fields = &$endpoint.fields;
        $statement
            .bind($id)
            .bind(fields.account)
            .bind(fields.contact)
            .bind(&fields.code)
            .bind(fields.kind.as_str())
            .bind(&fields.address)
            .bind(&fields.label)
            .bind(i64::from(fields.priority))
            .bind(fields.charset.as_str())
            .bind(fields.html)
            .bind(hours_text(fields)?)
            .bind(fields.outside.as_str())
            .bind(to_ms($at))
            .bind($endpoint.secret.as_ref().map(crate::secret::Secret::expose))
            .bind(&fields.profile)
            .bind(&fields.mention)
            .bind(fields.language.map(Language::as_str))
            .bind(fields.ack_link)
            .bind(fields.attachments)
    }};
}

impl Backend {
    pub(in crate::store) async fn message_endpoints(
        &self,
        account: Option<RecordId>,
        after: Option<RecordId>,
        limit: i64,
    ) -> Result<Vec<MessageEndpoint>, StoreError> {
        // Two statements, because each has its own index.
        let rows = sqlx::query(if account.is_some() {
            "SELECT e.*, s.since_ms, s.why FROM message_endpoints AS e
             LEFT JOIN suspended_addresses AS s ON s.channel = e.kind AND s.address = e.address
             WHERE e.account_id = $1 AND ($2 IS NULL OR e.id > $2) ORDER BY e.id LIMIT $3"
        } else {
            "SELECT e.*, s.since_ms, s.why FROM message_endpoints AS e
             LEFT JOIN suspended_addresses AS s ON s.channel = e.kind AND s.address = e.address
             WHERE $1 IS NULL AND ($2 IS NULL OR e.id > $2) ORDER BY e.id LIMIT $3"
        })
        .bind(account)
        .bind(after)
        .bind(limit)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(endpoint_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn message_endpoint(
        &self,
        id: RecordId,
    ) -> Result<Option<MessageEndpoint>, StoreError> {
        Ok(read(&mut *self.readers().acquire().await?, id).await?)
    }

    pub(in crate::store) async fn create_message_endpoint(
        &self,
        endpoint: &CheckedMessageEndpoint,
        at: Timestamp,
    ) -> Result<MessageEndpoint, StoreError> {
        let mut transaction = self.begin().await?;
        let fields = &endpoint.fields;
        check_contact(&mut transaction, fields).await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM message_endpoints WHERE account_id = $1")
            .bind(fields.account)
            .fetch_one(&mut *transaction)
            .await?;
        if count >= i64::from(ENDPOINTS_PER_ACCOUNT_MAX) {
            return Err(StoreError::Missing { what: "room for another endpoint of the account" });
        }
        let id = RecordId(Uuid::now_v7());
        insert(&mut transaction, id, endpoint, at).await?;
        let made = read(&mut transaction, id).await?.ok_or(MISSING)?;
        transaction.commit().await?;
        Ok(made)
    }

    pub(in crate::store) async fn update_message_endpoint(
        &self,
        id: RecordId,
        endpoint: &CheckedMessageEndpoint,
        at: Timestamp,
    ) -> Result<MessageEndpoint, StoreError> {
        let mut transaction = self.begin().await?;
        let fields = &endpoint.fields;
        check_contact(&mut transaction, fields).await?;
        values_of!(sqlx::query(
            "UPDATE message_endpoints SET account_id = $2, contact_id = $3, code = $4, kind = $5, address = $6,
                label = $7, priority = $8, charset = $9, html = $10, hours_json = $11, outside = $12, changed_ms = $13,
                secret = CASE WHEN kind = $5 AND address = $6 THEN coalesce($14, secret) ELSE $14 END, profile = $15,
                mention = $16, language = $17, ack_link = $18, attachments = $19,
                verified_ms = CASE WHEN kind = $5 AND address = $6 THEN verified_ms END
             WHERE id = $1",
        ), id, endpoint, at)
        .execute(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the endpoint code", fields.code.as_deref()))?;
        let changed = read(&mut transaction, id).await?.ok_or(MISSING)?;
        transaction.commit().await?;
        Ok(changed)
    }

    pub(in crate::store) async fn delete_message_endpoint(&self, id: RecordId) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM message_endpoints WHERE id = $1")
            .bind(id)
            .execute(&mut *self.write_once().await?)
            .await?;
        if done.rows_affected() == 0 { Err(MISSING) } else { Ok(()) }
    }
}

const MISSING: StoreError = StoreError::Missing { what: "endpoint" };

/// Adds an endpoint with this id.
pub(super) async fn insert(
    db: &mut DbConnection,
    id: RecordId,
    endpoint: &CheckedMessageEndpoint,
    at: Timestamp,
) -> Result<(), StoreError> {
    values_of!(sqlx::query(
        "INSERT INTO message_endpoints (id, account_id, contact_id, code, kind, address, label, priority, charset,
            html, hours_json, outside, created_ms, changed_ms, secret, profile, mention, language,
            ack_link, attachments)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15, $16, $17, $18, $19)",
    ), id, endpoint, at)
    .execute(db)
    .await
    .map_err(|error| refusal(error, "the endpoint code", endpoint.fields.code.as_deref()))?;
    Ok(())
}

/// The endpoints of a contact, each with its secret.
pub(super) async fn of_contact(
    db: &mut DbConnection,
    contact: RecordId,
) -> Result<Vec<(MessageEndpoint, Option<String>)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT e.*, NULL AS since_ms, NULL AS why FROM message_endpoints AS e WHERE e.contact_id = $1 ORDER BY e.id",
    )
    .bind(contact)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((endpoint_of(row)?, row.try_get("secret")?))).collect()
}

/// The contact of an endpoint is one of its account.
async fn check_contact(db: &mut DbConnection, fields: &MessageEndpointFields) -> Result<(), StoreError> {
    let Some(contact) = fields.contact else { return Ok(()) };
    let is_known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM contacts WHERE id = $1 AND account_id = $2)")
            .bind(contact)
            .bind(fields.account)
            .fetch_one(db)
            .await?;
    if is_known { Ok(()) } else { Err(StoreError::Missing { what: "contact of the account" }) }
}

async fn read(db: &mut DbConnection, id: RecordId) -> Result<Option<MessageEndpoint>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT e.*, s.since_ms, s.why FROM message_endpoints AS e
         LEFT JOIN suspended_addresses AS s ON s.channel = e.kind AND s.address = e.address WHERE e.id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(endpoint_of).transpose()
}

fn hours_text(fields: &MessageEndpointFields) -> Result<Option<String>, sqlx::Error> {
    let text = fields.hours.as_ref().map(serde_json::to_string).transpose();
    text.map_err(|error| sqlx::Error::Encode(error.into()))
}

fn endpoint_of(row: &DbRow) -> Result<MessageEndpoint, sqlx::Error> {
    let hours: Option<String> = row.try_get("hours_json")?;
    let hours = hours.as_deref().map(serde_json::from_str).transpose();
    let since: Option<i64> = row.try_get("since_ms")?;
    let why: Option<String> = row.try_get("why")?;
    Ok(MessageEndpoint {
        id: row.try_get("id")?,
        fields: MessageEndpointFields {
            account: row.try_get("account_id")?,
            contact: row.try_get("contact_id")?,
            code: row.try_get("code")?,
            kind: EndpointKind::parse(row.try_get("kind")?).unwrap_or_default(),
            address: row.try_get("address")?,
            profile: row.try_get("profile")?,
            mention: row.try_get("mention")?,
            label: row.try_get("label")?,
            priority: u32::try_from(row.try_get::<i64, _>("priority")?).unwrap_or_default(),
            charset: EndpointCharset::parse(row.try_get("charset")?).unwrap_or_default(),
            html: row.try_get("html")?,
            ack_link: row.try_get("ack_link")?,
            attachments: row.try_get("attachments")?,
            language: row.try_get::<Option<&str>, _>("language")?.and_then(Language::parse),
            hours: hours.map_err(|error| sqlx::Error::Decode(error.into()))?,
            outside: OutsideHours::parse(row.try_get("outside")?).unwrap_or_default(),
        },
        verified_at: row.try_get::<Option<i64>, _>("verified_ms")?.map(from_ms),
        suspended: since.map(|since| Suspension { since: from_ms(since), why: why.unwrap_or_default() }),
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::contract::records::{AccountFields, ChannelRules, ContactFields};
    use crate::numbers::NumberPlan;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[tokio::test]
    async fn an_endpoint_is_stored_with_every_field_and_goes_with_its_contact() {
        let (_held, store) = super::super::empty_store().await;
        let plan = NumberPlan::default();
        let mut accounts = Vec::new();
        for code in ["A", "B"] {
            let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
            accounts.push(store.create_account(&fields.checked(&plan).unwrap(), at(0)).await.unwrap().id);
        }
        let contact = ContactFields::named(accounts[0], "佐々木").checked(&plan).unwrap();
        let contact = store.create_contact(&contact, at(0)).await.unwrap().id;
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let whole = MessageEndpointFields {
            contact: Some(contact),
            code: Some("mobile".into()),
            label: "携帯".into(),
            priority: 7,
            charset: EndpointCharset::Iso2022Jp,
            html: false,
            ack_link: false,
            attachments: false,
            language: Some(Language::En),
            hours: crate::contract::hours::Hours::read("月-金 08:30-18:00").unwrap(),
            outside: OutsideHours::Next,
            ..MessageEndpointFields::to(accounts[0], "a..b@docomo.ne.jp")
        };
        let checked = whole.clone().checked(&zone, &ChannelRules::default(), None).unwrap();
        let made = store.create_message_endpoint(&checked, at(1)).await.unwrap();
        assert_eq!(store.message_endpoint(made.id).await.unwrap(), Some(made.clone()));
        assert_eq!(made.fields, checked.fields);
        assert!(matches!(
            store.create_message_endpoint(&checked, at(1)).await,
            Err(StoreError::Taken { what: "the endpoint code", .. })
        ));
        let strange = MessageEndpointFields { account: accounts[1], code: None, ..whole.clone() };
        let strange = strange.checked(&zone, &ChannelRules::default(), None).unwrap();
        assert!(matches!(
            store.create_message_endpoint(&strange, at(1)).await,
            Err(StoreError::Missing { what: "contact of the account" })
        ));
        let own = MessageEndpointFields::to(accounts[1], "uketsuke@example.jp")
            .checked(&zone, &ChannelRules::default(), None)
            .unwrap();
        let own = store.create_message_endpoint(&own, at(2)).await.unwrap();
        let changed = MessageEndpointFields { label: "受付".into(), ..own.fields.clone() };
        let changed = changed.checked(&zone, &ChannelRules::default(), None).unwrap();
        let changed = store.update_message_endpoint(own.id, &changed, at(3)).await.unwrap();
        assert_eq!((changed.fields.label.as_str(), changed.changed_at), ("受付", at(3)));
        let listed = store.message_endpoints(Some(accounts[1]), None, 10).await.unwrap().items;
        assert_eq!(listed, [changed]);
        assert_eq!(store.message_endpoints(None, None, 10).await.unwrap().items.len(), 2);
        store.delete_contact(contact).await.unwrap();
        assert_eq!(store.message_endpoint(made.id).await.unwrap(), None);
        store.delete_message_endpoint(own.id).await.unwrap();
        assert!(matches!(store.delete_message_endpoint(own.id).await, Err(StoreError::Missing { .. })));
    }

    #[tokio::test]
    async fn an_account_has_a_limit_of_endpoints() {
        let (_held, store) = super::super::empty_store().await;
        let fields = AccountFields { code: "A".into(), name: "A".into(), ..AccountFields::default() };
        let account = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&account, at(0)).await.unwrap().id;
        for n in 0..=ENDPOINTS_PER_ACCOUNT_MAX {
            let endpoint = MessageEndpointFields::to(account, &format!("a{n}@example.jp"));
            let endpoint = endpoint.checked(&TimeZone::UTC, &ChannelRules::default(), None).unwrap();
            let made = store.create_message_endpoint(&endpoint, at(0)).await;
            assert_eq!(made.is_ok(), n < ENDPOINTS_PER_ACCOUNT_MAX, "{n}");
        }
    }
}
