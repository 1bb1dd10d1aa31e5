//! Messages that an operator saves while the daemon is killed. The client repeats each request with the same
//! idempotency key until it is answered, as a desktop does.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::desktop::Desktop;
use super::load::StopSignal;
use crate::support::service::Service;
use crate::support::wait::poll;

/// Interval between two messages.
const PACE: Duration = Duration::from_millis(150);

/// The messages whose saving was confirmed.
pub(crate) struct MessageWriter {
    /// Text by id.
    kept: RefCell<HashMap<String, String>>,
    /// The number of the last message.
    last: Cell<usize>,
    /// Number of requests that were sent more than once.
    repeats: Cell<usize>,
    stop_signal: StopSignal,
}

impl MessageWriter {
    pub(crate) fn new() -> Self {
        Self {
            kept: RefCell::default(),
            last: Cell::new(0),
            repeats: Cell::new(0),
            stop_signal: StopSignal::new(),
        }
    }

    pub(crate) fn stop(&self) {
        self.stop_signal.stop();
    }

    /// Lets [`Self::write`] be called again after [`Self::stop`].
    pub(crate) fn go_on(&self) {
        self.stop_signal.go_on();
    }

    /// Saves message after message, some of a call that `desktop` shows, until stopped.
    pub(crate) async fn write(&self, service: &Service, account: &str, desktop: &Desktop) {
        let mut every = interval(PACE);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.stop_signal.is_stopped() {
            every.tick().await;
            let n = self.last.get() + 1;
            self.last.set(n);
            let call =
                desktop.look(|model| model.open.iter().next().cloned()).filter(|_| n.is_multiple_of(2));
            let text = format!("伝言 {n}");
            let body = json!({ "account": account, "call": call, "text": text });
            let id = self.put(service, n, &body).await;
            if n.is_multiple_of(3) {
                self.repeats.set(self.repeats.get() + 1);
                assert_eq!(self.put(service, n, &body).await, id, "a repeat made another message");
            }
            let before = self.kept.borrow_mut().insert(id, text);
            assert_eq!(before, None, "two keys, one message");
        }
    }

    /// Repeats the request until it is confirmed; returns the id of the message.
    async fn put(&self, service: &Service, n: usize, body: &Value) -> String {
        let last = RefCell::new(String::new());
        let answered = poll(async || {
            let answer = self.post(service, n, body).await;
            answer.map_err(|why| last.replace(why)).ok()
        });
        tokio::select! {
            id = answered => id,
            () = self.stop_signal.drain_timeout() => {
                panic!("message {n} is not answered for: {body}: {}", last.borrow())
            }
        }
    }

    /// Sends the request once; `Err` is a failure that allows a repetition.
    async fn post(&self, service: &Service, n: usize, body: &Value) -> Result<String, String> {
        let request = service.request("admin", Method::POST, "/v1/messages").json(body);
        let said = async {
            let response = request.header("idempotency-key", format!("note-{n}")).send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.text().await?))
        };
        match said.await {
            Ok((status, answer)) if status.is_success() => {
                let answer: Value = serde_json::from_str(&answer).unwrap();
                Ok(answer["id"].as_str().unwrap().to_owned())
            }
            // The daemon is stopping or starting, or the record of the call is not in the store yet.
            Ok((StatusCode::UNPROCESSABLE_ENTITY, answer)) if answer.contains("\"call:") => Err(answer),
            Ok((status, answer)) => {
                assert!(status.is_server_error(), "{status}: {answer}");
                Err(answer)
            }
            Err(error) => {
                self.repeats.set(self.repeats.get() + 1);
                Err(error.to_string())
            }
        }
    }

    /// Checks that the store has each confirmed message once and no other, and that every desktop received each. Returns the
    /// number of messages and of repeated requests.
    pub(crate) async fn are_kept(&self, service: &Service, desktops: &[Desktop]) -> (usize, usize) {
        let mut stored = HashMap::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/messages?limit=500{cursor}");
            let (status, page) = service.ask("admin", Method::GET, &path, None).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            for message in page["items"].as_array().unwrap() {
                let text = |key: &str| message[key].as_str().unwrap().to_owned();
                assert_eq!(stored.insert(text("id"), text("text")), None, "listed twice: {message}");
            }
            let Value::String(next) = &page["next"] else { break };
            cursor = format!("&cursor={next}");
        }
        let kept = self.kept.borrow().clone();
        assert!(!kept.is_empty(), "no message was written");
        assert_eq!(stored, kept, "what is stored and what was answered for");
        for (n, desktop) in desktops.iter().enumerate() {
            let all = |model: &super::desktop::DesktopModel| kept.keys().all(|id| model.saved.contains(id));
            desktop.wait(&format!("desktop {n} model every message"), all).await;
        }
        (kept.len(), self.repeats.get())
    }
}
