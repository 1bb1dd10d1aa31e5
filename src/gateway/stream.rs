//! The events as one client gets them, whatever the transport.
//!
//! | what happens | what the client gets |
//! |---|---|
//! | it connects or comes back | `stream.resumed` or `stream.snapshot`, then events |
//! | its sight changes (another team, another extension) | a new `stream.snapshot`, then events |
//! | [`super::Settings::heartbeat`] passes | a sign of life; beside it, the store is asked whether its token is still valid |
//! | token expired or revoked, user revoked | the end, with the reason |
//! | it read too slowly | the end; it resumes by its last id |
//! | shutdown | the end; it resumes elsewhere or later |
//!
//! Invariant: between two first frames there is no event missing that the viewer may see, an event is handed on as
//! the bytes that the bus made, never serialised again, and none waits for the store.

use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::auth::Caller;
use super::bearers::Hold;
use super::problem::{Kind, Problem};
use super::query::After;
use super::routes::Gate;
use crate::bus::event::wire_time;
use crate::bus::{Ended, Event, EventId, First, PbxStatus, Snapshot, Subscription};
use crate::call::view::CallView;
use crate::operator::{Attendance, Roster, StateView};

/// The id to go on from, out of header or query.
pub(crate) fn after(headers: &HeaderMap, asked: After) -> Result<Option<EventId>, Problem> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().to_owned());
    // Browsers send the header empty when they have had no id yet.
    let (text, kind) = match header.filter(|text| !text.is_empty()) {
        Some(text) => (Some(text), Kind::InvalidHeader),
        None => (asked.after, Kind::InvalidQuery),
    };
    text.map(|text| EventId::parse(&text).map_err(|error| kind.with(error.to_string()))).transpose()
}

/// What a client is told next.
#[derive(Debug)]
pub(crate) enum Frame {
    /// `stream.resumed` or `stream.snapshot`: its id and its JSON.
    First(EventId, Bytes),
    /// An event.
    Event(Arc<Event>),
    /// A sign of life.
    Heartbeat,
    /// The last thing.
    End(Goodbye),
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// The token has expired.
    TokenExpired,
    /// The token or its user was revoked.
    TokenRevoked,
    /// Too many events waited for this client.
    TooSlow,
    /// The daemon is going down.
    ShuttingDown,
}

impl Goodbye {
    /// The reason, as a word of the contract.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TokenExpired => "token-expired",
            Self::TokenRevoked => "token-revoked",
            Self::TooSlow => "too-slow",
            Self::ShuttingDown => "shutting-down",
        }
    }
}

/// One client's events.
#[derive(Debug)]
pub(crate) struct Stream {
    gate: Arc<Gate>,
    caller: Caller,
    subscription: Subscription,
    hold: Hold,
    roster: watch::Receiver<Arc<Roster>>,
    heartbeat: Interval,
    /// The store is being asked; one that is away takes its time over that.
    asking: Option<AbortOnDropHandle<Option<Goodbye>>>,
    over: bool,
    _attends: Attendance,
    _counted: super::metrics::StreamCount,
}

/// The JSON of a first frame.
#[derive(Serialize)]
struct FirstBody<'a, D> {
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
}

#[derive(Serialize)]
struct ResumedBody {}

impl Stream {
    /// Opens a stream for `caller`, after the event `after` if that is still possible.
    pub(crate) fn open(gate: &Arc<Gate>, caller: Caller, after: Option<&EventId>) -> Result<Self, Problem> {
        // What lies before a change of sight was filtered for other eyes.
        let after = after.filter(|after| gate.app.people.may_resume(caller.person.id, after));
        let mut roster = gate.app.people.watch();
        roster.mark_changed();
        let subscription = gate.app.bus.subscribe(caller.viewer.clone(), after)?;
        let every = gate.app.settings.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            gate: Arc::clone(gate),
            hold: gate.bearers.hold(caller.token, caller.person.id),
            _attends: gate.app.presence.attend(caller.person.id),
            _counted: gate.app.metrics.stream_opened(),
            caller,
            subscription,
            roster,
            heartbeat,
            asking: None,
            over: false,
        })
    }

    /// Is cancelled when this client is cut off.
    pub(crate) fn cut_off(&self) -> CancellationToken {
        self.subscription.cut_off()
    }

    /// What to tell next; `None` after the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        if self.over {
            return None;
        }
        let frame = self.wait().await;
        self.over = matches!(frame, Frame::End(_));
        Some(frame)
    }

    async fn wait(&mut self) -> Frame {
        loop {
            if let Some(first) = self.subscription.take_first() {
                return self.first(&first);
            }
            tokio::select! {
                biased;
                () = self.hold.revoked() => return Frame::End(Goodbye::TokenRevoked),
                () = self.gate.shutdown.cancelled() => return Frame::End(Goodbye::ShuttingDown),
                Ok(()) = self.roster.changed() => {
                    self.roster.mark_changed();
                    if let Err(end) = self.look_again() {
                        return Frame::End(end);
                    }
                }
                end = answer(&mut self.asking) => {
                    self.asking = None;
                    if let Some(end) = end {
                        return Frame::End(end);
                    }
                }
                _ = self.heartbeat.tick() => {
                    if self.asking.is_none() {
                        self.asking = Some(AbortOnDropHandle::new(tokio::spawn(self.still_valid())));
                    }
                    return Frame::Heartbeat;
                }
                event = self.subscription.next() => return match event {
                    Ok(event) => match self.look_again() {
                        Ok(false) => Frame::Event(event),
                        // It was chosen for other eyes; the snapshot includes it.
                        Ok(true) => continue,
                        Err(end) => Frame::End(end),
                    },
                    Err(Ended::TooSlow) => Frame::End(Goodbye::TooSlow),
                    Err(Ended::Closed) => Frame::End(Goodbye::ShuttingDown),
                },
            }
        }
    }

    /// Looks whether people have changed: with other eyes the stream begins anew (true).
    fn look_again(&mut self) -> Result<bool, Goodbye> {
        if !self.roster.has_changed().unwrap_or(false) {
            return Ok(false);
        }
        let roster = Arc::clone(&self.roster.borrow_and_update());
        let viewer = roster.viewer(self.caller.person.id).ok_or(Goodbye::TokenRevoked)?;
        if viewer == self.subscription.viewer() {
            return Ok(false);
        }
        // Where every place is taken this one needs two for a moment: it comes back and gets its snapshot.
        let subscribed = self.gate.app.bus.subscribe(viewer.clone(), None);
        self.subscription = subscribed.map_err(|_| Goodbye::TooSlow)?;
        Ok(true)
    }

    /// Asks the store; one that does not answer ends nobody's stream.
    fn still_valid(&self) -> impl Future<Output = Option<Goodbye>> + use<> {
        let (gate, token, expires_at) = (Arc::clone(&self.gate), self.caller.token, self.caller.expires_at);
        async move {
            let found = gate.app.store.token_by_id(token).await;
            let now = gate.app.clock.now();
            match found.map(|record| record.map(|record| gate.uses.applied(record))) {
                Ok(Some(record)) if record.is_valid(now) => None,
                Ok(Some(record)) if record.revoked_at.is_none() => Some(Goodbye::TokenExpired),
                Ok(_) => Some(Goodbye::TokenRevoked),
                Err(_) => expires_at.filter(|end| *end <= now).map(|_| Goodbye::TokenExpired),
            }
        }
    }

    fn first(&self, first: &First) -> Frame {
        let now = self.gate.app.clock.now();
        match first {
            First::Resumed(id) => first_frame(id, "stream.resumed", now, ResumedBody {}),
            First::Snapshot(Snapshot { id, pbx, calls, operators }) => {
                first_frame(id, "stream.snapshot", now, SnapshotBody { pbx, calls, operators })
            }
        }
    }
}

/// What the store said; never, as long as it is not asked.
async fn answer(asking: &mut Option<AbortOnDropHandle<Option<Goodbye>>>) -> Option<Goodbye> {
    match asking {
        // A panic of the question ends nobody's stream either.
        Some(asking) => asking.await.ok().flatten(),
        None => std::future::pending().await,
    }
}

fn first_frame<D: Serialize>(id: &EventId, kind: &'static str, now: Timestamp, data: D) -> Frame {
    let body = FirstBody { id, kind, at: wire_time(now), data };
    #[expect(clippy::expect_used, reason = "string keys and plain values always serialise")]
    let json = serde_json::to_vec(&body).expect("a first frame is plain JSON");
    Frame::First(id.clone(), Bytes::from(json))
}
