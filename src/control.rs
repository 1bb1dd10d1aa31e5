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
//! do not, and a phone that does not ignores the request. The proof is the event (`call.answered`, `call.held`,
//! …); where none follows, the phone cannot do it. `PJSIPNotify` needs `write = system` of the actions user.
//!
//! Invariant: pure; only the operator concerned, her supervisor or an administrator may.

use serde::{Deserialize, Serialize};

use crate::ami::action::{Action, ActionError, Notify};
use crate::call::Model;
use crate::call::view::CallState;
use crate::command::{Actor, Refusal};
use crate::ids::{CallId, ChannelId, Extension};

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

/// The order that does it, if it fits the call and the actor may.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn order(model: &Model, actor: &Actor, call: CallId, verb: Verb) -> Result<Action, Refusal> {
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
    action.map_err(|error: ActionError| Refusal::Invalid(error.to_string()))
}
