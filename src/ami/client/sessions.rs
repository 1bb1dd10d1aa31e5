//! Keeps one of the two sessions alive: connect, live, pause, again.
//!
//! Invariant: never ends before the shutdown, and never holds more than one connection. Between two connections it
//! waits for the consumer to take what it was told: no PBX is slowed by that, and news of the link can't pile up.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::link::{Ended, Link};
use super::outbox::Outbox;
use super::wire::Wire;
use super::{ClientEvent, Command, ListError, Login, SessionRole, Settings};
use crate::ami::action::EventMask;
use crate::ami::reconnect::Backoff;
use crate::ami::session::{ActionOutcome, AmiVersion, CloseReason, SessionSettings};

/// What is different between the two sessions.
pub(super) struct Role {
    role: SessionRole,
    pub(super) outbox: Outbox,
    /// Logins so far.
    epoch: u64,
}

impl Role {
    pub(super) fn events(outbox: Outbox) -> Self {
        Self { role: SessionRole::Events, outbox, epoch: 0 }
    }

    pub(super) fn actions(outbox: Outbox) -> Self {
        Self { role: SessionRole::Actions, outbox, epoch: 0 }
    }

    pub(super) fn takes_lists(&self) -> bool {
        self.role == SessionRole::Events
    }

    pub(super) fn logged_in(&mut self, version: AmiVersion) {
        self.epoch += 1;
        self.outbox.push(match self.role {
            SessionRole::Events => ClientEvent::Up { epoch: self.epoch, version },
            SessionRole::Actions => ClientEvent::ActionsUp,
        });
    }

    fn went_down(&mut self, reason: CloseReason) {
        self.outbox.push(match self.role {
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
    mut role: Role,
    settings: Settings,
    mut commands: mpsc::Receiver<Command>,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::new(settings.schedule, (settings.seeds)());
    while !shutdown.is_cancelled() {
        let ended = attempt(&mut role, &settings, &mut commands, &shutdown).await;
        let session = role.role;
        let retry_in = match &ended.refusal {
            Some(_) => backoff.after_refusal(),
            None => {
                if ended.was_up {
                    backoff.succeeded();
                }
                backoff.after_loss()
            }
        };
        match ended {
            Ended { refusal: Some(refusal), .. } => {
                role.outbox.push(ClientEvent::LoginRefused { session, refusal, retry_in });
            }
            Ended { was_up: true, reason, .. } => role.went_down(reason),
            Ended { reason: CloseReason::Shutdown, .. } => {}
            Ended { reason, .. } => role.outbox.push(ClientEvent::Unreachable { session, reason, retry_in }),
        }
        let pause = async { tokio::join!(tokio::time::sleep(retry_in), role.outbox.flush()).1 };
        tokio::pin!(pause);
        loop {
            tokio::select! {
                listened_to = &mut pause => if listened_to { break } else { return },
                Some(command) = commands.recv() => refuse(command),
                () = shutdown.cancelled() => break,
            }
        }
    }
    commands.close();
    while let Some(command) = commands.recv().await {
        refuse(command);
    }
    role.outbox.try_flush();
}

async fn attempt(
    role: &mut Role,
    settings: &Settings,
    commands: &mut mpsc::Receiver<Command>,
    shutdown: &CancellationToken,
) -> Ended {
    let connecting = Wire::connect(settings);
    tokio::pin!(connecting);
    let wire = loop {
        tokio::select! {
            connected = &mut connecting => match connected {
                Ok(wire) => break wire,
                Err(error) => {
                    let reason = CloseReason::Io(error.to_string());
                    return Ended { was_up: false, refusal: None, reason };
                }
            },
            Some(command) = commands.recv() => refuse(command),
            () = shutdown.cancelled() => {
                return Ended { was_up: false, refusal: None, reason: CloseReason::Shutdown };
            }
        }
    };
    let session_settings = role.session_settings(settings);
    Link::new(session_settings, role).run(wire, commands, shutdown).await
}

/// Answers a command that comes while there is no session. A caller that is gone needs no answer.
fn refuse(command: Command) {
    match command {
        Command::Order { reply, .. } => drop(reply.send(ActionOutcome::NeverSent)),
        Command::List { reply, .. } => drop(reply.send(Err(ListError::NeverSent))),
        Command::Resync => {}
    }
}
