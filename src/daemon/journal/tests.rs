//! One call, told by a daemon that is killed anywhere, and by those that take over.

use super::*;
use crate::call::RescindReason;
use crate::call::view::{CallState, CallView, Direction, Outcome as CallOutcome};
use crate::ids::{ChannelId, PbxId, QueueName};
use crate::transfer::view::{Attempt, Mode, Outcome, State, TargetView, TransferId};

/// What happens in a call.
#[derive(Clone)]
enum Happens {
    /// Whoever follows the PBX sees it.
    Seen(NoticeKind),
    /// Whoever leads notes it.
    Shown(&'static str),
    /// A transfer's machine tells it: what, targets tried so far with their outcomes, where the caller is brought back.
    Transfer(transfer::NoticeKind, Vec<Option<Outcome>>, Option<ReturnedTo>),
}

use Happens::{Seen, Shown, Transfer};

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
        outcome: None,
        card: None,
        inferred: false,
    }
}

/// A call that is shown, answered, held, passed to two targets of which the second takes it.
fn passed_on() -> Vec<Happens> {
    let operator = || extension("1001");
    let ended =
        NoticeKind::Ended { outcome: CallOutcome::Answered, operators: vec![operator()], channels: vec![] };
    vec![
        Seen(NoticeKind::Offered),
        Seen(NoticeKind::Presented { operator: operator() }),
        Shown("1001"),
        Seen(NoticeKind::Answered { operator: operator() }),
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
fn brought_back() -> Vec<Happens> {
    let operator = || extension("1001");
    let to = |to| Transfer(transfer::NoticeKind::Returned, vec![Some(Outcome::Refused)], Some(to));
    let ended =
        NoticeKind::Ended { outcome: CallOutcome::Answered, operators: vec![operator()], channels: vec![] };
    vec![
        Seen(NoticeKind::Offered),
        Seen(NoticeKind::Presented { operator: operator() }),
        Shown("1001"),
        Seen(NoticeKind::Answered { operator: operator() }),
        Transfer(transfer::NoticeKind::Requested, vec![], None),
        Transfer(transfer::NoticeKind::Ringing, vec![None], None),
        Transfer(transfer::NoticeKind::Failed, vec![Some(Outcome::Refused)], None),
        to(ReturnedTo::Operator(operator())),
        Seen(NoticeKind::Presented { operator: operator() }),
        Shown("1001"),
        Seen(NoticeKind::Rescinded { operator: operator(), reason: RescindReason::NoAnswer }),
        to(ReturnedTo::Queue(QueueName::parse("operators").unwrap().to_string())),
        Seen(NoticeKind::Presented { operator: extension("1002") }),
        Shown("1002"),
        Seen(NoticeKind::Answered { operator: extension("1002") }),
        Transfer(transfer::NoticeKind::Over, vec![Some(Outcome::Refused)], None),
        Seen(ended),
    ]
}

/// A daemon: how late it sees what happens, and its own journal.
struct Daemon {
    journal: Journal,
    late_ms: i64,
    /// The transfer was found, not begun here.
    found: bool,
}

impl Daemon {
    fn new(late_ms: i64) -> Self {
        Self { journal: Journal::default(), late_ms, found: false }
    }

    fn tell(&mut self, step: usize, what: &Happens) -> Option<FinishedCall> {
        let at = at(step, self.late_ms);
        match what {
            Seen(kind) => {
                let has = !matches!(kind, NoticeKind::Updated);
                let notice = Notice { at, kind: kind.clone(), view: view(has.then_some("1001")) };
                return self.journal.note(&notice, &NumberPlan::default());
            }
            Shown(operator) => self.journal.note_pop(call(), "shown", &extension(operator), at, at, None),
            Transfer(kind, tried, back) => {
                self.journal.note_transfer(&self.transfer(at, *kind, tried, back.clone()))
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
            // As found, or as begun.
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
            // What the one who began it wrote onto the channel.
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

    /// Finds the transfer as the PBX has it after `before`: targets of before are written off, a talk is told again.
    fn finds_the_transfer(&mut self, step: usize, before: &[Happens]) {
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
                self.journal.note_transfer(&failed);
            }
        }
        if matches!(kind, transfer::NoticeKind::Completed | transfer::NoticeKind::Returned) {
            self.journal.note_transfer(&self.transfer(now, kind, &tried, back));
        }
    }
}

/// Kind, operator, target and result of each segment, in no order.
fn told(segments: &[Segment]) -> Vec<String> {
    let line = |s: &Segment| {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        let operator = s.operator.as_ref().map(ToString::to_string);
        assert!(s.until.is_some(), "left open: {s:?}");
        format!("{} {} {} {}", s.kind, word(&operator), word(&s.target), word(&s.result))
    };
    let mut lines: Vec<String> = segments.iter().map(line).collect();
    lines.sort();
    lines
}

/// Whoever leads is killed after `first` of what happens, its successor after `second`; each of the others has seen
/// what there is to see, or as much less as `behind` says.
fn history(story: &[Happens], first: usize, second: usize, behind: usize) -> Vec<Segment> {
    let mut daemons = [Daemon::new(0), Daemon::new(7), Daemon::new(-11)];
    let mut record = None;
    let mut left: Vec<Segment> = Vec::new();
    let mut noted = [0, 0, 0];
    for (turn, (from, to)) in [(0, first), (first, second), (second, story.len())].into_iter().enumerate() {
        let daemon = &mut daemons[turn];
        if turn > 0 {
            // Until it leads it sees only what everybody does; a call that it has not seen at all is not its own.
            let seen = from.saturating_sub(behind).max(1).min(story.len());
            for (step, what) in story.iter().enumerate().take(seen) {
                if matches!(what, Seen(_)) {
                    record = daemon.tell(step, what).or(record);
                }
            }
            noted[turn] = seen;
            if daemon.journal.adopt(call(), &left) {
                daemon.finds_the_transfer(from, &story[..from]);
            } else if let Some(past) = daemon.journal.past(call()) {
                let mut segments = joined(&past.segments, &left);
                let open = segments.iter_mut().filter(|segment| segment.until.is_none());
                open.for_each(|segment| segment.until = Some(past.ended_at));
                record = Some(FinishedCall { segments, ..past });
            }
        }
        for (step, what) in story.iter().enumerate().take(to).skip(noted[turn]) {
            if step >= from || matches!(what, Seen(_)) {
                record = daemon.tell(step, what).or(record);
            }
        }
        left = record.as_ref().map_or_else(|| daemon.journal.story(call()), |record| record.segments.clone());
    }
    record.unwrap().segments
}

#[test]
fn whoever_takes_over_wherever_the_history_has_each_segment_once() {
    for story in [passed_on(), brought_back()] {
        let whole = told(&history(&story, story.len(), story.len(), 0));
        for first in 1..=story.len() {
            for second in first..=story.len() {
                for behind in 0..3 {
                    let segments = history(&story, first, second, behind);
                    assert_eq!(told(&segments), whole, "killed after {first} and {second}, {behind} behind");
                }
            }
        }
    }
}

#[test]
fn what_another_version_or_nobody_left_changes_nothing() {
    let mut daemon = Daemon::new(0);
    for (step, what) in passed_on().iter().enumerate().take(6) {
        daemon.tell(step, what);
    }
    let own = daemon.journal.story(call());
    assert_eq!(joined(&own, &[]), own);
    assert_eq!(joined(&own, &own), own);
    let flood = vec![own[1].clone(); 3 * SEGMENTS_PER_CALL_MAX];
    assert_eq!(joined(&own, &flood).len(), SEGMENTS_PER_CALL_MAX);
}
