//! Operators who picked up and are not connected with the caller yet, because the PBX has something to say to them before: an
//! announcement, or that they press a key.
//!
//! Invariant: a phone is reported at most once, [`ANNOUNCEMENT_MIN`] after its pick-up, and only if that was seen: of a phone that a
//! list or a restart found, nobody knows when it was picked up. Where a PBX has nothing to say, it connects the two sooner.

use std::time::Duration;

use jiff::Timestamp;

use super::model::{Model, TimerKind};
use super::output::NoticeKind;
use super::stage::deadline_after;
use crate::ids::CallId;

/// A phone that is connected sooner after its pick-up heard no announcement.
pub const ANNOUNCEMENT_MIN: Duration = Duration::from_millis(250);

impl Model {
    /// Queues a notice for each phone that was picked up so long ago, and sets the timer for the next one.
    pub(super) fn note_announced(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let (mut due, mut next) = (Vec::new(), None);
        for channel in call.legs.iter().filter(|_| call.operator.is_none()) {
            let Some(leg) = self.legs.get(channel).filter(|leg| !leg.announced && !leg.found) else {
                continue;
            };
            let (Some(operator), Some(picked_up_at)) = (leg.endpoint.phone(), leg.picked_up_at) else {
                continue;
            };
            if !self.is_picked_up(call, channel) {
                continue;
            }
            let at = deadline_after(picked_up_at, ANNOUNCEMENT_MIN);
            if at <= now {
                due.push((channel.clone(), operator.clone(), picked_up_at));
            } else {
                next = Some(next.map_or(at, |earliest: Timestamp| earliest.min(at)));
            }
        }
        for (channel, _, _) in &due {
            if let Some(leg) = self.legs.get_mut(channel) {
                leg.announced = true;
            }
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        for (_, operator, picked_up_at) in due {
            call.push_notice(now, NoticeKind::Announced { operator, picked_up_at });
        }
        let before = std::mem::replace(&mut call.announced_from, next);
        if before == next {
            return;
        }
        if let Some(at) = before {
            self.clear_timer(at, id, TimerKind::Announced);
        }
        if let Some(at) = next {
            self.set_timer(at, id, TimerKind::Announced);
        }
    }
}
