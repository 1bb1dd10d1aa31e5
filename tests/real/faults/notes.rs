//! Messages that an operator writes down while the daemon is killed: each request is repeated, under its key, until it
//! is answered, as a desktop does.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::desktop::Desktop;
use super::load::Course;
use crate::lab::ask_at_any_time;
use crate::service::Service;

/// One message after the other.
const PACE: Duration = Duration::from_millis(150);

/// The messages that were answered for.
pub(crate) struct Notes {
    /// Text by id.
    kept: RefCell<HashMap<String, String>>,
    /// Requests that were sent more than once.
    repeats: Cell<usize>,
    course: Course,
}

impl Notes {
    pub(crate) fn new() -> Self {
        Self { kept: RefCell::default(), repeats: Cell::new(0), course: Course::begun() }
    }

    pub(crate) fn stop(&self) {
        self.course.stop();
    }

    /// Writes message after message, some of a call that `desktop` shows, until told to stop.
    pub(crate) async fn write(&self, service: &Service, account: &str, desktop: &Desktop) {
        let mut n = 0;
        let mut every = interval(PACE);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.course.is_over() {
            every.tick().await;
            n += 1;
            let call = desktop.look(|knows| knows.open.iter().next().cloned()).filter(|_| n % 2 == 0);
            let text = format!("伝言 {n}");
            let body = json!({ "account": account, "call": call, "text": text });
            let id = self.put(service, n, &body).await;
            if n % 3 == 0 {
                self.repeats.set(self.repeats.get() + 1);
                assert_eq!(self.put(service, n, &body).await, id, "a repeat made another message");
            }
            let before = self.kept.borrow_mut().insert(id, text);
            assert_eq!(before, None, "two keys, one message");
        }
    }

    /// Until it is answered for; gives the message's id.
    async fn put(&self, service: &Service, n: usize, body: &Value) -> String {
        let last = RefCell::new(String::new());
        let answered = ask_at_any_time(async || {
            let answer = self.post(service, n, body).await;
            answer.map_err(|why| last.replace(why)).ok()
        });
        tokio::select! {
            id = answered => id,
            () = self.course.patience() => {
                panic!("message {n} is not answered for: {body}: {}", last.borrow())
            }
        }
    }

    /// Once; says why it was not answered for, if that may be.
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
            // The daemon is going, or coming; or the record of the call is still on its way to the store.
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

    /// Each is in the store once, nothing else is, and every desktop knows each. Answers how many there are, and
    /// how many requests were repeated.
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
            let all = |knows: &super::desktop::Knows| kept.keys().all(|id| knows.saved.contains(id));
            desktop.wait(&format!("desktop {n} knows every message"), all).await;
        }
        (kept.len(), self.repeats.get())
    }
}
