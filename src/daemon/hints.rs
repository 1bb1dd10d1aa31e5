//! What the daemon does while a plan treats a call: hints, and whether the two mean the same account.
//!
//! Hints: what the daemon adds to one call: the caller is refused or preferred, the operator hears of the caller. The dialplan asks
//! (`ToritsugiHint`) and waits for 300 ms at most, and only while the daemon's heartbeat is fresh; the answer is up to three
//! variables of the caller's channel.
//!
//! | the call's card | answer |
//! |---|---|
//! | is known, or its look-up took too long | at once |
//! | is being looked up | when it is known |
//! | comes later than [`REQUEST_TTL`] | none: the dialplan goes on without it |
//!
//! A plan that belongs to another account than the call's card is published (`callflow.disagreed`), at most once in
//! [`DISAGREED_INTERVAL`]: the call is treated by the PBX's plan, and its pop shows the card's account.
//!
//! Invariant: the loop waits for neither the store nor the PBX.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::core::Core;
use crate::ami::action::Action;
use crate::ami::event::{Event, user_text};
use crate::contract::event::EventKind;
use crate::ids::{CallId, ChannelId, RecordId};
use crate::publish;

/// The event by which the dialplan asks.
const EVENT: &str = "ToritsugiHint";
/// How long an answer is of use.
const REQUEST_TTL: SignedDuration = SignedDuration::from_millis(300);

/// Least time between two reports of calls whose account is another one at the PBX.
const DISAGREED_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// What waits, and what was reported.
#[derive(Debug, Default)]
pub(super) struct Hints {
    requests: Vec<HintRequest>,
    /// When a call was last reported whose account is another one at the PBX.
    disagreed_at: Option<Timestamp>,
}

/// A call whose dialplan waits.
#[derive(Debug)]
struct HintRequest {
    call: CallId,
    channel: ChannelId,
    since: Timestamp,
    /// The operator hears of the caller.
    announces: bool,
}

impl Core {
    /// What the dialplan reports beside the call itself, before the model has it.
    pub(super) fn on_dialplan_event(&mut self, event: &Event) {
        self.on_fax_event(event);
        self.on_voice_event(event);
        self.on_guidance_event(event);
        self.note_missing_sounds(event);
        self.note_hint_request(event);
        self.note_listener(event);
        self.compare_account(event);
    }

    /// Notes which sounds the PBX lacks, if `event` says so.
    fn note_missing_sounds(&self, event: &Event) {
        let Event::User { name, fields, .. } = event else { return };
        if name == "ToritsugiSounds" {
            let field = |name| user_text(fields, name).unwrap_or_default();
            self.deps.sounds.answered(field("Order"), field("Missing"));
            let missing = self.deps.sounds.missing().len();
            self.deps.stats.sounds_missing.set(i64::try_from(missing).unwrap_or(i64::MAX));
        }
    }

    /// Notes that the dialplan waits, if `event` says so.
    fn note_hint_request(&mut self, event: &Event) {
        let Event::User { name, channel, fields } = event else { return };
        if name != EVENT || !self.deps.bus.is_leader() {
            return;
        }
        if let Some(leg) = self.model.leg_view(&channel.id) {
            let (call, channel, since) = (leg.call, channel.id.clone(), self.clock.now());
            // An older dialplan does not say what for: it asks for nothing else.
            let announces = user_text(fields, "For").is_none_or(|what| what == "h");
            self.hints.requests.push(HintRequest { call, channel, since, announces });
        }
    }

    /// Answers for the calls whose card is known.
    pub(super) fn send_hints(&mut self) {
        if self.hints.requests.is_empty() {
            return;
        }
        let now = self.clock.now();
        for request in std::mem::take(&mut self.hints.requests) {
            if now.duration_since(request.since) > REQUEST_TTL {
                continue;
            }
            if !self.model.is_card_known(request.call) {
                self.hints.requests.push(request);
                continue;
            }
            let card = self.model.call(request.call).and_then(|view| view.card);
            let hint = card.map(|card| self.deps.directory.call_hint(&card, request.announces, now));
            let hint = hint.unwrap_or_default();
            let set = |name, value: &str| Action::setvar(request.channel.as_str(), name, value);
            let preference = hint.preference.to_string();
            let preference = (hint.preference > 0).then(|| set("TORITSUGI_PRIO", &preference));
            let sounds = (!hint.sounds.is_empty()).then(|| set("TORITSUGI_SAY", &hint.sounds));
            // The last one ends the wait.
            let actions: Vec<_> =
                sounds.into_iter().chain(preference).chain([set("TORITSUGI_HINT", hint.word())]).collect();
            let pbx = self.deps.pbx.clone();
            self.deps.tasks.spawn(async move {
                for action in actions.into_iter().flatten() {
                    pbx.send(action).await;
                }
            });
        }
    }

    /// Compares the account of the plan with that of the card, if `event` says that a plan treats a call.
    fn compare_account(&mut self, event: &Event) {
        let Event::User { name, channel, fields } = event else { return };
        if name != "ToritsugiCallflow" || !self.deps.bus.is_leader() {
            return;
        }
        let field = |name: &str| user_text(fields, name);
        let Some(plan) = field("Plan").and_then(|text| Uuid::try_parse(text).ok()).map(RecordId) else {
            return;
        };
        let Some(call) = self.model.leg_view(&channel.id).map(|leg| leg.call) else { return };
        let Some(card) = self.model.call(call).and_then(|view| view.card) else { return };
        let now = self.clock.now();
        let is_due = self.hints.disagreed_at.is_none_or(|at| now.duration_since(at) >= DISAGREED_INTERVAL);
        if card.account.id == Some(plan) || !is_due {
            return;
        }
        self.hints.disagreed_at = Some(now);
        let by = field("By").unwrap_or_default();
        tracing::warn!(
            %call, plan = %plan, account = ?card.account.id, by,
            "the PBX treats a call by the plan of another account; compare the numbers that it sends with those of the accounts"
        );
        let data = json!({
            "plan": plan, "account": card.account.id, "by": by, "dialled": card.dialled, "diverted_by": card.diverted_by,
        });
        let event = publish::callflow(EventKind::CallflowDisagreed, data, Some(call), now);
        self.deps.bus.publish_all(vec![event], Vec::new());
    }
}
