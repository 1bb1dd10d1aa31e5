//! Sessions found again: after a gap of the link, or by a daemon that was started amid them.
//!
//! Invariant: a channel of ours that the PBX lists has a session afterwards, and a session without a channel
//! has ended; what a channel's id does not say (the name, the reason) stands in the audit trail.

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use super::machine::{Supervisions, Told, World, settle};
use super::session::{Ending, Mode, Session, State, Target};
use super::{CALL_GRACE, FOUND_WAIT, SESSIONS_MAX};
use crate::ami::event::{Channel, ChannelState};
use crate::ids::{ChannelId, Extension};

impl Supervisions {
    pub(super) fn list_began(&mut self) {
        self.each(|session, _| session.listed = false);
    }

    /// One line of the list that is a channel of ours.
    pub(super) fn listed(&mut self, now: Timestamp, channel: &Channel, application: &str, arguments: &str) {
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
            name: SmolStr::default(),
            phone,
            target,
            mode,
            why: None,
            state: if rings { State::Calling } else { State::Waiting },
            place: None,
            operator,
            call,
            since: now,
            heard_since: spyee.is_some().then_some(now),
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
        self.out.tell(Told::Found, &session);
        self.sessions.insert(id, session);
    }

    /// The list is whole, and the call model has settled on it.
    pub(super) fn list_ended(&mut self, now: Timestamp, world: &impl World) {
        self.lose(|session| !session.listed);
        self.each(|session, out| settle(session, out, now, world));
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
