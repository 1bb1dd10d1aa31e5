//! `toritsugi replay FILE.ami`: a recorded manager transcript through the call model, the same result each time.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The transcript.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`replay` is not part of this version yet")
    }
}
