//! Reads `when`. Conditions inside `any` and `not` are reported at the key that holds them.

use toml::Value;

use super::super::condition::{DayIs, FieldIs, Test, When};
use super::super::model::Place;
use super::super::raw::RawWhen;
use super::super::talk::short;
use super::{Reader, read_span};
use crate::contract::hours::Day;
use crate::contract::message::{Action, Mark, Urgency};
use crate::identity::Presentation;

/// How deep `any` and `not` may stand in each other.
const DEPTH_MAX: usize = 4;
/// Most keys of a condition, and most conditions of `any`.
const TESTS_MAX: usize = 20;
/// Most values of a key.
const VALUES_MAX: usize = 50;

const DAYS: [(&str, DayIs); 8] = [
    ("mon", DayIs::On(Day::Mon)),
    ("tue", DayIs::On(Day::Tue)),
    ("wed", DayIs::On(Day::Wed)),
    ("thu", DayIs::On(Day::Thu)),
    ("fri", DayIs::On(Day::Fri)),
    ("sat", DayIs::On(Day::Sat)),
    ("sun", DayIs::On(Day::Sun)),
    ("holiday", DayIs::Off),
];
const CALLERS: [(&str, Presentation); 4] = [
    ("allowed", Presentation::Allowed),
    ("withheld", Presentation::Withheld),
    ("payphone", Presentation::Payphone),
    ("unavailable", Presentation::Unavailable),
];
const KEYS: &str = "reason, hours, day, time, customer, flag, caller, surname, action, urgency, mark, transfer, f.ID, any, not";

impl Reader<'_> {
    pub(super) fn when(&mut self, raw: &RawWhen) -> When {
        let entries: Vec<(String, Value, Place)> = raw
            .get_ref()
            .iter()
            .map(|(key, value)| (key.get_ref().clone(), value.get_ref().clone(), self.at(key.span())))
            .collect();
        self.tests(entries, 1)
    }

    fn nested(&mut self, value: Value, place: Place, depth: usize) -> When {
        match value {
            Value::Table(table) if depth < DEPTH_MAX => {
                self.tests(table.into_iter().map(|(key, value)| (key, value, place)).collect(), depth + 1)
            }
            Value::Table(_) => {
                self.error(place, format!("any and not stand more than {DEPTH_MAX} deep in each other"));
                When::default()
            }
            _ => {
                self.error(place, "any takes a list of conditions and not takes one, each in braces");
                When::default()
            }
        }
    }

    fn tests(&mut self, entries: Vec<(String, Value, Place)>, depth: usize) -> When {
        if let Some((_, _, place)) = entries.first() {
            self.too_many(*place, "keys of one condition", entries.len(), TESTS_MAX);
        }
        let mut tests = Vec::new();
        for (key, value, place) in entries {
            match (key.as_str(), value) {
                ("any", Value::Array(list)) => {
                    self.too_many(place, "conditions of any", list.len(), TESTS_MAX);
                    let list =
                        list.into_iter().map(|value| self.nested(value, place, depth)).collect::<Vec<_>>();
                    if list.is_empty() {
                        self.error(place, "any without a condition never holds");
                    }
                    tests.push(Test::Any(list));
                }
                ("not", value) => tests.push(Test::Not(self.nested(value, place, depth))),
                // An unquoted f.ID is a table of its own.
                ("f", Value::Table(fields)) => {
                    for (id, value) in fields {
                        tests.extend(self.field_test(id, value, place));
                    }
                }
                (key, value) => match key.strip_prefix("f.") {
                    Some(id) => tests.extend(self.field_test(id.to_owned(), value, place)),
                    None => tests.extend(self.test(key, value, place)),
                },
            }
        }
        When { tests }
    }

    fn test(&mut self, key: &str, value: Value, place: Place) -> Option<Test> {
        if !matches!(
            key,
            "reason"
                | "hours"
                | "day"
                | "time"
                | "customer"
                | "flag"
                | "caller"
                | "surname"
                | "action"
                | "urgency"
                | "mark"
                | "transfer"
        ) {
            self.error(place, format!("\"{}\" is no key of a condition: there are {KEYS}", short(key)));
            return None;
        }
        let values = self.values(value, place)?;
        let pairs = |list: &'static [(&'static str, bool)]| list;
        Some(match key {
            "reason" => Test::Reason(values),
            "flag" => Test::Flag(values),
            "hours" => {
                Test::Open(self.each_of(values, place, pairs(&[("open", true), ("closed", false)]))?)
            }
            "customer" => {
                Test::Known(self.each_of(values, place, pairs(&[("known", true), ("new", false)]))?)
            }
            "surname" => Test::CommonSurname(self.each_of(
                values,
                place,
                pairs(&[("common", true), ("other", false)]),
            )?),
            "transfer" => {
                self.each_of(values, place, pairs(&[("failed", true)]))?;
                Test::TransferFailed
            }
            "day" => Test::Day(self.each_of(values, place, &DAYS)?),
            "caller" => Test::Caller(self.each_of(values, place, &CALLERS)?),
            "action" => Test::Action(self.each_word(values, place, Action::ALL, Action::as_str)?),
            "urgency" => Test::Urgency(self.each_word(values, place, Urgency::ALL, Urgency::as_str)?),
            "mark" => Test::Mark(self.each_word(values, place, Mark::ALL, Mark::as_str)?),
            _ => {
                let spans: Vec<_> = values.iter().filter_map(|text| read_span(text)).collect();
                if spans.len() < values.len() {
                    self.error(place, "write a time as 18:00-09:00");
                }
                Test::Time(spans)
            }
        })
    }

    fn field_test(&mut self, id: String, value: Value, place: Place) -> Option<Test> {
        let Value::Table(table) = value else {
            return Some(Test::Field(id, vec![FieldIs::OneOf(self.values(value, place)?)]));
        };
        if table.is_empty() {
            self.error(place, "write { filled = true }, { over = 3 } or { under = 3 }");
        }
        let mut all = Vec::new();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("filled", Value::Boolean(filled)) => all.push(FieldIs::Filled(filled)),
                ("over", Value::Integer(limit)) => all.push(FieldIs::Over(limit)),
                ("under", Value::Integer(limit)) => all.push(FieldIs::Under(limit)),
                _ => self.error(
                    place,
                    "an answer is tested by filled = true or false, over or under = a whole number",
                ),
            }
        }
        Some(Test::Field(id, all))
    }

    /// A value or a list of values, as texts.
    fn values(&mut self, value: Value, place: Place) -> Option<Vec<String>> {
        let list = match value {
            Value::Array(list) => list,
            one => vec![one],
        };
        if list.is_empty() {
            self.error(place, "an empty list never holds");
            return None;
        }
        if self.too_many(place, "values", list.len(), VALUES_MAX) {
            return None;
        }
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Integer(number) => Some(number.to_string()),
            Value::Boolean(yes) => Some(if yes { "yes" } else { "no" }.to_owned()),
            _ => None,
        };
        let texts: Option<Vec<String>> = list.into_iter().map(text).collect();
        if texts.is_none() {
            self.error(place, "a condition takes a text, a whole number, true or false, or a list of them");
        }
        texts
    }

    fn each_of<T: Copy>(&mut self, values: Vec<String>, place: Place, known: &[(&str, T)]) -> Option<Vec<T>> {
        let mut read = Vec::with_capacity(values.len());
        for value in values {
            let Some((_, meaning)) = known.iter().find(|(word, _)| *word == value) else {
                let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
                self.error(place, format!("\"{}\" is none of {}", short(&value), words.join(", ")));
                return None;
            };
            read.push(*meaning);
        }
        Some(read)
    }

    fn each_word<T: Copy>(
        &mut self,
        values: Vec<String>,
        place: Place,
        all: &[T],
        as_str: fn(T) -> &'static str,
    ) -> Option<Vec<T>> {
        let known: Vec<(&str, T)> = all.iter().map(|word| (as_str(*word), *word)).collect();
        self.each_of(values, place, &known)
    }
}
