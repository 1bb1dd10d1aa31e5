//! The SQL of figures.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::dialect::{ROWS_PER_SCRIPT, ROWS_PER_STATEMENT};
use super::script::Script;
use super::stat_input::{contacts_of, give_segments, read_care, read_history, wrap_ups_of};
use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::history::FinishedCall;
use crate::ids::{CallId, PbxId, RecordId};
use crate::stats::packed::{pack, unpack};
use crate::stats::{
    BIN_MS, BinInput, BinStats, CALLER_MARKS_VERSION, Counters, REPEAT_WINDOW_MS, RULES_VERSION, context_of,
};
use crate::store::stats::{
    BinDifference, BinKey, MARKS_PER_BIN_MAX, StatsCheck, StatsOf, StatsRow, StatsState, StoredBin,
};
use crate::store::{StoreError, to_ms};

/// In the tables of figures: no account, or nobody who is known.
const NOBODY: RecordId = RecordId(Uuid::nil());

/// The position of a mark; whether other bins may have to be counted, too; the call that was written.
type Mark = (i64, bool, Option<CallId>);

/// How many bins of a group are counted at the same time.
const COUNTED_AT_ONCE: usize = 2;

/// What is read of a bin before it is written.
struct Counted {
    stats: BinStats,
    gap_ms: i64,
    before: StoredBin,
    is_kept: bool,
}

/// A bin with the marks that writing it deletes.
struct MarkedBin {
    bin: BinKey,
    marks: Vec<Mark>,
    counted: Counted,
}

impl Backend {
    pub(in crate::store) async fn bins_of_history(
        &self,
        from: i64,
        to: i64,
        limit: u32,
    ) -> Result<Vec<BinKey>, StoreError> {
        // Each side is read in the order of the time, up to the limit: what is beyond comes with the next piece.
        let first = sqlx::query(concat!(
            "SELECT min(bin_ms) AS bin_ms FROM (
                SELECT bin_ms FROM (SELECT bin_ms FROM stat_bins WHERE bin_ms >= $1 AND bin_ms < $2
                    ORDER BY bin_ms LIMIT 1) AS built
                UNION ALL SELECT offered_ms - offered_ms % 900000 FROM (SELECT offered_ms FROM calls AS c",
            indexed_by!("calls_by_direction"),
            "WHERE c.direction = 'inbound' AND c.offered_ms >= $1 AND c.offered_ms < $2
                    ORDER BY c.offered_ms LIMIT 1) AS called) AS found"
        ))
        .bind(from)
        .bind(to)
        .fetch_one(self.readers())
        .await?;
        let Some(first) = first.try_get::<Option<i64>, _>("bin_ms")? else { return Ok(Vec::new()) };
        let until = (first + i64::from(limit) * BIN_MS).min(to);
        let rows = sqlx::query(concat!(
            "SELECT bin_ms, pbx FROM stat_bins WHERE bin_ms >= $1 AND bin_ms < $2
             UNION SELECT c.offered_ms - c.offered_ms % 900000, c.pbx FROM calls AS c",
            indexed_by!("calls_by_direction"),
            "WHERE c.direction = 'inbound' AND c.offered_ms >= $1 AND c.offered_ms < $2"
        ))
        .bind(first)
        .bind(until)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(bin_of).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Counts these bins and writes them; returns how many.
    pub(in crate::store) async fn build_bins(
        &self,
        bins: Vec<BinKey>,
        kept_before: i64,
    ) -> Result<u64, StoreError> {
        let count = |bin| self.count_marked(bin, kept_before);
        let marked: Vec<MarkedBin> =
            stream::iter(bins).map(count).buffered(COUNTED_AT_ONCE).try_collect().await?;
        if let Some(built) = self.write_bins(&marked).await? {
            return Ok(built);
        }
        let mut built = 0;
        for alone in marked.chunks(1) {
            built += self.write_bins(alone).await?.unwrap_or(0);
        }
        Ok(built)
    }

    async fn count_marked(&self, bin: BinKey, kept_before: i64) -> Result<MarkedBin, StoreError> {
        // The marks first: what is written after this has another mark.
        let marks = sqlx::query_as(
            "SELECT position, is_wide, call_id FROM stat_marks WHERE bin_ms = $1 AND pbx = $2 LIMIT $3",
        )
        .bind(bin.bin_ms)
        .bind(bin.pbx.as_str())
        .bind(i64::from(MARKS_PER_BIN_MAX))
        .fetch_all(self.readers())
        .await?;
        let counted = self.count_bin(&bin, kept_before).await?;
        Ok(MarkedBin { bin, marks, counted })
    }

    /// Writes these bins by one transaction; returns how many, or `None` if a mark of theirs is gone: another worker was
    /// faster with one of them.
    async fn write_bins(&self, bins: &[MarkedBin]) -> Result<Option<u64>, StoreError> {
        let marked: Vec<&MarkedBin> = bins.iter().filter(|bin| !bin.marks.is_empty()).collect();
        if marked.is_empty() {
            return Ok(Some(0));
        }
        let mut transaction = self.begin().await?;
        for MarkedBin { bin, marks, .. } in &marked {
            let mut delete = QueryBuilder::<Db>::new("DELETE FROM stat_marks WHERE bin_ms = ");
            delete.push_bind(bin.bin_ms).push(" AND pbx = ").push_bind(bin.pbx.as_str());
            let mut positions = delete.push(" AND position IN (").separated(", ");
            for (position, ..) in marks {
                positions.push_bind(*position);
            }
            delete.push(")");
            let deleted = delete.build().execute(&mut *transaction).await?.rows_affected();
            if deleted != marks.len() as u64 {
                transaction.rollback().await?;
                return Ok(None);
            }
        }
        for MarkedBin { bin, marks, counted } in &marked {
            if !counted.is_kept {
                let mut scripts = write_bin(bin, counted);
                scripts.push(mark_neighbours(bin, marks));
                for script in scripts {
                    script.run(&mut transaction).await?;
                }
            }
        }
        transaction.commit().await?;
        Ok(Some(marked.len() as u64))
    }

    pub(in crate::store) async fn check_bin(
        &self,
        bin: BinKey,
        kept_before: i64,
        check: &mut StatsCheck,
    ) -> Result<(), StoreError> {
        let counted = self.count_bin(&bin, kept_before).await?;
        let (waiting,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM (SELECT 1 AS one FROM stat_marks WHERE bin_ms = $1 AND pbx = $2 LIMIT 1) AS marks",
        )
        .bind(bin.bin_ms)
        .bind(bin.pbx.as_str())
        .fetch_one(self.readers())
        .await?;
        if counted.is_kept {
            check.kept += 1;
        } else if waiting > 0 {
            check.waiting += 1;
        } else {
            check.checked += 1;
            if counted.before.stats != counted.stats || counted.before.gap_ms != counted.gap_ms {
                let (stored, counted) = (counted.before.stats.total, counted.stats.total);
                check.differing.push(BinDifference { bin, stored, counted });
            }
        }
        Ok(())
    }

    /// Counts a bin from its history; the rows that were built before stand beside it.
    async fn count_bin(&self, bin: &BinKey, kept_before: i64) -> Result<Counted, StoreError> {
        let mut transaction = self.begin_reading().await?;
        let input = read_history(&mut transaction, bin).await?;
        let gap_ms = read_gap(&mut transaction, bin).await?;
        let before = read_bin(&mut transaction, bin).await?;
        drop(transaction);
        let mut stats = BinStats::of(&input);
        let is_gone = stats.calls < before.stats.calls && self.is_oldest(bin).await?;
        let is_kept = before.is_built && (bin.bin_ms < kept_before || is_gone);
        if stats.callers < before.stats.callers && before.rules >= CALLER_MARKS_VERSION {
            stats.keep_marks(&before.stats);
            stats.callers = before.stats.callers;
        }
        Ok(Counted { stats, gap_ms, before, is_kept })
    }

    /// Whether the history has no call before this bin: retention deletes the oldest calls first.
    async fn is_oldest(&self, bin: &BinKey) -> Result<bool, StoreError> {
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT offered_ms FROM calls ORDER BY offered_ms LIMIT 1")
                .fetch_optional(self.readers())
                .await?;
        Ok(oldest.is_none_or(|oldest| bin.bin_ms <= oldest))
    }

    pub(in crate::store) async fn stats_rows(
        &self,
        of: StatsOf,
        from: i64,
        to: i64,
    ) -> Result<Vec<StatsRow>, StoreError> {
        let sql = match of {
            StatsOf::Total => "SELECT * FROM stat_bins WHERE bin_ms >= $1 AND bin_ms < $2",
            StatsOf::Accounts(None) => "SELECT * FROM stats WHERE bin_ms >= $1 AND bin_ms < $2",
            StatsOf::Accounts(Some(_)) => {
                "SELECT * FROM stats
                 WHERE account_id = $3 AND bin_ms >= $1 AND bin_ms < $2"
            }
            StatsOf::Queues => "SELECT * FROM queue_stats WHERE bin_ms >= $1 AND bin_ms < $2",
            StatsOf::Operators(None) => {
                "SELECT * FROM operator_stats
                 WHERE bin_ms >= $1 AND bin_ms < $2"
            }
            StatsOf::Operators(Some(_)) => {
                "SELECT * FROM operator_stats
                 WHERE bin_ms >= $1 AND bin_ms < $2 AND account_id = $3"
            }
            StatsOf::Person(_) => {
                "SELECT * FROM operator_stats WHERE user_id = $3 AND bin_ms >= $1 AND bin_ms < $2"
            }
        };
        let mut query = sqlx::query(sql).bind(from).bind(to);
        if let StatsOf::Accounts(Some(id)) | StatsOf::Operators(Some(id)) | StatsOf::Person(id) = of {
            query = query.bind(id);
        }
        let is_work = matches!(of, StatsOf::Operators(_) | StatsOf::Person(_));
        let has_account = is_work || matches!(of, StatsOf::Accounts(_));
        let row_of = |row: &DbRow| {
            Ok(StatsRow {
                bin_ms: row.try_get("bin_ms")?,
                account: if has_account { known(row.try_get("account_id")?) } else { None },
                person: if is_work { known(row.try_get("user_id")?) } else { None },
                queue: if of == StatsOf::Queues { Some(row.try_get("queue")?) } else { None },
                counters: counters_of(row)?,
            })
        };
        let rows = query.fetch_all(self.readers()).await?;
        Ok(rows.iter().map(row_of).collect::<Result<_, sqlx::Error>>()?)
    }

    /// What the history has of these calls; the calls of their callers only where `with_marks` asks for them.
    pub(in crate::store) async fn facts_input(
        &self,
        mut calls: Vec<FinishedCall>,
        with_marks: bool,
    ) -> Result<BinInput, StoreError> {
        if calls.is_empty() {
            return Ok(BinInput::default());
        }
        let mut query = QueryBuilder::<Db>::new(
            "SELECT s.*, FALSE AS is_erased FROM call_segments AS s WHERE s.call_id IN (",
        );
        let mut ids = query.separated(", ");
        for call in &calls {
            ids.push_bind(call.id);
        }
        query.push(") ORDER BY s.call_id, s.ordinal");
        let rows = query.build().fetch_all(self.readers()).await?;
        give_segments(&mut calls, &rows)?;
        let mut query = QueryBuilder::<Db>::new(
            "SELECT w.call_id, w.user_id, w.since_ms, w.ended_ms FROM wrap_ups AS w WHERE w.call_id IN (",
        );
        let mut ids = query.separated(", ");
        for call in &calls {
            ids.push_bind(call.id);
        }
        query.push(")");
        let wrap_ups = wrap_ups_of(&query.build().fetch_all(self.readers()).await?)?;
        let care = read_care(&mut *self.readers().acquire().await?, &calls).await?;
        let mut contacts = Vec::new();
        for call in calls.iter().filter(|_| with_marks) {
            let (Some(account), Some(caller)) = (call.account, &call.caller) else { continue };
            let at = to_ms(call.offered_at);
            let rows = sqlx::query(
                "SELECT c.id, c.account_id, c.caller_key, c.offered_ms, c.outcome FROM calls AS c
                 WHERE c.account_id = $1 AND c.caller_key = $2 AND c.offered_ms >= $3 AND c.offered_ms <= $4
                    AND c.direction = 'inbound'",
            )
            .bind(account)
            .bind(caller.as_str())
            .bind(at - REPEAT_WINDOW_MS)
            .bind(at + REPEAT_WINDOW_MS)
            .fetch_all(self.readers())
            .await?;
            contacts.extend(contacts_of(&rows)?);
        }
        Ok(BinInput { calls, wrap_ups, care, contacts, messages: Vec::new() })
    }

    pub(in crate::store) async fn stats_state(
        &self,
        from: i64,
        to: i64,
        now: i64,
    ) -> Result<StatsState, StoreError> {
        let (pending,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM (SELECT DISTINCT bin_ms, pbx FROM stat_marks WHERE bin_ms >= $1 AND bin_ms < $2) AS bins",
        )
        .bind(from)
        .bind(to)
        .fetch_one(self.readers())
        .await?;
        // A gap, the part of a bin that a deleted gap hid, and a link that is down.
        let rows = sqlx::query(
            "SELECT from_ms, to_ms FROM pbx_gaps WHERE to_ms > $1 AND from_ms < $2
             UNION ALL SELECT since_ms, $3 FROM pbx_links WHERE NOT up AND since_ms < $2
             UNION ALL SELECT b.bin_ms, b.bin_ms + 900000 FROM stat_bins AS b
                WHERE b.bin_ms >= $1 AND b.bin_ms < $2 AND b.gap_ms > 0 AND NOT EXISTS (
                    SELECT 1 FROM pbx_gaps AS g WHERE g.pbx = b.pbx AND g.to_ms > b.bin_ms AND g.from_ms < b.bin_ms + 900000)",
        )
        .bind(from)
        .bind(to)
        .bind(now)
        .fetch_all(self.readers())
        .await?;
        let span = |row: &DbRow| Ok((row.try_get("from_ms")?, row.try_get("to_ms")?));
        let missing = rows.iter().map(span).collect::<Result<_, sqlx::Error>>()?;
        Ok(StatsState { pending: u64::try_from(pending).unwrap_or(0), missing })
    }
}

fn known(id: RecordId) -> Option<RecordId> {
    (id != NOBODY).then_some(id)
}

pub(super) fn bin_of(row: &DbRow) -> Result<BinKey, sqlx::Error> {
    let pbx: &str = row.try_get("pbx")?;
    let pbx = PbxId::parse(pbx).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(BinKey { bin_ms: row.try_get("bin_ms")?, pbx })
}

fn counters_of(row: &DbRow) -> Result<Counters, sqlx::Error> {
    unpack(row.try_get("counters")?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// What marks the bins whose calls may get another mark by what the bin has: those with a call of the same caller to the same
/// account as a call that was written, within the time in which calls give each other marks. Where it is not known which
/// call that is, all bins of this time.
fn mark_neighbours(bin: &BinKey, marks: &[Mark]) -> Script {
    let mut script = Script::default();
    let wide = || marks.iter().filter(|(_, is_wide, _)| *is_wide);
    if wide().any(|(.., call)| call.is_none()) {
        let (from, to) = context_of(bin.bin_ms);
        script
            .statement(
                "INSERT INTO stat_marks (bin_ms, pbx, is_wide)
                 SELECT bin_ms, pbx, FALSE FROM stat_bins
                 WHERE bin_ms >= $1 AND bin_ms < $2 AND NOT (bin_ms = $3 AND pbx = $4)",
            )
            .bind(from)
            .bind(to)
            .bind(bin.bin_ms)
            .bind(bin.pbx.as_str().to_owned());
        return script;
    }
    let calls: Vec<CallId> = wide().filter_map(|(.., call)| *call).collect();
    if calls.is_empty() {
        return script;
    }
    script
        .statement(concat!(
            "INSERT INTO stat_marks (bin_ms, pbx, is_wide)
             SELECT DISTINCT near.offered_ms - near.offered_ms % 900000, near.pbx, FALSE
             FROM calls AS c CROSS JOIN calls AS near",
            indexed_by!("calls_by_caller"),
            "WHERE near.account_id = c.account_id AND near.caller_key = c.caller_key
                AND near.offered_ms >= c.offered_ms - 1800000 AND near.offered_ms <= c.offered_ms + 1800000
                AND near.direction = 'inbound'
                AND NOT (near.offered_ms >= $1 AND near.offered_ms < $2 AND near.pbx = $3) AND c.id IN ("
        ))
        .bind(bin.bin_ms)
        .bind(bin.bin_ms + BIN_MS)
        .bind(bin.pbx.as_str().to_owned());
    for (n, call) in calls.into_iter().enumerate() {
        script.push(if n > 0 { ", " } else { "" }).push_bind(call);
    }
    script.push(")");
    script
}

/// How much of a bin no daemon saw, in milliseconds.
async fn read_gap(db: &mut DbConnection, bin: &BinKey) -> Result<i64, StoreError> {
    let (from, to) = (bin.bin_ms, bin.bin_ms + BIN_MS);
    let gaps: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT from_ms, to_ms FROM pbx_gaps WHERE pbx = $1 AND to_ms > $2 AND from_ms < $3 ORDER BY from_ms",
    )
    .bind(bin.pbx.as_str())
    .bind(from)
    .bind(to)
    .fetch_all(db)
    .await?;
    let (mut total, mut reached) = (0, from);
    for (begins, ends) in gaps {
        let (begins, ends) = (begins.max(reached), ends.min(to));
        total += (ends - begins).max(0);
        reached = reached.max(ends);
    }
    Ok(total)
}

/// The rows of a bin, of all tables with one statement.
async fn read_bin(db: &mut DbConnection, bin: &BinKey) -> Result<StoredBin, StoreError> {
    let rows = sqlx::query(
        "SELECT 'bin' AS part, CAST(NULL AS uuid) AS account_id, CAST(NULL AS uuid) AS user_id, '' AS queue,
            counters, gap_ms, calls, callers, rules FROM stat_bins WHERE bin_ms = $1 AND pbx = $2
         UNION ALL SELECT 'account', account_id, NULL, '', counters, 0, 0, 0, 0
            FROM stats WHERE bin_ms = $1 AND pbx = $2
         UNION ALL SELECT 'queue', NULL, NULL, queue, counters, 0, 0, 0, 0
            FROM queue_stats WHERE bin_ms = $1 AND pbx = $2
         UNION ALL SELECT 'person', account_id, user_id, '', counters, 0, 0, 0, 0
            FROM operator_stats WHERE bin_ms = $1 AND pbx = $2",
    )
    .bind(bin.bin_ms)
    .bind(bin.pbx.as_str())
    .fetch_all(&mut *db)
    .await?;
    let whole = |value: i64| u64::try_from(value).unwrap_or(0);
    let mut stored = StoredBin::default();
    for row in &rows {
        let counters = counters_of(row)?;
        match row.try_get("part")? {
            "bin" => {
                stored.is_built = true;
                (stored.gap_ms, stored.rules) = (row.try_get("gap_ms")?, row.try_get("rules")?);
                stored.stats.calls = whole(row.try_get("calls")?);
                stored.stats.callers = whole(row.try_get("callers")?);
                stored.stats.total = counters;
            }
            "account" => _ = stored.stats.accounts.insert(known(row.try_get("account_id")?), counters),
            "queue" => _ = stored.stats.queues.insert(row.try_get("queue")?, counters),
            _ => {
                let key = (known(row.try_get("user_id")?), known(row.try_get("account_id")?));
                stored.stats.operators.insert(key, counters);
            }
        }
    }
    // What a bin that was never built has, nobody counted.
    Ok(if stored.is_built { stored } else { StoredBin::default() })
}

/// What is in `now` and not the same in `before`.
fn changed<'a, K: Ord>(
    now: &'a BTreeMap<K, Counters>,
    before: &'a BTreeMap<K, Counters>,
) -> impl Iterator<Item = (&'a K, &'a Counters)> {
    now.iter().filter(|(key, counters)| before.get(*key) != Some(*counters))
}

/// The keys of `before` that `now` does not have.
fn gone<'a, K: Ord>(
    now: &'a BTreeMap<K, Counters>,
    before: &'a BTreeMap<K, Counters>,
) -> impl Iterator<Item = &'a K> {
    before.keys().filter(|key| !now.contains_key(*key))
}

/// What writes the rows of a bin that differ from those that are there.
fn write_bin(bin: &BinKey, counted: &Counted) -> Vec<Script> {
    let Counted { stats, gap_ms, before, .. } = counted;
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut script = Script::default();
    script
        .statement(
            "INSERT INTO stat_bins (bin_ms, pbx, counters, gap_ms, calls, callers, rules)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (bin_ms, pbx) DO UPDATE SET counters = excluded.counters, gap_ms = excluded.gap_ms,
                calls = excluded.calls, callers = excluded.callers, rules = excluded.rules",
        )
        .bind(bin.bin_ms)
        .bind(bin.pbx.as_str().to_owned())
        .bind(pack(&stats.total))
        .bind(*gap_ms)
        .bind(whole(stats.calls))
        .bind(whole(stats.callers))
        .bind(RULES_VERSION);
    let mut scripts = vec![script, delete_gone(bin, stats, &before.stats)];
    let accounts = changed(&stats.accounts, &before.stats.accounts);
    let insert = "INSERT INTO stats (bin_ms, pbx, account_id, counters) VALUES ";
    let update = " ON CONFLICT (bin_ms, pbx, account_id) DO UPDATE SET counters = excluded.counters";
    write_rows(&mut scripts, bin, (insert, update), accounts, |script, account| {
        script.push_bind(account.unwrap_or(NOBODY)).push(", ");
    });
    let queues = changed(&stats.queues, &before.stats.queues);
    let insert = "INSERT INTO queue_stats (bin_ms, pbx, queue, counters) VALUES ";
    let update = " ON CONFLICT (bin_ms, pbx, queue) DO UPDATE SET counters = excluded.counters";
    write_rows(&mut scripts, bin, (insert, update), queues, |script, queue| {
        script.push_bind(queue.clone()).push(", ");
    });
    let people = changed(&stats.operators, &before.stats.operators);
    let insert = "INSERT INTO operator_stats (bin_ms, pbx, user_id, account_id, counters) VALUES ";
    let update = " ON CONFLICT (bin_ms, pbx, user_id, account_id) DO UPDATE SET counters = excluded.counters";
    write_rows(&mut scripts, bin, (insert, update), people, |script, (person, account)| {
        script.push_bind(person.unwrap_or(NOBODY)).push(", ");
        script.push_bind(account.unwrap_or(NOBODY)).push(", ");
    });
    scripts
}

/// Adds what writes these rows of a table: `around` is the statement before and after its rows, `push_key` adds the columns between
/// the bin and the counters.
fn write_rows<'a, K: 'a>(
    scripts: &mut Vec<Script>,
    bin: &BinKey,
    around: (&str, &str),
    rows: impl Iterator<Item = (&'a K, &'a Counters)>,
    push_key: impl Fn(&mut Script, &K),
) {
    let rows: Vec<_> = rows.collect();
    for rows in rows.chunks(ROWS_PER_SCRIPT) {
        let mut script = Script::default();
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            script.statement(around.0);
            for (n, (key, counters)) in rows.iter().enumerate() {
                script.push(if n > 0 { ", (" } else { "(" }).push_bind(bin.bin_ms).push(", ");
                script.push_bind(bin.pbx.as_str().to_owned()).push(", ");
                push_key(&mut script, key);
                script.push_bind(pack(counters)).push(")");
            }
            script.push(around.1);
        }
        scripts.push(script);
    }
}

/// What deletes the rows of a bin that are no longer.
fn delete_gone(bin: &BinKey, now: &BinStats, before: &BinStats) -> Script {
    let mut script = Script::default();
    for account in gone(&now.accounts, &before.accounts) {
        script
            .statement("DELETE FROM stats WHERE bin_ms = $1 AND pbx = $2 AND account_id = $3")
            .bind(bin.bin_ms)
            .bind(bin.pbx.as_str().to_owned())
            .bind(account.unwrap_or(NOBODY));
    }
    for queue in gone(&now.queues, &before.queues) {
        script
            .statement("DELETE FROM queue_stats WHERE bin_ms = $1 AND pbx = $2 AND queue = $3")
            .bind(bin.bin_ms)
            .bind(bin.pbx.as_str().to_owned())
            .bind(queue.clone());
    }
    for (person, account) in gone(&now.operators, &before.operators) {
        script
            .statement(
                "DELETE FROM operator_stats WHERE bin_ms = $1 AND pbx = $2 AND user_id = $3 AND account_id = $4",
            )
            .bind(bin.bin_ms)
            .bind(bin.pbx.as_str().to_owned())
            .bind(person.unwrap_or(NOBODY))
            .bind(account.unwrap_or(NOBODY));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::call::{Direction, Outcome};
    use crate::contract::card::MatchedBy;
    use crate::contract::history::{CallSource, Segment};
    use crate::contract::operator::WrapUp;
    use crate::contract::pbx::Gap;
    use crate::identity::Presentation;
    use crate::ids::{ChannelId, Extension};
    use crate::journal::entry::{JournalEntry, WrapUpRecord};
    use crate::operators::CompletedWrapUp;
    use crate::stats::WrapUpTime;
    use crate::store::retention::PurgeTarget;
    use crate::store::{Store, from_ms};

    const SATO: RecordId = RecordId(Uuid::from_u128(21));
    /// A bin begins here, long after 1970.
    const BEGIN: i64 = 1_760_000_400_000;

    fn account(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n + 1))
    }

    fn pbx(name: &str) -> PbxId {
        PbxId::parse(name).unwrap()
    }

    /// A call that was offered `at` ms after the beginning, by one caller, to one account.
    fn call(n: u32, outcome: Outcome, at: i64) -> FinishedCall {
        let pbx = pbx("osaka-1");
        let channel = ChannelId::parse(&format!("17{n}.1")).unwrap();
        let offered = BEGIN + at;
        let answered = (outcome == Outcome::Answered).then(|| from_ms(offered + 6_000));
        let sato = || Extension::parse("1001").unwrap();
        let mut segments = vec![Segment {
            kind: "queued".into(),
            operator: None,
            target: Some("sakura".into()),
            from: from_ms(offered + 1_000),
            until: Some(from_ms(offered + 6_000)),
            result: Some(if answered.is_some() { "connected" } else { "abandoned" }.into()),
        }];
        segments.extend(answered.map(|from| Segment {
            kind: "talking".into(),
            operator: Some(sato()),
            target: None,
            from,
            until: Some(from_ms(offered + 26_000)),
            result: None,
        }));
        FinishedCall {
            id: CallId::derive(&pbx, &channel),
            pbx,
            direction: Direction::Inbound,
            account: Some(account(0)),
            matched_by: MatchedBy::Dialled,
            customer: None,
            caller: Some("+819012345678".into()),
            presentation: Presentation::Allowed,
            dialled: None,
            diverted_by: None,
            offered_at: from_ms(offered),
            answered_at: answered,
            ended_at: from_ms(offered + if answered.is_some() { 26_000 } else { 6_000 }),
            outcome,
            operators: answered.map(|_| sato()).into_iter().collect(),
            handled_by: Some(answered.map(|_| SATO).into_iter().collect()),
            channels: vec![channel],
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments,
        }
    }

    async fn build(store: &Store) {
        while store.build_stats(None).await.unwrap() > 0 {}
    }

    const ALWAYS: (i64, i64) = (BEGIN - 86_400_000, BEGIN + 86_400_000);

    async fn total(store: &Store) -> Counters {
        let of = store.stats(StatsOf::Total, ALWAYS.0, ALWAYS.1, |_| Some(())).await.unwrap();
        of.into_values().next().unwrap_or_default()
    }

    /// Every stored figure, as text.
    async fn dump(store: &Store) -> Vec<String> {
        let mut lines = Vec::new();
        for of in [StatsOf::Total, StatsOf::Accounts(None), StatsOf::Queues, StatsOf::Operators(None)] {
            let rows = each!(store, db => db.stats_rows(of, ALWAYS.0, ALWAYS.1).await).unwrap();
            lines.extend(rows.iter().map(|row| {
                format!(
                    "{of:?} {} {:?} {:?} {:?} {}",
                    row.bin_ms,
                    row.account,
                    row.person,
                    row.queue,
                    serde_json::to_string(&row.counters).unwrap()
                )
            }));
        }
        lines.sort();
        lines
    }

    async fn check(store: &Store) -> StatsCheck {
        store.check_stats(from_ms(ALWAYS.0), from_ms(ALWAYS.1), None).await.unwrap()
    }

    #[tokio::test]
    async fn each_writer_of_the_history_marks_its_bin() {
        let (_dir, store) = super::super::empty_store().await;
        let one = call(1, Outcome::Answered, 0);
        store.record_call(&one).await.unwrap();
        assert_eq!(total(&store).await, Counters::default());
        build(&store).await;
        let counted = total(&store).await;
        assert_eq!((counted.offered, counted.answered, counted.talk_ms), (1, 1, 20_000));

        let work = WrapUp {
            call: one.id,
            account: one.account,
            account_name: String::new(),
            since: one.ended_at,
            until: one.ended_at,
            planned_s: 30,
            extensions: Vec::new(),
            set_aside_ms: None,
        };
        let ended_at = from_ms(BEGIN + 33_000);
        let finished = CompletedWrapUp { work, ended_at, disposition: None, notes: None };
        let wrap_up = JournalEntry::WrapUp(Box::new(WrapUpRecord { user: SATO, finished }));
        store.write_entry(&one.pbx, &wrap_up).await.unwrap();
        build(&store).await;
        assert_eq!(total(&store).await.wrap_ms, 7_000);
        let of =
            store.stats(StatsOf::Operators(None), ALWAYS.0, ALWAYS.1, |row| Some(row.person)).await.unwrap();
        assert_eq!((of[&Some(SATO)].parts, of[&Some(SATO)].wrap_ms), (1, 7_000));
        let own =
            store.stats(StatsOf::Person(SATO), ALWAYS.0, ALWAYS.1, |row| Some(row.account)).await.unwrap();
        assert_eq!((own.len(), own[&one.account].wrap_ms), (1, 7_000));
        for (of, calls) in [(Some(account(0)), 1), (Some(account(1)), 0)] {
            let group = |row: &StatsRow| Some(row.account);
            let found = store.stats(StatsOf::Accounts(of), ALWAYS.0, ALWAYS.1, group).await.unwrap();
            assert_eq!(found.values().map(|counters| counters.offered).sum::<u64>(), calls);
            let found = store.stats(StatsOf::Operators(of), ALWAYS.0, ALWAYS.1, group).await.unwrap();
            assert_eq!(found.values().map(|counters| counters.parts).sum::<u64>(), calls);
        }
        let facts = store.facts_of_calls(vec![one.clone()], false).await.unwrap();
        assert_eq!(facts[0].0.segments, one.segments);
        assert_eq!(facts[0].1.wrap_ups, [WrapUpTime { person: SATO, ms: 7_000 }]);
        assert_eq!(store.facts_of_calls(Vec::new(), true).await.unwrap(), []);

        // A call of another direction is nobody's figure.
        let outbound = FinishedCall { direction: Direction::Outbound, ..call(2, Outcome::Answered, 0) };
        store.record_call(&outbound).await.unwrap();
        assert_eq!(store.build_stats(None).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_message_counts_until_it_is_taken_back() {
        let (_dir, store) = super::super::empty_store().await;
        sqlx::query(
            "INSERT INTO accounts (id, code, name, created_ms, changed_ms) VALUES ($1, 'A', 'さくら', 0, 0)",
        )
        .bind(account(0))
        .execute(super::super::of(&store).writer())
        .await
        .unwrap();
        let fields: crate::contract::message::MessageFields =
            serde_json::from_value(serde_json::json!({"text": "折り返し希望"})).unwrap();
        let message = |n: u128| crate::contract::message::NewMessage {
            id: RecordId(Uuid::from_u128(90 + n)),
            account: account(0),
            call: None,
            customer: None,
            kind: crate::contract::message::MessageKind::Message,
            taken_by: Some(SATO),
            taken_by_name: "花".into(),
            caller: None,
            content: fields.clone().checked(&crate::numbers::NumberPlan::default()).unwrap(),
            day: "260401".into(),
            not_before: from_ms(BEGIN + 5),
        };
        for n in 0..3 {
            store.create_message(&message(n), &pbx("osaka-1"), from_ms(BEGIN + 5)).await.unwrap();
        }
        build(&store).await;
        assert_eq!(total(&store).await.messages, 3);
        let early = from_ms(BEGIN);
        store.withdraw_message(message(0).id, early, from_ms(BEGIN + 9)).await.unwrap();
        store.delete_message(message(1).id).await.unwrap();
        build(&store).await;
        assert_eq!(total(&store).await.messages, 1);
        assert_eq!(check(&store).await.differing, []);
    }

    #[tokio::test]
    async fn a_gap_is_said_with_the_bins_that_it_hides() {
        let (_dir, store) = super::super::empty_store().await;
        store.record_call(&call(1, Outcome::Answered, 0)).await.unwrap();
        let gap = Gap {
            pbx: pbx("osaka-1"),
            from: from_ms(BEGIN + 600_000),
            to: from_ms(BEGIN + 1_000_000),
            cause: "link".into(),
            restarted: false,
        };
        store.write_entry(&gap.pbx, &JournalEntry::Gap(Box::new(gap.clone()))).await.unwrap();
        store.write_entry(&gap.pbx, &JournalEntry::Gap(Box::new(gap.clone()))).await.unwrap();
        build(&store).await;
        let now = from_ms(BEGIN + 9_000_000);
        let state = |from: i64, to: i64| store.stats_state(BEGIN + from, BEGIN + to, now);
        let found = state(0, 2 * BIN_MS).await.unwrap();
        assert_eq!(found, StatsState { pending: 0, missing: vec![(BEGIN + 600_000, BEGIN + 1_000_000)] });
        assert_eq!(state(BIN_MS, 2 * BIN_MS).await.unwrap().missing, [(BEGIN + BIN_MS, BEGIN + 1_000_000)]);
        assert_eq!(state(2 * BIN_MS, 3 * BIN_MS).await.unwrap().missing, []);
        // When the gap itself is gone, its bins still say so.
        store.purge(PurgeTarget::Gaps, from_ms(BEGIN + 2_000_000), 10).await.unwrap();
        let whole = [(BEGIN, BEGIN + BIN_MS), (BEGIN + BIN_MS, BEGIN + 2 * BIN_MS)];
        assert_eq!(state(0, 4 * BIN_MS).await.unwrap().missing, whole);
    }

    /// A caller who is lost in one bin and answered in the next one: whichever record comes first.
    #[tokio::test]
    async fn a_call_marks_the_calls_of_neighbouring_bins() {
        for is_late in [false, true] {
            let (_dir, store) = super::super::empty_store().await;
            let lost = call(1, Outcome::Abandoned, BIN_MS - 10_000);
            let again = FinishedCall { pbx: pbx("tokyo-1"), ..call(2, Outcome::Answered, BIN_MS + 10_000) };
            let both = if is_late { [&again, &lost] } else { [&lost, &again] };
            for call in both {
                store.record_call(call).await.unwrap();
                build(&store).await;
            }
            let counted = total(&store).await;
            assert_eq!((counted.repeat, counted.recovered), (1, 1), "{is_late}");
            // The calls behind these counters are found one by one.
            let calls =
                store.history(&crate::store::history::HistoryFilter::default(), None, 10).await.unwrap();
            let marks = async |with_marks| {
                let facts = store.facts_of_calls(calls.clone(), with_marks).await.unwrap();
                facts.iter().map(|(_, facts)| (facts.repeat, facts.recovered)).collect::<Vec<_>>()
            };
            assert_eq!(marks(true).await, [(true, false), (false, true)]);
            assert_eq!(marks(false).await, [(false, false), (false, false)]);
            assert_eq!(check(&store).await.differing, []);
        }
    }

    /// A record whose end was inferred, and the observed one that takes its place in another bin.
    #[tokio::test]
    async fn a_record_that_is_replaced_leaves_its_bin() {
        let (_dir, store) = super::super::empty_store().await;
        store.record_call(&call(3, Outcome::Abandoned, -BIN_MS)).await.unwrap();
        let inferred = FinishedCall { inferred: true, ..call(1, Outcome::Unknown, 0) };
        store.record_call(&inferred).await.unwrap();
        build(&store).await;
        let observed = FinishedCall { id: inferred.id, ..call(2, Outcome::Answered, BIN_MS) };
        store.record_call(&observed).await.unwrap();
        let waiting = store.stats_state(BEGIN, BEGIN + 2 * BIN_MS, from_ms(BEGIN)).await.unwrap();
        assert_eq!(waiting.pending, 2);
        build(&store).await;
        let counted = total(&store).await;
        assert_eq!((counted.offered, counted.answered, counted.unknown), (2, 1, 0));
        assert_eq!(check(&store).await.differing, []);
    }

    #[tokio::test]
    async fn figures_stay_when_retention_takes_the_calls() {
        let (_dir, store) = super::super::empty_store().await;
        for n in 0..4 {
            let outcome = if n % 2 == 0 { Outcome::Abandoned } else { Outcome::Answered };
            store.record_call(&call(n, outcome, i64::from(n) * 60_000)).await.unwrap();
        }
        build(&store).await;
        let before = dump(&store).await;
        assert_eq!((total(&store).await.repeat, total(&store).await.recovered), (3, 2));
        // The callers go first: marks that need them stay, also those that an earlier version of the rules counted alike.
        sqlx::query("UPDATE stat_bins SET rules = 1")
            .execute(super::super::of(&store).writer())
            .await
            .unwrap();
        store.purge(PurgeTarget::Callers, from_ms(BEGIN + 90_000), 100).await.unwrap();
        store.mark_stats(from_ms(ALWAYS.0), from_ms(ALWAYS.1)).await.unwrap();
        build(&store).await;
        assert_eq!(dump(&store).await, before);
        assert_eq!(check(&store).await, StatsCheck { checked: 1, ..StatsCheck::default() });
        // Then the calls: the bin stays.
        store.purge(PurgeTarget::Calls, from_ms(BEGIN + 90_000), 100).await.unwrap();
        store.mark_stats(from_ms(ALWAYS.0), from_ms(ALWAYS.1)).await.unwrap();
        build(&store).await;
        assert_eq!(dump(&store).await, before);
        assert_eq!(check(&store).await, StatsCheck { kept: 1, ..StatsCheck::default() });
        // A bin of a time of which retention takes parts is not counted again.
        store.record_call(&call(9, Outcome::Answered, BIN_MS)).await.unwrap();
        build(&store).await;
        let before = dump(&store).await;
        store.record_call(&call(10, Outcome::Answered, BIN_MS + 1)).await.unwrap();
        while store.build_stats(Some(from_ms(BEGIN + 2 * BIN_MS))).await.unwrap() > 0 {}
        assert_eq!(dump(&store).await, before);
    }

    #[tokio::test]
    async fn a_check_finds_what_is_not_the_histories() {
        let (_dir, store) = super::super::empty_store().await;
        store.record_call(&call(1, Outcome::Answered, 0)).await.unwrap();
        assert_eq!(check(&store).await, StatsCheck { waiting: 1, ..StatsCheck::default() });
        build(&store).await;
        assert_eq!(check(&store).await, StatsCheck { checked: 1, ..StatsCheck::default() });
        sqlx::query("UPDATE stats SET counters = 'a2'")
            .execute(super::super::of(&store).writer())
            .await
            .unwrap();
        let found = check(&store).await;
        let bin = BinKey { bin_ms: BEGIN, pbx: pbx("osaka-1") };
        assert_eq!(found.differing.iter().map(|one| &one.bin).collect::<Vec<_>>(), [&bin]);
        store.mark_stats(from_ms(BEGIN), from_ms(BEGIN + 1)).await.unwrap();
        build(&store).await;
        assert_eq!(check(&store).await, StatsCheck { checked: 1, ..StatsCheck::default() });
    }

    /// What comes while a bin is counted is not lost: several workers, and writers between them.
    #[tokio::test(flavor = "multi_thread")]
    async fn workers_at_the_same_time_lose_nothing() {
        let (_dir, store) = super::super::empty_store().await;
        let writer = async {
            for n in 0..60 {
                let outcome = if n % 3 == 0 { Outcome::Abandoned } else { Outcome::Answered };
                store.record_call(&call(n, outcome, i64::from(n % 7) * 400_000)).await.unwrap();
            }
        };
        let worker = || async {
            for _ in 0..40 {
                store.build_stats(None).await.unwrap();
            }
        };
        tokio::join!(writer, worker(), worker());
        build(&store).await;
        assert_eq!(total(&store).await.offered, 60);
        assert_eq!(check(&store).await.differing, []);
    }

    /// The same calls in another order, some of them twice, give the same rows; so does counting them again.
    #[tokio::test]
    async fn rows_do_not_depend_on_the_order_of_arrival() {
        let outcomes =
            [Outcome::Answered, Outcome::Abandoned, Outcome::Overflowed, Outcome::Closed, Outcome::Blocked];
        let calls: Vec<FinishedCall> = (0..80_u32)
            .map(|n| {
                let mut one = call(n, outcomes[n as usize % 5], i64::from(n * 7_919 % 97) * 60_000);
                one.account = (n % 4 > 0).then(|| account(u128::from(n % 4)));
                one.caller = Some(format!("+8190{}", n % 9).into());
                one
            })
            .collect();
        let mut dumps = Vec::new();
        for step in [1_usize, 37, 59] {
            let (_dir, store) = super::super::empty_store().await;
            for n in 0..calls.len() {
                store.record_call(&calls[n * step % calls.len()]).await.unwrap();
                if n % 17 == 0 {
                    store.record_call(&calls[n / 2 * step % calls.len()]).await.unwrap();
                    build(&store).await;
                }
            }
            build(&store).await;
            assert_eq!(check(&store).await.differing, []);
            let built = dump(&store).await;
            store.mark_stats(from_ms(ALWAYS.0), from_ms(ALWAYS.1)).await.unwrap();
            build(&store).await;
            assert_eq!(dump(&store).await, built);
            dumps.push(built);
        }
        assert_eq!(dumps[0], dumps[1]);
        assert_eq!(dumps[0], dumps[2]);
        let stored: u64 = calls.len() as u64;
        assert!(dumps[0].iter().any(|line| line.contains("repeat")), "{stored}");
    }

    #[tokio::test]
    async fn an_upgrade_counts_the_history_that_is_there() {
        let (_dir, store) = super::super::empty_store().await;
        store.record_call(&call(1, Outcome::Answered, 0)).await.unwrap();
        let writer = super::super::of(&store).writer();
        sqlx::query("DELETE FROM stat_marks").execute(writer).await.unwrap();
        sqlx::query("INSERT INTO upgrade_steps (position, name) VALUES (99, 'stat_marks')")
            .execute(writer)
            .await
            .unwrap();
        each!(&store, db => db.finish_upgrade().await).unwrap();
        build(&store).await;
        assert_eq!(total(&store).await.offered, 1);
    }
}
