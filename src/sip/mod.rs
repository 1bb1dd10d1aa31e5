//! SIP identity: the called number, the forwarding number, the caller, and whether the caller is withheld.
//!
//! The input is the SIP headers that the dialplan sends once per call in the `ToritsugiIdentity` event
//! ([`from_headers`]). If it sends none, the input is the channel and the headers that the daemon reads from it
//! ([`from_channel_and_headers`]), or the channel alone ([`from_channel`]).
//!
//! | result | source, in order of preference |
//! |---|---|
//! | called numbers | P-Called-Party-ID, Request-URI, To, the channel's extensions (all kept; the directory decides which counts) |
//! | forwarding numbers | topmost Diversion; History-Info's last retargeting; the PBX's redirecting number (all kept) |
//! | caller | P-Asserted-Identity (sip: or tel:), P-Preferred-Identity, Remote-Party-ID, From, the channel |
//! | withheld | Privacy, Remote-Party-ID's `privacy`, an anonymous From or P-Asserted-Identity, a withheld channel; any one is enough |
//! | reason | the display name (`Coin line/payphone`, `Unavailable`, …; also `P`, `C`, `O`, `S`) |
//!
//! In History-Info a `cause` in an entry's URI marks the target that a retargeting led *to* (RFC 4458, RFC 7044, TTC
//! JJ-90.27). The forwarding number is then the entry it came *from*: the one that `mp` names, else the one before; the
//! marked entry follows as the second candidate. `mp` marks such a target without a cause, too: it says by itself that
//! the call was mapped to another user (RFC 7044). A `Reason` in the entry's URI headers (RFC 4244) marks the forwarding
//! number itself.
//!
//! Invariant: these functions are pure; no byte sequence makes them panic; their result never contains a withheld
//! number. Only `address.rs` names the crate `rsip`.
//!
//! Read next: `text.rs` (bytes to clean text), `address.rs` (one header's addresses), `channel.rs`.

mod address;
mod channel;
mod text;

pub use channel::{caller_of_channel, from_channel, presentation_of, strictest};
pub use text::Encoding;

use address::Address;

use crate::identity::{Caller, DialledSource, DiversionSource, Identity, Presentation};

/// Most headers read of one call.
const HEADERS_MAX: usize = 32;

/// The identity headers of a call, with their addresses in the order of arrival.
#[derive(Default)]
struct IdentityHeaders {
    asserted: Vec<Address>,
    preferred: Vec<Address>,
    remote_party: Vec<Address>,
    from: Vec<Address>,
    called_party: Vec<Address>,
    request_uri: Vec<Address>,
    to: Vec<Address>,
    diversion: Vec<Address>,
    history: Vec<Address>,
    redirecting: Vec<Address>,
    privacy: Vec<String>,
}

/// Reads the headers of one call, by the short names of the dialplan (`PAI1`, `HistoryInfo2`), the full names of
/// SIP or their compact forms, in any case. A pair `Encoding: percent` marks all values as percent-encoded.
///
/// `channel` is the result of [`from_channel`] for the same call. Its numbers follow those of the headers, its caller is
/// used if no header names one, and a caller that it withholds stays withheld.
#[must_use]
pub fn from_headers<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    channel: &Identity,
) -> Identity {
    let headers = IdentityHeaders::read(headers);
    Identity { caller: headers.caller(&channel.caller), ..headers.numbers(channel) }
}

/// As [`from_headers`], for headers that were read from the channel of a dialplan that sends none. The caller is the
/// channel's: the PBX decided whom it trusts to name one. A header can only hide that caller.
#[must_use]
pub fn from_channel_and_headers<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    channel: &Identity,
) -> Identity {
    let headers = IdentityHeaders::read(headers);
    let known = channel.caller.presentation();
    let caller = match headers.withheld() {
        Some(why) => Caller::new(None, None, why),
        None if known.hides_number() => Caller::new(None, None, headers.reason().unwrap_or(known)),
        None => channel.caller.clone(),
    };
    Identity { caller, ..headers.numbers(channel) }
}

impl IdentityHeaders {
    fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let headers: Vec<_> = headers.into_iter().take(HEADERS_MAX).collect();
        let named = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Encoding"));
        let encoding = named.map_or(Encoding::Plain, |(_, value)| Encoding::parse(value));
        let mut read = Self::default();
        for (name, value) in headers {
            read.add(name, &text::decoded(value, encoding));
        }
        read
    }

    fn add(&mut self, name: &str, value: &str) {
        let name = name.trim().to_ascii_lowercase().replace('-', "");
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let addresses = match name {
            "pai" | "passertedidentity" => &mut self.asserted,
            "ppi" | "ppreferredidentity" => &mut self.preferred,
            "rpid" | "remotepartyid" => &mut self.remote_party,
            "from" | "f" => &mut self.from,
            "pcalledparty" | "pcalledpartyid" => &mut self.called_party,
            "requesturi" => &mut self.request_uri,
            "to" | "t" => &mut self.to,
            "diversion" => &mut self.diversion,
            "historyinfo" => &mut self.history,
            "redirecting" => &mut self.redirecting,
            "privacy" => {
                self.privacy.extend(value.split([';', ',']).map(|word| word.trim().to_ascii_lowercase()));
                return;
            }
            _ => return,
        };
        addresses.extend(address::read_all(value));
    }

    /// The called and the forwarding numbers, those of the channel last.
    fn numbers(&self, channel: &Identity) -> Identity {
        let mut identity = Identity::default();
        for (source, addresses) in [
            (DialledSource::CalledParty, &self.called_party),
            (DialledSource::RequestUri, &self.request_uri),
            (DialledSource::To, &self.to),
        ] {
            let number = addresses.first().and_then(Address::number);
            identity.dialled.extend(number.map(|number| (source, number)));
        }
        for (source, number) in [
            (DiversionSource::Diversion, self.diversion.first().and_then(Address::number)),
            (DiversionSource::Redirecting, self.redirecting.first().and_then(Address::number)),
        ] {
            identity.diverted_by.extend(number.map(|number| (source, number)));
        }
        let retargeted = retargeted_from(&self.history).into_iter().filter_map(Address::number);
        let at = identity.diverted_by.iter().take_while(|(s, _)| *s == DiversionSource::Diversion).count();
        identity.diverted_by.splice(at..at, retargeted.map(|number| (DiversionSource::HistoryInfo, number)));
        identity.dialled.extend(channel.dialled.iter().cloned());
        identity.diverted_by.extend(channel.diverted_by.iter().cloned());
        identity
    }

    fn caller(&self, channel: &Caller) -> Caller {
        if let Some(why) = self.withheld() {
            return Caller::new(None, None, why);
        }
        if channel.presentation().hides_number() {
            return Caller::new(None, None, self.reason().unwrap_or(channel.presentation()));
        }
        let calling =
            |a: &&Address| a.param("party").is_none_or(|party| party.eq_ignore_ascii_case("calling"));
        let candidates = self
            .asserted
            .iter()
            .chain(&self.preferred)
            .chain(self.remote_party.iter().filter(calling))
            .chain(&self.from);
        let Some((number, address)) = candidates.filter_map(|a| Some((a.number()?, a))).next() else {
            return self.reason().map_or_else(|| channel.clone(), |why| Caller::new(None, None, why));
        };
        let hidden = self.remote_party.iter().any(|a| a.param("privacy") == Some("name"));
        let named = std::iter::once(address).chain(&self.from).find_map(Address::name);
        let name = named.filter(|name| !hidden && *name != number.as_str());
        Caller::new(Some(&number), name, Presentation::Allowed)
    }

    /// Why the number may not be shown; `None` when nothing forbids it.
    fn withheld(&self) -> Option<Presentation> {
        // `history` hides History-Info only; every other word but `none` hides the caller.
        let requested = self.privacy.iter().any(|word| !matches!(word.as_str(), "" | "none" | "history"));
        let barred = self.remote_party.iter().any(
            |a| matches!(a.param("privacy"), Some(privacy) if !matches!(privacy, "off" | "no" | "name")),
        );
        let anonymous = self.from.iter().chain(&self.asserted).find_map(Address::anonymity);
        (requested || barred || anonymous.is_some())
            .then(|| self.reason().or(anonymous).unwrap_or(Presentation::Withheld))
    }

    /// The reason that a display name states.
    fn reason(&self) -> Option<Presentation> {
        self.from.iter().chain(&self.asserted).chain(&self.remote_party).find_map(|a| reason_in(a.name()?))
    }
}

/// The entries that the call was retargeted from, the likeliest first: see the module documentation.
fn retargeted_from(history: &[Address]) -> Vec<&Address> {
    for (at, entry) in history.iter().enumerate().rev() {
        if entry.reason_has_cause() {
            return vec![entry];
        }
        let mp = entry.param("mp");
        if entry.has_cause() || mp.is_some() {
            let mapped = mp.and_then(|mp| history.iter().find(|e| e.param("index") == Some(mp)));
            let before = at.checked_sub(1).and_then(|before| history.get(before));
            let marked = Some(entry).filter(|entry| entry.has_cause());
            return mapped.or(before).into_iter().chain(marked).collect();
        }
    }
    Vec::new()
}

/// The reason that a display name states for a missing number: the texts of the Japanese networks, their letters
/// (P, C, O, S), and the Japanese words that home gateways write.
fn reason_in(name: &str) -> Option<Presentation> {
    let name = name.trim().to_lowercase();
    match name.as_str() {
        "p" => return Some(Presentation::Withheld),
        "c" => return Some(Presentation::Payphone),
        "o" | "s" => return Some(Presentation::Unavailable),
        _ => {}
    }
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["payphone", "coin line", "公衆電話"]) {
        Some(Presentation::Payphone)
    } else if has(&["unavailable", "interaction with other service", "out of area", "表示圏外", "unknown"])
    {
        Some(Presentation::Unavailable)
    } else if has(&["anonymous", "restricted", "user reject", "withheld", "private", "非通知"]) {
        Some(Presentation::Withheld)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
