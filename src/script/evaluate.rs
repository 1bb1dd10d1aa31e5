//! The form at one moment: what the operator says and asks, given what is known so far.
//!
//! Steps are taken once, in their order: a step that is shown adds its questions and sets its defaults, which later steps
//! see. What a person has chosen goes before every default.
//!
//! Invariants: total; the same input gives the same form; an answer to a question that is not shown changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::condition::{Facts, State, is_within};
use super::model::{
    Field, FieldType, Language, Level, NameForm, OfferKind, REASON, Required, Script, Set, Step, To,
};
use super::talk::{Placeholder, Talk};
use super::value::{SEPARATOR, ValueProblem};
use crate::contract::message::{Action, Mark, Privacy, Urgency};
use crate::numbers::NumberPlan;

/// What a person has answered and chosen so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// The reason.
    pub reason: Option<String>,
    /// The answers, by question; several for a question with several choices.
    pub values: BTreeMap<String, Vec<String>>,
    /// The action, if a person chose it.
    pub action: Option<Action>,
    /// The urgency, if a person chose it.
    pub urgency: Option<Urgency>,
    /// The mark, if a person set it.
    pub mark: Option<Mark>,
    /// The name of the contact.
    pub contact_name: Option<String>,
    /// The offers that were answered.
    pub offers: BTreeSet<String>,
}

/// The form.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ScriptForm)]
pub struct Form {
    /// The language in which the operator speaks.
    pub language: Language,
    /// Whether the call needs a message.
    pub message_required: bool,
    /// How the caller's name is written down.
    pub name_form: NameForm,
    /// What the operator says first.
    pub opening: String,
    /// What the operator says last; empty: the script has nothing.
    pub closing: String,
    /// Why the caller may call, in the order of the script.
    pub reasons: Vec<ReasonView>,
    /// The reason that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a message has unless a person chooses otherwise.
    pub defaults: Defaults,
    /// The steps that are shown, in order.
    pub steps: Vec<StepView>,
    /// What to offer now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferView>,
    /// Questions that must be answered and are not, or whose answer is invalid.
    pub missing: Vec<Missing>,
}

/// A reason of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ScriptReason)]
pub struct ReasonView {
    /// Its code.
    pub code: String,
    /// What people read.
    pub label: String,
    /// The digit that chooses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a message has unless a person chooses otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(as = ScriptDefaults)]
pub struct Defaults {
    /// How urgent it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency: Option<Urgency>,
    /// What the caller expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The code of the contact that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// A complaint, or thanks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// The route by which it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// How much of it leaves the house.
    pub privacy: Privacy,
    /// To whom the caller may be transferred: the code of a contact, or `on-call`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_to: Option<String>,
}

/// A step that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ScriptStep)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// How loud it is.
    pub level: Level,
    /// What the operator says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
    /// What the operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What to do instead of taking a message; a message can be taken all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// Its questions.
    pub fields: Vec<FieldView>,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ScriptField)]
pub struct FieldView {
    /// Its id.
    pub id: String,
    /// What people read.
    pub label: String,
    /// What kind of answer it has.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether it must be answered.
    pub required: Required,
    /// The choices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The smallest number, or the fewest characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// The largest number, or the most characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// The answer unless a person gives another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether only those may read the answer who work on the call, supervisors and administrators.
    pub sensitive: bool,
    /// The field of the message that the answer goes to; absent: its `answers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<To>,
    /// What is wrong with the answer so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ValueProblem>,
}

/// Something to offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ScriptOffer)]
pub struct OfferView {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: OfferKind,
    /// What the operator says.
    pub say: String,
}

/// A question without a valid answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ScriptMissing)]
pub struct Missing {
    /// Its id.
    pub id: String,
    /// What people read.
    pub label: String,
    /// Whether it may be skipped when it was asked once more.
    pub soft: bool,
    /// What is wrong with the answer; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ValueProblem>,
}

/// A form, with the questions of the script that are shown.
pub(super) struct Evaluated<'a> {
    pub(super) form: Form,
    pub(super) shown: Vec<&'a Field>,
    /// The valid answers to them, in their form.
    pub(super) values: BTreeMap<String, Vec<String>>,
}

/// The form that `answers` make of `script`.
#[must_use]
pub fn evaluate(script: &Script, facts: &Facts, answers: &Answers, plan: &NumberPlan) -> Form {
    evaluated(script, facts, answers, plan).form
}

/// The opening of a script, for a pop: nobody has answered anything.
#[must_use]
pub(crate) fn opening(script: &Script, facts: &Facts) -> String {
    let values = BTreeMap::new();
    let state = State {
        reason: None,
        action: None,
        urgency: Urgency::Normal,
        mark: None,
        has_common_surname: false,
        asked: BTreeSet::new(),
        values: &values,
    };
    Speaker { script, facts, state: &state, contact: None, from: None }.opening()
}

pub(super) fn evaluated<'a>(
    script: &'a Script,
    facts: &Facts,
    answers: &Answers,
    plan: &NumberPlan,
) -> Evaluated<'a> {
    let (values, problems) = canonical(script, answers, plan);
    let named = |to| {
        let field = script.fields().map(|(_, field)| field).find(|field| field.to == Some(to));
        field.and_then(|field| values.get(&field.id)).and_then(|value| value.first()).map(String::as_str)
    };
    let from = named(To::FromName).or_else(|| named(To::FromNameKanji));
    let reason = script.reasons.iter().find(|reason| Some(&reason.code) == answers.reason.as_ref());
    let mut defaults = Defaults { privacy: script.privacy, ..Defaults::default() };
    if let Some(reason) = reason {
        defaults.add(&reason.set);
    }
    let mut state = State {
        reason: reason.map(|reason| reason.code.as_str()),
        action: None,
        urgency: Urgency::Normal,
        mark: None,
        has_common_surname: from.is_some_and(|name| facts.has_common_surname(name)),
        asked: BTreeSet::new(),
        values: &values,
    };
    let mut shown: Vec<&Step> = Vec::new();
    for step in &script.steps {
        state.take(&defaults, answers);
        if is_for(&step.reasons, state.reason) && step.when.holds(facts, &state) {
            defaults.add(&step.set);
            state.asked.extend(step.fields.iter().map(|field| field.id.as_str()));
            shown.push(step);
        }
    }
    state.take(&defaults, answers);
    let contact = answers.contact_name.as_deref();
    let speaker = Speaker { script, facts, state: &state, contact, from };
    let steps: Vec<StepView> = shown.iter().map(|step| speaker.step(step, &problems)).collect();
    let fields: Vec<&Field> = shown.iter().flat_map(|step| &step.fields).collect();
    let open = fields.iter().filter_map(|field| missing(field, &state, &problems));
    let missing: Vec<Missing> = missing_reason(script, &state).into_iter().chain(open).collect();
    let offer = speaker.offer(answers, &missing);
    let form = Form {
        language: script.language,
        message_required: script.message_required,
        name_form: script.name_form,
        opening: speaker.opening(),
        closing: speaker.closing(),
        reasons: script
            .reasons
            .iter()
            .map(|reason| ReasonView {
                code: reason.code.clone(),
                label: reason.label.clone(),
                key: reason.key.clone(),
            })
            .collect(),
        reason: state.reason.map(str::to_owned),
        defaults,
        steps,
        offer,
        missing,
    };
    let asked: BTreeSet<String> = state.asked.iter().map(|id| (*id).to_owned()).collect();
    let mut values = values;
    values.retain(|id, _| asked.contains(id));
    Evaluated { form, shown: fields, values }
}

/// The answers in their form, and what is wrong with the others.
fn canonical(
    script: &Script,
    answers: &Answers,
    plan: &NumberPlan,
) -> (BTreeMap<String, Vec<String>>, BTreeMap<String, ValueProblem>) {
    let (mut values, mut problems) = (BTreeMap::new(), BTreeMap::new());
    for (_, field) in script.fields() {
        let default = || field.default.iter().cloned().collect();
        let given = answers.values.get(&field.id).cloned().unwrap_or_else(default);
        match field.canonical(&given, plan) {
            Ok(value) if value.is_empty() => {}
            Ok(value) => drop(values.insert(field.id.clone(), value)),
            Err(problem) => drop(problems.insert(field.id.clone(), problem)),
        }
    }
    (values, problems)
}

fn is_for(reasons: &[String], reason: Option<&str>) -> bool {
    reasons.is_empty() || reason.is_some_and(|reason| reasons.iter().any(|known| known == reason))
}

/// A caller may have a reason that the script does not know, so it may be skipped.
fn missing_reason(script: &Script, state: &State<'_>) -> Option<Missing> {
    let label = if script.language == Language::Ja { "用件" } else { "Reason" };
    let is_open = !script.reasons.is_empty() && state.reason.is_none();
    is_open.then(|| Missing { id: REASON.to_owned(), label: label.to_owned(), soft: true, problem: None })
}

fn missing(field: &Field, state: &State<'_>, problems: &BTreeMap<String, ValueProblem>) -> Option<Missing> {
    let problem = problems.get(&field.id).copied();
    let is_empty = state.value(&field.id).is_empty();
    let counts = problem.is_some() || (is_empty && field.required != Required::No);
    counts.then(|| Missing {
        id: field.id.clone(),
        label: field.label.clone(),
        soft: problem.is_none() && field.required == Required::Soft,
        problem,
    })
}

impl Defaults {
    fn add(&mut self, set: &Set) {
        self.urgency = set.urgency.or(self.urgency);
        self.action = set.action.or(self.action);
        self.mark = set.mark.or(self.mark);
        self.privacy = set.privacy.unwrap_or(self.privacy);
        for (default, set) in [
            (&mut self.contact, &set.contact),
            (&mut self.route, &set.route),
            (&mut self.transfer_to, &set.transfer_to),
        ] {
            if set.is_some() {
                default.clone_from(set);
            }
        }
    }
}

impl State<'_> {
    /// What a message has now: what a person chose, else the defaults so far.
    fn take(&mut self, defaults: &Defaults, answers: &Answers) {
        self.action = answers.action.or(defaults.action);
        self.urgency = answers.urgency.or(defaults.urgency).unwrap_or_default();
        self.mark = answers.mark.or(defaults.mark);
    }
}

/// Fills talk.
struct Speaker<'a> {
    script: &'a Script,
    facts: &'a Facts,
    state: &'a State<'a>,
    contact: Option<&'a str>,
    from: Option<&'a str>,
}

impl Speaker<'_> {
    fn opening(&self) -> String {
        let opening = &self.script.opening;
        let special = opening.special.iter().find(|(when, _)| when.holds(self.facts, self.state));
        let usual = if self.facts.is_open() { None } else { opening.closed.as_ref() };
        self.say(special.map(|(_, talk)| talk).or(usual).unwrap_or(&opening.open))
    }

    fn closing(&self) -> String {
        let closing = &self.script.closing;
        let own = closing.by_action.iter().find(|(action, _)| Some(*action) == self.state.action);
        own.map(|(_, talk)| talk).or(closing.say.as_ref()).map(|talk| self.say(talk)).unwrap_or_default()
    }

    fn step(&self, step: &Step, problems: &BTreeMap<String, ValueProblem>) -> StepView {
        let say = |talk: &Option<Talk>| talk.as_ref().map(|talk| self.say(talk));
        let field = |field: &Field| FieldView {
            id: field.id.clone(),
            label: field.label.clone(),
            kind: field.kind,
            required: field.required,
            choices: field.choices.clone(),
            min: field.min,
            max: field.max,
            default: field.default.clone(),
            sensitive: field.sensitive,
            to: field.to,
            problem: problems.get(&field.id).copied(),
        };
        StepView {
            id: step.id.clone(),
            level: step.level,
            say: say(&step.say),
            hint: say(&step.hint),
            stop: say(&step.stop),
            fields: step.fields.iter().map(field).collect(),
        }
    }

    /// One offer at a time, when nothing that must be asked is open; none to a caller who complains.
    fn offer(&self, answers: &Answers, missing: &[Missing]) -> Option<OfferView> {
        if self.state.mark == Some(Mark::Complaint) || missing.iter().any(|missing| !missing.soft) {
            return None;
        }
        let offers = &self.script.offers;
        let offer = offers.iter().find(|offer| {
            let was_made = answers.offers.contains(&offer.id)
                || (offer.once_per_call && self.facts.offered.contains(&offer.id));
            !was_made && is_for(&offer.reasons, self.state.reason) && offer.when.holds(self.facts, self.state)
        })?;
        Some(OfferView { id: offer.id.clone(), kind: offer.kind, say: self.say(&offer.say) })
    }

    fn say(&self, talk: &Talk) -> String {
        talk.filled(|placeholder| self.fill(placeholder))
    }

    fn fill(&self, placeholder: &Placeholder) -> String {
        let is_japanese = self.script.language == Language::Ja;
        let word = |ja: &str, en: &str| if is_japanese { ja } else { en }.to_owned();
        match placeholder {
            Placeholder::Company => self.facts.company.clone(),
            Placeholder::Operator => self.facts.operator.clone().unwrap_or_else(|| "{operator}".to_owned()),
            Placeholder::Greeting => self.greeting(),
            Placeholder::Contact => {
                self.contact.map_or_else(|| word("担当者", "the person in charge"), str::to_owned)
            }
            Placeholder::From => self.from.map_or_else(|| word("お客様", "the caller"), str::to_owned),
            Placeholder::Hours => {
                let hours = self.facts.hours.as_ref().map(ToString::to_string);
                hours.unwrap_or_else(|| word("年中無休", "around the clock"))
            }
            Placeholder::NextOpen => {
                let hours = self.facts.hours.as_ref();
                let facts = self.facts;
                let opens = hours.and_then(|hours| hours.next_open(facts.at, &facts.zone, &facts.calendar));
                opens.map_or_else(|| word("次の営業時間", "the next opening"), |opens| self.moment(opens))
            }
            Placeholder::Field(id) => {
                let value = self.state.value(id);
                if value.is_empty() { "…".to_owned() } else { value.join(&SEPARATOR.to_string()) }
            }
        }
    }

    fn greeting(&self) -> String {
        let greeting = &self.script.greeting;
        let (_, now) = self.facts.local();
        let by_time = greeting.by_time.iter().find(|(from, to, _)| is_within(now, *from, *to));
        if let Some(own) = by_time.map(|(_, _, say)| say).or(greeting.say.as_ref()) {
            return own.clone();
        }
        let is_morning = (now.hour(), now.minute()) < (10, 30) && now.hour() >= 5;
        match (self.script.language, is_morning) {
            (Language::Ja, true) => "おはようございます",
            (Language::Ja, false) => "お電話ありがとうございます",
            (Language::En, true) => "Good morning",
            (Language::En, false) => "Thank you for calling",
        }
        .to_owned()
    }

    /// A time as it is said: `本日13時`, `明日9時30分`, `12月3日（木）9時`.
    fn moment(&self, at: Timestamp) -> String {
        let (today, _) = self.facts.local();
        let then = at.to_zoned(self.facts.own_zone()).datetime();
        let days = (then.date() - today).get_days();
        let is_japanese = self.script.language == Language::Ja;
        let day = match days {
            0 if is_japanese => "本日".to_owned(),
            1 if is_japanese => "明日".to_owned(),
            0 => "today".to_owned(),
            1 => "tomorrow".to_owned(),
            _ if is_japanese => {
                const DAYS: [&str; 7] = ["月", "火", "水", "木", "金", "土", "日"];
                let weekday = usize::try_from(then.weekday().to_monday_zero_offset()).unwrap_or_default();
                let name = DAYS.get(weekday).copied().unwrap_or_default();
                format!("{}月{}日（{name}）", then.month(), then.day())
            }
            _ => then.strftime("%A, %B %-d").to_string(),
        };
        match (is_japanese, then.minute()) {
            (true, 0) => format!("{day}{}時", then.hour()),
            (true, minute) => format!("{day}{}時{minute}分", then.hour()),
            (false, minute) => format!("{day} at {}:{minute:02}", then.hour()),
        }
    }
}

#[cfg(test)]
mod tests;
