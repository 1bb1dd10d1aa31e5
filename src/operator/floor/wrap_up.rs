//! After-call work as people change it: more time, and its end with what came of the call.

use jiff::Timestamp;

use super::super::state::{By, Extended, StateView};
use super::{Floor, Output, word};
use crate::command::Refusal;
use crate::identity::printable;
use crate::ids::{CallId, RecordId};

/// Longest notes with a disposition, in characters.
pub const NOTES_CHARS_MAX: usize = 2_000;
/// Longest reason for more time, in characters.
pub const WHY_CHARS_MAX: usize = 200;

impl Floor {
    /// Gives after-call work more time.
    ///
    /// # Errors
    /// [`Refusal`]: there is none for this call, it was extended too often, or the words or seconds do not fit.
    pub fn extend(
        &mut self,
        now: Timestamp,
        user: RecordId,
        call: CallId,
        seconds: u32,
        reason: &str,
        by: By,
    ) -> Result<StateView, Refusal> {
        let max = self.settings.wrap_up_extend_s_max;
        if seconds == 0 || seconds > max {
            return Err(Refusal::Invalid(format!("seconds: 1 to {max}")));
        }
        let reason =
            printable(reason, WHY_CHARS_MAX).ok_or_else(|| Refusal::Invalid("reason: say why".into()))?;
        let operator = self.people.get_mut(&user).ok_or(Refusal::UnknownOperator)?;
        let more = Extended { at: now, seconds, reason };
        match operator.extend(now, by, call, more) {
            None => Err(Refusal::StateConflict("there is no after-call work for this call")),
            Some(false) => Err(Refusal::StateConflict("this after-call work was extended too often")),
            Some(true) => {
                self.told(user, true);
                self.view(user)
            }
        }
    }

    /// Ends after-call work with what came of the call; also, later, where its time was over first.
    ///
    /// # Errors
    /// [`Refusal`]: there is none for this call, or the disposition is not among those allowed.
    pub fn finish(
        &mut self,
        now: Timestamp,
        user: RecordId,
        call: CallId,
        disposition: &str,
        notes: Option<&str>,
        by: By,
    ) -> Result<StateView, Refusal> {
        let disposition = word("disposition", disposition, &self.settings.dispositions)?;
        let notes = notes.and_then(|notes| printable(notes, NOTES_CHARS_MAX));
        let operator = self.people.get_mut(&user).ok_or(Refusal::UnknownOperator)?;
        let finished = operator.finish(now, by, call, disposition, notes);
        let finished = finished.ok_or(Refusal::StateConflict("there is no after-call work for this call"))?;
        self.outputs.push_back(Output::WrapUpOver { user, finished: Box::new(finished) });
        self.told(user, true);
        self.view(user)
    }
}
