//! The question of every pop, asked by a person: which account and customers would this call pop, and why?
//!
//! Invariant: the answer comes from the same code as the pop ([`Directory::identify`] and [`Directory::card`]),
//! so it cannot differ from it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::card::Card;
use super::lookup::Directory;
use super::numbers::Number;
use super::record::{CallerIdPolicy, Contact};
use crate::identity::{Caller, DialledSource, DiversionSource, Identity, Presentation};
use crate::store::StoreError;
use crate::supervision::Notify;

/// A call that might come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The number dialled.
    pub dialled: Option<String>,
    /// The caller's number; absent: withheld.
    pub from: Option<String>,
    /// The number that forwards the call.
    pub diverted_by: Option<String>,
    /// The trunk's endpoint.
    pub trunk: Option<String>,
    /// When it comes.
    pub at: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// Each number that was tried, in order of trust.
    pub tried: Vec<Tried>,
    /// Why these customers, or none.
    pub customers: CustomersWhy,
    /// The card that would pop.
    pub card: Card,
    /// The account's hours and whether they are open then; absent without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursThen>,
    /// What the account says of supervision; absent without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervision: Option<SupervisionThen>,
    /// The account's contacts, in their on-call order.
    pub contacts: Vec<Contact>,
    /// How callers are passed on to them; absent without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfers: Option<TransfersThen>,
}

/// How an account's callers are passed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TransfersThen {
    /// Which number the target sees.
    pub caller_id_policy: CallerIdPolicy,
    /// Whether those who are called outside press 1 first.
    pub accept_by_key: bool,
    /// What they hear before; the installation's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_sound: Option<String>,
    /// Beginnings of numbers that may be called besides the usual kinds.
    pub extra_numbers: Vec<String>,
}

/// A number that might have led to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tried {
    /// Where it came from: `diversion`, `history_info`, `redirecting`, `called_party`, `request_uri`, `to`,
    /// `extension` or `trunk`.
    pub source: &'static str,
    /// The number as sent; the endpoint's name of a trunk.
    pub number: String,
    /// What it is compared by; absent when it is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The account it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It decided.
    Matched,
    /// It leads to the account that a more trusted number had led to.
    Agrees,
    /// It leads to another account, but a more trusted number had decided.
    Outranked,
    /// No account has it.
    NoAccount,
    /// It can't be read as a number.
    NotANumber,
}

/// Why a card shows the customers it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CustomersWhy {
    /// One customer of the account has the number.
    One,
    /// Several have it; the operator chooses.
    Several,
    /// None of the account's customers has it.
    NoneHasIt,
    /// The caller's number is not known or withheld; nobody is matched.
    NoNumber,
    /// What was given as the caller's number can't be read as one.
    NotANumber,
    /// Without an account no customer is looked for.
    NoAccount,
}

/// An account's hours at the time asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoursThen {
    /// As people write them; absent: always open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The time asked for, where the account is.
    pub local_time: String,
    /// Whether it is open then.
    pub open: bool,
}

/// Whether an account's calls may be heard, and what the operator learns of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct SupervisionThen {
    /// Nobody may listen.
    pub never_monitor: bool,
    /// How the operator learns of it; absent: as the installation says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

impl Question {
    fn identity(&self) -> Identity {
        let list = |text: &Option<String>| text.iter().map(|t| t.trim().into()).collect::<Vec<_>>();
        let presentation = if self.from.is_some() { Presentation::Allowed } else { Presentation::Withheld };
        Identity {
            dialled: list(&self.dialled).into_iter().map(|n| (DialledSource::Extension, n)).collect(),
            diverted_by: list(&self.diverted_by)
                .into_iter()
                .map(|n| (DiversionSource::Diversion, n))
                .collect(),
            caller: Caller::new(self.from.as_deref(), None, presentation),
        }
    }
}

impl Directory {
    /// What the call in question would pop, and why.
    ///
    /// # Errors
    /// The store failed.
    pub async fn explain(&self, question: &Question) -> Result<Explanation, StoreError> {
        let (found, tried) = self.weigh(&question.identity(), question.trunk.as_deref());
        let card = self.card(&found).await?;
        let customers = match (&found.account, &found.caller_number, card.customers.len()) {
            (None, ..) => CustomersWhy::NoAccount,
            (_, None, _) if found.caller.number().is_some() => CustomersWhy::NotANumber,
            (_, None, _) => CustomersWhy::NoNumber,
            (.., 0) => CustomersWhy::NoneHasIt,
            (.., 1) => CustomersWhy::One,
            _ => CustomersWhy::Several,
        };
        let zone = &self.shared.options.time_zone;
        let hours = found.account.as_deref().map(|account| {
            let hours = account.fields.hours.as_ref();
            let own = hours.map_or_else(|| zone.clone(), |hours| hours.zone(zone));
            HoursThen {
                hours: hours.map(ToString::to_string),
                local_time: question.at.to_zoned(own).strftime("%Y-%m-%d %H:%M %Z").to_string(),
                open: hours.is_none_or(|hours| hours.is_open(question.at, zone)),
            }
        });
        let contacts = match &found.account {
            Some(account) => self.shared.store.contacts().in_order(account.id).await?,
            None => Vec::new(),
        };
        let transfers = found.account.as_deref().map(|account| TransfersThen {
            caller_id_policy: account.fields.caller_id_policy,
            accept_by_key: account.fields.accept_by_key,
            accept_sound: account.fields.accept_sound.clone(),
            extra_numbers: account.fields.extra_numbers.clone(),
        });
        let supervision = found.account.as_deref().map(|account| SupervisionThen {
            never_monitor: account.fields.never_monitor,
            notify: account.fields.supervision_notify,
        });
        Ok(Explanation { tried, customers, card, hours, supervision, contacts, transfers })
    }

    /// The number `text` as this installation reads it, for people.
    #[must_use]
    pub fn number(&self, text: &str) -> Option<Number> {
        Number::read(text, self.plan())
    }
}
