//! The queues of the PBX, brought to where the operators' states want them and kept there.
//!
//! | input | what follows |
//! |---|---|
//! | what is wanted of an extension changes | orders, at once |
//! | the PBX tells of a member | compared; what differs is repaired |
//! | a list of all members (link up, audit) | whoever is missing from it is a member no longer; compared |
//! | the PBX took the orders | its events must show it within [`PROOF_WAIT`], otherwise once more |
//! | it refused, or cannot be reached | once more, ever more slowly, up to [`RETRY_WAIT_MAX`] |
//! | the link is down | nothing is known; nothing is ordered before the next list |
//!
//! | wanted of an extension | queues it is a member of | queues it is to be a member of and is not |
//! |---|---|---|
//! | never heard of | untouched | untouched |
//! | somebody sits there | paused with a reason, or not, as her state says | added, paused already where she is |
//! | nobody sits there any more | removed where added while running, paused where configured | - |
//!
//! Pure. Invariants: at most one batch of orders for an extension is under way; what an order changed is believed
//! when an event or a list shows it; somebody who pauses by hand again and again is answered
//! [`REPAIRS_PER_MINUTE_MAX`] times a minute, not more.
//!
//! Why a talking operator is paused, not only one in after-call work: the moment her call ends the queue would
//! offer her the next one, before any order of ours could arrive.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use smol_str::{SmolStr, format_smolstr};

use super::floor::Member;
use crate::ami::action::Action;
use crate::ami::member::MemberState;
use crate::ids::{Extension, QueueName};

/// How long the PBX's events may take to show what its reply promised.
pub(crate) const PROOF_WAIT: SignedDuration = SignedDuration::from_secs(3);
/// Pause before orders that failed are given again; it doubles.
pub(crate) const RETRY_WAIT: SignedDuration = SignedDuration::from_secs(1);
/// Longest such pause.
pub(crate) const RETRY_WAIT_MAX: SignedDuration = SignedDuration::from_secs(60);
/// How often a minute one extension is brought back to where it should be.
pub(crate) const REPAIRS_PER_MINUTE_MAX: usize = 20;
/// Why members are paused at whose phone nobody sits any more.
const LEFT: &str = "logged_out";

/// Orders about one extension, to be given one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// About which.
    pub extension: Extension,
    /// The orders.
    pub actions: Vec<Action>,
    /// The PBX had been elsewhere although nothing new was wanted.
    pub repair: bool,
}

/// What is known and wanted of the queues.
#[derive(Debug)]
pub struct Members {
    queues: Vec<QueueName>,
    /// By queue and interface.
    actual: BTreeMap<(QueueName, SmolStr), MemberState>,
    /// A whole list was taken since the link came up.
    known: bool,
    /// What a list under way has shown.
    seen: Option<BTreeSet<(QueueName, SmolStr)>>,
    wanted: BTreeMap<Extension, Option<Member>>,
    efforts: HashMap<Extension, Effort>,
    outputs: VecDeque<Orders>,
}

/// How it goes with one extension.
#[derive(Debug, Default)]
struct Effort {
    under_way: bool,
    /// Something new is wanted since the orders were given.
    stale: bool,
    failures: u32,
    /// Not before.
    next_at: Option<Timestamp>,
    /// When orders were given in the last minute.
    recent: VecDeque<Timestamp>,
    /// What is wanted was reached once, so that a difference is drift.
    settled: bool,
}

impl Members {
    /// Nothing known; whoever sits somewhere becomes a member of these queues.
    #[must_use]
    pub fn new(queues: Vec<QueueName>) -> Self {
        Self {
            queues,
            actual: BTreeMap::new(),
            known: false,
            seen: None,
            wanted: BTreeMap::new(),
            efforts: HashMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Orders to give now.
    pub fn poll_output(&mut self) -> Option<Orders> {
        self.outputs.pop_front()
    }

    /// When something is to be looked at again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.efforts.values().filter(|effort| !effort.under_way).filter_map(|effort| effort.next_at).min()
    }

    /// Looks again at what waited for its time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let is_due = |effort: &Effort| !effort.under_way && effort.next_at.is_some_and(|at| at <= now);
        let due: Vec<_> = self.efforts.iter().filter(|(_, e)| is_due(e)).map(|(e, _)| e.clone()).collect();
        for extension in due {
            if let Some(effort) = self.efforts.get_mut(&extension) {
                effort.next_at = None;
            }
            self.bring(now, &extension);
        }
    }

    /// This is wanted of an extension from now on.
    pub fn want(&mut self, now: Timestamp, extension: Extension, member: Option<Member>) {
        let effort = self.efforts.entry(extension.clone()).or_default();
        (effort.settled, effort.stale, effort.failures, effort.next_at) = (false, true, 0, None);
        self.wanted.insert(extension.clone(), member);
        self.bring(now, &extension);
    }

    /// The PBX tells of a member, live or in a list; `extension` is whose phone it calls.
    pub fn member(&mut self, now: Timestamp, extension: &Extension, member: MemberState) {
        let key = (member.queue.clone(), member.interface.clone());
        if let Some(seen) = &mut self.seen {
            seen.insert(key.clone());
        }
        if self.actual.insert(key, member.clone()) != Some(member) && self.seen.is_none() {
            self.bring(now, extension);
        }
    }

    /// It is a member no longer.
    pub fn removed(&mut self, now: Timestamp, extension: &Extension, queue: QueueName, interface: SmolStr) {
        self.actual.remove(&(queue, interface));
        self.bring(now, extension);
    }

    /// A list of all members begins.
    pub fn list_began(&mut self) {
        self.seen = Some(BTreeSet::new());
    }

    /// It has ended; what was not in a whole one is not there.
    pub fn list_ended(&mut self, now: Timestamp, complete: bool) {
        let Some(seen) = self.seen.take() else { return };
        if !complete {
            return;
        }
        self.actual.retain(|key, _| seen.contains(key));
        self.known = true;
        let extensions: Vec<_> = self.wanted.keys().cloned().collect();
        for extension in extensions {
            self.bring(now, &extension);
        }
    }

    /// From here on the PBX is unknown.
    pub fn link_lost(&mut self) {
        (self.known, self.seen) = (false, None);
        self.actual.clear();
        for effort in self.efforts.values_mut() {
            *effort = Effort::default();
        }
    }

    /// What the PBX said of the last orders about an extension.
    pub fn answered(&mut self, now: Timestamp, extension: &Extension, accepted: bool) {
        let Some(effort) = self.efforts.get_mut(extension) else { return };
        effort.under_way = false;
        if effort.stale {
            // What is known may be older than what these orders did: everything is ordered.
            return self.give(now, extension, true);
        }
        if accepted {
            effort.next_at = Some(later(now, PROOF_WAIT));
            let done = self.differences(extension, false).is_empty();
            if let Some(effort) = self.efforts.get_mut(extension).filter(|_| done) {
                (effort.next_at, effort.failures, effort.settled) = (None, 0, true);
            }
        } else {
            let wait = RETRY_WAIT.checked_mul(1 << effort.failures.min(10)).unwrap_or(RETRY_WAIT_MAX);
            effort.failures += 1;
            effort.next_at = Some(later(now, wait.min(RETRY_WAIT_MAX)));
        }
    }

    /// Compares, and orders what is needed, unless orders are under way or must wait.
    fn bring(&mut self, now: Timestamp, extension: &Extension) {
        if self.known && self.wanted.contains_key(extension) {
            self.give(now, extension, false);
        }
    }

    fn give(&mut self, now: Timestamp, extension: &Extension, all: bool) {
        if !self.known || self.seen.is_some() {
            return;
        }
        let actions = self.differences(extension, all);
        let effort = self.efforts.entry(extension.clone()).or_default();
        if effort.under_way {
            return;
        }
        effort.stale = false;
        if actions.is_empty() {
            (effort.next_at, effort.failures, effort.settled) = (None, 0, true);
            return;
        }
        if effort.next_at.is_some_and(|at| at > now) && effort.failures > 0 {
            return;
        }
        let minute_ago = later(now, SignedDuration::from_secs(-60));
        while effort.recent.front().is_some_and(|at| *at < minute_ago) {
            effort.recent.pop_front();
        }
        if effort.recent.len() >= REPAIRS_PER_MINUTE_MAX && effort.settled {
            effort.next_at = effort.recent.front().map(|at| later(*at, SignedDuration::from_secs(61)));
            return;
        }
        effort.recent.push_back(now);
        effort.under_way = true;
        effort.next_at = None;
        let repair = std::mem::take(&mut effort.settled);
        self.outputs.push_back(Orders { extension: extension.clone(), actions, repair });
    }

    /// The orders that make the queues as wanted; `all`: whatever is known of them.
    fn differences(&self, extension: &Extension, all: bool) -> Vec<Action> {
        let Some(wanted) = self.wanted.get(extension) else { return Vec::new() };
        let present: Vec<&MemberState> =
            self.actual.values().filter(|member| calls(&member.interface, extension)).collect();
        let mut actions = Vec::new();
        let reason = match wanted {
            Some(member) => member.paused.as_deref(),
            None => Some(LEFT),
        };
        let ours = |member: &MemberState| member.dynamic && self.queues.contains(&member.queue);
        let (leave, stay): (Vec<&MemberState>, Vec<&MemberState>) =
            present.iter().copied().partition(|member| wanted.is_none() && ours(member));
        for member in leave {
            actions.extend(Action::queue_remove(&member.queue, &member.interface).ok());
        }
        if let Some(member) = wanted {
            for queue in self.queues.iter().filter(|queue| !present.iter().any(|p| p.queue == **queue)) {
                let device = format_smolstr!("PJSIP/{extension}");
                actions.extend(Action::queue_add(queue, &device, &member.name, 0, reason.is_some()).ok());
                if reason.is_some() {
                    actions.extend(Action::queue_pause(&device, Some(queue), true, reason).ok());
                }
            }
        }
        let differs = |member: &&&MemberState| {
            all || member.paused != reason.is_some() || member.paused && member.reason.as_deref() != reason
        };
        for member in stay.iter().filter(differs) {
            let pause = Action::queue_pause(&member.interface, Some(&member.queue), reason.is_some(), reason);
            actions.extend(pause.ok());
        }
        actions
    }
}

/// Whether a member's interface is the phone at this extension: `PJSIP/1001`, `Local/1001@from-queue/n`.
fn calls(interface: &str, extension: &Extension) -> bool {
    extension_of(interface).is_some_and(|name| name == extension.as_str())
}

/// The extension in the name of a device.
pub(crate) fn extension_of(interface: &str) -> Option<&str> {
    let (_, rest) = interface.split_once('/')?;
    Some(rest.split(['@', '/', '-']).next().unwrap_or(rest))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn extension() -> Extension {
        Extension::parse("1001").unwrap()
    }

    fn queue(name: &str) -> QueueName {
        QueueName::parse(name).unwrap()
    }

    fn state(in_queue: &str, dynamic: bool, reason: Option<&str>) -> MemberState {
        MemberState {
            queue: queue(in_queue),
            interface: "PJSIP/1001".into(),
            dynamic,
            paused: reason.is_some(),
            reason: reason.map(Into::into),
        }
    }

    fn sits(paused: Option<&str>) -> Option<Member> {
        Some(Member { name: "佐藤".into(), paused: paused.map(Into::into) })
    }

    fn names(orders: Option<Orders>) -> Vec<String> {
        orders.map(|orders| orders.actions.iter().map(|a| format!("{a:?}")).collect()).unwrap_or_default()
    }

    fn listed(members: &mut Members, now: i64, states: &[MemberState]) {
        members.list_began();
        for state in states {
            members.member(at(now), &extension(), state.clone());
        }
        members.list_ended(at(now), true);
    }

    fn fresh() -> Members {
        Members::new(vec![queue("operators")])
    }

    #[test]
    fn nothing_is_ordered_before_the_pbx_has_told() {
        let mut members = fresh();
        members.want(at(0), extension(), sits(None));
        assert_eq!(members.poll_output(), None);
        listed(&mut members, 1, &[]);
        let orders = names(members.poll_output());
        assert!(orders.len() == 1 && orders[0].contains("QueueAdd"), "{orders:?}");
        // The PBX says yes and shows it.
        members.answered(at(2), &extension(), true);
        members.member(at(2), &extension(), state("operators", true, None));
        assert_eq!((members.poll_output(), members.poll_timeout()), (None, None));
        // It is restarted: the same again.
        members.link_lost();
        listed(&mut members, 9, &[]);
        assert!(names(members.poll_output())[0].contains("QueueAdd"));
    }

    #[test]
    fn who_never_logged_in_is_left_alone() {
        let mut members = fresh();
        listed(&mut members, 1, &[state("operators", false, Some("by hand"))]);
        members.member(at(2), &extension(), state("operators", false, None));
        assert_eq!(members.poll_output(), None);
    }

    #[test]
    fn a_pause_by_hand_is_repaired_but_not_for_ever() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", false, None), state("other", false, None)]);
        members.want(at(0), extension(), sits(None));
        assert_eq!(members.poll_output(), None, "it is so already");
        let mut repaired = 0;
        for _ in 0..100 {
            members.member(at(1), &extension(), state("other", false, Some("by hand")));
            if let Some(orders) = members.poll_output() {
                assert!(orders.repair && orders.actions.len() == 1, "{orders:?}");
                repaired += 1;
                members.answered(at(1), &extension(), true);
                members.member(at(1), &extension(), state("other", false, None));
            }
        }
        assert_eq!(repaired, REPAIRS_PER_MINUTE_MAX);
        members.member(at(1), &extension(), state("other", false, Some("by hand")));
        let due = members.poll_timeout().unwrap();
        members.handle_timeout(due);
        assert!(members.poll_output().is_some(), "later it is tried again");
    }

    #[test]
    fn what_is_refused_or_not_shown_is_tried_again_ever_more_slowly() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", false, None)]);
        members.want(at(0), extension(), sits(Some("wrap_up")));
        let mut now = at(0);
        let mut waits = Vec::new();
        for round in 0..9 {
            assert!(members.poll_output().is_some(), "round {round}");
            members.answered(now, &extension(), round == 0);
            let due = members.poll_timeout().unwrap();
            waits.push(due.duration_since(now).as_secs());
            now = due;
            members.handle_timeout(now);
        }
        assert_eq!(waits, [3, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn what_is_wanted_meanwhile_is_ordered_after_the_reply_whatever_is_known() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", false, None)]);
        members.want(at(0), extension(), sits(Some("talking")));
        assert!(names(members.poll_output())[0].contains("talking"));
        members.want(at(0), extension(), sits(None));
        assert_eq!(members.poll_output(), None, "one batch at a time");
        members.answered(at(1), &extension(), true);
        let orders = names(members.poll_output());
        assert!(orders[0].contains("\"Paused\": \"false\""), "{orders:?}");
    }

    #[test]
    fn who_has_left_is_out_of_the_queues() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", true, None), state("other", false, None)]);
        members.want(at(0), extension(), None);
        let orders = names(members.poll_output());
        assert_eq!(orders.len(), 2, "{orders:?}");
        assert!(orders[0].contains("QueueRemove") && orders[1].contains("logged_out"), "{orders:?}");
    }

    #[test]
    fn a_devices_name_tells_its_extension() {
        for interface in ["PJSIP/1001", "SIP/1001", "Local/1001@from-queue/n", "PJSIP/1001-0000002a"] {
            assert_eq!(extension_of(interface), Some("1001"), "{interface}");
        }
        assert_eq!(extension_of("1001"), None);
    }
}
