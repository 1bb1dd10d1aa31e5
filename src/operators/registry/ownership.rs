//! Ownership: which operators this daemon owns, and which belong to the daemon of another PBX.
//!
//! | `[operators] teams` | this daemon owns |
//! |---|---|
//! | names teams | the operators of these teams, except teams that another daemon owns |
//! | empty | all operators, except teams that another daemon owns; none while another daemon owns all |
//!
//! Invariant: after a release this daemon publishes nothing about the operator, not even a removal. It only gives up the
//! seat and takes the operator out of its queues.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{OperatorRegistry, Output};
use crate::ids::{PbxId, RecordId};
use crate::people::roster::{Person, Roster};

impl OperatorRegistry {
    /// Whether this daemon owns the state of this person.
    #[must_use]
    pub fn owns(&self, roster: &Roster, person: &Person) -> bool {
        self.owns_given(&self.owned_elsewhere, roster, person)
    }

    /// The same as [`Self::owns`], if daemons of other PBXes own the teams in `elsewhere`.
    #[must_use]
    pub fn owns_given(&self, elsewhere: &BTreeMap<SmolStr, PbxId>, roster: &Roster, person: &Person) -> bool {
        let team = person.team.and_then(|id| roster.team(id)).map(|team| team.name.as_str());
        let (named, all) = (&self.settings.teams, self.settings.teams.is_empty());
        let configured = all || team.is_some_and(|team| named.iter().any(|name| name == team));
        configured
            && !team.is_some_and(|team| elsewhere.contains_key(team))
            && !(all && elsewhere.contains_key(""))
    }

    /// Sets the teams that daemons of other PBXes own; [`Self::update_roster`] applies the change.
    pub fn set_owned_elsewhere(&mut self, elsewhere: BTreeMap<SmolStr, PbxId>) {
        self.owned_elsewhere = elsewhere;
    }

    /// The teams that daemons of other PBXes own, with the PBX.
    #[must_use]
    pub fn owned_elsewhere(&self) -> &BTreeMap<SmolStr, PbxId> {
        &self.owned_elsewhere
    }

    /// Releases an operator whom another daemon owns: frees the seat and ends the queue membership here.
    fn release(&mut self, user: RecordId) {
        self.people.remove(&user);
        let seat = self.seats.iter().find(|(_, holder)| **holder == user).map(|(seat, _)| seat.clone());
        if let Some(seat) = seat {
            self.seats.remove(&seat);
            self.outputs.push_back(Output::Seated { user, seat: None });
            self.update_member(&seat);
        }
    }

    pub(super) fn release_owned_elsewhere(&mut self, roster: &Roster) {
        let nowhere_else = BTreeMap::new();
        let is_owned_elsewhere = |user: &&RecordId| {
            roster.person(**user).is_some_and(|person| {
                self.owns_given(&nowhere_else, roster, person) && !self.owns(roster, person)
            })
        };
        let released: Vec<_> = self.people.keys().filter(is_owned_elsewhere).copied().collect();
        for user in released {
            self.release(user);
        }
    }
}
