//! Tracks which channels are spied on with ChanSpy. A channel that is spied on must not be moved, since Asterisk can then
//! refuse to bridge it again (asterisk#2134). Supervision detaches before a transfer; the tracker shows when it has.
//!
//! Invariant: entries come from events and lists alone; at most [`SPIES_MAX`] are stored.

use std::collections::HashMap;

use crate::ami::event::Event;
use crate::ids::ChannelId;

/// Most channels that spy at the same time.
pub(super) const SPIES_MAX: usize = 4_096;
/// The application's name in channel lists.
const APPLICATION: &str = "ChanSpy";

/// Maps each spying channel to the channel that it spies on.
#[derive(Debug, Default)]
pub(super) struct ChanSpyTracker(HashMap<ChannelId, ChannelId>);

impl ChanSpyTracker {
    /// Whether an event is about spying.
    pub(super) fn wants(&self, event: &Event) -> bool {
        match event {
            Event::SpyStarted { .. } | Event::SpyStopped { .. } => true,
            Event::ChannelListed { application, .. } => application == APPLICATION,
            Event::ChannelGone { channel, .. } => self.0.contains_key(&channel.id),
            _ => false,
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::SpyStarted { spyer, spyee } => self.record(&spyer.id, spyee.id.clone()),
            Event::ChannelListed { channel, application, arguments, .. } if application == APPLICATION => {
                let spyee = arguments.split(',').next().unwrap_or_default();
                if let Ok(spyee) = ChannelId::parse(spyee) {
                    self.record(&channel.id, spyee);
                }
            }
            Event::SpyStopped { spyer, .. } => drop(self.0.remove(&spyer.id)),
            Event::ChannelGone { channel, .. } => drop(self.0.remove(&channel.id)),
            _ => {}
        }
    }

    /// Removes all entries, before a list that contains all spies.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether one of these channels is spied on.
    pub(super) fn is_any_spied(&self, channels: [&ChannelId; 2]) -> bool {
        self.0.values().any(|spyee| channels.contains(&spyee))
    }

    fn record(&mut self, spyer: &ChannelId, spyee: ChannelId) {
        if self.0.len() < SPIES_MAX || self.0.contains_key(spyer) {
            self.0.insert(spyer.clone(), spyee);
        }
    }
}
