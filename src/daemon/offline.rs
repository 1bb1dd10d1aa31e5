//! The heartbeat by which the PBX knows that a daemon follows it, and the calls that it wrote down while none did.
//!
//! | when | what |
//! |---|---|
//! | each [`HEARTBEAT_INTERVAL`], while this daemon leads and follows the PBX | sets `TORITSUGI_ALIVE` to the PBX's own time |
//! | the daemon is asked to stop | sets it to 0: from now on the PBX writes down what ends |
//! | a caller asked to be called back, and whenever the log is read | makes the message and the phone task, and deletes the key |
//! | [`FIRST_DELAY`] after it began to follow, then each [`READ_INTERVAL`] | reads the log ([`crate::callflow::OfflineCall`]), records the calls, and deletes what is in the store; not while records of its own wait for the store |
//!
//! The PBX writes a call down when its last heartbeat is older than six seconds. A daemon that hangs for so long may record the
//! same call: it is one record then, and what a daemon saw goes before what the PBX wrote (`store/history/mod.rs`).
//!
//! Invariants: a key is deleted after its call is in the store, so a call is lost by no crash, and read twice it is one record.
//! The caller is in no entry of the log, so none of these records names one. A request to be called back is one message and one
//! task, however often it is read.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ami::action::Action;
use crate::ami::client::{Handle, ListError};
use crate::ami::session::ActionOutcome;
use crate::bus::Bus;
use crate::call::EndpointRules;
use crate::callflow::{
    BATCH_CHANGES_MAX, CALLBACK_TREE, CallbackRequest, HORIZON_LETTER, Key, KeyChange, Letter, OFFLINE_TREE,
    OfflineCall, Value, callback_request, offline_call,
};
use crate::contract::call::{Direction, Outcome};
use crate::contract::card::MatchedBy;
use crate::contract::history::{CallSource, FinishedCall, Segment};
use crate::contract::message::{
    Action as MessageAction, CallBack, MessageFields, MessageKind, NewMessage, message_day,
};
use crate::directory::Directory;
use crate::identity::{DialledSource, DiversionSource, Identity, Presentation};
use crate::ids::{CallId, Extension, RecordId};
use crate::messages::MessageRelay;
use crate::pbx_link::Following;
use crate::store::{Store, StoreError};
use crate::voice::{VoiceCall, VoiceDoor, VoiceFileName, VoiceReport};

use super::callflow::{NOT_FOUND, entry_of};

/// How often the PBX is told that a daemon follows it.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// When the log is first read: what this daemon infers of calls that it knew is recorded by then.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// How often it is read later.
const READ_INTERVAL: Duration = Duration::from_secs(60);
/// Namespace of the ids of callback requests: a random constant. A change would make a request that is read twice two messages.
const CALLBACK_NAMESPACE: Uuid = Uuid::from_u128(0x1f6e_52c0_93b8_4d17_8a4c_60d2_b7e5_09fa);
/// Time limit for the last heartbeat.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// The task.
pub(super) struct OfflineLog {
    pub(super) bus: Bus,
    pub(super) following: Following,
    pub(super) pbx: Handle,
    pub(super) store: Store,
    pub(super) directory: Directory,
    pub(super) rules: EndpointRules,
    pub(super) voices: VoiceDoor,
    pub(super) relay: MessageRelay,
}

/// Why the log was not read to its end.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("the PBX does not list what it wrote down: {0}")]
    List(String),
    #[error("the calls that the PBX wrote down cannot be recorded; they wait there")]
    Store(#[from] StoreError),
}

impl OfflineLog {
    /// Runs until `stopping`, when the daemon is asked to stop and still follows the PBX.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let mut read_at = None;
        loop {
            let follows = self.bus.is_leader() && self.following.is_up();
            if follows {
                self.beat().await;
                let due = *read_at.get_or_insert_with(|| Instant::now() + FIRST_DELAY);
                // Otherwise a call that this daemon saw would have no caller until its own record is written.
                if due <= Instant::now() && !self.bus.has_unwritten_records() {
                    match self.read().await {
                        Ok(0) => {}
                        Ok(calls) => tracing::info!(calls, "recorded calls that the PBX wrote down"),
                        Err(error) => {
                            let error = &error as &dyn std::error::Error;
                            tracing::warn!(error, "trying again in {} s", READ_INTERVAL.as_secs());
                        }
                    }
                    read_at = Some(Instant::now() + READ_INTERVAL);
                }
            } else {
                read_at = None;
            }
            tokio::select! {
                () = stopping.cancelled() => break,
                () = self.voices.next_callback() => read_at = Some(Instant::now()),
                () = tokio::time::sleep(HEARTBEAT_INTERVAL) => {}
            }
        }
        if self.bus.is_leader() && self.following.is_up() {
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, self.pbx.send(Action::set_alive(0))).await;
        }
    }

    /// The PBX compares the time of the last heartbeat with its own clock, so it is told its own time.
    async fn beat(&self) {
        let ActionOutcome::Response(pong) = self.pbx.send(Action::ping()).await else { return };
        let of_pbx = pong.text("Timestamp").and_then(|text| text.split('.').next()?.parse().ok());
        let now = of_pbx.unwrap_or_else(|| Timestamp::now().as_second());
        // Refused: the actions user has no right to set a variable, which check names.
        if self.pbx.send(Action::set_alive(now)).await.is_accepted() {
            self.following.set_heartbeat(Timestamp::now());
        }
    }

    /// Records what the PBX has; returns how many calls.
    async fn read(&self) -> Result<usize, LogError> {
        let mut recorded = 0;
        let mut done = Vec::new();
        for (key, value) in self.tree(OFFLINE_TREE).await? {
            if let Some(call) = offline_call(&key, &value) {
                self.store.record_call(&self.record(&call)).await?;
                self.report_voice(&call);
                recorded += 1;
            }
            done.push(KeyChange { key, value: None });
        }
        let mut requests = self.tree(CALLBACK_TREE).await?;
        // In the order in which they were asked for, which is that of their numbers.
        requests.sort_by_cached_key(|(key, value)| callback_request(key, value).map(|request| request.at));
        for (key, value) in requests {
            if let Some(request) = callback_request(&key, &value) {
                self.keep_callback(&request).await?;
            }
            done.push(KeyChange { key, value: None });
        }
        for changes in done.chunks(BATCH_CHANGES_MAX) {
            // What is not deleted is read, and recorded, again.
            if let Ok(action) = Action::write_plan(changes) {
                self.pbx.send(action).await;
            }
        }
        Ok(recorded)
    }

    /// What the PBX has below a key.
    async fn tree(&self, tree: &str) -> Result<Vec<(Key, Value)>, LogError> {
        let key = Key::new(tree);
        let action = Action::read_plan(key.as_ref()).map_err(|error| LogError::List(error.to_string()))?;
        let frames = match self.pbx.list_frames(action).await {
            Ok(frames) => frames,
            Err(ListError::Refused(message)) if message.contains(NOT_FOUND) => return Ok(Vec::new()),
            Err(error) => return Err(LogError::List(error.to_string())),
        };
        Ok(frames.iter().filter_map(entry_of).filter(|(key, _)| key.tree() == tree).collect())
    }

    /// The message and the task of a caller who wants to be called back: due at once, or when the account opens.
    async fn keep_callback(&self, request: &CallbackRequest) -> Result<(), StoreError> {
        let (now, directory) = (Timestamp::now(), &self.directory);
        let Some(number) = directory.number(&request.number) else { return Ok(()) };
        let then = directory.callflow_at(request.account, now).await?;
        let closed_until = then.filter(|then| then.treatment != Letter::Open).and_then(|then| then.until);
        let call = CallId::derive(&self.rules.pbx, &request.channel);
        let call_back = CallBack { number: Some(number.key().to_owned()), ..CallBack::default() };
        let content = MessageFields {
            text: format!("折り返しのお電話のご依頼（{}）", number.display()),
            action: MessageAction::CallBack,
            call_back: Some(call_back),
            ..MessageFields::default()
        };
        // The text is short and has no control character.
        let Ok(content) = content.checked(directory.plan()) else { return Ok(()) };
        let message = NewMessage {
            id: RecordId(Uuid::new_v5(&CALLBACK_NAMESPACE, call.uuid().as_bytes())),
            account: request.account,
            call: Some(call),
            customer: None,
            kind: MessageKind::Callback,
            taken_by: None,
            taken_by_name: String::new(),
            caller: (!request.is_entered).then(|| number.key().to_owned()),
            content,
            day: message_day(now, directory.time_zone()),
            not_before: now,
        };
        let due = closed_until.unwrap_or(now);
        if self.store.create_callback(&message, &request.number, &self.rules.pbx, (now, due)).await? {
            self.relay.wake();
        }
        Ok(())
    }

    /// The recording of a call that no daemon saw: its caller is not known.
    fn report_voice(&self, call: &OfflineCall) {
        if let Ok(file) = VoiceFileName::parse(&call.voice) {
            let id = CallId::derive(&self.rules.pbx, &call.channel);
            let call = VoiceCall { id, caller: None, is_withheld: false };
            self.voices.report(VoiceReport { file, call: Some(call) });
        }
    }

    fn record(&self, call: &OfflineCall) -> FinishedCall {
        let number = |text: &str| (!text.is_empty()).then(|| SmolStr::new(text));
        let dialled = number(&call.dialled).map(|number| (DialledSource::Extension, number));
        let diverted_by = number(&call.forwarded_by).map(|number| (DiversionSource::Redirecting, number));
        let identity = Identity {
            dialled: dialled.into_iter().collect(),
            diverted_by: diverted_by.into_iter().collect(),
            ..Identity::default()
        };
        let found = self.directory.identify(&identity, None);
        // The account may have lost the number since then; the plan says whose call it was.
        let of_plan = call.plan.filter(|id| self.directory.account(*id).is_some());
        let account = found.account.map(|account| account.id);
        FinishedCall {
            id: CallId::derive(&self.rules.pbx, &call.channel),
            pbx: self.rules.pbx.clone(),
            direction: Direction::Inbound,
            account: account.or(of_plan),
            matched_by: if account.is_some() { found.matched_by } else { MatchedBy::None },
            customer: None,
            caller: None,
            presentation: Presentation::Unavailable,
            dialled: found.dialled.map(String::from),
            diverted_by: found.diverted_by.map(String::from),
            offered_at: call.began,
            answered_at: call.answered.filter(|_| !is_elsewhere(call, &self.rules)),
            ended_at: call.ended,
            outcome: if is_elsewhere(call, &self.rules) { Outcome::Elsewhere } else { call.outcome },
            operators: operator_of(call, &self.rules).into_iter().collect(),
            handled_by: None,
            channels: vec![call.channel.clone()],
            inferred: true,
            source: CallSource::Offline,
            left_behind: None,
            segments: segments_of(call, &self.rules),
        }
    }
}

/// The operator who took the call, if the device is a phone's.
fn operator_of(call: &OfflineCall, rules: &EndpointRules) -> Option<Extension> {
    call.answered?;
    rules.phone_of_device(&call.member)
}

/// Whether somebody took the call who is not an operator: a person of the account, another phone. Which phone is behind a Local
/// channel is not known; such members of queues are operators.
fn is_elsewhere(call: &OfflineCall, rules: &EndpointRules) -> bool {
    call.answered.is_some() && operator_of(call, rules).is_none() && !call.member.starts_with("Local/")
}

/// What is known of the call, as a daemon would have recorded it.
fn segments_of(call: &OfflineCall, rules: &EndpointRules) -> Vec<Segment> {
    let segment = |kind: &str, target: Option<String>, (from, until), result: Option<&str>| Segment {
        kind: kind.to_owned(),
        operator: None,
        target,
        from,
        until: Some(until),
        result: result.map(str::to_owned),
    };
    let mut segments = Vec::new();
    if let Some(letter) = call.letter {
        let is_over = letter == HORIZON_LETTER;
        let known = Letter::ALL.into_iter().find(|one| one.as_char() == letter).filter(|_| !is_over);
        let target = known.unwrap_or(Letter::Open).as_str().to_owned();
        segments.push(segment(
            "treated",
            Some(target),
            (call.began, call.began),
            is_over.then_some("expired"),
        ));
    }
    for wait in &call.waits {
        let (until, result) = match wait.until {
            Some(until) => (until, "left"),
            None => match call.answered {
                Some(answered) => (answered, "connected"),
                None if call.outcome == Outcome::Abandoned => (call.ended, "abandoned"),
                None => (call.ended, "left"),
            },
        };
        segments.push(segment(
            "queued",
            Some(wait.queue.as_str().to_owned()),
            (wait.from, until),
            Some(result),
        ));
    }
    if let Some(answered) = call.answered {
        let operator = operator_of(call, rules);
        let kind = if is_elsewhere(call, rules) { "elsewhere" } else { "talking" };
        segments.push(Segment { operator, ..segment(kind, None, (answered, call.ended), None) });
    }
    segments
}
