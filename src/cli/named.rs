//! Records as people name them: by their code, their name, their extension, or the beginning of their id.
//!
//! One line of [`Named`] for each kind. A text is compared with the fields of each record whole (capitals, width and kana
//! do not matter), then with the beginnings of ids.
//!
//! Invariant: a text that could be two records is an error that lists them; a command never picks one.

use std::fmt;

use anyhow::bail;
use serde_json::Value;
use toritsugi::contract::records::search::fold;
use uuid::Uuid;

use super::client::Client;
use super::output::plain;

/// Records of one page.
const PAGE: &str = "500";
/// Most records that an error lists.
const SHOWN_MAX: usize = 5;
/// Shortest beginning of an id that names a record: fewer digits are rather a code with a typing error.
const ID_DIGITS_MIN: usize = 4;

/// A kind of record that commands take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    /// One of the records, for messages.
    pub(crate) what: &'static str,
    /// The list that has them.
    pub(crate) path: &'static str,
    /// The fields by which people name one; the first is shown in messages.
    pub(crate) fields: &'static [&'static str],
    /// Whether the list is searched (`q`) instead of read to its end: customers may be a million.
    pub(crate) is_searched: bool,
    /// The command that prints them.
    pub(crate) command: &'static str,
}

pub(crate) const ACCOUNT: Named = Named {
    what: "account",
    path: "/v1/accounts",
    fields: &["code", "name", "kana"],
    is_searched: false,
    command: "toritsugi accounts list",
};
pub(crate) const CONTACT: Named = Named {
    what: "contact",
    path: "/v1/contacts",
    fields: &["code", "name", "kana"],
    is_searched: false,
    command: "toritsugi contacts list",
};
pub(crate) const CUSTOMER: Named = Named {
    what: "customer",
    path: "/v1/customers",
    fields: &["code", "name", "kana"],
    is_searched: true,
    command: "toritsugi customers list",
};

/// All records of a list, page by page.
pub(crate) async fn all(
    client: &Client,
    path: &str,
    filter: &[(&'static str, String)],
) -> anyhow::Result<Vec<Value>> {
    let (mut records, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query: Vec<(&str, &str)> = vec![("limit", PAGE)];
        query.extend(filter.iter().map(|(name, value)| (*name, value.as_str())));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page: Value = client.get(path, &query).await?;
        if let Some(items) = page["items"].as_array_mut() {
            records.append(items);
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(records),
        }
    }
}

/// The id of the record that `text` names, among those that `filter` leaves.
pub(crate) async fn id_of(
    client: &Client,
    kind: Named,
    text: &str,
    filter: &[(&'static str, String)],
) -> anyhow::Result<Uuid> {
    if let Ok(id) = Uuid::parse_str(text) {
        return Ok(id);
    }
    let mut filter = filter.to_vec();
    if kind.is_searched && !filter.iter().any(|(name, _)| *name == "account") {
        filter.push(("q", text.to_owned()));
    }
    let records = all(client, kind.path, &filter).await?;
    Ok(choose(kind, text, &records)?)
}

fn looks_like_id(text: &str) -> bool {
    text.len() >= ID_DIGITS_MIN && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Why a text names no record, or not one alone.
#[derive(Debug, thiserror::Error)]
enum NoneOrSeveral {
    #[error("no {what} is called {text:?}, and no id begins with it; `{command}` prints them")]
    None { what: &'static str, text: String, command: &'static str },
    #[error("{text:?} may be several of them: {shown}; write more of one's id, or its code", shown = Shown(records))]
    Several { text: String, records: Vec<String> },
}

struct Shown<'a>(&'a [String]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", "))?;
        match self.0.len().checked_sub(SHOWN_MAX) {
            Some(more @ 1..) => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

fn choose(kind: Named, text: &str, records: &[Value]) -> Result<Uuid, NoneOrSeveral> {
    let wanted = fold(text);
    let id = |record: &Value| record["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    // A code decides over a name, and a name over the beginning of an id.
    let by_field = kind.fields.iter().map(|field| {
        let is_it = |record: &&Value| {
            record[*field].as_str().is_some_and(|value| !value.is_empty() && fold(value) == wanted)
        };
        records.iter().filter(is_it).collect::<Vec<_>>()
    });
    let begins = text.to_ascii_lowercase();
    let by_id = std::iter::once_with(|| {
        let is_it = |record: &&Value| {
            looks_like_id(&begins) && record["id"].as_str().is_some_and(|id| id.starts_with(&begins))
        };
        records.iter().filter(is_it).collect()
    });
    let found = by_field.chain(by_id).find(|found| !found.is_empty()).unwrap_or_default();
    match found.as_slice() {
        [one] => id(one).ok_or_else(|| NoneOrSeveral::None {
            what: kind.what,
            text: plain(text),
            command: kind.command,
        }),
        [] => Err(NoneOrSeveral::None { what: kind.what, text: plain(text), command: kind.command }),
        several => {
            let name = |record: &&Value| {
                let first = |fields: &[&str]| {
                    fields
                        .iter()
                        .find_map(|field| record[*field].as_str().filter(|text| !text.is_empty()))
                        .map(plain)
                };
                let short: String = record["id"].as_str().unwrap_or_default().chars().take(8).collect();
                format!("{} ({short})", first(kind.fields).unwrap_or_default())
            };
            Err(NoneOrSeveral::Several { text: plain(text), records: several.iter().map(name).collect() })
        }
    }
}

/// The record that `text` names, of a list that has no pages.
pub(crate) fn one_of<'a>(kind: Named, text: &str, records: &'a [Value]) -> anyhow::Result<&'a Value> {
    let id = match Uuid::parse_str(text) {
        Ok(id) => id,
        Err(_) => choose(kind, text, records)?,
    };
    let found = records.iter().find(|record| record["id"].as_str() == Some(id.to_string().as_str()));
    let none = || NoneOrSeveral::None { what: kind.what, text: plain(text), command: kind.command };
    Ok(found.ok_or_else(none)?)
}

/// The id of the account that `text` names.
pub(crate) async fn account(client: &Client, text: &str) -> anyhow::Result<String> {
    Ok(id_of(client, ACCOUNT, text, &[]).await?.to_string())
}

/// The filter of a list by account, where one is named.
pub(crate) async fn account_filter(
    client: &Client,
    text: Option<&str>,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    match text {
        Some("") => bail!("--account is empty: write a code or a name"),
        Some(text) => Ok(vec![("account", account(client, text).await?)]),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "018f3c2e-0000-7000-8000-00000000000a";
    const B: &str = "018f3c2e-0000-7000-8000-00000000000b";
    const C: &str = "9d8f3c2e-0000-7000-8000-00000000000c";

    fn records() -> Vec<Value> {
        vec![
            json!({ "id": A, "code": "A001", "name": "株式会社さくら商事", "kana": "さくらしょうじ" }),
            json!({ "id": B, "code": "B002", "name": "みなと法律事務所", "kana": "みなとほうりつ" }),
            json!({ "id": C, "code": "C003", "name": "みなと法律事務所", "kana": "" }),
        ]
    }

    #[test]
    fn a_record_is_named_by_code_name_reading_or_the_beginning_of_its_id() {
        for (text, id) in [
            ("A001", A),
            ("a001", A),
            ("Ａ００１", A),
            ("株式会社さくら商事", A),
            ("サクラショウジ", A),
            ("9d8f", C),
            ("9D8F3C2E-", C),
        ] {
            assert_eq!(choose(ACCOUNT, text, &records()).unwrap().to_string(), id, "{text}");
        }
    }

    #[test]
    fn a_text_that_may_be_two_records_names_them_and_none_says_where_they_are() {
        for text in ["みなと法律事務所", "018f3c2e"] {
            let error = choose(ACCOUNT, text, &records()).unwrap_err().to_string();
            assert!(error.contains("several") && error.contains("B002 (018f3c2e)"), "{error}");
        }
        for text in ["", "A00", "9d8", "x\u{1b}[2J", "%", "ffffffff"] {
            let error = choose(ACCOUNT, text, &records()).unwrap_err().to_string();
            assert!(
                error.contains("`toritsugi accounts list` prints them") && !error.contains('\u{1b}'),
                "{error}"
            );
        }
    }
}
