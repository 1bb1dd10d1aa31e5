//! Gap detection over a change of leader: finds the periods in which no daemon followed the PBX.
//!
//! While it leads, a daemon writes a heartbeat into the stored link state. A new leader compares the predecessor's last
//! heartbeat with the period in which it followed the PBX itself ([`Observation`]):
//!
//! | predecessor | this daemon | published and stored |
//! |---|---|---|
//! | followed until t | has followed since before t | nothing: together they saw everything |
//! | followed until t | follows since s, after t | `pbx.gap` from t to s |
//! | followed until t | has never followed | a gap that began at t; published when the link is up |
//! | followed until t | lost its link at u | a gap that began at the later of t and u; published when the link is up |
//! | lost its link at t, for a cause | follows since s, after t | `pbx.gap` from t to s, with that cause |
//! | has a heartbeat in the future | any | the heartbeat is ignored: the predecessor followed until its link came up |
//! | never existed | any | nothing |
//!
//! | this daemon | heartbeat and link state |
//! |---|---|
//! | is a standby | not written: the store has the leader's |
//! | leads, and has not read the predecessor's state yet | not written: that would hide the gap |
//! | leads, and has compared | written, the heartbeat every [`LEADER_HEARTBEAT_INTERVAL`](super::LEADER_HEARTBEAT_INTERVAL) |
//!
//! All times here are cluster time ([`Moment::cluster_now`]), so hosts whose clocks differ by minutes find the same gap.
//! Until Redis has answered once, cluster time is the host's own.
//!
//! Invariants: at most one heartbeat interval of a followed link is taken for a gap. A gap has the same beginning
//! whichever daemon publishes it and however often, so the store has it once. The gap is stored before the heartbeat that
//! would hide it.

use jiff::Timestamp;

use super::{Moment, NOT_RUNNING};
use crate::contract::pbx::PbxLinkState;

/// The period in which this daemon follows its PBX, or followed it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Observation {
    /// Its start.
    pub(super) since: Timestamp,
    /// Its end, and the cause; `None` while the link is up.
    pub(super) until: Option<(Timestamp, String)>,
}

impl Observation {
    /// The same period in cluster time.
    pub(super) fn in_cluster_time(&self, at: Moment) -> Self {
        let ahead = at.now.duration_until(at.cluster_now);
        let convert = |at: Timestamp| at.checked_add(ahead).unwrap_or(at);
        Self {
            since: convert(self.since),
            until: self.until.as_ref().map(|(until, why)| (convert(*until), why.clone())),
        }
    }
}

/// Result of the comparison: periods in which nobody followed the PBX.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unobserved {
    /// A gap that has ended: start, end and cause.
    pub(super) gap: Option<(Timestamp, Timestamp, String)>,
    /// A gap that goes on: start and cause.
    pub(super) open: Option<(Timestamp, String)>,
}

/// When the predecessor followed the PBX last, and why it stopped.
fn last_observed(prior: &PbxLinkState, now: Timestamp) -> (Timestamp, String) {
    let not_running = || NOT_RUNNING.to_owned();
    match prior {
        PbxLinkState { up: true, alive, .. } if *alive <= now => (*alive, not_running()),
        PbxLinkState { up: true, since, .. } => (*since.min(&now), not_running()),
        PbxLinkState { since, cause, .. } => (*since.min(&now), cause.clone().unwrap_or_else(not_running)),
    }
}

/// Compares the predecessor's stored state with the own observation; all times are cluster time.
pub(super) fn compare(prior: &PbxLinkState, own: Option<&Observation>, now: Timestamp) -> Unobserved {
    let (last, cause) = last_observed(prior, now);
    let Some(own) = own else { return Unobserved { gap: None, open: Some((last, cause)) } };
    let open = own
        .until
        .clone()
        .map(|(until, why)| if until >= last { (until, why) } else { (last, cause.clone()) });
    let gap = (own.since > last).then_some((last, own.since, cause));
    Unobserved { gap, open }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn up(alive: i64) -> PbxLinkState {
        PbxLinkState { up: true, since: at(10), alive: at(alive), cause: None, started: None }
    }

    fn down(since: i64) -> PbxLinkState {
        let cause = Some("the PBX was cut off".to_owned());
        PbxLinkState { up: false, since: at(since), alive: at(since), cause, started: None }
    }

    fn observed(since: i64, until: Option<i64>) -> Option<Observation> {
        Some(Observation { since: at(since), until: until.map(|until| (at(until), "lost".to_owned())) })
    }

    #[test]
    fn a_gap_is_what_neither_saw() {
        let gap = |from, to, cause: &str| Some((at(from), at(to), cause.to_owned()));
        let open = |from, cause: &str| Some((at(from), cause.to_owned()));
        let cases = [
            ("a standby that followed the PBX", up(100), observed(20, None), None, None),
            ("it followed from the last heartbeat on", up(100), observed(100, None), None, None),
            ("it came later", up(100), observed(130, None), gap(100, 130, NOT_RUNNING), None),
            ("it does not follow yet", up(100), None, None, open(100, NOT_RUNNING)),
            (
                "it lost its link after the last heartbeat",
                up(100),
                observed(20, Some(120)),
                None,
                open(120, "lost"),
            ),
            ("it lost its link before", up(100), observed(20, Some(60)), None, open(100, NOT_RUNNING)),
            (
                "it came later and lost its link",
                up(100),
                observed(110, Some(120)),
                gap(100, 110, NOT_RUNNING),
                open(120, "lost"),
            ),
            ("only the other one's link was lost", down(100), observed(20, None), None, None),
            ("both lost it", down(100), observed(130, None), gap(100, 130, "the PBX was cut off"), None),
            ("both have lost it", down(100), observed(20, Some(99)), None, open(100, "the PBX was cut off")),
            (
                "a heartbeat in the future hides nothing",
                up(9_999),
                observed(130, None),
                gap(10, 130, NOT_RUNNING),
                None,
            ),
            ("and makes no gap where this daemon followed", up(9_999), observed(5, None), None, None),
            (
                "nor does a link state in the future hide anything",
                down(9_999),
                observed(130, None),
                None,
                None,
            ),
        ];
        for (what, left, own, gap, open) in cases {
            assert_eq!(compare(&left, own.as_ref(), at(200)), Unobserved { gap, open }, "{what}");
        }
    }
}
