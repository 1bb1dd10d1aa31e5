//! The machine: every session, and what each input does to it. The tables are in [`super`].

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::orders::Orders;
use super::rules::Start;
use super::session::{Ending, Mode, Place, Session, State, SupervisionId, Target};
use super::view::SupervisionView;
use super::{ATTACH_WAIT, CALL_GRACE};
use crate::ami::action::{Action, ActionError};
use crate::ami::event::{ChannelState, DialStatus, Event};
use crate::ids::{CallId, ChannelId, Extension};

/// After the PBX stopped letting a supervisor hear, how long until whom to hear is asked again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// Longest transfer for which a session is paused.
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Where operators are; the call model, seen through the rules.
pub trait World {
    /// Where this operator can be heard: she has a caller, of an account that may be monitored.
    fn of_operator(&self, operator: &Extension) -> Option<Place>;
    /// Where this call can be heard: an operator has it, and its account may be monitored.
    fn of_call(&self, call: CallId) -> Option<Place>;
    /// Whether the call goes on.
    fn lives(&self, call: CallId) -> bool;
}

/// What happens to sessions.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// A session begins; it was allowed.
    Start(Box<Start>),
    /// A session gets another mode.
    Switch(SupervisionId, Mode),
    /// Somebody ends a session.
    Stop(SupervisionId),
    /// Something happened to a channel; the call model knows it already.
    Pbx(&'a Event),
    /// Calls changed: other operators have them, or they are over.
    Moved,
    /// A transfer of this call begins: nobody may spy on its channels.
    Pause(CallId),
    /// That transfer is over.
    Resume(CallId),
    /// The PBX did not take an order for this session.
    Refused(SupervisionId),
    /// A list of all channels begins.
    ListBegan,
    /// It is complete.
    ListEnded,
    /// The PBX was restarted: every channel is gone.
    Restarted,
}

/// What others should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was asked for; the phone rings. For the record only.
    Requested,
    /// The supervisor hears, or waits on the line.
    Started,
    /// Another mode, another call, or waiting again.
    Changed,
    /// Found again after a restart of the daemon. For the record only.
    Found,
    /// It is over.
    Stopped(Ending),
}

/// What must be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Give these orders, one after the other, and stop at the first that is refused.
    Order {
        /// For which session.
        session: SupervisionId,
        /// What.
        actions: Vec<Action>,
    },
    /// An order could not even be put into words.
    Impossible {
        /// For which session.
        session: SupervisionId,
        /// Why.
        error: ActionError,
    },
    /// Tell those who may know, and write it down.
    Told {
        /// What happened.
        told: Told,
        /// The session after it.
        view: Box<SupervisionView>,
    },
}

/// All sessions.
#[derive(Debug)]
pub struct Supervisions {
    pub(super) sessions: BTreeMap<SupervisionId, Session>,
    /// From whom a call was taken over.
    released: BTreeMap<CallId, Extension>,
    pub(super) out: Orders,
}

impl Supervisions {
    /// No session. `ring`: how long a phone may ring; `auto_answer`: ask it to answer by itself; `tone`: the
    /// operator hears a tone when somebody begins to hear her.
    #[must_use]
    pub fn new(ring: Option<Duration>, auto_answer: bool, tone: bool) -> Self {
        let out = Orders::new(ring, auto_answer, tone);
        Self { sessions: BTreeMap::new(), released: BTreeMap::new(), out }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, world: &impl World) {
        match input {
            Input::Start(start) => self.start(now, *start),
            Input::Switch(id, mode) => self.with(id, |session, out| switch(session, out, now, mode)),
            Input::Stop(id) => self.with(id, |session, out| end(session, out, now, Ending::Stopped)),
            Input::Pbx(event) => self.pbx(now, event, world),
            Input::Moved => self.moved(now, world),
            Input::Pause(call) => self.each(|session, out| pause(session, out, now, call)),
            Input::Resume(call) => self.each(|session, out| {
                if session.state == State::Paused && session.call == Some(call) {
                    session.state = State::Waiting;
                    settle(session, out, now, world);
                }
            }),
            Input::Refused(id) => self.refused(id),
            Input::ListBegan => self.list_began(),
            Input::ListEnded => self.list_ended(now, world),
            Input::Restarted => self.lose(|_| true),
        }
    }

    /// What must be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.queue.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.sessions.values().filter_map(|session| session.due).min()
    }

    /// Ends what lasted too long.
    pub fn handle_timeout(&mut self, now: Timestamp, world: &impl World) {
        let due: Vec<_> =
            self.sessions.values().filter(|s| s.due.is_some_and(|due| due <= now)).map(|s| s.id).collect();
        for id in due {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.due = None;
            match (session.ending, session.state) {
                (Some(ending), _) => self.finish(id, ending),
                (None, State::Calling) => end(session, &mut self.out, now, Ending::NoAnswer),
                (None, State::Attaching | State::TakingOver) => {
                    end(session, &mut self.out, now, Ending::Failed);
                }
                (None, State::Waiting | State::Paused) => {
                    session.state = State::Waiting;
                    settle(session, &mut self.out, now, world);
                }
                (None, State::Live) => {}
            }
        }
    }

    /// Whether nobody supervises.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.released.is_empty()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// A session.
    #[must_use]
    pub fn get(&self, id: SupervisionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All sessions, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// The session at this phone.
    #[must_use]
    pub fn at(&self, phone: &Extension) -> Option<&Session> {
        self.sessions.values().find(|session| &session.phone == phone)
    }

    /// The operator from whom this call was taken over.
    #[must_use]
    pub fn released(&self, call: CallId) -> Option<&Extension> {
        self.released.get(&call)
    }

    /// Whether an event concerns a session: the others need not be shown.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        match event {
            Event::BridgeEntered { channel, .. } if self.hears(&channel.id) => true,
            event => leg_of(event).is_some_and(Session::is_leg),
        }
    }

    /// Whether somebody hears this channel.
    fn hears(&self, channel: &ChannelId) -> bool {
        self.sessions.values().any(|s| s.place.as_ref().is_some_and(|place| place.channel == *channel))
    }

    fn start(&mut self, now: Timestamp, start: Start) {
        let Start { id, user, name, phone, target, mode, why, place } = start;
        let (operator, call) = match (&target, &place) {
            (_, Some(place)) => (Some(place.operator.clone()), Some(place.call)),
            (Target::Operator { operator, .. }, None) => (Some(operator.clone()), None),
            (Target::Call(call), None) => (None, Some(*call)),
        };
        let ring = SignedDuration::try_from(self.out.ring()).unwrap_or(CALL_GRACE);
        let session = Session {
            id,
            user,
            name,
            phone,
            target,
            mode,
            why,
            state: State::Calling,
            place,
            operator,
            call,
            since: now,
            heard_since: None,
            told_mode: mode,
            proven_mode: None,
            due: Some(now + ring + CALL_GRACE),
            ending: None,
            dialled: None,
            rang: false,
            born: false,
            found_hearing: None,
            found_until: None,
            listed: true,
        };
        self.out.tell(Told::Requested, &session);
        self.out.call(&session);
        self.sessions.insert(id, session);
    }

    fn pbx(&mut self, now: Timestamp, event: &Event, world: &impl World) {
        if let Event::BridgeEntered { channel, .. } = event {
            self.each(|session, out| bridged(session, out, now, &channel.id));
        }
        let Some((id, ..)) = leg_of(event).and_then(Session::from_leg) else { return };
        if let Event::ChannelListed { channel, application, arguments, .. } = event {
            self.listed(now, channel, application, arguments);
            return;
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.listed = true;
        match event {
            Event::ChannelCreated(_) => {
                session.born = true;
                if session.ending.is_some() {
                    self.out.hang_up(session);
                }
            }
            Event::ChannelState(channel) if channel.state == ChannelState::Ringing => session.rang = true,
            Event::ChannelState(channel) if channel.state == ChannelState::Up => {
                answered(session, &mut self.out, now, world);
            }
            Event::SpyStarted { spyee, .. } => spy_started(session, &mut self.out, now, &spyee.id),
            Event::SpyStopped { spyee, .. } => {
                spy_stopped(session, &mut self.out, now, spyee.as_ref().map(|c| &c.id))
            }
            Event::DialEnded { status, .. } => dial_ended(session, *status),
            Event::HangupRequested { .. } if session.state != State::Calling => {
                session.ending.get_or_insert(Ending::HungUp);
            }
            Event::BridgeEntered { .. } if session.state == State::TakingOver => {
                if let (Some(call), Some(operator)) = (session.call, session.operator.clone()) {
                    self.released.insert(call, operator);
                }
                self.finish(id, Ending::TookOver);
            }
            // Where there was a channel, its end says more.
            Event::Originated { success: false, .. } if !session.born => {
                let ending = session.ending.unwrap_or(Ending::Unreachable);
                self.finish(id, ending);
            }
            Event::ChannelGone { cause, .. } => {
                let ending = session.ending.unwrap_or(match (session.state, cause) {
                    (State::Calling, 17 | 21) => Ending::Busy,
                    // A phone that is off says the same as one that nobody takes, but it does not ring.
                    (State::Calling, 0 | 16 | 18 | 19) if session.rang => {
                        session.dialled.unwrap_or(Ending::NoAnswer)
                    }
                    (State::Calling, _) => Ending::Unreachable,
                    _ => Ending::HungUp,
                });
                self.finish(id, ending);
            }
            _ => {}
        }
    }

    fn moved(&mut self, now: Timestamp, world: &impl World) {
        self.released.retain(|call, _| world.lives(*call));
        self.each(|session, out| settle(session, out, now, world));
    }

    fn refused(&mut self, id: SupervisionId) {
        // Any other order that is refused shows by the event that does not follow it.
        if self.sessions.get(&id).is_some_and(|s| s.state == State::Calling && s.ending.is_none()) {
            self.finish(id, Ending::Failed);
        }
    }

    pub(super) fn finish(&mut self, id: SupervisionId, ending: Ending) {
        if let Some(session) = self.sessions.remove(&id) {
            self.out.tell(Told::Stopped(ending), &session);
        }
    }

    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Session, &mut Orders)) {
        self.sessions.values_mut().for_each(|session| act(session, &mut self.out));
    }

    fn with(&mut self, id: SupervisionId, act: impl FnOnce(&mut Session, &mut Orders)) {
        if let Some(session) = self.sessions.get_mut(&id) {
            act(session, &mut self.out);
        }
    }
}

/// The channel of ours that an event may be about.
fn leg_of(event: &Event) -> Option<&ChannelId> {
    match event {
        Event::ChannelCreated(channel) | Event::ChannelState(channel) => Some(&channel.id),
        Event::ChannelGone { channel, .. }
        | Event::HangupRequested { channel, .. }
        | Event::BridgeEntered { channel, .. }
        | Event::ChannelListed { channel, .. } => Some(&channel.id),
        Event::DialEnded { to, .. } => Some(&to.id),
        Event::SpyStarted { spyer, .. } | Event::SpyStopped { spyer, .. } => Some(&spyer.id),
        Event::Originated { channel, .. } => channel.as_ref(),
        _ => None,
    }
}

fn answered(session: &mut Session, out: &mut Orders, now: Timestamp, world: &impl World) {
    if session.state != State::Calling || session.ending.is_some() {
        return;
    }
    if session.mode == Mode::TakeOver {
        session.state = State::TakingOver;
        session.due = Some(now + ATTACH_WAIT);
        return;
    }
    // The dialplan does by itself what the call to the phone said.
    session.state = if session.place.is_some() { State::Attaching } else { State::Waiting };
    session.due = session.place.is_some().then(|| now + ATTACH_WAIT);
    if session.place.is_none() {
        out.tell(Told::Started, session);
        session.proven_mode = Some(session.mode);
    }
    settle(session, out, now, world);
}

fn spy_started(session: &mut Session, out: &mut Orders, now: Timestamp, spyee: &ChannelId) {
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
fn spy_stopped(session: &mut Session, out: &mut Orders, now: Timestamp, spyee: Option<&ChannelId>) {
    session.found_hearing = None;
    let ours = |place: &Place| spyee.is_none_or(|spyee| place.channel == *spyee);
    if session.state != State::Live || !session.place.as_ref().is_some_and(ours) || session.ending.is_some() {
        return;
    }
    session.place = None;
    session.state = State::Waiting;
    if session.stays() {
        session.due = Some(now + LOOK_AGAIN);
        out.tell(Told::Changed, session);
    } else {
        session.ending = Some(Ending::CallEnded);
        session.due = Some(now + ATTACH_WAIT);
    }
}

/// The operator's channel has entered another bridge (a consultation, or back from one). On Asterisk 22.10 she hears
/// nobody there while a spy of before is still attached: it is attached anew.
fn bridged(session: &mut Session, out: &mut Orders, now: Timestamp, channel: &ChannelId) {
    let hears = session.place.as_ref().is_some_and(|place| place.channel == *channel);
    if hears && session.state == State::Live && session.ending.is_none() {
        session.state = State::Attaching;
        session.due = Some(now + ATTACH_WAIT);
        out.switch(session);
    }
}

fn dial_ended(session: &mut Session, status: DialStatus) {
    session.dialled = match status {
        DialStatus::Answer => None,
        DialStatus::Busy => Some(Ending::Busy),
        DialStatus::Unavailable => Some(Ending::Unreachable),
        DialStatus::NoAnswer | DialStatus::Cancel | DialStatus::Other => Some(Ending::NoAnswer),
    };
}

fn switch(session: &mut Session, out: &mut Orders, now: Timestamp, mode: Mode) {
    if session.ending.is_some() || session.state == State::TakingOver {
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

fn pause(session: &mut Session, out: &mut Orders, now: Timestamp, call: CallId) {
    let hears = session.place.as_ref().is_some_and(|place| place.call == call);
    if hears && matches!(session.state, State::Live | State::Attaching) && session.ending.is_none() {
        session.place = None;
        session.state = State::Paused;
        session.due = Some(now + PAUSE_MAX);
        out.wait(session);
        out.tell(Told::Changed, session);
    }
}

/// Frees the phone; it is over once the channel is gone.
fn end(session: &mut Session, out: &mut Orders, now: Timestamp, ending: Ending) {
    session.ending.get_or_insert(ending);
    session.due = Some(now + ATTACH_WAIT);
    out.hang_up(session);
}

/// Asks whom this session should hear, and does what that needs.
pub(super) fn settle(session: &mut Session, out: &mut Orders, now: Timestamp, world: &impl World) {
    if session.ending.is_some() || matches!(session.state, State::Paused | State::TakingOver) {
        return;
    }
    let wanted = match &session.target {
        Target::Operator { operator, follow } => world
            .of_operator(operator)
            .filter(|place| *follow || session.call.is_none_or(|call| call == place.call)),
        Target::Call(call) => world.of_call(*call).filter(|place| place.operator != session.phone),
    };
    let over = match &session.target {
        Target::Call(call) => !world.lives(*call),
        Target::Operator { follow, .. } => !follow && wanted.is_none(),
    };
    if over && session.found_until.is_some_and(|until| now < until) {
        return;
    }
    if over {
        end(session, out, now, Ending::CallEnded);
        return;
    }
    if session.state == State::Calling {
        return;
    }
    match wanted {
        Some(place) if session.place.as_ref().is_some_and(|at| at.channel == place.channel) => {
            session.place = Some(place);
        }
        Some(place) if session.found_hearing.as_ref() == Some(&place.channel) => {
            session.operator = Some(place.operator.clone());
            session.call = Some(place.call);
            session.state = State::Live;
            session.due = None;
            session.found_hearing = None;
            session.place = Some(place);
            out.tell(Told::Changed, session);
        }
        Some(place) => {
            session.found_hearing = None;
            session.operator = Some(place.operator.clone());
            session.call = Some(place.call);
            session.told_mode = session.mode;
            session.state = State::Attaching;
            session.due = Some(now + ATTACH_WAIT);
            out.attach(session, &place);
            session.place = Some(place);
        }
        None if session.place.is_some() => {
            session.place = None;
            session.state = State::Waiting;
            session.due = None;
            out.wait(session);
            out.tell(Told::Changed, session);
        }
        None => {}
    }
}
