//! Call control: answer, hold, resume and hang up at the operator's own phone, from a desktop or the command line.
//!
//! | verb | needs | order |
//! |---|---|---|
//! | answer | the call rings at the operator | `PJSIPNotify` with `Event: talk` to the ringing channel |
//! | hold | she has it | `PJSIPNotify` with `Event: hold` |
//! | resume | she has it, held | `PJSIPNotify` with `Event: talk` |
//! | hang up | it rings at her or she has it | `Hangup` of her channel; the caller goes where the dialplan says |
//!
//! Answer, hold and resume are done by the phone: Yealink, Poly and Snom desk phones do them, softphones mostly
//! do not. Asterisk does not tell what a phone answers to `NOTIFY`, so the proof is what the call does then
//! ([`Proof`]): where nothing follows within [`PROOF_WAIT`], the phone cannot do it, and whoever asked is told so.
//! `PJSIPNotify` needs `write = system` of the actions user.
//!
//! Invariant: pure; only the operator concerned, her supervisor or an administrator may.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ami::action::{Action, ActionError, Notify};
use crate::call::Model;
use crate::call::view::CallState;
use crate::command::{Actor, Refusal};
use crate::ids::{CallId, ChannelId, Extension};

/// How long a phone may take to do what it was asked to.
pub const PROOF_WAIT: Duration = Duration::from_secs(3);

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Take it.
    Answer,
    /// Put the caller on hold.
    Hold,
    /// Take the caller back from hold.
    Resume,
    /// Hang up the operator's phone.
    Hangup,
}

impl Verb {
    /// The word as it is written.
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

/// What shows that the phone has done it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    call: CallId,
    operator: Extension,
    /// What was asked.
    pub verb: Verb,
}

impl Proof {
    /// Whether it is done; nothing while that is open.
    #[must_use]
    pub fn weigh(&self, model: &Model) -> Option<Result<(), Refusal>> {
        let Some(view) = model.call(self.call) else {
            return Some(Err(Refusal::Conflict("the call ended meanwhile")));
        };
        let hers = view.operator.as_ref() == Some(&self.operator);
        let done = match self.verb {
            Verb::Answer if view.operator.is_some() && !hers => {
                return Some(Err(Refusal::Conflict("somebody else took it meanwhile")));
            }
            Verb::Answer => hers,
            Verb::Hold => view.state == CallState::Held,
            Verb::Resume => hers && view.state != CallState::Held,
            Verb::Hangup => true,
        };
        done.then_some(Ok(()))
    }
}

/// The order that does it, and what proves it, if it fits the call and the actor may.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn order(model: &Model, actor: &Actor, call: CallId, verb: Verb) -> Result<(Action, Proof), Refusal> {
    let view = model.call(call).filter(|view| actor.sees(view)).ok_or(Refusal::UnknownCall)?;
    let parties = model.parties(call).ok_or(Refusal::UnknownCall)?;
    let has = parties.operator.as_ref();
    let own = |list: &[(Extension, ChannelId)]| {
        let extension = actor.viewer.extension()?;
        list.iter().find(|(operator, _)| operator == extension).cloned()
    };
    let rings = own(&parties.presented).or_else(|| match parties.presented.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    });
    let (operator, channel) = match verb {
        Verb::Answer => rings.ok_or(Refusal::Conflict("it does not ring at you"))?,
        Verb::Hangup => has.cloned().or(rings).ok_or(Refusal::Conflict("nobody has this call"))?,
        Verb::Hold | Verb::Resume => has.cloned().ok_or(Refusal::Conflict("nobody has this call"))?,
    };
    if !actor.may_act_for(&operator) {
        return Err(Refusal::NotPermitted(
            "only the operator on this call, her supervisor or an administrator may",
        ));
    }
    match (verb, view.state) {
        (Verb::Hold, CallState::Held) => return Err(Refusal::Conflict("the caller is on hold already")),
        (Verb::Resume, state) if state != CallState::Held => {
            return Err(Refusal::Conflict("the caller is not on hold"));
        }
        _ => {}
    }
    let action = match verb {
        Verb::Answer | Verb::Resume => Action::pjsip_notify(channel.as_str(), Notify::Talk),
        Verb::Hold => Action::pjsip_notify(channel.as_str(), Notify::Hold),
        Verb::Hangup => Action::hangup(channel.as_str(), None),
    };
    let action = action.map_err(|error: ActionError| Refusal::Invalid(error.to_string()))?;
    Ok((action, Proof { call, operator, verb }))
}
