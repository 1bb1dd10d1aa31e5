//! One connection from its first byte to its last: moves bytes between socket and [`Session`], and what the
//! session says to whom it concerns.
//!
//! Invariant: every command that was taken is answered, whatever ends the connection.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::sessions::Role;
use super::wire::Wire;
use super::{
    ACTION_TIMEOUT, ClientEvent, Command, LIST_FRAMES_MAX, LIST_TIMEOUT, ListError, ListKind, ListResult,
};
use crate::ami::action::Action;
use crate::ami::frame::{Frame, FrameCodec};
use crate::ami::session::{
    ActionOutcome, ActionToken, CloseReason, ListEnd, LoginRefusal, Session, SessionEvent, SessionSettings,
};

/// How long the last words of a session may take to leave.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// How a connection ended.
pub(super) struct Ended {
    pub(super) was_up: bool,
    pub(super) refusal: Option<LoginRefusal>,
    pub(super) reason: CloseReason,
}

/// Whom an action of the session concerns.
enum Waiting {
    /// A caller of `Handle::send` or `ask`.
    Order(oneshot::Sender<ActionOutcome>),
    /// A caller of `Handle::list`.
    Caller(Vec<Frame>, oneshot::Sender<Result<Vec<Frame>, ListError>>),
    /// The consumer of the stream.
    Resync(ListKind),
    /// The question when the PBX started.
    Started,
}

/// The lists of one resync.
#[derive(Default)]
struct Resync {
    /// Lists that have not ended.
    open: usize,
    complete: bool,
    /// An item of the list that is open was dropped for a slow consumer.
    holed: bool,
    /// It was asked for again meanwhile.
    again: bool,
}

pub(super) struct Link<'a> {
    session: Session,
    role: &'a mut Role,
    waiting: HashMap<ActionToken, Waiting>,
    resync: Resync,
    was_up: bool,
    refusal: Option<LoginRefusal>,
    closed: Option<CloseReason>,
}

impl<'a> Link<'a> {
    pub(super) fn new(settings: SessionSettings, role: &'a mut Role) -> Self {
        Self {
            session: Session::new(settings, now()),
            role,
            waiting: HashMap::new(),
            resync: Resync::default(),
            was_up: false,
            refusal: None,
            closed: None,
        }
    }

    /// Lives through one connection.
    pub(super) async fn run(
        mut self,
        wire: Wire,
        intake: &mut Intake,
        shutdown: &CancellationToken,
    ) -> Ended {
        let Wire { mut reader, writer } = wire;
        let mut bytes = FrameCodec::buffer();
        let reason = loop {
            self.drain_events();
            while let Some(action) = self.session.poll_transmit() {
                if !writer.write(action) {
                    self.session.close(CloseReason::Io("the PBX takes no more actions".to_owned()));
                    self.drain_events();
                }
            }
            if let Some(reason) = self.closed.take() {
                break reason;
            }
            if !self.role.outbox.try_flush() {
                self.session.close(CloseReason::Shutdown); // Nobody listens any more.
                continue;
            }
            if !self.role.outbox.is_empty() {
                // The consumer is behind: let it run, should it share this thread. This does not wait for it.
                tokio::task::yield_now().await;
            }
            FrameCodec::make_room(&mut bytes);
            let timeout = self.session.poll_timeout();
            tokio::select! {
                read = reader.read_buf(&mut bytes) => self.handle_read(read, &mut bytes),
                Some(command) = intake.next(self.session.is_up()) => self.handle_command(command),
                () = sleep_until(timeout) => self.session.handle_timeout(now()),
                _ = self.role.outbox.flush(), if !self.role.outbox.is_empty() => {}
                () = shutdown.cancelled() => {
                    if self.session.is_up() {
                        writer.write(self.session.logoff());
                    }
                    self.session.close(CloseReason::Shutdown);
                }
            }
        };
        match reason {
            CloseReason::Shutdown => writer.finish(GOODBYE_TIMEOUT).await,
            _ => writer.abandon(),
        }
        Ended { was_up: self.was_up, refusal: self.refusal, reason }
    }

    fn handle_read(&mut self, read: io::Result<usize>, bytes: &mut BytesMut) {
        match read {
            Ok(0) => self.session.close(CloseReason::ClosedByPeer),
            Ok(_) => self.session.handle_bytes(now(), bytes),
            Err(error) => self.session.close(CloseReason::Io(error.to_string())),
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Resync if self.resync.open > 0 => self.resync.again = true,
            Command::Resync => self.begin_resync(),
            Command::Order { action, reply } => match self.session.send(now(), &action, ACTION_TIMEOUT) {
                Ok(token) => drop(self.waiting.insert(token, Waiting::Order(reply))),
                // A caller that is gone needs no answer; so below.
                Err(_) => drop(reply.send(ActionOutcome::NeverSent)),
            },
            Command::List { action, reply } => match self.session.send(now(), &action, LIST_TIMEOUT) {
                Ok(token) => drop(self.waiting.insert(token, Waiting::Caller(Vec::new(), reply))),
                Err(_) => drop(reply.send(Err(ListError::NeverSent))),
            },
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Frame(frame) => self.role.outbox.push(ClientEvent::Frame(frame)),
                SessionEvent::Quarantined(set_aside) => {
                    self.role.outbox.push(ClientEvent::Quarantined(set_aside))
                }
                SessionEvent::ListBegin(token) => {
                    if let Some(Waiting::Resync(kind)) = self.waiting.get(&token) {
                        self.role.outbox.push(ClientEvent::ListBegin(*kind));
                    }
                }
                SessionEvent::ListItem(token, frame) => self.take_item(token, frame),
                SessionEvent::ListEnd(token, end) => self.end_list(token, end),
                SessionEvent::Answered(token, outcome) => self.answer(token, outcome),
                SessionEvent::LoggedIn(version) => {
                    self.was_up = true;
                    self.role.logged_in(version);
                    if self.role.takes_lists() {
                        self.begin_resync();
                    }
                }
                SessionEvent::LoginRefused(refusal) => self.refusal = Some(refusal),
                SessionEvent::Closed(reason) => self.closed = Some(reason),
            }
        }
    }

    fn begin_resync(&mut self) {
        self.resync = Resync { complete: true, ..Resync::default() };
        if let Ok(token) = self.session.send(now(), &Action::core_status(), ACTION_TIMEOUT) {
            self.waiting.insert(token, Waiting::Started);
        }
        for kind in ListKind::ALL {
            if let Ok(token) = self.session.send(now(), &kind.action(), LIST_TIMEOUT) {
                self.waiting.insert(token, Waiting::Resync(kind));
                self.resync.open += 1;
            } else {
                self.resync.complete = false;
            }
        }
        if self.resync.open == 0 && self.session.is_up() {
            self.role.outbox.push(ClientEvent::ListsTaken { complete: false });
        }
    }

    fn take_item(&mut self, token: ActionToken, frame: Frame) {
        match self.waiting.get_mut(&token) {
            Some(Waiting::Resync(kind)) => {
                self.resync.holed |= !self.role.outbox.offer(ClientEvent::ListItem(*kind, frame));
            }
            Some(Waiting::Caller(frames, _)) if frames.len() <= LIST_FRAMES_MAX => frames.push(frame),
            _ => {}
        }
    }

    fn end_list(&mut self, token: ActionToken, end: ListEnd) {
        match self.waiting.remove(&token) {
            Some(Waiting::Resync(kind)) => {
                let holed = std::mem::take(&mut self.resync.holed);
                let result = match end {
                    ListEnd::Complete if holed => ListResult::Incomplete(ListEnd::Spoiled),
                    ListEnd::Complete => ListResult::Complete,
                    other => ListResult::Incomplete(other),
                };
                self.end_resync_list(kind, result);
            }
            Some(Waiting::Caller(frames, reply)) => drop(reply.send(match end {
                ListEnd::Complete if frames.len() > LIST_FRAMES_MAX => Err(ListError::TooLong),
                ListEnd::Complete => Ok(frames),
                other => Err(ListError::Incomplete(other)),
            })),
            _ => {}
        }
    }

    fn answer(&mut self, token: ActionToken, outcome: ActionOutcome) {
        let refusal = || outcome.message().unwrap_or_else(|| "nothing".to_owned());
        match self.waiting.remove(&token) {
            Some(Waiting::Order(reply)) => drop(reply.send(outcome)),
            Some(Waiting::Caller(_, reply)) => drop(reply.send(Err(match outcome {
                ActionOutcome::Response(_) => ListError::Refused(refusal()),
                ActionOutcome::SentFateUnknown => ListError::Incomplete(ListEnd::TimedOut),
                ActionOutcome::NeverSent => ListError::NeverSent,
            }))),
            Some(Waiting::Resync(kind)) => self.end_resync_list(
                kind,
                match outcome {
                    ActionOutcome::Response(_) => ListResult::Refused(refusal()),
                    _ if self.session.is_closed() => ListResult::Incomplete(ListEnd::LinkLost),
                    _ => ListResult::Incomplete(ListEnd::TimedOut),
                },
            ),
            Some(Waiting::Started) => {
                let at = started_at(&outcome);
                self.role.outbox.push(ClientEvent::Started { at });
            }
            None => {}
        }
    }

    fn end_resync_list(&mut self, kind: ListKind, result: ListResult) {
        self.resync.complete &= !matches!(result, ListResult::Incomplete(_));
        self.resync.open -= 1;
        self.role.outbox.push(ClientEvent::ListEnd(kind, result));
        if self.resync.open > 0 {
            return;
        }
        let complete = self.resync.complete;
        self.role.outbox.push(ClientEvent::ListsTaken { complete });
        if self.resync.again && self.session.is_up() {
            self.begin_resync();
        }
    }
}

/// Date and time of the PBX's start from `CoreStatus`.
fn started_at(outcome: &ActionOutcome) -> Option<String> {
    let ActionOutcome::Response(frame) = outcome else { return None };
    Some(format!("{} {}", frame.text("CoreStartupDate")?, frame.text("CoreStartupTime")?))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
