//! The supervision log: which segment change is recorded with each notice of a supervision session.
//!
//! | notice of the session | segment change |
//! |---|---|
//! | the session hears a call now (`live`) | started: a segment with the same values continues; any other open segment ends |
//! | the session waits, or is paused for a transfer | stopped |
//! | the session has ended | stopped, with the reason; a take-over is recorded as a segment of its own |
//! | the phone rings, the session is being attached, or it was found and not recognised yet | none |
//! | the first complete channel list after a start, or after this daemon acquired the lead | started for every live session; every other open segment is stopped, because nobody saw its end |
//!
//! Invariant: a segment change is stored together with the event that reports it, so the event log and the history agree
//! after a crash. Only the leader stores segment changes.

use jiff::Timestamp;

use super::core::Core;
use crate::contract::event::Audience;
use crate::contract::supervision::{EndReason, Mode, Notify, State, SupervisionSegment, SupervisionView};
use crate::journal::entry::{JournalEntry, SegmentChange};
use crate::people::role::Role;
use crate::supervision::{Notice, Session};

/// Whether the open segments in the store match the sessions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncState {
    /// Unknown: another daemon, or an earlier run, recorded the open segments.
    #[default]
    Stale,
    /// A channel list is in progress; the segments are compared when it is complete.
    Resyncing,
    /// They match; each change is recorded as it happens.
    InSync,
}

impl Core {
    /// The segment change to record with a notice at `now`.
    pub(super) fn segment_change(
        &self,
        notice: Notice,
        view: &SupervisionView,
        audience: &Audience,
        now: Timestamp,
    ) -> Option<SegmentChange> {
        let ended = |ending| Some(SegmentChange::Stopped { supervision: view.id, at: now, ending });
        let began = |mode| self.supervision_segment(view, mode, audience.clone(), now);
        match notice {
            Notice::Requested => None,
            Notice::Stopped(EndReason::TookOver) => match began(Mode::TakeOver) {
                Some(segment) => Some(SegmentChange::Started(Box::new(SupervisionSegment {
                    until: Some(now),
                    ending: Some(EndReason::TookOver),
                    ..segment
                }))),
                None => ended(Some(EndReason::TookOver)),
            },
            Notice::Stopped(ending) => ended(Some(ending)),
            Notice::Started | Notice::Changed | Notice::Recovered => match view.state {
                State::Live => began(view.mode).map(|segment| SegmentChange::Started(Box::new(segment))),
                State::Waiting | State::Paused if notice != Notice::Recovered => ended(None),
                _ => None,
            },
        }
    }

    fn supervision_segment(
        &self,
        view: &SupervisionView,
        mode: Mode,
        audience: Audience,
        from: Timestamp,
    ) -> Option<SupervisionSegment> {
        let (call, operator) = (view.call?, view.operator.clone()?);
        Some(SupervisionSegment {
            supervision: view.id,
            pbx: self.deps.plan.pbx.clone(),
            call,
            operator,
            supervisor: view.supervisor,
            supervisor_name: view.supervisor_name.clone(),
            extension: view.extension.clone(),
            mode,
            reason: view.reason.clone(),
            from,
            until: None,
            ending: None,
            audience,
        })
    }

    /// Who receives the events of a session and may read its history later. When the listener is itself an operator
    /// (from whom the call was taken over), that operator receives them, too.
    pub(super) fn supervision_audience(&self, view: &SupervisionView, notify: Notify) -> Audience {
        let roster = self.deps.people.current();
        let by_operator = roster.person(view.supervisor).is_some_and(|person| person.role == Role::Operator);
        let operators = view.operator.iter().cloned();
        match notify {
            _ if by_operator => Audience::Operators(operators.chain([view.extension.clone()]).collect()),
            Notify::Desktop => Audience::Operators(operators.collect()),
            Notify::Tone | Notify::Silent => Audience::SupervisorsOf(operators.collect()),
        }
    }

    /// The next channel list is to be compared with the segments that another daemon recorded.
    pub(super) fn mark_segments_stale(&mut self) {
        self.segment_sync = SyncState::Stale;
    }

    /// A list of all channels begins.
    pub(super) fn begin_segment_resync(&mut self) {
        if self.segment_sync == SyncState::Stale && self.deps.bus.is_leader() {
            self.segment_sync = SyncState::Resyncing;
        }
    }

    /// The channel list is complete, and the supervision machine has compared every session with it.
    pub(super) fn finish_segment_resync(&mut self) {
        if self.segment_sync != SyncState::Resyncing {
            return;
        }
        self.segment_sync = SyncState::InSync;
        let now = self.clock.now();
        let began = |session: &Session| {
            let view = SupervisionView::from(session);
            let audience = self.supervision_audience(&view, session.notify);
            self.segment_change(Notice::Changed, &view, &audience, now)
        };
        let live = self.supervision.iter().filter(|session| session.state == State::Live);
        let mut changes: Vec<SegmentChange> = live.filter_map(began).collect();
        let hearing = self.supervision.iter().filter(|session| session.is_monitoring());
        let supervisions = hearing.map(|session| session.id).collect();
        changes.push(SegmentChange::Reconcile { pbx: self.deps.plan.pbx.clone(), supervisions, at: now });
        self.deps.bus.publish_all(Vec::new(), changes.into_iter().map(JournalEntry::SegmentChange).collect());
    }
}
