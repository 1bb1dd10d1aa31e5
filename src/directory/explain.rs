//! Explains a match: which account and customers the pop of a given call would show, and why.
//!
//! Invariant: the answer comes from the same code as the pop ([`Directory::identify`] and [`Directory::card`]), so the
//! two cannot differ.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::lookup::Directory;
pub use super::resolution::{DialledHeader, MatchAttempt, MatchResult};
use crate::callflow::{CallflowThen, PlanState};
use crate::contract::card::Card;
use crate::contract::records::{CallerIdPolicy, Contact};
use crate::contract::supervision::Notify;
use crate::identity::{Caller, DialledSource, DiversionSource, Identity, Presentation};
use crate::numbers::Number;
use crate::store::StoreError;

/// The call to explain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplainRequest {
    /// The number dialled, as the dialplan's extension has it.
    pub dialled: Option<String>,
    /// The number in P-Called-Party-ID.
    pub called_party: Option<String>,
    /// The number in the Request-URI.
    pub request_uri: Option<String>,
    /// The number in To.
    pub to: Option<String>,
    /// The caller's number; `None`: withheld.
    pub from: Option<String>,
    /// The number that forwards the call.
    pub diverted_by: Option<String>,
    /// The trunk's endpoint.
    pub trunk: Option<String>,
    /// The time of the call.
    pub at: Timestamp,
}

/// The number that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DecidingNumber {
    /// Where it was, as in `tried`.
    pub source: &'static str,
    /// The number as sent; the endpoint's name of a trunk.
    pub number: String,
}

/// The explanation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// Each number that was tried, in order of trust.
    pub tried: Vec<MatchAttempt>,
    /// The header, or the trunk, that decided; absent without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<DecidingNumber>,
    /// Which header has the dialled number of this trunk's calls (`directory.dialled_headers`).
    #[schema(value_type = String)]
    pub dialled_header: DialledHeader,
    /// Why the card has these customers, or none.
    pub customers: CustomerMatchReason,
    /// The card that the pop would show. Its `script` is the one that a call at that time has; absent: the built-in one.
    pub card: Card,
    /// The account's hours, and whether it is open at that time; absent without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursInfo>,
    /// What the PBX does with the call before an operator; absent where its own dialplan decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callflow: Option<CallflowThen>,
    /// Whether the PBX has the plans that say so; absent without a callflow, and where no daemon was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_the_pbx: Option<PlanState>,
    /// The account's supervision settings; absent without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervision: Option<SupervisionPolicyInfo>,
    /// The account's contacts, in their on-call order.
    pub contacts: Vec<Contact>,
    /// The account's transfer settings; absent without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfers: Option<TransferPolicyInfo>,
}

/// An account's transfer settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TransfersThen)]
pub struct TransferPolicyInfo {
    /// Which number the target sees.
    pub caller_id_policy: CallerIdPolicy,
    /// Whether an external target must press 1 to accept the call.
    pub accept_by_key: bool,
    /// The sound that asks the target to press 1; absent: the installation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_sound: Option<String>,
    /// Number prefixes that transfers may call besides the usual kinds.
    pub extra_numbers: Vec<String>,
}

/// Why a card shows the customers it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CustomersWhy)]
pub enum CustomerMatchReason {
    /// One customer of the account has the number.
    One,
    /// Several have it; the operator chooses.
    Several,
    /// None of the account's customers has it.
    NoneHasIt,
    /// The caller's number is unknown or withheld; no customer is matched.
    NoNumber,
    /// The text given as the caller's number cannot be parsed as a number.
    NotANumber,
    /// Without an account no customer is searched.
    NoAccount,
}

/// An account's hours at the given time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = HoursThen)]
pub struct HoursInfo {
    /// The hours in their text form; absent: always open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The given time in the account's time zone.
    pub local_time: String,
    /// Whether the account is open at that time.
    pub open: bool,
    /// When it closes or opens next; absent where that is not within 400 days.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// The holiday that the day is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holiday: Option<String>,
}

/// An account's supervision settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SupervisionThen)]
pub struct SupervisionPolicyInfo {
    /// The account's calls are never monitored.
    pub never_monitor: bool,
    /// How the operator is notified; absent: as the installation is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

impl ExplainRequest {
    fn identity(&self) -> Identity {
        let list = |text: &Option<String>| text.iter().map(|t| t.trim().into()).collect::<Vec<_>>();
        let called = [
            (DialledSource::CalledParty, &self.called_party),
            (DialledSource::RequestUri, &self.request_uri),
            (DialledSource::To, &self.to),
            (DialledSource::Extension, &self.dialled),
        ];
        let presentation = if self.from.is_some() { Presentation::Allowed } else { Presentation::Withheld };
        Identity {
            dialled: called
                .iter()
                .flat_map(|(source, text)| list(text).into_iter().map(|number| (*source, number)))
                .collect(),
            diverted_by: list(&self.diverted_by)
                .into_iter()
                .map(|n| (DiversionSource::Diversion, n))
                .collect(),
            caller: Caller::new(self.from.as_deref(), None, presentation),
        }
    }
}

impl Directory {
    /// What the pop of this call would show, and why.
    ///
    /// # Errors
    /// The store failed.
    pub async fn explain(&self, request: &ExplainRequest) -> Result<Explanation, StoreError> {
        let (resolution, tried) = self.resolve(&request.identity(), request.trunk.as_deref());
        let card = self.card(&resolution, request.at).await?;
        let customers = match (&resolution.account, &resolution.caller_number, card.customers.len()) {
            (None, ..) => CustomerMatchReason::NoAccount,
            (_, None, _) if resolution.caller.number().is_some() => CustomerMatchReason::NotANumber,
            (_, None, _) => CustomerMatchReason::NoNumber,
            (.., 0) => CustomerMatchReason::NoneHasIt,
            (.., 1) => CustomerMatchReason::One,
            _ => CustomerMatchReason::Several,
        };
        let zone = &self.shared.options.time_zone;
        let hours = resolution.account.as_deref().map(|account| {
            let hours = account.fields.hours.as_ref();
            let state = card.account.hours.clone();
            let own = hours.map_or_else(|| zone.clone(), |hours| hours.zone(zone));
            HoursInfo {
                hours: hours.map(ToString::to_string),
                local_time: request.at.to_zoned(own).strftime("%Y-%m-%d %H:%M %Z").to_string(),
                open: state.as_ref().is_none_or(|state| state.open),
                until: state.as_ref().and_then(|state| state.until),
                holiday: state.and_then(|state| state.holiday),
            }
        });
        let callflow = match &resolution.account {
            Some(account) => self.callflow_for(account.id, request.from.as_deref(), request.at).await?,
            None => None,
        };
        let contacts = match &resolution.account {
            Some(account) => self.shared.store.contacts_in_order(account.id).await?,
            None => Vec::new(),
        };
        let transfers = resolution.account.as_deref().map(|account| TransferPolicyInfo {
            caller_id_policy: account.fields.caller_id_policy,
            accept_by_key: account.fields.accept_by_key,
            accept_sound: account.fields.accept_sound.clone(),
            extra_numbers: account.fields.extra_numbers.clone(),
        });
        let supervision = resolution.account.as_deref().map(|account| SupervisionPolicyInfo {
            never_monitor: account.fields.never_monitor,
            notify: account.fields.supervision_notify,
        });
        let decided = tried.iter().find(|attempt| attempt.verdict == MatchResult::Matched);
        let decided_by =
            decided.map(|attempt| DecidingNumber { source: attempt.source, number: attempt.number.clone() });
        let dialled_header = self.dialled_header(request.trunk.as_deref());
        Ok(Explanation {
            tried,
            decided_by,
            dialled_header,
            customers,
            card,
            hours,
            callflow,
            at_the_pbx: None,
            supervision,
            contacts,
            transfers,
        })
    }

    /// Parses `text` by the installation's number plan.
    #[must_use]
    pub fn number(&self, text: &str) -> Option<Number> {
        Number::read(text, self.plan())
    }
}
