//! The SQL of what supervisors heard.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};

use super::{Backend, Db, DbConnection, DbRow};
use crate::ids::{CallId, Extension, PbxId};
use crate::store::hearings::{Hearing, Step};
use crate::store::{StoreError, from_ms, to_ms};
use crate::supervision::{Ending, Mode, SupervisionId};

const INSERT: &str = "
    INSERT INTO hearings (supervision_id, from_ms, until_ms, pbx, call_id, operator, supervisor_id, supervisor_name,
        extension, mode, reason, ending, audience_json)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (supervision_id, from_ms) DO UPDATE SET until_ms = excluded.until_ms, call_id = excluded.call_id,
        operator = excluded.operator, mode = excluded.mode, ending = excluded.ending,
        audience_json = excluded.audience_json";

impl Backend {
    pub(in crate::store) async fn note_hearing(&self, step: &Step) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        note_step(&mut transaction, step).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn hearings(&self, call: CallId) -> Result<Vec<Hearing>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM hearings WHERE call_id = $1 ORDER BY from_ms, supervision_id, until_ms",
        )
        .bind(call)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(hearing_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Inside a transaction.
pub(super) async fn note_step(db: &mut DbConnection, step: &Step) -> Result<(), StoreError> {
    match step {
        Step::Began(hearing) => begin(db, hearing).await,
        Step::Ended { supervision, at, ending } => close(db, *supervision, *at, *ending).await,
        Step::Only { pbx, supervisions, at } => {
            let mut query = QueryBuilder::<Db>::new("UPDATE hearings SET until_ms = ");
            query.push_bind(to_ms(*at)).push(", ending = ").push_bind(word_of(&Ending::Lost));
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

async fn begin(db: &mut DbConnection, hearing: &Hearing) -> Result<(), StoreError> {
    let latest =
        sqlx::query("SELECT * FROM hearings WHERE supervision_id = $1 ORDER BY from_ms DESC LIMIT 1")
            .bind(hearing.supervision)
            .fetch_optional(&mut *db)
            .await?;
    let mut reason = hearing.reason.clone();
    if let Some(latest) = latest {
        let before = hearing_of(&latest)?;
        // A session's reason never changes; who has just taken over may not know it yet.
        reason = reason.or(before.reason);
        // Its times may be finer than the table's.
        let (is_later, is_open) = (to_ms(before.from) > to_ms(hearing.from), before.until.is_none());
        let began_with_it = to_ms(before.from) == to_ms(hearing.from);
        let is_same =
            before.call == hearing.call && before.operator == hearing.operator && before.mode == hearing.mode;
        if is_later || is_same && (began_with_it || is_open && hearing.until.is_none()) {
            return Ok(());
        }
        if is_open && !began_with_it {
            close(db, hearing.supervision, hearing.from, None).await?;
        }
    }
    sqlx::query(INSERT)
        .bind(hearing.supervision)
        .bind(to_ms(hearing.from))
        .bind(hearing.until.map(to_ms))
        .bind(hearing.pbx.as_str())
        .bind(hearing.call)
        .bind(hearing.operator.as_str())
        .bind(hearing.supervisor)
        .bind(&hearing.supervisor_name)
        .bind(hearing.extension.as_str())
        .bind(hearing.mode.as_str())
        .bind(reason)
        .bind(hearing.ending.as_ref().map(word_of))
        .bind(serde_json::to_string(&hearing.audience).unwrap_or_default())
        .execute(db)
        .await?;
    Ok(())
}

async fn close(
    db: &mut DbConnection,
    supervision: SupervisionId,
    at: Timestamp,
    ending: Option<Ending>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE hearings SET until_ms = $2, ending = $3
         WHERE supervision_id = $1 AND until_ms IS NULL AND from_ms <= $2",
    )
    .bind(supervision)
    .bind(to_ms(at))
    .bind(ending.as_ref().map(word_of))
    .execute(db)
    .await?;
    Ok(())
}

fn word_of(ending: &Ending) -> String {
    serde_json::to_value(ending).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn hearing_of(row: &DbRow) -> Result<Hearing, sqlx::Error> {
    let extension = |column: &str| -> Result<Extension, sqlx::Error> {
        Extension::parse(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let json = |text: &str| serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()));
    let mode: &str = row.try_get("mode")?;
    let ending = row.try_get::<Option<&str>, _>("ending")?;
    let pbx: &str = row.try_get("pbx")?;
    Ok(Hearing {
        supervision: row.try_get("supervision_id")?,
        pbx: PbxId::parse(pbx).map_err(|error| sqlx::Error::Decode(error.into()))?,
        call: row.try_get("call_id")?,
        operator: extension("operator")?,
        supervisor: row.try_get("supervisor_id")?,
        supervisor_name: row.try_get("supervisor_name")?,
        extension: extension("extension")?,
        mode: Mode::of_word(mode).unwrap_or(Mode::Listen),
        reason: row.try_get("reason")?,
        from: from_ms(row.try_get("from_ms")?),
        until: row.try_get::<Option<i64>, _>("until_ms")?.map(from_ms),
        ending: ending.and_then(|word| serde_json::from_value(word.into()).ok()),
        audience: json(row.try_get("audience_json")?)?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::bus::Audience;
    use crate::ids::{ChannelId, RecordId};
    use crate::store::Store;
    use crate::store::retention::Expired;

    fn pbx(name: &str) -> PbxId {
        PbxId::parse(name).unwrap()
    }

    fn call(n: u32) -> CallId {
        CallId::derive(&pbx("osaka-1"), &ChannelId::parse(&format!("17{n}.1")).unwrap())
    }

    fn supervision(n: u128) -> SupervisionId {
        SupervisionId(Uuid::from_u128(n))
    }

    /// Supervision `n` hears 1001 in call 1 since then.
    fn hearing(n: u128, mode: Mode, from: i64) -> Hearing {
        let operator = Extension::parse("1001").unwrap();
        Hearing {
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

    fn began(hearing: Hearing) -> Step {
        Step::Began(Box::new(hearing))
    }

    fn ended(n: u128, at: i64, ending: Option<Ending>) -> Step {
        Step::Ended { supervision: supervision(n), at: from_ms(at), ending }
    }

    /// Mode, from, until and ending of what is kept of call 1.
    async fn kept(store: &Store) -> Vec<(Mode, i64, Option<i64>, Option<Ending>)> {
        let hearings = store.hearings(call(1)).await.unwrap();
        hearings.into_iter().map(|h| (h.mode, to_ms(h.from), h.until.map(to_ms), h.ending)).collect()
    }

    #[tokio::test]
    async fn a_session_is_a_row_for_each_mode_and_every_step_may_come_again() {
        let (_held, store) = super::super::empty_store().await;
        let took = Hearing {
            until: Some(from_ms(40)),
            ending: Some(Ending::TookOver),
            ..hearing(1, Mode::TakeOver, 40)
        };
        let steps = [
            began(hearing(1, Mode::Listen, 10)),
            began(hearing(1, Mode::Listen, 15)),
            began(hearing(1, Mode::Whisper, 20)),
            ended(1, 25, None),
            began(hearing(1, Mode::Whisper, 30)),
            began(took),
        ];
        let whole = [
            (Mode::Listen, 10, Some(20), None),
            (Mode::Whisper, 20, Some(25), None),
            (Mode::Whisper, 30, Some(40), None),
            (Mode::TakeOver, 40, Some(40), Some(Ending::TookOver)),
        ];
        for step in &steps {
            // A try whose answer was lost on the way is repeated.
            store.note_hearing(step).await.unwrap();
            store.note_hearing(step).await.unwrap();
        }
        assert_eq!(kept(&store).await, whole);
        for step in &steps {
            store.note_hearing(step).await.unwrap();
        }
        assert_eq!(kept(&store).await, whole, "all of it again");
        let read = store.hearings(call(1)).await.unwrap();
        assert_eq!(read[0], Hearing { until: Some(from_ms(20)), ..hearing(1, Mode::Listen, 10) });
    }

    #[tokio::test]
    async fn whoever_takes_over_goes_on_with_what_is_open_and_ends_what_is_gone() {
        let (_held, store) = super::super::empty_store().await;
        store.note_hearing(&began(hearing(1, Mode::Listen, 10))).await.unwrap();
        store.note_hearing(&began(hearing(2, Mode::Barge, 11))).await.unwrap();
        let elsewhere = Hearing { pbx: pbx("tokyo-1"), ..hearing(3, Mode::Listen, 12) };
        store.note_hearing(&began(elsewhere)).await.unwrap();
        store.note_hearing(&began(hearing(1, Mode::Listen, 50))).await.unwrap();
        let only = Step::Only { pbx: pbx("osaka-1"), supervisions: vec![supervision(1)], at: from_ms(50) };
        store.note_hearing(&only).await.unwrap();
        let expected = [
            (Mode::Listen, 10, None, None),
            (Mode::Barge, 11, Some(50), Some(Ending::Lost)),
            (Mode::Listen, 12, None, None),
        ];
        assert_eq!(kept(&store).await, expected);
        let none = Step::Only { pbx: pbx("osaka-1"), supervisions: vec![], at: from_ms(60) };
        store.note_hearing(&none).await.unwrap();
        assert_eq!(kept(&store).await[0], (Mode::Listen, 10, Some(60), Some(Ending::Lost)));
        // What the one before wrote late comes after its successor's steps.
        store.note_hearing(&ended(1, 55, Some(Ending::Stopped))).await.unwrap();
        assert_eq!(kept(&store).await[0], (Mode::Listen, 10, Some(60), Some(Ending::Lost)));
    }

    #[tokio::test]
    async fn hearings_go_with_the_calls() {
        let (_held, store) = super::super::empty_store().await;
        for n in 0..3 {
            store
                .note_hearing(&began(hearing(n, Mode::Listen, 100 * i64::try_from(n).unwrap())))
                .await
                .unwrap();
        }
        assert_eq!(store.purge(Expired::Hearings, from_ms(150)).await.unwrap(), 2);
        assert_eq!(store.purge(Expired::Hearings, from_ms(150)).await.unwrap(), 0);
        assert_eq!(kept(&store).await.len(), 1);
    }
}
