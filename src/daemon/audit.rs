//! The audit: does the model still agree with the PBX?
//!
//! | step | what happens |
//! |---|---|
//! | every `pbx.audit_seconds` while the link is up | all channels are listed beside the loop and compared |
//! | they differ | [`CONFIRM`] later they are listed again: what was on its way has arrived by then |
//! | the same channels differ still | that is drift: counted, logged, and repaired by a resync |
//!
//! Invariant: an audit changes nothing; only the resync does, which is the same as after a gap.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::core::{Brought, Core};
use crate::ami::action::Action;
use crate::ami::client::ListError;
use crate::ami::event::Event;
use crate::ami::frame::Frame;
use crate::ids::ChannelId;

/// How long a difference must last to be one.
const CONFIRM: Duration = Duration::from_secs(1);

/// When to look, and what was found.
#[derive(Debug, Default)]
pub(super) struct Audit {
    every: Option<Duration>,
    due: Option<Timestamp>,
    /// What differed a moment ago.
    suspects: Option<BTreeSet<ChannelId>>,
}

impl Audit {
    /// An audit so often; `None`: none.
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, ..Self::default() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.due
    }

    /// The next one comes after a full pause.
    pub(super) fn rest(&mut self, now: Timestamp) {
        self.suspects = None;
        self.due = self.every.and_then(|every| now.checked_add(every).ok());
    }

    /// Nothing to compare with.
    pub(super) fn stop(&mut self) {
        (self.suspects, self.due) = (None, None);
    }
}

impl Core {
    pub(super) fn audit_timeout(&mut self) {
        let now = self.clock.now();
        if self.audit.due.is_none_or(|due| due > now) {
            return;
        }
        self.audit.due = None;
        let (pbx, beside) = (self.parts.pbx.clone(), self.beside.clone());
        self.parts.tasks.spawn(async move {
            let listed = pbx.list(Action::core_show_channels()).await;
            // The core is gone only when the daemon ends.
            let _ = beside.send(Brought::Audit(listed)).await;
        });
    }

    /// The list of an audit is here.
    pub(super) fn audited(&mut self, listed: Result<Vec<Frame>, ListError>) {
        let now = self.clock.now();
        let Ok(frames) = listed else { return self.audit.rest(now) };
        self.parts.figures.audits.inc();
        let channels: Vec<_> = frames
            .iter()
            .filter_map(|frame| match Event::decode(frame) {
                Ok(Some(Event::ChannelListed { channel, bridge, .. })) => Some((channel, bridge)),
                _ => None,
            })
            .collect();
        let differ = self.model.drift(&channels);
        match self.audit.suspects.take() {
            _ if differ.is_empty() => self.audit.rest(now),
            None => {
                self.audit.suspects = Some(differ);
                self.audit.due = now.checked_add(CONFIRM).ok();
            }
            Some(suspects) => {
                let drift = suspects.intersection(&differ).count();
                if drift > 0 {
                    self.parts.figures.drifts.inc_by(drift as u64);
                    tracing::warn!(channels = drift, "the model had drifted from the PBX; listing again");
                    self.resync();
                }
                self.audit.rest(now);
            }
        }
    }
}
