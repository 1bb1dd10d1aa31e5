//! The order of what the link publishes and stores.

use super::*;

fn at(second: i64) -> Moment {
    let now = Timestamp::from_second(second).unwrap();
    Moment { now, cluster_now: now, writes_heartbeats: true }
}

fn link(stored: Option<PbxLinkState>, shared: bool) -> PbxLink {
    PbxLink::new(PbxId::parse("osaka").unwrap(), stored, shared)
}

fn stored(up: bool, second: i64) -> PbxLinkState {
    let at = Timestamp::from_second(second).unwrap();
    PbxLinkState { up, since: at, alive: at, cause: None, started: Some("yesterday".into()) }
}

/// The outputs in short: the kind of an event with `+gap` and `+state` for its records.
fn drain(link: &mut PbxLink) -> Vec<String> {
    std::iter::from_fn(|| link.poll_output())
        .map(|output| match output {
            Output::Publish { event, gap, state } => format!(
                "{}{}{}",
                event.kind.as_str(),
                gap.map_or("", |_| "+gap"),
                state.map_or("", |state| if state.up { "+up" } else { "+down" })
            ),
            Output::Store(state) => if state.up { "store up" } else { "store down" }.into(),
            Output::LinkUp { restarted } => format!("link up, restarted {restarted}"),
            Output::PbxRestarted => "end supervision".into(),
            Output::LinkDown => "link down".into(),
        })
        .collect()
}

#[test]
fn after_a_start_down_comes_first_and_the_gap_before_the_calls() {
    let mut link = link(Some(stored(true, 50)), false);
    link.on_daemon_start(at(100));
    assert_eq!(drain(&mut link), ["pbx.down"]);
    link.on_login(1, "22");
    assert_eq!(drain(&mut link), [""; 0], "nothing is known yet");
    link.on_pbx_started(at(101), Some("yesterday".into()));
    assert_eq!(drain(&mut link), ["pbx.gap+gap+up", "link up, restarted false"]);
    link.on_calls_listed(at(102));
    link.on_calls_listed(at(103));
    assert_eq!(drain(&mut link), ["pbx.up"], "once");
}

#[test]
fn after_a_restart_of_the_pbx_the_calls_end_before_it_is_published() {
    let mut link = link(Some(stored(true, 50)), false);
    link.on_login(1, "22");
    link.on_pbx_started(at(101), Some("today".into()));
    let expected = ["pbx.gap+gap+up", "link up, restarted true", "end supervision", "pbx.restarted"];
    assert_eq!(drain(&mut link), expected);
}

#[test]
fn a_first_start_has_no_gap() {
    let mut link = link(None, false);
    link.on_daemon_start(at(100));
    link.on_login(1, "22");
    link.on_pbx_started(at(101), Some("today".into()));
    assert_eq!(drain(&mut link), ["store up", "link up, restarted false"]);
}

#[test]
fn down_is_published_once_however_often_the_link_breaks() {
    let mut link = link(None, false);
    link.on_login(1, "22");
    link.on_pbx_started(at(100), Some("today".into()));
    link.on_calls_listed(at(101));
    drain(&mut link);
    link.on_connection_lost(at(110), "cut");
    assert_eq!(drain(&mut link), ["link down", "pbx.down+down"]);
    link.on_login(2, "22");
    link.on_connection_lost(at(112), "cut again");
    assert_eq!(drain(&mut link), ["link down", "store down"]);
    link.on_login(3, "22");
    link.on_pbx_started(at(120), Some("today".into()));
    let Some(Output::Publish { gap: Some(gap), .. }) = link.poll_output() else { panic!("no gap") };
    assert_eq!((gap.from, gap.cause.as_str()), (at(110).now, "cut"), "the gap begins with the first loss");
}

#[test]
fn a_new_leader_stores_nothing_before_it_has_compared() {
    let mut link = link(Some(stored(true, 50)), true);
    let term = link.on_lead_acquired();
    link.on_login(1, "22");
    link.on_pbx_started(at(100), Some("yesterday".into()));
    assert_eq!(drain(&mut link), ["link up, restarted false"]);
    assert!(!link.on_predecessor_read(at(101), term + 1, None), "the answer of another term");
    assert_eq!(drain(&mut link), [""; 0]);
    assert!(link.on_predecessor_read(at(102), term, Some(stored(true, 60))));
    assert_eq!(drain(&mut link), ["pbx.gap+gap+up", "store up"]);
}

#[test]
fn heartbeats_are_stored_only_by_a_leader_that_follows_the_pbx() {
    let mut link = link(None, false);
    link.on_login(1, "22");
    link.on_pbx_started(at(100), Some("today".into()));
    drain(&mut link);
    assert_eq!(link.poll_timeout(), Some(at(101).now));
    link.handle_timeout(at(101));
    assert_eq!(drain(&mut link), ["store up"]);
    link.handle_timeout(Moment { writes_heartbeats: false, ..at(102) });
    assert_eq!(drain(&mut link), ["store up"]);
    assert_eq!(link.poll_timeout(), None, "it does not lead any more");
    link.on_connection_lost(at(110), "cut");
    assert_eq!(link.poll_timeout(), None);
}
