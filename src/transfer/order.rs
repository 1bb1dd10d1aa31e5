//! The orders to the PBX, as `asterisk-conf/toritsugi-dialplan.conf` reads them.
//!
//! Invariant: the targets stand on the channel before it is moved; each order is sent only when the one before it
//! was accepted, so that a half-told transfer moves nobody.

use crate::ami::action::{Action, ActionError, Contexts};
use crate::ids::{ChannelId, Extension};

use super::plan::{Plan, Show};
use super::recover::About;

/// The contexts that transfers send channels to.
pub const CONTEXTS: [&str; 2] = [BLIND_CONTEXT, CONSULT_CONTEXT];
pub(super) const BLIND_CONTEXT: &str = "toritsugi-transfer";
pub(super) const CONSULT_CONTEXT: &str = "toritsugi-consult";
/// One digit, and no longer extension in that context: with it the PBX does not wait for more digits.
const CONSULT_EXTEN: &str = "1";

/// Sends the caller to the targets of `plan`, one after the other; with none of them, straight back.
pub(super) fn blind(
    about: &About,
    plan: &Plan,
    caller: &ChannelId,
    back_to: Option<&Extension>,
) -> Result<Vec<Action>, ActionError> {
    let targets: Vec<String> = plan.targets.iter().filter_map(word).collect();
    let queue = plan.queue();
    // A queue as the target: nobody is tried and nobody is gone back to before it.
    let back_to = back_to.filter(|_| queue.is_none()).map_or("", Extension::as_str);
    let mut variables = vec![
        ("TORITSUGI_TARGETS", targets.join("-")),
        ("TORITSUGI_RETURN_TO", back_to.to_owned()),
        ("TORITSUGI_SHOW", shown(plan, false)),
        ("TORITSUGI_ACCEPT_SOUND", plan.accept_sound.as_deref().unwrap_or_default().to_owned()),
        ("TORITSUGI_TRANSFER", about.id.to_string()),
        ("TORITSUGI_ABOUT", about.to_line()),
    ];
    // Where the dialplan knows from which queue the caller came, it takes her back to that one.
    match (queue, &plan.return_queue) {
        (Some(queue), _) => variables.push(("TORITSUGI_QUEUE", queue.to_string())),
        (None, Some(queue)) => variables.push(("TORITSUGI_RETURN_QUEUE", queue.to_string())),
        (None, None) => {}
    }
    let mut actions = set(caller, &variables)?;
    let place = Contexts::allow([BLIND_CONTEXT])?.place(BLIND_CONTEXT, "s")?;
    actions.push(Action::redirect(caller.as_str(), &place)?);
    Ok(actions)
}

/// Lets the operator speak with the first target. The variables are inherited by the channel that dials it.
pub(super) fn consult(about: &About) -> Result<Vec<Action>, ActionError> {
    let (plan, operator) = (&about.plan, &about.leg);
    let target = plan.targets.first().and_then(word).unwrap_or_default();
    let variables = [
        ("__TORITSUGI_CONSULT", target),
        ("__TORITSUGI_SHOW", shown(plan, true)),
        ("__TORITSUGI_TRANSFER", about.id.to_string()),
        ("__TORITSUGI_ABOUT", about.to_line()),
    ];
    let mut actions = set(operator, &variables)?;
    let place = Contexts::allow([CONSULT_CONTEXT])?.place(CONSULT_CONTEXT, CONSULT_EXTEN)?;
    actions.push(Action::atxfer(operator.as_str(), &place)?);
    Ok(actions)
}

fn set(channel: &ChannelId, variables: &[(&str, String)]) -> Result<Vec<Action>, ActionError> {
    variables.iter().map(|(name, value)| Action::setvar(channel.as_str(), name, value)).collect()
}

/// `number/seconds/accept`
fn word(target: &super::plan::Target) -> Option<String> {
    let dial = target.dial.as_ref()?;
    Some(format!("{dial}/{}/{}", target.ring_s, u8::from(target.accept)))
}

/// Without a number the dialling channel's own is shown; in a consultation that is the operator's.
fn shown(plan: &Plan, consult: bool) -> String {
    match &plan.show {
        Show::Caller(number) if consult => number.as_ref().map_or("withheld".to_owned(), ToString::to_string),
        Show::Caller(_) => String::new(),
        Show::Number(number) => number.to_string(),
        Show::Withheld => "withheld".to_owned(),
    }
}
