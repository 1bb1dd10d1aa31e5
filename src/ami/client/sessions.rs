//! Keeps one of the two sessions connected: connect, run, wait, repeat.
//!
//! Invariant: the task ends only at shutdown or when the consumer of the stream is gone, and never holds more than one
//! connection. Between two connections it waits until the consumer has taken all events: this slows no PBX, and events
//! about failed attempts cannot pile up.
//!
//! | an attempt ended | the next attempt |
//! |---|---|
//! | after a login | after a short delay |
//! | before the login | after a delay that doubles, or as soon as the other session logs in |
//! | with a refused login | after a long delay |
//!
//! Why a login of the other session shortens the delay: it proves that the PBX is back, and an operator who sees calls
//! again must be able to act on them. Each login causes one attempt only: otherwise two sessions of which the PBX
//! accepts one would make each other retry without end.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backlog::EventBacklog;
use super::command_queue::CommandQueue;
use super::connection::{Connection, ConnectionEnd};
use super::transport::Transport;
use super::{ClientEvent, Login, SessionRole, Settings};
use crate::ami::action::EventMask;
use crate::ami::reconnect::ReconnectDelays;
use crate::ami::session::{AmiVersion, CloseReason, SessionSettings};

/// One of the two sessions, over all its connections.
pub(super) struct SessionSlot {
    role: SessionRole,
    pub(super) backlog: EventBacklog,
    /// Number of logins so far.
    epoch: u64,
    /// Whether this session is up.
    is_up: watch::Sender<bool>,
    /// Whether the other session is up.
    other_is_up: watch::Receiver<bool>,
}

impl SessionSlot {
    /// The events session and the actions session.
    pub(super) fn pair(backlog: EventBacklog) -> [Self; 2] {
        let ((events, events_up), (actions, actions_up)) = (watch::channel(false), watch::channel(false));
        let sibling = backlog.sibling();
        [
            Self { role: SessionRole::Events, backlog, epoch: 0, is_up: events, other_is_up: actions_up },
            Self {
                role: SessionRole::Actions,
                backlog: sibling,
                epoch: 0,
                is_up: actions,
                other_is_up: events_up,
            },
        ]
    }

    /// Whether the other session is up, as a receiver that sees each change.
    pub(super) fn other_is_up(&self) -> watch::Receiver<bool> {
        self.other_is_up.clone()
    }

    /// Waits until the other session logs in; if it is up already, until its next login.
    async fn wait_for_login(other_is_up: &mut watch::Receiver<bool>) {
        while other_is_up.changed().await.is_ok() {
            if *other_is_up.borrow_and_update() {
                return;
            }
        }
        // The other session's task ends only at shutdown.
        std::future::pending().await
    }

    pub(super) fn takes_lists(&self) -> bool {
        self.role == SessionRole::Events
    }

    pub(super) fn on_login(&mut self, version: AmiVersion) {
        self.epoch += 1;
        self.backlog.push(match self.role {
            SessionRole::Events => ClientEvent::Up { epoch: self.epoch, version },
            SessionRole::Actions => ClientEvent::ActionsUp,
        });
        self.is_up.send_replace(true);
    }

    fn on_down(&mut self, reason: CloseReason) {
        self.backlog.push(match self.role {
            SessionRole::Events => ClientEvent::Down { epoch: self.epoch, reason },
            SessionRole::Actions => ClientEvent::ActionsDown { reason },
        });
    }

    fn session_settings(&self, settings: &Settings) -> SessionSettings {
        let (Login { username, secret }, events) = match self.role {
            SessionRole::Events => (&settings.events, EventMask::All),
            SessionRole::Actions => (&settings.actions, EventMask::Off),
        };
        SessionSettings {
            username: username.clone(),
            secret: secret.clone(),
            auth: settings.auth,
            events,
            ping: settings.ping,
            seed: (settings.seeds)(),
        }
    }
}

pub(super) async fn run(
    mut slot: SessionSlot,
    settings: Settings,
    mut commands: CommandQueue,
    shutdown: CancellationToken,
) {
    let mut backoff = ReconnectDelays::new(settings.schedule, (settings.seeds)());
    let mut other_is_up = slot.other_is_up();
    while !shutdown.is_cancelled() {
        other_is_up.mark_unchanged();
        let ended = attempt(&mut slot, &settings, &mut commands, &shutdown).await;
        slot.is_up.send_replace(false);
        commands.set_login_refused(ended.refusal.is_some());
        let (session, unreachable) = (slot.role, !ended.was_up && ended.refusal.is_none());
        let retry_in = match &ended.refusal {
            Some(_) => backoff.delay_after_refusal(),
            None => {
                if ended.was_up {
                    backoff.reset();
                }
                backoff.delay_after_loss()
            }
        };
        match ended {
            ConnectionEnd { refusal: Some(refusal), .. } => {
                slot.backlog.push(ClientEvent::LoginRefused { session, refusal, retry_in });
            }
            ConnectionEnd { was_up: true, reason, .. } => slot.on_down(reason),
            ConnectionEnd { reason: CloseReason::Shutdown, .. } => {}
            ConnectionEnd { reason, .. } => {
                slot.backlog.push(ClientEvent::Unreachable { session, reason, retry_in })
            }
        }
        let delay = async {
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = SessionSlot::wait_for_login(&mut other_is_up), if unreachable => backoff.reset(),
            }
        };
        let pause = async { tokio::join!(delay, slot.backlog.flush()).1 };
        tokio::select! {
            has_consumer = pause => if !has_consumer { return },
            () = commands.hold() => {}
            () = shutdown.cancelled() => {}
        }
    }
    commands.close().await;
    slot.backlog.try_flush();
}

async fn attempt(
    slot: &mut SessionSlot,
    settings: &Settings,
    commands: &mut CommandQueue,
    shutdown: &CancellationToken,
) -> ConnectionEnd {
    let transport = tokio::select! {
        connected = Transport::connect(settings) => match connected {
            Ok(transport) => transport,
            Err(error) => {
                let reason = CloseReason::Io(error.to_string());
                return ConnectionEnd { was_up: false, refusal: None, reason };
            }
        },
        ended = commands.hold() => return ended,
        () = shutdown.cancelled() => {
            return ConnectionEnd { was_up: false, refusal: None, reason: CloseReason::Shutdown };
        }
    };
    let session_settings = slot.session_settings(settings);
    Connection::new(session_settings, slot).run(transport, commands, shutdown).await
}
