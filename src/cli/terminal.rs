//! Single keys from a terminal, without waiting for the end of a line.
//!
//! Invariant: when [`Keys`] is dropped, the terminal's settings are those it found. Where standard input is no
//! terminal there are no keys, and nothing is read. Ctrl-C stays a signal.

use std::io::{IsTerminal, Read};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

/// Keys that may wait to be acted on; more of them is a cat on the keyboard.
const KEYS_MAX: usize = 16;

/// Whether standard output is a screen, where a line can be rewritten.
pub(crate) fn is_screen() -> bool {
    std::io::stdout().is_terminal()
}

/// How wide the screen is; without an end where that cannot be known.
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
    /// Lets each key through at once, unseen.
    pub(crate) fn open() -> Self {
        let stdin = std::io::stdin();
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
        let Some(settings) = &before else { return Self { before: None, pressed: None } };
        let mut single = settings.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        single.special_codes[SpecialCodeIndex::VMIN] = 1;
        single.special_codes[SpecialCodeIndex::VTIME] = 0;
        if tcsetattr(&stdin, OptionalActions::Now, &single).is_err() {
            return Self { before: None, pressed: None };
        }
        let (sender, pressed) = mpsc::channel(KEYS_MAX);
        // A thread, since a read of a terminal cannot be given up; it ends with the process.
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

    /// The next key; `None` when the terminal is gone. Where there is none, this never ends.
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
            // The terminal may be gone; then nothing needs to be put back.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
