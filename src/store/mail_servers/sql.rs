//! The SQL of mail servers.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row;

use super::house_notices::note;
use super::{Backend, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::contract::message::Urgency;
use crate::delivery::ServerPause;
use crate::ids::RecordId;
use crate::store::mail_servers::{BACKUP_SERVER, MAIL_SERVER, OutboxLoad};
use crate::store::{StoreError, from_ms, to_ms};

/// Most deliveries of a removed server that one transaction moves.
const MOVED_MAX: u64 = 500;

impl Backend {
    pub(in crate::store) async fn set_mail_server(
        &self,
        name: &str,
        is_used: bool,
    ) -> Result<(), StoreError> {
        let sql = if is_used {
            "INSERT INTO mail_servers (name) VALUES ($1) ON CONFLICT (name) DO NOTHING"
        } else {
            "DELETE FROM mail_servers WHERE name = $1"
        };
        sqlx::query(sql).bind(name).execute(&mut *self.write_once().await?).await?;
        Ok(())
    }

    pub(in crate::store) async fn keep_mail_servers(&self, names: &[&str]) -> Result<(), StoreError> {
        let known = self.mail_servers().await?;
        let removed = || known.iter().filter(|name| !names.contains(&name.as_str()));
        let is_of_accounts = |name: &str| ![MAIL_SERVER, BACKUP_SERVER].contains(&name);
        for name in removed().filter(|name| is_of_accounts(name)) {
            while self.move_deliveries(name).await? == MOVED_MAX {}
        }
        let mut transaction = self.begin().await?;
        for name in removed() {
            sqlx::query("DELETE FROM mail_servers WHERE name = $1")
                .bind(name)
                .execute(&mut *transaction)
                .await?;
            if !is_of_accounts(name) {
                continue;
            }
            // What was made for the server meanwhile.
            while move_deliveries(&mut transaction, name).await? == MOVED_MAX {}
            sqlx::query(
                "UPDATE service_mails SET server = $2 WHERE server = $1 AND state IN ('queued', 'sending')",
            )
            .bind(name)
            .bind(MAIL_SERVER)
            .execute(&mut *transaction)
            .await?;
        }
        for name in names {
            sqlx::query("INSERT INTO mail_servers (name) VALUES ($1) ON CONFLICT (name) DO NOTHING")
                .bind(*name)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn move_deliveries(&self, server: &str) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let moved = move_deliveries(&mut transaction, server).await?;
        transaction.commit().await?;
        Ok(moved)
    }

    pub(in crate::store) async fn mail_servers(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT name FROM mail_servers").fetch_all(self.readers()).await?)
    }

    pub(in crate::store) async fn has_mail_server(&self, name: &str) -> Result<bool, StoreError> {
        let is_there = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM mail_servers WHERE name = $1)");
        Ok(is_there.bind(name).fetch_one(self.readers()).await?)
    }

    pub(in crate::store) async fn mail_server_pause(
        &self,
        name: &str,
    ) -> Result<Option<ServerPause>, StoreError> {
        let row = sqlx::query("SELECT * FROM mail_servers WHERE name = $1 AND paused_until_ms IS NOT NULL")
            .bind(name)
            .fetch_optional(self.readers())
            .await?;
        let pause = |row: DbRow| {
            Ok(ServerPause {
                since: from_ms(row.try_get("paused_since_ms")?),
                until: from_ms(row.try_get("paused_until_ms")?),
                why: row.try_get::<Option<String>, _>("why")?.unwrap_or_default(),
            })
        };
        Ok(row.map(pause).transpose().map_err(|error: sqlx::Error| error)?)
    }

    pub(in crate::store) async fn pause_mail_server(
        &self,
        name: &str,
        pause: Option<&ServerPause>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let was: Option<Option<i64>> =
            sqlx::query_scalar("SELECT paused_since_ms FROM mail_servers WHERE name = $1")
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await?;
        sqlx::query(
            "UPDATE mail_servers SET paused_since_ms = $2, paused_until_ms = $3, why = $4 WHERE name = $1",
        )
        .bind(name)
        .bind(pause.map(|pause| to_ms(pause.since)))
        .bind(pause.map(|pause| to_ms(pause.until)))
        .bind(pause.map(|pause| pause.why.as_str()))
        .execute(&mut *transaction)
        .await?;
        let (now, is_paused) = (Timestamp::now(), pause.is_some());
        if was.is_some_and(|since| since.is_some() != is_paused) {
            let data = json!({
                "name": name, "paused": is_paused, "why": pause.map(|pause| pause.why.as_str()),
            });
            note(&mut transaction, EventKind::MailServer, &data, pause.map_or(now, |pause| pause.since))
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn take_mail_probe(
        &self,
        name: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let taken = sqlx::query(
            "UPDATE mail_servers SET paused_until_ms = $3 WHERE name = $1 AND paused_until_ms <= $2",
        )
        .bind(name)
        .bind(to_ms(now))
        .bind(to_ms(until))
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(taken.rows_affected() > 0)
    }

    pub(in crate::store) async fn outbox_load(&self, server: &str) -> Result<OutboxLoad, StoreError> {
        let rows = sqlx::query(
            // One that is not sent before its time waits from then on.
            "SELECT urgency, count(*) AS waiting,
                min(CASE WHEN attempts = 0 AND next_ms > created_ms THEN next_ms ELSE created_ms END) AS oldest
             FROM deliveries
             WHERE state IN ('held', 'queued', 'sending') AND server = $1 GROUP BY urgency",
        )
        .bind(server)
        .fetch_all(self.readers())
        .await?;
        let mut load = OutboxLoad::default();
        for row in &rows {
            load.waiting += u64::try_from(row.try_get::<i64, _>("waiting")?).unwrap_or(0);
            let oldest = from_ms(row.try_get("oldest")?);
            load.oldest = Some(load.oldest.map_or(oldest, |other| other.min(oldest)));
            load.oldest_of.push((urgency_of(row.try_get("urgency")?), oldest));
        }
        load.oldest_of.sort_unstable();
        Ok(load)
    }
}

/// Moves up to [`MOVED_MAX`] deliveries that wait for this server to the main one; returns how many.
async fn move_deliveries(db: &mut DbConnection, server: &str) -> Result<u64, StoreError> {
    let moved = sqlx::query(
        "UPDATE deliveries SET server = $2,
            rendered = CASE WHEN state = 'sending' OR maybe_sent = 1 THEN rendered END
         WHERE id IN (SELECT id FROM deliveries
            WHERE server = $1 AND state IN ('held', 'queued', 'sending') LIMIT $3)",
    )
    .bind(server)
    .bind(MAIL_SERVER)
    .bind(MOVED_MAX.cast_signed())
    .execute(db)
    .await?;
    Ok(moved.rows_affected())
}

/// The server that an account's mails go over: its own, if daemons send over that, else the main one.
pub(super) async fn server_of_account(
    db: &mut DbConnection,
    account: RecordId,
) -> Result<String, StoreError> {
    let own: Option<String> = sqlx::query_scalar(
        "SELECT s.name FROM accounts AS a JOIN mail_servers AS s ON s.name = a.mail_host WHERE a.id = $1",
    )
    .bind(account)
    .fetch_optional(db)
    .await?;
    Ok(own.unwrap_or_else(|| MAIL_SERVER.to_owned()))
}

/// The urgency of a delivery, which is stored by its place in the order of sending.
fn urgency_of(place: i64) -> Urgency {
    match place {
        0 => Urgency::Urgent,
        1 => Urgency::Normal,
        _ => Urgency::Low,
    }
}
