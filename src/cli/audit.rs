//! `toritsugi audit`: prints entries of the audit trail: who listened to whom, when and why, who was refused, who changed
//! people, tokens and records, and who signed in.
//!
//! [`record`] adds an entry about what a command of this program did to the store without a daemon.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use toritsugi::identity::printable;
use toritsugi::ids::RecordId;
use toritsugi::store::{AuditEntry, Store};

use super::Global;
use super::client::{Client, ClientArgs, Ids};
use super::output::{Output, Table, print, print_error, print_json};
use super::when;

const PATH: &str = "/v1/audit";
/// Longest login of the operating system that an entry names, in characters.
const LOGIN_CHARS_MAX: usize = 40;
/// Most entries that one request returns.
const PAGE_ENTRIES_MAX: u32 = 500;
/// Most entries that one command prints; for more, divide the time with `--from` and `--to`.
const ENTRIES_MAX: u32 = 100_000;

/// Present calls and the newest finished ones, among which the beginning of an id is looked for.
const CALLS: Ids = Ids {
    what: "call among the present ones and the newest 500 finished ones of each direction",
    paths: &["/v1/calls", "/v1/history?limit=500", "/v1/history?direction=outbound&limit=500"],
    command: "toritsugi calls",
};

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Only entries by or about this person: an extension, a name or a user's id.
    #[arg(long, value_name = "PERSON")]
    person: Option<String>,
    /// Only entries about this record: its id, or how entries name it: of an account its code.
    #[arg(long, value_name = "RECORD")]
    about: Option<String>,
    /// Only entries about this call: its id, or the beginning of it as `toritsugi calls` prints it.
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// Only entries at or after this time: today, -2h, 2026-11-29, 14:30, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    from: Option<Timestamp>,
    /// Only entries before this time.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    to: Option<Timestamp>,
    /// Only entries whose action starts with this text, for instance supervision.refused.
    #[arg(long, value_name = "TEXT")]
    action: Option<String>,
    /// How many entries, the newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(ENTRIES_MAX)))]
    limit: u32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<i64>,
}

/// The printed fields of an entry.
#[derive(Debug, Deserialize)]
struct Entry {
    at: Timestamp,
    actor_name: String,
    action: String,
    subject: String,
    call: Option<String>,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    mode: Option<String>,
    ending: Option<String>,
    refusal: Option<String>,
    reason: Option<String>,
    /// How many equal entries this one stands for.
    repeated: Option<u64>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Adds an entry about something that was done at the command line. If the store does not take it, the command has done
/// its work nevertheless, and says so.
pub(super) async fn record(
    store: &Store,
    action: &str,
    (name, subject): (&str, Option<RecordId>),
    details: Value,
) {
    let login = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let login = login.and_then(|login| printable(&login, LOGIN_CHARS_MAX));
    let entry = AuditEntry {
        at: Timestamp::now(),
        actor: None,
        actor_name: login.map_or_else(|| "command line".into(), |login| format!("command line ({login})")),
        action: action.into(),
        subject: name.into(),
        subject_id: subject,
        call: None,
        details,
    };
    if let Err(error) = store.record_audit(&entry).await {
        print_error(&format!("toritsugi: this was done, but the audit trail could not record it: {error}"));
    }
}

impl Audit {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let entries = self.read(&self.client.client(global)?).await?;
        if self.output.json {
            print_json(&entries)?;
        } else {
            let entries: Vec<Entry> =
                entries.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
            print(&table(&entries, &TimeZone::system()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn read(&self, client: &Client) -> anyhow::Result<Vec<Value>> {
        let call = match &self.call {
            Some(call) => Some(client.whole_id(call, CALLS).await?.to_string()),
            None => None,
        };
        let mut query: Vec<(&str, String)> = Vec::new();
        let text = |value: &Option<String>| value.clone();
        let time = |value: &Option<Timestamp>| value.map(|at| at.to_string());
        for (key, value) in [
            ("person", text(&self.person)),
            ("about", text(&self.about)),
            ("call", call),
            ("action", text(&self.action)),
            ("from", time(&self.from)),
            ("to", time(&self.to)),
        ] {
            query.extend(value.map(|value| (key, value)));
        }
        let mut entries = Vec::new();
        let mut cursor: Option<i64> = None;
        loop {
            let remaining = self.limit - u32::try_from(entries.len()).unwrap_or(u32::MAX);
            let mut page = query.clone();
            page.push(("limit", remaining.min(PAGE_ENTRIES_MAX).to_string()));
            page.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
            let page: Vec<(&str, &str)> = page.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let Page { items, next } = client.get(PATH, &page).await?;
            entries.extend(items);
            cursor = next;
            let is_full = entries.len() >= usize::try_from(self.limit).unwrap_or(usize::MAX);
            if cursor.is_none() || is_full {
                return Ok(entries);
            }
        }
    }
}

fn table(entries: &[Entry], zone: &TimeZone) -> String {
    let mut table = Table::new(["TIME", "WHO", "DID", "TO", "HOW", "CALL", "WHY"]);
    for entry in entries {
        let at = entry.at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let details = &entry.details;
        let or_dash = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
        let mut how: Vec<String> =
            [&details.mode, &details.ending, &details.refusal].into_iter().flatten().cloned().collect();
        how.extend(details.repeated.map(|times| format!("{times} times")));
        // A supervision's other details are what the session looked like.
        if !entry.action.starts_with("supervision.") {
            let shown = details.others.iter().filter(|(key, value)| *key != "session" && !value.is_null());
            how.extend(shown.map(|(key, value)| format!("{key} {value}").replace('"', "")));
        }
        table.row([
            &at,
            &or_dash(Some(&entry.actor_name)),
            &entry.action,
            &or_dash(Some(&entry.subject)),
            &or_dash(Some(&how.join(", "))),
            &or_dash(entry.call.as_deref().and_then(|call| call.get(..8))),
            &or_dash(details.reason.as_deref()),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_a_table() {
        let entries = json!([
            { "at": "2026-01-05T00:01:02.345Z", "actor": "00000000-0000-0000-0000-000000000001",
              "actor_name": "伊藤", "action": "supervision.stopped", "subject": "1001",
              "call": "0a1b2c3d-0000-7000-8000-000000000000",
              "details": { "mode": "whisper", "ending": "stopped", "reason": "新人研修" } },
            { "at": "2026-01-05T00:00:00.000Z", "actor_name": "", "action": "help.requested",
              "subject": "1001", "details": {} },
        ]);
        let entries: Vec<Entry> = serde_json::from_value(entries).unwrap();
        let expected = "\
TIME                 WHO   DID                  TO    HOW               CALL      WHY
2026-01-05 09:01:02  伊藤  supervision.stopped  1001  whisper, stopped  0a1b2c3d  新人研修
2026-01-05 09:00:00  -     help.requested       1001  -                 -         -
";
        assert_eq!(table(&entries, &TimeZone::get("Asia/Tokyo").unwrap()), expected);
    }
}
