//! `toritsugi support-bundle FILE`: writes what somebody needs to help with a problem, and nothing of people.
//!
//! | in the file | left out |
//! |---|---|
//! | versions, the machine's kernel and zone, sizes of the database | host names, user names, addresses |
//! | which settings the file sets; numbers and switches with their values | every text of a setting: names, hosts, paths, numbers |
//! | each line of `check` | texts of settings, runs of four or more digits, mail addresses, paths, whatever is not English |
//! | `/readyz`, `/metrics` of the daemon | texts of `/readyz` |
//!
//! Invariant: no table of the store is read but for counts, and no text reaches the file without [`without_people`].

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use toritsugi::config::Config;
use toritsugi::store::{Location, SchemaStatus, Store};

use super::language::say;
use super::output::print_line;
use super::{Global, check, client};

/// Digits in a row that may be a telephone number, or a part of one.
const DIGITS_MAX: usize = 3;
/// A shorter text of a setting says nothing of anybody, and is in many words.
const TEXT_BYTES_MIN: usize = 3;
/// How long the daemon may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct SupportBundle {
    /// The new file.
    file: PathBuf,
}

impl SupportBundle {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let findings = check::findings(&config, global).await;
        let table = table(&config);
        let mut texts = Vec::new();
        texts_of(&table, &mut texts);
        // The longest first: one may be a part of another.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let bundle = json!({
            "made_at": Timestamp::now().to_string(),
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine(),
            "settings": shape(table),
            "store": store(&config).await,
            "check": findings.iter().map(|(what, outcome, detail)| {
                json!({ "what": what, "outcome": outcome, "detail": without_people(&without(detail, &texts)) })
            }).collect::<Vec<_>>(),
            "readyz": daemon(global, "/readyz").await.map(|text| shape(serde_json::from_str(&text).unwrap_or_default())),
            "metrics": daemon(global, "/metrics").await,
        });
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.file)
            .with_context(|| format!("cannot create the new file {}", self.file.display()))?;
        file.write_all(serde_json::to_string_pretty(&bundle)?.as_bytes())
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        print_line(&say(
            "written; it has no names, numbers, addresses or secrets. Read it before you pass it on.",
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let system = read("/etc/os-release");
    let name = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    json!({
        "system": name.trim_matches('"'),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "time_zone": TimeZone::system().iana_name(),
    })
}

/// What the configuration file has.
fn table(config: &Config) -> Value {
    let text = config.file.as_deref().and_then(|file| std::fs::read_to_string(file).ok());
    let table = text.and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
    serde_json::to_value(table).unwrap_or_default()
}

/// The texts of settings, and the keys that an installation chose.
fn texts_of(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= TEXT_BYTES_MIN => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if !is_ours(key) {
                    texts.push(key.clone());
                }
                texts_of(value, texts);
            }
        }
        _ => {}
    }
}

fn without(text: &str, texts: &[String]) -> String {
    texts.iter().fold(text.to_owned(), |text, known| text.replace(known.as_str(), "<set>"))
}

/// Whether a key is one of the program's, not a name that an installation chose.
fn is_ours(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// A value without its texts: they become `(set)`, or `(empty)`. Keys that an installation chooses are counted.
fn shape(value: Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => json!("(empty)"),
        Value::String(_) => json!("(set)"),
        Value::Array(items) if items.iter().all(Value::is_string) => json!(format!("({} set)", items.len())),
        Value::Array(items) => items.into_iter().map(shape).collect(),
        Value::Object(fields) => {
            let (ours, theirs): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(key, _)| is_ours(key));
            let mut shaped: Map<String, Value> =
                ours.into_iter().map(|(key, value)| (key, shape(value))).collect();
            if !theirs.is_empty() {
                shaped.insert("(own keys)".into(), theirs.len().into());
            }
            shaped.into()
        }
        other => other,
    }
}

async fn store(config: &Config) -> Value {
    let Ok(location) = config.store.location() else { return json!({ "problem": "no location" }) };
    let (kind, bytes) = match &location {
        Location::File(path) => ("sqlite", size(path)),
        Location::Postgres(_) => ("postgresql", None),
    };
    let schema = match Store::inspect_at(&location).await {
        Ok(SchemaStatus::Current { schema } | SchemaStatus::Older { schema, .. }) => json!(schema),
        Ok(SchemaStatus::Absent) => json!("absent"),
        Err(error) => json!(without_people(&error.to_string())),
    };
    json!({ "kind": kind, "bytes": bytes, "schema": schema })
}

fn size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|data| data.len())
}

async fn daemon(global: &Global, path: &str) -> Option<String> {
    let address = global.daemon_address().ok()?;
    let http = client::builder(&[]).ok()?.timeout(ANSWER_TIMEOUT).build().ok()?;
    http.get(format!("http://{address}{path}")).send().await.ok()?.text().await.ok()
}

/// The text without what may be somebody's: numbers, addresses, and whatever is not plain English.
fn without_people(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        if word.contains('@') {
            return "<address>".to_owned();
        }
        if word.matches('/').count() > 1 && !word.starts_with("/v1/") {
            return "<path>".to_owned();
        }
        let mut kept = String::new();
        let mut digits = String::new();
        for c in word.chars().chain(['\0']) {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            kept.push_str(if digits.len() > DIGITS_MAX { "#" } else { &digits });
            digits.clear();
            match c {
                '\0' => {}
                c if c.is_ascii() => kept.push(c),
                // Japanese and other scripts are names here; English is what the program says.
                _ if kept.ends_with('…') => {}
                _ => kept.push('…'),
            }
        }
        kept
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_setting_is_in_the_file() {
        let file = "[pbx]\nname = \"本社\"\nport = 5038\ntrunks = [\"carrier-a\", \"b\"]\nevent_secret_file = \"\"\n\
                    [directory.dialled_headers]\n\"carrier-a\" = \"to\"\n[gateway]\nsecure_cookie = true\n\
                    [[webhooks.receivers]]\nurl = \"https://crm.example.jp/x\"\n";
        let table: toml::Table = file.parse().unwrap();
        let shaped = shape(serde_json::to_value(table).unwrap());
        assert_eq!(
            shaped,
            json!({
                "pbx": { "name": "(set)", "port": 5038, "trunks": "(2 set)", "event_secret_file": "(empty)" },
                "directory": { "dialled_headers": { "(own keys)": 1 } },
                "gateway": { "secure_cookie": true },
                "webhooks": { "receivers": [{ "url": "(set)" }] },
            })
        );
    }

    #[test]
    fn lines_of_check_lose_what_may_be_somebodys() {
        for (text, kept) in [
            ("of calls on trunk: P-Called-Party-ID", "of calls on trunk: P-Called-Party-ID"),
            ("calls for 0355501001 in from-carrier", "calls for # in from-carrier"),
            ("mails from info@example.jp, encrypted", "mails from <address> encrypted"),
            ("株式会社さくら商事, by the dialled number", "…, by the dialled number"),
            ("+81-90-1234-5678", "+81-90-#-#"),
            ("schema 52", "schema 52"),
            ("/srv/sato/t.db does not exist yet", "<path> does not exist yet"),
        ] {
            assert_eq!(without_people(text), kept);
        }
    }
}
