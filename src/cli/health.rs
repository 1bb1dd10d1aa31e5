//! `toritsugi health`: checks whether the daemon on this machine answers; for the health check of a container.
//!
//! It requests `/healthz` at `gateway.listen` of the configuration, or over loopback if the daemon listens on all
//! addresses. It needs no token.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::{Global, client};

/// Timeout of the answer; a slower daemon is not healthy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Health {}

impl Health {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let address = global.daemon_address()?;
        let http = client::builder(&[])?.timeout(ANSWER_TIMEOUT).build()?;
        match http.get(format!("http://{address}/healthz")).send().await {
            Ok(answer) if answer.status().is_success() => Ok(ExitCode::SUCCESS),
            Ok(answer) => bail!("the daemon at {address} answered {}", answer.status().as_u16()),
            Err(_) => bail!("no daemon answers at {address}"),
        }
    }
}
