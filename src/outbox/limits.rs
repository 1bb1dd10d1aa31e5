//! How fast this daemon sends: over the server, and to each recipient domain that has a limit.
//!
//! Each daemon counts its own mails. Invariant: a mail that was not sent is given back to the limits that it was taken from.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use smol_str::SmolStr;

use crate::delivery::RateLimit;

/// The limits; the workers of a daemon share them.
#[derive(Debug)]
pub(super) struct Limits(Mutex<Buckets>);

#[derive(Debug)]
struct Buckets {
    server: RateLimit,
    domains: BTreeMap<SmolStr, RateLimit>,
}

impl Limits {
    pub(super) fn new(per_minute: u32, domains: &BTreeMap<SmolStr, u32>, now: Duration) -> Self {
        let domains = domains.iter().map(|(name, limit)| (name.clone(), RateLimit::new(*limit, now)));
        Self(Mutex::new(Buckets { server: RateLimit::new(per_minute, now), domains: domains.collect() }))
    }

    /// Takes up to `mails_max` mails out of the server's limit: how many, or how long to wait until there is one.
    pub(super) fn take(&self, mails_max: u32, now: Duration) -> Result<u32, Duration> {
        let mut buckets = self.0.lock();
        let mut taken = 0;
        while taken < mails_max {
            match buckets.server.take(now) {
                Ok(()) => taken += 1,
                Err(wait) if taken == 0 => return Err(wait),
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    /// Gives mails back to the server's limit.
    pub(super) fn give_back(&self, mails: u32) {
        let mut buckets = self.0.lock();
        (0..mails).for_each(|_| buckets.server.give_back());
    }

    /// Takes a mail out of the limit of a domain, or says how long to wait.
    pub(super) fn take_of_domain(&self, domain: &str, now: Duration) -> Result<(), Duration> {
        match self.0.lock().domains.get_mut(domain) {
            Some(limit) => limit.take(now),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_with_a_limit_waits_alone() {
        let limits = Limits::new(600, &[("docomo.ne.jp".into(), 10)].into(), Duration::ZERO);
        assert_eq!(limits.take_of_domain("docomo.ne.jp", Duration::ZERO), Ok(()));
        assert_eq!(limits.take_of_domain("docomo.ne.jp", Duration::ZERO), Err(Duration::from_secs(6)));
        assert_eq!(limits.take_of_domain("example.jp", Duration::ZERO), Ok(()));
    }

    #[test]
    fn mails_are_taken_up_to_the_limit_and_given_back() {
        let limits = Limits::new(100, &BTreeMap::new(), Duration::ZERO);
        assert_eq!(limits.take(32, Duration::ZERO), Ok(10));
        assert!(limits.take(32, Duration::ZERO).is_err());
        limits.give_back(3);
        assert_eq!(limits.take(32, Duration::ZERO), Ok(3));
    }
}
