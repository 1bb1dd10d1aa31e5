//! Builds the events of the public contract from what the machines report.
//!
//! Invariant: pure. `data` is complete in itself (a screen pop needs no second request). The audience is the smallest
//! that the work needs: the operator whose phone rings or who has the call, and their supervisors; a call that no
//! operator has or is offered concerns supervisors only.
//!
//! # Ordering rules
//! The order of publication is decided by the callers; this list is the only place where it is written down. `EventOrder`
//! (`tests/support/event_order.rs`) holds every event stream of an administrator in the end-to-end tests against the rules
//! that one stream can show; the other rules name their tests.
//!
//! Of one call (`call/derive.rs`, `call/stage.rs`, `call/offer.rs`):
//!
//! 1. `call.offered` is the call's first event. What happens before the card is known is held back and published after
//!    it, in order. Tests: `EventOrder`, `a_pop_waits_for_its_card_but_not_for_ever`.
//! 2. `call.presented` of an operator comes before `call.answered` of that operator, also when both become known at
//!    once. Tests: `EventOrder`, `any_order_of_events_keeps_the_invariant`.
//!    `call.announced` of an operator comes between the two. Tests: `EventOrder`,
//!    `a_waiting_caller_shows_the_queue_and_what_is_played`.
//! 3. When one of several phones is picked up, the PBX silences the others at once and connects the caller later, after
//!    any announcement. Each event comes when it happens: `call.rescinded` of the others (`answered_elsewhere`), then
//!    `call.answered`; the order is the other way round only if the PBX connects the caller first. The operator who
//!    picked up stays in `presented_to` between the two, so that at no time a call that was picked up seems to be nobody's.
//!    Tests: `EventOrder`, `two_ring_and_one_wins`.
//! 4. `call.presented`, `call.answered`, `call.held` or `call.resumed`, `call.rescinded`: this order when one PBX event
//!    causes several of them. Test: `notices_of_one_event_come_in_their_order`.
//! 5. Every screen pop is withdrawn or answered before `call.ended`, and nothing but `call.disposed` follows `call.ended`.
//!    Test: `EventOrder`.
//! 6. When several notices of a call are published together, each carries the newest view, but an operator stays in its
//!    `presented_to` until the notice that withdraws their pop: otherwise an earlier event would take the call away and
//!    the reason would be missing. Test: `notices_of_one_event_come_in_their_order`.
//!
//! Between the call and what belongs to it (`daemon/core.rs`, `daemon/transfers.rs`, `daemon/pops.rs`):
//!
//! 7. A transfer's events come before the call events of the same PBX event: `call.transfer.returned` before the
//!    `call.presented` that shows the transfer's outcome, and the transfer's end before `call.ended`
//!    (`Core::apply_input`: transfers are drained before the model). Tests: `EventOrder`,
//!    `a_caller_whom_nobody_takes_comes_back_with_the_reason`.
//! 8. The supervision of the call is paused before `call.transfer.requested` is published (`pause_supervision`), and live
//!    again only after `call.transfer.consulting` or the transfer's end, when the PBX has confirmed it. Tests:
//!    `EventOrder`, `the_supervisor_is_detached_before_the_caller_is_moved` (the order at the PBX).
//! 9. A call that rang at one team and rings nowhere now is published again with `call.updated` after its
//!    `call.rescinded`, for the supervisors who lost sight of it (`republish_unowned` in `daemon/core.rs`). Test:
//!    `EventOrder`.
//! 10. In one `publish_all`, the notices' events come first and in the order of the notices, because the pop tracker
//!     pairs notices with event ids by index; the `call.updated` of rule 9 comes last. Tests: `EventOrder` for the
//!     update; a pop that is paired with the wrong event is repeated or reported, which
//!     `the_whole_pop_is_there_before_the_answer` would show.
//! 11. A call's history is updated before its checkpoint is taken, and the checkpoint is committed with the call's event
//!     (`daemon/core.rs`, `daemon/transfers.rs`, `daemon/pops.rs`). Tests: `snapshot_and_rest_equal_the_whole_over_crashes`,
//!     and the fault-injection suite, which compares the histories of calls over kills with the far end's records.
//! 12. `operator.state` comes after the call events of the same PBX event (the operators are drained last). Test:
//!     `EventOrder`.
//! 13. The audit entry of a supervision is queued before its event is published (`daemon/supervision.rs`); that of a
//!     request for help after its event. Tests: the supervision tests read the audit entry
//!     of each event (`Scene::audited`).
//!
//! Of the PBX link ([`crate::pbx_link`], `daemon/link.rs`):
//!
//! 14. After a start, `pbx.down` is published before anything else, if the store has a link state of an earlier run.
//!     Test: `after_a_start_down_comes_first_and_the_gap_before_the_calls`.
//! 15. When the link breaks, nothing is published about calls; `pbx.down` follows, and the calls again after `pbx.gap`.
//!     Test: `EventOrder`.
//! 16. When the link is back: `pbx.gap`; then, after a restart of the PBX, `call.ended` of every earlier call and
//!     `supervision.stopped`, then `pbx.restarted`; then what the complete channel list changes; then `pbx.up`. Tests:
//!     `EventOrder`, `after_a_restart_of_the_pbx_the_calls_end_before_it_is_published`.
//! 17. A gap is committed before the link state that ends it, since the link state alone would hide the gap. Tests:
//!     `after_a_start_down_comes_first_and_the_gap_before_the_calls`, `a_gap_is_written_before_the_link_state_that_ends_it`.
//!
//! Of a takeover (`bus/redis/hub/`, `daemon/core.rs`, `daemon/takeover.rs`):
//!
//! 18. A new leader publishes the buffered events that its predecessor had not published, in the order in which the
//!     calls began, then the link state if it differs; only then does it publish new events. Tests: the property tests
//!     of `StandbyTracker::take_over`, `a_new_leader_publishes_the_missing_events_and_then_its_link`.
//! 19. After the complete channel list, the list's own call events come first, then `call.rescinded` of ringing that
//!     stopped unseen, then `call.ended` of calls that ended unseen. Test:
//!     `after_the_list_ringing_stops_before_calls_end`.
//! 20. The core handles a takeover before any command or PBX event (`biased` in `Core::run`). Test:
//!     `the_standby_takes_over_when_the_active_daemon_is_killed_under_calls`: no call of the far end lacks an event.
//!
//! Of messages (`messages/relay.rs`):
//!
//! 21. `message.saved` or `message.corrected` comes before `message.sent`, `message.failed` and `message.acknowledged` of the
//!     same content, also when both happened before the relay ran; nothing comes after `message.withdrawn`; a newer
//!     version never before an older one. What happened to its route and its phone tasks comes after the message's own
//!     events of the same round. Tests: `EventOrder`, `what_happened_to_a_message_is_published_in_order`.
//!
//! Of operators (`daemon/operators.rs`):
//!
//! 22. `call.disposed` comes before the `operator.state` of the change that it belongs to (`finish_wrap_up` in
//!     `operators/registry/wrap_up.rs`). Tests: `EventOrder`,
//!     `the_queue_rings_only_who_is_ready_and_the_next_call_waits_for_the_work_after_this_one`.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::call::{Notice, NoticeKind, RescindReason};
use crate::contract::call::{CallView, Outcome};
use crate::contract::callback::CallbackMark;
use crate::contract::callflow::Override;
use crate::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use crate::contract::fax::Fax;
use crate::contract::guidance_draft::GuidanceDraft;
use crate::contract::message::Message;
use crate::contract::notice::AccountNotice;
use crate::contract::operator::StateView;
use crate::contract::records::Contact;
use crate::contract::supervision::{EndReason, SupervisionView};
use crate::contract::time::time as wire_time;
use crate::contract::transfer::ReturnedTo;
use crate::contract::voice::VoiceMessage;
use crate::ids::{CallId, Extension, RecordId};
use crate::operators::CompletedWrapUp;
use crate::screen_pop::UnackedReason;
use crate::transfer;

/// The event of a call notice.
#[must_use]
pub fn from_notice(notice: &Notice) -> NewEvent {
    let view = &notice.view;
    let gone = matches!(notice.kind, NoticeKind::Ended { .. });
    let mut data = Map::new();
    put_times(&mut data, view);
    if !gone {
        put(&mut data, "state", &view.state);
        put_waiting(&mut data, view);
    }
    let (kind, audience) = kind_and_audience(&notice.kind, view, &mut data);
    if view.inferred {
        data.insert("inferred".into(), Value::Bool(true));
    }
    NewEvent {
        kind,
        at: notice.at,
        call: Some(view.id),
        audience,
        data: Value::Object(data),
        change: if gone { StateDelta::CallGone(view.id) } else { StateDelta::Call(Arc::new(view.clone())) },
    }
}

/// The `call.ended` of a call whose end no daemon saw.
#[must_use]
pub fn inferred_end(view: &CallView, at: Timestamp) -> NewEvent {
    let mut view = view.clone();
    let operators: Vec<Extension> = view.operators().cloned().collect();
    view.inferred = true;
    view.ended_at = Some(at);
    let outcome = Outcome::inferred_from(&view);
    let kind =
        NoticeKind::Ended { outcome, operators, channels: Vec::new(), queues: Vec::new(), treated: None };
    from_notice(&Notice { at, kind, view })
}

/// The `call.rescinded` of a call that stopped ringing at an operator without a daemon seeing it.
#[must_use]
pub fn inferred_rescind(view: &CallView, operator: Extension, at: Timestamp) -> NewEvent {
    let kind = NoticeKind::Rescinded { operator, reason: RescindReason::Withdrawn, picked_up_at: None };
    let mut event = from_notice(&Notice { at, kind, view: view.clone() });
    if let Value::Object(data) = &mut event.data {
        data.insert("inferred".into(), Value::Bool(true));
    }
    event
}

/// An operator asks for help. The event carries the screen pop's data, for the supervisors.
#[must_use]
pub fn help_requested(view: &CallView, operator: &Extension, at: Timestamp) -> NewEvent {
    let mut data = Map::new();
    put_card(&mut data, view);
    put(&mut data, "state", &view.state);
    let audience = operator_only(&mut data, operator);
    let (kind, call, data) = (EventKind::HelpRequested, Some(view.id), Value::Object(data));
    NewEvent { kind, at, call, audience, data, change: StateDelta::None }
}

/// An operator no longer asks for help.
#[must_use]
pub fn help_withdrawn(call: CallId, operator: &Extension, at: Timestamp) -> NewEvent {
    let mut data = Map::new();
    let audience = operator_only(&mut data, operator);
    let (kind, call, data) = (EventKind::HelpWithdrawn, Some(call), Value::Object(data));
    NewEvent { kind, at, call, audience, data, change: StateDelta::None }
}

/// No desktop acknowledged an operator's screen pop. Only the operator's supervisors see the event.
#[must_use]
pub fn pop_unacknowledged(
    view: &CallView,
    operator: &Extension,
    reason: UnackedReason,
    presented_at: Timestamp,
    at: Timestamp,
) -> NewEvent {
    let mut data = Map::new();
    put(&mut data, "operator", operator);
    put(&mut data, "reason", &reason);
    put(&mut data, "presented_at", &wire_time(presented_at));
    NewEvent {
        kind: EventKind::PopUnacknowledged,
        at,
        call: Some(view.id),
        audience: Audience::SupervisorsOf(vec![operator.clone()]),
        data: Value::Object(data),
        change: StateDelta::None,
    }
}

/// An event of a supervision session.
#[must_use]
pub fn supervision(
    kind: EventKind,
    view: &SupervisionView,
    ending: Option<EndReason>,
    audience: Audience,
    at: Timestamp,
) -> NewEvent {
    let mut data = match serde_json::to_value(view) {
        Ok(Value::Object(data)) => data,
        _ => Map::new(),
    };
    if let Some(ending) = ending {
        put(&mut data, "ending", &ending);
    }
    NewEvent { kind, at, call: view.call, audience, data: Value::Object(data), change: StateDelta::None }
}

/// The audience of what belongs to a person: the person and the supervisors of the person's team. `present` is the phone at
/// which the person is now. (A person's phone is that person's alone, and an earlier version of the daemon that shares
/// Redis knows no other form.)
#[must_use]
pub fn audience_of_person(person: RecordId, present: Option<&Extension>) -> Audience {
    present.map_or(Audience::Person(person), |present| Audience::Operators(vec![present.clone()]))
}

/// An operator's new state. `present` is the phone at which the operator is now: not that of the view, where the operator
/// has none or another person sits.
#[must_use]
pub fn operator_state(view: StateView, present: Option<&Extension>, at: Timestamp) -> NewEvent {
    let data = serde_json::to_value(&view).unwrap_or_default();
    let audience = audience_of_person(view.id, present);
    let (kind, change) = (EventKind::OperatorState, StateDelta::Operator(Arc::new(view)));
    NewEvent { kind, at, call: None, audience, data, change }
}

/// What an operator recorded about a call in the after-call work; `None` while that is neither a disposition nor notes.
/// `present` as in [`operator_state`].
#[must_use]
pub fn disposed(
    operator: &StateView,
    present: Option<&Extension>,
    completed: &CompletedWrapUp,
    at: Timestamp,
) -> Option<NewEvent> {
    let CompletedWrapUp { work, ended_at, disposition, notes } = completed;
    if disposition.is_none() && notes.is_none() {
        return None;
    }
    let mut data = Map::new();
    put(&mut data, "user", &operator.id);
    put(&mut data, "name", &operator.name);
    if let Some(extension) = &operator.extension {
        put(&mut data, "operator", extension);
    }
    if let Some(account) = &work.account {
        put(&mut data, "account", account);
    }
    put(&mut data, "account_name", &work.account_name);
    put(&mut data, "since", &wire_time(work.since));
    put(&mut data, "ended_at", &wire_time(*ended_at));
    for (key, text) in [("disposition", disposition), ("notes", notes)] {
        if let Some(text) = text {
            put(&mut data, key, text);
        }
    }
    let audience = audience_of_person(operator.id, present);
    let (kind, call, data) = (EventKind::CallDisposed, Some(work.call), Value::Object(data));
    Some(NewEvent { kind, at, call, audience, data, change: StateDelta::None })
}

/// An event of a message, without its sensitive answers.
#[must_use]
pub fn message(kind: EventKind, message: &Message, audience: Audience) -> NewEvent {
    let mut shown = message.clone();
    shown.fields.hide_sensitive();
    let data = serde_json::to_value(shown).unwrap_or_default();
    let (at, call) = (message.changed_at, message.call);
    NewEvent { kind, at, call, audience, data, change: StateDelta::None }
}

/// A fax arrived. No operator works on a fax, so the event is the supervisors'.
#[must_use]
pub fn fax_received(fax: &Fax) -> NewEvent {
    let data = serde_json::to_value(fax).unwrap_or_default();
    let (kind, at, call) = (EventKind::FaxReceived, fax.received_at, fax.call);
    NewEvent { kind, at, call, audience: Audience::Supervisors, data, change: StateDelta::None }
}

/// A caller left a recording. It is a message, and that event goes to whom the message concerns; this one is the supervisors'.
#[must_use]
pub fn voice_message_received(voice: &VoiceMessage) -> NewEvent {
    let data = serde_json::to_value(voice).unwrap_or_default();
    let (kind, at, call) = (EventKind::VoiceMessageReceived, voice.recorded_at, voice.call);
    NewEvent { kind, at, call, audience: Audience::Supervisors, data, change: StateDelta::None }
}

/// What happened to a message's route or to a phone task of it.
#[must_use]
pub fn of_message(kind: EventKind, data: Value, at: Timestamp, audience: Audience) -> NewEvent {
    NewEvent { kind, at, call: None, audience, data, change: StateDelta::None }
}

/// The notices of an account changed: `notices` are those that are not over.
#[must_use]
pub fn notices(account: RecordId, notices: &[AccountNotice], at: Timestamp) -> NewEvent {
    let data = json!({ "account": account, "notices": notices });
    of_message(EventKind::NoticeChanged, data, at, Audience::All)
}

/// Somebody wrote down where a contact is.
#[must_use]
pub fn contact_presence(contact: &Contact, at: Timestamp) -> NewEvent {
    let data = json!({
        "account": contact.fields.account, "contact": contact.id, "presence": contact.presence,
    });
    of_message(EventKind::ContactPresence, data, at, Audience::All)
}

/// Somebody said how far it is to call the caller of an abandoned call back.
#[must_use]
pub fn callback(mark: &CallbackMark) -> NewEvent {
    let data = json!({ "call": mark.call, "state": mark.state, "by": mark.by, "by_name": mark.by_name });
    of_message(EventKind::CallbackChanged, data, mark.at, Audience::Supervisors)
}

/// An alarm was raised or cleared.
#[must_use]
pub fn alarm(kind: EventKind, data: Value, at: Timestamp) -> NewEvent {
    NewEvent { kind, at, call: None, audience: Audience::Supervisors, data, change: StateDelta::None }
}

/// What supervisors must know of the house: its mail server, mails that came back, its documents.
#[must_use]
pub fn of_house(kind: EventKind, data: Value, at: Timestamp) -> NewEvent {
    NewEvent { kind, at, call: None, audience: Audience::Supervisors, data, change: StateDelta::None }
}

/// An override was set, or is over: everybody reads overrides.
#[must_use]
pub fn override_changed(kind: EventKind, one: &Override, at: Timestamp) -> NewEvent {
    let data = serde_json::to_value(one).unwrap_or_default();
    NewEvent { kind, at, call: None, audience: Audience::All, data, change: StateDelta::None }
}

/// Whether the PBX has the plans that were set, for the supervisors.
#[must_use]
pub fn callflow(kind: EventKind, data: Value, call: Option<CallId>, at: Timestamp) -> NewEvent {
    NewEvent { kind, at, call, audience: Audience::Supervisors, data, change: StateDelta::None }
}

/// Guidance that was recorded by telephone: it waits, or callers hear it, or it was discarded. For the supervisors.
#[must_use]
pub fn guidance(kind: EventKind, draft: &GuidanceDraft, at: Timestamp) -> NewEvent {
    let data = serde_json::to_value(draft).unwrap_or_default();
    NewEvent { kind, at, call: None, audience: Audience::Supervisors, data, change: StateDelta::None }
}

/// A person left the service.
#[must_use]
pub fn operator_removed(user: RecordId, at: Timestamp) -> NewEvent {
    let mut data = Map::new();
    put(&mut data, "id", &user);
    let (kind, change) = (EventKind::OperatorRemoved, StateDelta::OperatorGone(user));
    // The operator's team is no longer known; to other supervisors the record's id means nothing.
    NewEvent { kind, at, call: None, audience: Audience::Supervisors, data: Value::Object(data), change }
}

fn kind_and_audience(
    kind: &NoticeKind,
    view: &CallView,
    data: &mut Map<String, Value>,
) -> (EventKind, Audience) {
    match kind {
        NoticeKind::Offered => {
            put_card(data, view);
            (EventKind::CallOffered, Audience::Supervisors)
        }
        NoticeKind::Queued { .. } => (EventKind::CallQueued, audience_of_call(view)),
        NoticeKind::Guidance { .. } => (EventKind::CallGuidance, audience_of_call(view)),
        NoticeKind::Announced { operator, picked_up_at } => {
            put_picked_up(data, Some(*picked_up_at));
            (EventKind::CallAnnounced, operator_only(data, operator))
        }
        NoticeKind::Presented { operator } => {
            put_card(data, view);
            // The call rings here while another operator has it (a consultation), or it moved to this operator directly
            // (a supervisor took it over).
            if let Some(owner) = &view.operator {
                put(data, "had_by", owner);
            }
            (EventKind::CallPresented, operator_only(data, operator))
        }
        NoticeKind::Rescinded { operator, reason, picked_up_at } => {
            put(data, "reason", reason);
            put_picked_up(data, *picked_up_at);
            (EventKind::CallRescinded, operator_only(data, operator))
        }
        NoticeKind::Answered { operator, picked_up_at } => {
            put_picked_up(data, *picked_up_at);
            (EventKind::CallAnswered, operator_only(data, operator))
        }
        NoticeKind::Held { operator } => (EventKind::CallHeld, operator_only(data, operator)),
        NoticeKind::Resumed { operator } => (EventKind::CallResumed, operator_only(data, operator)),
        NoticeKind::Updated => {
            put_card(data, view);
            put(data, "presented_to", &view.presented_to);
            if let Some(operator) = &view.operator {
                put(data, "operator", operator);
            }
            (EventKind::CallUpdated, audience_of_call(view))
        }
        NoticeKind::Ended { outcome, operators, .. } => {
            put(data, "outcome", outcome);
            put(data, "operators", operators);
            if !view.handled_by.is_empty() {
                put(data, "handled_by", &view.handled_by);
            }
            (EventKind::CallEnded, operators_or_supervisors(operators.clone()))
        }
    }
}

fn operator_only(data: &mut Map<String, Value>, operator: &Extension) -> Audience {
    put(data, "operator", operator);
    Audience::Operators(vec![operator.clone()])
}

fn put_picked_up(data: &mut Map<String, Value>, picked_up_at: Option<Timestamp>) {
    if let Some(at) = picked_up_at {
        put(data, "picked_up_at", &wire_time(at));
    }
}

/// Those whom the call concerns: its operators, whoever had it last if it is with nobody, or the supervisors while it waits.
fn audience_of_call(view: &CallView) -> Audience {
    match view.left() {
        [] => operators_or_supervisors(view.operators().cloned().collect()),
        people => Audience::SupervisorsOfPeople(people.to_vec()),
    }
}

fn operators_or_supervisors(operators: Vec<Extension>) -> Audience {
    if operators.is_empty() { Audience::Supervisors } else { Audience::Operators(operators) }
}

/// Puts the card's fields beside the event's own, as the contract defines.
fn put_card(data: &mut Map<String, Value>, view: &CallView) {
    if let Some(Ok(Value::Object(card))) = view.card.as_deref().map(serde_json::to_value) {
        data.extend(card);
    }
}

/// Puts where a caller is who is not with an operator: each event of a call tells all of it.
fn put_waiting(data: &mut Map<String, Value>, view: &CallView) {
    if let Some(queue) = &view.queue {
        put(data, "queue", queue);
    }
    if let Some(treatment) = &view.treatment {
        put(data, "treatment", treatment);
    }
    if let Some(guidance) = &view.guidance {
        put(data, "guidance", guidance);
    }
}

fn put_times(data: &mut Map<String, Value>, view: &CallView) {
    data.insert("offered_at".into(), json!(wire_time(view.offered_at)));
    for (key, at) in [("answered_at", view.answered_at), ("ended_at", view.ended_at)] {
        if let Some(at) = at {
            data.insert(key.into(), json!(wire_time(at)));
        }
    }
}

/// The event of a transfer notice; `None` for a notice that only the history records.
#[must_use]
pub fn from_transfer_notice(notice: &transfer::Notice) -> Option<NewEvent> {
    let kind = match notice.kind {
        transfer::NoticeKind::Requested => EventKind::TransferRequested,
        transfer::NoticeKind::Ringing => EventKind::TransferRinging,
        transfer::NoticeKind::Consulting => EventKind::TransferConsulting,
        transfer::NoticeKind::Completed => EventKind::TransferCompleted,
        transfer::NoticeKind::Failed => EventKind::TransferFailed,
        transfer::NoticeKind::Returned => EventKind::TransferReturned,
        transfer::NoticeKind::Over => return None,
    };
    let view = &notice.view;
    let mut audience = vec![view.operator.clone()];
    if let Some(ReturnedTo::Operator(operator)) = &view.returned_to {
        audience.push(operator.clone());
    }
    audience.dedup();
    let data = serde_json::to_value(view).unwrap_or_default();
    let (at, call) = (notice.at, Some(view.call));
    Some(NewEvent { kind, at, call, audience: Audience::Operators(audience), data, change: StateDelta::None })
}

/// Puts a field whose type always serialises: an id, an enum value or a list of either.
fn put(data: &mut Map<String, Value>, key: &str, value: &impl Serialize) {
    if let Ok(value) = serde_json::to_value(value) {
        data.insert(key.into(), value);
    }
}
