//! Reads a new password or PIN: twice and without echo from a terminal, otherwise the first line of standard input.
//!
//! Invariant: the terminal's echo is restored afterwards, also after Ctrl-C.

use std::io::{BufRead, IsTerminal, Read, Stdin, stdin};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use super::output::prompt;

/// Most bytes that are read of a line.
const LINE_BYTES_MAX: u64 = 4096;

/// Reads a new password.
pub(crate) async fn read() -> anyhow::Result<String> {
    read_for("Password: ").await
}

/// Reads a new PIN.
pub(crate) async fn read_pin() -> anyhow::Result<String> {
    read_for("PIN: ").await
}

async fn read_for(question: &'static str) -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        return read_line(&stdin());
    }
    let echo_off = EchoOff::new()?;
    let typed = async {
        let first = prompt_line(question).await?;
        let second = prompt_line("Again: ").await?;
        if first != second {
            bail!("what was typed differs; run the command again");
        }
        Ok(first)
    };
    let typed = tokio::select! {
        typed = typed => typed,
        _ = tokio::signal::ctrl_c() => Err(anyhow::Error::msg("cancelled")),
    };
    drop(echo_off);
    typed
}

async fn prompt_line(question: &str) -> anyhow::Result<String> {
    prompt(question);
    // A plain thread: after Ctrl-C the runtime would wait for its own blocking threads.
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || sender.send(read_line(&stdin())));
    let line = receiver.await.context("cannot read the password")?;
    prompt("\n");
    line
}

fn read_line(input: &Stdin) -> anyhow::Result<String> {
    let mut text = String::new();
    input.lock().take(LINE_BYTES_MAX).read_line(&mut text).context("cannot read the password")?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("the password is empty; type one, or write it to standard input");
    }
    Ok(text.to_owned())
}

/// Switches the terminal's echo off until it is dropped.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> anyhow::Result<Self> {
        let before = tcgetattr(stdin()).context("cannot change the settings of the terminal")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &quiet)
            .context("cannot change the settings of the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // An error cannot be reported: the terminal is gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
