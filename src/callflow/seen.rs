//! What was seen of the PBX beside its plans: queues, sounds, and until when its plans reach. Findings compare it with the records.
//!
//! Sounds are asked for in rounds: each order of a round asks for some of them, and the dialplan answers with the places of those
//! that it has no file of (`ToritsugiSounds`). What is missing is known when each order of a round is answered.
//!
//! Invariant: an answer to an order of an earlier round, or to none, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::schedule::timestamp;
use super::{BATCH_CHANGES_MAX, Entries, HORIZON_LETTER, Key};
use crate::ids::QueueName;

/// The plans of the PBX reach further than this, in days, while a daemon writes them each day.
pub const PLANS_LEFT_DAYS_MIN: i64 = 7;

/// What was seen; nothing of it while no daemon follows the PBX.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenAtPbx {
    /// Its queues; absent as long as they were not read.
    pub queues: Option<Arc<BTreeSet<QueueName>>>,
    /// Those of them that have no member, and since when.
    pub empty_since: Arc<BTreeMap<QueueName, Timestamp>>,
    /// The sounds that callflows play and of which it has no file.
    pub sounds_missing: Arc<BTreeSet<String>>,
    /// When the first of its plans ends; absent without plans.
    pub plans_end_at: Option<Timestamp>,
}

/// When the first of these plans ends.
#[must_use]
pub fn plans_end_at(entries: &Entries) -> Option<Timestamp> {
    let plans = entries.iter().filter(|(key, _)| key.tree() == "plan");
    let ends = plans.filter_map(|(_, plan)| {
        let mut parts = plan.as_str().split('|').skip(1);
        let times = Key::new(&format!("times/{}", parts.next()?))?;
        let base: i64 = parts.next()?.parse().ok()?;
        let (minute, end) = entries.get(&times)?.as_str().rsplit('/').next()?.split_once(':')?;
        let minute: i64 = minute.parse().ok().filter(|_| end.starts_with(HORIZON_LETTER))?;
        Some(timestamp(base.saturating_add(minute)))
    });
    ends.min()
}

/// Which sounds the PBX lacks; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SoundProbe(Arc<Mutex<Probe>>);

#[derive(Debug, Default)]
struct Probe {
    round: u64,
    /// The orders that are not answered: what each asks for.
    asked: BTreeMap<String, Vec<String>>,
    found: BTreeSet<String>,
    missing: Arc<BTreeSet<String>>,
}

impl SoundProbe {
    /// Begins a round: the orders to send, each with its name.
    #[must_use]
    pub fn begin(&self, sounds: &BTreeSet<String>) -> Vec<(String, Vec<String>)> {
        let mut probe = self.0.lock();
        probe.round += 1;
        let all: Vec<String> = sounds.iter().cloned().collect();
        let name = |n: usize| format!("{:x}0{n:x}", probe.round);
        let orders: Vec<_> =
            all.chunks(BATCH_CHANGES_MAX).enumerate().map(|(n, some)| (name(n), some.to_vec())).collect();
        probe.asked = orders.iter().cloned().collect();
        probe.found.clear();
        if orders.is_empty() {
            probe.missing = Arc::default();
        }
        orders
    }

    /// The PBX's answer to an order: the places, from 1 on, of the sounds that it lacks.
    pub fn answered(&self, order: &str, missing: &str) {
        let mut probe = self.0.lock();
        let Some(asked) = probe.asked.remove(order) else { return };
        let places = missing.split_ascii_whitespace().filter_map(|place| place.parse::<usize>().ok());
        let lacking = places.filter_map(|place| asked.get(place.checked_sub(1)?).cloned());
        probe.found.extend(lacking);
        if probe.asked.is_empty() {
            probe.missing = Arc::new(std::mem::take(&mut probe.found));
        }
    }

    /// What the last round that was answered found.
    #[must_use]
    pub fn missing(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.0.lock().missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callflow::Value;

    #[test]
    fn a_round_is_known_when_each_of_its_orders_is_answered() {
        let probe = SoundProbe::default();
        let sounds: BTreeSet<String> = (0..50).map(|n| format!("custom/{n:02}")).collect();
        let first = probe.begin(&sounds);
        let orders = probe.begin(&sounds);
        assert_eq!((orders.len(), orders[0].1.len() + orders[1].1.len()), (2, 50));
        probe.answered(&first[0].0, "1");
        probe.answered(&orders[0].0, " 1 3 99 0 x");
        assert!(probe.missing().is_empty(), "the round is not over");
        probe.answered(&orders[0].0, "2");
        probe.answered(&orders[1].0, "12");
        assert_eq!(probe.missing().iter().collect::<Vec<_>>(), ["custom/00", "custom/02", "custom/49"]);
        assert!(probe.begin(&BTreeSet::new()).is_empty() && probe.missing().is_empty());
    }

    #[test]
    fn the_plans_end_with_the_first_of_them() {
        let entries = |texts: &[(&str, &str)]| -> Entries {
            texts.iter().map(|(key, value)| (Key::new(key).unwrap(), Value::new(value).unwrap())).collect()
        };
        assert_eq!(plans_end_at(&Entries::new()), None);
        let found = plans_end_at(&entries(&[
            ("plan/a1", "5|77|1000|h"),
            ("plan/a2", "5|78|900"),
            // What cannot be read ends nothing.
            ("plan/a3", "5|79|1"),
            ("plan/a4", "5"),
            ("times/77", "c/540:o/1080:c/2000:z"),
            ("times/78", "o/2000:z"),
            ("times/79", "o/2000"),
        ]));
        assert_eq!(found, Some(timestamp(2_900)));
    }
}
