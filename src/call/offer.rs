//! The offer: when the first notice of a call goes out, and which card its pops show.
//!
//! The caller id of a channel holds the number even if the caller withholds it. Until its presentation is known the caller
//! therefore counts as unknown. The route of a PBX may overwrite the presentation, so the model asks the PBX for it as soon
//! as the call comes in ([`Output::ReadChannel`]), and the strictest word that it hears counts. If the dialplan does not
//! send the identity in time, the model also asks for the channel's SIP headers ([`Output::ReadHeaders`]): they say who
//! withholds the number whatever the route did, who forwarded the call and what was dialled.
//!
//! Invariant: `Identify` goes out once for each identity that becomes known. A number that was hidden once is in no later
//! identity of the call. No notice of a call leaves before the directory has answered or `card_timeout` is over. The wait
//! loses no notice and changes no order.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::model::{Model, TimerKind};
use super::output::{NoticeKind, Output};
use super::stage::{Headers, Stage, deadline_after};
use crate::ami::event::Channel;
use crate::contract::call::Direction;
use crate::contract::card::Card;
use crate::identity::Caller;
use crate::ids::CallId;

impl Model {
    /// Starts the wait for the dialplan's identity event of an inbound call, and asks the PBX for the presentation.
    pub(crate) fn await_identity(&mut self, now: Timestamp, id: CallId) {
        self.enter_stage(id, Stage::AwaitingIdentity(deadline_after(now, self.rules.identity_timeout)));
        if let Some(channel) = self.calls.get(&id).and_then(|call| call.caller.clone()) {
            self.push_output(Output::ReadChannel { call: id, channel });
        }
    }

    /// The dialplan sent the SIP headers of the call.
    pub(crate) fn on_identity(
        &mut self,
        now: Timestamp,
        id: CallId,
        channel: &Channel,
        headers: &[(SmolStr, Vec<u8>)],
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.caller.as_ref() != Some(&channel.id) || !call.is_reportable() {
            return;
        }
        call.unverified.add_extension(channel);
        call.identity = call.unverified.with_headers(headers);
        call.identity_from_dialplan = true;
        self.identify(now, id);
    }

    /// A caller id event says whether the channel's number may be shown.
    pub(crate) fn on_presentation(&mut self, id: CallId, channel: &Channel, presentation: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // The dialplan causes later ones itself (a name it looked up, a number it presents).
        let early = matches!(call.stage, Stage::AwaitingIdentity(_) | Stage::AwaitingPresentation(_));
        if early && call.caller.as_ref() == Some(&channel.id) {
            // The route may have written "allowed" itself, so only a word that hides the number counts.
            call.unverified.restrict(presentation);
            call.unverified.set_caller(channel);
            call.unverified.add_extension(channel);
            call.identity = call.unverified.identity();
        }
    }

    /// The caller's channel entered another extension, while the call has no identity yet.
    pub(crate) fn add_extension(&mut self, id: CallId, channel: &Channel) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if matches!(call.stage, Stage::AwaitingIdentity(_)) && call.caller.as_ref() == Some(&channel.id) {
            call.unverified.add_extension(channel);
            call.identity = call.unverified.identity();
        }
    }

    /// The PBX answered [`Output::ReadChannel`]; `presentation` is `None` when it could not.
    pub(crate) fn on_channel_read(&mut self, now: Timestamp, id: CallId, presentation: Option<&str>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.unverified.presentation_read = true;
        if let Some(presentation) = presentation {
            call.unverified.add_presentation(presentation);
        }
        self.on_read(now, id);
    }

    /// The PBX answered [`Output::ReadHeaders`].
    pub(crate) fn on_headers_read(
        &mut self,
        now: Timestamp,
        id: CallId,
        by_dialplan: bool,
        headers: Headers,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if by_dialplan && !call.identity_from_dialplan {
            call.identity = call.unverified.with_headers(&headers);
            call.identity_from_dialplan = true;
            return self.identify(now, id);
        }
        call.unverified.headers = Some(headers);
        self.on_read(now, id);
    }

    /// An answer of the PBX: identifies the call if it was the last one, or changes what is known.
    fn on_read(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.identity_from_dialplan {
            // The headers counted; what the channel says can only hide the number.
            let Some(hidden) = call.unverified.hidden() else { return };
            if call.identity.caller.number().is_none() {
                return;
            }
            call.identity.caller = Caller::new(None, None, hidden);
            return self.identify(now, id);
        }
        let identity = call.unverified.identity();
        let changed = identity != call.identity;
        call.identity = identity;
        let complete = call.unverified.is_read();
        match call.stage {
            Stage::AwaitingIdentity(_) => {}
            Stage::AwaitingPresentation(_) if !complete => {}
            Stage::AwaitingPresentation(_) => self.identify(now, id),
            Stage::AwaitingCard(_) | Stage::Open | Stage::Ended if changed => self.identify(now, id),
            Stage::AwaitingCard(_) | Stage::Open | Stage::Ended => {}
        }
    }

    /// The call reaches a queue or a phone, or the wait is over: without an identity event the PBX is asked for the SIP
    /// headers.
    pub(crate) fn read_headers_or_identify(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(channel) = call.caller.clone().filter(|_| matches!(call.stage, Stage::AwaitingIdentity(_)))
        else {
            return;
        };
        if !self.legs.contains_key(&channel) {
            return self.identify(now, id);
        }
        let technology = call.technology.clone();
        self.enter_stage(
            id,
            Stage::AwaitingPresentation(deadline_after(now, self.rules.presentation_timeout)),
        );
        self.push_output(Output::ReadHeaders { call: id, channel, technology });
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
            self.clear_timer(until, id, TimerKind::Stage);
        }
        if let Some(until) = stage.deadline() {
            self.set_timer(until, id, TimerKind::Stage);
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
            Stage::AwaitingCard(_) if complete => self.open(now, id),
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
            Some(Stage::AwaitingIdentity(_)) => self.read_headers_or_identify(now, id),
            Some(Stage::AwaitingPresentation(_)) => self.identify(now, id),
            Some(Stage::AwaitingCard(_)) => self.open(now, id),
            _ => {}
        }
    }

    fn open(&mut self, now: Timestamp, id: CallId) {
        self.enter_stage(id, Stage::Open);
        self.flush(id);
        self.remove_if_done(now, id);
    }
}
