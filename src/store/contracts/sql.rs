//! The SQL of contracts.

use sqlx::Row;
use uuid::Uuid;

use super::{Backend, DbRow};
use crate::ids::RecordId;
use crate::store::contracts::StoredContract;
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn contract(
        &self,
        account: RecordId,
    ) -> Result<Option<StoredContract>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT k.* FROM contracts AS k WHERE k.account_id = $1 AND ",
            account_is_kept!("k")
        ))
        .bind(account)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(contract_of).transpose()?)
    }

    pub(in crate::store) async fn contracts(
        &self,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<StoredContract>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT k.* FROM contracts AS k WHERE k.account_id > $1 AND ",
            account_is_kept!("k"),
            " ORDER BY k.account_id LIMIT $2"
        ))
        .bind(after.unwrap_or(RecordId(Uuid::nil())))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(contract_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn set_contract(&self, contract: &StoredContract) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO contracts (account_id, contract_json, by_name, changed_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account_id) DO UPDATE SET contract_json = excluded.contract_json,
                by_name = excluded.by_name, changed_ms = excluded.changed_ms",
        )
        .bind(contract.account)
        .bind(serde_json::to_string(&contract.contract).unwrap_or_default())
        .bind(&contract.by_name)
        .bind(to_ms(contract.changed_at))
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the contract", None))?;
        Ok(())
    }

    pub(in crate::store) async fn remove_contract(&self, account: RecordId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM contracts WHERE account_id = $1")
            .bind(account)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn contract_of(row: &DbRow) -> Result<StoredContract, sqlx::Error> {
    let contract = serde_json::from_str(row.try_get("contract_json")?);
    Ok(StoredContract {
        account: row.try_get("account_id")?,
        contract: contract.map_err(|error| sqlx::Error::Decode(error.into()))?,
        by_name: row.try_get("by_name")?,
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;
    use crate::stats::{Contract, Period};

    #[tokio::test]
    async fn a_contract_is_written_read_by_page_and_goes_with_its_account() {
        let (_held, store) = super::super::empty_store().await;
        let at = from_ms(1_760_000_400_000);
        let mut written = Vec::new();
        for code in ["A", "B"] {
            let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
            let fields = fields.checked(&NumberPlan::default()).unwrap();
            let account = store.create_account(&fields, at).await.unwrap().id;
            let contract =
                Contract { formula: "AR-open".into(), goal: 0.9, within_s: 20, period: Period::Month };
            written.push(StoredContract { account, contract, by_name: "花".into(), changed_at: at });
        }
        written.sort_unstable_by_key(|one| one.account);
        for one in &written {
            store.set_contract(one).await.unwrap();
        }
        written[0].contract.goal = 0.8;
        store.set_contract(&written[0]).await.unwrap();
        assert_eq!(store.contract(written[0].account).await.unwrap(), Some(written[0].clone()));
        assert_eq!(store.contracts(None, 10).await.unwrap(), written);
        assert_eq!(store.contracts(Some(written[0].account), 10).await.unwrap(), written[1..]);
        store.delete_account(written[0].account, at).await.unwrap();
        assert_eq!(store.contracts(None, 10).await.unwrap(), written[1..]);
        assert!(store.remove_contract(written[1].account).await.unwrap());
        assert!(!store.remove_contract(written[1].account).await.unwrap());
        let nobody = StoredContract { account: RecordId(Uuid::from_u128(7)), ..written[1].clone() };
        assert!(matches!(store.set_contract(&nobody).await, Err(StoreError::Missing { what: "account" })));
    }
}
