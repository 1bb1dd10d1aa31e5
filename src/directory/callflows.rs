//! How an account's calls are treated, and what the plans of all accounts are compiled from.
//!
//! Invariant: hours, holidays and accounts come from memory, as for a pop; callflows and overrides from the store.

use jiff::Timestamp;

use super::lookup::Directory;
use crate::callflow::{
    CallflowThen, Change, Entries, Finding, Rules, Source, World, base_of, compile, findings,
};
use crate::contract::callflow::{CallflowFields, Override};
use crate::contract::records::Account;
use crate::ids::RecordId;
use crate::store::StoreError;

/// What plans are compiled from.
#[derive(Debug)]
pub struct PlanRecords {
    sources: Vec<Source>,
    overrides: Vec<Override>,
}

impl Directory {
    /// What happens to a call of an account; `None` where the PBX's own dialplan decides: the account has no callflow, and no
    /// override holds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow_at(
        &self,
        account: RecordId,
        at: Timestamp,
    ) -> Result<Option<CallflowThen>, StoreError> {
        let Some(account) = self.account(account) else { return Ok(None) };
        let (fields, overrides) = self.treated_by(&account, at).await?;
        if fields.is_none() && overrides.is_empty() {
            return Ok(None);
        }
        let then = self.with_rules(&account, fields.as_ref(), &overrides, |rules| {
            CallflowThen::at(at, rules, account.id, fields.as_ref())
        });
        Ok(Some(then))
    }

    /// The treatment of an account's calls at the beginning of a time, and each change of it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow_changes(
        &self,
        account: RecordId,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<Change>, StoreError> {
        let Some(account) = self.account(account) else { return Ok(Vec::new()) };
        let (fields, overrides) = self.treated_by(&account, from).await?;
        Ok(self.with_rules(&account, fields.as_ref(), &overrides, |rules| rules.changes(from, to)))
    }

    /// What the plans of all accounts are compiled from at this time. Accounts are those in memory: refresh them first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn plan_records(&self, at: Timestamp) -> Result<PlanRecords, StoreError> {
        let overrides = self.store().overrides(at).await?;
        let mut sources: Vec<Source> = Vec::new();
        for stored in self.store().callflows().await? {
            let account = self.account(stored.account);
            sources.extend(account.map(|account| Source { account, callflow: Some(stored.fields) }));
        }
        for id in overrides.iter().filter_map(|one| one.account) {
            if sources.iter().any(|source| source.account.id == id) {
                continue;
            }
            sources.extend(self.account(id).map(|account| Source { account, callflow: None }));
        }
        Ok(PlanRecords { sources, overrides })
    }

    /// What in the records would treat calls in another way than somebody expects.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow_findings(&self, at: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let records = self.plan_records(at).await?;
        let directory = self.clone();
        let found = tokio::task::spawn_blocking(move || {
            let base = directory.plan_base(at);
            directory.with_world(&records, base, |world| findings(world, at))
        });
        // The task neither panics nor is cancelled.
        Ok(found.await.unwrap_or_default())
    }

    /// The base of the plans of this time; see [`base_of`].
    #[must_use]
    pub fn plan_base(&self, at: Timestamp) -> i64 {
        base_of(at, self.time_zone())
    }

    /// The keys of the plans of these records.
    #[must_use]
    pub fn compile_plans(&self, records: &PlanRecords, base: i64) -> Entries {
        self.with_world(records, base, compile)
    }

    fn with_world<T>(&self, records: &PlanRecords, base: i64, then: impl FnOnce(&World<'_>) -> T) -> T {
        let PlanRecords { sources, overrides } = records;
        let (calendar, zone) = (self.calendar(), self.time_zone());
        then(&World { sources, overrides, calendar: &calendar, zone, plan: self.plan(), base })
    }

    async fn treated_by(
        &self,
        account: &Account,
        at: Timestamp,
    ) -> Result<(Option<CallflowFields>, Vec<Override>), StoreError> {
        let fields = self.store().callflow(account.id).await?.map(|stored| stored.fields);
        let mut overrides = self.store().overrides(at).await?;
        overrides.retain(|one| one.account.is_none_or(|id| id == account.id));
        Ok((fields, overrides))
    }

    fn with_rules<T>(
        &self,
        account: &Account,
        fields: Option<&CallflowFields>,
        overrides: &[Override],
        then: impl FnOnce(&Rules<'_>) -> T,
    ) -> T {
        let (of_service, of_account): (Vec<Override>, Vec<Override>) =
            overrides.iter().cloned().partition(|one| one.account.is_none());
        then(&Rules {
            hours: fields.and(account.fields.hours.as_ref()),
            zone: self.time_zone(),
            calendar: &self.calendar(),
            of_service: &of_service,
            of_account: &of_account,
        })
    }
}
