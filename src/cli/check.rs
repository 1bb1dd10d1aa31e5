//! `toritsugi check`: everything the daemon depends on, one line each.
//!
//! A finding is ok, a note (it works, but less well than it could) or failed; one failure makes the exit code 1.
//! Invariant: nothing is changed, on the PBX or in the store (a database that is not there is made by `serve`, not
//! by a check), so it may run beside a daemon at work. Read next: `check/pbx.rs`.

mod pbx;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use smol_str::SmolStr;
use toritsugi::bus::redis;
use toritsugi::config::{Config, StoreConfig};
use toritsugi::ids::PbxId;
use toritsugi::store::{Condition, Location, Store};

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
    Note,
    Failed,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    outcome: Outcome,
    detail: String,
}

impl Finding {
    fn ok(what: &'static str, detail: String) -> Self {
        Self { what, outcome: Outcome::Ok, detail }
    }

    fn note(what: &'static str, detail: String) -> Self {
        Self { what, outcome: Outcome::Note, detail }
    }

    fn failed(what: &'static str, detail: String) -> Self {
        Self { what, outcome: Outcome::Failed, detail }
    }

    fn line(&self) -> String {
        let mark = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Note => "note",
            Outcome::Failed => "FAILED",
        };
        format!("{mark:<8}{:<16}{}", self.what, plain(&self.detail))
    }
}

impl Check {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let mut findings = vec![configuration(&config), store(&config.store).await, bus(&config).await];
        findings.extend(keepers(&config).await);
        findings.extend(webhooks(&config));
        findings.extend(pbx::findings(&config.pbx, seed).await);
        if self.output.json {
            print_json(&findings)?;
        } else {
            for finding in &findings {
                print_line(&finding.line())?;
            }
        }
        let failed = findings.iter().any(|finding| finding.outcome == Outcome::Failed);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Makes ActionIDs that nobody outside can guess; without randomness the PBX is not asked at all.
#[expect(clippy::expect_used, reason = "a system without randomness cannot log in safely")]
fn seed() -> u64 {
    getrandom::u64().expect("the system gives random numbers")
}

/// A wrong configuration never comes this far; this line says which one was read.
fn configuration(config: &Config) -> Finding {
    let detail = match &config.file {
        Some(file) => file.display().to_string(),
        None => "the built-in defaults and the environment; no file".into(),
    };
    Finding::ok("configuration", detail)
}

/// Nothing is said where there are none.
fn webhooks(config: &Config) -> Option<Finding> {
    match config.webhooks() {
        Ok(settings) if settings.receivers.is_empty() => None,
        Ok(settings) => {
            let names: Vec<&str> = settings.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
            Some(Finding::ok("webhooks", names.join(", ")))
        }
        Err(error) => Some(Finding::failed("webhooks", error.to_string())),
    }
}

async fn store(config: &StoreConfig) -> Finding {
    const WHAT: &str = "store";
    let location = match config.location() {
        Ok(location) => location,
        Err(error) => return Finding::failed(WHAT, error.to_string()),
    };
    match (Store::inspect_at(&location).await, &location) {
        (Ok(Condition::Current { schema }), _) => Finding::ok(WHAT, format!("{location}, schema {schema}")),
        (Ok(Condition::Older { schema, known }), _) => {
            Finding::ok(WHAT, format!("{location}, schema {schema}; `serve` will bring it to {known}"))
        }
        (Ok(Condition::Absent), Location::File(path)) => absent(path),
        (Ok(Condition::Absent), Location::Postgres(_)) => {
            Finding::ok(WHAT, format!("{location}, no tables yet; `serve` will make them"))
        }
        (Err(error), _) => Finding::failed(WHAT, error.to_string()),
    }
}

/// `serve` makes the database, but not the directory it lies in.
fn absent(path: &Path) -> Finding {
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if directory.is_dir() {
        Finding::ok("store", format!("{}, not there yet; `serve` will make it", path.display()))
    } else {
        Finding::failed(
            "store",
            format!("{}: make this directory, or set another store.path", directory.display()),
        )
    }
}

async fn bus(config: &Config) -> Finding {
    const WHAT: &str = "bus";
    let address = match config.bus.redis() {
        Ok(Some(address)) => address,
        Ok(None) => return bus_here(config),
        Err(error) => return Finding::failed(WHAT, error.to_string()),
    };
    match address.look().await {
        Ok(look) => {
            let kept = if look.persistent { "" } else { "; it keeps nothing on disk: set appendonly yes" };
            let detail = format!("{address}, Redis {}{kept}", look.version);
            if look.persistent { Finding::ok(WHAT, detail) } else { Finding::note(WHAT, detail) }
        }
        Err(error) => Finding::failed(
            WHAT,
            format!("{address}: {error}; start it, or repair bus.redis and bus.redis_password_file"),
        ),
    }
}

/// Whether another PBX's daemon keeps people who are wanted here. Nothing is said where no daemon shares anything.
async fn keepers(config: &Config) -> Option<Finding> {
    const WHAT: &str = "operators";
    let address = config.bus.redis().ok()??;
    let (prefix, pbx, teams) = (config.bus.redis_prefix.as_str(), &config.pbx.name, &config.operators.teams);
    // That Redis cannot be reached stands in the line of the bus.
    let elsewhere = redis::claimed_elsewhere(&address, prefix, pbx, teams).await.ok()?;
    if elsewhere.is_empty() {
        return Some(Finding::ok(WHAT, "no other PBX's daemon keeps the people of operators.teams".into()));
    }
    let whose = |(team, pbx): (&SmolStr, &PbxId)| match team.as_str() {
        "" => format!("everybody else by {pbx}"),
        team => format!("{team} by {pbx}"),
    };
    let whose: Vec<String> = elsewhere.iter().map(whose).collect();
    let detail = format!(
        "kept by the daemons of other PBXes: {}; name each team in operators.teams of one PBX alone",
        whose.join(", ")
    );
    Some(Finding::failed(WHAT, detail))
}

fn bus_here(config: &Config) -> Finding {
    Finding::ok("bus", format!("in this process, {} past events for a resume", config.bus.replay_events))
}
