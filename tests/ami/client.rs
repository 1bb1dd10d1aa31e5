//! What the AMI client promises, each promise against a fake PBX that follows a script.
mod connection;
mod stream;

use tokio_util::sync::CancellationToken;
use toritsugi::ami::client::{ClientEvent, Events, Handle, connect};
use toritsugi::ami::frame::Frame;

use crate::support::fake_pbx::FakePbx;

/// A client of a fake PBX, whose events are read one at a time.
struct Rig {
    peer: FakePbx,
    handle: Handle,
    events: Events,
    waiting: std::vec::IntoIter<ClientEvent<Frame>>,
    shutdown: CancellationToken,
}

impl Rig {
    async fn on(peer: FakePbx) -> Self {
        let shutdown = CancellationToken::new();
        let (handle, events) = connect(peer.settings(), shutdown.clone());
        Self { peer, handle, events, waiting: Vec::new().into_iter(), shutdown }
    }

    /// Connects, and waits for both logins and the first resynchronisation.
    async fn up() -> Self {
        let mut rig = Self::on(FakePbx::start().await).await;
        rig.peer.wait_for(1, 1).await;
        let before = rig.until(|event| matches!(event, ClientEvent::ResyncEnded { complete: true })).await;
        if !before.iter().any(|event| matches!(event, ClientEvent::ActionsUp)) {
            rig.until(|event| matches!(event, ClientEvent::ActionsUp)).await;
        }
        rig
    }

    async fn next(&mut self) -> ClientEvent<Frame> {
        loop {
            if let Some(event) = self.waiting.next() {
                return event;
            }
            self.waiting = self.events.next_frames().await.unwrap().into_iter();
        }
    }

    /// Everything up to and including the first event that `is` accepts.
    async fn until(&mut self, is: impl Fn(&ClientEvent<Frame>) -> bool) -> Vec<ClientEvent<Frame>> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().await;
            let done = is(&event);
            seen.push(event);
            if done {
                return seen;
            }
        }
    }
}

/// A Reload event with a number, by which a test recognises it.
fn reload(number: usize) -> String {
    format!("Event: Reload\nPrivilege: system,all\nNumber: {number}")
}
