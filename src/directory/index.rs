//! The index: every account in memory, by each of its numbers, its code and its id.
//!
//! Invariant: an index is immutable; a change of accounts makes a new one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use smol_str::SmolStr;

use crate::contract::caller_rule::CallerRule;
use crate::contract::callflow::Override;
use crate::contract::holidays::HolidayCalendar;
use crate::contract::records::Account;
use crate::ids::RecordId;
use crate::numbers::{Number, NumberPlan};

/// The accounts of one version of the store.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The store's version of these accounts; 0 before the first load.
    pub(super) version: i64,
    /// National holidays and the installation's days off.
    pub(super) calendar: HolidayCalendar,
    /// The overrides of the whole service.
    pub(super) service_overrides: Vec<Override>,
    /// The rules about callers, by account and number.
    rules: HashMap<RecordId, HashMap<SmolStr, Arc<CallerRule>>>,
    forwarding: HashMap<SmolStr, Arc<Account>>,
    dialled: HashMap<SmolStr, Arc<Account>>,
    codes: HashMap<SmolStr, Arc<Account>>,
    ids: HashMap<RecordId, Arc<Account>>,
}

impl Index {
    pub(super) fn of(
        accounts: Vec<Account>,
        version: i64,
        calendar: HolidayCalendar,
        plan: &NumberPlan,
    ) -> Self {
        let mut index = Self { version, calendar, ..Self::default() };
        for account in accounts {
            let account = Arc::new(account);
            let key = |text: &String| Number::read(text, plan).map(|number| SmolStr::new(number.key()));
            for key in account.fields.forwarding.iter().filter_map(key) {
                index.forwarding.insert(key, Arc::clone(&account));
            }
            for key in account.fields.dialled.iter().filter_map(key) {
                index.dialled.insert(key, Arc::clone(&account));
            }
            index.ids.insert(account.id, Arc::clone(&account));
            index.codes.insert(SmolStr::new(&account.fields.code), account);
        }
        index
    }

    /// The index with the rules about callers and the overrides of the whole service.
    pub(super) fn with_rules(mut self, rules: Vec<CallerRule>, overrides: Vec<Override>) -> Self {
        for rule in rules {
            let of_account = self.rules.entry(rule.account).or_default();
            of_account.insert(SmolStr::new(&rule.number), Arc::new(rule));
        }
        self.service_overrides = overrides.into_iter().filter(|one| one.account.is_none()).collect();
        self
    }

    /// The rule of an account about the caller with this number.
    pub(super) fn rule(&self, account: RecordId, number: &str) -> Option<&Arc<CallerRule>> {
        self.rules.get(&account)?.get(number)
    }

    /// The accounts that have rules about callers.
    pub(super) fn ruled(&self) -> BTreeSet<RecordId> {
        self.rules.keys().copied().collect()
    }

    pub(super) fn by_forwarding(&self, key: &str) -> Option<&Arc<Account>> {
        self.forwarding.get(key)
    }

    pub(super) fn by_dialled(&self, key: &str) -> Option<&Arc<Account>> {
        self.dialled.get(key)
    }

    pub(super) fn by_code(&self, code: &str) -> Option<&Arc<Account>> {
        self.codes.get(code)
    }

    pub(super) fn by_id(&self, id: RecordId) -> Option<&Arc<Account>> {
        self.ids.get(&id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.ids.values()
    }

    pub(super) fn accounts(&self) -> usize {
        self.codes.len()
    }
}
