//! Pops in the loop: what was told and shown, what is sent again, what the supervisors hear.
//!
//! Invariant: an acknowledgement never makes anybody wait; what became of each pop is in the story of its call.

use jiff::Timestamp;

use super::core::Core;
use crate::announce;
use crate::bus::{Audience, Change, Draft, EventId, EventKind};
use crate::call::{Notice, NoticeKind};
use crate::command::Actor;
use crate::ids::{CallId, Extension};
use crate::pop::{Due, Unconfirmed};

impl Core {
    /// What these notices, told as these events, mean for the pops that are open.
    pub(super) fn pops_told(&mut self, notices: &[(CallId, NoticeKind)], ids: &[EventId]) {
        let now = self.clock.now();
        for ((call, kind), id) in notices.iter().zip(ids) {
            match kind {
                NoticeKind::Presented { operator } => {
                    self.pops.presented(now, *call, operator.clone(), Some(id.clone()));
                }
                NoticeKind::Rescinded { operator, .. } => self.pops.withdrawn(*call, operator),
                NoticeKind::Ended { .. } => self.pops.ended(*call),
                _ => {}
            }
        }
    }

    /// Pops that an earlier run told and that nobody has confirmed yet get their time again.
    pub(super) fn pops_recalled(&mut self) {
        let now = self.clock.now();
        let waiting: Vec<_> = self
            .model
            .calls()
            .flat_map(|call| call.presented_to.iter().map(|o| (call.id, o.clone())).collect::<Vec<_>>())
            .filter(|(call, operator)| !self.journal.was_shown(*call, operator))
            .collect();
        for (call, operator) in waiting {
            self.pops.presented(now, call, operator, None);
        }
    }

    /// A desktop says that it has shown the pop of a call.
    pub(super) fn acknowledge(&mut self, actor: &Actor, call: CallId) {
        let Some(operator) = actor.viewer.extension() else { return };
        if let Some(due) = self.pops.acknowledged(call, operator) {
            let now = self.clock.now();
            self.pop_due(now, due);
        }
    }

    pub(super) fn pops_timeout(&mut self) {
        let now = self.clock.now();
        let (people, presence) = (self.parts.people.current(), &self.parts.presence);
        let desktops = |operator: &Extension| people.at(operator).map_or(0, |person| presence.of(person.id));
        for due in self.pops.handle_timeout(now, desktops) {
            self.pop_due(now, due);
        }
    }

    fn pop_due(&mut self, now: Timestamp, due: Due) {
        // Desktops answer the daemon that leads.
        if !self.parts.bus.leads() {
            return;
        }
        match due {
            Due::Repeat { call, operator, event } => self.repeat_pop(now, call, operator, event.as_ref()),
            Due::Shown { call, operator, since } => {
                self.journal.note_pop(call, "shown", &operator, since, now, None);
                let keeps = self.keep(call).into_iter().collect();
                self.parts.bus.publish_all(Vec::new(), keeps);
            }
            Due::Unacknowledged { call, operator, since, reason } => {
                let (word, counter) = match reason {
                    Unconfirmed::NoDesktop => ("no_desktop", &self.parts.figures.pops_without_desktop),
                    Unconfirmed::NotConfirmed => ("not_confirmed", &self.parts.figures.pops_not_confirmed),
                };
                counter.inc();
                tracing::warn!(%call, %operator, reason = word, "nobody said that this pop was shown");
                self.journal.note_pop(call, "unacknowledged", &operator, since, now, Some(word));
                let Some(view) = self.model.call(call) else { return };
                let draft = announce::unacknowledged(&view, &operator, reason, since, now);
                let keeps = self.keep(call).into_iter().collect();
                self.parts.bus.publish_all(vec![draft], keeps);
            }
        }
    }

    fn repeat_pop(&mut self, now: Timestamp, call: CallId, operator: Extension, event: Option<&EventId>) {
        let Some(view) = self.model.call(call) else { return };
        self.parts.figures.pops_repeated.inc();
        let kind = NoticeKind::Presented { operator: operator.clone() };
        let mut draft = announce::announce(&Notice { at: now, kind, view });
        self.mark_transfer(&mut draft);
        if let Some(data) = draft.data.as_object_mut() {
            data.insert("repeats".into(), event.map(ToString::to_string).unwrap_or_default().into());
        }
        debug_assert_eq!(draft.kind, EventKind::CallPresented, "a pop again");
        let audience = Audience::Desktop(operator);
        self.parts.bus.publish(Draft { audience, change: Change::None, ..draft });
    }
}
