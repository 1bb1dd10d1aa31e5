//! The SQL of customers' changes and merges.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::customers::{claim, replace};
use super::deletions::note_merge;
use super::{Backend, DbRow};
use crate::contract::records::{CheckedCustomer, Customer};
use crate::ids::RecordId;
use crate::store::customer_changes::{CHANGES_PER_CUSTOMER_MAX, CustomerAction, CustomerChange};
use crate::store::deletions::DeletedBy;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn add_customer_change(
        &self,
        customer: RecordId,
        change: &CustomerChange,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO customer_changes (id, customer_id, action, by_name, at_ms, fields_json)
             SELECT $1, id, $3, $4, $5, $6 FROM customers WHERE id = $2",
        )
        .bind(RecordId(Uuid::now_v7()))
        .bind(customer)
        .bind(change.action.as_str())
        .bind(&change.by_name)
        .bind(to_ms(change.at))
        .bind(change.fields.to_string())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM customer_changes WHERE customer_id = $1 AND id NOT IN (
                SELECT id FROM customer_changes WHERE customer_id = $1 ORDER BY id DESC LIMIT $2)",
        )
        .bind(customer)
        .bind(i64::from(CHANGES_PER_CUSTOMER_MAX))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn customer_changes(
        &self,
        customer: RecordId,
    ) -> Result<Vec<CustomerChange>, StoreError> {
        let rows = sqlx::query(
            "SELECT action, by_name, at_ms, fields_json FROM customer_changes WHERE customer_id = $1 ORDER BY id DESC",
        )
        .bind(customer)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(change_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn merge_customers(
        &self,
        (kept, kept_seen): (RecordId, Timestamp),
        (gone, gone_seen): (RecordId, Timestamp),
        merged: &CheckedCustomer,
        by: DeletedBy<'_>,
    ) -> Result<Customer, StoreError> {
        let mut transaction = self.begin().await?;
        // In the order of the ids, so that two merges do not wait for each other.
        let mut both = [(kept, kept_seen), (gone, gone_seen)];
        both.sort_unstable();
        for (id, seen) in both {
            claim(&mut transaction, id, Some(seen)).await?;
        }
        note_merge(&mut transaction, gone, kept, by).await?;
        // First, because a code is one customer's.
        sqlx::query("DELETE FROM customers WHERE id = $1").bind(gone).execute(&mut *transaction).await?;
        let customer = replace(&mut transaction, kept, merged, by.at).await?;
        transaction.commit().await?;
        Ok(customer)
    }

    /// Moves calls and messages from a customer to another; returns how many.
    pub(in crate::store) async fn move_of_customer(
        &self,
        from: RecordId,
        to: RecordId,
        rows: i64,
    ) -> Result<u64, StoreError> {
        let mut moved = 0;
        for (part, statement) in [
            (
                "call",
                "UPDATE calls SET customer_id = $2 WHERE id IN (SELECT id FROM calls WHERE customer_id = $1 LIMIT $3)
                 RETURNING id",
            ),
            (
                "message",
                "UPDATE messages SET customer_id = $2 WHERE id IN (
                    SELECT id FROM messages WHERE customer_id = $1 LIMIT $3) RETURNING id",
            ),
        ] {
            let mut transaction = self.begin().await?;
            let ids: Vec<RecordId> = sqlx::query_scalar(statement)
                .bind(from)
                .bind(to)
                .bind(rows)
                .fetch_all(&mut *transaction)
                .await?;
            if !ids.is_empty() {
                let mut query =
                    QueryBuilder::new("INSERT INTO merged_rows (id, customer_id, kept_id, part) ");
                query.push_values(&ids, |mut row, id| {
                    row.push_bind(*id).push_bind(from).push_bind(to).push_bind(part);
                });
                // A row that an earlier merge moved to the customer who goes now.
                query.push(
                    " ON CONFLICT (id) DO UPDATE SET customer_id = excluded.customer_id, kept_id = excluded.kept_id",
                );
                query.build().execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            moved += ids.len() as u64;
        }
        Ok(moved)
    }
}

fn change_of(row: &DbRow) -> Result<CustomerChange, sqlx::Error> {
    let action: String = row.try_get("action")?;
    let fields: String = row.try_get("fields_json")?;
    Ok(CustomerChange {
        action: CustomerAction::parse(&action).unwrap_or(CustomerAction::Changed),
        by_name: row.try_get("by_name")?,
        at: from_ms(row.try_get("at_ms")?),
        fields: serde_json::from_str(&fields).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::records::{AccountFields, CustomerFields};
    use crate::numbers::NumberPlan;
    use crate::store::Store;
    use crate::store::deletions::{DeletedKind, UNDO_TTL};

    fn at(ms: i64) -> Timestamp {
        from_ms(ms)
    }

    fn by(ms: i64) -> DeletedBy<'static> {
        DeletedBy { name: "佐藤", at: at(ms) }
    }

    fn change(n: u32) -> CustomerChange {
        let fields = json!({"kana": {"before": "", "after": n.to_string()}});
        CustomerChange {
            action: CustomerAction::Changed,
            by_name: "佐藤".into(),
            at: at(i64::from(n)),
            fields,
        }
    }

    async fn two(store: &Store) -> (Customer, Customer) {
        let account =
            AccountFields { code: "A001".into(), name: "さくら商事".into(), ..AccountFields::default() };
        let account =
            store.create_account(&account.checked(&NumberPlan::default()).unwrap(), at(0)).await.unwrap();
        let create = async |name: &str, code: &str, number: &str| {
            let fields = CustomerFields {
                code: Some(code.into()),
                numbers: vec![number.into()],
                ..CustomerFields::named(account.id, name)
            };
            let checked = fields.checked(&NumberPlan::default()).unwrap();
            store.create_customer(&checked, at(0)).await.unwrap()
        };
        (create("田中", "C1", "09011112222").await, create("田中様", "C2", "09033334444").await)
    }

    #[tokio::test]
    async fn the_changes_of_a_customer_are_kept_up_to_a_limit_and_go_with_it() {
        let (_dir, store) = super::super::empty_store().await;
        let (customer, _) = two(&store).await;
        for n in 0..CHANGES_PER_CUSTOMER_MAX + 5 {
            store.add_customer_change(customer.id, &change(n)).await.unwrap();
        }
        let kept = store.customer_changes(customer.id).await.unwrap();
        assert_eq!(kept.len(), CHANGES_PER_CUSTOMER_MAX as usize);
        assert_eq!(kept[0], change(CHANGES_PER_CUSTOMER_MAX + 4), "newest first");
        store.delete_customer(customer.id).await.unwrap();
        assert_eq!(store.customer_changes(customer.id).await.unwrap(), []);
        store.add_customer_change(customer.id, &change(1)).await.unwrap();
        assert_eq!(store.customer_changes(customer.id).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_merge_moves_what_the_other_had_and_is_refused_where_one_was_changed() {
        let (_dir, store) = super::super::empty_store().await;
        let (kept, gone) = two(&store).await;
        let writer = super::super::of(&store).writer();
        for n in 0..600_u32 {
            sqlx::query(
                "INSERT INTO calls (id, pbx, direction, account_id, customer_id, presentation, offered_ms, ended_ms, outcome)
                 VALUES ($1, 'lab', 'inbound', $2, $3, 'allowed', $4, $4, 'answered')",
            )
            .bind(RecordId(Uuid::from_u128(u128::from(n))))
            .bind(kept.fields.account)
            .bind(gone.id)
            .bind(i64::from(n))
            .execute(writer)
            .await
            .unwrap();
        }
        let mut fields = kept.fields.clone();
        fields.code = gone.fields.code.clone();
        fields.numbers.extend(gone.fields.numbers.clone());
        let merged = fields.checked(&NumberPlan::default()).unwrap();
        let stale = store.merge_customers((kept.id, at(7)), (gone.id, at(0)), &merged, by(9)).await;
        assert!(matches!(stale, Err(StoreError::Changed { .. })), "{stale:?}");
        assert!(store.customer(gone.id).await.unwrap().is_some(), "nothing was changed");
        let whole = store.merge_customers((kept.id, at(0)), (gone.id, at(0)), &merged, by(9)).await.unwrap();
        assert_eq!(whole.fields.numbers.len(), 2);
        assert_eq!(whole.fields.code.as_deref(), Some("C2"), "the code of who is gone is free");
        assert_eq!(store.customer(gone.id).await.unwrap(), None);
        let of = async |id: RecordId| -> i64 {
            let query = sqlx::query_scalar("SELECT count(*) FROM calls WHERE customer_id = $1").bind(id);
            query.fetch_one(super::super::of(&store).readers()).await.unwrap()
        };
        assert_eq!((of(kept.id).await, of(gone.id).await), (600, 0));

        // Undone: both are as they were, and each has its calls.
        let own = RecordId(Uuid::from_u128(7_000));
        sqlx::query(
            "INSERT INTO calls (id, pbx, direction, account_id, customer_id, presentation, offered_ms, ended_ms, outcome)
             VALUES ($1, 'lab', 'inbound', $2, $3, 'allowed', 1, 1, 'answered')",
        )
        .bind(own)
        .bind(kept.fields.account)
        .bind(kept.id)
        .execute(super::super::of(&store).writer())
        .await
        .unwrap();
        store
            .add_customer_change(kept.id, &CustomerChange { action: CustomerAction::Merged, ..change(9) })
            .await
            .unwrap();
        let listed = store.deletions(at(10)).await.unwrap();
        assert_eq!(
            (listed[0].kind, listed[0].id, listed[0].name.as_str()),
            (DeletedKind::Merge, gone.id, "田中様")
        );
        let undone = store.undo_deletion(gone.id, &NumberPlan::default(), at(11)).await.unwrap();
        assert_eq!(undone.map(|one| one.kind), Some(DeletedKind::Merge));
        assert_eq!(store.customer(kept.id).await.unwrap().unwrap().fields, kept.fields);
        assert_eq!(store.customer(gone.id).await.unwrap().unwrap().fields, gone.fields);
        assert_eq!((of(kept.id).await, of(gone.id).await), (1, 600));
        assert_eq!(store.customer_changes(kept.id).await.unwrap(), []);
        assert_eq!(super::super::of(&store).merge_over().await.unwrap(), None);

        // Who stays was changed since: it is refused, and what was moved is forgotten with the time for it.
        store.merge_customers((kept.id, at(11)), (gone.id, at(11)), &merged, by(20)).await.unwrap();
        store.update_customer(kept.id, &merged, at(21), None).await.unwrap();
        let late = store.undo_deletion(gone.id, &NumberPlan::default(), at(22)).await;
        assert!(matches!(late, Err(StoreError::Changed { .. })), "{late:?}");
        let over = at(20).checked_add(UNDO_TTL).unwrap();
        store.expire_deletions(over).await.unwrap();
        assert_eq!(super::super::of(&store).merge_over().await.unwrap(), None);
        assert_eq!((of(kept.id).await, of(gone.id).await), (601, 0));
    }
}
