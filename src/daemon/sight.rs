//! What supervision sees: the call model, the accounts and the people, through the rules.
//!
//! Invariant: reading changes nothing and waits for nothing. A call whose account is never monitored, or not known
//! yet, is not there.

use std::sync::Arc;

use smol_str::SmolStr;

use super::core::Parts;
use crate::call::Model;
use crate::config::SupervisionConfig;
use crate::directory::Directory;
use crate::directory::record::Account;
use crate::ids::{CallId, ChannelId, Extension, RecordId};
use crate::operator::People;
use crate::supervision::{Mode, Notify, Place, Session, Settings, Supervisions, World, may_supervise};

/// The world of this moment.
pub(super) struct Sight<'a> {
    model: &'a Model,
    directory: &'a Directory,
    people: &'a People,
    notify: Notify,
}

/// The world as this model and these parts have it.
pub(super) fn sight<'a>(model: &'a Model, parts: &'a Parts) -> Sight<'a> {
    Sight { model, directory: &parts.directory, people: &parts.people, notify: parts.notify }
}

impl Sight<'_> {
    /// The account that a call is for; outside `None`: the directory has not said yet.
    fn account(&self, call: CallId) -> Option<Option<Arc<Account>>> {
        let card = self.model.call(call).and_then(|view| view.card)?;
        Some(card.account.id.and_then(|id| self.directory.account(id)))
    }

    /// Until the directory has said for whom a call is, nobody listens.
    pub(super) fn is_open(&self, call: CallId) -> bool {
        let account = self.account(call);
        account.is_some_and(|account| account.is_none_or(|account| !account.fields.never_monitor))
    }

    fn notify(&self, call: CallId) -> Notify {
        let account = self.account(call).flatten();
        account.and_then(|account| account.fields.supervision_notify).unwrap_or(self.notify)
    }

    /// Wherever she is, whether or not anybody may hear it.
    fn any_of_call(&self, call: CallId) -> Option<Place> {
        let parties = self.model.parties(call)?;
        let (operator, channel) = parties.operator?;
        let notify = self.notify(call);
        Some(Place { call, operator, channel, caller: parties.caller, notify, outside: false })
    }
}

impl World for Sight<'_> {
    fn of_operator(&self, operator: &Extension) -> Option<Place> {
        self.of_call(self.model.call_at(operator)?)
    }

    fn of_call(&self, call: CallId) -> Option<Place> {
        self.any_of_call(call).filter(|_| self.is_open(call))
    }

    fn outside(&self, call: CallId) -> Option<ChannelId> {
        let caller = self.model.parties(call)?.caller.filter(|_| self.is_open(call))?;
        let bridge = self.model.leg_view(&caller)?.bridge?;
        let is_outside = |leg: &ChannelId| {
            let view = self.model.leg_view(leg);
            *leg != caller && !Session::is_leg(leg) && view.is_some_and(|v| !v.local && v.phone.is_none())
        };
        self.model.in_bridge(&bridge).into_iter().find(is_outside)
    }

    fn lives(&self, call: CallId) -> bool {
        self.model.call(call).is_some()
    }

    fn may_hear(
        &self,
        user: RecordId,
        mode: Mode,
        operator: &Extension,
        released: Option<&Extension>,
    ) -> bool {
        let roster = self.people.current();
        roster.viewer(user).is_some_and(|viewer| may_supervise(viewer, operator, mode, released))
    }

    fn name_of(&self, user: RecordId) -> SmolStr {
        self.people.current().person(user).map(|person| person.name.as_str().into()).unwrap_or_default()
    }
}

/// A machine as the configuration wants it.
pub(super) fn machine(config: &SupervisionConfig) -> Supervisions {
    Supervisions::new(Settings {
        ring: config.ring,
        auto_answer: config.auto_answer,
        notify: config.notify,
        after_transfer: config.after_transfer,
    })
}
