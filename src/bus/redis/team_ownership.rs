//! Which PBX's leader owns the operators of a team: it alone keeps and publishes their states, whatever the configurations
//! say.
//!
//! `[operators] teams` of each PBX names the teams that work there; an empty list requests all teams. The leader claims
//! the teams in Redis before it leads, and renews the claims every [`super::timing::CLAIM_RENEWAL_TICKS`] (2 s):
//!
//! | this PBX requests | another PBX has claimed | result |
//! |---|---|---|
//! | a team | that team, or all teams before this PBX claimed this one | the other PBX owns it; this daemon logs an error and lists it in `/readyz` |
//! | all teams | all teams | the other PBX owns all of them |
//! | all teams | some teams | this PBX owns all others |
//! | anything | it, but the claim has expired | this PBX takes it; see below |
//!
//! # When a claim expires
//! A claim expires [`CLAIM_TTL`] after its last renewal: its PBX has had no leader, or its leader has not reached Redis.
//!
//! | who | what happens |
//! |---|---|
//! | nobody else requests the team | nothing: the expired claim stays, and its owner renews it whenever it comes back |
//! | another PBX requests it, in a session with Redis of at most [`CLAIM_GRACE_TICKS`] (60 s) | the previous owner keeps it: after a long outage of Redis it reconnects as well |
//! | another PBX requests it, in an older session | it takes the team at its next renewal, restores the operators' states from the store, and publishes them |
//! | the previous owner comes back after that | its next claim is refused: it drops these operators, and publishes nothing more about them, not even a removal |
//! | a client | before the change: the states as last published, and 503 `pbx-unreachable` for requests that change them; after it: `operator.state` events of the new owner |
//!
//! A claim outlives its daemon, so that a restart changes no owner. A team that is no longer configured is released at
//! the next renewal. A claim expires at all because a PBX that was renamed or removed must not own operators for ever.
//!
//! # Without Redis
//! A daemon that loses Redis keeps the last answer until a claim is answered again: it gives up no team and takes none. A
//! daemon that never reached Redis owns every team it requests (`hub/ownership.rs`).
//!
//! Invariant: no operator has two owners while both have read each other's claim. The exception is a daemon that never
//! reached Redis: until it does, it may own a team that another PBX has claimed.

use std::collections::BTreeMap;

use redis::RedisError;
use smol_str::SmolStr;

use super::client::{Connection, RedisAddress, with_timeout};
use super::scripts::{CLAIM_TEAMS, Keys};
use super::timing::{CLAIM_GRACE_TICKS, CLAIM_TTL, millis};
use crate::ids::PbxId;

/// Requested teams that another PBX owns. The empty name stands for all teams that no PBX has claimed by name.
pub type ForeignTeams = BTreeMap<SmolStr, PbxId>;

/// Claims `teams` (none: all) for `pbx`; returns those that another PBX owns. `ticks` is the age of the session with
/// Redis.
pub(super) async fn claim(
    redis: &mut Connection,
    keys: &Keys,
    pbx: &PbxId,
    teams: &[SmolStr],
    ticks: u32,
) -> Result<ForeignTeams, RedisError> {
    let may_take_expired = ticks > CLAIM_GRACE_TICKS;
    let mut claim = CLAIM_TEAMS.prepare_invoke();
    claim.key(keys.teams()).arg(pbx.as_str()).arg(millis(CLAIM_TTL)).arg(u8::from(may_take_expired));
    if teams.is_empty() {
        claim.arg("");
    }
    for team in teams {
        claim.arg(team.as_str());
    }
    let flat: Vec<String> = with_timeout(claim.invoke_async(redis)).await?;
    let pairs = flat.chunks_exact(2);
    Ok(pairs.filter_map(|pair| Some((SmolStr::new(&pair[0]), PbxId::parse(&pair[1]).ok()?))).collect())
}

/// The teams requested for `pbx` that other PBXes have claimed, expired claims included; for `toritsugi check`.
///
/// # Errors
/// Redis cannot be reached, or refuses the login.
pub async fn read_foreign_teams(
    address: &RedisAddress,
    prefix: &str,
    pbx: &PbxId,
    teams: &[SmolStr],
) -> Result<ForeignTeams, RedisError> {
    let mut redis = address.connect(false).await?;
    let flat: Vec<String> =
        with_timeout(redis::cmd("HGETALL").arg(Keys::new(prefix).teams()).query_async(&mut redis)).await?;
    let owner = |claim: &str| PbxId::parse(claim.split_once(' ')?.1).ok();
    let claims: ForeignTeams =
        flat.chunks_exact(2).filter_map(|pair| Some((SmolStr::new(&pair[0]), owner(&pair[1])?))).collect();
    Ok(conflicting(claims, pbx, teams))
}

/// The claims that keep `pbx` from owning `teams`, by the rules of [`CLAIM_TEAMS`].
fn conflicting(mut claims: ForeignTeams, pbx: &PbxId, teams: &[SmolStr]) -> ForeignTeams {
    let has_unclaimed = teams.iter().any(|team| !claims.contains_key(team));
    let matters =
        |team: &SmolStr| teams.is_empty() || teams.contains(team) || (team.is_empty() && has_unclaimed);
    claims.retain(|team, owner| owner != pbx && matters(team));
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::shared;

    fn pbx(name: &str) -> PbxId {
        PbxId::parse(name).unwrap()
    }

    fn foreign(pairs: &[(&str, &str)]) -> ForeignTeams {
        pairs.iter().map(|(team, name)| (SmolStr::new(team), pbx(name))).collect()
    }

    /// PBXes claim in turn; the claim and the read-only check agree on what another PBX owns.
    #[tokio::test]
    async fn each_team_has_one_owner() {
        let address = RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap();
        let mut redis = address.connect(false).await.unwrap();
        type Claim<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);
        let cases: &[&[Claim<'_>]] = &[
            &[("osaka", &[], &[]), ("tokyo", &[], &[("", "osaka")]), ("osaka", &[], &[])],
            &[
                ("osaka", &["east", "night"], &[]),
                ("tokyo", &["west", "night"], &[("night", "osaka")]),
                // A team that is no longer requested is free.
                ("osaka", &["east"], &[]),
                ("tokyo", &["west", "night"], &[]),
            ],
            &[
                ("osaka", &["east"], &[]),
                ("tokyo", &[], &[("east", "osaka")]),
                ("osaka", &["east"], &[]),
                // Tokyo has claimed all other teams before.
                ("kobe", &["west"], &[("west", "tokyo")]),
            ],
        ];
        for case in cases {
            let prefix = shared().empty_prefix();
            for (name, teams, expected) in *case {
                let teams: Vec<SmolStr> = teams.iter().map(SmolStr::new).collect();
                let refused = claim(&mut redis, &Keys::new(&prefix), &pbx(name), &teams, 1).await.unwrap();
                assert_eq!(refused, foreign(expected), "{name} {teams:?}");
                let seen = read_foreign_teams(&address, &prefix, &pbx(name), &teams).await.unwrap();
                assert_eq!(seen.is_empty(), refused.is_empty(), "{name} {teams:?}: {seen:?}");
            }
        }
    }

    /// The previous owner has a grace period, and then another PBX takes the expired claim.
    #[tokio::test]
    async fn an_expired_claim_is_taken_after_a_grace_period() {
        let address = RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap();
        let mut redis = address.connect(false).await.unwrap();
        let keys = Keys::new(&shared().empty_prefix());
        let mut expired = redis::cmd("HSET");
        expired.arg(keys.teams()).arg("east").arg("1000 osaka");
        expired.query_async::<()>(&mut redis).await.unwrap();
        let teams = [SmolStr::new("east")];
        let early = claim(&mut redis, &keys, &pbx("tokyo"), &teams, CLAIM_GRACE_TICKS).await.unwrap();
        assert_eq!(early, foreign(&[("east", "osaka")]));
        let late = claim(&mut redis, &keys, &pbx("tokyo"), &teams, CLAIM_GRACE_TICKS + 1).await.unwrap();
        assert_eq!(late, ForeignTeams::new());
        let back = claim(&mut redis, &keys, &pbx("osaka"), &teams, 1).await.unwrap();
        assert_eq!(back, foreign(&[("east", "tokyo")]));
    }
}
