//! Counters of calls by hand, and properties of random histories.

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::contract::call::{Direction, Outcome};
use crate::contract::card::MatchedBy;
use crate::contract::history::{CallSource, FinishedCall, LeftBehind, Segment};
use crate::contract::message::{MessageKind, MessageState};
use crate::identity::Presentation;
use crate::ids::{CallId, ChannelId, Extension, PbxId, RecordId};

const SATO: RecordId = RecordId(Uuid::from_u128(21));
const SUZUKI: RecordId = RecordId(Uuid::from_u128(22));

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn account(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n + 1))
}

fn segment(kind: &str, operator: Option<&str>, from: i64, until: i64, result: Option<&str>) -> Segment {
    Segment {
        kind: kind.into(),
        operator: operator.map(|text| Extension::parse(text).unwrap()),
        target: None,
        from: at(from),
        until: Some(at(until)),
        result: result.map(str::to_owned),
    }
}

fn queued(queue: &str, from: i64, until: i64, result: &str) -> Segment {
    Segment { target: Some(queue.into()), ..segment("queued", None, from, until, Some(result)) }
}

/// A call that was offered at `offered` and ended at `ended`, with nothing in it.
fn call(n: u32, outcome: Outcome, offered: i64, ended: i64) -> FinishedCall {
    let pbx = PbxId::parse("lab").unwrap();
    let channel = ChannelId::parse(&format!("{n}.1")).unwrap();
    FinishedCall {
        id: CallId::derive(&pbx, &channel),
        pbx,
        direction: Direction::Inbound,
        account: Some(account(0)),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some("+819012345678".into()),
        presentation: Presentation::Allowed,
        dialled: None,
        diverted_by: None,
        offered_at: at(offered),
        answered_at: None,
        ended_at: at(ended),
        outcome,
        operators: Vec::new(),
        handled_by: Some(Vec::new()),
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    }
}

fn counted(call: &FinishedCall, wrap_ups: &[WrapUpTime]) -> Counters {
    Counters::of_call(&CallFacts::of(call, wrap_ups, Neighbours::default()).unwrap())
}

/// Queued after 1 s, rings at 1001 in vain, answered by 1002 after 12 s of waiting, held for 3 s, passed to a contact who
/// takes the caller.
fn answered() -> FinishedCall {
    let mut call = call(1, Outcome::Answered, 0, 60_000);
    call.answered_at = Some(at(13_000));
    call.operators = vec![Extension::parse("1002").unwrap()];
    call.handled_by = Some(vec![SATO]);
    call.segments = vec![
        queued("sakura", 1_000, 13_000, "connected"),
        segment("presented", Some("1001"), 1_000, 7_000, Some("no_answer")),
        segment("presented", Some("1002"), 7_000, 13_000, Some("answered")),
        segment("talking", Some("1002"), 13_000, 43_000, None),
        segment("held", Some("1002"), 20_000, 23_000, None),
        segment("transfer", Some("1002"), 30_000, 40_000, Some("busy")),
        segment("transfer", Some("1002"), 40_000, 43_000, Some("answered")),
        segment("transferred", None, 43_000, 60_000, None),
    ];
    call
}

#[test]
fn an_answered_call_is_counted_by_its_segments() {
    let wrap_ups = [WrapUpTime { person: SATO, ms: 9_000 }];
    let expected = Counters {
        offered: 1,
        answered: 1,
        queued: 1,
        answered_le_15: 1,
        answered_le_20: 1,
        answered_le_30: 1,
        answered_le_60: 1,
        answered_le_120: 1,
        wait_answered_ms: 12_000,
        to_answer_ms: 13_000,
        wait_max_ms: 12_000,
        presented: 2,
        missed: 1,
        parts: 1,
        talk_ms: 27_000,
        hold_ms: 3_000,
        wrap_ms: 9_000,
        transfers_tried: 2,
        transfers_reached: 1,
        ..Counters::default()
    };
    assert_eq!(counted(&answered(), &wrap_ups), expected);
    let facts = CallFacts::of(&answered(), &wrap_ups, Neighbours::default()).unwrap();
    assert_eq!(facts.queue.as_deref(), Some("sakura"));
    let of_sato = Counters {
        answered: 1,
        parts: 1,
        talk_ms: 27_000,
        hold_ms: 3_000,
        wrap_ms: 9_000,
        transfers_tried: 2,
        transfers_reached: 1,
        ..Counters::default()
    };
    assert_eq!(Counters::of_person(&facts, Some(SATO)), of_sato);
    assert_eq!(Counters::of_person(&facts, Some(SUZUKI)), Counters::default());
    assert!(facts.concerns(SATO) && !facts.concerns(SUZUKI));
}

#[test]
fn two_operators_have_two_parts_and_only_known_people_are_named() {
    let mut call = answered();
    call.operators = ["1002", "1001", "1002"].iter().map(|text| Extension::parse(text).unwrap()).collect();
    call.handled_by = Some(vec![SATO, SUZUKI]);
    call.segments.push(segment("talking", Some("1001"), 60_000, 70_000, None));
    call.segments.push(segment("talking", Some("1002"), 70_000, 75_000, None));
    call.ended_at = at(75_000);
    let facts = CallFacts::of(&call, &[], Neighbours::default()).unwrap();
    let people: Vec<_> = facts.parts.iter().map(|part| (part.person, part.talk_ms)).collect();
    assert_eq!(people, [(Some(SATO), 27_000), (Some(SUZUKI), 10_000), (Some(SATO), 5_000)]);
    assert_eq!(Counters::of_call(&facts).parts, 3);
    // One person at two phones: the record does not tell which part was at which phone.
    call.handled_by = Some(vec![SATO]);
    let facts = CallFacts::of(&call, &[], Neighbours::default()).unwrap();
    assert!(facts.parts.iter().all(|part| part.person.is_none()));
    assert_eq!(Counters::of_person(&facts, None).parts, 3);
}

/// Calls in which nobody answered: outcome, segments, end, and the counters besides `offered` that are one.
#[test]
fn each_outcome_is_counted_once() {
    let outcomes = [
        (Outcome::Abandoned, vec!["abandoned", "abandoned_le_10", "queued"], 9_000),
        (Outcome::Abandoned, vec!["abandoned", "abandoned_le_5", "short", "queued"], 6_000),
        (Outcome::Overflowed, vec!["overflowed", "hops", "queued"], 9_000),
        (Outcome::Closed, vec!["closed", "queued"], 9_000),
        (Outcome::Blocked, vec!["blocked", "queued"], 9_000),
        (Outcome::Refused, vec!["refused", "queued"], 9_000),
        (Outcome::Elsewhere, vec!["elsewhere", "queued"], 9_000),
        (Outcome::Unknown, vec!["unknown", "queued"], 9_000),
    ];
    for (outcome, ones, ended) in outcomes {
        let mut call = call(2, outcome, 0, ended);
        let result = if outcome == Outcome::Overflowed { "left" } else { "abandoned" };
        call.segments = vec![queued("sakura", 1_000, ended, result)];
        let counters = counted(&call, &[]);
        for counter in ones {
            assert_eq!(counters.get(counter), Some(1), "{outcome:?} {counter}");
        }
        assert!(counters.is_consistent() && counters.offered == 1, "{outcome:?}");
    }
}

#[test]
fn a_fax_is_in_no_figure_but_its_own() {
    let mut call = call(2, Outcome::Fax, 0, 9_000);
    call.segments = vec![queued("sakura", 1_000, 9_000, "abandoned")];
    assert_eq!(counted(&call, &[]), Counters { fax: 1, ..Counters::default() });
    let input = BinInput { calls: vec![call.clone(), answered()], ..BinInput::default() };
    let total = BinStats::of(&input).total;
    assert_eq!((total.offered, total.answered, total.fax, total.calls()), (1, 1, 1, 2));
    let rate = FORMULAS.iter().find(|formula| formula.id == "AR-all").unwrap();
    assert_eq!(rate.figure(&total, WITHIN_DEFAULT_S).value, Some(1.0));
}

/// Kind, state, when it was sent and acknowledged after the end of the call; in time, reached.
#[test]
fn what_a_caller_left_is_done_when_the_caller_or_the_account_has_it() {
    const HOUR: i64 = 3_600_000;
    use MessageKind::{Callback, Message, Voice};
    use MessageState::{Acknowledged, Failed, Open, Sent};
    for (kind, state, sent, acknowledged, expected) in [
        (Callback, Acknowledged, None, Some(HOUR), (true, true)),
        (Callback, Acknowledged, None, Some(HOUR + 1), (false, true)),
        // The company has the mail, and nobody has called back.
        (Callback, Sent, Some(1), None, (false, false)),
        (Callback, Open, None, Some(1), (false, false)),
        (Voice, Sent, Some(HOUR), None, (true, false)),
        (Voice, Sent, Some(HOUR + 1), None, (false, false)),
        (Voice, Acknowledged, Some(1), Some(2 * HOUR), (true, false)),
        (Voice, Acknowledged, None, Some(1), (true, false)),
        // It was sent, and came back.
        (Voice, Failed, Some(1), None, (false, false)),
        (Message, Acknowledged, Some(1), Some(1), (false, false)),
    ] {
        let ended = 1_000;
        let at = |after: Option<i64>| after.map(|after| ended + after);
        let message = LeftMessage { kind, state, sent_ms: at(sent), acknowledged_ms: at(acknowledged) };
        let mut care = Care::default();
        care.add(&message, ended);
        assert_eq!((care.is_in_time, care.is_reached), expected, "{message:?}");
    }
    assert_eq!(i64::try_from(CARE_WITHIN.as_millis()).unwrap(), HOUR);
}

#[test]
fn what_is_left_behind_is_a_mark_beside_the_outcome() {
    let in_time = Care { is_in_time: true, is_reached: true };
    let counted = |outcome: Outcome, left: Option<LeftBehind>, waited: i64, care: Care| {
        let mut call = call(5, outcome, 0, 60_000);
        (call.left_behind, call.source) = (left, CallSource::Offline);
        call.segments = vec![queued("sakura", 60_000 - waited, 60_000, "left")];
        let counters =
            Counters::of_call(&CallFacts::of(&call, &[], Neighbours::default()).unwrap().with_care(care));
        assert!(counters.is_consistent() && counters.offline == 1);
        (counters.voice, counters.callbacks, counters.callbacks_reached, counters.cared)
    };
    let (voice, callback) = (Some(LeftBehind::VoiceMessage), Some(LeftBehind::Callback));
    assert_eq!(
        counted(Outcome::Overflowed, voice, 9_000, Care { is_reached: false, ..in_time }),
        (1, 0, 0, 1)
    );
    assert_eq!(counted(Outcome::Overflowed, callback, 9_000, in_time), (0, 1, 1, 1));
    assert_eq!(counted(Outcome::Abandoned, callback, 9_000, in_time), (0, 1, 1, 1));
    assert_eq!(counted(Outcome::Overflowed, callback, 9_000, Care::default()), (0, 1, 0, 0));
    // Neither what the formula leaves out below its line, nor what it has above it.
    assert_eq!(counted(Outcome::Closed, callback, 9_000, in_time), (0, 1, 1, 0));
    assert_eq!(counted(Outcome::Abandoned, callback, 5_000, in_time), (0, 1, 1, 0));
    assert_eq!(counted(Outcome::Answered, callback, 9_000, in_time), (0, 1, 1, 0));
    // Nothing was left: what messages say of it is about something else.
    assert_eq!(counted(Outcome::Overflowed, None, 9_000, in_time), (0, 0, 0, 0));
}

#[test]
fn a_call_without_a_queue_waits_from_its_first_ring_or_from_the_offer() {
    let mut call = call(3, Outcome::Abandoned, 0, 8_000);
    assert_eq!(counted(&call, &[]).wait_abandoned_ms, 8_000);
    call.segments = vec![segment("presented", Some("1001"), 5_000, 8_000, Some("caller_gone"))];
    let counters = counted(&call, &[]);
    assert_eq!((counters.wait_abandoned_ms, counters.short, counters.missed), (3_000, 1, 0));
}

#[test]
fn an_outbound_call_counts_nowhere() {
    let mut call = answered();
    call.direction = Direction::Outbound;
    assert_eq!(CallFacts::of(&call, &[], Neighbours::default()), None);
    let input = BinInput { calls: vec![call], ..BinInput::default() };
    assert_eq!(BinStats::of(&input), BinStats::default());
}

fn contact_of(call: &FinishedCall) -> Option<CallerContact> {
    Some(CallerContact {
        call: call.id,
        account: call.account?,
        caller: call.caller.as_ref()?.to_string(),
        offered_ms: call.offered_at.as_millisecond(),
        outcome: call.outcome,
    })
}

fn input_of(calls: &[FinishedCall], all: &[FinishedCall]) -> BinInput {
    let wrap_up = |call: &FinishedCall| (call.id, vec![WrapUpTime { person: SATO, ms: 1_000 }]);
    BinInput {
        calls: calls.to_vec(),
        wrap_ups: calls.iter().filter(|call| call.answered_at.is_some()).map(wrap_up).collect(),
        care: calls.iter().filter_map(|call| Some((call.id, care_of(call)?))).collect(),
        contacts: all.iter().filter_map(contact_of).collect(),
        messages: Vec::new(),
    }
}

/// What became of what the caller left: of every third caller nothing, of another one too late.
fn care_of(call: &FinishedCall) -> Option<Care> {
    let late = call.ended_at.as_millisecond() % 3;
    call.left_behind
        .filter(|_| late < 2)
        .map(|left| Care { is_in_time: late == 0, is_reached: left == LeftBehind::Callback })
}

#[test]
fn a_caller_who_comes_back_marks_both_calls() {
    let lost = call(1, Outcome::Abandoned, 0, 9_000);
    let mut again = answered();
    again.id = call(4, Outcome::Answered, 0, 0).id;
    again.offered_at = at(REPEAT_WINDOW_MS);
    let total = |calls: &[FinishedCall]| BinStats::of(&input_of(calls, calls)).total;
    let both = total(&[lost.clone(), again.clone()]);
    assert_eq!((both.repeat, both.recovered), (1, 1));
    let mut later = again.clone();
    later.offered_at = at(REPEAT_WINDOW_MS + 1);
    let late = total(&[lost.clone(), later]);
    assert_eq!((late.repeat, late.recovered), (0, 0));
    let mut of_another = again.clone();
    of_another.account = Some(account(1));
    let other = total(&[lost.clone(), of_another]);
    assert_eq!((other.repeat, other.recovered), (0, 0));
    let mut hidden = again;
    (hidden.caller, hidden.presentation) = (None, Presentation::Withheld);
    let hidden = total(&[lost, hidden]);
    assert_eq!((hidden.repeat, hidden.recovered, hidden.withheld), (0, 0, 1));
}

#[test]
fn nothing_divided_by_nothing_is_no_figure() {
    for formula in FORMULAS {
        assert_eq!(formula.figure(&Counters::default(), WITHIN_DEFAULT_S).value, None, "{}", formula.id);
        assert_eq!(Formula::with_id(&formula.id.to_lowercase()).map(|one| one.id), Some(formula.id));
    }
    assert!(Formula::with_id("AR").is_none());
}

#[test]
fn the_four_service_levels_differ_in_early_hang_ups() {
    let counters = Counters {
        offered: 110,
        closed: 10,
        answered: 80,
        answered_le_20: 60,
        abandoned: 20,
        abandoned_le_20: 10,
        short: 5,
        repeat: 9,
        withheld_open: 10,
        cared: 8,
        ..Counters::default()
    };
    let figure = |id: &str| Formula::with_id(id).unwrap().figure(&counters, 20).value.unwrap();
    let is = |id: &str, over: f64, under: f64| assert!((figure(id) - over / under).abs() < 1e-12, "{id}");
    is("AR-open", 80.0, 100.0);
    is("AR-all", 80.0, 110.0);
    is("AR-net", 80.0, 95.0);
    is("AR-care", 88.0, 95.0);
    is("SL-ignore", 60.0, 90.0);
    is("SL-negative", 60.0, 100.0);
    is("SL-positive", 70.0, 100.0);
    is("SL-answered", 60.0, 80.0);
    is("AB-net", 15.0, 95.0);
    is("RC", 9.0, 90.0);
    let text = Formula::with_id("SL-ignore").unwrap().text(20);
    assert_eq!(text, "answered_le_20 / (offered - closed - refused - abandoned_le_20)");
}

/// What a formula says beside its figure is what it computes.
#[test]
fn the_text_of_each_formula_names_counters_that_exist() {
    for formula in FORMULAS {
        for within in WITHIN_S {
            let text = formula.text(within);
            let names = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
            for name in names.filter(|name| !name.is_empty()) {
                assert!(Counters::default().get(name).is_some(), "{}: {name}", formula.id);
            }
        }
    }
}

/// The text of a formula, computed from the counters by their names.
fn evaluated(text: &str, counters: &Counters) -> Option<f64> {
    let side = |text: &str| -> i64 {
        let mut sum = 0_i64;
        let mut sign = 1_i64;
        for word in text.trim_matches(|c| matches!(c, '(' | ')' | ' ')).split(' ') {
            match word {
                "+" => sign = 1,
                "-" => sign = -1,
                name => sum += sign * i64::try_from(counters.get(name).unwrap()).unwrap(),
            }
        }
        sum.max(0)
    };
    let (over, under) = text.split_once(" / ").unwrap();
    let under = side(under);
    (under > 0).then(|| side(over) as f64 / under as f64)
}

const OUTCOMES: [Outcome; 9] = [
    Outcome::Answered,
    Outcome::Abandoned,
    Outcome::Overflowed,
    Outcome::Closed,
    Outcome::Blocked,
    Outcome::Refused,
    Outcome::Elsewhere,
    Outcome::Unknown,
    Outcome::Fax,
];

prop_compose! {
    /// A call within two hours, of one of three accounts and four callers, with an outcome and segments.
    fn any_call(n: u32)(
        outcome in prop::sample::select(&OUTCOMES[..]),
        offered in 0_i64..7_200_000,
        waits in 0_i64..200_000,
        talks in 0_i64..300_000,
        hold in (0_i64..300_000, 0_i64..300_000),
        of in 0_u128..4,
        caller in 0_u32..5,
        inferred in any::<bool>(),
        queue in prop::option::of(0_i64..3_000),
        leaves in any::<bool>(),
        tried in 0_usize..3,
        left in prop::option::of(prop::sample::select(&[LeftBehind::VoiceMessage, LeftBehind::Callback][..])),
        is_offline in any::<bool>(),
    ) -> FinishedCall {
        let mut call = call(n, outcome, offered, offered + waits);
        call.left_behind = left;
        call.source = if is_offline { CallSource::Offline } else { CallSource::Seen };
        call.account = (of < 3).then(|| account(of));
        (call.caller, call.presentation) = match caller {
            4 => (None, Presentation::Withheld),
            n => (Some(format!("+8190{n}").into()), Presentation::Allowed),
        };
        call.inferred = inferred;
        if let Some(queue) = queue {
            let result = if outcome == Outcome::Answered { "connected" } else if leaves { "left" } else { "abandoned" };
            call.segments.push(queued(if leaves { "q1" } else { "q2" }, offered + queue, offered + waits.max(queue), result));
        }
        if outcome == Outcome::Answered {
            let from = offered + waits;
            call.answered_at = Some(at(from));
            call.ended_at = at(from + talks);
            call.operators = vec![Extension::parse("1001").unwrap()];
            call.handled_by = Some(vec![if leaves { SATO } else { SUZUKI }]);
            call.segments.push(segment("presented", Some("1001"), offered, from, Some("answered")));
            call.segments.push(segment("talking", Some("1001"), from, from + talks, None));
            let (a, b) = (from + hold.0.min(hold.1), from + hold.0.max(hold.1));
            call.segments.push(segment("held", Some("1001"), a, b, None));
            for n in 0..tried {
                let result = if n == 1 { "answered" } else { "no_answer" };
                call.segments.push(segment("transfer", Some("1001"), from, from, Some(result)));
            }
        }
        call
    }
}

fn any_history() -> impl Strategy<Value = Vec<FinishedCall>> {
    (0_u32..12).prop_flat_map(|calls| (0..calls).map(any_call).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Each call has one outcome; a bin is the sum of its parts and of its calls in any order; people's work adds up to the
    /// accounts'; every formula computes what its text says.
    #[test]
    fn figures_of_a_history_do_not_depend_on_order_or_division(
        history in any_history(),
        order in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = BinStats::of(&input_of(&history, &history));
        prop_assert!(whole.total.is_consistent());
        prop_assert_eq!(whole.total.calls(), history.len() as u64);
        let counted = |is: &dyn Fn(&FinishedCall) -> bool| {
            history.iter().filter(|call| call.outcome != Outcome::Fax && is(call)).count() as u64
        };
        let left = |what| counted(&|call| call.left_behind == Some(what));
        prop_assert_eq!(whole.total.voice, left(LeftBehind::VoiceMessage));
        prop_assert_eq!(whole.total.callbacks, left(LeftBehind::Callback));
        prop_assert_eq!(whole.total.offline, counted(&|call| call.source == CallSource::Offline));
        let faxes = history.iter().filter(|call| call.outcome == Outcome::Fax).count() as u64;
        prop_assert_eq!(whole.total.fax, faxes);
        let mut rotated = history.clone();
        if !rotated.is_empty() {
            let by = order.index(rotated.len());
            rotated.rotate_left(by);
            rotated.reverse();
        }
        prop_assert_eq!(&BinStats::of(&input_of(&rotated, &rotated)), &whole);
        let at = cut.index(history.len() + 1);
        let voice: Vec<_> = history.iter().filter(|call| call.outcome != Outcome::Fax).cloned().collect();
        let voice = BinStats::of(&input_of(&voice, &history)).total;
        prop_assert_eq!(Counters { fax: faxes, ..voice }, whole.total.clone());
        let mut parts = BinStats::of(&input_of(&history[..at], &history));
        parts.add(&BinStats::of(&input_of(&history[at..], &history)));
        prop_assert_eq!(&parts, &whole);

        let mut accounts = Counters::default();
        whole.accounts.values().for_each(|counters| {
            assert!(counters.is_consistent());
            accounts.add(counters);
        });
        prop_assert_eq!(&accounts, &whole.total);
        let queued: u64 = whole.queues.values().map(|counters| counters.offered).sum();
        prop_assert_eq!(queued, whole.total.queued);
        let mut work = Counters::default();
        whole.operators.values().for_each(|counters| work.add(counters));
        prop_assert_eq!(
            (work.parts, work.talk_ms, work.hold_ms, work.wrap_ms, work.transfers_tried, work.transfers_reached),
            (whole.total.parts, whole.total.talk_ms, whole.total.hold_ms, whole.total.wrap_ms,
                whole.total.transfers_tried, whole.total.transfers_reached)
        );
        let stored = serde_json::to_string(&whole.total).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Counters>(&stored).unwrap(), &whole.total);
        for formula in FORMULAS {
            for within in WITHIN_S {
                let value = formula.figure(&whole.total, within).value;
                prop_assert_eq!(value, evaluated(&formula.text(within), &whole.total), "{}", formula.id);
                if formula.unit == Unit::Ratio {
                    prop_assert!(value.is_none_or(|value| (0.0..=1.0).contains(&value)), "{} {:?}", formula.id, value);
                }
            }
        }
    }

    /// A bin begins at a quarter of an hour, also before 1970.
    #[test]
    fn each_time_is_in_one_bin(ms in -10_000_000_i64..10_000_000) {
        let start = start_of_bin(ms);
        prop_assert!(start <= ms && ms < start + BIN_MS && start % BIN_MS == 0);
    }
}
