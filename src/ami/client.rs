//! The client of one PBX as tokio tasks: two sessions, one stream of events, one [`Handle`] for actions.
//!
//! Invariant: the task that reads events never waits for their consumer. Each session buffers up to
//! [`AMI_BACKLOG_BYTES_MAX`] that the consumer has not taken; beyond that it drops frames and reports them as one
//! [`ClientEvent::Overrun`]. No failure is final: both sessions reconnect by themselves (see [`super::reconnect`]).
//!
//! Why two sessions: one thread of Asterisk serves one session, so a slow action would delay events. The events
//! session also takes the lists, because the PBX then orders them with the events.
//!
//! After each login, and after each [`Handle::resync`], the stream carries [`ClientEvent::Started`], then for each
//! [`ListKind`] its begin, items and end, then [`ClientEvent::ResyncEnded`]; live frames stand between them in wire
//! order. A list item may be older than a live frame before it: apply lists idempotently.
//!
//! | situation | what the caller of [`Handle::send`] gets |
//! |---|---|
//! | the actions session is up | the PBX's response, or [`ActionOutcome::OutcomeUnknown`] after [`ACTION_TIMEOUT`] |
//! | only the actions session is down | the same, once it logs in; [`ActionOutcome::NeverSent`] after [`ACTION_HOLD_TIMEOUT`] |
//! | [`ACTIONS_QUEUED_MAX`] actions wait already | [`ActionOutcome::NeverSent`] at once |
//! | both sessions are down, or the login was refused | [`ActionOutcome::NeverSent`] at once |
//! | the connection ends after the action was sent | [`ActionOutcome::OutcomeUnknown`] |
//!
//! Read next: `sessions` (one session, reconnected for ever), `connection` (one connection), `command_queue` (where
//! actions wait), then `backlog` (the queue that never blocks its writer).

mod backlog;
mod command_queue;
mod connection;
mod sessions;
mod transport;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::action::Action;
use super::event::PbxEvent;
use super::frame::Frame;
use super::quarantine::Quarantined;
use super::reconnect::Schedule;
use super::session::{ActionOutcome, AmiVersion, Auth, CloseReason, ListEnd, LoginRefusal, PING_INTERVAL};
use super::tls::Tls;
use crate::secret::Secret;
use backlog::EventBacklog;
pub use backlog::{AMI_BACKLOG_BYTES_MAX, Events};
use command_queue::CommandQueue;
use sessions::SessionSlot;

/// How long a TCP connection and its TLS handshake may take together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an action may stay unanswered before its outcome counts as unknown.
pub const ACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an action may wait for its session to log in while the events session is up.
pub const ACTION_HOLD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a list may take.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most actions that wait for their session to take them, and most that wait for its login.
pub const ACTIONS_QUEUED_MAX: usize = 64;
/// Most frames of a list that [`Handle::list`] collects.
pub const LIST_FRAMES_MAX: usize = 100_000;

/// A manager user.
#[derive(Debug, Clone)]
pub struct Login {
    /// Its name in manager.conf.
    pub username: String,
    /// Its secret.
    pub secret: Secret,
}

/// Where a PBX is and how to log in there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host name or address.
    pub host: String,
    /// Port, 5038 or, with TLS, 5039.
    pub port: u16,
    /// TLS, if the PBX speaks it there.
    pub tls: Option<Tls>,
    /// The user that reads events and lists.
    pub events: Login,
    /// The user that sends actions.
    pub actions: Login,
    /// How the secrets are proven.
    pub auth: Auth,
    /// Time between two pings, and how long one may stay unanswered.
    pub ping: Duration,
    /// Delays between attempts.
    pub schedule: Schedule,
    /// Source of 64 random bits, called for each connection; the caller owns the randomness.
    pub seeds: fn() -> u64,
}

impl Settings {
    /// Settings with the usual times, MD5 login and no TLS.
    #[must_use]
    pub fn new(host: &str, port: u16, events: Login, actions: Login, seeds: fn() -> u64) -> Self {
        Self {
            host: host.to_owned(),
            port,
            tls: None,
            events,
            actions,
            auth: Auth::Md5,
            ping: PING_INTERVAL,
            schedule: Schedule::default(),
            seeds,
        }
    }
}

/// The lists of a resync, in the order the client requests them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `CoreShowChannels`.
    Channels,
    /// `BridgeList`.
    Bridges,
    /// `QueueStatus`.
    Queues,
    /// `DeviceStateList`.
    Devices,
}

impl ListKind {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Channels, Self::Bridges, Self::Queues, Self::Devices];

    fn action(self) -> Action {
        match self {
            Self::Channels => Action::core_show_channels(),
            Self::Bridges => Action::bridge_list(),
            Self::Queues => Action::queue_status(),
            Self::Devices => Action::device_state_list(),
        }
    }
}

/// How a list of a resync ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListResult {
    /// The list is complete.
    Complete,
    /// The PBX refused the list, with this message: a permission or a module is missing. The other lists are valid.
    Refused(String),
    /// The list is incomplete: a channel that it lacks may exist.
    Incomplete(ListEnd),
}

/// Which of the two sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionRole {
    /// Events and lists.
    Events,
    /// Actions.
    Actions,
}

/// What happens at the PBX and to the two sessions. The events of one session are in order; between the events of the
/// two sessions there is no order.
#[derive(Debug, Clone)]
pub enum ClientEvent<E = PbxEvent> {
    /// The events session is logged in. Each login is an epoch of its own.
    Up {
        /// Counts the logins of this process, from 1.
        epoch: u64,
        /// Which AMI.
        version: AmiVersion,
    },
    /// When the PBX started, in its own format and time zone. A different text than before means that the PBX has
    /// restarted, and all earlier channels have ended. `None` when the PBX does not answer the question.
    Started {
        /// For instance `2026-03-01 08:15:00`.
        at: Option<String>,
    },
    /// A live event of the PBX.
    Pbx(E),
    /// A list of a resync begins.
    ListBegin(ListKind),
    /// An item of the list.
    ListItem(ListKind, E),
    /// The list ends; a refused list has no begin.
    ListEnd(ListKind, ListResult),
    /// Every list of a resync has ended. If not complete, call [`Handle::resync`] again.
    ResyncEnded {
        /// Whether no list is [`ListResult::Incomplete`].
        complete: bool,
    },
    /// A frame was set aside (see [`super::quarantine`]); call [`Handle::resync`].
    Quarantined(Quarantined),
    /// The consumer was too slow, and frames were dropped at this point; call [`Handle::resync`].
    Overrun {
        /// How many frames are missing.
        dropped: u64,
    },
    /// The events session ended: from here on the state of the PBX is unknown.
    Down {
        /// The epoch that ended.
        epoch: u64,
        /// Why.
        reason: CloseReason,
    },
    /// The actions session is logged in.
    ActionsUp,
    /// The actions session ended. Actions wait for it up to [`ACTION_HOLD_TIMEOUT`] while the events session is up,
    /// and are then answered with [`ActionOutcome::NeverSent`]; if both sessions are down, at once.
    ActionsDown {
        /// Why.
        reason: CloseReason,
    },
    /// The PBX refused a login; the client tries again after a long delay.
    LoginRefused {
        /// The session.
        session: SessionRole,
        /// Why.
        refusal: LoginRefusal,
        /// Time until the next attempt.
        retry_in: Duration,
    },
    /// A connection attempt ended before the login.
    Unreachable {
        /// The session.
        session: SessionRole,
        /// Why.
        reason: CloseReason,
        /// Time until the next attempt.
        retry_in: Duration,
    },
}

impl ClientEvent<Frame> {
    fn decode(self) -> ClientEvent {
        match self {
            Self::Pbx(frame) => ClientEvent::Pbx(PbxEvent::decode(&frame)),
            Self::ListItem(kind, frame) => ClientEvent::ListItem(kind, PbxEvent::decode(&frame)),
            Self::Up { epoch, version } => ClientEvent::Up { epoch, version },
            Self::Started { at } => ClientEvent::Started { at },
            Self::ListBegin(kind) => ClientEvent::ListBegin(kind),
            Self::ListEnd(kind, result) => ClientEvent::ListEnd(kind, result),
            Self::ResyncEnded { complete } => ClientEvent::ResyncEnded { complete },
            Self::Quarantined(quarantined) => ClientEvent::Quarantined(quarantined),
            Self::Overrun { dropped } => ClientEvent::Overrun { dropped },
            Self::Down { epoch, reason } => ClientEvent::Down { epoch, reason },
            Self::ActionsUp => ClientEvent::ActionsUp,
            Self::ActionsDown { reason } => ClientEvent::ActionsDown { reason },
            Self::LoginRefused { session, refusal, retry_in } => {
                ClientEvent::LoginRefused { session, refusal, retry_in }
            }
            Self::Unreachable { session, reason, retry_in } => {
                ClientEvent::Unreachable { session, reason, retry_in }
            }
        }
    }
}

/// Why [`Handle::list`] has no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The session is down, or its queue is full.
    #[error("the link to the PBX is down")]
    NeverSent,
    /// The PBX refused the list.
    #[error("the PBX refused the list: {0}")]
    Refused(String),
    /// The list is incomplete.
    #[error("the list is incomplete ({0:?})")]
    Incomplete(ListEnd),
    /// The list has more than [`LIST_FRAMES_MAX`] items.
    #[error("the list has more than {LIST_FRAMES_MAX} items")]
    TooLong,
}

/// A request from a [`Handle`] to a session task.
enum Command {
    Action { action: Action, reply: oneshot::Sender<ActionOutcome> },
    List { action: Action, reply: oneshot::Sender<Result<Vec<Frame>, ListError>> },
    Resync,
}

/// Sends actions to the PBX; clone it freely. The sessions end with the shutdown token, not with the last handle.
#[derive(Debug, Clone)]
pub struct Handle {
    actions: mpsc::Sender<Command>,
    events: mpsc::Sender<Command>,
    tasks: TaskTracker,
}

/// Starts the two sessions. They log off and end when `shutdown` is cancelled.
#[must_use]
pub fn connect(settings: Settings, shutdown: CancellationToken) -> (Handle, Events) {
    let (actions, action_commands) = mpsc::channel(ACTIONS_QUEUED_MAX);
    let (events, event_commands) = mpsc::channel(ACTIONS_QUEUED_MAX);
    let (backlog, stream) = EventBacklog::new();
    let tasks = TaskTracker::new();
    let [events_slot, actions_slot] = SessionSlot::pair(backlog);
    let event_commands = CommandQueue::new(event_commands, None);
    let action_commands = CommandQueue::new(action_commands, Some(actions_slot.other_is_up()));
    tasks.spawn(sessions::run(events_slot, settings.clone(), event_commands, shutdown.clone()));
    tasks.spawn(sessions::run(actions_slot, settings, action_commands, shutdown));
    tasks.close();
    (Handle { actions, events, tasks }, stream)
}

impl Handle {
    /// Sends an action. A response of success means that the PBX accepted the action; an event confirms its effect.
    /// While only the actions session is down, the action waits up to [`ACTION_HOLD_TIMEOUT`].
    pub async fn send(&self, action: Action) -> ActionOutcome {
        let (reply, outcome) = oneshot::channel();
        if self.actions.try_send(Command::Action { action, reply }).is_err() {
            return ActionOutcome::NeverSent;
        }
        outcome.await.unwrap_or(ActionOutcome::OutcomeUnknown)
    }

    /// Sends an action on the events session, for what only its user may read (`CoreSettings`, `ListCommands`).
    pub async fn ask(&self, action: Action) -> ActionOutcome {
        let (reply, outcome) = oneshot::channel();
        if self.events.try_send(Command::Action { action, reply }).is_err() {
            return ActionOutcome::NeverSent;
        }
        outcome.await.unwrap_or(ActionOutcome::OutcomeUnknown)
    }

    /// Takes a list on the events session and decodes it; the stream does not carry it.
    ///
    /// # Errors
    /// [`ListError`]: there is no complete list.
    pub async fn list(&self, action: Action) -> Result<Vec<PbxEvent>, ListError> {
        Ok(self.list_frames(action).await?.iter().map(PbxEvent::decode).collect())
    }

    /// As [`Self::list`], undecoded: for lists that are no state of the PBX, such as its dialplan.
    ///
    /// # Errors
    /// [`ListError`]: there is no complete list.
    pub async fn list_frames(&self, action: Action) -> Result<Vec<Frame>, ListError> {
        let (reply, outcome) = oneshot::channel();
        if self.events.try_send(Command::List { action, reply }).is_err() {
            return Err(ListError::NeverSent);
        }
        outcome.await.unwrap_or(Err(ListError::NeverSent))
    }

    /// Requests all lists again, into the stream. Several calls during one resync cause one more resync. While the
    /// events session is down this does nothing: the next login takes the lists.
    pub fn resync(&self) {
        // A full queue means that the task is behind: it holds a Resync already, or it will report an overrun.
        let _ = self.events.try_send(Command::Resync);
    }

    /// Waits until both sessions have ended after a shutdown.
    pub async fn closed(&self) {
        self.tasks.wait().await;
    }
}
