//! `toritsugi explain`: which account and customers a call would pop, and why.

use std::process::ExitCode;

use clap::Args;

use super::Global;
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The number that was dialled.
    #[arg(long, value_name = "NUMBER")]
    dialled: String,
    /// The caller's number.
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// The number that forwarded the call.
    #[arg(long, value_name = "NUMBER")]
    diverted_by: Option<String>,
    /// The time of the call, RFC 3339 [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    #[command(flatten)]
    output: Output,
}

impl Explain {
    pub(super) async fn run(self, _global: &Global) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`explain` is not part of this version yet")
    }
}
