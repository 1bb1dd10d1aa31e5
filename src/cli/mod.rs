//! The command line: one file for each family of commands, and the exit code of each outcome.
//!
//! | commands | what they use |
//! |---|---|
//! | `serve` | runs the daemon |
//! | `check`, `explain`, `health`, `import`, `backup`, `restore`, `user`, `replay`, `stats check`, `stats rebuild`, `support-bundle` | the configuration, and the PBX, store or daemon that it names |
//! | `calls`, `history`, `search`, `stats`, `billing`, `callflow`, `sounds`, `contracts`, `alarms`, `reports`, `operators`, `queues`, `operator`, `listen`, `whisper`, `barge`, `take-over`, `supervision`, `audit`, `transfer`, `answer`, `hold`, `resume`, `hangup`, `ask-help`, `messages`, `faxes`, `endpoints`, `mail`, `routes`, `digests`, `tasks`, `notices`, `webhooks`, `accounts`, `contacts`, `customers`, `words`, `teams`, `undo`, `export`, `demo` | the HTTP interface of a daemon, by its address and a token; they run on any machine |
//! | `completions`, `man` | the description of the commands |
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; the reason is one line on standard error |
//! | 2 | the command line is wrong |
//! | 64 | the configuration is wrong |
//!
//! Invariant: text of callers and records reaches the terminal only through [`output::plain`] or as JSON, so it can
//! neither move the cursor nor reorder the line. Read next: `output.rs`, `client.rs`; what
//! `--help` says is in `help.rs`, how records and times are named in `named.rs` and `when.rs`.

mod accounts;
mod alarms;
mod audit;
mod backup;
mod billing;
mod caller_rules;
mod callflow;
mod callflow_pin;
mod callflow_recordings;
mod callflow_sync;
mod callflow_templates;
mod calls;
mod check;
mod client;
mod completions;
mod contacts;
mod contracts;
mod control;
mod customers;
mod deliveries;
mod demo;
mod demo_phone;
mod digests;
mod endpoints;
mod events;
mod explain;
mod faxes;
mod health;
mod help;
mod history;
mod import;
mod language;
mod mail;
mod man;
mod messages;
mod named;
mod notices;
mod operators;
mod output;
mod password;
mod queues;
mod records;
mod replay;
mod reports;
mod routes;
mod scripts;
mod search;
mod serve;
mod sounds;
mod stats;
mod supervise;
mod support;
mod tasks;
mod teams;
mod terminal;
mod transfer;
mod undo;
mod user;
mod webhooks;
mod when;
mod words;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use toritsugi::config::{CONFIG_ENV, Config, ConfigError};
use toritsugi::daemon::RunError;

/// The configuration is wrong. The value is `EX_USAGE` of sysexits.h.
const EXIT_CONFIG: u8 = 64;

/// 取次: CTI for a telephone answering service on Asterisk. It shows the operator which company a call is for and who
/// calls, before the call is answered.
#[derive(Debug, Parser)]
#[command(name = "toritsugi", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The configuration file [default: the file that TORITSUGI_CONFIG names, else /etc/toritsugi/toritsugi.toml if it
    /// exists].
    // `Config::load` reads TORITSUGI_CONFIG, because it reports errors of that file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl Global {
    /// The configuration of this process.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref())
    }

    /// The address at which the daemon of this configuration answers on this machine. A user of the command line who may
    /// not read the installation's file gets the default address, unless they named the file.
    fn daemon_address(&self) -> Result<SocketAddr, ConfigError> {
        let is_named =
            self.config.is_some() || std::env::var_os(CONFIG_ENV).is_some_and(|name| !name.is_empty());
        let config = match self.config() {
            Err(ConfigError::Unreadable { .. }) if !is_named => Config::from_layers(None, [])?,
            config => config?,
        };
        let mut address = config.gateway.listen;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(address)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or Ctrl-C.
    Serve(serve::Serve),
    /// Test the configuration, the store, Redis, the webhooks, the mail server, the PBX and its dialplan: one line for each.
    Check(check::Check),
    /// Explain which account and customers the pop of a call would show.
    Explain(explain::Explain),
    /// List the present calls, or follow them.
    Calls(calls::Calls),
    /// List finished calls, the newest first.
    History(history::History),
    /// Figures of calls and of operators' work; check and rebuild what is stored of them.
    Stats(stats::Stats),
    /// Bills of accounts: list, show and close those of a month, and the plans by which they are made.
    Billing(billing::Billing),
    /// How accounts' calls are treated before an operator: hours, guidance, queues, overrides.
    Callflow(callflow::Callflow),
    /// Guidance for callers and announcements for operators: WAV files that people upload.
    Sounds(sounds::Sounds),
    /// Goals that were agreed with accounts: which of them a month keeps.
    Contracts(contracts::Contracts),
    /// Alarms: what was raised, and the rules by which it is.
    Alarms(alarms::Alarms),
    /// Monthly reports of accounts: show one, write it as a PDF, close a month, and say when and to whom they are mailed.
    Reports(reports::Reports),
    /// Find accounts, contacts, customers, messages and finished calls by a name, a number or a word.
    Search(search::Search),
    /// List the operators with their states and calls.
    Operators(operators::Operators),
    /// List the PBX's queues with their members, the accounts whose callers wait in them, and what is worth a look.
    Queues(queues::Queues),
    /// Set an operator's state, or finish an operator's after-call work.
    Operator(operators::Operator),
    /// Listen to an operator and the caller; nobody hears you.
    Listen(supervise::Supervise),
    /// Listen to both and speak to the operator only.
    Whisper(supervise::Supervise),
    /// Listen to both and speak to both.
    Barge(supervise::Supervise),
    /// Take the caller over from an operator; your phone rings first.
    #[command(alias = "takeover")]
    TakeOver(supervise::Supervise),
    /// List, stop or switch supervisions.
    Supervision(supervise::Supervision),
    /// Read the audit trail: who listened to whom, when and why, and who was refused.
    Audit(audit::Audit),
    /// Answer the ringing call on your phone (Yealink, Poly and Snom desk phones).
    Answer(control::Control),
    /// Put the caller on hold on your phone (the same phones as for answer).
    Hold(control::Control),
    /// Take the caller back from hold on your phone (the same phones as for answer).
    Resume(control::Control),
    /// Hang up the call on your phone.
    Hangup(control::Control),
    /// Ask your supervisors for help with a call, who see the request at once, or take it back.
    AskHelp(control::AskHelp),
    /// Transfer a caller, complete a consultation, or cancel a transfer.
    Transfer(transfer::Transfer),
    /// Import accounts, customers or contacts from a CSV file.
    Import(import::Import),
    /// Export accounts, contacts or customers as a CSV file, which import reads.
    Export(records::Export),
    /// List, show and change accounts, and record how their names are pronounced.
    Accounts(accounts::Accounts),
    /// List, show and change customers, and list what was sent about one.
    Customers(customers::Customers),
    /// List, show and change the words that operators choose from: dispositions, reasons, flags of customers.
    Words(words::Words),
    /// List the records that were deleted in the last ten minutes, or bring one back.
    Undo(undo::Undo),
    /// Copy the SQLite database into a new file and check the copy; the daemon may run.
    Backup(backup::Backup),
    /// Let a backup take the place of the SQLite database; the daemon must be stopped.
    Restore(backup::Restore),
    /// Add, list, show, change and revoke users and their tokens.
    User(user::User),
    /// List, show and rename teams.
    Teams(teams::Teams),
    /// List, show and export messages; list their deliveries, and send one again.
    Messages(messages::Messages),
    /// List received faxes, save their documents, or delete them.
    Faxes(faxes::Faxes),
    /// Say when an account gets its digests, and make one at once.
    Digests(digests::Digests),
    /// Say who gets an account's messages, and read, check and save the routes that decide it.
    Routes(routes::Routes),
    /// List the calls that operators are to make about messages, and say what came of them.
    Tasks(tasks::Tasks),
    /// List, write and end notices of accounts: what holds until a given time.
    Notices(notices::Notices),
    /// List, show and change contacts, and write down where they are.
    Contacts(contacts::Contacts),
    /// Check, import, export and list the scripts of accounts.
    Scripts(scripts::Scripts),
    /// List, add, remove and test the endpoints of messages: where they go besides the contacts' own addresses.
    Endpoints(endpoints::Endpoints),
    /// Pass on mails that came back, list them, and the addresses to which nothing is sent.
    Mail(mail::Mail),
    /// List webhook deliveries that were not accepted, or retry them.
    Webhooks(webhooks::Webhooks),
    /// Write what somebody needs to help with a problem into a file, without names, numbers, addresses or secrets.
    SupportBundle(support::SupportBundle),
    /// Run a recorded manager session through the call model and print the events.
    Replay(replay::Replay),
    /// Follow the events and print each pop as an operator sees it.
    Demo(demo::Demo),
    /// The desk phone of `make demo`.
    #[command(hide = true)]
    DemoPhone(demo_phone::DemoPhone),
    /// Exit with 0 if the daemon of this configuration answers, else with 1; or list what works and what to do.
    Health(health::Health),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
    /// Print the manual page, for `man -l -`.
    Man(man::Man),
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let matches = help::describe(Cli::command()).try_get_matches();
    let cli = match matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(help::end(&error)),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("cannot start the runtime")),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    match cli.command {
        Command::Serve(command) => command.run(global).await,
        Command::Check(command) => command.run(global).await,
        Command::Explain(command) => command.run(global).await,
        Command::Calls(command) => command.run(global).await,
        Command::History(command) => command.run(global).await,
        Command::Stats(command) => command.run(global).await,
        Command::Billing(command) => command.run(global).await,
        Command::Callflow(command) => command.run(global).await,
        Command::Sounds(command) => command.run(global).await,
        Command::Contracts(command) => command.run(global).await,
        Command::Alarms(command) => command.run(global).await,
        Command::Reports(command) => command.run(global).await,
        Command::Search(command) => command.run(global).await,
        Command::Operators(command) => command.run(global).await,
        Command::Queues(command) => command.run(global).await,
        Command::Operator(command) => command.run(global).await,
        Command::Listen(command) => command.run(global, supervise::Mode::Listen).await,
        Command::Whisper(command) => command.run(global, supervise::Mode::Whisper).await,
        Command::Barge(command) => command.run(global, supervise::Mode::Barge).await,
        Command::TakeOver(command) => command.run(global, supervise::Mode::TakeOver).await,
        Command::Supervision(command) => command.run(global).await,
        Command::Audit(command) => command.run(global).await,
        Command::Answer(command) => command.run(global, "answer").await,
        Command::Hold(command) => command.run(global, "hold").await,
        Command::Resume(command) => command.run(global, "resume").await,
        Command::Hangup(command) => command.run(global, "hangup").await,
        Command::AskHelp(command) => command.run(global).await,
        Command::Transfer(command) => command.run(global).await,
        Command::Import(command) => command.run(global).await,
        Command::Export(command) => command.run(global).await,
        Command::Accounts(command) => command.run(global).await,
        Command::Customers(command) => command.run(global).await,
        Command::Words(command) => command.run(global).await,
        Command::Teams(command) => command.run(global).await,
        Command::Undo(command) => command.run(global).await,
        Command::Backup(command) => command.run(global).await,
        Command::Restore(command) => command.run(global).await,
        Command::User(command) => command.run(global).await,
        Command::Messages(command) => command.run(global).await,
        Command::Faxes(command) => command.run(global).await,
        Command::Digests(command) => command.run(global).await,
        Command::Routes(command) => command.run(global).await,
        Command::Tasks(command) => command.run(global).await,
        Command::Notices(command) => command.run(global).await,
        Command::Contacts(command) => command.run(global).await,
        Command::Scripts(command) => command.run(global).await,
        Command::Endpoints(command) => command.run(global).await,
        Command::Mail(command) => command.run(global).await,
        Command::Webhooks(command) => command.run(global).await,
        Command::SupportBundle(command) => command.run(global).await,
        Command::Replay(command) => command.run(global),
        Command::Demo(command) => command.run(global).await,
        Command::DemoPhone(command) => command.run().await,
        Command::Health(command) => command.run(global).await,
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}

/// Prints the error with its causes as one line on standard error, and returns its exit code.
fn fail(error: &anyhow::Error) -> ExitCode {
    // `toritsugi calls | head -1` closes the pipe early; that is not a failure.
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    output::print_error(&format!("toritsugi: {}", language::say(&format!("{error:#}"))));
    let is_config = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<ConfigError>() || matches!(cause.downcast_ref(), Some(RunError::Config(_)))
    };
    if error.chain().any(is_config) { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
