//! Transfer targets: resolves the `to` of a transfer for the account of a call, and decides whether it may be dialled.
//!
//! | `to` | resolves to |
//! |---|---|
//! | `contact:ID` | a contact of the call's account with a number |
//! | `on-call` | the account's contacts who are in a shift by date now, else those with a rank in the on-call order, in that order; those that cannot be dialled, or take no calls (`no_transfer`), are left out |
//! | `operator:EXT` | the phone of an operator or supervisor |
//! | `queue:NAME` | a queue that the configuration opens to transfers |
//! | a number | a national fixed, mobile, IP or toll-free number, another one that the account opens (`extra_numbers`), or an operator's extension; the contact with that number, if the account has one |
//!
//! A lookup reads the account, and its contacts where needed, from the store; it fails when the store fails.
//!
//! A contact with `no_transfer` is no target, whether it is named or its number is typed, unless a supervisor says so
//! ([`ContactRules`]).
//!
//! Invariant: only digits that passed these rules reach the dialplan, and the rules are about the digits that are
//! dialled (`numbers/dial.rs`). What is not positively known as a fixed, mobile, IP or free phone line of the country is
//! refused unless the account's record opens it. The number of a caller who withholds it is never shown to
//! a target. A target on a public number presses 1 first, unless the account or the contact turns that off: a number that
//! an operator types may have a mailbox as well.

use jiff::Timestamp;
use smol_str::SmolStr;
use uuid::Uuid;

use crate::contract::call::CallView;
use crate::contract::extension_pattern::ExtensionPattern;
use crate::contract::records::{Account, CallerIdPolicy, Contact, on_call_at};
use crate::contract::transfer::TargetView;
use crate::directory::Directory;
use crate::identity::Presentation;
use crate::ids::{Extension, QueueName, RecordId};
use crate::numbers::{Number, NumberKind};
use crate::store::StoreError;
use crate::transfer::{Plan, ShownNumber, TARGETS_MAX, Target};

/// Transfer settings, from the configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long a target rings, in seconds.
    pub ring_s: u32,
    /// The service's own number, for accounts whose targets see that number.
    pub service_number: SmolStr,
    /// Queues that may be targets; the first one takes callers who cannot return to their operator.
    pub queues: Vec<QueueName>,
    /// The extensions of operators and supervisors.
    pub operators: Vec<ExtensionPattern>,
}

/// Whether the rules of contacts hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactRules {
    /// They do.
    Kept,
    /// A supervisor goes beyond them.
    Overridden,
}

/// Why a transfer to that target is impossible.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The text is not a target.
    #[error(
        "{0:?} is not a transfer target: use contact:ID, on-call, operator:EXTENSION, queue:NAME or a number"
    )]
    Unreadable(String),
    /// The account has no such contact.
    #[error("the account of this call has no such contact")]
    UnknownContact,
    /// No contact is on call.
    #[error("no contact of this account is on call with a number")]
    NobodyOnCall,
    /// The contact takes no calls.
    #[error(
        "{name} takes no calls (no_transfer): take a message; a supervisor may transfer all the same, with override_rules"
    )]
    TakesNoCalls {
        /// The contact.
        contact: RecordId,
        /// Its name.
        name: String,
    },
    /// The contact has no number.
    #[error("{0} has no number")]
    NoNumber(String),
    /// No operator has that extension.
    #[error("{0} is not an operator's extension")]
    NoOperator(String),
    /// The configuration does not open that queue to transfers.
    #[error("queue {0} does not accept transfers; see transfer.queues in the configuration")]
    ClosedQueue(String),
    /// The number is of a kind that the account does not allow.
    #[error("{0} may not be dialled for this account; its extra_numbers can allow it")]
    Forbidden(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Settings {
    /// Resolves `to` for this call.
    ///
    /// # Errors
    /// [`LookupError`]: `to` resolves to nothing that may be called.
    pub async fn plan(
        &self,
        directory: &Directory,
        call: &CallView,
        to: &str,
        (rules, now): (ContactRules, Timestamp),
    ) -> Result<Plan, LookupError> {
        let id = call.card.as_deref().and_then(|card| card.account.id);
        let account = match id {
            Some(id) => directory.store().account(id).await?,
            None => None,
        };
        let account = account.as_ref();
        let targets = match to.split_once(':') {
            Some(("contact", id)) => vec![self.contact(directory, account, id, rules).await?],
            Some(("operator", extension)) => vec![self.operator(extension)?],
            Some(("queue", name)) => vec![self.queue(name)?],
            None if to == "on-call" => self.on_call(directory, account, now).await?,
            None => vec![self.typed(directory, account, to, rules).await?],
            Some(_) => return Err(LookupError::Unreadable(to.to_owned())),
        };
        let sound = account.and_then(|account| account.fields.accept_sound.as_deref());
        Ok(Plan {
            targets,
            shown_number: self.shown_number(directory, account, call),
            accept_sound: sound.map(SmolStr::new),
            return_queue: self.queues.first().cloned(),
        })
    }

    async fn contact(
        &self,
        directory: &Directory,
        account: Option<&Account>,
        id: &str,
        rules: ContactRules,
    ) -> Result<Target, LookupError> {
        let id = Uuid::try_parse(id).map_err(|_| LookupError::Unreadable(format!("contact:{id}")))?;
        let found = directory.store().contact(RecordId(id)).await?;
        let own = |contact: &Contact| account.is_some_and(|account| account.id == contact.fields.account);
        let contact = found.filter(own).ok_or(LookupError::UnknownContact)?;
        check(&contact, rules)?;
        self.person(directory, account, &contact)
    }

    async fn on_call(
        &self,
        directory: &Directory,
        account: Option<&Account>,
        now: Timestamp,
    ) -> Result<Vec<Target>, LookupError> {
        let account = account.ok_or(LookupError::NobodyOnCall)?;
        let contacts = directory.store().contacts_in_order(account.id).await?;
        // A contact who cannot be dialled is skipped.
        let targets: Vec<Target> = on_call_at(&contacts, now)
            .filter(|contact| !contact.fields.no_transfer)
            .filter_map(|contact| self.person(directory, Some(account), contact).ok())
            .take(TARGETS_MAX)
            .collect();
        if targets.is_empty() { Err(LookupError::NobodyOnCall) } else { Ok(targets) }
    }

    /// A typed number; if it is a contact's number, that contact.
    async fn typed(
        &self,
        directory: &Directory,
        account: Option<&Account>,
        text: &str,
        rules: ContactRules,
    ) -> Result<Target, LookupError> {
        let number = self.number(directory, account, text)?;
        let (Some(account), Some(dial)) = (account, &number.dial) else { return Ok(number) };
        let contacts = directory.store().contacts_in_order(account.id).await?;
        let mut found = None;
        for contact in &contacts {
            let Ok(person) = self.person(directory, Some(account), contact) else { continue };
            if person.dial.as_ref() == Some(dial) {
                // Several contacts may share a number: the rule of one is the rule of the number.
                check(contact, rules)?;
                found.get_or_insert(person);
            }
        }
        Ok(found.unwrap_or(number))
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
        let opened = account.map_or(&[][..], |account| &account.fields.extra_numbers);
        let Some(dial) = number.permitted_dial_string(directory.plan(), opened) else {
            return Err(LookupError::Forbidden(number.display()));
        };
        let view = TargetView::Number { number: number.display() };
        let accept = account.is_none_or(|account| account.fields.accept_by_key);
        Ok(Target { view, dial: Some(dial), ring_s: self.ring_s, accept })
    }

    /// An operator's phone needs no key press: it has no mailbox.
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

    fn shown_number(&self, directory: &Directory, account: Option<&Account>, call: &CallView) -> ShownNumber {
        let shown =
            call.card.as_deref().is_some_and(|card| card.caller.presentation == Presentation::Allowed);
        let digits = |text: &str| Some(Number::read(text, directory.plan())?.dial_string(directory.plan()));
        let number = call.card.as_deref().and_then(|card| card.caller.number.as_deref());
        let number = number.and_then(digits);
        let own = || match shown {
            true => ShownNumber::Caller(number.clone()),
            false => ShownNumber::Withheld,
        };
        match account.map(|account| (account.fields.caller_id_policy, &account.fields)) {
            None | Some((CallerIdPolicy::Caller, _)) => own(),
            Some((CallerIdPolicy::Account, fields)) => {
                let number = fields.dialled.first().or(fields.forwarding.first());
                number.and_then(|number| digits(number)).map_or_else(own, ShownNumber::Number)
            }
            Some((CallerIdPolicy::Service, _)) => {
                digits(&self.service_number).map_or_else(own, ShownNumber::Number)
            }
        }
    }
}

/// Whether this contact takes calls.
fn check(contact: &Contact, rules: ContactRules) -> Result<(), LookupError> {
    if contact.fields.no_transfer && rules == ContactRules::Kept {
        return Err(LookupError::TakesNoCalls { contact: contact.id, name: contact.fields.name.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;

    /// No shift of another test covers it.
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    use crate::contract::call::{CallState, Direction};
    use crate::contract::card::Card;
    use crate::contract::records::{AccountFields, ContactFields, OnCallShift};
    use crate::directory::DirectoryOptions;
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

    /// A call to an account; `change` adapts the account's fields.
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
        let card: Card = directory.bare_card(&directory.identify(&identity, None), Timestamp::now());
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
            handled_by: Vec::new(),
            outcome: None,
            card: Some(Arc::new(card)),
            queue: None,
            treatment: None,
            guidance: None,
            inferred: false,
        };
        Office { _dir: dir, directory, account, settings: config.transfer_settings(), call }
    }

    impl Office {
        async fn add(&self, change: impl FnOnce(&mut ContactFields)) {
            let mut fields = ContactFields::named(self.account, "佐々木健");
            change(&mut fields);
            self.directory.create_contact(fields, Timestamp::UNIX_EPOCH).await.unwrap();
        }

        async fn plan(&self, to: &str) -> Result<Plan, LookupError> {
            self.settings.plan(&self.directory, &self.call, to, (ContactRules::Kept, NOW)).await
        }

        async fn overridden(&self, to: &str) -> Result<Plan, LookupError> {
            self.settings.plan(&self.directory, &self.call, to, (ContactRules::Overridden, NOW)).await
        }

        /// `dial/seconds/accept` of each target.
        async fn targets(&self, to: &str) -> Vec<String> {
            let text = |t: &Target| format!("{}/{}/{}", t.dial.as_deref().unwrap_or("-"), t.ring_s, t.accept);
            self.plan(to).await.unwrap().targets.iter().map(text).collect()
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
    async fn a_number_without_its_zero_is_not_dialled_abroad() {
        let closed = office(|_| {}).await;
        for typed in [
            "1012125550100",
            "106834000",
            "10-881-622-000-000",
            "+81 10 1 212 5550100",
            "0204123456",
            "0180123456",
        ] {
            assert!(matches!(closed.plan(typed).await, Err(LookupError::Forbidden(_))), "{typed}");
        }
        // Neither is a contact with such a number.
        closed.add(|c| (c.number, c.on_call_order) = (Some("0204123456".into()), Some(1))).await;
        assert!(matches!(closed.plan("on-call").await, Err(LookupError::NobodyOnCall)));
    }

    #[tokio::test]
    async fn a_shift_by_date_takes_the_place_of_the_on_call_list() {
        let office = office(|_| {}).await;
        office.add(|c| (c.number, c.on_call_order) = (Some("09011112222".into()), Some(1))).await;
        let until = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let shift = |seconds| OnCallShift { from: until(-60), until: until(seconds) };
        // It ended when the call came.
        office.add(|c| (c.number, c.on_call_shifts) = (Some("09055556666".into()), vec![shift(0)])).await;
        assert_eq!(office.targets("on-call").await, ["09011112222/25/true"]);
        office.add(|c| (c.number, c.on_call_shifts) = (Some("09033334444".into()), vec![shift(60)])).await;
        assert_eq!(office.targets("on-call").await, ["09033334444/25/true"]);
    }

    #[tokio::test]
    async fn a_public_number_presses_a_key_unless_account_or_contact_say_no() {
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
        // A typed number must press a key, too; a contact's number follows the contact's setting.
        assert_eq!(office_on.targets("090-5555-6666").await, ["09055556666/25/true"]);
        assert_eq!(office_on.targets("090-3333-4444").await, ["09033334444/40/false"]);
        assert_eq!(office_on.targets("operator:1002").await, ["1002/25/false"]);

        let office_off = office(|fields| fields.accept_by_key = false).await;
        office_off.add(|c| (c.number, c.on_call_order) = (Some("09011112222".into()), Some(1))).await;
        assert_eq!(office_off.targets("on-call").await, ["09011112222/25/false"]);
        assert_eq!(office_off.targets("09055556666").await, ["09055556666/25/false"]);
    }

    #[tokio::test]
    async fn a_contact_who_takes_no_calls_is_no_target_however_it_is_named() {
        let office = office(|_| {}).await;
        office.add(|c| (c.number, c.on_call_order) = (Some("09011112222".into()), Some(1))).await;
        office
            .add(|c| {
                (c.name, c.no_transfer) = ("弁護士".into(), true);
                (c.number, c.on_call_order) = (Some("090-3333-4444".into()), Some(2));
            })
            .await;
        let contacts = office.directory.store().contacts_in_order(office.account).await.unwrap();
        let lawyer = contacts.iter().find(|contact| contact.fields.no_transfer).unwrap().id;
        let named = format!("contact:{lawyer}");
        for to in [named.as_str(), "09033334444", "+81 90-3333-4444"] {
            let refused = office.plan(to).await.unwrap_err();
            assert!(
                matches!(&refused, LookupError::TakesNoCalls { contact, name } if (*contact, name.as_str()) == (lawyer, "弁護士")),
                "{to}: {refused}"
            );
            let plan = office.overridden(to).await.unwrap();
            assert_eq!(plan.targets[0].dial.as_deref(), Some("09033334444"), "{to}");
        }
        assert_eq!(office.targets("on-call").await, ["09011112222/25/true"]);
        // A colleague with the same number does not open it.
        office.add(|c| (c.name, c.number) = ("受付".into(), Some("09033334444".into()))).await;
        assert!(matches!(office.plan("09033334444").await, Err(LookupError::TakesNoCalls { .. })));
    }
}
