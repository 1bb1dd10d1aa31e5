//! Supervision in the loop: passes commands and events to the supervision machine, and carries out its outputs.
//!
//! | output of the machine | action |
//! |---|---|
//! | AMI actions | sent to the PBX; the outcome goes to the machine, and to the person who asked |
//! | a notice of a session | only on the leader: audit entry, event, and supervision segment |
//! | a session was found on the PBX | a spawned task reads what the audit trail says about it |
//!
//! Invariants: the leader writes an audit entry for each session that starts, switches or stops, and for each refused
//! request, except where the session does not exist or the actor may not see it. The loop waits for none of this.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::actions::{ActionOrigin, answer, outcome_to_answer};
use super::audit::Subject;
use super::core::{Core, TaskResult};
use super::supervision_context::supervision_context;
use crate::ami::action::Action;
use crate::ami::event::Event;
use crate::ami::session::ActionOutcome;
use crate::command::Answer;
use crate::contract::audit::AuditEntry;
use crate::contract::event::EventKind;
use crate::contract::refusal::Refusal;
use crate::contract::supervision::{Mode, Notify, SupervisionId, SupervisionView};
use crate::ids::{CallId, Extension};
use crate::journal::entry::JournalEntry;
use crate::people::actor::Actor;
use crate::people::role::Role;
use crate::publish;
use crate::store::{Store, StoreError};
use crate::supervision::authorise::{
    StartDecision, authorise_help, authorise_start, authorise_stop, authorise_switch, find_visible,
    is_visible, operator_and_call,
};
use crate::supervision::{Input, Notice, Output, RecoveredSession, SupervisionRequest};

/// The dialplan's event when an operator presses the feature code for help.
const HELP_EVENT: &str = "ToritsugiHelp";

/// The sender of a request's answer.
pub(super) type Reply = oneshot::Sender<Result<Answer, Refusal>>;

impl Core {
    /// Gives the machine an input and carries out its outputs.
    pub(super) fn supervise(&mut self, input: Input<'_>) {
        self.supervise_for(input, None);
    }

    /// Handles a PBX event that the call model has handled before.
    pub(super) fn on_supervision_event(&mut self, event: &Event) {
        match event {
            Event::User { name, channel, .. } if name == HELP_EVENT => {
                let requester = self.model.leg_view(&channel.id).and_then(|leg| Some((leg.call, leg.phone?)));
                let Some((call, phone)) = requester else { return };
                if self.model.operator_of(call).as_ref() == Some(&phone) {
                    self.publish_help(None, call, &phone);
                }
            }
            event => self.supervise(Input::Pbx(event)),
        }
    }

    /// Whether this event concerns supervision.
    pub(super) fn supervision_wants(&self, event: &Event) -> bool {
        self.supervision.wants(event) || matches!(event, Event::User { name, .. } if name == HELP_EVENT)
    }

    pub(super) fn supervision_timeout(&mut self) {
        let now = self.clock.now();
        let context = supervision_context(&self.model, &self.transfers, &self.deps);
        self.supervision.handle_timeout(now, &context);
        self.drain_supervision(None);
    }

    fn supervise_for(&mut self, input: Input<'_>, reply: Option<(SupervisionId, Reply)>) {
        let now = self.clock.now();
        let context = supervision_context(&self.model, &self.transfers, &self.deps);
        self.supervision.handle(now, input, &context);
        self.drain_supervision(reply);
    }

    /// Carries out the machine's outputs. A request is answered with the outcome of the first action for its session; if
    /// the machine sends none, it is answered at once.
    fn drain_supervision(&mut self, mut reply: Option<(SupervisionId, Reply)>) {
        while let Some(output) = self.supervision.poll_output() {
            match output {
                Output::Actions { session, actions } => {
                    let person = reply.take_if(|(id, _)| *id == session).map(|(_, reply)| reply);
                    let view = self.view_of(session).map(Box::new);
                    self.send_actions_at_once(
                        ActionOrigin::Supervision { session, reply: person, view },
                        actions,
                    );
                }
                Output::InvalidAction { session, error } => {
                    tracing::error!(%session, %error, "a supervision session needs an action that cannot be built");
                }
                Output::Notice { notice, view, notify } => self.publish_supervision(notice, *view, notify),
                Output::LoadSession(session, since) => self.load_session(session, since),
            }
        }
        if let Some((id, reply)) = reply {
            let view = self.view_of(id).map(|view| Answer::Supervision(Box::new(view)));
            answer(reply, view.ok_or(Refusal::UnknownSupervision));
        }
    }

    /// Sends actions in order without waiting between them; the outcome of the first that was not accepted comes back,
    /// or that of the last.
    fn send_actions_at_once(&self, origin: ActionOrigin, actions: Vec<Action>) {
        let actions = self.actions_if_leader(actions);
        let (pbx, results) = (self.deps.pbx.clone(), self.results.clone());
        self.deps.tasks.spawn(async move {
            let sent = actions.into_iter().map(|action| pbx.send(action));
            let mut outcomes = futures_util::future::join_all(sent).await;
            let first = outcomes.iter().position(|outcome| !outcome.is_accepted());
            let outcome = match first {
                Some(first) => outcomes.swap_remove(first),
                None => outcomes.pop().unwrap_or(ActionOutcome::NeverSent),
            };
            // The receiver is gone only when the daemon ends.
            let _ = results.send(TaskResult::Action(origin, outcome)).await;
        });
    }

    pub(super) fn on_supervision_action_result(
        &mut self,
        session: SupervisionId,
        reply: Option<Reply>,
        view: Option<Box<SupervisionView>>,
        outcome: &ActionOutcome,
    ) {
        let result = outcome_to_answer(outcome);
        if let Err(refusal) = &result {
            tracing::info!(%session, %refusal, "the PBX did not accept an action of a supervision session");
            self.supervise(Input::ActionRefused(session));
        }
        let Some(reply) = reply else { return };
        let now = self.view_of(session).map(Box::new).or(view);
        let done = result.and_then(|_| now.map(Answer::Supervision).ok_or(Refusal::UnknownSupervision));
        answer(reply, done);
    }

    /// Starts a session. If this phone already supervises the same operator for the same person, switches its mode.
    pub(super) fn start_supervision(&mut self, actor: &Actor, request: SupervisionRequest, reply: Reply) {
        let context = supervision_context(&self.model, &self.transfers, &self.deps);
        let id = SupervisionId(Uuid::now_v7());
        match authorise_start(&request, id, actor, &self.supervision, &context) {
            Ok(StartDecision::Switch(running)) => {
                self.supervise_for(Input::Switch(running, request.mode), Some((running, reply)));
            }
            Ok(StartDecision::Start(session)) => self.supervise_for(Input::Start(session), Some((id, reply))),
            Err(refusal) => {
                let (operator, call) = operator_and_call(&request, &context);
                let details = json!({
                    "mode": request.mode, "extension": request.extension, "reason": request.reason,
                    "refusal": refusal.to_string(),
                });
                self.audit(Some(actor), "supervision.refused", about(operator.as_ref()), call, details);
                answer(reply, Err(refusal));
            }
        }
    }

    /// Switches the mode of a session. The actor needs the right to supervise the operator in the new mode.
    pub(super) fn switch_supervision(&mut self, actor: &Actor, id: SupervisionId, mode: Mode, reply: Reply) {
        let session = match find_visible(&self.supervision, id, actor) {
            Ok(session) => session,
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        let context = supervision_context(&self.model, &self.transfers, &self.deps);
        match authorise_switch(session, mode, actor, &self.supervision, &context) {
            Ok(()) => self.supervise_for(Input::Switch(id, mode), Some((id, reply))),
            Err(refusal) => {
                let (operator, call) = (session.operator.clone(), session.call);
                let details = json!({ "supervision": id, "mode": mode, "refusal": refusal.to_string() });
                self.audit(Some(actor), "supervision.refused", about(operator.as_ref()), call, details);
                answer(reply, Err(refusal));
            }
        }
    }

    /// Stops a session: its supervisor may, and administrators.
    pub(super) fn stop_supervision(&mut self, actor: &Actor, id: SupervisionId, reply: Reply) {
        let session = match find_visible(&self.supervision, id, actor) {
            Ok(session) => session,
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        match authorise_stop(session, actor) {
            Ok(()) => self.supervise_for(Input::Stop(id), Some((id, reply))),
            Err(refusal) => {
                let (operator, call) = (session.operator.clone(), session.call);
                let details = json!({ "supervision": id, "refusal": refusal.to_string() });
                self.audit(Some(actor), "supervision.refused", about(operator.as_ref()), call, details);
                answer(reply, Err(refusal));
            }
        }
    }

    /// The sessions that the actor may see.
    pub(super) fn list_supervisions(&self, actor: &Actor) -> Vec<SupervisionView> {
        let visible = self.supervision.iter().filter(|session| is_visible(session, actor));
        visible.map(|session| self.with_names(SupervisionView::from(session))).collect()
    }

    /// The operator on a call asks for help, or the operator's supervisor does on their behalf.
    pub(super) fn ask_help(&mut self, actor: &Actor, call: CallId) -> Result<Answer, Refusal> {
        let view = self.model.call(call);
        let operator = authorise_help(view.as_ref(), self.model.operator_of(call), actor)?;
        self.publish_help(Some(actor), call, &operator);
        Ok(Answer::Accepted)
    }

    /// Takes back a request for help: the operator on the call, or the operator's supervisor, does.
    pub(super) fn withdraw_help(&mut self, actor: &Actor, call: CallId) -> Result<Answer, Refusal> {
        let view = self.model.call(call);
        let operator = authorise_help(view.as_ref(), self.model.operator_of(call), actor)?;
        self.deps.bus.publish(publish::help_withdrawn(call, &operator, self.clock.now()));
        self.audit(Some(actor), "help.withdrawn", Subject::Phone(&operator), Some(call), json!({}));
        Ok(Answer::Accepted)
    }

    fn publish_help(&mut self, actor: Option<&Actor>, call: CallId, operator: &Extension) {
        let now = self.clock.now();
        if let Some(view) = self.model.call(call) {
            self.deps.bus.publish(publish::help_requested(&view, operator, now));
            self.audit(actor, "help.requested", Subject::Phone(operator), Some(call), json!({}));
        }
    }

    /// Starts a task that reads what the audit trail says about a session that was found on the PBX.
    fn load_session(&self, id: SupervisionId, since: Timestamp) {
        let (store, results) = (self.deps.directory.store().clone(), self.results.clone());
        let released = self.supervision.get(id).and_then(|session| {
            let roster = self.deps.people.current();
            let person = roster.person(session.user).filter(|person| person.role == Role::Operator)?;
            person.extension.clone()
        });
        self.deps.tasks.spawn(async move {
            let recovered = match recovered_session(&store, id, since).await {
                Ok(recovered) => recovered.map(|found| Box::new(RecoveredSession { released, ..found })),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        supervision = %id, error,
                        "cannot read the audit entries of a supervision session found on the PBX; its reason is lost"
                    );
                    None
                }
            };
            // The receiver is gone only when the daemon ends.
            let _ = results.send(TaskResult::RecoveredSession(id, recovered)).await;
        });
    }

    fn view_of(&self, id: SupervisionId) -> Option<SupervisionView> {
        self.supervision.get(id).map(|session| self.with_names(SupervisionView::from(session)))
    }

    /// Adds the names of the account and the caller.
    fn with_names(&self, mut view: SupervisionView) -> SupervisionView {
        if let Some(card) = view.call.and_then(|call| self.model.call(call)).and_then(|call| call.card) {
            view.account = Some(card.account.name.clone()).filter(|name| !name.is_empty());
            view.caller = card.caller.name.clone().or_else(|| card.caller.number.clone());
        }
        view
    }

    /// Publishes a notice of a session, with an audit entry and its segment change. A standby does nothing.
    fn publish_supervision(&mut self, notice: Notice, view: SupervisionView, notify: Notify) {
        // A standby has the same notices; only the leader publishes and records them.
        if !self.deps.bus.is_leader() {
            return;
        }
        let now = self.clock.now();
        let (kind, action, ending) = match notice {
            Notice::Requested => (None, "supervision.requested", None),
            Notice::Recovered => (None, "supervision.found", None),
            Notice::Started => (Some(EventKind::SupervisionStarted), "supervision.started", None),
            Notice::Changed => (Some(EventKind::SupervisionSwitched), "supervision.switched", None),
            Notice::Stopped(ending) => {
                (Some(EventKind::SupervisionStopped), "supervision.stopped", Some(ending))
            }
        };
        // Before account and caller are added: audit entries are never deleted, so they must not name a caller.
        let mut details = serde_json::to_value(&view).unwrap_or_default();
        if let (Some(ending), Value::Object(details)) = (ending, &mut details) {
            details.insert("ending".into(), json!(ending));
        }
        let roster = self.deps.people.current();
        self.deps.bus.record(JournalEntry::Audit(Box::new(AuditEntry {
            at: now,
            actor: Some(view.supervisor),
            actor_name: view.supervisor_name.clone(),
            action: action.into(),
            subject: view.operator.as_ref().map(ToString::to_string).unwrap_or_default(),
            subject_id: view.operator.as_ref().and_then(|at| roster.at(at)).map(|person| person.id),
            call: view.call,
            details,
        })));
        let audience = self.supervision_audience(&view, notify);
        let segment = self.segment_change(notice, &view, &audience, now);
        let view = self.with_names(view);
        let event = kind.map(|kind| publish::supervision(kind, &view, ending, audience, now));
        if event.is_some() || segment.is_some() {
            let (events, entries) =
                (event.into_iter().collect(), segment.into_iter().map(JournalEntry::SegmentChange).collect());
            self.deps.bus.publish_all(events, entries);
        }
    }
}

fn about(operator: Option<&Extension>) -> Subject<'_> {
    operator.map_or(Subject::Nobody, Subject::Phone)
}

/// What the audit trail says about a session: the reason and the start time from the first entry that has them, the rest
/// from the newest entry. (A daemon that was killed during recovery may have written an entry with fewer fields.)
async fn recovered_session(
    store: &Store,
    id: SupervisionId,
    since: Timestamp,
) -> Result<Option<RecoveredSession>, StoreError> {
    let entries = store.audit_of_supervision(id, since).await?;
    let first = |key: &str| entries.iter().find_map(|entry| entry.details[key].as_str());
    Ok(entries.last().map(|newest| RecoveredSession {
        reason: first("reason").map(Into::into),
        monitoring_since: first("heard_at").and_then(|at| at.parse().ok()),
        mode: serde_json::from_value(newest.details["mode"].clone()).ok(),
        call: newest.call,
        operator: Extension::parse(&newest.subject).ok(),
        released: None,
    }))
}
