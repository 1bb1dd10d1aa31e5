//! Authorisation of supervision commands: each function allows a command or returns its [`Refusal`].
//!
//! | function | checks, in this order |
//! |---|---|
//! | [`authorise_start`] | the call exists; the actor may supervise its operator; the account may be monitored; there is somebody to hear, or `follow`; a take-over has a caller; no transfer forbids the mode; the phone; the phone's present session |
//! | [`authorise_switch`] | the actor is the supervisor or an administrator; may supervise the operator in the new mode; an external party is only listened to; a take-over has a caller whom no transfer moves |
//! | [`authorise_stop`] | the actor is the supervisor or an administrator |
//! | [`authorise_help`] | the call is visible; an operator has it; the actor may act for that operator |
//!
//! [`find_visible`] comes before a switch or a stop: a session that the actor may not see does not exist for the actor.
//!
//! Pure: reads the calls, phones and transfers through [`CommandContext`] and the sessions from [`Supervisions`]; changes
//! neither. The owner of the machine records each refusal in the audit trail, with the operator and the call that
//! [`operator_and_call`] returns, or those of the session.

use super::SESSIONS_MAX;
use super::machine::{Environment, Supervisions};
use super::rules::{NewSession, SupervisionRequest, may_supervise};
use super::session::Session;
use crate::contract::call::CallView;
use crate::contract::refusal::Refusal;
use crate::contract::supervision::{Mode, SupervisionId, Target};
use crate::ids::{CallId, Extension, RecordId};
use crate::people::actor::Actor;
use crate::people::role::Role;

const NOT_YOURS: &str = "only supervisors of this operator's team and administrators may";
const IN_TRANSFER: &str = "the call is being transferred; try again when the transfer is done";
const EXTERNAL: &str = "the caller talks with an external party; you can only listen";
const NO_CALLER: &str = "there is no caller to take over now";

/// What a command reads beside the machine's [`Environment`].
pub trait CommandContext: Environment {
    /// The call in which the operator at this extension has the caller.
    fn call_of_operator(&self, operator: &Extension) -> Option<CallId>;
    /// Whether the actor may see this call.
    fn is_visible(&self, call: CallId, actor: &Actor) -> bool;
    /// The operator who has this call, whether or not it may be monitored.
    fn operator_of(&self, call: CallId) -> Option<Extension>;
    /// Whether the account of this call may be monitored; false until the account is known.
    fn may_be_monitored(&self, call: CallId) -> bool;
    /// The transfer of this call that is under way.
    fn transfer_of(&self, call: CallId) -> Option<TransferPhase>;
    /// Whether this extension is the phone of an operator or supervisor.
    fn is_staff_phone(&self, phone: &Extension) -> bool;
    /// The people whose phone this is: the one whose own extension it is, and the one who is there now.
    fn people_of_phone(&self, phone: &Extension) -> Vec<RecordId>;
}

/// How far a transfer that is under way has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferPhase {
    /// The transfer moves the channels of the call.
    Moving,
    /// Operator and target talk: the operator can be heard, but the caller cannot be taken over.
    Consulting,
}

/// What an allowed request for supervision does.
#[derive(Debug, Clone)]
pub enum StartDecision {
    /// Start this session.
    Start(Box<NewSession>),
    /// Switch the mode of this session: it is the actor's session with the same operator at the same phone.
    Switch(SupervisionId),
}

/// The operator and the call that a request concerns at this moment.
#[must_use]
pub fn operator_and_call(
    request: &SupervisionRequest,
    context: &impl CommandContext,
) -> (Option<Extension>, Option<CallId>) {
    match &request.target {
        Target::Operator { operator, .. } => (Some(operator.clone()), context.call_of_operator(operator)),
        Target::Call(call) => (context.operator_of(*call), Some(*call)),
    }
}

/// Allows the actor to start a session, which then has the id `id`, or to switch the mode of a present one.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn authorise_start(
    request: &SupervisionRequest,
    id: SupervisionId,
    actor: &Actor,
    sessions: &Supervisions,
    context: &impl CommandContext,
) -> Result<StartDecision, Refusal> {
    if request.call().is_some_and(|call| !context.is_live(call)) {
        return Err(Refusal::UnknownCall);
    }
    let (operator, call) = operator_and_call(request, context);
    let Some(operator) = operator else {
        // A call without an operator: an administrator or supervisor may try again later.
        let may_try = matches!(actor.viewer.role(), Role::Admin | Role::Supervisor);
        if !may_try || call.is_some_and(|call| !context.is_visible(call, actor)) {
            return Err(Refusal::NotPermitted(NOT_YOURS));
        }
        return Err(Refusal::Conflict("no operator has this call now"));
    };
    let released = call.and_then(|call| sessions.released(call));
    if !may_supervise(&actor.viewer, &operator, request.mode, released) {
        return Err(Refusal::NotPermitted(NOT_YOURS));
    }
    if call.is_some_and(|call| !context.may_be_monitored(call)) {
        return Err(Refusal::NotPermitted("calls of this account are never monitored"));
    }
    let monitor_target = call.and_then(|call| context.monitorable_call(call));
    let follow = matches!(request.target, Target::Operator { follow: true, .. });
    if monitor_target.is_none() && (!follow || request.mode == Mode::TakeOver) {
        return Err(Refusal::Conflict(
            "this operator has no caller now; with follow, the session waits for the operator's next call",
        ));
    }
    if request.mode == Mode::TakeOver && monitor_target.as_ref().is_none_or(|target| target.caller.is_none())
    {
        return Err(Refusal::Conflict(NO_CALLER));
    }
    if call.is_some_and(|call| is_blocked_by_transfer(call, request.mode, context)) {
        return Err(Refusal::Conflict(IN_TRANSFER));
    }
    let phone = phone_for(request, actor, &operator, context)?;
    if let Some(session) = sessions.at_phone(&phone) {
        if session.user != actor.user || session.operator.as_ref() != Some(&operator) {
            return Err(Refusal::Conflict("this phone is in another supervision session; stop that first"));
        }
        if session.hears_external_party() && request.mode != Mode::Listen {
            return Err(Refusal::Conflict(EXTERNAL));
        }
        return Ok(StartDecision::Switch(session.id));
    }
    if sessions.len() >= SESSIONS_MAX {
        return Err(Refusal::Unavailable);
    }
    Ok(StartDecision::Start(Box::new(NewSession {
        id,
        user: actor.user,
        name: actor.name.clone(),
        phone,
        target: request.target.clone(),
        mode: request.mode,
        reason: request.reason.clone(),
        monitor_target,
    })))
}

/// The phone of a requested session: the named one, or the actor's own extension.
///
/// A supervisor names a phone of the team or one that is nobody's: the phone rings, and the person who lifts it hears the call.
fn phone_for(
    request: &SupervisionRequest,
    actor: &Actor,
    operator: &Extension,
    context: &impl CommandContext,
) -> Result<Extension, Refusal> {
    let phone = request.extension.as_ref().or_else(|| actor.viewer.extension()).ok_or_else(|| {
        Refusal::Invalid("extension: required, because you have no phone of your own".into())
    })?;
    if phone == operator {
        return Err(Refusal::Invalid("extension: that is the operator's own phone".into()));
    }
    if !context.is_staff_phone(phone) {
        return Err(Refusal::Invalid("extension: not a phone of an operator or supervisor".into()));
    }
    let people = context.people_of_phone(phone);
    let is_own = actor.viewer.extension() == Some(phone) || people.contains(&actor.user);
    let may_ring = match actor.viewer.role() {
        Role::Admin => true,
        Role::Supervisor => is_own || people.iter().all(|person| actor.viewer.sees_person(*person)),
        Role::Operator | Role::System => is_own || people.is_empty(),
    };
    if !may_ring {
        return Err(Refusal::NotPermitted("that is the phone of another team; name your own, or a free one"));
    }
    if context.call_of_operator(phone).is_some() {
        return Err(Refusal::Conflict("this phone has a caller of its own"));
    }
    Ok(phone.clone())
}

/// Whether a transfer of the call that is under way forbids this mode.
fn is_blocked_by_transfer(call: CallId, mode: Mode, context: &impl CommandContext) -> bool {
    match context.transfer_of(call) {
        None => false,
        Some(TransferPhase::Moving) => true,
        Some(TransferPhase::Consulting) => mode == Mode::TakeOver,
    }
}

/// Whether the actor may see a session: their own, one about an operator of their team, or any for an administrator.
#[must_use]
pub fn is_visible(session: &Session, actor: &Actor) -> bool {
    if session.user == actor.user {
        return true;
    }
    match actor.viewer.role() {
        Role::Admin => true,
        Role::Supervisor => {
            session.operator.as_ref().is_some_and(|operator| actor.viewer.sees_operator(operator))
        }
        Role::Operator | Role::System => false,
    }
}

/// The session with this id, if the actor may see it.
///
/// # Errors
/// [`Refusal::UnknownSupervision`].
pub fn find_visible<'a>(
    sessions: &'a Supervisions,
    id: SupervisionId,
    actor: &Actor,
) -> Result<&'a Session, Refusal> {
    sessions.get(id).filter(|session| is_visible(session, actor)).ok_or(Refusal::UnknownSupervision)
}

/// Allows the actor to switch the mode of a session.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn authorise_switch(
    session: &Session,
    mode: Mode,
    actor: &Actor,
    sessions: &Supervisions,
    context: &impl CommandContext,
) -> Result<(), Refusal> {
    if !is_own_or_admin(session, actor) {
        return Err(Refusal::NotPermitted(
            "only the supervisor of this session or an administrator may switch it",
        ));
    }
    let released = session.call.and_then(|call| sessions.released(call));
    let operator = session.operator.as_ref();
    if operator.is_some_and(|operator| !may_supervise(&actor.viewer, operator, mode, released)) {
        return Err(Refusal::NotPermitted(NOT_YOURS));
    }
    if session.hears_external_party() && mode != Mode::Listen {
        return Err(Refusal::Conflict(EXTERNAL));
    }
    if mode == Mode::TakeOver {
        if session.call.is_some_and(|call| is_blocked_by_transfer(call, mode, context)) {
            return Err(Refusal::Conflict(IN_TRANSFER));
        }
        if session.monitor_target.as_ref().is_none_or(|target| target.caller.is_none()) {
            return Err(Refusal::Conflict(NO_CALLER));
        }
    }
    Ok(())
}

/// Allows the actor to stop a session.
///
/// # Errors
/// [`Refusal::NotPermitted`].
pub fn authorise_stop(session: &Session, actor: &Actor) -> Result<(), Refusal> {
    if is_own_or_admin(session, actor) {
        return Ok(());
    }
    Err(Refusal::NotPermitted("only the supervisor of this session or an administrator may stop it"))
}

fn is_own_or_admin(session: &Session, actor: &Actor) -> bool {
    session.user == actor.user || actor.viewer.role() == Role::Admin
}

/// Allows the actor to ask the supervisors for help with a call, and returns the operator who has it. `call` is the live
/// call and `operator` its operator.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn authorise_help(
    call: Option<&CallView>,
    operator: Option<Extension>,
    actor: &Actor,
) -> Result<Extension, Refusal> {
    call.filter(|view| actor.sees(view)).ok_or(Refusal::UnknownCall)?;
    let operator = operator.ok_or(Refusal::Conflict("no operator has this call"))?;
    if !actor.may_act_for(&operator) {
        return Err(Refusal::NotPermitted(
            "only the operator on this call, the operator's supervisor or an administrator may",
        ));
    }
    Ok(operator)
}
