//! The running route of one revision of a message.
//!
//! | input | running | settled | unanswered | unreached | answered | cancelled |
//! |---|---|---|---|---|---|---|
//! | `Started` (once, at the beginning) | the first step that reaches somebody begins; unreached if none does | | | | | |
//! | `Tick`, the next person's time | the next person is asked | | | | | |
//! | `Tick`, the step's time | the next step begins; after the last: unanswered, or unreached if nothing was taken | | | | | |
//! | `Changed` to sent or delivered | noted; settled if that is what the step waits for | noted | noted | unanswered | | |
//! | `Changed` to failed, a mail whose recipient has another address | that address is asked | running: that address is asked | noted | noted | | |
//! | `Changed` to failed, others of the step may still | noted; the next person is asked | noted | noted | noted | | |
//! | `Changed` to failed, the last one of the step | the next step begins; after the last as above | running, if what settled it has come back: the next step begins | noted | noted | | |
//! | `Answered`: seen, done, call me | answered | answered | answered | answered | | |
//! | `Answered`: not mine | the next person or step at once | the next step at once | | | | |
//! | `Corrected` (the next revision has a dispatch of its own) | cancelled | cancelled | cancelled | cancelled | cancelled | |
//! | `Digest`: the digest that it waits for was sent, or could not be | settled, or unreached | | | settled | | |
//! | `Undone` | cancelled | cancelled | cancelled | cancelled | | |
//!
//! An empty cell changes nothing. What ends a dispatch cancels what waits: deliveries that were not sent, and phone tasks. When
//! a step ends, its phone tasks end; its mails go on. A step that reaches nobody is passed over at once, and the outputs say so.
//!
//! A route with `digest` has no steps: it waits for the digest's next time, and is unreached [`LATE_MAX`] after it.
//!
//! Times are absolute. A tick that comes late, for instance after the daemon was down for a night, does one step, and the next
//! one waits its full time from there: nobody gets a burst.
//!
//! Invariants: at most [`ASKED_MAX`] recipients; nobody is asked twice in one round of a step; a dispatch that is not running has
//! no due time; the step never goes back.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::condition::MessageFacts;
use super::digest::LATE_MAX;
use super::document::{Document, Minutes, Need, Route, Step, Until, built_in_route};
use super::resolve::{Moment, Note, Resolved, Target, TargetKind, resolve, resolve_again, resolve_built_in};
use super::world::World;
use crate::contract::delivery::DispatchState;

/// Most recipients of a dispatch, copies included: steps × recipients × rounds is more, and nobody is called that often.
pub(super) const ASKED_MAX: usize = 400;

/// How far one recipient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Nothing is known.
    Asked,
    /// The next system has it.
    Sent,
    /// The recipient's system has it.
    Delivered,
    /// It was refused, given up, or the person could not be reached.
    Failed,
}

/// A recipient who was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// In which step, from 0.
    pub step: usize,
    /// Who.
    pub target: Target,
    /// Whether it is a copy, which never holds the route up.
    #[serde(default)]
    pub is_copy: bool,
    /// How far.
    pub progress: Progress,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatchInput {
    /// Time has passed.
    Tick,
    /// The delivery or task of a recipient changed.
    Changed {
        /// The recipient: the position in [`Dispatch::asked`].
        asked: usize,
        /// How far it is.
        progress: Progress,
    },
    /// A person of the account answered.
    Answered(Answer),
    /// A digest with the message has been sent, or was refused everywhere.
    Digest {
        /// Whether it was sent.
        is_sent: bool,
    },
    /// The message has another revision.
    Corrected,
    /// The message was withdrawn.
    Undone,
}

impl DispatchInput {
    /// Whether the dispatch may look at who is there.
    #[must_use]
    pub fn looks_at_people(self) -> bool {
        match self {
            Self::Tick | Self::Answered(Answer::NotMine { .. }) => true,
            Self::Changed { progress, .. } => progress == Progress::Failed,
            Self::Answered(Answer::Confirmed) | Self::Digest { .. } | Self::Corrected | Self::Undone => false,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Read, done, or to be called: the account has it.
    Confirmed,
    /// Not for the person who received it.
    NotMine {
        /// The recipient, if it is known.
        asked: Option<usize>,
    },
}

/// Why a step began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationReason {
    /// Nobody has confirmed in time.
    Time,
    /// Nobody of the step before could be reached.
    Failed,
    /// The person says that the message is for somebody else.
    NotMine,
    /// The step before reaches nobody.
    Skipped,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DispatchOutput {
    /// Make a delivery to this recipient: a position in [`Dispatch::asked`].
    Create(usize),
    /// Make a phone task for this recipient.
    Task(usize),
    /// Alarm the supervisors, or the operator who took the message.
    Alarm(usize),
    /// The phone task of this recipient is no longer wanted.
    EndTask(usize),
    /// Cancel every delivery that waits, and every task.
    Cancel,
    /// A step after the first began.
    Escalated {
        /// Which, from 0.
        step: usize,
        /// Why.
        why: EscalationReason,
    },
    /// A step reaches nobody.
    Skipped {
        /// Which, from 0.
        step: usize,
        /// Whom it should have reached.
        notes: Vec<Note>,
    },
    /// The last step is over.
    Unanswered,
    /// Nobody was reached.
    Unreached,
}

/// The running route of one revision of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The route, as it was when the message was saved. Who is there is looked up when a step begins.
    pub route: Route,
    /// Whether it is the built-in one.
    #[serde(default)]
    pub is_built_in: bool,
    /// What the message says to routes.
    pub facts: MessageFacts,
    /// The state.
    pub state: DispatchState,
    /// The step that runs, from 0.
    pub step: usize,
    /// Who was asked.
    pub asked: Vec<Asked>,
    /// Who is asked next, one by one.
    #[serde(default)]
    pub waiting: Vec<Target>,
    /// When the next one is asked.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
    /// When the next step begins.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// When the digest for which the message waits is sent.
    #[serde(default)]
    pub digest_at: Option<Timestamp>,
}

/// The route that applies to a message, and whether it is the built-in one. `documents`: the account's, then the installation's.
#[must_use]
pub(super) fn choose(
    documents: &[&Document],
    facts: &MessageFacts,
    world: &World,
    at: Timestamp,
) -> (Route, bool) {
    let document = documents.iter().find(|document| !document.routes.is_empty());
    let routes = document.iter().flat_map(|document| &document.routes);
    let found = routes.into_iter().find(|route| route.when.holds(facts, world, at));
    found.map_or_else(|| (built_in_route(), true), |route| (route.clone(), false))
}

impl Dispatch {
    /// Starts the route that applies to a message which may be sent from `at` on. `had`: who may have an earlier revision; where the
    /// message names nobody, the built-in route asks them again.
    #[must_use]
    pub fn start(
        documents: &[&Document],
        facts: MessageFacts,
        world: &World,
        at: Timestamp,
        had: Vec<Target>,
    ) -> (Self, Vec<DispatchOutput>) {
        let (route, is_built_in) = choose(documents, &facts, world, at);
        let mut dispatch = Self::new(route, is_built_in, facts);
        let mut outputs = Vec::new();
        let digest = documents.iter().find_map(|document| document.digest(dispatch.route.digest.as_ref()?));
        if let Some(at) = digest.and_then(|digest| digest.next_after(at, &world.zone())) {
            dispatch.digest_at = Some(at);
            dispatch.ends_at = later(at, Some(LATE_MAX));
            return (dispatch, outputs);
        }
        let asks_again = is_built_in && dispatch.facts.contact.is_none() && world.has_mail_server;
        if asks_again && !had.is_empty() {
            had.into_iter().for_each(|target| dispatch.ask(target, false, &mut outputs));
        } else {
            dispatch.begin(0, None, world, at, &mut outputs);
        }
        (dispatch, outputs)
    }

    /// Starts one route, whatever its conditions.
    #[must_use]
    pub fn start_route(route: Route, world: &World, at: Timestamp) -> (Self, Vec<DispatchOutput>) {
        let mut dispatch = Self::new(route, false, MessageFacts::default());
        let mut outputs = Vec::new();
        dispatch.begin(0, None, world, at, &mut outputs);
        (dispatch, outputs)
    }

    fn new(route: Route, is_built_in: bool, facts: MessageFacts) -> Self {
        Self {
            route,
            is_built_in,
            facts,
            state: DispatchState::Running,
            step: 0,
            asked: Vec::new(),
            waiting: Vec::new(),
            next_at: None,
            ends_at: None,
            digest_at: None,
        }
    }

    /// The name of the digest for which the message waits.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.route.digest.as_deref().filter(|_| self.digest_at.is_some())
    }

    /// When a [`DispatchInput::Tick`] is due.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        if self.state != DispatchState::Running {
            return None;
        }
        [self.next_at, self.ends_at].into_iter().flatten().min()
    }

    /// Applies an input at `now`.
    pub fn handle(&mut self, input: DispatchInput, world: &World, now: Timestamp) -> Vec<DispatchOutput> {
        use DispatchState::{Answered, Cancelled, Running, Settled, Unanswered, Unreached};
        let mut outputs = Vec::new();
        match (input, self.state) {
            (DispatchInput::Tick, Running) => self.tick(world, now, &mut outputs),
            (DispatchInput::Changed { asked, progress }, Running | Settled | Unanswered | Unreached) => {
                self.changed(asked, progress, world, now, &mut outputs);
            }
            (DispatchInput::Answered(Answer::Confirmed), Running | Settled | Unanswered | Unreached) => {
                self.end(Answered);
                outputs.push(DispatchOutput::Cancel);
            }
            (DispatchInput::Answered(Answer::NotMine { asked }), Running | Settled) => {
                self.not_mine(asked, world, now, &mut outputs);
            }
            (DispatchInput::Digest { is_sent: true }, Running | Unreached) if self.digest().is_some() => {
                self.end(Settled);
            }
            (DispatchInput::Digest { is_sent: false }, Running) if self.digest().is_some() => {
                self.end(Unreached);
                outputs.push(DispatchOutput::Unreached);
            }
            (DispatchInput::Corrected, Running | Settled | Unanswered | Unreached | Answered)
            | (DispatchInput::Undone, Running | Settled | Unanswered | Unreached) => {
                self.end(Cancelled);
                outputs.push(DispatchOutput::Cancel);
            }
            _ => {}
        }
        outputs
    }

    fn end(&mut self, state: DispatchState) {
        self.state = state;
        self.waiting.clear();
        (self.next_at, self.ends_at) = (None, None);
    }

    fn tick(&mut self, world: &World, now: Timestamp, outputs: &mut Vec<DispatchOutput>) {
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_due(self.ends_at) {
            self.begin(self.step + 1, Some(EscalationReason::Time), world, now, outputs);
        } else if is_due(self.next_at) {
            self.ask_next(now, outputs);
        }
    }

    fn changed(
        &mut self,
        index: usize,
        progress: Progress,
        world: &World,
        now: Timestamp,
        outputs: &mut Vec<DispatchOutput>,
    ) {
        let Some(asked) = self.asked.get_mut(index) else { return };
        if asked.progress == progress || asked.progress == Progress::Failed {
            return;
        }
        asked.progress = progress;
        let (step, is_copy) = (asked.step, asked.is_copy);
        match (progress, self.state) {
            (_, _) if is_copy => {}
            (Progress::Sent | Progress::Delivered, DispatchState::Running) if self.is_met(step) => {
                self.end_tasks(outputs);
                self.end(DispatchState::Settled);
            }
            (Progress::Sent | Progress::Delivered, DispatchState::Unreached) => {
                self.end(DispatchState::Unanswered);
            }
            (Progress::Failed, DispatchState::Running) if step == self.step => {
                self.failed(index, world, now, outputs);
            }
            (Progress::Failed, DispatchState::Settled) if !self.is_met(step) => {
                self.state = DispatchState::Running;
                if step == self.step && self.ask_again(index, world, now, outputs) {
                    self.ends_at = later(now, self.wait_of(&self.route.steps[step], None, world));
                } else {
                    self.begin(self.step + 1, Some(EscalationReason::Failed), world, now, outputs);
                }
            }
            _ => {}
        }
    }

    /// A mail of the present step has come back: asks another address of the same person, or of the built-in route the next one of
    /// all. False if there is none.
    fn ask_again(
        &mut self,
        index: usize,
        world: &World,
        now: Timestamp,
        outputs: &mut Vec<DispatchOutput>,
    ) -> bool {
        let target = self.asked[index].target.clone();
        if !target.kind.is_delivery() {
            return false;
        }
        let returned = self.returned();
        let left_out: Vec<&str> = returned.iter().map(String::as_str).collect();
        let now = Moment { at: now, left_out: &left_out };
        let of_step = || self.asked.iter().filter(|asked| asked.step == self.step && !asked.is_copy);
        let next = if self.is_built_in {
            let is_going = of_step().any(|asked| asked.progress != Progress::Failed);
            let resolved = (!is_going).then(|| resolve_built_in(&self.facts, world, now));
            resolved.and_then(|mut resolved| resolved.targets.pop())
        } else {
            let step = &self.route.steps[self.step];
            target.contact.and_then(|person| resolve_again(step, &self.facts, world, person, now))
        };
        let next = next.filter(|next| of_step().all(|asked| !asked.target.is_same(next)));
        let Some(next) = next else { return false };
        let instead_of = next.instead_of.clone().or(target.instead_of);
        self.ask(Target { instead_of, ..next }, false, outputs);
        true
    }

    /// The addresses that have returned the message.
    fn returned(&self) -> Vec<String> {
        let is_out = |asked: &&Asked| asked.target.kind.is_delivery() && asked.progress == Progress::Failed;
        self.asked.iter().filter(is_out).map(|asked| asked.target.address.clone()).collect()
    }

    /// A recipient of the present step is out: asks them at another address, or the next one, or begins the next step if none is
    /// left.
    fn failed(&mut self, index: usize, world: &World, now: Timestamp, outputs: &mut Vec<DispatchOutput>) {
        if self.ask_again(index, world, now, outputs) {
            return;
        }
        let of_step = || self.asked.iter().filter(|asked| asked.step == self.step && !asked.is_copy);
        let is_last_out = of_step().next_back().is_some_and(|asked| asked.progress == Progress::Failed);
        if !self.waiting.is_empty() {
            if is_last_out {
                self.ask_next(now, outputs);
            }
        } else if of_step().all(|asked| asked.progress == Progress::Failed) {
            self.begin(self.step + 1, Some(EscalationReason::Failed), world, now, outputs);
        }
    }

    fn not_mine(
        &mut self,
        index: Option<usize>,
        world: &World,
        now: Timestamp,
        outputs: &mut Vec<DispatchOutput>,
    ) {
        if let Some(asked) = index.and_then(|index| self.asked.get_mut(index)) {
            asked.progress = Progress::Failed;
        }
        if self.state == DispatchState::Running && !self.waiting.is_empty() {
            self.ask_next(now, outputs);
        } else {
            self.state = DispatchState::Running;
            self.begin(self.step + 1, Some(EscalationReason::NotMine), world, now, outputs);
        }
    }

    /// Whether a step has all that it waits for, other than a confirmation.
    fn is_met(&self, step: usize) -> bool {
        let Some(rules) = self.route.steps.get(step) else { return false };
        let mut of_step = self.asked.iter().filter(|asked| asked.step == step && !asked.is_copy);
        let is_met = |asked: &Asked| {
            rules.is_met_by(asked.progress == Progress::Sent, asked.progress == Progress::Delivered)
        };
        match rules.need {
            Need::Any => of_step.any(is_met),
            Need::All => (step != self.step || self.waiting.is_empty()) && of_step.all(is_met),
        }
    }

    /// Begins a step, or the first one after it that reaches somebody; `why` is absent for the first one of all.
    fn begin(
        &mut self,
        first: usize,
        why: Option<EscalationReason>,
        world: &World,
        now: Timestamp,
        outputs: &mut Vec<DispatchOutput>,
    ) {
        self.end_tasks(outputs);
        self.waiting.clear();
        (self.next_at, self.ends_at) = (None, None);
        let mut why = why;
        for step in first..self.route.steps.len() {
            let Resolved { mut targets, copies, notes } = self.resolve(step, world, now);
            if targets.is_empty() {
                outputs.push(DispatchOutput::Skipped { step, notes });
                why = why.or(Some(EscalationReason::Skipped));
                continue;
            }
            self.step = step;
            if let Some(why) = why.filter(|_| step > 0) {
                outputs.push(DispatchOutput::Escalated { step, why });
            }
            let rules = self.route.steps[step].clone();
            if let Some(each) = rules.one_by_one {
                let list = targets.clone();
                self.waiting = list.iter().cycle().take(list.len() * rules.repeat.get()).cloned().collect();
                self.ends_at = later(now, self.wait_of(&rules, Some((each, self.waiting.len())), world));
                self.ask_next(now, outputs);
            } else {
                self.ends_at = later(now, self.wait_of(&rules, None, world));
                targets.drain(..).for_each(|target| self.ask(target, false, outputs));
            }
            copies.into_iter().for_each(|copy| self.ask(copy, true, outputs));
            return;
        }
        self.step = self.step.max(first.min(self.route.steps.len()).saturating_sub(1));
        let is_out =
            |asked: &Asked| matches!(asked.progress, Progress::Sent | Progress::Delivered | Progress::Asked);
        if self.asked.iter().any(|asked| is_out(asked) && asked.target.kind.is_of_account()) {
            self.end(DispatchState::Unanswered);
            outputs.push(DispatchOutput::Unanswered);
        } else {
            self.end(DispatchState::Unreached);
            outputs.push(DispatchOutput::Unreached);
        }
    }

    fn resolve(&self, step: usize, world: &World, now: Timestamp) -> Resolved {
        let returned = self.returned();
        let left_out: Vec<&str> = returned.iter().map(String::as_str).collect();
        let now = Moment { at: now, left_out: &left_out };
        if self.is_built_in {
            return resolve_built_in(&self.facts, world, now);
        }
        resolve(&self.route.steps[step], &self.facts, world, now)
    }

    /// How long a step waits; `list`: one by one, each this long, so many times. A step that waits for the next system alone ends
    /// with its deliveries; one that waits for a confirmation and does not say how long waits as long as the account says.
    fn wait_of(&self, step: &Step, list: Option<(Minutes, usize)>, world: &World) -> Option<Duration> {
        match (step.wait_min, list, step.until) {
            (Some(wait), ..) => Some(wait.duration()),
            (None, Some((each, times)), _) => {
                Some(each.duration() * u32::try_from(times).unwrap_or(u32::MAX))
            }
            (None, None, Until::Sent | Until::Delivered) => None,
            (None, None, Until::Acknowledged) => Some(world.unanswered_min.of(self.facts.urgency)),
        }
    }

    /// Asks the next person of the list; the one before has had their time.
    fn ask_next(&mut self, now: Timestamp, outputs: &mut Vec<DispatchOutput>) {
        self.end_tasks(outputs);
        let target = self.waiting.remove(0);
        let each = self.route.steps.get(self.step).and_then(|step| step.one_by_one);
        let next_at = each.and_then(|each| later(now, Some(each.duration())));
        self.next_at = next_at.filter(|_| !self.waiting.is_empty());
        self.ask(target, false, outputs);
    }

    fn ask(&mut self, target: Target, is_copy: bool, outputs: &mut Vec<DispatchOutput>) {
        let index = self.asked.len();
        if index == ASKED_MAX {
            return;
        }
        outputs.push(match target.kind {
            TargetKind::Mail | TargetKind::Chat | TargetKind::Sms | TargetKind::Fax => {
                DispatchOutput::Create(index)
            }
            TargetKind::Phone => DispatchOutput::Task(index),
            TargetKind::Taker | TargetKind::Supervisors => DispatchOutput::Alarm(index),
        });
        self.asked.push(Asked { step: self.step, target, is_copy, progress: Progress::Asked });
    }

    /// The phone tasks that are open are no longer wanted.
    fn end_tasks(&mut self, outputs: &mut Vec<DispatchOutput>) {
        for (index, asked) in self.asked.iter_mut().enumerate() {
            if asked.target.kind == TargetKind::Phone && asked.progress == Progress::Asked {
                asked.progress = Progress::Failed;
                outputs.push(DispatchOutput::EndTask(index));
            }
        }
    }
}

fn later(now: Timestamp, wait: Option<Duration>) -> Option<Timestamp> {
    wait.and_then(|wait| now.checked_add(wait).ok())
}

#[cfg(test)]
mod tests;
