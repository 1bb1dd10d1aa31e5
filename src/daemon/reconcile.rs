//! The reconciler: compares the call model with the channels of the PBX.
//!
//! | condition | action |
//! |---|---|
//! | `pbx.audit_seconds` have passed since the last comparison or complete list, and the link is up | a spawned task lists all channels; the loop compares them with the model |
//! | channels differ | all channels are listed again after [`CONFIRM_DELAY`], when events in flight have arrived |
//! | a channel differs in both lists | it has drifted: it is counted and logged, and a resync repairs the model |
//! | the list fails | the next comparison is one full interval away |
//!
//! Invariant: a comparison changes nothing. Only the resync does, and it works as after a gap.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::core::{Core, TaskResult};
use crate::ami::action::Action;
use crate::ami::client::ListError;
use crate::ami::event::{Event, PbxEvent};
use crate::ids::ChannelId;

/// How long a difference must last to count as drift.
const CONFIRM_DELAY: Duration = Duration::from_secs(1);

/// The time of the next comparison, and the result of the last one.
#[derive(Debug, Default)]
pub(super) struct ModelReconciler {
    interval: Option<Duration>,
    due: Option<Timestamp>,
    /// Channels that differed in the last list, until the confirming list arrives.
    suspects: Option<BTreeSet<ChannelId>>,
}

impl ModelReconciler {
    /// A reconciler that compares every `interval`; with `None` it never does.
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self { interval, ..Self::default() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.due
    }

    /// Schedules the next comparison one full interval after `now`.
    pub(super) fn reschedule(&mut self, now: Timestamp) {
        self.suspects = None;
        self.due = self.interval.and_then(|interval| now.checked_add(interval).ok());
    }

    /// The link is down: no comparison is due.
    pub(super) fn stop(&mut self) {
        (self.suspects, self.due) = (None, None);
    }
}

impl Core {
    pub(super) fn reconcile_timeout(&mut self) {
        let now = self.clock.now();
        if self.reconciler.due.is_none_or(|due| due > now) {
            return;
        }
        self.reconciler.due = None;
        let (pbx, results) = (self.deps.pbx.clone(), self.results.clone());
        self.deps.tasks.spawn(async move {
            let listed = pbx.list(Action::core_show_channels()).await;
            // The receiver is gone only when the daemon ends.
            let _ = results.send(TaskResult::ChannelList(listed)).await;
        });
    }

    /// Compares the list of all channels with the model.
    pub(super) fn on_channel_list(&mut self, listed: Result<Vec<PbxEvent>, ListError>) {
        let now = self.clock.now();
        let Ok(events) = listed else { return self.reconciler.reschedule(now) };
        self.deps.stats.reconciliations.inc();
        let channels: Vec<_> = events
            .into_iter()
            .filter_map(|event| match event {
                PbxEvent::Call(Event::ChannelListed { channel, bridge, .. }) => Some((channel, bridge)),
                _ => None,
            })
            .collect();
        self.deps.faxes.channels_listed(now, channels.iter().map(|(channel, _)| &channel.id));
        let differ = self.model.drift(&channels);
        match self.reconciler.suspects.take() {
            _ if differ.is_empty() => self.reconciler.reschedule(now),
            None => {
                self.reconciler.suspects = Some(differ);
                self.reconciler.due = now.checked_add(CONFIRM_DELAY).ok();
            }
            Some(suspects) => {
                let drift = suspects.intersection(&differ).count();
                if drift > 0 {
                    self.deps.stats.drifts.inc_by(drift as u64);
                    tracing::warn!(
                        channels = drift,
                        "the call model had drifted from the PBX; listing the PBX again"
                    );
                    self.resync();
                }
                self.reconciler.reschedule(now);
            }
        }
    }
}
