//! The plan of an account: what its bill counts and what it costs.
//!
//! Invariant: the steps of a plan that was checked ([`Plan::checked`]) follow each other without a gap, so that every
//! call above those included has exactly one price.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most characters of the name.
const NAME_CHARS_MAX: usize = 100;
/// Most steps of prices.
const STEPS_MAX: usize = 20;
/// Most dispositions that a plan leaves out.
const DISPOSITIONS_MAX: usize = 50;
/// Highest price, in yen. So no sum overflows.
const YEN_MAX: u32 = 10_000_000;
/// Most calls that are included, and the highest number that begins a step.
const CALLS_MAX: u32 = 1_000_000;
/// Longest time of a rule, in seconds: a day.
const SECONDS_MAX: u32 = 86_400;
/// Latest closing day but the end of the month: every month has it.
const CLOSING_DAY_MAX: u8 = 28;

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillBasis)]
pub enum Basis {
    /// Calls that an operator answered.
    #[default]
    Answered,
    /// Messages that were taken in calls: a call with two messages counts twice.
    Messages,
    /// Every call in the hours of the account, answered or not.
    OfferedOpen,
}

/// The price of each call of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillStep)]
pub struct Step {
    /// The first call of the step, counted from 1. The first step begins after the calls that are included.
    pub from: u32,
    /// The last one; absent in the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// The price of each, in yen.
    pub yen: u32,
}

/// A price for time: each unit that has begun costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillTimePrice)]
pub struct TimePrice {
    /// Seconds that cost nothing.
    #[serde(default)]
    pub after_s: u32,
    /// The length of a unit, in seconds.
    pub round_s: u32,
    /// The price of each unit that has begun, in yen.
    pub yen: u32,
}

/// The price of transfers in which the caller and the target spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillTransferPrice)]
pub struct TransferPrice {
    /// The price of each, in yen.
    #[serde(default)]
    pub yen: u32,
    /// The price of their time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimePrice>,
}

/// The price of calls that were made for the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillOutboundPrice)]
pub struct OutboundPrice {
    /// The price of each that was answered, in yen.
    pub yen: u32,
}

/// The price of voice messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillVoiceMessagePrice)]
pub struct VoiceMessagePrice {
    /// The price of each call in which one was left, in yen.
    pub yen: u32,
}

/// The rules of an account's bill. Amounts are whole yen before tax.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = BillRules)]
pub struct Plan {
    /// Its name, for instance スタンダード: at most 100 characters.
    pub name: String,
    /// The price of the month without any call, in yen.
    pub base_yen: u32,
    /// What counts.
    pub basis: Basis,
    /// How many are in the price of the month.
    pub include: u32,
    /// The prices of those above; without a step they cost nothing.
    pub extra: Vec<Step>,
    /// Calls with these dispositions do not count. The last disposition of a call holds.
    pub exclude_dispositions: Vec<String>,
    /// A call of the same caller within so many seconds of one that counts does not count; 0: each counts.
    pub merge_repeat_s: u32,
    /// An answered call with less talk does not count, in seconds.
    pub min_talk_s: u32,
    /// The price of long talk in calls that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub talk: Option<TimePrice>,
    /// The price of transfers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferPrice>,
    /// The price of calls to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound: Option<OutboundPrice>,
    /// The price of voice messages that callers left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_message: Option<VoiceMessagePrice>,
    /// The last day of the bill's month, 1 to 28; absent: the last day of the calendar month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing_day: Option<u8>,
}

/// Why a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

impl Plan {
    /// The plan, if it makes sense.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn checked(self) -> Result<Self, PlanError> {
        let refuse = |text: String| Err(PlanError(text));
        if self.name.trim().is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            return refuse(format!("name: 1 to {NAME_CHARS_MAX} characters"));
        }
        if self.name.chars().any(char::is_control) {
            return refuse("name: one line".into());
        }
        if self.include > CALLS_MAX {
            return refuse(format!("include: at most {CALLS_MAX}"));
        }
        if self.closing_day.is_some_and(|day| day == 0 || day > CLOSING_DAY_MAX) {
            return refuse(format!(
                "closing_day: 1 to {CLOSING_DAY_MAX}; leave it out for the end of the month"
            ));
        }
        if self.exclude_dispositions.len() > DISPOSITIONS_MAX {
            return refuse(format!("exclude_dispositions: at most {DISPOSITIONS_MAX}"));
        }
        self.check_steps()?;
        self.check_times()?;
        let transfer = self.transfer.as_ref().map_or(0, |price| price.yen);
        let outbound = self.outbound.as_ref().map_or(0, |price| price.yen);
        let voice_message = self.voice_message.as_ref().map_or(0, |price| price.yen);
        for (field, yen) in [
            ("base_yen", self.base_yen),
            ("transfer.yen", transfer),
            ("outbound.yen", outbound),
            ("voice_message.yen", voice_message),
        ] {
            if yen > YEN_MAX {
                return refuse(format!("{field}: at most {YEN_MAX}"));
            }
        }
        Ok(self)
    }

    fn check_steps(&self) -> Result<(), PlanError> {
        if self.extra.len() > STEPS_MAX {
            return Err(PlanError(format!("extra: at most {STEPS_MAX} steps")));
        }
        let mut next = Some(self.include + 1);
        for (n, step) in self.extra.iter().enumerate() {
            let Some(from) = next else {
                return Err(PlanError(format!("extra[{}]: give the step its last call, to", n - 1)));
            };
            if step.from != from {
                return Err(PlanError(format!(
                    "extra[{n}].from: must be {from}, so that no call is without a price"
                )));
            }
            if step.to.is_some_and(|to| to < step.from || to > CALLS_MAX) {
                return Err(PlanError(format!("extra[{n}].to: {from} to {CALLS_MAX}")));
            }
            if step.yen > YEN_MAX {
                return Err(PlanError(format!("extra[{n}].yen: at most {YEN_MAX}")));
            }
            next = step.to.map(|to| to + 1);
        }
        match next {
            Some(_) if !self.extra.is_empty() => {
                Err(PlanError(format!("extra[{}].to: leave it out in the last step", self.extra.len() - 1)))
            }
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), PlanError> {
        let transfer = self.transfer.as_ref().and_then(|price| price.time.as_ref());
        for (field, price) in [("talk", self.talk.as_ref()), ("transfer.time", transfer)] {
            let Some(TimePrice { after_s, round_s, yen }) = price else { continue };
            if *round_s == 0 || *round_s > SECONDS_MAX || *after_s > SECONDS_MAX || *yen > YEN_MAX {
                return Err(PlanError(format!(
                    "{field}: after_s up to {SECONDS_MAX}, round_s 1 to {SECONDS_MAX}, yen up to {YEN_MAX}"
                )));
            }
        }
        for (field, seconds) in [("merge_repeat_s", self.merge_repeat_s), ("min_talk_s", self.min_talk_s)] {
            if seconds > SECONDS_MAX {
                return Err(PlanError(format!("{field}: at most {SECONDS_MAX}")));
            }
        }
        Ok(())
    }
}

impl TimePrice {
    /// How many units of this time have begun, and cost.
    #[must_use]
    pub fn units(&self, ms: u64) -> u64 {
        let over = ms.saturating_sub(u64::from(self.after_s) * 1_000);
        over.div_ceil(u64::from(self.round_s.max(1)) * 1_000)
    }
}
