//! Names of endpoints and contexts: which of them are trunks, and whose phone an endpoint is.
//!
//! An *endpoint* is the part of a channel name between the technology and the last hyphen: the channel
//! `PJSIP/1001-web-0000002a` belongs to the endpoint `1001-web`. A name in the configuration may contain `*` for any
//! run of characters, and may begin with the technology (`DAHDI/i1`).
//!
//! Invariant: pure; a longer name than [`ENDPOINT_BYTES_MAX`] matches no pattern, so a match costs a bounded number of steps.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use smol_str::SmolStr;

use crate::contract::extension_pattern::ExtensionPattern;
use crate::ids::Extension;

/// Longest endpoint name that is compared with patterns, in bytes (a channel's name has at most 80 characters).
pub const ENDPOINT_BYTES_MAX: usize = 320;

/// What stands for the extension in a [`PhonePattern`].
const EXTENSION: &str = "{extension}";

/// Technologies whose endpoints are lines with a number of their own, not extensions.
const LINE_TECHNOLOGIES: [&str; 6] = ["DAHDI", "Zap", "mISDN", "Khomp", "Dongle", "Quectel"];

/// The names of endpoints and contexts, besides the trunks and the extensions. The default is that of `default.toml`.
#[derive(Debug, Clone)]
pub struct EndpointNames {
    /// Contexts that only calls from the telephone network enter.
    pub trunk_contexts: Vec<SmolStr>,
    /// How endpoints of operators' and supervisors' phones are named, besides the extension alone.
    pub phones: Vec<PhonePattern>,
    /// Endpoints of such phones whose names follow no pattern.
    pub extensions: BTreeMap<SmolStr, Extension>,
    /// Endpoints of other phones of the house: door phones, meeting rooms.
    pub internal: Vec<SmolStr>,
}

/// Default of `pbx.trunks`.
pub const TRUNKS: [&str; 1] = ["trunk"];
/// Default of `pbx.trunk_contexts`: the names that distributions and Asterisk's samples use.
pub const TRUNK_CONTEXTS: [&str; 10] = [
    "from-trunk*",
    "from-pstn*",
    "from-external",
    "from-extern",
    "from-analog",
    "from-digital",
    "from-dahdi",
    "from-zaptel",
    "incoming",
    "trunkinbound",
];
/// Default of `pbx.phone_endpoints`.
pub const PHONE_ENDPOINTS: [&str; 4] =
    ["{extension}-*", "{extension}_*", "99{extension}", "agent{extension}"];

impl Default for EndpointNames {
    fn default() -> Self {
        Self {
            trunk_contexts: TRUNK_CONTEXTS.map(SmolStr::new_static).to_vec(),
            phones: PHONE_ENDPOINTS.iter().filter_map(|text| text.parse().ok()).collect(),
            extensions: BTreeMap::new(),
            internal: Vec::new(),
        }
    }
}

impl EndpointNames {
    /// The extension of the phone with this endpoint, if `phones` has it.
    #[must_use]
    pub fn extension_of(
        &self,
        technology: &str,
        endpoint: &str,
        phones: &[ExtensionPattern],
    ) -> Option<Extension> {
        let is_phone = |extension: &str| phones.iter().any(|pattern| pattern.matches(extension));
        if !self.extensions.is_empty() {
            let named = self.extensions.get(endpoint).or_else(|| {
                self.extensions
                    .iter()
                    .find(|(name, _)| is_named(name, technology, endpoint))
                    .map(|(_, to)| to)
            });
            if let Some(extension) = named {
                return Some(extension.clone()).filter(|extension| is_phone(extension.as_str()));
            }
        }
        if LINE_TECHNOLOGIES.contains(&technology) || endpoint.len() > ENDPOINT_BYTES_MAX {
            return None;
        }
        if is_phone(endpoint) {
            return Extension::parse(endpoint).ok();
        }
        self.phones.iter().find_map(|pattern| pattern.extension_in(endpoint, is_phone))
    }

    /// The extension of the phone that a device or the interface of a queue member stands for (`PJSIP/1001-web`,
    /// `Local/1001@from-queue/n`). A device that a module provides about something else (`Queue:…`, `Custom:…`,
    /// `park:…`) is no phone, whatever its name contains.
    #[must_use]
    pub fn extension_of_device(&self, device: &str, phones: &[ExtensionPattern]) -> Option<Extension> {
        let (technology, rest) = device.split_once('/')?;
        if !technology.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let endpoint = rest.split(['@', '/']).next().unwrap_or(rest);
        self.extension_of(technology, endpoint, phones)
    }

    /// Whether only calls from the telephone network enter this context.
    #[must_use]
    pub fn is_trunk_context(&self, context: &str) -> bool {
        self.trunk_contexts.iter().any(|name| matches(name, context))
    }

    /// Whether the configuration names this endpoint as a phone of the house that is no operator's.
    #[must_use]
    pub fn is_internal(&self, technology: &str, endpoint: &str) -> bool {
        is_one_of(&self.internal, technology, endpoint)
    }
}

/// Whether the endpoints of this technology are lines, whose numbers are no extensions.
#[must_use]
pub fn is_line_technology(technology: &str) -> bool {
    LINE_TECHNOLOGIES.contains(&technology)
}

/// Whether one of `names` is this endpoint's.
#[must_use]
pub fn is_one_of(names: &[SmolStr], technology: &str, endpoint: &str) -> bool {
    names.iter().any(|name| is_named(name, technology, endpoint))
}

fn is_named(name: &str, technology: &str, endpoint: &str) -> bool {
    match name.split_once('/') {
        Some((before, rest)) => matches(before, technology) && matches(rest, endpoint),
        None => matches(name, endpoint),
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.len() >= part.len() && text.ends_with(part);
        }
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// How the endpoint of a phone is made from its extension: text with `{extension}` in it once.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PhonePattern {
    before: SmolStr,
    after: SmolStr,
}

/// The text is not a phone pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a pattern of endpoint names: write {EXTENSION} once, with printable ASCII or * around it, for \
     instance {EXTENSION}-web"
)]
pub struct PhonePatternError(String);

impl PhonePattern {
    /// The extension in this endpoint's name, if the name follows the pattern and `is_phone` accepts the extension.
    fn extension_in(&self, endpoint: &str, is_phone: impl Fn(&str) -> bool) -> Option<Extension> {
        let bytes = endpoint.as_bytes();
        let starts = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit());
        for from in starts.filter(|at| matches(&self.before, &endpoint[..*at])) {
            let digits = bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
            // The longest extension first, so that 1001 is not found in 10010 where both are extensions.
            for to in (from + 1..=from + digits).rev() {
                if matches(&self.after, &endpoint[to..]) && is_phone(&endpoint[from..to]) {
                    return Extension::parse(&endpoint[from..to]).ok();
                }
            }
        }
        None
    }
}

impl FromStr for PhonePattern {
    type Err = PhonePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PhonePatternError(text.chars().filter(|c| !c.is_control()).take(40).collect());
        let (before, after) = text.split_once(EXTENSION).ok_or_else(error)?;
        let is_plain = |part: &str| {
            part.len() <= ENDPOINT_BYTES_MAX
                && part.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}' | b'/' | b'@'))
        };
        if !is_plain(before) || !is_plain(after) {
            return Err(error());
        }
        Ok(Self { before: before.into(), after: after.into() })
    }
}

impl TryFrom<String> for PhonePattern {
    type Error = PhonePatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for PhonePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{EXTENSION}{}", self.before, self.after)
    }
}

impl fmt::Debug for PhonePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phones() -> Vec<ExtensionPattern> {
        vec!["1XXX".parse().unwrap(), "2XX".parse().unwrap()]
    }

    #[test]
    fn an_endpoint_leads_to_its_person() {
        let mut names = EndpointNames::default();
        names.phones.push("tokyo*{extension}p".parse().unwrap());
        names.extensions.insert("sato-iphone".into(), Extension::parse("1001").unwrap());
        names.extensions.insert("DAHDI/3".into(), Extension::parse("1003").unwrap());
        names.extensions.insert("lift".into(), Extension::parse("9999").unwrap());
        for (technology, endpoint, expected) in [
            ("PJSIP", "1001", Some("1001")),
            ("SIP", "1001", Some("1001")),
            ("SCCP", "201", Some("201")),
            ("PJSIP", "1001-web", Some("1001")),
            ("PJSIP", "1001_mobile", Some("1001")),
            ("PJSIP", "991001", Some("1001")),
            ("PJSIP", "agent1001", Some("1001")),
            ("PJSIP", "tokyo-osaka-1002p", Some("1002")),
            ("PJSIP", "sato-iphone", Some("1001")),
            ("DAHDI", "3", Some("1003")),
            // Not an operator's or a supervisor's extension.
            ("PJSIP", "lift", None),
            ("PJSIP", "3001-web", None),
            ("PJSIP", "10010", None),
            ("PJSIP", "10010-web", None),
            ("PJSIP", "01001-web", None),
            ("PJSIP", "agent-1001", None),
            ("PJSIP", "reception", None),
            ("PJSIP", "受付1001", None),
            ("DAHDI", "1001", None),
        ] {
            let found = names.extension_of(technology, endpoint, &phones());
            assert_eq!(found.as_ref().map(Extension::as_str), expected, "{technology}/{endpoint}");
        }
    }

    #[test]
    fn a_device_that_tells_of_something_else_is_no_phone() {
        let names = EndpointNames::default();
        for (device, expected) in [
            ("PJSIP/1001", Some("1001")),
            ("PJSIP/1001-web", Some("1001")),
            ("Local/1001@from-queue/n", Some("1001")),
            ("Queue:operators_pause_PJSIP/1001", None),
            ("Queue:受付_pause_PJSIP/1001", None),
            ("Queue:operators_pause_Local/1001@from-queue/n", None),
            ("Custom:DND/1001", None),
            ("park:PJSIP/1001@parkedcalls", None),
            ("1001", None),
        ] {
            let found = names.extension_of_device(device, &phones());
            assert_eq!(found.as_ref().map(Extension::as_str), expected, "{device}");
        }
    }

    #[test]
    fn names_may_hold_stars_and_a_technology() {
        let names = |text: &[&str]| text.iter().map(SmolStr::new).collect::<Vec<_>>();
        for (list, technology, endpoint, expected) in [
            (vec!["trunk"], "PJSIP", "trunk", true),
            (vec!["trunk"], "PJSIP", "trunk-2", false),
            (vec!["trunk*"], "PJSIP", "trunk-2", true),
            (vec!["*-out"], "SIP", "ntt-out", true),
            (vec!["n*t-*"], "SIP", "ntt-out", true),
            (vec!["n*x-*"], "SIP", "ntt-out", false),
            (vec!["*"], "SIP", "", true),
            (vec!["DAHDI/*"], "DAHDI", "i1", true),
            (vec!["DAHDI/*"], "PJSIP", "i1", false),
            (vec!["a*a"], "SIP", "a", false),
        ] {
            assert_eq!(is_one_of(&names(&list), technology, endpoint), expected, "{list:?} {endpoint}");
        }
        let contexts = EndpointNames::default();
        for (context, expected) in
            [("from-trunk", true), ("from-trunk-sip-ntt", true), ("from-internal", false), ("default", false)]
        {
            assert_eq!(contexts.is_trunk_context(context), expected, "{context}");
        }
    }

    #[test]
    fn a_pattern_has_one_extension() {
        for text in ["", "web", "{extension", "{extension}{extension}", "PJSIP/{extension}", "{extension} x"]
        {
            assert!(text.parse::<PhonePattern>().is_err(), "{text:?}");
        }
    }
}
