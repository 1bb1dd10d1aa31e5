//! What an installation decides about messages: the section `[messages]` of the configuration.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use smol_str::SmolStr;

use crate::contract::message::{MessageFields, Urgency, message_day};
use crate::contract::records::ChannelRules;
use crate::contract::words::WordKind;
use crate::mail::{FaxGateway, ReturnPath};
use crate::operators::SharedWords;

/// Which calls need a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequiredMessages {
    /// None.
    #[default]
    Off,
    /// Those whose script says so (`message_required`).
    Script,
    /// All that an operator answered.
    Answered,
}

/// The settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which calls need a message, a completed transfer or a reason for none before their after-call work is finished.
    pub required: RequiredMessages,
    /// Why callers call, from which the operator chooses, and which dispositions are a reason for no message.
    pub words: SharedWords,
    /// Surnames that so many people have that the operator asks for more, in katakana.
    pub common_surnames: Vec<SmolStr>,
    /// How long a message can be withdrawn after it was taken; an urgent one only until it is on its way.
    pub undo: Duration,
    /// Whether supervisors may export messages.
    pub supervisors_export: bool,
    /// Whether supervisors may save, publish and retire scripts.
    pub supervisors_edit_scripts: bool,
    /// The time zone of numbers and exports.
    pub time_zone: TimeZone,
    /// Which endpoints of messages there may be.
    pub channels: ChannelRules,
    /// The gateways of faxes, whose results come back as mails.
    pub fax: Vec<FaxGateway>,
    /// How a returned mail names its delivery; absent: by its `Message-ID` alone.
    pub return_path: Option<ReturnPath>,
    /// How the answer of a person to a mail names its delivery; absent: such answers are not read.
    pub reply_path: Option<ReturnPath>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            required: RequiredMessages::Off,
            words: SharedWords::default(),
            common_surnames: Vec::new(),
            undo: Duration::from_secs(5),
            supervisors_export: false,
            supervisors_edit_scripts: false,
            time_zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
            channels: ChannelRules::default(),
            fax: Vec::new(),
            return_path: None,
            reply_path: None,
        }
    }
}

impl Settings {
    /// The day of a number.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> String {
        message_day(at, &self.time_zone)
    }

    /// When a message that was taken at `at` may be delivered: as soon as it can no longer be withdrawn, an urgent one at once.
    #[must_use]
    pub fn sendable_at(&self, at: Timestamp, urgency: Urgency) -> Timestamp {
        match urgency {
            Urgency::Urgent => at,
            Urgency::Normal | Urgency::Low => at.checked_add(self.undo).unwrap_or(at),
        }
    }

    /// The label of a reason.
    #[must_use]
    pub fn reason_label(&self, code: &str) -> Option<String> {
        self.words.current().label(WordKind::MessageReason, code).map(str::to_owned)
    }

    /// The subject of a message whose taker wrote none: its reason and its action.
    #[must_use]
    pub fn subject(&self, fields: &MessageFields) -> Option<String> {
        let reason = fields.reason.as_deref().and_then(|code| self.reason_label(code));
        let parts: Vec<&str> = reason.as_deref().into_iter().chain(fields.action.label()).collect();
        (!parts.is_empty()).then(|| parts.join("・"))
    }
}
