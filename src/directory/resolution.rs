//! How the account of a call is chosen from the call's numbers, and what came of each number.
//!
//! | number tried, in order of trust | the account is found by |
//! |---|---|
//! | each number that forwarded the call (Diversion, History-Info, the PBX's own) | the account that owns the forwarding number |
//! | a called number that is an account's forwarding number: a network that forwards leaves the client's number in To or in the Request-URI | that account |
//! | each number that was dialled, in the order of [`DialledHeader`] | the account that the number belongs to |
//! | the trunk's endpoint | the trunk's default account |
//!
//! Invariant: the first number that leads to an account decides; later ones are only recorded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use crate::contract::card::MatchedBy;
use crate::contract::records::Account;
use crate::identity::{Caller, DialledSource};
use crate::numbers::{Number, NumberPlan};

/// Which account a call is for and who calls, from memory alone.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The account to answer for.
    pub account: Option<Arc<Account>>,
    /// By which number the account was found.
    pub matched_by: MatchedBy,
    /// The service's number that rang, as dialled.
    pub dialled: Option<SmolStr>,
    /// The number that forwarded the call, as sent.
    pub diverted_by: Option<SmolStr>,
    /// The caller, as the network reported.
    pub caller: Caller,
    /// The caller's number, parsed.
    pub caller_number: Option<Number>,
}

/// Where a trunk's calls have the number that was dialled. Carriers differ: a trunk that registers often has its pilot number
/// in the Request-URI and the dialled number in To.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialledHeader {
    /// P-Called-Party-ID; then To and the dialplan's extension, where they differ from the Request-URI; then the
    /// Request-URI.
    #[default]
    Auto,
    /// P-Called-Party-ID, then as `Auto`.
    CalledParty,
    /// The Request-URI, then as `Auto`.
    RequestUri,
    /// To, then as `Auto`.
    To,
    /// The extension that the dialplan chose, then as `Auto`.
    Extension,
}

impl DialledHeader {
    /// How `toritsugi check` describes it.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Auto => {
                "P-Called-Party-ID, else To or the dialplan's extension where they differ from the Request-URI, else the Request-URI"
            }
            Self::CalledParty => "P-Called-Party-ID",
            Self::RequestUri => "the Request-URI",
            Self::To => "To",
            Self::Extension => "the dialplan's extension",
        }
    }

    /// The called numbers in the order in which they count; numbers of the same rank keep their order.
    pub(super) fn order<'a>(
        self,
        dialled: &'a [(DialledSource, SmolStr)],
        plan: &NumberPlan,
    ) -> Vec<&'a (DialledSource, SmolStr)> {
        let key = |text: &SmolStr| Number::read(text, plan).map(|number| SmolStr::new(number.key()));
        let of = |source| dialled.iter().find(|(other, _)| *other == source);
        let target = of(DialledSource::RequestUri).and_then(|(_, number)| key(number));
        let adds = |number: &SmolStr| target.is_none() || key(number) != target;
        let rank = |(source, number): &(DialledSource, SmolStr)| match source {
            source if self.is(*source) => 0,
            DialledSource::CalledParty => 1,
            DialledSource::To if adds(number) => 2,
            DialledSource::Extension if adds(number) => 3,
            DialledSource::RequestUri => 4,
            DialledSource::To | DialledSource::Extension => 5,
        };
        let mut ordered: Vec<_> = dialled.iter().collect();
        ordered.sort_by_key(|entry| rank(entry));
        ordered
    }

    fn is(self, source: DialledSource) -> bool {
        let wanted = match self {
            Self::Auto => return false,
            Self::CalledParty => DialledSource::CalledParty,
            Self::RequestUri => DialledSource::RequestUri,
            Self::To => DialledSource::To,
            Self::Extension => DialledSource::Extension,
        };
        source == wanted
    }
}

/// A number that was tried to find the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Tried)]
pub struct MatchAttempt {
    /// Where it came from: `diversion`, `history_info`, `redirecting`, `called_party`, `request_uri`, `to`,
    /// `extension` or `trunk`.
    pub source: &'static str,
    /// The number as sent; the endpoint's name of a trunk.
    pub number: String,
    /// The key by which it is compared; absent when it is not a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The account it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The result for this number.
    pub verdict: MatchResult,
}

/// The result for one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Verdict)]
pub enum MatchResult {
    /// It decided.
    Matched,
    /// It leads to the account that a more trusted number had led to.
    Agrees,
    /// It leads to another account, but a more trusted number had decided.
    Outranked,
    /// No account has it.
    NoAccount,
    /// It cannot be parsed as a number.
    NotANumber,
}

/// The numbers tried so far, and the account that was found.
#[derive(Default)]
pub(super) struct MatchTrace {
    pub(super) winner: Option<(Arc<Account>, MatchedBy)>,
    pub(super) attempts: Vec<MatchAttempt>,
}

impl MatchTrace {
    /// Records a number; true when it decides.
    pub(super) fn record(
        &mut self,
        source: &'static str,
        sent: &str,
        number: Option<Number>,
        account: Option<&Arc<Account>>,
        matched_by: MatchedBy,
    ) -> bool {
        let verdict = match (&number, account) {
            (None, _) => MatchResult::NotANumber,
            (_, None) => MatchResult::NoAccount,
            (_, Some(account)) => self.claim(account, matched_by),
        };
        self.attempts.push(MatchAttempt {
            source,
            number: sent.to_owned(),
            key: number.map(|number| number.key().to_owned()),
            account: account.map(|account| account.fields.name.clone()),
            verdict,
        });
        verdict == MatchResult::Matched
    }

    /// Records the trunk that the call came in on, with its default account.
    pub(super) fn record_trunk(&mut self, trunk: &str, account: Option<&Arc<Account>>) {
        let verdict = account.map_or(MatchResult::NoAccount, |account| self.claim(account, MatchedBy::Trunk));
        let account = account.map(|account| account.fields.name.clone());
        self.attempts.push(MatchAttempt {
            source: "trunk",
            number: trunk.to_owned(),
            key: None,
            account,
            verdict,
        });
    }

    fn claim(&mut self, account: &Arc<Account>, matched_by: MatchedBy) -> MatchResult {
        match &self.winner {
            None => {
                self.winner = Some((Arc::clone(account), matched_by));
                MatchResult::Matched
            }
            Some((winner, _)) if winner.id == account.id => MatchResult::Agrees,
            Some(_) => MatchResult::Outranked,
        }
    }
}
