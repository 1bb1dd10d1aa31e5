//! Recall: Asterisk calls an operator back with the caller, after a consultation in vain.
//!
//! An operator who hangs up while the consulted phone rings leaves the caller to the PBX (`atxferdropcall = no`). If nobody
//! answers within `atxfernoanswertimeout`, the PBX dials the operator's phone again. No event connects this new channel with
//! the call: nobody dials it, and it has a linked id of its own until it is answered and enters the caller's bridge. What
//! shows whose call it is, is the operator's former channel: the PBX holds back its end for as long as it tries.
//!
//! Invariant: a phone that nobody dials rings for an inbound call only while the former channel of the same phone is alive,
//! was hung up by its far end, and the call's caller is with no operator.

use super::leg::Leg;
use super::model::Model;
use crate::ami::event::{Channel, ChannelState};
use crate::ids::{CallId, ChannelId};

impl Model {
    /// The call with whose caller the PBX dials this phone back; `None` if it is dialled for another reason.
    pub(crate) fn recalling_call(&self, dialled: &Channel) -> Option<CallId> {
        let leg = self.legs.get(&dialled.id).filter(|leg| leg.dialled_by.is_none())?;
        leg.endpoint.phone()?;
        // In a list, a phone that rings is one that was dialled.
        let is_dialled = leg.dialled || (leg.found && leg.state == ChannelState::Ringing);
        if !is_dialled || dialled.id != dialled.linked {
            return None;
        }
        let former = |(id, former): &(&ChannelId, &Leg)| {
            former.endpoint == leg.endpoint
                && former.hung_up
                && former.bridge.is_none()
                && self.awaits_recall(former.call, id)
        };
        let newest = self.legs.iter().filter(former).max_by_key(|(_, former)| former.seen_at);
        newest.map(|(_, former)| former.call)
    }

    /// Whether this leg had the caller of the call, who is on the line and with no operator.
    fn awaits_recall(&self, id: CallId, leg: &ChannelId) -> bool {
        let Some(call) = self.calls.get(&id).filter(|call| call.is_reportable()) else { return false };
        let caller = call.caller.as_ref().and_then(|caller| self.legs.get(caller));
        call.operators_legs.contains(leg)
            && call.operator.is_none()
            && caller.is_some_and(|caller| caller.hangup_requested.is_none())
    }
}
