//! Supervision in the loop: what it sees of the world, the machine's orders, the events and the audit trail.
//!
//! Invariant: whatever is asked of supervision, done or refused, becomes an entry of the audit trail; the loop
//! waits for none of it.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::core::{Brought, Core};
use super::orders::{Asked, accepted, answer};
use super::sight::sight;
use crate::ami::action::Action;
use crate::ami::event::Event;
use crate::ami::session::ActionOutcome;
use crate::announce;
use crate::bus::EventKind;
use crate::command::{Actor, Answer, Refusal};
use crate::ids::{CallId, Extension, RecordId};
use crate::operator::Role;
use crate::store::log::Keep;
use crate::store::{AuditEntry, Store, StoreError};
use crate::supervision::{
    Input, Mode, Notify, Output, Place, Remembered, SESSIONS_MAX, Session, Start, SupervisionId,
    SupervisionView, Target, Told, Wanted, World, may_supervise,
};
use crate::transfer::view::State as Stage;

/// The dialplan's event when an operator presses the feature code for help.
const HELP_EVENT: &str = "ToritsugiHelp";

/// Who waits for the answer.
pub(super) type Reply = oneshot::Sender<Result<Answer, Refusal>>;

impl Core {
    /// Gives the machine an input and does what it says.
    pub(super) fn supervise(&mut self, input: Input<'_>) {
        self.supervise_for(input, None);
    }

    /// After an event of the PBX that the call model has taken.
    pub(super) fn supervise_event(&mut self, event: &Event) {
        match event {
            Event::User { name, channel, .. } if name == HELP_EVENT => {
                let asked = self.model.leg_view(&channel.id).and_then(|leg| Some((leg.call, leg.phone?)));
                let Some((call, phone)) = asked else { return };
                if self.operator_of(call).as_ref() == Some(&phone) {
                    self.announce_help(call, &phone);
                }
            }
            event => self.supervise(Input::Pbx(event)),
        }
    }

    /// Whether supervision concerns itself with this event.
    pub(super) fn supervision_wants(&self, event: &Event) -> bool {
        self.supervision.wants(event) || matches!(event, Event::User { name, .. } if name == HELP_EVENT)
    }

    pub(super) fn supervision_timeout(&mut self) {
        let now = self.clock.now();
        let sight = sight(&self.model, &self.parts);
        self.supervision.handle_timeout(now, &sight);
        self.drain_supervision(None);
    }

    fn supervise_for(&mut self, input: Input<'_>, reply: Option<(SupervisionId, Reply)>) {
        let now = self.clock.now();
        let sight = sight(&self.model, &self.parts);
        self.supervision.handle(now, input, &sight);
        self.drain_supervision(reply);
    }

    /// The first order for the session that somebody waits for answers her; without one she is answered at once.
    fn drain_supervision(&mut self, mut reply: Option<(SupervisionId, Reply)>) {
        while let Some(output) = self.supervision.poll_output() {
            match output {
                Output::Order { session, actions } => {
                    let person = reply.take_if(|(id, _)| *id == session).map(|(_, reply)| reply);
                    let view = self.view_of(session).map(Box::new);
                    self.orders_in_one_go(Asked::Supervision { session, reply: person, view }, actions);
                }
                Output::Impossible { session, error } => {
                    tracing::error!(%session, %error, "an order of a supervision cannot be given");
                }
                Output::Told { told, view, notify } => self.tell_supervision(told, *view, notify),
                Output::Recall(session, since) => self.recall(session, since),
            }
        }
        if let Some((id, reply)) = reply {
            let view = self.view_of(id).map(|view| Answer::Supervision(Box::new(view)));
            answer(reply, view.ok_or(Refusal::UnknownSupervision));
        }
    }

    /// Sends orders in one go, in order; what became of the first that was refused, or of the last, comes back.
    fn orders_in_one_go(&self, asked: Asked, actions: Vec<Action>) {
        let actions = self.if_leading(actions);
        let (pbx, beside) = (self.parts.pbx.clone(), self.beside.clone());
        self.parts.tasks.spawn(async move {
            let sent = actions.into_iter().map(|action| pbx.send(action));
            let mut outcomes = futures_util::future::join_all(sent).await;
            let first = outcomes.iter().position(|outcome| !outcome.is_accepted());
            let outcome = match first {
                Some(first) => outcomes.swap_remove(first),
                None => outcomes.pop().unwrap_or(ActionOutcome::NeverSent),
            };
            // The core is gone only when the daemon ends.
            let _ = beside.send(Brought::Order(asked, outcome)).await;
        });
    }

    pub(super) fn supervision_answered(
        &mut self,
        session: SupervisionId,
        reply: Option<Reply>,
        view: Option<Box<SupervisionView>>,
        outcome: &ActionOutcome,
    ) {
        let accepted = accepted(outcome);
        if let Err(refusal) = &accepted {
            tracing::info!(%session, %refusal, "an order of a supervision was not taken");
            self.supervise(Input::Refused(session));
        }
        let Some(reply) = reply else { return };
        let now = self.view_of(session).map(Box::new).or(view);
        let done = accepted.and_then(|_| now.map(Answer::Supervision).ok_or(Refusal::UnknownSupervision));
        answer(reply, done);
    }

    /// Begins a session; at a phone that supervises the same already, switches its mode.
    pub(super) fn begin_supervision(&mut self, actor: &Actor, wanted: Wanted, reply: Reply) {
        match self.allowed(actor, &wanted) {
            Ok((_, Some(running))) => {
                self.supervise_for(Input::Switch(running, wanted.mode), Some((running, reply)));
            }
            Ok((start, None)) => {
                let id = start.id;
                self.supervise_for(Input::Start(Box::new(start)), Some((id, reply)));
            }
            Err(refusal) => {
                self.audit_refusal(actor, &wanted, &refusal);
                answer(reply, Err(refusal));
            }
        }
    }

    fn allowed(&self, actor: &Actor, wanted: &Wanted) -> Result<(Start, Option<SupervisionId>), Refusal> {
        let sight = sight(&self.model, &self.parts);
        let (operator, call) = match &wanted.target {
            Target::Operator { operator, .. } => (Some(operator.clone()), self.model.call_at(operator)),
            Target::Call(call) => {
                self.model.call(*call).ok_or(Refusal::UnknownCall)?;
                (self.operator_of(*call), Some(*call))
            }
        };
        let released = call.and_then(|call| self.supervision.released(call));
        let Some(operator) = operator else {
            // A call that nobody has: those may hear it later who may hear everybody.
            if !matches!(actor.viewer.role(), Role::Admin | Role::Supervisor) {
                return Err(Refusal::NotPermitted(NOT_YOURS));
            }
            return Err(Refusal::Conflict("no operator has this call now"));
        };
        if !may_supervise(&actor.viewer, &operator, wanted.mode, released) {
            return Err(Refusal::NotPermitted(NOT_YOURS));
        }
        if call.is_some_and(|call| !sight.is_open(call)) {
            return Err(Refusal::NotPermitted("calls of this account are never monitored"));
        }
        let place = call.and_then(|call| sight.of_call(call));
        let follow = matches!(wanted.target, Target::Operator { follow: true, .. });
        if place.is_none() && (!follow || wanted.mode == Mode::TakeOver) {
            return Err(Refusal::Conflict(
                "this operator has no caller now; with follow, her next call is awaited",
            ));
        }
        if wanted.mode == Mode::TakeOver {
            let caller = place.as_ref().and_then(|place| place.caller.as_ref());
            caller.ok_or(Refusal::Conflict("there is no caller to take over now"))?;
        }
        if call.is_some_and(|call| self.is_moving(call, wanted.mode)) {
            return Err(Refusal::Conflict(MOVING));
        }
        let phone = self.phone_for(actor, wanted, &operator)?;
        if let Some(running) = self.supervision.at(&phone) {
            let same = running.user == actor.user && running.operator.as_ref() == Some(&operator);
            let id = running.id;
            if same && running.hears_outside() && wanted.mode != Mode::Listen {
                return Err(Refusal::Conflict(OUTSIDE));
            }
            return if same {
                Ok((self.new_start(actor, wanted, phone, place), Some(id)))
            } else {
                Err(Refusal::Conflict("this phone supervises somebody else; stop that first"))
            };
        }
        if self.supervision.len() >= SESSIONS_MAX {
            return Err(Refusal::Unavailable);
        }
        Ok((self.new_start(actor, wanted, phone, place), None))
    }

    fn phone_for(&self, actor: &Actor, wanted: &Wanted, operator: &Extension) -> Result<Extension, Refusal> {
        let phone = wanted.extension.clone().or_else(|| actor.viewer.extension().cloned());
        let phone =
            phone.ok_or_else(|| Refusal::Invalid("extension: you have none of your own; name one".into()))?;
        if &phone == operator {
            return Err(Refusal::Invalid("extension: that is the operator's own phone".into()));
        }
        if !self.parts.plan.phones.iter().any(|pattern| pattern.matches(phone.as_str())) {
            return Err(Refusal::Invalid("extension: no phone of an operator or supervisor".into()));
        }
        if self.model.call_at(&phone).is_some() {
            return Err(Refusal::Conflict("this phone has a caller of its own"));
        }
        Ok(phone)
    }

    fn new_start(&self, actor: &Actor, wanted: &Wanted, phone: Extension, place: Option<Place>) -> Start {
        Start {
            id: SupervisionId(Uuid::now_v7()),
            user: actor.user,
            name: actor.name.clone(),
            phone,
            target: wanted.target.clone(),
            mode: wanted.mode,
            why: wanted.why.clone(),
            place,
        }
    }

    /// Another mode; taking over needs the right to supervise, as does everything else.
    pub(super) fn switch_supervision(&mut self, actor: &Actor, id: SupervisionId, mode: Mode, reply: Reply) {
        let Some(session) =
            self.supervision.get(id).filter(|s| is_in_sight(actor, s.user, s.operator.as_ref()))
        else {
            return answer(reply, Err(Refusal::UnknownSupervision));
        };
        let (user, operator, call) = (session.user, session.operator.clone(), session.call);
        let place = session.place.as_ref().is_some_and(|place| place.caller.is_some());
        let outside = session.hears_outside();
        let released = call.and_then(|call| self.supervision.released(call));
        let permitted =
            operator.as_ref().is_none_or(|operator| may_supervise(&actor.viewer, operator, mode, released));
        let refusal = if user != actor.user && actor.viewer.role() != Role::Admin {
            Some(Refusal::NotPermitted("only who supervises, or an administrator, may switch it"))
        } else if !permitted {
            Some(Refusal::NotPermitted(NOT_YOURS))
        } else if outside && mode != Mode::Listen {
            Some(Refusal::Conflict(OUTSIDE))
        } else if mode == Mode::TakeOver && call.is_some_and(|call| self.is_moving(call, mode)) {
            Some(Refusal::Conflict(MOVING))
        } else if mode == Mode::TakeOver && !place {
            Some(Refusal::Conflict("there is no caller to take over now"))
        } else {
            None
        };
        match refusal {
            None => self.supervise_for(Input::Switch(id, mode), Some((id, reply))),
            Some(refusal) => {
                let details = json!({ "supervision": id, "mode": mode, "refusal": refusal.to_string() });
                self.audit(Some(actor), "supervision.refused", operator.as_ref(), call, details);
                answer(reply, Err(refusal));
            }
        }
    }

    /// Ends it: who supervises may, and administrators.
    pub(super) fn stop_supervision(&mut self, actor: &Actor, id: SupervisionId, reply: Reply) {
        let seen = |s: &&Session| is_in_sight(actor, s.user, s.operator.as_ref());
        let Some(session) = self.supervision.get(id).filter(seen) else {
            return answer(reply, Err(Refusal::UnknownSupervision));
        };
        if session.user == actor.user || actor.viewer.role() == Role::Admin {
            return self.supervise_for(Input::Stop(id), Some((id, reply)));
        }
        let (operator, call) = (session.operator.clone(), session.call);
        let refusal = Refusal::NotPermitted("only who supervises, or an administrator, may stop it");
        let details = json!({ "supervision": id, "refusal": refusal.to_string() });
        self.audit(Some(actor), "supervision.refused", operator.as_ref(), call, details);
        answer(reply, Err(refusal));
    }

    /// What the actor may know of.
    pub(super) fn list_supervisions(&self, actor: &Actor) -> Vec<SupervisionView> {
        let seen = self.supervision.iter().filter(|s| is_in_sight(actor, s.user, s.operator.as_ref()));
        seen.map(|session| self.dress(SupervisionView::from(session))).collect()
    }

    /// An operator asks for help with her call, or her supervisor does for her.
    pub(super) fn ask_help(&mut self, actor: &Actor, call: CallId) -> Result<Answer, Refusal> {
        self.model.call(call).filter(|view| actor.sees(view)).ok_or(Refusal::UnknownCall)?;
        let operator = self.operator_of(call).ok_or(Refusal::Conflict("nobody has this call"))?;
        if !actor.may_act_for(&operator) {
            return Err(Refusal::NotPermitted("only the operator on this call or her supervisor may"));
        }
        self.announce_help(call, &operator);
        Ok(Answer::Accepted)
    }

    fn announce_help(&mut self, call: CallId, operator: &Extension) {
        let now = self.clock.now();
        if let Some(view) = self.model.call(call) {
            self.parts.bus.publish(announce::help(&view, operator, now));
            self.audit(None, "help.requested", Some(operator), Some(call), json!({}));
        }
    }

    /// Whether a transfer moves the channels of this call just now. While operator and contact talk, the operator
    /// can be heard, but the caller not taken away.
    fn is_moving(&self, call: CallId, mode: Mode) -> bool {
        let transfer = self.transfers.latest_of(call).filter(|transfer| transfer.is_under_way());
        transfer.is_some_and(|transfer| mode == Mode::TakeOver || transfer.state != Stage::Consulting)
    }

    /// Looks up beside the loop what the audit trail says of a session that was found.
    fn recall(&self, id: SupervisionId, since: Timestamp) {
        let (store, beside) = (self.parts.directory.store().clone(), self.beside.clone());
        let released = self.supervision.get(id).and_then(|session| {
            let roster = self.parts.people.current();
            let person = roster.person(session.user).filter(|person| person.role == Role::Operator)?;
            person.extension.clone()
        });
        self.parts.tasks.spawn(async move {
            let remembered = match remembered(&store, id, since).await {
                Ok(remembered) => remembered.map(|found| Box::new(Remembered { released, ..found })),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(supervision = %id, error, "what the audit trail says of it cannot be read");
                    None
                }
            };
            // The core is gone only when the daemon ends.
            let _ = beside.send(Brought::Remembered(id, remembered)).await;
        });
    }

    fn operator_of(&self, call: CallId) -> Option<Extension> {
        self.model.parties(call)?.operator.map(|(operator, _)| operator)
    }

    fn view_of(&self, id: SupervisionId) -> Option<SupervisionView> {
        self.supervision.get(id).map(|session| self.dress(SupervisionView::from(session)))
    }

    /// Adds for whom and from whom the call is.
    fn dress(&self, mut view: SupervisionView) -> SupervisionView {
        if let Some(card) = view.call.and_then(|call| self.model.call(call)).and_then(|call| call.card) {
            view.account = Some(card.account.name.clone()).filter(|name| !name.is_empty());
            view.caller = card.caller.name.clone().or_else(|| card.caller.number.clone());
        }
        view
    }

    /// Those who may know are told; the audit trail and the history note it.
    fn tell_supervision(&mut self, told: Told, view: SupervisionView, notify: Notify) {
        // A standby hears of sessions, too; the daemon that leads says and notes it.
        if !self.parts.bus.leads() {
            return;
        }
        let now = self.clock.now();
        let (kind, action, ending) = match told {
            Told::Requested => (None, "supervision.requested", None),
            Told::Found => (None, "supervision.found", None),
            Told::Started => (Some(EventKind::SupervisionStarted), "supervision.started", None),
            Told::Changed => (Some(EventKind::SupervisionSwitched), "supervision.switched", None),
            Told::Stopped(ending) => {
                (Some(EventKind::SupervisionStopped), "supervision.stopped", Some(ending))
            }
        };
        // Before account and caller are added: entries of the trail are never deleted, so they name no caller.
        let mut details = serde_json::to_value(&view).unwrap_or_default();
        if let (Some(ending), Value::Object(details)) = (ending, &mut details) {
            details.insert("ending".into(), json!(ending));
        }
        self.parts.clerk.audit(AuditEntry {
            at: now,
            actor: Some(view.supervisor),
            actor_name: view.supervisor_name.clone(),
            action: action.into(),
            subject: view.operator.as_ref().map(ToString::to_string).unwrap_or_default(),
            call: view.call,
            details,
        });
        let audience = self.supervision_audience(&view, notify);
        let step = self.hearing_step(told, &view, &audience, now);
        let view = self.dress(view);
        let draft = kind.map(|kind| announce::supervision(kind, &view, ending, audience, now));
        if draft.is_some() || step.is_some() {
            let (drafts, steps) =
                (draft.into_iter().collect(), step.into_iter().map(Keep::Hearing).collect());
            self.parts.bus.publish_all(drafts, steps);
        }
    }

    fn audit_refusal(&mut self, actor: &Actor, wanted: &Wanted, refusal: &Refusal) {
        let (operator, call) = match &wanted.target {
            Target::Operator { operator, .. } => (Some(operator.clone()), self.model.call_at(operator)),
            Target::Call(call) => (self.operator_of(*call), Some(*call)),
        };
        let details = json!({
            "mode": wanted.mode, "extension": wanted.extension, "reason": wanted.why,
            "refusal": refusal.to_string(),
        });
        self.audit(Some(actor), "supervision.refused", operator.as_ref(), call, details);
    }

    fn audit(
        &mut self,
        actor: Option<&Actor>,
        action: &str,
        subject: Option<&Extension>,
        call: Option<CallId>,
        details: Value,
    ) {
        let at: Timestamp = self.clock.now();
        self.parts.clerk.audit(AuditEntry {
            at,
            actor: actor.map(|actor| actor.user),
            actor_name: actor.map(|actor| actor.name.to_string()).unwrap_or_default(),
            action: action.into(),
            subject: subject.map(ToString::to_string).unwrap_or_default(),
            call,
            details,
        });
    }
}

/// What the audit trail says of this session: why and since when its beginning, the rest its newest entry. (A daemon
/// that was killed before it had looked may have left one that says less.)
async fn remembered(
    store: &Store,
    id: SupervisionId,
    since: Timestamp,
) -> Result<Option<Remembered>, StoreError> {
    let entries = store.audit_of_supervision(id, since).await?;
    let first = |key: &str| entries.iter().find_map(|entry| entry.details[key].as_str());
    Ok(entries.last().map(|newest| Remembered {
        why: first("reason").map(Into::into),
        heard_since: first("heard_at").and_then(|at| at.parse().ok()),
        mode: serde_json::from_value(newest.details["mode"].clone()).ok(),
        call: newest.call,
        operator: Extension::parse(&newest.subject).ok(),
        released: None,
    }))
}

const OUTSIDE: &str = "the caller talks with somebody outside; there you can only listen";
const MOVING: &str = "the call is being transferred just now; ask again when that is done";
const NOT_YOURS: &str = "only supervisors of this operator's team and administrators may";

/// Whether the actor may know of a session: her own, one that concerns her team, or any for an administrator.
fn is_in_sight(actor: &Actor, user: RecordId, operator: Option<&Extension>) -> bool {
    if user == actor.user {
        return true;
    }
    match actor.viewer.role() {
        Role::Admin => true,
        Role::Supervisor => operator.is_some_and(|operator| actor.viewer.sees_operator(operator)),
        Role::Operator | Role::System => false,
    }
}
