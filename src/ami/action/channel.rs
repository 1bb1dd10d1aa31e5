//! Actions on one channel: move, transfer, hang up, its variables, its phone.

use super::{Action, ActionError, DialplanLocation, check_variable_name};

/// What the daemon asks a desk phone to do with a call (BroadSoft's `talk` and `hold` event packages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneCommand {
    /// Answer the call, or take it back from hold.
    Talk,
    /// Put the call on hold.
    Hold,
}

/// What the daemon may read from a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelVariable {
    /// Whether the caller's number may be shown, for instance `allowed_not_screened`.
    Presentation,
    /// The SIP headers of the call, as our dialplan stores them: `,PAI1: …,From: …`, each value percent-encoded.
    SipHeaders,
    /// The transfer that the channel is in, as one line: its id, operator, mode and targets.
    TransferContext,
    /// All targets of that transfer, joined by `-`.
    TransferTargets,
    /// The targets that the dialplan has not tried yet.
    TransferRemaining,
}

impl Action {
    /// Moves a channel to another dialplan location at once; Asterisk drops its bridge partner.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id.
    pub fn redirect(channel: &str, location: &DialplanLocation) -> Result<Self, ActionError> {
        Ok(Self::bare("Redirect").channel(channel)?.location(location))
    }

    /// Sends the bridge partner of `channel` to a dialplan location and drops `channel`.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id.
    pub fn blind_transfer(channel: &str, location: &DialplanLocation) -> Result<Self, ActionError> {
        let action = Self::bare("BlindTransfer").channel(channel)?;
        Ok(action.fixed("Context", &location.context).fixed("Exten", &location.exten))
    }

    /// Starts an attended transfer by the party on `channel`. Asterisk plays the extension as DTMF.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id, or the extension is not DTMF.
    pub fn atxfer(channel: &str, location: &DialplanLocation) -> Result<Self, ActionError> {
        if !location.exten.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'A'..=b'D')) {
            return Err(ActionError::NotAllowed { key: "Exten", allowed: "digits, '*', '#' or A to D" });
        }
        let action = Self::bare("Atxfer").channel(channel)?;
        Ok(action.fixed("Context", &location.context).fixed("Exten", &location.exten))
    }

    /// Cancels an attended transfer by the party on `channel` and reconnects that party with its partner.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id.
    pub fn cancel_atxfer(channel: &str) -> Result<Self, ActionError> {
        Self::bare("CancelAtxfer").channel(channel)
    }

    /// Hangs up a channel, with a Q.850 cause if one is given.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id.
    pub fn hangup(channel: &str, cause: Option<u8>) -> Result<Self, ActionError> {
        let action = Self::bare("Hangup").channel(channel)?;
        Ok(match cause {
            Some(cause) => action.fixed("Cause", &cause.to_string()),
            None => action,
        })
    }

    /// Sets a variable of a channel; [`super::VARIABLE_PREFIX`] restricts its name.
    ///
    /// # Errors
    /// [`ActionError`] when the name is not allowed or the value cannot be sent.
    pub fn setvar(channel: &str, name: &str, value: &str) -> Result<Self, ActionError> {
        check_variable_name(name)?;
        Self::bare("Setvar").channel(channel)?.with("Variable", name)?.with("Value", value)
    }

    /// Reads a variable of a channel; the response carries it in `Value`.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id.
    pub fn getvar(channel: &str, variable: ChannelVariable) -> Result<Self, ActionError> {
        let name = match variable {
            ChannelVariable::Presentation => "CALLERID(num-pres)",
            ChannelVariable::SipHeaders => "TORITSUGI_HEADERS",
            ChannelVariable::TransferContext => "TORITSUGI_ABOUT",
            ChannelVariable::TransferTargets => "TORITSUGI_TARGETS",
            ChannelVariable::TransferRemaining => "TORITSUGI_LEFT",
        };
        Ok(Self::bare("Getvar").channel(channel)?.fixed("Variable", name))
    }

    /// Asks the phone on `channel` to answer, hold or resume (`Event: talk`, `Event: hold`; Yealink, Poly, Snom).
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id.
    pub fn pjsip_notify(channel: &str, command: PhoneCommand) -> Result<Self, ActionError> {
        let event = match command {
            PhoneCommand::Talk => "Event=talk",
            PhoneCommand::Hold => "Event=hold",
        };
        Ok(Self::bare("PJSIPNotify").channel(channel)?.fixed("Variable", event))
    }
}
