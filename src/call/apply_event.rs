//! Applies each event of the PBX to legs, bridges and the sets of legs that form one call.
//!
//! A call is the union of all legs that share a linked id at any time, were dialled by one another, share a
//! mixing bridge, are the halves of a Local channel, are named by one attended transfer, or dial an operator
//! back ([`super::recall`]). Asterisk merges linked ids without an event when it bridges channels, so the model reads the
//! linked id of every channel snapshot.
//!
//! Invariant: an event may come late, twice or for an unknown channel. It is applied by unique id, and a channel that is
//! gone is not revived. Two inbound calls are never merged: each has its own caller and account.
//! Read next: [`super::derive`], which runs after each change.

use jiff::Timestamp;
use smol_str::SmolStr;

use super::leg::{Endpoint, Leg, dial_status_of};
use super::model::{Bridge, Model};
use super::output::NoticeKind;
use super::queue_visit;
use super::queue_visit::Treated;
use super::stage::{Call, RemovedLeg};
use crate::ami::event::{
    BridgeKind, Channel, ChannelState, DialStatus, Event, NAME_CHARS_MAX, user_field, user_text,
};
use crate::contract::call::{Direction, Outcome};
use crate::identity::printable;
use crate::ids::{BridgeId, CallId, ChannelId, QueueName};

/// `AST_CAUSE_ANSWERED_ELSEWHERE`.
const ANSWERED_ELSEWHERE: u16 = 26;

impl Model {
    pub(crate) fn apply_event(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::ChannelCreated(channel) => {
                if let Some(id) = self.upsert(now, &channel, true) {
                    self.follow_outbound(now, id);
                }
            }
            Event::ChannelState(channel) => self.update_leg(now, &channel, |_| {}),
            Event::HangupRequested { channel, cause } => self.on_far_end_hangs_up(now, &channel, cause),
            Event::SoftHangupRequested(channel) => {
                self.update_leg(now, &channel, |leg| {
                    leg.hangup_requested.get_or_insert(0);
                });
            }
            Event::Held(channel) => self.update_leg(now, &channel, |leg| leg.holding = true),
            Event::Unheld(channel) => self.update_leg(now, &channel, |leg| leg.holding = false),
            Event::CallerIdChanged { channel, presentation } => {
                self.on_caller_id_changed(now, &channel, &presentation);
            }
            Event::ChannelRenamed { id, name } => {
                if let Some(endpoint) = Endpoint::of_channel(&name, &self.rules)
                    && let Some(leg) = self.legs.get_mut(&id)
                {
                    leg.endpoint = endpoint;
                }
            }
            Event::ChannelGone { channel, cause } => self.remove_leg(now, &channel.id, cause),
            Event::DialBegan { by, to, number } => {
                self.on_dial_began(now, by.as_ref(), &to, number.as_ref());
            }
            Event::DialRinging { to } => self.update_leg(now, &to, |leg| leg.progress = true),
            Event::DialEnded { to, status } => {
                self.update_leg(now, &to, |leg| leg.dial_ended = Some(status));
            }
            Event::LocalPaired { one, two } => self.on_local_paired(now, &one, &two),
            Event::BridgeEntered { bridge, kind, channel, .. } => {
                self.on_bridge_entered(now, &bridge, kind, &channel);
            }
            Event::BridgeLeft { bridge, channel } => {
                if self.legs.get(&channel.id).is_some_and(|leg| leg.bridge.as_ref() == Some(&bridge)) {
                    self.leave_bridge(&channel.id);
                }
                self.update_leg(now, &channel, |_| {});
            }
            Event::BridgeMerged { from, to } => self.on_bridge_merged(now, &from, &to),
            Event::BridgeGone(bridge) => self.on_bridge_gone(now, &bridge),
            Event::QueueJoined { channel, queue, position } => {
                self.on_queue_joined(now, &channel, queue, position);
            }
            Event::QueueLeft(channel) => self.on_queue_left(now, &channel),
            Event::BlindTransferred { transferer, transferee, success: true, .. } => {
                self.on_blind_transferred(now, &transferer, transferee.as_ref());
            }
            // A queue reports any end without an answer as abandoned: only a hang-up of the caller's far end is one.
            Event::QueueAbandoned(_)
            | Event::BlindTransferred { .. }
            | Event::SpyStarted { .. }
            | Event::SpyStopped { .. } => {}
            Event::AttendedTransferred { transferer, second, success } => {
                if success {
                    self.merge_calls_of(now, &transferer, &second);
                }
            }
            Event::User { name, channel, fields } => self.on_user_event(now, &name, &channel, &fields),
            Event::ChannelListed { channel, bridge, application, .. } => {
                self.on_channel_listed(now, &channel, bridge, &application);
            }
            Event::Originated { .. } | Event::FullyBooted { .. } | Event::ShuttingDown => {}
        }
    }

    /// Creates or updates the leg of this channel; `None` when the channel has a tombstone. Returns the leg's call.
    pub(crate) fn upsert_leg(&mut self, now: Timestamp, channel: &Channel) -> Option<CallId> {
        self.upsert(now, channel, false)
    }

    /// As [`Self::upsert_leg`]; `created`: the PBX has just created the channel.
    fn upsert(&mut self, now: Timestamp, channel: &Channel, created: bool) -> Option<CallId> {
        if self.is_gone(&channel.id) {
            return None;
        }
        if let Some(leg) = self.legs.get_mut(&channel.id) {
            let before = std::mem::replace(&mut leg.state, channel.state);
            let id = leg.call;
            let id = match self.linked.get(&channel.linked).copied() {
                Some(other) if other != id => self.merge_calls(now, id, other),
                _ => id,
            };
            if channel.state == ChannelState::Ring && before != ChannelState::Ring {
                self.derive_direction(now, id, channel);
            }
            return Some(id);
        }
        let id = self.call_of(&channel.linked).unwrap_or_else(|| self.create_call(now, channel));
        let (endpoint, unknown) = self.classify(channel, created);
        let leg = Leg {
            call: id,
            endpoint,
            state: channel.state,
            bridge: None,
            dialled_by: None,
            dialled: false,
            dial_ended: None,
            peer: None,
            holding: false,
            hangup_requested: None,
            hung_up: false,
            picked_up_at: None,
            announced: false,
            consulted: false,
            released: false,
            progress: false,
            unknown,
            found: self.inferring,
            ring_reported: false,
            seen_at: self.inputs,
        };
        self.legs.insert(channel.id.clone(), leg);
        self.calls.get_mut(&id)?.add_leg(&channel.id);
        self.derive_direction(now, id, channel);
        Some(id)
    }

    /// Creates the call of a linked set. A late channel of a set whose call is over begins another call: a call id is
    /// given once.
    fn create_call(&mut self, now: Timestamp, channel: &Channel) -> CallId {
        let mut first = &channel.linked;
        let mut id = CallId::derive(&self.rules.pbx, first);
        if self.is_retired(&id) {
            first = &channel.id;
            if let Some(call) = self.linked.get(first) {
                return *call;
            }
            id = CallId::derive(&self.rules.pbx, first);
        }
        let mut call = Call::new(id, Direction::Internal, now, &self.rules);
        call.inferred = self.inferring;
        for linked in [first, &channel.linked] {
            if self.linked.insert(linked.clone(), id).is_none() {
                call.linked.push(linked.clone());
            }
        }
        self.calls.insert(id, call);
        id
    }

    /// Updates a leg from its channel, applies `change`, and derives its call.
    fn update_leg(&mut self, now: Timestamp, channel: &Channel, change: impl FnOnce(&mut Leg)) {
        let Some(id) = self.upsert_leg(now, channel) else { return };
        if let Some(leg) = self.legs.get_mut(&channel.id) {
            change(leg);
        }
        self.derive(now, id);
        self.report_ring(channel);
    }

    fn update_call(&mut self, now: Timestamp, channel: &Channel, change: impl FnOnce(&mut Call)) {
        let Some(id) = self.upsert_leg(now, channel) else { return };
        if let Some(call) = self.calls.get_mut(&id) {
            change(call);
        }
        self.derive(now, id);
    }

    fn on_caller_id_changed(&mut self, now: Timestamp, channel: &Channel, presentation: &str) {
        let Some(id) = self.upsert_leg(now, channel) else { return };
        self.on_presentation(id, channel, presentation);
    }

    fn on_dial_began(
        &mut self,
        now: Timestamp,
        by: Option<&Channel>,
        to: &Channel,
        number: Option<&SmolStr>,
    ) {
        let dialler = by.and_then(|channel| self.upsert_leg(now, channel));
        if let Some(channel) = by {
            self.accept_caller(now, channel, false);
        }
        let Some(dialled) = self.upsert_leg(now, to) else { return };
        if let Some(leg) = self.legs.get_mut(&to.id) {
            leg.dialled_by = by.map(|channel| channel.id.clone());
            leg.dialled = true;
            leg.dial_ended = None;
        }
        self.withdraw_caller(&to.id);
        self.derive_direction(now, dialled, to);
        self.note_dialled_number(&to.id, number);
        let waiting = dialler.or_else(|| self.recalling_call(to));
        let id = waiting.map_or(dialled, |waiting| self.merge_calls(now, waiting, dialled));
        if let Some(channel) = by {
            self.add_extension(id, channel);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.tried = true;
        }
        self.read_headers_or_identify(now, id);
        self.derive(now, id);
    }

    fn on_local_paired(&mut self, now: Timestamp, one: &Channel, two: &Channel) {
        let (Some(first), Some(second)) = (self.upsert_leg(now, one), self.upsert_leg(now, two)) else {
            return;
        };
        for (half, other) in [(one, two), (two, one)] {
            self.unpair(&half.id);
            if let Some(leg) = self.legs.get_mut(&half.id) {
                leg.peer = Some(other.id.clone());
            }
        }
        let id = self.merge_calls(now, first, second);
        self.derive(now, id);
    }

    pub(crate) fn on_bridge_entered(
        &mut self,
        now: Timestamp,
        bridge: &BridgeId,
        kind: BridgeKind,
        channel: &Channel,
    ) {
        let Some(mut id) = self.upsert_leg(now, channel) else { return };
        self.enter_bridge(bridge, kind, &channel.id);
        if kind == BridgeKind::Mixing {
            for other in self.bridges.get(bridge).map(|b| b.legs.clone()).unwrap_or_default() {
                if let Some(other) = self.legs.get(&other).map(|leg| leg.call) {
                    id = self.merge_calls(now, id, other);
                }
            }
        }
        self.derive_bridge(now, bridge);
        self.derive(now, id);
    }

    fn enter_bridge(&mut self, bridge: &BridgeId, kind: BridgeKind, id: &ChannelId) {
        if self.legs.get(id).is_some_and(|leg| leg.bridge.as_ref() == Some(bridge)) {
            return;
        }
        self.leave_bridge(id);
        let entry = self.bridges.entry(bridge.clone());
        entry.or_insert_with(|| Bridge { kind, legs: Vec::with_capacity(2) }).legs.push(id.clone());
        if let Some(leg) = self.legs.get_mut(id) {
            leg.bridge = Some(bridge.clone());
        }
    }

    /// Takes the leg out of its bridge; an empty bridge is removed, with or without a BridgeDestroy event.
    pub(crate) fn leave_bridge(&mut self, id: &ChannelId) {
        let Some(bridge) = self.legs.get_mut(id).and_then(|leg| leg.bridge.take()) else { return };
        if let Some(entry) = self.bridges.get_mut(&bridge) {
            entry.legs.retain(|leg| leg != id);
            if entry.legs.is_empty() {
                self.bridges.remove(&bridge);
            }
        }
    }

    fn on_bridge_merged(&mut self, now: Timestamp, from: &BridgeId, to: &BridgeId) {
        let Some(moved) = self.bridges.get(from).map(|b| b.legs.clone()) else { return };
        let kind = self.bridges.get(to).map_or(BridgeKind::Mixing, |b| b.kind);
        for id in &moved {
            self.enter_bridge(to, kind, id);
        }
        if kind == BridgeKind::Mixing {
            let all = self.bridges.get(to).map(|b| b.legs.clone()).unwrap_or_default();
            for pair in all.windows(2) {
                self.merge_calls_of(now, &pair[0], &pair[1]);
            }
        }
        self.derive_bridge(now, to);
    }

    fn on_bridge_gone(&mut self, now: Timestamp, bridge: &BridgeId) {
        let Some(gone) = self.bridges.get(bridge).map(|b| b.legs.clone()) else { return };
        for id in &gone {
            self.leave_bridge(id);
            if let Some(call) = self.legs.get(id).map(|leg| leg.call) {
                self.derive(now, call);
            }
        }
    }

    /// Derives every call that has a leg in this bridge (two inbound calls may share one).
    fn derive_bridge(&mut self, now: Timestamp, bridge: &BridgeId) {
        for id in self.bridges.get(bridge).map(|b| b.legs.clone()).unwrap_or_default() {
            if let Some(call) = self.legs.get(&id).map(|leg| leg.call) {
                self.derive(now, call);
            }
        }
    }

    fn on_queue_joined(
        &mut self,
        now: Timestamp,
        channel: &Channel,
        queue: QueueName,
        position: Option<u32>,
    ) {
        if self.upsert_leg(now, channel).is_some() {
            self.accept_caller(now, channel, false);
        }
        self.update_call(now, channel, |call| {
            queue_visit::join(&mut call.queue_visits, queue.clone(), position, now);
            call.queued = true;
            call.tried = true;
            call.overflowed = false;
            call.abandoned = false;
            call.guidance = None;
            if call.is_of_caller(channel) {
                call.push_notice(now, NoticeKind::Queued { queue, position });
            }
        });
        if let Some(id) = self.call_of(&channel.id) {
            self.add_extension(id, channel);
            self.read_headers_or_identify(now, id);
        }
    }

    fn on_queue_left(&mut self, now: Timestamp, channel: &Channel) {
        let call = self.upsert_leg(now, channel).and_then(|id| self.calls.get(&id));
        let Some(result) = call.map(|call| self.result_of_queue(call)) else { return };
        self.update_call(now, channel, |call| {
            queue_visit::leave(&mut call.queue_visits, now, result);
            call.queued = false;
            call.overflowed = !call.abandoned;
        });
    }

    /// The far end of a channel hung up. Where that is the caller's, who was not served yet, it shows why the call ends:
    /// a caller who waits gives up; a caller whom the PBX has stopped trying to connect does not.
    fn on_far_end_hangs_up(&mut self, now: Timestamp, channel: &Channel, cause: u16) {
        let Some(id) = self.upsert_leg(now, channel) else { return };
        let Some(call) = self.calls.get(&id) else { return };
        if call.caller.as_ref() == Some(&channel.id) && !call.caller_hung_up {
            let waits = call.queued || !call.tried || self.is_being_connected(call);
            if let Some(call) = self.calls.get_mut(&id) {
                call.caller_hung_up = true;
                call.abandoned = waits;
            }
        }
        self.update_leg(now, channel, |leg| {
            leg.hangup_requested = Some(cause);
            leg.hung_up = true;
        });
    }

    /// A phone passed its other side on with its own key, or the PBX did for it: the operator no longer has the caller,
    /// although the phone's channel may still live.
    fn on_blind_transferred(
        &mut self,
        now: Timestamp,
        transferer: &ChannelId,
        transferee: Option<&ChannelId>,
    ) {
        let Some(id) = self.call_of(transferer).or_else(|| self.call_of(transferee?)) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let caller_is_passed_on = match transferee {
            Some(transferee) => call.caller.as_ref() == Some(transferee),
            None => call.operator.as_ref().is_some_and(|operator| &operator.leg == transferer),
        };
        if caller_is_passed_on {
            call.passed_on = true;
            if let Some(leg) = self.legs.get_mut(transferer) {
                leg.released = true;
            }
            self.derive(now, id);
        }
    }

    fn on_user_event(
        &mut self,
        now: Timestamp,
        name: &str,
        channel: &Channel,
        fields: &[(SmolStr, Vec<u8>)],
    ) {
        match name {
            "ToritsugiIdentity" => {
                let Some(id) = self.upsert_leg(now, channel) else { return };
                self.accept_caller(now, channel, true);
                self.on_identity(now, id, channel, fields);
            }
            "ToritsugiTransfer" => {
                let tries = user_field(fields, "Step") == Some(b"trying");
                self.update_call(now, channel, |call| {
                    // A consultation is dialled by a Local channel, not by the caller's.
                    call.passed_on |= tries && call.caller.as_ref() == Some(&channel.id);
                });
            }
            // From here on a caller who hangs up gives nobody up.
            "ToritsugiFax" => {
                let is_step = |value: &[u8]| value == b"receiving" || value == b"received";
                let is_fax =
                    fields.iter().any(|(key, value)| key.eq_ignore_ascii_case("Step") && is_step(value));
                if is_fax {
                    self.update_call(now, channel, |call| call.fax = true);
                }
            }
            "ToritsugiOutcome" => {
                let outcome = match user_field(fields, "Outcome") {
                    Some(b"closed") => Outcome::Closed,
                    Some(b"overflowed") => Outcome::Overflowed,
                    Some(b"blocked") => Outcome::Blocked,
                    Some(b"refused") => Outcome::Refused,
                    _ => return,
                };
                self.update_call(now, channel, |call| call.dialplan_outcome = Some(outcome));
            }
            "ToritsugiCallflow" => {
                // After the letter, the number of the people on call who are reached.
                let treatment = user_field(fields, "Treatment").and_then(<[u8]>::split_first);
                let Some((&letter, variant)) = treatment else { return };
                if !variant.iter().all(u8::is_ascii_digit) {
                    return;
                }
                let treated = Treated { at: now, letter: char::from(letter) };
                self.update_call(now, channel, |call| call.treated = Some(treated));
            }
            "ToritsugiStep" => {
                let says = user_field(fields, "Verb") == Some(b"say");
                let sound = user_text(fields, "Name");
                let Some(sound) = sound.filter(|_| says).and_then(|sound| printable(sound, NAME_CHARS_MAX))
                else {
                    return;
                };
                self.update_call(now, channel, |call| {
                    if call.is_of_caller(channel) {
                        call.guidance = Some(sound.to_string());
                        call.push_notice(now, NoticeKind::Guidance { sound: sound.to_string() });
                    }
                });
            }
            _ => {}
        }
    }

    fn merge_calls_of(&mut self, now: Timestamp, one: &ChannelId, two: &ChannelId) {
        if let (Some(one), Some(two)) = (self.call_of(one), self.call_of(two)) {
            let id = self.merge_calls(now, one, two);
            self.derive(now, id);
        }
    }

    /// Merges two calls, unless both are inbound; returns the call that `one` belongs to now.
    pub(crate) fn merge_calls(&mut self, now: Timestamp, one: CallId, two: CallId) -> CallId {
        if one == two {
            return one;
        }
        let (Some(a), Some(b)) = (self.calls.get(&one), self.calls.get(&two)) else { return one };
        let inbound = |call: &Call| call.direction == Direction::Inbound;
        let (keep, lose) = match (inbound(a), inbound(b)) {
            (true, true) => return one,
            (true, false) => (one, two),
            (false, true) => (two, one),
            (false, false) if (b.offered_at, b.id) < (a.offered_at, a.id) => (two, one),
            (false, false) => (one, two),
        };
        let Some(lost) = self.calls.remove(&lose) else { return one };
        self.drop_timers(&lost);
        for id in &lost.legs {
            if let Some(leg) = self.legs.get_mut(id) {
                leg.call = keep;
            }
        }
        for id in &lost.linked {
            self.linked.insert(id.clone(), keep);
        }
        if let Some(kept) = self.calls.get_mut(&keep) {
            let trunk = lost.direction == Direction::Outbound;
            if trunk && kept.direction == Direction::Internal {
                kept.direction = Direction::Outbound;
            }
            for id in &lost.legs {
                kept.add_leg(id);
            }
            kept.linked.extend(lost.linked);
            kept.treated = kept.treated.take().or(lost.treated);
            kept.queue_visits.extend(lost.queue_visits);
            kept.queue_visits.sort_by_key(|visit| visit.from);
            kept.outbound.absorb(lost.outbound);
        }
        self.derive(now, keep);
        keep
    }

    fn unpair(&mut self, id: &ChannelId) {
        let peer = self.legs.get_mut(id).and_then(|leg| leg.peer.take());
        if let Some(peer) = peer.and_then(|peer| self.legs.get_mut(&peer))
            && peer.peer.as_ref() == Some(id)
        {
            peer.peer = None;
        }
    }

    /// Removes a leg from its bridge, its call and the model; with the caller's leg the call ends.
    pub(crate) fn remove_leg(&mut self, now: Timestamp, id: &ChannelId, cause: u16) {
        self.leave_bridge(id);
        self.add_tombstone(now, id.clone());
        self.unpair(id);
        let Some(mut leg) = self.legs.remove(id) else { return };
        let by_pbx = leg.hangup_requested.is_some() && !leg.hung_up;
        // Without a hang-up request the cause of the hang-up itself tells a refusal.
        leg.hangup_requested.get_or_insert(cause);
        let Some(call) = self.calls.get_mut(&leg.call) else { return };
        call.legs.retain(|other| other != id);
        let status = leg.dial_result().unwrap_or_else(|| dial_status_of(cause));
        if call.answered_at.is_none() && leg.is_dialled_party() {
            call.refused |= status == DialStatus::Busy;
            call.unanswered |= !matches!(status, DialStatus::Busy | DialStatus::Unavailable);
        }
        call.removed_legs.push(RemovedLeg {
            id: id.clone(),
            status,
            taken_elsewhere: leg.dial_ended.is_none() && cause == ANSWERED_ELSEWHERE,
            consulted: leg.consulted,
            picked_up_at: leg.picked_up_at,
        });
        self.note_trunk_gone(leg.call, &leg, status);
        let Some(call) = self.calls.get(&leg.call) else { return };
        if call.caller.as_ref() == Some(id) && call.is_reportable() {
            self.end_call(now, leg.call, cause, by_pbx);
        } else {
            self.derive(now, leg.call);
        }
        self.remove_if_done(now, leg.call);
    }

    /// Removes a call that is done.
    pub(crate) fn remove_if_done(&mut self, now: Timestamp, id: CallId) {
        if !self.calls.get(&id).is_some_and(Call::is_done) {
            return;
        }
        if let Some(call) = self.calls.remove(&id) {
            self.drop_timers(&call);
            self.retire_call_id(now, id);
            for linked in &call.linked {
                self.linked.remove(linked);
            }
        }
    }
}
