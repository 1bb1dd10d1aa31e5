//! `toritsugi check`: everything the daemon depends on, one line each.
//!
//! Each [`Finding`] is passed, failed or not tested since something before it failed; one failure makes the exit
//! code 1. Invariant: nothing is changed, on the PBX or in the store (a database that is not there is made by
//! `serve`, not by a check).

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use toritsugi::config::Config;
use toritsugi::store::{Condition, Store};

use super::Global;
use super::output::{Output, plain, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    output: Output,
}

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Failed,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    outcome: Outcome,
    detail: String,
}

impl Check {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let findings = vec![configuration(&config), secrets(&config), store(&config.store.path).await];
        if self.output.json {
            print_json(&findings)?;
        } else {
            for finding in &findings {
                print_line(&line(finding))?;
            }
        }
        let failed = findings.iter().any(|finding| finding.outcome == Outcome::Failed);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn line(finding: &Finding) -> String {
    let mark = match finding.outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "FAILED",
    };
    format!("{mark:<8}{:<16}{}", finding.what, plain(&finding.detail))
}

/// A wrong configuration never comes this far; this line says which one was read.
fn configuration(config: &Config) -> Finding {
    let detail = match &config.file {
        Some(file) => file.display().to_string(),
        None => "the built-in defaults and the environment; no file".into(),
    };
    Finding { what: "configuration", outcome: Outcome::Ok, detail }
}

fn secrets(config: &Config) -> Finding {
    let (outcome, detail) = match config.pbx.credentials() {
        Ok(both) => {
            (Outcome::Ok, format!("of the manager accounts {} and {}", both.events.user, both.actions.user))
        }
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    Finding { what: "secrets", outcome, detail }
}

async fn store(path: &Path) -> Finding {
    let file = path.display();
    let (outcome, detail) = match Store::inspect(path).await {
        Ok(Condition::Current { schema }) => (Outcome::Ok, format!("{file}, schema {schema}")),
        Ok(Condition::Older { schema, known }) => {
            (Outcome::Ok, format!("{file}, schema {schema}; `serve` will bring it to {known}"))
        }
        Ok(Condition::Absent) => absent(path),
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    Finding { what: "store", outcome, detail }
}

/// `serve` makes the database, but not the directory it lies in.
fn absent(path: &Path) -> (Outcome, String) {
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if directory.is_dir() {
        (Outcome::Ok, format!("{}, not there yet; `serve` will make it", path.display()))
    } else {
        (Outcome::Failed, format!("{}: make this directory, or set another store.path", directory.display()))
    }
}
