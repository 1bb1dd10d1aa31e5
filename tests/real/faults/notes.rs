//! Messages that an operator writes down while the daemon is killed: each request is repeated, under its key, until it
//! is answered, as a desktop does.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::desktop::Desktop;
use crate::lab::PATIENCE;
use crate::service::Service;

/// Pause before a request that was not answered is repeated.
const AGAIN: Duration = Duration::from_millis(20);
/// One message after the other.
const PACE: Duration = Duration::from_millis(150);

/// The messages that were answered for.
#[derive(Default)]
pub(crate) struct Notes {
    /// Text by id.
    kept: RefCell<HashMap<String, String>>,
    /// Requests that were sent more than once.
    repeats: Cell<usize>,
    over: Cell<bool>,
}

impl Notes {
    pub(crate) fn stop(&self) {
        self.over.set(true);
    }

    /// Writes message after message, some of a call that `desktop` shows, until told to stop.
    pub(crate) async fn write(&self, service: &Service, account: &str, desktop: &Desktop) {
        let mut n = 0;
        while !self.over.get() {
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
            sleep(PACE).await;
        }
    }

    /// Until it is answered for; gives the message's id.
    async fn put(&self, service: &Service, n: usize, body: &Value) -> String {
        let mut since = Instant::now();
        let mut last;
        loop {
            let request = service.request("admin", Method::POST, "/v1/messages").json(body);
            let said = async {
                let response = request.header("idempotency-key", format!("note-{n}")).send().await?;
                let status = response.status();
                Ok::<_, reqwest::Error>((status, response.text().await?))
            };
            match said.await {
                Ok((status, answer)) if status.is_success() => {
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    return answer["id"].as_str().unwrap().to_owned();
                }
                // The daemon is going, or coming; or the record of the call is still on its way to the store.
                Ok((StatusCode::UNPROCESSABLE_ENTITY, answer)) if answer.contains("\"call:") => last = answer,
                Ok((status, answer)) => {
                    assert!(status.is_server_error(), "{status}: {answer}");
                    last = answer;
                }
                Err(error) => {
                    self.repeats.set(self.repeats.get() + 1);
                    last = error.to_string();
                }
            }
            assert!(since.elapsed() < PATIENCE, "message {n} is not answered for: {body}: {last}");
            sleep(AGAIN).await;
            // As long as daemons come and go, it takes as long as it takes.
            if !self.over.get() {
                since = Instant::now();
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
        assert_eq!(stored, kept, "what is stored and what was answered for");
        for (n, desktop) in desktops.iter().enumerate() {
            let all = |knows: &super::desktop::Knows| kept.keys().all(|id| knows.saved.contains(id));
            desktop.wait(&format!("desktop {n} knows every message"), all).await;
        }
        (kept.len(), self.repeats.get())
    }
}
