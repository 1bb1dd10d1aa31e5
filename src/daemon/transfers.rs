//! Transfers in the loop: commands and events go to the machine, its orders to the PBX, its notices to the bus.
//!
//! Invariant: as in `orders.rs`: the loop does not wait, each command is answered exactly once.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::core::Core;
use super::orders::{Asked, answer};
use crate::announce::announce_transfer;
use crate::bus::Draft;
use crate::command::{Actor, Answer, Refusal};
use crate::supervision;
use crate::transfer::{Command, Notice, NoticeKind, Output, Reply, Step, TransferId};

type Sender = oneshot::Sender<Result<Answer, Refusal>>;

/// Who waits for the answer to a step.
pub(super) type Waiting = HashMap<(TransferId, Step), Sender>;

impl Core {
    pub(super) fn transfer(&mut self, actor: &Actor, command: Command, reply: Sender) {
        let now = self.clock.now();
        match self.transfers.command(now, &self.model, actor, command) {
            Ok(Reply::Known(views)) => answer(reply, Ok(Answer::Transfers(views))),
            Ok(Reply::Pending(id, step)) => {
                if let Some(earlier) = self.transferring.insert((id, step), reply) {
                    answer(earlier, Err(Refusal::Conflict("the same was asked for again meanwhile")));
                }
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
        self.drain_transfers();
    }

    /// The PBX has answered the orders of a step.
    pub(super) fn transfer_ordered(&mut self, id: TransferId, step: Step, accepted: Result<(), Refusal>) {
        let now = self.clock.now();
        let outcome = self.transfers.order_answered(now, id, step, accepted);
        if let Some(reply) = self.transferring.remove(&(id, step)) {
            answer(reply, outcome.map(|view| Answer::Transfers(vec![view])));
        }
        self.drain_transfers();
    }

    pub(super) fn drain_transfers(&mut self) {
        while let Some(output) = self.transfers.poll_output() {
            match output {
                Output::Orders { transfer, step, actions } => {
                    self.orders(Asked::Transfer(transfer, step), actions);
                }
                Output::Notice(notice) => {
                    self.make_way(&notice);
                    let (now, view) = (self.clock.now(), &notice.view);
                    self.floor.transfer(now, view.call, &view.operator, view.is_under_way());
                    self.journal.note_transfer(&notice);
                    if let Some(draft) = announce_transfer(&notice) {
                        self.parts.bus.publish(draft);
                    }
                }
            }
        }
    }

    /// Nobody may spy on channels that are being moved: Asterisk refuses to bridge them.
    fn make_way(&mut self, notice: &Notice) {
        let call = notice.view.call;
        match notice.kind {
            NoticeKind::Requested => self.supervise(supervision::Input::Pause(call)),
            NoticeKind::Completed | NoticeKind::Over => self.supervise(supervision::Input::Resume(call)),
            _ => {}
        }
    }

    /// A pop of a caller who was passed on says so: from whom, and why she is back.
    pub(super) fn mark_transfer(&self, draft: &mut Draft) {
        let transfer = draft.call.and_then(|call| self.transfers.latest_of(call));
        if let (Some(transfer), Some(data)) = (transfer, draft.data.as_object_mut()) {
            data.insert("transfer".into(), serde_json::to_value(transfer).unwrap_or_default());
        }
    }
}
