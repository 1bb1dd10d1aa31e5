//! One login to a PBX as a state machine: no socket, no clock, no randomness.
//!
//! Invariant: the outputs depend only on the inputs. `now` is a parameter of every method that needs it, and the seed
//! of the ActionIDs is a setting. After each `handle_*` the owner drains [`Session::poll_transmit`] and
//! [`Session::poll_event`] and arms one timer with [`Session::poll_timeout`].
//!
//! | state | input | result |
//! |---|---|---|
//! | Greeting | banner | sends `Challenge` (MD5) → Challenging, or `Login` → LoggingIn |
//! | Challenging | response with a challenge | sends `Login` with the digest → LoggingIn |
//! | LoggingIn | `Response: Success` | [`SessionEvent::LoggedIn`] → Up, the first ping is due in `ping` |
//! | Challenging, LoggingIn | another response to our action, or a refusal without an ActionID | [`SessionEvent::LoginRefused`] → Closed |
//! | before Up | an event | dropped |
//! | before Up | [`LOGIN_TIMEOUT`] | [`CloseReason::LoginTimeout`] → Closed |
//! | Up | an event | [`SessionEvent::Frame`], or [`SessionEvent::ListItem`] when it belongs to an open list |
//! | Up | a response to an action of this session | [`SessionEvent::Answered`] or [`SessionEvent::ListBegin`] |
//! | Up | a response, list item or list end after the action's end | dropped |
//! | any but Closed | another response to no action of this session | [`SessionEvent::Quarantined`], never acted upon |
//! | any but Closed | a quarantined frame | [`SessionEvent::Quarantined`]; open lists end as [`ListEnd::ItemsLost`] |
//! | Up | an action's deadline | [`ActionOutcome::OutcomeUnknown`], [`ActionOutcome::NeverSent`] or [`ListEnd::TimedOut`] |
//! | Up | a ping unanswered and no frame received for `ping` | [`CloseReason::Silent`] → Closed |
//! | any | a broken limit, [`Session::close`] | every open action gets its outcome, then [`SessionEvent::Closed`] |
//! | Closed | anything | ignored |
//!
//! Read next: [`super::client`], which gives it a socket and a clock.

mod login;
mod pending;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::action::{Action, ActionId, EventMask, ResponseKind};
use super::frame::{Decoded, Frame, FrameCodec, FrameKind};
use super::quarantine::{QuarantineReason, Quarantined};
use crate::secret::Secret;
pub use login::{AmiVersion, Auth, LoginRefusal};
use pending::{Pending, PendingActions, Purpose};

/// How long greeting and login may take together. Asterisk itself waits 1 s before it refuses a login.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The usual time between two pings, and the time-out of one; Asterisk sends no keepalive.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Most actions of one session that wait for their responses.
pub const PENDING_ACTIONS_MAX: usize = 256;

/// The user that logs in, and how.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The user's name in manager.conf.
    pub username: String,
    /// The user's secret.
    pub secret: Secret,
    /// How the secret is proven.
    pub auth: Auth,
    /// The events that the session receives.
    pub events: EventMask,
    /// Time between two pings, and how long one may stay unanswered while no other frame arrives.
    pub ping: Duration,
    /// 64 random bits, new for each connection, so that a caller cannot guess an ActionID.
    pub seed: u64,
}

/// Identifies an action of this session, from [`Session::send`] to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionToken(u64);

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionOutcome {
    /// The action was not sent; the caller may retry it.
    NeverSent,
    /// The action was sent, and no response arrived. The PBX may have carried it out: only an event shows that.
    OutcomeUnknown,
    /// The PBX responded, with success or an error.
    Response(Frame),
}

impl ActionOutcome {
    /// Whether the PBX accepted the action. An event, not this response, confirms the effect.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Response(frame) if frame.get("Response") == Some(b"Success"))
    }

    /// The message in the PBX's response, if there is one.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Response(frame) => frame.text("Message").map(std::borrow::Cow::into_owned),
            Self::NeverSent | Self::OutcomeUnknown => None,
        }
    }
}

/// How a list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListEnd {
    /// All items arrived.
    Complete,
    /// Items may be missing: the quarantine took a frame, or the backlog was full.
    ItemsLost,
    /// The PBX cancelled the list.
    Cancelled,
    /// The list did not end in time.
    TimedOut,
    /// The connection ended first.
    ConnectionLost,
}

/// Why the session did not take an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The session is not, or no longer, logged in.
    #[error("the session with the PBX is not up")]
    NotUp,
    /// [`PENDING_ACTIONS_MAX`] actions wait already.
    #[error("{PENDING_ACTIONS_MAX} actions already wait for a response of the PBX")]
    TooMany,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The login was refused.
    #[error("the PBX refused the login")]
    LoginRefused,
    /// Greeting and login took too long.
    #[error("no login within {} s", LOGIN_TIMEOUT.as_secs())]
    LoginTimeout,
    /// Pings were not answered.
    #[error("the PBX answered no ping")]
    Silent,
    /// The stream broke a limit of the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The PBX ended the connection.
    #[error("the PBX closed the connection")]
    ClosedByPeer,
    /// The socket failed.
    #[error("{0}")]
    Io(String),
    /// The daemon ended it.
    #[error("shut down")]
    Shutdown,
}

/// An output for the owner.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// The login was accepted.
    LoggedIn(AmiVersion),
    /// The login was refused; [`SessionEvent::Closed`] follows.
    LoginRefused(LoginRefusal),
    /// A live event of the PBX.
    Frame(Frame),
    /// A frame was set aside; the owner should request the lists again.
    Quarantined(Quarantined),
    /// A list begins.
    ListBegin(ActionToken),
    /// An item of a list; it may be older than events that arrived before it.
    ListItem(ActionToken, Frame),
    /// A list ends.
    ListEnd(ActionToken, ListEnd),
    /// An action ended. A refused list ends like this, without a begin.
    Answered(ActionToken, ActionOutcome),
    /// The session is over; nothing follows.
    Closed(CloseReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Challenging,
    LoggingIn,
    Up,
    Closed,
}

/// The state machine; see the module.
#[derive(Debug)]
pub struct Session {
    settings: SessionSettings,
    state: State,
    codec: FrameCodec,
    version: AmiVersion,
    pending: PendingActions,
    /// The number of the next action.
    next_number: u64,
    /// Actions not yet taken by [`Session::poll_transmit`].
    unsent: VecDeque<(ActionToken, Vec<u8>)>,
    events: VecDeque<SessionEvent>,
    /// Deadline of the login.
    login_due: Instant,
    /// When the next ping is due; `None` while one is unanswered.
    ping_due: Option<Instant>,
    /// When the last frame arrived.
    last_frame_at: Instant,
}

impl Session {
    /// A session on a connection that was just made.
    #[must_use]
    pub fn new(settings: SessionSettings, now: Instant) -> Self {
        Self {
            settings,
            state: State::Greeting,
            codec: FrameCodec::new(),
            version: AmiVersion::default(),
            pending: PendingActions::default(),
            next_number: 1,
            unsent: VecDeque::new(),
            events: VecDeque::new(),
            login_due: now + LOGIN_TIMEOUT,
            ping_due: None,
            last_frame_at: now,
        }
    }

    /// Whether actions can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Handles bytes from the socket; complete frames are removed from `bytes`.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &mut BytesMut) {
        while self.state != State::Closed {
            match self.codec.decode(bytes) {
                Ok(Some(decoded)) => self.handle_decoded(now, decoded),
                Ok(None) => return,
                Err(error) => self.close(CloseReason::Protocol(error.to_string())),
            }
        }
    }

    /// Handles one decoded piece of the stream.
    pub fn handle_decoded(&mut self, now: Instant, decoded: Decoded) {
        if self.state == State::Closed {
            return;
        }
        self.last_frame_at = now;
        match decoded {
            Decoded::Banner(version) => self.handle_banner(&version),
            Decoded::Frame(frame) if frame.kind() == FrameKind::Response => self.handle_response(now, frame),
            Decoded::Frame(frame) => self.handle_event(frame),
            Decoded::Quarantined(quarantined) => self.quarantine(quarantined),
        }
    }

    /// Handles due timers; call it at [`Session::poll_timeout`]. Early or late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Closed => {}
            State::Greeting | State::Challenging | State::LoggingIn => {
                if now >= self.login_due {
                    self.close(CloseReason::LoginTimeout);
                }
            }
            State::Up => {
                while let Some((token, pending)) = self.pending.take_due(now) {
                    match pending.purpose {
                        Purpose::Ping if now < self.last_frame_at + self.settings.ping => {
                            let deadline = self.last_frame_at + self.settings.ping;
                            self.pending.insert(token, Pending { deadline, ..pending });
                        }
                        Purpose::Ping => return self.close(CloseReason::Silent),
                        _ => self.end_action(token, &pending, ListEnd::TimedOut),
                    }
                }
                if self.ping_due.is_some_and(|due| now >= due) {
                    self.ping_due = None;
                    self.enqueue(&Action::ping(), Purpose::Ping, now + self.settings.ping);
                }
            }
        }
    }

    /// Sends `action`. Its end is reported as [`SessionEvent::Answered`] or [`SessionEvent::ListEnd`], after `timeout` at
    /// the latest.
    ///
    /// # Errors
    /// [`SendError`]: the action was not sent and will not be.
    pub fn send(
        &mut self,
        now: Instant,
        action: &Action,
        timeout: Duration,
    ) -> Result<ActionToken, SendError> {
        if self.state != State::Up {
            return Err(SendError::NotUp);
        }
        if self.pending.len() >= PENDING_ACTIONS_MAX {
            return Err(SendError::TooMany);
        }
        let purpose = match action.response_kind() {
            ResponseKind::Single => Purpose::Action,
            ResponseKind::List => Purpose::ListRequested,
        };
        Ok(self.enqueue(action, purpose, now + timeout))
    }

    /// Ends the session: every open action gets its outcome. The owner closes the connection.
    pub fn close(&mut self, reason: CloseReason) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.unsent.clear();
        while let Some((token, pending)) = self.pending.take_first() {
            self.end_action(token, &pending, ListEnd::ConnectionLost);
        }
        self.events.push_back(SessionEvent::Closed(reason));
    }

    /// The bytes of a Logoff, for the owner to write before it closes the connection.
    pub fn logoff(&mut self) -> Vec<u8> {
        self.next_number += 1;
        Action::logoff().encode(&ActionId::new(self.settings.seed, self.next_number - 1))
    }

    /// The next bytes for the socket: one whole action. From here on it counts as sent.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let (token, bytes) = self.unsent.pop_front()?;
        self.pending.mark_sent(token);
        Some(bytes)
    }

    /// The next event for the owner.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// When to call [`Session::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Greeting | State::Challenging | State::LoggingIn => Some(self.login_due),
            State::Up => self.pending.next_deadline().into_iter().chain(self.ping_due).min(),
        }
    }

    fn handle_banner(&mut self, version: &[u8]) {
        self.version = AmiVersion::parse(version);
        match self.settings.auth {
            Auth::Md5 => {
                self.enqueue(&Action::challenge(), Purpose::Challenge, self.login_due);
                self.state = State::Challenging;
            }
            Auth::Plain => {
                let SessionSettings { username, secret, events, .. } = &self.settings;
                self.login(Action::login_plain(username, secret, *events));
            }
        }
    }

    fn login(&mut self, action: Result<Action, super::action::ActionError>) {
        match action {
            Ok(action) => {
                self.enqueue(&action, Purpose::Login, self.login_due);
                self.state = State::LoggingIn;
            }
            Err(error) => self.refuse(LoginRefusal::Other(error.to_string())),
        }
    }

    fn refuse(&mut self, refusal: LoginRefusal) {
        self.events.push_back(SessionEvent::LoginRefused(refusal));
        self.close(CloseReason::LoginRefused);
    }

    fn handle_response(&mut self, now: Instant, frame: Frame) {
        let number = frame.get("ActionID").and_then(|id| ActionId::number(self.settings.seed, id));
        let Some(number) = number.filter(|number| *number < self.next_number) else {
            // Some refusals of a login carry no ActionID. Nothing else before the login answers to nobody.
            let is_refusal = frame.get("ActionID").is_none() && frame.get("Response") != Some(b"Success");
            if self.state != State::Up && is_refusal {
                return self.refuse(LoginRefusal::from_response(&frame));
            }
            return self.quarantine(Quarantined { frame, reason: QuarantineReason::ForeignResponse });
        };
        let token = ActionToken(number);
        let Some(pending) = self.pending.take(token) else {
            return; // Late: the action has ended with an unknown outcome.
        };
        let success = frame.get("Response") == Some(b"Success");
        match pending.purpose {
            Purpose::Challenge => match frame.text("Challenge").filter(|_| success) {
                Some(challenge) => {
                    let SessionSettings { username, secret, events, .. } = &self.settings;
                    let key = login::md5_key(&challenge, secret);
                    self.login(Action::login_md5(username, &key, *events));
                }
                None => self.refuse(LoginRefusal::from_response(&frame)),
            },
            Purpose::Login if success => {
                self.state = State::Up;
                self.ping_due = Some(now + self.settings.ping);
                self.events.push_back(SessionEvent::LoggedIn(self.version));
            }
            Purpose::Login => self.refuse(LoginRefusal::from_response(&frame)),
            Purpose::Ping => self.ping_due = Some(now + self.settings.ping),
            Purpose::ListRequested
                if frame.get("EventList").is_some_and(|v| v.eq_ignore_ascii_case(b"start")) =>
            {
                self.pending
                    .insert(token, Pending { purpose: Purpose::ListOpen { items_lost: false }, ..pending });
                self.events.push_back(SessionEvent::ListBegin(token));
            }
            Purpose::ListOpen { .. } => self.pending.insert(token, pending), // A second answer changes nothing.
            Purpose::Action | Purpose::ListRequested => {
                self.events.push_back(SessionEvent::Answered(token, ActionOutcome::Response(frame)));
            }
        }
    }

    fn handle_event(&mut self, frame: Frame) {
        // A live event has a `Privilege` line, a list item has none; the queue list puts its ActionID last.
        let second = frame.headers().nth(1).map_or(&b""[..], |(key, _)| key);
        let number = match second {
            b"Privilege" => None,
            _ => frame.get("ActionID").and_then(|id| ActionId::number(self.settings.seed, id)),
        };
        let Some(token) = number.map(ActionToken) else {
            if self.state == State::Up {
                self.events.push_back(SessionEvent::Frame(frame));
            }
            return;
        };
        let Some(Purpose::ListOpen { items_lost }) = self.pending.purpose(token) else {
            return; // An item of a list that has ended.
        };
        let end = frame.get("EventList").map(|word| match word {
            word if !word.eq_ignore_ascii_case(b"complete") => ListEnd::Cancelled,
            _ if items_lost => ListEnd::ItemsLost,
            _ => ListEnd::Complete,
        });
        self.events.push_back(match end {
            None => SessionEvent::ListItem(token, frame),
            Some(end) => {
                self.pending.take(token);
                SessionEvent::ListEnd(token, end)
            }
        });
    }

    fn quarantine(&mut self, quarantined: Quarantined) {
        self.pending.mark_items_lost();
        self.events.push_back(SessionEvent::Quarantined(quarantined));
    }

    fn end_action(&mut self, token: ActionToken, pending: &Pending, list_end: ListEnd) {
        let unanswered = if pending.sent { ActionOutcome::OutcomeUnknown } else { ActionOutcome::NeverSent };
        match pending.purpose {
            Purpose::ListOpen { .. } => self.events.push_back(SessionEvent::ListEnd(token, list_end)),
            Purpose::Action | Purpose::ListRequested => {
                self.unsent.retain(|(other, _)| *other != token);
                self.events.push_back(SessionEvent::Answered(token, unanswered));
            }
            Purpose::Challenge | Purpose::Login | Purpose::Ping => {}
        }
    }

    fn enqueue(&mut self, action: &Action, purpose: Purpose, deadline: Instant) -> ActionToken {
        let token = ActionToken(self.next_number);
        self.next_number += 1;
        let bytes = action.encode(&ActionId::new(self.settings.seed, token.0));
        self.unsent.push_back((token, bytes));
        self.pending.insert(token, Pending { purpose, deadline, sent: false });
        token
    }
}

#[cfg(test)]
mod tests;
