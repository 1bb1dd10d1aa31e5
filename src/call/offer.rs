//! The offer: when a call is told for the first time, and with what its pops wait.
//!
//! Without the dialplan's word the PBX itself is asked, since the caller id of a channel holds a withheld number,
//! too: until its presentation is known, the caller is unknown.
//!
//! Invariant: `Identify` goes out once for each identity told; no notice of a call leaves before the directory
//! has answered or `card_wait` is over, and none is lost or reordered by the waiting.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::model::Model;
use super::output::{NoticeKind, Output};
use super::stage::{Stage, Unproven, after};
use super::view::Direction;
use crate::ami::event::Channel;
use crate::directory::card::Card;
use crate::ids::{CallId, ChannelId};

impl Model {
    /// An inbound call begins: the dialplan has a moment to tell what the network said.
    pub(crate) fn await_identity(&mut self, now: Timestamp, id: CallId) {
        self.enter(id, Stage::Awaiting(after(now, self.plan.identity_wait)));
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
        call.identity = call.unproven.with_headers(headers);
        call.told_identity = true;
        self.identify(now, id);
    }

    /// A caller id event told whether the channel's number may be shown.
    pub(crate) fn presentation_told(
        &mut self,
        now: Timestamp,
        id: CallId,
        channel: &Channel,
        presentation: &str,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // Later ones are the dialplan's own doing (a name it looked up, a number it presents).
        let early = matches!(call.stage, Stage::Awaiting(_) | Stage::Asked(_));
        if early && call.caller.as_ref() == Some(&channel.id) {
            call.unproven = Unproven { exten: call.unproven.exten.clone(), ..Unproven::of(channel) };
            call.identity = call.unproven.proven(presentation);
            self.identify(now, id);
        }
    }

    /// The PBX was asked about the channel and answered, or could not.
    pub(crate) fn channel_told(
        &mut self,
        now: Timestamp,
        id: CallId,
        presentation: Option<&str>,
        headers: &[(SmolStr, Vec<u8>)],
    ) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.told_identity) else { return };
        if !headers.is_empty() {
            call.identity = call.unproven.with_headers(headers);
        } else if let Some(presentation) = presentation {
            call.identity = call.unproven.proven(presentation);
        }
        self.identify(now, id);
    }

    /// The call moves on. Without a told identity the PBX is asked first whether the number may be shown.
    pub(crate) fn ask_or_identify(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(channel) = call.caller.clone().filter(|_| matches!(call.stage, Stage::Awaiting(_))) else {
            return;
        };
        if self.legs.contains_key(&channel) {
            self.enter(id, Stage::Asked(after(now, self.plan.ask_wait)));
            self.output(Output::AskChannel { call: id, channel });
        } else {
            self.identify(now, id);
        }
    }

    /// Asks the directory with what is known now.
    pub(crate) fn identify(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.direction != Direction::Inbound {
            return;
        }
        let (identity, trunk) = (call.identity.clone(), call.trunk.clone());
        call.questions += 1;
        let question = call.questions;
        match call.stage {
            Stage::Awaiting(_) | Stage::Asked(_) => {
                let offered_at = call.offered_at;
                call.tell_first(offered_at, NoticeKind::Offered);
                self.enter(id, Stage::Identified(after(now, self.plan.card_wait)));
            }
            // It was told late: the card is looked up again and follows as an update.
            Stage::Identified(_) | Stage::Open => {}
            Stage::Ended => return,
        }
        self.output(Output::Identify { call: id, question, identity, trunk });
    }

    /// Changes the stage, and the timer with it.
    fn enter(&mut self, id: CallId, stage: Stage) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before = std::mem::replace(&mut call.stage, stage);
        if let Some(until) = before.until() {
            self.clear_timer(until, id);
        }
        if let Some(until) = stage.until() {
            self.set_timer(until, id);
        }
    }

    /// The directory answered. A complete card opens the call; one from memory waits for the better one, but not where
    /// the card that is there knows less of who calls.
    pub(crate) fn card_found(
        &mut self,
        now: Timestamp,
        id: CallId,
        question: u32,
        card: Arc<Card>,
        complete: bool,
    ) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.questions == question) else { return };
        let is_better = complete || call.card.is_none() || call.card_answers < question;
        let changed = is_better && call.card.as_deref() != Some(&*card);
        if is_better {
            (call.card, call.card_answers) = (Some(card), question);
        }
        match call.stage {
            Stage::Identified(_) if complete => self.open(id),
            Stage::Open if changed && call.speaks() => {
                call.tell(now, NoticeKind::Updated);
                self.flush(id);
            }
            _ => {}
        }
    }

    /// A wait of this call is over.
    pub(crate) fn wait_is_over(&mut self, now: Timestamp, id: CallId) {
        match self.calls.get(&id).map(|call| call.stage) {
            Some(Stage::Awaiting(_)) => self.ask_or_identify(now, id),
            Some(Stage::Asked(_)) => self.identify(now, id),
            Some(Stage::Identified(_)) => self.open(id),
            _ => {}
        }
    }

    fn open(&mut self, id: CallId) {
        self.enter(id, Stage::Open);
        self.flush(id);
        self.forget_if_done(id);
    }
}
