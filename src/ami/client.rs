//! The link to one PBX as tokio tasks: two logins, one stream of what happens, one place to send orders.
//!
//! Invariant: the task that reads events never waits for whoever consumes them. What the consumer does not take
//! is held up to [`AMI_BACKLOG_BYTES_MAX`]; beyond that it is dropped and told as one [`ClientEvent::Overrun`].
//! No failure is final: both sessions come back by themselves (see [`super::reconnect`]).
//!
//! Why two sessions: one thread of Asterisk serves one session, so an order that takes long would hold up events.
//! The events session also takes the lists, because then the PBX itself puts them in order with the events.
//!
//! After each login, and after each [`Handle::resync`], the stream carries: [`ClientEvent::Started`], then for each
//! [`ListKind`] its begin, items and end, then [`ClientEvent::ListsTaken`]; live frames stand between them in the
//! order of the wire. A list item may be older than a live frame before it: apply lists idempotently.
//!
//! Read next: [`sessions`] (one session, again and again), [`link`] (one connection), [`intake`] (where orders wait), then
//! [`outbox`] (the queue that never blocks its writer).

mod intake;
mod link;
mod outbox;
mod sessions;
mod wire;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::action::Action;
use super::frame::Frame;
use super::quarantine::Quarantined;
use super::reconnect::Schedule;
use super::session::{ActionOutcome, AmiVersion, Auth, CloseReason, ListEnd, LoginRefusal, PING_INTERVAL};
use super::tls::Tls;
use crate::secret::Secret;
use intake::Intake;
use outbox::Outbox;
pub use outbox::{AMI_BACKLOG_BYTES_MAX, Events};
use sessions::Role;

/// How long a TCP connection and its TLS handshake may take together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an order may stay unanswered before its fate counts as unknown.
pub const ACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an order may wait for its session to log in while the other session says that the PBX is there.
pub const ORDER_HELD_MAX: Duration = Duration::from_secs(5);
/// How long a list may take.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most orders that wait to be handed to a session, and most that wait for its login.
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
    /// Who reads events and lists.
    pub events: Login,
    /// Who gives orders.
    pub actions: Login,
    /// How the secrets are proven.
    pub auth: Auth,
    /// Pause between two pings, and how long one may stay unanswered.
    pub ping: Duration,
    /// Pauses between attempts.
    pub schedule: Schedule,
    /// 64 random bits, asked for anew at each connection; the caller owns the randomness.
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

/// The lists of a resync, in the order they are taken.
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
    /// It is whole.
    Complete,
    /// The PBX does not give it, in its words: a class is missing, or a module. The other lists stand.
    Refused(String),
    /// It is not whole: what is missing from it may exist.
    Incomplete(ListEnd),
}

/// Which of the two sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionRole {
    /// Events and lists.
    Events,
    /// Orders.
    Actions,
}

/// What happens at the PBX and to the link, in order.
#[derive(Debug, Clone)]
pub enum ClientEvent {
    /// The events session is logged in. Each login is an epoch of its own.
    Up {
        /// Counts the logins of this process, from 1.
        epoch: u64,
        /// Which AMI.
        version: AmiVersion,
    },
    /// When the PBX started, in its own words and time zone: another text than before means a restart, and then
    /// everything of before has ended. `None` when the PBX does not say.
    Started {
        /// For instance `2026-03-01 08:15:00`.
        at: Option<String>,
    },
    /// Something happened.
    Frame(Frame),
    /// A list of a resync begins.
    ListBegin(ListKind),
    /// An item of it.
    ListItem(ListKind, Frame),
    /// It ends; without a beginning when it was refused.
    ListEnd(ListKind, ListResult),
    /// Every list of a resync has ended. When not complete, call [`Handle::resync`] again.
    ListsTaken {
        /// Whether no list is [`ListResult::Incomplete`].
        complete: bool,
    },
    /// A frame was set aside; call [`Handle::resync`].
    Quarantined(Quarantined),
    /// The consumer was too slow and this much was dropped here; call [`Handle::resync`].
    Overrun {
        /// How many frames are missing.
        dropped: u64,
    },
    /// The events session ended: from here on the PBX is unknown.
    Down {
        /// Of which epoch.
        epoch: u64,
        /// Why.
        reason: CloseReason,
    },
    /// The orders session is logged in.
    ActionsUp,
    /// The orders session ended. Orders wait for it while the events session is up, [`ORDER_HELD_MAX`] at most, and are
    /// then answered with [`ActionOutcome::NeverSent`]; where both are down they are at once.
    ActionsDown {
        /// Why.
        reason: CloseReason,
    },
    /// A login was refused; it is tried again after a long pause.
    LoginRefused {
        /// Whose.
        session: SessionRole,
        /// Why.
        refusal: LoginRefusal,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// An attempt ended before the login.
    Unreachable {
        /// Whose.
        session: SessionRole,
        /// Why.
        reason: CloseReason,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

/// Why [`Handle::list`] has no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The session is down, or too much waits already.
    #[error("the link to the PBX is down")]
    NeverSent,
    /// The PBX said no.
    #[error("the PBX says: {0}")]
    Refused(String),
    /// It did not come whole.
    #[error("the list broke off ({0:?})")]
    Incomplete(ListEnd),
    /// It has more than [`LIST_FRAMES_MAX`] items.
    #[error("the list has more than {LIST_FRAMES_MAX} items")]
    TooLong,
}

/// What the tasks take from a [`Handle`].
enum Command {
    Order { action: Action, reply: oneshot::Sender<ActionOutcome> },
    List { action: Action, reply: oneshot::Sender<Result<Vec<Frame>, ListError>> },
    Resync,
}

/// Gives orders to the PBX; clone it freely. The link ends with the shutdown token, not with the handles.
#[derive(Debug, Clone)]
pub struct Handle {
    orders: mpsc::Sender<Command>,
    events: mpsc::Sender<Command>,
    tasks: TaskTracker,
}

/// Starts the two sessions. They end, politely, when `shutdown` is cancelled.
#[must_use]
pub fn connect(settings: Settings, shutdown: CancellationToken) -> (Handle, Events) {
    let (orders, order_commands) = mpsc::channel(ACTIONS_QUEUED_MAX);
    let (events, event_commands) = mpsc::channel(ACTIONS_QUEUED_MAX);
    let (outbox, stream) = Outbox::new();
    let tasks = TaskTracker::new();
    let [for_events, for_orders] = Role::both(outbox);
    let questions = Intake::new(event_commands, None);
    let waiting_orders = Intake::new(order_commands, Some(for_orders.other()));
    tasks.spawn(sessions::run(for_events, settings.clone(), questions, shutdown.clone()));
    tasks.spawn(sessions::run(for_orders, settings, waiting_orders, shutdown));
    tasks.close();
    (Handle { orders, events, tasks }, stream)
}

impl Handle {
    /// Sends an order. An accepted order is not a done one: its proof is an event. While the PBX is there and only the
    /// session for orders is not, the order waits, [`ORDER_HELD_MAX`] at most.
    pub async fn send(&self, action: Action) -> ActionOutcome {
        let (reply, outcome) = oneshot::channel();
        if self.orders.try_send(Command::Order { action, reply }).is_err() {
            return ActionOutcome::NeverSent;
        }
        outcome.await.unwrap_or(ActionOutcome::SentFateUnknown)
    }

    /// Asks the events session, for what only its user may read (`CoreSettings`, `ListCommands`).
    pub async fn ask(&self, action: Action) -> ActionOutcome {
        let (reply, outcome) = oneshot::channel();
        if self.events.try_send(Command::Order { action, reply }).is_err() {
            return ActionOutcome::NeverSent;
        }
        outcome.await.unwrap_or(ActionOutcome::SentFateUnknown)
    }

    /// Takes a list on the events session and collects it; the stream does not carry it.
    ///
    /// # Errors
    /// [`ListError`]: there is no whole list.
    pub async fn list(&self, action: Action) -> Result<Vec<Frame>, ListError> {
        let (reply, outcome) = oneshot::channel();
        if self.events.try_send(Command::List { action, reply }).is_err() {
            return Err(ListError::NeverSent);
        }
        outcome.await.unwrap_or(Err(ListError::NeverSent))
    }

    /// Asks for all lists again, into the stream. Several calls during one resync lead to one more. While the link
    /// is down this does nothing: the next login takes the lists anyway.
    pub fn resync(&self) {
        // A full queue means that the task is behind; it then holds a Resync or will overrun and be asked again.
        let _ = self.events.try_send(Command::Resync);
    }

    /// Waits until both sessions have ended after a shutdown.
    pub async fn closed(&self) {
        self.tasks.wait().await;
    }
}
