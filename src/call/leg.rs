//! A leg: one channel of the PBX, and the endpoint that its name stands for.
//!
//! Invariant: a leg belongs to exactly one call and to at most one bridge; a leg that ended is never revived
//! (the model keeps tombstones). What a leg *means* for its call is not stored here: [`super::derive`] computes it.

use std::time::Duration;

use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use crate::ami::event::{ChannelState, DialStatus};
use crate::contract::endpoint::{EndpointNames, is_line_technology, is_one_of};
use crate::contract::extension_pattern::ExtensionPattern;
use crate::ids::{BridgeId, CallId, ChannelId, Extension, PbxId};

/// Longest all-digit endpoint name that counts as an internal phone without being named, in digits.
pub const PHONE_DIGITS_MAX: usize = 6;

/// How the model classifies this installation's endpoints, and how long a call waits.
#[derive(Debug, Clone)]
pub struct EndpointRules {
    /// The PBX; part of the input of every call's id.
    pub pbx: PbxId,
    /// Endpoint names of trunks. A call comes from outside only on one of these, or through a trunk context.
    pub trunks: Vec<SmolStr>,
    /// The other names by which an endpoint or a context is recognised.
    pub endpoints: EndpointNames,
    /// The extensions of operators and supervisors; other internal phones get no pops.
    pub phones: Vec<ExtensionPattern>,
    /// How long a call waits for the dialplan's identity event before it uses the channel's caller id.
    pub identity_timeout: Duration,
    /// How long a call then waits for the PBX to answer whether the caller's number may be shown.
    pub presentation_timeout: Duration,
    /// How long a pop waits for the store; a later answer follows as an update.
    pub card_timeout: Duration,
}

impl EndpointRules {
    /// The operator's or supervisor's phone that a device is, for instance `PJSIP/1001`.
    #[must_use]
    pub fn phone_of_device(&self, device: &str) -> Option<Extension> {
        let (technology, endpoint) = device.split_once('/')?;
        self.endpoints.extension_of(technology, endpoint, &self.phones)
    }
}

/// Who is at the far end of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The phone of an operator or a supervisor.
    Phone(Extension),
    /// Another internal phone.
    Inside,
    /// A line to the public network.
    Trunk,
    /// One half of a Local channel: joins two legs, no party.
    Local,
    /// A channel of the PBX itself: announcers, recorders.
    Machine,
}

impl Endpoint {
    /// Reads a channel name: `PJSIP/1001-0000002a`, `Local/1001@from-queue-00000001;1`, `SIP/trunk-00000001`. `None`
    /// for an endpoint that no rule knows.
    pub(crate) fn of_channel(name: &str, rules: &EndpointRules) -> Option<Self> {
        let Some((technology, endpoint)) = parts_of(name) else { return Some(Self::Machine) };
        match technology {
            "Local" => return Some(Self::Local),
            "CBAnn" | "CBRec" | "Announcer" | "Recorder" | "Surrogate" | "Message" | "UnicastRTP"
            | "MulticastRTP" | "Snoop" | "AudioSocket" | "WebSocket" => return Some(Self::Machine),
            _ => {}
        }
        if is_one_of(&rules.trunks, technology, endpoint) {
            return Some(Self::Trunk);
        }
        if let Some(extension) = rules.endpoints.extension_of(technology, endpoint, &rules.phones) {
            return Some(Self::Phone(extension));
        }
        let is_short_number = endpoint.len() <= PHONE_DIGITS_MAX
            && !endpoint.is_empty()
            && endpoint.bytes().all(|b| b.is_ascii_digit())
            && !is_line_technology(technology);
        (is_short_number || rules.endpoints.is_internal(technology, endpoint)).then_some(Self::Inside)
    }

    /// The endpoint's part of a channel name; for a trunk channel, the trunk's name.
    pub(crate) fn name_in(channel: &str) -> SmolStr {
        SmolStr::new(parts_of(channel).map_or(channel, |(_, endpoint)| endpoint))
    }

    /// Technology and endpoint of a channel name, for instance `PJSIP/reception`.
    pub(crate) fn full_name_in(channel: &str) -> SmolStr {
        match parts_of(channel) {
            Some((technology, endpoint)) => format_smolstr!("{technology}/{endpoint}"),
            None => SmolStr::new(channel),
        }
    }

    /// The technology in a channel name: `PJSIP`, `SIP`, `DAHDI`.
    pub(crate) fn technology_in(channel: &str) -> SmolStr {
        let name = channel.strip_prefix("AsyncGoto/").unwrap_or(channel);
        SmolStr::new(name.split_once('/').map_or("", |(technology, _)| technology))
    }

    pub(crate) fn phone(&self) -> Option<&Extension> {
        if let Self::Phone(extension) = self { Some(extension) } else { None }
    }
}

/// Technology and endpoint of a channel: `PJSIP/1001-0000002a` is one of the endpoint `1001`. On an ISDN line the other
/// party's number follows the endpoint (`DAHDI/i1/0312345678-2`).
fn parts_of(channel: &str) -> Option<(&str, &str)> {
    let (technology, rest) = channel.strip_prefix("AsyncGoto/").unwrap_or(channel).split_once('/')?;
    let endpoint = rest.rsplit_once('-').map_or(rest, |(endpoint, _)| endpoint);
    Some((technology, endpoint.split('/').next().unwrap_or(endpoint)))
}

/// One channel.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    /// The call it belongs to.
    pub(crate) call: CallId,
    /// Who is at its far end.
    pub(crate) endpoint: Endpoint,
    /// The channel's state in its latest event.
    pub(crate) state: ChannelState,
    /// The bridge it is in.
    pub(crate) bridge: Option<BridgeId>,
    /// The leg that dialled it.
    pub(crate) dialled_by: Option<ChannelId>,
    /// A dial names it as its destination: by another leg, or by nobody (an originated call).
    pub(crate) dialled: bool,
    /// How that dial ended, if it has.
    pub(crate) dial_ended: Option<DialStatus>,
    /// The other half of a Local channel.
    pub(crate) peer: Option<ChannelId>,
    /// This leg's phone has put its other side on hold.
    pub(crate) holding: bool,
    /// A hang-up was requested, with this cause (0: by the PBX); Asterisk may send the Hangup itself half a minute later.
    pub(crate) hangup_requested: Option<u16>,
    /// The far end requested it.
    pub(crate) hung_up: bool,
    /// When it was picked up, dialled for the caller: it may hear an announcement or have to press a key before the PBX
    /// connects the two.
    pub(crate) picked_up_at: Option<Timestamp>,
    /// It was reported that it was picked up and is not connected yet.
    pub(crate) announced: bool,
    /// It was dialled for a consultation, not for the caller.
    pub(crate) consulted: bool,
    /// Its phone passed the caller on (BlindTransfer), so it does not have the caller, although it still lives.
    pub(crate) released: bool,
    /// Its dial made progress (early media, or a far end that never says "ringing").
    pub(crate) progress: bool,
    /// The endpoint's name, if no rule knows it.
    pub(crate) unknown: Option<SmolStr>,
    /// It was found in a list: how its call began is not known.
    pub(crate) found: bool,
    /// It was reported that this phone rings for a call that was not.
    pub(crate) ring_reported: bool,
    /// The model's input count when the leg was created; shows whether it is newer than a list.
    pub(crate) seen_at: u64,
}

impl Leg {
    /// Whether this leg rings, judged by this leg alone.
    pub(crate) fn is_ringing(&self) -> bool {
        let ringing = match self.state {
            ChannelState::Ringing => true,
            ChannelState::Down => self.progress,
            _ => false,
        };
        ringing && self.dial_ended.is_none()
    }

    /// How the dial of this leg ended, if it has. A queue reports a refusal as "no answer"; the cause of the hang-up
    /// request before it is more exact.
    pub(crate) fn dial_result(&self) -> Option<DialStatus> {
        let ended = self.dial_ended?;
        let refused = self.hangup_requested.map(dial_status_of) == Some(DialStatus::Busy);
        Some(if refused && ended == DialStatus::NoAnswer { DialStatus::Busy } else { ended })
    }

    /// Whether this leg was dialled and has answered.
    pub(crate) fn has_answered(&self) -> bool {
        self.dial_ended == Some(DialStatus::Answer)
            || (self.state == ChannelState::Up && self.dialled_by.is_some())
    }

    /// Whether this leg was dialled and leads to somebody; a Local channel only leads to other legs.
    pub(crate) fn is_dialled_party(&self) -> bool {
        self.dialled_by.is_some() && !matches!(self.endpoint, Endpoint::Local | Endpoint::Machine)
    }

    /// Whether this leg can still get the caller: nobody hangs it up, and its dial has not failed. A leg may get two
    /// DialEnd events; the last one counts.
    pub(crate) fn is_open(&self) -> bool {
        self.hangup_requested.is_none() && self.dial_ended.is_none_or(|status| status == DialStatus::Answer)
    }
}

/// The dial status that a Q.850 cause implies, for a dial without a DialEnd event.
pub(crate) fn dial_status_of(cause: u16) -> DialStatus {
    match cause {
        17 | 21 => DialStatus::Busy,
        18 | 19 => DialStatus::NoAnswer,
        1 | 3 | 20 | 27 | 34 | 38 | 41 | 42 | 44 => DialStatus::Unavailable,
        _ => DialStatus::Cancel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_name_tells_who_is_there() {
        let rules = EndpointRules {
            pbx: PbxId::parse("pbx").unwrap(),
            trunks: vec!["trunk".into(), "5000".into(), "hikari*".into(), "DAHDI/i*".into()],
            endpoints: EndpointNames { internal: vec!["meeting-*".into()], ..EndpointNames::default() },
            phones: vec!["1XXX".parse().unwrap()],
            identity_timeout: Duration::ZERO,
            presentation_timeout: Duration::ZERO,
            card_timeout: Duration::ZERO,
        };
        let phone = |digits: &str| Some(Endpoint::Phone(Extension::parse(digits).unwrap()));
        for (name, expected) in [
            ("PJSIP/1001-0000002a", phone("1001")),
            ("SIP/1001-0000002a", phone("1001")),
            ("PJSIP/1001-web-0000002a", phone("1001")),
            ("PJSIP/agent1001-0000002a", phone("1001")),
            ("PJSIP/991001-0000002a", phone("1001")),
            ("AsyncGoto/PJSIP/1001-0000002a", phone("1001")),
            ("PJSIP/trunk-0000002a", Some(Endpoint::Trunk)),
            ("PJSIP/5000-0000002a", Some(Endpoint::Trunk)),
            ("PJSIP/hikari-denwa-0000002a", Some(Endpoint::Trunk)),
            ("DAHDI/i1/0312345678-2", Some(Endpoint::Trunk)),
            ("PJSIP/300-0000002a", Some(Endpoint::Inside)),
            ("PJSIP/10010-0000002a", Some(Endpoint::Inside)),
            ("PJSIP/meeting-2-0000002a", Some(Endpoint::Inside)),
            ("Local/1001@from-queue-00000001;2", Some(Endpoint::Local)),
            ("Message/ast_msg_queue", Some(Endpoint::Machine)),
            ("nonsense", Some(Endpoint::Machine)),
            // Neither trunk nor phone: nothing is guessed.
            ("PJSIP/reception-0000002a", None),
            ("PJSIP/door-1-00000001", None),
            ("PJSIP/0312345678-00000001", None),
            ("DAHDI/3-1", None),
        ] {
            assert_eq!(Endpoint::of_channel(name, &rules), expected, "{name}");
        }
        assert_eq!(Endpoint::name_in("DAHDI/i1/0312345678-2"), "i1");
        assert_eq!(Endpoint::full_name_in("PJSIP/door-1-00000001"), "PJSIP/door-1");
    }
}
