//! A link into another system (a CRM, kintone, Salesforce) that a desktop offers or opens at the pop.
//!
//! | placeholder | what it becomes |
//! |---|---|
//! | `{caller}` | the caller's number, its digits alone (`09012345678`; abroad with `+`); empty where withheld |
//! | `{account}` | the account's code |
//! | `{account_id}` | the account's record |
//! | `{customer}` | the record of the best customer; empty where there is none |
//! | `{call}` | the call |
//!
//! Invariant: a template is `http://` or `https://` with a host of its own, and no placeholder stands before its
//! path; every value is percent-encoded but for letters, digits and `-._~`. So whatever a caller or a record
//! contains, the link leads to the server that the configuration named, and `javascript:` is never one.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::card::Card;
use crate::ids::CallId;

/// Longest template, in bytes.
pub const LINK_BYTES_MAX: usize = 1_000;
/// The placeholders.
const NAMES: [&str; 5] = ["caller", "account", "account_id", "customer", "call"];

/// A template that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTemplate(String);

/// The text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Too long, or with spaces or control characters.
    #[error(
        "a link is at most {LINK_BYTES_MAX} printable ASCII characters without spaces; percent-encode others"
    )]
    Characters,
    /// Another scheme, or none.
    #[error("a link begins with https:// or http:// and a host")]
    Scheme,
    /// A placeholder that nobody knows, or a brace that is none.
    #[error(
        "{{{0}}} is no placeholder; there are {{caller}}, {{account}}, {{account_id}}, {{customer}}, {{call}}"
    )]
    Unknown(String),
    /// A placeholder in the host.
    #[error("placeholders may stand in the path and behind it only")]
    InHost,
}

impl LinkTemplate {
    /// The link for a call.
    #[must_use]
    pub fn fill(&self, call: CallId, card: &Card, account_code: &str) -> String {
        let mut link = String::with_capacity(self.0.len() + 64);
        let mut rest = self.0.as_str();
        while let Some((before, behind)) = rest.split_once('{') {
            link.push_str(before);
            let (name, behind) = behind.split_once('}').unwrap_or((behind, ""));
            match name {
                "caller" => encode(&mut link, &digits(card.caller.number.as_deref().unwrap_or_default())),
                "account" => encode(&mut link, account_code),
                "account_id" => card.account.id.iter().for_each(|id| encode(&mut link, &id.to_string())),
                "customer" => {
                    card.customers.first().iter().for_each(|c| encode(&mut link, &c.id.to_string()));
                }
                _ => encode(&mut link, &call.to_string()),
            }
            rest = behind;
        }
        link.push_str(rest);
        link
    }
}

fn digits(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect()
}

fn encode(link: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            link.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(link, "%{byte:02X}");
        }
    }
}

impl FromStr for LinkTemplate {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        if text.len() > LINK_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(LinkError::Characters);
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(LinkError::Scheme)?;
        let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if host.contains(['{', '}']) {
            return Err(LinkError::InHost);
        }
        let name = host.split(':').next().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        if name.is_empty() || !host.bytes().all(plain) || rest[host.len()..].starts_with('\\') {
            return Err(LinkError::Scheme);
        }
        let mut rest = rest;
        while let Some(at) = rest.find(['{', '}']) {
            let behind = &rest[at + 1..];
            let name = behind.split_once('}').map_or(behind, |(name, _)| name);
            if rest.as_bytes()[at] == b'}' || !NAMES.contains(&name) || !behind.contains('}') {
                return Err(LinkError::Unknown(name.chars().take(40).collect()));
            }
            rest = &behind[name.len() + 1..];
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LinkTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LinkTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::card::{AccountView, CallerView, CustomerView, HistoryView};
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
                }]
            } else {
                Vec::new()
            },
            history: HistoryView::default(),
            link: None,
        }
    }

    #[test]
    fn every_value_is_encoded() {
        let call = CallId::derive(&PbxId::parse("p").unwrap(), &ChannelId::parse("1.1").unwrap());
        let fill = |template: &str, card: &Card, code: &str| {
            template.parse::<LinkTemplate>().unwrap().fill(call, card, code)
        };
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
            assert!(text.parse::<LinkTemplate>().is_err(), "{text}");
        }
    }
}
