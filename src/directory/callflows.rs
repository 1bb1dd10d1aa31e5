//! How an account's calls are treated, and what the plans of all accounts are compiled from.
//!
//! Invariant: hours, holidays and accounts come from memory, as for a pop; callflows and overrides from the store.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::lookup::Directory;
use crate::callflow::{
    CallflowThen, Change, Entries, Finding, FindingKind, Rules, Source, World, base_of, compile, findings,
};
use crate::contract::callflow::{CallflowFields, OfferedWhen, Override};
use crate::contract::records::Account;
use crate::ids::{QueueName, RecordId};
use crate::route::{self, MessageFacts};
use crate::store::StoreError;

/// What plans are compiled from.
#[derive(Debug)]
pub struct PlanRecords {
    sources: Vec<Source>,
    overrides: Vec<Override>,
}

impl PlanRecords {
    /// The overrides that have not ended.
    #[must_use]
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }
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
            CallflowThen::at(at, rules, account.id, fields.as_ref(), self.takes_voice())
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

    /// What in the records would treat calls in another way than somebody expects, by kind. `queues`: those of the PBX, where
    /// they are known.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow_findings(
        &self,
        queues: Option<Arc<BTreeSet<QueueName>>>,
        at: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let records = self.plan_records(at).await?;
        let mut found = self.untreated(&records);
        found.extend(self.undelivered(&records, at).await?);
        let directory = self.clone();
        let of_plans = tokio::task::spawn_blocking(move || {
            let base = directory.plan_base(at);
            directory.with_world(&records, base, |world| findings(world, queues.as_deref(), at))
        });
        // The task neither panics nor is cancelled.
        found.extend(of_plans.await.unwrap_or_default());
        found.sort_by_key(|finding| finding.kind);
        Ok(found)
    }

    /// The accounts with hours that no callflow treats, once there are callflows.
    fn untreated(&self, records: &PlanRecords) -> Vec<Finding> {
        let treated: HashSet<RecordId> =
            records.sources.iter().filter(|one| one.callflow.is_some()).map(|one| one.account.id).collect();
        if treated.is_empty() {
            return Vec::new();
        }
        let mut accounts = self.every_account();
        accounts.retain(|account| account.fields.hours.is_some() && !treated.contains(&account.id));
        accounts.sort_unstable_by(|a, b| a.fields.code.cmp(&b.fields.code));
        let detail = "it has hours, and no callflow treats its calls by them: write one";
        let found =
            |account: &Arc<Account>| Finding::of_account(FindingKind::NoCallflow, account, detail.to_owned());
        accounts.iter().map(found).collect()
    }

    /// The accounts whose callers may leave a message that reaches nobody.
    async fn undelivered(&self, records: &PlanRecords, at: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let offers = |source: &&Source| {
            source.callflow.as_ref().is_some_and(|callflow| callflow.voice_message != OfferedWhen::Off)
        };
        let mut found = Vec::new();
        for source in records.sources.iter().filter(offers) {
            let routes = self.store().account_routes(source.account.id).await?;
            let plan = route::plan(&routes.documents(), &MessageFacts::default(), &routes.world, at);
            if !plan.reaches_somebody() {
                let detail =
                    "a voice message reaches nobody of it: give a contact an address, or write routes";
                found.push(Finding::of_account(
                    FindingKind::VoiceUndelivered,
                    &source.account,
                    detail.to_owned(),
                ));
            }
        }
        Ok(found)
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
        let takes_voice = self.takes_voice();
        then(&World { sources, overrides, calendar: &calendar, zone, plan: self.plan(), base, takes_voice })
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
