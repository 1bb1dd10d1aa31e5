use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::contract::hours::Hours;
use crate::identity::Presentation;
use crate::script::condition::Caller;
use crate::script::read::SAMPLES;
use crate::script::{built_in, read};

fn facts(at: &str) -> Facts {
    Facts {
        hours: Hours::read("月-金 09:00-18:00; 土 09:00-12:00; 休 2026-11-23").unwrap(),
        company: "ひばり歯科".into(),
        operator: Some("佐藤".into()),
        common_surnames: vec!["サトウ".into()],
        ..Facts::at(at.parse().unwrap(), TimeZone::get("Asia/Tokyo").unwrap())
    }
}

/// Monday, 11:00.
const OPEN: &str = "2026-11-30T11:00:00+09:00";
/// Friday, 19:00; it opens on Saturday.
const CLOSED: &str = "2026-11-27T19:00:00+09:00";

fn answers(reason: &str, values: &[(&str, &str)]) -> Answers {
    let values = values.iter().map(|(id, text)| ((*id).to_owned(), vec![(*text).to_owned()]));
    Answers { reason: Some(reason.to_owned()), values: values.collect(), ..Answers::default() }
}

fn form(sample: usize, at: &str, answers: &Answers) -> Form {
    evaluate(&read(SAMPLES[sample].1).unwrap(), &facts(at), answers, &NumberPlan::default())
}

fn steps(form: &Form) -> Vec<&str> {
    form.steps.iter().map(|step| step.id.as_str()).collect()
}

fn missing(form: &Form) -> Vec<&str> {
    form.missing.iter().map(|missing| missing.id.as_str()).collect()
}

#[test]
fn the_opening_follows_the_time_of_day_and_the_hours() {
    for (at, expected) in [
        (OPEN, "お電話ありがとうございます。ひばり歯科、受付の佐藤です。"),
        ("2026-11-30T09:30:00+09:00", "おはようございます。ひばり歯科、受付の佐藤です。"),
        ("2026-11-30T17:00:00+09:00", "こんばんは。ひばり歯科、受付の佐藤です。"),
        (
            CLOSED,
            "お電話ありがとうございます。ひばり歯科の時間外受付です。ただいま診療時間外です。次は明日9時に開きます。",
        ),
        (
            "2026-11-28T13:00:00+09:00",
            "お電話ありがとうございます。ひばり歯科の時間外受付です。ただいま診療時間外です。次は11月30日（月）9時に開きます。",
        ),
        (
            "2026-11-30T08:59:00+09:00",
            "お電話ありがとうございます。ひばり歯科の時間外受付です。ただいま診療時間外です。次は本日9時に開きます。",
        ),
        (
            "2026-11-23T11:00:00+09:00",
            "お電話ありがとうございます。ひばり歯科です。本日はお休みをいただいております。痛みやけがのご相談でしょうか。",
        ),
    ] {
        assert_eq!(form(0, at, &Answers::default()).opening, expected, "{at}");
    }
    // The greeting of a script that has none of its own.
    for (at, greeting) in [
        ("2026-11-30T09:59:00+09:00", "おはようございます"),
        ("2026-11-30T10:29:00+09:00", "おはようございます"),
        ("2026-11-30T10:30:00+09:00", "お電話ありがとうございます"),
        ("2026-11-30T17:59:00+09:00", "お電話ありがとうございます"),
    ] {
        assert!(form(1, at, &Answers::default()).opening.starts_with(greeting), "{at}");
    }
    let unnamed = Facts { operator: None, ..facts(OPEN) };
    let opening = opening(&read(SAMPLES[0].1).unwrap(), &unnamed);
    assert_eq!(opening, "お電話ありがとうございます。ひばり歯科、受付の{operator}です。");
}

#[test]
fn reasons_and_answers_show_and_hide_steps() {
    let first = form(0, OPEN, &Answers::default());
    assert_eq!(steps(&first), [""; 0]);
    assert_eq!(
        first.missing,
        [Missing { id: "reason".into(), label: "用件".into(), soft: true, problem: None }]
    );
    assert_eq!(
        first.reasons.iter().map(|r| r.code.as_str()).collect::<Vec<_>>(),
        ["pain", "visit", "trader"]
    );

    let visit = form(0, OPEN, &answers("visit", &[("first", "yes"), ("name", "さとう はな")]));
    assert_eq!(steps(&visit), ["person", "kind", "first", "wish"]);
    assert_eq!(visit.steps[2].say.as_deref(), Some("サトウ　ハナ様、保険証をお持ちください。"));
    assert_eq!(missing(&visit), ["birth", "card", "phone", "wish"]);
    assert!(visit.missing[1].soft && !visit.missing[0].soft);
    assert_eq!(visit.defaults.action, Some(Action::ToldOnly));

    let danger = form(0, OPEN, &answers("pain", &[("signs", "出血が止まらない")]));
    assert_eq!(steps(&danger), ["signs", "emergency", "person", "what"]);
    assert_eq!(danger.steps[1].level, Level::Danger);
    assert_eq!(danger.steps[1].stop.as_deref(), Some("当番の歯科医へつなぐ。"));
    let defaults = Defaults {
        urgency: Some(Urgency::Urgent),
        action: Some(Action::CallBack),
        contact: Some("dentist".into()),
        mark: None,
        route: Some("emergency".into()),
        privacy: Privacy::Notice,
        transfer_to: Some("on-call".into()),
    };
    assert_eq!(danger.defaults, defaults);
    assert_eq!(danger.closing, "歯科医からお電話いたします。佐藤が伺いました。どうぞお大事に。");

    let night = form(0, CLOSED, &answers("pain", &[("signs", "発熱")]));
    assert_eq!(steps(&night), ["signs", "person", "what", "later"]);
    assert_eq!(steps(&form(0, OPEN, &answers("pain", &[("signs", "発熱")]))), ["signs", "person", "what"]);
}

#[test]
fn an_answer_to_a_question_that_is_not_asked_counts_for_nothing() {
    // The first visit was asked about, and then the reason changed.
    let changed = form(0, OPEN, &answers("pain", &[("first", "yes"), ("signs", "腫れ")]));
    assert_eq!(steps(&changed), ["signs", "person", "what"]);
    let unknown = form(0, OPEN, &answers("none", &[("signs", "腫れ")]));
    assert_eq!((unknown.reason.as_deref(), steps(&unknown).len()), (None, 0));
}

#[test]
fn an_answer_that_is_no_answer_is_named() {
    let wrong = form(
        0,
        OPEN,
        &answers("pain", &[("signs", "頭痛"), ("birth", "昨日"), ("name", "佐藤"), ("card", "0")]),
    );
    let problems: Vec<_> = wrong.missing.iter().map(|m| (m.id.as_str(), m.problem)).collect();
    let expected = [
        ("signs", Some(ValueProblem::NotAChoice)),
        ("name", Some(ValueProblem::NotKana)),
        ("birth", Some(ValueProblem::NotADate)),
        ("card", Some(ValueProblem::TooShort)),
        ("phone", None),
        ("what", None),
    ];
    assert_eq!(problems, expected);
    assert_eq!(wrong.steps[1].fields[0].problem, Some(ValueProblem::NotKana));
}

#[test]
fn common_surnames_withheld_numbers_and_flags_ask_more() {
    let common = form(1, OPEN, &answers("mandate", &[("name", "ｻﾄｳ")]));
    assert_eq!(steps(&common), ["silence", "person", "gender", "lawyer", "what"]);
    let rare = form(1, OPEN, &answers("mandate", &[("name", "アマミヤ")]));
    assert_eq!(steps(&rare), ["silence", "person", "lawyer", "what"]);
    let script = read(SAMPLES[1].1).unwrap();
    for (presentation, is_known, flags, shown) in [
        (Presentation::Payphone, false, vec![], true),
        (Presentation::Allowed, false, vec!["claim".to_owned()], true),
        (Presentation::Allowed, true, vec!["claim".to_owned()], false),
        (Presentation::Allowed, false, vec![], false),
    ] {
        let facts = Facts { caller: Caller { presentation, is_known, flags }, ..facts(OPEN) };
        let form = evaluate(&script, &facts, &answers("mandate", &[]), &NumberPlan::default());
        assert_eq!(steps(&form).contains(&"withheld"), shown, "{:?}", facts.caller);
    }
    let named = Answers { contact_name: Some("柳".into()), ..answers("mandate", &[]) };
    assert_eq!(form(1, OPEN, &named).closing, "柳へ必ず伝えます。佐藤が伺いました。");
}

#[test]
fn one_offer_at_a_time_after_the_questions_and_none_to_a_complaint() {
    let done = [
        ("kana", "アマミヤ"),
        ("kanji", "雨宮"),
        ("phone", "03-5550-1001"),
        ("postal", "1000001"),
        ("address", "東京都"),
        ("item", "玉露"),
        ("bags", "2"),
        ("pay", "代引"),
    ];
    let mut all = answers("order", &done[..7]);
    assert_eq!(form(2, OPEN, &all).offer, None, "the payment is open");
    all = answers("order", &done);
    let offer = form(2, OPEN, &all).offer.unwrap();
    assert_eq!((offer.id.as_str(), offer.kind), ("subscription", OfferKind::Upsell));
    all.offers.insert("subscription".into());
    let offer = form(2, OPEN, &all).offer.unwrap();
    assert_eq!((offer.id.as_str(), offer.say.as_str()), ("teapot", "玉露に合う急須もございます。"));
    let script = read(SAMPLES[2].1).unwrap();
    let again = Facts { offered: vec!["teapot".into(), "subscription".into()], ..facts(OPEN) };
    assert_eq!(
        evaluate(&script, &again, &all, &NumberPlan::default()).offer,
        None,
        "it was made in this call"
    );
    all.mark = Some(Mark::Complaint);
    assert_eq!(form(2, OPEN, &all).offer, None);
    // One bag, which is the default: there is nothing to sell more of.
    let one = answers("order", &[done[0], done[1], done[2], done[3], done[4], ("item", "番茶"), done[7]]);
    assert_eq!((missing(&form(2, OPEN, &one)), form(2, OPEN, &one).offer), (vec![], None));
}

#[test]
fn the_built_in_script_asks_as_before() {
    let form = evaluate(built_in(), &facts(OPEN), &Answers::default(), &NumberPlan::default());
    assert_eq!(form.opening, "お電話ありがとうございます。ひばり歯科でございます。");
    assert_eq!(missing(&form), ["text"]);
    assert!(!form.message_required);
}

#[test]
fn english_is_spoken_in_english() {
    let text = "format = 1\nname = \"x\"\nlanguage = \"en\"\n[opening]\nopen = \"{greeting}, {company}, {operator} speaking.\"\nclosed = \"We open {next_open}.\"\n";
    let script = read(text).unwrap();
    let say = |at| evaluate(&script, &facts(at), &Answers::default(), &NumberPlan::default()).opening;
    assert_eq!(say("2026-11-30T09:30:00+09:00"), "Good morning, ひばり歯科, 佐藤 speaking.");
    assert_eq!(say(CLOSED), "We open tomorrow at 9:00.");
    assert_eq!(say("2026-11-28T13:00:00+09:00"), "We open Monday, November 30 at 9:00.");
}

/// Ids and answers that the samples have, and others.
fn any_answers() -> impl Strategy<Value = Answers> {
    let ids: Vec<String> = SAMPLES
        .iter()
        .flat_map(|(_, text)| {
            let script = read(text).unwrap();
            script.fields().map(|(_, field)| field.id.clone()).collect::<Vec<_>>()
        })
        .collect();
    let values = prop_oneof![
        "\\PC{0,20}",
        "[0-9-]{1,12}",
        Just("yes".to_owned()),
        Just("玉露".to_owned()),
        Just("どれもない".to_owned()),
        Just("サトウ".to_owned()),
        Just("2026-12-01".to_owned()),
        "[\\x00-\\x7f]{0,4000}"
    ];
    let entries = proptest::collection::btree_map(
        proptest::sample::select(ids),
        proptest::collection::vec(values, 0..3),
        0..12,
    );
    let reasons = proptest::option::of(proptest::sample::select(vec![
        "pain", "visit", "trader", "mandate", "advice", "office", "order", "claim", "x",
    ]));
    let mark = proptest::option::of(Just(Mark::Complaint));
    (reasons, entries, mark).prop_map(|(reason, values, mark)| Answers {
        reason: reason.map(str::to_owned),
        values,
        mark,
        ..Answers::default()
    })
}

proptest! {
    /// Total: any answers at any time make a form; the same ones the same form; what is not shown changes nothing; a
    /// question that must be answered is missing or has a valid answer; there is no offer while it is missing.
    #[test]
    fn any_answers_make_a_form(which in 0..3usize, second in 1_700_000_000i64..1_900_000_000, answers in any_answers()) {
        let script = read(SAMPLES[which].1).unwrap();
        let at = Timestamp::from_second(second).unwrap();
        let facts = Facts { at, ..facts(OPEN) };
        let plan = NumberPlan::default();
        let Evaluated { form, shown, values } = evaluated(&script, &facts, &answers, &plan);
        prop_assert_eq!(&evaluate(&script, &facts, &answers, &plan), &form);
        prop_assert!(form.closing.chars().count() < 10_000);

        let asked: BTreeSet<&str> = shown.iter().map(|field| field.id.as_str()).collect();
        // The name decides whether the surname is common, also when its question is not shown.
        let is_kept = |id: &String| asked.contains(id.as_str()) || script.field(id).is_some_and(|f| f.to == Some(To::FromName));
        let mut fewer = answers.clone();
        fewer.values.retain(|id, _| is_kept(id));
        prop_assert_eq!(&evaluate(&script, &facts, &fewer, &plan), &form);

        for field in &shown {
            let is_missing = form.missing.iter().any(|missing| missing.id == field.id);
            prop_assert!(field.required != Required::Yes || is_missing != values.contains_key(&field.id));
            if let Some(value) = values.get(&field.id) {
                prop_assert_eq!(field.canonical(value, &plan), Ok(value.clone()));
            }
        }
        prop_assert!(form.offer.is_none() || form.missing.iter().all(|missing| missing.soft));
    }
}
