//! The formulas. Each has an id, a version, names, and the arithmetic that is printed beside its figure.
//!
//! | id | meaning |
//! |---|---|
//! | `AR-…` | answer rate (応答率); `AR-care` (対応率) adds what callers left and was done in time |
//! | `SL-…` | service level (時間内応答率): answered within T. Four variants differ in what an early hang-up counts as |
//! | `AB-net`, `OV` | abandoned, overflowed |
//! | `ASA…`, `AHT`, `ATT`, `AHold`, `ACW` | times per call or part |
//! | `OCC`, `UTL` | how busy people are, and how much of their time they are there for callers: of their states, ringing is waiting |
//! | `TR`, `RC` | transfers that reached somebody, callers who tried again |
//!
//! Invariant: 0/0 is no figure, neither 0 % nor 100 %. What a formula computes never changes under the same version.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Counters;

/// The limits T for which calls are counted, in seconds.
pub const WITHIN_S: [u32; 7] = [5, 10, 15, 20, 30, 60, 120];
/// T where none is asked for.
pub const WITHIN_DEFAULT_S: u32 = 20;

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A part of one: 0.85 is 85 %.
    Ratio,
    /// Milliseconds.
    Milliseconds,
}

/// Numerator and denominator.
type Parts = (u64, u64);

/// A formula.
#[derive(Debug, Clone, Copy)]
pub struct Formula {
    /// Its id.
    pub id: &'static str,
    /// Its version.
    pub version: u32,
    /// Its name in Japanese.
    pub ja: &'static str,
    /// Its name in English.
    pub en: &'static str,
    /// The arithmetic, in the names of the counters; `{T}` stands for the limit.
    text: &'static str,
    /// What the figure is.
    pub unit: Unit,
    /// What a reader must know before using the figure, in Japanese and English.
    pub note: Option<(&'static str, &'static str)>,
    parts: fn(&Counters, u32) -> Parts,
}

/// A formula with its figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The formula's id.
    pub id: &'static str,
    /// The figure; `None` where the denominator is zero.
    pub value: Option<f64>,
}

impl Formula {
    /// Whether it is about people's states, and no account has it.
    #[must_use]
    pub fn is_of_states(&self) -> bool {
        matches!(self.id, "OCC" | "UTL")
    }

    /// The formula with this id.
    #[must_use]
    pub fn with_id(id: &str) -> Option<&'static Self> {
        FORMULAS.iter().find(|formula| formula.id.eq_ignore_ascii_case(id))
    }

    /// The arithmetic with this limit.
    #[must_use]
    pub fn text(&self, within_s: u32) -> String {
        self.text.replace("{T}", &within_s.to_string())
    }

    /// Whether the limit matters.
    #[must_use]
    pub fn has_limit(&self) -> bool {
        self.text.contains("{T}")
    }

    /// Numerator and denominator.
    pub(super) fn parts_of(&self, counters: &Counters, within_s: u32) -> Parts {
        (self.parts)(counters, within_s)
    }

    /// The figure of these counters. `within_s` is one of [`WITHIN_S`].
    #[must_use]
    pub fn figure(&self, counters: &Counters, within_s: u32) -> Figure {
        let (over, under) = (self.parts)(counters, within_s);
        // Counts stay far below 2^52.
        let value = (under > 0).then(|| over as f64 / under as f64);
        Figure { id: self.id, value }
    }
}

const fn ratio(
    id: &'static str,
    ja: &'static str,
    en: &'static str,
    text: &'static str,
    parts: fn(&Counters, u32) -> Parts,
) -> Formula {
    Formula { id, version: 1, ja, en, text, unit: Unit::Ratio, note: None, parts }
}

const fn mean(
    id: &'static str,
    ja: &'static str,
    en: &'static str,
    text: &'static str,
    parts: fn(&Counters, u32) -> Parts,
) -> Formula {
    Formula { id, version: 1, ja, en, text, unit: Unit::Milliseconds, note: None, parts }
}

/// Version 2: a call that the account refuses is not one for which the service was there, as a closed one is not.
const fn without_refused(formula: Formula) -> Formula {
    Formula { version: 2, ..formula }
}

/// Every formula, in the order in which they are shown; the first of each kind is the one to use where none is agreed.
pub const FORMULAS: &[Formula] = &[
    without_refused(ratio(
        "AR-open",
        "応答率(受付時間内)",
        "answer rate, hours of service",
        "answered / (offered - closed - refused)",
        |c, _| (c.answered, c.open()),
    )),
    ratio("AR-all", "応答率(全着信)", "answer rate, all calls", "answered / offered", |c, _| {
        (c.answered, c.offered)
    }),
    without_refused(ratio(
        "AR-net",
        "応答率(短時間放棄除く)",
        "answer rate, without calls abandoned at once",
        "answered / (offered - closed - refused - short)",
        |c, _| (c.answered, c.open().saturating_sub(c.short)),
    )),
    Formula {
        note: Some((
            "受付時間内に応答できず、通話の終わりから1時間以内に折返しで話せた依頼と、送付した音声メールを含みます。",
            "with those whom nobody answered and who were called back and reached, or whose voice message went out, within an hour \
             of the end of their call",
        )),
        ..ratio(
            "AR-care",
            "対応率(折返し・音声メール含む)",
            "cared for, with callbacks and voice messages",
            "(answered + cared) / (offered - closed - refused - short)",
            |c, _| (c.answered + c.cared, c.open().saturating_sub(c.short)),
        )
    },
    without_refused(ratio(
        "SL-ignore",
        "時間内応答率",
        "service level, early hang-ups ignored",
        "answered_le_{T} / (offered - closed - refused - abandoned_le_{T})",
        |c, t| (answered_le(c, t), c.open().saturating_sub(abandoned_le(c, t))),
    )),
    without_refused(ratio(
        "SL-negative",
        "時間内応答率(放棄を不達)",
        "service level, early hang-ups missed",
        "answered_le_{T} / (offered - closed - refused)",
        |c, t| (answered_le(c, t), c.open()),
    )),
    without_refused(ratio(
        "SL-positive",
        "時間内応答率(放棄を達成)",
        "service level, early hang-ups met",
        "(answered_le_{T} + abandoned_le_{T}) / (offered - closed - refused)",
        |c, t| (answered_le(c, t) + abandoned_le(c, t), c.open()),
    )),
    Formula {
        note: Some((
            "応答しなかった電話は含まれません。参考値です。",
            "calls that were not answered are in neither part; for reference only",
        )),
        ..ratio(
            "SL-answered",
            "時間内応答率(応答のみ、参考)",
            "service level, of answered calls",
            "answered_le_{T} / answered",
            |c, t| (answered_le(c, t), c.answered),
        )
    },
    without_refused(ratio(
        "AB-net",
        "放棄率",
        "abandoned",
        "(abandoned - short) / (offered - closed - refused - short)",
        |c, _| (c.abandoned.saturating_sub(c.short), c.open().saturating_sub(c.short)),
    )),
    without_refused(ratio(
        "OV",
        "あふれ率",
        "overflowed",
        "overflowed / (offered - closed - refused)",
        |c, _| (c.overflowed, c.open()),
    )),
    mean("ASA", "平均応答時間", "average speed of answer", "wait_answered_ms / answered", |c, _| {
        (c.wait_answered_ms, c.answered)
    }),
    mean(
        "ASA-offered",
        "平均応答時間(入電から)",
        "average speed of answer, from the offer",
        "to_answer_ms / answered",
        |c, _| (c.to_answer_ms, c.answered),
    ),
    mean(
        "AHT",
        "平均処理時間",
        "average handling time",
        "(talk_ms + hold_ms + wrap_ms) / parts",
        |c, _| (c.talk_ms + c.hold_ms + c.wrap_ms, c.parts),
    ),
    mean("ATT", "平均通話時間", "average talk time", "talk_ms / parts", |c, _| (c.talk_ms, c.parts)),
    mean("AHold", "平均保留時間", "average hold time", "hold_ms / parts", |c, _| (c.hold_ms, c.parts)),
    mean("ACW", "平均後処理時間", "average after-call work", "wrap_ms / parts", |c, _| {
        (c.wrap_ms, c.parts)
    }),
    ratio(
        "TR",
        "転送成功率",
        "transfers that reached somebody",
        "transfers_reached / transfers_tried",
        |c, _| (c.transfers_reached, c.transfers_tried),
    ),
    ratio("OCC", "占有率", "occupancy", "busy_ms / (busy_ms + ready_ms + reserved_ms)", |c, _| {
        (c.busy_ms, c.busy_ms + c.ready_ms + c.reserved_ms)
    }),
    ratio(
        "UTL",
        "稼働率",
        "utilisation",
        "(busy_ms + ready_ms + reserved_ms) / (busy_ms + ready_ms + reserved_ms + not_ready_ms)",
        |c, _| {
            let there = c.busy_ms + c.ready_ms + c.reserved_ms;
            (there, there + c.not_ready_ms)
        },
    ),
    Formula {
        note: Some((
            "番号非表示の発信者は分子・分母のどちらにも含まれません。",
            "callers without a number are in neither part",
        )),
        ..without_refused(ratio(
            "RC",
            "再入電率",
            "callers who tried again",
            "repeat / (offered - closed - refused - withheld_open)",
            |c, _| (c.repeat, c.open().saturating_sub(c.withheld_open)),
        ))
    },
];

fn answered_le(counters: &Counters, within_s: u32) -> u64 {
    counters.get(&format!("answered_le_{within_s}")).unwrap_or(0)
}

fn abandoned_le(counters: &Counters, within_s: u32) -> u64 {
    counters.get(&format!("abandoned_le_{within_s}")).unwrap_or(0)
}
