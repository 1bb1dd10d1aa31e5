use proptest::prelude::*;

use super::*;
use crate::script::model::{FIELDS_MAX, REASONS_MAX, built_in};

const HEAD: &str = "format = 1\nname = \"x\"\nopening = { open = \"x\" }\n";

/// The mistakes of a text, as `line:column reason`.
fn mistakes(text: &str) -> Vec<String> {
    let findings = read(text).expect_err(text);
    findings.into_iter().map(|f| format!("{}:{} {}", f.line, f.column, f.reason)).collect()
}

/// The samples of three trades.
pub(in crate::script) const SAMPLES: [(&str, &str); 3] = [
    ("dentist", include_str!("../../../tests/samples/scripts/dentist.toml")),
    ("notary", include_str!("../../../tests/samples/scripts/notary.toml")),
    ("tea-shop", include_str!("../../../tests/samples/scripts/tea-shop.toml")),
];

#[test]
fn the_samples_are_read() {
    for (name, text) in SAMPLES {
        let script = read(text).unwrap_or_else(|findings| panic!("{name}: {findings:#?}"));
        assert!(script.account.is_some() && script.steps.len() > 5, "{name}");
    }
    let dentist = read(SAMPLES[0].1).unwrap();
    assert_eq!(dentist.valid.from, Some("2026-01-01".parse().unwrap()));
    assert_eq!(dentist.reasons[2].set.urgency, Some(crate::contract::message::Urgency::Low));
    assert_eq!(dentist.field("card").map(|field| (field.min, field.max)), Some((Some(1), Some(99_999))));
    assert!(!built_in().message_required);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_column() {
    for (text, place) in [
        (format!("{HEAD}colour = \"red\"\n"), "4:1 "),
        (format!("{HEAD}[[reason]]\ncode = \"a\"\nlabel = \"a\"\nkeys = \"1\"\n"), "7:1 "),
        (
            format!(
                "{HEAD}[[step]]\nid = \"a\"\nask = [\n  {{ id = \"q\", label = \"q\", type = \"text\", requierd = true }},\n]\n"
            ),
            "7:43 ",
        ),
        (format!("{HEAD}[[step]]\nid = \"a\"\nwhen = {{ hours = \"open\", weather = \"rain\" }}\n"), "6:26 "),
        (format!("{HEAD}[[step]]\nid = \"a\"\nset = {{ colour = \"red\" }}\n"), "6:9 "),
    ] {
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(place), "{place}: {found:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_mistake_is_named_at_its_place() {
    let step = |rest: &str| format!("{HEAD}[[step]]\nid = \"a\"\n{rest}\n");
    let ask = |field: &str| step(&format!("ask = [{{ id = \"q\", label = \"q\", {field} }}]"));
    let next = |when: &str| {
        format!(
            "{}[[step]]\nid = \"b\"\nwhen = {when}\n",
            ask("type = \"choice\", choices = [\"甲\", \"乙\"]")
        )
    };
    for (text, expected) in [
        (String::new(), "missing field"),
        ("format = 2\nname = \"x\"\nopening = { open = \"x\" }".to_owned(), "1:10 format 2 is unknown"),
        ("format = 1\nname = \"\"\nopening = { open = \"x\" }".to_owned(), "2:8 must not be empty"),
        (
            format!("format = 1\nname = \"{}\"\nopening = {{ open = \"x\" }}", "あ".repeat(10_000)),
            "2:8 longer than 60",
        ),
        (
            format!("format = 1\nname = \"x\"\nopening = {{ open = \"{}\" }}", "あ".repeat(10_000)),
            "3:20 longer than 1000",
        ),
        (
            "format = 1\nname = \"x\\u202Ey\"\nopening = { open = \"x\" }".to_owned(),
            "2:8 has the character U+202E",
        ),
        (
            "format = 1\nname = \"x\"\nopening = { open = \"x\\u0000\" }".to_owned(),
            "3:20 has the character U+0000",
        ),
        (
            "format = 1\nname = \"x\"\nopening = { open = \"{opertor}\" }".to_owned(),
            "3:20 {opertor} is no placeholder",
        ),
        (
            "format = 1\nname = \"x\"\nopening = { open = \"{f.x}\" }".to_owned(),
            "3:20 an opening is said before",
        ),
        (format!("{HEAD}valid = {{ from = 2026-12-02, until = 2026-12-01 }}"), "4:9 until is before from"),
        (format!("{HEAD}valid = {{ from = 2026-12-02T10:00:00 }}"), "4:18 write a day without a time"),
        (format!("{HEAD}dialled = [\"内線\"]"), "4:12 \"内線\" is not a telephone number"),
        (format!("{HEAD}language = \"fr\""), "4:12 \"fr\" is none of ja, en"),
        (format!("{HEAD}privacy = \"none\""), "4:11 \"none\" is none of full, notice"),
        (format!("{HEAD}[[reason]]\ncode = \"A b\"\nlabel = \"a\""), "5:8 \"A b\" is no code"),
        (
            format!("{HEAD}[[reason]]\ncode = \"a\"\nlabel = \"a\"\nkey = \"12\""),
            "7:7 a key is one of the digits",
        ),
        (format!("{HEAD}{0}{0}", "[[reason]]\ncode = \"a\"\nlabel = \"a\"\n"), "8:8 there are two reasons"),
        (step("for = [\"b\"]"), "6:8 there is no reason with the code \"b\""),
        (step("say = \"{f.none}\""), "6:7 {f.none}: there is no question"),
        (step("when = { time = \"9-18\" }"), "6:10 write a time as 18:00-09:00"),
        (step("when = { day = [] }"), "6:10 an empty list never holds"),
        (step("when = { any = [] }"), "6:10 any without a condition"),
        (step("when = { any = \"x\" }"), "6:10 \"any\" is no key"),
        (step("when = { not = [] }"), "6:10 any takes a list of conditions"),
        (step("when = { hours = 1.5 }"), "6:10 a condition takes a text"),
        (step("when = { hours = \"late\" }"), "6:10 \"late\" is none of open, closed"),
        (
            step("when = { \"f.q\" = \"x\" }\nask = [{ id = \"q\", label = \"q\", type = \"text\" }]"),
            "6:10 the question \"q\" is asked in this step or later",
        ),
        (step("when = { f.none = true }"), "6:10 there is no question with the id \"none\""),
        (next("{ \"f.q\" = \"丙\" }"), "9:10 \"丙\" is no answer to \"q\": 甲, 乙"),
        (next("{ \"f.q\" = { over = 1 } }"), "9:10 over and under compare numbers"),
        (next("{ \"f.q\" = { more = 1 } }"), "9:10 an answer is tested by"),
        (next("{ not = { \"f.q\" = \"丙\" } }"), "\"丙\" is no answer"),
        (ask("type = \"colour\""), "\"colour\" is none of kana, name"),
        (ask("type = \"choice\""), "needs choices"),
        (ask("type = \"text\", choices = [\"a\"]"), "only the types choice and choices"),
        (ask("type = \"choice\", choices = [\"a\", \"a\"]"), "\"a\" is there twice"),
        (ask("type = \"choices\", choices = [\"a、b\"]"), "has no 、"),
        (ask("type = \"text\", min = 3, max = 2"), "max is less than min"),
        (ask("type = \"text\", max = 1001"), "from 1 to 1000"),
        (ask("type = \"date\", max = 3"), "has no min and no max"),
        (ask("type = \"text\", to = \"from.number\""), "cannot go to from.number: phone can"),
        (ask("type = \"text\", to = \"taken_by\""), "\"taken_by\" is none of from.name"),
        (ask("type = \"choice\", choices = [\"A\"], to = \"from.gender\""), "the choices of from.gender"),
        (ask("type = \"number\", max = 3, default = 4"), "it is longer or larger than max"),
        (ask("type = \"text\", required = \"maybe\""), "true, false or \"soft\""),
        (
            format!(
                "{HEAD}[[step]]\nid = \"a\"\nask = [{{ id = \"reason\", label = \"q\", type = \"text\" }}]"
            ),
            "the id reason is taken",
        ),
        (format!("{HEAD}[[step]]\nid = \"a\"\n[[step]]\nid = \"a\"\n"), "7:6 there are two steps"),
        (format!("{HEAD}[[opening.special]]\n"), "4:"),
        (
            format!("{HEAD}[[offer]]\nid = \"a\"\nkind = \"gift\"\nsay = \"x\"\n"),
            "6:8 \"gift\" is none of upsell",
        ),
    ] {
        let found = mistakes(&text);
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn an_opening_asks_nothing() {
    let text = "format = 1\nname = \"x\"\n[opening]\nopen = \"x\"\n[[opening.special]]\nwhen = { urgency = \"urgent\" }\nsay = \"x\"\n";
    assert!(mistakes(text)[0].starts_with("6:8 an opening is said first"));
}

#[test]
fn sizes_have_limits() {
    let reasons: String =
        (0..=REASONS_MAX).map(|n| format!("[[reason]]\ncode = \"r{n}\"\nlabel = \"x\"\n")).collect();
    assert!(mistakes(&format!("{HEAD}{reasons}"))[0].contains("21 reasons; at most 20"));
    let fields: String =
        (0..=FIELDS_MAX).map(|n| format!("{{ id = \"q{n}\", label = \"x\", type = \"text\" }},\n")).collect();
    assert!(
        mistakes(&format!("{HEAD}[[step]]\nid = \"a\"\nask = [{fields}]\n"))[0]
            .contains("61 questions; at most 60")
    );
    let long = format!("{HEAD}# {}", "x".repeat(SCRIPT_BYTES_MAX));
    assert!(mistakes(&long)[0].contains("bytes; at most 65536"));
    // Nothing is quoted at length, and not every mistake is named.
    let many: String =
        (0..1_000).map(|_| format!("[[reason]]\ncode = \"{}\"\nlabel = \"\"\n", "X".repeat(30))).collect();
    let found = mistakes(&format!("{HEAD}{many}"));
    assert!(found.len() == FINDINGS_MAX && found.iter().all(|mistake| mistake.len() < 300), "{found:?}");
}

#[test]
fn deep_nesting_is_refused() {
    let nested = |depth: usize| {
        let when = format!("{}{{ hours = \"open\" }}{}", "{ not = ".repeat(depth), " }".repeat(depth));
        format!("{HEAD}[[step]]\nid = \"a\"\nwhen = {when}\n")
    };
    assert!(read(&nested(3)).is_ok());
    assert!(mistakes(&nested(4))[0].contains("more than 4 deep"));
    assert!(read(&nested(5_000)).is_err());
    assert!(read(&format!("{HEAD}x = {}", "[".repeat(60_000))).is_err());
    assert!(read(&format!("{HEAD}x = {}1{}", "{ a = ".repeat(9_000), "}".repeat(9_000))).is_err());
}

#[test]
fn html_is_text() {
    let text = format!("{HEAD}[[step]]\nid = \"a\"\nsay = \"<script>alert(1)</script>\"\n");
    let script = read(&text).unwrap();
    assert_eq!(
        script.steps[0].say.as_ref().map(|talk| talk.filled(|_| String::new())).as_deref(),
        Some("<script>alert(1)</script>")
    );
}

proptest! {
    /// Whatever is written, it is read or refused with places that are in the text.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        if let Err(findings) = read(&text) {
            prop_assert!(!findings.is_empty());
            let lines = u32::try_from(text.matches('\n').count() + 1).unwrap();
            prop_assert!(findings.iter().all(|f| f.line >= 1 && f.line <= lines && f.column >= 1));
        }
    }

    /// A sample with a piece replaced is read or refused, and never takes the reader down.
    #[test]
    fn a_broken_sample_is_read_or_refused(which in 0..3usize, at in 0..4_000usize, length in 0..40usize, piece in "[\\PC\n]{0,12}") {
        let sample = SAMPLES[which].1;
        let chars: Vec<char> = sample.chars().collect();
        let at = at.min(chars.len());
        let end = (at + length).min(chars.len());
        let text: String = chars[..at].iter().copied().chain(piece.chars()).chain(chars[end..].iter().copied()).collect();
        if let Err(findings) = read(&text) {
            prop_assert!(!findings.is_empty() && findings.len() <= FINDINGS_MAX);
        }
    }
}
