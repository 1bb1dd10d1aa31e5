//! Voice messages: hands what the PBX reports about them to their receiver ([`crate::voice`]), with what the call model knows of
//! the call.

use super::core::Core;
use crate::ami::event::{Channel, Event, user_text};
use crate::voice::{VoiceCall, VoiceFileName, VoiceReport};

/// The event of the step `voice` in the dialplan.
const EVENT: &str = "ToritsugiVoice";

/// A caller asked to be called back: what is in the PBX's database is read.
const CALLBACK_EVENT: &str = "ToritsugiCallback";

impl Core {
    /// The PBX has the model's channels and no other: files that none of them writes are complete.
    pub(super) fn report_channels(&mut self) {
        let now = self.clock.now();
        self.deps.faxes.channels_listed(now, self.model.channels());
        self.deps.voices.channels_listed(now, self.model.channels());
    }

    /// The report of a recording, if `event` is one; the model has it already.
    pub(super) fn on_voice_event(&self, event: &Event) {
        let Event::User { name, channel, fields } = event else { return };
        if name == CALLBACK_EVENT {
            self.deps.voices.callback_asked();
        }
        if name != EVENT {
            return;
        }
        match VoiceFileName::parse(user_text(fields, "File").unwrap_or_default()) {
            Ok(_) if !self.deps.voices.is_open() => tracing::warn!(
                "a caller left a voice message, and voice.directory is not set: set it to the directory into which the PBX writes them"
            ),
            Ok(file) => self.deps.voices.report(VoiceReport { file, call: self.voice_call(channel) }),
            Err(error) => {
                tracing::warn!(%error, "the PBX reported a recording under a name that its dialplan does not make");
            }
        }
    }

    fn voice_call(&self, channel: &Channel) -> Option<VoiceCall> {
        let view = self.model.call(self.model.leg_view(&channel.id)?.call)?;
        // Without the card nobody knows whether the caller withholds the number.
        let is_withheld = view.card.as_ref().is_none_or(|card| card.caller.presentation.hides_number());
        let number = view.card.as_ref().and_then(|card| card.caller.number.clone());
        Some(VoiceCall { id: view.id, caller: number.filter(|_| !is_withheld), is_withheld })
    }
}
