//! Seats: the phone at which a request for a state would put an operator.
//!
//! This file knows which phones there are and where people are logged in. Whose phone it is, whether it has a call, and
//! whether the actor may have it are decided by [`authorise_seat`](crate::operators::authorise_seat).
//!
//! Invariant: nobody moves while a call or after-call work is open, and no two people have one seat.

use super::{OperatorRegistry, StateRequest};
use crate::contract::operator::State;
use crate::contract::refusal::Refusal;
use crate::ids::{Extension, RecordId};
use crate::operators::command::{Options, Seat};

impl OperatorRegistry {
    /// The phone that a request would make the operator's seat; `None` where the seat does not change.
    ///
    /// # Errors
    /// [`Refusal`]: the operator is unknown, or there is no such phone.
    pub fn requested_seat(
        &self,
        user: RecordId,
        request: &StateRequest,
    ) -> Result<Option<Extension>, Refusal> {
        if request.state == State::LoggedOut {
            return Ok(None);
        }
        let operator = self.people.get(&user).ok_or(Refusal::UnknownOperator)?;
        if operator.snapshot().version != request.version {
            return Err(Refusal::Stale(Box::new(operator.view())));
        }
        self.seat_for(user, request.extension.clone())
    }

    /// What a person chooses from: the settings' words, and the phones with who sits at them.
    #[must_use]
    pub fn options(&self) -> Options {
        let seat = |(extension, phone, user): (&Extension, _, Option<RecordId>)| Seat {
            extension: extension.clone(),
            phone,
            taken: user.is_some(),
        };
        let mut seats: Vec<Seat> = self.seats().map(seat).collect();
        seats.sort_unstable_by(|a, b| a.extension.cmp(&b.extension));
        let settings = &self.settings;
        Options {
            not_ready_reasons: settings.not_ready_reasons.clone(),
            dispositions: settings.dispositions.clone(),
            wrap_up_s: settings.wrap_up_s,
            wrap_up_extend_s_max: settings.wrap_up_extend_s_max,
            disposition_required: settings.disposition_required,
            seats,
        }
    }

    /// The new seat; `None` where the seat does not change.
    pub(super) fn seat_for(
        &self,
        user: RecordId,
        wanted: Option<Extension>,
    ) -> Result<Option<Extension>, Refusal> {
        let operator = self.people.get(&user).ok_or(Refusal::UnknownOperator)?;
        let present = operator.seat();
        if present.is_some() && (wanted.is_none() || wanted.as_ref() == present) {
            return Ok(None);
        }
        let seat = wanted.or_else(|| operator.home.clone()).or_else(|| operator.snapshot().last_seat.clone());
        let seat = seat.ok_or_else(|| Refusal::Invalid("extension: name the phone to log in at".into()))?;
        if !self.settings.phones.iter().any(|pattern| pattern.matches(seat.as_str())) {
            return Err(Refusal::Invalid("extension: this is no phone of an operator or supervisor".into()));
        }
        if self.user_at(&seat).is_some_and(|other| other != user) {
            return Err(Refusal::StateConflict("another operator is logged in at this extension"));
        }
        if operator.state().is_busy() {
            return Err(Refusal::StateConflict(
                "this operator cannot move to another phone before the present call and after-call work are over",
            ));
        }
        Ok(Some(seat))
    }
}
