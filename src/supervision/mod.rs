//! Supervision (モニタリング): listen, whisper, barge, take over.
//!
//! A supervisor's phone is called, or is on the line already, and the PBX lets it hear ONE channel: that of the
//! operator who has the caller, named by its exact unique id. Whispering reaches that channel alone, so the
//! caller can hear neither it nor that somebody listens. The caller's own channel is never spied on.
//!
//! A pure state machine beside the call model: [`Supervisions::handle`] takes an [`Input`], what must be done comes
//! out of [`Supervisions::poll_output`], and [`Supervisions::poll_timeout`] says when to call
//! [`Supervisions::handle_timeout`]. Where operators are is asked of [`World`].
//!
//! | state | meaning | leaves it |
//! |---|---|---|
//! | `calling` | her phone rings | answered → `attaching` or `waiting`; not answered, refused, in vain → over |
//! | `attaching` | the PBX was told whom and how | `ChanSpyStart` of that channel → `live`; nothing in [`ATTACH_WAIT`] → over |
//! | `live` | she hears that operator | the operator's channel changes → `attaching`; is gone → `waiting` or over |
//! | `waiting` | nobody to hear now; her phone stays on the line | that operator, or that call, is there again → `attaching` |
//! | `paused` | the call is being transferred: Asterisk cannot bridge a channel that is spied on | the transfer is over → as `waiting` |
//! | `taking over` | her phone is being connected with the caller | in the caller's bridge → over, and the call is hers |
//!
//! | input | does |
//! |---|---|
//! | start, switch, stop | a person's command that was allowed (`rules`) |
//! | PBX event | of the phone's own channel, and `ChanSpyStart` and `ChanSpyStop`; a bridge that the operator's channel enters: the spy is attached anew |
//! | moved | some call has another operator, or is over: every session asks again whom to hear |
//! | pause, resume | a transfer begins; those who talk are where they will be for a while |
//! | refused | the PBX did not take an order |
//! | list, link | after a gap or a restart of the daemon, sessions are found again in the list of channels: who, whom and how stand in the channel's own id and application |
//!
//! Whom a session hears: an operator's session ends with that operator's part in the call, or with `follow` waits
//! for her next call; a call's session stays with the call and hears whichever operator has it. When the operator
//! passes the caller on, [`AfterTransfer`] decides; only by its `caller` is somebody outside ever heard, and then
//! the one with whom the caller talks, by listening alone. A call of an account that is never monitored is not
//! there for a session, nor is an operator of another team.
//!
//! Invariants: a session begins with one `started` and ends with one `stopped`; a phone has at most one session;
//! [`SESSIONS_MAX`] bounds them. Nothing in here knows the time but what it is given.
//!
//! Why the dialplan holds the phone between two calls and not the daemon: when the daemon is gone, the phone still
//! hears whom it heard, and is hung up by the PBX once that is over.
//!
//! Read next: `session`, `policy`, `machine`, `step`, `recover`; then `asterisk-conf/toritsugi-dialplan.conf`, context
//! `toritsugi-spy`.

mod machine;
mod orders;
mod policy;
mod recover;
mod rules;
mod session;
mod step;
#[cfg(test)]
mod tests;
mod view;

pub use machine::{Input, Output, Supervisions, Told, World};
pub use policy::{AfterTransfer, Notify, Settings};
pub use recover::Remembered;
pub use rules::{Start, Wanted, may_supervise};
pub use session::{Ending, Mode, Place, REASON_CHARS_MAX, Session, State, SupervisionId, Target};
pub use view::SupervisionView;

use jiff::SignedDuration;

/// Most sessions at the same time.
pub const SESSIONS_MAX: usize = 500;
/// How long the PBX may take to let the supervisor hear.
pub const ATTACH_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// How long the PBX may take, beyond the ringing itself, to say what became of the phone's call.
pub const CALL_GRACE: SignedDuration = SignedDuration::from_secs(5);
/// How long a session that was found again waits until the call it hears is known.
pub const FOUND_WAIT: SignedDuration = SignedDuration::from_secs(3);
/// The dialplan context that supervisors' phones are sent to.
pub const SPY_CONTEXT: &str = "toritsugi-spy";
