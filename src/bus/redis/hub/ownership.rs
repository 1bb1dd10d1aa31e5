//! Which teams the daemons of other PBXes own (`team_ownership.rs`), as of Redis' last answer.
//!
//! | Redis | foreign teams |
//! |---|---|
//! | answered a claim | its answer |
//! | stopped answering after that | stay as they were, until a claim is answered again |
//! | was never reached by this daemon | none: this daemon owns every team it requests |

use super::super::team_ownership::ForeignTeams;
use super::Hub;

impl Hub {
    /// Replaces the foreign teams by Redis' answer; logs and notifies what changed.
    pub(in crate::bus::redis) fn set_foreign_teams(&self, now: ForeignTeams) {
        let mut foreign = self.foreign_teams.lock();
        if *foreign == now {
            return;
        }
        let name = |team: &str| if team.is_empty() { "all teams".to_owned() } else { format!("team {team}") };
        for (team, pbx) in now.iter().filter(|(team, pbx)| foreign.get(*team) != Some(pbx)) {
            tracing::error!(
                team = name(team), %pbx,
                "another PBX's daemon owns this team's operators, so this daemon does not keep their states: name each \
                 team in operators.teams of one PBX only"
            );
        }
        for team in foreign.keys().filter(|team| !now.contains_key(*team)) {
            tracing::warn!(team = name(team), "this daemon now owns this team's operators");
        }
        *foreign = now;
        self.ownership_changed.notify_one();
    }

    pub(in crate::bus) fn foreign_teams(&self) -> ForeignTeams {
        self.foreign_teams.lock().clone()
    }

    /// Returns when the foreign teams changed, or when another PBX's daemon published the state of our operator.
    pub(in crate::bus) async fn ownership_changed(&self) {
        self.ownership_changed.notified().await;
    }
}
