//! Keeps one of the two sessions alive: connect, live, pause, again.
//!
//! Invariant: never ends before the shutdown, and never holds more than one connection. Between two connections it
//! waits for the consumer to take what it was told: no PBX is slowed by that, and news of the link can't pile up.
//!
//! | an attempt ended | the next |
//! |---|---|
//! | with a session that was lost | after a short pause |
//! | before the login | after a pause that doubles, or as soon as the other session logs in |
//! | with a refusal | after a long pause |
//!
//! Why a login of the other session counts: it proves that the PBX is back, and whoever sees calls again must be able
//! to give orders for them. One login, one attempt: a PBX that lets in only one of the two is not tried in a circle.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::link::{Ended, Link};
use super::outbox::Outbox;
use super::wire::Wire;
use super::{ClientEvent, Login, SessionRole, Settings};
use crate::ami::action::EventMask;
use crate::ami::reconnect::Backoff;
use crate::ami::session::{AmiVersion, CloseReason, SessionSettings};

/// What is different between the two sessions.
pub(super) struct Role {
    role: SessionRole,
    pub(super) outbox: Outbox,
    /// Logins so far.
    epoch: u64,
    /// Whether this session is up.
    up: watch::Sender<bool>,
    /// Whether the other one is.
    other: watch::Receiver<bool>,
}

impl Role {
    /// The session for events and the one for orders.
    pub(super) fn both(outbox: Outbox) -> [Self; 2] {
        let ((events, events_up), (actions, actions_up)) = (watch::channel(false), watch::channel(false));
        let sibling = outbox.sibling();
        [
            Self { role: SessionRole::Events, outbox, epoch: 0, up: events, other: actions_up },
            Self { role: SessionRole::Actions, outbox: sibling, epoch: 0, up: actions, other: events_up },
        ]
    }

    /// Whether the other session is up, for whoever waits for it.
    pub(super) fn other(&self) -> watch::Receiver<bool> {
        self.other.clone()
    }

    /// Waits until the other session logs in; one that is up already has to do so again.
    async fn other_logs_in(other: &mut watch::Receiver<bool>) {
        while other.changed().await.is_ok() {
            if *other.borrow_and_update() {
                return;
            }
        }
        // Its task ends with the shutdown alone.
        std::future::pending().await
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
        self.up.send_replace(true);
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

pub(super) async fn run(mut role: Role, settings: Settings, mut intake: Intake, shutdown: CancellationToken) {
    let mut backoff = Backoff::new(settings.schedule, (settings.seeds)());
    let mut other = role.other();
    while !shutdown.is_cancelled() {
        other.mark_unchanged();
        let ended = attempt(&mut role, &settings, &mut intake, &shutdown).await;
        role.up.send_replace(false);
        intake.login_refused(ended.refusal.is_some());
        let (session, found_nobody) = (role.role, !ended.was_up && ended.refusal.is_none());
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
        let slept = async {
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = Role::other_logs_in(&mut other), if found_nobody => backoff.succeeded(),
            }
        };
        let pause = async { tokio::join!(slept, role.outbox.flush()).1 };
        tokio::select! {
            listened_to = pause => if !listened_to { return },
            () = intake.wait() => {}
            () = shutdown.cancelled() => {}
        }
    }
    intake.close().await;
    role.outbox.try_flush();
}

async fn attempt(
    role: &mut Role,
    settings: &Settings,
    intake: &mut Intake,
    shutdown: &CancellationToken,
) -> Ended {
    let wire = tokio::select! {
        connected = Wire::connect(settings) => match connected {
            Ok(wire) => wire,
            Err(error) => {
                let reason = CloseReason::Io(error.to_string());
                return Ended { was_up: false, refusal: None, reason };
            }
        },
        ended = intake.wait() => return ended,
        () = shutdown.cancelled() => {
            return Ended { was_up: false, refusal: None, reason: CloseReason::Shutdown };
        }
    };
    let session_settings = role.session_settings(settings);
    Link::new(session_settings, role).run(wire, intake, shutdown).await
}
