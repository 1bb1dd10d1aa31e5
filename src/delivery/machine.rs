//! The states of a delivery.
//!
//! | input | held | queued | sending | sent | delivered | bounced | failed | cancelled |
//! |---|---|---|---|---|---|---|---|---|
//! | `Released`: it may be sent | queued | | | | | | | |
//! | `Claimed` by a daemon | | sending, attempt + 1 | | | | | | |
//! | `LeaseExpired`: that daemon is gone | | | queued now, maybe sent | | | | | |
//! | `Accepted` by the next system | | | sent | | | | | |
//! | `Unknown`: cut off after the last byte | | | queued, maybe sent | | | | | |
//! | `Deferred`: not now | | | queued | | | | | |
//! | `Refused`: this recipient, for good | | | bounced | | | | | |
//! | `Postponed`: not tried, or nobody's fault | | | queued, attempt - 1 | | | | | |
//! | `GiveUpReached` | failed | failed | | | | | | |
//! | `BouncedLater`: a bounce arrived | | | bounced | bounced | bounced | | | |
//! | `Confirmed`: the recipient's system has it | | | | delivered | | | | |
//! | `Withdrawn`: answered, corrected or deleted | cancelled | cancelled | | | | | | |
//! | `SentAgain` by a person | queued | queued now | | new row | new row | queued | queued | new row |
//!
//! An empty cell changes nothing. Nothing reports `Released` yet: a message that waits for hours is queued for its time. An attempt that ends after `give_up_at` ends in `failed` where it would be queued again.
//!
//! Invariants: `sent` and `delivered` never go back to a state that sends. Only `Claimed` counts an attempt. A delivery that
//! may have been sent says so for ever.

use std::time::Duration;

use jiff::Timestamp;

use crate::contract::delivery::DeliveryState;
use crate::contract::message::{MessageKind, Urgency};

/// How long a claim holds without being renewed.
pub const LEASE_TTL: Duration = Duration::from_secs(180);
/// How long a delivery is tried.
pub const GIVE_UP_DELAY: Duration = Duration::from_secs(24 * 3600);
/// How long a delivery of an urgent message is tried: then a person must pass it on.
pub const URGENT_GIVE_UP_DELAY: Duration = Duration::from_secs(2 * 3600);
/// How long a delivery of a test is tried.
pub const TEST_GIVE_UP_DELAY: Duration = Duration::from_secs(600);
/// Delays after the first, second, … attempt; after these the last one repeats. A server that greylists takes the mail at
/// the third or fourth attempt.
const RETRY_DELAYS_S: [u64; 8] = [15, 60, 120, 300, 600, 1_200, 2_400, 3_600];
/// The largest part of a delay by which it varies, in percent, so that mails that failed together are not tried together.
const JITTER_PERCENT: u64 = 10;

/// The part of a delivery that the machine changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryProgress {
    /// The state.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether an attempt was cut off so late that the recipient may have it.
    pub maybe_sent: bool,
    /// When it is due.
    pub next_at: Timestamp,
    /// When it is given up.
    pub give_up_at: Timestamp,
    /// What the server said last.
    pub error: Option<String>,
    /// The status code in it.
    pub status: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryInput {
    /// A held delivery may be sent now.
    Released,
    /// A daemon has claimed it.
    Claimed,
    /// The daemon that had claimed it did not renew its claim.
    LeaseExpired,
    /// The next system has taken it.
    Accepted,
    /// The connection broke, or no answer came, after the last byte was written.
    Unknown {
        /// What happened.
        error: String,
    },
    /// Not now.
    Deferred {
        /// What the server said.
        error: String,
        /// The status code in it.
        status: Option<String>,
    },
    /// The recipient is refused for good.
    Refused {
        /// What the server said.
        error: String,
        /// The status code in it.
        status: Option<String>,
    },
    /// The attempt did not happen, or failed for a reason that is not the recipient's.
    Postponed {
        /// When to try.
        until: Timestamp,
        /// Why, if something failed.
        error: Option<String>,
    },
    /// The time in which it is tried is over.
    GiveUpReached,
    /// The recipient's system has returned it.
    BouncedLater {
        /// What that system said.
        error: String,
        /// The status code in it.
        status: Option<String>,
    },
    /// The recipient's system has proved that it has it.
    Confirmed,
    /// The message was answered, corrected or deleted.
    Withdrawn,
    /// A person wants it sent again.
    SentAgain,
}

impl DeliveryInput {
    /// The status code in what a server said.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        match self {
            Self::Deferred { status, .. }
            | Self::Refused { status, .. }
            | Self::BouncedLater { status, .. } => status.as_deref(),
            _ => None,
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Unchanged,
    /// Store this.
    Changed(DeliveryProgress),
    /// Make a new delivery to the same recipient.
    NewDelivery,
}

impl DeliveryProgress {
    /// A delivery that is due at `next_at` and given up [`GIVE_UP_DELAY`] later.
    #[must_use]
    pub fn queued(now: Timestamp, next_at: Timestamp) -> Self {
        Self::queued_for(GIVE_UP_DELAY, now, next_at)
    }

    /// A delivery that is due at `next_at` and tried for `give_up_delay`.
    #[must_use]
    pub fn queued_for(give_up_delay: Duration, now: Timestamp, next_at: Timestamp) -> Self {
        Self {
            state: DeliveryState::Queued,
            attempts: 0,
            maybe_sent: false,
            next_at,
            give_up_at: later(now.max(next_at), give_up_delay),
            error: None,
            status: None,
        }
    }

    /// Applies `input` at `now`; `seed` varies the delay to the next attempt.
    #[must_use]
    pub fn apply(&self, input: DeliveryInput, now: Timestamp, seed: u64) -> Outcome {
        use DeliveryInput as Input;
        use DeliveryState::{Bounced, Cancelled, Delivered, Failed, Held, Queued, Sending, Sent};
        let mut next = self.clone();
        match (input, self.state) {
            (Input::Released, Held) => (next.state, next.next_at) = (Queued, now),
            (Input::Claimed, Queued) => {
                (next.state, next.attempts) = (Sending, self.attempts.saturating_add(1));
            }
            (Input::LeaseExpired, Sending) => {
                next.maybe_sent = true;
                next.error = Some("the daemon that was sending it ended; it may have been sent".into());
                next.requeue(now, now);
            }
            (Input::Accepted, Sending) => {
                (next.state, next.error, next.status) = (Sent, None, None);
            }
            (Input::Unknown { error }, Sending) => {
                (next.maybe_sent, next.error, next.status) = (true, Some(error), None);
                next.requeue(now, later(now, retry_delay(self.attempts, seed)));
            }
            (Input::Deferred { error, status }, Sending) => {
                (next.error, next.status) = (Some(error), status);
                next.requeue(now, later(now, retry_delay(self.attempts, seed)));
            }
            (Input::Refused { error, status }, Sending)
            | (Input::BouncedLater { error, status }, Sending | Sent | Delivered) => {
                (next.state, next.error, next.status) = (Bounced, Some(error), status);
            }
            (Input::Postponed { until, error }, Sending) => {
                next.attempts = self.attempts.saturating_sub(1);
                if error.is_some() {
                    (next.error, next.status) = (error, None);
                }
                next.requeue(now, until);
            }
            (Input::GiveUpReached, Held | Queued) => next.state = Failed,
            (Input::Confirmed, Sent) => next.state = Delivered,
            (Input::Withdrawn, Held | Queued) => next.state = Cancelled,
            (Input::SentAgain, Held | Queued) => (next.state, next.next_at) = (Queued, now),
            (Input::SentAgain, Bounced | Failed) => {
                let maybe_sent = self.maybe_sent;
                next = Self { maybe_sent, ..Self::queued(now, now) };
            }
            (Input::SentAgain, Sent | Delivered | Cancelled) => return Outcome::NewDelivery,
            _ => return Outcome::Unchanged,
        }
        Outcome::Changed(next)
    }

    fn requeue(&mut self, now: Timestamp, next_at: Timestamp) {
        if now >= self.give_up_at {
            self.state = DeliveryState::Failed;
        } else {
            (self.state, self.next_at) = (DeliveryState::Queued, next_at.min(self.give_up_at));
        }
    }
}

/// How long a delivery of such a message is tried.
#[must_use]
pub fn give_up_delay(kind: MessageKind, urgency: Urgency) -> Duration {
    match (kind, urgency) {
        (MessageKind::Test, _) => TEST_GIVE_UP_DELAY,
        (_, Urgency::Urgent) => URGENT_GIVE_UP_DELAY,
        (_, Urgency::Normal | Urgency::Low) => GIVE_UP_DELAY,
    }
}

/// The delay after `attempts` attempts, varied by `seed`.
#[must_use]
pub fn retry_delay(attempts: u32, seed: u64) -> Duration {
    let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(RETRY_DELAYS_S.len() - 1);
    let delay_ms = RETRY_DELAYS_S[at] * 1000;
    let spread_ms = delay_ms * JITTER_PERCENT / 100;
    Duration::from_millis(delay_ms - spread_ms + seed % (2 * spread_ms + 1))
}

pub(super) fn later(at: Timestamp, delay: Duration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use DeliveryState::{Bounced, Cancelled, Delivered, Failed, Held, Queued, Sending, Sent};
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn error() -> String {
        "450 4.2.0 later".into()
    }

    fn inputs() -> [DeliveryInput; 13] {
        let status = || Some("4.2.0".to_owned());
        [
            DeliveryInput::Released,
            DeliveryInput::Claimed,
            DeliveryInput::LeaseExpired,
            DeliveryInput::Accepted,
            DeliveryInput::Unknown { error: error() },
            DeliveryInput::Deferred { error: error(), status: status() },
            DeliveryInput::Refused { error: error(), status: status() },
            DeliveryInput::Postponed { until: at(2_000), error: None },
            DeliveryInput::GiveUpReached,
            DeliveryInput::BouncedLater { error: error(), status: status() },
            DeliveryInput::Confirmed,
            DeliveryInput::Withdrawn,
            DeliveryInput::SentAgain,
        ]
    }

    fn in_state(state: DeliveryState) -> DeliveryProgress {
        DeliveryProgress { state, attempts: 2, ..DeliveryProgress::queued(at(1_000), at(1_000)) }
    }

    /// The table in the header, row by row.
    #[test]
    fn every_input_in_every_state() {
        const NEW: Option<DeliveryState> = None;
        let same = |row: [Option<DeliveryState>; 8]| row.map(|cell| cell.map(Some));
        let row = |cells: &[(DeliveryState, DeliveryState)]| {
            same(DeliveryState::ALL.map(|from| cells.iter().find(|cell| cell.0 == from).map(|cell| cell.1)))
        };
        let mut again = row(&[(Held, Queued), (Queued, Queued), (Bounced, Queued), (Failed, Queued)]);
        for at in [3, 4, 7] {
            again[at] = Some(NEW);
        }
        let table = [
            row(&[(Held, Queued)]),
            row(&[(Queued, Sending)]),
            row(&[(Sending, Queued)]),
            row(&[(Sending, Sent)]),
            row(&[(Sending, Queued)]),
            row(&[(Sending, Queued)]),
            row(&[(Sending, Bounced)]),
            row(&[(Sending, Queued)]),
            row(&[(Held, Failed), (Queued, Failed)]),
            row(&[(Sending, Bounced), (Sent, Bounced), (Delivered, Bounced)]),
            row(&[(Sent, Delivered)]),
            row(&[(Held, Cancelled), (Queued, Cancelled)]),
            again,
        ];
        for (input, row) in inputs().into_iter().zip(table) {
            for (state, expected) in DeliveryState::ALL.into_iter().zip(row) {
                let outcome = in_state(state).apply(input.clone(), at(1_500), 0);
                let outcome = match outcome {
                    Outcome::Unchanged => None,
                    Outcome::Changed(progress) => Some(Some(progress.state)),
                    Outcome::NewDelivery => Some(None),
                };
                assert_eq!(outcome, expected, "{input:?} in {state:?}");
            }
        }
    }

    fn changed(progress: &DeliveryProgress, input: DeliveryInput, now: Timestamp) -> DeliveryProgress {
        match progress.apply(input, now, 0) {
            Outcome::Changed(progress) => progress,
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn a_greylisting_server_takes_the_mail_within_ten_minutes() {
        let mut progress = DeliveryProgress::queued(at(0), at(0));
        let mut now = at(0);
        let mut tried = Vec::new();
        for _ in 0..4 {
            progress = changed(&progress, DeliveryInput::Claimed, now);
            tried.push(now.as_second());
            progress = changed(&progress, DeliveryInput::Deferred { error: error(), status: None }, now);
            now = progress.next_at;
        }
        assert_eq!(tried, [0, 13, 67, 175]);
        assert!(now.as_second() < 600);
    }

    #[test]
    fn only_an_attempt_counts_and_what_may_have_been_sent_says_so() {
        let sending = changed(&in_state(Queued), DeliveryInput::Claimed, at(1_000));
        assert_eq!(sending.attempts, 3);
        let postponed =
            changed(&sending, DeliveryInput::Postponed { until: at(1_100), error: None }, at(1_000));
        assert_eq!((postponed.attempts, postponed.next_at, postponed.maybe_sent), (2, at(1_100), false));
        let lost = changed(&sending, DeliveryInput::LeaseExpired, at(1_000));
        assert_eq!((lost.attempts, lost.next_at, lost.maybe_sent), (3, at(1_000), true));
        let unknown = changed(&sending, DeliveryInput::Unknown { error: error() }, at(1_000));
        let bounced = DeliveryInput::Refused { error: error(), status: None };
        let again = changed(
            &changed(&changed(&unknown, DeliveryInput::Claimed, at(1_200)), bounced, at(1_200)),
            DeliveryInput::SentAgain,
            at(2_000),
        );
        assert_eq!((again.attempts, again.maybe_sent, again.error), (0, true, None));
    }

    #[test]
    fn a_delivery_is_given_up_after_its_time() {
        let sending = in_state(Sending);
        let end = sending.give_up_at;
        let before = end.checked_sub(Duration::from_secs(1)).unwrap();
        let deferred = || DeliveryInput::Deferred { error: error(), status: None };
        let last = changed(&sending, deferred(), before);
        assert_eq!((last.state, last.next_at), (Queued, end), "one attempt more, at the end");
        assert_eq!(changed(&sending, deferred(), end).state, Failed);
        assert_eq!(changed(&sending, DeliveryInput::LeaseExpired, end).state, Failed);
    }

    #[test]
    fn delays_grow_to_an_hour_and_vary_by_a_tenth() {
        let seconds = |attempts, seed| retry_delay(attempts, seed).as_secs_f64();
        assert_eq!((seconds(1, 0), seconds(1, 3_000)), (13.5, 16.5));
        assert_eq!((seconds(8, 0), seconds(100, 0)), (3_240.0, 3_240.0));
        assert!((1..12).all(|attempts| seconds(attempts, 0) <= seconds(attempts + 1, 0)));
    }

    proptest! {
        /// Any sequence of inputs: what was sent is never queued again, and attempts are claims.
        #[test]
        fn any_sequence_keeps_the_invariants(steps in proptest::collection::vec((0..13usize, 0..7_200_i64, any::<u64>()), 0..60)) {
            let inputs = inputs();
            let mut progress = DeliveryProgress::queued(at(0), at(0));
            let (mut now, mut claims) = (0, 0);
            for (input, pause, seed) in steps {
                now += pause;
                let input = inputs[input].clone();
                let before = progress.clone();
                let Outcome::Changed(next) = progress.apply(input.clone(), at(now), seed) else { continue };
                claims += u32::from(input == DeliveryInput::Claimed);
                prop_assert!(next.attempts <= claims);
                prop_assert!(!before.maybe_sent || next.maybe_sent);
                if matches!(before.state, Sent | Delivered) {
                    prop_assert!(matches!(next.state, Sent | Delivered | Bounced));
                }
                if next.state == Queued && before.state == Sending {
                    prop_assert!(next.next_at <= next.give_up_at && at(now) < next.give_up_at);
                }
                progress = next;
            }
        }
    }
}
