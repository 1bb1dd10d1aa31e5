//! Synchronises the queue members of the PBX with the operators' states.
//!
//! | input | what follows |
//! |---|---|
//! | the desired membership of an extension changes | actions at once; after the reply of those in flight, where there are any |
//! | the PBX reports a member | compared; a difference is repaired |
//! | a list of all members is complete (link up, reconcile) | members missing from it are no members; all are compared |
//! | the PBX accepted the actions | its events must confirm them within [`CONFIRMATION_TIMEOUT`], otherwise they are sent again |
//! | the PBX refused the action for one queue | a fault, which is shown; that queue is tried again after [`RETRY_DELAY`], which doubles up to [`RETRY_DELAY_LIMIT`]; the other queues are not affected |
//! | the PBX is unreachable, or the outcome unknown | all are sent again after the same delay |
//! | a complete list lacks a queue that the configuration names | a fault, which is shown |
//! | the link is down | the members are unknown; no action before the next complete list |
//! | the operators' states are not certain (start, takeover) | no action before they are |
//!
//! | extension | queues of which it is a member | configured queues of which it is not |
//! |---|---|---|
//! | never a seat | untouched | untouched |
//! | an operator's seat | paused with a reason, or not, as the state requires | added; paused at once where the state requires it |
//! | seat that is free again | removed where added at run time to a configured queue, otherwise paused | - |
//!
//! Pure. Invariants: at most one batch of actions is in flight for an extension. A change counts only when an event or a
//! list of the PBX shows it. Repairs of one extension are limited to [`REPAIRS_PER_MINUTE_MAX`], so that somebody who
//! pauses by hand again and again does not start an endless exchange.
//!
//! Why pauses come before additions, and each queue on its own: one wrong name in the configuration must not let calls
//! ring at an operator who takes a break.
//!
//! Why an operator who talks is paused, not only one in after-call work: at the end of the call the queue would offer
//! the next one before an action of the daemon could arrive.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use smol_str::{SmolStr, format_smolstr};

use super::registry::Member;
use crate::ami::action::Action;
use crate::ami::member::MemberState;
use crate::backoff::doubled;
use crate::contract::operator::{PbxQueue, PbxQueueFinding, PbxQueueMember, QueueFault};
use crate::ids::{Extension, QueueName};

/// How long the PBX's events may take to confirm an accepted action.
pub(crate) const CONFIRMATION_TIMEOUT: SignedDuration = SignedDuration::from_secs(3);
/// First delay before actions that failed are sent again; it doubles.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Longest such delay.
pub(crate) const RETRY_DELAY_LIMIT: Duration = Duration::from_secs(60);
/// Most repairs of one extension in a minute.
pub(crate) const REPAIRS_PER_MINUTE_MAX: usize = 20;
/// The pause reason of members whose seat is free.
const LOGGED_OUT_REASON: &str = "logged_out";
/// The setting that names the queues of operators at seats.
const SETTING: &str = "operators.queues";
/// The setting that names the queues to which callers may be transferred.
const TRANSFER_SETTING: &str = "transfer.queues";

/// Actions for one extension, to be sent one after the other; a refused one keeps only those of its own queue back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberActions {
    /// The extension.
    pub extension: Extension,
    /// The actions.
    pub actions: Vec<MemberAction>,
    /// The PBX had deviated from a desired membership that was confirmed before.
    pub repair: bool,
}

/// An action for one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAction {
    /// The queue.
    pub queue: QueueName,
    /// The action.
    pub action: Action,
}

/// What became of the actions for one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberReply {
    /// The PBX accepted them.
    Accepted,
    /// The PBX refused one, with these words.
    Refused(SmolStr),
    /// They were not sent, or the outcome is unknown.
    Failed,
}

/// What keeps the queues from following the operators' states.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueFaults {
    /// Queues that the configuration names and the PBX does not have.
    pub missing: Vec<QueueFault>,
    /// What the PBX refused, by extension.
    pub refused: BTreeMap<Extension, Vec<QueueFault>>,
}

/// A refusal of the PBX for one extension and queue.
#[derive(Debug)]
struct QueueRefusal {
    message: SmolStr,
    failures: u32,
    retry_at: Timestamp,
}

/// The actual and the desired members of the queues.
#[derive(Debug)]
pub struct QueueMembership {
    queues: Vec<QueueName>,
    /// The queues to which callers may be transferred; only their existence is of interest here.
    transfer_queues: Vec<QueueName>,
    /// The queues of the PBX, once a complete list was read.
    present_queues: Option<BTreeSet<QueueName>>,
    refusals: BTreeMap<(Extension, QueueName), QueueRefusal>,
    faults: QueueFaults,
    /// The members that the PBX reported, by queue and interface.
    actual: BTreeMap<(QueueName, SmolStr), MemberState>,
    /// The extension of each of these members' interfaces.
    extensions: BTreeMap<SmolStr, Extension>,
    /// The device to add to a queue, where it is not `PJSIP/` and the extension.
    devices: HashMap<Extension, SmolStr>,
    /// A complete list was read since the link came up.
    listed: bool,
    /// The desired memberships are not certain yet: no action is given out.
    held: bool,
    /// The members in a list that is being read.
    listing: Option<BTreeSet<(QueueName, SmolStr)>>,
    /// The queues in that list.
    listed_queues: BTreeSet<QueueName>,
    /// How each queue of the PBX distributes calls.
    strategies: BTreeMap<QueueName, SmolStr>,
    desired: BTreeMap<Extension, Option<Member>>,
    attempts: HashMap<Extension, SyncAttempt>,
    outputs: VecDeque<MemberActions>,
}

/// The progress of the synchronisation of one extension.
#[derive(Debug, Default)]
struct SyncAttempt {
    in_flight: bool,
    /// The desired membership changed while actions were in flight.
    stale: bool,
    failures: u32,
    /// When to compare again, not earlier after a failure.
    next_at: Option<Timestamp>,
    /// When actions were sent in the last minute.
    recent: VecDeque<Timestamp>,
    /// The PBX has shown the desired membership, so that a difference is a deviation of the PBX.
    in_sync: bool,
}

impl QueueMembership {
    /// No member is known; operators at seats become members of `queues`.
    #[must_use]
    pub fn new(queues: Vec<QueueName>, transfer_queues: Vec<QueueName>) -> Self {
        Self {
            queues,
            transfer_queues,
            present_queues: None,
            refusals: BTreeMap::new(),
            faults: QueueFaults::default(),
            actual: BTreeMap::new(),
            extensions: BTreeMap::new(),
            devices: HashMap::new(),
            listed: false,
            held: false,
            listing: None,
            listed_queues: BTreeSet::new(),
            strategies: BTreeMap::new(),
            desired: BTreeMap::new(),
            attempts: HashMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next actions to send.
    pub fn poll_output(&mut self) -> Option<MemberActions> {
        self.outputs.pop_front()
    }

    /// When an extension must be compared again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.attempts
            .values()
            .filter(|attempt| !attempt.in_flight)
            .filter_map(|attempt| attempt.next_at)
            .min()
    }

    /// Compares the extensions that are due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let is_due =
            |attempt: &SyncAttempt| !attempt.in_flight && attempt.next_at.is_some_and(|at| at <= now);
        let due: Vec<_> = self.attempts.iter().filter(|(_, a)| is_due(a)).map(|(e, _)| e.clone()).collect();
        for extension in due {
            if let Some(attempt) = self.attempts.get_mut(&extension) {
                attempt.next_at = None;
            }
            self.sync(now, &extension);
        }
    }

    /// Gives out no action until [`Self::release`]: the states from which the desired memberships follow are not certain,
    /// because the calls are not listed or the previous leader's states are not read.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// The desired memberships are certain from now on.
    pub fn release(&mut self, now: Timestamp) {
        if !std::mem::take(&mut self.held) || !self.listed {
            return;
        }
        let extensions: Vec<_> = self.desired.keys().cloned().collect();
        for extension in extensions {
            let all = self.attempts.get(&extension).is_some_and(|attempt| attempt.stale);
            self.give_out(now, &extension, all);
        }
    }

    /// Sets the desired membership of an extension; `None`: the seat is free.
    pub fn set_desired(&mut self, now: Timestamp, extension: Extension, member: Option<Member>) {
        let attempt = self.attempts.entry(extension.clone()).or_default();
        (attempt.in_sync, attempt.stale, attempt.failures, attempt.next_at) = (false, true, 0, None);
        // A new state is tried at every queue at once.
        let refused = self.refusals.iter_mut().filter(|((refused, _), _)| *refused == extension);
        refused.for_each(|(_, refusal)| (refusal.failures, refusal.retry_at) = (0, now));
        self.desired.insert(extension.clone(), member);
        self.sync(now, &extension);
    }

    /// The PBX reported a member, by event or in a list; `extension` is the phone that the member calls.
    pub fn on_member(&mut self, now: Timestamp, extension: &Extension, member: MemberState) {
        let key = (member.queue.clone(), member.interface.clone());
        self.extensions.insert(member.interface.clone(), extension.clone());
        if let Some(listing) = &mut self.listing {
            listing.insert(key.clone());
        }
        if self.actual.insert(key, member.clone()) != Some(member) && self.listing.is_none() {
            self.sync(now, extension);
        }
    }

    /// The device by which the phone at `extension` is called; until it is set, `PJSIP/` and the extension.
    pub fn set_device(&mut self, extension: &Extension, device: SmolStr) {
        self.devices.insert(extension.clone(), device);
    }

    /// The PBX reported that a member was removed.
    pub fn on_member_removed(
        &mut self,
        now: Timestamp,
        extension: &Extension,
        queue: QueueName,
        interface: SmolStr,
    ) {
        self.actual.remove(&(queue, interface));
        self.sync(now, extension);
    }

    /// The PBX has this queue, according to the list that is being read.
    pub fn on_queue_listed(&mut self, queue: QueueName, strategy: Option<SmolStr>) {
        if self.listing.is_some() {
            match strategy {
                Some(strategy) => drop(self.strategies.insert(queue.clone(), strategy)),
                None => drop(self.strategies.remove(&queue)),
            }
            self.listed_queues.insert(queue);
        }
    }

    /// Whether the PBX has this queue; `None` before its queues are listed.
    #[must_use]
    pub fn has_queue(&self, queue: &QueueName) -> Option<bool> {
        self.present_queues.as_ref().map(|present| present.contains(queue))
    }

    /// The queues of the PBX and those that the configuration names; `None` before the PBX has listed them.
    #[must_use]
    pub fn queues(&self) -> Option<Vec<PbxQueue>> {
        let present = self.present_queues.as_ref()?;
        let configured = [(SETTING, &self.queues), (TRANSFER_SETTING, &self.transfer_queues)];
        let names: BTreeSet<&QueueName> =
            present.iter().chain(&self.queues).chain(&self.transfer_queues).collect();
        let queue = |name: &QueueName| {
            let naming = configured.iter().filter(|(_, queues)| queues.contains(name));
            let settings: Vec<String> = naming.map(|(setting, _)| (*setting).to_owned()).collect();
            let members = self.members_of(name);
            let is_refused = self.refusals.keys().any(|(_, queue)| queue == name);
            let is_local = |member: &PbxQueueMember| member.interface.starts_with("Local/");
            let findings = if present.contains(name) {
                let possible = [
                    (PbxQueueFinding::NotConfigured, settings.is_empty()),
                    (PbxQueueFinding::StaticMembers, members.iter().any(|member| member.is_static)),
                    (PbxQueueFinding::LocalMembers, members.iter().any(is_local)),
                    (PbxQueueFinding::NoMembers, members.is_empty()),
                    (PbxQueueFinding::Refused, is_refused),
                ];
                possible.into_iter().filter(|(_, is)| *is).map(|(finding, _)| finding).collect()
            } else {
                vec![PbxQueueFinding::Missing]
            };
            let strategy = self.strategies.get(name).cloned();
            PbxQueue {
                name: name.clone(),
                settings,
                strategy,
                members,
                findings,
                accounts: Vec::new(),
                accounts_count: 0,
                templates: Vec::new(),
            }
        };
        Some(names.into_iter().map(queue).collect())
    }

    fn members_of(&self, queue: &QueueName) -> Vec<PbxQueueMember> {
        let members = self.actual.iter().filter(|((of, _), _)| of == queue);
        let member = |interface: &SmolStr, state: &MemberState| PbxQueueMember {
            extension: self.extensions.get(interface).cloned(),
            interface: interface.clone(),
            is_static: !state.dynamic,
            is_paused: state.paused,
            reason: state.reason.clone(),
        };
        members.map(|((_, interface), state)| member(interface, state)).collect()
    }

    /// The faults, if they have changed since the last call.
    pub fn poll_faults(&mut self) -> Option<QueueFaults> {
        let faults = self.present_faults();
        (faults != self.faults).then(|| {
            self.faults = faults.clone();
            faults
        })
    }

    fn present_faults(&self) -> QueueFaults {
        let mut faults = QueueFaults::default();
        let configured = [(Some(SETTING), &self.queues), (Some(TRANSFER_SETTING), &self.transfer_queues)];
        for (setting, queues) in configured {
            for queue in queues.iter().filter(|queue| self.has_queue(queue) == Some(false)) {
                let message = "the PBX has no such queue".into();
                faults.missing.push(QueueFault {
                    queue: queue.clone(),
                    setting: setting.map(Into::into),
                    message,
                });
            }
        }
        for ((extension, queue), refusal) in &self.refusals {
            let setting = self.queues.contains(queue).then(|| SETTING.into());
            let fault = QueueFault { queue: queue.clone(), setting, message: refusal.message.clone() };
            faults.refused.entry(extension.clone()).or_default().push(fault);
        }
        faults
    }

    /// A list of all members begins.
    pub fn on_list_began(&mut self) {
        self.listing = Some(BTreeSet::new());
        self.listed_queues.clear();
    }

    /// The list has ended; members that a complete list does not contain do not exist.
    pub fn on_list_ended(&mut self, now: Timestamp, complete: bool) {
        let Some(listing) = self.listing.take() else { return };
        if !complete {
            return;
        }
        self.actual.retain(|key, _| listing.contains(key));
        let named: BTreeSet<&SmolStr> = self.actual.keys().map(|(_, interface)| interface).collect();
        self.extensions.retain(|interface, _| named.contains(interface));
        self.present_queues = Some(std::mem::take(&mut self.listed_queues));
        self.listed = true;
        let extensions: Vec<_> = self.desired.keys().cloned().collect();
        for extension in extensions {
            self.sync(now, &extension);
        }
    }

    /// The link is down: forgets the members and every attempt.
    pub fn on_link_lost(&mut self) {
        (self.listed, self.listing) = (false, None);
        self.actual.clear();
        self.extensions.clear();
        self.refusals.clear();
        for attempt in self.attempts.values_mut() {
            *attempt = SyncAttempt::default();
        }
    }

    /// The PBX replied to the actions for an extension; one reply for each queue.
    pub fn on_reply(
        &mut self,
        now: Timestamp,
        extension: &Extension,
        replies: Vec<(QueueName, MemberReply)>,
    ) {
        let Some(attempt) = self.attempts.get_mut(extension) else { return };
        attempt.in_flight = false;
        let stale = attempt.stale;
        let mut failed = replies.is_empty();
        for (queue, reply) in replies {
            let key = (extension.clone(), queue);
            match reply {
                MemberReply::Accepted => drop(self.refusals.remove(&key)),
                MemberReply::Refused(message) => {
                    let failures = self.refusals.get(&key).map_or(0, |refusal| refusal.failures);
                    let retry_at = later(now, retry_delay(failures));
                    self.refusals.insert(key, QueueRefusal { message, failures: failures + 1, retry_at });
                }
                MemberReply::Failed => failed = true,
            }
        }
        if stale {
            // The reported members may be older than these actions: pause or unpause every member.
            return self.give_out(now, extension, true);
        }
        if failed && let Some(attempt) = self.attempts.get_mut(extension) {
            attempt.next_at = Some(later(now, retry_delay(attempt.failures)));
            attempt.failures += 1;
        } else if self.due_actions(now, extension, false).is_empty() {
            self.settle(extension);
        } else if let Some(attempt) = self.attempts.get_mut(extension) {
            attempt.next_at = Some(later(now, CONFIRMATION_TIMEOUT));
        }
    }

    /// Nothing is to be done for an extension now: it is in sync, except for the queues whose retry waits.
    fn settle(&mut self, extension: &Extension) {
        let needed: BTreeSet<QueueName> =
            self.differences(extension, false).into_iter().map(|needed| needed.queue).collect();
        self.refusals.retain(|(refused, queue), _| refused != extension || needed.contains(queue));
        let refused = self.refusals.iter().filter(|((refused, _), _)| refused == extension);
        let retry_at = refused.map(|(_, refusal)| refusal.retry_at).min();
        if let Some(attempt) = self.attempts.get_mut(extension) {
            (attempt.next_at, attempt.failures, attempt.in_sync) = (retry_at, 0, true);
        }
    }

    /// Compares an extension and sends the actions that it needs.
    fn sync(&mut self, now: Timestamp, extension: &Extension) {
        if self.listed && self.desired.contains_key(extension) {
            self.give_out(now, extension, false);
        }
    }

    /// Gives out the actions that an extension needs, unless a batch is in flight, a retry waits or the limit of repairs is
    /// reached.
    fn give_out(&mut self, now: Timestamp, extension: &Extension, all: bool) {
        if self.held || !self.listed || self.listing.is_some() {
            return;
        }
        let actions = self.due_actions(now, extension, all);
        let is_retry =
            |needed: &MemberAction| self.refusals.contains_key(&(extension.clone(), needed.queue.clone()));
        let deviates = !actions.iter().all(is_retry);
        let attempt = self.attempts.entry(extension.clone()).or_default();
        if attempt.in_flight {
            return;
        }
        attempt.stale = false;
        if actions.is_empty() {
            return self.settle(extension);
        }
        if attempt.next_at.is_some_and(|at| at > now) && attempt.failures > 0 {
            return;
        }
        let minute_ago = later(now, SignedDuration::from_secs(-60));
        while attempt.recent.front().is_some_and(|at| *at < minute_ago) {
            attempt.recent.pop_front();
        }
        if attempt.recent.len() >= REPAIRS_PER_MINUTE_MAX && attempt.in_sync {
            attempt.next_at = attempt.recent.front().map(|at| later(*at, SignedDuration::from_secs(61)));
            return;
        }
        attempt.recent.push_back(now);
        attempt.in_flight = true;
        attempt.next_at = None;
        let repair = std::mem::take(&mut attempt.in_sync) && deviates;
        self.outputs.push_back(MemberActions { extension: extension.clone(), actions, repair });
    }

    /// The actions that an extension needs, without those for queues whose retry waits.
    fn due_actions(&self, now: Timestamp, extension: &Extension, all: bool) -> Vec<MemberAction> {
        let waits = |queue: &QueueName| {
            let refusal = self.refusals.get(&(extension.clone(), queue.clone()));
            refusal.is_some_and(|refusal| refusal.retry_at > now)
        };
        self.differences(extension, all).into_iter().filter(|needed| !waits(&needed.queue)).collect()
    }

    /// The actions that make the actual members as desired; `all`: also where the reported pause is right already.
    /// Pauses and removals come first.
    fn differences(&self, extension: &Extension, all: bool) -> Vec<MemberAction> {
        let Some(desired) = self.desired.get(extension) else { return Vec::new() };
        let present: Vec<&MemberState> =
            self.actual.values().filter(|m| self.extensions.get(&m.interface) == Some(extension)).collect();
        let mut actions = Vec::new();
        let mut needs = |queue: &QueueName, action: Option<Action>| {
            actions.extend(action.map(|action| MemberAction { queue: queue.clone(), action }));
        };
        let reason = match desired {
            Some(member) => member.paused.as_deref(),
            None => Some(LOGGED_OUT_REASON),
        };
        let ours = |member: &MemberState| member.dynamic && self.queues.contains(&member.queue);
        let (leave, stay): (Vec<&MemberState>, Vec<&MemberState>) =
            present.iter().copied().partition(|member| desired.is_none() && ours(member));
        for member in leave {
            needs(&member.queue, Action::queue_remove(&member.queue, &member.interface).ok());
        }
        let differs = |member: &&&MemberState| {
            all || member.paused != reason.is_some() || member.paused && member.reason.as_deref() != reason
        };
        for member in stay.iter().filter(differs) {
            let pause = Action::queue_pause(&member.interface, Some(&member.queue), reason.is_some(), reason);
            needs(&member.queue, pause.ok());
        }
        if let Some(member) = desired {
            for queue in self.queues.iter().filter(|queue| !present.iter().any(|p| p.queue == **queue)) {
                let own = || format_smolstr!("PJSIP/{extension}");
                let device = self.devices.get(extension).cloned().unwrap_or_else(own);
                needs(queue, Action::queue_add(queue, &device, &member.name, 0, reason.is_some()).ok());
                if reason.is_some() {
                    needs(queue, Action::queue_pause(&device, Some(queue), true, reason).ok());
                }
            }
        }
        actions
    }
}

fn retry_delay(failures: u32) -> SignedDuration {
    SignedDuration::try_from(doubled(RETRY_DELAY, RETRY_DELAY_LIMIT, failures))
        .unwrap_or(SignedDuration::ZERO)
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

    fn member(paused: Option<&str>) -> Option<Member> {
        Some(Member { name: "佐藤".into(), paused: paused.map(Into::into) })
    }

    /// The PBX accepts every action, or refuses every one.
    fn reply(members: &mut QueueMembership, now: i64, accepted: bool) {
        let reply =
            if accepted { MemberReply::Accepted } else { MemberReply::Refused("No such queue".into()) };
        members.on_reply(at(now), &extension(), vec![(queue("operators"), reply)]);
    }

    fn names(batch: Option<MemberActions>) -> Vec<String> {
        batch.map(|batch| batch.actions.iter().map(|a| format!("{a:?}")).collect()).unwrap_or_default()
    }

    fn listed(members: &mut QueueMembership, now: i64, states: &[MemberState]) {
        members.on_list_began();
        for state in states {
            members.on_member(at(now), &extension(), state.clone());
        }
        members.on_list_ended(at(now), true);
    }

    fn fresh() -> QueueMembership {
        QueueMembership::new(vec![queue("operators")], vec![queue("front")])
    }

    #[test]
    fn no_action_is_sent_before_the_pbx_has_listed_its_members() {
        let mut members = fresh();
        members.set_desired(at(0), extension(), member(None));
        assert_eq!(members.poll_output(), None);
        listed(&mut members, 1, &[]);
        let batch = names(members.poll_output());
        assert!(batch.len() == 1 && batch[0].contains("QueueAdd"), "{batch:?}");
        // The PBX accepts and confirms it.
        reply(&mut members, 2, true);
        members.on_member(at(2), &extension(), state("operators", true, None));
        assert_eq!((members.poll_output(), members.poll_timeout()), (None, None));
        // The PBX restarts: the same again.
        members.on_link_lost();
        listed(&mut members, 9, &[]);
        assert!(names(members.poll_output())[0].contains("QueueAdd"));
    }

    #[test]
    fn no_action_is_sent_while_the_states_are_not_certain() {
        let mut members = fresh();
        members.hold();
        members.set_desired(at(0), extension(), member(None));
        listed(&mut members, 1, &[state("operators", false, Some("talking"))]);
        members.on_member(at(2), &extension(), state("operators", false, Some("by hand")));
        assert_eq!((members.poll_output(), members.poll_timeout()), (None, None));
        // The calls are listed: the operator talks.
        members.set_desired(at(3), extension(), member(Some("talking")));
        members.release(at(3));
        let batch = names(members.poll_output());
        assert!(batch.len() == 1 && batch[0].contains("talking"), "{batch:?}");
    }

    #[test]
    fn an_extension_that_never_was_a_seat_is_untouched() {
        let mut members = fresh();
        listed(&mut members, 1, &[state("operators", false, Some("by hand"))]);
        members.on_member(at(2), &extension(), state("operators", false, None));
        assert_eq!(members.poll_output(), None);
    }

    #[test]
    fn a_pause_by_hand_is_repaired_but_not_for_ever() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", false, None), state("other", false, None)]);
        members.set_desired(at(0), extension(), member(None));
        assert_eq!(members.poll_output(), None, "the PBX is in the desired state already");
        let mut repaired = 0;
        for _ in 0..100 {
            members.on_member(at(1), &extension(), state("other", false, Some("by hand")));
            if let Some(batch) = members.poll_output() {
                assert!(batch.repair && batch.actions.len() == 1, "{batch:?}");
                repaired += 1;
                reply(&mut members, 1, true);
                members.on_member(at(1), &extension(), state("other", false, None));
            }
        }
        assert_eq!(repaired, REPAIRS_PER_MINUTE_MAX);
        members.on_member(at(1), &extension(), state("other", false, Some("by hand")));
        let due = members.poll_timeout().unwrap();
        members.handle_timeout(due);
        assert!(members.poll_output().is_some(), "the repair is tried again later");
    }

    #[test]
    fn refused_or_unconfirmed_actions_are_retried_with_growing_delay() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", false, None)]);
        members.set_desired(at(0), extension(), member(Some("wrap_up")));
        let mut now = at(0);
        let mut delays = Vec::new();
        for round in 0..9 {
            assert!(members.poll_output().is_some(), "round {round}");
            reply(&mut members, now.as_second(), round == 0);
            let due = members.poll_timeout().unwrap();
            delays.push(due.duration_since(now).as_secs());
            now = due;
            members.handle_timeout(now);
        }
        assert_eq!(delays, [3, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_change_during_a_batch_is_sent_after_its_reply_even_without_a_known_difference() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", false, None)]);
        members.set_desired(at(0), extension(), member(Some("talking")));
        assert!(names(members.poll_output())[0].contains("talking"));
        members.set_desired(at(0), extension(), member(None));
        assert_eq!(members.poll_output(), None, "one batch at a time");
        reply(&mut members, 1, true);
        let batch = names(members.poll_output());
        assert!(batch[0].contains("\"Paused\": \"false\""), "{batch:?}");
    }

    #[test]
    fn the_queues_are_listed_with_what_is_worth_a_look() {
        let mut members = fresh();
        assert_eq!(members.queues(), None, "the PBX has not listed them");
        members.on_list_began();
        members.on_queue_listed(queue("operators"), Some("rrmemory".into()));
        members.on_queue_listed(queue("night"), None);
        let local = MemberState { interface: "Local/1001@x".into(), ..state("night", true, Some("lunch")) };
        members.on_member(at(0), &extension(), local);
        members.on_member(at(0), &extension(), state("operators", false, None));
        members.on_list_ended(at(0), true);
        let queues = members.queues().unwrap();
        let [front, night, operators] = queues.as_slice() else { panic!("{queues:?}") };
        assert_eq!(
            (front.name.as_str(), front.findings.as_slice()),
            ("front", &[PbxQueueFinding::Missing][..])
        );
        assert_eq!(front.settings, ["transfer.queues"]);
        let findings = [PbxQueueFinding::NotConfigured, PbxQueueFinding::LocalMembers];
        assert!(findings.iter().all(|finding| night.findings.contains(finding)), "{night:?}");
        assert_eq!((night.members[0].is_paused, night.members[0].reason.as_deref()), (true, Some("lunch")));
        assert_eq!((operators.strategy.as_deref(), operators.settings.len()), (Some("rrmemory"), 1));
        assert_eq!(operators.members[0].extension, Some(extension()));
    }

    #[test]
    fn a_free_seat_is_out_of_the_queues() {
        let mut members = fresh();
        listed(&mut members, 0, &[state("operators", true, None), state("other", false, None)]);
        members.set_desired(at(0), extension(), None);
        let batch = names(members.poll_output());
        assert_eq!(batch.len(), 2, "{batch:?}");
        assert!(batch[0].contains("QueueRemove") && batch[1].contains("logged_out"), "{batch:?}");
    }

    #[test]
    fn a_member_behind_another_endpoint_is_this_person_and_the_device_that_is_there_is_added() {
        let mut members = QueueMembership::new(vec![queue("operators"), queue("vip")], Vec::new());
        let web = MemberState { interface: "PJSIP/agent1001".into(), ..state("operators", false, None) };
        members.set_device(&extension(), "PJSIP/agent1001".into());
        members.on_list_began();
        members.on_member(at(0), &extension(), web);
        members.on_list_ended(at(0), true);
        members.set_desired(at(0), extension(), member(Some("wrap_up")));
        let batch = names(members.poll_output()).join(" ");
        assert!(!batch.contains("PJSIP/1001"), "{batch}");
        assert!(batch.contains("QueueAdd") && batch.contains("PJSIP/agent1001"), "{batch}");
        assert!(batch.contains("operators") && batch.contains("vip"), "{batch}");
    }

    #[test]
    fn a_queue_that_the_pbx_does_not_have_keeps_no_pause_away() {
        let mut members = fresh();
        members.on_list_began();
        members.on_queue_listed(queue("other"), None);
        members.on_member(at(0), &extension(), state("other", false, None));
        members.on_list_ended(at(0), true);
        members.set_desired(at(0), extension(), member(Some("break")));
        let sent = members.poll_output().unwrap().actions;
        let queues: Vec<&str> = sent.iter().map(|sent| sent.queue.as_str()).collect();
        assert_eq!(
            queues,
            ["other", "operators", "operators"],
            "the pause of the queue that exists comes first"
        );
        let no_such = MemberReply::Refused("No such queue".into());
        members.on_reply(
            at(0),
            &extension(),
            vec![(queue("other"), MemberReply::Accepted), (queue("operators"), no_such)],
        );
        members.on_member(at(0), &extension(), state("other", false, Some("break")));
        // The fault names queue and setting.
        let fault = |name: &str, setting: &str, message: &str| QueueFault {
            queue: queue(name),
            setting: Some(setting.into()),
            message: message.into(),
        };
        let missing = "the PBX has no such queue";
        let faults = members.poll_faults().unwrap();
        let configured =
            [fault("operators", "operators.queues", missing), fault("front", "transfer.queues", missing)];
        assert_eq!(faults.missing, configured);
        let refused = vec![fault("operators", "operators.queues", "No such queue")];
        assert_eq!(faults.refused, BTreeMap::from([(extension(), refused)]));
        assert_eq!(members.poll_faults(), None);
        // A pause by hand is repaired at once, although the retry of the other queue waits.
        assert_eq!((members.poll_output(), members.poll_timeout()), (None, Some(at(1))));
        members.on_member(at(0), &extension(), state("other", false, None));
        let sent = members.poll_output().unwrap();
        assert!(
            sent.repair && sent.actions.len() == 1 && sent.actions[0].queue == queue("other"),
            "{sent:?}"
        );
        members.on_reply(at(0), &extension(), vec![(queue("other"), MemberReply::Accepted)]);
        members.on_member(at(0), &extension(), state("other", false, Some("break")));
        // The queue is made: it is tried again, and the fault is gone.
        members.on_list_began();
        members.on_queue_listed(queue("other"), None);
        members.on_queue_listed(queue("operators"), None);
        members.on_queue_listed(queue("front"), None);
        members.on_member(at(1), &extension(), state("other", false, Some("break")));
        members.on_list_ended(at(1), true);
        assert!(members.poll_output().is_some());
        reply(&mut members, 1, true);
        members.on_member(at(1), &extension(), state("operators", true, Some("break")));
        assert_eq!(members.poll_faults(), Some(QueueFaults::default()));
        assert_eq!((members.poll_output(), members.poll_timeout()), (None, None));
    }
}
