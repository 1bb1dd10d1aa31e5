//! Team ownership when Redis is lost or was never reached.

use smol_str::SmolStr;

use super::*;

#[tokio::test]
async fn a_daemon_that_loses_redis_keeps_the_last_ownership_answer_until_the_next_one() {
    let foreign = ForeignTeams::from([(SmolStr::new("east"), PbxId::parse("tokyo").unwrap())]);
    let osaka = hub("osaka", 10);
    osaka.set_foreign_teams(foreign.clone());
    osaka.set_connected(false);
    osaka.detach();
    osaka.enter_fallback();
    assert_eq!(osaka.foreign_teams(), foreign, "it takes no team while Redis is unreachable");
    osaka.set_connected(true);
    assert_eq!(osaka.foreign_teams(), foreign, "a connection alone changes no owner");
    osaka.set_foreign_teams(ForeignTeams::new());
    assert_eq!(osaka.foreign_teams(), ForeignTeams::new());
    timeout(TEST_TIMEOUT, osaka.ownership_changed()).await.expect("the change is notified");
}

#[test]
fn a_daemon_that_never_reached_redis_owns_every_team_it_requests() {
    let osaka = unloaded_hub("osaka", 10);
    osaka.lead_without_redis();
    assert!(osaka.stats().leads);
    assert_eq!(osaka.foreign_teams(), ForeignTeams::new());
}
