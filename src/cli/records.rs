//! `toritsugi accounts`, `contacts`, `customers`: lists, shows, changes and exports records of a running daemon.
//!
//! One line of [`KINDS`] for each kind; the commands are the same for all. A record is named by its code, its name or the
//! beginning of its id (`named.rs`). What `export` writes, `toritsugi import` reads: the daemon makes the file, with the columns
//! of an import.
//!
//! Invariant: `set` changes the fields that it is given and no other.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use toritsugi::contract::hours::Hours;
use toritsugi::directory::import::{ImportKind, columns_of};
use toritsugi::text::spreadsheet::shift_jis;

use super::Global;
use super::client::{Client, ClientArgs};
use super::named::{self, ACCOUNT, CONTACT, CUSTOMER, Named};
use super::output::{self, Output, Table, plain, print, print_json, print_line};
use super::when;

/// A kind of record.
struct Kind {
    named: Named,
    /// The columns of the table: heading and field. `account` is shown as the account's code.
    columns: &'static [(&'static str, &'static str)],
    /// The same in an import, whose columns are the fields that a file, `show` and `set` have.
    import: ImportKind,
}

impl Kind {
    fn fields(&self) -> Vec<&'static str> {
        columns_of(self.import).collect()
    }

    /// The name of its file in the API.
    fn file(&self) -> &'static str {
        match self.import {
            ImportKind::Accounts => "accounts",
            ImportKind::Contacts => "contacts",
            ImportKind::Customers => "customers",
        }
    }

    /// Whether its records belong to an account.
    fn is_of_account(&self) -> bool {
        self.import != ImportKind::Accounts
    }
}

/// Which kind a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Of {
    Accounts,
    Contacts,
    Customers,
}

static KINDS: [(Of, Kind); 3] = [
    (
        Of::Accounts,
        Kind {
            named: ACCOUNT,
            columns: &[
                ("ID", "id"),
                ("CODE", "code"),
                ("NAME", "name"),
                ("DIALLED", "dialled"),
                ("FORWARDING", "forwarding"),
                ("HOURS", "hours"),
            ],
            import: ImportKind::Accounts,
        },
    ),
    (
        Of::Contacts,
        Kind {
            named: CONTACT,
            columns: &[
                ("ID", "id"),
                ("ACCOUNT", "account"),
                ("CODE", "code"),
                ("NAME", "name"),
                ("ROLE", "role"),
                ("NUMBER", "number"),
                ("ON CALL", "on_call_order"),
                ("NO TRANSFER", "no_transfer"),
                ("DO NOT TELL", "do_not_tell"),
            ],
            import: ImportKind::Contacts,
        },
    ),
    (
        Of::Customers,
        Kind {
            named: CUSTOMER,
            columns: &[
                ("ID", "id"),
                ("ACCOUNT", "account"),
                ("CODE", "code"),
                ("NAME", "name"),
                ("COMPANY", "company"),
                ("NUMBERS", "numbers"),
                ("FLAGS", "flags"),
            ],
            import: ImportKind::Customers,
        },
    ),
];

fn kind_of(of: Of) -> &'static Kind {
    match of {
        Of::Accounts => &KINDS[0].1,
        Of::Contacts => &KINDS[1].1,
        Of::Customers => &KINDS[2].1,
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum RecordsCommand {
    /// List the records.
    List(List),
    /// Show one record with all its fields.
    Show(Show),
    /// Change fields of one record.
    Set(Set),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only records of this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The record: its code, its name or the beginning of its id.
    record: String,
    /// The account of the record, where its code alone is not enough.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The record: its code, its name or the beginning of its id.
    record: String,
    /// What becomes of its fields, for instance 'notes=Back on Monday' or numbers=0312345678,09012345678. An empty value
    /// removes what the field has.
    #[arg(required = true, value_name = "FIELD=VALUE")]
    changes: Vec<String>,
    /// The account of the record, where its code alone is not enough.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// `toritsugi export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The kind of records.
    kind: Of,
    /// Only records of this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// The encoding of the file: utf-8 (with a byte order mark, for Excel) or cp932.
    #[arg(long, value_name = "ENCODING", default_value = "utf-8", value_parser = ["utf-8", "cp932"])]
    encoding: String,
    /// Write this new file instead of standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

impl RecordsCommand {
    pub(super) async fn run(self, global: &Global, of: Of) -> anyhow::Result<ExitCode> {
        let kind = kind_of(of);
        match self {
            Self::List(list) => list.run(global, kind).await?,
            Self::Show(show) => show.run(global, kind).await?,
            Self::Set(set) => set.run(global, kind).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The records of a kind, and the code of each account where they name one.
async fn read(client: &Client, kind: &Kind, account: Option<&str>) -> anyhow::Result<(Vec<Value>, Codes)> {
    let filter = named::account_filter(client, account).await?;
    let mut records = named::all(client, kind.named.path, &filter).await?;
    if kind.named.path == ACCOUNT.path
        && let Some((_, id)) = filter.first()
    {
        records.retain(|record| record["id"] == id.as_str());
    }
    let codes = if kind.is_of_account() { Codes::read(client).await? } else { Codes::default() };
    Ok((records, codes))
}

/// The codes of accounts by their ids.
#[derive(Debug, Default)]
struct Codes(std::collections::HashMap<String, String>);

impl Codes {
    async fn read(client: &Client) -> anyhow::Result<Self> {
        let accounts = named::all(client, ACCOUNT.path, &[]).await?;
        let pair = |account: &Value| {
            Some((account["id"].as_str()?.to_owned(), account["code"].as_str()?.to_owned()))
        };
        Ok(Self(accounts.iter().filter_map(pair).collect()))
    }

    fn of(&self, id: &str) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }
}

impl List {
    async fn run(self, global: &Global, kind: &Kind) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let (records, codes) = read(&client, kind, self.account.as_deref()).await?;
        if self.output.json {
            return print_json(&records);
        }
        let headings: Vec<String> = kind.columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let mut table = Table::of(&headings);
        for record in &records {
            let cell = |(_, field): &(&str, &str)| match (*field, cell_of(record, field, &codes)) {
                ("id", id) => id.chars().take(8).collect(),
                (_, empty) if empty.is_empty() => "-".to_owned(),
                (_, cell) => cell,
            };
            table.row_of(&kind.columns.iter().map(cell).collect::<Vec<_>>());
        }
        Ok(print(&table.render())?)
    }
}

/// The one record that a command is about.
async fn one(client: &Client, kind: &Kind, text: &str, account: Option<&str>) -> anyhow::Result<Value> {
    let filter = if kind.named.path == ACCOUNT.path {
        Vec::new()
    } else {
        named::account_filter(client, account).await?
    };
    let id = named::id_of(client, kind.named, text, &filter).await?;
    client.get(&format!("{}/{id}", kind.named.path), &[]).await
}

impl Show {
    async fn run(self, global: &Global, kind: &Kind) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let record = one(&client, kind, &self.record, self.account.as_deref()).await?;
        show(&client, kind, &record, self.output).await
    }
}

async fn show(client: &Client, kind: &Kind, record: &Value, output: Output) -> anyhow::Result<()> {
    if output.json {
        return print_json(record);
    }
    let codes = if kind.is_of_account() { Codes::read(client).await? } else { Codes::default() };
    let others = ["id", "created_at", "changed_at"];
    for field in kind.fields().into_iter().chain(others) {
        let cell = match (field, record[field].as_str()) {
            ("deputy", Some(id)) => {
                let contact: Value = client.get(&format!("{}/{id}", CONTACT.path), &[]).await?;
                contact["code"].as_str().or(contact["name"].as_str()).unwrap_or(id).to_owned()
            }
            _ => cell_of(record, field, &codes),
        };
        print_line(format!("{field:<20}{}", plain(&cell)).trim_end())?;
    }
    Ok(())
}

impl Set {
    async fn run(self, global: &Global, kind: &Kind) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let record = one(&client, kind, &self.record, self.account.as_deref()).await?;
        let mut patch = Map::new();
        for change in &self.changes {
            let Some((field, value)) = change.split_once('=') else {
                bail!("{change:?} is not a change: write FIELD=VALUE, for instance notes=…");
            };
            let fields: Vec<&str> = kind.fields().into_iter().filter(|field| *field != "account").collect();
            if !fields.contains(&field) {
                bail!("{} has no field {field:?} to set; it has {}", kind.named.what, fields.join(", "));
            }
            let value = match field {
                "deputy" if !value.is_empty() => deputy(&client, &record, value).await?,
                _ => value_of(field, value)?,
            };
            patch.insert(field.to_owned(), value);
        }
        let id = record["id"].as_str().context("the record has no id")?;
        let changed: Value = client.patch(&format!("{}/{id}", kind.named.path), &patch).await?;
        show(&client, kind, &changed, self.output).await
    }
}

/// The contact who is to stand in for `contact`.
async fn deputy(client: &Client, contact: &Value, text: &str) -> anyhow::Result<Value> {
    let account = contact["account"].as_str().context("the contact has no account")?;
    let filter = [("account", account.to_owned())];
    Ok(named::id_of(client, CONTACT, text, &filter).await?.to_string().into())
}

/// The value of a field as the API takes it.
fn value_of(field: &str, text: &str) -> anyhow::Result<Value> {
    let list = |text: &str| -> Value {
        text.split([',', ';', '、']).map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
    };
    Ok(match field {
        "dialled" | "forwarding" | "extra_numbers" | "numbers" | "flags" | "endpoint_order" => list(text),
        "hours" => serde_json::to_value(Hours::read(text).with_context(|| format!("hours={text}"))?)?,
        "accept_by_key" | "never_monitor" | "no_transfer" | "do_not_tell" | "open_on_answer" => match text {
            "yes" | "true" | "はい" => true.into(),
            "no" | "false" | "いいえ" => false.into(),
            _ => bail!("{field}={text}: write yes or no"),
        },
        "absent_until" if !text.is_empty() => {
            let time = when::time(text).map_err(|error| anyhow!("{field}={text}: {error}"))?;
            time.to_string().into()
        }
        "wrap_up_s" | "ring_s" | "on_call_order" => match text {
            "" => Value::Null,
            number => match number.parse::<u32>() {
                Ok(number) => number.into(),
                Err(_) => bail!("{field}={text}: write a whole number"),
            },
        },
        _ if text.is_empty() => Value::Null,
        _ => text.into(),
    })
}

/// A field as a cell of a table or a file.
fn cell_of(record: &Value, field: &str, codes: &Codes) -> String {
    match (&record[field], field) {
        (Value::Null, _) => String::new(),
        (Value::String(id), "account") => codes.of(id),
        (Value::String(text), _) => text.clone(),
        (Value::Bool(true), _) => "yes".to_owned(),
        (Value::Bool(false), _) => "no".to_owned(),
        (Value::Array(items), _) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(";"),
        (hours, "hours") => {
            serde_json::from_value::<Hours>(hours.clone()).map(|hours| hours.to_string()).unwrap_or_default()
        }
        (other, _) => other.to_string(),
    }
}

impl Export {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let path = format!("/v1/export/{}.csv", kind_of(self.kind).file());
        let filter = named::account_filter(&client, self.account.as_deref()).await?;
        let query: Vec<(&str, &str)> = filter.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let file = client.download(&path, &query).await?.bytes().await.context("the file broke off")?;
        let (bytes, missing) = match self.encoding.as_str() {
            "cp932" => {
                let text = std::str::from_utf8(&file).context("the daemon's file is not UTF-8")?;
                shift_jis(text.trim_start_matches('\u{feff}'))
            }
            _ => (file.to_vec(), 0),
        };
        match &self.to {
            Some(file) => {
                let new = std::fs::File::create_new(file)
                    .and_then(|mut new| std::io::Write::write_all(&mut new, &bytes));
                new.with_context(|| format!("cannot write the new file {}", file.display()))?;
            }
            None => output::print_bytes(&bytes)?,
        }
        if missing > 0 {
            output::print_error(&format!(
                "toritsugi: {missing} characters are not in cp932 and stand as 〓; use --encoding utf-8"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_kinds_stand_in_their_places() {
        for (of, kind) in &KINDS {
            assert_eq!(kind_of(*of).named.path, kind.named.path);
            assert!(kind.named.path.ends_with(kind.file()), "{}", kind.named.path);
        }
    }

    #[test]
    fn values_are_those_of_the_field() {
        assert_eq!(value_of("numbers", "03-1234-5678, 090").unwrap(), json!(["03-1234-5678", "090"]));
        assert_eq!(value_of("never_monitor", "yes").unwrap(), json!(true));
        assert_eq!(value_of("wrap_up_s", "").unwrap(), Value::Null);
        assert_eq!(value_of("notes", "").unwrap(), Value::Null);
        assert_eq!(value_of("hours", "").unwrap(), Value::Null);
        assert!(value_of("hours", "月-金 09:00-18:00").unwrap().is_object());
        for (field, value) in [("never_monitor", "maybe"), ("wrap_up_s", "-1"), ("hours", "25 o'clock")] {
            assert!(value_of(field, value).is_err(), "{field}={value}");
        }
    }
}
