//! The SQL of scripts and of the offers that they make.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row;

use super::house_notices::note;
use super::{Backend, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::contract::message::{ContentChange, OfferResult};
use crate::contract::script::{NewScript, OfferCount, ScriptRecord, ScriptState};
use crate::ids::RecordId;
use crate::store::error::refusal;
use crate::store::scripts::{
    OFFER_COUNTS_MAX, SCRIPT_VERSIONS_LISTED_MAX, SCRIPT_VERSIONS_MAX, SCRIPTS_PER_ACCOUNT_MAX, ScriptOutcome,
};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn scripts(&self, account: RecordId) -> Result<Vec<ScriptRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM script_versions AS v WHERE account_id = $1 AND (state = 'live' OR version =
                (SELECT max(version) FROM script_versions WHERE account_id = $1 AND script = v.script))
             ORDER BY script, version DESC",
        )
        .bind(account)
        .fetch_all(self.readers())
        .await?;
        listed(&rows)
    }

    pub(in crate::store) async fn script_versions(
        &self,
        account: RecordId,
        script: &str,
    ) -> Result<Vec<ScriptRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM script_versions WHERE account_id = $1 AND script = $2 ORDER BY version DESC LIMIT $3",
        )
        .bind(account)
        .bind(script)
        .bind(i64::from(SCRIPT_VERSIONS_LISTED_MAX))
        .fetch_all(self.readers())
        .await?;
        listed(&rows)
    }

    pub(in crate::store) async fn script(
        &self,
        account: RecordId,
        script: &str,
        version: Option<u32>,
    ) -> Result<Option<ScriptRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM script_versions WHERE account_id = $1 AND script = $2 AND version <= $3 AND version >= $4
             ORDER BY version DESC LIMIT 1",
        )
        .bind(account)
        .bind(script)
        .bind(version.map_or(i64::from(u32::MAX), i64::from))
        .bind(version.map_or(0, i64::from))
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(script_of).transpose()?)
    }

    /// In one transaction, so that the number belongs to the versions that were read.
    pub(in crate::store) async fn live_scripts(&self) -> Result<(Vec<ScriptRecord>, i64), StoreError> {
        let mut reader = self.begin_reading().await?;
        let version =
            sqlx::query_scalar("SELECT version FROM scripts_version").fetch_one(&mut *reader).await?;
        let rows = sqlx::query(
            "SELECT * FROM script_versions WHERE state = 'live' ORDER BY account_id, script, version",
        )
        .fetch_all(&mut *reader)
        .await?;
        Ok((rows.iter().map(script_of).collect::<Result<_, sqlx::Error>>()?, version))
    }

    pub(in crate::store) async fn scripts_version(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT version FROM scripts_version").fetch_one(self.readers()).await?)
    }

    pub(in crate::store) async fn write_script(
        &self,
        new: &NewScript,
        at: Timestamp,
    ) -> Result<ScriptOutcome, StoreError> {
        let state = if new.publishes { ScriptState::Live } else { ScriptState::Draft };
        let mut transaction = self.begin().await?;
        // The key refuses the second of two people who save over the same version at once.
        let row = sqlx::query(
            "INSERT INTO script_versions (account_id, script, version, state, name, body, by_id, by_name, restored,
                at_ms, published_ms)
             SELECT $1, $2, 1 + $3, $4, $5, $6, $7, $8, $9, $10, $11
             WHERE coalesce((SELECT max(version) FROM script_versions WHERE account_id = $1 AND script = $2), 0) = $3
                AND $3 < $12 AND ($3 > 0 OR
                (SELECT count(DISTINCT script) FROM script_versions WHERE account_id = $1) < $13)
             ON CONFLICT (account_id, script, version) DO NOTHING RETURNING *",
        )
        .bind(new.account)
        .bind(&new.script)
        .bind(i64::from(new.version))
        .bind(state.as_str())
        .bind(&new.name)
        .bind(&new.body)
        .bind(new.by)
        .bind(&new.by_name)
        .bind(new.restored.map(i64::from))
        .bind(to_ms(at))
        .bind(new.publishes.then(|| to_ms(at)))
        .bind(i64::from(SCRIPT_VERSIONS_MAX))
        .bind(i64::from(SCRIPTS_PER_ACCOUNT_MAX))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the script", None))?;
        let Some(row) = row else {
            drop(transaction);
            let newest = self.script(new.account, &new.script, None).await?;
            let is_seen = newest.as_ref().map_or(0, |newest| newest.version) == new.version;
            return Ok(if is_seen { ScriptOutcome::TooMany } else { ScriptOutcome::Changed(newest) });
        };
        let written = script_of(&row)?;
        if new.publishes && new.retires_older {
            retire_older(&mut transaction, new.account, &new.script, written.version).await?;
        }
        if new.publishes {
            note_published(&mut transaction, &written, at).await?;
        }
        transaction.commit().await?;
        Ok(ScriptOutcome::Written(written))
    }

    pub(in crate::store) async fn publish_script(
        &self,
        (account, script, version): (RecordId, &str, u32),
        retires_older: bool,
        at: Timestamp,
    ) -> Result<ScriptOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "UPDATE script_versions SET state = 'live', published_ms = $4
             WHERE account_id = $1 AND script = $2 AND version = $3 AND state = 'draft'
                AND version = (SELECT max(version) FROM script_versions WHERE account_id = $1 AND script = $2)
             RETURNING *",
        )
        .bind(account)
        .bind(script)
        .bind(i64::from(version))
        .bind(to_ms(at))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            drop(transaction);
            return Ok(ScriptOutcome::Changed(self.script(account, script, None).await?));
        };
        let written = script_of(&row)?;
        if retires_older {
            retire_older(&mut transaction, account, script, version).await?;
        }
        note_published(&mut transaction, &written, at).await?;
        transaction.commit().await?;
        Ok(ScriptOutcome::Written(written))
    }

    pub(in crate::store) async fn retire_script(
        &self,
        account: RecordId,
        script: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE script_versions SET state = 'retired'
             WHERE account_id = $1 AND script = $2 AND state <> 'retired'",
        )
        .bind(account)
        .bind(script)
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn offer_counts(
        &self,
        account: Option<RecordId>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<OfferCount>, StoreError> {
        let query = if account.is_some() {
            sqlx::query(
                "SELECT account_id, script, offer, taken_by, result, count(*) AS times FROM offer_results
                 WHERE account_id = $3 AND at_ms >= $1 AND at_ms < $2 AND NOT EXISTS
                    (SELECT 1 FROM messages WHERE id = message_id AND deleted_ms IS NOT NULL)
                 GROUP BY account_id, script, offer, taken_by, result
                 ORDER BY account_id, script, offer, taken_by LIMIT $4",
            )
        } else {
            sqlx::query(
                "SELECT account_id, script, offer, taken_by, result, count(*) AS times FROM offer_results
                 WHERE $3 IS NULL AND at_ms >= $1 AND at_ms < $2 AND NOT EXISTS
                    (SELECT 1 FROM messages WHERE id = message_id AND deleted_ms IS NOT NULL)
                 GROUP BY account_id, script, offer, taken_by, result
                 ORDER BY account_id, script, offer, taken_by LIMIT $4",
            )
        };
        let rows = query
            .bind(to_ms(from))
            .bind(to_ms(to))
            .bind(account)
            .bind(i64::from(OFFER_COUNTS_MAX))
            .fetch_all(self.readers())
            .await?;
        let mut counts: Vec<OfferCount> = Vec::new();
        for row in &rows {
            let one = OfferCount {
                account: row.try_get("account_id")?,
                script: row.try_get("script")?,
                offer: row.try_get("offer")?,
                by: row.try_get("taken_by")?,
                accepted: 0,
                declined: 0,
                later: 0,
            };
            let is_same = |last: &OfferCount| {
                (last.account, &last.script, &last.offer, last.by)
                    == (one.account, &one.script, &one.offer, one.by)
            };
            if !counts.last().is_some_and(is_same) {
                counts.push(one);
            }
            let times = u64::try_from(row.try_get::<i64, _>("times")?).unwrap_or(0);
            let Some(last) = counts.last_mut() else { continue };
            match OfferResult::parse(row.try_get("result")?) {
                Some(OfferResult::Accepted) => last.accepted += times,
                Some(OfferResult::Declined) => last.declined += times,
                Some(OfferResult::Later) => last.later += times,
                None => {}
            }
        }
        Ok(counts)
    }
}

/// Says that a version of a script is used from now on.
async fn note_published(
    db: &mut DbConnection,
    script: &ScriptRecord,
    at: Timestamp,
) -> Result<(), StoreError> {
    let data = json!({
        "kind": "script", "account": script.account, "name": script.script, "version": script.version,
        "by_name": script.by_name,
    });
    Ok(note(db, EventKind::DocumentPublished, &data, at).await?)
}

/// A version that is valid on all days takes the place of those before it.
async fn retire_older(
    db: &mut DbConnection,
    account: RecordId,
    script: &str,
    version: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE script_versions SET state = 'retired'
         WHERE account_id = $1 AND script = $2 AND version < $3 AND state <> 'retired'",
    )
    .bind(account)
    .bind(script)
    .bind(i64::from(version))
    .execute(db)
    .await?;
    Ok(())
}

/// Writes the offers of a message's content, which is written in the same transaction.
pub(super) async fn write_offers(
    db: &mut DbConnection,
    message: RecordId,
    written: &ContentChange,
    at: Timestamp,
) -> Result<(), StoreError> {
    let fields = written.content.fields();
    if written.version > 0 {
        sqlx::query("DELETE FROM offer_results WHERE message_id = $1")
            .bind(message)
            .execute(&mut *db)
            .await?;
    }
    let Some(script) = &fields.script else { return Ok(()) };
    for offer in &fields.offers {
        sqlx::query(
            "INSERT INTO offer_results (message_id, offer, account_id, script, taken_by, result, at_ms)
             SELECT id, $2, account_id, $3, taken_by, $4, $5 FROM messages WHERE id = $1
             ON CONFLICT (message_id, offer) DO NOTHING",
        )
        .bind(message)
        .bind(&offer.id)
        .bind(&script.id)
        .bind(offer.result.as_str())
        .bind(to_ms(at))
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

fn listed(rows: &[DbRow]) -> Result<Vec<ScriptRecord>, StoreError> {
    let without_text = |row: &DbRow| Ok(ScriptRecord { body: None, ..script_of(row)? });
    Ok(rows.iter().map(without_text).collect::<Result<_, sqlx::Error>>()?)
}

fn script_of(row: &DbRow) -> Result<ScriptRecord, sqlx::Error> {
    let small = |value: i64| u32::try_from(value).unwrap_or(0);
    Ok(ScriptRecord {
        account: row.try_get("account_id")?,
        script: row.try_get("script")?,
        version: small(row.try_get("version")?),
        state: ScriptState::parse(row.try_get("state")?).unwrap_or(ScriptState::Retired),
        name: row.try_get("name")?,
        body: Some(row.try_get("body")?),
        by: row.try_get("by_id")?,
        by_name: row.try_get("by_name")?,
        restored: row.try_get::<Option<i64>, _>("restored")?.map(small),
        at: from_ms(row.try_get("at_ms")?),
        published_at: row.try_get::<Option<i64>, _>("published_ms")?.map(from_ms),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::message::{MessageFields, MessageKind, MessageUpdate, NewMessage, message_id};
    use crate::contract::records::AccountFields;
    use crate::ids::PbxId;
    use crate::numbers::NumberPlan;
    use crate::store::Store;
    use crate::store::erasure::RemovalStep;

    const HANA: RecordId = RecordId(Uuid::from_u128(1));

    fn at(ms: i64) -> Timestamp {
        from_ms(ms)
    }

    async fn account(store: &Store, code: &str) -> RecordId {
        let fields = AccountFields { code: code.into(), name: "x".into(), ..AccountFields::default() };
        let checked = fields.checked(&NumberPlan::default()).unwrap();
        store.create_account(&checked, at(1)).await.unwrap().id
    }

    fn new(account: RecordId, script: &str, version: u32, publishes: bool) -> NewScript {
        NewScript {
            account,
            script: script.into(),
            version,
            name: "通常".into(),
            body: format!("# {version}"),
            publishes,
            retires_older: true,
            restored: None,
            by: HANA,
            by_name: "花".into(),
        }
    }

    async fn write(store: &Store, new: NewScript, ms: i64) -> ScriptRecord {
        match store.write_script(&new, at(ms)).await.unwrap() {
            ScriptOutcome::Written(record) => record,
            other => panic!("{other:?}"),
        }
    }

    fn states(records: &[ScriptRecord]) -> Vec<(u32, ScriptState)> {
        records.iter().map(|record| (record.version, record.state)).collect()
    }

    #[tokio::test]
    async fn a_version_is_saved_over_the_one_before_it_and_never_changes() {
        let (_held, store) = super::super::empty_store().await;
        let of = account(&store, "A1").await;
        let first = write(&store, new(of, "usual", 0, false), 2).await;
        assert_eq!((first.version, first.state, first.published_at), (1, ScriptState::Draft, None));
        let stale = store.write_script(&new(of, "usual", 0, true), at(3)).await.unwrap();
        assert_eq!(stale, ScriptOutcome::Changed(Some(first.clone())));
        let none = store.write_script(&new(of, "other", 3, true), at(3)).await.unwrap();
        assert_eq!(none, ScriptOutcome::Changed(None));
        write(&store, new(of, "usual", 1, true), 4).await;
        assert_eq!(store.script(of, "usual", Some(1)).await.unwrap().unwrap().body.as_deref(), Some("# 0"));
        assert_eq!(store.script(of, "usual", None).await.unwrap().unwrap().version, 2);
        assert_eq!(store.script(of, "usual", Some(9)).await.unwrap(), None);
        let versions = store.script_versions(of, "usual").await.unwrap();
        assert_eq!(states(&versions), [(2, ScriptState::Live), (1, ScriptState::Retired)]);
        assert!(versions.iter().all(|version| version.body.is_none()));
    }

    #[tokio::test]
    async fn live_versions_stay_until_one_for_all_days_takes_their_place() {
        let (_held, store) = super::super::empty_store().await;
        let of = account(&store, "A1").await;
        let before = store.scripts_version().await.unwrap();
        write(&store, new(of, "usual", 0, true), 2).await;
        let later = NewScript { retires_older: false, ..new(of, "usual", 1, false) };
        let draft = write(&store, later, 3).await;
        let published = store.publish_script((of, "usual", 2), false, at(4)).await.unwrap();
        let expected = ScriptRecord { state: ScriptState::Live, published_at: Some(at(4)), ..draft };
        assert_eq!(published, ScriptOutcome::Written(expected.clone()));
        let again = store.publish_script((of, "usual", 2), false, at(5)).await.unwrap();
        assert_eq!(again, ScriptOutcome::Changed(Some(expected)), "it is no draft any more");
        let (live, version) = store.live_scripts().await.unwrap();
        assert_eq!(states(&live), [(1, ScriptState::Live), (2, ScriptState::Live)]);
        assert!(version > before && live[1].body.is_some());
        write(&store, new(of, "usual", 2, true), 6).await;
        write(&store, new(of, "night", 0, false), 7).await;
        let listed = store.scripts(of).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|r| (r.script.as_str(), r.version, r.state)).collect();
        assert_eq!(listed, [("night", 1, ScriptState::Draft), ("usual", 3, ScriptState::Live)]);
        assert!(store.retire_script(of, "usual").await.unwrap());
        assert!(!store.retire_script(of, "usual").await.unwrap());
        assert_eq!(store.live_scripts().await.unwrap().0, []);
        store.delete_account(of, at(8)).await.unwrap();
        while store.remove_step(10).await.unwrap() != RemovalStep::Idle {}
        assert_eq!(store.scripts(of).await.unwrap(), []);
    }

    #[tokio::test]
    async fn of_two_people_who_save_at_once_one_is_refused() {
        let (_held, store) = super::super::empty_store().await;
        let of = account(&store, "A1").await;
        let (one, two) = (new(of, "usual", 0, true), new(of, "usual", 0, true));
        let (one, two) = tokio::join!(store.write_script(&one, at(2)), store.write_script(&two, at(2)));
        let written = [one.unwrap(), two.unwrap()];
        assert_eq!(
            written.iter().filter(|o| matches!(o, ScriptOutcome::Written(_))).count(),
            1,
            "{written:?}"
        );
    }

    #[tokio::test]
    async fn an_account_has_a_limited_number_of_scripts_and_must_exist() {
        let (_held, store) = super::super::empty_store().await;
        let of = account(&store, "A1").await;
        for n in 0..SCRIPTS_PER_ACCOUNT_MAX {
            write(&store, new(of, &format!("s{n}"), 0, true), 2).await;
        }
        let one_more = store.write_script(&new(of, "more", 0, true), at(2)).await.unwrap();
        assert_eq!(one_more, ScriptOutcome::TooMany);
        write(&store, new(of, "s0", 1, true), 3).await;
        let nobody = RecordId(Uuid::from_u128(99));
        assert!(store.write_script(&new(nobody, "usual", 0, true), at(2)).await.is_err());
    }

    #[tokio::test]
    async fn offers_are_counted_by_account_and_operator() {
        let (_held, store) = super::super::empty_store().await;
        let (a, b) = (account(&store, "A1").await, account(&store, "A2").await);
        let pbx = PbxId::parse("lab").unwrap();
        let content = |results: &[(&str, &str)]| {
            let offers: Vec<_> =
                results.iter().map(|(id, result)| json!({"id": id, "result": result})).collect();
            let fields = json!({"text": "x", "script": {"id": "usual", "version": 1}, "offers": offers});
            serde_json::from_value::<MessageFields>(fields).unwrap().checked(&NumberPlan::default()).unwrap()
        };
        let mut taken = Vec::new();
        for (n, (of, results)) in [
            (a, &[("tea", "accepted"), ("pot", "later")][..]),
            (a, &[("tea", "declined")]),
            (a, &[("tea", "accepted")]),
            (b, &[("tea", "accepted")]),
        ]
        .into_iter()
        .enumerate()
        {
            let message = NewMessage {
                id: message_id(HANA, Some(&n.to_string())),
                account: of,
                call: None,
                customer: None,
                kind: MessageKind::Message,
                taken_by: Some(HANA),
                taken_by_name: "花".into(),
                caller: None,
                content: content(results),
                day: "261129".into(),
                not_before: at(10),
            };
            taken.push(store.create_message(&message, &pbx, at(10)).await.unwrap().0);
        }
        let counted = async |account, to| {
            let counts = store.offer_counts(account, (at(0), at(to))).await.unwrap();
            counts
                .iter()
                .map(|c| (c.account, c.offer.clone(), c.accepted, c.declined, c.later))
                .collect::<Vec<_>>()
        };
        let (pot, tea) = ((a, "pot".to_owned(), 0, 0, 1), |yes, no| (a, "tea".to_owned(), yes, no, 0));
        assert_eq!(counted(Some(a), 20).await, [pot.clone(), tea(2, 1)]);
        assert_eq!(counted(None, 20).await.len(), 3);
        assert_eq!(counted(Some(a), 10).await, []);
        // A correction counts as it is now, and a message that was withdrawn not at all.
        let change = ContentChange {
            content: content(&[("tea", "accepted")]),
            version: taken[1].version,
            by: Some(HANA),
            by_name: "花".into(),
            correction: None,
            not_before: at(11),
        };
        let update = MessageUpdate { content: Some(change), acknowledged_by: None };
        store.change_message(taken[1].id, &update, at(11)).await.unwrap();
        store.withdraw_message(taken[2].id, at(0), at(12)).await.unwrap();
        assert_eq!(counted(Some(a), 20).await, [pot, tea(2, 0)]);
    }
}
