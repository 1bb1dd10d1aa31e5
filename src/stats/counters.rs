//! Counters: whole numbers that add up, each with its name in both languages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::{CallFacts, TransferKind};
use crate::contract::call::Outcome;
use crate::contract::history::LeftBehind;
use crate::contract::operator::State;
use crate::ids::RecordId;

/// The name of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterName {
    /// In the API and in files.
    pub id: &'static str,
    /// In Japanese.
    pub ja: &'static str,
    /// In English.
    pub en: &'static str,
}

/// The counters that version 2 of the rules brought ([`super::RULES_VERSION`]).
const SINCE_2: [&str; 6] = ["refused", "voice", "callbacks", "callbacks_reached", "cared", "offline"];

impl CounterName {
    /// Whether calls that were counted by this version of the rules have it.
    #[must_use]
    pub fn is_counted_by(&self, rules: i64) -> bool {
        rules >= 2 || !SINCE_2.contains(&self.id)
    }
}

/// The counters that no call adds to: times of people's states, and messages.
pub const NOT_OF_CALLS: [&str; 5] = ["messages", "busy_ms", "ready_ms", "reserved_ms", "not_ready_ms"];

/// Defines the counters. All are sums but `wait_max_ms`, which is a maximum. The number is the one that is stored
/// ([`super::packed`]): it never changes, and a new counter takes the next one wherever it stands.
macro_rules! counters {
    ($($number:literal $field:ident: $ja:literal, $en:literal;)+) => {
        /// The counters of some calls. Times are milliseconds. A counter that is zero is left out of what is stored.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
        #[serde(default)]
        pub struct Counters {
            $(
                #[doc = $en]
                #[serde(skip_serializing_if = "is_zero")]
                pub $field: u64,
            )+
        }

        /// Every counter, in the order in which they are shown.
        pub const COUNTERS: &[CounterName] = &[
            $(CounterName { id: stringify!($field), ja: $ja, en: $en },)+
        ];

        impl Counters {
            /// The counter with this name.
            #[must_use]
            pub fn get(&self, id: &str) -> Option<u64> {
                match id {
                    $(stringify!($field) => Some(self.$field),)+
                    _ => None,
                }
            }

            /// Every counter with its stored number.
            pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, u64)> {
                [$(($number, self.$field),)+].into_iter()
            }

            /// The counter that has this number where it is stored.
            pub(super) fn by_number(&mut self, number: u32) -> Option<&mut u64> {
                match number {
                    $($number => Some(&mut self.$field),)+
                    _ => None,
                }
            }

            /// Adds the counters of other calls.
            pub fn add(&mut self, other: &Self) {
                let wait_max_ms = self.wait_max_ms.max(other.wait_max_ms);
                $(self.$field = self.$field.saturating_add(other.$field);)+
                self.wait_max_ms = wait_max_ms;
            }
        }
    };
}

counters! {
    1 offered: "入電", "offered";
    2 answered: "応答", "answered";
    3 elsewhere: "他応答", "answered elsewhere";
    4 closed: "時間外", "closed";
    5 blocked: "話中", "blocked";
    6 refused: "着信拒否", "refused";
    7 overflowed: "あふれ", "overflowed";
    8 abandoned: "放棄", "abandoned";
    9 unknown: "不明", "unknown";
    10 fax: "FAX", "faxes";
    11 short: "短時間放棄", "abandoned at once";
    12 queued: "待ち呼", "queued";
    13 hops: "キュー離脱", "queues left unserved";
    14 repeat: "再入電", "repeated";
    15 recovered: "かけ直しで応答", "recovered";
    16 withheld: "番号非表示", "without a number";
    17 withheld_open: "番号非表示(時間外・着信拒否を除く)", "without a number, neither closed nor refused";
    18 inferred: "終了推定", "with an inferred end";
    19 voice: "音声メール", "voice messages left";
    20 callbacks: "折返し依頼", "asked to be called back";
    21 callbacks_reached: "折返し済み", "called back and reached";
    22 cared: "1時間以内の折返し・音声メール送付", "without an answer, called back or passed on within an hour";
    23 offline: "PBXのみの記録", "recorded by the PBX alone";
    24 answered_le_5: "5秒以内応答", "answered within 5 s";
    25 answered_le_10: "10秒以内応答", "answered within 10 s";
    26 answered_le_15: "15秒以内応答", "answered within 15 s";
    27 answered_le_20: "20秒以内応答", "answered within 20 s";
    28 answered_le_30: "30秒以内応答", "answered within 30 s";
    29 answered_le_60: "60秒以内応答", "answered within 60 s";
    30 answered_le_120: "120秒以内応答", "answered within 120 s";
    31 abandoned_le_5: "5秒以内放棄", "abandoned within 5 s";
    32 abandoned_le_10: "10秒以内放棄", "abandoned within 10 s";
    33 abandoned_le_15: "15秒以内放棄", "abandoned within 15 s";
    34 abandoned_le_20: "20秒以内放棄", "abandoned within 20 s";
    35 abandoned_le_30: "30秒以内放棄", "abandoned within 30 s";
    36 abandoned_le_60: "60秒以内放棄", "abandoned within 60 s";
    37 abandoned_le_120: "120秒以内放棄", "abandoned within 120 s";
    38 wait_answered_ms: "応答までの待ち時間", "wait of answered calls (ms)";
    39 to_answer_ms: "入電から応答までの時間", "from the offer to the answer (ms)";
    40 wait_abandoned_ms: "放棄までの待ち時間", "wait of abandoned calls (ms)";
    41 wait_max_ms: "最長待ち時間", "longest wait (ms)";
    42 presented: "呼出", "rings";
    43 missed: "不応答", "rings missed";
    44 parts: "応対", "parts";
    45 talk_ms: "通話時間", "talk (ms)";
    46 hold_ms: "保留時間", "hold (ms)";
    47 wrap_ms: "後処理時間", "wrap-up (ms)";
    48 transfers_tried: "転送試行", "transfers tried";
    49 transfers_reached: "転送成功", "transfers reached";
    50 transfers_returned: "転送戻り", "transfers returned";
    51 messages: "伝言", "messages";
    52 busy_ms: "対応時間(通話・保留・後処理の状態)", "with a caller or in after-call work (ms)";
    53 ready_ms: "受付可の時間", "ready (ms)";
    54 reserved_ms: "呼出中の時間", "reserved (ms)";
    55 not_ready_ms: "離席の時間", "not ready (ms)";
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Counters {
    /// What one call adds.
    #[must_use]
    pub fn of_call(facts: &CallFacts) -> Self {
        if facts.outcome == Outcome::Fax {
            let mut counters = Self { fax: 1, ..Self::default() };
            counters.add_work(facts, |_| true);
            return counters;
        }
        let mut counters = Self {
            offered: 1,
            queued: facts.queue.is_some().into(),
            hops: facts.hops,
            short: facts.short.into(),
            recovered: facts.recovered.into(),
            withheld: facts.withheld.into(),
            inferred: facts.inferred.into(),
            voice: (facts.left_behind == Some(LeftBehind::VoiceMessage)).into(),
            callbacks: (facts.left_behind == Some(LeftBehind::Callback)).into(),
            callbacks_reached: facts.care.is_reached.into(),
            offline: facts.is_offline.into(),
            presented: facts.rings,
            missed: facts.missed,
            wait_max_ms: facts.wait_ms,
            ..Self::default()
        };
        match facts.outcome {
            Outcome::Answered => counters.add_answered(facts),
            Outcome::Abandoned => counters.add_abandoned(facts),
            Outcome::Elsewhere => counters.elsewhere = 1,
            Outcome::Closed => (counters.closed, counters.wait_max_ms) = (1, 0),
            Outcome::Blocked => counters.blocked = 1,
            Outcome::Overflowed => counters.overflowed = 1,
            Outcome::Refused => (counters.refused, counters.wait_max_ms) = (1, 0),
            Outcome::Unknown => (counters.unknown, counters.wait_max_ms) = (1, 0),
            // Above: it is offered to nobody.
            Outcome::Fax => {}
        }
        if counters.open() > 0 {
            (counters.repeat, counters.withheld_open) = (facts.repeat.into(), facts.withheld.into());
            counters.cared = facts.is_cared().into();
        }
        counters.add_work(facts, |_| true);
        counters
    }

    /// What one call adds to a person; `None`: to everybody whom the record does not name.
    #[must_use]
    pub fn of_person(facts: &CallFacts, person: Option<RecordId>) -> Self {
        let mut counters = Self::default();
        counters.add_work(facts, |one| one == person);
        counters.answered = u64::from(counters.parts > 0);
        counters
    }

    fn add_answered(&mut self, facts: &CallFacts) {
        self.answered = 1;
        let Some(to_answer_ms) = facts.to_answer_ms else { return };
        (self.wait_answered_ms, self.to_answer_ms) = (facts.wait_ms, to_answer_ms);
        let le = |seconds: u64| u64::from(facts.wait_ms <= seconds * 1_000);
        (self.answered_le_5, self.answered_le_10, self.answered_le_15) = (le(5), le(10), le(15));
        (self.answered_le_20, self.answered_le_30) = (le(20), le(30));
        (self.answered_le_60, self.answered_le_120) = (le(60), le(120));
    }

    fn add_abandoned(&mut self, facts: &CallFacts) {
        (self.abandoned, self.wait_abandoned_ms) = (1, facts.wait_ms);
        let le = |seconds: u64| u64::from(facts.wait_ms <= seconds * 1_000);
        (self.abandoned_le_5, self.abandoned_le_10, self.abandoned_le_15) = (le(5), le(10), le(15));
        (self.abandoned_le_20, self.abandoned_le_30) = (le(20), le(30));
        (self.abandoned_le_60, self.abandoned_le_120) = (le(60), le(120));
    }

    /// Adds the work of the people for whom `is_theirs` holds.
    fn add_work(&mut self, facts: &CallFacts, is_theirs: impl Fn(Option<RecordId>) -> bool) {
        for part in facts.parts.iter().filter(|part| is_theirs(part.person)) {
            self.parts += 1;
            self.talk_ms += part.talk_ms;
            self.hold_ms += part.hold_ms;
        }
        for one in facts.wrap_ups.iter().filter(|one| is_theirs(Some(one.person))) {
            self.wrap_ms += one.ms;
        }
        for transfer in facts.transfers.iter().filter(|transfer| is_theirs(transfer.person)) {
            match transfer.kind {
                TransferKind::Tried => self.transfers_tried += 1,
                TransferKind::Reached => {
                    self.transfers_tried += 1;
                    self.transfers_reached += 1;
                }
                TransferKind::Returned => self.transfers_returned += 1,
            }
        }
    }

    /// Adds the time that a person was in a state.
    pub fn add_state(&mut self, state: State, ms: u64) {
        let of_state = match state {
            State::LoggedOut => return,
            State::NotReady => &mut self.not_ready_ms,
            State::Ready => &mut self.ready_ms,
            State::Reserved => &mut self.reserved_ms,
            State::Talking | State::OnHold | State::WrapUp => &mut self.busy_ms,
        };
        *of_state = of_state.saturating_add(ms);
    }

    /// Calls for which the service was there: all but those outside the account's hours, and those that the account refuses.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.offered.saturating_sub(self.closed + self.refused)
    }

    /// How many calls there were: those that were offered, and faxes.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.offered + self.fax
    }

    /// Whether each call that was offered has exactly one outcome.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let outcomes = self.answered
            + self.elsewhere
            + self.closed
            + self.blocked
            + self.refused
            + self.overflowed
            + self.abandoned
            + self.unknown;
        self.offered == outcomes
    }
}
