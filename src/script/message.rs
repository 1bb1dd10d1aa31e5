//! A message held against its script: what must be asked was asked, and the script decides which answers are sensitive.
//!
//! An answer whose question has a `to` stands in that field of the message, every other one in `answers`.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::Facts;
use super::evaluate::{Answers, Evaluated, Missing, evaluated};
use super::model::{Field, FieldType, Script, To};
use super::value::SEPARATOR;
use crate::contract::message::{Gender, MessageFields, ScriptAnswer};
use crate::numbers::NumberPlan;

/// Why a message does not fit its script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageProblem {
    /// Something that is named by the message is not in the script.
    Unknown(String),
    /// Questions without a valid answer.
    Incomplete(Vec<Missing>),
}

/// Holds a message against its script, and writes its answers in their form: label, form and sensitivity are the
/// script's. Answers to questions that are not shown are dropped.
///
/// # Errors
/// The reason, an answer or an offer is not in the script; or questions that must be answered are not.
pub fn hold(
    script: &Script,
    facts: &Facts,
    mut fields: MessageFields,
    plan: &NumberPlan,
) -> Result<MessageFields, MessageProblem> {
    if let Some(code) = fields.reason.as_ref().filter(|_| !script.reasons.is_empty())
        && script.reason_label(code).is_none()
    {
        return Err(MessageProblem::Unknown(format!("reason: the script has no reason {code}")));
    }
    for answer in &fields.answers {
        if script.field(&answer.id).is_none_or(|field| field.to.is_some()) {
            let id = &answer.id;
            return Err(MessageProblem::Unknown(format!("answers: the script keeps no answer {id} there")));
        }
    }
    if let Some(offer) = fields.offers.iter().find(|offer| script.offer_ids().all(|id| id != offer.id)) {
        return Err(MessageProblem::Unknown(format!("offers: the script has no offer {}", offer.id)));
    }
    let answers = answers_of(script, &fields, facts);
    let Evaluated { form, shown, values } = evaluated(script, facts, &answers, plan);
    let missing: Vec<Missing> = form.missing.into_iter().filter(|missing| !missing.soft).collect();
    if !missing.is_empty() {
        return Err(MessageProblem::Incomplete(missing));
    }
    let kept = shown.into_iter().filter(|field| field.to.is_none()).filter_map(|field| {
        let value = values.get(&field.id)?;
        Some(ScriptAnswer {
            id: field.id.clone(),
            label: field.label.clone(),
            value: value.join(&SEPARATOR.to_string()),
            sensitive: field.sensitive,
        })
    });
    fields.answers = kept.collect();
    Ok(fields)
}

/// The subject of a message whose taker wrote none: the script's reason, and the action.
#[must_use]
pub fn subject(script: &Script, fields: &MessageFields) -> Option<String> {
    let reason = script.reason_label(fields.reason.as_deref()?)?;
    let parts: Vec<&str> = std::iter::once(reason).chain(fields.action.label()).collect();
    Some(parts.join("・"))
}

/// What a message answers of a script.
#[must_use]
pub fn answers_of(script: &Script, fields: &MessageFields, facts: &Facts) -> Answers {
    let kept: BTreeMap<&str, &str> =
        fields.answers.iter().map(|answer| (answer.id.as_str(), answer.value.as_str())).collect();
    let mut values = BTreeMap::new();
    for (_, field) in script.fields() {
        let text = match field.to {
            Some(to) => core_field(field, to, fields, facts),
            None => kept.get(field.id.as_str()).map(|text| (*text).to_owned()),
        };
        // Without an answer it has none, whatever the script's default.
        let text = text.unwrap_or_default();
        let value = match field.kind {
            FieldType::Choices => text.split(SEPARATOR).map(str::to_owned).collect(),
            _ => vec![text],
        };
        values.insert(field.id.clone(), value);
    }
    Answers {
        reason: fields.reason.clone(),
        values,
        action: Some(fields.action),
        urgency: Some(fields.urgency),
        mark: fields.mark,
        contact_name: None,
        offers: fields.offers.iter().map(|offer| offer.id.clone()).collect::<BTreeSet<_>>(),
    }
}

/// The value of a message's field that answers a question.
fn core_field(field: &Field, to: To, fields: &MessageFields, facts: &Facts) -> Option<String> {
    let from = &fields.from;
    let call_back = fields.call_back.as_ref();
    let time = |at: Option<jiff::Timestamp>| {
        at.map(|at| at.to_zoned(facts.own_zone()).strftime("%Y-%m-%d %H:%M").to_string())
    };
    match to {
        To::FromName => from.name.clone(),
        To::FromNameKanji => from.name_kanji.clone(),
        To::FromCompany => from.company.clone(),
        To::FromDepartment => from.department.clone(),
        To::FromGender => from.gender.and_then(|gender| choice_of(field, gender)),
        To::FromNumber => from.number.clone(),
        To::Contact => fields.contact.map(|contact| contact.to_string()).or_else(|| fields.for_text.clone()),
        To::ForText => fields.for_text.clone(),
        To::Subject => fields.subject.clone(),
        To::Text => Some(fields.text.clone()),
        To::CallBackNumber => call_back.and_then(|call_back| call_back.number.clone()),
        To::CallBackFrom => time(call_back.and_then(|call_back| call_back.from)),
        To::CallBackUntil => time(call_back.and_then(|call_back| call_back.until)),
        To::CallBackText => call_back.and_then(|call_back| call_back.text.clone()),
    }
}

fn choice_of(field: &Field, gender: Gender) -> Option<String> {
    field.choices.iter().find(|choice| super::read::gender(choice) == Some(gender)).cloned()
}

#[cfg(test)]
mod tests;
