//! The fault-injection suite. Whatever fails, four things hold: every pop that must exist was shown exactly once, no
//! call stays open, the history equals the far end's call detail records (`verify.rs`), and so do the states of the
//! operators (`states.rs`).
//!
//! Each test prints its figures. `TORITSUGI_SOAK=N` (`make soak`) runs N times as many faults.
//!
//! | test | what fails |
//! |---|---|
//! | `the_link_is_cut_…` | the connection to the PBX, in the middle of a frame, under load (`kills.rs`, `proxy.rs`) |
//! | `asterisk_is_killed_…` | the PBX, during calls (`kills.rs`) |
//! | `the_daemon_is_killed_…` | the daemon, a real process, with `kill -9`, during calls, transfers, consultations and messages (`kills.rs`) |
//! | `an_operators_state_…`, `a_queue_that_rings_…` | the daemon, stopped and killed during calls of an operator (`operators.rs`) |
//! | `a_swallowed_hangup_…` | one AMI event never arrives; the reconciliation finds it (`missed.rs`) |
//! | `an_operator_without_a_desktop_…` | no desktop shows the pop (`missed.rs`) |
//! | `what_a_supervisor_heard_…` | the daemon, while a supervisor listens, whispers and barges in (`supervision_log.rs`) |
//! | `an_event_that_was_taken_…` | the daemon, after a webhook receiver accepted an event and before the daemon recorded that (`webhook.rs`) |
//! | `a_full_disk_…`, `a_disk_that_fails_…`, `a_disk_that_turns_read_only_…`, `a_second_daemon_…` | the disk and the file of the database, during calls, messages and changes of state (`disk.rs`) |
//! | `a_call_that_no_daemon_saw_…` | the daemon, for longer than a whole call (`gap.rs`) |
//! | `a_desktop_that_never_reads_…` | of two hundred desktops, one reads nothing and one reads slowly, under load (`slow_readers.rs`) |
//! | `an_action_is_carried_out_…`, `the_first_call_after_…` | both AMI sessions, which then reconnect one by one (`reconnect.rs`) |
//!
//! Faults of several daemons that share Redis and PostgreSQL are in `cluster.rs`, with the same verification.
//!
//! Why calls that ring at one phone each: then the far end's records say exactly which pops must exist.
pub(crate) mod desktop;
mod disk;
mod gap;
mod kills;
mod load;
mod messages;
mod missed;
mod operators;
pub(crate) mod proxy;
mod reconnect;
pub(crate) mod seat;
mod slow_readers;
pub(crate) mod states;
mod supervision_log;
pub(crate) mod verify;
mod webhook;

use reqwest::Method;
use tokio::process::{Child, Command};

use crate::support::service::Service;
use crate::support::wait::eventually;

/// The factor for the number of faults.
pub(crate) fn soak() -> usize {
    std::env::var("TORITSUGI_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// The daemon as a process, as an administrator runs it; killed when the value is dropped.
pub(crate) fn start(service: &Service) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command.arg("serve");
    start_by(command, service)
}

/// As [`start`], by a command that becomes the daemon.
fn start_by(mut command: Command, service: &Service) -> Child {
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI__")) {
        command.env_remove(name);
    }
    command.envs(service.environment.iter().cloned()).env("TORITSUGI__LOG__LEVEL", "error");
    command.kill_on_drop(true).spawn().unwrap()
}

/// Waits until the daemon has listed the calls of the PBX.
pub(crate) async fn is_up(service: &Service) {
    eventually("the link is up", async || {
        let answer = service.request("admin", Method::GET, "/readyz").send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
    })
    .await;
}

/// Number of published events and records that are not in the store yet; `Err` while the daemon is unreachable.
async fn unlogged(service: &Service) -> Result<u64, String> {
    let events = service.metric("toritsugi_unwritten_events").await?;
    Ok(events + service.metric("toritsugi_unwritten_records").await?)
}

/// Waits until the store has every published event.
async fn all_is_logged(service: &Service) {
    eventually("all is logged", async || match unlogged(service).await? {
        0 => Ok(()),
        left => Err(format!("{left} are not")),
    })
    .await;
}
