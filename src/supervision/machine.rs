//! The doors of the machine: inputs in, orders and news out, time. The tables are in [`super`].
//!
//! Read next: `step.rs`, what each input does to one session.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use super::CALL_GRACE;
use super::orders::Orders;
use super::policy::{AfterTransfer, Notify, Settings};
use super::recover::Remembered;
use super::rules::Start;
use super::session::{Ending, Mode, Place, Session, State, SupervisionId, Target};
use super::step::{self, Around, end, settle};
use super::view::SupervisionView;
use crate::ami::action::{Action, ActionError};
use crate::ami::event::{ChannelState, Event};
use crate::ids::{CallId, ChannelId, Extension, RecordId};

/// Where operators are and who may hear them; the call model and the people, seen through the rules.
pub trait World {
    /// Where this operator can be heard: she has a caller, of an account that may be monitored.
    fn of_operator(&self, operator: &Extension) -> Option<Place>;
    /// Where this call can be heard: an operator has it, and its account may be monitored.
    fn of_call(&self, call: CallId) -> Option<Place>;
    /// The channel of somebody outside with whom the caller of this call talks, and may be heard talking.
    fn outside(&self, call: CallId) -> Option<ChannelId>;
    /// Whether the call goes on.
    fn lives(&self, call: CallId) -> bool;
    /// Whether this person may do this to this operator now; `released`: from whom the call was taken over.
    fn may_hear(
        &self,
        user: RecordId,
        mode: Mode,
        operator: &Extension,
        released: Option<&Extension>,
    ) -> bool;
    /// What this person is called.
    fn name_of(&self, user: RecordId) -> SmolStr;
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
    Pause {
        /// The call.
        call: CallId,
        /// Whether the caller leaves the operator at once.
        leaves: bool,
    },
    /// The transfer of this call has come to where people talk with each other.
    Resume(CallId),
    /// What the records say of a session that was found; nothing when they say nothing.
    Remembered(SupervisionId, Option<Box<Remembered>>),
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
        /// How the operator learns of it.
        notify: Notify,
    },
    /// Look up what the records say of this session, made at that time, and give it back as
    /// [`Input::Remembered`].
    Recall(SupervisionId, Timestamp),
}

/// All sessions.
#[derive(Debug)]
pub struct Supervisions {
    pub(super) sessions: BTreeMap<SupervisionId, Session>,
    /// From whom a call was taken over.
    pub(super) released: BTreeMap<CallId, Extension>,
    pub(super) out: Orders,
}

impl Supervisions {
    /// No session.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { sessions: BTreeMap::new(), released: BTreeMap::new(), out: Orders::new(settings) }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, world: &impl World) {
        match input {
            Input::Start(start) => self.start(now, *start),
            Input::Switch(id, mode) => self.with(id, |session, out| step::switch(session, out, now, mode)),
            Input::Stop(id) => self.with(id, |session, out| end(session, out, now, Ending::Stopped)),
            Input::Pbx(event) => self.pbx(now, event, world),
            Input::Moved => self.moved(now, world),
            Input::Pause { call, leaves } => {
                self.each(|session, out| step::pause(session, out, now, call, leaves));
            }
            Input::Resume(call) => {
                self.each_in(now, world, |session, out, around| step::resume(session, out, around, call));
            }
            Input::Remembered(id, remembered) => {
                self.remember(id, remembered);
                self.moved(now, world);
            }
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
        let around = Around { now, world, released: &self.released };
        let mut finished = Vec::new();
        for id in due {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.due = None;
            match (session.ending, session.state) {
                (Some(ending), _) => finished.push((id, ending)),
                (None, State::Calling) => end(session, &mut self.out, now, Ending::NoAnswer),
                (None, State::Attaching | State::TakingOver) => {
                    end(session, &mut self.out, now, Ending::Failed);
                }
                (None, State::Waiting | State::Paused) => {
                    session.state = State::Waiting;
                    session.moving = false;
                    settle(session, &mut self.out, &around);
                }
                (None, State::Live) => {}
            }
        }
        for (id, ending) in finished {
            self.finish(id, ending);
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
            Event::BridgeEntered { channel, .. } if self.hears(&channel.id) || self.seeks() => true,
            event => leg_of(event).is_some_and(Session::is_leg),
        }
    }

    /// Whether somebody hears this channel.
    fn hears(&self, channel: &ChannelId) -> bool {
        self.sessions.values().any(|s| s.place.as_ref().is_some_and(|place| place.channel == *channel))
    }

    /// Whether somebody waits for callers to be with somebody whom no other input tells of.
    fn seeks(&self) -> bool {
        self.out.settings.after_transfer == AfterTransfer::Caller
            && self.sessions.values().any(|session| session.state == State::Waiting)
    }

    fn start(&mut self, now: Timestamp, start: Start) {
        let Start { id, user, name, phone, target, mode, why, place } = start;
        let notify = place.as_ref().map_or(self.out.settings.notify, |place| place.notify);
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
            notify,
            // As a daemon that finds it again will read it out of its id.
            since: id.made_at().unwrap_or(now),
            heard_since: None,
            moving: false,
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
            self.each(|session, out| step::bridged(session, out, now, &channel.id));
            if self.seeks() {
                self.each_in(now, world, settle);
            }
        }
        let Some((id, ..)) = leg_of(event).and_then(Session::from_leg) else { return };
        if let Event::ChannelListed { channel, application, arguments, .. } = event {
            self.listed(now, channel, (application, arguments), world);
            return;
        }
        let around = Around { now, world, released: &self.released };
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
                step::answered(session, &mut self.out, &around);
            }
            Event::SpyStarted { spyee, .. } => step::spy_started(session, &mut self.out, now, &spyee.id),
            Event::SpyStopped { spyee, .. } => {
                step::spy_stopped(session, &mut self.out, now, spyee.as_ref().map(|c| &c.id));
            }
            Event::DialEnded { status, .. } => step::dial_ended(session, *status),
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
                    // The dialplan hangs up when there is no such caller any more.
                    (State::TakingOver, _) => Ending::CallEnded,
                    _ => Ending::HungUp,
                });
                self.finish(id, ending);
            }
            _ => {}
        }
    }

    fn moved(&mut self, now: Timestamp, world: &impl World) {
        self.released.retain(|call, _| world.lives(*call));
        self.each_in(now, world, settle);
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

    pub(super) fn each_in<W: World>(
        &mut self,
        now: Timestamp,
        world: &W,
        mut act: impl FnMut(&mut Session, &mut Orders, &Around<'_, W>),
    ) {
        let around = Around { now, world, released: &self.released };
        self.sessions.values_mut().for_each(|session| act(session, &mut self.out, &around));
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
