//! Which peers are reverse proxies, and whose request a proxy passes on.
//!
//! | the peer | its `X-Forwarded-For`, from the right | the client is |
//! |---|---|---|
//! | is not in `gateway.trusted_proxies` | whatever it says | the peer |
//! | is a trusted proxy | an address that is no trusted proxy | that address |
//! | is a trusted proxy | trusted proxies alone | the first of them: a client on a machine with a proxy |
//! | is a trusted proxy | missing, or no address comes before an unreadable entry | not identified |
//!
//! An entry is an address, with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
//!
//! Invariant: an entry counts only if a trusted proxy wrote it. So no client chooses its own address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;

/// The header in which a proxy names its client.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Most entries that are read, from the right.
const HOPS_MAX: usize = 16;

/// A network: an address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    prefix: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a network, for instance 192.0.2.10 or 10.0.0.0/8")]
pub struct AddressRangeError;

impl AddressRange {
    /// Whether `address` is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// Whether every address is in the network.
    #[must_use]
    pub fn contains_everybody(&self) -> bool {
        self.prefix == 0
    }

    /// Whether every address of the network is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.base {
            IpAddr::V4(base) => base.is_loopback() && self.prefix >= 8,
            IpAddr::V6(base) => base.is_loopback() && self.prefix == 128,
        }
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| AddressRangeError)?;
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| AddressRangeError)?
            }
            Some(_) => return Err(AddressRangeError),
            None => bits,
        };
        // Peers are compared in their canonical form, in which an IPv4 address is never written as an IPv6 one.
        let is_mapped = base.is_ipv6() && base.to_canonical().is_ipv4();
        if prefix > bits || is_mapped {
            return Err(AddressRangeError);
        }
        Ok(Self { base, prefix })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAddress {
    /// This address.
    Known(IpAddr),
    /// Somebody behind this trusted proxy, which does not say who.
    Behind(IpAddr),
}

impl ClientAddress {
    /// The nearest address that is known: the client's, or that of its proxy.
    pub(crate) fn address(self) -> IpAddr {
        match self {
            Self::Known(address) | Self::Behind(address) => address,
        }
    }
}

/// The client of a request from `peer`.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[AddressRange]) -> ClientAddress {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if !is_trusted(peer) {
        return ClientAddress::Known(peer);
    }
    let lines = headers.get_all(FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
    let mut client = ClientAddress::Behind(peer);
    for entry in entries.into_iter().rev().take(HOPS_MAX) {
        match entry_address(entry.trim()) {
            Some(address) if is_trusted(address) => client = ClientAddress::Known(address),
            Some(address) => return ClientAddress::Known(address),
            None => return ClientAddress::Behind(peer),
        }
    }
    client
}

/// Whether the request names a client although its peer is no trusted proxy.
pub(crate) fn is_ignored_proxy(peer: IpAddr, headers: &HeaderMap, trusted: &[AddressRange]) -> bool {
    headers.contains_key(FORWARDED_FOR) && !trusted.iter().any(|range| range.contains(peer))
}

fn entry_address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address =
        bare.parse::<IpAddr>().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, headers: &[&str], trusted: &[&str]) -> ClientAddress {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let trusted: Vec<AddressRange> = trusted.iter().map(|range| range.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &map, &trusted)
    }

    fn known(address: &str) -> ClientAddress {
        ClientAddress::Known(address.parse().unwrap())
    }

    #[test]
    fn only_what_trusted_proxies_wrote_names_the_client() {
        let proxies = ["127.0.0.0/8", "::1", "10.1.0.0/16"];
        for (peer, headers, expected) in [
            ("198.51.100.7", vec![], known("198.51.100.7")),
            // Not a proxy of ours: what it claims does not count.
            ("198.51.100.7", vec!["203.0.113.1"], known("198.51.100.7")),
            ("127.0.0.1", vec!["203.0.113.1"], known("203.0.113.1")),
            ("::ffff:127.0.0.1", vec!["203.0.113.1"], known("203.0.113.1")),
            // What the client sent stands left of what the proxy added.
            ("127.0.0.1", vec!["203.0.113.1, 198.51.100.7"], known("198.51.100.7")),
            ("127.0.0.1", vec!["203.0.113.1", "198.51.100.7"], known("198.51.100.7")),
            // Two proxies in a row.
            ("10.1.2.3", vec!["203.0.113.1, 198.51.100.7, 10.1.9.9"], known("198.51.100.7")),
            ("10.2.2.3", vec!["203.0.113.1"], known("10.2.2.3")),
            // A client on the proxy's own machine.
            ("::1", vec!["127.0.0.1"], known("127.0.0.1")),
            // Ports, as some proxies write them.
            ("127.0.0.1", vec!["203.0.113.1:50123"], known("203.0.113.1")),
            ("127.0.0.1", vec!["[2001:db8::5]:50123"], known("2001:db8::5")),
            ("127.0.0.1", vec!["[2001:db8::5]"], known("2001:db8::5")),
            ("127.0.0.1", vec!["2001:db8::5"], known("2001:db8::5")),
        ] {
            assert_eq!(client(peer, &headers, &proxies), expected, "{peer} {headers:?}");
        }
        let behind = ClientAddress::Behind("127.0.0.1".parse().unwrap());
        for header in
            [vec![], vec!["unknown"], vec![""], vec!["for=203.0.113.1"], vec!["203.0.113.1, _hidden"]]
        {
            assert_eq!(client("127.0.0.1", &header, &proxies), behind, "{header:?}");
        }
        // However long the header is.
        let long = vec!["10.1.1.1"; 1000].join(",");
        assert_eq!(client("127.0.0.1", &[&long], &proxies), known("10.1.1.1"));
    }

    #[test]
    fn a_network_is_an_address_and_a_prefix() {
        let range = |text: &str| text.parse::<AddressRange>();
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.10", "192.0.2.10", "192.0.2.11"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            let range = range(text).unwrap();
            assert!(range.contains(inside.parse().unwrap()), "{text}");
            assert!(!range.contains(outside.parse().unwrap()), "{text}");
        }
        assert!(range("127.0.0.0/8").unwrap().is_loopback() && range("::1").unwrap().is_loopback());
        assert!(!range("0.0.0.0/0").unwrap().is_loopback());
        for text in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "::/129",
            "::ffff:10.0.0.1",
            "10.0.0.0/+8",
        ] {
            assert_eq!(range(text), Err(AddressRangeError), "{text}");
        }
    }
}
