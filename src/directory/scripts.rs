//! The live scripts of every account in memory, and which of them a call has.
//!
//! Invariants: a pop names its script and shows its opening while the store cannot be reached. [`Directory::script_for`]
//! decides for the pop, `explain`, the form and `toritsugi check` alike. A version that this program cannot read (another
//! program wrote it) is logged once and not used.
//!
//! Read next: `script/select.rs`, [`crate::store::scripts`].

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::lookup::Directory;
use super::resolution::Resolution;
use crate::contract::card::{Card, ScriptView};
use crate::contract::message::ScriptVersion;
use crate::contract::records::Account;
use crate::contract::script::ScriptRecord;
use crate::ids::RecordId;
use crate::numbers::{Number, NumberPlan};
use crate::script::{self, Caller, Facts, Gap, Head, Script};
use crate::store::StoreError;

/// The live scripts of one version of the store.
#[derive(Debug, Default)]
pub(super) struct ScriptIndex {
    /// The store's number of these scripts; 0 before the first load.
    version: i64,
    accounts: HashMap<RecordId, Vec<Live>>,
}

/// A live version.
#[derive(Debug, Clone)]
struct Live {
    head: Head,
    script: Arc<Script>,
}

impl ScriptIndex {
    /// The live scripts of `records`; those that `before` has are not read again, because a version never changes.
    fn of(records: Vec<ScriptRecord>, version: i64, before: &Self, plan: &NumberPlan) -> Self {
        let mut accounts: HashMap<RecordId, Vec<Live>> = HashMap::new();
        for record in records {
            let known = before.accounts.get(&record.account).into_iter().flatten();
            let is_it = |live: &&Live| live.head.id == record.script && live.head.version == record.version;
            let known = known.into_iter().find(is_it).cloned();
            if let Some(live) = known.or_else(|| Live::read(&record, plan)) {
                accounts.entry(record.account).or_default().push(live);
            }
        }
        Self { version, accounts }
    }
}

impl Live {
    fn read(record: &ScriptRecord, plan: &NumberPlan) -> Option<Self> {
        let script = match script::read(record.body.as_deref().unwrap_or_default()) {
            Ok(script) => script,
            Err(findings) => {
                let finding =
                    findings.first().map(|finding| format!("line {}: {}", finding.line, finding.reason));
                tracing::warn!(
                    account = %record.account, script = record.script, version = record.version, finding,
                    "this version of a script cannot be read and is not used; save it again"
                );
                return None;
            }
        };
        let key = |text: &String| Number::read(text, plan).map(|number| SmolStr::new(number.key()));
        let head = Head {
            id: SmolStr::new(&record.script),
            version: record.version,
            numbers: script.dialled.iter().filter_map(key).collect(),
            valid: script.valid,
            published_at: record.published_at.unwrap_or(record.at),
            has_closed_opening: script.has_closed_opening(),
        };
        Some(Self { head, script: Arc::new(script) })
    }
}

impl Directory {
    /// Loads the live scripts if any process changed them since the last time, and returns whether one did.
    pub(super) async fn refresh_scripts(&self) -> Result<bool, StoreError> {
        let before = self.scripts();
        if self.store().scripts_version().await? == before.version {
            return Ok(false);
        }
        let (records, version) = self.store().live_scripts().await?;
        self.replace_scripts(Arc::new(ScriptIndex::of(records, version, &before, self.plan())));
        Ok(true)
    }

    /// The script of a call to `account` at `at`, for which one of `numbers` (as dialled, or as the header has them) rang or
    /// forwarded; `None`: the account has none for it, and the built-in script is used.
    #[must_use]
    pub fn script_for<'a>(
        &self,
        account: &Account,
        numbers: impl IntoIterator<Item = &'a str>,
        at: Timestamp,
    ) -> Option<(ScriptVersion, Arc<Script>)> {
        let scripts = self.scripts();
        let live = scripts.accounts.get(&account.id)?;
        let numbers = numbers.into_iter().filter_map(|text| Number::read(text, self.plan()));
        let keys: Vec<String> = numbers.map(|number| number.key().to_owned()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let hours = account.fields.hours.as_ref();
        let zone = hours.map_or_else(|| self.time_zone().clone(), |hours| hours.zone(self.time_zone()));
        let day = at.to_zoned(zone).date();
        let head = script::select(live.iter().map(|live| &live.head), &keys, day)?;
        let live = live.iter().find(|live| live.head == *head)?;
        let version = ScriptVersion { id: head.id.to_string(), version: head.version };
        Some((version, Arc::clone(&live.script)))
    }

    /// What is known of a call to `account` at `at` before anybody answers.
    #[must_use]
    pub fn script_facts(&self, account: &Account, caller: Caller, at: Timestamp) -> Facts {
        Facts {
            hours: account.fields.hours.clone(),
            company: account.fields.name.clone(),
            caller,
            calendar: self.calendar(),
            ..Facts::at(at, self.time_zone().clone())
        }
    }

    /// Names on the card the script of the call, with its opening. `{operator}` stays in it: several people may see the card.
    pub(super) fn add_script(&self, card: &mut Card, found: &Resolution, at: Timestamp) {
        let Some(account) = &found.account else { return };
        let numbers = found.dialled.iter().chain(&found.diverted_by).map(SmolStr::as_str);
        let Some((ScriptVersion { id, version }, script)) = self.script_for(account, numbers, at) else {
            return;
        };
        let facts = self.script_facts(account, caller_of(card), at);
        let opening = script::opening(&script, &facts);
        card.script = Some(ScriptView { id, version, name: script.name.clone(), opening });
    }

    /// For each account with scripts that has gaps, when no script of it is for a call, in the 14 days from `at`.
    #[must_use]
    pub fn script_gaps(&self, at: Timestamp) -> Vec<(Arc<Account>, Vec<Gap>)> {
        let (scripts, calendar) = (self.scripts(), self.calendar());
        let mut gaps: Vec<(Arc<Account>, Vec<Gap>)> = scripts
            .accounts
            .iter()
            .filter_map(|(id, live)| {
                let account = self.account(*id)?;
                let heads: Vec<Head> = live.iter().map(|live| live.head.clone()).collect();
                let numbers = account_numbers(&account, self.plan());
                let hours = account.fields.hours.as_ref();
                let gaps = script::gaps(&heads, &numbers, hours, (at, self.time_zone(), &calendar));
                (!gaps.is_empty()).then_some((account, gaps))
            })
            .collect();
        gaps.sort_by(|(a, _), (b, _)| a.fields.code.cmp(&b.fields.code));
        gaps
    }

    /// How many accounts have a live script.
    #[must_use]
    pub fn accounts_with_scripts(&self) -> usize {
        self.scripts().accounts.len()
    }
}

/// Who calls, as a card has it.
#[must_use]
pub fn caller_of(card: &Card) -> Caller {
    let flags = match card.customers.as_slice() {
        [only] => only.flags.clone(),
        _ => Vec::new(),
    };
    Caller { presentation: card.caller.presentation, is_known: card.customers.len() == 1, flags }
}

/// The keys of the numbers by which calls of an account are found.
#[must_use]
pub fn account_numbers(account: &Account, plan: &NumberPlan) -> Vec<SmolStr> {
    let texts = account.fields.dialled.iter().chain(&account.fields.forwarding);
    texts.filter_map(|text| Number::read(text, plan)).map(|number| SmolStr::new(number.key())).collect()
}
