//! Whose desktops follow the events: counted where streams open and close, read by the core.
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
}

#[derive(Debug, Default)]
struct Counts {
    desktops: HashMap<RecordId, u32>,
    /// Whose count changed since it was last read.
    changed: HashSet<RecordId>,
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

    fn take(&self) -> Vec<(RecordId, u32)> {
        let mut counts = self.lock();
        let changed = std::mem::take(&mut counts.changed);
        changed.into_iter().map(|user| (user, counts.desktops.get(&user).copied().unwrap_or(0))).collect()
    }

    fn count(&self, user: RecordId, comes: bool) {
        let mut counts = self.lock();
        let desktops = counts.desktops.entry(user).or_default();
        *desktops = if comes { desktops.saturating_add(1) } else { desktops.saturating_sub(1) };
        if *desktops == 0 {
            counts.desktops.remove(&user);
        }
        counts.changed.insert(user);
        drop(counts);
        self.0.changed.notify_one();
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
}
