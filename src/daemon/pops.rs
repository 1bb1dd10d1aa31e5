//! Screen pops in the loop: tracks published pops, repeats those that no desktop acknowledged, and reports the failures.
//!
//! | a pop | only the leader |
//! |---|---|
//! | is acknowledged | adds a `shown` segment to the call's timeline |
//! | is due to be repeated | publishes it again, to that operator's desktops alone |
//! | is due to be reported | adds an `unacknowledged` segment and publishes `pop.unacknowledged` with the reason |
//!
//! When a pop is due is decided in `screen_pop.rs`.
//!
//! Invariants: an acknowledgement is answered at once. The outcome of each pop is in the timeline of its call.

use jiff::Timestamp;

use super::core::Core;
use crate::call::{Notice, NoticeKind};
use crate::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use crate::contract::event_id::EventId;
use crate::ids::{CallId, Extension};
use crate::people::actor::Actor;
use crate::publish;
use crate::screen_pop::{PopOutcome, UnackedReason};

impl Core {
    /// Updates the open pops from these notices, which were published under these event ids (in the same order).
    pub(super) fn track_pops(&mut self, notices: &[(CallId, NoticeKind)], ids: &[EventId]) {
        let now = self.clock.now();
        for ((call, kind), id) in notices.iter().zip(ids) {
            match kind {
                NoticeKind::Presented { operator } => {
                    self.pops.open(now, *call, operator.clone(), Some(id.clone()));
                }
                NoticeKind::Rescinded { operator, .. } => self.pops.withdraw(*call, operator),
                NoticeKind::Ended { .. } => self.pops.end_call(*call),
                _ => {}
            }
        }
    }

    /// Tracks the pops that an earlier run published and no desktop acknowledged; their time-outs start again.
    pub(super) fn restore_pops(&mut self) {
        let now = self.clock.now();
        let unacknowledged: Vec<_> = self
            .model
            .calls()
            .flat_map(|call| call.presented_to.iter().map(|o| (call.id, o.clone())).collect::<Vec<_>>())
            .filter(|(call, operator)| !self.timelines.was_shown(*call, operator))
            .collect();
        for (call, operator) in unacknowledged {
            self.pops.open(now, call, operator, None);
        }
    }

    /// A desktop acknowledges the pop of a call.
    pub(super) fn acknowledge(&mut self, actor: &Actor, call: CallId) {
        let Some(operator) = actor.viewer.extension() else { return };
        if let Some(due) = self.pops.acknowledge(call, operator) {
            let now = self.clock.now();
            self.on_pop_outcome(now, due);
        }
    }

    pub(super) fn pops_timeout(&mut self) {
        let now = self.clock.now();
        let (people, presence) = (self.deps.people.current(), &self.deps.presence);
        let desktops =
            |operator: &Extension| people.at(operator).map_or(0, |person| presence.total(person.id));
        for due in self.pops.handle_timeout(now, desktops) {
            self.on_pop_outcome(now, due);
        }
    }

    fn on_pop_outcome(&mut self, now: Timestamp, due: PopOutcome) {
        // Acknowledgements reach the leader alone, so a standby knows no outcome.
        if !self.deps.bus.is_leader() {
            return;
        }
        match due {
            PopOutcome::Repeat { call, operator, event } => {
                self.repeat_pop(now, call, operator, event.as_ref())
            }
            PopOutcome::Shown { call, operator, since } => {
                self.timelines.record_pop(call, "shown", &operator, since, now, None);
                let entries = self.checkpoint_entry(call).into_iter().collect();
                self.deps.bus.publish_all(Vec::new(), entries);
            }
            PopOutcome::Unacknowledged { call, operator, since, reason } => {
                let (reason_name, counter) = match reason {
                    UnackedReason::NoDesktop => ("no_desktop", &self.deps.stats.pops_without_desktop),
                    UnackedReason::NotConfirmed => ("not_confirmed", &self.deps.stats.pops_not_confirmed),
                };
                counter.inc();
                tracing::warn!(%call, %operator, reason = reason_name, "no desktop acknowledged this pop");
                self.timelines.record_pop(call, "unacknowledged", &operator, since, now, Some(reason_name));
                let Some(view) = self.model.call(call) else { return };
                let event = publish::pop_unacknowledged(&view, &operator, reason, since, now);
                let entries = self.checkpoint_entry(call).into_iter().collect();
                self.deps.bus.publish_all(vec![event], entries);
            }
        }
    }

    fn repeat_pop(&mut self, now: Timestamp, call: CallId, operator: Extension, first: Option<&EventId>) {
        let Some(view) = self.model.call(call) else { return };
        self.deps.stats.pops_repeated.inc();
        let kind = NoticeKind::Presented { operator: operator.clone() };
        let mut repeated = publish::from_notice(&Notice { at: now, kind, view });
        self.add_transfer(&mut repeated);
        if let Some(data) = repeated.data.as_object_mut() {
            data.insert("repeats".into(), first.map(ToString::to_string).unwrap_or_default().into());
        }
        debug_assert_eq!(repeated.kind, EventKind::CallPresented, "a repeated pop");
        let audience = Audience::Desktop(operator);
        self.deps.bus.publish(NewEvent { audience, change: StateDelta::None, ..repeated });
    }
}
