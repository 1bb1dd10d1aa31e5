//! `toritsugi check`: tests everything that the daemon depends on, and prints one line for each test.
//!
//! | outcome | meaning |
//! |---|---|
//! | ok | it works |
//! | note | it works, but not as well as it could |
//! | warning | it works, and somebody who should not may read or do something: make it safe |
//! | failed | it does not work; the exit code is 1 |
//!
//! Invariant: a check changes nothing, neither on the PBX nor in the store or Redis, so it can run beside a running
//! daemon. `serve`, not a check, creates a database that does not exist. Read next: `check/pbx.rs`, `check/safety.rs`,
//! `check/call.rs`.

mod call;
mod callflow;
mod chat;
mod dialplan;
mod endpoints;
mod fax;
mod first_steps;
mod installation;
mod mail;
mod pbx;
mod routes;
mod safety;
mod scripts;
mod voice;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use smol_str::SmolStr;
use toritsugi::bus::redis;
use toritsugi::config::{Config, StoreConfig};
use toritsugi::ids::PbxId;
use toritsugi::report::{FontError, ReportFont};
use toritsugi::store::{Location, SchemaStatus, Store};

use super::Global;
use super::language::say;
use super::output::{Colour, Output, painted, plain, print_json, print_line};

/// Longest wait for the call of `--call`, in seconds.
const CALL_SECONDS_MAX: u64 = 3600;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Then wait for one call from outside, and say whether it came through to a pop.
    #[arg(long)]
    call: bool,
    /// How long to wait for that call and for its pop, in seconds, 1 to 3600.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "call", value_parser = clap::value_parser!(u64).range(1..=CALL_SECONDS_MAX))]
    call_seconds: u64,
    #[command(flatten)]
    output: Output,
}

/// The result of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Note,
    Warning,
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

    fn warning(what: &'static str, detail: String) -> Self {
        Self { what, outcome: Outcome::Warning, detail }
    }

    fn failed(what: &'static str, detail: String) -> Self {
        Self { what, outcome: Outcome::Failed, detail }
    }

    fn line(&self) -> String {
        let mark = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Note => "note",
            Outcome::Warning => "WARNING",
            Outcome::Failed => "FAILED",
        };
        let colour = match self.outcome {
            Outcome::Ok => Colour::Green,
            Outcome::Note => Colour::Yellow,
            Outcome::Warning | Outcome::Failed => Colour::Red,
        };
        // Scripts read the mark and the name, which are the same in every language.
        let mark = painted(&format!("{mark:<8}"), colour, std::io::stdout().is_terminal());
        format!("{mark}{:<16}{}", self.what, plain(&say(&self.detail)))
    }
}

/// How many lines of each outcome there were, and the first that asks for something.
#[derive(Debug, Default)]
struct Counted {
    ok: usize,
    notes: usize,
    warnings: usize,
    failed: usize,
    /// The first of the worst lines.
    next: Option<(Outcome, &'static str, String)>,
}

impl Counted {
    fn add(&mut self, finding: &Finding) {
        let (count, rank) = match finding.outcome {
            Outcome::Ok => (&mut self.ok, 0),
            Outcome::Note => (&mut self.notes, 1),
            Outcome::Warning => (&mut self.warnings, 2),
            Outcome::Failed => (&mut self.failed, 3),
        };
        *count += 1;
        let worst = self.next.as_ref().map_or(0, |(outcome, ..)| match outcome {
            Outcome::Ok => 0,
            Outcome::Note => 1,
            Outcome::Warning => 2,
            Outcome::Failed => 3,
        });
        if rank > worst {
            self.next = Some((finding.outcome, finding.what, finding.detail.clone()));
        }
    }

    /// What the lines come to, and what to do next.
    fn summary(&self) -> String {
        let Self { ok, notes, warnings, failed, next } = self;
        let counts = format!("{ok} ok, {notes} notes, {warnings} warnings, {failed} failed");
        let next = match next {
            None => "nothing is left to do".to_owned(),
            Some((Outcome::Failed, what, detail)) => format!("repair first: {what}: {}", plain(&say(detail))),
            Some((_, what, detail)) => format!("next: {what}: {}", plain(&say(detail))),
        };
        format!("{}\n{}", say(&counts), say(&next))
    }
}

impl Check {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let mut counted = Counted::default();
        let mut findings = all(&config, global).await;
        if self.call {
            if !self.output.json {
                for finding in findings.drain(..) {
                    counted.add(&finding);
                    print_line(&finding.line())?;
                }
            }
            let limit = Duration::from_secs(self.call_seconds);
            findings.extend(call::check(&config, seed, limit, !self.output.json).await?);
        }
        report(&findings, counted, &self.output)
    }
}

/// Prints the findings about mail alone, and what to do next: `toritsugi mail check`.
pub(super) async fn of_mail(global: &Global, output: &Output) -> anyhow::Result<ExitCode> {
    report(&mail::all(&global.config()?).await, Counted::default(), output)
}

/// Prints findings, and what they and those that were printed before come to.
fn report(findings: &[Finding], mut counted: Counted, output: &Output) -> anyhow::Result<ExitCode> {
    if output.json {
        print_json(&findings)?;
    } else {
        for finding in findings {
            print_line(&finding.line())?;
        }
    }
    findings.iter().for_each(|finding| counted.add(finding));
    if !output.json {
        print_line("")?;
        print_line(&counted.summary())?;
    }
    Ok(if counted.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every finding but that of a call.
async fn all(config: &Config, global: &Global) -> Vec<Finding> {
    let mut findings = vec![configuration(config), store(&config.store).await, bus(config).await];
    findings.extend(team_ownership(config).await);
    findings.extend(webhooks(config));
    findings.push(mail::check(config).await);
    findings.push(report_font(config));
    findings.push(chat::check(config));
    findings.extend(routes::check(config).await);
    findings.extend(mail::hosts(config).await);
    findings.extend(mail::backup(config).await);
    findings.extend(mail::returned(config).await);
    findings.extend(mail::addresses(config).await);
    findings.extend(endpoints::check(config).await);
    findings.extend(dialled_headers(config));
    findings.extend(fax::directory(config));
    findings.extend(voice::directory(config));
    findings.extend(voice::sounds(config));
    findings.extend(callflow::check(config).await);
    findings.extend(scripts::check(config).await);
    findings.extend(safety::check(config).await);
    findings.extend(pbx::check(config, seed).await);
    findings.extend(first_steps::check(config, global).await);
    findings
}

/// Every finding as its name, its outcome and its sentence.
pub(super) async fn findings(config: &Config, global: &Global) -> Vec<(&'static str, &'static str, String)> {
    let name = |outcome| match outcome {
        Outcome::Ok => "ok",
        Outcome::Note => "note",
        Outcome::Warning => "warning",
        Outcome::Failed => "failed",
    };
    let found = all(config, global).await;
    found.into_iter().map(|finding| (finding.what, name(finding.outcome), finding.detail)).collect()
}

/// Seeds the ActionIDs, which must not be guessable.
#[expect(clippy::expect_used, reason = "a system without randomness cannot log in safely")]
fn seed() -> u64 {
    getrandom::u64().expect("the system gives random numbers")
}

/// Reports which configuration was read. An invalid configuration ends the command before this test.
fn configuration(config: &Config) -> Finding {
    let detail = match &config.file {
        Some(file) => file.display().to_string(),
        None => "the built-in defaults and the environment; there is no file".into(),
    };
    Finding::ok("configuration", detail)
}

/// Reports the webhook receivers; `None` if none is configured.
fn webhooks(config: &Config) -> Option<Finding> {
    match config.webhook_settings() {
        Ok(settings) if settings.receivers.is_empty() => None,
        Ok(settings) => {
            let names: Vec<&str> = settings.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
            Some(Finding::ok("webhooks", names.join(", ")))
        }
        Err(error) => Some(Finding::failed("webhooks", error.to_string())),
    }
}

/// Reports, for each trunk, which header has the number that was dialled. A name that is no trunk is a typing error.
fn dialled_headers(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "dialled number";
    let (trunks, headers) = (&config.pbx.trunks, &config.directory.dialled_headers);
    let unknown = headers.keys().filter(|name| !trunks.contains(name)).map(|name| {
        Finding::note(
            WHAT,
            format!(
                "directory.dialled_headers names {name}, which is not in pbx.trunks; correct one of the two"
            ),
        )
    });
    let known = trunks.iter().map(|trunk| {
        let header = headers.get(trunk).copied().unwrap_or_default();
        Finding::ok(WHAT, format!("of calls on {trunk}: {}", header.describe()))
    });
    known.chain(unknown).collect()
}

/// Whether monthly reports can be written as PDF.
fn report_font(config: &Config) -> Finding {
    const WHAT: &str = "report font";
    match ReportFont::load(config.reports.font.as_deref()) {
        Ok(font) => Finding::ok(WHAT, font.file().display().to_string()),
        Err(error @ FontError::None) => Finding::note(WHAT, error.to_string()),
        Err(error) => Finding::failed(WHAT, error.to_string()),
    }
}

async fn store(config: &StoreConfig) -> Finding {
    const WHAT: &str = "store";
    let location = match config.location() {
        Ok(location) => location,
        Err(error) => return Finding::failed(WHAT, error.to_string()),
    };
    match (Store::inspect_at(&location).await, &location) {
        (Ok(SchemaStatus::Current { schema }), _) => {
            Finding::ok(WHAT, format!("{location}, schema {schema}"))
        }
        (Ok(SchemaStatus::Older { schema, known }), _) => {
            Finding::ok(WHAT, format!("{location}, schema {schema}; `serve` will migrate it to {known}"))
        }
        (Ok(SchemaStatus::Absent), Location::File(path)) => absent_database(path),
        (Ok(SchemaStatus::Absent), Location::Postgres(_)) => {
            Finding::ok(WHAT, format!("{location}, no tables yet; `serve` will create them"))
        }
        (Err(error), _) => Finding::failed(WHAT, error.to_string()),
    }
}

/// `serve` creates the database file, but not its directory.
fn absent_database(path: &Path) -> Finding {
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if directory.is_dir() {
        Finding::ok("store", format!("{} does not exist yet; `serve` will create it", path.display()))
    } else {
        Finding::failed(
            "store",
            format!(
                "the directory {} does not exist: create it, or set another store.path",
                directory.display()
            ),
        )
    }
}

async fn bus(config: &Config) -> Finding {
    const WHAT: &str = "bus";
    let address = match config.bus.redis_address() {
        Ok(Some(address)) => address,
        Ok(None) => return local_bus(config),
        Err(error) => return Finding::failed(WHAT, error.to_string()),
    };
    match address.inspect().await {
        Ok(info) => {
            let advice =
                if info.persistent { "" } else { "; it writes nothing to its disk: set appendonly yes" };
            let detail = format!("{address}, Redis {}{advice}", info.version);
            if info.persistent { Finding::ok(WHAT, detail) } else { Finding::note(WHAT, detail) }
        }
        Err(error) => Finding::failed(
            WHAT,
            format!("{address}: {error}; start Redis, or correct bus.redis and bus.redis_password_file"),
        ),
    }
}

/// Reports teams of `operators.teams` that the daemon of another PBX owns; `None` without Redis.
async fn team_ownership(config: &Config) -> Option<Finding> {
    const WHAT: &str = "operators";
    let address = config.bus.redis_address().ok()??;
    let (prefix, pbx, teams) = (config.bus.redis_prefix.as_str(), &config.pbx.name, &config.operators.teams);
    // The finding of the bus reports that Redis cannot be reached.
    let elsewhere = redis::read_foreign_teams(&address, prefix, pbx, teams).await.ok()?;
    if elsewhere.is_empty() {
        return Some(Finding::ok(
            WHAT,
            "the daemon of no other PBX owns the operators of operators.teams".into(),
        ));
    }
    let owner = |(team, pbx): (&SmolStr, &PbxId)| match team.as_str() {
        "" => format!("everybody else by {pbx}"),
        team => format!("{team} by {pbx}"),
    };
    let owners: Vec<String> = elsewhere.iter().map(owner).collect();
    let detail = format!(
        "owned by the daemons of other PBXes: {}; name each team in operators.teams of one PBX only",
        owners.join(", ")
    );
    Some(Finding::failed(WHAT, detail))
}

fn local_bus(config: &Config) -> Finding {
    Finding::ok(
        "bus",
        format!("in this process; keeps {} past events for clients that resume", config.bus.replay_events),
    )
}
