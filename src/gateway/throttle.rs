//! Slows down those who guess: counts failures, refuses for a while after too many.
//!
//! | after | within | from | refused |
//! |---|---|---|---|
//! | [`LOGIN_FAILURES_MAX`] wrong passwords | [`WINDOW`] | one network, for one login | until the window is over |
//! | [`NETWORK_FAILURES_MAX`] failures of any kind | [`WINDOW`] | one network | until the window is over |
//!
//! Invariant: the table has at most [`ENTRIES_MAX`] entries, whoever attacks; a network is one IPv4 address or
//! one IPv6 /64, since a single machine owns the whole of the latter. Logins are kept as hashes: people type
//! passwords into the wrong field. A request with a valid token is never refused here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// Wrong passwords for one login from one network.
pub(crate) const LOGIN_FAILURES_MAX: u32 = 10;
/// Failures of any kind from one network.
pub(crate) const NETWORK_FAILURES_MAX: u32 = 200;
/// How long failures are remembered, from the first on.
pub(crate) const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Networks and logins remembered at the same time.
const ENTRIES_MAX: usize = 4096;

/// Whose failures are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A network.
    Network(IpAddr),
    /// A network that tries one login.
    Login(IpAddr, [u8; 16]),
}

impl Source {
    /// The network of `peer`.
    pub(crate) fn network(peer: IpAddr) -> Self {
        Self::Network(network(peer))
    }

    /// `login`, tried by `peer`.
    pub(crate) fn login(peer: IpAddr, login: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(login.as_bytes()).into();
        let mut short = [0; 16];
        short.copy_from_slice(&hash[..16]);
        Self::Login(network(peer), short)
    }

    fn failures_max(self) -> u32 {
        match self {
            Self::Network(_) => NETWORK_FAILURES_MAX,
            Self::Login(..) => LOGIN_FAILURES_MAX,
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[derive(Debug)]
struct Failures {
    count: u32,
    since: Timestamp,
}

/// The table of failures.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: HashMap<Source, Failures>,
}

impl Throttle {
    /// Refuses a source that has failed too often, and says for how long.
    pub(crate) fn check(&self, source: Source, now: Timestamp) -> Result<(), Duration> {
        let Some(failures) = self.failures.get(&source) else { return Ok(()) };
        let over = failures.since + WINDOW;
        if failures.count < source.failures_max() || now >= over {
            return Ok(());
        }
        Err(now.duration_until(over).unsigned_abs())
    }

    /// Counts one more failure.
    pub(crate) fn failed(&mut self, source: Source, now: Timestamp) {
        if let Some(failures) = self.failures.get_mut(&source) {
            if now < failures.since + WINDOW {
                failures.count = failures.count.saturating_add(1);
            } else {
                *failures = Failures { count: 1, since: now };
            }
            return;
        }
        if self.failures.len() >= ENTRIES_MAX {
            self.make_room(now);
        }
        self.failures.insert(source, Failures { count: 1, since: now });
    }

    /// Forgets the failures of a source that has proved itself.
    pub(crate) fn succeeded(&mut self, source: Source) {
        self.failures.remove(&source);
    }

    /// Drops what is over; when nothing is, the source with the fewest failures, so that an attacker who comes
    /// from everywhere cannot wash away those who were caught.
    fn make_room(&mut self, now: Timestamp) {
        self.failures.retain(|_, failures| now < failures.since + WINDOW);
        if self.failures.len() < ENTRIES_MAX {
            return;
        }
        let least = self.failures.iter().min_by_key(|(_, f)| (f.count, f.since)).map(|(source, _)| *source);
        if let Some(source) = least {
            self.failures.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_login_is_refused_after_too_many_failures_and_free_again_later() {
        let mut throttle = Throttle::default();
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let source = Source::login(peer, "佐藤");
        for _ in 0..LOGIN_FAILURES_MAX {
            assert_eq!(throttle.check(source, at(0)), Ok(()));
            throttle.failed(source, at(0));
        }
        assert_eq!(throttle.check(source, at(60)), Err(Duration::from_secs(540)));
        assert_eq!(throttle.check(Source::login(peer, "鈴木"), at(60)), Ok(()));
        assert_eq!(throttle.check(Source::login("192.0.2.2".parse().unwrap(), "佐藤"), at(60)), Ok(()));
        assert_eq!(throttle.check(source, at(600)), Ok(()));
        throttle.failed(source, at(600));
        assert_eq!(throttle.check(source, at(601)), Ok(()));
    }

    #[test]
    fn one_machine_is_one_source() {
        let same = ["2001:db8::1", "2001:db8::ffff:1"].map(|a| Source::network(a.parse().unwrap()));
        assert_eq!(same[0], same[1]);
        let mapped = ["192.0.2.1", "::ffff:192.0.2.1"].map(|a| Source::network(a.parse().unwrap()));
        assert_eq!(mapped[0], mapped[1]);
        assert_ne!(same[0], Source::network("2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let mut throttle = Throttle::default();
        let worst = Source::network("192.0.2.1".parse().unwrap());
        for _ in 0..NETWORK_FAILURES_MAX {
            throttle.failed(worst, at(0));
        }
        for n in 0..2 * u128::try_from(ENTRIES_MAX).unwrap() {
            throttle.failed(Source::network(IpAddr::V6(Ipv6Addr::from_bits(n << 64))), at(1));
        }
        assert!(throttle.failures.len() <= ENTRIES_MAX);
        assert!(throttle.check(worst, at(2)).is_err());
    }
}
