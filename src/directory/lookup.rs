//! For whom a call is, and who calls.
//!
//! Two keys: the number that forwarded the call (it belongs to one account alone), then the number that was
//! dialled (which accounts may share; a shared one belongs to nobody), then the trunk's default. Customers are
//! looked for inside the account that was found and nowhere else: the same number can be another person
//! there. The card says by which number the account was found.
//!
//! Invariant: [`Directory::identify`] and [`Directory::bare_card`] read memory alone and never wait: a pop
//! names its account while the store is gone. Memory is replaced as a whole, so that a reader sees the accounts
//! of one version. A caller who withholds the number matches nobody.
//!
//! Read next: `index.rs`, `numbers.rs`, `card.rs`; `explain.rs` for the same question asked by a person.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::tz::TimeZone;
use smol_str::SmolStr;

use super::card::{AccountView, CallerView, Card, HistoryView, MatchedBy};
use super::explain::{Tried, Verdict};
use super::index::Index;
use super::numbers::{Number, NumberKind, NumberPlan};
use super::record::Account;
use crate::config::DirectoryConfig;
use crate::identity::{Caller, DialledSource, DiversionSource, Identity};
use crate::ids::RecordId;
use crate::store::history::Acquaintance;
use crate::store::{Store, StoreError};

/// What an installation decides about its directory.
#[derive(Debug, Clone)]
pub struct DirectoryOptions {
    /// How numbers are read.
    pub plan: NumberPlan,
    /// Where the hours of accounts that name no time zone are told.
    pub time_zone: TimeZone,
    /// A trunk's endpoint, and the code of the account that its unmatched calls are for.
    pub default_accounts: BTreeMap<SmolStr, SmolStr>,
    /// With a customer's record, what tells of that customer goes from the history, too.
    pub forget_deleted: bool,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            plan: NumberPlan::default(),
            time_zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
            default_accounts: BTreeMap::new(),
            forget_deleted: false,
        }
    }
}

impl From<&DirectoryConfig> for DirectoryOptions {
    fn from(config: &DirectoryConfig) -> Self {
        Self {
            plan: NumberPlan::of_country(&config.country).unwrap_or_default(),
            time_zone: config.time_zone.clone(),
            default_accounts: config.default_accounts.clone(),
            forget_deleted: false,
        }
    }
}

/// Accounts in memory, everything else in the store; clones share both.
#[derive(Debug, Clone)]
pub struct Directory {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) options: DirectoryOptions,
    index: RwLock<Arc<Index>>,
    /// One refresh at a time: a later one must not be overtaken by an earlier one.
    refreshing: tokio::sync::Mutex<()>,
}

/// For whom a call is and who calls, from memory alone.
#[derive(Debug, Clone)]
pub struct Found {
    /// The account to answer for.
    pub account: Option<Arc<Account>>,
    /// By which number it was found.
    pub matched_by: MatchedBy,
    /// The service's number that rang, as dialled.
    pub dialled: Option<SmolStr>,
    /// The number that forwarded the call, as sent.
    pub diverted_by: Option<SmolStr>,
    /// Who calls, as the network said.
    pub caller: Caller,
    /// The caller's number, read.
    pub caller_number: Option<Number>,
}

impl Directory {
    /// A directory on `store` with no account in memory yet; [`Self::refresh`] fills it.
    #[must_use]
    pub fn new(store: Store, options: DirectoryOptions) -> Self {
        let index = RwLock::default();
        Self { shared: Arc::new(Shared { store, options, index, refreshing: tokio::sync::Mutex::default() }) }
    }

    /// A directory on `store` with its accounts in memory.
    ///
    /// # Errors
    /// The store failed.
    pub async fn load(store: Store, options: DirectoryOptions) -> Result<Self, StoreError> {
        let directory = Self::new(store, options);
        directory.refresh().await?;
        Ok(directory)
    }

    /// Takes over what any process changed about accounts since the last time; says whether anything had. Cheap
    /// when nothing did: call it every second or two.
    ///
    /// # Errors
    /// The store failed; memory stays as it was.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let _turn = self.shared.refreshing.lock().await;
        let accounts = self.shared.store.accounts();
        if accounts.version().await? == self.index().version {
            return Ok(false);
        }
        let (records, version) = accounts.all().await?;
        let index = Arc::new(Index::of(records, version, &self.shared.options.plan));
        *self.shared.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(true)
    }

    /// How many accounts are in memory.
    #[must_use]
    pub fn accounts_in_memory(&self) -> usize {
        self.index().accounts()
    }

    /// How numbers are read here.
    #[must_use]
    pub fn plan(&self) -> &NumberPlan {
        &self.shared.options.plan
    }

    /// Whether the history of a deleted customer is to go, too.
    pub(super) fn forgets_deleted(&self) -> bool {
        self.shared.options.forget_deleted
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// For whom the call with this identity is, and who calls. `trunk` is the endpoint it came in on.
    #[must_use]
    pub fn identify(&self, identity: &Identity, trunk: Option<&str>) -> Found {
        self.weigh(identity, trunk).0
    }

    /// [`Self::identify`] with every number that was tried.
    pub(super) fn weigh(&self, identity: &Identity, trunk: Option<&str>) -> (Found, Vec<Tried>) {
        let index = self.index();
        let plan = self.plan();
        let mut weighing = Weighing { winner: None, tried: Vec::new() };
        let mut diverted_by = None;
        for (source, sent) in &identity.diverted_by {
            let number = Number::read(sent, plan);
            let account = number.as_ref().and_then(|n| index.by_forwarding(n.key()));
            let matched_by = match source {
                DiversionSource::HistoryInfo => MatchedBy::HistoryInfo,
                DiversionSource::Diversion | DiversionSource::Redirecting => MatchedBy::Diversion,
            };
            if weighing.weigh(source.into(), sent, number, account, matched_by) {
                diverted_by = Some(sent.clone());
            }
        }
        let mut dialled: Option<SmolStr> = None;
        let mut fallback: Option<SmolStr> = None;
        for (source, sent) in &identity.dialled {
            let number = Number::read(sent, plan);
            let outside = number.as_ref().is_some_and(|n| n.kind() != NumberKind::Extension);
            let account = number.as_ref().and_then(|n| index.by_dialled(n.key()));
            if account.is_some() && dialled.is_none() {
                dialled = Some(sent.clone());
            }
            if outside && fallback.is_none() {
                fallback = Some(sent.clone());
            }
            weighing.weigh(source.into(), sent, number, account, MatchedBy::Dialled);
        }
        if let Some(trunk) = trunk {
            let code = self.shared.options.default_accounts.get(trunk);
            let account = code.and_then(|code| index.by_code(code));
            weighing.weigh_trunk(trunk, account);
        }
        let (account, matched_by) = weighing.winner.unzip();
        let first = |list: Option<&SmolStr>| list.cloned();
        let found = Found {
            account,
            matched_by: matched_by.unwrap_or_default(),
            dialled: dialled.or(fallback).or_else(|| first(identity.dialled.first().map(|(_, n)| n))),
            diverted_by: diverted_by.or_else(|| first(identity.diverted_by.first().map(|(_, n)| n))),
            caller: identity.caller.clone(),
            caller_number: identity.caller.number().and_then(|number| Number::read(number, plan)),
        };
        (found, weighing.tried)
    }

    /// The card from memory alone: account and caller, without customers and history.
    #[must_use]
    pub fn bare_card(&self, found: &Found) -> Card {
        let number = found.caller_number.as_ref();
        let account = found.account.as_deref().map_or_else(AccountView::default, |account| AccountView {
            id: Some(account.id),
            name: account.fields.name.clone(),
            kana: account.fields.kana.clone(),
            answer_phrase: account.fields.answer_phrase.clone(),
            notes: account.fields.notes.clone(),
            matched_by: found.matched_by,
        });
        Card {
            dialled: found.dialled.as_ref().map(ToString::to_string),
            diverted_by: found.diverted_by.as_ref().map(ToString::to_string),
            caller: CallerView {
                number: number.map(Number::display).or_else(|| found.caller.number().map(str::to_owned)),
                display: found.caller.display().map(str::to_owned),
                presentation: found.caller.presentation(),
                name: None,
                area: number.and_then(Number::area).map(str::to_owned),
            },
            account,
            customers: Vec::new(),
            history: HistoryView::default(),
            link: None,
        }
    }

    /// The whole card: the account's customers with the caller's number, best first, and what happened before.
    ///
    /// # Errors
    /// The store failed or was busy; [`Self::bare_card`] still serves.
    pub async fn card(&self, found: &Found) -> Result<Card, StoreError> {
        let mut card = self.bare_card(found);
        if let (Some(account), Some(number)) = (&found.account, &found.caller_number) {
            let Acquaintance { customers, history } =
                self.shared.store.acquaintance(account.id, number.key()).await?;
            card.caller.name = customers.first().map(|customer| customer.name.clone());
            card.customers = customers;
            card.history = history;
        }
        Ok(card)
    }

    /// An account as memory has it.
    #[must_use]
    pub fn account(&self, id: RecordId) -> Option<Arc<Account>> {
        self.index().by_id(id).cloned()
    }

    pub(super) fn index(&self) -> Arc<Index> {
        Arc::clone(&self.shared.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The first number that leads to an account wins; the others are only remembered.
struct Weighing {
    winner: Option<(Arc<Account>, MatchedBy)>,
    tried: Vec<Tried>,
}

impl Weighing {
    /// Whether this number won.
    fn weigh(
        &mut self,
        source: &'static str,
        sent: &str,
        number: Option<Number>,
        account: Option<&Arc<Account>>,
        matched_by: MatchedBy,
    ) -> bool {
        let verdict = match (&number, account) {
            (None, _) => Verdict::NotANumber,
            (_, None) => Verdict::NoAccount,
            (_, Some(account)) => self.claim(account, matched_by),
        };
        let won = verdict == Verdict::Matched;
        self.tried.push(Tried {
            source,
            number: sent.to_owned(),
            key: number.map(|number| number.key().to_owned()),
            account: account.map(|account| account.fields.name.clone()),
            verdict,
        });
        won
    }

    fn weigh_trunk(&mut self, trunk: &str, account: Option<&Arc<Account>>) {
        let verdict = account.map_or(Verdict::NoAccount, |account| self.claim(account, MatchedBy::Trunk));
        let account = account.map(|account| account.fields.name.clone());
        self.tried.push(Tried { source: "trunk", number: trunk.to_owned(), key: None, account, verdict });
    }

    fn claim(&mut self, account: &Arc<Account>, matched_by: MatchedBy) -> Verdict {
        match &self.winner {
            None => {
                self.winner = Some((Arc::clone(account), matched_by));
                Verdict::Matched
            }
            Some((winner, _)) if winner.id == account.id => Verdict::Agrees,
            Some(_) => Verdict::Outranked,
        }
    }
}

impl From<&DiversionSource> for &'static str {
    fn from(source: &DiversionSource) -> Self {
        match source {
            DiversionSource::Diversion => "diversion",
            DiversionSource::HistoryInfo => "history_info",
            DiversionSource::Redirecting => "redirecting",
        }
    }
}

impl From<&DialledSource> for &'static str {
    fn from(source: &DialledSource) -> Self {
        match source {
            DialledSource::CalledParty => "called_party",
            DialledSource::RequestUri => "request_uri",
            DialledSource::To => "to",
            DialledSource::Extension => "extension",
        }
    }
}
