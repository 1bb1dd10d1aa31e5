//! The PBX link in the loop: passes what the AMI client and the store report to [`PbxLink`](crate::pbx_link::PbxLink), and
//! carries out its outputs.
//!
//! | output of the machine | action |
//! |---|---|
//! | publish | the event goes to the bus, with the gap and the link state as journal entries, the gap first |
//! | store | the link state goes to the journal |
//! | link up, link down, PBX restarted | an input of the call model; of the supervision machine |
//!
//! Invariant: the outputs are carried out in order before the next input, so the rules of order in
//! [`crate::pbx_link`] hold for what is published.

use jiff::Timestamp;

use super::core::{Core, TaskResult};
use crate::backoff::Backoff;
use crate::call::Input;
use crate::contract::pbx::PbxLinkState;
use crate::ids::PbxId;
use crate::journal::entry::JournalEntry;
use crate::pbx_link::{Moment, Output};
use crate::store::{Store, StoreError};
use crate::supervision;

impl Core {
    fn moment(&mut self) -> Moment {
        let now: Timestamp = self.clock.now();
        let bus = &self.deps.bus;
        Moment {
            now,
            cluster_now: bus.cluster_clock(now),
            writes_heartbeats: bus.is_shared() && bus.is_leader(),
        }
    }

    /// Publishes `pbx.down` before any other event of this run, if an earlier run left a link state.
    pub(super) fn publish_initial_down(&mut self) {
        let at = self.moment();
        self.link.on_daemon_start(at);
        self.drain_link();
    }

    pub(super) fn on_link_up(&mut self, epoch: u64, version: &str) {
        tracing::info!(epoch, version, "the PBX link is up");
        self.link.on_login(epoch, version);
    }

    /// Every channel is listed: the calls are those of the PBX.
    pub(super) fn on_calls_listed(&mut self) {
        let at = self.moment();
        self.link.on_calls_listed(at);
        self.drain_link();
        self.deps.following.set(true);
    }

    pub(super) fn on_pbx_started(&mut self, started: Option<String>) {
        let at = self.moment();
        self.link.on_pbx_started(at, started);
        self.drain_link();
    }

    pub(super) fn on_link_down(&mut self, reason: &str) {
        tracing::warn!(reason, "the PBX link is down");
        self.deps.following.set(false);
        self.reconciler.stop();
        self.members_link_lost();
        let at = self.moment();
        self.link.on_connection_lost(at, reason);
        self.drain_link();
    }

    pub(super) fn link_timeout(&mut self) {
        let at = self.moment();
        self.link.handle_timeout(at);
        self.drain_link();
    }

    /// This daemon has acquired the lead: a spawned task reads the predecessor's link state, and retries while the store
    /// is busy or cannot be reached.
    pub(super) fn request_predecessor_link(&mut self) {
        let term = self.link.on_lead_acquired();
        let (store, results) = (self.deps.store.clone(), self.results.clone());
        let pbx = self.deps.plan.pbx.clone();
        self.deps.tasks.spawn(async move {
            let mut backoff = Backoff::of_store();
            while !results.is_closed() {
                match read_link_state(&store, &pbx).await {
                    // The receiver is gone only when the daemon ends.
                    Ok(prior) => return drop(results.send(TaskResult::PriorLink(term, prior)).await),
                    Err(error) => tracing::warn!(
                        %pbx, error = &error as &dyn std::error::Error,
                        "cannot read the previous leader's link state; a gap is published once it can be read"
                    ),
                }
                tokio::select! {
                    () = results.closed() => {}
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                }
            }
        });
    }

    /// The predecessor's link state was read; ignored by a daemon that has lost the lead since.
    pub(super) fn compare_with_predecessor(&mut self, term: u64, prior: Option<PbxLinkState>) {
        if !self.deps.bus.is_leader() {
            return;
        }
        let at = self.moment();
        let alive = prior.as_ref().filter(|prior| prior.up).map(|prior| prior.alive);
        if !self.link.on_predecessor_read(at, term, prior) {
            return;
        }
        if let Some(alive) = alive.filter(|alive| *alive > at.cluster_now) {
            tracing::warn!(
                %alive, now = %at.cluster_now,
                "ignoring the previous leader's heartbeat: its timestamp is in the future"
            );
        }
        self.drain_link();
    }

    fn drain_link(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Publish { event, gap, state } => {
                    if let Some(gap) = &gap {
                        let (from, to, cause) = (gap.from, gap.to, &gap.cause);
                        tracing::warn!(%from, %to, cause, "no daemon followed the PBX for a time");
                    }
                    let entries =
                        gap.map(JournalEntry::Gap).into_iter().chain(state.map(JournalEntry::PbxLink));
                    self.deps.bus.publish_all(vec![*event], entries.collect());
                }
                Output::Store(state) => {
                    self.deps.bus.publish_all(Vec::new(), vec![JournalEntry::PbxLink(state)]);
                }
                Output::LinkUp { restarted } => self.apply_input(Input::LinkUp { restarted }),
                Output::PbxRestarted => {
                    tracing::warn!("the PBX was restarted");
                    self.supervise(supervision::Input::Restarted);
                }
                Output::LinkDown => self.apply_input(Input::LinkDown),
            }
        }
    }
}

async fn read_link_state(store: &Store, pbx: &PbxId) -> Result<Option<PbxLinkState>, StoreError> {
    match store.pbx_link(pbx).await {
        Err(error) if !error.is_transient() => {
            tracing::error!(
                %pbx, error = &error as &dyn std::error::Error,
                "the stored link state cannot be read; a gap before now is not published"
            );
            Ok(None)
        }
        read => read,
    }
}
