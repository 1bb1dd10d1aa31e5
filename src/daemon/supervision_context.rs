//! The supervision machine's environment: the call model, the accounts and the people, filtered by the rules.
//!
//! Invariant: reading changes nothing and waits for nothing. A call whose account is never monitored, or not yet
//! identified, does not exist for the machine.

use std::sync::Arc;

use smol_str::SmolStr;

use super::core::Deps;
use crate::call::{EndpointRules, Model};
use crate::config::SupervisionConfig;
use crate::contract::records::Account;
use crate::contract::supervision::{Mode, Notify};
use crate::contract::transfer::State;
use crate::directory::Directory;
use crate::ids::{CallId, ChannelId, Extension, RecordId};
use crate::people::actor::Actor;
use crate::people::roster::People;
use crate::supervision::authorise::{CommandContext, TransferPhase};
use crate::supervision::{Environment, MonitorTarget, Session, Settings, Supervisions, may_supervise};
use crate::transfer::Transfers;

/// The environment at this moment.
pub(super) struct SupervisionContext<'a> {
    model: &'a Model,
    directory: &'a Directory,
    people: &'a People,
    transfers: &'a Transfers,
    rules: &'a EndpointRules,
    notify: Notify,
}

/// The environment that these machines and services make.
pub(super) fn supervision_context<'a>(
    model: &'a Model,
    transfers: &'a Transfers,
    deps: &'a Deps,
) -> SupervisionContext<'a> {
    SupervisionContext {
        model,
        directory: &deps.directory,
        people: &deps.people,
        transfers,
        rules: &deps.plan,
        notify: deps.notify,
    }
}

impl SupervisionContext<'_> {
    /// The account that a call is for. Outer `None`: the directory has not identified the call yet.
    fn account(&self, call: CallId) -> Option<Option<Arc<Account>>> {
        let card = self.model.call(call).and_then(|view| view.card)?;
        Some(card.account.id.and_then(|id| self.directory.account(id)))
    }

    fn notify(&self, call: CallId) -> Notify {
        let account = self.account(call).flatten();
        account.and_then(|account| account.fields.supervision_notify).unwrap_or(self.notify)
    }

    /// The call's target, whether or not it may be monitored.
    fn target_of_call(&self, call: CallId) -> Option<MonitorTarget> {
        let parties = self.model.parties(call)?;
        let (operator, channel) = parties.operator?;
        let notify = self.notify(call);
        Some(MonitorTarget { call, operator, channel, caller: parties.caller, notify, external: false })
    }
}

impl Environment for SupervisionContext<'_> {
    fn monitorable_operator(&self, operator: &Extension) -> Option<MonitorTarget> {
        self.monitorable_call(self.model.call_of_operator(operator)?)
    }

    fn monitorable_call(&self, call: CallId) -> Option<MonitorTarget> {
        self.target_of_call(call).filter(|_| self.may_be_monitored(call))
    }

    fn external_party(&self, call: CallId) -> Option<ChannelId> {
        let caller = self.model.parties(call)?.caller.filter(|_| self.may_be_monitored(call))?;
        let bridge = self.model.leg_view(&caller)?.bridge?;
        let is_external = |leg: &ChannelId| {
            let view = self.model.leg_view(leg);
            *leg != caller && !Session::is_leg(leg) && view.is_some_and(|v| !v.local && v.phone.is_none())
        };
        self.model.channels_in_bridge(&bridge).into_iter().find(is_external)
    }

    fn is_live(&self, call: CallId) -> bool {
        self.model.call(call).is_some()
    }

    fn may_supervise(
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

impl CommandContext for SupervisionContext<'_> {
    fn call_of_operator(&self, operator: &Extension) -> Option<CallId> {
        self.model.call_of_operator(operator)
    }

    fn is_visible(&self, call: CallId, actor: &Actor) -> bool {
        self.model.call(call).is_some_and(|view| actor.sees(&view))
    }

    fn operator_of(&self, call: CallId) -> Option<Extension> {
        self.model.operator_of(call)
    }

    fn may_be_monitored(&self, call: CallId) -> bool {
        let account = self.account(call);
        account.is_some_and(|account| account.is_none_or(|account| !account.fields.never_monitor))
    }

    fn transfer_of(&self, call: CallId) -> Option<TransferPhase> {
        let transfer = self.transfers.latest_of(call).filter(|transfer| transfer.is_under_way())?;
        Some(match transfer.state {
            State::Consulting => TransferPhase::Consulting,
            _ => TransferPhase::Moving,
        })
    }

    fn people_of_phone(&self, phone: &Extension) -> Vec<RecordId> {
        let (stored, current) = (self.people.stored(), self.people.current());
        let mut people: Vec<RecordId> =
            [stored.at(phone), current.at(phone)].into_iter().flatten().map(|person| person.id).collect();
        people.dedup();
        people
    }

    fn is_staff_phone(&self, phone: &Extension) -> bool {
        self.rules.phones.iter().any(|pattern| pattern.matches(phone.as_str()))
    }
}

/// A supervision machine with the configured settings.
pub(super) fn supervisions(config: &SupervisionConfig) -> Supervisions {
    Supervisions::new(Settings {
        ring: config.ring_timeout,
        auto_answer: config.auto_answer,
        notify: config.notify,
        after_transfer: config.after_transfer,
    })
}
