//! URL templates: the address of another system (a CRM, kintone, Salesforce) that a desktop offers or opens at the pop.
//!
//! | placeholder | value |
//! |---|---|
//! | `{caller}` | the digits of the caller's number (`09012345678`; foreign numbers with `+`); empty when withheld |
//! | `{caller_hyphens}` | the number as a pop shows it (`090-1234-5678`; `+1 212-555-0100`) |
//! | `{caller_e164}` | the number with its country code (`+819012345678`); the digits where it has none |
//! | `{account}` | the account's code |
//! | `{account_id}` | the account's record id |
//! | `{customer}` | the record id of the best customer; empty without one |
//! | `{customer_code}` | that customer's own code, as it was imported |
//! | `{customer_number}` | the caller's number as that customer's record writes it; without a customer, as `{caller}` |
//! | `{call}` | the call id |
//!
//! Invariants: a template begins with `http://` or `https://` and a host, and no placeholder stands before its path. In
//! values every byte is percent-encoded except letters, digits and `-._~`. So the URL leads to the configured server,
//! whatever a caller or a record contains, and it is never a `javascript:` URL.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::card::Card;
use crate::ids::CallId;

/// Longest template, in bytes.
pub const URL_TEMPLATE_BYTES_MAX: usize = 1_000;
/// The names of the placeholders.
const NAMES: [&str; 9] = [
    "caller",
    "caller_hyphens",
    "caller_e164",
    "account",
    "account_id",
    "customer",
    "customer_code",
    "customer_number",
    "call",
];

/// A checked URL template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate(String);

/// Why a text is not a URL template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlTemplateError {
    /// Too long, or with spaces or control characters.
    #[error(
        "a link is at most {URL_TEMPLATE_BYTES_MAX} printable ASCII characters without spaces; percent-encode others"
    )]
    Characters,
    /// Another scheme, or none.
    #[error("a link begins with https:// or http:// and a host")]
    Scheme,
    /// An unknown placeholder, or an unmatched brace.
    #[error(
        "{{{0}}} is not a placeholder; use {{caller}}, {{caller_hyphens}}, {{caller_e164}}, {{account}}, {{account_id}}, \
         {{customer}}, {{customer_code}}, {{customer_number}}, {{call}}"
    )]
    Unknown(String),
    /// A placeholder in the host.
    #[error("placeholders are allowed only in the path and after it")]
    InHost,
}

impl UrlTemplate {
    /// The URL for a call; `caller_key` is the key of the caller's number ([`crate::numbers::Number::key`]).
    #[must_use]
    pub fn fill(&self, call: CallId, card: &Card, account_code: &str, caller_key: Option<&str>) -> String {
        let shown = card.caller.number.as_deref().unwrap_or_default();
        let customer = card.customers.first();
        let mut url = String::with_capacity(self.0.len() + 64);
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            url.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            match name {
                "caller" => encode(&mut url, &digits(shown)),
                "caller_hyphens" => encode(&mut url, shown),
                "caller_e164" => match caller_key {
                    Some(key) if !shown.is_empty() => encode(&mut url, key),
                    _ => encode(&mut url, &digits(shown)),
                },
                "account" => encode(&mut url, account_code),
                "account_id" => card.account.id.iter().for_each(|id| encode(&mut url, &id.to_string())),
                "customer" => customer.iter().for_each(|c| encode(&mut url, &c.id.to_string())),
                "customer_code" => {
                    encode(&mut url, customer.and_then(|c| c.code.as_deref()).unwrap_or_default());
                }
                "customer_number" => match customer.and_then(|c| c.number.as_deref()) {
                    Some(number) => encode(&mut url, number),
                    None => encode(&mut url, &digits(shown)),
                },
                _ => encode(&mut url, &call.to_string()),
            }
            rest = after;
        }
        url.push_str(rest);
        url
    }
}

fn digits(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect()
}

fn encode(url: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

impl FromStr for UrlTemplate {
    type Err = UrlTemplateError;

    fn from_str(text: &str) -> Result<Self, UrlTemplateError> {
        if text.len() > URL_TEMPLATE_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UrlTemplateError::Characters);
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(UrlTemplateError::Scheme)?;
        let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if host.contains(['{', '}']) {
            return Err(UrlTemplateError::InHost);
        }
        let name = host.split(':').next().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        if name.is_empty() || !host.bytes().all(plain) || rest[host.len()..].starts_with('\\') {
            return Err(UrlTemplateError::Scheme);
        }
        let mut rest = rest;
        while let Some(at) = rest.find(['{', '}']) {
            let after = &rest[at + 1..];
            let name = after.split_once('}').map_or(after, |(name, _)| name);
            if rest.as_bytes()[at] == b'}' || !NAMES.contains(&name) || !after.contains('}') {
                return Err(UrlTemplateError::Unknown(name.chars().take(40).collect()));
            }
            rest = &after[name.len() + 1..];
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UrlTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::card::{AccountView, CallerView, CustomerView, HistoryView};
    use crate::ids::{ChannelId, PbxId, RecordId};
    use uuid::Uuid;

    fn card(number: Option<&str>, customer: bool) -> Card {
        Card {
            dialled: None,
            diverted_by: None,
            caller: CallerView { number: number.map(Into::into), ..CallerView::default() },
            account: AccountView { id: Some(RecordId(Uuid::from_u128(1))), ..AccountView::default() },
            customers: if customer {
                vec![CustomerView {
                    id: RecordId(Uuid::from_u128(2)),
                    name: "田中".into(),
                    kana: String::new(),
                    company: None,
                    department: None,
                    notes: None,
                    flags: Vec::new(),
                    code: Some("K/12".into()),
                    number: Some("090(1234)5678".into()),
                }]
            } else {
                Vec::new()
            },
            history: HistoryView::default(),
            link: None,
            script: None,
        }
    }

    #[test]
    fn every_value_is_encoded() {
        let call = CallId::derive(&PbxId::parse("p").unwrap(), &ChannelId::parse("1.1").unwrap());
        let fill = |template: &str, card: &Card, code: &str| {
            let key = card.caller.number.as_deref().map(|number| match number.strip_prefix('0') {
                Some(national) => format!("+81{}", digits(national)),
                None => digits(number),
            });
            template.parse::<UrlTemplate>().unwrap().fill(call, card, code, key.as_deref())
        };
        let forms = "https://c.jp/?h={caller_hyphens}&e={caller_e164}&k={customer_code}&n={customer_number}";
        assert_eq!(
            fill(forms, &card(Some("090-1234-5678"), true), ""),
            "https://c.jp/?h=090-1234-5678&e=%2B819012345678&k=K%2F12&n=090%281234%295678"
        );
        assert_eq!(
            fill(forms, &card(Some("090-1234-5678"), false), ""),
            "https://c.jp/?h=090-1234-5678&e=%2B819012345678&k=&n=09012345678"
        );
        assert_eq!(fill(forms, &card(None, false), ""), "https://c.jp/?h=&e=&k=&n=");
        let known = card(Some("090-1234-5678"), true);
        assert_eq!(
            fill("https://crm.example.jp/{account}?tel={caller}&c={customer}", &known, "A/1&x=あ"),
            "https://crm.example.jp/A%2F1%26x%3D%E3%81%82?tel=09012345678&c=00000000-0000-0000-0000-000000000002"
        );
        assert_eq!(fill("http://10.0.0.5:8080/#{call}", &known, ""), format!("http://10.0.0.5:8080/#{call}"));
        assert_eq!(
            fill("https://c.jp/?t={caller}&c={customer}", &card(None, false), ""),
            "https://c.jp/?t=&c="
        );
        assert_eq!(
            fill("https://c.jp/?t={caller}", &card(Some("+1 650-253-0000"), false), ""),
            "https://c.jp/?t=%2B16502530000"
        );
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_template() {
        for text in [
            "",
            "javascript:alert(1)",
            "ftp://crm.example.jp/",
            "https://",
            "https:///path",
            "https://{account}.example.jp/",
            "https://crm.example.jp@evil.example/",
            "https://crm.example.jp\\@evil.example/",
            "https://crm.example.jp/{caller",
            "https://crm.example.jp/caller}",
            "https://crm.example.jp/{name}",
            "https://crm.example.jp/ {caller}",
            "https://crm.example.jp/顧客",
        ] {
            assert!(text.parse::<UrlTemplate>().is_err(), "{text}");
        }
    }
}
