//! The SQL of the supervision log.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};

use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::supervision::{EndReason, Mode, SupervisionId, SupervisionSegment};
use crate::ids::{CallId, Extension, PbxId};
use crate::journal::entry::SegmentChange;
use crate::store::{StoreError, from_ms, to_ms};

const INSERT: &str = "
    INSERT INTO supervision_log (supervision_id, from_ms, until_ms, pbx, call_id, operator, supervisor_id,
        supervisor_name, extension, mode, reason, ending, audience_json)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (supervision_id, from_ms) DO UPDATE SET until_ms = excluded.until_ms, call_id = excluded.call_id,
        operator = excluded.operator, mode = excluded.mode, ending = excluded.ending,
        audience_json = excluded.audience_json";

impl Backend {
    pub(in crate::store) async fn supervision_segments(
        &self,
        call: CallId,
    ) -> Result<Vec<SupervisionSegment>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM supervision_log WHERE call_id = $1 ORDER BY from_ms, supervision_id, until_ms",
        )
        .bind(call)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(segment_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

pub(super) async fn write_segment_change(
    db: &mut DbConnection,
    change: &SegmentChange,
) -> Result<(), StoreError> {
    match change {
        SegmentChange::Started(segment) => start(db, segment).await,
        SegmentChange::Stopped { supervision, at, ending } => close(db, *supervision, *at, *ending).await,
        SegmentChange::Reconcile { pbx, supervisions, at } => {
            let mut query = QueryBuilder::<Db>::new("UPDATE supervision_log SET until_ms = ");
            query.push_bind(to_ms(*at)).push(", ending = ").push_bind(ending_as_str(&EndReason::Lost));
            query.push(" WHERE until_ms IS NULL AND pbx = ").push_bind(pbx.as_str().to_owned());
            query.push(" AND from_ms <= ").push_bind(to_ms(*at));
            if !supervisions.is_empty() {
                query.push(" AND supervision_id NOT IN (");
                let mut ids = query.separated(", ");
                for id in supervisions {
                    ids.push_bind(*id);
                }
                query.push(")");
            }
            query.build().execute(db).await?;
            Ok(())
        }
    }
}

async fn start(db: &mut DbConnection, segment: &SupervisionSegment) -> Result<(), StoreError> {
    let latest =
        sqlx::query("SELECT * FROM supervision_log WHERE supervision_id = $1 ORDER BY from_ms DESC LIMIT 1")
            .bind(segment.supervision)
            .fetch_optional(&mut *db)
            .await?;
    let mut reason = segment.reason.clone();
    if let Some(latest) = latest {
        let before = segment_of(&latest)?;
        // A session's reason never changes; a new leader may not have it yet.
        reason = reason.or(before.reason);
        // The segment's times may be finer than the table's.
        let (is_later, is_open) = (to_ms(before.from) > to_ms(segment.from), before.until.is_none());
        let is_same_start = to_ms(before.from) == to_ms(segment.from);
        let is_same =
            before.call == segment.call && before.operator == segment.operator && before.mode == segment.mode;
        if is_later || is_same && (is_same_start || is_open && segment.until.is_none()) {
            return Ok(());
        }
        if is_open && !is_same_start {
            close(db, segment.supervision, segment.from, None).await?;
        }
    }
    sqlx::query(INSERT)
        .bind(segment.supervision)
        .bind(to_ms(segment.from))
        .bind(segment.until.map(to_ms))
        .bind(segment.pbx.as_str())
        .bind(segment.call)
        .bind(segment.operator.as_str())
        .bind(segment.supervisor)
        .bind(&segment.supervisor_name)
        .bind(segment.extension.as_str())
        .bind(segment.mode.as_str())
        .bind(reason)
        .bind(segment.ending.as_ref().map(ending_as_str))
        .bind(serde_json::to_string(&segment.audience).unwrap_or_default())
        .execute(db)
        .await?;
    Ok(())
}

async fn close(
    db: &mut DbConnection,
    supervision: SupervisionId,
    at: Timestamp,
    ending: Option<EndReason>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE supervision_log SET until_ms = $2, ending = $3
         WHERE supervision_id = $1 AND until_ms IS NULL AND from_ms <= $2",
    )
    .bind(supervision)
    .bind(to_ms(at))
    .bind(ending.as_ref().map(ending_as_str))
    .execute(db)
    .await?;
    Ok(())
}

fn ending_as_str(ending: &EndReason) -> String {
    serde_json::to_value(ending).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn segment_of(row: &DbRow) -> Result<SupervisionSegment, sqlx::Error> {
    let extension = |column: &str| -> Result<Extension, sqlx::Error> {
        Extension::parse(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let json = |text: &str| serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()));
    let mode: &str = row.try_get("mode")?;
    let ending = row.try_get::<Option<&str>, _>("ending")?;
    let pbx: &str = row.try_get("pbx")?;
    Ok(SupervisionSegment {
        supervision: row.try_get("supervision_id")?,
        pbx: PbxId::parse(pbx).map_err(|error| sqlx::Error::Decode(error.into()))?,
        call: row.try_get("call_id")?,
        operator: extension("operator")?,
        supervisor: row.try_get("supervisor_id")?,
        supervisor_name: row.try_get("supervisor_name")?,
        extension: extension("extension")?,
        mode: Mode::parse(mode).unwrap_or(Mode::Listen),
        reason: row.try_get("reason")?,
        from: from_ms(row.try_get("from_ms")?),
        until: row.try_get::<Option<i64>, _>("until_ms")?.map(from_ms),
        ending: ending.and_then(|text| serde_json::from_value(text.into()).ok()),
        audience: json(row.try_get("audience_json")?)?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::event::Audience;
    use crate::ids::{ChannelId, RecordId};
    use crate::journal::entry::JournalEntry;
    use crate::store::Store;
    use crate::store::retention::PurgeTarget;

    fn pbx(name: &str) -> PbxId {
        PbxId::parse(name).unwrap()
    }

    fn call(n: u32) -> CallId {
        CallId::derive(&pbx("osaka-1"), &ChannelId::parse(&format!("17{n}.1")).unwrap())
    }

    fn supervision(n: u128) -> SupervisionId {
        SupervisionId(Uuid::from_u128(n))
    }

    /// Supervision `n` monitors 1001 in call 1 from then on.
    fn segment(n: u128, mode: Mode, from: i64) -> SupervisionSegment {
        let operator = Extension::parse("1001").unwrap();
        SupervisionSegment {
            supervision: supervision(n),
            pbx: pbx("osaka-1"),
            call: call(1),
            operator: operator.clone(),
            supervisor: RecordId(Uuid::from_u128(7)),
            supervisor_name: "佐藤".into(),
            extension: Extension::parse("2001").unwrap(),
            mode,
            reason: Some("新人".into()),
            from: from_ms(from),
            until: None,
            ending: None,
            audience: Audience::SupervisorsOf(vec![operator]),
        }
    }

    fn started(segment: SupervisionSegment) -> SegmentChange {
        SegmentChange::Started(Box::new(segment))
    }

    fn stopped(n: u128, at: i64, ending: Option<EndReason>) -> SegmentChange {
        SegmentChange::Stopped { supervision: supervision(n), at: from_ms(at), ending }
    }

    async fn record(store: &Store, change: &SegmentChange) {
        store.write_entry(&pbx("osaka-1"), &JournalEntry::SegmentChange(change.clone())).await.unwrap();
    }

    /// Mode, from, until and ending of the stored segments of call 1.
    async fn stored(store: &Store) -> Vec<(Mode, i64, Option<i64>, Option<EndReason>)> {
        let segments = store.supervision_segments(call(1)).await.unwrap();
        segments.into_iter().map(|s| (s.mode, to_ms(s.from), s.until.map(to_ms), s.ending)).collect()
    }

    #[tokio::test]
    async fn a_session_is_a_row_for_each_mode_and_every_change_may_be_written_again() {
        let (_held, store) = super::super::empty_store().await;
        let took_over = SupervisionSegment {
            until: Some(from_ms(40)),
            ending: Some(EndReason::TookOver),
            ..segment(1, Mode::TakeOver, 40)
        };
        let changes = [
            started(segment(1, Mode::Listen, 10)),
            started(segment(1, Mode::Listen, 15)),
            started(segment(1, Mode::Whisper, 20)),
            stopped(1, 25, None),
            started(segment(1, Mode::Whisper, 30)),
            started(took_over),
        ];
        let whole = [
            (Mode::Listen, 10, Some(20), None),
            (Mode::Whisper, 20, Some(25), None),
            (Mode::Whisper, 30, Some(40), None),
            (Mode::TakeOver, 40, Some(40), Some(EndReason::TookOver)),
        ];
        for change in &changes {
            // A try whose answer was lost is repeated.
            record(&store, change).await;
            record(&store, change).await;
        }
        assert_eq!(stored(&store).await, whole);
        for change in &changes {
            record(&store, change).await;
        }
        assert_eq!(stored(&store).await, whole, "all of it again");
        let read = store.supervision_segments(call(1)).await.unwrap();
        assert_eq!(read[0], SupervisionSegment { until: Some(from_ms(20)), ..segment(1, Mode::Listen, 10) });
    }

    #[tokio::test]
    async fn a_new_leader_keeps_open_segments_and_closes_those_of_ended_sessions() {
        let (_held, store) = super::super::empty_store().await;
        record(&store, &started(segment(1, Mode::Listen, 10))).await;
        record(&store, &started(segment(2, Mode::Barge, 11))).await;
        let elsewhere = SupervisionSegment { pbx: pbx("tokyo-1"), ..segment(3, Mode::Listen, 12) };
        record(&store, &started(elsewhere)).await;
        record(&store, &started(segment(1, Mode::Listen, 50))).await;
        let only = SegmentChange::Reconcile {
            pbx: pbx("osaka-1"),
            supervisions: vec![supervision(1)],
            at: from_ms(50),
        };
        record(&store, &only).await;
        let expected = [
            (Mode::Listen, 10, None, None),
            (Mode::Barge, 11, Some(50), Some(EndReason::Lost)),
            (Mode::Listen, 12, None, None),
        ];
        assert_eq!(stored(&store).await, expected);
        let none = SegmentChange::Reconcile { pbx: pbx("osaka-1"), supervisions: vec![], at: from_ms(60) };
        record(&store, &none).await;
        assert_eq!(stored(&store).await[0], (Mode::Listen, 10, Some(60), Some(EndReason::Lost)));
        // A late write of the previous leader, after its successor's changes.
        record(&store, &stopped(1, 55, Some(EndReason::Stopped))).await;
        assert_eq!(stored(&store).await[0], (Mode::Listen, 10, Some(60), Some(EndReason::Lost)));
    }

    #[tokio::test]
    async fn segments_are_purged_by_age() {
        let (_held, store) = super::super::empty_store().await;
        for n in 0..3 {
            record(&store, &started(segment(n, Mode::Listen, 100 * i64::try_from(n).unwrap()))).await;
        }
        assert_eq!(store.purge(PurgeTarget::SupervisionLog, from_ms(150), 500).await.unwrap(), 2);
        assert_eq!(store.purge(PurgeTarget::SupervisionLog, from_ms(150), 500).await.unwrap(), 0);
        assert_eq!(stored(&store).await.len(), 1);
    }
}
