//! Reads reasons, steps, questions and offers.

use toml::{Spanned, Value};

use super::super::condition::When;
use super::super::model::{
    CHOICES_MAX, FIELDS_MAX, Field, FieldType, LABEL_CHARS_MAX, Level, OFFERS_MAX, OfferKind, OfferTalk,
    Place, REASONS_MAX, Reason, STEPS_MAX, Set, Step, To,
};
use super::super::raw::{RawField, RawOffer, RawReason, RawSet, RawStep, RawWhen, Text};
use super::super::value::{NUMBER_MAX, SEPARATOR};
use super::Reader;
use crate::contract::message::{Action, Gender, Mark, Privacy, Urgency};
use crate::contract::records::NAME_CHARS_MAX;
use crate::numbers::NumberPlan;

impl Reader<'_> {
    pub(super) fn reasons(&mut self, raw: &[RawReason]) -> Vec<Reason> {
        if let Some(last) = raw.get(REASONS_MAX) {
            let place = self.at(last.code.span());
            self.too_many(place, "reasons", raw.len(), REASONS_MAX);
        }
        raw.iter()
            .map(|raw| {
                let place = self.at(raw.code.span());
                let key = raw.key.as_ref().map(|key| {
                    let place = self.at(key.span());
                    if !matches!(key.get_ref().as_bytes(), [b'1'..=b'9']) {
                        self.error(place, "a key is one of the digits 1 to 9");
                    }
                    key.get_ref().clone()
                });
                let set = SetTexts {
                    urgency: &raw.urgency,
                    action: &raw.action,
                    contact: &raw.contact,
                    mark: &raw.mark,
                    route: &raw.route,
                    privacy: &raw.privacy,
                    transfer_to: &raw.transfer_to,
                };
                Reason {
                    code: self.code(&raw.code),
                    label: self.label(&raw.label),
                    key,
                    set: self.set(&set),
                    place,
                }
            })
            .collect()
    }

    fn set(&mut self, raw: &SetTexts<'_>) -> Set {
        fn words<T: Copy>(all: &[T], as_str: fn(T) -> &'static str) -> Vec<&'static str> {
            all.iter().map(|word| as_str(*word)).collect()
        }
        let urgency = words(Urgency::ALL, Urgency::as_str);
        let action = words(Action::ALL, Action::as_str);
        let mark = words(Mark::ALL, Mark::as_str);
        let privacy = words(Privacy::ALL, Privacy::as_str);
        let contact_place = raw.contact.as_ref().map(|text| self.at(text.span())).unwrap_or_default();
        let transfer_place = raw.transfer_to.as_ref().map(|text| self.at(text.span())).unwrap_or_default();
        Set {
            urgency: raw.urgency.as_ref().and_then(|text| self.word(text, Urgency::parse, &urgency)),
            action: raw.action.as_ref().and_then(|text| self.word(text, Action::parse, &action)),
            contact: raw.contact.as_ref().map(|text| self.line(text, NAME_CHARS_MAX)),
            mark: raw.mark.as_ref().and_then(|text| self.word(text, Mark::parse, &mark)),
            route: raw.route.as_ref().map(|text| self.code(text)),
            privacy: raw.privacy.as_ref().and_then(|text| self.word(text, Privacy::parse, &privacy)),
            transfer_to: raw.transfer_to.as_ref().map(|text| self.line(text, NAME_CHARS_MAX)),
            contact_place,
            transfer_place,
        }
    }

    pub(super) fn steps(&mut self, raw: &[RawStep]) -> Vec<Step> {
        if let Some(last) = raw.get(STEPS_MAX) {
            let place = self.at(last.id.span());
            self.too_many(place, "steps", raw.len(), STEPS_MAX);
        }
        let fields: usize = raw.iter().map(|step| step.ask.len()).sum();
        if let Some(last) = raw.iter().flat_map(|step| &step.ask).nth(FIELDS_MAX) {
            let place = self.at(last.id.span());
            self.too_many(place, "questions", fields, FIELDS_MAX);
        }
        raw.iter().take(STEPS_MAX).map(|raw| self.step(raw)).collect()
    }

    fn step(&mut self, raw: &RawStep) -> Step {
        let place = self.at(raw.id.span());
        let RawSet { urgency, action, contact, mark, route, privacy, transfer_to } = &raw.set;
        let set = SetTexts { urgency, action, contact, mark, route, privacy, transfer_to };
        Step {
            id: self.code(&raw.id),
            reasons: raw.reasons.iter().map(|text| text.get_ref().clone()).collect(),
            when: self.optional_when(raw.when.as_ref()),
            level: raw
                .level
                .as_ref()
                .and_then(|text| self.word(text, Level::parse, Level::WORDS))
                .unwrap_or_default(),
            say: raw.say.as_ref().map(|text| self.talk(text)),
            hint: raw.hint.as_ref().map(|text| self.talk(text)),
            stop: raw.stop.as_ref().map(|text| self.talk(text)),
            fields: raw.ask.iter().filter_map(|raw| self.field(raw)).collect(),
            set: self.set(&set),
            place,
        }
    }

    pub(super) fn optional_when(&mut self, raw: Option<&RawWhen>) -> When {
        raw.map(|raw| self.when(raw)).unwrap_or_default()
    }

    fn field(&mut self, raw: &RawField) -> Option<Field> {
        let place = self.at(raw.id.span());
        let kind = self.word(&raw.kind, FieldType::parse, FieldType::WORDS)?;
        let choices = self.choices(raw, kind);
        let to = raw.to.as_ref().and_then(|text| self.word(text, To::parse, To::WORDS));
        let (min, max) = self.limits(raw, kind, to);
        let mut field = Field {
            id: self.code(&raw.id),
            label: self.label(&raw.label),
            kind,
            required: raw.required.0,
            choices,
            min,
            max,
            default: None,
            sensitive: raw.sensitive,
            to,
            place,
        };
        if let (Some(to), Some(text)) = (to, &raw.to) {
            self.target(&field, to, text);
        }
        if let Some(default) = &raw.default {
            field.default = self.default(&field, default);
        }
        Some(field)
    }

    fn choices(&mut self, raw: &RawField, kind: FieldType) -> Vec<String> {
        let place = self.at(raw.kind.span());
        let takes = matches!(kind, FieldType::Choice | FieldType::Choices);
        if takes && raw.choices.is_empty() {
            self.error(place, format!("a question of the type {} needs choices", kind.as_str()));
        } else if !takes && !raw.choices.is_empty() {
            self.error(place, "only the types choice and choices have choices");
        }
        self.too_many(place, "choices", raw.choices.len(), CHOICES_MAX);
        let mut choices: Vec<String> = Vec::new();
        for text in &raw.choices {
            let place = self.at(text.span());
            let choice = self.line(text, LABEL_CHARS_MAX);
            if choices.contains(&choice) {
                self.error(place, format!("\"{choice}\" is there twice"));
            }
            if kind == FieldType::Choices && choice.contains(SEPARATOR) {
                self.error(place, "a choice of the type choices has no 、 in it: it separates them");
            }
            choices.push(choice);
        }
        choices
    }

    fn limits(&mut self, raw: &RawField, kind: FieldType, to: Option<To>) -> (Option<i64>, Option<i64>) {
        let is_number = kind == FieldType::Number;
        let most = if is_number {
            NUMBER_MAX
        } else {
            let of_field = to.map_or(super::super::model::ANSWER_CHARS_MAX, |to| {
                to.chars_max().min(super::super::model::ANSWER_CHARS_MAX)
            });
            i64::try_from(of_field).unwrap_or(NUMBER_MAX)
        };
        let least = if is_number { -NUMBER_MAX } else { 1 };
        for limit in [&raw.min, &raw.max].into_iter().flatten() {
            let place = self.at(limit.span());
            if !is_number && !kind.counts_characters() {
                self.error(place, format!("a question of the type {} has no min and no max", kind.as_str()));
            } else if !(least..=most).contains(limit.get_ref()) {
                self.error(place, format!("from {least} to {most}"));
            }
        }
        let (min, max) =
            (raw.min.as_ref().map(|min| *min.get_ref()), raw.max.as_ref().map(|max| *max.get_ref()));
        if let (Some(least), Some(most), Some(at)) = (min, max, &raw.max)
            && least > most
        {
            let place = self.at(at.span());
            self.error(place, "max is less than min: no answer would fit");
        }
        (min, max)
    }

    fn target(&mut self, field: &Field, to: To, text: &Text) {
        let place = self.at(text.span());
        if !to.types().contains(&field.kind) {
            let types: Vec<&str> = to.types().iter().map(|kind| kind.as_str()).collect();
            self.error(
                place,
                format!(
                    "the answer of a {} question cannot go to {}: {} can",
                    field.kind.as_str(),
                    to.as_str(),
                    types.join(", ")
                ),
            );
        }
        if to == To::FromGender && !field.choices.iter().all(|choice| gender(choice).is_some()) {
            self.error(place, "the choices of from.gender are 男性 and 女性, or male and female");
        }
    }

    fn default(&mut self, field: &Field, raw: &Spanned<Value>) -> Option<String> {
        let place = self.at(raw.span());
        let text = match raw.get_ref() {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            _ => {
                self.error(place, "a default is a text, a whole number, true or false");
                return None;
            }
        };
        match field.canonical(&[text], &NumberPlan::default()) {
            Ok(value) => value.into_iter().next(),
            Err(problem) => {
                self.error(place, format!("this is no answer to the question: {}", problem.describe()));
                None
            }
        }
    }

    pub(super) fn offers(&mut self, raw: &[RawOffer]) -> Vec<OfferTalk> {
        if let Some(last) = raw.get(OFFERS_MAX) {
            let place = self.at(last.id.span());
            self.too_many(place, "offers", raw.len(), OFFERS_MAX);
        }
        let mut offers = Vec::new();
        for raw in raw {
            let id = self.code(&raw.id);
            let when = self.optional_when(raw.when.as_ref());
            let say = self.talk(&raw.say);
            let kind = self.word(&raw.kind, OfferKind::parse, OfferKind::WORDS).unwrap_or(OfferKind::Upsell);
            let reasons = raw.reasons.iter().map(|text| text.get_ref().clone()).collect();
            offers.push(OfferTalk { id, kind, reasons, when, say, once_per_call: raw.once_per_call });
        }
        offers
    }

    /// Names twice what must be there once.
    pub(super) fn unique<'a>(&mut self, what: &str, names: impl Iterator<Item = (&'a str, Place)>) {
        let mut seen = std::collections::BTreeMap::new();
        for (name, place) in names {
            if let Some(first) = seen.insert(name, place) {
                self.error(
                    place,
                    format!("there are two {what} \"{name}\"; the first is in line {}", first.line),
                );
            }
        }
    }
}

/// The texts of defaults, of a reason or of `set`.
struct SetTexts<'a> {
    urgency: &'a Option<Text>,
    action: &'a Option<Text>,
    contact: &'a Option<Text>,
    mark: &'a Option<Text>,
    route: &'a Option<Text>,
    privacy: &'a Option<Text>,
    transfer_to: &'a Option<Text>,
}

/// The gender that a choice names.
pub(in crate::script) fn gender(choice: &str) -> Option<Gender> {
    match choice {
        "男性" | "男" | "male" | "Male" | "m" => Some(Gender::M),
        "女性" | "女" | "female" | "Female" | "f" => Some(Gender::F),
        _ => None,
    }
}
