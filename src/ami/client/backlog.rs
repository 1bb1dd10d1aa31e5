//! The backlog: events that the consumer of a PBX's stream has not taken yet.
//!
//! Invariant: adding an event never waits. The consumer takes all waiting events as one batch, so a slower consumer gets
//! larger and cheaper batches. Beyond [`AMI_BACKLOG_BYTES_MAX`] the backlog drops frames until the consumer has taken a
//! batch; one [`ClientEvent::Overrun`] marks the position of the dropped frames. Events about the connection itself are
//! never dropped.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::ClientEvent;
use crate::ami::frame::Frame;

/// Most bytes of frames that wait for the consumer, per session. About a second of a busy PBX.
pub const AMI_BACKLOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Memory of a waiting event besides its frame's bytes: the entry, the line positions, their allocations.
const ENTRY_BYTES: usize = 256;

/// The consumer's end: the events of both sessions, each session's in order.
#[derive(Debug)]
pub struct Events {
    batches: mpsc::Receiver<Vec<ClientEvent<Frame>>>,
}

impl Events {
    /// All waiting events, at least one; `None` after both sessions have ended. The frames are decoded here, not in the
    /// task that reads the socket, and the backlog's limit counts the bytes of the frames.
    pub async fn next_batch(&mut self) -> Option<Vec<ClientEvent>> {
        Some(self.next_frames().await?.into_iter().map(ClientEvent::decode).collect())
    }

    /// As [`Self::next_batch`], undecoded: for `toritsugi check`, which looks at the names of events.
    pub async fn next_frames(&mut self) -> Option<Vec<ClientEvent<Frame>>> {
        self.batches.recv().await
    }
}

/// A session's end.
#[derive(Debug)]
pub(super) struct EventBacklog {
    batches: mpsc::Sender<Vec<ClientEvent<Frame>>>,
    waiting: Vec<ClientEvent<Frame>>,
    waiting_bytes: usize,
    /// Frames dropped since the last [`ClientEvent::Overrun`].
    dropped: u64,
}

impl EventBacklog {
    pub(super) fn new() -> (Self, Events) {
        let (sender, batches) = mpsc::channel(1);
        (Self::over(sender), Events { batches })
    }

    /// A backlog of another session for the same consumer.
    pub(super) fn sibling(&self) -> Self {
        Self::over(self.batches.clone())
    }

    fn over(batches: mpsc::Sender<Vec<ClientEvent<Frame>>>) -> Self {
        Self { batches, waiting: Vec::new(), waiting_bytes: 0, dropped: 0 }
    }

    /// Adds an event. Frames may be dropped; events about the connection never are.
    pub(super) fn push(&mut self, event: ClientEvent<Frame>) {
        self.offer(event);
    }

    /// Adds an event as [`EventBacklog::push`] does; returns whether it was kept.
    pub(super) fn offer(&mut self, event: ClientEvent<Frame>) -> bool {
        let frame_bytes = match &event {
            ClientEvent::Pbx(frame) | ClientEvent::ListItem(_, frame) => Some(frame.as_bytes().len()),
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
                self.mark_overrun();
                self.waiting.push(event);
            }
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0
    }

    /// Hands the waiting events over if the consumer has room. Returns false when the consumer is gone.
    pub(super) fn try_flush(&mut self) -> bool {
        if self.is_empty() {
            return true;
        }
        match self.batches.clone().try_reserve() {
            Ok(permit) => {
                permit.send(self.take_batch());
                true
            }
            Err(TrySendError::Full(())) => true,
            Err(TrySendError::Closed(())) => false,
        }
    }

    /// Waits until the consumer has taken all events; false when the consumer is gone. Cancel-safe.
    pub(super) async fn flush(&mut self) -> bool {
        while !self.is_empty() {
            let Ok(permit) = self.batches.clone().reserve_owned().await else {
                return false;
            };
            permit.send(self.take_batch());
        }
        true
    }

    fn take_batch(&mut self) -> Vec<ClientEvent<Frame>> {
        self.mark_overrun();
        self.waiting_bytes = 0;
        let next = Vec::with_capacity(self.waiting.len().min(64));
        std::mem::replace(&mut self.waiting, next)
    }

    fn mark_overrun(&mut self) {
        if self.dropped > 0 {
            self.waiting.push(ClientEvent::Overrun { dropped: self.dropped });
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> ClientEvent<Frame> {
        ClientEvent::Pbx(Frame::parse(format!("Event: A\r\nB: {}\r\n", "x".repeat(1_000))).unwrap())
    }

    #[tokio::test]
    async fn what_gathers_comes_at_once_and_in_order() {
        let (mut backlog, mut events) = EventBacklog::new();
        backlog.push(ClientEvent::ActionsUp);
        assert!(backlog.try_flush() && backlog.is_empty());
        for _ in 0..10 {
            backlog.push(frame());
            assert!(backlog.try_flush());
        }
        assert_eq!(events.next_frames().await.unwrap().len(), 1);
        assert!(backlog.try_flush() && backlog.is_empty());
        assert_eq!(events.next_frames().await.unwrap().len(), 10);
        drop(events);
        backlog.push(frame());
        assert!(!backlog.try_flush());
    }

    #[tokio::test]
    async fn an_overrun_is_marked_where_it_is() {
        let (mut backlog, mut events) = EventBacklog::new();
        let fits = AMI_BACKLOG_BYTES_MAX / (frame_len() + ENTRY_BYTES) + 1;
        let mut last_fits = true;
        for _ in 0..fits + 5 {
            last_fits = backlog.offer(frame());
        }
        assert!(!last_fits);
        backlog.push(ClientEvent::ActionsUp);
        assert!(backlog.flush().await);
        backlog.push(frame());
        let batch = events.next_frames().await.unwrap();
        let [.., ClientEvent::Pbx(_), ClientEvent::Overrun { dropped }, ClientEvent::ActionsUp] = &batch[..]
        else {
            panic!("{:?}", &batch[batch.len() - 3..]);
        };
        assert_eq!(u64::try_from(batch.len()).unwrap() - 2 + dropped, u64::try_from(fits + 5).unwrap());
        assert!(backlog.flush().await);
        assert!(matches!(events.next_frames().await.unwrap()[..], [ClientEvent::Pbx(_)]));
    }

    fn frame_len() -> usize {
        let ClientEvent::Pbx(frame) = frame() else { unreachable!() };
        frame.as_bytes().len()
    }
}
