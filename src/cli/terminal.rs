//! Reads single keys from a terminal, without waiting for the end of a line.
//!
//! Invariant: dropping [`Keys`] restores the settings of the terminal. If standard input is not a terminal, there are
//! no keys and nothing is read. Ctrl-C stays a signal.

use std::io::{IsTerminal, Read};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

/// Most keys that wait to be handled; further keys wait in the terminal.
const KEYS_MAX: usize = 16;

/// Whether standard output is a terminal, where a line can be rewritten.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// The width of the terminal; unlimited if it is unknown.
pub(crate) fn columns() -> usize {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => usize::MAX,
    }
}

/// The keys of this terminal.
pub(crate) struct Keys {
    before: Option<Termios>,
    pressed: Option<mpsc::Receiver<u8>>,
}

impl Keys {
    /// Switches off line mode and echo, and reads each key at once.
    pub(crate) fn open() -> Self {
        let stdin = std::io::stdin();
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
        let Some(settings) = &before else { return Self { before: None, pressed: None } };
        let mut raw = settings.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        if tcsetattr(&stdin, OptionalActions::Now, &raw).is_err() {
            return Self { before: None, pressed: None };
        }
        let (sender, pressed) = mpsc::channel(KEYS_MAX);
        // A thread, because a read from a terminal cannot be cancelled; it ends with the process.
        std::thread::spawn(move || {
            let mut byte = [0];
            while matches!(std::io::stdin().lock().read(&mut byte), Ok(1)) {
                if sender.blocking_send(byte[0]).is_err() {
                    return;
                }
            }
        });
        Self { before, pressed: Some(pressed) }
    }

    /// Waits for the next key; `None` when the terminal is closed. Without a terminal it waits forever.
    pub(crate) async fn next(&mut self) -> Option<u8> {
        match &mut self.pressed {
            Some(pressed) => pressed.recv().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The terminal may be closed; then there is nothing to restore.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
