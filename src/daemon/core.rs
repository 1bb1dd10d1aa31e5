//! The core task: the one owner and only writer of the call model.
//!
//! | comes in | goes to | comes out |
//! |---|---|---|
//! | the PBX link's events | the model | notices → bus, journal → log |
//! | the directory's answers | the model | pops that waited |
//! | people's commands | the part they concern (`orders.rs`, `supervise.rs`) | orders → PBX, answers → gateway |
//! | time | the model | waits that are over |
//! | shutdown | - | the loop ends; what the clerk has is written |
//!
//! Invariant: nothing in this loop waits for a store, a socket or a desktop. Look-ups run beside it, at most
//! [`LOOKUPS_MAX`] at once; one that finds no place is answered from memory.
//!
//! Read next: `link.rs` (the PBX comes and goes), `orders.rs` (commands and orders).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::Audit;
use super::clock::Clock;
use super::figures::Figures;
use super::hearings::Known;
use super::journal::Journal;
use super::link::Link;
use super::operators::SETTLE_MAX;
use super::orders::{Asked, Proving};
use super::recall::Recalled;
use super::records::Clerk;
use super::transfers::Waiting;
use crate::ami::action::{Action, Readable};
use crate::ami::client::{ClientEvent, Events, Handle, ListError, ListKind, ListResult};
use crate::ami::event::{Event, USER_EVENT_FIELDS_MAX};
use crate::ami::frame::Frame;
use crate::ami::session::ActionOutcome;
use crate::announce::announce;
use crate::bus::{Bus, Draft};
use crate::call::view::CallState;
use crate::call::{Input, Model, Notice, NoticeKind, Output, Plan};
use crate::command::Given;
use crate::directory::card::Card;
use crate::directory::link::LinkTemplate;
use crate::directory::{Directory, Found};
use crate::identity::Identity;
use crate::ids::{CallId, ChannelId};
use crate::operator::{Floor, Members, People, Presence, Saved};
use crate::pop::{Pops, Waits};
use crate::store::log::{Keep, LiveCall};
use crate::store::{LinkMemory, Store};
use crate::supervision::{self, Notify, Remembered, SupervisionId, Supervisions};
use crate::transfer::{About, TransferView, Transfers};

/// Most look-ups in the store at the same time.
pub const LOOKUPS_MAX: usize = 256;
/// How long a look-up may take before the pop is left with what memory knows.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a channel is asked about again while no order can be given.
const READ_TRIES_MAX: u32 = 50;
/// Pause before.
const READ_PAUSE: Duration = Duration::from_millis(100);
/// Most answers of what runs beside the loop that wait for it.
const BROUGHT_QUEUED_MAX: usize = 1_024;

/// What something that ran beside the loop brings back.
pub(super) enum Brought {
    /// An answer for the model.
    Input(Box<Input>),
    /// What became of an order to the PBX.
    Order(Asked, ActionOutcome),
    /// What a channel says of the transfer it is in, and how many targets the dialplan has begun with.
    Transfer(ChannelId, Box<About>, usize),
    /// What the audit trail says of a supervision that was found.
    Remembered(SupervisionId, Option<Box<Remembered>>),
    /// The members of all queues.
    Members(Vec<Frame>),
    /// Operators' states, as the daemon that led before recorded them.
    States(Vec<Saved>),
    /// What the store knows of the link since somebody led, asked for at this taking of the lead.
    LinkLeft(u64, Option<LinkMemory>),
    /// All channels, for an audit.
    Audit(Result<Vec<Frame>, ListError>),
}

/// What the core works with.
pub(super) struct Parts {
    pub(super) plan: Plan,
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) directory: Directory,
    pub(super) clerk: Clerk,
    pub(super) pbx: Handle,
    pub(super) tasks: TaskTracker,
    pub(super) figures: Figures,
    pub(super) notify: Notify,
    pub(super) people: People,
    pub(super) presence: Presence,
    pub(super) link: Option<LinkTemplate>,
    pub(super) audit: Audit,
    pub(super) pop_waits: Waits,
}

/// The core's own state beside the model.
pub(super) struct Core {
    pub(super) parts: Parts,
    pub(super) model: Model,
    pub(super) clock: Clock,
    pub(super) journal: Journal,
    pub(super) lookups: Arc<Semaphore>,
    /// Where what runs beside the loop brings its answers.
    pub(super) beside: mpsc::Sender<Brought>,
    pub(super) link: Link,
    pub(super) supervision: Supervisions,
    pub(super) transfers: Transfers,
    /// Who waits for the answer to a step of a transfer.
    pub(super) transferring: Waiting,
    pub(super) floor: Floor,
    /// Who waits until a phone has done something.
    pub(super) proving: Vec<Proving>,
    pub(super) members: Members,
    pub(super) audit: Audit,
    pub(super) pops: Pops,
    pub(super) hearings: Known,
    /// Until when desktops and phones are given time to come back.
    pub(super) settles: Option<Timestamp>,
}

impl Core {
    /// Runs until `shutdown`, or until the link's tasks are gone.
    pub(super) async fn run(
        mut parts: Parts,
        recalled: Recalled,
        supervision: Supervisions,
        (floor, members, audit_every): (Floor, Members, Duration),
        mut events: Events,
        mut commands: mpsc::Receiver<Given>,
        shutdown: CancellationToken,
    ) {
        let (beside, mut brought) = mpsc::channel(BROUGHT_QUEUED_MAX);
        let Recalled { model, journal, link, .. } = recalled;
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        let (mut clock, link) = (Clock::start(), Link::recalled(link, parts.bus.is_shared()));
        let settles = clock.now().checked_add(SETTLE_MAX).ok();
        let (transfers, transferring) = (Transfers::default(), Waiting::default());
        let (audit, pops) = (std::mem::take(&mut parts.audit), Pops::new(parts.pop_waits));
        let mut core = Self {
            parts,
            model,
            clock,
            journal,
            lookups,
            beside,
            link,
            supervision,
            transfers,
            transferring,
            floor,
            proving: Vec::new(),
            members,
            audit,
            pops,
            hearings: Known::default(),
            settles,
        };
        let mut audit = tokio::time::interval(audit_every);
        audit.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut roster, presence) = (core.parts.people.watch(), core.parts.presence.clone());
        core.nobody_looked();
        core.pops_recalled();
        let bus = core.parts.bus.clone();
        core.floor_people();
        core.floor_compared();
        loop {
            let due = core.poll_timeout().map(|at| core.clock.instant_of(at));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                // Before anything is told as whoever leads.
                () = bus.taken_over() => core.taken_over(),
                Some(brought) = brought.recv() => core.bring(brought),
                Some(given) = commands.recv() => core.command(given),
                batch = events.next_batch() => match batch {
                    Some(batch) => batch.into_iter().for_each(|event| core.take(event)),
                    None => return,
                },
                () = bus.keepers_changed() => core.floor_keepers(),
                counts = presence.changed() => core.floor_desktops(counts),
                Ok(()) = roster.changed() => core.floor_people(),
                _ = audit.tick() => core.audit_members(),
                () = sleep_until(due) => {
                    let now = core.clock.now();
                    core.model.handle_timeout(now);
                    core.transfers.handle_timeout(now, &core.model);
                    core.drain_transfers();
                    core.drain();
                    core.supervision_timeout();
                    core.floor_timeout();
                    core.prove();
                    core.pops_timeout();
                    core.audit_timeout();
                    core.pulse_timeout();
                }
            }
            core.drain_floor();
        }
    }

    fn take(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Frame(frame) => self.frame(&frame),
            ClientEvent::ListItem(ListKind::Channels, frame) => self.frame(&frame),
            ClientEvent::ListBegin(ListKind::Channels) => {
                self.input(Input::ListBegan);
                self.supervise(supervision::Input::ListBegan);
                self.hearings_list_began();
            }
            ClientEvent::ListEnd(ListKind::Channels, ListResult::Complete) => {
                self.input(Input::ListEnded);
                self.supervise(supervision::Input::ListEnded);
                self.hearings_listed();
                self.calls_listed();
            }
            ClientEvent::ListEnd(ListKind::Channels, _) => self.input(Input::ListFailed),
            ClientEvent::ListBegin(ListKind::Queues) => self.members_list_began(),
            ClientEvent::ListItem(ListKind::Queues | ListKind::Devices, frame) => self.member_news(&frame),
            ClientEvent::ListEnd(ListKind::Queues, result) => {
                self.members_listed(result == ListResult::Complete);
            }
            ClientEvent::ListBegin(_) | ClientEvent::ListItem(..) | ClientEvent::ListEnd(..) => {}
            ClientEvent::ListsTaken { complete: false } => self.resync(),
            ClientEvent::ListsTaken { complete: true } => {
                let now = self.clock.now();
                self.audit.rest(now);
            }
            ClientEvent::Up { epoch, version } => self.link_up(epoch, &version.to_string()),
            ClientEvent::Started { at } => self.pbx_started(at),
            ClientEvent::Down { reason, .. } => self.link_down(&reason.to_string()),
            ClientEvent::Quarantined(quarantined) => {
                let reason = quarantined.reason;
                self.parts.figures.frames_quarantined.inc();
                tracing::warn!(%reason, "a frame that Asterisk does not write was set aside; listing again");
                self.resync();
            }
            ClientEvent::Overrun { dropped } => {
                self.parts.figures.overruns.inc();
                tracing::error!(dropped, "events of the PBX came faster than they were read; listing again");
                self.resync();
            }
            ClientEvent::ActionsUp => tracing::info!("orders can be given to the PBX"),
            ClientEvent::ActionsDown { reason } => {
                tracing::warn!(%reason, "no orders can be given to the PBX")
            }
            ClientEvent::LoginRefused { session, refusal, retry_in } => {
                tracing::error!(?session, %refusal, ?retry_in, "the PBX refuses the login; check manager.conf");
            }
            ClientEvent::Unreachable { session, reason, retry_in } => {
                tracing::warn!(?session, %reason, ?retry_in, "the PBX cannot be reached");
            }
        }
    }

    /// Transfers and supervisions of the daemon that led before are found again. One that stands by and hears of no
    /// other any more asks the PBX as well, and keeps nobody's state.
    fn taken_over(&mut self) {
        self.resync();
        if self.parts.bus.leads() {
            self.hearings_unsure();
            self.unseen_asked();
            self.floor_taken_over();
        }
    }

    pub(super) fn resync(&self) {
        self.parts.figures.resyncs.inc();
        self.parts.pbx.resync();
    }

    fn bring(&mut self, brought: Brought) {
        match brought {
            Brought::Input(input) => self.input(*input),
            Brought::Members(frames) => self.members_audited(&frames),
            Brought::Order(asked, outcome) => self.order_answered(asked, outcome),
            Brought::Transfer(channel, about, tried) => self.take_up_transfer(&channel, *about, tried),
            Brought::Remembered(id, remembered) => {
                self.supervise(supervision::Input::Remembered(id, remembered));
            }
            Brought::States(kept) => self.floor_as_left(kept),
            Brought::LinkLeft(turn, left) => self.unseen_known(turn, left),
            Brought::Audit(listed) => self.audited(listed),
        }
    }

    fn frame(&mut self, frame: &Frame) {
        self.parts.figures.frames.inc();
        match Event::decode(frame) {
            Ok(Some(event)) => {
                let concerned = self.supervision_wants(&event).then(|| event.clone());
                self.input(Input::Pbx(event));
                if let Some(event) = concerned {
                    self.supervise_event(&event);
                }
            }
            Ok(None) => self.member_news(frame),
            Err(error) => {
                self.parts.figures.events_incomplete.inc();
                tracing::debug!(%error, "an event was left out");
            }
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        let now = self.clock.now();
        // The machines beside the model see an event after it did; most of the time there is nothing to see.
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
        // What a pop says of a transfer is told before the pop, its end before the call's.
        self.drain_transfers();
        self.drain();
        if let Some(now) = listed_at {
            let transfers = &self.transfers;
            let under_way = |call| transfers.latest_of(call).is_some_and(TransferView::is_under_way);
            self.floor.listed(now, under_way);
            self.inherit(now);
        }
        self.drain_floor();
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let beside = [
            self.transfers.poll_timeout(),
            self.supervision.poll_timeout(),
            self.pops.poll_timeout(),
            self.floor.poll_timeout(),
            self.audit.poll_timeout(),
            self.proof_due(),
            self.members.poll_timeout(),
            self.settles,
            self.link.pulse,
        ];
        beside.into_iter().flatten().chain(self.model.poll_timeout()).min()
    }

    fn drain(&mut self) {
        let (mut drafts, mut changed, mut keeps, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while let Some(output) = self.model.poll_output() {
            match output {
                Output::Notice(notice) => {
                    drafts.push(self.draft(&notice));
                    self.floor_notice(&notice);
                    match self.journal.note(&notice, self.parts.directory.plan()) {
                        Some(record) => keeps.push(Keep::Finished(Box::new(record))),
                        None => changed.push(notice.view.id),
                    }
                    told.push((notice.view.id, notice.kind));
                }
                Output::AskChannel { call, channel } => self.ask(call, &channel),
                Output::Identify { call, question, identity, trunk } => {
                    self.identify(call, question, &identity, &trunk);
                }
            }
        }
        drafts.extend(self.back_in_sight(&told));
        let moved = !drafts.is_empty();
        if moved {
            changed.sort_unstable();
            changed.dedup();
            keeps.extend(changed.into_iter().filter_map(|call| self.keep(call)));
            let ids = self.parts.bus.publish_all(drafts, keeps);
            self.pops_told(&told, &ids);
        }
        if moved && !self.proving.is_empty() {
            self.prove();
        }
        if moved && !self.supervision.is_empty() {
            self.supervise(supervision::Input::Moved);
        }
    }

    /// A call that rang at one team and rings nowhere now is every team's again: their supervisors, who were told
    /// that it had gone, are told of it anew.
    fn back_in_sight(&mut self, told: &[(CallId, NoticeKind)]) -> Vec<Draft> {
        let stopped = |(call, kind): &(CallId, NoticeKind)| {
            matches!(kind, NoticeKind::Rescinded { .. }).then_some(*call)
        };
        let calls: BTreeSet<CallId> = told.iter().filter_map(stopped).collect();
        let views = calls.into_iter().filter_map(|call| self.model.call(call));
        let unowned =
            views.filter(|view| view.state == CallState::Offered && view.operators().next().is_none());
        let at = self.clock.now();
        unowned.map(|view| announce(&Notice { at, kind: NoticeKind::Updated, view })).collect()
    }

    fn draft(&self, notice: &Notice) -> Draft {
        let mut draft = announce(notice);
        if let NoticeKind::Presented { operator } = &notice.kind {
            self.mark_transfer(&mut draft);
            self.parts.figures.pops.inc();
            tracing::debug!(call = %notice.view.id, %operator, "pop");
        }
        draft
    }

    /// How a call stands, for the log; nothing when it has ended.
    pub(super) fn keep(&self, call: CallId) -> Option<Keep> {
        let memory = self.model.memory(call)?;
        let story = self.journal.story(call);
        Some(Keep::Live(Box::new(LiveCall { memory, story })))
    }

    /// Memory answers at once for whom a call is; who calls is looked up beside the loop.
    fn identify(&mut self, call: CallId, question: u32, identity: &Identity, trunk: &str) {
        let found = self.parts.directory.identify(identity, Some(trunk));
        let link = self.link_of(&found);
        let mut bare = self.parts.directory.bare_card(&found);
        bare.link = link.as_ref().map(|(link, code)| link.fill(call, &bare, code));
        let bare = Arc::new(bare);
        let now = self.clock.now();
        let place = Arc::clone(&self.lookups).try_acquire_owned();
        let in_store = found.account.is_some() && found.caller_number.is_some();
        let complete = place.is_err() || !in_store;
        self.model.handle(now, Input::CardFound { call, question, card: Arc::clone(&bare), complete });
        let (Ok(place), false) = (place, complete) else { return };
        let (directory, beside) = (self.parts.directory.clone(), self.beside.clone());
        let figures = self.parts.figures.clone();
        self.parts.tasks.spawn(async move {
            let begun = Instant::now();
            let card = look_up(&directory, &found).await;
            figures.lookup_seconds.observe(begun.elapsed().as_secs_f64());
            if card.is_none() {
                figures.lookups_failed.inc();
            }
            let card = card.map_or(bare, |mut card| {
                card.link = link.map(|(link, code)| link.fill(call, &card, &code));
                Arc::new(card)
            });
            let found = Input::CardFound { call, question, card, complete: true };
            // The core is gone only when the daemon ends.
            let _ = beside.send(Brought::Input(Box::new(found))).await;
            drop(place);
        });
    }

    /// The link to offer with a pop, and the account's code: the account's own, else the installation's.
    fn link_of(&self, found: &Found) -> Option<(LinkTemplate, String)> {
        let fields = found.account.as_ref().map(|account| &account.fields);
        let own = fields.and_then(|fields| fields.link.as_ref()?.parse().ok());
        let link = own.or_else(|| self.parts.link.clone())?;
        Some((link, fields.map(|fields| fields.code.clone()).unwrap_or_default()))
    }

    /// The dialplan said nothing of this call: the PBX is asked beside the loop.
    fn ask(&mut self, call: CallId, channel: &ChannelId) {
        let Ok(place) = Arc::clone(&self.lookups).try_acquire_owned() else { return };
        let (pbx, beside, channel) = (self.parts.pbx.clone(), self.beside.clone(), channel.clone());
        self.parts.tasks.spawn(async move {
            let headers = read(&pbx, &channel, Readable::Headers).await.unwrap_or_default();
            let presentation = read(&pbx, &channel, Readable::Presentation).await;
            let told = Input::ChannelTold { call, presentation, headers: headers_of(&headers) };
            let _ = beside.send(Brought::Input(Box::new(told))).await;
            drop(place);
        });
    }
}

/// One thing about a channel; `None` when it cannot be had. Just after a start the orders session may come up later
/// than the list that tells of the channel: it is waited for, beside the loop.
pub(super) async fn read(pbx: &Handle, channel: &ChannelId, what: Readable) -> Option<String> {
    let action = Action::getvar(channel.as_str(), what).ok()?;
    let mut outcome = pbx.send(action.clone()).await;
    for _ in 0..READ_TRIES_MAX {
        if outcome != ActionOutcome::NeverSent {
            break;
        }
        tokio::time::sleep(READ_PAUSE).await;
        outcome = pbx.send(action.clone()).await;
    }
    match outcome {
        ActionOutcome::Response(frame) if frame.get("Response") == Some(b"Success") => {
            frame.text("Value").map(|value| value.into_owned()).filter(|value| !value.is_empty())
        }
        _ => None,
    }
}

/// `,PAI1: %3Csip…,From: …` as our dialplan keeps it, or nothing.
fn headers_of(kept: &str) -> Vec<(SmolStr, Vec<u8>)> {
    let pairs = kept.split(',').filter_map(|pair| pair.split_once(": "));
    let mut headers: Vec<_> = pairs
        .take(USER_EVENT_FIELDS_MAX)
        .map(|(name, value)| (SmolStr::new(name), value.as_bytes().to_vec()))
        .collect();
    if !headers.is_empty() {
        headers.push(("Encoding".into(), b"percent".to_vec()));
    }
    headers
}

async fn look_up(directory: &Directory, found: &Found) -> Option<Card> {
    match tokio::time::timeout(LOOKUP_TIMEOUT, directory.card(found)).await {
        Ok(Ok(card)) => Some(card),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the caller could not be looked up");
            None
        }
        Err(_) => {
            tracing::warn!(
                "the caller could not be looked up within {LOOKUP_TIMEOUT:?}; is the store's disk slow?"
            );
            None
        }
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
