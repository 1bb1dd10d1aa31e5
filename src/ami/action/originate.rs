//! The action that places a call.

use super::{Action, ActionError, DialplanLocation, check_variable_name};
use crate::ids::ChannelId;

/// Channel drivers that Originate may use. `Local` is missing on purpose: it can name any context.
pub const ORIGINATE_DRIVERS: [&str; 3] = ["PJSIP/", "SIP/", "DAHDI/"];
/// The one function that Originate may set as a variable: it asks the phone to answer by itself.
pub const AUTO_ANSWER: (&str, &str) = ("PJSIP_HEADER(add,Call-Info)", "<sip:toritsugi>;answer-after=0");

/// A call for the PBX to place: first to `channel`, then into the dialplan once that channel answers.
#[derive(Debug, Clone)]
pub struct Originate<'a> {
    /// The destination, for instance `PJSIP/1001`.
    pub channel: &'a str,
    /// Where the answered channel goes.
    pub location: &'a DialplanLocation,
    /// The unique id of the new channel, by which the daemon recognises its Newchannel.
    pub id: &'a ChannelId,
    /// The unique id of the other half, for channels that come in pairs.
    pub other_id: Option<&'a ChannelId>,
    /// `"name" <number>` as shown on the called phone.
    pub caller_id: Option<&'a str>,
    /// How long the phone may ring, in milliseconds.
    pub ring_ms: u32,
    /// Variables for the dialplan: [`AUTO_ANSWER`], or names that [`super::VARIABLE_PREFIX`] permits.
    pub variables: &'a [(&'a str, &'a str)],
}

impl Action {
    /// Places a call without waiting for its outcome: a synchronous Originate blocks the session.
    ///
    /// # Errors
    /// [`ActionError`] when a part of it is not allowed or cannot be sent.
    pub fn originate(call: &Originate<'_>) -> Result<Self, ActionError> {
        let destination = ORIGINATE_DRIVERS.iter().find_map(|driver| call.channel.strip_prefix(driver));
        if !destination.is_some_and(|rest| !rest.is_empty() && !rest.contains(['&', '^', ',', '|'])) {
            let allowed = "one PJSIP/, SIP/ or DAHDI/ destination";
            return Err(ActionError::NotAllowed { key: "Channel", allowed });
        }
        let mut action = Self::bare("Originate")
            .with("Channel", call.channel)?
            .location(call.location)
            .fixed("Async", "true")
            .fixed("Timeout", &call.ring_ms.to_string())
            .fixed("ChannelId", call.id.as_str());
        if let Some(other) = call.other_id {
            action = action.fixed("OtherChannelId", other.as_str());
        }
        if let Some(caller_id) = call.caller_id {
            action = action.with("CallerID", caller_id)?;
        }
        for &(name, value) in call.variables {
            if (name, value) == AUTO_ANSWER {
                action = action.fixed("Variable", &format!("{name}={value}"));
                continue;
            }
            check_variable_name(name)?;
            // Asterisk splits this header at commas and takes quotes and backslashes out of it.
            if value.contains([',', '"', '\'', '\\']) {
                let allowed = "free of commas, quotes and backslashes";
                return Err(ActionError::NotAllowed { key: "Variable", allowed });
            }
            action = action.with("Variable", &format!("{name}={value}"))?;
        }
        Ok(action)
    }
}
