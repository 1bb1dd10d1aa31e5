//! Fallback of a standby: while Redis is unreachable it publishes to its own subscribers the calls of its PBX and the
//! link, as it observes them itself. It sends no actions to the PBX.
//!
//! | state | event | next state |
//! |---|---|---|
//! | following the shared stream | Redis does not answer | fallback: publish locally what the leader had not published yet, then each event as it arrives |
//! | fallback, nothing published yet | Redis answers | following, as if nothing had happened |
//! | fallback | Redis answers | catching up |
//! | catching up | the leader has published all that this daemon observed, or [`CATCH_UP_TIMEOUT`] is over | the state is loaded again |
//! | catching up | the state was loaded | following; a client that had an event of the fallback gets a snapshot |
//!
//! A standby that has not loaded the state yet, or has to load it again, enters no fallback; its clients keep what they
//! have. If it never loaded the state since its start, it becomes the leader without a lease instead (`leader.rs`).
//!
//! We cannot use the leader's ids, because the leader may assign them to other events or never. Each fallback therefore
//! has a stream token of its own that no gateway knows later: a client that resumes from one of its ids gets a snapshot,
//! and no event is delivered twice under one id, or left out.
//!
//! If the leader died together with Redis, nobody publishes what this daemon published: after [`CATCH_UP_TIMEOUT`]
//! clients get the older state that Redis has, then this daemon acquires the lease and publishes the missing events. For
//! that moment a client's state goes back.
//!
//! Invariants: from the first local event until the state was loaded, nothing that the stream brings is delivered, and
//! this daemon does not become the leader. Operators' states stay as they were: only the leader of the owning PBX knows
//! them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::time::Instant;

use super::hub::Hub;
use super::outbox::{Leadership, Outbox};
use super::standby::{PriorCalls, Takeover, describes_call};
use super::timing::CATCH_UP_TIMEOUT;
use super::wire::Entry;
use crate::bus::event_log::{PbxState, RemoteEvent};
use crate::contract::call::CallView;
use crate::contract::event::{Body, NewEvent, StateDelta};
use crate::contract::event_id::{EventId, StreamToken};
use crate::publish;

/// A fallback, while it lasts.
#[derive(Debug)]
pub(super) struct LocalFallback {
    stream: StreamToken,
    /// Calls that the leader had published.
    prior: PriorCalls,
    /// Number of events published locally.
    pub(super) published: u64,
    /// Deadline for the leader's events, once Redis answers.
    until: Option<Instant>,
}

impl Hub {
    /// Redis does not answer: a standby that has the state begins to publish locally. Does nothing on a leader.
    pub(super) fn enter_fallback(&self) {
        if self.needs_resync() || self.cursor().is_none() {
            return;
        }
        let PbxState { calls, link, .. } = self.log().pbx_state(&self.pbx);
        let mut outbox = self.outbox();
        let Leadership::Standby(tracker) = &outbox.leadership else { return };
        if outbox.fallback.is_some() {
            return;
        }
        let Takeover { missing, unknown, mut prior } = tracker.clone().take_over(calls);
        // The next channel list decides whether these live.
        prior.calls.extend(unknown.into_iter().map(|view| (view.id, view)));
        outbox.fallbacks += 1;
        let stream = StreamToken::from_prefix(&format!("s{:x}x", self.daemon), outbox.fallbacks);
        outbox.fallback = Some(LocalFallback { stream, prior, published: 0, until: None });
        self.in_fallback.store(true, Ordering::Relaxed);
        for draft in missing {
            self.publish_locally(&mut outbox, draft);
        }
        if let Some(draft) = self.link_event_unlike(link.as_ref()) {
            self.publish_locally(&mut outbox, draft);
        }
        drop(outbox);
        tracing::warn!(pbx = %self.pbx, "Redis does not answer: this standby publishes its own view of the PBX locally");
        self.request_pbx_resync();
    }

    /// Publishes an event of this standby locally, if a fallback lasts and the event is about the link or is news about
    /// a call.
    pub(super) fn publish_in_fallback(&self, outbox: &mut Outbox, draft: NewEvent) {
        let Some(fallback) = &mut outbox.fallback else { return };
        let is_link = matches!(draft.change, StateDelta::Pbx { .. });
        if is_link || (describes_call(&draft) && fallback.prior.admit(&draft)) {
            self.publish_locally(outbox, draft);
        }
    }

    fn publish_locally(&self, outbox: &mut Outbox, draft: NewEvent) {
        let Some(fallback) = &mut outbox.fallback else { return };
        fallback.published += 1;
        let id = EventId { stream: fallback.stream.clone(), position: fallback.published };
        self.clear_cursor();
        let body = Arc::new(Body::of(&draft, &self.pbx));
        let (pbx, after) = (self.pbx.clone(), self.log().last_ordered());
        let NewEvent { audience, change, .. } = draft;
        self.log().append(RemoteEvent { id, pbx, audience, change, body, after }, false);
    }

    /// Compares the locally published calls with a complete channel list, of which `live` are the calls.
    pub(super) fn reconcile_fallback(&self, outbox: &mut Outbox, live: &[CallView], at: Timestamp) {
        let Some(fallback) = &mut outbox.fallback else { return };
        let (ended, silent) = fallback.prior.reconcile(live);
        for (view, operator) in silent {
            self.publish_locally(outbox, publish::inferred_rescind(&view, operator, at));
        }
        for view in &ended {
            self.publish_locally(outbox, publish::inferred_end(view, at));
        }
    }

    /// Takes an entry of the stream while a fallback has published events: records it in the tracker and returns `None`,
    /// because clients get it with the state that is loaded later. Otherwise returns the entry, to be delivered.
    pub(super) fn observe_in_fallback(&self, entry: Entry) -> Option<Entry> {
        if !self.in_fallback.load(Ordering::Relaxed) {
            return Some(entry);
        }
        let mut outbox = self.outbox();
        if outbox.fallback.as_ref().is_none_or(|fallback| fallback.published == 0) {
            self.exit_fallback(&mut outbox);
            return Some(entry);
        }
        if let Leadership::Standby(tracker) = &mut outbox.leadership
            && entry.belongs_to(&self.pbx)
            && let Some(arrival) = entry.decode()
        {
            tracker.record_leader(arrival.body.kind, &arrival.change);
        }
        None
    }

    /// Redis answers: ends the fallback, or requests a resync as soon as the leader has caught up or had time to.
    pub(super) fn catch_up(&self) {
        if !self.in_fallback.load(Ordering::Relaxed) {
            return;
        }
        let mut outbox = self.outbox();
        let is_caught_up =
            matches!(&outbox.leadership, Leadership::Standby(tracker) if tracker.is_caught_up());
        let Some(fallback) = &mut outbox.fallback else { return };
        let until = *fallback.until.get_or_insert_with(|| Instant::now() + CATCH_UP_TIMEOUT);
        if fallback.published == 0 {
            self.exit_fallback(&mut outbox);
        } else if is_caught_up || Instant::now() >= until {
            self.request_resync();
        }
    }

    pub(super) fn exit_fallback(&self, outbox: &mut Outbox) {
        outbox.fallback = None;
        self.in_fallback.store(false, Ordering::Relaxed);
    }
}
