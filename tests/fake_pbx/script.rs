//! The script of the fake PBX, shared by its connections.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use super::Sessions;

/// A received action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedAction {
    pub(crate) name: String,
    pub(crate) id: String,
    /// All headers, `Action` and `ActionID` included, in order.
    pub(crate) headers: Vec<(String, String)>,
}

impl ReceivedAction {
    /// The first value of a header.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }
}

/// How an action is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Success, with these lines (each ended by LF).
    Success(String),
    /// Error, with this message.
    Error(String),
    /// Not at all.
    Silence,
    /// The connection ends.
    HangUp,
}

/// A command to a connection.
#[derive(Debug)]
pub(super) enum Instruction {
    Say(Vec<u8>),
    Cut(Vec<u8>),
}

struct SessionHandle {
    sender: mpsc::UnboundedSender<Instruction>,
    gets_events: bool,
}

#[derive(Default)]
struct State {
    replies: HashMap<String, Reply>,
    lists: HashMap<String, Vec<(String, String)>>,
    refusal: Option<String>,
    connections: HashMap<u64, SessionHandle>,
    next_connection: u64,
}

pub(super) struct Script {
    state: Mutex<State>,
    asked: mpsc::UnboundedSender<ReceivedAction>,
    sessions: watch::Sender<Sessions>,
}

impl Script {
    pub(super) fn new(
        asked: mpsc::UnboundedSender<ReceivedAction>,
        sessions: watch::Sender<Sessions>,
    ) -> Self {
        Self { state: Mutex::new(State::default()), asked, sessions }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_reply(&self, name: &str, reply: Reply) {
        self.state().replies.insert(name.to_owned(), reply);
    }

    pub(super) fn reply(&self, name: &str) -> Option<Reply> {
        self.state().replies.get(name).cloned()
    }

    pub(super) fn set_list(&self, name: &str, items: Vec<(String, String)>) {
        self.state().lists.insert(name.to_owned(), items);
    }

    pub(super) fn list(&self, name: &str) -> Vec<(String, String)> {
        self.state().lists.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn refuse_logins(&self, message: Option<&str>) {
        self.state().refusal = message.map(str::to_owned);
    }

    pub(super) fn refusal(&self) -> Option<String> {
        self.state().refusal.clone()
    }

    pub(super) fn record_action(&self, asked: ReceivedAction) {
        // The receiver is gone if the test has ended.
        let _ = self.asked.send(asked);
    }

    pub(super) fn say_to_all(&self, bytes: Vec<u8>) {
        for session in self.state().connections.values().filter(|session| session.gets_events) {
            let _ = session.sender.send(Instruction::Say(bytes.clone()));
        }
    }

    pub(super) fn cut_all(&self, last_bytes: Vec<u8>) {
        for session in self.state().connections.values() {
            let _ = session.sender.send(Instruction::Cut(last_bytes.clone()));
        }
    }

    /// Registers a connection that has logged in; its commands come from the receiver.
    pub(super) fn logged_in(&self, gets_events: bool) -> (u64, mpsc::UnboundedReceiver<Instruction>) {
        let (sender, instructions) = mpsc::unbounded_channel();
        let mut state = self.state();
        let number = state.next_connection;
        state.next_connection += 1;
        state.connections.insert(number, SessionHandle { sender, gets_events });
        drop(state);
        self.sessions.send_modify(|now| {
            if gets_events {
                now.events += 1;
                now.events_ever += 1;
            } else {
                now.actions += 1;
            }
        });
        (number, instructions)
    }

    pub(super) fn logged_off(&self, number: u64) {
        let Some(session) = self.state().connections.remove(&number) else { return };
        self.sessions.send_modify(|now| {
            let count = if session.gets_events { &mut now.events } else { &mut now.actions };
            *count -= 1;
        });
    }
}
