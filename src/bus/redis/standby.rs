//! What a standby tracks of its PBX's calls while another daemon leads, so that it can continue where the leader stopped.
//!
//! Two cases; in both, each event is published exactly once:
//! - The standby has observed the call from its first event. Both daemons derive the same *ordered* events
//!   ([`is_ordered`]) in the same order, so the number of them that the leader has published is the index of the first
//!   event that this daemon has to publish.
//! - The standby has not observed the call from its first event: it started during the call, or lost its link, or it
//!   restored the call. Its own first events of the call repeat what is published already; [`PriorCalls::admit`] lets only
//!   news pass. The standby never publishes the beginning of a call that it restored. Buffered events that led to the
//!   published state count as published ([`CallTrack::estimate_published`]).
//!
//! | event kinds | published by | after a takeover |
//! |---|---|---|
//! | ordered: offered, presented, rescinded, answered, held, resumed, ended | the leader, in an order that every daemon derives | the new leader publishes the missing ones |
//! | `call.updated`, `call.queued`, `call.guidance`, `call.announced` | the leader, when the directory answers or a call changes otherwise | published if it is news; takes no part in the count |
//! | all others | the leader only | the new leader publishes nothing that is missing here; their own parts restore them: transfers and supervisions from the channel list, operators' states and messages from the store |
//!
//! Invariants: pure; holds no call that has ended for both daemons. At most [`TRACKS_MAX`] calls are tracked, with at most
//! [`TRACK_EVENTS_MAX`] events each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::contract::call::{CallState, CallView};
use crate::contract::event::{EventKind, NewEvent, StateDelta};
use crate::ids::{CallId, Extension};

/// Most buffered events of one call. A longer call is treated as one that was not observed from its first event.
const TRACK_EVENTS_MAX: usize = 256;
/// Most tracked calls.
const TRACKS_MAX: usize = 50_000;

/// A standby's view of the calls of its PBX.
#[derive(Debug, Clone, Default)]
pub(super) struct StandbyTracker {
    tracks: HashMap<CallId, CallTrack>,
    /// Orders tracks by their first event.
    next: u64,
    /// Calls whose first events this daemon has not observed.
    known: HashSet<CallId>,
}

#[derive(Debug, Clone, Default)]
struct CallTrack {
    order: u64,
    events: Vec<NewEvent>,
    /// Whether `events` begin with the call's first event.
    complete: bool,
    /// Number of ordered events that the leader has published.
    leader_count: usize,
    /// (leader's count, our count) at the last resync.
    at_resync: (usize, usize),
    ended_here: bool,
    ended_at_leader: bool,
}

impl CallTrack {
    /// Number of ordered events that this daemon has buffered.
    fn local_count(&self) -> usize {
        self.events.iter().filter(|draft| is_ordered(draft.kind)).count()
    }

    /// Estimates how many of our buffered events the leader has already published, for a call whose first event we
    /// missed. Picks the buffered event whose resulting state equals the published state; if several match, the one
    /// nearest to the expected count.
    fn estimate_published(&self, published: &CallView) -> usize {
        let (leader, local) = self.at_resync;
        let expected = (local + self.leader_count).saturating_sub(leader);
        let mut ordered = 0_usize;
        let mut best = (expected, 0);
        for (n, draft) in self.events.iter().enumerate() {
            ordered += usize::from(is_ordered(draft.kind));
            if matches_state(draft, published) {
                best = best.min((ordered.abs_diff(expected), n + 1));
            }
        }
        best.1
    }
}

/// What a new leader takes over.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// Events that the previous leader did not publish, in order.
    pub(super) missing: Vec<NewEvent>,
    /// Published calls that this daemon has not observed.
    pub(super) unknown: Vec<Arc<CallView>>,
    /// Calls that were published before this daemon observed them.
    pub(super) prior: PriorCalls,
}

impl StandbyTracker {
    /// This daemon observed an event that it would publish as the leader.
    pub(super) fn record_local(&mut self, draft: NewEvent) {
        let Some(call) = draft.call.filter(|_| describes_call(&draft)) else { return };
        if self.tracks.len() >= TRACKS_MAX && !self.tracks.contains_key(&call) {
            return;
        }
        let next = &mut self.next;
        let track = self.tracks.entry(call).or_insert_with(|| {
            *next += 1;
            CallTrack { order: *next, complete: !self.known.contains(&call), ..CallTrack::default() }
        });
        let begins = draft.kind == EventKind::CallOffered && !is_inferred(&draft);
        track.complete &= begins || !track.events.is_empty();
        if draft.kind == EventKind::CallEnded {
            track.ended_here = true;
            self.known.remove(&call);
        }
        if track.events.len() < TRACK_EVENTS_MAX {
            track.events.push(draft);
        } else {
            track.complete = false;
        }
        self.drop_if_ended(call);
    }

    /// The leader published an event of this kind.
    pub(super) fn record_leader(&mut self, kind: EventKind, change: &StateDelta) {
        let call = match change {
            StateDelta::Call(view) => view.id,
            StateDelta::CallGone(call) => *call,
            _ => return,
        };
        if !is_ordered(kind) {
            return;
        }
        if self.tracks.len() >= TRACKS_MAX && !self.tracks.contains_key(&call) {
            return;
        }
        let next = &mut self.next;
        let track = self.tracks.entry(call).or_insert_with(|| {
            *next += 1;
            // Not observed here yet: if the leader is ahead from the first event on, the count still holds.
            let complete = kind == EventKind::CallOffered && !self.known.contains(&call);
            CallTrack { order: *next, complete, ..CallTrack::default() }
        });
        track.leader_count += 1;
        track.ended_at_leader |= kind == EventKind::CallEnded;
        self.drop_if_ended(call);
    }

    /// Replaces the leader's counts: `past` are the published events that Redis has, in order, and `live` the published
    /// calls. Live calls whose first event is no longer in `past` become incomplete.
    pub(super) fn resync<'a>(
        &mut self,
        past: impl Iterator<Item = (EventKind, &'a StateDelta)>,
        live: impl Iterator<Item = CallId>,
    ) {
        for track in self.tracks.values_mut() {
            track.leader_count = 0;
            track.ended_at_leader = false;
        }
        let mut begun = HashSet::new();
        for (kind, change) in past {
            if let (EventKind::CallOffered, StateDelta::Call(view)) = (kind, change) {
                begun.insert(view.id);
            }
            self.record_leader(kind, change);
        }
        for track in self.tracks.values_mut() {
            track.at_resync = (track.leader_count, track.local_count());
        }
        for call in live.filter(|call| !begun.contains(call)) {
            if let Some(track) = self.tracks.get_mut(&call) {
                track.complete = false;
            }
        }
    }

    fn drop_if_ended(&mut self, call: CallId) {
        let has_ended = |track: &CallTrack| track.ended_at_leader && (track.ended_here || !track.complete);
        if self.tracks.get(&call).is_some_and(has_ended) {
            self.tracks.remove(&call);
        }
    }

    /// The link to the PBX is down, so later events have gaps: drops all tracks, and marks their live calls as known.
    pub(super) fn forget_tracks(&mut self) {
        let observed = |(call, track): (CallId, CallTrack)| {
            (!track.events.is_empty() && !track.ended_here).then_some(call)
        };
        let live: Vec<CallId> = std::mem::take(&mut self.tracks).into_iter().filter_map(observed).collect();
        self.mark_known(live);
    }

    /// This daemon has these calls without having observed their first events.
    pub(super) fn mark_known(&mut self, calls: impl IntoIterator<Item = CallId>) {
        let room = TRACKS_MAX.saturating_sub(self.known.len());
        self.known.extend(calls.into_iter().take(room));
    }

    /// Whether the leader has published every event that this daemon observed.
    pub(super) fn is_caught_up(&self) -> bool {
        self.tracks.values().all(|track| !track.complete || track.leader_count >= track.local_count())
    }

    /// This daemon publishes from now on; `published` are the published live calls of its PBX.
    pub(super) fn take_over(self, published: Vec<Arc<CallView>>) -> Takeover {
        let mut published: HashMap<CallId, Arc<CallView>> =
            published.into_iter().map(|view| (view.id, view)).collect();
        let mut tracks: Vec<(CallId, CallTrack)> = self.tracks.into_iter().collect();
        tracks.sort_by_key(|(_, track)| track.order);
        let mut takeover = Takeover::default();
        let mut prior = PriorCalls::default();
        for (call, track) in tracks {
            if track.ended_at_leader && !track.complete {
                continue;
            }
            let view = published.remove(&call);
            if track.complete {
                let ahead = track.leader_count.checked_sub(track.local_count());
                if let Some(ahead) = ahead.filter(|ahead| *ahead > 0) {
                    prior.leader_ahead_by.insert(call, ahead);
                    prior.calls.extend(view.map(|view| (call, view)));
                }
                takeover.missing.extend(events_after(track.events, track.leader_count));
            } else if let Some(view) = view {
                let count = track.estimate_published(&view);
                prior.calls.insert(call, view);
                let unpublished = track.events.into_iter().skip(count);
                takeover.missing.extend(unpublished.filter(|draft| prior.admit(draft)));
            } else if track.events.first().is_some_and(|draft| draft.kind == EventKind::CallOffered) {
                takeover.missing.extend(track.events);
            }
            // Otherwise the call began before we started and has ended, or it would be in `published`. Nothing to
            // publish.
        }
        takeover.unknown = published.into_values().collect();
        takeover.unknown.sort_by_key(|view| (view.offered_at, view.id));
        takeover.prior = prior;
        takeover
    }
}

/// The events behind the `count`-th ordered one.
fn events_after(events: Vec<NewEvent>, count: usize) -> impl Iterator<Item = NewEvent> {
    let mut ordered = 0;
    events.into_iter().filter(move |draft| {
        if !is_ordered(draft.kind) {
            return ordered >= count;
        }
        ordered += 1;
        ordered > count
    })
}

/// Calls that were already published when this daemon started following the PBX, in their published state.
#[derive(Debug, Default)]
pub(super) struct PriorCalls {
    pub(super) calls: HashMap<CallId, Arc<CallView>>,
    /// Number of upcoming events of a call that the previous leader has already published.
    leader_ahead_by: HashMap<CallId, usize>,
}

impl PriorCalls {
    /// Whether `draft` is to be published, because it adds to the published state. The first event that does makes the
    /// call an ordinary one.
    pub(super) fn admit(&mut self, draft: &NewEvent) -> bool {
        let Some(call) = draft.call.filter(|_| describes_call(draft)) else { return true };
        if let Some(ahead) = self.leader_ahead_by.get_mut(&call) {
            *ahead -= usize::from(is_ordered(draft.kind));
            if *ahead == 0 {
                self.leader_ahead_by.remove(&call);
                self.calls.remove(&call);
            }
            return false;
        }
        let Some(published) = self.calls.get(&call) else { return true };
        if is_redundant(draft, published) {
            return false;
        }
        if is_ordered(draft.kind) {
            self.calls.remove(&call);
        }
        true
    }

    /// Compares with a complete channel list, of which `live` are the calls. Returns the calls that have ended, and the
    /// operators whose phones a live call no longer rings.
    pub(super) fn reconcile(
        &mut self,
        live: &[CallView],
    ) -> (Vec<Arc<CallView>>, Vec<(CallView, Extension)>) {
        let mut ended = Vec::new();
        let mut silent = Vec::new();
        let live: HashMap<CallId, &CallView> = live.iter().map(|view| (view.id, view)).collect();
        self.calls.retain(|call, published| {
            let Some(now) = live.get(call) else {
                ended.push(Arc::clone(published));
                return false;
            };
            if self.leader_ahead_by.contains_key(call) {
                return true;
            }
            for operator in &published.presented_to {
                if !now.operators().any(|o| o == operator) {
                    silent.push(((*now).clone(), operator.clone()));
                }
            }
            true
        });
        ended.sort_by_key(|view| (view.offered_at, view.id));
        (ended, silent)
    }
}

/// Whether `draft` adds nothing to the `published` state.
fn is_redundant(draft: &NewEvent, published: &CallView) -> bool {
    let operator = draft.data.get("operator").and_then(|value| value.as_str());
    let is = |extension: &Extension| Some(extension.as_str()) == operator;
    match draft.kind {
        EventKind::CallOffered => true,
        EventKind::CallPresented => published.presented_to.iter().any(is),
        EventKind::CallRescinded => !published.presented_to.iter().any(is),
        EventKind::CallAnswered => published.operator.as_ref().is_some_and(is),
        EventKind::CallHeld => published.state == CallState::Held,
        EventKind::CallResumed => published.state == CallState::Answered,
        EventKind::CallUpdated
        | EventKind::CallQueued
        | EventKind::CallGuidance
        | EventKind::CallAnnounced => match &draft.change {
            StateDelta::Call(view) => **view == *published,
            _ => false,
        },
        _ => false,
    }
}

/// Whether `draft` results in the `published` state and operators.
fn matches_state(draft: &NewEvent, published: &CallView) -> bool {
    let StateDelta::Call(now) = &draft.change else { return false };
    let ringing = |view: &CallView| view.presented_to.iter().cloned().collect::<HashSet<Extension>>();
    (now.state, &now.operator, ringing(now)) == (published.state, &published.operator, ringing(published))
}

/// Whether every daemon that follows the PBX derives events of this kind in the same number and order.
///
/// Decide this for each new kind of event about a call. If it is ordered and missing here, a standby does not record it,
/// and it is lost when the leader dies before publishing it. If it is not ordered and listed here, the standby's count
/// is wrong, and a takeover repeats or loses events.
fn is_ordered(kind: EventKind) -> bool {
    match kind {
        EventKind::CallOffered
        | EventKind::CallPresented
        | EventKind::CallRescinded
        | EventKind::CallAnswered
        | EventKind::CallHeld
        | EventKind::CallResumed
        | EventKind::CallEnded => true,
        // Its number depends on when the directory answers.
        EventKind::CallUpdated
        // A daemon that began to follow the PBX meanwhile does not derive them.
        | EventKind::CallQueued
        | EventKind::CallGuidance
        | EventKind::CallAnnounced
        // Only the leader knows whether desktops acknowledge pops, and carries out actions.
        | EventKind::PopUnacknowledged
        | EventKind::TransferRequested
        | EventKind::TransferRinging
        | EventKind::TransferConsulting
        | EventKind::TransferCompleted
        | EventKind::TransferFailed
        | EventKind::TransferReturned
        | EventKind::SupervisionStarted
        | EventKind::SupervisionSwitched
        | EventKind::SupervisionStopped
        | EventKind::HelpRequested
        | EventKind::HelpWithdrawn
        // Not about the state of a call.
        | EventKind::CallDisposed
        | EventKind::OperatorState
        | EventKind::OperatorRemoved
        | EventKind::MessageSaved
        | EventKind::MessageCorrected
        | EventKind::MessageWithdrawn
        | EventKind::MessageSent
        | EventKind::MessageFailed
        | EventKind::MessageAcknowledged
        | EventKind::FaxReceived
        | EventKind::VoiceMessageReceived
        | EventKind::MessageAnswered
        | EventKind::MessageEscalated
        | EventKind::MessageUnanswered
        | EventKind::DigestSent
        | EventKind::TaskChanged
        | EventKind::MailServer
        | EventKind::BounceUnmatched
        | EventKind::BouncePolicy
        | EventKind::DocumentPublished
        | EventKind::NoticeChanged
        | EventKind::ContactPresence
        | EventKind::CallbackChanged
        | EventKind::AlarmRaised
        | EventKind::AlarmCleared
        | EventKind::OverrideSet
        | EventKind::OverrideEnded
        | EventKind::CallflowLevel
        | EventKind::CallflowBehind
        | EventKind::CallflowDisagreed
        | EventKind::GuidanceRecorded
        | EventKind::GuidanceUsed
        | EventKind::GuidanceDiscarded
        | EventKind::PbxUp
        | EventKind::PbxDown
        | EventKind::PbxRestarted
        | EventKind::PbxGap => false,
    }
}

/// Whether the event describes the state of a call; a pop that is published once more does not.
pub(super) fn describes_call(draft: &NewEvent) -> bool {
    let updates = matches!(
        draft.kind,
        EventKind::CallUpdated | EventKind::CallQueued | EventKind::CallGuidance | EventKind::CallAnnounced
    );
    changes_call(&draft.change) && (is_ordered(draft.kind) || updates)
}

fn changes_call(change: &StateDelta) -> bool {
    matches!(change, StateDelta::Call(_) | StateDelta::CallGone(_))
}

fn is_inferred(draft: &NewEvent) -> bool {
    matches!(&draft.change, StateDelta::Call(view) if view.inferred)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::contract::call::Direction;
    use crate::contract::event::Audience;
    use crate::ids::{ChannelId, PbxId};

    fn view(n: u32, state: CallState, presented: &[&str], operator: Option<&str>) -> CallView {
        let pbx = PbxId::parse("pbx").unwrap();
        let id = CallId::derive(&pbx, &ChannelId::parse(&format!("{n}.1")).unwrap());
        let extension = |text: &&str| Extension::parse(text).unwrap();
        CallView {
            id,
            pbx,
            direction: Direction::Inbound,
            state,
            offered_at: Timestamp::UNIX_EPOCH,
            answered_at: None,
            ended_at: None,
            presented_to: presented.iter().map(extension).collect(),
            operator: operator.as_ref().map(extension),
            handled_by: Vec::new(),
            outcome: None,
            card: None,
            queue: None,
            treatment: None,
            guidance: None,
            inferred: false,
        }
    }

    fn draft(kind: EventKind, operator: &str, view: &CallView) -> NewEvent {
        let gone = kind == EventKind::CallEnded;
        NewEvent {
            kind,
            at: Timestamp::UNIX_EPOCH,
            call: Some(view.id),
            audience: Audience::Supervisors,
            data: json!({ "operator": operator }),
            change: if gone {
                StateDelta::CallGone(view.id)
            } else {
                StateDelta::Call(Arc::new(view.clone()))
            },
        }
    }

    /// All events of a call, with the call's state after each.
    fn life(n: u32) -> Vec<(NewEvent, Option<CallView>)> {
        let steps = [
            (EventKind::CallOffered, "", CallState::Offered, vec![], None),
            (EventKind::CallPresented, "1001", CallState::Presented, vec!["1001"], None),
            (EventKind::CallRescinded, "1001", CallState::Offered, vec![], None),
            (EventKind::CallPresented, "1001", CallState::Presented, vec!["1001"], None),
            (EventKind::CallUpdated, "", CallState::Presented, vec!["1001"], None),
            (EventKind::CallAnswered, "1001", CallState::Answered, vec![], Some("1001")),
            (EventKind::CallEnded, "", CallState::Ended, vec![], None),
        ];
        let step = |(kind, operator, state, presented, has): (
            EventKind,
            &str,
            CallState,
            Vec<&str>,
            Option<&str>,
        )| {
            let after = view(n, state, &presented, has);
            (draft(kind, operator, &after), (kind != EventKind::CallEnded).then_some(after))
        };
        steps.map(step).into()
    }

    fn kinds(drafts: &[NewEvent]) -> Vec<EventKind> {
        drafts.iter().map(|draft| draft.kind).collect()
    }

    /// Wherever the leader stopped and however far the standby was, both together publish every event once.
    #[test]
    fn a_new_leader_publishes_exactly_what_the_old_one_did_not() {
        let life = life(1);
        for leader in 0..=life.len() {
            for local in 0..=life.len() {
                for leader_first in [true, false] {
                    let mut tracker = StandbyTracker::default();
                    let record_local = |tracker: &mut StandbyTracker| {
                        life[..local].iter().for_each(|(d, _)| tracker.record_local(d.clone()))
                    };
                    let record_leader = |tracker: &mut StandbyTracker| {
                        life[..leader].iter().for_each(|(d, _)| tracker.record_leader(d.kind, &d.change));
                    };
                    if leader_first {
                        record_leader(&mut tracker);
                        record_local(&mut tracker);
                    } else {
                        record_local(&mut tracker);
                        record_leader(&mut tracker);
                    }
                    let published: Vec<_> = leader
                        .checked_sub(1)
                        .and_then(|i| life[i].1.clone())
                        .map(Arc::new)
                        .into_iter()
                        .collect();
                    let mut takeover = tracker.take_over(published);
                    // Events that this daemon observes after the takeover.
                    let later = life[local..].iter().map(|(d, _)| d.clone());
                    let mut all: Vec<NewEvent> = life[..leader].iter().map(|(d, _)| d.clone()).collect();
                    all.append(&mut takeover.missing);
                    all.extend(later.filter(|draft| takeover.prior.admit(draft)));
                    let counted: Vec<_> = kinds(&all).into_iter().filter(|kind| is_ordered(*kind)).collect();
                    let whole: Vec<_> =
                        life.iter().map(|(d, _)| d.kind).filter(|kind| is_ordered(*kind)).collect();
                    assert_eq!(counted, whole, "leader {leader}, local {local}, leader first {leader_first}");
                }
            }
        }
    }

    #[test]
    fn what_was_published_before_the_stream_was_read_counts_too() {
        let life = life(1);
        for leader in 1..life.len() {
            let mut tracker = StandbyTracker::default();
            life.iter().for_each(|(draft, _)| tracker.record_local(draft.clone()));
            let past = life[..leader].iter().map(|(draft, _)| (draft.kind, &draft.change));
            let live = life[leader - 1].1.clone();
            tracker.resync(past, live.iter().map(|view| view.id));
            let missing = tracker.take_over(live.into_iter().map(Arc::new).collect()).missing;
            let whole = life[leader..].iter().map(|(draft, _)| draft.kind).filter(|kind| is_ordered(*kind));
            let counted: Vec<_> = kinds(&missing).into_iter().filter(|kind| is_ordered(*kind)).collect();
            assert_eq!(counted, whole.collect::<Vec<_>>(), "leader {leader}");
        }
    }

    #[test]
    fn what_was_published_before_is_not_published_again_and_news_is() {
        let published = Arc::new(view(1, CallState::Presented, &["1001", "1002"], None));
        let mut prior = PriorCalls::default();
        prior.calls.insert(published.id, Arc::clone(&published));
        let now = view(1, CallState::Presented, &["1002"], None);
        assert!(!prior.admit(&draft(EventKind::CallOffered, "", &now)));
        assert!(!prior.admit(&draft(EventKind::CallPresented, "1002", &now)));
        let (ended, silent) = prior.reconcile(std::slice::from_ref(&now));
        assert!(ended.is_empty());
        assert_eq!(silent.iter().map(|(_, e)| e.as_str()).collect::<Vec<_>>(), ["1001"]);
        assert!(prior.admit(&draft(EventKind::CallAnswered, "1002", &now)));
        assert!(prior.admit(&draft(EventKind::CallOffered, "", &now)), "it is an ordinary call now");
    }

    /// The leader publishes the end of a call that this daemon has not observed from its first event.
    #[test]
    fn the_end_of_a_call_from_before_is_not_published_twice() {
        let life = life(1);
        for seen in 1..life.len() {
            for leader_first in [true, false] {
                let mut tracker = StandbyTracker::default();
                tracker.resync(std::iter::empty(), std::iter::once(life[0].0.call.unwrap()));
                let (before, end) = life[seen..].split_at(life.len() - seen - 1);
                before.iter().for_each(|(draft, _)| tracker.record_local(draft.clone()));
                let (end, _) = &end[0];
                if leader_first {
                    tracker.record_leader(end.kind, &end.change);
                    tracker.record_local(end.clone());
                } else {
                    tracker.record_local(end.clone());
                    tracker.record_leader(end.kind, &end.change);
                }
                let takeover = tracker.take_over(Vec::new());
                assert_eq!(kinds(&takeover.missing), [], "seen from {seen} on, leader first {leader_first}");
            }
        }
    }

    /// A daemon that restored a call publishes every later event once, whatever was read of its past, and whether or not it
    /// lost its link.
    #[test]
    fn every_later_event_of_a_restored_call_is_published_once() {
        let life = life(1);
        let call = life[0].0.call.unwrap();
        for restored in 1..life.len() {
            for leader in restored..life.len() {
                for (local, loses_link) in
                    (leader..=life.len()).flat_map(|local| [(local, false), (local, true)])
                {
                    let mut tracker = StandbyTracker::default();
                    tracker.mark_known([call]);
                    if loses_link {
                        tracker.forget_tracks();
                    }
                    let past = life[..leader].iter().map(|(draft, _)| (draft.kind, &draft.change));
                    let record_local = |tracker: &mut StandbyTracker, from: usize, to: usize| {
                        life[from..to].iter().for_each(|(draft, _)| tracker.record_local(draft.clone()));
                    };
                    record_local(&mut tracker, restored, leader);
                    tracker.resync(past, std::iter::once(call));
                    record_local(&mut tracker, leader, local);
                    let published = life[leader - 1].1.clone().map(Arc::new);
                    let mut takeover = tracker.take_over(published.into_iter().collect());
                    let later = life[local..].iter().map(|(draft, _)| draft.clone());
                    let mut all = std::mem::take(&mut takeover.missing);
                    all.extend(later.filter(|draft| takeover.prior.admit(draft)));
                    let counted = |drafts: &[NewEvent]| -> Vec<EventKind> {
                        kinds(drafts).into_iter().filter(|kind| is_ordered(*kind)).collect()
                    };
                    let whole: Vec<NewEvent> =
                        life[leader..].iter().map(|(draft, _)| draft.clone()).collect();
                    let which = format!("restored {restored}, leader {leader}, local {local}, {loses_link}");

                    assert_eq!(counted(&all), counted(&whole), "{which}");
                }
            }
        }
    }

    #[test]
    fn calls_that_are_not_listed_have_ended() {
        let published = Arc::new(view(1, CallState::Answered, &[], Some("1001")));
        let mut prior = PriorCalls::default();
        prior.calls.insert(published.id, Arc::clone(&published));
        assert_eq!(prior.reconcile(&[]), (vec![published], vec![]));
        assert!(prior.calls.is_empty());
    }
}
