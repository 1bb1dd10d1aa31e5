//! The SQL of PBX links and gaps.

use jiff::Timestamp;
use sqlx::Row;

use super::stat_marks::mark_gap;
use super::{Backend, DbConnection, DbRow};
use crate::contract::pbx::{Gap, PbxLinkState};
use crate::ids::PbxId;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn pbx_link(&self, pbx: &PbxId) -> Result<Option<PbxLinkState>, StoreError> {
        let row = sqlx::query("SELECT * FROM pbx_links WHERE pbx = $1")
            .bind(pbx.as_str())
            .fetch_optional(self.readers())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(PbxLinkState {
            up: row.try_get("up")?,
            since: from_ms(row.try_get("since_ms")?),
            alive: from_ms(row.try_get("alive_ms")?),
            cause: row.try_get("cause")?,
            started: row.try_get("started")?,
        }))
    }

    pub(in crate::store) async fn mark_alive(&self, pbx: &PbxId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE pbx_links SET alive_ms = $2 WHERE pbx = $1 AND up")
            .bind(pbx.as_str())
            .bind(to_ms(at))
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn gaps(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<Gap>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM pbx_gaps WHERE to_ms >= $1 AND from_ms <= $2 ORDER BY to_ms DESC, position DESC LIMIT $3",
        )
        .bind(from.map_or(i64::MIN, to_ms))
        .bind(to.map_or(i64::MAX, to_ms))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(gap_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

pub(super) async fn write_link(
    db: &mut DbConnection,
    pbx: &PbxId,
    link: &PbxLinkState,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO pbx_links (pbx, up, since_ms, alive_ms, cause, started) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (pbx) DO UPDATE SET up = excluded.up, since_ms = excluded.since_ms,
            alive_ms = excluded.alive_ms, cause = excluded.cause, started = excluded.started",
    )
    .bind(pbx.as_str())
    .bind(link.up)
    .bind(to_ms(link.since))
    .bind(to_ms(link.alive))
    .bind(&link.cause)
    .bind(&link.started)
    .execute(db)
    .await?;
    Ok(())
}

/// Two gaps with the same beginning are one gap, and the later end is right.
pub(super) async fn write_gap(db: &mut DbConnection, gap: &Gap) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO pbx_gaps (pbx, from_ms, to_ms, cause, restarted) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (pbx, from_ms) DO UPDATE SET to_ms = excluded.to_ms,
            restarted = excluded.restarted OR pbx_gaps.restarted
         WHERE pbx_gaps.to_ms < excluded.to_ms",
    )
    .bind(gap.pbx.as_str())
    .bind(to_ms(gap.from))
    .bind(to_ms(gap.to))
    .bind(&gap.cause)
    .bind(gap.restarted)
    .execute(&mut *db)
    .await?;
    mark_gap(db, gap).await
}

fn gap_of(row: &DbRow) -> Result<Gap, sqlx::Error> {
    let pbx: &str = row.try_get("pbx")?;
    Ok(Gap {
        pbx: PbxId::parse(pbx).map_err(|e| sqlx::Error::Decode(e.into()))?,
        from: from_ms(row.try_get("from_ms")?),
        to: from_ms(row.try_get("to_ms")?),
        cause: row.try_get("cause")?,
        restarted: row.try_get("restarted")?,
    })
}
