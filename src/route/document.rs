//! Routes as an administrator writes them: a TOML document for one account, or for all accounts without one of their own.
//!
//! ```toml
//! format = 1
//!
//! [[route]]
//! name = "urgent"
//! when = { urgency = "urgent" }
//! [[route.step]]
//! to = ["named"]
//! wait_min = 5
//! [[route.step]]
//! to = ["on-call"]
//! via = ["phone", "mail"]
//! one_by_one = 5
//! wait_min = 20
//! [[route.step]]
//! to = ["supervisors"]
//!
//! [[route]]
//! name = "usual"
//! [[route.step]]
//! to = ["named"]
//! ```
//!
//! The first route whose conditions hold applies. Where none does, the built-in one does: the contact whom the message names, else
//! the first one in the on-call order who has an address, else the account's own endpoints.
//!
//! Invariant: what this module returns is within its limits and can be carried out; an unknown key, word or kind of recipient is
//! refused with its line and column, never ignored.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::condition::When;
use super::digest::{DIGESTS_MAX, Digest};
use super::world::Way;

/// Largest document.
pub const ROUTE_BYTES_MAX: usize = 64 * 1024;
/// Most routes of a document.
const ROUTES_MAX: usize = 20;
/// Most steps of a route.
const STEPS_MAX: usize = 8;
/// Most recipients of a step, copies included.
const RECIPIENTS_MAX: usize = 20;
/// Longest name of a route, in characters.
const NAME_CHARS_MAX: usize = 60;
/// Longest wait.
const MINUTES_MAX: u16 = 1_440;
/// Most rounds through a list of people who are asked one by one.
const REPEAT_MAX: u8 = 5;
/// The version of the format.
const FORMAT: i64 = 1;

/// A document of routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// The code of the account that it was exported from, for people.
    pub account: Option<String>,
    /// The routes, in the order in which they are tried.
    pub routes: Vec<Route>,
    /// What the account gets at its times.
    pub digests: Vec<Digest>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name, for people.
    pub name: String,
    /// When it applies; absent: always.
    #[serde(default, skip_serializing_if = "When::is_empty")]
    pub when: When,
    /// What happens, one after the other.
    #[serde(rename = "step", default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Instead of steps: the message waits for the digest with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// One step of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Whom it reaches.
    pub to: Vec<Recipient>,
    /// How, in order of preference: the first way that a person has.
    #[serde(default = "mail")]
    pub via: Vec<Way>,
    /// Who gets a copy by mail. A copy never holds the route up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Recipient>,
    /// What ends the route.
    #[serde(default)]
    pub until: Until,
    /// After which time the next step begins; absent: [`Minutes`] by the message's urgency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_min: Option<Minutes>,
    /// Whether one of the recipients is enough.
    #[serde(default)]
    pub need: Need,
    /// The recipients are asked one after another, each for this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_by_one: Option<Minutes>,
    /// How many times that list is gone through.
    #[serde(default = "once")]
    pub repeat: Repeat,
    /// What happens outside the account's hours, or the endpoint's if it has its own.
    #[serde(default)]
    pub outside: Outside,
}

pub(super) fn mail() -> Vec<Way> {
    vec![Way::Mail]
}

pub(super) fn once() -> Repeat {
    Repeat(1)
}

/// Whom a step reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipient {
    /// The contact whom the message names.
    Named,
    /// The contact with this code.
    Contact(String),
    /// The endpoint with this code.
    Endpoint(String),
    /// Everybody in the on-call order who is there.
    OnCall,
    /// The first one in the on-call order who is there and can be reached, else the account's own endpoints.
    Account,
    /// The operator who took the message: an event at their page.
    Taker,
    /// The supervisors of the operators: an event, and a row in their list.
    Supervisors,
}

impl TryFrom<String> for Recipient {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "named" => Ok(Self::Named),
            "on-call" => Ok(Self::OnCall),
            "account" => Ok(Self::Account),
            "taker" => Ok(Self::Taker),
            "supervisors" => Ok(Self::Supervisors),
            _ => match text.split_once(':').map(|(kind, code)| (kind, code.trim())) {
                Some(("contact", code)) if !code.is_empty() => Ok(Self::Contact(code.to_owned())),
                Some(("endpoint", code)) if !code.is_empty() => Ok(Self::Endpoint(code.to_owned())),
                _ => Err(format!(
                    "{text:?} is no recipient: write \"named\", \"contact:CODE\", \"endpoint:CODE\", \"on-call\", \"account\", \"taker\" or \"supervisors\""
                )),
            },
        }
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("named"),
            Self::Contact(code) => write!(f, "contact:{code}"),
            Self::Endpoint(code) => write!(f, "endpoint:{code}"),
            Self::OnCall => f.write_str("on-call"),
            Self::Account => f.write_str("account"),
            Self::Taker => f.write_str("taker"),
            Self::Supervisors => f.write_str("supervisors"),
        }
    }
}

/// What ends a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// The next system has taken the message.
    Sent,
    /// The recipient's system has proved that it has it.
    Delivered,
    /// A person has confirmed it.
    #[default]
    Acknowledged,
}

/// How many of a step's recipients it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// One.
    #[default]
    Any,
    /// Each of them. A confirmation by one person is enough in any case.
    All,
}

/// What happens outside the account's hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outside {
    /// The message waits until the account opens.
    Hold,
    /// These recipients are left out.
    Next,
    /// It is sent all the same.
    #[default]
    Send,
}

/// A time of 1 to 1,440 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Minutes(u16);

impl Minutes {
    /// The time.
    #[must_use]
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.0) * 60)
    }

    /// Its minutes.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for Minutes {
    type Error = String;

    fn try_from(minutes: i64) -> Result<Self, String> {
        let within = u16::try_from(minutes).ok().filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
        within.map(Self).ok_or_else(|| format!("write 1 to {MINUTES_MAX} minutes"))
    }
}

impl From<Minutes> for i64 {
    fn from(minutes: Minutes) -> Self {
        minutes.0.into()
    }
}

/// How many times a list is gone through: 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Repeat(u8);

impl Repeat {
    pub(super) fn get(self) -> usize {
        self.0.into()
    }
}

impl TryFrom<i64> for Repeat {
    type Error = String;

    fn try_from(times: i64) -> Result<Self, String> {
        let within = u8::try_from(times).ok().filter(|times| (1..=REPEAT_MAX).contains(times));
        within.map(Self).ok_or_else(|| format!("write 1 to {REPEAT_MAX} rounds"))
    }
}

impl From<Repeat> for i64 {
    fn from(repeat: Repeat) -> Self {
        repeat.0.into()
    }
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct DocumentError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What to do.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: Spanned<i64>,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    route: Vec<Spanned<Route>>,
    #[serde(default)]
    digest: Vec<Spanned<Digest>>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn read(text: &str) -> Result<Self, DocumentError> {
        if text.len() > ROUTE_BYTES_MAX {
            return Err(at(text, None, format!("at most {} KiB", ROUTE_BYTES_MAX / 1024)));
        }
        let written: Written =
            toml::from_str(text).map_err(|error| at(text, error.span(), one_line(error.message())))?;
        if *written.format.get_ref() != FORMAT {
            let reason = format!("this version reads format = {FORMAT}");
            return Err(at(text, Some(written.format.span()), reason));
        }
        if let Some(route) = written.route.get(ROUTES_MAX) {
            return Err(at(text, Some(route.span()), format!("at most {ROUTES_MAX} routes")));
        }
        let digests = read_digests(text, written.digest)?;
        let mut names = HashSet::new();
        for (index, route) in written.route.iter().enumerate() {
            let is_last = index + 1 == written.route.len();
            let problem = problem_of(route.get_ref(), is_last, &digests).or_else(|| {
                (!names.insert(&route.get_ref().name)).then(|| "two routes have this name".into())
            });
            if let Some(reason) = problem {
                let name = &route.get_ref().name;
                return Err(at(text, Some(route.span()), format!("route {name:?}: {reason}")));
            }
        }
        let routes = written.route.into_iter().map(Spanned::into_inner).collect();
        Ok(Self { account: written.account, routes, digests })
    }

    /// The digest with this name.
    #[must_use]
    pub fn digest(&self, name: &str) -> Option<&Digest> {
        self.digests.iter().find(|digest| digest.name == name)
    }
}

fn read_digests(text: &str, written: Vec<Spanned<Digest>>) -> Result<Vec<Digest>, DocumentError> {
    if let Some(digest) = written.get(DIGESTS_MAX) {
        return Err(at(text, Some(digest.span()), format!("at most {DIGESTS_MAX} digests")));
    }
    let mut names = HashSet::new();
    for digest in &written {
        let (span, digest) = (digest.span(), digest.get_ref());
        let is_known = !names.insert(&digest.name);
        let problem = digest.problem().or_else(|| is_known.then(|| "two digests have this name".into()));
        if let Some(reason) = problem {
            return Err(at(text, Some(span), format!("digest {:?}: {reason}", digest.name)));
        }
    }
    Ok(written.into_iter().map(Spanned::into_inner).collect())
}

/// What is wrong with a route as a whole.
fn problem_of(route: &Route, is_last: bool, digests: &[Digest]) -> Option<String> {
    let chars = route.name.chars().count();
    if route.name.trim().is_empty() || chars > NAME_CHARS_MAX || route.name.chars().any(char::is_control) {
        return Some(format!("give it a name of 1 to {NAME_CHARS_MAX} characters"));
    }
    if !is_last && route.when.is_empty() {
        return Some(
            "it always applies, so the routes after it never do: give it a `when`, or move it to the end"
                .into(),
        );
    }
    if let Some(name) = &route.digest {
        if !route.steps.is_empty() {
            return Some("a route has either `digest` or steps".into());
        }
        let is_there = digests.iter().any(|digest| digest.name == *name);
        return (!is_there)
            .then(|| format!("there is no [[digest]] with the name {name:?} in this document"));
    }
    if route.steps.is_empty() || route.steps.len() > STEPS_MAX {
        return Some(format!("write 1 to {STEPS_MAX} steps"));
    }
    route.steps.iter().enumerate().find_map(|(index, step)| {
        let reason = problem_of_step(step)?;
        Some(format!("step {}: {reason}", index + 1))
    })
}

fn problem_of_step(step: &Step) -> Option<String> {
    let recipients = step.to.len() + step.also.len();
    if step.to.is_empty() || recipients > RECIPIENTS_MAX {
        return Some(format!("`to` and `also` name 1 to {RECIPIENTS_MAX} recipients"));
    }
    if step.via.is_empty() {
        return Some("`via` names at least one way: \"mail\" or \"phone\"".into());
    }
    if has_twice(&step.to) || has_twice(&step.via) {
        return Some("a recipient or a way is named twice".into());
    }
    if step.repeat.get() > 1 && step.one_by_one.is_none() {
        return Some("`repeat` needs `one_by_one`".into());
    }
    if step.need == Need::All && step.until == Until::Acknowledged {
        return Some(
            "one confirmation ends a route: `need = \"all\"` goes with `until = \"sent\"` or \"delivered\""
                .into(),
        );
    }
    if step.via.contains(&Way::Phone) && step.until != Until::Acknowledged {
        return Some(
            "a person who was reached by phone has confirmed: write `until = \"acknowledged\"`".into(),
        );
    }
    None
}

fn has_twice<T: Eq + std::hash::Hash>(items: &[T]) -> bool {
    let mut seen = HashSet::new();
    items.iter().any(|item| !seen.insert(item))
}

fn at(text: &str, span: Option<Range<usize>>, reason: String) -> DocumentError {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    DocumentError { line, column, reason }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The route where no document has one that applies: what messages did before there were routes. It ends when the mail server has
/// taken the mail.
#[must_use]
pub fn built_in_route() -> Route {
    Route {
        name: BUILT_IN.to_owned(),
        when: When::default(),
        steps: vec![Step {
            to: vec![Recipient::Named],
            via: mail(),
            also: Vec::new(),
            until: Until::Sent,
            wait_min: None,
            need: Need::Any,
            one_by_one: None,
            repeat: once(),
            outside: Outside::Send,
        }],
        digest: None,
    }
}

/// The name of [`built_in_route`]; a document's route may have it, too.
const BUILT_IN: &str = "built-in";

#[cfg(test)]
mod tests {
    use super::*;

    const CLINIC: &str = r#"
format = 1
account = "C012"

[[route]]
name = "emergency"
when = { urgency = "urgent", hours = "closed" }
[[route.step]]
to = ["on-call"]
via = ["phone"]
one_by_one = 5
repeat = 2
wait_min = 20
[[route.step]]
to = ["contact:doctor"]
also = ["account"]
wait_min = 10
[[route.step]]
to = ["supervisors"]

[[route]]
name = "usual"
[[route.step]]
to = ["named"]
until = "sent"
outside = "hold"
"#;

    #[test]
    fn a_document_is_read_and_survives_json() {
        let document = Document::read(CLINIC).unwrap();
        assert_eq!(document.account.as_deref(), Some("C012"));
        let [emergency, usual] = &document.routes[..] else { panic!("{document:?}") };
        assert_eq!(emergency.steps[0].via, [Way::Phone]);
        assert_eq!(emergency.steps[1].to, [Recipient::Contact("doctor".into())]);
        assert_eq!((usual.steps[0].until, usual.steps[0].outside), (Until::Sent, Outside::Hold));
        for route in document.routes {
            let json = serde_json::to_string(&route).unwrap();
            assert_eq!(serde_json::from_str::<Route>(&json).unwrap(), route);
        }
        assert_eq!(Document::read("format = 1").unwrap().routes, []);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let route = |rest: &str| format!("format = 1\n[[route]]\nname = \"a\"\n{rest}");
        let step = |rest: &str| route(&format!("[[route.step]]\nto = [\"named\"]\n{rest}"));
        let two = |first: &str| {
            format!("{}\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"named\"]", step(first))
        };
        let many = |text: &str, times: usize| text.repeat(times);
        for (text, line, column, words) in [
            ("format = 2".to_owned(), 1, 10, "this version reads format = 1"),
            ("format = ".to_owned(), 1, 10, ""),
            ("".to_owned(), 1, 1, "format"),
            (route("colour = \"red\"\n[[route.step]]\nto = [\"named\"]"), 4, 1, "colour"),
            (step("wait = 5"), 6, 1, "wait"),
            (step("wait_min = 0"), 6, 12, "write 1 to 1440 minutes"),
            (step("wait_min = 1441"), 6, 12, "write 1 to 1440 minutes"),
            (step("one_by_one = 3\nrepeat = 6"), 7, 10, "write 1 to 5 rounds"),
            (step("via = [\"pigeon\"]"), 6, 8, "pigeon"),
            (step("also = [\"contact:\"]"), 6, 8, "is no recipient"),
            (route("when = { hours = \"late\" }\n[[route.step]]\nto = [\"named\"]"), 4, 18, "late"),
            (route("[[route.step]]\nto = []"), 2, 1, "1 to 20 recipients"),
            (step("via = []"), 2, 1, "at least one way"),
            (step("repeat = 2"), 2, 1, "needs `one_by_one`"),
            (step("via = [\"phone\"]\nuntil = \"sent\""), 2, 1, "has confirmed"),
            (step("need = \"all\""), 2, 1, "one confirmation ends a route"),
            (two(""), 2, 1, "it always applies"),
            (route(&many("[[route.step]]\nto = [\"named\"]\n", 9)), 2, 1, "1 to 8 steps"),
            (
                format!(
                    "format = 1\n{}",
                    "[[route]]\nname = \"a\"\nwhen = {hours=\"open\"}\n[[route.step]]\nto = [\"named\"]\n"
                        .repeat(2)
                ),
                7,
                1,
                "two routes have this name",
            ),
            (format!("format = 1 #{}", many("x", ROUTE_BYTES_MAX)), 1, 1, "at most 64 KiB"),
        ] {
            let error = Document::read(&text).unwrap_err();
            assert!(error.reason.contains(words), "{error} is not about {words:?}");
            assert_eq!((error.line, error.column), (line, column), "{error} in\n{text}");
        }
        let many = format!(
            "format = 1\n{}",
            (0..21)
                .map(|n| format!(
                    "[[route]]\nname = \"{n}\"\nwhen = {{hours=\"open\"}}\n[[route.step]]\nto = [\"named\"]\n"
                ))
                .collect::<String>()
        );
        assert!(Document::read(&many).unwrap_err().reason.contains("at most 20 routes"));
    }
}
