//! What a message shows of the deliveries of its present revision, and which state of the message follows from them.
//!
//! | of the deliveries | the message's delivery | an open, sent or failed message becomes |
//! |---|---|---|
//! | one is delivered | delivered | sent |
//! | one is sent | sent | sent |
//! | one is queued or being sent | queued | open, if it was failed |
//! | one is held | held | open, if it was failed |
//! | all others, or there is none, while the route goes on | queued | open, if it was failed |
//! | all others: bounced, failed, some cancelled | failed | failed |
//! | all are cancelled | none | unchanged |
//!
//! An acknowledged message stays acknowledged. The first row that applies counts.

use jiff::Timestamp;

use crate::contract::delivery::{DeliveryState, MessageDelivery, MessageDeliveryState};
use crate::contract::message::MessageState;

/// What the summary needs of a delivery.
#[derive(Debug, Clone)]
pub struct DeliveryFacts {
    /// Its state.
    pub state: DeliveryState,
    /// What the server said last.
    pub error: Option<String>,
    /// When it is due.
    pub next_at: Timestamp,
}

/// What a message with this state and these deliveries of its present revision (the latest last) shows, and its state. `route`: when
/// its route goes on; absent: it has none or is over.
#[must_use]
pub fn summary(
    message: MessageState,
    deliveries: &[DeliveryFacts],
    route: Option<Timestamp>,
) -> (MessageDelivery, MessageState) {
    use DeliveryState::{Bounced, Cancelled, Delivered, Failed, Held, Queued, Sending, Sent};
    let has = |states: &[DeliveryState]| deliveries.iter().any(|delivery| states.contains(&delivery.state));
    let (state, settled) = if has(&[Delivered]) {
        (MessageDeliveryState::Delivered, Some(MessageState::Sent))
    } else if has(&[Sent]) {
        (MessageDeliveryState::Sent, Some(MessageState::Sent))
    } else if has(&[Queued, Sending]) {
        (MessageDeliveryState::Queued, None)
    } else if has(&[Held]) {
        (MessageDeliveryState::Held, None)
    } else if route.is_some() {
        (MessageDeliveryState::Queued, None)
    } else if has(&[Bounced, Failed]) {
        (MessageDeliveryState::Failed, Some(MessageState::Failed))
    } else {
        debug_assert!(has(&[Cancelled]) || deliveries.is_empty());
        (MessageDeliveryState::None, Some(message))
    };
    let next_at = deliveries.iter().filter(|delivery| !delivery.state.is_final()).map(|d| d.next_at).min();
    let next_at = next_at.or(route.filter(|_| state == MessageDeliveryState::Queued));
    let is_taken = matches!(state, MessageDeliveryState::Sent | MessageDeliveryState::Delivered);
    let last_error =
        deliveries.iter().rev().find_map(|delivery| delivery.error.clone()).filter(|_| !is_taken);
    let next_state = match (message, settled) {
        (MessageState::Acknowledged, _) => MessageState::Acknowledged,
        (_, Some(settled)) => settled,
        (_, None) => MessageState::Open,
    };
    (MessageDelivery { state, next_at, last_error, ..MessageDelivery::default() }, next_state)
}

#[cfg(test)]
mod tests {
    use DeliveryState::{Bounced, Cancelled, Delivered, Failed, Held, Queued, Sending, Sent};

    use super::*;

    #[test]
    fn the_best_delivery_counts() {
        let facts =
            |state| DeliveryFacts { state, error: Some("550".into()), next_at: Timestamp::UNIX_EPOCH };
        for (deliveries, message, delivery, expected) in [
            (&[Queued][..], MessageState::Open, MessageDeliveryState::Queued, MessageState::Open),
            (&[Sending], MessageState::Open, MessageDeliveryState::Queued, MessageState::Open),
            (&[Held], MessageState::Open, MessageDeliveryState::Held, MessageState::Open),
            (&[Sent], MessageState::Open, MessageDeliveryState::Sent, MessageState::Sent),
            (&[Failed, Sent], MessageState::Failed, MessageDeliveryState::Sent, MessageState::Sent),
            (&[Sent, Queued], MessageState::Sent, MessageDeliveryState::Sent, MessageState::Sent),
            (&[Sent, Delivered], MessageState::Sent, MessageDeliveryState::Delivered, MessageState::Sent),
            (&[Bounced], MessageState::Sent, MessageDeliveryState::Failed, MessageState::Failed),
            (&[Failed], MessageState::Open, MessageDeliveryState::Failed, MessageState::Failed),
            (&[Failed, Queued], MessageState::Failed, MessageDeliveryState::Queued, MessageState::Open),
            // What was sent came back, and goes to the next address.
            (&[Bounced, Queued], MessageState::Sent, MessageDeliveryState::Queued, MessageState::Open),
            (&[Cancelled], MessageState::Open, MessageDeliveryState::None, MessageState::Open),
            (&[Cancelled, Failed], MessageState::Open, MessageDeliveryState::Failed, MessageState::Failed),
            (&[Sent], MessageState::Acknowledged, MessageDeliveryState::Sent, MessageState::Acknowledged),
            (&[Failed], MessageState::Acknowledged, MessageDeliveryState::Failed, MessageState::Acknowledged),
        ] {
            let rows: Vec<_> = deliveries.iter().copied().map(facts).collect();
            let (shown, state) = summary(message, &rows, None);
            assert_eq!((shown.state, state), (delivery, expected), "{deliveries:?} of {message:?}");
            let is_taken = matches!(delivery, MessageDeliveryState::Sent | MessageDeliveryState::Delivered);
            assert_eq!(shown.last_error.is_none(), is_taken);
        }
        let next = Timestamp::from_second(9).unwrap();
        for rows in [vec![], vec![facts(Bounced)], vec![facts(Cancelled), facts(Failed)]] {
            let (shown, state) = summary(MessageState::Failed, &rows, Some(next));
            let shown = (shown.state, shown.next_at);
            assert_eq!((shown, state), ((MessageDeliveryState::Queued, Some(next)), MessageState::Open));
        }
    }
}
