//! Reads a script: TOML to [`Script`], with every mistake at its line and column.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the head of a script, and what all parts share |
//! | `form.rs` | reasons, steps, questions, offers |
//! | `condition.rs` | `when` |
//! | `references.rs` | what names something else: reasons, questions, choices |
//!
//! Invariant: a script that is read has no reference that leads nowhere, no question that is asked twice, and no condition
//! on a question that is asked later, so evaluation needs no second pass.

mod condition;
mod form;
mod references;

use std::ops::Range;

use jiff::civil::{Date, Time};
use toml::Spanned;
use toml::value::Datetime;

pub(super) use form::gender;

use super::model::{
    CODE_CHARS_MAX, Closing, DIALLED_MAX, FINDINGS_MAX, Finding, Greeting, LABEL_CHARS_MAX, Language,
    NameForm, OPENINGS_MAX, Opening, Place, SCRIPT_BYTES_MAX, Script, Severity, TALK_CHARS_MAX, Validity,
};
use super::raw::{RawClosing, RawGreeting, RawOpening, RawScript, RawValid, Text};
use super::talk::{Talk, short, unprintable};
use crate::contract::message::{Action, Privacy};
use crate::identity::printable;
use crate::numbers::{Number, NumberPlan};

/// The only format that there is.
const FORMAT: i64 = 1;
/// Longest message of the TOML reader, in characters. It may quote the text.
const SYNTAX_CHARS_MAX: usize = 300;

/// Reads a script.
///
/// # Errors
/// Every mistake that was found, in the order of the text; up to 50.
pub fn read(text: &str) -> Result<Script, Vec<Finding>> {
    let start = Place { line: 1, column: 1 };
    if text.len() > SCRIPT_BYTES_MAX {
        let reason = format!("the script has {} bytes; at most {SCRIPT_BYTES_MAX}", text.len());
        return Err(vec![start.finding(Severity::Error, reason)]);
    }
    let raw: RawScript = toml::from_str(text).map_err(|error| {
        let place = error.span().map_or(start, |span| Place::of(text, span.start));
        let reason = printable(&error.message().replace('\n', " "), SYNTAX_CHARS_MAX);
        vec![place.finding(Severity::Error, reason.unwrap_or_default())]
    })?;
    let mut reader = Reader { text, findings: Vec::new() };
    let script = reader.script(&raw);
    let mut findings = reader.findings;
    if findings.is_empty() {
        return Ok(script);
    }
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.truncate(FINDINGS_MAX);
    Err(findings)
}

/// Reads the parts of a script and collects the mistakes. Where there is one, the part is read as something harmless.
#[derive(Debug)]
struct Reader<'t> {
    text: &'t str,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn at(&self, span: Range<usize>) -> Place {
        Place::of(self.text, span.start)
    }

    fn error(&mut self, place: Place, reason: impl Into<String>) {
        // More than are named, so that those with the first lines are among them.
        if self.findings.len() < 10 * FINDINGS_MAX {
            self.findings.push(place.finding(Severity::Error, reason));
        }
    }

    fn too_many(&mut self, place: Place, what: &str, count: usize, max: usize) -> bool {
        if count > max {
            self.error(place, format!("{count} {what}; at most {max}"));
        }
        count > max
    }

    /// A line of text.
    fn line(&mut self, text: &Text, chars_max: usize) -> String {
        let place = self.at(text.span());
        let value = text.get_ref().trim();
        if value.is_empty() {
            self.error(place, "must not be empty");
        } else if let Some(bad) = unprintable(value, false) {
            self.error(
                place,
                format!("has the character {bad}, which cannot be shown in one line; remove it"),
            );
        } else if value.chars().count() > chars_max {
            self.error(place, format!("longer than {chars_max} characters"));
        }
        value.to_owned()
    }

    fn label(&mut self, text: &Text) -> String {
        self.line(text, LABEL_CHARS_MAX)
    }

    fn code(&mut self, text: &Text) -> String {
        let value = text.get_ref();
        let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        if value.is_empty() || value.len() > CODE_CHARS_MAX || !value.chars().all(is_code) {
            let place = self.at(text.span());
            let shown = short(value);
            self.error(
                place,
                format!("\"{shown}\" is no code: up to {CODE_CHARS_MAX} characters of a-z, 0-9, '_' and '-'"),
            );
        }
        value.clone()
    }

    /// One of some words.
    fn word<T: Copy>(&mut self, text: &Text, parse: fn(&str) -> Option<T>, words: &[&str]) -> Option<T> {
        let known = parse(text.get_ref());
        if known.is_none() {
            let place = self.at(text.span());
            self.error(place, format!("\"{}\" is none of {}", short(text.get_ref()), words.join(", ")));
        }
        known
    }

    fn talk(&mut self, text: &Text) -> Talk {
        let place = self.at(text.span());
        let value = text.get_ref().trim();
        if value.is_empty() {
            self.error(place, "must not be empty; leave it out");
        } else if let Some(bad) = unprintable(value, true) {
            self.error(place, format!("has the character {bad}, which cannot be shown; remove it"));
        } else if value.chars().count() > TALK_CHARS_MAX {
            self.error(
                place,
                format!("longer than {TALK_CHARS_MAX} characters: nobody says so much at once"),
            );
        }
        Talk::read(value, place).unwrap_or_else(|reason| {
            self.error(place, reason);
            Talk::default()
        })
    }

    fn script(&mut self, raw: &RawScript) -> Script {
        if *raw.format.get_ref() != FORMAT {
            let place = self.at(raw.format.span());
            self.error(place, format!("format {} is unknown; write format = {FORMAT}", raw.format.get_ref()));
        }
        let reasons = self.reasons(&raw.reason);
        let steps = self.steps(&raw.step);
        let offers = self.offers(&raw.offer);
        let words: Vec<&str> = Privacy::ALL.iter().map(|privacy| privacy.as_str()).collect();
        let privacy = raw.privacy.as_ref().and_then(|text| self.word(text, Privacy::parse, &words));
        let language =
            raw.language.as_ref().and_then(|text| self.word(text, Language::parse, Language::WORDS));
        let name_form =
            raw.name_form.as_ref().and_then(|text| self.word(text, NameForm::parse, NameForm::WORDS));
        let (dialled, dialled_places) = self.dialled(&raw.dialled);
        let place =
            |text: &Option<Text>| text.as_ref().map_or(Place { line: 1, column: 1 }, |t| self.at(t.span()));
        let account_place = place(&raw.account);
        let valid_place =
            raw.valid.as_ref().map_or(Place { line: 1, column: 1 }, |valid| self.at(valid.span()));
        let script = Script {
            account: raw
                .account
                .as_ref()
                .map(|text| self.line(text, crate::contract::records::NAME_CHARS_MAX)),
            name: self.label(&raw.name),
            language: language.unwrap_or_default(),
            message_required: raw.message_required,
            privacy: privacy.unwrap_or_default(),
            name_form: name_form.unwrap_or_default(),
            valid: raw.valid.as_ref().map(|valid| self.valid(valid)).unwrap_or_default(),
            dialled,
            dialled_places,
            account_place,
            valid_place,
            opening_place: self.at(raw.opening.open.span()),
            greeting: raw.greeting.as_ref().map(|greeting| self.greeting(greeting)).unwrap_or_default(),
            opening: self.opening(&raw.opening),
            closing: raw.closing.as_ref().map(|closing| self.closing(closing)).unwrap_or_default(),
            reasons,
            steps,
            offers,
        };
        self.references(&script, raw);
        script
    }

    fn valid(&mut self, raw: &Spanned<RawValid>) -> Validity {
        let from = raw.get_ref().from.as_ref().and_then(|day| self.day(day));
        let until = raw.get_ref().until.as_ref().and_then(|day| self.day(day));
        if from.zip(until).is_some_and(|(from, until)| until < from) {
            let place = self.at(raw.span());
            self.error(place, "until is before from: the script would never be used");
        }
        Validity { from, until }
    }

    fn day(&mut self, raw: &Spanned<Datetime>) -> Option<Date> {
        let value = raw.get_ref();
        let day = value.date.filter(|_| value.time.is_none() && value.offset.is_none());
        let day = day.and_then(|day| {
            let (year, month) = (i16::try_from(day.year).ok()?, i8::try_from(day.month).ok()?);
            Date::new(year, month, i8::try_from(day.day).ok()?).ok()
        });
        if day.is_none() {
            let place = self.at(raw.span());
            self.error(place, "write a day without a time, for instance 2026-12-01");
        }
        day
    }

    fn dialled(&mut self, raw: &[Text]) -> (Vec<String>, Vec<Place>) {
        if let Some(first) = raw.first() {
            let place = self.at(first.span());
            self.too_many(place, "numbers", raw.len(), DIALLED_MAX);
        }
        let mut numbers = Vec::new();
        for text in raw {
            let place = self.at(text.span());
            let number = self.line(text, LABEL_CHARS_MAX);
            // Only whether it is a number: the installation's plan decides which.
            if !number.is_empty() && Number::read(&number, &NumberPlan::default()).is_none() {
                self.error(place, format!("\"{}\" is not a telephone number", short(&number)));
            }
            numbers.push((number, place));
        }
        numbers.into_iter().unzip()
    }

    fn greeting(&mut self, raw: &RawGreeting) -> Greeting {
        if let Some(first) = raw.by_time.first() {
            let place = self.at(first.time.span());
            self.too_many(place, "greetings", raw.by_time.len(), OPENINGS_MAX);
        }
        let mut by_time = Vec::new();
        for greeting in &raw.by_time {
            let say = self.line(&greeting.say, TALK_CHARS_MAX);
            if let Some((from, to)) = self.span_of_day(&greeting.time) {
                by_time.push((from, to, say));
            }
        }
        Greeting { by_time, say: raw.say.as_ref().map(|text| self.line(text, TALK_CHARS_MAX)) }
    }

    /// `18:00-09:00`
    fn span_of_day(&mut self, text: &Text) -> Option<(Time, Time)> {
        let span = read_span(text.get_ref());
        if span.is_none() {
            let place = self.at(text.span());
            self.error(
                place,
                format!("\"{}\" is no span of a day: write 18:00-09:00", short(text.get_ref())),
            );
        }
        span
    }

    fn opening(&mut self, raw: &RawOpening) -> Opening {
        let place = self.at(raw.open.span());
        self.too_many(place, "special openings", raw.special.len(), OPENINGS_MAX);
        let mut special = Vec::new();
        for one in &raw.special {
            let when = self.when(&one.when);
            special.push((when, self.talk(&one.say)));
        }
        Opening {
            open: self.talk(&raw.open),
            closed: raw.closed.as_ref().map(|text| self.talk(text)),
            special,
        }
    }

    fn closing(&mut self, raw: &RawClosing) -> Closing {
        let words: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let mut by_action = Vec::new();
        for (action, say) in &raw.by_action {
            let talk = self.talk(say);
            if let Some(action) = self.word(action, Action::parse, &words) {
                by_action.push((action, talk));
            }
        }
        Closing { say: raw.say.as_ref().map(|text| self.talk(text)), by_action }
    }
}

/// `18:00-09:00`
fn read_span(text: &str) -> Option<(Time, Time)> {
    let clock = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let is_number = |text: &str| matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
        let (hour, minute) = (Some(hour).filter(|t| is_number(t))?, Some(minute).filter(|t| is_number(t))?);
        let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
        Time::new(if (hour, minute) == (24, 0) { 0 } else { hour }, minute, 0, 0).ok()
    };
    let (from, to) = text.split_once('-')?;
    Some((clock(from)?, clock(to)?))
}

#[cfg(test)]
pub(super) use tests::SAMPLES;
#[cfg(test)]
mod tests;
