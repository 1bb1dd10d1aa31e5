//! Limits on failed sign-ins and unknown tokens, and on passwords that are checked at the same time.
//!
//! | after | within | from | refused |
//! |---|---|---|---|
//! | [`LOGIN_FAILURES_MAX`] wrong passwords | [`WINDOW`] | one network, for one login | until the window is over |
//! | [`NETWORK_FAILURES_MAX`] failures of any kind | [`WINDOW`] | one network | until the window is over |
//!
//! A network is one IPv4 address or one IPv6 /64, since a single machine may own the whole /64. Logins are kept as
//! hashes, because people type passwords into the wrong field.
//!
//! Invariants: the table has at most [`ENTRIES_MAX`] entries, however many sources attack. A request with a valid
//! token is never refused here. At most [`PASSWORD_CHECKS_MAX`] passwords are checked at the same time (each takes
//! 19 MiB and a core), and at most [`SIGN_INS_MAX`] sign-ins are under way, waiting or being checked.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Wrong passwords for one login from one network.
pub(crate) const LOGIN_FAILURES_MAX: u32 = 10;
/// Failures of any kind from one network.
pub(crate) const NETWORK_FAILURES_MAX: u32 = 200;
/// How long failures count, from the first of them.
pub(crate) const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Networks and logins in the table.
const ENTRIES_MAX: usize = 4096;
/// Passwords checked at the same time.
const PASSWORD_CHECKS_MAX: usize = 2;
/// Sign-ins under way at the same time, those whose password is being checked included.
const SIGN_INS_MAX: usize = 64;

/// The two limits on sign-ins.
#[derive(Debug)]
pub(crate) struct PasswordCheckLimits {
    /// One permit for each password that is being checked.
    pub(crate) checks: Semaphore,
    /// One permit for each sign-in that is under way.
    pub(crate) sign_ins: Semaphore,
}

impl Default for PasswordCheckLimits {
    fn default() -> Self {
        Self { checks: Semaphore::new(PASSWORD_CHECKS_MAX), sign_ins: Semaphore::new(SIGN_INS_MAX) }
    }
}

/// The key under which failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A network.
    Network(IpAddr),
    /// One login, tried from one network.
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
    /// An error with the remaining time when the source has failed too often.
    pub(crate) fn check(&self, source: Source, now: Timestamp) -> Result<(), Duration> {
        let Some(failures) = self.failures.get(&source) else { return Ok(()) };
        let until = failures.since + WINDOW;
        if failures.count < source.failures_max() || now >= until {
            return Ok(());
        }
        Err(now.duration_until(until).unsigned_abs())
    }

    /// Counts one more failure.
    pub(crate) fn record_failure(&mut self, source: Source, now: Timestamp) {
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

    /// Removes the failures of a source whose sign-in succeeded.
    pub(crate) fn clear(&mut self, source: Source) {
        self.failures.remove(&source);
    }

    /// Removes the sources whose window is over. If there are none, removes the source with the fewest failures, so
    /// that an attacker with many addresses cannot displace the sources that are refused.
    fn make_room(&mut self, now: Timestamp) {
        self.failures.retain(|_, failures| now < failures.since + WINDOW);
        if self.failures.len() < ENTRIES_MAX {
            return;
        }
        let fewest = self.failures.iter().min_by_key(|(_, f)| (f.count, f.since)).map(|(source, _)| *source);
        if let Some(source) = fewest {
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
            throttle.record_failure(source, at(0));
        }
        assert_eq!(throttle.check(source, at(60)), Err(Duration::from_secs(540)));
        assert_eq!(throttle.check(Source::login(peer, "鈴木"), at(60)), Ok(()));
        assert_eq!(throttle.check(Source::login("192.0.2.2".parse().unwrap(), "佐藤"), at(60)), Ok(()));
        assert_eq!(throttle.check(source, at(600)), Ok(()));
        throttle.record_failure(source, at(600));
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
            throttle.record_failure(worst, at(0));
        }
        for n in 0..2 * u128::try_from(ENTRIES_MAX).unwrap() {
            throttle.record_failure(Source::network(IpAddr::V6(Ipv6Addr::from_bits(n << 64))), at(1));
        }
        assert!(throttle.failures.len() <= ENTRIES_MAX);
        assert!(throttle.check(worst, at(2)).is_err());
    }
}
