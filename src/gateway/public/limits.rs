//! Limits on requests of the public pages.
//!
//! | source | pages at once, then a minute | answers at once, then a minute |
//! |---|---|---|
//! | one link from one network | 20 | 5 |
//! | one network, whatever links | 200 | 50 |
//!
//! A network is as in `throttle.rs`. A robot of a mail system has a network of its own, so however often it opens a link, the
//! person to whom the link was sent opens it from another network.
//!
//! Invariant: the table has at most [`ENTRIES_MAX`] entries: when it is full, entries that have recovered go, else everything does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::store::answers::LinkHash;

/// Entries of the table.
const ENTRIES_MAX: usize = 20_000;
/// The time in which a source recovers all its requests.
const MINUTE: Duration = Duration::from_secs(60);

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// The page.
    Read,
    /// To answer.
    Answer,
}

impl Use {
    fn of_link(self) -> u32 {
        match self {
            Self::Read => 20,
            Self::Answer => 5,
        }
    }

    fn of_network(self) -> u32 {
        self.of_link() * 10
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source {
    network: IpAddr,
    link: Option<LinkHash>,
    what: Use,
}

/// When each source may make all its requests at once again.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<Source, Duration>);

impl Limits {
    /// Admits a request, or says after which time to try again.
    pub(super) fn admit(
        &mut self,
        network: IpAddr,
        link: LinkHash,
        what: Use,
        now: Duration,
    ) -> Result<(), Duration> {
        let sources = [
            (Source { network, link: None, what }, what.of_network()),
            (Source { network, link: Some(link), what }, what.of_link()),
        ];
        let mut recovered = Vec::with_capacity(sources.len());
        for (source, most) in sources {
            let after = self.0.get(&source).copied().unwrap_or(now).max(now) + MINUTE / most;
            if after > now + MINUTE {
                return Err(after - MINUTE - now);
            }
            recovered.push((source, after));
        }
        if self.0.len() + recovered.len() > ENTRIES_MAX {
            self.0.retain(|_, at| *at > now);
            if self.0.len() + recovered.len() > ENTRIES_MAX {
                self.0.clear();
            }
        }
        self.0.extend(recovered);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robot_that_opens_a_link_without_end_keeps_only_itself_out() {
        let mut limits = Limits::default();
        let (robot, person) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let second = Duration::from_secs;
        let admitted =
            (0..1_000).filter(|_| limits.admit(robot, [1; 32], Use::Read, second(5)).is_ok()).count();
        assert_eq!(admitted, 20);
        assert_eq!(limits.admit(robot, [1; 32], Use::Read, second(5)), Err(second(3)));
        assert!(limits.admit(robot, [1; 32], Use::Answer, second(5)).is_ok());
        assert!(limits.admit(person, [1; 32], Use::Read, second(5)).is_ok());
        assert!(limits.admit(robot, [1; 32], Use::Read, second(8)).is_ok());
        let guesses = (0..1_000_u32).filter(|n| {
            let mut link = [0; 32];
            link[..4].copy_from_slice(&n.to_be_bytes());
            limits.admit(person, link, Use::Read, second(5)).is_ok()
        });
        assert_eq!(guesses.count(), 199);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut limits = Limits::default();
        for n in 0..30_000_u32 {
            let _ = limits.admit(IpAddr::from(n.to_be_bytes()), [0; 32], Use::Read, Duration::ZERO);
            assert!(limits.0.len() <= ENTRIES_MAX);
        }
    }
}
