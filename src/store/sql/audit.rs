//! The SQL of the audit trail.

use sqlx::Row;

use super::{Backend, DbRow};
use crate::store::audit::AuditEntry;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit (at_ms, actor_id, actor, action, subject, call_id, details_json)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(to_ms(entry.at))
        .bind(entry.actor)
        .bind(&entry.actor_name)
        .bind(&entry.action)
        .bind(&entry.subject)
        .bind(entry.call)
        .bind(entry.details.to_string())
        .execute(self.writer())
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn audit(
        &self,
        action: &str,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE substr(action, 1, length($1)) = $1 ORDER BY position DESC LIMIT $2",
        )
        .bind(action)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(entry_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

fn entry_of(row: &DbRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        at: from_ms(row.try_get("at_ms")?),
        actor: row.try_get("actor_id")?,
        actor_name: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        call: row.try_get("call_id")?,
        details: serde_json::from_str(row.try_get("details_json")?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}
