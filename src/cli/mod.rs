//! The command line: one file per family of commands, and the exit code of each outcome.
//!
//! There are three kinds of commands. `serve` is the daemon. `check`, `explain`, `health`, `import`, `user` and
//! `replay` read the configuration and open what it names. `calls`, `history`, `operators`, `operator`, `listen`,
//! `whisper`, `barge`, `take-over`, `supervision`, `audit`, `transfer`, `answer`, `hold`, `resume`, `hangup`,
//! `ask-help`, `webhooks` and `demo` are clients of the HTTP interface, know only its address and a token, and so
//! work from another desk.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; the reason is one line on standard error |
//! | 2 | the command line is wrong |
//! | 64 | the configuration is wrong |
//!
//! Invariant: whatever a caller or a record contains reaches the terminal only through [`output::plain`] or
//! JSON, so it can neither move the cursor nor reorder the line. Read next: `output.rs`, `client.rs`.

mod audit;
mod calls;
mod check;
mod client;
mod completions;
mod control;
mod demo;
mod events;
mod explain;
mod health;
mod history;
mod import;
mod man;
mod operators;
mod output;
mod password;
mod replay;
mod serve;
mod supervise;
mod terminal;
mod transfer;
mod user;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use toritsugi::config::{Config, ConfigError};
use toritsugi::daemon::RunError;

/// The configuration is wrong (`EX_USAGE` of sysexits is what Linkerd uses for it, too).
const EXIT_CONFIG: u8 = 64;

/// 取次: what an answering service needs beside its Asterisk: which company a call is for and who calls, on the
/// operator's screen before anyone answers.
#[derive(Debug, Parser)]
#[command(name = "toritsugi", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The configuration file [default: /etc/toritsugi/toritsugi.toml if it is there].
    // The variable TORITSUGI_CONFIG is read by `Config::load`, which also reports what is wrong with it.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl Global {
    /// The configuration of this process.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon beside its PBX until it is told to stop.
    Serve(serve::Serve),
    /// Test the configuration, the PBX, its dialplan and the store: one line each.
    Check(check::Check),
    /// Say which account and customers a call would pop, and why.
    Explain(explain::Explain),
    /// List the calls of this moment, or follow them.
    Calls(calls::Calls),
    /// List finished calls, the newest first.
    History(history::History),
    /// List the operators and what they are doing.
    Operators(operators::Operators),
    /// Set an operator's state, or end her after-call work.
    Operator(operators::Operator),
    /// Hear an operator and her caller, heard by nobody.
    Listen(supervise::Supervise),
    /// Hear both, and speak to the operator alone.
    Whisper(supervise::Supervise),
    /// Hear both, and speak to both.
    Barge(supervise::Supervise),
    /// Take the caller from an operator; your phone rings first.
    #[command(alias = "takeover")]
    TakeOver(supervise::Supervise),
    /// List, stop or switch what is listened to.
    Supervision(supervise::Supervision),
    /// Read the audit trail: who listened to whom, when and why, and who was refused.
    Audit(audit::Audit),
    /// Let your phone answer the call that rings (desk phones that can: Yealink, Poly, Snom).
    Answer(control::Control),
    /// Let your phone put the caller on hold (the same phones).
    Hold(control::Control),
    /// Let your phone take the caller back from hold (the same phones).
    Resume(control::Control),
    /// Hang up your phone.
    Hangup(control::Control),
    /// Ask your supervisors for help with the call: they see it at once.
    AskHelp(control::Control),
    /// Pass a caller on, complete a consultation, or take the caller back.
    Transfer(transfer::Transfer),
    /// Read accounts, customers or contacts from a CSV file.
    Import(import::Import),
    /// Add, list and revoke people and their tokens.
    User(user::User),
    /// List the events that other systems have not taken, or send them again.
    Webhooks(webhooks::Webhooks),
    /// Run a recorded manager transcript through the call model and print what it makes of it.
    Replay(replay::Replay),
    /// Follow the events and print each pop as an operator would see it.
    Demo(demo::Demo),
    /// Say by the exit code whether the daemon of this configuration answers.
    #[command(hide = true)]
    Health(health::Health),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
    /// Print the manual page, for `man -l -`.
    Man(man::Man),
}

/// Runs the command of this process.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
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
        Command::Calls(command) => command.run().await,
        Command::History(command) => command.run().await,
        Command::Operators(command) => command.run().await,
        Command::Operator(command) => command.run().await,
        Command::Listen(command) => command.run(supervise::Mode::Listen).await,
        Command::Whisper(command) => command.run(supervise::Mode::Whisper).await,
        Command::Barge(command) => command.run(supervise::Mode::Barge).await,
        Command::TakeOver(command) => command.run(supervise::Mode::TakeOver).await,
        Command::Supervision(command) => command.run().await,
        Command::Audit(command) => command.run().await,
        Command::Answer(command) => command.run("answer").await,
        Command::Hold(command) => command.run("hold").await,
        Command::Resume(command) => command.run("resume").await,
        Command::Hangup(command) => command.run("hangup").await,
        Command::AskHelp(command) => command.run("help").await,
        Command::Transfer(command) => command.run().await,
        Command::Import(command) => command.run(global).await,
        Command::User(command) => command.run(global).await,
        Command::Webhooks(command) => command.run().await,
        Command::Replay(command) => command.run(global),
        Command::Demo(command) => command.run().await,
        Command::Health(command) => command.run(global).await,
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}

/// One line on standard error, causes included, and the exit code that belongs to the error.
fn fail(error: &anyhow::Error) -> ExitCode {
    // A reader that has enough, `toritsugi calls | head -1`, is no failure.
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    output::complain(&format!("toritsugi: {error:#}"));
    let config = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<ConfigError>() || matches!(cause.downcast_ref(), Some(RunError::Config(_)))
    };
    if error.chain().any(config) { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
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
