//! What a script that can be read does wrong for its account.

use std::collections::BTreeSet;

use jiff::civil::Date;
use smol_str::SmolStr;

use super::condition::{Test, When};
use super::model::{
    FINDINGS_MAX, Field, FieldType, Finding, Place, Required, Script, Set, Severity, Step, To,
};
use super::talk::{Placeholder, Talk, short};
use crate::contract::message::Privacy;
use crate::numbers::{Number, NumberPlan};

/// Most questions that must be answered for one reason before the caller is kept too long.
const REQUIRED_FIELDS_USUAL: usize = 8;
/// To whom a caller may be transferred besides the contacts.
const ON_CALL: &str = "on-call";

/// What is known of the account of a script.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Its code.
    pub code: String,
    /// The codes of its contacts.
    pub contacts: Vec<String>,
    /// The keys of the numbers by which its calls are found.
    pub numbers: Vec<SmolStr>,
    /// Whether it has hours.
    pub has_hours: bool,
}

/// What is wrong with `script` for `account` on `today`, in the order of the text.
#[must_use]
pub fn check(script: &Script, account: &Account, today: Date, plan: &NumberPlan) -> Vec<Finding> {
    let mut findings = Vec::new();
    of_account(script, account, today, plan, &mut findings);
    contacts(script, account, &mut findings);
    questions(script, &mut findings);
    for reason in &script.reasons {
        of_reason(script, Some((&reason.code, reason.place, &reason.set)), &mut findings);
    }
    if script.reasons.is_empty() {
        of_reason(script, None, &mut findings);
    }
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.truncate(FINDINGS_MAX);
    findings
}

fn error(findings: &mut Vec<Finding>, place: Place, reason: String) {
    findings.push(place.finding(Severity::Error, reason));
}

fn warning(findings: &mut Vec<Finding>, place: Place, reason: String) {
    findings.push(place.finding(Severity::Warning, reason));
}

fn of_account(
    script: &Script,
    account: &Account,
    today: Date,
    plan: &NumberPlan,
    findings: &mut Vec<Finding>,
) {
    if let Some(code) = script.account.as_ref().filter(|code| **code != account.code) {
        let reason = format!("the script is for the account {}, and this is {}", short(code), account.code);
        error(findings, script.account_place, reason);
    }
    if script.valid.until.is_some_and(|until| until < today) {
        warning(findings, script.valid_place, "its last day is over: the script is never used".to_owned());
    }
    for (text, place) in script.dialled.iter().zip(&script.dialled_places) {
        let number = Number::read(text, plan);
        if !number.is_some_and(|number| account.numbers.iter().any(|known| known == number.key())) {
            warning(
                findings,
                *place,
                format!("{} is no number of the account: no call of the account comes by it", short(text)),
            );
        }
    }
    if account.has_hours && !script.has_closed_opening() {
        warning(
            findings,
            script.opening_place,
            "the account has hours, and the opening has no closed: the same is said when it is closed"
                .to_owned(),
        );
    }
    let names = |talk: &Talk| talk.names(&Placeholder::NextOpen) || talk.names(&Placeholder::Hours);
    let steps = script.steps.iter().flat_map(|step| [&step.say, &step.hint, &step.stop]).flatten();
    let talks = steps.chain([&script.opening.open]).chain(&script.opening.closed);
    for talk in talks.filter(|talk| !account.has_hours && names(talk)) {
        let reason = "the account has no hours: {next_open} and {hours} stand for a general text";
        warning(findings, talk.place, reason.to_owned());
    }
}

fn contacts(script: &Script, account: &Account, findings: &mut Vec<Finding>) {
    let sets =
        script.reasons.iter().map(|reason| &reason.set).chain(script.steps.iter().map(|step| &step.set));
    for set in sets {
        let is_known = |code: &String| account.contacts.contains(code);
        if let Some(code) = set.contact.as_ref().filter(|code| !is_known(code)) {
            let reason = format!("the account has no contact with the code \"{}\"", short(code));
            error(findings, set.contact_place, reason);
        }
        if let Some(code) = set.transfer_to.as_ref().filter(|code| *code != ON_CALL && !is_known(code)) {
            let reason = format!(
                "the account has no contact with the code \"{}\"; {ON_CALL} is its on-call list",
                short(code)
            );
            error(findings, set.transfer_place, reason);
        }
    }
}

fn questions(script: &Script, findings: &mut Vec<Finding>) {
    for (step, field) in script.fields() {
        if field.sensitive && field.to.is_none() && script.privacy == Privacy::Full {
            let reason = format!("\"{}\" is sensitive, and privacy = \"full\" sends every answer", field.id);
            warning(findings, field.place, reason);
        }
        let must = field.required == Required::Yes;
        if must && let Some(why) = never_shown(script, step) {
            warning(
                findings,
                field.place,
                format!("\"{}\" must be answered and is never asked: {why}", field.id),
            );
        }
    }
    let mut targets: Vec<(To, &Step, &Field)> = Vec::new();
    for (step, field) in script.fields() {
        let Some(to) = field.to else { continue };
        let other = targets.iter().find(|(known, before, _)| {
            *known == to
                && step.when == When::default()
                && before.when == When::default()
                && overlap(before, step)
        });
        if let Some((_, _, first)) = other {
            let reason =
                format!("the answers of \"{}\" and \"{}\" both go to {}", first.id, field.id, to.as_str());
            warning(findings, field.place, reason);
        }
        targets.push((to, step, field));
    }
}

/// Whether two steps may be shown for one reason.
fn overlap(one: &Step, other: &Step) -> bool {
    one.reasons.is_empty()
        || other.reasons.is_empty()
        || one.reasons.iter().any(|reason| other.reasons.contains(reason))
}

/// Why a step is never shown: what it waits for is asked for other reasons only.
fn never_shown(script: &Script, step: &Step) -> Option<String> {
    for test in &step.when.tests {
        match test {
            Test::Reason(list)
                if !step.reasons.is_empty() && !list.iter().any(|code| step.reasons.contains(code)) =>
            {
                return Some("its reasons and the reason of its condition differ".to_owned());
            }
            Test::Field(id, _) if !test_holds_unanswered(test) => {
                let asking =
                    script.steps.iter().find(|other| other.fields.iter().any(|field| field.id == *id));
                if asking.is_some_and(|asking| !overlap(asking, step)) {
                    return Some(format!("\"{id}\" is asked for other reasons only"));
                }
            }
            _ => {}
        }
    }
    None
}

fn test_holds_unanswered(test: &Test) -> bool {
    use super::condition::FieldIs;
    matches!(test, Test::Field(_, all) if all.iter().all(|is| *is == FieldIs::Filled(false)))
}

fn of_reason(script: &Script, reason: Option<(&String, Place, &Set)>, findings: &mut Vec<Finding>) {
    let is_for = |step: &&Step| {
        step.reasons.is_empty() || reason.is_some_and(|(code, ..)| step.reasons.contains(code))
    };
    let steps: Vec<&Step> = script.steps.iter().filter(is_for).collect();
    let always = steps.iter().filter(|step| step.when == When::default());
    let required: BTreeSet<&str> = always
        .flat_map(|step| &step.fields)
        .filter(|field| field.required == Required::Yes && field.default.is_none())
        .map(|field| field.id.as_str())
        .collect();
    let place = reason.map_or(script.opening_place, |(_, place, _)| place);
    let name = reason.map_or_else(String::new, |(code, ..)| format!(" for \"{code}\""));
    if required.len() > REQUIRED_FIELDS_USUAL {
        let count = required.len();
        warning(
            findings,
            place,
            format!(
                "{count} questions must be answered{name}; more than {REQUIRED_FIELDS_USUAL} keep the caller too long"
            ),
        );
    }
    let Some((code, place, set)) = reason else { return };
    let names_contact = set.contact.is_some() || set.route.is_some();
    let asks = steps.iter().flat_map(|step| &step.fields).any(|field| field.kind == FieldType::Contact);
    let sets = steps.iter().any(|step| step.set.contact.is_some() || step.set.route.is_some());
    if !names_contact && !asks && !sets {
        let reason = format!(
            "nobody is named for \"{code}\": neither a contact, nor a route, nor a question for the contact"
        );
        warning(findings, place, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::read;

    fn found(toml: &str, account: &Account) -> Vec<(Severity, u32, String)> {
        let script = read(toml).unwrap();
        let findings = check(&script, account, "2026-12-01".parse().unwrap(), &NumberPlan::default());
        findings.into_iter().map(|finding| (finding.severity, finding.line, finding.reason)).collect()
    }

    #[test]
    fn what_does_not_fit_the_account_is_found_with_its_line() {
        let toml = r#"format = 1
account = "B1"
name = "x"
valid = { until = 2026-11-30 }
dialled = ["03-5550-1001", "03-5550-1002"]
opening = { open = "x" }
[[reason]]
code = "a"
label = "a"
contact = "nobody"
transfer_to = "on-call"
[[reason]]
code = "b"
label = "b"
[[step]]
id = "one"
for = ["a"]
ask = [{ id = "q", label = "q", type = "yes_no", sensitive = true }]
[[step]]
id = "two"
for = ["b"]
when = { "f.q" = true }
set = { transfer_to = "gone" }
ask = [{ id = "r", label = "r", type = "text", required = true }]
"#;
        let account = Account {
            code: "A1".into(),
            contacts: vec!["nurse".into()],
            numbers: vec!["+81355501001".into()],
            has_hours: true,
        };
        let expected = [
            (Severity::Error, 2, "the script is for the account B1"),
            (Severity::Warning, 4, "its last day is over"),
            (Severity::Warning, 5, "03-5550-1002 is no number of the account"),
            (Severity::Warning, 6, "the account has hours"),
            (Severity::Error, 10, "the account has no contact with the code \"nobody\""),
            (Severity::Warning, 13, "nobody is named for \"b\""),
            (Severity::Warning, 18, "\"q\" is sensitive"),
            (Severity::Error, 23, "the account has no contact with the code \"gone\""),
            (
                Severity::Warning,
                24,
                "\"r\" must be answered and is never asked: \"q\" is asked for other reasons only",
            ),
        ];
        let found = found(toml, &account);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((severity, line, reason), wanted) in found.iter().zip(expected) {
            assert_eq!((*severity, *line), (wanted.0, wanted.1), "{reason}");
            assert!(reason.starts_with(wanted.2), "{reason}");
        }
    }

    #[test]
    fn what_keeps_the_caller_too_long_is_found() {
        let questions: String = (0..9)
            .map(|n| format!("{{ id = \"q{n}\", label = \"q\", type = \"text\", required = true }},"))
            .collect();
        let toml = format!(
            "format = 1\nname = \"x\"\nopening = {{ open = \"x\" }}\n[[step]]\nid = \"s\"\nask = [{questions}]\n"
        );
        let found = found(&toml, &Account::default());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].2.starts_with("9 questions must be answered"), "{found:?}");
    }
}
