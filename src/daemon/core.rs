//! The core task: the loop that owns the call model and every other machine, and is their only writer.
//!
//! | input | handled by | output |
//! |---|---|---|
//! | event or list of the PBX link | the call model, then the transfer, supervision, screen pop and operator machines | events → bus, timelines → journal |
//! | card from the directory | the call model | the notices that waited for the card |
//! | command of a person | the machine it concerns (`actions.rs`, `supervision.rs`, `transfers.rs`, `operators.rs`) | AMI actions → PBX, answers → gateway |
//! | result of a spawned task ([`TaskResult`]) | the machine that started the task | as above |
//! | leadership acquired | every machine ([`Core::on_takeover`]) | the PBX is listed again; the predecessor's state is read from the store |
//! | change of people, desktops or team ownership | the operator registry | operator events → bus |
//! | timer | every machine whose deadline has passed | time-outs, repeated pops, reconciliations |
//! | shutdown | - | the loop ends; the journal writer writes what is queued |
//!
//! Invariant: nothing in this loop waits for the store, a socket or a desktop. Work that waits runs in a spawned task,
//! which sends its [`TaskResult`] to the loop. At most [`LOOKUPS_MAX`] look-ups run at once. When that limit is reached,
//! a caller is identified from memory alone, and a question to the PBX about a channel is not asked.
//!
//! Read next: `link.rs` (the PBX link goes up and down), `caller_id.rs` (what is read of a caller's channel), `actions.rs`
//! (commands and AMI actions).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::actions::{ActionOrigin, PendingConfirmation};
use super::clock::Clock;
use super::hints::Hints;
use super::lookups::LOOKUPS_MAX;
use super::oddities::{self, Oddities};
use super::operators::PRESENCE_GRACE;
use super::phone_devices::PhoneDevices;
use super::positions::Listeners;
use super::reconcile::ModelReconciler;
use super::restore::RestoredState;
use super::stats::Stats;
use super::supervision_segments::SyncState;
use super::transfers::PendingTransferReplies;
use crate::ami::client::{ClientEvent, Events, Handle, ListError, ListKind, ListResult};
use crate::ami::event::PbxEvent;
use crate::ami::session::ActionOutcome;
use crate::bus::Bus;
use crate::call::{EndpointRules, Input, Model, Notice, NoticeKind, OutboundCall, Output};
use crate::callflow::SoundProbe;
use crate::command::CommandRequest;
use crate::contract::event::NewEvent;
use crate::contract::history::FinishedCall;
use crate::contract::pbx::PbxLinkState;
use crate::contract::supervision::{Notify, SupervisionId};
use crate::contract::url_template::UrlTemplate;
use crate::directory::Directory;
use crate::fax::FaxDoor;
use crate::ids::{CallId, ChannelId, Extension, QueueName, RecordId};
use crate::journal::entry::{CallCheckpoint, JournalEntry};
use crate::journal::timelines::CallTimelines;
use crate::numbers::{Number, NumberPlan};
use crate::operators::queue_members::{MemberReply, QueueMembership};
use crate::operators::{OperatorRegistry, OperatorSnapshot, SharedQueueFaults, SharedWords};
use crate::pbx_link::{Following, PbxLink};
use crate::people::presence::Presence;
use crate::people::roster::People;
use crate::publish;
use crate::screen_pop::{AckTimeouts, ScreenPopTracker};
use crate::store::Store;
use crate::store::audit::limit::AuditLimit;
use crate::supervision;
use crate::supervision::{RecoveredSession, Supervisions};
use crate::transfer::{TransferContext, Transfers};
use crate::voice::{GuidanceRecorder, VoiceDoor};

/// Maximum number of task results that wait for the loop.
const TASK_RESULTS_QUEUED_MAX: usize = 1_024;

/// The result of a spawned task, sent back to the loop.
pub(super) enum TaskResult {
    /// An input for the call model.
    Input(Box<Input>),
    /// The outcome of an AMI action.
    Action(ActionOrigin, ActionOutcome),
    /// What a channel's variables say about its transfer, and how many targets the dialplan has tried; `None` where they
    /// say nothing.
    Transfer(ChannelId, Option<(Box<TransferContext>, usize)>),
    /// What the audit trail says about a supervision session that was found on the PBX.
    RecoveredSession(SupervisionId, Option<Box<RecoveredSession>>),
    /// The members of all queues.
    QueueMembers(Vec<PbxEvent>),
    /// Operators' states, as the store has them.
    OperatorStates(Vec<OperatorSnapshot>),
    /// The predecessor's stored link state, and the leadership term of this daemon in which it was requested.
    PriorLink(u64, Option<PbxLinkState>),
    /// All channels of the PBX, for the reconciler.
    ChannelList(Result<Vec<PbxEvent>, ListError>),
    /// What became of the actions that change an extension's queue memberships, for each queue.
    MemberReplies(Extension, Vec<(QueueName, MemberReply)>),
}

/// The services and settings that the core uses.
pub(super) struct Deps {
    pub(super) words: SharedWords,
    pub(super) plan: EndpointRules,
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) directory: Directory,
    pub(super) pbx: Handle,
    pub(super) tasks: TaskTracker,
    pub(super) stats: Stats,
    pub(super) notify: Notify,
    pub(super) people: People,
    pub(super) presence: Presence,
    pub(super) url_template: Option<UrlTemplate>,
    pub(super) reconciler: ModelReconciler,
    pub(super) pop_timeouts: AckTimeouts,
    pub(super) queue_faults: SharedQueueFaults,
    /// Where reports of faxes and voice messages go.
    pub(super) faxes: FaxDoor,
    pub(super) voices: VoiceDoor,
    /// Which sounds the PBX lacks.
    pub(super) sounds: SoundProbe,
    /// Where guidance is recorded by telephone.
    pub(super) guidance: Option<Arc<GuidanceRecorder>>,
    pub(super) following: Following,
    /// The queues to which callers may be transferred.
    pub(super) transfer_queues: Vec<QueueName>,
}

/// The state of the loop: the call model and the machines beside it.
pub(super) struct Core {
    pub(super) deps: Deps,
    pub(super) model: Model,
    pub(super) clock: Clock,
    pub(super) timelines: CallTimelines,
    pub(super) lookups: Arc<Semaphore>,
    /// Where spawned tasks send their results.
    pub(super) results: mpsc::Sender<TaskResult>,
    pub(super) link: PbxLink,
    pub(super) supervision: Supervisions,
    pub(super) transfers: Transfers,
    /// Requests that wait for the answer to a step of a transfer.
    pub(super) pending_transfers: PendingTransferReplies,
    pub(super) operators: OperatorRegistry,
    /// Requests that wait until a phone has done what it was asked.
    pub(super) pending_confirmations: Vec<PendingConfirmation>,
    pub(super) queue_members: QueueMembership,
    pub(super) reconciler: ModelReconciler,
    pub(super) pops: ScreenPopTracker,
    pub(super) oddities: Oddities,
    pub(super) devices: PhoneDevices,
    pub(super) segment_sync: SyncState,
    /// The audit entries of those who cause many.
    pub(super) audit_limit: AuditLimit,
    /// The end of the grace period in which desktops and phones may come back.
    pub(super) presence_grace_until: Option<Timestamp>,
    /// The operators' states are not those of the leader: this daemon is a standby, or has not read them yet.
    pub(super) states_pending: bool,
    /// Number of transfers whose context a spawned task reads.
    pub(super) transfers_recovering: usize,
    pub(super) hints: Hints,
    pub(super) listeners: Listeners,
}

impl Core {
    /// Runs until `shutdown`, or until the tasks of the AMI client have ended.
    #[expect(clippy::too_many_lines, reason = "the select has one arm for each source")]
    pub(super) async fn run(
        mut deps: Deps,
        restored: RestoredState,
        supervision: Supervisions,
        (operators, queue_members, members_interval): (OperatorRegistry, QueueMembership, Duration),
        mut events: Events,
        mut commands: mpsc::Receiver<CommandRequest>,
        shutdown: CancellationToken,
    ) {
        let (results, mut task_results) = mpsc::channel(TASK_RESULTS_QUEUED_MAX);
        let RestoredState { model, timelines, link, .. } = restored;
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        let (mut clock, link) =
            (Clock::start(), PbxLink::new(deps.plan.pbx.clone(), link, deps.bus.is_shared()));
        let presence_grace_until = clock.now().checked_add(PRESENCE_GRACE).ok();
        let (transfers, pending_transfers) = (Transfers::default(), PendingTransferReplies::default());
        let (reconciler, pops) =
            (std::mem::take(&mut deps.reconciler), ScreenPopTracker::new(deps.pop_timeouts));
        let mut core = Self {
            deps,
            model,
            clock,
            timelines,
            lookups,
            results,
            link,
            supervision,
            transfers,
            pending_transfers,
            operators,
            pending_confirmations: Vec::new(),
            queue_members,
            reconciler,
            pops,
            oddities: Oddities::default(),
            devices: PhoneDevices::default(),
            segment_sync: SyncState::default(),
            audit_limit: AuditLimit::default(),
            presence_grace_until,
            states_pending: false,
            transfers_recovering: 0,
            hints: Hints::default(),
            listeners: Listeners::default(),
        };
        core.states_pending = core.deps.bus.is_shared();
        core.queue_members.hold();
        let mut members_ticks = tokio::time::interval(members_interval);
        members_ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut roster, presence) = (core.deps.people.watch(), core.deps.presence.clone());
        core.publish_initial_down();
        core.restore_pops();
        let bus = core.deps.bus.clone();
        core.operators_update_roster();
        core.operators_restore_calls();
        core.operators_republish();
        loop {
            let due = core.poll_timeout().map(|at| core.clock.instant_of(at));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return core.finish_audit(),
                // First: nothing may be published as leader before the takeover is handled.
                () = bus.leadership_acquired() => core.on_takeover(),
                Some(result) = task_results.recv() => core.on_task_result(result),
                Some(request) = commands.recv() => core.on_command(request),
                batch = events.next_batch() => match batch {
                    Some(batch) => batch.into_iter().for_each(|event| core.on_client_event(event)),
                    None => return core.finish_audit(),
                },
                () = bus.ownership_changed() => core.operators_update_ownership(),
                counts = presence.changed() => core.operators_update_desktops(counts),
                Ok(()) = roster.changed() => core.operators_update_roster(),
                _ = members_ticks.tick() => core.reconcile_members(),
                () = sleep_until(due) => {
                    let now = core.clock.now();
                    core.model.handle_timeout(now);
                    core.transfers.handle_timeout(now, &core.model);
                    core.drain_transfers();
                    core.drain_model();
                    core.supervision_timeout();
                    core.operators_timeout();
                    core.check_confirmations();
                    core.pops_timeout();
                    core.reconcile_timeout();
                    core.link_timeout();
                    core.audit_timeout();
                }
            }
            core.drain_operators();
        }
    }

    fn on_client_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Pbx(event) | ClientEvent::ListItem(ListKind::Channels, event) => {
                self.on_pbx_event(event)
            }
            ClientEvent::ListBegin(ListKind::Channels) => {
                self.apply_input(Input::ListBegan);
                self.supervise(supervision::Input::ListBegan);
                self.begin_segment_resync();
            }
            ClientEvent::ListEnd(ListKind::Channels, ListResult::Complete) => {
                self.apply_input(Input::ListEnded);
                self.supervise(supervision::Input::ListEnded);
                self.finish_segment_resync();
                self.on_calls_listed();
                self.report_channels();
            }
            ClientEvent::ListEnd(ListKind::Channels, _) => self.apply_input(Input::ListFailed),
            ClientEvent::ListBegin(ListKind::Queues) => self.begin_members_list(),
            ClientEvent::ListItem(ListKind::Queues | ListKind::Devices, PbxEvent::Member(event)) => {
                self.on_member_event(event);
            }
            ClientEvent::ListEnd(ListKind::Queues, result) => {
                self.end_members_list(result == ListResult::Complete);
            }
            ClientEvent::ListBegin(_) | ClientEvent::ListItem(..) | ClientEvent::ListEnd(..) => {}
            ClientEvent::ResyncEnded { complete: false } => self.resync(),
            ClientEvent::ResyncEnded { complete: true } => {
                let now = self.clock.now();
                self.reconciler.reschedule(now);
            }
            ClientEvent::Up { epoch, version } => self.on_link_up(epoch, &version.to_string()),
            ClientEvent::Started { at } => self.on_pbx_started(at),
            ClientEvent::Down { reason, .. } => self.on_link_down(&reason.to_string()),
            ClientEvent::Quarantined(quarantined) => {
                let reason = quarantined.reason;
                self.deps.stats.frames_quarantined.inc();
                tracing::warn!(%reason, "quarantined a malformed AMI frame; listing the PBX again");
                self.resync();
            }
            ClientEvent::Overrun { dropped } => {
                self.deps.stats.overruns.inc();
                tracing::error!(
                    dropped,
                    "dropped AMI events that arrived faster than they were read; listing the PBX again"
                );
                self.resync();
            }
            ClientEvent::ActionsUp => tracing::info!("the AMI action session is up"),
            ClientEvent::ActionsDown { reason } => {
                tracing::warn!(%reason, "the AMI action session is down")
            }
            ClientEvent::LoginRefused { session, refusal, retry_in } => {
                tracing::error!(?session, %refusal, ?retry_in, "the PBX refuses the login; check manager.conf");
            }
            ClientEvent::Unreachable { session, reason, retry_in } => {
                tracing::warn!(?session, %reason, ?retry_in, "the PBX cannot be reached");
            }
        }
    }

    /// The bus reports that this daemon leads now, or that it is a standby that publishes locally because it no longer
    /// hears from a leader. Both list the PBX again, which finds the predecessor's transfers and supervisions. Only a
    /// leader also reads the predecessor's link state and the operators' states.
    fn on_takeover(&mut self) {
        self.resync();
        if self.deps.bus.is_leader() {
            self.mark_segments_stale();
            self.request_predecessor_link();
            self.states_pending = true;
            self.queue_members.hold();
            self.operators_read_saved();
        }
    }

    pub(super) fn resync(&self) {
        self.deps.stats.resyncs.inc();
        self.deps.pbx.resync();
    }

    fn on_task_result(&mut self, result: TaskResult) {
        match result {
            TaskResult::Input(input) => {
                self.apply_input(*input);
                self.send_hints();
            }
            TaskResult::QueueMembers(frames) => self.on_members_list(frames),
            TaskResult::Action(origin, outcome) => self.on_action_result(origin, outcome),
            TaskResult::Transfer(channel, found) => self.on_transfer_context(&channel, found),
            TaskResult::RecoveredSession(id, recovered) => {
                self.supervise(supervision::Input::SessionLoaded(id, recovered));
            }
            TaskResult::OperatorStates(saved) => self.operators_restore(saved),
            TaskResult::PriorLink(term, link) => self.compare_with_predecessor(term, link),
            TaskResult::ChannelList(listed) => self.on_channel_list(listed),
            TaskResult::MemberReplies(extension, replies) => self.members_on_replies(&extension, replies),
        }
    }

    fn on_pbx_event(&mut self, event: PbxEvent) {
        self.deps.stats.frames.inc();
        match event {
            PbxEvent::Call(event) => {
                let concerned = self.supervision_wants(&event).then(|| event.clone());
                self.on_dialplan_event(&event);
                self.apply_input(Input::Pbx(event));
                self.send_hints();
                if let Some(event) = concerned {
                    self.on_supervision_event(&event);
                }
            }
            PbxEvent::Member(event) => self.on_member_event(event),
            PbxEvent::Unused => {}
            PbxEvent::Incomplete(error) => {
                self.deps.stats.events_incomplete.inc();
                self.oddities.log_incomplete(&error);
            }
        }
    }

    pub(super) fn apply_input(&mut self, input: Input) {
        let now = self.clock.now();
        // The transfer machine sees an event after the model; the event is cloned only when that machine needs it.
        let event = match &input {
            Input::Pbx(event) if !self.transfers.is_idle() || self.transfers.wants(event) => {
                Some(event.clone())
            }
            _ => None,
        };
        let listed = matches!(input, Input::ListEnded);
        match input {
            Input::LinkDown => self.transfers.link_lost(),
            Input::ListBegan => self.transfers.list_began(),
            _ => {}
        }
        self.model.handle(now, input);
        if let Some(event) = event {
            self.transfers.handle_event(now, &event, &self.model);
        }
        if listed {
            self.transfers.reconcile(now, &self.model);
        }
        let listed_at = listed.then_some(now);
        // Order: a transfer's event is published before the pop that refers to it, and its end before the call's end.
        self.drain_transfers();
        self.drain_model();
        if let Some(now) = listed_at {
            self.operators_on_calls_listed(now);
            self.adopt_predecessor_calls(now);
        }
        self.drain_operators();
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let deadlines = [
            self.transfers.poll_timeout(),
            self.supervision.poll_timeout(),
            self.pops.poll_timeout(),
            self.operators.poll_timeout(),
            self.reconciler.poll_timeout(),
            self.confirmation_due(),
            self.queue_members.poll_timeout(),
            self.presence_grace_until,
            self.link.poll_timeout(),
            self.audit_limit.poll_timeout(),
        ];
        deadlines.into_iter().flatten().chain(self.model.poll_timeout()).min()
    }

    fn drain_model(&mut self) {
        let (mut new_events, mut changed, mut entries, mut notices) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut handlers = HashMap::new();
        while let Some(output) = self.model.poll_output() {
            match output {
                Output::Notice(mut notice) => {
                    self.name_handlers(&mut notice, &mut handlers);
                    new_events.push(self.new_event(&notice));
                    self.operators_on_notice(&notice);
                    match self.timelines.record_notice(&notice, self.deps.directory.plan()) {
                        Some(record) => entries.push(JournalEntry::Finished(Box::new(record))),
                        None => changed.push(notice.view.id),
                    }
                    notices.push((notice.view.id, notice.kind));
                }
                Output::OutboundEnded(call) => {
                    let roster = self.deps.people.current();
                    let people =
                        call.operators.iter().filter_map(|phone| roster.at(phone)).map(|person| person.id);
                    let people = people.collect();
                    let record = outbound_record(*call, people, self.deps.directory.plan());
                    entries.push(JournalEntry::Finished(Box::new(record)));
                }
                Output::UnknownEndpoint { endpoint, context } => {
                    self.deps.stats.unknown_endpoints.inc();
                    oddities::log_unknown_endpoint(&endpoint, context.as_deref());
                }
                Output::UnreportedRing { operator, endpoint } => {
                    self.deps.stats.unreported_rings.inc();
                    if self.oddities.log_unreported_ring(self.clock.now(), &operator, endpoint.as_deref()) {
                        self.resync();
                    }
                }
                Output::ReadChannel { call, channel } => self.ask_channel(call, &channel),
                Output::ReadHeaders { call, channel, technology } => {
                    self.ask_headers(call, &channel, &technology);
                }
                Output::Identify { call, question, identity, trunk } => {
                    self.identify(call, question, &identity, &trunk);
                }
            }
        }
        new_events.extend(self.republish_unowned(&notices));
        let published = !new_events.is_empty();
        if published || !entries.is_empty() {
            changed.sort_unstable();
            changed.dedup();
            entries.extend(changed.into_iter().filter_map(|call| self.checkpoint_entry(call)));
            let ids = self.deps.bus.publish_all(new_events, entries);
            self.track_pops(&notices, &ids);
        }
        if published && !self.pending_confirmations.is_empty() {
            self.check_confirmations();
        }
        if published && !self.supervision.is_empty() {
            self.supervise(supervision::Input::CallsChanged);
        }
    }

    /// A call that stopped ringing at its only operator is visible to the supervisors of every team again. While it
    /// rang at one team, the others saw it go; the returned `call.updated` events show it to them again.
    fn republish_unowned(&mut self, notices: &[(CallId, NoticeKind)]) -> Vec<NewEvent> {
        let stopped = |(call, kind): &(CallId, NoticeKind)| {
            matches!(kind, NoticeKind::Rescinded { .. }).then_some(*call)
        };
        let calls: BTreeSet<CallId> = notices.iter().filter_map(stopped).collect();
        let views = calls.into_iter().filter_map(|call| self.model.call(call));
        let unowned = views.filter(|view| view.operators().next().is_none());
        let at = self.clock.now();
        unowned.map(|view| publish::from_notice(&Notice { at, kind: NoticeKind::Updated, view })).collect()
    }

    fn new_event(&self, notice: &Notice) -> NewEvent {
        let mut new_event = publish::from_notice(notice);
        if let NoticeKind::Presented { operator } = &notice.kind {
            self.add_transfer(&mut new_event);
            self.deps.stats.pops.inc();
            tracing::debug!(call = %notice.view.id, %operator, "publishing a screen pop");
        }
        new_event
    }

    /// The checkpoint of a living call as a journal entry; `None` when the call has ended.
    pub(super) fn checkpoint_entry(&self, call: CallId) -> Option<JournalEntry> {
        let memory = self.model.snapshot(call)?;
        let story = self.timelines.segments(call);
        Some(JournalEntry::Checkpoint(Box::new(CallCheckpoint { snapshot: memory, segments: story })))
    }
}

/// The record of a call to the telephone network. It concerns no account and no customer; it belongs to the people at the
/// phones that made it, answered or not.
fn outbound_record(call: OutboundCall, people: Vec<RecordId>, plan: &NumberPlan) -> FinishedCall {
    FinishedCall {
        handled_by: Some(people),
        dialled: call.number.as_deref().map(|text| {
            Number::read(text, plan).map_or_else(|| text.to_owned(), |number| number.key().to_owned())
        }),
        operators: call.operators,
        channels: call.channels,
        segments: call.segments,
        ..FinishedCall::of(&call.view, plan)
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
