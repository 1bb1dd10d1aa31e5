//! Replacing the local state with Redis' state.
//!
//! Every live subscriber is cut off. One that resumes from an id that Redis still has, or that this gateway spools,
//! resumes there; every other one gets a snapshot.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::outbox::Leadership;
use super::super::position::{Cursor, Head};
use super::super::wire;
use super::Hub;
use crate::bus::event_log::{LoadedState, RemoteEvent};
use crate::contract::call::CallView;
use crate::contract::event::PbxStatus;
use crate::contract::event_id::EventId;
use crate::contract::operator::StateView;
use crate::ids::PbxId;

/// The state of all PBXes as Redis has it.
#[derive(Debug, Default)]
pub(in crate::bus::redis) struct ClusterState {
    pub(in crate::bus::redis) cursor: Cursor,
    pub(in crate::bus::redis) heads: Vec<(PbxId, Head)>,
    pub(in crate::bus::redis) links: Vec<PbxStatus>,
    pub(in crate::bus::redis) calls: Vec<CallView>,
    pub(in crate::bus::redis) operators: Vec<StateView>,
    /// The events that led to it, oldest first.
    pub(in crate::bus::redis) recent: Vec<RemoteEvent>,
}

impl Hub {
    /// Replaces the local state, ends a fallback, and appends the events that local subscribers have and Redis has not.
    pub(in crate::bus::redis) fn load(&self, found: ClusterState) {
        let mut outbox = self.outbox();
        self.needs_resync.store(false, Ordering::Relaxed);
        self.loaded.store(true, Ordering::Relaxed);
        self.exit_fallback(&mut outbox);
        let own = wire::stream_of(&self.pbx, outbox.generation);
        let beginning = found.recent.first().map_or(EventId { stream: own, position: 0 }, |first| EventId {
            position: 0,
            ..first.id.clone()
        });
        let cursor = found.cursor;
        *self.last_read.lock() = found
            .heads
            .into_iter()
            .map(|(pbx, Head { generation, position })| {
                let stream = wire::stream_of(&pbx, generation);
                (pbx, EventId { stream, position })
            })
            .collect();
        let recent = found.recent;
        if let Leadership::Standby(tracker) = &mut outbox.leadership {
            let own = |arrival: &&RemoteEvent| arrival.pbx == self.pbx;
            let past = recent.iter().filter(own).map(|arrival| (arrival.body.kind, &arrival.change));
            tracker.resync(past, found.calls.iter().map(|call| call.id));
        }
        let in_redis: HashSet<EventId> = recent.iter().map(|arrival| arrival.id.clone()).collect();
        let calls = found.calls.into_iter().map(Arc::new).collect();
        let operators = found.operators.into_iter().map(Arc::new).collect();
        self.log.load(LoadedState { beginning, calls, links: found.links, operators, recent });
        for pending in outbox.pending.iter().filter(|p| p.delivered && !in_redis.contains(&p.id)) {
            self.log.append(pending.arrival(&self.pbx), false);
        }
        let mut publications = Vec::new();
        while let Some(front) = outbox.pending.front().filter(|front| in_redis.contains(&front.id)) {
            let id = front.id.clone();
            publications.extend(outbox.take_read_back(&id).into_iter().flat_map(|own| own.publications));
        }
        drop(outbox);
        self.record(publications);
        self.set_cursor(cursor);
    }
}
