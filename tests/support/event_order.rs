//! The ordering rules of `src/publish.rs`, checked on every event stream that an administrator follows from its start.
//!
//! `Service::follow("admin", None)` passes each event through here, so every end-to-end test is a test of these rules. The
//! numbers are those of the list in `src/publish.rs`. A rule that no single stream can show has a test of its own, which
//! is named there.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// What a stream has shown so far.
#[derive(Debug, Default)]
pub(crate) struct EventOrder {
    calls: HashMap<String, Call>,
    ended: HashSet<String>,
    /// Supervision sessions: the call and the state of each.
    sessions: HashMap<String, (Option<String>, String)>,
    /// Sessions that were live when a transfer of their call was requested: the policy may only end those.
    ending: HashSet<String>,
    /// Versions of messages, and whether each was saved.
    messages: HashMap<String, u64>,
    /// The last state of each operator.
    operators: HashMap<String, Value>,
    link: Link,
}

#[derive(Debug, Default)]
struct Call {
    /// Operators with an open screen pop.
    presented: HashSet<String>,
    /// Operators who have or had the call.
    answered: HashSet<String>,
    /// Operators at whom it rang at any time.
    rang: HashSet<String>,
    /// A pop went because somebody else took the call, and nothing has shown who.
    taken_by_unknown: bool,
    /// The last event of its transfer, while that is under way.
    transfer: Option<String>,
    /// It rings nowhere any more, and no operator ever had it: `call.updated` is due.
    update_due: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Unknown,
    Down,
    /// `pbx.gap` was published.
    Gap,
    /// `pbx.restarted` was published.
    Restarted,
    Up,
}

impl EventOrder {
    /// Takes the next event; panics with the rule that it breaks.
    pub(crate) fn check(&mut self, event: &Value) {
        let kind = event["kind"].as_str().unwrap_or_default();
        let call = event["call"].as_str().map(str::to_owned);
        match kind {
            "stream.snapshot" => self.start(&event["data"]),
            "operator.state" => self.operator(event),
            "message.saved" | "message.acknowledged" => self.message(kind, event),
            // The work after a call outlasts the call, and does not need the PBX.
            "call.disposed" => self.disposed(event),
            _ if kind.starts_with("pbx.") => self.link(kind, event),
            _ if kind.starts_with("supervision.") => self.session(kind, event),
            _ if kind.starts_with("call.") => {
                self.call(kind, &call.expect("a call's event names the call"), event)
            }
            _ => {}
        }
    }

    fn start(&mut self, state: &Value) {
        for view in state["calls"].as_array().into_iter().flatten() {
            let call = self.calls.entry(text(&view["id"])).or_default();
            for operator in view["presented_to"].as_array().into_iter().flatten() {
                call.presented.insert(text(operator));
                call.rang.insert(text(operator));
            }
            call.answered.extend(view["operator"].as_str().map(str::to_owned));
        }
    }

    fn call(&mut self, kind: &str, id: &str, event: &Value) {
        assert!(!self.ended.contains(id), "rule 5: {kind} after call.ended: {event}");
        assert!(self.link != Link::Down, "rule 15: {kind} while the link is down: {event}");
        if kind == "call.offered" {
            let known = self.calls.insert(id.to_owned(), Call::default());
            assert!(known.is_none(), "rule 1: call.offered is not the first event of its call: {event}");
            return;
        }
        let call =
            self.calls.get_mut(id).unwrap_or_else(|| panic!("rule 1: {kind} before call.offered: {event}"));
        let operator = text(&event["data"]["operator"]);
        let ends_or_rings =
            matches!(kind, "call.updated" | "call.ended" | "call.presented" | "call.rescinded");
        // What is said of a caller who waits may come between the two.
        if !matches!(kind, "call.queued" | "call.guidance" | "call.announced") {
            assert!(
                !std::mem::take(&mut call.update_due) || ends_or_rings,
                "rule 9: no call.updated: {event}"
            );
        }
        match kind {
            "call.presented" => {
                call.presented.insert(operator.clone());
                call.rang.insert(operator);
            }
            "call.announced" => {
                let is_open = call.presented.contains(&operator);
                assert!(is_open, "rule 2: call.announced without an open pop: {call:?} {event}");
            }
            "call.answered" => {
                let was_open = call.presented.remove(&operator);
                assert!(was_open, "rules 2 and 3: call.answered without an open pop: {call:?} {event}");
                call.answered.insert(operator);
                call.taken_by_unknown = false;
            }
            "call.rescinded" => {
                call.presented.remove(&operator);
                if event["data"]["reason"] == "answered_elsewhere" {
                    call.taken_by_unknown |= call.answered.is_empty();
                }
                if event["data"]["picked_up_at"].is_string() {
                    call.taken_by_unknown = false;
                }
                call.update_due = call.presented.is_empty() && call.answered.is_empty();
            }
            "call.ended" => {
                assert!(call.presented.is_empty(), "rule 5: a pop is open at call.ended: {call:?} {event}");
                let by_others = event["data"]["outcome"] == "elsewhere";
                assert!(
                    !call.taken_by_unknown || by_others,
                    "rule 3: a pop went because somebody else took the call, and nobody did: {event}"
                );
                assert!(
                    call.transfer.is_none(),
                    "rule 7: a transfer is under way at call.ended: {call:?} {event}"
                );
                self.calls.remove(id);
                self.ended.insert(id.to_owned());
            }
            "call.transfer.requested" | "call.transfer.ringing" | "call.transfer.consulting" => {
                call.transfer = Some(kind.to_owned());
                if kind != "call.transfer.ringing" {
                    self.supervision_of_transfer(kind, id, event);
                }
            }
            "call.transfer.completed" | "call.transfer.returned" => call.transfer = None,
            // A consultation whose target declines goes on; of a blind transfer more targets may follow.
            "call.transfer.failed" => call.transfer = None,
            _ => {}
        }
    }

    fn supervision_of_transfer(&mut self, kind: &str, call: &str, event: &Value) {
        let live =
            self.sessions.iter().filter(|(_, (of, state))| of.as_deref() == Some(call) && state == "live");
        let live: Vec<String> = live.map(|(session, _)| session.clone()).collect();
        if kind == "call.transfer.requested" {
            self.ending.extend(live);
        } else {
            let wrong = live.iter().find(|session| !self.ending.contains(*session));
            assert!(wrong.is_none(), "rule 8: {wrong:?} is live at {kind}: {event}");
        }
    }

    fn session(&mut self, kind: &str, event: &Value) {
        let id = text(&event["data"]["id"]);
        let was_ending = self.ending.remove(&id);
        if kind == "supervision.stopped" {
            self.sessions.remove(&id);
        } else {
            assert!(!was_ending, "rule 8: live at call.transfer.requested, and not ended: {event}");
            let call = event["data"]["call"].as_str().map(str::to_owned);
            self.sessions.insert(id, (call, text(&event["data"]["state"])));
        }
    }

    fn disposed(&self, event: &Value) {
        let (data, call) = (&event["data"], &event["call"]);
        assert!(call.is_string(), "a call's event names the call: {event}");
        let Some(state) = data["user"].as_str().and_then(|user| self.operators.get(user)) else { return };
        // In these states no work is open that the state does not show.
        let shows_all = matches!(state["state"].as_str(), Some("ready" | "not_ready"));
        let mut shown = state["undisposed_work"].as_array().into_iter().flatten();
        assert!(
            !shows_all || data.get("disposition").is_none() || shown.any(|work| work["call"] == *call),
            "rule 22: call.disposed after the state without its work: {event}"
        );
    }

    fn operator(&mut self, event: &Value) {
        let data = &event["data"];
        self.operators.insert(text(&data["id"]), data.clone());
        let (Some(id), Some(extension)) = (data["call"].as_str(), data["extension"].as_str()) else { return };
        match data["state"].as_str() {
            Some("talking") => {
                let has = self.calls.get(id).is_some_and(|call| call.answered.contains(extension));
                assert!(has, "rule 12: talking before call.answered: {event}");
            }
            Some("reserved") => {
                let rang = self.calls.get(id).is_some_and(|call| call.rang.contains(extension));
                assert!(rang, "rule 12: reserved before call.presented: {event}");
            }
            _ => {}
        }
    }

    fn link(&mut self, kind: &str, event: &Value) {
        self.link = match kind {
            "pbx.down" => Link::Down,
            "pbx.gap" => {
                assert!(self.link != Link::Up, "rule 16: pbx.gap without pbx.down: {event}");
                Link::Gap
            }
            "pbx.restarted" => {
                assert!(self.link == Link::Gap, "rule 16: pbx.restarted before pbx.gap: {event}");
                assert!(self.calls.is_empty(), "rule 16: pbx.restarted before the calls ended: {event}");
                Link::Restarted
            }
            "pbx.up" => {
                assert!(self.link != Link::Down, "rule 16: pbx.up before pbx.gap: {event}");
                Link::Up
            }
            _ => return,
        };
    }

    fn message(&mut self, kind: &str, event: &Value) {
        let (id, version) = (text(&event["data"]["id"]), event["data"]["version"].as_u64().unwrap_or(0));
        let before = self.messages.insert(id, version);
        // A message from before the stream may be acknowledged in it.
        if kind == "message.saved" {
            assert!(before.is_none_or(|before| before <= version), "rule 21: an older version: {event}");
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
