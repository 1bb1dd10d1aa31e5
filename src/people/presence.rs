//! Presence: how many desktops of each person are connected to the event stream.
//!
//! The gateway counts at the opening and closing of a stream; the core reads the changes. A daemon group shares its
//! events, so a desktop may be connected to any gateway: a person's count is the sum of the local desktops and of those
//! that the other daemons report (`bus/redis/presence.rs`).
//!
//! Presence is independent of the registration of the phone; a person may have either without the other.
//!
//! Invariant: neither side waits for the other. However many streams open and close, at most one entry for each person
//! waits for the core.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::ids::RecordId;

/// The counts of connected desktops. Cheap to clone; all clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Presence(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: Mutex<Counts>,
    changed: Notify,
    /// A local count changed; read by the reports for the other daemons.
    local_changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    local: HashMap<RecordId, u32>,
    /// The sum of the counts that the other daemons report.
    remote: HashMap<RecordId, u32>,
    /// People whose count changed since the core last read it.
    changed: HashSet<RecordId>,
}

impl Counts {
    fn total(&self, user: RecordId) -> u32 {
        let count = |counts: &HashMap<RecordId, u32>| counts.get(&user).copied().unwrap_or(0);
        count(&self.local).saturating_add(count(&self.remote))
    }

    fn change(&mut self, user: RecordId, connects: bool) {
        let desktops = self.local.entry(user).or_default();
        *desktops = if connects { desktops.saturating_add(1) } else { desktops.saturating_sub(1) };
        if *desktops == 0 {
            self.local.remove(&user);
        }
        self.changed.insert(user);
    }
}

/// Counts one connected desktop until it is dropped.
#[derive(Debug)]
pub struct PresenceGuard {
    presence: Presence,
    user: RecordId,
}

impl Presence {
    /// Counts one more desktop of this person.
    #[must_use]
    pub fn connect(&self, user: RecordId) -> PresenceGuard {
        self.count(user, true);
        PresenceGuard { presence: self.clone(), user }
    }

    /// Counts one more desktop of this person, unless `max` of theirs are connected to this daemon's gateway.
    #[must_use]
    pub fn connect_within(&self, user: RecordId, max: u32) -> Option<PresenceGuard> {
        let mut counts = self.lock();
        if counts.local.get(&user).is_some_and(|desktops| *desktops >= max) {
            return None;
        }
        counts.change(user, true);
        drop(counts);
        self.notify();
        Some(PresenceGuard { presence: self.clone(), user })
    }

    /// Waits until a count has changed, and returns the people with their new counts. Cancel-safe.
    pub async fn changed(&self) -> Vec<(RecordId, u32)> {
        loop {
            let changed = self.take();
            if !changed.is_empty() {
                return changed;
            }
            self.0.changed.notified().await;
        }
    }

    /// How many desktops of this person are connected, at all gateways.
    #[must_use]
    pub fn total(&self, user: RecordId) -> u32 {
        self.lock().total(user)
    }

    /// The people with desktops at this daemon's gateway, and their counts.
    #[must_use]
    pub fn local(&self) -> Vec<(RecordId, u32)> {
        self.lock().local.iter().map(|(user, desktops)| (*user, *desktops)).collect()
    }

    /// Waits until a local count has changed. Cancel-safe.
    pub async fn local_changed(&self) {
        self.0.local_changed.notified().await;
    }

    /// Sets the sum of the counts that the other daemons report.
    pub fn set_remote(&self, remote: HashMap<RecordId, u32>) {
        let mut counts = self.lock();
        let before = std::mem::replace(&mut counts.remote, remote);
        let reported = before.keys().chain(counts.remote.keys());
        let differs = |user: &&RecordId| before.get(*user) != counts.remote.get(*user);
        let changed: Vec<RecordId> = reported.filter(differs).copied().collect();
        counts.changed.extend(&changed);
        drop(counts);
        if !changed.is_empty() {
            self.0.changed.notify_one();
        }
    }

    fn take(&self) -> Vec<(RecordId, u32)> {
        let mut counts = self.lock();
        let changed = std::mem::take(&mut counts.changed);
        changed.into_iter().map(|user| (user, counts.total(user))).collect()
    }

    fn count(&self, user: RecordId, connects: bool) {
        self.lock().change(user, connects);
        self.notify();
    }

    fn notify(&self) {
        self.0.changed.notify_one();
        self.0.local_changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock()
    }
}

impl Drop for PresenceGuard {
    fn drop(&mut self) {
        self.presence.count(self.user, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn desktops_are_counted_for_each_person() {
        let presence = Presence::default();
        let (one, two) = (RecordId(Uuid::from_u128(1)), RecordId(Uuid::from_u128(2)));
        let (first, second) = (presence.connect(one), presence.connect(one));
        let other = presence.connect(two);
        let mut changed = presence.changed().await;
        changed.sort_unstable();
        assert_eq!(changed, [(one, 2), (two, 1)]);
        drop(first);
        assert_eq!(presence.changed().await, [(one, 1)]);
        drop((second, other));
        let mut changed = presence.changed().await;
        changed.sort_unstable();
        assert_eq!(changed, [(one, 0), (two, 0)]);
    }

    #[tokio::test]
    async fn desktops_at_other_gateways_count_as_long_as_they_are_reported() {
        let presence = Presence::default();
        let (one, two) = (RecordId(Uuid::from_u128(1)), RecordId(Uuid::from_u128(2)));
        let _here = presence.connect(one);
        presence.set_remote([(one, 2), (two, 1)].into());
        let mut changed = presence.changed().await;
        changed.sort_unstable();
        assert_eq!(changed, [(one, 3), (two, 1)]);
        assert_eq!(presence.local(), [(one, 1)], "the other daemons' own counts are not reported back");
        presence.set_remote([(one, 2)].into());
        assert_eq!(presence.changed().await, [(two, 0)], "only changed counts are returned");
        presence.set_remote(HashMap::new());
        assert_eq!((presence.changed().await, presence.total(one)), (vec![(one, 1)], 1));
    }
}
