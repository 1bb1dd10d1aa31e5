//! The addresses of one header: display name, user, host, parameters.
//!
//! `rsip` reads plain SIP URIs well but rejects much that real networks send (`tel:`, IPv6 hosts, odd schemes). This
//! module therefore splits each address first and gives `rsip` only `sip:user@host`. A part that `rsip` still rejects
//! is left out.
//!
//! Invariant: no text makes a function here panic. An unreadable address is left out, so that the caller uses the next
//! header.

use smol_str::SmolStr;

use super::text::percent_decoded_text;
use super::{Presentation, reason_in};
use crate::identity::NUMBER_CHARS_MAX;

/// Most addresses read from one header value.
const ADDRESSES_MAX: usize = 16;
/// Replaces a literal IPv6 host, which `rsip` rejects and no code here needs.
const IPV6_STAND_IN: &str = "ipv6.invalid";

/// One address of a header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Address {
    display: Option<String>,
    /// The user part or telephone number, decoded, without its parameters.
    user: String,
    /// In lower case; empty for `tel:`.
    host: String,
    /// Parameters of the user part and of the URI.
    uri_params: Vec<(String, String)>,
    /// The headers after `?` in the URI, decoded.
    uri_headers: String,
    /// Parameters after the address.
    params: Vec<(String, String)>,
}

impl Address {
    /// The telephone number or extension of the address; `None` if its user part is a name.
    pub(super) fn number(&self) -> Option<SmolStr> {
        let number: String =
            self.user.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ' | '/')).collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if digits.is_empty() || number.len() > NUMBER_CHARS_MAX || !digits.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        // A local number's context names its numbering plan (RFC 3966 §5.1.5).
        let context = find(&self.uri_params, "phone-context").filter(|context| {
            let code = context.strip_prefix('+').unwrap_or("");
            !number.starts_with('+') && !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit())
        });
        let number = match context {
            Some(context) => format!("{context}{}", number.strip_prefix('0').unwrap_or(&number)),
            None => number,
        };
        (number.len() <= NUMBER_CHARS_MAX).then(|| SmolStr::new(number))
    }

    /// The display name, unless empty.
    pub(super) fn name(&self) -> Option<&str> {
        self.display.as_deref().filter(|name| !name.trim().is_empty())
    }

    /// A parameter after the address.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        find(&self.params, name)
    }

    /// Why the address hides the party; `None` if it does not.
    pub(super) fn anonymity(&self) -> Option<Presentation> {
        match (self.user.to_ascii_lowercase().as_str(), self.host.as_str()) {
            ("unavailable" | "unknown", _) | (_, "unavailable.invalid" | "unknown.invalid") => {
                Some(Presentation::Unavailable)
            }
            ("anonymous" | "restricted", _) | (_, "anonymous.invalid" | "restricted.invalid") => {
                Some(self.name().and_then(reason_in).unwrap_or(Presentation::Withheld))
            }
            _ => None,
        }
    }

    /// Whether the URI has `cause=` (RFC 4458).
    pub(super) fn has_cause(&self) -> bool {
        find(&self.uri_params, "cause").is_some()
    }

    /// Whether the URI's headers have a Reason with a cause (RFC 4244).
    pub(super) fn reason_has_cause(&self) -> bool {
        let headers = self.uri_headers.to_ascii_lowercase();
        headers.contains("reason=") && headers.contains("cause=")
    }
}

/// Every address of a header value, in order; unreadable parts are left out.
pub(super) fn read_all(value: &str) -> Vec<Address> {
    parts(value, ',').into_iter().take(ADDRESSES_MAX).filter_map(read).collect()
}

fn read(part: &str) -> Option<Address> {
    let Some(open) = position_unquoted(part, '<') else {
        // Without brackets every parameter after the host belongs to the header (RFC 3261 §20).
        let mut address = read_uri(part)?;
        let behind = part.find('@').map_or(part, |at| part.get(at..).unwrap_or(""));
        address.params = params(behind.split_once(';').map_or("", |(_, rest)| rest));
        return Some(address);
    };
    let (display, rest) = (part.get(..open)?, part.get(open + 1..)?);
    // A missing bracket means that the value was cut.
    let (uri, behind) = rest.split_once('>').unwrap_or((rest, ""));
    let mut address = read_uri(uri)?;
    address.display = Some(unquote(display)).filter(|name| !name.is_empty());
    address.params = params(behind);
    Some(address)
}

fn read_uri(uri: &str) -> Option<Address> {
    let uri = uri.trim();
    let (scheme, rest) = match uri.split_once(':') {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => (scheme, rest),
        _ if uri.contains('@') => ("sip", uri),
        // A bare number, as in the dialplan's own variables.
        _ => ("tel", uri),
    };
    match scheme.to_ascii_lowercase().as_str() {
        "tel" => {
            let (number, behind) = rest.split_once(';').unwrap_or((rest, ""));
            let user = percent_decoded_text(number);
            Some(Address { user, uri_params: params(behind), ..Address::default() })
        }
        "sip" | "sips" => read_sip_uri(rest),
        _ => None,
    }
}

fn read_sip_uri(rest: &str) -> Option<Address> {
    let (user, rest) = rest.split_once('@').unwrap_or(("", rest));
    let (user, user_params) = user.split_once(';').unwrap_or((user, ""));
    let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, uri_params) = rest.split_once(';').unwrap_or((rest, ""));
    let host = if host.starts_with('[') { IPV6_STAND_IN } else { host.trim() };
    let prepared = if user.is_empty() { format!("sip:{host}") } else { format!("sip:{user}@{host}") };
    let uri = rsip::Uri::try_from(prepared).ok()?;
    let mut all = params(user_params);
    all.extend(params(uri_params));
    Some(Address {
        user: percent_decoded_text(uri.user().unwrap_or("")),
        host: uri.host().to_string().to_ascii_lowercase(),
        uri_params: all,
        uri_headers: percent_decoded_text(headers),
        ..Address::default()
    })
}

/// Splits `;name=value;name` into pairs: names in lower case, values unquoted and in lower case.
fn params(text: &str) -> Vec<(String, String)> {
    let pairs = parts(text, ';').into_iter().map(str::trim).filter(|part| !part.is_empty());
    pairs
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim().to_ascii_lowercase(), percent_decoded_text(&unquote(value)).to_ascii_lowercase())
        })
        .collect()
}

fn find<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Splits at `separator` outside quotes and angle brackets.
fn parts(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut in_brackets) = (0, false);
    for (at, c) in outside_quotes(text) {
        match c {
            '<' => in_brackets = true,
            '>' => in_brackets = false,
            _ if c == separator && !in_brackets => {
                parts.extend(text.get(start..at));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// The position of the first `sought` outside quotes.
fn position_unquoted(text: &str, sought: char) -> Option<usize> {
    outside_quotes(text).find(|(_, c)| *c == sought).map(|(at, _)| at)
}

/// The characters outside quoted strings. In a text with an unclosed quote no character counts as quoted.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let closed = text.matches('"').count() - text.matches("\\\"").count();
    let quotes_count = closed.is_multiple_of(2);
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter(move |(_, c)| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' if quotes_count => quoted = !quoted,
            _ => return !quoted,
        }
        false
    })
}

/// `text` without the quotes around it and the backslashes inside.
fn unquote(text: &str) -> String {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}
