//! Orders to the PBX.
//!
//! Invariant: an [`Action`] holds no CR, LF or NUL, fits Asterisk's input limits, and asks for nothing that this
//! product does not do. There is no constructor from free keys and values, none for `Application`/`Data` (with
//! these, `originate` alone was enough to run programs before 18.24.2, 20.9.2 and 21.4.2), and none for a dialplan
//! place that the configuration did not allow ([`Contexts`]).
//!
//! Asterisk's limits (main/manager.c `get_input`, `do_message`): a line of at most 1,024 bytes with its CRLF, at
//! most 128 headers; a bare LF ends a line too. A channel is named by its name or its unique id; `Hangup` takes a
//! name that begins with `/` as a regular expression over all channels, so such a name is refused everywhere.
//!
//! Write classes needed: `call` (Redirect, transfers, Hangup, Setvar), `originate`, `agent` (Queue…), `reporting`
//! (lists, CoreStatus, ShowDialPlan), `system` only for Filter and PJSIPNotify; none for Ping, BridgeList,
//! QueueStatus, ListCommands.
//!
//! Read next: [`super::session`], which gives an action its id and its deadline.

mod place;

use std::fmt;

use smol_str::SmolStr;

use crate::ids::{BridgeId, ChannelId, QueueName};
use crate::secret::Secret;
pub use place::{Contexts, Place};

/// Longest line of an action with its CRLF, in bytes.
pub const AMI_ACTION_LINE_BYTES_MAX: usize = 1_024;
/// Most headers of one action, `Action` and `ActionID` included.
pub const AMI_ACTION_HEADERS_MAX: usize = 128;
/// Longest ActionID, in characters.
pub const AMI_ACTION_ID_CHARS_MAX: usize = 100;
/// Variables that Originate and Setvar may set begin so (after up to two `_`, which make them inherited).
pub const VARIABLE_PREFIX: &str = "TORITSUGI_";
/// Channel drivers that Originate may use. `Local` is missing on purpose: it can name any context.
pub const ORIGINATE_DRIVERS: [&str; 3] = ["PJSIP/", "SIP/", "DAHDI/"];

/// Why an order can't be put into words that Asterisk takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The value could end the line and begin another.
    #[error("{key} must not contain a line break or NUL")]
    LineBreak {
        /// The header.
        key: &'static str,
    },
    /// The line would be cut off.
    #[error("{key} is too long: a line may have {AMI_ACTION_LINE_BYTES_MAX} bytes")]
    TooLong {
        /// The header.
        key: &'static str,
    },
    /// The action would be refused.
    #[error("more than {AMI_ACTION_HEADERS_MAX} headers in one action")]
    TooManyHeaders,
    /// The value is outside what this header may hold.
    #[error("{key} must be {allowed}")]
    NotAllowed {
        /// The header.
        key: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// The place is not one the configuration opened.
    #[error("context {context:?} is not among the contexts that the configuration allows")]
    ContextClosed {
        /// The context asked for.
        context: String,
    },
}

/// The name of one action on one connection, by which its answer is known.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ActionId(SmolStr);

impl ActionId {
    /// The id of action number `number` on a connection whose 64 random bits are `seed`.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        Self(smol_str::format_smolstr!("{seed:016x}.{number}"))
    }

    /// The number, when `bytes` is an id made with `seed`.
    #[must_use]
    pub fn number(seed: u64, bytes: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (left, right) = text.split_once('.')?;
        let number = right.parse().ok()?;
        (left.len() == 16 && Self::new(seed, number).0 == text).then_some(number)
    }

    /// The text on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the answer is one frame or a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One response.
    Response,
    /// A response that opens a list, its items, and an event that ends it.
    List,
}

/// One order; made by the constructors below, sent by [`super::session::Session::send`].
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    name: &'static str,
    answer: Answer,
    headers: Vec<(&'static str, String)>,
}

/// A call that the PBX is to place: to `channel` first, and into the dialplan once that answers.
#[derive(Debug, Clone)]
pub struct Originate<'a> {
    /// Whom to call, for instance `PJSIP/1001`.
    pub channel: &'a str,
    /// Where the answered channel goes.
    pub place: &'a Place,
    /// The unique id the new channel gets, so that its Newchannel is recognised.
    pub id: &'a ChannelId,
    /// The unique id of the other half, for channels that come in pairs.
    pub other_id: Option<&'a ChannelId>,
    /// `"name" <number>` as shown to the called phone.
    pub caller_id: Option<&'a str>,
    /// How long the phone may ring, in milliseconds.
    pub ring_ms: u32,
    /// Variables for the dialplan; names as [`VARIABLE_PREFIX`] says, or [`AUTO_ANSWER`].
    pub variables: &'a [(&'a str, &'a str)],
}

/// The one function that Originate may set as a variable: asks the phone to answer by itself.
pub const AUTO_ANSWER: (&str, &str) = ("PJSIP_HEADER(add,Call-Info)", "<sip:toritsugi>;answer-after=0");

/// What a desk phone is asked to do with a call (BroadSoft's `talk` and `hold` event packages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// Answer it, or take it back from hold.
    Talk,
    /// Put it on hold.
    Hold,
}

/// What may be read from a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// Whether its caller's number may be shown, for instance `allowed_not_screened`.
    Presentation,
    /// The SIP headers of its call, as our dialplan keeps them: `,PAI1: …,From: …`, each value percent-encoded.
    Headers,
    /// What the transfer that the channel is in is about.
    TransferAbout,
    /// All targets that the dialplan was given, joined by `-`.
    TransferTargets,
    /// Those of them that it has not begun with yet.
    TransferLeft,
}

/// Which events a session gets; an unknown word here would silently mean none, hence a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventMask {
    /// All that the user may read.
    All,
    /// None.
    Off,
}

impl Action {
    /// Asks for the challenge of an MD5 login.
    #[must_use]
    pub fn challenge() -> Self {
        Self::bare("Challenge").fixed("AuthType", "MD5")
    }

    /// Logs in with the answer to a challenge, in lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`ActionError`] when the user's name cannot be sent.
    pub fn login_md5(username: &str, key: &str, events: EventMask) -> Result<Self, ActionError> {
        let login =
            Self::bare("Login").fixed("AuthType", "MD5").with("Username", username)?.with("Key", key)?;
        Ok(login.events(events))
    }

    /// Logs in with the secret itself.
    ///
    /// # Errors
    /// [`ActionError`] when the name or the secret cannot be sent.
    pub fn login_plain(username: &str, secret: &Secret, events: EventMask) -> Result<Self, ActionError> {
        let login = Self::bare("Login").with("Username", username)?.with("Secret", secret.expose())?;
        Ok(login.events(events))
    }

    /// Ends the session.
    #[must_use]
    pub fn logoff() -> Self {
        Self::bare("Logoff")
    }

    /// Asks whether the PBX is there.
    #[must_use]
    pub fn ping() -> Self {
        Self::bare("Ping")
    }

    /// When the PBX started, and how many calls it has.
    #[must_use]
    pub fn core_status() -> Self {
        Self::bare("CoreStatus")
    }

    /// Version and limits of the PBX.
    #[must_use]
    pub fn core_settings() -> Self {
        Self::bare("CoreSettings")
    }

    /// The actions that this user may use: what `check` compares with what we need.
    #[must_use]
    pub fn list_commands() -> Self {
        Self::bare("ListCommands")
    }

    /// Lists every channel.
    #[must_use]
    pub fn core_show_channels() -> Self {
        Self::list("CoreShowChannels")
    }

    /// Lists every bridge.
    #[must_use]
    pub fn bridge_list() -> Self {
        Self::list("BridgeList")
    }

    /// Lists the channels of one bridge.
    #[must_use]
    pub fn bridge_info(bridge: &BridgeId) -> Self {
        Self::list("BridgeInfo").fixed("BridgeUniqueid", bridge.as_str())
    }

    /// Lists queues, their members and who waits in them.
    #[must_use]
    pub fn queue_status() -> Self {
        Self::list("QueueStatus")
    }

    /// Lists the state of every device.
    #[must_use]
    pub fn device_state_list() -> Self {
        Self::list("DeviceStateList")
    }

    /// Lists one context of the dialplan; refused when it does not exist.
    ///
    /// # Errors
    /// [`ActionError`] when `context` is not a context's name.
    pub fn show_dialplan(context: &str) -> Result<Self, ActionError> {
        word("Context", context, 79, b"-_", "1 to 79 letters, digits, '-' or '_'")?;
        Ok(Self::list("ShowDialPlan").fixed("Context", context))
    }

    /// Places a call, without waiting for its outcome: a synchronous one would freeze the session.
    ///
    /// # Errors
    /// [`ActionError`] when a part of it is not allowed or cannot be sent.
    pub fn originate(call: &Originate<'_>) -> Result<Self, ActionError> {
        let known = ORIGINATE_DRIVERS.iter().find_map(|driver| call.channel.strip_prefix(driver));
        if !known.is_some_and(|rest| !rest.is_empty() && !rest.contains(['&', '^', ',', '|'])) {
            let allowed = "one PJSIP/, SIP/ or DAHDI/ destination";
            return Err(ActionError::NotAllowed { key: "Channel", allowed });
        }
        let mut action = Self::bare("Originate")
            .with("Channel", call.channel)?
            .place(call.place)
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
            variable_name(name)?;
            // Asterisk splits this header at commas and takes quotes and backslashes out of it.
            if value.contains([',', '"', '\'', '\\']) {
                let allowed = "free of commas, quotes and backslashes";
                return Err(ActionError::NotAllowed { key: "Variable", allowed });
            }
            action = action.with("Variable", &format!("{name}={value}"))?;
        }
        Ok(action)
    }

    /// Moves a channel to another place of the dialplan at once; its partner is dropped.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel's name or id.
    pub fn redirect(channel: &str, place: &Place) -> Result<Self, ActionError> {
        Ok(Self::bare("Redirect").channel(channel)?.place(place))
    }

    /// Sends the partner of `channel` to a place of the dialplan and drops `channel`.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel's name or id.
    pub fn blind_transfer(channel: &str, place: &Place) -> Result<Self, ActionError> {
        let action = Self::bare("BlindTransfer").channel(channel)?;
        Ok(action.fixed("Context", &place.context).fixed("Exten", &place.exten))
    }

    /// Begins an attended transfer by the party on `channel`. Asterisk plays the extension as DTMF.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel's name or id, or the extension cannot be dialled.
    pub fn atxfer(channel: &str, place: &Place) -> Result<Self, ActionError> {
        if !place.exten.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'A'..=b'D')) {
            return Err(ActionError::NotAllowed { key: "Exten", allowed: "digits, '*', '#' or A to D" });
        }
        let action = Self::bare("Atxfer").channel(channel)?;
        Ok(action.fixed("Context", &place.context).fixed("Exten", &place.exten))
    }

    /// Ends an attended transfer by the party on `channel` and brings it back to its partner.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel's name or id.
    pub fn cancel_atxfer(channel: &str) -> Result<Self, ActionError> {
        Self::bare("CancelAtxfer").channel(channel)
    }

    /// Ends a channel, with a Q.850 cause if one is given.
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel's name or id.
    pub fn hangup(channel: &str, cause: Option<u8>) -> Result<Self, ActionError> {
        let action = Self::bare("Hangup").channel(channel)?;
        Ok(match cause {
            Some(cause) => action.fixed("Cause", &cause.to_string()),
            None => action,
        })
    }

    /// Sets a variable of a channel; its name as [`VARIABLE_PREFIX`] says.
    ///
    /// # Errors
    /// [`ActionError`] when the name is not allowed or the value cannot be sent.
    pub fn setvar(channel: &str, name: &str, value: &str) -> Result<Self, ActionError> {
        variable_name(name)?;
        Self::bare("Setvar").channel(channel)?.with("Variable", name)?.with("Value", value)
    }

    /// Reads one of the few things worth asking about a channel; the answer's `Value` bears it.
    ///
    /// # Errors
    /// [`ActionError`] when the channel's name cannot be sent.
    pub fn getvar(channel: &str, what: Readable) -> Result<Self, ActionError> {
        let name = match what {
            Readable::Presentation => "CALLERID(num-pres)",
            Readable::Headers => "TORITSUGI_HEADERS",
            Readable::TransferAbout => "TORITSUGI_ABOUT",
            Readable::TransferTargets => "TORITSUGI_TARGETS",
            Readable::TransferLeft => "TORITSUGI_LEFT",
        };
        Ok(Self::bare("Getvar").channel(channel)?.fixed("Variable", name))
    }

    /// Pauses or unpauses a member, in one queue or in all.
    ///
    /// # Errors
    /// [`ActionError`] when a text cannot be sent.
    pub fn queue_pause(
        interface: &str,
        queue: Option<&QueueName>,
        paused: bool,
        reason: Option<&str>,
    ) -> Result<Self, ActionError> {
        let mut action = Self::bare("QueuePause").interface(interface)?;
        action = action.fixed("Paused", if paused { "true" } else { "false" });
        if let Some(queue) = queue {
            action = action.fixed("Queue", queue.as_str());
        }
        match reason {
            Some(reason) => action.with("Reason", reason),
            None => Ok(action),
        }
    }

    /// Adds a member to a queue.
    ///
    /// # Errors
    /// [`ActionError`] when a text cannot be sent.
    pub fn queue_add(
        queue: &QueueName,
        interface: &str,
        member_name: &str,
        penalty: u32,
        paused: bool,
    ) -> Result<Self, ActionError> {
        Ok(Self::bare("QueueAdd")
            .fixed("Queue", queue.as_str())
            .interface(interface)?
            .with("MemberName", member_name)?
            .fixed("Penalty", &penalty.to_string())
            .fixed("Paused", if paused { "true" } else { "false" }))
    }

    /// Removes a member from a queue.
    ///
    /// # Errors
    /// [`ActionError`] when a text cannot be sent.
    pub fn queue_remove(queue: &QueueName, interface: &str) -> Result<Self, ActionError> {
        Self::bare("QueueRemove").fixed("Queue", queue.as_str()).interface(interface)
    }

    /// Asks the ringing phone on `channel` to answer (`Event: talk`; Yealink, Poly, Snom).
    ///
    /// # Errors
    /// [`ActionError`] when `channel` is not a channel's name or id.
    pub fn pjsip_notify(channel: &str, what: Notify) -> Result<Self, ActionError> {
        let event = match what {
            Notify::Talk => "Event=talk",
            Notify::Hold => "Event=hold",
        };
        Ok(Self::bare("PJSIPNotify").channel(channel)?.fixed("Variable", event))
    }

    /// Leaves the named event out of this session (Asterisk 18.26, 20.11, 22.1 and later).
    ///
    /// # Errors
    /// [`ActionError`] when `event` is not an event's name.
    pub fn filter_out(event: &str) -> Result<Self, ActionError> {
        word("MatchCriteria", event, 60, b"", "an event's name")?;
        let criteria = format!("action(exclude),name({event})");
        Ok(Self::bare("Filter")
            .fixed("Operation", "Add")
            .fixed("MatchCriteria", &criteria)
            .fixed("Filter", ""))
    }

    /// The action's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What its answer looks like.
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self, id: &ActionId) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let lines = [("Action", self.name), ("ActionID", id.as_str())];
        let headers = self.headers.iter().map(|(key, value)| (*key, value.as_str()));
        for (key, value) in lines.into_iter().chain(headers) {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn bare(name: &'static str) -> Self {
        Self { name, answer: Answer::Response, headers: Vec::new() }
    }

    fn list(name: &'static str) -> Self {
        Self { name, answer: Answer::List, headers: Vec::new() }
    }

    fn events(self, events: EventMask) -> Self {
        match events {
            EventMask::All => self,
            EventMask::Off => self.fixed("Events", "off"),
        }
    }

    fn channel(self, channel: &str) -> Result<Self, ActionError> {
        if channel.is_empty() || channel.starts_with('/') {
            return Err(ActionError::NotAllowed { key: "Channel", allowed: "a channel's name or unique id" });
        }
        self.with("Channel", channel)
    }

    fn interface(self, interface: &str) -> Result<Self, ActionError> {
        if interface.is_empty() {
            return Err(ActionError::NotAllowed {
                key: "Interface",
                allowed: "a device, for instance PJSIP/1001",
            });
        }
        self.with("Interface", interface)
    }

    fn place(self, place: &Place) -> Self {
        self.fixed("Context", &place.context).fixed("Exten", &place.exten).fixed("Priority", "1")
    }

    /// A value whose type already keeps it short and on one line.
    fn fixed(mut self, key: &'static str, value: &str) -> Self {
        self.headers.push((key, value.to_owned()));
        self
    }

    fn with(self, key: &'static str, value: &str) -> Result<Self, ActionError> {
        if value.contains(['\r', '\n', '\0']) {
            return Err(ActionError::LineBreak { key });
        }
        if key.len() + value.len() + ": \r\n".len() > AMI_ACTION_LINE_BYTES_MAX {
            return Err(ActionError::TooLong { key });
        }
        if self.headers.len() + 2 >= AMI_ACTION_HEADERS_MAX {
            return Err(ActionError::TooManyHeaders);
        }
        Ok(self.fixed(key, value))
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        map.entry(&"Action", &self.name);
        for (key, value) in &self.headers {
            let hidden = matches!(*key, "Secret" | "Key");
            map.entry(key, if hidden { &"(hidden)" } else { value });
        }
        map.finish()
    }
}

/// Letters, digits and some more; at most `max` of them, at least one.
fn word(
    key: &'static str,
    text: &str,
    max: usize,
    more: &[u8],
    allowed: &'static str,
) -> Result<(), ActionError> {
    let fits = !text.is_empty() && text.len() <= max;
    if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b)) {
        Ok(())
    } else {
        Err(ActionError::NotAllowed { key, allowed })
    }
}

fn variable_name(name: &str) -> Result<(), ActionError> {
    let allowed = "TORITSUGI_ and up to 60 letters, digits or '_'";
    let plain = name.strip_prefix("__").or_else(|| name.strip_prefix('_')).unwrap_or(name);
    match plain.strip_prefix(VARIABLE_PREFIX) {
        Some(rest) => word("Variable", rest, 60, b"_", allowed),
        None => Err(ActionError::NotAllowed { key: "Variable", allowed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(action: &Action) -> String {
        String::from_utf8(action.encode(&ActionId::new(0xfeed, 7))).unwrap()
    }

    fn place() -> Place {
        Contexts::allow(["toritsugi-listen"]).unwrap().place("toritsugi-listen", "1001").unwrap()
    }

    #[test]
    fn an_action_is_lines_and_an_empty_one() {
        let hangup = Action::hangup("pbx-1.2", Some(16)).unwrap();
        let expected =
            "Action: Hangup\r\nActionID: 000000000000feed.7\r\nChannel: pbx-1.2\r\nCause: 16\r\n\r\n";
        assert_eq!(text(&hangup), expected);
    }

    #[test]
    fn no_value_ends_its_line() {
        for bad in ["a\rb", "a\nb", "a\0b", "\r\n\r\nAction: Originate"] {
            assert_eq!(Action::hangup(bad, None), Err(ActionError::LineBreak { key: "Channel" }));
            assert!(Action::setvar("c", "TORITSUGI_A", bad).is_err());
            assert!(Action::setvar("c", &format!("TORITSUGI_{bad}"), "v").is_err());
            assert!(Action::login_plain("u", &Secret::new(bad), EventMask::All).is_err());
            assert!(Action::login_md5(bad, "00", EventMask::All).is_err());
            assert!(Action::show_dialplan(bad).is_err());
            assert!(Action::filter_out(bad).is_err());
            assert!(Action::queue_pause(bad, None, true, None).is_err());
            assert!(Action::queue_pause("PJSIP/1", None, true, Some(bad)).is_err());
            assert!(Contexts::allow([bad]).is_err());
            assert!(Contexts::allow(["a"]).unwrap().place("a", bad).is_err());
        }
    }

    #[test]
    fn the_longest_line_is_asterisks() {
        let longest = AMI_ACTION_LINE_BYTES_MAX - "Value: \r\n".len();
        let fits = Action::setvar("c", "TORITSUGI_A", &"x".repeat(longest)).unwrap();
        assert_eq!(text(&fits).split_inclusive("\r\n").map(str::len).max(), Some(AMI_ACTION_LINE_BYTES_MAX));
        let long = Action::setvar("c", "TORITSUGI_A", &"x".repeat(longest + 1));
        assert_eq!(long, Err(ActionError::TooLong { key: "Value" }));
    }

    #[test]
    fn a_regular_expression_is_no_channel() {
        for wrong in ["", "/.*/", "/PJSIP/"] {
            assert!(Action::hangup(wrong, None).is_err());
            assert!(Action::redirect(wrong, &place()).is_err());
        }
    }

    #[test]
    fn originate_says_only_what_is_allowed() {
        let place = place();
        let id = ChannelId::parse("toritsugi-1").unwrap();
        fn call<'a>(
            place: &'a Place,
            id: &'a ChannelId,
            channel: &'a str,
            variables: &'a [(&'a str, &'a str)],
        ) -> Originate<'a> {
            Originate {
                channel,
                place,
                id,
                other_id: None,
                caller_id: Some("\"見守り\" <1001>"),
                ring_ms: 20_000,
                variables,
            }
        }
        let sent = text(
            &Action::originate(&call(
                &place,
                &id,
                "PJSIP/2001",
                &[("__TORITSUGI_SPY", "pbx-1.2"), AUTO_ANSWER],
            ))
            .unwrap(),
        );
        assert!(sent.contains("Async: true\r\n") && sent.contains("ChannelId: toritsugi-1\r\n"), "{sent}");
        assert!(sent.contains("Variable: __TORITSUGI_SPY=pbx-1.2\r\n"), "{sent}");
        assert!(!sent.contains("Application") && !sent.contains("Data"), "{sent}");
        for channel in ["Local/1@any", "PJSIP/", "PJSIP/1&PJSIP/2", "2001", ""] {
            assert!(Action::originate(&call(&place, &id, channel, &[])).is_err(), "{channel}");
        }
        for bad in [
            ("SHELL(ls)", "1"),
            ("PATH", "1"),
            ("TORITSUGI_A", "1,b=2"),
            ("TORITSUGI_", "1"),
            ("TORITSUGI_A(", ""),
        ] {
            assert!(Action::originate(&call(&place, &id, "PJSIP/1", &[bad])).is_err(), "{bad:?}");
        }
        let many: Vec<_> = (0..130).map(|_| ("TORITSUGI_A", "1")).collect();
        assert_eq!(Action::originate(&call(&place, &id, "PJSIP/1", &many)), Err(ActionError::TooManyHeaders));
    }

    #[test]
    fn places_exist_only_in_open_contexts() {
        let contexts = Contexts::allow(["a", "b-c"]).unwrap();
        assert!(contexts.place("b-c", "*81#").is_ok());
        assert!(matches!(contexts.place("default", "1"), Err(ActionError::ContextClosed { .. })));
        assert!(contexts.place("a", "1,2").is_err());
        assert!(Action::atxfer("c", &contexts.place("a", "on-call").unwrap()).is_err());
    }

    #[test]
    fn debug_hides_secrets() {
        let plain = Action::login_plain("toritsugi", &Secret::new("hush"), EventMask::Off).unwrap();
        let md5 = Action::login_md5("toritsugi", "0badc0de", EventMask::All).unwrap();
        let shown = format!("{plain:?} {md5:?}");
        assert!(!shown.contains("hush") && !shown.contains("0badc0de"), "{shown}");
        assert!(text(&plain).contains("Secret: hush\r\nEvents: off\r\n"));
    }

    #[test]
    fn ids_know_their_own() {
        let id = ActionId::new(0x1234, 99);
        assert_eq!(ActionId::number(0x1234, id.as_str().as_bytes()), Some(99));
        for other in
            ["", "0000000000001235.99", "0000000000001234.099", "0000000000001234.x", "+000000000001234.99"]
        {
            assert_eq!(ActionId::number(0x1234, other.as_bytes()), None, "{other}");
        }
        assert!(ActionId::new(u64::MAX, u64::MAX).as_str().len() <= AMI_ACTION_ID_CHARS_MAX);
    }
}
