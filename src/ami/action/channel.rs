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
    /// The presentation that FreePBX's inbound routes save before they overwrite it.
    SavedPresentation,
    /// The presentation of the ANI, which routes leave alone.
    AniPresentation,
    /// A SIP header of a PJSIP channel, or its Request-URI.
    Pjsip(SipHeader),
    /// A SIP header of a chan_sip channel.
    ChanSip(SipHeader),
    /// The SIP headers of the call, as our dialplan stores them: `,PAI1: …,From: …`, each value percent-encoded.
    SipHeaders,
    /// The transfer that the channel is in, as one line: its id, operator, mode and targets.
    TransferContext,
    /// All targets of that transfer, joined by `-`.
    TransferTargets,
    /// The targets that the dialplan has not tried yet.
    TransferRemaining,
}

/// The SIP headers that identify a call, by the names that the dialplan's identity event gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipHeader {
    /// The name in the identity event.
    pub name: &'static str,
    pjsip: &'static str,
    /// `None`: chan_sip has no function that reads it.
    chan_sip: Option<&'static str>,
}

impl SipHeader {
    /// All of them. What they say of the caller's number only hides it, so headers that name the caller are left out.
    pub const ALL: [Self; 10] = [
        Self::new("From", "PJSIP_HEADER(read,From,1)", Some("SIP_HEADER(From)")),
        Self::new("Privacy", "PJSIP_HEADER(read,Privacy,1)", Some("SIP_HEADER(Privacy)")),
        Self::new("RPID", "PJSIP_HEADER(read,Remote-Party-ID,1)", Some("SIP_HEADER(Remote-Party-ID)")),
        Self::new("To", "PJSIP_HEADER(read,To,1)", Some("SIP_HEADER(To)")),
        Self::new("RequestUri", "CHANNEL(pjsip,request_uri)", None),
        Self::new(
            "PCalledParty",
            "PJSIP_HEADER(read,P-Called-Party-ID,1)",
            Some("SIP_HEADER(P-Called-Party-ID)"),
        ),
        Self::new("Diversion", "PJSIP_HEADER(read,Diversion,1)", Some("SIP_HEADER(Diversion)")),
        Self::new("HistoryInfo1", "PJSIP_HEADER(read,History-Info,1)", Some("SIP_HEADER(History-Info)")),
        Self::new("HistoryInfo2", "PJSIP_HEADER(read,History-Info,2)", Some("SIP_HEADER(History-Info,2)")),
        Self::new("HistoryInfo3", "PJSIP_HEADER(read,History-Info,3)", Some("SIP_HEADER(History-Info,3)")),
    ];

    const fn new(name: &'static str, pjsip: &'static str, chan_sip: Option<&'static str>) -> Self {
        Self { name, pjsip, chan_sip }
    }
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

    /// Tells the dialplan that a daemon followed the PBX at this time of the PBX, in seconds since 1970; 0: none does any more.
    /// The global variable that is set is the only one that the daemon sets.
    #[must_use]
    pub fn set_alive(at: i64) -> Self {
        Self::bare("Setvar").fixed("Variable", "TORITSUGI_ALIVE").fixed("Value", &at.to_string())
    }

    /// Reads a variable of a channel; the response carries it in `Value`.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel name or unique id.
    pub fn getvar(channel: &str, variable: ChannelVariable) -> Result<Self, ActionError> {
        let name = match variable {
            ChannelVariable::Presentation => "CALLERID(num-pres)",
            ChannelVariable::SavedPresentation => "CALLINGNUMPRES_SV",
            ChannelVariable::AniPresentation => "CALLERID(ANI-num-pres)",
            ChannelVariable::Pjsip(header) => header.pjsip,
            ChannelVariable::ChanSip(header) => header
                .chan_sip
                .ok_or(ActionError::NotAllowed { key: "Variable", allowed: "what chan_sip can read" })?,
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
