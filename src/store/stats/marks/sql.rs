//! The SQL of dirty bins: each function adds a mark in the transaction of what makes a bin dirty.

use sqlx::QueryBuilder;

use super::script::Script;
use super::stats::bin_of;
use super::{Backend, Db, DbConnection};
use crate::contract::call::Direction;
use crate::contract::history::FinishedCall;
use crate::contract::pbx::Gap;
use crate::ids::{CallId, RecordId};
use crate::stats::{BIN_MS, start_of_bin};
use crate::store::stats::{BinKey, GAP_BINS_MAX};
use crate::store::{StoreError, to_ms};

/// Marks the bin of a call that is being written, before it is.
pub(super) fn mark_call(script: &mut Script, call: &FinishedCall) {
    if call.direction != Direction::Inbound {
        return;
    }
    // A record that is replaced may have been in another bin.
    script
        .statement(
            "INSERT INTO stat_marks (bin_ms, pbx, is_wide)
             SELECT offered_ms - offered_ms % 900000, pbx, TRUE FROM calls WHERE id = $1 AND inferred",
        )
        .bind(call.id);
    script
        .statement("INSERT INTO stat_marks (bin_ms, pbx, is_wide, call_id) VALUES ($1, $2, $3, $4)")
        .bind(start_of_bin(to_ms(call.offered_at)))
        .bind(call.pbx.as_str().to_owned())
        .bind(call.caller.is_some() && call.account.is_some())
        .bind(call.id);
}

/// Marks the bin of a call to which something was added.
pub(super) fn mark_bin_of_call(script: &mut Script, call: CallId) {
    script
        .statement(
            "INSERT INTO stat_marks (bin_ms, pbx, is_wide)
             SELECT offered_ms - offered_ms % 900000, pbx, FALSE FROM calls WHERE id = $1 AND direction = 'inbound'",
        )
        .bind(call);
}

/// Marks the bin of a message that was taken or withdrawn, or is about to be deleted.
pub(super) async fn mark_bin_of_message(db: &mut DbConnection, message: RecordId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO stat_marks (bin_ms, pbx, is_wide)
         SELECT created_ms - created_ms % 900000, pbx, FALSE FROM messages WHERE id = $1",
    )
    .bind(message)
    .execute(db)
    .await?;
    Ok(())
}

/// Marks the bins that a gap overlaps.
pub(super) async fn mark_gap(db: &mut DbConnection, gap: &Gap) -> Result<(), StoreError> {
    let from = start_of_bin(to_ms(gap.from));
    let until = to_ms(gap.to).min(from + GAP_BINS_MAX * BIN_MS);
    let mut query = QueryBuilder::<Db>::new("INSERT INTO stat_marks (bin_ms, pbx, is_wide) ");
    let bins = (0..).map(|n| from + n * BIN_MS).take_while(|bin| *bin < until);
    // PostgreSQL takes up to 65,535 values of a statement, SQLite 32,766; a bin has three.
    query.push_values(bins, |mut row, bin| {
        row.push_bind(bin).push_bind(gap.pbx.as_str().to_owned()).push_bind(false);
    });
    if until > from {
        query.build().execute(db).await?;
    }
    Ok(())
}

impl Backend {
    pub(in crate::store) async fn marked_bins(&self, limit: u32) -> Result<Vec<BinKey>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT bin_ms, pbx FROM stat_marks ORDER BY bin_ms DESC, pbx DESC LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(bin_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn mark_bins(&self, from: i64, to: i64) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(concat!(
            "INSERT INTO stat_marks (bin_ms, pbx, is_wide)
             SELECT bin_ms, pbx, FALSE FROM (
                SELECT bin_ms, pbx FROM stat_bins WHERE bin_ms >= $1 AND bin_ms < $2
                UNION SELECT c.offered_ms - c.offered_ms % 900000, c.pbx FROM calls AS c",
            indexed_by!("calls_by_direction"),
            "WHERE c.direction = 'inbound' AND c.offered_ms >= $1 AND c.offered_ms < $2
                UNION SELECT m.created_ms - m.created_ms % 900000, m.pbx FROM messages AS m
                    WHERE m.created_ms >= $1 AND m.created_ms < $2) AS bins"
        ))
        .bind(from)
        .bind(to)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}
