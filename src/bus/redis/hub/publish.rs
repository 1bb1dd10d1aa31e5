//! Publishing events of our own PBX.
//!
//! | this daemon | an event | a record |
//! |---|---|---|
//! | leads, connected | is queued, and delivered once it was read back from the stream | goes to the journal at once |
//! | leads, detached | is delivered at once, and queued | goes to the journal at once |
//! | stands by | is recorded in the tracker, and published locally in fallback | goes to the journal if it is a finished call; others are the leader's |
//!
//! A message publication is recorded only when the last event published before it was read back: an event that another
//! leader has to publish instead does not count as published.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::super::outbox::{Leadership, Outbox, Pending};
use super::Hub;
use crate::contract::call::CallView;
use crate::contract::event::{Body, NewEvent, StateDelta};
use crate::contract::event_id::EventId;
use crate::journal::entry::JournalEntry;
use crate::publish;

impl Hub {
    /// Publishes `drafts` in order, and records `keeps`. Checkpoints go to Redis after these events (`checkpoints.rs`).
    pub(in crate::bus) fn publish_all(
        &self,
        drafts: Vec<NewEvent>,
        keeps: Vec<JournalEntry>,
    ) -> Vec<EventId> {
        let mut outbox = self.outbox();
        let ids = drafts.into_iter().map(|draft| self.publish_one(&mut outbox, draft)).collect();
        let leads = outbox.is_leader();
        let mut records = Vec::new();
        for keep in keeps {
            match keep {
                JournalEntry::Checkpoint(live) if leads => outbox.checkpoints.upsert(*live),
                JournalEntry::Checkpoint(_) => {}
                JournalEntry::Finished(record) => {
                    if leads {
                        outbox.checkpoints.finish(&record);
                    }
                    records.push(JournalEntry::Finished(record));
                }
                JournalEntry::Audit(_) | JournalEntry::OperatorState(_) | JournalEntry::WrapUp(_) => {
                    records.push(keep)
                }
                // Two daemons of one PBX would record these twice, and what only a standby missed is no gap.
                JournalEntry::SegmentChange(_) | JournalEntry::Gap(_) | JournalEntry::PbxLink(_) => {
                    if leads {
                        records.push(keep);
                    }
                }
                JournalEntry::MessagePublished(_)
                | JournalEntry::FaxPublished(_)
                | JournalEntry::VoicePublished(_) => match outbox.pending.back_mut() {
                    Some(last) => last.publications.push(keep),
                    None if leads => records.push(keep),
                    None => {}
                },
            }
        }
        drop(outbox);
        if leads {
            self.wake.notify_one();
        }
        self.record(records);
        ids
    }

    pub(super) fn record(&self, records: Vec<JournalEntry>) {
        if let Some(journal) = self.journal.as_ref().filter(|_| !records.is_empty()) {
            journal.add(0, &[], 0, records);
        }
    }

    /// The leader publishes `draft`; a standby records it.
    fn publish_one(&self, outbox: &mut Outbox, draft: NewEvent) -> EventId {
        if let StateDelta::Pbx { up, .. } = draft.change {
            self.link_up.store(up, Ordering::Relaxed);
            self.set_last_link_event(draft.clone());
        }
        let in_fallback = outbox.fallback.is_some();
        match &mut outbox.leadership {
            Leadership::Standby(tracker) => {
                let local = in_fallback.then(|| draft.clone());
                if matches!(draft.change, StateDelta::Pbx { up: false, .. }) {
                    tracker.forget_tracks();
                } else {
                    tracker.record_local(draft);
                }
                if let Some(draft) = local {
                    self.publish_in_fallback(outbox, draft);
                }
            }
            Leadership::Leader { prior, .. } => {
                if prior.admit(&draft) {
                    return self.push(outbox, draft);
                }
            }
        }
        self.log.head()
    }

    pub(super) fn push(&self, outbox: &mut Outbox, draft: NewEvent) -> EventId {
        let body = Arc::new(Body::of(&draft, &self.pbx));
        let detached = outbox.detached;
        let pending = outbox.push(draft, body, &self.pbx);
        if detached {
            self.deliver_ahead(pending);
        }
        pending.id.clone()
    }

    /// Delivers a queued event to local subscribers before its place in the global order is known.
    pub(super) fn deliver_ahead(&self, pending: &mut Pending) {
        pending.after = self.log.last_ordered();
        pending.delivered = true;
        self.log.append(pending.arrival(&self.pbx), false);
    }

    /// Compares the published calls with a complete channel list, of which `live` are the calls. Publishes first which
    /// operators no longer ring, then which calls have ended; returns the latter.
    pub(in crate::bus) fn reconcile_calls(&self, live: &[CallView], at: Timestamp) -> Vec<Arc<CallView>> {
        let mut outbox = self.outbox();
        let Leadership::Leader { prior, .. } = &mut outbox.leadership else {
            self.reconcile_fallback(&mut outbox, live, at);
            return Vec::new();
        };
        let (ended, silent) = prior.reconcile(live);
        for (view, operator) in silent {
            self.push(&mut outbox, publish::inferred_rescind(&view, operator, at));
        }
        for view in &ended {
            self.push(&mut outbox, publish::inferred_end(view, at));
        }
        drop(outbox);
        self.wake.notify_one();
        ended
    }

    /// Redis does not answer, or an event was not read back in time: the leader delivers the queue to local subscribers,
    /// and from now on each event at once. Does nothing on a standby.
    pub(in crate::bus::redis) fn detach(&self) {
        let mut outbox = self.outbox();
        if !outbox.is_leader() || outbox.detached {
            return;
        }
        outbox.detached = true;
        outbox.put_in_doubt(&self.pbx);
        for pending in outbox.pending.iter_mut().filter(|pending| !pending.delivered) {
            self.deliver_ahead(pending);
        }
        tracing::warn!(pbx = %self.pbx, "the leader is detached from Redis: it delivers events locally and spools them");
    }

    /// Ends the detached state once every queued event was read back.
    pub(in crate::bus::redis) fn attach_if_drained(&self) {
        let mut outbox = self.outbox();
        // Events that were delivered at once are never in doubt, so an empty queue is enough.
        if outbox.detached && outbox.pending.is_empty() {
            outbox.detached = false;
            tracing::info!(pbx = %self.pbx, "Redis has all spooled events");
        }
    }
}
