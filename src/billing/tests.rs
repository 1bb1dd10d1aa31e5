//! Bills by hand: price lists, edges of months, each rule, and corrections; and properties of random months.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use super::*;
use crate::contract::call::{Direction, Outcome};
use crate::contract::history::LeftBehind;
use crate::ids::{CallId, ChannelId, PbxId};

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn call_id(n: usize) -> CallId {
    CallId::derive(&PbxId::parse("osaka-1").unwrap(), &ChannelId::parse(&format!("17{n}.1")).unwrap())
}

/// An answered call with a minute of talk, from a caller of its own.
fn call(n: usize) -> BilledCall {
    BilledCall {
        id: call_id(n),
        direction: Direction::Inbound,
        offered_at: at_ms(1_000_000 + i64::try_from(n).unwrap() * 60_000),
        outcome: Outcome::Answered,
        caller: Some(format!("+8190{n:08}")),
        talk_ms: 60_000,
        transfers_ms: Vec::new(),
        disposition: Some("order".into()),
        messages: 1,
        left_behind: None,
    }
}

fn plan() -> Plan {
    Plan {
        name: "標準".into(),
        base_yen: 1_000,
        include: 1,
        extra: vec![Step { from: 2, to: None, yen: 100 }],
        ..Plan::default()
    }
}

fn why(bill: &Bill) -> Vec<Reason> {
    bill.calls.iter().map(|verdict| verdict.why).collect()
}

fn yen_of(bill: &Bill, kind: LineKind) -> (u64, i64) {
    let lines = || bill.lines.iter().filter(|line| line.kind == kind);
    (lines().map(|line| line.count).sum(), lines().map(|line| line.yen).sum())
}

#[derive(Deserialize)]
struct PriceLists {
    list: Vec<PriceList>,
}

#[derive(Deserialize)]
struct PriceList {
    plan: Plan,
    cases: Vec<(usize, i64)>,
}

#[test]
fn published_price_lists_give_the_amounts_that_were_computed_by_hand() {
    let PriceLists { list } = toml::from_str(include_str!("price_lists.toml")).unwrap();
    assert_eq!(list.len(), 12);
    for PriceList { plan, cases } in list {
        let plan = plan.checked().unwrap();
        for (units, yen) in cases {
            let mut calls: Vec<BilledCall> = (0..units).map(call).collect();
            // What counts nowhere: nobody answered, and no message was taken.
            calls.push(BilledCall { outcome: Outcome::Abandoned, messages: 0, ..call(units) });
            let bill = bill_of(&plan, &calls, Vec::new());
            assert_eq!(bill.yen, yen, "{} {units}: {:?}", plan.name, bill.lines);
        }
    }
}

#[test]
fn the_plan_in_the_documentation_is_one() {
    let page = include_str!("../../docs/billing.md");
    let (_, rest) = page.split_once("```toml plan\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let plan = toml::from_str::<Plan>(text).unwrap().checked().unwrap();
    // It shows every rule.
    let shown = serde_json::to_value(&plan).unwrap();
    let all = ["talk", "transfer", "outbound", "closing_day", "exclude_dispositions"];
    assert!(all.iter().all(|rule| shown.get(rule).is_some()), "{shown}");
}

#[test]
fn each_rule_leaves_its_calls_out() {
    let answered = || call(0);
    let silent = BilledCall { disposition: Some("silent".into()), ..answered() };
    let closed = BilledCall { outcome: Outcome::Closed, disposition: None, ..answered() };
    let lost =
        BilledCall { outcome: Outcome::Abandoned, talk_ms: 0, disposition: None, messages: 0, ..answered() };
    let fax = BilledCall { outcome: Outcome::Fax, ..answered() };
    let brief = BilledCall { talk_ms: 9_999, ..answered() };
    let verdict = |plan: &Plan, call: &BilledCall| {
        let bill = bill_of(plan, std::slice::from_ref(call), Vec::new());
        (bill.calls[0].why, bill.calls[0].units)
    };
    let by = |basis| Plan { basis, exclude_dispositions: vec!["silent".into()], min_talk_s: 10, ..plan() };
    let two = BilledCall { messages: 2, ..answered() };
    for (basis, call, expected) in [
        (Basis::Answered, &two, (Reason::Counted, 1)),
        (Basis::Answered, &silent, (Reason::Disposition, 0)),
        (Basis::Answered, &closed, (Reason::NotAnswered, 0)),
        (Basis::Answered, &lost, (Reason::NotAnswered, 0)),
        (Basis::Answered, &brief, (Reason::ShortTalk, 0)),
        (Basis::Messages, &two, (Reason::Counted, 2)),
        (Basis::Messages, &lost, (Reason::NoMessage, 0)),
        (Basis::OfferedOpen, &lost, (Reason::Counted, 1)),
        (Basis::OfferedOpen, &closed, (Reason::Closed, 0)),
        (Basis::OfferedOpen, &fax, (Reason::NotAnswered, 0)),
        (Basis::OfferedOpen, &silent, (Reason::Disposition, 0)),
    ] {
        assert_eq!(verdict(&by(basis), call), expected, "{basis:?} {call:?}");
    }
}

#[test]
fn a_caller_who_calls_again_at_once_counts_once() {
    let plan = Plan { merge_repeat_s: 60, ..plan() };
    let at = |n: usize, ms: i64| BilledCall {
        offered_at: at_ms(ms),
        caller: Some("+81312345678".into()),
        ..call(n)
    };
    // Within a minute of the one that counts; the fourth is more than that after the first.
    let calls = [at(1, 0), at(2, 60_000), at(3, 60_001), at(4, 100_000)];
    let bill = bill_of(&plan, &calls, Vec::new());
    assert_eq!(why(&bill), [Reason::Counted, Reason::Merged, Reason::Counted, Reason::Merged]);
    assert_eq!(bill.calls[3].merged_with, Some(call_id(3)));
    // A call that is left out merges nothing, and nobody is merged without a number.
    let lost = BilledCall { outcome: Outcome::Abandoned, ..at(1, 0) };
    assert_eq!(why(&bill_of(&plan, &[lost, at(2, 1)], Vec::new())), [Reason::NotAnswered, Reason::Counted]);
    let unknown = |n, ms| BilledCall { caller: None, ..at(n, ms) };
    assert_eq!(why(&bill_of(&plan, &[unknown(1, 0), unknown(2, 1)], Vec::new())), [Reason::Counted; 2]);
}

#[test]
fn long_talk_transfers_and_calls_to_others_cost_what_the_plan_says() {
    let price = |after_s, yen| TimePrice { after_s, round_s: 60, yen };
    let plan = Plan {
        talk: Some(price(180, 30)),
        transfer: Some(TransferPrice { yen: 50, time: Some(price(0, 20)) }),
        outbound: Some(OutboundPrice { yen: 100 }),
        voice_message: Some(VoiceMessagePrice { yen: 30 }),
        ..plan()
    };
    let talk = |n, talk_ms| BilledCall { talk_ms, ..call(n) };
    let out = |n, outcome| BilledCall { direction: Direction::Outbound, outcome, ..call(n) };
    let calls = [
        talk(0, 180_000),
        talk(1, 180_001),
        BilledCall { transfers_ms: vec![60_000, 60_001], ..talk(2, 300_000) },
        // Not billed as a call, but its transfer was made.
        BilledCall { outcome: Outcome::Elsewhere, transfers_ms: vec![1], ..talk(3, 900_000) },
        out(4, Outcome::Answered),
        out(5, Outcome::Abandoned),
        // A voice message costs outside the hours, too; a request to be called back is no voice message.
        BilledCall { outcome: Outcome::Closed, left_behind: Some(LeftBehind::VoiceMessage), ..call(6) },
        BilledCall { outcome: Outcome::Overflowed, left_behind: Some(LeftBehind::Callback), ..call(7) },
    ];
    let bill = bill_of(&plan, &calls, Vec::new());
    assert_eq!(yen_of(&bill, LineKind::Talk), (1 + 2, 90));
    assert_eq!(yen_of(&bill, LineKind::Transfer), (3, 150));
    assert_eq!(yen_of(&bill, LineKind::TransferTime), (1 + 2 + 1, 80));
    assert_eq!(yen_of(&bill, LineKind::Outbound), (1, 100));
    assert_eq!(yen_of(&bill, LineKind::Extra), (2, 200));
    assert_eq!(yen_of(&bill, LineKind::VoiceMessage), (1, 30));
    assert_eq!(bill.yen, 1_000 + 200 + 90 + 150 + 80 + 100 + 30);
    // The recording is found after the bill was closed.
    let mut before = calls.to_vec();
    before[6].left_behind = None;
    let closed = bill_of(&plan, &before, Vec::new());
    let correction = correction_of("2026-10", &closed, &calls, 0).unwrap();
    assert_eq!((correction.yen, correction.calls.len(), correction.calls[0].call), (30, 1, call_id(6)));
    let without = Plan { voice_message: None, ..plan };
    assert_eq!(bill_of(&without, &calls, Vec::new()).yen, bill.yen - 30);
}

#[test]
fn a_month_ends_at_midnight_after_its_closing_day() {
    let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
    for (month, closing_day, from, to) in [
        ("2026-11", None, "2026-11-01T00:00:00+09:00", "2026-12-01T00:00:00+09:00"),
        ("2026-11", Some(20), "2026-10-21T00:00:00+09:00", "2026-11-21T00:00:00+09:00"),
        ("2028-02", None, "2028-02-01T00:00:00+09:00", "2028-03-01T00:00:00+09:00"),
        ("2027-03", Some(28), "2027-03-01T00:00:00+09:00", "2027-03-29T00:00:00+09:00"),
        ("2027-01", Some(20), "2026-12-21T00:00:00+09:00", "2027-01-21T00:00:00+09:00"),
    ] {
        let month: BillingMonth = month.parse().unwrap();
        assert_eq!(month.time(closing_day, &tokyo), (from.parse().unwrap(), to.parse().unwrap()), "{month}");
    }
    // Months follow each other without a gap.
    let month: BillingMonth = "2027-03".parse().unwrap();
    for closing_day in [None, Some(1), Some(28)] {
        assert_eq!(month.before().time(closing_day, &tokyo).1, month.time(closing_day, &tokyo).0);
    }
    for text in ["2026-13", "2026-1", "2026-11-01", "1970-01", "", "２０２６-11"] {
        assert!(text.parse::<BillingMonth>().is_err(), "{text}");
    }
}

#[test]
fn a_plan_without_a_price_for_some_call_is_refused_with_what_to_write() {
    let step = |from, to, yen| Step { from, to, yen };
    let refused = |plan: Plan| plan.checked().unwrap_err().to_string();
    for (extra, text) in [
        (vec![step(3, None, 1)], "extra[0].from: must be 2"),
        (vec![step(2, Some(9), 1)], "extra[0].to: leave it out"),
        (vec![step(2, None, 1), step(9, None, 1)], "extra[0]: give the step its last call"),
        (vec![step(2, Some(1), 1)], "extra[0].to: 2 to"),
        (vec![step(2, Some(9), 1), step(11, None, 1)], "extra[1].from: must be 10"),
        (vec![step(2, None, 10_000_001)], "extra[0].yen"),
    ] {
        let error = refused(Plan { extra, ..plan() });
        assert!(error.starts_with(text), "{error}");
    }
    assert!(refused(Plan { name: " ".into(), ..plan() }).starts_with("name"));
    assert!(refused(Plan { closing_day: Some(29), ..plan() }).starts_with("closing_day"));
    let talk = Some(TimePrice { after_s: 0, round_s: 0, yen: 1 });
    assert!(refused(Plan { talk, ..plan() }).starts_with("talk"));
    assert!(Plan { extra: Vec::new(), ..plan() }.checked().is_ok());
}

#[test]
fn a_closed_month_is_corrected_by_the_difference_once() {
    let plan = Plan { exclude_dispositions: vec!["silent".into()], merge_repeat_s: 60, ..plan() };
    let again = BilledCall {
        caller: call(1).caller,
        offered_at: at_ms(call(1).offered_at.as_millisecond() + 1),
        ..call(9)
    };
    let calls = vec![call(0), call(1), again, call(2)];
    let closed = bill_of(&plan, &calls, Vec::new());
    assert_eq!(closed.yen, 1_000 + 200);
    assert_eq!(correction_of("2026-10", &closed, &calls, 0), None);
    // Numbers that retention or a deletion removed change nothing.
    let mut erased = calls.clone();
    erased.iter_mut().for_each(|call| call.caller = None);
    assert_eq!(correction_of("2026-10", &closed, &erased, 0), None);
    let mut changed = calls;
    changed[0].disposition = Some("silent".into());
    changed.push(call(5));
    changed.push(call(6));
    let correction = correction_of("2026-10", &closed, &changed, 0).unwrap();
    assert_eq!(correction.yen, 100);
    let verdicts: Vec<_> = correction.calls.iter().map(|one| (one.call, one.before, one.now)).collect();
    assert_eq!(
        verdicts,
        [
            (call_id(0), Some(Reason::Counted), Some(Reason::Disposition)),
            (call_id(5), None, Some(Reason::Counted)),
            (call_id(6), None, Some(Reason::Counted)),
        ]
    );
    assert_eq!(correction_of("2026-10", &closed, &changed, 100), None);
    let next = bill_of(&plan, &[], vec![correction]);
    assert_eq!((next.yen, yen_of(&next, LineKind::Correction)), (1_100, (3, 100)));
    // Back as it was, what was added is taken off.
    let back = correction_of("2026-10", &closed, &[call(0), call(1), call(2)], 100).unwrap();
    assert_eq!(back.yen, -100);
}

#[test]
fn half_of_the_calls_without_a_disposition_are_said() {
    let with_exclusions = Plan { exclude_dispositions: vec!["silent".into()], ..plan() };
    let without = BilledCall { disposition: None, ..call(1) };
    assert_eq!(
        bill_of(&with_exclusions, &[call(0), without.clone()], Vec::new()).warnings,
        [Warning::FewDispositions]
    );
    assert_eq!(bill_of(&with_exclusions, &[call(0), call(2), without.clone()], Vec::new()).warnings, []);
    assert_eq!(bill_of(&plan(), &[without], Vec::new()).warnings, []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Order is irrelevant; each inbound call has one verdict; the sum is that of the lines; units are paid once.
    #[test]
    fn a_bill_is_the_sum_of_its_calls_in_any_order(
        kinds in prop::collection::vec((0_usize..4, 0_i64..200_000, 0_usize..5, 0_u64..400_000), 0..60),
        include in 0_u32..20,
        merge_repeat_s in 0_u32..100,
        seed in any::<u64>(),
    ) {
        let calls: Vec<BilledCall> = kinds.iter().enumerate().map(|(n, (kind, at, caller, talk_ms))| BilledCall {
            outcome: [Outcome::Answered, Outcome::Abandoned, Outcome::Closed, Outcome::Answered][*kind],
            disposition: (*kind == 3).then(|| "silent".into()),
            offered_at: at_ms(*at),
            caller: (*caller > 0).then(|| format!("+8190{caller}")),
            talk_ms: *talk_ms,
            ..call(n)
        }).collect();
        let plan = Plan {
            include,
            merge_repeat_s,
            exclude_dispositions: vec!["silent".into()],
            extra: vec![Step { from: include + 1, to: Some(include + 3), yen: 7 }, Step { from: include + 4, to: None, yen: 11 }],
            ..plan()
        };
        let bill = bill_of(&plan, &calls, Vec::new());
        let mut shuffled = calls.clone();
        shuffled.sort_by_key(|call| Uuid::new_v5(&Uuid::from_u128(u128::from(seed)), call.id.uuid().as_bytes()));
        prop_assert_eq!(&bill_of(&plan, &shuffled, Vec::new()), &bill);
        prop_assert_eq!(bill.calls.len(), calls.len());
        prop_assert_eq!(bill.counts.values().sum::<u64>(), calls.len() as u64);
        prop_assert_eq!(bill.yen, bill.lines.iter().map(|line| line.yen).sum::<i64>());
        let units: u64 = bill.calls.iter().map(|verdict| verdict.units).sum();
        prop_assert_eq!(yen_of(&bill, LineKind::Included).0 + yen_of(&bill, LineKind::Extra).0, units);
        let over = units.saturating_sub(u64::from(include));
        prop_assert_eq!(yen_of(&bill, LineKind::Extra).1, i64::try_from(over.min(3) * 7 + over.saturating_sub(3) * 11).unwrap());
        let stored: Bill = serde_json::from_str(&serde_json::to_string(&bill).unwrap()).unwrap();
        prop_assert_eq!(&stored, &bill);
        prop_assert_eq!(correction_of("2026-10", &stored, &shuffled, 0), None);
    }
}
