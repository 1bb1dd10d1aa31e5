//! The offer: when a call is told for the first time, and with what its pops wait.
//!
//! Invariant: `Identify` goes out once for each identity told; no notice of a call leaves before the directory
//! has answered or `card_wait` is over, and none is lost or reordered by the waiting.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::model::Model;
use super::output::{NoticeKind, Output};
use super::stage::{Call, Stage, after};
use super::view::Direction;
use crate::directory::card::Card;
use crate::ids::{CallId, ChannelId};
use crate::sip;

impl Call {
    pub(crate) fn is_awaiting(&self) -> bool {
        matches!(self.stage, Stage::Awaiting(_))
    }
}

impl Model {
    /// An inbound call begins: the dialplan has a moment to tell what the network said.
    pub(crate) fn await_identity(&mut self, now: Timestamp, id: CallId) {
        let until = after(now, self.plan.identity_wait);
        if let Some(call) = self.calls.get_mut(&id) {
            call.stage = Stage::Awaiting(until);
            self.set_timer(until, id);
        }
    }

    /// The dialplan told what the network said.
    pub(crate) fn identity_told(
        &mut self,
        now: Timestamp,
        id: CallId,
        leg: &ChannelId,
        headers: &[(SmolStr, Vec<u8>)],
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.caller.as_ref() != Some(leg) || !call.speaks() {
            return;
        }
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        call.identity = sip::from_headers(headers, &call.identity);
        call.told_identity = true;
        if call.is_awaiting() {
            self.identify(now, id);
        } else {
            let identity = call.identity.clone();
            self.output(Output::Identify { call: id, identity });
        }
    }

    /// Asks the directory with what is known now, if that has not been done.
    pub(crate) fn identify(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Awaiting(waited) = call.stage else { return };
        if call.direction != Direction::Inbound {
            return;
        }
        let until = after(now, self.plan.card_wait);
        call.stage = Stage::Identified(until);
        let offered_at = call.offered_at;
        call.tell_first(offered_at, NoticeKind::Offered);
        let identity = call.identity.clone();
        self.reset_timer(waited, until, id);
        self.output(Output::Identify { call: id, identity });
    }

    /// The directory answered. A complete card opens the call; one from memory waits for the better one.
    pub(crate) fn card_found(&mut self, now: Timestamp, id: CallId, card: Arc<Card>, complete: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let changed = call.card.as_deref() != Some(&*card);
        if complete || call.card.is_none() {
            call.card = Some(card);
        }
        match call.stage {
            Stage::Identified(_) if complete => self.open(id),
            Stage::Open if complete && changed && call.speaks() => {
                call.tell(now, NoticeKind::Updated);
                self.flush(id);
            }
            _ => {}
        }
    }

    /// A wait of this call is over.
    pub(crate) fn wait_is_over(&mut self, now: Timestamp, id: CallId) {
        match self.calls.get(&id).map(|call| call.stage) {
            Some(Stage::Awaiting(_)) => self.identify(now, id),
            Some(Stage::Identified(_)) => self.open(id),
            _ => {}
        }
    }

    fn open(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let stage = std::mem::replace(&mut call.stage, Stage::Open);
        if let Stage::Identified(until) = stage {
            self.clear_timer(until, id);
        }
        self.flush(id);
        self.forget_if_done(id);
    }
}
