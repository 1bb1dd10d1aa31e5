//! The machine against its table, and against any order of inputs.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::super::world::tests::{id, mailbox, person, world};
use super::super::world::{Mailbox, Person};
use super::*;
use crate::contract::message::Urgency;
use crate::contract::records::UnansweredMinutes;

const URGENT: &str = r#"
format = 1
[[route]]
name = "urgent"
[[route.step]]
to = ["contact:c1"]
also = ["contact:c4"]
wait_min = 5
[[route.step]]
to = ["on-call"]
via = ["phone"]
one_by_one = 3
repeat = 2
wait_min = 20
[[route.step]]
to = ["supervisors"]
wait_min = 10
"#;

fn at(minutes: i64) -> Timestamp {
    "2026-11-30T10:00:00+09:00".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn people() -> Vec<Person> {
    let mut people: Vec<Person> = (1..=4).map(person).collect();
    people[0].is_on_call = false;
    people[3].is_on_call = false;
    people
}

fn start(text: &str) -> (Dispatch, Vec<DispatchOutput>, World) {
    let (document, world) = (Document::read(text).unwrap(), world(people()));
    let (dispatch, outputs) =
        Dispatch::start(&[&document], MessageFacts::default(), &world, at(0), Vec::new());
    (dispatch, outputs, world)
}

fn changed(asked: usize, progress: Progress) -> DispatchInput {
    DispatchInput::Changed { asked, progress }
}

#[test]
fn nobody_confirms_so_the_next_person_the_next_step_and_at_last_the_supervisors_have_it() {
    use DispatchOutput::{Alarm, Create, EndTask, Escalated, Task, Unanswered};
    let (mut dispatch, outputs, world) = start(URGENT);
    assert_eq!(outputs, [Create(0), Create(1)]);
    assert!(dispatch.asked[1].is_copy);
    let mut tick = |minutes| {
        let before = dispatch.clone();
        let due = dispatch.due_at().unwrap();
        assert_eq!(due, at(minutes));
        assert_eq!(dispatch.handle(DispatchInput::Tick, &world, due - SignedDuration::from_secs(1)), []);
        assert_eq!(dispatch, before, "a tick that comes early changes nothing");
        dispatch.handle(DispatchInput::Tick, &world, due)
    };
    assert_eq!(tick(5), [Escalated { step: 1, why: EscalationReason::Time }, Task(2)]);
    assert_eq!(tick(8), [EndTask(2), Task(3)]);
    assert_eq!(tick(11), [EndTask(3), Task(4)], "the second round");
    assert_eq!(tick(14), [EndTask(4), Task(5)]);
    assert_eq!(tick(25), [EndTask(5), Escalated { step: 2, why: EscalationReason::Time }, Alarm(6)]);
    assert_eq!(tick(35), [Unanswered]);
    assert_eq!((dispatch.state, dispatch.due_at()), (DispatchState::Unanswered, None));
    let answered = DispatchInput::Answered(Answer::Confirmed);
    assert_eq!(dispatch.handle(answered, &world, at(60)), [DispatchOutput::Cancel]);
    assert_eq!(dispatch.state, DispatchState::Answered);
}

#[test]
fn a_step_without_a_time_waits_as_long_as_the_account_says() {
    let text = "format = 1\n[[route]]\nname = \"usual\"\n[[route.step]]\nto = [\"contact:c1\"]\n";
    let document = Document::read(text).unwrap();
    let mut world = world(people());
    let due = |world: &World, urgency| {
        let facts = MessageFacts { urgency, ..MessageFacts::default() };
        Dispatch::start(&[&document], facts, world, at(0), Vec::new()).0.due_at()
    };
    let both = |world: &World| (due(world, Urgency::Normal), due(world, Urgency::Urgent));
    assert_eq!(both(&world), (Some(at(120)), Some(at(10))));
    world.unanswered_min = UnansweredMinutes { normal: 45, urgent: 3 };
    assert_eq!(both(&world), (Some(at(45)), Some(at(3))));
}

#[test]
fn who_cannot_be_reached_is_not_waited_for() {
    use DispatchOutput::{Create, EndTask, Escalated, Task};
    let (mut dispatch, _, world) = start(URGENT);
    assert_eq!(dispatch.handle(changed(1, Progress::Failed), &world, at(1)), [], "a copy");
    let outputs = dispatch.handle(changed(0, Progress::Failed), &world, at(1));
    assert_eq!(outputs, [Escalated { step: 1, why: EscalationReason::Failed }, Task(2)]);
    assert_eq!(dispatch.handle(changed(2, Progress::Failed), &world, at(2)), [Task(3)]);
    assert_eq!(dispatch.due_at(), Some(at(5)), "three minutes from there");
    let not_mine = DispatchInput::Answered(Answer::NotMine { asked: None });
    assert_eq!(dispatch.handle(not_mine, &world, at(3)), [EndTask(3), Task(4)]);

    let two = "format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"contact:c1\", \"contact:c2\"]\n\
        [[route.step]]\nto = [\"contact:x\"]\n[[route.step]]\nto = [\"contact:c3\"]";
    let (mut dispatch, outputs, world) = start(two);
    assert_eq!(outputs, [Create(0), Create(1)]);
    assert_eq!(dispatch.handle(changed(0, Progress::Failed), &world, at(1)), []);
    let notes = vec![Note::UnknownContact { contact: "x".into() }];
    let outputs = dispatch.handle(changed(1, Progress::Failed), &world, at(2));
    let escalated = Escalated { step: 2, why: EscalationReason::Failed };
    assert_eq!(outputs, [DispatchOutput::Skipped { step: 1, notes }, escalated, Create(2)]);
    assert_eq!(dispatch.due_at(), Some(at(122)));
    assert_eq!(dispatch.handle(changed(2, Progress::Failed), &world, at(3)), [DispatchOutput::Unreached]);
}

#[test]
fn a_mail_that_comes_back_goes_to_the_next_address_of_the_person_and_then_the_next_way() {
    use DispatchOutput::{Create, Escalated, Task};
    let text = "format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"contact:c1\"]\nvia = [\"mail\", \"phone\"]\n\
        [[route.step]]\nto = [\"contact:c2\", \"contact:c1\"]";
    let document = Document::read(text).unwrap();
    let mut world = world(people());
    let gone = Mailbox { is_suspended: true, ..mailbox("gone@example.jp") };
    let second = Mailbox { endpoint: Some(id(77)), label: "携帯".into(), ..mailbox("second@example.jp") };
    world.people[0].mails.insert(0, gone);
    world.people[0].mails.push(second);
    let start = || Dispatch::start(&[&document], MessageFacts::default(), &world, at(0), Vec::new());
    let (mut dispatch, outputs) = start();
    assert_eq!((outputs, dispatch.asked[0].target.address.as_str()), (vec![Create(0)], "c1@example.jp"));
    dispatch.handle(changed(0, Progress::Sent), &world, at(1));
    assert_eq!(dispatch.handle(changed(0, Progress::Failed), &world, at(9)), [Create(1)], "it came back");
    let target = &dispatch.asked[1].target;
    assert_eq!((target.address.as_str(), target.endpoint), ("second@example.jp", Some(id(77))));
    assert_eq!((dispatch.state, dispatch.step), (DispatchState::Running, 0));
    assert_eq!(dispatch.handle(changed(1, Progress::Failed), &world, at(10)), [Task(2)]);
    let escalated = Escalated { step: 1, why: EscalationReason::Failed };
    let outputs = dispatch.handle(changed(2, Progress::Failed), &world, at(11));
    assert_eq!(
        outputs,
        [escalated, Create(3)],
        "the addresses that returned the message are not asked again"
    );
    assert_eq!(dispatch.asked[3].target.address, "c2@example.jp");
    let text = "format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"contact:c1\"]\nuntil = \"sent\"\n\
        [[route.step]]\nto = [\"contact:c2\"]\nuntil = \"sent\"";
    let document = Document::read(text).unwrap();
    let (mut dispatch, _) = Dispatch::start(&[&document], MessageFacts::default(), &world, at(0), Vec::new());
    dispatch.handle(changed(0, Progress::Sent), &world, at(1));
    assert_eq!(dispatch.state, DispatchState::Settled);
    assert_eq!(dispatch.handle(changed(0, Progress::Failed), &world, at(9)), [Create(1)], "it came back");
    assert_eq!((dispatch.state, dispatch.step), (DispatchState::Running, 0));
    let plan = super::super::plan(&[&document], &MessageFacts::default(), &world, at(0));
    assert_eq!(
        super::super::sentence(&plan, &world.zone()),
        "担当1様へメール → 届かなければ 担当1様(携帯)へメール → 届かなければ 担当2様へメール"
    );
}

#[test]
fn the_built_in_route_goes_through_all_addresses_and_a_correction_to_those_who_had_the_message() {
    use DispatchOutput::{Create, Skipped, Unreached};
    let mut world = world(people());
    world.people[1].mails.push(mailbox("second@example.jp"));
    world.own = vec![Mailbox { label: "受付".into(), ..mailbox("own@example.jp") }];
    let (mut dispatch, outputs) = Dispatch::start(&[], MessageFacts::default(), &world, at(0), Vec::new());
    assert_eq!(outputs, [Create(0)]);
    for n in 1..4 {
        assert_eq!(dispatch.handle(changed(n - 1, Progress::Failed), &world, at(1)), [Create(n)]);
    }
    let asked: Vec<_> = dispatch.asked.iter().map(|asked| asked.target.address.as_str()).collect();
    assert_eq!(asked, ["c2@example.jp", "second@example.jp", "c3@example.jp", "own@example.jp"]);
    assert_eq!(dispatch.handle(changed(3, Progress::Failed), &world, at(1)), [Unreached]);

    let had = |address: &str| Target { address: address.into(), ..dispatch.asked[0].target.clone() };
    let had = vec![had("old@example.jp"), had("older@example.jp")];
    let (mut dispatch, outputs) = Dispatch::start(&[], MessageFacts::default(), &world, at(0), had.clone());
    assert_eq!(outputs, [Create(0), Create(1)]);
    assert_eq!(dispatch.handle(changed(0, Progress::Failed), &world, at(1)), [], "the other one may have it");
    assert_eq!(dispatch.handle(changed(1, Progress::Failed), &world, at(1)), [Create(2)]);
    assert_eq!(dispatch.asked[2].target.address, "c2@example.jp");
    world.has_mail_server = false;
    let (_, outputs) = Dispatch::start(&[], MessageFacts::default(), &world, at(0), had);
    assert_eq!(outputs, [Skipped { step: 0, notes: vec![Note::NoMailServer] }, Unreached]);
}

#[test]
fn a_route_that_waits_for_the_server_ends_with_its_answer_and_goes_on_when_the_mail_comes_back() {
    let text = "format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"contact:c1\", \"contact:c2\"]\n\
        until = \"sent\"\nneed = \"all\"\n[[route.step]]\nto = [\"contact:c3\"]\nuntil = \"sent\"";
    let (mut dispatch, _, world) = start(text);
    assert_eq!(dispatch.due_at(), None);
    dispatch.handle(changed(0, Progress::Sent), &world, at(1));
    assert_eq!(dispatch.state, DispatchState::Running);
    dispatch.handle(changed(1, Progress::Sent), &world, at(1));
    assert_eq!(dispatch.state, DispatchState::Settled);
    let outputs = dispatch.handle(changed(0, Progress::Failed), &world, at(9));
    let escalated = DispatchOutput::Escalated { step: 1, why: EscalationReason::Failed };
    assert_eq!(outputs, [escalated, DispatchOutput::Create(2)]);
    assert_eq!(dispatch.handle(changed(2, Progress::Sent), &world, at(10)), []);
    assert_eq!(dispatch.state, DispatchState::Settled);
}

#[test]
fn a_late_tick_does_one_step_and_the_next_one_waits_its_time() {
    let (mut dispatch, _, world) = start(URGENT);
    let outputs = dispatch.handle(DispatchInput::Tick, &world, at(600));
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    assert_eq!((dispatch.step, dispatch.due_at()), (1, Some(at(603))));
}

/// Each input in each state, as the table in the header has it.
#[test]
fn the_table_in_the_header_is_what_the_machine_does() {
    use DispatchState::{Answered, Cancelled, Running, Settled, Unanswered, Unreached};
    let confirmed = DispatchInput::Answered(Answer::Confirmed);
    let not_mine = DispatchInput::Answered(Answer::NotMine { asked: Some(0) });
    let (sent, failed) = (changed(0, Progress::Sent), changed(0, Progress::Failed));
    for (input, expected) in [
        (DispatchInput::Tick, [Unanswered, Settled, Unanswered, Unreached, Answered, Cancelled]),
        (sent, [Running, Settled, Unanswered, Unanswered, Answered, Cancelled]),
        (failed, [Unreached, Unreached, Unanswered, Unreached, Answered, Cancelled]),
        (confirmed, [Answered, Answered, Answered, Answered, Answered, Cancelled]),
        (not_mine, [Unreached, Unreached, Unanswered, Unreached, Answered, Cancelled]),
        (DispatchInput::Corrected, [Cancelled; 6]),
        (DispatchInput::Undone, [Cancelled, Cancelled, Cancelled, Cancelled, Answered, Cancelled]),
    ] {
        for (state, expected) in DispatchState::ALL.into_iter().zip(expected) {
            let (mut dispatch, _, world) = start(
                "format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"contact:c1\"]\nwait_min = 1",
            );
            if state != Running {
                dispatch.end(state);
            }
            let outputs = dispatch.handle(input, &world, at(1));
            assert_eq!(dispatch.state, expected, "{input:?} in {state:?}");
            let is_cancel = outputs.contains(&DispatchOutput::Cancel);
            assert_eq!(
                is_cancel,
                matches!(expected, Answered | Cancelled) && state != expected,
                "{input:?} in {state:?}"
            );
            assert_eq!(dispatch.due_at().is_some(), dispatch.state == Running);
        }
    }
}

fn input() -> impl Strategy<Value = (DispatchInput, i64)> {
    let progress = prop_oneof![Just(Progress::Sent), Just(Progress::Delivered), Just(Progress::Failed)];
    let input = prop_oneof![
        5 => Just(DispatchInput::Tick),
        5 => (0_usize..12, progress).prop_map(|(asked, progress)| changed(asked, progress)),
        1 => proptest::option::of(0_usize..12)
            .prop_map(|asked| DispatchInput::Answered(Answer::NotMine { asked })),
        1 => Just(DispatchInput::Answered(Answer::Confirmed)),
        1 => Just(DispatchInput::Corrected),
        1 => Just(DispatchInput::Undone),
    ];
    (input, 0_i64..15)
}

proptest! {
    /// Any order of inputs: the step never goes back, nobody is asked twice in a round, nothing is asked once it is over, the
    /// state survives the store, and ticks alone bring every dispatch to its end.
    #[test]
    fn a_dispatch_respects_its_route_and_ends(inputs in proptest::collection::vec(input(), 0..40), absent in 0_usize..4) {
        let document = Document::read(URGENT).unwrap();
        let mut world = world(people());
        world.people[0].mails.push(mailbox("c1@example.com"));
        world.people[absent].absence.until = Some(at(30));
        let facts = MessageFacts::default();
        let (mut dispatch, outputs) = Dispatch::start(&[&document], facts, &world, at(0), Vec::new());
        let (mut now, mut asked) = (0, outputs.len());
        for (input, minutes) in inputs {
            now += minutes;
            let (before, was) = (dispatch.step, dispatch.state);
            let outputs = dispatch.handle(input, &world, at(now));
            prop_assert!(dispatch.step >= before);
            let created = outputs.iter().filter(|output| {
                matches!(output, DispatchOutput::Create(_) | DispatchOutput::Task(_) | DispatchOutput::Alarm(_))
            }).count();
            let is_over = matches!(was, DispatchState::Answered | DispatchState::Cancelled);
            prop_assert!(!is_over || created == 0);
            asked += created;
            let json = serde_json::to_string(&dispatch).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Dispatch>(&json).unwrap(), &dispatch);
        }
        prop_assert!(asked >= dispatch.asked.len());
        for (index, one) in dispatch.asked.iter().enumerate() {
            let rounds = dispatch.route.steps[one.step].repeat.get();
            let times = dispatch.asked[..=index].iter().filter(|other| {
                (other.step, other.target.kind, &other.target.address) == (one.step, one.target.kind, &one.target.address)
            }).count();
            prop_assert!(times <= rounds, "{:?} was asked {} times", one.target, times);
        }
        for _ in 0..30 {
            let Some(due) = dispatch.due_at() else { break };
            dispatch.handle(DispatchInput::Tick, &world, due);
        }
        prop_assert_eq!(dispatch.due_at(), None);
        prop_assert!(dispatch.state != DispatchState::Running || dispatch.route.steps[dispatch.step].until != Until::Acknowledged);
    }

    #[test]
    fn the_same_message_at_the_same_time_has_the_same_dispatch(urgent in any::<bool>(), contact in 0_u128..6, minutes in 0_i64..20_000) {
        let (document, world) = (Document::read(URGENT).unwrap(), world(people()));
        let urgency = if urgent { Urgency::Urgent } else { Urgency::Normal };
        let facts = MessageFacts { contact: Some(id(contact)), urgency, ..MessageFacts::default() };
        let start = || Dispatch::start(&[&document], facts.clone(), &world, at(minutes), Vec::new());
        prop_assert_eq!(start(), start());
    }
}
