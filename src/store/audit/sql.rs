//! The SQL of the audit trail.

use jiff::{SignedDuration, Timestamp};
use sqlx::Row;
use sqlx::query::Query;

use super::{Backend, Db, DbArguments, DbConnection, DbRow};
use crate::contract::audit::AuditEntry;
use crate::contract::supervision::SupervisionId;
use crate::ids::RecordId;
use crate::store::audit::{AuditFilter, AuditPage};
use crate::store::{StoreError, from_ms, to_ms};

/// How far the clock may have been set back between a session's creation and its entries.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(1);

/// $1 the beginning of the action; $2 to $5 the person: whether there is one, record, extension, name; $6 the call; $7
/// and $8 the time; $9 to $11 the visibility filter: whether there is one, the reader, the extensions as `,1001,1002,`;
/// $12 the position that the page begins before; $13 the limit; $14 the people of the visibility filter, as the
/// extensions; $15 the record of the person, as text; $16 the record that it is about.
const ENTRIES: &str = "
    SELECT * FROM audit
    WHERE substr(action, 1, length($1)) = $1
        AND (NOT $2 OR actor_id = $3 OR subject = $4 OR actor = $5 OR subject_id = $15)
        AND ($6 IS NULL OR call_id = $6)
        AND ($16 IS NULL OR subject_id = $16 OR subject = $16)
        AND ($7 IS NULL OR at_ms >= $7)
        AND ($8 IS NULL OR at_ms < $8)
        AND (NOT $9 OR actor_id = $10
            OR (action LIKE 'supervision.%' OR action LIKE 'help.%' OR action LIKE 'operator.%')
                AND CASE WHEN subject_id IS NULL THEN replace($11, ',' || subject || ',', '') <> $11
                    ELSE replace($14, ',' || subject_id || ',', '') <> $14 END)
        AND ($12 IS NULL OR position < $12)
    ORDER BY position DESC LIMIT $13";

impl Backend {
    pub(in crate::store) async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        insert(
            "INSERT INTO audit (at_ms, actor_id, actor, action, subject, call_id, details_json, subject_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            entry,
        )
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn audit(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<AuditPage, StoreError> {
        let person = filter.person.clone().unwrap_or_default();
        let visible = filter.visibility.as_ref();
        let extensions = visible.iter().flat_map(|visible| &visible.extensions);
        let extensions = extensions.fold(",".to_owned(), |list, extension| list + extension.as_str() + ",");
        let people = visible.iter().flat_map(|visible| &visible.people);
        let people = people.fold(",".to_owned(), |list, person| list + &person.to_string() + ",");
        let rows = sqlx::query(ENTRIES)
            .bind(&filter.action)
            .bind(filter.person.is_some())
            .bind(person.id)
            .bind(person.extension.as_ref().map(|extension| extension.as_str().to_owned()))
            .bind(person.name)
            .bind(filter.call)
            .bind(filter.from.map(to_ms))
            .bind(filter.to.map(to_ms))
            .bind(visible.is_some())
            .bind(visible.map(|visible| visible.reader))
            .bind(extensions)
            .bind(before)
            .bind(i64::from(limit) + 1)
            .bind(people)
            .bind(person.id.map(|id| id.to_string()))
            .bind(&filter.about)
            .fetch_all(self.readers())
            .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let last = rows.get(limit.saturating_sub(1)).filter(|_| rows.len() > limit);
        let next = last.map(|row| row.try_get("position")).transpose()?;
        let items = rows.iter().take(limit).map(entry_of).collect::<Result<_, sqlx::Error>>()?;
        Ok(AuditPage { items, next })
    }

    pub(in crate::store) async fn audit_of_supervision(
        &self,
        id: SupervisionId,
        since: Timestamp,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let from = since.checked_sub(CLOCK_SLACK).unwrap_or(since);
        let rows = sqlx::query(
            "WITH own AS (SELECT * FROM audit
                WHERE at_ms >= $1 AND action LIKE 'supervision.%' AND details_json LIKE $2)
             SELECT * FROM own WHERE position IN (SELECT position FROM own ORDER BY position LIMIT 2)
                OR position = (SELECT max(position) FROM own)
             ORDER BY position",
        )
        .bind(to_ms(from))
        .bind(format!("%\"id\":\"{id}\"%"))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(entry_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Writes an entry unless it exists: an attempt whose outcome is unknown is made again.
pub(super) async fn write_audit(db: &mut DbConnection, entry: &AuditEntry) -> Result<(), StoreError> {
    insert(
        "INSERT INTO audit (at_ms, actor_id, actor, action, subject, call_id, details_json, subject_id)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT 1 FROM audit
            WHERE at_ms = $1 AND actor = $3 AND action = $4 AND subject = $5 AND details_json = $7)",
        entry,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn insert(sql: &'static str, entry: &AuditEntry) -> Query<'static, Db, DbArguments> {
    sqlx::query(sql)
        .bind(to_ms(entry.at))
        .bind(entry.actor)
        .bind(entry.actor_name.clone())
        .bind(entry.action.clone())
        .bind(entry.subject.clone())
        .bind(entry.call)
        .bind(entry.details.to_string())
        .bind(entry.subject_id.map(|id| id.to_string()))
}

fn entry_of(row: &DbRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        at: from_ms(row.try_get("at_ms")?),
        actor: row.try_get("actor_id")?,
        actor_name: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        subject_id: row
            .try_get::<Option<&str>, _>("subject_id")?
            .and_then(|id| id.parse().map(RecordId).ok()),
        call: row.try_get("call_id")?,
        details: serde_json::from_str(row.try_get("details_json")?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{CallId, ChannelId, Extension, PbxId};
    use crate::journal::entry::JournalEntry;
    use crate::store::Store;
    use crate::store::audit::{AuditPerson, AuditVisibilityFilter};

    const ITO: RecordId = RecordId(Uuid::from_u128(1));
    const WATANABE: RecordId = RecordId(Uuid::from_u128(2));
    /// An operator of Ito's team, who sits at 1003 for once.
    const SATO: RecordId = RecordId(Uuid::from_u128(3));

    fn extension(digits: &str) -> Extension {
        Extension::parse(digits).unwrap()
    }

    fn a_call() -> CallId {
        CallId::derive(&PbxId::parse("t").unwrap(), &ChannelId::parse("1.1").unwrap())
    }

    fn entry(second: i64, actor: RecordId, action: &str, subject: &str) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_second(1_700_000_000 + second).unwrap(),
            actor: Some(actor),
            actor_name: if actor == ITO { "伊藤" } else { "渡辺" }.into(),
            action: action.into(),
            subject: subject.into(),
            subject_id: None,
            call: (second == 3).then(a_call),
            details: json!({ "id": Uuid::from_u128(9), "mode": "listen", "n": second }),
        }
    }

    async fn filled() -> (impl Sized, Store) {
        let (held, store) = super::super::empty_store().await;
        for entry in [
            entry(0, ITO, "supervision.started", "1001"),
            entry(1, WATANABE, "supervision.refused", "1001"),
            entry(2, WATANABE, "supervision.started", "1003"),
            entry(3, ITO, "supervision.stopped", "1001"),
            entry(4, WATANABE, "message.read", "1001"),
        ] {
            store.record_audit(&entry).await.unwrap();
        }
        (held, store)
    }

    #[tokio::test]
    async fn entries_are_found_by_person_call_time_and_visibility() {
        let (_held, store) = filled().await;
        let time = |second: i64| Some(Timestamp::from_second(1_700_000_000 + second).unwrap());
        let person = |id, extension, name: Option<&str>| {
            Some(AuditPerson { id, extension, name: name.map(str::to_owned) })
        };
        let extensions = vec![extension("1001"), extension("1002")];
        let visibility = Some(AuditVisibilityFilter { reader: ITO, people: vec![SATO], extensions });
        let filter = AuditFilter::default;
        for (filter, expected) in [
            (filter(), vec![4, 3, 2, 1, 0]),
            (AuditFilter { action: "supervision.".into(), ..filter() }, vec![3, 2, 1, 0]),
            (AuditFilter { person: person(Some(ITO), None, None), ..filter() }, vec![3, 0]),
            (AuditFilter { person: person(None, None, Some("渡辺")), ..filter() }, vec![4, 2, 1]),
            (AuditFilter { person: person(None, Some(extension("1003")), None), ..filter() }, vec![2]),
            (AuditFilter { person: person(None, None, Some("nobody")), ..filter() }, vec![]),
            (AuditFilter { call: Some(a_call()), ..filter() }, vec![3]),
            (AuditFilter { about: Some("1003".into()), ..filter() }, vec![2]),
            (AuditFilter { about: Some("nobody".into()), ..filter() }, vec![]),
            (AuditFilter { from: time(1), to: time(3), ..filter() }, vec![2, 1]),
            // Another supervisor's attempt at a visible operator; not that at another team's, and not another kind of action.
            (AuditFilter { visibility, ..filter() }, vec![3, 1, 0]),
        ] {
            let found = store.audit(&filter, None, 100).await.unwrap();
            let seconds: Vec<_> = found.items.iter().map(|e| e.details["n"].as_i64().unwrap()).collect();
            assert_eq!(seconds, expected, "{filter:?}");
            assert_eq!(found.next, None);
        }
    }

    #[tokio::test]
    async fn an_entry_that_exists_is_not_added_again() {
        let (_held, store) = filled().await;
        let all = |page: AuditPage| page.items.len();
        let before = all(store.audit(&AuditFilter::default(), None, 100).await.unwrap());
        let record = async |entry: AuditEntry| {
            let entry = JournalEntry::Audit(Box::new(entry));
            store.write_entry(&PbxId::parse("t").unwrap(), &entry).await.unwrap();
        };
        record(entry(0, ITO, "supervision.started", "1001")).await;
        assert_eq!(all(store.audit(&AuditFilter::default(), None, 100).await.unwrap()), before);
        record(entry(8, ITO, "supervision.started", "1001")).await;
        assert_eq!(all(store.audit(&AuditFilter::default(), None, 100).await.unwrap()), before + 1);
    }

    #[tokio::test]
    async fn pages_follow_each_other_whatever_is_added() {
        let (_held, store) = filled().await;
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = store.audit(&AuditFilter::default(), before, 2).await.unwrap();
            seen.extend(page.items.iter().map(|e| e.details["n"].as_i64().unwrap()));
            store.record_audit(&entry(9, ITO, "supervision.started", "1001")).await.unwrap();
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, [4, 3, 2, 1, 0]);
    }

    #[tokio::test]
    async fn a_session_is_found_by_its_first_entries_and_its_newest() {
        let (_held, store) = filled().await;
        let since = Timestamp::from_second(1_700_000_000).unwrap();
        let found = store.audit_of_supervision(SupervisionId(Uuid::from_u128(9)), since).await.unwrap();
        let actions: Vec<_> = found.into_iter().map(|entry| entry.action).collect();
        assert_eq!(actions.last().map(String::as_str), Some("supervision.stopped"), "{actions:?}");
        assert!(actions.len() <= 3, "{actions:?}");
        let other = store.audit_of_supervision(SupervisionId(Uuid::from_u128(8)), since).await.unwrap();
        assert_eq!(other, []);
    }
}
