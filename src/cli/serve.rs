//! `toritsugi serve`: runs the daemon until SIGTERM or SIGINT, with its log on standard error.
//!
//! The first signal starts a regular shutdown with exit code 0. A second signal ends the process at once with exit code
//! 1.

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use toritsugi::config::{LogConfig, LogFormat};
use toritsugi::daemon;
use tracing_subscriber::EnvFilter;

use super::Global;

/// The signal of a write beyond the limit on the size of files.
const SIGXFSZ: i32 = 25;

#[derive(Debug, Args)]
pub(super) struct Serve {}

impl Serve {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        start_log(&config.log)?;
        let shutdown = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // A limit on the size of files then fails a write, which is tried again, and does not end the process.
        let _file_size = signal(SignalKind::from_raw(SIGXFSZ))?;
        let daemon = daemon::run(config, shutdown.clone());
        let mut daemon = std::pin::pin!(daemon);
        tokio::select! {
            ended = &mut daemon => return Ok(ended.map(|()| ExitCode::SUCCESS)?),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("the daemon is stopping; a second signal ends it at once");
        shutdown.cancel();
        tokio::select! {
            ended = daemon => Ok(ended.map(|()| ExitCode::SUCCESS)?),
            _ = terminate.recv() => Ok(ExitCode::FAILURE),
            _ = interrupt.recv() => Ok(ExitCode::FAILURE),
        }
    }
}

fn start_log(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level)?;
    // A line that cannot be written, for instance because the log is on a full disk, is lost: saying so on the same standard
    // error would panic, and end the task that logs.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = match config.format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}
