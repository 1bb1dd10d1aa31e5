//! Which connections are open, and which one gives its place to a new one.
//!
//! A connection is *proven* once a request on it carried a valid token. At most [`PROVEN_PER_PERSON_MAX`] connections are
//! proven by the same person; further ones of that person stay unproven.
//!
//! | a new connection | what happens |
//! |---|---|
//! | fewer than `max` are open | it is admitted |
//! | some of the open ones are unproven | one of them is closed, and the new one is admitted |
//! | all are proven | it is refused with 503 |
//!
//! The connection that is closed is, of the idle ones before those with a request under way, the oldest of the network that
//! has most unproven connections. So nobody without a token keeps others out, neither with connections that send nothing
//! nor with requests that need no token, and nobody with a token keeps out people who are connected.
//!
//! Invariant: the lock is held for one pass over the table at most, and never across an await.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ids::RecordId;

/// Most connections that the same person proves.
const PROVEN_PER_PERSON_MAX: usize = 64;
/// Least time between two log lines about refused or closed connections.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The open connections.
#[derive(Debug)]
pub(crate) struct Admission {
    max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By the order in which they were admitted.
    places: HashMap<u64, Entry>,
    /// Number of connections that each person has proven.
    proven: HashMap<RecordId, usize>,
    logged_at: Option<Instant>,
    unlogged: u64,
}

#[derive(Debug)]
struct Entry {
    network: IpAddr,
    person: Option<RecordId>,
    running: Arc<AtomicUsize>,
    close: CancellationToken,
}

/// The place of an open connection; dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Weak<Admission>,
    number: u64,
    running: Arc<AtomicUsize>,
    close: CancellationToken,
}

/// How a new connection was admitted.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// A place was free.
    Free(Arc<Place>),
    /// Another connection was closed for it.
    InsteadOfAnother(Arc<Place>),
}

/// A request under way on a connection, until dropped.
#[derive(Debug)]
pub(crate) struct Running(Arc<AtomicUsize>);

impl Admission {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, table: Mutex::default() })
    }

    /// A place for a connection from `peer`; `None` when everybody who is connected has proven who they are.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        let mut table = self.table();
        let is_full = table.places.len() >= self.max;
        if is_full {
            let number = table.least_entitled()?;
            if let Some(entry) = table.remove(number) {
                entry.close.cancel();
            }
        }
        let (number, running, close) = (table.next, Arc::<AtomicUsize>::default(), CancellationToken::new());
        table.next += 1;
        let (network, person) = (super::throttle::network(peer), None);
        let entry = Entry { network, person, running: Arc::clone(&running), close: close.clone() };
        table.places.insert(number, entry);
        let place = Arc::new(Place { admission: Arc::downgrade(self), number, running, close });
        Some(if is_full { Admitted::InsteadOfAnother(place) } else { Admitted::Free(place) })
    }

    /// How many refused or closed connections a log line has to report now; `None` while the last line is recent.
    pub(crate) fn to_log(&self) -> Option<u64> {
        let mut table = self.table();
        table.unlogged += 1;
        let now = Instant::now();
        if table.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            return None;
        }
        table.logged_at = Some(now);
        Some(std::mem::take(&mut table.unlogged))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }
}

impl Table {
    fn least_entitled(&self) -> Option<u64> {
        let unproven = || self.places.iter().filter(|(_, entry)| entry.person.is_none());
        let mut of_network: HashMap<IpAddr, usize> = HashMap::new();
        for (_, entry) in unproven() {
            *of_network.entry(entry.network).or_default() += 1;
        }
        let entitlement = |number: u64, entry: &Entry| {
            let is_running = entry.running.load(Ordering::Relaxed) > 0;
            (is_running, std::cmp::Reverse(of_network.get(&entry.network).copied()), number)
        };
        unproven().min_by_key(|(number, entry)| entitlement(**number, entry)).map(|(number, _)| *number)
    }

    fn prove(&mut self, number: u64, person: RecordId) {
        let Some(entry) = self.places.get_mut(&number).filter(|entry| entry.person.is_none()) else { return };
        let proven = self.proven.entry(person).or_default();
        if *proven < PROVEN_PER_PERSON_MAX {
            *proven += 1;
            entry.person = Some(person);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.places.remove(&number)?;
        if let Some(person) = entry.person
            && let Some(proven) = self.proven.get_mut(&person)
        {
            *proven -= 1;
            if *proven == 0 {
                self.proven.remove(&person);
            }
        }
        Some(entry)
    }
}

impl Place {
    /// Cancelled when the connection has to give its place to another one.
    pub(crate) fn close(&self) -> &CancellationToken {
        &self.close
    }

    /// A request of `person` carried a valid token.
    pub(crate) fn prove(&self, person: RecordId) {
        if let Some(admission) = self.admission.upgrade() {
            admission.table().prove(self.number, person);
        }
    }

    /// Counts a request as under way until the guard is dropped.
    pub(crate) fn run(&self) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.running))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.upgrade() {
            admission.table().remove(self.number);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn admit(admission: &Arc<Admission>, peer: &str) -> Option<Arc<Place>> {
        admission.admit(peer.parse().unwrap()).map(|admitted| match admitted {
            Admitted::Free(place) | Admitted::InsteadOfAnother(place) => place,
        })
    }

    fn person(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    #[test]
    fn who_has_shown_a_token_stays_and_the_rest_makes_room() {
        let admission = Admission::new(6);
        let desk = admit(&admission, "192.0.2.1").unwrap();
        desk.prove(person(1));
        let visitor = admit(&admission, "192.0.2.9").unwrap();
        let flood: Vec<_> = (0..4).map(|_| admit(&admission, "198.51.100.7").unwrap()).collect();
        let _running = flood[0].run();
        // The oldest idle connection of the network with most of them goes first.
        let new = admit(&admission, "192.0.2.2").unwrap();
        let closed = |places: &[Arc<Place>]| -> Vec<bool> {
            places.iter().map(|place| place.close().is_cancelled()).collect()
        };
        assert_eq!(closed(&flood), [false, true, false, false]);
        // However long the flood lasts, only its own connections close.
        let more: Vec<_> = (0..100).map(|_| admit(&admission, "198.51.100.7").unwrap()).collect();
        assert!(
            !desk.close().is_cancelled() && !visitor.close().is_cancelled() && !new.close().is_cancelled()
        );
        assert_eq!(closed(&more).iter().filter(|closed| !**closed).count(), 2);
        assert!(admission.table().places.len() <= 6);
    }

    #[test]
    fn one_person_proves_no_more_than_a_share() {
        let admission = Admission::new(PROVEN_PER_PERSON_MAX + 2);
        let places: Vec<_> = (0..PROVEN_PER_PERSON_MAX + 2)
            .map(|_| {
                let place = admit(&admission, "192.0.2.1").unwrap();
                place.prove(person(1));
                place.prove(person(2));
                place
            })
            .collect();
        // The two that the share does not cover are the second person's.
        assert_eq!(admission.table().proven[&person(1)], PROVEN_PER_PERSON_MAX);
        assert_eq!(admission.table().proven[&person(2)], 2);
        assert!(admit(&admission, "192.0.2.2").is_none(), "everybody has shown a token");
        drop(places);
        assert!(admission.table().places.is_empty() && admission.table().proven.is_empty());
        assert!(admit(&admission, "192.0.2.2").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_writes_one_line_a_second() {
        let admission = Admission::new(1);
        let lines: Vec<u64> = (0..100).filter_map(|_| admission.to_log()).collect();
        assert_eq!(lines, [1]);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(admission.to_log(), Some(100));
    }
}
