//! How an account's calls are treated, and what the plans of all accounts are compiled from.
//!
//! Invariant: hours, holidays and accounts come from memory, as for a pop; callflows and overrides from the store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::lookup::Directory;
use crate::callflow::guidance::announcement_ms_max;
use crate::callflow::{
    Because, CallflowThen, Change, Entries, Finding, FindingKind, Hint, Key, Letter, OnCall, Rules,
    SHIPPED_SOUNDS, SeenAtPbx, Source, Value, World, base_of, compile, findings, hint_of,
};
use crate::contract::caller_rule::{CallerRule, CallerRuleKind};
use crate::contract::callflow::{CallflowFields, OfferedWhen, Override};
use crate::contract::card::Card;
use crate::contract::guidance_draft::{GuidanceDraft, RecordedGuidance};
use crate::contract::operator::PbxQueueAccount;
use crate::contract::records::{Account, Contact};
use crate::contract::sound::SOUND_FOLDER;
use crate::ids::RecordId;
use crate::numbers::Number;
use crate::route::{self, MessageFacts};
use crate::store::StoreError;

/// What a change of a template does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TemplateEffect {
    /// The accounts that follow it.
    pub accounts: usize,
    /// Those of them whose plan would be another one.
    pub plans: usize,
    /// The numbers that lead to these plans.
    pub numbers: usize,
}

/// Who lets callers wait in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueUsers {
    /// The accounts.
    pub accounts: Vec<PbxQueueAccount>,
    /// The codes of the templates.
    pub templates: Vec<String>,
}

/// What plans are compiled from.
#[derive(Debug, Clone)]
pub struct PlanRecords {
    sources: Vec<Source>,
    overrides: Vec<Override>,
    ruled: BTreeSet<RecordId>,
    on_call: HashMap<RecordId, OnCall>,
}

impl PlanRecords {
    /// The overrides that have not ended.
    #[must_use]
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// The sounds that callflows play: those that they name, and the shipped ones. None without callflows.
    #[must_use]
    pub fn sounds(&self) -> BTreeSet<String> {
        let callflows = || self.sources.iter().filter_map(|source| source.callflow.as_ref());
        let shipped = callflows().next().map(|_| SHIPPED_SOUNDS.map(ToOwned::to_owned));
        let named = callflows().flat_map(CallflowFields::sounds).map(|(_, name)| name.clone());
        named.chain(shipped.into_iter().flatten()).collect()
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
        let on_call = match fields.as_ref().filter(|fields| fields.reaches_on_call()) {
            Some(_) => self.on_call(&account).await?.at(at),
            None => Vec::new(),
        };
        let then = self.with_rules(&account, fields.as_ref(), &overrides, |rules| {
            CallflowThen::at(at, rules, account.id, fields.as_ref(), (self.takes_voice(), &on_call))
        });
        Ok(Some(then))
    }

    /// [`Self::callflow_at`] for the caller with this number: a rule of the account may refuse the call.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow_for(
        &self,
        account: RecordId,
        number: Option<&str>,
        at: Timestamp,
    ) -> Result<Option<CallflowThen>, StoreError> {
        let then = self.callflow_at(account, at).await?;
        let rule = number.and_then(|number| self.caller_rule(account, number, at));
        Ok(match rule {
            Some(rule) if rule.rule == CallerRuleKind::Refuse => Some(CallflowThen::refused(then)),
            _ => then,
        })
    }

    /// The rule of an account about the caller with this number that holds at this time, from memory. An override of the whole
    /// service goes before a refusal.
    #[must_use]
    pub fn caller_rule(&self, account: RecordId, number: &str, at: Timestamp) -> Option<Arc<CallerRule>> {
        let index = self.index();
        let number = Number::read(number, self.plan())?;
        let rule = index.rule(account, number.key()).filter(|rule| rule.holds(at))?;
        let of_service = Rules {
            hours: None,
            zone: self.time_zone(),
            calendar: &index.calendar,
            of_service: &index.service_overrides,
            of_account: &[],
        };
        let is_overridden =
            rule.rule == CallerRuleKind::Refuse && of_service.at(at).because == Because::ServiceOverride;
        (!is_overridden).then(|| Arc::clone(rule))
    }

    /// The hint for a call with this card. `announces`: the operator hears of the caller.
    #[must_use]
    pub fn call_hint(&self, card: &Card, announces: bool, at: Timestamp) -> Hint {
        let number = card.caller.number.as_deref().filter(|_| !card.caller.presentation.hides_number());
        let rule =
            card.account.id.zip(number).and_then(|(account, number)| self.caller_rule(account, number, at));
        hint_of(card, rule.as_deref(), announces, self.plan())
    }

    /// The codes of the accounts and templates whose callflow names this sound, and of the account for which it waits.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflows_naming(&self, sound: &str) -> Result<Vec<String>, StoreError> {
        let names = |fields: &CallflowFields| fields.sounds().any(|(_, name)| name == sound);
        let mut found = Vec::new();
        for stored in self.store().callflows().await? {
            let account = self.account(stored.account).filter(|_| names(&stored.fields));
            found.extend(account.map(|account| account.fields.code.clone()));
        }
        let templates = self.store().callflow_templates().await?;
        found.extend(templates.into_iter().filter(|one| names(&one.fields)).map(|one| one.code));
        let waiting = self.store().guidance_drafts().await?;
        let waiting = waiting.into_iter().filter(|draft| draft.name == sound);
        found.extend(
            waiting.filter_map(|draft| self.account(draft.account)).map(|one| one.fields.code.clone()),
        );
        Ok(found)
    }

    /// Which accounts and templates let callers wait in which queues, by the queue's name. The accounts of each are sorted by code.
    ///
    /// # Errors
    /// The store failed.
    pub async fn queue_users(&self) -> Result<BTreeMap<String, QueueUsers>, StoreError> {
        let queues_of = |fields: &CallflowFields| {
            let both = [Some(fields.queue.clone()), fields.second_queue.clone()];
            both.into_iter().flatten().collect::<BTreeSet<_>>()
        };
        let mut found: BTreeMap<String, QueueUsers> = BTreeMap::new();
        for stored in self.store().callflows().await? {
            let Some(account) = self.account(stored.account) else { continue };
            for queue in queues_of(&stored.fields) {
                let fields = &account.fields;
                found.entry(queue).or_default().accounts.push(PbxQueueAccount {
                    code: fields.code.clone(),
                    name: fields.name.clone(),
                    id: account.id,
                });
            }
        }
        for template in self.store().callflow_templates().await? {
            for queue in queues_of(&template.fields) {
                found.entry(queue).or_default().templates.push(template.code.clone());
            }
        }
        found.values_mut().for_each(|users| users.accounts.sort_unstable());
        Ok(found)
    }

    /// The recordings that waited for the next closing of their accounts and that callers may hear at `at`: the account has been open
    /// since they were recorded, so nobody who calls until it closes hears them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guidance_due(&self, at: Timestamp) -> Result<Vec<GuidanceDraft>, StoreError> {
        let mut due = Vec::new();
        for draft in self.store().guidance_drafts().await? {
            if draft.used_from != RecordedGuidance::NextClosing {
                continue;
            }
            let changes = self.callflow_changes(draft.account, (draft.recorded_at, at)).await?;
            if changes.iter().any(|change| change.treatment.letter == Letter::Open) {
                due.push(draft);
            }
        }
        Ok(due)
    }

    /// What a template would change if it had these settings: how many accounts follow it, and how many of their plans and of
    /// the numbers that lead to these would be others.
    ///
    /// # Errors
    /// The store failed.
    pub async fn template_effect(
        &self,
        template: Option<RecordId>,
        fields: &CallflowFields,
        at: Timestamp,
    ) -> Result<TemplateEffect, StoreError> {
        let before = self.plan_records(at).await?;
        let mut after = before.clone();
        let mut effect = TemplateEffect::default();
        let with = fields.as_object();
        for stored in self.store().callflows().await? {
            if template.is_none() || stored.template != template {
                continue;
            }
            effect.accounts += 1;
            let merged = CallflowFields::over(&with, &stored.own).ok();
            let source = after.sources.iter_mut().find(|source| source.account.id == stored.account);
            if let (Some(source), Some(merged)) = (source, merged) {
                source.callflow = Some(merged);
            }
        }
        after.on_call = self.on_call_of(&after.sources).await?;
        let base = self.plan_base(at);
        let (before, after) = (self.compile_plans(&before, base), self.compile_plans(&after, base));
        let changed: HashSet<&str> = after
            .iter()
            .filter(|(key, value)| key.tree() == "plan" && before.get(key) != Some(value))
            .filter_map(|(key, _)| key.as_str().split_once('/').map(|(_, plan)| plan))
            .collect();
        effect.plans = changed.len();
        let leads = |(key, plan): &(&Key, &Value)| {
            matches!(key.tree(), "dialled" | "forwarding") && changed.contains(plan.as_str())
        };
        effect.numbers = after.iter().filter(leads).count();
        Ok(effect)
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
        let ruled = self.index().ruled();
        let mut sources: Vec<Source> = Vec::new();
        for stored in self.store().callflows().await? {
            let account = self.account(stored.account);
            sources.extend(account.map(|account| Source { account, callflow: Some(stored.fields) }));
        }
        let mut known: HashSet<RecordId> = sources.iter().map(|source| source.account.id).collect();
        for id in overrides.iter().filter_map(|one| one.account).chain(ruled.iter().copied()) {
            if known.insert(id) {
                sources.extend(self.account(id).map(|account| Source { account, callflow: None }));
            }
        }
        let on_call = self.on_call_of(&sources).await?;
        Ok(PlanRecords { sources, overrides, ruled, on_call })
    }

    /// The contacts of those accounts whose callflows reach who is on call.
    async fn on_call_of(&self, sources: &[Source]) -> Result<HashMap<RecordId, OnCall>, StoreError> {
        let reaches =
            |source: &&Source| source.callflow.as_ref().is_some_and(CallflowFields::reaches_on_call);
        let reaching: Vec<&Source> = sources.iter().filter(reaches).collect();
        let ids: Vec<RecordId> = reaching.iter().map(|source| source.account.id).collect();
        let mut contacts: HashMap<RecordId, Vec<Contact>> = HashMap::new();
        for contact in self.store().contacts_on_call(&ids).await? {
            contacts.entry(contact.fields.account).or_default().push(contact);
        }
        let on_call = |source: &Source| {
            let account = &source.account;
            let contacts = contacts.remove(&account.id).unwrap_or_default();
            (account.id, OnCall::of(account, contacts, self.plan()))
        };
        Ok(reaching.into_iter().map(on_call).collect())
    }

    async fn on_call(&self, account: &Account) -> Result<OnCall, StoreError> {
        let contacts = self.store().contacts_in_order(account.id).await?;
        Ok(OnCall::of(account, contacts, self.plan()))
    }

    /// What in the records would treat calls in another way than somebody expects, by kind. `seen`: what is known of the PBX.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow_findings(
        &self,
        seen: SeenAtPbx,
        at: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let records = self.plan_records(at).await?;
        let mut found = self.untreated(&records);
        found.extend(self.undelivered(&records, at).await?);
        found.extend(self.wrong_sounds(&records).await?);
        found.extend(self.store().guidance_drafts().await?.iter().filter_map(Finding::waiting));
        let directory = self.clone();
        let of_plans = tokio::task::spawn_blocking(move || {
            let base = directory.plan_base(at);
            directory.with_world(&records, base, |world| findings(world, &seen, at))
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

    /// The callflows that name a sound that was uploaded and is there no more, or an announcement that is too long: the template or
    /// the sound was changed after it.
    async fn wrong_sounds(&self, records: &PlanRecords) -> Result<Vec<Finding>, StoreError> {
        let sounds = self.store().sounds().await?;
        let lengths: HashMap<&str, u64> =
            sounds.iter().map(|sound| (sound.name.as_str(), sound.ms)).collect();
        let mut found = Vec::new();
        for (source, callflow) in records.sources.iter().filter_map(|one| Some((one, one.callflow.as_ref()?)))
        {
            let mut report = |kind, detail| found.push(Finding::of_account(kind, &source.account, detail));
            let is_missing = |name: &str| name.starts_with(SOUND_FOLDER) && !lengths.contains_key(name);
            for (field, name) in callflow.sounds().filter(|(_, name)| is_missing(name)) {
                let detail = format!(
                    "{field} names {name}, which was deleted: upload it again, or name another sound"
                );
                report(FindingKind::SoundMissing, detail);
            }
            let most_ms = announcement_ms_max(callflow.announce_caller);
            let length = callflow.announcement.as_deref().and_then(|name| lengths.get(name));
            if let Some(ms) = length.filter(|ms| **ms > most_ms) {
                let detail = format!(
                    "its announcement is {ms} ms long, and may be {most_ms} ms: callers who hang up meanwhile are noticed only afterwards"
                );
                report(FindingKind::AnnouncementLong, detail);
            }
        }
        Ok(found)
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
        let PlanRecords { sources, overrides, ruled, on_call } = records;
        let (calendar, zone) = (self.calendar(), self.time_zone());
        let takes_voice = self.takes_voice();
        let plan = self.plan();
        then(&World {
            sources,
            overrides,
            calendar: &calendar,
            zone,
            plan,
            base,
            takes_voice,
            ruled,
            on_call,
        })
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
