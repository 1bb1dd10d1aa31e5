//! The orders of supervision to the PBX, and the queue of what the machine gives out.
//!
//! Invariant: every order names the supervisor's own channel; whom it hears goes along as a variable with the
//! exact unique id, never as a pattern.

use std::collections::VecDeque;
use std::time::Duration;

use super::SPY_CONTEXT;
use super::machine::{Output, Told};
use super::policy::{Notify, Settings};
use super::session::{Mode, Place, Session};
use super::view::SupervisionView;
use crate::ami::action::{AUTO_ANSWER, Action, ActionError, Contexts, Originate, Place as DialplanPlace};
use crate::ids::ChannelId;

/// Where the dialplan keeps a phone that hears nobody.
const WAIT: &str = "wait";
/// The unique id of the channel to hear.
const SPYEE: &str = "TORITSUGI_SPYEE";
/// The unique id of the caller to take over.
const CALLER: &str = "TORITSUGI_CALLER";
/// `1`: go to [`WAIT`] when there is nobody to hear any more.
const FOLLOW: &str = "TORITSUGI_FOLLOW";
/// `1`: whisper a tone to the operator when the supervisor begins to hear her.
const TONE: &str = "TORITSUGI_TONE";

/// Makes orders and keeps them until they are fetched.
#[derive(Debug)]
pub(super) struct Orders {
    contexts: Contexts,
    pub(super) settings: Settings,
    pub(super) queue: VecDeque<Output>,
}

impl Orders {
    #[expect(clippy::expect_used, reason = "the context's name is a constant that fits")]
    pub(super) fn new(settings: Settings) -> Self {
        let contexts = Contexts::allow([SPY_CONTEXT]).expect("a context's name");
        Self { contexts, settings, queue: VecDeque::new() }
    }

    pub(super) fn ring(&self) -> Duration {
        self.settings.ring
    }

    /// Calls the supervisor's phone.
    pub(super) fn call(&mut self, session: &Session) {
        let leg = session.leg();
        let action = self.originate(session, &leg);
        self.push(session, action.map(|action| vec![action]));
    }

    fn originate(&self, session: &Session, leg: &ChannelId) -> Result<Action, ActionError> {
        let exten = session.place.as_ref().map_or(WAIT, |_| exten(session.mode));
        let place = self.contexts.place(SPY_CONTEXT, exten)?;
        let mut variables: Vec<(&str, &str)> = Vec::new();
        if let Some(at) = &session.place {
            variables.push((SPYEE, at.channel.as_str()));
            if let Some(caller) = &at.caller {
                variables.push((CALLER, caller.as_str()));
            }
            variables.push((TONE, tone(at)));
        }
        if session.stays(self.settings.after_transfer) {
            variables.push((FOLLOW, "1"));
        }
        if self.settings.auto_answer {
            variables.push(AUTO_ANSWER);
        }
        let operator = session.operator.as_ref().map_or("", |operator| operator.as_str());
        Action::originate(&Originate {
            channel: &format!("PJSIP/{}", session.phone),
            place: &place,
            id: leg,
            other_id: None,
            caller_id: Some(&format!("\"{} {operator}\" <{operator}>", exten)),
            ring_ms: u32::try_from(self.ring().as_millis()).unwrap_or(u32::MAX),
            variables: &variables,
        })
    }

    /// Lets a phone that is on the line hear the session's place.
    pub(super) fn attach(&mut self, session: &Session, place: &Place) {
        let leg = session.leg();
        let actions = (|| {
            Ok(vec![
                Action::setvar(leg.as_str(), SPYEE, place.channel.as_str())?,
                Action::setvar(leg.as_str(), TONE, tone(place))?,
                Action::redirect(leg.as_str(), &self.place(exten(session.mode))?)?,
            ])
        })();
        self.push(session, actions);
    }

    /// Another mode for whom the phone hears already.
    pub(super) fn switch(&mut self, session: &Session) {
        self.redirect(session, exten(session.mode));
    }

    /// Keeps the phone on the line, hearing nobody.
    pub(super) fn wait(&mut self, session: &Session) {
        self.redirect(session, WAIT);
    }

    /// Connects the phone with the caller.
    pub(super) fn take_over(&mut self, session: &Session, caller: &ChannelId) {
        let leg = session.leg();
        let actions = (|| {
            let set = Action::setvar(leg.as_str(), CALLER, caller.as_str())?;
            Ok(vec![set, Action::redirect(leg.as_str(), &self.place(exten(Mode::TakeOver))?)?])
        })();
        self.push(session, actions);
    }

    /// Frees the phone.
    pub(super) fn hang_up(&mut self, session: &Session) {
        let action = Action::hangup(session.leg().as_str(), None);
        self.push(session, action.map(|action| vec![action]));
    }

    /// Tells others.
    pub(super) fn tell(&mut self, told: Told, session: &Session) {
        let view = Box::new(SupervisionView::from(session));
        self.queue.push_back(Output::Told { told, view, notify: session.notify });
    }

    fn redirect(&mut self, session: &Session, exten: &str) {
        let actions = self
            .place(exten)
            .and_then(|place| Action::redirect(session.leg().as_str(), &place))
            .map(|a| vec![a]);
        self.push(session, actions);
    }

    fn place(&self, exten: &str) -> Result<DialplanPlace, ActionError> {
        self.contexts.place(SPY_CONTEXT, exten)
    }

    fn push(&mut self, session: &Session, actions: Result<Vec<Action>, ActionError>) {
        let id = session.id;
        self.queue.push_back(match actions {
            Ok(actions) => Output::Order { session: id, actions },
            Err(error) => Output::Impossible { session: id, error },
        });
    }
}

/// Whether somebody who begins to be heard there hears a tone.
fn tone(place: &Place) -> &'static str {
    if place.notify == Notify::Tone && !place.outside { "1" } else { "0" }
}

/// The extension of the dialplan that does it.
fn exten(mode: Mode) -> &'static str {
    match mode {
        Mode::Listen => "listen",
        Mode::Whisper => "whisper",
        Mode::Barge => "barge",
        Mode::TakeOver => "take-over",
    }
}
