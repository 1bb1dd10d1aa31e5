//! Sessions found again: after a gap of the link, or by a daemon that was started amid them.
//!
//! Invariant: a channel of ours that the PBX lists has a session afterwards, and a session without a channel
//! has ended. Who, whom and since when stand in the channel's id, how in its application; the rest (why, since
//! when she hears, the mode of a phone that hears nobody just now) stands in the audit trail, and is asked for.

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use super::machine::{Output, Supervisions, Told, World};
use super::session::{Ending, Mode, Session, State, SupervisionId, Target};
use super::step::settle;
use super::{CALL_GRACE, FOUND_WAIT, SESSIONS_MAX};
use crate::ami::event::{Channel, ChannelState};
use crate::ids::{CallId, ChannelId, Extension};

/// What the records say of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    /// Why, in the supervisor's words.
    pub why: Option<SmolStr>,
    /// Since when she hears somebody.
    pub heard_since: Option<Timestamp>,
    /// The mode that was told last.
    pub mode: Option<Mode>,
    /// The call that was heard last.
    pub call: Option<CallId>,
    /// The operator who was heard last.
    pub operator: Option<Extension>,
    /// The session is an operator's, from whom the call was taken over: her own extension.
    pub released: Option<Extension>,
}

impl Supervisions {
    pub(super) fn list_began(&mut self) {
        self.each(|session, _| session.listed = false);
    }

    /// One line of the list that is a channel of ours.
    pub(super) fn listed(
        &mut self,
        now: Timestamp,
        channel: &Channel,
        (application, arguments): (&str, &str),
        world: &impl World,
    ) {
        let Some((id, user, target)) = Session::from_leg(&channel.id) else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.listed = true;
            return;
        }
        let Some(phone) = phone_of(&channel.name) else { return };
        // One who took the call over talks with the caller; that is no supervision any more.
        if application == "Bridge" {
            return;
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return;
        }
        let (spyee, mode) = spied(application, arguments);
        let ring = SignedDuration::try_from(self.out.ring()).unwrap_or(CALL_GRACE);
        let rings = channel.state != ChannelState::Up;
        let (operator, call) = match &target {
            Target::Operator { operator, .. } => (Some(operator.clone()), None),
            Target::Call(call) => (None, Some(*call)),
        };
        let session = Session {
            id,
            user,
            name: world.name_of(user),
            phone,
            target,
            mode,
            why: None,
            state: if rings { State::Calling } else { State::Waiting },
            place: None,
            operator,
            call,
            notify: self.out.settings.notify,
            since: id.made_at().unwrap_or(now),
            heard_since: spyee.is_some().then_some(now),
            moving: false,
            told_mode: mode,
            proven_mode: Some(mode),
            due: Some(now + if rings { ring + CALL_GRACE } else { FOUND_WAIT }),
            ending: None,
            dialled: None,
            rang: true,
            born: true,
            found_hearing: spyee,
            found_until: Some(now + FOUND_WAIT),
            listed: true,
        };
        self.out.queue.push_back(Output::Recall(id, session.since));
        self.sessions.insert(id, session);
    }

    /// What was looked up of a session that was found.
    pub(super) fn remember(&mut self, id: SupervisionId, remembered: Option<Box<Remembered>>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(remembered) = remembered {
            let Remembered { why, heard_since, mode, call, operator, released } = *remembered;
            session.why = session.why.take().or(why);
            session.heard_since = heard_since.or(session.heard_since);
            session.call = session.call.or(call);
            if session.is_for_one_call() {
                session.operator = operator.or(session.operator.take());
            }
            // A phone that hears somebody says itself how.
            let hears = session.place.is_some() || session.found_hearing.is_some();
            if let Some(mode) = mode.filter(|mode| !hears && *mode != Mode::TakeOver) {
                session.mode = mode;
            }
            if let (Some(call), Some(operator)) = (session.call, released) {
                self.released.entry(call).or_insert(operator);
            }
        }
        self.out.tell(Told::Found, session);
    }

    /// The list is whole, and the call model has settled on it.
    pub(super) fn list_ended(&mut self, now: Timestamp, world: &impl World) {
        self.lose(|session| !session.listed);
        self.each_in(now, world, settle);
    }

    pub(super) fn lose(&mut self, is_lost: impl Fn(&Session) -> bool) {
        let lost: Vec<_> = self.sessions.values().filter(|s| is_lost(s)).map(|s| s.id).collect();
        for id in lost {
            self.finish(id, Ending::Lost);
        }
    }
}

/// `PJSIP/2001-0000001a` is the phone 2001.
fn phone_of(name: &str) -> Option<Extension> {
    let (_, endpoint) = name.split_once('/')?;
    let (phone, _) = endpoint.rsplit_once('-')?;
    Extension::parse(phone).ok()
}

/// Whom and how, from `ChanSpy(<unique id>,quS…)`.
fn spied(application: &str, arguments: &str) -> (Option<ChannelId>, Mode) {
    if application != "ChanSpy" {
        return (None, Mode::Listen);
    }
    let (spyee, options) = arguments.split_once(',').unwrap_or((arguments, ""));
    let mode = match options {
        options if options.contains('B') => Mode::Barge,
        options if options.contains('w') => Mode::Whisper,
        _ => Mode::Listen,
    };
    (ChannelId::parse(spyee).ok(), mode)
}
