//! Targets out of the directory: what `to` means for the account of a call, and whether it may be dialled.
//!
//! | `to` | is |
//! |---|---|
//! | `contact:ID` | a person of the call's account who has a number |
//! | `on-call` | the account's people with a place in the on-call order, in that order |
//! | `operator:EXT` | a phone of an operator or supervisor |
//! | `queue:NAME` | a queue that the configuration opens to transfers |
//! | a number | a national fixed, mobile, IP or toll-free number; what else the account opens (`extra_numbers`) |
//!
//! Invariant: nothing but digits that passed these rules reaches the dialplan. Premium numbers, service numbers and
//! other countries are refused unless the account's record opens them; a caller who withholds its number stays
//! withheld. Whoever is called outside presses 1 first, unless the account or the contact has that turned off: a number
//! that an operator types is no less likely to have a mailbox.

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
    #[error("{0} may not be dialled for this account; its record opens more numbers (extra_numbers)")]
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
            None => vec![self.typed(directory, account, to).await?],
            Some(_) => return Err(LookupError::Unreadable(to.to_owned())),
        };
        let sound = account.and_then(|account| account.fields.accept_sound.as_deref());
        Ok(Plan {
            targets,
            show: self.show(directory, account, call),
            accept_sound: sound.map(SmolStr::new),
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

    /// A number that somebody typed; where it is a contact's, that contact.
    async fn typed(
        &self,
        directory: &Directory,
        account: Option<&Account>,
        text: &str,
    ) -> Result<Target, LookupError> {
        let number = self.number(directory, account, text)?;
        let (Some(account), Some(dial)) = (account, &number.dial) else { return Ok(number) };
        let contacts = directory.store().contacts().in_order(account.id).await?;
        let mut known = contacts.iter().filter_map(|c| self.person(directory, Some(account), c).ok());
        Ok(known.find(|person| person.dial.as_ref() == Some(dial)).unwrap_or(number))
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
        let accept = contact.fields.accept_by_key && dialled.accept;
        let ring_s = contact.fields.ring_s.unwrap_or(dialled.ring_s);
        Ok(Target { view: TargetView::Contact { id: contact.id, name }, accept, ring_s, ..dialled })
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
        let opened = account.map_or(&[][..], |account| &account.fields.extra_numbers);
        let is_open = opened.iter().any(|begin| dial.starts_with(begin.as_str()));
        if !(usual.contains(&number.kind()) || is_open) {
            return Err(LookupError::Forbidden(number.display()));
        }
        let view = TargetView::Number { number: number.display() };
        let accept = account.is_none_or(|account| account.fields.accept_by_key);
        Ok(Target { view, dial: Some(dial), ring_s: self.ring_s, accept })
    }

    /// A phone of our own has no mailbox that could press nothing.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::call::view::{CallState, Direction};
    use crate::directory::DirectoryOptions;
    use crate::directory::card::Card;
    use crate::directory::record::{AccountFields, ContactFields};
    use crate::identity::{Caller, DialledSource, Identity};
    use crate::ids::{CallId, ChannelId, PbxId};
    use crate::store::Store;

    struct Office {
        _dir: tempfile::TempDir,
        directory: Directory,
        account: RecordId,
        settings: Settings,
        call: CallView,
    }

    /// A call to an account that has a contact with a mobile and one with an extension of ours.
    async fn office(change: impl FnOnce(&mut AccountFields)) -> Office {
        let now = Timestamp::UNIX_EPOCH;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let directory = Directory::load(store, DirectoryOptions::default()).await.unwrap();
        let mut fields = AccountFields {
            code: "A1".into(),
            name: "さくら".into(),
            dialled: vec!["0355501001".into()],
            ..AccountFields::default()
        };
        change(&mut fields);
        let account = directory.create_account(fields, now).await.unwrap().id;
        let identity = Identity {
            dialled: vec![(DialledSource::Extension, "0355501001".into())],
            diverted_by: Vec::new(),
            caller: Caller::new(Some("09012345678"), None, Presentation::Allowed),
        };
        let card: Card = directory.bare_card(&directory.identify(&identity, None));
        let config = crate::config::Config::from_layers(None, []).unwrap();
        let pbx = PbxId::parse("pbx").unwrap();
        let call = CallView {
            id: CallId::derive(&pbx, &ChannelId::parse("1.1").unwrap()),
            pbx,
            direction: Direction::Inbound,
            state: CallState::Answered,
            offered_at: now,
            answered_at: Some(now),
            ended_at: None,
            presented_to: Vec::new(),
            operator: Extension::parse("1001").ok(),
            outcome: None,
            card: Some(Arc::new(card)),
            inferred: false,
        };
        Office { _dir: dir, directory, account, settings: config.transfers(), call }
    }

    impl Office {
        async fn add(&self, change: impl FnOnce(&mut ContactFields)) {
            let mut fields = ContactFields::named(self.account, "佐々木健");
            change(&mut fields);
            self.directory.create_contact(fields, Timestamp::UNIX_EPOCH).await.unwrap();
        }

        async fn plan(&self, to: &str) -> Result<Plan, LookupError> {
            self.settings.plan(&self.directory, &self.call, to).await
        }

        /// `dial/seconds/accept` of each target.
        async fn targets(&self, to: &str) -> Vec<String> {
            let told = |t: &Target| format!("{}/{}/{}", t.dial.as_deref().unwrap_or("-"), t.ring_s, t.accept);
            self.plan(to).await.unwrap().targets.iter().map(told).collect()
        }
    }

    #[tokio::test]
    async fn numbers_of_forbidden_kinds_need_the_account() {
        let closed = office(|_| {}).await;
        for forbidden in ["0990123456", "0570012345", "117", "+886 2 2345 6789"] {
            assert!(matches!(closed.plan(forbidden).await, Err(LookupError::Forbidden(_))), "{forbidden}");
        }
        let open = office(|fields| fields.extra_numbers = vec!["0570".into(), "+886".into()]).await;
        assert_eq!(open.targets("0570012345").await, ["0570012345/25/true"]);
        assert_eq!(open.targets("+886 2 2345 6789").await, ["010886223456789/25/true"]);
        assert!(matches!(open.plan("0990123456").await, Err(LookupError::Forbidden(_))));
        assert!(matches!(open.plan("+1 212 555 0100").await, Err(LookupError::Forbidden(_))));
    }

    #[tokio::test]
    async fn who_is_called_outside_presses_a_key_unless_account_or_contact_say_no() {
        let office_on = office(|fields| fields.accept_sound = Some("custom/sakura".into())).await;
        office_on.add(|c| (c.number, c.on_call_order) = (Some("09011112222".into()), Some(1))).await;
        office_on
            .add(|c| {
                (c.number, c.on_call_order) = (Some("09033334444".into()), Some(2));
                (c.accept_by_key, c.ring_s) = (false, Some(40));
            })
            .await;
        office_on.add(|c| (c.number, c.on_call_order) = (Some("1002".into()), Some(3))).await;
        let list = ["09011112222/25/true", "09033334444/40/false", "1002/25/false"];
        assert_eq!(office_on.targets("on-call").await, list);
        assert_eq!(office_on.plan("on-call").await.unwrap().accept_sound.as_deref(), Some("custom/sakura"));
        // A typed number is asked too; where it is a contact's, as the contact wants it.
        assert_eq!(office_on.targets("090-5555-6666").await, ["09055556666/25/true"]);
        assert_eq!(office_on.targets("090-3333-4444").await, ["09033334444/40/false"]);
        assert_eq!(office_on.targets("operator:1002").await, ["1002/25/false"]);

        let office_off = office(|fields| fields.accept_by_key = false).await;
        office_off.add(|c| (c.number, c.on_call_order) = (Some("09011112222".into()), Some(1))).await;
        assert_eq!(office_off.targets("on-call").await, ["09011112222/25/false"]);
        assert_eq!(office_off.targets("09055556666").await, ["09055556666/25/false"]);
    }
}
