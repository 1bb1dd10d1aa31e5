//! The SQL of agent states and after-call work.

use jiff::Timestamp;
use serde_json::Value;
use smol_str::SmolStr;
use sqlx::{QueryBuilder, Row};

use super::script::Script;
use super::stat_marks::mark_bin_of_call;
use super::{Backend, Db, DbRow};
use crate::contract::operator::{State, WrapUp};
use crate::ids::{CallId, RecordId};
use crate::journal::entry::{StateChange, WrapUpRecord};
use crate::operators::{CompletedWrapUp, OperatorSnapshot};
use crate::store::operators::{STATE_CHANGES_MAX, StateHistoryEntry};
use crate::store::{StoreError, from_ms, to_ms};

/// Writes a change, into the history and for the next start.
pub(super) fn write_state(script: &mut Script, change: &StateChange) {
    let StateChange { at, view, saved } = change;
    match saved {
        // No state is stored for a user who does not exist.
        Some(saved) => script
            .statement(
                "INSERT INTO operator_states (user_id, changed_ms, snapshot_json)
                 SELECT $1, $2, $3 WHERE EXISTS (SELECT 1 FROM users WHERE id = $1)
                 ON CONFLICT (user_id) DO UPDATE SET changed_ms = excluded.changed_ms,
                    snapshot_json = excluded.snapshot_json",
            )
            .bind(view.id)
            .bind(to_ms(*at))
            .bind(serde_json::to_string(saved).unwrap_or_default()),
        None => script.statement("DELETE FROM operator_states WHERE user_id = $1").bind(view.id),
    };
    script
        .statement(
            "INSERT INTO operator_history (user_id, version, at_ms, name, extension, state, reason,
                pending, call_id, actor, actor_id, actor_name, session_id, desktop)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (user_id, version, at_ms) DO NOTHING",
        )
        .bind(view.id)
        .bind(i64::try_from(view.version).unwrap_or(i64::MAX))
        .bind(to_ms(*at))
        .bind(view.name.as_str().to_owned())
        .bind(view.extension.as_ref().map(|extension| extension.as_str().to_owned()))
        .bind(view.state.as_str())
        .bind(view.reason.as_deref().map(ToOwned::to_owned))
        .bind(view.pending.as_ref().map(|pending| pending.state.as_str()))
        .bind(view.call)
        .bind(as_str(&view.by.actor))
        .bind(view.by.user)
        .bind(view.by.name.as_deref().map(ToOwned::to_owned))
        .bind(view.by.session)
        .bind(view.by.desktop.as_deref().map(ToOwned::to_owned));
}

/// Writes a completed wrap-up. Written again with a disposition or notes, the record takes them over. Notes on a call whose
/// caller was erased are left out.
pub(super) fn write_wrap_up(script: &mut Script, record: &WrapUpRecord) {
    let CompletedWrapUp { work, ended_at, disposition, notes } = &record.finished;
    script
        .statement(
            "INSERT INTO wrap_ups (call_id, user_id, since_ms, ended_ms, account_id, account, planned_s,
                extensions_json, disposition, notes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                CASE WHEN EXISTS (SELECT 1 FROM erased_calls WHERE call_id = $1) THEN NULL ELSE $10 END)
             ON CONFLICT (call_id, user_id, since_ms) DO UPDATE
                SET disposition = coalesce(excluded.disposition, wrap_ups.disposition),
                    notes = coalesce(excluded.notes, wrap_ups.notes)",
        )
        .bind(work.call)
        .bind(record.user)
        .bind(to_ms(work.since))
        .bind(to_ms(*ended_at))
        .bind(work.account)
        .bind(work.account_name.clone())
        .bind(i64::from(work.planned_s))
        .bind(serde_json::to_string(&work.extensions).unwrap_or_default())
        .bind(disposition.as_deref().map(ToOwned::to_owned))
        .bind(notes.as_deref().map(ToOwned::to_owned));
    mark_bin_of_call(script, work.call);
}

impl Backend {
    pub(in crate::store) async fn states(&self) -> Result<Vec<OperatorSnapshot>, StoreError> {
        let rows = sqlx::query("SELECT snapshot_json FROM operator_states ORDER BY changed_ms DESC");
        let rows = rows.fetch_all(self.readers()).await?;
        let mut states = Vec::with_capacity(rows.len());
        for row in &rows {
            match serde_json::from_str(row.try_get("snapshot_json")?) {
                Ok(saved) => states.push(saved),
                Err(error) => {
                    tracing::warn!(%error, "ignoring an operator state that cannot be read; the operator is logged out")
                }
            }
        }
        Ok(states)
    }

    pub(in crate::store) async fn state_changes(
        &self,
        user: RecordId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<StateHistoryEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM operator_history WHERE user_id = $1 AND at_ms < $3 AND at_ms >= coalesce(
                (SELECT max(at_ms) FROM operator_history WHERE user_id = $1 AND at_ms <= $2), $2)
             ORDER BY at_ms, version LIMIT $4",
        )
        .bind(user)
        .bind(to_ms(from))
        .bind(to_ms(until))
        .bind(i64::from(STATE_CHANGES_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(history_entry_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn states_from(
        &self,
        user: RecordId,
        (from, until): (i64, i64),
    ) -> Result<Vec<(State, i64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT state, at_ms FROM operator_history WHERE user_id = $1 AND at_ms < $3 AND at_ms >= coalesce(
                (SELECT max(at_ms) FROM operator_history WHERE user_id = $1 AND at_ms <= $2), $2)
             ORDER BY at_ms, position",
        )
        .bind(user)
        .bind(from)
        .bind(until)
        .fetch_all(self.readers())
        .await?;
        let pair = |row: &DbRow| Ok((parse(row.try_get("state")?)?, row.try_get("at_ms")?));
        Ok(rows.iter().map(pair).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn wrap_ups(&self, calls: &[CallId]) -> Result<Vec<WrapUpRecord>, StoreError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Db>::new(concat!(
            "SELECT w.*, EXISTS (SELECT 1 FROM calls AS c WHERE c.id = w.call_id AND ",
            call_is_being_erased!(),
            ") AS is_erased FROM wrap_ups AS w WHERE w.call_id IN ("
        ));
        let mut ids = query.separated(", ");
        for call in calls {
            ids.push_bind(*call);
        }
        query.push(") ORDER BY w.ended_ms, w.since_ms");
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(wrap_up_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

fn history_entry_of(row: &DbRow) -> Result<StateHistoryEntry, sqlx::Error> {
    Ok(StateHistoryEntry {
        at: from_ms(row.try_get("at_ms")?),
        state: parse(row.try_get("state")?)?,
        reason: row.try_get("reason")?,
        extension: row.try_get("extension")?,
        call: row.try_get("call_id")?,
        actor: parse(row.try_get("actor")?)?,
        user: row.try_get("actor_id")?,
        name: row.try_get("actor_name")?,
    })
}

fn wrap_up_of(row: &DbRow) -> Result<WrapUpRecord, sqlx::Error> {
    let text =
        |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<String>, _>(column)?.map(SmolStr::new));
    let extensions: Value = serde_json::from_str(row.try_get("extensions_json")?)
        .map_err(|error| sqlx::Error::Decode(error.into()))?;
    let ended_at = from_ms(row.try_get("ended_ms")?);
    let work = WrapUp {
        call: row.try_get("call_id")?,
        account: row.try_get("account_id")?,
        account_name: row.try_get("account")?,
        since: from_ms(row.try_get("since_ms")?),
        until: ended_at,
        planned_s: u32::try_from(row.try_get::<i64, _>("planned_s")?).unwrap_or(u32::MAX),
        extensions: serde_json::from_value(extensions).map_err(|error| sqlx::Error::Decode(error.into()))?,
        set_aside_ms: None,
    };
    let is_erased: bool = row.try_get("is_erased")?;
    let (disposition, notes) = (text("disposition")?, text("notes")?.filter(|_| !is_erased));
    let user = row.try_get("user_id")?;
    Ok(WrapUpRecord { user, finished: CompletedWrapUp { work, ended_at, disposition, notes } })
}

fn as_str(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

fn parse<T: serde::de::DeserializeOwned>(text: String) -> Result<T, sqlx::Error> {
    serde_json::from_value(Value::String(text)).map_err(|error| sqlx::Error::Decode(error.into()))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;
    use crate::contract::operator::{ChangedBy, RequestedState, State, StateView};
    use crate::ids::{ChannelId, PbxId};
    use crate::journal::entry::JournalEntry;
    use crate::operators::Activity;
    use crate::people::role::Role;
    use crate::store::Store;
    use crate::store::users::UserDraft;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    async fn store() -> (impl Sized, Store, RecordId) {
        let (held, store) = super::super::empty_store().await;
        let draft = UserDraft {
            name: "佐藤".into(),
            kana: String::new(),
            role: Role::Operator,
            extension: None,
            team: None,
            password: None,
        };
        let user = store.add_user(&draft, at(0)).await.unwrap();
        (held, store, user)
    }

    fn change(user: RecordId, version: u64, seconds: i64, state: State) -> StateChange {
        let saved = OperatorSnapshot {
            user,
            seat: None,
            last_seat: None,
            requested: RequestedState::NotReady("break".into()),
            pending: None,
            activity: Activity::None,
            wrap_ups: Vec::new(),
            expired: None,
            expired_before: Vec::new(),
            awaiting_return: None,
            terms: None,
            version,
            since: at(seconds),
            by: ChangedBy::default(),
        };
        let view = StateView { version, state, ..StateView::unknown(user, "佐藤".into(), None) };
        StateChange { at: at(seconds), view, saved: Some(saved) }
    }

    async fn record(store: &Store, entry: JournalEntry) {
        store.write_entry(&PbxId::parse("p").unwrap(), &entry).await.unwrap();
    }

    #[tokio::test]
    async fn states_are_stored_with_their_history() {
        let (_dir, store, user) = store().await;
        let ready = change(user, 1, 10, State::Ready);
        for change in
            [&ready, &ready, &change(user, 2, 20, State::Talking), &change(user, 3, 30, State::WrapUp)]
        {
            record(&store, JournalEntry::OperatorState(Box::new(change.clone()))).await;
        }
        let stored = store.states().await.unwrap();
        assert_eq!((stored.len(), stored[0].version), (1, 3));
        let states = |changes: Vec<StateHistoryEntry>| changes.iter().map(|c| c.state).collect::<Vec<_>>();
        let all = store.state_changes(user, at(0), at(99)).await.unwrap();
        assert_eq!(states(all), [State::Ready, State::Talking, State::WrapUp]);
        let some = store.state_changes(user, at(25), at(30)).await.unwrap();
        assert_eq!(states(some), [State::Talking], "the one in force at the beginning");
        let spans = store.state_spans(user, (15_000, 25_000)).await.unwrap();
        assert_eq!(spans, [(State::Ready, 15_000, 20_000), (State::Talking, 20_000, 25_000)]);
        assert_eq!(
            store.state_spans(user, (40_000, 50_000)).await.unwrap(),
            [(State::WrapUp, 40_000, 50_000)],
            "it holds on"
        );
        assert_eq!(store.state_spans(user, (0, 10_000)).await.unwrap(), []);
        // The state of a user who does not exist is in the history alone.
        let nobodys = change(RecordId(Uuid::from_u128(9)), 1, 40, State::Ready);
        record(&store, JournalEntry::OperatorState(Box::new(nobodys))).await;
        assert_eq!(store.states().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_disposition_may_come_later() {
        let (_dir, store, user) = store().await;
        let call = CallId::derive(&PbxId::parse("p").unwrap(), &ChannelId::parse("1.1").unwrap());
        let work = WrapUp {
            call,
            account: None,
            account_name: "さくら".into(),
            since: at(1),
            until: at(31),
            planned_s: 30,
            extensions: Vec::new(),
            set_aside_ms: None,
        };
        let finished = CompletedWrapUp { work, ended_at: at(31), disposition: None, notes: None };
        let mut record = WrapUpRecord { user, finished };
        let write = async |record: &WrapUpRecord| {
            self::record(&store, JournalEntry::WrapUp(Box::new(record.clone()))).await
        };
        write(&record).await;
        record.finished.disposition = Some("message".into());
        write(&record).await;
        record.finished.disposition = None;
        write(&record).await;
        let stored = store.wrap_ups(&[call]).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].finished.disposition.as_deref(), Some("message"));
        assert_eq!(stored[0].finished.ended_at, at(31));
    }
}
