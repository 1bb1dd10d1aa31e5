//! The actions of a session that have not ended yet.

use std::collections::BTreeMap;
use std::time::Instant;

use super::ActionToken;

/// What an action was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Challenge,
    Login,
    Ping,
    Action,
    /// Sent; the list has not begun.
    ListRequested,
    /// Its items arrive.
    ListOpen {
        /// A frame was set aside meanwhile; it may have been an item.
        items_lost: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) purpose: Purpose,
    pub(super) deadline: Instant,
    /// Whether its bytes were handed to the socket.
    pub(super) sent: bool,
}

/// At most [`super::PENDING_ACTIONS_MAX`] actions and a ping, so that a linear search is cheap.
#[derive(Debug, Default)]
pub(super) struct PendingActions(BTreeMap<ActionToken, Pending>);

impl PendingActions {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, token: ActionToken, pending: Pending) {
        self.0.insert(token, pending);
    }

    pub(super) fn take(&mut self, token: ActionToken) -> Option<Pending> {
        self.0.remove(&token)
    }

    pub(super) fn take_first(&mut self) -> Option<(ActionToken, Pending)> {
        self.0.pop_first()
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<(ActionToken, Pending)> {
        let token = self.0.iter().find(|(_, pending)| pending.deadline <= now).map(|(token, _)| *token)?;
        self.0.remove_entry(&token)
    }

    pub(super) fn purpose(&self, token: ActionToken) -> Option<Purpose> {
        self.0.get(&token).map(|pending| pending.purpose)
    }

    pub(super) fn mark_sent(&mut self, token: ActionToken) {
        if let Some(pending) = self.0.get_mut(&token) {
            pending.sent = true;
        }
    }

    pub(super) fn mark_items_lost(&mut self) {
        for pending in self.0.values_mut() {
            if let Purpose::ListOpen { items_lost } = &mut pending.purpose {
                *items_lost = true;
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|pending| pending.deadline).min()
    }
}
