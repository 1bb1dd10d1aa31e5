//! What becomes of a call from the telephone network in the dialplan, as far as the dialplan's text says.
//!
//! A [`Dialplan`] holds the contexts that calls can reach by `Goto`, `Gosub` and includes. It is read one context at a time:
//! [`Dialplan::next_unread`] names the next one. Its conclusions are about the contexts in which calls begin.
//!
//! Invariant: pure. What the text does not say (a target in a variable, a macro, an AGI) is no fault.

use std::collections::{BTreeMap, BTreeSet};

/// Most contexts that are read: enough for a PBX's own, and an end for those of a distribution.
const CONTEXTS_MAX: usize = 48;
/// How many contexts away from the first one calls are followed.
const DEPTH_MAX: usize = 4;
/// The subroutine that hands over a call's identity.
const IDENTITY: &str = "toritsugi-identity";
/// Contexts of the product, which are not judged.
const OWN_PREFIX: &str = "toritsugi-";

/// One priority of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Priority {
    pub(super) exten: String,
    pub(super) application: String,
    pub(super) data: String,
}

/// A context as the PBX lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) priorities: Vec<Priority>,
    pub(super) includes: Vec<String>,
}

/// The contexts that calls can reach; `None` for one that the PBX does not have.
#[derive(Debug, Default)]
pub(super) struct Dialplan {
    contexts: BTreeMap<String, Option<Context>>,
    /// The contexts to read, with their distance from the first one.
    unread: Vec<(String, usize)>,
}

/// Calls that the dialplan loses: they are sent to a context that does not exist.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LostCalls {
    pub(super) context: String,
    pub(super) exten: String,
    pub(super) target: String,
    /// The step has no condition, and stands in a context in which calls begin.
    pub(super) is_certain: bool,
}

impl Dialplan {
    /// Begins with the contexts in which calls begin.
    pub(super) fn from_contexts(first: &BTreeSet<String>) -> Self {
        let unread = first.iter().map(|context| (context.clone(), 0)).collect();
        Self { contexts: BTreeMap::new(), unread }
    }

    /// The next context to read.
    pub(super) fn next_unread(&mut self) -> Option<(String, usize)> {
        while let Some((context, depth)) = self.unread.pop() {
            if !self.contexts.contains_key(&context) && self.contexts.len() < CONTEXTS_MAX {
                return Some((context, depth));
            }
        }
        None
    }

    /// Takes a context that was read.
    pub(super) fn add(&mut self, name: String, depth: usize, context: Option<Context>) {
        if let Some(context) = context.as_ref().filter(|_| depth < DEPTH_MAX) {
            let targets = context.priorities.iter().flat_map(targets_of);
            let next = targets.chain(context.includes.iter().cloned());
            // Whether a context of the product exists matters, and what it does is known.
            let depth_of = |next: &str| if next.starts_with(OWN_PREFIX) { DEPTH_MAX } else { depth + 1 };
            self.unread.extend(next.map(|next| (next.clone(), depth_of(&next))));
        }
        self.contexts.insert(name, context);
    }

    /// The calls that are sent to a context that does not exist, those of the `first` contexts before the others.
    pub(super) fn lost_calls(&self, first: &BTreeSet<String>) -> Vec<LostCalls> {
        let begin: BTreeSet<&str> =
            first.iter().flat_map(|first| self.with_includes(first)).map(|(name, _)| name).collect();
        let mut lost = Vec::new();
        for (name, context) in &self.contexts {
            for priority in context.iter().flat_map(|context| &context.priorities) {
                let is_conditional = !["Goto", "Gosub"].iter().any(|name| is(&priority.application, name));
                // Somebody thought of the context's absence.
                if is_conditional && priority.data.contains("DIALPLAN_EXISTS(") {
                    continue;
                }
                let missing =
                    targets_of(priority).into_iter().filter(|t| self.contexts.get(t) == Some(&None));
                lost.extend(missing.map(|target| LostCalls {
                    context: name.clone(),
                    exten: priority.exten.clone(),
                    target,
                    is_certain: !is_conditional && begin.contains(name.as_str()),
                }));
            }
        }
        lost.sort_by_key(|lost| !lost.is_certain);
        lost.dedup();
        lost
    }

    /// The extensions of `first` whose calls hand over their identity, and those whose calls do not.
    pub(super) fn identity_of(&self, first: &str) -> (Vec<String>, Vec<String>) {
        let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
        // An extension of an included context is reached only if nothing before it takes the number.
        let mut before: BTreeSet<&str> = BTreeSet::new();
        for (_, entry) in self.with_includes(first) {
            let all: BTreeSet<&String> = entry.priorities.iter().map(|priority| &priority.exten).collect();
            let is_reached = |exten: &&String| !before.iter().any(|taker| takes(taker, &sample(exten)));
            let extens: Vec<&String> = all.iter().copied().filter(is_reached).collect();
            before.extend(all.iter().map(|exten| exten.as_str()));
            for exten in extens {
                match self.passes_identity(entry, Some(exten), 0) {
                    Some(true) => with.insert(exten.clone()),
                    Some(false) => without.insert(exten.clone()),
                    None => false,
                };
            }
        }
        // Extensions that no call from outside has: h (hang-up), i (invalid), t (time-out).
        let is_number = |exten: &String| !matches!(exten.as_str(), "h" | "i" | "t" | "T" | "e" | "a" | "o");
        (with.into_iter().filter(is_number).collect(), without.into_iter().filter(is_number).collect())
    }

    /// `None`: the text does not say.
    fn passes_identity(&self, context: &Context, exten: Option<&str>, depth: usize) -> Option<bool> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut is_unknown = false;
        for priority in context.priorities.iter().filter(|p| exten.is_none_or(|exten| p.exten == exten)) {
            if targets_of(priority).iter().any(|target| target == IDENTITY) {
                return Some(true);
            }
            let leaves = ["Goto", "GotoIf", "Gosub", "GosubIf", "GotoIfTime"];
            if leaves.iter().any(|application| is(&priority.application, application)) {
                is_unknown |= priority.data.contains('$') && targets_of(priority).is_empty();
                for target in targets_of(priority) {
                    match self.contexts.get(&target) {
                        Some(Some(next)) => match self.passes_identity(next, None, depth + 1) {
                            Some(true) => return Some(true),
                            None => is_unknown = true,
                            Some(false) => {}
                        },
                        Some(None) => {}
                        None => is_unknown = true,
                    }
                }
            }
            let is_foreign = ["Macro", "AGI", "Stasis", "Switch"];
            is_unknown |= is_foreign.iter().any(|application| is(&priority.application, application));
        }
        if is_unknown { None } else { Some(false) }
    }

    /// `Queue` and `Dial` on the way of calls that lack option t, as `Queue(uketsuke) of from-carrier`.
    pub(super) fn without_transfer_option(&self) -> Vec<String> {
        let mut found = BTreeSet::new();
        for (name, context) in self.contexts.iter().filter(|(name, _)| !name.starts_with(OWN_PREFIX)) {
            for priority in context.iter().flat_map(|context| &context.priorities) {
                let at = if is(&priority.application, "Queue") {
                    1
                } else if is(&priority.application, "Dial") {
                    2
                } else {
                    continue;
                };
                let options = parts_of(&priority.data, ',').get(at).copied().unwrap_or_default();
                // The arguments of options are in brackets, and are no options.
                let letters = without_brackets(options);
                let to_phones = at == 1 || !priority.data.contains('@');
                if to_phones && !letters.contains('t') && !options.contains("${") {
                    let what = priority.data.split(',').next().unwrap_or_default();
                    found.insert(format!("{}({what}) of {name}", priority.application));
                }
            }
        }
        found.into_iter().collect()
    }

    fn with_includes<'a>(&'a self, first: &'a str) -> Vec<(&'a str, &'a Context)> {
        let (mut found, mut names) = (Vec::new(), vec![first]);
        let mut seen = BTreeSet::new();
        while let Some(name) = names.pop() {
            if let Some(Some(context)) = self.contexts.get(name)
                && seen.insert(name)
            {
                names.extend(context.includes.iter().rev().map(String::as_str));
                found.push((name, context));
            }
        }
        found
    }
}

fn is(application: &str, name: &str) -> bool {
    application.eq_ignore_ascii_case(name)
}

/// A number that an extension takes: itself, or one example of those of a pattern.
fn sample(exten: &str) -> String {
    let Some(pattern) = exten.strip_prefix('_') else { return exten.to_owned() };
    let mut rest = pattern.chars();
    let mut number = String::new();
    while let Some(c) = rest.next() {
        match c {
            'X' | 'x' | 'Z' | 'z' | 'N' | 'n' | '.' => number.push('5'),
            '!' => {}
            '[' => {
                let set: String = rest.by_ref().take_while(|c| *c != ']').collect();
                number.extend(set.chars().next());
            }
            '-' => {}
            c => number.push(c),
        }
    }
    number
}

/// Whether an extension of the dialplan takes this number.
fn takes(exten: &str, number: &str) -> bool {
    let Some(pattern) = exten.strip_prefix('_') else { return exten == number };
    let (mut pattern, mut number) = (pattern.chars(), number.chars());
    while let Some(c) = pattern.next() {
        if c == '-' {
            continue;
        }
        let set: String =
            if c == '[' { pattern.by_ref().take_while(|c| *c != ']').collect() } else { String::new() };
        let fits = match (c, number.next()) {
            ('!', _) | ('.', Some(_)) => return true,
            (_, None) => false,
            ('X' | 'x', Some(digit)) => digit.is_ascii_digit(),
            ('Z' | 'z', Some(digit)) => matches!(digit, '1'..='9'),
            ('N' | 'n', Some(digit)) => matches!(digit, '2'..='9'),
            ('[', Some(digit)) => is_in_set(&set, digit),
            (c, Some(digit)) => c == digit,
        };
        if !fits {
            return false;
        }
    }
    number.next().is_none()
}

/// Whether a set of a pattern, such as `+0-9`, has this character.
fn is_in_set(set: &str, c: char) -> bool {
    let chars: Vec<char> = set.chars().collect();
    let is_range = |at: usize| chars.get(at + 1) == Some(&'-') && at + 2 < chars.len();
    (0..chars.len()).any(|at| chars[at] == c || (is_range(at) && (chars[at]..=chars[at + 2]).contains(&c)))
}

/// The text outside round brackets.
fn without_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    text.chars().filter(outside).collect()
}

/// The parts of a text between separators that stand in no brackets: `a,${F(b,c)},1` has three.
fn parts_of(text: &str, separator: char) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_u32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The contexts to which a priority goes, as far as they stand in the text: `Goto(context,exten,1)`,
/// `Gosub(context,exten,1(arguments))`, `GotoIf(condition?context,exten,1:…)`.
fn targets_of(priority: &Priority) -> Vec<String> {
    let data = priority.data.as_str();
    let branches: Vec<&str> = match priority.application.to_ascii_lowercase().as_str() {
        "goto" | "gosub" => vec![data],
        "gotoif" | "gosubif" | "gotoiftime" => {
            parts_of(data, '?').get(1).map(|branches| parts_of(branches, ':')).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let context = |branch: &str| {
        let parts: Vec<&str> = parts_of(branch, ',').into_iter().map(str::trim).collect();
        let fits = parts.len() == 3 && !parts[0].is_empty() && !parts[0].contains('$');
        fits.then(|| parts[0].to_owned())
    };
    branches.into_iter().filter_map(context).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dialplan of `context: exten application data` lines, read from `first`.
    fn dialplan(first: &str, lines: &[&str]) -> Dialplan {
        let mut all: BTreeMap<String, Context> = BTreeMap::new();
        for line in lines {
            let (context, rest) = line.split_once(": ").unwrap();
            let context = all.entry(context.to_owned()).or_default();
            match rest.split_once(' ').unwrap() {
                ("include", name) => context.includes.push(name.to_owned()),
                (exten, application) => {
                    let (application, data) = application.split_once('(').unwrap();
                    context.priorities.push(Priority {
                        exten: exten.to_owned(),
                        application: application.to_owned(),
                        data: data.strip_suffix(')').unwrap().to_owned(),
                    });
                }
            }
        }
        let mut dialplan = Dialplan::from_contexts(&BTreeSet::from([first.to_owned()]));
        while let Some((name, depth)) = dialplan.next_unread() {
            let context = all.get(&name).cloned();
            dialplan.add(name, depth, context);
        }
        dialplan
    }

    #[test]
    fn a_snippet_that_nobody_adapted_loses_calls() {
        let shipped = dialplan(
            "from-pstn-toritsugi",
            &[
                "from-pstn-toritsugi: _0XXXXXXXXX Gosub(toritsugi-identity,s,1)",
                "from-pstn-toritsugi: _0XXXXXXXXX Goto(from-pstn,${EXTEN},1)",
            ],
        );
        let lost = |dialplan: &Dialplan, first: &str| {
            let lost = dialplan.lost_calls(&BTreeSet::from([first.to_owned()]));
            lost.into_iter()
                .map(|l| format!("{} to {} {}", l.exten, l.target, l.is_certain))
                .collect::<Vec<_>>()
        };
        // Neither the PBX's own context nor the file with the subroutine is there.
        let expected = ["_0XXXXXXXXX to toritsugi-identity true", "_0XXXXXXXXX to from-pstn true"];
        assert_eq!(lost(&shipped, "from-pstn-toritsugi"), expected);
        let adapted = dialplan(
            "in",
            &[
                "toritsugi-identity: s Return()",
                "in: _0X. Gosub(toritsugi-identity,s,1)",
                "in: _0X. Goto(own,${EXTEN},1)",
                "own: _0X. Queue(uketsuke,t)",
            ],
        );
        assert_eq!(lost(&adapted, "in"), [""; 0]);
        let further = dialplan(
            "in",
            &[
                "in: _0X. GosubIf(${DIALPLAN_EXISTS(toritsugi-identity,s,1)}?toritsugi-identity,s,1)",
                "in: _0X. GotoIfTime(*,sun,*,*?sundays,s,1)",
                "in: _0X. Goto(menu,s,1)",
                "menu: s Goto(nowhere,s,1)",
            ],
        );
        assert_eq!(lost(&further, "in"), ["_0X. to sundays false", "s to nowhere false"]);
        assert_eq!(further.identity_of("in"), (vec!["_0X.".to_owned()], vec![]));
        assert_eq!(adapted.identity_of("in"), (vec!["_0X.".to_owned()], vec![]));
        assert_eq!(adapted.without_transfer_option(), [""; 0]);
    }

    #[test]
    fn a_number_that_does_not_pass_the_identity_is_found() {
        let own = dialplan(
            "from-carrier",
            &[
                "from-carrier: 5501 Queue(uketsuke)",
                "from-carrier: _0XXXXXXXXX Gosub(toritsugi-identity,s,1)",
                "from-carrier: _0XXXXXXXXX Dial(PJSIP/1001&PJSIP/1002,20,rTm(ring))",
                "from-carrier: _1X Goto(far,${EXTEN},1)",
                "far: _1X GotoIf($[1]?farther,s,1:over)",
                "farther: s Gosub(toritsugi-identity,s,1)",
                "from-carrier: _2X Goto(${WHERE},s,1)",
                "from-carrier: h NoOp()",
                "from-carrier: include more",
                "more: _3X Dial(PJSIP/1001,20,t)",
            ],
        );
        let (with, without) = own.identity_of("from-carrier");
        assert_eq!(
            (with, without),
            (vec!["_0XXXXXXXXX".into(), "_1X".into()], vec!["5501".into(), "_3X".into()])
        );
        let lacking = ["Dial(PJSIP/1001&PJSIP/1002) of from-carrier", "Queue(uketsuke) of from-carrier"];
        assert_eq!(own.without_transfer_option(), lacking);
    }

    /// The dialplan of FreePBX with the shipped snippet, and without its own context.
    #[test]
    fn the_snippet_passes_each_number_and_is_found_where_it_does_not_fit() {
        let snippet = include_str!("../../../asterisk-conf/snippets/extensions_custom.conf");
        let (mut lines, mut context, mut exten) = (Vec::new(), "", "");
        for line in snippet.lines().map(str::trim).filter(|line| !line.starts_with(';')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                context = name;
            } else if let Some(step) = line.strip_prefix("exten => ") {
                let (number, step) = step.split_once(",1,").unwrap();
                exten = number;
                lines.push(format!("{context}: {exten} {step}"));
            } else if let Some(step) = line.strip_prefix("same => n,") {
                lines.push(format!("{context}: {exten} {step}"));
            } else if let Some(name) = line.strip_prefix("include => ") {
                lines.push(format!("{context}: include {name}"));
            }
        }
        assert!(lines.len() > 2, "{lines:?}");
        let first = BTreeSet::from(["from-pstn-toritsugi".to_owned()]);
        let all = |own: &[&str]| {
            let mut all: Vec<&str> = lines.iter().map(String::as_str).collect();
            all.extend(["toritsugi-identity: s Return()"].iter().chain(own));
            dialplan("from-pstn-toritsugi", &all)
        };
        let lost = all(&[]).lost_calls(&first);
        assert!(lost.len() == 1 && lost[0].target == "from-pstn" && lost[0].is_certain, "{lost:?}");
        let freepbx =
            all(&["from-pstn: 0355501001 Queue(600,t)", "from-pstn: _X. Hangup()", "from-pstn: fax NoOp()"]);
        assert_eq!(freepbx.lost_calls(&first), []);
        let passes = (vec!["_[+0-9]!".to_owned()], vec!["fax".to_owned()]);
        assert_eq!(freepbx.identity_of("from-pstn-toritsugi"), passes);
    }

    #[test]
    fn patterns_take_the_numbers_that_asterisk_gives_them() {
        for (exten, number, expected) in [
            ("5501", "5501", true),
            ("5501", "55012", false),
            ("_0XXXXXXXXX", "0355501001", true),
            ("_0XXXXXXXXX", "03555010011", false),
            ("_[+0-9]!", "+81355501001", true),
            ("_[+0-9]!", "5", true),
            ("_[+0-9]!", "s", false),
            ("_[2-47]N.", "4512", true),
            ("_[2-47]N.", "451", true),
            ("_[2-47]N.", "45", false),
            ("_[2-47]N.", "551", false),
            ("_03-555X", "035551", true),
            ("_Z", "0", false),
        ] {
            assert_eq!(takes(exten, number), expected, "{exten} {number}");
        }
        assert_eq!(sample("_[+0-9]X-Z."), "+555");
        assert_eq!(parts_of("a,${F(b,c)},1(x,y)", ','), ["a", "${F(b,c)}", "1(x,y)"]);
    }

    #[test]
    fn contexts_that_go_round_in_circles_come_to_an_end() {
        let circle = dialplan("a", &["a: s Goto(b,s,1)", "b: s Goto(a,s,1)", "a: include b", "b: include a"]);
        assert_eq!(circle.lost_calls(&BTreeSet::from(["a".to_owned()])), []);
        assert_eq!(circle.identity_of("a").0, [""; 0]);
    }
}
