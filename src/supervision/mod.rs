//! Supervision (モニタリング): listen, whisper, barge, take over.
//!
//! The PBX calls a supervisor's phone, or uses it while it is on the line, and attaches it with `ChanSpy` to ONE channel:
//! that of the operator who has the caller, named by its exact unique id. A whisper reaches that channel alone, so the
//! caller hears neither it nor that somebody listens. The caller's own channel is never spied on.
//!
//! A pure state machine beside the call model: [`Supervisions::handle`] takes an [`Input`],
//! [`Supervisions::poll_output`] returns the outputs, and [`Supervisions::poll_timeout`] says when to call
//! [`Supervisions::handle_timeout`]. The machine reads calls and permissions through [`Environment`].
//!
//! | state | meaning | leaves it |
//! |---|---|---|
//! | `calling` | the supervisor's phone rings | answered → `attaching` or `waiting`; not answered, refused, unreachable → over |
//! | `attaching` | the PBX has the actions to attach the phone | `ChanSpyStart` of that channel → `live`; nothing in [`ATTACH_TIMEOUT`] → over |
//! | `live` | the supervisor hears the operator | the operator's channel changes → `attaching`; is gone → `waiting` or over |
//! | `waiting` | there is nobody to hear; the phone stays on the line | that operator or that call has a caller again → `attaching` |
//! | `paused` | the call is being transferred, and Asterisk cannot bridge a channel that is spied on | the transfer is over → as `waiting` |
//! | `taking over` | the phone is being connected with the caller | in the caller's bridge → over, and the call is the supervisor's |
//!
//! | input | effect |
//! |---|---|
//! | start, switch, stop | a command that [`authorise`] allowed |
//! | PBX event | of the phone's own channel, `ChanSpyStart` and `ChanSpyStop`; when the operator's channel enters another bridge, the phone is attached again |
//! | calls changed | a call has another operator or ended: every session decides again whom to hear |
//! | pause, resume | a transfer of the call begins; it has reached a state in which people talk |
//! | action refused | the PBX did not accept an action |
//! | list, restart | after a gap or a restart of the daemon, sessions are recovered from the list of channels: supervisor, target and mode are in the channel's id and application |
//!
//! Whom a session hears: a session of an operator ends with the operator's part in the call, or with `follow` waits for
//! the operator's next call. A session of a call stays with the call and hears the operator who has it. When the operator
//! transfers the caller, [`AfterTransfer`](crate::contract::supervision::AfterTransfer) decides; only its `caller` lets a supervisor hear an external party, namely the
//! one with whom the caller talks, by listening alone. A session never hears a call of an account that is never
//! monitored, or an operator of another team.
//!
//! Invariants: a session gives out at most one `started` notice and exactly one `stopped` notice. A phone has at most one
//! session. [`SESSIONS_MAX`] bounds them. The machine has no clock; its owner passes the time.
//!
//! Why the dialplan and not the daemon holds the phone between two calls: without the daemon, the phone stays attached to
//! the operator, and the PBX hangs it up when that call is over.
//!
//! Read next: `session`, `policy`, `authorise`, `machine`, `step`, `recover`; then
//! `asterisk-conf/toritsugi-dialplan.conf`, context `toritsugi-spy`.

mod actions;
pub mod authorise;
mod machine;
mod policy;
mod recover;
mod rules;
mod session;
mod step;
#[cfg(test)]
mod tests;

pub use machine::{Environment, Input, Notice, Output, Supervisions};
pub use policy::Settings;
pub use recover::RecoveredSession;
pub use rules::{NewSession, SupervisionRequest, may_supervise};
pub use session::{MonitorTarget, Session};

use jiff::SignedDuration;

/// Most sessions at the same time.
pub const SESSIONS_MAX: usize = 500;
/// How long the PBX may take to attach a phone to a channel.
pub const ATTACH_TIMEOUT: SignedDuration = SignedDuration::from_secs(5);
/// How long the PBX may take, after the ringing time, to report the result of the call to the phone.
pub const DIAL_RESULT_TIMEOUT: SignedDuration = SignedDuration::from_secs(5);
/// How long the events of the phone's channel may take after the `OriginateResponse` of a call that failed. A busy PBX sends the
/// response first, because the events of channels go through queues of their own. No channel in this time: there is none.
pub const CHANNEL_EVENTS_TIMEOUT: SignedDuration = SignedDuration::from_secs(2);
/// How long a recovered session waits until the call model knows the call that it hears.
pub const RECOVERY_TIMEOUT: SignedDuration = SignedDuration::from_secs(3);
/// The dialplan context that supervisors' phones are sent to.
pub const SPY_CONTEXT: &str = "toritsugi-spy";
