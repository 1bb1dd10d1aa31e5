//! Who is kept here: the people of the teams that the configuration names, but for those whom the daemon of another PBX
//! keeps.
//!
//! Invariant: whoever is handed over is told of by nobody here any more, not even that she has gone.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{Floor, Output};
use crate::ids::{PbxId, RecordId};
use crate::operator::people::{Person, Roster};

impl Floor {
    /// Whether this person's state is kept here, and not by the daemon of another PBX.
    #[must_use]
    pub fn keeps(&self, roster: &Roster, person: &Person) -> bool {
        self.keeps_beside(&self.elsewhere, roster, person)
    }

    /// The same, where the daemons of other PBXes keep these teams.
    #[must_use]
    pub fn keeps_beside(
        &self,
        elsewhere: &BTreeMap<SmolStr, PbxId>,
        roster: &Roster,
        person: &Person,
    ) -> bool {
        let team = person.team.and_then(|id| roster.team(id)).map(|team| team.name.as_str());
        let (named, all) = (&self.settings.teams, self.settings.teams.is_empty());
        let wanted = all || team.is_some_and(|team| named.iter().any(|name| name == team));
        wanted
            && !team.is_some_and(|team| elsewhere.contains_key(team))
            && !(all && elsewhere.contains_key(""))
    }

    /// The daemons of other PBXes keep these teams; see [`Self::people`].
    pub fn leave_to_others(&mut self, elsewhere: BTreeMap<SmolStr, PbxId>) {
        self.elsewhere = elsewhere;
    }

    /// What other PBXes' daemons keep.
    #[must_use]
    pub fn elsewhere(&self) -> &BTreeMap<SmolStr, PbxId> {
        &self.elsewhere
    }

    /// Another PBX's daemon keeps her: nothing more is told of her here, and the queues here let her go.
    fn hand_over(&mut self, user: RecordId) {
        self.people.remove(&user);
        let seat = self.seats.iter().find(|(_, sits)| **sits == user).map(|(seat, _)| seat.clone());
        if let Some(seat) = seat {
            self.seats.remove(&seat);
            self.outputs.push_back(Output::Seated { user, seat: None });
            self.tell_member(&seat);
        }
    }

    pub(super) fn hand_over_those_kept_elsewhere(&mut self, roster: &Roster) {
        let nowhere_else = BTreeMap::new();
        let is_kept_elsewhere = |user: &&RecordId| {
            roster.person(**user).is_some_and(|person| {
                self.keeps_beside(&nowhere_else, roster, person) && !self.keeps(roster, person)
            })
        };
        let handed_over: Vec<_> = self.people.keys().filter(is_kept_elsewhere).copied().collect();
        for user in handed_over {
            self.hand_over(user);
        }
    }
}
