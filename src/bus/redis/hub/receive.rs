//! Entries of the shared stream, as the follower reads them.
//!
//! | entry | the hub |
//! |---|---|
//! | our oldest queued event | delivers it, or only moves it to its global place if it was delivered before |
//! | an event of our PBX in a generation that this leader has left, not in the local log | drops it: local subscribers have it under another id, and a stream reset follows |
//! | an event of any PBX behind missing ones, or of a restarted generation (on a standby for every PBX, on a leader for the others) | requests a resync, and delivers nothing more before that |
//! | a stream reset | requests a resync |
//! | any other event | delivers it |
//! | anything while a fallback has published events | is recorded in the tracker, and not delivered (`fallback.rs`) |

use std::sync::Arc;

use super::super::outbox::{Leadership, Outbox};
use super::super::wire::{self, Entry};
use super::Hub;
use crate::bus::event_log::RemoteEvent;
use crate::contract::event::StateDelta;
use crate::contract::event_id::EventId;
use crate::contract::operator::StateView;
use crate::ids::PbxId;

impl Hub {
    /// Handles the next entry of the stream.
    pub(in crate::bus::redis) fn on_entry(&self, entry: Entry) {
        let Some(entry) = self.observe_in_fallback(entry) else { return };
        if entry.is_reset() {
            self.request_resync();
            return;
        }
        let cursor = entry.cursor;
        let mut outbox = entry.belongs_to(&self.pbx).then(|| self.outbox());
        if let Some(outbox) = &mut outbox
            && let Some(own) = entry.id().and_then(|id| outbox.take_read_back(&id))
        {
            if own.delivered {
                self.log.reposition(&own.id);
            } else {
                self.log.append(own.arrival(&self.pbx), true);
            }
            self.record(own.publications);
            return;
        }
        let Some((pbx, id)) = entry.origin() else { return };
        let leads = outbox.as_ref().is_some_and(|outbox| outbox.is_leader());
        let was_left = |outbox: &Outbox| id.stream != wire::stream_of(&self.pbx, outbox.generation);
        if leads && outbox.as_ref().is_some_and(|outbox| was_left(outbox)) && !self.log.contains(&id) {
            return;
        }
        if !leads && !self.advance_last_read(pbx, &id) {
            self.request_resync();
            return;
        }
        let Some(arrival) = entry.decode() else {
            tracing::debug!(%cursor, "skipping an event of another version");
            return;
        };
        if let Some(outbox) = &mut outbox
            && let Leadership::Standby(tracker) = &mut outbox.leadership
        {
            tracker.record_leader(arrival.body.kind, &arrival.change);
        }
        drop(outbox);
        if self.log.contains(&arrival.id) {
            return;
        }
        self.check_ownership(&arrival);
        self.log.append(arrival, true);
    }

    /// Records `id` as the PBX's last event that was read. False, and nothing recorded, when events before it are
    /// missing: the stream was trimmed further than this daemon had read, Redis lost them, or the PBX's daemon began a
    /// generation that does not continue the last one.
    fn advance_last_read(&self, pbx: PbxId, id: &EventId) -> bool {
        let mut last = self.last_read.lock();
        let Some(before) = last.get_mut(&pbx) else {
            last.insert(pbx, id.clone());
            return true;
        };
        let next = if before.stream == id.stream { before.position.saturating_add(1) } else { 1 };
        if id.position > next || !wire::is_continuation(&before.stream, &id.stream) {
            return false;
        }
        if id.position == next {
            *before = id.clone();
        }
        true
    }

    /// The daemon of another PBX published the state of an operator whom this PBX owns, because it did not read our
    /// claim: the core compares its operators' states with the published ones, and publishes its own again.
    fn check_ownership(&self, arrival: &RemoteEvent) {
        let StateDelta::Operator(view) = &arrival.change else { return };
        let is_ours = |published: Arc<StateView>| published.pbx.as_ref() == Some(&self.pbx);
        if arrival.pbx != self.pbx && self.log.operator(view.id).is_some_and(is_ours) {
            self.ownership_changed.notify_one();
        }
    }
}
