//! The actions that place a call of a fixed Local channel: one writes plans into the PBX's database, one looks for sounds, the
//! other whispers.
//!
//! `DBPut` needs the class `system`, which would let its user run programs, and `Setvar` refuses the function DB. So the
//! daemon places a call of one fixed Local channel: its dialplan, context `toritsugi-plan`, writes the keys that the call's
//! variables name, below the family `toritsugi` and nowhere else. The Local channel is not one of
//! [`super::ORIGINATE_DRIVERS`]: no other location can be named here.
//!
//! A value longer than one line is split into two variables.

use super::{AMI_ACTION_HEADERS_MAX, Action, ActionError, check_word};
use crate::callflow::{BATCH_CHANGES_MAX, KeyChange};
use crate::ids::ChannelId;

/// The channel whose dialplan writes.
const CHANNEL: &str = "Local/put@toritsugi-plan/n";
/// Most bytes of a value in one variable, so that the line fits.
const PART_BYTES_MAX: usize = 960;
/// How long the channel may take, in milliseconds. It ends by itself.
const TIMEOUT_MS: &str = "10000";

// Each change has its key and up to two parts of its value.
const _: () = assert!(3 * BATCH_CHANGES_MAX + 8 <= AMI_ACTION_HEADERS_MAX);

impl Action {
    /// Writes and deletes keys, in their order. The PBX answers before it has done so.
    ///
    /// # Errors
    /// [`ActionError::TooManyHeaders`] for more than [`BATCH_CHANGES_MAX`] changes.
    pub fn write_plan(changes: &[KeyChange]) -> Result<Self, ActionError> {
        let mut action = Self::bare("Originate")
            .fixed("Channel", CHANNEL)
            .fixed("Context", "toritsugi-plan")
            .fixed("Exten", "done")
            .fixed("Priority", "1")
            .fixed("Async", "true")
            .fixed("Timeout", TIMEOUT_MS);
        for (n, KeyChange { key, value }) in (1..).zip(changes) {
            action = action.with("Variable", &format!("__TORITSUGI_K{n}={}", key.as_str()))?;
            let value = value.as_ref().map_or("", |value| value.as_str());
            let (first, rest) = value.split_at(value.len().min(PART_BYTES_MAX));
            for (part, name) in [(first, 'V'), (rest, 'W')] {
                if !part.is_empty() {
                    action = action.with("Variable", &format!("__TORITSUGI_{name}{n}={part}"))?;
                }
            }
        }
        Ok(action)
    }
}

/// The channel whose dialplan looks for sounds.
const PROBE_CHANNEL: &str = "Local/sounds@toritsugi-plan/n";

impl Action {
    /// Asks which of these sounds the PBX has no file of; it answers with the event `ToritsugiSounds`, which names the order.
    ///
    /// # Errors
    /// [`ActionError`] for more sounds than an order holds, or a name that is none.
    pub fn probe_sounds(order: &str, sounds: &[String]) -> Result<Self, ActionError> {
        check_word("Variable", order, 40, b"", "an order of 1 to 40 letters or digits")?;
        let mut action = Self::bare("Originate")
            .fixed("Channel", PROBE_CHANNEL)
            .fixed("Context", "toritsugi-plan")
            .fixed("Exten", "done")
            .fixed("Priority", "1")
            .fixed("Async", "true")
            .fixed("Timeout", TIMEOUT_MS)
            .with("Variable", &format!("__TORITSUGI_ORDER={order}"))?;
        for (n, sound) in (1..).zip(sounds) {
            let allowed = "sounds of 1 to 200 letters, digits, '/', '_' or '-'";
            check_word("Variable", sound, 200, b"/_-", allowed)?;
            action = action.with("Variable", &format!("__TORITSUGI_K{n}={sound}"))?;
        }
        Ok(action)
    }
}

/// Most time that a whisper takes to begin, in milliseconds.
const WHISPER_TIMEOUT_MS: &str = "5000";

impl Action {
    /// Plays sounds into a channel, over what it hears: a fixed context, whose one half whispers and whose other half plays.
    ///
    /// # Errors
    /// [`ActionError`] when a sound is not one that is shipped, or the channel's id does not fit a line.
    pub fn whisper(channel: &ChannelId, sounds: &str) -> Result<Self, ActionError> {
        check_word(
            "Variable",
            sounds,
            200,
            b"/&_-",
            "sounds of 1 to 200 letters, digits, '/', '&', '_' or '-'",
        )?;
        let escaped: String = channel.as_str().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let action = Self::bare("Originate")
            .with("Channel", &format!("Local/id{escaped}@toritsugi-spy-tone/n"))?
            .fixed("Context", "toritsugi-spy-tone")
            .fixed("Exten", "sounds")
            .fixed("Priority", "1")
            .fixed("Async", "true")
            .fixed("Timeout", WHISPER_TIMEOUT_MS);
        action.with("Variable", &format!("TORITSUGI_WHISPER={sounds}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ami::action::ActionId;

    #[test]
    fn a_probe_names_sounds_and_nothing_else() {
        let sounds = ["custom/a_B-1".to_owned(), "toritsugi/closed".to_owned()];
        let text = Action::probe_sounds("1f00", &sounds).unwrap().encode(&ActionId::new(1, 1));
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("Channel: Local/sounds@toritsugi-plan/n\r\n"), "{text}");
        assert!(text.contains("Variable: __TORITSUGI_K2=toritsugi/closed\r\n"), "{text}");
        for sound in ["", "a,b", "${X}", "a b", "../a"] {
            assert!(Action::probe_sounds("1", &[sound.to_owned()]).is_err(), "{sound}");
        }
        let many = vec!["a".to_owned(); BATCH_CHANGES_MAX];
        assert!(Action::probe_sounds("1", &many).is_ok());
    }

    #[test]
    fn a_whisper_names_one_channel_and_sounds() {
        let action =
            Action::whisper(&ChannelId::parse("p 1.7").unwrap(), "toritsugi/place/2&toritsugi/minutes/1")
                .unwrap();
        let text = String::from_utf8(action.encode(&ActionId::new(1, 1))).unwrap();
        assert!(text.contains("Channel: Local/id%70%20%31%2E%37@toritsugi-spy-tone/n\r\n"), "{text}");
        for sounds in ["", "a,b", "${X}", "a b"] {
            assert!(Action::whisper(&ChannelId::parse("1.7").unwrap(), sounds).is_err(), "{sounds}");
        }
    }

    use crate::callflow::{Key, VALUE_BYTES_MAX, Value};

    #[test]
    fn the_longest_order_fits_and_a_deletion_has_no_value() {
        let change = |n: usize, value: &str| KeyChange {
            key: Key::new(&format!("do/{n}")).unwrap(),
            value: Value::new(value),
        };
        let long = "q".repeat(VALUE_BYTES_MAX);
        let changes: Vec<_> = (0..BATCH_CHANGES_MAX).map(|n| change(n, &long)).collect();
        let sent = Action::write_plan(&changes).unwrap().encode(&ActionId::new(u64::MAX, u64::MAX));
        let text = String::from_utf8(sent).unwrap();
        assert!(text.lines().all(|line| line.len() + 2 <= 1_024));
        assert!(text.lines().count() <= AMI_ACTION_HEADERS_MAX);
        assert_eq!(text.matches('q').count(), VALUE_BYTES_MAX * BATCH_CHANGES_MAX);
        let gone = Action::write_plan(&[change(7, "")]).unwrap().encode(&ActionId::new(1, 1));
        let gone = String::from_utf8(gone).unwrap();
        assert!(gone.contains("Variable: __TORITSUGI_K1=do/7\r\n") && !gone.contains("_V1"), "{gone}");
        let many: Vec<_> = (0..BATCH_CHANGES_MAX * 2).map(|n| change(n, &long)).collect();
        assert_eq!(Action::write_plan(&many), Err(ActionError::TooManyHeaders));
    }
}
