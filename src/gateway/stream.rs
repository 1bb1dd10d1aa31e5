//! The events of one client, for both transports.
//!
//! | what happens | what the client gets |
//! |---|---|
//! | it connects or reconnects | `stream.resumed` or `stream.snapshot`, then events |
//! | its visibility changes (another role, team or extension) | a new `stream.snapshot`, then events |
//! | every [`super::Settings::heartbeat_interval`] | a heartbeat; meanwhile the store is asked whether the token is still valid |
//! | the token expired or was revoked, or the user was revoked | the end, with the reason |
//! | it reads too slowly: too many events wait for it | the end, `too-slow`; it resumes by its last id |
//! | shutdown | the end, `shutting-down`; it resumes at another gateway or later |
//!
//! A token that the store cannot check counts until it expires. An expired or revoked token that only the store knows
//! of ends the stream one heartbeat later at most, plus the time of the store's answer.
//!
//! A snapshot also has what the store alone knows: open phone tasks, and how many messages a person must see to. The store is
//! read after the subscription began, so no event about them is missing; where it does not answer within
//! [`OPENING_READ_TIMEOUT`], the snapshot comes without them.
//!
//! Invariants: one person has at most [`STREAMS_PER_PERSON_MAX`] streams at a gateway, so that nobody takes the places of
//! all others. After an opening frame no event is missing that the viewer may see. Events are sent as the bytes that
//! the bus made, without another serialisation. No event waits for the store longer than a snapshot does.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::active_tokens::RevocationGuard;
use super::attention::Attention;
use super::auth::Caller;
use super::problem::{Kind, Problem};
use super::query::ResumeQuery;
use super::state::AppState;
use crate::bus::{Snapshot, StreamStart, Subscription, SubscriptionEnded};
use crate::contract::call::CallView;
use crate::contract::event::{Event, PbxStatus};
use crate::contract::event_id::EventId;
use crate::contract::operator::StateView;
use crate::contract::task::Task;
use crate::contract::time::time as wire_time;
use crate::people::presence::PresenceGuard;
use crate::people::role::{Permission, Role};
use crate::people::roster::Roster;
use crate::store::messages::MessageCounts;

/// Most event streams of one person at the same time, at this gateway.
pub(crate) const STREAMS_PER_PERSON_MAX: u32 = 32;
/// The same for a system: it may follow the events for many desktops with one token.
const STREAMS_PER_SYSTEM_MAX: u32 = 512;

/// How long a snapshot waits for the store.
pub(crate) const OPENING_READ_TIMEOUT: Duration = Duration::from_millis(250);
/// Most phone tasks in a snapshot, those that are due first.
pub(crate) const SNAPSHOT_TASKS_MAX: usize = 100;

/// The id of the last event that the client has, from the header `Last-Event-ID` or the query.
pub(crate) fn resume_point(headers: &HeaderMap, query: ResumeQuery) -> Result<Option<EventId>, Problem> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().to_owned());
    // Browsers send an empty header before they have received an id.
    let (text, kind) = match header.filter(|text| !text.is_empty()) {
        Some(text) => (Some(text), Kind::InvalidHeader),
        None => (query.after, Kind::InvalidQuery),
    };
    text.map(|text| EventId::parse(&text).map_err(|error| kind.with(error.to_string()))).transpose()
}

/// What the transport sends next.
#[derive(Debug)]
pub(crate) enum StreamFrame {
    /// `stream.resumed` or `stream.snapshot`: its id and its JSON.
    Opening(EventId, Bytes),
    /// An event.
    Event(Arc<Event>),
    /// A heartbeat.
    Heartbeat,
    /// The end of the stream; no frame follows.
    End(StreamEnd),
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The token has expired.
    TokenExpired,
    /// The token or its user was revoked.
    TokenRevoked,
    /// Too many events waited for this client.
    TooSlow,
    /// The daemon shuts down.
    ShuttingDown,
}

impl StreamEnd {
    /// The reason as it is sent; part of the public contract.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TokenExpired => "token-expired",
            Self::TokenRevoked => "token-revoked",
            Self::TooSlow => "too-slow",
            Self::ShuttingDown => "shutting-down",
        }
    }
}

/// The events of one client.
#[derive(Debug)]
pub(crate) struct EventStream {
    state: Arc<AppState>,
    caller: Caller,
    subscription: Subscription,
    /// How the subscription starts, until the opening frame is sent; and since when.
    starting: Option<(StreamStart, Instant)>,
    revocation: RevocationGuard,
    roster: watch::Receiver<Arc<Roster>>,
    heartbeat: Interval,
    /// The running check of the token against the store; it may take long while the store is down.
    token_check: Option<AbortOnDropHandle<Option<StreamEnd>>>,
    has_ended: bool,
    _presence: PresenceGuard,
    _count: super::metrics::StreamCount,
}

/// The JSON of an opening frame.
#[derive(Serialize)]
struct OpeningBody<'a, D> {
    id: &'a EventId,
    kind: &'static str,
    at: String,
    data: D,
}

#[derive(Serialize)]
struct SnapshotBody<'a> {
    pbx: &'a [PbxStatus],
    calls: &'a [Arc<CallView>],
    operators: &'a [Arc<StateView>],
    /// How many messages a person must see to.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<MessageCounts>,
    /// Phone tasks that are to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<&'a [Task]>,
}

#[derive(Serialize)]
struct ResumedBody {}

impl EventStream {
    /// Opens a stream for `caller`. It resumes after the event `after` if that is still possible.
    pub(crate) fn open(
        state: &Arc<AppState>,
        caller: Caller,
        after: Option<&EventId>,
    ) -> Result<Self, Problem> {
        let max = match caller.person.role {
            Role::System => STREAMS_PER_SYSTEM_MAX,
            _ => STREAMS_PER_PERSON_MAX,
        };
        let presence = state.app.presence.connect_within(caller.person.id, max).ok_or_else(|| {
            let detail = format!("you follow the events with {max} clients already; close some");
            Kind::Overloaded.with(detail).retry_after(Duration::from_secs(5))
        })?;
        // Events before the last change of visibility were filtered by the earlier visibility.
        let after = after.filter(|after| state.app.people.may_resume(caller.person.id, after));
        let mut roster = state.app.people.watch();
        roster.mark_changed();
        let subscription = state.app.bus.subscribe(caller.viewer.clone(), after)?;
        let interval = state.app.settings.heartbeat_interval;
        let mut heartbeat = interval_at(Instant::now() + interval, interval);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            state: Arc::clone(state),
            revocation: state.active_tokens.guard(caller.token, caller.person.id),
            _presence: presence,
            _count: state.app.metrics.count_stream(),
            caller,
            subscription,
            starting: None,
            roster,
            heartbeat,
            token_check: None,
            has_ended: false,
        })
    }

    /// A token that is cancelled when the client is cut off because it reads too slowly.
    pub(crate) fn cut_off(&self) -> CancellationToken {
        self.subscription.cut_off()
    }

    /// The next frame; `None` after the end.
    pub(crate) async fn next(&mut self) -> Option<StreamFrame> {
        if self.has_ended {
            return None;
        }
        let frame = self.next_frame().await;
        self.has_ended = matches!(frame, StreamFrame::End(_));
        Some(frame)
    }

    async fn next_frame(&mut self) -> StreamFrame {
        loop {
            if let Some(start) = self.subscription.take_start() {
                self.starting = Some((start, Instant::now()));
            }
            // This future may be dropped while it waits for the store: then the next one sends the opening frame.
            if let Some((StreamStart::Snapshot(_), since)) = &self.starting {
                let attention = self.attention(*since).await;
                if let Some((start, _)) = self.starting.take() {
                    return self.opening(&start, attention.as_deref());
                }
            }
            if let Some((start, _)) = self.starting.take() {
                return self.opening(&start, None);
            }
            tokio::select! {
                biased;
                () = self.revocation.revoked() => return StreamFrame::End(StreamEnd::TokenRevoked),
                () = self.state.shutdown.cancelled() => return StreamFrame::End(StreamEnd::ShuttingDown),
                Ok(()) = self.roster.changed() => {
                    self.roster.mark_changed();
                    if let Err(end) = self.refresh_viewer() {
                        return StreamFrame::End(end);
                    }
                }
                end = check_result(&mut self.token_check) => {
                    self.token_check = None;
                    if let Some(end) = end {
                        return StreamFrame::End(end);
                    }
                }
                _ = self.heartbeat.tick() => {
                    if self.token_check.is_none() {
                        self.token_check = Some(AbortOnDropHandle::new(tokio::spawn(self.check_token())));
                    }
                    return StreamFrame::Heartbeat;
                }
                event = self.subscription.next() => return match event {
                    Ok(event) => match self.refresh_viewer() {
                        Ok(false) => StreamFrame::Event(event),
                        // The event was filtered by the earlier visibility; the new snapshot includes it.
                        Ok(true) => continue,
                        Err(end) => StreamFrame::End(end),
                    },
                    Err(SubscriptionEnded::TooSlow) => StreamFrame::End(StreamEnd::TooSlow),
                    Err(SubscriptionEnded::Closed) => StreamFrame::End(StreamEnd::ShuttingDown),
                },
            }
        }
    }

    /// Subscribes again if the viewer's visibility has changed (then true): the stream continues with a snapshot.
    fn refresh_viewer(&mut self) -> Result<bool, StreamEnd> {
        if !self.roster.has_changed().unwrap_or(false) {
            return Ok(false);
        }
        let roster = Arc::clone(&self.roster.borrow_and_update());
        let viewer = roster.viewer(self.caller.person.id).ok_or(StreamEnd::TokenRevoked)?;
        if viewer == self.subscription.viewer() {
            return Ok(false);
        }
        // For a moment the client has two subscriptions. If the bus is full, the client is disconnected; it reconnects
        // and gets its snapshot then.
        let subscribed = self.state.app.bus.subscribe(viewer.clone(), None);
        self.subscription = subscribed.map_err(|_| StreamEnd::TooSlow)?;
        Ok(true)
    }

    /// Asks the store whether the token is still valid. A store that fails does not end the stream before the token
    /// expires.
    fn check_token(&self) -> impl Future<Output = Option<StreamEnd>> + use<> {
        let (state, token, expires_at) = (Arc::clone(&self.state), self.caller.token, self.caller.expires_at);
        async move {
            let found = state.token_checks.check(token).await;
            let now = state.app.clock.now();
            match found.map(|record| record.map(|record| state.token_uses.apply_to(record))) {
                Ok(Some(record)) if record.is_valid(now) => None,
                Ok(Some(record)) if record.revoked_at.is_none() => Some(StreamEnd::TokenExpired),
                Ok(_) => Some(StreamEnd::TokenRevoked),
                Err(_) => expires_at.filter(|end| *end <= now).map(|_| StreamEnd::TokenExpired),
            }
        }
    }

    /// What the store knows since the subscription began, if this person may read it and the store answers in time.
    async fn attention(&self, since: Instant) -> Option<Arc<Attention>> {
        if !self.caller.person.role.may(Permission::TakeMessages) {
            return None;
        }
        let read = self.state.attention.since(since, &self.state.app);
        tokio::time::timeout(OPENING_READ_TIMEOUT, read).await.ok().flatten()
    }

    fn opening(&self, start: &StreamStart, attention: Option<&Attention>) -> StreamFrame {
        let now = self.state.app.clock.now();
        match start {
            StreamStart::Resumed(id) => opening_frame(id, "stream.resumed", now, ResumedBody {}),
            StreamStart::Snapshot(Snapshot { id, pbx, calls, operators }) => {
                let may_call = self.caller.person.role.may(Permission::ControlCalls);
                let body = SnapshotBody {
                    pbx,
                    calls,
                    operators,
                    messages: attention.map(|known| known.messages),
                    tasks: attention.filter(|_| may_call).map(|known| &known.tasks[..]),
                };
                opening_frame(id, "stream.snapshot", now, body)
            }
        }
    }
}

/// The result of the running check; waits for ever while there is none.
async fn check_result(check: &mut Option<AbortOnDropHandle<Option<StreamEnd>>>) -> Option<StreamEnd> {
    match check {
        // A panic in the check does not end the stream.
        Some(check) => check.await.ok().flatten(),
        None => std::future::pending().await,
    }
}

fn opening_frame<D: Serialize>(id: &EventId, kind: &'static str, now: Timestamp, data: D) -> StreamFrame {
    let body = OpeningBody { id, kind, at: wire_time(now), data };
    #[expect(clippy::expect_used, reason = "string keys and plain values always serialise")]
    let json = serde_json::to_vec(&body).expect("an opening frame is plain JSON");
    StreamFrame::Opening(id.clone(), Bytes::from(json))
}
