//! The fault battery: whatever fails, every pop that must be there is there once, no call is left open, and the
//! history says what the far end's own record of calls says.
//!
//! Each test prints its figures. `TORITSUGI_SOAK=N` (`make soak`) does N times as much.
//!
//! | test | what fails |
//! |---|---|
//! | `the_link_is_cut_…` | the connection to the PBX, in the middle of a frame, under load (`proxy.rs`) |
//! | `asterisk_is_killed_…` | the PBX, during calls |
//! | `the_daemon_is_killed_…` | the daemon, a real process, with `kill -9`, during calls, transfers, consultations and messages |
//! | `a_swallowed_hangup_…` | one event that never comes: the audit finds it |
//! | `an_operator_without_a_desktop_…` | nobody sees the pop |
//!
//! Why calls that ring at one phone each: then the far end's record says exactly which pops must exist.
mod battery;
mod desktop;
mod load;
mod notes;
mod proxy;
mod small;

/// How many times the usual amount.
fn soak() -> usize {
    std::env::var("TORITSUGI_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}
