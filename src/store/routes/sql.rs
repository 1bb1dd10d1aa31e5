//! The SQL of routes.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use sqlx::{QueryBuilder, Row};

use super::accounts::unanswered_of;
use super::contacts::contact_of;
use super::digests::write_timers;
use super::holidays::calendar;
use super::house_notices::note;
use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::contract::hours::Hours;
use crate::contract::records::{Contact, EndpointKind, OutsideHours};
use crate::ids::RecordId;
use crate::mail::MailAddress;
use crate::route::{Absence, Document, Mailbox, Person, World};
use crate::store::contacts::CONTACTS_PER_ACCOUNT_MAX;
use crate::store::error::refusal;
use crate::store::routes::{
    AccountRoutes, NewRoutes, ROUTE_VERSIONS_MAX, RouteVersion, SavedRoutes, StoredRoutes, TIME_ZONE,
};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn set_route_setting(
        &self,
        name: &str,
        value: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO route_settings (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn account_routes(
        &self,
        account: RecordId,
    ) -> Result<AccountRoutes, StoreError> {
        let mut reader = self.readers().acquire().await?;
        account_routes(&mut reader, account).await
    }

    pub(in crate::store) async fn routes(
        &self,
        account: Option<RecordId>,
        version: Option<u64>,
    ) -> Result<Option<StoredRoutes>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM routes WHERE account_id IS NOT DISTINCT FROM $1 AND ($2 IS NULL OR version = $2)
             ORDER BY version DESC LIMIT 1",
        )
        .bind(account)
        .bind(version.map(|version| i64::try_from(version).unwrap_or(i64::MAX)))
        .fetch_optional(self.readers())
        .await?;
        let stored = |row: DbRow| Ok(StoredRoutes { version: version_of(&row)?, body: row.try_get("body")? });
        Ok(row.map(stored).transpose().map_err(|error: sqlx::Error| error)?)
    }

    pub(in crate::store) async fn route_versions(
        &self,
        account: Option<RecordId>,
    ) -> Result<Vec<RouteVersion>, StoreError> {
        let rows = sqlx::query(
            "SELECT account_id, version, by_id, by_name, at_ms FROM routes
             WHERE account_id IS NOT DISTINCT FROM $1 ORDER BY version DESC LIMIT $2",
        )
        .bind(account)
        .bind(i64::from(ROUTE_VERSIONS_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(version_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn save_routes(
        &self,
        routes: NewRoutes<'_>,
        at: Timestamp,
    ) -> Result<SavedRoutes, StoreError> {
        let mut transaction = self.begin().await?;
        let last: i64 = sqlx::query_scalar(
            "SELECT coalesce(max(version), 0) FROM routes WHERE account_id IS NOT DISTINCT FROM $1",
        )
        .bind(routes.account)
        .fetch_one(&mut *transaction)
        .await?;
        let last = u64::try_from(last).unwrap_or(0);
        if routes.version.is_some_and(|version| version != last) {
            return Ok(SavedRoutes::Stale(last));
        }
        sqlx::query(
            "INSERT INTO routes (account_id, version, body, by_id, by_name, at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(routes.account)
        .bind(i64::try_from(last + 1).unwrap_or(i64::MAX))
        .bind(routes.body)
        .bind(routes.by)
        .bind(routes.by_name)
        .bind(to_ms(at))
        .execute(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the version of the routes", None))?;
        if let Some(account) = routes.account {
            write_timers(&mut transaction, account, at).await?;
        }
        let data = json!({
            "kind": "route", "account": routes.account, "version": last + 1, "by_name": routes.by_name,
        });
        note(&mut transaction, EventKind::DocumentPublished, &data, at).await?;
        transaction.commit().await?;
        Ok(SavedRoutes::Saved(last + 1))
    }
}

/// What decides who gets the messages of an account.
pub(super) async fn account_routes(
    db: &mut DbConnection,
    account: RecordId,
) -> Result<AccountRoutes, StoreError> {
    let of_account =
        sqlx::query("SELECT hours_json, unanswered_min, unanswered_urgent_min FROM accounts WHERE id = $1")
            .bind(account)
            .fetch_optional(&mut *db)
            .await?
            .ok_or(StoreError::Missing { what: "account" })?;
    let hours: Option<String> = of_account.try_get("hours_json")?;
    let zone: Option<String> = sqlx::query_scalar("SELECT value FROM route_settings WHERE name = $1")
        .bind(TIME_ZONE)
        .fetch_optional(&mut *db)
        .await?;
    let rows = sqlx::query(
        "SELECT * FROM contacts WHERE account_id = $1 ORDER BY on_call_order NULLS LAST, kana, name, id LIMIT $2",
    )
    .bind(account)
    .bind(i64::from(CONTACTS_PER_ACCOUNT_MAX))
    .fetch_all(&mut *db)
    .await?;
    let mut mailboxes = mailboxes(&mut *db, account).await?;
    let people = rows.iter().map(|row| contact_of(row).map(|contact| person_of(contact, &mut mailboxes)));
    let mut people = people.collect::<Result<Vec<_>, sqlx::Error>>()?;
    let mut own = mailboxes.into_iter().map(|(_, _, mailbox)| mailbox).collect::<Vec<_>>();
    mark_suspended(&mut *db, people.iter_mut().flat_map(|person| &mut person.mails).chain(&mut own)).await?;
    let has_mail_server: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM mail_servers)").fetch_one(&mut *db).await?;
    let world = World {
        hours: hours.and_then(|json| serde_json::from_str(&json).ok()),
        installation_zone: zone
            .and_then(|name| TimeZone::get(&name).ok())
            .unwrap_or_else(|| TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC)),
        calendar: calendar(&mut *db).await?,
        people,
        own,
        has_mail_server,
        unanswered_min: unanswered_of(&of_account)?,
    };
    let own = document(&mut *db, Some(account)).await?;
    let common = document(db, None).await?;
    Ok(AccountRoutes { world, own, common })
}

/// The newest version of a document. One that a later version of the program wrote is passed over: then the built-in route applies.
async fn document(db: &mut DbConnection, account: Option<RecordId>) -> Result<Option<Document>, StoreError> {
    let body: Option<String> = sqlx::query_scalar(
        "SELECT body FROM routes WHERE account_id IS NOT DISTINCT FROM $1 ORDER BY version DESC LIMIT 1",
    )
    .bind(account)
    .fetch_optional(db)
    .await?;
    let Some(body) = body else { return Ok(None) };
    match Document::read(&body) {
        Ok(document) => Ok(Some(document)),
        Err(error) => {
            tracing::error!(?account, %error, "the routes in the store cannot be read; import them again");
            Ok(None)
        }
    }
}

/// An endpoint with its contact and its priority.
type OwnedMailbox = (Option<RecordId>, i64, Mailbox);

/// The endpoints of an account, in the order of their priority; the account's own are the last that are left.
async fn mailboxes(db: &mut DbConnection, account: RecordId) -> Result<Vec<OwnedMailbox>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, contact_id, code, label, kind, address, priority, hours_json, outside FROM message_endpoints
         WHERE account_id = $1 ORDER BY priority, id",
    )
    .bind(account)
    .fetch_all(db)
    .await?;
    let mailbox = |row: &DbRow| {
        let hours: Option<Hours> = row
            .try_get::<Option<String>, _>("hours_json")?
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        let mailbox = Mailbox {
            endpoint: Some(row.try_get("id")?),
            code: row.try_get("code")?,
            label: row.try_get("label")?,
            kind: EndpointKind::parse(row.try_get("kind")?).unwrap_or_default(),
            address: row.try_get("address")?,
            is_suspended: false,
            hours,
            outside: OutsideHours::parse(row.try_get("outside")?).unwrap_or_default(),
        };
        Ok((row.try_get("contact_id")?, row.try_get("priority")?, mailbox))
    };
    Ok(rows.iter().map(mailbox).collect::<Result<_, sqlx::Error>>()?)
}

/// Marks the addresses to which nothing is sent any more.
async fn mark_suspended(
    db: &mut DbConnection,
    mailboxes: impl Iterator<Item = &mut Mailbox>,
) -> Result<(), StoreError> {
    let mailboxes: Vec<&mut Mailbox> = mailboxes.collect();
    if mailboxes.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new(
        "SELECT channel, address FROM suspended_addresses
         WHERE channel IN ('mail', 'slack', 'teams', 'chatwork', 'line_works', 'line_works_bot', 'google_chat', 'sms', 'fax') AND address IN (",
    );
    let mut listed = query.separated(", ");
    for mailbox in &mailboxes {
        listed.push_bind(mailbox.address.clone());
    }
    query.push(")");
    let suspended: HashSet<(String, String)> =
        query.build_query_as().fetch_all(db).await?.into_iter().collect();
    for mailbox in mailboxes {
        mailbox.is_suspended =
            suspended.contains(&(mailbox.kind.as_str().to_owned(), mailbox.address.clone()));
    }
    Ok(())
}

/// A contact with its addresses, which are taken out of `mailboxes`: the kinds that the contact prefers, then endpoints with
/// priority 0, its own, the other endpoints.
fn person_of(contact: Contact, mailboxes: &mut Vec<OwnedMailbox>) -> Person {
    let Contact { id, fields, .. } = contact;
    let own = fields.email.and_then(|email| email.parse::<MailAddress>().ok());
    let own = own.map(|address| Mailbox { address: address.to_string(), ..Mailbox::default() });
    let (first, rest): (Vec<_>, Vec<_>) =
        mailboxes.extract_if(.., |(of, ..)| *of == Some(id)).partition(|(_, priority, _)| *priority == 0);
    let mails = |mailboxes: Vec<OwnedMailbox>| mailboxes.into_iter().map(|(_, _, mailbox)| mailbox);
    let mut mails: Vec<Mailbox> = mails(first).chain(own).chain(mails(rest)).collect();
    // Stable: those of one kind, and of the kinds that are not named, stay in the order of their priority.
    mails.sort_by_key(|mailbox| {
        let place = fields.endpoint_order.iter().position(|kind| *kind == mailbox.kind);
        place.unwrap_or(usize::MAX)
    });
    Person {
        id,
        code: fields.code,
        name: fields.name,
        is_on_call: fields.on_call_order.is_some(),
        shifts: fields.on_call_shifts,
        mails,
        phone: fields.number,
        absence: Absence { from: fields.absent_from, until: fields.absent_until, days_off: fields.days_off },
        deputy: fields.deputy,
    }
}

fn version_of(row: &DbRow) -> Result<RouteVersion, sqlx::Error> {
    Ok(RouteVersion {
        version: u64::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
        by: row.try_get("by_id")?,
        by_name: row.try_get("by_name")?,
        at: from_ms(row.try_get("at_ms")?),
    })
}
