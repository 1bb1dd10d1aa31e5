//! Every event that an Asterisk sent since the lab was last reset, in order.
//!
//! A log instead of a stream: a test may ask for an event that already arrived, so no wait misses its event by
//! starting too late.
use std::sync::Mutex;

use crate::support::wait::TEST_TIMEOUT;
use tokio::sync::watch;
use tokio::time::timeout;

/// More than any scenario produces: a runaway PBX fails the test instead of exhausting the machine.
const EVENTS_MAX: usize = 2_000_000;

/// One AMI frame, with its headers in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    headers: Vec<(String, String)>,
}

impl Event {
    /// From the lines of a frame. A line without a colon is kept as a header without a name.
    pub(crate) fn from_headers(headers: Vec<(String, String)>) -> Self {
        Self { headers }
    }

    /// The event's name, or "" for a response.
    pub(crate) fn name(&self) -> &str {
        self.header("Event").unwrap_or("")
    }

    /// The first header of that name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the first header of that name has exactly this value.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.header(name) == Some(value)
    }

    /// All headers in order.
    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }
}

/// The events of one connection.
#[derive(Debug)]
pub(crate) struct EventLog {
    events: Mutex<Vec<Event>>,
    /// Number of events; `usize::MAX` once the connection is closed.
    count: watch::Sender<usize>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { events: Mutex::new(Vec::new()), count: watch::Sender::new(0) }
    }

    pub(crate) fn push(&self, event: Event) {
        let mut events = self.events.lock().expect("no panic holds this lock");
        assert!(events.len() < EVENTS_MAX, "the PBX does not stop talking");
        events.push(event);
        self.count.send_replace(events.len());
    }

    /// Removes all events; earlier marks are invalid afterwards.
    pub(crate) fn clear(&self) {
        self.events.lock().expect("no panic holds this lock").clear();
    }

    pub(crate) fn close(&self) {
        self.count.send_replace(usize::MAX);
    }

    /// The current number of events: a mark for [`Self::wait_after`].
    pub(crate) fn mark(&self) -> usize {
        self.events.lock().expect("no panic holds this lock").len()
    }

    /// All events so far that match.
    pub(crate) fn all(&self, matches: impl Fn(&Event) -> bool) -> Vec<Event> {
        let events = self.events.lock().expect("no panic holds this lock");
        events.iter().filter(|event| matches(event)).cloned().collect()
    }

    /// The position of an event in the log (of the first that equals it).
    pub(crate) fn position(&self, event: &Event) -> usize {
        let events = self.events.lock().expect("no panic holds this lock");
        let found = events.iter().position(|other| other == event);
        found.expect("the event came from this log")
    }

    /// The first event since the reset that matches, now or when it comes.
    ///
    /// # Panics
    /// After [`TEST_TIMEOUT`], with `what` was awaited.
    pub(crate) async fn wait(&self, what: &str, matches: impl Fn(&Event) -> bool) -> Event {
        self.wait_after(0, what, matches).await
    }

    /// The first event after `mark` that matches, now or when it comes.
    ///
    /// # Panics
    /// After [`TEST_TIMEOUT`], with `what` was awaited.
    pub(crate) async fn wait_after(
        &self,
        mark: usize,
        what: &str,
        matches: impl Fn(&Event) -> bool,
    ) -> Event {
        let found = timeout(TEST_TIMEOUT, self.at_any_time_after(mark, what, matches)).await;
        found.unwrap_or_else(|_| panic!("waited {TEST_TIMEOUT:?} in vain for {what}"))
    }

    /// Like [`Self::wait_after`], without a time-out: the caller limits the time.
    pub(crate) async fn at_any_time_after(
        &self,
        mark: usize,
        what: &str,
        matches: impl Fn(&Event) -> bool,
    ) -> Event {
        let mut count = self.count.subscribe();
        let mut next = mark;
        loop {
            let seen = *count.borrow_and_update();
            {
                let events = self.events.lock().expect("no panic holds this lock");
                if let Some(found) = events[next.min(events.len())..].iter().find(|e| matches(e)) {
                    return found.clone();
                }
                next = events.len();
            }
            assert!(seen != usize::MAX, "the link closed while waiting for {what}");
            count.changed().await.expect("the log is here");
        }
    }
}
