//! What happens to one session: each function takes it from one state of the table in [`super`] to the next.
//!
//! Invariant: whom a session hears is decided in [`settle`] alone, each time anew, from where the operators are and
//! from what this supervisor may hear at that moment.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::ATTACH_WAIT;
use super::machine::{Told, World};
use super::orders::Orders;
use super::policy::{AfterTransfer, Notify};
use super::session::{Ending, Mode, Place, Session, State, Target};
use crate::ami::event::DialStatus;
use crate::ids::{CallId, ChannelId, Extension};

/// After the PBX stopped letting a supervisor hear, how long until whom to hear is asked again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// Longest transfer for which a session is paused.
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(10);

/// What a session needs to know beside itself.
pub(super) struct Around<'a, W> {
    pub(super) now: Timestamp,
    pub(super) world: &'a W,
    /// From whom calls were taken over.
    pub(super) released: &'a BTreeMap<CallId, Extension>,
}

pub(super) fn answered<W: World>(session: &mut Session, out: &mut Orders, around: &Around<'_, W>) {
    if session.state != State::Calling || session.ending.is_some() {
        return;
    }
    let now = around.now;
    if session.mode == Mode::TakeOver {
        session.state = State::TakingOver;
        session.due = Some(now + ATTACH_WAIT);
        return;
    }
    if session.moving {
        session.place = None;
        session.state = State::Paused;
        session.due = Some(now + PAUSE_MAX);
        out.wait(session);
    } else {
        // The dialplan does by itself what the call to the phone said.
        session.state = if session.place.is_some() { State::Attaching } else { State::Waiting };
        session.due = session.place.is_some().then(|| now + ATTACH_WAIT);
    }
    if session.place.is_none() {
        out.tell(Told::Started, session);
        session.proven_mode = Some(session.mode);
    }
    settle(session, out, around);
}

pub(super) fn spy_started(session: &mut Session, out: &mut Orders, now: Timestamp, spyee: &ChannelId) {
    if session.place.as_ref().is_none_or(|place| place.channel != *spyee) || session.ending.is_some() {
        return;
    }
    session.state = State::Live;
    session.due = None;
    session.heard_since.get_or_insert(now);
    if session.mode == session.told_mode {
        let told = if session.proven_mode.is_none() { Told::Started } else { Told::Changed };
        session.proven_mode = Some(session.mode);
        out.tell(told, session);
    } else {
        switch(session, out, now, session.mode);
    }
}

/// The spied channel is gone or about to go; the dialplan hangs the phone up, or keeps it waiting.
pub(super) fn spy_stopped(
    session: &mut Session,
    out: &mut Orders,
    now: Timestamp,
    spyee: Option<&ChannelId>,
) {
    session.found_hearing = None;
    let ours = |place: &Place| spyee.is_none_or(|spyee| place.channel == *spyee);
    if session.state != State::Live || !session.place.as_ref().is_some_and(ours) || session.ending.is_some() {
        return;
    }
    session.place = None;
    session.state = State::Waiting;
    if session.stays(out.settings.after_transfer) {
        session.due = Some(now + LOOK_AGAIN);
        out.tell(Told::Changed, session);
    } else {
        session.ending = Some(Ending::CallEnded);
        session.due = Some(now + ATTACH_WAIT);
    }
}

/// The operator's channel has entered another bridge (a consultation, or back from one). On Asterisk 22.10 she hears
/// nobody there while a spy of before is still attached: it is attached anew.
pub(super) fn bridged(session: &mut Session, out: &mut Orders, now: Timestamp, channel: &ChannelId) {
    let hears = session.place.as_ref().is_some_and(|place| place.channel == *channel);
    if hears && session.state == State::Live && session.ending.is_none() {
        session.state = State::Attaching;
        session.due = Some(now + ATTACH_WAIT);
        out.switch(session);
    }
}

pub(super) fn dial_ended(session: &mut Session, status: DialStatus) {
    session.dialled = match status {
        DialStatus::Answer => None,
        DialStatus::Busy => Some(Ending::Busy),
        DialStatus::Unavailable => Some(Ending::Unreachable),
        DialStatus::NoAnswer | DialStatus::Cancel | DialStatus::Other => Some(Ending::NoAnswer),
    };
}

pub(super) fn switch(session: &mut Session, out: &mut Orders, now: Timestamp, mode: Mode) {
    if session.ending.is_some() || session.state == State::TakingOver {
        return;
    }
    if mode != Mode::Listen && session.hears_outside() {
        return;
    }
    let live = matches!(session.state, State::Live | State::Attaching);
    if mode == Mode::TakeOver {
        let caller = session.place.as_ref().and_then(|place| place.caller.clone());
        if let (true, Some(caller)) = (live, caller) {
            session.mode = mode;
            session.state = State::TakingOver;
            session.due = Some(now + ATTACH_WAIT);
            out.take_over(session, &caller);
        }
        return;
    }
    session.mode = mode;
    if live {
        session.told_mode = mode;
        session.state = State::Attaching;
        session.due = Some(now + ATTACH_WAIT);
        out.switch(session);
    } else if session.state != State::Calling {
        out.tell(Told::Changed, session);
    }
}

/// A transfer of this call begins; `leaves`: the caller leaves the operator at once.
pub(super) fn pause(session: &mut Session, out: &mut Orders, now: Timestamp, call: CallId, leaves: bool) {
    if session.call != Some(call) || session.ending.is_some() {
        return;
    }
    if leaves && session.is_for_one_call() && out.settings.after_transfer == AfterTransfer::End {
        end(session, out, now, Ending::CallEnded);
        return;
    }
    session.moving = true;
    if session.place.is_some() && matches!(session.state, State::Live | State::Attaching) {
        session.place = None;
        session.state = State::Paused;
        session.due = Some(now + PAUSE_MAX);
        out.wait(session);
        out.tell(Told::Changed, session);
    }
}

/// Operator, caller and target are where they will be for a while.
pub(super) fn resume<W: World>(
    session: &mut Session,
    out: &mut Orders,
    around: &Around<'_, W>,
    call: CallId,
) {
    if session.call != Some(call) {
        return;
    }
    session.moving = false;
    if session.state == State::Paused {
        session.state = State::Waiting;
        session.due = None;
    }
    settle(session, out, around);
}

/// Frees the phone; it is over once the channel is gone.
pub(super) fn end(session: &mut Session, out: &mut Orders, now: Timestamp, ending: Ending) {
    session.ending.get_or_insert(ending);
    session.due = Some(now + ATTACH_WAIT);
    out.hang_up(session);
}

/// Asks whom this session should hear, and does what that needs.
pub(super) fn settle<W: World>(session: &mut Session, out: &mut Orders, around: &Around<'_, W>) {
    if session.ending.is_some() || matches!(session.state, State::Paused | State::TakingOver) {
        return;
    }
    let (now, world) = (around.now, around.world);
    let policy = out.settings.after_transfer;
    let wanted = whom(session, around, policy);
    let over = match (&session.target, session.call) {
        (Target::Call(call), _) => !world.lives(*call),
        (Target::Operator { follow: true, .. }, _) => false,
        (Target::Operator { .. }, Some(call)) if policy == AfterTransfer::Caller => !world.lives(call),
        (Target::Operator { .. }, _) => wanted.is_none(),
    };
    if over && session.found_until.is_some_and(|until| now < until) {
        return;
    }
    // Who rings to take a caller over must not get her from somebody else.
    let another = |place: &Place| session.place.as_ref().is_none_or(|at| at.channel != place.channel);
    let calling = session.state == State::Calling;
    if over || calling && session.mode == Mode::TakeOver && wanted.as_ref().is_none_or(another) {
        end(session, out, now, Ending::CallEnded);
        return;
    }
    if calling {
        return;
    }
    match wanted {
        Some(place) if session.place.as_ref().is_some_and(|at| at.channel == place.channel) => {
            session.place = Some(place);
        }
        Some(place) => go_to(session, out, now, place),
        // One who was found may hear whom the model does not know yet.
        None if session.place.is_none() && session.found_until.is_some_and(|until| now < until) => {}
        None if session.place.is_some() || session.found_hearing.is_some() => {
            (session.place, session.found_hearing) = (None, None);
            session.state = State::Waiting;
            session.due = None;
            out.wait(session);
            out.tell(Told::Changed, session);
        }
        None => {}
    }
}

/// Lets the supervisor hear somebody else, or recognises whom she was found hearing.
fn go_to(session: &mut Session, out: &mut Orders, now: Timestamp, place: Place) {
    let found = session.found_hearing.take();
    session.found_until = None;
    session.operator = Some(place.operator.clone());
    session.call = Some(place.call);
    if place.outside {
        session.mode = Mode::Listen;
    } else {
        session.notify = place.notify;
    }
    if found.as_ref() == Some(&place.channel) && session.mode == session.told_mode {
        session.state = State::Live;
        session.due = None;
        session.place = Some(place);
        out.tell(Told::Changed, session);
        return;
    }
    session.told_mode = session.mode;
    session.state = State::Attaching;
    session.due = Some(now + ATTACH_WAIT);
    out.attach(session, &place);
    session.place = Some(place);
}

fn whom<W: World>(session: &Session, around: &Around<'_, W>, policy: AfterTransfer) -> Option<Place> {
    let world = around.world;
    let with_caller = |call: CallId| {
        let ours = world.of_call(call).filter(|place| place.operator != session.phone);
        let outside = || Some((session.operator.clone()?, world.outside(call)?));
        ours.or_else(|| {
            let (operator, channel) = outside().filter(|_| policy == AfterTransfer::Caller)?;
            Some(Place { call, operator, channel, caller: None, notify: Notify::Silent, outside: true })
        })
    };
    let place = match &session.target {
        Target::Operator { operator, follow: true } => world.of_operator(operator),
        Target::Operator { operator, follow: false } => {
            let hers = world.of_operator(operator);
            let hers = hers.filter(|place| session.call.is_none_or(|call| call == place.call));
            hers.or_else(|| session.call.filter(|_| policy == AfterTransfer::Caller).and_then(with_caller))
        }
        Target::Call(call) => with_caller(*call),
    };
    // She may have been moved to another team, and the call to an operator of one.
    place.filter(|place| {
        let released = around.released.get(&place.call);
        world.may_hear(session.user, session.mode, &place.operator, released)
    })
}
