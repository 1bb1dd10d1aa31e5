//! What a daemon knows of its PBX's calls while another one tells of them, so that it can go on where that one ends.
//!
//! Two cases, both without a call told twice or not at all:
//! - A standby has followed a call from its first event. Both daemons derive the same events in the same order, so
//!   the leader's count of them is the place from which the standby's own are still to be told.
//! - A daemon meets calls that were told before it began (it was started anew, or in the middle). Its own first
//!   events of such a call say again what is known; [`Inherited::wants`] lets only news pass. So it is with calls that it
//!   remembers, from another daemon or from before it lost its link: it never tells their beginning. What leads to the call as
//!   it was told last was told with it ([`Trail::told_of`]).
//!
//! `call.updated` is told when the directory answers and takes no part in the count.
//!
//! Invariant: pure; it holds no call that is over for both.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::bus::event::{Change, Draft, EventKind};
use crate::call::view::{CallState, CallView};
use crate::ids::{CallId, Extension};

/// Most events kept of one call; of a longer one, what is known decides.
const TRAIL_EVENTS_MAX: usize = 256;
/// Most calls followed at the same time.
const TRAILS_MAX: usize = 50_000;

/// A standby's own view of the calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Shadow {
    trails: HashMap<CallId, Trail>,
    /// Orders trails by their first event.
    next: u64,
    /// Calls that this daemon knew before it began to note: their first events are not among its own.
    known: HashSet<CallId>,
}

#[derive(Debug, Clone, Default)]
struct Trail {
    first: u64,
    drafts: Vec<Draft>,
    /// Whether `drafts` begin with the call's first event.
    whole: bool,
    /// How many of them the leader has told.
    told: usize,
    /// How many it had told and how many were noted here, when what was told was read last.
    read: (usize, usize),
    over_here: bool,
    over_there: bool,
}

impl Trail {
    fn noted(&self) -> usize {
        self.drafts.iter().filter(|draft| counts(draft.kind)).count()
    }

    /// How many drafts of a call that is not followed from its first event the leader has told, when it told last that
    /// the call is so: up to one after which it is, and of several, up to the one that the count comes closest to.
    fn told_of(&self, view: &CallView) -> usize {
        let (told, noted) = self.read;
        let likely = (noted + self.told).saturating_sub(told);
        let mut counted = 0_usize;
        let mut best = (likely, 0);
        for (n, draft) in self.drafts.iter().enumerate() {
            counted += usize::from(counts(draft.kind));
            if shows(draft, view) {
                best = best.min((counted.abs_diff(likely), n + 1));
            }
        }
        best.1
    }
}

/// What is to be told by whoever takes over.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// Events that the leader did not come to tell, in order.
    pub(super) missing: Vec<Draft>,
    /// Calls that were told and of which this daemon knows nothing itself.
    pub(super) unknown: Vec<Arc<CallView>>,
    /// Calls told before this daemon looked.
    pub(super) inherited: Inherited,
}

impl Shadow {
    /// This daemon would tell `draft`.
    pub(super) fn note(&mut self, draft: Draft) {
        let Some(call) = draft.call.filter(|_| is_of_a_call(&draft)) else { return };
        if self.trails.len() >= TRAILS_MAX && !self.trails.contains_key(&call) {
            return;
        }
        let next = &mut self.next;
        let trail = self.trails.entry(call).or_insert_with(|| {
            *next += 1;
            Trail { first: *next, whole: !self.known.contains(&call), ..Trail::default() }
        });
        let begins = draft.kind == EventKind::CallOffered && !is_inferred(&draft);
        trail.whole &= begins || !trail.drafts.is_empty();
        if draft.kind == EventKind::CallEnded {
            trail.over_here = true;
            self.known.remove(&call);
        }
        if trail.drafts.len() < TRAIL_EVENTS_MAX {
            trail.drafts.push(draft);
        } else {
            trail.whole = false;
        }
        self.forget_if_over(call);
    }

    /// The leader has told an event of this kind.
    pub(super) fn told(&mut self, kind: EventKind, change: &Change) {
        let call = match change {
            Change::Call(view) => view.id,
            Change::CallGone(call) => *call,
            _ => return,
        };
        if !counts(kind) {
            return;
        }
        if self.trails.len() >= TRAILS_MAX && !self.trails.contains_key(&call) {
            return;
        }
        let next = &mut self.next;
        let trail = self.trails.entry(call).or_insert_with(|| {
            *next += 1;
            // Not seen here yet: if the leader is ahead from the first event on, the count still holds.
            let whole = kind == EventKind::CallOffered && !self.known.contains(&call);
            Trail { first: *next, whole, ..Trail::default() }
        });
        trail.told += 1;
        trail.over_there |= kind == EventKind::CallEnded;
        self.forget_if_over(call);
    }

    /// What was told was read anew: `past`, in order, and `live` as it left them. Of calls whose beginning is no
    /// longer in the past, what is known decides.
    pub(super) fn read_anew<'a>(
        &mut self,
        past: impl Iterator<Item = (EventKind, &'a Change)>,
        live: impl Iterator<Item = CallId>,
    ) {
        for trail in self.trails.values_mut() {
            trail.told = 0;
            trail.over_there = false;
        }
        let mut begun = HashSet::new();
        for (kind, change) in past {
            if let (EventKind::CallOffered, Change::Call(view)) = (kind, change) {
                begun.insert(view.id);
            }
            self.told(kind, change);
        }
        for trail in self.trails.values_mut() {
            trail.read = (trail.told, trail.noted());
        }
        for call in live.filter(|call| !begun.contains(call)) {
            if let Some(trail) = self.trails.get_mut(&call) {
                trail.whole = false;
            }
        }
    }

    fn forget_if_over(&mut self, call: CallId) {
        if self.trails.get(&call).is_some_and(|t| t.over_there && (t.over_here || !t.whole)) {
            self.trails.remove(&call);
        }
    }

    /// The link to the PBX is down: what follows has gaps.
    pub(super) fn forget(&mut self) {
        let lives =
            |(call, trail): (CallId, Trail)| (!trail.drafts.is_empty() && !trail.over_here).then_some(call);
        let seen: Vec<CallId> = std::mem::take(&mut self.trails).into_iter().filter_map(lives).collect();
        self.knows(seen);
    }

    /// This daemon knows these calls already.
    pub(super) fn knows(&mut self, calls: impl IntoIterator<Item = CallId>) {
        let room = TRAILS_MAX.saturating_sub(self.known.len());
        self.known.extend(calls.into_iter().take(room));
    }

    /// Whether the leader has told all that this daemon would.
    pub(super) fn is_level(&self) -> bool {
        self.trails.values().all(|trail| !trail.whole || trail.told >= trail.noted())
    }

    /// This daemon leads from now on; `published` is what was told of its PBX's live calls.
    pub(super) fn take_over(self, published: Vec<Arc<CallView>>) -> Takeover {
        let mut published: HashMap<CallId, Arc<CallView>> =
            published.into_iter().map(|view| (view.id, view)).collect();
        let mut trails: Vec<(CallId, Trail)> = self.trails.into_iter().collect();
        trails.sort_by_key(|(_, trail)| trail.first);
        let mut takeover = Takeover::default();
        let mut inherited = Inherited::default();
        for (call, trail) in trails {
            if trail.over_there && !trail.whole {
                continue;
            }
            let known = published.remove(&call);
            if trail.whole {
                if let Some(ahead) = trail.told.checked_sub(trail.noted()).filter(|ahead| *ahead > 0) {
                    inherited.ahead.insert(call, ahead);
                    inherited.calls.extend(known.map(|view| (call, view)));
                }
                takeover.missing.extend(after_told(trail.drafts, trail.told));
            } else if let Some(view) = known {
                let told = trail.told_of(&view);
                inherited.calls.insert(call, view);
                let news = trail.drafts.into_iter().skip(told);
                takeover.missing.extend(news.filter(|draft| inherited.wants(draft)));
            } else if trail.drafts.first().is_some_and(|draft| draft.kind == EventKind::CallOffered) {
                takeover.missing.extend(trail.drafts);
            }
            // Another one's beginning was told before this daemon looked; it is over there, or it would be known.
        }
        takeover.unknown = published.into_values().collect();
        takeover.unknown.sort_by_key(|view| (view.offered_at, view.id));
        takeover.inherited = inherited;
        takeover
    }
}

/// The drafts behind the `told`-th that counts.
fn after_told(drafts: Vec<Draft>, told: usize) -> impl Iterator<Item = Draft> {
    let mut counted = 0;
    drafts.into_iter().filter(move |draft| {
        if !counts(draft.kind) {
            return counted >= told;
        }
        counted += 1;
        counted > told
    })
}

/// Calls of which was told before this daemon looked, as they were then.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) calls: HashMap<CallId, Arc<CallView>>,
    /// Of so many of the call's next events was told.
    ahead: HashMap<CallId, usize>,
}

impl Inherited {
    /// Whether `draft` says anything that was not told. With the first that does, the call is like any other.
    pub(super) fn wants(&mut self, draft: &Draft) -> bool {
        let Some(call) = draft.call.filter(|_| is_of_a_call(draft)) else { return true };
        if let Some(ahead) = self.ahead.get_mut(&call) {
            *ahead -= usize::from(counts(draft.kind));
            if *ahead == 0 {
                self.ahead.remove(&call);
                self.calls.remove(&call);
            }
            return false;
        }
        let Some(told) = self.calls.get(&call) else { return true };
        if says(draft, told) {
            return false;
        }
        if counts(draft.kind) {
            self.calls.remove(&call);
        }
        true
    }

    /// The PBX has listed its channels: `live` is all there is. Gives the calls that are over, and operators at whom
    /// one no longer rings.
    pub(super) fn settle(&mut self, live: &[CallView]) -> (Vec<Arc<CallView>>, Vec<(CallView, Extension)>) {
        let mut over = Vec::new();
        let mut silent = Vec::new();
        let live: HashMap<CallId, &CallView> = live.iter().map(|view| (view.id, view)).collect();
        self.calls.retain(|call, told| {
            let Some(now) = live.get(call) else {
                over.push(Arc::clone(told));
                return false;
            };
            if self.ahead.contains_key(call) {
                return true;
            }
            for operator in &told.presented_to {
                if !now.operators().any(|o| o == operator) {
                    silent.push(((*now).clone(), operator.clone()));
                }
            }
            true
        });
        over.sort_by_key(|view| (view.offered_at, view.id));
        (over, silent)
    }
}

/// Whether whoever knows `told` knows this already.
fn says(draft: &Draft, told: &CallView) -> bool {
    let operator = draft.data.get("operator").and_then(|value| value.as_str());
    let is = |extension: &Extension| Some(extension.as_str()) == operator;
    match draft.kind {
        EventKind::CallOffered => true,
        EventKind::CallPresented => told.presented_to.iter().any(is),
        EventKind::CallRescinded => !told.presented_to.iter().any(is),
        EventKind::CallAnswered => told.operator.as_ref().is_some_and(is),
        EventKind::CallHeld => told.state == CallState::Held,
        EventKind::CallResumed => told.state == CallState::Answered,
        EventKind::CallUpdated => match &draft.change {
            Change::Call(view) => **view == *told,
            _ => false,
        },
        _ => false,
    }
}

/// Whether the call is after this as it was `told`, as far as its operators go.
fn shows(draft: &Draft, told: &CallView) -> bool {
    let Change::Call(now) = &draft.change else { return false };
    let rings = |view: &CallView| view.presented_to.iter().cloned().collect::<HashSet<Extension>>();
    (now.state, &now.operator, rings(now)) == (told.state, &told.operator, rings(told))
}

/// Told in the same number and order by whoever follows the PBX.
fn counts(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::CallOffered
            | EventKind::CallPresented
            | EventKind::CallRescinded
            | EventKind::CallAnswered
            | EventKind::CallHeld
            | EventKind::CallResumed
            | EventKind::CallEnded
    )
}

/// Whether the draft says how a call is now; a pop that is told once more does not.
pub(super) fn is_of_a_call(draft: &Draft) -> bool {
    changes_call(&draft.change) && (counts(draft.kind) || draft.kind == EventKind::CallUpdated)
}

fn changes_call(change: &Change) -> bool {
    matches!(change, Change::Call(_) | Change::CallGone(_))
}

fn is_inferred(draft: &Draft) -> bool {
    matches!(&draft.change, Change::Call(view) if view.inferred)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::bus::event::Audience;
    use crate::call::view::Direction;
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
            outcome: None,
            card: None,
            inferred: false,
        }
    }

    fn draft(kind: EventKind, operator: &str, view: &CallView) -> Draft {
        let gone = kind == EventKind::CallEnded;
        Draft {
            kind,
            at: Timestamp::UNIX_EPOCH,
            call: Some(view.id),
            audience: Audience::Supervisors,
            data: json!({ "operator": operator }),
            change: if gone { Change::CallGone(view.id) } else { Change::Call(Arc::new(view.clone())) },
        }
    }

    /// A call's whole life, and how it looked after each event.
    fn life(n: u32) -> Vec<(Draft, Option<CallView>)> {
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

    fn kinds(drafts: &[Draft]) -> Vec<EventKind> {
        drafts.iter().map(|draft| draft.kind).collect()
    }

    /// Wherever the leader stopped and however far the standby was, what both told is the whole, once.
    #[test]
    fn whoever_takes_over_tells_exactly_what_was_not_told() {
        let life = life(1);
        for told in 0..=life.len() {
            for noted in 0..=life.len() {
                for told_first in [true, false] {
                    let mut shadow = Shadow::default();
                    let note =
                        |shadow: &mut Shadow| life[..noted].iter().for_each(|(d, _)| shadow.note(d.clone()));
                    let hear = |shadow: &mut Shadow| {
                        life[..told].iter().for_each(|(d, _)| shadow.told(d.kind, &d.change));
                    };
                    if told_first {
                        hear(&mut shadow);
                        note(&mut shadow);
                    } else {
                        note(&mut shadow);
                        hear(&mut shadow);
                    }
                    let published: Vec<_> = told
                        .checked_sub(1)
                        .and_then(|i| life[i].1.clone())
                        .map(Arc::new)
                        .into_iter()
                        .collect();
                    let mut takeover = shadow.take_over(published);
                    // What the standby still hears of the PBX afterwards is told as it comes.
                    let later = life[noted..].iter().map(|(d, _)| d.clone());
                    let mut said: Vec<Draft> = life[..told].iter().map(|(d, _)| d.clone()).collect();
                    said.append(&mut takeover.missing);
                    said.extend(later.filter(|draft| takeover.inherited.wants(draft)));
                    let counted: Vec<_> = kinds(&said).into_iter().filter(|kind| counts(*kind)).collect();
                    let whole: Vec<_> =
                        life.iter().map(|(d, _)| d.kind).filter(|kind| counts(*kind)).collect();
                    assert_eq!(counted, whole, "told {told}, noted {noted}, told first {told_first}");
                }
            }
        }
    }

    #[test]
    fn what_was_told_before_the_stream_was_read_counts_too() {
        let life = life(1);
        for told in 1..life.len() {
            let mut shadow = Shadow::default();
            life.iter().for_each(|(draft, _)| shadow.note(draft.clone()));
            let past = life[..told].iter().map(|(draft, _)| (draft.kind, &draft.change));
            let live = life[told - 1].1.clone();
            shadow.read_anew(past, live.iter().map(|view| view.id));
            let missing = shadow.take_over(live.into_iter().map(Arc::new).collect()).missing;
            let whole = life[told..].iter().map(|(draft, _)| draft.kind).filter(|kind| counts(*kind));
            let counted: Vec<_> = kinds(&missing).into_iter().filter(|kind| counts(*kind)).collect();
            assert_eq!(counted, whole.collect::<Vec<_>>(), "told {told}");
        }
    }

    #[test]
    fn what_was_told_before_is_not_told_again_and_news_is() {
        let told = Arc::new(view(1, CallState::Presented, &["1001", "1002"], None));
        let mut inherited = Inherited::default();
        inherited.calls.insert(told.id, Arc::clone(&told));
        let now = view(1, CallState::Presented, &["1002"], None);
        assert!(!inherited.wants(&draft(EventKind::CallOffered, "", &now)));
        assert!(!inherited.wants(&draft(EventKind::CallPresented, "1002", &now)));
        let (over, silent) = inherited.settle(std::slice::from_ref(&now));
        assert!(over.is_empty());
        assert_eq!(silent.iter().map(|(_, e)| e.as_str()).collect::<Vec<_>>(), ["1001"]);
        assert!(inherited.wants(&draft(EventKind::CallAnswered, "1002", &now)));
        assert!(inherited.wants(&draft(EventKind::CallOffered, "", &now)), "it is like any other call now");
    }

    /// A daemon that came in the middle of a call hears that it is over before it sees it itself.
    #[test]
    fn the_end_of_a_call_from_before_is_not_told_once_more() {
        let life = life(1);
        for seen in 1..life.len() {
            for told_first in [true, false] {
                let mut shadow = Shadow::default();
                shadow.read_anew(std::iter::empty(), std::iter::once(life[0].0.call.unwrap()));
                let (before, end) = life[seen..].split_at(life.len() - seen - 1);
                before.iter().for_each(|(draft, _)| shadow.note(draft.clone()));
                let (end, _) = &end[0];
                if told_first {
                    shadow.told(end.kind, &end.change);
                    shadow.note(end.clone());
                } else {
                    shadow.note(end.clone());
                    shadow.told(end.kind, &end.change);
                }
                let takeover = shadow.take_over(Vec::new());
                assert_eq!(kinds(&takeover.missing), [], "seen from {seen} on, told first {told_first}");
            }
        }
    }

    /// A daemon that remembers a call from another one tells what comes of it, whatever was read of its past, and
    /// whether or not it lost its link meanwhile.
    #[test]
    fn of_a_call_that_is_remembered_all_that_follows_is_told_once() {
        let life = life(1);
        let call = life[0].0.call.unwrap();
        for remembered in 1..life.len() {
            for told in remembered..life.len() {
                for (noted, forgets) in (told..=life.len()).flat_map(|noted| [(noted, false), (noted, true)])
                {
                    let mut shadow = Shadow::default();
                    shadow.knows([call]);
                    if forgets {
                        shadow.forget();
                    }
                    let past = life[..told].iter().map(|(draft, _)| (draft.kind, &draft.change));
                    let note = |shadow: &mut Shadow, from: usize, to: usize| {
                        life[from..to].iter().for_each(|(draft, _)| shadow.note(draft.clone()));
                    };
                    note(&mut shadow, remembered, told);
                    shadow.read_anew(past, std::iter::once(call));
                    note(&mut shadow, told, noted);
                    let published = life[told - 1].1.clone().map(Arc::new);
                    let mut takeover = shadow.take_over(published.into_iter().collect());
                    let later = life[noted..].iter().map(|(draft, _)| draft.clone());
                    let mut said = std::mem::take(&mut takeover.missing);
                    said.extend(later.filter(|draft| takeover.inherited.wants(draft)));
                    let counted = |drafts: &[Draft]| -> Vec<EventKind> {
                        kinds(drafts).into_iter().filter(|kind| counts(*kind)).collect()
                    };
                    let whole: Vec<Draft> = life[told..].iter().map(|(draft, _)| draft.clone()).collect();
                    let which = format!("remembered {remembered}, told {told}, noted {noted}, {forgets}");

                    assert_eq!(counted(&said), counted(&whole), "{which}");
                }
            }
        }
    }

    #[test]
    fn calls_that_are_no_longer_there_are_over() {
        let told = Arc::new(view(1, CallState::Answered, &[], Some("1001")));
        let mut inherited = Inherited::default();
        inherited.calls.insert(told.id, Arc::clone(&told));
        assert_eq!(inherited.settle(&[]), (vec![told], vec![]));
        assert!(inherited.calls.is_empty());
    }
}
