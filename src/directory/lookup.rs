//! The directory: finds the account that a call is for, and the customers with the caller's number.
//!
//! The account is found by the number that forwarded the call (an account's own number, in whichever header), else by the
//! number that was dialled (the service's number, assigned to one account; a number that several accounts share is
//! assigned to none), else by the trunk's default account. Which header has the dialled number is a setting of the trunk
//! ([`DialledHeader`]). Customers are searched inside that account alone: under another account the same
//! number can be another person. The card names the kind of number by which the account was found.
//!
//! Invariants: [`Directory::identify`] and [`Directory::bare_card`] read memory alone and never wait, so a pop names its
//! account while the store cannot be reached. Memory is replaced as a whole, so a reader sees the accounts of one version.
//! A caller who withholds the number matches no customer.
//!
//! Read next: `resolution.rs`, `index.rs`, `numbers.rs`, `card.rs`; `explain.rs` for the API that explains a match.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::RwLock;
use smol_str::SmolStr;

use super::index::Index;
use super::notices::NoticeIndex;
use super::resolution::{DialledHeader, MatchAttempt, MatchTrace, Resolution};
use super::scripts::ScriptIndex;
use crate::contract::card::{AccountView, CallerView, Card, HistoryView, MatchedBy};
use crate::contract::holidays::Holiday;
use crate::contract::holidays::HolidayCalendar;
use crate::contract::hours::HoursState;
use crate::contract::records::Account;
use crate::identity::{DialledSource, DiversionSource, Identity};
use crate::ids::RecordId;
use crate::numbers::{Number, NumberKind, NumberPlan};
use crate::store::history::CallerHistory;
use crate::store::{Store, StoreError};

/// The directory's settings.
#[derive(Debug, Clone)]
pub struct DirectoryOptions {
    /// The number plan by which numbers are parsed.
    pub plan: NumberPlan,
    /// The time zone of accounts that name none.
    pub time_zone: TimeZone,
    /// For each trunk's endpoint, the code of the account that its unmatched calls are for.
    pub default_accounts: BTreeMap<SmolStr, SmolStr>,
    /// For each trunk's endpoint, the header that holds the dialled number; [`DialledHeader::Auto`] for all others.
    pub dialled_headers: BTreeMap<SmolStr, DialledHeader>,
    /// Deleting a customer also removes what the history knows of that customer.
    pub forget_deleted: bool,
    /// The mail servers that accounts may have of their own.
    pub mail_hosts: Vec<SmolStr>,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            plan: NumberPlan::default(),
            time_zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
            default_accounts: BTreeMap::new(),
            dialled_headers: BTreeMap::new(),
            forget_deleted: false,
            mail_hosts: Vec::new(),
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
    scripts: RwLock<Arc<ScriptIndex>>,
    notices: RwLock<Arc<NoticeIndex>>,
    /// One refresh at a time, so that an earlier result never replaces a later one.
    refreshing: tokio::sync::Mutex<()>,
    /// See [`Directory::takes_voice`].
    takes_voice: AtomicBool,
}

impl Directory {
    /// A directory on `store` with no account in memory yet; [`Self::refresh`] loads them.
    #[must_use]
    pub fn new(store: Store, options: DirectoryOptions) -> Self {
        let (index, scripts, notices) = (RwLock::default(), RwLock::default(), RwLock::default());
        let (refreshing, takes_voice) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        let shared = Shared { store, options, index, scripts, notices, refreshing, takes_voice };
        Self { shared: Arc::new(shared) }
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

    /// Loads accounts, holidays, live scripts and notices if any process changed them since the last time, and returns whether one
    /// did (but of notices, which change all day). Cheap when nothing changed: call it every second or two.
    ///
    /// # Errors
    /// The store failed; memory is unchanged.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let _lock = self.shared.refreshing.lock().await;
        let store = &self.shared.store;
        let are_scripts_changed = self.refresh_scripts().await?;
        self.refresh_notices().await?;
        if store.accounts_version().await? == self.index().version {
            return Ok(are_scripts_changed);
        }
        let (records, version) = store.all_accounts().await?;
        let calendar = HolidayCalendar::of(store.holidays().await?);
        let rules = store.caller_rules(None, Timestamp::UNIX_EPOCH).await?;
        let overrides = store.overrides(Timestamp::UNIX_EPOCH).await?;
        let index = Index::of(records, version, calendar, &self.shared.options.plan);
        let index = Arc::new(index.with_rules(rules, overrides));
        *self.shared.index.write() = index;
        Ok(true)
    }

    /// Every account in memory, in no order.
    pub(super) fn every_account(&self) -> Vec<Arc<Account>> {
        self.index().all().cloned().collect()
    }

    /// The number of accounts in memory.
    #[must_use]
    pub fn accounts_in_memory(&self) -> usize {
        self.index().accounts()
    }

    /// The number plan of this installation.
    #[must_use]
    pub fn plan(&self) -> &NumberPlan {
        &self.shared.options.plan
    }

    /// The time zone of this installation.
    #[must_use]
    pub fn time_zone(&self) -> &TimeZone {
        &self.shared.options.time_zone
    }

    /// Whether recordings of callers reach their accounts: callers are offered to leave one only then.
    #[must_use]
    pub fn takes_voice(&self) -> bool {
        self.shared.takes_voice.load(Ordering::Relaxed)
    }

    /// Sets [`Self::takes_voice`].
    pub fn set_takes_voice(&self, takes_voice: bool) {
        self.shared.takes_voice.store(takes_voice, Ordering::Relaxed);
    }

    /// Whether deleting a customer also removes what the history knows of that customer.
    pub(super) fn purges_history_of_deleted(&self) -> bool {
        self.shared.options.forget_deleted
    }

    /// The store behind this directory.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Which account the call with this identity is for, and who calls. `trunk` is the endpoint it came in on.
    #[must_use]
    pub fn identify(&self, identity: &Identity, trunk: Option<&str>) -> Resolution {
        self.resolve(identity, trunk).0
    }

    /// [`Self::identify`], with every number that was tried.
    pub(super) fn resolve(
        &self,
        identity: &Identity,
        trunk: Option<&str>,
    ) -> (Resolution, Vec<MatchAttempt>) {
        let index = self.index();
        let plan = self.plan();
        let mut trace = MatchTrace::default();
        let mut diverted_by = None;
        for (source, sent) in &identity.diverted_by {
            let number = Number::read(sent, plan);
            let account = number.as_ref().and_then(|n| index.by_forwarding(n.key()));
            let matched_by = match source {
                DiversionSource::HistoryInfo => MatchedBy::HistoryInfo,
                DiversionSource::Diversion | DiversionSource::Redirecting => MatchedBy::Diversion,
            };
            if trace.record(source.into(), sent, number, account, matched_by) {
                diverted_by = Some(sent.clone());
            }
        }
        let called = self.dialled_header(trunk).order(&identity.dialled, plan);
        let mut forwarders: Vec<&SmolStr> = Vec::new();
        for (source, sent) in &called {
            let number = Number::read(sent, plan);
            let Some(account) = number.as_ref().and_then(|n| index.by_forwarding(n.key())) else { continue };
            forwarders.push(sent);
            if trace.record(source.into(), sent, number, Some(account), MatchedBy::Diversion) {
                diverted_by = Some(sent.clone());
            }
        }
        let mut dialled: Option<SmolStr> = None;
        let mut fallback: Option<SmolStr> = None;
        for (source, sent) in called {
            let number = Number::read(sent, plan);
            let is_external = number.as_ref().is_some_and(|n| n.kind() != NumberKind::Extension);
            let account = number.as_ref().and_then(|n| index.by_dialled(n.key()));
            // The number of the account that forwarded the call is no number of the service.
            if account.is_none() && forwarders.contains(&sent) {
                continue;
            }
            if account.is_some() && dialled.is_none() {
                dialled = Some(sent.clone());
            }
            if is_external && fallback.is_none() {
                fallback = Some(sent.clone());
            }
            trace.record(source.into(), sent, number, account, MatchedBy::Dialled);
        }
        if let Some(trunk) = trunk {
            let code = self.shared.options.default_accounts.get(trunk);
            let account = code.and_then(|code| index.by_code(code));
            trace.record_trunk(trunk, account);
        }
        let (account, matched_by) = trace.winner.unzip();
        let first = |list: Option<&SmolStr>| list.cloned();
        let resolution = Resolution {
            account,
            matched_by: matched_by.unwrap_or_default(),
            dialled: dialled.or(fallback).or_else(|| first(identity.dialled.first().map(|(_, n)| n))),
            diverted_by: diverted_by.or_else(|| first(identity.diverted_by.first().map(|(_, n)| n))),
            caller: identity.caller.clone(),
            caller_number: identity.caller.number().and_then(|number| Number::read(number, plan)),
        };
        (resolution, trace.attempts)
    }

    /// Which header has the dialled number of the calls on this trunk.
    pub(super) fn dialled_header(&self, trunk: Option<&str>) -> DialledHeader {
        let headers = &self.shared.options.dialled_headers;
        trunk.and_then(|trunk| headers.get(trunk).copied()).unwrap_or_default()
    }

    /// The card from memory alone: account and caller at this time, without customers and history.
    #[must_use]
    pub fn bare_card(&self, resolution: &Resolution, at: Timestamp) -> Card {
        let number = resolution.caller_number.as_ref();
        let account =
            resolution.account.as_deref().map_or_else(AccountView::default, |account| AccountView {
                id: Some(account.id),
                name: account.fields.name.clone(),
                kana: account.fields.kana.clone(),
                answer_phrase: account.fields.answer_phrase.clone(),
                notes: account.fields.notes.clone(),
                notices: self.notices_at(account.id, at),
                pronunciation: self.pronunciation(account.id),
                hours: self.hours_state(account, at),
                matched_by: resolution.matched_by,
            });
        let mut card = Card {
            dialled: resolution.dialled.as_ref().map(ToString::to_string),
            diverted_by: resolution.diverted_by.as_ref().map(ToString::to_string),
            caller: CallerView {
                number: number.map(Number::display).or_else(|| resolution.caller.number().map(str::to_owned)),
                display: resolution.caller.display().map(str::to_owned),
                presentation: resolution.caller.presentation(),
                name: None,
                area: number.and_then(Number::area).map(str::to_owned),
            },
            account,
            customers: Vec::new(),
            history: HistoryView::default(),
            link: None,
            script: None,
        };
        self.add_script(&mut card, resolution, at);
        card
    }

    /// The whole card: the account's customers with the caller's number, best first, and what happened before.
    ///
    /// # Errors
    /// The store failed or was busy; [`Self::bare_card`] still serves.
    pub async fn card(&self, resolution: &Resolution, at: Timestamp) -> Result<Card, StoreError> {
        let mut card = self.bare_card(resolution, at);
        if let (Some(account), Some(number)) = (&resolution.account, &resolution.caller_number) {
            let CallerHistory { customers, history } =
                self.shared.store.caller_history(account.id, number.key()).await?;
            card.caller.name = customers.first().map(|customer| customer.name.clone());
            card.customers = customers;
            card.history = history;
            // What the operator says first may depend on the customer.
            self.add_script(&mut card, resolution, at);
        }
        Ok(card)
    }

    /// Whether the account is open at this time; `None` for an account without hours.
    fn hours_state(&self, account: &Account, at: Timestamp) -> Option<HoursState> {
        let hours = account.fields.hours.as_ref()?;
        Some(hours.state(at, self.time_zone(), &self.index().calendar))
    }

    /// National holidays and the installation's days off.
    pub(super) fn calendar(&self) -> HolidayCalendar {
        self.index().calendar.clone()
    }

    /// The holidays of a year.
    #[must_use]
    pub fn holidays(&self, year: i16) -> Vec<Holiday> {
        self.index().calendar.year(year)
    }

    /// The account in memory with this id.
    #[must_use]
    pub fn account(&self, id: RecordId) -> Option<Arc<Account>> {
        self.index().by_id(id).cloned()
    }

    /// The account in memory that has this number: as one that is dialled, or as one that forwards.
    #[must_use]
    pub fn account_of_number(&self, number: &str, is_dialled: bool) -> Option<Arc<Account>> {
        let number = Number::read(number, self.plan())?;
        let index = self.index();
        let found =
            if is_dialled { index.by_dialled(number.key()) } else { index.by_forwarding(number.key()) };
        found.cloned()
    }

    pub(super) fn scripts(&self) -> Arc<ScriptIndex> {
        Arc::clone(&self.shared.scripts.read())
    }

    pub(super) fn replace_scripts(&self, scripts: Arc<ScriptIndex>) {
        *self.shared.scripts.write() = scripts;
    }

    pub(super) fn notices(&self) -> Arc<NoticeIndex> {
        Arc::clone(&self.shared.notices.read())
    }

    pub(super) fn replace_notices(&self, notices: Arc<NoticeIndex>) {
        *self.shared.notices.write() = notices;
    }

    pub(super) fn index(&self) -> Arc<Index> {
        Arc::clone(&self.shared.index.read())
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
