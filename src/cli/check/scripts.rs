//! The test of the scripts: whether every call of an account with scripts has one, and something to say while the account is
//! closed.

use jiff::Timestamp;
use toritsugi::config::Config;
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::script::Gap;
use toritsugi::store::{SchemaStatus, Store};

use super::Finding;

const WHAT: &str = "scripts";
/// Most accounts that are named.
const ACCOUNTS_SHOWN_MAX: usize = 20;

/// All findings; none if the store cannot be read without a change, which another test says.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let Ok(location) = config.store.location() else { return Vec::new() };
    if !matches!(Store::inspect_at(&location).await, Ok(SchemaStatus::Current { .. })) {
        return Vec::new();
    }
    let read = async {
        let store = Store::open_at(&location).await?;
        let directory = Directory::load(store, DirectoryOptions::from(&config.directory)).await;
        if let Ok(directory) = &directory {
            directory.store().close().await;
        }
        directory
    };
    match read.await {
        Ok(directory) => findings(&directory, Timestamp::now()),
        Err(error) => vec![Finding::failed(WHAT, error.to_string())],
    }
}

fn findings(directory: &Directory, now: Timestamp) -> Vec<Finding> {
    let (with, all) = (directory.accounts_with_scripts(), directory.accounts_in_memory());
    let gaps = directory.script_gaps(now);
    let mut findings: Vec<Finding> = gaps
        .iter()
        .take(ACCOUNTS_SHOWN_MAX)
        .map(|(account, gaps)| {
            let gaps: Vec<String> = gaps.iter().map(gap_text).collect();
            Finding::note(
                WHAT,
                format!("{} {}: {}", account.fields.code, account.fields.name, gaps.join("; ")),
            )
        })
        .collect();
    if let Some(more) = gaps.len().checked_sub(ACCOUNTS_SHOWN_MAX).filter(|more| *more > 0) {
        findings.push(Finding::note(WHAT, format!("{more} more accounts have such gaps")));
    }
    if findings.is_empty() {
        let detail =
            format!("{with} of {all} accounts have scripts, without gaps; the others have the built-in one");
        findings.push(Finding::ok(WHAT, detail));
    }
    findings
}

fn gap_text(gap: &Gap) -> String {
    let number = gap.number.as_ref().map(|number| format!(" for calls to {number}")).unwrap_or_default();
    match &gap.unopened {
        Some((script, version)) => format!(
            "the script {script} (version {version}) has no closed opening for {}{number}; it says the usual one",
            gap.from
        ),
        None => format!("no script for {}{number}; the built-in one is used", gap.from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_named_with_its_time() {
        let gap = Gap { from: "Saturday 2026-12-05 20:00".into(), number: None, unopened: None };
        assert_eq!(gap_text(&gap), "no script for Saturday 2026-12-05 20:00; the built-in one is used");
        let gap = Gap { number: Some("+81355501001".into()), unopened: Some(("usual".into(), 2)), ..gap };
        assert!(gap_text(&gap).contains(
            "version 2) has no closed opening for Saturday 2026-12-05 20:00 for calls to +81355501001"
        ));
    }
}
