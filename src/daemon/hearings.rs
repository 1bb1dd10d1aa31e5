//! What the history learns of supervisions: the step that goes with each thing told of a session.
//!
//! | told of a session | step |
//! |---|---|
//! | it hears somebody now (`live`) | began: the same as before goes on, anything else ends there |
//! | it waits, or makes way for a transfer | ended |
//! | it is over | ended, with the reason; a take-over is an entry of its own |
//! | it rings, is being attached, was found and is not recognised yet | none |
//! | the first complete list of a daemon that has just begun, or taken the lead | began for all that hear, and the end of all others, which nobody saw |
//!
//! Invariant: a step is kept with the event that tells the same, so the log and the history agree after a crash; only
//! the daemon that leads keeps any.

use jiff::Timestamp;

use super::core::Core;
use crate::bus::Audience;
use crate::operator::Role;
use crate::store::hearings::{Hearing, Step};
use crate::store::log::Keep;
use crate::supervision::{Ending, Mode, Notify, Session, State, SupervisionView, Told};

/// Whether the history has the sessions as they are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Not: another daemon noted what is open.
    #[default]
    Unsure,
    /// The list that will tell is being taken.
    Listing,
    /// Each change is noted as it comes.
    Sure,
}

impl Core {
    /// What is noted with what is told at `now`.
    pub(super) fn hearing_step(
        &self,
        told: Told,
        view: &SupervisionView,
        audience: &Audience,
        now: Timestamp,
    ) -> Option<Step> {
        let ended = |ending| Some(Step::Ended { supervision: view.id, at: now, ending });
        let began = |mode| self.hearing(view, mode, audience.clone(), now);
        match told {
            Told::Requested => None,
            Told::Stopped(Ending::TookOver) => match began(Mode::TakeOver) {
                Some(hearing) => Some(Step::Began(Box::new(Hearing {
                    until: Some(now),
                    ending: Some(Ending::TookOver),
                    ..hearing
                }))),
                None => ended(Some(Ending::TookOver)),
            },
            Told::Stopped(ending) => ended(Some(ending)),
            Told::Started | Told::Changed | Told::Found => match view.state {
                State::Live => began(view.mode).map(|hearing| Step::Began(Box::new(hearing))),
                State::Waiting | State::Paused if told != Told::Found => ended(None),
                _ => None,
            },
        }
    }

    fn hearing(
        &self,
        view: &SupervisionView,
        mode: Mode,
        audience: Audience,
        from: Timestamp,
    ) -> Option<Hearing> {
        let (call, operator) = (view.call?, view.operator.clone()?);
        Some(Hearing {
            supervision: view.id,
            pbx: self.parts.plan.pbx.clone(),
            call,
            operator,
            supervisor: view.supervisor,
            supervisor_name: view.supervisor_name.clone(),
            extension: view.extension.clone(),
            mode,
            reason: view.reason.clone(),
            from,
            until: None,
            ending: None,
            audience,
        })
    }

    /// Who is told of a session, and may read of it later. An operator from whom the call was taken is told of her own
    /// listening.
    pub(super) fn supervision_audience(&self, view: &SupervisionView, notify: Notify) -> Audience {
        let roster = self.parts.people.current();
        let hers = roster.person(view.supervisor).is_some_and(|person| person.role == Role::Operator);
        let operators = view.operator.iter().cloned();
        match notify {
            _ if hers => Audience::Operators(operators.chain([view.extension.clone()]).collect()),
            Notify::Desktop => Audience::Operators(operators.collect()),
            Notify::Tone | Notify::Silent => Audience::SupervisorsOf(operators.collect()),
        }
    }

    /// What another daemon noted last is to be compared with the next list.
    pub(super) fn hearings_unsure(&mut self) {
        self.hearings = Known::Unsure;
    }

    /// A list of all channels begins.
    pub(super) fn hearings_list_began(&mut self) {
        if self.hearings == Known::Unsure && self.parts.bus.leads() {
            self.hearings = Known::Listing;
        }
    }

    /// The list is complete, and every session was compared with it.
    pub(super) fn hearings_listed(&mut self) {
        if self.hearings != Known::Listing {
            return;
        }
        self.hearings = Known::Sure;
        let now = self.clock.now();
        let began = |session: &Session| {
            let view = SupervisionView::from(session);
            let audience = self.supervision_audience(&view, session.notify);
            self.hearing_step(Told::Changed, &view, &audience, now)
        };
        let live = self.supervision.iter().filter(|session| session.state == State::Live);
        let mut steps: Vec<Step> = live.filter_map(began).collect();
        let hear = self.supervision.iter().filter(|session| session.hears());
        let supervisions = hear.map(|session| session.id).collect();
        steps.push(Step::Only { pbx: self.parts.plan.pbx.clone(), supervisions, at: now });
        self.parts.bus.publish_all(Vec::new(), steps.into_iter().map(Keep::Hearing).collect());
    }
}
