//! The simulator: who would get a message that is saved at a time, and when, as long as nobody confirms and everybody is reached.
//!
//! It runs a dispatch on that time with the same world and lets its timers expire, so it cannot differ from what happens.

use jiff::Timestamp;
use serde::Serialize;

use super::condition::MessageFacts;
use super::digest::Digest;
use super::dispatch::{Dispatch, DispatchInput, DispatchOutput, Progress};
use super::document::{Document, Until};
use super::resolve::{Note, Target};
use super::world::World;
use crate::contract::delivery::DispatchState;

/// Most ticks of a simulation: more than a dispatch can ask recipients.
const TICKS_MAX: usize = 500;

/// Who would get a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The name of the route.
    pub route: String,
    /// Whether it is the built-in one, because no document has one that applies.
    pub built_in: bool,
    /// Who is asked, one after the other.
    pub steps: Vec<PlanStep>,
    /// The digest in which the message is reported, instead of a mail of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanStep {
    /// When it begins.
    pub at: Timestamp,
    /// What ends the route here.
    pub until: Until,
    /// Who is asked. One by one: the times are in `asked_at`.
    pub to: Vec<PlanTarget>,
    /// Who gets a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Target>,
    /// Who is not reached, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// A recipient of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanTarget {
    /// When.
    pub at: Timestamp,
    /// Who.
    #[serde(flatten)]
    pub target: Target,
}

impl Plan {
    fn begin(route: &str, dispatch: &Dispatch, at: Timestamp) -> Self {
        Self {
            route: route.to_owned(),
            built_in: dispatch.is_built_in,
            steps: vec![step(dispatch, 0, at)],
            digest: None,
        }
    }

    /// Whether somebody of the account would get the message.
    #[must_use]
    pub fn reaches_somebody(&self) -> bool {
        self.steps.iter().flat_map(|step| &step.to).any(|to| to.target.kind.is_of_account())
    }
}

/// Who would get a message that may be sent from `at` on. `documents`: the account's, then the installation's.
#[must_use]
pub fn plan(documents: &[&Document], facts: &MessageFacts, world: &World, at: Timestamp) -> Plan {
    let (mut dispatch, outputs) = Dispatch::start(documents, facts.clone(), world, at, Vec::new());
    if let (Some(name), Some(at)) = (dispatch.digest(), dispatch.digest_at) {
        let digest = documents.iter().find_map(|document| document.digest(name));
        let to = digest.map_or_else(|| dispatch.route.clone(), Digest::route);
        let (reporting, outputs) = Dispatch::start_route(to, world, at);
        let mut plan = Plan::begin(&dispatch.route.name, &reporting, at);
        plan.digest = Some(name.to_owned());
        add(&mut plan, &reporting, outputs, at);
        plan.steps.retain(|step| !step.to.is_empty() || !step.notes.is_empty());
        return plan;
    }
    let mut plan = Plan::begin(&dispatch.route.name, &dispatch, at);
    add(&mut plan, &dispatch, outputs, at);
    for _ in 0..TICKS_MAX {
        let (now, outputs) = match dispatch.due_at() {
            Some(due) => (due, dispatch.handle(DispatchInput::Tick, world, due)),
            None => break,
        };
        add(&mut plan, &dispatch, outputs, now);
    }
    add_fallbacks(&mut plan, &mut dispatch, world);
    plan.steps.retain(|step| !step.to.is_empty() || !step.notes.is_empty());
    plan
}

/// A step that waits for the mail server goes on if the server refuses: what would follow then.
fn add_fallbacks(plan: &mut Plan, dispatch: &mut Dispatch, world: &World) {
    let Some(at) = plan.steps.last().map(|step| step.at) else { return };
    while dispatch.state == DispatchState::Running {
        let open: Vec<usize> = dispatch
            .asked
            .iter()
            .enumerate()
            .filter(|(_, asked)| !asked.is_copy && asked.progress == Progress::Asked)
            .map(|(index, _)| index)
            .collect();
        if open.is_empty() {
            return;
        }
        for asked in open {
            let failed = DispatchInput::Changed { asked, progress: Progress::Failed };
            let outputs = dispatch.handle(failed, world, at);
            let is_same_step =
                !outputs.iter().any(|output| matches!(output, DispatchOutput::Escalated { .. }));
            let asks = |output: &DispatchOutput| {
                matches!(output, DispatchOutput::Create(_) | DispatchOutput::Task(_))
            };
            if is_same_step && outputs.iter().any(asks) {
                // Another address of the same person.
                plan.steps.push(step(dispatch, dispatch.step, at));
            }
            add(plan, dispatch, outputs, at);
        }
    }
}

fn step(dispatch: &Dispatch, index: usize, at: Timestamp) -> PlanStep {
    let until = dispatch.route.steps.get(index).map_or(Until::Sent, |step| step.until);
    PlanStep { at, until, to: Vec::new(), also: Vec::new(), notes: Vec::new() }
}

fn add(plan: &mut Plan, dispatch: &Dispatch, outputs: Vec<DispatchOutput>, now: Timestamp) {
    for output in outputs {
        match output {
            DispatchOutput::Create(index) | DispatchOutput::Task(index) | DispatchOutput::Alarm(index) => {
                let asked = &dispatch.asked[index];
                let Some(last) = plan.steps.last_mut() else { continue };
                let (at, target) =
                    (asked.target.not_before.map_or(now, |at| at.max(now)), asked.target.clone());
                if asked.is_copy {
                    last.also.push(target);
                } else {
                    last.until = dispatch.route.steps[asked.step].until;
                    last.to.push(PlanTarget { at, target });
                }
            }
            DispatchOutput::Skipped { step: index, notes } => {
                if plan.steps.last().is_some_and(|last| !last.to.is_empty()) {
                    plan.steps.push(step(dispatch, index, now));
                }
                if let Some(last) = plan.steps.last_mut() {
                    last.notes = notes;
                }
                plan.steps.push(step(dispatch, index, now));
            }
            DispatchOutput::Escalated { step: index, .. } => plan.steps.push(step(dispatch, index, now)),
            DispatchOutput::EndTask(_)
            | DispatchOutput::Cancel
            | DispatchOutput::Unanswered
            | DispatchOutput::Unreached => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::sentence;
    use super::super::world::tests::{id, person, world};
    use super::*;

    const ROUTES: &str = r#"
format = 1
[[route]]
name = "urgent"
when = { urgency = "urgent" }
[[route.step]]
to = ["named"]
wait_min = 10
[[route.step]]
to = ["contact:nobody"]
[[route.step]]
to = ["on-call"]
via = ["phone"]
one_by_one = 5
[[route.step]]
to = ["supervisors"]
[[route]]
name = "usual"
[[route.step]]
to = ["named"]
until = "sent"
[[route.step]]
to = ["account"]
until = "sent"
"#;

    #[test]
    fn a_plan_says_who_is_asked_when_and_who_is_not() {
        use crate::contract::message::Urgency;
        let mut people = vec![person(1), person(2), person(3)];
        people[1].absence.days_off = vec![jiff::civil::date(2026, 11, 30)];
        let (document, world) = (Document::read(ROUTES).unwrap(), world(people));
        let at: Timestamp = "2026-11-30T10:00:00+09:00".parse().unwrap();
        let urgent =
            MessageFacts { contact: Some(id(3)), urgency: Urgency::Urgent, ..MessageFacts::default() };
        let found = plan(&[&document], &urgent, &world, at);
        let minutes = |time: Timestamp| time.duration_since(at).as_mins();
        let shape: Vec<_> = found
            .steps
            .iter()
            .map(|step| {
                (
                    minutes(step.at),
                    step.to.iter().map(|to| minutes(to.at)).collect::<Vec<_>>(),
                    step.notes.len(),
                )
            })
            .collect();
        assert_eq!(shape, [(0, vec![0], 0), (10, vec![], 1), (10, vec![10, 15], 0), (20, vec![20], 0)]);
        assert_eq!(
            sentence(&found, &world.zone()),
            "担当3様へメール → 10分で確認がなければ 担当1様へ電話、15分後 担当3様へ電話 → 20分で確認がなければ スーパーバイザーへ通知"
        );
        let usual = plan(&[&document], &MessageFacts::default(), &world, at);
        assert_eq!(usual.steps.len(), 2, "{usual:?}");
        assert_eq!(sentence(&usual, &world.zone()), "担当1様へメール");
        assert!(usual.reaches_somebody());
        let named = MessageFacts { contact: Some(id(3)), ..MessageFacts::default() };
        let named = plan(&[&document], &named, &world, at);
        assert_eq!(sentence(&named, &world.zone()), "担当3様へメール → 届かなければ 担当1様へメール");
        let none = plan(&[], &MessageFacts::default(), &World::empty(jiff::tz::TimeZone::UTC), at);
        assert!(none.built_in && !none.reaches_somebody());
        assert_eq!(sentence(&none, &world.zone()), "送信先がありません(呼出順に担当者がいません)");
    }
}
