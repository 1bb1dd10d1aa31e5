//! The SQL of account notices, and of the changes of records that wait for the relay.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{Backend, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::contract::notice::{AccountNotice, CheckedNotice, NOTICES_PER_ACCOUNT_MAX};
use crate::ids::{PbxId, RecordId};
use crate::store::account_notices::{
    ChangedBy, NOTICES_IN_MEMORY_MAX, NOTICES_SHOWN_MAX, RECORD_CHANGES_MAX, RecordChange,
};
use crate::store::{StoreError, from_ms, to_ms};

const MISSING: StoreError = StoreError::Missing { what: "notice" };

impl Backend {
    pub(in crate::store) async fn account_notices(
        &self,
        account: Option<RecordId>,
        now: Timestamp,
    ) -> Result<Vec<AccountNotice>, StoreError> {
        // Two statements, because each has its own index.
        let rows = sqlx::query(if account.is_some() {
            "SELECT * FROM account_notices WHERE account_id = $1 AND until_ms > $2 ORDER BY from_ms, id LIMIT $3"
        } else {
            "SELECT * FROM account_notices WHERE $1 IS NULL AND until_ms > $2 ORDER BY from_ms, id LIMIT $3"
        })
        .bind(account)
        .bind(to_ms(now))
        .bind(i64::from(NOTICES_SHOWN_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(notice_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn account_notice(
        &self,
        id: RecordId,
    ) -> Result<Option<AccountNotice>, StoreError> {
        Ok(read(&mut *self.readers().acquire().await?, id).await?)
    }

    /// In one transaction, so that the version belongs to the notices that were read.
    pub(in crate::store) async fn all_account_notices(
        &self,
    ) -> Result<(Vec<AccountNotice>, i64), StoreError> {
        let mut reader = self.begin_reading().await?;
        let version =
            sqlx::query_scalar("SELECT version FROM account_notices_version").fetch_one(&mut *reader).await?;
        let rows = sqlx::query("SELECT * FROM account_notices ORDER BY until_ms, id LIMIT $1")
            .bind(i64::from(NOTICES_IN_MEMORY_MAX))
            .fetch_all(&mut *reader)
            .await?;
        let mut notices = rows.iter().map(notice_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
        notices.sort_by_key(|notice| (notice.from, notice.id));
        Ok((notices, version))
    }

    pub(in crate::store) async fn account_notices_version(&self) -> Result<i64, StoreError> {
        let version = sqlx::query_scalar("SELECT version FROM account_notices_version");
        Ok(version.fetch_one(self.readers()).await?)
    }

    pub(in crate::store) async fn create_account_notice(
        &self,
        notice: &CheckedNotice,
        by: ChangedBy<'_>,
    ) -> Result<Option<AccountNotice>, StoreError> {
        let mut transaction = self.begin().await?;
        let has_account: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = $1)
                AND NOT EXISTS (SELECT 1 FROM account_removals WHERE account_id = $1)",
        )
        .bind(notice.account)
        .fetch_one(&mut *transaction)
        .await?;
        if !has_account {
            return Err(StoreError::Missing { what: "account" });
        }
        let id = RecordId(Uuid::now_v7());
        let written = sqlx::query(
            "INSERT INTO account_notices (id, account_id, text, from_ms, until_ms, by_name, created_ms, changed_ms)
             SELECT $1, $2, $3, $4, $5, $6, $7, $7
             WHERE (SELECT count(*) FROM account_notices WHERE account_id = $2 AND until_ms > $7) < $8",
        )
        .bind(id)
        .bind(notice.account)
        .bind(&notice.text)
        .bind(to_ms(notice.from))
        .bind(to_ms(notice.until))
        .bind(by.name)
        .bind(to_ms(by.at))
        .bind(i64::from(NOTICES_PER_ACCOUNT_MAX))
        .execute(&mut *transaction)
        .await?;
        if written.rows_affected() == 0 {
            return Ok(None);
        }
        let made = read(&mut transaction, id).await?.ok_or(MISSING)?;
        record_change(&mut transaction, EventKind::NoticeChanged, (Some(made.account), id), by).await?;
        transaction.commit().await?;
        Ok(Some(made))
    }

    pub(in crate::store) async fn update_account_notice(
        &self,
        id: RecordId,
        notice: &CheckedNotice,
        by: ChangedBy<'_>,
    ) -> Result<AccountNotice, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "UPDATE account_notices SET text = $2, from_ms = $3, until_ms = $4, by_name = $5, changed_ms = $6
             WHERE id = $1",
        )
        .bind(id)
        .bind(&notice.text)
        .bind(to_ms(notice.from))
        .bind(to_ms(notice.until))
        .bind(by.name)
        .bind(to_ms(by.at))
        .execute(&mut *transaction)
        .await?;
        let changed = read(&mut transaction, id).await?.ok_or(MISSING)?;
        record_change(&mut transaction, EventKind::NoticeChanged, (Some(changed.account), id), by).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    pub(in crate::store) async fn delete_account_notice(
        &self,
        id: RecordId,
        by: ChangedBy<'_>,
    ) -> Result<AccountNotice, StoreError> {
        let mut transaction = self.begin().await?;
        let deleted = read(&mut transaction, id).await?.ok_or(MISSING)?;
        sqlx::query("DELETE FROM account_notices WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        record_change(&mut transaction, EventKind::NoticeChanged, (Some(deleted.account), id), by).await?;
        transaction.commit().await?;
        Ok(deleted)
    }

    pub(in crate::store) async fn record_changes(
        &self,
        pbx: &PbxId,
    ) -> Result<Vec<RecordChange>, StoreError> {
        let rows = sqlx::query(
            "SELECT position, kind, account_id, subject_id, at_ms FROM record_changes WHERE pbx = $1
             ORDER BY position LIMIT $2",
        )
        .bind(pbx.as_str())
        .bind(i64::from(RECORD_CHANGES_MAX))
        .fetch_all(self.readers())
        .await?;
        let change = |row: &DbRow| {
            Ok(RecordChange {
                position: row.try_get("position")?,
                // A newer program may have written a kind that this one does not publish.
                kind: EventKind::parse(row.try_get("kind")?).unwrap_or(EventKind::NoticeChanged),
                account: row.try_get("account_id")?,
                subject: row.try_get("subject_id")?,
                at: from_ms(row.try_get("at_ms")?),
            })
        };
        Ok(rows.iter().map(change).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn delete_record_changes(
        &self,
        pbx: &PbxId,
        up_to: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM record_changes WHERE pbx = $1 AND position <= $2")
            .bind(pbx.as_str())
            .bind(up_to)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }
}

/// Writes down that a record changed, for the relay.
pub(super) async fn record_change(
    db: &mut DbConnection,
    kind: EventKind,
    (account, subject): (Option<RecordId>, RecordId),
    by: ChangedBy<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO record_changes (pbx, kind, account_id, subject_id, at_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(by.pbx.as_str())
    .bind(kind.as_str())
    .bind(account)
    .bind(subject)
    .bind(to_ms(by.at))
    .execute(db)
    .await?;
    Ok(())
}

async fn read(db: &mut DbConnection, id: RecordId) -> Result<Option<AccountNotice>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM account_notices WHERE id = $1").bind(id).fetch_optional(db).await?;
    row.as_ref().map(notice_of).transpose()
}

fn notice_of(row: &DbRow) -> Result<AccountNotice, sqlx::Error> {
    Ok(AccountNotice {
        id: row.try_get("id")?,
        account: row.try_get("account_id")?,
        text: row.try_get("text")?,
        from: from_ms(row.try_get("from_ms")?),
        until: from_ms(row.try_get("until_ms")?),
        by_name: row.try_get("by_name")?,
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;
    use crate::store::Store;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn notice(account: RecordId, text: &str, until: i64) -> CheckedNotice {
        CheckedNotice { account, text: text.to_owned(), from: at(0), until: at(until) }
    }

    async fn account(store: &Store, code: &str) -> RecordId {
        let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
        let checked = fields.checked(&NumberPlan::default()).unwrap();
        store.create_account(&checked, at(0)).await.unwrap().id
    }

    #[tokio::test]
    async fn a_notice_is_kept_until_its_end_and_each_change_waits_for_the_relay() {
        let (_held, store) = super::super::empty_store().await;
        let (a, b) = (account(&store, "A").await, account(&store, "B").await);
        let (lab, osaka) = (PbxId::parse("lab").unwrap(), PbxId::parse("osaka").unwrap());
        let by = |name, at| ChangedBy { name, pbx: &lab, at };
        let version = store.account_notices_version().await.unwrap();
        let first = store.create_account_notice(&notice(a, "社長は終日外出", 100), by("佐藤", at(1))).await;
        let first = first.unwrap().unwrap();
        assert_eq!((first.text.as_str(), first.by_name.as_str()), ("社長は終日外出", "佐藤"));
        assert_eq!(store.account_notice(first.id).await.unwrap(), Some(first.clone()));
        let other =
            store.create_account_notice(&notice(b, "休業", 50), by("鈴木", at(2))).await.unwrap().unwrap();
        assert_eq!(store.account_notices(Some(a), at(3)).await.unwrap(), std::slice::from_ref(&first));
        assert_eq!(store.account_notices(None, at(3)).await.unwrap(), [first.clone(), other.clone()]);
        assert_eq!(
            store.account_notices(None, at(50)).await.unwrap(),
            std::slice::from_ref(&first),
            "the other is over"
        );
        let changed = notice(b, "社長は15時まで外出", 80);
        let changed = store.update_account_notice(first.id, &changed, by("鈴木", at(4))).await.unwrap();
        assert_eq!((changed.account, changed.text.as_str()), (a, "社長は15時まで外出"), "its account stays");
        assert_eq!((changed.by_name.as_str(), changed.created_at), ("鈴木", at(1)));
        let (all, now) = store.all_account_notices().await.unwrap();
        assert_eq!((all, now > version), (vec![changed.clone(), other.clone()], true));
        assert_eq!(store.delete_account_notice(other.id, by("佐藤", at(5))).await.unwrap(), other);
        let gone = store.delete_account_notice(other.id, by("佐藤", at(5))).await;
        assert!(matches!(gone, Err(StoreError::Missing { what: "notice" })));
        let gone = store.update_account_notice(other.id, &notice(b, "x", 80), by("佐藤", at(5))).await;
        assert!(matches!(gone, Err(StoreError::Missing { what: "notice" })));

        let changes = store.record_changes(&lab).await.unwrap();
        let subjects: Vec<_> = changes.iter().map(|change| (change.account, change.subject)).collect();
        let (a_first, b_other) = ((Some(a), first.id), (Some(b), other.id));
        assert_eq!(subjects, [a_first, b_other, a_first, b_other]);
        assert!(changes.iter().all(|change| change.kind == EventKind::NoticeChanged));
        assert_eq!(store.record_changes(&osaka).await.unwrap(), []);
        store.delete_record_changes(&osaka, changes[3].position).await.unwrap();
        store.delete_record_changes(&lab, changes[1].position).await.unwrap();
        assert_eq!(store.record_changes(&lab).await.unwrap(), changes[2..]);
        store.delete_account(a, at(6)).await.unwrap();
        let refused = store.create_account_notice(&notice(a, "x", 80), by("佐藤", at(7))).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "account" })), "it is being removed");
    }

    #[tokio::test]
    async fn an_account_has_a_limit_of_notices_that_are_not_over() {
        let (_held, store) = super::super::empty_store().await;
        let a = account(&store, "A").await;
        let pbx = PbxId::parse("lab").unwrap();
        let by = |at| ChangedBy { name: "佐藤", pbx: &pbx, at };
        for n in 0..=NOTICES_PER_ACCOUNT_MAX {
            let made = store.create_account_notice(&notice(a, "x", 50), by(at(1))).await.unwrap();
            assert_eq!(made.is_some(), n < NOTICES_PER_ACCOUNT_MAX, "{n}");
        }
        assert!(store.create_account_notice(&notice(a, "x", 99), by(at(60))).await.unwrap().is_some());
    }
}
