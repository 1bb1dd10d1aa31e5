//! Transfers in the loop: passes commands to the transfer machine, its actions to the PBX, and its notices to the bus.
//!
//! For each notice, in this order: supervision is paused or resumed, the operator registry and the call's timeline are
//! updated, and the event is published with the call's checkpoint.
//!
//! Invariants, as in `actions.rs`: the loop does not wait for the PBX; each command is answered exactly once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::actions::{ActionOrigin, answer};
use super::caller_id::read_channel_variable;
use super::core::{Core, TaskResult};
use crate::ami::action::ChannelVariable;
use crate::ami::client::Handle;
use crate::command::Answer;
use crate::contract::event::NewEvent;
use crate::contract::refusal::Refusal;
use crate::contract::transfer::{Mode, TargetView, TransferId};
use crate::directory::Directory;
use crate::ids::ChannelId;
use crate::people::actor::Actor;
use crate::publish::from_transfer_notice;
use crate::supervision;
use crate::transfer::{Command, Notice, NoticeKind, Output, Reply, Step, TransferContext};

type Sender = oneshot::Sender<Result<Answer, Refusal>>;

/// Requests that wait for the answer to a step.
pub(super) type PendingTransferReplies = HashMap<(TransferId, Step), Sender>;

impl Core {
    pub(super) fn on_transfer_command(&mut self, actor: &Actor, command: Command, reply: Sender) {
        let now = self.clock.now();
        let command = match command {
            Command::Begin { call, mode, mut plan } => {
                if let Err(refusal) = self.check_queues_of(&mut plan) {
                    return answer(reply, Err(refusal));
                }
                Command::Begin { call, mode, plan }
            }
            other => other,
        };
        match self.transfers.command(now, &self.model, actor, command) {
            Ok(Reply::Transfers(views)) => answer(reply, Ok(Answer::Transfers(views))),
            Ok(Reply::Pending(id, step)) => {
                if let Some(earlier) = self.pending_transfers.insert((id, step), reply) {
                    answer(earlier, Err(Refusal::Conflict("the same step was requested again meanwhile")));
                }
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
        self.drain_transfers();
    }

    /// The PBX has answered the actions of a step.
    pub(super) fn on_transfer_action_result(
        &mut self,
        id: TransferId,
        step: Step,
        accepted: Result<(), Refusal>,
    ) {
        let now = self.clock.now();
        let outcome = self.transfers.on_actions_answered(now, id, step, accepted);
        if let Some(reply) = self.pending_transfers.remove(&(id, step)) {
            answer(reply, outcome.map(|view| Answer::Transfers(vec![view])));
        }
        self.drain_transfers();
    }

    pub(super) fn drain_transfers(&mut self) {
        while let Some(output) = self.transfers.poll_output() {
            match output {
                Output::Actions { transfer, step, actions } => {
                    self.send_actions(ActionOrigin::Transfer(transfer, step), actions);
                }
                Output::ReadContext { channel } => self.recover_transfer(channel),
                Output::Notice(notice) => {
                    self.pause_supervision(&notice);
                    let (now, view) = (self.clock.now(), &notice.view);
                    self.operators.on_transfer_changed(now, view.call, &view.operator, view.is_under_way());
                    self.timelines.record_transfer(&notice);
                    if let Some(event) = from_transfer_notice(&notice) {
                        let entries = self.checkpoint_entry(notice.view.call).into_iter().collect();
                        self.deps.bus.publish_all(vec![event], entries);
                    }
                }
            }
        }
    }

    /// A transfer that this daemon did not start: a spawned task reads its context from the channel. When all look-up
    /// permits are taken, the transfer is not recovered.
    fn recover_transfer(&mut self, channel: ChannelId) {
        let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() else { return };
        let (pbx, results) = (self.deps.pbx.clone(), self.results.clone());
        let directory = self.deps.directory.clone();
        self.transfers_recovering += 1;
        self.deps.tasks.spawn(async move {
            let found = read_transfer_context(&pbx, &directory, &channel).await;
            let found = found.map(|(context, tried)| (Box::new(context), tried));
            // The receiver is gone only when the daemon ends.
            let _ = results.send(TaskResult::Transfer(channel, found)).await;
            drop(permit);
        });
    }

    /// A spawned task has read a channel's variables. Once all have been read, operators no longer wait for callers whose
    /// transfer was not among them.
    pub(super) fn on_transfer_context(
        &mut self,
        channel: &ChannelId,
        found: Option<(Box<TransferContext>, usize)>,
    ) {
        self.transfers_recovering = self.transfers_recovering.saturating_sub(1);
        if let Some((context, tried)) = found {
            tracing::info!(%channel, "following a transfer that was under way");
            let now = self.clock.now();
            self.transfers.adopt(now, &self.model, channel, *context, tried);
        }
        self.drain_transfers();
        self.operators_check_returns();
    }

    /// Pauses or resumes supervision of the call: Asterisk does not bridge a channel that is being spied on.
    fn pause_supervision(&mut self, notice: &Notice) {
        let call = notice.view.call;
        match notice.kind {
            NoticeKind::Requested => {
                let leaves = notice.view.mode == Mode::Blind;
                self.supervise(supervision::Input::Pause { call, leaves });
            }
            NoticeKind::Consulting | NoticeKind::Completed | NoticeKind::Over => {
                self.supervise(supervision::Input::Resume(call));
            }
            _ => {}
        }
    }

    /// Adds the call's latest transfer to its pop event: from which operator, and why the caller is back.
    pub(super) fn add_transfer(&self, event: &mut NewEvent) {
        let transfer = event.call.and_then(|call| self.transfers.latest_of(call));
        if let (Some(transfer), Some(data)) = (transfer, event.data.as_object_mut()) {
            data.insert("transfer".into(), serde_json::to_value(transfer).unwrap_or_default());
        }
    }
}

/// The transfer context on the channel, with the targets' names, and the number of targets tried.
async fn read_transfer_context(
    pbx: &Handle,
    directory: &Directory,
    channel: &ChannelId,
) -> Option<(TransferContext, usize)> {
    let mut context = TransferContext::parse(
        &read_channel_variable(pbx, channel, ChannelVariable::TransferContext).await?,
    )?;
    let count = |list: Option<String>| {
        list.unwrap_or_default().split('-').filter(|target| !target.is_empty()).count()
    };
    let targets = count(read_channel_variable(pbx, channel, ChannelVariable::TransferTargets).await);
    let remaining = count(read_channel_variable(pbx, channel, ChannelVariable::TransferRemaining).await);
    for (view, dial) in context.targets_mut() {
        match view {
            TargetView::Contact { id, name } => {
                // If the contact was deleted or the store fails, the transfer goes on without the name.
                let contact = directory.store().contact(*id).await.ok().flatten();
                *name = contact.map(|contact| contact.fields.name).unwrap_or_default();
            }
            TargetView::Number { number } => {
                let parsed = dial.and_then(|dial| directory.number(dial));
                *number = parsed.map_or_else(|| number.clone(), |parsed| parsed.display());
            }
            TargetView::Operator { .. } | TargetView::Queue { .. } => {}
        }
    }
    Some((context, targets.saturating_sub(remaining)))
}
