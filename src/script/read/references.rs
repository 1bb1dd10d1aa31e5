//! Checks what names something else in a script.

use std::collections::{BTreeMap, BTreeSet};

use super::super::condition::{FieldIs, Test, When};
use super::super::model::{Field, FieldType, Place, REASON, Script};
use super::super::raw::{RawScript, RawWhen, Text};
use super::super::talk::{Talk, short};
use super::Reader;

impl Reader<'_> {
    pub(super) fn references(&mut self, script: &Script, raw: &RawScript) {
        self.unique(
            "reasons with the code",
            script.reasons.iter().map(|reason| (reason.code.as_str(), reason.place)),
        );
        let keys = script.reasons.iter().filter_map(|reason| Some((reason.key.as_deref()?, reason.place)));
        self.unique("reasons with the key", keys);
        self.unique("steps with the id", script.steps.iter().map(|step| (step.id.as_str(), step.place)));
        for (_, field) in script.fields().filter(|(_, field)| field.id == REASON) {
            self.error(field.place, "the id reason is taken: it is the question for the reason");
        }
        self.unique(
            "questions with the id",
            script.fields().map(|(_, field)| (field.id.as_str(), field.place)),
        );
        let offers: Vec<(String, Place)> =
            raw.offer.iter().map(|offer| (offer.id.get_ref().clone(), self.at(offer.id.span()))).collect();
        self.unique("offers with the id", offers.iter().map(|(id, place)| (id.as_str(), *place)));

        let codes: BTreeSet<&str> = script.reasons.iter().map(|reason| reason.code.as_str()).collect();
        let steps = raw.step.iter().flat_map(|step| &step.reasons);
        for text in steps.chain(raw.offer.iter().flat_map(|offer| &offer.reasons)) {
            self.reason(text, &codes);
        }
        self.openings(script, raw);
        let fields: BTreeMap<&str, &Field> =
            script.fields().map(|(_, field)| (field.id.as_str(), field)).collect();
        let mut earlier: BTreeSet<&str> = BTreeSet::new();
        for (step, raw) in script.steps.iter().zip(&raw.step) {
            if let Some(raw) = &raw.when {
                self.condition(&step.when, raw, &codes, &fields, Some(&earlier));
            }
            for talk in [&step.say, &step.hint, &step.stop].into_iter().flatten() {
                self.questions_of(talk, &fields);
            }
            earlier.extend(step.fields.iter().map(|field| field.id.as_str()));
        }
        for (offer, raw) in script.offers.iter().zip(&raw.offer) {
            if let Some(raw) = &raw.when {
                self.condition(&offer.when, raw, &codes, &fields, None);
            }
            self.questions_of(&offer.say, &fields);
        }
        let closing = script.closing.by_action.iter().map(|(_, talk)| talk);
        for talk in script.closing.say.iter().chain(closing) {
            self.questions_of(talk, &fields);
        }
    }

    fn reason(&mut self, text: &Text, codes: &BTreeSet<&str>) {
        if !codes.contains(text.get_ref().as_str()) {
            let place = self.at(text.span());
            self.error(place, format!("there is no reason with the code \"{}\"", short(text.get_ref())));
        }
    }

    /// An opening is said before anybody has asked anything.
    fn openings(&mut self, script: &Script, raw: &RawScript) {
        for ((when, _), raw) in script.opening.special.iter().zip(&raw.opening.special) {
            let mut is_later = false;
            when.each(&mut |test| {
                is_later |= matches!(
                    test,
                    Test::Reason(_)
                        | Test::Action(_)
                        | Test::Urgency(_)
                        | Test::Mark(_)
                        | Test::CommonSurname(_)
                        | Test::Field(..)
                );
            });
            if is_later {
                let place = self.at(raw.when.span());
                self.error(
                    place,
                    "an opening is said first: its condition has only hours, day, time, customer, flag, caller, transfer, any and not",
                );
            }
        }
        let special = script.opening.special.iter().map(|(_, talk)| talk);
        let openings: Vec<&Talk> =
            special.chain([&script.opening.open]).chain(&script.opening.closed).collect();
        for talk in openings {
            if talk.fields().next().is_some() {
                self.error(talk.place, "an opening is said before the questions: it cannot name an answer");
            }
        }
    }

    fn questions_of(&mut self, talk: &Talk, fields: &BTreeMap<&str, &Field>) {
        for id in talk.fields() {
            if !fields.contains_key(id) {
                self.error(
                    talk.place,
                    format!("{{f.{0}}}: there is no question with the id \"{0}\"", short(id)),
                );
            }
        }
    }

    fn condition(
        &mut self,
        when: &When,
        raw: &RawWhen,
        codes: &BTreeSet<&str>,
        fields: &BTreeMap<&str, &Field>,
        earlier: Option<&BTreeSet<&str>>,
    ) {
        let mut mistakes = Vec::new();
        when.each(&mut |test| match test {
            Test::Reason(list) => {
                let unknown = list.iter().filter(|code| !codes.contains(code.as_str()));
                let mistake = |code: &String| {
                    (Some("reason".to_owned()), format!("there is no reason with the code \"{}\"", short(code)))
                };
                mistakes.extend(unknown.map(mistake));
            }
            Test::Field(id, all) => {
                let key = Some(format!("f.{id}"));
                match fields.get(id.as_str()) {
                    None => mistakes.push((key, format!("there is no question with the id \"{}\"", short(id)))),
                    Some(_) if earlier.is_some_and(|earlier| !earlier.contains(id.as_str())) => mistakes.push((
                        key,
                        format!("the question \"{id}\" is asked in this step or later; move this step behind it"),
                    )),
                    Some(field) => {
                        mistakes.extend(all.iter().filter_map(|is| misfit(field, is)).map(|why| (key.clone(), why)));
                    }
                }
            }
            _ => {}
        });
        for (key, mistake) in mistakes {
            // An unquoted f.ID stands under f.
            let is_key = |known: &&Text| Some(known.get_ref()) == key.as_ref() || known.get_ref() == "f";
            let key = raw.get_ref().keys().find(is_key);
            let place = self.at(key.map_or_else(|| raw.span(), toml::Spanned::span));
            self.error(place, mistake);
        }
    }
}

/// Why no answer to `field` is ever so.
fn misfit(field: &Field, is: &FieldIs) -> Option<String> {
    match is {
        FieldIs::Over(_) | FieldIs::Under(_) if field.kind != FieldType::Number => Some(format!(
            "over and under compare numbers, and \"{}\" is a {} question",
            field.id,
            field.kind.as_str()
        )),
        FieldIs::OneOf(list) => {
            let never = |value: &&String| match field.kind {
                FieldType::Choice | FieldType::Choices => !field.choices.contains(value),
                FieldType::YesNo => !matches!(value.as_str(), "yes" | "no"),
                FieldType::Number => value.parse::<i64>().is_err(),
                _ => false,
            };
            list.iter().find(never).map(|value| {
                let offered = if field.choices.is_empty() {
                    String::new()
                } else {
                    format!(": {}", field.choices.join(", "))
                };
                format!("\"{}\" is no answer to \"{}\"{offered}", short(value), field.id)
            })
        }
        _ => None,
    }
}
