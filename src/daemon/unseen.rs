//! What nobody saw, where several daemons may follow one PBX: whoever takes the lead compares the last moment at which
//! a daemon that led is known to have looked (its pulse, in the store with the link) with its own sight.
//!
//! | the one that led before | this one | told and kept |
//! |---|---|---|
//! | looked until t | has looked since before t | nothing: between them they saw everything |
//! | looked until t | looks since s, after t | `pbx.gap` from t to s |
//! | looked until t | does not look, or did not at t | a gap that began at t; told when the link is up |
//! | lost its link at t, for a cause | looks since s, after t | `pbx.gap` from t to s, with that cause |
//! | looked until a time that is still to come | any | that is not believed: it looked until its link came up |
//! | was never there | any | nothing |
//!
//! | state | the pulse, and what is known of the link |
//! |---|---|
//! | stands by | are not written: the store has those of whoever leads |
//! | leads, and the store has not said yet who looked last | are not written: that would hide the gap |
//! | leads, and has compared | are written, the pulse every [`PULSE`] |
//!
//! All times here are the common time of the daemons ([`crate::bus::Bus::common_time`]): hosts whose clocks differ by
//! minutes find the same gap. Where Redis never answered they are the host's own.
//!
//! Invariant: at most [`PULSE`] of a followed link is taken for a gap; a gap bears the same beginning whoever tells it
//! and however often, so the store has it once; the gap is kept before the pulse that would hide it.

use std::time::Duration;

use jiff::Timestamp;

use super::core::{Brought, Core};
use crate::store::{LinkMemory, Store, StoreError};

/// How often whoever leads notes that it looks.
pub(super) const PULSE: Duration = Duration::from_secs(1);
/// Pause before a store that does not answer is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Why nobody looked when whoever did is no more.
pub(super) const NOT_RUNNING: &str = "the daemon was not running";

/// The time in which this daemon follows its PBX, or followed it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Looks {
    /// Since when.
    pub(super) since: Timestamp,
    /// Until when, and why no longer.
    pub(super) until: Option<(Timestamp, String)>,
}

/// What the comparison finds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unseen {
    /// From, to and why, where it is over.
    gap: Option<(Timestamp, Timestamp, String)>,
    /// From when on and why nobody looks.
    open: Option<(Timestamp, String)>,
}

/// The last moment at which whoever led looked, and why it does so no more.
fn last_look(left: &LinkMemory, now: Timestamp) -> (Timestamp, String) {
    let not_running = || NOT_RUNNING.to_owned();
    match left {
        LinkMemory { up: true, alive, .. } if *alive <= now => (*alive, not_running()),
        LinkMemory { up: true, since, .. } => (*since.min(&now), not_running()),
        LinkMemory { since, cause, .. } => (*since.min(&now), cause.clone().unwrap_or_else(not_running)),
    }
}

fn compare(left: &LinkMemory, own: Option<&Looks>, now: Timestamp) -> Unseen {
    let (last, cause) = last_look(left, now);
    let Some(own) = own else { return Unseen { gap: None, open: Some((last, cause)) } };
    let open = own
        .until
        .clone()
        .map(|(until, why)| if until >= last { (until, why) } else { (last, cause.clone()) });
    let gap = (own.since > last).then_some((last, own.since, cause));
    Unseen { gap, open }
}

impl Core {
    /// The common time.
    pub(super) fn common_now(&mut self) -> Timestamp {
        let now = self.clock.now();
        self.parts.bus.common_time(now)
    }

    /// This daemon has taken the lead: who looked last is asked beside the loop.
    pub(super) fn unseen_asked(&mut self) {
        self.link.compared = false;
        self.link.leads += 1;
        let (turn, store, beside) = (self.link.leads, self.parts.store.clone(), self.beside.clone());
        let pbx = self.parts.plan.pbx.clone();
        self.parts.tasks.spawn(async move {
            while !beside.is_closed() {
                match read(&store, &pbx).await {
                    // The core is gone only when the daemon ends.
                    Ok(left) => return drop(beside.send(Brought::LinkLeft(turn, left)).await),
                    Err(error) => tracing::warn!(
                        %pbx, error = &error as &dyn std::error::Error,
                        "whether the PBX was followed before cannot be read; a gap is told once it can"
                    ),
                }
                tokio::select! {
                    () = beside.closed() => {}
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                }
            }
        });
    }

    /// The store says who looked last.
    pub(super) fn unseen_known(&mut self, turn: u64, left: Option<LinkMemory>) {
        if turn != self.link.leads || !self.parts.bus.leads() {
            return;
        }
        self.link.compared = true;
        let own = self.own_looks();
        let now = self.common_now();
        let Some(left) = left else { return self.keep_link() };
        if left.up && left.alive > now {
            tracing::warn!(
                alive = %left.alive, %now,
                "the pulse of the daemon that led before is of a time still to come, and is not believed"
            );
        }
        let Unseen { gap, open } = compare(&left, own.as_ref(), now);
        let restarted = matches!((&left.started, &self.link.started), (Some(then), Some(now)) if then != now);
        if self.link.started.is_none() {
            self.link.started = left.started;
        }
        if let Some((from, to, cause)) = gap {
            tracing::warn!(%from, %to, cause, "nobody followed the PBX for a time");
            self.tell_gap_of(from, to, cause, restarted);
            if restarted {
                self.tell_restarted();
            }
        }
        if let Some(open) = open {
            self.link.goes_unseen(open);
        }
        self.keep_link();
    }

    /// How this daemon looked, in common time.
    fn own_looks(&mut self) -> Option<Looks> {
        let now = self.clock.now();
        let ahead = now.duration_until(self.parts.bus.common_time(now));
        let common = |at: Timestamp| at.checked_add(ahead).unwrap_or(at);
        let Looks { since, until } = self.link.looks.clone()?;
        Some(Looks { since: common(since), until: until.map(|(at, why)| (common(at), why)) })
    }

    /// Notes that somebody who leads looks.
    pub(super) fn pulse_timeout(&mut self) {
        let now = self.clock.now();
        if self.link.pulse.is_some_and(|due| due <= now) {
            self.keep_link();
        }
    }

    /// When the next pulse is due.
    pub(super) fn beat(&mut self, looks: bool) {
        let now = self.clock.now();
        let beats = looks && self.parts.bus.is_shared() && self.parts.bus.leads();
        self.link.pulse = beats.then(|| now.checked_add(PULSE).unwrap_or(now));
    }
}

async fn read(store: &Store, pbx: &crate::ids::PbxId) -> Result<Option<LinkMemory>, StoreError> {
    match store.link(pbx).await {
        Err(error) if !error.is_passing() => {
            tracing::error!(
                %pbx, error = &error as &dyn std::error::Error,
                "what is known of the link to the PBX cannot be read: a gap before now is not told"
            );
            Ok(None)
        }
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn up(alive: i64) -> LinkMemory {
        LinkMemory { up: true, since: at(10), alive: at(alive), cause: None, started: None }
    }

    fn down(since: i64) -> LinkMemory {
        let cause = Some("the PBX was cut off".to_owned());
        LinkMemory { up: false, since: at(since), alive: at(since), cause, started: None }
    }

    fn looks(since: i64, until: Option<i64>) -> Option<Looks> {
        Some(Looks { since: at(since), until: until.map(|until| (at(until), "lost".to_owned())) })
    }

    #[test]
    fn a_gap_is_what_neither_saw() {
        let gap = |from, to, cause: &str| Some((at(from), at(to), cause.to_owned()));
        let open = |from, cause: &str| Some((at(from), cause.to_owned()));
        let cases = [
            ("a standby with sight", up(100), looks(20, None), None, None),
            ("its sight began with the last pulse", up(100), looks(100, None), None, None),
            ("it came later", up(100), looks(130, None), gap(100, 130, NOT_RUNNING), None),
            ("it does not look yet", up(100), None, None, open(100, NOT_RUNNING)),
            ("it lost its link after the last pulse", up(100), looks(20, Some(120)), None, open(120, "lost")),
            ("it lost its link before", up(100), looks(20, Some(60)), None, open(100, NOT_RUNNING)),
            (
                "it came later and lost its link",
                up(100),
                looks(110, Some(120)),
                gap(100, 110, NOT_RUNNING),
                open(120, "lost"),
            ),
            ("only the other one's link was lost", down(100), looks(20, None), None, None),
            ("both lost it", down(100), looks(130, None), gap(100, 130, "the PBX was cut off"), None),
            ("both have lost it", down(100), looks(20, Some(99)), None, open(100, "the PBX was cut off")),
            (
                "a pulse of times to come hides nothing",
                up(9_999),
                looks(130, None),
                gap(10, 130, NOT_RUNNING),
                None,
            ),
            ("and frightens nobody who looked", up(9_999), looks(5, None), None, None),
            ("nor does a link of times to come", down(9_999), looks(130, None), None, None),
        ];
        for (what, left, own, gap, open) in cases {
            assert_eq!(compare(&left, own.as_ref(), at(200)), Unseen { gap, open }, "{what}");
        }
    }
}
