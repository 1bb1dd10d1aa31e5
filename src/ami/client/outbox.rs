//! The queue between the reader of a PBX and its consumer.
//!
//! Invariant: putting something in never waits. The consumer takes everything that has gathered at once, so the
//! slower it is, the larger and cheaper its batches; beyond [`AMI_BACKLOG_BYTES_MAX`] frames are dropped until it
//! has taken what is there, and the place of the hole is marked by one [`ClientEvent::Overrun`].

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::ClientEvent;

/// How many bytes of frames wait for the consumer, per session. About a second of a busy PBX.
pub const AMI_BACKLOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a waiting event costs besides its frame's bytes: the entry, the spans, their allocations.
const ENTRY_BYTES: usize = 256;

/// The consumer's end: what happens at the PBX and to the link, in order.
#[derive(Debug)]
pub struct Events {
    batches: mpsc::Receiver<Vec<ClientEvent>>,
}

impl Events {
    /// Everything that has gathered, at least one event; `None` once the link was shut down.
    pub async fn next_batch(&mut self) -> Option<Vec<ClientEvent>> {
        self.batches.recv().await
    }
}

/// A producer's end.
#[derive(Debug)]
pub(super) struct Outbox {
    batches: mpsc::Sender<Vec<ClientEvent>>,
    waiting: Vec<ClientEvent>,
    waiting_bytes: usize,
    /// Frames dropped since the last mark.
    dropped: u64,
}

impl Outbox {
    pub(super) fn new() -> (Self, Events) {
        let (sender, batches) = mpsc::channel(1);
        (Self::on(sender), Events { batches })
    }

    /// Another producer for the same consumer.
    pub(super) fn sibling(&self) -> Self {
        Self::on(self.batches.clone())
    }

    fn on(batches: mpsc::Sender<Vec<ClientEvent>>) -> Self {
        Self { batches, waiting: Vec::new(), waiting_bytes: 0, dropped: 0 }
    }

    /// Puts an event in line. Frames may be dropped; news about the link never are.
    pub(super) fn push(&mut self, event: ClientEvent) {
        self.offer(event);
    }

    /// As [`Outbox::push`]; says whether it was not dropped.
    pub(super) fn offer(&mut self, event: ClientEvent) -> bool {
        let frame_bytes = match &event {
            ClientEvent::Frame(frame) | ClientEvent::ListItem(_, frame) => Some(frame.as_bytes().len()),
            ClientEvent::Quarantined(quarantined) => Some(quarantined.frame.as_bytes().len()),
            _ => None,
        };
        match frame_bytes {
            Some(bytes) if self.dropped > 0 || self.waiting_bytes + bytes > AMI_BACKLOG_BYTES_MAX => {
                self.dropped += 1;
                return false;
            }
            Some(bytes) => {
                self.waiting_bytes += bytes + ENTRY_BYTES;
                self.waiting.push(event);
            }
            None => {
                self.mark_hole();
                self.waiting.push(event);
            }
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0
    }

    /// Hands over what waits, if the consumer is ready. Says whether there still is a consumer.
    pub(super) fn try_flush(&mut self) -> bool {
        if self.is_empty() {
            return true;
        }
        match self.batches.clone().try_reserve() {
            Ok(permit) => {
                permit.send(self.take());
                true
            }
            Err(TrySendError::Full(())) => true,
            Err(TrySendError::Closed(())) => false,
        }
    }

    /// Waits until the consumer has room. Dropping this future loses nothing.
    pub(super) async fn flush(&mut self) -> bool {
        while !self.is_empty() {
            let Ok(permit) = self.batches.clone().reserve_owned().await else {
                return false;
            };
            permit.send(self.take());
        }
        true
    }

    fn take(&mut self) -> Vec<ClientEvent> {
        self.mark_hole();
        self.waiting_bytes = 0;
        let next = Vec::with_capacity(self.waiting.len().min(64));
        std::mem::replace(&mut self.waiting, next)
    }

    fn mark_hole(&mut self) {
        if self.dropped > 0 {
            self.waiting.push(ClientEvent::Overrun { dropped: self.dropped });
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ami::frame::Frame;

    fn frame() -> ClientEvent {
        ClientEvent::Frame(Frame::parse(format!("Event: A\r\nB: {}\r\n", "x".repeat(1_000))).unwrap())
    }

    #[tokio::test]
    async fn what_gathers_comes_at_once_and_in_order() {
        let (mut outbox, mut events) = Outbox::new();
        outbox.push(ClientEvent::ActionsUp);
        assert!(outbox.try_flush() && outbox.is_empty());
        for _ in 0..10 {
            outbox.push(frame());
            assert!(outbox.try_flush());
        }
        assert_eq!(events.next_batch().await.unwrap().len(), 1);
        assert!(outbox.try_flush() && outbox.is_empty());
        assert_eq!(events.next_batch().await.unwrap().len(), 10);
        drop(events);
        outbox.push(frame());
        assert!(!outbox.try_flush());
    }

    #[tokio::test]
    async fn a_hole_is_marked_where_it_is() {
        let (mut outbox, mut events) = Outbox::new();
        let fits = AMI_BACKLOG_BYTES_MAX / (frame_len() + ENTRY_BYTES) + 1;
        let mut last_fits = true;
        for _ in 0..fits + 5 {
            last_fits = outbox.offer(frame());
        }
        assert!(!last_fits);
        outbox.push(ClientEvent::ActionsUp);
        assert!(outbox.flush().await);
        outbox.push(frame());
        let batch = events.next_batch().await.unwrap();
        let [.., ClientEvent::Frame(_), ClientEvent::Overrun { dropped }, ClientEvent::ActionsUp] =
            &batch[..]
        else {
            panic!("{:?}", &batch[batch.len() - 3..]);
        };
        assert_eq!(u64::try_from(batch.len()).unwrap() - 2 + dropped, u64::try_from(fits + 5).unwrap());
        assert!(outbox.flush().await);
        assert!(matches!(events.next_batch().await.unwrap()[..], [ClientEvent::Frame(_)]));
    }

    fn frame_len() -> usize {
        let ClientEvent::Frame(frame) = frame() else { unreachable!() };
        frame.as_bytes().len()
    }
}
