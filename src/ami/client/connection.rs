//! One connection from its first byte to its last: moves bytes between the socket and [`Session`], and events and
//! responses from the session to the event stream and to the callers.
//!
//! Invariant: every command that the connection takes is answered, whatever ends the connection.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::command_queue::CommandQueue;
use super::sessions::SessionSlot;
use super::transport::Transport;
use super::{
    ACTION_TIMEOUT, ClientEvent, Command, LIST_FRAMES_MAX, LIST_TIMEOUT, ListError, ListKind, ListResult,
};
use crate::ami::action::Action;
use crate::ami::frame::{Frame, FrameCodec};
use crate::ami::session::{
    ActionOutcome, ActionToken, CloseReason, ListEnd, LoginRefusal, Session, SessionEvent, SessionSettings,
};

/// How long the logoff may take to leave.
const LOGOFF_TIMEOUT: Duration = Duration::from_millis(500);
/// Least time between two reads that leave nothing in the socket. The PBX writes each event by itself, a dozen of them within a
/// millisecond or two: those are decoded, applied and published together, and cost one wake-up of each task instead of a dozen.
const READ_INTERVAL: Duration = Duration::from_millis(2);

/// How a connection ended.
pub(super) struct ConnectionEnd {
    pub(super) was_up: bool,
    pub(super) refusal: Option<LoginRefusal>,
    pub(super) reason: CloseReason,
}

/// What an action of the session was sent for.
enum Request {
    /// A caller of `Handle::send` or `ask`.
    Action(oneshot::Sender<ActionOutcome>),
    /// A caller of `Handle::list`, and the items so far.
    List(Vec<Frame>, oneshot::Sender<Result<Vec<Frame>, ListError>>),
    /// A list of a resync.
    Resync(ListKind),
    /// The start time of the PBX.
    Started,
}

/// The lists of one resync.
#[derive(Default)]
struct Resync {
    /// Number of lists that have not ended.
    open: usize,
    complete: bool,
    /// The backlog was full and dropped an item of the open list.
    item_dropped: bool,
    /// Another resync was requested meanwhile.
    repeat: bool,
}

pub(super) struct Connection<'a> {
    session: Session,
    slot: &'a mut SessionSlot,
    requests: HashMap<ActionToken, Request>,
    resync: Resync,
    was_up: bool,
    refusal: Option<LoginRefusal>,
    closed: Option<CloseReason>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(settings: SessionSettings, slot: &'a mut SessionSlot) -> Self {
        Self {
            session: Session::new(settings, now()),
            slot,
            requests: HashMap::new(),
            resync: Resync::default(),
            was_up: false,
            refusal: None,
            closed: None,
        }
    }

    /// Runs until the connection ends.
    pub(super) async fn run(
        mut self,
        transport: Transport,
        commands: &mut CommandQueue,
        shutdown: &CancellationToken,
    ) -> ConnectionEnd {
        let Transport { mut reader, writer } = transport;
        let mut bytes = FrameCodec::buffer();
        let mut next_read = now();
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
            if !self.slot.backlog.try_flush() {
                self.session.close(CloseReason::Shutdown); // The consumer is gone.
                continue;
            }
            if !self.slot.backlog.is_empty() {
                // The consumer is behind: let it run if it shares this thread. This does not wait for it.
                tokio::task::yield_now().await;
            }
            FrameCodec::make_room(&mut bytes);
            let timeout = self.session.poll_timeout();
            tokio::select! {
                read = read_from(&mut reader, &mut bytes, next_read) => {
                    let may_have_left_some = bytes.len() == bytes.capacity();
                    self.handle_read(read, &mut bytes);
                    next_read = if may_have_left_some { now() } else { now() + READ_INTERVAL };
                }
                Some(command) = commands.next(self.session.is_up()) => self.handle_command(command),
                () = sleep_until(timeout) => self.session.handle_timeout(now()),
                _ = self.slot.backlog.flush(), if !self.slot.backlog.is_empty() => {}
                () = shutdown.cancelled() => {
                    if self.session.is_up() {
                        writer.write(self.session.logoff());
                    }
                    self.session.close(CloseReason::Shutdown);
                }
            }
        };
        match reason {
            CloseReason::Shutdown => writer.finish(LOGOFF_TIMEOUT).await,
            _ => writer.abandon(),
        }
        ConnectionEnd { was_up: self.was_up, refusal: self.refusal, reason }
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
            Command::Resync if self.resync.open > 0 => self.resync.repeat = true,
            Command::Resync => self.begin_resync(),
            Command::Action { action, reply } => match self.session.send(now(), &action, ACTION_TIMEOUT) {
                Ok(token) => drop(self.requests.insert(token, Request::Action(reply))),
                // A send error means that the caller is gone; so below.
                Err(_) => drop(reply.send(ActionOutcome::NeverSent)),
            },
            Command::List { action, reply } => match self.session.send(now(), &action, LIST_TIMEOUT) {
                Ok(token) => drop(self.requests.insert(token, Request::List(Vec::new(), reply))),
                Err(_) => drop(reply.send(Err(ListError::NeverSent))),
            },
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Frame(frame) => self.slot.backlog.push(ClientEvent::Pbx(frame)),
                SessionEvent::Quarantined(set_aside) => {
                    self.slot.backlog.push(ClientEvent::Quarantined(set_aside))
                }
                SessionEvent::ListBegin(token) => {
                    if let Some(Request::Resync(kind)) = self.requests.get(&token) {
                        self.slot.backlog.push(ClientEvent::ListBegin(*kind));
                    }
                }
                SessionEvent::ListItem(token, frame) => self.take_item(token, frame),
                SessionEvent::ListEnd(token, end) => self.end_list(token, end),
                SessionEvent::Answered(token, outcome) => self.answer(token, outcome),
                SessionEvent::LoggedIn(version) => {
                    self.was_up = true;
                    self.slot.on_login(version);
                    if self.slot.takes_lists() {
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
            self.requests.insert(token, Request::Started);
        }
        for kind in ListKind::ALL {
            if let Ok(token) = self.session.send(now(), &kind.action(), LIST_TIMEOUT) {
                self.requests.insert(token, Request::Resync(kind));
                self.resync.open += 1;
            } else {
                self.resync.complete = false;
            }
        }
        if self.resync.open == 0 && self.session.is_up() {
            self.slot.backlog.push(ClientEvent::ResyncEnded { complete: false });
        }
    }

    fn take_item(&mut self, token: ActionToken, frame: Frame) {
        match self.requests.get_mut(&token) {
            Some(Request::Resync(kind)) => {
                self.resync.item_dropped |= !self.slot.backlog.offer(ClientEvent::ListItem(*kind, frame));
            }
            Some(Request::List(frames, _)) if frames.len() <= LIST_FRAMES_MAX => frames.push(frame),
            _ => {}
        }
    }

    fn end_list(&mut self, token: ActionToken, end: ListEnd) {
        match self.requests.remove(&token) {
            Some(Request::Resync(kind)) => {
                let item_dropped = std::mem::take(&mut self.resync.item_dropped);
                let result = match end {
                    ListEnd::Complete if item_dropped => ListResult::Incomplete(ListEnd::ItemsLost),
                    ListEnd::Complete => ListResult::Complete,
                    other => ListResult::Incomplete(other),
                };
                self.end_resync_list(kind, result);
            }
            Some(Request::List(frames, reply)) => drop(reply.send(match end {
                ListEnd::Complete if frames.len() > LIST_FRAMES_MAX => Err(ListError::TooLong),
                ListEnd::Complete => Ok(frames),
                other => Err(ListError::Incomplete(other)),
            })),
            _ => {}
        }
    }

    fn answer(&mut self, token: ActionToken, outcome: ActionOutcome) {
        let message = || outcome.message().unwrap_or_else(|| "no message".to_owned());
        match self.requests.remove(&token) {
            Some(Request::Action(reply)) => drop(reply.send(outcome)),
            Some(Request::List(_, reply)) => drop(reply.send(Err(match outcome {
                ActionOutcome::Response(_) => ListError::Refused(message()),
                ActionOutcome::OutcomeUnknown => ListError::Incomplete(ListEnd::TimedOut),
                ActionOutcome::NeverSent => ListError::NeverSent,
            }))),
            Some(Request::Resync(kind)) => self.end_resync_list(
                kind,
                match outcome {
                    ActionOutcome::Response(_) => ListResult::Refused(message()),
                    _ if self.session.is_closed() => ListResult::Incomplete(ListEnd::ConnectionLost),
                    _ => ListResult::Incomplete(ListEnd::TimedOut),
                },
            ),
            Some(Request::Started) => {
                let at = started_at(&outcome);
                self.slot.backlog.push(ClientEvent::Started { at });
            }
            None => {}
        }
    }

    fn end_resync_list(&mut self, kind: ListKind, result: ListResult) {
        self.resync.complete &= !matches!(result, ListResult::Incomplete(_));
        self.resync.open -= 1;
        self.slot.backlog.push(ClientEvent::ListEnd(kind, result));
        if self.resync.open > 0 {
            return;
        }
        let complete = self.resync.complete;
        self.slot.backlog.push(ClientEvent::ResyncEnded { complete });
        if self.resync.repeat && self.session.is_up() {
            self.begin_resync();
        }
    }
}

/// Date and time of the PBX's start, from `CoreStatus`.
fn started_at(outcome: &ActionOutcome) -> Option<String> {
    let ActionOutcome::Response(frame) = outcome else { return None };
    Some(format!("{} {}", frame.text("CoreStartupDate")?, frame.text("CoreStartupTime")?))
}

/// Reads what the PBX has sent, not before `at`. Cancel-safe.
async fn read_from(
    reader: &mut (impl AsyncRead + Unpin),
    bytes: &mut BytesMut,
    at: Instant,
) -> io::Result<usize> {
    if at > now() {
        tokio::time::sleep_until(at.into()).await;
    }
    reader.read_buf(bytes).await
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
