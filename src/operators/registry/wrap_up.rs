//! After-call work as people change it: more time, and the end with a disposition.
//!
//! The end by time is in `machine.rs`. Notes and a disposition are also accepted after that, for the last
//! [`WRAP_UPS_EXPIRED_MAX`](crate::operators::WRAP_UPS_EXPIRED_MAX) pieces of work that ended by their time.

use jiff::Timestamp;
use smol_str::SmolStr;

use super::{OperatorRegistry, Output, parse_choice};
use crate::contract::operator::{ChangedBy, StateView, WrapUpExtension};
use crate::contract::records::paragraphs;
use crate::contract::refusal::Refusal;
use crate::identity::printable;
use crate::ids::{CallId, RecordId};

/// Longest notes with a disposition, in characters.
pub const NOTES_CHARS_MAX: usize = 2_000;
/// Longest reason for an extension of after-call work, in characters.
pub const EXTENSION_REASON_CHARS_MAX: usize = 200;

impl OperatorRegistry {
    /// Extends the after-call work of a call.
    ///
    /// # Errors
    /// [`Refusal`]: there is none for this call, it was extended too often, or the reason or the seconds are invalid.
    pub fn extend_wrap_up(
        &mut self,
        now: Timestamp,
        user: RecordId,
        call: CallId,
        seconds: u32,
        reason: &str,
        by: ChangedBy,
    ) -> Result<StateView, Refusal> {
        let max = self.settings.wrap_up_extend_s_max;
        if seconds == 0 || seconds > max {
            return Err(Refusal::Invalid(format!("seconds: 1 to {max}")));
        }
        let reason = printable(reason, EXTENSION_REASON_CHARS_MAX)
            .ok_or_else(|| Refusal::Invalid("reason: is missing or not printable".into()))?;
        let operator = self.people.get_mut(&user).ok_or(Refusal::UnknownOperator)?;
        let extension = WrapUpExtension { at: now, seconds, reason };
        match operator.extend(now, by, call, extension) {
            None => Err(Refusal::StateConflict("there is no after-call work for this call")),
            Some(false) => Err(Refusal::StateConflict("this after-call work cannot be extended any more")),
            Some(true) => {
                self.publish(user, true);
                self.view(user)
            }
        }
    }

    /// Stores notes on a call whose after-call work ended by its time, and leaves its disposition open. The state does
    /// not change.
    ///
    /// # Errors
    /// [`Refusal`]: the time of the work has not ended or its disposition was given, or the notes are not printable.
    pub fn note_wrap_up(&mut self, user: RecordId, call: CallId, notes: &str) -> Result<StateView, Refusal> {
        let notes = parse_notes(notes)?
            .ok_or_else(|| Refusal::Invalid("notes: are missing or not printable".into()))?;
        let operator = self.people.get(&user).ok_or(Refusal::UnknownOperator)?;
        let completed = operator.with_notes(call, notes).ok_or(Refusal::StateConflict(
            "there is no after-call work for this call that ended by its time and waits for its disposition",
        ))?;
        self.outputs.push_back(Output::WrapUpEnded { user, completed: Box::new(completed) });
        self.view(user)
    }

    /// Ends the after-call work of a call with a disposition, also where its time ended first.
    ///
    /// # Errors
    /// [`Refusal`]: there is none for this call, or the disposition is not among the choices.
    pub fn finish_wrap_up(
        &mut self,
        now: Timestamp,
        user: RecordId,
        call: CallId,
        disposition: &str,
        notes: Option<&str>,
        by: ChangedBy,
    ) -> Result<StateView, Refusal> {
        let disposition = parse_choice("disposition", disposition, &self.settings.dispositions)?;
        let notes = notes.map(parse_notes).transpose()?.flatten();
        let operator = self.people.get_mut(&user).ok_or(Refusal::UnknownOperator)?;
        let completed = operator.finish(now, by, call, disposition, notes);
        let completed =
            completed.ok_or(Refusal::StateConflict("there is no after-call work for this call"))?;
        self.outputs.push_back(Output::WrapUpEnded { user, completed: Box::new(completed) });
        self.publish(user, true);
        self.view(user)
    }
}

/// Cleans notes and keeps their lines; `None` when nothing is left.
fn parse_notes(notes: &str) -> Result<Option<SmolStr>, Refusal> {
    let notes =
        paragraphs("notes", notes, NOTES_CHARS_MAX).map_err(|error| Refusal::Invalid(error.to_string()))?;
    Ok((!notes.is_empty()).then(|| SmolStr::new(notes)))
}
