//! Fuzzes scripts with any text: nothing panics, every mistake has a place, and a script that is read makes the same form
//! twice, whatever the answers.
//!
//! The input is split at a zero byte: the script, then answers of `id` and `value` at a line each.

#![no_main]

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use toritsugi::numbers::NumberPlan;
use toritsugi::script::{Account, Answers, Facts, check, evaluate, read};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (body, answers) = text.split_once('\0').unwrap_or((&text, ""));
    let plan = NumberPlan::default();
    let script = match read(body) {
        Ok(script) => script,
        Err(findings) => {
            assert!(!findings.is_empty() && findings.iter().all(|found| found.line > 0 && found.column > 0));
            return;
        }
    };
    let facts = Facts::at(Timestamp::UNIX_EPOCH, TimeZone::UTC);
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut lines = answers.lines();
    while let (Some(id), Some(value)) = (lines.next(), lines.next()) {
        values.entry(id.to_owned()).or_default().push(value.to_owned());
    }
    let reason = values.get("reason").and_then(|value| value.first()).cloned();
    let answers = Answers { reason, values, ..Answers::default() };
    let form = evaluate(&script, &facts, &answers, &plan);
    assert_eq!(evaluate(&script, &facts, &answers, &plan), form);
    let _ = check(&script, &Account::default(), jiff::civil::Date::constant(2026, 1, 1), &plan);
});
