//! Whose desktops follow the events: counted where streams open and close, read by the core.
//!
//! Where several daemons share their events, any gateway serves any desktop: a person's count is the sum of those
//! here and of those that the other daemons say they have (`bus/redis/presence.rs`).
//!
//! Invariant: neither side waits for the other; however many streams come and go at once, at most one entry for
//! each person waits for the core. This is apart from the registration of a phone: somebody may have either
//! without the other.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ids::RecordId;

/// Who is there. Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct Presence(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: Mutex<Counts>,
    changed: Notify,
    /// Somebody's count here changed, for the other daemons.
    here_changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    here: HashMap<RecordId, u32>,
    /// At the gateways of the other daemons, as these have said.
    elsewhere: HashMap<RecordId, u32>,
    /// Whose count changed since it was last read.
    changed: HashSet<RecordId>,
}

impl Counts {
    fn of(&self, user: RecordId) -> u32 {
        let count = |counts: &HashMap<RecordId, u32>| counts.get(&user).copied().unwrap_or(0);
        count(&self.here).saturating_add(count(&self.elsewhere))
    }
}

/// A desktop that follows the events, until this is dropped.
#[derive(Debug)]
pub struct Attendance {
    presence: Presence,
    user: RecordId,
}

impl Presence {
    /// Counts a desktop of this person.
    #[must_use]
    pub fn attend(&self, user: RecordId) -> Attendance {
        self.count(user, true);
        Attendance { presence: self.clone(), user }
    }

    /// Waits until somebody's count has changed, and tells whose, and to what. Cancel-safe.
    pub async fn changed(&self) -> Vec<(RecordId, u32)> {
        loop {
            let changed = self.take();
            if !changed.is_empty() {
                return changed;
            }
            self.0.changed.notified().await;
        }
    }

    /// How many desktops of this person follow the events, at whichever gateway.
    #[must_use]
    pub fn of(&self, user: RecordId) -> u32 {
        self.lock().of(user)
    }

    /// Everybody whose desktops follow the events here, for the other daemons.
    #[must_use]
    pub fn here(&self) -> Vec<(RecordId, u32)> {
        self.lock().here.iter().map(|(user, desktops)| (*user, *desktops)).collect()
    }

    /// Waits until somebody's count here has changed. Cancel-safe.
    pub async fn here_changed(&self) {
        self.0.here_changed.notified().await;
    }

    /// What the other daemons have, all of them together.
    pub fn set_elsewhere(&self, elsewhere: HashMap<RecordId, u32>) {
        let mut counts = self.lock();
        let before = std::mem::replace(&mut counts.elsewhere, elsewhere);
        let concerned = before.keys().chain(counts.elsewhere.keys());
        let differs = |user: &&RecordId| before.get(*user) != counts.elsewhere.get(*user);
        let changed: Vec<RecordId> = concerned.filter(differs).copied().collect();
        counts.changed.extend(&changed);
        drop(counts);
        if !changed.is_empty() {
            self.0.changed.notify_one();
        }
    }

    fn take(&self) -> Vec<(RecordId, u32)> {
        let mut counts = self.lock();
        let changed = std::mem::take(&mut counts.changed);
        changed.into_iter().map(|user| (user, counts.of(user))).collect()
    }

    fn count(&self, user: RecordId, comes: bool) {
        let mut counts = self.lock();
        let desktops = counts.here.entry(user).or_default();
        *desktops = if comes { desktops.saturating_add(1) } else { desktops.saturating_sub(1) };
        if *desktops == 0 {
            counts.here.remove(&user);
        }
        counts.changed.insert(user);
        drop(counts);
        self.0.changed.notify_one();
        self.0.here_changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attendance {
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
        let (first, second) = (presence.attend(one), presence.attend(one));
        let other = presence.attend(two);
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
    async fn those_at_other_gateways_count_as_long_as_they_are_said_to_be_there() {
        let presence = Presence::default();
        let (one, two) = (RecordId(Uuid::from_u128(1)), RecordId(Uuid::from_u128(2)));
        let _here = presence.attend(one);
        presence.set_elsewhere([(one, 2), (two, 1)].into());
        let mut changed = presence.changed().await;
        changed.sort_unstable();
        assert_eq!(changed, [(one, 3), (two, 1)]);
        assert_eq!(presence.here(), [(one, 1)], "the others know of their own");
        presence.set_elsewhere([(one, 2)].into());
        assert_eq!(presence.changed().await, [(two, 0)], "only whose count is another one");
        presence.set_elsewhere(HashMap::new());
        assert_eq!((presence.changed().await, presence.of(one)), (vec![(one, 1)], 1));
    }
}
