//! A desktop that reconnects by itself and keeps a model of what it received: it drops events that it already has,
//! replaces its state with each snapshot, and records every duplicate.
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::seat::{Over, Seat};
use super::unlogged;
use crate::support::service::Service;
use crate::support::wait::TEST_TIMEOUT;

/// Delay before a reconnect.
const RECONNECT_DELAY: Duration = Duration::from_millis(20);

/// What a desktop has received.
#[derive(Default)]
pub(crate) struct DesktopModel {
    last: Option<String>,
    /// Whether the PBX link is up, as far as this connection has reported.
    pub(crate) up: bool,
    received: HashSet<String>,
    /// The ids of events about calls.
    pub(crate) of_calls: HashSet<String>,
    /// The ids of opening frames: the events before them were received or are part of the snapshot.
    opening_ids: HashSet<String>,
    /// The events of each call, for the text of a failure.
    events_by_call: HashMap<String, Vec<String>>,
    /// Number of received events of each kind.
    pub(crate) kinds: HashMap<String, usize>,
    /// Transferred calls: they may come back to the same operator.
    passed_on: HashSet<String>,
    /// Pops that were received since the last snapshot, or with it: a call rings at a phone once.
    presented: HashSet<(String, String)>,
    /// Every pop that was ever shown.
    popped: HashSet<(String, String)>,
    /// Calls that are open.
    pub(crate) open: HashSet<String>,
    ended: HashSet<String>,
    /// The caller's digits of each call.
    callers: HashMap<String, String>,
    /// Answered calls by the caller's digits, and whether the answer is known to be in the daemon's log.
    answered: HashMap<String, bool>,
    /// The number of the current connection.
    connection: Option<usize>,
    connections: usize,
    /// The ids of saved messages.
    pub(crate) saved: HashSet<String>,
    /// A snapshot contains no messages: they must be read again.
    messages_unread: bool,
    /// Every duplicate: must stay empty.
    pub(crate) duplicates: Vec<String>,
    /// Events that a resume delivered again.
    pub(crate) redelivered: usize,
    pub(crate) resumes: usize,
    pub(crate) snapshots: usize,
}

/// One desktop, which follows the events until it is dropped.
pub(crate) struct Desktop {
    model: Arc<Mutex<DesktopModel>>,
    changed: Arc<Notify>,
    following: JoinHandle<()>,
}

impl Desktop {
    /// Follows the events as `who`, once the PBX link is up. Why it waits: what happens before the desktop has
    /// connected is part of its snapshot, and no event that a test could count.
    pub(crate) async fn follow(service: &Service, who: &str) -> Self {
        let desktop = Self::at_seat(Seat::new(service, service.token(who), Over::Sse));
        desktop.wait("the link is up", |model| model.up).await;
        desktop
    }

    /// Follows the events from this seat.
    pub(crate) fn at_seat(seat: Seat) -> Self {
        Self::at_seats(vec![seat])
    }

    /// Follows the events at the first of several gateways, and after each disconnect at the next one that answers.
    pub(crate) fn at_seats(seats: Vec<Seat>) -> Self {
        let (model, changed) = (Arc::new(Mutex::new(DesktopModel::default())), Arc::new(Notify::new()));
        let (shared, notify) = (Arc::clone(&model), Arc::clone(&changed));
        let following = tokio::spawn(async move {
            for seat in seats.iter().cycle() {
                let last = lock(&shared).last.clone();
                if let Some(mut events) = seat.open(last.as_deref()).await {
                    lock(&shared).on_connect();
                    while let Some(event) = seat.next(&mut events).await {
                        lock(&shared).apply(&event);
                        let unread = lock(&shared).messages_unread;
                        if unread && let Some(messages) = messages(seat).await {
                            let mut model = lock(&shared);
                            model.saved.extend(messages);
                            model.messages_unread = false;
                        }
                        notify.notify_waiters();
                    }
                    lock(&shared).on_disconnect();
                    notify.notify_waiters();
                }
                tokio::time::sleep(RECONNECT_DELAY).await;
            }
        });
        Self { model, changed, following }
    }

    /// Starts this many desktops of the administrator.
    pub(crate) async fn follow_many(service: &Service, count: usize) -> Vec<Self> {
        let mut desktops = Vec::with_capacity(count);
        for _ in 0..count {
            desktops.push(Self::follow(service, "admin").await);
        }
        desktops
    }

    /// Reads the model.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&DesktopModel) -> T) -> T {
        at(&lock(&self.model))
    }

    /// Waits until this holds for the model.
    pub(crate) async fn wait(&self, what: &str, is_so: impl Fn(&DesktopModel) -> bool) {
        if timeout(TEST_TIMEOUT, self.reaches(is_so)).await.is_err() {
            panic!(
                "{what}: received {:?}, open are {:?}",
                self.look(|k| k.kinds.clone()),
                self.look(|k| k.open.clone())
            );
        }
    }

    /// Like [`Self::wait`], without a time-out: the caller limits the time.
    pub(crate) async fn reaches(&self, is_so: impl Fn(&DesktopModel) -> bool) {
        loop {
            let notified = self.changed.notified();
            if self.look(&is_so) {
                return;
            }
            notified.await;
        }
    }

    /// Marks the answered calls as logged if the daemon reports that every published event is in its log.
    pub(crate) async fn confirm_logged(&self, service: &Service) {
        let Some(unlogged_answers) = self.look(DesktopModel::unlogged_answers) else { return };
        if !unlogged_answers.1.is_empty() && unlogged(service).await == Ok(0) {
            lock(&self.model).mark_logged(unlogged_answers);
        }
    }

    /// Records that this call is transferred; returns whether that was new.
    pub(crate) fn expect_return(&self, call: &str) -> bool {
        lock(&self.model).passed_on.insert(call.to_owned())
    }

    /// Records that this call is not transferred after all.
    pub(crate) fn cancel_expected_return(&self, call: &str) {
        lock(&self.model).passed_on.remove(call);
    }

    /// Number of received events of this kind.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.look(|model| model.count(kind))
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl DesktopModel {
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.kinds.get(kind).copied().unwrap_or(0)
    }

    /// Whether this call was transferred.
    pub(crate) fn was_passed_on(&self, call: &str) -> bool {
        self.passed_on.contains(call)
    }

    /// At which operators this call's pop was shown.
    pub(crate) fn popped_at(&self, call: &str) -> BTreeSet<String> {
        let of = |(popped, operator): &(String, String)| (popped == call).then(|| operator.clone());
        self.popped.iter().filter_map(of).collect()
    }

    /// Every pop that was ever shown, as the caller's digits and the operator.
    pub(crate) fn pops(&self) -> BTreeSet<(String, String)> {
        let of =
            |(call, operator): &(String, String)| Some((self.callers.get(call)?.clone(), operator.clone()));
        self.popped.iter().filter_map(of).collect()
    }

    /// How many times the stream ended.
    pub(crate) fn ends(&self) -> usize {
        self.connections - usize::from(self.connection.is_some())
    }

    /// Number of calls whose caller's number begins with 090 and this series.
    pub(crate) fn callers_of(&self, series: &str) -> usize {
        self.callers.values().filter(|digits| digits.starts_with(&format!("090{series}"))).count()
    }

    /// What is known of this caller, for the text of a failure.
    pub(crate) fn of_caller(&self, caller: &str) -> String {
        let of = |(call, digits): (&String, &String)| (digits == caller).then(|| call.clone());
        let calls: Vec<String> = self.callers.iter().filter_map(of).collect();
        let is_open: Vec<bool> = calls.iter().map(|call| self.open.contains(call)).collect();
        format!(
            "calls {calls:?}, open {is_open:?}, logged {:?}, of all {:?}",
            self.answered.get(caller),
            self.open
        )
    }

    /// Whether every event up to this one was received.
    pub(crate) fn has_received_up_to(&self, id: &str) -> bool {
        self.received.contains(id) || self.opening_ids.contains(id)
    }

    fn on_connect(&mut self) {
        self.connections += 1;
        self.connection = Some(self.connections);
    }

    fn on_disconnect(&mut self) {
        (self.up, self.connection) = (false, None);
    }

    /// The ids of all events except opening frames.
    pub(crate) fn ids(&self) -> HashSet<String> {
        self.received.clone()
    }

    /// Number of events except opening frames.
    pub(crate) fn events(&self) -> usize {
        self.received.len()
    }

    /// Whether the answer of this caller's call was received.
    pub(crate) fn has_answer_of(&self, caller: &str) -> bool {
        self.answered.contains_key(caller)
    }

    /// Whether the answer is in the daemon's log, so that a kill cannot lose it.
    pub(crate) fn has_logged_answer_of(&self, caller: &str) -> bool {
        self.answered.get(caller).is_some_and(|is_logged| *is_logged)
    }

    /// The answers received over this connection that are not known to be in the daemon's log.
    pub(crate) fn unlogged_answers(&self) -> Option<(usize, Vec<String>)> {
        let unlogged_answers = self.answered.iter().filter(|(_, is_logged)| !**is_logged);
        self.connection
            .map(|connection| (connection, unlogged_answers.map(|(caller, _)| caller.clone()).collect()))
    }

    /// Records that the daemon of this connection had logged everything.
    pub(crate) fn mark_logged(&mut self, (connection, callers): (usize, Vec<String>)) {
        if self.connection == Some(connection) {
            for caller in callers {
                self.answered.entry(caller).and_modify(|is_logged| *is_logged = true);
            }
        }
    }

    fn record_caller(&mut self, call: &str, card: &Value) {
        if let Some(number) = card["caller"]["number"].as_str() {
            let digits = number.chars().filter(char::is_ascii_digit).collect();
            self.callers.insert(call.to_owned(), digits);
        }
    }

    fn record_answer(&mut self, call: &str) {
        if let Some(caller) = self.callers.get(call) {
            self.answered.entry(caller.clone()).or_default();
        }
    }

    fn apply(&mut self, event: &Value) {
        let (id, kind) = (text(&event["id"]), text(&event["kind"]));
        self.last = Some(id.clone());
        if kind.starts_with("stream.") {
            self.opening_ids.insert(id.clone());
        }
        match kind.as_str() {
            "stream.resumed" => {
                self.resumes += 1;
                // The daemon resumed after the last event, so it has every event before it.
                self.answered.values_mut().for_each(|is_logged| *is_logged = true);
            }
            "stream.snapshot" => {
                self.up =
                    event["data"]["pbx"].as_array().into_iter().flatten().any(|link| link["up"] == true);
                self.apply_snapshot(&event["data"]["calls"]);
            }
            _ if !self.received.insert(id.clone()) => self.redelivered += 1,
            _ => {
                if event["call"].is_string() {
                    self.of_calls.insert(id);
                }
                *self.kinds.entry(kind.clone()).or_default() += 1;
                if kind == "pbx.up" || kind == "pbx.down" {
                    self.up = kind == "pbx.up";
                }
                if kind == "message.saved" {
                    self.saved.insert(text(&event["data"]["id"]));
                } else if event["call"].is_string() {
                    self.apply_call_event(&kind, &text(&event["call"]), &event["data"]);
                }
            }
        }
    }

    /// Replaces the state by a snapshot.
    fn apply_snapshot(&mut self, calls: &Value) {
        self.snapshots += 1;
        self.messages_unread = true;
        self.open.clear();
        self.presented.clear();
        let before = std::mem::take(&mut self.answered);
        for call in calls.as_array().into_iter().flatten() {
            let id = text(&call["id"]);
            let operators = call["presented_to"].as_array().into_iter().flatten().chain([&call["operator"]]);
            for operator in operators.filter(|o| o.is_string()) {
                self.presented.insert((id.clone(), text(operator)));
                self.popped.insert((id.clone(), text(operator)));
            }
            self.record_caller(&id, &call["card"]);
            if call["answered_at"].is_string()
                && let Some(caller) = self.callers.get(&id)
            {
                // The daemon may have inferred this after its start and not have logged it yet.
                let was_sure = before.get(caller).is_some_and(|is_logged| *is_logged);
                self.answered.insert(caller.clone(), was_sure);
            }
            // The end was published and lost with the daemon; the next daemon publishes it again.
            self.ended.remove(&id);
            self.open.insert(id);
        }
    }

    fn apply_call_event(&mut self, kind: &str, call: &str, data: &Value) {
        let about = ["operator", "reason", "inferred"].map(|key| data[key].to_string());
        self.events_by_call.entry(call.to_owned()).or_default().push(format!("{kind} {}", about.join(" ")));
        self.record_caller(call, data);
        if self.ended.contains(call) && ["call.offered", "call.presented", "call.answered"].contains(&kind) {
            self.duplicates.push(format!("{call}: {kind} after its end"));
        }
        match kind {
            "call.answered" => self.record_answer(call),
            "call.offered" if self.open.contains(call) => self.duplicates.push(format!("{call} offered")),
            "call.presented" if data["repeats"].is_string() => {}
            "call.presented" => {
                self.popped.insert((call.to_owned(), text(&data["operator"])));
                let is_new = self.presented.insert((call.to_owned(), text(&data["operator"])));
                if !is_new && !self.passed_on.contains(call) {
                    self.duplicates.push(format!("{call} presented again: {:?}", self.events_by_call[call]));
                }
            }
            "call.ended" => {
                self.open.remove(call);
                if !self.ended.insert(call.to_owned()) {
                    self.duplicates.push(format!("{call} ended"));
                }
                return;
            }
            _ => {}
        }
        if kind.starts_with("call.") && !self.ended.contains(call) {
            self.open.insert(call.to_owned());
        }
    }
}

/// The ids of all messages; `None` while the daemon is unreachable.
async fn messages(seat: &Seat) -> Option<Vec<String>> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let url = format!("{}/v1/messages?limit=500{cursor}", seat.base());
        let page = seat.http.get(url).bearer_auth(&seat.token).send().await.ok()?.text().await.ok()?;
        let page: Value = serde_json::from_str(&page).ok()?;
        ids.extend(page["items"].as_array()?.iter().map(|message| text(&message["id"])));
        let Value::String(next) = &page["next"] else { return Some(ids) };
        cursor = format!("&cursor={next}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn lock(model: &Mutex<DesktopModel>) -> std::sync::MutexGuard<'_, DesktopModel> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}
