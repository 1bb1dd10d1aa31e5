//! The machine that writes, against a database in memory that may stop anywhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// A PBX's database: what orders do to it, and how many orders it still carries out.
#[derive(Debug, Clone, Default)]
struct Pbx {
    entries: Entries,
    orders_left: Option<usize>,
}

impl Pbx {
    fn write(&mut self, order: &[KeyChange]) {
        for change in order {
            match self.orders_left.as_mut() {
                Some(0) => return,
                Some(left) => *left -= 1,
                None => {}
            }
            match &change.value {
                Some(value) => self.entries.insert(change.key.clone(), value.clone()),
                None => self.entries.remove(&change.key),
            };
        }
    }

    fn read(&self, scope: &Scope) -> Entries {
        let wanted = |key: &Key| match scope {
            Scope::All => true,
            Scope::Keys(keys) => keys.contains(key),
        };
        self.entries
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// Runs the machine until it waits for a timer; returns the number of orders. `each` sees the PBX after each order.
fn run(sync: &mut PlanSync, pbx: &mut Pbx, now: &mut Instant, mut each: impl FnMut(&Pbx)) -> usize {
    let mut orders = 0;
    for _ in 0..5_000 {
        match sync.poll_output() {
            Some(Output::Read(scope)) => {
                let read = pbx.read(&scope);
                sync.handle(*now, Input::Read(Ok(read)));
            }
            Some(Output::Write(batches)) => {
                for batch in &batches {
                    assert!(batch.len() <= BATCH_CHANGES_MAX);
                    pbx.write(batch);
                    orders += 1;
                    each(pbx);
                }
                sync.handle(*now, Input::Written(Ok(())));
            }
            None => match sync.poll_timeout() {
                // A change that is not there yet is read again; nothing else is waited for.
                Some(due) if due <= *now + Duration::from_millis(20) => {
                    *now = due;
                    sync.handle_timeout(*now);
                }
                _ => return orders,
            },
        }
    }
    panic!("the machine does not come to rest: {sync:?}");
}

fn many(version: usize, accounts: u128) -> Entries {
    let fields = CallflowFields { wait_s: 30 + version as u32, ..CallflowFields::default() };
    let sources: Vec<Source> = (1..=accounts)
        .map(|n| Source {
            account: account(n, "月-金 09:00-18:00", &[&format!("03555{n:05}")], &[]),
            callflow: Some(fields.clone()),
        })
        .collect();
    compiled(&sources, &[], "2026-11-20T10:00:00+09:00")
}

#[test]
fn the_pbx_gets_what_is_wanted_and_old_versions_go_later() {
    let (mut sync, mut pbx, mut now) = (PlanSync::default(), Pbx::default(), Instant::now());
    let foreign = Key::new("night").unwrap();
    pbx.entries.insert(foreign.clone(), Value::found("1"));
    pbx.entries.insert(Key::new("dialled/0300000000").unwrap(), Value::found("nobody"));
    let first = Arc::new(many(1, 60));
    sync.handle(now, Input::Wanted(Arc::clone(&first)));
    assert_eq!(sync.poll_output(), None, "nothing happens without a link");
    sync.handle(now, Input::LinkUp);
    run(&mut sync, &mut pbx, &mut now, |_| {});
    assert_eq!(
        sync.status(),
        PlanStatus {
            state: PlanState::Level,
            wanted: first.len(),
            missing: 0,
            version: 0,
            clock_ahead_s: None,
            seen: SeenAtPbx::default(),
            ends_at: sync.status().ends_at,
            problem: None
        }
    );
    let mut expected = (*first).clone();
    expected.insert(foreign, Value::found("1"));
    assert_eq!(pbx.entries, expected);

    // A change: its old version stays for calls that have read the plan, and goes afterwards.
    let second = Arc::new(many(2, 60));
    sync.handle(now, Input::Wanted(Arc::clone(&second)));
    run(&mut sync, &mut pbx, &mut now, |_| {});
    assert!(first.keys().all(|key| pbx.entries.contains_key(key)));
    assert!(second.iter().all(|(key, value)| pbx.entries.get(key) == Some(value)));
    now += OLD_VERSION_TTL;
    sync.handle_timeout(now);
    run(&mut sync, &mut pbx, &mut now, |_| {});
    assert_eq!(pbx.entries.len(), second.len() + 1);

    // The audit puts right what somebody else wrote or deleted.
    let gone: Vec<Key> = second.keys().step_by(3).cloned().collect();
    gone.iter().for_each(|key| drop(pbx.entries.remove(key)));
    pbx.entries.insert(Key::new("dialled/0311111111").unwrap(), Value::found("somebody"));
    now += AUDIT_INTERVAL;
    sync.handle_timeout(now);
    run(&mut sync, &mut pbx, &mut now, |_| {});
    assert_eq!(pbx.entries.len(), second.len() + 1);
    assert_eq!(sync.status().state, PlanState::Level);
}

#[test]
fn a_pbx_that_writes_nothing_is_asked_again_later_and_the_problem_is_named() {
    let (mut sync, mut now) = (PlanSync::default(), Instant::now());
    let mut pbx = Pbx { orders_left: Some(0), ..Pbx::default() };
    sync.handle(now, Input::Wanted(Arc::new(many(1, 1))));
    sync.handle(now, Input::LinkUp);
    run(&mut sync, &mut pbx, &mut now, |_| {});
    let status = sync.status();
    assert_eq!(status.state, PlanState::Behind);
    assert!(status.problem.unwrap().contains("toritsugi-plan"));
    // Written by order, refused: the same.
    let due = sync.poll_timeout().unwrap();
    assert!(due > now);
    (now, pbx.orders_left) = (due, None);
    sync.handle_timeout(now);
    run(&mut sync, &mut pbx, &mut now, |_| {});
    assert_eq!(
        sync.status(),
        PlanStatus {
            state: PlanState::Level,
            wanted: 6,
            missing: 0,
            version: 0,
            clock_ahead_s: None,
            seen: SeenAtPbx::default(),
            ends_at: sync.status().ends_at,
            problem: None
        }
    );
}

#[test]
fn a_pbx_that_changes_what_is_written_is_not_written_for_ever() {
    let (mut sync, mut pbx, mut now) = (PlanSync::default(), Pbx::default(), Instant::now());
    sync.handle(now, Input::Wanted(Arc::new(many(1, 60))));
    sync.handle(now, Input::LinkUp);
    let mut orders = 0;
    for _ in 0..200 {
        match sync.poll_output() {
            Some(Output::Read(scope)) => {
                // Reading all shows that every third key was cut off.
                let whole = scope == Scope::All;
                let read = pbx.read(&scope).into_iter().enumerate();
                let read = read.map(|(n, (key, value))| {
                    (key, if whole && n % 3 == 0 { Value::found("cut") } else { value })
                });
                let read = read.collect();
                sync.handle(now, Input::Read(Ok(read)));
            }
            Some(Output::Write(batches)) => {
                orders += batches.len();
                batches.iter().for_each(|batch| pbx.write(batch));
                sync.handle(now, Input::Written(Ok(())));
            }
            None => break,
        }
    }
    assert_eq!(sync.status().state, PlanState::Behind);
    assert!(orders < 20, "{orders}");
    now = sync.poll_timeout().unwrap();
    sync.handle_timeout(now);
    run(&mut sync, &mut pbx, &mut now, |_| {});
    assert_eq!(sync.status().state, PlanState::Level);
}

#[test]
fn what_answers_nothing_is_ignored() {
    let (mut sync, now) = (PlanSync::default(), Instant::now());
    for input in [Input::Read(Ok(Entries::new())), Input::Written(Ok(())), Input::LinkDown] {
        sync.handle(now, input);
        assert_eq!((sync.poll_output(), sync.status().state), (None, PlanState::Offline));
    }
    sync.handle(now, Input::LinkUp);
    sync.handle(now, Input::LinkUp);
    assert_eq!(sync.poll_output(), Some(Output::Read(Scope::All)));
    assert_eq!(sync.poll_output(), None);
    sync.handle(now, Input::Written(Ok(())));
    sync.handle(now, Input::LinkDown);
    sync.handle(now, Input::Read(Ok(Entries::new())));
    assert_eq!(sync.status().state, PlanState::Offline);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The daemon dies, or the link breaks, after any single key: every account is treated by its whole old plan or by its
    /// whole new one, and the next daemon finishes the work.
    #[test]
    fn a_change_that_stops_anywhere_leaves_whole_plans(stop in 0..420_usize, accounts in 1..70_u128) {
        let (first, second) = (Arc::new(many(1, accounts)), Arc::new(many(2, accounts)));
        let mut now = Instant::now();
        let mut pbx = Pbx::default();
        let mut sync = PlanSync::default();
        sync.handle(now, Input::Wanted(Arc::clone(&first)));
        sync.handle(now, Input::LinkUp);
        run(&mut sync, &mut pbx, &mut now, |_| {});
        let moment = at("2026-11-20T10:00:00+09:00");
        let treated = |entries: &Entries, n: u128| walk(entries, "", &format!("03555{n:05}"), moment);
        let whole = |pbx: &Pbx| {
            for n in 1..=accounts {
                let found = treated(&pbx.entries, n);
                assert!(found.is_some() && (found == treated(&first, n) || found == treated(&second, n)), "account {n}: {found:?}");
            }
        };
        pbx.orders_left = Some(stop);
        sync.handle(now, Input::Wanted(Arc::clone(&second)));
        run(&mut sync, &mut pbx, &mut now, whole);
        whole(&pbx);
        pbx.orders_left = None;
        let mut next = PlanSync::default();
        next.handle(now, Input::Wanted(Arc::clone(&second)));
        next.handle(now, Input::LinkUp);
        run(&mut next, &mut pbx, &mut now, whole);
        prop_assert_eq!(next.status().state, PlanState::Level);
        prop_assert!(second.iter().all(|(key, value)| pbx.entries.get(key) == Some(value)));
    }
}
