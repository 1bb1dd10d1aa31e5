//! The timeline of one call whose leader is killed at any point, and that two successors take over.

use super::*;
use crate::call::RescindReason;
use crate::contract::call::{CallState, CallView, Direction, Outcome as CallOutcome};
use crate::contract::transfer::{Attempt, Mode, Outcome, State, TargetView, TransferId};
use crate::ids::{ChannelId, PbxId, QueueName};

/// One step of a call.
#[derive(Clone)]
enum Incident {
    /// Every daemon that follows the PBX sees it.
    Seen(NoticeKind),
    /// Only the leader records it.
    Shown(&'static str),
    /// A notice of the transfer machine: kind, outcomes of the targets tried so far, where the caller is returned to.
    Transfer(transfer::NoticeKind, Vec<Option<Outcome>>, Option<ReturnedTo>),
}

use Incident::{Seen, Shown, Transfer};

fn extension(text: &str) -> Extension {
    Extension::parse(text).unwrap()
}

fn at(step: usize, late_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(step).unwrap() * 1_000 + 60_000 + late_ms).unwrap()
}

fn call() -> CallId {
    CallId::derive(&PbxId::parse("lab").unwrap(), &ChannelId::parse("1.1").unwrap())
}

fn view(operator: Option<&str>) -> CallView {
    CallView {
        id: call(),
        pbx: PbxId::parse("lab").unwrap(),
        direction: Direction::Inbound,
        state: CallState::Answered,
        offered_at: at(0, 0),
        answered_at: None,
        ended_at: None,
        presented_to: Vec::new(),
        operator: operator.map(extension),
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    }
}

/// A call that is shown, answered, held, passed to two targets of which the second takes it.
fn passed_on() -> Vec<Incident> {
    let operator = || extension("1001");
    let ended = NoticeKind::Ended {
        outcome: CallOutcome::Answered,
        operators: vec![operator()],
        channels: vec![],
        queues: vec![],
        treated: None,
    };
    vec![
        Seen(NoticeKind::Offered),
        Seen(NoticeKind::Presented { operator: operator() }),
        Shown("1001"),
        Seen(NoticeKind::Answered { operator: operator(), picked_up_at: None }),
        Seen(NoticeKind::Held { operator: operator() }),
        Seen(NoticeKind::Resumed { operator: operator() }),
        Transfer(transfer::NoticeKind::Requested, vec![], None),
        Transfer(transfer::NoticeKind::Ringing, vec![None], None),
        Transfer(transfer::NoticeKind::Failed, vec![Some(Outcome::Busy)], None),
        Transfer(transfer::NoticeKind::Ringing, vec![Some(Outcome::Busy), None], None),
        Transfer(transfer::NoticeKind::Completed, vec![Some(Outcome::Busy), Some(Outcome::Answered)], None),
        Seen(NoticeKind::Updated),
        Transfer(transfer::NoticeKind::Over, vec![Some(Outcome::Busy), Some(Outcome::Answered)], None),
        Seen(ended),
    ]
}

/// A call whose target refuses, so that it rings at its operator again and then in the queue.
fn brought_back() -> Vec<Incident> {
    let operator = || extension("1001");
    let to = |to| Transfer(transfer::NoticeKind::Returned, vec![Some(Outcome::Refused)], Some(to));
    let ended = NoticeKind::Ended {
        outcome: CallOutcome::Answered,
        operators: vec![operator()],
        channels: vec![],
        queues: vec![],
        treated: None,
    };
    vec![
        Seen(NoticeKind::Offered),
        Seen(NoticeKind::Presented { operator: operator() }),
        Shown("1001"),
        Seen(NoticeKind::Answered { operator: operator(), picked_up_at: None }),
        Transfer(transfer::NoticeKind::Requested, vec![], None),
        Transfer(transfer::NoticeKind::Ringing, vec![None], None),
        Transfer(transfer::NoticeKind::Failed, vec![Some(Outcome::Refused)], None),
        to(ReturnedTo::Operator(operator())),
        Seen(NoticeKind::Presented { operator: operator() }),
        Shown("1001"),
        Seen(NoticeKind::Rescinded {
            operator: operator(),
            reason: RescindReason::NoAnswer,
            picked_up_at: None,
        }),
        to(ReturnedTo::Queue(QueueName::parse("operators").unwrap().to_string())),
        Seen(NoticeKind::Presented { operator: extension("1002") }),
        Shown("1002"),
        Seen(NoticeKind::Answered { operator: extension("1002"), picked_up_at: None }),
        Transfer(transfer::NoticeKind::Over, vec![Some(Outcome::Refused)], None),
        Seen(ended),
    ]
}

/// A daemon: its timelines, and how late it sees what happens.
struct Daemon {
    timelines: CallTimelines,
    late_ms: i64,
    /// The transfer was found on the PBX, not started by this daemon.
    found: bool,
}

impl Daemon {
    fn new(late_ms: i64) -> Self {
        Self { timelines: CallTimelines::default(), late_ms, found: false }
    }

    fn record(&mut self, step: usize, what: &Incident) -> Option<FinishedCall> {
        let at = at(step, self.late_ms);
        match what {
            Seen(kind) => {
                let has = !matches!(kind, NoticeKind::Updated);
                let notice = Notice { at, kind: kind.clone(), view: view(has.then_some("1001")) };
                return self.timelines.record_notice(&notice, &NumberPlan::default());
            }
            Shown(operator) => self.timelines.record_pop(call(), "shown", &extension(operator), at, at, None),
            Transfer(kind, tried, back) => {
                self.timelines.record_transfer(&self.transfer(at, *kind, tried, back.clone()))
            }
        }
        None
    }

    fn transfer(
        &self,
        now: Timestamp,
        kind: transfer::NoticeKind,
        tried: &[Option<Outcome>],
        returned_to: Option<ReturnedTo>,
    ) -> transfer::Notice {
        let target = |n: usize| TargetView::Number { number: format!("0312345{n:03}") };
        let attempt = |(n, outcome): (usize, &Option<Outcome>)| Attempt {
            target: target(n),
            // A found transfer's attempts begin when it was found.
            from: if self.found { now } else { at(6 + n, self.late_ms) },
            until: outcome.map(|_| now),
            outcome: *outcome,
        };
        let view = TransferView {
            id: TransferId::derive(call(), at(6, 0)),
            call: call(),
            mode: Mode::Blind,
            state: State::Trying,
            operator: extension("1001"),
            targets: vec![target(0), target(1)],
            attempts: tried.iter().enumerate().map(attempt).collect(),
            // The daemon that started the transfer wrote this onto the channel.
            requested_at: at(4, 0),
            completed_at: None,
            ended_at: None,
            outcome: tried.last().copied().flatten(),
            talked_s: None,
            returned_to,
            inferred: self.found,
        };
        transfer::Notice { at: now, kind, view }
    }

    /// Finds the transfer as the PBX has it after `before`: the outcomes of earlier targets are unknown, and a
    /// conversation is reported again.
    fn find_transfer(&mut self, step: usize, before: &[Incident]) {
        self.found = true;
        let last = before.iter().rev().find_map(|what| match what {
            Transfer(kind, tried, back) => Some((*kind, tried.clone(), back.clone())),
            _ => None,
        });
        let Some((kind, tried, back)) = last else { return };
        let now = at(step, self.late_ms);
        let over = matches!(kind, transfer::NoticeKind::Over);
        let under_way = tried.last().is_some_and(Option::is_none) || kind == transfer::NoticeKind::Completed;
        let written_off = tried.len() - usize::from(under_way);
        for n in 1..=written_off {
            let unknown = vec![Some(Outcome::Unknown); n];
            let failed = self.transfer(now, transfer::NoticeKind::Failed, &unknown, None);
            if !over {
                self.timelines.record_transfer(&failed);
            }
        }
        if matches!(kind, transfer::NoticeKind::Completed | transfer::NoticeKind::Returned) {
            self.timelines.record_transfer(&self.transfer(now, kind, &tried, back));
        }
    }
}

/// Kind, operator, target and result of each segment, sorted.
fn lines(segments: &[Segment]) -> Vec<String> {
    let line = |s: &Segment| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let operator = s.operator.as_ref().map(ToString::to_string);
        assert!(s.until.is_some(), "left open: {s:?}");
        format!("{} {} {} {}", s.kind, text(&operator), text(&s.target), text(&s.result))
    };
    let mut lines: Vec<String> = segments.iter().map(line).collect();
    lines.sort();
    lines
}

/// The first leader is killed after `first` steps, its successor after `second`. Each standby has seen all steps that a
/// standby can see, or `behind` fewer. Returns the segments of the call's record.
fn history(steps: &[Incident], first: usize, second: usize, behind: usize) -> Vec<Segment> {
    let mut daemons = [Daemon::new(0), Daemon::new(7), Daemon::new(-11)];
    let mut record = None;
    let mut checkpoint: Vec<Segment> = Vec::new();
    let mut recorded = [0, 0, 0];
    for (turn, (from, to)) in [(0, first), (first, second), (second, steps.len())].into_iter().enumerate() {
        let daemon = &mut daemons[turn];
        if turn > 0 {
            // A standby sees the PBX's events only, and at least the first one: otherwise it would not know the call.
            let seen = from.saturating_sub(behind).max(1).min(steps.len());
            for (step, what) in steps.iter().enumerate().take(seen) {
                if matches!(what, Seen(_)) {
                    record = daemon.record(step, what).or(record);
                }
            }
            recorded[turn] = seen;
            if daemon.timelines.adopt(call(), &checkpoint) {
                daemon.find_transfer(from, &steps[..from]);
            } else if let Some(finished) = daemon.timelines.finished(call()) {
                let mut segments = merge(&finished.segments, &checkpoint);
                let open = segments.iter_mut().filter(|segment| segment.until.is_none());
                open.for_each(|segment| segment.until = Some(finished.ended_at));
                record = Some(FinishedCall { segments, ..finished });
            }
        }
        for (step, what) in steps.iter().enumerate().take(to).skip(recorded[turn]) {
            if step >= from || matches!(what, Seen(_)) {
                record = daemon.record(step, what).or(record);
            }
        }
        checkpoint = record
            .as_ref()
            .map_or_else(|| daemon.timelines.segments(call()), |record| record.segments.clone());
    }
    record.unwrap().segments
}

#[test]
fn the_history_has_each_segment_once_wherever_a_leader_is_killed() {
    for steps in [passed_on(), brought_back()] {
        let whole = lines(&history(&steps, steps.len(), steps.len(), 0));
        for first in 1..=steps.len() {
            for second in first..=steps.len() {
                for behind in 0..3 {
                    let segments = history(&steps, first, second, behind);
                    assert_eq!(lines(&segments), whole, "killed after {first} and {second}, {behind} behind");
                }
            }
        }
    }
}

#[test]
fn an_empty_equal_or_oversized_checkpoint_changes_nothing() {
    let mut daemon = Daemon::new(0);
    for (step, what) in passed_on().iter().enumerate().take(6) {
        daemon.record(step, what);
    }
    let own = daemon.timelines.segments(call());
    assert_eq!(merge(&own, &[]), own);
    assert_eq!(merge(&own, &own), own);
    let flood = vec![own[1].clone(); 3 * SEGMENTS_PER_CALL_MAX];
    assert_eq!(merge(&own, &flood).len(), SEGMENTS_PER_CALL_MAX);
}

/// What lies between the pick-up and the caller: an announcement, and nothing worth a segment.
#[test]
fn an_announcement_to_the_operator_is_no_talk() {
    let (mut timelines, plan) = (CallTimelines::default(), NumberPlan::default());
    let (first, second) = (extension("1001"), extension("1002"));
    let ms = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
    let reason = RescindReason::CallerGone;
    let steps = [
        (0, NoticeKind::Presented { operator: first.clone() }),
        (0, NoticeKind::Presented { operator: second.clone() }),
        (
            3_000,
            NoticeKind::Rescinded {
                operator: first.clone(),
                reason: RescindReason::Withdrawn,
                picked_up_at: Some(ms(1_000)),
            },
        ),
        (5_600, NoticeKind::Answered { operator: second.clone(), picked_up_at: Some(ms(4_000)) }),
        (9_000, NoticeKind::Updated),
        (9_000, NoticeKind::Presented { operator: first.clone() }),
        (9_300, NoticeKind::Answered { operator: first.clone(), picked_up_at: Some(ms(9_280)) }),
        (9_400, NoticeKind::Presented { operator: second.clone() }),
        (9_900, NoticeKind::Rescinded { operator: second.clone(), reason, picked_up_at: Some(ms(9_500)) }),
    ];
    for (at, kind) in steps {
        let holder = matches!(kind, NoticeKind::Answered { .. }).then_some("1001");
        timelines.record_notice(&Notice { at: ms(at), kind, view: view(holder) }, &plan);
    }
    let announced: Vec<_> = timelines
        .segments(call())
        .into_iter()
        .filter(|segment| segment.kind == "announced")
        .map(|s| (s.operator.unwrap(), s.from, s.until.unwrap(), s.result.unwrap()))
        .collect();
    assert_eq!(
        announced,
        [
            (first, ms(1_000), ms(3_000), "operator_gone".to_owned()),
            (second.clone(), ms(4_000), ms(5_600), "connected".to_owned()),
            (second, ms(9_500), ms(9_900), "caller_gone".to_owned()),
        ]
    );
}

#[test]
fn the_time_with_somebody_else_is_one_segment() {
    let (mut timelines, plan) = (CallTimelines::default(), NumberPlan::default());
    for (step, state) in [
        (1, CallState::Offered),
        (2, CallState::Elsewhere),
        (3, CallState::Elsewhere),
        (4, CallState::Parked),
        (5, CallState::Answered),
    ] {
        let view = CallView { state, ..view(None) };
        timelines.record_notice(&Notice { at: at(step, 0), kind: NoticeKind::Updated, view }, &plan);
    }
    let segments = timelines.segments(call());
    let times: Vec<_> = segments.iter().map(|s| (s.kind.as_str(), s.from, s.until)).collect();
    assert_eq!(times, [("elsewhere", at(2, 0), Some(at(4, 0))), ("parked", at(4, 0), Some(at(5, 0)))]);
}

#[test]
fn the_treatment_by_a_plan_stands_before_what_it_led_to() {
    for (letter, target, result) in [
        ('h', Some("holiday"), None),
        ('o', Some("open"), None),
        ('z', Some("open"), Some("expired")),
        ('q', None, None),
    ] {
        let (mut timelines, plan) = (CallTimelines::default(), NumberPlan::default());
        let presented = NoticeKind::Presented { operator: extension("1001") };
        timelines.record_notice(&Notice { at: at(2, 0), kind: presented, view: view(None) }, &plan);
        let ended = NoticeKind::Ended {
            outcome: CallOutcome::Abandoned,
            operators: vec![],
            channels: vec![],
            queues: vec![],
            treated: Some(Treated { at: at(1, 0), letter }),
        };
        let record = timelines.record_notice(&Notice { at: at(3, 0), kind: ended, view: view(None) }, &plan);
        let segments = record.unwrap().segments;
        let treated = segments.iter().find(|segment| segment.kind == "treated");
        let found = treated.map(|one| (one.target.as_deref(), one.result.as_deref(), one.from, one.until));
        assert_eq!(found, target.map(|target| (Some(target), result, at(1, 0), Some(at(1, 0)))), "{letter}");
        assert_eq!(
            segments.first().map(|one| one.kind.as_str()),
            Some(if target.is_some() { "treated" } else { "presented" })
        );
    }
}
