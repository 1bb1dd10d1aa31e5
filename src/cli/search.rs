//! `toritsugi search`: accounts, contacts, customers, messages and finished calls by a name, a number or a word.
//!
//! The daemon finds them ([`toritsugi::contract::records::search`] says how texts are compared) and shows what the token may read.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Global;
use super::client::ClientArgs;
use super::language;
use super::output::{Output, Table, cut, plain, print, print_error, print_json};

/// Columns of a message's text that are shown.
const TEXT_COLUMNS: usize = 40;

/// A kind of what is found: the word in the table, the member of the answer, the field that names one, and further fields.
const KINDS: [(&str, &str, &str, &[&str]); 5] = [
    ("account", "accounts", "name", &["code", "kana"]),
    ("contact", "contacts", "name", &["role", "kana"]),
    ("customer", "customers", "name", &["company", "kana"]),
    ("message", "messages", "number", &["created_at", "text"]),
    ("call", "calls", "customer_name", &["account_name", "offered_at"]),
];

#[derive(Debug, Args)]
pub(super) struct Search {
    /// A name in kanji, kana or romaji, a part of a telephone number in any writing, or words of a message.
    #[arg(value_name = "TEXT")]
    text: String,
    /// The largest number of records of each kind, up to 20.
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: u32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl Search {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let query = [("q", self.text.as_str()), ("limit", &self.limit.to_string())];
        let found: Value = client.get("/v1/search", &query).await?;
        if self.output.json {
            print_json(&found)?;
            return Ok(ExitCode::SUCCESS);
        }
        print(&table(&found))?;
        if let Some(parts) = found["incomplete"].as_array().filter(|parts| !parts.is_empty()) {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            let why = format!("not searched to the end: {}; write more of the text", parts.join(", "));
            print_error(&language::say(&why));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(found: &Value) -> String {
    let mut table = Table::new(["KIND", "ID", "NAME", "MORE"]);
    for (kind, member, name, more) in KINDS {
        for record in found[member].as_array().into_iter().flatten() {
            let text = |field: &str| plain(record[field].as_str().unwrap_or_default());
            let more: Vec<String> =
                more.iter().map(|field| text(field)).filter(|text| !text.is_empty()).collect();
            table.row([kind, &text("id"), &text(name), &cut(&more.join("  "), TEXT_COLUMNS)]);
        }
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn each_kind_has_its_lines() {
        let found = json!({
            "accounts": [{ "id": "a1", "code": "A001", "name": "株式会社さくら商事", "kana": "" }],
            "contacts": [],
            "customers": [{ "id": "c1", "name": "田中太郎", "kana": "タナカタロウ", "company": "田中電機" }],
            "messages": [{ "id": "m1", "number": "261129-0001", "created_at": "2026-11-29T01:00:00.000Z", "text": "納期\nの件" }],
            "calls": [{ "id": "k1", "offered_at": "2026-11-29T01:00:00.000Z" }],
        });
        let table = super::table(&found);
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(table.contains("田中電機  タナカタロウ") && table.contains("261129-0001"), "{table}");
    }
}
