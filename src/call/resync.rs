//! Resync: brings the model up to date from a complete list of channels, after a gap of the PBX link.
//!
//! | input | effect |
//! |---|---|
//! | `LinkUp { restarted: true }` | every leg is removed; their calls end, inferred |
//! | `ListBegan` | the input count is stored: the list judges only legs that are older |
//! | `ChannelListed` | the leg is created or updated, and put into its bridge; no notice yet |
//! | `ListEnded` | the calls of the listed legs are derived, inferred; older legs that are not in the list are removed, inferred |
//! | `ListFailed`, `LinkDown` | the list is dropped; no leg is removed |
//!
//! Invariant: the lines of a list may be older than events that the model took before them. A channel that is known to
//! be gone is not revived, and a channel that appeared while the list was read is not removed by it.

use jiff::Timestamp;

use super::model::{Listing, Model};
use crate::ami::event::{BridgeKind, Channel};
use crate::ids::{BridgeId, CallId, ChannelId};

/// Q.850 cause for a leg whose hang-up was missed.
const CAUSE_UNKNOWN: u16 = 0;

impl Model {
    pub(crate) fn on_link_up(&mut self, now: Timestamp, restarted: bool) {
        if restarted {
            let all: Vec<ChannelId> = self.legs.keys().cloned().collect();
            self.remove_missing(now, all);
        }
    }

    pub(crate) fn on_list_began(&mut self) {
        self.listing = Some(Listing { began_at: self.inputs, ..Listing::default() });
    }

    pub(crate) fn on_channel_listed(
        &mut self,
        now: Timestamp,
        channel: &Channel,
        bridge: Option<BridgeId>,
        application: &str,
    ) {
        let Some(listing) = &mut self.listing else { return };
        listing.seen.insert(channel.id.clone());
        self.inferring = true;
        if let Some(id) = self.upsert_leg(now, channel) {
            let waiting = self.recalling_call(channel);
            let id = waiting.map_or(id, |waiting| self.merge_calls(now, waiting, id));
            self.find_in_queue(id, channel, bridge.is_none() && application.eq_ignore_ascii_case("Queue"));
            match bridge {
                Some(bridge) => {
                    let kind = self.bridges.get(&bridge).map_or(BridgeKind::Mixing, |b| b.kind);
                    self.on_bridge_entered(now, &bridge, kind, channel);
                }
                None => self.leave_bridge(&channel.id),
            }
            self.derive(now, id);
        }
        self.inferring = false;
    }

    /// A caller whom this list was the first to show, and who waits in a queue. Of others the queue's events tell more
    /// than a list, which may be older.
    fn find_in_queue(&mut self, id: CallId, channel: &Channel, is_in_queue: bool) {
        let is_new = self.legs.get(&channel.id).is_some_and(|leg| leg.seen_at == self.inputs);
        if is_new
            && is_in_queue
            && let Some(call) = self.calls.get_mut(&id)
            && call.caller.as_ref() == Some(&channel.id)
        {
            (call.queued, call.tried) = (true, true);
        }
    }

    pub(crate) fn on_list_ended(&mut self, now: Timestamp) {
        let Some(listing) = self.listing.take() else { return };
        let missing = self
            .legs
            .iter()
            .filter(|(id, leg)| leg.seen_at < listing.began_at && !listing.seen.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        self.inferring = true;
        for id in listing.touched {
            self.derive(now, id);
        }
        self.inferring = false;
        self.remove_missing(now, missing);
    }

    /// Removes legs in the order in which they appeared, so that the same list gives the same notices.
    fn remove_missing(&mut self, now: Timestamp, mut legs: Vec<ChannelId>) {
        legs.sort_by_cached_key(|id| (self.legs.get(id).map(|leg| leg.seen_at), id.clone()));
        self.inferring = true;
        for id in legs {
            self.remove_leg(now, &id, CAUSE_UNKNOWN);
        }
        self.inferring = false;
    }
}
