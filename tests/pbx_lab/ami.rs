//! A small AMI client for tests: one connection, actions with their responses, and a log of all events. It trusts the
//! lab's Asterisks and has no limits. It shares nothing with the product's client, on purpose.
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::events::{Event, EventLog};
use crate::support::wait::TEST_TIMEOUT;

/// The response to one action, with the items of a list.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The frame that begins with `Response:`.
    pub(crate) head: Event,
    /// The items of a list, without the final `…Complete`.
    pub(crate) items: Vec<Event>,
}

impl Reply {
    /// Whether Asterisk reports success.
    pub(crate) fn is_success(&self) -> bool {
        self.head.has("Response", "Success")
    }
}

struct Pending {
    head: Option<Event>,
    items: Vec<Event>,
    done: oneshot::Sender<Reply>,
}

type Outstanding = Arc<Mutex<HashMap<String, Pending>>>;

/// One logged-in manager connection.
pub(crate) struct Ami {
    writer: AsyncMutex<OwnedWriteHalf>,
    outstanding: Outstanding,
    /// Every event that is not part of a response.
    pub(crate) events: Arc<EventLog>,
    next_id: AtomicU64,
    reader: JoinHandle<()>,
}

impl Ami {
    /// Connects and logs in.
    ///
    /// # Panics
    /// When the address does not answer or the login is refused.
    pub(crate) async fn connect(host: &str, port: u16, user: &str, secret: &str) -> Self {
        let stream = TcpStream::connect((host, port))
            .await
            .unwrap_or_else(|error| panic!("the lab's manager {host}:{port} is gone: {error}"));
        let (read, write) = stream.into_split();
        let outstanding = Outstanding::default();
        let events = Arc::new(EventLog::new());
        let reader = tokio::spawn(read_frames(read, outstanding.clone(), events.clone()));
        let ami =
            Self { writer: AsyncMutex::new(write), outstanding, events, next_id: AtomicU64::new(1), reader };
        let login = [("Action", "Login"), ("Username", user), ("Secret", secret)];
        let reply = ami.action(&login).await;
        assert!(reply.is_success(), "the lab's manager refused user {user}");
        ami
    }

    /// Sends one action and waits for its response, including the items of a list.
    ///
    /// # Panics
    /// When no response arrives within [`TEST_TIMEOUT`].
    pub(crate) async fn action(&self, headers: &[(&str, &str)]) -> Reply {
        let id = format!("lab-{}", self.next_id.fetch_add(1, Ordering::Relaxed));
        let (done, reply) = oneshot::channel();
        self.outstanding.lock().unwrap().insert(id.clone(), Pending { head: None, items: Vec::new(), done });
        let mut text = String::new();
        for (key, value) in headers {
            assert!(!value.contains(['\r', '\n']), "an action's value is one line: {key}");
            text.push_str(&format!("{key}: {value}\r\n"));
        }
        text.push_str(&format!("ActionID: {id}\r\n\r\n"));
        let sent = self.writer.lock().await.write_all(text.as_bytes()).await;
        let name = headers.first().map_or("", |(_, value)| *value);
        assert!(sent.is_ok(), "the link closed before action {name}");
        match timeout(TEST_TIMEOUT, reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => panic!("the link closed before the reply to {name}"),
            Err(_) => panic!("no reply to {name} within {TEST_TIMEOUT:?}"),
        }
    }

    /// Sends one action that must succeed.
    ///
    /// # Panics
    /// With Asterisk's message when it does not.
    pub(crate) async fn must(&self, headers: &[(&str, &str)]) -> Reply {
        let reply = self.action(headers).await;
        assert!(
            reply.is_success(),
            "{:?} was refused: {}",
            headers.first(),
            reply.head.header("Message").unwrap_or("no reason given")
        );
        reply
    }

    /// The value of a channel's variable or function; `None` when the channel is gone.
    pub(crate) async fn channel_value(&self, channel: &str, variable: &str) -> Option<String> {
        let reply = self.action(&[("Action", "Getvar"), ("Channel", channel), ("Variable", variable)]).await;
        reply.is_success().then(|| reply.head.header("Value").unwrap_or("").to_owned())
    }

    /// All channels that are up, as `CoreShowChannel` items.
    pub(crate) async fn channels(&self) -> Vec<Event> {
        self.must(&[("Action", "CoreShowChannels")]).await.items
    }
}

impl Drop for Ami {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read_frames(read: OwnedReadHalf, outstanding: Outstanding, events: Arc<EventLog>) {
    let mut lines = BufReader::new(read);
    let mut headers = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            deliver(std::mem::take(&mut headers), &outstanding, &events);
        } else if let Some((key, value)) = text.split_once(':') {
            let value = value.strip_prefix(' ').unwrap_or(value);
            headers.push((key.to_owned(), value.to_owned()));
        }
        // The banner is the only line without a colon; it is ignored.
    }
    outstanding.lock().unwrap().clear();
    events.close();
}

fn deliver(headers: Vec<(String, String)>, outstanding: &Outstanding, events: &EventLog) {
    let frame = Event::from_headers(headers);
    let id = frame.header("ActionID").unwrap_or("").to_owned();
    let mut waiting = outstanding.lock().unwrap();
    let Some(mut pending) = waiting.remove(&id) else {
        if !frame.name().is_empty() {
            events.push(frame);
        }
        return;
    };
    let is_event = !frame.name().is_empty();
    let list_ends = frame.has("EventList", "Complete");
    let list_begins = frame.has("EventList", "start");
    match (is_event, list_ends) {
        // OriginateResponse has the id of an action that was answered before.
        (true, false) => pending.items.push(frame),
        (true, true) => {}
        (false, _) => pending.head = Some(frame),
    }
    match pending.head.take() {
        Some(head) if list_ends || (!is_event && !list_begins) => {
            let items = pending.items;
            // The receiver is gone if the test has timed out.
            let _ = pending.done.send(Reply { head, items });
        }
        head => {
            pending.head = head;
            waiting.insert(id, pending);
        }
    }
}
