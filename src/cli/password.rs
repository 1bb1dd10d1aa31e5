//! Asking for a password: unseen at a terminal, twice; else the first line of standard input.
//!
//! Invariant: the terminal shows what is typed again afterwards, also after Ctrl-C.

use std::io::{BufRead, IsTerminal, Read, Stdin, stdin};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use super::output::prompt;

/// Longest line read, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// A new password.
pub(crate) async fn ask() -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        return line(&stdin());
    }
    let hidden = Hidden::new()?;
    let typed = async {
        let first = unseen("Password: ").await?;
        let second = unseen("Again: ").await?;
        if first != second {
            bail!("the two are not the same");
        }
        Ok(first)
    };
    let typed = tokio::select! {
        typed = typed => typed,
        _ = tokio::signal::ctrl_c() => Err(anyhow::Error::msg("cancelled")),
    };
    drop(hidden);
    typed
}

async fn unseen(question: &str) -> anyhow::Result<String> {
    prompt(question);
    // A thread of its own: the runtime would wait for one of its own, even after Ctrl-C.
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || sender.send(line(&stdin())));
    let line = receiver.await.context("nothing could be read")?;
    prompt("\n");
    line
}

fn line(input: &Stdin) -> anyhow::Result<String> {
    let mut text = String::new();
    input.lock().take(LINE_BYTES_MAX).read_line(&mut text).context("cannot read the password")?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("no password was given");
    }
    Ok(text.to_owned())
}

/// What is typed is not shown while this is there.
struct Hidden(Termios);

impl Hidden {
    fn new() -> anyhow::Result<Self> {
        let before = tcgetattr(stdin()).context("cannot talk to the terminal")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &quiet).context("cannot talk to the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is no other terminal to complain to.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
