//! Call control: answer, hold, resume and hang up at the operator's own phone, from a desktop or the command line.
//!
//! | verb | needs | action |
//! |---|---|---|
//! | answer | the call rings at the operator | `PJSIPNotify` with `Event: talk` to the ringing channel |
//! | hold | the operator has the call, not on hold | `PJSIPNotify` with `Event: hold` |
//! | resume | the operator has the call, on hold | `PJSIPNotify` with `Event: talk` |
//! | hang up | the call rings at the operator, or the operator has it | `Hangup` of the operator's channel; the caller continues in the dialplan |
//!
//! The phone itself carries out answer, hold and resume. Yealink, Poly and Snom desk phones do; most softphones do
//! not. Asterisk does not report the phone's answer to `NOTIFY`, so the state of the call confirms the action
//! ([`Confirmation`]). If nothing confirms it within [`CONFIRMATION_TIMEOUT`], the answer is
//! [`Refusal::PhoneIgnores`]. `PJSIPNotify` needs `write = system` of the actions user.
//!
//! Invariant: pure. Only the operator concerned, the operator's supervisor or an administrator may control a call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ami::action::{Action, ActionError, PhoneCommand};
use crate::call::Model;
use crate::contract::call::CallState;
use crate::contract::refusal::Refusal;
use crate::ids::{CallId, ChannelId, Extension};
use crate::people::actor::Actor;

/// How long a phone may take to carry out a request.
pub const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(3);

/// An action on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Answer the ringing call.
    Answer,
    /// Put the caller on hold.
    Hold,
    /// Take the caller back from hold.
    Resume,
    /// Hang up the operator's phone.
    Hangup,
}

impl Verb {
    /// The verb in the API, on the command line and in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Hangup => "hangup",
        }
    }
}

/// The state of the call that confirms an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    call: CallId,
    operator: Extension,
    /// The action.
    pub verb: Verb,
}

impl Confirmation {
    /// The result of the action as the call model shows it; `None` while it is open.
    #[must_use]
    pub fn check(&self, model: &Model) -> Option<Result<(), Refusal>> {
        let Some(view) = model.call(self.call) else {
            return Some(Err(Refusal::Conflict("the call has ended")));
        };
        let is_operators = view.operator.as_ref() == Some(&self.operator);
        let done = match self.verb {
            Verb::Answer if view.operator.is_some() && !is_operators => {
                return Some(Err(Refusal::Conflict("another operator has answered the call")));
            }
            // The PBX may play an announcement to the operator before it connects the caller.
            Verb::Answer => is_operators || model.has_picked_up(self.call, &self.operator),
            Verb::Hold => view.state == CallState::Held,
            Verb::Resume => is_operators && view.state != CallState::Held,
            Verb::Hangup => true,
        };
        done.then_some(Ok(()))
    }
}

/// The action for the PBX and its confirmation, if the verb fits the call and the actor may.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn action_for(
    model: &Model,
    actor: &Actor,
    call: CallId,
    verb: Verb,
) -> Result<(Action, Confirmation), Refusal> {
    let view = model.call(call).filter(|view| actor.sees(view)).ok_or(Refusal::UnknownCall)?;
    let parties = model.parties(call).ok_or(Refusal::UnknownCall)?;
    let answered = parties.operator.as_ref();
    let own = |list: &[(Extension, ChannelId)]| {
        let extension = actor.viewer.extension()?;
        list.iter().find(|(operator, _)| operator == extension).cloned()
    };
    let ringing = own(&parties.presented).or_else(|| match parties.presented.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    });
    let (operator, channel) = match verb {
        Verb::Answer => ringing.ok_or(Refusal::Conflict("this call does not ring at your phone"))?,
        Verb::Hangup => {
            answered.cloned().or(ringing).ok_or(Refusal::Conflict("no operator has this call"))?
        }
        Verb::Hold | Verb::Resume => {
            answered.cloned().ok_or(Refusal::Conflict("no operator has this call"))?
        }
    };
    if !actor.may_act_for(&operator) {
        return Err(Refusal::NotPermitted(
            "only the operator on this call, the operator's supervisor or an administrator may do this",
        ));
    }
    match (verb, view.state) {
        (Verb::Hold, CallState::Held) => return Err(Refusal::Conflict("the caller is already on hold")),
        (Verb::Resume, state) if state != CallState::Held => {
            return Err(Refusal::Conflict("the caller is not on hold"));
        }
        _ => {}
    }
    let action = match verb {
        Verb::Answer | Verb::Resume => Action::pjsip_notify(channel.as_str(), PhoneCommand::Talk),
        Verb::Hold => Action::pjsip_notify(channel.as_str(), PhoneCommand::Hold),
        Verb::Hangup => Action::hangup(channel.as_str(), None),
    };
    let action = action.map_err(|error: ActionError| Refusal::Invalid(error.to_string()))?;
    Ok((action, Confirmation { call, operator, verb }))
}
