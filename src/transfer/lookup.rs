//! Targets out of the directory: what `to` means for the account of a call, and whether it may be dialled.
//!
//! | `to` | is |
//! |---|---|
//! | `contact:ID` | a person of the call's account who has a number |
//! | `on-call` | the account's people with a place in the on-call order, in that order |
//! | `operator:EXT` | a phone of an operator or supervisor |
//! | `queue:NAME` | a queue that the configuration opens to transfers |
//! | a number | a national fixed, mobile, IP or toll-free number; what else is in `transfer.extra_numbers` |
//!
//! Invariant: nothing but digits that passed these rules reaches the dialplan. Premium numbers, service numbers and
//! other countries are refused unless the configuration opens them for the account; a caller who withholds its
//! number stays withheld.

use std::collections::BTreeMap;

use smol_str::{SmolStr, format_smolstr};
use uuid::Uuid;

use super::plan::{Plan, Show, TARGETS_MAX, Target};
use super::view::TargetView;
use crate::call::view::CallView;
use crate::config::ExtensionPattern;
use crate::directory::Directory;
use crate::directory::numbers::{Number, NumberKind};
use crate::directory::record::{Account, CallerIdPolicy, Contact};
use crate::identity::Presentation;
use crate::ids::{Extension, QueueName, RecordId};
use crate::store::StoreError;

/// How transfers behave; from the configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long a target rings, in seconds.
    pub ring_s: u32,
    /// The service's own number, for accounts whose contacts are shown it.
    pub service_number: SmolStr,
    /// Queues that may be targets; the first takes callers who cannot return to their operator.
    pub queues: Vec<QueueName>,
    /// By account code: what a contact hears before it presses 1.
    pub accept_sounds: BTreeMap<SmolStr, SmolStr>,
    /// By account code: beginnings of numbers that may be dialled although the rules forbid their kind.
    pub extra_numbers: BTreeMap<SmolStr, Vec<SmolStr>>,
    /// Whose phones are operators' and supervisors'.
    pub operators: Vec<ExtensionPattern>,
}

/// Why nobody can be transferred to that target.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It cannot be read.
    #[error("{0:?} is no target: write contact:ID, on-call, operator:EXTENSION, queue:NAME or a number")]
    Unreadable(String),
    /// The account has no such contact.
    #[error("the account of this call has no such contact")]
    UnknownContact,
    /// Nobody is on call.
    #[error("nobody of this account is on call with a number")]
    NobodyOnCall,
    /// The contact cannot be called.
    #[error("{0} has no number")]
    NoNumber(String),
    /// Nobody answers there.
    #[error("{0} is no operator's extension")]
    NoOperator(String),
    /// The configuration does not open that queue.
    #[error("queue {0} takes no transfers; see transfer.queues in the configuration")]
    ClosedQueue(String),
    /// A number of a kind that is not dialled.
    #[error("{0} may not be dialled for this account; see transfer.extra_numbers in the configuration")]
    Forbidden(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Settings {
    /// What `to` means for this call.
    ///
    /// # Errors
    /// [`LookupError`]: it means nobody who may be called.
    pub async fn plan(&self, directory: &Directory, call: &CallView, to: &str) -> Result<Plan, LookupError> {
        let id = call.card.as_deref().and_then(|card| card.account.id);
        let account = match id {
            Some(id) => directory.store().accounts().find(id).await?,
            None => None,
        };
        let account = account.as_ref();
        let targets = match to.split_once(':') {
            Some(("contact", id)) => vec![self.contact(directory, account, id).await?],
            Some(("operator", extension)) => vec![self.operator(extension)?],
            Some(("queue", name)) => vec![self.queue(name)?],
            None if to == "on-call" => self.on_call(directory, account).await?,
            None => vec![self.number(directory, account, to)?],
            Some(_) => return Err(LookupError::Unreadable(to.to_owned())),
        };
        let code = account.map(|account| account.fields.code.as_str()).unwrap_or_default();
        Ok(Plan {
            targets,
            show: self.show(directory, account, call),
            accept_sound: self.accept_sounds.get(code).cloned(),
            return_queue: self.queues.first().cloned(),
        })
    }

    async fn contact(
        &self,
        directory: &Directory,
        account: Option<&Account>,
        id: &str,
    ) -> Result<Target, LookupError> {
        let id = Uuid::try_parse(id).map_err(|_| LookupError::Unreadable(format!("contact:{id}")))?;
        let found = directory.store().contacts().find(RecordId(id)).await?;
        let own = |contact: &Contact| account.is_some_and(|account| account.id == contact.fields.account);
        let contact = found.filter(own).ok_or(LookupError::UnknownContact)?;
        self.person(directory, account, &contact)
    }

    async fn on_call(
        &self,
        directory: &Directory,
        account: Option<&Account>,
    ) -> Result<Vec<Target>, LookupError> {
        let account = account.ok_or(LookupError::NobodyOnCall)?;
        let contacts = directory.store().contacts().in_order(account.id).await?;
        // One who cannot be called does not keep the caller from the next.
        let targets: Vec<Target> = contacts
            .iter()
            .filter(|contact| contact.fields.on_call_order.is_some())
            .filter_map(|contact| self.person(directory, Some(account), contact).ok())
            .take(TARGETS_MAX)
            .collect();
        if targets.is_empty() { Err(LookupError::NobodyOnCall) } else { Ok(targets) }
    }

    fn person(
        &self,
        directory: &Directory,
        account: Option<&Account>,
        contact: &Contact,
    ) -> Result<Target, LookupError> {
        let name = contact.fields.name.clone();
        let number = contact.fields.number.as_deref().ok_or_else(|| LookupError::NoNumber(name.clone()))?;
        let dialled = self.number(directory, account, number)?;
        // A phone of our own has no mailbox that could press nothing.
        let accept = contact.fields.accept_by_key && matches!(dialled.view, TargetView::Number { .. });
        Ok(Target { view: TargetView::Contact { id: contact.id, name }, accept, ..dialled })
    }

    fn number(
        &self,
        directory: &Directory,
        account: Option<&Account>,
        text: &str,
    ) -> Result<Target, LookupError> {
        let number = Number::read(text, directory.plan());
        let number = number.ok_or_else(|| LookupError::Unreadable(text.to_owned()))?;
        if number.kind() == NumberKind::Extension {
            return self.operator(number.key());
        }
        let usual = [NumberKind::Fixed, NumberKind::Mobile, NumberKind::Ip, NumberKind::TollFree];
        let dial = dial_digits(&number);
        let code = account.map(|account| account.fields.code.as_str()).unwrap_or_default();
        let opened = self.extra_numbers.get(code);
        let is_open = opened.is_some_and(|list| list.iter().any(|begin| dial.starts_with(begin.as_str())));
        if !(usual.contains(&number.kind()) || is_open) {
            return Err(LookupError::Forbidden(number.display()));
        }
        let view = TargetView::Number { number: number.display() };
        Ok(Target { view, dial: Some(dial), ring_s: self.ring_s, accept: false })
    }

    fn operator(&self, text: &str) -> Result<Target, LookupError> {
        let known = |extension: &Extension| self.operators.iter().any(|p| p.matches(extension.as_str()));
        let extension = Extension::parse(text).ok().filter(known);
        let extension = extension.ok_or_else(|| LookupError::NoOperator(text.to_owned()))?;
        let dial = Some(SmolStr::new(extension.as_str()));
        Ok(Target { view: TargetView::Operator { extension }, dial, ring_s: self.ring_s, accept: false })
    }

    fn queue(&self, name: &str) -> Result<Target, LookupError> {
        let queue = self.queues.iter().find(|queue| queue.as_str() == name);
        let queue = queue.cloned().ok_or_else(|| LookupError::ClosedQueue(name.to_owned()))?;
        Ok(Target { view: TargetView::Queue { queue }, dial: None, ring_s: self.ring_s, accept: false })
    }

    fn show(&self, directory: &Directory, account: Option<&Account>, call: &CallView) -> Show {
        let shown =
            call.card.as_deref().is_some_and(|card| card.caller.presentation == Presentation::Allowed);
        let digits = |text: &str| {
            let number = Number::read(text, directory.plan())?;
            Some(Show::Number(dial_digits(&number)))
        };
        let number = call.card.as_deref().and_then(|card| card.caller.number.as_deref());
        let number = number.and_then(|text| Number::read(text, directory.plan()));
        let own = || match shown {
            true => Show::Caller(number.as_ref().map(dial_digits)),
            false => Show::Withheld,
        };
        match account.map(|account| (account.fields.caller_id_policy, &account.fields)) {
            None | Some((CallerIdPolicy::Caller, _)) => own(),
            Some((CallerIdPolicy::Account, fields)) => {
                let number = fields.dialled.first().or(fields.forwarding.first());
                number.and_then(|number| digits(number)).unwrap_or_else(own)
            }
            Some((CallerIdPolicy::Service, _)) => digits(&self.service_number).unwrap_or_else(own),
        }
    }
}

/// As it is dialled in Japan: `09011112222`, and `0101…` abroad.
fn dial_digits(number: &Number) -> SmolStr {
    match number.key().strip_prefix("+81") {
        Some(national) => format_smolstr!("0{national}"),
        None => match number.key().strip_prefix('+') {
            Some(abroad) => format_smolstr!("010{abroad}"),
            None => SmolStr::new(number.key()),
        },
    }
}
