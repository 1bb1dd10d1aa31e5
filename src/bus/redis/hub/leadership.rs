//! Start leading, step down, and what the new leader takes over from the previous one.
//!
//! On taking over, the leader publishes in this order: the events that the previous leader did not publish, then the state
//! of the link if the published one differs. Then it wakes the core ([`Hub::leadership_acquired`]), which lists the
//! channels of the PBX; [`Hub::reconcile_calls`] then publishes the calls that ended unobserved.

use jiff::Timestamp;

use super::super::outbox::Leadership;
use super::super::position::Head;
use super::super::standby::{PriorCalls, Takeover};
use super::Hub;
use crate::bus::event_log::PbxState;
use crate::contract::event::{NewEvent, PbxStatus, StateDelta};
use crate::ids::CallId;
use crate::journal::entry::CallCheckpoint;

/// What the leader uploads when Redis' state of its PBX is not its own.
#[derive(Debug, Clone, Copy)]
pub(in crate::bus::redis) struct Upload {
    pub(in crate::bus::redis) fence: u64,
    /// The head that Redis is to store; the queue continues it.
    pub(in crate::bus::redis) head: Head,
    /// Whether a stream reset makes every client restart from a snapshot.
    pub(in crate::bus::redis) reset: bool,
}

impl Hub {
    /// This daemon starts with these calls, restored from before its start.
    pub(in crate::bus::redis) fn mark_known(&self, calls: Vec<CallId>) {
        if let Leadership::Standby(tracker) = &mut self.outbox().leadership {
            tracker.mark_known(calls);
        }
    }

    /// Redis never delivered the state since the start: this daemon leads without a lease until it does.
    pub(in crate::bus::redis) fn lead_without_redis(&self) {
        self.start_leading(0, None, Vec::new());
        self.detach();
    }

    /// Makes this standby the leader. Its events follow `head`, or begin a generation; `checkpoints` are the
    /// predecessor's. Does nothing while local subscribers have events of a fallback: the state is loaded first.
    pub(in crate::bus::redis) fn start_leading(
        &self,
        fence: u64,
        head: Option<Head>,
        checkpoints: Vec<CallCheckpoint>,
    ) {
        let PbxState { calls: published, link, .. } = self.log.pbx_state(&self.pbx);
        let mut outbox = self.outbox();
        if outbox.fallback.as_ref().is_some_and(|fallback| fallback.published > 0) {
            return;
        }
        self.exit_fallback(&mut outbox);
        let leader = Leadership::Leader { fence, prior: PriorCalls::default() };
        let Leadership::Standby(tracker) = std::mem::replace(&mut outbox.leadership, leader) else { return };
        if let Some(head) = head {
            outbox.continue_after(head);
        }
        let Takeover { missing, unknown, mut prior } = tracker.take_over(published);
        let (events, calls) = (missing.len(), unknown.len() + prior.calls.len());
        // The next channel list decides whether these live.
        prior.calls.extend(unknown.into_iter().map(|view| (view.id, view)));
        outbox.leadership = Leadership::Leader { fence, prior };
        outbox.checkpoints.start(checkpoints);
        for draft in missing {
            self.push(&mut outbox, draft);
        }
        if let Some(draft) = self.link_event_unlike(link.as_ref()) {
            self.push(&mut outbox, draft);
        }
        drop(outbox);
        tracing::info!(pbx = %self.pbx, fence, events, calls, "this daemon leads for its PBX");
        self.leadership_acquired.notify_one();
        self.wake.notify_one();
    }

    /// Another daemon leads: the queue is dropped, and the state is loaded again.
    pub(in crate::bus::redis) fn step_down(&self) {
        let dropped = self.outbox().step_down();
        tracing::warn!(pbx = %self.pbx, dropped, "another daemon leads for this PBX; this daemon stands by");
        self.request_resync();
    }

    /// The lease was renewed, or acquired by a leader without a lease.
    pub(in crate::bus::redis) fn set_fence(&self, new_fence: u64) {
        if let Leadership::Leader { fence, .. } = &mut self.outbox().leadership {
            *fence = new_fence;
        }
    }

    /// Decides how the leader continues where Redis has only `head` of its PBX: with the queue, or with a new generation
    /// and a stream reset (table in `outbox.rs`). `None` on a standby.
    pub(in crate::bus::redis) fn start_upload(&self, head: Option<Head>, at: Timestamp) -> Option<Upload> {
        let mut outbox = self.outbox();
        let Leadership::Leader { fence, .. } = outbox.leadership else { return None };
        outbox.lost |= head.is_some_and(|head| outbox.conflicts_with(head));
        let reset = outbox.lost || head.is_some_and(|head| !outbox.continues(head));
        if outbox.lost || head.is_some_and(|head| head.generation == outbox.generation) {
            for pending in outbox.pending.iter_mut().filter(|pending| !pending.delivered) {
                self.deliver_ahead(pending);
            }
            let publications = outbox.begin_generation(u64::try_from(at.as_millisecond()).unwrap_or(0));
            self.record(publications);
        }
        Some(Upload { fence, head: outbox.resend_all(), reset })
    }

    /// The published state of our PBX.
    pub(in crate::bus::redis) fn own_state(&self) -> PbxState {
        self.log.pbx_state(&self.pbx)
    }

    pub(super) fn set_last_link_event(&self, draft: NewEvent) {
        *self.last_link_event.lock() = Some(draft);
    }

    /// The last event about our link, if it differs from the `published` state.
    pub(in crate::bus::redis) fn link_event_unlike(&self, published: Option<&PbxStatus>) -> Option<NewEvent> {
        let own = self.last_link_event.lock().clone()?;
        let up = matches!(own.change, StateDelta::Pbx { up: true, .. });
        published.is_none_or(|published| published.up != up).then_some(own)
    }

    /// Makes the core list the channels of the PBX, as after acquiring leadership.
    pub(in crate::bus::redis) fn request_pbx_resync(&self) {
        self.leadership_acquired.notify_one();
    }

    /// Returns when this daemon has become the leader, or when a standby has entered fallback.
    pub(in crate::bus) async fn leadership_acquired(&self) {
        self.leadership_acquired.notified().await;
    }

    /// The predecessor's checkpoints: once after leadership was acquired. The core then publishes checkpoints of its own.
    pub(in crate::bus) fn take_predecessor_checkpoints(&self) -> Option<Vec<CallCheckpoint>> {
        let mut outbox = self.outbox();
        if outbox.is_leader() { outbox.checkpoints.take_predecessor() } else { None }
    }

    /// The store has the record of this call: the leader deletes its checkpoint.
    pub(in crate::bus) fn remove_checkpoint(&self, call: CallId) {
        let mut outbox = self.outbox();
        if outbox.is_leader() {
            outbox.checkpoints.remove(call);
            drop(outbox);
            self.wake.notify_one();
        }
    }
}
