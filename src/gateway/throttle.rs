//! Limits on attempts to sign in and on unknown tokens, and on passwords that are checked at the same time.
//!
//! Each attempt is counted under its sources before the password is checked, and taken back if the password was right.
//! A source may make a number of attempts at once; after that it gets one more attempt each interval:
//!
//! | source | attempts at once | then one each |
//! |---|---|---|
//! | one login, tried from one network | [`LOGIN_ATTEMPTS_MAX`] | [`LOGIN_INTERVAL`] |
//! | one login, tried from networks in which it never signed in | [`STRANGER_ATTEMPTS_MAX`] | [`LOGIN_INTERVAL`] |
//! | one network, for whatever login | [`NETWORK_ATTEMPTS_MAX`] | [`NETWORK_INTERVAL`] |
//! | unknown tokens from one network | [`NETWORK_ATTEMPTS_MAX`] | [`NETWORK_INTERVAL`] |
//!
//! An attempt that comes too early waits, at most [`WAIT_MAX`]; one that would wait longer is refused and not counted.
//! So guessing is slow, and a person whose login is being guessed still signs in: at once in a network in which they signed
//! in lately while the guesses come from others, within seconds in the network of the guesses. Against guesses without pause
//! from there, the person competes for the next attempt.
//!
//! A network is one IPv4 address or one IPv6 /64, since a single machine may own the whole /64. The network of a client
//! that its proxy does not name is unknown; such clients share no limit but those of the logins. Logins are kept as hashes,
//! because people type passwords into the wrong field.
//!
//! Invariants: the tables have at most [`ENTRIES_MAX`] entries each, however many sources attack. A request with a valid
//! token is never refused here, and unknown tokens keep nobody from signing in. Times come from a clock that is never set.
//! At most [`SIGN_INS_MAX`] sign-ins wait for their password's check (`people/password.rs` checks few at the same time).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::proxies::ClientAddress;
use crate::people::password::HASHES_AT_ONCE_MAX;

/// Attempts at once for one login from one network.
pub(crate) const LOGIN_ATTEMPTS_MAX: u32 = 10;
/// Attempts at once for one login from all networks in which it never signed in.
pub(crate) const STRANGER_ATTEMPTS_MAX: u32 = 20;
/// Time between further attempts for one login.
pub(crate) const LOGIN_INTERVAL: Duration = Duration::from_secs(6);
/// Attempts at once from one network.
pub(crate) const NETWORK_ATTEMPTS_MAX: u32 = 200;
/// Time between further attempts from one network.
const NETWORK_INTERVAL: Duration = Duration::from_secs(3);
/// Longest wait of an attempt that comes too early; the page waits 12 s for an answer.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Entries of each table.
const ENTRIES_MAX: usize = 4096;
/// Sign-ins whose password is being checked or waits for that.
const SIGN_INS_MAX: usize = 64;

/// The two limits on passwords that are checked.
#[derive(Debug)]
pub(crate) struct PasswordCheckLimits {
    /// One permit for each password that is being checked.
    pub(crate) checks: Semaphore,
    /// One permit for each sign-in whose password is being checked or waits for that.
    pub(crate) sign_ins: Semaphore,
}

impl Default for PasswordCheckLimits {
    fn default() -> Self {
        Self { checks: Semaphore::new(HASHES_AT_ONCE_MAX), sign_ins: Semaphore::new(SIGN_INS_MAX) }
    }
}

/// The beginning of a login's hash.
type LoginHash = [u8; 16];

/// The key under which attempts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    /// A network.
    Network(IpAddr),
    /// Unknown tokens from a network.
    Tokens(IpAddr),
    /// One login, tried from one network, or from behind one proxy.
    Login(IpAddr, LoginHash),
    /// One login, tried from networks in which it never signed in.
    Stranger(LoginHash),
}

impl Source {
    fn rate(self) -> (u32, Duration) {
        match self {
            Self::Network(_) | Self::Tokens(_) => (NETWORK_ATTEMPTS_MAX, NETWORK_INTERVAL),
            Self::Login(..) => (LOGIN_ATTEMPTS_MAX, LOGIN_INTERVAL),
            Self::Stranger(_) => (STRANGER_ATTEMPTS_MAX, LOGIN_INTERVAL),
        }
    }
}

/// The network of an address: one IPv4 address, or one IPv6 /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

/// An attempt to sign in, counted by [`Throttle::count`].
#[derive(Debug)]
pub(crate) struct Attempt {
    sources: Vec<Source>,
    login: (IpAddr, LoginHash),
}

/// The tables. Every time is the time since an arbitrary moment, by a clock that is never set.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// For each source, when it may again make all its attempts at once.
    recovered_at: HashMap<Source, Duration>,
    /// Logins that signed in from a network, and when they last did.
    familiar: HashMap<(IpAddr, LoginHash), Duration>,
}

impl Throttle {
    /// Counts an attempt of `client` to sign in as `login`, and returns how long it must wait; or an error with the time
    /// after which to try again.
    pub(crate) fn count(
        &mut self,
        client: Option<ClientAddress>,
        login: &str,
        now: Duration,
    ) -> Result<(Attempt, Duration), Duration> {
        let hash: [u8; 32] = Sha256::digest(login.as_bytes()).into();
        let mut short = LoginHash::default();
        short.copy_from_slice(&hash[..16]);
        let (from, network) = match client {
            Some(ClientAddress::Known(address)) => (network(address), Some(network(address))),
            Some(ClientAddress::Behind(proxy)) => (network(proxy), None),
            None => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), None),
        };
        let mut sources = vec![Source::Login(from, short)];
        sources.extend(network.map(Source::Network));
        if network.is_none() || !self.familiar.contains_key(&(from, short)) {
            sources.push(Source::Stranger(short));
        }
        let wait = sources.iter().map(|source| self.wait_of(*source, now)).max().unwrap_or_default();
        if wait > WAIT_MAX {
            return Err(wait - WAIT_MAX);
        }
        for source in &sources {
            self.add(*source, now);
        }
        Ok((Attempt { sources, login: (from, short) }, wait))
    }

    /// Takes an attempt back whose password was not checked.
    pub(crate) fn take_back(&mut self, attempt: Attempt) {
        for source in attempt.sources {
            let (_, interval) = source.rate();
            if let Some(at) = self.recovered_at.get_mut(&source) {
                *at = at.saturating_sub(interval);
            }
        }
    }

    /// Takes an attempt back whose password was right; the network is familiar from now on.
    pub(crate) fn succeed(&mut self, attempt: Attempt, now: Duration) {
        let (from, login) = attempt.login;
        self.take_back(attempt);
        self.recovered_at.remove(&Source::Login(from, login));
        if self.familiar.len() >= ENTRIES_MAX && !self.familiar.contains_key(&(from, login)) {
            let oldest = self.familiar.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key);
            oldest.map(|key| self.familiar.remove(&key));
        }
        self.familiar.insert((from, login), now);
    }

    /// Counts an unknown token; an error with the time after which to try again when there were too many.
    pub(crate) fn count_unknown_token(
        &mut self,
        client: Option<ClientAddress>,
        now: Duration,
    ) -> Result<(), Duration> {
        let Some(ClientAddress::Known(address)) = client else { return Ok(()) };
        let source = Source::Tokens(network(address));
        let wait = self.wait_of(source, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.add(source, now);
        Ok(())
    }

    /// How long one more attempt of `source` must wait.
    fn wait_of(&self, source: Source, now: Duration) -> Duration {
        let (attempts_max, interval) = source.rate();
        let recovered_at = self.recovered_at.get(&source).map_or(now, |at| (*at).max(now));
        (recovered_at + interval).saturating_sub(now + interval * attempts_max)
    }

    fn add(&mut self, source: Source, now: Duration) {
        let (_, interval) = source.rate();
        if self.recovered_at.len() >= ENTRIES_MAX && !self.recovered_at.contains_key(&source) {
            self.make_room(now);
        }
        let recovered_at = self.recovered_at.entry(source).or_insert(now);
        *recovered_at = (*recovered_at).max(now) + interval;
    }

    /// Removes the sources that may make all their attempts. If there are none, removes the source that has made the
    /// fewest, so that an attacker with many addresses cannot displace the sources that must wait.
    fn make_room(&mut self, now: Duration) {
        self.recovered_at.retain(|_, at| now < *at);
        if self.recovered_at.len() < ENTRIES_MAX {
            return;
        }
        let attempts = |source: Source, at: Duration| {
            let (_, interval) = source.rate();
            (at.saturating_sub(now).as_millis() / interval.as_millis(), at)
        };
        let fewest = self.recovered_at.iter().min_by_key(|(source, at)| attempts(**source, **at));
        if let Some(source) = fewest.map(|(source, _)| *source) {
            self.recovered_at.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn from(address: &str) -> Option<ClientAddress> {
        Some(ClientAddress::Known(address.parse().unwrap()))
    }

    /// Makes attempts with a wrong password until one must wait or is refused; returns their number.
    fn exhaust(throttle: &mut Throttle, client: Option<ClientAddress>, login: &str, now: Duration) -> u32 {
        (0..).find(|_| !matches!(throttle.count(client, login, now), Ok((_, Duration::ZERO)))).unwrap()
    }

    fn wait(throttle: &mut Throttle, client: Option<ClientAddress>, login: &str, now: Duration) -> Duration {
        throttle.count(client, login, now).unwrap().1
    }

    #[test]
    fn guessing_one_login_becomes_slow_and_locks_nobody_out() {
        let mut throttle = Throttle::default();
        let office = from("192.0.2.1");
        assert_eq!(exhaust(&mut throttle, office, "佐藤", START), LOGIN_ATTEMPTS_MAX);
        // One more waits for its turn, and others at the same time are refused for seconds, not for minutes.
        let after = throttle.count(office, "佐藤", START).unwrap_err();
        assert!(after <= LOGIN_INTERVAL, "{after:?}");
        // Refused attempts are not counted: going on does not push the next turn away.
        for _ in 0..1000 {
            assert_eq!(throttle.count(office, "佐藤", START).unwrap_err(), after);
        }
        assert!(wait(&mut throttle, office, "佐藤", START + after) <= WAIT_MAX);
        assert_eq!(wait(&mut throttle, office, "鈴木", START), Duration::ZERO);
        assert_eq!(wait(&mut throttle, from("192.0.2.2"), "佐藤", START), Duration::ZERO);
        let later = START + Duration::from_secs(600);
        assert_eq!(exhaust(&mut throttle, office, "佐藤", later), LOGIN_ATTEMPTS_MAX);
    }

    #[test]
    fn many_networks_share_the_attempts_for_a_login_that_never_signed_in_there() {
        let mut throttle = Throttle::default();
        let home = from("192.0.2.1");
        let (attempt, _) = throttle.count(home, "佐藤", START).unwrap();
        throttle.succeed(attempt, START);
        let stranger = |n: u32| from(&format!("198.51.{}.{}", n / 250, n % 250));
        let refused = (0..1000).find(|n| throttle.count(stranger(*n), "佐藤", START).is_err()).unwrap();
        assert!((STRANGER_ATTEMPTS_MAX..STRANGER_ATTEMPTS_MAX + 4).contains(&refused), "{refused}");
        // At home the same login has lost nothing.
        assert_eq!(wait(&mut throttle, home, "佐藤", START), Duration::ZERO);
        // A right password gives the attempt back.
        for _ in 0..100 {
            let (attempt, wait) = throttle.count(home, "佐藤", START).unwrap();
            assert_eq!(wait, Duration::ZERO);
            throttle.succeed(attempt, START);
        }
    }

    #[test]
    fn clients_whose_proxy_does_not_name_them_share_no_limit_of_a_network() {
        let mut throttle = Throttle::default();
        let behind = Some(ClientAddress::Behind("127.0.0.1".parse().unwrap()));
        for n in 0..2 * NETWORK_ATTEMPTS_MAX {
            assert_eq!(wait(&mut throttle, behind, &format!("made up {n}"), START), Duration::ZERO);
            throttle.count_unknown_token(behind, START).unwrap();
        }
        assert_eq!(exhaust(&mut throttle, behind, "佐藤", START), LOGIN_ATTEMPTS_MAX);
        let network = from("192.0.2.1");
        let tried = (0..).find(|n| {
            !matches!(throttle.count(network, &format!("made up {n}"), START), Ok((_, Duration::ZERO)))
        });
        assert_eq!(tried, Some(NETWORK_ATTEMPTS_MAX));
    }

    #[test]
    fn unknown_tokens_keep_nobody_from_signing_in() {
        let mut throttle = Throttle::default();
        let office = from("192.0.2.1");
        for _ in 0..NETWORK_ATTEMPTS_MAX {
            throttle.count_unknown_token(office, START).unwrap();
        }
        assert!(throttle.count_unknown_token(office, START).is_err());
        assert_eq!(wait(&mut throttle, office, "佐藤", START), Duration::ZERO);
    }

    #[test]
    fn one_machine_is_one_network() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }

    #[test]
    fn the_tables_are_bounded_and_keep_the_worst() {
        let mut throttle = Throttle::default();
        let worst = from("192.0.2.1");
        exhaust(&mut throttle, worst, "佐藤", START);
        for n in 0..2 * u128::try_from(ENTRIES_MAX).unwrap() {
            let client = Some(ClientAddress::Known(IpAddr::V6(Ipv6Addr::from_bits(n << 64))));
            let (attempt, _) = throttle.count(client, &n.to_string(), START).unwrap();
            if n % 2 == 0 {
                throttle.succeed(attempt, START);
            }
        }
        assert!(throttle.recovered_at.len() <= ENTRIES_MAX && throttle.familiar.len() <= ENTRIES_MAX);
        assert!(throttle.count(worst, "佐藤", START).is_err());
    }
}
