//! Builds the AMI actions of a transfer, for the dialplan in `asterisk-conf/toritsugi-dialplan.conf`.
//!
//! Invariant: the targets are written on the channel before it is moved. Each action is sent only after the one before it
//! was accepted, so an incomplete sequence moves nobody.

use crate::ami::action::{Action, ActionError, AllowedContexts};
use crate::ids::{ChannelId, Extension};

use super::plan::{Plan, ShownNumber};
use super::recover::TransferContext;

/// The dialplan contexts into which transfers send channels.
pub const CONTEXTS: [&str; 2] = [BLIND_CONTEXT, CONSULT_CONTEXT];
pub(super) const BLIND_CONTEXT: &str = "toritsugi-transfer";
pub(super) const CONSULT_CONTEXT: &str = "toritsugi-consult";
/// One digit, and no longer extension in that context, so the PBX does not wait for more digits.
const CONSULT_EXTEN: &str = "1";

/// Sends the caller to the targets of `plan`, one after the other; without targets, straight back.
pub(super) fn blind_actions(
    context: &TransferContext,
    plan: &Plan,
    caller: &ChannelId,
    back_to: Option<&Extension>,
) -> Result<Vec<Action>, ActionError> {
    let targets: Vec<String> = plan.targets.iter().filter_map(target_text).collect();
    let queue = plan.target_queue();
    // If the target is a queue, no phone is tried and the caller does not return to the operator first.
    let back_to = back_to.filter(|_| queue.is_none()).map_or("", Extension::as_str);
    let mut variables = vec![
        ("TORITSUGI_TARGETS", targets.join("-")),
        ("TORITSUGI_RETURN_TO", back_to.to_owned()),
        ("TORITSUGI_SHOW", shown_number_text(plan, false)),
        ("TORITSUGI_ACCEPT_SOUND", plan.accept_sound.as_deref().unwrap_or_default().to_owned()),
        ("TORITSUGI_TRANSFER", context.id.to_string()),
        ("TORITSUGI_ABOUT", context.to_line()),
        // For a caller whom no queue can take.
        ("TORITSUGI_OPERATOR", context.operator.to_string()),
    ];
    // If the dialplan knows from which queue the caller came, it prefers that queue.
    variables.extend(queue.map(|queue| ("TORITSUGI_QUEUE", queue.to_string())));
    variables.extend(plan.return_queue.as_ref().map(|queue| ("TORITSUGI_RETURN_QUEUE", queue.to_string())));
    let mut actions = set_variables(caller, &variables)?;
    let place = AllowedContexts::allow([BLIND_CONTEXT])?.location(BLIND_CONTEXT, "s")?;
    actions.push(Action::redirect(caller.as_str(), &place)?);
    Ok(actions)
}

/// Connects the operator with the first target. The dialling channel inherits the variables.
pub(super) fn consult_actions(context: &TransferContext) -> Result<Vec<Action>, ActionError> {
    let (plan, operator) = (&context.plan, &context.leg);
    let target = plan.targets.first().and_then(target_text).unwrap_or_default();
    let variables = [
        ("__TORITSUGI_CONSULT", target),
        ("__TORITSUGI_SHOW", shown_number_text(plan, true)),
        ("__TORITSUGI_TRANSFER", context.id.to_string()),
        ("__TORITSUGI_ABOUT", context.to_line()),
    ];
    let mut actions = set_variables(operator, &variables)?;
    let place = AllowedContexts::allow([CONSULT_CONTEXT])?.location(CONSULT_CONTEXT, CONSULT_EXTEN)?;
    actions.push(Action::atxfer(operator.as_str(), &place)?);
    Ok(actions)
}

fn set_variables(channel: &ChannelId, variables: &[(&str, String)]) -> Result<Vec<Action>, ActionError> {
    variables.iter().map(|(name, value)| Action::setvar(channel.as_str(), name, value)).collect()
}

/// `number/seconds/accept`
fn target_text(target: &super::plan::Target) -> Option<String> {
    let dial = target.dial.as_ref()?;
    Some(format!("{dial}/{}/{}", target.ring_s, u8::from(target.accept)))
}

/// An empty text shows the dialling channel's own number; in a consultation that would be the operator's.
fn shown_number_text(plan: &Plan, consult: bool) -> String {
    match &plan.shown_number {
        ShownNumber::Caller(number) if consult => {
            number.as_ref().map_or("withheld".to_owned(), ToString::to_string)
        }
        ShownNumber::Caller(_) => String::new(),
        ShownNumber::Number(number) => number.to_string(),
        ShownNumber::Withheld => "withheld".to_owned(),
    }
}
