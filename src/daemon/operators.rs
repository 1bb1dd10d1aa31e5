//! Agent states in the loop: passes commands, calls, desktops and PBX events to the operator registry, and its outputs to
//! the bus with its journal, and the queue membership.
//!
//! | situation | action |
//! |---|---|
//! | start | the registry gets the restored calls; queue membership waits for the first list of calls |
//! | takeover | queue membership waits; a spawned task reads the saved states; the registry continues from them, and differences from the published states are published |
//! | change of team ownership | operators that another PBX owns are released at once; new ones are restored from the store (leader only) |
//! | within [`PRESENCE_GRACE`] after a start or takeover | the absence of desktops and unknown phones are not published |
//! | standby | nothing is recorded, and no queue membership is changed |
//!
//! Invariants, as in `actions.rs`: the loop does not wait; each command is answered exactly once. A state that was already
//! published is not published again, be it after a start, a takeover or a change of ownership.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::oneshot;

use super::actions::{answer, outcome_to_answer};
use super::audit::Subject;
use super::core::{Core, TaskResult};
use crate::ami::action::Action;
use crate::ami::event::PbxEvent;
use crate::ami::member::{DeviceReachability, MemberEvent};
use crate::ami::session::ActionOutcome;
use crate::call::{HANDLERS_PER_CALL_MAX, Notice, NoticeKind};
use crate::command::Answer;
use crate::contract::call::CallView;
use crate::contract::event::NewEvent;
use crate::contract::operator::{Phone, QueueFault, StateView};
use crate::contract::refusal::Refusal;
use crate::contract::transfer::TransferView;
use crate::contract::words::WordKind;
use crate::ids::{CallId, Extension, QueueName, RecordId};
use crate::journal::entry::{JournalEntry, StateChange, WrapUpRecord};
use crate::operators::queue_members::{MemberAction, MemberActions, MemberReply, QueueFaults};
use crate::operators::{
    Command, CompletedWrapUp, OperatorSnapshot, Output, Request as Want, SeatFacts, StateRequest,
    authorise_seat,
};
use crate::people::actor::Actor;
use crate::people::role::Role;
use crate::people::viewer::Viewer;
use crate::publish;
use crate::transfer::Plan;

/// How long desktops may take to reconnect after a start, and the PBX to report the phones, before their absence is
/// published.
pub(super) const PRESENCE_GRACE: Duration = Duration::from_secs(10);

type Reply = oneshot::Sender<Result<Answer, Refusal>>;

impl Core {
    pub(super) fn on_operator_command(&mut self, actor: &Actor, command: Command, reply: Reply) {
        let words = self.deps.words.current();
        let of = |kind| words.choices(kind);
        self.operators.set_words(of(WordKind::NotReadyReason), of(WordKind::Disposition));
        let done = self.run_operator_command(actor, command);
        self.drain_operators();
        answer(reply, done);
    }

    fn run_operator_command(&mut self, actor: &Actor, command: Command) -> Result<Answer, Refusal> {
        let (user, request) = (command.user, command.request.clone());
        let done = self.try_operator_command(actor, command);
        self.audit_operator_command(actor, user, &request, done.as_ref().err());
        done
    }

    /// Records what somebody does to another person, and every phone that was refused as a seat.
    fn audit_operator_command(
        &mut self,
        actor: &Actor,
        user: RecordId,
        request: &Want,
        refusal: Option<&Refusal>,
    ) {
        let (action, mut details) = match request {
            Want::Options => return,
            Want::Set(StateRequest { state, reason, extension, .. }) => {
                let details = json!({ "state": state, "reason": reason, "extension": extension });
                ("operator.state_set", details)
            }
            Want::Extend { call, seconds, reason } => {
                let details = json!({ "call": call, "seconds": seconds, "reason": reason });
                ("operator.wrap_up_extended", details)
            }
            Want::Finish { call, disposition, .. } => {
                ("operator.wrap_up_finished", json!({ "call": call, "disposition": disposition }))
            }
            Want::Note { call, .. } => ("operator.wrap_up_noted", json!({ "call": call })),
        };
        let action = match refusal {
            None if actor.user == user => return,
            None => action,
            Some(refusal @ Refusal::NotPermitted(_)) => {
                details["refusal"] = json!(refusal.to_string());
                "operator.refused"
            }
            // The others say that the request was wrong or late, not that somebody may not.
            Some(_) => return,
        };
        self.audit(Some(actor), action, Subject::Person(user), None, details);
    }

    fn try_operator_command(&mut self, actor: &Actor, command: Command) -> Result<Answer, Refusal> {
        let user = command.user;
        if matches!(command.request, Want::Options) {
            return Ok(Answer::OperatorOptions(Box::new(self.operators.options())));
        }
        let view =
            self.operators.operator(user).map(|operator| operator.view()).ok_or(Refusal::UnknownOperator)?;
        if actor.user != user && !actor.viewer.sees_state(&view) {
            return Err(Refusal::UnknownOperator);
        }
        if !command.is_allowed(actor, &view) {
            return Err(Refusal::NotPermitted(
                "only the operator, the operator's supervisor or an administrator may",
            ));
        }
        let (now, by) = (self.clock.now(), command.by(actor));
        let view = match command.request {
            Want::Set(wanted) => {
                if let Some(seat) = self.operators.requested_seat(user, &wanted)? {
                    authorise_seat(actor, user, self.seat_facts(&seat))?;
                }
                self.operators.set_state(now, user, wanted, by)?
            }
            Want::Extend { call, seconds, reason } => {
                self.operators.extend_wrap_up(now, user, call, seconds, &reason, by)?
            }
            Want::Finish { call, disposition, notes } => {
                self.operators.finish_wrap_up(now, user, call, &disposition, notes.as_deref(), by)?
            }
            Want::Note { call, notes } => self.operators.note_wrap_up(user, call, &notes)?,
            Want::Options => view,
        };
        Ok(Answer::Operator(Box::new(self.with_pbx(view))))
    }

    fn seat_facts(&self, seat: &Extension) -> SeatFacts {
        let owner = self.deps.people.stored().at(seat).map(|person| person.id);
        SeatFacts { owner, is_in_use: self.model.is_phone_in_use(seat) }
    }

    fn with_pbx(&self, view: StateView) -> StateView {
        StateView { pbx: Some(self.deps.plan.pbx.clone()), ..view }
    }

    /// This daemon acquired the lead: a spawned task reads the states that the predecessor saved, which replace those that
    /// this daemon derived from the calls meanwhile.
    pub(super) fn operators_read_saved(&self) {
        let (store, results) = (self.deps.store.clone(), self.results.clone());
        self.deps.tasks.spawn(async move {
            match store.states().await {
                // The receiver is gone only when the daemon ends.
                Ok(saved) => drop(results.send(TaskResult::OperatorStates(saved)).await),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot read the operators' states that the previous leader saved; this daemon uses its own"
                    );
                    drop(results.send(TaskResult::OperatorStates(Vec::new())).await);
                }
            }
        });
    }

    /// Team ownership has changed, or another PBX's daemon published an operator that this one owns. Operators that other
    /// PBXes own are released at once. Operators that this PBX owns from now on are restored from their saved states.
    pub(super) fn operators_update_ownership(&mut self) {
        let mut elsewhere = self.operators.owned_elsewhere().clone();
        elsewhere.extend(self.deps.bus.teams_owned_elsewhere());
        self.operators.set_owned_elsewhere(elsewhere);
        self.operators_update_roster();
        self.operators_republish();
        if self.deps.bus.is_leader() {
            self.operators_read_saved();
        }
    }

    pub(super) fn operators_restore(&mut self, mut states: Vec<OperatorSnapshot>) {
        self.operators_admit(&states);
        let published = self.deps.bus.snapshot(&Viewer::unrestricted(Role::System)).operators;
        for saved in &mut states {
            // A version that was published but not saved is not used for another state.
            let version = published.iter().find(|view| view.id == saved.user).map_or(0, |view| view.version);
            saved.version = saved.version.max(version);
        }
        let now = self.clock.now();
        self.presence_grace_until = now.checked_add(PRESENCE_GRACE).ok();
        self.operators.adopt_snapshots(now, states, self.calls_with_wrap_up());
        self.drain_operators();
        self.operators_republish();
        self.states_pending = false;
        self.release_members();
        self.reconcile_members();
    }

    /// Adds the operators that this PBX owns from now on, with their saved states.
    fn operators_admit(&mut self, states: &[OperatorSnapshot]) {
        self.operators.set_owned_elsewhere(self.deps.bus.teams_owned_elsewhere());
        let (now, own) = (self.clock.now(), self.deps.people.stored());
        let is_new = |saved: &&OperatorSnapshot| {
            let is_owned = own.person(saved.user).is_some_and(|person| self.operators.owns(&own, person));
            is_owned && self.operators.operator(saved.user).is_none()
        };
        let new = states.iter().filter(is_new).cloned().collect();
        self.operators.restore(now, new);
        self.operators_update_roster();
    }

    /// Compares the published states with the registry and publishes the differences.
    pub(super) fn operators_republish(&mut self) {
        if self.deps.bus.is_leader() {
            let now = self.clock.now();
            let own = Some(&self.deps.plan.pbx);
            let published = self.deps.bus.snapshot(&Viewer::unrestricted(Role::System)).operators;
            let gone = |view: &&Arc<StateView>| {
                view.pbx.as_ref() == own
                    && self.operators.operator(view.id).is_none()
                    && !self.is_owned_elsewhere(view.id)
            };
            for view in published.iter().filter(gone) {
                self.deps.bus.publish(publish::operator_removed(view.id, now));
            }
        }
        self.operators.publish_all();
        self.drain_operators();
    }

    /// Whether another PBX owns this operator, even if the registry has not learned of it yet.
    fn is_owned_elsewhere(&self, user: RecordId) -> bool {
        let elsewhere = self.deps.bus.teams_owned_elsewhere();
        if elsewhere.is_empty() {
            return false;
        }
        let roster = self.deps.people.stored();
        roster.person(user).is_some_and(|person| !self.operators.owns_given(&elsewhere, &roster, person))
    }

    /// Publishes and records an operator's state, if it differs from the published one.
    fn publish_operator(&mut self, view: StateView, record: bool) {
        if self.is_owned_elsewhere(view.id) {
            return;
        }
        let (at, view) = (self.clock.now(), self.with_pbx(view));
        let published = self.deps.bus.operator(view.id);
        let in_grace = self.presence_grace_until.is_some();
        if !record && published.is_some_and(|published| !view.differs_from(&published, in_grace)) {
            return;
        }
        let change = record.then(|| self.operator_record(at, &view)).flatten();
        let roster = self.deps.people.current();
        let present = roster.person(view.id).and_then(|person| person.extension.as_ref());
        let event = publish::operator_state(view, present, at);
        self.deps.bus.publish_all(vec![event], change.into_iter().collect());
    }

    fn record_missed_talk(&self, view: StateView) {
        if !self.is_owned_elsewhere(view.id) {
            let (at, view) = (view.since, self.with_pbx(view));
            self.deps.bus.publish_all(Vec::new(), self.operator_record(at, &view).into_iter().collect());
        }
    }

    /// The journal entry of this state; `None` for a standby, whose states are not recorded.
    fn operator_record(&self, at: Timestamp, view: &StateView) -> Option<JournalEntry> {
        self.deps.bus.is_leader().then(|| {
            let saved = self.operators.operator(view.id).map(|operator| operator.snapshot().clone());
            JournalEntry::OperatorState(Box::new(StateChange { at, view: view.clone(), saved }))
        })
    }

    /// Names in the notice's view the people who have had the caller. The model knows phones; who sits at a phone is known
    /// now, and may be another person when the call ends. `known` holds the people of the notices before: the call of the
    /// last one may be gone from the model already.
    pub(super) fn name_handlers(&mut self, notice: &mut Notice, known: &mut HashMap<CallId, Vec<RecordId>>) {
        let call = notice.view.id;
        let handlers = known.entry(call).or_insert_with(|| notice.view.handled_by.clone());
        if let NoticeKind::Answered { operator, .. } = &notice.kind
            && let Some(person) = self.deps.people.current().at(operator)
            && handlers.len() < HANDLERS_PER_CALL_MAX
            && !handlers.contains(&person.id)
        {
            handlers.push(person.id);
            self.model.note_handler(call, person.id);
        }
        notice.view.handled_by.clone_from(handlers);
    }

    /// The calls of the model, with the length of after-call work that the account sets.
    fn calls_with_wrap_up(&self) -> Vec<(CallView, Option<u32>)> {
        let with_wrap_up = |view: CallView| {
            let wrap_up_s = self.wrap_up_s(&view);
            (view, wrap_up_s)
        };
        self.model.calls().map(with_wrap_up).collect()
    }

    fn wrap_up_s(&self, view: &CallView) -> Option<u32> {
        let account = view.card.as_ref().and_then(|card| card.account.id);
        account.and_then(|id| self.deps.directory.account(id)).and_then(|account| account.fields.wrap_up_s)
    }

    /// Passes the calls of an earlier run to the registry: a call that the first list finds unchanged makes no notice.
    pub(super) fn operators_restore_calls(&mut self) {
        let now = self.clock.now();
        for (view, wrap_up_s) in self.calls_with_wrap_up() {
            self.operators.on_call_changed(now, &view, wrap_up_s);
        }
    }

    /// All channels are listed: the registry takes the calls of the model.
    pub(super) fn operators_on_calls_listed(&mut self, now: Timestamp) {
        let calls = self.calls_with_wrap_up();
        let (transfers, recovering) = (&self.transfers, self.transfers_recovering > 0);
        let under_way =
            |call| recovering || transfers.latest_of(call).is_some_and(TransferView::is_under_way);
        self.operators.on_calls_listed(now, calls, under_way);
        self.drain_operators();
        self.release_members();
    }

    /// Operators no longer wait for callers whose transfer is over, once every transfer on the PBX is known.
    pub(super) fn operators_check_returns(&mut self) {
        if self.transfers_recovering > 0 || !self.operators.has_listed_calls() {
            return;
        }
        let (now, transfers) = (self.clock.now(), &self.transfers);
        let under_way = |call| transfers.latest_of(call).is_some_and(TransferView::is_under_way);
        self.operators.check_awaited_returns(now, under_way);
        self.drain_operators();
    }

    /// Lets the queues follow the operators' states, once both the calls and the states are known.
    fn release_members(&mut self) {
        if self.operators.has_listed_calls() && !self.states_pending {
            let now = self.clock.now();
            self.queue_members.release(now);
            self.drain_members();
        }
    }

    /// Passes a notice of the call model to the registry.
    pub(super) fn operators_on_notice(&mut self, notice: &Notice) {
        let (now, view) = (self.clock.now(), &notice.view);
        if let NoticeKind::Ended { .. } = notice.kind {
            self.operators.on_call_ended(now, view.id);
            return;
        }
        let wrap_up_s = self.wrap_up_s(view);
        self.operators.on_call_changed(now, view, wrap_up_s);
    }

    /// Passes the people that this PBX may own to the registry, at the start and after each roster change.
    pub(super) fn operators_update_roster(&mut self) {
        let now = self.clock.now();
        let own = self.deps.people.stored();
        let home = |user: RecordId| own.person(user).and_then(|person| person.extension.clone());
        self.operators.update_roster(now, &own, home);
        self.drain_operators();
    }

    /// The number of a user's connected desktops has changed.
    pub(super) fn operators_update_desktops(&mut self, counts: Vec<(RecordId, u32)>) {
        for (user, desktops) in counts {
            self.operators.set_desktops(user, desktops);
        }
        self.drain_operators();
    }

    pub(super) fn operators_timeout(&mut self) {
        let now = self.clock.now();
        self.operators.handle_timeout(now);
        if self.presence_grace_until.is_some_and(|at| at <= now) {
            self.presence_grace_until = None;
            self.operators_republish();
        }
        self.queue_members.handle_timeout(now);
        self.drain_operators();
    }

    pub(super) fn drain_operators(&mut self) {
        while let Some(output) = self.operators.poll_output() {
            match output {
                Output::Changed { view, record } => self.publish_operator(*view, record),
                Output::TalkMissed { view } => self.record_missed_talk(*view),
                Output::Removed(user) => {
                    self.deps.bus.publish(publish::operator_removed(user, self.clock.now()));
                }
                Output::Seated { user, seat } => {
                    let bus = self.deps.bus.clone();
                    self.deps.people.set_seat(user, seat, || bus.head());
                }
                Output::Member { extension, member } => {
                    let now = self.clock.now();
                    self.queue_members.set_desired(now, extension, member);
                }
                Output::WrapUpEnded { .. } if !self.deps.bus.is_leader() => {}
                Output::WrapUpEnded { user, completed } => {
                    let now = self.clock.now();
                    let event = self.disposed_event(now, user, &completed);
                    let record = JournalEntry::WrapUp(Box::new(WrapUpRecord { user, finished: *completed }));
                    self.deps.bus.publish_all(event.into_iter().collect(), vec![record]);
                }
            }
        }
        self.drain_members();
    }

    fn disposed_event(&self, at: Timestamp, user: RecordId, work: &CompletedWrapUp) -> Option<NewEvent> {
        let operator = self.operators.operator(user)?;
        let roster = self.deps.people.current();
        let present = roster.person(user).and_then(|person| person.extension.as_ref());
        publish::disposed(&operator.view(), present, work, at)
    }

    fn drain_members(&mut self) {
        while let Some(MemberActions { extension, actions, repair }) = self.queue_members.poll_output() {
            if repair {
                self.deps.stats.members_repaired.inc();
                tracing::warn!(%extension, "the queue membership contradicts the operator's state; repairing it");
            }
            self.send_member_actions(extension, actions);
        }
        if let Some(faults) = self.queue_members.poll_faults() {
            self.on_queue_faults(&faults);
        }
    }

    /// Sends the actions one after the other. One that the PBX refuses keeps back only those of its own queue; once the
    /// PBX cannot be reached, no further one is sent.
    fn send_member_actions(&self, extension: Extension, actions: Vec<MemberAction>) {
        let actions = if self.deps.bus.is_leader() { actions } else { Vec::new() };
        let (pbx, results) = (self.deps.pbx.clone(), self.results.clone());
        self.deps.tasks.spawn(async move {
            let (mut replies, mut unreachable) = (Vec::<(QueueName, MemberReply)>::new(), false);
            for MemberAction { queue, action } in actions {
                let before = replies.iter().position(|(replied, _)| *replied == queue);
                if before.is_some_and(|at| replies[at].1 != MemberReply::Accepted) {
                    continue;
                }
                let outcome = if unreachable { ActionOutcome::NeverSent } else { pbx.send(action).await };
                unreachable |= outcome == ActionOutcome::NeverSent;
                let reply = match outcome_to_answer(&outcome) {
                    Ok(_) => MemberReply::Accepted,
                    Err(Refusal::PbxRefused(message)) => MemberReply::Refused(message.into()),
                    Err(_) => MemberReply::Failed,
                };
                match before {
                    Some(at) => replies[at].1 = reply,
                    None => replies.push((queue, reply)),
                }
            }
            // The receiver is gone only when the daemon ends.
            let _ = results.send(TaskResult::MemberReplies(extension, replies)).await;
        });
    }

    /// Shows what keeps the queues from following the states: to the operators concerned and their supervisors, in
    /// `/readyz` and in the log.
    fn on_queue_faults(&mut self, faults: &QueueFaults) {
        let before = self.deps.queue_faults.present();
        self.deps.queue_faults.set(faults);
        let present = self.deps.queue_faults.present();
        self.deps.stats.queue_faults.set(i64::try_from(present.len()).unwrap_or(i64::MAX));
        for QueueFault { queue, setting, message } in present.iter().filter(|fault| !before.contains(fault)) {
            tracing::warn!(
                %queue, setting = setting.as_deref(), %message,
                "a queue does not follow the operators' states; name the queues as `queue show` of the PBX prints them"
            );
        }
        self.operators.set_queue_faults(&faults.refused);
        self.drain_operators();
    }

    /// Refuses a transfer to a queue that the PBX does not have, and lets a caller return only to one that it has.
    pub(super) fn check_queues_of(&self, plan: &mut Plan) -> Result<(), Refusal> {
        let exists = |queue: &QueueName| self.queue_members.has_queue(queue) != Some(false);
        if let Some(queue) = plan.target_queue().filter(|queue| !exists(queue)) {
            return Err(Refusal::Invalid(format!(
                "to: the PBX has no queue {queue}; correct transfer.queues in the configuration"
            )));
        }
        plan.return_queue = self.deps.transfer_queues.iter().find(|queue| exists(queue)).cloned();
        Ok(())
    }

    /// The PBX has answered the actions that change an extension's memberships.
    pub(super) fn members_on_replies(
        &mut self,
        extension: &Extension,
        replies: Vec<(QueueName, MemberReply)>,
    ) {
        let now = self.clock.now();
        for (queue, reply) in &replies {
            if let MemberReply::Refused(refusal) = reply {
                tracing::debug!(%extension, %queue, %refusal, "the PBX refused a change of queue membership");
            }
        }
        self.queue_members.on_reply(now, extension, replies);
        self.drain_members();
    }

    /// A PBX event about a queue member or a device, live or from a list.
    pub(super) fn on_member_event(&mut self, event: MemberEvent) {
        let now = self.clock.now();
        match event {
            MemberEvent::Member(member) => {
                if let Some(extension) = self.phone_of(&member.interface) {
                    self.queue_members.on_member(now, &extension, member);
                }
            }
            MemberEvent::Queue { queue, strategy } => self.queue_members.on_queue_listed(queue, strategy),
            MemberEvent::Removed { queue, interface } => {
                if let Some(extension) = self.phone_of(&interface) {
                    self.queue_members.on_member_removed(now, &extension, queue, interface);
                }
            }
            MemberEvent::Device { device, reachability } => {
                // The state of a Local channel says nothing about a phone.
                let extension = self.phone_of(&device).filter(|_| !device.starts_with("Local/"));
                if let Some(extension) = extension {
                    let best = self.devices.update(&extension, device, reachability);
                    let phone = match best {
                        DeviceReachability::Reachable => Phone::Registered,
                        DeviceReachability::Unreachable => Phone::Unreachable,
                        DeviceReachability::Unknown => Phone::Unknown,
                    };
                    self.operators.set_phone(&extension, phone);
                    if let Some(device) = self.devices.device_of(&extension) {
                        self.queue_members.set_device(&extension, device.clone());
                        self.supervision.set_device(&extension, device);
                    }
                }
            }
        }
        self.drain_operators();
    }

    fn phone_of(&self, interface: &str) -> Option<Extension> {
        let rules = &self.deps.plan;
        rules.endpoints.extension_of_device(interface, &rules.phones)
    }

    /// A list of the queue members begins.
    pub(super) fn begin_members_list(&mut self) {
        self.queue_members.on_list_began();
    }

    /// The list of the queue members has ended.
    pub(super) fn end_members_list(&mut self, complete: bool) {
        let now = self.clock.now();
        self.queue_members.on_list_ended(now, complete);
        self.drain_members();
    }

    /// The link is down: the known memberships are outdated.
    pub(super) fn members_link_lost(&mut self) {
        self.queue_members.on_link_lost();
    }

    /// Starts a task that lists all queue members. If the list fails, the next one comes after the regular interval.
    pub(super) fn reconcile_members(&self) {
        let (pbx, results) = (self.deps.pbx.clone(), self.results.clone());
        self.deps.tasks.spawn(async move {
            match pbx.list(Action::queue_status()).await {
                // The receiver is gone only when the daemon ends.
                Ok(events) => drop(results.send(TaskResult::QueueMembers(events)).await),
                Err(error) => {
                    tracing::debug!(%error, "cannot list the queue members; not compared this time")
                }
            }
        });
    }

    /// Handles the complete list of queue members.
    pub(super) fn on_members_list(&mut self, events: Vec<PbxEvent>) {
        self.begin_members_list();
        for event in events {
            if let PbxEvent::Member(event) = event {
                self.on_member_event(event);
            }
        }
        self.end_members_list(true);
    }
}
