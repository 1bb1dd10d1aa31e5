//! The offer: when the first notice of a call goes out, and which card its pops show.
//!
//! The caller id of a channel holds the number even if the caller withholds it. Until its presentation is known the caller
//! therefore counts as unknown. If the dialplan does not send the identity in time, the model asks the PBX for the
//! presentation ([`Output::ReadChannel`]).
//!
//! Invariant: `Identify` goes out once for each identity that becomes known. No notice of a call leaves before the
//! directory has answered or `card_timeout` is over. The wait loses no notice and changes no order.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::model::Model;
use super::output::{NoticeKind, Output};
use super::stage::{Stage, UnverifiedCallerId, deadline_after};
use crate::ami::event::Channel;
use crate::contract::call::Direction;
use crate::contract::card::Card;
use crate::ids::{CallId, ChannelId};

impl Model {
    /// Starts the wait for the dialplan's identity event of an inbound call.
    pub(crate) fn await_identity(&mut self, now: Timestamp, id: CallId) {
        self.enter_stage(id, Stage::AwaitingIdentity(deadline_after(now, self.rules.identity_timeout)));
    }

    /// The dialplan sent the SIP headers of the call.
    pub(crate) fn on_identity(
        &mut self,
        now: Timestamp,
        id: CallId,
        leg: &ChannelId,
        headers: &[(SmolStr, Vec<u8>)],
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.caller.as_ref() != Some(leg) || !call.is_reportable() {
            return;
        }
        call.identity = call.unverified.with_headers(headers);
        call.identity_from_dialplan = true;
        self.identify(now, id);
    }

    /// A caller id event says whether the channel's number may be shown.
    pub(crate) fn on_presentation(
        &mut self,
        now: Timestamp,
        id: CallId,
        channel: &Channel,
        presentation: &str,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // The dialplan causes later ones itself (a name it looked up, a number it presents).
        let early = matches!(call.stage, Stage::AwaitingIdentity(_) | Stage::AwaitingPresentation(_));
        if early && call.caller.as_ref() == Some(&channel.id) {
            call.unverified = UnverifiedCallerId {
                exten: call.unverified.exten.clone(),
                ..UnverifiedCallerId::from_channel(channel)
            };
            call.identity = call.unverified.with_presentation(presentation);
            self.identify(now, id);
        }
    }

    /// The PBX answered [`Output::ReadChannel`]; `presentation` is `None` when it could not.
    pub(crate) fn on_channel_read(
        &mut self,
        now: Timestamp,
        id: CallId,
        presentation: Option<&str>,
        headers: &[(SmolStr, Vec<u8>)],
    ) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.identity_from_dialplan) else { return };
        if !headers.is_empty() {
            call.identity = call.unverified.with_headers(headers);
        } else if let Some(presentation) = presentation {
            call.identity = call.unverified.with_presentation(presentation);
        }
        self.identify(now, id);
    }

    /// The call reaches a queue or a phone: without an identity event the PBX is asked whether the number may be shown.
    pub(crate) fn read_channel_or_identify(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(channel) = call.caller.clone().filter(|_| matches!(call.stage, Stage::AwaitingIdentity(_)))
        else {
            return;
        };
        if self.legs.contains_key(&channel) {
            self.enter_stage(
                id,
                Stage::AwaitingPresentation(deadline_after(now, self.rules.presentation_timeout)),
            );
            self.push_output(Output::ReadChannel { call: id, channel });
        } else {
            self.identify(now, id);
        }
    }

    /// Requests a directory lookup with the identity that is known now.
    pub(crate) fn identify(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.direction != Direction::Inbound {
            return;
        }
        let (identity, trunk) = (call.identity.clone(), call.trunk.clone());
        call.questions += 1;
        let question = call.questions;
        match call.stage {
            Stage::AwaitingIdentity(_) | Stage::AwaitingPresentation(_) => {
                let offered_at = call.offered_at;
                call.push_notice_first(offered_at, NoticeKind::Offered);
                self.enter_stage(id, Stage::AwaitingCard(deadline_after(now, self.rules.card_timeout)));
            }
            // The identity came late: the card of the new lookup follows as an update.
            Stage::AwaitingCard(_) | Stage::Open => {}
            Stage::Ended => return,
        }
        self.push_output(Output::Identify { call: id, question, identity, trunk });
    }

    /// Changes the stage and its timer.
    fn enter_stage(&mut self, id: CallId, stage: Stage) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before = std::mem::replace(&mut call.stage, stage);
        if let Some(until) = before.deadline() {
            self.clear_timer(until, id);
        }
        if let Some(until) = stage.deadline() {
            self.set_timer(until, id);
        }
    }

    /// The directory answered. A complete card opens the call. An incomplete one (from the directory's memory) is stored
    /// unless the call already has a card of the same lookup, and does not end the wait for the complete one.
    pub(crate) fn on_card_found(
        &mut self,
        now: Timestamp,
        id: CallId,
        question: u32,
        card: Arc<Card>,
        complete: bool,
    ) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.questions == question) else { return };
        let is_better = complete || call.card.is_none() || call.card_question < question;
        let changed = is_better && call.card.as_deref() != Some(&*card);
        if is_better {
            (call.card, call.card_question) = (Some(card), question);
        }
        match call.stage {
            Stage::AwaitingCard(_) if complete => self.open(id),
            Stage::Open if changed && call.is_reportable() => {
                call.push_notice(now, NoticeKind::Updated);
                self.flush(id);
            }
            _ => {}
        }
    }

    /// The timer of this call's stage is due.
    pub(crate) fn on_stage_timeout(&mut self, now: Timestamp, id: CallId) {
        match self.calls.get(&id).map(|call| call.stage) {
            Some(Stage::AwaitingIdentity(_)) => self.read_channel_or_identify(now, id),
            Some(Stage::AwaitingPresentation(_)) => self.identify(now, id),
            Some(Stage::AwaitingCard(_)) => self.open(id),
            _ => {}
        }
    }

    fn open(&mut self, id: CallId) {
        self.enter_stage(id, Stage::Open);
        self.flush(id);
        self.remove_if_done(id);
    }
}
