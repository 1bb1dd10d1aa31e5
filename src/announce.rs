//! The one place where what the call model notices becomes an event of the public contract.
//!
//! Invariant: pure; `data` is complete in itself (a pop needs no second request), and the audience is the
//! smallest that the work needs: whose phone rings, who has the call, and their supervisors; calls that are
//! nobody's yet concern the supervisors alone.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::bus::event::wire_time;
use crate::bus::{Audience, Change, Draft, EventKind};
use crate::call::view::{CallView, Outcome};
use crate::call::{Notice, NoticeKind, RescindReason};
use crate::ids::{Extension, RecordId};
use crate::message::Message;
use crate::operator::StateView;
use crate::pop::Unconfirmed;
use crate::supervision::{Ending, SupervisionView};
use crate::transfer::{self, view::ReturnedTo};

/// The event that tells this notice.
#[must_use]
pub fn announce(notice: &Notice) -> Draft {
    let view = &notice.view;
    let gone = matches!(notice.kind, NoticeKind::Ended { .. });
    let mut data = Map::new();
    put_times(&mut data, view);
    if !gone {
        put(&mut data, "state", &view.state);
    }
    let (kind, audience) = describe(&notice.kind, view, &mut data);
    if view.inferred {
        data.insert("inferred".into(), Value::Bool(true));
    }
    Draft {
        kind,
        at: notice.at,
        call: Some(view.id),
        audience,
        data: Value::Object(data),
        change: if gone { Change::CallGone(view.id) } else { Change::Call(Arc::new(view.clone())) },
    }
}

/// The event that tells that a call is over whose end no daemon saw.
#[must_use]
pub fn ended_unseen(view: &CallView, at: Timestamp) -> Draft {
    let mut view = view.clone();
    let operators: Vec<Extension> = view.operators().cloned().collect();
    view.inferred = true;
    view.ended_at = Some(at);
    let kind = NoticeKind::Ended { outcome: Outcome::unseen(&view), operators, channels: Vec::new() };
    announce(&Notice { at, kind, view })
}

/// The event that tells that a call no longer rings at an operator, where no daemon saw it stop.
#[must_use]
pub fn rescinded_unseen(view: &CallView, operator: Extension, at: Timestamp) -> Draft {
    let kind = NoticeKind::Rescinded { operator, reason: RescindReason::Withdrawn };
    let mut draft = announce(&Notice { at, kind, view: view.clone() });
    if let Value::Object(data) = &mut draft.data {
        data.insert("inferred".into(), Value::Bool(true));
    }
    draft
}

/// The event that tells that an operator asks for help: the pop again, for her supervisors.
#[must_use]
pub fn help(view: &CallView, operator: &Extension, at: Timestamp) -> Draft {
    let mut data = Map::new();
    put_card(&mut data, view);
    put(&mut data, "state", &view.state);
    let audience = only(&mut data, operator);
    let (kind, call, data) = (EventKind::HelpRequested, Some(view.id), Value::Object(data));
    Draft { kind, at, call, audience, data, change: Change::None }
}

/// The event that tells her supervisors that nobody said that an operator's pop was shown.
#[must_use]
pub fn unacknowledged(
    view: &CallView,
    operator: &Extension,
    reason: Unconfirmed,
    since: Timestamp,
    at: Timestamp,
) -> Draft {
    let mut data = Map::new();
    put(&mut data, "operator", operator);
    put(&mut data, "reason", &reason);
    put(&mut data, "presented_at", &wire_time(since));
    Draft {
        kind: EventKind::PopUnacknowledged,
        at,
        call: Some(view.id),
        audience: Audience::SupervisorsOf(vec![operator.clone()]),
        data: Value::Object(data),
        change: Change::None,
    }
}

/// The event that tells `audience` of a supervision.
#[must_use]
pub fn supervision(
    kind: EventKind,
    view: &SupervisionView,
    ending: Option<Ending>,
    audience: Audience,
    at: Timestamp,
) -> Draft {
    let mut data = match serde_json::to_value(view) {
        Ok(Value::Object(data)) => data,
        _ => Map::new(),
    };
    if let Some(ending) = ending {
        put(&mut data, "ending", &ending);
    }
    Draft { kind, at, call: view.call, audience, data: Value::Object(data), change: Change::None }
}

/// The event that tells how an operator is now.
#[must_use]
pub fn operator(view: StateView, at: Timestamp) -> Draft {
    let data = serde_json::to_value(&view).unwrap_or_default();
    let audience = match &view.extension {
        Some(extension) => Audience::Operators(vec![extension.clone()]),
        None => Audience::Supervisors,
    };
    let (kind, change) = (EventKind::OperatorState, Change::Operator(Arc::new(view)));
    Draft { kind, at, call: None, audience, data, change }
}

/// The event that tells of a message; `taker`: where whoever took it sits.
#[must_use]
pub fn message(kind: EventKind, message: &Message, taker: Option<&Extension>) -> Draft {
    let audience = taker.map_or(Audience::Supervisors, |taker| Audience::Operators(vec![taker.clone()]));
    let data = serde_json::to_value(message).unwrap_or_default();
    let (at, call) = (message.changed_at, message.call);
    Draft { kind, at, call, audience, data, change: Change::None }
}

/// The event that tells that somebody has left the service.
#[must_use]
pub fn operator_removed(user: RecordId, at: Timestamp) -> Draft {
    let mut data = Map::new();
    put(&mut data, "id", &user);
    let (kind, change) = (EventKind::OperatorRemoved, Change::OperatorGone(user));
    // Whose team she was in is no longer known; her record's id says nothing to the others.
    Draft { kind, at, call: None, audience: Audience::Supervisors, data: Value::Object(data), change }
}

fn describe(kind: &NoticeKind, view: &CallView, data: &mut Map<String, Value>) -> (EventKind, Audience) {
    match kind {
        NoticeKind::Offered => {
            put_card(data, view);
            (EventKind::CallOffered, Audience::Supervisors)
        }
        NoticeKind::Presented { operator } => {
            put_card(data, view);
            // It rings at one while another has it (a consultation), or it went to this one at once (a take-over).
            if let Some(owner) = &view.operator {
                put(data, "had_by", owner);
            }
            (EventKind::CallPresented, only(data, operator))
        }
        NoticeKind::Rescinded { operator, reason } => {
            put(data, "reason", reason);
            (EventKind::CallRescinded, only(data, operator))
        }
        NoticeKind::Answered { operator } => (EventKind::CallAnswered, only(data, operator)),
        NoticeKind::Held { operator } => (EventKind::CallHeld, only(data, operator)),
        NoticeKind::Resumed { operator } => (EventKind::CallResumed, only(data, operator)),
        NoticeKind::Updated => {
            put_card(data, view);
            put(data, "presented_to", &view.presented_to);
            if let Some(operator) = &view.operator {
                put(data, "operator", operator);
            }
            (EventKind::CallUpdated, those(view.operators().cloned().collect()))
        }
        NoticeKind::Ended { outcome, operators, .. } => {
            put(data, "outcome", outcome);
            put(data, "operators", operators);
            (EventKind::CallEnded, those(operators.clone()))
        }
    }
}

fn only(data: &mut Map<String, Value>, operator: &Extension) -> Audience {
    put(data, "operator", operator);
    Audience::Operators(vec![operator.clone()])
}

fn those(operators: Vec<Extension>) -> Audience {
    if operators.is_empty() { Audience::Supervisors } else { Audience::Operators(operators) }
}

/// The card's fields stand beside the event's own, as the contract has them.
fn put_card(data: &mut Map<String, Value>, view: &CallView) {
    if let Some(Ok(Value::Object(card))) = view.card.as_deref().map(serde_json::to_value) {
        data.extend(card);
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

/// The event that tells this notice of a transfer; none for what only the history notes.
#[must_use]
pub fn announce_transfer(notice: &transfer::Notice) -> Option<Draft> {
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
    Some(Draft { kind, at, call, audience: Audience::Operators(audience), data, change: Change::None })
}

/// A field whose type always serialises (an id, a word of an enum, a list of either).
fn put(data: &mut Map<String, Value>, key: &str, value: &impl Serialize) {
    if let Ok(value) = serde_json::to_value(value) {
        data.insert(key.into(), value);
    }
}
