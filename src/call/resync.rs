//! Resync: what a complete list of channels says after a gap of the link.
//!
//! | input | effect |
//! |---|---|
//! | `LinkUp { restarted: true }` | every leg is over: their calls end, inferred |
//! | `ListBegan` | remembers the moment |
//! | `ChannelListed` | the leg is made or brought up to date, and put into its bridge; nothing is told of it |
//! | `ListEnded` | what the listed legs mean is told, inferred; legs older than the list and not in it are over, inferred |
//! | `ListFailed`, `LinkDown` | nothing is concluded |
//!
//! Invariant: a list may be older than the events that came before its lines were read: a channel known to be
//! gone is not revived, and a channel that appeared while the list was taken is not judged by it.

use jiff::Timestamp;

use super::model::{Listing, Model};
use crate::ami::event::{BridgeKind, Channel};
use crate::ids::{BridgeId, ChannelId};

/// Q.850 cause given to a leg whose end nobody saw.
const CAUSE_UNKNOWN: u16 = 0;

impl Model {
    pub(crate) fn link_up(&mut self, now: Timestamp, restarted: bool) {
        if restarted {
            let all: Vec<ChannelId> = self.legs.keys().cloned().collect();
            self.conclude_gone(now, all);
        }
    }

    pub(crate) fn list_began(&mut self) {
        self.listing = Some(Listing { began_at: self.inputs, ..Listing::default() });
    }

    pub(crate) fn leg_listed(&mut self, now: Timestamp, channel: &Channel, bridge: Option<BridgeId>) {
        let Some(listing) = &mut self.listing else { return };
        listing.seen.insert(channel.id.clone());
        self.inferring = true;
        if let Some(id) = self.leg(now, channel) {
            match bridge {
                Some(bridge) => {
                    let kind = self.bridges.get(&bridge).map_or(BridgeKind::Mixing, |b| b.kind);
                    self.bridge_entered(now, &bridge, kind, channel);
                }
                None => self.leave_bridge(&channel.id),
            }
            self.settle(now, id);
        }
        self.inferring = false;
    }

    pub(crate) fn list_ended(&mut self, now: Timestamp) {
        let Some(listing) = self.listing.take() else { return };
        let missing = self
            .legs
            .iter()
            .filter(|(id, leg)| leg.seen_at < listing.began_at && !listing.seen.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        self.inferring = true;
        for id in listing.touched {
            self.settle(now, id);
        }
        self.inferring = false;
        self.conclude_gone(now, missing);
    }

    /// In the order the legs appeared, so that the same list gives the same notices.
    fn conclude_gone(&mut self, now: Timestamp, mut legs: Vec<ChannelId>) {
        legs.sort_by_cached_key(|id| (self.legs.get(id).map(|leg| leg.seen_at), id.clone()));
        self.inferring = true;
        for id in legs {
            self.leg_gone(now, &id, CAUSE_UNKNOWN);
        }
        self.inferring = false;
    }
}
