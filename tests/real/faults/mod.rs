//! The fault battery: whatever fails, every pop that must be there is there once, no call is left open, and the
//! history says what the far end's own record of calls says (`proof.rs`).
//!
//! Each test prints its figures. `TORITSUGI_SOAK=N` (`make soak`) does N times as much.
//!
//! | test | what fails |
//! |---|---|
//! | `the_link_is_cut_…` | the connection to the PBX, in the middle of a frame, under load (`proxy.rs`) |
//! | `asterisk_is_killed_…` | the PBX, during calls |
//! | `the_daemon_is_killed_…` | the daemon, a real process, with `kill -9`, during calls, transfers, consultations and messages |
//! | `a_swallowed_hangup_…` | one event that never comes: the audit finds it |
//! | `what_a_supervisor_heard_…` | the daemon, while a supervisor listens, whispers and breaks in (`heard.rs`) |
//! | `an_event_that_was_taken_…` | the daemon, after a webhook's receiver has got an event and before that is noted (`posted.rs`) |
//! | `a_call_that_no_daemon_saw_…` | the daemon, so long that calls come and go (`gone.rs`) |
//! | `a_desktop_that_never_reads_…` | one desktop of two hundred, and another is slow, under load (`never_reads.rs`) |
//! | `an_order_is_carried_out_…`, `the_first_call_after_…` | both links, so long that they return one by one: orders work with the calls (`back_at_work.rs`) |
//! | `an_operator_without_a_desktop_…` | nobody sees the pop |
//!
//! What fails where several daemons share Redis and PostgreSQL is in `several.rs`, with the same proof.
//!
//! Why calls that ring at one phone each: then the far end's record says exactly which pops must exist.
mod back_at_work;
mod battery;
pub(crate) mod desktop;
mod gone;
mod heard;
mod load;
mod never_reads;
mod notes;
mod posted;
pub(crate) mod proof;
mod proxy;
pub(crate) mod seat;
mod small;

use tokio::process::{Child, Command};

use crate::lab::ask_until;
use crate::service::Service;

/// How many times the usual amount.
fn soak() -> usize {
    std::env::var("TORITSUGI_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// The program itself, as an administrator runs it; ends with the value.
pub(crate) fn start(service: &Service) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI__")) {
        command.env_remove(name);
    }
    command.arg("serve").envs(service.environment.iter().cloned()).env("TORITSUGI__LOG__LEVEL", "error");
    command.kill_on_drop(true).spawn().unwrap()
}

/// How much was told, or is to be recorded, and is not in the store; why not, when the daemon is going.
async fn unlogged(service: &Service) -> Result<u64, String> {
    let events = service.metric("toritsugi_unwritten_events").await?;
    Ok(events + service.metric("toritsugi_unwritten_records").await?)
}

/// Waits until the store has all that was told.
async fn all_is_logged(service: &Service) {
    ask_until("all is logged", async || match unlogged(service).await? {
        0 => Ok(()),
        left => Err(format!("{left} are not")),
    })
    .await;
}
