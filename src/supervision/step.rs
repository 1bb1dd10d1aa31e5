//! Steps of one session: each function takes it from one state of the table in [`super`] to the next.
//!
//! Invariant: [`retarget`] alone decides whom a session hears. Each time it starts from the present calls and from what
//! the supervisor may hear at that moment.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::ATTACH_TIMEOUT;
use super::actions::ActionQueue;
use super::machine::{Environment, Notice};
use super::session::{MonitorTarget, Session};
use crate::ami::event::DialStatus;
use crate::contract::supervision::{AfterTransfer, EndReason, Mode, Notify, State, Target};
use crate::ids::{CallId, ChannelId, Extension};

/// How long after a `ChanSpyStop` a waiting session decides again whom to hear.
const RETARGET_DELAY: SignedDuration = SignedDuration::from_secs(1);
/// Longest pause of a session for a transfer.
const PAUSE_TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

/// What a step reads beside its session.
pub(super) struct StepContext<'a, W> {
    pub(super) now: Timestamp,
    pub(super) env: &'a W,
    /// The operator from whom each call was taken over.
    pub(super) released: &'a BTreeMap<CallId, Extension>,
}

pub(super) fn answered<W: Environment>(
    session: &mut Session,
    out: &mut ActionQueue,
    ctx: &StepContext<'_, W>,
) {
    if session.state != State::Calling || session.end_reason.is_some() {
        return;
    }
    let now = ctx.now;
    if session.mode == Mode::TakeOver {
        session.state = State::TakingOver;
        session.due = Some(now + ATTACH_TIMEOUT);
        return;
    }
    if session.in_transfer {
        session.monitor_target = None;
        session.state = State::Paused;
        session.due = Some(now + PAUSE_TIMEOUT);
        out.wait(session);
    } else {
        // The dialplan attaches the phone itself, by the variables of the call to it.
        session.state = if session.monitor_target.is_some() { State::Attaching } else { State::Waiting };
        session.due = session.monitor_target.is_some().then(|| now + ATTACH_TIMEOUT);
    }
    if session.monitor_target.is_none() {
        out.push_notice(Notice::Started, session);
        session.confirmed_mode = Some(session.mode);
    }
    retarget(session, out, ctx);
}

pub(super) fn spy_started(session: &mut Session, out: &mut ActionQueue, now: Timestamp, spyee: &ChannelId) {
    if session.monitor_target.as_ref().is_none_or(|target| target.channel != *spyee)
        || session.end_reason.is_some()
    {
        return;
    }
    session.state = State::Live;
    session.due = None;
    session.monitoring_since.get_or_insert(now);
    if session.mode == session.sent_mode {
        let notice = if session.confirmed_mode.is_none() { Notice::Started } else { Notice::Changed };
        session.confirmed_mode = Some(session.mode);
        out.push_notice(notice, session);
    } else {
        switch(session, out, now, session.mode);
    }
}

/// The spied channel is gone or about to go; the dialplan hangs the phone up, or keeps it on the line.
pub(super) fn spy_stopped(
    session: &mut Session,
    out: &mut ActionQueue,
    now: Timestamp,
    spyee: Option<&ChannelId>,
) {
    session.recovered_target = None;
    let is_same = |target: &MonitorTarget| spyee.is_none_or(|spyee| target.channel == *spyee);
    if session.state != State::Live
        || !session.monitor_target.as_ref().is_some_and(is_same)
        || session.end_reason.is_some()
    {
        return;
    }
    session.monitor_target = None;
    session.state = State::Waiting;
    if session.waits_without_target(out.settings.after_transfer) {
        session.due = Some(now + RETARGET_DELAY);
        out.push_notice(Notice::Changed, session);
    } else {
        session.end_reason = Some(EndReason::CallEnded);
        session.due = Some(now + ATTACH_TIMEOUT);
    }
}

/// The channel has entered another bridge (a consultation, or back from one). On Asterisk 22.10 the supervisor hears
/// nobody in the new bridge, so the phone is attached again.
pub(super) fn bridged(session: &mut Session, out: &mut ActionQueue, now: Timestamp, channel: &ChannelId) {
    let hears = session.monitor_target.as_ref().is_some_and(|target| target.channel == *channel);
    if hears && session.state == State::Live && session.end_reason.is_none() {
        session.state = State::Attaching;
        session.due = Some(now + ATTACH_TIMEOUT);
        out.switch(session);
    }
}

pub(super) fn dial_ended(session: &mut Session, status: DialStatus) {
    session.dial_result = match status {
        DialStatus::Answer => None,
        DialStatus::Busy => Some(EndReason::Busy),
        DialStatus::Unavailable => Some(EndReason::Unreachable),
        DialStatus::NoAnswer | DialStatus::Cancel | DialStatus::Other => Some(EndReason::NoAnswer),
    };
}

pub(super) fn switch(session: &mut Session, out: &mut ActionQueue, now: Timestamp, mode: Mode) {
    if session.end_reason.is_some() || session.state == State::TakingOver {
        return;
    }
    if mode != Mode::Listen && session.hears_external_party() {
        return;
    }
    let live = matches!(session.state, State::Live | State::Attaching);
    if mode == Mode::TakeOver {
        let caller = session.monitor_target.as_ref().and_then(|target| target.caller.clone());
        if let (true, Some(caller)) = (live, caller) {
            session.mode = mode;
            session.state = State::TakingOver;
            session.due = Some(now + ATTACH_TIMEOUT);
            out.take_over(session, &caller);
        }
        return;
    }
    session.mode = mode;
    if live {
        session.sent_mode = mode;
        session.state = State::Attaching;
        session.due = Some(now + ATTACH_TIMEOUT);
        out.switch(session);
    } else if session.state != State::Calling {
        out.push_notice(Notice::Changed, session);
    }
}

/// A transfer of this call begins; `leaves`: the caller leaves the operator at once.
pub(super) fn pause(
    session: &mut Session,
    out: &mut ActionQueue,
    now: Timestamp,
    call: CallId,
    leaves: bool,
) {
    if session.call != Some(call) || session.end_reason.is_some() {
        return;
    }
    if leaves && session.is_for_one_call() && out.settings.after_transfer == AfterTransfer::End {
        end(session, out, now, EndReason::CallEnded);
        return;
    }
    session.in_transfer = true;
    if session.monitor_target.is_some() && matches!(session.state, State::Live | State::Attaching) {
        session.monitor_target = None;
        session.state = State::Paused;
        session.due = Some(now + PAUSE_TIMEOUT);
        out.wait(session);
        out.push_notice(Notice::Changed, session);
    }
}

/// The transfer has reached a state in which people talk.
pub(super) fn resume<W: Environment>(
    session: &mut Session,
    out: &mut ActionQueue,
    ctx: &StepContext<'_, W>,
    call: CallId,
) {
    if session.call != Some(call) {
        return;
    }
    session.in_transfer = false;
    if session.state == State::Paused {
        session.state = State::Waiting;
        session.due = None;
    }
    retarget(session, out, ctx);
}

/// Hangs the phone up; the session ends when its channel is gone.
pub(super) fn end(session: &mut Session, out: &mut ActionQueue, now: Timestamp, reason: EndReason) {
    session.end_reason.get_or_insert(reason);
    session.due = Some(now + ATTACH_TIMEOUT);
    out.hang_up(session);
}

/// Decides whom this session hears, and attaches, detaches or ends accordingly.
pub(super) fn retarget<W: Environment>(
    session: &mut Session,
    out: &mut ActionQueue,
    ctx: &StepContext<'_, W>,
) {
    if session.end_reason.is_some() || matches!(session.state, State::Paused | State::TakingOver) {
        return;
    }
    let (now, env) = (ctx.now, ctx.env);
    let policy = out.settings.after_transfer;
    let wanted_target = target_for(session, ctx, policy);
    let is_over = match (&session.target, session.call) {
        (Target::Call(call), _) => !env.is_live(*call),
        (Target::Operator { follow: true, .. }, _) => false,
        (Target::Operator { .. }, Some(call)) if policy == AfterTransfer::Caller => !env.is_live(call),
        (Target::Operator { .. }, _) => wanted_target.is_none(),
    };
    if is_over && session.recovery_until.is_some_and(|until| now < until) {
        return;
    }
    // A phone that rings for a take-over must not get the caller from another operator.
    let is_other =
        |found: &MonitorTarget| session.monitor_target.as_ref().is_none_or(|at| at.channel != found.channel);
    let calling = session.state == State::Calling;
    if is_over || calling && session.mode == Mode::TakeOver && wanted_target.as_ref().is_none_or(is_other) {
        end(session, out, now, EndReason::CallEnded);
        return;
    }
    if calling {
        return;
    }
    match wanted_target {
        Some(found) if session.monitor_target.as_ref().is_some_and(|at| at.channel == found.channel) => {
            session.monitor_target = Some(found);
        }
        Some(found) => attach(session, out, now, found),
        // A recovered session may hear a channel that the call model does not know yet.
        None if session.monitor_target.is_none()
            && session.recovery_until.is_some_and(|until| now < until) => {}
        None if session.monitor_target.is_some() || session.recovered_target.is_some() => {
            (session.monitor_target, session.recovered_target) = (None, None);
            session.state = State::Waiting;
            session.due = None;
            out.wait(session);
            out.push_notice(Notice::Changed, session);
        }
        None => {}
    }
}

/// Attaches the phone to another channel, or recognises the channel that a recovered phone hears.
fn attach(session: &mut Session, out: &mut ActionQueue, now: Timestamp, target: MonitorTarget) {
    let recovered = session.recovered_target.take();
    session.recovery_until = None;
    session.operator = Some(target.operator.clone());
    session.call = Some(target.call);
    if target.external {
        session.mode = Mode::Listen;
    } else {
        session.notify = target.notify;
    }
    if recovered.as_ref() == Some(&target.channel) && session.mode == session.sent_mode {
        session.state = State::Live;
        session.due = None;
        session.monitor_target = Some(target);
        out.push_notice(Notice::Changed, session);
        return;
    }
    session.sent_mode = session.mode;
    session.state = State::Attaching;
    session.due = Some(now + ATTACH_TIMEOUT);
    out.attach(session, &target);
    session.monitor_target = Some(target);
}

fn target_for<W: Environment>(
    session: &Session,
    ctx: &StepContext<'_, W>,
    policy: AfterTransfer,
) -> Option<MonitorTarget> {
    let env = ctx.env;
    let with_caller = |call: CallId| {
        let operators = env.monitorable_call(call).filter(|found| found.operator != session.phone);
        let external = || Some((session.operator.clone()?, env.external_party(call)?));
        operators.or_else(|| {
            let (operator, channel) = external().filter(|_| policy == AfterTransfer::Caller)?;
            Some(MonitorTarget {
                call,
                operator,
                channel,
                caller: None,
                notify: Notify::Silent,
                external: true,
            })
        })
    };
    let found = match &session.target {
        Target::Operator { operator, follow: true } => env.monitorable_operator(operator),
        Target::Operator { operator, follow: false } => {
            let present = env.monitorable_operator(operator);
            let same_call = present.filter(|found| session.call.is_none_or(|call| call == found.call));
            same_call
                .or_else(|| session.call.filter(|_| policy == AfterTransfer::Caller).and_then(with_caller))
        }
        Target::Call(call) => with_caller(*call),
    };
    // The supervisor may have moved to another team, or the call to an operator of one.
    found.filter(|found| {
        let released = ctx.released.get(&found.call);
        env.may_supervise(session.user, session.mode, &found.operator, released)
    })
}
