//! Whose people each PBX's daemon keeps: a person's state has one keeper, whatever the configurations say.
//!
//! `[operators] teams` names at each PBX the teams that work there; where it is empty the daemon wants everybody. The
//! daemon that leads claims them in Redis before it leads:
//!
//! | wanted | claimed by another PBX | what follows |
//! |---|---|---|
//! | a team | that team, or everybody before this one came | the other keeps its people, and so it is said |
//! | everybody | everybody | the other keeps them all |
//! | everybody | some teams | this one keeps all others |
//! | anything | [`CLAIM_MS`] ago and not since | after [`TAKE_TICKS`] of hearing nobody claim it: it is ours |
//!
//! A claim stays when its daemon ends, so that nobody changes keeper over a restart; a team that is no longer in the
//! configuration is given back. Why it runs out at all: a PBX that was renamed or taken away must not hold people for
//! ever. Why not at once when its time is over: after Redis was away for long, who held it comes back as well.
//!
//! Invariant: while both hear Redis no two PBXes' daemons keep one person. Without Redis each keeps those it wants.

use std::collections::BTreeMap;

use redis::RedisError;
use smol_str::SmolStr;

use super::client::{Connection, RedisAddress, in_time};
use super::keeper::LEASE_TICK;
use super::scripts::{CLAIM, Keys};
use crate::ids::PbxId;

/// How long a claim lasts unless it is renewed, in milliseconds.
pub const CLAIM_MS: u64 = 10 * 60_000;
/// How often it is renewed.
pub(super) const CLAIM_TICKS: u32 = 5;
/// So long a claim that has run out may still be renewed by whoever held it.
const TAKE_TICKS: u32 = 150;
const _: () = assert!(LEASE_TICK.as_millis() * TAKE_TICKS as u128 >= 60_000, "long enough to come back");

/// Teams that are wanted here and whose people another PBX's daemon keeps. The empty name: everybody whose team is not
/// claimed by name.
pub type Elsewhere = BTreeMap<SmolStr, PbxId>;

/// Claims the people of `teams` (none: everybody) for `pbx`; gives what is kept elsewhere.
pub(super) async fn claim(
    redis: &mut Connection,
    keys: &Keys,
    pbx: &PbxId,
    teams: &[SmolStr],
    ticks: u32,
) -> Result<Elsewhere, RedisError> {
    let mut claim = CLAIM.prepare_invoke();
    claim.key(keys.teams()).arg(pbx.as_str()).arg(CLAIM_MS).arg(u8::from(ticks > TAKE_TICKS));
    if teams.is_empty() {
        claim.arg("");
    }
    for team in teams {
        claim.arg(team.as_str());
    }
    let flat: Vec<String> = in_time(claim.invoke_async(redis)).await?;
    let pairs = flat.chunks_exact(2);
    Ok(pairs.filter_map(|pair| Some((SmolStr::new(&pair[0]), PbxId::parse(&pair[1]).ok()?))).collect())
}

/// What other PBXes' daemons have claimed of what `pbx` wants, for `toritsugi check`.
///
/// # Errors
/// Redis cannot be reached, or does not let us in.
pub async fn claimed_elsewhere(
    address: &RedisAddress,
    prefix: &str,
    pbx: &PbxId,
    teams: &[SmolStr],
) -> Result<Elsewhere, RedisError> {
    let mut redis = address.connect(false).await?;
    let flat: Vec<String> =
        in_time(redis::cmd("HGETALL").arg(Keys::new(prefix).teams()).query_async(&mut redis)).await?;
    let holder = |claim: &str| PbxId::parse(claim.split_once(' ')?.1).ok();
    let held: Elsewhere =
        flat.chunks_exact(2).filter_map(|pair| Some((SmolStr::new(&pair[0]), holder(&pair[1])?))).collect();
    Ok(refused(held, pbx, teams))
}

/// What of these claims keeps `pbx` from keeping the people of `teams`, as [`CLAIM`] decides.
fn refused(mut held: Elsewhere, pbx: &PbxId, teams: &[SmolStr]) -> Elsewhere {
    let free = teams.iter().any(|team| !held.contains_key(team));
    let matters = |team: &SmolStr| teams.is_empty() || teams.contains(team) || (team.is_empty() && free);
    held.retain(|team, holder| holder != pbx && matters(team));
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::shared;

    fn pbx(name: &str) -> PbxId {
        PbxId::parse(name).unwrap()
    }

    fn elsewhere(pairs: &[(&str, &str)]) -> Elsewhere {
        pairs.iter().map(|(team, name)| (SmolStr::new(team), pbx(name))).collect()
    }

    /// Each claims in turn; what is kept elsewhere is as the one expects who claims, and who only looks.
    #[tokio::test]
    async fn each_team_has_one_keeper_whoever_comes_first() {
        let address = RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap();
        let mut redis = address.connect(false).await.unwrap();
        type Step<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);
        let stories: &[&[Step<'_>]] = &[
            &[("osaka", &[], &[]), ("tokyo", &[], &[("", "osaka")]), ("osaka", &[], &[])],
            &[
                ("osaka", &["east", "night"], &[]),
                ("tokyo", &["west", "night"], &[("night", "osaka")]),
                // What is no longer wanted is free.
                ("osaka", &["east"], &[]),
                ("tokyo", &["west", "night"], &[]),
            ],
            &[
                ("osaka", &["east"], &[]),
                ("tokyo", &[], &[("east", "osaka")]),
                ("osaka", &["east"], &[]),
                // Tokyo keeps everybody else, and said so first.
                ("kobe", &["west"], &[("west", "tokyo")]),
            ],
        ];
        for story in stories {
            let prefix = shared().empty_prefix();
            for (who, teams, expected) in *story {
                let teams: Vec<SmolStr> = teams.iter().map(SmolStr::new).collect();
                let kept = claim(&mut redis, &Keys::new(&prefix), &pbx(who), &teams, 1).await.unwrap();
                assert_eq!(kept, elsewhere(expected), "{who} {teams:?}");
                let seen = claimed_elsewhere(&address, &prefix, &pbx(who), &teams).await.unwrap();
                assert_eq!(seen.is_empty(), kept.is_empty(), "{who} {teams:?}: {seen:?}");
            }
        }
    }

    /// Its time is over, and yet whoever held a team may take it up again for a while.
    #[tokio::test]
    async fn a_claim_that_has_run_out_is_taken_late() {
        let address = RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap();
        let mut redis = address.connect(false).await.unwrap();
        let keys = Keys::new(&shared().empty_prefix());
        let mut claim_once = redis::cmd("HSET");
        claim_once.arg(keys.teams()).arg("east").arg("1000 osaka");
        claim_once.query_async::<()>(&mut redis).await.unwrap();
        let teams = [SmolStr::new("east")];
        let early = claim(&mut redis, &keys, &pbx("tokyo"), &teams, TAKE_TICKS).await.unwrap();
        assert_eq!(early, elsewhere(&[("east", "osaka")]));
        let late = claim(&mut redis, &keys, &pbx("tokyo"), &teams, TAKE_TICKS + 1).await.unwrap();
        assert_eq!(late, Elsewhere::new());
        let back = claim(&mut redis, &keys, &pbx("osaka"), &teams, 1).await.unwrap();
        assert_eq!(back, elsewhere(&[("east", "tokyo")]));
    }
}
