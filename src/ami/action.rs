//! Actions: what the daemon asks the PBX to do.
//!
//! Invariant: an [`Action`] holds no CR, LF or NUL, fits Asterisk's input limits, and requests nothing that this
//! product does not do. No constructor takes free keys and values. None takes `Application`/`Data`: with these,
//! `originate` alone was enough to run programs before Asterisk 18.24.2, 20.9.2 and 21.4.2. None takes a dialplan
//! location outside an [`AllowedContexts`].
//!
//! Asterisk's limits (main/manager.c `get_input`, `do_message`): a line of at most 1,024 bytes with its CRLF, at
//! most 128 headers; a bare LF ends a line too. A channel is named by its name or its unique id. `Hangup` reads a
//! name that begins with `/` as a regular expression over all channels, so every constructor refuses such a name.
//!
//! | file | actions | write class in manager.conf |
//! |---|---|---|
//! | `session` | Challenge, Login, Logoff, Ping | none |
//! | `session` | Filter | `system` |
//! | `reporting` | CoreStatus, CoreSettings, CoreShowChannels, DBGetTree, DeviceStateList, ShowDialPlan, Getvar without a channel | `reporting` |
//! | `reporting` | ListCommands, BridgeList, BridgeInfo, QueueStatus | none |
//! | `channel` | Redirect, BlindTransfer, Atxfer, CancelAtxfer, Hangup, Setvar, Getvar | `call` |
//! | `channel` | PJSIPNotify | `system` |
//! | `originate` | Originate | `originate` |
//! | `plan` | Originate of the one Local channel that writes plans | `originate` |
//! | `queue` | QueuePause, QueueAdd, QueueRemove | `agent` |
//!
//! Read next: [`super::session`], which gives an action its id and its deadline.

mod channel;
mod location;
mod originate;
mod plan;
mod queue;
mod reporting;
mod session;

use std::fmt;

use smol_str::SmolStr;

use crate::ids::push_bytes_of;

pub use channel::{ChannelVariable, PhoneCommand, SipHeader};
pub use location::{AllowedContexts, DialplanLocation};
pub use originate::{AUTO_ANSWER, ORIGINATE_DRIVERS, Originate};
pub use reporting::PbxValue;
pub use session::EventMask;

/// Longest line of an action with its CRLF, in bytes.
pub const AMI_ACTION_LINE_BYTES_MAX: usize = 1_024;
/// Most headers of one action, `Action` and `ActionID` included.
pub const AMI_ACTION_HEADERS_MAX: usize = 128;
/// Longest ActionID, in characters.
pub const AMI_ACTION_ID_CHARS_MAX: usize = 100;
/// Prefix of the variables that Originate and Setvar may set (after up to two `_`, which make them inherited).
pub const VARIABLE_PREFIX: &str = "TORITSUGI_";

/// Why an action cannot be written in a form that Asterisk accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The value could end the line and begin another.
    #[error("{key} must not contain a line break or NUL")]
    LineBreak {
        /// The header.
        key: &'static str,
    },
    /// Asterisk would cut the line off.
    #[error("{key} is too long: a line may have {AMI_ACTION_LINE_BYTES_MAX} bytes")]
    TooLong {
        /// The header.
        key: &'static str,
    },
    /// Asterisk would refuse the action.
    #[error("more than {AMI_ACTION_HEADERS_MAX} headers in one action")]
    TooManyHeaders,
    /// The header does not permit this value.
    #[error("{key} must be {allowed}")]
    NotAllowed {
        /// The header.
        key: &'static str,
        /// The values that it permits.
        allowed: &'static str,
    },
    /// The location lies outside the allowed contexts.
    #[error("context {context:?} is not in the list of allowed contexts")]
    ContextNotAllowed {
        /// The context of the rejected location.
        context: String,
    },
}

/// The id of one action on one connection; the PBX repeats it in the response.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ActionId(SmolStr);

impl ActionId {
    /// The id of action number `number` on a connection whose 64 random bits are `seed`.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        Self(smol_str::format_smolstr!("{seed:016x}.{number}"))
    }

    /// The number in `bytes`, if `bytes` is an id made with `seed`.
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

/// How the PBX answers an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseKind {
    /// One response.
    Single,
    /// A response that opens a list, the items, and an event that ends the list.
    List,
}

/// One action. Constructors in the files above make it; [`super::session::Session::send`] sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    name: &'static str,
    response_kind: ResponseKind,
    headers: Vec<(&'static str, String)>,
}

impl Action {
    /// The action's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How the PBX answers it.
    #[must_use]
    pub fn response_kind(&self) -> ResponseKind {
        self.response_kind
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
            push_bytes_of(value, &mut out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn bare(name: &'static str) -> Self {
        Self { name, response_kind: ResponseKind::Single, headers: Vec::new() }
    }

    fn list(name: &'static str) -> Self {
        Self { name, response_kind: ResponseKind::List, headers: Vec::new() }
    }

    fn channel(self, channel: &str) -> Result<Self, ActionError> {
        if channel.is_empty() || channel.starts_with('/') {
            return Err(ActionError::NotAllowed { key: "Channel", allowed: "a channel's name or unique id" });
        }
        self.with("Channel", channel)
    }

    fn location(self, location: &DialplanLocation) -> Self {
        self.fixed("Context", &location.context).fixed("Exten", &location.exten).fixed("Priority", "1")
    }

    /// Adds a header whose value is already known to be short and on one line.
    fn fixed(mut self, key: &'static str, value: &str) -> Self {
        self.headers.push((key, value.to_owned()));
        self
    }

    /// Adds a header after checking Asterisk's limits.
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

/// Accepts 1 to `max` ASCII letters, digits or bytes of `more`.
fn check_word(
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

fn check_variable_name(name: &str) -> Result<(), ActionError> {
    let allowed = "TORITSUGI_ and up to 60 letters, digits or '_'";
    let plain = name.strip_prefix("__").or_else(|| name.strip_prefix('_')).unwrap_or(name);
    match plain.strip_prefix(VARIABLE_PREFIX) {
        Some(rest) => check_word("Variable", rest, 60, b"_", allowed),
        None => Err(ActionError::NotAllowed { key: "Variable", allowed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;
    use crate::secret::Secret;

    fn text(action: &Action) -> String {
        String::from_utf8(action.encode(&ActionId::new(0xfeed, 7))).unwrap()
    }

    fn location() -> DialplanLocation {
        AllowedContexts::allow(["toritsugi-listen"]).unwrap().location("toritsugi-listen", "1001").unwrap()
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
            assert!(Action::read_pbx(PbxValue::EndpointContext(bad)).is_err());
            assert!(Action::read_pbx(PbxValue::HasModule(bad)).is_err());
            assert!(Action::filter_out(bad).is_err());
            assert!(Action::queue_pause(bad, None, true, None).is_err());
            assert!(Action::queue_pause("PJSIP/1", None, true, Some(bad)).is_err());
            assert!(AllowedContexts::allow([bad]).is_err());
            assert!(AllowedContexts::allow(["a"]).unwrap().location("a", bad).is_err());
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
    fn a_name_cannot_become_another_question() {
        let read = |name| Action::read_pbx(PbxValue::EndpointContext(name));
        assert!(
            text(&read("carrier-a").unwrap()).contains("Variable: PJSIP_ENDPOINT(carrier-a,context)\r\n")
        );
        for name in ["", "a,auth)", "a)${SHELL(x)}(", "a b", "回線"] {
            assert!(read(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_regular_expression_is_no_channel() {
        for wrong in ["", "/.*/", "/PJSIP/"] {
            assert!(Action::hangup(wrong, None).is_err());
            assert!(Action::redirect(wrong, &location()).is_err());
        }
    }

    #[test]
    fn originate_says_only_what_is_allowed() {
        let location = location();
        let id = ChannelId::parse("toritsugi-1").unwrap();
        fn call<'a>(
            location: &'a DialplanLocation,
            id: &'a ChannelId,
            channel: &'a str,
            variables: &'a [(&'a str, &'a str)],
        ) -> Originate<'a> {
            Originate {
                channel,
                location,
                id,
                other_id: None,
                caller_id: Some("\"見守り\" <1001>"),
                ring_ms: 20_000,
                variables,
            }
        }
        let sent = text(
            &Action::originate(&call(
                &location,
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
            assert!(Action::originate(&call(&location, &id, channel, &[])).is_err(), "{channel}");
        }
        for bad in [
            ("SHELL(ls)", "1"),
            ("PATH", "1"),
            ("TORITSUGI_A", "1,b=2"),
            ("TORITSUGI_", "1"),
            ("TORITSUGI_A(", ""),
        ] {
            assert!(Action::originate(&call(&location, &id, "PJSIP/1", &[bad])).is_err(), "{bad:?}");
        }
        let many: Vec<_> = (0..130).map(|_| ("TORITSUGI_A", "1")).collect();
        assert_eq!(
            Action::originate(&call(&location, &id, "PJSIP/1", &many)),
            Err(ActionError::TooManyHeaders)
        );
    }

    #[test]
    fn locations_exist_only_in_allowed_contexts() {
        let contexts = AllowedContexts::allow(["a", "b-c"]).unwrap();
        assert!(contexts.location("b-c", "*81#").is_ok());
        assert!(matches!(contexts.location("default", "1"), Err(ActionError::ContextNotAllowed { .. })));
        assert!(contexts.location("a", "1,2").is_err());
        assert!(Action::atxfer("c", &contexts.location("a", "on-call").unwrap()).is_err());
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
