//! Supervision's actions to the PBX, and the queue of the machine's outputs.
//!
//! Invariant: every action names the supervisor's own channel. The channel to hear is a variable with the exact unique
//! id, never a pattern.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};

use super::SPY_CONTEXT;
use super::machine::{Notice, Output};
use super::policy::Settings;
use super::session::{MonitorTarget, Session};
use crate::ami::action::{
    AUTO_ANSWER, Action, ActionError, AllowedContexts, DialplanLocation, ORIGINATE_DRIVERS, Originate,
};
use crate::contract::supervision::{Mode, Notify, SupervisionView};
use crate::ids::{ChannelId, Extension};

/// The dialplan extension that keeps a phone on the line while there is nobody to hear.
const WAIT: &str = "wait";
/// The unique id of the channel to hear.
const SPYEE: &str = "TORITSUGI_SPYEE";
/// The unique id of the caller to take over.
const CALLER: &str = "TORITSUGI_CALLER";
/// `1`: go to [`WAIT`] when the channel to hear is gone.
const FOLLOW: &str = "TORITSUGI_FOLLOW";
/// `1`: play a tone to the operator when the supervisor starts to listen.
const TONE: &str = "TORITSUGI_TONE";

/// Builds actions and queues the outputs of the machine.
#[derive(Debug)]
pub(super) struct ActionQueue {
    contexts: AllowedContexts,
    pub(super) settings: Settings,
    /// The device of each phone, where it is not `PJSIP/` and the extension.
    devices: HashMap<Extension, SmolStr>,
    pub(super) queue: VecDeque<Output>,
}

impl ActionQueue {
    #[expect(clippy::expect_used, reason = "the context's name is a constant that fits")]
    pub(super) fn new(settings: Settings) -> Self {
        let contexts = AllowedContexts::allow([SPY_CONTEXT]).expect("a context's name");
        Self { contexts, settings, devices: HashMap::new(), queue: VecDeque::new() }
    }

    pub(super) fn ring(&self) -> Duration {
        self.settings.ring
    }

    /// The device by which the phone at `extension` is called. One that no Originate may name is left out.
    pub(super) fn set_device(&mut self, extension: &Extension, device: SmolStr) {
        if ORIGINATE_DRIVERS.iter().any(|driver| device.starts_with(driver)) {
            self.devices.insert(extension.clone(), device);
        }
    }

    /// The phone to which a channel belongs, by its name: 2001 in `PJSIP/2001-0000001a`.
    pub(super) fn phone_of(&self, channel: &str) -> Option<Extension> {
        let (device, _) = channel.rsplit_once('-')?;
        let named = self.devices.iter().find(|(_, known)| *known == device).map(|(phone, _)| phone.clone());
        named.or_else(|| Extension::parse(device.split_once('/')?.1).ok())
    }

    /// Calls the supervisor's phone.
    pub(super) fn call(&mut self, session: &Session) {
        let leg = session.leg();
        let action = self.originate(session, &leg);
        self.push(session, action.map(|action| vec![action]));
    }

    fn originate(&self, session: &Session, leg: &ChannelId) -> Result<Action, ActionError> {
        let exten = session.monitor_target.as_ref().map_or(WAIT, |_| exten(session.mode));
        let place = self.contexts.location(SPY_CONTEXT, exten)?;
        let mut variables: Vec<(&str, &str)> = Vec::new();
        if let Some(at) = &session.monitor_target {
            variables.push((SPYEE, at.channel.as_str()));
            if let Some(caller) = &at.caller {
                variables.push((CALLER, caller.as_str()));
            }
            variables.push((TONE, tone(at)));
        }
        if session.waits_without_target(self.settings.after_transfer) {
            variables.push((FOLLOW, "1"));
        }
        if self.settings.auto_answer {
            variables.push(AUTO_ANSWER);
        }
        let operator = session.operator.as_ref().map_or("", |operator| operator.as_str());
        let own = || format_smolstr!("PJSIP/{}", session.phone);
        Action::originate(&Originate {
            channel: &self.devices.get(&session.phone).cloned().unwrap_or_else(own),
            location: &place,
            id: leg,
            other_id: None,
            caller_id: Some(&format!("\"{} {operator}\" <{operator}>", exten)),
            ring_ms: u32::try_from(self.ring().as_millis()).unwrap_or(u32::MAX),
            variables: &variables,
        })
    }

    /// Attaches a phone that is on the line to another channel.
    pub(super) fn attach(&mut self, session: &Session, target: &MonitorTarget) {
        let leg = session.leg();
        let actions = (|| {
            Ok(vec![
                Action::setvar(leg.as_str(), SPYEE, target.channel.as_str())?,
                Action::setvar(leg.as_str(), TONE, tone(target))?,
                Action::redirect(leg.as_str(), &self.dialplan_location(exten(session.mode))?)?,
            ])
        })();
        self.push(session, actions);
    }

    /// Attaches the phone to its channel again, in the session's mode.
    pub(super) fn switch(&mut self, session: &Session) {
        self.redirect(session, exten(session.mode));
    }

    /// Detaches the phone and keeps it on the line.
    pub(super) fn wait(&mut self, session: &Session) {
        self.redirect(session, WAIT);
    }

    /// Connects the phone with the caller.
    pub(super) fn take_over(&mut self, session: &Session, caller: &ChannelId) {
        let leg = session.leg();
        let actions = (|| {
            let set = Action::setvar(leg.as_str(), CALLER, caller.as_str())?;
            Ok(vec![set, Action::redirect(leg.as_str(), &self.dialplan_location(exten(Mode::TakeOver))?)?])
        })();
        self.push(session, actions);
    }

    /// Hangs the phone up.
    pub(super) fn hang_up(&mut self, session: &Session) {
        let action = Action::hangup(session.leg().as_str(), None);
        self.push(session, action.map(|action| vec![action]));
    }

    /// Gives out a notice with the session's view.
    pub(super) fn push_notice(&mut self, notice: Notice, session: &Session) {
        let view = Box::new(SupervisionView::from(session));
        self.queue.push_back(Output::Notice { notice, view, notify: session.notify });
    }

    fn redirect(&mut self, session: &Session, exten: &str) {
        let actions = self
            .dialplan_location(exten)
            .and_then(|place| Action::redirect(session.leg().as_str(), &place))
            .map(|a| vec![a]);
        self.push(session, actions);
    }

    fn dialplan_location(&self, exten: &str) -> Result<DialplanLocation, ActionError> {
        self.contexts.location(SPY_CONTEXT, exten)
    }

    fn push(&mut self, session: &Session, actions: Result<Vec<Action>, ActionError>) {
        let id = session.id;
        self.queue.push_back(match actions {
            Ok(actions) => Output::Actions { session: id, actions },
            Err(error) => Output::InvalidAction { session: id, error },
        });
    }
}

/// The value of [`TONE`] for this channel; an external party never hears a tone.
fn tone(target: &MonitorTarget) -> &'static str {
    if target.notify == Notify::Tone && !target.external { "1" } else { "0" }
}

/// The dialplan extension for a mode.
fn exten(mode: Mode) -> &'static str {
    match mode {
        Mode::Listen => "listen",
        Mode::Whisper => "whisper",
        Mode::Barge => "barge",
        Mode::TakeOver => "take-over",
    }
}
