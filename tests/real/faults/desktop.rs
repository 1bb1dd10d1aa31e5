//! A desktop that comes back by itself, and knows what it was told: it drops events that it has had already, takes
//! a snapshot for the truth, and notes whatever comes twice.
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::seat::{Over, Seat};
use super::unlogged;
use crate::lab::PATIENCE;
use crate::service::Service;

/// Pause before it tries to connect again.
const AGAIN: Duration = Duration::from_millis(20);

/// What a desktop knows.
#[derive(Default)]
pub(crate) struct Knows {
    last: Option<String>,
    /// Whether the link to the PBX is up, since the last time it connected.
    pub(crate) up: bool,
    had: HashSet<String>,
    /// Those of them that are about calls.
    pub(crate) of_calls: HashSet<String>,
    /// The ids of first frames: what led to them was had, or stands in the snapshot.
    begun_after: HashSet<String>,
    /// By call, what it was told of it, for a message.
    stories: HashMap<String, Vec<String>>,
    /// Kinds of all events it had, and how often.
    pub(crate) kinds: HashMap<String, usize>,
    /// Calls that were passed on: they may come back to the same operator.
    passed_on: HashSet<String>,
    /// Pops that it was told, or found in a snapshot, since the last one: a call rings at a phone once.
    told: HashSet<(String, String)>,
    /// Pops that were shown at any time.
    popped: HashSet<(String, String)>,
    /// Calls that are open.
    pub(crate) open: HashSet<String>,
    ended: HashSet<String>,
    /// By call, the digits of its caller.
    callers: HashMap<String, String>,
    /// By the digits of its caller, a call that it knows was answered, and whether that is in the daemon's log.
    answered: HashMap<String, bool>,
    /// Which of its connections this is, while it has one.
    connection: Option<usize>,
    connections: usize,
    /// Messages that it knows.
    pub(crate) saved: HashSet<String>,
    /// A snapshot has no messages in it: they are to be read anew.
    messages_unread: bool,
    /// Whatever was told twice: it must stay empty.
    pub(crate) twice: Vec<String>,
    /// Events that a resume brought again.
    pub(crate) again: usize,
    pub(crate) resumes: usize,
    pub(crate) snapshots: usize,
}

/// One desktop, until it is dropped.
pub(crate) struct Desktop {
    knows: Arc<Mutex<Knows>>,
    changed: Arc<Notify>,
    following: JoinHandle<()>,
}

impl Desktop {
    /// Follows the events as `who`, once the link to the PBX is up. Why it waits: what happens before it has
    /// connected comes in its snapshot, and is no event that a test could count.
    pub(crate) async fn follow(service: &Service, who: &str) -> Self {
        let desktop = Self::sit(Seat::new(service, service.token(who), Over::Sse));
        desktop.wait("the link is up", |knows| knows.up).await;
        desktop
    }

    /// Follows the events from this seat.
    pub(crate) fn sit(seat: Seat) -> Self {
        Self::sit_in_turn(vec![seat])
    }

    /// The same in front of several gateways: at the first, and whenever it connects again, at the next that answers.
    pub(crate) fn sit_in_turn(seats: Vec<Seat>) -> Self {
        let (knows, changed) = (Arc::new(Mutex::new(Knows::default())), Arc::new(Notify::new()));
        let (learning, telling) = (Arc::clone(&knows), Arc::clone(&changed));
        let following = tokio::spawn(async move {
            for seat in seats.iter().cycle() {
                let last = lock(&learning).last.clone();
                if let Some(mut events) = seat.open(last.as_deref()).await {
                    lock(&learning).connects();
                    while let Some(event) = seat.next(&mut events).await {
                        lock(&learning).learn(&event);
                        let unread = lock(&learning).messages_unread;
                        if unread && let Some(messages) = messages(seat).await {
                            let mut knows = lock(&learning);
                            knows.saved.extend(messages);
                            knows.messages_unread = false;
                        }
                        telling.notify_waiters();
                    }
                    lock(&learning).is_cut_off();
                    telling.notify_waiters();
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self { knows, changed, following }
    }

    /// So many administrators' desktops.
    pub(crate) async fn follow_by(service: &Service, count: usize) -> Vec<Self> {
        let mut desktops = Vec::with_capacity(count);
        for _ in 0..count {
            desktops.push(Self::follow(service, "admin").await);
        }
        desktops
    }

    /// Looks at what it knows.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Knows) -> T) -> T {
        at(&lock(&self.knows))
    }

    /// Waits until it knows this.
    pub(crate) async fn wait(&self, what: &str, is_so: impl Fn(&Knows) -> bool) {
        if timeout(PATIENCE, self.learns(is_so)).await.is_err() {
            panic!(
                "{what}: it knows {:?}, open are {:?}",
                self.look(|k| k.kinds.clone()),
                self.look(|k| k.open.clone())
            );
        }
    }

    /// The same, for one to whom it need not happen: the caller says for how long.
    pub(crate) async fn learns(&self, is_so: impl Fn(&Knows) -> bool) {
        loop {
            let notified = self.changed.notified();
            if self.look(&is_so) {
                return;
            }
            notified.await;
        }
    }

    /// Makes sure of what it knows: asks the daemon whether all that was told is in its log.
    pub(crate) async fn makes_sure(&self, service: &Service) {
        let Some(unsure) = self.look(Knows::unsure) else { return };
        if !unsure.1.is_empty() && unlogged(service).await == Ok(0) {
            lock(&self.knows).is_logged(unsure);
        }
    }

    /// This call is passed on; whether that is news.
    pub(crate) fn expect_back(&self, call: &str) -> bool {
        lock(&self.knows).passed_on.insert(call.to_owned())
    }

    /// It is not.
    pub(crate) fn expect_no_longer(&self, call: &str) {
        lock(&self.knows).passed_on.remove(call);
    }

    /// How many events of this kind it had.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.look(|knows| knows.count(kind))
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Knows {
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.kinds.get(kind).copied().unwrap_or(0)
    }

    /// Whether this call was passed on.
    pub(crate) fn was_passed_on(&self, call: &str) -> bool {
        self.passed_on.contains(call)
    }

    /// At which operators this call's pop was shown.
    pub(crate) fn popped_at(&self, call: &str) -> BTreeSet<String> {
        let of = |(popped, operator): &(String, String)| (popped == call).then(|| operator.clone());
        self.popped.iter().filter_map(of).collect()
    }

    /// All pops that were shown at any time: by the digits of the caller, the operator.
    pub(crate) fn pops(&self) -> BTreeSet<(String, String)> {
        let of =
            |(call, operator): &(String, String)| Some((self.callers.get(call)?.clone(), operator.clone()));
        self.popped.iter().filter_map(of).collect()
    }

    /// How many times its stream ended.
    pub(crate) fn ends(&self) -> usize {
        self.connections - usize::from(self.connection.is_some())
    }

    /// How many calls it knows of callers whose numbers begin with 090 and this series.
    pub(crate) fn callers_of(&self, series: &str) -> usize {
        self.callers.values().filter(|digits| digits.starts_with(&format!("090{series}"))).count()
    }

    /// For a message.
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

    /// Whether all up to this event was told.
    pub(crate) fn is_level_with(&self, id: &str) -> bool {
        self.had.contains(id) || self.begun_after.contains(id)
    }

    fn connects(&mut self) {
        self.connections += 1;
        self.connection = Some(self.connections);
    }

    fn is_cut_off(&mut self) {
        (self.up, self.connection) = (false, None);
    }

    /// The ids of all events but the first frames.
    pub(crate) fn ids(&self) -> HashSet<String> {
        self.had.clone()
    }

    /// All events but the first frames.
    pub(crate) fn events(&self) -> usize {
        self.had.len()
    }

    /// Whether it knows that this caller was answered.
    pub(crate) fn is_told_of_answered(&self, caller: &str) -> bool {
        self.answered.contains_key(caller)
    }

    /// Whether the daemon cannot forget that this caller was answered, if it is killed now.
    pub(crate) fn is_sure_of_answered(&self, caller: &str) -> bool {
        self.answered.get(caller).is_some_and(|is_logged| *is_logged)
    }

    /// What it knows over this connection, before the daemon is asked how far its log is.
    pub(crate) fn unsure(&self) -> Option<(usize, Vec<String>)> {
        let unsure = self.answered.iter().filter(|(_, is_logged)| !**is_logged);
        self.connection.map(|connection| (connection, unsure.map(|(caller, _)| caller.clone()).collect()))
    }

    /// The daemon of this connection had nothing left to log.
    pub(crate) fn is_logged(&mut self, (connection, callers): (usize, Vec<String>)) {
        if self.connection == Some(connection) {
            for caller in callers {
                self.answered.entry(caller).and_modify(|is_logged| *is_logged = true);
            }
        }
    }

    fn learn_caller(&mut self, call: &str, card: &Value) {
        if let Some(number) = card["caller"]["number"].as_str() {
            let digits = number.chars().filter(char::is_ascii_digit).collect();
            self.callers.insert(call.to_owned(), digits);
        }
    }

    fn learn_answered(&mut self, call: &str) {
        if let Some(caller) = self.callers.get(call) {
            self.answered.entry(caller.clone()).or_default();
        }
    }

    fn learn(&mut self, event: &Value) {
        let (id, kind) = (text(&event["id"]), text(&event["kind"]));
        self.last = Some(id.clone());
        if kind.starts_with("stream.") {
            self.begun_after.insert(id.clone());
        }
        match kind.as_str() {
            "stream.resumed" => {
                self.resumes += 1;
                // The daemon knows the last event, and so all before it.
                self.answered.values_mut().for_each(|is_logged| *is_logged = true);
            }
            "stream.snapshot" => {
                self.up =
                    event["data"]["pbx"].as_array().into_iter().flatten().any(|link| link["up"] == true);
                self.learn_all(&event["data"]["calls"]);
            }
            _ if !self.had.insert(id.clone()) => self.again += 1,
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
                    self.learn_of(&kind, &text(&event["call"]), &event["data"]);
                }
            }
        }
    }

    /// What it knew before is void.
    fn learn_all(&mut self, calls: &Value) {
        self.snapshots += 1;
        self.messages_unread = true;
        self.open.clear();
        self.told.clear();
        let before = std::mem::take(&mut self.answered);
        for call in calls.as_array().into_iter().flatten() {
            let id = text(&call["id"]);
            let operators = call["presented_to"].as_array().into_iter().flatten().chain([&call["operator"]]);
            for operator in operators.filter(|o| o.is_string()) {
                self.told.insert((id.clone(), text(operator)));
                self.popped.insert((id.clone(), text(operator)));
            }
            self.learn_caller(&id, &call["card"]);
            if call["answered_at"].is_string()
                && let Some(caller) = self.callers.get(&id)
            {
                // The daemon may have found out after its start, and not have noted it yet.
                let was_sure = before.get(caller).is_some_and(|is_logged| *is_logged);
                self.answered.insert(caller.clone(), was_sure);
            }
            // Its end was told and lost with the daemon; it will be told again.
            self.ended.remove(&id);
            self.open.insert(id);
        }
    }

    fn learn_of(&mut self, kind: &str, call: &str, data: &Value) {
        let about = ["operator", "reason", "inferred"].map(|key| data[key].to_string());
        self.stories.entry(call.to_owned()).or_default().push(format!("{kind} {}", about.join(" ")));
        self.learn_caller(call, data);
        if self.ended.contains(call) && ["call.offered", "call.presented", "call.answered"].contains(&kind) {
            self.twice.push(format!("{call}: {kind} after its end"));
        }
        match kind {
            "call.answered" => self.learn_answered(call),
            "call.offered" if self.open.contains(call) => self.twice.push(format!("{call} offered")),
            "call.presented" if data["repeats"].is_string() => {}
            "call.presented" => {
                self.popped.insert((call.to_owned(), text(&data["operator"])));
                let is_new = self.told.insert((call.to_owned(), text(&data["operator"])));
                if !is_new && !self.passed_on.contains(call) {
                    self.twice.push(format!("{call} presented again: {:?}", self.stories[call]));
                }
            }
            "call.ended" => {
                self.open.remove(call);
                if !self.ended.insert(call.to_owned()) {
                    self.twice.push(format!("{call} ended"));
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

/// The ids of all messages; nothing when the daemon is going.
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

fn lock(knows: &Mutex<Knows>) -> std::sync::MutexGuard<'_, Knows> {
    knows.lock().unwrap_or_else(PoisonError::into_inner)
}
