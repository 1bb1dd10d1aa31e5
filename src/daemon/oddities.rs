//! What the daemon reads from the PBX and cannot use: each kind is logged where somebody finds it, and not so often that
//! it hides everything else.
//!
//! | what | logged |
//! |---|---|
//! | an event that lacks a field | WARN for the first of each event and field, DEBUG after that |
//! | an endpoint that no rule knows | WARN once for each endpoint (the call model puts it out once) |
//! | a phone that rings for a call that was not reported | WARN at most once in [`UNREPORTED_RING_INTERVAL`], with the number since the last; the PBX is listed again then |
//!
//! Invariant: all of them are counted (`stats.rs`), logged or not.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::ami::event::EventError;
use crate::ids::Extension;

/// Least time between two reports of rings that no call explains.
pub(super) const UNREPORTED_RING_INTERVAL: Duration = Duration::from_secs(30);

/// What was logged so far.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    /// Events and their missing fields; both are names in the code, so the set is small.
    incomplete: BTreeSet<(&'static str, &'static str)>,
    /// Rings since the last report of one.
    rings: u64,
    /// When the next ring is reported.
    next_ring_at: Option<Timestamp>,
}

impl Oddities {
    /// Logs an event that lacks a field.
    pub(super) fn log_incomplete(&mut self, error: &EventError) {
        if self.incomplete.insert((error.event, error.field)) {
            tracing::warn!(
                %error,
                "ignoring an incomplete AMI event; further ones are only counted \
                 (toritsugi_pbx_events_incomplete_total). Calls may be missing: is this Asterisk 16 or newer?"
            );
        } else {
            tracing::debug!(%error, "ignoring an incomplete AMI event");
        }
    }

    /// Logs a phone that rings for a call that was not reported, if it is time; true: list the PBX again.
    pub(super) fn log_unreported_ring(
        &mut self,
        now: Timestamp,
        operator: &Extension,
        endpoint: Option<&str>,
    ) -> bool {
        self.rings += 1;
        if self.next_ring_at.is_some_and(|at| now < at) {
            return false;
        }
        self.next_ring_at = now.checked_add(UNREPORTED_RING_INTERVAL).ok();
        let rings = std::mem::take(&mut self.rings);
        tracing::warn!(
            %operator,
            endpoint = endpoint.unwrap_or("-"),
            rings,
            "a phone rings for a call that was not reported; listing the PBX again. If the call came from outside, \
             name its trunk in pbx.trunks or its context in pbx.trunk_contexts"
        );
        true
    }
}

/// Logs an endpoint that no rule knows.
pub(super) fn log_unknown_endpoint(endpoint: &str, context: Option<&str>) {
    tracing::warn!(
        endpoint,
        context = context.unwrap_or("-"),
        "this endpoint is neither a trunk nor a phone that the configuration names, so its calls count as internal: \
         name a trunk in pbx.trunks (or its context in pbx.trunk_contexts), an operator's phone in pbx.phone_endpoints \
         or [pbx.endpoint_extensions], any other phone in pbx.internal_endpoints"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_reported_now_and_then() {
        let (mut oddities, operator) = (Oddities::default(), Extension::parse("1001").unwrap());
        let mut at = |seconds: i64| {
            let now = Timestamp::from_second(seconds).unwrap();
            (oddities.log_unreported_ring(now, &operator, None), oddities.rings)
        };
        assert_eq!([at(100), at(101), at(129), at(130)], [(true, 0), (false, 1), (false, 2), (true, 0)]);
    }
}
