//! Transfers in the loop: commands and events go to the machine, its orders to the PBX, its notices to the bus.
//!
//! Invariant: as in `orders.rs`: the loop does not wait, each command is answered exactly once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::core::{Brought, Core, read};
use super::orders::{Asked, answer};
use crate::ami::action::Readable;
use crate::ami::client::Handle;
use crate::announce::announce_transfer;
use crate::bus::Draft;
use crate::command::{Actor, Answer, Refusal};
use crate::directory::Directory;
use crate::ids::ChannelId;
use crate::supervision;
use crate::transfer::view::TargetView;
use crate::transfer::{About, Command, Mode, Notice, NoticeKind, Output, Reply, Step, TransferId};

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
                Output::Ask { channel } => self.ask_transfer(channel),
                Output::Notice(notice) => {
                    self.make_way(&notice);
                    let (now, view) = (self.clock.now(), &notice.view);
                    self.floor.transfer(now, view.call, &view.operator, view.is_under_way());
                    self.journal.note_transfer(&notice);
                    if let Some(draft) = announce_transfer(&notice) {
                        let keeps = self.keep(notice.view.call).into_iter().collect();
                        self.parts.bus.publish_all(vec![draft], keeps);
                    }
                }
            }
        }
    }

    /// A transfer that this daemon did not begin: what it is about is asked beside the loop.
    fn ask_transfer(&mut self, channel: ChannelId) {
        let Ok(place) = Arc::clone(&self.lookups).try_acquire_owned() else { return };
        let (pbx, beside) = (self.parts.pbx.clone(), self.beside.clone());
        let directory = self.parts.directory.clone();
        self.parts.tasks.spawn(async move {
            if let Some((about, tried)) = told_by(&pbx, &directory, &channel).await {
                let _ = beside.send(Brought::Transfer(channel, Box::new(about), tried)).await;
            }
            drop(place);
        });
    }

    pub(super) fn take_up_transfer(&mut self, channel: &ChannelId, about: About, tried: usize) {
        tracing::info!(%channel, "a transfer that was under way is followed again");
        let now = self.clock.now();
        self.transfers.take_up(now, &self.model, channel, about, tried);
        self.drain_transfers();
    }

    /// Nobody may spy on channels that are being moved: Asterisk refuses to bridge them.
    fn make_way(&mut self, notice: &Notice) {
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

    /// A pop of a caller who was passed on says so: from whom, and why she is back.
    pub(super) fn mark_transfer(&self, draft: &mut Draft) {
        let transfer = draft.call.and_then(|call| self.transfers.latest_of(call));
        if let (Some(transfer), Some(data)) = (transfer, draft.data.as_object_mut()) {
            data.insert("transfer".into(), serde_json::to_value(transfer).unwrap_or_default());
        }
    }
}

/// What the channel says of its transfer, with names for those who are called.
async fn told_by(pbx: &Handle, directory: &Directory, channel: &ChannelId) -> Option<(About, usize)> {
    let mut about = About::parse(&read(pbx, channel, Readable::TransferAbout).await?)?;
    let count = |list: Option<String>| {
        list.unwrap_or_default().split('-').filter(|target| !target.is_empty()).count()
    };
    let targets = count(read(pbx, channel, Readable::TransferTargets).await);
    let left = count(read(pbx, channel, Readable::TransferLeft).await);
    for (view, dial) in about.targets_mut() {
        match view {
            TargetView::Contact { id, name } => {
                // A contact that was deleted meanwhile, or a store that fails: the transfer goes on without the name.
                let contact = directory.store().contacts().find(*id).await.ok().flatten();
                *name = contact.map(|contact| contact.fields.name).unwrap_or_default();
            }
            TargetView::Number { number } => {
                let read = dial.and_then(|dial| directory.number(dial));
                *number = read.map_or_else(|| number.clone(), |read| read.display());
            }
            TargetView::Operator { .. } | TargetView::Queue { .. } => {}
        }
    }
    Some((about, targets.saturating_sub(left)))
}
